"""Transfer against the distance of the data sets: what does not decide alone."""

import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import matplotlib.figure
import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from fatelib import plot, theory
from fatelib.agreement import Agreement, agreement_table
from fatelib.distances import empirical_wasserstein, kl_divergence, wasserstein_coupling_bound
from fatelib.figures.curves import row_of_axes
from fatelib.figures.diagrams import agree
from fatelib.figures.figure import (
    GRIDS,
    PEAK,
    Figure,
    Numbers,
    experiment,
    formula,
    together,
    tolerance,
)
from fatelib.linear.tasks import LinearTasks
from fatelib.sweep.memory import Memory
from fatelib.sweep.store import Store
from fatelib.sweep.values import Json

__all__ = ["FIG_4A", "FIG_4B"]


def _add_distance(data: xr.Dataset) -> xr.Dataset:
    """Add the Kullback-Leibler divergence and the bound on the Wasserstein distance."""
    pairs = [(np.array([np.cos(t), np.sin(t)]), np.array([1.0, 0.0])) for t in data.theta.values]
    sigma = data.attrs["sigma"]
    data["kl"] = ("theta", [float(kl_divergence(*pair, sigma)) for pair in pairs])
    data["bound"] = ("theta", [float(wasserstein_coupling_bound(*pair)) for pair in pairs])
    return data


def _measure_4a(**settings: Any) -> xr.Dataset:
    return _add_distance(experiment("linear_transfer", **settings))


def _draw_4a(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, (ax,) = row_of_axes(1)
    by_kl = data.swap_dims(theta="kl")
    clear = abs(by_kl.n - data.attrs["d"]) > PEAK
    by_kl = by_kl.isel(gamma=np.flatnonzero(clear.values))
    plot.slices(by_kl.transferability, by_kl.transferability_theory, x="kl", by="gamma", ax=ax)
    ax.axvline(1 / data.attrs["sigma"] ** 2, color="black", linestyle=":", linewidth=1)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(xlabel=r"$\mathrm{KL}(p_s \| p_t)$", ylabel=r"transferability $\mathcal{T}$")
    ax.legend()
    return figure


FIG_4A = Figure(
    "fig-4a",
    "Linear transfer against the Kullback-Leibler divergence of the tasks",
    {
        scale: {
            "d": grid["d"],
            "instances": grid["instances"],
            "thetas": np.pi / 20 * np.arange(1, 21),
            "gammas": (0.25, 0.5, 0.75, 1.5),
            "sigma": 0.2,
            "seed": 0,
        }
        for scale, grid in GRIDS.items()
    },
    _measure_4a,
    _draw_4a,
    lambda data: agree(data, "linear transfer"),
)


def _wasserstein(
    thetas: Sequence[float],
    sizes: Sequence[int],
    *,
    instances: int,
    samples: int,
    sigma: float,
    seed: int,
    store: Path | None,
    progress: bool,
) -> xr.DataArray:
    """Distances of two samples, at every angle and size.

    Not a `sweep`: the best assignment of the points is found by SciPy, which JAX cannot trace. What
    is finished is kept in a store of the same kind, one chunk for each angle and size.
    """
    # Every angle has its own draws: their scatter is what the axis of the figure shows. The sweep
    # of the same figure has what the seed gives for 0 to instances - 1.
    own = jax.random.fold_in(jax.random.key(seed), instances)
    keys = jax.random.split(own, (len(sizes), len(thetas), instances, 3))
    axes = {"dimension": sizes, "theta": thetas, "instance": range(instances)}
    coords = {name: np.asarray(values) for name, values in axes.items()}
    cells = list(np.ndindex(len(sizes), len(thetas)))
    # The number of instances is in the attributes, as all draws depend on it.
    attrs: dict[str, Json] = {
        "instances": instances,
        "samples": samples,
        "sigma": sigma,
        "seed": seed,
        "fatelib": version("fatelib"),
    }
    target: Store | Memory = (
        Memory(coords, attrs, len(cells))
        if store is None
        else Store(store / f"wasserstein-{instances}.zarr", coords, attrs, len(cells), instances)
    )
    finished = target.finished()
    for number, (i, j) in enumerate(tqdm(cells, desc="fig-4b", disable=not progress)):
        if finished[number]:
            continue
        started = time.perf_counter()
        values = np.empty((1, 1, instances))
        for k in range(instances):
            task_key, *sample_keys = keys[i, j, k]
            tasks = LinearTasks.at_angle(task_key, sizes[i], thetas[j], sigma, sigma)
            first, second = (
                np.column_stack(tasks.sample(key, samples, source=source))
                for key, source in zip(sample_keys, (True, False), strict=True)
            )
            values[0, 0, k] = empirical_wasserstein(first, second, ground="l1")
        region = {
            "dimension": slice(i, i + 1),
            "theta": slice(j, j + 1),
            "instance": slice(0, instances),
        }
        cell = {"wasserstein": xr.Variable(tuple(coords), values)}
        target.write(number, region, cell, time.perf_counter() - started)
    return target.load().wasserstein


def _measure_4b(
    *,
    thetas: Numbers,
    sizes: Sequence[int],
    samples: int,
    pair: float,
    gammas: Numbers,
    d: int,
    instances: int,
    sigma: float,
    seed: int,
    store: Path | None,
    progress: bool,
) -> xr.Dataset:
    """Empirical distances at every angle, and transfer at many n between one pair of tasks."""
    data = experiment(
        "linear_transfer",
        thetas=[pair],
        gammas=gammas,
        d=d,
        instances=instances,
        sigma=sigma,
        seed=seed,
        store=store,
        progress=progress,
    ).isel(theta=0)
    data = data.rename(theta="pair")
    angles = [0.0, *np.asarray(thetas, float).tolist()]
    data["wasserstein"] = _wasserstein(
        angles,
        sizes,
        instances=instances,
        samples=samples,
        sigma=sigma,
        seed=seed,
        store=store,
        progress=progress,
    )
    bounds = [
        float(wasserstein_coupling_bound(np.array([np.cos(t), np.sin(t)]), np.array([1.0, 0.0])))
        for t in angles
    ]
    data["bound"] = ("theta", bounds)
    return data.assign_attrs(samples=samples)


def _draw_4b(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, axes = row_of_axes(data.sizes["dimension"] + 1)
    for size, ax in zip(data.dimension.values, axes, strict=False):
        part = data.wasserstein.sel(dimension=size)
        plot.slices(part, x="theta", by=None, label="between two samples", ax=ax)
        if size <= 10:
            ax.plot(data.theta, data.bound, "k--", label="coupling bound, distributions")
        else:
            ax.axhline(
                float(part.sel(theta=0).mean()), color="black", linestyle="--", label="same task"
            )
        ax.set(title=rf"$d$ = {size}", ylabel=r"empirical $W_1$")
        ax.legend()
    ax, d = axes[-1], data.attrs["d"]
    ns = np.arange(max(5, round(0.05 * d)), round(float(data.gamma.max()) * d) + 1)
    n = xr.DataArray(ns, coords={"gamma": ns / d})
    exact = formula(theory.least_squares_risk, n=n, k=d, noise=data.attrs["sigma"]) - formula(
        theory.linear_transfer_risk, theta=float(data.pair), n=n, sigma=data.attrs["sigma"]
    )
    plot.slices(
        data.transferability,
        exact.where(abs(n - d) > 1),
        by=None,
        converged=data.converged,
        label=f"one pair, θ = {plot.format_angle(float(data.pair))}",
        ax=ax,
    )
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(ylabel=r"transferability $\mathcal{T}$", ylim=(-0.6, 0.8))
    ax.legend()
    return figure


def _agree_4b(data: xr.Dataset) -> Agreement:
    instances = data.sizes["instance"]
    where = data.converged.all("instance") & (abs(data.n - data.attrs["d"]) > PEAK)
    tables = [
        agreement_table(
            {"transferability, one pair": (data.transferability, data.transferability_theory)},
            tolerance=tolerance(int(where.sum()), instances),
            where=where,
        )
    ]
    # Far apart in many dimensions: the tasks are as far as two samples of one task.
    part = data.wasserstein.isel(dimension=-1)
    same, other = part.sel(theta=0, drop=True), part.isel(theta=slice(1, None))
    difference = other - same
    tables.append(
        agreement_table(
            {f"W1 minus that of one task, d = {int(part.dimension)}": (difference, 0.0)},
            tolerance=tolerance(other.sizes["theta"], instances),
        )
    )
    return together(*tables)


FIG_4B = Figure(
    "fig-4b",
    "The Wasserstein distance of two samples, and one pair of tasks at many sample sizes",
    {
        "laptop": {
            "d": 200,
            "instances": 8,
            "thetas": np.pi / 8 * np.arange(1, 9),
            "sizes": (2, 200),
            "samples": 100,
            "pair": np.pi / 4,
            "gammas": np.arange(2, 31) / 20,
            "sigma": 0.2,
            "seed": 0,
        },
        "paper": {
            "d": 500,
            "instances": 20,
            "thetas": np.pi / 20 * np.arange(1, 21),
            "sizes": (2, 500),
            "samples": 250,
            "pair": np.pi / 4,
            "gammas": np.arange(2, 41) / 20,
            "sigma": 0.2,
            "seed": 0,
        },
    },
    _measure_4b,
    _draw_4b,
    _agree_4b,
)
