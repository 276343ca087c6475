"""Every widget of every chapter as a reader moves it: on a laptop, and on a phone in the dark.

It shows the numbers that its page holds; `test_widget_values.py` has what they are.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]

NUMBER = r"[−-]?[\d.]+(?:e[−-]?\d+)?"
BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = {
    path.stem: len(calls)
    for path in sorted(BOOK.glob("*.py"))
    if (calls := re.findall(r"^(?:explore|null_space)\(", path.read_text("utf-8"), re.MULTILINE))
}


class Widget:
    """A widget on its page, and what it holds."""

    def __init__(self, page, root, figure, values):
        self.page, self.root, self.figure, self.values = page, root, figure, values
        self.dims = figure["dims"]
        self.labels = {name: dim["labels"] for name, dim in self.dims.items()}
        self.readout = root.locator(".readout")

    def spot(self, u, v):
        """A place in the plot, as fractions of its width and height."""
        area = self.root.locator(".hit").first
        area.evaluate("node => node.scrollIntoView({ block: 'center' })")
        box = area.bounding_box()
        return box["x"] + u * box["width"], box["y"] + v * box["height"]


class Explorer(Widget):
    """What an explorer must show."""

    handle = ".hit[tabindex]"
    keys = ("ArrowLeft", "ArrowRight")

    def check(self):
        """Assert that the read-out is right; returns where it says the point is."""
        figure = self.figure
        said = [text.rpartition("= ")[2] for text in self.root.locator(".entry").all_inner_texts()]
        named = [figure["x"], *([figure["y"]] if figure["y"] else []), *figure["sliders"]]
        where = {
            name: self.entries(name).index(text) for name, text in zip(named, said, strict=True)
        }
        values = self.values[tuple(where.get(name, slice(None)) for name in self.labels)]
        shown = self.root.locator(".value" if figure["y"] else ".line b").all_inner_texts()
        for value, text in zip(np.atleast_1d(values), shown, strict=True):
            text = text.rpartition("= ")[2]
            if np.isfinite(value):
                number = float(re.match(NUMBER, text)[0].replace("−", "-"))
                digits = figure["digits"]  # beyond eight, four significant ones are shown
                room = {"abs": 0.5 * 10.0**-digits + 1e-9} if digits <= 8 else {"rel": 6e-4}
                if figure["log"]:  # three significant ones of a power of two
                    value, room = 2.0**value, {"rel": 6e-3}
                assert number == pytest.approx(value, **room)
            elif np.isnan(value):
                assert text == figure["missing"]
            else:
                assert text.startswith("infinite")
        return said

    def entries(self, name):
        """The labels of a dimension as the read-out says them, with their unit."""
        unit = self.dims[name].get("unit") or ""
        gap = "" if unit in ("", "°") else "\N{NO-BREAK SPACE}"
        return [f"{label}{gap}{unit}" for label in self.labels[name]]

    def grab(self):
        return self.spot(0.25, 0.6)

    def is_at(self, x, y):
        """Whether the cross is drawn at a place, or at the entries nearest to it."""
        cross = self.root.evaluate(
            "node => [...node.querySelectorAll('.cross')].slice(0, 2)"
            ".map((line) => line.getBoundingClientRect()).map(({ x, y }) => [x, y])"
        )
        box = self.root.locator(".hit").first.bounding_box()
        away = [(self.figure["x"], box["width"], cross[0][0] - x)]
        if self.figure["y"]:
            away.append((self.figure["y"], box["height"], cross[1][1] - y))
        return all(abs(by) <= self.half_a_cell(dim) * size + 1.5 for dim, size, by in away)

    def half_a_cell(self, dim):
        """Of the largest cell of an axis, as a fraction of the axis."""
        values = np.array(self.dims[dim]["values"])
        steps = np.diff(np.log(values) if self.dims[dim]["log"] else values)
        return steps.max() / 2 / (steps.sum() + (steps[0] + steps[-1]) / 2)


class NullSpace(Widget):
    """What the plane must show."""

    handle = ".grip"
    keys = ("ArrowLeft", "ArrowUp")

    def check(self):
        """Assert that the read-out is right; returns where it says the source is."""
        texts = [text.replace("−", "-") for text in self.root.locator(".entry").all_inner_texts()]
        said = dict(text.split(" = ") for text in texts if " = " in text)
        names = {"depth": "depth", "sigma": "σ", "gamma": "γ", "length": "‖βs‖"}
        where = {name: self.labels[name].index(said[shown]) for name, shown in names.items()}
        guess = self.values[tuple(where[name] for name in self.labels)]
        cosine = math.cos(math.radians(float(said["θ"].rstrip("°"))))
        gamma = self.figure["gamma"][where["gamma"]]
        gain = (1 - gamma) * (2 * guess * cosine - guess**2)
        risk = self.figure["scratch"][where["sigma"]][where["gamma"]]
        shown = self.root.locator(".value").inner_text().rpartition("= ")[2].replace("−", "-")
        for text, value in [(shown, gain), (said["Rscratch"], risk), (said["Rft"], risk - gain)]:
            assert float(text) == pytest.approx(value, abs=0.0005 + 1e-9)
        return [said["θ"], *(said[shown] for shown in names.values())]

    def grab(self):
        self.spot(0, 0)
        box = self.root.locator(".grip").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def is_at(self, x, y):
        """Whether the source is drawn at a place, to a degree and a step of its length."""
        box = self.root.locator(".grip").bounding_box()
        away = box["x"] + box["width"] / 2 - x, box["y"] + box["height"] / 2 - y
        unit = self.root.locator(".plot > svg").first.bounding_box()["height"] / 2.9
        return math.hypot(*away) <= 0.05 * unit + 1.5


# The lowest contrast of the texts in a plot, which axe leaves out, and by how much they, the
# read-out and the controls stick out of the window.
LEGIBLE = """
(root) => {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  const light = (...layers) => {
    for (const layer of layers) { context.fillStyle = layer; context.fillRect(0, 0, 1, 1); }
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const under = ["white"];
  for (let node = root; node; node = node.parentElement) {
    under.splice(1, 0, getComputedStyle(node).backgroundColor);
  }
  const texts = [...root.querySelectorAll(".plot text")];
  const contrasts = texts.map((text) => {
    const both = [light(...under), light(...under, getComputedStyle(text).fill)];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  });
  const outside = [...texts, ...root.querySelectorAll(".readout, .control")].map((node) => {
    const { left, right } = node.getBoundingClientRect();
    return Math.max(-left, right - document.documentElement.clientWidth);
  });
  return [Math.min(...contrasts), Math.max(...outside)];
}
"""


def until(page, arrived):
    """Wait until the browser has handled a move: some it handles when it draws the next frame."""
    for _ in range(150):
        if arrived():
            return
        page.wait_for_timeout(20)
    raise AssertionError("it does not arrive")


def moves(widget, phone):
    """Ways to move a widget: each returns the place where the pointer let go, if there is one."""
    page, root = widget.page, widget.root
    finger = page.context.new_cdp_session(page)

    def touch(kind, *points):
        points = [{"x": x, "y": y} for x, y in points]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def point():
        # Where the point is not already: the grids of trained networks are coarse.
        places = (widget.spot(*at) for at in ((0.31, 0.7), (0.8, 0.25)))
        place = next(place for place in places if not widget.is_at(*place))
        page.touchscreen.tap(*place) if phone else page.mouse.click(*place)
        return place

    def drag():
        (x, y), end = widget.grab(), widget.spot(0.62, 0.45)
        if phone:
            touch("touchStart", (x, y))
        else:
            page.mouse.move(x, y)
            page.mouse.down()
        for part in (0.3, 0.6, 1):
            place = x + part * (end[0] - x), y + part * (end[1] - y)
            touch("touchMove", place) if phone else page.mouse.move(*place)
        until(page, lambda: widget.is_at(*end))
        widget.check()
        touch("touchEnd") if phone else page.mouse.up()
        return end

    def push(slider):
        box = slider.bounding_box()
        at_end = slider.evaluate("node => node.value === node.max")
        place = {"x": (0.02 if at_end else 0.98) * box["width"], "y": box["height"] / 2}
        slider.tap(position=place) if phone else slider.click(position=place)

    def pick(menu):
        menu.select_option(index=menu.evaluate("node => node.options.length - 1"))

    yield "a tap" if phone else "a click", point
    yield "dragging", drag
    for key in () if phone else widget.keys:
        yield key, lambda key=key: root.locator(widget.handle).press(key)
    for i, slider in enumerate(root.locator("input").all()):
        yield f"slider {i}", lambda slider=slider: push(slider)
        if not phone:
            there = slider.evaluate("node => (node.value === node.max ? 'Home' : 'End')")
            yield f"{there} on slider {i}", lambda s=slider, there=there: s.press(there)
    for i, menu in enumerate(root.locator("select").all()):
        if phone:
            yield f"menu {i}", lambda menu=menu: pick(menu)
        else:
            key = menu.evaluate("node => (node.selectedIndex ? 'ArrowUp' : 'ArrowDown')")
            yield f"{key} on menu {i}", lambda menu=menu, key=key: menu.press(key)


def follow(widget, move, phone):
    """Assert that a move does what it should, and that it stays when the pointer leaves."""
    before, text = widget.check(), widget.readout.inner_text()
    place = move()
    if place:
        until(widget.page, lambda: widget.is_at(*place))
    else:
        until(widget.page, lambda: widget.readout.inner_text() != text)
    if not phone:
        widget.page.mouse.move(2, 2)  # a hovering pointer shows what is below it
    after = widget.check()
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    assert widget.is_at(*place) if place else moved == 1, f"{before} became {after}"
    assert moved > 0


@pytest.mark.parametrize("phone", [False, True], ids=["laptop", "phone"])
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_widget_of_a_chapter(site, visit, held, chapter, phone):
    page, problems = visit(site / "book" / f"{chapter}.html", phone=phone)
    grids = held(chapter)
    assert len(grids) == CHAPTERS[chapter], "widgets on the page; is the book built?"
    for i, (name, (figure, values)) in enumerate(grids.items()):
        root = page.locator(".fatelib-widget").nth(i)
        root.wait_for()
        widget = (NullSpace if "scratch" in figure else Explorer)(page, root, figure, values)
        contrast, outside = root.evaluate(LEGIBLE)
        assert contrast >= 4.5, name
        assert outside <= 0, name
        for way, move in moves(widget, phone):
            try:
                follow(widget, move, phone)
            except AssertionError as error:
                problems.append(f"{name}, {way}: {error}")
    assert problems == []


def test_widgets_wait_for_the_reader_and_need_no_manager(site, browser):
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "book" / "fine-tuning.html").as_uri())
    page.evaluate("MathJax.startup.promise.then(() => 0)")
    assert page.locator(".widget-subarea").count() == CHAPTERS["fine-tuning"] == 2
    drawn = page.locator(".fatelib-widget")
    drawn.first.wait_for()
    page.wait_for_timeout(300)
    assert drawn.count() == 1, "the one on the first screen"
    page.locator(".widget-subarea").last.scroll_into_view_if_needed()
    drawn.nth(1).wait_for()
    vendored = [url for url in asked if "/vendor/" in url and ".js" in url]
    assert len(vendored) == 1
    assert "/mathjax/" in vendored[0]
    page.close()


@pytest.mark.parametrize("phone", [False, True], ids=["laptop", "phone"])
def test_an_address_leads_to_a_widget(site, visit, phone):
    page, problems = visit(
        f"{(site / 'book' / 'the-baseline-matters.html').as_uri()}#fig-explore-baselines",
        phone=phone,
    )
    figure = page.locator("#fig-explore-baselines")
    figure.locator(".fatelib-widget").wait_for()
    assert 0 <= figure.bounding_box()["y"] < 200  # what is typeset above has not moved it away
    assert problems == []
