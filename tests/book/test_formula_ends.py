"""A formula stays on one line with the signs that touch it."""

import pytest
from _extensions.formula_ends import keep_together
from docutils import nodes
from docutils.utils import new_document


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("with ", ", and", ["with ", "x,", " and"]),
        ("is (", ").", ["is ", "(x).", ""]),
        ("an ", "-dimensional", ["an ", "x", "-dimensional"]),
        ("of ", " features", ["of ", "x", " features"]),
        ("(", " of them)", ["", "(x", " of them)"]),
        ("", "", ["", "x", ""]),
    ],
)
def test_signs_that_touch_a_formula_are_in_one_piece_with_it(before, after, expected):
    paragraph = nodes.paragraph("", "", nodes.Text(before), nodes.math("", "x"), nodes.Text(after))
    document = new_document("page")
    document += paragraph
    keep_together(None, document)
    assert [part.astext() for part in paragraph.children] == expected
    assert paragraph.astext() == f"{before}x{after}"
    piece = paragraph[1]
    wrapped = isinstance(piece, nodes.inline)
    assert wrapped == (piece.astext() != "x")
    assert not wrapped or piece["classes"] == ["formula-and-sign"]


def test_two_formulas_share_no_sign():
    one, two = nodes.math("", "a"), nodes.math("", "b")
    paragraph = nodes.paragraph("", "", one, nodes.Text(","), two, nodes.Text("."))
    document = new_document("page")
    document += paragraph
    keep_together(None, document)
    assert paragraph.astext() == "a,b."
    assert [part.astext() for part in paragraph if part.astext()] == ["a,", "b."]
