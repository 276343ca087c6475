from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib import relu, theory
from fatelib.linear import DeepLinear, LinearTasks, pretrain, reduced_tasks, train, truncate
from fatelib.transfer import fine_tune, linear_transfer, scratch


def pretrained_on(beta, depth=2, width=3):
    """The end of pretraining from an infinitesimal scale: balanced, one direction, unit norm."""
    v = jnp.zeros(width, beta.dtype).at[0].set(1)
    hidden = (jnp.outer(beta, v), *[jnp.outer(v, v)] * (depth - 2))
    return DeepLinear((*hidden[: depth - 1], v[:, None] if depth > 1 else beta[:, None]))


def within_standard_errors(values, expected, count):
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return abs(np.mean(values) - expected) <= count * error


@pytest.mark.parametrize("n", [6, 40])
def test_linear_transfer_risk_is_the_one_formula(n):
    d, theta, sigma, count = 12, 0.9, 0.4, 2000

    def run(key):
        keys = jax.random.split(key)
        tasks = LinearTasks.at_angle(keys[0], d, theta, sigma)
        X, y = tasks.sample(keys[1], n)
        exact = linear_transfer(pretrained_on(tasks.beta_source), tasks, X, y)
        trained = linear_transfer(
            pretrained_on(tasks.beta_source),
            tasks,
            X,
            y,
            engine="descent",
            absolute_tolerance=1e-10,
        )
        return exact, trained

    # One by one: on two cores XLA hangs where one program holds two batches of singular value
    # decompositions, as `jax.vmap` of both ways to fit would.
    exact, trained = jax.jit(partial(jax.lax.map, run))(jax.random.split(jax.random.key(0), count))
    expected = theory.least_squares_risk(
        n, 1, residual=np.sin(theta) ** 2, signal=np.cos(theta) ** 2, noise=sigma
    )
    assert within_standard_errors(exact.risk, expected, 4)
    assert trained.converged.all()
    assert exact.converged.all()
    # The loss is 1e-10 from its minimum and the curvature is |z|^2 / n, rarely below 0.05.
    np.testing.assert_allclose(trained.risk, exact.risk, atol=2e-3)
    assert jnp.max(exact.steps) == 0 < jnp.min(trained.steps)


@pytest.mark.parametrize("n", [8, 40])
def test_scratch_risk_is_the_one_formula(n):
    d, sigma, count = 20, 0.4, 300

    def run(key):
        keys = jax.random.split(key, 3)
        tasks = LinearTasks.at_angle(keys[0], d, 0.5, sigma)
        return scratch(keys[1], tasks, *tasks.sample(keys[2], n), absolute_tolerance=1e-7)

    results = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), count))
    assert results.converged.all()
    assert within_standard_errors(results.risk, theory.least_squares_risk(n, d, noise=sigma), 4)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_fine_tuning_ends_at_the_scaled_source(depth):
    tasks = LinearTasks.at_angle(jax.random.key(0), 30, 0.8, sigma=2.0)
    X, y = tasks.sample(jax.random.key(1), 15)
    source = tasks.beta_source
    interpolator = jnp.linalg.pinv(X) @ y
    seen = jnp.linalg.pinv(X) @ (X @ source)
    kappa = theory.fine_tuning_scale_from_norms(
        jnp.sum(interpolator**2), 1.0, jnp.sum(seen**2), depth=depth
    )
    expected = interpolator + kappa * (source - seen)
    distances = []
    for rate in (0.004, 0.002):
        result = fine_tune(
            pretrained_on(source, depth),
            tasks,
            X,
            y,
            learning_rate=rate,
            steps=100_000,
            absolute_tolerance=1e-16,
        )
        assert result.converged
        distances.append(float(jnp.linalg.norm(result.network.end_to_end() - expected)))
    # Flow is the limit of small steps: the distance is of first order in the rate.
    assert distances[1] < 0.01
    assert distances[0] / distances[1] == pytest.approx(2, abs=0.3)
    # And the scale matters: kappa = 1 is far away.
    assert jnp.linalg.norm((kappa - 1) * (source - seen)) > 0.1


def test_fine_tuning_from_a_trained_network():
    tasks = LinearTasks.at_angle(jax.random.key(0), 30, 0.8, sigma=0.2)
    X, y = tasks.sample(jax.random.key(1), 15)
    start = DeepLinear.init(jax.random.key(2), 30)
    pretrained, _ = pretrain(start, tasks.beta_source, absolute_tolerance=1e-10)
    ideal = fine_tune(pretrained_on(tasks.beta_source), tasks, X, y, learning_rate=0.02)
    result = fine_tune(pretrained, tasks, X, y, learning_rate=0.02)
    np.testing.assert_allclose(result.risk, ideal.risk, atol=1e-3)
    np.testing.assert_allclose(result.loss, jnp.mean((X @ result.network.end_to_end() - y) ** 2))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("n", [5, 30])
@pytest.mark.parametrize("ridge", [0.03, 2.0])
def test_ridge_solves_the_normal_equations(n, ridge):
    tasks = LinearTasks.at_angle(jax.random.key(0), 8, 0.8, sigma=0.5)
    X, y = tasks.sample(jax.random.key(1), n)
    network = DeepLinear.init(jax.random.key(2), 8, depth=3, width=6, scale=1.0)
    Z = X @ network.feature_map()
    solution = jnp.linalg.solve(Z.T @ Z / n + ridge * jnp.eye(6), Z.T @ y / n)
    exact = linear_transfer(network, tasks, X, y, ridge=ridge, cutoff=0.0)
    np.testing.assert_allclose(exact.network.weights[-1][:, 0], solution, atol=1e-12)
    np.testing.assert_array_equal(exact.network.weights[0], network.weights[0])
    by_hand = DeepLinear.balanced(network.feature_map() @ solution)
    np.testing.assert_allclose(exact.risk, tasks.risk(by_hand), atol=1e-12)
    trained = linear_transfer(
        network,
        tasks,
        X,
        y,
        ridge=ridge,
        cutoff=0.0,
        engine="descent",
        absolute_tolerance=1e-20,
        steps=50_000,
    )
    assert trained.converged
    np.testing.assert_allclose(trained.network.weights[-1][:, 0], solution, atol=1e-8)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("n", [5, 30])
def test_without_ridge_the_solution_has_minimum_norm(n):
    tasks = LinearTasks.at_angle(jax.random.key(0), 8, 0.8, sigma=0.5)
    X, y = tasks.sample(jax.random.key(1), n)
    network = DeepLinear.init(jax.random.key(2), 8, scale=1.0)
    exact = linear_transfer(network, tasks, X, y)
    solution = jnp.linalg.pinv(X @ network.feature_map()) @ y
    np.testing.assert_allclose(exact.network.weights[-1][:, 0], solution, atol=1e-10)
    # At depth 1 the features are the inputs.
    exact = linear_transfer(DeepLinear((jnp.ones((8, 1)),)), tasks, X, y)
    np.testing.assert_allclose(exact.network.end_to_end(), jnp.linalg.pinv(X) @ y, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_remains_of_the_initial_weights_are_no_features():
    d, n = 40, 20
    tasks = LinearTasks.at_angle(jax.random.key(0), d, 0.8, sigma=0.5)
    X, y = tasks.sample(jax.random.key(1), n)
    start = DeepLinear.init(jax.random.key(2), d)
    pretrained, _ = pretrain(start, tasks.beta_source, absolute_tolerance=1e-12)
    ideal = linear_transfer(pretrained_on(tasks.beta_source), tasks, X, y)
    for network in (pretrained, truncate(pretrained, 1)):
        for solver in ("limit", "descent"):
            result = linear_transfer(network, tasks, X, y, engine=solver)
            assert result.converged
            np.testing.assert_allclose(result.risk, ideal.risk, atol=3e-3)
    # Without the cutoff they fit the noise.
    everything = linear_transfer(pretrained, tasks, X, y, cutoff=0.0)
    assert everything.loss < 1e-10 < ideal.loss
    assert everything.risk > ideal.risk + 0.1


@pytest.mark.parametrize("n", [20, 39, 40, 41, 80])
@pytest.mark.parametrize("depth", [2, 3])
def test_linear_transfer_is_within_the_perturbation_bound(n, depth):
    """In single precision, against double precision on the same arrays.

    Inputs, layers and labels that are off by a share eps of their norms move the solution b by at
    most eps * |X| |W_1| ... |W_{L-1}| / s * (1 + residual / (s |b|)), a share of its norm, with the
    least singular value s of the features Z, to first order (Wedin, 1973); the ridge appends
    sqrt(ridge) I to Z. Rounding in so many entries counts as ten such perturbations.
    """
    d, eps = 40, float(jnp.finfo(jnp.float32).eps)
    rng = np.random.default_rng(n)
    tasks = LinearTasks.at_angle(jax.random.key(0), d, 0.5)

    def orthogonal(size, columns):
        return np.linalg.qr(rng.normal(size=(size, columns)))[0]

    for condition in (1.0, 1e1, 1e3, 1e5):
        r = min(n, d)
        X = (orthogonal(n, r) @ orthogonal(d, r).T * n**0.5).astype(np.float32)
        turn = orthogonal(d, d)
        F = orthogonal(d, d) * np.geomspace(1, 1 / condition, d) @ turn
        layers = [F.astype(np.float32), turn.T.astype(np.float32)][: depth - 1]
        F = np.linalg.multi_dot([np.eye(d), *(W.astype(float) for W in layers)])
        Z = X.astype(float) @ F / n**0.5
        y = (Z @ rng.normal(size=d) + rng.normal(size=n)).astype(np.float32)
        for ridge in (0.0, 1e-4):
            A, t = Z, y / n**0.5
            if ridge:
                A, t = np.vstack([Z, ridge**0.5 * np.eye(d)]), np.append(t, np.zeros(d))
            b = np.linalg.lstsq(A, t, rcond=1e-8)[0]
            least = np.linalg.svd(A, compute_uv=False)[-1]
            share = eps * max(1, ridge**0.5) / least
            share *= 1 + np.linalg.norm(A @ b - t) / least / np.linalg.norm(b)
            network = DeepLinear((*map(jnp.asarray, layers), jnp.ones((d, 1))))
            result = linear_transfer(network, tasks, X, y, ridge=ridge, cutoff=0.0)
            last = np.asarray(result.network.weights[-1][:, 0], float)
            assert np.linalg.norm(last - b) <= 10 * share * np.linalg.norm(b)


@pytest.mark.parametrize("n", [99, 100, 101])
def test_all_features_of_a_random_network(n):
    """At the peak of double descent, in single precision as in double."""
    d, eps = 100, float(jnp.finfo(jnp.float32).eps)
    for seed in range(3):
        keys = jax.random.split(jax.random.key(seed), 3)
        tasks = LinearTasks.at_angle(keys[0], d, 0.5, 0.5)
        X, y = tasks.sample(keys[1], n)
        network = DeepLinear.init(keys[2], d, scale=1.0)
        result = linear_transfer(network, tasks, X, y, cutoff=0.0)
        F, X, y = (np.asarray(array, float) for array in (network.feature_map(), X, y))
        b, _, _, singular = np.linalg.lstsq(X @ F, y, rcond=None)
        # The bound of the test above.
        share = eps * np.linalg.norm(X, 2) * np.linalg.norm(F, 2) / singular[-1]
        share *= 1 + np.linalg.norm(X @ F @ b - y) / singular[-1] / np.linalg.norm(b)
        assert share < 0.02
        last = np.asarray(result.network.weights[-1][:, 0], float)
        assert np.linalg.norm(last - b) <= 10 * share * np.linalg.norm(b)


def test_protocols_follow_the_dtype(dtype):
    tasks = LinearTasks.at_angle(jax.random.key(0), 6, dtype.type(0.8), sigma=0.5)
    X, y = tasks.sample(jax.random.key(1), 10)
    network = DeepLinear.init(jax.random.key(2), 6, scale=dtype.type(0.3))
    new = scratch(jax.random.key(2), tasks, X, y, scale=dtype.type(0.3), steps=100)
    results = [
        new,
        fine_tune(network, tasks, X, y, steps=100),
        linear_transfer(network, tasks, X, y),
    ]
    for result in results:
        assert {leaf.dtype for leaf in jax.tree.leaves(result.network)} == {dtype}
        assert result.risk.dtype == result.loss.dtype == dtype
    same, _ = train(network, X, y, steps=100)
    np.testing.assert_array_equal(new.network.end_to_end(), same.end_to_end())


def test_batches():
    def draw(key):
        tasks = LinearTasks.at_angle(key, 6, 0.8, 0.2)
        return tasks, *tasks.sample(key, 4), pretrained_on(tasks.beta_source)

    tasks, X, y, pretrained = jax.vmap(draw)(jax.random.split(jax.random.key(0), 3))
    protocols = [
        partial(fine_tune, steps=300),
        linear_transfer,
        partial(linear_transfer, engine="descent", steps=300, ridge=0.1),
    ]
    for protocol in protocols:
        many = jax.vmap(protocol)(pretrained, tasks, X, y)
        one = protocol(*jax.tree.map(lambda leaf: leaf[2], (pretrained, tasks, X, y)))
        assert many.risk.shape == many.converged.shape == (3,)
        np.testing.assert_allclose(many.risk[2], one.risk, rtol=1e-4)


def test_impossible_options():
    tasks = LinearTasks.at_angle(jax.random.key(0), 6, 0.8)
    X, y = tasks.sample(jax.random.key(1), 10)
    network = DeepLinear.init(jax.random.key(2), 6)
    transfer = partial(linear_transfer, network, tasks, X, y)
    with pytest.raises(ValueError, match=r"ridge must be a number >= 0; got -1\.0"):
        transfer(ridge=-1.0)
    with pytest.raises(ValueError, match=r"cutoff must be a number in \[0, 1\); got 1.0"):
        transfer(cutoff=1.0)
    with pytest.raises(ValueError, match="steps has no effect unless engine='descent'; got 5"):
        transfer(steps=5)
    with pytest.raises(TypeError, match="step is no option of linear_transfer, which takes ridge,"):
        transfer(step=5)
    with pytest.raises(TypeError, match="depth is no option of fine_tune, which takes engine, lea"):
        fine_tune(network, tasks, X, y, depth=3)
    with pytest.raises(TypeError, match="size is no option of scratch, which takes depth, width,"):
        scratch(jax.random.key(0), tasks, X, y, size=3)
    with pytest.raises(ValueError, match=r"X must be \(n, 6\)"):
        linear_transfer(network, tasks, X[:, :4], y)


def relu_tasks(n=60, sigma=0.1):
    tasks = relu.ReluTasks.ablated(jax.random.key(0), 6, 8, 0.5, sigma)
    return tasks, *tasks.sample(jax.random.key(1), n)


@pytest.mark.parametrize("ridge", [0.0, 0.01])
def test_relu_linear_transfer_is_ridge_regression_on_the_features(ridge):
    """The solution, gradient descent and the normal equations of a few well-separated features."""
    tasks, X, y = relu_tasks()
    exact = linear_transfer(tasks.source, tasks, X, y, ridge=ridge)
    trained = linear_transfer(
        tasks.source,
        tasks,
        X,
        y,
        ridge=ridge,
        engine="descent",
        absolute_tolerance=1e-9,
        steps=100_000,
    )
    features = np.maximum(np.asarray(X, float) @ np.asarray(tasks.source.W, float).T, 0)[:, :4]
    gram = features.T @ features / len(y) + ridge * np.eye(4)
    last = np.linalg.solve(gram, features.T @ np.asarray(y, float) / len(y))
    np.testing.assert_allclose(exact.network.c[:4] / 8, last, rtol=1e-3)
    np.testing.assert_array_equal(exact.network.c[4:], 0)  # neurons that are absent
    # The objective is 1e-9 above its minimum; the features' curvature is over 0.05.
    np.testing.assert_allclose(trained.network.c[:4] / 8, last, atol=2e-4)
    assert trained.converged
    assert (exact.engine, trained.engine) == ("limit", "descent")
    np.testing.assert_allclose(exact.risk, tasks.risk(exact.network), rtol=1e-5)
    misses = jax.vmap(exact.network)(X) - y
    np.testing.assert_allclose(exact.loss, jnp.mean(misses**2), rtol=1e-4)


def test_relu_risk_follows_its_predicted_learning_curve():
    """Fitted last layers on random features, against their neurons alone."""
    tasks = relu.ReluTasks.ablated(jax.random.key(0), 24, 12, 0.5, 0.1)
    network = relu.ReluNetwork.init(jax.random.key(2), 24, 48)
    target = tasks.target.W, tasks.target.c / 12
    spectrum = relu.feature_spectrum(network.W, *target)

    def run(key):
        return linear_transfer(network, tasks, *tasks.sample(key, 160), ridge=1e-3).risk

    risks = jax.lax.map(run, jax.random.split(jax.random.key(3), 100))
    expected = theory.ridge_risk(
        160,
        spectrum.eigenvalues,
        spectrum.coefficients2,
        residual=spectrum.residual,
        noise=0.1,
        ridge=1e-3,
    )
    # A deterministic equivalent for Gaussian features: ReLU ones may be a few percent off.
    error = np.std(risks, ddof=1) / 10
    assert abs(np.mean(risks) - expected) <= 4 * error + 0.05 * expected


def test_relu_protocols_train_the_right_network():
    tasks, X, y = relu_tasks(n=30, sigma=0.0)
    # Above the local minima in which some draws end: those depend on the version of JAX.
    options = {"tolerance": 1e-2}
    new = scratch(jax.random.key(4), tasks, X, y, **options)
    assert new.network.W.shape == (80, 6)  # ten for each of the teacher's
    start = relu.ReluNetwork.init(jax.random.key(4), 6, 80)
    by_hand, history = relu.train(start, X, y, **options)
    np.testing.assert_array_equal(new.network.W, by_hand.W)
    assert new.steps == history.steps_taken
    tuned = fine_tune(tasks.source, tasks, X, y, **options)
    assert tuned.converged
    assert tuned.loss <= 1.01e-2 * jnp.mean(y**2)
    assert tuned.risk < tasks.risk(tasks.source)


def test_networks_and_tasks_are_of_one_kind():
    tasks, X, y = relu_tasks()
    linear = LinearTasks.at_angle(jax.random.key(0), 6, 0.5)
    _, reduced, labels = reduced_tasks(jax.random.key(0), 5, 6, 0.5, 0.0)
    for protocol in (fine_tune, linear_transfer):
        with pytest.raises(
            ValueError, match="must be a ReluNetwork, as tasks are ReluTasks; got a DeepLinear"
        ):
            protocol(pretrained_on(linear.beta_source), tasks, X, y)
        with pytest.raises(ValueError, match="as tasks are LinearTasks; got a ReluNetwork"):
            protocol(tasks.source, linear, X, y)
        with pytest.raises(TypeError, match=r"X must be real numbers; got .* Bidiagonal"):
            protocol(tasks.source, tasks, reduced, labels)
    with pytest.raises(TypeError, match="depth is no option of scratch, which takes width,"):
        scratch(jax.random.key(0), tasks, X, y, depth=3)


def test_faint_features_are_features():
    """Their squares leave single precision: the last layer makes up for any common factor."""
    tasks, X, y = relu_tasks()
    network = relu.ReluNetwork.init(jax.random.key(3), 6, 12)
    for ridge in (0.0, 1e-3):
        whole = linear_transfer(network, tasks, X, y, ridge=ridge)
        for size in (2.0**-60, 2.0**-90, 2.0**40):
            faint = relu.ReluNetwork(size * network.W, network.c)
            if ridge and size < 1:
                continue  # such a ridge leaves nothing of them
            result = linear_transfer(faint, tasks, X, y, ridge=ridge * size**2)
            # Not the risk, which takes squares of the neurons.
            np.testing.assert_allclose(result.loss, whole.loss, rtol=1e-4)
    tasks = LinearTasks.at_angle(jax.random.key(0), 8, 0.5)
    X, y = tasks.sample(jax.random.key(1), 40)
    deep = DeepLinear.init(jax.random.key(2), 8, 5, scale=1e-5)  # features of size 1e-20
    alike = DeepLinear(tuple(1e5 * weight for weight in deep.weights))
    risks = [linear_transfer(net, tasks, X, y, cutoff=0.0).risk for net in (deep, alike)]
    np.testing.assert_allclose(*risks, atol=1e-4)
    bare = linear_transfer(DeepLinear.balanced(tasks.beta_source), tasks, X, y)
    inputs = linear_transfer(
        DeepLinear.balanced(tasks.beta_source), tasks, 2.0**-70 * X, 2.0**-70 * y
    )
    np.testing.assert_allclose(inputs.risk, bare.risk, rtol=1e-5)


def test_one_direction_has_no_last_layer_of_its_own():
    tasks, X, y = reduced_tasks(jax.random.key(0), 5, 9, 0.5, 0.1)
    with pytest.raises(ValueError, match="got 'descent', which layers='last' implies"):
        scratch(jax.random.key(0), tasks, X, y, layers="last")
    with pytest.raises(ValueError, match="engine must be 'descent' to train the last layer"):
        scratch(jax.random.key(0), tasks, X, y, layers="last", engine="spectral")
