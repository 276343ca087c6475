"""Plans: which arguments are taken, as what, and which are refused by name."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from small_grid import CELLS, GRID, KEY, QUIET, never, normals

from fatelib.sweep import sweep


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"instances": 0}, "instances must be"), ({"chunk": 0}, "chunk must be an integer >= 1")],
)
def test_impossible_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        sweep(normals, GRID, CELLS, **{"instances": 2, "key": KEY, **changes}, **QUIET)


@pytest.mark.parametrize("name", ["instance", "chunk", "chunk_seconds", "cell", "a/b"])
def test_dimensions_have_names_of_their_own(name):
    with pytest.raises(ValueError, match="must have names of its own; got"):
        sweep(never, {name: [1.0]}, {"cell": [0]}, instances=2, key=KEY, **QUIET)


def test_counts_may_be_numbers_of_any_library():
    one = sweep(normals, GRID, CELLS, instances=4, chunk=2, at_once=2, key=KEY, **QUIET)
    for number in (np.int64, jnp.int32, float, np.array):
        counts = {"instances": number(4), "chunk": number(2), "at_once": number(2)}
        data = sweep(normals, GRID, CELLS, **counts, key=KEY, common=np.bool_(True), **QUIET)
        xr.testing.assert_identical(*(part.assign_attrs(seconds=0.0) for part in (one, data)))
