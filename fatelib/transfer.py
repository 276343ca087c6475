r"""The ways to learn a target task, with and without a pretrained network.

`scratch` trains anew, `linear_transfer` fits a new last layer on frozen features, `fine_tune` goes
on training all layers. Each takes one pretrained network, linear or ReLU, and one data set, and
returns one `Result`; batches come from `jax.vmap`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from fatelib import relu
from fatelib.arguments import (
    AT_LEAST_0,
    check,
    check_choice,
    check_count,
    check_key,
    check_type,
)
from fatelib.iteration import History
from fatelib.linear.bidiagonal import Bidiagonal, BidiagonalLoss
from fatelib.linear.network import DeepLinear
from fatelib.linear.quadratic import Quadratic, product
from fatelib.linear.training import Engine, loss_of, read_data, train
from fatelib.relu.features import faintest
from fatelib.relu.network import ReluNetwork
from fatelib.relu.tasks import ReluTasks
from fatelib.relu.training import read_samples
from fatelib.tasks import LinearTasks

__all__ = ["Result", "fine_tune", "linear_transfer", "scratch"]

Network = DeepLinear | ReluNetwork
Tasks = LinearTasks | ReluTasks
# Options of training that linear transfer sets itself.
_OWN = ("layers", "weight_decay")


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
    X: Float[ArrayLike, "n d"] | Bidiagonal,
    y: Float[ArrayLike, " n"],
    *,
    depth: int = 2,
    width: int | None = None,
    scale: ArrayLike | None = None,
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
        depth: Number of weight matrices.
        width: Hidden width; by default d, and ten neurons for each of a ReLU teacher.
        scale: Scale of the initial weights, a number; by default 1e-5, and neurons of norm 1 for
            ReLU tasks.
        engine: As in `fatelib.train`; bidiagonal inputs need one that starts in one direction, and
            ``auto`` takes ``spectral`` for them. ReLU networks know ``descent`` alone.
        **options: Passed on to `fatelib.train` or, for ReLU tasks, `fatelib.relu.train`.

    Returns:
        The result.

    Raises:
        ValueError: An argument is impossible, or not one of these tasks.
        TypeError: An option that training does not know, or tasks of another type.
        FloatingPointError: Training diverged; see `fatelib.train`.

    Source:
        Theorems 3.5 and 3.6 of Tahir et al. (2025).

    Example:
        >>> import jax
        >>> tasks = LinearTasks.at_angle(jax.random.key(0), 30, 0.5)
        >>> X, y = tasks.sample(jax.random.key(1), 60)
        >>> result = scratch(jax.random.key(2), tasks, X, y)
        >>> bool(result.converged), round(float(result.risk), 3)
        (True, 0.0)
    """
    check_key("key", key)
    check_type("tasks", tasks, (LinearTasks, ReluTasks), "LinearTasks or ReluTasks")
    _check_options(options, scratch, tasks)
    check_count("depth", depth)
    check_choice("engine", engine, get_args(Engine))
    if scale is not None:
        check("scale", scale, *AT_LEAST_0, shape=())
    if isinstance(tasks, ReluTasks):
        if depth != 2 or engine not in ("auto", "descent"):
            raise ValueError(
                "depth must be 2 and engine 'auto' or 'descent' for ReLU tasks; "
                f"got {depth} and {engine!r}"
            )
        d, neurons = tasks.target.W.shape[-1], tasks.target.W.shape[-2]
        student = ReluNetwork.init(
            key, d, 10 * neurons if width is None else width, 1.0 if scale is None else scale
        )
        _check_kind(student, tasks, X)
        return _result(tasks, X, y, *_train_relu(student, X, y, options))
    scale = 1e-5 if scale is None else scale
    if engine == "auto" and isinstance(X, Bidiagonal):
        engine = "spectral"
    if engine in ("spectral", "flow", "limit"):
        check("scale", scale, lambda s: s > 0, f"a number > 0 for {engine!r}")
        X, y = read_data(DeepLinear.balanced(tasks.beta_target), X, y)
        unit = DeepLinear.balanced(_direction(X, y), depth)
        network = jax.tree.map(lambda weight: scale * weight, unit)  # scale**depth may underflow
    else:
        network = DeepLinear.init(key, tasks.d, depth, width, scale)
    return _result(tasks, X, y, *train(network, X, y, engine=engine, **options))


def fine_tune(
    pretrained: Network,
    tasks: Tasks,
    X: Float[ArrayLike, "n d"] | Bidiagonal,
    y: Float[ArrayLike, " n"],
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
        **options: Passed on to `fatelib.train` or, for a ReLU network, `fatelib.relu.train`.

    Returns:
        The result.

    Raises:
        ValueError: An argument is impossible, or network and tasks are not of one kind.
        TypeError: An option that training does not know, or an argument of another type.
        FloatingPointError: Training diverged; see `fatelib.train`.

    Source:
        Theorem 3.9 of Tahir et al. (2025), where :math:`\kappa = 1`.

    Example:
        >>> import jax
        >>> from fatelib.linear import pretrain
        >>> tasks = LinearTasks.at_angle(jax.random.key(0), 30, 0.5)
        >>> pretrained, _ = pretrain(DeepLinear.init(jax.random.key(1), 30), tasks.beta_source)
        >>> X, y = tasks.sample(jax.random.key(2), 15)
        >>> result = fine_tune(pretrained, tasks, X, y)
        >>> bool(result.risk < tasks.risk(pretrained.end_to_end()))
        True
    """
    _check_kind(pretrained, tasks, X)
    _check_options(options, fine_tune, pretrained)
    if isinstance(pretrained, ReluNetwork):
        return _result(tasks, X, y, *_train_relu(pretrained, X, y, options))
    return _result(tasks, X, y, *train(pretrained, X, y, **options))


def linear_transfer(
    pretrained: Network,
    tasks: Tasks,
    X: Float[ArrayLike, "n d"] | Bidiagonal,
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
        **options: Passed on to `fatelib.train` or `fatelib.relu.train`, with ``engine="descent"``
            only.

    Returns:
        The result; its network has the pretrained features and the new last layer.

    Raises:
        ValueError: A negative ridge or cutoff, an unknown engine, or network and tasks are not of
            one kind.
        TypeError: An option that training does not know, or an argument of another type.
        FloatingPointError: Training diverged; see `fatelib.train`.

    Source:
        Theorem 3.7 (eq. 10 and 13) of Tahir et al. (2025).

    Example:
        >>> import jax
        >>> from fatelib.linear import pretrain
        >>> tasks = LinearTasks.at_angle(jax.random.key(0), 30, 0.5)
        >>> pretrained, _ = pretrain(DeepLinear.init(jax.random.key(1), 30), tasks.beta_source)
        >>> X, y = tasks.sample(jax.random.key(2), 1000)
        >>> risk = linear_transfer(pretrained, tasks, X, y).risk
        >>> round(float(risk), 2), round(float(jax.numpy.sin(0.5) ** 2), 2)
        (0.23, 0.23)
    """
    _check_kind(pretrained, tasks, X)
    check("ridge", ridge, *AT_LEAST_0, shape=())
    if cutoff is not None:
        check("cutoff", cutoff, lambda c: (c >= 0) & (c < 1), "a number in [0, 1)", shape=())
    check_choice("engine", engine, ("auto", "limit", "descent"))
    for name in _OWN:
        if name in options:
            raise ValueError(
                f"{name} is not an option of linear_transfer: it trains the last layer"
            )
    _check_options(options, linear_transfer, pretrained)
    if engine != "descent" and options:
        raise ValueError(f"engine must be 'descent' for the options {sorted(options)}")
    if isinstance(pretrained, ReluNetwork):
        return _relu_transfer(pretrained, tasks, X, y, ridge, engine, cutoff, options)
    inputs, labels = read_data(pretrained, X, y)
    cutoff = 1e-3 if cutoff is None else cutoff
    features, basis = _leading(pretrained, jnp.asarray(cutoff, labels.dtype))
    history = None
    if engine != "descent":
        last = _solve(features, inputs, labels, jnp.asarray(ridge, labels.dtype))
    else:
        head = jnp.zeros((features.shape[1], 1), features.dtype)
        # The gradient of ridge * |b|^2 is 2 * ridge * b.
        options = {**options, "engine": engine, "layers": "last", "weight_decay": 2 * ridge}
        trained, history = train(DeepLinear((features, head)), inputs, labels, **options)
        last = trained.weights[-1]
    network = DeepLinear((*pretrained.weights[:-1], product(basis.T, last)))
    return _result(tasks, inputs, labels, network, history)


def _train_relu(
    network: ReluNetwork, X: Any, y: Any, options: dict[str, Any]
) -> tuple[ReluNetwork, History]:
    return relu.train(network, X, y, **options)


def _relu_transfer(
    pretrained: ReluNetwork,
    tasks: Tasks,
    X: Any,
    y: Any,
    ridge: ArrayLike,
    engine: str,
    cutoff: ArrayLike | None,
    options: dict[str, Any],
) -> Result:
    """Fit the output weights of a ReLU network."""
    network, inputs, labels = read_samples(pretrained, X, y)
    if engine == "descent":
        start = ReluNetwork(network.W, jnp.zeros_like(network.c))
        decay = 2 * jnp.asarray(ridge, labels.dtype) / len(network.c)
        options = {**options, "layers": "last", "weight_decay": decay}
        return _result(tasks, inputs, labels, *_train_relu(start, inputs, labels, options))
    if cutoff is None:
        cutoff = faintest(len(network.c), labels.dtype) ** 0.5
    smallest = jnp.asarray(cutoff, labels.dtype)
    fitted = _solve_last(network, inputs, labels, jnp.asarray(ridge, labels.dtype), smallest)
    return _result(tasks, inputs, labels, fitted, None)


@eqx.filter_jit
def _solve_last(
    network: ReluNetwork, X: Array, y: Array, ridge: Array, cutoff: Array
) -> ReluNetwork:
    loss = loss_of(network.features(X), y)
    assert isinstance(loss, Quadratic)
    kept = loss.curvature > cutoff**2 * loss.top
    shrinkage = jnp.where(kept, loss.curvature / jnp.where(kept, loss.curvature + ridge, 1), 0)
    return ReluNetwork(network.W, len(network.c) * loss.lift(shrinkage * loss.minimiser))


@eqx.filter_jit
def _leading(network: DeepLinear, cutoff: Array) -> tuple[Array, Array]:
    """Return features in their singular basis, those below the cutoff zero, and the basis."""
    U, S, basis = jnp.linalg.svd(network.features(), full_matrices=False)
    S = jnp.where(cutoff * S[0] < S, S, 0)
    return U * S[None, :], basis


@eqx.filter_jit
def _solve(features: Array, X: Array | Bidiagonal, y: Array, ridge: Array) -> Array:
    """Ridge regression on the features, by singular value decomposition."""
    loss = loss_of(X, y, features)
    assert isinstance(loss, Quadratic)
    shrinkage = loss.curvature / jnp.where(loss.curvature > 0, loss.curvature + ridge, 1)
    return loss.lift(shrinkage * loss.minimiser)[:, None]


@eqx.filter_jit
def _direction(X: Any, y: Any) -> Array:
    """Return the unit vector along X^T y: minus the gradient at the zero map."""
    if isinstance(X, Bidiagonal):
        loss = BidiagonalLoss.of(X, y)
        pull = -loss.gradient(loss.zero)
    else:
        pull = product(y, X)
    norm = jnp.linalg.norm(pull)
    return pull / jnp.where(norm > 0, norm, 1)


def _check_options(
    options: Mapping[str, Any], protocol: Callable[..., Result], learner: Network | Tasks
) -> None:
    """Raise unless training knows the options that a protocol passes on to it."""
    if not options:
        return
    training = relu.train if isinstance(learner, ReluNetwork | ReluTasks) else train
    own, passed = (
        [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind == p.KEYWORD_ONLY
        ]
        for function in (protocol, training)
    )
    for name in options:
        if name not in passed:
            hidden = _OWN if protocol is linear_transfer else ()
            known = [option for option in dict.fromkeys([*own, *passed]) if option not in hidden]
            raise TypeError(
                f"{name} is no option of {protocol.__name__}, which takes {', '.join(known)}"
            )


def _check_kind(pretrained: Network, tasks: Tasks, X: Any) -> None:
    check_type("tasks", tasks, (LinearTasks, ReluTasks), "LinearTasks or ReluTasks")
    kinds = (DeepLinear, ReluNetwork)
    check_type("pretrained", pretrained, kinds, "a DeepLinear or a ReluNetwork")
    if isinstance(pretrained, ReluNetwork) != isinstance(tasks, ReluTasks):
        raise ValueError(
            "pretrained and tasks must be a ReluNetwork and ReluTasks, or a DeepLinear and "
            f"LinearTasks; got {type(pretrained).__name__} and {type(tasks).__name__}"
        )
    if isinstance(pretrained, ReluNetwork) and isinstance(X, Bidiagonal):
        raise ValueError("X must be an array (n, d) for ReLU networks; got Bidiagonal inputs")


@eqx.filter_jit
def _result(tasks: Tasks, X: Any, y: Any, network: Network, history: History | None) -> Result:
    if isinstance(network, ReluNetwork):
        assert isinstance(tasks, ReluTasks)
        outputs = product(network.features(X), network.c) / len(network.c)
        samples, risk = len(y), tasks.risk(network)
    else:
        assert isinstance(tasks, LinearTasks)
        beta = network.end_to_end()
        sparse = isinstance(X, Bidiagonal)
        outputs, samples = (X @ beta, X.samples) if sparse else (product(X, beta), len(y))
        risk = tasks.risk(beta)
    return Result(
        network=network,
        risk=risk,
        loss=jnp.sum((outputs - y) ** 2) / samples,
        converged=jnp.array(True) if history is None else history.converged,
        steps=jnp.array(0) if history is None else history.steps_taken,
        engine="limit" if history is None else history.engine,
    )
