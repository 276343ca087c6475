r"""Gradient descent on a last layer alone, in the coordinates where its loss is a sum.

With frozen features Z the loss is that of a linear map, :math:`\tfrac1n \|Z b - y\|^2`
(`Quadratic`), and every coordinate of b moves by itself: O(min(n, p)) a step for p features.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from fatelib.descent.loop import History, Iteration, descend
from fatelib.descent.options import Options
from fatelib.descent.quadratic import Loss

__all__ = ["LastLayer", "train_last_layer"]


class Place(NamedTuple):
    """Where a last layer is."""

    coordinates: Array  # those of the loss
    kept: Array  # what weight decay has left of the part that the data never see


class LastLayer(Iteration[Place, Array]):
    """Gradient descent on one linear layer.

    Attributes:
        loss: The loss of the layer.
        initial: The initial weights.
    """

    loss: Loss
    initial: Float[Array, " p"]
    engine: ClassVar[str] = "descent"
    block: ClassVar[int] = 100

    @property
    def minimum(self) -> Array:
        """The smallest training loss."""
        return self.loss.minimum

    @property
    def worst(self) -> Array:
        """How far above the minimum the loss of the zero layer is."""
        return self.loss.excess(self.loss.zero)

    @property
    def unseen(self) -> Array:
        """The part of the initial weights that the data never see."""
        return self.initial - self.loss.lift(self.loss.project(self.initial))

    def start(self) -> Place:
        """Return the initial weights."""
        return Place(self.loss.project(self.initial), jnp.ones((), self.initial.dtype))

    def advance(
        self, state: Place, length: int, rate: Callable[[ArrayLike], Array], decay: Array
    ) -> Place:
        """Take the steps."""

        def step(j: ArrayLike, place: Place) -> Place:
            eta = rate(j)
            left = 1 - eta * decay
            moved = left * place.coordinates - eta * self.loss.gradient(place.coordinates)
            return Place(moved, left * place.kept)

        return jax.lax.fori_loop(0, length, step, state)

    def excess(self, state: Place) -> Array:
        """Return the loss above its minimum."""
        return self.loss.excess(state.coordinates)

    def stationary(self, state: Place, tolerance: Array, decay: Array) -> Array:
        """Whether data and weight decay are in balance: a ridge problem near its minimum."""
        pull = self.loss.gradient(state.coordinates) + decay * state.coordinates
        # The objective is no further above its minimum than |gradient|^2 / (2 decay).
        slope2 = jnp.sum(pull**2) + decay**2 * jnp.sum((state.kept * self.unseen) ** 2)
        return slope2 <= jnp.minimum(2 * decay, 1) * tolerance

    def network(self, state: Place) -> Array:
        """Return the weights of the layer."""
        return state.kept * self.unseen + self.loss.lift(state.coordinates)


def train_last_layer(
    loss: Loss, start: Float[Array, " p"], options: Options
) -> tuple[Array, History, Array]:
    r"""Train one linear layer, in one loop on the device.

    The automatic learning rate, half of the largest stable one, is
    :math:`1 / (\text{decay} + 2 \lambda_{\max})` with the largest curvature of the loss.

    Args:
        loss: The loss of the layer.
        start: Its initial weights.
        options: How to train, with numbers as arrays.

    Returns:
        The trained weights, the history and the automatic learning rate.
    """
    curvature = jnp.asarray(options.weight_decay) + 2 * loss.top
    stable = jnp.where(curvature > 0, 1 / jnp.where(curvature > 0, curvature, 1), 1)
    rate = stable if options.learning_rate is None else jnp.asarray(options.learning_rate)
    last, history = descend(LastLayer(loss, start), rate, options)
    return last, history, stable
