"""Mends what docutils and the theme leave without a name or with a wrong role for screen readers."""

from typing import Any

from sphinx.application import Sphinx


def mend(
    app: Sphinx, page: str, template: str, context: dict, doctree: Any
) -> None:
    """Name the buttons that unfold the contents; make the entries of the bibliography a list's."""
    draw = context["generate_toctree_html"]

    def with_names(*args: Any, **kwargs: Any) -> str:
        contents = str(draw(*args, **kwargs))
        return contents.replace("<summary>", '<summary aria-label="Its pages">')

    context["generate_toctree_html"] = with_names
    if "body" in context:
        context["body"] = context["body"].replace(
            'role="doc-biblioentry"', 'role="listitem"'
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-page-context", mend, priority=600)  # after the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
