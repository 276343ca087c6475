"""The engines against one another: each is the test of the next."""

from functools import lru_cache, partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib.linear import DeepLinear, LinearTasks, pretrain, train
from fatelib.transfer import fine_tune, linear_transfer, scratch

try:
    enable_x64 = jax.enable_x64
except AttributeError:  # JAX before 0.8
    from jax.experimental import enable_x64

D = 16


def problem(n, dtype=None):
    dtype = jnp.result_type(float) if dtype is None else dtype
    tasks = LinearTasks.at_angle(jax.random.key(0), D, jnp.asarray(0.8, dtype), sigma=0.3)
    return tasks, *tasks.sample(jax.random.key(1), n)


def rank_one(beta, depth, width=5, imbalance=1.0):
    """A network of rank-one matrices in random frames that computes beta."""
    narrow = DeepLinear.balanced(beta, depth)
    frames = jax.random.normal(jax.random.key(3), (depth - 1, width), beta.dtype)
    frames = [frame / jnp.linalg.norm(frame) for frame in frames]
    ends = [jnp.ones(1, beta.dtype), *frames, jnp.ones(1, beta.dtype)]
    weights = [jnp.outer(narrow.weights[0], ends[1])]
    weights += [
        weight * jnp.outer(left, right)
        for weight, left, right in zip(narrow.weights[1:], ends[1:], ends[2:], strict=False)
    ]
    if depth > 1:
        weights[0] *= imbalance
        weights[-1] /= imbalance
    return DeepLinear(tuple(weights))


def close(first, second, rtol):
    for a, b in zip(first.weights, second.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.max(np.abs(a)))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("n", [7, 40])
@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_gram_takes_the_steps_of_descent(n, decay):
    _, X, y = problem(n)
    start = DeepLinear.init(jax.random.key(2), D, scale=jnp.asarray(0.3))
    options = {"learning_rate": 0.02, "tolerance": 0.0, "weight_decay": decay, "steps": 2000}
    run = partial(train, start, X, y, observe=DeepLinear.end_to_end, **options)
    network, every = run(engine="descent", record_every=1)
    betas = np.asarray(every.observed)
    assert betas.shape == (2001, D)
    # A loss is a square: it follows its map at this slope at most.
    top = np.linalg.eigvalsh(X.T @ X / n).max()
    slope = 2 * np.sqrt(top * every.loss.max())
    # Blocks of steps are written at once; no block divides the last stretch of 200 steps.
    for engine, record_every in (("gram", 1), ("gram", 300), ("descent", 300)):
        other, history = run(engine=engine, record_every=record_every)
        close(network, other, 1e-12)
        at = history.steps.astype(int)
        assert at.tolist() == [*range(0, 2000, record_every), 2000]
        errors = np.max(np.abs(history.observed - betas[at]), axis=1)
        assert (errors < 1e-12 * np.max(np.abs(betas[at]), axis=1)).all()
        size = np.linalg.norm(betas, axis=1).max()
        np.testing.assert_allclose(history.loss, every.loss[at], rtol=0, atol=1e-12 * slope * size)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("n", [7, 40])
@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_spectral_takes_the_steps_of_descent(n, decay, depth):
    tasks, X, y = problem(n)
    start = rank_one(tasks.beta_source, depth, imbalance=1.3)
    options = {"learning_rate": 0.02, "tolerance": 0.0, "weight_decay": decay, "steps": 700}
    network, _ = train(start, X, y, engine="descent", **options)
    other, history = train(start, X, y, engine="spectral", **options)
    close(network, other, 1e-12)
    assert (history.engine, int(history.steps_taken)) == ("spectral", 700)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_flow_is_descent_of_small_steps(depth, decay):
    """The distance after the same time falls with the learning rate: observed order one."""
    tasks, X, y = problem(7)
    start = rank_one(tasks.beta_source, depth)

    def after(engine, rate):
        options = {"learning_rate": rate, "steps": round(1 / rate), "record_every": 1000}
        options |= {"tolerance": 0.0, "weight_decay": decay}
        network, history = train(start, X, y, engine=engine, **options)
        assert history.steps[-1] == round(1 / rate)
        return network.end_to_end()

    limit = after("flow", 0.01)
    errors = [np.linalg.norm(after("spectral", rate) - limit) for rate in (0.02, 0.01, 0.005)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 1, atol=0.1)  # the next order leaves about rate * curvature


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("depth", "n"), [(1, 7), (2, 40), (3, 7), (4, 7)])
def test_flow_ends_in_the_limit(depth, n):
    tasks, X, y = problem(n)
    start = rank_one(1.3 * tasks.beta_source, depth)
    flow, history = train(
        start, X, y, engine="flow", learning_rate=1.0, steps=10_000, absolute_tolerance=1e-18
    )
    limit, limit_history = train(start, X, y, engine="limit")
    assert history.converged
    # A loss 1e-18 above its minimum is a distance of 1e-9 over the root of the least curvature, in
    # what the data see. The rest is proportional to ||beta||^((L-1)/L), which follows that at most
    # (L - 1) / 2 as far; the solver's own error, its tolerance of 1e-11 a step, is far below.
    least = np.linalg.svd(X / np.sqrt(n), compute_uv=False).min()
    distance = flow.end_to_end() - limit.end_to_end()
    seen = np.linalg.pinv(X) @ (X @ distance)
    assert np.linalg.norm(seen) < 1e-9 / least
    assert np.linalg.norm(distance - seen) <= (depth - 1) / 2 * 1e-9 / least + 1e-14
    np.testing.assert_allclose(limit_history.loss[-1], limit_history.minimum, atol=1e-13)
    np.testing.assert_allclose(limit_history.loss[0], history.loss[0], rtol=1e-12)
    np.testing.assert_allclose(limit_history.loss[0], jnp.mean((X @ start.end_to_end() - y) ** 2))


@pytest.mark.usefixtures("x64")
def test_flow_keeps_its_records():
    """What flow records on the way is what it reaches when it stops there."""
    tasks, X, y = problem(7)
    start = rank_one(tasks.beta_source, 2)
    options = {"engine": "flow", "learning_rate": 0.01, "tolerance": 0.0}
    _, history = train(
        start, X, y, steps=250, record_every=100, observe=DeepLinear.end_to_end, **options
    )
    assert history.steps.tolist() == [0, 100, 200, 250]
    for steps, seen in zip((100, 200, 250), history.observed[1:], strict=True):
        network, _ = train(start, X, y, steps=steps, **options)
        # Until the last step, which ends there or is interpolated, to the solver's tolerance, both
        # take the same ones.
        precision = np.finfo(float).eps ** 0.7
        np.testing.assert_allclose(seen, network.end_to_end(), rtol=0, atol=precision)


@pytest.mark.parametrize("scale", [1e-14, 1.0, 1e14])
def test_flow_counts_time_in_steps_at_any_scale_of_the_data(scale):
    """In its own unit of time the velocity's square would overflow, and no step be small enough."""
    X, y = scale * jnp.array([[1.0, 2.0], [3.0, 1.0]]), scale * jnp.array([1.0, 2.0])
    start = DeepLinear.balanced(jnp.ones(2))
    network, history = train(start, X, y, engine="flow", absolute_tolerance=1e-6 * scale**2)
    assert history.converged
    np.testing.assert_allclose(network.end_to_end(), [0.6, 0.2], atol=2e-3)


def test_a_solver_that_gives_up_is_no_result(monkeypatch):
    """Its weights are finite, those of the time it came to."""
    solve = diffrax.diffeqsolve
    short = partial(solve, max_steps=5)
    monkeypatch.setattr(
        diffrax, "diffeqsolve", lambda *args, max_steps, **options: short(*args, **options)
    )
    X, y = jnp.array([[1.0, 2.0], [3.0, 1.0]]), jnp.array([1.0, 2.0])
    start = DeepLinear.balanced(jnp.full(2, 1e-3))
    with pytest.raises(FloatingPointError, match=r"gradient flow was lost at step \d+: its"):
        train(start, X, y, engine="flow", steps=4000)
    networks, histories = jax.vmap(lambda y: train(start, X, y, engine="flow", steps=4000))(y[None])
    assert histories.diverged.all()
    assert not histories.converged.any()
    assert all(jnp.isnan(weight).all() for weight in networks.weights)


ENGINES = ("descent", "gram", "spectral", "flow", "limit")


@lru_cache
def in_double_precision(engine, n, depth, rate, tolerance):
    """The map that the same data and start lead to, with 64 bits."""
    tasks, X, y = problem(n)
    start = rank_one(tasks.beta_source, depth)
    with enable_x64(True):
        X, y, start = jax.tree.map(np.float64, (X, y, start))
        options = loop(engine, rate, tolerance)
        return np.asarray(train(start, X, y, engine=engine, **options)[0].end_to_end())


def loop(engine, rate, tolerance):
    """Options of 4,000 steps; the limit takes none."""
    options = {"learning_rate": rate, "steps": 4000, "absolute_tolerance": tolerance}
    return {} if engine == "limit" else options


@pytest.mark.parametrize(
    ("engine", "n", "depth"),
    [(engine, n, 2) for engine in ENGINES for n in (7, 40)]
    + [(engine, 7, 3) for engine in ENGINES if engine != "gram"],
)
def test_single_precision(engine, n, depth):
    """Float32 ends where float64 does, to what stopping, stalling and rounding allow."""
    rate, tolerance = (0.01, 0.0) if n == 7 else (0.05, 1e-12)
    tasks, X, y = problem(n)
    start = rank_one(tasks.beta_source, depth)
    single, history = train(start, X, y, engine=engine, **loop(engine, rate, tolerance))
    assert single.weights[0].dtype == jnp.float32
    # Gradient descent has one sequence of iterates.
    reference = engine if engine in ("flow", "limit") else "spectral"
    exact = in_double_precision(reference, n, depth, rate, tolerance)
    steps, size, half = int(history.steps_taken), np.linalg.norm(exact), 2**-24
    X, y = np.float64(X), np.float64(y)
    least = np.linalg.svd(X, compute_uv=False).min()
    stopping = 2 * np.sqrt(tolerance * n) / least  # of both
    # Where the gradient 2 X^T X (b - exact) / n is below this, steps change no digit.
    stalling = half * size ** (2 / depth - 1) / rate * n / (2 * least**2)
    # A gradient sums n + d products, each rounded to a share of 2^-24; the least singular value
    # says how far that moves the minimum. The Gram matrix also keeps the rounding of every update.
    rounding = sum(X.shape) * half * np.linalg.norm(y) / least
    if engine == "gram":
        rounding += steps * half * size
    if engine == "flow":  # adaptive to this relative error
        rounding += np.finfo(np.float32).eps ** 0.7 * size
    seen = stopping + stalling + rounding
    difference = np.float64(single.end_to_end()) - exact
    project = np.linalg.pinv(X) @ X
    assert np.linalg.norm(project @ difference) < seen
    # The rest is what W_1 holds there, never changed, times the other layers. Those follow the
    # seen part through the balance of the layers, which each step rounds once a layer.
    share = (depth - 1) * (seen / (2 * size) + half * steps) + half * D
    if engine == "flow":
        share += np.finfo(np.float32).eps ** 0.7
    unseen = np.linalg.norm(exact - project @ exact)
    assert (unseen > 0.1) == (n < D)
    assert np.linalg.norm(difference - project @ difference) < share * unseen + rounding


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_is_one_by_one(engine):
    _, X, y = problem(7)
    angles = jnp.array([0.3, 0.8, 1.4])
    loop = {"learning_rate": 0.05, "steps": 500, "absolute_tolerance": 1e-10}
    options = {"engine": engine, **({} if engine == "limit" else loop)}

    def run(theta, X, y):
        tasks = LinearTasks.at_angle(jax.random.key(0), D, theta, sigma=0.3)
        start = DeepLinear.balanced(tasks.beta_source)
        network, history = train(start, X, y, **options)
        return network.end_to_end(), history.steps_taken, history.converged

    batch = jax.vmap(run, (0, None, None))(angles, X, y)
    again = jax.vmap(run, (0, None, None))(angles, X, y)
    # As above, what the data see rounds a gradient a step; the flow, whose steps turn on the last
    # digit, stops anywhere that its loss is within the tolerance of the minimum. What they do not
    # see is no longer, and half as far off.
    least = np.linalg.svd(X, compute_uv=False).min()
    half = np.finfo(np.float32).eps / 2
    stopping = 2 * np.sqrt(loop["absolute_tolerance"] * len(X)) / least if engine == "flow" else 0.0
    for i, theta in enumerate(angles):
        beta, steps, converged = run(theta, X, y)
        atol = 1.5 * (stopping + (steps + sum(X.shape)) * half * np.linalg.norm(y) / least)
        np.testing.assert_allclose(batch[0][i], beta, rtol=0, atol=atol)
        if engine != "flow":  # whose adaptive steps turn on the last digit
            assert batch[1][i] == steps
            assert batch[2][i] == converged
    for a, b in zip(batch, again, strict=True):  # determinism: to the last bit
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("x64")
def test_gram_where_a_step_of_decay_takes_everything():
    """At learning rate times decay = 1 nothing of the weights before a step is left after it."""
    _, X, y = problem(7)
    start = DeepLinear.init(jax.random.key(0), D, scale=0.3)
    options = {"learning_rate": 0.05, "steps": 3, "tolerance": 0.0}
    for decay in (20.0, 19.0, 21.0):
        one, other = (
            train(start, X, y, engine=engine, weight_decay=decay, **options)[0]
            for engine in ("gram", "descent")
        )
        for a, b in zip(one.weights, other.weights, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-14)


@pytest.mark.parametrize("depth", [4, 6])
def test_a_start_too_small_to_be_squared(depth):
    """Its infinite time is the interpolator; in finite time it stays where it is."""
    tasks, X, y = problem(7)
    ends = {
        engine: scratch(jax.random.key(0), tasks, X, y, depth=depth, engine=engine, **options)
        for engine, options in {"spectral": {"steps": 10}, "limit": {}}.items()
    }
    assert not ends["spectral"].converged
    np.testing.assert_allclose(ends["spectral"].risk, 1, rtol=1e-5)
    assert ends["limit"].converged
    interpolator = jnp.linalg.pinv(X) @ y
    np.testing.assert_allclose(ends["limit"].network.end_to_end(), interpolator, atol=1e-4)


@pytest.mark.parametrize("engine", ["spectral", "limit"])
def test_labels_of_zero_are_learned(engine):
    tasks, X, y = problem(7)
    result = scratch(jax.random.key(0), tasks, X, 0 * y, engine=engine)
    assert result.converged
    np.testing.assert_allclose(result.network.end_to_end(), 0, atol=1e-6)


def test_a_traced_network_that_the_engine_cannot_take_has_failed():
    _, X, y = problem(7)
    starts = jax.vmap(lambda key: DeepLinear.init(key, D))(jax.random.split(jax.random.key(0), 2))
    network, history = jax.vmap(lambda start: train(start, X, y, engine="limit"))(starts)
    assert jnp.isnan(network.weights[0]).all()
    assert history.diverged.all()
    assert not history.converged.any()


def test_auto_chooses_by_shape():
    tasks, X, y = problem(7)
    chosen = {
        "spectral": DeepLinear.balanced(tasks.beta_source, 3),
        "gram": DeepLinear.init(jax.random.key(0), D),
        "descent": DeepLinear.init(jax.random.key(0), D, depth=3),
    }

    def engine(function, *data, **options):
        return jax.eval_shape(partial(function, **options), *data)[1].engine

    for name, network in chosen.items():
        assert engine(train, network, X, y) == name
    narrow = DeepLinear.init(jax.random.key(0), D, width=2)
    assert engine(train, narrow, X, y) == "descent"
    assert engine(train, chosen["gram"], X, y, layers="last") == "descent"
    assert engine(train, chosen["gram"], *problem(8)[1:]) == "descent"  # 8 = width / 2
    assert engine(pretrain, chosen["gram"], tasks.beta_source) == "descent"


@pytest.mark.parametrize(
    ("engine", "depth", "options", "message"),
    [
        ("newton", 2, {}, r"engine must be one of \('auto', 'descent'.*got 'newton'"),
        ("gram", 3, {}, "engine 'gram' must have a network of 2 layers; got 3"),
        ("spectral", 2, {}, r"rank-one matrices.*a share of 0\.\d+ of a matrix would be lost"),
        ("flow", 2, {"layers": "last"}, "engine must be 'descent' to train the last layer alone"),
        ("limit", 2, {"weight_decay": 0.1}, "weight_decay must be 0 for the engine 'limit'"),
    ],
)
def test_what_an_engine_cannot_do_is_said(engine, depth, options, message):
    _, X, y = problem(7)
    network = DeepLinear.init(jax.random.key(0), D, depth=depth, scale=0.5)
    with pytest.raises(ValueError, match=message):
        train(network, X, y, engine=engine, **options)


@pytest.mark.parametrize("engine", ["flow", "limit"])
def test_flow_needs_balance(engine):
    tasks, X, y = problem(7)
    with pytest.raises(ValueError, match=r"balanced layers.*the sizes are \[2\.0, 0\.5\]"):
        train(rank_one(tasks.beta_source, 2, imbalance=2.0), X, y, engine=engine)


@pytest.mark.parametrize("engine", ["spectral", "flow", "limit"])
def test_inside_a_program_what_does_not_fit_is_nan(engine):
    _, X, y = problem(7)
    network = DeepLinear.init(jax.random.key(0), D, scale=0.5)
    options = {"engine": engine, **({} if engine == "limit" else {"steps": 5})}
    run = jax.jit(lambda network: train(network, X, y, **options)[0].end_to_end())
    assert jnp.isnan(run(network)).all()


def test_divergence_is_reported():
    tasks, X, y = problem(7)
    start = DeepLinear.balanced(tasks.beta_source)
    for engine in ("descent", "gram", "spectral"):
        with pytest.raises(FloatingPointError, match=r"at learning rate 2; a stable one is 0\.0"):
            train(start, X, y, engine=engine, learning_rate=2.0)


def test_pretrained_networks_may_be_compressed():
    """After pretraining from a small scale the rank-one engine does what full training does."""
    tasks, X, y = problem(7)
    network, _ = pretrain(DeepLinear.init(jax.random.key(2), D), tasks.beta_source)
    options = {"learning_rate": 0.05, "steps": 2000}
    results = [
        fine_tune(network, tasks, X, y, engine=e, **options) for e in ("descent", "spectral")
    ]
    assert [result.engine for result in results] == ["descent", "spectral"]
    # What is left of the initial weights is 1e-5 of each entry.
    np.testing.assert_allclose(results[0].risk, results[1].risk, rtol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_scratch_ends_at_the_interpolator(engine):
    tasks, X, y = problem(7)
    options = {} if engine == "limit" else {"absolute_tolerance": 1e-10}
    result = scratch(jax.random.key(5), tasks, X, y, engine=engine, **options)
    assert result.engine == engine
    assert result.converged
    # A loss 1e-10 above its minimum is a distance of 1e-5 over the root of the least curvature.
    least = np.linalg.svd(np.float64(X) / 7**0.5, compute_uv=False).min() ** 2
    distance = np.linalg.norm(result.network.end_to_end() - np.linalg.pinv(X) @ y)
    assert distance < (1e-10 / least) ** 0.5


def test_the_last_layer_has_two_engines():
    tasks, X, y = problem(40)
    network = DeepLinear.balanced(tasks.beta_source)
    with pytest.raises(ValueError, match="engine must be 'auto', 'limit' or 'descent'; got 'flow'"):
        linear_transfer(network, tasks, X, y, engine="flow")
    exact, trained = (linear_transfer(network, tasks, X, y, engine=e) for e in ("auto", "descent"))
    assert (exact.engine, trained.engine) == ("limit", "descent")
    np.testing.assert_allclose(exact.risk, trained.risk, atol=2e-3)
