"""The table of how long each chapter ran: the directive `run-times`."""

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective


class run_times(nodes.Element):
    """Marks where the table goes: the times are known when every page has been read."""


class RunTimes(SphinxDirective):
    """Put the table here."""

    def run(self) -> list[nodes.Node]:
        """Mark the place, and remember the page."""
        self.env.metadata[self.env.docname]["run-times"] = True
        return [run_times()]


def pages_with_table(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Name the pages to write again at every build."""
    return [page for page in env.found_docs if env.metadata[page].get("run-times")]


def fill_table(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Replace the mark by the table, in the order of the book."""
    for mark in list(doctree.findall(run_times)):
        rows, total = [], 0.0
        for name in in_order(app.env, app.config.root_doc):
            times = NbMetadataCollector.get_exec_data(app.env, name)  # type: ignore[arg-type]
            if times and times["runtime"] is not None:
                uri = app.builder.get_relative_uri(page, name)
                title = app.env.titles[name].astext()
                link = nodes.reference("", title, internal=True, refuri=uri)
                rows.append((link, f"{times['runtime']:.1f}"))
                total += times["runtime"]
        rows.append((nodes.strong("", "all"), f"{total:.1f}"))
        mark.replace_self(table(rows))


def in_order(env: BuildEnvironment, page: str) -> list[str]:
    """List a page and the pages below it, in the order of the table of contents."""
    children = env.toctree_includes.get(page, [])
    return [page, *(name for child in children for name in in_order(env, child))]


def table(rows: list[tuple[nodes.Node, str]]) -> nodes.table:
    """Build a table of two columns."""
    group = nodes.tgroup(
        "", nodes.colspec(colwidth=80), nodes.colspec(colwidth=20), cols=2
    )
    head = [nodes.Text("chapter"), nodes.Text("seconds")]
    body = nodes.tbody(
        "", *(row(first, nodes.Text(second)) for first, second in rows)
    )
    group += [nodes.thead("", row(*head)), body]
    return nodes.table("", group)


def row(*cells: nodes.Node) -> nodes.row:
    """Build a row of a table."""
    return nodes.row(
        "", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells)
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_node(run_times)
    app.add_directive("run-times", RunTimes)
    app.connect("env-updated", pages_with_table)
    app.connect("doctree-resolved", fill_table)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
