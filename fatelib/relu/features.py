r"""What the hidden neurons of a ReLU network can express, and how two sets of them compare.

The features of neurons :math:`w_1, \ldots, w_m` are the functions
:math:`\operatorname{relu}(w_i \cdot x)`. Their span, with the second moment :math:`K(W, W)` of
`arccos_kernel`, is the space in which linear transfer looks for the target: all it can ever learn
is the part of the target inside. A second moment is taken about zero, not about the mean: a last
layer has no intercept.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from fatelib.arguments import FINITE, as_floats, check
from fatelib.descent.precision import matmul
from fatelib.relu.kernel import SQUARED_TWICE, arccos_kernel, as_neurons, faintest, norms

__all__ = [
    "FeatureSpectrum",
    "Projection",
    "feature_alignment",
    "feature_distance",
    "feature_gram",
    "feature_spectrum",
    "nearest_cosine",
    "projection",
]


class FeatureSpectrum(eqx.Module):
    """A target on the eigenfeatures of a set of neurons: what `theory.ridge_risk` asks for.

    Attributes:
        eigenvalues: Eigenvalues of the features' second moment K(W, W), about zero, (m,),
            ascending; 0 if below rounding.
        coefficients2: Squared coefficients of the target on the orthonormal eigenfeatures, (m,).
        residual: Squared norm of the target outside the span of the features; a number.

    Example:
        >>> spectrum = feature_spectrum(jnp.eye(3)[:2], jnp.eye(3)[:1], jnp.ones(1))
        >>> round(float(jnp.sum(spectrum.coefficients2) + spectrum.residual), 3)
        0.5
    """

    eigenvalues: Float[Array, " m"]
    coefficients2: Float[Array, " m"]
    residual: Float[Array, ""]


class Projection(eqx.Module):
    """A target split at the span of a set of neurons.

    Attributes:
        inside: Squared norm of its projection onto the span; a number.
        outside: Squared norm of the rest; a number.
        rank: Dimension of the span, to rounding; an integer.

    Example:
        >>> split = projection(jnp.eye(3)[:2], jnp.eye(3)[:1], jnp.ones(1))
        >>> round(float(split.inside), 3), int(split.rank)
        (0.5, 2)
    """

    inside: Float[Array, ""]
    outside: Float[Array, ""]
    rank: Int[Array, ""]


def feature_spectrum(
    W: Float[ArrayLike, "m d"],
    W_target: Float[ArrayLike, "k _"],
    c_target: Float[ArrayLike, " _"],
    *,
    cutoff: float | None = None,
) -> FeatureSpectrum:
    r"""Resolve a target on the eigenfeatures of any ReLU neurons, by the kernel alone.

    For the target :math:`f_t(x) = \sum_j c_j \operatorname{relu}(w^*_j \cdot x)`,

    .. math::
        K(W, W) = V \operatorname{diag}(l) V^T, \qquad
        t_i = \frac{(V^T K(W, W^*) c)_i^2}{l_i}, \qquad
        \rho = \|f_t\|^2 - \sum_i t_i .

    :math:`K(W, W) = E[\phi(x) \phi(x)^T]` is the second moment of the features
    :math:`\phi_i(x) = \operatorname{relu}(w_i \cdot x)`, not their covariance: ReLU features have
    a mean, which is not taken off, as the last layer has no intercept.

    `fatelib.theory.ridge_risk` turns these into the whole learning curve of a last layer fitted to
    samples of the target, whatever the neurons: pretrained, random, or those of the source. The
    last layer that `train` fits with ``layers="last"`` has ``ridge = m * weight_decay / 2``.

    Args:
        W: The neurons whose features are used, (m, d).
        W_target: Neurons of the target, (k, d).
        c_target: Its output weights, (k,); for a `ReluNetwork`, c / m.
        cutoff: Eigenvalues below this share of the largest count as zero; by default
            :math:`4 \sqrt m` times the rounding error of the dtype, which is what rounding alone
            makes of a zero. In float32 this bounds how faint a feature can be told from none; use
            float64 for neurons that nearly coincide.

    Returns:
        Eigenvalues, squared coefficients and residual.

    Raises:
        ValueError: Shapes that do not fit, no neurons, numbers not within ±1e9, a cutoff below
            the rounding error of the dtype or not below 1.

    Source:
        Ours, on Canatar, Bordelon and Pehlevan (2021); eq. 18 of Tahir et al. (2025) leaves the
        dependence on n open.

    Example:
        >>> import jax
        >>> from fatelib import theory
        >>> W = jax.random.normal(jax.random.key(0), (40, 20)) / 20**0.5
        >>> target = W[:10], jax.numpy.ones(10) / 10
        >>> ideal, half = feature_spectrum(W[:10], *target), feature_spectrum(W[:5], *target)
        >>> [round(float(spectrum.residual), 3) for spectrum in (ideal, half)]
        [0.0, 0.028]
        >>> risk = theory.ridge_risk(
        ...     100, half.eigenvalues, half.coefficients2, residual=half.residual, noise=0.1)
        >>> round(float(risk), 3)
        0.03
    """
    eigenvalues, _, coefficients, residual = resolve(W, W_target, c_target, cutoff)
    return FeatureSpectrum(eigenvalues, coefficients**2, residual)


def projection(
    W: Float[ArrayLike, "m d"],
    W_target: Float[ArrayLike, "k _"],
    c_target: Float[ArrayLike, " _"],
    *,
    cutoff: float | None = None,
) -> Projection:
    r"""Split a target into the part that the features of given neurons can express, and the rest.

    .. math::
        \|P f_t\|^2 = v^T K(W, W)^+ v, \qquad v = K(W, W^*) c, \qquad
        f_t(x) = \sum_j c_j \operatorname{relu}(w^*_j \cdot x)

    The span does not depend on the lengths of the neurons, so unit neurons stand for them (and zero
    ones for nothing). It is `feature_spectrum` of these, summed. The rest is a difference: below
    about :math:`l_{\max} \sum_i t_i / l_i` times the rounding error of the dtype it is noise.

    Args:
        W: The neurons, (m, d); coinciding ones are counted once.
        W_target: Neurons of the target, (k, d).
        c_target: Its output weights, (k,); for a `ReluNetwork`, c / m.
        cutoff: As in `feature_spectrum`.

    Returns:
        Squared norms inside and outside the span, and its numerical rank.

    Raises:
        ValueError: As in `feature_spectrum`.

    Source:
        Section 4 of Tahir et al. (2025): the outside is the limit of the risk for many samples.

    Example:
        >>> import jax.numpy as jnp
        >>> W = jnp.eye(3)
        >>> member = projection(jnp.concatenate([W, 2 * W]), W, jnp.ones(3))
        >>> int(member.rank), round(float(member.outside), 5)
        (3, 0.0)
        >>> round(float(projection(-W, W, jnp.ones(3)).outside), 3)
        2.083
    """
    (W,) = as_neurons(W=W)
    spectrum = feature_spectrum(_directions(W), W_target, c_target, cutoff=cutoff)
    return Projection(
        inside=jnp.sum(spectrum.coefficients2),
        outside=spectrum.residual,
        rank=jnp.sum(spectrum.eigenvalues > 0),
    )


def feature_gram(W: Float[ArrayLike, "m d"], X: Float[ArrayLike, "n _"]) -> Float[Array, "n n"]:
    r"""Kernel of the features of a set of neurons, on data.

    .. math::
        \Theta(x, x') = \frac1m \sum_{i=1}^m
        \operatorname{relu}(w_i \cdot x) \operatorname{relu}(w_i \cdot x')

    Args:
        W: The neurons, (m, d).
        X: Inputs, (n, d).

    Returns:
        The Gram matrix, (n, n).

    Raises:
        ValueError: The arguments are not two matrices of as many columns, or not within ±1e9.

    Source:
        Figure 3a and b of Tahir et al. (2025).

    Example:
        >>> import jax.numpy as jnp
        >>> feature_gram(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.eye(2)).tolist()
        [[0.5, 0.0], [0.0, 2.0]]
    """
    W, X = as_neurons(W=W, X=X)
    return _feature_gram(W, X)


@jax.jit
def _feature_gram(W: Array, X: Array) -> Array:
    features = jnp.maximum(matmul(X, W.T), 0)
    return matmul(features, features.T) / len(W)


def feature_alignment(W: Float[ArrayLike, "m d"], V: Float[ArrayLike, "k _"]) -> Float[Array, ""]:
    r"""Centred kernel alignment of two sets of neurons, over the whole input distribution.

    .. math::
        \frac{\langle \Theta_W, \Theta_V \rangle}{\|\Theta_W\| \, \|\Theta_V\|}, \qquad
        \langle \Theta_W, \Theta_V \rangle = \frac{1}{m k} \sum_{ij} \Big( K(w_i, v_j)
        - \frac{|w_i| |v_j|}{2 \pi} \Big)^2

    in the Hilbert-Schmidt norm of the kernels :math:`\Theta` of `feature_gram`, with the mean of
    every feature over the inputs removed. It is the limit of the centred alignment of two Gram
    matrices for many samples.

    Args:
        W: Neurons, (m, d), not all zero.
        V: Neurons, (k, d), not all zero.

    Returns:
        A number between 0 and 1; 1 for equal kernels, up to scale.

    Raises:
        ValueError: The arguments are not two matrices of as many columns, empty, not within
            ±1e9, or all zero.

    Source:
        Cortes, Mohri and Rostamizadeh (2012); Kornblith et al. (2019).

    Example:
        >>> import jax.numpy as jnp
        >>> W = jnp.eye(3)
        >>> [round(float(feature_alignment(W, V)), 2) for V in (2 * W, W[:1], -W)]
        [1.0, 0.58, 0.22]
    """
    W, V = _some_active(W=W, V=V)
    return _cosine(W, V, 1 / (2 * np.pi))


def feature_distance(W: Float[ArrayLike, "m d"], V: Float[ArrayLike, "k _"]) -> Float[Array, ""]:
    r"""Distance between the kernels of two sets of neurons, each of unit norm.

    .. math::
        \Big\| \frac{\Theta_W}{\|\Theta_W\|} - \frac{\Theta_V}{\|\Theta_V\|} \Big\|, \qquad
        \langle \Theta_W, \Theta_V \rangle = E_{x, x'}[\Theta_W(x, x') \Theta_V(x, x')]
        = \frac{1}{m k} \sum_{ij} K(w_i, v_j)^2

    in the Hilbert-Schmidt norm over independent inputs x, x', without centring.

    Args:
        W: Neurons, (m, d), not all zero.
        V: Neurons, (k, d), not all zero.

    Returns:
        A number between 0 and the square root of 2.

    Raises:
        ValueError: The arguments are not two matrices of as many columns, empty, not within
            ±1e9, or all zero.

    Source:
        Figure 3a and b of Tahir et al. (2025), over the whole input distribution.

    Example:
        >>> import jax.numpy as jnp
        >>> W = jnp.eye(3)
        >>> [round(float(feature_distance(W, V)), 3) for V in (2 * W, W[:1], -W)]
        [0.0, 0.857, 1.29]
    """
    W, V = _some_active(W=W, V=V)
    return jnp.sqrt(2 * jnp.maximum(1 - _cosine(W, V, 0.0), 0))


def nearest_cosine(W: Float[ArrayLike, "m d"], V: Float[ArrayLike, "k _"]) -> Float[Array, " m"]:
    r"""Cosine of the angle between each neuron and the nearest of some others.

    .. math:: \max_j \frac{w_i \cdot v_j}{|w_i| |v_j|}

    It is 1 for a neuron of a student that has turned to one of its teacher. A zero neuron has no
    direction: in V it is nobody's nearest, in W it gets 0.

    Args:
        W: Neurons, (m, d).
        V: Neurons, (k, d), not all zero.

    Returns:
        One cosine for each neuron of W, (m,).

    Raises:
        ValueError: The arguments are not two matrices of as many columns, empty or not within
            ±1e9, or V is all zero.

    Source:
        Ours.

    Example:
        >>> import jax.numpy as jnp
        >>> W = jnp.array([[3.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])
        >>> [round(float(cosine), 3) for cosine in nearest_cosine(W, jnp.eye(2))]
        [1.0, 0.707, 0.0]
    """
    W, V = as_neurons(W=W, V=V)
    check("V", V, lambda V: V.any(), "neurons that are not all zero")
    return _nearest_cosine(W, V)


@jax.jit
def _nearest_cosine(W: Array, V: Array) -> Array:
    cosines = jnp.clip(matmul(_directions(W), _directions(V).T), -1, 1)
    nearest = jnp.max(jnp.where(norms(V)[None, :] > 0, cosines, -1), axis=1)
    return jnp.where(norms(W) > 0, nearest, 0)


def _directions(W: Array) -> Array:
    """Return unit neurons; zero ones remain zero."""
    lengths = norms(W)[:, None]
    return W / jnp.where(lengths > 0, lengths, 1)


def _some_active(**matrices: ArrayLike) -> list[Array]:
    """Check neurons whose kernel gets unit norm; bring them to one floating-point type."""
    neurons = as_neurons(**matrices)
    for name, matrix in zip(matrices, neurons, strict=True):
        check(name, matrix, lambda matrix: matrix.any(), "neurons that are not all zero")
    # Their scale cancels; its eighth power would overflow.
    return [matrix / jnp.max(jnp.abs(matrix)) for matrix in neurons]


@jax.jit
def _cosine(W: Array, V: Array, mean: ArrayLike) -> Array:
    """Cosine between the kernels of two sets of neurons, `mean` times the norms taken off."""

    def inner(A: Array, B: Array) -> Array:
        off = mean * (norms(A)[:, None] * norms(B)[None, :])
        return jnp.mean((arccos_kernel(A, B) - off) ** 2)

    return inner(W, V) / jnp.sqrt(inner(W, W) * inner(V, V))


def resolve(
    W: ArrayLike, W_target: ArrayLike, c_target: ArrayLike, cutoff: float | None
) -> tuple[Array, Array, Array, Array]:
    """Return eigenvalues and eigenvectors of K(W, W), coefficients of the target, residual."""
    W, W_target = as_neurons(W=W, W_target=W_target)
    check("c_target", c_target, *FINITE)
    check("c_target", c_target, *SQUARED_TWICE)
    W, W_target, c_target = as_floats(W, W_target, c_target)
    if c_target.shape != W_target.shape[:1]:
        raise ValueError(
            f"c_target must be ({len(W_target)},), a number for each row of W_target; "
            f"got {c_target.shape}"
        )
    dtype = W.dtype
    eps = float(jnp.finfo(dtype).eps)
    if cutoff is None:
        cutoff = faintest(len(W), dtype)
    accepted = f"a number in [{eps:.3g}, 1), from the rounding error of {dtype}"
    check("cutoff", cutoff, lambda c: (c >= eps) & (c < 1), accepted, shape=())
    return _resolve(W, W_target, c_target, jnp.asarray(cutoff, dtype))


@jax.jit
def _resolve(
    W: Array, W_target: Array, c_target: Array, cutoff: Array
) -> tuple[Array, Array, Array, Array]:
    eigenvalues, basis = jnp.linalg.eigh(arccos_kernel(W, W))
    kept = eigenvalues > cutoff * eigenvalues[-1]
    overlaps = matmul(matmul(arccos_kernel(W, W_target), c_target), basis)
    coefficients = jnp.where(kept, overlaps / jnp.sqrt(jnp.where(kept, eigenvalues, 1)), 0)
    norm2 = matmul(matmul(arccos_kernel(W_target, W_target), c_target), c_target)
    residual = jnp.maximum(norm2 - jnp.sum(coefficients**2), 0)
    return jnp.where(kept, eigenvalues, 0), basis, coefficients, residual
