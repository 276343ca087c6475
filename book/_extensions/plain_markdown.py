"""From the book's MyST Markdown to the Markdown that Jupyter and Colab show.

Directives become quotations, folds or bold titles, roles become readable text with links to the
book, equations keep their numbers. A directive or role that is not known here is reported, never passed on
raw; a label that leads nowhere is left to Sphinx, which reports it for the page.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

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

OPEN = re.compile(
    r"^(?P<indent>\s*)(?P<fence>`{3,}|:{3,}|~{3,})\{(?P<name>[\w:+.-]+)\}(?P<rest>.*)$"
)
CODE = re.compile(r"^\s*(?P<fence>`{3,}|~{3,})")
TARGET = re.compile(r"^\([\w:.-]+\)=\s*$")
END_OF_MATH = re.compile(r"\$\$\s*(?:\((?P<label>[\w:.-]+)\))?\s*$")
ROLE = re.compile(
    r"\{(?P<name>[\w:+.-]+)\}(?P<ticks>`+)(?P<text>.+?)(?P=ticks)", re.DOTALL
)
# A formula between single dollars, or code, in which dollars mean nothing. It does not run on into
# the next item of a list.
FORMULA = re.compile(
    r"(?P<ticks>`+).+?(?P=ticks)"
    r"|(?<![\\$])\$(?:[^$\\\n]|\\.|\n(?!\s*(?:[-*+]|\d+[.)])\s))+\$",
    re.DOTALL,
)
DISPLAY = re.compile(r"^\$\$\n.+?\n\$\$$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
EXPLICIT = re.compile(r"^(?P<title>.+?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)


@dataclass
class References:
    """What a chapter's references lead to.

    Attributes:
        titles: Readable text for each label, document, and name of the library.
        urls: Where each of them is in the published book; empty when it has no address.
        equations: The number of each equation's label, with its brackets.
        citations: Authors, year and address for each key.
        values: Glued values, as the text that `repr` gives.
    """

    titles: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    equations: dict[str, str] = field(default_factory=dict)
    citations: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)


def convert(
    text: str, references: References, report: Callable[[str], None]
) -> str:
    """Convert one text cell.

    Args:
        text: MyST Markdown.
        references: What its references lead to.
        report: Called with a message for each thing that has no plain form.
    """
    return _Converter(references, report).blocks(text.splitlines()).strip("\n")


class _Converter:
    def __init__(self, references: References, report: Callable[[str], None]):
        self.references = references
        self.report = report

    def blocks(self, lines: list[str]) -> str:
        """Convert lines: fences, displayed mathematics, labels; the rest as paragraphs."""
        done: list[str] = []
        paragraph: list[str] = []

        def flush() -> None:
            if paragraph:
                done.append(self.inline("\n".join(paragraph)))
                paragraph.clear()

        i = 0
        while i < len(lines):
            line = lines[i]
            directive, code = OPEN.match(line), CODE.match(line)
            if directive or code:
                flush()
                end = _end_of_fence(lines, i, (directive or code)["fence"])  # type: ignore[index]
                if directive:
                    body = [
                        text.removeprefix(directive["indent"])
                        for text in lines[i + 1 : end]
                    ]
                    done.append(
                        self.directive(
                            directive["name"], directive["rest"].strip(), body
                        )
                    )
                else:
                    done.extend(lines[i : end + 1])
                i = end
            elif line.lstrip().startswith("$$"):
                flush()
                end = i
                while not (
                    END_OF_MATH.search(lines[end])
                    and (end > i or line.count("$$") > 1)
                ):
                    end += 1
                    if end == len(lines):
                        self.report("displayed mathematics without its closing $$")
                        return "\n".join([*done, *lines[i:]])
                label = END_OF_MATH.search(lines[end])["label"]  # type: ignore[index]
                body = "\n".join(lines[i : end + 1])
                done.append(
                    self.mathematics(
                        body[: body.rindex("$$")].split("$$", 1)[1], label
                    )
                )
                i = end
            elif TARGET.match(line) or line.startswith("%"):
                flush()
            elif line.strip():
                paragraph.append(line)
            else:
                flush()
                done.append("")
            i += 1
        flush()
        return re.sub(r"\n{3,}", "\n\n", "\n".join(done))

    def mathematics(self, body: str, label: str | None) -> str:
        """Display mathematics, with its number and without comments, which would hide that."""
        number = self.references.equations.get(label or "", "")
        tag = rf" \tag{{{number.strip('()')}}}" if number else ""
        lines = [COMMENT.sub(r"\1", line).rstrip() for line in body.splitlines()]
        body = "\n".join(line for line in lines if line).strip()
        return f"$$\n{body}{tag}\n$$"

    def directive(self, name: str, argument: str, lines: list[str]) -> str:
        """Convert one directive."""
        options, lines = _options(lines)
        body = self.blocks(lines).strip("\n")
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
        text = FORMULA.sub(
            lambda match: (
                match[0] if match["ticks"] else " ".join(match[0].split())
            ),
            text,
        )
        return ROLE.sub(
            lambda match: self.role(match["name"], " ".join(match["text"].split())),
            text,
        )

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
        """Link to the published book, if there is one."""
        is_url = target.startswith(("http://", "https://"))
        url = target if is_url else self.references.urls.get(target, "")
        return f"[{title}]({url})" if url else title


def _end_of_fence(lines: list[str], start: int, fence: str) -> int:
    close = re.compile(rf"^\s*{fence[0]}{{{len(fence)},}}\s*$")
    return next(
        (i for i in range(start + 1, len(lines)) if close.match(lines[i])),
        len(lines),
    )


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
