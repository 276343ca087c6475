"""Training of deep linear networks by full-batch gradient descent."""

import math
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import check
from fatelib.linear.iteration import History, descend
from fatelib.linear.network import DeepLinear

__all__ = ["pretrain", "train"]


def train(
    network: DeepLinear,
    X: Float[ArrayLike, "n d"],
    y: Float[ArrayLike, " n"],
    *,
    learning_rate: ArrayLike | None = None,
    steps: int = 10_000,
    tolerance: ArrayLike = 1e-6,
    weight_decay: ArrayLike = 0.0,
    layers: Literal["all", "last"] = "all",
    record_every: int = 100,
    observe: Callable[[DeepLinear], Any] | None = None,
) -> tuple[DeepLinear, History]:
    r"""Train a deep linear network by full-batch gradient descent.

    .. math:: \text{loss} = \tfrac1n \|X W_1 \cdots W_L - y\|^2

    (no factor 1/2), with ``weight_decay * weight`` added to each gradient.

    The automatic learning rate is half of the largest stable one, :math:`\eta = 1/h` with

    .. math::
        h = \text{decay} + 2 \lambda_{\max}\Big(\tfrac1n X^T X\Big) \max\Big\{
        \sum_l \prod_{j \ne l} a_j^2 + (L - 1) \|\beta_0 - b\| \max_{l < m} \prod_{j \ne l, m} a_j,
        \ \sum_l \prod_{j \ne l} \max(a_j, s^{1/L})^2 \Big\}

    bounds on the curvature at the start and at the end: :math:`a_l` are the spectral norms of the
    weights, :math:`\beta_0` is the present linear map, :math:`b = X^+ y`, and s bounds the norm of
    the map it is heading to: :math:`s^2 = \max(\|b\|^2, \|P\beta_0\|^2) + \|(I - P)\beta_0\|^2`
    with the projector P on the rows of X. The other half is room for weights that grow further.

    Args:
        network: Where to start.
        X: Inputs, (n, d).
        y: Labels, (n,).
        learning_rate: Step size; by default the one above.
        steps: The most steps to take.
        tolerance: Stop when the loss is this close to its minimum. With weight decay: when the
            squared norm of :math:`G + \text{decay} \, \|\beta\|^{2/L - 2} \beta` is, with the
            gradient G of the loss in :math:`\beta` (the sum vanishes at every stationary point
            but zero, because the layers balance there); or, once decay is bound to take all
            weights to zero, when :math:`\lambda_{\max} \|\beta\|^2` is.
        weight_decay: Coefficient of the decay, in the gradient.
        layers: "all", or "last" to train the last layer alone on frozen features.
        record_every: Steps between two records; stopping is decided at records only.
        observe: A function of the network, recorded along with the loss. Pass the same function
            object to later calls: each new one compiles anew.

    Returns:
        The trained network and the history.

    Raises:
        ValueError: An argument is impossible.
        FloatingPointError: The loss is not finite or exceeds its minimum by ten times what the
            start or the zero network does, whichever is larger. Inside `jax.vmap` and `jax.jit`
            nothing can be raised: `History.diverged` is set and the weights are NaN.

    Example:
        >>> import jax
        >>> from fatelib.tasks import LinearTasks
        >>> key = jax.random.key(0)
        >>> tasks = LinearTasks.at_angle(key, 20, 0.5)
        >>> X, y = tasks.sample(key, 50)
        >>> network, history = train(DeepLinear.init(key, 20), X, y)
        >>> bool(history.converged), round(float(tasks.risk(network.end_to_end())), 3)
        (True, 0.0)

        A batch of networks is a vmap away:

        >>> keys = jax.random.split(key, 3)
        >>> networks = jax.vmap(lambda key: DeepLinear.init(key, 20))(keys)
        >>> X, y = jax.vmap(lambda key: tasks.sample(key, 10))(keys)
        >>> networks, histories = jax.vmap(lambda *data: train(*data, steps=2000))(networks, X, y)
        >>> histories.converged.tolist()
        [True, True, True]
    """
    X, y = read_data(network, X, y)
    root = math.sqrt(len(y))
    options = (learning_rate, steps, tolerance, weight_decay, layers, record_every, observe)
    return _run(network, X / root, y / root, *options)


def pretrain(
    network: DeepLinear,
    beta: Float[ArrayLike, " d"],
    *,
    learning_rate: ArrayLike | None = None,
    steps: int = 10_000,
    tolerance: ArrayLike = 1e-6,
    weight_decay: ArrayLike = 0.0,
    layers: Literal["all", "last"] = "all",
    record_every: int = 100,
    observe: Callable[[DeepLinear], Any] | None = None,
) -> tuple[DeepLinear, History]:
    r"""Train a deep linear network on infinitely many noise-free samples of a linear task.

    .. math::
        \text{loss} = E_x (x W_1 \cdots W_L - x \cdot \beta)^2 = \|W_1 \cdots W_L - \beta\|^2

    for inputs of identity covariance: `train` with X^T X / n = I.

    Args:
        network: Where to start.
        beta: The vector to learn, (d,).
        learning_rate: As in `train`.
        steps: As in `train`.
        tolerance: As in `train`.
        weight_decay: As in `train`.
        layers: As in `train`.
        record_every: As in `train`.
        observe: As in `train`.

    Returns:
        The trained network and the history.

    Raises:
        ValueError: An argument is impossible.
        FloatingPointError: Training diverged; see `train`.

    Example:
        >>> import jax
        >>> from fatelib.linear import effective_rank
        >>> network = DeepLinear.init(jax.random.key(0), 20)
        >>> network, history = pretrain(network, jax.numpy.ones(20) / 20**0.5)
        >>> round(float(effective_rank(network.features())), 2)
        1.0
    """
    (beta,) = _as_floats(network, beta)
    d = network.weights[0].shape[0]
    if beta.shape != (d,):
        raise ValueError(f"beta must be ({d},); got {beta.shape}")
    check("beta", beta, np.isfinite, "finite")
    options = (learning_rate, steps, tolerance, weight_decay, layers, record_every, observe)
    return _run(network, None, beta, *options)


def read_data(network: DeepLinear, X: Any, y: Any) -> list[Array]:
    """Check a data set against a network and bring it to the dtype that both promote to."""
    X, y = _as_floats(network, X, y)
    d = network.weights[0].shape[0]
    if X.ndim != 2 or X.shape[1] != d or y.shape != X.shape[:1] or len(y) == 0:
        raise ValueError(f"X must be (n, {d}) and y (n,); got {X.shape} and {y.shape}")
    check("X", X, np.isfinite, "finite")
    check("y", y, np.isfinite, "finite")
    return [X, y]


def _as_floats(network: DeepLinear, *arrays: Any) -> list[Array]:
    """Bring the data to the floating-point type that they and the weights promote to."""
    if network.weights[0].ndim != 2:
        shape = network.weights[0].shape
        raise ValueError(f"network must be one network (jax.vmap takes a batch); W_1 is {shape}")
    dtype = jnp.result_type(*arrays, *network.weights, float)
    return [jnp.asarray(array, dtype) for array in arrays]


def _run(
    network: DeepLinear,
    inputs: Array | None,
    targets: Array,
    learning_rate: Any,
    steps: int,
    tolerance: Any,
    weight_decay: Any,
    layers: str,
    record_every: int,
    observe: Callable[[DeepLinear], Any] | None,
) -> tuple[DeepLinear, History]:
    """Check the options, descend, and report a divergence or trim the history."""
    if learning_rate is not None:
        check("learning_rate", learning_rate, lambda r: (r > 0) & (r < np.inf), "a number > 0")
    check("steps", steps, lambda s: (s >= 0) & (s == np.floor(s)), "an integer >= 0")
    check("tolerance", tolerance, lambda t: t >= 0, "a number >= 0")
    check("weight_decay", weight_decay, lambda w: (w >= 0) & (w < np.inf), "a number >= 0")
    check("record_every", record_every, lambda r: (r >= 1) & (r == np.floor(r)), "an integer >= 1")
    if layers not in ("all", "last"):
        raise ValueError(f"layers must be 'all' or 'last'; got {layers!r}")
    dtype = targets.dtype
    network = jax.tree.map(lambda weight: weight.astype(dtype), network)
    if learning_rate is not None:
        learning_rate = jnp.asarray(learning_rate, dtype)
    network, history, stable_rate = descend(
        network,
        inputs,
        targets,
        learning_rate,
        jnp.asarray(tolerance, dtype),
        jnp.asarray(weight_decay, dtype),
        int(steps),
        min(int(record_every), max(int(steps), 1)),
        layers,
        observe,
    )
    if isinstance(history.diverged, jax.core.Tracer):
        return network, history
    if history.diverged:
        raise FloatingPointError(
            f"training diverged by step {int(history.steps_taken)} at learning rate "
            f"{float(history.learning_rate):.3g}; a stable one is {float(stable_rate):.3g}"
        )
    records = int(np.sum(~np.isnan(history.steps)))
    series = (history.steps, history.loss, history.observed)
    trimmed = jax.tree.map(lambda values: values[:records], series)
    return network, eqx.tree_at(lambda h: (h.steps, h.loss, h.observed), history, trimmed)
