"""Results of a sweep on disk: a directory that fills chunk by chunk and survives a kill."""

import contextlib
import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from fatelib.arguments import check_type
from fatelib.sweep.memory import Region, check_alike, empty
from fatelib.sweep.values import Json

if TYPE_CHECKING:
    import zarr

_SECONDS = "chunk_seconds"
_COUNT = "number of chunks"
_VARIABLES = "variables"
# What may differ between the runs that fill one store: recorded, not compared.
_PROVENANCE = {"jax", "device", _VARIABLES}
# What users know under another name.
_FROM = {
    "instances_per_chunk": " (from memory or chunk)",
    "generator": " (of the key)",
    "random_bits": " (jax_threefry_partitionable, or a version of JAX with another default)",
}
# Seconds after which a network file system shows what other hosts wrote (60 by default for NFS).
_LAG = 60.0
# A new store is put together in a folder of this name within its directory, see `Store._create`.
_DRAFT = ".fatelib-"
# What does not fill a directory: drafts, and what desktops and file servers leave behind.
_NOTHING = (_DRAFT, ".DS_Store", "._", ".directory", "Thumbs.db", "desktop.ini", ".nfs")
_READY = "store"

# Names that the store itself uses; neither dimensions nor attributes may have them.
RESERVED = {_SECONDS, _COUNT, _VARIABLES, "chunk", "instance", "seconds"}


def local_directory(name: str, path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a directory of this machine, which may be there or not.

    A ``~`` is expanded, and a later change of the working directory does not matter.

    Args:
        name: The argument's name, as the caller wrote it.
        path: The path.

    Raises:
        TypeError: `path` is no path.
        ValueError: It is an address such as ``s3://bucket``, empty, or cannot be a directory.

    Example:
        >>> local_directory("store", "s3://bucket/x.zarr")
        Traceback (most recent call last):
        ValueError: store must be a directory on this machine, not an address; got s3://bucket/x.zarr
    """
    accepted = "the path of a directory"
    check_type(name, path, (str, os.PathLike), accepted)
    text = os.fspath(path)
    check_type(name, text, str, accepted)
    if not text.strip():
        raise ValueError(f"{name} must be {accepted}; got {text!r}")
    # `Path` makes one slash of two.
    address = "::" in text or "://" in text or re.match(r"[A-Za-z][\w+.-]*:/", text) is not None
    try:
        whole = Path(text).expanduser().resolve()
        whole.exists()  # raises where the name is too long
        there = next((parent for parent in whole.parents if parent.exists()), whole)
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is no directory")
        address |= any(
            parent.name.endswith(":") and parent != there
            for parent in whole.parents
            if there in parent.parents
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a directory that can be written; got {text!r}: {error}"
        ) from error
    if address:
        raise ValueError(f"{name} must be a directory on this machine, not an address; got {text}")
    return whole


def instances_per_chunk(path: str | os.PathLike[str]) -> int | None:
    """Return how many instances a chunk of the store at `path` has; None where there is none."""
    try:
        text = (local_directory("store", path) / ".zattrs").read_text(encoding="utf-8")
        found = json.loads(text)["instances_per_chunk"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if isinstance(found, int) and found > 0 else None


class Store:
    """A zarr directory that fills chunk by chunk.

    A chunk counts as finished when its wall time is written, after its results. A process may be
    killed at any point: what it leaves is either finished or done again. What is not finished reads
    as NaN, or as 0 where a variable holds integers or booleans.

    A store of fewer instances, with the same parameters otherwise, gets the others: its arrays grow
    along ``instance``, the last of their dimensions, and the new chunks come after the old. A last
    chunk that was shorter than the others is done again.

    No setting of zarr or Python is changed: several stores may fill at a time, in threads too.

    Args:
        path: The directory, see `local_directory`; it is made at once, with its parents, if any
            chunk is missing. An empty one is filled in place.
        coords: The values along every dimension of the whole result, in order.
        attrs: The parameters, as `fatelib.sweep.values.recordable` gives them; a store found at
            `path` must have been made with the same, but for "jax" and "device", which are only
            recorded.
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
        attrs: Mapping[str, Json],
        count: int,
        block: int,
    ) -> None:
        self.path, self._coords = local_directory("store", path), dict(coords)
        self._attrs, self._count, self._block = dict(attrs), count, block
        # Once this store has been joined: its arrays, and the types of the variables.
        self._open_arrays: dict[str, zarr.Array] = {}
        self._kinds: dict[str, str] = {}
        if self._exists():
            self._compare()
            self._grow()
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
        if not self._open_arrays:
            self._join(region, values)
        check_alike(self._kinds, values)
        for name, part in values.items():
            here = tuple(region[str(dim)] for dim in part.dims)
            self._open_arrays[name][here] = part.values
        self._open_arrays[_SECONDS][chunk] = seconds

    def load(self) -> xr.Dataset:
        """Return the whole result; its attribute ``seconds`` is the wall time of all chunks.

        Raises:
            ValueError: Some chunks are missing, a minute later still, or cannot be read.
        """
        deadline = time.monotonic() + _LAG
        while not self.finished().all():
            if time.monotonic() >= deadline:
                raise ValueError(
                    f"{(~self.finished()).sum()} of {self._count} chunks are missing from store "
                    f"{self.path}: is it shared by all processes?"
                )
            time.sleep(1)
        whole, files = self._read(), self._arrays()
        lost = []
        for name in whole.attrs.pop(_VARIABLES, ()):
            if name not in files or files[name].nchunks_initialized < files[name].nchunks:
                lost.append(name)
        if lost:
            raise self._damaged(f"values of {', '.join(lost)} are missing")
        seconds = float(whole[_SECONDS].sum())
        # The coordinates are equal, but may have got another type on the way.
        whole = whole.drop_vars(_SECONDS).assign_coords(self._coords)
        return whole.assign_attrs(seconds=seconds)

    def _exists(self) -> bool:
        """Whether there is anything: an empty directory is as good as none."""
        if not self.path.is_dir():
            return self.path.exists()
        self._settle()
        return any(not entry.name.startswith(_NOTHING) for entry in self.path.iterdir())

    def _arrays(self, *names: str, mode: Literal["r", "r+"] = "r") -> dict[str, "zarr.Array"]:
        """Open some arrays, or all; listed by hand, as zarr warns of all that is not its own."""
        import zarr

        listed = names or sorted(file.parent.name for file in self.path.glob("*/.zarray"))
        return {
            name: zarr.open_array(self.path / name, mode=mode, zarr_format=2) for name in listed
        }

    def _read(self, *names: str) -> xr.Dataset:
        """Read some variables, or all."""
        try:
            return self._decoded(*names)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise self._damaged(f"it cannot be read ({error})") from error

    def _decoded(self, *names: str) -> xr.Dataset:
        import zarr

        variables = {}
        for name, array in self._arrays(*names).items():
            values, dims = np.asarray(array[...]), array.attrs["_ARRAY_DIMENSIONS"]
            if array.attrs.get("dtype") == "bool":  # as xarray writes them
                values = values.astype(bool)
            variables[name] = xr.Variable(dims, values)
        attrs = zarr.open_group(self.path, mode="r", zarr_format=2).attrs.asdict()
        return xr.Dataset(variables, attrs=attrs)

    def _damaged(self, what: str) -> ValueError:
        return ValueError(
            f"store {self.path} is damaged: {what}. Delete it to compute it anew, or take another"
        )

    def _check_writable(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for place in (self.path, *(file.parent for file in self.path.glob("*/.zarray"))):
                if not os.access(place, os.W_OK):
                    raise PermissionError(f"no permission to write to {place}")
            tempfile.TemporaryFile(dir=self.path).close()
        except OSError as error:
            raise ValueError(
                f"store must be a directory that can be written; got {self.path}: {error}"
            ) from error

    def _join(self, region: Region, values: Mapping[str, xr.Variable]) -> None:
        """Make the store unless another process has, and open its arrays to write."""
        import zarr

        if not self._exists():
            self._create(region, values)
        self._compare()
        self._grow()
        for draft in self.path.glob(f"{_DRAFT}*"):  # of processes that were killed or came late
            _discard(draft)
        self._kinds = self._read(_SECONDS).attrs[_VARIABLES]
        # A finished chunk has a file even where all its values are zero: a missing one is lost.
        for name, array in self._arrays(mode="r+").items():
            metadata: Any = array.metadata  # of either format, which no overload of zarr takes
            self._open_arrays[name] = zarr.Array(
                zarr.AsyncArray(metadata, array.store_path, {"write_empty_chunks": True})
            )

    def _create(self, region: Region, values: Mapping[str, xr.Variable]) -> None:
        """Put an empty store together in a folder, and move it into place.

        Whoever moves the folder of wall times first has made the store, for ever: such a folder
        does not move to where there is one. What else it has, any process may move (`_settle`).
        """
        kinds = {name: str(part.dtype) for name, part in values.items()}
        whole = empty(self._coords, {**self._attrs, _VARIABLES: kinds}, values)
        whole[_SECONDS] = ("chunk", np.full(self._count, np.nan))
        encoding = {
            name: {"chunks": (*part.shape[:-1], self._block)} for name, part in values.items()
        }
        encoding[_SECONDS] = {"chunks": (1,)}
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self.path))
        try:
            whole.to_zarr(
                draft / "unfinished", encoding=encoding, consolidated=False, zarr_format=2
            )
            os.rename(draft / "unfinished", draft / _READY)
            os.rename(draft / _READY / _SECONDS, self.path / _SECONDS)
        except OSError:
            if not self._exists():  # otherwise another process was first
                raise
        else:
            self._settle()
        finally:
            _discard(draft)

    def _settle(self) -> None:
        """Move the rest of a store that is in place in part; it may be that of a killed process."""
        for ready in self.path.glob(f"{_DRAFT}*/{_READY}"):
            if (ready / _SECONDS).exists():
                continue
            with contextlib.suppress(FileNotFoundError):  # another process has moved it
                for entry in sorted(ready.iterdir(), key=lambda entry: entry.name == ".zgroup"):
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(entry, self.path / entry.name)

    def _grow(self) -> None:
        """Add the instances that the store lacks.

        Several processes may do it at a time, and one that is killed is followed by another: the
        coordinate of the instances, which says that there is something to do, grows last.
        """
        before, after = self._arrays("instance")["instance"].size, len(self._coords["instance"])
        if before == after:
            return
        self._check_writable()
        files = self._arrays(mode="r+")
        if before % self._block:
            per_block = self._count // math.ceil(after / self._block)
            first = before // self._block * per_block
            files[_SECONDS][first : first + per_block] = np.nan
        for file in files.values():
            if file.ndim > 1:  # along the last dimension, which is that of the instances
                file.resize((*file.shape[:-1], after))
        files[_SECONDS].resize((self._count,))
        files["instance"].resize((after,))
        files["instance"][:] = self._coords["instance"]

    def _compare(self) -> None:
        try:
            files = self._arrays()
            size = files[_SECONDS].size
            coords = [
                name for name, file in files.items() if file.attrs["_ARRAY_DIMENSIONS"] == [name]
            ]
            found = self._decoded(*coords)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"store must be a new directory, an empty one or that of a sweep; {self.path} is "
                "none of these, or damaged"
            ) from error
        new = {name: values.tolist() for name, values in self._coords.items()}
        instances, there = len(self._coords["instance"]), found.sizes["instance"]
        new = {**self._attrs, **new, "instance": instances, _COUNT: self._count}
        old = {str(name): array.values.tolist() for name, array in found.coords.items()}
        old = {**found.attrs, **old, "instance": there, _COUNT: size}
        if there < instances:  # the others are added
            old |= {name: new[name] for name in ("instance", _COUNT)}
        # The version first: another one may have other parameters. The number of instances, which
        # may grow, and that of chunks, which follows from the rest, last.
        ranks = {"fatelib": 0, "instance": 2, "instances_per_chunk": 2, _COUNT: 3}
        for name in sorted({*old, *new} - _PROVENANCE, key=lambda name: (ranks.get(name, 1), name)):
            if old.get(name) != new.get(name):
                before, now = _apart(old.get(name), new.get(name))
                made = f"with {name}{_FROM.get(name, '')} = {before}, not"
                if name not in old:
                    made = f"without {name}, this one has"
                raise ValueError(
                    f"store {self.path} was made {made} {now}; take the same, or another store"
                )


def _discard(draft: Path) -> None:
    """Delete a draft, unless it holds the rest of a store that is in place in part."""
    ready = draft / _READY
    with contextlib.suppress(OSError):
        if any(ready.iterdir()) and not (ready / _SECONDS).exists():
            return
        # First its name, so that nobody takes what is left for such a rest.
        os.rename(ready, draft / "discarded")
    shutil.rmtree(draft, ignore_errors=True)


def _apart(old: Json, new: Json) -> tuple[str, str]:
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
