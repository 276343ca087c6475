"""Agreement of theory and experiment: one line beside the figure, the table on the page of checks.

A cell tagged `check` displays tables of agreement and follows the figure that it certifies. Its
chapter shows one line in their place, such as "24 cells agree with theory, at worst 2.5 of 4
standard errors", which links to the page with the directive `checks`. There stand the tables of all
chapters, each with the comment at the top of its cell, which says why its tolerance is what it is
and which cells are left out. A table that disagrees raises in its cell, so that the build fails.

The page is written again at every build, for it can change although its file did not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from _extensions.run_times import in_order

logger = logging.getLogger(__name__)

Row = dict[str, str]


class checks(nodes.General, nodes.Element):
    """Marks where all tables go: they are known when every page has been read."""


class Checks(SphinxDirective):
    """Put the tables of all chapters here."""

    def run(self) -> list[nodes.Node]:
        """Mark the place, and remember the page."""
        self.env.metadata[self.env.docname]["checks"] = True
        return [checks()]


@dataclass(frozen=True)
class Check:
    """A cell that is tagged, or should be.

    Attributes:
        cell: Its node.
        tables: The tables that it displays.
        name: Where it is on the page of checks.
    """

    cell: nodes.Element
    tables: list[nodes.raw]
    name: str

    @property
    def tagged(self) -> bool:
        """Whether the chapter says that it is a check."""
        return is_check(self.cell)

    @property
    def reason(self) -> str:
        """What the comment at the top of the cell says."""
        return self.cell["cell_metadata"].get("reason", "")

    @property
    def rows(self) -> list[Row]:
        """The rows of its tables."""
        return [row for table in self.tables for row in rows(table.astext())]

    @property
    def figure(self) -> str:
        """Identifier of the figure that it follows, with nothing but checks between them."""
        before = self.cell.parent.children[: self.cell.parent.index(self.cell)]
        for node in reversed(before):
            if not is_check(node):
                figure = node.next_node(nodes.figure)
                return figure["ids"][0] if figure and is_cell(node) else ""
        return ""


def is_cell(node: nodes.Node) -> bool:
    """Tell whether a node is a cell of code."""
    return (
        isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"
    )


def is_check(node: nodes.Node) -> bool:
    """Tell whether a node is a cell with the tag."""
    return is_cell(node) and "check" in node["cell_metadata"].get("tags", [])  # type: ignore[index]


def find(doctree: nodes.document, page: str) -> Iterator[Check]:
    """Yield the checks of a page, in their order."""
    count = 0
    for cell in filter(is_cell, doctree.findall(nodes.container)):
        shown = cell.findall(nodes.raw)
        tables = [raw for raw in shown if 'class="agreement"' in raw.astext()]
        if tables or is_check(cell):
            count += 1
            yield Check(cell, tables, f"check-{page.rpartition('/')[2]}-{count}")


def rows(html: str) -> list[Row]:
    """Read a table of agreement: a dictionary for each row, by the heads of its columns."""
    table = ElementTree.fromstring(html)
    head = [cell.text or "" for cell in table.iterfind("thead/tr/th")]
    return [
        dict(zip(head, (cell.text or "" for cell in row), strict=True))
        for row in table.iterfind("tbody/tr")
    ]


def sum_up(rows: list[Row]) -> tuple[str, str]:
    """Say in one line how well theory and experiment agree.

    The line counts all cells, and names the deviation that is largest for its tolerance: one for
    each unit, as standard errors and absolute distances do not compare.

    Returns:
        The beginning of the line, which becomes a link, and its rest.
    """
    units: dict[str, list[tuple[float, str, str]]] = {}
    for row in rows:
        deviation, _, unit = row["largest deviation"].partition(" ")
        tolerance = row["tolerance"].partition(" ")[0]
        # A tolerance of zero is met by equality only.
        share = float(deviation) / float(tolerance) if float(tolerance) else 0.0
        name = row["theory against experiment"]
        units.setdefault(unit, []).append(
            (share, f"{deviation} of {tolerance}", name)
        )
    parts = []
    for unit, found in sorted(units.items(), reverse=True):
        _, worst, name = max(found, key=lambda one: one[0])
        # An absolute distance is in units of its quantity, which "students: error" names last.
        kinds = {name.rpartition(": ")[2] for *_, name in found}
        quantity = kinds.pop() if len(kinds) == 1 else name
        parts.append(f"{worst} {'standard errors' if unit else f'({quantity})'}")
    cells = sum(int(row["cells"]) for row in rows)
    left_out = sum(int(row["left out"]) for row in rows)
    rest = f"; {left_out:,} left out" if left_out else ""
    one = cells == 1
    return (
        f"{cells:,} cell{'' if one else 's'} agree{'s' if one else ''}",
        f" with theory, at worst {' and '.join(parts)}{rest}.",
    )


def look(app: Sphinx, doctree: nodes.document) -> None:
    """Note that a page has checks; say which cells lack the tag, or the table."""
    page = app.env.docname
    for check in find(doctree, page):
        app.env.metadata[page]["has checks"] = True
        if not check.tables:
            logger.warning(
                "a cell tagged 'check' shows no table of agreement",
                location=check.cell,
            )
        if not check.tagged:
            logger.warning(
                "a cell that shows a table of agreement needs the tag 'check'",
                location=check.cell,
            )


def page_of_checks(env: BuildEnvironment) -> str:
    """Name the page with the directive; the empty string where no page of this build has it."""
    pages = sorted(env.found_docs)
    return next((page for page in pages if env.metadata[page].get("checks")), "")


def write_again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Name the page to write at every build."""
    page = page_of_checks(env)
    return [page] if page else []


def fill(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put a line in the place of each check of a page, and all tables in the place of the mark."""
    for check in list(find(doctree, page)):
        if check.tagged and check.tables:
            first, *others = check.tables
            first.replace_self(line(app, page, check))
            for other in others:
                other.parent.remove(other)
    for mark in list(doctree.findall(checks)):
        mark.replace_self(everything(app, page))


def line(app: Sphinx, page: str, check: Check) -> nodes.paragraph:
    """Build the line of a check."""
    beginning, rest = sum_up(check.rows)
    paragraph = nodes.paragraph("", classes=["check"])
    target = page_of_checks(app.env)
    if target:
        uri = app.builder.get_relative_uri(page, target) + f"#{check.name}"
        paragraph += nodes.reference("", beginning, internal=True, refuri=uri)
    else:
        paragraph += nodes.Text(beginning)
    paragraph += nodes.Text(rest)
    return paragraph


def everything(app: Sphinx, page: str) -> list[nodes.Node]:
    """Build the contents and a section for each chapter, in the order of the book."""
    contents = nodes.bullet_list(classes=["contents-of-checks"])
    sections: list[nodes.Node] = []
    for name in in_order(app.env, app.config.root_doc):
        if not app.env.metadata[name].get("has checks"):
            continue
        found = [
            check for check in find(app.env.get_doctree(name), name) if check.tagged
        ]
        if not found:
            continue
        place = f"checks-of-{name.rpartition('/')[2]}"
        numbers = app.env.toc_secnumbers.get(name, {}).get("", ())
        number = "".join(f"{part}." for part in numbers)
        title = f"{number} {app.env.titles[name].astext()}".strip()
        beginning, rest = sum_up([row for check in found for row in check.rows])
        link = nodes.reference("", title, internal=True, refid=place)
        summary = nodes.Text(f": {beginning}{rest}")
        contents += nodes.list_item("", nodes.paragraph("", "", link, summary))
        uri = app.builder.get_relative_uri(page, name)
        heading = nodes.reference("", title, internal=True, refuri=uri)
        section = nodes.section("", nodes.title("", "", heading), ids=[place])
        section += [entry(app, uri, name, check) for check in found]
        sections.append(section)
    return [contents, *sections]


def entry(app: Sphinx, uri: str, chapter: str, check: Check) -> nodes.section:
    """Build the entry of a check: its figure or section, its reason and its tables."""
    numbers = app.env.toc_fignumbers.get(chapter, {}).get("figure", {})
    if check.figure in numbers:
        shown = "Figure " + ".".join(map(str, numbers[check.figure]))
        place = f"{uri}#{check.figure}"
    else:
        above = check.cell.parent
        while not isinstance(above, nodes.section):
            above = above.parent
        shown, place = above[0].astext(), f"{uri}#{above['ids'][0]}"
    link = nodes.reference("", shown, internal=True, refuri=place)
    title = nodes.title("", "", link)
    section = nodes.section("", title, ids=[check.name], classes=["check-entry"])
    for text in filter(None, check.reason.split("\n\n")):
        section += nodes.paragraph("", "", *with_formulas(text))
    section += nodes.raw("", table(check.rows), format="html")
    return section


def with_formulas(text: str) -> list[nodes.Node]:
    """Read plain text with formulas between dollars."""
    parts = re.split(r"\$([^$]+)\$", text)
    return [
        nodes.math("", part) if i % 2 else nodes.Text(part)
        for i, part in enumerate(parts)
        if part
    ]


def table(rows: list[Row]) -> str:
    """Write the rows; each cell knows its column, for screens with room for one only. What no row has, such as
    the place of the largest deviation where there is one cell, has no column."""
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-column="{escape(name)}">{escape(row[name])}</td>'
            for name in names
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<table class="check"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_node(checks)
    app.add_directive("checks", Checks)
    app.connect("doctree-read", look)
    app.connect("env-updated", write_again)
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
