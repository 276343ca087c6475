"""What users bring: every form of features and labels, and what is refused."""

import re
import sys

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from fatelib import diagnose

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(40, 3))
Y = Z[:, 0] + 0.3 * RNG.normal(size=40)


def error(features, y, **options):
    return diagnose(features, y, ns=[20], **options).curve.error.values


@pytest.mark.parametrize(
    "form",
    [
        np.ndarray.tolist,
        pd.DataFrame,
        jnp.asarray,
        scipy.sparse.csr_matrix,
        scipy.sparse.coo_array,
        lambda Z: Z.astype(np.float16),
        lambda Z: Z.astype(">f8"),
        lambda Z: Z.astype(object),
    ],
)
def test_features_come_in_any_form(form):
    np.testing.assert_allclose(error(form(Z), Y), error(Z, Y), rtol=2e-3)


@pytest.mark.parametrize("form", [list, pd.Series, lambda y: y[:, None], jnp.asarray])
def test_labels_come_in_any_form(form):
    np.testing.assert_allclose(error(Z, form(Y)), error(Z, Y), rtol=1e-5)


def test_tensors_are_read_as_any_array():
    tensor = type("Tensor", (), {"__array__": lambda self, dtype=None, copy=None: Z})()
    np.testing.assert_array_equal(error(tensor, Y), error(Z, Y))


@pytest.mark.parametrize(
    "labels",
    [
        np.where(Y > 0, "up", "down"),
        np.where(Y > 0, "up", "down").tolist(),
        Y > 0,
        (Y > 0).astype(int),
        np.where(Y > 0, b"up", b"down"),
        np.where(Y > 0, 7.5, -3.0),
        pd.Series(np.where(Y > 0, "up", "down"), dtype="category"),
        pd.Series(np.where(Y > 0, "up", "down"), dtype="string"),
    ],
)
def test_two_values_are_two_classes_whatever_they_are_called(labels):
    report = diagnose(Z, labels, ns=[20])
    assert len(report.classes) == 2
    # Which of them is the first is a matter of their names; squares do not see it.
    expected = diagnose(Z, Y > 0, ns=[20])
    np.testing.assert_allclose(report.curve.error, expected.curve.error, rtol=1e-9)


def test_numbers_are_numbers_and_classes_if_one_says_so():
    digits = np.round(2 * Y).astype(int)
    assert diagnose(Z, digits, ns=[20]).classes == ()
    names = diagnose(Z, digits, ns=[20], task="classification").classes
    assert names == tuple(str(value) for value in np.unique(digits))
    assert diagnose(Z, Y > 0, ns=[20], task="regression").classes == ()


def test_categories_are_classes_and_few_whole_numbers_are_asked_about():
    kinds = np.arange(40) % 4
    assert len(diagnose(Z, pd.Series(kinds, dtype="category"), ns=[20]).classes) == 4
    report = diagnose(Z, kinds, ns=[20])
    assert "labels are 4 whole numbers" in str(report)
    assert "whole numbers" not in str(diagnose(Z, kinds, ns=[20], task="regression"))


def test_one_feature_is_enough_with_or_without_an_axis():
    np.testing.assert_array_equal(error(Z[:, 0], Y), error(Z[:, :1], Y))


def test_several_outputs_add_up():
    both = error(Z, np.stack([Y, 3 * Y], axis=1))
    np.testing.assert_allclose(both, 10 * error(Z, Y), rtol=1e-9)


CASES = {  # what the message says -> the call
    "at least 10 labelled samples are needed; got 9": lambda: diagnose(Z[:9], Y[:9]),
    "y must have a label for each of 40 rows of features; got (39,)": lambda: diagnose(Z, Y[:39]),
    "all are 1.0": lambda: diagnose(Z, np.ones(40)),
    "all are yes": lambda: diagnose(Z, ["yes"] * 40),
    "features must be finite; got nan in row 3 and 1 rows": lambda: diagnose(
        np.where(np.arange(40)[:, None] == 3, np.nan, Z), Y
    ),
    "y must be finite; got inf": lambda: diagnose(Z, np.where(np.arange(40) == 3, np.inf, Y)),
    "flatten what is beyond the first axis": lambda: diagnose(np.ones((40, 2, 2)), Y),
    "features must be (N, p), one row per sample; got (40, 0)": lambda: diagnose(Z[:, :0], Y),
    "all columns are constant": lambda: diagnose(np.full((40, 2), 3.3), Y),
    "features must be of the same samples; got rows": lambda: diagnose({"a": Z, "b": Z[:30]}, Y),
    "features must have at least one feature set": lambda: diagnose({}, Y),
    "control must be a feature set or 'random'; got 'b'": lambda: diagnose(
        {"a": Z}, Y, control="b"
    ),
    "control must be another feature set": lambda: diagnose({"a": Z}, Y, control="a"),
    "control must be of the same samples": lambda: diagnose(Z, Y, control=Z[:30]),
    "control='random' must have inputs=": lambda: diagnose(Z, Y, control="random"),
    "contenders must have inputs=": lambda: diagnose(Z, Y, contenders={"a": lambda X, y: None}),
    "inputs must have contenders=": lambda: diagnose(Z, Y, inputs=Z),
    "store must have contenders=": lambda: diagnose(Z, Y, store="x.json"),
    "inputs must be one for each of 40": lambda: diagnose(Z, Y, inputs=Z[:3], control="random"),
    "unlabelled must be of ['features']": lambda: diagnose(Z, Y, unlabelled={"other": Z}),
    "must have 3 columns": lambda: diagnose(Z, Y, unlabelled=Z[:, :2]),
    "groups must be one for each of 40": lambda: diagnose(Z, Y, groups=[1, 2]),
    "groups must be at least 5; got 1": lambda: diagnose(Z, Y, groups=["a"] * 40),
    "groups must be at least 5; got 2": lambda: diagnose(Z, Y, groups=np.arange(40) % 2),
    "must have names of their own; got 'features' twice": lambda: diagnose(
        Z, Y, measured={"features": ([10], [1.0])}
    ),
    "unlabelled must be a mapping for several": lambda: diagnose({"a": Z, "b": Z}, Y, unlabelled=Z),
    "repeated labels whose mean is y": lambda: diagnose(Z, Y, noise=RNG.normal(size=(40, 3))),
    "y must be numbers between": lambda: diagnose(Z, 1e-170 * Y),
    "features must be numbers between": lambda: diagnose(1e160 * Z, Y),
    "ns must be numbers >= 2; got 1.0": lambda: diagnose(Z, Y, measured={"a": ([1], [1.0])}),
    "noise must be None for classes": lambda: diagnose(Z, Y > 0, noise=0.1),
    "noise must be a number >= 0; got -1": lambda: diagnose(Z, Y, noise=-1),
    "at least two labels of one sample": lambda: diagnose(Z, Y, noise=Y[:, None]),
    "ns must be numbers >= 2; got 1": lambda: diagnose(Z, Y, ns=[1, 10]),
    "task must be 'auto', 'regression' or": lambda: diagnose(Z, Y, task="classify"),
    "several samples of a class; got 40 classes": lambda: diagnose(Z, Y, task="classification"),
    "one label per sample for task='classification'": lambda: diagnose(
        Z, np.eye(2)[(Y > 0).astype(int)], task="classification"
    ),
}


@pytest.mark.parametrize("message", CASES)
def test_what_is_wrong_is_said(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        CASES[message]()


TYPES = {
    "features must be real numbers": lambda: diagnose([["a", "b"]] * 40, Y),
    "features must have names that are text": lambda: diagnose({1: Z}, Y),
    "y must be all text or all numbers": lambda: diagnose(Z, ["a", None] * 20),
    "y must be numbers for task='regression'": lambda: diagnose(
        Z, ["a", "b"] * 20, task="regression"
    ),
    "contenders must be {name: fit} or 'mlp'": lambda: diagnose(Z, Y, inputs=Z, contenders=[1]),
    "must be a function fit(X, y) -> predict": lambda: diagnose(
        Z, Y, inputs=Z, contenders={"a": 3}
    ),
    "measured must be {name: (ns, errors)}": lambda: diagnose(Z, Y, measured=[1]),
    "measured['a'] must be (ns, errors)": lambda: diagnose(Z, Y, measured={"a": 3}),
    "key must be a JAX random key": lambda: diagnose(Z, Y, key=3),
}


@pytest.mark.parametrize("message", TYPES)
def test_what_is_of_another_type_is_said(message):
    with pytest.raises(TypeError, match=re.escape(message)):
        TYPES[message]()


def test_without_optax_the_default_network_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "fatelib.probe.mlp", None)
    monkeypatch.setattr("fatelib.probe.contenders.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'fatelib\[examples\]'"):
        diagnose(Z, Y, inputs=Z, contenders="mlp")


def test_features_that_rounding_has_eaten_are_doubted():
    """A float16 copy of a control of small spread made the features look 1.5 times as good."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(60, 8))
    y = Z[:, 0] + 0.1 * rng.normal(size=60)
    far = 1 + 2e-4 * Z
    for kept in (far, far.astype(np.float32), Z.astype(np.float16), (Z > 0).astype(float)):
        assert "rounded" not in str(diagnose(kept, y))
    for lost in (far.astype(np.float16), far.astype(np.float16).astype(float)):
        assert "hardly more than their numbers are rounded" in str(diagnose(lost, y)).replace(
            "\n  ", " "
        )
    assert "rounded" in str(diagnose(1 + 1e-7 * Z.astype(np.float32), y))
    years = 2020 + np.round(2 * Z)
    assert "rounded" not in str(diagnose(years, y))
    brain = jnp.asarray(100 + Z, jnp.bfloat16).astype(np.float32)
    assert "rounded" in str(diagnose(np.asarray(brain), y))
    clipped = np.clip(4e4 * Z, -65504, 65504).astype(np.float16)
    assert "rounded" not in str(diagnose(clipped, y))
