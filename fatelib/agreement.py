"""Theory against experiment: how far apart, in units of what chance explains."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from fatelib.arguments import AT_LEAST_0, brief, check, check_type

__all__ = ["Agreement", "Comparison", "agreement_table"]

_LEFT_OUT = "left out: cells not compared, as training had not converged or no theory holds there"


@dataclass(frozen=True)
class Comparison:
    """One line of an agreement table.

    Attributes:
        quantity: What was compared.
        cells: Number of cells compared.
        left_out: Number of cells excluded by `where`.
        deviation: Largest absolute deviation over the cells compared, in `unit`.
        location: Coordinates of the cell where it occurs.
        unit: ``"standard errors"`` or ``"absolute"``.
        tolerance: Largest deviation accepted, in `unit`.

    Example:
        >>> Comparison("risk", 9, 1, 2.5, "theta = 0.5", "standard errors", 4.0).agrees
        True
    """

    quantity: str
    cells: int
    left_out: int
    deviation: float
    location: str
    unit: str
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the largest deviation is within the tolerance."""
        return self.deviation <= self.tolerance


@dataclass(frozen=True)
class Agreement:
    """The comparisons of one figure; displays itself as a table.

    The table has a line for each comparison: how many cells were compared and how many left out
    (by `where` of `agreement_table`: training had not converged there, or the theory is not meant
    to hold), the largest deviation of a cell and where it is, and the tolerance.

    Attributes:
        comparisons: The lines.

    Example:
        >>> line = Comparison("risk", 9, 0, 2.5, "theta = 0.5", "standard errors", 4.0)
        >>> Agreement((line,))
        theory against experiment  cells  left out  largest deviation  at           tolerance
        risk                       9      0         2.5 s.e.           theta = 0.5  4 s.e.
    """

    comparisons: tuple[Comparison, ...]

    _HEADER = (
        "theory against experiment",
        "cells",
        "left out",
        "largest deviation",
        "at",
        "tolerance",
    )

    def _rows(self) -> list[tuple[str, ...]]:
        suffix = {"standard errors": " s.e.", "absolute": ""}
        return [
            (
                c.quantity,
                str(c.cells),
                str(c.left_out),
                f"{c.deviation:.3g}{suffix[c.unit]}",
                c.location,
                f"{c.tolerance:.3g}{suffix[c.unit]}",
            )
            for c in self.comparisons
        ]

    def __repr__(self) -> str:
        rows = [self._HEADER, *self._rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self._HEADER))]
        lines = ["  ".join(f"{v:{w}}" for v, w in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(lines + self._notes())

    def _notes(self) -> list[str]:
        """Return what needs to be said below the table."""
        return [_LEFT_OUT] if any(c.left_out for c in self.comparisons) else []

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{escape(v)}</th>' for v in self._HEADER)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(v)}</td>" for v in row) + "</tr>" for row in self._rows()
        )
        foot = "".join(
            f'<tfoot><tr><td colspan="{len(self._HEADER)}">{escape(note)}</td></tr></tfoot>'
            for note in self._notes()
        )
        return (
            f'<table class="agreement"><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
            f"{foot}</table>"
        )


def agreement_table(
    pairs: Mapping[str, tuple[xr.DataArray, Any]],
    *,
    over: str | None = "instance",
    tolerance: float = 4.0,
    where: xr.DataArray | None = None,
) -> Agreement:
    r"""Compare measurements with theory, cell by cell, and refuse to disagree.

    With independent repetitions along the dimension `over`, the deviation of a cell is

    .. math:: |\bar m - \text{theory}| \Big/ \frac{s}{\sqrt{r}},

    the distance of the mean :math:`\bar m` of :math:`r` repetitions in standard errors
    (:math:`s` their standard deviation). With ``over=None`` it is the absolute distance.

    Args:
        pairs: Name of a quantity -> (measured, theory); theory is a number or an array that
            broadcasts against `measured` without its dimension `over`.
        over: Dimension of the repetitions, or None for a deterministic quantity.
        tolerance: Largest deviation accepted in any cell.
        where: Cells to compare (boolean, dimensions of `measured` except `over`); default all.

    Returns:
        A table of the largest deviations that displays itself.

    Raises:
        AssertionError: Some deviation exceeds the tolerance, or is not a number.
        ValueError: Fewer than two repetitions, no cell to compare, or arrays that do not fit.
        TypeError: An argument is of another type, such as an array without labels.

    Source:
        Ours.

    Example:
        >>> import xarray as xr
        >>> heights = xr.DataArray([[1.0, 1.2, 0.8, 1.1]], dims=("gamma", "instance"),
        ...                        coords={"gamma": [0.5]})
        >>> agreement_table({"height": (heights, 1.0)}).comparisons[0].agrees
        True
    """
    check_type("pairs", pairs, Mapping, "a dictionary")
    check_type("over", over, (str, type(None)), "the name of a dimension or None")
    check("tolerance", tolerance, *AT_LEAST_0, shape=())
    check_type("where", where, (xr.DataArray, type(None)), "an xarray.DataArray of booleans")
    for name, pair in pairs.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"pairs must hold (measured, theory) for {name}; got {brief(pair)}")
        check_type(f"pairs: measured {name}", pair[0], xr.DataArray, "an xarray.DataArray")
        if over is not None and over not in pair[0].dims:
            raise ValueError(f"over must be a dimension of {name}, {pair[0].dims}; got {over!r}")
    comparisons = tuple(
        _compare(name, measured, theory, over, tolerance, where)
        for name, (measured, theory) in pairs.items()
    )
    table = Agreement(comparisons)
    if not all(c.agrees for c in comparisons):
        raise AssertionError(f"experiment and theory disagree:\n{table!r}")
    return table


def _compare(
    name: str,
    measured: xr.DataArray,
    theory: Any,
    over: str | None,
    tolerance: float,
    where: xr.DataArray | None,
) -> Comparison:
    measured = measured.astype(float)
    if over is None:
        mean, scale = measured, xr.ones_like(measured)
    else:
        repetitions = measured.sizes[over]
        if repetitions < 2:
            raise ValueError(
                f"{name} needs at least 2 repetitions along {over!r}; got {repetitions}"
            )
        mean = measured.mean(over)
        scale = measured.std(over, ddof=1) / np.sqrt(repetitions)
    if not isinstance(theory, xr.DataArray):
        theory = mean.copy(data=np.broadcast_to(np.asarray(theory, dtype=float), mean.shape))
    try:
        mean, theory, scale = xr.align(mean, theory, scale, join="exact")
        if where is not None:
            mean, where = xr.align(mean, where, join="exact")
    except ValueError as error:
        raise ValueError(f"{name}: measured, theory and where differ in coordinates") from error
    distance = abs(mean - theory)
    # Repetitions that agree to the last bit leave no error bar: only equality is agreement then.
    deviation = xr.where(distance == 0, 0.0, distance / scale).transpose(*mean.dims)
    keep = xr.ones_like(deviation, dtype=bool) if where is None else where.broadcast_like(deviation)
    kept = deviation.where(keep)
    cells = int(keep.sum())
    if cells == 0:
        raise ValueError(f"{name} has no cell to compare: `where` is false everywhere")
    # A NaN among the cells compared is the largest disagreement there is.
    ranked = xr.where(keep & kept.isnull(), np.inf, kept).fillna(-1.0)
    worst = ranked.isel(ranked.argmax(...)) if ranked.ndim else ranked
    location = ", ".join(
        f"{k} = {_short(worst[k].item())}" for k in deviation.dims if k in worst.coords
    )
    return Comparison(
        quantity=name,
        cells=cells,
        left_out=int(keep.size - cells),
        deviation=float(worst),
        location=location,
        unit="absolute" if over is None else "standard errors",
        tolerance=float(tolerance),
    )


def _short(coordinate: Any) -> str:
    return f"{coordinate:.3g}" if isinstance(coordinate, int | float) else str(coordinate)
