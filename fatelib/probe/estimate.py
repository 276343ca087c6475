"""The learning curve of one feature set, with replicates that say how sure it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float

from fatelib.probe.classes import error_rate, scores
from fatelib.probe.data import Target
from fatelib.probe.path import (
    Decomposition,
    Fit,
    RidgePath,
    decompose,
    decompose_part,
    fit,
    ridges,
)

# Blocks of the jackknife; fewer where each of them takes seconds.
_BLOCKS, _FEW_BLOCKS, _MANY = 20, 10, 5000
# The lowest error rate is looked for at every so many ridges.
_COARSE = 12


class Interval(NamedTuple):
    """An estimate with its interval of 95 per cent.

    Attributes:
        value: The estimate.
        low: The lower end.
        high: The upper end.
        identified: Whether the samples tell it; where not, `high` (of a ratio also `low`) is a
            bound, and `value` what the smallest ridge gives that the samples tell of.

    Example:
        >>> Interval(1.0, 0.8, 1.3).identified
        True
    """

    value: float
    low: float
    high: float
    identified: bool = True


@dataclass(frozen=True)
class Estimate:
    """What N labelled samples say of one feature set.

    The first axis is the sample itself, then its replicates.

    Attributes:
        path: The error at every number of samples and ridge.
        ns: Numbers of samples, (n,).
        rates: Error rates of classes at the ridge of least squared error, (R, n); (R, 0) for
            regression.
        lowest_rates: The lowest over all ridges, of the sample itself, (n,) or (0,).
        parts: The decomposed features.
        leverage: Of each sample, at the best ridge for N samples, (N,).
        residuals: Leave-one-out residuals there, (N, q).
    """

    path: RidgePath
    ns: Float[np.ndarray, " n"]
    rates: Float[np.ndarray, "R m"]
    lowest_rates: Float[np.ndarray, " m"]
    parts: Decomposition
    leverage: Float[np.ndarray, " N"]
    residuals: Float[np.ndarray, "N q"]


def blocks(target: Target, draw: np.random.Generator) -> list[np.ndarray]:
    """Divide the samples into the blocks that replicates leave out.

    Every block has its share of each class; groups stay whole, and blocks about as large as one
    another.

    Args:
        target: The labels.
        draw: Decides which sample goes where.

    Returns:
        Indices of the samples of each block.
    """
    N = len(target.values)
    most = min(_BLOCKS if N < _MANY else _FEW_BLOCKS, N // 2)
    if target.groups is None:
        order = draw.permutation(N)
        if target.labels is not None:
            order = order[np.argsort(target.labels[order], kind="stable")]
        return [order[start::most] for start in range(most)]
    # The largest first, each into the smallest block.
    dealt: list[list[np.ndarray]] = [[] for _ in range(min(most, len(target.groups)))]
    mixed = [target.groups[group] for group in draw.permutation(len(target.groups))]
    for members in sorted(mixed, key=len, reverse=True):
        min(dealt, key=lambda block: sum(map(len, block))).append(members)
    return [np.concatenate(block) for block in dealt]


def estimate(
    Z: Float[np.ndarray, "N p"],
    target: Target,
    ns: Float[np.ndarray, " n"],
    parts: list[np.ndarray],
    unlabelled: Float[np.ndarray, "M p"] | None,
    step: Callable[[], object],
) -> Estimate:
    """Estimate the learning curve of one feature set.

    Args:
        Z: Features.
        target: Their labels.
        ns: Numbers of samples for which error rates are wanted.
        parts: Blocks that replicates leave out, from `blocks`.
        unlabelled: Features of more samples.
        step: Called after each replicate.

    Returns:
        The estimate.
    """
    whole = decompose(Z)
    grid, capped = ridges(whole)
    spectrum = None
    if unlabelled is not None:
        more = np.concatenate([Z, unlabelled])
        spectrum = (decompose(more).s, len(more))
    paths, rates = [], []
    lowest = np.empty(0)
    for block in [np.empty(0, int), *parts]:
        kept = np.setdiff1d(np.arange(len(Z)), block)
        again = decompose_part(whole, kept) if len(block) else whole
        own = target.take(kept)
        fitted = fit(again, own.values, grid, own.groups, spectrum)
        paths.append(RidgePath.of(fitted, grid, capped))
        rates.append(_rates(paths[-1], again, fitted, own, ns))
        if not len(block):
            lowest = _lowest_rates(paths[-1], again, fitted, own, ns, rates[-1])
            best = int(paths[-1].best(len(Z))[1][0])
            shown = fitted.leverage[:, best], fitted.left_out[:, :, best]
        del fitted
        step()
    return Estimate(RidgePath.stack(paths), ns, np.array(rates), lowest, whole, *shown)


def _rates(
    path: RidgePath, parts: Decomposition, fitted: Fit, target: Target, ns: np.ndarray
) -> Float[np.ndarray, " m"]:
    """Error rates at the ridge of least squared error."""
    if target.labels is None:
        return np.empty(0)
    places = [int(path.best(n)[1][0]) for n in ns]
    at = scores(parts, fitted, target, path.grid, {*places})
    return np.array([error_rate(at[place], target, n) for place, n in zip(places, ns, strict=True)])


def _lowest_rates(
    path: RidgePath,
    parts: Decomposition,
    fitted: Fit,
    target: Target,
    ns: np.ndarray,
    rates: Float[np.ndarray, " m"],
) -> Float[np.ndarray, " m"]:
    """The lowest error rates over all ridges, on a coarser grid, and those already known."""
    if target.labels is None:
        return rates
    lowest = rates.copy()
    found = scores(parts, fitted, target, path.grid, range(0, len(path.grid), _COARSE))
    for column, n in enumerate(ns):
        errors = path.errors(n)[0]
        for place, at in found.items():
            if np.isfinite(errors[place]):
                lowest[column] = min(lowest[column], error_rate(at, target, n))
    return lowest


def interval(values: Float[np.ndarray, " R"], scale: str = "log") -> Interval:
    """Return an estimate with its interval of 95 per cent, by the jackknife over blocks.

    Args:
        values: The estimate of the sample itself, then of its replicates.
        scale: On what scale the interval is symmetric: "log", "rate" (the arc sine of the root),
            or "none".

    Returns:
        The interval; infinite where a replicate has no finite value.
    """
    value, *replicates = values
    to, back = _SCALES[scale]
    with np.errstate(all="ignore"):
        centre, others = to(value), to(np.array(replicates))
        spread = np.sqrt((len(others) - 1) * others.var()) * _quantile(len(others))
        low, high = back(centre - spread), back(centre + spread)
    if not np.isfinite(spread):
        low, high = back(-np.inf), back(np.inf)
    return Interval(float(value), float(low), float(high))


def rate_interval(values: Float[np.ndarray, " R"], samples: int) -> Interval:
    """Return an error rate with its interval: it reaches to what no error among all can mean.

    Args:
        values: The rate of the sample itself, then of its replicates.
        samples: Number of samples.

    Returns:
        The interval.
    """
    found = interval(values, "rate")
    # Wilson's interval of no error at all.
    least = _quantile(samples) ** 2
    return found._replace(high=max(found.high, least / (samples + least)))


def least_error(path: RidgePath, n: float | int, noise: float | int) -> Interval:
    """Return the error of the best ridge, or its bound: the upper end of the interval.

    Args:
        path: The error at every ridge.
        n: Number of samples.
        noise: What no error is below.

    Returns:
        The error; where the samples do not tell it, what the smallest ridge has that they tell of,
        from the noise to the least upper end at any fewer samples: more do not raise the error.
    """
    values, index = path.best(n)
    found = interval(values)
    if path.identified(int(index[0])):
        return found
    ends = [interval(path.best(fewer)[0]).high for fewer in _fewer(path.samples[0], n)]
    high = max(found.value, min(ends, default=found.high))
    return Interval(found.value, min(float(noise), found.value), high, False)


def least_rate(
    ns: Float[np.ndarray, " m"],
    rates: Float[np.ndarray, "R m"],
    n: float | int,
    samples: int,
    known: bool,
) -> Interval:
    """Return the error rate at the ridge of least squared error, or its bound.

    Args:
        ns: Numbers of samples at which rates are known.
        rates: The rates.
        n: Number of samples.
        samples: The number N of labelled samples.
        known: Whether these tell the best ridge for n.

    Returns:
        The rate; NaN beyond `ns`.
    """
    places = np.log(ns)

    def at(number: float) -> Interval:
        ends = {"left": np.nan, "right": np.nan}
        values = [np.interp(np.log(number), places, row, **ends) for row in rates]
        return rate_interval(np.array(values), samples)

    found = at(float(n))
    if known or not np.isfinite(found.value):
        return found._replace(identified=known)
    ends = [at(fewer).high for fewer in _fewer(float(samples), n) if fewer >= ns[0]]
    high = max(found.value, min(ends, default=found.high))
    return Interval(found.value, 0.0, high, False)


def _fewer(samples: float, n: float | int) -> list[float]:
    """Numbers of samples from N/4 to n, the same ones for every n."""
    return [samples * 2 ** (step / 4) for step in range(-8, 40) if samples * 2 ** (step / 4) <= n]


def _quantile(replicates: int) -> float:
    return float(scipy.special.stdtrit(replicates - 1, 0.975))


_SCALES: dict[str, tuple[Callable, Callable]] = {
    "log": (np.log, np.exp),
    "rate": (
        lambda rate: np.arcsin(np.sqrt(rate)),
        lambda angle: np.sin(np.clip(angle, 0, np.pi / 2)) ** 2,
    ),
    "none": (lambda value: value, lambda value: value),
}
