"""What a book gains where it is published: buttons to its source, a 404 page, a card to share.

All of it follows from one address, the repository's. A book that is built without one has none of
this and lacks nothing else.
"""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from sphinx.application import Sphinx
from sphinx.config import Config

CARD = "_static/card.png"


def fill_in(app: Sphinx, config: Config) -> None:
    """Take the repository's address from the workflow, and the site's address from it."""
    options = config.html_theme_options
    url = os.environ.get("FATELIB_REPOSITORY") or options.get("repository_url", "")
    url = options["repository_url"] = web_address(url)
    if not url:
        return
    for button in [
        "use_repository_button",
        "use_edit_page_button",
        "use_issues_button",
    ]:
        options[button] = True
    config.html_baseurl = config.html_baseurl or site_of(url)
    # A page that is not there can be anywhere: its links start at the root of the host.
    config.notfound_urls_prefix = urlsplit(config.html_baseurl).path
    config.ogp_site_url = config.html_baseurl
    config.ogp_image = CARD


def web_address(repository: str) -> str:
    """Give the address of a repository's page, from that or from one that git clones.

    >>> web_address("git@github.com:owner/name.git"), web_address("github.com/owner/name/")
    ('https://github.com/owner/name', 'https://github.com/owner/name')
    """
    address = repository.strip()
    if not address:
        return ""
    if "://" not in address:  # as git writes it for ssh: user@host:path
        address = "ssh://" + re.sub(r"^([^/:]+):(?!\d+/)", r"\1/", address)
    parts = urlsplit(address)
    path = parts.path.strip("/").removesuffix(".git").rstrip("/")
    if not parts.hostname or path.count("/") < 1:
        raise ValueError(
            "the address of the repository must be one such as https://github.com/owner/name; "
            f"got {repository!r}"
        )
    # Of a page, as of a clone over ssh, no user is part, and the port of ssh is not that of the web.
    host = (
        parts.netloc.rpartition("@")[2]
        if parts.scheme.startswith("http")
        else parts.hostname
    )
    scheme = parts.scheme if parts.scheme == "http" else "https"
    return f"{scheme}://{host}/{path}"


def site_of(repository: str) -> str:
    """Give the address at which GitHub publishes a repository's site, with its last slash."""
    owner, name = repository.split("/")[-2:]
    host = f"{owner}.github.io".lower()
    # The repository that is named after the host is the host's own site.
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def draw_card(app: Sphinx, exception: Exception | None) -> None:
    """Draw what a link to the book shows: its question, and the map that answers it."""
    if exception or not app.config.ogp_image:
        return
    # Only here: a book that is not published need not wait for them.
    import matplotlib.pyplot as plt
    import numpy as np
    import xarray as xr

    from fatelib import plot, theory

    theta, gamma = np.linspace(0, np.pi / 2, 121), np.linspace(0.01, 2, 200)
    values = xr.DataArray(
        theory.linear_transferability(gamma, theta[:, None], 0.2),
        coords={"theta": theta, "gamma": gamma},
    )
    with plt.style.context("fatelib.style"), plt.rc_context({"font.size": 15}):
        fig = plt.figure(figsize=(12, 6.3), layout="none")
        question = "When does\na pretrained network\nbeat training\nfrom scratch?"
        fig.text(
            0.05,
            0.9,
            question,
            fontsize=30,
            weight="bold",
            va="top",
            linespacing=1.3,
        )
        fig.text(0.05, 0.17, app.config.html_title, fontsize=20)
        fig.text(0.05, 0.1, "a theory of transfer learning, executed", fontsize=20)
        plot.phase_diagram(
            values, limit=1, ax=fig.add_axes((0.6, 0.14, 0.31, 0.76))
        )
        fig.savefig(Path(app.outdir) / CARD, dpi=100)
        plt.close(fig)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("config-inited", fill_in)
    app.connect("build-finished", draw_card)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
