"""Whatever a public function is given: a documented result, or an error that names the argument.

A new public function is tested as soon as it is public, with `EXAMPLES` of its arguments by name.
"""

import ast
import contextlib
import dataclasses
import inspect
import re
import signal
import traceback
import zlib
from pathlib import Path

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jaxtyping
import matplotlib
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, seed, settings
from public_names import HANDED_OUT, callables, of_users

import fatelib
from fatelib import relu
from fatelib.figures import FIGURES

matplotlib.use("Agg")
import matplotlib.pyplot as plt

STOPPING = ("learning_rate", "steps", "tolerance", "absolute_tolerance")
KEY = jax.random.key(0)
X = np.asarray(jax.random.normal(KEY, (4, 3)))
BETA = np.array([0.6, 0.8, 0.0], np.float32)
W = np.eye(3, dtype=np.float32)[:2]
ONES = np.ones(2, np.float32)
NETWORK = fatelib.DeepLinear.init(KEY, 3, scale=0.1)
TASKS = fatelib.LinearTasks(BETA, np.eye(3, dtype=np.float32)[0], 0.1)
BIDIAGONAL = fatelib.linear.Bidiagonal(jnp.ones(2), jnp.ones(2), jnp.ones(()), columns=3)
STUDENT = relu.ReluNetwork.init(KEY, 3, 2)
RELU_TASKS = relu.ReluTasks.ablated(KEY, 3, 2, 0.5)
GRID = xr.DataArray(
    np.random.default_rng(0).normal(size=(2, 3, 2)),
    dims=("theta", "gamma", "instance"),
    coords={"theta": [0.4, 0.8], "gamma": [0.5, 1.0, 2.0]},
)
FEATURES = np.random.default_rng(1).normal(size=(12, 2))
LABELS = FEATURES[:, 0] + 0.1 * np.random.default_rng(2).normal(size=12)
CLASSES_REPORT = fatelib.diagnose({"data": FEATURES}, LABELS > 0, ns=[4])
REPORT = fatelib.diagnose({"data": FEATURES, "one": FEATURES[:, :1]}, LABELS, control="one", ns=[4])
FIGURE = dataclasses.replace(FIGURES["fig-ridge"], measure=lambda **settings: xr.Dataset())

# A name means the same everywhere; what a default is good enough for is not here.
EXAMPLES = {
    **{"key": KEY, "d": 3, "n": 1, "k": 3, "depth": 2, "width": 2, "degree": 4, "rank": 1},
    **{"theta": 0.7, "sigma": 0.2, "gamma": 0.5, "source_gamma": 2.0, "source_sigma": 0.1},
    **{"beta": BETA, "beta_source": BETA, "beta_target": BETA[::-1], "matrix": X, "x": X[0]},
    **{"X": X, "y": X[:, 0], "first": X, "second": X + 1, "ground": "l1", "W": W, "V": W},
    **{"W_target": W, "c_target": ONES, "c": jnp.ones(2), "weights": NETWORK.weights},
    **{"network": NETWORK, "pretrained": NETWORK, "tasks": TASKS, "f": STUDENT, "g": STUDENT},
    **{"teacher": STUDENT, "source": False, "fraction": 0.5, "distance2": 0.5, "residual": 0.1},
    **{
        "eigenvalues": ONES,
        "singular_values": ONES,
        "coefficients2": ONES,
        "noise": 0.1,
        "signal": 1.0,
        "time": 1.0,
    },
    **{"interpolator_norm2": 0.4, "source_norm2": 1.0, "seen_norm2": 0.5, "strength": 0.3},
    **{"initial": 0.01, "level": 0.5, "cutoff": 1e-3, "ridge": 0.1, "weight_decay": 0.1},
    **{"learning_rate": 0.01, "steps": 1, "record_every": 1, "method": "fine_tuning"},
    **{"thetas": [0.5, 1.0], "gammas": [0.5, 2.0], "instances": 2, "progress": False, "ns": [4]},
    **{"fractions": [0.5], "teacher_width": 2, "pairs": {"T": (GRID, 0.0)}, "tolerance": 100.0},
    **{"last": np.ones(3, np.float32), "engine": "auto", "name": "data", "values": GRID},
    **{"transferability": GRID, "measured": GRID, "data": GRID.mean("instance"), "title": ""},
    **{"outer": {"sides": [6.0]}, "inner": {}, "colorbar": False, "axis": plt.figure().gca().xaxis},
    **{"measure": lambda key, prepared, sides: {"eyes": sides * jax.random.normal(key)}},
    **{"features": FEATURES, "excess": 0.1, "path": "report", "curve": REPORT.curve},
    "arguments": ["--version"],
}
OTHERWISE = {
    "fatelib.linear.Bidiagonal.solve": {"y": jnp.ones(2)},
    "fatelib.relu.train": {"network": STUDENT},
    "fatelib.relu.pretrain": {"network": STUDENT},
    "fatelib.relu.ReluTasks": {"source": STUDENT, "target": STUDENT, "sigma": jnp.asarray(0.1)},
    "fatelib.relu.ReluTasks.risk": {"network": STUDENT},
    "fatelib.relu.ReluNetwork": {"W": jnp.asarray(W)},
    "fatelib.scratch": {"depth": 1, "width": None},
    "fatelib.relu.ReluNetwork.with_last_layer": {"last": ONES},
    "fatelib.relu.ReluTasks.read_data": {"network": STUDENT},
    "fatelib.diagnose": {"y": LABELS, "measured": {"anew": ([4, 8], [2.0, 1.0])}},
    "fatelib.probe.Report.ratio": {"n": 4, "first": "data", "second": "one"},
    **{f"fatelib.probe.Report.{name}": {"n": 6} for name in ("error", "error_rate", "credit")},
    "fatelib.sweep.sweep": {"instances": 1},
    "fatelib.sweep.with_transferability": {
        "data": xr.Dataset({"risk": GRID, "risk_scratch": GRID + 1})
    },
    "fatelib.phase_diagram": {"ridge": 0.0, "width": None, "scale": 1e-5},
    "fatelib.plot.slices": {"x": "gamma"},
    "fatelib.widgets.explore": {"x": "gamma", "y": None},
    "fatelib.theory.pretraining_filter": {"width": None},
    "fatelib.widgets.null_space": {"gamma": (0.2, 0.5), "sigma": (0.0, 1.0), "depth": (1, 2)},
}
INSTANCES = {
    fatelib.DeepLinear: NETWORK,
    fatelib.LinearTasks: TASKS,
    relu.ReluNetwork: STUDENT,
    relu.ReluTasks: RELU_TASKS,
    type(FIGURE): FIGURE,
    fatelib.linear.Bidiagonal: BIDIAGONAL,
    type(REPORT): REPORT,
}
CALLED = {fatelib.DeepLinear, relu.ReluNetwork}


def bound(path, value):
    """A method of a class is one of an instance."""
    owner, _, name = path.rpartition(".")
    if path.endswith("Report.error_rate"):  # of a report on classes
        return CLASSES_REPORT.error_rate
    return getattr(INSTANCES[CLASSES[owner]], name) if owner in CLASSES else value


CLASSES = {path: value for path, value in callables().items() if inspect.isclass(value)}
CALLABLES = {
    path: bound(path, value)
    for path, value in callables().items()
    if value.__name__ not in HANDED_OUT and of_users(value)
    if inspect.signature(value).parameters.keys() - {"self"}
}
CALLABLES |= {
    f"{path}.__call__": INSTANCES[value] for path, value in CLASSES.items() if value in CALLED
}
# What these do when called is the caller's.
FUNCTIONS = {"observe", "inputs", "measure", "prepare"}

# One value of every kind that a hurried user gives, for each argument in turn ...
SURE = [
    *(np.nan, np.inf, -1, 0, 1.5, True, 1e30, 10**30, np.float16(0.5)),
    *(
        [],
        [[1, 2], [3]],
        np.array([1, np.nan]),
        np.full((4, 3), np.inf),
        np.arange(12).reshape(4, 3),
    ),
    *("text", None, np.array(["a"]), np.array([1j]), object()),
]
# Counts up to a million, where the work or the memory grows no faster than they do.
COUNTS = {
    **dict.fromkeys(["n", "d", "k", "steps", "record_every", "ns", "chunk", "at_once"], 10**6),
    **dict.fromkeys(["instances", "width", "teacher_width", "degree", "rank"], 1000),
    "depth": 17,
}
# ... and others drawn anew for each function. Few shapes and few integers: what is accepted is
# compiled for.
VALUES = st.one_of(
    st.sampled_from([-3, 1, 2**31]) | st.integers(max_value=-1) | st.integers(2**31),
    st.floats(-3, 3) | st.floats(min_value=1e10) | st.floats(max_value=-1e10),
    st.sampled_from([1e-30, -np.inf, np.float32(np.nan), jnp.ones(3), np.zeros((0, 3))]),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3)
    | st.text(max_size=3)
    | st.binary(max_size=2),
    st.sampled_from([1j, {"a": 1}, np.array([None]), KEY, NETWORK, RELU_TASKS, GRID, len]),
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int32, np.bool_]),
        st.sampled_from([(), (0,), (3,), (4, 3)]),
    ),
)
DRAWN = 8
PATIENCE = 30  # seconds for one call, compilation on a busy machine included


class Computing(Exception):
    """All checks are passed."""


@pytest.fixture(autouse=True)
def _no_grids(monkeypatch, tmp_path, request):
    """What takes long ends where it would begin to compute."""

    class Begin:
        def __getattr__(self, name):
            raise Computing

        def __call__(self, *arguments, **options):
            raise Computing

    # Diagrams run in the tests of their dictionaries below.
    for place in ("linear.diagram.sweep", "relu.diagram.sweep", "widgets.nullspace.theory"):
        if "within" not in request.node.name or place.startswith("widgets"):
            monkeypatch.setattr(f"fatelib.{place}", Begin())
    monkeypatch.chdir(tmp_path)  # any text names a store
    if "load" in request.node.name:
        REPORT.save(EXAMPLES["path"])


@pytest.fixture(autouse=True, scope="module")
def _no_annotations():
    """The checks of annotations, that tests have and users have not, would answer first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def examples(path):
    """Valid arguments."""
    arguments = {}
    for parameter in inspect.signature(CALLABLES[path]).parameters.values():
        name = parameter.name
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        own = OTHERWISE.get(path, {})
        if name in own or name in EXAMPLES:
            arguments[name] = own.get(name, EXAMPLES.get(name))
        else:
            assert parameter.default is not parameter.empty, f"EXAMPLES needs {name}, for {path}"
            arguments[name] = parameter.default
    return arguments


def leaves(result):
    if isinstance(result, xr.Dataset):
        return [array.values for array in result.data_vars.values()]
    arrays = [
        jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        for leaf in jax.tree.leaves(result)
        if isinstance(leaf, jax.Array)
    ]
    numbers = [leaf for leaf in jax.tree.leaves(result) if isinstance(leaf, np.ndarray | float)]
    return [np.asarray(leaf) for leaf in arrays + numbers]


@contextlib.contextmanager
def patience():
    """Turn what hangs into an error."""

    def stop(*_):
        raise TimeoutError(f"no answer within {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def says(function, section, word):
    """Whether a section of the docstring has a word."""
    doc = inspect.getdoc(function) or ""
    found = re.search(rf"^{section}:\n((?:    .*\n|\n)*)", doc + "\n", re.MULTILINE)
    return found is not None and word in found[1]


def fault(path, arguments, name):
    """Return what is wrong with the answer, if anything."""
    function = CALLABLES[path]
    try:
        with patience():
            result = function(**arguments)
    except Computing:
        return None
    except (FloatingPointError, AssertionError) as error:
        # Training that diverged, and theory that disagrees: what was given was possible.
        documented = says(function, "Raises", f"{type(error).__name__}:")
        return None if documented else repr(error)
    except (TypeError, ValueError) as error:
        where = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if not name:
            return repr(error)
        if Path(fatelib.__file__).parent not in where.parents:
            return f"from {where}: {error!r}"
        return None if re.search(rf"(?<![\w-]){name}(?!\w)", str(error)) else f"unnamed: {error!r}"
    except Exception as error:
        return repr(error)
    finally:
        plt.close("all")
    if inspect.isclass(function):
        return None  # holds weights as they are; who uses them checks them
    numbers = [leaf for leaf in leaves(result) if leaf.dtype.kind == "f"]
    if any(np.isnan(leaf).any() for leaf in numbers) and not says(function, "Returns", "NaN"):
        return "a silent NaN"
    return None


@pytest.mark.parametrize("path", CALLABLES)
def test_wrong_arguments_are_named(path):
    arguments = examples(path)
    assert fault(path, arguments, "") is None
    faults = {}

    def check(name, value):
        if callable(value) and name in FUNCTIONS:
            return
        found = fault(path, {**arguments, name: value}, name)
        if found is not None:
            shown = " ".join(repr(value).split())[:60]
            faults[f"{name}: {found}"] = f"{name} = {shown}: {found}"

    def check_each(value):
        for name in sorted(arguments):
            check(name, value)

    for name, value in arguments.items():
        if isinstance(value, float | np.ndarray | jax.Array) and name != "key":
            for scale in (1e-30, 1e20, 1e30):
                check(name, scale * np.asarray(value, np.float32))
    for name in COUNTS.keys() & arguments.keys():
        for count in {3, min(1000, COUNTS[name]), COUNTS[name]}:
            check(name, [count] if name == "ns" else count)
    for value in SURE:
        check_each(value)
    quiet = settings(
        max_examples=DRAWN, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    seed(zlib.crc32(path.encode()))(quiet(given(VALUES)(check_each)))()
    if faults:
        pytest.fail("\n".join(faults.values()), pytrace=False)


# Function -> its dictionaries, and names in them that mean something.
DICTIONARIES = {
    "fatelib.phase_diagram": {"scratch_options": STOPPING},
    "fatelib.relu_phase_diagram": {"source_options": STOPPING},
    "fatelib.sweep.sweep": {"outer": ("sides",), "attrs": ("a",)},
}


@pytest.mark.slow
@pytest.mark.parametrize("path", DICTIONARIES)
def test_wrong_values_within_dictionaries_are_named(path):
    faults = []
    # What diagrams accept compiles anew: of that one number of each kind.
    values = [np.nan, np.inf, -1, [], "text", np.array([1j]), object(), np.int64(3)]
    if path.endswith("sweep"):
        values = [*SURE, np.int64(3), np.float32(0.5), 1000, 10**6, jnp.asarray(2)]
    for place, names in DICTIONARIES[path].items():
        for name in names:
            for value in values:
                found = fault(path, {**examples(path), place: {name: value}}, name)
                if found is not None:
                    faults.append(f"{place}: {name} = {value!r}: {found}")
        for wrong in ({"nonsense": 1}, {3: 1}, [("steps", 1)], "steps"):
            found = fault(path, {**examples(path), place: wrong}, place)
            if found is not None and not (path.endswith("sweep") and isinstance(wrong, dict)):
                faults.append(f"{place} = {wrong!r}: {found}")
    assert not faults, "\n".join(faults)


def test_nothing_runs_what_it_reads_and_nothing_calls_home():
    refused = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
    refused |= {"socket", "ssl", "http", "urllib", "requests", "httpx", "aiohttp", "ftplib"}
    refused |= {"eval", "exec", "compile", "__import__", "allow_pickle", "subprocess", "os.system"}
    for path in Path(fatelib.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = set()
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").partition(".")[0]}
            elif isinstance(node, ast.Call):
                names = {ast.unparse(node.func), *(keyword.arg for keyword in node.keywords)}
            assert not names & refused, f"{path}:{node.lineno}"
