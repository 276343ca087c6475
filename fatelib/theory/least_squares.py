r"""The risk of least squares on given features: the one formula behind every linear transfer.

Scratch training, transfer of one learned direction, of k learned features, of a user's own
features: each is a linear regression on Gaussian features, and differs from the others only in
how many features there are and in how much of the target lies outside their span.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from fatelib.arguments import as_floats, broadcast_floats, check
from fatelib.theory.domain import check_domain, clear_rounding

__all__ = [
    "effective_ridge",
    "interpolator_norm2",
    "least_squares_risk",
    "optimal_scratch_risk",
    "regularised_risk",
    "ridge_risk",
    "scratch_boundary",
    "scratch_risk",
]


def _batch(signature: str, *values: ArrayLike) -> list[Array]:
    """Give arguments of `jnp.vectorize` one dtype and equal numbers of leading axes.

    The leading axes themselves are not broadcast, so a spectrum shared by all n stays small.
    """
    arrays = as_floats(*values)
    cores = [core.count("k") for core in signature.split(",")]
    leading = max(array.ndim - core for array, core in zip(arrays, cores, strict=True))
    return [
        array.reshape((1,) * (leading + core - array.ndim) + array.shape)
        for array, core in zip(arrays, cores, strict=True)
    ]


def _ratio(numerator: Array, gap: Array) -> Array:
    """Divide by a gap that may have closed: then inf, or 0 where there is nothing to divide."""
    is_open = gap > 0
    closed = jnp.where(numerator > 0, jnp.inf, 0.0)
    # The inner `where` keeps the gradient of the branch not taken finite.
    return jnp.where(is_open, numerator / jnp.where(is_open, gap, 1.0), closed)


def least_squares_risk(
    n: ArrayLike,
    k: ArrayLike,
    *,
    residual: ArrayLike = 0.0,
    noise: ArrayLike = 0.0,
    signal: ArrayLike = 1.0,
) -> Float[Array, "..."]:
    r"""Expected risk of (minimum-norm) least squares on k orthonormal Gaussian features.

    .. math::

        R = \rho + \begin{cases}
            (\sigma^2 + \rho) \, \dfrac{k}{n - k - 1} & n > k + 1 \\[2ex]
            S \left(1 - \dfrac{n}{k}\right) + (\sigma^2 + \rho) \, \dfrac{n}{k - n - 1} & n < k - 1
            \end{cases}

    and infinite for :math:`|n - k| \le 1`, except that a target without noise and residual is
    fitted exactly there: :math:`R = S \max(0, 1 - n/k)`. Exact for every n and k, not a limit: the
    part of the target outside the span of the features is independent of them, so it acts as more
    label noise. For ``n > k + 1`` the features need not be orthonormal.

    With ``k = d`` this is training from scratch; with ``k = 1``, ``residual`` = sin² θ and
    ``signal`` = cos² θ it is linear transfer.

    Args:
        n: Number of samples, ``(...)``, at least 1. Numbers between integers interpolate.
        k: Number of features, ``(...)``, at least 1.
        residual: Squared norm ρ of the target outside the span of the features, ``(...)``.
        noise: Standard deviation σ of the label noise, ``(...)``, at most 1e9.
        signal: Squared norm S of the target inside the span, ``(...)``.

    Returns:
        The risk, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``n`` or ``k`` is below 1, or another argument is negative; ``residual`` and
            ``signal``, which may be differences, by more than rounding, which counts as 0.

    Source:
        Mean of the inverse Wishart distribution; Belkin, Hsu and Xu (2020). Eq. 8 and 10 of Tahir
        et al. (2025) are its limits.

    Example:
        >>> round(float(least_squares_risk(250, 500, noise=0.2)), 4)
        0.5402
    """
    check_domain(n=n, k=k, residual=residual, noise=noise, signal=signal)
    n, k, residual, noise, signal = broadcast_floats(n, k, residual, noise, signal)
    residual, signal = clear_rounding(residual), clear_rounding(signal)
    missed = jnp.where(n < k, signal * (1 - n / k), 0.0)
    variance = _ratio((noise**2 + residual) * jnp.minimum(n, k), jnp.abs(n - k) - 1)
    return residual + missed + variance


def _sum(terms: Array) -> Array:
    """Add by eights, and those sums by eights: rounding grows with the logarithm of the length.

    One sum after the other, as XLA does it on a CPU, loses two digits of float32 on thousands of
    equal terms.
    """
    while terms.size > 8:
        rows = terms.size // 8 + 1  # always one zero or more, or XLA would make one sum of them all
        terms = jnp.pad(terms, (0, 8 * rows - terms.size)).reshape(8, rows).sum(0)
    return terms.sum()


def _shrinkage(eigenvalues: Array, kappa: Array) -> tuple[Array, Array]:
    """Return the kept share L = l / (l + kappa) of each coefficient, and the lost share 1 - L."""
    total = eigenvalues + kappa
    defined = total > 0
    total = jnp.where(defined, total, 1.0)
    return jnp.where(defined, eigenvalues / total, 0.0), jnp.where(defined, kappa / total, 1.0)


def _freedom(n: Array, eigenvalues: Array, ridge: Array, kappa: Array) -> Array:
    """Return n - sum L^2 without cancellation: sum L (1 - L) + n ridge / kappa."""
    kept, lost = _shrinkage(eigenvalues, kappa)
    positive = kappa > 0
    unused = jnp.where(positive, n * ridge / jnp.where(positive, kappa, 1.0), n - _sum(kept))
    return _sum(kept * lost) + unused


@jax.custom_jvp
def _effective_ridge(n: Array, eigenvalues: Array, ridge: Array) -> Array:
    """Solve sum l / (l + kappa) + n ridge / kappa = n for one problem."""
    rank = (eigenvalues > 0).sum(dtype=n.dtype)
    smallest = jnp.where(eigenvalues > 0, eigenvalues, jnp.inf).min()

    def excess(kappa: Array) -> Array:
        # Directions mostly kept are counted, and only their lost shares summed: the count is an
        # exact integer, so nothing cancels even in float32.
        kept, lost = _shrinkage(eigenvalues, kappa)
        counted = eigenvalues > kappa
        corrections = _sum(jnp.where(counted, -lost, kept))
        return (counted.sum(dtype=n.dtype) - n) + corrections + n * (ridge / kappa)

    lower = jnp.maximum(ridge, smallest * ((rank - n) / n))
    is_zero = lower <= 0  # no ridge and at least as many samples as directions
    lower = jnp.where(is_zero, 1.0, jnp.maximum(lower, jnp.finfo(n.dtype).tiny))
    upper = jnp.where(is_zero, 1.0, ridge + _sum(eigenvalues) / n)

    def bisect(_: ArrayLike, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        lower, upper = bracket
        middle = jnp.sqrt(lower) * jnp.sqrt(upper)
        above = excess(middle) > 0
        return jnp.where(above, middle, lower), jnp.where(above, upper, middle)

    def newton(_: ArrayLike, kappa: Array) -> Array:
        return kappa * jnp.exp(excess(kappa) / _freedom(n, eigenvalues, ridge, kappa))

    # In log(kappa) the logarithm of the slope changes at most as fast as its argument, so Newton
    # converges quadratically from within half a unit. Eleven bisections get there from the widest
    # bracket that float64 can hold.
    lower, upper = jax.lax.fori_loop(0, 11, bisect, (lower, upper))
    kappa = jax.lax.fori_loop(0, 6, newton, jnp.sqrt(lower) * jnp.sqrt(upper))
    return jnp.where(is_zero, 0.0, kappa)


@_effective_ridge.defjvp
def _effective_ridge_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    n, eigenvalues, ridge = primals
    n_dot, eigenvalues_dot, ridge_dot = tangents
    kappa = _effective_ridge(n, eigenvalues, ridge)
    _, lost = _shrinkage(eigenvalues, kappa)
    lost = jnp.where(eigenvalues + kappa > 0, lost, 0.0)
    change = n * ridge_dot + (ridge - kappa) * n_dot + _sum(lost**2 * eigenvalues_dot)
    freedom = _freedom(n, eigenvalues, ridge, kappa)
    defined = freedom > 0
    return kappa, jnp.where(defined, change / jnp.where(defined, freedom, 1.0), 0.0)


_effective_ridges = jax.jit(jnp.vectorize(_effective_ridge, signature="(),(k),()->()"))


def effective_ridge(
    n: ArrayLike, eigenvalues: Real[ArrayLike, "... k"], *, ridge: ArrayLike = 0.0
) -> Float[Array, "..."]:
    r"""Effective ridge: what n samples leave of a ridge penalty, plus what they add to it.

    The root :math:`\kappa \ge 0` of

    .. math:: \sum_i \frac{l_i}{l_i + \kappa} + \frac{n \lambda}{\kappa} = n .

    It is 0 when there is no ridge and at least as many samples as positive eigenvalues, and lies
    between :math:`\lambda` and :math:`\lambda + \sum_i l_i / n` always.

    Accurate to about ten times the rounding error of the dtype, for spectra over any number of
    decades; differentiable to any order in all arguments, implicitly.

    Args:
        n: Number of samples, ``(...)``, at least 1.
        eigenvalues: Eigenvalues of the features' second moment, as in :func:`ridge_risk`,
            ``(..., k)``, zeros allowed.
        ridge: Penalty λ on the squared norm, added to the *mean* squared error, ``(...)``, at most
            1e9.

    Returns:
        The effective ridge, with the broadcast shape of the arguments without the last axis of
        ``eigenvalues``.

    Raises:
        ValueError: ``n`` is below 1, ``ridge`` is negative, or an eigenvalue is, by more than
            rounding; see :func:`ridge_risk`.

    Source:
        Canatar, Bordelon and Pehlevan (2021); Simon et al. (2023).

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(effective_ridge(50, jnp.ones(100))), 3)
        1.0
    """
    check_domain(n=n, eigenvalues=eigenvalues, ridge=ridge)
    n, eigenvalues, ridge = _batch("(),(k),()", n, eigenvalues, ridge)
    kappa: Array = _effective_ridges(n, clear_rounding(eigenvalues), ridge)
    return kappa


@jax.jit
@functools.partial(jnp.vectorize, signature="(),(k),(k),(),(),()->()")
def _ridge_risk(
    n: Array, eigenvalues: Array, coefficients2: Array, residual: Array, noise: Array, ridge: Array
) -> Array:
    eigenvalues, coefficients2, residual = map(
        clear_rounding, (eigenvalues, coefficients2, residual)
    )
    kappa = _effective_ridge(n, eigenvalues, ridge)
    kept, lost = _shrinkage(eigenvalues, kappa)
    # The subtracted noise^2 is brought over the common denominator: only positive terms remain.
    missed = _sum(lost**2 * coefficients2) + residual
    numerator = n * missed + noise**2 * _sum(kept**2)
    return _ratio(numerator, _freedom(n, eigenvalues, ridge, kappa))


def ridge_risk(
    n: ArrayLike,
    eigenvalues: Real[ArrayLike, "... k"],
    coefficients2: Real[ArrayLike, "... k"],
    *,
    residual: ArrayLike = 0.0,
    noise: ArrayLike = 0.0,
    ridge: ArrayLike = 0.0,
) -> Float[Array, "..."]:
    r"""Risk of ridge regression on features with any second moment, with or without ridge.

    The second moment of features φ(x) is :math:`E[\phi(x) \phi(x)^T]`, about zero: the regression
    has no intercept, and from features whose mean is not zero none is taken off. (Of centred ones
    it is the covariance.) With its eigenvalues :math:`l_i`, the effective ridge :math:`\kappa` of
    :func:`effective_ridge` and the kept shares :math:`L_i = l_i / (l_i + \kappa)`,

    .. math::

        R = \frac{n}{n - \sum_i L_i^2}
            \Big( \sum_i (1 - L_i)^2 \, t_i + \rho + \sigma^2 \Big) - \sigma^2 .

    This is the deterministic equivalent: the risk of one data set tends to it as n and the number
    of features grow together (within a percent or so from a few dozen). With equal eigenvalues and
    no ridge it is the limit of :func:`least_squares_risk`. Infinite where n is the rank and there
    is no ridge.

    Every term is computed as a sum of positive numbers: the relative error is about ten times the
    rounding error of the dtype (1e-6 in float32) for every spectrum, n and ridge. Differentiable
    to any order in all arguments, implicitly through the effective ridge.

    Args:
        n: Number of samples, ``(...)``, at least 1.
        eigenvalues: Eigenvalues :math:`l_i` of the features' second moment, ``(..., k)``, such as
            those of ``features.T @ features / len(features)``.
        coefficients2: Squared coefficients :math:`t_i` of the target on the orthonormal
            eigenfeatures, ``(..., k)``.
        residual: Squared norm ρ of the target outside the span of the features, ``(...)``.
        noise: Standard deviation σ of the label noise, ``(...)``, at most 1e9.
        ridge: Penalty λ on the squared norm, added to the *mean* squared error, ``(...)``, at most
            1e9.

    Returns:
        The risk, with the broadcast shape of the arguments without the last axis.

    Raises:
        ValueError: ``n`` is below 1, another argument is negative by more than rounding, or
            ``eigenvalues`` and ``coefficients2`` differ in their last axis. Rounding leaves an
            eigenvalue, squared coefficient or residual at least :math:`-8 \sqrt k` times the
            rounding error of the dtype and the largest of them; it counts as 0.

    Source:
        Canatar, Bordelon and Pehlevan (2021); Hastie et al. (2022); Simon et al. (2023).

    Example:
        >>> import jax.numpy as jnp
        >>> eigenvalues = 1.0 / jnp.arange(1.0, 201.0) ** 2
        >>> risk = ridge_risk(jnp.array([20, 80]), eigenvalues, eigenvalues, noise=0.1)
        >>> [round(float(r), 3) for r in risk]
        [0.118, 0.035]
    """
    check_domain(
        n=n,
        eigenvalues=eigenvalues,
        coefficients2=coefficients2,
        residual=residual,
        noise=noise,
        ridge=ridge,
    )
    features, coefficients = np.shape(eigenvalues)[-1:], np.shape(coefficients2)[-1:]
    if features != coefficients:
        raise ValueError(
            "coefficients2 must have one entry for each of eigenvalues along its last axis; "
            f"got {coefficients} for {features}"
        )
    arguments = (n, eigenvalues, coefficients2, residual, noise, ridge)
    risk: Array = _ridge_risk(*_batch("(),(k),(k),(),(),()", *arguments))
    return risk


def noise_gain(gamma: Array, sigma: Array) -> Array:
    """Variance of the interpolator per direction that the data see: sigma^2 / |1 - gamma|."""
    return _ratio(sigma**2, jnp.abs(1 - gamma))


def scratch_risk(gamma: ArrayLike, sigma: ArrayLike) -> Float[Array, "..."]:
    r"""Risk of training from scratch: the minimum-norm interpolator of n = γ d samples.

    .. math::

        R_{sc} = \begin{cases}
            1 - \gamma + \sigma^2 \, \dfrac{\gamma}{1 - \gamma} & \gamma < 1 \\[2ex]
            \dfrac{\sigma^2}{\gamma - 1} & \gamma > 1 \end{cases}

    It is the limit of ``least_squares_risk(gamma * d, d, noise=sigma)`` as d tends to infinity:
    infinite at γ = 1 with noise, 0 there without.

    Args:
        gamma: Samples per dimension γ = n / d, ``(...)``.
        sigma: Standard deviation of the label noise, ``(...)``, at most 1e9.

    Returns:
        The risk for a target of unit norm, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``gamma`` is not positive or ``sigma`` is negative.

    Source:
        Eq. 8 of Tahir et al. (2025); Hastie et al. (2022).

    Example:
        >>> round(float(scratch_risk(0.5, 0.2)), 3)
        0.54
    """
    check_domain(gamma=gamma, sigma=sigma)
    gamma, sigma = broadcast_floats(gamma, sigma)
    seen = jnp.minimum(gamma, 1.0)
    return (1 - seen) + seen * noise_gain(gamma, sigma)


def interpolator_norm2(gamma: ArrayLike, sigma: ArrayLike) -> Float[Array, "..."]:
    r"""Squared norm of the minimum-norm interpolator :math:`X^+ y` of n = γ d samples.

    .. math:: N = \min(1, \gamma) \left( 1 + \frac{\sigma^2}{|1 - \gamma|} \right)

    in the limit of large d; its overlap with the target is :math:`\min(1, \gamma)`, so that
    :math:`R_{sc} = N - 2 \min(1, \gamma) + 1`. Pretraining on n samples ends on this vector.

    Args:
        gamma: Samples per dimension γ = n / d, ``(...)``.
        sigma: Standard deviation of the label noise, ``(...)``, at most 1e9.

    Returns:
        The squared norm for a target of unit norm, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``gamma`` is not positive or ``sigma`` is negative.

    Source:
        Appendix C of Tahir et al. (2025).

    Example:
        >>> round(float(interpolator_norm2(0.5, 0.2)), 3)
        0.54
    """
    check_domain(gamma=gamma, sigma=sigma)
    gamma, sigma = broadcast_floats(gamma, sigma)
    return jnp.minimum(gamma, 1.0) * (1 + noise_gain(gamma, sigma))


def regularised_risk(
    gamma: ArrayLike, sigma: ArrayLike, distance2: ArrayLike
) -> Float[Array, "..."]:
    r"""Risk of training with the best weight decay towards a given point, n = γ d samples.

    With :math:`\Delta` the squared distance between that point and the target,

    .. math::

        R = \tfrac12 \Big( -b + \sqrt{b^2 + 4 \Delta \sigma^2} \Big) , \qquad
        b = \sigma^2 + \gamma \Delta - \Delta .

    The best decay is the best ridge, and it makes the estimate the posterior mean of an isotropic
    Gaussian prior around the point: hence the closed form, in the limit of large d. There is no
    double descent. Transfer enters through :math:`\Delta` only:

    - decay towards 0 (scratch): :math:`\Delta = 1`, see :func:`optimal_scratch_risk`;
    - decay towards the pretrained weights: :math:`\Delta = 2 - 2 \cos\theta`, better than scratch
      exactly when θ is below 60 degrees, at every γ;
    - decay towards the pretrained weights times the best scale:
      :math:`\Delta = \sin^2\theta`, never worse than scratch.

    Args:
        gamma: Samples per dimension γ = n / d, ``(...)``.
        sigma: Standard deviation of the label noise, ``(...)``, at most 1e9.
        distance2: Squared distance Δ from the prior mean to the target, ``(...)``, at most 1e9.

    Returns:
        The risk, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``gamma`` is not positive, or ``sigma`` or ``distance2`` is negative, the latter
            by more than rounding beside 1, which counts as 0.

    Source:
        Ours; the scratch case is in Dobriban and Wager (2018).

    Example:
        >>> round(float(regularised_risk(0.5, 1.0, 1.0)), 4)
        0.7808
    """
    check_domain(gamma=gamma, sigma=sigma, distance2=distance2)
    gamma, sigma, distance2 = broadcast_floats(gamma, sigma, distance2)
    distance2 = clear_rounding(distance2)
    b = sigma**2 + distance2 * (gamma - 1)
    product = distance2 * sigma**2
    discriminant = b**2 + 4 * product
    positive = discriminant > 0
    root = jnp.where(positive, jnp.sqrt(jnp.where(positive, discriminant, 1.0)), 0.0)
    # For b > 0 the two terms cancel; the conjugate form adds them instead.
    conjugate = 2 * product / jnp.where(b > 0, b + root, 1.0)
    return jnp.where(b > 0, conjugate, (root - b) / 2)


def optimal_scratch_risk(gamma: ArrayLike, sigma: ArrayLike) -> Float[Array, "..."]:
    r"""Risk of training from scratch with the best weight decay, n = γ d samples.

    .. math::

        R = \tfrac12 \Big( 1 - \gamma - \sigma^2
            + \sqrt{(1 - \gamma - \sigma^2)^2 + 4 \sigma^2} \Big)

    The case ``distance2 = 1`` of :func:`regularised_risk`: a fair baseline, without double descent.

    Args:
        gamma: Samples per dimension γ = n / d, ``(...)``.
        sigma: Standard deviation of the label noise, ``(...)``, at most 1e9.

    Returns:
        The risk for a target of unit norm, with the broadcast shape of the arguments.

    Raises:
        ValueError: ``gamma`` is not positive or ``sigma`` is negative.

    Source:
        Ours; Dobriban and Wager (2018).

    Example:
        >>> round(float(optimal_scratch_risk(1.0, 0.2)), 3)
        0.181
    """
    return regularised_risk(gamma, sigma, 1.0)


def scratch_boundary(residual: ArrayLike, sigma: ArrayLike) -> Float[Array, "..."]:
    r"""The γ below which features beat scratch training with the best weight decay.

    Features that miss a part ρ of the target's squared norm, and fewer than the samples by far,
    have the risk ρ. So

    .. math::

        \rho < R_{opt}(\gamma, \sigma) \iff
        \gamma < (1 - \rho) \, \Big( 1 + \frac{\sigma^2}{\rho} \Big)

    where :math:`R_{opt}` is :func:`optimal_scratch_risk`: the right-hand side is the number of
    samples per dimension that buy the risk ρ. One feature at the angle θ misses
    :math:`\sin^2\theta`. Against this baseline there is one boundary: no double descent, hence no
    band of accidental transfer round γ = 1.

    Args:
        residual: Squared norm ρ of the part of the target outside the span of the features, of a
            target of unit norm, ``(...)``, in [0, 1].
        sigma: Standard deviation of the target label noise, ``(...)``, at most 1e9.

    Returns:
        The boundary, with the broadcast shape of the arguments: where the features miss nothing,
        infinite with noise and 1 without.

    Raises:
        ValueError: ``residual`` is outside [0, 1] or ``sigma`` is negative.

    Source:
        Ours; Figure 5 of Tahir et al. (2025) shows the experiment for one feature.

    Example:
        >>> round(float(scratch_boundary(0.5, 0.2)), 3)
        0.54
    """
    check_domain(residual=residual, sigma=sigma)
    # What users sum up to 1 may be larger by rounding.
    check("residual", residual, lambda x: x <= 1 + 1e-6, "at most 1, the target's squared norm")
    residual, sigma = broadcast_floats(residual, sigma)
    residual = clear_rounding(residual)
    reached = clear_rounding(1 - residual)
    misses, noisy = residual > 0, sigma > 0
    # The inner `where` keeps the gradient of the branch not taken finite.
    price = sigma**2 / jnp.where(misses & noisy, residual, 1.0)
    return jnp.where(misses, reached * (1 + price), jnp.where(noisy, jnp.inf, 1.0))
