"""What the parsers of the commands share."""

import argparse
from typing import Any


def add_command(commands: Any, name: str, title: str, examples: str) -> argparse.ArgumentParser:
    """Add a command whose help ends with examples."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=title,
        description=title,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def shown(value: Any) -> str:
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


def seed(text: str) -> int:
    """Read a seed; of a longer one JAX takes the last 32 bits, so that two would be the same."""
    if not (text.isdecimal() and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to 2^32 - 1; got {text!r}")
    return int(text)
