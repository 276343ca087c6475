"""Runs first in every chapter, unseen; the exported notebooks do without it.

Figures are SVG, the same bytes at every build. A cell that draws shows its figure and not also the
value of its last line, such as a legend: one cell, one figure, one caption. Progress bars, which on
a page would show a finished bar and its time, stay away.
"""

import matplotlib
import tqdm
import tqdm.auto
from IPython import get_ipython
from matplotlib.artist import Artist
from matplotlib_inline.backend_inline import set_matplotlib_formats

set_matplotlib_formats("svg", metadata={"Date": None, "Creator": None})
matplotlib.rcParams["svg.hashsalt"] = "fatelib"


def is_drawn(value):
    """Tell whether a value is, or holds, a part of a figure."""
    if isinstance(value, list | tuple):
        return any(map(is_drawn, value))
    return isinstance(value, Artist)


def quieten(hook):
    """Let the display of a cell's last value leave out what its figure shows."""
    usual = hook.compute_format_data
    hook.compute_format_data = lambda value: (
        ({}, {}) if is_drawn(value) else usual(value)
    )


quieten(get_ipython().displayhook)


class Unseen(tqdm.tqdm):
    """A progress bar that does not show."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options | {"disable": True})


tqdm.auto.tqdm = Unseen
