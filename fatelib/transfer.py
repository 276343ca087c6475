r"""The ways to learn a target task, with and without a pretrained network.

`scratch` trains anew, `linear_transfer` fits a new last layer on frozen features, `fine_tune` goes
on training all layers. Each takes one pretrained network of any family (`fatelib.family`) and one
data set, and returns one `Result`; batches come from `jax.vmap`, or on a CPU from `jax.lax.map`.
The latter does one after the other: where one compiled program holds two batches of
decompositions, as of two transfers under `jax.vmap`, JAX 0.10.2 hangs on a CPU of two cores.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from fatelib.arguments import (
    AT_LEAST_0,
    check_choice,
    check_key,
    check_number,
    check_type,
)
from fatelib.descent.last_layer import train_last_layer
from fatelib.descent.loop import History, report
from fatelib.descent.options import LOOP, TRAINING, Number, Options
from fatelib.descent.quadratic import Quadratic
from fatelib.family import Network, Tasks

__all__ = ["Result", "fine_tune", "linear_transfer", "scratch"]


class Result(eqx.Module):
    """What a protocol ends with.

    Attributes:
        network: The trained network.
        risk: Its risk on the target task, against the noise-free labels; a number.
        loss: Its mean squared training loss; a number.
        converged: Whether training met its tolerance, one truth value; always true of an exact
            solution.
        steps: Number of steps of gradient descent taken; 0 for an exact solution.
        engine: The engine that trained it; see `fatelib.train`.

    Example:
        >>> from fatelib import DeepLinear, LinearTasks
        >>> tasks = LinearTasks(jnp.ones(2), jnp.ones(2))
        >>> X, y = tasks.sample(jax.random.key(0), 5)
        >>> result = linear_transfer(DeepLinear.balanced(jnp.ones(2)), tasks, X, y)
        >>> round(float(result.risk), 3), int(result.steps), bool(result.converged)
        (0.0, 0, True)
    """

    network: Network
    risk: Float[Array, ""]
    loss: Float[Array, ""]
    converged: Bool[Array, ""]
    steps: Int[Array, ""]
    engine: str = eqx.field(static=True)


def scratch(
    key: Any,
    tasks: Tasks,
    X: Any,
    y: Float[ArrayLike, " n"],
    *,
    engine: str = "auto",
    **options: Any,
) -> Result:
    r"""Train a new network on the target data alone.

    From a small scale a linear network ends at the minimum-norm interpolator :math:`X^+ y`, whose
    risk is `fatelib.theory.least_squares_risk` with n samples and d features.

    The engines ``spectral``, ``flow`` and ``limit`` start in the one direction in which a small
    random network sets off, :math:`X^T y`, with all matrices of norm `scale`. (A random network has
    more in this direction, with two layers as if its norms were :math:`\text{scale} \sqrt{d + 1} /
    2`, and so leaves its plateau a little sooner.) Three and more layers stay on their plateau for
    a time of the order of :math:`\text{scale}^{2 - L}`.

    Args:
        key: A JAX random key for the initial weights.
        tasks: The tasks; only the target is used, to compute the risk.
        X: Target inputs, (n, d).
        y: Target labels, (n,).
        engine: As in `fatelib.train`; bidiagonal inputs need one that starts in one direction, and
            ``auto`` takes ``spectral`` for them. ReLU networks know ``descent`` alone.
        **options: What the tasks name for a new network, and how to train, as in `fine_tune`.
            Linear tasks name ``depth`` (number of weight matrices, by default 2), ``width``
            (hidden width, of engines that train all directions; by default d) and ``scale`` (of
            the initial weights, by default 1e-5); ReLU tasks ``width`` (by default ten neurons for
            each of the teacher) and ``scale`` (norm of the initial neurons, by default 1).

    Returns:
        The result.

    Raises:
        ValueError: An argument is impossible, has no effect, or is not one of these tasks.
        TypeError: An option that training does not know, or tasks of another type.
        FloatingPointError: Training diverged; see `fatelib.train`.

    Source:
        Theorems 3.5 and 3.6 of Tahir et al. (2025).

    Example:
        >>> import jax
        >>> from fatelib import LinearTasks
        >>> tasks = LinearTasks.at_angle(jax.random.key(0), 30, 0.5)
        >>> X, y = tasks.sample(jax.random.key(1), 60)
        >>> result = scratch(jax.random.key(2), tasks, X, y)
        >>> bool(result.converged), round(float(result.risk), 3)
        (True, 0.0)
    """
    check_key("key", key)
    check_type("tasks", tasks, Tasks, "the tasks of a family, a fatelib.family.Tasks")
    taken = (*tasks.beginning, "engine", *TRAINING)
    beginning = {name: options.pop(name) for name in tasks.beginning if name in options}
    training = Options.of("scratch", taken, options)
    engine = check_choice("engine", engine, tasks.engines)
    if engine == "auto" and training.layers == "last":
        engine = "descent"  # alone trains a last layer: the network must be one for it
    network = tasks.new_network(key, X, y, engine=engine, **beginning)
    return _train(network, tasks, X, y, engine, training)


def fine_tune(
    pretrained: Network,
    tasks: Tasks,
    X: Any,
    y: Float[ArrayLike, " n"],
    *,
    engine: str = "auto",
    **options: Any,
) -> Result:
    r"""Train all layers on the target data, from the pretrained weights.

    With the projector P on the rows of X, a linear network pretrained on :math:`\beta_s` ends at

    .. math:: \beta = X^+ y + \kappa (I - P) \beta_s

    with the scale :math:`\kappa` of `fatelib.theory.fine_tuning_scale_from_norms`, from a balanced
    start and in the limit of small steps (`fatelib.theory.fine_tuning_scale` for large d).

    Args:
        pretrained: The pretrained network.
        tasks: The tasks; only the target is used, to compute the risk.
        X: Target inputs, (n, d).
        y: Target labels, (n,).
        engine: As in `fatelib.train`. ReLU networks know ``descent`` alone.
        **options: How to train: ``learning_rate``, ``steps``, ``tolerance``,
            ``absolute_tolerance``, ``record_every``, ``weight_decay`` and ``layers``, as in
            `fatelib.train`, and for a ReLU network ``precision``, as in `fatelib.relu.train`.

    Returns:
        The result.

    Raises:
        ValueError: An argument is impossible or has no effect, or network and tasks are not of one
            kind.
        TypeError: An option that training does not know, or an argument of another type.
        FloatingPointError: Training diverged; see `fatelib.train`.

    Source:
        Theorem 3.9 of Tahir et al. (2025), where :math:`\kappa = 1`.

    Example:
        >>> import jax
        >>> from fatelib.linear import DeepLinear, LinearTasks, pretrain
        >>> tasks = LinearTasks.at_angle(jax.random.key(0), 30, 0.5)
        >>> pretrained, _ = pretrain(DeepLinear.init(jax.random.key(1), 30), tasks.beta_source)
        >>> X, y = tasks.sample(jax.random.key(2), 15)
        >>> result = fine_tune(pretrained, tasks, X, y)
        >>> bool(result.risk < tasks.risk(pretrained))
        True
    """
    _check_tasks(pretrained, tasks)
    training = Options.of("fine_tune", ("engine", *TRAINING), options)
    engine = check_choice("engine", engine, tasks.engines)
    return _train(pretrained, tasks, X, y, engine, training)


def linear_transfer(
    pretrained: Network,
    tasks: Tasks,
    X: Any,
    y: Float[ArrayLike, " n"],
    *,
    ridge: ArrayLike = 0.0,
    engine: str = "auto",
    cutoff: ArrayLike | None = None,
    **options: Any,
) -> Result:
    r"""Fit a new last layer on the frozen features of a pretrained network.

    .. math:: \min_b \tfrac1n \|Z b - y\|^2 + \text{ridge} \, \|b\|^2, \qquad Z = X F

    on the features :math:`F = W_1 \cdots W_{L-1}` of a linear network, or the features
    :math:`Z = \operatorname{relu}(X W^T)` of a ReLU network, where :math:`b = c / m`; the
    minimum-norm solution without ridge. `fatelib.relu.feature_spectrum` and
    `fatelib.theory.ridge_risk` predict its risk.

    After pretraining a linear network from a small scale F is one direction and, in all others,
    what is left of the initial weights. Minimum-norm interpolation would blow these remains up
    until they fit the noise, which no training of finite length does. So the singular directions
    of F below `cutoff` times the largest count as absent.

    The solution is as accurate as the data allow: within ten times what a relative error
    :math:`\epsilon` of inputs, layers and labels makes of it to first order, a share

    .. math::
        \epsilon \, \frac{\|X\| \|W_1\| \cdots \|W_{L-1}\|}{s}
        \Big( 1 + \frac{\|y - Z b\|}{s \|b\|} \Big)

    of its norm, with the least singular value s of Z (for a ridge, of Z and the root of
    :math:`\text{ridge} \, n \, I` below it), 1.2e-7 in float32. Singular values within
    rounding of zero, :math:`2 \epsilon \sqrt{n + h}` of the largest for h features, count as zero.

    Args:
        pretrained: The pretrained network.
        tasks: The tasks; only the target is used, to compute the risk.
        X: Target inputs, (n, d).
        y: Target labels, (n,).
        ridge: Coefficient of the squared norm of the last layer; a number.
        engine: "limit" solves the least-squares problem, and "auto" takes it; "descent" trains the
            last layer from zero by gradient descent, which converges to the same solution, slowly
            where features differ much in size.
        cutoff: Relative size, a number in [0, 1), below which a singular direction counts as
            absent: of F, by default 1e-3, or of Z for a ReLU network, by default the square root of
            the cutoff of `fatelib.relu.feature_spectrum`: the same share of the largest eigenvalue,
            so that with many samples both count the same features. The remainder of the initial
            weights reaches about twice their scale in a two-layer linear network: 1e-3 suits scales
            up to 3e-4. For larger ones raise it or use a ridge.
        **options: How to train, with ``engine="descent"`` only: ``learning_rate``, ``steps``,
            ``tolerance``, ``absolute_tolerance`` and ``record_every``, as in `fatelib.train`.

    Returns:
        The result; its network has the pretrained features and the new last layer.

    Raises:
        ValueError: A negative ridge or cutoff, an unknown engine, an option without effect, or
            network and tasks are not of one kind.
        TypeError: An option that training does not know, or an argument of another type.
        FloatingPointError: Training diverged; see `fatelib.train`.

    Source:
        Theorem 3.7 (eq. 10 and 13) of Tahir et al. (2025).

    Example:
        >>> import jax
        >>> from fatelib.linear import DeepLinear, LinearTasks, pretrain
        >>> tasks = LinearTasks.at_angle(jax.random.key(0), 30, 0.5)
        >>> pretrained, _ = pretrain(DeepLinear.init(jax.random.key(1), 30), tasks.beta_source)
        >>> X, y = tasks.sample(jax.random.key(2), 1000)
        >>> risk = linear_transfer(pretrained, tasks, X, y).risk
        >>> round(float(risk), 2), round(float(jax.numpy.sin(0.5) ** 2), 2)
        (0.23, 0.23)
    """
    _check_tasks(pretrained, tasks)
    ridge = check_number("ridge", ridge, *AT_LEAST_0)
    if cutoff is not None:
        cutoff = check_number("cutoff", cutoff, lambda c: (c >= 0) & (c < 1), "a number in [0, 1)")
    engine = check_choice("engine", engine, ("auto", "limit", "descent"))
    training = Options.of("linear_transfer", ("ridge", "engine", "cutoff", *LOOP), options)
    if engine != "descent":
        training.refuse(LOOP, "unless engine='descent'")
    network, X, y = tasks.read_data(pretrained, X, y)
    strength = jnp.asarray(ridge, y.dtype)
    share = None if cutoff is None else jnp.asarray(cutoff, y.dtype)
    history = None
    if engine != "descent":
        network = _solve(network, X, y, strength, share)
    else:
        training = dataclasses.replace(training, layers="last").as_arrays(y.dtype)
        network, history, stable = _descend(network, X, y, strength, share, training)
        history = report(history, lambda: stable)
    return _result(tasks, X, y, network, history)


def _train(network: Network, tasks: Tasks, X: Any, y: Any, engine: str, options: Options) -> Result:
    """Train all layers, or those that the options name."""
    network, X, y = tasks.read_data(network, X, y)
    return _result(tasks, X, y, *tasks.train(network, X, y, engine, options))


@eqx.filter_jit
def _solve(network: Network, X: Any, y: Array, ridge: Array, cutoff: Array | None) -> Network:
    """Return the network with the last layer of ridge regression on its features."""
    problem = network.regression(X, cutoff, "limit")

    def outputs(last: Array) -> Array:
        """Those of the network itself, without what the basis of Z has rounded."""
        return network.with_last_layer(problem.lift(last)).outputs(X)

    root = problem.samples**0.5
    last = _regress(problem.Z, y, root, outputs, ridge, problem.cutoff)
    return network.with_last_layer(problem.lift(last))


@eqx.filter_jit
def _descend(
    network: Network, X: Any, y: Array, ridge: Array, cutoff: Array | None, options: Options
) -> tuple[Network, History, Array]:
    """Train the last layer from zero, on the loss with its ridge; return a stable rate too."""
    problem = network.regression(X, cutoff, "descent")
    root, unit = problem.samples**0.5, problem.pace**0.5
    loss = Quadratic.of(problem.Z * (unit / root), y / root)
    # The gradient of ridge * |b|^2 is 2 * ridge * b.
    options = dataclasses.replace(options, weight_decay=2 * problem.pace * ridge)
    start = jnp.zeros(problem.Z.shape[1], y.dtype)
    last, history, stable = train_last_layer(loss, start, options)
    return network.with_last_layer(problem.lift(unit * last)), history, stable


def _regress(
    Z: Array,
    y: Array,
    root: Number,
    outputs: Callable[[Array], Array],
    ridge: Array,
    cutoff: Array,
) -> Array:
    """Ridge regression on features Z, in units in which squares neither underflow nor overflow.

    A step of Newton's method on what the last layer puts out takes off most of what the
    decomposition of Z has rounded; the root is that of the number of samples.
    """
    unit, size = _unit(Z), _unit(y)
    loss = Quadratic.of(Z / unit / root, y / size / root)
    # Beyond 1e30 it leaves nothing of the features anyhow.
    ridge = jnp.minimum(ridge / jnp.maximum(unit**2, jnp.finfo(unit.dtype).tiny), 1e30)
    kept = loss.curvature > cutoff**2 * loss.top
    inverse = jnp.where(kept, 1 / jnp.where(kept, loss.curvature + ridge, 1), 0)

    def objective(last: Array) -> Array:
        misses = (outputs(last) / unit - y / size) / root
        return (jnp.sum(misses**2) + ridge * jnp.sum(last**2)) / 2

    last = loss.lift(inverse * loss.curvature * loss.minimiser)
    last -= loss.lift(inverse * loss.project(jax.grad(objective)(last)))
    return size * last / unit


def _unit(values: Array) -> Array:
    """Return a power of two of the size of the largest entry."""
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(values)))
    unit = jnp.exp2(jnp.floor(jnp.log2(jnp.where(largest > 0, largest, 1))))
    return jnp.maximum(unit, jnp.finfo(values.dtype).tiny)


def _check_tasks(pretrained: Any, tasks: Any) -> None:
    check_type("tasks", tasks, Tasks, "the tasks of a family, a fatelib.family.Tasks")
    tasks.check(pretrained)


@eqx.filter_jit
def _result(tasks: Tasks, X: Any, y: Any, network: Network, history: History | None) -> Result:
    return Result(
        network=network,
        risk=tasks.risk(network),
        loss=network.loss(X, y),
        converged=jnp.array(True) if history is None else history.converged,
        steps=jnp.array(0) if history is None else history.steps_taken,
        engine="limit" if history is None else history.engine,
    )
