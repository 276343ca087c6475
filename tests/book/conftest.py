"""What the tests of the book share: its extensions, the built site, a browser without network."""

import os
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
