r"""From squared errors to error rates: how often the largest score is that of another class.

Classes are learned by least squares on one column each (two classes: one column of +-1). What a fit
of n samples says of a new sample is what the fit of N says when the sample is left out, at the same
effective ridge, and independent Gaussian noise. Scores are sums over the samples of the fit, with
weights H of the hat matrix; so the noise of scores within a class c has the covariance

.. math::

    C_c = \sum_j w_{cj} \, r_j r_j^T \Big/ \sum_c \frac{N_c}{N} \sum_j w_{cj} , \qquad
    w_{cj} = \frac{1}{N_c} \sum_{i \in c, i \ne j} H_{ij}^2 ,

of leave-one-out residuals r, times

.. math::

    \frac{N - 1 - d_2}{N} \, (1 + d_2)
    \Big( \frac{1}{n - 1 - d_2} - \frac{1}{N - 1 - d_2} \Big) .

Beyond N samples the factor is negative, and noise has to be taken away from scores in which it is
mixed with what differs among the samples of a class: the scores of a class are drawn together
around their mean, until their covariance is less by so much (that of few samples is mixed with the
one that all classes share). Some noise is taken away and drawn
anew in any case: a count of errors among few samples would be coarse.
"""

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float

from fatelib.probe.data import Target
from fatelib.probe.path import Decomposition, Fit

# Draws of the noise of several classes, for all samples together.
_DRAWS = 12_000
# Random signs with which the weights of the hat matrix are summed, for all classes together.
_SIGNS = 24
# The share of the noise that is drawn anew.
_ANEW = 0.5


class Scores(NamedTuple):
    """Leave-one-out scores at one ridge.

    Attributes:
        values: Scores, (N, q).
        noise: Covariance of their noise, one matrix for each class, (C, q, q), for one unit of the
            factor above.
        samples: Number N of samples.
        squares: Degrees of freedom d_2.
    """

    values: Float[np.ndarray, "N q"]
    noise: Float[np.ndarray, "C q q"]
    samples: float
    squares: float

    def variance(self, n: float | int) -> float:
        """Return the noise of n samples, in units of `noise`."""
        left = self.samples - 1 - self.squares
        return left / self.samples * (1 + self.squares) / (n - 1 - self.squares)


def scores(
    parts: Decomposition,
    fitted: Fit,
    target: Target,
    grid: Float[np.ndarray, " G"],
    places: Iterable[int],
) -> dict[int, Scores]:
    """Return what the samples say of one another at some ridges.

    Args:
        parts: The decomposed features.
        fitted: The fits.
        target: Labels that are classes.
        grid: The ridges.
        places: Which of them.

    Returns:
        The scores by place.
    """
    labels, N, classes = target.labels, len(target.values), len(target.classes)
    assert labels is not None
    counts = np.bincount(labels, minlength=classes)
    # Sums of H_ij^2 over a class are variances of sums of H_ij with random signs.
    each = max(1, _SIGNS // classes)
    signs = target.drawn(partial(_signs, each))
    placed = np.zeros((N, classes, each))
    placed[np.arange(N), labels] = signs
    # Their own precision is far below that of single numbers.
    U, own = parts.U.astype(np.float32), placed.reshape(N, -1).astype(np.float32)
    projected = U.T @ own
    found = {}
    for place in places:
        kept = (parts.s / (parts.s + grid[place])).astype(np.float32)
        sums = U @ (kept[:, None] * projected) - own * fitted.leverage[:, place, None]
        weights = (sums**2).reshape(N, classes, each).mean(axis=2) / np.maximum(counts, 1)
        weights *= N / max(float(counts @ weights.sum(axis=0)), 1e-300)
        residuals = fitted.left_out[:, :, place]
        noise = (weights.T[:, None] * residuals.T) @ residuals
        squares = float(fitted.squares[place])
        found[place] = Scores(target.values - residuals, noise, fitted.samples, squares)
    return found


def error_rate(found: Scores, target: Target, n: float | int) -> float:
    """Return the share of new samples that n samples would have put into another class.

    Args:
        found: Leave-one-out scores at the effective ridge of the fit.
        target: Labels that are classes.
        n: Number of samples.

    Returns:
        The rate.
    """
    labels = target.labels
    assert labels is not None
    now, then = found.variance(found.samples), found.variance(n)
    left = (1 - _ANEW) * min(now, then)
    drawn = _drawn_together(found, labels, now - left)
    if drawn.shape[1] == 1:
        margins = drawn[:, 0] * (2.0 * labels - 1)
        spread = np.sqrt((then - left) * found.noise[labels, 0, 0])
        return float(scipy.special.ndtr(-margins / np.maximum(spread, 1e-300)).mean())
    noise = target.drawn(partial(_noise, drawn.shape[1])).copy()
    for label, covariance in enumerate(found.noise):
        members = labels == label
        noise[members] = noise[members] @ _root((then - left) * covariance)
    both = (drawn[:, None] + sign * noise for sign in (1, -1))
    return float(np.mean([one.argmax(axis=2) != labels[:, None] for one in both]))


@lru_cache(maxsize=1)
def _noise(columns: int, samples: int) -> Float[np.ndarray, "N m q"]:
    """Noise of size one for every sample, in opposite pairs, of which this is one half."""
    draws = max(1, _DRAWS // (2 * samples))
    return np.random.default_rng(0).normal(size=(samples, draws, columns))


def _signs(columns: int, samples: int) -> Float[np.ndarray, "N m"]:
    return np.random.default_rng(0).choice((-1.0, 1.0), size=(samples, columns))


def _drawn_together(found: Scores, labels: np.ndarray, less: float) -> Float[np.ndarray, "N q"]:
    """Take noise away from the scores of every class, as far as they vary so much."""
    drawn = found.values.copy()
    counts = np.bincount(labels, minlength=len(found.noise))
    sums = np.zeros((len(counts), found.values.shape[1]))
    np.add.at(sums, labels, found.values)
    means = sums / np.maximum(counts, 1)[:, None]  # a part of the samples may lack a class
    spread = found.values - means[labels]
    pooled = spread.T @ spread / max(len(labels) - len(counts), 1)
    for label, noise in enumerate(found.noise):
        members = labels == label
        if counts[label] < 2:
            continue
        # Few samples of a class do not tell in all directions how its scores vary: all classes do.
        own = spread[members].T @ spread[members]
        few = len(noise) / (counts[label] + len(noise))
        root = _root((1 - few) * own / counts[label] + few * pooled)
        # In the axes in which the spread is of size one.
        inverse = np.linalg.pinv(root, hermitian=True)
        values, axes = np.linalg.eigh(inverse @ (less * noise) @ inverse)
        shrink = (axes * np.sqrt(np.maximum(1 - values, 0.0))) @ axes.T
        drawn[members] = means[label] + spread[members] @ inverse @ shrink @ root
    return drawn


def _root(covariance: Float[np.ndarray, "q q"]) -> Float[np.ndarray, "q q"]:
    """Return the symmetric square root."""
    values, axes = np.linalg.eigh(covariance)
    return (axes * np.sqrt(np.maximum(values, 0.0))) @ axes.T
