"""A whole book of three pages, built as `make book` builds the real one."""

import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]

INDEX = """
# A book

{numref}`fig-line`, {cite:t}`saxe2014`

```{quoted-figure} fig-line
```
off by {agreement}`chapter: gap`

```{bibliography}
```
"""

CHAPTER = r'''
# %% [markdown]
# # A chapter
#
# $$
# x = 1
# $$ (eq-one)

# %%
#| name: fig-line
#| caption: A line, {eq}`eq-one`.
#| alt: A line that rises.
import matplotlib.pyplot as plt

plt.errorbar([0, 1], [0, 1], yerr=0.1, label="line")
plt.legend()

# %%
#| tags: [check]
# Of order $1/d$.
from IPython.display import HTML

names = ["theory against experiment", "cells", "left out"]
names += ["largest deviation", "at", "tolerance"]
values = ["gap", "20", "0", "3.1 s.e.", "x = 1", "4 s.e."]
head = "<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"
row = "<tr>" + "".join(f"<td>{value}</td>" for value in values) + "</tr>"
HTML(f'<table class="agreement"><thead>{head}</thead><tbody>{row}</tbody></table>')

# %%
from tqdm.auto import tqdm

for _ in tqdm(range(3), disable=False):
    pass

# %%
import anywidget
import traitlets


class Counter(anywidget.AnyWidget):
    _esm = """
    export default {
      render({ model, el }) {
        const button = document.createElement("button");
        button.id = "counter";
        const show = () => { button.textContent = "count " + model.get("value"); };
        button.onclick = () => {
          model.set("value", model.get("value") + 1);
          model.save_changes();
        };
        model.on("change:value", show);
        show();
        const label = document.createElement("span");
        label.className = "mathjax_process";
        label.textContent = "$x^2$";
        el.append(button, label);
      },
    };
    """
    _css = "#counter { color: rgb(1, 2, 3); }"
    value = traitlets.Int(0).tag(sync=True)


Counter(value=41)

# %% [markdown]
# (place)=
# ## A place
#
# :::{prf:theorem} One
# :label: thm-one
# It is so, by {cite:t}`saxe2014`.
# :::
#
# {prf:ref}`thm-one`, {ref}`place`, {numref}`fig-line`, {eq}`eq-one`, {doc}`index`,
# {doc}`other`, {eq}`eq-two`
'''.lstrip()

CHECKS = """
# Checks

A standard error, $s / \\sqrt r$.

```{checks}
```
"""

OTHER = """
# %% [markdown]
# # Another chapter
#
# $$
# x = 2
# $$ (eq-two)
""".lstrip()


def build(root, *, environment=None):
    """Build the book in `root`; returns what it printed, and the chapters it executed."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ".", "-W", "-n"]
    result = subprocess.run(
        [*command, "--keep-going"],
        cwd=root,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
    )
    printed = result.stdout + result.stderr
    return result.returncode, printed, printed.count("Executed notebook in")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The small book, built once."""
    root = tmp_path_factory.mktemp("book")
    for name in ["_config.yml", "book/_extensions", "book/_static", "book/references.bib"]:
        source = ROOT / name
        (root / name).parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    files = {
        "_toc.yml": """
            format: jb-book
            root: book/index
            parts:
              - caption: Part
                numbered: true
                chapters: [{file: book/chapter}, {file: book/other}]
              - caption: Reference
                chapters: [{file: book/checks}]
            """,
        "book/index.md": INDEX,
        "book/chapter.py": CHAPTER,
        "book/other.py": OTHER,
        "book/checks.md": CHECKS,
        "requirements.txt": "jax==0\n",
        "fatelib/__init__.py": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    status, printed, executed = build(root)
    assert status == 0, printed
    assert executed == 2
    return root


@pytest.mark.slow
def test_a_cell_that_draws_shows_its_figure_only(book):
    page = (book / "_build/html/book/chapter.html").read_text()
    assert page.count("<figure") == 1
    assert 'alt="A line that rises."' in page
    assert "legend.Legend" not in page
    assert "100%" not in page, "a progress bar"


@pytest.mark.slow
def test_a_page_quotes_the_picture_and_the_agreement_of_a_chapter(book):
    page = (book / "_build/html/book/index.html").read_text()
    picture = page.partition('href="chapter.html#fig-line"><span class="variants">')[2]
    picture = picture.partition("</span>")[0]
    assert picture.count('alt="A line that rises."') == 2
    files = re.findall(r'src(?:set)?="\.\./(.*?)"', picture)
    assert len({(book / "_build/html" / name).read_bytes() for name in files}) == 4
    assert "off by 3.1 s.e. in 20 cells" in page


@pytest.mark.slow
def test_a_check_is_a_line_in_its_chapter_and_a_table_on_the_page_of_checks(book):
    chapter = BeautifulSoup((book / "_build/html/book/chapter.html").read_text(), "html.parser")
    (line,) = chapter.select("p.check")
    assert line.text == "20 cells agree with theory, at worst 3.1 of 4 standard errors."
    assert line.a["href"] == "checks.html#check-chapter-1"
    assert not chapter.select("table.agreement")
    (fold,) = chapter.select("details.folded")
    assert "# Of order" in fold.text
    page = BeautifulSoup((book / "_build/html/book/checks.html").read_text(), "html.parser")
    entry = page.find(id="check-chapter-1")
    assert entry.h3.a.text == "Figure 1.1"
    assert entry.h3.a["href"] == "chapter.html#fig-line"
    assert entry.p.text == r"Of order \(1/d\)."
    shown = [cell.text for cell in entry.select("tbody td")]
    assert shown == ["gap", "20", "0", "3.1 s.e.", "x = 1", "4 s.e."]
    assert page.select_one(".contents-of-checks a").text == "1. A chapter"


@pytest.mark.slow
def test_a_notebook_of_a_book_without_an_address(book):
    path = book / "_build/html/notebooks/chapter.ipynb"
    first, *cells = nbformat.read(path, as_version=4).cells
    assert "# After that this notebook takes about a minute" in first.source
    assert "no address to install it from" in first.source
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    links = re.findall(r"\[([^]]*)\]\((?!https://)([^)]*)\)", text)
    assert links == [("Another chapter", "other.ipynb"), ("(2.1)", "other.ipynb")]
    assert (path.parent / "other.ipynb").is_file()
    assert "\n**Figure 1.1.** A line, (1.1)." in text
    for cell in cells:
        if cell.cell_type == "code" and "plt." in cell.source:
            assert cell.source.endswith("plt.legend();")


@pytest.mark.slow
def test_what_is_executed_anew(book):
    status, printed, executed = build(book)
    assert (status, executed) == (0, 0), printed
    assert "0 added, 0 changed, 0 removed" in printed, printed

    (book / "fatelib" / "__init__.py").write_text("changed = True\n")
    status, printed, executed = build(book)
    assert (status, executed) == (0, 2), printed

    chapter = book / "book" / "chapter.py"
    chapter.write_text(CHAPTER.replace("# # A chapter", "# # A chapter, renamed"))
    status, printed, executed = build(book)
    assert (status, executed) == (0, 0), printed
    assert "A chapter, renamed" in (book / "_build/html/book/chapter.html").read_text()


@pytest.mark.slow
def test_a_fault_fails_the_build_again_until_it_is_mended(book):
    index, chapter = book / "book" / "index.md", book / "book" / "chapter.py"
    good = index.read_text()
    index.write_text(good.replace("fig-line", "fig-none"))
    untagged = CHAPTER.replace("#| tags: [check]\n", "")
    chapter.write_text(untagged.replace("#| alt: A line that rises.\n", ""))
    for _ in range(2):
        status, printed, _ = build(book)
        assert status != 0
        assert "undefined label: 'fig-none'" in printed
        assert "no picture of a figure named 'fig-none' to quote" in printed
        assert "chapter.py:9: WARNING: figure without an alternative text" in printed
        assert "chapter.py:17: WARNING: a cell that shows a table of agreement needs" in printed
    index.write_text(good)

    chapter.write_text(CHAPTER.replace("plt.legend()", "1 / 0"))
    status, printed, _ = build(book)
    assert status != 0
    assert "ZeroDivisionError" in printed

    chapter.write_text(CHAPTER)
    status, printed, _ = build(book)
    assert status == 0, printed


@pytest.mark.slow
@pytest.mark.browser
def test_what_follows_from_the_address_of_the_repository(book, visit, serve, serious):
    site = book / "_build/html"
    page = (site / "book/chapter.html").read_text()
    assert "colab" not in page
    assert "issues/new" not in page
    assert "og:image" not in page
    assert "../notebooks/chapter.ipynb" in page
    assert "_static/widgets.js" in page
    assert "_static/widgets.js" not in (site / "book/index.html").read_text()

    status, printed, executed = build(
        book, environment={"FATELIB_REPOSITORY": "https://github.com/owner/name"}
    )
    assert (status, executed) == (0, 0), printed
    page = (site / "book/chapter.html").read_text()
    assert "colab.research.google.com/github/owner/name/blob/notebooks/chapter.ipynb" in page
    notebook = (site / "notebooks/chapter.ipynb").read_text()
    assert "git+https://github.com/owner/name" in notebook
    assert "[Saxe et al. (2014)](https://arxiv.org/abs/1312.6120)" in notebook
    links = re.findall(r"\]\(https://owner\.github\.io/name/(book/\w+\.html)#?([^()]*)\)", notebook)
    assert len(links) == 8  # the caption has one
    for target, place in links:
        assert not place or f'id="{place}"' in (site / target).read_text(), place
    assert 'href="https://github.com/owner/name/edit/main/book/chapter.py"' in page
    assert 'href="https://github.com/owner/name/issues/new?' in page
    assert 'content="https://owner.github.io/name/book/chapter.html"' in page
    assert 'content="https://owner.github.io/name/_static/card.png"' in page
    assert struct.unpack(">II", (site / "_static/card.png").read_bytes()[16:24]) == (1200, 630)

    page, problems = visit(site / "book/chapter.html", phone=True)
    colab = page.locator(".btn-colab-button")
    assert colab.bounding_box()["height"] < 60, "the button is higher than its bar"
    assert problems == serious(page, ".bd-header-article") == []

    home = serve(site, "/name/")
    for address in ["a/page/that/is/not.html", "nor/this/"]:
        lost, problems = visit(home + address, site=home)
        assert [problem for problem in problems if not problem.endswith(address)] == []
        assert lost.locator("h1:has-text('not here')").is_visible()
        assert serious(lost) == []
    with lost.expect_navigation():
        lost.locator(".bd-sidebar-primary a:has-text('A chapter')").click()
    assert lost.url == home + "book/chapter.html"


@pytest.mark.slow
@pytest.mark.browser
def test_widgets_live_on_the_page_without_kernel_or_network(book, visit):
    page, problems = visit(book / "_build/html/book/chapter.html", asked=(asked := []))
    button = page.locator("#counter")
    button.wait_for(timeout=20_000)
    assert button.text_content() == "count 41"
    button.click()
    assert button.text_content() == "count 42"
    assert button.evaluate("element => getComputedStyle(element).color") == "rgb(1, 2, 3)"
    page.locator(".mathjax_process mjx-container").wait_for()
    assert [url for url in asked if "require" in url or "html-manager" in url] == []
    assert problems == []
