"""What the tests of the book share: its extensions, the built site, a browser without network."""

import base64
import json
import os
import re
import shutil
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
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

LAPTOP = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "color_scheme": "dark",
    "has_touch": True,
    "is_mobile": True,
}

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
        pytest.skip("no built book (make book builds it)")
    return SITE


@pytest.fixture(scope="session")
def browser():
    """Chromium: the system's, else the one that Playwright installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        if CHROMIUM is None and not os.path.exists(playwright.chromium.executable_path):
            pytest.skip(
                "no Chromium (Debian: apt-get install chromium; elsewhere: .venv/bin/playwright "
                "install chromium)"
            )
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


class Window:
    """A window of the browser. It stays open: the next page then loads in half the time."""

    def __init__(self, browser, device):
        self.device = device
        self.page = browser.new_context(**device, reduced_motion="reduce").new_page()
        self.problems, self.asked, self.site = [], [], ""
        self.page.route("**/*", self._answer)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", self._failed)
        self.page.on("pageerror", lambda error: self._note(f"script: {error}"))
        self.page.on("console", self._listen)

    def _failed(self, request):
        # A picture that another takes the place of while it loads is given up by the browser.
        if request.failure != "net::ERR_ABORTED":
            self._note(f"failed: {request.url}")

    def _note(self, problem):
        self.problems.append(problem)

    def _listen(self, message):
        if message.type == "error":
            self._note(f"console: {message.text} {message.location['url']}")

    def _answer(self, route):
        if route.request.url.startswith((self.site, "data:", "blob:")):
            route.continue_()
        else:
            self._note(f"asked for {route.request.url}")
            route.abort()

    def visit(self, address, site):
        page = self.page
        page.goto("about:blank")
        page.set_viewport_size(self.device["viewport"])
        page.emulate_media(media="screen", color_scheme=self.device["color_scheme"])
        self.problems, self.asked, self.site = [], [], site
        page.goto(address.as_uri() if isinstance(address, Path) else address)
        page.evaluate("window.MathJax?.startup ? MathJax.startup.promise.then(() => 0) : 0")
        # A widget is drawn when the reader comes near.
        at = page.evaluate("scrollY")
        for place in page.locator(".widget-subarea").all():
            place.scroll_into_view_if_needed()
            place.locator("> *").first.wait_for(state="attached")
        page.evaluate("at => scrollTo(0, at)", at)


@pytest.fixture(scope="session")
def windows(browser):
    """One on a laptop, in the light, and one on a phone, in the dark."""
    return Window(browser, LAPTOP), Window(browser, PHONE)


@pytest.fixture
def visit(windows):
    """Open a page; returns it with everything that goes wrong on it, until the next is opened.

    A page may ask for files, or for what is below `site` where it is served. `asked` is filled with
    what it asks for.
    """

    def open_page(address, *, phone=False, site="file:", asked=None):
        window = windows[phone]
        window.visit(address, site)
        if asked is not None:
            asked.extend(window.asked)
        return window.page, window.problems

    return open_page


@pytest.fixture
def decode():
    """The grid of a widget, as its page reads it; its dimensions are put in the order of the axes.

    A page may hold them in another order: what is stored in between sorts the names.
    """

    def read(state):
        figure = state["figure"]
        order = ["depth", "sigma", "gamma", "length"]
        if "guess" not in state:
            order = [*figure["sliders"], figure["y"] or figure["lines"], figure["x"]]
        figure["dims"] = {dim: figure["dims"][dim] for dim in order if dim}
        if "guess" in state:
            values = np.frombuffer(base64.b64decode(state["guess"]), "<f4").astype(float)
        else:
            codes = np.frombuffer(base64.b64decode(state["values"]), "<i2")
            values = codes * state["figure"]["step"]
            values[codes == 32767], values[codes == -32767] = np.inf, -np.inf
            values[codes == -32768] = np.nan
        return values.reshape([len(dim["labels"]) for dim in state["figure"]["dims"].values()])

    return read


@pytest.fixture
def held(site, decode):
    """What a chapter holds for its widgets: by name of the figure, its description and its grid."""

    def read(chapter):
        html = (site / "book" / f"{chapter}.html").read_text(encoding="utf-8")
        script = r'<script type="application/vnd.jupyter.widget-{}\+json">(.*?)</script>'
        models, found, name = {}, {}, None
        for text in re.findall(script.format("state"), html, re.DOTALL):
            models |= json.loads(text)["state"]
        marks = re.findall(rf'<figure[^>]* id="(.*?)"|{script.format("view")}', html, re.DOTALL)
        for figure, view in marks:
            name = figure or name
            if view and "figure" in (state := models[json.loads(view)["model_id"]]["state"]):
                found[name] = state["figure"], decode(state)
        return found

    return read


@pytest.fixture
def serious():
    """What axe finds on a page that makes it hard or impossible for somebody to use."""

    def find(page, part="html"):
        # preload would fetch the style sheets again, which a browser forbids for files
        options = {"resultTypes": ["violations"], "preload": False}
        found = Axe().run(page, part, options)
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
