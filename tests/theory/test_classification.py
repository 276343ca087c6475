"""Classification: error rates against simulation, brute force, and every limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from fatelib import theory
from fatelib.theory.classification import _dawson

SIGN = np.sqrt(2 / np.pi)


def error_rate(beta, target):
    return np.arccos(beta @ target / np.linalg.norm(beta) / np.linalg.norm(target)) / np.pi


def signs(rng, margins, flip):
    """Labels: clean signs of the margins, reversed with probability flip."""
    return np.sign(margins) * np.where(rng.random(margins.shape) < flip, -1, 1)


def disagreement(draws, expected):
    draws = np.asarray(draws)
    return abs(draws.mean() - expected) / (draws.std(ddof=1) / np.sqrt(len(draws)))


def fine_tuned(interpolator, unseen, length, depth):
    """End of the flow, by iterating the fixed point itself; the library solves another form."""
    kappa = 1.0
    for _ in range(300):
        beta = interpolator + kappa * unseen
        kappa = (np.linalg.norm(beta) / length) ** ((depth - 1) / depth)
    return beta


@pytest.mark.parametrize("flip", [0.0, 0.2])
@pytest.mark.parametrize("gamma", [0.25, 0.6, 1.6, 4.0])
def test_scratch_and_fine_tuning_against_simulation(gamma, flip):
    d, theta, draws = 200, 1.2, 40
    rng = np.random.default_rng(round(10 * gamma))
    source, target = np.eye(2, d)
    target = np.cos(theta) * source + np.sin(theta) * target
    anew, tuned = [], {1: [], 2: [], 4: []}
    for _ in range(draws):
        X = rng.standard_normal((round(gamma * d), d))
        y = signs(rng, X @ target, flip)
        both = np.stack([y, X @ source], 1)
        if gamma < 1:
            both = X.T @ np.linalg.solve(X @ X.T, both)
        else:
            both = np.linalg.solve(X.T @ X, X.T @ both)
        interpolator, unseen = both[:, 0], SIGN * (source - both[:, 1])
        anew.append(error_rate(interpolator, target))
        for depth, rates in tuned.items():
            beta = fine_tuned(interpolator, unseen, SIGN, depth)
            rates.append(error_rate(beta, target))
    # The rates are limits of large d; what is left at d = 200 is below a standard error.
    assert disagreement(anew, theory.scratch_error_rate(gamma, flip=flip)) < 4
    for depth, rates in tuned.items():
        expected = theory.fine_tuning_error_rate(gamma, theta, depth=depth, flip=flip)
        assert disagreement(rates, expected) < 4


@pytest.mark.parametrize("n", [1, 2, 5, 12, 50])
@pytest.mark.parametrize(
    ("theta", "flip"), [(0.0, 0.0), (0.0, 0.3), (0.6, 0.1), (1.4, 0.0), (2.5, 0.2)]
)
def test_linear_transfer_is_exact_at_every_size(n, theta, flip):
    rng = np.random.default_rng(n)
    feature, other = rng.standard_normal((2, 40_000, n))
    y = signs(rng, np.cos(theta) * feature + np.sin(theta) * other, flip)
    wrong = ((feature * y).sum(1) < 0).mean()
    expected = theory.linear_transfer_error_rate(theta, n=n, flip=flip)
    # The rate is that of the angle, or one minus it where the coefficient has the wrong sign.
    spread = abs(1 - 2 * theta / np.pi) * np.sqrt(max(wrong * (1 - wrong), 1 / 40_000) / 40_000)
    rate = theta / np.pi + (1 - 2 * theta / np.pi) * wrong
    assert abs(rate - expected) < 4 * spread + 1e-6


def test_linear_transfer_by_brute_force(dtype):
    """One sample: the sign is that of one label. At angle 0 of two the larger decides."""
    theta = np.linspace(0, np.pi, 9, dtype=dtype)
    close = {"atol": 400 * np.finfo(dtype).eps}
    for flip in (0.0, 0.1, 0.4):
        one = (1 - flip) * theta / np.pi + flip * (1 - theta / np.pi)
        expected = theta / np.pi + (1 - 2 * theta / np.pi) * one
        found = theory.linear_transfer_error_rate(theta, n=1, flip=flip)
        np.testing.assert_allclose(found, expected, **close)
        two = theory.linear_transfer_error_rate(dtype.type(0), n=2, flip=flip)
        np.testing.assert_allclose(two, flip, **close)
    assert abs(theory.linear_transfer_error_rate(theta, n=7)[0]) < close["atol"]
    np.testing.assert_allclose(theory.linear_transfer_error_rate(dtype.type(np.pi / 2), n=7), 0.5)


def test_many_samples_tend_to_the_normal_law_and_to_the_limit(dtype):
    theta = np.linspace(0, np.pi, 13, dtype=dtype)
    c = SIGN * 0.4 * np.cos(theta)
    for n in (1e3, 1e5, 1e9):
        wrong = stats.norm.cdf(-np.sqrt(n) * c / np.sqrt(1 - c**2))
        normal = theta / np.pi + (1 - 2 * theta / np.pi) * wrong
        found = theory.linear_transfer_error_rate(theta, n=n, flip=0.3)
        # The law of the sum is normal up to the third moment over the root of n.
        np.testing.assert_allclose(found, normal, atol=0.1 / n + 400 * np.finfo(dtype).eps)
    limit = theory.linear_transfer_error_rate(theta, flip=0.3)
    np.testing.assert_allclose(found, limit, atol=400 * np.finfo(dtype).eps)
    np.testing.assert_allclose(
        limit, np.minimum(theta, np.pi - theta) / np.pi, atol=4 * np.finfo(dtype).eps
    )


def test_dawson_function(dtype):
    x = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 400), [7.99, 8.0, 8.01]]).astype(dtype)
    for sign in (1, -1):
        found = _dawson(jnp.asarray(sign * x))
        np.testing.assert_allclose(
            found, special.dawsn(sign * x.astype(float)), rtol=64 * np.finfo(dtype).eps
        )


def test_limits_of_scratch(dtype):
    eps = np.finfo(dtype).eps
    gamma = np.array([1e-20, 1e-6, 0.3, 0.99, 1.0, 1.01, 5.0, 1e6, 1e30], dtype)
    for flip in (0.0, 0.3, 0.499):
        rate = np.asarray(theory.scratch_error_rate(gamma, flip=flip))
        c = SIGN * (1 - 2 * flip)
        exact = gamma.astype(float)
        with np.errstate(divide="ignore"):
            noise = (1 / c**2 - 1) / abs(1 - exact)
        tangent2 = np.where(exact < 1, (1 - exact + noise) / exact, noise)
        np.testing.assert_allclose(rate, np.arctan(np.sqrt(tangent2)) / np.pi, rtol=2000 * eps)
    assert theory.scratch_error_rate(dtype.type(1.0)) == 0.5
    # Regression on a target of norm c with noise of variance 1 - c^2.
    sigma = np.sqrt(1 / SIGN**2 - 1)
    angle = theory.learned_angle(0.0, gamma[2:7], sigma)
    rate = theory.scratch_error_rate(gamma[2:7])
    np.testing.assert_allclose(rate, angle / np.pi, rtol=64 * eps)


def test_limits_of_fine_tuning(dtype):
    eps = np.finfo(dtype).eps
    theta = np.linspace(0, np.pi, 7, dtype=dtype)
    # Without samples the source answers; from gamma = 1 on the samples alone.
    few = theory.fine_tuning_error_rate(dtype.type(1e-36), theta)
    np.testing.assert_allclose(few, theta / np.pi, atol=8 * eps)
    gamma = np.array([[1.0], [1.5], [1e9]], dtype)
    many = theory.fine_tuning_error_rate(gamma, theta[None], flip=0.1)
    np.testing.assert_array_equal(
        many, np.broadcast_to(theory.scratch_error_rate(gamma, flip=0.1), (3, 7))
    )
    for depth in (1, 2, jnp.inf):
        near = theory.fine_tuning_error_rate(1 - np.asarray(eps, dtype), theta, depth=depth)
        np.testing.assert_allclose(near, 0.5, atol=2 * eps**0.25)
    # Labels that say next to nothing leave the source with noise in the span: 90 degrees away
    # it is chance, and with it as good as the source's share of the vector.
    noise = theory.fine_tuning_error_rate(dtype.type(0.5), np.pi / 2, flip=0.5 - eps)
    np.testing.assert_allclose(noise, 0.5, atol=8 * eps)
    scale = theory.fine_tuning_scale_from_norms(1.0, SIGN**2, SIGN**2 / 2)
    tangent2 = (1 + 0.25 * (SIGN * scale) ** 2) / (0.5 * SIGN * scale) ** 2
    aligned = theory.fine_tuning_error_rate(dtype.type(0.5), 0.0, flip=0.5 - eps)
    np.testing.assert_allclose(aligned, np.arctan(np.sqrt(tangent2)) / np.pi, rtol=2e-6)


@pytest.mark.parametrize("flip", [0.0, 0.3, 0.49])
@pytest.mark.parametrize("depth", [1, 2, 5, np.inf])
def test_the_break_even_angle_is_where_the_rates_are_equal(depth, flip, x64):
    gamma = np.array([1e-6, 0.05, 0.5, 0.9, 1 - 1e-6])
    options = {"depth": depth, "flip": flip}
    angle = theory.fine_tuning_error_break_even(gamma, **options)
    anew = theory.scratch_error_rate(gamma, flip=flip)
    tuned = theory.fine_tuning_error_rate(gamma, angle, **options)
    np.testing.assert_allclose(tuned, anew, rtol=1e-13)
    assert (theory.fine_tuning_error_rate(gamma, angle - 0.01, **options) < anew).all()
    assert (theory.fine_tuning_error_rate(gamma, angle + 0.01, **options) > anew).all()


def test_the_break_even_angle_is_beyond_that_of_regression(x64):
    gamma = np.linspace(0.001, 0.999, 999)
    lowest = {2: 76, np.inf: 73}
    for depth, degrees in lowest.items():
        angle = np.degrees(theory.fine_tuning_error_break_even(gamma, depth=depth))
        assert degrees < angle.min() < degrees + 1
        flipped = np.degrees(theory.fine_tuning_error_break_even(gamma, depth=depth, flip=0.1))
        assert (flipped > angle).all()
    assert np.isnan(theory.fine_tuning_error_break_even(np.array([1.0, 2.0]))).all()


def test_derivatives(derivatives):
    gamma, flip = np.array([0.3, 0.9, 1.5, 40.0]), np.array([0.05, 0.1, 0.3, 0.45])
    derivatives(lambda g, f: theory.scratch_error_rate(g, flip=f), gamma, flip)
    derivatives(
        lambda t, n, f: theory.linear_transfer_error_rate(t, n=n, flip=f),
        *(np.array([0.1, 0.7, 1.4, 2.0]), np.array([1.5, 3.0, 20.0, 300.0]), flip),
    )
    depth = np.array([2.0, 1.3, 4.0, 100.0])
    derivatives(
        lambda g, t, L, f: theory.fine_tuning_error_rate(g, t, depth=L, flip=f),
        *(gamma, 0.7, depth, flip),
    )
    derivatives(
        lambda g, L, f: theory.fine_tuning_error_break_even(g, depth=L, flip=f),
        *(np.array([0.02, 0.3, 0.6, 0.9]), depth, flip),
    )


def test_no_gradient_is_nan_at_the_edges(dtype):
    scratch = jax.grad(lambda g, f: theory.scratch_error_rate(g, flip=f), (0, 1))
    transfer = jax.grad(
        lambda t, n, f: theory.linear_transfer_error_rate(t, n=n, flip=f), (0, 1, 2)
    )
    limit = jax.grad(lambda t, f: theory.linear_transfer_error_rate(t, flip=f), (0, 1))
    tuned = jax.grad(
        lambda g, t, L, f: theory.fine_tuning_error_rate(g, t, depth=L, flip=f), (0, 1, 2, 3)
    )
    angle = jax.grad(
        lambda g, L, f: theory.fine_tuning_error_break_even(g, depth=L, flip=f), (0, 1, 2)
    )
    found = []
    for flip in map(dtype.type, (0.0, 0.3, 0.5 - np.finfo(dtype).eps)):
        for gamma in map(dtype.type, (1e-6, 0.5, 1.0, 2.0, 1e9)):
            found.append(scratch(gamma, flip))
            for theta in map(dtype.type, (0.0, np.pi / 2, np.pi)):
                for depth in map(dtype.type, (1, 2, np.inf)):
                    found.append(tuned(gamma, theta, depth, flip))
            found.append(angle(gamma, dtype.type(2), flip) if gamma < 1 else 0.0)
        for theta in map(dtype.type, (0.0, 0.4, np.pi / 2, np.pi)):
            found.append(limit(theta, flip))
            found.extend(transfer(theta, dtype.type(n), flip) for n in (1, 4, 1e3, 1e9))
    for leaf in jax.tree.leaves(found):
        assert not np.isnan(leaf).any()
