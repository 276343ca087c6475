"""Fine-tuning: the scale against gradient descent, its equation, and every limit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib import theory


def fine_tuned(X, y, source, depth, learning_rate, steps):
    """Full-batch gradient descent on all layers, from the balanced rank-one network."""
    d = len(source)
    length = np.linalg.norm(source)
    share = length ** (1 / depth)
    e = np.eye(d)[0]
    first = share * np.outer(source / length, e)
    hidden = [share * np.outer(e, e) for _ in range(depth - 2)]
    weights = [first, *hidden, share * e[:, None]]
    for _ in range(steps):
        right = [np.eye(1)]
        for W in weights[::-1]:
            right.append(W @ right[-1])
        beta = right.pop()[:, 0]
        left = (2 / len(y)) * (X.T @ (X @ beta - y))[None]  # the gradient, carried forward
        updated = []
        for W in weights:
            updated.append(W - learning_rate * left.T @ right.pop().T)
            left = left @ W
        weights = updated
    return functools.reduce(np.matmul, weights)[:, 0]


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_gradient_descent_on_all_layers_ends_on_the_formula(depth):
    d, n = 12, 5
    rng = np.random.default_rng(depth)
    X = rng.standard_normal((n, d))
    source = rng.standard_normal(d)
    source *= 0.8 / np.linalg.norm(source)
    y = X @ rng.standard_normal(d) / 2 + 0.5 * rng.standard_normal(n)
    beta = fine_tuned(X, y, source, depth, 2e-3, 12_000)
    finer = fine_tuned(X, y, source, depth, 1e-3, 24_000)
    interpolator = np.linalg.pinv(X) @ y
    seen = np.linalg.pinv(X) @ (X @ source)
    scale = theory.fine_tuning_scale_from_norms(
        interpolator @ interpolator, source @ source, seen @ seen, depth=depth
    )
    assert np.abs(X @ beta - y).max() < 1e-6  # it has converged
    flow = interpolator + float(scale) * (source - seen)
    error = np.linalg.norm(beta - flow)
    # The flow is exact; what is left is proportional to the learning rate, up to a share of that.
    assert error < 0.1 * np.linalg.norm(beta - (interpolator + source - seen))  # as in the paper
    assert np.linalg.norm(2 * finer - beta - flow) < 0.02 * error


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize(("gamma", "source_gamma"), [(0.5, np.inf), (0.3, 0.5), (0.7, 1.5)])
def test_transferability_against_simulation(depth, gamma, source_gamma):
    d, theta, sigma, source_sigma, draws = 100, 0.5, 0.6, 0.3, 50
    rng = np.random.default_rng(7)
    source = np.eye(d)[0]
    target = np.cos(theta) * source + np.sin(theta) * np.eye(d)[1]
    gains, scales = [], []
    for _ in range(draws):
        learned = source
        if source_gamma < np.inf:
            X = rng.standard_normal((int(source_gamma * d), d))
            y = X @ source + source_sigma * rng.standard_normal(len(X))
            learned = np.linalg.lstsq(X, y, rcond=None)[0]
        X = rng.standard_normal((int(gamma * d), d))
        y = X @ target + sigma * rng.standard_normal(len(X))
        both = X.T @ np.linalg.solve(X @ X.T, np.stack([y, X @ learned], 1))
        interpolator, seen = both.T
        # Iterate the fixed point itself; the library solves another form of it.
        kappa = 1.0
        for _ in range(200):
            beta = interpolator + kappa * (learned - seen)
            kappa = (np.linalg.norm(beta) / np.linalg.norm(learned)) ** ((depth - 1) / depth)
        scales.append(kappa)
        gains.append(((interpolator - target) ** 2).sum() - ((beta - target) ** 2).sum())
    options = {"depth": depth, "source_gamma": source_gamma, "source_sigma": source_sigma}
    for draws_of, expected in (
        (scales, theory.fine_tuning_scale(gamma, sigma, **options)),
        (gains, theory.fine_tuning_transferability(gamma, theta, sigma, **options)),
    ):
        error = np.std(draws_of, ddof=1) / np.sqrt(draws)
        # A limit: besides four standard errors an error of order 1 / d.
        assert abs(np.mean(draws_of) - float(expected)) < 4 * error + 2 / d


def wide_arguments(count=2000):
    rng = np.random.default_rng(0)

    def spread(low, high):
        return (10 ** rng.uniform(low, high, count)).astype(np.float32)

    gamma, sigma, depth = spread(-6, 1), spread(-4, 4), 1 + spread(-3, 6)
    depth[:100], depth[100:200] = np.inf, 1
    source_gamma, source_sigma = spread(-4, 3), spread(-3, 2)
    source_gamma[::3] = np.inf
    return gamma, sigma, depth, source_gamma, source_sigma


def test_scale_solves_its_equation_over_the_whole_domain(x64):
    def scale(gamma, sigma, depth, source_gamma, source_sigma):
        return theory.fine_tuning_scale(
            gamma, sigma, depth=depth, source_gamma=source_gamma, source_sigma=source_sigma
        )

    single = scale(*wide_arguments())
    assert single.dtype == np.float32
    arguments = [a.astype(float) for a in wide_arguments()]
    kappa = np.asarray(scale(*arguments))
    gamma, sigma, depth, source_gamma, source_sigma = arguments
    seen = np.minimum(gamma, 1)
    norm2 = np.minimum(source_gamma, 1) * (1 + source_sigma**2 / np.abs(1 - source_gamma))
    b = seen * (1 + sigma**2 / np.abs(1 - gamma))
    ratio = b / norm2 + (1 - seen) * kappa**2
    np.testing.assert_allclose(np.log(kappa), (1 - 1 / depth) * np.log(ratio) / 2, atol=1e-13)
    np.testing.assert_allclose(single, kappa, rtol=16 * np.finfo(np.float32).eps)


def test_limits_of_the_scale(dtype):
    gamma = np.array([0.01, 0.5, 0.99, 2.0], dtype)
    close = {"rtol": 8 * np.finfo(dtype).eps}
    # One layer; no noise and an unlimited source.
    np.testing.assert_allclose(theory.fine_tuning_scale(gamma, 1.5, depth=1), 1.0, **close)
    for depth in (1, 2, 3, jnp.inf):
        np.testing.assert_allclose(theory.fine_tuning_scale(gamma, 0.0, depth=depth), 1.0, **close)
    # Infinitely many layers, and the approach to them.
    deep = theory.fine_tuning_scale(gamma, 1.5, depth=jnp.inf)
    np.testing.assert_allclose(deep**2, 1 + 1.5**2 / np.abs(1 - gamma), **close)
    finite = theory.fine_tuning_scale(gamma, 1.5, depth=dtype.type(1e9))
    np.testing.assert_allclose(finite, deep, rtol=1e-5)
    # Two layers: a quadratic in the square.
    a = np.maximum(1 - gamma, 0)
    b = np.minimum(gamma, 1) * (1 + 1.5**2 / np.abs(1 - gamma))
    two = np.sqrt((a + np.sqrt(a**2 + 4 * b)) / 2)
    np.testing.assert_allclose(theory.fine_tuning_scale(gamma, 1.5), two, **close)
    assert abs(float(theory.fine_tuning_scale(0.5, 1.0)) - 1.2247) < 5e-5
    # Infinite interpolator, infinite source.
    assert np.isinf(theory.fine_tuning_scale(1.0, 0.1))
    assert theory.fine_tuning_scale(1.0, 0.1, depth=1) == 1
    assert theory.fine_tuning_scale(1.0, 0.0) == 1
    lost = theory.fine_tuning_scale(0.3, 0.1, depth=3, source_gamma=1.0, source_sigma=0.1)
    near = theory.fine_tuning_scale(0.3, 0.1, depth=3, source_gamma=1.0, source_sigma=1e9)
    np.testing.assert_allclose(lost, 0.7, rtol=1e-6)
    np.testing.assert_allclose(near, 0.7, rtol=1e-6)


def test_scale_grows_with_depth_and_noise(x64):
    depth = np.array([1, 1.5, 2, 3, 10, 1e3, np.inf])[:, None]
    sigma = np.array([0.1, 0.5, 1, 5])
    scale = np.asarray(theory.fine_tuning_scale(0.4, sigma[None], depth=depth))
    assert (np.diff(scale, axis=0) > 0).all()
    assert (np.diff(scale[1:], axis=1) > 0).all()


def test_the_limit_is_one_data_set_with_limit_norms(dtype):
    gamma, sigma = np.array([0.2, 0.8], dtype), 0.7
    norm2 = theory.interpolator_norm2(0.6, 0.3)
    direct = theory.fine_tuning_scale_from_norms(
        theory.interpolator_norm2(gamma, sigma), norm2, gamma * norm2, depth=3
    )
    limit = theory.fine_tuning_scale(gamma, sigma, depth=3, source_gamma=0.6, source_sigma=0.3)
    np.testing.assert_allclose(direct, limit, rtol=1e-6 if dtype == np.float32 else 1e-7)


def test_limits_of_the_transferability(dtype):
    theta = np.linspace(0, np.pi, 7, dtype=dtype)
    above = theory.fine_tuning_transferability(
        np.array([[1.0], [1.5], [9.0]], dtype), theta[None], 1
    )
    np.testing.assert_array_equal(above, 0)
    # Towards gamma = 1 it fades like (1 - gamma)^(1 / depth); not at infinite depth.
    gamma = 1 - np.array([1e-1, 1e-3, 1e-5], dtype)
    values = np.abs(theory.fine_tuning_transferability(gamma, 0.5, 0.3, depth=2))
    assert (np.diff(values) < 0).all()
    assert values[-1] < 5e-3
    deep = theory.fine_tuning_transferability(gamma[-1], np.pi / 2, 0.3, depth=jnp.inf)
    np.testing.assert_allclose(deep, -(0.3**2), rtol=1e-2)
    # Without noise the paper's formula is exact, at every depth.
    for depth in (1, 2, jnp.inf):
        np.testing.assert_allclose(
            theory.fine_tuning_transferability(0.3, theta, 0.0, depth=depth),
            0.7 * (2 * np.cos(theta) - 1),
            atol=4 * np.finfo(dtype).eps,
        )
    paper = theory.fine_tuning_transferability(
        0.3, theta, 9.0, source_gamma=0.5, source_sigma=0.2, paper=True
    )
    norm2 = 0.5 + 0.2**2
    np.testing.assert_allclose(paper, 0.7 * (np.cos(theta) - norm2), atol=8 * np.finfo(dtype).eps)
    noisy = {"source_gamma": 1.0, "source_sigma": 0.1}
    assert np.isneginf(theory.fine_tuning_transferability(0.3, theta, 0.1, **noisy)).all()
    assert np.isneginf(
        theory.fine_tuning_transferability(0.3, theta, 0.1, paper=True, **noisy)
    ).all()
    deep = theory.fine_tuning_transferability(0.3, theta, 0.1, depth=jnp.inf, **noisy)
    near = theory.fine_tuning_transferability(
        0.3, theta, 0.1, depth=jnp.inf, source_gamma=0.5, source_sigma=1e6
    )
    np.testing.assert_allclose(deep, -0.71, rtol=1e-6)
    np.testing.assert_allclose(near, deep, rtol=1e-5)


@pytest.mark.parametrize("source_gamma", [0.5, 1.5, np.inf])
def test_break_even_is_where_the_transferability_changes_sign(source_gamma, x64):
    options = {"depth": 3, "source_gamma": source_gamma, "source_sigma": 0.2}
    gamma = np.array([0.1, 0.5, 0.9])
    angle = theory.fine_tuning_break_even(gamma, 0.3, **options)
    assert (angle > 0.1).all()
    value = theory.fine_tuning_transferability(gamma, angle, 0.3, **options)
    np.testing.assert_allclose(value, 0, atol=1e-14)
    assert (theory.fine_tuning_transferability(gamma, angle - 0.01, 0.3, **options) > 0).all()
    assert (theory.fine_tuning_transferability(gamma, angle + 0.01, 0.3, **options) < 0).all()


def test_limits_of_the_break_even_angle():
    np.testing.assert_allclose(theory.fine_tuning_break_even(0.5, 0.0), np.pi / 3, rtol=1e-6)
    assert theory.fine_tuning_break_even(0.5, 10.0) == 0
    assert np.isnan(theory.fine_tuning_break_even(np.array([1.0, 2.0]), 0.5)).all()


def transferability(gamma, theta, sigma, depth, source_gamma, source_sigma):
    return theory.fine_tuning_transferability(
        gamma, theta, sigma, depth=depth, source_gamma=source_gamma, source_sigma=source_sigma
    )


def test_derivatives(derivatives):
    gamma, depth = np.array([0.4, 0.05, 0.9, 0.4]), np.array([2.0, 7.0, 1.2, 1e6])
    derivatives(transferability, gamma, 0.4, 0.3, depth, np.array([0.5, 1.5, 1.5, 0.5]), 0.2)
    derivatives(lambda g, s, L: theory.fine_tuning_break_even(g, s, depth=L), gamma, 0.3, depth)
    derivatives(
        lambda b, n, p, L: theory.fine_tuning_scale_from_norms(b, n, p, depth=L),
        *(0.8, 1.1, np.array([0.6, 0.02, 1.0, 0.9]), depth),
    )


def test_no_gradient_is_nan_at_the_edges():
    gradient = jax.jit(jax.grad(transferability, range(6)))
    scale = jax.jit(jax.grad(lambda g, s, L: theory.fine_tuning_scale(g, s, depth=L), range(3)))
    angle = jax.jit(
        jax.grad(lambda g, s, L: theory.fine_tuning_break_even(g, s, depth=L), range(3))
    )
    for gamma in (0.5, 1.0, 2.0):
        for sigma in (0.0, 0.3):
            for depth in (1.0, 2.0, jnp.inf):
                found = [
                    gradient(gamma, 0.0, sigma, depth, jnp.inf, 0.0),
                    gradient(gamma, 0.0, sigma, depth, 1.0, 0.0),
                    gradient(gamma, 0.0, sigma, depth, 1.0, 0.1),
                    scale(gamma, sigma, depth),
                    angle(gamma, sigma, depth),
                ]
                for leaf in jax.tree.leaves(found):
                    assert not jnp.isnan(leaf).any()
