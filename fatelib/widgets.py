"""Interactive views of results: one explorer for every labelled grid.

`explore` takes a grid that Python has computed and draws it as a heat map with linked slices, or as
curves, with a control for every other dimension. The numbers travel inside the widget, so the same
figure works in Jupyter, in Colab and on a static page without a kernel; the browser draws them and
knows no formula. Colours and angles follow `fatelib.plot`.

This module needs the optional extra: ``pip install fatelib[widgets]``.
"""

import base64
import math
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.ticker import MaxNLocator

from fatelib.plot import format_angle

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise ImportError("fatelib.widgets needs anywidget: pip install fatelib[widgets]") from error

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
    """

    _esm = (HERE / "explore.js").read_text(encoding="utf-8")
    _css = (HERE / "explore.css").read_text(encoding="utf-8")
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
    missing: str = "not converged",
    title: str = "",
) -> Explorer:
    r"""Draw a labelled grid so that a reader can walk through it.

    With `y`, a heat map of `x` against `y`: blue positive, red negative, the zero contour in black,
    and the two slices through the chosen point. Without `y`, curves against `x`, one for each
    entry of `lines`. Every dimension left over gets a slider, or a menu if its coordinate is text.
    The point follows mouse, finger and arrow keys, and its value is written out.

    A number reaches the page as :math:`q\,\delta` with an integer :math:`|q| \le 32766` and
    :math:`\delta = \max|\text{data}| / 32766` over finite values, so what is shown lies within
    :math:`\delta/2` of `data` before it is rounded to the decimals that :math:`\delta` warrants;
    zero stays exactly zero. A grid of 40 x 40 x 10 takes 32 kB (43 kB as text on the page).

    Labels come from the array: names such as ``theta``, ``sigma_s`` or ``T`` are set as symbols,
    ``long_name`` and ``units`` of the attributes as text; coordinates in ``rad`` are shown as
    multiples of pi, coordinates in geometric progression on a logarithmic axis.

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
            of the absolute value for a heat map, its maximum for curves.
        missing: What a NaN means, for the read-out.
        title: A line above the figure.

    Returns:
        The widget; the last expression of a notebook cell shows it.

    Raises:
        ValueError: A dimension is unknown, left over or used twice, data or a drawn coordinate is
            not numeric, or the grid takes more than 2 MB.

    Example:
        >>> theta = xr.DataArray(np.linspace(0, np.pi, 5), dims="theta", attrs={"units": "rad"})
        >>> gain = xr.DataArray(np.cos(theta), coords={"theta": theta}, name="T")
        >>> widget = explore(gain, x="theta", at={"theta": 0.8})
        >>> widget.position, widget.figure["dims"]["theta"]["labels"]
        ({'theta': 1}, ['0', 'π/4', 'π/2', '3π/4', 'π'])
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
    if limit is not None and not (_is_number(limit) and limit > 0):
        raise ValueError(f"limit must be a positive number; got {limit}")
    x, others = _roles(data, x, y, lines, sliders)
    vertical = y or lines
    axes = [dim for dim in (x, y) if dim is not None]

    for axis in axes:
        data = data.sortby(_checked_axis(data, axis))
    data = data.transpose(*others, *([vertical] if vertical else []), x)
    codes, step = _quantise(data.values)
    finite = np.abs(data.values[np.isfinite(data.values)].astype(float))
    if limit is None:
        limit = float(np.quantile(finite, 0.95)) if y and finite.size else 0.0
        limit = limit or LARGEST * step
    return Explorer(
        values=base64.b64encode(codes.astype("<i2").tobytes()).decode("ascii"),
        figure={
            "title": title,
            "value": _name(data),
            "missing": missing,
            "dims": {str(dim): _dimension(data[dim], drawn=dim in axes) for dim in data.dims},
            "x": x,
            "y": y,
            "lines": lines,
            "sliders": others,
            "step": step,
            "digits": max(0, math.floor(-math.log10(step))),
            "limit": limit,
            **_value_axis(data.values, limit),
        },
        position=_start(data, at or {}, axes),
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


def _start(data: xr.DataArray, at: Mapping[str, Any], axes: list[str]) -> dict[str, int]:
    """Return the index nearest to `at` along every dimension."""
    position = {str(dim): size // 2 if dim in axes else 0 for dim, size in data.sizes.items()}
    for dim, wanted in at.items():
        if dim not in position:
            raise ValueError(f"at must name dimensions of data, {list(position)}; got {dim!r}")
        values = data[dim].values
        equal = np.flatnonzero(values == wanted)
        if equal.size:
            position[dim] = int(equal[0])
        elif _is_number(wanted) and values.dtype.kind in "iuf":
            distance = np.abs(values - float(wanted))
            position[dim] = int(np.argmin(np.where(np.isnan(distance), np.inf, distance)))
        else:
            raise ValueError(f"at[{dim!r}] must be one of {values.tolist()}; got {wanted!r}")
    return position


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value))


def _dimension(coordinate: xr.DataArray, *, drawn: bool) -> dict[str, Any]:
    """Describe a dimension: its name, the text of every entry and, for an axis, numbers."""
    values = coordinate.values
    described = {**_name(coordinate), "text": values.dtype.kind not in "iuf"}
    if described["text"]:
        return {**described, "labels": [str(value) for value in values]}
    angle = coordinate.attrs.get("units") == "rad"
    described["labels"] = [_angle(v) for v in values] if angle else _labels(values)
    if drawn:
        values = values.astype(float)
        log = bool(values[0] > 0 and values[-1] >= 5 * values[0] and len(values) > 2)
        if log:  # geometric, up to the rounding of sample sizes to integers
            log = bool(np.ptp(np.diff(np.log(values))) < 0.1)
        ticks = _ticks(float(values[0]), float(values[-1]), angle=angle, log=log)
        described |= {"values": values.tolist(), "log": log, "ticks": ticks}
    return described


def _name(array: xr.DataArray) -> dict[str, Any]:
    """Return symbol (letter and subscript, or None), text and unit of an array."""
    name = str(array.name) if array.name is not None else "value"
    unit = str(array.attrs.get("units", ""))
    return {
        "symbol": _symbol(name),
        "name": str(array.attrs.get("long_name", "" if _symbol(name) else name.replace("_", " "))),
        "unit": "" if unit in ("rad", "1") else unit,
    }


def _symbol(name: str) -> list[str] | None:
    """Return a letter and its subscript for names such as n, theta and sigma_s."""
    letter, _, subscript = name.partition("_")
    if len(letter) != 1:
        case = "CAPITAL" if letter[:1].isupper() else "SMALL"
        greek = {"LAM": "LAMDA", "LAMBDA": "LAMDA"}.get(letter.upper(), letter.upper())
        try:
            letter = unicodedata.lookup(f"GREEK {case} LETTER {greek}")
        except KeyError:
            return None
    return [letter, subscript]


def _angle(value: float) -> str:
    return format_angle(float(value)).replace("-", "−")


def _labels(values: np.ndarray) -> list[str]:
    """Write numbers in the fewest digits, at least four, that keep them apart."""
    labels: list[str] = []
    for precision in range(4, 18):
        labels = [f"{value:.{precision}g}" for value in values]
        if len(set(labels)) == len(set(values.tolist())):
            break
    plain = [
        str(int(value)) if "e+" in label and abs(value) < 1e7 and value == int(value) else label
        for value, label in zip(values, labels, strict=True)
    ]
    return [label.replace("-", "−").replace("inf", "∞") for label in plain]


def _ticks(low: float, high: float, *, angle: bool = False, log: bool = False) -> list[list[Any]]:
    """Return at most about seven [position, text] in [low, high]."""
    if angle:
        spacing = math.pi * 2.0 ** math.ceil(math.log2((high - low) / (6 * math.pi)))
        places = spacing * np.arange(math.floor(low / spacing), math.ceil(high / spacing) + 1)
    elif log:
        powers = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for multiples in ([1.0], [1.0, 3.0], [1.0, 2.0, 5.0]):
            places = np.outer(powers, multiples).ravel()
            if np.sum((low <= places) & (places <= high)) > 2:
                break
    else:
        places = np.asarray(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    slack = 1e-6 * (high - low)
    places = places[(low - slack <= places) & (places <= high + slack)]
    places = np.where(np.abs(places) < slack, 0.0, places)
    texts = [_angle(place) for place in places] if angle else _labels(places)
    return [[float(place), text] for place, text in zip(places, texts, strict=True)]


def _value_axis(values: np.ndarray, limit: float) -> dict[str, Any]:
    """Return range and ticks of the values within the limit; zero is always in view."""
    finite = values[np.isfinite(values)].astype(float)
    low = max(-limit, float(np.min(finite, initial=0.0)))
    high = min(limit, float(np.max(finite, initial=0.0)))
    if low == high:
        low, high = -limit, limit
    margin = 0.04 * (high - low)
    low, high = low - margin * (low < 0), high + margin * (high > 0)
    return {"range": [low, high], "ticks": _ticks(low, high)}
