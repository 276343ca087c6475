"""What is no probe: fitted to nested parts of the data, as no formula foresees its error."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
import xarray as xr
from tqdm.auto import tqdm

from fatelib.arguments import brief, check, real
from fatelib.probe.data import Target
from fatelib.sweep.store import local_directory

_FOLDS = 5
# Shares of the data set that contenders are fitted to.
_SHARES = (1 / 8, 1 / 4, 1 / 2, 0.8)
FitFunction = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], Any]]


def read_contenders(value: Any, classes: bool) -> dict[str, FitFunction]:
    """Read the contenders.

    Args:
        classes: Whether labels are classes.
        value: "mlp" for the default network, or a mapping of names to functions or to "mlp"; None
            for none.

    Returns:
        Functions ``fit(X, y)`` that return a function ``predict(X)``, by name.

    Raises:
        TypeError: One is something else.
        ImportError: "mlp" without optax.
    """
    if value is None:
        return {}
    if isinstance(value, str):
        value = {value: value}
    if not isinstance(value, Mapping):
        raise TypeError(f"contenders must be {{name: fit}} or 'mlp'; got {brief(value)}")
    found: dict[str, FitFunction] = {}
    for name, fit in value.items():
        if isinstance(fit, str) and fit == "mlp":
            if find_spec("optax") is None:
                raise ImportError("contenders='mlp' needs optax: pip install 'fatelib[examples]'")
            from fatelib.probe.mlp import fit_mlp

            fit = partial(fit_mlp, classes=classes)
        if not callable(fit):
            raise TypeError(
                f"contenders[{name!r}] must be a function fit(X, y) -> predict, or 'mlp'; "
                f"got {brief(fit)}"
            )
        found[str(name)] = fit
    return found


def measure(
    contenders: Mapping[str, FitFunction],
    inputs: np.ndarray,
    labels: np.ndarray,
    target: Target,
    draw: np.random.Generator,
    store: str | PathLike | None,
) -> xr.Dataset:
    """Fit every contender to nested parts of the data, and measure it on the rest, fold by fold.

    Args:
        contenders: From `read_contenders`.
        inputs: What they learn from, one entry of the first axis per sample.
        labels: Labels as the user gave them.
        target: The same as least squares learns them.
        draw: Deals the samples to folds; groups stay whole.
        store: A directory where finished fits are kept, and a later call finds them.

    Returns:
        ``n`` and ``error`` with ``error_low`` and ``error_high``, over ``contender`` and ``point``;
        error rates where labels are classes.
    """
    folds = list(_folds(target, draw))
    sizes = sorted({round(share * len(labels)) for share in _SHARES} - {0, 1})
    sizes = [size for size in sizes if size <= min(len(train) for train, _ in folds)]
    if not sizes:
        raise ValueError("groups must leave samples for contenders: one is nearly all")
    done = _Scores.open(store, inputs, labels, target, folds)
    errors = np.empty((len(contenders), len(sizes), _FOLDS))
    steps = tqdm(total=errors.size, desc="contenders", delay=2, leave=False, disable=None)
    for place, (name, fit) in enumerate(contenders.items()):
        for column, size in enumerate(sizes):
            for fold, (train, test) in enumerate(folds):
                entry = f"{name}/{size}/{fold}"
                if entry not in done.scores:
                    try:
                        predict = fit(inputs[train[:size]], labels[train[:size]])
                        error = _error(name, predict, inputs[test], labels[test], target)
                    except Exception as raised:
                        raised.add_note(f"in contenders[{name!r}], with {size} samples")
                        raise
                    done.keep(entry, error)
                errors[place, column, fold] = done.scores[entry]
                steps.update()
    steps.close()
    mean = errors.mean(axis=2)
    half = scipy.special.stdtrit(_FOLDS - 1, 0.975) * errors.std(axis=2, ddof=1) / np.sqrt(_FOLDS)
    numbers = np.broadcast_to(np.array(sizes, float), mean.shape)
    return points(list(contenders), numbers, mean, np.maximum(mean - half, 0), mean + half)


def read_measured(value: Any) -> xr.Dataset:
    """Read errors that the user has measured.

    Args:
        value: A mapping of names to numbers of samples and the errors at these; None for none.

    Returns:
        As `measure`, without intervals.

    Raises:
        TypeError: It is something else, or the numbers are none.
        ValueError: Numbers of samples are below 1 or errors negative, or they differ in number.
    """
    if value is None:
        empty = np.empty((0, 0))
        return points([], empty, empty, empty, empty)
    if not isinstance(value, Mapping):
        raise TypeError(f"measured must be {{name: (ns, errors)}}; got {brief(value)}")
    rows = []
    for name, pair in value.items():
        try:
            ns, errors = pair
        except (TypeError, ValueError):
            raise TypeError(f"measured[{name!r}] must be (ns, errors); got {brief(pair)}") from None
        ns, errors = (
            np.atleast_1d(np.asarray(real(f"measured[{name!r}]", part), float))
            for part in (ns, errors)
        )
        check(f"measured[{name!r}]: ns", ns, lambda n: (n >= 2) & (n < np.inf), "numbers >= 2")
        check(
            f"measured[{name!r}]: errors", errors, lambda e: (e >= 0) & (e < np.inf), "numbers >= 0"
        )
        if ns.shape != errors.shape or ns.ndim != 1:
            raise ValueError(
                f"measured[{name!r}] must be as many errors as ns; got {errors.shape} for "
                f"{ns.shape}"
            )
        order = np.unique(ns)
        rows.append((order, np.array([errors[ns == n].mean() for n in order])))
    longest = max((len(ns) for ns, _ in rows), default=0)
    table = np.full((2, len(rows), longest), np.nan)
    for place, row in enumerate(rows):
        table[:, place, : len(row[0])] = row
    unknown = np.full(table[0].shape, np.nan)
    return points([str(name) for name in value], table[0], table[1], unknown, unknown)


def points(
    names: list[str], n: np.ndarray, error: np.ndarray, low: np.ndarray, high: np.ndarray
) -> xr.Dataset:
    """Label the points of contenders."""
    columns = {"n": n, "error": error, "error_low": low, "error_high": high}
    return xr.Dataset(
        {name: (("contender", "point"), values) for name, values in columns.items()},
        coords={"contender": np.array(names, dtype=object if not names else None)},
    )


def _folds(target: Target, draw: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the samples for training, in random order, and those for the test."""
    groups = target.groups or [np.array([sample]) for sample in range(len(target.values))]
    order = draw.permutation(len(groups))
    if target.labels is not None and not target.groups:
        order = order[np.argsort(target.labels[order], kind="stable")]
    parts = [
        np.concatenate([groups[group] for group in order[start::_FOLDS]]) for start in range(_FOLDS)
    ]
    for fold, test in enumerate(parts):
        train = np.concatenate(parts[:fold] + parts[fold + 1 :])
        if target.labels is not None and not target.groups:
            yield _evenly(target.labels, draw.permutation(train)), test
        else:
            yield draw.permutation(train), test


def _evenly(labels: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Reorder samples so that every beginning has its share of each class."""
    place = np.empty(len(order))
    for label in np.unique(labels[order]):
        members = np.flatnonzero(labels[order] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(place, kind="stable")]


def _error(
    name: str, predict: Any, inputs: np.ndarray, labels: np.ndarray, target: Target
) -> float:
    if not callable(predict):
        raise TypeError(
            f"contenders[{name!r}] must return a function predict(X); got {brief(predict)}"
        )
    outputs = np.asarray(predict(inputs))
    if outputs.shape == (*labels.shape, 1):
        outputs = outputs[..., 0]
    if outputs.shape != labels.shape:
        raise ValueError(
            f"contenders[{name!r}] must predict {labels.shape}, as y is given; got {outputs.shape}"
        )
    if target.labels is not None:
        unknown = outputs[~np.isin(outputs, labels)]
        if len(unknown):
            raise ValueError(
                f"contenders[{name!r}] must predict labels such as {labels[0]!r}; "
                f"got {unknown[0]!r}"
            )
        return float(np.mean(outputs != labels))
    errors = (outputs.astype(float) - labels) ** 2
    if not np.isfinite(errors).all():
        raise ValueError(f"contenders[{name!r}] predicts numbers that are not finite")
    return float(errors.sum() / len(errors))


class _Scores:
    """Finished fits, on disk where the user names a store."""

    def __init__(self, path: Path | None, print_: str, scores: dict[str, float]):
        self.path, self.print_, self.scores = path, print_, scores

    @classmethod
    def open(
        cls,
        store: str | PathLike | None,
        inputs: np.ndarray,
        labels: np.ndarray,
        target: Target,
        folds: list,
    ) -> "_Scores":
        """Take the fits to the same data from a file, if it is there."""
        kinds = [(str(array.dtype), array.shape) for array in (inputs, labels)]
        digest = hashlib.sha256(repr([kinds, bool(target.classes)]).encode())
        for array in (inputs, labels, *(part for fold in folds for part in fold)):
            text = array.dtype.kind == "O"
            digest.update(
                repr(array.tolist()).encode() if text else np.ascontiguousarray(array).tobytes()
            )
        if store is None:
            return cls(None, "", {})
        path = local_directory("store", store) / "contenders.json"
        if not path.exists():
            return cls(path, digest.hexdigest(), {})
        held = json.loads(path.read_text(encoding="utf-8"))
        if held.get("data") != digest.hexdigest():
            raise ValueError(f"store {store} holds contenders of other data: name another one")
        return cls(path, digest.hexdigest(), held["errors"])

    def keep(self, entry: str, error: float) -> None:
        """Add a finished fit."""
        self.scores[entry] = error
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_name(self.path.name + ".part")
            fresh.write_text(
                json.dumps({"data": self.print_, "errors": self.scores}), encoding="utf-8"
            )
            fresh.replace(self.path)
