"""One decomposition against fits that are really made."""

import numpy as np
import pytest
from made_features import Made

from fatelib.probe.data import Scale, Target
from fatelib.probe.path import (
    RidgePath,
    decompose,
    decompose_part,
    degrees,
    fit,
    population,
    ridges,
)
from fatelib.theory import ridge_risk


def brute(Z, y, ridge, left_out):
    """Residuals of some samples of a ridge regression on the others; its intercept is free."""
    inside = np.setdiff1d(np.arange(len(Z)), left_out)
    A = np.column_stack([np.ones(len(inside)), Z[inside]])
    # The penalty of the whole: the ridge is one on the covariance of all N samples.
    penalty = (len(Z) - 1) * ridge * np.diag([0.0] + [1.0] * Z.shape[1])
    solution = np.linalg.solve(A.T @ A + penalty, A.T @ y[inside])
    return y[left_out] - solution[0] - Z[left_out] @ solution[1:]


@pytest.mark.parametrize("p", [4, 40])
@pytest.mark.parametrize("grouped", [False, True])
def test_left_out_residuals_are_those_of_fits_without_the_samples(p, grouped):
    rng = np.random.default_rng(0)
    Z, y = 5.0 + rng.normal(size=(15, p)), rng.normal(size=(15, 2))
    groups = [np.arange(start, 15, 4) for start in range(4)] if grouped else None
    grid = np.array([0.01, 0.3, 10.0])
    left_out = fit(decompose(Z), y, grid, groups).left_out
    for members in groups or [np.array([sample]) for sample in range(15)]:
        for place, ridge in enumerate(grid):
            expected = brute(Z, y, ridge, members)
            np.testing.assert_allclose(left_out[members, :, place], expected, rtol=1e-8)


def test_a_replicate_is_a_decomposition_of_its_own():
    rng = np.random.default_rng(1)
    for Z in (rng.normal(size=(30, 6)), rng.normal(size=(30, 50))):
        whole = decompose(Z)
        for kept in (np.arange(3, 30), np.arange(0, 30, 3)):
            again, anew = decompose_part(whole, kept), decompose(Z[kept])
            np.testing.assert_allclose(np.sort(again.s), np.sort(anew.s), rtol=1e-8)
            y = rng.normal(size=(len(kept), 1))
            fits = [fit(parts, y, np.array([0.1])).left_out for parts in (again, anew)]
            np.testing.assert_allclose(*fits, rtol=1e-7)


def test_columns_of_very_different_size_are_all_seen():
    # The square of this condition is beyond float64; the small column is what decides.
    rng = np.random.default_rng(2)
    Z = rng.normal(size=(60, 3)) * [1.0, 1e-5, 1e-10]
    y = 1e10 * Z[:, 2:] + 0.1 * rng.normal(size=(60, 1))
    grid, capped = ridges(decompose(Z))
    path = RidgePath.of(fit(decompose(Z), y, grid), grid, capped)
    assert not capped
    assert path.best(60)[0][0] < 0.02
    assert decompose_part(decompose(Z), np.arange(5, 60)).s.min() < 1e-18


def test_degrees_of_freedom_are_those_of_the_population():
    rng = np.random.default_rng(3)
    scale = np.arange(1, 401) ** -0.7
    Z = rng.normal(size=(800, 400)) * scale
    d1, d2, kappa = degrees(decompose(Z).s, 800, np.geomspace(1e-4, 1, 30))
    shares = scale**2 / (scale**2 + kappa[:, None])
    np.testing.assert_allclose(d1, shares.sum(axis=1), rtol=0.02)
    np.testing.assert_allclose(d2, (shares**2).sum(axis=1), rtol=0.04)


@pytest.mark.parametrize(("p", "n"), [(60, 30), (60, 120), (60, 480), (300, 30), (300, 120)])
def test_errors_at_other_numbers_of_samples_are_those_of_fits_to_so_many(p, n):
    made = Made(p, decay=0.6)
    predictions = []
    for seed in range(12):
        Z, y = made.draw(120, seed)
        parts = decompose(Z)
        grid, capped = ridges(parts)
        path = RidgePath.of(fit(parts, y[:, None], grid), grid, capped)
        errors, index = path.best(n)
        assert path.identified(int(index[0]))
        predictions.append(errors[0])
    measured, standard_error = made.error(n, np.geomspace(1e-4, 10, 60), draws=40)
    mean, own = np.mean(predictions), np.std(predictions, ddof=1) / np.sqrt(12)
    assert abs(mean - measured) < 4 * np.hypot(own, standard_error) + 0.02 * measured


def test_every_fixed_ridge_has_an_error_through_the_peak():
    made = Made(40, decay=0.5, noise=1.0)
    Z, y = made.draw(4000, 0)
    parts = decompose(Z)
    grid, capped = ridges(parts)
    path = RidgePath.of(fit(parts, y[:, None], grid), grid, capped)
    for ridge in (0.0, 1e-2):
        for n in (12, 30, 60, 400):
            measured, standard_error = made.error(n, [ridge], draws=300, seed=1)
            found = path.at(n, ridge)[0]
            assert abs(found - measured) < 4 * standard_error + 0.06 * measured, (ridge, n)
    assert path.at(41, 0.0)[0] > 20  # as many features as samples, less one for the mean


def test_a_ridge_below_what_the_samples_tell_has_no_error():
    Z, y = Made(300).draw(50, 0)
    parts = decompose(Z)
    grid, capped = ridges(parts)
    path = RidgePath.of(fit(parts, y[:, None], grid), grid, capped)
    assert capped
    assert np.isnan(path.at(500, 0.0)[0])
    assert np.isfinite(path.at(20, 0.0)[0])


def test_more_samples_without_labels_sharpen_the_degrees_of_freedom():
    made = Made(200, decay=0.5)
    Z, y = made.draw(60, 0)
    more, _ = made.draw(5000, 1)
    parts = decompose(Z)
    grid, _ = ridges(parts)
    l = made.scale**2
    off = []
    for spectrum in (None, (decompose(np.concatenate([Z, more])).s, 5060)):
        fitted = fit(parts, y[:, None], grid, None, spectrum)
        exact = (l / (l + fitted.kappa[:, None])).sum(axis=1)
        off.append(np.abs(np.log(fitted.freedom / exact)).max())
    assert off[1] < 0.02 < off[0]


@pytest.mark.parametrize("p", [60, 300])
def test_the_spectrum_gives_the_errors_back(p):
    made = Made(p, decay=0.6)
    Z, y = made.draw(200, 0)
    parts = decompose(Scale.of("Z", Z, False).apply(Z))
    grid, capped = ridges(parts)
    path = RidgePath.of(fit(parts, Target(y[:, None]).values, grid), grid, capped)
    eigenvalues, coefficients2, residual = population(path)
    for n in (20, 60):
        place = int(path.best(n)[1][0])
        # Without an intercept n - 1 samples do what n do with one, but for the mean itself.
        ridge = path.ridge(n, place) * n / (n - 1)
        again = ridge_risk(n - 1, eigenvalues, coefficients2, residual=residual, ridge=ridge)
        assert float(again) * n / (n - 1) == pytest.approx(path.errors(n)[0, place], rel=0.02)
