r"""Inputs with an upper bidiagonal matrix: products and solutions in O(min(n, d)).

Such inputs stand for Gaussian samples that are never formed, see `fatelib.linear.reduced_tasks`.

Source: Golub and Kahan (1965).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fatelib.arguments import FINITE, as_floats, check, check_type
from fatelib.descent.quadratic import Loss

__all__ = ["Bidiagonal", "BidiagonalLoss", "chi"]


class Bidiagonal(eqx.Module):
    r"""An upper bidiagonal matrix of inputs, stored as its two diagonals.

    .. math:: (X \beta)_i = B_{ii} \beta_i + B_{i, i+1} \beta_{i+1}

    It stands for the inputs in `fatelib.train` and the protocols of `fatelib.transfer`. Below its r
    rows lies one row of zeros, whose label is the norm of what no input can explain.

    Attributes:
        diagonal: The diagonal, (r,).
        upper: The entries to its right, (r,).
        samples: The number n of samples that the rows stand for; the mean of the loss is over n.
        columns: Number of columns, larger than r; those beyond r + 1 are zero.

    Source:
        Golub and Kahan (1965).

    Example:
        >>> one = jnp.ones(())
        >>> X = Bidiagonal(jnp.array([3.0, 2.0]), jnp.array([1.0, 4.0]), 2 * one, columns=3)
        >>> X.dense().tolist()
        [[3.0, 1.0, 0.0], [0.0, 2.0, 4.0], [0.0, 0.0, 0.0]]
    """

    diagonal: Float[Array, " r"]
    upper: Float[Array, " r"]
    samples: Float[Array, ""]
    columns: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        for name in ("diagonal", "upper", "samples"):
            check_type(name, getattr(self, name), (jax.Array, np.ndarray), "an array")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows, the row of zeros included, and of columns."""
        return len(self.diagonal) + 1, self.columns

    def __matmul__(self, beta: Float[Array, " columns"]) -> Float[Array, " rows"]:
        """Return X beta."""
        return jnp.pad(self._times(beta), (0, 1))

    def dense(self) -> Float[Array, "rows columns"]:
        r"""Return the matrix, of :math:`B_{ii}`, :math:`B_{i, i+1}` and zeros, (r + 1, columns).

        Example:
            >>> one = jnp.ones(())
            >>> Bidiagonal(2 * one[None], 3 * one[None], one, columns=2).dense().tolist()
            [[2.0, 3.0], [0.0, 0.0]]
        """
        return jax.vmap(self.__matmul__, 1, 1)(jnp.eye(self.columns, dtype=self.diagonal.dtype))

    def _times(self, beta: Array) -> Array:
        rows = len(self.diagonal)
        return self.diagonal * beta[:rows] + self.upper * beta[1 : rows + 1]

    def _transpose_times(self, y: Array) -> Array:
        rest = self.columns - len(self.diagonal)
        return jnp.pad(self.diagonal * y, (0, rest)) + jnp.pad(self.upper * y, (1, rest - 1))

    def solve(self, y: Float[Array, " r"]) -> Float[Array, " columns"]:
        """Minimum-norm solution of X beta = y by the factorisation B = L Q with plane rotations.

        Args:
            y: Labels of the rows, without that of the row of zeros, (r,).

        Returns:
            The solution, (columns,).

        Raises:
            TypeError: `y` is not numeric.
            ValueError: `y` is not finite or has another shape.

        Source:
            Golub and Kahan (1965).

        Example:
            >>> one = jnp.ones(())
            >>> X = Bidiagonal(jnp.array([2.0]), jnp.array([0.0]), one, columns=2)
            >>> X.solve(jnp.array([4.0])).tolist()
            [2.0, 0.0]
        """
        check("y", y, *FINITE, shape=self.diagonal.shape)
        (y,) = as_floats(y, like=(self.diagonal,))

        def divide(a: Array, b: Array) -> Array:
            return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)

        def eliminate(carry: Any, row: Any) -> Any:
            cosine, sine, before = carry
            diagonal, upper, value = row
            left, below = cosine * diagonal, sine * diagonal
            pivot = jnp.hypot(left, upper)
            solution = divide(value - below * before, pivot)
            # A row of zeros, beyond the last sample, turns nothing.
            cosine = jnp.where(pivot > 0, divide(left, pivot), 1)
            sine = divide(upper, pivot)
            return (cosine, sine, solution), (cosine, sine, solution)

        def rotate_back(carry: Array, row: Any) -> Any:
            cosine, sine, solution = row
            return cosine * solution - sine * carry, sine * solution + cosine * carry

        one, zero = jnp.ones((), y.dtype), jnp.zeros((), y.dtype)
        _, rotations = jax.lax.scan(eliminate, (one, zero, zero), (self.diagonal, self.upper, y))
        first, others = jax.lax.scan(rotate_back, zero, rotations, reverse=True)
        beta = jnp.concatenate([first[None], others])
        return jnp.pad(beta, (0, self.columns - len(beta)))


class BidiagonalLoss(Loss):
    r"""The mean squared loss on bidiagonal inputs, in the given coordinates.

    .. math:: \tfrac1n \|X \beta - y\|^2

    Attributes:
        X: The inputs.
        y: The labels of the r bidiagonal rows.
        minimum: The mean square of the remaining label.
    """

    X: Bidiagonal
    y: Float[Array, " r"]
    minimum: Float[Array, ""]

    @classmethod
    def of(cls, X: Bidiagonal, y: Float[Array, " rows"]) -> "BidiagonalLoss":
        """Return the loss of a data set."""
        return cls(X=X, y=y[:-1], minimum=y[-1] ** 2 / X.samples)

    @property
    def zero(self) -> Float[Array, " columns"]:
        """The zero map."""
        return jnp.zeros(self.X.columns, self.y.dtype)

    @property
    def top(self) -> Float[Array, ""]:
        """An upper bound of the largest curvature; tight in the first, largest entries."""
        size = jax.tree.map(jnp.abs, self.X)
        rows = size.diagonal + size.upper
        columns = size._transpose_times(jnp.ones_like(self.y))
        return jnp.max(rows) * jnp.max(columns) / self.X.samples

    def project(self, vectors: Array) -> Array:
        """Return the argument: all coordinates are kept."""
        return vectors

    def lift(self, coordinates: Array) -> Array:
        """Return the argument: all coordinates are kept."""
        return coordinates

    def excess(self, coordinates: Float[Array, " columns"]) -> Float[Array, ""]:
        """Return the loss above its minimum."""
        return jnp.sum((self.X._times(coordinates) - self.y) ** 2) / self.X.samples

    def gradient(self, coordinates: Float[Array, " columns"]) -> Float[Array, " columns"]:
        """Return the gradient of the loss."""
        residual = self.X._times(coordinates) - self.y
        return 2 * self.X._transpose_times(residual) / self.X.samples

    def split(self, beta: Float[Array, " columns"]) -> tuple[Array, Array]:
        """Return the minimum-norm minimiser and the part of beta that the loss sees."""
        return self.X.solve(self.y), self.X.solve(self.X._times(beta))


def chi(key: Any, freedom: Array, dtype: Any) -> Array:
    """Draw chi variables; zero where there is no degree of freedom."""
    draw = jax.random.chisquare(key, jnp.maximum(freedom, 1).astype(dtype), dtype=dtype)
    return jnp.where(freedom > 0, jnp.sqrt(draw), 0)
