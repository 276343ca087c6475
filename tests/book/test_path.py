"""The core path: marks in the contents, the ends of chapters, and how long they take."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from _extensions.path import about, mark, minutes, steps
from bs4 import BeautifulSoup
from docutils import nodes
from sphinx_exercise.nodes import exercise_node, solution_node

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["reading_path"]
PARTS = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
NUMBERED = [
    chapter["file"] for part in PARTS if part.get("numbered") for chapter in part["chapters"]
]


def paragraph(words):
    return nodes.paragraph("", "word " * words)


def cell(*, hide=None, code="", output=()):
    source = nodes.container("", nodes.literal_block(code, code), nb_element="cell_code_source")
    shown = nodes.container("", *output, nb_element="cell_code_output")
    options = {"hide_mode": hide} if hide else {}
    return nodes.container("", source, shown, nb_element="cell_code", **options)


@pytest.mark.parametrize(
    ("content", "total", "practice"),
    [
        ([paragraph(1800)], 10, 0),
        ([nodes.paragraph("", "", *[nodes.math("", "a b c")] * 1800)], 10, 0),
        ([nodes.math_block("", "x = 1")] * 10, 10, 0),
        ([nodes.figure("", nodes.image(), nodes.caption("", "word " * 180))] * 5, 10, 0),
        ([cell(code="x = 1\n\n" * 100)], 10, 0),
        ([cell(output=[nodes.figure("", nodes.caption("", "word " * 180))])] * 5, 10, 0),
        ([exercise_node("", paragraph(900))], 15, 10),
        # What is folded, and what code prints.
        ([cell(hide="input", code="x = 1\n" * 900), paragraph(1800)], 10, 0),
        ([cell(hide="all", output=[paragraph(9000)]), paragraph(1800)], 10, 0),
        ([cell(output=[paragraph(9000)]), paragraph(1800)], 10, 0),
        ([solution_node("", paragraph(9000)), exercise_node("", paragraph(900))], 15, 10),
        ([nodes.container("", paragraph(9000), design_component="dropdown")], 5, 0),
        ([nodes.raw("", "word " * 9000, format="html")], 5, 0),
    ],
)
def test_times(content, total, practice):
    found = minutes(nodes.section("", *(node.deepcopy() for node in content)))
    assert found == (total, practice, practice // 10)


def test_what_is_said_of_times():
    assert about(50, 20, 2) == "About 50 minutes, 20 of them for 2 exercises"
    assert about(25, 10, 1) == "About 25 minutes, 10 of them for 1 exercise"
    assert about(15, 0, 0) == "About 15 minutes"


def test_the_contents_mark_the_path_and_nothing_else():
    def link(target, text):
        return f'<li><a class="reference internal" href="{target}">{text}</a></li>'

    contents = link("../book/a.html", "A") + link("#", "B") + link("aa.html", "C")
    marked = mark(contents, "book/b", {"book/a", "book/b"})
    texts = [item.get_text() for item in BeautifulSoup(marked, "html.parser").find_all("a")]
    assert texts == ["A (on the path)", "B (on the path)", "C"]
    assert mark(contents, "book/other", {"book/none"}) == contents


def test_the_path_is_of_numbered_chapters():
    path = [step.page for step in steps(STAGES)]
    assert len(set(path)) == len(path)
    assert set(path) <= set(NUMBERED)
    assert all(step.question.endswith("?") for step in steps(STAGES))


CONFIG = """
extensions = ["_extensions.path"]
html_theme = "sphinx_book_theme"
reading_path = [
    {"title": "The path", "chapters": {"one": "Why?", "four": "How?"}},
    {"title": "Yours", "chapters": {"three": "Which?", "gone": "Where?"}},
]
"""
PAGES = {
    "index": """
.. reading-path:: The path

.. reading-path:: Yours

.. toctree::
   :numbered:

   one
   two
   three
   four
   five

.. toctree::

   apart
""",
    "three": "word " * 1800,
}


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book of five chapters, one of its path not among them."""
    root = tmp_path_factory.mktemp("path")
    (root / "conf.py").write_text(CONFIG)
    for name in ["index", "one", "two", "three", "four", "five", "apart"]:
        title = name.capitalize()
        (root / f"{name}.rst").write_text(f"{title}\n{'=' * 9}\n\n{PAGES.get(name, 'Text.')}\n")
    subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-b", "html", ".", "html"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT / "book")},
        check=True,
    )

    def page(name):
        html = (root / "html" / f"{name}.html").read_text(encoding="utf-8")
        return BeautifulSoup(html, "html.parser")

    return page


def test_a_book_with_a_path(book):
    def said(page, selector):
        return [" ".join(node.get_text().split()) for node in book(page).select(selector)]

    ends = {
        "one": ["Next on the path: Four. How?"],
        "two": ["Deeper. Back to the path: Four. How?"],
        "three": ["Here the path ends. What lies beside it: Index"],
        "four": ["Next on the path: Three. Which?"],
        "five": ["Deeper. The path has ended; the whole of it: Index"],
        "apart": [],
    }
    assert {page: said(page, "p.onward") for page in ends} == ends
    assert said("three", "p.reading-time") == ["About 10 minutes. On the path: yours, 1 of 2."]
    assert said("two", "p.reading-time") == ["About 5 minutes."]
    assert said("apart", "p.reading-time") == []
    assert said("index", "ol.reading-path li") == [
        "One Why? 5 minutes",
        "Four How? 5 minutes",
        "Three Which? 10 minutes",
    ]
    marked = said("two", ".bd-sidebar-primary li:has(.on-path)")
    assert [text.split(" (")[0] for text in marked] == ["1. One", "3. Three", "4. Four"]
    description = book("three").find("meta", attrs={"name": "description"})
    assert description is None or "minutes" not in description["content"]


def chapter(site, page):
    html = (site / f"{page}.html").read_text(encoding="utf-8")
    return BeautifulSoup(html, "html.parser")


def test_every_chapter_of_the_book_says_where_to_go_on_and_how_long_it_takes(site):
    path = steps(STAGES)
    order = [step.page for step in path]
    for page in NUMBERED:
        found = chapter(site, page)
        (time,) = found.select("article h1 + p.reading-time")
        assert re.match(r"About \d+[05] minutes|About 5 minutes", time.get_text())
        assert ("On the path" in time.get_text()) == (page in order)
        (end,) = found.select("article section p.onward")
        at = order.index(page) + 1 if page in order else None
        if at is None:
            ended = not set(order) - set(NUMBERED[: NUMBERED.index(page)])
            said = "The path has ended; the whole of it: " if ended else "Back to the path: "
            assert end.get_text().startswith(f"Deeper. {said}")
        elif at < len(path):
            assert end.a["href"] == f"{path[at].page.removeprefix('book/')}.html"
            assert end.get_text().startswith("Next on the path: ")
            assert re.search(r"[^?][.?] " + re.escape(path[at].question) + "$", end.get_text())
        else:
            assert end.a["href"] == "index.html"
        marked = found.select(".bd-sidebar-primary a:has(.on-path)")
        shown = [
            link["href"] if link["href"] != "#" else f"{Path(page).name}.html" for link in marked
        ]
        assert sorted(shown) == sorted(f"{name.removeprefix('book/')}.html" for name in order)
        assert all("(on the path)" in link.get_text() for link in marked)


def test_the_landing_page_lists_the_path_with_questions_and_times(site):
    found = chapter(site, "book/index")
    items = found.select("ol.reading-path > li")
    assert [item.a["href"] for item in items] == [
        f"{step.page.removeprefix('book/')}.html" for step in steps(STAGES)
    ]
    for item, step in zip(items, steps(STAGES), strict=True):
        time = chapter(site, step.page).select_one("p.reading-time").get_text()
        assert item.select_one(".question").get_text() == step.question
        assert time.startswith(f"About {item.select_one('.minutes').get_text()}")
