"""Features and labels from files: .npz, .npy, .csv, .tsv and .parquet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

KINDS = (".npz", ".npy", ".csv", ".tsv", ".parquet")


class Tables(NamedTuple):
    """What files held.

    Attributes:
        features: Feature sets by name.
        labels: One label for each sample.
        groups: The group of each sample; None without groups.
        inputs: What the network saw; None without inputs.
    """

    features: dict[str, np.ndarray]
    labels: np.ndarray
    groups: np.ndarray | None
    inputs: np.ndarray | None


def read_tables(
    files: Sequence[str], labels: str, groups: str | None, inputs: str | None = None
) -> Tables:
    """Read feature sets, and the labels beside them.

    Args:
        files: Files of features: each array of an .npz is a feature set by its own name, any other
            file one by the name of the file, of a table all columns of numbers.
        labels: An array of these files or a column of these tables; or another file of one column.
        groups: Likewise, or None.
        inputs: An array, table or column of these files, or another file with any number of
            columns; or None. They stay among the features.

    Returns:
        What they hold.

    Raises:
        FileNotFoundError: A file is not there.
        ValueError: A file is of another kind, two feature sets have one name, a column is text, or
            there is nothing by the name of the labels.
    """
    arrays: dict[str, np.ndarray] = {}
    columns: dict[str, np.ndarray] = {}
    tables: dict[str, pd.DataFrame] = {}
    for file in files:
        for name, value in _read(Path(file).expanduser()).items():
            if name in arrays or name in tables:
                raise ValueError(f"two feature sets are called {name!r}: rename one of the files")
            if isinstance(value, pd.DataFrame):
                tables[name] = value
                for column in map(str, value):
                    found = value[column].to_numpy()
                    if column in (labels, groups) and not np.array_equal(
                        columns.setdefault(column, found), found
                    ):
                        raise ValueError(f"{column!r} differs between files: samples must agree")
                    columns[column] = found
            else:
                arrays[name] = value
    beside = {name: _beside(name, arrays, columns) for name in (labels, groups) if name}
    if inputs is not None and inputs in beside:
        raise ValueError(f"inputs must be other than labels and groups; got {inputs!r}")
    features = {name: array for name, array in arrays.items() if name not in beside}
    for name, table in tables.items():
        if len(_others(table, beside).columns):
            features[name] = _table(name, {name: _others(table, beside)})
    if not features:
        raise ValueError(f"there are no features in {', '.join(files)} but for the labels")
    seen = None
    if inputs is not None:
        seen = features[inputs] if inputs in features else columns.get(inputs)
        if seen is None:
            _check_there(inputs, arrays, columns)
            held = _read(Path(inputs).expanduser())
            frames = {name: isinstance(value, pd.DataFrame) for name, value in held.items()}
            held = {k: _others(v, beside) if frames[k] else v for k, v in held.items()}
            seen = _table(inputs, held)
    return Tables(features, beside[labels], beside[groups] if groups else None, seen)


def _others(table: pd.DataFrame, beside: dict[str, np.ndarray]) -> pd.DataFrame:
    """The columns of a table that are no labels and no groups."""
    return table.drop(columns=[column for column in table if str(column) in beside])


def _table(name: str, held: dict[str, Any]) -> np.ndarray:
    """One array of numbers; of a table all columns."""
    if len(held) != 1:
        raise ValueError(f"{name} must hold one array; got {', '.join(held)}")
    (table,) = held.values()
    if isinstance(table, pd.DataFrame) and not len(table.columns):
        raise ValueError(f"{name} must have columns beside labels and groups")
    if not isinstance(table, pd.DataFrame):
        return np.asarray(table)
    words = [str(column) for column in table if table[column].dtype.kind not in "biuf"]
    if words:
        raise ValueError(
            f"{name} must have columns of numbers; got text in {', '.join(words[:5])}: leave "
            "such columns out, or turn them into numbers"
        )
    return table.to_numpy()


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise ValueError(f"features must be {', '.join(KINDS)}; got {path.name}")
    if kind in (".npz", ".npy"):
        try:
            held = np.load(path)  # which runs nothing of the file: no objects by default
            return dict(held.items()) if kind == ".npz" else {path.stem: held}
        except ValueError as error:
            raise ValueError(
                f"{path.name} must hold plain arrays ({error}); save words as "
                "np.array(words, dtype=str)"
            ) from None
    if kind == ".parquet":
        try:
            table = pd.read_parquet(path)
        except ImportError as error:
            raise ValueError(f"{path.name}: {error}") from None
    else:
        table = pd.read_csv(path, sep="\t" if kind == ".tsv" else ",")
    # What pandas writes of the index.
    return {path.stem: table.drop(columns="Unnamed: 0", errors="ignore")}


def _beside(name: str, arrays: dict[str, np.ndarray], columns: dict[str, np.ndarray]) -> np.ndarray:
    if name in arrays:
        return arrays[name]
    if name in columns:
        return columns[name]
    _check_there(name, arrays, columns)
    held = _read(Path(name).expanduser())
    (value,) = held.values() if len(held) == 1 else (None,)
    if isinstance(value, pd.DataFrame):
        value = value.iloc[:, 0].to_numpy() if len(value.columns) == 1 else None
    if value is None:
        raise ValueError(f"{name} must hold one array, or one column")
    return np.asarray(value)


def _check_there(name: str, arrays: dict[str, np.ndarray], columns: dict[str, np.ndarray]) -> None:
    """Raise unless what is in no file may be a file itself."""
    if Path(name).suffix.lower() not in KINDS:
        there = ", ".join([*arrays, *columns][:20])
        raise ValueError(f"there is nothing called {name!r} in the files, which have {there}")
