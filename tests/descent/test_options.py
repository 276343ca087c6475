"""Options of training: what has no effect is refused, what has one means the same everywhere."""

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import fatelib
from fatelib import relu
from fatelib.linear import reduced_tasks

KEY = jax.random.key(0)
TASKS = fatelib.LinearTasks.at_angle(KEY, 8, 0.7, sigma=0.1)
X, Y = TASKS.sample(jax.random.key(1), 6)
SOURCE = fatelib.DeepLinear.balanced(TASKS.beta_source)
WIDE = fatelib.DeepLinear.init(jax.random.key(2), 8, scale=0.1)
RELU_TASKS = relu.ReluTasks.ablated(KEY, 4, 3, 0.5)
RELU_X, RELU_Y = RELU_TASKS.sample(jax.random.key(1), 9)
STUDENT = relu.ReluNetwork.init(jax.random.key(2), 4, 6)
GRID = {"thetas": [0.5], "gammas": [0.5], "d": 6, "sigma": 0.1, "instances": 2, "progress": False}
RELU_GRID = {"fractions": [0.5], "ns": [4], "d": 3, "width": 4, "teacher_width": 2}
RELU_GRID |= {"instances": 2, "key": KEY, "progress": False}

TRAIN = {
    "train": partial(fatelib.train, WIDE, X, Y),
    "pretrain": partial(fatelib.pretrain, WIDE, TASKS.beta_source),
    "limit": partial(fatelib.train, SOURCE, X, Y, engine="limit"),
    "scratch": partial(fatelib.scratch, KEY, TASKS, X, Y),
    "fine_tune": partial(fatelib.fine_tune, SOURCE, TASKS, X, Y),
    "transfer": partial(fatelib.linear_transfer, WIDE, TASKS, X, Y),
    "relu.train": partial(relu.train, STUDENT, RELU_X, RELU_Y),
    "relu.scratch": partial(fatelib.scratch, KEY, RELU_TASKS, RELU_X, RELU_Y),
    "relu.transfer": partial(fatelib.linear_transfer, STUDENT, RELU_TASKS, RELU_X, RELU_Y),
    "diagram": partial(fatelib.phase_diagram, "fine_tuning", key=KEY, **GRID),
    "linear diagram": partial(fatelib.phase_diagram, "linear_transfer", key=KEY, **GRID),
    "relu diagram": partial(fatelib.relu_phase_diagram, **RELU_GRID),
}
LOOP = {
    "learning_rate": 0.1,
    "steps": 5,
    "tolerance": 1e-3,
    "absolute_tolerance": 1e-3,
    "record_every": 5,
}


@pytest.mark.parametrize(
    ("function", "name", "value", "others"),
    [
        *(("limit", name, value, {}) for name, value in LOOP.items()),
        *(("scratch", name, value, {"engine": "limit"}) for name, value in LOOP.items()),
        *(("fine_tune", name, value, {"engine": "limit"}) for name, value in LOOP.items()),
        *(("transfer", name, value, {}) for name, value in LOOP.items()),
        *(("relu.transfer", name, value, {}) for name, value in LOOP.items()),
        *(("scratch", "width", 3, {"engine": name}) for name in ("spectral", "flow", "limit")),
        ("fine_tune", "record_every", 7, {"engine": "flow"}),
        ("scratch", "precision", "high", {}),
        ("relu.train", "precision", "high", {"layers": "last"}),
        ("relu.scratch", "engine", "gram", {}),
        ("relu.transfer", "cutoff", 0.1, {"engine": "descent"}),
        *(
            ("diagram", name, LOOP[name], {"engine": "limit"})
            for name in ("learning_rate", "steps", "tolerance", "absolute_tolerance")
        ),
        ("diagram", "scratch_options", {"steps": 5}, {"engine": "limit"}),
        ("linear diagram", "steps", 9, {"engine": "flow", "scratch_options": {"steps": 5}}),
        ("diagram", "source_sigma", 0.1, {}),
        ("diagram", "ridge", [0.0, 0.1], {}),
        ("diagram", "width", 5, {"engine": "flow"}),
        ("relu diagram", "ridge", 0.1, {"protocols": ["fine_tuning"]}),
        *(
            (name, "absolute_tolerance", 1e-3, {"tolerance": 1e-3})
            for name in ("train", "pretrain", "scratch", "relu.train", "diagram", "relu diagram")
        ),
    ],
)
def test_what_has_no_effect_is_refused(function, name, value, others):
    word = "steps" if name == "scratch_options" else name
    with pytest.raises(ValueError, match=rf"^{word}(?!\w)"):
        TRAIN[function](**others, **{name: value})


def test_changes_keep_what_was_given():
    """A thousand steps at most: changing the tolerance of scratch networks changes nothing else."""
    data = TRAIN["diagram"](steps=7, learning_rate=0.125, scratch_options={"tolerance": 0.5})
    assert (data.attrs["max_steps"], data.attrs["scratch_max_steps"]) == (7, 7)
    assert data.attrs["scratch_learning_rate"] == 0.125
    assert data.attrs["scratch_tolerance"] == 0.5
    assert TRAIN["relu diagram"](tolerance=0.9, steps=None).attrs["max_steps"] == 100_000


def test_bidiagonal_inputs_take_no_random_network():
    tasks, inputs, labels = reduced_tasks(KEY, 5, 9, 0.5, 0.1)
    for engine in ("descent", "gram"):
        with pytest.raises(ValueError, match=r"engine must be one of .* for Bidiagonal inputs"):
            fatelib.scratch(KEY, tasks, inputs, labels, engine=engine)


@pytest.mark.parametrize("name", ["tolerance", "absolute_tolerance", "weight_decay"])
@pytest.mark.parametrize("value", [np.inf, np.nan, -1.0])
def test_numbers_of_training_are_finite(name, value):
    for function in ("train", "pretrain", "scratch", "relu.train", "diagram"):
        with pytest.raises(ValueError, match=f"{name} must be a number >= 0; got"):
            TRAIN[function](**{name: value})


@pytest.mark.parametrize("place", ["scratch_options", "source_options"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 5}, " must be of learning_rate, steps, tolerance, absolute_tolerance; got"),
        ({"steps": 2.5}, ": steps must be an integer >= 0; got 2.5"),
        ({"learning_rate": 0}, ": learning_rate must be a number > 0; got 0"),
        ({"tolerance": np.inf}, ": tolerance must be a number >= 0; got inf"),
        ({"tolerance": 1e-3, "absolute_tolerance": 1e-3}, ": absolute_tolerance takes the place"),
    ],
)
def test_options_within_options(place, options, message):
    function = TRAIN["diagram" if place == "scratch_options" else "relu diagram"]
    with pytest.raises(ValueError, match=place + message):
        function(**{place: options})


@pytest.mark.parametrize("size", [1e-4, 1e4])
def test_the_tolerance_is_relative_to_the_labels(size):
    """Labels of another size are learned as well, and as what they are."""
    for function in (TRAIN["scratch"], TRAIN["relu.scratch"]):
        run, (key, tasks, inputs, labels) = function.func, function.args
        result = run(key, tasks, inputs, size * labels)
        zero = float(jnp.mean((size * labels) ** 2))
        assert int(result.steps) > 0
        assert float(result.loss) < 0.1 * zero
        assert bool(result.converged) == (float(result.loss) <= 1e-6 * zero)
        # ReLU networks are not homogeneous in their labels: small ones leave the neurons at rest.
        assert result.converged or tasks is RELU_TASKS
    with pytest.raises(ValueError, match="takes the place of tolerance"):
        TRAIN["train"](tolerance=1e-6, absolute_tolerance=1e-6)
    small = fatelib.DeepLinear.init(KEY, 8)
    _, history = fatelib.train(small, X, 1e-4 * Y, absolute_tolerance=1e-6)
    assert int(history.steps_taken) == 0  # as asked for


def test_both_tolerances_stop_where_they_say():
    zero = float(jnp.mean(Y**2))
    _, relative = fatelib.train(WIDE, X, Y, tolerance=1e-3, record_every=1)
    _, absolute = fatelib.train(WIDE, X, Y, absolute_tolerance=1e-3 * zero, record_every=1)
    assert int(relative.steps_taken) == int(absolute.steps_taken) > 0
    assert float(relative.loss[-1] - relative.minimum) <= 1e-3 * zero
    assert float(relative.loss[-2] - relative.minimum) > 1e-3 * zero


@pytest.fixture
def no_annotations():
    """The checks of annotations, that tests have and users have not, would answer first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def same(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


SPELLINGS = {
    "int64": lambda value: np.int64(value) if isinstance(value, int) else np.float64(value),
    "32 bits": lambda value: np.uint32(value) if isinstance(value, int) else np.float32(value),
    "array": np.asarray,
    "jax": jnp.asarray,
    "whole float": lambda value: float(value),
}


@pytest.mark.usefixtures("no_annotations")
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("function", ["train", "pretrain", "scratch", "relu.train"])
def test_numbers_in_any_spelling_train_alike(function, spelling):
    # All are exact in float32.
    options = {"steps": 8, "learning_rate": 0.125, "record_every": 4, "weight_decay": 0.25}
    options |= {"absolute_tolerance": 0.5**20}
    spelled = {name: SPELLINGS[spelling](value) for name, value in options.items()}
    same(TRAIN[function](**options), TRAIN[function](**spelled))


@pytest.mark.usefixtures("no_annotations")
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_numbers_in_any_spelling_fill_the_same_diagram(spelling, tmp_path):
    spell = SPELLINGS[spelling]
    loop = {"steps": 8, "learning_rate": 0.125, "absolute_tolerance": 0.5**20}
    fewer = {"steps": 4, "absolute_tolerance": 0.5**10}
    options = {"sigma": 0.25, "scale": 0.5**17, "depth": 3, "ridge": 0.5, "memory": 1}
    numbers = {**GRID, **options, **loop, "instances": 3, "progress": np.bool_(False)}
    spelled = {
        name: spell(value) if isinstance(value, int | float) else value
        for name, value in numbers.items()
    }
    run = partial(fatelib.phase_diagram, "linear_transfer", key=KEY, store=tmp_path / "a.zarr")
    one = run(**numbers, scratch_options=fewer)
    two = run(**spelled, scratch_options={name: spell(value) for name, value in fewer.items()})
    assert one.identical(two)  # goes on with the store: what it compares is the same


@pytest.mark.usefixtures("no_annotations")
@pytest.mark.slow
@pytest.mark.parametrize("spelling", ["int64", "jax"])
def test_numbers_in_any_spelling_fill_the_same_relu_diagram(spelling, tmp_path):
    spell = SPELLINGS[spelling]
    numbers = {"d": 3, "width": 4, "teacher_width": 2, "instances": 2, "sigma": 0.25}
    numbers |= {"steps": 8, "learning_rate": 0.125, "ridge": 0.5, "memory": 1, "scale": 0.5}
    run = partial(fatelib.relu_phase_diagram, key=KEY, progress=False, store=tmp_path)
    one = run([0.5], [4], **numbers, source_options={"steps": 4})
    spelled = {name: spell(value) for name, value in numbers.items()}
    two = run([np.float32(0.5)], [spell(4)], **spelled, source_options={"steps": spell(4)})
    assert one.identical(two)


@pytest.mark.parametrize("record_every", [17, 101])
def test_records_at_odd_steps_change_nothing_but_the_records(record_every):
    """Blocks of steps that do not divide what lies between two records: the same iterates."""
    options = {"steps": 3 * record_every, "learning_rate": 0.05, "tolerance": 0.0}
    for engine in ("descent", "gram", "spectral"):
        network = SOURCE if engine == "spectral" else WIDE
        run = partial(fatelib.train, network, X, Y, engine=engine, weight_decay=0.1, **options)
        odd, history = run(record_every=record_every)
        each, every = run(record_every=1)
        assert history.steps.tolist() == [record_every * i for i in range(4)]
        # Each of some 300 contracting steps rounds once more or less.
        rounding = 4 * options["steps"] * np.finfo(np.float32).eps
        np.testing.assert_allclose(odd.end_to_end(), each.end_to_end(), atol=rounding)
        np.testing.assert_allclose(history.loss, every.loss[::record_every], atol=rounding)


def test_a_prime_between_two_records_keeps_the_blocks():
    """Outer products of many steps are held back: arrays of this many rows are in the program."""
    run = partial(fatelib.train, engine="descent", steps=101, record_every=101)
    program = str(jax.make_jaxpr(lambda X, y: run(WIDE, X, y)[0].end_to_end())(X, Y))
    assert "f32[15,8]" in program


HEALTHY = """
import jax
import fatelib
from fatelib import relu

tasks = fatelib.LinearTasks.at_angle(jax.random.key(0), 8, 0.7, sigma=0.1)
X, y = tasks.sample(jax.random.key(1), 6)
start = fatelib.DeepLinear.init(jax.random.key(2), 8)
source, _ = fatelib.pretrain(start, tasks.beta_source)
fatelib.scratch(jax.random.key(3), tasks, X, y)
for engine in ("descent", "spectral", "flow", "limit"):
    network = start if engine == "descent" else fatelib.DeepLinear.balanced(tasks.beta_source)
    observe = fatelib.DeepLinear.end_to_end
    fatelib.train(network, X, y, engine=engine, observe=observe)
    fatelib.fine_tune(network, tasks, X, y, engine=engine)
fatelib.linear_transfer(source, tasks, X, y)
fatelib.linear_transfer(source, tasks, X, y, engine="descent")
jax.vmap(lambda y: fatelib.train(start, X, y)[1].loss)(jax.numpy.stack([y, 2 * y]))
options = {"instances": 3, "key": jax.random.key(4), "progress": False}
for method in ("linear_transfer", "fine_tuning"):
    fatelib.phase_diagram(method, [0.5], [0.5, 2.0], d=8, sigma=0.1, **options)
tasks = relu.ReluTasks.ablated(jax.random.key(0), 4, 3, 0.5)
student, _ = relu.pretrain(relu.ReluNetwork.init(jax.random.key(1), 4, 6), tasks.source, steps=300)
data = tasks.sample(jax.random.key(2), 9)
fatelib.fine_tune(student, tasks, *data)
fatelib.linear_transfer(student, tasks, *data)
fatelib.relu_phase_diagram([0.5], [4], d=3, width=4, teacher_width=2, steps=200, **options)
"""


@pytest.mark.slow
def test_healthy_training_has_no_nans_to_debug():
    environment = {**os.environ, "JAX_DEBUG_NANS": "1"}
    subprocess.run([sys.executable, "-c", HEALTHY], env=environment, check=True, timeout=300)


def test_weights_much_larger_than_their_map_have_not_converged_before_they_have():
    """The Gram matrix rounds at the size of the weights: they themselves say how far they are."""
    for engine in ("gram", "descent"):
        result = fatelib.scratch(KEY, TASKS, X, 1e-4 * Y, scale=1.0, width=40, engine=engine)
        share = float(result.loss) / float(jnp.mean((1e-4 * Y) ** 2))
        assert bool(result.converged) == (share <= 1e-6)
    options = {"engine": "gram", "scale": 1e-3, "steps": 2000, "progress": False}
    data = fatelib.phase_diagram(
        "fine_tuning", [np.pi], [0.5], d=2, sigma=0.0, instances=5, key=KEY, **options
    )
    assert np.isfinite(data.risk).all()  # one sample, nearly across the target


def test_flow_that_starts_at_its_end_has_a_record_of_it():
    _, history = fatelib.pretrain(
        SOURCE, TASKS.beta_source, engine="flow", observe=lambda network: 1.0
    )
    assert history.steps.tolist() == [0]
    assert history.observed.tolist() == [1]
    assert 0 <= float(history.loss[0]) < 1e-10
    for observe in (lambda network: 2.0, lambda network: jnp.arange(3)):
        _, history = fatelib.train(SOURCE, X, Y, engine="flow", observe=observe)
        assert len(history.observed) == len(history.loss)


@pytest.mark.usefixtures("no_annotations")
def test_words_of_numpy_are_words():
    for engine in np.array(["descent", "gram"]):
        assert fatelib.train(WIDE, X, Y, engine=engine, steps=5)[1].engine == engine
    words = {"engine": np.str_("descent"), "scale": 0.1, "steps": 3}
    data = fatelib.phase_diagram(np.str_("fine_tuning"), key=KEY, **GRID, **words)
    assert data.attrs["method"] == "fine_tuning"


def test_width_needs_a_hidden_layer():
    for make in (
        lambda: fatelib.DeepLinear.init(KEY, 4, depth=1, width=7),
        lambda: TRAIN["scratch"](depth=1, width=5),
        lambda: TRAIN["diagram"](depth=1, width=3, engine="descent", scale=0.1),
    ):
        with pytest.raises(ValueError, match="width has no effect at depth 1"):
            make()
