"""The API reference links to the chapters that refer to it."""

import os
import re
import subprocess
import sys
from pathlib import Path

BOOK = Path(__file__).parents[2] / "book"

PAGES = {
    "index.rst": "Root\n====\n\n.. toctree::\n\n   book/b\n   book/a\n   book/api/one\n",
    "book/a.rst": "Last\n====\n\n:py:func:`one.f` and :py:meth:`~one.C.g`\n",
    "book/b.rst": "First\n=====\n\n:py:func:`the f <one.f>`\n",
    "book/api/one.rst": (
        "one\n===\n\n.. py:module:: one\n\n.. py:function:: f(x)\n\n   Do.\n\n"
        ".. py:function:: h(x)\n\n   :py:func:`f`.\n\n.. py:class:: C\n\n   .. py:method:: g(x)\n"
    ),
}


def test_entries_link_to_the_chapters_that_use_them(tmp_path):
    for name, text in PAGES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def build():
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "-C", "."]
        command += ["html", "-D", "extensions=_extensions.used_in"]
        environment = {**os.environ, "PYTHONPATH": str(BOOK)}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
        html = (tmp_path / "html/book/api/one.html").read_text(encoding="utf-8")
        found = re.findall(r'<p class="used-in">Used in: (.*?)</p>', html, re.DOTALL)
        return [re.findall(r'href="\.\./(\w+)\.html', links) for links in found]

    assert build() == [["b", "a"], ["a"]]  # in the order of the book; of f and of C.g
    (tmp_path / "book/b.rst").write_text("First\n=====\n\nNothing.\n", encoding="utf-8")
    assert build() == [["a"], ["a"]]
