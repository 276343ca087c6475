"""Every public name explains itself: arguments, result, errors, equation, source and an example."""

import inspect
import re
from typing import ClassVar, get_origin

import pytest
from public_names import HANDED_OUT, callables

from fatelib.theory.domain import _DOMAINS, _SQUARED

PUBLIC = callables()

# Views, grids of anything and the command: they compute no formula of their own.
WITHOUT_EQUATION = HANDED_OUT | {
    *("format_angle", "angle_axis", "slices", "explore", "sweep", "compute", "main", "solve"),
    "fatelib.plot.phase_diagram",
    # What a report holds, whose equations are those of `diagnose`.
    *(
        "error",
        "error_rate",
        "credit",
        "ratio",
        "samples_to",
        "spectrum",
        "summary",
        "plot",
        "save",
        "load",
    ),
    "learning_curves",
    *("stream", "instance_keys", "standard_error", "with_transferability"),
    # What a family offers to protocols.
    *("fatelib.family.Tasks", "loss", "regression", "new_network", "read_data", "check"),
    *("fatelib.LinearTasks.train", "fatelib.relu.ReluTasks.train", "Network", "Regression"),
}
# A shape in brackets, or that there is none to give.
SHAPE = re.compile(
    r"\([^()]*(, ?|\.\.\.)[^()]*\)|\b[Nn]umber|\bAs in |\binteger|truth value|likewise"
)


def sections(doc):
    """The sections of a docstring by their titles, and what comes before the first."""
    parts = re.split(r"^(\w+):\n(?=    )", doc, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(section):
    """What a section says of each name."""
    parts = re.split(r"^    (\*{0,2}\w+): ", section, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def is_array(annotation):
    return re.search(r"Array\b|ndarray", str(annotation).replace("DataArray", "")) is not None


def lacks(path, value):
    """What the docstring should hold and does not."""
    doc = inspect.getdoc(value) or ""
    found, name = sections(doc), value.__name__
    if inspect.isclass(value):
        annotations, described = value.__annotations__, entries(found.get("Attributes", ""))
        annotations = {
            k: v
            for k, v in annotations.items()
            if not (k.startswith("_") or get_origin(v) is ClassVar)
        }
        needed, result = {"Attributes"} if annotations else set(), None
    else:
        signature = inspect.signature(value)
        described = entries(found.get("Args", ""))
        annotations = {
            "*" * (p.kind is p.VAR_POSITIONAL)
            + "**" * (p.kind is p.VAR_KEYWORD)
            + p.name: p.annotation
            for p in signature.parameters.values()
            if p.name not in ("self", "cls")
        }
        needed, result = {"Args", "Raises"} if annotations else set(), signature.return_annotation
    for argument, annotation in annotations.items():
        if argument not in described:
            yield f"{argument}: what is it?"
        elif is_array(annotation) and not SHAPE.search(described[argument]):
            yield f"{argument}: its shape, or that it is a number"
        elif argument.startswith("theta") and "radians" not in described[argument]:
            yield f"{argument}: its unit"
        elif (
            path.startswith("fatelib.theory.")
            and _DOMAINS.get(argument) is _SQUARED
            and "1e9" not in described[argument]
        ):
            yield f"{argument}: its bound"
    if result is not None and result is not inspect.Signature.empty:
        needed |= {"Returns"} if annotations else set()
        text = found.get("Returns", "") if annotations else doc
        if is_array(result) and not re.search(SHAPE.pattern + "|shape", text):
            yield "the shape of the result"
    if getattr(value, "__isabstractmethod__", False):  # its families have examples
        yield from needed - found.keys()
        return
    needed.add("Example")
    if not {name, path} & WITHOUT_EQUATION:
        if "math::" not in doc and ":math:" not in doc:
            yield "the equation"
        # A method without arguments takes its class's.
        needed |= {"Source"} if annotations else set()
    if "Example" in found and ">>>" not in found["Example"]:
        yield "an example that runs"
    yield from needed - found.keys()


@pytest.mark.parametrize("path", PUBLIC)
def test_docstrings_are_complete(path):
    assert not list(lacks(path, PUBLIC[path]))
