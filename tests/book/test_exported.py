"""The notebooks that a reader downloads. `make notebooks` runs them all in fresh environments."""

import nbformat
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
def test_the_quickest_runs_from_top_to_bottom(site, tmp_path):
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebooks(site)[QUICKEST], timeout=600, resources=resources).execute()
