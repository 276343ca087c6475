"""What users give to a sweep, as arrays along its dimensions and as parameters in its record."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fatelib.arguments import brief, check_type

# A value of a dimension, as Python's own.
Value = bool | int | float | str
# What JSON holds; the entries of lists and dictionaries are of the same kind.
Json = bool | int | float | str | list | dict | None


def along_dimension(name: str, along: Any) -> np.ndarray:
    """Return the values of a list, an array or a column: numbers, booleans or texts.

    Raises:
        TypeError: It is something else; `name` says where.
        ValueError: It holds NaN.

    Example:
        >>> along_dimension("outer: n", range(1, 4))
        array([1, 2, 3])
    """
    accepted = "a list of numbers, or one of texts"
    refused = TypeError(f"{name} must be {accepted}; got {brief(along)}")
    listed = isinstance(along, Sequence) and not isinstance(along, (str, bytes, range))
    if not (listed or isinstance(along, range) or hasattr(along, "__array__")):
        raise refused
    try:
        array = np.asarray(along)
        if array.ndim == 1 and (listed or array.dtype.kind in "OT"):
            # Of mixed values NumPy makes text, or numbers of booleans: no longer what was given.
            entries = [np.asarray(entry) for entry in (along if listed else array)]
            kinds = {"f" if is_floating(entry) else entry.dtype.kind for entry in entries}
            if not (kinds <= {*"iuf"} or len(kinds) == 1):
                raise refused
            array = np.asarray(entries)
    except (TypeError, ValueError, RuntimeError):
        raise refused from None
    if is_floating(array):  # of a width that every index and file can have
        array = array.astype(np.float32 if array.itemsize <= 4 else np.float64)
    if array.ndim != 1 or array.dtype.kind not in "biufU":
        raise refused
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(f"{name} must be {accepted}, without NaN; got {array.tolist()}")
    return array.astype(array.dtype.newbyteorder("="))


def check_traced(name: str, array: np.ndarray) -> None:
    """Raise where JAX would take another number than the one that is given."""
    if array.dtype.kind == "U":
        raise TypeError(
            f"outer: {name} must be numbers, or be named in static; got {brief(array.tolist())}"
        )
    if array.dtype.kind != "b":
        dtype = jax.dtypes.canonicalize_dtype(array.dtype)
        limits = jnp.finfo(dtype) if array.dtype.kind == "f" else jnp.iinfo(dtype)
        for value in array.tolist():
            if abs(value) < np.inf and not float(limits.min) <= value <= float(limits.max):
                raise ValueError(f"outer: {name} must be numbers that {dtype} holds; got {value}")


def recordable(name: str, value: Any) -> Json:
    """Return a parameter as JSON holds it, which is how it is compared and returned.

    Tuples and arrays become lists, numbers of NumPy and JAX those of Python, paths text, and so do
    infinite numbers and NaN, which JSON has not.

    Raises:
        TypeError: It holds something else; `name` says where.

    Example:
        >>> recordable("attrs: widths", (np.int64(3), np.inf))
        [3, 'inf']
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # of a member of an enumeration its value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else str(float(value))
    if isinstance(value, os.PathLike):
        return recordable(name, os.fspath(value))
    if isinstance(value, Mapping):
        for key in value:
            check_type(f"{name}: every name", key, str, "text")
        return {str(key): recordable(f"{name}.{key}", entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [recordable(name, entry) for entry in value]
    try:
        array = np.asarray(value) if hasattr(value, "dtype") else None
        if np.ma.is_masked(value):
            array = None
        elif array is not None and array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(float)
    except (TypeError, ValueError, RuntimeError):
        array = None
    if array is not None and (array.dtype.kind in "biufUO" or is_floating(array)):
        listed = array.tolist()
        if listed is not value:
            return recordable(name, listed)
    raise TypeError(
        f"{name} must be text, a number, True, False, None, or lists and dictionaries of these; "
        f"got {brief(value)}"
    )


def is_floating(array: np.ndarray) -> bool:
    """Whether an array holds floating-point numbers, also of types that NumPy does not know."""
    return bool(jnp.issubdtype(array.dtype, jnp.floating))
