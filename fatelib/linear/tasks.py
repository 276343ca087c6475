"""Linear tasks: pairs of a source and a target, and the data they give."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, get_args, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import (
    ANGLE,
    AT_LEAST_0,
    FINITE,
    as_floats,
    check,
    check_choice,
    check_count,
    check_flag,
    check_key,
    check_number,
    check_type,
    real,
)
from fatelib.descent.loop import History
from fatelib.descent.options import Options
from fatelib.descent.precision import matmul
from fatelib.family import Network, Tasks
from fatelib.linear.bidiagonal import Bidiagonal, BidiagonalLoss
from fatelib.linear.network import DeepLinear
from fatelib.linear.training import ONE_DIRECTION, Engine, read_data, run

__all__ = ["LinearTasks", "Sampler"]


@runtime_checkable
class Sampler(Protocol):
    """Draws independent entries of mean zero and variance one, as `jax.random.normal` does.

    Example:
        >>> isinstance(jax.random.rademacher, Sampler)
        True
    """

    def __call__(self, key: Any, shape: Any, dtype: Any) -> Array:
        """Return the draw."""


class LinearTasks(Tasks):
    r"""A source and a target task that are linear in the inputs.

    .. math:: y = x \cdot \beta_t + \sigma \varepsilon

    for the target, and the same with :math:`\beta_s, \sigma_s` for the source, where :math:`x` has
    identity covariance and :math:`\varepsilon` is a standard normal.

    Attributes:
        beta_source: The source vector, (d,).
        beta_target: The target vector, (d,).
        sigma: Standard deviation of the target's label noise; a number.
        source_sigma: Standard deviation of the source's label noise; a number.

    Source:
        Section 3 of Tahir et al. (2025).

    Example:
        >>> import jax
        >>> tasks = LinearTasks.at_angle(jax.random.key(0), 100, 0.5, sigma=0.2)
        >>> X, y = tasks.sample(jax.random.key(1), 40)
        >>> X.shape, y.shape, round(float(tasks.theta), 3)
        ((40, 100), (40,), 0.5)
    """

    beta_source: Float[Array, " d"]
    beta_target: Float[Array, " d"]
    sigma: Float[Array, ""]
    source_sigma: Float[Array, ""]
    network: ClassVar[type[Network]] = DeepLinear
    beginning: ClassVar[tuple[str, ...]] = ("depth", "width", "scale")
    engines: ClassVar[tuple[str, ...]] = get_args(Engine)

    def __init__(
        self,
        beta_source: Float[ArrayLike, " d"],
        beta_target: Float[ArrayLike, " d"],
        sigma: ArrayLike = 0.0,
        source_sigma: ArrayLike = 0.0,
    ):
        check("sigma", sigma, *AT_LEAST_0, shape=())
        check("source_sigma", source_sigma, *AT_LEAST_0, shape=())
        check("beta_source", beta_source, *FINITE)
        check("beta_target", beta_target, *FINITE)
        if np.ndim(beta_source) != 1 or np.shape(beta_source) != np.shape(beta_target):
            raise ValueError(
                "beta_source and beta_target must be vectors of one length; "
                f"got shapes {np.shape(beta_source)} and {np.shape(beta_target)}"
            )
        self.beta_source, self.beta_target = as_floats(beta_source, beta_target)
        dtype = self.beta_target.dtype
        self.sigma = jnp.asarray(real("sigma", sigma), dtype)
        self.source_sigma = jnp.asarray(real("source_sigma", source_sigma), dtype)

    @classmethod
    def at_angle(
        cls,
        key: Any,
        d: int,
        theta: ArrayLike,
        sigma: ArrayLike = 0.0,
        source_sigma: ArrayLike = 0.0,
    ) -> "LinearTasks":
        r"""Draw two unit vectors at a given angle, uniformly over all such pairs.

        .. math:: \beta_s = \cos(\theta) \beta_t + \sin(\theta) \beta_\perp

        One key gives the same :math:`\beta_t` and :math:`\beta_\perp` for every angle: as theta
        grows the source turns and all else stays, so that differences between angles are free of
        the noise of the draw.

        Args:
            key: A JAX random key.
            d: Dimension of the inputs, at least 2.
            theta: Angle between source and target, radians in [0, pi]; a number.
            sigma: Standard deviation of the target's label noise; a number.
            source_sigma: Standard deviation of the source's label noise; a number.

        Returns:
            The pair of tasks.

        Raises:
            ValueError: d < 2, theta outside [0, pi] or a negative noise.
            TypeError: `key` is not a random key.

        Source:
            Section 3 of Tahir et al. (2025).

        Example:
            >>> import jax
            >>> tasks = LinearTasks.at_angle(jax.random.key(0), 50, 1.0)
            >>> round(float(tasks.beta_source @ tasks.beta_target), 3)  # cos(1)
            0.54
        """
        check_key("key", key)
        d = check_count("d", d, least=2)
        check("theta", theta, *ANGLE, shape=())
        (theta,) = as_floats(theta)
        target_key, other_key = jax.random.split(key)
        target = jax.random.normal(target_key, (d,), theta.dtype)
        target /= jnp.linalg.norm(target)
        other = jax.random.normal(other_key, (d,), theta.dtype)
        other -= jnp.sum(other * target) * target
        other /= jnp.linalg.norm(other)
        source = jnp.cos(theta) * target + jnp.sin(theta) * other
        return cls(source, target, sigma, source_sigma)

    @property
    def d(self) -> int:
        """Dimension of the inputs."""
        return self.beta_target.shape[-1]

    @property
    def theta(self) -> Float[Array, ""]:
        """Angle between the two vectors, radians in [0, pi]; accurate at both ends."""
        source = self.beta_source / jnp.linalg.norm(self.beta_source)
        target = self.beta_target / jnp.linalg.norm(self.beta_target)
        return 2 * jnp.arctan2(jnp.linalg.norm(source - target), jnp.linalg.norm(source + target))

    def sample(
        self, key: Any, n: int, source: bool = False, inputs: Sampler = jax.random.normal
    ) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
        r"""Draw a data set of one of the two tasks.

        .. math:: y_i = x_i \cdot \beta_t + \sigma \varepsilon_i

        with independent rows :math:`x_i` of identity covariance and standard normal
        :math:`\varepsilon_i`, or the same of the source.

        Args:
            key: A JAX random key.
            n: Number of samples, at least 1.
            source: Draw from the source task instead of the target task.
            inputs: Sampler of the inputs, called as ``inputs(key, shape, dtype)``; its entries must
                be independent of mean zero and variance one (for example `jax.random.rademacher`).

        Returns:
            Inputs (n, d), one sample per row, and labels (n,).

        Raises:
            ValueError: n < 1.
            TypeError: `key` is not a random key, `source` no truth value or `inputs` no function.

        Source:
            Section 3 of Tahir et al. (2025).

        Example:
            >>> import jax
            >>> tasks = LinearTasks.at_angle(jax.random.key(0), 3, 0.3)
            >>> X, y = tasks.sample(jax.random.key(1), 5, inputs=jax.random.rademacher)
            >>> bool((abs(X) == 1).all())
            True
        """
        check_key("key", key)
        n, source = check_count("n", n), check_flag("source", source)
        check_type("inputs", inputs, Callable, "a function as jax.random.normal")
        beta, sigma = (
            (self.beta_source, self.source_sigma) if source else (self.beta_target, self.sigma)
        )
        input_key, noise_key = jax.random.split(key)
        X = inputs(input_key, (n, self.d), beta.dtype)
        noise = jax.random.normal(noise_key, (n,), beta.dtype)
        return X, matmul(X, beta) + sigma * noise

    def risk(self, network: DeepLinear) -> Float[Array, ""]:
        r"""Risk of a network on the target task, against the noise-free labels.

        .. math:: R = E_x (x \cdot \beta - x \cdot \beta_t)^2 = \|\beta - \beta_t\|^2

        for inputs of identity covariance, with the linear map :math:`\beta` that it computes.

        Args:
            network: The network; of a map alone, ``DeepLinear.balanced(beta)``.

        Returns:
            The risk, a number; zero is perfect, and the zero map has :math:`\|\beta_t\|^2`.

        Raises:
            TypeError: `network` is not a DeepLinear.
            ValueError: It has inputs of another dimension.

        Source:
            Section 3 of Tahir et al. (2025).

        Example:
            >>> import jax
            >>> tasks = LinearTasks.at_angle(jax.random.key(0), 50, 0.5)
            >>> round(float(tasks.risk(DeepLinear.balanced(0 * tasks.beta_target))), 3)
            1.0
        """
        self._check(network)
        return jnp.sum((network.end_to_end() - self.beta_target) ** 2)

    def error_rate(self, network: DeepLinear) -> Float[Array, ""]:
        r"""Share of new inputs on which a network and the target have different signs.

        .. math:: \mathbb{P}_x (\operatorname{sign}(x \cdot \beta)
            \ne \operatorname{sign}(x \cdot \beta_t)) = \angle(\beta, \beta_t) / \pi

        for Gaussian inputs, with the linear map :math:`\beta` that it computes. To train a
        classifier give `numpy.sign` of labels without noise as labels.

        Args:
            network: The network; of a map alone, ``DeepLinear.balanced(beta)``.

        Returns:
            The error rate, a number in [0, 1]; that of a zero map, or target, is 1/2.

        Raises:
            TypeError: `network` is not a DeepLinear.
            ValueError: It has inputs of another dimension.

        Source:
            Ours.

        Example:
            >>> import jax
            >>> tasks = LinearTasks.at_angle(jax.random.key(0), 50, 0.5)
            >>> source = DeepLinear.balanced(tasks.beta_source)
            >>> round(float(tasks.error_rate(source)), 4)  # 0.5 / pi
            0.1592
        """
        self._check(network)
        beta, target = network.end_to_end(), self.beta_target
        units = [v / jnp.where(jnp.any(v != 0), jnp.linalg.norm(v), 1) for v in (beta, target)]
        apart, near = (jnp.linalg.norm(units[0] + sign * units[1]) for sign in (-1, 1))
        return 2 * jnp.arctan2(apart, near) / jnp.pi

    def _check(self, network: DeepLinear) -> None:
        check_type("network", network, DeepLinear, "a DeepLinear")
        if network.d != self.d:
            raise ValueError(f"network must have inputs ({self.d},); got ({network.d},)")

    def new_network(
        self,
        key: Any,
        X: Any,
        y: Any,
        *,
        engine: str,
        depth: int = 2,
        width: int | None = None,
        scale: ArrayLike = 1e-5,
    ) -> DeepLinear:
        r"""Return an untrained network, as `fatelib.scratch` starts from.

        The engines ``spectral``, ``flow`` and ``limit`` start in the one direction in which a small
        random network sets off, :math:`X^T y`, with all matrices of norm `scale`. (A random network
        has more in this direction, with two layers as if its norms were
        :math:`\text{scale} \sqrt{d + 1} / 2`, and so leaves its plateau a little sooner.) Three
        and more layers stay on their plateau for a time of the order of
        :math:`\text{scale}^{2 - L}`.

        Args:
            key: A JAX random key for the initial weights.
            X: Inputs that it will learn, (n, d), as an array or bidiagonal.
            y: Labels, (n,).
            engine: As in `fatelib.train`; bidiagonal inputs need one that starts in one direction,
                and ``auto`` does for them.
            depth: Number of weight matrices.
            width: Hidden width, of engines that train all directions; by default d.
            scale: Scale of the initial weights, a number.

        Returns:
            The network.

        Raises:
            ValueError: An argument is impossible or has no effect.
            TypeError: An argument is of another type.

        Source:
            Section 3 of Tahir et al. (2025) for the random weights.

        Example:
            >>> import jax
            >>> tasks = LinearTasks.at_angle(jax.random.key(0), 50, 0.5)
            >>> data = tasks.sample(jax.random.key(1), 20)
            >>> network = tasks.new_network(jax.random.key(2), *data, engine="auto", width=10)
            >>> network.weights[0].shape
            (50, 10)
        """
        engine = check_choice("engine", engine, self.engines)
        reduced = isinstance(X, Bidiagonal)
        if engine not in ONE_DIRECTION and not (engine == "auto" and reduced):
            if reduced:
                raise ValueError(
                    f"engine must be one of {ONE_DIRECTION} for Bidiagonal inputs, which have "
                    f"fewer coordinates than a random network takes; got {engine!r}"
                    + (", which layers='last' implies" if engine == "descent" else "")
                )
            return DeepLinear.init(key, self.d, depth, width, scale)
        depth = check_count("depth", depth)
        engine = "spectral" if engine == "auto" else engine
        if width is not None:
            raise ValueError(
                f"width must be None for the engine {engine!r}, which trains one direction; "
                f"got {width}"
            )
        scale = check_number("scale", scale, lambda s: s > 0, f"a number > 0 for {engine!r}")
        _, X, y = read_data(DeepLinear.balanced(self.beta_target), X, y)
        unit = DeepLinear.balanced(_direction(X, y), depth)
        # Not of the scaled map: scale**depth may underflow.
        return jax.tree.map(lambda weight: jnp.asarray(scale, weight.dtype) * weight, unit)

    def read_data(
        self, network: DeepLinear, X: Any, y: Any
    ) -> tuple[DeepLinear, Array | Bidiagonal, Array]:
        """Check a network and a data set, and bring them to the type that all promote to.

        Args:
            network: The network.
            X: Inputs, (n, d), in any form that NumPy reads as real numbers, or bidiagonal.
            y: Labels, (n,), likewise.

        Returns:
            The network, the inputs (n, d) and the labels (n,).

        Raises:
            TypeError: `network` is not a DeepLinear, or the data are not numeric.
            ValueError: A weight or the data are not finite, or the data have another shape.

        Example:
            >>> tasks = LinearTasks(jnp.ones(2), jnp.ones(2))
            >>> network = DeepLinear.balanced(jnp.ones(2))
            >>> network, X, y = tasks.read_data(network, [[1, 2]], [3])
            >>> X.tolist(), y.dtype.name
            ([[1.0, 2.0]], 'float32')
        """
        return read_data(network, X, y)

    def train(
        self, network: DeepLinear, X: Array | Bidiagonal, y: Array, engine: str, options: Options
    ) -> tuple[DeepLinear, History]:
        """Train a network on what `read_data` returned, as a protocol asks for.

        Args:
            network: The network where training starts.
            X: Inputs, (n, d), or bidiagonal.
            y: Labels, (n,).
            engine: As in `fatelib.train`.
            options: How to train, likewise.

        Returns:
            The trained network and the history.

        Raises:
            ValueError: An option has no effect, or the engine does not train such a network.
            FloatingPointError: Training diverged.

        Example:
            >>> from fatelib.descent.options import Options
            >>> tasks = LinearTasks(jnp.ones(2), jnp.ones(2))
            >>> data = tasks.read_data(DeepLinear.balanced(jnp.ones(2)), [[0, 1]], [1])
            >>> network, _ = tasks.train(*data, "descent", Options.read())
            >>> round(float(network.end_to_end()[1]), 2)
            1.0
        """
        options.refuse(("precision",), "on linear networks, whose products are all exact")
        if engine == "flow":
            options.refuse(("record_every",), "on the result of the engine 'flow'")
        return run(network, X, y, engine, options)


@eqx.filter_jit
def _direction(X: Array | Bidiagonal, y: Array) -> Array:
    """Return the unit vector along X^T y: minus the gradient at the zero map."""
    if isinstance(X, Bidiagonal):
        loss = BidiagonalLoss.of(X, y)
        pull = -loss.gradient(loss.zero)
    else:
        pull = matmul(y, X)
    norm = jnp.linalg.norm(pull)
    return pull / jnp.where(norm > 0, norm, 1)
