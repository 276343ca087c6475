r"""Fine-tuning: continue to train the whole pretrained network on the target.

Gradient flow changes the pretrained vector only in the directions that the target data span, except
that the later layers, which are shared by all directions, grow or shrink with the solution. So the
part of the source vector that the data do not see survives times one number, the scale κ.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import broadcast_floats, check, check_flag
from fatelib.theory.domain import check_domain, clear_rounding
from fatelib.theory.least_squares import noise_gain

__all__ = [
    "fine_tuning_break_even",
    "fine_tuning_scale",
    "fine_tuning_scale_from_norms",
    "fine_tuning_transferability",
]


@jax.jit
@jnp.vectorize
def solve_scale(seen: Array, ratio: Array, depth: Array) -> Array:
    """Scale for a seen share of the source and ratio = interpolator norm^2 / seen source norm^2.

    With r = ||beta_ft||^2 / ||beta_s||^2 the fixed point is r = seen * ratio + unseen * scale^2 and
    scale^2 = r^(1 - 1/depth). Setting scale^2 = ratio * exp(-z) turns it into the equation below,
    which is convex, increasing and well conditioned at every depth, infinity included.
    """
    regular = (ratio > 0) & (ratio < jnp.inf)
    log_ratio = jnp.log(jnp.where(regular, ratio, 1.0))
    shallow = 1 / depth
    unseen = 1 - seen

    def excess(z: Array) -> Array:
        # log(unseen + seen * exp(z)) in the form that does not cancel.
        change = seen * jnp.expm1(z)
        near = change > -0.5
        mixed = jnp.where(
            near,
            jnp.log1p(jnp.where(near, change, 0.0)),
            jnp.log(unseen + seen * jnp.exp(z)),
        )
        return shallow * (z - log_ratio) + (1 - shallow) * mixed

    def newton(_: ArrayLike, z: Array) -> Array:
        share = seen * jnp.exp(z) / (unseen + seen * jnp.exp(z))
        return z - excess(z) / (shallow + (1 - shallow) * share)

    def solve(_: object, start: Array) -> Array:
        # From above Newton descends on the convex function monotonically; where it is exponential
        # it moves by one per step, hence the many steps.
        return jax.lax.fori_loop(0, 40, newton, start)

    start = shallow * log_ratio / (shallow + (1 - shallow) * seen)
    z = jax.lax.custom_root(
        excess,
        jax.lax.stop_gradient(start),
        solve,
        lambda linear, y: y / linear(jnp.ones_like(y)),
    )
    scale = jnp.exp((log_ratio - z) / 2)
    # An infinite interpolator carries the scale along unless there is one layer; next to an
    # infinite source only the unseen part counts: r = unseen * scale^2.
    unseen_only = jnp.where(depth > 1, unseen ** ((depth - 1) / 2), 1.0)
    extreme = jnp.where(ratio > 0, jnp.where(depth > 1, jnp.inf, 1.0), unseen_only)
    extreme = jax.lax.stop_gradient(extreme)
    return jnp.where(regular, scale, extreme)


def fine_tuning_scale_from_norms(
    interpolator_norm2: ArrayLike,
    source_norm2: ArrayLike,
    seen_norm2: ArrayLike,
    *,
    depth: ArrayLike = 2,
) -> Float[Array, "..."]:
    r"""Scale κ of the pretrained vector after fine-tuning on one given data set.

    Gradient flow on data X (n, d), y from a balanced network with vector :math:`\beta_s` ends on

    .. math::

        \beta_{ft} = X^+ y + \kappa \, (I - P) \, \beta_s , \qquad P = X^+ X , \qquad
        \kappa = \Big( \frac{\|\beta_{ft}\|}{\|\beta_s\|} \Big)^{(L - 1) / L} .

    The square of the norm of the first equation, put into the second, is one equation for κ:

    .. math::

        \|\beta_s\|^2 \, \kappa^{2L/(L-1)} =
            \|X^+ y\|^2 + \big( \|\beta_s\|^2 - \|P \beta_s\|^2 \big) \, \kappa^2 .

    Exact for every data set and depth.

    Args:
        interpolator_norm2: :math:`\|X^+ y\|^2`, ``(...)``.
        source_norm2: :math:`\|\beta_s\|^2`, ``(...)``, positive.
        seen_norm2: :math:`\|P \beta_s\|^2`, ``(...)``, positive and at most ``source_norm2``.
        depth: Number of layers L, ``(...)``, from 1 (κ = 1) to ``inf``.

    Returns:
        The scale, with the broadcast shape of the arguments.

    Raises:
        ValueError: A norm is out of its range or ``depth`` is below 1.

    Source:
        Ours; Theorem 3.9 of Tahir et al. (2025) is κ = 1.

    Example:
        >>> round(float(fine_tuning_scale_from_norms(1.5, 1.0, 0.5)), 4)
        1.2247
    """
    check_domain(
        interpolator_norm2=interpolator_norm2,
        source_norm2=source_norm2,
        seen_norm2=seen_norm2,
        depth=depth,
    )
    interpolator_norm2, source_norm2, seen_norm2, depth = broadcast_floats(
        interpolator_norm2, source_norm2, seen_norm2, depth
    )
    interpolator_norm2 = clear_rounding(interpolator_norm2)
    # The projector's rounding may leave the seen part a little longer than the whole.
    longest = 1 + float(jnp.finfo(seen_norm2.dtype).eps) ** 0.5
    at_most = (lambda share: share <= longest, "at most source_norm2")
    check("seen_norm2", seen_norm2 / source_norm2, *at_most)
    seen_norm2 = jnp.minimum(seen_norm2, source_norm2)
    scale: Array = solve_scale(seen_norm2 / source_norm2, interpolator_norm2 / seen_norm2, depth)
    return scale


def fine_tuning_scale(
    gamma: ArrayLike,
    sigma: ArrayLike,
    *,
    depth: ArrayLike = 2,
    source_gamma: ArrayLike = jnp.inf,
    source_sigma: ArrayLike = 0.0,
) -> Float[Array, "..."]:
    r"""Scale κ of the pretrained vector after fine-tuning, for large d at n = γ d.

    The limit of :func:`fine_tuning_scale_from_norms`. With
    :math:`N = \min(1, \gamma_s) (1 + \sigma_s^2 / |1 - \gamma_s|)` the squared norm of the
    pretrained vector (1 for an unlimited source), κ solves

    .. math::

        N \kappa^{2L/(L-1)} = \min(1, \gamma) \Big( 1 + \frac{\sigma^2}{|1 - \gamma|} \Big)
            + N \max(0, 1 - \gamma) \, \kappa^2 .

    Noise in the target makes κ > 1; one layer, or no noise and an unlimited source, gives κ = 1.
    Infinitely many layers give :math:`\kappa^2 = (1 + \sigma^2 / |1 - \gamma|) / N`.

    The relative error is a few times the rounding error of the dtype.

    Args:
        gamma: Target samples per dimension γ = n / d, ``(...)``.
        sigma: Standard deviation of the target label noise, ``(...)``, at most 1e9.
        depth: Number of layers L, ``(...)``, from 1 to ``inf``.
        source_gamma: Source samples per dimension, ``(...)``, at least 1e-15.
        source_sigma: Standard deviation of the source label noise, ``(...)``, at most 1e9.

    Returns:
        The scale, with the broadcast shape of the arguments. Infinite at γ = 1 with noise.

    Raises:
        ValueError: ``gamma`` is not positive, ``source_gamma`` is below 1e-15, a noise is
            negative, or ``depth`` is below 1.

    Source:
        Ours; eq. 15 of Tahir et al. (2025) is κ = 1.

    Example:
        >>> round(float(fine_tuning_scale(0.5, 1.0)), 4)
        1.2247
    """
    check_domain(
        gamma=gamma,
        sigma=sigma,
        depth=depth,
        source_gamma=source_gamma,
        source_sigma=source_sigma,
    )
    gamma, sigma, depth, source_gamma, source_sigma = broadcast_floats(
        gamma, sigma, depth, source_gamma, source_sigma
    )
    seen, source_seen = jnp.minimum(gamma, 1.0), jnp.minimum(source_gamma, 1.0)
    source_norm2 = source_seen * (1 + noise_gain(source_gamma, source_sigma))
    scale: Array = solve_scale(seen, (1 + noise_gain(gamma, sigma)) / source_norm2, depth)
    return scale


def fine_tuning_transferability(
    gamma: ArrayLike,
    theta: ArrayLike,
    sigma: ArrayLike,
    *,
    depth: ArrayLike = 2,
    source_gamma: ArrayLike = jnp.inf,
    source_sigma: ArrayLike = 0.0,
    paper: bool = False,
) -> Float[Array, "..."]:
    r"""Transferability of fine-tuning: how much risk it saves over training from scratch.

    .. math::

        T_{ft} = (1 - \gamma) \big( 2 \kappa \min(1, \gamma_s) \cos\theta - \kappa^2 N \big)
        \quad (\gamma < 1) , \qquad T_{ft} = 0 \quad (\gamma \ge 1) ,

    with κ the :func:`fine_tuning_scale` and N the squared norm of the pretrained vector. For an
    unlimited source this is :math:`(1 - \gamma)(2 \kappa \cos\theta - \kappa^2)`. It tends to 0 as
    γ tends to 1 for every finite depth; for ``depth=inf`` it jumps from :math:`-\sigma^2` to 0.
    At γ_s = 1 with source noise, where the pretrained vector is infinite, it is minus infinity for
    finite depth and :math:`-(1 - \gamma + \sigma^2)` for ``depth=inf``.

    Args:
        gamma: Target samples per dimension γ = n / d, ``(...)``.
        theta: Angle between source and target vector, in radians, ``(...)``.
        sigma: Standard deviation of the target label noise, ``(...)``, at most 1e9.
        depth: Number of layers L, ``(...)``, from 1 to ``inf``.
        source_gamma: Source samples per dimension, ``(...)``, at least 1e-15.
        source_sigma: Standard deviation of the source label noise, ``(...)``, at most 1e9.
        paper: Take κ = 1 as the paper does: exact without noise and with an unlimited source.

    Returns:
        The transferability, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``gamma`` is not positive, ``source_gamma`` is below 1e-15, ``theta`` is
            outside [0, π], a noise is negative, or ``depth`` is below 1.

    Source:
        Ours; with ``paper=True`` eq. 15 and 22 of Tahir et al. (2025).

    Example:
        >>> round(float(fine_tuning_transferability(0.5, 0.5, 1.0)), 4)
        0.3248
        >>> round(float(fine_tuning_transferability(0.5, 0.5, 1.0, paper=True)), 4)
        0.3776
    """
    check_domain(
        gamma=gamma,
        theta=theta,
        sigma=sigma,
        depth=depth,
        source_gamma=source_gamma,
        source_sigma=source_sigma,
    )
    check_flag("paper", paper)
    gamma, theta, sigma, depth, source_gamma, source_sigma = broadcast_floats(
        gamma, theta, sigma, depth, source_gamma, source_sigma
    )
    unseen = jnp.maximum(1 - gamma, 0.0)
    partial = unseen > 0
    infinite = jnp.isinf(noise_gain(source_gamma, source_sigma))
    # Any values away from the peaks keep the branches not taken finite.
    gamma = jnp.where(partial, gamma, 0.5)
    source_gamma = jnp.where(infinite, 0.5, source_gamma)
    lowest = jnp.full_like(gamma, -jnp.inf)
    if paper:
        scale = jnp.ones_like(gamma)
    else:
        scale = fine_tuning_scale(
            gamma, sigma, depth=depth, source_gamma=source_gamma, source_sigma=source_sigma
        )
        bounded = -unseen * (1 + noise_gain(gamma, sigma))
        lowest = jnp.where(depth < jnp.inf, lowest, bounded)
    source_seen = jnp.minimum(source_gamma, 1.0)
    gain = 2 * jnp.cos(theta) - scale * (1 + noise_gain(source_gamma, source_sigma))
    value = jnp.where(infinite, lowest, unseen * scale * source_seen * gain)
    return jnp.where(partial, value, 0.0)


def fine_tuning_break_even(
    gamma: ArrayLike,
    sigma: ArrayLike,
    *,
    depth: ArrayLike = 2,
    source_gamma: ArrayLike = jnp.inf,
    source_sigma: ArrayLike = 0.0,
) -> Float[Array, "..."]:
    r"""Angle between the tasks below which fine-tuning beats training from scratch.

    .. math:: \cos\theta = \frac{\kappa}{2} \Big( 1 + \frac{\sigma_s^2}{|1 - \gamma_s|} \Big)

    With an unlimited source :math:`\cos\theta = \kappa / 2`: 60 degrees without noise, less
    with it, the more so the deeper the network.

    Args:
        gamma: Target samples per dimension γ = n / d, ``(...)``.
        sigma: Standard deviation of the target label noise, ``(...)``, at most 1e9.
        depth: Number of layers L, ``(...)``, from 1 to ``inf``.
        source_gamma: Source samples per dimension, ``(...)``, at least 1e-15.
        source_sigma: Standard deviation of the source label noise, ``(...)``, at most 1e9.

    Returns:
        The angle in radians, with the broadcast shape of the arguments: 0 where fine-tuning loses
        at every angle, NaN from γ = 1 on, where it makes no difference.

    Raises:
        ValueError: ``gamma`` is not positive, ``source_gamma`` is below 1e-15, a noise is
            negative, or ``depth`` is below 1.

    Source:
        Ours; θ = 60 degrees is in Tahir et al. (2025), below eq. 15.

    Example:
        >>> round(float(jnp.degrees(fine_tuning_break_even(0.5, 1.0))), 2)
        52.24
    """
    scale = fine_tuning_scale(
        gamma, sigma, depth=depth, source_gamma=source_gamma, source_sigma=source_sigma
    )
    gamma, source_gamma, source_sigma, _ = broadcast_floats(
        gamma, source_gamma, source_sigma, scale
    )
    cosine = scale * (1 + noise_gain(source_gamma, source_sigma)) / 2
    # Beyond 1 there is no such angle: transfer loses at all of them.
    possible = cosine < 1
    angle = jnp.where(possible, jnp.arccos(jnp.where(possible, cosine, 0.0)), 0.0)
    return jnp.where(gamma < 1, angle, jnp.nan)
