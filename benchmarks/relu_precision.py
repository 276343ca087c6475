"""What a lower precision of its matrix products does to a trained ReLU network.

The factors are rounded as a GPU would round them, exactly so on any machine.
"""

import argparse

import jax
import jax.numpy as jnp
from timing import table

from fatelib import relu

BITS = {"float32": 23, "TF32": 10, "bfloat16": 7}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    d, m, teachers = (20, 100, 10) if quick else (100, 1000, 100)
    steps = 1000
    student = relu.ReluNetwork.init(jax.random.key(0), d, m)
    teacher = relu.ReluNetwork.init(jax.random.key(1), d, teachers, output=1.0)
    rows = []
    for n in (300,) if quick else (300, 1000):
        X = jax.random.normal(jax.random.key(n), (n, d))
        y = jax.vmap(teacher)(X)
        options = {"steps": steps, "tolerance": 0.0, "record_every": steps}
        ours, history = relu.train(student, X, y, **options)
        rate = float(history.learning_rate)
        runs = [rounded(student, X, y, rate, steps, bits) for bits in BITS.values()]
        risks = [float(relu.distance2(network, teacher)) for _, network in runs]
        apart = [f"{risk / risks[0] - 1:+.1e}" for risk in risks[1:]]
        own = float(relu.distance2(ours, teacher)) / risks[0] - 1
        losses = [f"{loss:.2g}" for loss, _ in runs]
        rows.append((n, f"{rate:.2g}", *losses, f"{risks[0]:.4g}", f"{own:+.1e}", *apart))
    print(
        f"Both layers, m = {m}, d = {d}, after {steps} steps at the default learning rate, with "
        "the factors of both products rounded to the bits that TF32 and bfloat16 keep. Risks of "
        "the rounded ones and of `relu.train` are relative to float32.\n"
    )
    head = ["n", "learning rate", *(f"loss, {kind}" for kind in BITS), "risk, float32"]
    table([*head, "`relu.train`", "risk, TF32", "risk, bfloat16"], rows)


if __name__ == "__main__":
    main()
