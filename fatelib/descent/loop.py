"""The loop of full-batch gradient descent, whatever network it trains.

An `Iteration` says what a block of steps does to its state. This loop makes records, decides when
to stop and notices divergence.

It stands still only at records, every `record_every` steps: in a batch, where the old is kept for
the networks that have finished, choosing between old and new then costs nothing beside the steps.
"""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PyTree

from fatelib.descent.batch import until
from fatelib.descent.options import Options

# What a block of steps changes, and the network that it stands for: pytrees of arrays.
State = TypeVar("State")
Network = TypeVar("Network")
Series = TypeVar("Series")

# Loss this many times that of the zero network (or of the start, if larger): diverged.
_GROWTH = 10.0


class History(eqx.Module):
    """What happened in training; one record at step 0 and one every `record_every` steps.

    Outside of `jax.vmap` and `jax.jit` the arrays hold the records made. Inside them their length
    must be fixed: the records after the stop repeat the last one.

    Attributes:
        steps: Step of each record, (r,), as floats; gradient flow counts its time in steps.
        loss: Training loss at each record, (r,); without the weight-decay penalty.
        observed: What `observe` returned, with a leading axis of r records; or None.
        steps_taken: Number of steps taken; 0 for the limit, which takes none.
        converged: Whether the tolerance was met; one truth value, a number.
        diverged: Whether the loss grew beyond bounds, or the solver of gradient flow gave up,
            likewise; the trained weights are then NaN.
        learning_rate: The learning rate used, a number. Gradient-flow time is
            learning_rate * steps.
        minimum: The smallest training loss that any weights can reach, a number; for ReLU networks,
            whose minimum nobody knows, the bound 0.
        engine: The engine that did it.

    Example:
        >>> from fatelib.linear import DeepLinear, pretrain
        >>> _, history = pretrain(DeepLinear.balanced(jnp.ones(3)), jnp.ones(3))
        >>> bool(history.converged), int(history.steps_taken), history.engine
        (True, 0, 'spectral')
    """

    steps: Float[Array, " r"]
    loss: Float[Array, " r"]
    observed: PyTree
    steps_taken: Int[Array, ""]
    converged: Bool[Array, ""]
    diverged: Bool[Array, ""]
    learning_rate: Float[Array, ""]
    minimum: Float[Array, ""]
    engine: str = eqx.field(static=True)


class Iteration(eqx.Module, Generic[State, Network]):
    """Gradient descent on one state: what the loop needs to know.

    Attributes:
        engine: Name of the engine.
        block: The largest number of steps that `advance` should take at once.
    """

    engine: ClassVar[str]
    block: ClassVar[int]

    @property
    @abstractmethod
    def minimum(self) -> Array:
        """The smallest training loss, or a lower bound."""

    @property
    @abstractmethod
    def worst(self) -> Array:
        """How far above the minimum the loss of the zero network is."""

    @abstractmethod
    def start(self) -> State:
        """Return the initial state."""

    @abstractmethod
    def advance(
        self, state: State, length: int, rate: Callable[[ArrayLike], Array], decay: Array
    ) -> State:
        """Take `length` steps; the j-th has the learning rate ``rate(j)``, where 0 is no step."""

    @abstractmethod
    def excess(self, state: State) -> Array:
        """Return the loss above its minimum."""

    @abstractmethod
    def stationary(self, state: State, tolerance: Array, decay: Array) -> Array:
        """Whether the loss and a positive weight decay are in balance."""

    @abstractmethod
    def network(self, state: State) -> Network:
        """Return the network in this state."""


class _Progress(eqx.Module, Generic[State]):
    """Where training is, at a record or between two."""

    state: State
    step: Array
    record: Array
    converged: Array
    diverged: Array
    series: tuple[Array, Array, PyTree]  # steps, loss, observed


class _Run(eqx.Module, Generic[State, Network]):
    """Training, from one record to the next."""

    iteration: Iteration[State, Network]
    rate: Array
    tolerance: Array
    decay: Array
    bound: Array
    decays: bool = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    record_every: int = eqx.field(static=True)
    observe: Callable[[Network], PyTree] | None = eqx.field(static=True)

    def finished(self, progress: _Progress[State]) -> Array:
        """Whether to stop."""
        return (progress.step >= self.steps) | progress.converged | progress.diverged

    def turn(self, progress: _Progress[State]) -> _Progress[State]:
        """Train up to the next record, and make it."""
        block = _block(self.record_every, self.iteration.block)
        end = jnp.minimum(progress.step + self.record_every, self.steps)

        def advance(_: ArrayLike, progress: _Progress[State]) -> _Progress[State]:
            # Steps beyond the record do nothing, so that every block has one length.
            left = end - progress.step
            rates = lambda j: jnp.where(j < left, self.rate, 0)  # noqa: E731
            state = self.iteration.advance(progress.state, block, rates, self.decay)
            return dataclasses.replace(
                progress, state=state, step=jnp.minimum(progress.step + block, end)
            )

        blocks = -(-self.record_every // block)
        return self.examine(jax.lax.fori_loop(0, blocks, advance, progress))

    def examine(self, progress: _Progress[State]) -> _Progress[State]:
        """Make a record and decide whether to stop."""
        state = progress.state
        excess = self.iteration.excess(state)
        diverged = ~(excess <= self.bound)  # true also where the loss is not a number
        converged = excess <= self.tolerance
        if self.decays:
            balanced = self.iteration.stationary(state, self.tolerance, self.decay)
            converged = jnp.where(self.decay > 0, balanced, converged)
        converged &= ~diverged
        seen = None if self.observe is None else self.observe(self.iteration.network(state))
        values = jax.tree.map(
            lambda value: jnp.where(diverged, jnp.nan, value),
            (excess + self.iteration.minimum, seen),
        )
        series = jax.tree.map(
            lambda column, value: column.at[progress.record].set(value),
            progress.series,
            (progress.step, *values),
        )
        return dataclasses.replace(
            progress,
            record=progress.record + 1,
            converged=converged,
            diverged=diverged,
            series=series,
        )


def _block(record_every: int, longest: int) -> int:
    """Divide the steps between two records into equal blocks, as few as `longest` allows."""
    longest = min(longest, record_every)
    for block in range(longest, longest // 2, -1):
        if record_every % block == 0:
            return block
    # None divides them: the last block has some steps too many, which do nothing.
    return -(-record_every // -(-record_every // longest))


def descend(
    iteration: Iteration[State, Network], rate: Array, options: Options
) -> tuple[Network, History]:
    """Run gradient descent in one loop on the device; `fatelib.train` says what stops it.

    Args:
        iteration: What a step does.
        rate: The learning rate.
        options: What else decides on a training, with numbers as arrays.

    Returns:
        The trained network and the history, whose last record is repeated to the end.
    """
    observe, decay = options.observe, jnp.asarray(options.weight_decay)
    steps, record_every = options.steps, min(options.record_every, max(options.steps, 1))
    records = -(-steps // record_every) + 1
    state = iteration.start()
    one = jnp.ones((), rate.dtype)
    kinds = (
        one,
        one,
        None
        if observe is None
        else jax.eval_shape(lambda state: observe(iteration.network(state)), state),
    )
    series = jax.tree.map(
        lambda value: jnp.zeros((records, *value.shape), jnp.result_type(value, one)),
        kinds,
    )
    bound = _GROWTH * jnp.maximum(iteration.excess(state), iteration.worst)
    tolerance = threshold(options, iteration.worst + iteration.minimum)
    run = _Run(
        iteration, rate, tolerance, decay, bound, options.decays, steps, record_every, observe
    )
    count, no = jnp.zeros((), int), jnp.zeros((), bool)
    progress = run.examine(_Progress(state, count, count, no, no, series))
    if observe is None:
        progress = until(_Run.finished, _Run.turn, run, progress)
    else:  # may refer to arrays of its own, which `until` would not see
        progress = jax.lax.while_loop(lambda p: ~run.finished(p), lambda p: run.turn(p), progress)
    network = jax.tree.map(
        lambda weight: jnp.where(progress.diverged, jnp.nan, weight),
        iteration.network(progress.state),
    )
    at, losses, observed = repeat_last(progress.series, progress.record)
    history = History(
        at,
        losses,
        observed,
        steps_taken=progress.step,
        converged=progress.converged,
        diverged=progress.diverged,
        learning_rate=rate,
        minimum=iteration.minimum,
        engine=iteration.engine,
    )
    return network, history


def threshold(options: Options, zero: Array) -> Array:
    """Return how far above its minimum the loss may end, given that of the zero network."""
    return options.tolerance * zero + options.absolute_tolerance


def repeat_last(series: Series, records: Array) -> Series:
    """Fill the records never made with the last one: a NaN there would look like a divergence."""

    def fill(column: Array) -> Array:
        return column[jnp.minimum(jnp.arange(len(column)), records - 1)]

    return jax.tree.map(fill, series)


def report(history: History, stable_rate: Callable[[], Array]) -> History:
    """Raise for a divergence, or drop the records never made; inside `jax.jit` do neither.

    Args:
        history: What `descend` returned.
        stable_rate: What gives a learning rate to advise.

    Returns:
        The history, without the records never made.

    Raises:
        FloatingPointError: Training diverged.
    """
    if isinstance(history.diverged, jax.core.Tracer):
        return history
    if history.diverged and history.engine == "flow":
        raise FloatingPointError(
            f"gradient flow was lost at step {int(history.steps_taken)}: its solver gave up, or "
            "the loss is not finite. Rescale inputs, labels or weights, or take engine 'spectral'"
        )
    if history.diverged:
        raise FloatingPointError(
            f"training diverged by step {int(history.steps_taken)} at learning rate "
            f"{float(history.learning_rate):.3g}; a stable one is {float(stable_rate()):.3g}"
        )
    records = 1 + int(np.sum(np.diff(history.steps) > 0))
    series = (history.steps, history.loss, history.observed)
    trimmed = jax.tree.map(lambda values: values[:records], series)
    return eqx.tree_at(lambda h: (h.steps, h.loss, h.observed), history, trimmed)
