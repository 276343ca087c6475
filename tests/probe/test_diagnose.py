"""From features and labels to a report, against truths that are known."""

import jax
import numpy as np
import pytest
from made_features import Made

from fatelib import LinearTasks, diagnose, relu
from fatelib.theory import ridge_risk


def sets(N=80, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(N, 6)) * [3, 1, 1, 0.5, 0.5, 0.1]
    y = Z @ [0.3, 1, -1, 0, 0.5, 0] + 0.5 * rng.normal(size=N)
    return Z, y


NS = np.array([10, 40, 80, 300])


def test_the_least_error_is_within_its_interval():
    """95 of 100 are to be; so in 60 draws (three numbers of samples each) at least 50."""
    made = Made(80, decay=0.7)
    ns = [25, 100, 300]
    truth = [made.error(n, np.geomspace(1e-4, 10, 40), draws=200, seed=2)[0] for n in ns]
    held = []
    for seed in range(60):
        curve = diagnose(*made.draw(100, seed), ns=ns).curve.isel(features=0)
        held.append((curve.error_low.values <= truth) & (truth <= curve.error_high.values))
    assert (np.sum(held, axis=0) >= 50).all()


@pytest.mark.parametrize("kind", ["linear", "relu", "random"])
@pytest.mark.parametrize("n", [40, 150, 600])
def test_estimates_are_those_of_theory_on_the_tasks_of_the_library(kind, n):
    """What labelled samples say, and what the formulas say that know the truth."""
    d, noise, N = 30, 0.3, 400
    keys = jax.random.split(jax.random.key(0), 3)
    tasks = relu.ReluTasks.ablated(keys[0], d=d, width=10, fraction=0.5)
    target = tasks.target
    found, expected = [], []
    for seed in range(6):
        key = jax.random.key(10 + seed)
        if kind == "linear":
            lines = LinearTasks.at_angle(keys[0], d, 0.8)
            X, y = lines.sample(key, N)
            Z = np.asarray(X[:, : d // 2])
            beta2 = np.asarray(lines.beta_target) ** 2
            spectrum = (np.ones(d // 2), beta2[: d // 2]), beta2[d // 2 :].sum()
        else:
            X, y = tasks.sample(key, N)
            W = target.W if kind == "relu" else jax.random.normal(keys[1], (60, d)) / d**0.5
            Z = np.asarray(jax.nn.relu(X @ W.T))
            shown = relu.feature_spectrum(W, target.W, target.c / len(target.c))
            spectrum = (shown.eigenvalues, shown.coefficients2), shown.residual
        size = float(np.std(y))
        y = np.asarray(y) + noise * size * np.random.default_rng(seed).normal(size=N)
        report = diagnose(Z - Z.mean(axis=0), y, ns=[n], key=key)
        found.append([*report.error("features", n)[:3]])
        (eigenvalues, coefficients2), residual = spectrum
        penalties = np.geomspace(1e-6, 3, 60)
        risks = ridge_risk(
            n,
            np.asarray(eigenvalues)[None],
            np.asarray(coefficients2)[None],
            residual=float(residual),
            noise=noise * size,
            ridge=penalties * float(np.sum(eigenvalues)),
        )
        expected.append(float(np.min(risks)) + (noise * size) ** 2)
    value, low, high = np.log(found).T
    truth = np.log(expected)
    # Theory is that of features with their mean, and without an intercept: a few per cent.
    assert np.abs(np.mean(value - truth)) < 0.06 + 3 * np.std(value, ddof=1) / np.sqrt(6)
    assert np.mean((low - 0.03 < truth) & (truth < high + 0.03)) >= 5 / 6


def test_factors_offsets_and_types_change_nothing():
    Z, y = sets()
    expected = diagnose(Z, y, ns=NS).curve
    for other in (1e-6 * Z, 1e9 * Z, Z + 1e4, np.hstack([Z, np.full((len(Z), 2), 7.0)])):
        found = diagnose(other, y, ns=NS).curve
        np.testing.assert_allclose(found.error, expected.error, rtol=1e-6)
        np.testing.assert_allclose(found.error_high, expected.error_high, rtol=1e-6)
    np.testing.assert_allclose(diagnose(Z, y + 100, ns=NS).curve.error, expected.error, rtol=1e-9)
    np.testing.assert_allclose(diagnose(Z, 1e-5 * y, ns=NS).curve.error, 1e-10 * expected.error)
    ridge = diagnose(1e3 * Z, y, ns=NS).curve.ridge
    np.testing.assert_allclose(ridge, 1e6 * expected.ridge, rtol=1e-6)


def test_a_feature_that_one_sample_has_alone_is_survived():
    """Without this sample nothing varies."""
    _, y = sets()
    report = diagnose((np.arange(80) == 7).astype(float), y, ns=[40])
    assert report.curve.error.item() == pytest.approx(y.var() * 41 / 40, rel=0.1)
    assert np.isfinite(report.curve.error_high.item())


def test_twice_the_same_columns_are_the_columns_once():
    Z, y = sets()
    found = diagnose(np.hstack([Z, Z]), y, ns=NS).curve.error
    np.testing.assert_allclose(found, diagnose(Z, y, ns=NS).curve.error, rtol=1e-6)


def test_the_order_of_samples_decides_on_the_replicates_alone():
    Z, y = sets()
    order = np.random.default_rng(1).permutation(len(y))
    here, there = diagnose(Z, y, ns=NS).curve, diagnose(Z[order], y[order], ns=NS).curve
    np.testing.assert_allclose(here.error, there.error, rtol=1e-9)
    ratio = np.log(here.error_high / here.error) / np.log(there.error_high / there.error)
    assert (np.abs(np.log(ratio)) < 0.7).all()


def test_standardised_columns_have_no_units():
    Z, y = sets()
    here = diagnose(Z, y, ns=NS, standardize=True).curve.error
    there = diagnose(Z * [1, 1e3, 1e-3, 5, 7, 1e6], y, ns=NS, standardize=True).curve.error
    np.testing.assert_allclose(here, there, rtol=1e-6)


def test_the_same_key_gives_the_same_report():
    Z, y = sets()
    same = [str(diagnose(Z, y, key=jax.random.key(3))) for _ in range(2)]
    assert same[0] == same[1]
    raw = diagnose(Z, y, ns=NS, key=jax.random.PRNGKey(3)).curve
    assert not raw.equals(diagnose(Z, y, ns=NS, key=jax.random.key(4)).curve)


def test_copies_in_groups_are_worth_one_sample():
    Z, y = sets(60)
    copies, labels, groups = np.repeat(Z, 4, axis=0), np.repeat(y, 4), np.repeat(np.arange(60), 4)
    blind = diagnose(copies, labels, ns=[60])
    told = diagnose(copies, labels, ns=[60], groups=groups.astype(str))
    single = diagnose(Z, y, ns=[60]).curve.error.item()
    assert any("copies" in words for words in blind.sets["features"].warnings)
    assert not any("copies" in words for words in told.sets["features"].warnings)
    # 240 copies are the fit of 60 samples.
    assert told.error("features", 240).value == pytest.approx(single, rel=0.1)
    assert blind.error("features", 240).value < 0.9 * single


@pytest.mark.parametrize("size", [2, 5, 10])
@pytest.mark.parametrize("helped", [False, True])
def test_groups_that_mean_nothing_change_little(size, helped):
    """Independent samples, left out several at a time: the same error at the same number."""
    made = Made(40, decay=0.3)
    more = made.draw(2000, 999)[0] if helped else None
    off = []
    for seed in range(20):
        Z, y = made.draw(100, seed)
        groups = (None, np.arange(100) // size)
        both = [diagnose(Z, y, ns=[200], groups=g, unlabelled=more) for g in groups]
        off.append(np.log([report.error("features", 200).value for report in both]))
    alone, together = np.mean(off, axis=0)
    assert abs(together - alone) < 0.06


def test_a_bound_holds_and_knows_the_noise():
    made = Made(400, decay=0.4, noise=0.3)
    Z, y = made.draw(100, 0)
    curve = diagnose(Z, y, ns=[50, 1600], noise=0.3).curve.isel(features=0)
    assert curve.identified.values.tolist() == [True, False]
    assert curve.error_low.values[1] == pytest.approx(0.09)
    truth = made.error(1600, np.geomspace(1e-4, 1, 20), draws=4)[0]
    assert 0.09 < truth < curve.error_high.values[1]


def test_more_features_without_labels_are_used():
    made = Made(150, decay=0.5)
    more, _ = made.draw(3000, 99)
    truth = made.error(40, np.geomspace(1e-3, 10, 30), draws=100)[0]
    off = []
    for seed in range(20):
        Z, y = made.draw(60, seed)
        reports = (diagnose(Z, y, ns=[40], unlabelled=u) for u in (None, more))
        off.append([np.log(report.error("features", 40).value / truth) for report in reports])
    alone, helped = np.mean(np.square(off), axis=0) ** 0.5
    assert helped < alone


def test_random_features_are_made_on_request():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2, 5))
    y = X[:, 0, 0] ** 2
    report = diagnose(X[:, 0], y, inputs=X, control="random", ns=[30])
    assert report.names == ("features", "random")
    assert report.control == "random"
    assert report.sets["random"].width == 5


def test_noise_comes_as_a_number_or_as_repeated_labels():
    Z, y = sets(400)
    rng = np.random.default_rng(0)
    ratings = y[:, None] + rng.normal(size=(400, 4))
    ratings[:100, 2:] = np.nan
    mean = np.nanmean(ratings, axis=1)
    report = diagnose(Z, mean, noise=ratings)
    exact = np.mean(1 / np.isfinite(ratings).sum(axis=1))
    assert report.noise == pytest.approx(exact, rel=0.1)
    assert "larger than the errors" in str(diagnose(Z, mean, noise=9.0))
    left = report.ceiling.residual.item()
    assert left == pytest.approx(report.ceiling.error.item() - report.noise)
    assert left == pytest.approx(0.25, rel=0.4)  # what the features do not hold of y
