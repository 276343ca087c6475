"""Linear transfer: against simulation, quadrature, and brute-force boundaries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from fatelib import theory


def standard_errors(draws, prediction):
    return abs(draws.mean() - prediction) / (draws.std(ddof=1) / np.sqrt(len(draws)))


def simulated(theta, n, sigma, ridge, draws=10_000):
    """Regress on the learned feature; the rest of the target is independent of it."""
    rng = np.random.default_rng(3)
    feature, other, noise = rng.standard_normal((3, draws, n))
    y = np.cos(theta) * feature + np.sin(theta) * other + sigma * noise
    scale = (feature * y).sum(1) / ((feature**2).sum(1) + n * ridge)
    return np.sin(theta) ** 2 + (scale - np.cos(theta)) ** 2


@pytest.mark.parametrize(("n", "ridge"), [(10, 0.0), (1, 0.5), (3, 0.05), (20, 0.3)])
@pytest.mark.parametrize(("theta", "sigma"), [(0.4, 0.3), (2.0, 0.0)])
def test_risk_is_exact_at_every_size(theta, n, sigma, ridge):
    risk = theory.linear_transfer_risk(theta, n=n, sigma=sigma, ridge=ridge)
    assert standard_errors(simulated(theta, n, sigma, ridge), float(risk)) < 4


def test_risk_of_a_learned_direction_in_full_dimension():
    # The same with data in d dimensions: nothing but the one direction enters.
    d, n, theta, sigma = 12, 15, 1.0, 0.3
    rng = np.random.default_rng(4)
    source = np.eye(d)[0]
    target = np.cos(theta) * source + np.sin(theta) * np.eye(d)[1]
    X = rng.standard_normal((4000, n, d))
    y = X @ target + sigma * rng.standard_normal((4000, n))
    scale = (X @ source * y).sum(1) / ((X @ source) ** 2).sum(1)
    draws = ((scale[:, None] * source - target) ** 2).sum(1)
    risk = float(theory.linear_transfer_risk(theta, n=n, sigma=sigma))
    assert standard_errors(draws, risk) < 4


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000, 10**6])
@pytest.mark.parametrize("ridge", [1e-8, 1e-4, 1e-2, 1.0, 1e3])
def test_quadrature_against_scipy(n, ridge, x64):
    theta, sigma = 0.6, 0.3
    c, v = n * ridge, sigma**2 + np.sin(theta) ** 2

    # The chi-square average over w = log(q / n), wide enough for its tail near 0.
    width = 80 / n + np.sqrt(160 / n)
    w = np.linspace(-width, min(width, 5.0), 100_001)
    q = n * np.exp(w)
    density = np.exp(n / 2 * (w - np.expm1(w)))
    average = ((np.cos(theta) * c) ** 2 + v * q) / (q + c) ** 2
    mean = integrate.trapezoid(density * average, w) / integrate.trapezoid(density, w)
    expected = np.sin(theta) ** 2 + mean
    risk = theory.linear_transfer_risk(theta, n=n, sigma=sigma, ridge=ridge)
    np.testing.assert_allclose(risk, expected, rtol=1e-11)
    single = theory.linear_transfer_risk(np.float32(theta), n=n, sigma=sigma, ridge=ridge)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=2e-6)


def test_many_samples_tend_to_the_limit(x64):
    theta = np.array([0.0, 0.7, 3.0])
    n = np.array([1e2, 1e4, 1e6])[:, None]
    for ridge in (0.0, 0.3):
        limit = theory.linear_transfer_risk(theta[None], ridge=ridge)
        finite = theory.linear_transfer_risk(theta[None], n=n, sigma=0.5, ridge=ridge)
        # The correction is of order 1 / n.
        assert (np.abs(finite - limit) < 3 / n).all()


def test_no_ridge_is_least_squares_on_one_feature(dtype):
    theta = np.array([0.0, 0.5, 2.0, np.pi], dtype)
    risk = theory.linear_transfer_risk(theta, n=10, sigma=0.3)
    expected = theory.least_squares_risk(
        10, 1, residual=np.sin(theta) ** 2, noise=0.3, signal=np.cos(theta) ** 2
    )
    np.testing.assert_allclose(risk, expected, rtol=8 * np.finfo(dtype).eps)
    # Continuous in the ridge.
    close = theory.linear_transfer_risk(theta, n=10, sigma=0.3, ridge=1e-12)
    np.testing.assert_allclose(close, expected, rtol=1e-9 if dtype == np.float64 else 2e-6)
    assert np.isinf(theory.linear_transfer_risk(0.5, n=np.array([1, 2]), sigma=0.3)).all()
    assert np.isfinite(theory.linear_transfer_risk(0.5, n=1, sigma=0.3, ridge=1e-3))


def test_small_ridge_can_help_at_finite_n_only(x64):
    def slope(n):
        return jax.grad(lambda r: theory.linear_transfer_risk(1.0, n=n, sigma=0.5, ridge=r))(0.0)

    n, noise2 = 10.0, 0.5**2 + np.sin(1.0) ** 2
    np.testing.assert_allclose(slope(n), -2 * n * noise2 / ((n - 2) * (n - 4)), rtol=1e-9)
    assert slope(None) == 0


def test_derivatives(derivatives):
    derivatives(
        lambda t, n, s, r: theory.linear_transfer_risk(t, n=n, sigma=s, ridge=r),
        *(0.6, np.array([5.0, 500.0, 30.0]), 0.3, np.array([0.01, 0.3, 0.0])),
    )
    derivatives(lambda t, r: theory.linear_transfer_risk(t, ridge=r), 0.6, 0.2)
    derivatives(
        lambda *a: theory.linear_transferability(*a[:3], source_gamma=a[3], source_sigma=a[4]),
        *(0.5, 0.6, 0.3, np.array([0.5, 1.5]), 0.2),
    )
    derivatives(lambda t, s: sum(theory.negative_transfer_interval(t, s)), 0.9, 0.2)
    derivatives(theory.negative_transfer_onset, 0.9, 0.2)
    derivatives(theory.scratch_boundary, 0.4, 0.2)


def test_no_gradient_is_nan_at_the_edges():
    for theta in (0.0, np.pi / 2, np.pi):
        for sigma in (0.0, 0.2):
            gradients = [
                jax.grad(theory.linear_transferability, (0, 1, 2))(1.0, theta, sigma),
                jax.grad(lambda *a: sum(theory.negative_transfer_interval(*a)), (0, 1))(
                    theta, sigma
                ),
                jax.grad(theory.negative_transfer_onset, (0, 1))(theta, sigma),
                jax.grad(theory.scratch_boundary, (0, 1))(np.sin(theta) ** 2, sigma),
                *(
                    jax.grad(theory.learned_angle, (0, 1, 2))(theta, source_gamma, sigma)
                    for source_gamma in (0.5, 1.0, np.inf)
                ),
            ]
            for leaf in jax.tree.leaves(gradients):
                assert not jnp.isnan(leaf).any()


def roots(function, low, high):
    """Return every sign change on a fine grid, refined: knows nothing of the closed forms."""
    grid = np.linspace(low, high, 2001)
    values = np.asarray(function(grid))
    changes = np.flatnonzero(np.sign(values[1:]) != np.sign(values[:-1]))
    return [optimize.brentq(lambda g: float(function(g)), grid[i], grid[i + 1]) for i in changes]


@pytest.mark.parametrize("theta", [0.3, np.pi / 4, 1.2, 2.3])
@pytest.mark.parametrize("sigma", [0.02, 0.2, 0.6])
def test_boundaries_are_where_the_transferability_changes_sign(theta, sigma, x64):
    def below(gamma):
        return theory.linear_transferability(gamma, theta, sigma)

    interval = [float(end) for end in theory.negative_transfer_interval(theta, sigma)]
    found = roots(below, 1e-3, 1 - 1e-7)
    if np.isnan(interval[0]):
        assert found == []
        assert sigma > 1 - abs(np.cos(theta))
    else:
        np.testing.assert_allclose(found, interval, rtol=1e-9)
        assert below(np.mean(interval)) < 0
    onset = float(theory.negative_transfer_onset(theta, sigma))
    np.testing.assert_allclose(roots(below, 1 + 1e-7, onset + 1), [onset], rtol=1e-9)
    assert below(onset * 1.01) < 0

    def fair(gamma):
        risk = theory.optimal_scratch_risk(gamma, sigma)
        return risk - theory.linear_transfer_risk(theta)

    boundary = float(theory.scratch_boundary(np.sin(theta) ** 2, sigma))
    np.testing.assert_allclose(roots(fair, 1e-3, boundary + 1), [boundary], rtol=1e-9)
    assert fair(boundary / 2) > 0 > fair(boundary * 2)


def test_one_pair_of_tasks_three_signs_in_the_sample_size(x64):
    theta, sigma = np.pi / 4, 0.2
    boundaries = (
        *theory.negative_transfer_interval(theta, sigma),
        theory.negative_transfer_onset(theta, sigma),
    )
    np.testing.assert_allclose(boundaries, [0.549, 0.911, 1.080], atol=5e-4)


def test_limits_of_the_boundaries(dtype):
    theta = np.array([0.2, 1.0, np.pi / 2], dtype)
    low, high = theory.negative_transfer_interval(theta, 0.0)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(high, 1.0, rtol=4 * eps)
    np.testing.assert_allclose(low, np.cos(theta) ** 2, rtol=8 * eps, atol=eps)
    np.testing.assert_allclose(theory.negative_transfer_onset(theta, 0.0), 1.0)
    # Parallel tasks: transfer never loses.
    assert np.isnan(theory.negative_transfer_interval(0.0, 0.0)).all()
    assert np.isinf(theory.negative_transfer_onset(0.0, 0.2))
    assert np.isinf(theory.scratch_boundary(0.0, 0.2))
    assert theory.scratch_boundary(0.0, 0.0) == 1
    assert theory.scratch_boundary(1.0, 0.2) == 0
    # At the edge of existence both ends meet; they are symmetric in theta.
    edge = np.arccos(1 - dtype.type(0.3))
    low, high = theory.negative_transfer_interval(edge * dtype.type(1.0001), 0.3)
    assert 0 <= high - low < 0.05
    assert np.isnan(theory.negative_transfer_interval(edge * dtype.type(0.9999), 0.3)).all()


def test_boundaries_in_float32(x64):
    theta = np.linspace(0.05, np.pi - 0.05, 101, dtype=np.float32)
    sigma = np.float32(1e-3)
    for boundary in (
        lambda *a: jnp.stack(theory.negative_transfer_interval(*a)),
        theory.negative_transfer_onset,
    ):
        single = boundary(theta, sigma)
        assert single.dtype == np.float32
        expected = boundary(theta.astype(float), sigma.astype(float))
        # Next to pi / 2 the cosine itself has an absolute error of float32's rounding.
        np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-12)


def test_transferability_is_the_limit_of_the_exact_difference(x64):
    gamma, theta, sigma, d = np.array([0.4, 1.6]), 0.8, 0.3, 1e6
    exact = theory.least_squares_risk(gamma * d, d, noise=sigma) - theory.linear_transfer_risk(
        theta, n=gamma * d, sigma=sigma
    )
    np.testing.assert_allclose(
        exact, theory.linear_transferability(gamma, theta, sigma), atol=10 / d
    )
    assert np.isposinf(theory.linear_transferability(1.0, 1.5, 0.1))
    np.testing.assert_allclose(
        theory.linear_transferability(1.0, 1.0, 0.0), -(np.sin(1.0) ** 2), rtol=1e-6
    )


@pytest.mark.parametrize("source_gamma", [0.5, 1.5])
def test_a_finite_source_against_simulation(source_gamma):
    d, theta, source_sigma, draws = 100, 0.7, 0.4, 100
    rng = np.random.default_rng(5)
    source = np.eye(d)[0]
    target = np.cos(theta) * source + np.sin(theta) * np.eye(d)[1]
    n = int(source_gamma * d)
    X = rng.standard_normal((draws, n, d))
    y = X @ source + source_sigma * rng.standard_normal((draws, n))
    Xt = X.transpose(0, 2, 1)
    if n < d:
        learned = (Xt @ np.linalg.solve(X @ Xt, y[..., None]))[..., 0]
    else:
        learned = np.linalg.solve(Xt @ X, Xt @ y[..., None])[..., 0]
    norm2 = (learned**2).sum(1)
    risk = 1 - (learned @ target) ** 2 / norm2
    angle = theory.learned_angle(theta, source_gamma, source_sigma)
    # A limit: besides four standard errors an error of order 1 / d.
    errors = stats.sem(np.stack([norm2, learned @ target, risk], 1))
    expected = [
        float(theory.interpolator_norm2(source_gamma, source_sigma)),
        min(1, source_gamma) * np.cos(theta),
        float(theory.linear_transfer_risk(angle)),
    ]
    found = [norm2.mean(), (learned @ target).mean(), risk.mean()]
    assert (np.abs(np.subtract(found, expected)) < 4 * errors + 2 / d).all()


def test_limits_of_the_learned_angle(dtype):
    theta = np.linspace(0, np.pi, 9, dtype=dtype)
    eps = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(theory.learned_angle(theta, np.inf, 0.7), theta, atol=eps)
    np.testing.assert_allclose(theory.learned_angle(theta, 2.0, 0.0), theta, atol=eps)
    np.testing.assert_allclose(theory.learned_angle(theta, 1.0, 0.0), theta, atol=eps)
    # A noisy source at the peak of its own double descent teaches nothing.
    np.testing.assert_allclose(theory.learned_angle(theta, 1.0, 0.1), np.pi / 2, atol=eps)
    less = theory.linear_transferability(0.5, theta, 0.2, source_gamma=0.5)
    assert (less <= theory.linear_transferability(0.5, theta, 0.2) + eps).all()


def test_the_boundary_of_k_features_in_float32(x64):
    residual = np.geomspace(1e-6, 1, 101).astype(np.float32)
    sigma = np.float32(0.2)
    single = theory.scratch_boundary(residual, sigma)
    assert single.dtype == np.float32
    exact = (1 - residual.astype(float)) * (1 + float(sigma) ** 2 / residual)
    np.testing.assert_allclose(single, exact, rtol=8 * np.finfo(np.float32).eps)
    # Shares that sum to one but for rounding miss all of the target.
    assert theory.scratch_boundary(np.nextafter(np.float32(1), np.float32(2)), sigma) == 0
