"""The squared loss of a linear map, in the coordinates where it is a sum of independent terms."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from fatelib.descent.precision import matmul, rounding

__all__ = ["Loss", "Quadratic"]


class Loss(eqx.Module):
    """A least-squares loss of a linear map, in coordinates of its own.

    Attributes:
        minimum: The smallest value.
    """

    minimum: eqx.AbstractVar[Float[Array, ""]]

    @property
    @abstractmethod
    def zero(self) -> Float[Array, " r"]:
        """The coordinates of the zero map."""

    @property
    @abstractmethod
    def top(self) -> Float[Array, ""]:
        """The largest curvature, or a tight upper bound."""

    @abstractmethod
    def project(self, vectors: Array) -> Array:
        """Return the coordinates of a vector (d,), or of the columns of a matrix (d, h)."""

    @abstractmethod
    def lift(self, coordinates: Array) -> Array:
        """Return the vectors that have these coordinates."""

    @abstractmethod
    def excess(self, coordinates: Float[Array, " r"]) -> Float[Array, ""]:
        """Return the loss above its minimum."""

    @abstractmethod
    def gradient(self, coordinates: Float[Array, " r"]) -> Float[Array, " r"]:
        """Return the gradient of the loss, in coordinates."""

    @abstractmethod
    def split(self, beta: Float[Array, " d"]) -> tuple[Array, Array]:
        """Return the minimum-norm minimiser and the part of beta that the loss sees, both (d,)."""


class Quadratic(Loss):
    r"""A least-squares loss in its own basis.

    .. math::
        \|A\beta - t\|^2 = \text{minimum} + \text{misfit} + \sum_i \lambda_i (\beta_i - b_i)^2,
        \qquad A = U \sqrt{\Lambda} V^T

    where :math:`\beta_i` are the coordinates in the right singular basis V of A. Nothing cancels in
    this form but a product of their roots: the root of the distance to the minimum is accurate to
    that of the misfit, which rounding makes of zero. With :math:`A = X / \sqrt n` and
    :math:`t = y / \sqrt n` it is the mean squared training loss.

    Attributes:
        basis: The rows are the singular directions, (r, d) with r = min(n, d); None for the
            identity.
        curvature: The squares :math:`\lambda_i` of the singular values of A, (r,); zero where they
            are zero to rounding.
        minimiser: The coordinates :math:`b_i` of the minimum-norm minimiser :math:`A^+ t`, (r,).
        minimum: The smallest value.
        misfit: How far above it the minimiser is, as rounded.
    """

    basis: Float[Array, "r d"] | None
    curvature: Float[Array, " r"]
    minimiser: Float[Array, " r"]
    minimum: Float[Array, ""]
    misfit: Float[Array, ""]

    @classmethod
    def of(cls, A: Float[Array, "n d"] | None, t: Float[Array, " n"]) -> "Quadratic":
        r"""Decompose the loss.

        The singular values come from A itself: those of :math:`A^T A` are their squares, of which
        single precision loses all below 3e-4 of the largest. Those within `rounding` count as zero.

        Args:
            A: The matrix, (n, d); None stands for the identity.
            t: The target, (n,).

        Returns:
            The loss in its basis.
        """
        none = jnp.zeros((), t.dtype)
        if A is None:
            ones = jnp.ones_like(t)
            return cls(basis=None, curvature=ones, minimiser=t, minimum=none, misfit=none)
        U, S, basis = _singular(A)
        present = rounding(A) * jnp.max(S) < S
        along = matmul(t, U)
        minimiser = jnp.where(present, along / jnp.where(present, S, 1), 0)
        residual = t - matmul(A, matmul(minimiser, basis))
        along = jnp.where(present, matmul(residual, U), 0)
        return cls(
            basis=basis,
            curvature=jnp.where(present, S**2, 0),
            minimiser=minimiser,
            minimum=jnp.sum((residual - matmul(U, along)) ** 2),
            misfit=jnp.sum(along**2),
        )

    @property
    def zero(self) -> Float[Array, " r"]:
        """The coordinates of the zero map."""
        return jnp.zeros_like(self.minimiser)

    @property
    def top(self) -> Float[Array, ""]:
        """The largest curvature."""
        return jnp.max(self.curvature)

    def project(self, vectors: Array) -> Array:
        """Return the coordinates of a vector (d,), or of the columns of a matrix (d, h)."""
        return vectors if self.basis is None else matmul(self.basis, vectors)

    def lift(self, coordinates: Array) -> Array:
        """Return the vectors that have these coordinates, in the span of the basis."""
        return coordinates if self.basis is None else matmul(self.basis.T, coordinates)

    def excess(self, coordinates: Float[Array, " r"]) -> Float[Array, ""]:
        """Return the loss above its minimum."""
        return jnp.sum(self.curvature * (coordinates - self.minimiser) ** 2) + self.misfit

    def gradient(self, coordinates: Float[Array, " r"]) -> Float[Array, " r"]:
        """Return the gradient of the loss, in coordinates."""
        return 2 * self.curvature * (coordinates - self.minimiser)

    def split(self, beta: Float[Array, " d"]) -> tuple[Array, Array]:
        """Return the minimum-norm minimiser and the part of beta that the loss sees, both (d,)."""
        seen = jnp.where(self.curvature > 0, self.project(beta), 0)
        return self.lift(self.minimiser), self.lift(seen)


def _singular(A: Float[Array, "n d"]) -> tuple[Array, Array, Array]:
    """Return U (n, r), the singular values (r,) and V^T (r, d), with r = min(n, d)."""
    n, d = A.shape
    if d == 1:  # one feature, as pretraining leaves it
        size = jnp.linalg.norm(A, axis=0)
        return A / jnp.where(size > 0, size, 1)[None], size, jnp.ones((1, 1), A.dtype)
    # What is far from square is made so first, which costs little.
    if n < d:
        Q, R = jnp.linalg.qr(A.T)
        U, S, V = jnp.linalg.svd(R.T)
        return U, S, matmul(V, Q.T)
    if n < 2 * d:
        U, S, V = jnp.linalg.svd(A, full_matrices=False)
        return U, S, V
    Q, R = jnp.linalg.qr(A)
    U, S, V = jnp.linalg.svd(R)
    return matmul(Q, U), S, V
