"""What one instance of a linear transfer experiment does, in all cells that share its data.

`fatelib.phase_diagram` repeats these over a grid.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.descent.batch import each, spread
from fatelib.descent.precision import matmul
from fatelib.linear.bidiagonal import Bidiagonal, chi
from fatelib.linear.network import DeepLinear, truncate
from fatelib.linear.reduced import reduced_tasks
from fatelib.linear.tasks import LinearTasks
from fatelib.linear.training import pretrain, train
from fatelib.sweep.instance import stream
from fatelib.transfer import Result, fine_tune, linear_transfer, scratch

# Dimensions that share their draws, in the order of the results. (JAX sorts dictionaries.)
INNER = ("sigma", "ridge", "weight_decay", "theta")
# The norm of what the best linear map makes of the signs of a Gaussian direction.
_SIGN = math.sqrt(2 / math.pi)
# Those of them that a new network depends on.
_NEW = ("sigma", "weight_decay")


class Experiment(eqx.Module):
    """A new and a transferred network on the same samples of the target.

    `prepare` and `measure` are what `fatelib.sweep.sweep` repeats.

    Attributes:
        method: "linear_transfer" or "fine_tuning".
        d: Input dimension.
        engine: As in `fatelib.train`.
        width: Hidden width; None for d.
        scale: Scale of the initial weights.
        source_sigma: Noise of finitely many source samples.
        largest: The largest number of target samples.
        largest_source: The largest finite number of source samples; 0 where there is none.
        inner: The dimensions filled in one call: all of `INNER`, or none.
        training: Options of `fatelib.train` for pretrained and transferred networks.
        scratch_training: The same for new ones.
        decays: Whether there is a weight decay anywhere.
        flip: Share of reversed labels, which are signs; None where labels are numbers.
        alone: The inner dimensions whose values a CPU fine-tunes one after the other, where
            measurements found that faster than all at once.
        static: The outer dimensions whose values compile programs of their own.
    """

    alone: ClassVar[tuple[str, ...]]
    static: ClassVar[tuple[str, ...]]
    method: str
    d: int
    engine: str
    width: int | None
    scale: float
    source_sigma: float
    largest: int
    largest_source: int
    inner: dict[str, Float[Array, " values"]]
    training: dict[str, Any]
    scratch_training: dict[str, Any]
    decays: bool
    flip: float | None

    @abstractmethod
    def bytes(self, depth: int) -> float:
        """Memory of one instance with all cells at once, roughly."""

    def prepare(self, keys: Array, *, depth: int, **static: Any) -> Any:
        """Do what all sample sizes share, for a batch of instances."""
        return None

    @abstractmethod
    def instance(self, key: Array, prepared: Any, depth: int, source_gamma: Any, n: Array) -> Any:
        """Draw what all cells share.

        Returns:
            ``sample(theta, sigma)``, the tasks, inputs and labels of a cell; ``source(theta)``, its
            pretrained network; and whether the source was learned to tolerance.
        """

    def measure(
        self,
        key: Array,
        prepared: Any,
        *,
        depth: int,
        source_gamma: Any,
        gamma: Array,
        **point: Any,
    ) -> dict[str, Array]:
        """Train both networks at one sample size, in all inner cells."""
        n = samples(gamma, self.d)
        sample, source, learned = self.instance(key, prepared, depth, source_gamma, n)

        def found(result: Result, tasks: LinearTasks) -> dict[str, Array]:
            values = {name: getattr(result, name) for name in ("risk", "steps", "converged")}
            if self.flip is not None:
                network: Any = result.network
                values["error_rate"] = tasks.error_rate(network)
            return values

        def new(sigma: Array, weight_decay: Array, **_: Any) -> dict[str, Array]:
            options: dict[str, Any] = {"depth": depth, "width": self.width, "scale": self.scale}
            options |= {"engine": self.engine, **self.scratch_training}
            options["weight_decay"] = weight_decay if self.decays else 0.0
            data = sample(0.0, sigma)
            return found(scratch(stream(key, "scratch"), *data, **options), data[0])

        def transferred(
            theta: Array, sigma: Array, ridge: Array, weight_decay: Array, **_: Any
        ) -> dict[str, Array]:
            network, data = source(theta), sample(theta, sigma)
            if self.method == "fine_tuning":
                options = {"engine": self.engine, **self.training}
                options["weight_decay"] = weight_decay if self.decays else 0.0
                return found(fine_tune(network, *data, **options), data[0])
            options = {"engine": "descent", **self.training}
            if self.engine in ("flow", "limit"):
                options = {"engine": "limit"}
            return found(linear_transfer(network, *data, ridge=ridge, **options), data[0])

        def over(
            function: Callable[..., Any], names: Sequence[str], point: Any, alone: Sequence[str]
        ) -> Any:
            """Map over the inner dimensions; what does not depend on one is done once for it."""
            if not names:
                return function(**point)
            name, *rest = names

            def cell(value: Array) -> Any:
                return over(function, rest, {**point, name: value}, alone)

            return (each if name in alone else at_once)(cell, self.inner[name])

        def at_once(function: Callable[[Array], Any], values: Array) -> Any:
            return jax.vmap(function)(values)

        names = [name for name in INNER if name in self.inner]
        # On a CPU new networks one after the other: at once all wait for the slowest. So it is for
        # full networks in fine-tuning; those of one direction are so small that all at once is
        # faster. The last layers of linear transfer stop together, and share decompositions.
        scratched = over(new, names, point, _NEW)
        alone = self.alone if self.method == "fine_tuning" else ()
        values = over(transferred, names, point, alone)
        values["converged"] &= scratched.pop("converged") & learned
        return values | {f"{name}_scratch": value for name, value in scratched.items()}


class FullNetworks(Experiment):
    """Networks with random weights, trained on explicit samples."""

    alone: ClassVar[tuple[str, ...]] = ("sigma", "weight_decay", "theta")
    static: ClassVar[tuple[str, ...]] = ("depth", "source_gamma")

    def bytes(self, depth: int) -> float:
        """Memory of one instance with all cells at once, roughly."""
        trained = self.inner if self.method == "fine_tuning" else _NEW
        cells = math.prod(len(self.inner[name]) for name in trained if name in self.inner)
        itemsize = jnp.dtype(jnp.result_type(float)).itemsize
        width = self.width or self.d
        return float(itemsize * self.d * (8 * self.d + (2 + depth) * width * (1 + cells)))

    def prepare(self, keys: Array, *, depth: int, **static: Any) -> Any:
        """Pretrain a batch of networks on their targets, to be turned later."""
        shared = {"depth": depth, **static}
        networks, learned = spread(self.pretrained, (keys,), shared)
        if self.method == "linear_transfer":
            # What `linear_transfer` counts as absent is dropped once instead of in every cell. The
            # numbers meet on the host: operations of JAX on arrays that are divided among the
            # devices of a CPU, one after the other and not in one program, can wait for ever.
            ranks = np.asarray(spread(_rank, (networks,), {}))
            if (ranks < 0).any():
                raise FloatingPointError(
                    "pretraining diverged. Give a smaller learning_rate, or none for the "
                    "automatic one"
                )
            networks = spread(truncate, (networks,), {"rank": max(1, int(ranks.max()))})
        return networks, learned

    def pretrained(
        self, key: Array, *, depth: int, source_gamma: float
    ) -> tuple[DeepLinear, Array]:
        """Pretrain one network; return it and whether it converged."""
        d, options = self.d, {"engine": self.engine, **self.training}
        beta = LinearTasks.at_angle(stream(key, "tasks"), d, 0.0).beta_target
        start = stream(key, "start")
        network = DeepLinear.init(start, d, depth, self.width, self.scale)
        if source_gamma == np.inf:
            network, history = pretrain(network, beta, **options)
        else:
            n = samples(jnp.asarray(source_gamma), d)
            X, noise = _square_sample(stream(key, "source data"), n, d)
            y = matmul(X, beta) + self.source_sigma * noise
            network, history = train(network, X, y, **options)
        return network, history.converged

    def instance(self, key: Array, prepared: Any, depth: int, source_gamma: Any, n: Array) -> Any:
        """Draw the samples."""
        pretrained, learned = prepared
        X, noise = _square_sample(stream(key, "data", n), n, self.d)

        def tasks(theta: ArrayLike, sigma: ArrayLike) -> LinearTasks:
            return LinearTasks.at_angle(stream(key, "tasks"), self.d, theta, sigma)

        def sample(theta: ArrayLike, sigma: ArrayLike) -> tuple[LinearTasks, Array, Array]:
            at_angle = tasks(theta, sigma)
            return at_angle, X, matmul(X, at_angle.beta_target) + sigma * noise

        def source(theta: ArrayLike) -> DeepLinear:
            across = tasks(np.pi / 2, 0.0)
            return _turn(pretrained, across.beta_target, across.beta_source, theta)

        return sample, source, learned


class ReducedNetworks(Experiment):
    """Networks of one direction, on samples that are never formed."""

    alone: ClassVar[tuple[str, ...]] = ()
    static: ClassVar[tuple[str, ...]] = ("depth",)

    def bytes(self, depth: int) -> float:
        """Memory of one instance with all cells at once, roughly."""
        cells = math.prod(len(values) for values in self.inner.values())
        itemsize = jnp.dtype(jnp.result_type(float)).itemsize
        return float(itemsize * min(self.largest, self.d) * (8 + 6 * cells))

    def instance(self, key: Array, prepared: Any, depth: int, source_gamma: Any, n: Array) -> Any:
        """Draw the reduced samples, with a source across the target and unit noise."""
        norm, cosine, sine = self.learned(stream(key, "source data"), source_gamma)
        # What a source sample adds to the source has a uniform direction across it; its component
        # in the plane of source and target is that of a random unit vector in d - 1 dimensions.
        side = jax.random.normal(stream(key, "side"), ())
        rest = chi(stream(key, "rest"), jnp.asarray(self.d - 2), side.dtype)
        side, rest = jnp.stack([side, rest]) / jnp.hypot(side, rest)
        data_key = stream(key, "data", n)
        drawn, X, y = reduced_tasks(data_key, n, self.d, np.pi / 2, 1.0, largest=self.largest)
        target, across = drawn.beta_target, drawn.beta_source
        signal = X @ target
        noise = y - signal
        if self.flip is not None:
            labels = _signs(stream(key, "signs", n), n, self.largest, self.flip, noise)
            norm = _SIGN * norm

        def direction(theta: ArrayLike) -> Array:
            along = jnp.cos(theta) * cosine + jnp.sin(theta) * sine * side
            turned = jnp.sin(theta) * cosine - jnp.cos(theta) * sine * side
            return along * target + jnp.hypot(turned, sine * rest) * across

        def sample(theta: ArrayLike, sigma: ArrayLike) -> tuple[LinearTasks, Bidiagonal, Array]:
            if self.flip is not None:
                return LinearTasks(_SIGN * direction(theta), _SIGN * target), X, labels
            return LinearTasks(direction(theta), target, sigma), X, signal + sigma * noise

        def source(theta: ArrayLike) -> DeepLinear:
            return DeepLinear.balanced(norm * direction(theta), depth)

        return sample, source, jnp.ones((), bool)

    def learned(self, key: Array, source_gamma: Array) -> tuple[Array, Array, Array]:
        """Draw what pretraining ends with: the norm, cosine and sine of the angle to the source."""
        one, zero = jnp.ones(()), jnp.zeros(())
        if not self.largest_source:
            return one, one, zero
        finite = source_gamma < jnp.inf
        n = samples(jnp.where(finite, source_gamma, 1 / self.d), self.d)
        noise, largest = self.source_sigma, self.largest_source
        _, X, y = reduced_tasks(key, n, self.d, 0.0, noise, largest=largest)
        beta = X.solve(y[:-1])
        # Both legs: the sine that is left of a rounded cosine may be the root of less than zero.
        along, across = beta[0], jnp.linalg.norm(beta[1:])
        norm = jnp.hypot(along, across)
        return (
            jnp.where(finite, norm, one),
            jnp.where(finite, along / norm, one),
            jnp.where(finite, across / norm, zero),
        )


def samples(gamma: ArrayLike, d: int) -> Array:
    """Return the number of samples n = round(gamma d).

    Args:
        gamma: Samples per dimension, of any shape.
        d: Dimension of the inputs.

    Returns:
        Integers, of the shape of gamma.

    Example:
        >>> samples(0.5, 30).item()
        15
    """
    return jnp.round(jnp.asarray(gamma) * d).astype(int)


def _signs(key: Any, n: Array, largest: int, flip: float, noise: Array) -> Float[Array, " rows"]:
    r"""Draw labels that are signs of the target, reversed with probability flip.

    In the coordinates of `reduced_tasks` the target's values :math:`z_i` are :math:`|z| u` with u
    the first one, and independent of all others. So n labels of size 1 have :math:`\sum_i y_i u_i`
    along it, and the rest of their length :math:`\sqrt n` in a uniform direction across it.

    Args:
        key: A JAX random key.
        n: Number of samples, at least 1 and at most `largest`.
        largest: How many are drawn.
        flip: Share of reversed labels.
        noise: Labels of standard normal noise in these coordinates, (rows,), for the direction.

    Returns:
        The labels in these coordinates, (rows,).
    """
    u_key, flip_key = jax.random.split(key)
    present = jnp.arange(largest) < n
    size = jnp.abs(jax.random.normal(u_key, (largest,), noise.dtype)) * present
    reversed_ = jax.random.bernoulli(flip_key, flip, (largest,))
    along = jnp.where(reversed_, -size, size).sum() / jnp.linalg.norm(size)
    across = noise.at[0].set(0)
    length = jnp.linalg.norm(across)
    rest = jnp.sqrt(jnp.maximum(n - along**2, 0)) / jnp.where(length > 0, length, 1)
    return (rest * across).at[0].set(along)


def _square_sample(key: Any, n: Array, d: int) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
    r"""Draw d inputs and noises with the loss of n Gaussian samples, up to a constant.

    All sample sizes then run one compiled program, and gradient descent takes the same steps. For
    n < d the other samples are zero. For n > d the inputs are R of :math:`X = Q R`: triangular,
    with chi variables on the diagonal and Gaussian entries above (Bartlett's decomposition).
    """
    inputs_key, diagonal_key, noise_key = jax.random.split(key, 3)
    X, noise = jax.random.normal(inputs_key, (d, d)), jax.random.normal(noise_key, (d,))
    rows = jnp.arange(d)
    diagonal = chi(diagonal_key, n - rows, X.dtype)
    present = rows < n
    X = jnp.where(n > d, jnp.triu(X, 1) + jnp.diag(diagonal), X * present[:, None])
    resize = jnp.sqrt(d / n)
    return resize * X, resize * noise * present


def _turn(
    network: DeepLinear, along: Float[Array, " d"], across: Float[Array, " d"], theta: ArrayLike
) -> DeepLinear:
    """Rotate what a network looks at by theta, from `along` towards `across` (orthonormal)."""
    first = network.weights[0]
    part_along, part_across = (matmul(v, first) for v in (along, across))
    c, s = jnp.cos(theta) - 1, jnp.sin(theta)
    turned = (
        first
        + jnp.outer(along, c * part_along - s * part_across)
        + jnp.outer(across, s * part_along + c * part_across)
    )
    return DeepLinear((turned, *network.weights[1:]))


def _rank(network: DeepLinear, cutoff: float = 1e-3) -> Array:
    """Return the number of features that `linear_transfer` counts as present, or -1 for NaN."""
    values = jnp.linalg.svd(network.feature_map(), compute_uv=False)
    return jnp.where(jnp.isfinite(values[0]), (values > cutoff * values[0]).sum(), -1)
