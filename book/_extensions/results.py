r"""Pictures of the benchmarks' tables: the directive `bars`.

It draws rows of a table of `benchmarks/RESULTS.md`, named by its heading, when the page is read, so
that a new run of the benchmarks changes table and picture together::

    :::{bars} Against the authors' code
    :name: fig-against-authors
    :rows: n = {n}
    :columns: authors' code | descent | spectral
    :unit: s
    :axis: time per step
    :alt: Bars of the time per step.

    The caption.
    :::

`rows` says how a row is called, with the names of columns in braces. `unit` chooses the number of a
cell, s or %: of `112 ms (54%)` the first or the second. A column of which no row has one is left out,
as when PyTorch was missing, then each row that lacks one. A heading or column that is missing fails
the build.

In tables a number stays on one line with its unit.
"""

import io
import os
import re
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from _extensions.pictures import join

RESULTS = "benchmarks/RESULTS.md"
UNITS = {"s": {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}, "%": {"%": 1}}
# What stays on one line: `256: 12.7 µs`, `1e-06`, `n = 50`.
TOGETHER = re.compile(
    r"((?:\S+: )?\S*\d(?: (?:[mµn]?s|h|[kMGT]?B|[MG]flop)\b|e-\d)\S*|\S+ = \S+)"
)

Cells = list[list[str]]  # by row and column


def table(text: str, title: str) -> list[dict[str, str]]:
    """Read the table below a heading: its rows, by the names of the columns.

    Raises:
        ValueError: There is no such heading, or no table below it.
    """
    heading = rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)"
    section = re.search(heading, text, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^\|(.*)\|$", section[1], re.MULTILINE) if section else []
    if len(lines) < 3:
        raise ValueError(f"no table {title!r} in {RESULTS}")
    names, _, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    return [dict(zip(names, row, strict=True)) for row in rows]


def choose(
    rows: list[dict[str, str]], columns: list[str], name: str, unit: str
) -> tuple[list[str], list[str], Cells]:
    """Return the names of rows, the columns, and the cells, each of which has a number with the unit.

    Raises:
        ValueError: There is no such column, or no such row.
    """
    for column in [*columns, *re.findall(r"\{(.*?)\}", name)]:
        if column not in rows[0]:
            raise ValueError(f"no column {column!r}, only {', '.join(rows[0])}")

    def known(row: dict[str, str], column: str) -> bool:
        return value(row[column], unit) is not None

    def called(row: dict[str, str]) -> str:
        return re.sub(r"\{(.*?)\}", lambda key: row[key[1]], name)

    columns = [one for one in columns if any(known(row, one) for row in rows)]
    rows = [row for row in rows if all(known(row, one) for one in columns)]
    if not columns or not rows:
        raise ValueError(f"no row has a number with the unit {unit} in each column")
    names = [called(row) for row in rows]
    return names, columns, [[row[one] for one in columns] for row in rows]


def value(cell: str, unit: str) -> float | None:
    """Return the number with this unit in a cell, or None where there is none."""
    found = re.search(rf"([\d.,]+) ?({'|'.join(UNITS[unit])})(?!\w)", cell)
    return (
        float(found[1].replace(",", "")) * UNITS[unit][found[2]] if found else None
    )


def draw(
    names: list[str],
    cells: Cells,
    columns: list[str],
    unit: str,
    axis: str,
    *,
    width: float = 4.8,
) -> Figure:
    """Draw the cells as groups of bars, each with its text; decades need a logarithmic axis."""
    values = [[value(cell, unit) for cell in row] for row in cells]
    flat = [number for row in values for number in row]
    decades = max(flat) > 50 * min(flat)
    gap = 0.12 if len(columns) > 1 else 0.06
    height = 0.18 * len(columns) + gap  # of a group, in inches
    figure = Figure(figsize=(width, height * len(names) + 1), layout="constrained")
    ax = figure.subplots()
    bar = 0.18 / height
    for i, column in enumerate(columns):
        offset = (i - (len(columns) - 1) / 2) * bar
        places = [row + offset for row in range(len(names))]
        drawn = ax.barh(
            places, [row[i] for row in values], bar, label=column.strip("`")
        )
        ax.bar_label(drawn, [row[i] for row in cells], padding=3, fontsize=8)
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel=axis)
    ax.set_ylim(len(names) - 0.5, -0.5)
    if decades:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(numticks=5))
        ax.set_xlim(min(flat) / 4, max(flat) * (max(flat) / min(flat)) ** 0.3)
    else:
        ax.set_xlim(0, 1.25 * max(flat))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: readable(x, unit)))
    ax.spines[["top", "right"]].set_visible(False)
    if len(columns) > 1:
        figure.legend(
            loc="outside upper center", ncols=3 if width > 4 else 2, frameon=False
        )
    return figure


def to_svg(figure: Figure) -> str:
    """Write a figure, the same bytes at every build."""
    figure.savefig(
        file := io.StringIO(),
        format="svg",
        metadata={"Date": None, "Creator": None},
    )
    return file.getvalue()


def readable(number: float, unit: str) -> str:
    """Write a number at a tick of the axis in the largest unit that it has one of."""
    units = UNITS[unit].items()
    name, size = next(
        (one for one in units if number >= 0.999 * one[1]), [*units][-1]
    )
    return f"{number / size:,.10g} {name}" if unit == "s" else f"{number:.0f}%"


class Bars(SphinxDirective):
    """Draw a table, as a figure with this caption."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar = dict.fromkeys(
        ["name", "rows", "columns", "unit", "axis", "alt"],
        directives.unchanged_required,
    )

    def run(self) -> list[nodes.Node]:
        """Draw into the folder of what Sphinx knows of the pages."""
        if missing := self.option_spec.keys() - self.options.keys():
            raise self.error(f"bars need {', '.join(sorted(missing))}")
        source = Path(self.env.srcdir) / RESULTS
        self.env.note_dependency(str(source))
        columns = [name.strip() for name in self.options["columns"].split("|")]
        unit = directives.choice(self.options["unit"], [*UNITS])
        try:
            rows = table(source.read_text(encoding="utf-8"), self.arguments[0])
            names, columns, cells = choose(
                rows, columns, self.options["rows"], unit
            )
        except ValueError as error:
            raise self.error(str(error)) from None
        path = Path(self.env.doctreedir) / "bars" / f"{self.options['name']}.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        with rc_context({"svg.hashsalt": "fatelib", "font.size": 9}):
            wide, narrow = (
                to_svg(
                    draw(
                        names,
                        cells,
                        columns,
                        unit,
                        self.options["axis"],
                        width=width,
                    )
                )
                for width in (4.8, 3.7)
            )
        path.write_text(join(wide, narrow), encoding="utf-8")

        page = Path(self.env.doc2path(self.env.docname)).parent
        uri = Path(os.path.relpath(path, page)).as_posix()
        caption = nodes.caption(
            "", "", *self.parse_inline(" ".join(self.content))[0]
        )
        image = nodes.image("", uri=uri, alt=" ".join(self.options["alt"].split()))
        node = nodes.figure("", image, caption)
        self.set_source_info(node)
        self.add_name(node)
        return [node]


def keep_together(app: Sphinx, doctree: nodes.document) -> None:
    """Mark what no line of a table may break; custom.css heeds it."""
    for found in doctree.findall(nodes.table):
        for text in list(found.findall(nodes.Text)):
            parts = TOGETHER.split(text)
            if len(parts) > 1 and not isinstance(text.parent, nodes.literal):
                new = [
                    nodes.inline("", part, classes=["together"])
                    if i % 2
                    else nodes.Text(part)
                    for i, part in enumerate(parts)
                ]
                text.parent.replace(text, [node for node in new if node.astext()])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("bars", Bars)
    app.connect("doctree-read", keep_together)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
