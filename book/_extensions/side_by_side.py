"""Execute chapters side by side before Sphinx reads pages, one by one, and finds their results.

Each chapter is a process of its own. The results go where MyST-NB would put them, into its cache.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from jupyter_cache import get_cache
from myst_nb.core.execute import create_client
from myst_nb.core.read import create_nb_reader
from myst_nb.sphinx_ import SphinxEnvType
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.display import status_iterator

logger = logging.getLogger(__name__)


def execute(env: SphinxEnvType, page: str) -> str:
    """Execute a page that has code and is not in the cache; return its name."""
    path = env.doc2path(page)
    text = Path(path).read_text(encoding="utf-8")
    reader = create_nb_reader(path, env.myst_config, env.mystnb_config, text)
    if reader is not None:
        notebook = reader.read(text)
        client = create_client(
            notebook, path, env.mystnb_config, logger, reader.read_fmt
        )
        with client:
            pass
    return page


def execute_all(app: Sphinx, env: SphinxEnvType, pages: Iterable[str]) -> None:
    """Execute the pages to be read: long ones first, so that both ends come together."""
    chapters = sorted(
        (page for page in pages if env.doc2path(page).endswith(".py")),
        key=lambda page: -Path(env.doc2path(page)).stat().st_size,
    )
    # Asking for the database makes it: once, before several threads look into it.
    _ = get_cache(env.mystnb_config.execution_cache_path).db
    pool = ThreadPoolExecutor(os.cpu_count())
    futures = [pool.submit(execute, env, page) for page in chapters]
    done = status_iterator(
        as_completed(futures),
        "executing chapters... ",
        "purple",
        len(futures),
        app.verbosity,
        stringify_func=lambda future: future.result(),
    )
    try:
        for _ in done:
            pass
    finally:  # where one has failed, the others are not waited for
        pool.shutdown(wait=False, cancel_futures=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("env-before-read-docs", execute_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
