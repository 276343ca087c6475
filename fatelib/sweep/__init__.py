"""Grids of any experiment, as labelled data: `sweep`, its stores and what its results share."""

from fatelib.sweep.grid import sweep
from fatelib.sweep.instance import standard_error, stream, with_transferability
from fatelib.sweep.keys import instance_keys

__all__ = ["instance_keys", "standard_error", "stream", "sweep", "with_transferability"]
