"""Training of deep linear networks: one function, whichever engine carries the iterates."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import (
    ABOVE_0,
    FINITE,
    as_floats,
    check,
    check_choice,
    check_entries,
    read_samples,
    real,
)
from fatelib.descent.last_layer import train_last_layer
from fatelib.descent.loop import History, descend, report, threshold
from fatelib.descent.options import LOOP, Options
from fatelib.descent.precision import matmul
from fatelib.descent.quadratic import Loss, Quadratic
from fatelib.linear.bidiagonal import Bidiagonal, BidiagonalLoss
from fatelib.linear.descent import Descent
from fatelib.linear.flow import flow, limit
from fatelib.linear.gram import Gram
from fatelib.linear.iteration import LinearIteration
from fatelib.linear.network import DeepLinear
from fatelib.linear.spectral import RankOne, Spectral
from fatelib.linear.stability import safe_rate

__all__ = ["Engine", "pretrain", "train"]

Engine = Literal["auto", "descent", "gram", "spectral", "flow", "limit"]
# Engines that train one direction of the inputs.
ONE_DIRECTION = ("spectral", "flow", "limit")

# Share of a matrix that a rank-one engine may leave out, and of its square in imbalance.
_RANK_ONE = 1e-3
_BALANCE = 1e-2


def train(
    network: DeepLinear,
    X: Float[ArrayLike, "n d"] | Bidiagonal,
    y: Float[ArrayLike, " n"],
    *,
    engine: str = "auto",
    learning_rate: ArrayLike | None = None,
    steps: int | None = None,
    tolerance: ArrayLike | None = None,
    absolute_tolerance: ArrayLike | None = None,
    weight_decay: ArrayLike = 0.0,
    layers: str = "all",
    record_every: int | None = None,
    observe: Callable[[DeepLinear], Any] | None = None,
) -> tuple[DeepLinear, History]:
    r"""Train a deep linear network by full-batch gradient descent, or by gradient flow.

    .. math:: \text{loss} = \tfrac1n \|X W_1 \cdots W_L - y\|^2

    (no factor 1/2), with ``weight_decay * weight`` added to each gradient.

    The engines ``descent``, ``gram`` and ``spectral`` take the same steps, to rounding:

    =============  ================================================  ==========================
    engine         assumes                                           work per step
    =============  ================================================  ==========================
    ``descent``    nothing                                           two passes over each matrix
    ``gram``       two layers                                        one over min(n, d) squared
    ``spectral``   matrices of rank one, as pretraining leaves them  O(min(n, d))
    ``flow``       rank one and balanced layers; the learning rate   O(min(n, d)), adaptive
                   only sets the unit of time
    ``limit``      the same; no weight decay; infinite time          none
    ``auto``       nothing: ``spectral`` for width 1, ``gram`` for   as the one chosen
                   two layers wider than 2 min(n, d), or else
                   ``descent``
    =============  ================================================  ==========================

    Rank one means: no more than a share of 0.001 of any matrix, in Frobenius norm, is left out (and
    then dropped); balanced: the squared sizes of the layers differ by no more than one per cent.

    In float32, besides what the tolerance leaves: rounding moves the end by at most about
    :math:`2^{-24} (n + d) (\|y\| + \kappa \|r\|)` over the least singular value of X, with its
    condition :math:`\kappa` and the residual r of least squares; with ``gram`` by
    :math:`2^{-24} \|\beta\|` more for every step, with ``flow`` by a relative 1.5e-5 more; steps
    below half a unit in the last place are lost, so that training stalls where the gradient in
    :math:`\beta` is :math:`2^{-24} \|\beta\|^{2/L - 1} / \eta`. The part of :math:`\beta` that the
    data never see keeps its direction; its size follows the rest through the balance of the layers,
    by :math:`\tfrac12 (L - 1)` times what has moved that, as shares, and rounding moves the
    balance, and with it this size, by a share of at most :math:`2^{-24} (L - 1)` for every step.

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
        X: Inputs, (n, d), as an array or bidiagonal.
        y: Labels, (n,). Inputs and labels must be finite and at most 1e15 in size.
        engine: How to get there; `History.engine` names the choice of ``auto``.
        learning_rate: Step size, a number; by default the one above.
        steps: The most steps to take; by default 10,000.
        tolerance: A number: stop when the loss is this close to its minimum, as a share of the loss
            of the zero network, :math:`\|y\|^2 / n`; by default 1e-6. With weight decay:
            when the loss plus the ridge penalty :math:`\tfrac p2 \|\beta\|^2` is, by the bound
            :math:`\|G + p \beta\|^2 / \min(2 p, 1)`, where G is the gradient of the loss in
            :math:`\beta` and :math:`p = \text{decay} \, \|\beta\|^{2/L - 2}` (the force vanishes at
            every stationary point but zero, because the layers balance there); or, once decay is
            bound to take all weights to zero, when :math:`\lambda_{\max} \|\beta\|^2` is (``flow``
            then goes on to the last step).
        absolute_tolerance: A number: the same in the units of the loss, in place of `tolerance`.
        weight_decay: Coefficient of the decay, in the gradient; a number.
        layers: "all", or "last" to train the last layer alone on frozen features.
        record_every: Steps between two records, by default 100; stopping is decided at records
            only.
        observe: A function of the network, recorded along with the loss. Pass the same function
            object to later calls: each new one compiles anew.

    Returns:
        The trained network and the history.

    Raises:
        ValueError: An argument is impossible or has no effect (rate, steps and tolerance of the
            engine ``limit``), or the network is not what the engine assumes.
        FloatingPointError: The loss is not finite or exceeds its minimum by ten times what the
            start or the zero network does, whichever is larger. Inside `jax.vmap` and `jax.jit`
            nothing can be raised: `History.diverged` is set and the weights are NaN, as they are
            for a network that the engine cannot take.

    Source:
        Section 3 of Tahir et al. (2025) for ``descent``; the other engines and the learning rate
        are ours.

    Example:
        >>> import jax
        >>> from fatelib.linear import LinearTasks
        >>> key = jax.random.key(0)
        >>> tasks = LinearTasks.at_angle(key, 20, 0.5)
        >>> X, y = tasks.sample(key, 50)
        >>> network, history = train(DeepLinear.init(key, 20), X, y)
        >>> bool(history.converged), round(float(tasks.risk(network)), 3)
        (True, 0.0)

        A batch of networks is a vmap away:

        >>> keys = jax.random.split(key, 3)
        >>> networks = jax.vmap(lambda key: DeepLinear.init(key, 20))(keys)
        >>> X, y = jax.vmap(lambda key: tasks.sample(key, 10))(keys)
        >>> networks, histories = jax.vmap(lambda *data: train(*data, steps=2000))(networks, X, y)
        >>> histories.converged.tolist()
        [True, True, True]
    """
    network, inputs, labels = read_data(network, X, y)
    options = Options.read(
        learning_rate=learning_rate,
        steps=steps,
        tolerance=tolerance,
        absolute_tolerance=absolute_tolerance,
        weight_decay=weight_decay,
        layers=layers,
        record_every=record_every,
        observe=observe,
    )
    return run(network, inputs, labels, engine, options)


def pretrain(
    network: DeepLinear,
    beta: Float[ArrayLike, " d"],
    *,
    engine: str = "auto",
    learning_rate: ArrayLike | None = None,
    steps: int | None = None,
    tolerance: ArrayLike | None = None,
    absolute_tolerance: ArrayLike | None = None,
    weight_decay: ArrayLike = 0.0,
    layers: str = "all",
    record_every: int | None = None,
    observe: Callable[[DeepLinear], Any] | None = None,
) -> tuple[DeepLinear, History]:
    r"""Train a deep linear network on infinitely many noise-free samples of a linear task.

    .. math::
        \text{loss} = E_x (x W_1 \cdots W_L - x \cdot \beta)^2 = \|W_1 \cdots W_L - \beta\|^2

    for inputs of identity covariance: `train` with X^T X / n = I.

    Args:
        network: Where to start.
        beta: The vector to learn, (d,).
        engine: As in `train`.
        learning_rate: As in `train`.
        steps: As in `train`.
        tolerance: As in `train`; the loss of the zero network is :math:`\|\beta\|^2`.
        absolute_tolerance: As in `train`.
        weight_decay: As in `train`.
        layers: As in `train`.
        record_every: As in `train`.
        observe: As in `train`.

    Returns:
        The trained network and the history.

    Raises:
        ValueError: An argument is impossible.
        FloatingPointError: Training diverged; see `train`.

    Source:
        Section 3 of Tahir et al. (2025).

    Example:
        >>> import jax
        >>> from fatelib.linear import effective_rank
        >>> network = DeepLinear.init(jax.random.key(0), 20)
        >>> network, history = pretrain(network, jax.numpy.ones(20) / 20**0.5)
        >>> round(float(effective_rank(network.feature_map())), 2)
        1.0
    """
    _check_network(network)
    d = network.weights[0].shape[0]
    check("beta", beta, *FINITE, shape=(d,))
    (beta,) = as_floats(beta, like=network.weights)
    options = Options.read(
        learning_rate=learning_rate,
        steps=steps,
        tolerance=tolerance,
        absolute_tolerance=absolute_tolerance,
        weight_decay=weight_decay,
        layers=layers,
        record_every=record_every,
        observe=observe,
    )
    return run(_as_type(network, beta.dtype), None, beta, engine, options)


def read_data(network: DeepLinear, X: Any, y: Any) -> tuple[DeepLinear, Array | Bidiagonal, Array]:
    """Check a network and a data set, and bring them to the type that all promote to."""
    _check_network(network)
    d = network.weights[0].shape[0]
    if isinstance(X, Bidiagonal):
        labels = real("y", y)
        for name, values in (("X", X.diagonal), ("X", X.upper), ("y", labels)):
            check_entries(name, values)
        check("X.samples", X.samples, *ABOVE_0, shape=())
        if X.columns != d or labels.shape != X.shape[:1]:
            raise ValueError(
                f"X must have {d} columns and y a label for each row of X; "
                f"got {X.shape} and {labels.shape}"
            )
        (labels,) = as_floats(labels, like=(X.diagonal, *network.weights))
        X = jax.tree.map(lambda part: jnp.asarray(part, labels.dtype), X)
    else:
        X, labels = read_samples(X, y, d, *network.weights)
    return _as_type(network, labels.dtype), X, labels


def _check_network(network: Any) -> None:
    if not isinstance(network, DeepLinear):
        raise TypeError(
            f"network must be a DeepLinear; got {type(network).__name__} "
            "(fatelib.relu trains ReLU networks)"
        )
    if network.weights[0].ndim != 2:
        shape = network.weights[0].shape
        raise ValueError(f"network must be one network (jax.vmap takes a batch); W_1 is {shape}")
    for layer, weight in enumerate(network.weights, start=1):
        check(f"network: W_{layer}", weight, *FINITE)


def _as_type(network: DeepLinear, dtype: np.dtype) -> DeepLinear:
    return jax.tree.map(lambda weight: jnp.asarray(weight, dtype), network)


def run(
    network: DeepLinear,
    X: Array | Bidiagonal | None,
    y: Array,
    engine: str,
    options: Options,
) -> tuple[DeepLinear, History]:
    """Train on data that `read_data` has read; without X on the population.

    Chooses an engine, and reports a divergence or trims the history.
    """
    engine = _choose(engine, network, X, y, options)
    train = _train_last if options.layers == "last" else partial(_train, engine=engine)
    network, history, stable_rate = train(network, X, y, options=options.as_arrays(y.dtype))
    return network, report(history, lambda: stable_rate)


def _choose(
    engine: str,
    network: DeepLinear,
    X: Array | Bidiagonal | None,
    y: Array,
    options: Options,
) -> str:
    """Resolve `auto`, which looks at shapes alone, and refuse what an engine cannot do."""
    engine = check_choice("engine", engine, get_args(Engine))
    depth, (d, width) = network.depth, network.weights[0].shape
    if engine == "auto":
        if options.layers == "last":
            return "descent"
        if all(weight.shape[1] == 1 for weight in network.weights):
            return "spectral"  # between wider layers vectors need not point the same way
        samples = d if X is None else min(X.shape)
        return "gram" if depth == 2 and 2 * samples < width else "descent"
    if options.layers == "last" and engine != "descent":
        raise ValueError(f"engine must be 'descent' to train the last layer alone; got {engine!r}")
    if engine == "gram" and depth != 2:
        raise ValueError(f"engine 'gram' must have a network of 2 layers; got {depth}")
    if engine == "limit":
        options.refuse(LOOP, "with the engine 'limit', which takes no steps")
        check("weight_decay", options.weight_decay, lambda w: w == 0, "0 for the engine 'limit'")
    if engine not in ONE_DIRECTION or isinstance(y, jax.core.Tracer):
        return engine
    form = jax.jit(RankOne.of)(network)
    if isinstance(form.remainder, jax.core.Tracer):
        return engine
    if not form.fits(_RANK_ONE):
        raise ValueError(
            f"engine {engine!r} must have a network of rank-one matrices, as pretraining from a "
            f"small scale leaves; a share of {float(form.remainder):.2g} of a matrix would be lost"
        )
    if engine != "spectral" and not form.balanced(_BALANCE):
        raise ValueError(
            f"engine {engine!r} must have balanced layers, as small steps from a small scale "
            f"leave; the sizes are {[float(f'{size:.3g}') for size in form.sizes()]}"
        )
    return engine


@eqx.filter_jit
def _train(
    network: DeepLinear,
    X: Array | Bidiagonal | None,
    y: Array,
    engine: str,
    options: Options,
) -> tuple[DeepLinear, History, Array]:
    """Set up the loss and its engine, and run it."""
    loss = loss_of(X, y)
    safe = safe_rate(network.weights, loss, jnp.asarray(options.weight_decay))
    rate = safe if options.learning_rate is None else jnp.asarray(options.learning_rate)
    if engine in ("descent", "gram"):
        kind: Callable[[Loss, DeepLinear], LinearIteration] = (
            Descent if engine == "descent" else Gram
        )
        trained, history = descend(kind(loss, network), rate, options)
    else:
        form = RankOne.of(network)
        fits = form.fits(_RANK_ONE)
        if engine == "spectral":
            trained, history = descend(Spectral(loss, form), rate, options)
        else:
            fits &= form.balanced(_BALANCE)
            if engine == "flow":
                trained, history = flow(loss, form, rate, options)
            else:
                trained, history = limit(loss, form, options.observe)
        trained = jax.tree.map(lambda weight: jnp.where(fits, weight, jnp.nan), trained)
        failed = (history.diverged | ~fits, history.converged & fits)
        history = eqx.tree_at(lambda h: (h.diverged, h.converged), history, failed)
    if engine not in ("flow", "limit"):
        borne_out = _within(loss, trained, history, options) | (options.weight_decay > 0)
        history = eqx.tree_at(lambda h: h.converged, history, history.converged & borne_out)
    return trained, history, safe


@eqx.filter_jit
def _train_last(
    network: DeepLinear, X: Array | Bidiagonal | None, y: Array, options: Options
) -> tuple[DeepLinear, History, Array]:
    """Train the last layer alone."""
    loss, observe = loss_of(X, y, network.feature_map()), options.observe
    if observe is not None:
        options = dataclasses.replace(
            options, observe=lambda last: observe(network.with_last_layer(last))
        )
    last, history, safe = train_last_layer(loss, network.weights[-1][:, 0], options)
    return network.with_last_layer(last), history, safe


def _within(loss: Loss, network: DeepLinear, history: History, options: Options) -> Array:
    """Whether the weights as they are returned keep to the tolerance.

    Engines judge by coordinates of their own. Weights much larger than the map that they stand for
    may round to one that is further off than twice the tolerance and a rounding error of the map at
    every step.
    """
    beta = network.end_to_end()
    error = jnp.finfo(beta.dtype).eps * (history.steps_taken + len(beta)) * jnp.linalg.norm(beta)
    tolerance = threshold(options, loss.excess(loss.zero) + loss.minimum)
    return loss.excess(loss.project(beta)) <= 2 * tolerance + loss.top * error**2


def loss_of(X: Array | Bidiagonal | None, y: Array, features: Array | None = None) -> Loss:
    """Return the mean squared loss of a linear map of the inputs, or of features of them.

    Without inputs it is the population loss, and y the vector to learn.
    """
    if X is None:
        return Quadratic.of(features, y)
    if isinstance(X, Bidiagonal):
        if features is None:
            return BidiagonalLoss.of(X, y)
        root = X.samples**0.5
        X = jax.vmap(X.__matmul__, 1, 1)(features)
    else:
        root = y.shape[0] ** 0.5
        X = X if features is None else matmul(X, features)
    return Quadratic.of(X / root, y / root)
