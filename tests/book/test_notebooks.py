import ast
import itertools
import re
import subprocess
import sys
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
import matplotlib.pyplot as plt
plt.plot([0, 1])  # the curve

# %%
#| tags: [build-only]
from myst_nb import glue

# %%
#| name: fig-stored
#| caption: Stored, see {doc}`other`.
#| alt: Two curves.
#| tags: [page-only]
stored = "data"

# %%
#| name: fig-widget
#| caption: To move.
#| alt: A map.
explore(x)

# %% [markdown] tags=["page-only"]
# Run `make book`.

# %% [markdown]
# (label)=

# %%
x + 1
""".lstrip()
REFERENCES = References(
    titles={"fig-risk": "Figure 1.1", "fig-stored": "Figure 1.2", "fig-widget": "Figure 1.3"},
    urls={"other": "other.ipynb"},
    seconds=100.0,
)


def exported(repository="https://github.com/owner/name"):
    return export(CHAPTER, REFERENCES, repository, pytest.fail)


def test_an_exported_notebook():
    notebook = nbformat.reads(exported(), as_version=4)
    install, title, figure, caption, stored, widget, moved, last = notebook.cells
    assert "fatelib[examples,widgets] @ git+https://github.com/owner/name" in install.source
    assert title.source == "# Title"
    # What the cell draws is shown, and what its last line returns is not.
    assert figure.source.splitlines()[-1] == "plt.plot([0, 1]);  # the curve"
    assert figure.metadata["jupyter"]["source_hidden"]
    assert caption.source == "**Figure 1.1.** Risk, $x$."
    # What is on the page only keeps its number, so that there is no gap.
    assert stored.source.startswith("**Figure 1.2.** Stored, see [other](other.ipynb).\n")
    assert "only" in stored.source.splitlines()[-1]
    assert widget.source == "explore(x)"
    assert moved.source == "**Figure 1.3.** To move."
    assert last.source == "x + 1"
    assert [cell.id for cell in notebook.cells] == [f"cell-{i}" for i in range(8)]
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


def without_fatelib(source):
    """The cell where fatelib is missing, until something is installed."""
    return source.replace("    import fatelib\n", "    import fatelib_not_there\n", 1)


def test_without_a_repository_the_install_cell_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = without_fatelib(install_cell(""))
    with pytest.raises(ImportError, match=r"no address.*pip install.*wheel.*beside this notebook"):
        exec(compile(source, "install", "exec"), {})


def test_without_a_repository_a_wheel_beside_the_notebook_is_installed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("fatelib-0.1.0-py3-none-any.whl", "other-1.0-py3-none-any.whl"):
        Path(name).touch()
    ran = []

    def run(command, **options):
        assert options["check"], "a failure must not go unseen"
        ran.append(command)
        return SimpleNamespace(stdout=b"jax==0.7.2\n")

    monkeypatch.setattr(subprocess, "run", run)
    exec(compile(without_fatelib(install_cell("")), "install", "exec"), {})
    listing, install = ran
    assert listing[:4] == [*install[:1], "-m", "pip", "list"]
    assert install[0] == sys.executable
    wheel = (tmp_path / "fatelib-0.1.0-py3-none-any.whl").as_uri()
    assert install[-3:] == ["--constraint", "installed.txt", f"fatelib[examples,widgets] @ {wheel}"]
    assert Path("installed.txt").read_text() == "jax==0.7.2\n"


@pytest.mark.parametrize("repository", ["", "https://github.com/owner/name"])
def test_the_first_cell_says_what_it_does_and_how_long_the_rest_takes(repository):
    first = nbformat.reads(exported(repository), as_version=4).cells[0].source
    assert first.startswith("# Installs fatelib where it is missing")
    assert re.search(
        r"# After that this notebook takes about 2 minutes, measured on \d+ core", first
    )
    # Where the installation fails, the cell does: its last line imports what was to be installed.
    assert first.splitlines()[-1] == "    import fatelib"


def test_times_do_not_tell_one_build_from_the_next():
    assert install_cell("", 100.0) == install_cell("", 130.0)
    assert "about a minute" in install_cell("", 3.0)
    assert "minute" not in install_cell("")


@pytest.mark.parametrize(
    "cell",
    [
        "# %% [markdown]\n# Run `make book` first.",
        "# %% [markdown]\n# `python book/data/paper_scale.py fig-3c` does it.",
        "# %%\nxr.load_dataset('data/relu_scratch.nc')",
        "# %% [markdown]\n# ```sh\n# python benchmarks/all.py\n# ```",
    ],
)
def test_what_needs_the_repository_is_reported(cell):
    problems = []
    export(cell, REFERENCES, "", problems.append)
    (problem,) = problems
    assert "needs the repository" in problem
    problems.clear()
    link = (
        "# %% [markdown]\n# [here](https://owner.github.io/name/book/data.html) we make bookmarks"
    )
    export(link, REFERENCES, "", problems.append)
    assert problems == []


@pytest.mark.parametrize("page", NUMBERED)
def test_no_chapter_needs_the_repository_or_shows_what_its_figure_shows(page):
    source = (ROOT / f"{page}.py").read_text(encoding="utf-8")
    problems = []
    notebook = nbformat.reads(export(source, References(), "", problems.append), as_version=4)
    assert problems == []
    cells = notebook.cells
    for cell, after in itertools.pairwise(cells):
        if cell.cell_type == "code" and after.source.startswith("**Figure.**"):
            last = ast.parse(cell.source).body[-1]
            moves = isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)
            moves &= ast.unparse(last).split("(")[0] in ("explore", "null_space")
            quiet = cell.source.endswith(";")
            assert quiet == (isinstance(last, ast.Expr) and not moves), cell.source


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
