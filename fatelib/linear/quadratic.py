"""The squared loss of a linear map, in the coordinates where it is a sum of independent terms."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Loss", "Quadratic", "product"]


def product(a: Array, b: Array) -> Array:
    """Multiply at full precision, on accelerators too."""
    return jnp.matmul(a, b, precision="highest")


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
        \|A\beta - t\|^2 = \text{minimum} + \sum_i \lambda_i (\beta_i - b_i)^2, \qquad
        A = U \sqrt{\Lambda} V^T

    where :math:`\beta_i` are the coordinates in the right singular basis V of A. Nothing cancels in
    this form: the distance to the minimum is accurate however small it is. With
    :math:`A = X / \sqrt n` and :math:`t = y / \sqrt n` it is the mean squared training loss.

    Attributes:
        basis: The rows are the singular directions, (r, d) with r = min(n, d); None for the
            identity.
        curvature: The eigenvalues :math:`\lambda_i` of :math:`A^T A`, (r,); zero where they are
            zero to rounding.
        minimiser: The coordinates :math:`b_i` of the minimum-norm minimiser :math:`A^+ t`, (r,).
        minimum: The smallest value.
    """

    basis: Float[Array, "r d"] | None
    curvature: Float[Array, " r"]
    minimiser: Float[Array, " r"]
    minimum: Float[Array, ""]

    @classmethod
    def of(cls, A: Float[Array, "n d"] | None, t: Float[Array, " n"]) -> "Quadratic":
        """Diagonalise the loss.

        Args:
            A: The matrix, (n, d); None stands for the identity.
            t: The target, (n,).

        Returns:
            The loss in its basis.
        """
        if A is None:
            none = jnp.zeros((), t.dtype)
            return cls(basis=None, curvature=jnp.ones_like(t), minimiser=t, minimum=none)
        # Several times faster than a singular value decomposition. Where A has fewer rows than
        # columns, Q confines the eigenvectors to their span.
        if A.shape[0] < A.shape[1]:
            Q, R = jnp.linalg.qr(A.T)
            basis = product(Q, jnp.linalg.eigh(product(R, R.T))[1]).T
        else:
            basis = jnp.linalg.eigh(product(A.T, A))[1].T
        # The columns of A V give the small eigenvalues, which the product A^T A has lost, again.
        images = product(A, basis.T)
        curvature = jnp.sum(images**2, axis=0)
        rounding = jnp.finfo(A.dtype).eps * max(A.shape)
        curvature = jnp.where(curvature > rounding**2 * jnp.max(curvature), curvature, 0)
        minimiser = product(t, images) / jnp.where(curvature > 0, curvature, 1)
        minimiser = jnp.where(curvature > 0, minimiser, 0)
        minimum = jnp.sum((t - product(images, minimiser)) ** 2)
        if A.shape[0] <= A.shape[1]:
            minimum = jnp.where(jnp.all(curvature > 0), 0, minimum)
        return cls(basis=basis, curvature=curvature, minimiser=minimiser, minimum=minimum)

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
        return vectors if self.basis is None else product(self.basis, vectors)

    def lift(self, coordinates: Array) -> Array:
        """Return the vectors that have these coordinates, in the span of the basis."""
        return coordinates if self.basis is None else product(self.basis.T, coordinates)

    def excess(self, coordinates: Float[Array, " r"]) -> Float[Array, ""]:
        """Return the loss above its minimum."""
        return jnp.sum(self.curvature * (coordinates - self.minimiser) ** 2)

    def gradient(self, coordinates: Float[Array, " r"]) -> Float[Array, " r"]:
        """Return the gradient of the loss, in coordinates."""
        return 2 * self.curvature * (coordinates - self.minimiser)

    def split(self, beta: Float[Array, " d"]) -> tuple[Array, Array]:
        """Return the minimum-norm minimiser and the part of beta that the loss sees, both (d,)."""
        seen = jnp.where(self.curvature > 0, self.project(beta), 0)
        return self.lift(self.minimiser), self.lift(seen)
