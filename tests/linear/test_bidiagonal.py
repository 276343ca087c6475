"""Samples that are never formed: the same law as the dense ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fatelib import theory
from fatelib.descent.quadratic import Quadratic
from fatelib.linear import Bidiagonal, DeepLinear, LinearTasks, reduced_tasks, train
from fatelib.linear.bidiagonal import BidiagonalLoss
from fatelib.transfer import fine_tune, linear_transfer, scratch

KEY = jax.random.key(0)


def dense_loss(X, y):
    root = jnp.sqrt(X.samples)
    return Quadratic.of(X.dense() / root, y / root)


@pytest.mark.parametrize(("n", "d"), [(3, 9), (9, 9), (8, 9), (25, 9), (1, 4), (4, 2)])
def test_it_is_a_matrix(n, d):
    """Products, loss and minimum-norm solution are those of the matrix written out."""
    tasks, X, y = reduced_tasks(KEY, n, d, 0.7, 0.3)
    matrix = np.float64(X.dense())
    assert matrix.shape == X.shape
    beta = jax.random.normal(jax.random.key(1), (X.columns,))
    np.testing.assert_allclose(X @ beta, matrix @ beta, rtol=1e-5, atol=1e-5)
    loss = BidiagonalLoss.of(X, y)
    residual = matrix @ beta - y
    np.testing.assert_allclose(loss.excess(beta) + loss.minimum, residual @ residual / n, rtol=1e-5)
    np.testing.assert_allclose(
        loss.gradient(beta), 2 / n * matrix.T @ residual, rtol=1e-4, atol=1e-5
    )
    condition = np.linalg.cond(matrix[: min(n, d)])
    minimiser, seen = loss.split(beta)
    inverse = np.linalg.pinv(matrix, rcond=1e-6)
    np.testing.assert_allclose(minimiser, inverse @ y, atol=1e-6 * condition)
    np.testing.assert_allclose(seen, inverse @ (matrix @ beta), atol=1e-5 * condition)
    assert loss.top >= 0.999 * np.linalg.norm(matrix, 2) ** 2 / n
    np.testing.assert_allclose(jnp.linalg.norm(tasks.beta_source), 1, rtol=1e-5)
    np.testing.assert_allclose(tasks.theta, 0.7, rtol=1e-4)


def test_the_bound_on_the_curvature_is_tight():
    _, X, y = reduced_tasks(KEY, 2000, 3000, 0.7, 0.3)
    edge = (1 + np.sqrt(3000 / 2000)) ** 2  # Marchenko and Pastur
    np.testing.assert_allclose(BidiagonalLoss.of(X, y).top, edge, rtol=0.1)


@pytest.mark.parametrize("n", [3, 9, 25])
def test_programs_are_shared_by_all_numbers_of_samples(n):
    """With `largest` the rows beyond the last sample are zero, and nothing sees them."""
    drawn = jax.jit(lambda n: reduced_tasks(KEY, n, 9, 0.7, 0.3, largest=25))(n)
    tasks, X, y = drawn
    assert X.shape == (10, 10)
    rows = min(n, 9)
    assert (X.diagonal[:rows] > 0).all()
    assert (X.diagonal[rows:] == 0).all()
    assert (y[rows:-1] == 0).all()
    assert (y[-1] != 0) == (n > 9)
    minimiser = BidiagonalLoss.of(X, y).split(tasks.beta_source)[0]
    exact = np.linalg.pinv(np.float64(X.dense()), rcond=1e-6) @ y
    np.testing.assert_allclose(minimiser, exact, atol=1e-4)


SETTINGS = [(12, 24, 0.3), (40, 24, 1.0), (23, 24, 0.0)]


@pytest.mark.parametrize(("n", "d", "sigma"), SETTINGS)
def test_risks_have_the_law_of_dense_draws(n, d, sigma):
    """Scratch, transfer and fine-tuning: two-sample tests of 1500 draws each way."""
    theta, draws = 0.8, 1500

    def risks(tasks, X, y):
        source = DeepLinear.balanced(tasks.beta_source)
        return jnp.stack(
            [
                scratch(KEY, tasks, X, y, engine="limit").risk,
                fine_tune(source, tasks, X, y, engine="limit").risk,
                linear_transfer(source, tasks, X, y).risk,
            ]
        )

    def dense(key):
        tasks = LinearTasks.at_angle(key, d, theta, sigma)
        return risks(tasks, *tasks.sample(jax.random.fold_in(key, 1), n))

    def reduced(key):
        return risks(*reduced_tasks(key, n, d, theta, sigma))

    keys = jax.random.split(jax.random.key(4), (2, draws))
    first = np.asarray(jax.jit(jax.vmap(dense))(keys[0]))
    second = np.asarray(jax.jit(jax.vmap(reduced))(keys[1]))
    names = ("scratch", "fine-tuning", "linear transfer")
    for name, a, b in zip(names, first.T, second.T, strict=True):
        # Six tests in three settings: a false alarm once in a thousand runs in all.
        assert stats.ks_2samp(a, b).pvalue > 4e-5, name
        difference = np.mean(a) - np.mean(b)
        error = np.sqrt((np.var(a) + np.var(b)) / draws)
        assert abs(difference) < 4.5 * error, name


def test_training_on_it_is_training():
    """Gradient descent on the bidiagonal inputs is that on the matrix written out."""
    tasks, X, y = reduced_tasks(KEY, 6, 20, 0.7, 0.3)
    start = DeepLinear.balanced(tasks.beta_source)
    for engine in ("descent", "spectral", "limit"):
        options = {"learning_rate": 0.02, "steps": 300, "tolerance": 0.0}
        options = {"engine": engine, **({} if engine == "limit" else options)}
        network, _ = train(start, X, y, **options)
        # One row of zeros more than samples: the mean is over the rows there.
        resize = jnp.sqrt(len(y) / X.samples)
        other, _ = train(start, resize * X.dense(), resize * y, **options)
        np.testing.assert_allclose(network.end_to_end(), other.end_to_end(), atol=2e-5)


def test_a_hundred_thousand_dimensions():
    """Concentration: one draw sits on the limit, to a few times 1/sqrt(d)."""
    tasks, X, y = reduced_tasks(KEY, 50_000, 100_000, 1.0, 1.0)
    source = DeepLinear.balanced(tasks.beta_source)
    tuned = fine_tune(source, tasks, X, y, engine="limit").risk
    new = scratch(KEY, tasks, X, y, engine="limit").risk
    gain = theory.fine_tuning_transferability(0.5, 1.0, 1.0)
    np.testing.assert_allclose(new, theory.scratch_risk(0.5, 1.0), atol=10 / 100_000**0.5)
    np.testing.assert_allclose(new - tuned, gain, atol=10 / 100_000**0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "n must be an integer >= 1; got 0"),
        ({"d": 1}, "d must be an integer >= 2; got 1"),
        ({"theta": 4.0}, r"theta must be angles in radians, in \[0, pi\]; got 4.0"),
        ({"sigma": -1.0}, "sigma must be a number >= 0; got -1.0"),
    ],
)
def test_impossible_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        reduced_tasks(**{"key": KEY, "n": 3, "d": 5, "theta": 0.3, **changes})


def test_shapes_must_fit():
    tasks, X, y = reduced_tasks(KEY, 3, 9, 0.3)
    assert isinstance(X, Bidiagonal)
    with pytest.raises(ValueError, match=r"X must have 4 columns .*; got \(4, 5\)"):
        train(DeepLinear.balanced(jnp.ones(4)), X, y)
    with pytest.raises(ValueError, match=r"X must have 5 columns and y a label for each row"):
        fine_tune(DeepLinear.balanced(tasks.beta_source), tasks, X, y[:-1])


def test_entries_of_either_sign():
    """The learning rate is stable, and what is no number or too large is refused."""
    ones = jnp.ones(2)
    X = Bidiagonal(3 * jnp.array([1.0, -1.0]), jnp.array([-3.0, 3.0]), ones[0], columns=3)
    start = DeepLinear.balanced(jnp.array([0.3, 0.2, 0.1]))
    network, history = train(start, X, jnp.array([1.0, -1.0, 0.0]))
    dense, _ = train(start, X.dense(), jnp.array([1.0, -1.0, 0.0]))
    assert history.converged
    np.testing.assert_allclose(network.end_to_end(), dense.end_to_end(), atol=1e-2)
    for wrong, message in (
        (Bidiagonal(ones, ones, jnp.asarray(jnp.nan), columns=3), "X.samples must be a number > 0"),
        (Bidiagonal(1e16 * ones, ones, ones[0], columns=3), "X must be at most 1e15 in size"),
    ):
        with pytest.raises(ValueError, match=message):
            train(start, wrong, jnp.ones(3))
