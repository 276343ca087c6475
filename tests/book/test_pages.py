"""Every page of the built book in a browser that has no network."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]

# Text against what is behind it, by WCAG's formula; pictures have colours of their own.
CONTRASTS = """
() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const luminance = rgb => {
    const [r, g, b] = rgb.map(v => v / 255)
      .map(v => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(e).backgroundColor);
      if (a > 0.5) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const low = [];
  const article = document.querySelector("article") || document.createElement("div");
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest("svg, script, style, .headerlink, .cell_output .widget-subarea")) continue;
    const [a, b] = [luminance(parse(getComputedStyle(element).color).slice(0, 3)),
                    luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const least = element.closest("pre") ? 3 : 4.5;
    if (ratio < least) low.push(`${ratio.toFixed(1)}: ${walker.currentNode.textContent.trim()}`);
  }
  return low.slice(0, 5);
}
"""


def pages(site):
    found = [*sorted((site / "book").rglob("*.html")), site / "search.html", site / "genindex.html"]
    assert len(found) > 5
    return found


def test_every_page(site, visit):
    wrong = {}
    for path in pages(site):
        page, problems = visit(path)
        assert page.evaluate("document.documentElement.dataset.theme") == "light"
        written = page.locator("article .math").count()
        typeset = page.locator("article mjx-container").count()
        if typeset < written or page.locator("mjx-merror").count():
            problems.append(f"{written} formulas, {typeset} typeset")
        problems += [f"light, contrast {text}" for text in page.evaluate(CONTRASTS)]

        for width in [390, 768, 1280]:
            page.set_viewport_size({"width": width, "height": 900})
            overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if overflow > 0:
                problems.append(f"{overflow} pixels too wide at {width}")

        page.emulate_media(color_scheme="dark")
        page.wait_for_function("document.documentElement.dataset.theme == 'dark'")
        page.wait_for_timeout(200)  # colours fade
        problems += [f"dark, contrast {text}" for text in page.evaluate(CONTRASTS)]
        if problems:
            wrong[path.name] = problems
        page.close()
    assert wrong == {}


def test_the_search_finds(site, visit):
    page, problems = visit(site / "search.html", "?q=transfer")
    page.locator("#search-results li").first.wait_for()
    assert problems == []
