import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib import DeepLinear, LinearTasks, scratch, train
from fatelib.descent.quadratic import Quadratic


def of_condition(rng, n, d, condition):
    """Return a matrix (n, d) of this condition, largest singular value 1, in general position."""
    r = min(n, d)
    U, V = (np.linalg.qr(rng.normal(size=(size, r)))[0] for size in (n, d))
    return U * np.geomspace(1, 1 / condition, r) @ V.T


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
        assert loss.minimum <= rounding**2
    assert loss.misfit <= rounding**2


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


@pytest.mark.parametrize("n", [20, 39, 40, 41, 80])
def test_the_limit_is_within_the_perturbation_bound_and_reports_what_is(n):
    """In single precision, against double precision on the same arrays.

    Inputs and labels that are off by a share eps of their norms move a least-squares solution by at
    most eps * condition * (1 + residual / (least singular value * norm)), a share of its norm
    (Wedin, 1973). Rounding in n d entries counts as ten such perturbations.
    """
    d, eps = 40, float(jnp.finfo(jnp.float32).eps)
    rng = np.random.default_rng(n)
    for condition, noise in itertools.product((1.0, 1e1, 1e3, 1e5), (0.0, 1.0)):
        X = of_condition(rng, n, d, condition)
        y = X @ rng.normal(size=d) / d**0.5 + noise * rng.normal(size=n)
        X, y = X.astype(np.float32), y.astype(np.float32)
        singular = np.linalg.svd(X.astype(float), compute_uv=False)
        solution = np.linalg.pinv(X.astype(float), rcond=1e-7) @ y.astype(float)
        residual = np.linalg.norm(X.astype(float) @ solution - y)
        share = eps * singular[0] / singular[-1]
        share *= 1 + residual / singular[-1] / np.linalg.norm(solution)

        pull = X.T @ y  # of which the data see everything
        start = DeepLinear.balanced(jnp.asarray(1e-3 * pull / np.linalg.norm(pull)))
        network, history = train(start, X, y, engine="limit")
        first, last = (np.asarray(weight, float) for weight in network.weights)
        beta = (first @ last)[:, 0]
        assert np.linalg.norm(beta - solution) <= 10 * share * np.linalg.norm(solution)
        # The history's loss says how well these weights fit, but for ten roundings of X beta and y.
        actual = np.linalg.norm(X.astype(float) @ beta - y)
        rounded = 10 * eps * (singular[0] * np.linalg.norm(beta) + np.linalg.norm(y))
        assert abs((n * float(history.loss[-1])) ** 0.5 - actual) <= rounded


@pytest.mark.parametrize(("n", "d"), [(50, 80), (80, 80), (100, 80), (300, 80)])
def test_dependent_samples_and_features_stay_dependent_in_single_precision(n, d):
    """The solution of minimum norm in few directions is not blown up along rounding."""
    rng = np.random.default_rng(n)
    tasks = LinearTasks.at_angle(jax.random.key(0), d, 0.5)
    few = rng.normal(size=(10, d))
    for X in (rng.normal(size=(n, 10)) @ few, few[rng.integers(0, 10, n)], np.tile(few[0], (n, 1))):
        X, y = X.astype(np.float32), rng.normal(size=n).astype(np.float32)
        rank = 1 if np.ptp(X, axis=0).max() == 0 else 10
        singular = np.linalg.svd(X.astype(float), compute_uv=False)
        solution = np.linalg.pinv(X.astype(float), rcond=1e-5) @ y.astype(float)
        assert singular[rank - 1] > 1e-2 * singular[0]
        result = scratch(jax.random.key(0), tasks, X, y, engine="limit")
        # Ten roundings, with the condition and the residual of the test above.
        share = 10 * 2**-23 * singular[0] / singular[rank - 1]
        share *= 1 + np.linalg.norm(y) / singular[rank - 1] / np.linalg.norm(solution)
        difference = np.asarray(result.network.end_to_end(), float) - solution
        assert np.linalg.norm(difference) <= share * np.linalg.norm(solution)
