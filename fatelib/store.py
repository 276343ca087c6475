"""Where the results of a sweep go, chunk by chunk: to memory, or to disk so that they survive."""

import math
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from fatelib.arguments import check_type

_SECONDS = "chunk_seconds"
_COUNT = "number of chunks"
_VARIABLES = "variables"
# What may differ between the runs that fill one store: recorded, not compared.
_PROVENANCE = {"jax", "device", _VARIABLES}
# What users know under the name of an argument.
_FROM = {"instances_per_chunk": " (from memory or chunk)"}
# Seconds after which a network file system shows what other hosts wrote (60 by default for NFS).
_LAG = 60.0
_ZARR: dict[str, Any] = {"consolidated": False, "zarr_format": 2}
# A finished chunk has a file even where all its values are zero: a missing one is a lost one.
_EVERY_FILE = {"array.write_empty_chunks": True}

Region = Mapping[str, slice]


class Memory:
    """Results in memory, that fill chunk by chunk.

    Args:
        coords: The values along every dimension of the whole result, in order.
        attrs: Its attributes.
        count: Number of chunks.
    """

    def __init__(
        self, coords: Mapping[str, np.ndarray], attrs: Mapping[str, Any], count: int
    ) -> None:
        self._coords, self._attrs = dict(coords), dict(attrs)
        self._seconds = np.full(count, np.nan)
        self._whole = xr.Dataset(coords=self._coords, attrs=self._attrs)

    def finished(self) -> np.ndarray:
        """Return which chunks are finished, (count,)."""
        return np.isfinite(self._seconds)

    def write(
        self, chunk: int, region: Region, values: Mapping[str, xr.Variable], seconds: float
    ) -> None:
        """Write the results of one chunk.

        Args:
            chunk: Its index.
            region: Its place along every dimension, in order.
            values: Name of each variable -> its part of the whole, with some of the dimensions.
            seconds: The wall time it took.
        """
        if not self.finished().any():
            self._whole = _empty(self._coords, self._attrs, values)
        for name, part in values.items():
            self._whole[name][{dim: region[str(dim)] for dim in part.dims}] = part.values
        self._seconds[chunk] = seconds

    def load(self) -> xr.Dataset:
        """Return the whole result; its attribute ``seconds`` is the wall time of all chunks."""
        return self._whole.assign_attrs(seconds=float(self._seconds.sum()))


class Store:
    """A zarr directory that fills chunk by chunk.

    A chunk counts as finished when its wall time is written, after its results. A process may be
    killed at any point: what it leaves is either finished or done again. What is not finished reads
    as NaN, or as 0 where a variable holds integers or booleans.

    Args:
        path: The directory; created with the first chunk.
        coords: The values along every dimension of the whole result, in order.
        attrs: The parameters; a store found at `path` must have been made with the same, but for
            "jax" and "device", which are only recorded.
        count: Number of chunks.
        block: Length of all chunks along the last dimension, but for the last.

    Raises:
        ValueError: `path` is something else, cannot be written or read, or is the store of a sweep
            with other parameters.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        coords: Mapping[str, np.ndarray],
        attrs: Mapping[str, Any],
        count: int,
        block: int,
    ) -> None:
        check_type("store", path, (str, os.PathLike), "the path of a directory")
        self.path, self._coords = Path(path), dict(coords)
        self._count, self._block, self._joined = count, block, False
        self._attrs = {name: _plain(value) for name, value in attrs.items()}
        if self._exists():
            self._compare()
        # Before anything is computed, not when the first chunk is to be written.
        if not self.finished().all():
            self._check_writable()

    def finished(self) -> np.ndarray:
        """Return which chunks are finished, (count,)."""
        if not self._exists():
            return np.zeros(self._count, bool)
        return np.isfinite(self._read(_SECONDS)[_SECONDS].values)

    def write(
        self, chunk: int, region: Region, values: Mapping[str, xr.Variable], seconds: float
    ) -> None:
        """Write the results of one chunk, and then that it is finished; see `Memory.write`.

        Raises:
            ValueError: Another process has made the store meanwhile, with other parameters.
        """
        import zarr

        if not self._joined:
            if not self._exists():
                self._create(region, values)
            self._compare()
            self._joined = True
        part = xr.Dataset(values)
        here = {dim: place for dim, place in region.items() if dim in part.dims}
        done = xr.Dataset({_SECONDS: ("chunk", np.array([seconds]))})
        with zarr.config.set(_EVERY_FILE):
            part.to_zarr(self.path, region=here, **_ZARR)
            done.to_zarr(self.path, region={"chunk": slice(chunk, chunk + 1)}, **_ZARR)

    def load(self) -> xr.Dataset:
        """Return the whole result; its attribute ``seconds`` is the wall time of all chunks.

        Raises:
            ValueError: Some chunks are missing, a minute later still, or cannot be read.
        """
        import zarr

        deadline = time.monotonic() + _LAG
        while not self.finished().all():
            if time.monotonic() >= deadline:
                raise ValueError(
                    f"{(~self.finished()).sum()} of {self._count} chunks are missing from store "
                    f"{self.path}: is it shared by all processes?"
                )
            time.sleep(1)
        whole = self._read()
        files = zarr.open_group(self.path, mode="r")
        lost = []
        for name in whole.attrs.pop(_VARIABLES, ()):
            array = files.get(name)
            if not isinstance(array, zarr.Array) or array.nchunks_initialized < array.nchunks:
                lost.append(name)
        if lost:
            raise self._damaged(f"values of {', '.join(lost)} are missing")
        seconds = float(whole[_SECONDS].sum())
        return whole.drop_vars(_SECONDS).assign_attrs(seconds=seconds)

    def _exists(self) -> bool:
        """Whether there is anything: an empty directory is as good as none."""
        if not self.path.is_dir():
            return self.path.exists()
        return any(self.path.iterdir())

    def _open(self) -> xr.Dataset:
        with warnings.catch_warnings():  # about files that are not zarr's
            warnings.filterwarnings("ignore", message="Object at")
            return xr.open_zarr(self.path, chunks=None, **_ZARR)

    def _read(self, *names: str) -> xr.Dataset:
        """Read some variables, or all."""
        try:
            found = self._open()
            return (found[list(names)] if names else found).load()
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise self._damaged(f"it cannot be read ({error})") from error

    def _damaged(self, what: str) -> ValueError:
        return ValueError(
            f"store {self.path} is damaged: {what}. Delete it to compute it anew, or take another"
        )

    def _check_writable(self) -> None:
        try:
            if self._exists():
                if not os.access(self.path, os.W_OK):
                    raise PermissionError("no permission to write")
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path.parent).close()
        except OSError as error:
            raise ValueError(
                f"store must be a directory that can be written; got {self.path}: {error}"
            ) from error

    def _create(self, region: Region, values: Mapping[str, xr.Variable]) -> None:
        """Make the empty store elsewhere and move it into place at once."""
        empty = _empty(self._coords, {**self._attrs, _VARIABLES: sorted(values)}, values)
        empty[_SECONDS] = ("chunk", np.full(self._count, np.nan))
        encoding = {
            name: {"chunks": (*part.shape[:-1], self._block)} for name, part in values.items()
        }
        encoding[_SECONDS] = {"chunks": (1,)}
        draft = Path(tempfile.mkdtemp(prefix=f".{self.path.name}-", dir=self.path.parent))
        try:
            empty.to_zarr(draft / "store", encoding=encoding, **_ZARR)
            os.rename(draft / "store", self.path)
        except OSError:
            if not self._exists():  # otherwise another process was first
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _compare(self) -> None:
        try:
            found = self._open()
            size = found[_SECONDS].size
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"store must be a new directory, an empty one or that of a sweep; {self.path} is "
                "none of these, or damaged"
            ) from error
        coords = {name: values.tolist() for name, values in self._coords.items()}
        new = {**self._attrs, **coords, _COUNT: self._count}
        old = {str(name): array.values.tolist() for name, array in found.coords.items()}
        old = {**found.attrs, **old, _COUNT: size}
        # The version first: another one may have other parameters. The number of chunks last: it
        # follows from what a user knows.
        for name in sorted(
            {*old, *new} - _PROVENANCE, key=lambda name: (name != "fatelib", name == _COUNT, name)
        ):
            if old.get(name) != new.get(name):
                before, now = _apart(old.get(name), new.get(name))
                made = f"with {name}{_FROM.get(name, '')} = {before}, not"
                if name not in old:
                    made = f"without {name}, this one has"
                raise ValueError(
                    f"store {self.path} was made {made} {now}; take the same, or another store"
                )


def _empty(
    coords: Mapping[str, np.ndarray], attrs: Mapping[str, Any], values: Mapping[str, xr.Variable]
) -> xr.Dataset:
    arrays = {}
    for name, part in values.items():
        shape = tuple(len(coords[str(dim)]) for dim in part.dims)
        missing = np.nan if part.dtype.kind == "f" else 0
        arrays[name] = (part.dims, np.full(shape, missing, part.dtype))
    return xr.Dataset(arrays, dict(coords), dict(attrs))


def _plain(value: Any) -> Any:
    """Return an attribute as JSON can hold it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _apart(old: Any, new: Any) -> tuple[str, str]:
    """Write two different values so that the difference shows: of long lists where they part."""
    both = str(old), str(new)
    if max(map(len, both)) <= 60:
        return both
    if not (isinstance(old, list) and isinstance(new, list)):
        place = next((i for i, pair in enumerate(zip(*both, strict=False)) if len({*pair}) > 1), 0)
        start = max(0, place - 30)
        before, now = (f"...{text[start : start + 60]}..." for text in both)
        return before, now
    if len(old) != len(new):
        return f"{len(old)} values", f"{len(new)}"
    place = next(i for i, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1])
    return f"..., {old[place]}, ... at place {place}", f"{new[place]}"
