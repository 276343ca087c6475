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
    check_number,
    real,
)
from fatelib.descent.options import STOPPING, Options
from fatelib.linear.instance import INNER, FullNetworks, ReducedNetworks, samples
from fatelib.linear.training import ONE_DIRECTION, Engine
from fatelib.sweep.grid import sweep, within
from fatelib.sweep.instance import standard_error, with_transferability

__all__ = ["phase_diagram"]

Method = Literal["linear_transfer", "fine_tuning"]
Labels = Literal["numbers", "signs"]
Values = float | Sequence[float] | np.ndarray
Grids = dict[str, list[float] | list[int]]

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
    labels: str = "numbers",
    flip: float = 0.0,
    ridge: Values = 0.0,
    weight_decay: Values = 0.0,
    learning_rate: float | None = None,
    steps: int | None = None,
    tolerance: float | None = None,
    absolute_tolerance: float | None = None,
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
        labels: "numbers", or "signs" for classification: the labels are the signs of both tasks'
            numbers, learned with the squared loss. `sigma` is 0 then, `source_gamma` infinite, and
            the engine ``spectral``, ``flow`` or ``limit``.
        flip: Share of the target's training labels that are reversed, a number in [0, 1/2), where
            labels are signs.
        ridge: Ridge of the last layer in linear transfer; a number or ``(v,)``.
        weight_decay: Decay in the training of all layers on the target: of scratch networks, and of
            transferred ones in fine-tuning; a number or ``(v,)``.
        learning_rate: Step size of every training run; by default each takes the automatic one of
            `fatelib.train`.
        steps: The most steps of every training run; by default 10,000.
        tolerance: Training stops when the loss is this close to its minimum, as a share of the loss
            of the zero network; by default 1e-6.
        absolute_tolerance: A number: the same in the units of the loss, in place of `tolerance`.
        scratch_options: Other values of `learning_rate`, `steps` and either tolerance for the
            scratch networks.
        common: Give all cells of one n the same random numbers, so that differences between angles
            (or noises, depths, ridges, decays) are free of their noise, and all n the same tasks
            and initial weights; otherwise every cell is independent, at the price of one scratch
            network and one pretraining each.
        memory: Gigabytes that the networks trained at one time may take, roughly, in this process;
            enough for one instance with all its cells.
        store: Directory to which finished chunks are written (zarr); an interrupted sweep goes on
            where it was, with bit-identical results, and more `instances` are added to it.
        progress: Show a progress bar.

    Returns:
        A data set with dimensions (theta, gamma, instance), theta in radians, n as a coordinate:

        - ``risk_scratch`` and ``risk``: risks of the new and of the transferred network,
        - ``transferability``: their difference,
        - ``risk_scratch_error``, ``risk_error`` and ``transferability_error``: standard errors of
          their means over the instances; NaN for one instance,
        - ``converged``: whether both reached the tolerance,
        - ``steps_scratch`` and ``steps``: steps taken.

        Where labels are signs also ``error_rate_scratch`` and ``error_rate``, the shares of new
        inputs with a wrong sign (see `fatelib.LinearTasks.error_rate`), with their standard errors
        ``error_rate_scratch_error`` and ``error_rate_error``; risks are then squared errors against
        clean signs, less that of the best linear map.

    Raises:
        ValueError: An argument is impossible or has no effect; nothing has been computed then.
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
    method = check_choice("method", method, get_args(Method))
    engine = check_choice("engine", engine, get_args(Engine))
    check_key("key", key)
    d = check_count("d", d, least=2)
    instances = check_count("instances", instances)
    one = {"depth": depth, "source_gamma": source_gamma, "sigma": sigma}
    one |= {"ridge": ridge, "weight_decay": weight_decay}
    grids = _read_grids(d, **one, thetas=thetas, gammas=gammas)
    source_sigma = float(check_number("source_sigma", source_sigma, *AT_LEAST_0))
    labels = check_choice("labels", labels, get_args(Labels))
    flip = float(check_number("flip", flip, lambda f: (f >= 0) & (f < 0.5), "a number in [0, 0.5)"))
    scale = float(check_number("scale", scale, *ABOVE_0))
    memory = float(check_number("memory", memory, *ABOVE_0))
    common, progress = check_flag("common", common), check_flag("progress", progress)
    width = None if width is None else check_count("width", width)
    training = Options.read(
        learning_rate=learning_rate,
        steps=steps,
        tolerance=tolerance,
        absolute_tolerance=absolute_tolerance,
    )
    scratch_training = training.changed("scratch_options", scratch_options)
    if engine == "auto":
        engine = "spectral" if scale <= _SMALL else "descent"
    _refuse_labels(labels, flip, grids, engine)
    _refuse_source_noise(source_sigma, grids["source_gamma"])
    _refuse_method(method, grids)
    _refuse_engine(engine, grids, width)
    _refuse_training(engine, method, training, scratch_training, [*(scratch_options or {})])
    inner = {name: grids[name] for name in INNER if common}
    outer = {name: values for name, values in grids.items() if name not in inner}
    kind = ReducedNetworks if engine in ONE_DIRECTION else FullNetworks
    experiment = kind(
        method=method,
        d=d,
        engine=engine,
        width=width,
        scale=scale,
        source_sigma=source_sigma,
        largest=int(samples(max(grids["gamma"]), d)),
        largest_source=int(samples(max(_finite(grids["source_gamma"]), default=0.0), d)),
        inner={name: jnp.asarray(values, float) for name, values in inner.items()},
        training=training.traced(),
        scratch_training=scratch_training.traced(),
        decays=max(grids["weight_decay"]) > 0,
        flip=flip if labels == "signs" else None,
    )
    fixed = {"method": method, "d": d, "engine": engine, "width": width or d, "scale": scale}
    fixed |= {"labels": labels, "flip": flip} if labels == "signs" else {}
    new = scratch_training.recorded() if scratch_options else {}
    data = sweep(
        experiment.measure,
        outer,
        inner,
        instances=instances,
        key=key,
        prepare=experiment.prepare,
        static=experiment.static,
        common=common,
        **within(memory, experiment.bytes(int(max(grids["depth"]))), instances),
        store=store,
        attrs={
            **fixed,
            "source_sigma": source_sigma,
            **training.recorded(),
            **{f"scratch_{name}": value for name, value in new.items()},
        },
        progress=progress,
    )
    for name, values in one.items():
        if np.ndim(values) == 0:
            data = data.isel({name: 0}, drop=True).assign_attrs({name: grids[name][0]})
    return _label(data, d)


def _read_grids(d: int, **given: Values | ArrayLike | Sequence[int]) -> Grids:
    """Read the values along all dimensions of the result, as Python's own numbers."""
    grids: Grids = {name: _values(name, values) for name, values in given.items()}
    check("thetas", grids["thetas"], *ANGLE)
    for name in ("gammas", "source_gamma"):
        check(name, grids[name], lambda g: (g < 2**31 / d) | (g == np.inf), "below 2^31 / d")
        least = f"large enough for one sample, above 0.5 / d = {0.5 / d:.3g}"
        check(name, grids[name], lambda g: np.round(g * d) >= 1, least)
    check("gammas", grids["gammas"], *FINITE)
    check("depth", grids["depth"], lambda v: (v >= 1) & (v == np.floor(v)), "an integer >= 1")
    check("depth", grids["depth"], lambda v: v <= 1000, "at most 1000")
    for name in ("sigma", "ridge", "weight_decay"):
        check(name, grids[name], *AT_LEAST_0)
    grids["depth"] = [int(layers) for layers in grids["depth"]]
    grids["theta"], grids["gamma"] = grids.pop("thetas"), grids.pop("gammas")
    return grids


def _values(name: str, values: Values | ArrayLike | Sequence[int]) -> list[float]:
    """Read one number or a list of them."""
    array = np.asarray(real(name, values, "numbers"))
    if array.ndim > 1 or array.size == 0:
        raise ValueError(f"{name} must be a list, not empty; got shape {array.shape}")
    return np.atleast_1d(array).astype(float).tolist()


def _finite(ratios: Sequence[float | int]) -> list[float]:
    return [ratio for ratio in ratios if ratio < np.inf]


def _refuse_labels(labels: str, flip: float, grids: Grids, engine: str) -> None:
    """Raise where an argument has no meaning for these labels."""
    if labels == "numbers":
        check("flip", flip, lambda f: f == 0, "0 unless labels='signs'")
        return
    check("sigma", grids["sigma"], lambda s: s == 0, "0 for labels='signs', which flip reverses")
    unlimited = "infinite for labels='signs'"
    check("source_gamma", grids["source_gamma"], lambda g: g == np.inf, unlimited)
    if engine not in ONE_DIRECTION:
        raise ValueError(
            f"engine must be one of {ONE_DIRECTION} for labels='signs'; got {engine!r}. (Full "
            "networks learn signs when `fatelib.fine_tune` and the others are given signs as y.)"
        )


def _refuse_source_noise(source_sigma: float, source_gamma: Sequence[float | int]) -> None:
    if source_sigma > 0 and not _finite(source_gamma):
        raise ValueError(
            "source_sigma has no effect on infinitely many source samples: give a finite "
            f"source_gamma; got {source_sigma}"
        )


def _refuse_method(method: str, grids: Grids) -> None:
    """Raise where a protocol has no use for a value."""
    if max(grids["ridge"]) > 0 and method == "fine_tuning":
        raise ValueError("ridge must be 0 in fine_tuning, which takes weight_decay instead")
    if method == "linear_transfer" and min(grids["depth"]) < 2:
        raise ValueError("depth must be at least 2 in linear_transfer, which freezes features")


def _refuse_engine(engine: str, grids: Grids, width: int | None) -> None:
    """Raise where an engine cannot train these networks."""
    if engine == "limit":
        check("weight_decay", grids["weight_decay"], lambda w: w == 0, "0 for the engine 'limit'")
    if engine == "gram" and {*grids["depth"]} != {2}:
        raise ValueError(f"depth must be 2 for the engine 'gram'; got {grids['depth']}")
    if width is not None and max(grids["depth"]) < 2:
        raise ValueError(f"width has no effect at depth 1, without a hidden layer; got {width}")
    if engine in ONE_DIRECTION and width is not None:
        raise ValueError(f"width must be None for the engine {engine!r}; got {width}")


def _refuse_training(
    engine: str,
    method: str,
    training: Options,
    scratch_training: Options,
    changed: Sequence[str],
) -> None:
    """Raise where an option of training has no effect."""
    if engine == "limit":
        for options in (training, scratch_training):
            options.refuse(STOPPING, "with the engine 'limit', which takes no steps")
    if engine == "flow" and method == "linear_transfer":
        why = "on linear transfer with the engine 'flow', beside scratch_options"
        training.refuse(changed, why)


def _label(data: xr.Dataset, d: int) -> xr.Dataset:
    """Add what follows from the risks, and say what things are."""
    data = with_transferability(data)
    for name in ("error_rate", "error_rate_scratch"):
        if name in data:
            data[f"{name}_error"] = standard_error(data[name])
    n = np.asarray(samples(data.gamma.values, d))
    data = data.assign_coords(n=("gamma", n, {"long_name": "number of samples"}))
    data.theta.attrs.update(units="rad", long_name="angle between the tasks")
    data.gamma.attrs.update(long_name="samples per dimension")
    return data.transpose(..., "theta", "gamma", "instance", missing_dims="ignore")
