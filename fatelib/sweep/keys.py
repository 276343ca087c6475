"""Random keys of a sweep: one for each instance, whatever the chunks, devices and processes."""

import hashlib
from collections.abc import Mapping
from typing import Any, SupportsInt

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fatelib.arguments import check_count, check_key
from fatelib.sweep.values import Value

# The generator whose draws do not depend on the batch that `jax.vmap` makes of the keys.
_GENERATOR = "threefry2x32"


def instance_keys(key: Any, instances: SupportsInt) -> Array:
    """Return the keys of the instances of a sweep, ``fold_in(key, i)``.

    Under `jax.vmap` the draws of other generators than ``threefry2x32`` depend on the batch, and
    so on chunks and devices. Of a key of theirs only the words are taken, into one of threefry.

    Args:
        key: A JAX random key, that of the sweep.
        instances: Number of instances.

    Returns:
        The keys, (instances,); typed where `key` is typed or of another generator, raw otherwise.

    Raises:
        ValueError: `instances` is no integer, or below 1.
        TypeError: `key` is not a random key.

    Example:
        >>> key = jax.random.key(3, impl="rbg")
        >>> [str(jax.random.key_impl(k)) for k in (key, instance_keys(key, 2))]
        ['rbg', 'threefry2x32']
    """
    check_key("key", key)
    instances = check_count("instances", instances)
    if str(jax.random.key_impl(key)) != _GENERATOR:
        words = np.asarray(jax.random.key_data(key))
        key = jax.random.key(0, impl=_GENERATOR)
        for word in words:
            key = jax.random.fold_in(key, word)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(instances))


def point_keys(keys: Array, point: Mapping[str, Value]) -> Array:
    """Return other keys for the same instances at a point, wherever in a grid the point is.

    The point is hashed to 128 bits: of 32, two among 8,000 points would agree in one grid of 130.
    """
    values = [(name, np.asarray(value).tolist()) for name, value in sorted(point.items())]
    salt = hashlib.blake2b(repr(values).encode(), digest_size=16).digest()
    for word in np.frombuffer(salt, np.uint32):
        keys = jax.vmap(jax.random.fold_in, (0, None))(keys, word)
    return keys


def fingerprint(key: Array | np.ndarray) -> dict[str, str | list[int]]:
    """Return what the random numbers of a sweep follow from, and some of them in hexadecimal."""
    return {
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "generator": str(jax.random.key_impl(key)),
        "random_bits": np.asarray(_draws(instance_keys(key, 1)[0])).astype("<u4").tobytes().hex(),
    }


@jax.jit
def _draws(key: Array) -> Array:
    first, second = jax.random.split(key)
    integers = jax.random.randint(first, (2,), 0, 1000)
    return jnp.concatenate([jax.random.bits(second, (3,), "uint32"), integers.astype("uint32")])
