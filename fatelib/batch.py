"""Batches: one after the other on a CPU, all at once elsewhere, where who has finished may rest."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# Platforms that do one thing after the other.
_ONE_BY_ONE = ("cpu",)
# Smaller batches are not divided: every division compiles the turn again.
_FEW = 32


def one_by_one() -> bool:
    """Whether this machine does one thing after the other."""
    return jax.local_devices()[0].platform in _ONE_BY_ONE


def each(function: Callable[[Any], Any], batch: Any) -> Any:
    """Map a function over a leading axis: on a CPU one after the other, elsewhere all at once.

    One after the other, no loop waits for the slowest, and the arrays of each stay in the cache.
    """
    return jax.lax.map(function, batch) if one_by_one() else jax.vmap(function)(batch)


class _Level(NamedTuple):
    """One `jax.vmap`: its size, and a truth value per array for whether it is batched."""

    size: int
    batched: Any


def until(
    finished: Callable[[Any, Any], Array],
    turn: Callable[[Any, Any], Any],
    fixed: Any,
    state: Any,
) -> Any:
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


def _nested(finished: Any, turn: Any, levels: Sequence[_Level]) -> Callable[[Any, Any], Any]:
    """Return the loop for batches within batches, innermost first: the last is the first axis."""

    @jax.custom_batching.custom_vmap
    def loop(fixed: Any, state: Any) -> Any:
        return _loop(finished, turn, levels, fixed, state)

    @loop.def_vmap
    def batch(size: int, batched: Any, fixed: Any, state: Any) -> Any:
        whole = jax.tree.map(
            lambda yes, x: x if yes else jnp.broadcast_to(x, (size, *x.shape)), batched[1], state
        )
        outer = _nested(finished, turn, (*levels, _Level(size, batched[0])))
        return outer(fixed, whole), jax.tree.map(lambda _: True, state)

    return loop


def _loop(finished: Any, turn: Any, levels: Sequence[_Level], fixed: Any, state: Any) -> Any:
    def turn_or_rest(fixed: Any, state: Any) -> Any:
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
