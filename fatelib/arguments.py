"""How public functions read their arguments: one check, one promotion to floating point.

One rule for the whole library: NaN is no value of any argument, and infinity is one only where its
docstring says what it means. Both are refused, with the argument's name, before anything is
computed; a NaN in a result has a meaning that the docstring gives. Values that JAX is tracing
(inside `jit`, `vmap`, `grad`) have no number yet and pass: what impossible ones give, NaN or a
number, means nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# What an angle between two tasks may be: `check("theta", theta, *ANGLE)`. The float32 nearest to
# pi lies above pi, and both must count as pi.
ANGLE = (lambda t: (t >= 0) & (t <= float(np.float32(np.pi))), "angles in radians, in [0, pi]")


AT_LEAST_0 = (lambda x: (x >= 0) & (x < np.inf), "a number >= 0")
ABOVE_0 = (lambda x: (x > 0) & (x < np.inf), "a number > 0")
FINITE = (np.isfinite, "finite")
# What float32 can square and sum.
_SQUARED = (lambda x: np.abs(x) <= 1e15, "at most 1e15 in size, as it is squared")
# JAX counts in 32 bits.
_COUNTABLE = 2**31


def check(
    name: str,
    value: Any,
    valid: Callable[[np.ndarray], Any],
    accepted: str,
    shape: tuple[int, ...] | None = None,
) -> None:
    """Raise unless `value` is numeric and `valid` everywhere.

    Args:
        name: The argument's name, as the caller wrote it.
        value: A number or an array of numbers.
        valid: Maps the value as a floating-point array to booleans; must be false at NaN.
        accepted: Completes the sentence "<name> must be ...".
        shape: What the shape must be, traced or not: ``()`` for one number.

    Raises:
        TypeError: `value` is not numeric.
        ValueError: `value` is not `valid` somewhere; the message shows the first such entry. Or it
            has another shape.

    Example:
        >>> check("sigma", -1.0, lambda s: s >= 0, "a number >= 0")
        Traceback (most recent call last):
        ValueError: sigma must be a number >= 0; got -1.0
    """
    if isinstance(value, jax.core.Tracer):
        array = None
        found = value.shape
    else:
        try:
            array = np.asarray(value)
            # Text that reads as a number is not one; bfloat16 is of no kind that NumPy knows.
            if array.dtype.kind not in "biuf" and not jnp.issubdtype(array.dtype, jnp.floating):
                raise TypeError
            wide = array.dtype.itemsize > 4
            given, array = array, array.astype(float, copy=False)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(f"{name} must be {accepted}; got {brief(value)}") from None
        found = array.shape
    if shape is not None and found != shape:
        kind = "one number" if shape == () else str(shape)
        raise ValueError(f"{name} must be {kind}; got {'shape ' * (shape == ())}{found}")
    if array is not None:
        bad = ~np.asarray(valid(array), dtype=bool)
        if wide:  # numbers that the type computed in cannot hold are no numbers either
            largest = float(jnp.finfo(jnp.result_type(float)).max)
            bad |= (np.abs(array) > largest) & np.isfinite(array)
        if bad.any():
            raise ValueError(f"{name} must be {accepted}; got {given[bad].flat[0]}")


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raise unless `value` is one integer, at least `least` and small enough to count to.

    Args:
        name: The argument's name, as the caller wrote it.
        value: The number; 3.0 counts as 3.
        least: The smallest that is accepted.

    Raises:
        TypeError: `value` is not numeric.
        ValueError: It is not such an integer.

    Example:
        >>> check_count("width", 2.5)
        Traceback (most recent call last):
        ValueError: width must be an integer >= 1; got 2.5
    """
    accepted = f"an integer >= {least}"
    check(
        name, value, lambda v: (v >= least) & (v < np.inf) & (v == np.floor(v)), accepted, shape=()
    )
    check(name, value, lambda v: v < _COUNTABLE, "below 2^31")


def check_choice(name: str, value: Any, accepted: Sequence[str]) -> None:
    """Raise unless `value` is one of some words.

    Args:
        name: The argument's name, as the caller wrote it.
        value: The word.
        accepted: All that it may be.

    Raises:
        ValueError: It is something else.

    Example:
        >>> check_choice("layers", "first", ("all", "last"))
        Traceback (most recent call last):
        ValueError: layers must be 'all' or 'last'; got 'first'
    """
    if not (isinstance(value, str) and value in accepted):
        *others, last = map(repr, accepted)
        words = f"{', '.join(others)} or {last}" if len(others) < 3 else f"one of {(*accepted,)}"
        raise ValueError(f"{name} must be {words}; got {brief(value)}")


def check_type(name: str, value: Any, kind: Any, accepted: str) -> None:
    """Raise unless `value` is an object of a class.

    Args:
        name: The argument's name, as the caller wrote it.
        value: Any object.
        kind: The class, or several.
        accepted: Completes the sentence "<name> must be ...".

    Raises:
        TypeError: It is something else.

    Example:
        >>> check_type("label", 3, str, "text")
        Traceback (most recent call last):
        TypeError: label must be text; got 3
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {accepted}; got {brief(value)}")


def check_samples(X: Any, y: Any, d: int) -> None:
    """Raise unless X holds finite inputs (n, d), y finite labels (n,), and n is not zero.

    Args:
        X: The inputs, as the caller gave them.
        y: The labels.
        d: Dimension of the inputs that the network takes.

    Raises:
        TypeError: One of them is not numeric.
        ValueError: One of them has another shape, is not finite somewhere, or beyond 1e15 in size.

    Example:
        >>> check_samples(np.ones((4, 3)), np.ones(5), d=3)
        Traceback (most recent call last):
        ValueError: y must be (4,), a label for each row of X; got (5,)
    """
    check("X", X, *FINITE)
    check("X", X, *_SQUARED)
    rows, *columns = np.shape(X) or (0,)
    if columns != [d] or not rows:
        raise ValueError(f"X must be (n, {d}), a sample in each row; got {np.shape(X)}")
    check("y", y, *FINITE)
    check("y", y, *_SQUARED)
    if np.shape(y) != (rows,):
        raise ValueError(f"y must be ({rows},), a label for each row of X; got {np.shape(y)}")


def check_flag(name: str, value: Any) -> None:
    """Raise ``TypeError`` unless `value` is True or False."""
    check_type(name, value, (bool, np.bool_), "True or False")


def brief(value: Any) -> str:
    """Show what was given, in one line of a message: small things whole, others by their type."""
    text = repr(value)
    return (
        text if len(text) <= 60 and "\n" not in text else f"a value of type {type(value).__name__}"
    )


def check_key(name: str, key: Any) -> None:
    """Raise unless `key` is one random key of JAX, typed or raw.

    Keys that JAX is tracing pass, as in `check`; under `vmap` each traced key is one of a batch.

    Args:
        name: The argument's name, as the caller wrote it.
        key: What `jax.random.key` returns, or the older `jax.random.PRNGKey`.

    Raises:
        TypeError: `key` is something else, such as a seed, None or a batch of keys.

    Example:
        >>> check_key("key", 3)
        Traceback (most recent call last):
        TypeError: key must be a JAX random key, e.g. jax.random.key(0); got 3
    """
    if isinstance(key, jax.core.Tracer):
        return
    shape, dtype = getattr(key, "shape", None), getattr(key, "dtype", None)
    if shape is None or dtype is None:
        got = repr(key)
    elif jnp.issubdtype(dtype, jax.dtypes.prng_key):
        if shape == ():
            return
        got = f"{shape} of them: use jax.vmap, or take one"
    else:
        # Raw keys are two words; four with the generators other than JAX's default.
        if dtype == np.uint32 and shape in ((2,), (4,)):
            return
        got = f"an array of shape {shape} and dtype {dtype}"
    raise TypeError(f"{name} must be a JAX random key, e.g. jax.random.key(0); got {got}")


def broadcast_floats(*values: Any) -> list[Array]:
    """Broadcast numbers and arrays to one shape and one floating-point type, `float_type`.

    Args:
        *values: Numbers or arrays whose shapes broadcast.

    Returns:
        One array per argument, all of the same shape and dtype.

    Raises:
        ValueError: Labelled arrays have different dimensions, which would meet by position.
    """
    labelled = {getattr(value, "dims", ()) for value in values} - {()}
    if len(labelled) > 1:
        raise ValueError(
            f"labelled arrays must have the same dimensions; got {sorted(map(str, labelled))}. "
            "Formulas broadcast by position: give arrays without labels, such as "
            "gamma.values and theta.values[:, None]"
        )
    dtype = float_type(*values)
    arrays = [jnp.asarray(value, dtype=dtype) for value in values]
    return list(jnp.broadcast_arrays(*arrays))  # newer JAX returns a tuple


def float_type(*values: Any) -> np.dtype:
    """Return the floating-point type in which numbers and arrays are computed with.

    It is JAX's promotion of all of them with a Python float, and at least float32: float64 where
    `jax_enable_x64` is set, unless some are floating-point arrays and all of these narrower.

    Args:
        *values: Numbers, arrays or lists of numbers.

    Returns:
        The type.

    Example:
        >>> float_type(2, np.float16(0.5))
        dtype('float32')
    """
    values = tuple(np.asarray(v) if isinstance(v, list | tuple) else v for v in values)
    return np.dtype(jnp.promote_types(jnp.result_type(*values, float), np.float32))
