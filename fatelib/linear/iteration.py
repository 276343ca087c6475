r"""The loop of full-batch gradient descent on deep linear networks: the plain iterates, cheaper.

With :math:`\beta = W_1 \cdots W_L` and the gradient G of the loss in :math:`\beta`, a step is

.. math::
    W_l \leftarrow W_l - \eta \big[ (W_1 \cdots W_{l-1})^T G \, (W_{l+1} \cdots W_L)^T
    + \text{decay} \, W_l \big].

Three facts make it cheap; none changes the iterates:

- Every gradient is an outer product, so matrix-vector products are enough: O(L d^2).
- Gradient descent commutes with rotations. In the singular basis of the inputs (`Quadratic`) the
  gradient costs O(d), and only min(n, d) rows of :math:`W_1` ever feel the data.
- Memory traffic is the limit. The outer products of several steps are kept as factors and written
  into the weights in one matrix product.

The loop stands still only at records, every `record_every` steps: in a batch, where a `while_loop`
must select between old and new for the networks that have finished, the selection then costs
nothing beside the steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from fatelib.linear.network import DeepLinear
from fatelib.linear.quadratic import Quadratic, product

__all__ = ["History", "descend"]

# Loss this many times that of the zero network (or of the start, if larger): diverged.
_GROWTH = 10.0
# Outer products held back before they are written; more cost more than they save.
_DELAY = 16


class History(eqx.Module):
    """What happened in training; one record at step 0 and one every `record_every` steps.

    Outside of `jax.vmap` and `jax.jit` the arrays hold the records made. Inside them their length
    must be fixed: the records after the stop are NaN.

    Attributes:
        steps: Step of each record, (r,), as floats.
        loss: Training loss at each record, (r,); without the weight-decay penalty.
        observed: What `observe` returned, with a leading axis of r records; or None.
        steps_taken: Number of steps taken.
        converged: Whether the tolerance was met.
        diverged: Whether the loss grew beyond bounds; the trained weights are then NaN.
        learning_rate: The learning rate used. Gradient-flow time is learning_rate * steps.
        minimum: The smallest training loss that any weights can reach.
    """

    steps: Float[Array, " r"]
    loss: Float[Array, " r"]
    observed: Any
    steps_taken: Int[Array, ""]
    converged: Bool[Array, ""]
    diverged: Bool[Array, ""]
    learning_rate: Float[Array, ""]
    minimum: Float[Array, ""]


class _State(NamedTuple):
    hidden: tuple[Array, ...]  # W_1 in the coordinates of the loss
    last: Array  # W_L as a vector; at depth 1 it is W_1
    shrink: Array  # what weight decay has left of the part of W_1 that the data never see
    step: Array
    record: Array
    converged: Array
    diverged: Array
    series: tuple[Array, Array, Any]  # steps, loss, observed


@eqx.filter_jit
def descend(
    network: DeepLinear,
    inputs: Array | None,
    targets: Array,
    learning_rate: Array | None,
    tolerance: Array,
    decay: Array,
    steps: int,
    record_every: int,
    layers: str,
    observe: Callable[[DeepLinear], Any] | None,
) -> tuple[DeepLinear, History, Array]:
    """Descend ``|inputs @ beta - targets|^2`` in one loop on the device."""
    depth, dtype = network.depth, targets.dtype
    frozen = network.weights[:-1] if layers == "last" else ()
    if frozen:
        depth = 1
        features = network.features()
        inputs = features if inputs is None else product(inputs, features)
    trained = network.weights[len(frozen) :]
    loss = Quadratic.of(inputs, targets)
    stable_rate = _stable_rate(trained, loss, decay)
    rate = stable_rate if learning_rate is None else learning_rate
    start = loss.project(trained[0])
    zero = jnp.zeros_like(loss.minimiser)

    def rebuild(state: _State) -> DeepLinear:
        first, *others = (*state.hidden, state.last[:, None])
        if loss.basis is not None:
            first = state.shrink * trained[0] + loss.lift(first - state.shrink * start)
        return DeepLinear((*frozen, first, *others))

    def stationary(state: _State) -> Array:
        """Whether data and weight decay are in balance, or the decay has won."""
        beta, rest = _suffixes(state)[:2]
        outside = state.shrink * (product(trained[0], rest) - loss.lift(product(start, rest)))
        norm = jnp.sqrt(jnp.sum(beta**2) + jnp.sum(outside**2))
        pull = decay * norm ** (2 / depth - 2)
        residual = jnp.sum((loss.gradient(beta) + pull * beta) ** 2)
        balance = residual + jnp.sum((pull * outside) ** 2) <= tolerance
        if depth == 1:
            return balance
        # The sum N of the squared weights obeys dN/dt <= 2 N (|G| (N/L)^(L/2 - 1) - decay), with
        # G the gradient at zero: where the bracket is negative, zero is where this ends.
        squares = sum(jnp.sum(weight**2) for weight in (*state.hidden, state.last))
        squares += state.shrink**2 * (jnp.sum(trained[0] ** 2) - jnp.sum(start**2))
        push = jnp.linalg.norm(loss.gradient(zero)) * (squares / depth) ** (depth / 2 - 1)
        return balance | ((push <= decay) & (jnp.max(loss.curvature) * norm**2 <= tolerance))

    def examine(state: _State, bound: ArrayLike) -> _State:
        """Make a record and decide whether to stop."""
        excess = loss.excess(_suffixes(state)[0])
        diverged = ~(excess <= bound)  # true also where the loss is not a number
        converged = jnp.where(decay > 0, stationary(state), excess <= tolerance) & ~diverged
        seen = None if observe is None else observe(rebuild(state))
        values = jax.tree.map(
            lambda value: jnp.where(diverged, jnp.nan, value), (excess + loss.minimum, seen)
        )
        series = jax.tree.map(
            lambda column, value: column.at[state.record].set(value),
            state.series,
            (state.step, *values),
        )
        record = state.record + 1
        return state._replace(record=record, converged=converged, diverged=diverged, series=series)

    records = -(-steps // record_every) + 1
    count = jnp.zeros((), int)
    no = jnp.zeros((), bool)
    one = jnp.ones((), dtype)
    state = _State(
        (start, *trained[1:-1])[: depth - 1],
        jnp.ravel((start, *trained[1:])[-1]),
        one,
        count,
        count,
        no,
        no,
        (count, one, None),
    )
    series = (one, one, None if observe is None else jax.eval_shape(observe, network))
    empty = jax.tree.map(
        lambda value: jnp.full((records, *value.shape), jnp.nan, jnp.result_type(value, dtype)),
        series,
    )
    bound = _GROWTH * jnp.maximum(loss.excess(_suffixes(state)[0]), loss.excess(zero))
    state = examine(state._replace(series=empty), bound)

    delay = max(k for k in range(1, _DELAY + 1) if record_every % k == 0)

    def block(state: _State) -> _State:
        state = jax.lax.fori_loop(
            0,
            record_every // delay,
            lambda _, state: _advance(state, loss, rate, decay, steps, delay),
            state,
        )
        return examine(state, bound)

    state = jax.lax.while_loop(
        lambda state: (state.step < steps) & ~state.converged & ~state.diverged, block, state
    )
    network = jax.tree.map(
        lambda weight: jnp.where(state.diverged, jnp.nan, weight), rebuild(state)
    )
    history = History(
        *state.series, state.step, state.converged, state.diverged, rate, loss.minimum
    )
    return network, history, stable_rate


def _suffixes(state: _State) -> list[Array]:
    """Return W_1...W_L (in coordinates), W_2...W_L, ..., W_L and 1, as vectors."""
    products = [jnp.ones(1, state.last.dtype), state.last]
    for weight in reversed(state.hidden):
        products.append(product(weight, products[-1]))
    return products[::-1]


def _advance(
    state: _State, loss: Quadratic, rate: Array, decay: Array, steps: int, delay: int
) -> _State:
    """Take `delay` steps, and write their outer products into the weights at once.

    In between, a hidden weight is ``scale * weight - left.T @ right``.
    """

    def step(j: Any, carry: Any) -> Any:
        factors, last, scale, count = carry
        # Steps beyond the last one do nothing, so that every block has one length.
        eta = jnp.where(count < steps, rate, 0)
        keep = 1 - eta * decay
        suffixes = [last]
        for weight, (left, right) in zip(reversed(state.hidden), reversed(factors), strict=True):
            x = suffixes[-1]
            suffixes.append(scale * product(weight, x) - product(product(right, x), left))
        gradient = loss.gradient(suffixes.pop())
        grown = []
        for weight, (left, right) in zip(state.hidden, factors, strict=True):
            grown.append(((keep * left).at[j].set(eta * gradient), right.at[j].set(suffixes.pop())))
            gradient = scale * product(gradient, weight) - product(product(left, gradient), right)
        last = keep * last - eta * gradient
        return tuple(grown), last, keep * scale, jnp.minimum(count + 1, steps)

    factors = tuple(
        tuple(jnp.zeros((delay, size), rate.dtype) for size in weight.shape)
        for weight in state.hidden
    )
    carry = (factors, state.last, jnp.ones_like(rate), state.step)
    factors, last, scale, count = jax.lax.fori_loop(0, delay, step, carry)
    hidden = tuple(
        scale * weight - product(left.T, right)
        for weight, (left, right) in zip(state.hidden, factors, strict=True)
    )
    return state._replace(hidden=hidden, last=last, shrink=scale * state.shrink, step=count)


def _stable_rate(weights: tuple[Array, ...], loss: Quadratic, decay: Array) -> Array:
    """Return half of the largest stable learning rate; the formula is in `train`."""
    depth = len(weights)
    norms = [_spectral_norm(weight) for weight in weights]
    beta = DeepLinear(weights).end_to_end()
    inside = loss.project(beta)
    outside = jnp.maximum(jnp.sum(beta**2) - jnp.sum(inside**2), 0)
    reach = jnp.maximum(jnp.sum(loss.minimiser**2), jnp.sum(inside**2))
    balanced = jnp.sqrt(reach + outside) ** (1 / depth)

    def without(norms: list[Array], *left_out: int) -> Array:
        kept = [norm for layer, norm in enumerate(norms) if layer not in left_out]
        return jnp.prod(jnp.stack([jnp.ones_like(decay), *kept]))

    def jacobian(norms: list[Array]) -> Array:
        return jnp.sum(jnp.stack([without(norms, l) ** 2 for l in range(depth)]))

    pairs = [without(norms, l, m) for l in range(depth) for m in range(l)]
    bend = (depth - 1) * jnp.max(jnp.stack([jnp.zeros_like(decay), *pairs]))
    first = jacobian(norms) + bend * jnp.linalg.norm(inside - loss.minimiser)
    end = jacobian([jnp.maximum(norm, balanced) for norm in norms])
    curvature = decay + 2 * jnp.max(loss.curvature) * jnp.maximum(first, end)
    return jnp.where(curvature > 0, 1 / curvature, 1)


def _spectral_norm(matrix: Array) -> Array:
    """Largest singular value by power iteration; a few per cent low at worst."""
    # Any fixed vector in general position will do; a constant keeps the compiled code small.
    x = jnp.asarray(np.random.default_rng(0).normal(size=matrix.shape[1]), matrix.dtype)

    def iterate(_: Any, x: Array) -> Array:
        x = product(product(matrix, x), matrix)
        return x / jnp.maximum(jnp.linalg.norm(x), jnp.finfo(x.dtype).tiny)

    return jnp.linalg.norm(product(matrix, jax.lax.fori_loop(0, 30, iterate, x)))
