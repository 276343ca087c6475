"""Data sets as people have them: whatever NumPy reads as real numbers trains alike."""

import datetime
from decimal import Decimal
from functools import partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import fatelib
from fatelib import distances, relu, theory

KEY = jax.random.key(0)
TASKS = fatelib.LinearTasks.at_angle(KEY, 4, 0.7)
SOURCE = fatelib.DeepLinear.balanced(TASKS.beta_source)
RELU_TASKS = relu.ReluTasks.ablated(KEY, 4, 3, 0.5)
STUDENT = relu.ReluNetwork.init(jax.random.key(2), 4, 6)
# Numbers that float16 holds.
X = np.round(16 * np.random.default_rng(0).normal(size=(6, 4))) / 16
Y = np.round(16 * X @ np.asarray(TASKS.beta_target)) / 16

STEPS = {"steps": 20}
LEARN = {
    "train": partial(fatelib.train, SOURCE, **STEPS),
    "scratch": partial(fatelib.scratch, KEY, TASKS, **STEPS),
    "scratch in one direction": partial(fatelib.scratch, KEY, TASKS, engine="spectral", **STEPS),
    "linear_transfer": partial(fatelib.linear_transfer, SOURCE, TASKS),
    "fine_tune": partial(fatelib.fine_tune, SOURCE, TASKS, **STEPS),
    "relu.train": partial(relu.train, STUDENT, **STEPS),
    "relu scratch": partial(fatelib.scratch, KEY, RELU_TASKS, **STEPS),
    "relu linear_transfer": partial(fatelib.linear_transfer, STUDENT, RELU_TASKS),
    "relu fine_tune": partial(fatelib.fine_tune, STUDENT, RELU_TASKS, **STEPS),
}


class Table:
    """What offers NumPy an array of itself, as tensors do."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


FORMS = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else tuple(a.tolist()),
    "pandas": lambda a: pd.DataFrame(a) if a.ndim == 2 else pd.Series(a),
    "pandas objects": lambda a: (pd.DataFrame(a) if a.ndim == 2 else pd.Series(a)).astype(object),
    "pandas nullable": lambda a: (pd.DataFrame(a) if a.ndim == 2 else pd.Series(a)).astype(
        "Float64"
    ),
    "xarray": lambda a: xr.DataArray(a),
    "big-endian": lambda a: a.astype(">f8"),
    "16 bits": lambda a: a.astype(np.float16),
    "JAX": lambda a: jnp.asarray(a, jnp.float32),
    "long double": lambda a: a.astype(np.longdouble),
    "Fortran order": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "decimals": lambda a: np.vectorize(Decimal, otypes=[object])(a),
    "a table of its own": Table,
    "mask of nothing": lambda a: np.ma.masked_array(a, mask=np.zeros(a.shape, bool)),
    "read-only": lambda a: np.frombuffer(a.tobytes()).reshape(a.shape),
}


@pytest.fixture(autouse=True, scope="module")
def _no_annotations():
    """The checks of annotations, that tests have and users have not, would answer first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def same(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("function", LEARN)
def test_data_in_any_form_train_alike(function):
    expected = LEARN[function](X=jnp.asarray(X), y=jnp.asarray(Y))
    for name, form in FORMS.items():
        same(expected, LEARN[function](X=form(X), y=form(Y)))
        assert all(leaf.dtype != np.float16 for leaf in jax.tree.leaves(expected)), name


def test_whole_numbers_and_truth_values_are_numbers():
    numbers, labels = np.arange(24).reshape(6, 4) % 5, np.arange(6) % 2
    expected = LEARN["fine_tune"](X=numbers.astype(np.float32), y=labels.astype(np.float32))
    for kind in (np.int64, np.uint8, ">i2"):
        same(expected, LEARN["fine_tune"](X=numbers.astype(kind), y=labels == 1))


NOT_NUMBERS = {
    "text": lambda a: a.astype(str),
    "objects of text": lambda a: a.astype(str).astype(object),
    "complex": lambda a: a.astype(complex),
    "None": lambda a: np.where(a > 0, a, None),
    "dates": lambda a: np.full(a.shape, datetime.datetime(2020, 1, 1)),
    "times": lambda a: a.astype(int).astype("datetime64[s]"),
    "masked": lambda a: np.ma.masked_array(a, mask=a > 0),
    "ragged": lambda a: [[1.0], [1.0, 2.0]],
    "structure": lambda a: np.zeros(a.shape, [("a", float)]),
    "dictionary": lambda a: {"a": 1.0},
    "random keys": lambda a: KEY,
    "nothing": lambda a: None,
}


@pytest.mark.parametrize("kind", NOT_NUMBERS)
@pytest.mark.parametrize("function", ["train", "scratch", "fine_tune", "linear_transfer"])
@pytest.mark.parametrize("family", ["", "relu "])
def test_what_is_not_real_numbers_is_refused_before_training(function, family, kind):
    function = {"relu train": "relu.train"}.get(family + function, family + function)
    wrong = NOT_NUMBERS[kind]
    with pytest.raises(TypeError, match=r"X must be real numbers; got"):
        LEARN[function](X=wrong(X), y=Y)
    with pytest.raises(TypeError, match=r"y must be real numbers; got"):
        LEARN[function](X=X, y=wrong(Y))


@pytest.mark.parametrize("function", ["train", "linear_transfer", "relu fine_tune"])
def test_missing_values_are_refused(function):
    with pytest.raises((ValueError, TypeError), match=r"X must be (finite|real numbers); got"):
        LEARN[function](X=pd.DataFrame(X).astype("Float64").mask(X > 1), y=Y)
    with pytest.raises((ValueError, TypeError), match=r"y must be (finite|real numbers); got"):
        LEARN[function](X=X, y=pd.Series(Y).astype("Float64").mask(Y > 0))


@pytest.mark.parametrize("function", ["fine_tune", "linear_transfer"])
def test_inputs_of_network_and_tasks_are_compared_before_training(function):
    for tasks, network in ((TASKS, SOURCE), (RELU_TASKS, STUDENT)):
        other = (
            fatelib.LinearTasks.at_angle(KEY, 5, 0.7)
            if network is SOURCE
            else relu.ReluTasks.ablated(KEY, 5, 3, 0.5)
        )
        with pytest.raises(ValueError, match=r"pretrained must take the inputs \(5,\) of tasks"):
            getattr(fatelib, function)(network, other, X, Y)
        with pytest.raises(ValueError, match=r"X must be \(n, 4\)"):
            getattr(fatelib, function)(network, tasks, X[:, :3], Y)


@pytest.mark.parametrize("form", [name for name in FORMS if name not in ("tuple", "xarray")])
def test_vectors_and_spectra_in_any_form(form):
    form = FORMS[form]
    values = np.array([1.0, 0.5, 0.25, 0.125])
    for function in (
        lambda v: fatelib.DeepLinear.balanced(v),
        lambda v: fatelib.pretrain(SOURCE, v, **STEPS),
        lambda v: fatelib.LinearTasks(v, v),
        lambda v: SOURCE.with_last_layer(np.asarray(v, float)[:1]),
        lambda v: TASKS.risk(fatelib.DeepLinear.balanced(v)),
        lambda v: SOURCE(v),
        lambda v: fatelib.linear.alignment(SOURCE, v),
        lambda v: fatelib.linear.effective_rank(np.asarray(v, float).reshape(2, 2)),
        lambda v: STUDENT.features(v),
        lambda v: theory.ridge_risk(3, v, v, noise=0.1),
        lambda v: theory.scratch_risk(v, 0.2),
        lambda v: theory.linear_transferability(0.5, v, 0.2),
        lambda v: distances.kl_divergence(v, TASKS.beta_target, 0.2),
    ):
        same(function(np.asarray(values)), function(form(values)))
    for function in (
        lambda W: SOURCE.outputs(W),
        lambda W: SOURCE.features(W),
        lambda W: STUDENT.outputs(W),
        lambda W: relu.arccos_kernel(W, W),
        lambda W: relu.feature_spectrum(W, W, np.ones(len(X))),
        lambda W: distances.empirical_wasserstein(W, 2 * np.asarray(W, float), ground="l1"),
    ):
        same(function(X), function(form(X)))
