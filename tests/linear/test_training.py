from functools import partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fatelib.linear import DeepLinear, LinearTasks, effective_rank, pretrain, train

# Runs that stop at their last step, whatever the loss.
fixed = partial(train, tolerance=0.0)


def problem(n, d):
    """Noisy data of a linear task."""
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, d))
    y = X @ np.ones(d) / np.sqrt(d) + 0.3 * rng.normal(size=n)
    return jnp.asarray(X), jnp.asarray(y)


def network_of(d, depth=2, width=None, scale=1e-5):
    """Initial weights as `DeepLinear.init` draws them, without compiling it for every shape."""
    rng = np.random.default_rng(depth)
    sizes = [d] + [width or d] * (depth - 1) + [1]
    spreads = [size**-0.5 for size in sizes[:-2]] + [1.0]
    shapes = zip(spreads, sizes, sizes[1:], strict=False)
    return DeepLinear(
        tuple(jnp.asarray(scale * spread * rng.normal(size=(a, b))) for spread, a, b in shapes)
    )


def mean_squared(weights, X, y):
    return jnp.mean((jnp.linalg.multi_dot([X, *weights]) - y[:, None]) ** 2)


def plain_descent(weights, loss, rate, decay, steps, frozen=0):
    """Gradient descent as one would write it down."""
    gradient = jax.jit(jax.grad(loss))
    for _ in range(steps):
        slopes = gradient(weights)
        weights = tuple(
            W if l < frozen else W - rate * (slope + decay * W)
            for l, (W, slope) in enumerate(zip(weights, slopes, strict=True))
        )
    return weights


def assert_same_weights(network, weights, atol):
    for ours, theirs in zip(network.weights, weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=atol, rtol=0)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("depth", "n"), [(1, 4), (1, 12), (2, 4), (2, 12), (3, 4), (3, 7), (4, 12)]
)
def test_steps_are_those_of_autodiff(depth, n):
    X, y = problem(n, 7)
    network = network_of(7, depth, width=5, scale=0.7)
    loss = jax.jit(partial(mean_squared, X=X, y=y))
    for decay in (0.0, 0.3):
        expected = plain_descent(network.weights, loss, 0.02, decay, 7)
        # Two blocks of three steps, and one step of a third.
        trained, history = fixed(
            network, X, y, learning_rate=0.02, weight_decay=decay, steps=7, record_every=3
        )
        assert_same_weights(trained, expected, 1e-12)
        np.testing.assert_array_equal(history.steps, [0, 3, 6, 7])
        np.testing.assert_allclose(history.loss[0], loss(network.weights), atol=1e-12)
        np.testing.assert_allclose(history.loss[-1], loss(expected), atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_long_runs_are_those_of_autodiff():
    X, y = problem(5, 8)
    network = network_of(8, 3, scale=0.5)
    expected = plain_descent(network.weights, partial(mean_squared, X=X, y=y), 0.02, 0.01, 500)
    trained, _ = fixed(network, X, y, learning_rate=0.02, weight_decay=0.01, steps=500)
    assert_same_weights(trained, expected, 1e-11)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_last_layer_alone(decay):
    X, y = problem(12, 6)
    network = network_of(6, 3, width=4, scale=0.7)
    options = {"learning_rate": 0.05, "weight_decay": decay, "steps": 9, "layers": "last"}
    loss = partial(mean_squared, X=X, y=y)
    expected = plain_descent(network.weights, loss, 0.05, decay, 9, frozen=2)
    assert_same_weights(fixed(network, X, y, **options)[0], expected, 1e-12)
    beta = jnp.ones(6)
    expected = plain_descent(
        network.weights,
        lambda weights: jnp.sum((jnp.linalg.multi_dot(weights)[:, 0] - beta) ** 2),
        0.05,
        decay,
        9,
        frozen=2,
    )
    assert_same_weights(pretrain(network, beta, tolerance=0.0, **options)[0], expected, 1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_pretraining_is_training_on_the_population(depth):
    network = network_of(6, depth, scale=0.7)
    beta = jnp.linspace(-1, 1, 6)
    expected = plain_descent(
        network.weights,
        lambda weights: jnp.sum((jnp.linalg.multi_dot([jnp.eye(6), *weights])[:, 0] - beta) ** 2),
        0.05,
        0.1,
        9,
    )
    options = {"learning_rate": 0.05, "weight_decay": 0.1, "steps": 9, "tolerance": 0.0}
    assert_same_weights(pretrain(network, beta, **options)[0], expected, 1e-12)


@pytest.mark.usefixtures("x64")
def test_balancedness_drifts_at_first_order_in_the_rate():
    X, y = problem(10, 6)
    network = network_of(6, 3, scale=0.6)
    drifts = []
    for rate, steps in ((0.005, 400), (0.0025, 800)):
        trained, _ = fixed(network, X, y, learning_rate=rate, steps=steps)
        pairs = zip(trained.balancedness(), network.balancedness(), strict=True)
        drifts.append(max(float(jnp.abs(after - before).max()) for after, before in pairs))
    assert drifts[0] < 0.05
    assert drifts[0] / drifts[1] == pytest.approx(2, abs=0.1)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("n", "depth", "scale"), [(6, 2, 1e-7), (30, 2, 1e-7), (30, 1, 1e-7), (6, 3, 3e-3)]
)
def test_scratch_ends_at_the_minimum_norm_interpolator(n, depth, scale):
    X, y = problem(n, 12)
    start = network_of(12, depth, scale=scale)
    network, history = train(start, X, y, steps=50_000, absolute_tolerance=1e-18)
    assert history.converged
    solution = jnp.linalg.pinv(X) @ y
    # What stays of the start in directions that the data never see has the size of the scale.
    np.testing.assert_allclose(network.end_to_end(), solution, atol=max(10 * scale, 1e-6))
    minimum = jnp.mean((X @ solution - y) ** 2)
    np.testing.assert_allclose(history.minimum, minimum, atol=1e-14)


def test_pretraining_leaves_one_feature():
    tasks = LinearTasks.at_angle(jax.random.key(0), 30, 0.5)
    for depth, scale in ((2, 1e-5), (3, 1e-2)):
        start = network_of(30, depth, scale=scale)
        network, history = pretrain(start, tasks.beta_source)
        assert history.converged
        assert effective_rank(start.feature_map()) > 10
        # About 30 other singular values, each of the size of the scale.
        assert effective_rank(network.feature_map()) < 1 + 30 * 20 * scale


@pytest.mark.usefixtures("x64")
def test_rotation_of_the_inputs():
    X, y = problem(5, 8)
    network = network_of(8, scale=0.3)
    Q = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (8, 8)))[0]
    turned = DeepLinear((Q @ network.weights[0], network.weights[1]))
    options = {"learning_rate": 0.05, "steps": 100, "weight_decay": 0.01}
    one, _ = fixed(network, X, y, **options)
    two, _ = fixed(turned, X @ Q.T, y, **options)
    assert_same_weights(two, (Q @ one.weights[0], one.weights[1]), 1e-12)


@pytest.mark.usefixtures("x64")
def test_order_of_the_samples_does_not_matter():
    X, y = problem(9, 6)
    network = network_of(6, scale=0.3)
    order = jax.random.permutation(jax.random.key(3), 9)
    one, _ = fixed(network, X, y, steps=100)
    two, _ = fixed(network, X[order], y[order], steps=100)
    assert_same_weights(two, one.weights, 1e-12)


def test_batch_of_one_is_a_batch_of_many(dtype):
    d, n, count = 10, 7, 4

    def draw(key):
        tasks = LinearTasks.at_angle(key, d, dtype.type(0.7), 0.3)
        return DeepLinear.init(key, d, scale=dtype.type(1e-3)), *tasks.sample(key, n)

    # Networks that stop at different records: the early ones must not move on.
    networks, X, y = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), count))
    run = partial(train, steps=2000, record_every=20, observe=DeepLinear.end_to_end)
    many = jax.vmap(run)(networks, X, y)
    assert len(set(many[1].steps_taken.tolist())) > 1
    rounding = 1e4 * np.finfo(dtype).eps
    for i in range(count):
        network, history = run(*jax.tree.map(itemgetter(i), (networks, X, y)))
        its_network, its_history = jax.tree.map(itemgetter(i), many)
        assert network.weights[0].dtype == dtype
        assert_same_weights(network, its_network.weights, rounding)
        assert int(history.steps_taken) == int(its_history.steps_taken)
        records = len(history.loss)
        for column in ("steps", "loss", "observed"):
            alone, among = getattr(history, column), getattr(its_history, column)
            np.testing.assert_allclose(among[:records], alone, atol=rounding)
            np.testing.assert_array_equal(
                among[records:], among[records - 1 : records].repeat(len(among) - records, axis=0)
            )


def test_history():
    X, y = problem(30, 6)
    network, history = fixed(
        network_of(6, scale=0.1),
        X,
        y,
        steps=250,
        learning_rate=0.005,
        observe=lambda network: {"size": jnp.linalg.norm(network.end_to_end()), "one": 1},
    )
    np.testing.assert_array_equal(history.steps, [0, 100, 200, 250])
    assert int(history.steps_taken) == 250
    assert not history.converged
    final = jnp.mean((X @ network.end_to_end() - y) ** 2)
    np.testing.assert_allclose(history.loss[-1], final, rtol=1e-5)
    size = jnp.linalg.norm(network.end_to_end())
    np.testing.assert_allclose(history.observed["size"][-1], size, rtol=1e-5)
    np.testing.assert_array_equal(history.observed["one"], 1)
    start, history = train(network, X, y, steps=0)
    assert_same_weights(start, network.weights, 0)
    assert history.steps.tolist() == [0]


def test_calls_with_the_same_shapes_share_compiled_code():
    X, y = problem(5, 4)
    traces = []

    def observe(network):
        traces.append(1)
        return network.end_to_end()

    for rate in (0.01, 0.02):
        start = network_of(4)
        train(start, X * rate, y, learning_rate=rate, absolute_tolerance=rate, observe=observe)
        compiled = len(traces) if rate == 0.01 else compiled
    assert len(traces) == compiled


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("n", "depth", "scale"), [(6, 1, 0.1), (6, 2, 1e-3), (30, 2, 1e-3), (6, 3, 0.3)]
)
def test_weight_decay_ends_on_the_ridge_path(depth, scale, n):
    X, y = problem(n, 10)
    decay = 0.05
    start = network_of(10, depth, scale=scale)
    network, history = train(
        start, X, y, weight_decay=decay, steps=100_000, absolute_tolerance=1e-20
    )
    assert history.converged
    beta = network.end_to_end()
    ridge = decay / 2 * jnp.linalg.norm(beta) ** (2 / depth - 2)
    solution = jnp.linalg.solve(X.T @ X / n + ridge * jnp.eye(10), X.T @ y / n)
    np.testing.assert_allclose(beta, solution, atol=1e-8)


@pytest.mark.parametrize("depth", [2, 3])
def test_strong_weight_decay_ends_at_zero(depth):
    X, y = problem(20, 10)
    start = network_of(10, depth, scale=0.5)
    network, history = train(start, X, y, weight_decay=5.0)
    assert history.converged
    assert jnp.linalg.norm(network.end_to_end()) < 1e-3
    # The plateau at the start is no convergence: here the decay is too weak to hold it.
    _, history = train(network_of(10, 2), X, y, weight_decay=0.01, steps=0)
    assert not history.converged


def test_divergence_names_the_step_and_a_stable_rate():
    X, y = problem(20, 10)
    start = network_of(10)
    with pytest.raises(FloatingPointError, match="diverged by step 100 at learning rate 3; a") as e:
        train(start, X, y, learning_rate=3.0)
    stable = float(str(e.value).split()[-1])
    _, history = train(start, X, y, learning_rate=stable)
    assert history.converged
    np.testing.assert_allclose(history.learning_rate, stable)


def test_divergence_in_a_batch_is_marked_and_has_no_number():
    X, y = problem(20, 10)
    start = network_of(10)
    rates = jnp.array([0.05, 3.0])
    networks, histories = jax.vmap(lambda rate: train(start, X, y, learning_rate=rate))(rates)
    assert histories.diverged.tolist() == [False, True]
    assert histories.converged.tolist() == [True, False]
    for weight in networks.weights:
        assert jnp.isnan(weight[1]).all()
        assert jnp.isfinite(weight[0]).all()
    assert jnp.isnan(histories.loss[1, 1:]).all()
    assert jnp.isfinite(histories.loss[1, 0])


@pytest.mark.parametrize("shapes", [((1, 2), (2, 1)), ((4, 1), (1, 3), (3, 1))])
def test_vectors_that_point_in_different_directions_are_trained_as_they_are(shapes):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    weights = (jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True))
    network, (X, y) = DeepLinear(tuple(weights)), problem(6, shapes[0][0])
    runs = [train(network, X, y, steps=100, engine=engine) for engine in ("auto", "descent")]
    for one, other in zip(*(trained.weights for trained, _ in runs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    with pytest.raises(ValueError, match="engine 'spectral' must have a network of rank-one"):
        train(network, X, y, steps=100, engine="spectral")


@settings(max_examples=5, deadline=None)
@given(
    d=st.integers(1, 25), n=st.integers(1, 50), depth=st.integers(1, 4), width=st.integers(1, 25)
)
def test_the_automatic_rate_is_stable(d, n, depth, width):
    def run(scale, size, seed):
        X, y = problem(n, d)
        start = jax.tree.map(lambda weight: scale * weight, network_of(d, depth, width, 1.0))
        return train(start, size * X, y + seed, steps=1000)[1]

    scales, sizes, shifts = jnp.meshgrid(
        jnp.array([1e-5, 1e-2, 0.3, 1.0, 3.0]), jnp.array([0.1, 1.0, 10.0]), jnp.array([0.0, 1.0])
    )
    histories = jax.vmap(run)(scales.ravel(), sizes.ravel(), shifts.ravel())
    assert not histories.diverged.any()
    # Stable in the strict sense: the loss never rises from one record to the next.
    excess = histories.loss - histories.minimum[:, None]
    before, after = excess[:, :-1], excess[:, 1:]
    rounding = 1e-5 * histories.loss[:, :1]
    assert (jnp.isnan(after) | (after <= before + rounding)).all()


@pytest.mark.parametrize(("depth", "scale"), [(1, 1.0), (2, 1e-5), (4, 0.2)])
def test_the_automatic_rate_is_not_timid(depth, scale):
    X, y = problem(80, 20)
    start = network_of(20, depth, scale=scale)
    _, history = train(start, X, y)
    assert history.converged
    assert int(history.steps_taken) <= 1000
    # Within a factor of ten of the edge of stability.
    with pytest.raises(FloatingPointError):
        train(start, X, y, learning_rate=10 * history.learning_rate)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be a number > 0; got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number > 0; got nan"),
        ({"steps": -1}, "steps must be an integer >= 0; got -1"),
        ({"tolerance": -1.0}, "tolerance must be a number >= 0; got -1.0"),
        ({"weight_decay": -0.1}, "weight_decay must be a number >= 0; got -0.1"),
        ({"record_every": 0}, "record_every must be an integer >= 1; got 0"),
    ],
)
def test_impossible_options(options, message):
    X, y = problem(5, 4)
    network = network_of(4)
    with pytest.raises(ValueError, match=message):
        train(network, X, y, **options)
    with pytest.raises(ValueError, match=message):
        pretrain(network, X[0], **options)


def test_impossible_data():
    network = network_of(4)
    with pytest.raises(ValueError, match=r"X must be \(n, 4\), a sample in each row; got \(5, 3"):
        train(network, jnp.ones((5, 3)), jnp.ones(5))
    with pytest.raises(ValueError, match="X must be finite; got inf"):
        train(network, jnp.full((5, 4), jnp.inf), jnp.ones(5))
    with pytest.raises(ValueError, match="y must be finite; got nan"):
        train(network, jnp.ones((5, 4)), jnp.full(5, jnp.nan))
    with pytest.raises(ValueError, match=r"beta must be \(4,\); got \(3,\)"):
        pretrain(network, jnp.ones(3))
    batch = jax.vmap(lambda key: DeepLinear.init(key, 4))(jax.random.split(jax.random.key(0), 2))
    with pytest.raises(ValueError, match="network must be one network"):
        train(batch, jnp.ones((5, 4)), jnp.ones(5))
