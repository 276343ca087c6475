"""When does a pretrained network beat training from scratch?

`fatelib` computes and simulates transfer learning in high-dimensional regression: closed-form
risks (`fatelib.theory`), deep linear networks and the gradient descent that trains them
(`fatelib.linear`), two-layer ReLU networks and their kernel (`fatelib.relu`), the transfer
protocols (`fatelib.transfer`) and phase diagrams over them (`fatelib.sweep`,
`fatelib.relu_sweep`), with tables of agreement (`fatelib.agreement`) and figures (`fatelib.plot`,
and `fatelib.widgets` where the extra ``widgets`` is installed).

Public is what ``__all__`` lists, here and in the modules right below; a module without one is the
inside of the library and may change. Importing it changes no global JAX setting.
"""

from importlib import import_module
from types import ModuleType

from fatelib import linear, relu, theory
from fatelib.agreement import agreement_table
from fatelib.linear import DeepLinear, pretrain, train
from fatelib.relu_sweep import relu_phase_diagram
from fatelib.sweep import phase_diagram
from fatelib.tasks import LinearTasks
from fatelib.transfer import Result, fine_tune, linear_transfer, scratch

__version__ = "0.1.0"

__all__ = [
    "DeepLinear",
    "LinearTasks",
    "Result",
    "agreement_table",
    "fine_tune",
    "linear",
    "linear_transfer",
    "phase_diagram",
    "pretrain",
    "relu",
    "relu_phase_diagram",
    "scratch",
    "theory",
    "train",
]


def __getattr__(name: str) -> ModuleType:
    # Matplotlib and the widgets load when first asked for: `import fatelib` stays quick.
    if name in ("plot", "widgets"):
        return import_module(f"fatelib.{name}")
    raise AttributeError(f"module 'fatelib' has no attribute {name!r}")
