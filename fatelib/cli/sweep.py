"""fatelib sweep: a phase diagram from the shell."""

import argparse
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import xarray as xr

from fatelib.cli.output import MARK, check_drawn_here, directory, save
from fatelib.cli.parsing import add_command, seed, shown
from fatelib.cli.session import set_up_jax, without_display

# Of a finished sweep so much is printed; the rest is in its result.
_DIAGRAMS, _ANGLES, _RATIOS = 4, 10, 6

_EXAMPLES = """\
VALUES are a list 0.1,0.5,2 or a range FIRST:LAST:COUNT that holds both ends (COUNT >= 2); angles
may be written in pi: 0.1pi or 0.05pi:0.5pi:10.

Engines, see fatelib.train: descent and gram train all weights; spectral, flow and limit one
direction, as networks of a small scale do, for any d; auto takes spectral for scales up to 0.001,
else descent.

OUT fills chunk by chunk. When all are finished its group "result" holds the risks, their difference
(the transferability), the standard errors of their means, n, units and all parameters. In Python:
  xarray.open_zarr("ft.zarr", group="result", consolidated=False)
The diagram of one noise, depth, source, ridge and decay is drawn beside it, to ft.png.

examples:
  fatelib sweep linear_transfer --thetas 0.25pi --gammas 0.1:2:20 --d 500 --out lt.zarr
  fatelib sweep fine_tuning --thetas 0.05pi:0.5pi:10 --gammas 0.5,2 --d 100000 \\
      --sigma 0,0.2,1 --depth 2,3 --scale 0.1 --engine spectral --out ft.zarr

The same command again goes on where it was stopped, and with more --instances it adds what is new.
Under SLURM, with an OUT that all see, and one process for each GPU: JAX gives a process one GPU
only.
  srun --ntasks-per-node=8 --gpus-per-node=8 \\
      fatelib sweep ... --out shared/ft.zarr --distributed
Two processes by hand, each in its own terminal:
  fatelib sweep ... --distributed --coordinator localhost:9876 --processes 2 --process 0
  fatelib sweep ... --distributed --coordinator localhost:9876 --processes 2 --process 1
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(commands, "sweep", "Train networks over a grid.", _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("method", metavar="METHOD", help="linear_transfer or fine_tuning")
    grid = parser.add_argument_group("the grid")
    values: dict[str, Any] = {"type": _values, "metavar": "VALUES"}
    angles = "angles in radians, such as 0.1,0.25pi (required)"
    grid.add_argument("--thetas", **values, required=True, help=angles)
    grid.add_argument("--gammas", **values, required=True, help="n / d (required)")
    grid.add_argument("--d", type=int, required=True, help="input dimension (required)")
    grid.add_argument("--sigma", **values, help=_help("label noise", "sigma"))
    grid.add_argument("--depth", **values, help=_help("layers", "depth"))
    grid.add_argument("--source-gamma", **values, help=_help("source samples / d", "source_gamma"))
    grid.add_argument(
        "--source-sigma", type=float, help=_help("label noise of the source", "source_sigma")
    )
    grid.add_argument("--ridge", **values, help=_help("ridge of the last layer", "ridge"))
    grid.add_argument("--weight-decay", **values, help=_help("decay of all layers", "weight_decay"))
    grid.add_argument("--instances", type=int, help=_help("repetitions", "instances"))
    grid.add_argument("--seed", type=seed, help="of all random numbers (default: 0)")
    training = parser.add_argument_group("training")
    engines = "auto, descent, gram, spectral, flow or limit; see below"
    training.add_argument("--engine", help=_help(engines, "engine"))
    training.add_argument("--scale", type=float, help=_help("of the initial weights", "scale"))
    training.add_argument("--width", type=int, help=_help("hidden width", "width"))
    training.add_argument("--learning-rate", type=float, help=_help("step size", "learning_rate"))
    training.add_argument("--steps", type=int, help=_help("the most steps", "steps"))
    share = "how far above its minimum the loss may end, as a share of that of the zero network"
    training.add_argument("--tolerance", type=float, help=_help(share, "tolerance"))
    training.add_argument(
        "--absolute-tolerance", type=float, help="the same, in units of the loss (default: none)"
    )
    gigabytes = "gigabytes per process, shared by its devices; sets the size of chunks"
    training.add_argument("--memory", type=float, help=_help(gigabytes, "memory"))
    parser.add_argument(
        "--out", required=True, help="directory of the result, such as ft.zarr (required)"
    )
    processes = parser.add_argument_group("several processes")
    processes.add_argument(
        "--distributed", action="store_true", help="share the work (default: no)"
    )
    for flag, kind, what in (
        ("--coordinator", str, "address of process 0"),
        ("--processes", int, "how many there are"),
        ("--process", int, "which one this is, from 0"),
    ):
        metavar = "HOST:PORT" if kind is str else None
        processes.add_argument(
            flag, type=kind, metavar=metavar, help=f"{what} (default: as SLURM says)"
        )


def _defaults() -> dict[str, Any]:
    """Return what `phase_diagram` takes for what is not given; some have none there."""
    from fatelib.descent.options import Options
    from fatelib.linear.diagram import phase_diagram

    parameters = inspect.signature(phase_diagram).parameters.values()
    known = {parameter.name: parameter.default for parameter in parameters}
    training = Options.read()
    known |= {"steps": training.steps, "tolerance": training.tolerance}
    known |= {"learning_rate": "a safe one", "absolute_tolerance": "none"}
    return known | {"sigma": 0.0, "instances": 20, "width": "d"}


def _help(what: str, name: str) -> str:
    return f"{what} (default: {shown(_defaults()[name])})"


def _values(text: str) -> list[float]:
    """Read a list or a range of numbers."""

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


@without_display()
def run(options: argparse.Namespace) -> int:
    """Fill the grid, print the transferabilities, and draw a single diagram."""
    from fatelib.descent.options import STOPPING
    from fatelib.linear.training import Engine

    if options.engine is not None and options.engine not in get_args(Engine):
        raise ValueError(f"--engine must be one of {get_args(Engine)}; got {options.engine!r}")
    by_hand = (options.coordinator, options.processes, options.process)
    if any(value is not None for value in by_hand):
        if not options.distributed:
            raise ValueError("--coordinator, --processes and --process need --distributed")
        if None in by_hand:
            raise ValueError("--coordinator, --processes and --process come together")
    defaults = _defaults()
    if options.absolute_tolerance is not None:
        defaults["tolerance"] = "none"
    varied = ("sigma", "depth", "source_gamma", "ridge", "weight_decay")
    names = ("source_sigma", "engine", "scale", "width", *STOPPING)
    given = {name: getattr(options, name) for name in (*varied, *names, "instances", "memory")}
    given = {name: value for name, value in given.items() if value is not None}
    if "depth" in given:
        given["depth"] = [_integer("--depth", value) for value in given["depth"]]
    is_diagram = all(len(given.get(name, [0])) == 1 for name in varied)
    out = directory(options.out, "ft.zarr")
    is_store = out.suffix.lower() == ".zarr"
    picture = out.with_suffix(".png") if is_store else out.with_name(f"{out.name}.png")
    if is_diagram:
        check_drawn_here(picture)
    set_up_jax()
    import jax

    if options.distributed:
        try:
            jax.distributed.initialize(*by_hand)
        except (RuntimeError, ValueError) as error:
            raise ConnectionError(
                f"--distributed did not bring the processes together: {error}. Outside SLURM give "
                "--coordinator, --processes and --process, the same first two to all"
            ) from error
    from fatelib.linear.diagram import phase_diagram

    is_first = jax.process_index() == 0
    if is_first:
        _print_settings(options, {**defaults, "seed": 0})
    for name in varied:
        if len(given.get(name, ())) == 1:
            given[name] = given[name][0]
    data = phase_diagram(
        options.method,
        options.thetas,
        options.gammas,
        d=options.d,
        key=jax.random.key(options.seed or 0),
        store=out,
        progress=is_first,
        **{"sigma": defaults["sigma"], "instances": defaults["instances"], **given},
    )
    if is_first:
        save(data, out, group="result")
        _print_transferability(data, out)
        share = float(data.converged.mean())
        sizes = " x ".join(f"{size} {name}" for name, size in data.sizes.items())
        print(f"{out}: {sizes}; {share:.1%} of the networks converged")
        if share < 1:
            print("more --steps help, and for three or more layers a larger --scale, such as 0.01")
        print(f"read it with xarray.open_zarr({str(out)!r}, group='result', consolidated=False)")
        if is_diagram:
            _draw(data, picture)
        else:
            print("draw a part of it with fatelib.plot.phase_diagram, as in its documentation")
    return 0


def _print_settings(options: argparse.Namespace, defaults: Mapping[str, Any]) -> None:
    """Say what is computed, in the words in which it may be typed."""
    import textwrap

    given, filled_in = [], []
    for name, value in vars(options).items():
        flag = f"--{name.replace('_', '-')}"
        if value is None and name in defaults:
            filled_in.append(f"{flag} {shown(defaults[name])}")
        elif not (value in (None, False) or name in ("run", "method")):
            given.append(flag if value is True else f"{flag} {shown(value)}")
    for title, settings in ((f"{options.method} with", given), ("by default", filled_in)):
        # Lines break between options only.
        whole = ", ".join(settings).replace(" ", "\0").replace(",\0--", ", --")
        text = textwrap.fill(
            f"{title}: {whole}",
            width=100,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        print(text.replace("\0", " "))
    sys.stdout.flush()


def _print_transferability(data: xr.Dataset, out: Path) -> None:
    """Print means over the instances and their standard errors: of many cells some, spread out."""

    def some(dim: str, most: int) -> np.ndarray:
        size = data.sizes[dim]
        return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(int))

    cells = data[["transferability_error"]].assign(
        mean=data.transferability.mean("instance"), converged=data.converged.all("instance")
    )
    others = [str(name) for name in cells["mean"].dims if name not in ("theta", "gamma")]
    diagrams = [*np.ndindex(*(cells.sizes[name] for name in others))]
    rows, columns = some("theta", _ANGLES), some("gamma", _RATIOS)
    instances = data.sizes["instance"]
    print(
        "transferability, the risk from scratch less that of transfer: mean"
        + (f" (standard error) over {instances} instances" if instances > 1 else " of one instance")
    )
    shown = diagrams[:_DIAGRAMS]
    for place in shown:
        diagram = cells.isel(dict(zip(others, place, strict=True)))
        if others:
            print(", ".join(f"{name} = {diagram[name].item():g}" for name in others))
        table = [["theta", *(f"gamma = {value:.4g}" for value in data.gamma.values[columns])]]
        for i in rows:
            line = [f"{data.theta.values[i]:.4g}"]
            for j in columns:
                cell = diagram.isel(theta=i, gamma=j)
                text = f"{cell['mean'].item():+.3g}"
                if instances > 1:
                    text += f" ({cell.transferability_error.item():.2g})"
                line.append(text + ("" if cell.converged else "*"))
            table.append(line)
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))
    if not cells.converged.all():
        print("* a network did not converge")
    parts = {
        "angles": (len(rows), data.sizes["theta"]),
        "gammas": (len(columns), data.sizes["gamma"]),
        "diagrams": (len(shown), len(diagrams)),
    }
    left_out = [f"{few} of {all_} {name}" for name, (few, all_) in parts.items() if few < all_]
    if left_out:
        print(f"shown are {', '.join(left_out)}; {out} has all")


def _draw(data: xr.Dataset, path: Path) -> None:
    """Draw a result over angles and sample sizes alone."""
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
        try:
            figure.savefig(path, metadata={"Software": MARK})
        except OSError as error:  # the result is safe
            print(f"fatelib: no picture: {error}", file=sys.stderr)
            return
    print(f"drawn to {path}")


def _integer(name: str, value: float) -> int:
    if not float(value).is_integer():
        raise ValueError(f"{name} must be integers; got {value}")
    return int(value)
