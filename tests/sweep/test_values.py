"""Values of dimensions and parameters: what is taken, in which form, and what is refused."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_grid import CELLS, GRID, KEY, QUIET, never, normals

from fatelib.sweep import sweep


@pytest.mark.parametrize(
    "attrs",
    [
        {"a": (1, 2), "b": {"c": (np.float32(0.5), None, True), "d": {}}},
        {"a": np.arange(3), "b": jnp.arange(2.0), "c": jnp.asarray(3), "d": np.array([["x", "y"]])},
        {"a": np.int64(3), "b": np.bool_(False), "c": np.str_("x"), "d": np.float64(0.1)},
        {"a": np.inf, "b": [-np.inf, np.nan], "c": 1e300, "d": 10**30, "e": jnp.float32(np.nan)},
        {
            "a": pathlib.Path("data") / "x",
            "b": None,
            "c": True,
            "d": [],
            "é": "→",
            "coordinates": "x",
        },
        {"a": jnp.bfloat16(1.5), "b": pd.Series([1, 2]), "c": xr.DataArray([0.5]), "d": {"x": ()}},
    ],
)
def test_parameters_are_the_same_with_a_store(tmp_path, attrs):
    """Compared as they are returned: a sweep refuses its own store never."""
    options = {"instances": 2, "key": KEY, "chunk": 1, "attrs": attrs, **QUIET}
    store = tmp_path / "a.zarr"
    memory = sweep(normals, GRID, CELLS, **options)
    stored = sweep(normals, GRID, CELLS, store=store, **options)
    again = sweep(never, GRID, CELLS, store=store, **options)
    xr.testing.assert_identical(again, stored)
    seconds = {"seconds": 0.0}
    xr.testing.assert_identical(memory.assign_attrs(seconds), stored.assign_attrs(seconds))
    assert {name: type(value) for name, value in memory.attrs.items()} == {
        name: type(value) for name, value in stored.attrs.items()
    }
    assert attrs.keys() <= memory.attrs.keys()


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"a": {1, 2}}, r"attrs: a must be text, a number.*; got \{1, 2\}"),
        ({"a": [1j]}, "attrs: a must be"),
        ({"a": {"b": {"c": object}}}, r"attrs: a\.b\.c must be"),
        ({"a": b"x"}, r"attrs: a must be .*; got b'x'"),
        ({"a": np.datetime64("2020-01-01")}, "attrs: a must be"),
        ({"a": print}, "attrs: a must be"),
        ({"a": KEY}, "attrs: a must be"),
        ({"a": {1: 2}}, "attrs: a: every name must be text; got 1"),
        ({"key": 2}, "attrs must not name what a sweep records itself; got 'key'"),
        ({"scale": 2}, "attrs must not name what a sweep records itself; got 'scale'"),
        ({"seconds": 2}, "attrs must not name what a sweep records itself; got 'seconds'"),
    ],
)
@pytest.mark.parametrize("store", [None, "a.zarr"])
def test_parameters_that_no_store_holds_are_refused_at_once(
    tmp_path, monkeypatch, attrs, message, store
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=message):
        sweep(never, GRID, CELLS, instances=2, key=KEY, attrs=attrs, store=store, **QUIET)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "values",
    [
        (1, 2, 3),
        range(1, 4),
        np.array([1, 2, 3], ">i4"),
        jnp.array([1, 2, 3]),
        [jnp.int32(1), np.int64(2), 3],
        pd.Series([1, 2, 3], index=[7, 8, 9]),
        pd.Index([1, 2, 3], dtype=object),
        xr.DataArray([1, 2, 3]),
        np.array([1, 2, 3], np.float16),
        jnp.array([1, 2, 3], jnp.bfloat16),
        np.array([1, 2, 3], np.longdouble),
    ],
)
def test_values_come_in_any_list(tmp_path, values):
    """As traced numbers, Python numbers and coordinates, in memory as in a store."""

    def measure(key, prepared, *, x, n):
        assert type(n) in (int, float)
        return {"sum": jnp.full(3, x + n)}

    def run(**options):
        grids = {"x": values, "n": values}, {"cell": values}
        return sweep(measure, *grids, static=["n"], instances=2, key=KEY, **options, **QUIET)

    memory, stored = run(), run(store=tmp_path / "a.zarr")
    xr.testing.assert_identical(run(store=tmp_path / "a.zarr"), stored)
    xr.testing.assert_equal(memory, stored)
    for name in memory.variables:
        assert memory[name].dtype == stored[name].dtype
    assert memory["sum"].isel(cell=0, instance=0).values.tolist() == [
        [2, 3, 4],
        [3, 4, 5],
        [4, 5, 6],
    ]
    assert memory.x.values.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "values",
    [
        ["a", "é", ""],
        np.array(["a", "b"]),
        pd.Series(["a", "b"]),
        pd.Index(["x"]),
        [True, False],
        [np.inf, 1.0],
    ],
)
def test_values_may_be_texts_and_truths(tmp_path, values):
    def measure(key, prepared, *, x):
        assert isinstance(x, (str, bool, float))
        return {"value": jax.random.normal(key, (len(values),))}

    def run(measure=measure, **options):
        grids = {"x": values}, {"cell": values}
        return sweep(measure, *grids, static=["x"], instances=2, key=KEY, **options, **QUIET)

    memory, stored = run(), run(store=tmp_path / "a.zarr")
    xr.testing.assert_identical(run(never, store=tmp_path / "a.zarr"), stored)
    xr.testing.assert_equal(memory, stored)
    assert memory.x.dtype == stored.x.dtype
    assert stored.cell.values.tolist() == list(values)


@pytest.mark.parametrize(
    ("outer", "message"),
    [
        ([None, 1], r"outer: x must be a list of numbers.*; got \[None, 1\]"),
        ([(1, 2), (3, 4)], "outer: x must be a list of numbers"),
        ([(1, 2), 3], "outer: x must be a list of numbers"),
        ([1, "a"], "outer: x must be a list of numbers"),
        ([True, 2], "outer: x must be a list of numbers"),
        ("abc", r"outer: x must be a list of numbers.*; got 'abc'"),
        (3.0, r"outer: x must be a list of numbers.*; got 3\.0"),
        (None, "outer: x must be a list of numbers"),
        ({1: 2}, "outer: x must be a list of numbers"),
        (np.ones((2, 2)), "outer: x must be a list of numbers"),
        (np.array(3.0), "outer: x must be a list of numbers"),
        ([1j], "outer: x must be a list of numbers"),
        (pd.to_datetime(["2020-01-01"]), "outer: x must be a list of numbers"),
        (pd.DataFrame({"a": [1]}), "outer: x must be a list of numbers"),
        ([float("nan"), 1.0], "outer: x must be .*without NaN"),
        (["a", "b"], r"outer: x must be numbers, or be named in static; got \['a', 'b'\]"),
        ([1, 2**40], "outer: x must be numbers that int32 holds; got 1099511627776"),
        ([1.0, 1e300], r"outer: x must be numbers that float32 holds; got 1e\+300"),
        (np.array([2, 2]), "x must have values, each once"),
        (jnp.zeros(0), "x must have values, each once"),
    ],
)
@pytest.mark.parametrize("store", [None, "a.zarr"])
def test_other_values_are_refused_at_once(tmp_path, monkeypatch, outer, message, store):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=message):
        sweep(never, {"x": outer}, {}, instances=2, key=KEY, store=store, **QUIET)
    assert not any(tmp_path.iterdir())
