"""Tasks given by ReLU teachers: a target, and a source that lacks some of its neurons."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import check, check_key
from fatelib.relu.network import ReluNetwork, distance2

__all__ = ["ReluTasks"]


class ReluTasks(eqx.Module):
    r"""A target task given by a ReLU teacher, and a source task by part of its neurons.

    .. math:: y = f_t(x) + \sigma \varepsilon, \qquad
        f_t(x) = \frac{1}{m^*} \sum_{i=1}^{m^*} c_i \operatorname{relu}(w_i \cdot x)

    on standard normal inputs; the source :math:`f_s` is the same sum without the neurons removed.

    Attributes:
        source: The source teacher; the neurons removed are rows of zeros.
        target: The target teacher.
        sigma: Standard deviation of the label noise, of both tasks.
    """

    source: ReluNetwork
    target: ReluNetwork
    sigma: Float[Array, ""]

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
            fraction: The fraction :math:`\mu`, in [0, 1].
            sigma: Standard deviation of the label noise.
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
        check("fraction", fraction, lambda f: (f >= 0) & (f <= 1), "a number in [0, 1]")
        check("sigma", sigma, lambda s: (s >= 0) & (s < np.inf), "a number >= 0")
        if outputs not in ("ones", "sign", "gaussian"):
            raise ValueError(f"outputs must be 'ones', 'sign' or 'gaussian'; got {outputs!r}")
        check_key("key", key)
        neuron_key, output_key = jax.random.split(key)
        fraction = jnp.asarray(fraction, jnp.result_type(fraction, float))
        one = jnp.ones((), fraction.dtype)
        target = ReluNetwork.init(neuron_key, d, width, scale=one, output=1.0)
        if outputs != "ones":
            draw = jax.random.rademacher if outputs == "sign" else jax.random.normal
            target = ReluNetwork(target.W, draw(output_key, target.c.shape, fraction.dtype))
        kept = jnp.arange(int(width)) < width - jnp.round(fraction * width)
        source = ReluNetwork(jnp.where(kept[:, None], target.W, 0), target.c)
        return cls(source, target, jnp.asarray(sigma, fraction.dtype))

    def sample(
        self, key: Any, n: int, source: bool = False
    ) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
        """Draw a data set of one of the two tasks.

        Args:
            key: A JAX random key.
            n: Number of samples, at least 1.
            source: Draw from the source task instead of the target task.

        Returns:
            Inputs (n, d), one sample per row, and labels (n,).

        Raises:
            ValueError: n < 1.
            TypeError: `key` is not a random key.
        """
        check_key("key", key)
        check("n", n, lambda n: (n >= 1) & (n == np.floor(n)), "an integer >= 1")
        teacher = self.source if source else self.target
        input_key, noise_key = jax.random.split(key)
        X = jax.random.normal(input_key, (int(n), teacher.W.shape[-1]), teacher.W.dtype)
        noise = jax.random.normal(noise_key, (int(n),), teacher.W.dtype)
        return X, jax.vmap(teacher)(X) + self.sigma * noise

    def risk(self, network: ReluNetwork) -> Float[Array, ""]:
        r"""Risk of a network on the target task, against the noise-free labels; exact.

        .. math:: R = E_x (f(x) - f_t(x))^2

        Args:
            network: The network.

        Returns:
            The risk, `fatelib.relu.distance2` to the target.
        """
        return distance2(network, self.target)
