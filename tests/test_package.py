"""The package as a whole: what it exports, and that it leaves others alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fatelib

ROOT = Path(__file__).parent.parent


def test_public_names_exist():
    for name in fatelib.__all__:
        assert getattr(fatelib, name) is not None


@pytest.mark.parametrize(
    ("file", "pattern"),
    [("CITATION.cff", r"^version: (.*)$"), ("book/cite.md", r"version = \{(.*)\}")],
)
def test_one_version_everywhere(file, pattern):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.findall(pattern, text, re.MULTILINE) == [fatelib.__version__]


def test_importing_changes_no_setting_and_draws_nothing():
    code = """
import sys, jax
before = dict(jax.config.values)
import fatelib
assert dict(jax.config.values) == before
assert "matplotlib.pyplot" not in sys.modules, "pyplot loads when it is first needed"
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
