"""Compute a ReLU figure at the size of the paper, and store what its chapter draws beside this script.

    python book/data/paper_scale.py fig-3c --store DIR
    python book/data/paper_scale.py fig-3e --store DIR [--instances 5]

Stopped and started again it goes on where it was. fig-3c is stored with five instances, fig-3e with
two: the paper's five are meant for a GPU (JAX for it: benchmarks/README.md). The attribute `seconds`
says how long each took.
"""

import argparse
import datetime
import subprocess
from pathlib import Path

import numpy as np

from fatelib.figures import FIGURES

HERE = Path(__file__).parent
# File and variables of each figure, and how many instances are stored.
STORED = {
    "fig-3c": ("relu_scratch.nc", "risk steps converged", 5),
    "fig-3e": (
        "relu_transfer.nc",
        "risk risk_theory risk_scratch outside rank norm2 steps steps_scratch converged "
        "converged_scratch source_loss",
        2,
    ),
}


def main() -> None:
    """Run the sweep and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("figure", choices=STORED)
    parser.add_argument(
        "--store", required=True, help="directory of the resumable sweep"
    )
    parser.add_argument("--instances", type=int)
    options = parser.parse_args()
    name, kept, instances = STORED[options.figure]
    instances = options.instances or instances
    figure = FIGURES[options.figure]
    data = figure.compute("paper", instances=instances, store=options.store)
    small = data[kept.split()].astype(np.float32)
    if "protocol" in small.dims:
        small["protocol"] = small.protocol.astype("S")
    small.attrs = {key: str(value) for key, value in data.attrs.items()}
    commit = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    small.attrs |= {
        "made_by": "book/data/paper_scale.py",
        "date": datetime.date.today().isoformat(),
        "commit": subprocess.check_output(commit, text=True).strip(),
    }
    small.to_netcdf(HERE / name, engine="scipy")
    # Last: what took hours is kept, also where it disagrees with the theory.
    print(figure.compare(data))


if __name__ == "__main__":
    main()
