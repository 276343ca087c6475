"""Sweeps with a store: what is continued, what is added and what is refused."""

import threading
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
import zarr
from small_grid import CELLS, GRID, KEY, QUIET, never, normals

from fatelib.sweep import sweep


def test_a_store_is_continued(tmp_path):
    """Only what is missing is done; the result is that of one go, to the last bit."""
    store = tmp_path / "sub" / "results.zarr"
    calls = []

    def prepare(keys):
        calls.append(len(keys))
        return keys

    options = {"instances": 5, "key": KEY, "chunk": 2, "prepare": prepare, **QUIET}
    whole = sweep(normals, GRID, CELLS, store=store, **options)
    assert calls == [2] * 3
    again = sweep(normals, GRID, CELLS, store=store, **options)
    assert calls == [2] * 3
    xr.testing.assert_identical(whole, again)
    # A chunk whose mark is lost is done again.
    marks = store / "chunk_seconds"
    (marks / "7").unlink()
    again = sweep(normals, GRID, CELLS, store=store, **options)
    assert calls == [2] * 4
    xr.testing.assert_equal(whole, again)
    # And any tool opens it.
    with xr.open_zarr(store, consolidated=False, chunks=None) as opened:
        xr.testing.assert_equal(opened.drop_vars("chunk_seconds").load(), whole)


def files_of(store):
    """When each file of results was written; what describes them may change."""
    return {
        path.relative_to(store): path.stat().st_mtime_ns
        for path in store.rglob("*")
        if path.is_file() and not path.name.startswith(".z")
    }


@pytest.mark.parametrize("common", [True, False])
@pytest.mark.parametrize(
    ("chunk", "few", "many", "whole_chunks"),
    [(None, 3, 8, True), (4, 4, 9, True), (2, 4, 5, True), (4, 6, 11, False), (5, 4, 12, True)],
)
def test_more_instances_are_added_to_a_store(tmp_path, chunk, few, many, whole_chunks, common):
    """Chunks that are whole stay as they are, and all is as in a run of its own."""
    store = tmp_path / "a.zarr"
    options = {"key": KEY, "chunk": chunk, "common": common, "static": ["scale"], **QUIET}
    sweep(normals, GRID, CELLS, instances=few, store=store, **options)
    before = files_of(store)
    grown = sweep(normals, GRID, CELLS, instances=many, store=store, **options)
    alone = sweep(normals, GRID, CELLS, instances=many, **options)
    xr.testing.assert_equal(grown, alone)
    assert grown.attrs.keys() == alone.attrs.keys()
    assert grown.attrs["instances_per_chunk"] == min(chunk or few, few)
    after = files_of(store)
    kept = {path for path, when in before.items() if after[path] == when}
    results = {path for path in before if path.parts[0] in ("value", "sign")}
    if whole_chunks:
        assert results <= kept
    else:  # the first of two chunks at each point is whole, the second was short
        assert results & kept == {path for path in results if path.name.endswith("0")}
    # With the same number nothing is done again; with fewer the store is another one.
    again = sweep(normals, GRID, CELLS, instances=many, store=store, **options)
    xr.testing.assert_identical(again, grown)
    assert files_of(store) == after
    with pytest.raises(ValueError, match=rf"made with instance = {many}, not {few}"):
        sweep(normals, GRID, CELLS, instances=few, store=store, **options)


def test_a_store_grows_after_an_interruption_too(tmp_path):
    """Of a sweep that was stopped, and of one that was stopped while it grew."""
    calls = iter(range(1000))

    def stopped(key, prepared, *, scale, shift):
        if next(calls) > 0:  # it is traced once, and again where shapes or constants differ
            raise KeyboardInterrupt
        return normals(key, prepared, scale=scale, shift=shift)

    options = {"key": KEY, "chunk": 2, **QUIET}
    store = tmp_path / "a.zarr"
    with pytest.raises(KeyboardInterrupt):
        sweep(stopped, GRID, CELLS, instances=3, store=store, static=["scale"], **options)
    assert np.isfinite(zarr.open_array(store / "chunk_seconds", mode="r")[:]).any()
    # As a kill leaves it: some arrays have grown, the coordinate of the instances has not.
    for name in ("value", "chunk_seconds"):
        array = zarr.open_array(store / name, mode="r+")
        array.resize((*array.shape[:-1], 7) if name == "value" else (24,))
    grown = sweep(normals, GRID, CELLS, instances=7, store=store, static=["scale"], **options)
    alone = sweep(normals, GRID, CELLS, instances=7, static=["scale"], **options)
    xr.testing.assert_equal(grown, alone)


def test_a_store_keeps_its_chunks_where_more_memory_is_given(tmp_path):
    store = tmp_path / "a.zarr"
    kept = sweep(normals, GRID, CELLS, instances=5, key=KEY, chunk=2, store=store, **QUIET)
    data = sweep(normals, GRID, CELLS, instances=5, key=KEY, chunk=4, store=store, **QUIET)
    xr.testing.assert_identical(data, kept)


def test_other_parameters_are_refused(tmp_path):
    store = tmp_path / "results.zarr"
    options = {"instances": 2, "store": store, **QUIET}
    sweep(normals, GRID, CELLS, key=KEY, attrs={"sigma": 0.2}, **options)
    with pytest.raises(ValueError, match=r"made with sigma = 0.2, not 0.3; take the same"):
        sweep(normals, GRID, CELLS, key=KEY, attrs={"sigma": 0.3}, **options)
    with pytest.raises(ValueError, match=r"made with key = \[0, 0\], not \[0, 1\]"):
        sweep(normals, GRID, CELLS, key=jax.random.key(1), attrs={"sigma": 0.2}, **options)
    with pytest.raises(ValueError, match=r"made with shift = \[0.0, 5.0, 7.0\], not \[0.0, 6.0\]"):
        sweep(
            normals, {**GRID, "shift": [0.0, 6.0]}, CELLS, key=KEY, attrs={"sigma": 0.2}, **options
        )
    with pytest.raises(
        ValueError, match=r"instances_per_chunk \(from memory or chunk\) = 2, not 1"
    ):
        sweep(normals, GRID, CELLS, key=KEY, attrs={"sigma": 0.2}, chunk=1, **options)


def test_another_version_or_precision_is_refused(tmp_path, monkeypatch):
    options = {"instances": 2, "key": KEY, "store": tmp_path / "results.zarr", **QUIET}
    sweep(normals, GRID, CELLS, **options)
    with (
        jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64(),
        pytest.raises(ValueError, match="made with dtype = float32, not float64"),
    ):
        sweep(normals, GRID, CELLS, **options)
    # Another version of JAX is recorded only.
    monkeypatch.setattr(jax, "__version__", "99.0")
    assert sweep(normals, GRID, CELLS, **options).attrs["jax"] != "99.0"
    monkeypatch.setattr("fatelib.sweep.plan.version", lambda package: "99.0")
    # The version is named even where parameters differ too.
    with pytest.raises(ValueError, match=r"made with fatelib = .*, not 99.0"):
        sweep(normals, GRID, CELLS, attrs={"a new parameter": 1}, **options)


def test_foreign_directories_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="store must be a new directory, an empty one or that"):
        sweep(normals, GRID, CELLS, instances=2, key=KEY, store=tmp_path, **QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_stored_result_is_written_like_one_in_memory(tmp_path):
    options = {"instances": 5, "key": KEY, "chunk": 2, "attrs": {"note": "x", "n": 3}, **QUIET}
    memory = sweep(normals, GRID, CELLS, **options)
    stored = sweep(normals, GRID, CELLS, store=tmp_path / "a.zarr", **options)
    for data, name in ((memory, "memory"), (stored, "stored")):
        data.to_zarr(tmp_path / f"{name}.zarr", zarr_format=2, consolidated=False)
        data.isel(instance=slice(1, 4)).to_zarr(
            tmp_path / f"part-{name}.zarr", zarr_format=2, consolidated=False
        )
        data.to_netcdf(tmp_path / f"{name}.nc", engine="scipy")
    first, second = (
        xr.open_zarr(tmp_path / f"{n}.zarr", consolidated=False, chunks=None).load()
        for n in ("memory", "stored")
    )
    for one, other in ((memory, stored), (first, second)):
        xr.testing.assert_identical(one.assign_attrs(seconds=0.0), other.assign_attrs(seconds=0.0))
        for name in one.variables:
            assert one[name].dtype == other[name].dtype
    assert str(first.value.encoding) == str(second.value.encoding).replace("stored", "memory")
    assert not any(stored[name].encoding for name in stored.variables)
    one, other = (
        xr.load_dataset(tmp_path / f"{n}.nc", engine="scipy") for n in ("memory", "stored")
    )
    xr.testing.assert_identical(one.assign_attrs(seconds=0.0), other.assign_attrs(seconds=0.0))


def test_sweeps_in_threads_leave_one_another_alone(tmp_path):
    """Four with stores of their own and mostly zeros, which zarr leaves out unless told."""

    def measure(key, prepared, *, x):
        return {"count": jnp.where(x < 58, 0, x), "sign": x > 58}

    results, outer = {}, {"x": [float(x) for x in range(60)]}

    def run(number):
        results[number] = sweep(
            measure, outer, {}, instances=2, chunk=1, key=KEY, store=tmp_path / f"{number}", **QUIET
        )

    before = zarr.config.get("array.write_empty_chunks"), list(warnings.filters)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(4))
    for data in results.values():
        assert data["count"].sel(instance=0).values.tolist() == [0.0] * 58 + [58.0, 59.0]
    assert before == (zarr.config.get("array.write_empty_chunks"), list(warnings.filters))


def test_an_empty_directory_is_filled_in_place(tmp_path, monkeypatch):
    """Nothing is made beside it, and nothing takes its place: its parent may be read-only."""
    parent = tmp_path / "parent"
    folder = parent / "x.zarr"
    folder.mkdir(parents=True)
    before = folder.stat().st_ino, parent.stat().st_mtime_ns
    options = {"instances": 2, "key": KEY, "chunk": 1, "store": folder, **QUIET}
    data = sweep(normals, GRID, CELLS, **options)
    assert before == (folder.stat().st_ino, parent.stat().st_mtime_ns)
    xr.testing.assert_identical(sweep(never, GRID, CELLS, **options), data)
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".fatelib")]
