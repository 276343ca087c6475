"""The command fatelib: diagnose, sweep, reproduce, info."""

import argparse
import contextlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from fatelib.arguments import check_type

__all__ = ["main"]

# What the pictures of this command say of themselves: it replaces no others.
_MARK = "drawn by the command fatelib"
# Kinds of pictures of a figure -> where their files say it.
_PICTURES = {"svg": "Creator", "png": "Software"}
# Of a finished sweep so much is printed; the rest is in its result.
_DIAGRAMS, _ANGLES, _RATIOS = 4, 10, 6

_FIGURES = """\
  linear: fig-1 fig-2 fig-7 fig-source fig-surface fig-scratch fig-ridge fig-5 fig-l2sp fig-dynamics
          fig-time fig-4a fig-4b
  relu:   fig-mercer fig-3d fig-3ab fig-3c fig-3e fig-curve
"""

_EXAMPLES = {
    "": """\
examples:
  fatelib diagnose features.npz --labels y --control untrained --out report
  fatelib sweep fine_tuning --thetas 0.1:1.5:15 --gammas 0.1:2:20 --d 500 --out ft.zarr
  fatelib reproduce fig-1 --scale paper --out figures
  fatelib info

figures, for FIGURE of reproduce:
{figures}
exit status: 0 success; 1 theory and experiment disagree, or training diverged; 2 wrong usage;
130 stopped by Ctrl-C
""",
    "diagnose": """\
Each array of an .npz is a feature set by its own name, every other FILE (.npy, .csv, .tsv,
.parquet) one by the name of the file: samples in rows, of a table all columns of numbers. NAME is
one of these arrays or a column of a table; or another file with one column.

Prints the report, and writes it to OUT: report.txt, summary.json with its numbers, curve.csv,
curve.png and report.zarr, which fatelib.probe.load reads.

examples:
  fatelib diagnose features.npz --labels y --control untrained --out report
  fatelib diagnose layer3.npy layer4.npy --labels labels.csv --out report
  fatelib diagnose patients.csv --labels outcome --groups patient --out report
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
""",
    "reproduce": """\
figures, alone or all of a group:
{figures}  all:    both

examples:
  fatelib reproduce fig-ridge
  fatelib reproduce linear --scale paper --out figures

Writes OUT/FIGURE.zarr, .svg and .png and prints theory against experiment; "left out" counts cells
that are not compared: training had not converged or no theory holds there. What was finished of a
figure that was stopped is in OUT/sweeps and is not computed again. At paper scale fig-3e takes
hours on a CPU: it is meant for a GPU.
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
        options = parser.parse_args(
            _with_negative_values(sys.argv[1:] if arguments is None else arguments)
        )
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return int(options.run(options))
    except (AssertionError, FloatingPointError, RuntimeError) as error:
        status = 1
        print(f"fatelib: error: {_as_typed(str(error), options)}", file=sys.stderr)
    except (ValueError, TypeError, OSError) as error:
        status = 2
        print(f"fatelib: error: {_as_typed(str(error), options)}", file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
        print("fatelib: stopped; the same command keeps what is finished", file=sys.stderr)
    return status


def _with_negative_values(arguments: Sequence[str]) -> list[str]:
    """Bind values such as -0.5,0.5 to their option: argparse takes them for options."""
    bound: list[str] = []
    for argument in arguments:
        is_value = re.match(r"-(\.?\d|pi|inf|nan)", argument) is not None
        if bound and is_value and re.fullmatch(r"--[a-z][a-z-]*", bound[-1]):
            bound[-1] += f"={argument}"
        else:
            bound.append(argument)
    return bound


def _as_typed(message: str, options: argparse.Namespace) -> str:
    """Put what a user types in place of the names of the arguments of `phase_diagram`."""
    typed = {"store": "--out"}
    recorded: dict[str, str] = {}
    if options.run is _sweep:
        from fatelib.linear.diagram import phase_diagram

        given = [name for name in inspect.signature(phase_diagram).parameters if name in options]
        recorded = {name: f"--{name.replace('_', '-')}" for name in given}
        recorded |= {"method": "METHOD", "key": "--seed", "theta": "--thetas", "gamma": "--gammas"}
        recorded |= {"instance": "--instances", "max_steps": "--steps"}
        typed |= {name: flag for name, flag in recorded.items() if name in given and name != "d"}
        message = message.replace(" must be None", " must be left out")

    def translated(text: str) -> str:
        words = "|".join(sorted(typed, key=len, reverse=True))
        word = rf"(?<![\w/.'\"-])({words})(?![\w/'\"-]|\.\w| = )"
        text = re.sub(word, lambda found: typed[found[1]], text)
        # In "made with gamma = 1, not 2" these are names too; elsewhere "gamma = 1" is a point.
        names = "|".join(sorted(recorded, key=len, reverse=True))
        where = rf"(?<=made with )({names})\b|^({names})(?= must)"
        return re.sub(where, lambda found: recorded[found[1] or found[2]], text) if names else text

    # Not in the path, which messages give in full.
    path = os.path.realpath(os.path.expanduser(options.out)) if "out" in options else "\n"
    return path.join(map(translated, message.split(path)))


def _parser() -> argparse.ArgumentParser:
    from fatelib import __version__

    parser = _described(argparse.ArgumentParser, "", __doc__ or "", prog="fatelib")
    parser.add_argument("--version", action="version", version=f"fatelib {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    diagnose = _described(
        commands.add_parser, "diagnose", "Say what features are worth.", name="diagnose"
    )
    diagnose.set_defaults(run=_diagnose)
    diagnose.add_argument("files", metavar="FILE", nargs="+", help="features")
    diagnose.add_argument("--labels", metavar="NAME", required=True, help="labels (required)")
    diagnose.add_argument("--out", required=True, help="directory of the report (required)")
    diagnose.add_argument(
        "--control",
        metavar="SET",
        help="the feature set that credit is measured against, or random: a layer that is made of "
        "the inputs",
    )
    diagnose.add_argument(
        "--features", metavar="SETS", help="take these only, separated by commas (default: all)"
    )
    diagnose.add_argument("--groups", metavar="NAME", help="what belongs together")
    diagnose.add_argument(
        "--inputs", metavar="NAME", help="what the network saw, for a random control or contenders"
    )
    diagnose.add_argument(
        "--contenders", choices=["mlp"], help="train a small network on the inputs beside"
    )
    diagnose.add_argument(
        "--task",
        default="auto",
        help="regression, classification, or auto: words, booleans and two values are classes, "
        "other numbers are numbers (default: auto)",
    )
    diagnose.add_argument("--noise", type=float, help="standard deviation of the label noise")
    diagnose.add_argument(
        "--standardize", action="store_true", help="divide each feature by its own deviation"
    )
    diagnose.add_argument("--seed", type=_seed, default=0, help="of the replicates (default: 0)")

    sweep = _described(commands.add_parser, "sweep", "Train networks over a grid.", name="sweep")
    sweep.set_defaults(run=_sweep)
    sweep.add_argument("method", metavar="METHOD", help="linear_transfer or fine_tuning")
    grid = sweep.add_argument_group("the grid")
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
    grid.add_argument("--seed", type=_seed, help="of all random numbers (default: 0)")
    training = sweep.add_argument_group("training")
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
    sweep.add_argument(
        "--out", required=True, help="directory of the result, such as ft.zarr (required)"
    )
    processes = sweep.add_argument_group("several processes")
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
    reproduce.add_argument("--out", default="figures", help="directory (default: figures)")

    info = commands.add_parser("info", help="Show versions and devices.")
    info.set_defaults(run=_info)
    return parser


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
    return f"{what} (default: {_shown(_defaults()[name])})"


def _shown(value: Any) -> str:
    """Write a setting as it may be typed; of many values the first and the last."""
    if isinstance(value, bool | str):
        return str(value)
    try:
        numbers = [f"{number:.6g}" for number in (value if hasattr(value, "__len__") else [value])]
    except (TypeError, ValueError):
        return str(value)
    if len(numbers) > 6:
        return f"{numbers[0]},...,{numbers[-1]} ({len(numbers)} values)"
    return ",".join(numbers)


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


def _set_up_jax() -> None:
    """Let JAX see each core of a CPU as a device, and keep what it compiles for the next time."""
    import jax

    if _compiled() is None:
        jax.config.update("jax_compilation_cache_dir", str(_cache()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # JAX before 0.5 has no such setting, and one that has started keeps its devices.
    with contextlib.suppress(AttributeError, RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores)


def _compiled() -> str | None:
    """Return the directory where JAX keeps compiled programs, if it does."""
    import jax

    directory: str | None = getattr(jax.config, "jax_compilation_cache_dir")  # noqa: B009
    return directory


def _cache() -> Path:
    """Return the directory for compiled programs: in the user's cache directory."""
    parent = os.environ.get("XDG_CACHE_HOME")
    return (Path(parent) if parent else Path.home() / ".cache") / "fatelib"


@contextlib.contextmanager
def _without_display() -> Iterator[None]:
    """Let matplotlib draw to files, whatever the environment or the caller has set, for a while."""
    # A backend in the environment that it does not know stops its import.
    named = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    # Reading it from a copy does not choose one where none has been chosen.
    before = named or matplotlib.rcParams.copy()["backend"]
    fallback = matplotlib.rcParams["backend_fallback"]
    matplotlib.use("agg")
    try:
        yield
    finally:
        with contextlib.suppress(ImportError, ValueError):  # what could not be used before either
            matplotlib.use(before, force=False)
            matplotlib.rcParams["backend"] = before
        matplotlib.rcParams["backend_fallback"] = fallback


@_without_display()
def _diagnose(options: argparse.Namespace) -> int:
    out = _directory(options.out, "report")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"--out must be a new directory, or an empty one; got {out}")
    import json

    import jax
    import matplotlib.pyplot as plt

    from fatelib.probe import diagnose
    from fatelib.probe.files import read_tables

    tables = read_tables(options.files, options.labels, options.groups, options.inputs)
    features = tables.features
    wanted = [name for name in features if name != options.inputs]
    if options.features is not None:
        wanted = [name.strip() for name in options.features.split(",")]
        if unknown := [name for name in wanted if name not in features]:
            raise ValueError(f"--features must be of {', '.join(features)}; got {unknown[0]!r}")
    if options.control in features and options.control not in wanted:
        wanted.append(options.control)
    features = {name: features[name] for name in wanted}
    _check_writable(out)
    try:
        report = diagnose(
            features,
            tables.labels,
            control=options.control,
            task=options.task,
            inputs=tables.inputs,
            contenders=options.contenders,
            groups=tables.groups,
            noise=options.noise,
            standardize=options.standardize,
            key=jax.random.key(options.seed),
        )
    except (TypeError, ValueError) as error:
        error.args = (_as_options(str(error)),)
        raise
    text = _as_options(str(report))
    print(text)
    (out / "report.txt").write_text(f"{text}\n", encoding="utf-8")
    (out / "summary.json").write_text(json.dumps(report.summary(), indent=1), encoding="utf-8")
    report.curve.to_dataframe().to_csv(out / "curve.csv")
    with plt.style.context("fatelib.style"):
        ax = report.plot()
        ax.figure.savefig(out / "curve.png", metadata={"Software": _MARK})
        plt.close(ax.figure)
    report.save(out / "report.zarr")
    return 0


def _as_options(text: str) -> str:
    """Write arguments of `fatelib.diagnose` as they are given to the command."""
    # As messages have them, not as what users call their features and classes.
    given = "contenders=|groups=|inputs=|noise=|standardize=True|task='classification'"
    given += "|task='regression'|control='random'"
    return re.sub(
        rf"(?<=[ (])({given})(?=[\s,.;:)]|$)|^control='random'",
        lambda found: (
            "--" + found[0].removesuffix("=True").rstrip("=").replace("=", " ").replace("'", "")
        ),
        text,
    )


@_without_display()
def _sweep(options: argparse.Namespace) -> int:
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
    out = _directory(options.out, "ft.zarr")
    is_store = out.suffix.lower() == ".zarr"
    picture = out.with_suffix(".png") if is_store else out.with_name(f"{out.name}.png")
    if is_diagram:
        _check_drawn_here(picture)
    _set_up_jax()
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
        _save(data, out, group="result")
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


def _directory(out: str, example: str) -> Path:
    """Return the directory that --out names, which is no file of another kind."""
    from fatelib.sweep.store import local_directory

    path = local_directory("--out", out)
    # Of letters, as those of files: a name may end in sigma0.2.
    is_file = re.match(r"\.[A-Za-z]", path.suffix) and path.suffix.lower() != ".zarr"
    if not path.name or (is_file and not path.is_dir()):
        raise ValueError(
            f"--out must name a directory, for data and pictures; got {out}: type "
            f"--out {path.with_suffix(Path(example).suffix) if path.name else example}"
        )
    return path


def _check_drawn_here(picture: Path) -> None:
    """Raise where a picture would replace something else."""
    if not picture.exists():
        return
    try:
        with open(picture, "rb") as file:
            is_ours = _MARK.encode() in file.read(4096)
    except OSError:
        is_ours = False
    if not is_ours:
        raise ValueError(f"{picture} is there and was not {_MARK}: move it, or name another --out")


def _print_settings(options: argparse.Namespace, defaults: Mapping[str, Any]) -> None:
    """Say what is computed, in the words in which it may be typed."""
    import textwrap

    given, filled_in = [], []
    for name, value in vars(options).items():
        flag = f"--{name.replace('_', '-')}"
        if value is None and name in defaults:
            filled_in.append(f"{flag} {_shown(defaults[name])}")
        elif not (value in (None, False) or name in ("run", "method")):
            given.append(flag if value is True else f"{flag} {_shown(value)}")
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


def _print_transferability(data: Any, out: Path) -> None:
    """Print means over the instances and their standard errors: of many cells some, spread out."""
    import numpy as np

    def some(dim: str, most: int) -> Any:
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


def _draw(data: Any, path: Path) -> None:
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
            figure.savefig(path, metadata={"Software": _MARK})
        except OSError as error:  # the result is safe
            print(f"fatelib: no picture: {error}", file=sys.stderr)
            return
    print(f"drawn to {path}")


def _integer(name: str, value: float) -> int:
    if not float(value).is_integer():
        raise ValueError(f"{name} must be integers; got {value}")
    return int(value)


@_without_display()
def _reproduce(options: argparse.Namespace) -> int:
    _set_up_jax()
    import time

    import jax
    import matplotlib.pyplot as plt

    from fatelib.figures import FIGURES, PARTS

    groups = {"all": tuple(FIGURES), **PARTS}
    if options.figure not in (*groups, *FIGURES):
        known = ", ".join((*groups, *FIGURES))
        raise ValueError(f"FIGURE must be one of {known}; got {options.figure}")
    keys = groups.get(options.figure, (options.figure,))
    out = _directory(options.out, "figures")
    _check_writable(out)
    for key in keys:
        _check_own(out / f"{key}.zarr", key)
        for kind in _PICTURES:
            _check_drawn_here(out / f"{key}.{kind}")
    status = 0
    for key in keys:
        figure, started = FIGURES[key], time.perf_counter()
        print(f"{key}: {figure.title}", flush=True)
        settings = figure.scales[options.scale]
        texts = [f"{name} = {_shown(value)}" for name, value in settings.items()]
        print(f"  {', '.join(texts)}", flush=True)
        store = out / "sweeps" / options.scale / key
        data = figure.compute(options.scale, store=store)
        _save(data, out / f"{key}.zarr")
        with plt.style.context("fatelib.style"):
            picture = figure.draw(data)
            for kind, name in _PICTURES.items():
                picture.savefig(out / f"{key}.{kind}", metadata={name: _MARK})
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
    _set_up_jax()
    devices = jax.devices()
    kinds = sorted({device.device_kind for device in devices})
    print(f"{'devices':12} {len(devices)} x {', '.join(kinds)} ({jax.default_backend()})")
    print(
        f"{'precision':12} float32; 64 bits with JAX_ENABLE_X64=1. Products run at full precision,"
    )
    print(f"{'':12} without TF32 on a GPU.")
    print(f"{'compiled':12} programs are kept in {_compiled()}")
    return 0
