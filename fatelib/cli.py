"""The command fatelib: sweep, reproduce, info."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from fatelib.arguments import check_type

__all__ = ["main"]

_FIGURES = """\
  linear: fig-1 fig-2 fig-7 fig-source fig-surface fig-scratch fig-ridge fig-5 fig-l2sp fig-dynamics
          fig-time fig-4a fig-4b
  relu:   fig-mercer fig-3d fig-3ab fig-3c fig-3e fig-curve
"""

_EXAMPLES = {
    "": """\
examples:
  fatelib sweep fine_tuning --thetas 0.1:1.5:15 --gammas 0.1:2:20 --d 500 --out ft.zarr
  fatelib reproduce fig-1 --scale paper --out figures
  fatelib info

figures, for FIGURE of reproduce:
{figures}
exit status: 0 success; 1 theory and experiment disagree, or training diverged; 2 wrong usage;
130 stopped by Ctrl-C
""",
    "sweep": """\
VALUES are a list 0.1,0.5,2 or a range FIRST:LAST:COUNT that holds both ends (COUNT >= 2); angles
may be written in pi: 0.1pi or 0.05pi:0.5pi:10.

Engines, see fatelib.train: descent and gram train all weights; spectral, flow and limit one
direction, as networks of a small scale do, for any d; auto takes spectral for scales up to 0.001,
else descent.

OUT fills chunk by chunk. When all are finished its group "result" holds the risks, their difference
(the transferability), the standard errors of their means, n, units and all parameters. In Python:
  xarray.open_zarr("ft.zarr", group="result", consolidated=False)

examples:
  fatelib sweep linear_transfer --thetas 0.25pi --gammas 0.1:2:20 --d 500 --out lt.zarr
  fatelib sweep fine_tuning --thetas 0.05pi:0.5pi:10 --gammas 0.5,2 --d 100000 \\
      --sigma 0,0.2,1 --depth 2,3 --scale 0.1 --engine spectral --out ft.zarr

The same command again goes on where it was stopped. Under SLURM, with an OUT that all see, and one
process for each GPU: JAX gives a process one GPU only.
  srun --ntasks-per-node=8 --gpus-per-node=8 \\
      fatelib sweep ... --out shared/ft.zarr --distributed
Two processes by hand, each in its own terminal:
  fatelib sweep ... --distributed --coordinator localhost:9876 --processes 2 --process 0
  fatelib sweep ... --distributed --coordinator localhost:9876 --processes 2 --process 1
""",
    "reproduce": """\
figures, alone or all of a group:
{figures}  all:    both

examples:
  fatelib reproduce fig-ridge
  fatelib reproduce linear --scale paper --out figures

Writes OUT/FIGURE.zarr, .svg and .png and prints theory against experiment; "left out" counts cells
that are not compared: training had not converged or no theory holds there. What was finished of a
figure that was stopped is in OUT/sweeps and is not computed again, but for fig-l2sp, fig-dynamics,
fig-time, fig-3ab, fig-3d, fig-curve, fig-mercer and the Wasserstein distances of fig-4b, which
begin anew. At paper scale fig-3e takes hours on a CPU: it is meant for a GPU.
""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What follows its name, a list of texts; by default those of the process.

    Returns:
        The exit status: 0, or 1 where theory and experiment disagree or training diverged, or 2 for
        arguments that are impossible, or 130 when stopped by Ctrl-C.

    Raises:
        TypeError: `arguments` is no list of texts.

    Example:
        >>> main(["reproduce", "fig-3"])
        2
    """
    if arguments is not None:
        check_type("arguments", arguments, (list, tuple), "a list of texts")
        for argument in arguments:
            check_type("arguments", argument, str, "a list of texts")
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return int(options.run(options))
    except (AssertionError, FloatingPointError) as error:
        status = 1
        print(f"fatelib: error: {error}", file=sys.stderr)
    except (ValueError, TypeError, OSError) as error:
        status = 2
        print(f"fatelib: error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
        print("fatelib: stopped; the same command keeps what is finished", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    from fatelib import __version__

    parser = _described(argparse.ArgumentParser, "", __doc__ or "", prog="fatelib")
    parser.add_argument("--version", action="version", version=f"fatelib {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    sweep = _described(commands.add_parser, "sweep", "Train networks over a grid.", name="sweep")
    sweep.set_defaults(run=_sweep)
    sweep.add_argument("method", metavar="METHOD", help="linear_transfer or fine_tuning")
    grid = sweep.add_argument_group("the grid")
    grid.add_argument(
        "--thetas",
        type=_values,
        required=True,
        metavar="VALUES",
        help="angles in radians, such as 0.1,0.25pi",
    )
    grid.add_argument("--gammas", type=_values, required=True, metavar="VALUES", help="n / d")
    grid.add_argument("--sigma", type=_values, default=[0.0], metavar="VALUES", help="label noise")
    grid.add_argument("--depth", type=_values, default=[2.0], metavar="VALUES", help="layers")
    grid.add_argument("--source-gamma", type=_values, metavar="VALUES", help="source samples / d")
    grid.add_argument("--source-sigma", type=float, help="label noise of the source")
    grid.add_argument("--ridge", type=_values, metavar="VALUES", help="ridge of the last layer")
    grid.add_argument("--weight-decay", type=_values, metavar="VALUES", help="decay of all layers")
    grid.add_argument("--d", type=int, required=True, help="input dimension")
    grid.add_argument("--instances", type=int, default=20, help="repetitions (default: 20)")
    grid.add_argument("--seed", type=_seed, default=0, help="of all random numbers (default: 0)")
    training = sweep.add_argument_group("training")
    training.add_argument(
        "--engine", help="auto, descent, gram, spectral, flow or limit (default: auto); see below"
    )
    training.add_argument("--scale", type=float, help="of the initial weights (default: 1e-5)")
    training.add_argument("--width", type=int, help="hidden width (default: d)")
    training.add_argument("--learning-rate", type=float, help="step size (default: a safe one)")
    training.add_argument("--steps", type=int, help="the most steps (default: 10000)")
    training.add_argument("--tolerance", type=float, help="on the loss (default: 1e-6)")
    training.add_argument(
        "--memory",
        type=float,
        help="gigabytes per process, shared by its devices; sets the size of chunks (default: 2)",
    )
    sweep.add_argument("--out", required=True, type=Path, help="directory of the result (zarr)")
    processes = sweep.add_argument_group("several processes")
    processes.add_argument("--distributed", action="store_true", help="share the work")
    processes.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0")
    processes.add_argument("--processes", type=int, help="how many there are")
    processes.add_argument("--process", type=int, help="which one this is, from 0")

    reproduce = _described(
        commands.add_parser, "reproduce", "Reproduce figures of the paper.", name="reproduce"
    )
    reproduce.set_defaults(run=_reproduce)
    reproduce.add_argument(
        "figure", metavar="FIGURE", help="its key, such as fig-1, or linear, relu, all"
    )
    reproduce.add_argument(
        "--scale",
        default="laptop",
        choices=("laptop", "paper"),
        help="of the experiment: a small one, or the size of the paper (default: laptop)",
    )
    reproduce.add_argument(
        "--out", type=Path, default=Path("figures"), help="directory (default: figures)"
    )

    info = commands.add_parser("info", help="Show versions and devices.")
    info.set_defaults(run=_info)
    return parser


def _described(make: Any, command: str, title: str, **options: Any) -> argparse.ArgumentParser:
    name = options.pop("name", None)
    if name is not None:
        options["help"] = title
    parser: argparse.ArgumentParser = make(
        *([] if name is None else [name]),
        description=title,
        epilog=_EXAMPLES[command].replace("{figures}", _FIGURES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )
    return parser


def _values(text: str) -> list[float]:
    """Read a list or a range of numbers."""
    import numpy as np

    def number(part: str) -> float:
        part = part.strip()
        if part.endswith("pi"):
            return float(part[:-2] or 1) * np.pi
        return float(part)

    try:
        if ":" not in text:
            return [number(part) for part in text.split(",")]
        first, last, count = text.split(":")
        if int(count) < 2:
            raise ValueError
        return np.linspace(number(first), number(last), int(count)).tolist()
    except ValueError:
        raise argparse.ArgumentTypeError(
            "must be numbers such as 0.1,0.5,0.25pi or a range FIRST:LAST:COUNT with COUNT >= 2; "
            f"got {text!r}"
        ) from None


def _seed(text: str) -> int:
    """Read a seed; of a longer one JAX takes the last 32 bits, so that two would be the same."""
    if not (text.isdecimal() and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to 2^32 - 1; got {text!r}")
    return int(text)


def _use_all_cores() -> None:
    """Let JAX see each core of a machine without accelerator as a device: instances spread."""
    import jax

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # JAX before 0.5 has no such setting, and one that has started keeps its devices.
    with contextlib.suppress(AttributeError, RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores)


def _sweep(options: argparse.Namespace) -> int:
    from fatelib.linear.training import Engine

    if options.engine is not None and options.engine not in get_args(Engine):
        raise ValueError(f"--engine must be one of {get_args(Engine)}; got {options.engine!r}")
    by_hand = (options.coordinator, options.processes, options.process)
    if any(value is not None for value in by_hand):
        if not options.distributed:
            raise ValueError("--coordinator, --processes and --process need --distributed")
        if None in by_hand:
            raise ValueError("--coordinator, --processes and --process come together")
    _use_all_cores()
    import jax

    if options.distributed:
        try:
            jax.distributed.initialize(*by_hand)
        except (RuntimeError, ValueError) as error:
            raise ConnectionError(
                f"--distributed did not bring the processes together: {error}. Outside SLURM give "
                "--coordinator, --processes and --process, the same first two to all"
            ) from error
    from fatelib.sweep import phase_diagram

    names: tuple[str, ...] = (
        "source_gamma",
        "source_sigma",
        "ridge",
        "weight_decay",
        "engine",
        "scale",
    )
    names += ("width", "learning_rate", "steps", "tolerance", "memory")
    given = {name: getattr(options, name) for name in names}
    given |= {"sigma": options.sigma, "depth": [_integer("--depth", v) for v in options.depth]}
    data = phase_diagram(
        options.method,
        options.thetas,
        options.gammas,
        d=options.d,
        instances=options.instances,
        key=jax.random.key(options.seed),
        store=options.out,
        progress=jax.process_index() == 0,
        **{
            name: value[0] if isinstance(value, list) and len(value) == 1 else value
            for name, value in given.items()
            if value is not None
        },
    )
    if jax.process_index() == 0:
        _save(data, options.out, group="result")
        share = float(data.converged.mean())
        sizes = " x ".join(f"{size} {name}" for name, size in data.sizes.items())
        print(f"{options.out}: {sizes}; {share:.1%} of the networks converged")
        if share < 1:
            print("more --steps help, and for three or more layers a larger --scale, such as 0.01")
        print(
            f"read it with xarray.open_zarr({str(options.out)!r}, group='result', "
            "consolidated=False)"
        )
        _draw(data, options.out.parent / f"{options.out.name.removesuffix('.zarr')}.png")
    return 0


def _draw(data: Any, path: Path) -> None:
    """Draw a result over angles and sample sizes alone."""
    if {name for name, size in data.sizes.items() if size > 1} - {"theta", "gamma", "instance"}:
        print("draw a part of it with fatelib.plot.phase_diagram, as in its documentation")
        return
    import matplotlib.figure
    import matplotlib.style

    from fatelib import plot

    others = [name for name in data.dims if name not in ("theta", "gamma", "instance")]
    data = data.squeeze(others)
    with matplotlib.style.context("fatelib.style"):
        figure = matplotlib.figure.Figure()
        ax = figure.subplots()
        plot.phase_diagram(data.transferability, converged=data.converged, ax=ax)
        ax.set_title("dots: a network did not converge" if not data.converged.all() else "")
        figure.savefig(path)
    print(f"drawn to {path}")


def _integer(name: str, value: float) -> int:
    if not float(value).is_integer():
        raise ValueError(f"{name} must be integers; got {value}")
    return int(value)


def _reproduce(options: argparse.Namespace) -> int:
    _use_all_cores()
    import time

    import jax
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from fatelib.figures import FIGURES, PARTS

    groups = {"all": tuple(FIGURES), **PARTS}
    if options.figure not in (*groups, *FIGURES):
        known = ", ".join((*groups, *FIGURES))
        raise ValueError(f"FIGURE must be one of {known}; got {options.figure}")
    keys = groups.get(options.figure, (options.figure,))
    _check_writable(options.out)
    for key in keys:
        _check_own(options.out / f"{key}.zarr", key)
    status = 0
    for key in keys:
        figure, started = FIGURES[key], time.perf_counter()
        print(f"{key}: {figure.title}", flush=True)
        store = options.out / "sweeps" / options.scale / key
        data = figure.compute(options.scale, store=store)
        _save(data, options.out / f"{key}.zarr")
        with plt.style.context("fatelib.style"):
            picture = figure.draw(data)
            for kind in ("svg", "png"):
                picture.savefig(options.out / f"{key}.{kind}")
            plt.close(picture)
        try:
            print(figure.compare(data))
        except AssertionError as error:
            status = 1
            print(f"fatelib: {key}: {error}", file=sys.stderr)
        print(f"{time.perf_counter() - started:.1f} s\n", flush=True)
        jax.clear_caches()  # programs of one figure are of no use to the next, and fill the memory
    return status


def _check_writable(out: Path) -> None:
    """Raise at once, not after hours of computation."""
    import tempfile

    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise ValueError(
            f"--out must be a directory that can be written; got {out}: {error}"
        ) from error


def _check_own(path: Path, key: str) -> None:
    """Raise where the result of a figure would replace something else."""
    import xarray as xr

    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        found = xr.open_zarr(path, consolidated=False, chunks=None).attrs.get("figure")
    except Exception:  # whatever it is, it is not ours
        found = None
    if found != key:
        raise ValueError(
            f"{path} is there and is no result of {key}: move it, or name another --out"
        )


def _save(data: Any, path: Path, group: str | None = None) -> None:
    """Write a data set, with attributes that JSON can hold and the version that computed it."""
    import math

    from fatelib import __version__

    attrs = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in data.attrs.items()
    }
    data = data.assign_attrs({"fatelib": __version__, **attrs})
    data.to_zarr(path, group=group, mode="w", consolidated=False, zarr_format=2)


def _info(options: argparse.Namespace) -> int:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import jax

    print(f"{'python':12} {platform.python_version()} on {platform.platform()}")
    for package in ("fatelib", "jax", "jaxlib", "equinox", "diffrax", "xarray", "zarr", "numpy"):
        try:
            print(f"{package:12} {version(package)}")
        except PackageNotFoundError:
            print(f"{package:12} not installed")
    _use_all_cores()
    devices = jax.devices()
    kinds = sorted({device.device_kind for device in devices})
    print(f"{'devices':12} {len(devices)} x {', '.join(kinds)} ({jax.default_backend()})")
    print(
        f"{'precision':12} float32; 64 bits with JAX_ENABLE_X64=1. Products run at full precision,"
    )
    print(f"{'':12} without TF32 on a GPU.")
    return 0
