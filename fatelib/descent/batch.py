"""Batches: divided among devices; on a CPU one after the other, elsewhere all at once.

Where all are trained at once, those that have finished may rest.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, PyTree

# Pytrees of arrays.
One = TypeVar("One")
Result = TypeVar("Result")
Fixed = TypeVar("Fixed")
State = TypeVar("State")

# Platforms that do one thing after the other.
_ONE_BY_ONE = ("cpu",)
# Smaller batches are not divided: every division compiles the turn again.
_FEW = 32


def one_by_one() -> bool:
    """Whether this machine does one thing after the other."""
    return jax.local_devices()[0].platform in _ONE_BY_ONE


def each(function: Callable[[One], Result], batch: One) -> Result:
    """Map a function over a leading axis: on a CPU one after the other, elsewhere all at once.

    One after the other, no loop waits for the slowest, and the arrays of each stay in the cache.
    """
    return jax.lax.map(function, batch) if one_by_one() else jax.vmap(function)(batch)


@eqx.filter_jit
def spread(
    function: Callable[..., Result], batch: tuple[PyTree, ...], shared: Mapping[str, PyTree]
) -> Result:
    """Map a function over a batch of instances, divided among the devices of this host.

    Args:
        function: ``function(*instance, **shared)``.
        batch: A tuple of pytrees of arrays with a leading axis of instances.
        shared: What all instances take; arrays are traced, so that other values of them share one
            compiled program.

    Returns:
        The results, with a leading axis of instances.

    Example:
        >>> spread(lambda x, factor: factor * x, (jnp.arange(3.0),), {"factor": 2}).tolist()
        [0.0, 2.0, 4.0]
    """
    devices = jax.local_devices()
    # As many for each device: the end is repeated, where need be. (Nothing else travels from one
    # device to another.)
    count = len(jax.tree.leaves(batch)[0])
    if missing := -count % len(devices):
        padded = jnp.minimum(jnp.arange(count + missing), count - 1)
        batch = jax.tree.map(lambda array: array[padded], batch)
    traced, fixed = eqx.partition((function, shared), eqx.is_array)

    def on_one_device(batch: tuple[PyTree, ...], traced: PyTree) -> Result:
        function, shared = eqx.combine(traced, fixed)

        def one(instance: tuple[PyTree, ...]) -> Result:
            return function(*instance, **shared)

        return each(one, batch)

    divided: Callable[[tuple[PyTree, ...], PyTree], Result] = on_one_device
    if len(devices) > 1:
        mesh = Mesh(np.array(devices), ("device",))
        split, same = PartitionSpec("device"), PartitionSpec()
        divided = _shard_map(on_one_device, mesh, (split, same), split)
    results = divided(batch, traced)
    return jax.tree.map(lambda array: array[:count], results) if missing else results


class _Level(NamedTuple):
    """One `jax.vmap`: its size, and a truth value per array for whether it is batched."""

    size: int
    batched: PyTree


def until(
    finished: Callable[[Fixed, State], Array],
    turn: Callable[[Fixed, State], State],
    fixed: Fixed,
    state: State,
) -> State:
    """Take ``state = turn(fixed, state)`` until ``finished(fixed, state)``.

    Under `jax.vmap` a `jax.lax.while_loop` goes on for all until the last has finished. Here, once
    no more than half of a batch goes on, that half goes on alone, and so on: of many, at most twice
    the turns that are needed are taken, with at most about twice the memory. Batches within batches
    count as one. JAX has no forward-mode derivatives of all this in a batch.

    On a CPU it is the `while_loop`: there compiling a loop for each half takes longer than they
    save.

    Args:
        finished: Whether to stop; a truth value.
        turn: What to do otherwise. Neither may refer to other traced arrays than its arguments.
        fixed: A pytree of arrays that stay as they are. Those that a batch shares are not copied
            as long as the whole of it goes on.
        state: A pytree of arrays.

    Returns:
        The last state.

    Example:
        >>> start, step = jnp.arange(3), jnp.asarray(4)
        >>> far = lambda step, x: x > 9
        >>> jax.vmap(lambda x: until(far, lambda step, x: x + step, step, x))(start).tolist()
        [12, 13, 10]
    """
    if one_by_one():
        return jax.lax.while_loop(lambda now: ~finished(fixed, now), partial(turn, fixed), state)
    return _nested(finished, turn, ())(fixed, state)


def _nested(
    finished: Callable[[Fixed, State], Array],
    turn: Callable[[Fixed, State], State],
    levels: Sequence[_Level],
) -> Callable[[Fixed, State], State]:
    """Return the loop for batches within batches, innermost first: the last is the first axis."""

    @jax.custom_batching.custom_vmap
    def loop(fixed: Fixed, state: State) -> State:
        return _loop(finished, turn, levels, fixed, state)

    @loop.def_vmap
    def batch(
        size: int, batched: Sequence[PyTree], fixed: Fixed, state: State
    ) -> tuple[State, PyTree]:
        whole = jax.tree.map(
            lambda yes, x: x if yes else jnp.broadcast_to(x, (size, *x.shape)), batched[1], state
        )
        outer = _nested(finished, turn, (*levels, _Level(size, batched[0])))
        return outer(fixed, whole), jax.tree.map(lambda _: True, state)

    return loop


def _loop(
    finished: Callable[[Fixed, State], Array],
    turn: Callable[[Fixed, State], State],
    levels: Sequence[_Level],
    fixed: Fixed,
    state: State,
) -> State:
    """Run the loop for all, and as soon as no more than half go on for that half alone."""

    def turn_or_rest(fixed: Fixed, state: State) -> State:
        return jax.lax.cond(finished(fixed, state), lambda s: s, partial(turn, fixed), state)

    done, move = finished, turn_or_rest if levels else turn
    for level in levels:
        axes = (jax.tree.map(lambda yes: 0 if yes else None, level.batched), 0)
        done, move = jax.vmap(done, axes), jax.vmap(move, axes)

    shape = tuple(level.size for level in reversed(levels))
    size = int(np.prod(shape))
    rest = 0 if size < _FEW else size // 2
    state = jax.lax.while_loop(
        lambda state: jnp.sum(~done(fixed, state)) > rest, partial(move, fixed), state
    )
    if not rest:
        return state
    chosen = jnp.argsort(done(fixed, state).ravel())[:rest]
    at = jnp.unravel_index(chosen, shape)

    def choose(x: Array, *batched: bool) -> Array:
        index = tuple(i for i, yes in zip(at, reversed(batched), strict=True) if yes)
        return x[index] if index else x

    some = jax.tree.map(choose, fixed, *(level.batched for level in levels))
    flags = jax.tree.map(lambda *batched: any(batched), *(level.batched for level in levels))
    ends = _loop(finished, turn, [_Level(rest, flags)], some, jax.tree.map(lambda x: x[at], state))
    return jax.tree.map(lambda x, end: x.at[at].set(end), state, ends)


def _shard_map(
    function: Callable[[tuple[PyTree, ...], PyTree], Result],
    mesh: Mesh,
    inputs: tuple[PartitionSpec, ...],
    outputs: PartitionSpec,
) -> Callable[[tuple[PyTree, ...], PyTree], Result]:
    """`jax.shard_map`, under its name before JAX 0.6 too; without its check of replication."""
    if hasattr(jax, "shard_map"):
        return jax.shard_map(
            function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False
        )
    from jax.experimental.shard_map import shard_map

    return shard_map(function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_rep=False)
