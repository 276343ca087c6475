"""What shows widgets on a page of the book, `book/_static/widgets.js`, on pages of its own."""

import base64
import json
import struct
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

STATIC = Path(__file__).parents[2] / "book" / "_static"
FAR = '<div style="height: 8000px"></div>'

# Counts how often it is imported, and draws a button that counts.
COUNTER = """
globalThis.imports = (globalThis.imports ?? 0) + 1;
export default {
  render({ model, el }) {
    const button = document.createElement("button");
    const show = () => { button.textContent = `count ${model.get("value")}`; };
    button.onclick = () => { model.set("value", model.get("value") + 1); model.save_changes(); };
    button.ondblclick = () => model.off("change:value", show);
    model.on("change:value", show);
    show();
    el.append(button);
  },
};
"""

# Draws what it holds as bytes.
BYTES = """
export default {
  render({ model, el }) {
    const view = model.get("grid").values[1];
    const bytes = [view, model.get("mark")].map((part) => part.constructor.name + part.byteLength);
    el.innerHTML = `<p>${bytes} ${view.getFloat64(8, true)}</p>`;
  },
};
"""

LABEL = """
export default {
  render({ el }) { el.innerHTML = '<b class="mathjax_process">$x^2$</b> for $5 or $6'; },
};
"""

MATHJAX = """
<script>window.MathJax = {
  tex: { inlineMath: [["$", "$"]] },
  options: { ignoreHtmlClass: "page", processHtmlClass: "mathjax_process" },
};</script>
<script defer src="vendor/mathjax/tex-chtml-full.js"></script>
"""


def model(esm, *, css="", buffers=(), **state):
    state = {"_esm": esm, "_css": css, **state}
    names = {"model_module": "anywidget", "model_name": "AnyModel"}
    return {**names, "state": state, "buffers": list(buffers)}


def view(name):
    return (
        f'<script type="application/vnd.jupyter.widget-view+json">{{"model_id": "{name}"}}</script>'
    )


@pytest.fixture
def load(browser, tmp_path):
    """Open a page with these models, and a body of views and text; returns it and its errors."""
    for path in STATIC.iterdir():
        (tmp_path / path.name).symlink_to(path)
    contexts = []

    def start(models, body, *, head=""):
        state = json.dumps({"version_major": 2, "state": models})
        (tmp_path / "page.html").write_text(
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Page</title>{head}'
            f'<script type="application/vnd.jupyter.widget-state+json">{state}</script>'
            f'<script src="widgets.js"></script></head><body class="page">{body}</body></html>',
            encoding="utf-8",
        )
        context = browser.new_context(viewport={"width": 800, "height": 600})
        contexts.append(context)
        page, errors = context.new_page(), []
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(f"not caught: {error}"))
        page.goto((tmp_path / "page.html").as_uri())
        return page, errors

    yield start
    for context in contexts:
        context.close()


def test_a_widget_is_drawn_when_the_reader_comes_near(load):
    models = {"a": model(COUNTER, value=1), "b": model(COUNTER, value=2)}
    page, errors = load(models, view("a") + FAR + view("b") + FAR)
    page.get_by_text("count 1").wait_for()
    page.wait_for_timeout(300)
    assert page.locator("button").count() == 1
    page.evaluate("scrollTo(0, 7500)")  # its place is still a little below the window
    page.get_by_text("count 2").wait_for()
    assert not page.get_by_text("count 1").evaluate("node => node.parentElement.style.minHeight")
    assert errors == []


def test_a_widget_that_an_address_leads_to_is_drawn_at_once(load):
    head = "<script>location.hash = 'there'</script>"
    body = f"{FAR}{FAR}<figure id='there'>{view('a')}</figure>{FAR}"
    page, _ = load({"a": model(COUNTER, value=1)}, body, head=head)
    page.get_by_text("count 1").wait_for()


def test_one_text_is_imported_once_and_one_style_sheet_added(load):
    css = "button { color: rgb(1, 2, 3); }"
    models = {name: model(COUNTER, css=css, value=i) for i, name in enumerate("abc")}
    page, errors = load(models, "".join(map(view, models)))
    page.get_by_text("count 2").wait_for()
    assert page.evaluate("imports") == 1
    assert page.locator("style").count() == 1
    assert page.locator("button").first.evaluate("b => getComputedStyle(b).color") == "rgb(1, 2, 3)"
    assert errors == []


def test_views_of_one_model_move_together_until_they_let_go(load):
    page, errors = load({"a": model(COUNTER, value=1)}, view("a") + view("a"))
    page.locator("button").nth(1).click()
    assert page.locator("button").all_inner_texts() == ["count 2", "count 2"]
    page.locator("button").nth(1).dispatch_event("dblclick")
    page.locator("button").nth(0).click()
    assert page.locator("button").all_inner_texts() == ["count 3", "count 2"]
    assert errors == []


def test_bytes_in_a_state(load):
    def buffer(path, data):
        return {"path": path, "encoding": "base64", "data": base64.b64encode(data).decode()}

    buffers = [
        buffer(["grid", "values", 1], struct.pack("<2d", 1.5, -0.25)),
        buffer(["mark"], b"ab"),
    ]
    state = {"grid": {"values": [None, None]}, "mark": None}
    page, errors = load({"a": model(BYTES, buffers=buffers, **state)}, view("a"))
    page.get_by_text("DataView16,DataView2 -0.25").wait_for()
    assert errors == []


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (model("export default { render( };"), "Unexpected token"),
        (model("export default { render() { throw new Error('no grid'); } };"), "no grid"),
        ({**model(""), "model_module": "@jupyter-widgets/controls", "model_name": "IntSliderModel"},
         "the book shows widgets of anywidget, not IntSliderModel of @jupyter-widgets/controls"),
        (None, "the page does not hold its state"),
    ],
)  # fmt: skip
def test_a_fault_is_told_in_its_place_and_stays_there(load, broken, said):
    models = {"good": model(COUNTER, value=1)} | ({"bad": broken} if broken else {})
    page, errors = load(models, view("bad") + view("good"))
    page.get_by_text("count 1").wait_for()
    place = page.locator(".widget-subarea").first
    place.locator("p").wait_for()
    assert place.inner_text().startswith("This figure cannot be drawn: ")
    assert said in place.inner_text()
    assert len(errors) == 1
    assert "not caught" not in errors[0]


def test_the_keyboard_reaches_a_widget_that_is_not_drawn_yet(load):
    page, errors = load({"a": model(COUNTER, value=1)}, f"<a href='#'>x</a>{FAR}{view('a')}{FAR}")
    assert page.locator("button").count() == 0
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.get_by_text("count 1").wait_for()
    page.wait_for_function("document.activeElement.tagName === 'BUTTON'")
    page.keyboard.press("Enter")
    page.get_by_text("count 2").wait_for()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.tagName") == "A"
    assert errors == []


def test_paper_shows_every_widget(load):
    page, errors = load({"a": model(COUNTER, value=1)}, FAR + view("a"))
    page.wait_for_function("window.imports === 1")
    assert page.locator("button").count() == 0
    assert page.evaluate(
        "() => { dispatchEvent(new Event('beforeprint')); return Promise.resolve().then(() => 0)"
        ".then(() => 0).then(() => document.querySelectorAll('button').length); }"
    )
    assert errors == []


def test_labels_are_typeset_once_mathjax_is_there(load):
    models = {"a": model(LABEL), "b": model(LABEL)}
    page, errors = load(models, view("a") + FAR + view("b"), head=MATHJAX)
    first, second = page.locator(".widget-subarea").all()
    first.locator("b > mjx-container").wait_for()
    second.scroll_into_view_if_needed()
    second.locator("b > mjx-container").wait_for()
    for place in (first, second):
        assert place.locator("mjx-container").count() == 1
        assert place.inner_text().endswith("for $5 or $6")
    assert errors == []
