"""The benchmarks as programs: what they say when a program that they start fails."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def interpreter(tmp_path):
    """Stands for one that has PyTorch, and fails at everything else."""
    path = tmp_path / "python"
    path.write_text(
        '#!/bin/sh\ntest "$1" = -c && exit 0\n'
        "echo \"ModuleNotFoundError: No module named 'tqdm'\" >&2\nexit 1\n"
    )
    path.chmod(0o755)
    return path


def ask(interpreter):
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import pytorch; "
    code += f"print(pytorch.answer({str(interpreter)!r}, 'authors_step.py', {{}}))"
    return subprocess.run([sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True)


def test_the_message_of_a_failing_program_is_shown(interpreter):
    run = ask(interpreter)
    assert run.returncode == 1
    assert "authors_step.py failed" in run.stderr
    assert run.stderr.strip().endswith("ModuleNotFoundError: No module named 'tqdm'")


def test_without_pytorch_it_is_said_why(tmp_path):
    run = ask(tmp_path / "nowhere")
    assert (run.returncode, run.stdout.strip()) == (0, "{}")
    assert "PyTorch is missing from" in run.stderr
    assert "No such file" in run.stderr


def test_all_shows_the_message_of_a_failing_benchmark(tmp_path):
    """A copy of `all.py` beside a benchmark that fails."""
    (tmp_path / "all.py").write_text((FOLDER / "all.py").read_text(encoding="utf-8"))
    (tmp_path / "against_authors.py").write_text("raise SystemExit('no checkout there')")
    run = subprocess.run(
        [sys.executable, tmp_path / "all.py", "--quick", "--out", tmp_path / "RESULTS.md"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-2:] == ["against_authors failed:", "no checkout there"]
    assert not (tmp_path / "RESULTS.md").exists()


def test_what_the_authors_code_needs_is_told():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "pip install torch numpy tqdm" in text
