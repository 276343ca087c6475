"""The chunks of a sweep, computed group by group."""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, PyTree

from fatelib.descent.batch import each, one_by_one, spread
from fatelib.sweep.keys import point_keys
from fatelib.sweep.plan import Chunk, Measure, Plan
from fatelib.sweep.store import RESERVED
from fatelib.sweep.values import Value


class Done(NamedTuple):
    """One chunk that has been computed."""

    number: int
    values: dict[str, xr.Variable]
    seconds: float  # the wall time it took


class _Shared(NamedTuple):
    """What chunks share that are computed from one preparation."""

    keys: Array
    prepared: PyTree


def run(plan: Plan, numbers: Sequence[int], finished: np.ndarray) -> Iterator[Done]:
    """Compute those of some chunks that are not finished.

    Chunks that share their preparation are done one after the other, or several at once in a group.

    Args:
        plan: The sweep.
        numbers: The numbers of the chunks, in the order of `Plan.order`.
        finished: Which of all chunks are finished.

    Yields:
        The chunks, one by one.
    """
    most = 1
    if plan.common and not one_by_one():
        most = min(plan.at_once, max(1, len(plan.chunks) // 8))
    for _, alike in itertools.groupby(numbers, plan.preparation):
        shared = None
        groups = _divided([*alike], most)
        for group in groups:
            if finished[group].all():
                continue
            started = time.perf_counter()
            chunks = [plan.chunks[number] for number in group]
            if shared is None or not plan.common:
                shared = _prepare(plan, chunks[0])
            # All of them, so that what a group holds does not depend on interruptions.
            computed = _compute(plan, chunks, len(groups[0]), shared)
            for number, values in zip(group, computed, strict=True):
                if finished[number]:
                    continue
                now = time.perf_counter()
                yield Done(number, values, now - started)
                started = now


def _divided(numbers: Sequence[int], most: int) -> list[list[int]]:
    """Divide numbers into groups of at most so many, as equal as can be; the longest first."""
    return [part.tolist() for part in np.array_split(numbers, -(-len(numbers) // most))]


def _prepare(plan: Plan, chunk: Chunk) -> _Shared:
    keys = plan.keys[plan.rows(chunk)]
    if not plan.common:
        keys = point_keys(keys, plan.point(chunk))
    prepared = None if plan.prepare is None else plan.prepare(keys, **plan.fixed(chunk))
    for leaf in jax.tree.leaves(prepared):
        if np.shape(leaf)[:1] != (plan.size,):
            raise ValueError(
                f"prepare must return arrays with a leading axis of {plan.size} instances; "
                f"got shape {np.shape(leaf)}"
            )
    return _Shared(keys, prepared)


def _compute(
    plan: Plan, chunks: Sequence[Chunk], width: int, shared: _Shared
) -> Iterator[dict[str, xr.Variable]]:
    """Do chunks that are alike, at once where there are several, and return them one by one.

    A group shorter than `width` repeats its end: groups of one width share one compiled program.
    """
    repeated = [chunks[min(row, len(chunks) - 1)] for row in range(width)]
    prepared = shared.prepared
    if plan.given is not None:
        prepared = tuple(_earlier(plan.given, one, plan.rows(one)) for one in repeated)
    traced = tuple(
        {n: jnp.asarray(plan.coords[n][i]) for n, i in one.place.items() if n not in plan.static}
        for one in repeated
    )
    how = {
        "measure": plan.measure,
        "fixed": plan.fixed(chunks[0]),
        "points": traced,
        "given": plan.given is not None,
    }
    results = spread(_at_points, (shared.keys, prepared), how)
    if not isinstance(results, Mapping):
        raise TypeError(f"measure must return a dictionary; got {type(results).__name__}")
    count = len(chunks[0].instances)
    results = {name: np.asarray(array)[:count] for name, array in results.items()}
    for i, chunk in enumerate(chunks):
        own = {name: array[:, i] for name, array in results.items()}
        yield _collect(own, plan.inner, plan.point(chunk))


def _earlier(given: xr.Dataset, chunk: Chunk, rows: np.ndarray) -> dict[str, Array]:
    """Return the results of an earlier sweep at the point and instances of a chunk."""
    here = given.isel({name: i for name, i in chunk.place.items() if name in given.dims})
    here = here.isel(instance=rows).transpose("instance", ...)
    return {str(name): jnp.asarray(array.values) for name, array in here.data_vars.items()}


def _at_points(
    key: Array,
    prepared: PyTree,
    *,
    measure: Measure,
    fixed: Mapping[str, Value],
    points: Sequence[Mapping[str, Array]],
    given: bool,
) -> PyTree:
    """Measure one instance at some points; what was `given` for each of them differs."""

    def at(cell: tuple[Mapping[str, Array], PyTree]) -> PyTree:
        point, own = cell
        return measure(key, own if given else prepared, **fixed, **point)

    cells = [*zip(points, prepared if given else [None] * len(points), strict=True)]
    if len(cells) == 1:
        return jax.tree.map(lambda result: jnp.asarray(result)[None], at(cells[0]))
    return each(at, jax.tree.map(lambda *values: jnp.stack(values), *cells))


def _collect(
    results: Mapping[str, np.ndarray],
    inner: Mapping[str, Sequence[Value]],
    point: Mapping[str, Value],
) -> dict[str, xr.Variable]:
    """Move the axis of instances to the end, add the outer axes and refuse what is no number."""
    values = {}
    shape = tuple(len(along) for along in inner.values())
    for name, array in results.items():
        if not isinstance(name, str) or name in {*point, *inner, *RESERVED} or "/" in name:
            raise ValueError(f"measure must return results with names of their own; got {name!r}")
        if np.shape(array)[1:] not in (shape, ()):
            raise ValueError(
                f"measure must return {name} as a number or with the shape {shape} of the inner "
                f"dimensions; got {np.shape(array)[1:]}"
            )
        part = np.moveaxis(array, 0, -1)
        if not np.isfinite(part).all():
            where = ", ".join(f"{dim} = {value}" for dim, value in point.items())
            raise FloatingPointError(
                f"{name} is not a number at {where}: does training diverge? Give a smaller "
                "learning_rate, or none for the automatic one"
            )
        dims = (*point, *inner, "instance") if part.ndim > 1 else (*point, "instance")
        values[name] = xr.Variable(dims, part.reshape((1,) * len(point) + part.shape))
    return values
