"""A fair baseline and a better transfer: weight decay toward zero and toward the source."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from fatelib import plot, theory
from fatelib.agreement import Agreement, agreement_table
from fatelib.figures.curves import row_of_axes
from fatelib.figures.figure import (
    GRIDS,
    PEAK,
    Figure,
    Numbers,
    experiment,
    formula,
    in_double_precision,
    place,
    position,
    together,
    tolerance,
)
from fatelib.linear.bidiagonal import Bidiagonal
from fatelib.linear.reduced import reduced_tasks
from fatelib.sweep import sweep

__all__ = ["FIG_5", "FIG_L2SP"]


def decayed_risk(n: xr.DataArray, d: int, sigma: float, decay: xr.DataArray) -> xr.DataArray:
    r"""Risk of a two-layer network trained with weight decay, for n and d large.

    Balanced layers make the decay a ridge: its gradient
    :math:`\text{decay} \, \beta / \|\beta\|` is that of :math:`\lambda \|\beta\|^2` at
    :math:`\lambda = \text{decay} / 2 \|\beta\|`. With the kept share :math:`L = 1 / (1 + \kappa)`
    of `fatelib.theory.ridge_risk` the solution has :math:`\|\beta\|^2 = R - (1 - L)^2 + L^2`: one
    equation for :math:`\lambda`.
    """
    samples, decays = (a.values for a in xr.broadcast(n.reset_coords(drop=True), decay))
    spectrum, target = jnp.ones(d), jnp.full(d, 1 / d)
    ridge = decays / 2
    for _ in range(30):
        risk = theory.ridge_risk(samples, spectrum, target, noise=sigma, ridge=ridge)
        kept = 1 / (1 + theory.effective_ridge(samples, spectrum, ridge=ridge))
        # What is left of the difference is the variance, which rounding may make negative.
        norm2 = np.asarray(jnp.maximum(risk - (1 - kept) ** 2, 0) + kept**2)
        ridge = np.where(decays > 0, decays / (2 * np.sqrt(norm2)), 0.0)
    shape = xr.broadcast(n.reset_coords(drop=True), decay)[0]
    return shape.copy(data=np.asarray(risk, float)).rename(None)


def _measure_5(*, thetas: Numbers, decays: Numbers, sigma: float, **settings: Any) -> xr.Dataset:
    # The same key gives both the same data; the decay is scratch training's alone.
    scratch = experiment(
        "linear_transfer",
        thetas=[np.pi / 4],
        sigma=sigma,
        weight_decay=decays,
        # The excess of the penalised loss bounds the risk through the least curvature, which at the
        # smallest decay is little more than that decay.
        absolute_tolerance=1e-8,
        name="scratch",
        **settings,
    ).isel(theta=0, drop=True)
    data = experiment("linear_transfer", thetas=thetas, sigma=sigma, **settings)
    d = data.attrs["d"]
    data = data[["risk", "risk_theory", "n"]].assign(converged_transfer=data.converged)
    data = data.assign(scratch[["risk_scratch", "risk_scratch_error", "converged"]])
    with_decay = decayed_risk(scratch.n, d, sigma, scratch.weight_decay)
    exact = scratch.risk_scratch_theory
    data["risk_scratch_theory"] = xr.where(data.weight_decay > 0, with_decay, exact)
    data["risk_optimal"] = formula(theory.optimal_scratch_risk, gamma=data.n / d, sigma=sigma)
    best = data.risk_scratch.mean("instance").idxmin("weight_decay")
    data["best_decay"] = best
    chosen = data.risk_scratch.sel(weight_decay=best).drop_vars("weight_decay")
    data["transferability"] = chosen - data.risk
    # Of the decays tried: that is up to a tenth above the risk of the best decay there is.
    tried = data.risk_scratch_theory.sel(weight_decay=best).drop_vars("weight_decay")
    data["transferability_theory"] = tried - data.risk_theory
    data.attrs["scratch_seconds"] = scratch.attrs["seconds"]
    return data.transpose(..., "theta", "gamma", "instance")


def _draw_5(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, (first, second) = row_of_axes(2)
    sigma = data.attrs["sigma"]
    plot.phase_diagram(data.transferability, ax=first)
    theta = np.linspace(float(data.theta.min()), float(data.theta.max()), 201)
    boundary = theory.scratch_boundary(np.sin(theta) ** 2, sigma)
    first.plot(theta, boundary, "--", color="C2", label="closed-form boundary")
    first.set_ylim(float(data.gamma.min()), float(data.gamma.max()))
    first.legend(loc="upper right", frameon=True)
    gamma = np.linspace(0.05, 2.05, 201)
    best = data.risk_scratch.min("weight_decay")
    chosen = data.risk_scratch.sel(weight_decay=data.best_decay).drop_vars("weight_decay")
    plain = data.risk_scratch.sel(weight_decay=0, drop=True)
    names = xr.DataArray(["best decay of the grid", "no decay"], dims="baseline", name="baseline")
    plot.slices(xr.concat([chosen, plain], names), by="baseline", ax=second)
    second.plot(
        gamma, theory.optimal_scratch_risk(gamma, sigma), "k-", label="best decay of all, theory"
    )
    second.set(ylabel="risk of scratch training", ylim=(0, 1.4 * float(best.max())))
    second.legend()
    return figure


def _agree_5(data: xr.Dataset) -> Agreement:
    d, instances = data.attrs["d"], data.sizes["instance"]
    clear = data.converged.all("instance")
    peak = abs(data.n - d) <= PEAK
    where = clear & ~(peak & (data.weight_decay == 0))
    every = agreement_table(
        {"risk of scratch at every decay": (data.risk_scratch, data.risk_scratch_theory)},
        tolerance=tolerance(int(where.sum()), instances),
        where=where,
    )
    cells = data.transferability.sizes
    best = agreement_table(
        {"transferability at the best": (data.transferability, data.transferability_theory)},
        tolerance=tolerance(cells["theta"] * cells["gamma"], instances),
    )
    return together(every, best)


FIG_5 = Figure(
    "fig-5",
    "Linear transfer against scratch training with the best weight decay",
    {
        scale: {**grid, "sigma": 0.2, "decays": (0.0, 1e-4, 1e-3, 1e-2, 1e-1), "seed": 0}
        for scale, grid in GRIDS.items()
    },
    _measure_5,
    _draw_5,
    _agree_5,
)


# Decay toward a point -----------------------------------------------------------------------------


def _ridge_solutions(
    X: Bidiagonal, y: Float[Array, "r labels"], ridges: Float[Array, " ridges"]
) -> Float[Array, "ridges columns labels"]:
    """Solve ridge regression for columns of labels.

    With the dual, X^T (X X^T + n ridge)^{-1} y, where X X^T is tridiagonal; its elimination needs
    no pivots, as the matrix is positive. Computed in the precision of the labels.
    """
    diagonal, upper, samples = (x.astype(y.dtype) for x in (X.diagonal, X.upper, X.samples))
    beside, none = diagonal[1:] * upper[:-1], jnp.zeros_like(y[0])

    def eliminate(
        before: tuple[Array, Array], row: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        (pivot, value), (side, middle, label) = before, row
        factor = side / pivot
        now = middle - factor * side, label - factor * value
        return now, now

    def substitute(after: Array, row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        side, pivot, value = row
        dual = (value - side * after) / pivot
        return dual, dual

    def solve(ridge: Array) -> Array:
        middle = diagonal**2 + upper**2 + samples * ridge
        rows = jnp.pad(beside, (1, 0)), middle, y
        _, (pivots, values) = jax.lax.scan(eliminate, (jnp.ones_like(ridge), none), rows)
        rows = jnp.pad(beside, (0, 1)), pivots, values
        _, dual = jax.lax.scan(substitute, none, rows, reverse=True)
        rest = X.columns - len(diagonal)
        along, across = diagonal[:, None] * dual, upper[:, None] * dual
        return jnp.pad(along, ((0, rest), (0, 0))) + jnp.pad(across, ((1, rest - 1), (0, 0)))

    return jax.vmap(solve)(ridges)


def _measure_l2sp(
    *,
    d: int,
    instances: int,
    thetas: Numbers,
    gammas: Numbers,
    sigma: float,
    ridges: Numbers,
    seed: int,
    store: Path | None,
    progress: bool,
) -> xr.Dataset:
    """Exact ridge regression on the labels that a prior mean leaves over.

    These labels are linear in the target, the direction across it and the noise: three solutions
    give all angles and all prior means.
    """
    thetas, gammas, ridges = (np.asarray(axis, float) for axis in (thetas, gammas, ridges))
    ns = np.maximum(np.round(gammas * d).astype(int), 1)
    lengths = {"nothing": 0 * thetas, "source": 1 + 0 * thetas, "scaled source": np.cos(thetas)}
    length = np.stack(list(lengths.values()))
    # What is left to learn: along the target, across it, and the noise.
    left = np.stack(
        [1 - length * np.cos(thetas), -length * np.sin(thetas), sigma + 0 * length], axis=-1
    )
    one = jnp.ones(())

    def measure(key: Array, prepared: None, *, gamma: Array) -> dict[str, Array]:
        n = jnp.asarray(ns)[position(gammas, gamma)]
        own = jax.random.fold_in(key, n)
        # Drawn in the default precision, solved in a double one: little ridge, much condition.
        tasks, X, y = reduced_tasks(own, n, d, np.pi / 2 * one, one, largest=int(ns.max()))
        directions = (tasks.beta_target, tasks.beta_source)
        along, across = ((X @ direction).astype(float) for direction in directions)
        labels = jnp.stack([along, across, y.astype(float) - along], axis=1)[:-1]
        off = _ridge_solutions(X, labels, jnp.asarray(ridges))
        off = off.at[:, :, :2].add(-jnp.stack(directions, axis=1).astype(float)[None])
        gram = jnp.einsum("rda,rdb->rab", off, off)
        return {"risk": jnp.einsum("pta,rab,ptb->ptr", left, gram, left)}

    with in_double_precision():
        data = sweep(
            measure,
            {"gamma": gammas},
            {"prior": list(lengths), "theta": thetas, "ridge": ridges},
            instances=instances,
            key=jax.random.key(seed),
            store=place(store, "ridge"),
            attrs={"d": d, "sigma": sigma},
            progress=progress,
        )
    data = data.transpose("prior", "theta", "gamma", "ridge", "instance")
    data = data.assign_coords(n=("gamma", ns))
    data["distance2"] = (("prior", "theta"), np.sum(left[..., :2] ** 2, axis=-1))
    data["risk_theory"] = _isotropic_risk(data, d, sigma)
    best = data.risk.mean("instance").idxmin("ridge")
    data["best_ridge"] = best
    data["risk_best"] = data.risk.sel(ridge=best).drop_vars("ridge")
    data["risk_best_theory"] = formula(
        theory.regularised_risk, gamma=data.n / d, sigma=sigma, distance2=data.distance2
    )
    for end in ("", "_theory"):
        risks = data[f"risk_best{end}"]
        data[f"transferability{end}"] = risks.sel(prior="nothing", drop=True) - risks
    return data.assign_attrs(seed=seed, engine="exact solution")


def _isotropic_risk(data: xr.Dataset, d: int, sigma: float) -> xr.DataArray:
    """Risk of ridge regression toward each prior mean, for n and d large.

    One part comes from the noise; the other is proportional to the squared distance to learn.
    """
    n, ridge = xr.broadcast(data.n.reset_coords(drop=True), data.ridge)
    noise, both = (
        n.copy(
            data=np.asarray(
                theory.ridge_risk(
                    n.values, jnp.ones(d), jnp.full(d, signal / d), noise=sigma, ridge=ridge.values
                ),
                float,
            )
        ).rename(None)
        for signal in (0.0, 1.0)
    )
    return noise + (both - noise) * data.distance2


def _draw_l2sp(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, axes = row_of_axes(3)
    for prior, ax in zip(("source", "scaled source"), axes[:2], strict=True):
        plot.phase_diagram(data.transferability.sel(prior=prior), ax=ax)
        ax.set_title(f"decay toward the {prior}")
    axes[0].axvline(np.pi / 3, color="C2", linestyle="--")
    middle = data.gamma.values[len(data.gamma) // 4]
    part = data.sel(gamma=middle)
    plot.slices(part.risk_best, part.risk_best_theory, x="theta", by="prior", ax=axes[2])
    axes[2].set(ylabel=rf"best risk at $\gamma$ = {middle:g}")
    axes[2].legend()
    return figure


def _agree_l2sp(data: xr.Dataset) -> Agreement:
    instances, sizes = data.sizes["instance"], data.sizes
    cells = sizes["prior"] * sizes["theta"] * sizes["gamma"]
    every = agreement_table(
        {"risk at every ridge": (data.risk, data.risk_theory)},
        tolerance=tolerance(cells * sizes["ridge"], instances),
    )
    best = agreement_table(
        {"risk at the best ridge": (data.risk_best, data.risk_best_theory)},
        tolerance=tolerance(cells, instances),
    )
    return together(every, best)


FIG_L2SP = Figure(
    "fig-l2sp",
    "Fine-tuning with decay toward the source, against scratch with decay toward zero",
    {
        scale: {**grid, "sigma": 0.2, "ridges": np.geomspace(1e-3, 1e2, 26), "seed": 0}
        for scale, grid in GRIDS.items()
    },
    _measure_l2sp,
    _draw_l2sp,
    _agree_l2sp,
)
