"""Devices, processes and kills, each in processes of their own."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

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


def listen(process):
    """Wait for a process; old versions of JAX know no several processes on a CPU."""
    out, err = process.communicate(timeout=300)
    if "Multiprocess computations aren't implemented on the CPU backend" in err:
        pytest.skip("JAX knows no several processes on a CPU in this version")
    return out, err


def finish(process):
    out, err = listen(process)
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


FAILING = """
import sys, jax, jax.numpy as jnp
how, port, number, store = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
jax.distributed.initialize(f"localhost:{port}", 2, number)
from fatelib.sweep import sweep

def measure(key, prepared, *, n):
    if how == "error" and jax.process_index() == 1 and n == 2:
        raise KeyError("the second point")
    return {"value": jnp.where(how == "nan" and n == 2, jnp.nan, 1.0)}

if how == "store" and number == 1:
    store = store.replace("x.zarr", "file/x.zarr")
if how == "other":
    store += f"/{number}"  # not shared
    import fatelib.sweep.store
    fatelib.sweep.store._LAG = 0.0
sweep(measure, {"n": [1, 2]}, {}, static=["n"], instances=2, key=jax.random.key(0), store=store,
      progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "own", "others"),
    [
        (
            "error",
            "KeyError: 'the second point'",
            "process 1 failed, and so all do: KeyError: 'the",
        ),
        ("nan", "FloatingPointError: value is not a number at n = 2", "process 1 failed.*Floating"),
        ("store", "ValueError: store must be a directory that", "process 1 failed.*ValueError: st"),
        ("other", "ValueError: 1 of 2 chunks are missing", "ValueError: 1 of 2 chunks are missing"),
    ],
)
def test_where_one_process_fails_all_fail(tmp_path, how, own, others):
    """None waits for ever: not for a chunk, nor for a store that one alone cannot have."""
    store = tmp_path / "x.zarr"
    (tmp_path / "file").write_text("mine")
    port = 20000 + (os.getpid() + hash(how)) % 20000
    pair = [start("-c", FAILING, how, port, number, store) for number in range(2)]
    said = [listen(process)[1] for process in pair]
    assert all(process.returncode for process in pair)
    assert re.search(own, said[1])
    assert re.search(others, said[0])


KILLED = """
import os, sys, jax, zarr
from fatelib.descent.batch import spread
from fatelib.sweep import sweep

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
        names = [path for path in folder.glob("*") if path.name.isdigit()]
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
