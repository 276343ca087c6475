import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib.linear.quadratic import Quadratic


def problem(n, d, dtype, rank=None):
    rng = np.random.default_rng(n)
    A = (
        rng.normal(size=(n, d))
        if rank is None
        else rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d))
    )
    return (A / np.sqrt(n)).astype(dtype), rng.normal(size=n).astype(dtype)


@pytest.mark.parametrize(("n", "d", "rank"), [(5, 9, None), (9, 9, None), (30, 9, None), (8, 9, 4)])
def test_same_loss_as_the_residual(n, d, rank, dtype):
    A, t = problem(n, d, dtype, rank)
    loss = Quadratic.of(jnp.asarray(A), jnp.asarray(t))
    rounding = 2000 * np.finfo(dtype).eps
    solution = np.linalg.pinv(A.astype(float), rcond=1e-6) @ t
    np.testing.assert_allclose(loss.lift(loss.minimiser), solution, rtol=rounding, atol=rounding)
    beta = np.linspace(-1, 1, d).astype(dtype)
    exact = np.sum((A.astype(float) @ beta - t) ** 2)
    inside = loss.project(jnp.asarray(beta))
    np.testing.assert_allclose(loss.minimum + loss.excess(inside), exact, rtol=rounding)
    gradient = 2 * A.T.astype(float) @ (A.astype(float) @ beta - t)
    np.testing.assert_allclose(
        loss.lift(loss.gradient(inside)), gradient, rtol=rounding, atol=rounding
    )
    minimum = np.sum((A.astype(float) @ solution - t) ** 2)
    np.testing.assert_allclose(loss.minimum, minimum, rtol=rounding, atol=rounding**2)
    if n <= d and rank is None:
        assert loss.minimum == 0


def test_small_eigenvalues_survive_single_precision():
    # A condition number of 1e5: its square is out of reach of the single-precision product A^T A.
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.normal(size=(40, 40)))[0] for _ in range(2))
    scales = np.r_[np.linspace(1, 2, 39), 2e-5]
    loss = Quadratic.of(jnp.asarray(U * scales @ V, jnp.float32), jnp.ones(40))
    assert float(jnp.min(loss.curvature)) == pytest.approx(4e-10, rel=0.05)


def test_identity():
    loss = Quadratic.of(None, jnp.array([3.0, 4.0]))
    assert float(loss.excess(jnp.zeros(2))) == 25
    assert float(loss.minimum) == 0
    np.testing.assert_array_equal(loss.lift(loss.project(jnp.ones(2))), 1)


def test_batch_of_losses():
    A = jax.random.normal(jax.random.key(0), (3, 4, 6))
    t = jax.random.normal(jax.random.key(1), (3, 4))
    many = jax.vmap(Quadratic.of)(A, t)
    one = Quadratic.of(A[1], t[1])
    np.testing.assert_allclose(many.curvature[1], one.curvature, rtol=1e-5)
