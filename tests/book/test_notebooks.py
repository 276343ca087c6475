import ast
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from _extensions import notebooks
from _extensions.notebooks import export, install_cell
from _extensions.plain_markdown import References

ROOT = Path(__file__).parents[2]
PARTS = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
NUMBERED = {
    chapter["file"]: {} for part in PARTS if part.get("numbered") for chapter in part["chapters"]
}

CHAPTER = r"""
# %% [markdown]
# # Title

# %%
#| name: fig-risk
#| caption: Risk, $x$.
#| alt: A curve.
#| tags: [hide-input]
x = 1

# %%
#| tags: [build-only]
from myst_nb import glue

# %%
#| tags: [page-only]
stored = "data"

# %% [markdown]
# (label)=

# %%
x + 1
""".lstrip()
REFERENCES = References(titles={"fig-risk": "Figure 1.1"})


def exported(repository="https://github.com/owner/name"):
    return export(CHAPTER, REFERENCES, repository, pytest.fail)


def test_an_exported_notebook():
    notebook = nbformat.reads(exported(), as_version=4)
    install, title, figure, caption, last = notebook.cells
    assert "fatelib[widgets] @ git+https://github.com/owner/name" in install.source
    assert title.source == "# Title"
    assert figure.source == "x = 1"
    assert figure.metadata["jupyter"]["source_hidden"]
    assert caption.source == "**Figure 1.1.** Risk, $x$."
    assert last.source == "x + 1"
    assert [cell.id for cell in notebook.cells] == [f"cell-{i}" for i in range(5)]
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert notebook.metadata["accelerator"] == "GPU"


def test_export_is_deterministic():
    assert exported() == exported()


@pytest.mark.parametrize("repository", ["", "https://github.com/owner/name"])
def test_the_install_cell_touches_nothing_that_is_installed(repository):
    source = install_cell(repository)
    assert "cuda" not in source
    assert "upgrade" not in source
    if repository:
        listing, install = (line for line in source.splitlines() if "%pip" in line)
        assert listing.endswith("> installed.txt")
        assert "--constraint installed.txt" in install
    exec(compile(ast.parse(source.replace("%pip", "pass  # pip")), "install", "exec"), {})


def test_without_a_repository_the_install_cell_says_what_to_do():
    source = install_cell("").replace("import fatelib\n", "import fatelib_not_there\n")
    with pytest.raises(ImportError, match="pip install"):
        exec(compile(source, "install", "exec"), {})


@pytest.fixture
def buttons(monkeypatch, tmp_path):
    """Export one page of the real book from its source; returns the addresses of its buttons."""
    monkeypatch.setattr(notebooks, "references", lambda *args: References())

    def export_page(page):
        app = SimpleNamespace(
            env=SimpleNamespace(toc_secnumbers=NUMBERED, doc2path=lambda page: ROOT / f"{page}.py"),
            config=SimpleNamespace(
                html_theme_options={"repository_url": "https://github.com/owner/name"}
            ),
            builder=None,
            outdir=tmp_path,
        )
        group = {"label": "download-buttons", "buttons": []}
        context = {"header_buttons": [group], "pathto": lambda name, resource: name}
        notebooks.add_notebook(app, page, "", context, doctree=object())
        assert context["header_buttons"].pop() is group
        return [button["url"] for button in context["header_buttons"] + group["buttons"]]

    return export_page


@pytest.mark.parametrize("page", NUMBERED)
def test_every_chapter_has_its_notebook_and_both_buttons(buttons, tmp_path, page):
    name = page.removeprefix("book/") + ".ipynb"
    colab = f"https://colab.research.google.com/github/owner/name/blob/notebooks/{name}"
    assert buttons(page) == [colab, f"notebooks/{name}"]
    nbformat.validate(nbformat.read(tmp_path / "notebooks" / name, as_version=4))


def test_a_page_without_a_number_has_none(buttons, tmp_path):
    assert "book/errata" not in NUMBERED
    assert buttons("book/errata") == []
    assert not list(tmp_path.iterdir())
