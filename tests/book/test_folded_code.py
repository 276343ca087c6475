"""Folded code: one control for a run of cells, one for the page."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from _extensions.folded_code import add_button, close_fold, open_fold, share
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.utils import new_document
from myst_nb.sphinx_ import HideCodeCellNode

ROOT = Path(__file__).parents[2]


def cell(code, *, folded=True, result="", everything=False):
    """A cell as MyST-NB leaves it."""
    source = nodes.container(nb_element="cell_code_source")
    source += nodes.literal_block(code, code)
    whole = nodes.container(nb_element="cell_code")
    output = nodes.container("", nodes.paragraph("", result), nb_element="cell_code_output")
    outputs = [output] if result else []
    if not folded:
        whole += [source, *outputs]
    elif everything:
        whole += HideCodeCellNode("", source, *outputs)
    else:
        whole += [HideCodeCellNode("", source), *outputs]
    return whole


def shared(*parts):
    doctree = new_document("chapter")
    doctree += parts
    share(None, doctree, "chapter")
    shown = []
    for part in doctree.children:
        folds = list(part.findall(HideCodeCellNode))
        codes = [block.astext() for fold in folds for block in fold.findall(nodes.literal_block)]
        texts = [text.astext() for text in part.findall(nodes.paragraph)]
        shown.append((codes, texts))
    return shown


def test_a_run_of_folded_cells_has_one_control():
    figure, check = cell("draw()", result="figure"), cell("compare()", result="line")
    assert shared(cell("import a"), figure, check) == [
        (["import a", "draw()", "compare()"], []),
        ([], ["figure"]),
        ([], ["line"]),
    ]


def test_a_cell_that_only_has_code_leaves_nothing_behind():
    assert shared(cell("a"), cell("b"), nodes.paragraph("", "text"), cell("c")) == [
        (["a", "b"], []),
        ([], ["text"]),
        (["c"], []),
    ]


def test_open_cells_and_folded_results_keep_their_place():
    opened = cell("experiment()", folded=False)
    hidden = cell("test()", result="passed", everything=True)
    assert shared(cell("a"), opened, cell("b"), hidden, cell("c")) == [
        (["a"], []),
        ([], []),
        (["b"], []),
        (["test()"], ["passed"]),
        (["c"], []),
    ]


@pytest.mark.parametrize(("everything", "name"), [(False, "Code"), (True, "Code and result")])
def test_the_control_says_what_it_opens(everything, name):
    fold = cell("a", result="b", everything=everything).children[0]
    written = SimpleNamespace(body=[])
    open_fold(written, fold)
    close_fold(written, fold)
    html = BeautifulSoup("".join(written.body), "html.parser")
    assert html.details.summary.text == name
    assert "admonition" not in html.details["class"]


@pytest.mark.parametrize("folded", [True, False])
def test_only_a_page_with_folded_code_has_the_button(folded):
    doctree = new_document("chapter")
    doctree += cell("a", folded=folded)
    context = {"header_buttons": []}
    add_button(None, "chapter", "", context, doctree)
    assert len(context["header_buttons"]) == folded
    add_button(None, "search", "", {}, None)


CHAPTER = "deep-linear-dynamics"
OPEN = "all => [all.length, all.filter(fold => fold.open).length]"


@pytest.mark.slow
@pytest.mark.browser
def test_the_button_opens_all_and_the_browser_remembers(site, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto((site / "book" / f"{CHAPTER}.html").as_uri())
    folds, button = page.locator("details.folded"), page.locator(".btn-folded-code")
    count, opened = folds.evaluate_all(OPEN)
    assert count > 2
    assert opened == 0
    assert button.get_attribute("aria-pressed") == "false"
    button.focus()
    page.keyboard.press("Enter")
    assert folds.evaluate_all(OPEN) == [count, count]
    assert button.get_attribute("aria-pressed") == "true"
    page.reload()
    assert folds.evaluate_all(OPEN) == [count, count]
    page.keyboard.press("Escape")
    button.focus()
    page.keyboard.press("Space")
    page.reload()
    assert folds.evaluate_all(OPEN) == [count, 0]

    page.emulate_media(media="print")
    assert button.is_hidden()
    assert folds.first.is_hidden()
    context.close()


@pytest.mark.slow
@pytest.mark.browser
def test_what_is_open_at_first_does_not_move_the_page(site, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script("localStorage.setItem('folded-code', 'shown')")
    page = context.new_page()
    page.add_init_script(
        "window.moved = 0; new PerformanceObserver((list) => {"
        "for (const shift of list.getEntries()) for (const { node } of shift.sources)"
        "if (node?.closest?.('details.folded')) window.moved += shift.value;"
        "}).observe({ type: 'layout-shift', buffered: true });"
    )
    page.goto((site / "book" / f"{CHAPTER}.html").as_uri())
    page.wait_for_timeout(500)
    count, opened = page.locator("details.folded").evaluate_all(OPEN)
    assert count == opened
    assert page.evaluate("window.moved") < 0.01
    context.close()


@pytest.mark.slow
@pytest.mark.browser
def test_no_line_of_code_is_cut_on_a_laptop(site, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script("localStorage.setItem('folded-code', 'shown')")
    cut = []
    for path in sorted((ROOT / "book").glob("*.py")):
        page.goto((site / "book" / f"{path.stem}.html").as_uri())
        boxes = page.locator("div.cell_input pre")
        cut += boxes.evaluate_all(
            "(all, name) => all.filter(pre => pre.scrollWidth > pre.clientWidth)"
            ".map(pre => [name, pre.scrollWidth - pre.clientWidth, pre.textContent])",
            path.stem,
        )
    page.close()
    assert cut == []
