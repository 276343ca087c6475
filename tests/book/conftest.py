"""What the tests of the book share: its extensions, the built site, a browser without network."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build" / "html"
sys.path.append(str(ROOT / "book"))  # as local_extensions in _config.yml does

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# The module is loaded as anywidget loads it: from a blob, then render({ model, el }).
PAGE = """<!doctype html><html><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<style>body {{ margin: 16px; font-family: sans-serif; }}</style><style>{css}</style></head>
<body style="min-height: 2000px"><div id="figure"></div><script>
const state = {state}, listeners = {{}};
window.saved = [];
const model = {{
  get: (key) => state[key],
  set: (key, value) => {{
    state[key] = value;
    for (const f of listeners["change:" + key] ?? []) f();
  }},
  save_changes: () => saved.push(state.position),
  on: (event, f) => (listeners[event] ??= []).push(f),
  off: (event, f) => {{ listeners[event] = listeners[event].filter((g) => g !== f); }},
}};
window.model = model;
const source = new Blob([{esm}], {{ type: "text/javascript" }});
import(URL.createObjectURL(source)).then(({{ default: widget }}) => {{
  window.cleanup = widget.render({{ model, el: document.getElementById("figure") }});
}});
</script></body></html>"""


@pytest.fixture(scope="session")
def site():
    """The book as `make book` left it."""
    if not (SITE / "book" / "index.html").is_file():
        pytest.skip("no built book: run make book first")
    return SITE


@pytest.fixture(scope="session")
def browser():
    """Chromium: the system's, else the one that Playwright installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        if CHROMIUM is None and not os.path.exists(playwright.chromium.executable_path):
            pytest.skip("no Chromium: install it, or run playwright install chromium")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open a page of files without a network; returns it with everything that went wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")

    def open_page(path, query=""):
        page, problems = context.new_page(), []

        def answer(route):
            if route.request.url.startswith(("file:", "data:", "blob:")):
                route.continue_()
            else:
                problems.append(f"asked for {route.request.url}")
                route.abort()

        def listen(message):
            if message.type == "error":
                problems.append(f"console: {message.text}")

        page.route("**/*", answer)
        page.on("console", listen)
        page.on("pageerror", lambda error: problems.append(f"script: {error}"))
        page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
        page.goto(path.as_uri() + query)
        page.evaluate("window.MathJax?.startup ? MathJax.startup.promise.then(() => 0) : 0")
        return page, problems

    yield open_page
    context.close()


@pytest.fixture
def show(browser, tmp_path):
    """Open a widget; fails on any console error, script error or request at the end."""
    contexts, problems = [], []

    def open_widget(widget, width=900, **options):
        names = ("values", "guess", "figure", "position")
        state = {name: getattr(widget, name) for name in names if widget.has_trait(name)}
        file = tmp_path / "widget.html"
        file.write_text(
            PAGE.format(css=widget._css, esm=json.dumps(str(widget._esm)), state=json.dumps(state)),
            encoding="utf-8",
        )
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))

        def refuse(route):
            problems.append(f"asked for {route.request.url}")
            route.abort()

        page.route(re.compile("^https?:"), refuse)
        page.goto(file.as_uri())
        page.wait_for_selector(".readout :text('=')")
        return page

    yield open_widget
    for context in contexts:
        context.close()
    assert problems == []
