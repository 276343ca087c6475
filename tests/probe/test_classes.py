"""Error rates from left-out scores, against classifiers that are really fitted."""

import numpy as np
import pytest

from fatelib.probe.data import Target, one_hot, read_target
from fatelib.probe.estimate import estimate


def drawn(classes, n, seed, p=30):
    """Gaussian classes with means of their own, and a covariance that is not round."""
    means = 1.6 * np.random.default_rng(5).normal(size=(classes, p)) / np.sqrt(p)
    rng = np.random.default_rng([3, classes, seed])
    labels = rng.integers(classes, size=n)
    spread = np.linspace(0.2, 1.0, p)
    return means[labels] + spread * rng.normal(size=(n, p)), labels


def measured(classes, n, draws):
    """The rate of the best ridge by squared error, and its standard error."""
    ridges = np.geomspace(1e-3, 10, 25)
    Z_test, test = drawn(classes, 4000, 999)
    wanted = one_hot(test, classes)
    losses, rates = [], []
    for seed in range(draws):
        Z, labels = drawn(classes, n, 500 + seed)
        values = one_hot(labels, classes)
        mean, centre = Z.mean(axis=0), values.mean(axis=0)
        A = (Z - mean).T @ (Z - mean) / n
        row = []
        for ridge in ridges:
            B = np.linalg.solve(A + ridge * np.eye(len(A)), (Z - mean).T @ (values - centre) / n)
            outputs = centre + (Z_test - mean) @ B
            said = outputs[:, 0] > 0 if classes == 2 else outputs.argmax(axis=1)
            row.append((((outputs - wanted) ** 2).sum(axis=1).mean(), np.mean(said != test)))
        losses.append([loss for loss, _ in row])
        rates.append([rate for _, rate in row])
    best = np.mean(losses, axis=0).argmin()
    column = np.array(rates)[:, best]
    return column.mean(), column.std(ddof=1) / np.sqrt(draws)


@pytest.mark.parametrize("classes", [2, 5])
def test_rates_are_those_of_classifiers_fitted_to_so_many_samples(classes):
    ns = np.array([50.0, 150.0, 600.0])
    found = []
    for seed in range(12):
        Z, labels = drawn(classes, 300, seed)
        target = Target(one_hot(labels, classes), labels, tuple("abcde"[:classes]))
        found.append(estimate(Z, target, ns, [], None, lambda: None).rates[0])
    mean, own = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(12)
    for place, n in enumerate(ns):
        rate, standard_error = measured(classes, int(n), 20)
        # Gaussian noise in the scores is an approximation: within a twelfth.
        off = abs(mean[place] - rate)
        assert off < rate / 12 + 3 * np.hypot(own[place], standard_error), (n, mean[place], rate)


def test_the_lowest_rate_is_no_higher_than_that_of_the_least_squared_error():
    Z, labels = drawn(3, 200, 0)
    target = Target(one_hot(labels, 3), labels, ("a", "b", "c"))
    found = estimate(Z, target, np.array([30.0, 200.0]), [], None, lambda: None)
    assert (found.lowest_rates <= found.rates[0]).all()


def test_at_all_samples_the_rate_is_about_that_of_left_out_samples():
    for classes in (2, 4):
        Z, labels = drawn(classes, 500, 1)
        target = Target(one_hot(labels, classes), labels, tuple("abcd"[:classes]))
        found = estimate(Z, target, np.array([500.0]), [], None, lambda: None)
        scores = target.values - found.residuals
        said = scores[:, 0] > 0 if classes == 2 else scores.argmax(axis=1)
        count = np.mean(said != labels)
        assert abs(found.rates[0, 0] - count) < 2 * np.sqrt(count / 500)


def test_what_is_drawn_for_a_sample_is_the_same_in_every_part():
    """Replicates differ by their samples, not by the noise that was drawn for them."""
    target = read_target(np.arange(40) % 4, "classification", 40)

    def draw(samples):
        return np.random.default_rng(0).normal(size=(samples, 2))

    part = target.take(np.arange(5, 40)).take(np.arange(3, 30))
    np.testing.assert_array_equal(part.drawn(draw), target.drawn(draw)[8:35])
