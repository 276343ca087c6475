"""The landing page: its question and its picture in the first screen, and what moves there."""

import re

import numpy as np
import pytest

from fatelib import theory

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SCREENS = {
    "laptop": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "dark",
        "has_touch": True,
        "is_mobile": True,
    },
}
NOISE = "#fig-landing input[type=range]"
# Every noise that is chosen, by whomever, from the beginning.
NOTE = """
window.noises = [];
document.addEventListener("input", (event) => noises.push(Number(event.target.value)), true);
"""
SHOWN = "#fig-landing .readout:has-text('=')"


@pytest.fixture
def landing(site, browser):
    """Open the landing page on a screen, for a reader who may have asked for less motion."""
    contexts, problems = [], []

    def open_page(screen="laptop", motion="reduce"):
        context = browser.new_context(**SCREENS[screen], reduced_motion=motion)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.add_init_script(NOTE)
        page.goto((site / "book" / "index.html").as_uri())
        page.locator(SHOWN).wait_for(timeout=30_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.mark.parametrize("screen", SCREENS)
def test_the_question_and_the_picture_share_the_first_screen(landing, screen):
    page = landing(screen)
    height = SCREENS[screen]["viewport"]["height"]
    title = page.locator("article h1")
    assert re.match("When does a pretrained network beat training from scratch", title.inner_text())
    box = title.bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] < height / 3
    slider = page.locator(NOISE).bounding_box()
    assert slider["y"] + slider["height"] < height
    area = page.locator("#fig-landing .hit").first.bounding_box()
    assert (height - area["y"]) / area["height"] > 0.8, "the map is below the fold"
    for later in page.locator("article :is(table, .sd-card, figcaption)").all():
        assert later.bounding_box()["y"] > area["y"] + area["height"]
    assert page.evaluate("scrollY") == 0


def test_the_black_line_is_where_they_tie(landing):
    page = landing()
    area = page.locator("#fig-landing .hit").first.evaluate(
        "node => ['left', 'top', 'width', 'height'].map(side => parseFloat(node.style[side]))"
    )
    left, top, width, height = area
    for index, sigma in [(6, 0.2), (1, 0.1), (16, 0.4)]:
        page.locator(NOISE).evaluate(
            "(slider, at) => { slider.value = at; slider.dispatchEvent(new Event('input')); }",
            index,
        )
        assert f"σ = {sigma:g}" in page.locator(SHOWN).inner_text()
        line = page.locator("#fig-landing .contour").get_attribute("d")
        x, y = np.array(re.findall(r"[ML]([\d.]+),([\d.]+)", line), float).T
        assert len(x) > 200
        # 61 columns from 0 to 90 degrees and 100 rows from 0.01 to 1.99, whose cells fill the map.
        angle = np.radians(((x - left) / width * 61 - 0.5) * 1.5)
        gamma = (1 - (y - top) / height) * 2
        # The line passes from one sign to the other within a cell of each of its points.
        around = [
            theory.linear_transferability(np.maximum(gamma + a, 1e-3), angle + b, sigma)
            for a in (-0.015, 0, 0.015)
            for b in (-0.02, 0, 0.02)
        ]
        assert (np.min(around, axis=0) <= 1e-6).all()
        assert (np.max(around, axis=0) >= -1e-6).all()


def test_nothing_moves_for_those_who_ask_for_less_motion(landing):
    page = landing(motion="reduce")
    page.wait_for_timeout(2500)
    assert page.evaluate("noises") == []


@pytest.mark.parametrize("screen", SCREENS)
def test_the_picture_moves_once_and_ends_where_it_began(landing, screen):
    page = landing(screen, motion="no-preference")
    page.wait_for_function("noises.length > 5")
    assert page.locator("#fig-landing .readout").get_attribute("aria-live") == "off"
    polite = "document.querySelector('#fig-landing .readout').ariaLive === 'polite'"
    page.wait_for_function(polite, timeout=30_000)
    noises = [6, *page.evaluate("noises")]
    assert (min(noises), max(noises), noises[-1]) == (0, 21, 6)
    assert set(np.abs(np.diff(noises))) == {1}
    page.wait_for_timeout(1000)
    assert len(page.evaluate("noises")) == len(noises) - 1
    assert "σ = 0.2" in page.locator(SHOWN).inner_text()


@pytest.mark.parametrize("act", ["press", "point", "key"])
def test_it_stops_at_the_first_touch(landing, act):
    page = landing(motion="no-preference")
    page.wait_for_function("noises.length > 3")
    if act == "press":
        page.mouse.click(700, 90)
    elif act == "point":
        page.locator("#fig-landing .hit").first.hover(position={"x": 50, "y": 50})
    else:
        page.keyboard.press("Shift")
    stopped = len(page.evaluate("noises"))
    page.wait_for_timeout(1000)
    assert len(page.evaluate("noises")) == stopped
    assert stopped < 30
    assert page.locator("#fig-landing .readout").get_attribute("aria-live") == "polite"


def test_three_results_have_pictures_with_names(landing):
    page = landing()
    cards = page.locator("#three-results .sd-card")
    assert cards.count() == 3
    for card in cards.all():
        drawing = card.locator("svg.thumbnail")
        assert len(drawing.get_attribute("aria-label")) > 40
        assert drawing.bounding_box()["height"] > 80
        assert drawing.locator("path.curve").count() >= 2
        assert card.locator("a[href$='.html']").count() == 1
