"""Grids of any experiment: `sweep`, which plans (`plan`), computes (`run`) and writes the chunks.

Several processes take a part of the chunks each, and do every step together.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, SupportsFloat, SupportsInt, TypedDict

import jax
import numpy as np
import xarray as xr
from jax.experimental import multihost_utils
from jaxtyping import Array, PyTree
from tqdm.auto import tqdm

from fatelib.descent.batch import one_by_one
from fatelib.sweep.memory import Memory
from fatelib.sweep.plan import Plan
from fatelib.sweep.run import run
from fatelib.sweep.store import Store

__all__ = ["sweep"]


def sweep(
    measure: Callable[..., Mapping[str, Array]],
    outer: Mapping[str, Any],
    inner: Mapping[str, Any],
    *,
    instances: SupportsInt,
    key: Any,
    prepare: Callable[..., PyTree] | None = None,
    given: xr.Dataset | None = None,
    static: Sequence[str] = (),
    common: bool | np.bool_ = True,
    chunk: SupportsInt | None = None,
    at_once: SupportsInt = 1,
    store: str | os.PathLike[str] | None = None,
    attrs: Mapping[str, Any] | None = None,
    progress: bool | np.bool_ = True,
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
        outer: Name of each outer dimension -> its values: different numbers or texts, as a list,
            an array or a column of a table.
        inner: Name of each inner dimension -> its values, likewise.
        instances: Number of independent repetitions.
        key: A JAX random key. The keys of instances are of the generator ``threefry2x32``, see
            `instance_keys`.
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
        store: Directory of this machine that the chunks are written to as they finish (zarr); ``~``
            is expanded, missing parents are made. A sweep started anew with the same store does
            only what is missing; another version of fatelib, another precision or other random
            bits are refused like other parameters, but for more `instances`: these are added. It
            keeps its number of instances in a chunk unless `chunk` is smaller. Functions are not
            compared: after a change of `measure` take another store. Several processes need one
            that they share.
        attrs: Parameters to record, and to compare with those of an existing store: what JSON
            holds. Tuples and arrays become lists, infinite numbers and NaN text.
        progress: Show a progress bar.

    Returns:
        A data set with the outer and inner dimensions and ``instance``; the same with a store as
        without.

    Raises:
        ValueError: An argument is impossible, the store was made with other parameters, or not all
            processes share it.
        TypeError: An argument is of another type, such as text for a number.
        FloatingPointError: A result is not a number.
        RuntimeError: Another process has failed; the message says which, and why.

    Example:
        >>> import jax
        >>> def dice(key, prepared, sides):
        ...     return {"eyes": 1 + jax.random.randint(key, (), 0, sides)}
        >>> data = sweep(dice, {"sides": [6, 20]}, {}, instances=1000, key=jax.random.key(0),
        ...              progress=False)
        >>> data.eyes.max("instance").values.tolist()
        [6, 20]
    """
    plan = Plan.of(
        measure,
        outer,
        inner,
        instances=instances,
        key=key,
        prepare=prepare,
        given=given,
        static=static,
        common=common,
        chunk=chunk,
        at_once=at_once,
        store=store,
        attrs=attrs,
        progress=progress,
    )
    with _together():
        target = _target(plan)
    with _together():
        _fill(target, plan)
    with _together():
        return target.load()


def _target(plan: Plan) -> Memory | Store:
    count = len(plan.chunks)
    if plan.store is None:
        return Memory(plan.coords, plan.attrs, count)
    return Store(plan.store, plan.coords, plan.attrs, count, plan.size)


def _fill(target: Memory | Store, plan: Plan) -> None:
    """Compute the chunks of this process that are missing, and write each as it is finished."""
    mine = plan.order()[jax.process_index() :: jax.process_count()]
    finished = target.finished()
    done = int(finished[mine].sum())
    with tqdm(
        desc="sweep: compiling" if done < len(mine) else "sweep",
        unit="chunk",
        total=len(mine),
        initial=done,
        disable=not plan.progress,
    ) as bar:
        for number, values, seconds in run(plan, mine, finished):
            target.write(number, plan.region(number), values, seconds)
            bar.set_description("sweep", refresh=False)
            bar.update()


@contextmanager
def _together() -> Iterator[None]:
    """Do a step in all processes; where one fails, all fail, and none waits for it for ever."""
    error = None
    try:
        yield
    except Exception as found:
        error = found
    if jax.process_count() > 1:
        text = b"" if error is None else f"{type(error).__name__}: {error}".encode()
        row = np.zeros(1000, np.uint8)
        row[: len(text)] = np.frombuffer(text[: len(row)], np.uint8)
        for process, other in enumerate(multihost_utils.process_allgather(row)):
            if error is None and other.any():
                why = other.tobytes().rstrip(b"\0").decode(errors="ignore")
                error = RuntimeError(f"process {process} failed, and so all do: {why}")
    if error is not None:
        raise error


class Portions(TypedDict):
    """The options of `sweep` that say how much is done at a time."""

    chunk: int
    at_once: int


def within(memory: SupportsFloat, size: float, instances: SupportsInt) -> Portions:
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
