r"""Linear transfer: freeze the one direction that pretraining learned, fit its scale anew.

The learned features span the source vector, so linear transfer is least squares on a single
feature, and its whole phase diagram is the risk of :func:`least_squares_risk` at ``k = d`` minus
that at ``k = 1``.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import broadcast_floats
from fatelib.theory.domain import check_domain
from fatelib.theory.least_squares import least_squares_risk, noise_gain, scratch_risk

__all__ = [
    "learned_angle",
    "linear_transfer_risk",
    "linear_transferability",
    "negative_transfer_interval",
    "negative_transfer_onset",
]


def learned_angle(
    theta: ArrayLike, source_gamma: ArrayLike, source_sigma: ArrayLike
) -> Float[Array, "..."]:
    r"""Angle between the target and the direction that a finite source data set teaches.

    Pretraining on :math:`n_s = \gamma_s d` samples ends on their minimum-norm interpolator, whose
    overlap with the target is :math:`\min(1, \gamma_s) \cos\theta` and whose squared norm is that
    of :func:`interpolator_norm2`. For large d,

    .. math::

        \cos \hat\theta = \cos\theta \,
            \sqrt{\frac{\min(1, \gamma_s)}{1 + \sigma_s^2 / |1 - \gamma_s|}} .

    Every formula of this module holds for a finite source with this angle in place of θ.

    Args:
        theta: Angle between source and target vector, in radians, ``(...)``.
        source_gamma: Source samples per dimension, ``(...)``, at least 1e-15; ``inf`` gives
            ``theta`` back.
        source_sigma: Standard deviation of the source label noise, ``(...)``, at most 1e9.

    Returns:
        The angle in radians, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``theta`` is outside [0, π], ``source_gamma`` is below 1e-15, or
            ``source_sigma`` is negative.

    Source:
        Ours, from the moments in Appendix C of Tahir et al. (2025).

    Example:
        >>> round(float(learned_angle(0.0, 0.5, 0.0)), 3)
        0.785
    """
    check_domain(theta=theta, source_gamma=source_gamma, source_sigma=source_sigma)
    theta, source_gamma, source_sigma = broadcast_floats(theta, source_gamma, source_sigma)
    seen = jnp.minimum(source_gamma, 1.0)
    alignment2 = seen / (1 + noise_gain(source_gamma, source_sigma))
    # Noise at source_gamma = 1 leaves nothing: the angle is pi / 2 there, with a cusp.
    teaches = alignment2 > 0
    alignment = jnp.where(teaches, jnp.sqrt(jnp.where(teaches, alignment2, 1.0)), 0.0)
    # From both legs rather than arccos, whose derivative is infinite at aligned tasks.
    lost = 1 - alignment2
    is_lossy = lost > 0
    across2 = jnp.where(is_lossy, jnp.sin(theta) ** 2 + lost * jnp.cos(theta) ** 2, 1.0)
    sine = jnp.sin(theta)
    # The sine of float32's pi is negative.
    across = jnp.where(is_lossy, jnp.sqrt(across2), jnp.where(sine < 0, -sine, sine))
    return jnp.arctan2(across, alignment * jnp.cos(theta))


# The integrand below is analytic and decays at both ends, where the trapezoidal rule in log(t)
# converges exponentially: 256 nodes give 1e-12 for every n and a ridge down to 1e-20.
_NODES = 256
_SMALLEST_RIDGE = 1e-20


@jax.jit
@jnp.vectorize
def _ridge_quadrature(theta: Array, n: Array, sigma: Array, ridge: Array) -> Array:
    """Risk at finite n with ridge: see `linear_transfer_risk` for the integral."""
    first = jnp.log(1e-9 / (1 + ridge))
    last = jnp.log(45.0 / jnp.maximum(ridge, _SMALLEST_RIDGE))
    # Where the nodes lie must not contribute to derivatives.
    first, last = jax.lax.stop_gradient((first, last))
    spacing = (last - first) / (_NODES - 1)
    t = jnp.exp(first + spacing * jnp.arange(_NODES, dtype=theta.dtype))
    sin2, cos2 = jnp.sin(theta) ** 2, jnp.cos(theta) ** 2
    decay = jnp.exp(-ridge * t - (n / 2) * jnp.log1p(2 * t / n))
    bias = cos2 * (ridge * t) ** 2
    variance = (sigma**2 + sin2) * (t / n) * (t / (1 + 2 * t / n))
    return sin2 + spacing * (decay * (bias + variance)).sum()


def linear_transfer_risk(
    theta: ArrayLike,
    *,
    n: ArrayLike | None = None,
    sigma: ArrayLike = 0.0,
    ridge: ArrayLike = 0.0,
) -> Float[Array, "..."]:
    r"""Risk of linear transfer: regression on the one feature that pretraining learned.

    With unlimited target samples,

    .. math:: R_{lt} = \sin^2\theta + \Big( \frac{\lambda}{1 + \lambda} \Big)^2 \cos^2\theta ,

    so ridge only hurts, and the noise no longer matters. With n samples and no ridge it is
    ``least_squares_risk(n, 1, residual=sin² θ, noise=sigma, signal=cos² θ)``, that is

    .. math:: R_{lt} = \sin^2\theta + \frac{\sigma^2 + \sin^2\theta}{n - 2} ,

    infinite for n up to 2. With n samples and ridge, :math:`q \sim \chi^2_n` the squared norm of
    the feature on them,

    .. math::

        R_{lt} &= \sin^2\theta + \mathbb{E}_q \,
            \frac{(n \lambda)^2 \cos^2\theta + q \, (\sigma^2 + \sin^2\theta)}{(q + n \lambda)^2} \\
        &= \sin^2\theta + \int_0^\infty \! t \, e^{-\lambda t}
            \Big( 1 + \frac{2t}{n} \Big)^{-n/2}
            \Big( \lambda^2 \cos^2\theta + \frac{\sigma^2 + \sin^2\theta}{n + 2t} \Big) \, dt ,

    which is exact at every n; a small ridge can help. The integral is computed to a relative error
    of 1e-12 (float64) or 2e-6 (float32) for a ridge of at least 1e-20.

    Args:
        theta: Angle between source and target vector, in radians, ``(...)``; for a finite source
            the :func:`learned_angle`.
        n: Number of target samples, ``(...)``, at least 1; None for the limit of many.
        sigma: Standard deviation of the target label noise, ``(...)``, at most 1e9.
        ridge: Penalty λ on the squared scale, added to the *mean* squared error, ``(...)``, at most
            1e9.

    Returns:
        The risk, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``theta`` is outside [0, π], ``n`` is below 1, or ``sigma`` or ``ridge`` is
            negative.

    Source:
        Eq. 10 and 13 of Tahir et al. (2025); finite n with ridge is ours.

    Example:
        >>> round(float(linear_transfer_risk(0.5, ridge=0.1)), 4)
        0.2362
        >>> round(float(linear_transfer_risk(0.5, n=10, sigma=0.2, ridge=0.1)), 4)
        0.2661
    """
    check_domain(theta=theta, sigma=sigma, ridge=ridge)
    if n is None:
        theta, sigma, ridge = broadcast_floats(theta, sigma, ridge)
        shrinkage = ridge / (1 + ridge)
        return jnp.sin(theta) ** 2 + (shrinkage * jnp.cos(theta)) ** 2
    check_domain(n=n)
    theta, n, sigma, ridge = broadcast_floats(theta, n, sigma, ridge)
    risk = _ridge_quadrature(theta, n, sigma, ridge)
    exact = least_squares_risk(
        n, 1.0, residual=jnp.sin(theta) ** 2, noise=sigma, signal=jnp.cos(theta) ** 2
    )
    # Without ridge the value is the closed form; the integral still supplies the derivatives, so
    # that the one in the ridge is right as well (it is infinite for n up to 4).
    return risk + jax.lax.stop_gradient(jnp.where(ridge > 0, 0.0, exact - risk))


def linear_transferability(
    gamma: ArrayLike,
    theta: ArrayLike,
    sigma: ArrayLike,
    *,
    source_gamma: ArrayLike = jnp.inf,
    source_sigma: ArrayLike = 0.0,
) -> Float[Array, "..."]:
    r"""Transferability of linear transfer: how much risk it saves over training from scratch.

    .. math:: T_{lt} = R_{sc}(\gamma, \sigma) - \sin^2\hat\theta

    in the limit of large d at n = γ d, with :math:`\hat\theta` the :func:`learned_angle` (θ itself
    for an unlimited source). Positive: transfer wins. It is infinite at γ = 1 with noise, which is
    the double descent of scratch training and no merit of the features.

    The exact value at finite d is the difference of one function at two arguments,
    ``least_squares_risk(n, d, noise=sigma)`` and ``linear_transfer_risk(theta, n=n, sigma=sigma)``,
    which tends to this one.

    Args:
        gamma: Target samples per dimension γ = n / d, ``(...)``.
        theta: Angle between source and target vector, in radians, ``(...)``.
        sigma: Standard deviation of the target label noise, ``(...)``, at most 1e9.
        source_gamma: Source samples per dimension, ``(...)``, at least 1e-15.
        source_sigma: Standard deviation of the source label noise, ``(...)``, at most 1e9.

    Returns:
        The transferability, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``gamma`` is not positive, ``source_gamma`` is below 1e-15, ``theta`` is
            outside [0, π], or a noise is negative.

    Source:
        Eq. 11 of Tahir et al. (2025); the finite source is ours.

    Example:
        >>> round(float(linear_transferability(0.5, 0.5, 0.2)), 4)
        0.3102
    """
    check_domain(
        gamma=gamma,
        theta=theta,
        sigma=sigma,
        source_gamma=source_gamma,
        source_sigma=source_sigma,
    )
    gamma, theta, sigma, source_gamma, source_sigma = broadcast_floats(
        gamma, theta, sigma, source_gamma, source_sigma
    )
    value: Array = _transferability(gamma, theta, sigma, source_gamma, source_sigma)
    return value


@jax.jit  # one program in place of one for each operation
def _transferability(
    gamma: Array, theta: Array, sigma: Array, source_gamma: Array, source_sigma: Array
) -> Array:
    angle = learned_angle(theta, source_gamma, source_sigma)
    return scratch_risk(gamma, sigma) - linear_transfer_risk(angle)


def negative_transfer_interval(
    theta: ArrayLike, sigma: ArrayLike
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    r"""Interval of γ below 1 in which linear transfer is worse than training from scratch.

    :math:`T_{lt} < 0` for :math:`\gamma_- < \gamma < \gamma_+`, the roots of

    .. math:: \gamma^2 - B \gamma + \cos^2\theta = 0 , \qquad B = 1 + \cos^2\theta - \sigma^2 .

    There is such an interval only if :math:`\sigma < 1 - |\cos\theta|`. Between
    :math:`\gamma_+` and 1 transfer wins at every angle, because scratch training is at the peak of
    its double descent. Above 1 see :func:`negative_transfer_onset`.

    Args:
        theta: Angle between source and target vector, in radians, ``(...)``.
        sigma: Standard deviation of the target label noise, ``(...)``, at most 1e9.

    Returns:
        Both ends :math:`(\gamma_-, \gamma_+)`, each with the broadcast shape of the arguments; NaN
        where the interval is empty.

    Raises:
        ValueError: ``theta`` is outside [0, π] or ``sigma`` is negative.

    Source:
        Eq. 11 of Tahir et al. (2025).

    Example:
        >>> low, high = negative_transfer_interval(0.785, 0.2)
        >>> round(float(low), 3), round(float(high), 3)
        (0.549, 0.911)
    """
    check_domain(theta=theta, sigma=sigma)
    theta, sigma = broadcast_floats(theta, sigma)
    cosine = jnp.abs(jnp.cos(theta))
    # 1 - |cos| without cancellation, and B^2 - 4 cos^2 as the product of its four factors.
    versine = jnp.sin(theta) ** 2 / (1 + cosine)
    exists = sigma < versine
    discriminant = (versine**2 - sigma**2) * ((1 + cosine) ** 2 - sigma**2)
    root = jnp.sqrt(jnp.where(exists, discriminant, 1.0))
    high = (1 + cosine**2 - sigma**2 + root) / 2
    # The product of the roots, because their difference cancels in the smaller one.
    low = cosine**2 / jnp.where(exists, high, 1.0)
    return jnp.where(exists, low, jnp.nan), jnp.where(exists, high, jnp.nan)


def negative_transfer_onset(theta: ArrayLike, sigma: ArrayLike) -> Float[Array, "..."]:
    r"""The γ above 1 from which linear transfer is worse than training from scratch.

    .. math:: \gamma > 1 + \frac{\sigma^2}{\sin^2\theta} \iff T_{lt} < 0 \quad (\gamma > 1)

    Infinite for parallel tasks, where enough data never make up for the right direction.

    Args:
        theta: Angle between source and target vector, in radians, ``(...)``.
        sigma: Standard deviation of the target label noise, ``(...)``, at most 1e9.

    Returns:
        The boundary, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``theta`` is outside [0, π] or ``sigma`` is negative.

    Source:
        Eq. 11 of Tahir et al. (2025).

    Example:
        >>> round(float(negative_transfer_onset(0.785, 0.2)), 3)
        1.08
    """
    check_domain(theta=theta, sigma=sigma)
    theta, sigma = broadcast_floats(theta, sigma)
    sin2 = jnp.sin(theta) ** 2
    apart = sin2 > 0
    return jnp.where(apart, 1 + sigma**2 / jnp.where(apart, sin2, 1.0), jnp.inf)
