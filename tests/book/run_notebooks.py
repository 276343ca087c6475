"""Run exported notebooks as readers meet them, and print a table: `make notebooks`.

Each environment is made anew and holds what such a reader has before the first cell. The cell that
installs fatelib runs there once, with the wheel in place of the repository, and may neither upgrade
nor downgrade anything. Then every notebook runs from top to bottom, in an empty folder.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]
RATINGS = ROOT / "book" / "data" / "ratings.npz"
sys.path.append(str(ROOT / "book"))
from _extensions.notebooks import install_cell  # noqa: E402


@dataclass(frozen=True)
class Environment:
    """What a reader has: a Python, packages, and constraints on what pip adds."""

    title: str
    python: str
    packages: tuple[str, ...]
    constraints: str = ""


# Colab has an old ipywidgets and an old ipykernel, and JAX built for its GPU.
ENVIRONMENTS = {
    "newest": Environment("newest JAX", "3.12", ("ipywidgets==7.7.1", "ipykernel", "jax")),
    "lock": Environment("the lock", "3.11", ("ipykernel",), str(ROOT / "requirements.txt")),
    # From the list that Colab publishes of its packages, August 2026.
    "colab": Environment(
        "Colab, 2026-08",
        "3.13",
        (
            "anywidget==0.9.21", "ipykernel==6.17.1", "ipython==7.34.0", "ipywidgets==7.7.1",
            "jax==0.7.2", "jaxlib==0.7.2", "jupyter_client==7.4.9", "matplotlib==3.10.0",
            "numpy==2.1.3", "pandas==2.2.3", "scipy==1.16.3", "tqdm==4.67.3", "traitlets==5.7.1",
            "xarray==2025.12.0",
        ),
    ),
    "gpu": Environment("a GPU", "3.12", ("ipywidgets==7.7.1", "ipykernel", "jax[cuda12]")),
}  # fmt: skip


def main() -> int:
    """Run what the command line names; the exit status is 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, required=True, help="the wheel of fatelib")
    parser.add_argument(
        "--only", choices=ENVIRONMENTS, nargs="+", default=["newest", "lock", "colab"]
    )
    parser.add_argument("--jobs", type=int, default=1, help="notebooks side by side")
    parser.add_argument("notebooks", type=Path, nargs="+", help="exported notebooks")
    arguments = parser.parse_args()

    cells: dict[tuple[str, str], str] = {}
    problems: list[str] = []

    def record(name: str, kind: str, error: str, seconds: float = 0) -> None:
        verdict = f"{'FAIL' if error else 'pass'} {seconds:4.0f} s"
        cells[name, kind] = verdict
        print(f"{name} in {ENVIRONMENTS[kind].title}: {verdict}", flush=True)
        if error:
            problems.append(f"\n== {name} in {ENVIRONMENTS[kind].title}\n{error}")

    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.only:
            environment = ENVIRONMENTS[kind]
            python = find_python(environment.python)
            if not python:
                cells["installing", kind] = f"no Python {environment.python}"
                problems.append(f"\n== no Python {environment.python}: see --only")
                continue
            start = time.monotonic()
            error = prepare(Path(folder, kind), python, environment, arguments.wheel)
            record("installing", kind, error, time.monotonic() - start)
            if error:
                continue

            def one(path: Path, kind: str = kind) -> None:
                start = time.monotonic()
                notebook = nbformat.read(path, as_version=4)
                record(path.stem, kind, run(notebook, kind), time.monotonic() - start)

            with ThreadPoolExecutor(arguments.jobs) as pool:
                list(pool.map(one, arguments.notebooks))

    rows = ["installing", *(path.stem for path in arguments.notebooks)]
    width = max(map(len, rows))
    titles = [
        f"{ENVIRONMENTS[kind].title} (Python {ENVIRONMENTS[kind].python})"
        for kind in arguments.only
    ]
    print("\n" + " | ".join(["notebook".ljust(width), *titles]))
    print("-|-".join(["-" * width, *("-" * len(title) for title in titles)]))
    for row in rows:
        entries = [cells.get((row, kind), "not run") for kind in arguments.only]
        padded = (entry.rjust(len(title)) for entry, title in zip(entries, titles, strict=True))
        print(" | ".join([row.ljust(width), *padded]))
    print(*problems, sep="\n")
    return bool(problems)


def find_python(version: str) -> str:
    """Return a command of this version that works, or nothing."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    command = shutil.which(f"python{version}") or ""
    works = command and not subprocess.run([command, "-c", ""], capture_output=True).returncode
    return command if works else ""


def prepare(folder: Path, python: str, environment: Environment, wheel: Path) -> str:
    """Make an environment and run the cell that installs fatelib; return what went wrong."""
    inside = folder / "bin" / "python"
    options = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_CONSTRAINT": environment.constraints}
    variables = os.environ | {name: value for name, value in options.items() if value}

    def call(*command: str | Path) -> str:
        done = subprocess.run(command, env=variables, text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    try:
        call(python, "-m", "venv", folder)
        call(inside, "-m", "pip", "install", *environment.packages)
        call(inside, "-m", "ipykernel", "install", "--prefix", folder, "--name", folder.name)
        # Where the client looks for kernels.
        os.environ["JUPYTER_PATH"] = str(folder / "share" / "jupyter")
        before = call(inside, "-m", "pip", "list", "--format=freeze").splitlines()
        address = "https://github.com/owner/name"
        install = install_cell(address).replace(f"git+{address}", wheel.resolve().as_uri())
        cells = [new_code_cell(install), new_code_cell("import fatelib")]
        if folder.name == "gpu":
            cells.append(new_code_cell("import jax; assert jax.default_backend() == 'gpu'"))
        error = run(new_notebook(cells=cells), folder.name, variables)
        after = call(inside, "-m", "pip", "list", "--format=freeze").splitlines()
    except RuntimeError as failure:
        return str(failure)
    changed = ", ".join(sorted(set(before) - set(after)))
    return error or (changed and f"the install cell changed {changed}")


def run(
    notebook: nbformat.NotebookNode, kernel: str, variables: dict[str, str] | None = None
) -> str:
    """Run a notebook in a folder of its own; return what went wrong, its last lines."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        shutil.copy(RATINGS, folder)  # no address to read it from
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=1800, kernel_name=kernel, resources=resources)
        try:
            client.execute(env=variables or dict(os.environ), stderr=log)
        except Exception as error:  # whatever it is belongs in the table
            log.seek(0)
            outputs = [
                output.get("text", "")
                for cell in notebook.cells
                for output in cell.get("outputs", [])
            ]
            said = f"{log.read()}{''.join(outputs)}{error}"
            return "\n".join(said.splitlines()[-25:])
    return ""


if __name__ == "__main__":
    sys.exit(main())
