"""What the cells of an experiment share has the law of what they would draw alone."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fatelib.descent.batch import each
from fatelib.linear import DeepLinear, LinearTasks, pretrain
from fatelib.linear.instance import FullNetworks, _square_sample, _turn


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


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="counts the calls of LAPACK")
def test_one_decomposition_serves_all_networks_of_a_data_set():
    inner = {"sigma": [0.0, 1.0], "ridge": [0.0], "weight_decay": [0.0, 0.1], "theta": [0.5, 1.0]}
    options = {"learning_rate": 0.02, "steps": 20, "absolute_tolerance": 1e-6}
    experiment = FullNetworks(
        method="fine_tuning",
        d=8,
        engine="descent",
        width=None,
        scale=0.1,
        source_sigma=0.0,
        largest=8,
        largest_source=0,
        inner={name: jnp.asarray(values) for name, values in inner.items()},
        training=options,
        scratch_training=options,
        decays=True,
        flip=None,
    )

    def measure(keys, prepared, gamma):
        point = {"depth": 2, "source_gamma": np.inf, "gamma": gamma}
        return each(lambda instance: experiment.measure(*instance, **point), (keys, prepared))

    keys = jax.random.split(jax.random.key(0), 2)
    networks = jax.vmap(lambda key: DeepLinear.init(key, 8))(keys)
    prepared = networks, jnp.ones(2, bool)
    program = jax.jit(measure).lower(keys, prepared, jnp.asarray(0.5)).compile().as_text()
    assert len(re.findall(r"custom_call_target=.lapack_\w*(?:syevd|gesdd|geqrf)", program)) == 1


@pytest.mark.parametrize("n", [5, 12, 30])
def test_resized_samples_have_the_law_of_samples(n):
    """Eigenvalues and least-squares risk, against dense draws: 1500 each, in standard errors."""
    d, draws, sigma = 12, 1500, 0.5
    beta = jnp.ones(d) / d**0.5

    def summary(X, noise):
        fitted = jnp.linalg.pinv(X) @ (X @ beta + sigma * noise)
        eigenvalues = jnp.linalg.eigvalsh(X.T @ X)
        # The median of heavy tails is safe near n = d.
        return jnp.stack([eigenvalues.sum(), eigenvalues[-1], jnp.sum((fitted - beta) ** 2)])

    def resized(key):
        return summary(*_square_sample(key, jnp.asarray(n), d))

    def dense(key):
        X = jax.random.normal(key, (n, d)) / (n / d) ** 0.5
        noise = jax.random.normal(jax.random.fold_in(key, 1), (n,)) / (n / d) ** 0.5
        return summary(X, noise)

    keys = jax.random.split(jax.random.key(2), (2, draws))
    first, second = np.asarray(jax.vmap(resized)(keys[0])), np.asarray(jax.vmap(dense)(keys[1]))
    for a, b in zip(first.T, second.T, strict=True):
        assert stats.ks_2samp(a, b).pvalue > 1e-4  # nine tests
