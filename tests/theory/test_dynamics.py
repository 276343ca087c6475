"""Pretraining in time: against the differential equation and its known solutions."""

import jax
import numpy as np
import pytest
from scipy import integrate

from fatelib import theory


@pytest.mark.parametrize("depth", [1, 1.3, 2, 3, 4, 10, 50])
@pytest.mark.parametrize("initial", [1e-4, 0.3])
def test_strength_solves_the_differential_equation(depth, initial, x64):
    end = float(theory.escape_time(initial, 0.999, depth=depth))
    time = np.linspace(0, 1.2 * end, 25)
    solution = integrate.solve_ivp(
        lambda t, s: 2 * depth * s ** (2 - 2 / depth) * (1 - s),
        (0, time[-1]),
        [initial],
        t_eval=time,
        method="LSODA",
        rtol=1e-10,
        atol=1e-14,
    )
    strength = theory.aligned_strength(time, initial, depth=depth)
    # The rise amplifies the solver's error by the ratio of plateau to rise.
    np.testing.assert_allclose(strength, solution.y[0], rtol=1e-5)
    rate = jax.vmap(jax.grad(lambda t: theory.aligned_strength(t, initial, depth=depth)))(time)
    expected = theory.strength_growth_rate(strength, depth=depth)
    np.testing.assert_allclose(rate, expected, rtol=1e-8, atol=1e-12)


def test_one_layer_and_two_layers_are_elementary(dtype):
    time = np.linspace(0, 6, 40, dtype=dtype)
    close = {"rtol": 64 * np.finfo(dtype).eps, "atol": np.finfo(dtype).eps}
    initial = dtype.type(1e-3)
    one = theory.aligned_strength(time, initial, depth=1)
    np.testing.assert_allclose(one, 1 - (1 - initial) * np.exp(-2 * time), **close)
    two = theory.aligned_strength(time, initial, depth=2)
    np.testing.assert_allclose(two, 1 / (1 + (1 / initial - 1) * np.exp(-4 * time)), **close)
    escape = theory.escape_time(initial, depth=2)
    np.testing.assert_allclose(escape, np.log(1 / initial - 1) / 4, **close)


@pytest.mark.parametrize("depth", [1, 2, 3, 10])
@pytest.mark.parametrize("initial", [1e-12, 1e-3, 0.2])
def test_escape_time_inverts_the_strength(depth, initial, x64):
    level = np.array([0.2, 0.5, 0.9, 0.999])
    time = theory.escape_time(initial, level, depth=depth)
    assert (np.diff(time) > 0).all()
    # The rise is resolved as finely as float64 resolves the plateau before it.
    plateau = float(time[0]) * depth
    np.testing.assert_allclose(
        theory.aligned_strength(time, initial, depth=depth), level, rtol=1e-13 * (10 + plateau)
    )
    earlier = theory.escape_time(0.2, 0.1, depth=depth)
    np.testing.assert_allclose(earlier, -theory.escape_time(0.1, 0.2, depth=depth), rtol=1e-12)


def test_plateau_is_a_logarithm_for_two_layers_and_a_power_beyond(x64):
    initial = np.array([1e-8, 1e-16])
    two = np.asarray(theory.escape_time(initial, depth=2))
    np.testing.assert_allclose(two, np.log(1 / initial) / 4, rtol=1e-6)
    four = np.asarray(theory.escape_time(initial, depth=4))
    np.testing.assert_allclose(four, initial**-0.5 / 4, rtol=5e-3)


def test_strength_stays_between_start_and_one():
    time = np.array([0.0, 1e-6, 1.0, 1e3, 1e9], np.float32)
    for depth in (1, 2, 3, 100):
        strength = np.asarray(theory.aligned_strength(time, 0.01, depth=depth))
        assert (np.diff(strength) >= 0).all()
        np.testing.assert_allclose(strength[0], 0.01, rtol=1e-6)
        assert strength[-1] == 1


def test_no_gradient_is_nan_at_the_edges():
    gradient = jax.grad(lambda *a: theory.aligned_strength(*a[:2], depth=a[2]), (0, 1, 2))
    for time in (0.0, 1e6):
        for depth in (1.0, 2.0, 3.0):
            assert np.isfinite(gradient(time, 0.01, depth)).all()
    rate = jax.grad(lambda s, L: theory.strength_growth_rate(s, depth=L), (0, 1))
    for depth in (1.0, 2.0, 3.0):
        assert np.isfinite(rate(0.0, depth)).all()


def test_derivatives(derivatives):
    depth = np.array([1.2, 2.0, 3.5])
    derivatives(lambda t, s, L: theory.aligned_strength(t, s, depth=L), 0.7, 0.05, depth)
    derivatives(lambda s, v, L: theory.escape_time(s, v, depth=L), 0.05, 0.6, depth)
    derivatives(lambda s, L: theory.strength_growth_rate(s, depth=L), 0.4, depth)


@pytest.mark.parametrize("depth", [2, 3])
def test_a_balanced_network_follows_the_curve(depth):
    # Population gradient descent of a chain of scalars: the aligned direction alone.
    alpha, learning_rate = 0.1, 1e-4
    weights = np.full(depth, alpha)
    times, strengths = [], []
    for step in range(40_000):
        strength = weights.prod()
        if step % 4000 == 0:
            times.append(learning_rate * step)
            strengths.append(strength)
        weights = weights + learning_rate * 2 * (1 - strength) * strength / weights
    expected = theory.aligned_strength(np.array(times), alpha**depth, depth=depth)
    # Euler's method: an error proportional to the learning rate.
    np.testing.assert_allclose(strengths, expected, atol=20 * learning_rate, rtol=1e-2)
