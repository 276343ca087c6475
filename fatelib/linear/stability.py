"""How large a step of gradient descent may be; `fatelib.train` states the formula."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fatelib.linear.network import DeepLinear
from fatelib.linear.quadratic import Loss, product

__all__ = ["safe_rate"]


def safe_rate(weights: tuple[Array, ...], loss: Loss, decay: Array) -> Array:
    """Return half of the largest stable learning rate."""
    depth = len(weights)
    norms = [_spectral_norm(weight) for weight in weights]
    beta = DeepLinear(weights).end_to_end()
    minimiser, inside = loss.split(beta)
    outside = jnp.maximum(jnp.sum(beta**2) - jnp.sum(inside**2), 0)
    reach = jnp.maximum(jnp.sum(minimiser**2), jnp.sum(inside**2))
    balanced = jnp.sqrt(reach + outside) ** (1 / depth)

    def without(norms: list[Array], *left_out: int) -> Array:
        kept = [norm for layer, norm in enumerate(norms) if layer not in left_out]
        return jnp.prod(jnp.stack([jnp.ones_like(decay), *kept]))

    def jacobian(norms: list[Array]) -> Array:
        return jnp.sum(jnp.stack([without(norms, l) ** 2 for l in range(depth)]))

    pairs = [without(norms, l, m) for l in range(depth) for m in range(l)]
    bend = (depth - 1) * jnp.max(jnp.stack([jnp.zeros_like(decay), *pairs]))
    first = jacobian(norms) + bend * jnp.linalg.norm(inside - minimiser)
    end = jacobian([jnp.maximum(norm, balanced) for norm in norms])
    curvature = decay + 2 * loss.top * jnp.maximum(first, end)
    return jnp.where(curvature > 0, 1 / curvature, 1)


def _spectral_norm(matrix: Array) -> Array:
    """Largest singular value by power iteration; a few per cent low at worst."""
    # Any fixed vector in general position will do; a constant keeps the compiled code small.
    x = jnp.asarray(np.random.default_rng(0).normal(size=matrix.shape[1]), matrix.dtype)

    def iterate(_: Any, x: Array) -> Array:
        x = product(product(matrix, x), matrix)
        return x / jnp.maximum(jnp.linalg.norm(x), jnp.finfo(x.dtype).tiny)

    return jnp.linalg.norm(product(matrix, jax.lax.fori_loop(0, 30, iterate, x)))
