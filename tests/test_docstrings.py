"""Every public name explains itself: arguments, result, errors, source and a runnable example."""

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import fatelib

# What sweeps and training are made of: met through the functions that use it.
INSIDE = (
    "fatelib.experiments.",
    "fatelib.iteration.",
    "fatelib.store.",
    "fatelib.relu_experiments.",
)
# Classes whose example is that of the function that returns them, and a protocol.
RETURNED = {
    *("Result", "History", "Agreement", "Comparison", "FeatureSpectrum", "Projection", "Explorer"),
    *("NullSpace", "Sampler"),
}


def public():
    """Every public function, class and method, by its path."""
    modules = [fatelib] + [
        importlib.import_module(f"fatelib.{module.name}")
        for module in pkgutil.iter_modules(fatelib.__path__)
    ]
    found, seen = {}, set()
    for module in modules:
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            if isinstance(value, ModuleType) or not callable(value) or id(value) in seen:
                continue
            seen.add(id(value))
            path = f"{module.__name__}.{name}"
            found[path] = value
            for method, member in vars(value).items() if inspect.isclass(value) else ():
                member = getattr(member, "__func__", member)
                if inspect.isfunction(member) and not method.startswith("_"):
                    found[f"{path}.{method}"] = member
    return found


PUBLIC = public()


def sections(path, value):
    """What the docstring must hold."""
    doc, inside = inspect.getdoc(value), path.startswith(INSIDE)
    if inspect.isclass(value):
        return [] if inside or value.__name__ in RETURNED else ["Example:\n"]
    signature = inspect.signature(value)
    names = [name for name in signature.parameters if name not in ("self", "cls")]
    if not names or (inside and path.count(".") > 2):
        return []  # one line says it all
    needed = ["Args:\n", *(f"{name}: " for name in names)]
    if signature.return_annotation is not None:
        needed.append("Returns:\n")
    if not inside:
        needed.append("    >>> ")
    if ".. math::" in doc:
        needed += ["Source:\n", "Raises:\n"]
    return needed


@pytest.mark.parametrize("path", PUBLIC)
def test_docstrings_are_complete(path):
    doc = inspect.getdoc(PUBLIC[path])
    assert doc, "say what it is"
    missing = [section for section in sections(path, PUBLIC[path]) if section not in doc]
    assert not missing
