"""The API reference names everything that the library offers."""

import importlib
import pkgutil
from types import ModuleType

from sphinx.util.inventory import InventoryFile

import fatelib


def documented(site):
    """Every name in the rendered reference, with the object it names."""
    with open(site / "objects.inv", "rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    return {
        name: resolve(name)
        for kind, entries in inventory.items()
        if kind.startswith("py:")
        for name in entries
    }


def resolve(name):
    """The object behind a dotted name; None for an attribute that only instances have."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            found = getattr(found, part, None)
        return found
    raise AssertionError(f"the reference names {name}, which does not exist")


def public():
    """Every public name: of the package and of the modules right below it."""
    modules = [fatelib] + [
        importlib.import_module(f"fatelib.{module.name}")
        for module in pkgutil.iter_modules(fatelib.__path__)
    ]
    for module in modules:
        for name in getattr(module, "__all__", []):
            yield f"{module.__name__}.{name}", getattr(module, name)


def test_no_public_name_is_missing(site):
    names = documented(site)
    objects = [value for value in names.values() if value is not None]

    def is_there(name, value):
        if name in names:
            return True
        return not isinstance(value, str) and any(value is other for other in objects)

    missing = [name for name, value in public() if not is_there(name, value)]
    assert not missing, "add them, or their module, to book/api"


def test_every_public_module_has_its_page(site):
    names = documented(site)
    modules = {
        f"fatelib.{module.name}"
        for module in pkgutil.iter_modules(fatelib.__path__)
        if hasattr(importlib.import_module(f"fatelib.{module.name}"), "__all__")
    }
    assert modules <= {name for name, value in names.items() if isinstance(value, ModuleType)}
