"""Fine-tuning in a million dimensions, against the theory."""

import argparse
import resource
import sys
import time

import jax
import numpy as np
from timing import table

from fatelib import fine_tune
from fatelib.linear import DeepLinear, reduced_tasks
from fatelib.theory import fine_tuning_transferability, least_squares_risk

THETA, SIGMA, STEPS, RATE, RUNS = 0.5, 0.2, 2000, 0.01, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="d = 10,000")
    d = 10**4 if parser.parse_args().quick else 10**6
    n = d // 2

    @jax.jit
    def run(key):
        tasks, X, y = reduced_tasks(key, n, d, THETA, SIGMA)
        network = DeepLinear.balanced(tasks.beta_source)
        result = fine_tune(network, tasks, X, y, learning_rate=RATE, steps=STEPS, tolerance=0.0)
        return result.risk, result.steps

    @jax.jit
    def limit(key):
        tasks, X, y = reduced_tasks(key, n, d, THETA, SIGMA)
        return fine_tune(DeepLinear.balanced(tasks.beta_source), tasks, X, y, engine="limit").risk

    keys = jax.random.split(jax.random.key(0), RUNS)
    start = time.perf_counter()
    jax.block_until_ready(run(keys[0]))
    first = time.perf_counter() - start
    times, risks = [], []
    for key in keys:
        start = time.perf_counter()
        risk, steps = run(key)
        risks.append(float(risk))
        times.append(time.perf_counter() - start)
    shift = np.mean(risks) - np.mean([float(limit(key)) for key in keys])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    theory = least_squares_risk(n, d, noise=SIGMA)
    theory -= fine_tuning_transferability(n / d, THETA, SIGMA)
    mean, error = np.mean(risks), np.std(risks, ddof=1) / RUNS**0.5
    print(
        f"Two layers, bidiagonal samples, angle {THETA}, noise {SIGMA}, float32. The formula is "
        "that of small steps: steps of size r shift the risk by about a constant times r, which "
        "so many dimensions resolve; the last row says how much of the difference that is.\n"
    )
    table(
        ["what", "measured"],
        [
            ["run", f"d = {d:,}, n = {n:,}, {int(steps):,} steps of size {RATE}"],
            ["first run, compilation included", f"{first:.1f} s"],
            [f"a run, fastest and slowest of {RUNS}", f"{min(times):.1f} s, {max(times):.1f} s"],
            ["peak memory of the process", f"{peak / 1e9:.2f} GB"],
            [f"risk, mean of {RUNS} runs", f"{mean:.6f} ± {error:.6f} (standard error)"],
            ["risk, theory", f"{float(theory):.6f}"],
            ["difference in standard errors", f"{(mean - float(theory)) / error:+.1f}"],
            [
                "of that, by the finite step (against the limit, same samples)",
                f"{shift / error:+.1f}",
            ],
        ],
    )


if __name__ == "__main__":
    main()
