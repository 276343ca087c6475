"""A notebook of every chapter: to download, or to open in Colab.

Each numbered page of the book is written, unexecuted, to `notebooks/NAME.ipynb` in the site, in
Markdown that any Jupyter shows, with one cell in front that installs `fatelib` where it is missing.
The pages without a number sum up the others, such as the errata: there the reader finds the chapter
to run.
"""

import json
import os
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from _extensions.plain_markdown import References, convert
from _extensions.reader import KERNEL, read

logger = logging.getLogger(__name__)

# The workflow that publishes the book pushes its notebooks to this branch, where Colab finds them.
BRANCH = "notebooks"
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}

INSTALL = """\
# Installs fatelib where it is missing; leaves what is installed as it is.
try:
    import fatelib
except ModuleNotFoundError:
    {install}"""
# Without the constraints, a new release of a dependency can replace Colab's JAX, and with it the
# build for the GPU.
PIP = """\
%pip list --format=freeze > installed.txt
    %pip install --quiet --constraint installed.txt "fatelib[widgets] @ git+{repository}\""""


def install_cell(repository: str) -> str:
    """Write the notebook's first cell; without a repository it can only explain."""
    if repository:
        install = PIP.format(repository=repository)
    else:
        message = "fatelib is missing: in the folder of its repository, pip install '.[widgets]'"
        install = f"raise ImportError({message!r}) from None"
    return INSTALL.format(install=install)


def export(
    source: str, references: References, repository: str, report: Any
) -> str:
    """Write a chapter as an unexecuted notebook.

    Args:
        source: The chapter's file.
        references: What its references lead to.
        repository: Address of the repository, or the empty string.
        report: Called with a message for each thing that has no plain form.
    """
    cells = [new_code_cell(install_cell(repository))]
    for cell in read(source).cells:
        tags = set(cell.metadata.get("tags", []))
        if tags & {"build-only", "page-only"}:
            continue
        if cell.cell_type == "markdown":
            text = convert(cell.source, references, report)
            if text:
                cells.append(new_markdown_cell(text))
            continue
        hide = (
            {"cellView": "form", "jupyter": {"source_hidden": True}}
            if tags & HIDDEN
            else {}
        )
        cells.append(new_code_cell(cell.source, metadata=hide))
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if "caption" in figure:
            title = references.titles.get(figure.get("name", ""), "Figure")
            caption = convert(figure["caption"], references, report)
            cells.append(new_markdown_cell(f"**{title}.** {caption}"))
    for i, cell in enumerate(cells):
        cell.id = f"cell-{i}"
    metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
        "accelerator": "GPU",
        "colab": {"gpuType": "T4", "provenance": []},
    }
    notebook = new_notebook(cells=cells, metadata=metadata)
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def references(env: BuildEnvironment, builder: Builder, page: str) -> References:
    """Collect what a page's references lead to."""
    base = env.config.html_baseurl
    result = References()

    def add(label: str, title: str, docname: str, anchor: str) -> None:
        result.titles[label] = title
        if base:
            result.urls[label] = (
                base.rstrip("/") + "/" + builder.get_target_uri(docname) + anchor
            )

    folder = page.rpartition("/")[0]
    for docname, title in env.titles.items():
        add(os.path.relpath(docname, folder or "."), title.astext(), docname, "")
    for label, (docname, anchor, title) in env.get_domain("std").labels.items():
        add(label, title, docname, f"#{anchor}")
    for name, entry in env.get_domain("py").objects.items():
        add(name, name, entry.docname, f"#{entry.node_id}")
    for docname, kinds in env.toc_fignumbers.items():
        for kind, numbers in kinds.items():
            for anchor, digits in numbers.items():
                number = ".".join(map(str, digits))
                if kind == "displaymath":
                    label = anchor.removeprefix("equation-")
                    add(label, f"({number})", docname, f"#{anchor}")
                    result.equations[label] = f"({number})"
                else:
                    add(
                        anchor,
                        f"{kind.capitalize()} {number}",
                        docname,
                        f"#{anchor}",
                    )
    for key, entry in env.get_domain("cite").bibdata.data.entries.items():
        names = [" ".join(person.last_names) for person in entry.persons["author"]]
        authors = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
        doi, url = entry.fields.get("doi"), entry.fields.get("url", "")
        result.citations[key] = (
            authors.replace("{", "").replace("}", ""),
            entry.fields["year"],
            f"https://doi.org/{doi}" if doi else url,
        )
    glued = Path(builder.outdir).parent / "jupyter_execute" / f"{page}.glue.json"
    if glued.is_file():
        for name, output in json.loads(glued.read_text()).items():
            result.values[name] = output["data"].get("text/plain", "")
    return result


def colab_address(repository: str, name: str) -> str:
    """Give the address that opens a chapter's notebook in Colab."""
    path = f"{repository.split('github.com/')[-1]}/blob/{BRANCH}/{name}.ipynb"
    return f"https://colab.research.google.com/github/{path}"


def add_notebook(
    app: Sphinx, page: str, template: str, context: dict, doctree: Any
) -> None:
    """Write a chapter's notebook and add its buttons."""
    if doctree is None or page not in app.env.toc_secnumbers:
        return
    source = Path(app.env.doc2path(page))
    repository = app.config.html_theme_options["repository_url"]
    name = f"notebooks/{source.stem}.ipynb"
    notebook = export(
        source.read_text(encoding="utf-8"),
        references(app.env, app.builder, page),
        repository,
        lambda message: logger.warning(f"notebook: {message}", location=page),
    )
    path = Path(app.outdir) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook, encoding="utf-8")

    buttons = context["header_buttons"]
    download = {
        "type": "link",
        "url": context["pathto"](name, 1),
        "text": ".ipynb",
        "icon": "fas fa-book",
        "tooltip": "Download this chapter as a notebook",
        "label": "download-notebook-button",
    }
    for group in buttons:
        if group.get("label") == "download-buttons":
            group["buttons"].insert(0, download)
    if repository:
        colab = {
            "type": "link",
            "url": colab_address(repository, source.stem),
            "text": "Colab",
            "icon": "fas fa-rocket",
            "tooltip": "Run this chapter in Colab",
            "label": "colab-button",
        }
        buttons.insert(0, colab)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect(
        "html-page-context", add_notebook, priority=600
    )  # after the theme's own buttons
    return {"parallel_read_safe": True, "parallel_write_safe": True}
