"""The notebooks that a reader downloads. `make notebooks` runs them all in fresh environments."""

import re

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


def test_their_figures_are_numbered_without_gaps(site):
    for name, notebook in notebooks(site).items():
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        numbers = re.findall(r"^\*\*Figure (?:\d+\.)*(\d+)\.\*\*", text, re.MULTILINE)
        assert numbers == [str(i + 1) for i in range(len(numbers))], name
        assert numbers, name


def test_they_say_how_long_they_take_and_link_to_one_another(site):
    found, linked = notebooks(site), []
    for name, notebook in found.items():
        assert re.search("After that this notebook takes about .* minute", notebook.cells[0].source)
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        links = re.findall(r"\]\(([\w-]+)\.ipynb\)", text)
        published = re.findall(r"\]\((https://[^)]*/book/[\w-]+\.html)", text)
        linked += [name] * bool(links or published)
        assert set(links) <= set(found), name
    assert len(linked) > len(found) / 2  # a chapter may refer to no other


@pytest.mark.slow
def test_the_quickest_runs_from_top_to_bottom(site, held, decode, tmp_path):
    notebook, resources = notebooks(site)[QUICKEST], {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output["data"].get("text/plain", "") for output in outputs if "data" in output]
    drawn = ["image/png" in output.get("data", {}) for output in outputs]
    assert sum(drawn) >= 3
    assert sum("<matplotlib" in text for text in shown) == 0
    models = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    made = [model["state"] for model in models.values() if "figure" in model["state"]]
    # what the book shows: to float32, amplified by the small ridges, and a step of the coding
    for state, (figure, values) in zip(made, held(QUICKEST).values(), strict=True):
        assert state["figure"]["dims"] == figure["dims"]
        room = 1.5 * figure["step"] + 1e-4
        np.testing.assert_allclose(decode(state), values, rtol=0, atol=room)
