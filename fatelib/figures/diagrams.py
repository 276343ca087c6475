"""Phase diagrams over the angle between the tasks and the number of samples."""

from collections.abc import Callable
from typing import Any

import matplotlib.figure
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from fatelib import plot, theory
from fatelib.agreement import Agreement, agreement_table
from fatelib.figures.figure import (
    GRIDS,
    PEAK,
    Figure,
    Setting,
    comparable,
    experiment,
    formula,
    setting,
    stack,
    stopping_bound,
    together,
    tolerance,
    typical_angle,
)

__all__ = ["FIG_1", "FIG_7", "FIG_SURFACE"]

SLICES = np.pi / 8 * np.array([1, 2, 3])
NAMES = {"linear_transfer": "linear transfer", "fine_tuning": "fine-tuning"}


def agree(data: xr.Dataset, what: str) -> Agreement:
    """Compare a phase diagram with its theory."""
    instances, clear = data.sizes["instance"], comparable(data)
    fine_tuning = setting(data, "method") == "fine_tuning"
    seen = clear & (data.n < data.attrs["d"])
    # Without noise training beyond n = d ends at the target itself, and fine-tuning ends where
    # scratch training does: nothing there is random but when training stops.
    exact = clear & (data.n > data.attrs["d"])
    random = seen if fine_tuning else clear & ~(exact & (setting(data, "sigma") == 0))
    pairs = {f"transferability of {what}": (data.transferability, data.transferability_theory)}
    unlimited = setting(data, "source_gamma") == np.inf
    if fine_tuning:
        pairs[f"risk of {what}"] = (data.risk, data.risk_theory)
    tables = []
    if random.any():
        limit = tolerance(int(random.sum()), instances)
        tables.append(agreement_table(pairs, tolerance=limit, where=random))
    if not unlimited and not fine_tuning:
        # At some angles the risk is the square of a normal variable, so that a few instances have
        # no normal mean; that over all angles is dominated by parts that have one.
        pair = (data.risk.mean("theta"), data.risk_theory.mean("theta"))
        every = clear.all("theta")
        limit = tolerance(int(every.sum()), instances)
        name = f"risk of {what}, mean over θ"
        tables.append(agreement_table({name: pair}, tolerance=limit, where=every))
    if unlimited and not fine_tuning:
        tables.append(_agree_excess(data, clear, what))
    settled = exact if fine_tuning else exact & (setting(data, "sigma") == 0)
    if settled.any():
        gap = data.transferability if fine_tuning else data.risk_scratch
        share = (gap.mean("instance") / stopping_bound(data)).where(settled, 0.0)
        name = "transferability" if fine_tuning else "risk of scratch"
        tables.append(
            agreement_table(
                {f"{name} at γ > 1 in units of its bound, {what}": (share, 0.0)},
                over=None,
                tolerance=1.0,
                where=settled,
            )
        )
    return together(*tables)


def _agree_excess(data: xr.Dataset, clear: xr.DataArray, what: str) -> Agreement:
    r"""Compare what linear transfer loses on top of :math:`\sin^2\theta`, in units of its mean.

    That is the square of one normal variable, over a chi-square with n degrees of freedom: far from
    normal itself, so that its place in the F distribution is turned into a normal deviate. (The
    denominators of the instances differ, which makes the mean's tails lighter than those of F.)
    """
    from scipy.stats import f, norm

    floor = np.sin(data.theta) ** 2
    share = ((data.risk - floor) / (data.risk_theory - floor)).mean("instance").where(clear, 1.0)
    n = data.n.broadcast_like(share)
    deviate = share.copy(data=norm.ppf(f.cdf(share, data.sizes["instance"], n)))
    chance = 0.01 / max(int(clear.sum()), 1)
    return agreement_table(
        {f"risk of {what} above sin² θ as a normal deviate": (deviate, 0.0)},
        over=None,
        tolerance=float(norm.isf(chance / 2)),
        where=clear,
    )


def panels(rows: int) -> tuple[matplotlib.figure.Figure, np.ndarray]:
    """Return a new picture and its axes: theory, experiment, slices."""
    figure, axes = plt.subplots(
        rows, 3, figsize=(10.5, 3.2 * rows), layout="constrained", squeeze=False
    )
    return figure, axes


def _limit(data: xr.Dataset, thetas: np.ndarray, gammas: np.ndarray) -> xr.DataArray:
    """Transferability in the limit of large d, on any grid."""
    point = {
        "theta": xr.DataArray(thetas, coords={"theta": thetas}),
        "gamma": xr.DataArray(gammas, coords={"gamma": gammas}),
        "sigma": setting(data, "sigma"),
        "source_gamma": setting(data, "source_gamma"),
        "source_sigma": data.attrs["source_sigma"],
    }
    if setting(data, "method") == "linear_transfer":
        return formula(theory.linear_transferability, **point)
    return formula(theory.fine_tuning_transferability, **point, depth=int(setting(data, "depth")))


def _exact(data: xr.Dataset, thetas: np.ndarray) -> xr.DataArray:
    """Transferability against gamma for curves: exact for linear transfer."""
    if setting(data, "method") == "fine_tuning":
        return _limit(data, thetas, np.linspace(0.05, 2.05, 201))
    d = data.attrs["d"]
    ns = np.arange(max(5, round(0.05 * d)), round(2.05 * d))
    theta = xr.DataArray(thetas, coords={"theta": thetas})
    n = xr.DataArray(ns, coords={"gamma": ns / d})
    sigma = setting(data, "sigma")
    source = {"source_gamma": setting(data, "source_gamma")}
    source |= {"source_sigma": data.attrs["source_sigma"]}
    angle = formula(typical_angle, theta=theta, d=d, **source)
    risk = formula(theory.linear_transfer_risk, theta=angle, n=n, sigma=sigma)
    scratch = formula(theory.least_squares_risk, n=n, k=d, noise=sigma)
    return (scratch - risk).where(abs(n - d) > 1)


def row(data: xr.Dataset, axes: np.ndarray, what: str) -> None:
    """Draw theory, experiment and slices at three angles of one phase diagram."""
    theta, gamma = data.theta.values, data.gamma.values
    fine = _limit(
        data, np.linspace(theta[0], theta[-1], 161), np.linspace(gamma[0], gamma[-1], 161)
    )
    finite = fine.values[np.isfinite(fine.values)]
    strongest = float(np.quantile(np.abs(finite), 0.95))
    plot.phase_diagram(fine, limit=strongest, colorbar=False, ax=axes[0])
    plot.phase_diagram(data.transferability, converged=data.converged, limit=strongest, ax=axes[1])
    shown = data.sel(theta=near(theta, SLICES))
    slices(shown, axes[2])
    axes[0].set_title(f"{what}: theory, large $d$")
    axes[1].set_title(f"{what}: experiment")
    axes[2].set_title("slices")


def slices(data: xr.Dataset, ax: Axes) -> None:
    """Draw measured transferability at all angles of the data over its theory."""
    plot.slices(
        data.transferability,
        _exact(data, data.theta.values),
        converged=data.converged,
        ax=ax,
    )
    if setting(data, "method") == "fine_tuning":
        for i, theta in enumerate(data.theta.values):
            paper = data.transferability_paper.sel(theta=theta)
            ax.plot(paper.gamma, paper, ":", color=f"C{i}", linewidth=1)
    inside = data.transferability.mean("instance").where(comparable(data))
    low, high = (float(f(inside)) for f in (np.nanmin, np.nanmax))
    margin = 0.15 * (high - low)
    ax.set(ylabel=r"transferability $\mathcal{T}$", ylim=(low - margin, high + margin))
    ax.axhline(0, color="black", linewidth=0.6)
    ax.legend()


def near(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the values that come closest to the wanted ones."""
    return values[np.unique(np.abs(values[:, None] - wanted).argmin(axis=0))]


def _one(method: str) -> Callable[..., xr.Dataset]:
    def measure(**settings: Any) -> xr.Dataset:
        return experiment(method, **settings)

    return measure


def _draw_one(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, axes = panels(1)
    row(data, axes[0], NAMES[setting(data, "method")])
    return figure


def grids(**more: Setting) -> dict[str, dict[str, Setting]]:
    """Return the settings of a phase diagram at both scales."""
    return {scale: {**grid, "seed": 0, **more} for scale, grid in GRIDS.items()}


FIG_1 = Figure(
    "fig-1",
    "Linear transfer over the angle and the number of samples, with label noise",
    grids(sigma=0.2),
    _one("linear_transfer"),
    _draw_one,
    lambda data: agree(data, "linear transfer"),
)


def _both(**settings: Any) -> xr.Dataset:
    """Both methods, stacked."""
    return stack("protocol", {name: experiment(name, **settings) for name in NAMES})


def _draw_both(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, axes = panels(2)
    for name, three in zip(NAMES, axes, strict=True):
        row(data.sel(protocol=name), three, NAMES[name])
    return figure


def _agree_both(data: xr.Dataset) -> Agreement:
    return together(*[agree(data.sel(protocol=name), NAMES[name]) for name in NAMES])


FIG_7 = Figure(
    "fig-7",
    "Linear transfer and fine-tuning without label noise",
    grids(sigma=0.0),
    _both,
    _draw_both,
    _agree_both,
)


def _draw_surface(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, axes = plt.subplots(
        1, 2, figsize=(10, 4.5), layout="constrained", subplot_kw={"projection": "3d"}
    )
    for name, ax in zip(NAMES, axes, strict=True):
        part = data.sel(protocol=name)
        theta = np.linspace(float(part.theta.min()), float(part.theta.max()), 41)
        gamma = np.linspace(float(part.gamma.min()), float(part.gamma.max()), 81)
        surface = _limit(part, theta, gamma).transpose("gamma", "theta").values.clip(-1, 1)
        ax.plot_surface(
            *np.meshgrid(theta, gamma), surface, cmap="RdBu", vmin=-1, vmax=1, alpha=0.7
        )
        shown = part.transferability.mean("instance").transpose("gamma", "theta")
        shown = shown.where(abs(shown.n - data.attrs["d"]) > PEAK)
        ax.scatter(*np.meshgrid(shown.theta, shown.gamma), shown, color="black", s=4)
        plot.angle_axis(ax.xaxis, np.pi / 4)
        ax.set(xlabel=r"$\theta$", ylabel=r"$\gamma$", title=NAMES[name])
        ax.set_zlabel(r"$\mathcal{T}$")
    return figure


_COARSE = {"thetas": np.pi / 16 * np.arange(1, 9), "gammas": np.arange(1, 11) / 5}

FIG_SURFACE = Figure(
    "fig-surface",
    "Transferability as a surface over the angle and the number of samples",
    {scale: {**grid, **_COARSE} for scale, grid in grids(sigma=0.2).items()},
    _both,
    _draw_surface,
    _agree_both,
)
