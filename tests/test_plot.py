"""Figures say what the data say."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from fatelib import plot


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
