"""Grids of experiments: chunks, devices, processes, progress; not what a cell holds."""

import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.experimental import multihost_utils
from jaxtyping import Array
from tqdm.auto import tqdm

from fatelib.arguments import brief, check_count, check_flag, check_key, check_type
from fatelib.batch import each, one_by_one, spread
from fatelib.store import Memory, Store

__all__ = ["sweep"]


def sweep(
    measure: Callable[..., Mapping[str, Array]],
    outer: Mapping[str, Sequence[Any]],
    inner: Mapping[str, Sequence[Any]],
    *,
    instances: int,
    key: Any,
    prepare: Callable[..., Any] | None = None,
    given: xr.Dataset | None = None,
    static: Sequence[str] = (),
    common: bool = True,
    chunk: int | None = None,
    at_once: int = 1,
    store: str | os.PathLike[str] | None = None,
    attrs: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Repeat an experiment over a grid, as labelled data.

    One call of `measure` is one instance at one point of the outer dimensions, and fills all cells
    of the inner ones. A chunk is one outer point and some instances; its instances are spread over
    all devices of this host, and the chunks over all processes of `jax.distributed`. Every instance
    has its own key, whatever the chunks, devices and processes.

    A CPU does its share of the instances one after the other: none waits for the slowest. A GPU
    does all of its share at once (`jax.vmap`), of several chunks if you like. There a loop in
    `measure` goes on until the slowest of them stops; the gradient descent of fatelib lets those
    that have finished rest.

    Args:
        measure: ``measure(key, prepared, **point)`` returns a dictionary of arrays whose axes are
            the inner dimensions, or of numbers that all inner cells share; jittable. NaN in a
            result counts as divergence.
        outer: Name of each outer dimension -> its values.
        inner: Name of each inner dimension -> its values.
        instances: Number of independent repetitions.
        key: A JAX random key.
        prepare: ``prepare(keys, **static_point)`` returns what all outer points share that differ
            in traced dimensions only: a pytree of arrays with a leading axis of instances.
        given: Result of an earlier sweep over some of the outer dimensions, with as many instances
            and the same key, instead of `prepare`: ``prepared`` is then a dictionary of its values
            at the point and instance.
        static: The outer dimensions that `measure` takes as Python values (a new compilation for
            each); it takes the others as traced numbers.
        common: Give all points the same random numbers; otherwise independent ones, and then each
            is prepared by itself.
        chunk: The most instances in a chunk; by default all.
        at_once: The most chunks of the same instances and static values that a GPU does at once,
            but an eighth of all at most: an interruption costs those under way. With independent
            random numbers it is 1. Another number gives the same results up to rounding.
        store: Directory that the chunks are written to as they finish (zarr). A sweep started anew
            with the same store does only what is missing; another version of fatelib or another
            precision is refused like other parameters. Functions are not compared: after a change
            of `measure` take another store. Several processes need one that they share.
        attrs: Parameters to record, and to compare with those of an existing store.
        progress: Show a progress bar.

    Returns:
        A data set with the outer and inner dimensions and ``instance``.

    Raises:
        ValueError: An argument is impossible, the store was made with other parameters, or not all
            processes share it.
        FloatingPointError: A result is not a number.

    Example:
        >>> import jax
        >>> def dice(key, prepared, sides):
        ...     return {"eyes": 1 + jax.random.randint(key, (), 0, sides)}
        >>> data = sweep(dice, {"sides": [6, 20]}, {}, instances=1000, key=jax.random.key(0),
        ...              progress=False)
        >>> data.eyes.max("instance").values.tolist()
        [6, 20]
    """
    check_count("instances", instances)
    if chunk is not None:
        check_count("chunk", chunk)
    check_count("at_once", at_once)
    check_key("key", key)
    check_flag("common", common)
    check_flag("progress", progress)
    for name, function in {"measure": measure, "prepare": prepare}.items():
        if not callable(function) and not (function is None and name == "prepare"):
            raise TypeError(f"{name} must be a function; got {brief(function)}")
    for name, grid in {
        "outer": outer,
        "inner": inner,
        "attrs": {} if attrs is None else attrs,
    }.items():
        check_type(name, grid, Mapping, "a dictionary")
    check_type("static", static, (list, tuple), "a list of names")
    for name in static:
        check_type("static", name, str, "a list of names")
    check_type("given", given, (xr.Dataset, type(None)), "the result of a sweep")
    for name in static:
        if name not in outer:
            raise ValueError(f"static must name outer dimensions, of {list(outer)}; got {name!r}")
    for name, along in {**outer, **inner}.items():
        place = "outer" if name in outer else "inner"
        check_type(f"{place}: {name}", along, (Sequence, np.ndarray), "a list of values")
        if not len(along) or len(set(along)) < len(along):
            raise ValueError(f"{name} must have values, each once; got {list(along)}")
    if given is not None and prepare is not None:
        raise ValueError("given takes the place of prepare: give one of them")
    if given is not None and given.sizes.get("instance") != instances:
        raise ValueError(
            f"given must have {instances} instances; got {given.sizes.get('instance')}"
        )
    if given is not None:
        _check_given(given, outer, key)
    if jax.process_count() > 1 and store is None:
        raise ValueError("store must be a directory that all processes share; got None")
    instances, chunk = int(instances), int(chunk or instances)
    size = min(chunk, instances)
    blocks = [range(i, min(i + size, instances)) for i in range(0, instances, size)]
    points = itertools.product(*(range(len(values)) for values in outer.values()))
    indices = [dict(zip(outer, index, strict=True)) for index in points]
    # Chunks that share their preparation come one after the other.
    chunks = sorted(
        itertools.product(indices, blocks),
        key=lambda chunk: ([chunk[0][name] for name in static], chunk[1].start),
    )
    dims = {**outer, **inner, "instance": range(instances)}
    coords = {name: np.asarray(values) for name, values in dims.items()}
    attrs = {
        **(attrs or {}),
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "common_random_numbers": int(common),
        "instances_per_chunk": size,
        "dtype": str(jnp.result_type(float)),
        "fatelib": version("fatelib"),
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
    }
    target: Memory | Store
    if store is None:
        target = Memory(coords, attrs, len(chunks))
    else:
        target = Store(store, coords, attrs, len(chunks), size)

    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(instances))

    @lru_cache(maxsize=1)
    def shared(fixed: tuple[Any, ...], block: range, salt: bytes | None) -> tuple[Array, Any]:
        # The last block repeats its end: blocks of one size share one compiled program.
        part = keys[jnp.minimum(block.start + jnp.arange(size), instances - 1)]
        for word in np.frombuffer(salt or b"", np.uint32):
            part = jax.vmap(jax.random.fold_in, (0, None))(part, word)
        named = dict(zip(static, fixed, strict=True))
        prepared = None if prepare is None else prepare(part, **named)
        for leaf in jax.tree.leaves(prepared):
            if np.shape(leaf)[:1] != (size,):
                raise ValueError(
                    f"prepare must return arrays with a leading axis of {size} instances; "
                    f"got shape {np.shape(leaf)}"
                )
        return part, prepared

    def earlier(index: Mapping[str, int], block: range) -> dict[str, Array]:
        rows = np.minimum(block.start + np.arange(size), instances - 1)
        assert given is not None
        here = given.isel({name: i for name, i in index.items() if name in given.dims})
        here = here.isel(instance=rows).transpose("instance", ...)
        return {str(name): jnp.asarray(array.values) for name, array in here.data_vars.items()}

    def compute(group: Sequence[int], width: int) -> Iterator[dict[str, xr.Variable]]:
        """Do the chunks of a group, at once where there are several; return them one by one."""
        block = chunks[group[0]][1]
        points = [
            {name: outer[name][i] for name, i in chunks[number][0].items()} for number in group
        ]
        fixed = {name: points[0][name] for name in static}
        salt = None if common else _salt(points[0])
        part, prepared = shared(tuple(fixed.values()), block, salt)
        # A group that is short repeats its end, for the same reason as the last block.
        places = [chunks[group[min(row, len(group) - 1)]][0] for row in range(width)]
        if given is not None:
            prepared = tuple(earlier(index, block) for index in places)
        traced = tuple(
            {n: jnp.asarray(coords[n][i]) for n, i in index.items() if n not in static}
            for index in places
        )
        how = {"measure": measure, "fixed": fixed, "points": traced, "given": given is not None}
        results = spread(_at_points, (part, prepared), how)
        if not isinstance(results, Mapping):
            raise TypeError(f"measure must return a dictionary; got {type(results).__name__}")
        results = {name: np.asarray(array)[: len(block)] for name, array in results.items()}
        for i, point in enumerate(points):
            yield _collect({name: array[:, i] for name, array in results.items()}, inner, point)

    finished = target.finished()
    mine = range(jax.process_index(), len(chunks), jax.process_count())
    with tqdm(
        desc="sweep",
        unit="chunk",
        total=len(mine),
        initial=int(finished[mine].sum()),
        disable=not progress,
    ) as bar:
        most = min(at_once, max(1, len(chunks) // 8)) if common and not one_by_one() else 1
        alike = [([index[name] for name in static], block.start) for index, block in chunks]
        for group, width in _groups(mine, alike, most):
            if finished[group].all():
                continue
            started = time.perf_counter()
            # All of them, so that what a group holds does not depend on interruptions.
            for number, values in zip(group, compute(group, width), strict=True):
                if finished[number]:
                    continue
                index, block = chunks[number]
                region = {name: slice(i, i + 1) for name, i in index.items()}
                region |= {name: slice(0, len(along)) for name, along in inner.items()}
                region["instance"] = slice(block.start, block.stop)
                now = time.perf_counter()
                target.write(number, region, values, now - started)
                started = now
                bar.update()
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("fatelib.sweep")
    return target.load()


def _groups(
    numbers: Sequence[int], alike: Sequence[Any], most: int
) -> Iterator[tuple[list[int], int]]:
    """Divide chunks that are alike into groups as equal as can be; say how long the longest is."""
    for _, same in itertools.groupby(numbers, lambda number: alike[number]):
        run = list(same)
        parts = np.array_split(run, -(-len(run) // most))
        for group in parts:
            yield group.tolist(), len(parts[0])


def _at_points(
    key: Array,
    prepared: Any,
    *,
    measure: Callable[..., Mapping[str, Array]],
    fixed: Mapping[str, Any],
    points: Sequence[Mapping[str, Array]],
    given: bool,
) -> Any:
    """Measure one instance at some points; what was `given` for each of them differs."""

    def at(cell: Any) -> Any:
        point, own = cell
        return measure(key, own if given else prepared, **fixed, **point)

    cells = [*zip(points, prepared if given else [None] * len(points), strict=True)]
    if len(cells) == 1:
        return jax.tree.map(lambda result: jnp.asarray(result)[None], at(cells[0]))
    return each(at, jax.tree.map(lambda *values: jnp.stack(values), *cells))


def _salt(point: Mapping[str, Any]) -> bytes:
    """What makes the random numbers of a point its own, wherever in a grid it is.

    128 bits: of 32, two among 8,000 points would agree in one grid of 130.
    """
    values = [(name, np.asarray(value).tolist()) for name, value in sorted(point.items())]
    return hashlib.blake2b(repr(values).encode(), digest_size=16).digest()


def _check_given(given: xr.Dataset, outer: Mapping[str, Sequence[Any]], key: Any) -> None:
    """Raise unless an earlier sweep has the points and the random numbers of this one."""
    for name in outer:
        if name in given.dims and given[name].values.tolist() != np.asarray(outer[name]).tolist():
            raise ValueError(f"given must have the same {name} as outer, in the same order")
    if given.attrs.get("key") != np.asarray(jax.random.key_data(key)).tolist():
        raise ValueError("given must come from a sweep with the same key")


def _collect(
    results: Mapping[str, np.ndarray], inner: Mapping[str, Any], point: Mapping[str, Any]
) -> dict[str, xr.Variable]:
    """Move the axis of instances to the end, add the outer axes and refuse what is no number."""
    values = {}
    shape = tuple(len(along) for along in inner.values())
    for name, array in results.items():
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


def within(memory: Any, size: float, instances: Any) -> dict[str, Any]:
    """Return the options of `sweep` for instances of `size` bytes in `memory` gigabytes.

    Raises:
        ValueError: Not even one fits.
    """
    if not one_by_one():
        size *= 2  # the half of a batch that goes on alone is a copy
    fit = int(float(memory) * 1e9 / size)
    if fit < 1:
        raise ValueError(
            f"memory must be at least {1.01e-9 * size:.3g} (gigabytes) for one instance with all "
            f"its cells; got {float(memory):g}"
        )
    chunk = min(fit, int(instances))
    return {"chunk": chunk, "at_once": min(fit // chunk, 2**31 - 1)}
