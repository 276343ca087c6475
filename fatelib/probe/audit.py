"""What a diagnosis does to catch itself: fits to parts of the data, and looks at the samples."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fatelib.probe.data import LEAST, Target
from fatelib.probe.estimate import Estimate
from fatelib.probe.path import decompose_part, fit

# Fits to parts of the data; fewer where samples are so many that each tells enough.
_DRAWS, _FEW_DRAWS, _MANY = 10, 3, 1000
# A prediction is off where it misses by more than this share and by so many standard errors.
_OFF, _ERRORS = 0.15, 2.5
# Nearer to another sample than this share of the usual distance is a copy of it.
_NEAR, _COPIES = 0.02, 0.02
_AXES, _DENSE, _PERMUTATIONS = 16, 5, 19
_LEVERAGE, _SHARE, _PERFECT = 0.5, 0.25, 1e-6


class Check(NamedTuple):
    """A prediction beside what was measured on the rest of the samples.

    Attributes:
        n: Samples that the fits had, a mean over draws.
        predicted: Error that the whole data set predicts.
        measured: Error of the best ridge, a mean over draws of the part.
        standard_error: Of the log of their ratio, over draws.
    """

    n: int
    predicted: float
    measured: float
    standard_error: float

    @property
    def off(self) -> bool:
        """Whether the two differ by more than chance and rounding of numbers."""
        ratio = abs(np.log(self.predicted / self.measured))
        return bool(ratio > max(_OFF, _ERRORS * self.standard_error))


def check_itself(found: Estimate, target: Target, draw: np.random.Generator) -> list[Check]:
    """Compare the curve at N/4 and N/2 with ridge regressions that are really fitted.

    Args:
        found: What all samples say.
        target: Their labels.
        draw: Draws the parts; groups stay whole.

    Returns:
        One line for each number of samples.
    """
    N = len(target.values)
    sizes = [size for size in (N // 4, N // 2) if size >= LEAST]
    measured: dict[int, list[tuple[int, np.ndarray]]] = {size: [] for size in sizes}
    for _ in range(_DRAWS if N < _MANY else _FEW_DRAWS):
        order, ends = _order(target, draw)
        for size in sizes:
            n = int(ends[np.searchsorted(ends, size)])
            if n < N:
                errors = _errors(found, target, order[:n], order[n:])
                measured[size].append((n, errors))
    checks = []
    floor = 1e-5 * float(target.values.var(axis=0).sum())  # below it a fit is perfect
    for size, rows in measured.items():
        if len(rows) < 2:
            continue
        size = round(np.mean([n for n, _ in rows]))
        table = np.array([errors for _, errors in rows])  # draws, ridges
        best = table.mean(axis=0).argmin()
        values = table[:, best]
        spread = values.std(ddof=1) / np.sqrt(len(values)) / values.mean()
        predicted = float(found.path.best(size)[0][0])
        if values.mean() > floor:
            checks.append(Check(size, predicted, float(values.mean()), float(spread)))
    return checks


def _order(target: Target, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Samples in random order, of which groups stay together, and where it may be cut."""
    if target.groups is None:
        N = len(target.values)
        return draw.permutation(N), np.arange(1, N + 1)
    mixed = [target.groups[group] for group in draw.permutation(len(target.groups))]
    return np.concatenate(mixed), np.cumsum([len(members) for members in mixed])


def _errors(found: Estimate, target: Target, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Squared errors on some samples of the fits to others, one for each ridge."""
    Z = found.parts.coordinates
    parts = decompose_part(found.parts, inside)
    grid = found.path.grid
    values = target.values
    mean, centre = Z[inside].mean(axis=0), values[inside].mean(axis=0)
    size = np.sqrt((len(inside) - 1) * parts.s)
    axes = (Z[inside] - mean).T @ parts.U / size
    shown = (Z[outside] - mean) @ axes
    shares = (parts.s / size)[:, None] / (parts.s[:, None] + grid)
    weights = parts.U.T @ (values[inside] - centre)
    errors = np.zeros(len(grid))
    for output in range(values.shape[1]):
        outputs = centre[output] + shown @ (shares * weights[:, output, None])
        errors += ((outputs - values[outside, output, None]) ** 2).mean(axis=0)
    return errors


def doubts(
    found: Estimate, target: Target, checks: list[Check], draw: np.random.Generator
) -> list[str]:
    """Look for what breaks an estimate, in words.

    Args:
        found: The estimate of a feature set.
        target: Its labels.
        checks: What `check_itself` found.
        draw: Permutes labels, and draws the axes along which near copies are looked for.

    Returns:
        Sentences, empty where nothing was found.
    """
    words = []
    wrong = [check for check in checks if check.off]
    if wrong:
        worst = max(wrong, key=lambda check: abs(np.log(check.predicted / check.measured)))
        words.append(
            f"probes fitted to {worst.n} of the samples have an error of {worst.measured:.3g} on "
            f"the others where {worst.predicted:.3g} was predicted: few may decide, or some "
            + ("groups be of another kind" if target.groups else "belong together (give groups=)")
        )
    decisive = found.residuals**2
    share = decisive.sum(axis=1) / decisive.sum()
    place = int(share.argmax())
    if share[place] > _SHARE:
        words.append(
            f"sample {place} alone makes {share[place]:.0%} of the leave-one-out error: look at it"
        )
    place = int(found.leverage.argmax())
    usual = float(np.median(found.leverage))
    if found.leverage[place] > max(_LEVERAGE, 5 * usual):
        words.append(
            f"sample {place} stands alone: the fit follows its label (leverage "
            f"{found.leverage[place]:.2f}, usually {usual:.2f})"
        )
    if decisive.sum() < _PERFECT * ((target.values - target.values.mean(axis=0)) ** 2).sum():
        words.append("labels are all but a function of these features: are they among them?")
    if target.groups is None:
        copies = _copies(found.parts.coordinates, draw)
        if copies > _COPIES:
            words.append(
                f"{copies:.0%} of the samples are near copies of others: if they are of the same "
                "thing, errors are too low, and groups= leaves copies out together (or a few "
                "columns are far larger than the rest: standardize=True)"
            )
    return words


def _copies(Z: Float[np.ndarray, "N r"], draw: np.random.Generator) -> float:
    """The share of samples next to another one, as far as distances go at all."""
    if Z.shape[1] < _DENSE:
        return 0.0  # where samples are dense there are neighbours, and numbers that come again
    import scipy.spatial  # only here: it takes long to load

    shadows = Z @ draw.normal(size=(Z.shape[1], _AXES))
    _, nearest = scipy.spatial.cKDTree(shadows).query(shadows, k=2)
    # Of two equal shadows either may come first.
    own = np.arange(len(Z))
    other = np.where(nearest[:, 0] == own, nearest[:, 1], nearest[:, 0])
    distance = np.linalg.norm(Z - Z[other], axis=1)
    return float(np.mean(distance < _NEAR * np.sqrt(2 * (Z**2).sum(axis=1).mean())))


def learns(found: Estimate, target: Target, draw: np.random.Generator) -> bool:
    """Return whether labels are learned better than in any of some random orders.

    Args:
        found: The estimate of a feature set.
        target: Its labels; those of a group stay together.
        draw: Draws the orders.
    """
    grid = found.path.grid[::4]

    def least(values: np.ndarray) -> float:
        left_out = fit(found.parts, values, grid, target.groups).left_out
        return float((left_out**2).sum(axis=1).mean(axis=0).min())

    values = target.values
    # Labels of a group stay side by side.
    place = np.concatenate(target.groups) if target.groups else np.arange(len(values))

    def mixed() -> np.ndarray:
        other = np.empty_like(values)
        other[place] = values[_order(target, draw)[0]]
        return other

    return least(values) < min(least(mixed()) for _ in range(_PERMUTATIONS))
