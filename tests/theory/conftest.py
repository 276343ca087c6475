"""What the tests of the theory share: derivatives against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def directional(function, arguments, direction, step):
    """Central difference along a direction, exact to fourth order in the step."""

    def at(h):
        return function(*(a + h * step * v for a, v in zip(arguments, direction, strict=True)))

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)


def check_derivatives(function, *arguments):
    """Check gradient and second derivatives of a scalar function, forward over reverse."""
    rng = np.random.default_rng(0)
    arguments = tuple(jnp.asarray(a, float) for a in arguments)
    # Relative perturbations, so that arguments keep their sign.
    direction = tuple(a * jnp.asarray(rng.uniform(-1, 1, a.shape)) for a in arguments)
    function = jax.jit(function)
    gradient = jax.jit(jax.grad(function, argnums=tuple(range(len(arguments)))))

    def slope(*arguments):
        pairs = zip(gradient(*arguments), direction, strict=True)
        return sum((g * v).sum() for g, v in pairs)

    _, forward = jax.jvp(function, arguments, direction)
    np.testing.assert_allclose(forward, slope(*arguments), rtol=1e-10, atol=1e-13)
    difference = directional(function, arguments, direction, 1e-4)
    np.testing.assert_allclose(forward, difference, rtol=1e-6, atol=1e-9)
    _, second = jax.jit(lambda a, v: jax.jvp(slope, a, v))(arguments, direction)
    difference = directional(slope, arguments, direction, 1e-4)
    np.testing.assert_allclose(second, difference, rtol=1e-6, atol=1e-9)


@pytest.fixture
def derivatives(x64):
    """Return `check_derivatives`, in double precision."""
    return check_derivatives
