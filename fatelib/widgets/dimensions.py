"""What the page is told of a dimension: its name, the text and the place of every entry."""

import math
import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.ticker import MaxNLocator

from fatelib.arguments import real
from fatelib.plot import format_angle


def start(data: xr.DataArray, at: Mapping[str, Any], axes: list[str]) -> dict[str, int]:
    """Return the index nearest to `at` along every dimension."""
    position = {str(dim): size // 2 if dim in axes else 0 for dim, size in data.sizes.items()}
    for dim, wanted in at.items():
        if dim not in position:
            raise ValueError(f"at must name dimensions of data, {list(position)}; got {dim!r}")
        values = data[dim].values
        wanted = float(wanted) if is_number(wanted) else wanted
        equal = np.flatnonzero(values == wanted)
        if equal.size:
            position[dim] = int(equal[0])
        elif is_number(wanted) and values.dtype.kind in "iuf":
            distance = np.abs(values - float(wanted))
            position[dim] = int(np.argmin(np.where(np.isnan(distance), np.inf, distance)))
        else:
            raise ValueError(f"at[{dim!r}] must be one of {values.tolist()}; got {wanted!r}")
    return position


def is_number(value: Any) -> bool:
    """Tell finite numbers, of whatever kind, from anything else."""
    try:
        number = np.asarray(real("value", value), float)
    except TypeError:
        return False
    return number.ndim == 0 and bool(np.isfinite(number))


def describe(coordinate: xr.DataArray, *, drawn: bool) -> dict[str, Any]:
    """Describe a dimension: its name, the text of every entry and, for an axis, numbers."""
    values = coordinate.values
    described = {**name_of(coordinate), "text": values.dtype.kind not in "iuf"}
    if described["text"]:
        return {**described, "labels": [str(value) for value in values]}
    angle = coordinate.attrs.get("units") == "rad"
    described["labels"] = [_angle(v) for v in values] if angle else _labels(values)
    if drawn:
        values = values.astype(float)
        log = bool(values[0] > 0 and values[-1] >= 5 * values[0] and len(values) > 2)
        if log:  # in proportion rather than at equal distances
            log = _uneven(np.log(values)) < _uneven(values)
        ticks = ticks_between(float(values[0]), float(values[-1]), angle=angle, log=log)
        described |= {"values": values.tolist(), "log": log, "ticks": ticks}
    return described


def _uneven(values: np.ndarray) -> float:
    """Return how much the distances of neighbours scatter, relative to their mean."""
    distances = np.diff(values)
    return float(distances.std() / distances.mean())


def name_of(array: xr.DataArray) -> dict[str, Any]:
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


def ticks_between(
    low: float, high: float, *, angle: bool = False, log: bool = False
) -> list[list[Any]]:
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
