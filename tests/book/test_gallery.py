"""The gallery leaves no figure out, quotes what its chapters computed, and can be filtered."""

import re
from collections import Counter
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


CARDS = re.findall(r"^:::::\{grid-item-card\}.*\n:class-item: (.*)\n", GALLERY.read_text(), re.M)
GROUPS = {
    "from": {"paper", "ours"},
    "part": {"part-1", "part-2", "part-3"},
    "kind": {"map", "samples", "time", "curve"},
}


def test_every_figure_is_of_one_source_one_part_and_one_kind():
    assert len(CARDS) == GALLERY.read_text().count("{quoted-figure}")
    for classes in CARDS:
        assert [len(group & set(classes.split())) for group in GROUPS.values()] == [1, 1, 1]
    offered = re.findall(r'name="(\w+)" value="([\w-]+)"', GALLERY.read_text())
    assert offered == [(name, value) for name, value in offered if value in GROUPS[name]]
    assert len(offered) == sum(map(len, GROUPS.values()))


def shown(page):
    return page.locator(".gallery > .sd-col:visible").count()


def expected(*wanted):
    return sum(set(wanted) <= set(classes.split()) for classes in CARDS)


@pytest.mark.slow
@pytest.mark.browser
def test_the_filter_works_by_mouse_and_by_keyboard(site, visit):
    page, problems = visit(site / "book" / "gallery.html")
    status = page.locator(".gallery-filter [role=status]")
    assert shown(page) == len(CARDS)
    assert status.inner_text() == f"All {len(CARDS)} figures"
    page.locator("label:has-text('ours')").click()
    page.locator(f"[role=status]:has-text('{expected('ours')} of')").wait_for()
    assert shown(page) == expected("ours") > 0
    page.keyboard.press("Tab")  # to the parts, of which all are chosen
    page.keyboard.press("ArrowRight")
    assert shown(page) == expected("ours", "part-1") > 0
    assert status.inner_text() == f"{expected('ours', 'part-1')} of {len(CARDS)} figures"
    focused = "getComputedStyle(document.activeElement.closest('label')).outlineStyle"
    assert page.evaluate(focused) == "solid"
    page.locator("label:has-text('both')").click()
    page.locator("label:has-text('over training time')").click()
    assert shown(page) == expected("part-1", "time") > 0
    assert problems == []


@pytest.mark.slow
@pytest.mark.browser
def test_pictures_are_large_on_both_screens(site, visit):
    for phone, columns in [(False, 2), (True, 1)]:
        page, _ = visit(site / "book" / "gallery.html", phone=phone)
        boxes = [card.bounding_box() for card in page.locator(".gallery > .sd-col").all()]
        assert set(Counter(round(box["y"]) for box in boxes[:4]).values()) == {columns}
        widths = page.locator(".gallery img").evaluate_all(
            "all => all.map(e => e.clientWidth).filter((width) => width)"
        )
        assert min(widths) > 250


@pytest.mark.slow
@pytest.mark.browser
def test_without_scripts_the_gallery_is_a_plain_grid(site, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "book" / "gallery.html").as_uri())
    assert shown(page) == len(CARDS)
    assert not page.locator(".gallery-filter").is_visible()
    context.close()
