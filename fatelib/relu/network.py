"""Two-layer ReLU networks in mean-field scaling."""

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
from fatelib.descent.precision import matmul
from fatelib.family import Network, Regression
from fatelib.relu.kernel import arccos_kernel, faintest

__all__ = ["ReluNetwork", "distance2"]


class ReluNetwork(Network):
    r"""A two-layer ReLU network in mean-field scaling; student and teacher alike.

    .. math:: f(x) = \frac1m \sum_{i=1}^m c_i \operatorname{relu}(w_i \cdot x)

    Attributes:
        W: The neurons, (m, d), one per row.
        c: The output weights, (m,).

    Source:
        Section 4 of Tahir et al. (2025).

    Example:
        One network maps one input; batches of inputs and of networks are a `jax.vmap` away:

        >>> import jax
        >>> network = ReluNetwork.init(jax.random.key(0), d=20, width=50)
        >>> X = jax.random.normal(jax.random.key(1), (5, 20))
        >>> jax.vmap(network)(X).shape
        (5,)
        >>> keys = jax.random.split(jax.random.key(2), 4)
        >>> jax.vmap(lambda key: ReluNetwork.init(key, 20, 50))(keys).W.shape
        (4, 50, 20)
    """

    W: Float[Array, "m d"]
    c: Float[Array, " _"]

    def __check_init__(self) -> None:
        for name, weight in {"W": self.W, "c": self.c}.items():
            check_type(name, weight, (jax.Array, np.ndarray), "an array")
        shape = self.W.shape
        if len(shape) != 2 or self.c.shape != shape[:1] or 0 in shape:
            raise ValueError(
                f"W must be (m, d) and c (m,), not empty; got {shape} and {self.c.shape}"
            )

    @classmethod
    def init(
        cls, key: Any, d: int, width: int, scale: ArrayLike = 1.0, output: ArrayLike = 1e-7
    ) -> "ReluNetwork":
        r"""Draw neurons uniformly from a sphere, with equal output weights.

        .. math:: |w_i| = \text{scale}, \qquad c_i = \text{output}

        Args:
            key: A JAX random key.
            d: Dimension of the inputs.
            width: Number of neurons m.
            scale: Norm of each neuron, a number. Small is the rich regime, where neurons turn
                before they grow; large the lazy one, where the output weights do all the work.
            output: Every output weight, a number; tiny, so that the network starts at zero. It is
                not stuck there, even if this is 0; only neurons that are zero are, with scale 0.

        Returns:
            The network; its dtype is that of `scale`, float32 by default.

        Raises:
            ValueError: d or width below 1, a negative scale, or an output that is not finite.
            TypeError: `key` is not a random key.

        Source:
            The defaults are those of Section 4 of Tahir et al. (2025).

        Example:
            >>> import jax
            >>> network = ReluNetwork.init(jax.random.key(0), d=20, width=50, scale=2.0)
            >>> network.W.shape, round(float((network.W[0] ** 2).sum()), 3)
            ((50, 20), 4.0)
        """
        check_key("key", key)
        d, width = check_count("d", d), check_count("width", width)
        check("scale", scale, *AT_LEAST_0, shape=())
        check("output", output, *FINITE, shape=())
        dtype = float_type(scale)
        W = jax.random.normal(key, (width, d), dtype)
        W *= jnp.asarray(scale, dtype) / jnp.linalg.norm(W, axis=1, keepdims=True)
        return cls(W, jnp.full(width, jnp.asarray(output, dtype)))

    @property
    def d(self) -> int:
        """Dimension of the inputs."""
        return self.W.shape[-1]

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """Return the output for one input (d,)."""
        d = self.W.shape[1]
        check("x", x, *FINITE)
        if np.shape(x) != (d,):
            raise ValueError(
                f"x must be one input ({d},); for a batch X (n, {d}) use jax.vmap(network)(X); "
                f"got shape {np.shape(x)}"
            )
        return jnp.mean(self.c * self.features(x))

    def features(self, x: Float[Array, "*n d"]) -> Float[Array, "*n m"]:
        r"""Return the features :math:`\operatorname{relu}(w_i \cdot x)` of one input or of many.

        Args:
            x: Inputs, (..., d).

        Returns:
            The features, (..., m).

        Raises:
            ValueError: `x` is not finite or has another last axis.

        Source:
            Section 4 of Tahir et al. (2025).

        Example:
            >>> import jax.numpy as jnp
            >>> network = ReluNetwork(jnp.eye(2), jnp.ones(2))
            >>> network.features(jnp.array([3.0, -1.0])).tolist()
            [3.0, 0.0]
        """
        d = self.W.shape[1]
        check("x", x, *FINITE)
        if np.shape(x)[-1:] != (d,):
            raise ValueError(f"x must be inputs (..., {d}); got shape {np.shape(x)}")
        return jnp.maximum(matmul(as_floats(x)[0], self.W.T), 0)

    def outputs(self, x: Float[Array, "*n d"]) -> Float[Array, "*n"]:
        r"""Return the outputs for inputs, one or many.

        .. math:: f(x) = \frac1m \sum_{i=1}^m c_i \operatorname{relu}(w_i \cdot x)

        Args:
            x: Inputs, (..., d).

        Returns:
            The outputs, (...).

        Raises:
            TypeError: `x` is not numeric.
            ValueError: `x` is not finite or has another last axis.

        Source:
            Section 4 of Tahir et al. (2025).

        Example:
            >>> import jax.numpy as jnp
            >>> network = ReluNetwork(jnp.eye(2), jnp.ones(2))
            >>> network.outputs(jnp.array([[3.0, -1.0], [1.0, 1.0]])).tolist()
            [1.5, 1.0]
        """
        return matmul(self.features(x), self.c) / len(self.c)

    def with_last_layer(self, last: Float[Array, " m"]) -> "ReluNetwork":
        r"""Return the network with another last layer, :math:`c / m = \text{last}`.

        Args:
            last: What multiplies the features, (m,).

        Returns:
            The network with the same neurons.

        Raises:
            TypeError: `last` is not numeric.
            ValueError: `last` is not finite or has another length.

        Source:
            Section 4 of Tahir et al. (2025).

        Example:
            >>> import jax.numpy as jnp
            >>> network = ReluNetwork(jnp.eye(2), jnp.ones(2))
            >>> network.with_last_layer(jnp.array([1.0, 0.0])).c.tolist()
            [2.0, 0.0]
        """
        check("last", last, *FINITE, shape=(len(self.c),))
        (last,) = as_floats(last)
        return ReluNetwork(self.W, len(self.c) * last)

    def regression(self, X: Array, cutoff: ArrayLike | None, engine: str) -> Regression:
        """Return the regression on the features.

        The learning rate is for c, which is m times the last layer.

        Args:
            X: Inputs, (n, d).
            cutoff: Relative to the largest singular value of the features of the samples, a number;
                None for the root of the cutoff of `fatelib.relu.feature_spectrum`.
            engine: "limit", or "descent" for gradient descent, which drops no features.

        Returns:
            The regression.

        Raises:
            ValueError: A cutoff with the engine "descent", or `X` is not finite or has other
                columns.

        Example:
            >>> import jax.numpy as jnp
            >>> network = ReluNetwork(jnp.eye(2), jnp.ones(2))
            >>> problem = network.regression(jnp.eye(2), None, "descent")
            >>> problem.Z.tolist(), problem.pace
            ([[1.0, 0.0], [0.0, 1.0]], 0.5)
        """
        if cutoff is None and engine != "descent":
            cutoff = faintest(len(self.c), self.c.dtype) ** 0.5
        return super().regression(X, cutoff, engine)._replace(pace=1 / len(self.c))


def distance2(f: ReluNetwork, g: ReluNetwork) -> Float[Array, ""]:
    r"""Squared distance of two networks on standard normal inputs: the risk of one for the other.

    .. math:: E_x (f(x) - g(x))^2 = a^T K(U, U) \, a

    with all neurons :math:`U = (W_f, W_g)`, weights :math:`a = (c_f / m_f, -c_g / m_g)` and the
    arc-cosine kernel K: exact, no test set.

    Args:
        f: A network.
        g: A network on inputs of the same dimension; their widths may differ.

    Returns:
        The squared distance. It is a difference of larger numbers: below
        :math:`\|f\|^2 + \|g\|^2` times the rounding error of the dtype it is noise.

    Raises:
        TypeError: An argument is not a ReluNetwork.
        ValueError: The networks differ in the dimension of their inputs.

    Source:
        Section 4 of Tahir et al. (2025); the kernel: Cho and Saul (2009).

    Example:
        >>> import jax.numpy as jnp
        >>> f, g = ReluNetwork(jnp.eye(3), jnp.ones(3)), ReluNetwork(-jnp.eye(3), jnp.ones(3))
        >>> round(float(distance2(f, g)), 3), round(float(distance2(f, f)), 3)
        (0.333, 0.0)
    """
    check_type("f", f, ReluNetwork, "a ReluNetwork")
    check_type("g", g, ReluNetwork, "a ReluNetwork")
    if f.W.shape[1] != g.W.shape[1]:
        raise ValueError(
            f"f and g must have inputs of one dimension; got {f.W.shape[1]} and {g.W.shape[1]}"
        )
    U = jnp.concatenate([f.W, g.W])
    a = jnp.concatenate([f.c / len(f.c), -g.c / len(g.c)])
    return jnp.maximum(matmul(matmul(arccos_kernel(U, U), a), a), 0)
