"""The core path through the book, and how long its chapters take to read.

`reading_path` in `_config.yml` is the only place that knows the path: its stages, and in each the
chapters in their order with the question that each answers. From it follow the list on the landing
page (the directive `reading-path`), the marks in the contents, and what the end of every numbered
chapter says: where the path goes on, or where it was left.

Under the title of a numbered chapter stands how long it takes, in steps of five minutes:

- 180 words a minute, the pace of a text with mathematics; a formula in a line counts as a word,
- a minute for each formula on a line of its own and for each figure,
- ten lines of code a minute,
- ten minutes for each exercise.

What is folded, solutions among it, is not counted, nor is what code prints. The line is added to
the page as it is written: a description of the page starts with the text.
"""

import posixpath
import re
from dataclasses import dataclass
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode
from sphinx_exercise.nodes import (
    exercise_enumerable_node,
    exercise_node,
    solution_node,
)

WORDS, FORMULAS, FIGURES, LINES = 180, 1, 1, 10  # in a minute
EXERCISE = 10  # minutes
STEP = 5


@dataclass(frozen=True)
class Step:
    """A chapter of the path: the question it answers, and where on the path it stands."""

    page: str
    question: str
    place: str


def steps(stages: list[dict[str, Any]]) -> list[Step]:
    """List the chapters of all stages.

    >>> stages = [{"title": "The path", "chapters": {"a": "Why?", "b": "How?"}}]
    >>> [step.place for step in steps([*stages, {"title": "On your own", "chapters": {"c": ""}}])]
    ['1 of 2', '2 of 2', 'on your own, 1 of 1']
    """
    found = []
    for i, stage in enumerate(stages):
        name = f"{stage['title'].lower()}, " if i else ""
        count = len(stage["chapters"])
        for j, (page, question) in enumerate(stage["chapters"].items(), 1):
            found.append(Step(page, question, f"{name}{j} of {count}"))
    return found


def steps_in(env: BuildEnvironment) -> list[Step]:
    """List the chapters of the path that this build has: a page may be built alone."""
    path = steps(env.config.reading_path)
    return [step for step in path if step.page in env.found_docs]


# Times ---------------------------------------------------------------------------------------------


def minutes(doctree: nodes.Element) -> tuple[int, int, int]:
    """Return the minutes that a chapter takes, those of its exercises, and how many these are."""
    text, exercises = read(doctree)
    practice = EXERCISE * exercises
    total = max(STEP, STEP * round((text + practice) / STEP))
    return total, practice, exercises


def read(node: nodes.Node) -> tuple[float, int]:
    """Return the minutes for what a node shows, without its exercises' own, and their number."""
    if isinstance(node, nodes.Text):
        return len(node.split()) / WORDS, 0
    if isinstance(node, nodes.math):
        return 1 / WORDS, 0
    if isinstance(node, nodes.math_block):
        return 1 / FORMULAS, 0
    if isinstance(node, nodes.literal_block):
        lines = [line for line in node.astext().splitlines() if line.strip()]
        return len(lines) / LINES, 0
    if not isinstance(node, nodes.Element) or unseen(node):
        return 0.0, 0
    shown: list[nodes.Node] = list(node.children)
    minutes, exercises = 0.0, 0
    if node.get("nb_element") == "cell_code_output":
        shown = list(node.findall(nodes.figure))
    elif node.get("hide_mode") == "input":
        shown = [
            child
            for child in node.children
            if child.get("nb_element") != "cell_code_source"  # type: ignore[attr-defined]
        ]
    elif isinstance(node, nodes.figure):
        minutes = 1 / FIGURES
    elif isinstance(node, exercise_node | exercise_enumerable_node):
        exercises = 1
    for child in shown:
        more, inside = read(child)
        minutes, exercises = minutes + more, exercises + inside
    return minutes, exercises


def unseen(node: nodes.Element) -> bool:
    """Tell what a reader does not see, or only on request."""
    return (
        isinstance(
            node, solution_node | nodes.comment | nodes.raw | nodes.Invisible
        )
        or node.get("hide_mode") == "all"
        or node.get("design_component") == "dropdown"
        or "tag_remove-cell" in node.get("classes", [])
    )


def note_minutes(app: Sphinx, doctree: nodes.document) -> None:
    """Remember what a page takes."""
    app.env.metadata[app.env.docname]["minutes"] = minutes(doctree)


def about(total: int, practice: int, exercises: int) -> str:
    """Say how long a chapter takes.

    >>> about(50, 20, 2)
    'About 50 minutes, 20 of them for 2 exercises'
    """
    if not exercises:
        return f"About {total} minutes"
    plural = "s" if exercises > 1 else ""
    return f"About {total} minutes, {practice} of them for {exercises} exercise{plural}"


# Pages ---------------------------------------------------------------------------------------------


class reading_path(nodes.General, nodes.Element):
    """Marks where a stage of the path goes: titles and times are known when all pages are read."""


class ReadingPath(SphinxDirective):
    """List the chapters of the stage with this title."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Mark the place, and remember the page."""
        for stage in self.config.reading_path:
            if stage["title"] == self.arguments[0]:
                self.env.metadata[self.env.docname]["reading-path"] = True
                return [reading_path(pages=list(stage["chapters"]))]
        raise self.error(f"the path has no stage {self.arguments[0]!r}")


def pages_with_path(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Name the pages to write again at every build."""
    return [
        page for page in env.found_docs if env.metadata[page].get("reading-path")
    ]


def fill(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """List the path where it is asked for, and end a chapter with where to go from it."""
    path = steps_in(app.env)
    for mark in list(doctree.findall(reading_path)):
        chosen = [step for step in path if step.page in mark["pages"]]
        mark.replace_self(entries(app, page, chosen))
    section = doctree.next_node(nodes.section)
    if path and section and page in app.env.toc_secnumbers:
        section += onward(app, page, path)


def entries(app: Sphinx, page: str, path: list[Step]) -> list[nodes.Node]:
    """Build the list of chapters, with their questions and times."""
    found = nodes.enumerated_list(classes=["reading-path"], enumtype="arabic")
    for step in path:
        total, *_ = app.env.metadata[step.page]["minutes"]
        paragraph = nodes.paragraph("", "", link(app, page, step.page))
        paragraph += nodes.Text(" ")
        paragraph += nodes.inline("", step.question, classes=["question"])
        paragraph += nodes.Text(" ")
        paragraph += nodes.inline("", f"{total} minutes", classes=["minutes"])
        found += nodes.list_item("", paragraph)
    return [found] if path else []


def onward(app: Sphinx, page: str, path: list[Step]) -> nodes.paragraph:
    """Say where the path goes on from a chapter, on it or beside it."""
    order = [step.page for step in path]
    if page in order:
        said, following = "Next on the path: ", path[order.index(page) + 1 :]
        end = "Here the path ends. What lies beside it: "
    else:
        # Nobody is sent back: the next after all that come before this page in the contents.
        contents = list(app.env.collect_relations())
        before = contents[: contents.index(page)]
        passed = [i for i, other in enumerate(order) if other in before]
        said, following = (
            "Deeper. Back to the path: ",
            path[max(passed, default=-1) + 1 :],
        )
        end = "Deeper. The path has ended; the whole of it: "
    if not following:
        home = app.config.root_doc
        return nodes.paragraph("", end, link(app, page, home), classes=["onward"])
    (step, *_) = following
    paragraph = nodes.paragraph("", said, classes=["onward"])
    stop = "" if app.env.titles[step.page].astext().endswith("?") else "."
    paragraph += [link(app, page, step.page), nodes.Text(f"{stop} {step.question}")]
    return paragraph


def link(app: Sphinx, page: str, target: str) -> nodes.reference:
    """Link to a page by its title."""
    title = nodes.inline("", app.env.titles[target].astext())
    return make_refnode(app.builder, page, target, "", title)


def mark(contents: str, page: str, pages: set[str]) -> str:
    """Mark the links to chapters of the path in the contents; one to the page itself is a "#".

    >>> mark('<a class="reference internal" href="../book/a.html">A</a>', "b", {"book/a"})[-79:]
    '<span class="on-path"><span class="visually-hidden"> (on the path)</span></span></a>'
    """
    names = {posixpath.basename(name) for name in pages}

    def marked(found: re.Match[str]) -> str:
        target = page if found["to"] == "#" else found["to"].removesuffix(".html")
        if posixpath.basename(target) not in names:
            return found[0]
        said = '<span class="visually-hidden"> (on the path)</span>'
        span = f'<span class="on-path" title="on the path">{said}</span>'
        return found[0].removesuffix("</a>") + f"{span}</a>"

    links = r'<a class="[^"]*\breference internal\b[^"]*" href="(?P<to>[^"]*)">[^<]*</a>'
    return re.sub(links, marked, contents)


def add_lines(
    app: Sphinx, page: str, template: str, context: dict, doctree: Any
) -> None:
    """Mark the path in the contents; say under a chapter's title how long it takes."""
    path = steps_in(app.env)
    pages = {step.page for step in path}
    draw = context["generate_toctree_html"]
    context["generate_toctree_html"] = lambda *args, **kwargs: mark(
        str(draw(*args, **kwargs)), page, pages
    )
    if doctree is None or page not in app.env.toc_secnumbers:
        return
    said = about(*app.env.metadata[page]["minutes"])
    for step in path:
        if step.page == page:
            said += f'. <span class="together"><span class="on-path"></span>On the path: {step.place}</span>'
    line = f'</h1>\n<p class="reading-time">{said}.</p>'
    context["body"] = context["body"].replace("</h1>", line, 1)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_config_value("reading_path", [], "env", [list])
    app.add_node(reading_path)
    app.add_directive("reading-path", ReadingPath)
    app.add_css_file("front.css")
    app.add_js_file("front.js", loading_method="defer")
    app.connect("doctree-read", note_minutes)
    app.connect("env-updated", pages_with_path)
    app.connect(
        "doctree-resolved", fill, priority=400
    )  # before what a chapter uses
    app.connect("html-page-context", add_lines, priority=700)  # after `accessible`
    return {
        "version": "1",
        "env_version": 1,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
