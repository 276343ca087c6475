"""Test configuration: every annotation of the library is checked at run time."""

import os
from collections import Counter

import jax
import numpy as np
import pytest
from jaxtyping import install_import_hook

with install_import_hook("fatelib", "beartype.beartype"):
    import fatelib  # noqa: F401

try:
    enable_x64 = jax.enable_x64
except AttributeError:  # JAX before 0.8
    from jax.experimental import enable_x64

# Implicit rank promotion hides broadcasting mistakes; the library never relies on it.
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where a browser and the book are required, a test that misses one of them has failed."""
    report = yield
    needs = item.get_closest_marker("browser") or "site" in item.fixturenames
    if needs and report.skipped and os.environ.get("FATELIB_REQUIRE_BROWSER"):
        report.outcome = "failed"
        report.longrepr = f"FATELIB_REQUIRE_BROWSER is set, but: {_reason(report)}"
    return report


def pytest_unconfigure(config):
    """After the last line of pytest: what did not run, and how to get it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reasons = Counter(map(_reason, reporter.stats.get("skipped", ()) if reporter else ()))
    if reasons:
        print("Skipped:", "; ".join(f"{count} with {why}" for why, count in reasons.items()))


def _reason(report):
    return str(report.longrepr[2]).removeprefix("Skipped: ")


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """Keep the memory of a long test run bounded."""
    yield
    jax.clear_caches()


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Run a test once in each precision; 64-bit types exist only inside the test."""
    with enable_x64(request.param == "float64"):
        yield np.dtype(request.param)


@pytest.fixture
def x64():
    """Run a test with 64-bit types."""
    with enable_x64(True):
        yield
