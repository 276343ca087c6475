"""Closed forms: pure functions that broadcast, compile, batch and differentiate."""

from fatelib.theory.least_squares import (
    effective_ridge,
    interpolator_norm2,
    least_squares_risk,
    optimal_scratch_risk,
    regularised_risk,
    ridge_risk,
    scratch_risk,
)

__all__ = [
    "effective_ridge",
    "interpolator_norm2",
    "least_squares_risk",
    "optimal_scratch_risk",
    "regularised_risk",
    "ridge_risk",
    "scratch_risk",
]
