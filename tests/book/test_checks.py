"""One line where theory and experiment were compared, the tables on a page of their own."""

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from _extensions import checks
from _extensions.checks import find, look, rows, sum_up, table, with_formulas
from _extensions.notebooks import export
from _extensions.plain_markdown import References
from _extensions.reader import read
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.utils import new_document
from scipy.stats import t as student_t

import fatelib

ROOT = Path(__file__).parents[2]


CELL = """
# %%
#| tags: [check]
# The theory is for $d \\to \\infty$, so that
# 0.1 is allowed.
#
# Left out is what did not converge.
import fatelib

# Not a reason.
fatelib.agreement_table(pairs, over=None, tolerance=0.1)
""".lstrip()


def agreement(*lines):
    return fatelib.agreement.Agreement(tuple(fatelib.agreement.Comparison(*line) for line in lines))


def in_standard_errors(name="risk", cells=24, left_out=0, deviation=2.5, tolerance=4.0):
    return (name, cells, left_out, deviation, "theta = 0.5", "standard errors", tolerance)


def absolute(name="strength", cells=10, left_out=0, deviation=0.001, tolerance=0.02):
    return (name, cells, left_out, deviation, "", "absolute", tolerance)


def line(*lines):
    return "".join(sum_up(rows(agreement(*lines)._repr_html_())))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [in_standard_errors()],
            "24 cells agree with theory, at worst 2.5 of 4 standard errors.",
        ),
        (
            [in_standard_errors(cells=1, left_out=3)],
            "1 cell agrees with theory, at worst 2.5 of 4 standard errors; 3 left out.",
        ),
        (  # the worst is the one nearest to its own tolerance
            [
                in_standard_errors(deviation=3.0, tolerance=5.5, left_out=1200),
                in_standard_errors(),
            ],
            "48 cells agree with theory, at worst 2.5 of 4 standard errors; 1,200 left out.",
        ),
        (  # the other way round
            [in_standard_errors(), in_standard_errors(deviation=3.0, tolerance=3.2)],
            "48 cells agree with theory, at worst 3 of 3.2 standard errors.",
        ),
        (
            [absolute(), absolute("rank", cells=2, deviation=0.019)],
            "12 cells agree with theory, at worst 0.019 of 0.02 (rank).",
        ),
        (  # what several rows measure is named once
            [absolute("a: relative"), absolute("b: relative", cells=3000)],
            "3,010 cells agree with theory, at worst 0.001 of 0.02 (relative).",
        ),
        (  # standard errors and absolute distances are not compared with one another
            [absolute(deviation=0.02), in_standard_errors(deviation=0.1)],
            "34 cells agree with theory, at worst 0.1 of 4 standard errors and "
            "0.02 of 0.02 (strength).",
        ),
        (
            [absolute(deviation=0.0, tolerance=0.0)],
            "10 cells agree with theory, at worst 0 of 0 (strength).",
        ),
    ],
)
def test_the_line_sums_up_its_tables(lines, expected):
    assert line(*lines) == expected


def test_a_table_is_read_whole_whatever_the_names_of_its_rows():
    shown = agreement(in_standard_errors("a < b & c", left_out=2))
    (row,) = rows(shown._repr_html_())
    assert list(row.values()) == ["a < b & c", "24", "2", "2.5 s.e.", "theta = 0.5", "4 s.e."]
    cells = BeautifulSoup(table([row]), "html.parser").find_all("td")
    assert {cell["data-column"]: cell.text for cell in cells} == row


def test_formulas_of_a_reason():
    parts = with_formulas("of order $1/d$, so $x$")
    assert [type(part) for part in parts] == [nodes.Text, nodes.math, nodes.Text, nodes.math]
    assert [part.astext() for part in parts] == ["of order ", "1/d", ", so ", "x"]


def page(*parts):
    """A page of paragraphs (text) and cells (dictionaries)."""
    doctree = new_document("chapter")
    section = nodes.section("", nodes.title("", "Title"), ids=["title"])
    doctree += section
    for part in parts:
        if isinstance(part, str):
            section += nodes.paragraph("", part)
            continue
        metadata = {"tags": part.get("tags", [])}
        cell = nodes.container(nb_element="cell_code", cell_metadata=metadata)
        cell.line = 7
        if "figure" in part:
            cell += nodes.figure(ids=[part["figure"]])
        if "tables" in part:
            for lines in part["tables"]:
                cell += nodes.raw("", agreement(*lines)._repr_html_(), format="html")
        section += cell
    return doctree


FIGURE, CHECK = {"figure": "fig-a"}, {"tags": ["check"], "tables": [[in_standard_errors()]]}


def test_a_check_knows_its_figure_where_nothing_but_checks_is_between():
    doctree = page(CHECK, FIGURE, CHECK, CHECK, "text", CHECK, {}, CHECK)
    found = list(find(doctree, "book/chapter"))
    assert [check.figure for check in found] == ["", "fig-a", "fig-a", "", ""]
    assert [check.name for check in found] == [f"check-chapter-{i}" for i in range(1, 6)]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (CHECK, None),
        ({"tags": ["check"]}, "shows no table of agreement"),
        ({"tables": [[absolute()]]}, "needs the tag 'check'"),
        ({}, None),
    ],
)
def test_authors_learn_the_rule(monkeypatch, cell, message):
    said = []
    monkeypatch.setattr(checks.logger, "warning", lambda text, location: said.append(text))
    env = SimpleNamespace(docname="book/chapter", metadata={"book/chapter": {}})
    look(SimpleNamespace(env=env), page(FIGURE, cell))
    assert [message in text for text in said] == ([True] if message else [])


def test_an_exported_notebook_keeps_the_cell_and_its_table():
    notebook = export("# %% [markdown]\n# # T\n\n" + CELL, References(), "", pytest.fail)
    cell = nbformat.reads(notebook, as_version=4).cells[-1]
    assert cell.cell_type == "code"
    assert cell.source.startswith("# The theory is for $d")
    assert cell.source.endswith("fatelib.agreement_table(pairs, over=None, tolerance=0.1)")
    assert "reason" not in cell.metadata


def test_what_the_page_says_of_four_standard_errors():
    text = (ROOT / "book" / "checks.md").read_text(encoding="utf-8")
    said = re.findall(r"one (?:in|of|in one of) ([\d,]+)", " ".join(text.split()))
    assert [int(number.replace(",", "")) for number in said] == [17, 140, 1300]
    for k, number in zip((2, 3, 4), (17, 140, 1300), strict=True):
        assert abs(1 / (2 * student_t.sf(k, 19)) / number - 1) < 0.05


def sources():
    """The chapters, in the order of the book, with the number of checks in each."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    pages = [contents["root"]] + [
        chapter["file"] for part in contents["parts"] for chapter in part["chapters"]
    ]
    for name in pages:
        file = ROOT / f"{name}.py"
        if file.is_file():
            cells = read(file.read_text(encoding="utf-8")).cells
            count = sum("check" in cell.metadata.get("tags", []) for cell in cells)
            if count:
                yield name.removeprefix("book/"), count


def soup(site, name):
    text = (site / "book" / f"{name}.html").read_text(encoding="utf-8")
    return BeautifulSoup(text, "html.parser")


def test_every_check_has_its_line_in_the_chapter_and_its_entry_on_the_page(site):
    everything = soup(site, "checks")
    expected = []
    for chapter, count in sources():
        article = soup(site, chapter).find("article")
        lines = article.select("p.check")
        assert len(lines) == count, chapter
        assert not article.select("table.agreement"), chapter
        for i, shown in enumerate(lines, 1):
            expected.append(f"check-{chapter}-{i}")
            link = shown.a
            assert link["href"] == f"checks.html#{expected[-1]}"
            entry = everything.find(id=expected[-1])
            head = [cell.text for cell in entry.select("thead th")]
            body = [[cell.text for cell in row.select("td")] for row in entry.select("tbody tr")]
            found = [dict(zip(head, row, strict=True)) for row in body]
            assert shown.text == "".join(sum_up(found))
    assert [entry["id"] for entry in everything.select(".check-entry")] == expected


def test_every_exception_is_explained(site):
    """Left-out cells, and tolerances other than four standard errors, have their reason."""
    for entry in soup(site, "checks").select(".check-entry"):
        for row in entry.select("tbody tr"):
            left_out = row.find("td", {"data-column": "left out"}).text
            tolerance = row.find("td", {"data-column": "tolerance"}).text
            if left_out != "0" or tolerance != "4 s.e.":
                assert entry.p, f"{entry['id']} has no reason"


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_on_a_phone_and_on_paper(site, visit):
    shown, problems = visit(site / "book" / "checks.html", phone=True)
    first = shown.locator("table.check").first
    assert first.locator("thead").is_hidden()
    column = first.locator("td").nth(1)
    name = column.evaluate("cell => getComputedStyle(cell, '::before').content")
    assert "cells: " in name
    wide = "[...document.querySelectorAll('table.check')].map(t => t.scrollWidth - 390)"
    assert max(shown.evaluate(wide)) <= 0
    assert problems == []
    shown.emulate_media(media="print")
    assert first.is_visible()
