"""Random numbers: the same under every generator and chunk, and refused where they differ."""

import jax
import numpy as np
import pytest
import xarray as xr
from small_grid import KEY, QUIET, never

from fatelib.sweep import sweep


def draw(key, prepared, *, x):
    return {"value": jax.random.normal(key) + prepared}


def prepare(keys):
    """Draw in a batch of all instances of a chunk."""
    return jax.vmap(jax.random.uniform)(keys)


@pytest.mark.parametrize("raw", [False, True])
def test_other_random_bits_are_refused(tmp_path, raw):
    """The same words of a key give other numbers under another setting of JAX."""
    key = jax.random.key_data(KEY) if raw else KEY
    options = {"key": key, "instances": 2, "chunk": 1, "store": tmp_path / "a.zarr", **QUIET}
    usual = jax.config.jax_threefry_partitionable
    whole = sweep(draw, {"x": [0.0, 1.0]}, {}, prepare=prepare, **options)
    try:
        jax.config.update("jax_threefry_partitionable", not usual)
        with pytest.raises(ValueError, match=r"made with random_bits \(jax_threefry_part.*, not"):
            sweep(never, {"x": [0.0, 1.0]}, {}, prepare=prepare, **options)
        with pytest.raises(ValueError, match=r"given must come from .* the same key \(random_bits"):
            sweep(never, {"x": [0.0, 1.0]}, {}, given=whole, **{**options, "store": None})
    finally:
        jax.config.update("jax_threefry_partitionable", usual)
    again = sweep(never, {"x": [0.0, 1.0]}, {}, prepare=prepare, **options)
    xr.testing.assert_identical(again, whole)


def test_another_generator_of_the_key_is_refused(tmp_path):
    """Of the same four words, typed, and raw under another default of JAX."""
    words = jax.random.key_data(jax.random.key(3, impl="rbg"))
    options = {"instances": 2, "store": tmp_path / "a.zarr", **QUIET}
    rbg, unsafe = (jax.random.wrap_key_data(words, impl=i) for i in ("rbg", "unsafe_rbg"))
    sweep(draw, {"x": [0.0]}, {}, prepare=prepare, key=rbg, **options)
    other = r"made with generator \(of the key\) = rbg, not unsafe_rbg"
    with pytest.raises(ValueError, match=other):
        sweep(never, {"x": [0.0]}, {}, key=unsafe, **options)
    with jax.default_prng_impl("unsafe_rbg"), pytest.raises(ValueError, match=other):
        sweep(never, {"x": [0.0]}, {}, key=words, **options)
    with jax.default_prng_impl("rbg"):
        sweep(never, {"x": [0.0]}, {}, key=words, **options)


@pytest.mark.parametrize("platforms", [("cpu",), ()])
@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_no_generator_makes_chunks_matter(monkeypatch, impl, platforms):
    """Under `vmap` draws of the last two depend on the batch; also in the form for accelerators."""
    monkeypatch.setattr("fatelib.descent.batch._ONE_BY_ONE", platforms)
    key = jax.random.key(7, impl=impl)
    whole, *parts = (
        sweep(draw, {"x": [0.0]}, {}, key=key, instances=6, chunk=chunk, prepare=prepare, **QUIET)
        for chunk in (6, 1, 4)
    )
    assert len(np.unique(whole.value)) == 6
    for part in parts:
        np.testing.assert_allclose(part.value, whole.value, rtol=1e-6)
