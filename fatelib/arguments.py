"""How public functions read their arguments: one check, one promotion to floating point.

One rule for the whole library: NaN is no value of any argument, and infinity is one only where its
docstring says what it means. Both are refused, with the argument's name, before anything is
computed; a NaN in a result has a meaning that the docstring gives. Values that JAX is tracing
(inside `jit`, `vmap`, `grad`) have no number yet and pass: what impossible ones give, NaN or a
number, means nothing.

Whatever NumPy can read as a table of real numbers is accepted for an array: lists, data frames,
labelled arrays, tensors in the memory of the host, of any byte order and width. `real` reads it.
"""

import numbers
from collections.abc import Callable, Sequence
from decimal import Decimal
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
# What an array of Python objects may hold to count as numbers.
_NUMBERS = (numbers.Real, Decimal, np.bool_, jax.Array)


def real(name: str, value: Any, accepted: str = "real numbers") -> np.ndarray | Array:
    """Read an array of real numbers in whatever form it comes.

    Args:
        name: The argument's name, as the caller wrote it.
        value: A number, an array, or anything else that NumPy reads as one: a list, a data frame
            or series, a labelled array, a tensor in the memory of the host. Objects that are all
            numbers count as numbers; text that reads as a number does not.
        accepted: Completes the sentence "<name> must be ...".

    Returns:
        JAX arrays and what JAX is tracing as they are; anything else as a NumPy array in the byte
        order of the machine and a type that JAX knows.

    Raises:
        TypeError: `value` holds something else than real numbers, such as text, complex numbers,
            dates, None or masked entries.

    Example:
        >>> real("X", [[1, 2], [3, 4]]).shape
        (2, 2)
        >>> real("X", ["one"])
        Traceback (most recent call last):
        TypeError: X must be real numbers; got ['one']
    """
    if isinstance(value, jax.core.Tracer):
        return value
    try:
        if isinstance(value, jax.Array):
            array: Any = value
            if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
                raise TypeError
        elif np.ma.is_masked(value):
            raise TypeError
        else:
            array = np.asarray(value)
        if array.dtype.kind == "O":
            if not all(isinstance(entry, _NUMBERS) for entry in array.ravel()):
                raise TypeError
            array = array.astype(float)
        # bfloat16 is of no kind that NumPy knows.
        known = any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.floating, jnp.integer))
        if array.dtype.kind not in "biuf" and not known:
            raise TypeError
    except jax.errors.TracerArrayConversionError:
        return jnp.asarray(value)  # a list of what JAX is tracing
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be {accepted}; got {brief(value)}") from None
    except RuntimeError as error:  # a tensor that is elsewhere, or part of a computation
        raise TypeError(f"{name} must be {accepted} that NumPy can read: {error}") from None
    if isinstance(array, np.ndarray):
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(float)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array


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
    given = real(name, value, "real numbers" if accepted == FINITE[1] else accepted)
    if shape is not None and given.shape != shape:
        kind = "one number" if shape == () else str(shape)
        raise ValueError(f"{name} must be {kind}; got {'shape ' * (shape == ())}{given.shape}")
    if isinstance(given, jax.core.Tracer):
        return
    array = np.asarray(given).astype(float, copy=False)
    bad = ~np.asarray(valid(array), dtype=bool)
    if given.dtype.itemsize > 4:  # numbers that the type computed in cannot hold are none either
        largest = float(jnp.finfo(jnp.result_type(float)).max)
        bad |= (np.abs(array) > largest) & np.isfinite(array)
    if bad.any():
        raise ValueError(f"{name} must be {accepted}; got {np.asarray(given)[bad].flat[0]}")


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Raise unless `value` is one integer, at least `least` and small enough to count to.

    Args:
        name: The argument's name, as the caller wrote it.
        value: The number; 3.0 counts as 3.
        least: The smallest that is accepted.

    Returns:
        The number as Python's own.

    Raises:
        TypeError: `value` is not numeric, or JAX is tracing it.
        ValueError: It is not such an integer.

    Example:
        >>> check_count("width", 2.5)
        Traceback (most recent call last):
        ValueError: width must be an integer >= 1; got 2.5
    """
    accepted = f"an integer >= {least}"
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{name} must be {accepted} that is known when JAX compiles; got {value}")
    check(
        name, value, lambda v: (v >= least) & (v < np.inf) & (v == np.floor(v)), accepted, shape=()
    )
    check(name, value, lambda v: v < _COUNTABLE, "below 2^31")
    return int(value)


def check_number(
    name: str, value: Any, valid: Callable[[np.ndarray], Any], accepted: str
) -> float | Array:
    """Raise unless `value` is one number and `valid`.

    Args:
        name: The argument's name, as the caller wrote it.
        value: A number, of Python, NumPy or JAX.
        valid: As in `check`.
        accepted: As in `check`.

    Returns:
        The number as Python's own; what JAX is tracing as it is.

    Raises:
        TypeError: `value` is not numeric.
        ValueError: It is not `valid`, or more than one number.

    Example:
        >>> check_number("sigma", np.float64(0.5), *AT_LEAST_0)
        0.5
    """
    check(name, value, valid, accepted, shape=())
    return value if isinstance(value, jax.core.Tracer) else float(value)


def check_choice(name: str, value: Any, accepted: Sequence[str]) -> str:
    """Raise unless `value` is one of some words.

    Args:
        name: The argument's name, as the caller wrote it.
        value: The word.
        accepted: All that it may be.

    Returns:
        The word as Python's own text.

    Raises:
        ValueError: It is something else.

    Example:
        >>> check_choice("layers", "first", ("all", "last"))
        Traceback (most recent call last):
        ValueError: layers must be 'all' or 'last'; got 'first'
    """
    if not (isinstance(value, str) and value in accepted):
        *others, last = map(repr, accepted)
        words = f"{', '.join(others)} or {last}" if others else last
        if len(others) > 2:
            words = f"one of {(*accepted,)}"
        raise ValueError(f"{name} must be {words}; got {brief(value)}")
    return str(value)


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


def check_entries(name: str, values: Array | np.ndarray) -> None:
    """Raise ``ValueError`` unless all entries of inputs or labels are finite, and below 1e15."""
    check(name, values, *FINITE)
    check(name, values, *_SQUARED)


def read_samples(X: Any, y: Any, d: int, *others: Array | np.ndarray) -> tuple[Array, Array]:
    """Read a data set: finite inputs X (n, d) and a finite label y (n,) for each, n at least 1.

    Args:
        X: The inputs, as the caller gave them: whatever `real` reads.
        y: The labels, likewise.
        d: Dimension of the inputs that the network takes.
        *others: Arrays with which they promote to one floating-point type, such as weights.

    Returns:
        Inputs and labels as arrays of `float_type`.

    Raises:
        TypeError: One of them is not numeric.
        ValueError: One of them has another shape, is not finite somewhere, or beyond 1e15 in size.

    Example:
        >>> X, y = read_samples([[1, 2], [3, 4]], [0, 1], 2)
        >>> X.dtype.name, y.shape
        ('float32', (2,))
        >>> read_samples(np.ones((4, 3)), np.ones(5), 3)
        Traceback (most recent call last):
        ValueError: y must be (4,), a label for each row of X; got (5,)
    """
    X, y = real("X", X), real("y", y)
    for name, values in (("X", X), ("y", y)):
        check_entries(name, values)
    rows, *columns = X.shape or (0,)
    if columns != [d] or not rows:
        raise ValueError(f"X must be (n, {d}), a sample in each row; got {X.shape}")
    if y.shape != (rows,):
        raise ValueError(f"y must be ({rows},), a label for each row of X; got {y.shape}")
    X, y = as_floats(X, y, like=others)
    return X, y


def check_flag(name: str, value: Any) -> bool:
    """Return `value` as Python's own True or False; raise ``TypeError`` if it is neither."""
    check_type(name, value, (bool, np.bool_), "True or False")
    return bool(value)


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
    return list(jnp.broadcast_arrays(*as_floats(*values)))  # newer JAX returns a tuple


def as_floats(*values: Any, like: Sequence[Any] = ()) -> list[Array]:
    """Bring numbers and arrays, already checked, to one floating-point type.

    Args:
        *values: Whatever `real` reads.
        like: More arrays that decide on the type, as in `float_type`.

    Returns:
        One array per value, of `float_type`.

    Example:
        >>> [array.dtype.name for array in as_floats([1, 2], 0.5)]
        ['float32', 'float32']
    """
    dtype = float_type(*values, *like)
    return [jnp.asarray(real("value", value), dtype) for value in values]


def float_type(*values: Any) -> np.dtype:
    """Return the floating-point type in which numbers and arrays are computed with.

    It is JAX's promotion of all of them with a Python float, and at least float32: float64 where
    `jax_enable_x64` is set, unless some are floating-point arrays and all of these narrower.

    Args:
        *values: Numbers, arrays or lists of numbers.

    Returns:
        The type.

    Example:
        >>> float_type(2, np.float16(0.5)).name
        'float32'
    """
    # Python's own numbers take the type of whatever they meet.
    values = tuple(v if type(v) in (bool, int, float) else real("value", v) for v in values)
    return np.dtype(jnp.promote_types(jnp.result_type(*values, float), np.float32))
