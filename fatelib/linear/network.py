"""Deep linear networks: their weights, the linear map they compute and the features they hold."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import (
    AT_LEAST_0,
    FINITE,
    as_floats,
    check,
    check_count,
    check_key,
    check_type,
    float_type,
)
from fatelib.descent.precision import matmul, rounding
from fatelib.family import Network, Regression
from fatelib.linear.bidiagonal import Bidiagonal

__all__ = ["DeepLinear", "alignment", "effective_rank", "truncate"]

# Share of the largest singular value of the feature map below which features count as absent.
_ABSENT = 1e-3


class DeepLinear(Network):
    r"""A deep linear network.

    .. math:: f(x) = x W_1 W_2 \cdots W_L

    Attributes:
        weights: The L matrices, (d, h), (h, h), ..., (h, 1).

    Source:
        Saxe, McClelland and Ganguli (2014); Section 3 of Tahir et al. (2025).

    Example:
        One network maps one input; a batch of inputs is a product with `end_to_end`, and a batch of
        networks is a `jax.vmap` away:

        >>> import jax
        >>> network = DeepLinear.init(jax.random.key(0), d=20, depth=3, scale=1.0)
        >>> X = jax.random.normal(jax.random.key(1), (5, 20))
        >>> jax.vmap(network)(X).shape, (X @ network.end_to_end()).shape
        ((5,), (5,))
        >>> keys = jax.random.split(jax.random.key(2), 4)
        >>> jax.vmap(lambda key: DeepLinear.init(key, 20))(keys).weights[0].shape
        (4, 20, 20)
    """

    weights: tuple[Float[Array, "_ _"], ...]

    def __check_init__(self) -> None:
        check_type("weights", self.weights, tuple, "a tuple of matrices")
        for weight in self.weights:
            check_type("weights", weight, (jax.Array, np.ndarray), "a tuple of arrays")
        shapes = [weight.shape for weight in self.weights]
        matrices = bool(shapes) and all(len(shape) == 2 and 0 not in shape for shape in shapes)
        chained = matrices and all(left[1] == right[0] for left, right in pairwise(shapes))
        if not chained or shapes[-1][1] != 1:
            raise ValueError(
                "weights must be matrices (d, h), (h, h), ..., (h, 1) whose product is a column; "
                f"got shapes {shapes}"
            )

    @classmethod
    def init(
        cls,
        key: Any,
        d: int,
        depth: int = 2,
        width: int | None = None,
        scale: ArrayLike = 1e-5,
    ) -> "DeepLinear":
        r"""Draw Gaussian initial weights.

        .. math::
            W_l \sim \alpha \, N(0, 1 / \text{fan-in}) \quad (l < L), \qquad
            W_L \sim \alpha \, N(0, 1)

        Args:
            key: A JAX random key.
            d: Dimension of the inputs.
            depth: Number of weight matrices L; 1 is plain linear regression.
            width: Hidden width h; by default d.
            scale: The scale alpha, a number; small is the rich regime, large the lazy one.

        Returns:
            The network; its dtype is that of `scale`, float32 by default.

        Raises:
            ValueError: d, depth or width below 1, a width without a hidden layer, or a negative
                scale.
            TypeError: `key` is not a random key.

        Source:
            Section 3 of Tahir et al. (2025), who take two layers and the scale 1e-5.

        Example:
            >>> import jax
            >>> network = DeepLinear.init(jax.random.key(0), d=20, depth=3, width=8)
            >>> [weight.shape for weight in network.weights]
            [(20, 8), (8, 8), (8, 1)]
        """
        check_key("key", key)
        d, depth = check_count("d", d), check_count("depth", depth)
        if depth == 1 and width is not None:
            raise ValueError(f"width has no effect at depth 1, without a hidden layer; got {width}")
        width = d if width is None else check_count("width", width)
        check("scale", scale, *AT_LEAST_0, shape=())
        dtype = float_type(scale)
        sizes = [d] + [width] * (depth - 1) + [1]
        weights = []
        for layer, layer_key in enumerate(jax.random.split(key, depth)):
            shape = (sizes[layer], sizes[layer + 1])
            spread = 1.0 if layer == depth - 1 else shape[0] ** -0.5
            weights.append(
                jnp.asarray(scale, dtype) * (spread * jax.random.normal(layer_key, shape, dtype))
            )
        return cls(tuple(weights))

    @classmethod
    def balanced(cls, beta: Float[ArrayLike, " d"], depth: int = 2) -> "DeepLinear":
        r"""Return the network of width one with balanced layers that computes a given map.

        .. math::
            W_1 = \|\beta\|^{1/L} \hat\beta, \qquad W_l = \|\beta\|^{1/L} \quad (l > 1)

        It is what pretraining on :math:`\beta` ends with in the limit of a small scale and small
        steps, up to hidden units that do nothing.

        Args:
            beta: The map, (d,); zero gives the zero network.
            depth: Number of weight matrices L.

        Returns:
            The network.

        Raises:
            ValueError: depth below 1, or beta is not a finite vector.

        Source:
            Saxe, McClelland and Ganguli (2014); Lemma 3.3 of Tahir et al. (2025).

        Example:
            >>> import jax.numpy as jnp
            >>> network = DeepLinear.balanced(jnp.array([0.0, 8.0]), depth=3)
            >>> [weight.tolist() for weight in network.weights]
            [[[0.0], [2.0]], [[2.0]], [[2.0]]]
        """
        depth = check_count("depth", depth)
        _check_vector("beta", beta)
        (beta,) = as_floats(beta)
        # Scaled to its largest entry first: the squares of huge or tiny ones leave float32.
        largest = jnp.max(jnp.abs(beta))
        unit = beta / jnp.where(largest > 0, largest, 1)
        length = jnp.linalg.norm(unit)
        size = (largest * length) ** (1 / depth)
        first = unit * (size / jnp.where(length > 0, length, 1))
        return cls((first[:, None], *[size[None, None]] * (depth - 1)))

    @property
    def depth(self) -> int:
        """Number of weight matrices L."""
        return len(self.weights)

    @property
    def d(self) -> int:
        """Dimension of the inputs."""
        return self.weights[0].shape[0]

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """Return the output for one input (d,); a batch is ``X @ network.end_to_end()``."""
        d = self.weights[0].shape[0]
        check("x", x, *FINITE)
        if np.shape(x) != (d,):
            raise ValueError(
                f"x must be one input ({d},); for a batch X (n, {d}) use "
                f"X @ network.end_to_end(); got shape {np.shape(x)}"
            )
        (x,) = as_floats(x)
        for weight in self.weights:
            x = matmul(x, weight)
        return x[0]

    def end_to_end(self) -> Float[Array, " d"]:
        r"""Return the linear map the network computes, :math:`\beta = W_1 W_2 \cdots W_L`, (d,).

        Example:
            >>> import jax.numpy as jnp
            >>> DeepLinear((2 * jnp.eye(2), jnp.ones((2, 1)))).end_to_end().tolist()
            [2.0, 2.0]
        """
        beta = self.weights[-1][:, 0]
        for weight in reversed(self.weights[:-1]):
            beta = matmul(weight, beta)
        return beta

    def feature_map(self) -> Float[Array, "d h"]:
        r"""Return the map to the last hidden layer, :math:`F = W_1 \cdots W_{L-1}`, (d, h).

        For depth 1 the features are the inputs: the identity.

        Example:
            >>> import jax.numpy as jnp
            >>> DeepLinear((2 * jnp.eye(2), jnp.ones((2, 1)))).feature_map().tolist()
            [[2.0, 0.0], [0.0, 2.0]]
        """
        features = jnp.eye(self.weights[0].shape[0], dtype=self.weights[0].dtype)
        for layer, weight in enumerate(self.weights[:-1]):
            features = matmul(features, weight) if layer else weight
        return features

    def features(self, X: Float[ArrayLike, "n d"] | Bidiagonal) -> Float[Array, "n h"]:
        r"""Return the features :math:`X W_1 \cdots W_{L-1}` of inputs, (n, h).

        Args:
            X: Inputs, (n, d), as an array or bidiagonal.

        Returns:
            The features, (n, h); their rows are those of X.

        Raises:
            TypeError: `X` is not numeric.
            ValueError: `X` is not finite or has other columns.

        Source:
            Section 3 of Tahir et al. (2025).

        Example:
            >>> import jax.numpy as jnp
            >>> X = jnp.array([[1.0, 3.0]])
            >>> DeepLinear((2 * jnp.eye(2), jnp.ones((2, 1)))).features(X).tolist()
            [[2.0, 6.0]]
        """
        return self._times(X, self.feature_map())

    def outputs(self, X: Float[ArrayLike, "n d"] | Bidiagonal) -> Float[Array, " n"]:
        r"""Return the outputs :math:`X W_1 \cdots W_L` for inputs, (n,).

        Args:
            X: Inputs, (n, d), as an array or bidiagonal.

        Returns:
            The outputs, (n,).

        Raises:
            TypeError: `X` is not numeric.
            ValueError: `X` is not finite or has other columns.

        Source:
            Section 3 of Tahir et al. (2025).

        Example:
            >>> import jax.numpy as jnp
            >>> X = jnp.array([[1.0, 3.0]])
            >>> DeepLinear((2 * jnp.eye(2), jnp.ones((2, 1)))).outputs(X).tolist()
            [8.0]
        """
        return self._times(X, self.end_to_end())

    def with_last_layer(self, last: Float[Array, " h"]) -> "DeepLinear":
        r"""Return the network with another last layer, :math:`W_L = \text{last}`.

        Args:
            last: What multiplies the features, (h,).

        Returns:
            The network with the same features.

        Raises:
            TypeError: `last` is not numeric.
            ValueError: `last` is not finite or has another length.

        Source:
            Section 3 of Tahir et al. (2025).

        Example:
            >>> import jax.numpy as jnp
            >>> network = DeepLinear((2 * jnp.eye(2), jnp.ones((2, 1))))
            >>> network.with_last_layer(jnp.array([1.0, 0.0])).end_to_end().tolist()
            [2.0, 0.0]
        """
        check("last", last, *FINITE, shape=(len(self.weights[-1]),))
        (last,) = as_floats(last)
        return DeepLinear((*self.weights[:-1], last[:, None]))

    def loss(self, X: Array | Bidiagonal, y: Float[Array, " n"]) -> Float[Array, ""]:
        """Return the mean squared error on a data set.

        Args:
            X: Inputs, (n, d), as an array or bidiagonal.
            y: Labels, (n,).

        Returns:
            The loss, a number.

        Raises:
            ValueError: `X` is not finite or has other columns.

        Example:
            >>> import jax.numpy as jnp
            >>> network = DeepLinear((2 * jnp.eye(2), jnp.ones((2, 1))))
            >>> float(network.loss(jnp.eye(2), jnp.zeros(2)))
            4.0
        """
        samples = X.samples if isinstance(X, Bidiagonal) else len(y)
        return jnp.sum((self.outputs(X) - y) ** 2) / samples

    def regression(
        self, X: Array | Bidiagonal, cutoff: ArrayLike | None, engine: str
    ) -> Regression:
        """Return the regression on the features, in the singular basis of the feature map.

        Args:
            X: Inputs, (n, d), as an array or bidiagonal.
            cutoff: Relative to the largest singular value of the feature map, a number; None for
                0.001.
            engine: The engine that fits the last layer; they all take the same features.

        Returns:
            The regression.

        Raises:
            ValueError: `X` is not finite or has other columns.

        Example:
            >>> import jax.numpy as jnp
            >>> network = DeepLinear((jnp.diag(jnp.array([1.0, 1e-5])), jnp.ones((2, 1))))
            >>> abs(network.regression(jnp.eye(2), None, "limit").Z).tolist()
            [[1.0, 0.0], [0.0, 0.0]]
        """
        features = self.feature_map()
        U, S, basis = jnp.linalg.svd(features, full_matrices=False)
        share = jnp.asarray(_ABSENT if cutoff is None else cutoff, S.dtype)
        S = jnp.where(jnp.maximum(share, rounding(features)) * S[0] < S, S, 0)
        samples = X.samples if isinstance(X, Bidiagonal) else len(X)
        none = jnp.zeros((), S.dtype)
        return Regression(
            self._times(X, U * S[None, :]), samples, none, lambda last: matmul(last, basis), 1.0
        )

    def _times(self, X: Any, right: Array) -> Array:
        """Return X times a vector (d,) or a matrix (d, h)."""
        bidiagonal = isinstance(X, Bidiagonal)
        if not bidiagonal:
            check("X", X, *FINITE)
        if np.shape(X)[1:] != (self.d,):
            raise ValueError(f"X must be (n, {self.d}), a sample in each row; got {np.shape(X)}")
        if bidiagonal:
            return jax.vmap(X.__matmul__, 1, 1)(right) if right.ndim > 1 else X @ right
        (X,) = as_floats(X, like=self.weights)
        return matmul(X, right)

    def balancedness(self) -> tuple[Float[Array, "_ _"], ...]:
        r"""Return the L - 1 matrices, (h, h), that gradient flow conserves.

        .. math:: D_l = W_l^T W_l - W_{l+1} W_{l+1}^T

        Discrete steps change them at first order in the learning rate; a network that starts small
        has them near zero for ever.

        Source:
            Arora, Cohen and Hazan (2018); the proof of Lemma 3.3 of Tahir et al. (2025).

        Example:
            >>> import jax.numpy as jnp
            >>> [D.tolist() for D in DeepLinear.balanced(jnp.array([0.0, 4.0])).balancedness()]
            [[[0.0]]]
        """
        return tuple(matmul(W.T, W) - matmul(V, V.T) for W, V in pairwise(self.weights))


def effective_rank(matrix: Float[Array, "_ _"]) -> Float[Array, ""]:
    r"""Effective rank: the number of singular directions that a matrix really uses.

    .. math::
        \exp\Big(-\sum_i p_i \log p_i\Big), \qquad p_i = \frac{s_i}{\sum_j s_j}

    with the singular values :math:`s_i`: 1 for one direction, r for r equal ones.

    Args:
        matrix: Any matrix, (m, n); the zero matrix has none and gives NaN.

    Returns:
        A number between 1 and the smaller dimension; NaN for the zero matrix.

    Raises:
        ValueError: `matrix` is not a finite matrix.

    Source:
        Roy and Vetterli (2007), "The effective rank: a measure of effective dimensionality".

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(effective_rank(jnp.diag(jnp.array([3.0, 3.0, 0.0])))), 3)
        2.0
    """
    check("matrix", matrix, *FINITE)
    if np.ndim(matrix) != 2 or 0 in np.shape(matrix):
        raise ValueError(f"matrix must be a matrix, not empty; got shape {np.shape(matrix)}")
    (matrix,) = as_floats(matrix)
    singular_values = jnp.linalg.svd(matrix, compute_uv=False)
    shares = singular_values / jnp.sum(singular_values)
    return jnp.exp(jnp.sum(jax.scipy.special.entr(shares)))


def alignment(network: DeepLinear, beta: Float[Array, " d"]) -> Float[Array, ""]:
    r"""Share of the hidden features that looks along one direction of the inputs.

    .. math:: \frac{\|\hat\beta^T F\|^2}{\|F\|_F^2}, \qquad F = W_1 \cdots W_{L-1}

    Args:
        network: The network.
        beta: The direction, (d,), of any length but zero.

    Returns:
        A number: 1 if every feature is a multiple of :math:`x \cdot \beta`; about 1/d at random
        weights. The zero network has no features and gives NaN.

    Raises:
        TypeError: `network` is not a DeepLinear.
        ValueError: `beta` is zero, not finite or of another length.

    Source:
        Ours, for the sparsification of Theorem 3.4 of Tahir et al. (2025).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> u, v = jnp.eye(4)[0], jnp.ones(3)
        >>> network = DeepLinear((jnp.outer(u, v), jnp.ones((3, 1))))
        >>> round(float(alignment(network, 2 * u)), 3)
        1.0
    """
    check_type("network", network, DeepLinear, "a DeepLinear")
    d = network.weights[0].shape[0]
    check("beta", beta, *FINITE, shape=(d,))
    check("beta", beta, lambda b: b.any(), "a direction, not zero")
    (beta,) = as_floats(beta)
    features = network.feature_map()
    # Scaled to its largest entry first: the squares of a tiny network would underflow.
    features = features / jnp.max(jnp.abs(features))
    along = matmul(beta / jnp.linalg.norm(beta), features)
    return jnp.sum(along**2) / jnp.sum(features**2)


def truncate(network: DeepLinear, rank: int) -> DeepLinear:
    r"""Keep the leading features of a network, as a two-layer network of that width.

    With the singular value decomposition :math:`F = U S V^T` of the features, the new weights are
    the first `rank` columns of :math:`U S` and the same coordinates :math:`V^T W_L` of the last
    layer. After pretraining from a small scale one direction is all there is, and a protocol that
    only reads the features costs O(n d) on the truncated network.

    Args:
        network: The network.
        rank: Number of features to keep, from 1 to the smaller of d and h.

    Returns:
        A network of depth 2 and width `rank`; the same linear map if `rank` is that of F.

    Raises:
        TypeError: `network` is not a DeepLinear.
        ValueError: `rank` is out of range.

    Source:
        Eckart and Young (1936), for the best features of a given rank.

    Example:
        >>> import jax
        >>> network = DeepLinear.init(jax.random.key(0), d=8, depth=3)
        >>> [weight.shape for weight in truncate(network, 2).weights]
        [(8, 2), (2, 1)]
    """
    check_type("network", network, DeepLinear, "a DeepLinear")
    features = network.feature_map()
    largest = min(features.shape)
    accepted = f"an integer from 1 to {largest}"
    check(
        "rank", rank, lambda r: (r >= 1) & (r <= largest) & (r == np.floor(r)), accepted, shape=()
    )
    rank = int(rank)
    U, S, Vt = jnp.linalg.svd(features, full_matrices=False)
    last = matmul(Vt[:rank], network.weights[-1])
    return DeepLinear((U[:, :rank] * S[None, :rank], last))


def _check_vector(name: str, value: Any) -> None:
    check(name, value, *FINITE)
    if np.ndim(value) != 1 or np.shape(value) == (0,):
        raise ValueError(f"{name} must be a vector (d,), not empty; got shape {np.shape(value)}")
