"""Views of results: one visual language for theory and experiment.

The angle theta runs horizontally and gamma = n/d vertically (for ReLU networks the fraction of the
teacher that the source lacks, and n); blue means that transfer wins, red
that it loses, white that it makes no difference. Theory is a line, an experiment a point with a
bar of one standard error, and a hollow point or a dot in a cell means that training had not
converged there. Every function draws into `ax` and returns it: by default `slices` into the current
axes, and `phase_diagram` into those of a new figure.
"""

from collections.abc import Hashable
from fractions import Fraction
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MultipleLocator, NullLocator

from fatelib.arguments import (
    ABOVE_0,
    FINITE,
    check,
    check_choice,
    check_flag,
    check_number,
    check_type,
)

__all__ = ["angle_axis", "format_angle", "learning_curves", "phase_diagram", "slices"]

INSTANCE = "instance"
# The mean of an experiment is no win or loss within so many standard errors of zero, nor below the
# share of the largest colour that training to a tolerance leaves.
_ERRORS, _LEFT = 3, 1e-3
_LABELLED = "an xarray.DataArray, such as data.transferability"
# What runs across and up in a phase diagram: of linear networks, of ReLU networks.
_AXES = (("theta", "gamma"), ("fraction", "n"))


def format_angle(theta: float) -> str:
    """Write an angle as a multiple of pi.

    Args:
        theta: Angle in radians.

    Returns:
        A short text, exact for fractions of pi with denominator up to 40.

    Raises:
        ValueError: `theta` is not a finite number.

    Example:
        >>> format_angle(np.pi / 8), format_angle(3 * np.pi / 4), format_angle(1.0)
        ('π/8', '3π/4', '0.318π')
    """
    check("theta", theta, *FINITE, shape=())
    ratio = float(theta) / np.pi
    fraction = Fraction(ratio).limit_denominator(40)
    if abs(ratio - fraction) > 1e-6:
        return f"{ratio:.3g}π"
    if fraction == 0:
        return "0"
    numerator = "" if fraction.numerator == 1 else str(fraction.numerator)
    return f"{numerator}π" + ("" if fraction.denominator == 1 else f"/{fraction.denominator}")


def angle_axis(axis: Axis, step: float = np.pi / 8) -> None:
    """Put ticks at multiples of `step` on a matplotlib axis, written in pi.

    Args:
        axis: The axis, such as ``ax.xaxis``, of a quantity in radians.
        step: Distance of the ticks, in radians.

    Raises:
        TypeError: `axis` is no axis.
        ValueError: `step` is not positive and finite.

    Example:
        >>> import matplotlib.figure
        >>> ax = matplotlib.figure.Figure().subplots()
        >>> angle_axis(ax.xaxis, step=np.pi / 2)
        >>> ax.xaxis.get_major_formatter()(3 * np.pi / 2)
        '3π/2'
    """
    check_type("axis", axis, Axis, "an axis of matplotlib, such as ax.xaxis")
    check("step", step, *ABOVE_0, shape=())
    axis.set_major_locator(MultipleLocator(step))
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_angle(value)))


def phase_diagram(
    transferability: xr.DataArray,
    *,
    converged: xr.DataArray | None = None,
    limit: float | None = None,
    colorbar: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw transferability over (theta, gamma) or (fraction, n), with its zero contour.

    The experiment of `fatelib.phase_diagram` is drawn by
    ``plot.phase_diagram(data.transferability, converged=data.converged)``, that of
    `fatelib.relu_phase_diagram` one protocol at a time:
    ``plot.phase_diagram(data.transferability.sel(protocol="fine_tuning"))``.

    Args:
        transferability: An `xarray.DataArray` of T with dimensions ``theta`` (radians) and
            ``gamma``, or ``fraction`` and ``n``, and, if it is an experiment, ``instance``
            (averaged over). A black line, interpolated between cells, separates wins from losses
            in it. Where neither wins there is no line: next to a region that is zero to rounding,
            or, in an experiment, within three standard errors or a thousandth of `limit`.
        converged: Booleans of the same dimensions; cells with an unconverged instance get a dot.
        limit: Colours saturate at -limit and +limit; by default at the 95th percentile of ``|T|``.
        colorbar: Whether to draw the colour bar.
        ax: Axes to draw into; by default those of a new figure.

    Returns:
        The axes.

    Raises:
        TypeError: An argument is of another type, such as an array without labels.
        ValueError: A dimension is missing or left over, the cells of the two arrays differ, or no
            value is finite.

    Example:
        >>> import matplotlib.figure
        >>> axes = {"theta": [0.5, 1.0], "gamma": [0.5, 1.0, 2.0]}
        >>> gain = xr.DataArray([[0.2, 0.1, -0.1], [0.1, -0.1, -0.3]], coords=axes)
        >>> ax = phase_diagram(gain, ax=matplotlib.figure.Figure().subplots())
        >>> ax.collections[0].get_array().shape
        (3, 2)
    """
    check_type("transferability", transferability, xr.DataArray, _LABELLED)
    check_type("converged", converged, (xr.DataArray, type(None)), _LABELLED)
    check_flag("colorbar", colorbar)
    across, up = _AXES[1] if "fraction" in transferability.dims else _AXES[0]
    mean = transferability.mean(INSTANCE) if INSTANCE in transferability.dims else transferability
    _require_dims("transferability", mean, (across, up))
    mean = mean.transpose(up, across)
    x, y, values = mean[across].values, mean[up].values, mean.values
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise ValueError("transferability must be finite somewhere; got no finite value")
    if limit is None:
        limit = float(np.quantile(np.abs(finite), 0.95)) or 1.0
    limit = float(check_number("limit", limit, *ABOVE_0))
    if converged is not None:
        converged = converged.all(INSTANCE) if INSTANCE in converged.dims else converged
        _require_dims("converged", converged, (across, up))
        converged = converged.transpose(up, across)
        if converged.shape != values.shape:
            raise ValueError(
                f"converged must have the cells of transferability, {values.shape}; "
                f"got {converged.shape}"
            )
    check_type("ax", ax, (Axes, type(None)), "axes of matplotlib")
    ax = plt.subplots()[1] if ax is None else ax
    shown = np.clip(values, -limit, limit)  # an infinite value has a colour, too
    # Sample sizes are chosen in proportion.
    edges = _edges(x), np.exp(_edges(np.log(y))) if up == "n" else _edges(y)
    mesh = ax.pcolormesh(*edges, shown, vmin=-limit, vmax=limit, cmap="RdBu")
    mesh.set_rasterized(True)
    doubt = 4 * np.finfo(np.result_type(values, np.float32)).eps * limit  # theory rounds
    if INSTANCE in transferability.dims:
        error = _standard_error(transferability).transpose(up, across).values
        doubt = np.fmax(_LEFT * limit, _ERRORS * error)
    sign = np.where(np.abs(values) <= doubt, 0, np.sign(values))
    if min(values.shape) > 1 and (sign > 0).any() and (sign < 0).any():
        # The arctangent keeps zeros, and takes what is infinite or on a peak to a finite height.
        height = np.where((sign == 0) & ~_between(sign), np.nan, np.arctan(values / limit))
        ax.contour(x, y, height, levels=[0.0], colors="black", linewidths=0.9)
    if converged is not None:
        row, column = np.nonzero(~converged.values.astype(bool))
        ax.plot(x[column], y[row], ".", color="black", markersize=2.5)
    if across == "theta":
        angle_axis(ax.xaxis)
    ax.set(
        xlabel=_axis_name(across), ylabel=_axis_name(up), yscale="log" if up == "n" else "linear"
    )
    ax.grid(False)
    if colorbar:
        bar = ax.figure.colorbar(mesh, ax=ax, extend="both")
        bar.set_label(r"transferability $\mathcal{T}$")
    return ax


def slices(
    measured: xr.DataArray | None = None,
    theory: xr.DataArray | None = None,
    *,
    x: str = "gamma",
    by: str | None = "theta",
    converged: xr.DataArray | None = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw an experiment over its theory along `x`, one colour for each value of `by`.

    Both are an `xarray.DataArray`; theory that has no labels yet gets them by
    ``xr.DataArray(values, coords={"theta": thetas, "gamma": gammas})``.

    Args:
        measured: Values with dimensions `x`, `by` and ``instance``; drawn as means with bars of
            one standard error over instances.
        theory: Values with dimensions `x` and `by`, on their own, usually finer, grid of `x`.
        x: Dimension along the horizontal axis.
        by: Dimension that tells the curves apart, or None for a single curve.
        converged: Booleans of the dimensions of `measured`; points with an unconverged instance
            are hollow.
        label: Name of a single curve in the legend.
        ax: Axes to draw into; by default the current ones.

    Returns:
        The axes.

    Raises:
        TypeError: An argument is of another type, such as an array without labels.
        ValueError: A dimension is missing or left over, or there is nothing to draw.

    Example:
        >>> import matplotlib.figure
        >>> axes = {"theta": [0.5, 1.0], "gamma": [0.5, 1.0, 2.0]}
        >>> gain = xr.DataArray([[0.2, 0.1, -0.1], [0.1, -0.1, -0.3]], coords=axes)
        >>> ax = slices(theory=gain, ax=matplotlib.figure.Figure().subplots())
        >>> len(ax.lines)  # one for each angle
        2
    """
    for argument, array in {"measured": measured, "theory": theory, "converged": converged}.items():
        check_type(argument, array, (xr.DataArray, type(None)), _LABELLED)
    reference = measured if measured is not None else theory
    if reference is None:
        raise ValueError("slices needs `measured`, `theory` or both; got neither")
    if label is not None and by is not None:
        raise ValueError(f"label names a single curve: give by=None with it; got {label!r}")
    if converged is not None and measured is None:
        raise ValueError("converged has no effect without measured")
    labels = [str(name) for name in (*reference.dims, *reference.coords) if name != INSTANCE]
    for argument, dim in {"x": x, "by": by}.items():
        if not (dim is None and argument == "by"):
            check_choice(argument, dim, tuple(dict.fromkeys(labels)))
    along = reference[x].dims  # x may be a second coordinate of a dimension
    drawn = along if by is None else (*along, by)
    if len(drawn) > len(set(drawn)):
        raise ValueError(f"x and by must differ; got {x!r} and {by!r}")
    arrays = {"measured": (measured, (*drawn, INSTANCE)), "theory": (theory, drawn)}
    arrays["converged"] = converged, (*drawn, INSTANCE)
    for argument, (array, dims) in arrays.items():
        if array is not None:
            _require_dims(argument, array, dims, ", or give it as x or by")
    check_type("ax", ax, (Axes, type(None)), "axes of matplotlib")
    ax = plt.gca() if ax is None else ax
    curves: list[tuple[dict[str, Any], str | None]] = (
        [({}, label)] if by is None else [({by: v}, _label(by, v)) for v in reference[by].values]
    )
    for i, (pick, name) in enumerate(curves):
        color = f"C{i}"
        if theory is not None:
            line = theory.sel(pick)
            ax.plot(line[x], line, color=color, label=name if measured is None else None)
        if measured is not None:
            points = measured.sel(pick)
            mean, error = points.mean(INSTANCE), _standard_error(points)
            filled = xr.ones_like(mean, dtype=bool)
            if converged is not None:
                filled = converged.sel(pick).all(INSTANCE)
            bars: dict[str, Any] = {"yerr": error.values, "linestyle": "none", "color": color}
            at = mean[x].values
            ax.errorbar(at, mean.where(filled).values, marker="o", label=name, **bars)
            if not bool(filled.all()):
                ax.errorbar(
                    at, mean.where(~filled).values, marker="o", mfc=ax.get_facecolor(), **bars
                )
    if x == "theta":
        angle_axis(ax.xaxis)
    ax.set_xlabel(_axis_name(x))
    return ax


def learning_curves(
    curve: xr.Dataset,
    contenders: xr.Dataset | None = None,
    *,
    samples: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the error of feature sets over the number of samples, with bands of 95 per cent.

    Of classes the error rate is drawn, of numbers the mean squared error. Where the samples do not
    tell the error, its bound is dashed and has no band.

    Args:
        curve: The curve of a report of `fatelib.diagnose`.
        contenders: Its contenders; drawn as points with their bars.
        samples: The number of labelled samples, marked by a vertical line.
        ax: Axes to draw into; by default those of a new figure.

    Returns:
        The axes.

    Raises:
        TypeError: An argument is of another type.
        ValueError: `curve` has other dimensions, or `samples` is not above 0.

    Example:
        >>> import matplotlib.figure
        >>> import fatelib
        >>> rng = np.random.default_rng(0)
        >>> report = fatelib.diagnose(rng.normal(size=(50, 3)), rng.normal(size=50))
        >>> ax = learning_curves(report.curve, ax=matplotlib.figure.Figure().subplots())
        >>> ax.get_ylabel()
        'mean squared error'
    """
    check_type("curve", curve, xr.Dataset, "the curve of a report of fatelib.diagnose")
    check_type("contenders", contenders, (xr.Dataset, type(None)), "those of the same report")
    if {*curve.dims} != {"features", "n"}:
        raise ValueError(f"curve must have the dimensions ('features', 'n'); got {(*curve.dims,)}")
    if samples is not None:
        check("samples", samples, *ABOVE_0, shape=())
    check_type("ax", ax, (Axes, type(None)), "axes of matplotlib")
    ax = plt.subplots()[1] if ax is None else ax
    shown = "error_rate" if "error_rate" in curve else "error"
    ns = curve.n.values
    for i, name in enumerate(map(str, curve.features.values)):
        row = curve.sel(features=name)
        known = row.identified.values
        low, error, high = (row[kind].values for kind in (f"{shown}_low", shown, f"{shown}_high"))
        ax.plot(ns, np.where(known, error, np.nan), color=f"C{i}", label=name)
        below, above = (np.where(known, end, np.nan) for end in (low, high))
        ax.fill_between(ns, below, above, color=f"C{i}", alpha=0.15, linewidth=0)
        # Beyond what is known the upper end of the band goes on: that is the bound.
        bound = ~known | np.append(~known[1:], False)
        ax.plot(ns, np.where(bound, high, np.nan), color=f"C{i}", linestyle="--", linewidth=1)
    for j, name in enumerate([] if contenders is None else map(str, contenders.contender.values)):
        assert contenders is not None
        points = contenders.sel(contender=name)
        bars = np.abs(
            np.stack([points[f"error_{end}"] for end in ("low", "high")]) - points.error.values
        )
        color = f"C{curve.sizes['features'] + j}"
        ax.errorbar(points.n, points.error, np.nan_to_num(bars), fmt="o:", color=color, label=name)
    if samples is not None:
        samples = float(samples)
        ax.axvline(samples, color="0.6", linewidth=0.8, zorder=0)
        ax.annotate(
            f" {samples:g} labels", (samples, 0.98), xycoords=("data", "axes fraction"), va="top",
            color="0.4",
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_minor_locator(NullLocator())
    percent = shown == "error_rate"
    ax.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:g} %" if percent else f"{value:g}")
    )
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel("number of labelled samples n")
    ax.set_ylabel("error rate" if shown == "error_rate" else "mean squared error")
    ax.legend()
    return ax


def _require_dims(
    name: str, array: xr.DataArray, dims: tuple[Hashable, ...], hint: str = ""
) -> None:
    for dim in dims:
        if dim not in array.dims:
            raise ValueError(f"{name} must have the dimensions {dims}; got {array.dims}")
    for extra in array.dims:
        if extra not in dims:
            values = ", ".join(map(repr, array[extra].values[:1].tolist()))
            raise ValueError(
                f"{name} must have the dimensions {dims} alone; got {extra!r} too: take one of its "
                f"values, as in {name}.sel({extra}={values}), or its mean{hint}"
            )


def _standard_error(values: xr.DataArray) -> xr.DataArray:
    """Return the standard errors of means over instances; a single instance has none (NaN)."""
    count = values.notnull().sum(INSTANCE)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = ((values - values.mean(INSTANCE)) ** 2).sum(INSTANCE) / (count - 1)
        return (variance / count) ** 0.5


def _between(sign: np.ndarray) -> np.ndarray:
    """Say which cells lie between a win and a loss: in their row or column, or among neighbours."""

    def before(sign: np.ndarray) -> np.ndarray:
        at = np.where(sign != 0, np.arange(sign.shape[1]), 0)
        return np.take_along_axis(sign, np.maximum.accumulate(at, axis=1), axis=1)

    row = before(sign) * before(sign[:, ::-1])[:, ::-1] < 0
    column = before(sign.T) * before(sign.T[:, ::-1])[:, ::-1] < 0
    near = np.lib.stride_tricks.sliding_window_view(np.pad(sign, 1, "edge"), (3, 3))
    corner = (near > 0).any(axis=(2, 3)) & (near < 0).any(axis=(2, 3))
    return row | column.T | corner


def _edges(centres: np.ndarray) -> np.ndarray:
    """Return where the cells of a row meet, half way between their centres."""
    if len(centres) == 1:
        return centres[0] + np.array([-0.5, 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.array([2 * centres[0] - middle[0], *middle, 2 * centres[-1] - middle[-1]])


_SYMBOLS = {
    "theta": r"$\theta$",
    "gamma": r"$\gamma$",
    "sigma": r"$\sigma$",
    "depth": r"$L$",
}


def _label(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    written = format_angle(value) if name == "theta" else f"{value:g}"
    return f"{_SYMBOLS.get(name, name)} = {written}"


def _axis_name(name: str) -> str:
    return {
        "theta": r"angle between the tasks $\theta$",
        "gamma": r"samples per dimension $\gamma = n/d$",
        "fraction": r"fraction of the teacher that the source lacks $\mu$",
        "n": "samples $n$",
    }.get(name, _SYMBOLS.get(name, name))
