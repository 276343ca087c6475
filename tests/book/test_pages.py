"""Every page of the built book in a browser that has no network.

One visit to a page serves all its checks. Pictures of three pages, light and dark, and the weight
of every page stay in `_build/screenshots`; `pytest -s tests/book/test_pages.py` prints the weights.
"""

import gzip
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]

KEPT = Path(__file__).parents[2] / "_build" / "screenshots"
PICTURED = {"index", "when-does-transfer-help", "fine-tuning"}
MATHS = "mjx-container"  # it has the colour of the text it is in
BUDGET, BUDGET_WITH_WIDGETS = 1_000_000, 3_000_000  # bytes, compressed

# Where code is coloured, one span of each colour is as good as all: half of axe's time is saved.
ONE_OF_EACH = """
() => {
  const seen = new Set();
  for (const span of document.querySelectorAll(".highlight span[class]")) {
    if (seen.has(span.className)) span.replaceWith();
    else seen.add(span.className);
  }
}
"""


def pages(site):
    found = [*sorted((site / "book").rglob("*.html")), site / "search.html", site / "genindex.html"]
    assert len(found) > 5
    return found


@cache
def compressed(path):
    return len(gzip.compress(Path(path).read_bytes()))


def weight(asked):
    files = {unquote(urlsplit(url).path) for url in asked if url.startswith("file:")}
    return sum(map(compressed, files))


def test_every_page(site, visit, serious):
    KEPT.mkdir(exist_ok=True)
    wrong, weights = {}, {}
    for path in pages(site):
        page, problems = visit(path, asked=(asked := []))
        assert page.evaluate("document.documentElement.dataset.theme") == "light"
        written = page.locator("article .math").count()
        typeset = page.locator("article mjx-container").count()
        if typeset < written or page.locator("mjx-merror").count():
            problems.append(f"{written} formulas, {typeset} typeset")
        if path.parent != site and not page.locator(".prev-next-area a").count():
            problems.append("no way to the previous or the next page")

        name = path.relative_to(site).with_suffix("").as_posix().removeprefix("book/")
        widgets = page.locator(".widget-subarea").count()
        budget = BUDGET_WITH_WIDGETS if widgets else BUDGET
        weights[name] = weight(asked)
        if weights[name] > budget:
            problems.append(f"{weights[name]} bytes, of {budget}")

        for width in [390, 768, 1280]:
            page.set_viewport_size({"width": width, "height": 900})
            overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if overflow > 0:
                problems.append(f"{overflow} pixels too wide at {width}")

        for scheme in ["light", "dark"]:
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function(f"document.documentElement.dataset.theme == '{scheme}'")
            if name in PICTURED:
                page.screenshot(path=KEPT / f"{name}-{scheme}.png", full_page=True)
        page.evaluate(ONE_OF_EACH)
        colours = ["color-contrast", "link-in-text-block"]
        problems += [f"dark, {fault}" for fault in serious(page, ignore=[MATHS], rules=colours)]
        page.emulate_media(color_scheme="light")
        page.wait_for_function("document.documentElement.dataset.theme == 'light'")
        problems += serious(page)
        if problems:
            wrong[name] = problems
        page.close()
    table = "".join(f"{size / 1000:7.0f} kB  {name}\n" for name, size in weights.items())
    (KEPT / "weights.txt").write_text(table)
    print(f"\n{table}")
    assert not wrong, "\n".join(f"{name}: {text}" for name in wrong for text in wrong[name])


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("transfer", "when-does-transfer-help"),
        ("effective rank", "feature-sparsification"),
        ("null space", "fine-tuning"),
        ("arc-cosine", "from-lines-to-kernels"),
        ("effective_rank", "fatelib.linear"),
        ("ridge_risk", "fatelib.theory"),
        ("fine_tune", "fatelib.transfer"),
    ],
)
def test_the_search_finds(site, visit, words, page):
    found, problems = visit(f"{(site / 'search.html').as_uri()}?q={words}")
    found.locator(".search-summary:has-text('found')").wait_for()
    first = found.locator("#search-results li a").evaluate_all("all => all.map(a => a.href)")[:5]
    assert any(f"/{page}.html" in address for address in first), first
    assert problems == []


def test_it_works_below_any_prefix(site, visit, serve):
    home = serve(site, "/some/where/")
    for name in ["book/index.html", "book/fine-tuning.html", "search.html?q=risk"]:
        page, problems = visit(home + name, site=home)
        if "fine-tuning" in name:
            page.locator(".fatelib-widget").first.wait_for()
        if "search" in name:
            page.locator("#search-results li").first.wait_for()
        assert problems == []
    page.goto(home)
    page.wait_for_url(f"{home}book/index.html")


def test_the_keyboard_skips_to_the_text_and_shows_where_it_is(site, visit):
    page, _ = visit(site / "book" / "when-does-transfer-help.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.hash") == "#main-content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    page.locator(".toggle-button").first.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    solution = page.locator(".solution p:not(.admonition-title)").first
    assert not solution.is_visible()
    page.keyboard.press("Enter")
    assert solution.is_visible()


def test_less_motion_for_those_who_ask(site, visit):
    page, _ = visit(site / "book" / "when-does-transfer-help.html")
    assert page.evaluate("matchMedia('(prefers-reduced-motion: reduce)').matches")
    moving = "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e)"
    assert page.evaluate(f"{moving}.transitionDuration.match(/[1-9]/)).length") == 0
    assert page.evaluate(f"{moving}.animationName !== 'none').length") == 0


def test_on_paper_there_is_the_text_and_nothing_else(site, visit):
    page, _ = visit(site / "book" / "when-does-transfer-help.html")
    page.emulate_media(media="print")
    for selector in [".bd-sidebar-primary", ".bd-sidebar-secondary", "button", "input"]:
        seen = page.locator(f"{selector}:visible")
        assert seen.evaluate_all("all => all.map(e => e.outerHTML)") == []
    for solution in page.locator(".solution").all():
        assert solution.locator("p:not(.admonition-title)").first.is_visible()
