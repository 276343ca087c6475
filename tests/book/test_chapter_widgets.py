"""Every widget of every chapter, as a reader moves it: it shows the numbers that the page holds.

What the numbers are is tested where they come from, and that a pointer reaches the right cell in
`test_explorer.py` and `test_nullspace.py`.
"""

import base64
import json
import math
import re

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]

NUMBER = r"[−-]?[\d.]+(?:e[−-]?\d+)?"


def states(page):
    """What the page holds for each widget, in the order of the page."""
    texts = page.locator("script[type$='widget-state+json']").all_text_contents()
    models = {key: model for text in texts for key, model in json.loads(text)["state"].items()}
    views = page.locator("script[type$='widget-view+json']").all_text_contents()
    found = [models[json.loads(view)["model_id"]]["state"] for view in views]
    return [state for state in found if "figure" in state]


class Explorer:
    """What an explorer must show."""

    handle = ".hit[tabindex]"
    keys = ("ArrowLeft", "ArrowRight")

    def __init__(self, root, state):
        self.root, self.figure = root, state["figure"]
        self.labels = {name: dim["labels"] for name, dim in self.figure["dims"].items()}
        codes = np.frombuffer(base64.b64decode(state["values"]), "<i2")
        values = codes * self.figure["step"]
        values[codes == 32767], values[codes == -32767] = np.inf, -np.inf
        values[codes == -32768] = np.nan
        self.values = values.reshape([len(labels) for labels in self.labels.values()])

    def check(self):
        figure = self.figure
        said = [text.rpartition("= ")[2] for text in self.root.locator(".entry").all_inner_texts()]
        named = [figure["x"], *([figure["y"]] if figure["y"] else []), *figure["sliders"]]
        where = {
            name: self.labels[name].index(text) for name, text in zip(named, said, strict=True)
        }
        values = self.values[tuple(where.get(name, slice(None)) for name in self.labels)]
        shown = self.root.locator(".value" if figure["y"] else ".line b").all_inner_texts()
        for value, text in zip(np.atleast_1d(values), shown, strict=True):
            text = text.rpartition("= ")[2]
            if np.isfinite(value):
                number = float(re.match(NUMBER, text)[0].replace("−", "-"))
                digits = figure["digits"]  # beyond eight, four significant ones are shown
                room = {"abs": 0.5 * 10.0**-digits + 1e-9} if digits <= 8 else {"rel": 6e-4}
                assert number == pytest.approx(value, **room)
            elif np.isnan(value):
                assert text == figure["missing"]
            else:
                assert text.startswith("infinite")
        return said


class NullSpace:
    """What the plane must show."""

    handle = ".grip"
    keys = ("ArrowLeft", "ArrowUp")

    def __init__(self, root, state):
        self.root, self.figure = root, state["figure"]
        self.labels = {name: dim["labels"] for name, dim in self.figure["dims"].items()}
        guess = np.frombuffer(base64.b64decode(state["guess"]), "<f4").astype(float)
        self.guess = guess.reshape([len(labels) for labels in self.labels.values()])

    def check(self):
        texts = [text.replace("−", "-") for text in self.root.locator(".entry").all_inner_texts()]
        said = dict(text.split(" = ") for text in texts if " = " in text)
        where = {
            name: self.labels[name].index(said[shown])
            for name, shown in {
                "depth": "depth",
                "sigma": "σ",
                "gamma": "γ",
                "length": "‖βs‖",
            }.items()
        }
        guess = self.guess[tuple(where[name] for name in self.labels)]
        cosine = math.cos(math.radians(float(said["θ"].rstrip("°"))))
        gamma = self.figure["gamma"][where["gamma"]]
        gain = (1 - gamma) * (2 * guess * cosine - guess**2)
        risk = self.figure["scratch"][where["sigma"]][where["gamma"]]
        shown = self.root.locator(".value").inner_text().rpartition("= ")[2].replace("−", "-")
        for text, value in [(shown, gain), (said["Rscratch"], risk), (said["Rft"], risk - gain)]:
            assert float(text) == pytest.approx(value, abs=0.0005 + 1e-9)
        return texts


def moves(page, touch, widget):
    """Ways to move a widget: each ends somewhere else than the one before."""
    root = widget.root
    handle = root.locator(widget.handle)
    area = root.locator(".hit").first

    def places(*fractions):
        area.scroll_into_view_if_needed()
        box = area.bounding_box()
        return [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in fractions]

    def send(kind, *points):
        points = [{"x": x, "y": y} for x, y in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def tap():
        (place,) = places((0.62, 0.3))
        send("touchStart", place)
        send("touchEnd")

    yield "mouse", lambda: page.mouse.click(*places((0.31, 0.7))[0])
    yield "touch", tap
    for key in widget.keys:
        yield key, lambda key=key: handle.press(key)
    for i, slider in enumerate(root.locator("input, select").all()):
        if slider.evaluate("node => node.matches('select')"):
            far = slider.evaluate("node => (node.selectedIndex ? 0 : node.options.length - 1)")
            yield f"menu {i}", lambda s=slider, far=far: s.select_option(index=far)
        else:
            there = slider.evaluate("node => (node.value === node.max ? 'Home' : 'End')")
            yield f"slider {i}", lambda s=slider, there=there: s.press(there)


def test_every_widget_of_every_chapter(site, visit):
    wrong, seen = {}, 0
    for path in sorted((site / "book").glob("*.html")):
        source = site / "_sources" / "book" / f"{path.stem}.py"
        if not source.exists():
            continue
        calls = re.findall(r"^(?:explore|null_space)\(", source.read_text("utf-8"), re.MULTILINE)
        if not calls:
            continue
        page, problems = visit(path)
        touch = page.context.new_cdp_session(page)
        held = states(page)
        if len(held) != len(calls):
            problems.append(f"{len(calls)} widgets made, {len(held)} on the page")
        for i, state in enumerate(held):
            root = page.locator(".fatelib-widget").nth(i)
            root.wait_for()
            widget = (Explorer if "values" in state else NullSpace)(root, state)
            name = "loading"
            try:
                before = widget.check()
                for name, move in moves(page, touch, widget):
                    text = root.locator(".readout").inner_text()
                    move()
                    # the browser handles touches when it draws the next frame
                    for _ in range(100):
                        if root.locator(".readout").inner_text() != text:
                            break
                        page.wait_for_timeout(20)
                    page.mouse.move(2, 2)  # a hovering pointer shows what is below it
                    after = widget.check()
                    if after == before:
                        problems.append(f"widget {i}: {name} does not move it")
                    before = after
            except AssertionError as error:
                problems.append(f"widget {i} after {name}: {error}")
            seen += 1
        if problems:
            wrong[path.name] = problems
        page.close()
    assert wrong == {}
    assert seen > 0
