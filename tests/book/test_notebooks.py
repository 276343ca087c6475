import ast

import nbformat
import pytest
from _extensions.notebooks import export, install_cell
from _extensions.plain_markdown import References

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
