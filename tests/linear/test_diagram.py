"""Grids of experiments: what each cell holds, and what cells share."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from fatelib import theory
from fatelib.agreement import agreement_table
from fatelib.linear.diagram import phase_diagram

SMALL = {"d": 30, "sigma": 0.2, "key": jax.random.key(0), "progress": False}


def test_linear_transfer_agrees_with_the_exact_risks():
    thetas = np.array([0.4, 1.2])
    data = phase_diagram("linear_transfer", thetas, [0.5, 2.0], instances=64, **SMALL)
    n = data.n.values
    expected = {
        "scratch": (data.risk_scratch, theory.least_squares_risk(n, 30, noise=0.2)),
        "transfer": (data.risk, theory.linear_transfer_risk(thetas[:, None], n=n, sigma=0.2)),
    }
    agreement_table(expected)
    assert data.converged.all()
    np.testing.assert_allclose(data.transferability, data.risk_scratch - data.risk)


def test_fine_tuning_starts_from_the_source():
    """With almost no target data the network still computes the source, whose risk is known."""
    thetas = np.array([0.4, 2.0])
    data = phase_diagram("fine_tuning", thetas, [0.1], instances=32, learning_rate=0.02, **SMALL)
    assert data.n.item() == 3
    # Three samples replace a tenth of the source by the target, and add the noise of their
    # interpolator. The rest is rescaled by 1 + O(n / d^2) on average: below a standard error.
    source_risk = 2 - 2 * np.cos(thetas[:, None])
    expected = 0.9 * source_risk + 0.2**2 * 3 / (30 - 3 - 1)
    agreement_table({"risk": (data.risk, expected)})
    assert (data.risk.sel(theta=0.4) < data.risk_scratch.sel(theta=0.4)).all()


def test_a_part_of_the_grid_is_a_part_of_the_whole():
    whole = phase_diagram("linear_transfer", [0.4, 0.9], [0.5, 2.0], instances=3, **SMALL)
    part = phase_diagram("linear_transfer", [0.9], [2.0], instances=3, **SMALL)
    for name in ("risk", "risk_scratch", "steps"):
        np.testing.assert_allclose(
            part[name], whole[name].sel(theta=[0.9], gamma=[2.0]), rtol=1e-5, err_msg=name
        )


@pytest.mark.slow
@pytest.mark.parametrize("source_gamma", [np.inf, 3.0])
def test_engines_agree_on_a_diagram(source_gamma):
    """Other samples of the same law: means within 4 standard errors of their difference.

    Learning rate 0.02 leaves descent so close to the flow that its bias is far below them.
    """
    arguments = ([0.4, 1.2], [0.5, 2.0])
    options = {**SMALL, "instances": 60, "steps": 3000, "learning_rate": 0.02}
    options |= {"source_gamma": source_gamma, "source_sigma": 0.3 if source_gamma < np.inf else 0.0}
    grids = {
        engine: phase_diagram("fine_tuning", *arguments, engine=engine, **options)
        for engine in ("gram", "spectral")
    }
    timeless = {k: v for k, v in options.items() if k not in ("steps", "learning_rate")}
    grids["limit"] = phase_diagram("fine_tuning", *arguments, engine="limit", **timeless)
    for engine in ("gram", "spectral"):
        data, limit = grids[engine], grids["limit"]
        assert data.engine == engine
        assert data.converged.all()
        for name in ("risk_scratch", "risk"):
            difference = data[name].mean("instance") - limit[name].mean("instance")
            error = np.hypot(data[f"{name}_error"], limit[f"{name}_error"])
            assert (abs(difference) < 4 * error + 2e-3).all(), (engine, name)


def test_a_finite_source_is_learned_as_the_theory_says():
    arguments = ([0.4, 1.2], [0.5])
    options = {"d": 400, "sigma": 0.2, "key": jax.random.key(0), "progress": False}
    options |= {"instances": 100, "engine": "limit", "source_sigma": 0.2}
    data = phase_diagram("fine_tuning", *arguments, source_gamma=[0.5, 1.5, np.inf], **options)
    assert data.sizes["source_gamma"] == 3
    expected = theory.fine_tuning_transferability(
        0.5,
        np.array([[0.4], [1.2]]),
        0.2,
        source_gamma=np.array([[[0.5]], [[1.5]], [[np.inf]]]),
        source_sigma=0.2,
    )
    # The limit is reached up to a few times 1/d.
    difference = abs(data.transferability.mean("instance") - expected)
    assert (difference < 4 * data.transferability_error + 5 / 400).all()


@pytest.mark.slow
def test_more_dimensions():
    """Sequences add dimensions; a part has the values of the whole."""
    sequences = {"sigma": [0.0, 0.5], "depth": [2, 3], "weight_decay": [0.0, 1e-3]}
    options = {"d": 30, "key": jax.random.key(0), "progress": False, "instances": 3}
    data = phase_diagram("fine_tuning", [0.4], [0.5, 2.0], **options, **sequences, steps=500)
    assert data.risk.dims == ("depth", "sigma", "weight_decay", "theta", "gamma", "instance")
    part = phase_diagram(
        "fine_tuning", [0.4], [2.0], **options, sigma=0.5, depth=3, weight_decay=1e-3, steps=500
    )
    whole = data.sel(sigma=0.5, depth=3, weight_decay=1e-3, gamma=[2.0])
    np.testing.assert_allclose(part.risk, whole.risk, rtol=1e-5)
    assert part.attrs["depth"] == 3
    ridges = phase_diagram(
        "linear_transfer", [0.4], [0.5], **options, sigma=0.5, ridge=[0.0, 0.5], engine="limit"
    )
    assert ridges.risk.dims == ("ridge", "theta", "gamma", "instance")
    assert (ridges.risk_scratch.sel(ridge=0.0) == ridges.risk_scratch.sel(ridge=0.5)).all()


def test_independent_cells():
    options = {**SMALL, "instances": 200, "engine": "limit"}
    common = phase_diagram("fine_tuning", [0.4, 0.5], [0.5], **options)
    independent = phase_diagram("fine_tuning", [0.4, 0.5], [0.5], common=False, **options)
    correlations = [
        np.corrcoef(data.risk.sel(theta=0.4, gamma=0.5), data.risk.sel(theta=0.5, gamma=0.5))[0, 1]
        for data in (common, independent)
    ]
    assert correlations[0] > 0.9
    assert abs(correlations[1]) < 4 / 200**0.5


def test_independent_cells_learn_their_own_source():
    """At angle zero a network that starts from its source has nothing to learn but the noise."""
    options = {**SMALL, "sigma": 0.0, "instances": 3, "learning_rate": 0.02, "common": False}
    data = phase_diagram("fine_tuning", [0.0], [0.5], engine="descent", **options)
    # Pretraining stops with a loss of 1e-6, and nothing makes it worse.
    assert (data.risk < 1e-5).all()


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_cells_at_once_are_cells_one_by_one(monkeypatch):
    """The form for accelerators, on the CPU."""
    options = {**SMALL, "d": 8, "instances": 2, "learning_rate": 0.02, "steps": 1000}
    options |= {"sigma": [0.1, 0.5], "weight_decay": [0.0, 0.01], "scale": 0.1}
    options |= {"engine": "descent"}

    def run():
        jax.clear_caches()  # programs are kept by function
        return phase_diagram("fine_tuning", [0.4, 1.2], [0.5, 1.5], **options)

    alone = run()
    monkeypatch.setattr("fatelib.descent.batch._ONE_BY_ONE", ())
    monkeypatch.setattr("fatelib.descent.batch._FEW", 8)
    at_once = run()
    jax.clear_caches()
    for name in ("risk", "risk_scratch", "steps", "steps_scratch", "converged"):
        np.testing.assert_allclose(at_once[name], alone[name], rtol=1e-10, err_msg=name)


def test_one_instance_must_fit(dtype):
    """300 cells of two matrices of 1000 x 1000 and what goes with them."""
    needed = {"float32": r"4\.9", "float64": r"9\.79"}[dtype.name]
    options = {**SMALL, "d": 1000, "instances": 2, "engine": "descent", "sigma": np.arange(15)}
    with pytest.raises(ValueError, match=f"memory must be at least {needed} .*; got 2"):
        phase_diagram("fine_tuning", np.linspace(0, 1, 20), [0.5], **options)


def test_standard_errors():
    data = phase_diagram("fine_tuning", [0.4], [0.5], instances=10, engine="limit", **SMALL)
    expected = np.std(data.transferability, axis=-1, ddof=1) / 10**0.5
    np.testing.assert_allclose(data.transferability_error, expected)


def test_too_few_steps_are_not_called_converged():
    data = phase_diagram("linear_transfer", [0.4], [0.5], instances=2, steps=20, **SMALL)
    assert not data.converged.any()


def test_divergence_of_pretraining_stops_the_sweep():
    options = {"engine": "descent", "learning_rate": 50.0, "instances": 2, **SMALL}
    with pytest.raises(FloatingPointError, match=r"pretraining diverged\. Give a smaller"):
        phase_diagram("linear_transfer", [0.4], [0.5], **options)


def test_divergence_stops_the_sweep():
    with pytest.raises(FloatingPointError, match=r"risk\w* is .* gamma = 0\.5.* Give a smaller"):
        phase_diagram("fine_tuning", [0.4], [0.5], instances=2, learning_rate=3.0, **SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "linear"}, "method must be 'linear_transfer' or 'fine_tuning'"),
        ({"thetas": [4.0]}, "thetas must be angles in"),
        ({"engine": "newton"}, "engine must be one of"),
        ({"depth": 1}, "depth must be at least 2 in linear_transfer"),
        ({"method": "fine_tuning", "ridge": 0.1}, "ridge must be 0 in fine_tuning"),
        ({"source_gamma": 0.001}, "source_gamma must be large enough"),
        ({"gammas": [0.001]}, "gammas must be large enough for one sample, above 0.5 / d = "),
        ({"instances": 0}, "instances must be an integer >= 1; got 0"),
        ({"sigma": -1.0}, "sigma must be"),
        ({"learning_rate": -0.1}, "learning_rate must be"),
    ],
)
def test_impossible_arguments_are_named(changes, message):
    arguments = {"method": "linear_transfer", "thetas": [0.4], "gammas": [0.5], "instances": 2}
    arguments = {**SMALL, **arguments, **changes}
    method, thetas, gammas = (arguments.pop(name) for name in ("method", "thetas", "gammas"))
    with pytest.raises(ValueError, match=message):
        phase_diagram(method, thetas, gammas, **arguments)


@pytest.mark.slow
def test_one_sweep_after_the_other_on_two_devices():
    """Each ends: arrays divided among devices meet in one program, or on the host."""
    code = """
import jax, fatelib
options = {"d": 100, "sigma": 0.2, "instances": 20, "engine": "descent", "progress": False}
for seed in range(60):
    key = jax.random.key(seed)
    fatelib.phase_diagram("linear_transfer", [0.4], [0.5], key=key, **options)
"""
    flag = "--xla_force_host_platform_device_count=2"
    variables = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flag}
    subprocess.run([sys.executable, "-c", code], env=variables, check=True, timeout=240)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("method", ["linear_transfer", "fine_tuning"])
@pytest.mark.parametrize("engine", ["spectral", "limit"])
def test_sources_whose_cosine_rounds_to_more_than_one(method, engine, d):
    """In few dimensions a finite source is often learned exactly, but for rounding."""
    training = {"learning_rate": 0.02, "steps": 50} if engine == "spectral" else {}
    data = phase_diagram(
        method, [0.0, 0.5, np.pi], [0.5, 2.0], d=d, source_gamma=[1.0, 100.0, np.inf], sigma=0.1,
        instances=20, key=jax.random.key(1), engine=engine, **training,
    )  # fmt: skip
    assert np.isfinite(data.risk).all()
    # Noise-free samples that are many leave nothing to learn: as infinitely many.
    exact, ideal = (data.risk.sel(source_gamma=gamma) for gamma in (100.0, np.inf))
    np.testing.assert_allclose(exact, ideal, rtol=1e-3, atol=1e-5)


SIGNS = {**SMALL, "sigma": 0.0, "labels": "signs", "engine": "limit"}


@pytest.mark.parametrize("flip", [0.0, 0.2])
def test_error_rates_of_fine_tuning_agree_with_the_theory(flip):
    thetas, gammas = np.array([0.4, 1.3]), np.array([0.25, 0.5, 2.0])
    options = {**SIGNS, "d": 200, "depth": 3, "flip": flip}
    data = phase_diagram("fine_tuning", thetas, gammas, instances=100, **options)
    expected = theory.fine_tuning_error_rate(gammas, thetas[:, None], depth=3, flip=flip)
    scratch = theory.scratch_error_rate(gammas, flip=flip)
    agreement_table(
        {"error rate": (data.error_rate, expected), "scratch": (data.error_rate_scratch, scratch)}
    )
    np.testing.assert_allclose(
        data.error_rate_error, data.error_rate.std("instance", ddof=1) / 10, rtol=1e-6
    )
    # A vector of norm^2 N and overlap o has the risk N - 2 o sqrt(2/pi) + 2/pi, here of scratch.
    c2 = (2 / np.pi) * (1 - 2 * flip) ** 2
    seen = np.minimum(gammas, 1)
    norm2 = seen * (c2 + (1 - c2) / abs(1 - gammas))
    risk = norm2 - 2 * seen * (1 - 2 * flip) * 2 / np.pi + 2 / np.pi
    agreement_table({"risk": (data.risk_scratch, risk)})


def test_error_rates_of_linear_transfer_agree_with_the_theory():
    thetas, n = np.array([0.4, 1.3]), np.array([1, 6, 60])
    data = phase_diagram("linear_transfer", thetas, n / 30, instances=2000, flip=0.1, **SIGNS)
    np.testing.assert_array_equal(data.n, n)
    found = data.error_rate.values
    right = thetas[:, None, None] / np.pi
    # Each network is right in its sign or wrong: counts of a known probability.
    np.testing.assert_allclose(
        np.minimum(found, 1 - found), np.broadcast_to(right, found.shape), rtol=1e-4
    )
    wrong = (found > 0.5).mean(-1)
    rate = theory.linear_transfer_error_rate(thetas[:, None], n=n, flip=0.1)
    expected = np.asarray((rate - right[..., 0]) / (1 - 2 * right[..., 0]))
    assert (abs(wrong - expected) < 4 * np.sqrt(expected / 2000) + 1e-6).all()


def test_reduced_signs_are_signs_of_samples():
    """Samples that are formed, and their signs learned, give error rates of the same law."""
    d, n, theta = 12, 8, 0.9
    data = phase_diagram("fine_tuning", [theta], [n / d], instances=1000, **{**SIGNS, "d": d})
    rng = np.random.default_rng(0)
    target, across = np.eye(d)[:2]
    source = np.sqrt(2 / np.pi) * (np.cos(theta) * target + np.sin(theta) * across)
    rates = []
    for _ in range(1000):
        X = rng.standard_normal((n, d))
        inverse = np.linalg.pinv(X)
        fitted, unseen = inverse @ np.sign(X @ target), source - inverse @ (X @ source)
        b, left = fitted @ fitted, unseen @ unseen
        # Two layers: N kappa^4 = b + left kappa^2.
        kappa2 = (left + np.sqrt(left**2 + 8 / np.pi * b)) / (4 / np.pi)
        tuned = fitted + np.sqrt(kappa2) * unseen
        pair = [np.arccos(v[0] / np.linalg.norm(v)) / np.pi for v in (fitted, tuned)]
        rates.append(pair)
    rates = np.array(rates)
    for i, name in enumerate(("error_rate_scratch", "error_rate")):
        formed, reduced = rates[:, i], data[name].values.ravel()
        for power in (1, 2):  # means and spreads
            error = np.hypot(np.std(formed**power), np.std(reduced**power)) / 1000**0.5
            assert abs(np.mean(formed**power) - np.mean(reduced**power)) < 4 * error


def test_trained_networks_reach_the_limit_on_signs():
    grid = ("fine_tuning", [0.4, 1.2], [0.5, 3.0])
    options = {**SIGNS, "instances": 20, "flip": 0.1}
    limit = phase_diagram(*grid, **options)
    options |= {"engine": "spectral", "learning_rate": 0.005, "absolute_tolerance": 1e-8}
    data = phase_diagram(*grid, **options, steps=20_000)
    assert data.converged.all()
    # The same draws: what is left is the price of steps, and falls with the learning rate.
    assert (abs(data.error_rate - limit.error_rate) < 2e-3).all()
    assert (abs(data.error_rate_scratch - limit.error_rate_scratch) < 2e-3).all()


def test_an_interrupted_sweep_of_signs_goes_on(tmp_path):
    grid = ("fine_tuning", [0.4], [0.5, 2.0])
    whole = phase_diagram(*grid, instances=6, **SIGNS)
    options = {**SIGNS, "store": tmp_path / "a.zarr"}
    phase_diagram(*grid, instances=2, **options)
    resumed = phase_diagram(*grid, instances=6, **options)
    for name in ("error_rate", "error_rate_scratch", "risk"):
        np.testing.assert_allclose(resumed[name], whole[name], rtol=1e-6, err_msg=name)
    with pytest.raises(ValueError, match="flip"):
        phase_diagram(*grid, instances=6, flip=0.1, **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "classes"}, "labels must be 'numbers' or 'signs'; got 'classes'"),
        ({"flip": 0.5}, r"flip must be a number in \[0, 0.5\); got 0.5"),
        ({"labels": "numbers", "flip": 0.1}, "flip must be 0 unless labels='signs'; got 0.1"),
        ({"sigma": 0.2}, "sigma must be 0 for labels='signs'"),
        ({"source_gamma": 2.0}, "source_gamma must be infinite for labels='signs'"),
        ({"engine": "gram"}, "engine must be one of .* for labels='signs'; got 'gram'"),
    ],
)
def test_what_has_no_meaning_for_signs_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        phase_diagram("fine_tuning", [0.4], [0.5], instances=2, **{**SIGNS, **changes})
