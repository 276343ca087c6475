import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fatelib.linear import DeepLinear, alignment, effective_rank, truncate


@settings(max_examples=8, deadline=None)
@given(depth=st.integers(1, 5), d=st.integers(1, 6), width=st.integers(1, 6))
def test_the_network_is_the_product_of_its_weights(depth, d, width):
    width = None if depth == 1 else width
    network = DeepLinear.init(jax.random.key(depth), d, depth, width, scale=1.0)
    matrices = [np.asarray(weight, float) for weight in network.weights]
    beta = np.linalg.multi_dot([np.eye(d), *matrices])[:, 0]
    features = np.linalg.multi_dot([np.eye(d), np.eye(d), *matrices[:-1]])
    x = np.linspace(-1, 1, d, dtype=np.float32)
    rounding = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(network.end_to_end(), beta, **rounding)
    np.testing.assert_allclose(network(jnp.asarray(x)), x @ beta, **rounding)
    np.testing.assert_allclose(network.feature_map(), features, **rounding)
    assert network.depth == depth
    assert [D.shape for D in network.balancedness()] == [(width, width)] * (depth - 1)


def test_initial_scale():
    network = DeepLinear.init(jax.random.key(0), 300, depth=3, width=200, scale=1e-3)
    # The spread of a sample of m normals is known to 1 / sqrt(2 m): five standard errors.
    for weight, spread in zip(network.weights, (300**-0.5, 200**-0.5, 1.0), strict=True):
        np.testing.assert_allclose(
            jnp.std(weight), 1e-3 * spread, rtol=5 / np.sqrt(2 * weight.size)
        )


def test_init_follows_the_dtype_of_the_scale(dtype):
    network = DeepLinear.init(jax.random.key(0), 4, scale=dtype.type(0.1))
    assert {weight.dtype for weight in network.weights} == {dtype}


def test_balanced_network_is_balanced():
    u = jnp.eye(5)[:, :1]
    network = DeepLinear((u @ u.T, u @ u.T, u))
    for D in network.balancedness():
        np.testing.assert_allclose(D, 0, atol=1e-7)
    assert jnp.abs(DeepLinear((u @ u.T, 2 * u)).balancedness()[0]).max() == pytest.approx(3.0)


def test_effective_rank():
    assert effective_rank(jnp.eye(7)) == pytest.approx(7, rel=1e-5)
    assert effective_rank(jnp.ones((4, 9))) == pytest.approx(1, rel=1e-5)
    two = effective_rank(jnp.diag(jnp.array([3.0, 1.0, 0.0])))
    assert two == pytest.approx(4 / 3**0.75, rel=1e-5)  # shares 3/4 and 1/4
    assert effective_rank(1e-20 * jnp.eye(3)) == pytest.approx(3, rel=1e-5)
    assert jnp.isnan(effective_rank(jnp.zeros((3, 3))))


def test_alignment():
    v = jnp.array([[0.6, 0.0, 0.8]])
    network = DeepLinear((jnp.array([[3.0], [4.0]]) @ v, v.T))
    assert alignment(network, jnp.array([3.0, 4.0])) == pytest.approx(1)
    assert alignment(network, jnp.array([4.0, -3.0])) == pytest.approx(0, abs=1e-6)
    assert alignment(network, jnp.array([0.5, 0.0])) == pytest.approx(0.36)
    tiny = DeepLinear((1e-25 * network.weights[0], v.T))
    assert alignment(tiny, jnp.array([1.0, 0.0])) == pytest.approx(0.36)


def test_truncation():
    left = jax.random.normal(jax.random.key(0), (6, 2))
    right = jax.random.normal(jax.random.key(1), (2, 5))
    last = jax.random.normal(jax.random.key(2), (5, 1))
    network = DeepLinear((left @ right, last))
    small = truncate(network, 2)
    np.testing.assert_allclose(small.end_to_end(), network.end_to_end(), rtol=1e-4, atol=1e-5)
    # Same features up to a rotation: same Gram matrix of the inputs.
    F, G = network.feature_map(), small.feature_map()
    np.testing.assert_allclose(F @ F.T, G @ G.T, rtol=1e-4, atol=1e-5)
    U, S, _ = np.linalg.svd(F)
    np.testing.assert_allclose(
        np.abs(truncate(network, 1).weights[0][:, 0]), S[0] * np.abs(U[:, 0]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d": 0}, "d must be an integer >= 1; got 0"),
        ({"depth": 0}, "depth must be an integer >= 1; got 0"),
        ({"width": 0}, "width must be an integer >= 1; got 0"),
        ({"scale": -1.0}, "scale must be a number >= 0; got -1.0"),
    ],
)
def test_impossible_networks(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeepLinear.init(jax.random.key(0), **{"d": 3, **arguments})


def test_weights_that_do_not_chain():
    with pytest.raises(ValueError, match=r"whose product is a column; got shapes \[\(3, 2\)"):
        DeepLinear((jnp.ones((3, 2)), jnp.ones((3, 1))))
    with pytest.raises(ValueError, match="rank must be an integer from 1 to 3; got 4"):
        truncate(DeepLinear.init(jax.random.key(0), 3), 4)
