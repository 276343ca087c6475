"""Grids: what a chunk, a device, a process and a kill may change (nothing)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from fatelib.grid import sweep

KEY = jax.random.key(0)
QUIET = {"progress": False}


def normals(key, prepared, *, scale, shift):
    """One normal number for each of three cells, the same ones at every point."""
    value = shift + scale * jax.random.normal(key, (3,))
    return {"value": value, "sign": value > 0}


GRID = {"scale": [1.0, 2.0], "shift": [0.0, 5.0, 7.0]}
CELLS = {"cell": ["a", "b", "c"]}


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


def test_what_is_no_number_stops_the_sweep():
    def broken(key, prepared, *, x):
        return {"risk": jnp.where(x > 1, jnp.nan, x)}

    with pytest.raises(FloatingPointError, match=r"risk is not a number at x = 2\.0"):
        sweep(broken, {"x": [1.0, 2.0]}, {}, instances=2, key=KEY, **QUIET)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"instances": 0}, "instances must be"), ({"chunk": 0}, "chunk must be an integer >= 1")],
)
def test_impossible_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        sweep(normals, GRID, CELLS, **{"instances": 2, "key": KEY, **changes}, **QUIET)


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


def test_other_parameters_are_refused(tmp_path):
    store = tmp_path / "results.zarr"
    options = {"instances": 2, "store": store, **QUIET}
    sweep(normals, GRID, CELLS, key=KEY, attrs={"sigma": 0.2}, **options)
    with pytest.raises(ValueError, match=r"made with sigma = 0.2, not 0.3; give the same"):
        sweep(normals, GRID, CELLS, key=KEY, attrs={"sigma": 0.3}, **options)
    with pytest.raises(ValueError, match=r"made with key = \[0, 0\], not \[0, 1\]"):
        sweep(normals, GRID, CELLS, key=jax.random.key(1), attrs={"sigma": 0.2}, **options)
    with pytest.raises(ValueError, match=r"made with shift = \[0.0, 5.0, 7.0\], not \[0.0, 6.0\]"):
        sweep(
            normals, {**GRID, "shift": [0.0, 6.0]}, CELLS, key=KEY, attrs={"sigma": 0.2}, **options
        )


def test_foreign_directories_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="store must be a new directory or that of a sweep"):
        sweep(normals, GRID, CELLS, instances=2, key=KEY, store=tmp_path, **QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


SCRIPT = """
import sys, jax, jax.numpy as jnp
if len(sys.argv) > 2:
    number, count, port = map(int, sys.argv[2:])
    jax.distributed.initialize(f"localhost:{port}", count, number)
from fatelib import phase_diagram

data = phase_diagram(
    "fine_tuning", [0.4, 1.2], [0.3, 0.5, 0.8, 1.5], d=40, sigma=[0.2, 1.0], instances=12,
    key=jax.random.key(3), steps=400, learning_rate=0.02, memory=MEMORY, progress=False,
    store=sys.argv[1] if sys.argv[1] != "-" else None,
)
print(len(jax.local_devices()), jax.process_count(), data.risk.values.tobytes().hex())
"""


def start(store, *arguments, memory=2.0, devices=1):
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}"}
    code = textwrap.dedent(SCRIPT).replace("MEMORY", str(memory))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(store), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    devices, processes, values = out.split()[-3:]
    return int(devices), int(processes), np.frombuffer(bytes.fromhex(values), np.float32)


@pytest.fixture(scope="module")
def alone():
    """The result of one process on one device."""
    return finish(start("-"))[2]


@pytest.mark.slow
def test_devices_change_nothing(alone):
    devices, _, values = finish(start("-", devices=8))
    assert devices == 8
    np.testing.assert_allclose(values, alone, rtol=2e-5)


@pytest.mark.slow
def test_two_processes_share_a_store(alone, tmp_path):
    """`jax.distributed` on one host: each does half of the chunks and reads all of them."""
    port = 20000 + os.getpid() % 20000
    store = tmp_path / "results.zarr"
    pair = [start(store, number, 2, port) for number in range(2)]
    for process in pair:
        _, processes, values = finish(process)
        assert processes == 2
        np.testing.assert_allclose(values, alone, rtol=2e-5)


@pytest.mark.slow
def test_kills_lose_no_finished_chunk(alone, tmp_path):
    """Killed at random times, again and again, and started again: bit-identical results."""
    store = tmp_path / "results.zarr"
    marks = store / "chunk_seconds"
    rng = np.random.default_rng(0)
    memory = 1e-6  # one instance in a chunk: 48 chunks
    before, kills = {}, 0
    while kills < 20:
        process = start(store, memory=memory)
        # Past the imports at least now and then; a run that ends by itself ends the test.
        while process.poll() is None and not (store.exists() and rng.random() < 0.3):
            time.sleep(rng.uniform(0, 0.6))
        if process.poll() is not None:
            finish(process)
            if kills >= 3:
                break
            shutil.rmtree(store)  # too quick for us: begin again
            before = {}
            continue
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        after = {p.name: p.read_bytes() for p in marks.iterdir() if p.name.isdigit()}
        assert before.items() <= after.items()  # what was finished has not been done again
        before = after
    np.testing.assert_array_equal(finish(start(store, memory=memory))[2], alone)
    done = {p.name: p.read_bytes() for p in marks.iterdir() if p.name.isdigit()}
    assert before.items() <= done.items()
    assert len(done) == 48
    assert json.loads((store / ".zattrs").read_text())["instances_per_chunk"] == 1
