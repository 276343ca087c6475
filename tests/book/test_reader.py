import re
import textwrap
from pathlib import Path

import pytest
from _extensions import reader

CHAPTER = textwrap.dedent(
    r"""
    # %% [markdown]
    # # Title
    #
    # Text.

    # %%
    #| name: fig-risk
    #| caption: Risk against $\gamma$,
    #|   over 20 instances.
    #| alt: A curve
    #|   that falls.
    #| tags: [hide-input]
    import numpy as np

    x = np.ones(3)

    # %%
    #| tags: [build-only]
    y = 2 * x
    """
).lstrip()


def test_options_become_the_metadata_of_a_figure_and_leave_the_source():
    text, figure, build_only = reader.read(CHAPTER).cells
    assert text.source == "# Title\n\nText."
    assert figure.source == "import numpy as np\n\nx = np.ones(3)"
    assert figure.metadata["mystnb"] == {
        "figure": {"name": "fig-risk", "caption": r"Risk against $\gamma$, over 20 instances."},
        "image": {"alt": "A curve that falls."},
    }
    assert figure.metadata["tags"] == ["hide-input"]
    assert build_only.metadata["tags"] == ["build-only", "remove-cell"]


def test_a_check_is_folded_and_its_first_comment_is_its_reason():
    source = "# %%\n#| tags: [check]\n# Why: $x$\n# is small.\n#\n# So.\nx = 1\n\n# Not this.\nx\n"
    (cell,) = reader.read(source).cells
    assert cell.metadata["tags"] == ["check", "hide-input"]
    assert cell.metadata["reason"] == "Why: $x$ is small.\n\nSo."
    assert cell.source.startswith("# Why")
    (bare,) = reader.read("# %%\n#| tags: [check, remove-input]\nx = 1\n").cells
    assert bare.metadata["tags"] == ["check", "remove-input"]
    assert bare.metadata["reason"] == ""
    (other,) = reader.read("# %%\n# A comment.\nx = 1\n").cells
    assert "reason" not in other.metadata


def test_every_cell_knows_its_line():
    lines = CHAPTER.splitlines()
    source_map = reader.read(CHAPTER).metadata["source_map"]
    assert [lines[line] for line in source_map] == ["# %% [markdown]", "# %%", "# %%"]


def test_the_book_prepares_figures_before_the_first_cell():
    notebook = reader.reads(CHAPTER)
    assert "svg" in notebook.cells[0].source
    assert notebook.cells[0].metadata["tags"] == ["remove-cell"]
    assert len(notebook.metadata["source_map"]) == len(notebook.cells) == 4
    assert notebook.metadata["kernelspec"]["name"] == "python3"


def test_a_header_written_by_jupytext_is_read_too():
    header = "# ---\n# jupyter:\n#   kernelspec:\n#     display_name: J\n#     language: python\n"
    notebook = reader.read(header + "#     name: other\n# ---\n\n" + CHAPTER)
    assert notebook.metadata["kernelspec"]["name"] == "other"
    assert notebook.metadata["source_map"][0] == 8


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("# %%\n#| captoin: Risk\nx = 1\n", "line 2: unknown option 'captoin'"),
        ("# %%\n#| just words\nx = 1\n", "line 2: an option is written"),
        ("# %%\n#| caption: a: b: c\nx = 1\n", "line 2: the cell's options are not YAML"),
        ("# Text without a marker\n\n# %%\nx = 1\n", "2 cells but 1 lines that start with '# %%'"),
    ],
)
def test_mistakes_are_named_with_their_line(source, message):
    with pytest.raises(ValueError, match=message):
        reader.read(source)


def test_captions_hold_where_panels_stand_one_under_the_other():
    """A phone shows no panel left or right of another; what else is left or right is named here.

    In the dark what is black becomes white, and the reverse.
    """
    others = re.compile(
        r"left out|leave-one-out|leaves|left of it|[Rr]ight of (one|the line)|right angle"
        r"|that are left|lie right of one|on top|in the middle than"
    )
    found = []
    for chapter in sorted((Path(__file__).parents[2] / "book").glob("*.py")):
        for cell in reader.read(chapter.read_text(encoding="utf-8")).cells:
            options = cell.metadata.get("mystnb", {})
            caption = options.get("figure", {}).get("caption", "")
            text = others.sub("", f"{caption} {options.get('image', {}).get('alt', '')}")
            for word in re.findall(
                r"\b(?:left|right|middle|top|bottom|black|white)\b", text, re.IGNORECASE
            ):
                found.append((chapter.name, options.get("figure", {}).get("name"), word))
    assert found == []
