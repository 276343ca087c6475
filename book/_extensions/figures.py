"""Every figure has a caption and an alternative text, or the build says which one has not."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def check_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Warn about each image without `alt` and each image that is not in a captioned figure."""
    for image in doctree.findall(nodes.image):
        if not image.get("alt"):
            logger.warning("figure without an alternative text: add '#| alt: ...'", location=image)
        figure = image.parent
        while figure is not None and not isinstance(figure, nodes.figure):
            figure = figure.parent
        if figure is None or not any(isinstance(child, nodes.caption) for child in figure):
            logger.warning("figure without a caption: add '#| caption: ...'", location=image)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-read", check_figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
