"""Read a chapter, a Python file in jupytext's percent format, as a notebook.

A code cell may begin with option lines, in YAML, which are not shown to the reader::

    # %%
    #| name: fig-slices
    #| caption: Risk against $\\gamma$, $\\sigma = 0.2$;
    #|   error bars are standard errors over 20 instances.
    #| alt: Two curves that cross twice.
    #| tags: [hide-input]
    plot.slices(results)

They become the metadata that MyST-NB turns into a captioned, numbered figure. The tag `check` folds
the code, and the comment at its top becomes the reason of the check, see `checks`.
"""

import re
from itertools import takewhile
from pathlib import Path
from typing import Any

import jupytext
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
OPTIONS = ("name", "caption", "alt", "width", "tags")

PREPARE = Path(__file__).with_name("prepare.py")


def reads(text: str) -> NotebookNode:
    """Read a chapter for MyST-NB: with the cell that prepares its figures."""
    notebook = read(text)
    code = PREPARE.read_text(encoding="utf-8")
    notebook.cells.insert(
        0, new_code_cell(code, metadata={"tags": ["remove-cell"]})
    )
    notebook.metadata["source_map"].insert(0, 0)
    return notebook


def read(text: str) -> NotebookNode:
    """Read a chapter: options become metadata, and the notebook knows the line of each cell.

    Raises:
        ValueError: A cell has no `# %%` line of its own, or an option is unknown or misspelt.
    """
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata.setdefault("kernelspec", KERNEL)
    # MyST-NB adds one to these for the line below the marker: warnings then point into the file.
    lines = [
        i for i, line in enumerate(text.splitlines()) if re.match(r"# ?%%", line)
    ]
    if len(lines) != len(notebook.cells):
        raise ValueError(
            f"{len(notebook.cells)} cells but {len(lines)} lines that start with '# %%': "
            "begin the text of a chapter, too, with '# %% [markdown]'"
        )
    for cell, line in zip(notebook.cells, lines, strict=True):
        if cell.cell_type == "code":
            options, cell.source = split_options(cell.source, line + 2)
            cell.metadata.update(cell_metadata(options))
            if "check" in cell.metadata.get("tags", []):
                cell.metadata["reason"] = comment_at_top(cell.source)
    notebook.metadata["source_map"] = lines
    return notebook


def split_options(source: str, line: int) -> tuple[dict[str, Any], str]:
    """Split a cell into its options and the code below them.

    Args:
        source: The cell.
        line: Where it starts in its file, for messages.
    """
    lines = source.splitlines()
    count = next(
        (i for i, text in enumerate(lines) if not text.startswith("#|")), len(lines)
    )
    block = "\n".join(text[2:].removeprefix(" ") for text in lines[:count])
    try:
        options = yaml.safe_load(block) or {}
    except yaml.YAMLError as error:
        raise ValueError(
            f"line {line}: the cell's options are not YAML: {error}"
        ) from None
    if not isinstance(options, dict):
        raise ValueError(
            f"line {line}: an option is written '#| name: value'; got {block!r}"
        )
    for key in options:
        if key not in OPTIONS:
            raise ValueError(
                f"line {line}: unknown option {key!r}; choose from {OPTIONS}"
            )
    return options, "\n".join(lines[count:]).lstrip("\n")


def comment_at_top(source: str) -> str:
    """Join the comment lines that open a cell; one without text parts two paragraphs."""
    lines = takewhile(lambda line: line.startswith("#"), source.splitlines())
    text = "\n".join(line.lstrip("#").strip() for line in lines)
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def cell_metadata(options: dict[str, Any]) -> dict[str, Any]:
    """Translate a cell's options to the metadata that MyST-NB reads."""
    tags = list(options.get("tags", []))
    if "build-only" in tags:
        tags.append("remove-cell")
    if "check" in tags and not {"hide-input", "remove-input"} & set(tags):
        tags.append("hide-input")
    figure = {key: options[key] for key in ("name", "caption") if key in options}
    image = {key: options[key] for key in ("alt", "width") if key in options}
    if "alt" in image:
        image["alt"] = " ".join(image["alt"].split())
    metadata: dict[str, Any] = {"tags": tags} if tags else {}
    if figure or image:
        metadata["mystnb"] = {"figure": figure, "image": image}
    return metadata
