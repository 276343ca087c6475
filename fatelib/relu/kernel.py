r"""The arc-cosine kernel: overlaps of ReLU neurons on Gaussian inputs, and its expansions.

With the angle :math:`\varphi` between w and v, and :math:`u = \cos\varphi`,

.. math::
    E_x[\operatorname{relu}(w \cdot x) \operatorname{relu}(v \cdot x)] = |w| |v| \, k(u), \qquad
    k(u) = \frac{\sqrt{1 - u^2} + u (\pi - \varphi)}{2 \pi} .

Every population quantity of a two-layer ReLU network is a sum of such overlaps: risks, training on
infinitely many samples, the span of its features, distances between kernels.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import FINITE, as_floats, check, check_count
from fatelib.descent.precision import matmul

__all__ = ["arccos_kernel", "hermite_coefficients", "mercer_spectrum", "step_kernel"]

# Overlaps are products of two norms, and are squared: float32 holds the fourth power of 1e9.
SQUARED_TWICE = (lambda x: np.abs(x) <= 1e9, "at most 1e9 in size, as its squares are squared")

# arccos(x) / sqrt(1 - x) on [0, 1], highest power first: Abramowitz and Stegun (1964), 4.4.46, with
# an absolute error of 2e-8 in the arc cosine.
_ARCCOS = (
    *(-0.0012624911, 0.0066700901, -0.0170881256, 0.0308918810),
    *(-0.0501743046, 0.0889789874, -0.2145988016, 1.5707963050),
)


def arccos_kernel(W: Float[ArrayLike, "m d"], V: Float[ArrayLike, "k _"]) -> Float[Array, "m k"]:
    r"""Overlaps of two sets of ReLU neurons on standard normal inputs.

    .. math::
        K_{ij} = E_x[\operatorname{relu}(w_i \cdot x) \operatorname{relu}(v_j \cdot x)]
        = \frac{|w_i| |v_j| \sin\varphi_{ij} + w_i \cdot v_j \, (\pi - \varphi_{ij})}{2 \pi}

    The derivative is that of the formula, written so that it is finite everywhere:

    .. math::
        \frac{\partial K_{ij}}{\partial w_i} = \frac{1}{2 \pi} \big[ (\pi - \varphi_{ij}) \, v_j
        + \sin\varphi_{ij} \, |v_j| \, w_i / |w_i| \big] ,

    also for parallel neurons, where automatic differentiation of :math:`\arccos` gives NaN. A zero
    neuron counts as orthogonal to all: there K has a kink, and :math:`v_j / 4`, what is left of the
    derivative, is the mean over all directions.

    Args:
        W: Neurons, (m, d), one per row.
        V: Neurons, (k, d).

    Returns:
        The overlaps, (m, k).

    Raises:
        ValueError: The arguments are not two matrices of as many columns, or not within ±1e9.

    Source:
        Cho and Saul (2009), degree 1; Section 4 of Tahir et al. (2025).

    Example:
        >>> import jax.numpy as jnp
        >>> w, v = jnp.array([[1.0, 0.0]]), jnp.array([[2.0, 0.0], [0.0, 1.0]])
        >>> [round(float(overlap), 3) for overlap in arccos_kernel(w, v)[0]]  # parallel, orthogonal
        [1.0, 0.159]
    """
    W, V = as_neurons(W=W, V=V)
    return _arccos_kernel(W, V)


def step_kernel(W: Float[ArrayLike, "m d"], V: Float[ArrayLike, "k _"]) -> Float[Array, "m k"]:
    r"""Probability that two neurons are active on the same standard normal input.

    .. math:: E_x[1(w_i \cdot x > 0) \, 1(v_j \cdot x > 0)] = \frac{\pi - \varphi_{ij}}{2 \pi}

    It is k'(u), the arc-cosine kernel of degree 0. Do not differentiate it: its slope is infinite
    for parallel neurons. A zero neuron counts as orthogonal to all.

    Args:
        W: Neurons, (m, d), one per row.
        V: Neurons, (k, d).

    Returns:
        The probabilities, (m, k).

    Raises:
        ValueError: The arguments are not two matrices of as many columns, or not within ±1e9.

    Source:
        Cho and Saul (2009), degree 0.

    Example:
        >>> import jax.numpy as jnp
        >>> step_kernel(jnp.array([[1.0, 0.0]]), jnp.array([[3.0, 0.0], [0.0, 1.0]])).tolist()
        [[0.5, 0.25]]
    """
    W, V = as_neurons(W=W, V=V)
    return _step_kernel(W, V)


def hermite_coefficients(degree: int) -> Float[np.ndarray, " _"]:
    r"""Coefficients of the ReLU on the orthonormal Hermite polynomials.

    .. math::
        \operatorname{relu}(z) = \sum_l h_l \frac{\mathrm{He}_l(z)}{\sqrt{l!}}, \qquad
        k(u) = \sum_l h_l^2 u^l

    :math:`h_0 = 1/\sqrt{2\pi}`, :math:`h_1 = 1/2`, other odd ones vanish, and for even
    :math:`l \ge 2` it is :math:`h_l = (-1)^{l/2 - 1} (l - 3)!! / \sqrt{2 \pi \, l!}`.

    Args:
        degree: The largest l.

    Returns:
        The coefficients, (degree + 1,), in float64; at infinite degree their squares sum to
            1/2.

    Raises:
        ValueError: degree is not an integer >= 0.

    Source:
        Hermite expansion of the ReLU, e.g. Daniely, Frostig and Singer (2016).

    Example:
        >>> (hermite_coefficients(4) ** 2 * 48 * 3.14159265).round(3).tolist()
        [24.0, 37.699, 12.0, 0.0, 1.0]
    """
    degree = check_count("degree", degree, least=0)
    h = np.zeros(degree + 1)
    h[:2] = ((2 * np.pi) ** -0.5, 0.5)[: len(h)]
    if degree >= 2:
        h[2] = (4 * np.pi) ** -0.5
    for l in range(4, len(h), 2):
        h[l] = -h[l - 2] * (l - 3) / math.sqrt(l * (l - 1))
    return h


def mercer_spectrum(d: int, degree: int) -> tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]:
    r"""Eigenvalues of the arc-cosine kernel on the unit sphere, and their multiplicities.

    The eigenfunctions are the spherical harmonics. For degree l, Funk and Hecke give

    .. math::
        \lambda_l = d \, \sigma_l^2, \qquad
        \sigma_l = E_t[\operatorname{relu}(t) P_l(t)], \qquad
        N_l = \frac{(2 l + d - 2) \, (l + d - 3)!}{l! \, (d - 2)!}

    where t is one coordinate of a uniform unit vector and :math:`P_l` the Gegenbauer polynomial
    with :math:`P_l(1) = 1`. By the formula of Rodrigues, as the second derivative of the ReLU is a
    point mass,

    .. math::
        \sigma_0 = \frac{\Gamma(d/2)}{2 \sqrt\pi \, \Gamma((d + 1)/2)}, \qquad
        \sigma_{l + 2} = \frac{1 - l}{l + d + 1} \, \sigma_l \quad (l = 0, 2, \ldots), \qquad
        \sigma_1 = \frac{1}{2 d},

    and 0 for other odd l. No quadrature: these products keep their relative accuracy where the
    eigenvalues are far below the rounding error of any integral. The kernel itself is
    :math:`k(w \cdot v) = \sum_l \lambda_l N_l P_l(w \cdot v)`, hence
    :math:`\sum_l \lambda_l N_l = k(1) = 1/2`.

    Args:
        d: Dimension of the inputs, at least 2.
        degree: The largest l.

    Returns:
        Eigenvalues and multiplicities, both (degree + 1,), in float64: they span more decades than
        float32 holds.

    Raises:
        ValueError: d is not an integer >= 2, degree not an integer >= 0, or a multiplicity is too
            large for float64.

    Source:
        Bach (2017), appendix D.

    Example:
        >>> eigenvalues, multiplicities = mercer_spectrum(100, 6)
        >>> multiplicities[:4].tolist()
        [1.0, 100.0, 5049.0, 171600.0]
        >>> (eigenvalues * multiplicities).round(4).tolist()  # the Hermite series at infinite d
        [0.16, 0.25, 0.0792, 0.0, 0.0065, 0.0, 0.0019]
    """
    d, degree = check_count("d", d, least=2), check_count("degree", degree, least=0)
    sigma = np.zeros(degree + 1)
    # Gamma(d/2) / Gamma((d + 1)/2) from its values at d = 2 and 3.
    start = (1 / 4 if d % 2 else 1 / np.pi) * math.prod(k / (k + 1) for k in range(2 + d % 2, d, 2))
    sigma[:2] = (start, 1 / (2 * d))[: len(sigma)]
    for l in range(0, len(sigma) - 2, 2):
        sigma[l + 2] = sigma[l] * (1 - l) / (l + d + 1)

    def multiplicity(l: int) -> float:
        # In whole numbers of any length, so that the only rounding is the last.
        return float(math.comb(l + d - 1, l) - (math.comb(l + d - 3, l - 2) if l >= 2 else 0))

    try:
        multiplicities = np.array([multiplicity(l) for l in range(len(sigma))])
    except OverflowError:
        raise ValueError(
            f"degree must have multiplicities that float64 holds, at d = {d}; got {degree}"
        ) from None
    return d * sigma**2, multiplicities


def as_neurons(**matrices: Any) -> list[Array]:
    """Check that these matrices have as many columns; bring them to one floating-point type."""
    for name, matrix in matrices.items():
        check(name, matrix, *FINITE)
        check(name, matrix, *SQUARED_TWICE)
    shapes = {name: np.shape(matrix) for name, matrix in matrices.items()}
    if (
        any(len(shape) != 2 for shape in shapes.values())
        or len({shape[1:] for shape in shapes.values()}) > 1
        or any(0 in shape for shape in shapes.values())
    ):
        accepted = "a matrix" if len(shapes) == 1 else "matrices of as many columns"
        raise ValueError(
            f"{' and '.join(shapes)} must be {accepted}, not empty; "
            f"got shapes {', '.join(map(str, shapes.values()))}"
        )
    return as_floats(*matrices.values())


def norms(W: Float[Array, "m d"]) -> Float[Array, " m"]:
    """Norms of the rows, with derivative zero at a zero row."""
    squares = jnp.sum(W**2, axis=1)
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)


def active_and_sine(inner: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Return (pi - angle) / 2 pi and sin(angle) / 2 pi, from the inner product and both norms."""
    area = a * b
    cosine = jnp.where(area > 0, inner / jnp.where(area > 0, area, 1), 0)
    cosine = jnp.clip(cosine, -1, 1)
    size = jnp.abs(cosine)
    sine, acute = jnp.sqrt((1 - size) * (1 + size)), _acute_angle(size) / (2 * jnp.pi)
    return jnp.where(cosine < 0, acute, 0.5 - acute), sine / (2 * jnp.pi)


def _acute_angle(cosine: Array) -> Array:
    """Return the arc cosine of numbers in [0, 1], in 32 bits to their rounding.

    A step on the population takes one for each pair of neurons, and XLA's own is slow on a CPU.
    """
    if cosine.dtype == jnp.float64:
        return jnp.arccos(cosine)
    return jnp.sqrt(1 - cosine) * jnp.polyval(jnp.asarray(_ARCCOS, cosine.dtype), cosine)


@jax.jit
def _arccos_kernel(W: Array, V: Array) -> Array:
    return _kernel(matmul(W, V.T), norms(W)[:, None], norms(V)[None, :])


@jax.jit
def _step_kernel(W: Array, V: Array) -> Array:
    return active_and_sine(matmul(W, V.T), norms(W)[:, None], norms(V)[None, :])[0]


@jax.custom_jvp
def _kernel(inner: Array, a: Array, b: Array) -> Array:
    active, sine = active_and_sine(inner, a, b)
    return a * b * sine + inner * active


@_kernel.defjvp
def _kernel_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    inner, a, b = primals
    inner_dot, a_dot, b_dot = tangents
    active, sine = active_and_sine(inner, a, b)
    return a * b * sine + inner * active, active * inner_dot + sine * (b * a_dot + a * b_dot)


def faintest(count: int, dtype: Any) -> float:
    """Return the share of the largest eigenvalue that rounding makes of a zero one."""
    return float(4 * count**0.5 * jnp.finfo(dtype).eps)
