"""Every figure has a caption and an alternative text, or the build says which one has not."""

from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def check_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Warn about each image without `alt` and each image that is not in a captioned figure."""
    for image in doctree.findall(nodes.image):
        above = list(ancestors(image))
        place = next((node for node in above if node.line), image)
        if not image.get("alt"):
            logger.warning(
                "figure without an alternative text: add '#| alt: ...'",
                location=place,
            )
        if not any(
            isinstance(child, nodes.caption)
            for node in above
            if isinstance(node, nodes.figure)
            for child in node.children
        ):
            logger.warning(
                "figure without a caption: add '#| caption: ...'", location=place
            )


def ancestors(node: nodes.Node) -> Iterator[nodes.Node]:
    """Yield what a node is in, from the inside out."""
    while (node := node.parent) is not None:
        yield node


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-read", check_figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
