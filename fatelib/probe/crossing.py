"""Where one curve overtakes another, and how well that is known."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

# A power law through so many of the last points continues a contender.
_LAST = 3


class Change(NamedTuple):
    """A difference changes its sign.

    Attributes:
        at: The last place before it.
        numbers: The number of samples, and its interval.
        rises: Whether the difference is above zero afterwards.
    """

    at: int
    numbers: tuple[float, float, float]
    rises: bool

    def order(self, first: str, second: str) -> tuple[str, str]:
        """Which of two is better before and after, if the difference is first less second."""
        return (first, second) if self.rises else (second, first)


def changes(
    ns: Float[np.ndarray, " n"],
    value: Float[np.ndarray, " n"],
    low: Float[np.ndarray, " n"],
    high: Float[np.ndarray, " n"],
) -> Iterator[Change]:
    """Find where a difference changes its sign.

    Args:
        ns: Numbers of samples, ascending.
        value: The difference at each.
        low: The lower end of its interval.
        high: The upper end.

    Yields:
        Each change; its interval reaches to where the difference is surely on either side of zero,
        0 and infinity where it nowhere is.
    """
    for at in np.flatnonzero((value[:-1] > 0) != (value[1:] > 0)):
        rises = bool(value[at + 1] > 0)
        below, above = high < 0, low > 0
        before = np.flatnonzero((below if rises else above)[: at + 1])
        after = at + 1 + np.flatnonzero((above if rises else below)[at + 1 :])
        share = value[at] / (value[at] - value[at + 1])
        n = ns[at] * (ns[at + 1] / ns[at]) ** share
        first = ns[before[-1]] if len(before) else 0.0
        last = ns[after[0]] if len(after) else np.inf
        yield Change(int(at), (float(n), float(first), float(last)), rises)


def extended(
    points: xr.Dataset, further: Float[np.ndarray, " n"]
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Draw the curve of a contender through its points, and on by a power law.

    Args:
        points: The points of one contender.
        further: Numbers of samples; the curve goes on to those beyond the last point.

    Returns:
        Where the points end; numbers of samples, the log of the error there, and half its interval.
        No numbers where there are fewer than two points.
    """
    ns, error, high = (points[name].values for name in ("n", "error", "error_high"))
    there = np.isfinite(error) & (error > 0)
    if there.sum() < 2:
        return 0.0, *np.empty((3, 0))
    ns, log = np.log(ns[there]), np.log(error[there])
    half = np.nan_to_num(np.log(high[there]) - log)
    many = np.linspace(ns[0], ns[-1], 60)
    beyond = np.log(further[np.log(further) > ns[-1]])
    slope, _ = np.polyfit(ns[-_LAST:], log[-_LAST:], 1)
    guess = log[-1] + min(slope, 0.0) * (beyond - ns[-1])
    return (
        float(np.exp(ns[-1])),
        np.exp(np.concatenate([many, beyond])),
        np.concatenate([np.interp(many, ns, log), guess]),
        np.concatenate([np.interp(many, ns, half), np.full(len(beyond), half[-1])]),
    )
