"""Seconds per step with size, samples, instances, depth and devices, and fitted exponents.

A batch that outgrows a cache slows down at equal work. For full networks a second exponent is
therefore fitted to the time divided by that of a byte in data of the same size.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from engines import bandwidth, held
from timing import per_step, pretrained, table, unit

from fatelib import phase_diagram
from fatelib.descent.quadratic import Quadratic
from fatelib.linear import Bidiagonal, DeepLinear
from fatelib.linear.bidiagonal import BidiagonalLoss


def full(engine: str, d: int, n: int, instances: int = 1, depth: int = 2) -> float:
    """Seconds per step of full networks, on a loss in its own basis."""
    r = min(n, d)
    curvature = jnp.linspace(0.1, 4.0, r) * jnp.ones((instances, 1))
    basis = None if r == d else jnp.broadcast_to(jnp.eye(r, d), (instances, r, d))
    losses = Quadratic(basis, curvature, 0.05 * curvature, *2 * [jnp.zeros(instances)])
    return per_step(engine, losses, pretrained(d, depth))


def reduced(d: int, n: int, instances: int = 1, depth: int = 2) -> float:
    """Seconds per step of rank-one networks on bidiagonal samples, here with their typical size."""
    r = min(n, d)
    seen = min(n + 1, d)
    place = jnp.arange(r)
    diagonal = jnp.sqrt(jnp.float32(n) - place)
    upper = jnp.sqrt(jnp.maximum(jnp.float32(d) - 1 - place, 0))
    X = Bidiagonal(diagonal, upper, jnp.float32(n), max(seen, r) + 1)
    loss = BidiagonalLoss(X, 0.9 * diagonal, jnp.float32(0))
    losses = jax.tree.map(lambda a: jnp.broadcast_to(a, (instances, *a.shape)), loss)
    beta = jnp.ones(X.columns) / X.columns**0.5
    return per_step("spectral", losses, DeepLinear.balanced(beta, depth))


def grid(devices: int, quick: bool) -> float:
    """Seconds of a phase diagram in a process with so many devices."""
    environment = dict(os.environ)
    if jax.default_backend() == "cpu":
        flag = f"--xla_force_host_platform_device_count={devices}"
        environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {flag}"
    command = [sys.executable, __file__, "--grid", *["--quick"][: int(quick)]]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def one_grid(quick: bool) -> None:
    """Print the seconds of a phase diagram on all devices of this process."""
    run = partial(
        phase_diagram, "fine_tuning", np.linspace(0.1, 1.5, 8), [0.5, 1.5],
        d=100 if quick else 500, sigma=0.2, instances=64, key=jax.random.key(0),
        learning_rate=0.01, steps=200 if quick else 2000, tolerance=0.0, progress=False,
    )  # fmt: skip
    run()
    start = time.perf_counter()
    run()
    print(json.dumps(time.perf_counter() - start))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--grid", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.grid:
        return one_grid(options.quick)
    quick, gpu = options.quick, jax.default_backend() != "cpu"
    sizes = [128, 256, 512] if quick else [256, 512, 1024, 2048]
    wide = [10**3, 10**4, 10**5] if quick else [10**3, 10**4, 10**5, 10**6]
    top = sizes[-2]
    instances = [1, 4, 16] if quick else [1, 4, 16, 64]
    if gpu and not quick:
        sizes, instances = [1024, 2048, 4096, 8192], [16, 64, 256, 1024]
    counts = [1, 2] if quick else [1, 2, 8]
    if gpu:
        counts = [len(jax.devices())]
    samples = [top // 8, top // 4, top // 2, top]
    few = [wide[-1] // 100, wide[-1] // 10, wide[-1] // 2, 2 * wide[-1], 4 * wide[-1]]
    # What varies, engine, expected exponent, values, seconds of one, bytes that it goes through.
    cases = [
        ("d = n", "descent", "2", sizes, lambda d: full("descent", d, d),
         lambda d: held("descent", d, d)),
        ("d = n", "gram", "2", sizes, lambda d: full("gram", d, d), lambda d: held("gram", d, d)),
        ("d = 2n, bidiagonal", "spectral", "1", wide, lambda d: reduced(d, d // 2), None),
        (f"n, d = {top}", "descent", "1", samples, lambda n: full("descent", top, n),
         lambda n: held("descent", n, top)),
        (f"n, d = {top}", "gram", "1 to 2", samples, lambda n: full("gram", top, n),
         lambda n: held("gram", n, top)),
        (f"n, d = {wide[-1]}, bidiagonal", "spectral", "1, then 0", few,
         lambda n: reduced(wide[-1], n), None),
        ("networks, d = n = 500", "descent", "1", instances,
         lambda count: full("descent", 500, 500, count), lambda k: k * held("descent", 500, 500)),
        ("networks, d = n = 500", "gram", "1", instances,
         lambda count: full("gram", 500, 500, count), lambda k: k * held("gram", 500, 500)),
        ("networks, d = 500, n = 250, bidiagonal", "spectral", "1", [20 * i for i in instances],
         lambda count: reduced(500, 250, count), None),
        ("L - 1, d = n = 500", "descent", "1", [1, 3, 5],
         lambda matrices: full("descent", 500, 500, 1, matrices + 1), None),
        ("L - 1, d = 10^5, n = 5 10^4, bidiagonal", "spectral", "0", [1, 3, 5],
         lambda matrices: reduced(10**5, 5 * 10**4, 1, matrices + 1), None),
        ("devices, a phase diagram of 2 x 8 x 64 runs", "spectral",
         f"-1 up to {os.cpu_count()} cores" if not gpu else "-1", counts,
         lambda count: grid(count, quick), None),
    ]  # fmt: skip

    def exponent(values, times) -> str:
        if len(values) < 2:
            return ""
        return f"{np.polyfit(np.log(np.array(values, float)), np.log(times), 1)[0]:.2f}"

    rows = []
    for what, engine, expected, values, measure, size in cases:
        values = values[:2] if quick else values
        times = np.array([measure(value) for value in values])
        # Small sizes only show the overhead of a step; what lies beyond d in n costs nothing.
        end = len(values) - 2 * (expected == "1, then 0" and not quick)
        last = slice(max(end - 3, 0), end)
        slopes = [exponent(values[last], times[last])]
        slopes += [exponent(values[end:], times[end:])] if end < len(values) else []
        moved = ""
        if size:
            speeds = np.array([bandwidth(size(value)) for value in values[last]])
            moved = exponent(values[last], times[last] * speeds)
        pairs = ", ".join(f"{v:g}: {unit(t)}" for v, t in zip(values, times, strict=True))
        rows.append([what, engine, pairs, ", then ".join(slopes), moved, expected])
    print(
        "Exponents are fitted to the last three sizes (to those below d in n, then to those "
        "beyond); at equal bandwidth to the time multiplied by the bytes per second that the "
        "machine moves in data of that size.\n"
    )
    head = ["varies", "engine", "seconds per step", "exponent", "at equal bandwidth", "expected"]
    table(head, rows)


if __name__ == "__main__":
    main()
