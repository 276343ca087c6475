"""What experiments of all families share: streams of random numbers, and errors of means."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from fatelib.sweep import standard_error, stream, with_transferability
from fatelib.sweep.instance import _STREAMS

KEY = jax.random.key(3)


def test_no_two_streams_are_alike():
    keys = [stream(KEY, name, n) for name, n in itertools.product(_STREAMS, (None, 0, 1, 50))]
    keys += [stream(jax.random.key(4), name) for name in _STREAMS]
    assert len({tuple(np.asarray(jax.random.key_data(key))) for key in keys}) == len(keys)


def test_a_stream_does_not_depend_on_whether_n_is_traced():
    traced = jax.jit(lambda n: jax.random.key_data(stream(KEY, "data", n)))(jnp.asarray(50))
    for n in (50, np.int64(50), 50.0, jnp.asarray(50)):
        assert (jax.random.key_data(stream(KEY, "data", n)) == traced).all()


def test_standard_errors_are_those_of_numpy():
    values = np.random.default_rng(0).normal(size=(3, 5))
    found = standard_error(xr.DataArray(values, dims=("theta", "instance")))
    expected = values.std(axis=1, ddof=1) / np.sqrt(5)
    # A mean of five numbers, then squares and their sum: a few roundings of float64.
    np.testing.assert_allclose(found, expected, rtol=20 * np.finfo(float).eps)
    assert found.dims == ("theta",)


def test_one_instance_has_no_standard_error():
    risks = xr.DataArray([[1.0], [2.0]], dims=("theta", "instance"))
    data = with_transferability(xr.Dataset({"risk_scratch": 2 * risks, "risk": risks}))
    assert np.isnan(data.transferability_error).all()
    assert data.transferability.values.tolist() == [[1.0], [2.0]]


def test_what_is_no_result_is_refused():
    numbers = xr.DataArray([1.0, 2.0], dims="theta")
    with pytest.raises(ValueError, match="values must have a dimension 'instance'"):
        standard_error(numbers)
    with pytest.raises(ValueError, match="data must have the variables risk_scratch and risk"):
        with_transferability(xr.Dataset({"risk": numbers}))
    with pytest.raises(ValueError, match="name must be one of"):
        stream(KEY, "nonsense")
