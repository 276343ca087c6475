"""Seconds per step of the authors' code and of our engines, on the same weights and data."""

from functools import partial

import authors
import jax
import jax.numpy as jnp
import numpy as np
from timing import RATE, iteration, per_step, pretrained, seconds, table, unit

from fatelib.descent.loop import descend
from fatelib.linear.training import loss_of

ENGINES = ("descent", "gram", "spectral")


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
    options = authors.arguments(__doc__)
    gpu = jax.default_backend() != "cpu"
    d, instances = (100, 4) if options.quick else (500, 20)
    steps = 100 if gpu else 20
    network = pretrained(d)
    rows = []
    for n in (d // 10, d // 2, d, 2 * d):
        beta, X, y = authors.draw(d, n, instances)
        stand_in = authors.plain(network, X, y, steps)
        base, ends, version = authors.theirs(options, network, beta, X, y, steps) or stand_in
        over = jax.vmap if gpu else lambda f: lambda *data: jax.lax.map(lambda a: f(*a), data)
        decompose = jax.jit(over(loss_of))
        setup, losses = seconds(partial(decompose, X, y), 1), decompose(X, y)
        row = [n, unit(base), unit(stand_in[0])]
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


if __name__ == "__main__":
    main()
