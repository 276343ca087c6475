r"""What a family of networks offers, so that every protocol and sweep works with it.

A family is two classes: networks (`Network`) and pairs of a source and a target task that such
networks can learn (`Tasks`). `fatelib.scratch`, `fatelib.linear_transfer` and `fatelib.fine_tune`
see nothing else of it. ``CONTRIBUTING.md`` shows how to add one.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import check_type, read_samples
from fatelib.descent.loop import History
from fatelib.descent.options import Options

__all__ = ["Network", "Regression", "Tasks"]


class Regression(NamedTuple):
    r"""The last layer of a network as a linear regression, :math:`\min_b \tfrac1n \|Z b - y\|^2`.

    Attributes:
        Z: Features, (rows, q), in whatever basis suits the network.
        samples: The number n of samples that the rows stand for.
        cutoff: Share of the largest singular value of Z, a number, below which others count as
            zero.
        lift: Maps b to the last layer of the network, (q,) -> (p,).
        pace: Gradient descent moves b by the learning rate times this times the gradient.

    Example:
        >>> from fatelib import DeepLinear
        >>> network = DeepLinear((jnp.eye(3), jnp.ones((3, 1))))
        >>> problem = network.regression(jnp.ones((5, 3)), None, "limit")
        >>> problem.Z.shape, problem.lift(jnp.ones(3)).shape
        ((5, 3), (3,))
    """

    Z: Float[Array, "rows q"]
    samples: float | Array
    cutoff: Array
    lift: Callable[[Array], Array]
    pace: float


class Network(eqx.Module):
    r"""A network whose output is linear in the features of its last hidden layer.

    .. math:: f(x) = \sum_{j=1}^p \text{features}_j(x) \, \text{last}_j

    A family writes `d`, `features`, `outputs` and `with_last_layer`; where its last layer is better
    fitted in another basis, `regression` too. All arrays of a network are its weights.

    Example:
        >>> from fatelib import DeepLinear, relu
        >>> issubclass(DeepLinear, Network), issubclass(relu.ReluNetwork, Network)
        (True, True)
    """

    @property
    @abstractmethod
    def d(self) -> int:
        """Dimension of the inputs."""

    @abstractmethod
    def features(self, X: Any) -> Float[Array, "n p"]:
        """Return the features of inputs, one row per sample.

        Args:
            X: Inputs, (n, d).

        Returns:
            The features, (n, p).

        Raises:
            ValueError: `X` is not such inputs.
        """

    @abstractmethod
    def outputs(self, X: Any) -> Float[Array, " n"]:
        """Return the outputs for inputs, one per sample.

        Args:
            X: Inputs, (n, d).

        Returns:
            The outputs, (n,).

        Raises:
            ValueError: `X` is not such inputs.
        """

    @abstractmethod
    def with_last_layer(self, last: Float[Array, " p"]) -> "Network":
        r"""Return the network with the output :math:`\text{features}(x) \cdot \text{last}`.

        Args:
            last: What multiplies the features, (p,).

        Returns:
            The network with the same features.

        Raises:
            ValueError: `last` has another length.
        """

    def loss(self, X: Any, y: Float[Array, " n"]) -> Float[Array, ""]:
        """Return the mean squared error on a data set.

        Args:
            X: Inputs, as `Tasks.read_data` returns them.
            y: Labels, (n,).

        Returns:
            The loss, a number.

        Raises:
            ValueError: `X` is no such inputs.

        Example:
            >>> from fatelib import relu
            >>> network = relu.ReluNetwork(jnp.eye(2), jnp.ones(2))
            >>> float(network.loss(jnp.eye(2), jnp.zeros(2)))
            0.25
        """
        return jnp.mean((self.outputs(X) - y) ** 2)

    def regression(self, X: Any, cutoff: ArrayLike | None, engine: str) -> Regression:
        """Return what `fatelib.linear_transfer` solves: by default the regression on the features.

        Args:
            X: Inputs, as `Tasks.read_data` returns them.
            cutoff: Relative size, a number, below which a singular direction of the features counts
                as absent; None for rounding.
            engine: "limit", or "descent" for gradient descent, which drops no features.

        Returns:
            The regression.

        Raises:
            ValueError: A cutoff with the engine "descent".

        Example:
            >>> from fatelib import relu
            >>> network = relu.ReluNetwork(jnp.eye(2), jnp.ones(2))
            >>> network.regression(jnp.eye(2), None, "descent").Z.tolist()
            [[1.0, 0.0], [0.0, 1.0]]
        """
        if engine == "descent" and cutoff is not None:
            raise ValueError(
                "cutoff must be None for the engine 'descent', which drops no features; "
                f"got {cutoff}"
            )
        Z = self.features(X)
        share = jnp.asarray(0.0 if cutoff is None else cutoff, Z.dtype)
        return Regression(Z, len(Z), share, lambda last: last, 1.0)


class Tasks(eqx.Module):
    """A source and a target task for the networks of one family.

    A family writes `network`, `d`, `sample`, `risk`, `new_network` and `train`; `beginning` and
    `engines` where it has more than the defaults, `read_data` where its inputs are not an array.

    Attributes:
        network: The class of the networks.
        beginning: Options of `new_network`, which `fatelib.scratch` takes.
        engines: Ways to train.

    Example:
        >>> from fatelib import LinearTasks
        >>> LinearTasks.network.__name__, LinearTasks.beginning
        ('DeepLinear', ('depth', 'width', 'scale'))
    """

    network: ClassVar[type[Network]]
    beginning: ClassVar[tuple[str, ...]] = ()
    engines: ClassVar[tuple[str, ...]] = ("auto", "descent")

    @property
    @abstractmethod
    def d(self) -> int:
        """Dimension of the inputs."""

    @abstractmethod
    def sample(
        self, key: Any, n: int, source: bool = False
    ) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
        """Draw a data set of one of the tasks.

        Args:
            key: A JAX random key.
            n: Number of samples, at least 1.
            source: Draw from the source task instead of the target task.

        Returns:
            Inputs (n, d), one sample per row, and labels (n,).

        Raises:
            ValueError: n < 1.
            TypeError: `key` is not a random key, or `source` no truth value.
        """

    @abstractmethod
    def risk(self, network: Any) -> Float[Array, ""]:
        """Return the risk of a network on the target task, against the noise-free labels.

        Args:
            network: A network of the family.

        Returns:
            The risk, a number; exact, or of a test sample that is always the same.

        Raises:
            TypeError: `network` is of another family.
            ValueError: It has inputs of another dimension.
        """

    @abstractmethod
    def new_network(self, key: Any, X: Any, y: Any, *, engine: str) -> Network:
        """Return an untrained network; each of `beginning` is a keyword of this.

        Args:
            key: A JAX random key.
            X: The data that it will learn, as the user gave them, for engines that start in a
                direction of these.
            y: Their labels.
            engine: The engine that will train it, one of `engines`.

        Returns:
            The network.

        Raises:
            ValueError: An argument is impossible or has no effect.
        """

    @abstractmethod
    def train(
        self, network: Any, X: Any, y: Any, engine: str, options: Options
    ) -> tuple[Any, History]:
        """Train a network on what `read_data` returned, as a protocol asks for.

        The loop of `fatelib.descent.loop.descend` trains whatever an iteration describes, and
        `fatelib.descent.last_layer.train_last_layer` a last layer alone.

        Args:
            network: The network where training starts.
            X: Inputs.
            y: Labels, (n,).
            engine: One of `engines`.
            options: How to train. What has no effect on the family is refused by its ``refuse``.

        Returns:
            The trained network and the history.

        Raises:
            ValueError: An option has no effect on this family.
            FloatingPointError: Training diverged.
        """

    def read_data(self, network: Any, X: Any, y: Any) -> tuple[Any, Any, Array]:
        """Check a network and a data set, and bring them to the type that all promote to.

        Args:
            network: A network of the family.
            X: Inputs, (n, d), in any form that NumPy reads as real numbers.
            y: Labels, (n,), likewise.

        Returns:
            The network, the inputs (n, d) and the labels (n,).

        Raises:
            TypeError: `network` is of another family, or the data are no numbers.
            ValueError: The data are of another shape, or not finite.

        Example:
            >>> from fatelib import relu
            >>> network = relu.ReluNetwork(jnp.eye(2), jnp.ones(2))
            >>> tasks = relu.ReluTasks(network, network, jnp.zeros(()))
            >>> Tasks.read_data(tasks, network, [[1, 2]], [3])[1:]
            (Array([[1., 2.]], dtype=float32), Array([3.], dtype=float32))
        """
        kind = self.network.__name__
        check_type("network", network, self.network, f"a {kind}")
        X, y = read_samples(X, y, network.d, *jax.tree.leaves(network))
        return jax.tree.map(lambda weight: jnp.asarray(weight, y.dtype), network), X, y

    def check(self, pretrained: Any) -> None:
        """Raise unless a network is of this family and takes the inputs of these tasks.

        Args:
            pretrained: What should be such a network.

        Raises:
            TypeError: It is no network.
            ValueError: It is of another family, or has inputs of another dimension.

        Example:
            >>> from fatelib import DeepLinear, LinearTasks
            >>> LinearTasks(jnp.ones(2), jnp.ones(2)).check(DeepLinear.balanced(jnp.ones(3)))
            Traceback (most recent call last):
            ValueError: pretrained must take the inputs (2,) of tasks; got (3,)
        """
        check_type("pretrained", pretrained, Network, "a network of the family of tasks")
        tasks, kind = type(self).__name__, self.network.__name__
        if type(pretrained) is not self.network:
            raise ValueError(
                f"pretrained must be a {kind}, as tasks are {tasks}; "
                f"got a {type(pretrained).__name__}"
            )
        if pretrained.d != self.d:
            raise ValueError(
                f"pretrained must take the inputs ({self.d},) of tasks; got ({pretrained.d},)"
            )
