"""Code that a chapter folds: one quiet control for each run of folded cells, one for the page.

Cells that follow one another share a control; the button in the header opens and closes all of
them, see `folded-code.js`.
"""

from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

BUTTON = {
    "type": "javascript",
    "javascript": "toggleFoldedCode()",
    "icon": "fas fa-code",
    "tooltip": "Show or hide all folded code",
    "label": "folded-code",
}


def open_fold(self: HTML5Translator, node: nodes.Element) -> None:
    """Write the control."""
    parts = {child.get("nb_element") for child in node.children}  # type: ignore[attr-defined]
    shown = "Code and result" if "cell_code_output" in parts else "Code"
    classes = " ".join(["folded", "hide", *node["classes"]])
    self.body.append(f'<details class="{classes}"><summary>{shown}</summary>\n')


def close_fold(self: HTML5Translator, node: nodes.Element) -> None:
    """Write its end."""
    self.body.append("</details>\n")


def fold_of(cell: Any) -> nodes.Element | None:
    """Return what holds the folded code of a cell, and nothing but code."""
    if isinstance(cell, nodes.container) and cell.get("nb_element") == "cell_code":
        fold = cell.children[0] if cell.children else None
        if isinstance(fold, HideCodeCellNode):
            code = [child.get("nb_element") for child in fold.children]
            return fold if set(code) == {"cell_code_source"} else None
    return None


def share(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Let a folded cell that follows a folded cell put its code into the fold of that one."""
    for parent in list(doctree.findall(nodes.Element)):
        first = None
        for cell in list(parent.children):
            fold = fold_of(cell)
            if fold is None:
                first = None
            elif first is None:
                first = fold
            else:
                first.extend(fold.children)
                fold.parent.remove(fold)
                if not cell.children:
                    parent.remove(cell)


def add_button(
    app: Sphinx, page: str, template: str, context: dict, doctree: Any
) -> None:
    """Give a page with folded code its button."""
    if doctree is not None and next(doctree.findall(HideCodeCellNode), None):
        context["header_buttons"].insert(0, BUTTON)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_node(HideCodeCellNode, override=True, html=(open_fold, close_fold))
    app.connect("doctree-resolved", share)
    app.connect("html-page-context", add_button, priority=600)  # after the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
