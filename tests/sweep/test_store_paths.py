"""Where a store may be: directories of this machine, refused at once where they are none."""

import os
import pathlib
import shutil

import jax
import pytest
import xarray as xr
from small_grid import KEY, QUIET, never

import fatelib
import fatelib.figures
from fatelib.sweep import sweep

ADDRESSES = ["s3://bucket/x.zarr", "gs://b/x", "memory://x", "file:///tmp/x", "s3:/bucket/x.zarr"]
ADDRESSES += ["HTTPS://host/x", "simplecache::s3://bucket/x", pathlib.Path("s3://bucket/x.zarr")]


def everything(store):
    """All that takes a store."""
    options = {"instances": 2, "key": KEY, "store": store, **QUIET}
    relu = {"d": 4, "width": 8, "teacher_width": 4, "steps": 50, **options}
    ridge = fatelib.figures.FIGURES["fig-ridge"]
    return [
        lambda: sweep(never, {"x": [0.0]}, {}, **options),
        lambda: fatelib.phase_diagram("fine_tuning", [1.0], [0.5], d=20, sigma=0.0, **options),
        lambda: fatelib.relu_phase_diagram([0.5], [8], **relu),
        lambda: ridge.compute(d=20, instances=2, store=store, progress=False),
    ]


@pytest.mark.parametrize("store", ADDRESSES, ids=str)
def test_addresses_are_refused_at_once(tmp_path, monkeypatch, store):
    monkeypatch.chdir(tmp_path)
    for call in everything(store):
        with pytest.raises(ValueError, match="store must be a directory on this machine, not an"):
            call()
    # Made absolute before we see it.
    with pytest.raises(ValueError, match="not an address"):
        sweep(never, {"x": [0.0]}, {}, instances=2, key=KEY, store=tmp_path / "s3:" / "b", **QUIET)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "store",
    ["", " ", "a\0b", "file/x.zarr", "file/a/b/x.zarr", 300 * "x", "~nobody-has-this/x", "loop/x"],
)
def test_what_is_no_directory_is_refused_at_once(tmp_path, monkeypatch, store):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for call in everything(store):
        with pytest.raises(ValueError, match=r"store must be (a|the path of a) directory"):
            call()
    for wrong in (3, b"x", ["x"]):
        with pytest.raises(TypeError):
            sweep(never, {"x": [0.0]}, {}, instances=2, key=KEY, store=wrong, **QUIET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop"]


def test_a_store_is_where_its_name_says(tmp_path, monkeypatch):
    """At home, in folders that are not there yet, and wherever the process goes meanwhile."""
    home, start, elsewhere = (tmp_path / name for name in ("home", "start", "elsewhere"))
    for folder in (home, start, elsewhere):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))

    def moving(key, prepared, *, x):
        os.chdir(elsewhere)
        return {"value": x + jax.random.normal(key)}

    for store, place in (
        ("~/a/x.zarr", home / "a" / "x.zarr"),
        (pathlib.Path("~") / "y.zarr", home / "y.zarr"),
        ("b/c/../x.zarr", start / "b" / "x.zarr"),
        ("link/x.zarr", home / "x.zarr"),
    ):
        monkeypatch.chdir(start)
        (start / "link").unlink(missing_ok=True)
        (start / "link").symlink_to(home)
        options = {"instances": 2, "key": KEY, "chunk": 1, "store": store, **QUIET}
        data = sweep(moving, {"x": [0.0, 1.0]}, {}, **options)
        assert (place / "chunk_seconds").is_dir()
        os.chdir(start)
        xr.testing.assert_identical(sweep(never, {"x": [0.0, 1.0]}, {}, **options), data)
    os.chdir(start)
    for call in everything("~/all")[1:]:
        call()
        assert any((home / "all").rglob(".zgroup"))
        assert not (start / "~").exists()
        shutil.rmtree(home / "all")
    assert not any(elsewhere.iterdir())


def test_a_directory_that_cannot_be_made_is_noticed_before_anything_is_computed(monkeypatch):
    """Where root may write too, the system may refuse."""
    with pytest.raises(ValueError, match=r"store must be a directory that can be written; got"):
        sweep(never, {"x": [0.0]}, {}, instances=2, key=KEY, store="/dev/fd/none/x.zarr", **QUIET)
    with pytest.raises(ValueError, match=r"store must be a directory that can be written; got"):
        sweep(never, {"x": [0.0]}, {}, instances=2, key=KEY, store="/dev/null/x.zarr", **QUIET)
