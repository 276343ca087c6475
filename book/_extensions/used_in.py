"""Entries of the API reference name the chapters that refer to them: links both ways.

A chapter refers to a name by a role such as ``{py:func}`fatelib.train```. Sphinx makes that a link;
here the entry gets one back.
"""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

API = "book/api/"


def uses(env: BuildEnvironment) -> dict[str, set[str]]:
    """Return the names that each page refers to; kept with what Sphinx knows of all pages."""
    if not hasattr(env, "names_used"):
        env.names_used = {}
    return env.names_used


def collect(app: Sphinx, doctree: nodes.document) -> None:
    """Note what a chapter refers to."""
    if not app.env.docname.startswith(API):
        found = doctree.findall(addnodes.pending_xref)
        names = {
            node["reftarget"] for node in found if node.get("refdomain") == "py"
        }
        uses(app.env)[app.env.docname] = names


def forget(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    """Forget a page that changed or went."""
    uses(env).pop(page, None)


def write_again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages that depend on all others."""
    return [page for page in env.found_docs if page.startswith(API)]


def link_back(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Add to each entry where it is used."""
    if not page.startswith(API):
        return
    order = list(app.env.collect_relations())
    used = sorted(
        uses(app.env),
        key=lambda chapter: order.index(chapter) if chapter in order else 0,
    )
    for entry in doctree.findall(addnodes.desc):
        signature = entry[0]
        if entry.get("domain") != "py" or not signature.get("ids"):
            continue
        chapters = [
            chapter
            for chapter in used
            if signature["ids"][0] in uses(app.env)[chapter]
        ]
        if chapters:
            entry[-1].append(_links(app, page, chapters))


def _links(app: Sphinx, page: str, chapters: list[str]) -> nodes.paragraph:
    paragraph = nodes.paragraph("", "Used in: ", classes=["used-in"])
    for i, chapter in enumerate(chapters):
        title = nodes.inline("", app.env.titles[chapter].astext())
        paragraph += nodes.Text(", " if i else "")
        paragraph += make_refnode(app.builder, page, chapter, "", title)
    return paragraph


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-read", collect)
    app.connect("env-purge-doc", forget)
    app.connect("env-updated", write_again)
    app.connect("doctree-resolved", link_back)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False}
