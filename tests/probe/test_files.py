"""Features and labels from files."""

import numpy as np
import pandas as pd
import pytest

from fatelib.probe.files import read_tables

RNG = np.random.default_rng(0)
Z, MORE = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 2))
NAMES = np.array(["cat", "dog"] * 6)
GROUPS = np.repeat(np.arange(4), 3)


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("all.npz", last=Z, first=MORE, y=NAMES, patient=GROUPS)
    np.save("last.npy", Z)
    np.save("y.npy", NAMES)
    table = pd.DataFrame(Z, columns=["a", "b", "c"])
    table.to_csv("plain.csv")  # with its index
    table.assign(y=NAMES, patient=GROUPS).to_csv("table.csv", index=False)
    table.assign(y=NAMES, patient=GROUPS).to_csv("table.tsv", index=False, sep="\t")
    pd.DataFrame({"label": NAMES}).to_csv("labels.csv", index=False)


@pytest.mark.parametrize(
    ("files", "labels", "groups", "names"),
    [
        (["all.npz"], "y", "patient", ["last", "first"]),
        (["last.npy"], "y.npy", None, ["last"]),
        (["last.npy", "plain.csv"], "labels.csv", None, ["last", "plain"]),
        (["table.csv"], "y", "patient", ["table"]),
        (["table.tsv"], "y", "patient", ["table"]),
    ],
)
def test_features_labels_and_groups_are_found(files, labels, groups, names):
    found = read_tables(files, labels, groups)
    assert [*found.features] == names
    np.testing.assert_allclose(found.features[names[0]], Z)
    assert found.labels.tolist() == NAMES.tolist()
    assert (found.groups is None) if groups is None else (found.groups == GROUPS).all()


def test_parquet_is_read_where_pandas_can():
    pytest.importorskip("pyarrow")
    pd.DataFrame(Z).rename(columns=str).assign(y=NAMES).to_parquet("table.parquet")
    np.testing.assert_allclose(read_tables(["table.parquet"], "y", None).features["table"], Z)


def test_without_its_engine_parquet_says_so(monkeypatch):
    def refuse(path):
        raise ImportError("Unable to find a usable engine")

    monkeypatch.setattr(pd, "read_parquet", refuse)
    open("table.parquet", "w").close()
    with pytest.raises(ValueError, match=r"table.parquet: Unable to find a usable engine"):
        read_tables(["table.parquet"], "y", None)


@pytest.mark.parametrize(
    ("files", "labels", "message"),
    [
        (["last.npy"], "z", "nothing called 'z' in the files, which have last"),
        (["last.txt"], "y", "there is no file last.txt"),
        (["picture.png"], "y", "features must be .npz, .npy"),
        (["last.npy", "last.npy"], "y.npy", "two feature sets are called 'last'"),
        (["y.npy"], "y", "there are no features"),
        (["table.csv"], "patient", "got text in y"),
        (["last.npy"], "table.csv", "must hold one array, or one column"),
        (["objects.npz"], "y", "must hold plain arrays"),
        (["table.csv", "mixed.csv"], "y", "'y' differs between files"),
    ],
)
def test_what_is_wrong_is_said(files, labels, message):
    open("picture.png", "w").close()
    pd.DataFrame({"d": Z[:, 0], "y": NAMES[::-1]}).to_csv("mixed.csv", index=False)
    np.savez("objects.npz", Z=np.array([{}, {}]))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_tables(files, labels, None)
