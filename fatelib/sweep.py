"""Grids of transfer experiments with linear networks."""

import os
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import ArrayLike, Float

from fatelib.arguments import (
    ABOVE_0,
    ANGLE,
    AT_LEAST_0,
    FINITE,
    check,
    check_choice,
    check_count,
    check_flag,
    check_key,
)
from fatelib.experiments import INNER, FullNetworks, ReducedNetworks, samples
from fatelib.grid import sweep, within
from fatelib.iteration import changed, check_options
from fatelib.linear.training import Engine

__all__ = ["phase_diagram"]

Method = Literal["linear_transfer", "fine_tuning"]
Values = float | Sequence[float] | np.ndarray

# Largest initial scale that counts as the limit of small ones.
_SMALL = 1e-3


def phase_diagram(
    method: str,
    thetas: Float[ArrayLike, " angles"] | Sequence[float],
    gammas: Float[ArrayLike, " ratios"] | Sequence[float],
    *,
    d: int,
    sigma: Values,
    instances: int,
    key: Any,
    engine: str = "auto",
    depth: int | Sequence[int] | np.ndarray = 2,
    width: int | None = None,
    scale: float = 1e-5,
    source_gamma: Values = np.inf,
    source_sigma: float = 0.0,
    ridge: Values = 0.0,
    weight_decay: Values = 0.0,
    learning_rate: float | None = None,
    steps: int = 10_000,
    tolerance: float = 1e-6,
    scratch_options: dict[str, Any] | None = None,
    common: bool = True,
    memory: float = 2.0,
    store: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> xr.Dataset:
    r"""Train scratch and transfer networks over a grid of angles and sample sizes.

    `fatelib.plot.phase_diagram` draws the result.

    In every cell and instance a network pretrained on the source and a new one learn the same
    :math:`n = \operatorname{round}(\gamma d)` samples of the target, in at most the same number of
    steps. By default each takes its own learning rate; near :math:`\gamma = 1`, where neither may
    converge, compare them at one that you give.

    An instance is one pair of tasks, one set of initial weights and, for each n, one data set. All
    angles of an instance share its target, data and scratch network: only the source turns, and
    the pretrained network with it (gradient descent commutes with rotations, and rotated Gaussian
    weights are Gaussian, so one pretraining serves all angles). The draws of a cell depend on the
    key, the instance and n alone: a part of a grid has the values of the whole (below gamma = 1,
    where the samples are never formed, if it has the whole's largest gammas).

    The engines ``descent`` and ``gram`` train full networks from random weights of size `scale`.
    ``spectral``, ``flow`` and ``limit`` stand for the limit of a small scale: the pretrained
    network is one balanced direction, from infinitely many source samples the source itself, and
    from finitely many their minimum-norm interpolator; a new network starts in one direction too
    (see `fatelib.scratch`). They never form the samples (`fatelib.linear.reduced_tasks`), so that d
    may be a million. With ``flow`` and ``limit`` linear transfer solves for the last layer;
    otherwise it trains it by gradient descent.

    On a GPU as many instances and cells train at once as `memory` holds (but an eighth of the
    diagram at most); in gradient descent, whenever only half of many go on, that half goes on
    alone.

    Args:
        method: "linear_transfer" (a new last layer on frozen features) or "fine_tuning" (all
            layers).
        thetas: Angles between source and target, radians in [0, pi], ``(t,)``.
        gammas: Samples per dimension n / d, ``(g,)``.
        d: Input dimension.
        sigma: Standard deviation of the target's label noise; a number. A sequence of values,
            ``(v,)``, here and in `depth`, `source_gamma`, `ridge` and `weight_decay`, adds a
            dimension to the result.
        instances: Number of independent repetitions.
        key: A JAX random key.
        engine: How to train, see `fatelib.train`. "auto" takes ``spectral`` for scales up to 0.001,
            else ``descent``; the attribute ``engine`` of the result says which.
        depth: Number of weight matrices.
        width: Hidden width of the full networks; by default d.
        scale: Scale of the initial weights. From three layers on a new network leaves a start of
            1e-5 after more steps than anyone takes: give 0.01 to 0.1 there.
        source_gamma: Source samples per dimension, a number or ``(v,)``; infinite for the
            population.
        source_sigma: Standard deviation of the label noise of finitely many source samples.
        ridge: Ridge of the last layer in linear transfer; a number or ``(v,)``.
        weight_decay: Decay in the training of all layers on the target: of scratch networks, and of
            transferred ones in fine-tuning; a number or ``(v,)``.
        learning_rate: Step size of every training run; by default each takes the automatic one of
            `fatelib.train`.
        steps: The most steps of every training run.
        tolerance: Training stops when the loss is this close to its minimum.
        scratch_options: Other values of `learning_rate`, `steps` and `tolerance` for the scratch
            networks.
        common: Give all cells of one n the same random numbers, so that differences between angles
            (or noises, depths, ridges, decays) are free of their noise, and all n the same tasks
            and initial weights; otherwise every cell is independent, at the price of one scratch
            network and one pretraining each.
        memory: Gigabytes that the networks trained at one time may take, roughly, in this process;
            enough for one instance with all its cells.
        store: Directory to which finished chunks are written (zarr); an interrupted sweep goes on
            where it was, with bit-identical results.
        progress: Show a progress bar.

    Returns:
        A data set with dimensions (theta, gamma, instance), theta in radians, n as a coordinate:

        - ``risk_scratch`` and ``risk``: risks of the new and of the transferred network,
        - ``transferability``: their difference,
        - ``risk_scratch_error``, ``risk_error`` and ``transferability_error``: standard errors of
          their means over the instances,
        - ``converged``: whether both reached the tolerance,
        - ``steps_scratch`` and ``steps``: steps taken.

    Raises:
        ValueError: An argument is impossible; nothing has been computed then.
        TypeError: An argument is of another type, such as text for a number.
        FloatingPointError: Some network diverged; a smaller learning rate helps.

    Source:
        Figures 1 and 2 of Tahir et al. (2025).

    Example:
        >>> import jax
        >>> grid = phase_diagram("linear_transfer", [0.5, 1.0], [0.5, 2.0], d=20, sigma=0.2,
        ...                      instances=3, key=jax.random.key(0), progress=False)
        >>> grid.risk.dims
        ('theta', 'gamma', 'instance')
        >>> grid.n.values.tolist(), grid.engine
        ([10, 40], 'spectral')
    """
    check_choice("method", method, get_args(Method))
    check_choice("engine", engine, get_args(Engine))
    check_key("key", key)
    check_count("d", d, least=2)
    check_count("instances", instances)
    check("thetas", thetas, *ANGLE)
    for name, ratio in {"gammas": gammas, "source_gamma": source_gamma}.items():
        check(name, ratio, lambda g: (g < 2**31 / d) | (g == np.inf), "below 2^31 / d")
        check(name, ratio, lambda g: np.round(g * d) >= 1, "large enough for one sample")
    check("gammas", gammas, *FINITE)
    check("sigma", sigma, *AT_LEAST_0)
    check("depth", depth, lambda v: (v >= 1) & (v == np.floor(v)), "an integer >= 1")
    check("depth", depth, lambda v: v <= 1000, "at most 1000")
    check("source_sigma", source_sigma, *AT_LEAST_0, shape=())
    check("ridge", ridge, *AT_LEAST_0)
    check("weight_decay", weight_decay, *AT_LEAST_0)
    check("scale", scale, *ABOVE_0, shape=())
    check("memory", memory, *ABOVE_0, shape=())
    check_flag("common", common)
    check_flag("progress", progress)
    single = {"depth": depth, "source_gamma": source_gamma, "sigma": sigma, "ridge": ridge}
    single |= {"weight_decay": weight_decay}
    for name, values in {"thetas": thetas, "gammas": gammas, **single}.items():
        if np.ndim(values) > 1 or np.size(values) == 0:
            raise ValueError(f"{name} must be a list, not empty; got shape {np.shape(values)}")
    angles, ratios = (np.atleast_1d(np.asarray(v, float)) for v in (thetas, gammas))
    if width is not None:
        check_count("width", width)
    training: dict[str, Any] = {
        "learning_rate": learning_rate,
        "steps": steps,
        "tolerance": tolerance,
    }
    check_options(**training)
    scratch_training = changed(training, "scratch_options", scratch_options)
    if np.any(np.asarray(ridge) > 0) and method == "fine_tuning":
        raise ValueError("ridge must be 0 in fine_tuning, which takes weight_decay instead")
    if engine == "limit":
        check("weight_decay", weight_decay, lambda w: w == 0, "0 for the engine 'limit'")
    if method == "linear_transfer" and np.any(np.asarray(depth) < 2):
        raise ValueError("depth must be at least 2 in linear_transfer, which freezes features")
    if engine == "auto":
        engine = "spectral" if scale <= _SMALL else "descent"
    if engine == "gram" and np.any(np.asarray(depth) != 2):
        raise ValueError(f"depth must be 2 for the engine 'gram'; got {depth}")
    if engine in ("spectral", "flow", "limit") and width is not None:
        raise ValueError(f"width must be None for the engine {engine!r}; got {width}")
    grids = {name: np.atleast_1d(values).tolist() for name, values in single.items()}
    grids |= {"theta": angles.tolist(), "gamma": ratios.tolist()}
    inner = {name: grids[name] for name in INNER}
    if not common:
        inner = {}
    outer = {name: values for name, values in grids.items() if name not in inner}
    sources = np.asarray(grids["source_gamma"])
    finite = sources[sources < np.inf]
    kind = ReducedNetworks if engine in ("spectral", "flow", "limit") else FullNetworks
    experiment = kind(
        method=method,
        d=int(d),
        engine=engine,
        width=width,
        scale=scale,
        source_sigma=source_sigma,
        largest=int(samples(ratios, d).max()),
        largest_source=int(samples(finite, d).max(initial=0)),
        inner={name: jnp.asarray(values, float) for name, values in inner.items()},
        training=training,
        scratch_training=scratch_training,
    )
    data = sweep(
        experiment.measure,
        outer,
        inner,
        instances=instances,
        key=key,
        prepare=experiment.prepare,
        static=("depth",) if kind is ReducedNetworks else ("depth", "source_gamma"),
        common=common,
        **within(memory, experiment.bytes(max(grids["depth"])), instances),
        store=store,
        attrs={
            "method": method,
            "d": int(d),
            "engine": engine,
            "width": int(d) if width is None else width,
            "scale": float(scale),
            "source_sigma": float(source_sigma),
            "learning_rate": "auto" if learning_rate is None else float(learning_rate),
            "max_steps": int(steps),
            "tolerance": float(tolerance),
            **{f"scratch_{name}": value for name, value in (scratch_options or {}).items()},
        },
        progress=progress,
    )
    for name, values in single.items():
        if np.ndim(values) == 0:
            data = data.isel({name: 0}, drop=True).assign_attrs({name: values})
    return _label(data, d)


def _label(data: xr.Dataset, d: int) -> xr.Dataset:
    """Add what follows from the risks, and say what things are."""
    data["transferability"] = data.risk_scratch - data.risk
    instances = data.sizes["instance"]
    for name in ("risk_scratch", "risk", "transferability"):
        data[f"{name}_error"] = data[name].std("instance", ddof=1) / np.sqrt(instances)
    n = np.asarray(samples(data.gamma.values, d))
    data = data.assign_coords(n=("gamma", n, {"long_name": "number of samples"}))
    data.theta.attrs.update(units="rad", long_name="angle between the tasks")
    data.gamma.attrs.update(long_name="samples per dimension")
    return data.transpose(..., "theta", "gamma", "instance", missing_dims="ignore")
