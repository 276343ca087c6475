"""Risks against one variable: the number of samples, the ridge."""

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
    Numbers,
    Setting,
    comparable,
    experiment,
    formula,
    stopping_bound,
    together,
    tolerance,
)

__all__ = ["FIG_RIDGE", "FIG_SCRATCH"]


def row_of_axes(columns: int) -> tuple[matplotlib.figure.Figure, np.ndarray]:
    """Return a new picture and its axes, side by side."""
    size = (4.2 * columns, 3.4)
    figure, axes = plt.subplots(1, columns, figsize=size, layout="constrained", squeeze=False)
    return figure, axes[0]


def _labelled(name: str, values: np.ndarray) -> xr.DataArray:
    return xr.DataArray(values, coords={name: values})


def _in_limits(ax: Axes, measured: xr.DataArray, d: int) -> None:
    """Leave the peak at n = d out of the vertical range."""
    mean = measured.mean("instance").where(abs(measured.n - d) > PEAK)
    low, high = float(mean.min()), float(mean.max())
    ax.set_ylim(low - 0.1 * (high - low), high + 0.15 * (high - low))


# Scratch training ---------------------------------------------------------------------------------


def _measure_scratch(**settings: Any) -> xr.Dataset:
    # Its cells of linear transfer cost little beside scratch training, and are not used.
    data = experiment("linear_transfer", thetas=[np.pi / 4], **settings).isel(theta=0, drop=True)
    names = ["risk_scratch", "risk_scratch_error", "risk_scratch_theory", "steps_scratch"]
    data = data[[*names, "converged"]]
    point = {"gamma": data.n / data.attrs["d"], "sigma": data.sigma}
    data["risk_limit"] = formula(theory.scratch_risk, **point)
    data["risk_optimal"] = formula(theory.optimal_scratch_risk, **point)
    return data


def _draw_scratch(data: xr.Dataset) -> matplotlib.figure.Figure:
    d = data.attrs["d"]
    ns = np.arange(max(2, round(0.05 * d)), round(2.05 * d))
    n = xr.DataArray(ns, coords={"gamma": ns / d})
    exact = formula(theory.least_squares_risk, n=n, k=d, noise=data.sigma).where(abs(n - d) > 1)
    figure, (ax,) = row_of_axes(1)
    plot.slices(data.risk_scratch, exact, by="sigma", converged=data.converged, ax=ax)
    for i, sigma in enumerate(data.sigma.values):
        best = theory.optimal_scratch_risk(n.gamma.values, sigma)
        label = r"best weight decay" if i == data.sigma.size - 1 else None
        ax.plot(n.gamma, best, "--", color=f"C{i}", linewidth=1, label=label)
    _in_limits(ax, data.risk_scratch, d)
    ax.set_ylabel("risk of scratch training")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def agree_scratch(data: xr.Dataset, where: xr.DataArray) -> Agreement:
    """Compare scratch training with the exact risk, at every noise; `where` it converged."""
    d, tables = data.attrs["d"], []
    for sigma in np.atleast_1d(data.sigma.values):
        part = data.sel(sigma=sigma) if "sigma" in data.dims else data
        kept = where.sel(sigma=sigma) if "sigma" in where.dims else where
        settled = kept & (part.n > d) & bool(sigma == 0)
        random = kept & ~settled
        pair = (part.risk_scratch, part.risk_scratch_theory)
        limit = tolerance(int(random.sum()), part.sizes["instance"])
        name = f"risk of scratch, σ = {sigma:g}"
        tables.append(agreement_table({name: pair}, tolerance=limit, where=random))
        if settled.any():
            share = (part.risk_scratch.mean("instance") / stopping_bound(part)).where(settled, 0)
            tables.append(
                agreement_table(
                    {f"{name}, at γ > 1 in units of its bound": (share, 0.0)},
                    over=None,
                    tolerance=1.0,
                    where=settled,
                )
            )
    return together(*tables)


def _gammas(**more: Setting) -> dict[str, dict[str, Setting]]:
    """Settings of a figure without angles."""
    return {
        scale: {**{k: v for k, v in grid.items() if k != "thetas"}, "seed": 0, **more}
        for scale, grid in GRIDS.items()
    }


FIG_SCRATCH = Figure(
    "fig-scratch",
    "Risk of training from scratch, with and without label noise",
    _gammas(sigma=(0.0, 0.2)),
    _measure_scratch,
    _draw_scratch,
    lambda data: agree_scratch(data, comparable(data)),
)


# Ridge on the last layer --------------------------------------------------------------------------


def _measure_ridge(*, theta: float, gamma: float, ridges: Numbers, **settings: Any) -> xr.Dataset:
    data = experiment("linear_transfer", thetas=[theta], gammas=[gamma], ridge=ridges, **settings)
    data = data.isel(theta=0, gamma=0)
    data["risk_limit"] = formula(theory.linear_transfer_risk, theta=theta, ridge=data.ridge)
    return data


def _draw_ridge(data: xr.Dataset) -> matplotlib.figure.Figure:
    point = {"theta": float(data.theta), "sigma": data.attrs["sigma"]}
    ridge = _labelled("ridge", np.linspace(0, float(data.ridge.max()), 101))
    exact = formula(theory.linear_transfer_risk, **point, n=int(data.n), ridge=ridge)
    figure, (ax,) = row_of_axes(1)
    plot.slices(data.risk, exact, x="ridge", by=None, label=f"n = {int(data.n)}", ax=ax)
    limit = formula(theory.linear_transfer_risk, theta=point["theta"], ridge=ridge)
    ax.plot(ridge, limit, "k--", linewidth=1, label=r"$n \to \infty$")
    ax.set(xlabel=r"ridge $\lambda$", ylabel="risk of linear transfer")
    ax.legend()
    return figure


def _agree_ridge(data: xr.Dataset) -> Agreement:
    learned = data.converged.all("instance")
    limit = tolerance(int(learned.sum()), data.sizes["instance"])
    # At ridge 0 and close to it the loss above sin^2 is the square of a normal variable: its mean
    # of few repetitions is skewed, and the phase diagrams hold it against the F distribution.
    return agreement_table(
        {"risk of linear transfer": (data.risk, data.risk_theory)},
        tolerance=limit,
        where=learned & (data.ridge > 0),
    )


FIG_RIDGE = Figure(
    "fig-ridge",
    "Risk of linear transfer against the ridge of the last layer",
    {
        scale: {
            "d": GRIDS[scale]["d"],
            "instances": GRIDS[scale]["instances"],
            "theta": np.pi / 8,
            "gamma": 0.5,
            "sigma": 0.2,
            "ridges": np.arange(6) / 10,
            "seed": 0,
        }
        for scale in GRIDS
    },
    _measure_ridge,
    _draw_ridge,
    _agree_ridge,
)
