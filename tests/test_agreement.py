"""The agreement table must be able to disagree."""

from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr

from fatelib.agreement import agreement_table


@pytest.fixture
def measured():
    """Twelve cells of unit-variance noise, forty repetitions each."""
    values = np.random.default_rng(0).normal(size=(3, 4, 40))
    coords = {"theta": [0.1, 0.2, 0.3], "gamma": [0.5, 1.0, 1.5, 2.0]}
    return xr.DataArray(values, dims=("theta", "gamma", "instance"), coords=coords)


def test_counts_standard_errors_of_the_worst_cell(measured):
    mean, spread = measured.mean("instance"), measured.std("instance", ddof=1)
    shift = 2.5 * spread / np.sqrt(40)
    table = agreement_table({"noise": (measured, mean + shift)})
    assert table.comparisons[0].deviation == pytest.approx(2.5)
    assert table.comparisons[0].cells == 12


def test_true_mean_agrees_and_wrong_mean_does_not(measured):
    assert agreement_table({"noise": (measured, 0.0)}).comparisons[0].agrees
    with pytest.raises(AssertionError, match=r"wrong.*\n?.*gamma = "):
        agreement_table({"wrong": (measured, 1.0)})


def test_one_wrong_cell_is_found_and_named(measured):
    theory = xr.zeros_like(measured.isel(instance=0, drop=True))
    theory.loc[{"theta": 0.2, "gamma": 1.5}] = 1.0
    with pytest.raises(AssertionError, match=r"theta = 0\.2, gamma = 1\.5"):
        agreement_table({"noise": (measured, theory)})


def test_where_leaves_cells_out_and_says_so(measured):
    spoilt = measured.where(measured.gamma != 1.0)
    with pytest.raises(AssertionError, match="inf"):
        agreement_table({"noise": (spoilt, 0.0)})
    row = agreement_table({"noise": (spoilt, 0.0)}, where=measured.gamma != 1.0).comparisons[0]
    assert (row.cells, row.left_out) == (9, 3)
    with pytest.raises(ValueError, match="no cell to compare"):
        agreement_table({"noise": (spoilt, 0.0)}, where=measured.gamma > 9)


def test_absolute_deviation_of_deterministic_quantities(measured):
    mean = measured.mean("instance")
    row = agreement_table({"exact": (mean, mean + 0.25)}, over=None, tolerance=0.3).comparisons[0]
    assert row.deviation == pytest.approx(0.25)
    with pytest.raises(AssertionError):
        agreement_table({"exact": (mean, mean + 0.25)}, over=None, tolerance=0.2)


def test_a_single_repetition_has_no_error_bar(measured):
    with pytest.raises(ValueError, match="noise needs at least 2 repetitions"):
        agreement_table({"noise": (measured.isel(instance=[0]), 0.0)})


def test_repetitions_without_spread_agree_only_when_equal(measured):
    constant = xr.ones_like(measured)
    assert agreement_table({"one": (constant, 1.0)}).comparisons[0].deviation == 0
    with pytest.raises(AssertionError):
        agreement_table({"one": (constant, 1.0 + 1e-9)})


def test_the_table_displays_itself(measured):
    table = agreement_table({"a <b>": (measured, 0.0)})
    assert "a &lt;b&gt;" in table._repr_html_()
    assert "4 s.e." in repr(table)


def test_what_is_left_out_is_explained_where_it_occurs(measured):
    whole = agreement_table({"noise": (measured, 0.0)})
    part = agreement_table({"noise": (measured, 0.0)}, where=measured.gamma != 1.0)
    for shown in (repr, lambda table: table._repr_html_()):
        assert "training had not converged" in shown(part)
        assert "training had not converged" not in shown(whole)
    ElementTree.fromstring(part._repr_html_())


def test_coordinates_that_differ_are_refused_not_dropped(measured):
    theory = xr.zeros_like(measured.isel(instance=0, drop=True))
    theory = theory.assign_coords(gamma=[0.5, 1.0, 1.5, 2.0000001])
    with pytest.raises(ValueError, match="noise: measured, theory and where differ"):
        agreement_table({"noise": (measured, theory)})


def test_text_coordinates_are_written_as_they_are(measured):
    named = measured.assign_coords(theta=["a", "b", "c"])
    assert "theta = " in agreement_table({"noise": (named, 0.0)}).comparisons[0].location
