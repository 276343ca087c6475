"""Grids of experiments: what each cell holds, and what cells share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib import theory
from fatelib.agreement import agreement_table
from fatelib.linear import DeepLinear, pretrain, train
from fatelib.sweep import _square, _turn, phase_diagram
from fatelib.tasks import LinearTasks

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
    data = phase_diagram("fine_tuning", thetas, [0.1], instances=4, learning_rate=0.02, **SMALL)
    assert data.n.item() == 3
    # Three samples replace a tenth of the source by the target, and add a little noise.
    source_risk = 2 - 2 * np.cos(thetas)
    np.testing.assert_allclose(data.risk.mean("instance").isel(gamma=0), source_risk, rtol=0.3)
    assert (data.risk.sel(theta=0.4) < data.risk_scratch.sel(theta=0.4)).all()


def test_a_part_of_the_grid_is_a_part_of_the_whole():
    whole = phase_diagram("linear_transfer", [0.4, 0.9], [0.5, 2.0], instances=3, **SMALL)
    part = phase_diagram("linear_transfer", [0.9], [2.0], instances=3, **SMALL)
    for name in ("risk", "risk_scratch", "steps"):
        np.testing.assert_array_equal(
            part[name], whole[name].sel(theta=[0.9], gamma=[2.0]), err_msg=name
        )


def test_one_pretraining_serves_all_angles():
    """Turning a network trained on one source is training a turned one on the turned source."""
    key = jax.random.key(1)
    first, turned = (LinearTasks.at_angle(key, 20, theta) for theta in (0.0, 0.7))
    across = LinearTasks.at_angle(key, 20, jnp.pi / 2).beta_source
    start = DeepLinear.init(jax.random.key(2), 20, depth=3, scale=0.1)

    def turn(network):
        return _turn(network, first.beta_target, across, 0.7)

    direct, _ = pretrain(turn(start), turned.beta_source)
    via_rotation = turn(pretrain(start, first.beta_source)[0])
    for a, b in zip(direct.weights, via_rotation.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("n", [5, 12, 30])
def test_resized_data_give_the_same_steps(n):
    tasks = LinearTasks.at_angle(jax.random.key(1), 12, 0.7, sigma=0.2)
    X, y = tasks.sample(jax.random.key(2), n)
    start = DeepLinear.init(jax.random.key(3), 12, scale=0.1)
    options = {"learning_rate": 0.05, "steps": 50, "tolerance": 0.0}
    resized = _square(X, y)
    assert [a.shape for a in resized] == [(12, 12), (12,)]
    (network, history), (other, other_history) = (
        train(start, *data, **options) for data in ((X, y), resized)
    )
    np.testing.assert_allclose(network.end_to_end(), other.end_to_end(), atol=1e-5)
    excess = [h.loss - h.minimum for h in (history, other_history)]
    np.testing.assert_allclose(*excess, atol=1e-5)


def test_too_few_steps_are_not_called_converged():
    data = phase_diagram("linear_transfer", [0.4], [0.5], instances=2, steps=20, **SMALL)
    assert not data.converged.any()


def test_divergence_stops_the_sweep():
    with pytest.raises(FloatingPointError, match=r"n = 15 samples at learning_rate 3\.0"):
        phase_diagram("fine_tuning", [0.4], [0.5], instances=2, learning_rate=3.0, **SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "linear"}, "method must be one of"),
        ({"thetas": [4.0]}, "thetas must be angles in"),
        ({"gammas": [0.001]}, "gammas must be large enough for one sample; got 0.001"),
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
