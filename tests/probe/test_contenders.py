"""What is no probe: fitted to parts of the data, kept on disk, compared with probes."""

import json
from itertools import pairwise

import numpy as np
import pytest
from made_features import Made

from fatelib import diagnose
from fatelib.probe.contenders import read_contenders
from fatelib.probe.crossing import changes

MADE = Made(8, noise=0.3)
Z, Y = MADE.draw(120, 0)


def mean(X, y):
    centre = y.mean(axis=0)
    return lambda inputs: np.broadcast_to(centre, (len(inputs), *y.shape[1:]))


def nearest(X, y):
    return lambda inputs: y[((inputs[:, None] - X[None]) ** 2).sum(axis=-1).argmin(axis=1)]


def test_contenders_are_fitted_to_nested_parts_and_tested_on_the_rest():
    seen = []

    def fit(X, y):
        def predict(inputs):
            both = np.concatenate([X, inputs])
            assert len(np.unique(both[:, 0])) == len(both)  # none is in training and in the test
            return np.zeros(len(inputs))

        seen.append(X[:, 0].tolist())
        return predict

    report = diagnose(Z, Y, inputs=Z, contenders={"zero": fit}, ns=[20])
    points = report.contenders.sel(contender="zero")
    assert points.n.values.tolist() == [15, 30, 60, 96]
    # The folds are all samples once, and zero is as far off in each number of samples.
    np.testing.assert_allclose(points.error, np.mean(Y**2), rtol=1e-12)
    for fold in range(5):
        parts = seen[fold::5]
        for small, large in pairwise(parts):
            assert large[: len(small)] == small


def test_classes_are_predicted_by_their_names_and_counted():
    names = np.where(Y > 0, "up", "down")
    report = diagnose(Z, names, inputs=Z, contenders={"nearest": nearest}, ns=[20])
    error = report.contenders.error.values
    assert ((error > 0) & (error < 0.5)).all()
    assert "cannot be known without" not in str(report)


def test_finished_fits_are_kept_and_not_done_again(tmp_path):
    store, count = tmp_path / "fits", []

    def fit(X, y):
        count.append(len(X))
        if len(count) == 7:
            raise KeyboardInterrupt
        return mean(X, y)

    call = {"inputs": Z, "contenders": {"mean": fit}, "store": store, "ns": [20]}
    with pytest.raises(KeyboardInterrupt):
        diagnose(Z, Y, **call)
    assert len(json.loads((store / "contenders.json").read_text())["errors"]) == 6
    found = diagnose(Z, Y, **call).contenders
    assert len(count) == 7 + 14
    call["store"] = None
    assert found.equals(diagnose(Z, Y, **call).contenders)
    with pytest.raises(ValueError, match="contenders of other data"):
        diagnose(Z, 2 * Y, **call | {"store": store})
    with pytest.raises(ValueError, match="store must be a directory"):
        diagnose(Z, Y, **call | {"store": store / "contenders.json"})
    with pytest.raises(ValueError, match="not an address"):
        diagnose(Z, Y, **call | {"store": "s3://bucket/fits"})


def test_groups_stay_on_one_side():
    groups = np.repeat(np.arange(30), 4)

    def fit(X, y):
        inside = {*X[:, 0]}

        def predict(inputs):
            assert not inside & {*inputs[:, 0]}
            return np.zeros(len(inputs))

        return predict

    inputs = np.column_stack([groups, Z])
    diagnose(Z, Y, inputs=inputs, contenders={"a": fit}, groups=groups, ns=[20])


def test_contenders_and_measured_errors_stand_side_by_side():
    names = np.where(Y > 0, "up", "down")
    report = diagnose(
        Z,
        names,
        inputs=Z,
        contenders={"nearest": nearest},
        measured={"anew": ([10, 20, 40, 60, 90], [0.4, 0.3, 0.2, 0.1, 0.01])},
    )
    assert report.contenders.contender.values.tolist() == ["nearest", "anew"]
    text = str(report)
    first = (
        "DECISION\nDo not stop at a probe: 'anew' beats the probe on 'features': error rate 1.0%"
    )
    assert first in text
    assert "'nearest' is not told apart from the probe" in text


def test_a_bound_loses_to_no_contender():
    made = Made(400, decay=0.2, noise=0.05)
    Z, y = made.draw(60, 0)
    known = diagnose(Z, y)
    cell = known.curve.isel(features=0)
    far = cell.n.values[~cell.identified.values]
    assert len(far) > 3
    errors = 1.5 * cell.error.values * (cell.n.values / far[0]) ** -0.5
    report = diagnose(Z, y, measured={"anew": (cell.n.values, errors)})
    for line in report.crossings.itertuples(index=False):
        assert not (line.after == "anew" and line.n > far[0])


def test_every_beginning_has_its_share_of_a_rare_class():
    seen = []

    def fit(X, y):
        seen.append({*y})
        return lambda inputs: np.full(len(inputs), "usual")

    names = np.where(np.arange(120) < 12, "rare", "usual")
    diagnose(Z, names, inputs=Z, contenders={"a": fit}, ns=[20])
    assert all(len(kinds) == 2 for kinds in seen)


def test_what_a_contender_raises_says_which():
    def fit(X, y):
        return 1 / 0

    with pytest.raises(ZeroDivisionError) as raised:
        diagnose(Z, Y, inputs=Z, ns=[20], contenders={"mine": fit})
    assert raised.value.__notes__ == ["in contenders['mine'], with 15 samples"]


def test_probabilities_are_no_labels():
    shares = {"a": lambda X, y: lambda inputs: np.full(len(inputs), 0.9)}
    with pytest.raises(ValueError, match="must predict labels such as"):
        diagnose(Z, Y > 0, inputs=Z, ns=[20], contenders=shares)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda X, y: 3, "must return a function predict"),
        (lambda X, y: lambda inputs: np.zeros(3), "as y is given; got"),
        (lambda X, y: lambda inputs: np.full(len(inputs), np.nan), "not finite"),
    ],
)
def test_what_a_contender_does_wrong_is_said(fit, message):
    with pytest.raises((TypeError, ValueError), match=message):
        diagnose(Z, Y, inputs=Z, contenders={"a": fit}, ns=[20])


def test_measured_errors_are_compared_and_continued_as_a_guess():
    probe = diagnose(Z, Y)
    ns = np.array([10, 30, 100])
    errors = [3 * probe.error("features", n).value * (10 / n) ** 0.3 for n in ns]
    report = diagnose(Z, Y, measured={"anew": (ns, errors)})
    (line,) = report.crossings.itertuples(index=False)
    assert (line.before, line.after, line.guess) == ("features", "anew", True)
    slope, _ = np.polyfit(np.log(ns), np.log(errors), 1)
    continued = errors[-1] * (line.n / 100) ** slope
    assert continued == pytest.approx(probe.error("features", line.n).value, rel=0.01)


def test_a_change_is_known_as_far_as_the_difference_is():
    ns = np.array([1.0, 10.0, 100.0, 1000.0, 10000.0])
    value = np.array([-3.0, -1.0, 1.0, 3.0, 5.0])
    (change,) = changes(ns, value, value - 2, value + 2)
    assert change.numbers == pytest.approx((10**1.5, 1.0, 1000.0))
    assert change.order("first", "second") == ("first", "second")
    (change,) = changes(ns, -value, -value - 9, -value + 9)
    assert change.numbers == pytest.approx((10**1.5, 0.0, np.inf))
    assert change.order("first", "second") == ("second", "first")


def test_the_default_network_learns_numbers_and_classes():
    pytest.importorskip("optax")
    X = np.random.default_rng(0).normal(size=(600, 2, 2))
    y = np.sin(2 * X[:, 0, 0])
    names = np.where(X[:, 0, 0] * X[:, 0, 1] > 0, "same", "other")
    (fit,) = read_contenders("mlp", classes=False).values()
    outputs = fit(X[:200], y[:200])(X[200:])
    assert np.mean((outputs - y[200:]) ** 2) < 0.15 * y.var()
    (fit,) = read_contenders({"anew": "mlp"}, classes=True).values()
    assert np.mean(fit(X[:200], names[:200])(X[200:]) != names[200:]) < 0.15
