"""Grids: what a chunk, a device, a process and a kill may change (nothing)."""

import os
import re
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from fatelib.batch import spread
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


def test_what_functions_return_is_checked():
    def number(key, prepared, *, x):
        return {"r": jnp.ones(())}

    def run(measure=number, outer=(1.0, 2.0), inner=None, **options):
        return sweep(
            measure, {"x": list(outer)}, inner or {}, instances=3, key=KEY, **options, **QUIET
        )

    with pytest.raises(ValueError, match=r"prepare must return .* 3 instances; got shape \(2,\)"):
        run(prepare=lambda keys: jnp.ones(2))
    with pytest.raises(ValueError, match=r"prepare must return .*; got shape \(\)"):
        run(prepare=lambda keys: 1.0)
    with pytest.raises(ValueError, match=r"r as a number or with the shape \(2,\) .*; got \(1,\)"):
        run(lambda key, prepared, *, x: {"r": jnp.ones(1)}, inner={"c": [0, 1]})
    with pytest.raises(TypeError, match="measure must return a dictionary; got ArrayImpl"):
        run(lambda key, prepared, *, x: jnp.ones(()))
    with pytest.raises(ValueError, match="static must name outer dimensions"):
        run(static=("y",))
    for values in ((), (1.0, 1.0)):
        with pytest.raises(ValueError, match="x must have values, each once"):
            run(outer=values)


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
    monkeypatch.setattr("fatelib.grid.version", lambda package: "99.0")
    # The version is named even where parameters differ too.
    with pytest.raises(ValueError, match=r"made with fatelib = .*, not 99.0"):
        sweep(normals, GRID, CELLS, attrs={"a new parameter": 1}, **options)


def test_foreign_directories_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="store must be a new directory, an empty one or that"):
        sweep(normals, GRID, CELLS, instances=2, key=KEY, store=tmp_path, **QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


SCRIPT = """
import jax
from fatelib import phase_diagram, relu_phase_diagram

data = phase_diagram(
    "fine_tuning", [0.4, 1.2], [0.3, 0.5, 0.8, 1.5], d=40, sigma=[0.2, 1.0], instances=12,
    key=jax.random.key(3), steps=400, learning_rate=0.02, progress=False,
)
full = phase_diagram(
    "fine_tuning", [0.4, 1.2], [0.5], d=8, sigma=0.2, instances=9, key=jax.random.key(3),
    engine="descent", scale=0.1, steps=200, learning_rate=0.02, progress=False,
)
relu = relu_phase_diagram(
    [0.5], [10], d=4, width=8, teacher_width=4, instances=9, key=jax.random.key(3), steps=200,
    protocols=["fine_tuning"], progress=False,
)
print(len(jax.local_devices()))
for risks in (data.risk, full.risk, full.risk_scratch, relu.risk, relu.risk_scratch):
    print(risks.values.tobytes().hex())
"""
# The same from the command line.
COMMAND = ["-m", "fatelib", "sweep", "fine_tuning", "--thetas", "0.4,1.2", "--d", "40"]
COMMAND += ["--gammas", "0.3,0.5,0.8,1.5", "--sigma", "0.2,1", "--instances", "12", "--seed", "3"]
COMMAND += ["--steps", "400", "--learning-rate", "0.02"]


def start(*arguments, devices=1):
    flags = f"--xla_force_host_platform_device_count={devices}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


def run_script(devices):
    out, _ = finish(start("-c", SCRIPT, devices=devices))
    count, *values = out.split()
    assert int(count) == devices
    return [np.frombuffer(bytes.fromhex(risks), np.float32) for risks in values]


@pytest.fixture(scope="module")
def alone():
    """The results of one process on one device: one direction, full networks, ReLU networks."""
    return run_script(devices=1)


@pytest.mark.slow
def test_devices_change_nothing(alone):
    for many, one in zip(run_script(devices=8), alone, strict=True):
        np.testing.assert_allclose(many, one, rtol=2e-5)


@pytest.mark.slow
def test_two_processes_share_a_store(alone, tmp_path):
    """`fatelib sweep --distributed` twice on one host: each does two of the four chunks."""
    store = tmp_path / "results.zarr"
    command = [*COMMAND, "--out", store, "--distributed", "--processes", 2]
    command += ["--coordinator", f"localhost:{20000 + os.getpid() % 20000}"]
    pair = [start(*command, "--process", number) for number in range(2)]
    (said, progress), (other, _) = map(finish, pair)
    # The first speaks for both: half of the chunks are its own, and it reads all of them.
    assert re.search(r"\b2/2\b", progress)
    assert len(xr.open_zarr(store, consolidated=False, chunks=None).chunk_seconds) == 4
    assert f"{store}: 4 gamma x 2 sigma x 2 theta" in said
    assert "theta" not in other
    result = xr.open_zarr(store, group="result", consolidated=False, chunks=None)
    np.testing.assert_allclose(result.risk.values.ravel(), alone[0], rtol=2e-5)


KILLED = """
import os, sys, jax, zarr
from fatelib.batch import spread
from fatelib.grid import sweep

def measure(key, prepared, *, x):
    return {"value": x + jax.random.normal(key, (50_000,))}

# Every line on the input is a store to fill, in a child of its own. The parent imports, so that a
# start takes no second, but never starts JAX: it has one thread, and may fork.
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sweep(
            measure, {"x": [0.0, 1.0]}, {"cell": range(50_000)}, instances=60, chunk=1,
            key=jax.random.key(0), store=line.strip(), progress=False,
        )
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.slow
def test_kills_lose_no_finished_chunk(tmp_path):
    """20 kills at random times of its work over one sweep of 120 chunks: nothing is done twice."""
    store, reference = tmp_path / "killed.zarr", tmp_path / "whole.zarr"
    rng = np.random.default_rng(0)
    forks = subprocess.Popen(
        [sys.executable, "-c", KILLED],
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def start(path):
        forks.stdin.write(f"{path}\n")
        forks.stdin.flush()
        return int(forks.stdout.readline())

    def marks():
        folder = store / "chunk_seconds"
        names = [path for path in folder.iterdir() if path.name.isdigit()] if store.exists() else []
        return {path.name: path.stat() for path in names}

    finished = {}
    for _ in range(20):
        child, before = start(store), marks()
        # Two chunks of its own say how long one takes; the kill hits one of the next.
        while len(now := marks()) < len(before) + 2:
            os.kill(child, 0)  # raises where it has ended by itself
            time.sleep(0.005)
        *_, last, latest = sorted(mark.st_mtime for mark in now.values())
        time.sleep(rng.uniform(0, latest - last))
        os.kill(child, signal.SIGKILL)
        assert int(forks.stdout.readline()) == signal.SIGKILL
        # A mark that is written again has another inode and time.
        known = {name: (mark.st_ino, mark.st_mtime_ns) for name, mark in marks().items()}
        assert finished.items() <= known.items()
        finished = known
    for path in (store, reference):
        start(path)
        assert forks.stdout.readline() == "0\n"
    forks.communicate()
    known = {name: (mark.st_ino, mark.st_mtime_ns) for name, mark in marks().items()}
    assert finished.items() <= known.items()
    assert len(finished) < len(known) == 120
    killed, whole = (
        xr.open_zarr(path, consolidated=False, chunks=None).load() for path in (store, reference)
    )
    xr.testing.assert_identical(killed.drop_vars("chunk_seconds"), whole.drop_vars("chunk_seconds"))


@pytest.mark.parametrize(("at_once", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (9, [2, 2, 1])])
def test_points_at_once_give_what_one_after_the_other_does(at_once, sizes, monkeypatch, tmp_path):
    """The form for accelerators, on the CPU: here two, an eighth of the chunks, at most."""
    groups = []

    def measure(key, prepared, n, sides):
        draws = jax.random.normal(key, (4,)) * jnp.arange(1, 5)
        return {"mean": jnp.sum(draws ** (2 * n)) / sides + prepared}

    def counted(function, batch, shared):
        groups.append([float(point["sides"]) for point in shared["points"]])
        return spread(function, batch, shared)

    def run(**options):
        # A function of its own each time: programs are kept by function.
        return sweep(
            lambda *args, **point: measure(*args, **point),
            {"n": [1, 2], "sides": [2.0, 6.0, 8.0, 12.0, 20.0]},
            {},
            instances=3,
            chunk=2,
            key=jax.random.key(0),
            prepare=lambda keys, n: n * jnp.arange(len(keys)),
            static=("n",),
            progress=False,
            **options,
        )

    monkeypatch.setattr("fatelib.batch._ONE_BY_ONE", ("cpu", "gpu"))
    one_by_one = run(at_once=at_once)
    monkeypatch.setattr("fatelib.batch._ONE_BY_ONE", ())
    monkeypatch.setattr("fatelib.grid.spread", counted)
    options = {"at_once": at_once, "store": tmp_path / "results.zarr"}
    data = run(**options)
    np.testing.assert_allclose(data["mean"], one_by_one["mean"], rtol=1e-6)
    # For both n and both blocks of instances. A group that is short repeats its end.
    assert [len(set(group)) for group in groups] == 4 * sizes
    assert {len(group) for group in groups} == {max(sizes)}
    # Interrupted between two chunks of one group: it is done again, but only the second is written.
    marks = options["store"] / "chunk_seconds"
    first = (marks / "0").stat().st_mtime_ns
    (marks / "1").unlink()
    again = run(**options)
    assert len(groups) == 4 * len(sizes) + 1
    assert groups[-1] == next(group for group in groups if 6.0 in group)
    assert (marks / "0").stat().st_mtime_ns == first
    np.testing.assert_array_equal(again["mean"], data["mean"])


def test_given_points_at_once_find_their_own(monkeypatch):
    """The form for accelerators, on the CPU, two points at a time."""

    def first(key, prepared, *, x):
        return {"draw": jax.random.uniform(key) + x}

    def second(key, prepared, *, x, y):
        return {"off": prepared["draw"] - jax.random.uniform(key) - x, "twice": 2 * y}

    options = {"instances": 3, "key": KEY, "progress": False}
    xs, ys = [float(x) for x in range(8)], [1.0, 2.0]
    given = sweep(first, {"x": xs}, {}, **options)
    monkeypatch.setattr("fatelib.batch._ONE_BY_ONE", ())
    data = sweep(second, {"y": ys, "x": xs}, {}, given=given, at_once=2, **options)
    np.testing.assert_allclose(data.off, 0, atol=1e-6)  # the rounding of 8
    assert (data.twice == 2 * data["y"]).all()
