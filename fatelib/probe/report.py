"""What a diagnosis found: numbers to ask for, and the words that sum them up."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from fatelib.arguments import AT_LEAST_0, check, check_choice, check_number
from fatelib.probe.audit import Check
from fatelib.probe.contenders import read_measured
from fatelib.probe.crossing import changes, extended
from fatelib.probe.estimate import Interval, interval, least_error, least_rate
from fatelib.probe.path import ROWS, RidgePath, population
from fatelib.probe.words import plain, words
from fatelib.sweep.store import local_directory

__all__ = ["Report", "load"]

# Far beyond what anybody labels: where the search for a number of samples ends.
_FAR = 1e4
_SAMPLES = (lambda n: (n >= 2) & (n < np.inf), "a number >= 2")


@dataclass(frozen=True)
class FeatureSet:
    """What is kept of one feature set.

    Attributes:
        path: The error at every number of samples and ridge.
        ns: Numbers of samples at which there are error rates, (n,).
        rates: Error rates, of the sample and its replicates, (R, n); (R, 0) for regression.
        unit: What the features were divided by, one number; 1 where columns were standardised.
        width: Number of features.
        checks: Predictions beside what fits to parts of the data measured.
        warnings: What to mistrust, a sentence each.
        nothing: Whether labels in random order are learned as well.
    """

    path: RidgePath
    ns: Float[np.ndarray, " n"]
    rates: Float[np.ndarray, "R m"]
    unit: float
    width: int
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]
    nothing: bool


@dataclass(frozen=True)
class Report:
    """A diagnosis: what N labelled samples say of feature sets, at any number of samples.

    Errors are mean squared errors against labels, noise included, summed over outputs, of ridge
    regression with an intercept; two classes are the labels -1 and 1, more classes one indicator
    each. Intervals are of 95 per cent.

    Attributes:
        curve: The learning curves, with dimensions ``features`` and ``n``: ``error``, ``error_low``
            and ``error_high``, at the best ``ridge`` (the penalty added to the mean squared error),
            and whether they are ``identified``: where not, the best ridge is below all that the
            samples tell of, ``error`` is that of the smallest ridge they tell of, ``error_high`` is
            the bound, and ``error_low`` is the variance of the noise if it is known, else 0. Of
            classes also ``error_rate`` with ``error_rate_low`` and ``error_rate_high`` at the same
            ridge, and ``lowest_error_rate`` over all ridges.
        contenders: The errors of what is no probe, with dimensions ``contender`` and ``point``:
            ``n``, ``error``, ``error_low``, ``error_high`` (error rates where labels are classes);
            empty without any.
        classes: Names of the classes; empty for regression.
        samples: Number N of labelled samples.
        control: The feature set that credit is measured against; "" without one.
        noise: Variance of the label noise, summed over outputs; NaN where it is unknown.
        spread: Variance of the labels, summed over outputs: the error of no features at all.
        warnings: What to mistrust, a sentence each.
        sets: What is kept of each feature set, by name.

    Example:
        >>> import fatelib, numpy as np
        >>> rng = np.random.default_rng(0)
        >>> Z = rng.normal(size=(60, 4))
        >>> report = fatelib.diagnose(Z, Z[:, 0] + 0.1 * rng.normal(size=60))
        >>> print(report)
        60 samples, numbers as labels
        ...
    """

    curve: xr.Dataset
    contenders: xr.Dataset
    classes: tuple[str, ...]
    samples: int
    control: str
    noise: float
    spread: float
    warnings: tuple[str, ...]
    sets: Mapping[str, FeatureSet] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The feature sets, in the order in which they were given."""
        return tuple(self.sets)

    def error(self, name: str, n: Any, ridge: Any = None) -> Interval:
        """Return the error of one feature set.

        Args:
            name: The feature set.
            n: Number of samples, at least 2; any number.
            ridge: Penalty on the squared weights, added to the *mean* squared error; 0 for none;
                the best by default.

        Returns:
            The error with its interval. At a ridge so small that the N samples do not tell, NaN,
            from the noise (0 where it is unknown) to infinity.

        Raises:
            ValueError: There is no such feature set, `n` is below 2 or `ridge` negative.

        Example:
            >>> import fatelib, numpy as np
            >>> rng = np.random.default_rng(0)
            >>> Z = rng.normal(size=(60, 4))
            >>> y = Z[:, 0] + 0.1 * rng.normal(size=60)
            >>> report = fatelib.diagnose(Z, y)
            >>> report.error("features", 100).value < 0.02
            True
        """
        found = self.sets[check_choice("name", name, self.names)]
        n = check_number("n", n, *_SAMPLES)
        if ridge is None:
            return self._best(found.path, n)
        ridge = check_number("ridge", ridge, *AT_LEAST_0) / found.unit**2
        values = found.path.at(n, ridge)
        if not np.isfinite(values[0]):
            return Interval(float(values[0]), self._least, np.inf, bool(values[0] == np.inf))
        return interval(values)

    def error_rate(self, name: str, n: Any) -> Interval:
        """Return the error rate of one feature set, at the ridge of least squared error.

        Args:
            name: The feature set.
            n: Number of samples, from 5 to 16 N, or as far as `curve` goes.

        Returns:
            The rate with its interval; NaN beyond these numbers.

        Raises:
            ValueError: There is no such feature set, `n` is below 2 or labels are no classes.

        Example:
            >>> import fatelib, numpy as np
            >>> rng = np.random.default_rng(0)
            >>> Z = rng.normal(size=(60, 4))
            >>> report = fatelib.diagnose(Z, np.where(Z[:, 0] > 0, "cat", "dog"))
            >>> 0 < report.error_rate("features", 50).value < 0.15
            True
        """
        found = self.sets[check_choice("name", name, self.names)]
        n = check_number("n", n, *_SAMPLES)
        if not self.classes:
            raise ValueError("name must be of a report on classes; labels are numbers")
        known = found.path.identified(int(found.path.best(n)[1][0]))
        return least_rate(found.ns, found.rates, n, self.samples, known)

    @cached_property
    def ceiling(self) -> xr.Dataset:
        """The error of infinitely many labels, with dimension ``features``.

        ``error``, ``error_low``, ``error_high``, ``identified`` as in `curve`; where the noise is
        known also ``residual``, what of the error is no noise.
        """
        columns: dict[str, list[float]] = {}
        for found in self.sets.values():
            identified = not found.path.capped
            # B is the error of infinitely many samples; it grows with the ridge.
            limits = found.path.limit
            end = interval(limits.min(axis=1))
            if not identified:  # what bounds the error at some number of labels bounds it here
                bound = self._best(found.path, _FAR * self.samples)
                end = end._replace(high=max(end.value, min(end.high, bound.high)))
            low = end.low if identified else min(self._least, end.value)
            row = {"error": end.value, "error_low": low, "error_high": end.high}
            row["identified"] = identified
            if np.isfinite(self.noise):
                row["residual"] = max(end.value - self.noise, 0.0)
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
        return xr.Dataset(
            {column: ("features", values) for column, values in columns.items()},
            coords={"features": list(self.names)},
        )

    @property
    def effective_dimension(self) -> xr.DataArray:
        """Degrees of freedom of the best ridge regression on the N samples, (features)."""
        found = []
        for features in self.sets.values():
            index = int(features.path.best(self.samples)[1][0])
            found.append(features.path.freedom[0, index])
        return xr.DataArray(found, {"features": list(self.names)}, "features")

    def credit(self, n: Any = None) -> xr.Dataset:
        """Return the error of the control over that of each feature set: above 1, these helped.

        Args:
            n: Numbers of samples, one or several; N by default.

        Returns:
            ``credit``, ``credit_low``, ``credit_high``, with dimension ``features``, and ``n`` if
            several were given; both at their own best ridge. ``identified`` where both are.

        Raises:
            ValueError: There is no control, or `n` is below 2.

        Example:
            >>> import fatelib, numpy as np
            >>> rng = np.random.default_rng(0)
            >>> Z = rng.normal(size=(60, 4))
            >>> y = Z[:, 0] + 0.1 * rng.normal(size=60)
            >>> report = fatelib.diagnose({"all": Z, "last": Z[:, 3:]}, y, control="last")
            >>> bool(report.credit(20).credit.item() > 10)
            True
        """
        if not self.control:
            raise ValueError("credit must have a control: diagnose(..., control=...)")
        n = self.samples if n is None else n
        check("n", n, *_SAMPLES)
        many = np.atleast_1d(np.asarray(n, float))
        others = [name for name in self.names if name != self.control]
        found = np.full((3, len(others), len(many)), np.nan)
        known = np.zeros(found.shape[1:], bool)
        for row, name in enumerate(others):
            for column, number in enumerate(many):
                *found[:, row, column], known[row, column] = self.ratio(self.control, name, number)
        labels = ("credit", "credit_low", "credit_high")
        columns = {
            label: (("features", "n"), values) for label, values in zip(labels, found, strict=True)
        }
        columns["identified"] = (("features", "n"), known)
        result = xr.Dataset(columns, coords={"features": others, "n": many})
        return result.isel(n=0) if np.ndim(n) == 0 else result

    def ratio(self, first: str, second: str, n: Any) -> Interval:
        """Return the error of one feature set over that of another.

        The interval is that of the difference on the same samples, narrower than two intervals.

        Args:
            first: The feature set above.
            second: That below.
            n: Number of samples, at least 2.

        Returns:
            The ratio, both at their own best ridge; where one of them is a bound only, so is the
            ratio, and its interval open on that side.

        Raises:
            ValueError: There is no such feature set, or `n` is below 2.

        Example:
            >>> import fatelib, numpy as np
            >>> rng = np.random.default_rng(0)
            >>> Z = rng.normal(size=(60, 4))
            >>> y = Z[:, 0] + 0.1 * rng.normal(size=60)
            >>> report = fatelib.diagnose({"all": Z, "last": Z[:, 3:]}, y, control="last")
            >>> report.ratio("last", "all", 20).low > 10
            True
        """
        n = check_number("n", n, *_SAMPLES)
        given = {"first": first, "second": second}
        names = [check_choice(argument, name, self.names) for argument, name in given.items()]
        above, below = (self.sets[name].path for name in names)
        return self._ratio(above, below, n)

    def _ratio(self, first: RidgePath, second: RidgePath, n: float | int) -> Interval:
        (above, one), (below, other) = first.best(n), second.best(n)
        found = interval(above / below)
        # Of a bound the ratio is one too.
        if not first.identified(int(one[0])):
            found = found._replace(low=0.0, identified=False)
        if not second.identified(int(other[0])):
            found = found._replace(high=np.inf, identified=False)
        return found

    @cached_property
    def crossings(self) -> pd.DataFrame:
        """Where the better of two changes, one line for each change.

        ``before`` and ``after`` are the better ones below and above ``n``, with its interval from
        ``n_low`` to ``n_high``. Two feature sets are compared within the numbers of samples of
        `curve`, where both errors are identified; a feature set and a contender by what contenders
        are measured in, and beyond the last point of the contender by a power law through its last
        three, which is a ``guess``.
        """
        lines = []
        numbers = self.curve.n.values
        ns = np.geomspace(numbers[0], numbers[-1], 8 * len(numbers))
        for first, second in combinations(self.names, 2):
            pair = self.sets[first].path, self.sets[second].path
            ratios = [self._ratio(*pair, n) for n in ns]
            with np.errstate(divide="ignore"):  # bounds begin at 0
                value, low, high = np.log([ratio[:3] for ratio in ratios]).T
            known = np.array([ratio.identified for ratio in ratios])
            for change in changes(ns, value, low, high):
                if known[change.at] and known[change.at + 1]:
                    lines.append((*change.order(first, second), *change.numbers, False))
        for contender, name in product(map(str, self.contenders.contender.values), self.names):
            last, ns, log, half = extended(self.contenders.sel(contender=contender), numbers)
            if not len(ns):
                continue
            found = [self._score(name, n) for n in ns]
            value, low, high = np.log(np.maximum([score[:3] for score in found], 1e-12)).T
            known = np.array([score.identified for score in found])
            off = value - log
            for change in changes(
                ns, off, off - np.hypot(value - low, half), off + np.hypot(high - value, half)
            ):
                # A bound below a contender is a probe below it, but not the other way.
                if change.rises and not known[change.at + 1]:
                    continue
                guess = change.numbers[0] > last
                lines.append((*change.order(name, contender), *change.numbers, guess))
        columns = ["before", "after", "n", "n_low", "n_high", "guess"]
        return pd.DataFrame(lines, columns=columns).sort_values("n", ignore_index=True)

    def samples_to(self, name: str, excess: Any = 0.1) -> Interval:
        """Return how many samples bring the error to within `excess` of the ceiling.

        Args:
            name: The feature set.
            excess: Share of the ceiling, above 0.

        Returns:
            The number of samples, with its interval; infinite where the ceiling is only bounded and
            the bound does not tell.

        Raises:
            ValueError: There is no such feature set, or `excess` is not above 0.

        Example:
            >>> import fatelib, numpy as np
            >>> rng = np.random.default_rng(0)
            >>> Z = rng.normal(size=(60, 4))
            >>> y = Z[:, 0] + 0.1 * rng.normal(size=60)
            >>> report = fatelib.diagnose(Z, y)
            >>> 40 < report.samples_to("features").value < 70
            True
        """
        path = self.sets[check_choice("name", name, self.names)].path
        excess = check_number("excess", excess, lambda x: (x > 0) & (x < np.inf), "a number > 0")
        if path.capped:
            return Interval(np.inf, 2.0, np.inf, False)
        goals = (1 + excess) * path.limit.min(axis=1)
        ns = np.geomspace(2, _FAR * self.samples, 400)
        errors = np.array([path.best(n)[0] for n in ns])
        numbers = []
        for column, goal in zip(errors.T, goals, strict=True):
            falling = -np.log(np.minimum.accumulate(column))
            numbers.append(np.interp(-np.log(goal), falling, np.log(ns), right=np.inf))
        return interval(np.exp(numbers))

    def spectrum(self, name: str) -> dict[str, Any]:
        """Return what `fatelib.theory.ridge_risk` takes, to go on by hand.

        A spectrum of non-negative numbers with the degrees of freedom and the errors that the
        samples show. Of features that hold an intercept apart, n - 1 samples count there.

        Args:
            name: The feature set.

        Returns:
            ``eigenvalues`` (k,) and ``coefficients2`` (k,) in the units of the features, and
            ``residual``, a number, with the variance of the noise in it.

        Raises:
            ValueError: There is no such feature set.

        Example:
            >>> import fatelib, numpy as np
            >>> rng = np.random.default_rng(0)
            >>> Z = rng.normal(size=(60, 4))
            >>> y = Z[:, 0] + 0.1 * rng.normal(size=60)
            >>> report = fatelib.diagnose(Z, y)
            >>> sorted(report.spectrum("features"))
            ['coefficients2', 'eigenvalues', 'residual']
        """
        found = self.sets[check_choice("name", name, self.names)]
        eigenvalues, coefficients2, residual = population(found.path)
        return {
            "eigenvalues": eigenvalues * found.unit**2,
            "coefficients2": coefficients2,
            "residual": residual,
        }

    def __str__(self) -> str:
        return words(self)

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the report as JSON holds them.

        Returns:
            ``samples``, ``classes``, ``control``, ``sets`` with the error at N, the ceiling and the
            number of samples within a tenth of it, ``credit``, ``crossings`` and ``warnings``;
            null for what is infinite or unknown.

        Example:
            >>> import fatelib, numpy as np
            >>> rng = np.random.default_rng(0)
            >>> report = fatelib.diagnose(rng.normal(size=(60, 4)), rng.normal(size=60))
            >>> report.summary()["samples"]
            60
        """
        sets = {}
        for name, found in self.sets.items():
            end = self.ceiling.sel(features=name)
            dimension = self.effective_dimension.sel(features=name)
            sets[name] = {
                "features": found.width,
                "effective_dimension": float(dimension),
                "error": self.error(name, self.samples)._asdict(),
                "ceiling": {str(column): end[column].item() for column in end},
                "samples_to_ceiling": self.samples_to(name)._asdict(),
                "warnings": list(found.warnings),
            }
            if self.classes:
                sets[name]["error_rate"] = self.error_rate(name, self.samples)._asdict()
            if self.control and name != self.control:
                sets[name]["credit"] = self.ratio(self.control, name, self.samples)._asdict()
        numbers = {"samples": self.samples, "classes": list(self.classes), "control": self.control}
        changes = self.crossings.to_dict("records")
        lists = {"sets": sets, "crossings": changes, "warnings": list(self.warnings)}
        whole: dict[str, Any] = plain({**numbers, **lists})
        return whole

    def plot(self, ax: Any = None) -> Any:
        """Draw the learning curves, `fatelib.plot.learning_curves`.

        Args:
            ax: Axes of matplotlib to draw into; by default those of a new figure.

        Returns:
            The axes.

        Raises:
            TypeError: `ax` is something else.

        Example:
            >>> import fatelib, numpy as np
            >>> rng = np.random.default_rng(0)
            >>> Z = rng.normal(size=(60, 4))
            >>> y = Z[:, 0] + 0.1 * rng.normal(size=60)
            >>> report = fatelib.diagnose(Z, y)
            >>> report.plot().get_xlabel()
            'number of labelled samples n'
        """
        from fatelib import plot

        return plot.learning_curves(self.curve, self.contenders, samples=self.samples, ax=ax)

    def explore(self) -> Any:
        """Return the learning curves as an interactive figure, `fatelib.widgets.explore`.

        Returns:
            The widget; it needs the extra ``fatelib[widgets]``.

        Example:
            >>> import fatelib, numpy as np
            >>> rng = np.random.default_rng(0)
            >>> Z = rng.normal(size=(60, 4))
            >>> y = Z[:, 0] + 0.1 * rng.normal(size=60)
            >>> report = fatelib.diagnose(Z, y)
            >>> type(report.explore()).__name__
            'Explorer'
        """
        from fatelib import widgets

        shown = "error_rate" if self.classes else "error"
        title = f"{shown.replace('_', ' ')} with n labels"
        return widgets.explore(self.curve[shown], x="n", lines="features", log=True, title=title)

    def save(self, path: Any) -> None:
        """Write the report, for `fatelib.probe.load`.

        Args:
            path: A directory that is not there yet, or empty; of zarr.

        Raises:
            TypeError: `path` is no path.
            ValueError: There is something.

        Example:
            >>> import fatelib, numpy as np
            >>> rng = np.random.default_rng(0)
            >>> Z = rng.normal(size=(60, 4))
            >>> y = Z[:, 0] + 0.1 * rng.normal(size=60)
            >>> report = fatelib.diagnose(Z, y)
            >>> import tempfile, fatelib.probe
            >>> with tempfile.TemporaryDirectory() as directory:
            ...     report.save(f"{directory}/report")
            ...     again = fatelib.probe.load(f"{directory}/report")
            >>> str(again) == str(report)
            True
        """
        target = local_directory("path", path)
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise ValueError(f"path must be new, or an empty directory; got {path}")
        for group, table in self._tables().items():
            table.to_zarr(target, group=group, mode="a", consolidated=False, zarr_format=2)

    def _tables(self) -> dict[str, xr.Dataset]:
        """Everything in the report, as tables by the names of their groups."""
        sets = {}
        for place, (name, found) in enumerate(self.sets.items()):
            columns = {row: (("replicate", "ridge"), getattr(found.path, row)) for row in ROWS}
            table = xr.Dataset(
                {
                    **columns,
                    "samples": ("replicate", found.path.samples),
                    "ns": ("n", found.ns),
                    "rates": (("replicate", "m"), found.rates),
                    "checks": (("check", "entry"), np.array(found.checks, float).reshape(-1, 4)),
                },
                coords={"ridge": found.path.grid},
                attrs={
                    "name": name,
                    "capped": int(found.path.capped),
                    "unit": found.unit,
                    "width": found.width,
                    "warnings": json.dumps(found.warnings),
                    "nothing": int(found.nothing),
                },
            )
            sets[f"sets/{place}"] = table
        # Names as text of JSON: zarr's own is not settled yet.
        words = {"classes": self.classes, "control": self.control, "warnings": self.warnings}
        words["contenders"] = self.contenders.contender.values.tolist()
        numbers = {"samples": self.samples, "noise": repr(self.noise), "spread": self.spread}
        top = {"report": json.dumps({**words, **numbers, "sets": len(self.sets)})}
        held = {"curve": self.curve.drop_vars("features").assign_attrs(top)}
        if self.contenders.contender.size:
            held["contenders"] = self.contenders.drop_vars("contender")
        return {**held, **sets}

    @property
    def _least(self) -> float:
        return self.noise if np.isfinite(self.noise) else 0.0

    def _best(self, path: RidgePath, n: float | int) -> Interval:
        return least_error(path, n, self._least)

    def _scores(self, name: str, n: float | int) -> np.ndarray:
        """What contenders are compared with: the error, of classes the error rate, (R,)."""
        found = self.sets[name]
        if not self.classes:
            return found.path.best(n)[0]
        ns = np.log(found.ns)
        at = {"left": np.nan, "right": np.nan}
        return np.array([np.interp(np.log(n), ns, rates, **at) for rates in found.rates])

    def _score(self, name: str, n: float | int) -> Interval:
        return self.error_rate(name, n) if self.classes else self.error(name, n)


def load(path: Any) -> Report:
    """Read a report that `Report.save` has written.

    Args:
        path: The directory, or that of the command ``fatelib diagnose``.

    Returns:
        The report.

    Raises:
        TypeError: `path` is no path.
        ValueError: There is no report.

    Example:
        >>> load("nowhere")
        Traceback (most recent call last):
        ValueError: path must hold a report of fatelib.diagnose; got nowhere
    """
    where = local_directory("path", path)
    if (where / "report.zarr").is_dir():  # what the command has written
        where = where / "report.zarr"

    def table(group: str) -> xr.Dataset:
        with xr.open_zarr(where, group=group, consolidated=False, chunks=None) as opened:
            return opened.load()

    try:
        curve = table("curve")
        words = json.loads(curve.attrs.pop("report"))
    except (KeyError, ValueError, FileNotFoundError) as error:
        raise ValueError(f"path must hold a report of fatelib.diagnose; got {path}") from error
    sets = {}
    for place in range(words["sets"]):
        held = table(f"sets/{place}")
        rows = {row: held[row].values for row in ROWS}
        capped = bool(held.attrs["capped"])
        checks = (Check(int(n), *others) for n, *others in held.checks.values.tolist())
        sets[held.attrs["name"]] = FeatureSet(
            RidgePath(held.samples.values, held.ridge.values, **rows, capped=capped),
            held.ns.values,
            held.rates.values,
            float(held.attrs["unit"]),
            int(held.attrs["width"]),
            (*checks,),
            (*json.loads(held.attrs["warnings"]),),
            bool(held.attrs["nothing"]),
        )
    contenders = read_measured(None)
    if words["contenders"]:
        contenders = table("contenders").assign_coords(contender=words["contenders"])
    return Report(
        curve=curve.assign_coords(features=[*sets]),
        contenders=contenders,
        classes=(*words["classes"],),
        samples=words["samples"],
        control=words["control"],
        noise=float(words["noise"]),
        spread=words["spread"],
        warnings=(*words["warnings"],),
        sets=sets,
    )
