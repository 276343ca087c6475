"""Chapters and the API reference link to one another."""

import os
import re
import subprocess
import sys
from pathlib import Path
from pydoc import locate

import pytest
from _extensions.reader import read
from _extensions.used_in import names_in_code
from bs4 import BeautifulSoup

BOOK = Path(__file__).parents[2] / "book"

CODE = """
.. code-block:: python

   from fatelib import linear, theory as closed
   linear.DeepLinear.init(key, 2)

.. code-block:: python

   closed.scratch_risk(0.5)

.. code-block:: console

   $ fatelib --help
"""
PAGES = {
    "index.rst": (
        "Root\n====\n\n.. toctree::\n\n   book/b\n   book/a\n   book/api/one\n   book/api/two\n"
    ),
    "book/a.rst": "Last\n====\n\n:py:func:`one.f` and :py:meth:`~one.C.g`\n",
    "book/b.rst": "First\n=====\n\n:py:func:`the f <one.f>`\n\nLast\n----\n" + CODE,
    "book/api/one.rst": (
        "one\n===\n\n.. py:module:: one\n\n.. py:function:: f(x)\n\n   Do.\n\n"
        ".. py:function:: h(x)\n\n   :py:func:`f`.\n\n.. py:class:: C\n\n   .. py:method:: g(x)\n"
    ),
    "book/api/two.rst": (
        "two\n===\n\n.. py:module:: fatelib.linear\n\n.. py:class:: DeepLinear\n\n"
        "   .. py:method:: init(key, d)\n\n"
        ".. py:module:: fatelib.theory\n\n.. py:function:: scratch_risk(gamma)\n"
        "\n.. py:function:: ridge_risk(gamma)\n"
    ),
}


@pytest.mark.parametrize(
    "cell",
    [
        "import fatelib\nfatelib.theory.scratch_risk(1)",
        "import fatelib.theory\nx = fatelib.theory.scratch_risk(1).mean()[0]",
        "import fatelib.theory as t\nmap(t.scratch_risk, x)",
        "from fatelib.theory import scratch_risk as r, ridge_risk\nr(1)",
        "def f():\n    return g(theory.scratch_risk(1))\n\nfrom fatelib import theory",
    ],
)
def test_names_in_code(cell):
    names = names_in_code(["not Python", cell, "scratch.risk + x.theory.scratch_risk"])
    assert names - {"fatelib.theory"} == {"fatelib.theory.scratch_risk"}


def test_a_name_imported_in_one_cell_is_known_in_the_next():
    cells = ["from fatelib import plot", "plot.slices(x)", "%matplotlib inline"]
    assert names_in_code(cells) == {"fatelib.plot", "fatelib.plot.slices"}


def test_links_both_ways(tmp_path):
    for name, text in PAGES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def build():
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "-C", "."]
        command += ["html", "-D", "extensions=_extensions.used_in"]
        environment = {**os.environ, "PYTHONPATH": str(BOOK)}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)

    def lines(page, name, heading):
        html = (tmp_path / "html/book" / f"{page}.html").read_text(encoding="utf-8")
        found = re.findall(rf'<p class="{name}">{heading}: (.*?)</p>', html, re.DOTALL)
        return [re.findall(r'href="([^"]*)', links) for links in found]

    build()
    # In the order of the book; of f and of C.g.
    assert lines("api/one", "used-in", "Used in") == [["../b.html", "../a.html"], ["../a.html"]]
    # Of the class and the function that code uses, not of what it leaves out.
    assert lines("api/two", "used-in", "Used in") == [["../b.html"], ["../b.html"]]
    links = ["api/two.html#fatelib.linear.DeepLinear", "api/two.html#fatelib.theory.scratch_risk"]
    assert lines("b", "from-library", "From the library") == [links]
    assert lines("a", "from-library", "From the library") == []

    (tmp_path / "book/b.rst").write_text("First\n=====\n\nNothing.\n", encoding="utf-8")
    build()
    assert lines("api/one", "used-in", "Used in") == [["../a.html"], ["../a.html"]]
    assert lines("api/two", "used-in", "Used in") == []


def test_each_public_name_in_the_code_of_a_chapter_is_linked_both_ways(site):
    pages = {
        path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in (site / "book/api").glob("*.html")
    }
    entries = {}  # what the reference documents -> its page and its entry in it
    for path, page in pages.items():
        for entry in page.select("dl:is(.function, .class, .data) > dt[id]"):
            entries[id(locate(entry["id"]))] = path, entry

    missing, seen = [], 0
    for source in sorted(BOOK.glob("*.py")):
        chapter = site / "book" / f"{source.stem}.html"
        html = chapter.read_text(encoding="utf-8")
        cells = read(source.read_text(encoding="utf-8")).cells
        hidden = {"build-only", "remove-cell", "remove-input"}
        code = [
            cell.source
            for cell in cells
            if cell.cell_type == "code" and not hidden & set(cell.metadata.get("tags", []))
        ]
        for name in names_in_code(code):
            path, entry = entries.get(id(locate(name)), (None, None))
            if entry is None:
                continue
            seen += 1
            back = entry.find_next_sibling("dd").find("p", class_="used-in", recursive=False)
            there = f'href="api/{path.name}#{entry["id"]}"' in html
            if not (there and back and back.find("a", href=f"../{chapter.name}")):
                missing.append(f"{source.stem}: {name}")
    assert not missing
    assert seen
