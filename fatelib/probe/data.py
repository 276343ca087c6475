"""What a user brings: features of any kind, labels of any kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from fatelib.arguments import brief, check_choice, real

TASKS = ("auto", "regression", "classification")
LEAST = 10  # samples
LEAST_GROUPS = 5
# Classes: the noise of each is a matrix of their number.
MOST_CLASSES = 100
# What is squared and summed stays far within float64.
_SMALLEST, _LARGEST = 1e-100, 1e100
# Features that vary by fewer steps of their rounding than this have lost something.
_STEPS = 4


@dataclass(frozen=True)
class Target:
    """Labels as least squares learns them.

    Attributes:
        values: Targets, one column per output; two classes are -1 and 1, more have one column each.
        labels: The class of each sample as a number, (N,); None for regression.
        classes: What the user calls the classes.
        groups: Indices of the samples of each group; None where every sample is its own.
        places: Where the samples stood among all that were given, and how many these were; so that
            what is drawn at random for a sample is the same in every part.
    """

    values: Float[np.ndarray, "N q"]
    labels: Int[np.ndarray, " N"] | None = None
    classes: tuple[str, ...] = ()
    groups: list[np.ndarray] | None = None
    places: tuple[Int[np.ndarray, " N"], int] | None = None

    def drawn(self, draw: Callable[[int], np.ndarray]) -> np.ndarray:
        """Return random numbers that belong to the samples.

        Args:
            draw: Draws them for a number of samples, which are the first axis.

        Returns:
            Those of these samples.
        """
        if self.places is None:
            return draw(len(self.values))
        places, whole = self.places
        return draw(whole)[places]

    def take(self, kept: Int[np.ndarray, " n"]) -> "Target":
        """Return some of the samples; of a group none or all are kept.

        Args:
            kept: Their indices, ascending.

        Returns:
            The labels of these.
        """
        groups = None
        if self.groups is not None:
            there = np.zeros(len(self.values), bool)
            there[kept] = True
            place = np.cumsum(there) - 1
            groups = [place[group] for group in self.groups if there[group[0]]]
        labels = None if self.labels is None else self.labels[kept]
        places, whole = self.places or (np.arange(len(self.values)), len(self.values))
        return Target(self.values[kept], labels, self.classes, groups, (places[kept], whole))


def read_features(name: str, value: Any) -> Float[np.ndarray, "N p"]:
    """Read one feature set.

    Args:
        name: What messages call it.
        value: A table of real numbers, one row per sample: whatever `fatelib.arguments.real` reads,
            and the sparse matrices of SciPy. One number per sample may come without an axis.

    Returns:
        The features in float64.

    Raises:
        TypeError: They are not real numbers.
        ValueError: They have another number of axes, no columns, or an entry is not finite.
    """
    if hasattr(value, "toarray"):  # sparse
        value = value.toarray()
    Z = np.asarray(real(name, value)).astype(float)
    if Z.ndim == 1:
        Z = Z[:, None]
    if Z.ndim > 2:
        raise ValueError(
            f"{name} must be (N, p), one row per sample; got {Z.shape}: flatten what is beyond the "
            "first axis, or average over it"
        )
    if Z.ndim != 2 or not Z.shape[1]:
        raise ValueError(f"{name} must be (N, p), one row per sample; got {Z.shape}")
    bad = ~np.isfinite(Z).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} must be finite; got {Z[bad][0][~np.isfinite(Z[bad][0])][0]} in row "
            f"{int(bad.argmax())} and {int(bad.sum())} rows in all"
        )
    _check_size(name, Z)
    return Z


def read_feature_sets(name: str, value: Any) -> dict[str, Float[np.ndarray, "N p"]]:
    """Read one or several feature sets of the same samples.

    Args:
        name: What messages call them; also the name of a set that comes alone.
        value: As `read_features`, or a mapping of names to such.

    Returns:
        The sets by name.

    Raises:
        TypeError: A set is not real numbers, or a name is not text.
        ValueError: As `read_features`, or sets differ in their number of samples.
    """
    if not isinstance(value, Mapping) or hasattr(value, "to_numpy"):
        return {name: read_features(name, value)}
    if not value:
        raise ValueError(f"{name} must have at least one feature set; got {{}}")
    for key in value:
        if not isinstance(key, str) or not key.strip():
            raise TypeError(f"{name} must have names that are text; got {brief(key)}")
    sets = {str(key): read_features(f"{name}[{key!r}]", Z) for key, Z in value.items()}
    rows = {key: len(Z) for key, Z in sets.items()}
    if len({*rows.values()}) > 1:
        raise ValueError(f"{name} must be of the same samples; got rows {rows}")
    return sets


def read_target(y: Any, task: str, samples: int, groups: Any = None) -> Target:
    """Read the labels.

    Args:
        y: One label per sample: numbers, several columns of numbers, booleans or text.
        task: "classification", "regression", or "auto", which takes text, booleans and two
            different values for classes and other numbers for numbers.
        samples: How many there must be.
        groups: The group of each sample, numbers or text; None where there are no groups.

    Returns:
        The labels.

    Raises:
        TypeError: They are neither numbers nor text.
        ValueError: There are too few or too many, all are the same, one is missing, there are more
            classes than half the samples, or there is one group only.
    """
    check_choice("task", task, TASKS)
    given = y.to_numpy() if hasattr(y, "to_numpy") else y
    if str(getattr(y, "dtype", "")) == "category" and task == "auto":
        task = "classification"
    words = read_array("y", given) if isinstance(given, np.ndarray | Sequence) else given
    if isinstance(words, np.ndarray) and words.dtype.kind in "USO" and _is_text(words):
        if words.dtype.kind == "S":
            words = np.char.decode(words, "utf-8", "replace")
        values = words.astype(str)
        if task == "regression":
            raise TypeError(f"y must be numbers for task='regression'; got {brief(y)}")
        task = "classification"
    else:
        values = np.asarray(real("y", given, "numbers, booleans or text"))
        if values.dtype.kind not in "biu":
            values = values.astype(float)
            if not np.isfinite(values).all():
                raise ValueError(f"y must be finite; got {values[~np.isfinite(values)][0]}")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or len(values) != samples:
        raise ValueError(
            f"y must have a label for each of {samples} rows of features; got {values.shape}"
        )
    if samples < LEAST:
        raise ValueError(f"at least {LEAST} labelled samples are needed; got {samples}")
    members = None if groups is None else _read_groups(groups, samples)
    if values.dtype.kind in "biuf":
        _check_size("y", values.astype(float))
    if values.ndim == 2:
        if task == "classification":
            raise ValueError(
                f"y must be one label per sample for task='classification'; got {values.shape} "
                "(of indicator columns give y.argmax(axis=1))"
            )
        if (np.ptp(values.astype(float), axis=0) == 0).all():
            raise ValueError("y must differ between samples; all are the same")
        return Target(values.astype(float), groups=members)
    classes, labels, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(classes) == 1:
        raise ValueError(f"y must have at least two different labels; all are {classes[0]}")
    if task == "auto" and (values.dtype.kind == "b" or len(classes) == 2):
        task = "classification"
    if task != "classification":
        return Target(values.astype(float)[:, None], groups=members)
    if len(classes) > samples // 2:
        raise ValueError(
            f"y must have several samples of a class; got {len(classes)} classes of {samples} "
            f"samples, {int((counts == 1).sum())} of them with one (numbers: task='regression')"
        )
    if len(classes) > MOST_CLASSES:
        raise ValueError(f"y must have at most {MOST_CLASSES} classes; got {len(classes)}")
    names = tuple(f"{label:g}" if classes.dtype.kind == "f" else str(label) for label in classes)
    return Target(one_hot(labels, len(classes)), labels, names, members)


def _check_size(name: str, values: np.ndarray) -> None:
    """Raise where squares would underflow or overflow."""
    if not len(values):
        return
    size = np.abs(values - values.mean(axis=0)).max(initial=0.0)
    if np.abs(values).max(initial=0.0) > _LARGEST or 0 < size < _SMALLEST:
        raise ValueError(
            f"{name} must be numbers between {_SMALLEST:g} and {_LARGEST:g} in size; got "
            f"{np.abs(values).max():.3g}: divide by a number first"
        )


def read_array(name: str, value: Any) -> np.ndarray:
    """Read an array of anything.

    Args:
        name: What messages call it.
        value: An array, list, data frame or tensor.

    Returns:
        The array.

    Raises:
        ValueError: It is no table: rows differ in length.
    """
    try:
        return np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name} must be an array; got {brief(value)}: {error}") from None


def _is_text(values: np.ndarray) -> bool:
    """Whether labels are words; refuse those that are words in part."""
    if values.dtype.kind in "US":
        return True
    words = np.array([isinstance(value, str) for value in values.ravel()])
    if words.any() and not words.all():
        odd = values.ravel()[~words][0]
        raise TypeError(f"y must be all text or all numbers; got {odd!r} among text")
    return bool(words.all())


def _read_groups(groups: Any, samples: int) -> list[np.ndarray]:
    given = read_array("groups", groups)
    if given.shape != (samples,):
        raise ValueError(f"groups must be one for each of {samples} samples; got {given.shape}")
    _, numbers = np.unique(given.astype(str), return_inverse=True)
    if numbers.max() + 1 < LEAST_GROUPS:
        raise ValueError(f"groups must be at least {LEAST_GROUPS}; got {numbers.max() + 1}")
    return [np.flatnonzero(numbers == group) for group in range(numbers.max() + 1)]


def one_hot(labels: Int[np.ndarray, " N"], classes: int) -> Float[np.ndarray, "N q"]:
    """Return the targets of least squares: a column of -1 and 1 for two classes, else one each."""
    if classes == 2:
        return 2.0 * labels[:, None] - 1
    return np.eye(classes)[labels]


def rounded(Z: Float[np.ndarray, "N p"]) -> bool:
    """Return whether features differ between samples by hardly more than they were rounded.

    Of each column that is no whole numbers: whether float32, float16 or bfloat16 holds it exactly,
    and its deviation is below four steps of the coarsest that does. (Rounding to steps of size one
    adds a variance of 1/12.) Then of most columns.
    """
    with np.errstate(over="ignore"):
        single, half = Z.astype(np.float32), Z.astype(np.float16)
    step = np.spacing(np.abs(single).max(axis=0)).astype(float)
    exact = (single == Z).all(axis=0)
    coarse = ((single.view(np.uint32) & 0xFFFF) == 0).all(axis=0)
    # Their significands have 23, 10 and 7 bits.
    step *= np.where(coarse, 2.0**16, np.where((half == Z).all(axis=0), 2.0**13, 1.0))
    asked = (np.ptp(Z, axis=0) > 0) & (np.round(Z) != Z).any(axis=0)
    lost = exact & (Z.std(axis=0) < _STEPS * step)
    return bool(asked.any() and lost[asked].mean() > 0.5)


@dataclass(frozen=True)
class Scale:
    """How features are brought to size one; it changes no prediction but for `standardize`.

    Attributes:
        kept: Columns that vary, (p,).
        mean: What is taken off these.
        unit: What these are divided by: one number, or one for each column.
    """

    kept: np.ndarray
    mean: np.ndarray
    unit: np.ndarray

    @classmethod
    def of(cls, name: str, Z: Float[np.ndarray, "N p"], standardize: bool) -> "Scale":
        """Measure it.

        Args:
            name: What messages call the features.
            Z: Features.
            standardize: Divide each column by its own standard deviation.

        Returns:
            The scale.

        Raises:
            ValueError: All columns are constant.
        """
        mean = Z.mean(axis=0)
        spread = np.abs(Z - mean).max(axis=0)
        kept = spread > 1e-13 * np.abs(mean)  # the rest is the rounding of constants
        if not kept.any():
            raise ValueError(
                f"{name}: all columns are constant, which tells no sample from another"
            )
        spread = spread[kept]
        unit = np.array(spread.max())
        if standardize:
            unit = spread * ((Z[:, kept] - mean[kept]) / spread).std(axis=0)
        return cls(kept, mean[kept], unit)

    def apply(self, Z: Float[np.ndarray, "N p"]) -> Float[np.ndarray, "N k"]:
        """Return features in this scale."""
        return (Z[:, self.kept] - self.mean) / self.unit
