"""fatelib reproduce: the figures of the paper."""

import argparse
import sys
from pathlib import Path
from typing import Any

from fatelib.cli.output import MARK, check_drawn_here, check_writable, directory, save
from fatelib.cli.parsing import add_command, shown
from fatelib.cli.session import set_up_jax, without_display

# Kinds of pictures of a figure -> where their files say it.
_PICTURES = {"svg": "Creator", "png": "Software"}

KEYS = """\
  linear: fig-1 fig-2 fig-7 fig-source fig-surface fig-scratch fig-ridge fig-5 fig-l2sp fig-dynamics
          fig-time fig-4a fig-4b
  relu:   fig-mercer fig-3d fig-3ab fig-3c fig-3e fig-curve
"""

_EXAMPLES = f"""\
figures, alone or all of a group:
{KEYS}  all:    both

examples:
  fatelib reproduce fig-ridge
  fatelib reproduce linear --scale paper --out figures

Writes OUT/FIGURE.zarr, .svg and .png and prints theory against experiment; "left out" counts cells
that are not compared: training had not converged or no theory holds there. What was finished of a
figure that was stopped is in OUT/sweeps and is not computed again. At paper scale fig-3e takes
hours on a CPU: it is meant for a GPU.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(commands, "reproduce", "Reproduce figures of the paper.", _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument(
        "figure", metavar="FIGURE", help="its key, such as fig-1, or linear, relu, all"
    )
    parser.add_argument(
        "--scale",
        default="laptop",
        choices=("laptop", "paper"),
        help="of the experiment: a small one, or the size of the paper (default: laptop)",
    )
    parser.add_argument("--out", default="figures", help="directory (default: figures)")


@without_display()
def run(options: argparse.Namespace) -> int:
    """Compute, compare and draw figures."""
    set_up_jax()
    import time

    import jax
    import matplotlib.pyplot as plt

    from fatelib.figures import FIGURES, PARTS

    groups = {"all": tuple(FIGURES), **PARTS}
    if options.figure not in (*groups, *FIGURES):
        known = ", ".join((*groups, *FIGURES))
        raise ValueError(f"FIGURE must be one of {known}; got {options.figure}")
    keys = groups.get(options.figure, (options.figure,))
    out = directory(options.out, "figures")
    check_writable(out)
    for key in keys:
        _check_own(out / f"{key}.zarr", key)
        for kind in _PICTURES:
            check_drawn_here(out / f"{key}.{kind}")
    status = 0
    for key in keys:
        figure, started = FIGURES[key], time.perf_counter()
        print(f"{key}: {figure.title}", flush=True)
        settings = figure.scales[options.scale]
        texts = [f"{name} = {shown(value)}" for name, value in settings.items()]
        print(f"  {', '.join(texts)}", flush=True)
        store = out / "sweeps" / options.scale / key
        data = figure.compute(options.scale, store=store)
        save(data, out / f"{key}.zarr")
        with plt.style.context("fatelib.style"):
            picture = figure.draw(data)
            for kind, name in _PICTURES.items():
                picture.savefig(out / f"{key}.{kind}", metadata={name: MARK})
            plt.close(picture)
        try:
            print(figure.compare(data))
        except AssertionError as error:
            status = 1
            print(f"fatelib: {key}: {error}", file=sys.stderr)
        print(f"{time.perf_counter() - started:.1f} s\n", flush=True)
        jax.clear_caches()  # programs of one figure are of no use to the next, and fill the memory
    return status


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
