r"""Gradient descent on all weights of a deep linear network: the plain iterates, cheaper.

With :math:`\beta = W_1 \cdots W_L` and the gradient G of the loss in :math:`\beta`, a step is

.. math::
    W_l \leftarrow W_l - \eta \big[ (W_1 \cdots W_{l-1})^T G \, (W_{l+1} \cdots W_L)^T
    + \text{decay} \, W_l \big].

Three facts make it cheap; none changes the iterates:

- Every gradient is an outer product, so matrix-vector products are enough: O(L d^2).
- Gradient descent commutes with rotations. In the singular basis of the inputs (`Quadratic`) the
  gradient costs O(d), and only min(n, d) rows of :math:`W_1` ever feel the data.
- Memory traffic is the limit. The outer products of several steps are kept as factors and written
  into the weights in one matrix product.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from fatelib.descent.precision import matmul
from fatelib.descent.quadratic import Loss
from fatelib.linear.iteration import LinearIteration
from fatelib.linear.network import DeepLinear

__all__ = ["Descent"]


class Weights(NamedTuple):
    """The evolving weights."""

    hidden: tuple[Array, ...]  # W_1 in the coordinates of the loss, and W_2, ..., W_{L-1}
    last: Array  # W_L as a vector; at depth 1 it is W_1
    shrink: Array  # what weight decay has left of the part of W_1 that the data never see


# Of every hidden weight, what is held back as ``(left, right)``.
_Factors = tuple[tuple[Array, ...], ...]


class Descent(LinearIteration[Weights]):
    """Full-network gradient descent, of any depth and from any start."""

    loss: Loss
    initial: DeepLinear
    engine: ClassVar[str] = "descent"
    # Outer products held back before they are written; more cost more than they save.
    block: ClassVar[int] = 16

    @property
    def depth(self) -> int:
        """Number of weight matrices."""
        return self.initial.depth

    def start(self) -> Weights:
        """Return the initial weights."""
        first, *others = self.initial.weights
        first = self.loss.project(first)
        return Weights(
            (first, *others[:-1])[: self.depth - 1],
            jnp.ravel((first, *others)[-1]),
            jnp.ones((), first.dtype),
        )

    def coordinates(self, state: Weights) -> Array:
        """Return W_1 ... W_L in the coordinates of the loss."""
        return _suffixes(state)[0]

    def norms2(self, state: Weights) -> tuple[Array, Array]:
        """Return the squared norms of the unseen part of the map and of all weights."""
        first = self.initial.weights[0]
        start = self.loss.project(first)
        rest = _suffixes(state)[1]
        outside = state.shrink * (matmul(first, rest) - self.loss.lift(matmul(start, rest)))
        squares = sum(jnp.sum(weight**2) for weight in (*state.hidden, state.last))
        squares += state.shrink**2 * (jnp.sum(first**2) - jnp.sum(start**2))
        return jnp.sum(outside**2), squares

    def network(self, state: Weights) -> DeepLinear:
        """Return the network in its original coordinates."""
        weights: tuple[Array, ...] = (*state.hidden, state.last[:, None])
        first, *others = weights
        initial = self.initial.weights[0]
        unseen = initial - self.loss.lift(self.loss.project(initial))
        return DeepLinear((state.shrink * unseen + self.loss.lift(first), *others))

    def advance(
        self, state: Weights, length: int, rate: Callable[[ArrayLike], Array], decay: Array
    ) -> Weights:
        """Take the steps, and write their outer products into the weights at once.

        In between, a hidden weight is ``scale * weight - left.T @ right``.
        """

        def step(
            j: ArrayLike, carry: tuple[_Factors, Array, Array]
        ) -> tuple[_Factors, Array, Array]:
            factors, last, scale = carry
            eta = rate(j)
            keep = 1 - eta * decay
            suffixes = [last]
            for weight, (left, right) in zip(
                reversed(state.hidden), reversed(factors), strict=True
            ):
                x = suffixes[-1]
                suffixes.append(scale * matmul(weight, x) - matmul(matmul(right, x), left))
            gradient = self.loss.gradient(suffixes.pop())
            grown = []
            for weight, (left, right) in zip(state.hidden, factors, strict=True):
                grown.append(
                    ((keep * left).at[j].set(eta * gradient), right.at[j].set(suffixes.pop()))
                )
                gradient = scale * matmul(gradient, weight) - matmul(matmul(left, gradient), right)
            return tuple(grown), keep * last - eta * gradient, keep * scale

        factors = tuple(
            tuple(jnp.zeros((length, size), weight.dtype) for size in weight.shape)
            for weight in state.hidden
        )
        carry = (factors, state.last, jnp.ones((), decay.dtype))
        factors, last, scale = jax.lax.fori_loop(0, length, step, carry)
        hidden = tuple(
            scale * weight - matmul(left.T, right)
            for weight, (left, right) in zip(state.hidden, factors, strict=True)
        )
        return Weights(hidden, last, scale * state.shrink)


def _suffixes(state: Weights) -> list[Array]:
    """Return W_1...W_L (in coordinates), W_2...W_L, ..., W_L and 1, as vectors."""
    products = [jnp.ones(1, state.last.dtype), state.last]
    for weight in reversed(state.hidden):
        products.append(matmul(weight, products[-1]))
    return products[::-1]
