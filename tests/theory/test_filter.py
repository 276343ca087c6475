"""Filters of regularised pretraining: against real matrices in training, and their equations."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize

from fatelib import theory

S = np.array([2.0, 0.3, 1.0, 0.6])


def aligned_layers(rng, width, scale, depth=2):
    """Layers of one scale along random directions of a source with singular values S."""
    sizes = [len(S) + 2, *(width,) * (depth - 1), len(S) + 1]
    bases = [np.linalg.qr(rng.standard_normal((size, size)))[0][:, : len(S)] for size in sizes]
    layers = [scale * a @ b.T for a, b in itertools.pairwise(bases)]
    return layers, bases[0] * S @ bases[-1].T


def chain(layers):
    return np.linalg.multi_dot(layers)


def gradients(layers, error):
    """Gradients of the squared norm of the product's error, in each layer."""
    slopes = []
    for place in range(len(layers)):
        before, after = layers[:place], layers[place + 1 :]
        slope = 2 * error
        for layer in before:
            slope = layer.T @ slope
        for layer in reversed(after):
            slope = slope @ layer.T
        slopes.append(slope)
    return slopes


def trained(layers, source, decay=0.0, time=np.inf):
    """Singular values along the source's directions at the end of gradient flow."""
    shapes = [layer.shape for layer in layers]
    cuts = np.cumsum([layer.size for layer in layers])[:-1]

    def unpack(flat):
        return [
            part.reshape(shape) for part, shape in zip(np.split(flat, cuts), shapes, strict=True)
        ]

    def flow(_, flat):
        layers = unpack(flat)
        slopes = gradients(layers, chain(layers) - source)
        pairs = zip(slopes, layers, strict=True)
        return -np.concatenate([(slope + decay * layer).ravel() for slope, layer in pairs])

    start = np.concatenate([layer.ravel() for layer in layers])
    end = 200.0 if np.isinf(time) else time
    flat = integrate.solve_ivp(flow, (0, end), start, rtol=1e-9, atol=1e-12).y[:, -1]
    u, s, v = np.linalg.svd(source, full_matrices=False)
    learned = np.diag(u.T @ chain(unpack(flat)) @ v.T)
    return learned[[np.argmin(np.abs(s - value)) for value in S]]


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("time", [0.0, 0.7, 2.0, np.inf])
def test_two_layers_in_time_with_decay(decay, time, x64):
    """At decay 0.6 and 1.2 directions of S are at their threshold, where nothing converges."""
    layers, source = aligned_layers(np.random.default_rng(0), 7, 0.05)
    expected = trained(layers, source, decay, time)
    filtered = theory.pretraining_filter(S, weight_decay=decay, time=time, scale=0.05)
    np.testing.assert_allclose(filtered, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("scale", [0.2, 0.6])
@pytest.mark.parametrize("decay", [0.0, 0.2, 0.5])
def test_deep_networks_keep_or_lose_a_direction(depth, scale, decay, x64):
    layers, source = aligned_layers(np.random.default_rng(1), 6, scale, depth)
    expected = trained(layers, source, decay)
    filtered = theory.pretraining_filter(S, depth=depth, weight_decay=decay, scale=scale)
    np.testing.assert_allclose(filtered, expected, rtol=1e-6, atol=1e-6)


def test_deep_networks_do_lose_some():
    lost = theory.pretraining_filter(S, depth=3, weight_decay=0.5, scale=0.2)
    kept = theory.pretraining_filter(S, depth=3, weight_decay=0.5, scale=0.9)
    assert (np.asarray(lost) == 0).sum() > (np.asarray(kept) == 0).sum() > 0
    assert not theory.pretraining_filter(S, depth=3, weight_decay=0.05).any()  # from 1e-5


@pytest.mark.parametrize(("decay", "width"), [(0.0, 5), (0.5, 5), (0.0, 2), (0.0, 40)])
def test_dropout_is_at_the_minimum_of_the_averaged_loss(decay, width, x64):
    """Averaged over the units left out, the loss gains a penalty on the norms of each unit."""
    share = 0.4
    rng = np.random.default_rng(2)
    source = np.diag(S)
    shapes = (len(S), width), (width, len(S))

    def loss(flat):
        first, last = (p.reshape(s) for p, s in zip(jnp.split(flat, 2), shapes, strict=True))
        error = ((first @ last - source) ** 2).sum()
        penalty = ((first**2).sum(0) * (last**2).sum(1)).sum() * share / (1 - share)
        return error + penalty + decay / 2 * (flat**2).sum()

    ends = [
        optimize.minimize(
            jax.jit(jax.value_and_grad(loss)),
            rng.standard_normal(2 * len(S) * width),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 20_000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-9},
        )
        for _ in range(3)
    ]
    best = min(ends, key=lambda end: end.fun)
    first, last = (p.reshape(s) for p, s in zip(np.split(best.x, 2), shapes, strict=True))
    filtered = theory.pretraining_filter(S, weight_decay=decay, dropout=share, width=width)
    # A minimum to 1e-15 of the loss is known to the root of it, 3e-8; where a direction is at its
    # threshold the loss is of fourth order in the layers, and it is known to the fourth root, 2e-4.
    np.testing.assert_allclose(np.diag(first @ last), filtered, atol=2e-4)


def test_dropout_of_sampled_units_ends_there(x64):
    """Stochastic descent on sampled units, averaged over its last half."""
    rng = np.random.default_rng(3)
    share, width, rate, steps, runs = 0.3, 12, 2e-3, 20_000, 8
    first = 0.3 * rng.standard_normal((runs, len(S), width))
    last = 0.3 * rng.standard_normal((runs, width, len(S)))
    total = np.zeros((runs, len(S)))
    for step in range(steps):
        kept = (rng.random((runs, 1, width)) >= share) / (1 - share)
        error = (first * kept) @ last - np.diag(S)
        slopes = 2 * error @ last.mT * kept, 2 * (first * kept).mT @ error
        first, last = first - rate * slopes[0], last - rate * slopes[1]
        if step >= steps // 2:
            total += np.diagonal(first @ last, axis1=1, axis2=2)
    ends = total / (steps - steps // 2)
    expected = theory.pretraining_filter(S, dropout=share, width=width)
    off = ends.mean(0) - np.asarray(expected)
    # Steps of finite length shift the mean by their order, beside the error of eight runs.
    assert (np.abs(off) <= 4 * ends.std(0, ddof=1) / runs**0.5 + 4 * rate * S.max()).all()
    assert np.abs(S - expected).min() > 0.1  # what dropout does is far more


def test_equations_hold_to_rounding(dtype):
    s = np.linspace(0.05, 3, 60).astype(dtype)
    close = 64 * np.finfo(dtype).eps
    for depth in (3, 4, 10):
        for decay in (1e-3, 0.05, 0.3):
            f = np.asarray(
                theory.pretraining_filter(s, depth=depth, weight_decay=decay, scale=1.0)
            ).astype(float)
            on, power = f > 0, 1 - 2 / depth
            assert on.any()
            left, right = 2 * (s[on] - f[on]), decay * f[on] ** -power
            np.testing.assert_allclose(left, right, atol=close * 3)
            peak = power / (1 + power)
            assert (f[on] >= peak * s[on] * (1 - close)).all()
            assert (decay >= 2 * s[~on] ** (1 + power) * (1 - peak) * peak**power).all()
    f = np.asarray(theory.pretraining_filter(s, weight_decay=0.4, dropout=0.5, width=70))
    tau = f.astype(float).sum() / 70
    np.testing.assert_allclose(f, np.maximum(s - 0.2 - tau, 0), atol=close * 3)


def test_limits(dtype):
    s = S.astype(dtype)
    same = {"rtol": 64 * np.finfo(dtype).eps, "atol": 0}
    for depth in (2, 3, 7):
        np.testing.assert_allclose(theory.pretraining_filter(s, depth=depth), s, **same)
    start = theory.pretraining_filter(s, time=0.0, scale=0.1)
    np.testing.assert_allclose(start, 0.01 * np.ones(4), **same)
    late = theory.pretraining_filter(s, time=1e30, weight_decay=0.5)
    np.testing.assert_allclose(late, s - 0.25, **same)
    assert (theory.pretraining_filter(np.zeros(3, dtype)) == 0).all()
    assert (theory.pretraining_filter(s, weight_decay=10.0, time=50.0) < 1e-12).all()
    # Where decay and source balance, what is there falls as 1 / time.
    balanced = theory.pretraining_filter(np.ones(1, dtype), weight_decay=2.0, time=3.0, scale=1.0)
    np.testing.assert_allclose(balanced, 1 / 13, **same)


def test_strong_dropout_leaves_little_of_much(dtype):
    share = dtype.type(1 - 2**-20)
    left = theory.pretraining_filter(np.array([3.0], dtype), dropout=share, width=1)
    np.testing.assert_allclose(left, 3 * 2.0**-20, rtol=64 * np.finfo(dtype).eps)


def test_order_and_axes():
    filtered = theory.pretraining_filter(S, dropout=0.5, width=2)
    shuffled = theory.pretraining_filter(S[::-1], dropout=0.5, width=2)
    np.testing.assert_array_equal(filtered, shuffled[::-1])
    assert (np.asarray(filtered) > 0).sum() <= 2
    many = theory.pretraining_filter(
        np.stack([S, 2 * S]), weight_decay=np.array([[0.1], [0.2], [1]])
    )
    assert many.shape == (3, 2, 4)
    one = theory.pretraining_filter(2 * S, weight_decay=1)
    np.testing.assert_allclose(many[2, 1], one, rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"weight_decay": 0.3, "time": 1.3, "scale": 0.1},
        {"weight_decay": 0.3},
        {"weight_decay": 0.3, "depth": 3.5, "scale": 1.0},
        {"weight_decay": 0.1, "dropout": 0.3, "width": 9.0},
    ],
)
def test_derivatives_are_those_of_the_values(options, x64):
    s = np.array([2.0, 1.0, 0.7])
    for name, value in options.items():

        def at(x, name=name):
            return theory.pretraining_filter(s, **(options | {name: x})).sum()

        h = 1e-6 * value
        difference = (at(value + h) - at(value - h)) / (2 * h)
        np.testing.assert_allclose(jax.grad(at)(value), difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": 0.5}, "width must be given with dropout"),
        ({"width": 10}, "width has no effect without dropout"),
        ({"dropout": 0.5, "width": 10, "depth": 3}, "dropout must be 0 where depth is above 2"),
        ({"time": 2.0, "depth": 3}, "time must be inf where depth is above 2"),
        ({"time": 2.0, "dropout": 0.5, "width": 10}, "time must be inf where dropout is above 0"),
    ],
)
def test_what_has_no_closed_form_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        theory.pretraining_filter(S, **options)
    # Compiled, where nothing can be checked, it is NaN.
    if len(options) > 1:
        compiled = jax.jit(lambda options: theory.pretraining_filter(S, **options))
        assert np.isnan(compiled({k: float(v) for k, v in options.items()})).all()
