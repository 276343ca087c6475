"""The command fatelib: diagnose, sweep, reproduce, info."""

from fatelib.cli.command import main

__all__ = ["main"]
