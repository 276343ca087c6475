"""What is learned: pairs of a source and a target task, and the data they give."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from fatelib.arguments import (
    ANGLE,
    AT_LEAST_0,
    FINITE,
    check,
    check_count,
    check_flag,
    check_key,
    check_type,
    float_type,
)

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


class LinearTasks(eqx.Module):
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
        dtype = float_type(beta_source, beta_target)
        self.beta_source = jnp.asarray(beta_source, dtype)
        self.beta_target = jnp.asarray(beta_target, dtype)
        self.sigma = jnp.asarray(sigma, dtype)
        self.source_sigma = jnp.asarray(source_sigma, dtype)

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
        check_count("d", d, least=2)
        check("theta", theta, *ANGLE, shape=())
        d, theta = int(d), jnp.asarray(theta, float_type(theta))
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
        check_count("n", n)
        check_flag("source", source)
        check_type("inputs", inputs, Callable, "a function as jax.random.normal")
        beta, sigma = (
            (self.beta_source, self.source_sigma) if source else (self.beta_target, self.sigma)
        )
        input_key, noise_key = jax.random.split(key)
        X = inputs(input_key, (int(n), self.d), beta.dtype)
        noise = jax.random.normal(noise_key, (int(n),), beta.dtype)
        return X, jnp.matmul(X, beta, precision="highest") + sigma * noise

    def risk(self, beta: Float[Array, " d"]) -> Float[Array, ""]:
        r"""Risk of a linear map on the target task, against the noise-free labels.

        .. math:: R = E_x (x \cdot \beta - x \cdot \beta_t)^2 = \|\beta - \beta_t\|^2

        for inputs of identity covariance.

        Args:
            beta: The linear map, (d,).

        Returns:
            The risk, a number; zero is perfect, and the zero map has :math:`\|\beta_t\|^2`.

        Raises:
            ValueError: `beta` is not finite or of another length.

        Source:
            Section 3 of Tahir et al. (2025).

        Example:
            >>> import jax
            >>> tasks = LinearTasks.at_angle(jax.random.key(0), 50, 0.5)
            >>> round(float(tasks.risk(0 * tasks.beta_target)), 3)
            1.0
        """
        check("beta", beta, *FINITE, shape=self.beta_target.shape)
        return jnp.sum((jnp.asarray(beta) - self.beta_target) ** 2)
