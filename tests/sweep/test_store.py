"""Stores: when one may be joined, and that what is missing is never taken for a result."""

import contextlib
import os
import shutil

import numpy as np
import pytest
import xarray as xr

from fatelib.sweep import store
from fatelib.sweep.store import Store

COORDS = {"x": np.array([1.0, 2.0, 3.0]), "instance": np.arange(4)}
ATTRS = {"sigma": 0.2, "jax": "1"}


def new(path, attrs=ATTRS):
    return Store(path, COORDS, attrs, 3, 4)


def fill(target, chunk):
    values = {
        "risk": xr.Variable(tuple(COORDS), np.full((1, 4), 1.0 + chunk, np.float32)),
        "converged": xr.Variable(tuple(COORDS), np.full((1, 4), chunk != 1)),
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


@pytest.mark.parametrize("step", range(1, 9))
@pytest.mark.parametrize("killed", [True, False])
def test_a_store_is_made_whole_after_any_interruption(tmp_path, monkeypatch, step, killed):
    """Killed, or by Ctrl-C, which still tidies up, at any move into place."""
    rename, moves = os.rename, []

    def stop(source, target):
        moves.append(target)
        if len(moves) == step:
            if killed:
                monkeypatch.setattr(shutil, "rmtree", lambda *arguments, **options: None)
                monkeypatch.setattr(os, "rename", lambda source, target: None)
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", stop)
        with contextlib.suppress(KeyboardInterrupt):
            fill(new(tmp_path / "a.zarr"), 0)
        patch.undo()
    monkeypatch.undo()
    target = new(tmp_path / "a.zarr")
    for chunk in range(3):
        fill(target, chunk)
    assert new(tmp_path / "a.zarr").load().risk.values[:, 0].tolist() == [1, 2, 3]
    assert not [path for path in target.path.iterdir() if path.name.startswith(".fatelib")]
    with xr.open_zarr(target.path, consolidated=False, chunks=None) as opened:
        assert opened.attrs["sigma"] == 0.2


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A store with all its chunks."""
    target = new(tmp_path_factory.mktemp("stores") / "complete.zarr")
    for chunk in range(3):
        fill(target, chunk)
    return target.path


DAMAGED = r"store .* is damaged: "
NONE_OF_THESE = r"store must be a new directory, an empty one or that of a sweep; .*damaged"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("risk/1.0", b"", DAMAGED + "it cannot be read"),
        ("risk/1.0", b"\x02\x01" + 40 * b"x", DAMAGED + "it cannot be read"),
        ("risk/1.0", None, DAMAGED + "values of risk are missing"),
        ("converged/1.0", None, DAMAGED + "values of converged are missing"),
        ("risk/.zarray", None, DAMAGED + "values of risk are missing"),
        ("risk/.zarray", b"{oops", NONE_OF_THESE),
        ("chunk_seconds/1", b"x", DAMAGED + "it cannot be read"),
        ("chunk_seconds/.zarray", None, NONE_OF_THESE),
        ("x/0", b"x", NONE_OF_THESE),
        ("x/.zarray", None, r"was made without x, this one has \[1.0, 2.0, 3.0\]"),
        (".zgroup", None, NONE_OF_THESE),
        (".zattrs", None, "was made without sigma, this one has 0.2"),
        (".zattrs", b"\xff", NONE_OF_THESE),
    ],
)
def test_a_damaged_store_is_refused(complete, tmp_path, file, content, message):
    path = shutil.copytree(complete, tmp_path / "a.zarr")
    if content is None:
        (path / file).unlink()
    else:
        (path / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        new(path).load()


@pytest.mark.parametrize(
    ("instances", "changed", "message"),
    [
        (40, None, r"with instance = 50, not 40"),
        (50, 17, r"with x = \.\.\., 17, \.\.\. at place 17, not -1"),
    ],
)
def test_a_difference_is_shown_where_it_is(tmp_path, instances, changed, message):
    def made(instances, changed):
        x = np.arange(30)
        if changed is not None:
            x[changed] = -1
        coords = {"x": x, "instance": np.arange(instances)}
        return Store(tmp_path / "a.zarr", coords, ATTRS, 30, instances)

    values = {"risk": xr.Variable(("x", "instance"), np.ones((1, 50)))}
    made(50, None).write(0, {"x": slice(0, 1), "instance": slice(0, 50)}, values, 0.5)
    with pytest.raises(ValueError, match=message):
        made(instances, changed)


def test_a_difference_late_in_a_long_text_is_shown(tmp_path):
    fill(new(tmp_path / "a.zarr", {"about": 80 * "x" + "one"}), 0)
    with pytest.raises(ValueError, match=r"with about = \.\.\.x+one\.\.\., not \.\.\.x+two"):
        new(tmp_path / "a.zarr", {"about": 80 * "x" + "two"})


def test_a_whole_store_is_read_where_nothing_can_be_written(complete, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert new(complete).load().risk.values[:, 0].tolist() == [1, 2, 3]


def test_an_empty_directory_is_a_new_store(tmp_path):
    target = new(tmp_path)
    fill(target, 0)
    assert target.finished().tolist() == [True, False, False]


def make_array(path):
    import zarr

    zarr.create_array(str(path), shape=(3,), dtype="f4")


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("mine"),
        lambda path: path.mkdir() or (path / "thesis.txt").write_text("mine"),
        make_array,
        lambda path: xr.Dataset({"risk": ("x", [1.0])}).to_zarr(path, zarr_format=2),
    ],
)
def test_what_others_made_is_left_alone(tmp_path, make):
    path = tmp_path / "a.zarr"
    make(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=NONE_OF_THESE):
        new(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_cannot_be_written_is_noticed_before_the_first_chunk(complete, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="store must be a directory that can be written; got"):
        new(tmp_path / "file" / "a.zarr")
    path = shutil.copytree(complete, tmp_path / "a.zarr")
    (path / "chunk_seconds/1").unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match=r"must be a directory that can be written.*no permission"):
        new(path)
