r"""Gaussian regression in the few coordinates that matter: samples that are never formed.

A Gaussian design :math:`X = U B V^T` of n samples in d dimensions has an upper bidiagonal B with
independent entries,

.. math:: B_{ii} \sim \chi_{n - i}, \qquad B_{i, i+1} \sim \chi_{d - 1 - i}

(i from 0), while U and V are independent of B; the first column of V is any fixed vector, the
others are uniform (Householder bidiagonalisation of a rotation-invariant matrix). With the target
as that vector, a regression in these coordinates is the dense one in distribution, drawn in O(d)
instead of O(n d) and multiplied in O(min(n, d)): a million dimensions fit a laptop.

Source: Golub and Kahan (1965); Dumitriu and Edelman (2002) for the law of B.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import ANGLE, AT_LEAST_0, as_floats, check, check_count, check_key
from fatelib.linear.bidiagonal import Bidiagonal, chi
from fatelib.linear.tasks import LinearTasks

__all__ = ["reduced_tasks"]


def reduced_tasks(
    key: Any,
    n: ArrayLike,
    d: int,
    theta: ArrayLike,
    sigma: ArrayLike = 0.0,
    *,
    largest: int | None = None,
) -> tuple[LinearTasks, Bidiagonal, Float[Array, " rows"]]:
    r"""Draw tasks and n Gaussian samples of the target, in the coordinates that the samples see.

    The law of every risk is that of ``LinearTasks.at_angle`` followed by ``sample``. The target is
    the first coordinate. Where n < d the samples see n + 1 coordinates; one more, the last, holds
    the length of whatever else the source has. The inputs have independent entries

    .. math:: B_{ii} \sim \chi_{n - i}, \qquad B_{i, i+1} \sim \chi_{d - 1 - i}

    (i from 0), and are never formed in d dimensions.

    Args:
        key: A JAX random key. One key gives the same target, samples and noise at every angle and,
            up to its size, the same noise at every `sigma`.
        n: Number of samples.
        d: Dimension of the inputs, at least 2.
        theta: Angle between source and target, radians in [0, pi]; a number.
        sigma: Standard deviation of the label noise; a number.
        largest: The largest n that shares this compiled program, when n is traced; by default n.

    Returns:
        The tasks in the new coordinates, the inputs (rows, columns) and the labels (rows,).

    Raises:
        ValueError: An argument is impossible.
        TypeError: `key` is not a random key, or a number is something else.

    Source:
        Golub and Kahan (1965); Dumitriu and Edelman (2002).

    Example:
        >>> import jax
        >>> from fatelib import fine_tune
        >>> from fatelib.linear import DeepLinear
        >>> tasks, X, y = reduced_tasks(jax.random.key(0), 50_000, 100_000, 0.5, 0.2)
        >>> X.shape
        (50001, 50002)
        >>> pretrained = DeepLinear.balanced(tasks.beta_source)
        >>> result = fine_tune(pretrained, tasks, X, y, learning_rate=0.05, steps=2000)
        >>> result.engine, round(float(result.risk), 2)
        ('spectral', 0.16)
    """
    check_key("key", key)
    traced = isinstance(n, jax.core.Tracer)
    if largest is None and traced:
        raise ValueError("largest must be the largest n when n is traced; got None")
    n = n if traced else check_count("n", n)
    largest = check_count("largest", n if largest is None else largest)
    d = check_count("d", d, least=2)
    check("n", n, lambda n: n <= largest, f"at most largest, {largest}")
    check("sigma", sigma, *AT_LEAST_0, shape=())
    check("theta", theta, *ANGLE, shape=())
    theta, sigma = as_floats(theta, sigma)
    dtype = theta.dtype
    rows = min(largest, d)
    seen = min(largest + 1, d)
    chi_key, noise_key, source_key = jax.random.split(key, 3)
    n, place = jnp.asarray(n), jnp.arange(rows)
    # All chi variables in one draw: one loop to compile instead of four.
    ends = jnp.stack([jnp.asarray(d - seen), n - d])
    freedom = jnp.concatenate([n - place, jnp.where(place < n, d - 1 - place, 0), ends])
    draws = chi(chi_key, freedom, dtype)
    diagonal, upper, (unseen, rest) = draws[:rows], draws[rows : 2 * rows], draws[2 * rows :]
    X = Bidiagonal(diagonal, upper, n.astype(dtype), max(seen, rows) + 1)
    others = jax.random.normal(source_key, (seen - 1,), dtype)
    others = jnp.concatenate([others, jnp.zeros(X.columns - seen - 1, dtype), unseen[None]])
    others /= jnp.linalg.norm(others)
    target = jnp.zeros(X.columns, dtype).at[0].set(1)
    source = jnp.concatenate([jnp.cos(theta)[None], jnp.sin(theta) * others])
    noise = jax.random.normal(noise_key, (rows,), dtype) * (place < n)
    y = X @ target + sigma * jnp.concatenate([noise, rest[None]])
    return LinearTasks(source, target, sigma), X, y
