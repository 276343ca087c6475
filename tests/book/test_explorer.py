"""The explorer in a browser: its real module, on a page with a stub of the widget manager."""

import base64
import io
import re

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from fatelib.theory import linear_transferability
from fatelib.widgets import explore

pytestmark = pytest.mark.browser

THETA = np.linspace(0, np.pi / 2, 17)
GAMMA = np.arange(1, 41) / 20
SIGMA = np.array([0.0, 0.2, 0.5, 1.0])


def transferability():
    values = linear_transferability(GAMMA[:, None, None], THETA[:, None], SIGMA)
    return xr.DataArray(
        np.asarray(values),
        coords={"gamma": GAMMA, "theta": ("theta", THETA, {"units": "rad"}), "sigma": SIGMA},
        dims=("gamma", "theta", "sigma"),
        name="T_lt",
    )


DATA = transferability()


def heat_map():
    return explore(
        DATA, x="theta", y="gamma", at={"theta": np.pi / 4, "gamma": 0.5, "sigma": 0.2}, limit=1
    )


def readout(page):
    return " ".join(page.inner_text(".readout").split())


def says(page, gamma, theta, sigma, widget):
    """Assert that the read-out shows the library's value, within half a step and its rounding."""
    text = readout(page)
    value = float(re.search(r"= ([−\d.]+)", text)[1].replace("−", "-"))
    expected = float(linear_transferability(gamma, theta, sigma))
    figure = widget.figure
    assert abs(value - expected) <= figure["step"] / 2 + 0.5 * 10.0 ** -figure["digits"] + 1e-6
    assert f"γ = {gamma:g}" in text
    assert f"σ = {sigma:g}" in text


def box(page, index=0):
    return page.locator(".hit").nth(index).bounding_box()


def centre(page, i, j):
    """Where column i and row j of the map are drawn."""
    area = box(page)
    x = area["x"] + area["width"] * (i + 0.5) / len(THETA)
    y = area["y"] + area["height"] * (1 - (j + 0.5) / len(GAMMA))
    return x, y


def test_mouse_previews_and_pins(show):
    widget = heat_map()
    page = show(widget)
    says(page, 0.5, THETA[8], 0.2, widget)
    page.mouse.move(*centre(page, 12, 29))
    says(page, 1.5, THETA[12], 0.2, widget)
    page.mouse.move(5, 5)
    says(page, 0.5, THETA[8], 0.2, widget)
    assert page.evaluate("saved") == []
    page.mouse.click(*centre(page, 3, 4))
    page.mouse.move(5, 5)
    says(page, 0.25, THETA[3], 0.2, widget)
    assert page.evaluate("saved") == [{"theta": 3, "gamma": 4, "sigma": 1}]


def test_every_corner_can_be_reached(show):
    widget = heat_map()
    page = show(widget)
    for i, j in [(0, 0), (16, 0), (0, 39), (16, 39)]:
        page.mouse.click(*centre(page, i, j))
        says(page, GAMMA[j], THETA[i], 0.2, widget)


def test_the_slices_move_one_coordinate(show):
    widget = heat_map()
    page = show(widget)
    below, beside = box(page, 1), box(page, 2)
    page.mouse.click(below["x"] + below["width"] * 2.5 / 17, below["y"] + 20)
    says(page, 0.5, THETA[2], 0.2, widget)
    page.mouse.click(beside["x"] + 20, beside["y"] + beside["height"] * (1 - 33.5 / 40))
    says(page, 1.7, THETA[2], 0.2, widget)


def test_keyboard(show):
    widget = heat_map()
    page = show(widget)
    for _ in range(3):  # from the page over the slider to the map
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "application":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    says(page, 0.55, THETA[9], 0.2, widget)
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowDown")
    says(page, 0.5, THETA[4], 0.2, widget)
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    says(page, 0.5, THETA[16], 0.2, widget)
    page.keyboard.press("Home")
    says(page, 0.5, THETA[0], 0.2, widget)
    assert page.get_attribute(".readout", "aria-live") == "polite"


def test_slider(show):
    widget = heat_map()
    page = show(widget)
    before = page.evaluate("document.querySelector('canvas').toDataURL()")
    page.focus("input[type=range]")
    page.keyboard.press("ArrowRight")
    says(page, 0.5, THETA[8], 0.5, widget)
    assert page.inner_text(".control output") == "0.5"
    assert page.get_attribute("input[type=range]", "aria-valuetext") == "0.5"
    assert page.evaluate("document.querySelector('canvas').toDataURL()") != before
    page.keyboard.press("End")
    says(page, 0.5, THETA[8], 1.0, widget)


def test_touch(show):
    widget = heat_map()
    page = show(widget, width=390, has_touch=True, is_mobile=True, device_scale_factor=2)
    page.touchscreen.tap(*centre(page, 13, 35))
    says(page, 1.8, THETA[13], 0.2, widget)
    assert page.evaluate("saved.at(-1)") == {"theta": 13, "gamma": 35, "sigma": 1}
    assert page.evaluate("getComputedStyle(document.querySelector('.hit')).touchAction") == "pan-y"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_touch_that_scrolls_the_page_leaves_the_point(show):
    widget = heat_map()
    page = show(widget)
    x, y = centre(page, 13, 35)
    at = {"clientX": x, "clientY": y, "pointerType": "touch"}
    page.dispatch_event(".hit", "pointerdown", at)
    says(page, 1.8, THETA[13], 0.2, widget)
    page.dispatch_event(".hit", "pointercancel", at)
    says(page, 0.5, THETA[8], 0.2, widget)


def test_infinite_and_missing_are_told_apart(show):
    data = DATA.copy(deep=True)
    data.loc[{"gamma": 0.5}] = np.nan
    widget = explore(data, x="theta", y="gamma", at={"sigma": 0.2})
    page = show(widget)
    page.mouse.click(*centre(page, 8, 19))
    assert "= infinite" in readout(page)
    page.mouse.click(*centre(page, 8, 9))
    assert "= not converged" in readout(page)
    drawn = "sel => document.querySelector(sel).getBBox().height"
    row = box(page)["height"] / len(GAMMA)
    assert page.evaluate(drawn, "path[fill*=hatch]") == pytest.approx(row, abs=1)
    assert page.evaluate(drawn, "path.missing") == pytest.approx(row, abs=1)


def test_the_contour_is_where_the_sign_changes(show):
    # above gamma = 1: sin(theta)^2 = sigma^2 / (gamma - 1)
    widget = heat_map()
    page = show(widget)
    segments = re.findall(
        r"M([\d.]+),([\d.]+)L([\d.]+),([\d.]+)", page.get_attribute("path.contour", "d")
    )
    points = np.array(segments, dtype=float).reshape(-1, 2)
    area, plot = box(page), page.locator(".plot").bounding_box()
    u = (points[:, 0] + plot["x"] - area["x"]) / area["width"]
    v = 1 - (points[:, 1] + plot["y"] - area["y"]) / area["height"]
    theta = (u * len(THETA) - 0.5) * (THETA[1] - THETA[0])
    gamma = (v * len(GAMMA) - 0.5) * 0.05 + 0.05
    smooth = gamma > 1.3  # closer to 1 the grid does not resolve the boundary
    assert smooth.sum() > 20
    exact = np.arcsin(np.sqrt(0.04 / (gamma[smooth] - 1)))
    cell = THETA[1] - THETA[0]
    assert np.max(np.abs(theta[smooth] - exact)) < 0.1 * cell


def test_a_region_of_zeros_is_outlined_not_filled(show):
    values = np.maximum(0.0, np.arange(12.0)[:, None] - 5) * np.ones(8)
    widget = explore(xr.DataArray(values, dims=("a", "b")), x="b", y="a")
    page = show(widget)
    segments = re.findall(r"M[\d.]+,([\d.]+)L[\d.]+,([\d.]+)", page.get_attribute(".contour", "d"))
    assert len({y for pair in segments for y in pair}) == 1


def test_the_outline_of_zeros_has_corners_where_it_meets_a_line_of_zeros(show):
    # zero from y = 6 on and, below, along x = 4: the lines meet at a right angle, without a notch
    x, y = np.arange(9.0), np.arange(10.0)
    values = (4 - x) * np.maximum(0.0, 6 - y)[:, None]
    widget = explore(xr.DataArray(values, {"y": y, "x": x}, ("y", "x")), x="x", y="y")
    drawn = show(widget).get_attribute(".contour", "d")
    segments = np.array(re.findall(r"M([\d.]+),([\d.]+)L([\d.]+),([\d.]+)", drawn), dtype=float)
    assert len(segments) > 10
    assert ((segments[:, 0] == segments[:, 2]) | (segments[:, 1] == segments[:, 3])).all()


def test_units_follow_the_numbers(show):
    angle = xr.DataArray([0.0, 45.0, 90.0], dims="theta", attrs={"units": "°"})
    time = xr.DataArray([1.0, 2.0], dims="t", attrs={"units": "ms"})
    data = xr.DataArray(np.ones((2, 3)), {"t": time, "theta": angle}, ("t", "theta"), name="R")
    page = show(explore(data, x="theta", at={"theta": 45}))
    assert "θ = 45°" in readout(page)
    assert "t = 1 ms" in readout(page)
    assert page.inner_text(".control output") == "1\N{NO-BREAK SPACE}ms"


def test_curves(show):
    widget = explore(DATA, x="gamma", lines="sigma", sliders=["theta"], at={"theta": THETA[8]})
    page = show(widget)
    page.focus(".hit")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    for row, sigma in enumerate(SIGMA):
        shown = page.locator(".line b").nth(row).inner_text().replace("−", "-")
        expected = float(linear_transferability(0.1, THETA[8], sigma))
        figure = widget.figure
        tolerance = figure["step"] / 2 + 0.5 * 10.0 ** -figure["digits"] + 1e-6
        assert abs(float(shown) - expected) <= tolerance
    page.keyboard.press("ArrowDown")
    assert page.inner_text(".line.on").startswith("σ = 0.2")
    area = box(page)
    page.mouse.click(area["x"] + area["width"] * 39.5 / 40, area["y"] + area["height"] / 2)
    assert "γ = 2" in readout(page)


def test_menu_for_text(show):
    data = xr.concat(
        [DATA, -DATA], dim=xr.DataArray(["plain", "negated"], dims="sign", name="sign")
    )
    widget = explore(data, x="theta", y="gamma", at={"gamma": 0.5, "sigma": 0.2})
    page = show(widget)
    plain = re.search(r"= ([−\d.]+)", readout(page))[1]
    page.select_option("select", "1")
    assert "negated" in readout(page)
    assert re.search(r"= ([−\d.]+)", readout(page))[1] in ("−" + plain, plain.lstrip("−"))


def ticks(page):
    """Labels beside the vertical axis of the first plot, with their places from below."""
    return page.locator("svg g").first.locator("text.label").all_text_contents()


def test_values_on_a_logarithmic_axis(show):
    n = np.array([10, 30, 100, 300, 1000])
    risk = xr.DataArray(
        np.stack([10.0 / n, 100.0 / n**2]), coords={"k": [1, 2], "n": n}, dims=("k", "n"), name="R"
    )
    page = show(explore(risk, x="n", lines="k", log=True, at={"n": 10}))
    assert {"0.0001", "0.001", "0.01", "0.1", "1"} == set(ticks(page))
    page.focus(".hit")
    for size in n:
        shown = [text.split(" ")[0] for text in page.locator(".line b").all_inner_texts()]
        expected = [10 / size, 100 / size**2]
        # three digits, of logarithms that were rounded
        np.testing.assert_allclose([float(text) for text in shown], expected, rtol=6e-3)
        page.keyboard.press("ArrowRight")
    # Power laws are straight lines.
    for row in range(2):
        path = page.locator(f"path.curve.c{row}").get_attribute("d")
        points = np.array(re.findall(r"([\d.]+) ([\d.]+)", path), dtype=float)
        slopes = np.diff(points[:, 1]) / np.diff(points[:, 0])
        np.testing.assert_allclose(slopes, slopes.mean(), rtol=0.02)
    assert page.locator("line.zero").count() == 0


def test_each_entry_has_its_own_colours(show):
    values = np.stack([[[0.5, 1.0], [2.0, 1.5]], [[300.0, 100.0], [20.0, 0.1]]])
    coords = {"way": ["a", "b"], "n": [10, 100], "mu": [0.1, 0.9]}
    data = xr.DataArray(values, coords, ("way", "n", "mu"), name="T")
    options = {"x": "mu", "y": "n", "log": True, "limit_by": "way", "at": {"mu": 0.1, "n": 100}}
    page = show(explore(data, **options))
    swatch = "node => getComputedStyle(node).backgroundColor"
    first = page.locator(".swatch").evaluate(swatch), page.locator(".stage").inner_text()
    assert "= 2\n" in page.inner_text(".readout") + "\n"
    page.focus("select")
    page.keyboard.press("ArrowDown")
    assert "= 20" in page.inner_text(".readout")
    second = page.locator(".swatch").evaluate(swatch), page.locator(".stage").inner_text()
    assert first != second
    # The same colour as where the other entry does not exist.
    alone = show(explore(data.sel(way="b", drop=True), x="mu", y="n", log=True,
                         at={"mu": 0.1, "n": 100}))  # fmt: skip
    assert alone.locator(".swatch").evaluate(swatch) == second[0]
    assert ticks(alone) == ticks(page)


def test_a_long_readout_stays_clear_of_what_follows(show):
    label = "a label that needs more lines than there is room for beside the plots " * 2
    data = DATA.expand_dims(method=[label])
    page = show(explore(data, x="theta", y="gamma"))
    stage, readout = page.locator(".stage").bounding_box(), page.locator(".readout").bounding_box()
    assert readout["y"] + readout["height"] <= stage["y"] + stage["height"] + 0.5
    assert readout["x"] + readout["width"] <= stage["x"] + stage["width"] + 0.5


def test_the_plot_stays_under_the_finger_whatever_the_readout_says(show):
    heights = []
    for width in (280, 310, 340):  # how much fits on a line depends on the fonts of the machine
        page = show(explore(DATA.expand_dims(d=[300], k=[5]), x="theta", y="gamma"), width=width)
        page.focus(".hit[tabindex]")
        tops, lines = set(), set()
        for key in ["Home"] + ["ArrowRight"] * (len(THETA) - 1):
            page.keyboard.press(key)
            tops.add(box(page)["y"])
            lines.add(page.locator(".entries").bounding_box()["height"])
        assert len(tops) == 1
        heights.append(len(lines))
    assert max(heights) > 1  # longer labels take another line


def test_signs_of_rounding_errors_make_no_contour(show):
    values = np.where(np.arange(12)[:, None] < 6, 5e-5 * (-1.0) ** np.arange(8), 1.0)
    widget = explore(xr.DataArray(values, dims=("a", "b")), x="b", y="a", limit=1)
    page = show(widget)
    segments = re.findall(r"M[\d.]+,([\d.]+)L[\d.]+,([\d.]+)", page.get_attribute(".contour", "d"))
    assert 0 < len({y for pair in segments for y in pair}) <= 2  # none among the faint rows


def test_python_moves_the_point_and_cleanup_lets_go(show):
    widget = heat_map()
    page = show(widget)
    page.evaluate("model.set('position', { theta: 2, gamma: 30, sigma: 3 })")
    says(page, 1.55, THETA[2], 1.0, widget)
    page.evaluate("cleanup(); model.set('position', { theta: 0, gamma: 0, sigma: 0 })")
    says(page, 1.55, THETA[2], 1.0, widget)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_it_fits_and_redraws_when_the_width_changes(show, width):
    page = show(heat_map(), width=900)
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function(
        "w => document.querySelector('.plot > svg').getBoundingClientRect().width <= w", arg=width
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    rectangles = page.evaluate(
        "[...document.querySelectorAll('.plot text, .readout')].map((node) => {"
        " const box = node.getBoundingClientRect(); return [box.left, box.right]; })"
    )
    assert all(left >= 0 and right <= width for left, right in rectangles)


def test_the_text_follows_the_page_into_the_dark(show):
    page = show(heat_map())
    page.evaluate(
        "document.body.style.background = '#14181e'; document.body.style.color = '#ced6dd'"
    )
    colours = page.evaluate(
        "['.readout', '.control', '.plot .axis-name'].map((selector) => {"
        " const style = getComputedStyle(document.querySelector(selector));"
        " return selector.startsWith('.plot') ? style.fill : style.color; })"
    )
    assert set(colours) == {"rgb(206, 214, 221)"}


def test_the_map_follows_the_page_into_the_dark(show):
    page = show(heat_map())

    def lightness():
        url = page.evaluate("document.querySelector('canvas').toDataURL()")
        pixels = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L")
        return np.mean(pixels)

    light = lightness()
    # The book gives the text its colour here; what is around the figure may have another.
    page.evaluate("document.body.style.setProperty('--pst-color-text-base', '#ced6dd')")
    page.wait_for_selector(".fatelib-widget.dark")
    assert lightness() < 0.7 * light
    assert page.evaluate("getComputedStyle(document.querySelector('input')).colorScheme") == "dark"
    page.evaluate("document.body.style.removeProperty('--pst-color-text-base')")
    page.wait_for_selector(".fatelib-widget:not(.dark)")
    assert lightness() == light
