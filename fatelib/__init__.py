"""When does a pretrained network beat training from scratch?

`fatelib` computes and simulates transfer learning in high-dimensional regression: closed-form
risks (`fatelib.theory`), deep linear networks and the gradient descent that trains them
(`fatelib.linear`), two-layer ReLU networks and their kernel (`fatelib.relu`), the transfer
protocols for any family of networks (`fatelib.transfer`, `fatelib.family`), grids of experiments
(`fatelib.sweep`) and phase diagrams on them, with tables of agreement (`fatelib.agreement`) and
figures (`fatelib.plot`, and `fatelib.widgets` where the extra ``widgets`` is installed). Of your
own network's features `diagnose` says what they are worth (`fatelib.probe`). All of these are there
after ``import fatelib``; what takes long to import loads when first asked for.

Public is what ``__all__`` lists, here and in the modules right below; a module without one is the
inside of the library and may change. Importing it changes no global JAX setting.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from fatelib import linear, relu, sweep, theory
from fatelib.agreement import agreement_table
from fatelib.linear import DeepLinear, LinearTasks, phase_diagram, pretrain, train
from fatelib.probe import diagnose
from fatelib.relu import relu_phase_diagram
from fatelib.transfer import Result, fine_tune, linear_transfer, scratch

__version__ = "0.1.0"

__all__ = [
    "DeepLinear",
    "LinearTasks",
    "Result",
    "agreement_table",
    "diagnose",
    "fine_tune",
    "linear",
    "linear_transfer",
    "phase_diagram",
    "pretrain",
    "relu",
    "relu_phase_diagram",
    "scratch",
    "sweep",
    "theory",
    "train",
]


def _modules() -> set[str]:
    """The modules right below, loaded or not."""
    return {name for _, name, _ in iter_modules(__path__) if not name.startswith("_")}


def __getattr__(name: str) -> ModuleType:
    # Matplotlib and the widgets load when first asked for: `import fatelib` stays quick.
    if name in _modules():
        return import_module(f"fatelib.{name}")
    raise AttributeError(f"module 'fatelib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_modules()})
