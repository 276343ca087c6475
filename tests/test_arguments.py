"""One check and one promotion serve every public function."""

import jax.numpy as jnp
import numpy as np
import pytest

from fatelib.arguments import broadcast_floats, check


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
