"""From features and labels to a report."""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import jax
import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from fatelib.arguments import AT_LEAST_0, brief, check, check_flag, check_key, real
from fatelib.probe.audit import check_itself, doubts, learns
from fatelib.probe.contenders import measure, read_contenders, read_measured
from fatelib.probe.data import (
    Scale,
    Target,
    read_array,
    read_feature_sets,
    read_features,
    read_target,
    rounded,
)
from fatelib.probe.estimate import Estimate, blocks, estimate, least_error, least_rate
from fatelib.probe.report import FeatureSet, Report
from fatelib.probe.words import shown
from fatelib.sweep.store import local_directory

__all__ = ["diagnose"]

# Numbers of samples of the curve: so many to a factor of ten, from the first to so many times N.
_PER_DECADE, _FIRST, _BEYOND = 10, 5, 16
# Below so many samples, and so many samples of a class, intervals are rough.
_FEW, _FEW_OF_A_CLASS, _FEW_GROUPS, _LARGE_GROUP = 30, 5, 10, 0.25


def diagnose(
    features: Any,
    y: Any,
    *,
    control: Any = None,
    task: str = "auto",
    inputs: Any = None,
    contenders: Any = None,
    measured: Any = None,
    unlabelled: Any = None,
    groups: Any = None,
    noise: Any = None,
    ns: Any = None,
    standardize: bool = False,
    store: str | PathLike | None = None,
    key: Any = None,
) -> Report:
    r"""Say from N labelled samples what features are worth, at any number of samples.

    The error of ridge regression on the features (a linear probe with an intercept) is estimated at
    every number n of samples and at every ridge, from one decomposition of the N samples: their
    leave-one-out errors at one ridge are the errors at another n,

    .. math::

        \text{error}(n, \kappa) = B(\kappa) \, \frac{n}{n - 1 - d_2(\kappa)} ,

    with the effective ridge :math:`\kappa`, the squared bias, residual and noise B together, and
    the degrees of freedom :math:`d_2`. Of n beyond N it tells as long as the best ridge is one that
    the N samples show; where they do not, it gives a bound. Classes are learned by least squares
    too, and their error rates follow from the distribution of the left-out scores. Intervals come
    from replicates without one of twenty blocks of samples.

    Args:
        features: Features of N samples, (N, p) with N at least 10, as a table of numbers in any
            form (an array, list, data frame, sparse matrix or tensor); or several feature sets of
            the same samples as a mapping from names to such tables.
        y: A label for each sample: numbers, several columns of numbers (errors add up), or classes
            in words, booleans or numbers.
        control: What credit is measured against: the name of one of the feature sets, one more
            table of features, or "random" for features of a network with random weights that is
            made here of `inputs`. An untrained copy of the network is the best control.
        task: "classification", "regression" or "auto", for which text, booleans and two different
            values are classes and other numbers are numbers.
        inputs: What the network saw, N entries along the first axis; `contenders` learn from it.
        contenders: What may beat a probe and no formula foresees: functions ``fit(X, y)`` that
            return ``predict(X)``, by name, or "mlp" for a small network trained anew (with the
            extra ``fatelib[examples]``). They are fitted to parts of the data.
        measured: Errors that you have measured yourself, as a mapping from names to (numbers of
            samples, errors); error rates where `y` are classes.
        unlabelled: Features of more samples without labels, a table or a mapping like `features`;
            they tell the degrees of freedom of their feature set more sharply.
        groups: The group of each sample; groups are left out and divided as a whole. Give it where
            samples belong together: patients, videos, near copies.
        noise: Standard deviation of the label noise, or repeated labels (N, r), with NaN where
            there is none, whose mean is `y`.
        ns: Numbers of samples of the curve; by default from 5 to 16 N.
        standardize: Divide each feature by its own standard deviation; ridges then are those of
            the divided features.
        store: A directory that keeps finished fits of contenders, for a call that was interrupted;
            a contender is known there by its name.
        key: A JAX random key; it decides which samples are left out together. A fixed one by
            default.

    Returns:
        The report: ``print(report)``, ``report.plot()``, and numbers to ask for.

    Raises:
        TypeError: Features are not real numbers, or labels neither numbers nor text.
        ValueError: Numbers of samples differ, there are fewer than 10, an entry is not finite, all
            labels are the same, or an argument has no effect.
        ImportError: "mlp" without its packages.

    Source:
        Effective ridge and degrees of freedom as in Simon et al. (2023) and Loureiro et al. (2021);
        leave-one-out errors as estimates of them, Patil et al. (2021) and Wei et al. (2022).

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> features = rng.normal(size=(200, 20))
        >>> y = features[:, 0] + 0.5 * rng.normal(size=200)
        >>> report = diagnose(features, y)
        >>> bool(report.error("features", 1000).low < 0.27 < report.error("features", 1000).high)
        True
    """
    if key is not None:
        check_key("key", key)
    standardize = check_flag("standardize", standardize)
    sets = read_feature_sets("features", features)
    N = len(next(iter(sets.values())))
    target = read_target(y, task, N, groups)
    draw = _generator(key)
    raw = _read_inputs(inputs, N)
    sets, reference = _with_control(sets, control, raw, draw)
    others = _read_unlabelled(unlabelled, sets)
    fits = read_contenders(contenders, bool(target.classes))
    if fits and raw is None:
        raise ValueError("contenders must have inputs= to learn from")
    if raw is not None and not fits and not _is_random(control):
        raise ValueError("inputs must have contenders=, or control='random', to have an effect")
    if store is not None:
        if local_directory("store", store).is_file():
            raise ValueError(f"store must be a directory; got the file {store}")
        if not fits:
            raise ValueError("store must have contenders=, whose fits it keeps")
    table = read_measured(measured)
    _check_names([*sets, *fits, *map(str, table.contender.values)])
    variance = _read_noise(noise, target)
    numbers = _numbers(ns, N)
    # Rates are wanted at others too, between which they are interpolated.
    many = np.union1d(_numbers(None, N), [*numbers, *shown(N)])
    scales = {name: Scale.of(name, Z, standardize) for name, Z in sets.items()}

    parts = blocks(target, draw)
    seed = int(draw.integers(2**31))
    steps = tqdm(
        total=len(sets) * (1 + len(parts)), desc="diagnose", delay=2, leave=False, disable=None
    )
    found: dict[str, tuple[Estimate, FeatureSet]] = {}
    for name, Z in sets.items():
        scale = scales[name]
        more = others.get(name)
        got = estimate(
            scale.apply(Z),
            target,
            many,
            parts,
            None if more is None else scale.apply(more),
            steps.update,
        )
        # The same draws for every feature set.
        audit = np.random.default_rng(seed)
        checks = check_itself(got, target, audit)
        warnings = doubts(got, target, checks, audit)
        nothing = not learns(got, target, audit)
        if rounded(Z):
            warnings.append(
                "samples differ by hardly more than their numbers are rounded: take the mean off "
                "before they are stored, or store more digits"
            )
        if nothing:
            warnings.append("labels in random order are learned as well: it tells nothing of them")
        unit = 1.0 if standardize else float(scale.unit)
        found[name] = (
            got,
            FeatureSet(
                got.path, many, got.rates, unit, Z.shape[1], (*checks,), (*warnings,), nothing
            ),
        )
    steps.close()
    if fits and raw is not None:
        trained = measure(fits, raw, _as_given(y, target), target, draw, store)
        table = _joined(trained, table)
    report = Report(
        curve=_curve(found, numbers, variance, N, bool(target.classes)),
        contenders=table,
        classes=target.classes,
        samples=N,
        control=reference,
        noise=variance,
        spread=float(target.values.var(axis=0).sum()),
        warnings=_warnings(target, task),
        sets={name: features for name, (_, features) in found.items()},
    )
    if variance > max(report.error(name, N).high for name in report.names):
        doubt = f"the noise that was given, {variance:.3g}, is larger than the errors"
        report = replace(report, warnings=(*report.warnings, doubt))
    return report


def _check_names(names: list[str]) -> None:
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        raise ValueError(
            f"features, contenders and measured must have names of their own; got {repeated[0]!r} "
            "twice"
        )


def _joined(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """Both contenders, the shorter row of points filled up."""
    if not second.contender.size:
        return first
    points = max(first.sizes["point"], second.sizes["point"])
    padded = (table.pad(point=(0, points - table.sizes["point"])) for table in (first, second))
    return xr.concat([*padded], "contender")


def _generator(key: Any) -> np.random.Generator:
    """NumPy's generator for a key of JAX."""
    if key is None:
        return np.random.default_rng(0)
    typed = jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key)
    return np.random.default_rng(np.asarray(jax.random.key_data(key) if typed else key).tolist())


def _as_given(y: Any, target: Target) -> np.ndarray:
    """The labels for contenders: classes as they are, numbers in float64."""
    if target.labels is None:
        return target.values[:, 0] if target.values.shape[1] == 1 else target.values
    return read_array("y", y).reshape(len(target.labels))


def _read_inputs(inputs: Any, samples: int) -> np.ndarray | None:
    if inputs is None:
        return None
    given = read_array("inputs", inputs)
    if given.ndim == 0 or len(given) != samples:
        raise ValueError(f"inputs must be one for each of {samples} samples; got {given.shape}")
    return given


def _is_random(control: Any) -> bool:
    return isinstance(control, str) and control == "random"


def _with_control(
    sets: dict[str, np.ndarray], control: Any, inputs: np.ndarray | None, draw: np.random.Generator
) -> tuple[dict[str, np.ndarray], str]:
    """Add the control to the feature sets; return its name, "" without one."""
    if control is None:
        return sets, ""
    if isinstance(control, str):
        if control == "random" and control in sets and inputs is not None:
            raise ValueError("control must not be 'random' beside a feature set of this name")
        if control in sets:
            if len(sets) == 1:
                raise ValueError(
                    f"control must be another feature set than the only one, {control!r}"
                )
            return sets, control
        if control != "random":
            raise ValueError(
                f"control must be a feature set or 'random'; got {control!r}, and sets {[*sets]}"
            )
        if inputs is None:
            raise ValueError("control='random' must have inputs= to make features of")
        X = read_features("inputs", inputs.reshape(len(inputs), -1))
        X = Scale.of("inputs", X, standardize=False).apply(X)
        width = max(Z.shape[1] for Z in sets.values())
        W = draw.normal(size=(X.shape[1], width)) / np.sqrt((X**2).sum(axis=1).mean())
        return {**sets, "random": np.maximum(X @ W, 0.0)}, "random"
    if "control" in sets:
        raise ValueError("control must be a name: there is a feature set that is called 'control'")
    Z = read_features("control", control)
    if len(Z) != len(next(iter(sets.values()))):
        raise ValueError(
            f"control must be of the same samples as features; got {len(Z)} rows for "
            f"{len(next(iter(sets.values())))}"
        )
    return {**sets, "control": Z}, "control"


def _read_unlabelled(value: Any, sets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or hasattr(value, "to_numpy"):
        if len(sets) > 1:
            raise ValueError(f"unlabelled must be a mapping for several feature sets, {[*sets]}")
        value = {next(iter(sets)): value}
    found = {}
    for name, Z in value.items():
        if name not in sets:
            raise ValueError(f"unlabelled must be of {[*sets]}; got {brief(name)}")
        found[name] = read_features(f"unlabelled[{name!r}]", Z)
        if found[name].shape[1] != sets[name].shape[1]:
            raise ValueError(
                f"unlabelled[{name!r}] must have {sets[name].shape[1]} columns, as the feature "
                f"set; got {found[name].shape}"
            )
    return found


def _read_noise(noise: Any, target: Target) -> float:
    """The variance of the noise, summed over outputs; NaN where it is unknown."""
    if noise is None:
        return np.nan
    if target.labels is not None:
        raise ValueError("noise must be None for classes: it is that of numbers")
    given = np.asarray(real("noise", noise), float)
    if given.ndim == 0:
        check("noise", given, *AT_LEAST_0)
        return float(given**2) * target.values.shape[1]
    if given.ndim != 2 or len(given) != len(target.values) or target.values.shape[1] > 1:
        raise ValueError(
            f"noise must be one number, or ({len(target.values)}, r) repeated labels of one "
            f"output; got {given.shape}"
        )
    counts = np.isfinite(given).sum(axis=1)
    if not (counts > 1).any():
        raise ValueError("noise must have at least two labels of one sample")
    mean = np.nanmean(given[counts > 0], axis=1)
    y = target.values[counts > 0, 0]
    if not np.allclose(mean, y, rtol=0.01, atol=0.01 * y.std()):
        raise ValueError("noise must be repeated labels whose mean is y")
    # One variance for all labels, and the mean of those of a sample has its share of it.
    free = counts[counts > 1] - 1
    variance = (free * np.nanvar(given[counts > 1], axis=1, ddof=1)).sum() / free.sum()
    return float(variance * np.mean(1 / counts[counts > 0]))


def _numbers(ns: Any, samples: int) -> np.ndarray:
    """The numbers of samples of the curve; N is among those by default."""
    if ns is None:
        decades = np.log10(_BEYOND * samples / _FIRST)
        even = np.geomspace(_FIRST, _BEYOND * samples, 1 + round(_PER_DECADE * decades))
        return np.unique([*np.round(even), samples]).astype(float)
    given = np.atleast_1d(np.asarray(real("ns", ns), float))
    check("ns", given, lambda n: (n >= 2) & (n < np.inf), "numbers >= 2")
    if given.ndim != 1 or not given.size:
        raise ValueError(f"ns must be one or several numbers; got shape {given.shape}")
    return np.unique(given)


def _curve(
    found: Mapping[str, tuple[Estimate, FeatureSet]],
    ns: np.ndarray,
    noise: float,
    samples: int,
    classes: bool,
) -> xr.Dataset:
    least = noise if np.isfinite(noise) else 0.0
    columns: dict[str, list[list[float]]] = {}
    for got, features in found.values():
        rows = []
        for n in ns:
            place = int(np.flatnonzero(got.ns == n)[0])
            index = int(got.path.best(n)[1][0])
            error = least_error(got.path, n, least)
            row = {
                "error": error.value,
                "error_low": error.low,
                "error_high": error.high,
                "ridge": got.path.ridge(n, index) * features.unit**2,
                "identified": error.identified,
            }
            if classes:
                rate = least_rate(got.ns, got.rates, n, samples, error.identified)
                row |= {"error_rate": rate.value, "error_rate_low": rate.low}
                row |= {"error_rate_high": rate.high, "lowest_error_rate": got.lowest_rates[place]}
            rows.append(row)
        for name in rows[0]:
            columns.setdefault(name, []).append([row[name] for row in rows])
    return xr.Dataset(
        {name: (("features", "n"), np.array(values)) for name, values in columns.items()},
        coords={"features": [*found], "n": ns},
    )


def _warnings(target: Target, task: str) -> tuple[str, ...]:
    """What to mistrust whatever the features are."""
    words = []
    values = target.values[:, 0]
    kinds = len(np.unique(values)) if np.array_equal(values, np.round(values)) else len(values)
    if task == "auto" and target.labels is None and kinds <= min(20, len(values) // 4):
        words.append(
            f"labels are {kinds} whole numbers, taken as numbers: task='classification' takes them "
            "as classes"
        )
    if len(target.values) < _FEW:
        words.append(f"{len(target.values)} samples are few: intervals are rough below {_FEW}")
    if target.labels is not None:
        counts = np.bincount(target.labels)
        rare = [
            f"{name} ({n})"
            for name, n in zip(target.classes, counts, strict=True)
            if n < _FEW_OF_A_CLASS
        ]
        if rare:
            words.append(f"classes with a handful of samples: {', '.join(rare)}")
    if target.groups is not None:
        if len(target.groups) < _FEW_GROUPS:
            words.append(f"{len(target.groups)} groups are few: intervals are rough")
        largest = max(map(len, target.groups)) / len(target.values)
        if largest > _LARGE_GROUP:
            words.append(f"one group has {largest:.0%} of the samples: intervals are rough")
    return tuple(words)
