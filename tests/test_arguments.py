"""One check and one promotion serve every public function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

try:
    enable_x64 = jax.enable_x64
except AttributeError:  # JAX before 0.8
    from jax.experimental import enable_x64

from fatelib.arguments import (
    ANGLE,
    AT_LEAST_0,
    broadcast_floats,
    check,
    check_choice,
    check_count,
    check_key,
    float_type,
    read_samples,
)


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
        with pytest.raises(ValueError, match=r"theta must be angles in radians, in \[0, pi\]; got"):
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


def test_shapes_are_checked_inside_compiled_functions_too():
    def double(sigma):
        check("sigma", sigma, *AT_LEAST_0, shape=())
        return 2 * sigma

    assert jax.jit(double)(-1.0) == -2  # no value yet, so none is refused
    with pytest.raises(ValueError, match=r"sigma must be one number; got shape \(2,\)"):
        jax.jit(double)(jnp.ones(2))


def test_what_the_type_cannot_hold_is_no_number(x64):
    check("n", 1e39, np.isfinite, "finite")
    with enable_x64(False), pytest.raises(ValueError, match=r"n must be finite; got 1e\+39"):
        check("n", 1e39, np.isfinite, "finite")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "n must be an integer >= 1; got 0"),
        (2**31, r"n must be below 2\^31; got 2147483648"),
        ([3, 3], r"n must be one number; got shape \(2,\)"),
        (np.inf, "n must be an integer >= 1; got inf"),
    ],
)
def test_counts(value, message):
    check_count("n", 2.0**31 - 1)
    with pytest.raises(ValueError, match=message):
        check_count("n", value)


@pytest.mark.parametrize("value", ["c", 3, None, ["a"], np.zeros(2)])
def test_choices(value):
    check_choice("engine", "a", ("a", "b"))
    with pytest.raises(ValueError, match="engine must be 'a' or 'b'; got"):
        check_choice("engine", value, ("a", "b"))
    with pytest.raises(ValueError, match=r"engine must be one of \('1', '2', '3', '4'\); got"):
        check_choice("engine", value, tuple("1234"))


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones((4, 2)), np.ones(4), r"X must be \(n, 3\), a sample in each row; got \(4, 2\)"),
        (np.ones(3), np.ones(1), r"X must be \(n, 3\), .*; got \(3,\)"),
        (np.ones((0, 3)), np.ones(0), r"X must be \(n, 3\), .*; got \(0, 3\)"),
        (np.ones((4, 3)), np.ones((4, 1)), r"y must be \(4,\), a label for each row of X; got \(4"),
        (np.ones((4, 3)), [1, np.nan, 1, 1], "y must be finite; got nan"),
    ],
)
def test_data_sets(X, y, message):
    read_samples([[1, 2, 3]], [1], 3)
    with pytest.raises(ValueError, match=message):
        read_samples(X, y, 3)


def test_half_precision_is_raised(x64):
    assert float_type(np.float16(1), 2) == float_type(jnp.ones(1, jnp.bfloat16)) == np.float32
    assert float_type([1.0], np.float32(1)) == float_type(np.ones(1)) == np.float64
