"""Run every benchmark and write RESULTS.md."""

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
TITLES = {
    "against_authors": "Against the authors' code",
    "figure_2": "The whole of Figure 2",
    "engines": "Each engine against its floor",
    "scaling": "How the cost grows",
    "million": "A million dimensions",
    "relu": "ReLU networks",
    "relu_precision": "ReLU networks at a lower precision",
    "probe": "Features of real data",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--authors", help="a checkout of the authors' code")
    parser.add_argument("--python", help="an interpreter with PyTorch, to run it")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all runs")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = {"cpu": "cpu", "gpu": "cuda"}[options.device]
    shared = ["--quick"] if options.quick else []
    authors = ["--authors", options.authors] if options.authors else []
    python = ["--python", options.python] if options.python else []
    own = {"against_authors": authors + python, "figure_2": authors + python, "relu": python}

    def load() -> str:
        return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"

    start, before = time.perf_counter(), load()
    sections = []
    for name, title in TITLES.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        command = [sys.executable, str(HERE / f"{name}.py"), *shared, *own.get(name, [])]
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode:
            sys.exit(f"{name} failed:\n{(answer.stdout + answer.stderr).strip()}")
        print(answer.stderr, end="", file=sys.stderr, flush=True)
        paragraphs = answer.stdout.strip().split("\n\n")
        if [text.startswith("|") for text in paragraphs] != [False, True]:
            sys.exit(f"{name} did not print a paragraph and one table")
        sections.append(f"## {title}\n\n{answer.stdout.strip()}\n")

    import jax  # only here: the device is for the benchmarks alone
    from timing import processor

    devices = jax.devices()
    machine = f"{processor()}, {os.cpu_count()} cores"
    if options.device == "gpu":
        machine += f"; {len(devices)} x {devices[0].device_kind}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("fatelib", "jax", "jaxlib"))
    took = time.perf_counter() - start
    head = (
        f"Written by `benchmarks/all.py`{' --quick' if options.quick else ''} on "
        f"{datetime.now(UTC):%Y-%m-%d} in {took:.0f} s.\n\n"
        f"- Machine: {machine}; {platform.system()} on {platform.machine()}.\n"
        f"- Versions: {packages}, Python {platform.python_version()}.\n"
        f"- Load of the machine (1 minute) before: {before}; two or more running beside the "
        "benchmarks would slow them down.\n"
    )
    options.out.write_text("\n".join(["# Benchmark results", "", head, *sections]))


if __name__ == "__main__":
    main()
