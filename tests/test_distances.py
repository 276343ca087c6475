import math
from itertools import permutations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from fatelib.distances import (
    dudley_coupling_bound,
    dudley_lower_bound,
    empirical_wasserstein,
    kl_divergence,
    wasserstein_coupling_bound,
)
from fatelib.linear import LinearTasks

BOUNDS = (dudley_lower_bound, dudley_coupling_bound, wasserstein_coupling_bound)


def points(beta, sigma, count, rng):
    """A sample of a task: inputs and label, stacked."""
    X = rng.normal(size=(count, len(beta)))
    return np.column_stack([X, X @ beta + sigma * rng.normal(size=count)])


def ramp(z, b, K):
    """The test function of the lower bound, as its docstring has it."""
    u = (z[:, -1] - z[:, :-1] @ b) / np.sqrt(1 + b @ b)
    return K / (K + 2) * (1 - 2 * np.minimum(np.abs(u) / K, 1))


def standard_error(*samples):
    return np.sqrt(sum(s.var(ddof=1) / len(s) for s in samples))


# Divergence.


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_divergence_is_the_mean_log_ratio_of_the_densities(sigma, x64):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 4))
    z = points(source, sigma, 100_000, rng)
    log_density = [
        stats.norm.logpdf(z[:, -1], z[:, :-1] @ beta, sigma) for beta in (source, target)
    ]
    ratio = log_density[0] - log_density[1]
    assert abs(kl_divergence(source, target, sigma) - ratio.mean()) < 5 * standard_error(ratio)


def test_divergence_at_an_angle(dtype):
    tasks = LinearTasks.at_angle(jax.random.key(0), 40, 0.7, sigma=0.2)
    divergence = kl_divergence(tasks.beta_source, tasks.beta_target, tasks.sigma)
    assert divergence.dtype == dtype
    # The vectors are rounded, which costs digits in their difference.
    rtol = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(divergence, (1 - np.cos(0.7)) / 0.2**2, rtol=rtol)


def test_divergence_without_noise():
    one, other = jnp.array([1.0, 2.0]), jnp.array([1.0, 2.5])
    assert kl_divergence(one, one, 0.0) == 0
    assert kl_divergence(one, other, 0.0) == np.inf  # one coordinate agrees, one does not
    assert kl_divergence(one, one, 1e-30) == 0
    np.testing.assert_allclose(kl_divergence(1e-30 * one, 3e-30 * one, 1e-30), 10, rtol=1e-5)


def test_divergence_has_the_fisher_information_as_its_curvature(x64):
    beta = jnp.array([0.3, -1.0])
    np.testing.assert_allclose(jax.grad(kl_divergence, 1)(beta, beta, 0.5), 0)
    np.testing.assert_allclose(jax.hessian(kl_divergence, 1)(beta, beta, 0.5), 4 * np.eye(2))


# Dudley distance.


@pytest.mark.parametrize(("scale", "sigma"), [(1.0, 0.0), (0.2, 0.5), (30.0, 1.0)])
def test_lower_bound_is_the_difference_of_means_of_the_test_function(scale, sigma, x64):
    rng = np.random.default_rng(1)
    source = rng.normal(size=3)
    target = scale * rng.normal(size=3)
    # One half of the sample chooses the test function, the other evaluates it without bias.
    choose, evaluate = (
        [points(beta, sigma, 100_000, rng) for beta in (source, target)] for _ in range(2)
    )
    candidates = product((np.zeros(3), source, target), np.geomspace(0.05, 300, 80))

    def difference(z, b, K):
        return abs(ramp(z[0], b, K).mean() - ramp(z[1], b, K).mean())

    best = max(candidates, key=lambda candidate: difference(choose, *candidate))
    error = standard_error(*(ramp(z, *best) for z in evaluate))
    assert error < 0.01
    # The grid of K misses the maximum by up to 6 %, which costs less than a thousandth of it.
    bound = dudley_lower_bound(source, target, sigma)
    assert abs(bound - difference(evaluate, *best)) < 5 * error + 1e-3 * bound


@pytest.mark.parametrize("K", [0.1, 1.0, 50.0])
@pytest.mark.parametrize("norm", [0.0, 1.0, 20.0])
def test_test_function_is_admissible_and_cannot_be_scaled_up(K, norm):
    rng = np.random.default_rng(2)
    b = rng.normal(size=3)
    b *= norm / np.linalg.norm(b)
    z = rng.normal(size=(20_000, 4)) * K
    normal = np.append(-b, 1) / np.sqrt(1 + b @ b)
    steps = np.concatenate([rng.normal(size=(20_000, 4)), np.tile(normal, (20_000, 1))])
    steps *= K * rng.uniform(1e-3, 1, size=(40_000, 1))
    z = np.tile(z, (2, 1))
    z[-1] = 0.0
    slopes = abs(ramp(z + steps, b, K) - ramp(z, b, K)) / np.linalg.norm(steps, axis=1)
    total = abs(ramp(z, b, K)).max() + slopes.max()
    np.testing.assert_allclose(total, 1, rtol=1e-9)


def mean_saturated(r):
    """Mean of min(r |ξ|, 1), by quadrature."""
    if r == 0:
        return 0.0
    edge = min(1 / r, 40)
    inside = integrate.quad(lambda x: x * math.exp(-(x**2) / 2), 0, edge, epsabs=1e-13)[0]
    return r * inside * math.sqrt(2 / math.pi) + math.erfc(1 / r / math.sqrt(2))


def best_ramp(narrow, wide):
    """Largest difference of means over the ramps: a grid of K, then a local search."""

    def loss(log_K):
        K = math.exp(log_K)
        return -2 * K / (K + 2) * (mean_saturated(wide / K) - mean_saturated(narrow / K))

    grid = np.linspace(-20, 20, 161)
    best = grid[np.argmin([loss(x) for x in grid])]
    return -optimize.minimize_scalar(loss, bounds=(best - 0.3, best + 0.3), method="bounded").fun


@pytest.mark.parametrize("target", [1e-6, 0.03, 1.5, 1.0001, 1e3, 1e8])
def test_search_over_ramps_finds_the_best(target, x64):
    coupling = dudley_coupling_bound(np.zeros(1), np.array([target]))
    np.testing.assert_allclose(coupling, best_ramp(0.0, target), rtol=1e-6)
    residuals = [(1.0, target), (0.0, abs(1 - target) / np.sqrt(2))]
    residuals.append((0.0, abs(1 - target) / np.sqrt(1 + target**2)))
    expected = max(best_ramp(min(pair), max(pair)) for pair in residuals)
    lower = dudley_lower_bound(np.ones(1), np.array([target]))
    np.testing.assert_allclose(lower, expected, rtol=1e-6)


def test_bounds_meet_where_one_task_is_zero_and_clean(x64):
    beta = np.random.default_rng(3).normal(size=5)
    lower = dudley_lower_bound(np.zeros(5), beta)
    np.testing.assert_allclose(lower, dudley_coupling_bound(np.zeros(5), beta), rtol=1e-12)
    assert dudley_lower_bound(np.zeros(5), beta, 0.1) < lower


def test_lower_bound_tends_to_two_for_tasks_that_share_their_feature(x64):
    beta = np.array([0.6, 0.8])
    scales = 10.0 ** np.arange(2, 13)
    bounds = np.array([dudley_lower_bound(beta, c * beta, 0.2) for c in scales])
    assert (np.diff(bounds) > 0).all()
    assert bounds[-1] < 2
    # 2 - bound is 4 / K, what the slope costs, plus twice the mean of |u| / K for the one task and
    # twice the mean of (1 - |u| / K)^+ for the other, K / (sqrt(2 pi) c): least where they balance.
    first = 4 + 2 * np.sqrt(2 / np.pi) * np.sqrt(1 + 0.2**2)
    gap = 2 * np.sqrt(first * 2 / np.sqrt(2 * np.pi) / scales[-1])
    np.testing.assert_allclose(2 - bounds[-1], gap, rtol=1e-4)
    assert dudley_lower_bound(np.float32(beta), np.float32(1e18 * beta)) <= 2


vectors = st.integers(1, 6).flatmap(
    lambda d: st.tuples(
        *[st.lists(st.floats(-1e4, 1e4, width=32), min_size=d, max_size=d).map(np.float32)] * 2
    )
)


@settings(max_examples=100, deadline=None)
@given(vectors, st.one_of(st.just(0.0), st.floats(1e-6, 1e4)))
def test_what_holds_for_every_pair_of_tasks(pair, sigma):
    source, target = pair
    divergence = kl_divergence(source, target, sigma)
    lower = dudley_lower_bound(source, target, sigma)
    coupling, wasserstein = (bound(source, target) for bound in BOUNDS[1:])
    rounding = 1e-6
    assert divergence >= 0
    assert 0 <= lower <= coupling * (1 + rounding) + rounding
    assert coupling <= 2
    assert coupling <= wasserstein * (1 + rounding)
    # Pinsker: half the largest difference of means of functions bounded by 1 is total variation.
    assert lower <= np.sqrt(2 * divergence) * (1 + rounding) + rounding
    if (source == target).all():
        assert divergence == lower == coupling == wasserstein == 0
    swapped = [kl_divergence(target, source, sigma), dudley_lower_bound(target, source, sigma)]
    np.testing.assert_array_equal(swapped, [divergence, lower])
    assert all(x.dtype == np.float32 for x in (divergence, lower, coupling, wasserstein))


def test_distances_are_those_of_any_rotation_of_the_inputs(x64):
    rng = np.random.default_rng(4)
    source, target = rng.normal(size=(2, 5))
    Q = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    for bound in (*BOUNDS, lambda s, t: kl_divergence(s, t, 0.3)):
        np.testing.assert_allclose(bound(source, target), bound(Q @ source, Q @ target), rtol=1e-12)


def test_compiled_batched_and_differentiated(x64):
    rng = np.random.default_rng(5)
    sources, targets, direction = rng.normal(size=(3, 4, 5))
    step = 1e-5 * direction
    for function in (*BOUNDS, lambda s, t: kl_divergence(s, t, 0.3)):
        together = jax.jit(jax.vmap(function))
        alone = [function(s, t) for s, t in zip(sources, targets, strict=True)]
        np.testing.assert_allclose(together(sources, targets), alone, rtol=1e-12)
        slopes = jax.jit(jax.vmap(jax.grad(function, 1)))(sources, targets)
        ahead, behind = (together(sources, moved) for moved in (targets + step, targets - step))
        np.testing.assert_allclose(2 * (slopes * step).sum(1), ahead - behind, rtol=1e-5)


def test_no_gradient_is_nan_at_the_edges():
    zero, one = jnp.zeros(2), jnp.array([0.6, 0.8])
    for function in BOUNDS:
        gradient = jax.jit(jax.grad(function, (0, 1)))
        for source, target in product((zero, one, 1e6 * one), repeat=2):
            assert np.isfinite(gradient(source, target)).all()
    assert np.isfinite(jax.grad(dudley_lower_bound, 2)(one, -one, 0.0))


# Wasserstein distance.


def test_one_coordinate_is_transported_in_order():
    first, second = np.random.default_rng(6).normal(size=(2, 40, 1))
    expected = abs(np.sort(first, axis=0) - np.sort(second, axis=0)).mean()
    for ground in ("l1", "l2"):
        distance = empirical_wasserstein(first, second, ground=ground)
        np.testing.assert_allclose(distance, expected, rtol=1e-12)


@pytest.mark.parametrize(("ground", "order"), [("l1", 1), ("l2", 2)])
def test_small_samples_against_every_permutation_and_a_shift(ground, order):
    rng = np.random.default_rng(7)
    first, second = rng.normal(size=(2, 5, 2))
    expected = min(
        np.linalg.norm(first - second[list(p)], order, axis=1).mean()
        for p in permutations(range(5))
    )
    distance = empirical_wasserstein(first, second, ground=ground)
    np.testing.assert_allclose(distance, expected, rtol=1e-12)
    # No order of a shifted sample is nearer than its own.
    shift = np.array([3.0, -4.0])
    shifted = empirical_wasserstein(first, rng.permutation(first + shift), ground=ground)
    np.testing.assert_allclose(shifted, np.linalg.norm(shift, order), rtol=1e-12)


def test_samples_of_one_coupling_stay_below_its_bound(x64):
    rng = np.random.default_rng(8)
    source, target = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    distances, couplings = [], []
    for _ in range(20):
        first = points(source, 0.2, 100, rng)
        second = first.copy()
        second[:, -1] += first[:, :-1] @ (target - source)
        distances.append(empirical_wasserstein(first, second, ground="l1"))
        couplings.append(abs(second[:, -1] - first[:, -1]))
    costs = np.mean(couplings, axis=1)
    assert (np.array(distances) <= costs * (1 + 1e-12)).all()
    bound = wasserstein_coupling_bound(source, target)
    assert abs(costs.mean() - bound) < 5 * standard_error(costs)


def over_angles(d, n, draws, ground, thetas=(0.0, np.pi / 2, np.pi), sigma=0.2):
    """Distances between independent samples of two tasks, (draws, angles); data shared by row."""
    rows = []
    for key in jax.random.split(jax.random.key(9), draws):
        task_key, *keys = jax.random.split(key, 3)
        samples = []
        for theta in thetas:
            tasks = LinearTasks.at_angle(task_key, d, theta, sigma, sigma)
            pair = tasks.sample(keys[0], n, source=True), tasks.sample(keys[1], n)
            samples.append([np.column_stack(sample) for sample in pair])
        rows.append([empirical_wasserstein(*pair, ground=ground) for pair in samples])
    return np.array(rows)


@pytest.mark.parametrize("ground", ["l1", "l2"])
def test_in_two_dimensions_samples_tell_tasks_apart(ground):
    distances = over_angles(2, 250, 8, ground)
    for nearer, farther in ((0, 1), (1, 2)):
        gain = distances[:, farther] - distances[:, nearer]
        assert gain.mean() > 5 * standard_error(gain)


def test_in_high_dimension_samples_measure_the_inputs_not_the_tasks():
    d, n, sigma = 500, 250, 0.2
    distances = over_angles(d, n, 8, "l1", sigma=sigma)
    means = distances.mean(0)
    # From equal tasks to opposite ones, less than the data sets of one task differ by chance, and
    # less than a thousandth of the distance.
    assert np.ptp(means) < distances[:, 0].std(ddof=1)
    assert np.ptp(means) < 1e-3 * means[0]
    assert means[0] > 300 * np.sqrt(8 / np.pi)  # the bound on the distance itself, at every angle

    # Where the number comes from: the costs of d independent coordinates are a normal matrix, of
    # which only the part that belongs to a pair, not to one of its points, can be optimised.
    across = (4 / np.pi) * (np.sqrt(3) / 2 + np.pi / 12)  # E|x - x'||x - x''|
    of_a_pair = np.sqrt((2 - 4 / np.pi) - 2 * (across - 4 / np.pi))
    rng = np.random.default_rng(10)
    normal = [rng.normal(size=(n, n)) for _ in range(4)]
    gain = np.mean([cost[optimize.linear_sum_assignment(cost)].mean() for cost in normal])
    label = np.sqrt(1 + sigma**2)
    expected = (d + label) * 2 / np.sqrt(np.pi) + np.sqrt(d + label**2) * of_a_pair * gain
    np.testing.assert_allclose(means, expected, rtol=0.005)


# Errors.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma": -0.1}, "sigma must be a finite number >= 0; got -0.1"),
        ({"sigma": np.inf}, "sigma must be a finite number >= 0; got inf"),
        ({"sigma": np.ones(2)}, r"sigma must be one number; got shape \(2,\)"),
        ({"beta_source": np.array([1.0, np.nan])}, "beta_source must be finite; got nan"),
        ({"beta_target": np.array([np.inf, 1.0])}, "beta_target must be finite; got inf"),
    ],
)
@pytest.mark.parametrize("function", [kl_divergence, dudley_lower_bound])
def test_impossible_tasks(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(
            **{"beta_source": np.ones(2), "beta_target": np.ones(2), "sigma": 1.0, **arguments}
        )


@pytest.mark.parametrize("function", BOUNDS)
def test_vectors_that_do_not_match(function):
    unchecked = getattr(function, "__wrapped__", function)  # without the check of annotations
    with pytest.raises(ValueError, match=r"vectors of one length; got shapes \(2,\) and \(3,\)"):
        unchecked(np.ones(2), np.ones(3))


@pytest.mark.parametrize(
    ("first", "second", "ground", "message"),
    [
        (np.ones((3, 2)), np.ones((4, 2)), "l1", r"one shape \(n, p\).*got \(3, 2\) and \(4, 2\)"),
        (np.ones((0, 2)), np.ones((0, 2)), "l1", r"neither zero; got \(0, 2\)"),
        (np.ones(3), np.ones(3), "l2", r"got \(3,\) and \(3,\)"),
        (np.full((1, 1), np.nan), np.ones((1, 1)), "l2", "first must be finite; got nan"),
        (np.ones((1, 1)), np.full((1, 1), np.inf), "l2", "second must be finite; got inf"),
        (np.ones((1, 1)), np.ones((1, 1)), "l3", "ground must be 'l1' or 'l2'; got 'l3'"),
    ],
)
def test_impossible_samples(first, second, ground, message):
    unchecked = getattr(empirical_wasserstein, "__wrapped__", empirical_wasserstein)
    with pytest.raises(ValueError, match=message):
        unchecked(first, second, ground=ground)
