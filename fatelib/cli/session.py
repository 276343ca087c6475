"""How JAX and matplotlib are set up while a command runs."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def set_up_jax() -> None:
    """Let JAX see each core of a CPU as a device, and keep what it compiles for the next time."""
    import jax

    if compiled() is None:
        jax.config.update("jax_compilation_cache_dir", str(_cache()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # JAX before 0.5 has no such setting, and one that has started keeps its devices.
    with contextlib.suppress(AttributeError, RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores)


def compiled() -> str | None:
    """Return the directory where JAX keeps compiled programs, if it does."""
    import jax

    directory: str | None = getattr(jax.config, "jax_compilation_cache_dir")  # noqa: B009
    return directory


def _cache() -> Path:
    """Return the directory for compiled programs: in the user's cache directory."""
    parent = os.environ.get("XDG_CACHE_HOME")
    return (Path(parent) if parent else Path.home() / ".cache") / "fatelib"


@contextlib.contextmanager
def without_display() -> Iterator[None]:
    """Let matplotlib draw to files, whatever the environment or the caller has set, for a while."""
    # A backend in the environment that it does not know stops its import.
    named = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    # Reading it from a copy does not choose one where none has been chosen.
    before = named or matplotlib.rcParams.copy()["backend"]
    fallback = matplotlib.rcParams["backend_fallback"]
    matplotlib.use("agg")
    try:
        yield
    finally:
        with contextlib.suppress(ImportError, ValueError):  # what could not be used before either
            matplotlib.use(before, force=False)
            matplotlib.rcParams["backend"] = before
        matplotlib.rcParams["backend_fallback"] = fallback
