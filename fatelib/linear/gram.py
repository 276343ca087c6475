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
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fatelib.linear.descent import Descent, Weights
from fatelib.linear.quadratic import product

__all__ = ["Gram"]


class _State(NamedTuple):
    weights: Weights
    gram: Array  # M
    beta: Array
    square: Array  # s


class Gram(Descent):
    """Gradient descent on a two-layer network through the Gram matrix of its first layer."""

    engine: ClassVar[str] = "gram"

    def start(self) -> Any:
        """Return the initial weights and their products."""
        weights = super().start()
        (first,), last = weights.hidden, weights.last
        return _State(weights, product(first, first.T), product(first, last), jnp.sum(last**2))

    def coordinates(self, state: Any) -> Array:
        """Return W_1 w_2 in the coordinates of the loss."""
        return state.beta

    def norms2(self, state: Any) -> tuple[Array, Array]:
        """Return the squared norms of the unseen part of the map and of all weights."""
        return super().norms2(state.weights)

    def network(self, state: Any) -> Any:
        """Return the network in its original coordinates."""
        return super().network(state.weights)

    def advance(self, state: Any, length: int, rate: Callable[[Any], Array], decay: Array) -> Any:
        """Take the steps, and write their products into the Gram matrix and the weights at once.

        In between M is ``scale**2 * gram - G.T @ Q - Q.T @ G`` with the factors as rows.
        """

        def step(j: Any, carry: Any) -> Any:
            gradients, pulls, beta, square, scale = carry
            eta = rate(j)
            keep = 1 - eta * decay
            gradient = self.loss.gradient(beta)
            image = scale**2 * product(state.gram, gradient)
            image -= product(product(pulls, gradient), gradients)
            image -= product(product(gradients, gradient), pulls)
            slope = jnp.sum(beta * gradient)
            pull = eta * keep * beta - (0.5 * eta**2 * square) * gradient
            gradients = (keep * gradients).at[j].set(gradient)
            pulls = (keep * pulls).at[j].set(pull)
            beta = keep**2 * beta - (eta * keep) * (image + square * gradient)
            beta += (eta**2 * slope) * gradient
            square = keep**2 * square - 2 * eta * keep * slope
            square += eta**2 * jnp.sum(gradient * image)
            return gradients, pulls, beta, square, keep * scale

        none = jnp.zeros((length, len(state.beta)), decay.dtype)
        carry = (none, none, state.beta, state.square, jnp.ones((), decay.dtype))
        gradients, pulls, beta, square, scale = jax.lax.fori_loop(0, length, step, carry)
        rates = rate(jnp.arange(length))
        half = product(gradients.T, pulls)
        gram = scale**2 * state.gram - half - half.T
        return _State(self._weights(state, gradients, rates, 1 - rates * decay), gram, beta, square)

    def _weights(self, state: Any, gradients: Array, rates: Array, keeps: Array) -> Weights:
        """Replay the block on the weights, given its gradients.

        The gradients come shrunk by the decay of the steps after them, and the last layer of every
        step is found in units of the decay before it: one recurrence without products of size d^2.
        """
        block = len(rates)
        before = jnp.cumprod(jnp.concatenate([jnp.ones(1, rates.dtype), keeps]))
        plain = gradients * (before[1:] / before[-1])[:, None]
        (first,), last, shrink = state.weights
        images = product(plain, first)
        overlaps = product(plain, plain.T)
        # W_1 at step j is before_j * (first - sum_{i < j} (rates / before')_i plain_i outputs_i^T)
        # with before'_i = before_{i + 1}.

        def step(j: Any, carry: Any) -> Any:
            outputs, output = carry
            past = jnp.where(jnp.arange(block) < j, rates * overlaps[j] / before[1:], 0)
            outputs = outputs.at[j].set(output)
            back = before[j] * (images[j] - product(past, outputs))
            return outputs, keeps[j] * output - rates[j] * back

        outputs = jnp.zeros((block, len(last)), rates.dtype)
        outputs, last = jax.lax.fori_loop(0, block, step, (outputs, last))
        weighted = (rates / before[1:])[:, None] * outputs
        first = before[-1] * (first - product(plain.T, weighted))
        return Weights((first,), last, before[-1] * shrink)
