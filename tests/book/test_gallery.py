"""The gallery leaves no figure out, and quotes what its chapters computed."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from _extensions.quotations import agreement_rows, sum_up
from docutils import nodes

from fatelib.agreement import Agreement, Comparison
from fatelib.figures import FIGURES

GALLERY = Path(__file__).parents[2] / "book" / "gallery.md"


def test_every_figure_has_its_command_and_nothing_else_has():
    commands = re.findall(r"^fatelib reproduce (\S+) --scale paper$", GALLERY.read_text(), re.M)
    assert set(commands) == set(FIGURES)


@pytest.fixture
def book():
    """A book with one chapter, whose table of agreement has three rows."""

    def row(quantity, deviation, unit="standard errors"):
        return Comparison(quantity, 10, 0, deviation, "n = 5", unit, 4.0)

    table = Agreement((row("σ < 1, n = 2", 2.5), row("σ < 1, n = 10", 10.25), row("risk", 0.001)))
    chapter = nodes.section("", nodes.raw("", table._repr_html_(), format="html"))
    return SimpleNamespace(found_docs={"book/chapter"}, get_doctree={"book/chapter": chapter}.get)


def test_rows_of_agreement_are_found_by_name(book):
    def quoted(name, chapter="book/chapter"):
        return sum_up(list(agreement_rows(book, chapter, name)))

    assert quoted("σ < 1, n = 2") == "2.5 s.e. in 10 cells"
    assert quoted("σ < 1, *") == "10.2 s.e. in 20 cells"  # the largest as a number, not as text
    assert quoted("absent") == quoted("risk", "book/absent") == ""
