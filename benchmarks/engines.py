r"""Each engine against its floor: the bytes and operations that its formulas need per step.

With r = min(n, d) coordinates, width h and B steps between two writes of the matrices, in float32:

- descent reads :math:`W_1` twice per step, which must be: all of :math:`\beta` before any of the
  gradient, all of the gradient before any of the next :math:`w_2`. It reads and writes once per B.
- gram reads M once per step; M is read and written and :math:`W_1` read twice and written once
  per B.
- spectral reads u, the curvatures and the minimiser, and writes u.
- flow does so in each of the six evaluations of its solver's step (Tsit5), and its sums read the
  evaluations before: 1 + ... + 6 vectors, and 7 for the error.

The floor is the longer of these bytes at the measured bandwidth and these operations at the
measured rate of a matrix product. The bandwidth is that of data of the same size: of the cache
that holds the batch, or of memory.
"""

import argparse
from functools import partial
from unittest import mock

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from timing import BLOCK, RATE, matrix_rate, per_step, per_turn, pretrained, seconds, table, unit

from fatelib.descent.options import Options
from fatelib.descent.quadratic import Loss, Quadratic
from fatelib.linear.flow import flow
from fatelib.linear.spectral import RankOne
from fatelib.linear.training import loss_of


def bandwidth(size: float) -> float:
    """Bytes per second that the device moves in `size` bytes; the better of two ways."""
    count = max(int(size / 8), 1000)
    a, b = jnp.ones(count), jnp.zeros(count)

    @jax.jit
    def triad(turns, a, b):
        return jax.lax.fori_loop(0, turns, lambda _, a: a + 0.5 * b, a)

    # Products of a matrix with vectors only read. A vector's length of rows keeps all cores busy.
    columns = 500
    matrices = jnp.ones((max(int(size / 4 / columns**2), 1), columns, columns))

    @jax.jit
    def read(turns, matrices):
        def turn(_, x):
            return 1e-3 * jnp.einsum("kij,kj->ki", matrices, x)

        return jax.lax.fori_loop(0, turns, turn, matrices[:, 0])

    return max(
        12 * count / per_turn(lambda turns: triad(turns, a, b)),
        4 * matrices.size / per_turn(lambda turns: read(turns, matrices)),
    )


def per_solver_step(losses: Loss, initial: RankOne) -> float:
    """Seconds per step of flow's solver, which steps for all of a batch of equal networks."""
    options = Options.read(steps=1000, record_every=1000, tolerance=0.0)
    run = partial(
        flow, initial=initial, rate=jnp.float32(RATE), options=options.as_arrays(np.float32)
    )
    # `flow` does not hand on how many steps the solver took: read it where it returns.
    solve, taken = diffrax.diffeqsolve, []

    def counted(*args, **options):
        solution = solve(*args, **options)
        taken.append(int(solution.stats["num_steps"]))
        return solution

    with mock.patch.object(diffrax, "diffeqsolve", counted):
        run(jax.tree.map(lambda value: value[0], losses))
    return seconds(partial(jax.jit(jax.vmap(run)), losses)) / taken[0]


def floor(engine: str, r: int, h: int) -> tuple[float, float]:
    """Bytes and operations per step of one network."""
    if engine == "spectral":
        return 16 * r, 8 * r
    if engine == "flow":
        return 4 * r * (6 * 4 + 21 + 7), r * (6 * 8 + 2 * (21 + 7))
    block = BLOCK[engine]
    if engine == "descent":
        return 4 * r * h * (2 + 2 / block), 6 * r * h
    return 4 * (r * r * (1 + 2 / block) + 3 * r * h / block), 6 * r * r + 4 * r * h


def held(engine: str, r: int, h: int) -> float:
    """Bytes that one network's steps go through."""
    vectors = {"spectral": 3, "flow": 10}
    return 4 * r * {"descent": h, "gram": r + h, **vectors}[engine]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    gpu = jax.default_backend() != "cpu"
    d = 500
    batches = (1, 20, 2000) if gpu else (1, 20, 100)
    rate = matrix_rate(8192 if gpu else 2048)
    rows = []
    for engine in ("descent", "gram", "spectral", "flow"):
        for networks in batches[: 2 if quick else 3]:
            if engine in ("spectral", "flow"):
                networks *= 20  # a column of a phase diagram
            # The loss in its own basis, as after the decomposition.
            curvature = jnp.linspace(0.1, 4.0, d) * jnp.ones((networks, 1))
            losses = Quadratic(None, curvature, 0.05 * curvature, *2 * [jnp.zeros(networks)])
            if engine == "flow":
                taken = per_solver_step(losses, RankOne.of(pretrained(d)))
            else:
                taken = per_step(engine, losses, pretrained(d))
            size = networks * held(engine, d, d)
            speed = bandwidth(size)
            moved, operations = (networks * number for number in floor(engine, d, d))
            least = max(moved / speed, operations / rate)
            rows.append(
                (
                    engine,
                    networks,
                    f"{size / 1e6:.3g} MB",
                    f"{moved / 1e6:.3g} MB",
                    f"{operations / 1e6:.3g}",
                    f"{speed / 1e9:.3g} GB/s",
                    unit(least),
                    unit(taken),
                    f"{least / taken:.0%}",
                )
            )
    instances = 2 if quick else 20
    for n in (d // 2, d, 2 * d):
        X = jax.random.normal(jax.random.key(0), (instances, n, d))
        y = X[..., 0]
        # On a CPU the sweeps decompose one after the other.
        over = jax.vmap if gpu else lambda f: lambda *data: jax.lax.map(lambda a: f(*a), data)
        taken = seconds(partial(jax.jit(over(loss_of)), X, y), 2)
        r = min(n, d)
        # QR with its factor, the singular value decomposition of a square, and their product.
        square = 22 * r**3
        operations = instances * (square + (n != d) * (6 * n * d * r - 4 / 3 * r**3))
        rows.append(
            (
                f"decomposition, n = {n}",
                instances,
                "",
                "",
                f"{operations / 1e6:.3g}",
                "",
                unit(operations / rate),
                unit(taken),
                f"{operations / rate / taken:.0%}",
            )
        )
    print(
        f"d = h = {d}, r = {d}, float32; a matrix product reaches {rate / 1e9:.4g} Gflop/s. "
        "The decomposition is what every engine does once per data set, and `limit` alone. A step "
        "of `flow` is one of its solver, which chooses them: many steps of the others.\n"
    )
    table(
        (
            "engine",
            "networks",
            "they hold",
            "moved per step",
            "Mflop",
            "bandwidth at that size",
            "floor",
            "measured",
            "floor / measured",
        ),
        rows,
    )


if __name__ == "__main__":
    main()
