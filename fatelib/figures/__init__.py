r"""The figures of the paper, each as an experiment, a theory, a picture and a comparison.

``FIGURES`` maps the key of a figure to it. What a `Figure` computes is a labelled data set; drawing
and comparing take that data set, so that a result stored once can be drawn again:

>>> from fatelib.figures import FIGURES
>>> sorted(FIGURES)[:3]
['fig-1', 'fig-2', 'fig-3ab']

The command ``fatelib reproduce`` does all three and stores them.
"""

from fatelib.figures import (
    curves,
    decay,
    diagrams,
    distances,
    dynamics,
    kernels,
    relu_transfer,
    students,
    variations,
)
from fatelib.figures.figure import Figure

__all__ = ["FIGURES", "PARTS", "Figure"]

_LINEAR = (
    diagrams.FIG_1,
    variations.FIG_2,
    diagrams.FIG_7,
    variations.FIG_SOURCE,
    diagrams.FIG_SURFACE,
    curves.FIG_SCRATCH,
    curves.FIG_RIDGE,
    decay.FIG_5,
    decay.FIG_L2SP,
    dynamics.FIG_DYNAMICS,
    dynamics.FIG_TIME,
    distances.FIG_4A,
    distances.FIG_4B,
)
_RELU = (
    kernels.FIG_MERCER,
    kernels.FIG_3D,
    students.FIG_3AB,
    relu_transfer.FIG_3C,
    relu_transfer.FIG_3E,
    relu_transfer.FIG_CURVE,
)

FIGURES = {figure.key: figure for figure in (*_LINEAR, *_RELU)}
"""Key of each figure -> the figure."""

PARTS = {
    "linear": tuple(figure.key for figure in _LINEAR),
    "relu": tuple(figure.key for figure in _RELU),
}
"""Name of a part of the book -> the keys of its figures."""
