"""Grids of transfer experiments with linear networks."""

import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import ANGLE, check, check_key
from fatelib.grid import sweep
from fatelib.linear.bidiagonal import Bidiagonal, chi, reduced_tasks
from fatelib.linear.network import DeepLinear, truncate
from fatelib.linear.quadratic import product
from fatelib.linear.training import Engine, pretrain, train
from fatelib.tasks import LinearTasks
from fatelib.transfer import Result, fine_tune, linear_transfer, scratch

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
    learning_rate: float = 0.1,
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
    :math:`n = \operatorname{round}(\gamma d)` samples of the target, with the same learning rate
    and at most the same number of steps.

    An instance is one pair of tasks, one set of initial weights and, for each n, one data set. All
    angles of an instance share its target, data and scratch network: only the source turns, and
    the pretrained network with it (gradient descent commutes with rotations, and rotated Gaussian
    weights are Gaussian, so one pretraining serves all angles). The draws of a cell depend on the
    key, the instance and n alone: a part of a grid has the values of the whole (below gamma = 1,
    where the samples are never formed, if it has the whole's largest gamma).

    The engines ``descent`` and ``gram`` train full networks from random weights of size `scale`.
    ``spectral``, ``flow`` and ``limit`` stand for the limit of a small scale: the pretrained
    network is one balanced direction, from infinitely many source samples the source itself, and
    from finitely many their minimum-norm interpolator; a new network starts in one direction too
    (see `fatelib.scratch`). They never form the samples (`fatelib.linear.reduced_tasks`), so that d
    may be a million. With ``flow`` and ``limit`` linear transfer solves for the last layer;
    otherwise it trains it by gradient descent.

    Args:
        method: "linear_transfer" (a new last layer on frozen features) or "fine_tuning" (all
            layers).
        thetas: Angles between source and target, radians in [0, pi].
        gammas: Samples per dimension n / d.
        d: Input dimension.
        sigma: Standard deviation of the target's label noise. A sequence of values, here and in
            `depth`, `source_gamma`, `ridge` and `weight_decay`, adds a dimension to the result.
        instances: Number of independent repetitions.
        key: A JAX random key.
        engine: How to train, see `fatelib.train`. "auto" takes ``spectral`` for scales up to 0.001,
            else ``gram`` for two layers and ``descent`` for other depths; the attribute ``engine``
            of the result says which.
        depth: Number of weight matrices.
        width: Hidden width of the full networks; by default d.
        scale: Scale of the initial weights.
        source_gamma: Source samples per dimension; infinite for the population.
        source_sigma: Standard deviation of the label noise of finitely many source samples.
        ridge: Ridge of the last layer in linear transfer.
        weight_decay: Decay in the training of all layers on the target: of scratch networks, and of
            transferred ones in fine-tuning.
        learning_rate: Step size of every training run.
        steps: The most steps of every training run.
        tolerance: Training stops when the loss is this close to its minimum.
        scratch_options: Other values of `learning_rate`, `steps` and `tolerance` for the scratch
            networks.
        common: Give all cells the same random numbers, so that differences between angles are free
            of their noise; otherwise every cell is independent, at the price of one scratch network
            and one pretraining each.
        memory: Gigabytes that the networks trained at one time may take, roughly, per device.
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
    angles = np.atleast_1d(np.asarray(thetas, float))
    ratios = np.atleast_1d(np.asarray(gammas, float))
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}; got {method!r}")
    if engine not in get_args(Engine):
        raise ValueError(f"engine must be one of {get_args(Engine)}; got {engine!r}")
    check_key("key", key)
    check("d", d, lambda d: (d >= 2) & (d == np.floor(d)), "an integer >= 2")
    check("thetas", angles, *ANGLE)
    check("gammas", ratios, lambda g: np.round(g * d) >= 1, "large enough for one sample")
    check("sigma", sigma, lambda s: (s >= 0) & (s < np.inf), "a number >= 0")
    check("depth", depth, lambda v: (v >= 1) & (v == np.floor(v)), "an integer >= 1")
    check("source_gamma", source_gamma, lambda g: g * d >= 1, "large enough for one sample")
    check("source_sigma", source_sigma, lambda s: (s >= 0) & (s < np.inf), "a number >= 0")
    check("ridge", ridge, lambda r: (r >= 0) & (r < np.inf), "a number >= 0")
    check("weight_decay", weight_decay, lambda w: (w >= 0) & (w < np.inf), "a number >= 0")
    check("scale", scale, lambda s: (s > 0) & (s < np.inf), "a number > 0")
    check("learning_rate", learning_rate, lambda r: (r > 0) & (r < np.inf), "a number > 0")
    check("memory", memory, lambda m: m > 0, "a number > 0")
    if np.any(np.asarray(ridge) > 0) and method == "fine_tuning":
        raise ValueError("ridge must be 0 in fine_tuning, which takes weight_decay instead")
    if engine == "limit":
        check("weight_decay", weight_decay, lambda w: w == 0, "0 for the engine 'limit'")
    if method == "linear_transfer" and np.any(np.asarray(depth) < 2):
        raise ValueError("depth must be at least 2 in linear_transfer, which freezes features")
    if engine == "auto":
        two = bool(np.all(np.asarray(depth) == 2))
        engine = "spectral" if scale <= _SMALL else "gram" if two else "descent"
    single = {"depth": depth, "source_gamma": source_gamma, "sigma": sigma, "ridge": ridge}
    single |= {"weight_decay": weight_decay}
    grids = {name: np.atleast_1d(values).tolist() for name, values in single.items()}
    grids |= {"theta": angles.tolist(), "gamma": ratios.tolist()}
    static = ("depth", "source_gamma")
    inner = {name: grids[name] for name in ("sigma", "ridge", "weight_decay", "theta")}
    if not common:
        inner = {}
    outer = {name: values for name, values in grids.items() if name not in inner}
    training = {"learning_rate": learning_rate, "steps": steps, "tolerance": tolerance}
    experiment = _Experiment(
        method=method,
        d=int(d),
        engine=engine,
        shape={"width": width, "scale": scale},
        source_sigma=source_sigma,
        largest=int(_samples(jnp.asarray(ratios), d).max()),
        inner={name: tuple(values) for name, values in inner.items()},
        training=training,
        scratch_training={**training, **(scratch_options or {})},
    )
    reduced = engine in ("spectral", "flow", "limit")
    cells = math.prod(len(values) for values in inner.values())
    data = sweep(
        partial(_measure_reduced if reduced else _measure, experiment),
        outer,
        inner,
        instances=instances,
        key=key,
        prepare=partial(_prepare_reduced if reduced else _prepare, experiment),
        static=static,
        common=common,
        chunk=max(1, int(memory * 1e9 / _bytes(experiment, reduced, max(grids["depth"]), cells))),
        store=store,
        attrs={
            "method": method,
            "d": int(d),
            "engine": engine,
            "width": int(d) if width is None else width,
            "scale": float(scale),
            "source_sigma": float(source_sigma),
            "learning_rate": float(learning_rate),
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


class _Experiment(NamedTuple):
    """What is the same in all cells."""

    method: str
    d: int
    engine: Any
    shape: dict[str, Any]
    source_sigma: float
    largest: int  # number of samples
    inner: dict[str, tuple[float, ...]]
    training: dict[str, Any]
    scratch_training: dict[str, Any]

    def table(
        self,
        new: Callable[..., Result],
        transferred: Callable[..., Result],
        learned: Array,
        point: dict[str, Any],
    ) -> dict[str, Array]:
        """Run both over the inner dimensions; what does not depend on one is done once for it."""

        def over(function: Callable[..., Any], names: Sequence[str], point: Any) -> Any:
            if not names:
                return function(**point)
            name, *rest = names
            values = jnp.asarray(self.inner[name])
            return jax.vmap(lambda value: over(function, rest, {**point, name: value}))(values)

        def numbers(result: Result) -> tuple[Array, Array, Array]:
            return result.risk, result.steps, result.converged

        risk_scratch, steps_scratch, converged_scratch = over(
            lambda **point: numbers(new(**point)), list(self.inner), point
        )
        risk, steps, converged = over(
            lambda **point: numbers(transferred(**point)), list(self.inner), point
        )
        return {
            "risk_scratch": risk_scratch,
            "risk": risk,
            "converged": converged & converged_scratch & learned,
            "steps_scratch": steps_scratch,
            "steps": steps,
        }


def _samples(gamma: Array, d: int) -> Array:
    return jnp.round(gamma * d).astype(int)


def _bytes(experiment: _Experiment, reduced: bool, depth: int, cells: int) -> float:
    """Memory of one instance, roughly."""
    if reduced:
        return 4.0 * min(experiment.largest, experiment.d) * (8 + 6 * cells)
    width = experiment.shape["width"] or experiment.d
    return 4.0 * experiment.d * (8 * experiment.d + (2 + depth) * width * (1 + cells))


def _prepare(experiment: _Experiment, keys: Array, *, depth: int, source_gamma: float) -> Any:
    """Pretrain the networks of a batch of instances on their target, to be turned later."""
    d = experiment.d

    def one(key: Array) -> Any:
        beta = LinearTasks.at_angle(jax.random.fold_in(key, 0), d, 0.0).beta_target
        network = DeepLinear.init(jax.random.fold_in(key, 2), d, depth, **experiment.shape)
        options = {"engine": experiment.engine, **experiment.training}
        if source_gamma == np.inf:
            network, history = pretrain(network, beta, **options)
        else:
            n = _samples(jnp.asarray(source_gamma), d)
            X, noise = _square_sample(jax.random.fold_in(key, 4), n, d)
            y = product(X, beta) + experiment.source_sigma * noise
            network, history = train(network, X, y, **options)
        return network, history.converged

    networks, learned = jax.jit(partial(jax.lax.map, one))(keys)
    if experiment.method == "linear_transfer":
        networks = _leading_features(networks)
    return networks, learned


def _measure(
    experiment: _Experiment,
    key: Array,
    prepared: Any,
    *,
    depth: int,
    source_gamma: float,
    gamma: Array,
    **point: Any,
) -> dict[str, Array]:
    """Train full networks at one sample size."""
    source, learned = prepared
    d, n = experiment.d, _samples(gamma, experiment.d)
    X, noise = _square_sample(jax.random.fold_in(jax.random.fold_in(key, 1), n), n, d)

    def task(theta: ArrayLike, sigma: ArrayLike) -> tuple[LinearTasks, Array]:
        tasks = LinearTasks.at_angle(jax.random.fold_in(key, 0), d, theta, sigma)
        return tasks, product(X, tasks.beta_target) + sigma * noise

    def new(sigma: Array, weight_decay: Array, **_: Any) -> Result:
        tasks, y = task(0.0, sigma)
        options = {**experiment.shape, "engine": experiment.engine, "depth": depth}
        options |= {**experiment.scratch_training, "weight_decay": weight_decay}
        return scratch(jax.random.fold_in(key, 3), tasks, X, y, **options)

    def transferred(
        theta: Array, sigma: Array, ridge: Array, weight_decay: Array, **_: Any
    ) -> Result:
        tasks, y = task(theta, sigma)
        across = task(np.pi / 2, sigma)[0]
        network = _turn(source, tasks.beta_target, across.beta_source, theta)
        options = experiment.training
        if experiment.method == "linear_transfer":
            return linear_transfer(network, tasks, X, y, ridge=ridge, engine="descent", **options)
        options = {**options, "engine": experiment.engine, "weight_decay": weight_decay}
        return fine_tune(network, tasks, X, y, **options)

    return experiment.table(new, transferred, learned, point)


def _prepare_reduced(
    experiment: _Experiment, keys: Array, *, depth: int, source_gamma: float
) -> Any:
    """Find what each instance learns from its source: the norm, and the cosine with the truth."""
    if source_gamma == np.inf:
        one = jnp.ones(len(keys))
        return one, one

    def learn(key: Array) -> tuple[Array, Array]:
        n = round(source_gamma * experiment.d)
        key = jax.random.fold_in(key, 4)
        _, X, y = reduced_tasks(key, n, experiment.d, 0.0, experiment.source_sigma)
        beta = X.solve(y[:-1])
        norm = jnp.linalg.norm(beta)
        return norm, beta[0] / norm

    return jax.jit(partial(jax.lax.map, learn))(keys)


def _measure_reduced(
    experiment: _Experiment,
    key: Array,
    prepared: Any,
    *,
    depth: int,
    source_gamma: float,
    gamma: Array,
    **point: Any,
) -> dict[str, Array]:
    """Train networks of one direction at one sample size."""
    norm, cosine = prepared
    d, n = experiment.d, _samples(gamma, experiment.d)
    data_key = jax.random.fold_in(jax.random.fold_in(key, 1), n)
    # What a source sample adds to the source has a uniform direction across it; its component in
    # the plane of source and target is that of a random unit vector in d - 1 dimensions.
    side = jax.random.normal(jax.random.fold_in(key, 5), ())
    side /= jnp.sqrt(side**2 + chi(jax.random.fold_in(key, 6), jnp.asarray(d - 2), side.dtype) ** 2)

    # One draw, with a source across the target and unit noise, serves all angles and noises.
    drawn, X, y = reduced_tasks(data_key, n, d, np.pi / 2, 1.0, largest=experiment.largest)
    target, across = drawn.beta_target, drawn.beta_source
    signal = X @ target
    noise = y - signal

    def task(theta: ArrayLike, sigma: ArrayLike) -> tuple[LinearTasks, Bidiagonal, Array]:
        along, off = jnp.cos(theta), jnp.sin(theta)
        if source_gamma < np.inf:
            along = along * cosine + off * jnp.sqrt(1 - cosine**2) * side
            off = jnp.sqrt(jnp.maximum(1 - along**2, 0))
        tasks = LinearTasks(along * target + off * across, target, sigma)
        return tasks, X, signal + sigma * noise

    def new(sigma: Array, weight_decay: Array, **_: Any) -> Result:
        options = {"engine": experiment.engine, "depth": depth, "scale": experiment.shape["scale"]}
        options |= {**experiment.scratch_training, "weight_decay": weight_decay}
        return scratch(jax.random.fold_in(key, 3), *task(0.0, sigma), **options)

    def transferred(
        theta: Array, sigma: Array, ridge: Array, weight_decay: Array, **_: Any
    ) -> Result:
        sample = task(theta, sigma)
        network = DeepLinear.balanced(norm * sample[0].beta_source, depth)
        options = experiment.training
        if experiment.method == "fine_tuning":
            options = {**options, "engine": experiment.engine, "weight_decay": weight_decay}
            return fine_tune(network, *sample, **options)
        if experiment.engine in ("flow", "limit"):
            return linear_transfer(network, *sample, ridge=ridge, engine="limit")
        return linear_transfer(network, *sample, ridge=ridge, engine="descent", **options)

    return experiment.table(new, transferred, jnp.ones((), bool), point)


def _square_sample(key: Any, n: Array, d: int) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
    r"""Draw d inputs and noises with the loss of n Gaussian samples, up to a constant.

    All sample sizes then run one compiled program, and gradient descent takes the same steps. For
    n < d the other samples are zero. For n > d the inputs are R of :math:`X = Q R`: triangular,
    with chi variables on the diagonal and Gaussian entries above (Bartlett's decomposition).
    """
    inputs_key, diagonal_key, noise_key = jax.random.split(key, 3)
    X, noise = jax.random.normal(inputs_key, (d, d)), jax.random.normal(noise_key, (d,))
    rows = jnp.arange(d)
    diagonal = chi(diagonal_key, n - rows, X.dtype)
    present = rows < n
    X = jnp.where(n > d, jnp.triu(X, 1) + jnp.diag(diagonal), X * present[:, None])
    resize = jnp.sqrt(d / n)
    return resize * X, resize * noise * present


def _turn(
    network: DeepLinear, along: Float[Array, " d"], across: Float[Array, " d"], theta: ArrayLike
) -> DeepLinear:
    """Rotate what a network looks at by theta, from `along` towards `across` (orthonormal)."""
    first = network.weights[0]
    part_along, part_across = (product(v, first) for v in (along, across))
    c, s = jnp.cos(theta) - 1, jnp.sin(theta)
    turned = (
        first
        + jnp.outer(along, c * part_along - s * part_across)
        + jnp.outer(across, s * part_along + c * part_across)
    )
    return DeepLinear((turned, *network.weights[1:]))


def _leading_features(networks: DeepLinear, cutoff: float = 1e-3) -> DeepLinear:
    """Drop the features that `linear_transfer` counts as absent, once instead of in every cell."""
    values = jax.vmap(lambda net: jnp.linalg.svd(net.features(), compute_uv=False))(networks)
    rank = int((values > cutoff * values[:, :1]).sum(axis=1).max())
    return jax.vmap(lambda net: truncate(net, rank))(networks)


def _label(data: xr.Dataset, d: int) -> xr.Dataset:
    """Add what follows from the risks, and say what things are."""
    data["transferability"] = data.risk_scratch - data.risk
    instances = data.sizes["instance"]
    for name in ("risk_scratch", "risk", "transferability"):
        data[f"{name}_error"] = data[name].std("instance", ddof=1) / np.sqrt(instances)
    n = np.asarray(_samples(jnp.asarray(data.gamma.values), d))
    data = data.assign_coords(n=("gamma", n, {"long_name": "number of samples"}))
    data.theta.attrs.update(units="rad", long_name="angle between the tasks")
    data.gamma.attrs.update(long_name="samples per dimension")
    return data.transpose(..., "theta", "gamma", "instance", missing_dims="ignore")
