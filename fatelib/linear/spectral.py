r"""Gradient descent on rank-one networks: O(min(n, d)) per step, at any depth.

A network whose matrices are

.. math:: W_1 = u v_1^T, \qquad W_l = c_l v_{l-1} v_l^T, \qquad W_L = c_L v_{L-1}

with unit vectors :math:`v_l` keeps this form under gradient descent, discrete steps and weight
decay included. With :math:`\beta = C u`, :math:`C = \prod_l c_l`, and the gradient G of the loss at
:math:`\beta` a step is

.. math::
    u \leftarrow (1 - \eta \, \text{decay}) u - \eta C G, \qquad
    c_l \leftarrow (1 - \eta \, \text{decay}) c_l - \eta \, (u \cdot G) \prod_{j \ne l} c_j .

Pretraining from a small scale ends in this form (`fatelib.linear.alignment` measures how
nearly), and G costs O(min(n, d)) in the singular basis of the inputs or for bidiagonal inputs.
"""

import math
from collections.abc import Callable
from itertools import accumulate
from operator import mul
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float

from fatelib.descent.precision import matmul
from fatelib.descent.quadratic import Loss
from fatelib.linear.iteration import LinearIteration
from fatelib.linear.network import DeepLinear

__all__ = ["RankOne", "Spectral"]


class RankOne(eqx.Module):
    """A network as one direction of the inputs and a scalar per further layer.

    Attributes:
        direction: The vector u, (d,).
        scales: The scalars c_2, ..., c_L, (L - 1,).
        frames: The unit vectors v_1, ..., v_{L-1}.
        remainder: Largest share of a matrix, in Frobenius norm, that this form leaves out.
    """

    direction: Float[Array, " d"]
    scales: Float[Array, " _"]
    frames: tuple[Float[Array, " _"], ...]
    remainder: Float[Array, ""]

    @classmethod
    def of(cls, network: DeepLinear) -> "RankOne":
        """Compress a network."""
        first, *others = network.weights

        def unit(vector: Array) -> Array:
            # Scaled to its largest entry first: the squares of a tiny one would underflow.
            largest = jnp.max(jnp.abs(vector))
            vector = jnp.where(largest > 0, vector, jnp.eye(1, len(vector))[0])
            vector = vector / jnp.where(largest > 0, largest, 1)
            return vector / jnp.linalg.norm(vector)

        def left_out(matrix: Array, kept: Array) -> Array:
            largest = jnp.max(jnp.abs(matrix))
            size = jnp.where(largest > 0, largest, 1)
            rest, whole = (jnp.linalg.norm(a / size) for a in (matrix - kept, matrix))
            return rest / jnp.where(largest > 0, whole, 1)

        if not others:
            none = jnp.zeros(0, first.dtype)
            return cls(first[:, 0], none, (), jnp.zeros((), first.dtype))
        # Two power iterations from the longest row: one gives it exactly where the rank is one.
        frame = unit(first[jnp.argmax(jnp.max(jnp.abs(first), axis=1))])
        frame = unit(matmul(unit(matmul(first, frame)), first))
        direction = matmul(first, frame)
        frames, scales = [frame], []
        remainder = left_out(first, direction[:, None] * frame[None, :])
        for weight in others[:-1]:
            image = matmul(frames[-1], weight)
            frame = unit(image)
            scales.append(jnp.sum(image * frame))
            kept = scales[-1] * frames[-1][:, None] * frame[None, :]
            remainder = jnp.maximum(remainder, left_out(weight, kept))
            frames.append(frame)
        last = others[-1][:, 0]
        scales.append(matmul(frames[-1], last))
        remainder = jnp.maximum(remainder, left_out(last, scales[-1] * frames[-1]))
        return cls(direction, jnp.stack(scales), tuple(frames), remainder)

    def network(self, direction: Array, scales: Array) -> DeepLinear:
        """Return the network with another direction and other scalars in the same frames."""
        if not self.frames:
            return DeepLinear((direction[:, None],))
        ends = (*self.frames[1:], jnp.ones(1, direction.dtype))
        others = [
            scale * left[:, None] * right[None, :]
            for scale, left, right in zip(scales, self.frames, ends, strict=True)
        ]
        return DeepLinear((direction[:, None] * self.frames[0][None, :], *others))

    def sizes(self) -> Float[Array, " depth"]:
        """Return the norms of the matrices."""
        first = jnp.linalg.norm(self.direction)
        return jnp.concatenate([first[None], jnp.abs(self.scales)])

    def balanced(self, tolerance: float) -> Bool[Array, ""]:
        """Whether the squared norms of the matrices differ by no more than this share."""
        squares = self.sizes() ** 2
        return jnp.max(squares) - jnp.min(squares) <= tolerance * jnp.max(squares)

    def fits(self, tolerance: float) -> Bool[Array, ""]:
        """Whether the form leaves out no more than a share `tolerance` of any matrix."""
        return self.remainder <= tolerance


class _State(NamedTuple):
    direction: Array  # u in the coordinates of the loss
    scales: Array
    shrink: Array  # what weight decay has left of the part of u that the data never see


class Spectral(LinearIteration[_State]):
    """Gradient descent on a rank-one network."""

    loss: Loss
    initial: RankOne
    engine: ClassVar[str] = "spectral"
    block: ClassVar[int] = 1 << 30

    @property
    def depth(self) -> int:
        """Number of weight matrices."""
        return len(self.initial.scales) + 1

    def start(self) -> _State:
        """Return the initial state."""
        direction = self.initial.direction
        one = jnp.ones((), direction.dtype)
        return _State(self.loss.project(direction), self.initial.scales, one)

    def coordinates(self, state: _State) -> Array:
        """Return the linear map in the coordinates of the loss."""
        return jnp.prod(state.scales) * state.direction

    def norms2(self, state: _State) -> tuple[Array, Array]:
        """Return the squared norms of the unseen part of the map and of all weights."""
        unseen = state.shrink**2 * jnp.sum(self._unseen() ** 2)
        squares = jnp.sum(state.direction**2) + jnp.sum(state.scales**2) + unseen
        return jnp.prod(state.scales) ** 2 * unseen, squares

    def network(self, state: _State) -> DeepLinear:
        """Return the network in its original coordinates and frames."""
        direction = state.shrink * self._unseen() + self.loss.lift(state.direction)
        return self.initial.network(direction, state.scales)

    def advance(
        self, state: _State, length: int, rate: Callable[[ArrayLike], Array], decay: Array
    ) -> _State:
        """Take the steps."""

        def step(
            j: ArrayLike, carry: tuple[Array, tuple[Array, ...], Array]
        ) -> tuple[Array, tuple[Array, ...], Array]:
            direction, scales, shrink = carry
            eta = rate(j)
            keep = 1 - eta * decay
            one = jnp.ones_like(eta)
            whole = math.prod(scales, start=one)
            gradient = self.loss.gradient(whole * direction)
            along = matmul(direction, gradient)
            direction = keep * direction - (eta * whole) * gradient
            # Scalars, not an array: every operation on a small array is a loop of its own.
            before = [one, *accumulate(scales, mul)]
            after = [one, *accumulate(reversed(scales), mul)][::-1]
            scales = tuple(
                keep * scale - eta * along * (before[l] * after[l + 1])
                for l, scale in enumerate(scales)
            )
            return direction, scales, keep * shrink

        scales = tuple(state.scales[l] for l in range(self.depth - 1))
        carry = (state.direction, scales, state.shrink)
        direction, scales, shrink = jax.lax.fori_loop(0, length, step, carry)
        return _State(direction, jnp.stack(scales) if scales else state.scales, shrink)

    def _unseen(self) -> Array:
        direction = self.initial.direction
        return direction - self.loss.lift(self.loss.project(direction))
