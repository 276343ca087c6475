"""How large a step of gradient descent may be; `fatelib.train` states the formula."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fatelib.descent.precision import matmul
from fatelib.descent.quadratic import Loss
from fatelib.linear.network import DeepLinear

__all__ = ["safe_rate"]


def safe_rate(weights: tuple[Array, ...], loss: Loss, decay: Array) -> Array:
    """Return half of the largest stable learning rate."""
    depth = len(weights)
    norms = jnp.stack([_spectral_norm(weight) for weight in weights])
    beta = DeepLinear(weights).end_to_end()
    minimiser, inside = loss.split(beta)
    outside = jnp.maximum(jnp.sum(beta**2) - jnp.sum(inside**2), 0)
    reach = jnp.maximum(jnp.sum(minimiser**2), jnp.sum(inside**2))
    balanced = jnp.sqrt(reach + outside) ** (1 / depth)

    def jacobian(norms: Array) -> Array:
        return jnp.sum(without_each(norms) ** 2)

    # Of all products without two of the factors, that without the smallest is the largest.
    bend = (depth - 1) * jnp.prod(jnp.sort(norms)[2:])
    first = jacobian(norms) + bend * jnp.linalg.norm(inside - minimiser)
    end = jacobian(jnp.maximum(norms, balanced))
    curvature = decay + 2 * loss.top * jnp.maximum(first, end)
    return jnp.where(curvature > 0, 1 / curvature, 1)


def without_each(factors: Float[Array, " l"]) -> Float[Array, " l"]:
    """Return, for each factor, the product of all others."""
    one = jnp.ones_like(factors[:1])
    before = jnp.concatenate([one, jnp.cumprod(factors[:-1])])
    after = jnp.concatenate([jnp.cumprod(factors[:0:-1])[::-1], one])
    return before * after


def _spectral_norm(matrix: Array) -> Array:
    """Largest singular value by power iteration; a few per cent low at worst."""
    # Any fixed vector in general position will do; a constant keeps the compiled code small.
    x = jnp.asarray(np.random.default_rng(0).normal(size=matrix.shape[1]), matrix.dtype)

    def iterate(_: Any, x: Array) -> Array:
        x = matmul(matmul(matrix, x), matrix)
        return x / jnp.maximum(jnp.linalg.norm(x), jnp.finfo(x.dtype).tiny)

    return jnp.linalg.norm(matmul(matrix, jax.lax.fori_loop(0, 30, iterate, x)))
