"""One explorer for every labelled grid."""

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
import xarray as xr

from fatelib.arguments import brief, check_flag, check_type
from fatelib.widgets.dimensions import describe, is_number, name_of, start, ticks_between

__all__ = ["Explorer", "explore"]

HERE = Path(__file__).parent
MAX_BYTES = 2_000_000
MAX_CURVES = 7

# int16 codes: -32766...32766 are multiples of the step, the other three are not numbers.
LARGEST, INFINITE, NEGATIVE_INFINITE, MISSING = 32766, 32767, -32767, -32768


class Explorer(anywidget.AnyWidget):
    """The widget that `explore` returns: a grid, how to draw it, and the point looked at.

    Attributes:
        values: The grid, int16 codes in base64.
        figure: Dimensions, labels, ticks and limits, as JSON.
        position: Index of the chosen point along every dimension, e.g. ``{"theta": 3}``. Assign a
            new dictionary to move the point; observe it to follow the reader.

    Example:
        >>> widget = explore(xr.DataArray([1.0, 0.5, 0.2], coords={"gamma": [0.5, 1.0, 2.0]}))
        >>> widget.position = {"gamma": 2}
        >>> widget.figure["x"]
        'gamma'
    """

    _esm = "".join(
        (HERE / name).read_text(encoding="utf-8") for name in ("elements.js", "explorer.js")
    )
    _css = (HERE / "widgets.css").read_text(encoding="utf-8")
    values = traitlets.Unicode().tag(sync=True)
    figure = traitlets.Dict().tag(sync=True)
    position = traitlets.Dict().tag(sync=True)


def explore(
    data: xr.DataArray,
    *,
    x: str | None = None,
    y: str | None = None,
    lines: str | None = None,
    sliders: Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    limit: float | int | None = None,
    limit_by: str | None = None,
    log: bool = False,
    missing: str = "not converged",
    title: str = "",
) -> Explorer:
    r"""Draw a labelled grid so that a reader can walk through it.

    With `y`, a heat map of `x` against `y`: blue positive, red negative, the line of zeros,
    and the two slices through the chosen point. Without `y`, curves against `x`, one for each
    entry of `lines`. Every dimension left over gets a slider, or a menu if its coordinate is text.
    The point follows mouse, finger and arrow keys, and its value is written out.

    A number reaches the page as :math:`q\,\delta` with an integer :math:`|q| \le 32766` and
    :math:`\delta = \max|\text{data}| / 32766` over finite values, so what is shown lies within
    :math:`\delta/2` of `data` before it is rounded to the decimals that :math:`\delta` warrants;
    zero stays exactly zero. A grid of 40 x 40 x 10 takes 32 kB (43 kB as text on the page).

    Labels come from the array: names such as ``theta``, ``sigma_s`` or ``T`` are set as symbols,
    ``long_name`` and ``units`` of the attributes as text; coordinates in ``rad`` are shown as
    multiples of pi, coordinates that grow in proportion rather than by equal steps on a logarithmic
    axis.

    With `log` the values have a logarithmic axis, too, and a heat map is coloured by ratios: blue
    above 1, red below, the contour at 1. All of the above is then said of their logarithms to base
    2, and the read-out gives the values to three digits.

    Args:
        data: The grid: real numbers with named dimensions. Infinite and missing (NaN) values are
            hatched and grey, and the read-out says so.
        x: Horizontal dimension; by default the last one.
        y: Vertical dimension of a heat map.
        lines: Dimension with one curve per entry, at most seven; only without `y`.
        sliders: The remaining dimensions, in the order of their sliders; by default as in `data`.
        at: Where the reader starts, e.g. ``{"theta": 0.8}`` (nearest coordinate); by default in
            the middle of `x` and `y` and at the first entry of `lines` and sliders.
        limit: Colours saturate and slices end at -limit and +limit. By default the 95th percentile
            of the absolute value for a heat map, its maximum for curves. With `log` at 1 / limit
            and limit.
        limit_by: A slider, each of whose entries gets its own limit and axis instead, by the same
            rule, such as one that chooses among quantities of different size.
        log: Values are positive, and shown on a logarithmic axis; zeros are left out.
        missing: What a NaN means, for the read-out.
        title: A line above the figure.

    Returns:
        The widget; the last expression of a notebook cell shows it.

    Raises:
        TypeError: An argument is of another type, such as a number for a name.
        ValueError: A dimension is unknown, left over or used twice, data or a drawn coordinate is
            not numeric, or the grid takes more than 2 MB.

    Example:
        >>> theta = xr.DataArray(np.linspace(0, np.pi, 5), dims="theta", attrs={"units": "rad"})
        >>> gain = xr.DataArray(np.cos(theta), coords={"theta": theta}, name="T")
        >>> widget = explore(gain, x="theta", at={"theta": 0.8})
        >>> widget.position, widget.figure["dims"]["theta"]["labels"]
        ({'theta': 1}, ['0', 'π/4', 'π/2', '3π/4', 'π'])
        >>> risk = xr.DataArray([2.0, 0.5, 0.01], coords={"n": [10, 100, 1000]}, name="R")
        >>> [text for _, text in explore(risk, log=True).figure["ticks"]]
        ['0.01', '0.1', '1']
    """
    if not isinstance(data, xr.DataArray):
        raise ValueError(
            f"data must be an xarray.DataArray, such as one variable of a Dataset; "
            f"got {type(data).__name__}"
        )
    if data.dtype.kind not in "biuf":
        raise ValueError(f"data must be real numbers; got dtype {data.dtype}")
    if data.size == 0 or data.ndim == 0:
        raise ValueError(f"data must have at least one dimension and one value; got {data.shape}")
    if 2 * data.size > MAX_BYTES:
        sizes = ", ".join(f"{dim}: {size}" for dim, size in data.sizes.items())
        raise ValueError(
            f"data must take at most {MAX_BYTES / 1e6:g} MB at two bytes per value; "
            f"got {2 * data.size / 1e6:.3g} MB ({sizes})"
        )
    check_flag("log", log)
    least = 1 if log else 0
    if limit is not None and not (is_number(limit) and float(limit) > least):
        wanted = "a number above 1, for it is a ratio" if log else "a positive number"
        raise ValueError(f"limit must be {wanted}; got {brief(limit)}")
    if log and (data < 0).any():
        raise ValueError(f"data must not be negative with log=True; got {brief(data.min().item())}")
    limit = None if limit is None else float(limit)
    for role, dim in {"x": x, "y": y, "lines": lines, "limit_by": limit_by}.items():
        check_type(role, dim, (str, type(None)), "the name of a dimension or None")
    check_type("sliders", sliders, (list, tuple, type(None)), "a list of dimensions or None")
    check_type("at", at, (Mapping, type(None)), "a dictionary of dimensions and values")
    for name, text in {"missing": missing, "title": title}.items():
        check_type(name, text, str, "text")
    x, others = _roles(data, x, y, lines, sliders)
    if limit_by is not None and (limit_by not in others or limit is not None):
        raise ValueError(
            f"limit_by must be one of the sliders, {others}, and goes without limit; "
            f"got {limit_by!r} and limit {limit}"
        )
    vertical = y or lines
    axes = [dim for dim in (x, y) if dim is not None]

    for axis in axes:
        data = data.sortby(_checked_axis(data, axis))
    data = data.transpose(*others, *([vertical] if vertical else []), x)
    values = data.values
    if log:
        with np.errstate(divide="ignore"):
            values = np.log2(values)
        limit = limit and math.log2(limit)
    codes, step = _quantise(values)
    own = {}
    if limit_by:
        parts = np.moveaxis(values, data.dims.index(limit_by), 0)
        own = {"by": limit_by, "scales": [_scale(part, None, bool(y), log) for part in parts]}
    return Explorer(
        values=base64.b64encode(codes.astype("<i2").tobytes()).decode("ascii"),
        figure={
            "title": title,
            "value": name_of(data),
            "missing": missing,
            "dims": {str(dim): describe(data[dim], drawn=dim in axes) for dim in data.dims},
            "x": x,
            "y": y,
            "lines": lines,
            "sliders": others,
            "step": step,
            "digits": max(0, math.floor(-math.log10(step))),
            "log": log,
            **_scale(values, limit, bool(y), log),
            **own,
        },
        position=start(data, at or {}, axes),
    )


def _roles(
    data: xr.DataArray,
    x: str | None,
    y: str | None,
    lines: str | None,
    sliders: Sequence[str] | None,
) -> tuple[str, list[str]]:
    """Return x and the sliders once every dimension has exactly one role."""
    dims = [str(dim) for dim in data.dims]
    if x is None:
        free = [dim for dim in dims if dim not in (y, lines, *(sliders or ()))]
        if not free:
            raise ValueError(f"no dimension of {dims} is left for x")
        x = free[-1]
    named = {"x": x, "y": y, "lines": lines}
    roles = [(role, dim) for role, dim in named.items() if dim is not None]
    roles += [("sliders", dim) for dim in sliders or ()]
    for role, dim in roles:
        if dim not in dims:
            raise ValueError(f"{role} must name a dimension of data, one of {dims}; got {dim!r}")
    used = [dim for _, dim in roles]
    for dim in used:
        if used.count(dim) > 1:
            raise ValueError(f"x, y, lines and sliders must differ; got {dim!r} twice")
    if y and lines:
        raise ValueError(f"lines goes with curves, without y; make {lines!r} a slider")
    if lines and data.sizes[lines] > MAX_CURVES:
        raise ValueError(
            f"lines must have at most {MAX_CURVES} entries to be told apart; "
            f"got {data.sizes[lines]} along {lines!r}: make it a slider"
        )
    left = [dim for dim in dims if dim not in used]
    if sliders is None:
        return x, left
    if left:
        raise ValueError(f"every dimension must be x, y, lines or in sliders; {left} are left over")
    return x, list(sliders)


def _checked_axis(data: xr.DataArray, dim: str) -> str:
    """Return `dim` if its coordinate can be an axis."""
    values = data[dim].values
    numeric = values.dtype.kind in "iuf" and bool(np.isfinite(values).all())
    if not numeric or len(values) < 2 or len(np.unique(values)) < len(values):
        raise ValueError(
            f"the coordinate of {dim!r} must be at least two distinct finite numbers to be drawn "
            f"as an axis; got {values[:6].tolist()}"
        )
    return dim


def _quantise(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return int16 codes and the step: values = step * codes within half a step."""
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    peak = float(np.max(np.abs(values), where=finite, initial=0.0))
    step = max(peak / LARGEST, float(np.finfo(float).tiny)) if peak else 1.0
    scaled = np.rint(np.where(finite, values, 0.0) / step)
    codes = np.clip(scaled, -LARGEST, LARGEST).astype(np.int16)
    codes[np.isnan(values)] = MISSING
    codes[np.isposinf(values)] = INFINITE
    codes[np.isneginf(values)] = NEGATIVE_INFINITE
    return codes, step


def _scale(values: np.ndarray, limit: float | None, is_map: bool, log: bool) -> dict[str, Any]:
    """Return where colours saturate, and range and ticks of the values.

    Zero is always in view, but for curves on a logarithmic axis, where it stands for 1.
    """
    finite = values[np.isfinite(values)].astype(float)
    if limit is None:
        sizes = np.abs(finite)
        limit = float(np.quantile(sizes, 0.95)) if is_map and sizes.size else 0.0
        limit = limit or float(np.max(sizes, initial=0.0)) or 1.0
    anchored = is_map or not log or not finite.size
    seen = np.append(finite, 0.0) if anchored else finite
    low, high = max(-limit, float(seen.min())), min(limit, float(seen.max()))
    if low >= high:
        low, high = -limit, limit
    margin = 0.04 * (high - low)
    low -= margin * (low < 0 or not anchored)
    high += margin * (high > 0 or not anchored)
    if not log:
        return {"limit": limit, "range": [low, high], "ticks": ticks_between(low, high)}
    ticks = [[math.log2(at), text] for at, text in ticks_between(2.0**low, 2.0**high, log=True)]
    return {"limit": limit, "range": [low, high], "ticks": ticks}
