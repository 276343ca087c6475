"""Interactive views: an explorer for every labelled grid, and the geometry of fine-tuning to drag.

The numbers that Python has computed travel inside the widget, so the same figure works in Jupyter,
in Colab and on a static page without a kernel: `explore` draws any grid as a heat map with linked
slices or as curves, `null_space` a plane in which to move the source vector. Colours and angles
follow `fatelib.plot`.

This module needs the optional extra: ``pip install fatelib[widgets]``.
"""

try:
    import anywidget  # noqa: F401
except ImportError as error:
    raise ImportError("fatelib.widgets needs anywidget: pip install fatelib[widgets]") from error

from fatelib.widgets.explorer import Explorer, explore
from fatelib.widgets.nullspace import NullSpace, null_space

__all__ = ["Explorer", "NullSpace", "explore", "null_space"]
