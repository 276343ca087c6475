"""Grids of ReLU experiments: what is shared, what is stored, and that theory predicts them."""

import jax
import numpy as np
import pytest
import xarray as xr

from fatelib import relu, theory
from fatelib.relu.diagram import relu_phase_diagram
from fatelib.transfer import fine_tune, linear_transfer, scratch

KEY = jax.random.key(3)
SMALL = {
    "d": 6,
    "width": 12,
    "teacher_width": 5,
    "instances": 3,
    "key": KEY,
    "absolute_tolerance": 1e-3,
    "progress": False,
}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    store = tmp_path_factory.mktemp("relu") / "store"
    return relu_phase_diagram([0.2, 0.6], [10, 40], store=store, **SMALL), store


@pytest.mark.slow
def test_cells_are_the_protocols(grid):
    """One cell of each kind, done by hand."""
    data, _ = grid
    assert data.risk.dims == ("protocol", "fraction", "n", "instance")
    assert data.converged.all()
    own = jax.random.fold_in(KEY, 1)
    tasks = relu.ReluTasks.ablated(jax.random.fold_in(own, 0), 6, 5, 0.6)
    X, y = tasks.sample(jax.random.fold_in(jax.random.fold_in(own, 1), 40), 40)
    cell = data.sel(fraction=0.6, n=40, instance=1)
    new = scratch(jax.random.fold_in(own, 3), tasks, X, y, width=12, absolute_tolerance=1e-3)
    np.testing.assert_allclose(cell.risk_scratch, new.risk, rtol=1e-3)
    start = relu.ReluNetwork.init(jax.random.fold_in(own, 2), 6, 12)
    student, _ = relu.pretrain(start, tasks.source, absolute_tolerance=1e-3, steps=100_000)
    tuned = fine_tune(student, tasks, X, y, absolute_tolerance=1e-3)
    np.testing.assert_allclose(cell.risk.sel(protocol="fine_tuning"), tuned.risk, rtol=1e-3)
    sets = {"linear_transfer": student, "source_features": tasks.source, "random_features": start}
    for protocol, features in sets.items():
        fitted = linear_transfer(features, tasks, X, y)
        np.testing.assert_allclose(cell.risk.sel(protocol=protocol), fitted.risk, rtol=1e-3)
        found = relu.feature_spectrum(features.W, tasks.target.W, tasks.target.c / 5)
        np.testing.assert_allclose(cell.outside.sel(protocol=protocol), found.residual, atol=1e-5)
        predicted = theory.ridge_risk(
            40, found.eigenvalues, found.coefficients2, residual=found.residual
        )
        np.testing.assert_allclose(cell.risk_theory.sel(protocol=protocol), predicted, rtol=1e-2)
    np.testing.assert_allclose(cell.transferability, cell.risk_scratch - cell.risk, atol=1e-6)
    # No last layer does better than the part of the target outside its features.
    linear = data.risk.drop_sel(protocol="fine_tuning")
    assert (linear >= data.outside.drop_sel(protocol="fine_tuning") - 1e-6).all()


@pytest.mark.slow
def test_cells_at_once_are_cells_one_by_one(grid, monkeypatch):
    """The form for accelerators, on the CPU: here the half that goes on does so alone, too."""
    monkeypatch.setattr("fatelib.descent.batch._ONE_BY_ONE", ())
    monkeypatch.setattr("fatelib.descent.batch._FEW", 2)
    jax.clear_caches()  # programs are kept by function
    data = relu_phase_diagram([0.2, 0.6], [40], **SMALL)
    jax.clear_caches()
    alone = grid[0].sel(n=[40])
    for name in ("risk", "risk_scratch", "source_loss"):
        np.testing.assert_allclose(data[name], alone[name], rtol=1e-3, err_msg=name)
    for name in ("steps", "steps_scratch", "converged", "source_steps"):
        np.testing.assert_array_equal(data[name], alone[name], err_msg=name)


@pytest.mark.slow
def test_a_part_has_the_values_of_the_whole_and_a_store_is_kept(grid):
    data, store = grid
    again = relu_phase_diagram([0.2, 0.6], [10, 40], store=store, **SMALL)
    xr.testing.assert_identical(data, again)
    part = relu_phase_diagram([0.6], [40], protocols=["source_features"], **SMALL)
    whole = data.sel(fraction=[0.6], n=[40], protocol=["source_features"])
    np.testing.assert_allclose(part.risk, whole.risk, rtol=1e-5)
    np.testing.assert_allclose(part.risk_scratch, whole.risk_scratch, rtol=1e-5)
    # What does not depend on a parameter is kept, what does is refused.
    with pytest.raises(ValueError, match=r"scratch\.zarr was made with sigma = 0\.0, not 0\.5"):
        relu_phase_diagram([0.2, 0.6], [10, 40], store=store, sigma=0.5, **SMALL)
    with pytest.raises(ValueError, match=r"source\.zarr was made with scale = 1\.0, not 0\.5"):
        relu_phase_diagram([0.2, 0.6], [10, 40], store=store, scale=0.5, **SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fractions": [1.5]}, r"fractions must be a number in \[0, 1\]; got 1\.5"),
        ({"fractions": []}, "fractions must not be empty or hold one value twice"),
        ({"ns": [10, 10]}, r"ns must not be empty or hold one value twice; got \[10, 10\]"),
        ({"source_options": {"tolerances": 1}}, "source_options must be of .*; got"),
        ({"source_options": {"steps": -1}}, "source_options: steps must be an integer >= 0"),
        ({"ns": np.array([2.5])}, "ns must be integers >= 1"),
        ({"width": 0}, "width must be an integer >= 1"),
        ({"protocols": ["scratch"]}, r"protocols must be one of .*; got 'scratch'"),
        ({"outputs": "zeros"}, "outputs must be 'ones', 'sign' or 'gaussian'"),
        ({"precision": "low"}, "precision must be 'highest', 'high' or 'default'"),
        ({"sigma": -1.0}, "sigma must be a number >= 0"),
        ({"scale": 0.0}, "scale must be a number > 0"),
        ({"learning_rate": 0.0}, "learning_rate must be a number > 0"),
        ({"memory": 0.0}, "memory must be a number > 0"),
        ({"memory": 1e-6}, r"memory must be at least 2.65e-05 \(gigabytes\).*; got 1e-06"),
    ],
)
def test_impossible_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        relu_phase_diagram(**{"fractions": [0.5], "ns": [10], **SMALL, **changes})


def test_predictions_are_of_the_same_networks_whatever_the_generator():
    """The target lies outside the features of its own student by no more than the student errs."""
    key = jax.random.key(0, impl="unsafe_rbg")
    options = {"d": 4, "width": 8, "teacher_width": 3, "instances": 3, "steps": 300}
    data = relu_phase_diagram(
        [0.0], [8], key=key, protocols=["linear_transfer"], **options, progress=False
    )
    outside = data.outside.sel(protocol="linear_transfer")
    # The projection is the best of all output weights: below, but for the rounding of float32.
    assert (outside <= 1.001 * data.source_loss + 1e-5 * data.norm2).all()
    assert (data.source_loss < 0.5 * data.norm2).all()
