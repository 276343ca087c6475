"""The explorer's Python half: what it tells the page. `tests/book/test_explorer.py` drives it."""

import base64
import inspect
import json
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fatelib.theory import linear_transferability
from fatelib.widgets import Explorer, explore


def decode(widget):
    """Undo the coding as the page does, from the synced traits alone."""
    codes = np.frombuffer(base64.b64decode(widget.values), dtype="<i2")
    values = codes * widget.figure["step"]
    values[codes == 32767], values[codes == -32767] = np.inf, -np.inf
    values[codes == -32768] = np.nan
    return values


def diagram():
    """T_lt with an infinite row at gamma = 1."""
    theta = np.linspace(0, np.pi / 2, 9)
    gamma = np.arange(1, 41) / 20
    sigma = np.array([0.2, 0.5])
    values = linear_transferability(gamma[:, None, None], theta[:, None], sigma)
    return xr.DataArray(
        np.asarray(values),
        coords={
            "gamma": ("gamma", gamma, {"long_name": "samples per dimension"}),
            "theta": ("theta", theta, {"units": "rad"}),
            "sigma": sigma,
        },
        name="T_lt",
        attrs={"long_name": "transferability"},
    )


def curve(values, name="T"):
    return xr.DataArray(np.asarray(values), dims="n", name=name)


shapes = array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=6)


numbers = st.floats(-1e300, 1e300) | st.sampled_from([np.nan, np.inf, -np.inf])


@given(arrays(np.float64, shapes, elements=numbers))
def test_values_survive_within_half_a_step(values):
    widget = explore(xr.DataArray(values, dims=["a", "b", "c"][: values.ndim]))
    back = decode(widget).reshape(values.shape)
    finite = np.isfinite(values)
    np.testing.assert_array_equal(back[~finite], values[~finite])
    np.testing.assert_array_equal(back[values == 0], 0)
    step = widget.figure["step"]
    # half a step, and the rounding of the division and of the product
    room = step / 2 + 4 * np.finfo(float).eps * np.abs(values[finite])
    assert np.all(np.abs(back[finite] - values[finite]) <= room)
    peak = np.abs(values[finite]).max(initial=0)
    if peak > 1e-300:
        assert step == pytest.approx(peak / 32766)


def test_the_three_values_that_are_not_numbers():
    widget = explore(curve([np.inf, -np.inf, np.nan, -1.0, 0.0, 1.0]))
    assert np.frombuffer(base64.b64decode(widget.values), "<i2").tolist() == [
        *(32767, -32767, -32768),
        *(-32766, 0, 32766),
    ]


@pytest.mark.parametrize("values", [[np.nan, np.inf], [0.0, 0.0]])
def test_a_grid_without_a_scale_still_has_axes(values):
    figure = explore(curve(values)).figure
    assert figure["range"][0] < 0 < figure["range"][1]
    assert figure["limit"] > 0


def test_state_is_json_and_small():
    data = diagram()
    widget = explore(data, x="theta", y="gamma")
    state = {name: getattr(widget, name) for name in ("values", "figure", "position")}
    assert json.loads(json.dumps(state, allow_nan=False)) == state
    assert len(widget.values) <= 4 * (2 * data.size + 2) / 3
    assert {"values", "figure", "position", "_esm", "_css"} <= set(widget.keys)


def test_the_grid_is_laid_out_as_sliders_y_x():
    data = diagram()
    widget = explore(data, x="theta", y="gamma")
    back = decode(widget).reshape(2, 40, 9)
    expected = data.transpose("sigma", "gamma", "theta").values
    finite = np.isfinite(expected)
    step = widget.figure["step"]
    np.testing.assert_allclose(back[finite], expected[finite], rtol=0, atol=step * 0.501)
    np.testing.assert_array_equal(back[~finite], np.inf)
    assert np.all(~finite == (data.gamma.values == 1)[:, None])


def test_axes_ascend_whatever_the_order_of_the_data():
    forwards = explore(diagram(), x="theta", y="gamma")
    backwards = explore(diagram().isel(gamma=slice(None, None, -1)), x="theta", y="gamma")
    assert backwards.values == forwards.values
    assert backwards.figure == forwards.figure


def test_decimals_promise_no_more_than_the_step():
    for peak in (1e-3, 0.7, 32.766, 4e5):
        figure = explore(curve([0.0, peak])).figure
        assert figure["digits"] == 0 or 10.0 ** -figure["digits"] >= figure["step"]
        assert 10.0 ** -(figure["digits"] + 1) < figure["step"]


def test_labels():
    def labels(values, **attrs):
        coordinate = ("n", values, attrs)
        return explore(xr.DataArray(np.arange(len(values)), coords={"n": coordinate})).figure[
            "dims"
        ]["n"]["labels"]

    angles = [0, np.pi / 8, np.pi / 4, 3 * np.pi / 4, np.pi, 4.0]
    assert labels(angles, units="rad") == ["0", "π/8", "π/4", "3π/4", "π", "1.27π"]
    assert labels([-1.5, 0.0, 0.1, 200.0]) == ["−1.5", "0", "0.1", "200"]
    assert labels(np.float32([0.1, 0.2])) == ["0.1", "0.2"]
    assert labels([100, 10_000, 200_000]) == ["100", "10000", "200000"]
    assert labels([0.0001, 0.000012]) == ["1.2e−05", "0.0001"]  # sorted
    assert labels([1.00001, 1.00002]) == ["1.00001", "1.00002"]


def test_names_become_symbols_and_text():
    data = diagram().rename(sigma="sigma_s")
    figure = explore(data, x="theta", y="gamma").figure
    assert figure["value"] == {"symbol": ["T", "lt"], "name": "transferability", "unit": ""}
    assert figure["dims"]["theta"]["symbol"] == ["θ", ""]
    assert figure["dims"]["theta"]["name"] == ""
    assert figure["dims"]["sigma_s"]["symbol"] == ["σ", "s"]
    assert figure["dims"]["gamma"]["name"] == "samples per dimension"
    plain = explore(curve([1.0, 2.0], name="risk_scratch")).figure["value"]
    assert plain == {"symbol": None, "name": "risk scratch", "unit": ""}
    assert explore(curve([1.0, 2.0], name="lam")).figure["value"]["symbol"] == ["λ", ""]


def test_ticks():
    def axis(values, **attrs):
        data = xr.DataArray(np.zeros(len(values)), coords={"n": ("n", values, attrs)})
        dim = explore(data).figure["dims"]["n"]
        return dim["log"], [text for _, text in dim["ticks"]]

    assert axis(np.linspace(0, np.pi / 2, 5), units="rad") == (
        False,
        ["0", "π/8", "π/4", "3π/8", "π/2"],
    )
    assert axis(np.linspace(0.05, 2, 40)) == (False, ["0.5", "1", "1.5", "2"])
    assert axis(np.geomspace(10, 10_000, 13).round()) == (True, ["10", "100", "1000", "10000"])
    assert axis([20, 40, 80, 160]) == (True, ["20", "50", "100"])
    assert not axis(np.arange(1, 7))[0]


@pytest.mark.parametrize("sizes", [[30, 60, 120, 360], [10, 20, 60, 120, 250, 500, 1000, 2000]])
def test_sizes_that_grow_in_proportion_have_a_logarithmic_axis(sizes):
    data = xr.DataArray(np.zeros((2, len(sizes))), coords={"mu": [0.1, 0.9], "n": sizes})
    assert explore(data, x="mu", y="n").figure["dims"]["n"]["log"]


def test_positive_values_on_a_logarithmic_axis():
    risk = curve([1e-4, 0.0, 0.03, 1.0, np.nan, np.inf], name="R")
    widget = explore(risk, log=True)
    back, figure = decode(widget), widget.figure
    finite = np.isfinite(risk.values) & (risk.values > 0)
    # All of them to the same relative error, however small.
    np.testing.assert_allclose(
        2.0 ** back[finite], risk.values[finite], rtol=figure["step"] / 2 * np.log(2) * 1.01
    )
    np.testing.assert_array_equal(back[~finite], [-np.inf, np.nan, np.inf])
    assert [text for _, text in figure["ticks"]] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    places = [place for place, _ in figure["ticks"]]
    np.testing.assert_allclose(places, np.log2(10.0) * np.arange(-4, 1))
    low, high = figure["range"]  # the curves fill it
    assert np.log2(1e-5) < low < np.log2(1e-4)
    assert 0 < high < 1


def ratios():
    """A way of learning with ratios of a few, and one with ratios of hundreds."""
    values = np.array([[[0.5, 1.0], [2.0, 1.5]], [[300.0, 100.0], [20.0, 0.1]]])
    coords = {"way": ["a", "b"], "n": [10, 100], "mu": [0.1, 0.9]}
    return xr.DataArray(values, coords, ("way", "n", "mu"))


def test_ratios_are_coloured_about_one():
    figure = explore(ratios(), x="mu", y="n", log=True, limit=8).figure
    assert figure["limit"] == 3
    assert figure["range"][0] < 0 < figure["range"][1]
    assert dict((text, place) for place, text in figure["ticks"])["1"] == 0


def test_every_entry_of_a_slider_has_its_own_limit():
    data = ratios()
    figure = explore(data, x="mu", y="n", log=True, limit_by="way").figure
    assert figure["by"] == "way"
    for part, scale in zip(data, figure["scales"], strict=True):
        alone = explore(part, x="mu", y="n", log=True).figure
        assert scale == {name: alone[name] for name in ("limit", "range", "ticks")}
    limits = [scale["limit"] for scale in figure["scales"]]
    assert limits[1] > 5 * limits[0]
    assert "by" not in explore(data, x="mu", y="n").figure


def test_sliders_may_be_infinite_or_text():
    data = xr.DataArray(
        np.zeros((2, 2, 3)),
        coords={"depth": [2.0, np.inf], "method": ["fine-tuning", "linear"]},
        dims=("depth", "method", "n"),
    )
    widget = explore(data, x="n", lines="method", at={"depth": np.inf, "method": "linear", "n": 9})
    assert widget.figure["dims"]["depth"]["labels"] == ["2", "∞"]
    assert widget.figure["dims"]["method"]["labels"] == ["fine-tuning", "linear"]
    assert widget.figure["sliders"] == ["depth"]
    assert widget.position == {"depth": 1, "method": 1, "n": 2}
    json.dumps(widget.figure, allow_nan=False)


def test_the_reader_starts_at_the_nearest_point():
    data = diagram()
    widget = explore(data, x="theta", y="gamma", at={"theta": 0.8, "sigma": 0.4})
    assert widget.position == {"theta": 4, "sigma": 1, "gamma": 20}


def test_defaults_draw_curves_against_the_last_dimension():
    figure = explore(diagram()).figure
    assert (figure["x"], figure["y"], figure["sliders"]) == ("sigma", None, ["gamma", "theta"])
    data = diagram()
    finite = np.abs(data.values[np.isfinite(data.values)])
    assert figure["limit"] == pytest.approx(finite.max())
    heat_map = explore(data, x="theta", y="gamma").figure
    assert heat_map["limit"] == pytest.approx(np.quantile(finite, 0.95))
    assert explore(data, x="theta", y="gamma", limit=1).figure["limit"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": "angle"}, r"x must name a dimension of data, one of \['gamma', .*; got 'angle'"),
        ({"x": "theta", "y": "theta"}, "must differ; got 'theta' twice"),
        ({"x": "theta", "y": "gamma", "sliders": []}, r"\['sigma'\] are left over"),
        ({"x": "theta", "sliders": ["sigma", "gama"]}, "sliders must name .* got 'gama'"),
        ({"x": "theta", "y": "gamma", "lines": "sigma"}, "lines goes with curves, without y"),
        ({"x": "theta", "lines": "gamma"}, "at most 7 entries to be told apart; got 40"),
        ({"y": "theta", "sliders": ["gamma", "sigma"]}, "is left for x"),
        ({"at": {"angle": 1.0}}, "at must name dimensions of data"),
        ({"at": {"theta": "right"}}, r"at\['theta'\] must be one of .*; got 'right'"),
        ({"at": {"theta": np.nan}}, r"at\['theta'\] must be one of .*; got nan"),
        ({"limit": 0.0}, "limit must be a positive number; got 0.0"),
        ({"limit": np.inf}, "limit must be a positive number; got inf"),
        ({"limit": 0.5, "log": True}, "limit must be a number above 1, for it is a ratio; got 0.5"),
        ({"log": True}, "data must not be negative with log=True; got -0"),
        (
            {"x": "theta", "limit_by": "theta"},
            r"limit_by must be one of the sliders, .*; got 'theta'",
        ),
        ({"limit_by": "gamma", "limit": 1}, "limit_by .* goes without limit; .* limit 1"),
    ],
)
def test_a_figure_that_cannot_be_drawn(arguments, message):
    with pytest.raises(ValueError, match=message):
        explore(diagram(), **arguments)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (curve(["a", "b"]), "data must be real numbers; got dtype <U1"),
        (curve([1j, 2.0]), "data must be real numbers; got dtype complex128"),
        (xr.DataArray(1.0), "at least one dimension"),
        (xr.DataArray(np.zeros((0, 2)), dims=("a", "b")), r"one value; got \(0, 2\)"),
        (
            xr.DataArray(np.broadcast_to(0.0, (101, 100, 100)), dims=("a", "b", "c")),
            r"at most 2 MB .* got 2.02 MB \(a: 101, b: 100, c: 100\)",
        ),
        (curve([1.0]), "at least two distinct finite numbers"),
        (curve([1.0, 2.0]).assign_coords(n=[3, 3]), r"'n' must be .*; got \[3, 3\]"),
        (curve([1.0, 2.0]).assign_coords(n=["a", "b"]), r"'n' must be .*; got \['a', 'b'\]"),
        (curve([1.0, 2.0]).assign_coords(n=[1, np.inf]), "'n' must be .* finite"),
    ],
)
def test_data_that_cannot_be_drawn(data, message):
    with pytest.raises(ValueError, match=message):
        explore(data)


def test_a_dataset_is_told_to_choose_a_variable():
    unchecked = inspect.unwrap(explore)  # the type checker of the tests would speak first
    with pytest.raises(ValueError, match="one variable of a Dataset; got Dataset"):
        unchecked(diagram().to_dataset())


def test_without_anywidget_the_library_imports_and_the_widgets_say_what_to_install(monkeypatch):
    import fatelib

    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "fatelib.widgets")
    monkeypatch.delattr(fatelib, "widgets", raising=False)
    with pytest.raises(ImportError, match=r"pip install fatelib\[widgets\]"):
        _ = fatelib.widgets


def test_the_front_end_is_one_module_without_imports():
    assert "import" not in Explorer._esm.split()
    assert "://" not in Explorer._esm.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in Explorer._css
