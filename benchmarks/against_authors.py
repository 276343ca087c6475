"""The released code of Tahir et al. (2025) against our engines, on the same weights and data.

Their code stays where it is: give the path of a checkout, and an interpreter that has PyTorch.
Without them a stand-in takes its place, and the table says so: the same loop in JAX, which
multiplies X W_1 in every step and differentiates automatically.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from timing import RATE, iteration, per_step, per_turn, pretrained, seconds, table, unit

from fatelib import phase_diagram
from fatelib.iteration import descend
from fatelib.linear.training import loss_of

ENGINES = ("descent", "gram", "spectral")
SIGMA = 0.2


def draw(d: int, n: int, instances: int):
    """Draw a target and data sets."""
    keys = jax.random.split(jax.random.key(n), 3)
    beta = jax.random.normal(keys[0], (d,))
    beta /= jnp.linalg.norm(beta)
    X = jax.random.normal(keys[1], (instances, n, d))
    return beta, X, X @ beta + SIGMA * jax.random.normal(keys[2], (instances, n))


def theirs(options, network, beta, X, y, steps: int):
    """Run the authors' code: seconds per step, the maps it ends with, what it ran on."""
    with tempfile.TemporaryDirectory() as folder:
        data, end = Path(folder, "data.npz"), Path(folder, "beta.npy")
        first, last = network.weights
        np.savez(data, first=first, last=last, X=X, y=y, beta=beta)
        device = "cpu" if jax.default_backend() == "cpu" else "gpu"
        command = [options.python, Path(__file__).with_name("authors_step.py"), options.authors]
        command += [data, end, f"--steps={steps}", f"--rate={RATE}", f"--device={device}"]
        answer = subprocess.run(
            [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        result = json.loads(answer.stdout.splitlines()[-1])
        return result["seconds"], np.load(end), result["version"]


def plain(network, X, y, steps: int):
    """Run the loop that their code has, in JAX."""

    def loss(weights, X, y):
        outputs = jnp.einsum("nd,dh->nh", X, weights[0], precision="highest")
        return jnp.mean((jnp.matmul(outputs, weights[1], precision="highest")[:, 0] - y) ** 2)

    @jax.jit
    def loop(turns, weights, X, y):
        def step(_, weights):
            slopes = jax.vmap(jax.grad(loss))(weights, X, y)
            return jax.tree.map(lambda weight, slope: weight - RATE * slope, weights, slopes)

        return jax.lax.fori_loop(0, turns, step, weights)

    weights = jax.tree.map(lambda w: jnp.broadcast_to(w, (len(X), *w.shape)), network.weights)
    taken = per_turn(lambda turns: loop(turns, weights, X, y))
    first, last = loop(steps, weights, X, y)
    return taken, (first @ last)[:, :, 0], "a loop like theirs in JAX, standing in for it"


def ours(engine: str, network, losses, steps: int):
    """Return our seconds per step, and the maps after as many steps as theirs took."""
    zero = jnp.float32(0)

    @jax.jit
    def run(losses, network):
        def one(loss):
            start = iteration(engine, loss, network)
            trained, _ = descend(start, jnp.float32(RATE), zero, zero, steps, steps, None)
            return trained.end_to_end()

        return jax.vmap(one)(losses)

    return per_step(engine, losses, network), run(losses, network)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--authors", help="their checkout")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with PyTorch")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    gpu = jax.default_backend() != "cpu"
    d, instances = (100, 4) if options.quick else (500, 20)
    steps = 100 if gpu else 20
    sizes = [d // 10, d // 2, d, 2 * d]
    network = pretrained(d)
    if options.authors:
        check = [options.python, "-c", "import torch"]
        if subprocess.run(check, stderr=subprocess.DEVNULL).returncode:
            print(f"PyTorch is missing from {options.python}", file=sys.stderr)
            options.authors = None
    rows, per_size = [], []
    for n in sizes:
        beta, X, y = draw(d, n, instances)
        stand_in, ends, version = plain(network, X, y, steps)
        base = stand_in
        if options.authors:
            base, ends, version = theirs(options, network, beta, X, y, steps)
        per_size.append(base)
        over = jax.vmap if gpu else lambda f: lambda *data: jax.lax.map(lambda a: f(*a), data)
        decompose = jax.jit(over(loss_of))
        setup, losses = seconds(partial(decompose, X, y), 1), decompose(X, y)
        row = [n, unit(base), unit(stand_in)]
        differences = []
        for engine in ENGINES:
            taken, maps = ours(engine, network, losses, steps)
            moved = np.linalg.norm(ends - network.end_to_end(), axis=1)
            differences.append((np.linalg.norm(maps - ends, axis=1) / moved).max())
            row.append(f"{unit(taken)} ({base / taken:,.0f}x)")
        rows.append([*row, unit(setup), ", ".join(f"{value:.0e}" for value in differences)])
    print(
        f"Fine-tuning, two layers, d = h = {d}, {instances} networks at a time, learning rate "
        f"{RATE}, float32; seconds per step of all {instances}. The authors' code: {version}. In "
        "brackets how many times faster. Set-up is the decomposition that our engines need once "
        f"per data set. The last column is the largest distance to the authors' linear map after "
        f"{steps} steps, relative to how far training moved it, for the three engines in order.\n"
    )
    head = ["n", "authors' code", "plain autograd in JAX", *ENGINES, "set-up", "differences"]
    table(head, rows)

    # The whole of Figure 2.
    points = 4 if options.quick else 20
    gammas = np.linspace(2 / points, 2, points)
    tuning = 5000
    run = partial(
        phase_diagram, "fine_tuning", np.linspace(1 / points, 1, points) * np.pi / 2, gammas,
        d=d, sigma=SIGMA, instances=instances, key=jax.random.key(0), learning_rate=RATE,
        steps=tuning, tolerance=0.0, progress=False,
        scratch_options={"learning_rate": 0.1, "steps": 10_000, "tolerance": 1e-6},
    )  # fmt: skip
    times = {}
    for engine in ("spectral", "limit"):
        start = time.perf_counter()
        data = run(engine=engine)
        times[engine] = time.perf_counter() - start
        if engine == "spectral":
            # Their batch of instances trains until the last of them has finished.
            scratch = data.steps_scratch.max("instance").isel(theta=0).values
    costs = np.interp(gammas * d, sizes, per_size)
    parts = {
        f"fine-tuning, {points} x {points} x {instances} runs of {tuning:,} steps at {RATE}":
            points * tuning * costs.sum(),
        f"scratch, {points} x {instances} runs at 0.1 to 1e-6 or 10,000 steps":
            (scratch * costs).sum(),
    }  # fmt: skip
    total = sum(parts.values())
    print(
        "\nFigure 2 at this size. The authors' seconds are extrapolated: seconds per step above, "
        "interpolated in n, times the number of steps; their pretraining, linear transfer and "
        "weight decays are left out. Ours are measured, sampling, compilation and results "
        "included; the limit is the state at infinite time instead.\n"
    )
    rows = [[name, f"{value:,.0f} s", "", "", ""] for name, value in parts.items()]
    rows.append(
        (
            "both",
            f"{total:,.0f} s ({total / 3600:.1f} h)",
            f"{times['spectral']:.1f} s",
            f"{total / times['spectral']:,.0f}x",
            f"{times['limit']:.1f} s",
        )
    )
    table(["", "authors' code (extrapolated)", "spectral", "ratio", "limit"], rows)


if __name__ == "__main__":
    main()
