"""What the tests of the book share: its extensions, the built site, a browser without network."""

import json
import os
import re
import shutil
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from axe_playwright_python.sync_playwright import Axe

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
def serve():
    """Serve a folder as GitHub serves a project's site: under a prefix, with its 404 page."""
    servers = []

    def start(folder, prefix):
        class Pages(SimpleHTTPRequestHandler):
            def translate_path(self, path):
                if not path.startswith(prefix):
                    return str(folder / "not below the prefix")
                return super().translate_path(path[len(prefix) - 1 :])

            def send_error(self, code, message=None, explain=None):
                self.send_response(code)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write((folder / "404.html").read_bytes())

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Pages, directory=folder))
        servers.append(server)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}{prefix}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def visit(browser):
    """Open pages; returns each with everything that goes wrong on it.

    A page may ask for files, or for what is below `site` where it is served. `asked` collects what
    it asks for.
    """
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )

    def open_page(address, *, site="file:", asked=None):
        page, problems = context.new_page(), []

        def answer(route):
            if route.request.url.startswith((site, "data:", "blob:")):
                route.continue_()
            else:
                problems.append(f"asked for {route.request.url}")
                route.abort()

        def listen(message):
            if message.type == "error":
                problems.append(f"console: {message.text} {message.location['url']}")

        page.route("**/*", answer)
        page.on("console", listen)
        page.on("pageerror", lambda error: problems.append(f"script: {error}"))
        page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
        if asked is not None:
            page.on("request", lambda request: asked.append(request.url))
        page.goto(address.as_uri() if isinstance(address, Path) else address)
        page.evaluate("window.MathJax?.startup ? MathJax.startup.promise.then(() => 0) : 0")
        widgets = page.locator("script[type$='widget-view+json']").count()
        if widgets:
            page.locator(".widget-subarea > *").nth(widgets - 1).wait_for(state="attached")
        return page, problems

    yield open_page
    context.close()


@pytest.fixture
def serious():
    """What axe finds on a page that makes it hard or impossible for somebody to use."""

    def find(page, *, ignore=(), rules=()):
        # preload would fetch the style sheets again, which a browser forbids for files
        options = {"resultTypes": ["violations"], "preload": False}
        if rules:
            options["runOnly"] = list(rules)
        found = Axe().run(page, {"exclude": list(ignore)} if ignore else None, options)
        return [
            f"{fault['id']}: {node['html']}: {node['failureSummary']}"
            for fault in found.response["violations"]
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"][:3]
        ]

    return find


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
