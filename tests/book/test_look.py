"""How pages look, where a rule can say it: numbers, proofs, the search, formulas at line ends."""

import pytest

pytestmark = pytest.mark.browser

CHAPTER = "book/fine-tuning.html"


def test_computed_numbers_look_like_the_text_they_stand_in(site, visit):
    page, _ = visit(site / CHAPTER)
    weights = page.evaluate(
        "[...document.querySelectorAll('.bd-article p > .pasted-text')].map((node) =>"
        " [node, node.parentElement].map((one) => getComputedStyle(one).fontWeight))"
    )
    assert weights
    assert all(one == other for one, other in weights)


@pytest.mark.parametrize("phone", [False, True])
def test_no_sign_after_a_formula_opens_a_line(site, visit, phone):
    page, _ = visit(site / CHAPTER, phone=phone)
    broken = page.evaluate(
        """[...document.querySelectorAll(".bd-article .formula-and-sign")].map((piece) => {
          const formula = piece.querySelector("mjx-container").getBoundingClientRect();
          const sign = document.createRange();
          sign.selectNodeContents(piece.lastChild);
          return [formula, sign.getBoundingClientRect()];
        }).map(([formula, sign]) => sign.bottom < formula.top || sign.top > formula.bottom)"""
    )
    assert len(broken) > 50
    assert not any(broken)


def test_a_proof_ends_with_a_mark_and_no_box_has_a_bell(site, visit):
    page, _ = visit(site / CHAPTER)
    bells = page.evaluate(
        "[...document.querySelectorAll('.proof > .admonition-title')]"
        ".map((title) => getComputedStyle(title, '::after').content)"
    )
    assert bells
    assert set(bells) == {"none"}
    marks = page.evaluate(
        """[...document.querySelectorAll("div#proof")].map((proof) =>
          [proof, ...proof.querySelectorAll("*")].filter((node) =>
            getComputedStyle(node, "::after").content.includes("\u25a1")).length)"""
    )
    assert marks
    assert set(marks) == {1}


def test_the_glass_stands_beside_what_is_searched_for(site, visit):
    page, _ = visit(site / "search.html")
    box = "(node) => { const box = node.getBoundingClientRect(); return [box.left, box.right]; }"
    glass = page.locator(".bd-search-container form svg, .bd-search-container form i").first
    field = page.locator(".bd-search-container form input").first
    padding = field.evaluate("(node) => parseFloat(getComputedStyle(node).paddingLeft)")
    assert glass.evaluate(box)[1] <= field.evaluate(box)[0] + padding


def test_wide_figures_stay_on_the_page(site, visit):
    page, _ = visit(site / "book" / "linear-transfer.html")
    page.set_viewport_size({"width": 1280, "height": 800})
    edges = page.evaluate(
        """[...document.querySelectorAll(".variants.wide img.only-light")].map((image) =>
          [image, image.closest(".bd-article-container")].map((node) => {
            const box = node.getBoundingClientRect();
            return [box.left, box.right];
          }))"""
    )
    assert edges
    for (left, right), (start, end) in edges:
        assert start <= left
        assert right <= end


def test_results_of_a_search_say_what_stands_around_the_words(site, browser, serve):
    page = browser.new_page()
    page.goto(serve(site, "/fatelib/") + "search.html?q=sixty")
    page.wait_for_selector("#search-results li p.context, #search-results li .search-summary p")
    page.close()
