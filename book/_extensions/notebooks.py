"""A notebook of every chapter: to download, or to open in Colab.

Each numbered page of the book is written, unexecuted, to `notebooks/NAME.ipynb` in the site, in
Markdown that any Jupyter shows, with one cell in front that installs `fatelib` where it is missing
and says how long the rest takes. The pages without a number sum up the others, such as the errata:
there the reader finds the chapter to run.
"""

import ast
import json
import os
import re
from pathlib import Path
from typing import Any

import nbformat
from myst_nb.sphinx_ import NbMetadataCollector
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

# Without the constraints, a new release of a dependency can replace Colab's JAX, and with it the
# build for the GPU. %pip does not raise where it fails, the import below it does.
INSTALL = """\
# Installs fatelib where it is missing; leaves what is installed as it is.{time}
try:
    import fatelib
except ModuleNotFoundError:
    print("Installing fatelib ...")
    {install}
    import fatelib"""
PIP = """\
%pip list --format=freeze > installed.txt
    %pip install --quiet --constraint installed.txt "fatelib[examples,widgets] @ git+{repository}\""""
# A book that is not published has no address to install from.
WHEEL = """\
import subprocess
    import sys
    from pathlib import Path

    wheels = sorted(Path.cwd().glob("fatelib-*.whl"))
    if not wheels:
        raise ImportError(
            "fatelib is missing, and this notebook has no address to install it from. In the "
            "folder of its repository run: pip install '.[examples,widgets]'. Or put its wheel, "
            "which 'pip wheel --no-deps .' makes there, beside this notebook and run this cell "
            "again."
        ) from None
    pip = [sys.executable, "-m", "pip"]
    found = subprocess.run([*pip, "list", "--format=freeze"], stdout=subprocess.PIPE, check=True)
    Path("installed.txt").write_bytes(found.stdout)
    wheel = f"fatelib[examples,widgets] @ {wheels[-1].as_uri()}"
    install = [*pip, "install", "--quiet", "--constraint", "installed.txt", wheel]
    subprocess.run(install, check=True)"""

WIDGETS = (
    "explore(",
    "null_space(",
)  # they are what the last line of a cell returns

# What only a reader of the repository can run or open.
NEEDS_REPOSITORY = re.compile(
    r"\bmake (?:book|test|notebooks|links|clean)\b|(?<![\w/.])(?:book|benchmarks|tests)/\w+|\bdata/\w+\.nc\b"
)


def install_cell(repository: str, seconds: float | None = None) -> str:
    """Write the notebook's first cell.

    Args:
        repository: Address to install from, or the empty string: then a wheel beside the notebook.
        seconds: How long the cells of the chapter took when the book was built.
    """
    said = (
        f"\n# After that this notebook takes {about(seconds)}." if seconds else ""
    )
    install = PIP.format(repository=repository) if repository else WHEEL
    return INSTALL.format(time=said, install=install)


def about(seconds: float) -> str:
    """Say how long something took, as coarsely as it is reproducible."""
    minutes = round(seconds / 60)
    length = f"about {minutes} minutes" if minutes > 1 else "about a minute"
    return f"{length}, measured on {os.cpu_count()} cores of a CPU"


def silent(source: str) -> str:
    """End a cell that draws with a semicolon: it shows its figure, not also its last value."""
    *_, end = ast.parse(source).body
    if not isinstance(end, ast.Expr) or ast.unparse(end).startswith(WIDGETS):
        return source
    lines = source.encode().splitlines()
    last = end.end_lineno - 1
    lines[last] = (
        lines[last][: end.end_col_offset] + b";" + lines[last][end.end_col_offset :]
    )
    return b"\n".join(lines).decode()


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
    cells = [new_code_cell(install_cell(repository, references.seconds))]
    for cell in read(source).cells:
        tags = set(cell.metadata.get("tags", []))
        if "build-only" in tags:
            continue
        if cell.cell_type == "markdown":
            text = convert(cell.source, references, report)
            if text and "page-only" not in tags:
                cells.append(new_markdown_cell(text))
            continue
        shown = cell.metadata.get("mystnb", {})
        if "page-only" not in tags:
            hide = (
                {"cellView": "form", "jupyter": {"source_hidden": True}}
                if tags & HIDDEN
                else {}
            )
            code = silent(cell.source) if "image" in shown else cell.source
            cells.append(new_code_cell(code, metadata=hide))
        figure = shown.get("figure", {})
        if "caption" in figure:
            label = figure.get("name", "")
            title = references.titles.get(label, "Figure")
            text = f"**{title}.** {convert(figure['caption'], references, report)}"
            # The text speaks of it, and numbers have no gaps.
            if "page-only" in tags:
                url = references.urls.get(label)
                page = (
                    f"[page of this chapter]({url})"
                    if url
                    else "page of this chapter"
                )
                text += f"\n\n*This figure is on the {page} only.*"
            cells.append(new_markdown_cell(text))
    for i, cell in enumerate(cells):
        cell.id = f"cell-{i}"
        if found := NEEDS_REPOSITORY.search(cell.source):
            report(f"{found[0]!r} needs the repository")
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
    times = NbMetadataCollector.get_exec_data(env, page)
    result.seconds = times and times["runtime"]

    def add(label: str, title: str, docname: str, anchor: str) -> None:
        result.titles[label] = title
        if base:
            result.urls[label] = (
                base.rstrip("/") + "/" + builder.get_target_uri(docname) + anchor
            )
        elif docname != page and docname in env.toc_secnumbers:
            result.urls[label] = notebook_of(env, docname)

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


def notebook_of(env: BuildEnvironment, page: str) -> str:
    """Give the name of a chapter's notebook; all are in one folder."""
    return f"{Path(env.doc2path(page)).stem}.ipynb"


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
    name = f"notebooks/{notebook_of(app.env, page)}"
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
