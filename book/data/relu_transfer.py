"""Compute the ReLU phase diagram at the size of the paper, and store it beside this script.

    python book/data/relu_transfer.py --store sweep [--instances 5] [--samples 3000]

Stopped and started again it goes on where it was. On two CPU cores the stored file (two instances,
up to 1,797 samples) took the time that its attribute `seconds` says; the paper's size (five
instances, up to 3,000 samples) is meant for a GPU.
"""

import argparse
import datetime
from pathlib import Path

import numpy as np

from fatelib.figures import FIGURES

KEPT = (
    "risk",
    "risk_theory",
    "risk_scratch",
    "outside",
    "rank",
    "norm2",
    "steps",
    "steps_scratch",
)
KEPT += ("converged", "converged_scratch", "source_loss")


def main() -> None:
    """Run the sweep and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--store", required=True, help="directory of the resumable sweep"
    )
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument(
        "--samples", type=int, default=2000, help="the most samples"
    )
    options = parser.parse_args()
    figure = FIGURES["fig-3e"]
    ns = tuple(n for n in figure.scales["paper"]["ns"] if n <= options.samples)
    data = figure.compute(
        "paper", instances=options.instances, ns=ns, store=options.store
    )
    print(figure.compare(data))
    small = data[list(KEPT)].astype(np.float32)
    small["protocol"] = small.protocol.astype("S")
    small.attrs = {name: str(value) for name, value in data.attrs.items()}
    small.attrs |= {
        "made_by": "book/data/relu_transfer.py",
        "date": datetime.date.today().isoformat(),
    }
    small.to_netcdf(Path(__file__).with_suffix(".nc"), engine="scipy")


if __name__ == "__main__":
    main()
