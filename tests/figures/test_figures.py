"""Every figure computes, agrees with its theory and draws, at a size that takes seconds."""

import re

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from fatelib import plot, relu, theory
from fatelib.agreement import Agreement
from fatelib.figures import (
    FIGURES,
    curves,
    decay,
    distances,
    dynamics,
    kernels,
    relu_transfer,
    students,
)
from fatelib.figures.decay import _ridge_solutions, decayed_risk
from fatelib.figures.dynamics import _unbalanced_strength
from fatelib.figures.figure import tolerance
from fatelib.linear import Bidiagonal, DeepLinear, pretrain
from fatelib.sweep import instance_keys

GRID = {
    "d": 60,
    "instances": 6,
    "thetas": np.pi / 8 * np.array([1, 2, 3]),
    "gammas": (0.4, 2.0),
}
PLAIN = {name: GRID[name] for name in ("d", "instances", "gammas")}
TINY = {
    "fig-1": GRID,
    "fig-2": {**GRID, "slices": (0.8,), "depths": (2, 3), "sigmas": (0.0, 1.0)},
    "fig-7": GRID,
    "fig-source": GRID,
    "fig-surface": GRID,
    "fig-scratch": PLAIN,
    "fig-ridge": {"d": 60, "instances": 6, "ridges": (0.0, 0.2)},
    "fig-5": {**GRID, "decays": (0.0, 0.1)},
    "fig-l2sp": {**GRID, "ridges": (0.01, 0.03, 0.1, 0.3)},
    "fig-dynamics": {"d": 100, "instances": 3, "depths": (2, 3), "records": 50},
    "fig-time": {"d": 40, "instances": 3, "thetas": (0.4, 1.2), "duration": 100.0, "records": 10},
    "fig-4a": GRID,
    "fig-4b": {**GRID, "sizes": (2, 40), "samples": 20},
    "fig-mercer": {"d": 5, "neurons": 300, "instances": 6},
    "fig-3c": {
        "d": 8,
        "teacher_width": 5,
        "widths": (20, 40),
        "ns": (15, 40),
        "instances": 6,
        "absolute_tolerance": 1e-4,
    },
    "fig-3e": {
        "d": 8,
        "width": 24,
        "teacher_width": 6,
        "fractions": (0.3, 0.6),
        "ns": (60, 120),
        "instances": 3,
        "absolute_tolerance": 1e-3,
        "source_options": {"steps": 300, "absolute_tolerance": 1e-6},
    },
    "fig-curve": {
        "d": 12,
        "width": 40,
        "teacher_width": 8,
        "ns": (100, 200),
        "instances": 12,
        "absolute_tolerance": 1e-4,
    },
    "fig-3d": {"mus": (0.3, 0.6), "samples": 300, "instances": 6},
    "fig-3ab": {
        "d": 10,
        "width": 20,
        "neurons": 6,
        "scales": (0.1, 1.0),
        "instances": 2,
        "steps": 60,
        "records": 6,
        "inputs": 60,
        "batches": 20,
    },
}


def test_the_registry_is_complete():
    assert set(FIGURES) == set(TINY)
    for key, figure in FIGURES.items():
        assert figure.key == key
        assert set(figure.scales) == {"laptop", "paper"}
        assert set(figure.scales["laptop"]) == set(figure.scales["paper"])


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def _off_by_twice_the_tolerance(data, table):
    """Move what the theory says by twice what the table allows: more than it can forgive."""
    rows = table.comparisons
    beyond = [re.search(r"beyond (\S+) s\.e\.", row.quantity) for row in rows]
    errors = [row.tolerance for row in rows if row.unit == "standard errors"]
    share = 0.0 if errors else max(row.tolerance for row in rows)
    errors += [float(match[1]) for match in beyond if match]
    wrong = data.copy()
    for name in data:
        measured = str(name).removesuffix("_theory")
        if measured == name or measured not in data:
            continue
        shift = share * abs(data[name])
        if errors:
            distance = data[measured] - data[name]
            repeated = "batch" if "batch" in distance.dims else "instance"
            error = distance.std(repeated, ddof=1) / distance.sizes[repeated] ** 0.5
            shift = shift + max(errors) * error
        wrong[name] = data[name] + 2 * shift
    return wrong


# What experiments call, in and out of sweeps.
EXPERIMENTS = (
    *("pretrain", "train", "fine_tune", "linear_transfer", "scratch", "reduced_tasks"),
    *("arccos_kernel", "feature_gram", "empirical_wasserstein"),
)


@pytest.fixture
def no_experiments(monkeypatch):
    """Return a function, after which a figure may read what is stored and evaluate its theory."""

    def computes(*arguments, **options):
        raise AssertionError("an experiment runs again")

    def forbid():
        monkeypatch.setattr("fatelib.sweep.run.spread", computes)
        for place in (relu, curves, decay, distances, dynamics, kernels, relu_transfer, students):
            for name in EXPERIMENTS:
                if hasattr(place, name):
                    monkeypatch.setattr(place, name, computes)

    return forbid


@pytest.mark.slow
@pytest.mark.parametrize("key", TINY)
def test_a_figure_computes_agrees_draws_and_is_not_computed_again(key, tmp_path, no_experiments):
    figure = FIGURES[key]
    # Raises where a key is used for two draws. With it gradient flow takes minutes to compile; all
    # that fig-time draws is drawn by other figures too.
    with jax.debug_key_reuse(key != "fig-time"):
        data = figure.compute(store=tmp_path, progress=False, **TINY[key])
    assert data.attrs["figure"] == key
    assert any(str(name).endswith("_theory") for name in data)
    table = figure.compare(data)
    assert isinstance(table, Agreement)
    assert all(row.agrees for row in table.comparisons)
    picture = figure.draw(data)
    picture.canvas.draw()
    assert len(picture.axes) >= 1

    with pytest.raises(AssertionError, match="disagree"):
        figure.compare(_off_by_twice_the_tolerance(data, table))

    no_experiments()
    again = figure.compute(store=tmp_path, progress=False, **TINY[key])
    xr.testing.assert_identical(again, data)


def test_interrupted_distances_go_on_where_they_were(tmp_path, monkeypatch):
    calls = []
    true = distances.empirical_wasserstein

    def count(*samples, **options):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(samples)
        return true(*samples, **options)

    grid = {"thetas": [0.0, 1.0], "sizes": [2], "instances": 2, "samples": 4, "sigma": 0.2}
    options = {**grid, "seed": 0, "progress": False}
    whole = distances._wasserstein(**options, store=None)
    monkeypatch.setattr(distances, "empirical_wasserstein", count)
    with pytest.raises(KeyboardInterrupt):
        distances._wasserstein(**options, store=tmp_path)
    del calls[:]  # two of these are stored, the third is not
    xr.testing.assert_identical(distances._wasserstein(**options, store=tmp_path), whole)
    assert len(calls) == 2


def test_instances_of_students_have_the_keys_of_one_split():
    key = jax.random.key(3)
    some = students._three_keys(key, 5, instance_keys(key, 5)[jnp.array([4, 1, 1])])
    expected = jax.random.split(key, (5, 3))[jnp.array([4, 1, 1])]
    np.testing.assert_array_equal(*map(jax.random.key_data, (some, expected)))


def test_paper_scale_is_that_of_the_paper():
    paper = FIGURES["fig-1"].scales["paper"]
    assert (paper["d"], paper["instances"], paper["sigma"]) == (500, 20, 0.2)
    np.testing.assert_allclose(paper["gammas"], np.linspace(0.1, 2.0, 20))
    np.testing.assert_allclose(paper["thetas"], np.linspace(0.05, 1.0, 20) * np.pi / 2)
    source = FIGURES["fig-ridge"].scales["paper"]
    np.testing.assert_allclose(source["ridges"], [0, 0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "huge"}, r"scale must be one of ['laptop', 'paper']; got 'huge'"),
        ({"alpha": 1.0}, "alpha is no setting of fig-1, which takes"),
        ({"instances": 1}, "instances must be an integer >= 2; got 1"),
    ],
)
def test_impossible_settings_are_named(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FIGURES["fig-1"].compute(progress=False, **arguments)


def test_the_tolerance_is_exceeded_by_chance_as_often_as_it_says():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(20_000, 10, 6))  # tables of ten independent cells
    t = draws.mean(-1) / (draws.std(-1, ddof=1) / 6**0.5)
    share = (abs(t).max(axis=1) > tolerance(10, 6, chance=0.1)).mean()
    expected = 1 - (1 - 0.01) ** 10
    assert abs(share - expected) < 4 * (expected * (1 - expected) / 20_000) ** 0.5


@pytest.mark.parametrize(("excess", "q"), [(0.0, 0.22), (0.45, 0.16), (-0.1, 0.25)])
def test_a_heavier_last_layer_is_learned_as_the_theory_says(excess, q):
    rate = 0.005
    sizes = [q**0.5] * 3 + [(q + excess) ** 0.5]
    network = DeepLinear(tuple(jnp.full((1, 1), size) for size in sizes))
    _, history = pretrain(
        network,
        jnp.ones(1),
        learning_rate=rate,
        steps=4000,
        tolerance=0.0,
        record_every=20,
        observe=lambda network: network.end_to_end()[0],
    )
    strength = np.asarray(history.observed, float)
    assert strength[-1] > 0.99
    time = rate * np.asarray(history.steps)
    # Descent lags by rate / 2 times the logarithm of how much faster the weights become, about 1
    # from a strength of 0.05, times the slope of the strength, which is below 1.5.
    close = {"rtol": 0, "atol": rate}
    predicted = _unbalanced_strength(time, strength[0], excess, 4)
    np.testing.assert_allclose(predicted, strength, **close)
    balanced = np.asarray(theory.aligned_strength(time, strength[0], depth=4))
    assert np.allclose(balanced, strength, **close) == (excess == 0)


def test_ridge_on_bidiagonal_inputs_is_ridge(x64):
    rng = np.random.default_rng(0)
    diagonal, upper = jnp.asarray(rng.uniform(1, 2, (2, 4)), jnp.float32)
    X = Bidiagonal(diagonal, upper, jnp.asarray(4.0), 6)
    y = rng.normal(size=(4, 2))
    dense = np.asarray(X.dense(), float)[:-1]
    found = _ridge_solutions(X, jnp.asarray(y), jnp.array([0.1, 2.0]))
    for ridge, beta in zip((0.1, 2.0), found, strict=True):
        normal = dense.T @ dense + 4 * ridge * np.eye(6)
        np.testing.assert_allclose(beta, np.linalg.solve(normal, dense.T @ y), rtol=1e-12)


def test_without_decay_there_is_no_ridge():
    n = xr.DataArray([20, 80], dims="gamma")
    decay = xr.DataArray([0.0, 1e-6], dims="weight_decay")
    risk = decayed_risk(n, 40, 0.2, decay)
    np.testing.assert_allclose(*risk.transpose("weight_decay", ...).values, rtol=1e-4)


def test_slices_take_names_as_well_as_numbers():
    curves = xr.DataArray(
        np.ones((2, 3)), coords={"prior": ["none", "source"], "gamma": [0.5, 1.0, 2.0]}
    )
    ax = plot.slices(theory=curves, by="prior")
    assert ax.get_legend_handles_labels()[1] == ["none", "source"]
