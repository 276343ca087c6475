"""Closed forms: pure functions that broadcast, compile, batch and differentiate.

What is squared on the way is at most 1e9: float32 holds the fourth power of that and not much more.
"""

from fatelib.theory.classification import (
    fine_tuning_error_break_even,
    fine_tuning_error_rate,
    linear_transfer_error_rate,
    scratch_error_rate,
)
from fatelib.theory.dynamics import aligned_strength, escape_time, strength_growth_rate
from fatelib.theory.filter import pretraining_filter
from fatelib.theory.fine_tuning import (
    fine_tuning_break_even,
    fine_tuning_scale,
    fine_tuning_scale_from_norms,
    fine_tuning_transferability,
)
from fatelib.theory.least_squares import (
    effective_ridge,
    interpolator_norm2,
    least_squares_risk,
    optimal_scratch_risk,
    regularised_risk,
    ridge_risk,
    scratch_boundary,
    scratch_risk,
)
from fatelib.theory.linear_transfer import (
    learned_angle,
    linear_transfer_risk,
    linear_transferability,
    negative_transfer_interval,
    negative_transfer_onset,
)

__all__ = [
    "aligned_strength",
    "effective_ridge",
    "escape_time",
    "fine_tuning_break_even",
    "fine_tuning_error_break_even",
    "fine_tuning_error_rate",
    "fine_tuning_scale",
    "fine_tuning_scale_from_norms",
    "fine_tuning_transferability",
    "interpolator_norm2",
    "learned_angle",
    "least_squares_risk",
    "linear_transfer_error_rate",
    "linear_transfer_risk",
    "linear_transferability",
    "negative_transfer_interval",
    "negative_transfer_onset",
    "optimal_scratch_risk",
    "pretraining_filter",
    "regularised_risk",
    "ridge_risk",
    "scratch_boundary",
    "scratch_error_rate",
    "scratch_risk",
    "strength_growth_rate",
]
