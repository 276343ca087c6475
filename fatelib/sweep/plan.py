"""What a sweep will do: its arguments, checked and read once, and the chunks they make."""

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple, SupportsInt

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, PyTree

from fatelib.arguments import brief, check_count, check_flag, check_key, check_type
from fatelib.sweep.keys import fingerprint, instance_keys
from fatelib.sweep.store import RESERVED, instances_per_chunk
from fatelib.sweep.values import Json, Value, along_dimension, check_traced, recordable

Measure = Callable[..., Mapping[str, Array]]
Prepare = Callable[..., PyTree]


class Chunk(NamedTuple):
    """One outer point and some instances."""

    place: dict[str, int]  # of the point, along each outer dimension
    instances: range


@dataclass(frozen=True, eq=False)
class Plan:
    """A sweep, before anything is computed.

    Attributes:
        measure: What one instance does at one outer point.
        prepare: What all outer points share that differ in traced dimensions only; or None.
        given: The earlier sweep that takes the place of `prepare`; or None.
        outer: Name of each outer dimension -> its values.
        inner: Name of each inner dimension -> its values.
        static: The outer dimensions that are given as Python values.
        coords: The values along every dimension of the result, in order.
        keys: The keys of the instances, with a leading axis of instances.
        common: Whether all points have the same random numbers.
        size: Number of instances in a chunk, but for the last ones.
        at_once: The most chunks at once, as asked for.
        chunks: All chunks. Instances come last, so that more of them do not change the numbers of
            the others.
        attrs: What is recorded of the sweep, and compared with an existing store.
        store: The directory of the results; None for memory.
        progress: Whether to show a progress bar.
    """

    measure: Measure
    prepare: Prepare | None
    given: xr.Dataset | None
    outer: dict[str, list[Value]]
    inner: dict[str, list[Value]]
    static: tuple[str, ...]
    coords: dict[str, np.ndarray]
    keys: Array
    common: bool
    size: int
    at_once: int
    chunks: list[Chunk]
    attrs: dict[str, Json]
    store: str | os.PathLike[str] | None
    progress: bool

    @classmethod
    def of(
        cls,
        measure: Measure,
        outer: Mapping[str, Any],
        inner: Mapping[str, Any],
        *,
        instances: SupportsInt,
        key: Any,
        prepare: Prepare | None,
        given: xr.Dataset | None,
        static: Sequence[str],
        common: bool | np.bool_,
        chunk: SupportsInt | None,
        at_once: SupportsInt,
        store: str | os.PathLike[str] | None,
        attrs: Mapping[str, Any] | None,
        progress: bool | np.bool_,
    ) -> "Plan":
        """Check and read the arguments of `fatelib.sweep.grid.sweep`, which says what they are."""
        count = check_count("instances", instances)
        if chunk is not None:
            check_count("chunk", chunk)
        most = check_count("at_once", at_once)
        check_key("key", key)
        check_flag("common", common)
        check_flag("progress", progress)
        _check_functions(measure, prepare)
        attrs = {} if attrs is None else attrs
        for name, grid in {"outer": outer, "inner": inner, "attrs": attrs}.items():
            check_type(name, grid, Mapping, "a dictionary")
        check_type("given", given, (xr.Dataset, type(None)), "the result of a sweep")
        coords = _coordinates(outer, inner, static)
        outer_values, inner_values = (
            {name: coords[name].tolist() for name in grid} for grid in (outer, inner)
        )
        if given is not None:
            _check_given(given, prepare, count, outer_values, key)
        if jax.process_count() > 1 and store is None:
            raise ValueError("store must be a directory that all processes share; got None")
        size = min(int(chunk or count), count)
        if store is not None:
            size = min(size, instances_per_chunk(store) or size)
        coords["instance"] = np.arange(count)
        return cls(
            measure=measure,
            prepare=prepare,
            given=given,
            outer=outer_values,
            inner=inner_values,
            static=tuple(static),
            coords=coords,
            keys=instance_keys(key, count),
            common=bool(common),
            size=size,
            at_once=most,
            chunks=_chunks(outer_values, count, size),
            attrs=_recorded(attrs, coords, key, common=bool(common), size=size),
            store=store,
            progress=bool(progress),
        )

    def order(self) -> list[int]:
        """Return the numbers of all chunks, those that share their preparation together."""
        return sorted(range(len(self.chunks)), key=self.preparation)

    def preparation(self, number: int) -> tuple[list[int], int]:
        """Return what the preparation of a chunk follows from where random numbers are common."""
        place, instances = self.chunks[number]
        return [place[name] for name in self.static], instances.start

    def point(self, chunk: Chunk) -> dict[str, Value]:
        """Return the values of the outer dimensions."""
        return {name: self.outer[name][i] for name, i in chunk.place.items()}

    def fixed(self, chunk: Chunk) -> dict[str, Value]:
        """Return the values of the static dimensions."""
        return {name: self.outer[name][chunk.place[name]] for name in self.static}

    def rows(self, chunk: Chunk) -> np.ndarray:
        """Return the instances of a chunk, (size,).

        The last block repeats its end: blocks of one size share one compiled program.
        """
        return np.minimum(chunk.instances.start + np.arange(self.size), len(self.keys) - 1)

    def region(self, number: int) -> dict[str, slice]:
        """Return the place of a chunk in the result, along every dimension in order."""
        place, instances = self.chunks[number]
        region = {name: slice(i, i + 1) for name, i in place.items()}
        region |= {name: slice(0, len(along)) for name, along in self.inner.items()}
        return region | {"instance": slice(instances.start, instances.stop)}


def _chunks(outer: Mapping[str, Sequence[Value]], instances: int, size: int) -> list[Chunk]:
    blocks = [range(i, min(i + size, instances)) for i in range(0, instances, size)]
    points = itertools.product(*(range(len(values)) for values in outer.values()))
    places = [dict(zip(outer, point, strict=True)) for point in points]
    return [Chunk(place, block) for block in blocks for place in places]


def _recorded(
    attrs: Mapping[str, Any],
    coords: Mapping[str, np.ndarray],
    key: Array | np.ndarray,
    *,
    common: bool,
    size: int,
) -> dict[str, Json]:
    """Return the attributes of a result: the parameters of the user, and what else decides."""
    own: dict[str, Json] = {
        **fingerprint(key),
        "common_random_numbers": int(common),
        "instances_per_chunk": size,
        "dtype": str(jnp.result_type(float)),
        "fatelib": version("fatelib"),
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
    }
    for name in attrs:
        check_type("attrs: every name", name, str, "text")
        if name in {*own, *coords, *RESERVED}:
            raise ValueError(f"attrs must not name what a sweep records itself; got {name!r}")
    given = {str(name): recordable(f"attrs: {name}", value) for name, value in attrs.items()}
    return {**given, **own}


def _coordinates(
    outer: Mapping[str, Any], inner: Mapping[str, Any], static: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the values along all dimensions, and raise unless they can be taken and stored."""
    check_type("static", static, (list, tuple), "a list of names")
    for name in static:
        check_type("static", name, str, "a list of names")
        if name not in outer:
            raise ValueError(f"static must name outer dimensions, of {list(outer)}; got {name!r}")
    coords: dict[str, np.ndarray] = {}
    for place, grid in {"outer": outer, "inner": inner}.items():
        for name, along in grid.items():
            check_type(f"{place}: every name", name, str, "text")
            if name in coords or name in RESERVED or "/" in name:
                raise ValueError(f"{place} must have names of its own; got {name!r}")
            array = coords[name] = along_dimension(f"{place}: {name}", along)
            if not array.size or len(set(array.tolist())) < array.size:
                raise ValueError(f"{name} must have values, each once; got {array.tolist()}")
            if place == "outer" and name not in static:
                check_traced(name, array)
    return coords


def _check_functions(measure: Measure, prepare: Prepare | None) -> None:
    for name, function in {"measure": measure, "prepare": prepare}.items():
        if not callable(function) and not (function is None and name == "prepare"):
            raise TypeError(f"{name} must be a function; got {brief(function)}")


def _check_given(
    given: xr.Dataset,
    prepare: Prepare | None,
    instances: int,
    outer: Mapping[str, Sequence[Value]],
    key: Array | np.ndarray,
) -> None:
    """Raise unless an earlier sweep has the instances, points and random numbers of this one."""
    if prepare is not None:
        raise ValueError("given takes the place of prepare: give one of them")
    if given.sizes.get("instance") != instances:
        raise ValueError(
            f"given must have {instances} instances; got {given.sizes.get('instance')}"
        )
    for name in outer:
        if name in given.dims and given[name].values.tolist() != outer[name]:
            raise ValueError(f"given must have the same {name} as outer, in the same order")
    for name, value in fingerprint(key).items():
        # A file may have made an array of the list.
        if np.asarray(given.attrs.get(name)).tolist() != value:
            raise ValueError(f"given must come from a sweep with the same key ({name})")
