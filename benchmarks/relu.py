"""ReLU networks: steps on both layers against the same loop in PyTorch, and against the floor.

A step is two matrix products, W X^T and one that brings the errors back: 4 n m d operations; with
no more samples than inputs one product with the Gram matrix X X^T, 2 n^2 m operations. The floor is
the time that these take at the measured rate of a large matrix product. On the population n is
m + m*, the neurons of student and teacher.

Both sides run several times by turns, as a shared machine is faster at one time than at another:
the table has the fastest of each and the range of the ratios.

The stored phase diagram (`book/data`) then says what the steps of a whole sweep take. The last
table is what a lower precision of these products does to the trained network, with the
factors rounded as a GPU would round them (exactly so on any machine).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from timing import RATE, matrix_rate, seconds, table, unit

from fatelib import relu

RECORD = 100  # steps: the default of `relu.train`
STORED = Path(__file__).parents[1] / "book" / "data" / "relu_transfer.nc"


def theirs(python: str, networks, X, y, steps: int, device: str) -> dict:
    """Run the loop in PyTorch, with as many threads as ours has; empty without PyTorch."""
    check = [python, "-c", "import torch"]
    if subprocess.run(check, stderr=subprocess.DEVNULL).returncode:
        print(f"PyTorch is missing from {python}", file=sys.stderr)
        return {}
    # JAX has one thread per core that the process may use.
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data.npz")
        np.savez(data, W=networks.W, c=networks.c, X=X, y=y)
        command = [python, Path(__file__).with_name("torch_step.py"), data, f"--steps={steps}"]
        command += [f"--compare={RECORD}", f"--rate={RATE}", f"--device={device}"]
        command += [f"--threads={len(cores)}"]
        answer = subprocess.run(
            [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True
        )
    return json.loads(answer.stdout.splitlines()[-1])


def ours(networks, X, y, steps: int) -> tuple[float, np.ndarray]:
    """Seconds per step of `relu.train`, and its losses at the start and after RECORD steps."""
    options = {"learning_rate": RATE, "steps": steps, "tolerance": 0.0, "record_every": RECORD}
    train = partial(relu.train, **options)
    if X.ndim == 3:
        train = jax.jit(jax.vmap(train))
    run = partial(train, networks, X, y)
    losses = run()[1].loss[..., :2]
    return seconds(run) / steps, np.reshape(losses, (-1, 2)).sum(axis=0)


def whole_sweep(sizes, times: dict) -> None:
    """Print what the steps of the stored phase diagram take, at the seconds per step measured."""
    stored = xr.load_dataset(STORED, engine="scipy")
    tuned = stored.steps.isel(protocol=-1).sum(("fraction", "instance"))
    runs = (stored.sizes["fraction"] + 1) * stored.sizes["n"] * stored.sizes["instance"]
    steps = (tuned + stored.steps_scratch.sum("instance")).values

    def total(per_step) -> float:
        ns = np.log(stored.n.values)
        return float(steps @ np.exp(np.interp(ns, np.log(sizes), np.log(per_step))))

    taken = {way: total(values) for way, values in times.items() if all(values)}
    cells = [f"{value:,.0f} s ({value / taken['`relu.train`']:.2f}x)" for value in taken.values()]
    print(
        f"\nThe whole phase diagram at the size of the paper: the steps that its {runs} runs took "
        f"(scratch and fine-tuning, {steps.sum():,.0f} steps, stored with the book), at the "
        "seconds per step above, interpolated in n. Extrapolated for all columns alike.\n"
    )
    table(list(taken), [cells])


def rounded(network, X, y, rate: float, steps: int, bits: int):
    """Gradient descent as one would write it down, factors of both products rounded to `bits`."""
    m, n = len(network.c), len(y)

    def cut(array):
        return jax.lax.reduce_precision(array, exponent_bits=8, mantissa_bits=bits)

    def step(_, weights):
        W, c = weights
        before = jnp.matmul(cut(W), cut(X).T, precision="highest")
        errors = 2 / n * (c @ jnp.maximum(before, 0) / m - y)
        active = (before > 0).astype(W.dtype)
        forces = jnp.matmul(active, cut(errors[:, None] * X), precision="highest")
        return W - rate * c[:, None] * forces, c - rate * jnp.sum(W * forces, axis=1)

    run = jax.jit(lambda *start: jax.lax.fori_loop(0, steps, step, start))
    weights = run(network.W, network.c)
    trained = relu.ReluNetwork(*weights)
    loss = jnp.mean((trained.features(X) @ trained.c / m - y) ** 2)
    return float(loss), trained


def effect_of_precision(student, teacher, sizes, steps: int) -> None:
    """Print losses and risks of networks trained with rounded products."""
    kinds = {"float32": 23, "TF32": 10, "bfloat16": 7}
    rows = []
    for n in sizes:
        X = jax.random.normal(jax.random.key(n), (n, student.W.shape[1]))
        y = jax.vmap(teacher)(X)
        options = {"steps": steps, "tolerance": 0.0, "record_every": steps}
        ours, history = relu.train(student, X, y, **options)
        rate = float(history.learning_rate)
        runs = [rounded(student, X, y, rate, steps, bits) for bits in kinds.values()]
        risks = [float(relu.distance2(network, teacher)) for _, network in runs]
        apart = [f"{risk / risks[0] - 1:+.1e}" for risk in risks[1:]]
        own = float(relu.distance2(ours, teacher)) / risks[0] - 1
        losses = [f"{loss:.2g}" for loss, _ in runs]
        rows.append((n, f"{rate:.2g}", *losses, f"{risks[0]:.4g}", f"{own:+.1e}", *apart))
    print(
        f"\nThe same networks after {steps} steps at the default learning rate, with the factors "
        "of both products rounded to the bits that TF32 and bfloat16 keep. Risks of the rounded "
        "ones and of `relu.train` are relative to float32.\n"
    )
    head = ["n", "learning rate", *(f"loss, {kind}" for kind in kinds), "risk, float32"]
    table([*head, "`relu.train`", "risk, TF32", "risk, bfloat16"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="an interpreter with PyTorch")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    device = "cpu" if jax.default_backend() == "cpu" else "gpu"
    size = 8192 if device == "gpu" else 2048
    rate = matrix_rate(size)
    d, m, teachers = (20, 100, 10) if options.quick else (100, 1000, 100)
    sizes = (30, 300) if options.quick else (30, 300, 1000, 3000)
    batches = (1, 32) if device == "gpu" else (1,)
    student = relu.ReluNetwork.init(jax.random.key(0), d, m)
    teacher = relu.ReluNetwork.init(jax.random.key(1), d, teachers, output=1.0)

    def cell(taken: float, floor: float) -> str:
        return f"{unit(taken)} ({floor / taken:.0%})"

    rounds = 1 if options.quick else 5
    ways = {"autograd": "PyTorch, autograd", "compile": "torch.compile"}
    times: dict = {title: [] for title in (*ways.values(), "`relu.train`")}
    rows, version = [], "PyTorch is missing"
    measured = {}
    for batch in batches:
        for n in sizes:
            shape = () if batch == 1 else (batch,)
            X = jax.random.normal(jax.random.key(n), (*shape, n, d))
            y = jnp.vectorize(teacher, signature="(d)->()")(X)
            networks = jax.tree.map(lambda w, s=shape: jnp.broadcast_to(w, (*s, *w.shape)), student)
            steps = RECORD * (1 + 300 // n)
            turns = measured[batch, n] = []
            for _ in range(rounds):
                rate = max(rate, matrix_rate(size))
                mine = ours(networks, X, y, steps)
                turns.append((*mine, theirs(options.python, networks, X, y, steps, device)))
    for batch in batches:
        for n in sizes:
            turns = measured[batch, n]
            floor = batch * 2 * n * m * (n if n <= d else 2 * d) / rate
            taken, (start, end) = min(turn[0] for turn in turns), turns[0][1]
            version = turns[0][2].get("version", version)
            cells, ratios, apart = [], [], []
            for way, title in ways.items():
                both = [(turn[0], turn[2][way]) for turn in turns if turn[2].get(way)]
                fastest = min((other["seconds"] for _, other in both), default=None)
                cells.append(cell(fastest, floor) if both else "n/a")
                by_turn = sorted(other["seconds"] / own for own, other in both)
                ratios.append(
                    f"{np.median(by_turn):.2f}x ({by_turn[0]:.2f} to {by_turn[-1]:.2f})"
                    if both
                    else "n/a"
                )
                if both:
                    apart.append(abs(both[0][1]["loss"] - end) / (start - end))
                if batch == 1:
                    times[title].append(fastest)
            if batch == 1:
                times["`relu.train`"].append(taken)
            differences = ", ".join(f"{value:.0e}" for value in apart) or "n/a"
            rows.append((n, batch, unit(floor), *cells, cell(taken, floor), *ratios, differences))
    print(
        f"Both layers, m = {m}, d = {d}, learning rate {RATE}, float32; seconds per step of all "
        f"networks, records every {RECORD} steps included in ours. {version}. A matrix "
        f"product reaches {rate / 1e9:.4g} Gflop/s at best; the floor is 4 n m d operations at "
        "that rate, 2 n^2 m for n up to d, in brackets the share of the time that it makes up. "
        f"Both sides ran {rounds} times by turns; faster is their time divided by ours in one "
        "turn, its median and range. The last column is how far their loss is from ours after "
        f"{RECORD} steps, relative to how far it fell.\n"
    )
    head = ["n", "networks", "floor", *ways.values(), "`relu.train`"]
    table([*head, "faster than autograd", "than torch.compile", "differences"], rows)
    if not options.quick:
        whole_sweep(sizes, times)

    steps = 2 * RECORD
    run = partial(
        relu.pretrain, student, teacher, learning_rate=RATE, steps=steps, tolerance=0.0
    )  # fmt: skip
    taken = seconds(run) / steps
    pairs = m * (m + teachers)
    floor = 4 * pairs * d / rate
    print(
        "\nA step on the population, in closed form: the products of a step on m + m* samples, "
        "and an angle with its sine for each pair of neurons, which the floor leaves out.\n"
    )
    head = ["m", "m*", "d", "operations in products", "angles", "floor", "`relu.pretrain`"]
    counts = (f"{4e-6 * pairs * d:.3g} million", f"{1e-6 * pairs:.3g} million")
    table(head, [(m, teachers, d, *counts, unit(floor), cell(taken, floor))])
    effect_of_precision(student, teacher, sizes[1:3], 10 * RECORD)


if __name__ == "__main__":
    main()
