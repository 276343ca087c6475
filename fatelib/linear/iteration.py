"""The loop of full-batch gradient descent, whatever state it acts on.

The engines (`fatelib.linear.descent`, `gram`, `spectral`) say what a block of steps does to their
state. This loop makes records, decides when to stop and notices divergence.

It stands still only at records, every `record_every` steps: in a batch, where a `while_loop` must
select between old and new for the networks that have finished, the selection then costs nothing
beside the steps.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from fatelib.linear.network import DeepLinear
from fatelib.linear.quadratic import Loss

__all__ = ["History", "Iteration", "descend"]

# Loss this many times that of the zero network (or of the start, if larger): diverged.
_GROWTH = 10.0


class History(eqx.Module):
    """What happened in training; one record at step 0 and one every `record_every` steps.

    Outside of `jax.vmap` and `jax.jit` the arrays hold the records made. Inside them their length
    must be fixed: the records after the stop are NaN.

    Attributes:
        steps: Step of each record, (r,), as floats; gradient flow counts its time in steps.
        loss: Training loss at each record, (r,); without the weight-decay penalty.
        observed: What `observe` returned, with a leading axis of r records; or None.
        steps_taken: Number of steps taken; 0 for the limit, which takes none.
        converged: Whether the tolerance was met.
        diverged: Whether the loss grew beyond bounds; the trained weights are then NaN.
        learning_rate: The learning rate used. Gradient-flow time is learning_rate * steps.
        minimum: The smallest training loss that any weights can reach.
        engine: The engine that did it.
    """

    steps: Float[Array, " r"]
    loss: Float[Array, " r"]
    observed: Any
    steps_taken: Int[Array, ""]
    converged: Bool[Array, ""]
    diverged: Bool[Array, ""]
    learning_rate: Float[Array, ""]
    minimum: Float[Array, ""]
    engine: str = eqx.field(static=True)


class Iteration(eqx.Module):
    """Gradient descent on one state: what the loop needs to know.

    Attributes:
        loss: The loss of the linear map.
        engine: Name of the engine.
        block: The largest number of steps that `advance` should take at once.
    """

    loss: eqx.AbstractVar[Loss]
    engine: ClassVar[str]
    block: ClassVar[int]

    @property
    @abstractmethod
    def depth(self) -> int:
        """Number of weight matrices."""

    @abstractmethod
    def start(self) -> Any:
        """Return the initial state."""

    @abstractmethod
    def advance(self, state: Any, length: int, rate: Callable[[Any], Array], decay: Array) -> Any:
        """Take `length` steps; the j-th has the learning rate ``rate(j)``, where 0 is no step."""

    @abstractmethod
    def coordinates(self, state: Any) -> Array:
        """Return the linear map in the coordinates of the loss."""

    @abstractmethod
    def norms2(self, state: Any) -> tuple[Array, Array]:
        """Return squared norms: of the map's part that the loss never sees, of all weights."""

    @abstractmethod
    def network(self, state: Any) -> DeepLinear:
        """Return the network in this state."""


class _Progress(NamedTuple):
    state: Any
    step: Array
    record: Array
    converged: Array
    diverged: Array
    series: tuple[Array, Array, Any]  # steps, loss, observed


def descend(
    iteration: Iteration,
    rate: Array,
    tolerance: Array,
    decay: Array,
    steps: int,
    record_every: int,
    observe: Callable[[DeepLinear], Any] | None,
) -> tuple[DeepLinear, History]:
    """Run gradient descent in one loop on the device; `fatelib.train` says what stops it."""
    loss, depth, dtype = iteration.loss, iteration.depth, rate.dtype
    zero = loss.zero

    def stationary(state: Any) -> Array:
        """Whether data and weight decay are in balance, or the decay has won."""
        beta = iteration.coordinates(state)
        outside2, squares = iteration.norms2(state)
        norm = jnp.sqrt(jnp.sum(beta**2) + outside2)
        pull = decay * norm ** (2 / depth - 2)
        residual = jnp.sum((loss.gradient(beta) + pull * beta) ** 2)
        # A ridge problem of this pull is no further above its minimum than |gradient|^2 / (2 pull).
        # The bound would let a plateau near zero pass, where the pull of deep networks is infinite.
        balance = residual + pull**2 * outside2 <= jnp.minimum(2 * pull, 1) * tolerance
        if depth == 1:
            return balance
        # The sum N of the squared weights obeys dN/dt <= 2 N (|G| (N/L)^(L/2 - 1) - decay), with
        # G the gradient at zero: where the bracket is negative, zero is where this ends.
        push = jnp.linalg.norm(loss.gradient(zero)) * (squares / depth) ** (depth / 2 - 1)
        return balance | ((push <= decay) & (loss.top * norm**2 <= tolerance))

    def examine(progress: _Progress, bound: ArrayLike) -> _Progress:
        """Make a record and decide whether to stop."""
        state = progress.state
        excess = loss.excess(iteration.coordinates(state))
        diverged = ~(excess <= bound)  # true also where the loss is not a number
        converged = jnp.where(decay > 0, stationary(state), excess <= tolerance) & ~diverged
        seen = None if observe is None else observe(iteration.network(state))
        values = jax.tree.map(
            lambda value: jnp.where(diverged, jnp.nan, value), (excess + loss.minimum, seen)
        )
        series = jax.tree.map(
            lambda column, value: column.at[progress.record].set(value),
            progress.series,
            (progress.step, *values),
        )
        return progress._replace(
            record=progress.record + 1, converged=converged, diverged=diverged, series=series
        )

    longest = min(iteration.block, record_every)
    block = max(k for k in range(1, longest + 1) if record_every % k == 0)

    def advance(_: Any, progress: _Progress) -> _Progress:
        # Steps beyond the last one do nothing, so that every block has one length.
        left = steps - progress.step
        rates = lambda j: jnp.where(j < left, rate, 0)  # noqa: E731
        state = iteration.advance(progress.state, block, rates, decay)
        return progress._replace(state=state, step=jnp.minimum(progress.step + block, steps))

    records = -(-steps // record_every) + 1
    state = iteration.start()
    count, no, one = jnp.zeros((), int), jnp.zeros((), bool), jnp.ones((), dtype)
    kinds = (
        one,
        one,
        None
        if observe is None
        else jax.eval_shape(lambda state: observe(iteration.network(state)), state),
    )
    series = jax.tree.map(
        lambda value: jnp.full((records, *value.shape), jnp.nan, jnp.result_type(value, dtype)),
        kinds,
    )
    bound = _GROWTH * jnp.maximum(loss.excess(iteration.coordinates(state)), loss.excess(zero))
    progress = examine(_Progress(state, count, count, no, no, series), bound)
    progress = jax.lax.while_loop(
        lambda p: (p.step < steps) & ~p.converged & ~p.diverged,
        lambda p: examine(jax.lax.fori_loop(0, record_every // block, advance, p), bound),
        progress,
    )
    network = jax.tree.map(
        lambda weight: jnp.where(progress.diverged, jnp.nan, weight),
        iteration.network(progress.state),
    )
    history = History(
        *progress.series,
        steps_taken=progress.step,
        converged=progress.converged,
        diverged=progress.diverged,
        learning_rate=rate,
        minimum=loss.minimum,
        engine=iteration.engine,
    )
    return network, history
