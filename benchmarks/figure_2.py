"""The whole of Figure 2 by the authors' code, extrapolated from measured steps, and by ours."""

import time

import authors
import jax
import numpy as np
from timing import RATE, pretrained, table, unit

from fatelib import phase_diagram


def main() -> None:
    options = authors.arguments(__doc__)
    d, instances, points = (100, 4, 4) if options.quick else (500, 20, 20)
    steps = 20 if jax.default_backend() == "cpu" else 100
    sizes, network = [d // 10, d // 2, d, 2 * d], pretrained(d)
    measured = []
    for n in sizes:
        beta, X, y = authors.draw(d, n, instances)
        loop = authors.theirs(options, network, beta, X, y, steps)
        taken, _, version = loop or authors.plain(network, X, y, steps)
        measured.append(taken)

    gammas, tuning = np.linspace(2 / points, 2, points), 5000

    def ours(engine: str, **options):
        start = time.perf_counter()
        data = phase_diagram(
            "fine_tuning", np.linspace(1 / points, 1, points) * np.pi / 2, gammas, engine=engine,
            d=d, sigma=authors.SIGMA, instances=instances, key=jax.random.key(0),
            progress=False, **options,
        )  # fmt: skip
        return data, time.perf_counter() - start

    anew = {"learning_rate": 0.1, "steps": 10_000, "absolute_tolerance": 1e-6}
    steps_of = {"learning_rate": RATE, "steps": tuning, "tolerance": 0.0, "scratch_options": anew}
    (data, spectral), (_, limit) = ours("spectral", **steps_of), ours("limit")
    # Their batch of instances trains until the last of them has finished.
    scratch = data.steps_scratch.max("instance").isel(theta=0).values
    costs = np.interp(gammas * d, sizes, measured)
    parts = {
        f"fine-tuning, {points} x {points} x {instances} runs of {tuning:,} steps at {RATE}":
            points * tuning * costs.sum(),
        f"scratch, {points} x {instances} runs at 0.1 to 1e-6 or 10,000 steps":
            (scratch * costs).sum(),
    }  # fmt: skip
    total = sum(parts.values())
    each = ", ".join(f"{unit(t)} at n = {n}" for n, t in zip(sizes, measured, strict=True))
    print(
        f"Figure 2 with d = h = {d}, {instances} networks at a time, float32. The authors' code: "
        f"{version}. Its seconds are extrapolated: seconds per step, measured in this run ({each}) "
        "and interpolated in n, times the number of steps; their pretraining, linear transfer and "
        "weight decays are left out. Ours are measured, sampling, compilation and results "
        "included; the limit is the state at infinite time instead.\n"
    )
    hours = f"{unit(total)} ({total / 3600:.1f} h)"
    rows = [[name, unit(value), "", "", ""] for name, value in parts.items()]
    rows.append(["both", hours, unit(spectral), f"{total / spectral:,.0f}x", unit(limit)])
    table(["", "authors' code (extrapolated)", "spectral", "ratio", "limit"], rows)


if __name__ == "__main__":
    main()
