r"""Pretraining in time: how the direction of the source grows in a deep linear network.

From a small balanced start the end-to-end vector of a deep linear network turns to the source
vector early, and from then on only its length along it, the aligned strength s, changes:

.. math:: \frac{ds}{dt} = 2 L \, s^{2 - 2/L} (1 - s) .

A long plateau near 0, a sudden rise, saturation at 1. Time is that of gradient flow on the squared
error without the factor 1/2: learning rate times steps.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import broadcast_floats, check
from fatelib.theory.domain import check_domain

__all__ = ["aligned_strength", "escape_time", "strength_growth_rate"]


def _check_finite(depth: ArrayLike) -> None:
    check("depth", depth, np.isfinite, "finite: the dynamics speed up with depth without bound")


def strength_growth_rate(strength: ArrayLike, *, depth: ArrayLike = 2) -> Float[Array, "..."]:
    r"""Growth rate of the aligned strength in pretraining.

    .. math:: \frac{ds}{dt} = 2 L \, s^{2 - 2/L} (1 - s)

    Args:
        strength: Aligned strength s, ``(...)``; 1 is the source vector itself.
        depth: Number of layers L, ``(...)``, finite: the rate grows with L without bound.

    Returns:
        The rate, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``strength`` is negative, or ``depth`` is below 1 or infinite.

    Source:
        Saxe, McClelland and Ganguli (2014); Arora, Cohen and Hazan (2018).

    Example:
        >>> float(strength_growth_rate(0.5))
        1.0
    """
    check_domain(strength=strength, depth=depth)
    _check_finite(depth)
    strength, depth = broadcast_floats(strength, depth)
    power = 2 - 2 / depth
    # 0^0 = 1 at the saddle of one layer, written so that its gradient exists.
    base = jnp.where((strength == 0) & (power == 0), 1.0, strength)
    return 2 * depth * base**power * (1 - strength)


@functools.cache
def _gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(256)
    return (nodes + 1) / 2, weights / 2


def _elapsed(gain: Array, odds: Array, depth: Array) -> Array:
    """Return 2 L t when the log-odds of s have risen by `gain` from -log(odds).

    With x = log(s / (1 - s)), dx/dt = 2 L s^(1 - 2/L): the time is the integral over the gain of a
    smooth function of bounded logarithmic slope.
    """
    nodes, weights = (jnp.asarray(array, gain.dtype) for array in _gauss_legendre())
    inverse_strength = 1 + odds * jnp.exp(-gain * nodes)
    return gain * (weights * inverse_strength ** (1 - 2 / depth)).sum()


@jax.jit
@jnp.vectorize
def _log_odds_gain(time: Array, odds: Array, depth: Array) -> Array:
    """Invert `_elapsed`: the gain in log-odds after a time."""
    goal = 2 * depth * time

    def slope(gain: Array) -> Array:
        return (1 + odds * jnp.exp(-gain)) ** (1 - 2 / depth)

    def excess(gain: Array) -> Array:
        return _elapsed(gain, odds, depth) - goal

    # Between its values at both ends the slope is monotone. Log-odds above 50 are s = 1.
    start_slope = slope(jnp.zeros_like(odds))
    lower = goal / jnp.maximum(start_slope, 1.0)
    upper = goal / jnp.minimum(start_slope, 1.0)
    most = jnp.log(odds) + 50
    lower, upper = jnp.minimum(lower, most), jnp.minimum(upper, most)

    def bisect(_: ArrayLike, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        lower, upper = bracket
        middle = (lower + upper) / 2
        above = excess(middle) > 0
        return jnp.where(above, lower, middle), jnp.where(above, middle, upper)

    def newton(_: ArrayLike, gain: Array) -> Array:
        return jnp.clip(gain - excess(gain) / slope(gain), 0.0, most)

    def solve(_: object, start: Array) -> Array:
        # The slope changes at most e-fold per unit: Newton converges from half a unit away.
        bracket = jax.lax.fori_loop(0, 9, bisect, (lower, upper))
        return jax.lax.fori_loop(0, 6, newton, (bracket[0] + bracket[1]) / 2)

    gain: Array = jax.lax.custom_root(
        excess,
        jnp.zeros_like(odds),
        solve,
        lambda linear, y: y / linear(jnp.ones_like(y)),
    )
    return gain


_elapsed_batch = jax.jit(jnp.vectorize(_elapsed))


def aligned_strength(
    time: ArrayLike, initial: ArrayLike, *, depth: ArrayLike = 2
) -> Float[Array, "..."]:
    r"""Aligned strength of a deep linear network after a time of pretraining.

    .. math::

        s(t) = \frac{1}{1 + (1/s_0 - 1) \, e^{-x(t)}} , \qquad
        \int_0^{x(t)} \big( 1 + (1/s_0 - 1) \, e^{-y} \big)^{1 - 2/L} \, dy = 2 L t

    solves :math:`ds/dt = 2 L s^{2 - 2/L} (1 - s)`. Two layers give :math:`x = 4 t`, the logistic
    curve; one layer :math:`s = 1 - (1 - s_0) e^{-2t}`. For other depths x is found by
    bisection and Newton's method, for :math:`s_0` down to 1e-30, as exactly as the dtype resolves
    the time: after a long plateau the rise takes a small fraction of it, so deep networks with a
    tiny start need float64. Differentiable in all arguments.

    A balanced network whose layers all have one singular value α starts at
    :math:`s_0 = \alpha^L`.

    Args:
        time: Gradient-flow time t = learning rate times steps, ``(...)``.
        initial: Aligned strength :math:`s_0` at time 0, ``(...)``, in (0, 1).
        depth: Number of layers L, ``(...)``, finite.

    Returns:
        The strength, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``time`` is negative, ``initial`` is outside (0, 1), or ``depth`` is below 1 or
            infinite.

    Source:
        Saxe, McClelland and Ganguli (2014) for two layers.

    Example:
        >>> import jax.numpy as jnp
        >>> strengths = aligned_strength(jnp.array([0.0, 2.0, 4.0]), 1e-4)
        >>> [round(float(s), 3) for s in strengths]
        [0.0, 0.23, 0.999]
    """
    check_domain(time=time, initial=initial, depth=depth)
    _check_finite(depth)
    time, initial, depth = broadcast_floats(time, initial, depth)
    odds = (1 - initial) / initial
    return 1 / (1 + odds * jnp.exp(-_log_odds_gain(time, odds, depth)))


def escape_time(
    initial: ArrayLike, level: ArrayLike = 0.5, *, depth: ArrayLike = 2
) -> Float[Array, "..."]:
    r"""Time at which the aligned strength reaches a level: the length of the plateau.

    .. math:: t = \frac{1}{2L} \int_{s_0}^{s_1} \frac{ds}{s^{2 - 2/L} (1 - s)}

    It is the inverse of :func:`aligned_strength`. Two layers leave the plateau after about
    :math:`\tfrac14 \log(1/s_0) = \tfrac12 \log(1/\alpha)`; more layers after a time that grows
    like a power, :math:`s_0^{-(1 - 2/L)} / (2L - 4)`. Negative for a level below the start.

    Args:
        initial: Aligned strength :math:`s_0` at time 0, ``(...)``, in (0, 1).
        level: Strength :math:`s_1` to reach, ``(...)``, in (0, 1).
        depth: Number of layers L, ``(...)``, finite.

    Returns:
        The time, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``initial`` or ``level`` is outside (0, 1), or ``depth`` is below 1 or infinite.

    Source:
        Saxe, McClelland and Ganguli (2014) for two layers.

    Example:
        >>> round(float(escape_time(1e-4)), 3)
        2.303
    """
    check_domain(initial=initial, level=level, depth=depth)
    _check_finite(depth)
    initial, level, depth = broadcast_floats(initial, level, depth)
    odds = (1 - initial) / initial
    gain = jnp.log(odds) + jnp.log(level) - jnp.log1p(-level)
    time: Array = _elapsed_batch(gain, odds, depth) / (2 * depth)
    return time
