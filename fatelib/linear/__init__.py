"""Deep linear networks and the exact ways to train them."""

from fatelib.iteration import History
from fatelib.linear.bidiagonal import Bidiagonal, reduced_tasks
from fatelib.linear.network import DeepLinear, alignment, effective_rank, truncate
from fatelib.linear.training import pretrain, train

__all__ = [
    "Bidiagonal",
    "DeepLinear",
    "History",
    "alignment",
    "effective_rank",
    "pretrain",
    "reduced_tasks",
    "train",
    "truncate",
]
