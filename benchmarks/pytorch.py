"""Run a script in the interpreter that has PyTorch, which need not be the one with JAX."""

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import jax
import numpy as np


@cache
def missing(python: str) -> bool:
    """Say whether PyTorch is missing, once, and why."""
    try:
        check = subprocess.run([python, "-c", "import torch"], capture_output=True, text=True)
        code, why = check.returncode, check.stderr.strip()
    except OSError as error:
        code, why = 1, str(error)
    if code:
        print(f"PyTorch is missing from {python}: {why}", file=sys.stderr)
    return code != 0


def answer(python: str, script: str, arrays: dict, *options: str) -> dict:
    """Run a script on these arrays: the JSON that it prints last; empty without PyTorch.

    Where it fails, its message is the last of this program.
    """
    if missing(python):
        return {}
    device = "cpu" if jax.default_backend() == "cpu" else "gpu"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data.npz")
        np.savez(data, **arrays)
        command = [python, Path(__file__).with_name(script), data, *options, f"--device={device}"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{script} failed in {python}:\n{(done.stdout + done.stderr).strip()}")
    return json.loads(done.stdout.splitlines()[-1])
