import re
import textwrap
from pathlib import Path

import pytest
import yaml
from _extensions.plain_markdown import EXTENSIONS, References, convert
from _extensions.reader import read
from pybtex.database import parse_file

BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = sorted(BOOK.glob("*.py"))

REFERENCES = References(
    titles={
        "fig-risk": "Figure 1.2",
        "thm-risk": "Theorem 1.1",
        "ex-peak": "Exercise 1.1",
        "remember": "What to remember",
        "deep-linear-dynamics": "Deep linear dynamics",
        "eq-risk": "(1.1)",
        "thm-far": "Theorem 2.1",
    },
    urls={
        "thm-risk": "https://example.org/one.html#thm-risk",
        "thm-far": "https://example.org/two.html#thm-far",
        "deep-linear-dynamics": "https://example.org/two.html",
        "fatelib.theory.scratch_risk": "https://example.org/api.html#scratch_risk",
    },
    equations={"eq-risk": "(1.1)"},
    citations={
        "saxe2014": ("Saxe et al.", "2014", "https://example.org/saxe"),
        "roy2007": ("Roy and Vetterli", "2007", ""),
    },
    values={"gap": "0.36012", "name": "'deep'", "count": "20"},
)


def plain(text):
    problems = []
    result = convert(textwrap.dedent(text).strip(), REFERENCES, problems.append)
    assert not problems
    return result


@pytest.mark.parametrize(
    ("myst", "expected"),
    [
        ("{cite:t}`saxe2014` say", "[Saxe et al. (2014)](https://example.org/saxe) say"),
        (
            "so {cite:p}`saxe2014,roy2007`",
            "so ([Saxe et al., 2014](https://example.org/saxe); Roy and Vetterli, 2007)",
        ),
        ("see {eq}`eq-risk`", "see (1.1)"),
        ("see {numref}`fig-risk`", "see Figure 1.2"),
        ("by {prf:ref}`thm-risk`", "by [Theorem 1.1](https://example.org/one.html#thm-risk)"),
        ("by {prf:ref}`thm-far`", "by [Theorem 2.1](https://example.org/two.html#thm-far)"),
        ("{doc}`deep-linear-dynamics`", "[Deep linear dynamics](https://example.org/two.html)"),
        ("{ref}`my\nwords <remember>`", "my words"),
        ("{ref}`remember`", "What to remember"),
        (
            "{py:func}`~fatelib.theory.scratch_risk`",
            "[`scratch_risk`](https://example.org/api.html#scratch_risk)",
        ),
        ("{py:func}`fatelib.other`", "`fatelib.other`"),
        ("a gap of {glue:text}`gap:.2f`", "a gap of 0.36"),
        ("{glue:text}`count:d` {glue:text}`name` ones", "20 deep ones"),
        ("{math}`x^2` and $y_{i}$ and `code`", "$x^2$ and $y_{i}$ and `code`"),
        ("so $a\n< b$, `$c\nd$`", "so $a < b$, `$c\nd$`"),
        ("- for $5\n- or $6", "- for $5\n- or $6"),
        ("``{eq}`eq-risk` `` is {eq}`eq-risk`", "``{eq}`eq-risk` `` is (1.1)"),
        ("text\n\n    {eq}`eq-risk`  # code", "text\n\n    {eq}`eq-risk`  # code"),
        (
            "| {eq}`eq-risk` | $|x|$ |\n|---|---|\n| 1 | `$` |",
            "| (1.1) | $|x|$ |\n|---|---|\n| 1 | `$` |",
        ),
        ("- one\\\n  {eq}`eq-risk`\n\n  two", "- one\\\n  (1.1)\n\n  two"),
        ("(label)=\n## Heading", "## Heading"),
        ("% a comment\ntext", "text"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 1 | 2 |"),
    ],
)
def test_inline(myst, expected):
    assert plain(myst) == expected


def test_text_is_read_as_the_pages_are():
    config = yaml.safe_load((BOOK.parent / "_config.yml").read_text(encoding="utf-8"))
    assert sorted(EXTENSIONS) == sorted(config["parse"]["myst_enable_extensions"])


def test_equations_keep_their_numbers():
    assert plain("$$\nx = 1\n$$ (eq-risk)") == "$$\nx = 1 \\tag{1.1}\n$$"
    assert plain("$$ x = 1 $$") == "$$\nx = 1\n$$"
    assert plain("before\n\n$$\nx = 1\n$$\n\nafter") == "before\n\n$$\nx = 1\n$$\n\nafter"
    math = ":::{math}\n:label: eq-risk\nx = 1\n:::"
    assert plain(math) == "$$\nx = 1 \\tag{1.1}\n$$"
    assert plain("$$\nx % y\n% y\n= 5 \\% % y\n$$ (eq-risk)") == "$$\nx\n= 5 \\% \\tag{1.1}\n$$"


def test_a_formula_in_a_quotation_is_on_one_line():
    theorem = r"""
    ::::{prf:theorem} Risk
    :label: thm-risk
    It is $a
    < b$ with
    $$
    \begin{aligned}
    a &= 1 \\% one
    b &= 2
    \end{aligned}
    $$ (eq-risk)

    :::{note}
    Here
    $$
    x
    = 1
    $$
    :::
    ::::
    """
    assert plain(theorem).splitlines() == [
        "> **Theorem 1.1 (Risk).** It is $a < b$ with",
        r"> $$ \begin{aligned} a &= 1 \\ b &= 2 \end{aligned} \tag{1.1} $$",
        ">",
        "> > **Note.** Here",
        "> > $$ x = 1 $$",
    ]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_formula_of_a_chapter_holds_the_mark_of_a_quotation(path):
    for cell in read(path.read_text(encoding="utf-8")).cells:
        if cell.cell_type == "markdown":
            text = convert(cell.source, References(), lambda message: None)
            text = re.sub(r"^```.*?^```|(`+).+?\1", "", text, flags=re.DOTALL | re.MULTILINE)
            for formula in re.finditer(r"(\$\$?).+?\1", text, re.DOTALL):
                assert "\n>" not in formula[0]


def test_every_work_that_is_cited_has_an_address():
    entries = parse_file(BOOK / "references.bib").entries
    missing = [key for key, entry in entries.items() if not {"doi", "url"} & set(entry.fields)]
    assert not missing


def test_boxes():
    theorem = """
    :::{prf:theorem} Risk
    :label: thm-risk
    It is $x$, by {eq}`eq-risk`.

    Always.
    :::
    """
    assert plain(theorem) == ("> **Theorem 1.1 (Risk).** It is $x$, by (1.1).\n>\n> Always.")
    assert plain(":::{prf:proof}\nEasy.\n:::") == "*Proof.* Easy. $\\square$"
    assert plain(":::{note}\nSkip this.\n:::") == "> **Note.** Skip this."
    assert plain(":::{admonition} Ours\n:class: tip\nNew.\n:::") == "> **Ours**\n>\n> New."


def test_exercises_and_their_folded_solutions():
    exercise = """
    :::{exercise} The peak
    :label: ex-peak
    Where is it?
    :::

    ::::{solution} ex-peak
    :label: sol-peak
    :class: dropdown
    Here:

    ```python
    x = 1
    ```

    :::{tip}
    Look.
    :::
    ::::
    """
    assert (
        plain(exercise)
        == textwrap.dedent(
            """
        **Exercise 1.1 (The peak).** Where is it?

        <details>
        <summary>Solution to Exercise 1.1</summary>

        Here:

        ```python
        x = 1
        ```

        > **Tip.** Look.

        </details>
        """
        ).strip()
    )


def test_solutions_of_several_cells():
    assert plain(":::{solution-start} ex-peak\n:::") == "**Solution to Exercise 1.1.**"
    assert plain(":::{solution-end}\n:::") == ""


def test_code_is_left_alone():
    code = "```python\nx = '{eq}`eq-risk`'\n# (label)=\n```"
    assert plain(code) == code


@pytest.mark.parametrize(
    ("myst", "message"),
    [
        ("{unheard}`x`", "role {unheard} has no plain form"),
        (":::{unheard}\nx\n:::", "directive {unheard} has no plain form"),
        ("$$\nx", "displayed mathematics without its closing $$"),
    ],
)
def test_what_has_no_plain_form_is_reported(myst, message):
    problems = []
    convert(myst, REFERENCES, problems.append)
    assert problems == [message]
