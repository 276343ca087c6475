"""What every argument of the theory may be, said once: a name means the same everywhere."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

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
    "flip": (lambda x: (x >= 0) & (x < 0.5), "a number in [0, 0.5)"),
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
    "singular_values": _SQUARED,
    "weight_decay": _SQUARED,
    "dropout": (lambda x: (x >= 0) & (x < 1), "a number in [0, 1)"),
    "width": _AT_LEAST_1,
    "scale": (lambda x: (x > 0) & (x <= 1e9), "a number in (0, 1e9]"),
}

# Their last axis, one entry per feature, is none of the others' axes.
_SPECTRA = {
    "eigenvalues": "eigenvalue",
    "coefficients2": "eigenvalue",
    "singular_values": "singular value",
}

# What users compute by a decomposition or a difference, so that rounding may leave it below 0 ->
# the arguments that it is small beside; none: the squared norm of the target, 1.
_ROUNDED = {
    "eigenvalues": ("eigenvalues",),
    "coefficients2": ("coefficients2",),
    "residual": ("signal", "coefficients2"),
    "signal": ("residual",),
    "distance2": (),
    "interpolator_norm2": ("source_norm2",),
}


def check_domain(**arguments: Any) -> None:
    """Raise ``ValueError`` unless every argument lies in the domain that its name stands for.

    What users compute by a decomposition or a difference may be below 0 by rounding: by 8 sqrt(k)
    rounding errors of its type (without one, of that which JAX computes in), times the largest of
    the k numbers that it is small beside. `clear_rounding` makes 0 of it.

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
        rounded = name in _ROUNDED
        check(name, _cleared(name, arguments) if rounded else value, *_DOMAINS[name])
    shapes = {name: np.shape(value) for name, value in arguments.items()}
    for name in _SPECTRA.keys() & shapes.keys():
        if shapes[name][-1:] in ((), (0,)):
            raise ValueError(
                f"{name} must have one entry per {_SPECTRA[name]} along its last axis; got shape "
                f"{shapes[name]}"
            )
        shapes[name] = shapes[name][:-1]
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        got = ", ".join(map(str, shapes.values()))
        raise ValueError(f"{', '.join(shapes)} must broadcast to one shape; got {got}") from None


def _cleared(name: str, arguments: Mapping[str, Any]) -> Any:
    """Return an argument with 0 where it is below 0 by rounding alone, and else as it is."""
    given = arguments[name]
    others = [arguments[other] for other in _ROUNDED[name] if other in arguments]
    if any(isinstance(number, jax.core.Tracer) for number in (given, *others)):
        return given
    try:
        value, *beside = map(np.asarray, (given, *others))
        count = max([1, *(v.shape[-1] for v in beside if v.ndim and "coefficients2" in arguments)])
        if name in _SPECTRA:
            largest = np.abs(value).max(-1, keepdims=True)
        else:  # a difference of sums, of squares that make up at most the target
            sums = [np.abs(v).sum(-1) if v.ndim and count > 1 else np.abs(v) for v in beside]
            largest = np.max([np.max(total) for total in sums] or [1.0]) or 1.0
        typed = hasattr(given, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)
        epsilon = float(jnp.finfo(value.dtype if typed else jnp.result_type(float)).eps)
        rounding = (value < 0) & (value >= -8 * count**0.5 * epsilon * largest)
    except (AttributeError, IndexError, TypeError, ValueError):
        return given  # `check` says what is wrong with it
    return np.where(rounding, value.dtype.type(0), value)


def clear_rounding(x: Array) -> Array:
    """Set to 0 what `check_domain` lets pass below it; at 0 itself the slope stays 1."""
    return jnp.where(x < 0, 0, x)
