r"""Gradient flow on the end-to-end map of a balanced network, and the limit it tends to.

With balanced layers (:math:`W_l^T W_l = W_{l+1} W_{l+1}^T`) gradient flow, the limit of small
steps, closes on :math:`\beta = W_1 \cdots W_L`:

.. math::
    \frac{d\beta}{dt} = - \|\beta\|^{2 - 2/L} \Big( G + (L - 1) \frac{\beta \cdot G}{\|\beta\|^2}
    \, \beta \Big) - L \, \text{decay} \, \beta ,

with G the gradient of the loss. Outside of what the data see :math:`\beta` keeps its direction: one
scalar stands for that part, and in the singular basis of the inputs the right-hand side costs
O(min(n, d)). The limit is :math:`X^+ y + \kappa (I - P) \beta_0`, see
`fatelib.theory.fine_tuning_scale_from_norms`.

Source: Arora, Cohen and Hazan (2018), Theorem 1, for the flow.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PyTree

from fatelib.descent.loop import History, repeat_last, threshold
from fatelib.descent.options import Options
from fatelib.descent.quadratic import Loss
from fatelib.linear.network import DeepLinear
from fatelib.linear.spectral import RankOne
from fatelib.theory import fine_tuning_scale_from_norms

__all__ = ["flow", "limit"]


class _State(NamedTuple):
    beta: Array  # in the coordinates of the loss
    scale: Array  # of the part that the data never see


class _Flow(eqx.Module):
    """Gradient flow from a network: its velocity, and what a state of it stands for."""

    loss: Loss
    initial: RankOne
    unseen: Array
    rate: Array
    decay: Array
    tolerance: Array
    observe: Callable[[DeepLinear], PyTree] | None = eqx.field(static=True)

    @property
    def depth(self) -> int:
        """Number of weight matrices."""
        return len(self.initial.scales) + 1

    def norm2(self, state: _State) -> tuple[Array, Array]:
        """Return the squared norm of the map, and of its part that the data never see."""
        outside2 = state.scale**2 * jnp.sum(self.unseen**2)
        return jnp.sum(state.beta**2) + outside2, outside2

    def velocity(self, _: ArrayLike, state: _State, __: None) -> _State:
        """Return what changes in a step of gradient descent, were it small."""
        norm2, _ = self.norm2(state)
        gradient = self.loss.gradient(state.beta)
        factor = norm2 ** (1 - 1 / self.depth)
        # The smallest numbers must not divide zero by zero.
        along = jnp.sum(state.beta * gradient) / jnp.maximum(norm2, jnp.finfo(norm2.dtype).tiny)
        radial = (self.depth - 1) * factor * along + self.depth * self.decay
        return _State(
            -self.rate * (factor * gradient + radial * state.beta),
            -self.rate * radial * state.scale,
        )

    def network(self, state: _State) -> DeepLinear:
        """Return the network in this state."""
        return _balanced(self.initial, state.scale * self.unseen + self.loss.lift(state.beta))

    def excess(self, state: _State) -> Array:
        """Return the loss above its minimum."""
        return self.loss.excess(state.beta)

    def finished(self, state: _State) -> Array:
        """The rule of `fatelib.linear.iteration`, but for weights that decay takes to zero."""
        norm2, outside2 = self.norm2(state)
        pull = self.decay * norm2 ** (1 / self.depth - 1)
        force = self.loss.gradient(state.beta) + pull * state.beta
        force2 = jnp.sum(force**2) + pull**2 * outside2
        return jnp.where(
            self.decay > 0,
            force2 <= jnp.minimum(2 * pull, 1) * self.tolerance,
            self.excess(state) <= self.tolerance,
        )

    def record(self, time: ArrayLike, state: _State, _: None) -> tuple[Array, Array, PyTree]:
        """Return the time, the loss and what is observed."""
        dtype = self.rate.dtype
        seen = None if self.observe is None else self.observe(self.network(state))
        seen = jax.tree.map(lambda value: jnp.asarray(value, jnp.result_type(value, dtype)), seen)
        return jnp.asarray(time, dtype), self.excess(state) + self.loss.minimum, seen


def flow(
    loss: Loss,
    initial: RankOne,
    rate: Array,
    options: Options,
) -> tuple[DeepLinear, History]:
    """Follow gradient flow for the time ``rate * steps``.

    The solver counts time in steps: in its own unit even squares of the velocity may overflow.
    """
    import diffrax  # only here: the other engines do without it

    beta = jnp.prod(initial.scales) * initial.direction
    start = _State(loss.project(beta), jnp.ones((), rate.dtype))
    tolerance = threshold(options, loss.excess(loss.zero) + loss.minimum)
    decay = jnp.asarray(options.weight_decay)
    unseen = beta - loss.lift(start.beta)
    run = _Flow(loss, initial, unseen, rate, decay, tolerance, options.observe)

    precision = float(jnp.finfo(rate.dtype).eps) ** 0.7
    steps, record_every = options.steps, min(options.record_every, max(options.steps, 1))
    records = -(-steps // record_every) + 1
    places = jnp.minimum(jnp.arange(records) * record_every, steps).astype(rate.dtype)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(run.velocity),
        diffrax.Tsit5(),
        t0=jnp.zeros((), rate.dtype),
        t1=jnp.asarray(steps, rate.dtype),
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(
            subs=[
                diffrax.SubSaveAt(ts=places, fn=run.record),
                diffrax.SubSaveAt(t1=True, fn=lambda time, state, _: (time, state)),
            ]
        ),
        # Relative to the size of each coordinate, so that a small start is followed as well.
        # A velocity that is not finite has no step that is small enough: that must end.
        stepsize_controller=diffrax.PIDController(
            rtol=precision,
            atol=precision**3,
            dtmin=float(jnp.finfo(rate.dtype).tiny),
            force_dtmin=False,
        ),
        event=diffrax.Event(lambda t, y, args, **_: run.finished(y)),
        max_steps=None,
        adjoint=diffrax.ForwardMode(),
        throw=False,
    )
    series, (time, state) = solution.ys
    time, state = time[0], jax.tree.map(lambda value: value[0], state)
    # After the stop diffrax saves infinities.
    # A start that is finished is not saved at all.
    first = run.record(0, start, None)
    series = jax.tree.map(lambda column, value: column.at[0].set(value), series, first)
    at, losses, observed = repeat_last(series, jnp.sum(places <= time))
    # A solver that gives up stops before the time asked for, with weights that are finite.
    diverged = ~diffrax.is_okay(solution.result) | ~jnp.isfinite(run.excess(state))
    history = History(
        at,
        losses,
        observed,
        steps_taken=jnp.minimum(jnp.ceil(time), steps).astype(int),
        converged=run.finished(state) & ~diverged,
        diverged=diverged,
        learning_rate=rate,
        minimum=loss.minimum,
        engine="flow",
    )
    network = jax.tree.map(lambda weight: jnp.where(diverged, jnp.nan, weight), run.network(state))
    return network, history


def limit(
    loss: Loss, initial: RankOne, observe: Callable[[DeepLinear], PyTree] | None
) -> tuple[DeepLinear, History]:
    """Return the network at infinite time."""
    beta = jnp.prod(initial.scales) * initial.direction
    depth = len(initial.scales) + 1
    minimiser, seen = loss.split(beta)
    norms = [jnp.sum(vector**2) for vector in (minimiser, beta, seen)]
    norms[2] = jnp.minimum(norms[2], norms[1])
    # A start too small to be squared leaves nothing of itself.
    present = norms[1] > 0
    norms = [jnp.where(present, norm, 1) for norm in norms]
    scale = jnp.where(present, fine_tuning_scale_from_norms(*norms, depth=depth), 0)
    networks = [_balanced(initial, vector) for vector in (beta, minimiser + scale * (beta - seen))]
    losses, observed = jax.tree.map(
        lambda *values: jnp.stack(values),
        *[
            (
                loss.excess(loss.project(network.end_to_end())) + loss.minimum,
                None if observe is None else observe(network),
            )
            for network in networks
        ],
    )
    history = History(
        jnp.asarray([0, jnp.inf], beta.dtype),
        losses,
        observed,
        steps_taken=jnp.zeros((), int),
        converged=jnp.ones((), bool),
        diverged=jnp.zeros((), bool),
        learning_rate=jnp.zeros((), beta.dtype),
        minimum=loss.minimum,
        engine="limit",
    )
    return networks[1], history


def _balanced(initial: RankOne, beta: Array) -> DeepLinear:
    """Return the balanced network that computes beta, in the frames and with the signs it has."""
    depth = len(initial.scales) + 1
    norm = jnp.linalg.norm(beta)
    size = norm ** (1 / depth)
    signs = jnp.where(initial.scales < 0, -1, 1).astype(beta.dtype)
    direction = beta * jnp.prod(signs) * size / jnp.maximum(norm, jnp.finfo(norm.dtype).tiny)
    return initial.network(direction, size * signs)
