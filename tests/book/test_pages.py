"""Every page of the built book in a browser that has no network.

One visit to a page serves all its checks. Pictures of three pages, light and dark, and the weights
of all pages stay in `_build/screenshots`.
"""

import fcntl
import gzip
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]

BUILT = Path(__file__).parents[2] / "_build"
SITE, KEPT = BUILT / "html", BUILT / "screenshots"
PAGES = {
    path.relative_to(SITE).with_suffix("").as_posix().removeprefix("book/"): path
    for path in [*(SITE / "book").rglob("*.html"), SITE / "search.html", SITE / "genindex.html"]
}
PICTURED = {"index", "when-does-transfer-help", "fine-tuning"}
BUDGET, BUDGET_WITH_WIDGETS = 1_000_000, 1_500_000  # bytes, compressed

# What axe looks at: everything on a phone in the dark and on a laptop in the light; on a laptop in
# the dark what stands beside the text, which a phone hides.
VIEWS = [
    (390, "dark", "html"),
    (1280, "dark", {"include": [".bd-sidebar-primary", ".bd-sidebar-secondary"]}),
    (1280, "light", "html"),
]

# A moment after the window has changed, the theme lets the keyboard scroll what is now too wide.
WITHIN_REACH = """
() => [...document.querySelectorAll("article [tabindex='-1']")].every(
  (node) => node.scrollWidth <= node.clientWidth
)
"""

# Of each picture the theme's variant is shown, on a phone nearly as large as it was drawn, and what
# is cut has a shade at its edge.
PICTURES_AND_EQUATIONS = """
() => {
  const faults = [];
  const shown = (node) => node.getClientRects().length > 0;
  for (const fold of document.querySelectorAll("article details")) fold.open = true;
  for (const image of document.querySelectorAll("article.bd-article img"))
    if (!image.closest(".variants")) faults.push(`only one variant: ${image.src}`);
  for (const theme of ["dark", "light"]) {
    document.documentElement.dataset.theme = theme;
    for (const variants of document.querySelectorAll(".variants")) {
      const seen = [...variants.querySelectorAll("img")].filter(shown);
      if (seen.length !== 1 || !seen[0].matches(`.only-${theme}`)) {
        faults.push(`${seen.length} variants in the ${theme}: ${variants.innerHTML}`);
        continue;
      }
      const narrow = seen[0].parentElement.querySelector("source");
      const size = seen[0].getBoundingClientRect().width / narrow?.getAttribute("width");
      if (!(size > 0.8)) faults.push(`${size} of its size: ${seen[0].src}`);
    }
  }
  const wide = [];
  for (const node of document.querySelectorAll("article *")) {
    const { overflowX, backgroundImage } = getComputedStyle(node);
    if (node.scrollWidth <= node.clientWidth || !["auto", "scroll"].includes(overflowX)) continue;
    const equation = node.matches("mjx-container, div.math");
    if (equation) wide.push(`${node.scrollWidth} in ${node.clientWidth}: ${node.textContent}`);
    if (!equation && !node.querySelector(":scope > table")) continue;
    if (!backgroundImage.includes("gradient")) faults.push(`no shade: ${node.outerHTML}`);
  }
  return [faults, wide];
}
"""

# One formula in a line, one on its own and one span of each colour of code are as good as all,
# unless they scroll: half of axe's time is saved. Everything stays as large as it is.
ONE_OF_EACH = """
() => {
  const seen = new Set();
  const again = (kind) => seen.has(kind) || !seen.add(kind);
  for (const span of [...document.querySelectorAll(".highlight span, .sig span")].reverse()) {
    const kind = `${span.parentElement.className} ${span.className}`;
    if (!span.children.length && again(kind)) span.replaceWith(span.textContent);
  }
  document.body.normalize();
  const scrolls = (node) => node.scrollWidth > node.clientWidth
    && getComputedStyle(node).overflowX !== "visible";
  const formulas = [...document.querySelectorAll("mjx-container")].filter(
    (node) => !scrolls(node) && again(node.getAttribute("display"))
  );
  const boxes = formulas.map((node) => node.getBoundingClientRect());
  formulas.forEach((node, i) => {
    const [width, height] = [boxes[i].width, boxes[i].height].map((side) => `${side}px`);
    const display = node.hasAttribute("display") ? "block" : "inline-block";
    node.replaceChildren();
    Object.assign(node.style, { display, width, height });
  });
}
"""


@cache
def compressed(path):
    return len(gzip.compress(Path(path).read_bytes()))


def weigh(name, asked):
    """The bytes that a page asks for; noted in the list of all pages, which workers share."""
    files = {unquote(urlsplit(url).path) for url in asked if url.startswith("file:")}
    size = sum(map(compressed, files))
    with open(KEPT / "weights.txt", "a+") as table:
        fcntl.flock(table, fcntl.LOCK_EX)
        table.seek(0)
        lines = {line.split()[-1]: line for line in table}
        lines[name] = f"{size / 1000:7.0f} kB  {name}\n"
        table.truncate(0)
        table.writelines(sorted(lines.values()))
    return size


@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_page(site, visit, serious, name):
    KEPT.mkdir(exist_ok=True)
    page, problems = visit(PAGES[name], asked=(asked := []))
    written = page.locator("article .math").count()
    typeset = page.locator("article mjx-container").count()
    if typeset < written or page.locator("mjx-merror").count():
        problems.append(f"{written} formulas, {typeset} typeset")
    if PAGES[name].parent != site and not page.locator(".prev-next-area a").count():
        problems.append("no way to the previous or the next page")
    budget = BUDGET_WITH_WIDGETS if page.locator(".widget-subarea").count() else BUDGET
    if (size := weigh(name, asked)) > budget:
        problems.append(f"{size} bytes, of {budget}")

    def look(width, scheme):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")

    for width, scheme in [(1280, "light"), (1280, "dark"), (768, "dark"), (390, "dark")]:
        look(width, scheme)
        overflow = page.evaluate("document.documentElement.scrollWidth") - width
        if overflow > 0:
            problems.append(f"{overflow} pixels too wide at {width}")
        if name in PICTURED and width == 1280:
            page.screenshot(path=KEPT / f"{name}-{scheme}.png", full_page=True)
    page.wait_for_function(WITHIN_REACH)
    page.evaluate(ONE_OF_EACH)
    for width, scheme, part in VIEWS:
        look(width, scheme)
        problems += [f"{width} pixels, {scheme}: {fault}" for fault in serious(page, part)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_figures_and_equations_fit_a_phone(site, visit, name):
    page, _ = visit(PAGES[name], phone=True, asked=(asked := []))
    faults, wide = page.evaluate(PICTURES_AND_EQUATIONS)
    if not name.startswith("api/"):
        faults += wide
    faults += [url for url in asked if url.endswith(".svg") and "/_images/" in url
               and not url.endswith("-narrow-dark.svg")]  # fmt: skip
    assert not faults, "\n".join(faults)


def test_a_laptop_in_the_light_loads_neither_narrow_nor_dark_pictures(site, visit):
    visit(site / "book" / "fine-tuning.html", asked=(asked := []))
    loaded = [url for url in asked if "/_images/" in url]
    assert loaded
    assert not [url for url in loaded if "-narrow" in url or "-dark" in url]


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
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert page.locator(".variants img.only-light").first.is_visible()
    assert not page.locator(".variants img.only-dark").first.is_visible()


def test_a_link_into_a_solution_opens_it(site, visit):
    page, problems = visit(site / "book" / "the-baseline-matters.html")
    figure = page.locator("#fig-l2sp")
    assert not figure.is_visible()
    page.evaluate("location.hash = 'fig-l2sp'")
    figure.wait_for(state="visible", timeout=5000)
    assert not problems
