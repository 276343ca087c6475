"""Grids of transfer experiments as labelled data."""

import time
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, ArrayLike, Float
from tqdm.auto import tqdm

from fatelib.arguments import check
from fatelib.linear.network import DeepLinear, truncate
from fatelib.linear.training import pretrain
from fatelib.tasks import LinearTasks
from fatelib.transfer import Result, fine_tune, linear_transfer, scratch

__all__ = ["phase_diagram"]

Method = Literal["linear_transfer", "fine_tuning"]


def phase_diagram(
    method: str,
    thetas: Float[ArrayLike, " angles"] | Sequence[float],
    gammas: Float[ArrayLike, " ratios"] | Sequence[float],
    *,
    d: int,
    sigma: float,
    instances: int,
    key: Any,
    depth: int = 2,
    width: int | None = None,
    scale: float = 1e-5,
    learning_rate: float = 0.1,
    steps: int = 10_000,
    tolerance: float = 1e-6,
    progress: bool = True,
) -> xr.Dataset:
    r"""Train scratch and transfer networks over a grid of angles and sample sizes.

    `fatelib.plot.phase_diagram` draws the result.

    In every cell and instance a network pretrained on the source (from unlimited data) and a new
    one learn the same :math:`n = \operatorname{round}(\gamma d)` samples of the target by
    gradient descent, with the same learning rate and at most the same number of steps.

    An instance is one pair of tasks, one set of initial weights and, for each n, one data set. All
    angles of an instance share its target, data and scratch network: only the source turns, and
    the pretrained network with it (gradient descent commutes with rotations, and rotated Gaussian
    weights are Gaussian, so one pretraining serves all angles). The draws of a cell depend on the
    key, the instance and n alone: a part of a grid has the values of the whole.

    Args:
        method: "linear_transfer" (a new last layer on frozen features) or "fine_tuning" (all
            layers).
        thetas: Angles between source and target, radians in [0, pi].
        gammas: Samples per dimension n / d.
        d: Input dimension.
        sigma: Standard deviation of the target's label noise.
        instances: Number of independent repetitions.
        key: A JAX random key.
        depth: Number of weight matrices.
        width: Hidden width; by default d.
        scale: Scale of the initial weights.
        learning_rate: Step size of every training run.
        steps: The most steps of every training run.
        tolerance: Training stops when the loss is this close to its minimum.
        progress: Show a progress bar.

    Returns:
        A data set with dimensions (theta, gamma, instance), theta in radians, n as a coordinate:

        - ``risk_scratch`` and ``risk``: risks of the new and of the transferred network,
        - ``transferability``: their difference,
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
        >>> dict(grid.sizes)
        {'theta': 2, 'gamma': 2, 'instance': 3}
        >>> grid.n.values.tolist()
        [10, 40]
    """
    started = time.perf_counter()
    angles = np.atleast_1d(np.asarray(thetas, float))
    ratios = np.atleast_1d(np.asarray(gammas, float))
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}; got {method!r}")
    check("thetas", angles, lambda t: (t >= 0) & (t <= np.pi + 1e-6), "angles in [0, pi]")
    check("gammas", ratios, lambda g: np.round(g * d) >= 1, "large enough for one sample")
    check("instances", instances, lambda i: (i >= 1) & (i == np.floor(i)), "an integer >= 1")

    training: dict[str, Any] = {
        "learning_rate": learning_rate,
        "steps": steps,
        "tolerance": tolerance,
    }
    shape: dict[str, Any] = {"depth": depth, "width": width, "scale": scale}
    samples = np.round(ratios * d).astype(int)

    def tasks_at(instance_key: Array, theta: ArrayLike) -> LinearTasks:
        return LinearTasks.at_angle(jax.random.fold_in(instance_key, 0), d, theta, sigma)

    @partial(jax.jit, static_argnums=1)
    @partial(jax.vmap, in_axes=(0, None))
    def data_of(instance_key: Array, n: int) -> tuple[Array, Array]:
        # At every angle the target, hence the data, is the same.
        draw = jax.random.fold_in(jax.random.fold_in(instance_key, 1), n)
        return _square(*tasks_at(instance_key, 0.0).sample(draw, n))

    @jax.jit
    @jax.vmap
    def pretrained(instance_key: Array) -> tuple[DeepLinear, Array]:
        network = DeepLinear.init(jax.random.fold_in(instance_key, 2), d, **shape)
        network, history = pretrain(network, tasks_at(instance_key, 0.0).beta_source, **training)
        return network, history.converged

    @jax.jit
    @jax.vmap
    def from_scratch(instance_key: Array, data: tuple[Array, Array]) -> _Outcome:
        init_key, tasks = jax.random.fold_in(instance_key, 3), tasks_at(instance_key, 0.0)
        X, y = data
        return _outcome(scratch(init_key, tasks, X, y, **shape, **training))

    @jax.jit
    @partial(jax.vmap, in_axes=(0, 0, 0, None))
    def transferred(
        instance_key: Array, data: tuple[Array, Array], network: DeepLinear, theta: Array
    ) -> _Outcome:
        tasks, across = (tasks_at(instance_key, angle) for angle in (theta, np.pi / 2))
        X, y = data
        network = _turn(network, tasks.beta_target, across.beta_source, theta)
        if method == "fine_tuning":
            return _outcome(fine_tune(network, tasks, X, y, **training))
        return _outcome(linear_transfer(network, tasks, X, y, engine="descent", **training))

    keys = jax.random.split(key, instances)
    grid = (len(angles), len(ratios), instances)
    scratch_cells, cells = ([np.empty(grid) for _ in range(3)] for _ in range(2))
    total = 1 + len(ratios) * (1 + len(angles))
    with tqdm(desc="training", unit="batch", total=total, disable=not progress) as bar:
        sources, learned = pretrained(keys)
        if method == "linear_transfer":
            sources = _leading_features(sources)
        bar.update()
        for column, n in enumerate(samples.tolist()):
            data = data_of(keys, n)
            outcome = _finite(from_scratch(keys, data), n, learning_rate)
            for cell, values in zip(scratch_cells, outcome, strict=True):
                cell[:, column] = values
            bar.update()
            for row, theta in enumerate(angles):
                outcome = transferred(keys, data, sources, jnp.asarray(theta))
                for cell, values in zip(cells, _finite(outcome, n, learning_rate), strict=True):
                    cell[row, column] = values
                bar.update()
    risk_scratch, converged_scratch, steps_scratch = scratch_cells
    risk, converged, steps_method = cells
    dims = ("theta", "gamma", "instance")
    return xr.Dataset(
        {
            "risk_scratch": (dims, risk_scratch),
            "risk": (dims, risk),
            "transferability": (dims, risk_scratch - risk),
            "converged": (dims, (converged * converged_scratch * np.asarray(learned)).astype(bool)),
            "steps_scratch": (dims, steps_scratch.astype(int)),
            "steps": (dims, steps_method.astype(int)),
        },
        coords={
            "theta": ("theta", angles, {"units": "rad", "long_name": "angle between the tasks"}),
            "gamma": ("gamma", ratios, {"long_name": "samples per dimension"}),
            "n": ("gamma", samples, {"long_name": "number of samples"}),
            "instance": np.arange(instances),
        },
        attrs={
            "method": method,
            "d": d,
            "sigma": float(sigma),
            "depth": depth,
            "width": d if width is None else width,
            "scale": float(scale),
            "learning_rate": float(learning_rate),
            "max_steps": steps,
            "tolerance": float(tolerance),
            "key": np.asarray(jax.random.key_data(key)).tolist(),
            "fatelib": version("fatelib"),
            "jax": jax.__version__,
            "device": jax.devices()[0].device_kind,
            "seconds": time.perf_counter() - started,
        },
    )


_Outcome = tuple[Array, Array, Array]


def _outcome(result: Result) -> _Outcome:
    """Keep the numbers of a result and let the weights go."""
    return result.risk, result.converged, result.steps


def _square(X: Float[Array, "n d"], y: Float[Array, " n"]) -> tuple[Array, Array]:
    """Return d samples with the loss of these n, up to a constant.

    All sample sizes then run one compiled program, and gradient descent takes the same steps.
    """
    n, d = X.shape
    if n > d:
        Q, X = jnp.linalg.qr(X)
        y = jnp.matmul(y, Q, precision="highest")
    else:
        X, y = jnp.pad(X, ((0, d - n), (0, 0))), jnp.pad(y, (0, d - n))
    return (d / n) ** 0.5 * X, (d / n) ** 0.5 * y


def _finite(outcome: _Outcome, n: int, learning_rate: float) -> _Outcome:
    """Stop at the first divergence instead of training the rest of the grid."""
    if not np.isfinite(outcome[0]).all():
        raise FloatingPointError(
            f"training diverged with n = {n} samples at learning_rate {learning_rate}; "
            "choose a smaller one"
        )
    return outcome


def _turn(
    network: DeepLinear, along: Float[Array, " d"], across: Float[Array, " d"], theta: ArrayLike
) -> DeepLinear:
    """Rotate what a network looks at by theta, from `along` towards `across` (orthonormal)."""
    first = network.weights[0]
    part_along, part_across = (jnp.matmul(v, first, precision="highest") for v in (along, across))
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
