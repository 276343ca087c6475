"""The plane of `null_space` in a browser, against `fatelib.theory`."""

import math
import re

import pytest

from fatelib import theory
from fatelib.widgets import null_space

pytestmark = pytest.mark.browser


def readout(page):
    return " ".join(page.inner_text(".readout").split()).replace("−", "-")


def says(page, degrees, length=1.0, gamma=0.5, sigma=0.0, depth=2):
    """Assert that the read-out shows the library's values, to the decimals it shows."""
    text = readout(page)
    kappa = theory.fine_tuning_scale_from_norms(
        theory.interpolator_norm2(gamma, sigma), length**2, gamma * length**2, depth=depth
    )
    reach = float(kappa) * length
    gain = (1 - gamma) * (2 * reach * math.cos(math.radians(degrees)) - reach**2)
    if length == 1:  # theory has a formula of its own
        theta = math.radians(abs(degrees))
        direct = theory.fine_tuning_transferability(gamma, theta, sigma, depth=depth)
        assert gain == pytest.approx(float(direct), abs=1e-5)
    risk = float(theory.scratch_risk(gamma, sigma))
    expected = {"Tft": gain, "Rscratch": risk, "Rft": risk - gain, "κ": float(kappa)}
    for name, value in expected.items():
        shown = re.search(rf"{name} = (-?[\d.]+)", text)[1]
        assert len(shown.partition(".")[2]) == 3
        assert float(shown) == pytest.approx(value, abs=0.0005 + 1e-5)
    for part in (
        f"θ = {abs(degrees)}°",
        f"‖βs‖ = {length:g} ",
        f"γ = {gamma:g} ",
        f"σ = {sigma:g} ",
    ):
        assert part in text
    if reach < 2:
        limit = float(re.search(r"up to ([\d.]+)°", text)[1])
        assert limit == pytest.approx(math.degrees(math.acos(reach / 2)), abs=0.05 + 1e-3)
    if abs(gain) > 0.001:
        assert ("helps," in text) == (gain > 0)


def spot(page, degrees, length):
    """Where in the window the end of a vector is drawn."""
    box = page.locator(".plot > svg").bounding_box()
    unit = box["height"] / 2.9  # the plane shows [-1.35, 2.75] x [-1.45, 1.45]
    x, y = length * math.cos(math.radians(degrees)), length * math.sin(math.radians(degrees))
    return box["x"] + (x + 1.35) * unit, box["y"] + (1.45 - y) * unit


def grip(page):
    box = page.locator(".grip").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_mouse_drags_and_lets_go(show):
    page = show(null_space())
    says(page, 45)
    x, y = spot(page, 45, 1)
    assert grip(page) == pytest.approx((x, y), abs=1.5)
    page.mouse.move(x + 9, y - 7)  # not at its centre: the source does not jump
    page.mouse.down()
    says(page, 45)
    to = spot(page, 80, 1.2)
    page.mouse.move(to[0] + 9, to[1] - 7, steps=4)
    says(page, 80, 1.2)
    assert page.evaluate("saved") == []
    page.mouse.up()
    page.mouse.move(*spot(page, -30, 0.5))
    says(page, 80, 1.2)
    assert page.evaluate("saved.at(-1).theta") == 80
    page.mouse.click(*spot(page, -30, 0.5))  # anywhere in the plane
    says(page, -30, 0.5)
    assert len(page.evaluate("saved")) == 2


def test_touch_drags_on_a_phone(show):
    page = show(
        null_space(at={"sigma": 1.0}),
        width=390,
        has_touch=True,
        is_mobile=True,
        device_scale_factor=2,
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator(".grip").bounding_box()
    assert min(box["width"], box["height"]) >= 44
    touch = page.context.new_cdp_session(page)

    def send(kind, *points):
        points = [{"x": x, "y": y} for x, y in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    start, end = spot(page, 45, 1), spot(page, 100, 0.8)
    scroll = page.evaluate("scrollY")
    send("touchStart", start)
    for part in (0.3, 0.6, 1.0):
        send("touchMove", tuple(a + part * (b - a) for a, b in zip(start, end, strict=True)))
    arrived = "() => document.querySelector('.readout').textContent.includes('θ = 100°')"
    page.wait_for_function(arrived)  # the browser handles touches when it draws the next frame
    says(page, 100, 0.8, sigma=1.0)
    send("touchEnd")
    page.wait_for_function("() => saved.at(-1)?.theta === 100")
    says(page, 100, 0.8, sigma=1.0)
    assert page.evaluate("scrollY") == scroll  # the page stays while the source is held
    page.touchscreen.tap(*spot(page, 20, 1.5))
    page.wait_for_function("() => saved.at(-1).theta === 20")
    says(page, 20, 1.5, sigma=1.0)


def test_keyboard(show):
    page = show(null_space(at={"theta": math.pi, "sigma": 1.0, "depth": 3}))
    page.focus("input >> nth=-1")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "grip"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    name = page.get_attribute(".grip", "aria-label")
    assert "arrow keys" in name
    assert page.get_attribute(".readout", "aria-live") == "polite"
    described = page.get_attribute(".grip", "aria-describedby")
    assert described == page.get_attribute(".readout", "id")
    noisy = {"sigma": 1.0, "depth": 3}
    for key, degrees, length in [
        ("ArrowRight", 179, 1),
        ("Shift+ArrowLeft", -176, 1),  # past 180 degrees
        ("Home", 0, 1),
        ("ArrowLeft", 1, 1),
        ("ArrowUp", 1, 1.05),
        ("Shift+ArrowUp", 1, 1.3),
        ("ArrowDown", 1, 1.25),
        ("End", 180, 1.25),
        ("Shift+ArrowUp", 180, 1.3),  # the frame
    ]:
        page.keyboard.press(key)
        says(page, degrees, length, **noisy)


def test_sliders_and_what_they_show(show):
    page = show(null_space())
    assert page.locator("input").count() == 3
    page.focus("input >> nth=0")
    page.keyboard.press("Home")
    says(page, 45, gamma=0.1)
    page.focus("input >> nth=1")
    page.keyboard.press("End")
    says(page, 45, gamma=0.1, sigma=1.6)
    page.focus("input >> nth=2")
    page.keyboard.press("End")
    assert page.get_attribute("input >> nth=2", "aria-valuetext") == "∞"
    says(page, 45, gamma=0.1, sigma=1.6, depth=math.inf)
    page.evaluate("model.set('position', { theta: 10, length: 8, gamma: 4, sigma: 0, depth: 1 })")
    says(page, 10, 0.5)
    page.evaluate("cleanup(); model.set('position', { ...model.get('position'), theta: 50 })")
    says(page, 10, 0.5)


def test_one_layer_draws_the_disk_round_the_target(show):
    page = show(null_space(depth=1, sigma=1.0, gamma=0.5))
    assert page.locator("input").count() == 0
    box = (
        "selector => { const box = document.querySelector(selector).getBBox();"
        " return [box.x, box.y, box.width, box.height]; }"
    )
    region, disk = page.evaluate(box, "path.region"), page.evaluate(box, "circle.disk")
    assert region == pytest.approx(disk, abs=1)
    unit = page.evaluate(box, "circle.unit")[2] / 2
    assert disk[2] == pytest.approx(2 * unit)


def test_the_text_follows_the_page_into_the_dark(show):
    page = show(null_space())
    page.evaluate(
        "document.body.style.background = '#14181e'; document.body.style.color = '#ced6dd'"
    )
    colours = page.evaluate(
        "['.readout', '.control', '.plot .axis-name', '.plot .end'].map((selector) => {"
        " const style = getComputedStyle(document.querySelector(selector));"
        " return selector.startsWith('.plot') ? style.fill : style.color; })"
    )
    assert set(colours) == {"rgb(206, 214, 221)"}
