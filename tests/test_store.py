"""Stores: when one may be joined, and that what is missing is never taken for a result."""

import os

import numpy as np
import pytest
import xarray as xr

from fatelib import store
from fatelib.store import Store

COORDS = {"x": np.array([1.0, 2.0, 3.0]), "instance": np.arange(4)}
ATTRS = {"sigma": 0.2, "jax": "1"}


def new(path, attrs=ATTRS):
    return Store(path, COORDS, attrs, 3, 4)


def fill(target, chunk):
    values = {
        "risk": xr.Variable(tuple(COORDS), np.full((1, 4), 1.0 + chunk, np.float32)),
        "converged": xr.Variable(tuple(COORDS), np.ones((1, 4), bool)),
    }
    region = {"x": slice(chunk, chunk + 1), "instance": slice(0, 4)}
    target.write(chunk, region, values, 0.5)


def test_what_is_missing_is_nan_and_not_loaded(tmp_path, monkeypatch):
    target = new(tmp_path / "a.zarr")
    fill(target, 1)
    half = xr.open_zarr(target.path, consolidated=False, chunks=None)
    np.testing.assert_array_equal(half.risk.isel(instance=0), [np.nan, 2, np.nan])
    monkeypatch.setattr(store, "_LAG", 0.0)
    with pytest.raises(ValueError, match=r"2 of 3 chunks are missing from .*: is it shared by all"):
        target.load()
    with pytest.raises(ValueError, match="3 of 3 chunks are missing"):
        new(tmp_path / "b.zarr").load()


def test_what_shows_late_is_waited_for(tmp_path, monkeypatch):
    target = new(tmp_path / "a.zarr")
    fill(target, 0)
    fill(target, 1)
    monkeypatch.setattr("time.sleep", lambda seconds: fill(target, 2))
    assert target.load().risk.values[:, 0].tolist() == [1, 2, 3]


def test_stores_opened_at_one_time_compare_before_they_write(tmp_path):
    first = new(tmp_path / "a.zarr")
    same = new(tmp_path / "a.zarr", {**ATTRS, "jax": "2"})  # only recorded
    other = new(tmp_path / "a.zarr", {**ATTRS, "sigma": 0.3})
    fill(first, 0)
    fill(same, 1)
    with pytest.raises(ValueError, match=r"made with sigma = 0.2, not 0.3"):
        fill(other, 2)
    assert first.finished().tolist() == [True, True, False]


@pytest.mark.parametrize("sigma", [0.2, 0.3])
def test_a_lost_race_is_compared_too(tmp_path, monkeypatch, sigma):
    """Another process makes the store between our look at it and our move into place."""
    first, second = new(tmp_path / "a.zarr"), new(tmp_path / "a.zarr", {**ATTRS, "sigma": sigma})
    rename = os.rename

    def late(source, target):
        monkeypatch.setattr(os, "rename", rename)
        fill(first, 0)
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    if sigma == 0.2:
        fill(second, 1)
        assert first.finished().tolist() == [True, True, False]
    else:
        with pytest.raises(ValueError, match=r"made with sigma = 0.2, not 0.3"):
            fill(second, 1)
        assert first.finished().tolist() == [True, False, False]
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
