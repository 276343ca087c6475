"""The training loop of the released code of Tahir et al. (2025), measured on given data.

Their code stays where it is: give the path of a checkout, and an interpreter that has PyTorch.
Without them a stand-in takes its place, and the tables say so: the same loop in JAX, which
multiplies X W_1 in every step and differentiates automatically.
"""

import argparse
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytorch
from timing import RATE, per_turn

SIGMA = 0.2


def arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--authors", help="their checkout")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with PyTorch")
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def draw(d: int, n: int, instances: int):
    """Draw a target and data sets."""
    keys = jax.random.split(jax.random.key(n), 3)
    beta = jax.random.normal(keys[0], (d,))
    beta /= jnp.linalg.norm(beta)
    X = jax.random.normal(keys[1], (instances, n, d))
    return beta, X, X @ beta + SIGMA * jax.random.normal(keys[2], (instances, n))


def theirs(options, network, beta, X, y, steps: int):
    """Run their code: seconds per step, the maps it ends with, what it ran on; None without it."""
    if not options.authors:
        return None
    first, last = network.weights
    result = pytorch.answer(
        options.python, "authors_step.py", dict(first=first, last=last, X=X, y=y, beta=beta),
        f"--authors={options.authors}", f"--steps={steps}", f"--rate={RATE}",
    )  # fmt: skip
    return (result["seconds"], np.array(result["maps"]), result["version"]) if result else None


def plain(network, X, y, steps: int):
    """Run the loop that their code has, in JAX: the same three."""

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
