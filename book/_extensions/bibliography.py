"""Author-year citations in round brackets, and a bibliography sorted by author, without labels."""

from dataclasses import dataclass, field

import sphinxcontrib.bibtex.plugin
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as Unsorted
from sphinx.application import Sphinx
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import (
    AuthorYearReferenceStyle,
)


def round_brackets() -> BracketStyle:
    """Bracket with ( and )."""
    return BracketStyle(left="(", right=")")


@dataclass
class RoundBrackets(AuthorYearReferenceStyle):
    """`Saxe et al. (2014)` in the sentence, `(Saxe et al., 2014)` beside it."""

    bracket_textual: BracketStyle = field(default_factory=round_brackets)
    bracket_parenthetical: BracketStyle = field(default_factory=round_brackets)


class AuthorYear(Unsorted):
    """Plain entries in the order of authors and years; custom.css hides the labels."""

    default_sorting_style = "author_year_title"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with pybtex and sphinxcontrib-bibtex."""
    register_plugin("pybtex.style.formatting", "author_year_list", AuthorYear)
    sphinxcontrib.bibtex.plugin.register_plugin(
        "sphinxcontrib.bibtex.style.referencing", "round_brackets", RoundBrackets
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
