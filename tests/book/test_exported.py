"""The notebooks that a reader downloads. `make notebooks` runs them all in fresh environments."""

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

# Running one shows that exported notebooks run; this is the chapter that runs the fastest.
QUICKEST = "feature-sparsification"


def notebooks(site):
    paths = sorted((site / "notebooks").glob("*.ipynb"))
    assert paths, "the book exported no notebook"
    return {path.stem: nbformat.read(path, as_version=4) for path in paths}


def test_they_are_valid_and_plain(site):
    for name, notebook in notebooks(site).items():
        nbformat.validate(notebook)
        for cell in notebook.cells:
            assert not cell.get("outputs"), name
            assert "#| " not in cell.source, name
            if cell.cell_type == "markdown":
                for myst in ["{numref}`", "{eq}`", "{cite", "{ref}`", "{glue", ":::", ")=\n"]:
                    assert myst not in cell.source, f"{name}: {myst} in {cell.source!r}"
            else:
                assert "myst_nb" not in cell.source, f"{name}: a cell needs the tag build-only"


@pytest.mark.slow
def test_the_quickest_runs_from_top_to_bottom(site, held, decode, tmp_path):
    notebook, resources = notebooks(site)[QUICKEST], {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    models = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    made = [model["state"] for model in models.values() if "figure" in model["state"]]
    # what the book shows: to float32, amplified by the small ridges, and a step of the coding
    for state, (figure, values) in zip(made, held(QUICKEST).values(), strict=True):
        assert state["figure"]["dims"] == figure["dims"]
        room = 1.5 * figure["step"] + 1e-4
        np.testing.assert_allclose(decode(state), values, rtol=0, atol=room)
