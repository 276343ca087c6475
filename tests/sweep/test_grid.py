"""Sweeps: what every cell holds, whatever the chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from small_grid import CELLS, GRID, KEY, QUIET, normals

from fatelib.sweep import sweep


def test_every_cell_is_what_it_says():
    data = sweep(normals, GRID, CELLS, instances=5, key=KEY, attrs={"note": 3}, **QUIET)
    assert dict(data.sizes) == {"scale": 2, "shift": 3, "cell": 3, "instance": 5}
    for i in range(5):
        draw = jax.random.normal(jax.random.fold_in(KEY, i), (3,))
        for scale in GRID["scale"]:
            for shift in GRID["shift"]:
                cell = data.sel(scale=scale, shift=shift, instance=i)
                np.testing.assert_allclose(cell.value, shift + scale * draw, atol=1e-6)
    assert data.sign.dtype == bool
    assert data.attrs["note"] == 3
    assert data.attrs["seconds"] > 0


def test_chunks_change_nothing():
    whole = sweep(normals, GRID, CELLS, instances=5, key=KEY, **QUIET)
    chunked = sweep(normals, GRID, CELLS, instances=5, key=KEY, chunk=2, **QUIET)
    xr.testing.assert_equal(whole, chunked)


def test_independent_cells_are_independent():
    options = {"instances": 400, "key": KEY, "common": False, **QUIET}
    data = sweep(normals, {"scale": [1.0], "shift": [0.0, 5.0]}, {"cell": [0, 1, 2]}, **options)
    first, second = (data.value.sel(scale=1.0, shift=s, cell=0) for s in (0.0, 5.0))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / 400**0.5
    # The numbers of a cell do not depend on the rest of the grid.
    part = sweep(normals, {"scale": [1.0], "shift": [5.0]}, {"cell": [0, 1, 2]}, **options)
    np.testing.assert_array_equal(part.value.sel(shift=5.0), data.value.sel(shift=5.0))
    # Two points that 32 bits (their CRC) do not tell apart.
    twins = {"x": [1.130463878164185, 2.0160405154174583]}
    data = sweep(lambda key, _, x: {"value": jax.random.normal(key)}, twins, {}, **options)
    assert abs(np.corrcoef(*data.value)[0, 1]) < 4 / 400**0.5


def test_preparation_is_shared():
    """Points that differ in traced dimensions only share it; static ones are Python values."""
    calls = []

    def prepare(keys, *, size):
        calls.append((len(keys), size))
        return jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys)

    def measure(key, prepared, *, size, factor):
        assert isinstance(size, int)
        return {"sum": factor * prepared.sum(), "length": jnp.asarray(size)}

    outer = {"factor": [1.0, 2.0, 3.0], "size": [2, 4]}
    options = {"instances": 5, "key": KEY, "prepare": prepare, "static": ("size",), "chunk": 3}
    data = sweep(measure, outer, {}, **options, **QUIET)
    assert calls == [(3, 2), (3, 2), (3, 4), (3, 4)]
    np.testing.assert_allclose(data["sum"].sel(factor=3.0), 3 * data["sum"].sel(factor=1.0))
    assert (data.length.sel(size=4) == 4).all()


def test_a_sweep_goes_on_from_another(tmp_path):
    """Each call gets the earlier result at its own point and instance; numbers fill no cells."""

    def first(key, prepared, *, x):
        return {"draw": x + jax.random.normal(key, (2,)), "mark": 10 * x}

    def second(key, prepared, *, x, y):
        return {"sum": y * prepared["draw"].sum() + prepared["mark"]}

    options = {"instances": 5, "key": KEY, "chunk": 2, **QUIET}
    one = sweep(first, {"x": [1.0, 2.0]}, {"c": [0, 1]}, store=tmp_path / "one", **options)
    assert one.draw.dims == ("x", "c", "instance")
    assert one.mark.dims == ("x", "instance")
    assert (one.mark.sel(x=2.0) == 20).all()
    two = sweep(second, {"x": [1.0, 2.0], "y": [3.0]}, {}, given=one, **options)
    np.testing.assert_allclose(two["sum"].sel(y=3.0), 3 * one.draw.sum("c") + one.mark, rtol=1e-6)
    for changes, message in (
        ({"outer": {"x": [2.0], "y": [3.0]}}, "given must have the same x as outer"),
        ({"outer": {"x": [2.0, 1.0], "y": [3.0]}}, "given must have the same x as outer"),
        ({"key": jax.random.key(9)}, "given must come from a sweep with the same key"),
    ):
        arguments = {"outer": {"x": [1.0, 2.0], "y": [3.0]}, "inner": {}, **options, **changes}
        with pytest.raises(ValueError, match=message):
            sweep(second, given=one, **arguments)
    with pytest.raises(ValueError, match="given takes the place of prepare"):
        sweep(second, {"x": [1.0]}, {}, given=one, prepare=lambda keys: keys, **options)
    with pytest.raises(ValueError, match="given must have 4 instances; got 5"):
        sweep(second, {"x": [1.0]}, {}, given=one, **{**options, "instances": 4})
