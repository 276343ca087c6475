"""The risk of least squares: against simulation, limits, and one formula against another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib import theory


def simulated(n, eigenvalues, coefficients2, *, residual, noise, ridge, draws, seed=0):
    """Risks of ridge regression (minimum norm without ridge) on independent data sets."""
    rng = np.random.default_rng(seed)
    k = len(eigenvalues)
    scale = np.sqrt(eigenvalues)
    target = rng.choice([-1.0, 1.0], k) * np.sqrt(coefficients2)  # on the orthonormal features
    Z = rng.standard_normal((draws, n, k))
    y = Z @ target + np.hypot(noise, np.sqrt(residual)) * rng.standard_normal((draws, n))
    X = Z * scale
    Xt = X.transpose(0, 2, 1)
    if n < k:
        kernel = X @ Xt + n * ridge * np.eye(n)
        fitted = (Xt @ np.linalg.solve(kernel, y[..., None]))[..., 0]
    else:
        gram = Xt @ X + n * ridge * np.eye(k)
        fitted = np.linalg.solve(gram, Xt @ y[..., None])[..., 0]
    return residual + ((fitted * scale - target) ** 2).sum(-1)


def deviation(draws, prediction, relative=0.0):
    """Return how many standard errors the mean is off, after an allowed relative bias."""
    error = abs(draws.mean() - prediction) - relative * prediction
    return max(error, 0.0) / (draws.std(ddof=1) / np.sqrt(len(draws)))


@pytest.mark.parametrize(
    ("n", "k", "residual", "noise"),
    [(30, 12, 0.0, 0.5), (30, 12, 0.4, 0.0), (14, 1, 0.3, 0.2), (12, 30, 0.2, 0.5), (8, 30, 0, 0)],
)
def test_least_squares_is_exact_at_every_size(n, k, residual, noise):
    coefficients2 = np.full(k, 0.7 / k)
    draws = simulated(
        n, np.ones(k), coefficients2, residual=residual, noise=noise, ridge=0, draws=2000
    )
    risk = theory.least_squares_risk(n, k, residual=residual, noise=noise, signal=0.7)
    assert deviation(draws, float(risk)) < 4


@pytest.mark.parametrize("n", [15, 40, 120])
@pytest.mark.parametrize("ridge", [0.0, 1e-3, 1e-1])
def test_ridge_risk_predicts_power_law_spectra(n, ridge):
    eigenvalues = np.arange(1, 61.0) ** -1.5
    coefficients2 = np.arange(1, 61.0) ** -1.2
    settings = {"residual": 0.05, "noise": 0.3, "ridge": ridge}
    draws = simulated(n, eigenvalues, coefficients2, draws=300, **settings)
    risk = theory.ridge_risk(n, jnp.asarray(eigenvalues), jnp.asarray(coefficients2), **settings)
    # A deterministic equivalent: 3 % for the finite size, then four standard errors.
    assert deviation(draws, float(risk), relative=0.03) < 4


@pytest.mark.parametrize("gamma", [0.3, 0.9, 1.5])
@pytest.mark.parametrize("distance2", [1.0, 0.25, 3.0])
def test_regularised_risk_is_what_the_best_ridge_reaches(gamma, distance2, dtype):
    # The posterior mean: ridge toward the prior mean with n * ridge = sigma^2 d / distance2.
    sigma, d = 0.6, 200
    ones = np.ones(d, dtype)
    ridge = sigma**2 / (gamma * distance2)
    reached = theory.ridge_risk(gamma * d, ones, ones * (distance2 / d), noise=sigma, ridge=ridge)
    best = theory.regularised_risk(dtype.type(gamma), sigma, distance2)
    np.testing.assert_allclose(reached, best, rtol=20 * np.finfo(dtype).eps)
    around = ridge * np.array([0.8, 1.25], dtype)
    worse = theory.ridge_risk(gamma * d, ones, ones * (distance2 / d), noise=sigma, ridge=around)
    assert (worse > best).all()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.5])
def test_regularised_risk_against_simulation(gamma):
    sigma, d, distance2 = 0.8, 100, 0.6
    draws = simulated(
        int(gamma * d),
        np.ones(d),
        np.full(d, distance2 / d),
        residual=0,
        noise=sigma,
        ridge=sigma**2 / (gamma * distance2),
        draws=200,
    )
    # A limit: its correction is of order 1 / d.
    assert deviation(draws, float(theory.regularised_risk(gamma, sigma, distance2)), 1 / d) < 4


@pytest.mark.parametrize("gamma", [0.2, 0.8, 1.3])
def test_scratch_risk_is_the_limit_of_least_squares(gamma, x64):
    sizes = np.array([1e2, 1e3, 1e4, 1e5])
    finite = theory.least_squares_risk(gamma * sizes, sizes, noise=0.4)
    limit = theory.scratch_risk(gamma, 0.4)
    error = np.abs(finite / limit - 1)
    # The correction is 1 / |n - d - 1| relative to the variance: proportional to 1 / d.
    np.testing.assert_allclose(error[1:] / error[:-1], 0.1, rtol=0.1)
    assert error[-1] < 1e-4


@pytest.mark.parametrize("gamma", [0.2, 0.8, 1.3, 5.0])
@pytest.mark.parametrize("sigma", [0.0, 0.4])
def test_ridge_risk_with_equal_eigenvalues_is_scratch_risk(gamma, sigma, dtype):
    d = 50
    ones = np.ones(d, dtype)
    risk = theory.ridge_risk(gamma * d, 3 * ones, ones / d, noise=sigma)
    scratch = theory.scratch_risk(dtype.type(gamma), sigma)
    np.testing.assert_allclose(risk, scratch, rtol=1e2 * np.finfo(dtype).eps)


def test_norm_of_the_interpolator_completes_the_square(dtype):
    gamma = np.array([0.1, 0.9, 1.0, 1.1, 7.0], dtype)
    sigma = np.array([0.3, 0.3, 0.0, 0.3, 2.0], dtype)
    square = theory.interpolator_norm2(gamma, sigma) - 2 * np.minimum(gamma, 1) + 1
    expected = theory.scratch_risk(gamma, sigma)
    np.testing.assert_allclose(square, expected, rtol=8 * np.finfo(dtype).eps)


def test_optimal_scratch_is_never_worse_than_scratch_and_has_no_peak(x64):
    gamma = np.linspace(0.01, 3, 300)
    best = np.asarray(theory.optimal_scratch_risk(gamma, 0.5))
    assert (best <= np.asarray(theory.scratch_risk(gamma, 0.5))).all()
    assert (np.diff(best) < 0).all()
    np.testing.assert_allclose(best, theory.regularised_risk(gamma, 0.5, 1.0))


def test_infinite_exactly_where_the_samples_match_the_features():
    k = 20
    n = np.arange(17, 24)
    risk = theory.least_squares_risk(n, k, noise=0.1)
    np.testing.assert_array_equal(np.isinf(risk), abs(n - k) <= 1)
    assert np.isinf(theory.least_squares_risk(20, 20, residual=0.1))
    assert np.isinf(theory.scratch_risk(1.0, 0.1))
    ones = np.ones(k, np.float32)
    risk = theory.ridge_risk(n, ones, ones, noise=0.1)
    np.testing.assert_array_equal(np.isinf(risk), n == k)


def test_a_clean_target_is_fitted_exactly_there():
    risk = theory.least_squares_risk(np.arange(19, 22), 20)
    np.testing.assert_allclose(risk, [0.05, 0, 0], rtol=1e-6)
    assert theory.scratch_risk(1.0, 0.0) == 0
    assert theory.regularised_risk(1.0, 0.0, 1.0) == 0
    ones = np.ones(20, np.float32)
    assert theory.ridge_risk(20, ones, ones) == 0


def test_one_sample_one_feature_and_no_useful_feature():
    ones = np.ones(3, np.float32)
    np.testing.assert_allclose(theory.least_squares_risk(1, 100), 0.99, rtol=1e-6)
    # Directions without variance teach nothing and count as residual.
    blind = theory.ridge_risk(10, 0 * ones, ones, residual=0.5, noise=0.2)
    np.testing.assert_allclose(blind, 3.5, rtol=1e-6)
    padded = theory.ridge_risk(10, np.array([1.0, 1, 0, 0], np.float32), np.ones(4, np.float32))
    with_residual = theory.ridge_risk(10, ones[:2], ones[:2], residual=2.0)
    np.testing.assert_allclose(padded, with_residual, rtol=1e-6)


SPECTRA = {
    "power law over 12 decades": 10.0 ** -np.linspace(0, 12, 120),
    "equal": np.full(120, 0.3),
    "two levels": np.repeat([1.0, 1e-6], 60),
    "half zero": np.repeat([1.0, 0.0], 60),
    "one feature": np.array([2.0]),
    "thousands, equal": np.full(4096, 0.3),
    "thousands, two levels": np.repeat([1.0, 1e-6], 2500),
}


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_effective_ridge_solves_its_equation_in_both_precisions(spectrum, x64):
    eigenvalues = SPECTRA[spectrum].astype(np.float32)
    n = np.array([1, 2, 59, 60, 61, 119, 120, 121, 2500, 5001, 1e4], np.float32)
    ridge = np.array([0, 1e-12, 1e-4, 1, 1e4], np.float32)[:, None]
    single = theory.effective_ridge(n[None], eigenvalues, ridge=ridge)
    fixed = {"residual": 0.1, "noise": 0.2}
    single_risk = theory.ridge_risk(n[None], eigenvalues, eigenvalues, ridge=ridge, **fixed)
    assert single.dtype == single_risk.dtype == np.float32

    l, n, ridge = eigenvalues.astype(float), n[None].astype(float), ridge.astype(float)
    kappa = np.asarray(theory.effective_ridge(n, l, ridge=ridge))
    risk = theory.ridge_risk(n, l, l, ridge=ridge, **fixed)
    rank = (l > 0).sum()
    np.testing.assert_array_equal(kappa == 0, (ridge == 0) & (n >= rank))
    positive = np.where(kappa > 0, kappa, 1.0)
    samples = (l / (l + positive[..., None])).sum(-1) + n * ridge / positive
    np.testing.assert_allclose(np.where(kappa > 0, samples, n), n + 0 * ridge, rtol=1e-12)
    assert (kappa >= ridge * (1 - 1e-14)).all()
    assert (kappa <= (ridge + l.sum() / n) * (1 + 1e-14)).all()
    # Sums are of positive numbers, by eights: of 5000 terms 5 times 7 roundings, as often up as
    # down, each of eps / 2 at most: about sqrt(35) / 2 = 3 eps, three sums one after the other.
    promised = 10 * np.finfo(np.float32).eps
    np.testing.assert_allclose(single, kappa, rtol=promised)
    np.testing.assert_allclose(single_risk, risk, rtol=promised)


def test_units_and_order_of_the_features_do_not_matter(x64):
    rng = np.random.default_rng(1)
    l, t = rng.exponential(size=(2, 40))
    order = rng.permutation(40)
    risk = theory.ridge_risk(25.0, l, t, noise=0.3, ridge=0.01)
    np.testing.assert_allclose(
        theory.ridge_risk(25.0, 1e5 * l[order], t[order], noise=0.3, ridge=1e3), risk, rtol=1e-12
    )


def ridge_risk(n, l, t, residual, noise, ridge):
    return theory.ridge_risk(n, l, t, residual=residual, noise=noise, ridge=ridge)


def test_derivatives_of_ridge_risk(derivatives):
    n, ridge = np.array([12.0, 12.0, 60.0, 60.0]), np.array([0.0, 0.02, 0.0, 0.02])
    l = np.tile(np.arange(1, 31.0) ** -1.3, (4, 1))
    derivatives(ridge_risk, n, l, l**0.5, 0.1, 0.3, ridge)
    derivatives(lambda n, l, r: theory.effective_ridge(n, l, ridge=r), n, l, ridge)


@pytest.mark.parametrize("n", [12.0, 60.0])
def test_one_sided_derivatives_at_no_ridge(n, x64):
    l = jnp.asarray(np.arange(1, 31.0) ** -1.3)

    def risk(ridge):
        return ridge_risk(n, l, l**0.5, 0.1, 0.3, ridge)

    step = 1e-5
    at = [risk(h * step) for h in range(4)]
    slope = (-11 * at[0] + 18 * at[1] - 9 * at[2] + 2 * at[3]) / (6 * step)
    np.testing.assert_allclose(jax.grad(risk)(0.0), slope, rtol=1e-5)
    at = [jax.grad(risk)(h * step) for h in range(4)]
    curvature = (-11 * at[0] + 18 * at[1] - 9 * at[2] + 2 * at[3]) / (6 * step)
    np.testing.assert_allclose(jax.hessian(risk)(0.0), curvature, rtol=1e-4)


def test_forward_and_reverse_agree_on_the_effective_ridge(x64):
    l = jnp.asarray(np.arange(1, 21.0) ** -2)

    def kappa(l):
        return theory.effective_ridge(8.0, l, ridge=1e-3)

    np.testing.assert_allclose(jax.jacfwd(kappa)(l), jax.jacrev(kappa)(l), rtol=1e-12)


def test_derivatives_of_the_other_risks(derivatives):
    derivatives(
        lambda n, k, r, s, t: theory.least_squares_risk(n, k, residual=r, noise=s, signal=t),
        *(np.array([5.0, 40.0]), 20.0, 0.2, 0.3, 0.8),
    )
    gamma = np.array([0.4, 0.95, 1.05, 3.0])
    derivatives(theory.scratch_risk, gamma, 0.5)
    derivatives(theory.interpolator_norm2, gamma, 0.5)
    derivatives(theory.regularised_risk, gamma, 0.5, 0.7)


def test_no_gradient_is_nan_at_the_peak():
    ones = jnp.ones(20)

    @jax.jit
    def gradients(n, noise):
        def spectral(n, l):
            return theory.ridge_risk(n, l, ones, noise=noise)

        return (
            jax.grad(lambda n, s: theory.least_squares_risk(n, 20, noise=s), (0, 1))(n, noise),
            jax.grad(theory.scratch_risk, (0, 1))(n / 20, noise),
            jax.grad(theory.regularised_risk, (0, 1, 2))(n / 20, noise, 1.0),
            jax.grad(theory.regularised_risk, (0, 1, 2))(n / 20, noise, 0.0),
            jax.grad(spectral, (0, 1))(n, ones),
            jax.grad(spectral, (0, 1))(n, ones.at[3:].set(0)),
        )

    for n in (19.0, 19.5, 20.0, 21.0):
        for noise in (0.0, 0.1):
            for leaf in jax.tree.leaves(gradients(n, noise)):
                assert not jnp.isnan(leaf).any()


def test_regularised_risk_does_not_cancel_in_float32(x64):
    # Small noise, much data: the difference of the two terms is below float32's resolution.
    arguments = np.float32([1.5, 30.0, 1e3]), np.float32(1e-3), np.float32(0.5)
    single = theory.regularised_risk(*arguments)
    assert single.dtype == np.float32
    expected = theory.regularised_risk(*(a.astype(float) for a in arguments))
    np.testing.assert_allclose(single, expected, rtol=1e-6)


def test_spectra_broadcast_against_the_other_arguments():
    spectra = jnp.stack([jnp.ones(6), jnp.arange(1.0, 7.0)])[:, None]
    risk = theory.ridge_risk(
        jnp.array([3, 10, 20]), spectra, jnp.ones(6), noise=jnp.full((4, 1, 1), 0.1)
    )
    assert risk.shape == (4, 2, 3)
    one = theory.ridge_risk(10, spectra[1, 0], jnp.ones(6), noise=0.1)
    np.testing.assert_allclose(risk[2, 1, 1], one, rtol=1e-6)
    assert theory.effective_ridge(jnp.array([3, 10]), spectra).shape == (2, 2)
