"""What the loop of gradient descent needs to know of a linear network.

The engines (`fatelib.linear.descent`, `gram`, `spectral`) differ in their state; the loss of the
linear map that a state stands for, and the balance of this loss with weight decay, are one.
"""

from abc import abstractmethod
from typing import Generic

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from fatelib.descent.loop import Iteration, State
from fatelib.descent.quadratic import Loss
from fatelib.linear.network import DeepLinear

__all__ = ["LinearIteration"]


class LinearIteration(Iteration[State, DeepLinear], Generic[State]):
    """Gradient descent on a state that stands for a linear network.

    Attributes:
        loss: The loss of the linear map.
    """

    loss: eqx.AbstractVar[Loss]

    @property
    @abstractmethod
    def depth(self) -> int:
        """Number of weight matrices."""

    @abstractmethod
    def coordinates(self, state: State) -> Array:
        """Return the linear map in the coordinates of the loss."""

    @abstractmethod
    def norms2(self, state: State) -> tuple[Array, Array]:
        """Return squared norms: of the map's part that the loss never sees, of all weights."""

    @abstractmethod
    def network(self, state: State) -> DeepLinear:
        """Return the network in this state."""

    @property
    def minimum(self) -> Array:
        """The smallest training loss."""
        return self.loss.minimum

    @property
    def worst(self) -> Array:
        """How far above the minimum the loss of the zero network is."""
        return self.loss.excess(self.loss.zero)

    def excess(self, state: State) -> Array:
        """Return the loss above its minimum."""
        return self.loss.excess(self.coordinates(state))

    def stationary(self, state: State, tolerance: Array, decay: Array) -> Array:
        """Whether data and weight decay are in balance, or the decay has won."""
        loss, depth = self.loss, self.depth
        beta = self.coordinates(state)
        outside2, squares = self.norms2(state)
        norm = jnp.sqrt(jnp.sum(beta**2) + outside2)
        pull = decay * norm ** (2 / depth - 2)
        residual = jnp.sum((loss.gradient(beta) + pull * beta) ** 2)
        # A ridge problem of this pull is no further above its minimum than |gradient|^2 / (2 pull).
        # The bound would let a plateau near zero pass, where the pull of deep networks is infinite.
        balance = residual + pull**2 * outside2 <= jnp.minimum(2 * pull, 1) * tolerance
        if depth == 1:
            return balance
        # The sum N of the squared weights obeys dN/dt <= 2 N (|G| (N/L)^(L/2 - 1) - decay), with
        # G the gradient at zero: where the bracket is negative, zero is where this ends.
        push = jnp.linalg.norm(loss.gradient(loss.zero)) * (squares / depth) ** (depth / 2 - 1)
        return balance | ((push <= decay) & (loss.top * norm**2 <= tolerance))
