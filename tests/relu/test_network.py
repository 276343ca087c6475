import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib.relu import ReluNetwork, distance2


def test_outputs_and_features():
    rng = np.random.default_rng(0)
    W, c, X = rng.normal(size=(6, 4)), rng.normal(size=6), rng.normal(size=(9, 4))
    network = ReluNetwork(jnp.asarray(W), jnp.asarray(c))
    features = np.maximum(X @ W.T, 0)
    np.testing.assert_allclose(network.features(jnp.asarray(X)), features, atol=1e-5)
    outputs = jax.vmap(network)(jnp.asarray(X))
    np.testing.assert_allclose(outputs, features @ c / 6, atol=1e-5)


def test_initial_weights(dtype):
    network = ReluNetwork.init(jax.random.key(0), 5, 400, scale=dtype.type(0.3), output=2.0)
    assert network.W.dtype == network.c.dtype == dtype
    np.testing.assert_allclose(jnp.linalg.norm(network.W, axis=1), 0.3, rtol=1e-5)
    np.testing.assert_array_equal(network.c, 2)
    # Uniform on the sphere: each coordinate has mean 0 and variance 0.09 / 5.
    error = 0.3 / np.sqrt(5 * 400)
    assert jnp.abs(network.W.mean(axis=0)).max() < 5 * error


def test_distance_is_the_mean_squared_difference():
    rng = np.random.default_rng(1)
    f, g = (
        ReluNetwork(jnp.asarray(rng.normal(size=(m, 4))), jnp.asarray(rng.normal(size=m)))
        for m in (6, 3)
    )
    X = rng.normal(size=(1_000_000, 4))
    outputs = [np.maximum(X @ np.asarray(h.W).T, 0) @ np.asarray(h.c) / len(h.c) for h in (f, g)]
    draws = (outputs[0] - outputs[1]) ** 2
    assert abs(distance2(f, g) - draws.mean()) < 4 * draws.std() / np.sqrt(len(draws))
    # Not the weights but the functions count: a neuron split in two is the same function.
    split = ReluNetwork(jnp.concatenate([f.W, f.W]), jnp.concatenate([f.c, f.c]))
    assert distance2(f, split) < 1e-6 * distance2(f, ReluNetwork(f.W, 0 * f.c))


def test_impossible_networks():
    with pytest.raises(
        ValueError, match=r"W must be .* and c \(m,\), not empty; got \(3, 2\) and \(2,"
    ):
        ReluNetwork(jnp.ones((3, 2)), jnp.ones(2))
    with pytest.raises(ValueError, match=r"not empty; got \(0, 2\) and \(0,"):
        ReluNetwork(jnp.ones((0, 2)), jnp.ones(0))
    with pytest.raises(ValueError, match="width must be an integer >= 1; got 0"):
        ReluNetwork.init(jax.random.key(0), 2, 0)
    with pytest.raises(ValueError, match="scale must be a number >= 0; got -1"):
        ReluNetwork.init(jax.random.key(0), 2, 2, scale=-1.0)
    with pytest.raises(TypeError, match="key must be a JAX random key"):
        ReluNetwork.init(3, 2, 2)
    network = ReluNetwork(jnp.ones((3, 2)), jnp.ones(3))
    with pytest.raises(ValueError, match=r"x must be one input \(2,\); for a batch"):
        network(jnp.ones((5, 2)))
    with pytest.raises(ValueError, match="f and g must have inputs of one dimension; got 2 and 1"):
        distance2(network, ReluNetwork(jnp.ones((3, 1)), jnp.ones(3)))
