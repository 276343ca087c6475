"""The loop of full-batch gradient descent, whatever network it trains.

An `Iteration` says what a block of steps does to its state. This loop makes records, decides when
to stop and notices divergence.

It stands still only at records, every `record_every` steps: in a batch, where the old is kept for
the networks that have finished, choosing between old and new then costs nothing beside the steps.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from fatelib.arguments import ABOVE_0, AT_LEAST_0, check, check_count, check_type
from fatelib.batch import until

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
        converged: Whether the tolerance was met; one truth value, a number.
        diverged: Whether the loss grew beyond bounds, likewise; the trained weights are then NaN.
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
    def start(self) -> Any:
        """Return the initial state."""

    @abstractmethod
    def advance(self, state: Any, length: int, rate: Callable[[Any], Array], decay: Array) -> Any:
        """Take `length` steps; the j-th has the learning rate ``rate(j)``, where 0 is no step."""

    @abstractmethod
    def excess(self, state: Any) -> Array:
        """Return the loss above its minimum."""

    @abstractmethod
    def stationary(self, state: Any, tolerance: Array, decay: Array) -> Array:
        """Whether the loss and a positive weight decay are in balance."""

    @abstractmethod
    def network(self, state: Any) -> Any:
        """Return the network in this state."""


class _Progress(NamedTuple):
    state: Any
    step: Array
    record: Array
    converged: Array
    diverged: Array
    series: tuple[Array, Array, Any]  # steps, loss, observed


class _Run(eqx.Module):
    """Training, from one record to the next."""

    iteration: Iteration
    rate: Array
    tolerance: Array
    decay: Array
    bound: Array
    steps: int = eqx.field(static=True)
    record_every: int = eqx.field(static=True)
    observe: Callable[[Any], Any] | None = eqx.field(static=True)

    def finished(self, progress: _Progress) -> Array:
        """Whether to stop."""
        return (progress.step >= self.steps) | progress.converged | progress.diverged

    def turn(self, progress: _Progress) -> _Progress:
        """Train up to the next record, and make it."""
        longest = min(self.iteration.block, self.record_every)
        block = max(k for k in range(1, longest + 1) if self.record_every % k == 0)

        def advance(_: Any, progress: _Progress) -> _Progress:
            # Steps beyond the last one do nothing, so that every block has one length.
            left = self.steps - progress.step
            rates = lambda j: jnp.where(j < left, self.rate, 0)  # noqa: E731
            state = self.iteration.advance(progress.state, block, rates, self.decay)
            step = jnp.minimum(progress.step + block, self.steps)
            return progress._replace(state=state, step=step)

        return self.examine(jax.lax.fori_loop(0, self.record_every // block, advance, progress))

    def examine(self, progress: _Progress) -> _Progress:
        """Make a record and decide whether to stop."""
        state = progress.state
        excess = self.iteration.excess(state)
        diverged = ~(excess <= self.bound)  # true also where the loss is not a number
        balanced = self.iteration.stationary(state, self.tolerance, self.decay)
        converged = jnp.where(self.decay > 0, balanced, excess <= self.tolerance) & ~diverged
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
        return progress._replace(
            record=progress.record + 1, converged=converged, diverged=diverged, series=series
        )


def descend(
    iteration: Iteration,
    rate: Array,
    tolerance: Array,
    decay: Array,
    steps: int,
    record_every: int,
    observe: Callable[[Any], Any] | None,
) -> tuple[Any, History]:
    """Run gradient descent in one loop on the device; `fatelib.train` says what stops it.

    Args:
        iteration: What a step does.
        rate: The learning rate.
        tolerance: Training stops this far above the minimum.
        decay: Coefficient of the weight decay.
        steps: The most steps to take.
        record_every: Steps between two records.
        observe: A function of the network to record, or None.

    Returns:
        The trained network and the history, with NaN for records that were never made.
    """
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
        lambda value: jnp.full((records, *value.shape), jnp.nan, jnp.result_type(value, one)),
        kinds,
    )
    bound = _GROWTH * jnp.maximum(iteration.excess(state), iteration.worst)
    run = _Run(iteration, rate, tolerance, decay, bound, steps, record_every, observe)
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
    history = History(
        *progress.series,
        steps_taken=progress.step,
        converged=progress.converged,
        diverged=progress.diverged,
        learning_rate=rate,
        minimum=iteration.minimum,
        engine=iteration.engine,
    )
    return network, history


def check_options(
    learning_rate: Any,
    steps: Any,
    tolerance: Any,
    weight_decay: Any = 0.0,
    record_every: Any = 1,
    name: str = "",
) -> None:
    """Raise unless the options of training are possible.

    Args:
        learning_rate: A number > 0, or None.
        steps: An integer >= 0.
        tolerance: A number >= 0.
        weight_decay: A number >= 0.
        record_every: An integer >= 1.
        name: What goes before their names in a message.

    Raises:
        TypeError: One of them is not numeric.
        ValueError: One of them is impossible.
    """
    if learning_rate is not None:
        check(f"{name}learning_rate", learning_rate, *ABOVE_0, shape=())
    check_count(f"{name}steps", steps, least=0)
    check(f"{name}tolerance", tolerance, lambda t: t >= 0, "a number >= 0", shape=())
    check(f"{name}weight_decay", weight_decay, *AT_LEAST_0, shape=())
    check_count(f"{name}record_every", record_every)


def changed(
    options: Mapping[str, Any], name: str, changes: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the options of training with other values of some of them, all checked.

    Args:
        options: The `learning_rate`, `steps` and `tolerance`.
        name: The name of the argument that holds the other values.
        changes: The other values, or None.

    Returns:
        A new dictionary.

    Raises:
        TypeError: `changes` is no dictionary.
        ValueError: It holds anything else, or a value is impossible.

    Example:
        >>> options = {"learning_rate": None, "steps": 100, "tolerance": 1e-6}
        >>> changed(options, "scratch_options", {"steps": 200})["steps"]
        200
    """
    check_type(name, changes, (Mapping, type(None)), f"a dictionary of {', '.join(options)}")
    unknown = [key for key in changes or {} if key not in options]
    if unknown:
        raise ValueError(f"{name} must be of {', '.join(options)}; got {unknown}")
    merged = {**options, **(changes or {})}
    check_options(**merged, name=f"{name}: ")
    return merged


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
    if history.diverged:
        raise FloatingPointError(
            f"training diverged by step {int(history.steps_taken)} at learning rate "
            f"{float(history.learning_rate):.3g}; a stable one is {float(stable_rate()):.3g}"
        )
    records = int(np.sum(~np.isnan(history.steps)))
    series = (history.steps, history.loss, history.observed)
    trimmed = jax.tree.map(lambda values: values[:records], series)
    return eqx.tree_at(lambda h: (h.steps, h.loss, h.observed), history, trimmed)
