"""Stale results are impossible: what a chapter's results depend on is part of the cache's key.

MyST-NB's cache knows a chapter by its own cells. This extension puts the cache in a folder named
after a digest of everything else that its results come from: the library, the stored data, the
lock file, the interpreter, JAX and its settings. The folder's name is a setting of Sphinx's
environment, so a change also makes Sphinx read every page again; no change, and it reads nothing.
"""

import hashlib
import os
import platform
import shutil
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config


def digest(root: Path, patterns: Iterable[str], *facts: str) -> str:
    """Hash the files under `root` that match `patterns` (names and bytes), and the facts."""
    files = sorted(
        path
        for pattern in patterns
        for path in root.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    )
    result = hashlib.sha256()
    for part in [
        *facts,
        *(
            part
            for path in files
            for part in (path.relative_to(root).as_posix(), path)
        ),
    ]:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        result.update(
            hashlib.sha256(content).digest()
        )  # hashed apart, so that none run together
    return result.hexdigest()[:16]


def results_digest(root: Path) -> str:
    """Hash what the results of every chapter depend on, apart from the chapter itself."""
    settings = sorted(
        f"{name}={value}"
        for name, value in os.environ.items()
        if name.startswith(("FATELIB_", "JAX_", "XLA_"))
        and name not in {"FATELIB_REPOSITORY", "FATELIB_REQUIRE_BROWSER"}
        # Where compiled programs are kept changes no result.
        and not name.startswith(("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE"))
    )
    versions = [platform.python_version(), version("jax"), version("jaxlib")]
    files = ["fatelib/**/*", "book/data/**/*", "requirements.txt"]
    return digest(root, files, platform.machine(), *versions, *settings)


def key_cache(app: Sphinx, config: Config) -> None:
    """Name the cache after the results' digest, and drop the caches of other digests."""
    root = Path(app.srcdir)
    folder = Path(app.outdir).parent / ".jupyter_cache"
    key = results_digest(root)
    if folder.is_dir():
        for other in folder.iterdir():
            if other.name != key:
                shutil.rmtree(other) if other.is_dir() else other.unlink()
    config.nb_execution_cache_path = str(folder / key)
    # The extensions shape pages, not results: a change reads the pages again, executes nothing.
    config.book_extensions_digest = digest(
        root, ["book/_extensions/*.py", "book/*.bib"]
    )


def forget_failed_build(app: Sphinx, exception: Exception | None) -> None:
    """After warnings, read every page again: else the next build would not repeat them and pass."""
    if exception is None and app._warncount:
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_config_value("book_extensions_digest", "", "env")
    app.connect("config-inited", key_cache)
    app.connect("build-finished", forget_failed_build)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
