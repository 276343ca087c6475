"""Deep linear networks and the exact ways to train them."""

from fatelib.linear.descent import pretrain, train
from fatelib.linear.iteration import History
from fatelib.linear.network import DeepLinear, alignment, effective_rank, truncate

__all__ = [
    "DeepLinear",
    "History",
    "alignment",
    "effective_rank",
    "pretrain",
    "train",
    "truncate",
]
