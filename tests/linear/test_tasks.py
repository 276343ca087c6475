import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fatelib.linear import DeepLinear, LinearTasks


@settings(max_examples=20, deadline=None)
@given(d=st.sampled_from([2, 3, 50]), theta=st.floats(0, np.pi), seed=st.integers(0, 2**31 - 1))
def test_unit_vectors_at_the_angle(d, theta, seed):
    tasks = LinearTasks.at_angle(jax.random.key(seed), d, theta)
    rounding = 30 * np.finfo(np.float32).eps
    np.testing.assert_allclose(jnp.linalg.norm(tasks.beta_source), 1, atol=rounding)
    np.testing.assert_allclose(jnp.linalg.norm(tasks.beta_target), 1, atol=rounding)
    # The angle itself, not its cosine: accurate at 0 and pi too (d = 2 can draw the other vector
    # almost parallel to the target, and orthogonalising it then costs digits).
    np.testing.assert_allclose(tasks.theta, theta, atol=rounding if d > 2 else 1e-3)


def test_one_key_turns_only_the_source():
    key = jax.random.key(0)
    one, two, three = (LinearTasks.at_angle(key, 9, theta) for theta in (0.2, 0.7, 2.0))
    np.testing.assert_array_equal(one.beta_target, two.beta_target)
    plane = jnp.stack([one.beta_source, two.beta_source, three.beta_source])
    assert np.linalg.matrix_rank(plane, tol=1e-5) == 2


def test_sample_has_unit_covariance_and_the_noise(dtype):
    tasks = LinearTasks.at_angle(jax.random.key(0), 3, dtype.type(1.0), sigma=0.3, source_sigma=0.7)
    n = 20_000
    for source, beta, sigma in (
        (False, tasks.beta_target, 0.3),
        (True, tasks.beta_source, 0.7),
    ):
        X, y = tasks.sample(jax.random.key(1), n, source=source)
        assert X.dtype == y.dtype == dtype
        # Five standard errors: an entry of the covariance varies by at most sqrt(2 / n).
        np.testing.assert_allclose(X.T @ X / n, np.eye(3), atol=5 * np.sqrt(2 / n))
        noise = y - jnp.matmul(X, beta, precision="highest")
        np.testing.assert_allclose(jnp.std(noise), sigma, rtol=5 * np.sqrt(0.5 / n))


def test_risk_is_the_expected_squared_error():
    tasks = LinearTasks.at_angle(jax.random.key(0), 4, 1.0, sigma=0.5)
    beta = jnp.array([0.1, -0.5, 0.3, 2.0])
    X, _ = tasks.sample(jax.random.key(1), 20_000)
    errors = (X @ (beta - tasks.beta_target)) ** 2
    standard_error = jnp.std(errors) / np.sqrt(20_000)
    risk = tasks.risk(DeepLinear.balanced(beta))
    np.testing.assert_allclose(risk, jnp.mean(errors), atol=5 * standard_error)


def test_any_sampler_of_the_inputs():
    tasks = LinearTasks.at_angle(jax.random.key(0), 4, 1.0)
    X, y = tasks.sample(jax.random.key(1), 6, inputs=jax.random.rademacher)
    np.testing.assert_array_equal(jnp.abs(X), 1)
    np.testing.assert_allclose(y, X @ tasks.beta_target, atol=1e-6)


def test_batches_of_tasks():
    thetas = jnp.linspace(0, 1, 5)
    tasks = jax.vmap(lambda theta: LinearTasks.at_angle(jax.random.key(0), 6, theta, 0.2))(thetas)
    X, y = jax.vmap(lambda tasks: tasks.sample(jax.random.key(1), 8))(tasks)
    assert X.shape == (5, 8, 6)
    assert y.shape == (5, 8)
    np.testing.assert_allclose(jax.vmap(lambda tasks: tasks.theta)(tasks), thetas, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d": 1}, "d must be an integer >= 2; got 1"),
        ({"theta": -0.1}, r"theta must be angles in radians, in \[0, pi\]; got -0.1"),
        ({"theta": 4.0}, r"theta must be angles in radians, in \[0, pi\]; got 4.0"),
        ({"sigma": -1.0}, "sigma must be a number >= 0; got -1.0"),
        ({"source_sigma": float("nan")}, "source_sigma must be a number >= 0; got nan"),
    ],
)
def test_impossible_tasks(arguments, message):
    with pytest.raises(ValueError, match=message):
        LinearTasks.at_angle(jax.random.key(0), **{"d": 5, "theta": 0.5, **arguments})


def test_impossible_samples():
    with pytest.raises(ValueError, match="n must be an integer >= 1; got 0"):
        LinearTasks.at_angle(jax.random.key(0), 5, 0.5).sample(jax.random.key(0), 0)


@pytest.mark.parametrize("seed", [3, None])
def test_a_seed_is_not_a_key(seed):
    with pytest.raises(TypeError, match=f"key must be a JAX random key, .*; got {seed}"):
        LinearTasks.at_angle(seed, 5, 0.5)
    tasks = LinearTasks.at_angle(jax.random.key(0), 5, 0.5)
    with pytest.raises(TypeError, match=f"key must be a JAX random key, .*; got {seed}"):
        tasks.sample(seed, 4)


def test_raw_keys_draw_what_typed_ones_do():
    raw, typed = jax.random.PRNGKey(4), jax.random.key(4)
    one, other = (LinearTasks.at_angle(key, 5, 0.5) for key in (raw, typed))
    np.testing.assert_array_equal(one.beta_source, other.beta_source)
    np.testing.assert_array_equal(one.sample(raw, 3)[0], other.sample(typed, 3)[0])


def test_opposite_tasks_in_float32():
    tasks = LinearTasks.at_angle(jax.random.key(0), 50, np.float32(np.pi))
    np.testing.assert_allclose(tasks.beta_source, -tasks.beta_target, atol=1e-6)
    with pytest.raises(ValueError, match=r"theta must be angles in radians, in \[0, pi\]"):
        LinearTasks.at_angle(jax.random.key(0), 50, np.pi + 1e-6)


def test_error_rate_is_the_share_of_wrong_signs(dtype):
    tasks = LinearTasks.at_angle(jax.random.key(0), 20, dtype.type(0.8))
    X, y = tasks.sample(jax.random.key(1), 40_000)
    rate = float(tasks.error_rate(DeepLinear.balanced(3 * tasks.beta_source)))
    wrong = np.asarray(np.sign(X @ tasks.beta_source) != np.sign(y))
    assert abs(wrong.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / 40_000)
    np.testing.assert_allclose(rate, 0.8 / np.pi, rtol=32 * np.finfo(dtype).eps)
    for factor, expected in ((1, 0), (-2, 1), (0, 0.5)):
        network = DeepLinear.balanced(factor * tasks.beta_target)
        assert abs(float(tasks.error_rate(network)) - expected) < 8 * np.finfo(dtype).eps
    with pytest.raises(ValueError, match=r"network must have inputs \(20,\); got \(3,\)"):
        tasks.error_rate(DeepLinear.balanced(jnp.ones(3)))
