"""Tasks given by ReLU teachers: a target, and a source that lacks some of its neurons."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import (
    AT_LEAST_0,
    as_floats,
    check,
    check_choice,
    check_count,
    check_flag,
    check_key,
    check_number,
    check_type,
)
from fatelib.descent.loop import History
from fatelib.descent.options import Options
from fatelib.family import Network, Tasks
from fatelib.relu.network import ReluNetwork, distance2
from fatelib.relu.training import read_data, run

__all__ = ["ReluTasks"]


class ReluTasks(Tasks):
    r"""A target task given by a ReLU teacher, and a source task by part of its neurons.

    .. math:: y = f_t(x) + \sigma \varepsilon, \qquad
        f_t(x) = \frac{1}{m^*} \sum_{i=1}^{m^*} c_i \operatorname{relu}(w_i \cdot x)

    on standard normal inputs; the source :math:`f_s` of `ablated` is the same sum without the
    neurons removed. Any two networks are a pair of tasks too.

    Attributes:
        source: The source teacher; the neurons that `ablated` removes are rows of zeros.
        target: The target teacher, of the same inputs.
        sigma: Standard deviation of the label noise, of both tasks; a number.

    Raises:
        ValueError: Source and target take inputs of different dimensions, or `sigma` is negative.
        TypeError: `source` or `target` is no `ReluNetwork`.

    Source:
        Section 4 of Tahir et al. (2025).

    Example:
        >>> import jax
        >>> tasks = ReluTasks.ablated(jax.random.key(0), d=20, width=10, fraction=0.3, sigma=0.1)
        >>> tasks.target.W.shape, round(float(tasks.sigma), 3)
        ((10, 20), 0.1)
        >>> mine = ReluNetwork.init(jax.random.key(1), d=20, width=7, output=1.0)
        >>> ReluTasks(source=tasks.target, target=mine, sigma=jnp.zeros(())).target.W.shape
        (7, 20)
    """

    source: ReluNetwork
    target: ReluNetwork
    sigma: Float[Array, ""]
    network: ClassVar[type[Network]] = ReluNetwork
    beginning: ClassVar[tuple[str, ...]] = ("width", "scale")

    def __check_init__(self) -> None:
        for name, teacher in {"source": self.source, "target": self.target}.items():
            check_type(name, teacher, ReluNetwork, "a ReluNetwork")
        inputs = [jnp.shape(teacher.W)[-1] for teacher in (self.source, self.target)]
        if inputs[0] != inputs[1]:
            raise ValueError(f"source and target must take the same inputs; got d = {inputs}")
        check("sigma", self.sigma, *AT_LEAST_0, shape=())

    @property
    def d(self) -> int:
        """Dimension of the inputs."""
        return self.target.d

    @classmethod
    def ablated(
        cls,
        key: Any,
        d: int,
        width: int,
        fraction: ArrayLike,
        sigma: ArrayLike = 0.0,
        outputs: str = "ones",
    ) -> "ReluTasks":
        r"""Draw a teacher of unit neurons, and remove a fraction :math:`\mu` of them.

        The nearest whole number of neurons to :math:`\mu m^*` is removed. One key gives the same
        target for every fraction, and a larger one removes more of the same source.

        Args:
            key: A JAX random key.
            d: Dimension of the inputs.
            width: Number of neurons m* of the target.
            fraction: The fraction :math:`\mu`, a number in [0, 1].
            sigma: Standard deviation of the label noise; a number.
            outputs: Output weights of the target: 1, random signs, or standard normal.

        Returns:
            The pair of tasks; its dtype is that of `fraction`, float32 by default.

        Raises:
            ValueError: An argument is out of range.
            TypeError: `key` is not a random key.

        Source:
            Section 4 of Tahir et al. (2025).

        Example:
            >>> import jax
            >>> tasks = ReluTasks.ablated(jax.random.key(0), 20, 10, 0.3)
            >>> X, y = tasks.sample(jax.random.key(1), 40)
            >>> X.shape, y.shape, int((tasks.source.W == 0).all(axis=1).sum())
            ((40, 20), (40,), 3)
        """
        check("fraction", fraction, lambda f: (f >= 0) & (f <= 1), "a number in [0, 1]", shape=())
        check("sigma", sigma, *AT_LEAST_0, shape=())
        outputs = check_choice("outputs", outputs, ("ones", "sign", "gaussian"))
        check_key("key", key)
        neuron_key, output_key = jax.random.split(key)
        width = check_count("width", width)
        (fraction,) = as_floats(fraction)
        one = jnp.ones((), fraction.dtype)
        target = ReluNetwork.init(neuron_key, d, width, scale=one, output=1.0)
        if outputs != "ones":
            draw = jax.random.rademacher if outputs == "sign" else jax.random.normal
            target = ReluNetwork(target.W, draw(output_key, target.c.shape, fraction.dtype))
        kept = jnp.arange(width) < width - jnp.round(fraction * width)
        source = ReluNetwork(jnp.where(kept[:, None], target.W, 0), target.c)
        return cls(source, target, jnp.asarray(sigma, fraction.dtype))

    def sample(
        self, key: Any, n: int, source: bool = False
    ) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
        r"""Draw a data set of one of the two tasks.

        .. math:: y_i = f_t(x_i) + \sigma \varepsilon_i

        with standard normal :math:`x_i` and :math:`\varepsilon_i`, or the same with :math:`f_s`.

        Args:
            key: A JAX random key.
            n: Number of samples, at least 1.
            source: Draw from the source task instead of the target task.

        Returns:
            Inputs (n, d), one sample per row, and labels (n,).

        Raises:
            ValueError: n < 1.
            TypeError: `key` is not a random key, or `source` no truth value.

        Source:
            Section 4 of Tahir et al. (2025).

        Example:
            >>> import jax
            >>> tasks = ReluTasks.ablated(jax.random.key(0), 20, 10, 0.3)
            >>> X, y = tasks.sample(jax.random.key(1), 40, source=True)
            >>> X.shape, y.shape
            ((40, 20), (40,))
        """
        check_key("key", key)
        n, source = check_count("n", n), check_flag("source", source)
        teacher = self.source if source else self.target
        input_key, noise_key = jax.random.split(key)
        X = jax.random.normal(input_key, (n, teacher.W.shape[-1]), teacher.W.dtype)
        noise = jax.random.normal(noise_key, (n,), teacher.W.dtype)
        return X, jax.vmap(teacher)(X) + self.sigma * noise

    def risk(self, network: ReluNetwork) -> Float[Array, ""]:
        r"""Risk of a network on the target task, against the noise-free labels; exact.

        .. math:: R = E_x (f(x) - f_t(x))^2

        Args:
            network: The network.

        Returns:
            The risk, a number: `fatelib.relu.distance2` to the target.

        Raises:
            TypeError: `network` is not a ReluNetwork.
            ValueError: It has inputs of another dimension.

        Source:
            Section 4 of Tahir et al. (2025); exact by the kernel of Cho and Saul (2009).

        Example:
            >>> import jax
            >>> tasks = ReluTasks.ablated(jax.random.key(0), 20, 10, 0.3)
            >>> bool(tasks.risk(tasks.target) < 1e-6), bool(tasks.risk(tasks.source) > 0.01)
            (True, True)
        """
        check_type("network", network, ReluNetwork, "a ReluNetwork")
        if network.d != self.d:
            raise ValueError(f"network must have inputs ({self.d},); got ({network.d},)")
        return distance2(network, self.target)

    def new_network(
        self,
        key: Any,
        X: Any,
        y: Any,
        *,
        engine: str,
        width: int | None = None,
        scale: ArrayLike = 1.0,
    ) -> ReluNetwork:
        """Return an untrained student, as `fatelib.scratch` starts from.

        Args:
            key: A JAX random key for the initial weights.
            X: Inputs that it will learn; they do not matter here.
            y: Labels, likewise.
            engine: The engine that will train it: "auto" or "descent".
            width: Number of neurons; by default ten for each of the target teacher.
            scale: Norm of the initial neurons, a number.

        Returns:
            The network.

        Raises:
            ValueError: An argument is impossible.
            TypeError: An argument is of another type.

        Example:
            >>> import jax
            >>> tasks = ReluTasks.ablated(jax.random.key(0), 20, 10, 0.3)
            >>> data = tasks.sample(jax.random.key(1), 40)
            >>> tasks.new_network(jax.random.key(2), *data, engine="auto").W.shape
            (100, 20)
        """
        check_choice("engine", engine, self.engines)
        scale = check_number("scale", scale, *AT_LEAST_0)
        width = 10 * len(self.target.c) if width is None else width
        return ReluNetwork.init(key, self.d, width, scale)

    def read_data(self, network: ReluNetwork, X: Any, y: Any) -> tuple[ReluNetwork, Array, Array]:
        """Check a network and a data set, and bring them to the type that all promote to.

        Args:
            network: The network.
            X: Inputs, (n, d), in any form that NumPy reads as real numbers.
            y: Labels, (n,), likewise.

        Returns:
            The network, the inputs (n, d) and the labels (n,).

        Raises:
            TypeError: `network` is not a ReluNetwork, or the data are not numeric.
            ValueError: A weight or the data are not finite, or the data have another shape.

        Example:
            >>> network = ReluNetwork(jnp.eye(2), jnp.ones(2))
            >>> tasks = ReluTasks(network, network, jnp.zeros(()))
            >>> network, X, y = tasks.read_data(network, [[1, 2]], [3])
            >>> X.tolist(), y.dtype.name
            ([[1.0, 2.0]], 'float32')
        """
        return read_data(network, X, y)

    def train(
        self, network: ReluNetwork, X: Array, y: Array, engine: str, options: Options
    ) -> tuple[ReluNetwork, History]:
        """Train a network on what `read_data` returned, as a protocol asks for.

        Args:
            network: The network where training starts.
            X: Inputs, (n, d).
            y: Labels, (n,).
            engine: "auto" or "descent", which are one.
            options: How to train, as in `fatelib.relu.train`.

        Returns:
            The trained network and the history.

        Raises:
            ValueError: An option has no effect.
            FloatingPointError: Training diverged.

        Example:
            >>> from fatelib.descent.options import Options
            >>> network = ReluNetwork(jnp.eye(2), jnp.ones(2))
            >>> tasks = ReluTasks(network, network, jnp.zeros(()))
            >>> data = tasks.read_data(network, [[1, 2]], [3])
            >>> _, history = tasks.train(*data, "descent", Options.read())
            >>> bool(history.converged)
            True
        """
        return run(network, X, y, options)
