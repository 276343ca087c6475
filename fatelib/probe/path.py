r"""One decomposition, the error of every ridge regression: at any number of samples, any ridge.

Least squares with a ridge and an unpenalised intercept, on N labelled samples of features. With the
eigenvalues :math:`s_i` of the features' covariance, the degrees of freedom and the leave-one-out
residuals at a ridge :math:`\lambda` are

.. math::

    d_1 = \sum_i \frac{s_i}{s_i + \lambda}, \qquad E = \frac1N \sum_j
    \Big( \frac{y_j - \hat y_j}{1 - h_{jj}} \Big)^2 .

What the fit would do to infinitely many samples is set by the effective ridge :math:`\kappa` alone,

.. math::

    \kappa = \frac{\lambda}{1 - d_1 / (N - 1)}, \qquad
    d_2 = d_1 + \frac{\mathrm d d_1}{\mathrm d \ln \kappa}, \qquad
    B(\kappa) = E \, \frac{N - 1 - d_2}{N},

where :math:`d_1, d_2` estimate :math:`\sum l/(l + \kappa), \sum l^2/(l + \kappa)^2` of the
population and B is squared bias, residual and noise together. So at another number n of samples

.. math::

    \text{error}(n, \kappa) = B(\kappa) \, \frac{n}{n - 1 - d_2(\kappa)}, \qquad
    \text{with the ridge } \lambda_n = \kappa \Big(1 - \frac{d_1}{n - 1}\Big) \frac{n - 1}{n} .

Everything is in float64. A replicate is the same on all samples but a block; all of them share the
grid of ridges, so that an estimate is an array whose first axis is the sample itself, followed by
its replicates.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float, Int

# Ridges to a factor of ten; from far below the least eigenvalue to where next to nothing is fitted.
_PER_DECADE, _BELOW, _ABOVE = 12, 1e-5, 1e3
# With at least as many features as samples the error is known down to the ridge at which the fit
# has this many degrees of freedom a sample; beyond it the leave-one-out residuals are of rounding.
CAP = 0.7
# What a path has of every ridge.
ROWS = ("freedom", "squares", "kappa", "left_out")
# Singular values of the features below this share of the largest are of rounding; and those whose
# squares a decomposition of the second moments still resolves.
_ROUNDING, _SQUARED = 1e-14, 1e-6


class Decomposition(NamedTuple):
    """Centred features Z = U sqrt((N - 1) s) V^T.

    Attributes:
        U: Orthonormal columns, (N, r).
        s: Eigenvalues of the covariance of the features, (r,), none of them zero.
    """

    U: Float[np.ndarray, "N r"]
    s: Float[np.ndarray, " r"]

    @property
    def coordinates(self) -> Float[np.ndarray, "N r"]:
        """The centred features in their own axes."""
        return self.U * np.sqrt((len(self.U) - 1) * self.s)


def decompose(Z: Float[np.ndarray, "N p"]) -> Decomposition:
    """Decompose features, by singular values: nothing is squared.

    Args:
        Z: Features, one row per sample; their mean is taken off.

    Returns:
        The decomposition.
    """
    Z = Z - Z.mean(axis=0)
    if len(Z) > Z.shape[1]:
        Q, R = scipy.linalg.qr(Z, mode="economic", overwrite_a=True, check_finite=False)
        U, size, _ = np.linalg.svd(R, full_matrices=False)
        U = Q @ U
    else:
        U, size, _ = np.linalg.svd(Z, full_matrices=False)
    kept = size > _ROUNDING * max(Z.shape) * size[0]
    return Decomposition(U[:, kept], size[kept] ** 2 / (len(Z) - 1))


def decompose_part(whole: Decomposition, kept: Int[np.ndarray, " n"]) -> Decomposition:
    """Decompose some samples of features that are decomposed already.

    Args:
        whole: The decomposition of all samples.
        kept: Indices of some of them.

    Returns:
        The decomposition of these, with their own mean taken off; U has a row for each.
    """
    rows = whole.coordinates
    Z = rows[kept]
    mean = Z.mean(axis=0)
    if len(whole.s) and whole.s.min() < _SQUARED**2 * whole.s.max():
        return decompose(Z)
    # Of rounding, also where nothing varies among these samples.
    least = 1e-14 * (len(rows) - 1) * whole.s.max(initial=0.0)
    if len(kept) > Z.shape[1]:
        if 2 * len(kept) > len(rows):
            out = np.delete(rows, kept, axis=0)
            squares = np.diag((len(rows) - 1) * whole.s) - out.T @ out
        else:
            squares = Z.T @ Z
        squares, V = np.linalg.eigh(squares - len(kept) * np.outer(mean, mean))
        real = squares > least
        U = (Z - mean) @ (V[:, real] / np.sqrt(squares[real]))
    else:
        squares, U = np.linalg.eigh((Z - mean) @ (Z - mean).T)
        real = squares > least
        U = U[:, real]
    return Decomposition(U, squares[real] / (len(kept) - 1))


def ridges(parts: Decomposition) -> tuple[Float[np.ndarray, " G"], bool]:
    """Choose the ridges of a feature set.

    Args:
        parts: The decomposition of all its samples.

    Returns:
        Penalties on the covariance, ascending, (G,); and whether there are smaller ones at which
        the samples do not tell the error.
    """
    low, high = _BELOW * parts.s.min(), _ABOVE * parts.s.sum()
    grid = np.geomspace(low, high, 2 + int(_PER_DECADE * np.log10(high / low)))
    most = CAP * (len(parts.U) - 1)
    capped = len(parts.s) > most
    if capped:
        grid = grid[(parts.s / (parts.s + grid[:, None])).sum(axis=1) <= most]
    return grid, capped


class Fit(NamedTuple):
    """Ridge regression of all ridges on one set of samples.

    Attributes:
        freedom: Degrees of freedom d_1, (G,).
        squares: Degrees of freedom d_2, (G,).
        kappa: Effective ridge, (G,).
        leverage: The h_jj, (N, G).
        left_out: Leave-one-out (or leave-group-out) residuals, (N, q, G).
        samples: Of how many samples, one more, the left-out fits are: N, less where groups are.
    """

    freedom: Float[np.ndarray, " G"]
    squares: Float[np.ndarray, " G"]
    kappa: Float[np.ndarray, " G"]
    leverage: Float[np.ndarray, "N G"]
    left_out: Float[np.ndarray, "N q G"]
    samples: float


def fit(
    parts: Decomposition,
    targets: Float[np.ndarray, "N q"],
    grid: Float[np.ndarray, " G"],
    groups: list[np.ndarray] | None = None,
    spectrum: tuple[np.ndarray, int] | None = None,
) -> Fit:
    """Fit with every ridge of the grid.

    Args:
        parts: The decomposed features.
        targets: Targets, one column per output.
        grid: Ridges, as `ridges` gives them.
        groups: Indices of the samples of each group; they are left out together.
        spectrum: Eigenvalues of the covariance of more samples, without labels, and their number;
            the degrees of freedom are taken from these.

    Returns:
        The fits.
    """
    U, s = parts
    kept = s[:, None] / (s[:, None] + grid)
    leverage = 1 / len(U) + U**2 @ kept
    projected = U.T @ (targets - targets.mean(axis=0))
    left_out = np.empty((*targets.shape, len(grid)))
    for output, column in enumerate(targets.T):
        centred = column - column.mean()
        left_out[:, output] = centred[:, None] - U @ (kept * projected[:, output, None])
    if groups is None:
        left_out /= (1 - leverage)[:, None]
    else:
        for members in groups:
            rows = U[members]
            hats = np.einsum("ir,rg,jr->gij", rows, kept, rows, optimize=True) + 1 / len(U)
            inside = np.eye(len(members)) - hats
            solved = np.linalg.solve(inside, left_out[members].transpose(2, 0, 1))
            left_out[members] = solved.transpose(1, 2, 0)
    freedom, squares, kappa = degrees(s, len(U), grid)
    samples = float(len(U))
    if groups is not None:
        # Without its group a sample is left to fewer others, at the same penalty on the whole.
        samples -= sum(len(members) ** 2 for members in groups) / len(U) - 1
    if groups is not None or spectrum is not None:
        # The effective ridge of so many samples, where d_1 + (N - 1) ridge / kappa = samples - 1,
        # in the population as these samples show it, or as more do.
        d1, d2, k = freedom, squares, kappa
        if spectrum is not None:
            many = np.geomspace(1e-3 * grid[0], 1e3 * grid[-1], 4 * len(grid))
            d1, d2, k = degrees(*spectrum, many)
        own = d1 < (1 - 1e-9) * (samples - 1)
        d1, d2, k = d1[own], d2[own], k[own]
        ridge = k * (samples - 1 - d1) / (len(U) - 1)
        kappa = np.exp(np.interp(np.log(grid), np.log(ridge), np.log(k)))
        freedom, squares = (np.interp(np.log(kappa), np.log(k), d) for d in (d1, d2))
    return Fit(freedom, squares, kappa, leverage, left_out, samples)


def degrees(
    s: Float[np.ndarray, " r"], samples: int, grid: Float[np.ndarray, " G"]
) -> tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"], Float[np.ndarray, " G"]]:
    """Return d_1, d_2 and the effective ridge at ridges on a covariance with eigenvalues s."""
    shares = s / (s + grid[:, None])
    freedom = shares.sum(axis=1)
    slope = -(shares * (1 - shares)).sum(axis=1)  # of d_1, against the log of the ridge
    left = 1 - freedom / (samples - 1)
    # ln kappa = ln ridge - ln left
    squares = freedom + slope / (1 + slope / (left * (samples - 1)))
    return freedom, squares, grid / left


@dataclass(frozen=True)
class RidgePath:
    """The error of ridge regression on one feature set, at every number of samples and ridge.

    The first axis is the sample itself, then its replicates.

    Attributes:
        samples: Numbers of samples, (R,); less where groups are left out.
        grid: Ridges, (G,), ascending.
        freedom: Degrees of freedom d_1, (R, G).
        squares: Degrees of freedom d_2, (R, G).
        kappa: Effective ridge, (R, G).
        left_out: Mean squared leave-one-out residuals E, summed over outputs, (R, G).
        capped: Whether smaller effective ridges exist, at which the error is unknown.
    """

    samples: Float[np.ndarray, " R"]
    grid: Float[np.ndarray, " G"]
    freedom: Float[np.ndarray, "R G"]
    squares: Float[np.ndarray, "R G"]
    kappa: Float[np.ndarray, "R G"]
    left_out: Float[np.ndarray, "R G"]
    capped: bool

    @classmethod
    def of(cls, fitted: Fit, grid: Float[np.ndarray, " G"], capped: bool) -> "RidgePath":
        """Return the path of one set of samples."""
        left_out = (fitted.left_out**2).sum(axis=1).mean(axis=0)
        samples = np.array([fitted.samples])
        rows = (fitted.freedom, fitted.squares, fitted.kappa, left_out)
        freedom, squares, kappa, left_out = (row[None] for row in rows)
        return cls(samples, grid, freedom, squares, kappa, left_out, capped)

    @classmethod
    def stack(cls, paths: "list[RidgePath]") -> "RidgePath":
        """Return the path of a sample and its replicates."""
        rows = {name: np.concatenate([getattr(path, name) for path in paths]) for name in ROWS}
        samples = np.concatenate([path.samples for path in paths])
        return cls(samples, paths[0].grid, **rows, capped=paths[0].capped)

    @property
    def limit(self) -> Float[np.ndarray, "R G"]:
        """B(kappa): the error of infinitely many samples at an effective ridge."""
        samples = self.samples[:, None]
        # Every fit of the grid leaves degrees of freedom, in a replicate one per cent at the least.
        left = np.maximum(samples - 1 - self.squares, 0.01 * samples)
        return self.left_out * left / samples

    def errors(self, n: float | int) -> Float[np.ndarray, "R G"]:
        """Errors of n samples on the grid; infinite where it takes more than n or no ridge."""
        left = n - 1 - self.squares
        allowed = (self.freedom <= n - 1) & (left > 0)
        return np.where(allowed, self.limit * n / np.where(allowed, left, 1), np.inf)

    def best(self, n: float | int) -> tuple[Float[np.ndarray, " R"], Int[np.ndarray, " R"]]:
        """Return the least error of n samples over all ridges, and where on the grid it is."""
        errors = self.errors(n)
        index = errors.argmin(axis=1)
        least = errors[np.arange(len(errors)), index]
        # No ridge at all, between two points of the grid.
        return np.fmin(least, np.where(self.freedom[:, 0] > n - 1, self.at(n, 0.0), np.inf)), index

    def identified(self, index: int) -> bool:
        """Whether a best ridge is that of all ridges: not the least that the sample shows."""
        return not (self.capped and index == 0)

    def ridge(self, n: float | int, index: int) -> float:
        """Return the penalty on the mean squared error at which n samples reach a grid point."""
        if self.best(n)[0][0] < self.errors(n)[0, index]:
            return 0.0  # the best is none at all
        share = 1 - self.freedom[0, index] / (n - 1)
        return float(self.kappa[0, index] * max(share, 0.0) * (n - 1) / n)

    def at(self, n: float | int, ridge: float) -> Float[np.ndarray, " R"]:
        """Return the error of n samples at one ridge; NaN where the sample does not show it."""
        found = np.full(len(self.samples), np.nan)
        points = np.arange(len(self.grid))
        for replicate, (freedom, kappa) in enumerate(zip(self.freedom, self.kappa, strict=True)):
            # The effective ridge is the zero of this, which falls along the grid.
            beyond = freedom + n * ridge / kappa - (n - 1)
            if beyond[0] < 0 and self.capped:
                continue
            place = np.interp(0.0, -beyond, points)
            with np.errstate(divide="ignore"):  # a replicate may lack a class: no error at all
                limit = np.exp(np.interp(place, points, np.log(self.limit[replicate])))
            left = n - 1 - np.interp(place, points, self.squares[replicate])
            found[replicate] = limit * n / left if left > 0 else np.inf
        return found


def population(path: RidgePath) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"], float]:
    """Find a spectrum with the degrees of freedom and the errors of a path.

    Args:
        path: The path.

    Returns:
        Eigenvalues, squared coefficients of the target on their directions, and the rest of it.
    """
    kappa, freedom, limit = path.kappa[0], path.freedom[0], path.limit[0]
    at = np.geomspace(kappa[0], kappa[-1], 2 * len(kappa) // _PER_DECADE + 2)
    kept = at / (at + kappa[:, None])
    numbers = _non_negative(kept / freedom[:, None])
    # As many eigenvalues as there are directions, each the mean of its part of that distribution.
    total = np.concatenate([[0.0], np.cumsum(numbers)])
    count = max(1, round(total[-1]))
    sums = np.interp(
        np.linspace(0, total[-1], count + 1),
        total,
        np.concatenate([[0.0], np.cumsum(numbers * at)]),
    )
    eigenvalues = np.diff(sums)[::-1]
    lost = (kappa[:, None] / (eigenvalues + kappa[:, None])) ** 2
    # Neighbours share what they hold, but for the largest.
    edges = np.unique(np.geomspace(1, count + 1, 80).round().astype(int)) - 1
    means = np.add.reduceat(lost, edges[:-1], axis=1) / np.diff(edges)
    columns = np.column_stack([means, np.ones(len(kappa))]) / limit[:, None]
    parts = _non_negative(columns)
    shares = np.repeat(parts[:-1] / np.diff(edges), np.diff(edges))
    return eigenvalues, shares, float(parts[-1])


def _non_negative(columns: Float[np.ndarray, "G m"]) -> Float[np.ndarray, " m"]:
    """Return numbers of no negative sign with which the columns add up to one."""
    import scipy.optimize  # only here: it takes long to load

    found: np.ndarray = scipy.optimize.lsq_linear(columns, np.ones(len(columns)), (0, np.inf)).x
    return found
