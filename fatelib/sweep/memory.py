"""Results of a sweep in memory, and what they have in common with those on disk."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from fatelib.sweep.values import Json

Region = Mapping[str, slice]


class Memory:
    """Results in memory, that fill chunk by chunk.

    Args:
        coords: The values along every dimension of the whole result, in order.
        attrs: Its attributes.
        count: Number of chunks.
    """

    def __init__(
        self, coords: Mapping[str, np.ndarray], attrs: Mapping[str, Json], count: int
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
            self._whole = empty(self._coords, self._attrs, values)
        check_alike({str(n): str(v.dtype) for n, v in self._whole.data_vars.items()}, values)
        for name, part in values.items():
            self._whole[name][{dim: region[str(dim)] for dim in part.dims}] = part.values
        self._seconds[chunk] = seconds

    def load(self) -> xr.Dataset:
        """Return the whole result; its attribute ``seconds`` is the wall time of all chunks."""
        return self._whole.assign_attrs(seconds=float(self._seconds.sum()))


def empty(
    coords: Mapping[str, np.ndarray], attrs: Mapping[str, Json], values: Mapping[str, xr.Variable]
) -> xr.Dataset:
    """Return a result without values: NaN, or 0 where a variable holds integers or booleans."""
    arrays = {}
    for name, part in values.items():
        shape = tuple(len(coords[str(dim)]) for dim in part.dims)
        missing = np.nan if part.dtype.kind == "f" else 0
        arrays[name] = (part.dims, np.full(shape, missing, part.dtype))
    return xr.Dataset(arrays, dict(coords), dict(attrs))


def check_alike(kinds: Mapping[str, str], values: Mapping[str, xr.Variable]) -> None:
    """Raise unless a chunk has the variables of the first one, with the same types."""
    found = {name: str(part.dtype) for name, part in values.items()}
    if found != kinds:
        raise ValueError(
            f"measure must return the same names and types at all points; got {found} after "
            f"{dict(kinds)}"
        )
