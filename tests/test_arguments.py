"""One check and one promotion serve every public function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib.arguments import ANGLE, broadcast_floats, check, check_key


@pytest.mark.parametrize("value", ["0.2", ["a"], None, {"sigma": 1}, 1j])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match="sigma must be a number >= 0; got"):
        check("sigma", value, lambda s: s >= 0, "a number >= 0")


@pytest.mark.parametrize("value", [-1.0, np.nan, [0.1, -0.1]])
def test_what_is_out_of_range_is_a_value_error(value):
    with pytest.raises(ValueError, match="sigma must be a number >= 0; got"):
        check("sigma", value, lambda s: s >= 0, "a number >= 0")


def test_lists_broadcast_like_arrays():
    a, b = broadcast_floats([1, 2, 3], 0.5)
    assert a.shape == b.shape == (3,)
    assert a.dtype == b.dtype == jnp.zeros(()).dtype


def test_pi_is_an_angle_in_either_precision():
    for angle in (0, np.pi, np.float32(np.pi), [0.0, 1.0]):
        check("theta", angle, *ANGLE)
    just_above = np.nextafter(np.float32(np.pi), np.float32(4))
    for angle in (just_above, -1e-9, np.nan):
        with pytest.raises(ValueError, match=r"theta must be an angle in \[0, pi\]; got"):
            check("theta", angle, *ANGLE)


def test_keys_of_either_kind():
    for key in (jax.random.key(0), jax.random.PRNGKey(0), np.array([0, 7], np.uint32)):
        check_key("key", key)
        jax.random.normal(key)  # JAX agrees
    check_key("key", jax.random.key(0, impl="rbg"))
    check_key("key", jax.random.PRNGKey(0, impl="rbg"))


def test_traced_keys_pass():
    def draw(key):
        check_key("key", key)
        return jax.random.normal(key)

    assert jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 3)).shape == (3,)
    jax.vmap(draw)(jax.random.split(jax.random.PRNGKey(0), 3))


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (3, "3"),
        (None, "None"),
        ("seed", "'seed'"),
        (jnp.asarray(3), r"an array of shape \(\) and dtype int32"),
        (jnp.zeros(2), r"an array of shape \(2,\) and dtype float32"),
    ],
)
def test_what_is_no_key(value, got):
    message = rf"^rng must be a JAX random key, e\.g\. jax\.random\.key\(0\); got {got}"
    with pytest.raises(TypeError, match=message):
        check_key("rng", value)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_a_batch_of_keys_is_not_a_key(make):
    with pytest.raises(TypeError, match=r"key must be a JAX random key.*got .*\(3"):
        check_key("key", jax.random.split(make(0), 3))
