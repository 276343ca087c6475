"""Training of deep linear networks: one function, whichever engine carries the iterates."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import FINITE, check, check_choice, check_samples, check_type, float_type
from fatelib.iteration import History, check_options, descend, report
from fatelib.linear.bidiagonal import Bidiagonal, BidiagonalLoss
from fatelib.linear.descent import Descent
from fatelib.linear.flow import flow, limit
from fatelib.linear.gram import Gram
from fatelib.linear.network import DeepLinear
from fatelib.linear.quadratic import Loss, Quadratic, product
from fatelib.linear.spectral import RankOne, Spectral
from fatelib.linear.stability import safe_rate

__all__ = ["Engine", "pretrain", "train"]

Engine = Literal["auto", "descent", "gram", "spectral", "flow", "limit"]

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
    steps: int = 10_000,
    tolerance: ArrayLike = 1e-6,
    weight_decay: ArrayLike = 0.0,
    layers: Literal["all", "last"] = "all",
    record_every: int = 100,
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
    :math:`2^{-24} (n + d) \|y\|` over the least singular value of X, with ``gram`` by
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
        steps: The most steps to take.
        tolerance: A number: stop when the loss is this close to its minimum. With weight decay:
            when the loss plus the ridge penalty :math:`\tfrac p2 \|\beta\|^2` is, by the bound
            :math:`\|G + p \beta\|^2 / \min(2 p, 1)`, where G is the gradient of the loss in
            :math:`\beta` and :math:`p = \text{decay} \, \|\beta\|^{2/L - 2}` (the force vanishes at
            every stationary point but zero, because the layers balance there); or, once decay is
            bound to take all weights to zero, when :math:`\lambda_{\max} \|\beta\|^2` is (``flow``
            then goes on to the last step).
        weight_decay: Coefficient of the decay, in the gradient; a number.
        layers: "all", or "last" to train the last layer alone on frozen features.
        record_every: Steps between two records; stopping is decided at records only.
        observe: A function of the network, recorded along with the loss. Pass the same function
            object to later calls: each new one compiles anew.

    Returns:
        The trained network and the history.

    Raises:
        ValueError: An argument is impossible, or the network is not what the engine assumes.
        FloatingPointError: The loss is not finite or exceeds its minimum by ten times what the
            start or the zero network does, whichever is larger. Inside `jax.vmap` and `jax.jit`
            nothing can be raised: `History.diverged` is set and the weights are NaN, as they are
            for a network that the engine cannot take.

    Source:
        Section 3 of Tahir et al. (2025) for ``descent``; the other engines and the learning rate
        are ours.

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
    inputs, labels = read_data(network, X, y)
    options = (learning_rate, steps, tolerance, weight_decay, layers, record_every, observe)
    return _run(network, inputs, labels, engine, *options)


def pretrain(
    network: DeepLinear,
    beta: Float[ArrayLike, " d"],
    *,
    engine: str = "auto",
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
        engine: As in `train`.
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

    Source:
        Section 3 of Tahir et al. (2025).

    Example:
        >>> import jax
        >>> from fatelib.linear import effective_rank
        >>> network = DeepLinear.init(jax.random.key(0), 20)
        >>> network, history = pretrain(network, jax.numpy.ones(20) / 20**0.5)
        >>> round(float(effective_rank(network.features())), 2)
        1.0
    """
    _check_network(network)
    d = network.weights[0].shape[0]
    check("beta", beta, *FINITE, shape=(d,))
    (beta,) = _as_floats(network, beta)
    options = (learning_rate, steps, tolerance, weight_decay, layers, record_every, observe)
    return _run(network, None, beta, engine, *options)


def read_data(network: DeepLinear, X: Any, y: Any) -> tuple[Any, Array]:
    """Check a data set against a network and bring it to the dtype that both promote to."""
    _check_network(network)
    d = network.weights[0].shape[0]
    if isinstance(X, Bidiagonal):
        check("X", X.diagonal, *FINITE)
        check("X", X.upper, *FINITE)
        check("y", y, *FINITE)
        if X.columns != d or np.shape(y) != X.shape[:1]:
            raise ValueError(
                f"X must have {d} columns and y a label for each row of X; "
                f"got {X.shape} and {np.shape(y)}"
            )
        _, y = _as_floats(network, X.diagonal, y)
        return jax.tree.map(lambda part: jnp.asarray(part, y.dtype), X), y
    check_samples(X, y, d)
    X, y = _as_floats(network, X, y)
    return X, y


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


def _as_floats(network: DeepLinear, *arrays: Any) -> list[Array]:
    """Bring the data to the floating-point type that they and the weights promote to."""
    dtype = float_type(*arrays, *network.weights)
    return [jnp.asarray(array, dtype) for array in arrays]


def _run(
    network: DeepLinear,
    X: Array | Bidiagonal | None,
    y: Array,
    engine: str,
    learning_rate: Any,
    steps: int,
    tolerance: Any,
    weight_decay: Any,
    layers: str,
    record_every: int,
    observe: Callable[[DeepLinear], Any] | None,
) -> tuple[DeepLinear, History]:
    """Check the options, train, and report a divergence or trim the history."""
    check_options(learning_rate, steps, tolerance, weight_decay, record_every)
    check_choice("layers", layers, ("all", "last"))
    check_type("observe", observe, (Callable, type(None)), "a function of the network")
    dtype = y.dtype
    network = jax.tree.map(lambda weight: jnp.asarray(weight, dtype), network)
    engine = _choose(engine, network, X, y, layers, weight_decay)
    if learning_rate is not None:
        learning_rate = jnp.asarray(learning_rate, dtype)
    network, history, stable_rate = _train(
        network,
        X,
        y,
        engine,
        learning_rate,
        jnp.asarray(tolerance, dtype),
        jnp.asarray(weight_decay, dtype),
        int(steps),
        min(int(record_every), max(int(steps), 1)),
        layers,
        observe,
    )
    return network, report(history, lambda: stable_rate)


def _choose(
    engine: str, network: DeepLinear, X: Any, y: Array, layers: str, weight_decay: Any
) -> str:
    """Resolve `auto`, which looks at shapes alone, and refuse what an engine cannot do."""
    check_choice("engine", engine, get_args(Engine))
    depth, (d, width) = network.depth, network.weights[0].shape
    if engine == "auto":
        if layers == "all" and all(1 in weight.shape for weight in network.weights):
            return "spectral"
        samples = d if X is None else min(X.shape)
        return "gram" if depth == 2 and layers == "all" and 2 * samples < width else "descent"
    if layers == "last" and engine != "descent":
        raise ValueError(f"engine must be 'descent' to train the last layer alone; got {engine!r}")
    if engine == "gram" and depth != 2:
        raise ValueError(f"engine 'gram' must have a network of 2 layers; got {depth}")
    if engine == "limit":
        check("weight_decay", weight_decay, lambda w: w == 0, "0 for the engine 'limit'")
    if engine not in ("spectral", "flow", "limit") or isinstance(y, jax.core.Tracer):
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
    learning_rate: Array | None,
    tolerance: Array,
    decay: Array,
    steps: int,
    record_every: int,
    layers: str,
    observe: Callable[[DeepLinear], Any] | None,
) -> tuple[DeepLinear, History, Array]:
    """Set up the loss and its engine, and run it."""
    frozen = network.weights[:-1] if layers == "last" else ()
    trained = DeepLinear(network.weights[len(frozen) :])
    loss = loss_of(X, y, network.features() if frozen else None)
    safe = safe_rate(trained.weights, loss, decay)
    rate = safe if learning_rate is None else learning_rate

    def whole(trained: DeepLinear) -> DeepLinear:
        return DeepLinear((*frozen, *trained.weights))

    watch = None if observe is None else (lambda trained: observe(whole(trained)))
    loop = (rate, tolerance, decay, steps, record_every, watch)
    if engine == "descent":
        network, history = descend(Descent(loss, trained), *loop)
    elif engine == "gram":
        network, history = descend(Gram(loss, trained), *loop)
    else:
        form = RankOne.of(trained)
        fits = form.fits(_RANK_ONE)
        if engine == "spectral":
            network, history = descend(Spectral(loss, form), *loop)
        else:
            fits &= form.balanced(_BALANCE)
            if engine == "flow":
                network, history = flow(loss, form, *loop)
            else:
                network, history = limit(loss, form, watch)
        network = jax.tree.map(lambda weight: jnp.where(fits, weight, jnp.nan), network)
        failed = (history.diverged | ~fits, history.converged & fits)
        history = eqx.tree_at(lambda h: (h.diverged, h.converged), history, failed)
    return whole(network), history, safe


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
        X = X if features is None else product(X, features)
    return Quadratic.of(X / root, y / root)
