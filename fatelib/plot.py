"""Views of results: one visual language for theory and experiment.

The angle theta runs horizontally and gamma = n/d vertically; blue means that transfer wins, red
that it loses, white that it makes no difference. Theory is a line, an experiment a point with a
bar of one standard error, and a hollow point or a dot in a cell means that training had not
converged there. Every function draws into `ax` (by default the current axes) and returns it.
"""

from fractions import Fraction
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, MultipleLocator

__all__ = ["angle_axis", "format_angle", "phase_diagram", "slices"]

INSTANCE = "instance"


def format_angle(theta: float) -> str:
    """Write an angle as a multiple of pi.

    Args:
        theta: Angle in radians.

    Returns:
        A short text, exact for fractions of pi with denominator up to 40.

    Example:
        >>> format_angle(np.pi / 8), format_angle(3 * np.pi / 4), format_angle(1.0)
        ('π/8', '3π/4', '0.318π')
    """
    ratio = theta / np.pi
    fraction = Fraction(ratio).limit_denominator(40)
    if abs(ratio - fraction) > 1e-6:
        return f"{ratio:.3g}π"
    if fraction == 0:
        return "0"
    numerator = "" if fraction.numerator == 1 else str(fraction.numerator)
    return f"{numerator}π" + ("" if fraction.denominator == 1 else f"/{fraction.denominator}")


def angle_axis(axis: Axis, step: float = np.pi / 8) -> None:
    """Put ticks at multiples of `step` (radians) on a matplotlib axis, written in pi."""
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
    """Draw transferability over (theta, gamma) with its zero contour.

    The experiment of `fatelib.phase_diagram` is drawn by
    ``plot.phase_diagram(data.transferability, converged=data.converged)``.

    Args:
        transferability: An `xarray.DataArray` of T with dimensions ``theta`` (radians),
            ``gamma`` and, if it is an experiment, ``instance`` (averaged over).
        converged: Booleans of the same dimensions; cells with an unconverged instance get a dot.
        limit: Colours saturate at -limit and +limit; by default at the 95th percentile of ``|T|``.
        colorbar: Whether to draw the colour bar.
        ax: Axes to draw into.

    Returns:
        The axes.
    """
    _require_labels(transferability=transferability, converged=converged)
    ax = plt.gca() if ax is None else ax
    mean = transferability.mean(INSTANCE) if INSTANCE in transferability.dims else transferability
    mean = mean.transpose("gamma", "theta")
    theta, gamma, values = mean.theta.values, mean.gamma.values, mean.values
    finite = values[np.isfinite(values)]
    limit = float(np.quantile(np.abs(finite), 0.95)) if limit is None else limit
    values = np.clip(values, -limit, limit)  # an infinite value has a colour, too
    mesh = ax.pcolormesh(
        theta, gamma, values, vmin=-limit, vmax=limit, cmap="RdBu", shading="nearest"
    )
    mesh.set_rasterized(True)
    if finite.min() < 0 < finite.max():
        ax.contour(theta, gamma, values, levels=[0.0], colors="black", linewidths=0.9)
    if converged is not None:
        all_converged = converged.all(INSTANCE) if INSTANCE in converged.dims else converged
        row, column = np.nonzero(~all_converged.transpose("gamma", "theta").values)
        ax.plot(theta[column], gamma[row], ".", color="black", markersize=2.5)
    angle_axis(ax.xaxis)
    ax.set(xlabel=r"angle between the tasks $\theta$", ylabel=r"samples per dimension $\gamma$")
    ax.grid(False)
    if colorbar:
        bar = plt.colorbar(mesh, ax=ax, extend="both")
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
        ax: Axes to draw into.

    Returns:
        The axes.
    """
    _require_labels(measured=measured, theory=theory, converged=converged)
    ax = plt.gca() if ax is None else ax
    reference = measured if measured is not None else theory
    if reference is None:
        raise ValueError("slices needs `measured`, `theory` or both; got neither")
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
            mean = points.mean(INSTANCE)
            error = points.std(INSTANCE, ddof=1) / np.sqrt(points.sizes[INSTANCE])
            filled = xr.ones_like(mean, dtype=bool)
            if converged is not None:
                filled = converged.sel(pick).all(INSTANCE)
            bars = {"yerr": error.values, "linestyle": "none", "color": color}
            at = mean[x].values
            ax.errorbar(at, mean.where(filled).values, marker="o", label=name, **bars)
            if not bool(filled.all()):
                ax.errorbar(at, mean.where(~filled).values, marker="o", mfc="white", **bars)
    if x == "theta":
        angle_axis(ax.xaxis)
    ax.set_xlabel(_axis_name(x))
    return ax


def _require_labels(**arrays: xr.DataArray | None) -> None:
    for name, array in arrays.items():
        if array is not None and not isinstance(array, xr.DataArray):
            raise TypeError(
                f"{name} must be an xarray.DataArray, such as data.transferability; "
                f"got {type(array).__name__}"
            )


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
    }.get(name, _SYMBOLS.get(name, name))
