r"""Classification: labels that are signs, learned with the squared loss.

The labels are :math:`y = \pm \operatorname{sign}(\beta_t \cdot x)` for standard normal x, with the
sign reversed with probability `flip`. Such a label is

.. math::

    y = c \, \beta_t \cdot x + e , \qquad c = (1 - 2\,\text{flip}) \sqrt{2 / \pi} , \qquad
    \mathbb{E}\, e^2 = 1 - c^2 ,

with e uncorrelated with x. Among many features e acts as independent noise does: least squares on
signs is regression on a target of norm c with noise of variance :math:`1 - c^2`. A linear map has
the wrong sign on the share :math:`\angle(\beta, \beta_t) / \pi` of new inputs: its scale does not
matter.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import broadcast_floats
from fatelib.theory.domain import check_domain
from fatelib.theory.fine_tuning import solve_scale

__all__ = [
    "fine_tuning_error_break_even",
    "fine_tuning_error_rate",
    "linear_transfer_error_rate",
    "scratch_error_rate",
]

# What a sign has of the number that it is the sign of: E |z| for a standard normal z.
_SIGN = math.sqrt(2 / math.pi)


def scratch_error_rate(gamma: ArrayLike, *, flip: ArrayLike = 0.0) -> Float[Array, "..."]:
    r"""Error rate of training from scratch on n = γ d labels that are signs.

    .. math::

        \frac1\pi \arccos \sqrt{\frac{\min(1, \gamma)}{1 + \sigma_c^2 / |1 - \gamma|}} , \qquad
        \sigma_c^2 = \frac{1 - c^2}{c^2} , \qquad c = (1 - 2\,\text{flip}) \sqrt{2 / \pi} ,

    the angle between the minimum-norm interpolator of the labels and the target, in the limit of
    large d. At γ = 1 it is 1/2, chance, for every share of flips; its derivative there is infinite,
    and given as 0.

    Args:
        gamma: Samples per dimension γ = n / d, ``(...)``.
        flip: Share of the training labels that are reversed, ``(...)``, in [0, 1/2). (At 1/2 they
            say nothing of the target.)

    Returns:
        Probability of a wrong sign on a new input, against the clean signs, with the broadcast
        shape of the arguments.

    Raises:
        ValueError: ``gamma`` is not positive or ``flip`` is outside [0, 1/2).

    Source:
        Ours.

    Example:
        >>> round(float(scratch_error_rate(0.5)), 3)
        0.339
        >>> round(float(scratch_error_rate(4.0)), 3)
        0.131
    """
    check_domain(gamma=gamma, flip=flip)
    gamma, flip = broadcast_floats(gamma, flip)
    return _scratch_error_rate(gamma, flip)


def _scratch_error_rate(gamma: Array, flip: Array) -> Array:
    c = _slope(flip)
    seen, away = jnp.minimum(gamma, 1.0), jnp.abs(1 - gamma)
    regular = away > 0
    root = jnp.where(regular, jnp.sqrt(seen * jnp.where(regular, away, 1.0)), 0.0)
    # Both legs, times the root of |1 - gamma|: the arc cosine of nearly 1 would be inaccurate.
    across = jnp.sqrt((1 - seen) * away * c**2 + (1 - c**2))
    return jnp.arctan2(across, c * root) / jnp.pi


def linear_transfer_error_rate(
    theta: ArrayLike, *, n: ArrayLike | None = None, flip: ArrayLike = 0.0
) -> Float[Array, "..."]:
    r"""Error rate of linear transfer: least squares on the one feature that pretraining learned.

    With n samples only the sign of the coefficient matters. If it is wrong, all answers turn:

    .. math::

        \frac\theta\pi + \Big( 1 - \frac{2\theta}{\pi} \Big) \, p_n , \qquad
        p_n = \mathbb{P} \Big( \sum_{i=1}^n y_i \, \beta_s \cdot x_i < 0 \Big) .

    With unlimited samples :math:`p_n` is 0 for θ below π/2 and 1 above, which gives
    :math:`\min(\theta, \pi - \theta) / \pi`: the flips no longer matter. At finite n each term of
    the sum has the characteristic function

    .. math::

        \varphi(t) = e^{-t^2/2} \Big( 1 + i \, (1 - 2\,\text{flip})
            \operatorname{erfi} \frac{t \cos\theta}{\sqrt 2} \Big) , \qquad
        p_n = \frac12 - \frac1\pi \int_0^\infty \operatorname{Im} \varphi(t)^n \, \frac{dt}t ,

    so that the rate is exact at every n; the integral is computed to an absolute error of a few
    hundred rounding errors of the dtype. For many samples, by the central limit theorem,

    .. math::

        p_n \approx \Phi \Big( \frac{-\sqrt n \, c \cos\theta}{\sqrt{1 - c^2 \cos^2\theta}} \Big) ,
        \qquad c = (1 - 2\,\text{flip}) \sqrt{2 / \pi} ,

    which is off by at most 0.11 for one sample, 0.013 for three and 0.004 for ten.

    Args:
        theta: Angle between source and target vector, in radians, ``(...)``.
        n: Number of target samples, ``(...)``, at least 1; None for the limit of many. What is
            between two integers interpolates.
        flip: Share of the training labels that are reversed, ``(...)``, in [0, 1/2). (At 1/2 they
            say nothing of the target.)

    Returns:
        Probability of a wrong sign on a new input, against the clean signs, averaged over samples,
        with the broadcast shape of the arguments.

    Raises:
        ValueError: ``theta`` is outside [0, π], ``n`` is below 1, or ``flip`` is outside [0, 1/2).

    Source:
        Ours; the integral is the inversion formula of Gil-Pelaez (1951).

    Example:
        >>> round(float(linear_transfer_error_rate(0.5)), 4)
        0.1592
        >>> round(float(linear_transfer_error_rate(0.5, n=10, flip=0.2)), 4)
        0.209
    """
    check_domain(theta=theta, flip=flip)
    if n is not None:
        check_domain(n=n)
    theta, flip, n = broadcast_floats(theta, flip, jnp.inf if n is None else n)
    share = jnp.where(theta > jnp.pi, 1.0, theta / jnp.pi)
    limited = n < jnp.inf
    c = _slope(flip) * jnp.cos(theta)
    margin = jnp.sqrt(n) * c / jnp.sqrt(1 - c**2)
    # Beyond nine standard deviations the sign is sure, and the integrand oscillates.
    near = limited & (jnp.abs(margin) < 9)
    wrong = _wrong_sign(theta, jnp.where(near, n, 1.0), flip)
    sure = jnp.where(jnp.cos(theta) < 0, 1.0, 0.0)
    return share + (1 - 2 * share) * jnp.where(near, wrong, sure)


# The integrand below is even and analytic in u, where the midpoint rule converges exponentially:
# 256 nodes give 1e-13 for every n.
_NODES = 256


@jax.jit
@jnp.vectorize
def _wrong_sign(theta: Array, n: Array, flip: Array) -> Array:
    """Probability that the one coefficient is negative, by the integral over t = sinh(u)/sqrt(n).

    The characteristic function is exp(-(t sin)^2/2) (re + i im) with re = exp(-(t cos)^2/2) and im
    from Dawson's function.
    """
    finfo = jnp.finfo(theta.dtype)
    # Far out the modulus to the power n falls like (c sqrt(n) / t)^n.
    last = jax.lax.stop_gradient(jnp.log(2 * n) + 2 - jnp.log(finfo.eps) / n)
    u = last / _NODES * (jnp.arange(_NODES, dtype=theta.dtype) + 0.5)
    t = jnp.sinh(u) / jnp.sqrt(n)
    a = t * jnp.cos(theta)
    re = jnp.exp(-(a**2) / 2)
    im = (1 - 2 * flip) * 2 / math.sqrt(math.pi) * _dawson(a / math.sqrt(2))
    # log(re^2 + im^2) in the form that does not cancel.
    change = jnp.expm1(-(a**2)) + im**2
    near = change > -0.5
    far = jnp.where(near, 1.0, jnp.maximum(re**2 + im**2, finfo.tiny))
    log_square = jnp.where(near, jnp.log1p(jnp.where(near, change, 0.0)), jnp.log(far))
    some = re**2 + im**2 > 0
    phase = jnp.where(some, jnp.arctan2(im, jnp.where(some, re, 1.0)), 0.0)
    modulus = jnp.exp(n / 2 * (log_square - (t * jnp.sin(theta)) ** 2))
    integral = last / _NODES * (modulus * jnp.sin(n * phase) / jnp.tanh(u)).sum()
    return 0.5 - integral / jnp.pi


def _dawson(x: Array) -> Array:
    """Dawson's function exp(-x^2) int_0^x exp(s^2) ds for older JAX, which has none.

    Rybicki's sampling series, whose error is exp(-(pi / 2h)^2), and far out the asymptotic one.
    """
    h = 0.25
    odd = np.arange(1, 60, 2, dtype=x.dtype).reshape(-1, *[1] * x.ndim)
    size = jnp.where(x < 0, -x, x)
    far = size > 8
    middle = jnp.where(far, 1.0, size)[None]
    up = jnp.exp(-((middle - odd * h) ** 2)) * -jnp.expm1(-4 * h * odd * middle)
    near = (up / odd).sum(0) / math.sqrt(math.pi)
    size = jnp.where(far, size, 8.0)
    series = jnp.ones_like(x)
    for k in range(12, 0, -1):
        series = 1 + (2 * k - 1) / (2 * size**2) * series
    return jnp.where(x < 0, -1.0, 1.0) * jnp.where(far, series / (2 * size), near)


def fine_tuning_error_rate(
    gamma: ArrayLike, theta: ArrayLike, *, depth: ArrayLike = 2, flip: ArrayLike = 0.0
) -> Float[Array, "..."]:
    r"""Error rate of fine-tuning on n = γ d labels that are signs.

    The source was learned from signs too, clean ones, without limit: the pretrained vector is
    :math:`\sqrt{2/\pi}\, \beta_s`. Training ends on

    .. math:: \beta_{ft} = X^+ y + \kappa \sqrt{2/\pi} \, (I - P) \, \beta_s ,

    with the scale κ of :func:`fine_tuning_scale_from_norms`, and for γ < 1, large d,

    .. math::

        \frac2\pi \, \kappa^{2L/(L-1)} = b + \frac2\pi (1 - \gamma) \, \kappa^2 , \qquad
        b = \gamma \, \frac{1 - c^2 \gamma}{1 - \gamma} = \|X^+ y\|^2 .

    The rate is :math:`\arccos(o / \sqrt N) / \pi` with

    .. math::

        o = c \gamma + \kappa \sqrt{2/\pi} \, (1 - \gamma) \cos\theta , \qquad
        N = b + \kappa^2 \, \frac2\pi \, (1 - \gamma) .

    From γ = 1 on it is that of :func:`scratch_error_rate`.

    Args:
        gamma: Target samples per dimension γ = n / d, ``(...)``.
        theta: Angle between source and target vector, in radians, ``(...)``.
        depth: Number of layers L, ``(...)``, from 1 (κ = 1) to ``inf``.
        flip: Share of the target's training labels that are reversed, ``(...)``, in [0, 1/2). (At
            1/2 they say nothing of the target.)

    Returns:
        Probability of a wrong sign on a new input, against the clean signs, with the broadcast
        shape of the arguments.

    Raises:
        ValueError: ``gamma`` is not positive, ``theta`` is outside [0, π], ``depth`` is below 1, or
            ``flip`` is outside [0, 1/2).

    Source:
        Ours.

    Example:
        >>> round(float(fine_tuning_error_rate(0.5, 0.5)), 3)
        0.224
    """
    check_domain(gamma=gamma, theta=theta, depth=depth, flip=flip)
    gamma, theta, depth, flip = broadcast_floats(gamma, theta, depth, flip)
    c = _slope(flip)
    partial = gamma < 1
    seen = jnp.where(partial, gamma, 0.5)  # any value keeps the branch not taken finite
    unseen = 1 - seen
    length = _SIGN * _scale(seen, depth, c)
    cosine, sine = jnp.cos(theta), jnp.sin(theta)
    along = c * seen + length * unseen * cosine
    # N - o^2, as a sum of what is not negative.
    across2 = (length * sine) ** 2 + seen * (c - length * cosine) ** 2
    across = jnp.sqrt((1 - c**2) * seen / unseen + unseen * across2)
    rate = jnp.arctan2(across, along) / jnp.pi
    return jnp.where(partial, rate, _scratch_error_rate(gamma, flip))


def fine_tuning_error_break_even(
    gamma: ArrayLike, *, depth: ArrayLike = 2, flip: ArrayLike = 0.0
) -> Float[Array, "..."]:
    r"""Angle below which fine-tuning on signs errs less often than training from scratch.

    .. math::

        \cos\theta = c \, \sqrt{\frac{\gamma}{1 - c^2 \gamma}} \; \tan \frac\psi2 , \qquad
        \tan\psi = \sqrt{\frac2\pi} \,
            \frac{\kappa \, (1 - \gamma)}{\sqrt{\gamma (1 - c^2 \gamma)}} ,

    where ψ is the angle between the fine-tuned vector and the span of the data, and κ and c are
    those of :func:`fine_tuning_error_rate`. It lies beyond the 60 degrees of regression, since only
    directions count: at 90 degrees where γ tends to 0 or to 1, and between them nowhere below 73,
    at any depth and share of flips (76 degrees for two layers).

    Args:
        gamma: Target samples per dimension γ = n / d, ``(...)``.
        depth: Number of layers L, ``(...)``, from 1 to ``inf``.
        flip: Share of the target's training labels that are reversed, ``(...)``, in [0, 1/2). (At
            1/2 they say nothing of the target.)

    Returns:
        The angle in radians, with the broadcast shape of the arguments: NaN from γ = 1 on, where
        fine-tuning makes no difference.

    Raises:
        ValueError: ``gamma`` is not positive, ``depth`` is below 1, or ``flip`` is outside
            [0, 1/2).

    Source:
        Ours.

    Example:
        >>> round(float(jnp.degrees(fine_tuning_error_break_even(0.5))), 2)
        76.36
    """
    check_domain(gamma=gamma, depth=depth, flip=flip)
    gamma, depth, flip = broadcast_floats(gamma, depth, flip)
    c = _slope(flip)
    partial = gamma < 1
    seen = jnp.where(partial, gamma, 0.5)
    noisy = 1 - c**2 * seen
    tangent = _SIGN * _scale(seen, depth, c) * (1 - seen) / jnp.sqrt(seen * noisy)
    half = tangent / (1 + jnp.hypot(1.0, tangent))
    angle = jnp.arccos(c * jnp.sqrt(seen / noisy) * half)
    return jnp.where(partial, angle, jnp.nan)


def _slope(flip: Array) -> Array:
    """Overlap c of a label with the direction that it is the sign of."""
    return (1 - 2 * flip) * _SIGN


def _scale(seen: Array, depth: Array, c: Array) -> Array:
    """Scale of the source in fine-tuning, for a share of seen directions below 1."""
    ratio = (1 - c**2 * seen) / (1 - seen) / _SIGN**2
    scale: Array = solve_scale(seen, ratio, depth)
    return scale
