"""Numbers to ask a report for, its words, its picture and its file."""

import matplotlib.figure
import numpy as np
import pytest
from made_features import Made

from fatelib import diagnose, plot
from fatelib.probe import load
from fatelib.theory import ridge_risk


@pytest.fixture(scope="module")
def report():
    """Few good features, and many with the target in them: which are better depends on n."""
    made = Made(60, decay=0.3, noise=0.3)
    made.weights[6:] *= 0.15
    Z, y = made.draw(300, 0)
    few = (Z - 3.0) @ made.axes.T[:, :6]
    return diagnose({"all": Z, "few": few}, y, control="all", noise=0.3)


def test_the_curve_is_what_one_can_ask_for(report):
    for name in report.names:
        for n in report.curve.n.values[::5]:
            cell = report.curve.sel(features=name, n=n)
            asked = report.error(name, n)
            assert asked.value == pytest.approx(cell.error.item())
            assert asked.high == pytest.approx(cell.error_high.item())
            # At the ridge that is said to be best the error is that of the best.
            fixed = report.error(name, n, ridge=cell.ridge.item())
            assert fixed.value == pytest.approx(asked.value, rel=0.02)
            assert report.error(name, n, ridge=20 * cell.ridge.item() + 1e-3).value > asked.value


def test_credit_is_a_ratio_of_errors_and_narrower_than_two_intervals(report):
    credit = report.credit([20, 300])
    assert credit.credit.dims == ("features", "n")
    for n in (20, 300):
        above, below = report.error("all", n), report.error("few", n)
        cell = credit.sel(features="few", n=n)
        assert cell.credit.item() == pytest.approx(above.value / below.value)
        apart = np.hypot(*(np.log(error.high / error.value) for error in (above, below)))
        assert np.log(cell.credit_high.item() / cell.credit.item()) < apart
    assert report.credit(20).credit.dims == ("features",)
    with pytest.raises(ValueError, match="credit must have a control"):
        diagnose(np.eye(12), np.arange(12.0), ns=[5]).credit()


def test_the_better_changes_where_the_curves_cross(report):
    line = report.crossings.iloc[0]
    assert (line.before, line.after, line.guess) == ("few", "all", False)
    assert line.n_low < line.n < line.n_high
    ratio = [report.ratio("all", "few", n).value for n in (0.9 * line.n, 1.1 * line.n)]
    assert ratio[0] > 1 > ratio[1]


def test_the_ceiling_is_reached_with_many_samples(report):
    ceiling = report.ceiling
    assert ceiling.identified.all()
    for name in report.names:
        end = ceiling.error.sel(features=name).item()
        assert report.error(name, 1e7).value == pytest.approx(end, rel=0.01)
        enough = report.samples_to(name)
        assert report.error(name, enough.value).value == pytest.approx(1.1 * end, rel=0.01)
        assert enough.low < enough.value < enough.high
    assert ceiling.residual.sel(features="few").item() > 10 * ceiling.residual.sel(features="all")
    assert (report.effective_dimension < [60, 7]).all()


def test_no_error_is_below_the_ceiling():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        Z = rng.normal(size=(100, 40))
        report = diagnose(Z, 0.3 * Z[:, 0] + rng.normal(size=100), ns=[1600])
        end = report.ceiling.error.item()
        assert end <= report.error("features", 100).value
        assert end <= report.curve.error.item()
        assert end <= report.error("features", 1e8).value * (1 + 1e-6)


def test_without_any_weight_left_the_error_is_that_of_the_mean():
    Z, y = Made(3).draw(200, 0)
    report = diagnose(Z, y, ns=[20])
    nothing = report.error("features", 200, ridge=1e9).value
    assert nothing == pytest.approx(y.var() * 201 / 199, rel=0.01)


def test_without_noise_there_is_no_error():
    Z = np.random.default_rng(0).normal(size=(120, 6))
    report = diagnose(Z, Z @ np.arange(6.0))
    assert report.error("features", 120).value < 1e-8
    (words,) = report.sets["features"].warnings
    assert "all but a function of these features" in words


def test_ratios_of_bounds_are_open_on_their_side():
    made = Made(300, decay=0.2, noise=0.1)
    Z, y = made.draw(80, 0)
    few = (Z - 3) @ made.axes.T[:, :3]
    report = diagnose({"bound": Z, "known": few}, y, control="known", ns=[640])
    ratio = report.ratio("known", "bound", 640)
    assert (ratio.high, ratio.identified) == (np.inf, False)
    ratio = report.ratio("bound", "known", 640)
    assert (ratio.low, ratio.identified) == (0.0, False)
    assert report.samples_to("bound").identified is False
    assert "times that of 'bound'" in str(report)


def test_rates_do_not_depend_on_the_numbers_that_are_asked_for():
    Z, y = Made(6).draw(120, 0)
    usual = diagnose(Z, y > 0)
    for ns in ([20], [5, 1e5]):
        report = diagnose(Z, y > 0, ns=ns)
        assert report.error_rate("features", 120) == usual.error_rate("features", 120)
        assert "nan" not in str(report)
    assert usual.error_rate("features", 120).high > 0.02
    separable = diagnose(Z, Z[:, 0] > 3, ns=[20])
    assert separable.error_rate("features", 120).high >= 1.9 / 120


def test_the_spectrum_goes_on_by_hand(report):
    known = report.spectrum("few")
    for n in (10, 40, 1000):
        asked = report.error("few", n, ridge=0.0).value
        assert float(ridge_risk(n - 1, **known)) * n / (n - 1) == pytest.approx(asked, rel=0.03)


def test_a_report_comes_back_from_its_file(report, tmp_path):
    report.save(tmp_path / "report")
    again = load(str(tmp_path / "report"))
    assert str(again) == str(report)
    assert again.curve.equals(report.curve)
    assert again.error("few", 77, ridge=0.1) == report.error("few", 77, ridge=0.1)
    with pytest.raises(ValueError, match="path must be new"):
        report.save(tmp_path / "report")
    report.save(tmp_path / "out" / "report.zarr")
    assert str(load(tmp_path / "out")) == str(report)
    with pytest.raises(ValueError, match="name must be 'all' or 'few'; got 'none'"):
        report.error("none", 10)
    (tmp_path / "other").mkdir()
    for nothing in ("none", "other"):
        with pytest.raises(ValueError, match="path must hold a report"):
            load(tmp_path / nothing)


def test_contenders_and_classes_come_back_too(tmp_path):
    Z, y = Made(5).draw(40, 0)
    report = diagnose(Z, y > 0, measured={"anew": ([10, 20], [0.3, 0.2])})
    report.save(tmp_path / "report")
    again = load(tmp_path / "report")
    assert str(again) == str(report)
    assert again.contenders.equals(report.contenders)
    assert again.classes == ("False", "True")


def test_words_decide_first(report):
    lines = str(report).splitlines()
    assert lines[0] == "300 samples, numbers as labels; control: all"
    assert lines[2] == "DECISION"
    assert lines[3].startswith("Do not keep the features: the squared error of 'all' is 0.")
    assert any(line.startswith("From about n = ") for line in lines)
    assert lines[-1].startswith("- a probe is no bound for fine-tuning")
    assert any("contenders=" in line for line in lines)


def test_words_say_what_is_not_known():
    Z, y = Made(400, decay=0.4).draw(60, 0)
    text = " ".join(str(diagnose(Z, y)).split())
    assert "at most" in text
    assert "60 labels do not tell" in text


def test_a_bound_is_the_upper_end_and_does_not_rise_with_samples():
    """It was called "at most" where it was an estimate that every other sample exceeds."""
    for seed in range(3):
        Z, y = Made(400, decay=0.4).draw(60, seed)
        report = diagnose(Z, np.where(y > 0, "up", "down"))
        curve = report.curve.isel(features=0)
        bounds = curve.isel(n=(~curve.identified.values).nonzero()[0])
        assert bounds.n.size > 3
        for kind in ("error", "error_rate"):
            high = bounds[f"{kind}_high"].values
            assert (np.diff(high) <= 1e-12).all()
            assert (high >= bounds[kind].values).all()
        assert f"at most {report.error_rate('features', 240).high:.1%}" in str(report)
        last = float(bounds.n[-1])
        assert report.error("features", last).high == bounds.error_high.values[-1]


@pytest.mark.parametrize("samples", [10, 13, 17, 18])
def test_no_number_of_the_table_is_unknown(samples):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(samples, 2))
    report = diagnose(Z, np.where(np.arange(samples) % 2, "a", "b"))
    assert "nan" not in str(report)


def test_contenders_are_held_against_what_is_known():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(60, 4))
    y = np.where(Z[:, 0] > 0, "a", "b")
    text = str(diagnose(Z, y, measured={"tuned": ([100, 2000], [0.3, 0.1])}))
    assert "at n = 100" in text
    assert "nan" not in text
    wide = rng.normal(size=(60, 300))
    text = " ".join(str(diagnose(wide, y, measured={"tuned": ([240], [0.1])})).split())
    assert "that of the probe at most" in text


def test_infinitely_many_labels_are_no_worse_than_many():
    for seed in range(20, 30):
        rng = np.random.default_rng(seed)
        Z = rng.standard_t(4, size=(30, 300)) * np.arange(1, 301) ** -0.6
        report = diagnose(Z, Z @ rng.normal(size=300) + 0.5 * rng.standard_t(3, size=30))
        ceiling = report.ceiling.error_high.item()
        assert ceiling <= report.error("features", 120).high * (1 + 1e-9)


def test_the_picture_has_bands_bounds_and_contenders():
    Z, y = Made(400, decay=0.4).draw(60, 0)
    report = diagnose({"a": Z, "b": Z[:, :5]}, y, measured={"anew": ([10, 30], [2.0, 1.5])})
    ax = report.plot(matplotlib.figure.Figure().subplots())
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["a", "b", "anew"]
    solid, dashed = ax.lines[:2]
    known = report.curve.identified.sel(features="a").values
    np.testing.assert_array_equal(np.isfinite(solid.get_ydata()), known)
    assert np.isfinite(dashed.get_ydata()).sum() == (~known).sum() + 1
    assert dashed.get_linestyle() == "--"
    high = report.curve.error_high.sel(features="a").values
    np.testing.assert_array_equal(dashed.get_ydata()[~known], high[~known])
    with pytest.raises(TypeError, match="curve must be the curve of a report"):
        plot.learning_curves(report.curve.error)
    with pytest.raises(ValueError, match="curve must have the dimensions"):
        plot.learning_curves(report.curve.isel(n=0))


def test_the_explorer_shows_the_curves(report):
    assert "error with n labels" in str(report.explore().get_state())
