"""Test configuration: every annotation of the library is checked at run time."""

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
