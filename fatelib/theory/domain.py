"""What every argument of the theory may be, said once: a name means the same everywhere."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fatelib.arguments import ANGLE, check

_AT_LEAST_0 = (lambda x: (x >= 0) & np.isfinite(x), "a finite number >= 0")
_ABOVE_0 = (lambda x: (x > 0) & np.isfinite(x), "a finite number > 0")
# Numbers that are squared, and squared again: float32 holds the fourth power of the largest.
_SQUARED = (lambda x: (x >= 0) & (x <= 1e9), "a number in [0, 1e9]")
_AT_LEAST_1 = (lambda x: (x >= 1) & np.isfinite(x), "a finite number >= 1")

_DOMAINS: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "n": _AT_LEAST_1,
    "k": _AT_LEAST_1,
    "gamma": _ABOVE_0,
    # Risks of any noise are divided by it: float32 holds the ratio.
    "source_gamma": (lambda x: x >= 1e-15, "a number >= 1e-15 (inf: unlimited source data)"),
    "theta": ANGLE,
    "sigma": _SQUARED,
    "source_sigma": _SQUARED,
    "noise": _SQUARED,
    "residual": _AT_LEAST_0,
    "signal": _AT_LEAST_0,
    "ridge": _SQUARED,
    "distance2": _SQUARED,
    "eigenvalues": _AT_LEAST_0,
    "coefficients2": _AT_LEAST_0,
    "depth": (lambda x: x >= 1, "a number >= 1 (inf is allowed)"),
    "interpolator_norm2": _AT_LEAST_0,
    "source_norm2": _ABOVE_0,
    "seen_norm2": _ABOVE_0,
    "time": _AT_LEAST_0,
    "initial": (lambda x: (x > 0) & (x < 1), "a number in (0, 1)"),
    "level": (lambda x: (x > 0) & (x < 1), "a number in (0, 1)"),
    "strength": _AT_LEAST_0,
}

# Their last axis, one entry per feature, is no axis of the result.
_SPECTRA = {"eigenvalues", "coefficients2"}


def check_domain(**arguments: Any) -> None:
    """Raise ``ValueError`` unless every argument lies in the domain that its name stands for.

    Args:
        **arguments: Numbers or arrays, by the name that the caller knows them by.

    Raises:
        TypeError: An argument is not numeric.
        ValueError: An argument is impossible; the message has its name and its value. Or their
            shapes do not broadcast.

    Example:
        >>> check_domain(gamma=0.5, sigma=-0.2)
        Traceback (most recent call last):
        ValueError: sigma must be a number in [0, 1e9]; got -0.2
    """
    for name, value in arguments.items():
        check(name, value, *_DOMAINS[name])
    shapes = {name: np.shape(value) for name, value in arguments.items()}
    for name in _SPECTRA & shapes.keys():
        if shapes[name][-1:] in ((), (0,)):
            raise ValueError(
                f"{name} must have one entry per eigenvalue along its last axis; got shape "
                f"{shapes[name]}"
            )
        shapes[name] = shapes[name][:-1]
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        got = ", ".join(map(str, shapes.values()))
        raise ValueError(f"{', '.join(shapes)} must broadcast to one shape; got {got}") from None
