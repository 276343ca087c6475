r"""How far apart two tasks are, and two data sets: alone, no verdict on transfer.

Both tasks draw :math:`x \sim N(0, I_d)` and :math:`y = x \cdot \beta + \sigma \varepsilon`, with
vectors :math:`\beta_s, \beta_t` and the same noise. The distances below are between the joint
distributions of the pair (x, y), and all of them depend on the vectors through
:math:`\|\beta_s - \beta_t\|` and the norms. Linear transfer depends on the angle between them and
on the number of samples instead: tasks as far apart as a distance allows can share their feature.
"""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from fatelib.arguments import FINITE, as_floats, check, check_choice, real

__all__ = [
    "dudley_coupling_bound",
    "dudley_lower_bound",
    "empirical_wasserstein",
    "kl_divergence",
    "wasserstein_coupling_bound",
]


def kl_divergence(
    beta_source: Real[ArrayLike, " d"], beta_target: Real[ArrayLike, " d"], sigma: ArrayLike
) -> Float[Array, ""]:
    r"""Kullback-Leibler divergence between the two tasks.

    .. math:: KL(p_s \| p_t) = KL(p_t \| p_s) = \frac{\|\beta_s - \beta_t\|^2}{2 \sigma^2}

    which is :math:`(1 - \cos\theta) / \sigma^2` for unit vectors at the angle θ.

    Args:
        beta_source: The source vector, ``(d,)``.
        beta_target: The target vector, ``(d,)``.
        sigma: Standard deviation of the label noise of both tasks; a number.

    Returns:
        The divergence in nats, a number; without noise it is zero for equal vectors and infinite
        for others.

    Raises:
        ValueError: ``sigma`` is negative, a vector is not finite or their lengths differ.

    Source:
        Appendix A of Tahir et al. (2025); the divergence is that of Kullback and Leibler (1951).

    Example:
        >>> import jax.numpy as jnp
        >>> source, target = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
        >>> round(float(kl_divergence(source, target, sigma=0.5)), 3)
        4.0
    """
    source, target, sigma = _tasks(beta_source, beta_target, sigma)
    difference = source - target
    # Divided before it is squared: the square of a small sigma is zero to float32.
    unit = jnp.where((difference == 0) & (sigma == 0), 1, sigma)
    return jnp.sum((difference / unit) ** 2) / 2


def wasserstein_coupling_bound(
    beta_source: Real[ArrayLike, " d"], beta_target: Real[ArrayLike, " d"]
) -> Float[Array, ""]:
    r"""Upper bound on the Wasserstein distance between the two tasks, at any noise.

    Give both tasks the same x and the same noise: then only the labels differ, and

    .. math:: W_1(p_s, p_t) \le E |x \cdot (\beta_s - \beta_t)|
        = \sqrt{2 / \pi} \, \|\beta_s - \beta_t\| ,

    for the L1 ground cost and the Euclidean one alike, as nothing moves but one coordinate. It is
    at most :math:`\sqrt{8/\pi} \approx 1.6` for unit vectors, in every dimension.

    Args:
        beta_source: The source vector, ``(d,)``.
        beta_target: The target vector, ``(d,)``.

    Returns:
        The bound, a number in the units of the labels. Its derivative at equal vectors, where it
        has a kink, is given as zero.

    Raises:
        ValueError: A vector is not finite or their lengths differ.

    Source:
        Ours. The distance and its couplings: Villani (2009), chapter 6.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(wasserstein_coupling_bound(jnp.array([1.0]), jnp.array([-1.0]))), 3)
        1.596
    """
    source, target, _ = _tasks(beta_source, beta_target, 0.0)
    return math.sqrt(2 / math.pi) * _norm(source - target)


def dudley_lower_bound(
    beta_source: Real[ArrayLike, " d"],
    beta_target: Real[ArrayLike, " d"],
    sigma: ArrayLike = 0.0,
) -> Float[Array, ""]:
    r"""Lower bound on the Dudley (bounded-Lipschitz) distance between the two tasks.

    The distance is the largest :math:`|E_s h - E_t h|` over the functions of (x, y) whose largest
    absolute value and Lipschitz constant (in the Euclidean norm) sum to at most 1, so it never
    exceeds 2. One such function is a ramp in the residual of a linear map b,

    .. math::

        h(x, y) = \frac{K}{K + 2} \Big( 1 - 2 \min\big( |u| / K, 1 \big) \Big) , \qquad
        u = \frac{y - x \cdot b}{\sqrt{1 + \|b\|^2}} :

    it is bounded by K / (K + 2), and its slope by 2 / (K + 2). The residual is a centred normal
    variable, of standard deviation

    .. math:: r = \sqrt{ \frac{\sigma^2 + \|\beta - b\|^2}{1 + \|b\|^2} }

    with :math:`r_s` for the source and :math:`r_t` for the target, so that for every K and b

    .. math::

        D(p_s, p_t) \ge \frac{2K}{K + 2} \, | g(r_t / K) - g(r_s / K) | , \qquad
        g(r) = E \min(r |\xi|, 1)
             = r \sqrt{2 / \pi} \, \big( 1 - e^{-1 / 2 r^2} \big)
             + \operatorname{erfc} \big( 1 / \sqrt{2} r \big) .

    The result is the largest over K and over b = 0 (the label itself), :math:`\beta_s` and
    :math:`\beta_t`. It tends to 2 when one task has labels of a scale :math:`r \to \infty` and the
    other's stay bounded, even if their vectors point the same way and linear transfer is perfect;
    it is exact when one vector and the noise are zero.

    Args:
        beta_source: The source vector, ``(d,)``.
        beta_target: The target vector, ``(d,)``.
        sigma: Standard deviation of the label noise of both tasks; a number.

    Returns:
        The bound, a pure number in [0, 2] that depends on the unit of the labels, as the distance
        does. First derivatives are right; second derivatives leave out that the best K moves.

    Raises:
        ValueError: ``sigma`` is negative, a vector is not finite or their lengths differ.

    Source:
        Ours; corrects the test function in the proof of Theorem A.2 of Tahir et al. (2025). The
        distance: Dudley (2002), section 11.3.

    Example:
        >>> import jax.numpy as jnp
        >>> source = jnp.array([0.6, 0.8])
        >>> [round(float(dudley_lower_bound(source, c * source)), 2) for c in (1, 10, 1e3, 1e5)]
        [0.0, 1.01, 1.87, 1.99]
    """
    source, target, sigma = _tasks(beta_source, beta_target, sigma)

    def ramp_in_residual(b: Array) -> Array:
        scale = _norm(jnp.append(b, 1))
        of_source, of_target = (
            _norm(jnp.append(beta - b, sigma)) / scale for beta in (source, target)
        )
        return _best_ramp(jnp.minimum(of_source, of_target), jnp.maximum(of_source, of_target))

    maps = jnp.stack([jnp.zeros_like(source), source, target])
    return jax.vmap(ramp_in_residual)(maps).max(initial=0)


def dudley_coupling_bound(
    beta_source: Real[ArrayLike, " d"], beta_target: Real[ArrayLike, " d"]
) -> Float[Array, ""]:
    r"""Upper bound on the Dudley (bounded-Lipschitz) distance between the two tasks, at any noise.

    Give both tasks the same x and the same noise: then only the labels differ, by a normal variable
    of standard deviation :math:`r = \|\beta_s - \beta_t\|`. A function bounded by K / (K + 2)
    changes by at most 2K / (K + 2), and with Lipschitz constant 2 / (K + 2) by at most that times
    the difference of the labels. Hence, with g as in :func:`dudley_lower_bound`,

    .. math:: D(p_s, p_t) \le \max_K \frac{2K}{K + 2} \, g(r / K) ,

    which is what the ramp attains when one vector and the noise are zero.

    Args:
        beta_source: The source vector, ``(d,)``.
        beta_target: The target vector, ``(d,)``.

    Returns:
        The bound, a number in [0, 2]: at most :func:`wasserstein_coupling_bound`, and close to it
        for close tasks. First derivatives are right, second ones not, as for
        :func:`dudley_lower_bound`.

    Raises:
        ValueError: A vector is not finite or their lengths differ.

    Source:
        Ours. The distance: Dudley (2002), section 11.3.

    Example:
        >>> import jax.numpy as jnp
        >>> source, target = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
        >>> round(float(dudley_coupling_bound(source, target)), 3)
        0.526
    """
    source, target, _ = _tasks(beta_source, beta_target, 0.0)
    distance = _norm(source - target)
    return _best_ramp(jnp.zeros_like(distance), distance)


def empirical_wasserstein(
    first: Real[ArrayLike, "n p"],
    second: Real[ArrayLike, "n p"],
    *,
    ground: Literal["l1", "l2"],
) -> float:
    r"""Wasserstein distance between two samples of equal size, exactly.

    .. math:: W_1 = \min_\pi \frac{1}{n} \sum_i \| z_i - z'_{\pi(i)} \|

    over the permutations π: an assignment problem. To compare data sets, stack inputs and labels,
    ``numpy.column_stack([X, y])``.

    It estimates the distance between the distributions well in low dimension only. Two samples of
    one distribution are :math:`O(n^{-1/p})` apart, and in hundreds of dimensions every point of one
    is about as far from every point of the other as if drawn at random, whatever the tasks: the
    value is then a property of the inputs, and its variation is sampling noise.

    Args:
        first: One sample, a point per row, ``(n, p)``.
        second: The other sample, ``(n, p)``.
        ground: The cost of moving a point: ``"l1"``, the sum of the absolute differences of its
            coordinates, or ``"l2"``, their Euclidean distance.

    Returns:
        The distance, in the units of the points; computed by SciPy in double precision, so not
        for use under ``jax.jit``. Time grows as n cubed at worst: seconds for a few thousand
        points.

    Raises:
        ValueError: The shapes differ, a sample is empty or not finite, or ``ground`` is unknown.

    Source:
        Peyré and Cuturi (2019), section 2.2. The rate in n: Fournier and Guillin (2015).

    Example:
        >>> import numpy as np
        >>> empirical_wasserstein(np.array([[0.0], [1.0]]), np.array([[3.0], [0.0]]), ground="l1")
        1.0
    """
    # JAX requires SciPy, so it is always there; imported here because it takes a while to load.
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    metrics = {"l1": "cityblock", "l2": "euclidean"}
    check_choice("ground", ground, tuple(metrics))
    X, Z = (np.asarray(real(*each), float) for each in (("first", first), ("second", second)))
    check("first", X, *FINITE)
    check("second", Z, *FINITE)
    if X.ndim != 2 or X.shape != Z.shape or X.size == 0:
        raise ValueError(
            "first and second must have one shape (n, p), neither zero; "
            f"got {X.shape} and {Z.shape}"
        )
    cost = cdist(X, Z, metrics[ground])
    return float(cost[linear_sum_assignment(cost)].mean())


def _tasks(beta_source: Any, beta_target: Any, sigma: Any) -> tuple[Array, Array, Array]:
    """Check two vectors and the noise, and give them one floating-point type."""
    check("beta_source", beta_source, *FINITE)
    check("beta_target", beta_target, *FINITE)
    check("sigma", sigma, lambda s: (s >= 0) & (s < np.inf), "a finite number >= 0", shape=())
    if np.ndim(beta_source) != 1 or np.shape(beta_source) != np.shape(beta_target):
        raise ValueError(
            "beta_source and beta_target must be vectors of one length; "
            f"got shapes {np.shape(beta_source)} and {np.shape(beta_target)}"
        )
    source, target, sigma = as_floats(beta_source, beta_target, sigma)
    return source, target, sigma


def _norm(vector: Array) -> Array:
    """Euclidean norm, with derivative zero (a subgradient) at zero."""
    # Scaled to its largest entry first: the squares of huge or tiny ones leave float32.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(vector), initial=0))
    size = jnp.where(largest > 0, largest, 1)
    square = jnp.sum((vector / size) ** 2)
    return size * jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


@jax.custom_jvp
def _saturated(r: Array) -> Array:
    """Mean of min(r |ξ|, 1) over a standard normal ξ."""
    tail = jax.scipy.special.erfc(1 / (math.sqrt(2) * r))
    return jnp.minimum(r * _saturated_slope(r) + tail, 1)


def _saturated_slope(r: Array) -> Array:
    return -math.sqrt(2 / math.pi) * jnp.expm1(-1 / (2 * r**2))


@_saturated.defjvp
def _saturated_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # The terms that come from the moving edge cancel; autodiff would make them NaN at r = 0.
    (r,), (r_dot,) = primals, tangents
    return _saturated(r), _saturated_slope(r) * r_dot


# Each refinement shrinks the step of log(K) by (_NODES - 1) / 2. After five it is below 1e-5 for
# every scale in float32; the error of a maximum is of second order in it.
_NODES = 64
_REFINEMENTS = 5


@jax.jit
def _best_ramp(narrow: Array, wide: Array) -> Array:
    """Largest difference of means of a ramp between normals of standard deviations narrow <= wide.

    The best K is of the order of wide if that is small or narrow is close to it, and of its square
    root if it is large and narrow is not: the search covers all of this.
    """

    def difference(K: Array, narrow: Array, wide: Array) -> Array:
        return 2 * K / (K + 2) * (_saturated(wide / K) - _saturated(narrow / K))

    # At the maximum the derivative in K is zero: K may be held constant.
    scales = jax.lax.stop_gradient((narrow, wide))
    middle = jnp.log(jnp.where(scales[1] > 0, scales[1], 1))
    low, high = jnp.minimum(middle, middle / 2) - 1, middle + 2.5

    def refine(_: int, interval: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = interval
        grid = jnp.linspace(low, high, _NODES)
        best = grid[jnp.argmax(difference(jnp.exp(grid), *scales))]
        step = (high - low) / (_NODES - 1)
        return best - step, best + step

    low, high = jax.lax.fori_loop(0, _REFINEMENTS, refine, (low, high))
    # Rounding must not tell equal scales apart.
    return jnp.where(wide > narrow, difference(jnp.exp((low + high) / 2), narrow, wide), 0)
