from functools import partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib.relu import ReluNetwork, distance2, pretrain, train
from fatelib.relu.descent import FewSamples, Population, Samples


def network_of(m, d=5, scale=1.0, seed=0):
    """Neurons and output weights of both signs, in general position."""
    rng = np.random.default_rng(seed)
    W, c = rng.normal(size=(m, d)), rng.normal(size=m)
    return ReluNetwork(jnp.asarray(scale * W / d**0.5), jnp.asarray(scale * c))


def samples(n, d=5):
    X = np.random.default_rng(n).normal(size=(n, d))
    teacher = network_of(3, seed=1)
    y = np.maximum(X @ np.asarray(teacher.W).T, 0) @ np.asarray(teacher.c) / 3
    return jnp.asarray(X), jnp.asarray(y)


def mean_squared(network, X, y):
    return jnp.mean((network.features(X) @ network.c / len(network.c) - y) ** 2)


def plain_descent(network, loss, rate, decay, steps, last=False):
    """Mean-field gradient descent as one would write it down."""
    gradient = jax.jit(jax.grad(loss))
    for _ in range(steps):
        slope = gradient(network)
        W = network.W - rate * (8 * slope.W + decay * network.W)
        c = network.c - rate * (8 * slope.c + decay * network.c)
        network = ReluNetwork(network.W if last else W, c)
    return network


def assert_same(ours, theirs, atol):
    np.testing.assert_allclose(ours.W, theirs.W, atol=atol, rtol=0)
    np.testing.assert_allclose(ours.c, theirs.c, atol=atol, rtol=0)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("layers", ["all", "last"])
@pytest.mark.parametrize("n", [12, 4, None])  # more or fewer samples than inputs; the population
def test_steps_are_those_of_autodiff(layers, n):
    student = network_of(8)
    if n:
        X, y = samples(n)
        loss, run = partial(mean_squared, X=X, y=y), partial(train, student, X, y)
    else:
        loss, run = (
            partial(distance2, g=network_of(3, seed=1)),
            partial(pretrain, student, network_of(3, seed=1)),
        )
    expected = plain_descent(student, loss, 0.05, 0.1, 7, last=layers == "last")
    trained, history = run(
        learning_rate=0.05,
        weight_decay=0.1,
        steps=7,
        tolerance=0.0,
        record_every=3,
        layers=layers,
        observe=lambda network: network.c,
    )
    # The last layer of the population goes through the eigenvectors of its Gram matrix, whose
    # eigenvalues span two decades: this leaves nothing but rounding.
    assert_same(trained, expected, 1e-12)
    assert history.steps.tolist()[:3] == [0, 3, 6]
    np.testing.assert_allclose(history.loss[0], loss(student), rtol=0, atol=1e-12)
    np.testing.assert_allclose(history.loss[-1], loss(expected), rtol=0, atol=1e-12)
    np.testing.assert_allclose(history.observed[0], student.c, atol=1e-12)
    np.testing.assert_allclose(history.observed[-1], trained.c, atol=1e-12)


def test_population_is_the_limit_of_many_samples():
    student, teacher, n = network_of(8), network_of(3, seed=1), 50_000
    student = ReluNetwork(student.W.at[0].set(0), student.c)  # active nowhere: no force
    X, y = samples(n)
    exact = Population(student, teacher)
    error = np.asarray(student.features(X) @ student.c / 8 - y)
    active = np.asarray(X @ student.W.T) > 0
    draws = 2 * error[:, None, None] * active[:, :, None] * np.asarray(X)[:, None, :]
    spread = draws.std(axis=0) / np.sqrt(n)
    assert (np.abs(exact.forces(student) - draws.mean(axis=0)) <= 5 * spread).all()
    np.testing.assert_allclose(
        Samples(student, X, y, "highest").forces(student), draws.mean(axis=0), atol=3e-4
    )
    loss = error**2
    assert abs(exact.loss(student) - loss.mean()) < 5 * loss.std() / np.sqrt(n)


@pytest.mark.usefixtures("x64")
def test_blocks_of_samples_add_up_to_all():
    student = ReluNetwork.init(jax.random.key(0), 5, 1000)
    X, y = samples(1801)
    descent = Samples(student, X, y, "highest")
    if jax.default_backend() == "cpu":
        assert str(jax.make_jaxpr(descent.forces)(student)).count("dot_general") > 3  # one block: 3
    slope = jax.grad(lambda network: mean_squared(network, X, y))(student)
    forces, c = descent.forces(student), student.c
    assert_same(
        ReluNetwork(c[:, None] * forces, jnp.sum(student.W * forces, axis=1)),
        jax.tree.map(lambda weights: len(c) * weights, slope),
        1e-12,
    )


@pytest.mark.parametrize("kind", [Samples, FewSamples.of])
def test_precision_is_of_the_steps(kind):
    X, y = samples(4)
    message = "precision must be 'highest', 'high' or 'default'; got 'low'"
    with pytest.raises(ValueError, match=message):
        train(network_of(8), X, y, precision="low")

    def products(precision):
        descent = kind(network_of(8), X, y, precision)
        rate = jnp.asarray(0.1)
        advance = partial(descent.advance, length=1, rate=lambda j: rate, decay=0 * rate)
        return str(jax.make_jaxpr(advance)(descent.start())).count("Precision.HIGHEST")

    # On a CPU the results are the same: see what a GPU would be told.
    assert products("default") < products("highest")


def test_students_learn_what_they_are_shown():
    X, y = samples(40)
    start = ReluNetwork.init(jax.random.key(0), 5, 30)
    fitted, history = train(start, X, y, absolute_tolerance=1e-3)
    assert history.converged
    assert history.loss[-1] <= 1e-3 < history.loss[-2]
    assert mean_squared(fitted, X, y) == pytest.approx(float(history.loss[-1]), rel=1e-3)
    assert history.minimum == 0


def test_the_last_layer_ends_at_least_squares():
    X, y = samples(40)
    start = network_of(8)
    network, history = train(start, X, y, layers="last", absolute_tolerance=1e-7)
    assert history.converged
    solution = np.linalg.lstsq(np.asarray(start.features(X)), np.asarray(y), rcond=None)[0]
    np.testing.assert_array_equal(network.W, start.W)
    np.testing.assert_allclose(
        history.minimum, np.mean((start.features(X) @ solution - y) ** 2), atol=1e-6
    )
    np.testing.assert_allclose(mean_squared(network, X, y), history.minimum, atol=1e-6)


def test_weight_decay_of_the_last_layer_is_a_ridge():
    X, y = samples(40)
    start, decay, tolerance = network_of(8), 0.1, 1e-6
    network, history = train(
        start, X, y, layers="last", weight_decay=decay, absolute_tolerance=tolerance
    )
    assert history.converged
    features = np.asarray(start.features(X), float)
    ridge = 8 * decay / 2
    solution = np.linalg.solve(
        features.T @ features / 40 + ridge * np.eye(8), features.T @ np.asarray(y) / 40
    )
    # The objective exceeds its minimum by at least decay / (2 m) |c - m solution|^2.
    atol = np.sqrt(2 * 8 * tolerance / decay)
    np.testing.assert_allclose(network.c, 8 * solution, rtol=0, atol=atol)
    assert np.abs(solution).max() > atol


@pytest.mark.usefixtures("x64")
def test_flow_conserves_the_balance_of_every_neuron():
    def balance(network):
        return jnp.sum(network.W**2, axis=1) - network.c**2

    def drift(rate, record):
        _, history = pretrain(
            network_of(8),
            network_of(3, seed=1),
            learning_rate=rate,
            steps=1000,
            tolerance=0.0,
            observe=balance,
        )
        return float(jnp.abs(history.observed[record] - history.observed[0]).max())

    # At equal time the drift is of first order in the rate.
    assert drift(0.02, 5) / drift(0.01, 10) == pytest.approx(2, abs=0.1)


def test_weight_decay_ends_in_balance():
    teacher, decay = network_of(3, seed=1), 0.01
    network, history = pretrain(network_of(8), teacher, weight_decay=decay)
    assert history.converged
    slope = jax.grad(distance2)(network, teacher)
    # The mean square over neurons is 2 * decay * tolerance; one of eight may have all of it.
    atol = np.sqrt(8 * 2 * decay * 1e-6)
    np.testing.assert_allclose(8 * slope.W, -decay * network.W, atol=atol)
    np.testing.assert_allclose(8 * slope.c, -decay * network.c, atol=atol)
    assert history.loss[-1] > 1e-5
    # A plateau near zero is no balance.
    _, history = pretrain(
        network_of(8, scale=1e-4), teacher, weight_decay=decay, learning_rate=1e-9
    )
    assert not history.converged


@pytest.mark.usefixtures("x64")  # the step of stopping must not hang on rounding
def test_batches_of_networks_and_of_data_sets_of_any_size():
    X, y = samples(12)
    start = network_of(8)
    run = partial(train, learning_rate=0.1, steps=200, record_every=20, absolute_tolerance=1e-4)
    sizes = jnp.array([12, 5])
    kept = jnp.arange(12)[None, :] < sizes[:, None]
    weights = jnp.where(kept, jnp.sqrt(12 / sizes)[:, None], 0)
    many, histories = jax.vmap(lambda w: run(start, w[:, None] * X, w * y))(weights)
    one, history = run(start, X[:5], y[:5])
    # Rounding, grown by no more than this over 200 stable steps.
    assert_same(jax.tree.map(itemgetter(1), many), one, 1e4 * np.finfo(np.float64).eps)
    assert histories.steps_taken[1] == history.steps_taken != histories.steps_taken[0]
    records = len(history.loss)
    np.testing.assert_allclose(histories.loss[1, :records], history.loss, rtol=1e-10)
    assert (histories.loss[1, records:] == histories.loss[1, records - 1]).all()


def test_divergence():
    X, y = samples(12)
    start = network_of(8)
    run = partial(train, start, X, y, steps=200)
    with pytest.raises(FloatingPointError, match="diverged by step 100 at learning rate 50; a st"):
        run(learning_rate=50.0)
    networks, histories = jax.vmap(lambda rate: run(learning_rate=rate))(jnp.array([0.1, 50.0]))
    assert histories.diverged.tolist() == [False, True]
    assert jnp.isfinite(networks.W[0]).all()
    assert jnp.isnan(networks.W[1]).all()


def test_the_automatic_rate_is_stable():
    X, y = samples(12)

    def run(scale, size, output):
        start = ReluNetwork(scale * network_of(8).W, jnp.full(8, output))
        return train(start, size * X, y, steps=1000, tolerance=0.0)[1]

    scales, sizes, outputs = jnp.meshgrid(
        jnp.array([1e-3, 0.1, 1.0, 5.0]), jnp.array([0.1, 1.0, 10.0]), jnp.array([1e-7, 1.0])
    )
    histories = jax.vmap(run)(scales.ravel(), sizes.ravel(), outputs.ravel())
    assert not histories.diverged.any()
    assert (histories.loss[:, -1] < 0.5 * histories.loss[:, 0]).all()


def test_impossible_arguments():
    X, y = samples(12)
    start = network_of(8)
    for run in (partial(train, start, X, y), partial(pretrain, start, network_of(3))):
        for layers in ("all", "last"):
            with pytest.raises(ValueError, match=r"learning_rate must be a number > 0; got 0\.0"):
                run(learning_rate=0.0, layers=layers)
        with pytest.raises(ValueError, match="layers must be 'all' or 'last'; got 'first'"):
            run(layers="first")
    with pytest.raises(
        ValueError, match=r"X must be \(n, 5\), a sample in each row; got \(12, 4\)"
    ):
        train(start, X[:, :4], y)
    with pytest.raises(ValueError, match="y must be finite; got nan"):
        train(start, X, jnp.nan * y)
    with pytest.raises(ValueError, match=r"teacher must have neurons \(m, 5\); got \(3, 4\)"):
        pretrain(start, network_of(3, d=4))
    broken = ReluNetwork(start.W, jnp.nan * start.c)
    for run in (partial(train, broken, X, y), partial(pretrain, broken, network_of(3))):
        with pytest.raises(ValueError, match=r"network\.c must be finite; got nan"):
            run()
    with pytest.raises(ValueError, match="network must be one network"):
        train(jax.vmap(lambda _: start)(jnp.arange(2)), X, y)
