"""ReLU networks: steps on both layers against the same loop in PyTorch, and against the floor.

A step is two matrix products, W X^T and one that brings the errors back: 4 n m d operations; with
no more samples than inputs one product with the Gram matrix X X^T, 2 n^2 m operations. The floor is
the time that these take at the measured rate of a large matrix product. On the population n is
m + m*, the neurons of student and teacher.

Both sides run several times by turns, as a shared machine is faster at one time than at another:
the table has the fastest of each and the range of the ratios.

The stored phase diagram (`book/data`) then says what the steps of a whole sweep take.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytorch
import xarray as xr
from timing import RATE, matrix_rate, seconds, table, unit

from fatelib import relu

RECORD = 100  # steps: the default of `relu.train`
STORED = Path(__file__).parents[1] / "book" / "data" / "relu_transfer.nc"
WAYS = ("autograd", "compile")
NONE = {"seconds": np.nan, "loss": np.nan}


def theirs(python: str, networks, X, y, steps: int) -> dict:
    """Run the loop in PyTorch, with as many threads as ours has; empty without PyTorch."""
    # JAX has one thread per core that the process may use.
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    return pytorch.answer(
        python, "torch_step.py", dict(W=networks.W, c=networks.c, X=X, y=y), f"--steps={steps}",
        f"--compare={RECORD}", f"--rate={RATE}", f"--threads={len(cores)}",
    )  # fmt: skip


def ours(networks, X, y, steps: int) -> tuple[float, np.ndarray]:
    """Seconds per step of `relu.train`, and its losses at the start and after RECORD steps."""
    options = {"learning_rate": RATE, "steps": steps, "tolerance": 0.0, "record_every": RECORD}
    train = partial(relu.train, **options)
    if X.ndim == 3:
        train = jax.jit(jax.vmap(train))
    run = partial(train, networks, X, y)
    losses = run()[1].loss[..., :2]
    return seconds(run) / steps, np.reshape(losses, (-1, 2)).sum(axis=0)


def sweep() -> tuple[int, xr.DataArray]:
    """Count the runs of the stored phase diagram, and the steps that they took at each n."""
    stored = xr.load_dataset(STORED, engine="scipy")
    tuned = stored.steps.isel(protocol=-1).sum(("fraction", "instance"))
    runs = (stored.sizes["fraction"] + 1) * stored.sizes["n"] * stored.sizes["instance"]
    return runs, tuned + stored.steps_scratch.sum("instance")


def row(what: str, networks: int, floor: float, times: np.ndarray, apart=()) -> tuple:
    """Return a row from the seconds (turns, ways and ours), NaN for what there is not."""

    def cell(taken: float) -> str:
        return "n/a" if np.isnan(taken) else f"{unit(taken)} ({floor / taken:.0%})"

    def ratio(turns: np.ndarray) -> str:
        if np.isnan(turns).any():
            return "n/a"
        return f"{np.median(turns):.2f}x ({turns.min():.2f} to {turns.max():.2f})"

    cells = [cell(taken) for taken in times.min(axis=0)]
    ratios = [ratio(turns) for turns in (times[:, :-1] / times[:, -1:]).T]
    differences = ", ".join(f"{value:.0e}" for value in apart if not np.isnan(value)) or "n/a"
    return what, networks, unit(floor), *cells, *ratios, differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="an interpreter with PyTorch")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    gpu = jax.default_backend() != "cpu"
    d, m, teachers = (20, 100, 10) if options.quick else (100, 1000, 100)
    sizes = (30, 300) if options.quick else (30, 300, 1000, 3000)
    cases = [(n, batch) for batch in ((1, 32) if gpu else (1,)) for n in sizes]
    student = relu.ReluNetwork.init(jax.random.key(0), d, m)
    teacher = relu.ReluNetwork.init(jax.random.key(1), d, teachers, output=1.0)

    rounds = 1 if options.quick else 5
    size = 8192 if gpu else 2048
    rate, version = matrix_rate(size), "PyTorch is missing"
    times, apart = [], []
    for n, batch in cases:
        shape = () if batch == 1 else (batch,)
        X = jax.random.normal(jax.random.key(n), (*shape, n, d))
        y = jnp.vectorize(teacher, signature="(d)->()")(X)
        networks = jax.tree.map(lambda w, s=shape: jnp.broadcast_to(w, (*s, *w.shape)), student)
        steps, turns = RECORD * (1 + 300 // n), []
        for _ in range(rounds):
            rate = max(rate, matrix_rate(size))
            mine, (start, end) = ours(networks, X, y, steps)
            result = theirs(options.python, networks, X, y, steps)
            version = result.get("version", version)
            others = [result.get(way) or NONE for way in WAYS]
            turns.append([*(other["seconds"] for other in others), mine])
        times.append(turns)
        apart.append([abs(other["loss"] - end) / (start - end) for other in others])
    population = partial(
        relu.pretrain, student, teacher, learning_rate=RATE, steps=2 * RECORD, tolerance=0.0
    )  # fmt: skip
    closed_form = np.array([[np.nan, np.nan, seconds(population) / (2 * RECORD)]])

    def operations(n: int) -> int:
        return 2 * n * m * (n if n <= d else 2 * d)

    times, alone = np.array(times), len(sizes)
    floors = [batch * operations(n) / rate for n, batch in cases]
    rows = [
        row(f"n = {n}", batch, *measured)
        for (n, batch), *measured in zip(cases, floors, times, apart, strict=True)
    ]
    neurons = m + teachers
    floor = operations(neurons) / rate
    rows.append(row("population", 1, floor, closed_form))
    runs, steps = sweep()

    def total(per_step: np.ndarray) -> float:
        each = np.exp(np.interp(np.log(steps.n), np.log(sizes), np.log(per_step)))
        return float(steps.values @ each)

    if not options.quick:  # whose networks are not those of the diagram
        floor = sum(steps.values * [operations(int(n)) / rate for n in steps.n])
        whole = np.apply_along_axis(total, 0, times[:alone])
        rows.append(row("phase diagram, total", 1, floor, whole))
    print(
        f"Both layers, m = {m}, d = {d}, learning rate {RATE}, float32; seconds per step of all "
        f"networks, in ours with records every {RECORD} steps. {version}. The floor is 4 n m d "
        f"operations at the {rate / 1e9:.4g} Gflop/s that a matrix product reaches at best, "
        "2 n^2 m for n up to d; in brackets its share of the time. Both sides ran "
        f"{rounds} times by turns: the fastest of each, and the median and range of their time "
        "divided by ours in one turn. Differences are between their loss and ours after "
        f"{RECORD} steps, relative to how far ours fell. Population: a step of `relu.pretrain`, in "
        f"closed form; the products of m + m* = {neurons:,} samples "
        f"({operations(neurons) / 1e6:.3g} million operations), and for each pair of neurons an "
        f"angle with its sine ({m * neurons / 1e6:.3g} million), which the floor leaves out. Phase "
        f"diagram: training on samples in the stored one, {steps.sum():,.0f} steps of {runs} runs "
        "(scratch and fine-tuning at the size of the paper, without pretraining and the last "
        "layers), extrapolated for all columns alike from the seconds per step of each turn, "
        "interpolated in n.\n"
    )
    head = ["samples", "networks", "floor", "PyTorch, autograd", "torch.compile", "`relu.train`"]
    table([*head, "faster than autograd", "than torch.compile", "differences"], rows)


if __name__ == "__main__":
    main()
