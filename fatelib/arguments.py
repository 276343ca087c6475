"""How public functions read their arguments: one check, one promotion to floating point."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# What an angle between two tasks may be: `check("theta", theta, *ANGLE)`. The float32 nearest to
# pi lies above pi, and both must count as pi.
ANGLE = (lambda t: (t >= 0) & (t <= float(np.float32(np.pi))), "an angle in [0, pi]")


def check(name: str, value: Any, valid: Callable[[np.ndarray], Any], accepted: str) -> None:
    """Raise unless `value` is numeric and `valid` everywhere.

    Values that JAX is tracing (inside `jit`, `vmap`, `grad`) have no number yet and pass: an
    impossible value then gives NaN, never an exception.

    Args:
        name: The argument's name, as the caller wrote it.
        value: A number or an array of numbers.
        valid: Maps the value as a floating-point array to booleans; must be false at NaN.
        accepted: Completes the sentence "<name> must be ...".

    Raises:
        TypeError: `value` is not numeric.
        ValueError: `value` is not `valid` somewhere; the message shows the first such entry.

    Example:
        >>> check("sigma", -1.0, lambda s: s >= 0, "a number >= 0")
        Traceback (most recent call last):
        ValueError: sigma must be a number >= 0; got -1.0
    """
    if isinstance(value, jax.core.Tracer):
        return
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":  # text that reads as a number is not one
            raise TypeError
        array = array.astype(float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be {accepted}; got {value!r}") from None
    bad = ~np.asarray(valid(array), dtype=bool)
    if bad.any():
        raise ValueError(f"{name} must be {accepted}; got {array[bad].flat[0]}")


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
    """Broadcast numbers and arrays to one shape and one floating-point type.

    The type is JAX's promotion of the arguments with a Python float: float32 unless an argument
    is a 64-bit array and `jax_enable_x64` is set.

    Args:
        *values: Numbers or arrays whose shapes broadcast.

    Returns:
        One array per argument, all of the same shape and dtype.
    """
    values = tuple(np.asarray(v) if isinstance(v, list | tuple) else v for v in values)
    dtype = jnp.result_type(*values, float)
    return jnp.broadcast_arrays(*(jnp.asarray(value, dtype=dtype) for value in values))


def as_arrays(*values: Any) -> list[Any]:
    """Turn lists and tables of numbers into arrays; arrays stay what they are.

    Args:
        *values: Anything that `numpy.asarray` takes.

    Returns:
        One array per argument.
    """
    return [v if isinstance(v, jax.Array | np.ndarray) else np.asarray(v) for v in values]
