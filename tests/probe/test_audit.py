"""What a diagnosis says against itself: where it must, and not where it need not."""

import numpy as np
from made_features import Made

from fatelib import diagnose


def said(features, y, **options):
    report = diagnose(features, y, ns=[20], **options)
    return " ".join((*report.warnings, *report.sets["features"].warnings))


def test_good_samples_leave_no_doubt():
    quiet = [said(*Made(30).draw(200, seed)) == "" for seed in range(20)]
    assert sum(quiet) >= 18


def test_predictions_for_parts_are_those_of_fits_to_parts():
    for seed in range(5):
        Z, y = Made(50, decay=0.7).draw(400, seed)
        for check in diagnose(Z, y, ns=[20]).sets["features"].checks:
            assert check.n in (100, 200)
            assert abs(np.log(check.predicted / check.measured)) < 0.15
            assert not check.off


def test_labels_in_random_order_are_nothing_to_learn():
    rng = np.random.default_rng(0)
    Z, y = Made(30).draw(200, 0)
    assert "tells nothing" in said(Z, rng.permutation(y))
    assert "tells nothing" not in said(Z, y)


def test_labels_of_groups_are_nothing_to_learn_across_them():
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(30), 10)
    Z = rng.normal(size=(30, 8))[patient] + 0.1 * rng.normal(size=(300, 8))
    y = rng.normal(size=30)[patient]
    assert "tells nothing" not in said(Z, y)
    assert "tells nothing" in said(Z, y, groups=patient)


def test_clusters_are_found_out():
    """Few clusters with labels of their own: new samples of a part come from what it has not."""
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(12), 20)
    centres = rng.normal(size=(12, 60))
    Z = centres[cluster] + 0.01 * rng.normal(size=(240, 60))
    y = rng.normal(size=12)[cluster] + 0.01 * rng.normal(size=240)
    assert said(Z, y) != ""
    # Told, the clusters are left out as a whole, and there is nothing to learn across them.
    alone = diagnose(Z, y, ns=[120]).error("features", 120).value
    together = diagnose(Z, y, ns=[120], groups=cluster).error("features", 120).value
    assert together > 50 * alone


def test_one_sample_that_decides_is_named():
    Z, y = Made(30).draw(200, 0)
    y[17] = 100 * np.abs(y).max()
    assert "sample 17 alone makes" in said(Z, y)
    Z, y = Made(5).draw(100, 1)
    Z[23] *= 1000
    assert "sample 23 stands alone" in said(Z, y)


def test_few_samples_groups_and_rare_classes_are_said():
    Z, y = Made(5).draw(100, 0)
    assert "20 samples are few" in said(Z[:20], y[:20])
    assert "handful of samples: rare (3)" in said(Z, ["rare"] * 3 + ["usual"] * 97)
    assert "6 groups are few" in said(Z, y, groups=np.arange(100) % 6)
    assert "one group has 51% of the samples" in said(Z, y, groups=np.maximum(np.arange(100), 50))
