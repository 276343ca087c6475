"""Loops in batches: what they end with, and how many turns they take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib.descent.batch import each, until
from fatelib.linear import DeepLinear, train

ROWS, COLUMNS = 6, 10


def turn(fixed, state):
    """Add to a sum; JAX calls the callback once for each of a batch that takes the turn."""
    factor, vector, _, seen = fixed
    jax.debug.callback(lambda _: seen.append(None), state[0])
    return state[0] + 1, state[1] + factor * vector


def finished(fixed, state):
    return state[0] >= fixed[2]


class Seen(list):
    """A list that `jax.tree` takes for a part of the structure, not for data."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


jax.tree_util.register_static(Seen)


@pytest.fixture
def counts():
    """Few turns for most, and many for some; different ones in every row."""
    return np.random.default_rng(0).geometric(0.1, (ROWS, COLUMNS))


def run(counts, seen):
    """Batches within batches, with an array for each, one for each row, and one for all."""
    vectors = jnp.arange(2.0 * ROWS, dtype="float32").reshape(ROWS, 2)
    factor = jnp.float32(2)

    def one(vector, count):
        start = (jnp.zeros((), int), jnp.zeros(2, "float32"))
        return until(finished, turn, (factor, vector, count, seen), start)

    rows = jax.vmap(jax.vmap(one, (None, 0)), (0, 0))
    turns, sums = jax.jit(rows)(vectors, jnp.asarray(counts))
    jax.effects_barrier()
    np.testing.assert_array_equal(turns, counts)
    np.testing.assert_array_equal(sums, 2 * vectors[:, None] * counts[:, :, None])


@pytest.fixture
def accelerator(monkeypatch):
    """Do as an accelerator does, with small batches; programs are kept by function."""

    def start():
        monkeypatch.setattr("fatelib.descent.batch._ONE_BY_ONE", ())
        monkeypatch.setattr("fatelib.descent.batch._FEW", 8)
        jax.clear_caches()

    monkeypatch.setattr("fatelib.descent.batch._ONE_BY_ONE", ("cpu", "gpu"))
    yield start
    jax.clear_caches()


@pytest.mark.usefixtures("accelerator")
def test_on_a_cpu_a_batch_stays_together(counts):
    seen = Seen()
    run(counts, seen)
    assert len(seen) == counts.size * counts.max()


def test_elsewhere_those_that_go_on_go_alone(counts, accelerator):
    """While more than half go on, at most twice the turns that are needed; at last few go on."""
    accelerator()
    seen = Seen()
    run(counts, seen)
    assert counts.sum() <= len(seen) <= 2 * counts.sum() + 7 * counts.max()
    assert len(seen) < counts.size * counts.max() / 2


@pytest.mark.usefixtures("x64")
def test_a_batch_of_networks_that_stop_at_different_times(accelerator):
    """Training on an accelerator, on the CPU: the same steps, but for float64's rounding."""
    keys = jax.random.split(jax.random.key(0), 3)
    network = DeepLinear.init(keys[0], 6, scale=0.1)
    X = jax.random.normal(keys[1], (14, 9, 6)) * jnp.linspace(0.5, 1.5, 14)[:, None, None]
    y = X @ jax.random.normal(keys[2], (6,))

    def run():
        def one(X, y):
            trained, history = train(network, X, y, learning_rate=0.02, steps=4000, record_every=10)
            return trained.end_to_end(), history

        return jax.jit(jax.vmap(one))(X, y)

    together, history = run()
    accelerator()
    apart, same = run()
    assert len(set(history.steps_taken.tolist())) > 4
    for name in ("steps_taken", "converged", "steps"):
        np.testing.assert_array_equal(getattr(same, name), getattr(history, name), err_msg=name)
    np.testing.assert_allclose(same.loss, history.loss, rtol=1e-10)
    np.testing.assert_allclose(apart, together, rtol=1e-10)


@pytest.mark.usefixtures("accelerator")
def test_derivatives_in_a_batch():
    """Of gradient descent, on a CPU: those of the minimum-norm interpolator."""
    X = jnp.eye(3)[:2]

    def end(y):
        start = DeepLinear((jnp.zeros((3, 1)),))
        return train(start, X, y, tolerance=0.0, steps=500, engine="descent")[0].end_to_end()

    slopes = jax.jacfwd(jax.jit(end))(jnp.ones(2))
    np.testing.assert_allclose(slopes, X.T, atol=1e-5)


@pytest.mark.parametrize("platforms", [("cpu",), ()])
def test_each(platforms, monkeypatch):
    monkeypatch.setattr("fatelib.descent.batch._ONE_BY_ONE", platforms)
    assert each(lambda x: 2 * x, jnp.arange(3)).tolist() == [0, 2, 4]
