"""A small grid that the tests of sweeps share."""

import jax

KEY = jax.random.key(0)
QUIET = {"progress": False}
GRID = {"scale": [1.0, 2.0], "shift": [0.0, 5.0, 7.0]}
CELLS = {"cell": ["a", "b", "c"]}


def normals(key, prepared, *, scale, shift):
    """One normal number for each of three cells, the same ones at every point."""
    value = shift + scale * jax.random.normal(key, (3,))
    return {"value": value, "sign": value > 0}


def never(key, prepared, **point):
    """Stand for an experiment that must not be reached."""
    raise AssertionError("computed, though the sweep is impossible")
