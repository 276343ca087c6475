"""The command: what it says, what it writes and how it ends."""

import inspect
import json
import os
import re
import socket
import subprocess
import sys
from typing import get_args

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import fatelib
from fatelib import cli
from fatelib.cli import command, output, reproduce, sweep
from fatelib.figures import FIGURES
from fatelib.linear.training import Engine

SWEEP = ["sweep", "linear_transfer", "--thetas", "0.25pi", "--gammas", "0.5,2", "--d", "20"]
SWEEP += ["--sigma", "0.2", "--instances", "3"]


@pytest.fixture(autouse=True)
def _one_device(monkeypatch):
    """The command is to change a process of its own only."""
    for module in (command, reproduce, sweep):
        monkeypatch.setattr(module, "set_up_jax", lambda: None)


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


def help_of(command, capsys):
    """What the command says of each of its options."""
    assert cli.main([command, "--help"]) == 0
    text = capsys.readouterr().out
    entries = re.split(r"^  (--[a-z-]+)", text, flags=re.MULTILINE)
    return {
        name: " ".join(said.split())
        for name, said in zip(entries[1::2], entries[2::2], strict=True)
    }


@pytest.mark.parametrize("command", ["sweep", "reproduce"])
def test_help_shows_every_default(command, capsys):
    entries = help_of(command, capsys)
    assert {"--out", "--scale"} <= set(entries)
    for name, said in entries.items():
        assert re.search(r"\(default: [^()]+\)|\(required\)", said), name


def test_the_defaults_in_the_help_are_those_of_the_library(capsys):
    entries = help_of("sweep", capsys)
    parameters = inspect.signature(fatelib.phase_diagram).parameters
    for name in ("depth", "source_gamma", "ridge", "weight_decay", "scale", "memory", "engine"):
        default = re.search(r"\(default: ([^()]+)\)", entries[f"--{name.replace('_', '-')}"])[1]
        assert default == str(parameters[name].default) or float(default) == float(
            parameters[name].default
        )
    assert "(default: 0)" in entries["--sigma"]


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
        (["sweep", "linear", *SWEEP[2:], "--out", "a"], "METHOD must be 'linear_transfer' or"),
        # Values that begin like options.
        ([*SWEEP, "--thetas", "-0.5,0.5", "--out", "a"], "--thetas must be angles in radians"),
        ([*SWEEP, "--thetas", "-.25pi:1:3", "--out", "a"], "--thetas must be angles in radians"),
        ([*SWEEP, "--thetas=-1", "--out", "a"], "--thetas must be angles in radians"),
        ([*SWEEP, "--gammas", "-1e-3,2", "--out", "a"], "--gammas must be large enough"),
        ([*SWEEP, "--sigma", "-0.2,0.2", "--out", "a"], "--sigma must be a number >= 0; got -0.2"),
        ([*SWEEP, "--learning-rate", "-inf", "--out", "a"], "--learning-rate must be a number > 0"),
        # In the words that one types.
        (
            [*SWEEP, "--gammas", "0.01", "--out", "a"],
            "--gammas must be large enough for one sample, above 0.5 / d = 0.025; got 0.01",
        ),
        ([*SWEEP, "--source-gamma", "0.01", "--out", "a"], "--source-gamma must be large enough"),
        ([*SWEEP, "--d", "1", "--out", "a"], "--d must be an integer >= 2; got 1"),
        ([*SWEEP, "--instances", "0", "--out", "a"], "--instances must be an integer >= 1; got 0"),
        ([*SWEEP, "--width", "5", "--out", "a"], "--width must be left out for the --engine"),
        ([*SWEEP, "--weight-decay", "-1", "--out", "a"], "--weight-decay must be a number >= 0"),
        ([*SWEEP, "--memory", "1e-9", "--out", "a"], "--memory must be at least"),
        ([*SWEEP, "--scale", "0", "--out", "a"], "--scale must be a number > 0; got 0.0"),
        ([*SWEEP, "--depth", "1", "--out", "a"], "--depth must be at least 2 in linear_transfer"),
        (
            ["sweep", "fine_tuning", *SWEEP[2:], "--ridge", "1", "--out", "a"],
            "--ridge must be 0 in fine_tuning, which takes --weight-decay instead",
        ),
    ],
)
def test_wrong_usage_is_named_and_ends_with_2(arguments, message, capsys):
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "error: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["out.png", "out.svg", "out.nc", "deep/out.PDF"])
@pytest.mark.parametrize(
    ("command", "suffix"), [(SWEEP, ".zarr"), (["reproduce", "fig-mercer"], "")]
)
def test_a_file_is_no_directory_of_results(command, suffix, name, tmp_path, capsys):
    place = tmp_path / name
    assert cli.main([*command, "--out", str(place)]) == 2
    err = capsys.readouterr().err.strip()
    assert f"--out must name a directory, for data and pictures; got {place}" in err
    assert err.endswith(f": type --out {place.with_suffix(suffix)}")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("place", ["/", ".", "", "s3://bucket/a.zarr", "gs://bucket/a"])
def test_what_is_no_place_for_a_store_is_refused_by_its_option(
    place, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").write_text("mine")
    assert cli.main([*SWEEP, "--out", place]) == 2
    assert "error: --out must " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize("command", [SWEEP, ["reproduce", "fig-mercer"]])
def test_a_home_is_expanded(command, tmp_path, capsys, monkeypatch):
    """As the shell does not within quotes or after an equals sign."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.png").write_text("mine")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "fig-mercer.png").write_text("mine")
    assert cli.main([*command, "--out=~/a"]) == 2
    assert f"error: {tmp_path}/a" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "drawn"),
    [("a.zarr", "a.png"), ("a", "a.png"), ("b0.2", "b0.2.png"), ("b0.2.ZARR", "b0.2.png")],
)
def test_the_picture_of_a_sweep_replaces_nothing_but_itself(name, drawn, tmp_path, capsys):
    picture = tmp_path / drawn
    picture.write_bytes(b"mine")
    assert cli.main([*SWEEP, "--out", str(tmp_path / name)]) == 2
    assert f"{picture} is there and was not drawn by" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [picture.name]
    assert picture.read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_picture_of_a_figure_replaces_nothing_but_itself(kind, tmp_path, capsys):
    place = tmp_path / f"fig-mercer.{kind}"
    place.write_text("mine")
    assert cli.main(["reproduce", "fig-mercer", "--out", str(tmp_path)]) == 2
    assert "is there and was not drawn by" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [place.name]


def test_values_are_lists_and_ranges():
    assert sweep._values("0.1,2") == [0.1, 2.0]
    np.testing.assert_allclose(sweep._values("0.1:2.0:20"), np.arange(1, 21) / 10)
    np.testing.assert_allclose(sweep._values("0:pi:3"), [0, np.pi / 2, np.pi])


def test_a_sweep_is_stored_resumed_and_guarded(tmp_path, capsys):
    out = tmp_path / "results.zarr"
    assert cli.main([*SWEEP, "--out", str(out)]) == 0
    assert (tmp_path / "results.png").stat().st_size > 0
    captured = capsys.readouterr()
    said = captured.out
    assert "2 gamma" in said
    assert "100.0% of the networks converged" in said
    # What is computed is said before, in the words that one types, also what was not typed.
    before = " ".join(said[: said.index("transferability")].split())
    for setting in (
        "--sigma 0.2",
        "--d 20",
        "--instances 3",
        "--depth 2",
        "--seed 0",
        "--memory 2",
    ):
        assert setting in before
    assert before.index("--sigma 0.2") < before.index("by default") < before.index("--depth 2")
    assert "compiling" in captured.err
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
    # Its table: a mean and its standard error in each cell.
    (row,) = (line for line in said.splitlines() if line.strip().startswith("0.7854"))
    printed = [float(number) for number in re.findall(r"[-+\d.e]+", row)]
    means, errors = result.transferability.mean("instance"), result.transferability_error
    cells = np.stack([means.squeeze(), errors.squeeze()], axis=-1).ravel()
    np.testing.assert_allclose(printed[1:], cells, rtol=0.05)
    assert [line.split() for line in said.splitlines() if "gamma = 2" in line]
    assert result.theta.attrs["units"] == "rad"
    assert (result.attrs["d"], result.attrs["sigma"]) == (20, 0.2)

    def chunks():
        files = (path for path in out.rglob("*") if "result" not in path.parts)
        return {path: path.stat().st_mtime_ns for path in files if path != out}

    before = chunks()
    assert cli.main([*SWEEP, "--out", str(out)]) == 0
    assert chunks() == before
    xr.testing.assert_identical(result, labelled())

    # More instances are added, and the labelled result is that of all.
    assert cli.main([*SWEEP, "--instances", "5", "--out", str(out)]) == 0
    kept, risks = chunks(), [path for path in before if path.match("risk/[0-9]*")]
    assert len(risks) == 2
    assert all(kept[path] == before[path] for path in risks)
    assert labelled().sizes["instance"] == 5
    xr.testing.assert_equal(labelled().risk.isel(instance=slice(3)), result.risk)
    assert cli.main([*SWEEP, "--out", str(out)]) == 2
    assert "was made with --instances = 5, not 3" in capsys.readouterr().err

    # What else differs comes first: it cannot be mended by more instances.
    assert cli.main([*SWEEP, "--seed", "1", "--out", str(out)]) == 2
    assert "was made with --seed = [0, 0], not [0, 1]" in capsys.readouterr().err

    chunk = next(path for path in (out / "risk").iterdir() if not path.name.startswith("."))
    chunk.write_bytes(b"garbled")
    assert cli.main([*SWEEP, "--instances", "5", "--out", str(out)]) == 2
    assert "is damaged: it cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "backend"),
    [
        ([*SWEEP, "--out", "a.zarr"], "inline_of_another_environment"),
        (["reproduce", "fig-mercer", "--out", "."], "nonsense"),
    ],
)
def test_a_backend_in_the_environment_does_not_matter(command, backend, tmp_path):
    """As of a notebook that is installed elsewhere; matplotlib's import fails of some."""
    run = subprocess.run(
        [sys.executable, "-m", "fatelib", *command],
        env={**os.environ, "MPLBACKEND": backend},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert [*tmp_path.glob("*.png")]


@pytest.mark.parametrize("backend", ["svg", "module://a_backend_that_is_missing"])
def test_the_backend_of_the_caller_stays(backend, tmp_path, monkeypatch):
    import matplotlib

    before = matplotlib.get_backend()
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    try:
        matplotlib.rcParams["backend"] = backend
        assert cli.main([*SWEEP, "--out", str(tmp_path / "a.zarr")]) == 0
        assert (tmp_path / "a.png").is_file()
        assert matplotlib.get_backend() == backend
        assert os.environ["MPLBACKEND"] == "nonsense"
    finally:
        matplotlib.use(before)


def test_of_a_large_grid_some_is_printed_and_where_the_rest_is(tmp_path, capsys):
    """Five noises and two decays of forty angles and thirty sizes: 12,000 cells."""
    rng = np.random.default_rng(0)
    sizes = {"sigma": 5, "weight_decay": 2, "theta": 40, "gamma": 30, "instance": 2}
    coords = {name: np.linspace(0.1, 1, size) for name, size in sizes.items()}
    risk = xr.DataArray(rng.standard_normal([*sizes.values()]), coords, [*sizes])
    data = xr.Dataset({"transferability": risk, "converged": risk < 4})
    data["transferability_error"] = risk.std("instance", ddof=1) / np.sqrt(2)
    sweep._print_transferability(data, tmp_path / "a.zarr")
    said = capsys.readouterr().out.splitlines()
    assert len(said) <= 60
    assert max(map(len, said[:-1])) <= 140  # the last holds a path
    assert "10 of 40 angles, 6 of 30 gammas, 4 of 10 diagrams" in said[-1]
    assert "a.zarr" in said[-1]


def test_features_in_files_become_a_report(tmp_path, capsys):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(60, 5))
    y = np.where(Z[:, 0] + 0.3 * rng.normal(size=60) > 0, "cat", "dog")
    features = tmp_path / "features.npz"
    np.savez(features, trained=Z, untrained=Z[:, 2:], y=y)
    out = tmp_path / "report"
    call = ["diagnose", str(features), "--labels", "y", "--control", "untrained", "--out", str(out)]
    assert cli.main(call) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("60 samples, 2 classes (cat, dog); control: untrained")
    assert (out / "report.txt").read_text() == printed
    summary = json.loads((out / "summary.json").read_text())
    assert summary["sets"]["trained"]["credit"]["value"] > 1.5
    report = fatelib.diagnose(
        {"trained": Z, "untrained": Z[:, 2:]}, y, control="untrained", key=jax.random.key(0)
    )
    assert str(report).replace("contenders=", "--contenders") + "\n" == printed
    assert str(fatelib.probe.load(out / "report.zarr")) == str(report)
    assert (out / "curve.png").stat().st_size > 0
    rows = pd.read_csv(out / "curve.csv")
    assert len(rows) == report.curve.error.size
    # It replaces nothing.
    assert cli.main(call) == 2
    assert "--out must be a new directory" in capsys.readouterr().err
    wrong = [*call[:-1], str(tmp_path / "other")]
    assert cli.main([*wrong, "--task", "regression"]) == 2
    assert "y must be numbers" in capsys.readouterr().err
    wrong[3] = "labels"
    assert cli.main(wrong) == 2
    assert "nothing called 'labels'" in capsys.readouterr().err


@pytest.mark.slow
def test_what_the_network_saw_makes_a_random_control_and_a_contender(tmp_path, capsys, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3, 4))
    y = X[:, 0, 0] ** 2
    monkeypatch.chdir(tmp_path)
    np.savez("held.npz", first=X[:, 0], second=X[:, 1], images=X, y=y)
    call = ["diagnose", "held.npz", "--labels", "y"]
    more = ["--inputs", "images", "--control", "random", "--out", "a"]
    assert cli.main([*call, *more, "--features", "first"]) == 0
    printed = capsys.readouterr().out
    assert "control: random" in printed
    assert "second" not in printed
    # A control of no inputs, and inputs of no use, are told as one types them.
    assert cli.main([*call, "--features", "first", "--control", "random", "--out", "b"]) == 2
    assert "--control random must have --inputs" in capsys.readouterr().err
    assert cli.main([*call, "--features", "third", "--out", "b"]) == 2
    assert "--features must be of first, second, images; got 'third'" in capsys.readouterr().err
    pd.DataFrame(X.reshape(60, -1)).to_csv("seen.csv", index=False)
    mlp = ["--features", "first", "--inputs", "seen.csv", "--contenders", "mlp", "--out", "c"]
    assert cli.main([*call, *mlp]) == 0
    assert "'mlp'" in capsys.readouterr().out
    # Labels in a table of inputs are none of these, and what is seen may be the control.
    pd.DataFrame(X.reshape(60, -1)).assign(y=y).to_csv("all.csv", index=False)
    leak = ["--labels", "y", "--inputs", "all.csv", "--features", "all", "--contenders", "mlp"]
    assert cli.main(["diagnose", "all.csv", *leak, "--out", "e"]) == 0
    assert "Do not stop at a probe" not in capsys.readouterr().out
    assert cli.main([*call, "--inputs", "y", "--contenders", "mlp", "--out", "f"]) == 2
    assert "inputs must be other than labels" in capsys.readouterr().err
    np.savez("seen.npz", first=X[:, 0], raw=X.reshape(60, -1), y=y)
    raw = ["--inputs", "raw", "--contenders", "mlp", "--control", "raw", "--out", "g"]
    assert cli.main(["diagnose", "seen.npz", "--labels", "y", *raw]) == 0
    assert "control: raw" in capsys.readouterr().out
    # What users call their features stays as it is.
    np.savez("named.npz", **{"noise=0.1": X[:, 0], "task=a": X[:, 1]}, y=y)
    assert cli.main(["diagnose", "named.npz", "--labels", "y", "--out", "h"]) == 0
    assert "'noise=0.1'" in capsys.readouterr().out
    whole = ["--features", "first", "--task", "auto", "--out", "d"]
    np.savez("whole.npz", first=X[:, 0], y=np.arange(60) % 3)
    assert cli.main(["diagnose", "whole.npz", "--labels", "y", *whole]) == 0
    assert "--task classification takes them" in " ".join(capsys.readouterr().out.split())


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
    assert "Give a smaller --learning-rate" in err


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
    output.save(data, tmp_path / "a.zarr")
    assert xr.open_zarr(tmp_path / "a.zarr", consolidated=False).attrs["fatelib"] == "0.0.1"


@pytest.mark.skipif(not hasattr(jax.config, "jax_num_cpu_devices"), reason="JAX before 0.5")
def test_info_from_outside_sees_every_core():
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    run = subprocess.run(
        [sys.executable, "-m", "fatelib", "info"],
        env={**environment, "JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": "/somewhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    own = os.environ.get("JAX_COMPILATION_CACHE_DIR", "/somewhere/fatelib")
    assert f"kept in {own}" in run.stdout
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert f"{cores} x cpu" in run.stdout
    assert "jax " in run.stdout
