r"""Gradient descent on two layers through the Gram matrix of the first: one pass over it per step.

The iterates of gradient descent close on :math:`M = W_1 W_1^T`, :math:`\beta = W_1 w_2` and
:math:`s = \|w_2\|^2`: with :math:`\rho = 1 - \eta \, \text{decay}` and the gradient G in
:math:`\beta`,

.. math::
    \beta &\leftarrow \rho^2 \beta - \eta \rho (M G + s G) + \eta^2 (\beta \cdot G) G, \\
    M &\leftarrow \rho^2 M - G q^T - q G^T, \qquad
        q = \eta \rho \beta - \tfrac12 \eta^2 s \, G, \\
    s &\leftarrow \rho^2 s - 2 \eta \rho \, \beta \cdot G + \eta^2 \, G \cdot M G .

In the singular basis of the inputs only the min(n, d) coordinates that the data see take part, and
one product M G is all a step reads. The rank-two updates of a block of steps are written at once;
so are the weights, which follow from the same factors.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from fatelib.descent.precision import matmul
from fatelib.descent.quadratic import Loss
from fatelib.linear.descent import Descent, Weights
from fatelib.linear.iteration import LinearIteration
from fatelib.linear.network import DeepLinear

__all__ = ["Gram"]


class _State(NamedTuple):
    weights: Weights
    gram: Array  # M
    beta: Array
    square: Array  # s


class Gram(LinearIteration[_State]):
    """Gradient descent on a two-layer network through the Gram matrix of its first layer."""

    loss: Loss
    initial: DeepLinear
    engine: ClassVar[str] = "gram"
    block: ClassVar[int] = Descent.block

    @property
    def depth(self) -> int:
        """Number of weight matrices."""
        return self.initial.depth

    @property
    def _plain(self) -> Descent:
        """The descent on the same weights without their products."""
        return Descent(self.loss, self.initial)

    def start(self) -> _State:
        """Return the initial weights and their products."""
        weights = self._plain.start()
        (first,), last = weights.hidden, weights.last
        return _State(weights, matmul(first, first.T), matmul(first, last), jnp.sum(last**2))

    def coordinates(self, state: _State) -> Array:
        """Return W_1 w_2 in the coordinates of the loss."""
        return state.beta

    def norms2(self, state: _State) -> tuple[Array, Array]:
        """Return the squared norms of the unseen part of the map and of all weights."""
        return self._plain.norms2(state.weights)

    def network(self, state: _State) -> DeepLinear:
        """Return the network in its original coordinates."""
        return self._plain.network(state.weights)

    def advance(
        self, state: _State, length: int, rate: Callable[[ArrayLike], Array], decay: Array
    ) -> _State:
        """Take the steps, and write their products into the Gram matrix and the weights at once.

        In between M is ``scale**2 * gram - G.T @ K @ Q - Q.T @ K @ G`` with the factors as rows
        and on the diagonal of K what the decay of later steps has left of them.
        """

        def step(j: ArrayLike, carry: tuple[Array, ...]) -> tuple[Array, ...]:
            gradients, pulls, kept, beta, square, scale = carry
            eta = rate(j)
            keep = 1 - eta * decay
            gradient = self.loss.gradient(beta)
            image = scale**2 * matmul(state.gram, gradient)
            image -= matmul(kept**2 * matmul(pulls, gradient), gradients)
            image -= matmul(kept**2 * matmul(gradients, gradient), pulls)
            slope = jnp.sum(beta * gradient)
            pull = eta * keep * beta - (0.5 * eta**2 * square) * gradient
            beta = keep**2 * beta - (eta * keep) * (image + square * gradient)
            beta += (eta**2 * slope) * gradient
            square = keep**2 * square - 2 * eta * keep * slope
            square += eta**2 * jnp.sum(gradient * image)
            gradients, pulls = gradients.at[j].set(gradient), pulls.at[j].set(pull)
            return gradients, pulls, (keep * kept).at[j].set(1), beta, square, keep * scale

        none = jnp.zeros((length, len(state.beta)), decay.dtype)
        one = jnp.ones((), decay.dtype)
        carry = (none, none, none[:, 0], state.beta, state.square, one)
        gradients, pulls, kept, _, _, scale = jax.lax.fori_loop(0, length, step, carry)
        half = matmul(gradients.T, (kept**2)[:, None] * pulls)
        gram = scale**2 * state.gram - half - half.T
        rates = rate(jnp.arange(length))
        weights = self._weights(state, gradients, rates, 1 - rates * decay)
        # From the weights themselves, so that rounding does not part the two: a map much smaller
        # than the weights would drown in it.
        (first,), last = weights.hidden, weights.last
        return _State(weights, gram, matmul(first, last), jnp.sum(last**2))

    def _weights(self, state: _State, gradients: Array, rates: Array, keeps: Array) -> Weights:
        """Replay the block on the weights, given its gradients.

        At any step W_1 is ``scale * first - sum_i rates_i kept_i gradients_i outputs_i^T`` over the
        steps i before it, where `outputs` are the last layers and `kept` what the decay of later
        steps has left: one recurrence without products of size d^2.
        """
        (first,), last, shrink = state.weights
        images = matmul(gradients, first)
        overlaps = matmul(gradients, gradients.T)

        def step(j: ArrayLike, carry: tuple[Array, ...]) -> tuple[Array, ...]:
            outputs, kept, scale, output = carry
            back = scale * images[j] - matmul(rates * kept * overlaps[j], outputs)
            outputs, kept = outputs.at[j].set(output), (keeps[j] * kept).at[j].set(1)
            return outputs, kept, keeps[j] * scale, keeps[j] * output - rates[j] * back

        outputs = jnp.zeros((len(rates), len(last)), rates.dtype)
        carry = (outputs, jnp.zeros_like(rates), jnp.ones((), rates.dtype), last)
        outputs, kept, scale, last = jax.lax.fori_loop(0, len(rates), step, carry)
        first = scale * first - matmul(gradients.T, (rates * kept)[:, None] * outputs)
        return Weights((first,), last, scale * shrink)
