"""The API reference names everything that the library offers."""

import importlib
from types import ModuleType

from public_names import modules, public
from sphinx.util.inventory import InventoryFile


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


def test_no_public_name_is_missing(site):
    names = documented(site)
    objects = [value for value in names.values() if value is not None]

    def is_there(name, value):
        if name in names:
            return True
        return not isinstance(value, str) and any(value is other for other in objects)

    missing = [name for name, value in public().items() if not is_there(name, value)]
    assert not missing, "add them, or their module, to book/api"


def test_the_pages_are_those_of_the_public_modules(site):
    pages = {name for name, value in documented(site).items() if isinstance(value, ModuleType)}
    assert pages == {module.__name__ for module in modules()} - {"fatelib"}
