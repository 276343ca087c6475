"""Runs first in every chapter, unseen; the exported notebooks do without it.

Figures are SVG, the same bytes at every build, and each is drawn twice: as the chapter has it, and
for a phone, narrow, with its panels one under the other; `pictures` parts the two. A cell that draws
shows its figure and not also the value of its last line, such as a legend: one cell, one figure, one
caption. Progress bars, which on a page would show a finished bar and its time, stay away. A chapter may
use any name that does not begin with an underscore.
"""

import math
import re

import matplotlib
import tqdm
import tqdm.auto
from IPython import get_ipython
from IPython.core.pylabtools import print_figure
from matplotlib.artist import Artist
from matplotlib.colorbar import Colorbar
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from matplotlib_inline.backend_inline import set_matplotlib_formats

_WITHOUT = {"Date": None, "Creator": None}
set_matplotlib_formats("svg", metadata=_WITHOUT)
matplotlib.rcParams["svg.hashsalt"] = "fatelib"

_WIDTH = 3.7  # inches: the text of a page on a phone, less than half a laptop's
_BAR = 0.6  # inches: a scale of colours below its panel, with its label
_SMALLER = 0.88  # of the size of letters, which a narrow figure has less room for


def _draw(figure):
    """Draw a figure as SVG that holds its narrow twin, unseen."""
    wide = print_figure(figure, "svg", metadata=_WITHOUT)
    _make_narrow(figure)
    narrow = print_figure(figure, "svg", metadata=_WITHOUT)
    narrow = narrow[narrow.index("<svg") :]
    end = wide.rindex("</svg>")
    return f'{wide[:end]}<defs class="narrow">{narrow}</defs></svg>'


def _make_narrow(figure):
    """Lay out a figure anew: panels one under the other, or side by side where they are small.

    The figure is changed; it has been drawn, and a chapter draws a figure once.
    """
    _free_legends(figure)
    panels = [ax for ax in figure.axes if ax.get_subplotspec()]
    old = {ax: _place_of(ax) for ax in panels}
    places = sorted(set(old.values()))
    rows, columns = panels[0].get_gridspec().get_geometry() if panels else (1, 1)
    width, height = figure.get_size_inches()
    side = _count_beside(panels, len(places), columns, width)
    new = {place: divmod(i, side) for i, place in enumerate(places)}
    if columns > 1:
        grid = GridSpec(math.ceil(len(places) / side), side, figure=figure)
        for ax in panels:
            _label(ax, old, beside=new[old[ax]][1] > 0)
        for ax in panels:
            ax.set_subplotspec(grid[new[old[ax]]])
        rows_now = grid.nrows
    else:
        rows_now = rows
    smaller = _WIDTH / side / (width / columns)
    square = any(ax.get_aspect() != "auto" for ax in panels if ax.name != "3d")
    each = height / rows * max(smaller, 0 if square else 0.7)
    each = min(each, height / rows, 3 if side == 1 else 9)
    figure.set_size_inches(_WIDTH, each * rows_now + _BAR * _lay_bars(figure))
    for text in figure.findobj(Text):
        text.set_fontsize(_SMALLER * text.get_fontsize())
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            size = (
                axis.get_major_ticks()[0].label1.get_fontsize()
                if axis.get_major_ticks()
                else 9
            )
            axis.set_tick_params(which="both", labelsize=size)
    _fit(figure)


def _free_legends(figure):
    """Put a legend above all panels that has a panel to itself, or names what earlier panels show."""
    known = {}
    for ax in figure.axes:
        handles, names = ax.get_legend_handles_labels()
        known |= dict(zip(names, handles, strict=True))
    legends = {ax: ax.get_legend() for ax in figure.axes if ax.get_legend()}
    for ax, legend in legends.items():
        names = [text.get_text() for text in legend.get_texts()]
        alone = not (ax.axison or ax.has_data())
        colours = {to_hex(line.get_color()) for line in legend.get_lines()}
        first = {to_hex(line.get_color()) for line in figure.axes[0].lines}
        late = len(legends) == 1 and ax is not figure.axes[0] and colours <= first
        if alone or late:
            drawn = zip(names, legend.legend_handles, strict=True)
            shown = [known.get(name, handle) for name, handle in drawn]
            ax.remove() if alone else legend.remove()
            figure.legend(
                shown, names, loc="outside upper center", ncols=len(names)
            )


def _count_beside(panels, count, columns, width):
    """Say how many panels stand side by side: as many as keep their size, so that no place is empty.

    Panels without numbers at their axes, such as matrices, may be smaller.
    """
    side = max(1, min(columns, round(_WIDTH * columns / width)))
    bare = not any(
        _tick_labels(axis) and len(axis.get_ticklocs())
        for ax in panels
        for axis in (ax.xaxis, ax.yaxis)
    )
    if bare and _WIDTH / columns > 0.9:
        return columns
    return next(n for n in range(side, 0, -1) if count % n == 0)


def _lay_bars(figure):
    """Lay the scales of colours below their panels, which are then as wide as the figure; count them."""
    count = 0
    for ax in list(figure.axes):
        for shown in [*ax.images, *ax.collections]:
            bar = shown.colorbar
            if bar is None or bar.orientation == "horizontal":
                continue
            label, parents = bar.ax.get_ylabel(), bar.ax._colorbar_info["parents"]
            kept = {"format": bar.formatter, "extend": bar.extend}
            minor = bar.minorlocator
            plain = isinstance(bar.locator, MaxNLocator)
            kept["ticks"] = MaxNLocator(4) if plain else bar.locator
            bar.remove()
            bar = figure.colorbar(
                shown, ax=parents, location="bottom", label=label, aspect=30, **kept
            )
            bar.minorlocator = minor
            count += 1
    return count


def _place_of(ax):
    """Say in which row and column of its grid a panel is."""
    place = ax.get_subplotspec()
    return place.rowspan.start, place.colspan.start


def _label(ax, old, beside):
    """Give a panel what it took from its neighbours: the labels of its axes and of their ticks."""
    row, column = old[ax]
    if not beside:
        left = [
            other
            for other in old
            if old[other][0] == row and old[other][1] < column
        ]
        if not ax.get_ylabel() and left:
            ax.set_ylabel(left[0].get_ylabel())
        if not ax.get_ylabel():  # one label may stand for all rows
            same = ax.get_shared_y_axes().get_siblings(ax)
            ax.set_ylabel(
                next(filter(None, (one.get_ylabel() for one in same)), "")
            )
        if shared := ax.get_shared_y_axes().get_siblings(ax):
            ax.tick_params(
                labelleft=any(_tick_labels(other.yaxis) for other in shared)
            )
    below = [
        other for other in old if old[other][1] == column and old[other][0] > row
    ]
    if not ax.get_xlabel() and below:
        ax.set_xlabel(below[-1].get_xlabel())
    if shared := ax.get_shared_x_axes().get_siblings(ax):
        ax.tick_params(
            labelbottom=any(_tick_labels(other.xaxis) for other in shared)
        )


def _tick_labels(axis):
    """Tell whether the ticks of an axis have labels."""
    shown = axis.get_tick_params()
    return shown.get("labelleft", shown.get("labelbottom", False))


def _fit(figure):
    """Break titles, labels and legends that are wider than the figure."""
    figure.draw_without_rendering()
    room = figure.bbox.width
    for legend in figure.findobj(Legend):
        while legend._ncols > 1 and legend.get_window_extent().width > 0.98 * room:
            _set_columns(legend, legend._ncols - 1)
            figure.draw_without_rendering()
        if legend.axes:
            _clear(legend, figure)
    for ax in figure.axes:
        across = [ax.title, ax._left_title, ax._right_title, ax.xaxis.label]
        for text in across:
            _break_line(text, 0, room)
        _break_line(ax.yaxis.label, 1, ax.get_tightbbox().height)
    for text in [figure._suptitle, figure._supxlabel]:
        if text is not None:
            _break_line(text, 0, room)


def _clear(legend, figure):
    """Move a legend that hides data to where it hides none: within its panel, or else below it."""
    if not _hides(legend):
        return
    legend.set_bbox_to_anchor(None)
    legend.set_loc("best")
    figure.draw_without_rendering()
    if _hides(legend):
        below = legend.axes.bbox.y0 - legend.axes.get_tightbbox().y0
        shift = ScaledTranslation(0, -below / figure.dpi, figure.dpi_scale_trans)
        legend.set_loc("upper left")
        legend.set_bbox_to_anchor((0, 0), legend.axes.transAxes + shift)
        height = legend.get_window_extent().height / figure.dpi
        figure.set_figheight(figure.get_figheight() + height)
        figure.draw_without_rendering()


def _hides(legend):
    """Tell whether a legend covers a part of what its panel shows."""
    renderer = legend.figure._get_renderer()
    box = legend.get_window_extent(renderer)
    boxes, lines, points = legend._auto_legend_data(renderer)
    return (
        any(line.intersects_bbox(box, filled=False) for line in lines)
        or (len(points) > 0 and box.count_contains(points) > 0)
        or (len(boxes) > 0 and box.count_overlaps(boxes) > 0)
    )


def _break_line(text, direction, room):
    """Break a line in two at the space nearest to its middle that is not in a formula."""
    words = text.get_text()
    box = text.get_window_extent()
    size = (box.width, box.height)[direction]
    if not words or "\n" in words or size < 0.9 * room:
        return
    inside = [match.span() for match in re.finditer(r"\$.*?\$", words)]
    spaces = [
        i
        for i, letter in enumerate(words)
        if letter == " " and not any(start < i < end for start, end in inside)
    ]
    if spaces:
        at = min(spaces, key=lambda i: abs(i - len(words) / 2))
        text.set_text(f"{words[:at]}\n{words[at + 1 :]}")


def _set_columns(legend, count):
    """Arrange the entries of a legend in fewer columns."""
    box = legend._legend_handle_box
    columns = box.get_children()
    entries = [entry for column in columns for entry in column.get_children()]
    each = math.ceil(len(entries) / count)
    kept = columns[: math.ceil(len(entries) / each)]
    for i, column in enumerate(kept):
        column._children = entries[i * each : (i + 1) * each]
    box._children = kept
    legend._ncols = count


_formatter = get_ipython().display_formatter.formatters["image/svg+xml"]
_formatter.for_type(Figure, _draw)


def _is_drawn(value):
    """Tell whether a value is, or holds, a part of a figure."""
    if isinstance(value, list | tuple):
        return any(map(_is_drawn, value))
    return isinstance(value, Artist | Colorbar)


def _quieten(hook):
    """Let the display of a cell's last value leave out what its figure shows."""
    usual = hook.compute_format_data
    hook.compute_format_data = lambda value: (
        ({}, {}) if _is_drawn(value) else usual(value)
    )


_quieten(get_ipython().displayhook)


def _write_table(table):
    """Write a table with one row of heads: the names of its index stand in it, too."""
    if table.index.nlevels > 1:
        return table.reset_index().to_html(index=False)
    return table.rename_axis(index=None, columns=table.index.name).to_html()


_tables = get_ipython().display_formatter.formatters["text/html"]
_tables.for_type_by_name("pandas", "DataFrame", _write_table)  # since pandas 3
_tables.for_type_by_name("pandas.core.frame", "DataFrame", _write_table)


class Unseen(tqdm.tqdm):
    """A progress bar that does not show."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options | {"disable": True})


tqdm.auto.tqdm = Unseen
