from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fatelib import theory
from fatelib.relu import (
    ReluNetwork,
    distance2,
    feature_alignment,
    feature_distance,
    feature_gram,
    feature_spectrum,
    nearest_cosine,
    pretrain,
    projection,
)


def neurons(seed, m, d=6):
    """Unit neurons in general position."""
    W = np.random.default_rng(seed).normal(size=(m, d))
    return W / np.linalg.norm(W, axis=1, keepdims=True)


TARGET, WEIGHTS = neurons(0, 4), np.array([1.0, -2.0, 0.5, 1.0])
NOTHING = np.zeros((12, 6))


def of_type(dtype, *arrays):
    return [np.asarray(array, dtype) for array in arrays]


def test_a_member_is_its_own_projection(dtype):
    W, target, weights = of_type(dtype, np.concatenate([TARGET, neurons(1, 8)]), TARGET, WEIGHTS)
    split = projection(W, target, weights)
    assert split.inside.dtype == split.outside.dtype == dtype
    assert split.rank == 12
    everything = projection(0 * W, target, weights)
    np.testing.assert_allclose(split.inside, everything.outside, rtol=100 * np.finfo(dtype).eps)
    # Rounding of K, of a few eps times its norm, moves t_i / l_i that much.
    spectrum = feature_spectrum(W, target, weights)
    moved = jnp.max(spectrum.eigenvalues) * jnp.sum(spectrum.coefficients2 / spectrum.eigenvalues)
    assert split.outside < 10 * np.finfo(dtype).eps * moved
    assert 10 * np.finfo(dtype).eps * moved < 1e-3 * everything.outside
    assert everything.inside == everything.rank == 0


def test_the_rank_counts_directions(dtype):
    W = neurons(1, 4)
    nearly_nothing = np.finfo(dtype).eps ** 0.25 * neurons(2, 2)
    twice = np.concatenate([W, 3 * W, NOTHING[:2], nearly_nothing])
    # relu(z) - relu(-z) = z and relu(z) + relu(-z) = |z|: each of six pairs holds two functions;
    # three pairs and three single neurons hold 6 + 3.
    opposite = np.concatenate([neurons(1, 6), -neurons(1, 6)])
    for neurons_, rank in (
        (twice, 6),
        (opposite, 12),
        (opposite * (np.arange(12) < 9)[:, None], 9),
    ):
        assert projection(*of_type(dtype, neurons_, TARGET, WEIGHTS)).rank == rank


def test_opposite_neurons_hold_no_more_than_all_linear_functions():
    W = np.concatenate([neurons(1, 12), -neurons(1, 12)])
    assert projection(W, TARGET, WEIGHTS).rank == 12 + 6


@pytest.mark.usefixtures("x64")
def test_more_neurons_hold_more():
    W = neurons(1, 12)
    splits = [projection(W * (np.arange(12) < m)[:, None], TARGET, WEIGHTS) for m in range(13)]
    outside = np.array([split.outside for split in splits])
    assert [int(split.rank) for split in splits] == list(range(13))
    assert (np.diff(outside) < 1e-12).all()
    assert outside[12] < 0.7 * outside[0]
    for split in splits:
        np.testing.assert_allclose(split.inside + split.outside, outside[0], rtol=1e-12)


def test_projection_is_least_squares_on_many_samples():
    W = neurons(1, 12)
    n = 100_000
    X = np.random.default_rng(5).normal(size=(n, 6))
    features = np.maximum(X @ W.T, 0)
    y = np.maximum(X @ TARGET.T, 0) @ WEIGHTS
    solution = np.linalg.lstsq(features, y, rcond=None)[0]
    squares = (y - features @ solution) ** 2 * n / (n - 12)
    error = np.std(squares) / np.sqrt(n)
    assert abs(projection(W, TARGET, WEIGHTS).outside - np.mean(squares)) < 4 * error


@pytest.mark.usefixtures("x64")
def test_the_spectrum_is_that_of_the_projection():
    W = neurons(1, 12) * np.linspace(0.5, 2, 12)[:, None]
    spectrum = feature_spectrum(W, TARGET, WEIGHTS)
    split = projection(W, TARGET, WEIGHTS)
    np.testing.assert_allclose(jnp.sum(spectrum.coefficients2), split.inside, rtol=1e-10)
    np.testing.assert_allclose(spectrum.residual, split.outside, rtol=1e-10)
    np.testing.assert_allclose(jnp.sum(spectrum.eigenvalues), jnp.sum(W**2) / 2, rtol=1e-12)
    # A bold cutoff leaves the largest feature: the common mean.
    one = feature_spectrum(W, TARGET, WEIGHTS, cutoff=0.9)
    assert jnp.sum(one.eigenvalues > 0) == 1
    assert one.residual > split.outside


def test_spectra_batch():
    W = np.stack([neurons(seed, 12) for seed in (1, 2)])
    many = jax.vmap(lambda W: feature_spectrum(W, TARGET, WEIGHTS))(W)
    one = feature_spectrum(W[1], TARGET, WEIGHTS)
    norm2 = jnp.sum(one.coefficients2) + one.residual
    atol = 100 * np.finfo(np.float32).eps * norm2
    np.testing.assert_allclose(many.residual[1], one.residual, atol=atol)


D, M, TEACHERS = 30, 60, 20


@pytest.fixture
def neurons_of(x64):  # five hundred steps amplify rounding
    """A teacher, and three sets of features to learn it with from half of its neurons."""
    teacher = ReluNetwork(jnp.asarray(neurons(3, TEACHERS, D)), jnp.ones(TEACHERS))
    half = (jnp.arange(TEACHERS) < TEACHERS // 2)[:, None]
    student = ReluNetwork.init(jax.random.key(1), D, M, scale=jnp.ones(()))
    pretrained, _ = pretrain(student, ReluNetwork(teacher.W * half, teacher.c), steps=500)
    ideal = jnp.zeros((M, D)).at[:TEACHERS].set(teacher.W * half)
    return teacher, {"random": student.W, "pretrained": pretrained.W, "ideal": ideal}


@pytest.mark.parametrize(("n", "ridge"), [(30, 0.0), (30, 0.03), (300, 0.0)])
def test_learning_curve_of_the_last_layer_is_predicted_from_the_weights(neurons_of, n, ridge):
    teacher, sets = neurons_of
    noise = 0.05
    for name, W in sets.items():
        spectrum = feature_spectrum(W, teacher.W, teacher.c / TEACHERS)
        options = {"residual": spectrum.residual, "noise": noise}
        if name == "ideal" and ridge == 0:  # ten features are few for the limit: the exact formula
            expected = theory.least_squares_risk(n, TEACHERS // 2, **options)
        else:
            curve = (n, spectrum.eigenvalues, spectrum.coefficients2)
            expected = theory.ridge_risk(*curve, ridge=ridge, **options)
        risks = np.asarray(_risks(W, teacher, noise, ridge, n))
        error = np.std(risks, ddof=1) / np.sqrt(len(risks))
        # Features that are not Gaussian, and a limit of large n and M: a few per cent.
        assert abs(np.mean(risks) - expected) < max(4 * error, 0.05 * expected), name


@partial(jax.jit, static_argnums=4)
def _risks(W, teacher, noise, ridge, n):
    """Risks of the last layer fitted to n samples, for many draws of these."""

    def risk(key):
        input_key, noise_key = jax.random.split(key)
        X = jax.random.normal(input_key, (n, D))
        y = teacher.features(X) @ teacher.c / TEACHERS + noise * jax.random.normal(noise_key, (n,))
        U, S, V = jnp.linalg.svd(jnp.maximum(X @ W.T, 0), full_matrices=False)
        inverse = jnp.where(1e-7 * jnp.max(S) < S, S / (S**2 + n * ridge), 0)
        return distance2(ReluNetwork(W, M * ((inverse * (y @ U)) @ V)), teacher)

    return jax.lax.map(risk, jax.random.split(jax.random.key(0), 60))


def test_gram_matrix_is_the_mean_over_neurons():
    W, X = neurons(1, 12), neurons(2, 5)
    features = np.maximum(X @ W.T, 0)
    np.testing.assert_allclose(feature_gram(W, X), features @ features.T / 12, atol=1e-6)


def test_alignment_and_distance_are_those_of_large_gram_matrices():
    W, V = neurons(1, 12), neurons(2, 5)
    n = 100_000
    X = np.random.default_rng(5).normal(size=(n, 6))
    A, B = (np.maximum(X @ neurons.T, 0) for neurons in (W, V))

    def cosine(A, B):
        # <A A^T, B B^T> = |A^T B|^2: the Gram matrices of all samples are not formed.
        squares = [np.sum((a.T @ b) ** 2) for a, b in ((A, B), (A, A), (B, B))]
        return squares[0] / np.sqrt(squares[1] * squares[2])

    # Every entry of A^T B has a relative error of a few n^-1/2.
    atol = 5 / np.sqrt(n)
    centred = cosine(A - A.mean(axis=0), B - B.mean(axis=0))
    np.testing.assert_allclose(feature_alignment(W, V), centred, atol=atol)
    expected = np.sqrt(2 - 2 * cosine(A, B))
    np.testing.assert_allclose(feature_distance(W, V), expected, atol=atol / expected)
    # Neurons that are nothing, and doubled ones, change no kernel but its scale.
    padded = np.concatenate([2 * W, 2 * W, 0 * W])
    np.testing.assert_allclose(feature_alignment(W, padded), 1, atol=1e-5)
    assert feature_distance(W, padded) < 2e-3  # the root of rounding


def test_the_nearest_neuron_is_the_one_at_the_smallest_angle(dtype):
    W, V = of_type(dtype, neurons(1, 12), neurons(2, 5))
    angles = [[np.arccos(np.dot(w, v)) for v in V] for w in W]
    expected = np.cos(np.min(angles, axis=1))
    atol = 10 * np.finfo(dtype).eps
    assert nearest_cosine(W, V).dtype == dtype
    lengths = np.geomspace(0.01, 100, 12, dtype=dtype)[:, None]
    np.testing.assert_allclose(nearest_cosine(lengths * W, V), expected, atol=atol)
    # Of two zero neurons one has no direction to compare, and one is compared with none.
    V = np.concatenate([V, np.zeros_like(V[:1])])
    np.testing.assert_allclose(nearest_cosine(W, 3 * V), expected, atol=atol)
    np.testing.assert_allclose(nearest_cosine(-V[::5], V[:1]), [-1, 0], atol=atol)
    assert nearest_cosine(V, V).max() <= 1


def test_impossible_arguments():
    W = neurons(1, 12)
    for function in (feature_spectrum, projection):
        with pytest.raises(ValueError, match=r"c_target must be \(4,\), .* W_target; got \(3,\)"):
            function(W, TARGET, WEIGHTS[:3])
        with pytest.raises(ValueError, match=r"W and W_target must be matrices of as many"):
            function(W[:, :3], TARGET, WEIGHTS)
        with pytest.raises(ValueError, match="c_target must be finite; got nan"):
            function(W, TARGET, np.nan * WEIGHTS)
        with pytest.raises(ValueError, match="W must be finite; got nan"):
            function(np.nan * W, TARGET, WEIGHTS)
        with pytest.raises(ValueError, match=r"W.* must be .*, not empty; got shapes \(0, 6\)"):
            function(W[:0], TARGET, WEIGHTS)
        for cutoff in (1.0, 0.0, 1e-8):
            accepted = r"a number in \[1.19e-07, 1\), from the rounding error of float32"
            with pytest.raises(ValueError, match=f"cutoff must be {accepted}; got {cutoff}"):
                function(W, TARGET, WEIGHTS, cutoff=cutoff)
    for function in (feature_alignment, feature_distance, nearest_cosine):
        with pytest.raises(ValueError, match="V must be neurons that are not all zero"):
            function(W, NOTHING)
        with pytest.raises(ValueError, match=r"must be matrices of as many columns, not empty"):
            function(W, NOTHING[:0])
    with pytest.raises(ValueError, match=r"W and X must be matrices .*\(12, 6\), \(12, 5\)"):
        feature_gram(W, NOTHING[:, :5])
