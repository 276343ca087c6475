"""The parser of all commands, and what an error becomes on its way to the shell."""

import argparse
import inspect
import os
import re
import sys
from collections.abc import Sequence

from fatelib.arguments import check_type
from fatelib.cli import diagnose, reproduce, sweep
from fatelib.cli.session import compiled, set_up_jax

_EXAMPLES = f"""\
examples:
  fatelib diagnose features.npz --labels y --control untrained --out report
  fatelib sweep fine_tuning --thetas 0.1:1.5:15 --gammas 0.1:2:20 --d 500 --out ft.zarr
  fatelib reproduce fig-1 --scale paper --out figures
  fatelib info

figures, for FIGURE of reproduce:
{reproduce.KEYS}
exit status: 0 success; 1 theory and experiment disagree, or training diverged; 2 wrong usage;
130 stopped by Ctrl-C
"""


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
    if options.run is sweep.run:
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

    parser = argparse.ArgumentParser(
        prog="fatelib",
        description="Keep the features of a pretrained network, or train from scratch?",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fatelib {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (diagnose, sweep, reproduce):
        command.add(commands)
    info = commands.add_parser("info", help="Show versions and devices.")
    info.set_defaults(run=_info)
    return parser


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
    set_up_jax()
    devices = jax.devices()
    kinds = sorted({device.device_kind for device in devices})
    print(f"{'devices':12} {len(devices)} x {', '.join(kinds)} ({jax.default_backend()})")
    print(
        f"{'precision':12} float32; 64 bits with JAX_ENABLE_X64=1. Products run at full precision,"
    )
    print(f"{'':12} without TF32 on a GPU.")
    print(f"{'compiled':12} programs are kept in {compiled()}")
    return 0
