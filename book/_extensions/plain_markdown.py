"""From the book's MyST Markdown to the Markdown that Jupyter and Colab show.

Directives become quotations, folds or bold titles, roles become readable text with links to the
book, equations keep their numbers. MyST's own parser says where they are, and all else stays as it
is written. A directive or role that is not known here is reported, never passed on raw; a label
that leads nowhere is left to Sphinx, which reports it for the page.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from mdit_py_plugins.dollarmath.index import math_block_dollar, math_inline_dollar
from mdit_py_plugins.myst_role.index import myst_role
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

ADMONITIONS = {
    "note",
    "tip",
    "hint",
    "warning",
    "caution",
    "important",
    "attention",
    "seealso",
}
PROOFS = {
    "algorithm", "assumption", "axiom", "conjecture", "corollary", "criterion", "definition",
    "example", "lemma", "notation", "observation", "property", "proposition", "remark", "theorem",
}  # fmt: skip
TRANSPARENT = {"grid", "grid-item", "div"}
DROPPED = {"tableofcontents", "toctree", "contents"}

DIRECTIVE = re.compile(r"\{([^\s}]+)\}\s*(.*)")
DISPLAY = re.compile(r"^\$\$\n.+?\n\$\$$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
EXPLICIT = re.compile(r"^(?P<title>.+?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)


def _with_span(rule: Callable) -> Callable:
    """Note where in its paragraph the token of a rule begins and ends."""

    def spanned(state: StateInline, silent: bool) -> bool:
        start, count = state.pos, len(state.tokens)
        found = rule(state, silent)
        if len(state.tokens) > count:
            state.tokens[-1].meta["span"] = slice(start, state.pos)
        return found

    return spanned


def _displayed(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """As the plugin's rule, which ignores `silent`: asked whether a paragraph ends, add no token."""
    line, count = state.line, len(state.tokens)
    found = math_block_dollar()(state, start, end, silent)
    if silent:
        state.line = line
        del state.tokens[count:]
    return found


# As MyST reads the pages, except that displayed mathematics may follow a line of text and that
# nothing within a paragraph counts but roles and formulas, and what hides them.
EXTENSIONS = ["amsmath", "colon_fence", "deflist", "dollarmath", "tasklist"]
PARSER = create_md_parser(
    MdParserConfig(enable_extensions=EXTENSIONS), RendererHTML
)
PARSER.disable("front_matter")
PARSER.block.ruler.at("math_block", _displayed, {"alt": ["paragraph"]})
PARSER.inline.ruler.at("math_inline", _with_span(math_inline_dollar()))
PARSER.inline.ruler.at("myst_role", _with_span(myst_role))
PARSER.inline.ruler.enableOnly(["math_inline", "myst_role", "escape", "backticks"])


@dataclass
class References:
    """What a chapter's references lead to, and what else its build has found.

    Attributes:
        titles: Readable text for each label, document, and name of the library.
        urls: Where each of them is in the published book; when that has no address, the notebook
            of the chapter that it is in.
        equations: The number of each equation's label, with its brackets.
        citations: Authors, year and address for each key.
        values: Glued values, as the text that `repr` gives.
        seconds: How long the cells of the chapter took.
    """

    titles: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    equations: dict[str, str] = field(default_factory=dict)
    citations: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None


def convert(
    text: str, references: References, report: Callable[[str], None]
) -> str:
    """Convert one text cell.

    Args:
        text: MyST Markdown.
        references: What its references lead to.
        report: Called with a message for each thing that has no plain form.
    """
    return _Converter(references, report).blocks(text).strip("\n")


class _Converter:
    def __init__(self, references: References, report: Callable[[str], None]):
        self.references = references
        self.report = report

    def blocks(self, text: str) -> str:
        """Convert fences, displayed mathematics, labels and paragraphs; keep the rest as it is."""
        lines, done, at = text.splitlines(), [], 0
        for token in PARSER.parse(text):
            if not token.map or token.map[0] < at or token.nesting:
                continue
            start, end = token.map
            source = "\n".join(lines[start:end])
            done += lines[at:start]
            at = end
            if token.type.startswith("math_block"):
                done.append(self.mathematics(token.content, token.info))
            elif token.type == "inline":
                done.append(self.inline(source))
            elif directive := DIRECTIVE.match(token.info.strip()):
                name, argument = directive.groups()
                done.append(self.directive(name, argument, token.content))
            elif token.type not in {"myst_target", "myst_line_comment"}:
                done.append(source)
        return re.sub(r"\n{3,}", "\n\n", "\n".join([*done, *lines[at:]]))

    def mathematics(self, body: str, label: str | None) -> str:
        """Display mathematics, with its number and without comments, which would hide that."""
        number = self.references.equations.get(label or "", "")
        tag = rf" \tag{{{number.strip('()')}}}" if number else ""
        lines = [COMMENT.sub(r"\1", line).rstrip() for line in body.splitlines()]
        body = "\n".join(line for line in lines if line).strip()
        return f"$$\n{body}{tag}\n$$"

    def directive(self, name: str, argument: str, content: str) -> str:
        """Convert one directive."""
        options, lines = _options(content.splitlines())
        body = self.blocks("\n".join(lines)).strip("\n")
        title = self.inline(argument)
        label = options.get("label") or options.get("name") or ""
        kind = name.removeprefix("prf:")
        if name == "admonition":
            return _quote(f"**{title}**\n\n{body}")
        if name in ADMONITIONS:
            heading = "See also" if name == "seealso" else name.capitalize()
            return _quote(f"**{heading}.** {title} {body}".replace("  ", " "))
        if name in {"margin", "sidebar"}:
            return _quote(f"**{title}**\n\n{body}" if title else body)
        if name == "prf:proof":
            return f"*Proof.* {body} $\\square$"
        if name.startswith("prf:") and kind in PROOFS:
            return _quote(
                f"{self.numbered(label, kind.capitalize(), title)} {body}"
            )
        if kind in {"exercise", "exercise-start"}:
            return f"{self.numbered(label, 'Exercise', title)} {body}".rstrip()
        if kind in {"solution", "solution-start"}:
            heading = f"Solution to {self.references.titles.get(argument, 'the exercise')}"
            return (
                _fold(heading, body)
                if kind == "solution"
                else f"**{heading}.** {body}".rstrip()
            )
        if kind in {"exercise-end", "solution-end"} or name in DROPPED:
            return ""
        if name == "dropdown":
            return _fold(title, body)
        if name == "math":
            return self.mathematics("\n".join(lines), label)
        if name in {"code", "code-block"}:
            return "\n".join([f"```{argument}", *lines, "```"])
        if name == "table":
            return f"{self.numbered(label, 'Table', '')} {title}\n\n{body}"
        if name in {"card", "grid-item-card"}:
            link = options.get("link", "")
            heading = self.link(title, link) if link else title
            return f"**{heading}**\n\n{body}"
        if name in TRANSPARENT:
            return body
        self.report(f"directive {{{name}}} has no plain form")
        return body

    def numbered(self, label: str, kind: str, title: str) -> str:
        """Give the bold heading of a numbered box, as in `Theorem 1.2 (Title).`"""
        heading = self.references.titles.get(label, kind)
        return f"**{heading} ({title}).**" if title else f"**{heading}.**"

    def inline(self, text: str) -> str:
        """Replace the roles in a paragraph; a formula in it stays on one line."""
        if text.lstrip().startswith("$$"):
            self.report("displayed mathematics without its closing $$")
        done, at = "", 0
        for token in PARSER.parseInline(text)[0].children:
            if span := token.meta.get("span"):
                role = token.meta.get("name")
                words = " ".join((token.content if role else text[span]).split())
                done += text[at : span.start]
                done += self.role(role, words) if role else words
                at = span.stop
        return done + text[at:]

    def role(self, name: str, text: str) -> str:
        """Convert one role."""
        references = self.references
        explicit = EXPLICIT.match(text)
        title, target = (
            (explicit["title"], explicit["target"]) if explicit else ("", text)
        )
        if name.startswith("cite"):
            return self.citation(name, text)
        if name == "eq":
            return self.link(references.equations.get(target, target), target)
        if name in {"ref", "numref", "doc", "prf:ref"}:
            return self.link(title or references.titles.get(target, target), target)
        if name.startswith("py:"):
            shown = title or (
                target[1:].rpartition(".")[2] if target[0] == "~" else target
            )
            return self.link(f"`{shown}`", target.lstrip("~"))
        if name == "math":
            return f"${text}$"
        if name == "abbr":
            return title or text
        if name in {"glue:text", "glue:md"}:
            return self.value(text)
        self.report(f"role {{{name}}} has no plain form")
        return text

    def citation(self, name: str, text: str) -> str:
        """Write authors and year, as the book does, with a link to the work itself."""
        parts = []
        for key in text.split(","):
            authors, year, url = self.references.citations.get(
                key.strip(), (key, "?", "")
            )
            part = (
                f"{authors} ({year})" if name == "cite:t" else f"{authors}, {year}"
            )
            parts.append(f"[{part}]({url})" if url else part)
        return ", ".join(parts) if name == "cite:t" else f"({'; '.join(parts)})"

    def value(self, text: str) -> str:
        """Write a glued value, as the book does."""
        key, _, spec = text.partition(":")
        value = self.references.values.get(key)
        if value is None:
            return text
        if spec:
            return format(int(value) if spec.endswith("d") else float(value), spec)
        return value[1:-1] if value[:1] in {"'", '"'} else value

    def link(self, title: str, target: str) -> str:
        """Link to where a label is, if that is known."""
        is_url = target.startswith(("http://", "https://"))
        url = target if is_url else self.references.urls.get(target, "")
        return f"[{title}]({url})" if url else title


def _options(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    options = {}
    for i, line in enumerate(lines):
        option = re.match(r"^:([\w-]+):\s*(.*)$", line)
        if not option:
            return options, lines[i:]
        options[option[1]] = option[2]
    return options, []


def _quote(text: str) -> str:
    # Jupyter reads formulas before it reads quotations: a mark at the start of a line inside a
    # formula would become part of it, "greater than".
    text = DISPLAY.sub(lambda match: " ".join(match[0].split()), text)
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _fold(title: str, body: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"
