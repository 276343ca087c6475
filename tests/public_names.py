"""Which names are public: what is tested of all of them is tested of a new one too.

`__all__` says it, in the package and in the modules right below it. A module without one is the
inside of the library: it is in no reference and may change.
"""

import importlib
import inspect
import pkgutil
from types import ModuleType

import fatelib

# What the library makes and hands out, or asks for; users read them, and functions return them.
HANDED_OUT = {
    *("Result", "History", "FeatureSpectrum", "Projection", "Agreement", "Comparison", "Figure"),
    *("Explorer", "NullSpace", "Bidiagonal", "Sampler", "Interval", "Report"),
}
# What a family of networks subclasses: its methods are tested of the families that fatelib has.
SUBCLASSED = {"Network", "Tasks", "Regression"}
# What the protocols call of a family, with data that they have read and options that they have
# checked.
HOOKS = {"loss", "regression", "train"}


def modules():
    """Every public module."""
    below = [
        importlib.import_module(f"fatelib.{module.name}")
        for module in pkgutil.iter_modules(fatelib.__path__)
    ]
    return [fatelib, *(module for module in below if hasattr(module, "__all__"))]


def public():
    """Every public name -> what it names."""
    return {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in modules()
        for name in module.__all__
    }


def of_users(value):
    """Whether users call this, and not only what subclasses it or a protocol."""
    owner, _, method = value.__qualname__.rpartition(".")
    return not ({owner, method} & SUBCLASSED or (owner and method in HOOKS))


def callables():
    """Every public function, class and method, each once; those of a class as functions."""
    found, seen = {}, set()
    for path, value in public().items():
        if isinstance(value, ModuleType) or not callable(value) or id(value) in seen:
            continue
        seen.add(id(value))
        found[path] = value
        for name, member in vars(value).items() if inspect.isclass(value) else ():
            member = getattr(member, "__func__", member)
            if inspect.isfunction(member) and not name.startswith("_"):
                found[f"{path}.{name}"] = member
    return found
