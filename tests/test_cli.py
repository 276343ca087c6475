"""The command: what it says, what it writes and how it ends."""

import os
import socket
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import xarray as xr

import fatelib
from fatelib import cli
from fatelib.figures import FIGURES
from fatelib.linear.training import Engine

SWEEP = ["sweep", "linear_transfer", "--thetas", "0.25pi", "--gammas", "0.5,2", "--d", "20"]
SWEEP += ["--sigma", "0.2", "--instances", "3"]


@pytest.fixture(autouse=True)
def _one_device(monkeypatch):
    """The command is to change a process of its own only."""
    monkeypatch.setattr(cli, "_use_all_cores", lambda: None)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """The command asks nothing of anybody."""

    def refuse(*arguments):
        raise AssertionError(f"a connection to {arguments[-1]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("command", [[], ["sweep"], ["reproduce"]])
def test_help_has_examples(command, capsys):
    assert cli.main([*command, "--help"]) == 0
    assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "words"),
    [([], FIGURES), (["reproduce"], FIGURES), (["sweep"], get_args(Engine))],
)
def test_help_names_every_choice(command, words, capsys):
    assert cli.main([*command, "--help"]) == 0
    assert set(words) <= set(capsys.readouterr().out.replace(",", " ").split())


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"fatelib {fatelib.__version__}\n"


@pytest.mark.parametrize("command", [SWEEP, ["reproduce", "fig-1"]])
def test_what_cannot_be_written_is_noticed_before_anything_is_computed(command, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert cli.main([*command, "--out", str(tmp_path / "file" / "a.zarr")]) == 2
    err = capsys.readouterr().err
    assert "must be a directory that can be written" in err
    assert "sweep:" not in err  # the progress bar


@pytest.mark.parametrize("kind", ["file", "sweep", "directory"])
def test_a_figure_replaces_nothing_but_itself(kind, tmp_path, capsys):
    place = tmp_path / "fig-mercer.zarr"
    if kind == "sweep":
        xr.Dataset({"risk": 1.0}).to_zarr(place, zarr_format=2, consolidated=False)
    elif kind == "directory":
        place.mkdir()
        (place / "notes.txt").write_text("mine")
    else:
        place.write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["reproduce", "fig-mercer", "--out", str(tmp_path)]) == 2
    assert "fig-mercer.zarr is there and is no result of fig-mercer" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["plot"], "invalid choice: 'plot'"),
        (["reproduce", "fig-3"], "FIGURE must be one of all, linear, relu, fig-1, fig-2"),
        (["reproduce", "fig-1", "--scale", "huge"], "invalid choice: 'huge'"),
        ([*SWEEP[:-1], "x", "--out", "a"], "invalid int value: 'x'"),
        ([*SWEEP, "--thetas", "1:2", "--out", "a"], "must be numbers such as 0.1,0.5,0.25pi or"),
        ([*SWEEP, "--thetas", "0:1:0", "--out", "a"], "FIRST:LAST:COUNT with COUNT >= 2"),
        ([*SWEEP, "--seed", str(2**32), "--out", "a"], "must be an integer from 0 to 2^32 - 1"),
        ([*SWEEP, "--seed", "-1", "--out", "a"], "must be an integer from 0 to 2^32 - 1"),
        ([*SWEEP, "--thetas", "9", "--out", "a"], "thetas must be angles in radians, in [0, pi]"),
        ([*SWEEP, "--depth", "2.5", "--out", "a"], "--depth must be integers; got 2.5"),
        ([*SWEEP, "--depth", "inf", "--out", "a"], "--depth must be integers; got inf"),
        ([*SWEEP, "--depth", "nan", "--out", "a"], "--depth must be integers; got nan"),
        ([*SWEEP, "--engine", "fast", "--out", "a"], "--engine must be one of"),
        ([*SWEEP, "--process", "1", "--out", "a"], "need --distributed"),
        ([*SWEEP, "--distributed", "--process", "1", "--out", "a"], "come together"),
        (["sweep", "linear", *SWEEP[2:], "--out", "a"], "method must be 'linear_transfer' or"),
    ],
)
def test_wrong_usage_is_named_and_ends_with_2(arguments, message, capsys):
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "error: " in err
    assert "Traceback" not in err


def test_values_are_lists_and_ranges():
    assert cli._values("0.1,2") == [0.1, 2.0]
    np.testing.assert_allclose(cli._values("0.1:2.0:20"), np.arange(1, 21) / 10)
    np.testing.assert_allclose(cli._values("0:pi:3"), [0, np.pi / 2, np.pi])


def test_a_sweep_is_stored_resumed_and_guarded(tmp_path, capsys):
    out = tmp_path / "results.zarr"
    assert cli.main([*SWEEP, "--out", str(out)]) == 0
    assert (tmp_path / "results.png").stat().st_size > 0
    said = capsys.readouterr().out
    assert "2 gamma" in said
    assert "100.0% of the networks converged" in said
    stored = xr.open_zarr(out, consolidated=False, chunks=None).load()
    assert stored.sigma.item() == 0.2
    assert (stored.risk > 0).all()

    # What follows from the chunks, with its labels.
    def labelled():
        return xr.open_zarr(out, group="result", consolidated=False, chunks=None).load()

    result = labelled()
    advantage = (stored.risk_scratch - stored.risk).squeeze()
    np.testing.assert_array_equal(result.transferability.squeeze(), advantage)
    error = result.risk.std("instance", ddof=1) / np.sqrt(3)
    np.testing.assert_array_equal(result.risk_error, error)
    assert result.n.values.tolist() == [10, 40]
    assert result.theta.attrs["units"] == "rad"
    assert (result.attrs["d"], result.attrs["sigma"]) == (20, 0.2)

    def chunks():
        files = (path for path in out.rglob("*") if "result" not in path.parts)
        return {path: path.stat().st_mtime_ns for path in files if path != out}

    before = chunks()
    assert cli.main([*SWEEP, "--out", str(out)]) == 0
    assert chunks() == before
    xr.testing.assert_identical(result, labelled())

    assert cli.main([*SWEEP, "--seed", "1", "--out", str(out)]) == 2
    assert "take the same, or another store" in capsys.readouterr().err

    chunk = next(path for path in (out / "risk").iterdir() if not path.name.startswith("."))
    chunk.write_bytes(b"garbled")
    assert cli.main([*SWEEP, "--out", str(out)]) == 2
    assert "is damaged: it cannot be read" in capsys.readouterr().err


def test_a_lost_connection_is_told(monkeypatch, tmp_path, capsys):
    import jax

    def initialize(*arguments):
        raise RuntimeError("DEADLINE_EXCEEDED")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    assert cli.main([*SWEEP, "--distributed", "--out", str(tmp_path / "a.zarr")]) == 2
    err = capsys.readouterr().err
    assert "did not bring the processes together: DEADLINE_EXCEEDED" in err
    assert "--coordinator" in err


def test_divergence_ends_with_1(tmp_path, capsys):
    arguments = [*SWEEP, "--learning-rate", "30", "--out", str(tmp_path / "a.zarr")]
    assert cli.main(arguments) == 1
    err = capsys.readouterr().err
    assert "fatelib: error: " in err
    assert "Give a smaller learning_rate" in err


@pytest.fixture
def small(monkeypatch):
    """A figure that takes a second, and may disagree with its theory."""
    import dataclasses

    from fatelib import figures

    figure = figures.FIGURES["fig-l2sp"]
    settings = {
        **figure.scales["laptop"],
        "d": 30,
        "thetas": (0.5, 1.0),
        "gammas": (0.5, 2.0),
        "ridges": (0.01, 0.1),
    }

    def use(**changes):
        changed = dataclasses.replace(figure, scales={"laptop": settings}, **changes)
        monkeypatch.setattr(figures, "FIGURES", {"fig-l2sp": changed})

    return use


@pytest.mark.parametrize("which", ["fig-l2sp", "all"])
def test_a_figure_is_written_in_three_forms(which, small, tmp_path, capsys):
    small()
    assert cli.main(["reproduce", which, "--out", str(tmp_path)]) == 0
    assert "theory against experiment" in capsys.readouterr().out
    assert {path.name for path in tmp_path.glob("fig*")} == {
        "fig-l2sp.zarr",
        "fig-l2sp.svg",
        "fig-l2sp.png",
    }
    stored = xr.open_zarr(tmp_path / "fig-l2sp.zarr", consolidated=False, chunks=None)
    assert stored.attrs["figure"] == "fig-l2sp"
    assert stored.attrs["fatelib"] == fatelib.__version__
    assert "risk_theory" in stored


def test_disagreement_ends_with_1_after_the_figure_is_written(small, tmp_path, capsys):
    def compare(data):
        raise AssertionError("experiment and theory disagree")

    small(compare=compare)
    assert cli.main(["reproduce", "fig-l2sp", "--out", str(tmp_path)]) == 1
    assert "experiment and theory disagree" in capsys.readouterr().err
    assert (tmp_path / "fig-l2sp.svg").is_file()


def test_what_another_version_computed_says_so(small, tmp_path):
    from fatelib import figures

    small()
    compute = figures.FIGURES["fig-l2sp"].compute
    data = compute(progress=False).assign_attrs(fatelib="0.0.1")
    cli._save(data, tmp_path / "a.zarr")
    assert xr.open_zarr(tmp_path / "a.zarr", consolidated=False).attrs["fatelib"] == "0.0.1"


def test_info_from_outside_sees_every_core():
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    run = subprocess.run(
        [sys.executable, "-m", "fatelib", "info"],
        env={**environment, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert f"{cores} x cpu" in run.stdout
    assert "jax " in run.stdout
