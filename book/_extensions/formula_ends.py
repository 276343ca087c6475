"""A formula in a line stays with the signs that touch it, such as the comma after it.

A browser may break a line between a formula and any letter, for it lays formulas out as boxes; a comma
would then open the next line. What stands between two spaces is one piece, which custom.css keeps
together.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx

BEFORE = re.compile(r"[(\[“‘\"']+$")
AFTER = re.compile(r"^[.,;:!?)\]”’\"'…]+")


def keep_together(
    app: Sphinx, doctree: nodes.document, page: str | None = None
) -> None:
    """Wrap each formula and the signs that touch it."""
    for formula in list(doctree.findall(nodes.math)):
        parent = formula.parent
        at = parent.index(formula)
        piece: list[nodes.Node] = [formula]
        before = parent[at - 1] if at > 0 else None
        after = parent[at + 1] if at + 1 < len(parent) else None
        if isinstance(after, nodes.Text) and (signs := AFTER.search(after)):
            piece.append(nodes.Text(signs[0]))
            parent.replace(after, nodes.Text(after[signs.end() :]))
        if isinstance(before, nodes.Text) and (signs := BEFORE.search(before)):
            piece.insert(0, nodes.Text(signs[0]))
            parent.replace(before, nodes.Text(before[: signs.start()]))
        if len(piece) > 1:
            together = nodes.inline("", classes=["formula-and-sign"])
            parent.replace(formula, together)
            together += piece


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", keep_together, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
