r"""Gradient descent on both layers of a ReLU network: two matrix products per step.

All that a loss does to neuron i is one vector, twice the overlap of the error with the neuron's
active half of the inputs,

.. math:: M_i = 2 \, E_x \big[ (f(x) - y) \, 1(w_i \cdot x > 0) \, x \big] ,

because the ReLU is homogeneous: in mean-field units (m times the gradient)

.. math:: \nabla_{w_i} = c_i M_i, \qquad \nabla_{c_i} = w_i \cdot M_i .

On samples the mean is over the rows of X: one product makes :math:`W X^T`, whose signs are the
activity, and one brings the errors back. With no more samples than inputs one product with the
Gram matrix :math:`X X^T` does both. On the population it is a closed form in the angles between
neurons, with products of the same kind. All are written for one network; `jax.vmap` makes them
products of batches.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import reduce
from typing import ClassVar, Generic, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from fatelib.descent.loop import Iteration, State
from fatelib.descent.precision import matmul
from fatelib.relu.kernel import active_and_sine, norms
from fatelib.relu.network import ReluNetwork, distance2

__all__ = ["Descent", "FewSamples", "Population", "Samples"]


class Descent(Iteration[State, ReluNetwork], Generic[State]):
    """Gradient descent on both layers; a loss completes it with its `forces` and its value.

    Attributes:
        initial: The initial weights.
    """

    initial: ReluNetwork
    engine: ClassVar[str] = "descent"
    block: ClassVar[int] = 1

    @abstractmethod
    def loss(self, network: ReluNetwork) -> Float[Array, ""]:
        """Return the loss."""

    @abstractmethod
    def forces(self, network: ReluNetwork) -> Float[Array, "m d"]:
        """Return M, one row per neuron."""

    @property
    @abstractmethod
    def top(self) -> Float[Array, ""]:
        r"""Bound on :math:`E \operatorname{relu}(w \cdot x)^2` for unit neurons w."""

    @property
    def minimum(self) -> Array:
        """The bound 0."""
        return jnp.zeros((), self.initial.c.dtype)

    @property
    def worst(self) -> Array:
        """Return the loss of the zero network."""
        return self.loss(jax.tree.map(jnp.zeros_like, self.initial))

    def excess(self, state: State) -> Array:
        """Return the loss."""
        return self.loss(self.network(state))

    def slopes(self, network: ReluNetwork, decay: Array) -> tuple[Array, Array]:
        """Return m times the gradient of the loss, and the pull of weight decay."""
        W, c, M = network.W, network.c, self.forces(network)
        return c[:, None] * M + decay * W, jnp.sum(W * M, axis=1) + decay * c

    def stationary(self, state: State, tolerance: Array, decay: Array) -> Array:
        """Whether data and weight decay are in balance."""
        network = self.network(state)
        slopes2, size = _size(*self.slopes(network, decay)), _size(network.W, network.c)
        # Where the objective curves no less than its penalty, it is no further above its minimum
        # than slopes^2 / (2 decay). The plateau near zero has small slopes too, but not relative
        # to the weights.
        return slopes2 <= 2 * decay * tolerance * jnp.minimum(size, 1)

    def stable_rate(self, decay: Array) -> Array:
        """Return half of the largest stable learning rate; the formula is in `train`."""
        network, top = self.initial, self.top
        reach = 4 * jnp.sqrt(self.worst / top)
        missed = jnp.sqrt(self.loss(network))
        size = _size(network.W, network.c)
        curvature = decay + 2 * top * (size + 2 * reach) + 2 * missed * jnp.sqrt(top)
        return jnp.where(curvature > 0, 1 / jnp.where(curvature > 0, curvature, 1), 1)


class Plain(Descent[ReluNetwork]):
    """The steps on the weights themselves: they are the state."""

    def start(self) -> ReluNetwork:
        """Return the initial weights."""
        return self.initial

    def network(self, state: ReluNetwork) -> ReluNetwork:
        """Return the weights."""
        return state

    def advance(
        self, state: ReluNetwork, length: int, rate: Callable[[ArrayLike], Array], decay: Array
    ) -> ReluNetwork:
        """Take the steps."""

        def step(j: ArrayLike, network: ReluNetwork) -> ReluNetwork:
            eta = rate(j)
            slope_W, slope_c = self.slopes(network, decay)
            return ReluNetwork(network.W - eta * slope_W, network.c - eta * slope_c)

        return jax.lax.fori_loop(0, length, step, state)


class OnSamples(Descent[State], Generic[State]):
    """The mean squared error on a data set, whatever the state.

    Attributes:
        X: The inputs.
        y: The labels.
        precision: That of the products of neurons with samples, in steps; JAX's word.
    """

    X: Float[Array, "n d"]
    y: Float[Array, " n"]
    precision: str = eqx.field(static=True)

    def loss(self, network: ReluNetwork) -> Float[Array, ""]:
        """Return the loss."""
        outputs = matmul(network.features(self.X), network.c) / len(network.c)
        return jnp.mean((outputs - self.y) ** 2)

    def forces(self, network: ReluNetwork) -> Float[Array, "m d"]:
        """Return M on the samples."""
        blocks = _blocks(len(self.y) * len(network.c))
        parts = zip(jnp.array_split(self.X, blocks), jnp.array_split(self.y, blocks), strict=True)
        return reduce(jnp.add, [self._forces(network, X, y) for X, y in parts])

    def _forces(
        self, network: ReluNetwork, X: Float[Array, "b d"], y: Float[Array, " b"]
    ) -> Float[Array, "m d"]:
        # Neurons are rows, so that the second product needs no transpose.
        before = jnp.matmul(network.W, X.T, precision=self.precision)
        active = (before > 0).astype(before.dtype)
        errors = self.errors(before, network.c, y)[:, None]
        return jnp.matmul(active, errors * X, precision=self.precision)

    def errors(
        self, before: Float[Array, "m b"], c: Float[Array, " m"], y: Float[Array, " b"]
    ) -> Float[Array, " b"]:
        """Return the derivative of the loss with respect to the output for each label in y."""
        outputs = matmul(c, jnp.maximum(before, 0)) / len(c)
        return (2 / len(self.y)) * (outputs - y)

    @property
    def top(self) -> Float[Array, ""]:
        """Largest eigenvalue of the inputs' second moment."""
        n, d = self.X.shape
        gram = matmul(self.X.T, self.X) if d <= n else matmul(self.X, self.X.T)
        return jnp.linalg.eigvalsh(gram)[-1] / n


class Samples(OnSamples[ReluNetwork], Plain):
    """Gradient descent on a data set, step by step on the weights."""


class Moves(NamedTuple):
    """Neurons :math:`a W_0 + B X`, and the output weights."""

    a: Float[Array, ""]
    B: Float[Array, "m n"]
    c: Float[Array, " m"]


class FewSamples(OnSamples[Moves]):
    r"""The same steps as `Samples`, for no more samples than inputs.

    Every force is a combination of the samples, so that neurons stay :math:`a W_0 + B X`. All that
    a step needs is their products with the samples, :math:`a W_0 X^T + B \, X X^T`: one product,
    2 n^2 m operations in place of 4 n m d.

    Attributes:
        before: Products of the initial neurons with the samples.
        gram: Products of the samples.
    """

    before: Float[Array, "m n"]
    gram: Float[Array, "n n"]

    @classmethod
    def of(cls, initial: ReluNetwork, X: Array, y: Array, precision: str) -> "FewSamples":
        """Compute the products, once."""
        return cls(initial, X, y, precision, matmul(initial.W, X.T), matmul(X, X.T))

    def start(self) -> Moves:
        """Return no moves."""
        c = self.initial.c
        return Moves(jnp.ones((), c.dtype), jnp.zeros((len(c), len(self.y)), c.dtype), c)

    def network(self, state: Moves) -> ReluNetwork:
        """Return the weights."""
        return ReluNetwork(state.a * self.initial.W + matmul(state.B, self.X), state.c)

    def advance(
        self, state: Moves, length: int, rate: Callable[[ArrayLike], Array], decay: Array
    ) -> Moves:
        """Take the steps."""

        def step(j: ArrayLike, moves: Moves) -> Moves:
            eta = rate(j)
            a, B, c = moves
            before = a * self.before + jnp.matmul(B, self.gram, precision=self.precision)
            forces = jnp.where(before > 0, self.errors(before, c, self.y), 0)
            kept = 1 - eta * decay
            turn = jnp.sum(before * forces, axis=1)
            return Moves(kept * a, kept * B - eta * c[:, None] * forces, kept * c - eta * turn)

        return jax.lax.fori_loop(0, length, step, state)


class Population(Plain):
    """The expected squared error for a teacher, on standard normal inputs.

    Attributes:
        teacher: The network to learn.
    """

    teacher: ReluNetwork

    def loss(self, network: ReluNetwork) -> Float[Array, ""]:
        """Return the loss."""
        return distance2(network, self.teacher)

    def forces(self, network: ReluNetwork) -> Float[Array, "m d"]:
        r"""Return M by the kernel.

        The derivative of `arccos_kernel`, summed over all neurons :math:`u_j` of student and
        teacher with their coefficients :math:`a_j`: with the angles :math:`\varphi_{ij}`,

        .. math::
            M_i = \frac1\pi \sum_j a_j \big[ (\pi - \varphi_{ij}) \, u_j
            + \sin\varphi_{ij} \, |u_j| \, w_i / |w_i| \big] ,

        and zero for a zero neuron, which is active nowhere.
        """
        W, teacher = network.W, self.teacher
        U = jnp.concatenate([W, teacher.W])
        a = jnp.concatenate([network.c / len(network.c), -teacher.c / len(teacher.c)])
        lengths = norms(U)
        own = lengths[: len(W), None]
        active, sine = active_and_sine(matmul(W, U.T), own, lengths[None, :])
        along = matmul(sine, a * lengths)[:, None] * (W / jnp.where(own > 0, own, 1))
        return 2 * (own > 0) * (matmul(active, a[:, None] * U) + along)

    @property
    def top(self) -> Float[Array, ""]:
        """Half: a neuron is active half of the time."""
        return jnp.full((), 0.5, self.initial.c.dtype)


def _blocks(products: int) -> int:
    """Return into how many blocks to divide the products of neurons with samples."""
    # Between one matrix product and the next a block stays in the cache of a CPU: 2 MB of float32,
    # but eight blocks at most, which are compiled one by one.
    return max(1, min(round(products / 2**19), 8)) if jax.default_backend() == "cpu" else 1


def _size(W: Array, c: Array) -> Array:
    """Return the mean of |w_i|^2 + c_i^2 over neurons."""
    return (jnp.sum(W**2) + jnp.sum(c**2)) / len(c)
