r"""Quote another chapter: the picture of a figure, or how well theory and experiment agreed.

The directive `quoted-figure` shows the picture of a figure anywhere in the book, with its
alternative text and a link to it::

    :::{quoted-figure} fig-slices
    :::

The role ``{agreement}`some-chapter: transferability` `` sums up rows of the tables of agreement of
a chapter; the name of the rows may hold wildcards, as in ``risk, *``.

Glue from other documents would need every chapter to glue its figures, and does not take SVG. What
a page quotes, by these two or by glue, can change although the page did not: such pages are written
again at every build.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from docutils import nodes
from myst_nb.ext.glue.utils import PendingGlueReference
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import docname_join, logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from _extensions.checks import rows as read_rows

logger = logging.getLogger(__name__)


class quoted_figure(nodes.General, nodes.Element):
    """Marks where a picture goes."""


class quoted_agreement(nodes.Inline, nodes.Element):
    """Marks where a summary of agreement goes."""


class QuotedFigure(SphinxDirective):
    """Take the picture of the figure with this name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Mark the place: other pages may not have been read yet."""
        mark = quoted_figure(label=self.arguments[0])
        self.set_source_info(mark)
        return [mark]


class AgreementRole(SphinxRole):
    """Sum up the rows of this name in the chapter."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Mark the place."""
        chapter, _, rows = self.text.partition(": ")
        page = docname_join(self.env.docname, chapter)
        mark = quoted_agreement(chapter=page, rows=rows)
        self.set_source_info(mark)
        return [mark], []


def note_quotations(app: Sphinx, doctree: nodes.document) -> None:
    """Remember the pages that quote."""
    kinds = (quoted_figure, quoted_agreement, PendingGlueReference)
    if any(isinstance(node, kinds) for node in doctree.findall()):
        app.env.metadata[app.env.docname]["quotes"] = True


def pages_that_quote(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Name the pages to write again at every build."""
    return [page for page in env.found_docs if env.metadata[page].get("quotes")]


def fill_quotations(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Replace the marks."""
    for mark in list(doctree.findall(quoted_figure)):
        picture = linked_picture(app, page, mark["label"])
        if picture is None:
            message = f"no picture of a figure named {mark['label']!r} to quote"
            logger.warning(message, location=mark)
        mark.replace_self([] if picture is None else picture)
    for summary in list(doctree.findall(quoted_agreement)):
        chapter, rows = summary["chapter"], summary["rows"]
        found = list(agreement_rows(app.env, chapter, rows))
        if not found:
            message = f"no row {rows!r} in a table of agreement of {chapter}"
            logger.warning(message, location=summary)
        summary.replace_self(nodes.Text(sum_up(found)))


def linked_picture(app: Sphinx, page: str, label: str) -> nodes.reference | None:
    """Copy the picture of a figure, as a link to that figure."""
    labels = app.env.get_domain("std").labels  # type: ignore[attr-defined]
    source, anchor, _ = labels.get(label, ("", "", ""))
    if not source:
        return None
    for figure in app.env.get_doctree(source).findall(nodes.figure):
        if anchor in figure["ids"]:
            for image in figure.findall(nodes.image):
                copy = image.deepcopy()
                copy.attributes.pop("width", None)
                copy["loading"] = "lazy"  # a page of many pictures opens at once
                uri = app.builder.get_relative_uri(page, source) + f"#{anchor}"
                return nodes.reference("", "", copy, internal=True, refuri=uri)
    return None


def agreement_rows(
    env: BuildEnvironment, chapter: str, name: str
) -> Iterator[dict[str, str]]:
    """Yield the rows of the tables of agreement of a chapter whose names match."""
    if chapter not in env.found_docs:
        return
    for html in env.get_doctree(chapter).findall(nodes.raw):
        if 'class="agreement"' in html.astext():
            for row in read_rows(html.astext()):
                if fnmatchcase(row["theory against experiment"], name):
                    yield row


def sum_up(rows: list[dict[str, str]]) -> str:
    """Give the largest deviation of all rows, and the number of cells."""
    if not rows:
        return ""
    worst = max(
        (row["largest deviation"] for row in rows),
        key=lambda text: float(text.split()[0]),
    )
    cells = sum(int(row["cells"]) for row in rows)
    return f"{worst} in {cells} cell{'s' * (cells != 1)}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_node(quoted_figure)
    app.add_node(quoted_agreement)
    app.add_directive("quoted-figure", QuotedFigure)
    app.add_role("agreement", AgreementRole())
    app.connect("doctree-read", note_quotations)
    app.connect("env-updated", pages_that_quote)
    app.connect("doctree-resolved", fill_quotations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
