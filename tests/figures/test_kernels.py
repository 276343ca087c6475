"""The pieces of the figures about ReLU features, against sums done by hand."""

import itertools
import re

import jax
import numpy as np
import pytest

from fatelib import relu
from fatelib.figures import FIGURES
from fatelib.figures.kernels import _power_sums, _repulsion, mean_norm2, outside_share


def test_power_sums_leave_out_every_repeated_neuron():
    rng = np.random.default_rng(0)
    gram = rng.normal(size=(6, 6))
    gram = gram + gram.T
    pairs = [gram[i, j] ** 2 for i, j in itertools.permutations(range(6), 2)]
    triples = [
        gram[i, j] * gram[j, k] * gram[k, i] for i, j, k in itertools.permutations(range(6), 3)
    ]
    expected = [np.mean(pairs), np.mean(triples)]
    np.testing.assert_allclose(_power_sums(gram), expected, rtol=1e-12)


def test_repulsion_is_that_of_sample_covariances():
    """Two eigenvalues, Gaussian features: the shift of both, from 400 sample covariances."""
    rng = np.random.default_rng(1)
    eigenvalues, counts, m = np.array([1.0, 0.25]), np.array([1, 3]), 300
    scale = np.sqrt(np.repeat(eigenvalues, counts))
    features = rng.normal(size=(400, m, 4)) * scale
    found = np.linalg.eigvalsh(np.swapaxes(features, 1, 2) @ features / m)
    means = np.stack([found[:, 3], found[:, :3].mean(axis=1)], axis=1)
    # The trace does not depend on how eigenvectors mix, and takes most of the fluctuations along.
    ratio = means / eigenvalues
    ratio[:, 0] -= (features[:, :, 0] ** 2).mean(axis=1) - 1
    ratio[:, 1] -= (features[:, :, 1:] ** 2).mean(axis=(1, 2)) / 0.25 - 1
    shift = [1 + _repulsion(l, eigenvalues, counts) / m for l in range(2)]
    error = ratio.std(axis=0, ddof=1) / 20
    # What second-order perturbation theory leaves out is of the order of the shift squared.
    assert (abs(ratio.mean(axis=0) - shift) < 4 * error + (np.array(shift) - 1) ** 2).all()
    assert (abs(ratio.mean(axis=0) - 1) > 8 * error).all()


@pytest.mark.parametrize("outputs", ["ones", "sign", "gaussian"])
def test_the_mean_norm_of_a_teacher_is_exact(outputs):
    def norm2(key):
        teacher = relu.ReluTasks.ablated(key, 4, 5, 0.0, outputs=outputs).target
        return 25 * relu.distance2(teacher, relu.ReluNetwork(0 * teacher.W, teacher.c))

    found = jax.vmap(norm2)(jax.random.split(jax.random.key(0), 2000))
    error = np.std(found, ddof=1) / 2000**0.5
    assert abs(np.mean(found) - mean_norm2(4, 5, outputs)) < 4 * error


def test_what_is_outside_falls_with_every_neuron_left():
    for outputs in ("ones", "sign"):
        shares = [outside_share(30, 20, removed, outputs) for removed in range(20)]
        assert shares[0] == 0
        assert (np.diff(shares) > 0).all()
        assert shares[-1] < 1


def test_independent_outputs_have_one_share_and_equal_ones_fall_with_the_width():
    assert outside_share(50, 50, 25, "sign") == outside_share(50, 50, 25, "gaussian")
    small, large = (outside_share(d, d, d // 2, "ones") for d in (100, 400))
    # Four times the neurons of the teacher, up to terms of relative size 1 / width.
    assert small / large == pytest.approx(4, rel=0.1)
    small, large = (outside_share(d, d, d // 2, "sign") for d in (100, 400))
    assert small / large == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(
    ("key", "arguments", "message"),
    [
        ("fig-mercer", {"neurons": 60}, "neurons must be a number > 65, for every degree; got"),
        ("fig-3d", {"mus": (0.5, 1.0)}, "mus must be fractions that leave some"),
        ("fig-3d", {"samples": 20}, "samples must be more than the neurons of the teacher; got"),
    ],
)
def test_impossible_settings_are_named(key, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FIGURES[key].compute(progress=False, **arguments)
