"""The bibliography as an author-year list: sorted by author, without labels."""

from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as Unsorted
from sphinx.application import Sphinx


class AuthorYear(Unsorted):
    """Plain entries in the order of authors and years; custom.css hides the labels."""

    default_sorting_style = "author_year_title"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with pybtex."""
    register_plugin("pybtex.style.formatting", "author_year_list", AuthorYear)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
