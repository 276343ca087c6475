"""Training of two-layer ReLU networks, on samples or on the population."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import FINITE, as_floats, check, read_samples
from fatelib.descent.last_layer import train_last_layer
from fatelib.descent.loop import History, descend, report
from fatelib.descent.options import Options
from fatelib.descent.quadratic import Quadratic
from fatelib.relu.descent import Descent, FewSamples, Population, Samples
from fatelib.relu.features import resolve
from fatelib.relu.network import ReluNetwork

__all__ = ["pretrain", "train"]


def train(
    network: ReluNetwork,
    X: Float[ArrayLike, "n d"],
    y: Float[ArrayLike, " n"],
    *,
    learning_rate: ArrayLike | None = None,
    steps: int | None = None,
    tolerance: ArrayLike | None = None,
    absolute_tolerance: ArrayLike | None = None,
    weight_decay: ArrayLike = 0.0,
    layers: str = "all",
    precision: str | None = None,
    record_every: int | None = None,
    observe: Callable[[ReluNetwork], Any] | None = None,
) -> tuple[ReluNetwork, History]:
    r"""Train a ReLU network by full-batch gradient descent.

    .. math::
        \text{loss} = \frac1n \sum_j (f(x_j) - y_j)^2, \qquad
        \theta \leftarrow \theta - \eta \, (m \nabla_\theta \text{loss} + \text{decay} \, \theta)

    for all weights :math:`\theta`, of both layers or of the last: no factor 1/2, and m times the
    gradient as mean-field scaling asks for, so that neither the learning rate :math:`\eta` nor the
    decay depends on the width. Time is :math:`\eta` times steps.

    A step costs two matrix products, 4 n m d operations; with no more samples than inputs one with
    the Gram matrix :math:`X X^T` is enough, 2 n^2 m operations. The last layer alone is linear
    regression on frozen features, and then `fatelib.train` does the same steps in the singular
    basis of the features, at O(min(n, m)) each.

    The ReLU is homogeneous: a sample scaled by :math:`\sqrt w` with its label counts w times, and
    a row of zeros only in n. So data sets of different sizes are batched by rows of zeros.

    For the last layer alone the automatic learning rate is that of `fatelib.train`. For both layers
    it is :math:`\eta = 1/h`, half of the largest one that is stable at the curvature

    .. math::
        h = \text{decay} + 2 \lambda \, (s + 8 \|y\| / \sqrt\lambda) + 2 \|f_0 - y\| \sqrt\lambda ,

    where :math:`\lambda` is the largest eigenvalue of :math:`X^T X / n` (on the population 1/2),
    s the mean of :math:`|w_i|^2 + c_i^2` at the start, and :math:`\|\cdot\|^2` the mean square over
    samples. Without the 8, h bounds the curvature at the start between kinks: on samples, where no
    neuron changes its active samples. On the population the kinks of all inputs add curvature of
    order :math:`|c_i| / |w_i|`, which h does not bound. The 8 leaves room for weights that grow
    until the mean of :math:`|c_i| |w_i|` is four times the least that labels of this size need.
    Networks that must grow more, to fit noise with n near m, say, ask for a smaller rate of your
    own.

    Args:
        network: Where to start.
        X: Inputs, (n, d).
        y: Labels, (n,). Inputs and labels must be finite and at most 1e15 in size.
        learning_rate: The rate :math:`\eta`, a number; by default the one above.
        steps: The most steps to take; by default 10,000.
        tolerance: A number: stop when the loss is this share of that of the zero network,
            :math:`\|y\|^2 / n`; for the last layer alone, this close to its minimum; by default
            1e-6. With weight decay: when the loss plus its penalty would be this close to
            a minimum if it curved no less than the penalty does. On samples neurons often come to
            rest at the edge of their activity for some of them, where the gradient jumps: then it
            never gets small, and training goes on to its last step. So it may where the decay wins
            and takes all weights to zero, as the slope must be small relative to the weights.
        absolute_tolerance: A number: the same in the units of the loss, in place of `tolerance`.
        weight_decay: Coefficient of the decay, a number. For the last layer alone it is the ridge
            m * decay / 2 on c / m, in the units of `feature_spectrum`.
        layers: "all", or "last" to train the output weights alone on frozen neurons.
        precision: "highest" (the default), "high" or "default": of the matrix products in the steps
            of both layers, as in `jax.lax.Precision`. On a CPU all are exact in float32. Recent
            NVIDIA GPUs round the factors to 10 bits (TF32) by default, for speed; with more samples
            than inputs that changes risks by about 1e-4 of themselves
            (`benchmarks/relu_precision.py`, with the rounding done on a CPU). The recorded losses
            are exact always.
        record_every: Steps between two records, by default 100; stopping is decided at records
            only.
        observe: A function of the network, recorded along with the loss. Pass the same function
            object to later calls: each new one compiles anew.

    Returns:
        The trained network and the history.

    Raises:
        ValueError: An argument is impossible.
        FloatingPointError: The loss is not finite or ten times that of the start or of the zero
            network, whichever is larger. Inside `jax.vmap` and `jax.jit` nothing can be raised:
            `History.diverged` is set and the weights are NaN.

    Source:
        Section 4 of Tahir et al. (2025), who take :math:`\eta = 0.01`.

    Example:
        >>> import jax
        >>> teacher = ReluNetwork.init(jax.random.key(0), 5, 3, output=1.0)
        >>> X = jax.random.normal(jax.random.key(1), (40, 5))
        >>> y = jax.vmap(teacher)(X)
        >>> student = ReluNetwork.init(jax.random.key(2), 5, 20)
        >>> student, history = train(student, X, y, tolerance=1e-4)
        >>> bool(history.converged), bool(history.loss[-1] <= 1e-4)
        (True, True)
    """
    network, X, y = read_data(network, X, y)
    options = Options.read(
        learning_rate=learning_rate,
        steps=steps,
        tolerance=tolerance,
        absolute_tolerance=absolute_tolerance,
        weight_decay=weight_decay,
        layers=layers,
        precision=precision,
        record_every=record_every,
        observe=observe,
    )
    return run(network, X, y, options)


def pretrain(
    network: ReluNetwork,
    teacher: ReluNetwork,
    *,
    learning_rate: ArrayLike | None = None,
    steps: int | None = None,
    tolerance: ArrayLike | None = None,
    absolute_tolerance: ArrayLike | None = None,
    weight_decay: ArrayLike = 0.0,
    layers: str = "all",
    record_every: int | None = None,
    observe: Callable[[ReluNetwork], Any] | None = None,
) -> tuple[ReluNetwork, History]:
    r"""Train a ReLU network on infinitely many noise-free samples of a teacher.

    .. math:: \text{loss} = E_x (f(x) - f^*(x))^2

    on standard normal inputs, exactly, by `arccos_kernel`: `train` in the limit of many samples.
    (A student of n source samples is ``train(network, *tasks.sample(key, n, source=True))``.)
    A step costs two matrix products, 4 m (m + m*) d operations, at full precision, and m (m + m*)
    angles.

    Args:
        network: Where to start.
        teacher: The network to learn, of any width.
        learning_rate: As in `train`.
        steps: As in `train`.
        tolerance: As in `train`; the loss of the zero network is the squared norm of the teacher.
            In float32 the loss itself has an error of about 1e-7 times the
            squared norm of the teacher, and where rounding makes it negative it counts as 0: even
            a tolerance of 0 may be met by rounding.
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
        Section 4 of Tahir et al. (2025), on samples.

    Example:
        >>> import jax
        >>> teacher = ReluNetwork.init(jax.random.key(0), 5, 3, output=1.0)
        >>> student = ReluNetwork.init(jax.random.key(2), 5, 20)
        >>> student, history = pretrain(student, teacher, tolerance=1e-4)
        >>> bool(history.converged)
        True
    """
    if not isinstance(teacher, ReluNetwork):
        raise TypeError(
            f"teacher must be a ReluNetwork, such as tasks.source; got {type(teacher).__name__}"
        )
    _check_network(network)
    if teacher.W.ndim != 2 or teacher.W.shape[1] != network.W.shape[1]:
        raise ValueError(
            f"teacher must have neurons (m, {network.W.shape[1]}); got {teacher.W.shape}"
        )
    for name, weights in (("teacher.W", teacher.W), ("teacher.c", teacher.c)):
        check(name, weights, *FINITE)
    (c,) = as_floats(network.c, like=(network.W, teacher.W, teacher.c))
    network, teacher = (_as_type(each, c.dtype) for each in (network, teacher))
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
    if layers == "last":
        return _train_last(network, *_equivalent_data(network.W, teacher), options)
    return _train_all(Population(network, teacher), options)


def read_data(network: ReluNetwork, X: Any, y: Any) -> tuple[ReluNetwork, Array, Array]:
    """Check a network and a data set, and bring them to the type that all promote to."""
    _check_network(network)
    X, y = read_samples(X, y, network.W.shape[1], network.W, network.c)
    return _as_type(network, y.dtype), X, y


def _as_type(network: ReluNetwork, dtype: np.dtype) -> ReluNetwork:
    return jax.tree.map(lambda weight: jnp.asarray(weight, dtype), network)


def _check_network(network: Any) -> None:
    if not isinstance(network, ReluNetwork):
        raise TypeError(
            f"network must be a ReluNetwork; got {type(network).__name__} "
            "(fatelib.train and fatelib.pretrain take a DeepLinear)"
        )
    if network.W.ndim != 2:
        raise ValueError(
            f"network must be one network (jax.vmap takes a batch); W is {network.W.shape}"
        )
    for name, weights in (("network.W", network.W), ("network.c", network.c)):
        check(name, weights, *FINITE)


def run(network: ReluNetwork, X: Array, y: Array, options: Options) -> tuple[ReluNetwork, History]:
    """Train on data that `read_data` has read."""
    if options.layers == "last":
        options.refuse(("precision",), "where the last layer alone is trained")
        return _train_last(network, network.features(X), y, options)
    kind = FewSamples.of if len(y) <= X.shape[1] else Samples
    return _train_all(kind(network, X, y, options.precision), options)


def _train_all(descent: Descent, options: Options) -> tuple[ReluNetwork, History]:
    """Train both layers, and report."""
    options = options.as_arrays(descent.initial.c.dtype)
    network, history = _train(descent, options)
    decay = jnp.asarray(options.weight_decay)
    return network, report(history, lambda: descent.stable_rate(decay))


@eqx.filter_jit
def _train(descent: Descent, options: Options) -> tuple[ReluNetwork, History]:
    # The eigenvalue in the stable rate costs as much as many steps: it is not asked for in vain.
    if options.learning_rate is None:
        rate = descent.stable_rate(jnp.asarray(options.weight_decay))
    else:
        rate = jnp.asarray(options.learning_rate)
    return descend(descent, rate, options)


def _train_last(
    network: ReluNetwork, features: Array, y: Array, options: Options
) -> tuple[ReluNetwork, History]:
    """Train c as the linear map c / sqrt(m) of features / sqrt(m): their steps are the same."""
    network, history, stable = _run_last(network, features, y, options.as_arrays(y.dtype))
    return network, report(history, lambda: stable)


@eqx.filter_jit
def _run_last(
    network: ReluNetwork, features: Array, y: Array, options: Options
) -> tuple[ReluNetwork, History, Array]:
    root, observe = math.sqrt(len(network.c)), options.observe

    def whole(last: Array) -> ReluNetwork:
        return ReluNetwork(network.W, root * last)

    if observe is not None:
        options = dataclasses.replace(options, observe=lambda last: observe(whole(last)))
    samples = math.sqrt(len(y))
    loss = Quadratic.of(features / root / samples, y / samples)
    last, history, stable = train_last_layer(loss, network.c / root, options)
    return whole(last), history, stable


@eqx.filter_jit
def _equivalent_data(W: Array, teacher: ReluNetwork) -> tuple[Array, Array]:
    """Return features and labels of m + 1 samples that have the population's loss."""
    eigenvalues, basis, coefficients, residual = resolve(
        W, teacher.W, teacher.c / len(teacher.c), cutoff=None
    )
    root = math.sqrt(len(W) + 1)
    features = jnp.sqrt(eigenvalues)[:, None] * basis.T
    features = jnp.concatenate([features, jnp.zeros_like(features[:1])])
    labels = jnp.concatenate([coefficients, jnp.sqrt(residual)[None]])
    return root * features, root * labels
