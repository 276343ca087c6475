"""What the tests of the theory share: derivatives against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def check_derivatives(function, *arguments):
    """Check first and second derivatives of an elementwise function, forward and in reverse.

    The arguments are numbers or arrays of cases, each with further axes at will; the derivatives
    are taken along one random direction of relative change, which keeps every sign.
    """
    rng = np.random.default_rng(0)
    arguments = [jnp.asarray(a, float) for a in arguments]
    direction = [a * jnp.asarray(rng.uniform(-1, 1, a.shape)) for a in arguments]

    def along(h):
        return function(*(a + h * v for a, v in zip(arguments, direction, strict=True)))

    def slope(h):
        return jax.jvp(along, (h,), (1.0,))[1]

    @jax.jit
    @jax.vmap
    def derivatives(h):
        return along(h), slope(h), jax.jvp(slope, (h,), (1.0,))[1]

    step = 1e-4
    values, slopes, curvatures = derivatives(step * jnp.arange(-2.0, 3.0))
    for differentiated, exact in ((values, slopes[2]), (slopes, curvatures[2])):
        difference = 8 * (differentiated[3] - differentiated[1])
        difference = (difference - (differentiated[4] - differentiated[0])) / (12 * step)
        np.testing.assert_allclose(exact, difference, rtol=1e-6, atol=1e-8)
    reverse = jax.grad(lambda *a: function(*a).sum(), argnums=tuple(range(len(arguments))))
    total = sum((g * v).sum() for g, v in zip(jax.jit(reverse)(*arguments), direction, strict=True))
    np.testing.assert_allclose(total, slopes[2].sum(), rtol=1e-9, atol=1e-12)


@pytest.fixture
def derivatives(x64):
    """Return `check_derivatives`, in double precision."""
    return check_derivatives
