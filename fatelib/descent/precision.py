"""The precision of products, and what rounding makes of zero."""

import jax.numpy as jnp
from jaxtyping import Array

__all__ = ["matmul", "rounding"]


def matmul(a: Array, b: Array) -> Array:
    """Multiply at full precision, on accelerators too."""
    return jnp.matmul(a, b, precision="highest")


def rounding(matrix: Array) -> float:
    r"""Return the share of the largest singular value that rounding makes of a zero one.

    .. math:: 2 \epsilon \sqrt{n + d}

    The errors of n d entries are nearly independent, and such a random matrix has this norm. (The
    usual :math:`\epsilon \max(n, d)` bounds the worst case; in single precision it would take a
    hundred samples of condition 1e5 for dependent.)
    """
    return float(2 * sum(matrix.shape) ** 0.5 * jnp.finfo(matrix.dtype).eps)
