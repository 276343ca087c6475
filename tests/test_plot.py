"""Figures say what the data say."""

import io
from decimal import Decimal
from fractions import Fraction

import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
import matplotlib.figure
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.contour import ContourSet
from matplotlib.text import Text

from fatelib import plot, theory, widgets


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def experiment():
    coords = {"theta": [0.4, 0.8, 1.2], "gamma": [0.5, 1.0, 1.5, 2.0]}
    values = np.random.default_rng(0).normal(size=(3, 4, 5))
    return xr.DataArray(values, dims=("theta", "gamma", "instance"), coords=coords)


@pytest.mark.parametrize(
    ("theta", "text"),
    [(0.0, "0"), (np.pi, "π"), (np.pi / 8, "π/8"), (3 * np.pi / 4, "3π/4"), (1.0, "0.318π")],
)
def test_angles_are_multiples_of_pi(theta, text):
    assert plot.format_angle(theta) == text


def test_phase_diagram_is_symmetric_about_zero_and_marks_unconverged_cells(experiment):
    converged = xr.ones_like(experiment, dtype=bool)
    converged.loc[{"theta": 0.8, "gamma": 1.0, "instance": 2}] = False
    ax = plot.phase_diagram(experiment.assign_coords(instance=range(5)),
                            converged=converged)  # fmt: skip
    mesh = ax.collections[0]
    low, high = mesh.get_clim()
    assert low == -high
    np.testing.assert_allclose(
        mesh.get_array().reshape(4, 3),
        experiment.mean("instance").transpose("gamma", "theta").clip(low, high),
    )
    (dots,) = ax.lines
    assert [tuple(p) for p in dots.get_xydata()] == [(0.8, 1.0)]


def test_slices_draw_means_with_standard_errors_and_hollow_points(experiment):
    converged = xr.ones_like(experiment, dtype=bool)
    converged.loc[{"gamma": 1.0}] = False
    ax = plot.slices(experiment, experiment.mean("instance"), converged=converged)
    filled, hollow = ax.containers[0], ax.containers[1]
    mean = experiment.sel(theta=0.4).mean("instance")
    np.testing.assert_allclose(
        np.nan_to_num(filled.lines[0].get_ydata()), mean.where(mean.gamma != 1.0, 0.0)
    )
    assert np.isfinite(hollow.lines[0].get_ydata()).sum() == 1
    labels = ax.get_legend_handles_labels()[1]
    assert labels == [f"$\\theta$ = {plot.format_angle(t)}" for t in (0.4, 0.8, 1.2)]


def test_infinite_cells_take_the_strongest_colour(experiment):
    values = experiment.mean("instance")
    values.loc[{"theta": 0.8, "gamma": 1.0}] = np.inf
    ax = plot.phase_diagram(values, limit=1.0)
    assert ax.collections[0].get_array().reshape(4, 3)[1, 1] == 1.0


def test_a_single_curve_has_its_own_label(experiment):
    ax = plot.slices(experiment.sel(theta=0.4), by=None, label="scratch")
    assert ax.get_legend_handles_labels()[1] == ["scratch"]


def test_a_diagram_of_relu_networks(experiment):
    names = {"theta": "fraction", "gamma": "n"}
    coords = {"fraction": [0.1, 0.5, 0.9], "n": [10, 100, 1000, 10_000]}
    relu = experiment.drop_vars(names).rename(names).assign_coords(coords)
    ax = plot.phase_diagram(relu)
    mesh = ax.collections[0]
    np.testing.assert_allclose(
        mesh.get_array().reshape(4, 3), relu.mean("instance").T.clip(*mesh.get_clim())
    )
    assert ax.get_yscale() == "log"
    # Cells meet half way in proportion.
    np.testing.assert_allclose(mesh.get_coordinates()[:, 0, 1], 10 ** np.arange(0.5, 5))


def test_what_cannot_be_drawn_is_named(experiment):
    two = experiment.expand_dims(protocol=["a", "b"])
    with pytest.raises(ValueError, match=r"transferability\.sel\(protocol='a'\)"):
        plot.phase_diagram(two)
    with pytest.raises(ValueError, match=r"measured must have .* alone; got 'protocol' too"):
        plot.slices(two)
    with pytest.raises(ValueError, match=r"must have the dimensions \('theta', 'gamma'\)"):
        plot.phase_diagram(experiment.isel(theta=0))
    with pytest.raises(ValueError, match="converged must have the cells of transferability"):
        plot.phase_diagram(experiment, converged=experiment.isel(theta=[0]) > 0)
    with pytest.raises(ValueError, match="finite somewhere"):
        plot.phase_diagram(experiment * np.nan)
    with pytest.raises(ValueError, match=r"x must be 'theta' or 'gamma'; got 'n'"):
        plot.slices(experiment, x="n")
    assert plt.get_fignums() == []


def test_one_row_is_a_diagram_too(experiment):
    ax = plot.phase_diagram(experiment.isel(gamma=[0]), colorbar=False)
    assert ax.collections[0].get_array().size == 3


def test_slices_need_something_to_draw():
    with pytest.raises(ValueError, match="measured"):
        plot.slices()


def test_unlabelled_arrays_are_refused_by_name(experiment):
    with pytest.raises(TypeError, match=r"transferability must be an xarray\.DataArray"):
        plot.phase_diagram(experiment.to_dataset(name="T"))


def _luminance(color):
    channels = np.asarray(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _contrast(one, other):
    """Contrast as the Web Content Accessibility Guidelines define it, from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


DARK_PAGE = {"savefig.facecolor": "black", "text.color": "white"}


@pytest.mark.parametrize(
    "styles",
    [
        ["fatelib.style"],
        *(
            styles
            for other in ("dark_background", "Solarize_Light2", "ggplot", "grayscale", "classic")
            for styles in ([other, "fatelib.style"], ["fatelib.style", other])
            if styles[-1] != "Solarize_Light2"  # its own text falls short
        ),
        ["dark_background", {"savefig.facecolor": "white"}, "fatelib.style"],
        ["dark_background", {"savefig.facecolor": "black"}, "fatelib.style"],
        [DARK_PAGE, "fatelib.style"],
        ["fatelib.style", {"figure.facecolor": "black"}, "fatelib.style"],
    ],
    ids=str,
)
def test_what_is_saved_can_be_read(styles, experiment):
    with plt.style.context(styles):
        figure, (left, right) = plt.subplots(1, 2)
        plot.phase_diagram(experiment, ax=left)
        left.set_title("title")
        figure.suptitle("title of all")
        plot.slices(experiment, experiment.mean("instance"), ax=right)
        plot.angle_axis(right.yaxis)
        legend = right.legend(title="angle")
        saved = io.BytesIO()
        figure.savefig(saved, format="png")
    saved.seek(0)
    page = plt.imread(saved)[0, 0, :3]
    words = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    inside = legend.findobj(Text)
    assert {"title", "title of all"} < {text.get_text() for text in words}
    for text in words:
        ground = right.get_facecolor() if text in inside else page
        if text in inside and legend.get_frame_on():
            ground = legend.get_frame().get_facecolor()
        assert _contrast(text.get_color(), ground) >= 4.5, text
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            for tick in axis.get_ticklines():
                if tick.get_visible() and len(axis.get_ticklocs()):
                    assert _contrast(tick.get_color(), page) >= 3, tick


def test_hollow_points_show_the_page_through(experiment):
    converged = xr.zeros_like(experiment, dtype=bool)
    with plt.style.context("dark_background"):
        ax = plot.slices(experiment, converged=converged)
    hollow = [line for bars in ax.containers for line in bars.lines[:1] if line.get_ydata().size]
    shown = [line for line in hollow if np.isfinite(line.get_ydata()).any()]
    assert {to_rgb(line.get_markerfacecolor()) for line in shown} == {to_rgb("black")}


def _line(ax):
    """Vertices of the line that is drawn where nothing is won or lost."""
    drawn = [lines for lines in ax.collections if isinstance(lines, ContourSet)]
    return np.concatenate([path.vertices for lines in drawn for path in lines.get_paths()])


def _in_cells(points, theta, gamma):
    """Coordinates counted in cells of the grid."""
    return np.stack(
        [np.interp(points[:, i], grid, range(len(grid))) for i, grid in enumerate((theta, gamma))],
        axis=1,
    )


def _apart(points, others):
    """Distance from each point to the nearest other one, the larger of the two coordinates."""
    return np.abs(points[:, None] - others[None, :]).max(axis=2).min(axis=1)


def _ties(theta, gamma, sigma):
    """Where linear transfer ties with scratch training, by the closed forms, within a grid."""
    angles = np.linspace(theta[0], theta[-1], 3000)
    low, high = theory.negative_transfer_interval(angles, sigma)
    bounds = [low, high, theory.negative_transfer_onset(angles, sigma)]
    curves = [np.stack([angles, bound], axis=1) for bound in bounds]
    ratios = np.linspace(gamma[0], gamma[-1], 3000)  # where the curves are steep
    risk = np.asarray(theory.scratch_risk(ratios, sigma))
    curves.append(np.stack([np.arcsin(np.sqrt(np.minimum(risk, 1))), ratios], axis=1)[risk <= 1])
    points = np.concatenate(curves)
    inside = (points >= [theta[0], gamma[0]]) & (points <= [theta[-1], gamma[-1]])
    return points[inside.all(axis=1)]


GRIDS = {
    "landing page": (np.linspace(0, np.pi / 2, 121), np.linspace(0.01, 2, 200)),
    "coarse": (np.linspace(0, np.pi / 2, 9), np.arange(1, 21) / 10),
    "coarser": (np.linspace(0.1, 1.5, 5), np.array([0.2, 0.5, 0.8, 1.0, 1.3, 2.0])),
    "uneven": (np.geomspace(0.01, np.pi / 2, 30), np.array([0.05, 0.3, *np.linspace(0.4, 3, 27)])),
    "beyond the peak": (np.linspace(0, 0.5, 40), np.linspace(1.05, 9, 50)),
}


@pytest.mark.parametrize("sigma", [0.2, 0.02])
@pytest.mark.parametrize("grid", GRIDS)
def test_the_line_is_where_they_tie(grid, sigma):
    theta, gamma = GRIDS[grid]
    T = theory.linear_transferability(gamma, theta[:, None], sigma)
    T = xr.DataArray(T, coords={"theta": theta, "gamma": gamma})
    line = _in_cells(_line(plot.phase_diagram(T, limit=1)), theta, gamma)
    # What values in cells can tell: to within a cell, and no band that falls between two of them.
    ties = _ties(theta, gamma, sigma)
    seen = _in_cells(ties, theta, gamma)
    assert _apart(line, seen).max() <= 1
    at = np.minimum(seen.astype(int), [len(theta) - 2, len(gamma) - 2])
    signs = np.sign(T.values)
    corners = [signs[at[:, 0] + i, at[:, 1] + j] for i in (0, 1) for j in (0, 1)]
    told = np.ptp(corners, axis=0) > 0
    assert told.mean() > 0.3
    assert _apart(seen[told], line).max() <= 1


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_the_line_goes_on_beside_cells_without_a_number(hole):
    theta, gamma = np.linspace(0, np.pi / 2, 40), np.arange(1, 41) / 20
    T = theory.linear_transferability(gamma, theta[:, None], 0.2)
    T = xr.DataArray(T, coords={"theta": theta, "gamma": gamma})
    assert np.isinf(T.sel(gamma=1)).all()
    line = _in_cells(
        _line(plot.phase_diagram(T.fillna(0).where(np.isfinite(T), hole))), theta, gamma
    )
    seen = _in_cells(_ties(theta, gamma, 0.2), theta, gamma)
    peak = np.interp(1.0, gamma, range(len(gamma)))
    away = np.abs(seen[:, 1] - peak) > (1 if np.isnan(hole) else 0)
    assert _apart(line, seen).max() <= 1
    assert _apart(seen[away], line).max() <= 1


@pytest.mark.parametrize("step", [1, 7])
def test_where_all_tie_there_is_no_line(step):
    theta, gamma = np.linspace(0, np.pi / 2, 92)[::step], np.linspace(0.01, 2, 200)[::step]
    T = theory.fine_tuning_transferability(gamma, theta[:, None], 0.0)
    T = xr.DataArray(T, coords={"theta": theta, "gamma": gamma})
    assert (T.sel(gamma=slice(1, None)) == 0).all()
    line = _line(plot.phase_diagram(T, limit=1))
    width, height = theta[1] - theta[0], gamma[1] - gamma[0]
    assert np.abs(line[:, 0] - np.pi / 3).max() <= width
    np.testing.assert_allclose(line[:, 1].min(), gamma[0])
    assert 1 - height <= line[:, 1].max() <= 1 + height
    # The same with what float32 makes of equal risks.
    rounded = T + np.random.default_rng(0).choice([-1e-7, 0, 1e-7], T.shape)
    again = _line(plot.phase_diagram(rounded.astype("float32"), limit=1))
    assert np.abs(again[:, 0] - np.pi / 3).max() <= width
    assert again[:, 1].max() <= 1 + height


@pytest.mark.parametrize("noise", [0.003, 0.03])
def test_the_line_of_an_experiment_leaves_out_what_may_be_chance(noise):
    theta, gamma = np.pi / 40 * np.arange(1, 21), np.arange(1, 41) / 20
    T = theory.fine_tuning_transferability(gamma, theta[:, None], 0.0)
    exact = xr.DataArray(T, coords={"theta": theta, "gamma": gamma})
    draws = np.random.default_rng(1).normal(size=(*T.shape, 20))
    T = exact + noise * xr.DataArray(draws, dims=("theta", "gamma", "instance"))
    line = _line(plot.phase_diagram(T, limit=1))
    error = noise / 20**0.5
    # It passes cells whose mean may well be zero, and no others; beyond one sample per dimension
    # all are zero. Five errors are beyond chance in 800 cells.
    bound = 5 * error + 2 * np.pi / 40 * 3**0.5  # slope of 2 cos θ - 1, two cells
    assert (np.abs(2 * np.cos(line[:, 0]) - 1) * np.clip(1 - line[:, 1], 0, 1)).max() <= bound
    assert line[:, 1].max() <= 1.1
    np.testing.assert_allclose(line[:, 1].min(), gamma[0])
    few = T.where(T.gamma > 1.05, drop=True)
    assert not [c for c in plot.phase_diagram(few).collections if isinstance(c, ContourSet)]


def test_a_small_but_certain_gain_has_its_line(experiment):
    coords = {"theta": [0.2, 0.4, 0.6], "gamma": [0.5, 1.0, 1.5, 2.0]}
    mean = xr.DataArray([4e-3, 2e-3, -1.0], coords={"theta": coords["theta"]})
    T = mean + 1e-4 * experiment.assign_coords(coords)
    line = _line(plot.phase_diagram(T, limit=1))
    assert (line[:, 0] > 0.4).all()
    np.testing.assert_allclose(np.ptp(line[:, 1]), 1.5)


def test_one_instance_is_drawn_as_it_is(experiment):
    one = experiment.isel(instance=[0])
    np.testing.assert_array_equal(
        _line(plot.phase_diagram(one)), _line(plot.phase_diagram(one.isel(instance=0)))
    )


def test_what_would_not_be_drawn_is_refused():
    curve = xr.DataArray([[0.1, -0.1]], coords={"theta": [0.5], "gamma": [0.5, 2.0]})
    with pytest.raises(ValueError, match="label names a single curve"):
        plot.slices(theory=curve, label="mine")
    with pytest.raises(ValueError, match="converged has no effect without measured"):
        plot.slices(theory=curve, converged=curve.expand_dims(instance=2) > 0)


@pytest.mark.parametrize("limit", [np.array(0.5), jnp.array(0.5), Fraction(1, 2), Decimal("0.5")])
def test_limits_are_numbers_of_any_kind(limit):
    grid = xr.DataArray(
        np.linspace(-1, 1, 12).reshape(3, 4),
        coords={"theta": [0.1, 0.2, 0.3], "gamma": [0.1, 0.5, 1, 2.0]},
    )
    ax = matplotlib.figure.Figure().subplots()
    plot.phase_diagram(grid, limit=limit, ax=ax)
    assert ax.collections[0].get_clim() == (-0.5, 0.5)
    explorer = widgets.explore(grid, x="gamma", y="theta", limit=limit, at={"gamma": limit})
    assert explorer.figure["limit"] == 0.5
