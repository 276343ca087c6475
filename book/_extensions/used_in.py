"""Links between chapters and the API reference, both ways.

An entry names the chapters that use it, and a chapter ends with what its code takes from the
library. A chapter uses a name by a role, such as ``{py:func}`fatelib.linear.train```, or in its code
as far as a reader sees it.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pydoc import locate
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

API = "book/api/"
KINDS = {"class", "data", "exception", "function"}

find = cache(locate)


def names_in_code(cells: Iterable[str]) -> set[str]:
    """Return the dotted names of the library that code uses, in whatever way it imported them.

    A cell that is not Python, or only a part of some, counts for nothing.
    """
    imported: dict[str, str] = {}  # name in the code -> name in the library

    def dotted(node: ast.AST) -> str:
        if isinstance(node, ast.Name):
            return imported.get(node.id, "")
        if isinstance(node, ast.Attribute) and (of := dotted(node.value)):
            return f"{of}.{node.attr}"
        return ""

    names = set()
    for cell in cells:
        try:
            parts = list(ast.walk(ast.parse(cell)))
        except SyntaxError:
            continue
        for node in parts:
            if isinstance(node, ast.Import):
                for name in node.names:
                    whole = name.asname or name.name.partition(".")[0]
                    imported[whole] = name.name if name.asname else whole
            elif isinstance(node, ast.ImportFrom):
                for name in node.names:
                    imported[name.asname or name.name] = (
                        f"{node.module}.{name.name}"
                    )
        names |= {dotted(node) for node in parts}
    return {name for name in names if name.startswith("fatelib.")}


def entries(env: BuildEnvironment, names: Iterable[str]) -> list[str]:
    """Return the entries of the reference for names in code, which may be shorter or longer.

    `fatelib.train` stands under `fatelib.linear.train`, a class method under its class.
    """
    objects = env.get_domain("py").objects  # type: ignore[attr-defined]
    listed = {
        id(find(entry)): entry
        for entry, what in objects.items()
        if what.objtype in KINDS and not what.aliased and find(entry) is not None
    }
    found = set()
    for name in names:
        while name and id(find(name)) not in listed:
            name = name.rpartition(".")[0]
        if name:
            found.add(listed[id(find(name))])
    return sorted(found)


def uses(env: BuildEnvironment) -> dict[str, tuple[set[str], set[str]]]:
    """Return the names in the text and in the code of each page.

    They are kept with what Sphinx knows of all pages.
    """
    if not hasattr(env, "names_used"):
        env.names_used = {}
    return env.names_used


def collect(app: Sphinx, doctree: nodes.document) -> None:
    """Note what a chapter refers to, and what its code uses."""
    if not app.env.docname.startswith(API):
        references = doctree.findall(addnodes.pending_xref)
        text = {
            node["reftarget"]
            for node in references
            if node.get("refdomain") == "py"
        }
        blocks = doctree.findall(nodes.literal_block)
        code = [
            node.astext() for node in blocks if "python" in node.get("language", "")
        ]
        uses(app.env)[app.env.docname] = text, names_in_code(code)


def forget(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    """Forget a page that changed or went."""
    uses(env).pop(page, None)


def write_again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages that depend on all others."""
    return [page for page in env.found_docs if page.startswith(API)]


def link(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Add to each entry where it is used, or to a chapter what it uses."""
    if page.startswith(API):
        link_back(app, doctree, page)
        return
    names = entries(app.env, uses(app.env).get(page, ((), ()))[1])
    section = doctree.next_node(nodes.section)
    if names and section:
        objects = app.env.get_domain("py").objects  # type: ignore[attr-defined]
        targets = [
            (
                objects[name].docname,
                objects[name].node_id,
                nodes.literal("", name.removeprefix("fatelib.")),
            )
            for name in names
        ]
        section += line(app, page, "From the library: ", targets, "from-library")


def link_back(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Add to each entry where it is used."""
    order = list(app.env.collect_relations())
    used = {
        chapter: {*text, *entries(app.env, code)}
        for chapter, (text, code) in uses(app.env).items()
    }
    chapters = sorted(
        used, key=lambda chapter: order.index(chapter) if chapter in order else 0
    )
    for entry in doctree.findall(addnodes.desc):
        signature = entry[0]
        if entry.get("domain") != "py" or not signature.get("ids"):
            continue
        targets = [
            (chapter, "", nodes.inline("", app.env.titles[chapter].astext()))
            for chapter in chapters
            if signature["ids"][0] in used[chapter]
        ]
        if targets:
            entry[-1].append(line(app, page, "Used in: ", targets, "used-in"))


def line(
    app: Sphinx,
    page: str,
    heading: str,
    targets: list[tuple[str, str, nodes.Node]],
    name: str,
) -> nodes.paragraph:
    """Build a paragraph of links, to pages or places in them."""
    paragraph = nodes.paragraph("", heading, classes=[name])
    for i, (target, place, shown) in enumerate(targets):
        paragraph += nodes.Text(", " if i else "")
        paragraph += make_refnode(app.builder, page, target, place, shown)
    return paragraph


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-read", collect)
    app.connect("env-purge-doc", forget)
    app.connect("env-updated", write_again)
    app.connect("doctree-resolved", link)
    return {"version": "1", "env_version": 2, "parallel_read_safe": False}
