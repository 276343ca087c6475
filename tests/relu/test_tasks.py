import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib.relu import ReluTasks


@pytest.mark.parametrize("outputs", ["ones", "sign", "gaussian"])
def test_a_relu_source_is_part_of_its_target(outputs):
    key = jax.random.key(0)
    draw = jax.vmap(lambda mu: ReluTasks.ablated(key, 6, 10, mu, sigma=0.5, outputs=outputs))
    tasks = draw(jnp.array([0.0, 0.3, 1.0]))
    W, c = np.asarray(tasks.target.W), np.asarray(tasks.target.c)
    np.testing.assert_allclose(np.linalg.norm(W, axis=2), 1, rtol=1e-5)
    np.testing.assert_array_equal(W[0], W[1])
    for source, removed in zip(np.asarray(tasks.source.W), (0, 3, 10), strict=True):
        np.testing.assert_array_equal(source[: 10 - removed], W[0][: 10 - removed])
        assert (source[10 - removed :] == 0).all()
    if outputs == "gaussian":
        assert len(np.unique(c[0])) == 10
    else:
        assert set(c[0].tolist()) == ({1.0} if outputs == "ones" else {-1.0, 1.0})


def test_relu_samples_follow_their_teacher():
    tasks = ReluTasks.ablated(jax.random.key(0), 6, 10, 0.5, sigma=0.3)
    n = 10_000
    X, y = tasks.sample(jax.random.key(1), n, source=True)
    residual = y - jax.vmap(tasks.source)(X)
    # Five standard errors of the spread of n normals.
    assert float(jnp.std(residual)) == pytest.approx(0.3, rel=5 / np.sqrt(2 * n))
    squares = np.asarray(jax.vmap(tasks.source)(X) - jax.vmap(tasks.target)(X)) ** 2
    assert abs(tasks.risk(tasks.source) - squares.mean()) < 5 * squares.std() / np.sqrt(n)
    assert tasks.risk(tasks.target) < 1e-6


def test_impossible_relu_tasks():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"fraction must be a number in \[0, 1\]; got 1.5"):
        ReluTasks.ablated(key, 6, 10, 1.5)
    with pytest.raises(ValueError, match="outputs must be 'ones', 'sign' or 'gaussian'; got 'two'"):
        ReluTasks.ablated(key, 6, 10, 0.5, outputs="two")
    with pytest.raises(ValueError, match="width must be an integer >= 1; got 0"):
        ReluTasks.ablated(key, 6, 0, 0.5)
    with pytest.raises(ValueError, match="n must be an integer >= 1; got 0"):
        ReluTasks.ablated(key, 6, 10, 0.5).sample(key, 0)
    tasks, other = (ReluTasks.ablated(key, d, 10, 0.5) for d in (6, 7))
    with pytest.raises(ValueError, match=r"must take the same inputs; got d = \[6, 7\]"):
        ReluTasks(tasks.source, other.target, tasks.sigma)
