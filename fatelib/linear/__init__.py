"""Deep linear networks: tasks, the exact ways to train them, and their phase diagrams."""

from fatelib.descent.loop import History
from fatelib.linear.bidiagonal import Bidiagonal
from fatelib.linear.diagram import phase_diagram
from fatelib.linear.network import DeepLinear, alignment, effective_rank, truncate
from fatelib.linear.reduced import reduced_tasks
from fatelib.linear.tasks import LinearTasks, Sampler
from fatelib.linear.training import pretrain, train

__all__ = [
    "Bidiagonal",
    "DeepLinear",
    "History",
    "LinearTasks",
    "Sampler",
    "alignment",
    "effective_rank",
    "phase_diagram",
    "pretrain",
    "reduced_tasks",
    "train",
    "truncate",
]
