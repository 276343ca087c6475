"""The family of networks that CONTRIBUTING.md shows works everywhere, with no edit of fatelib."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fatelib

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTION = re.search(r"^## How to add a family\n(.*?)^## ", TEXT, re.MULTILINE | re.DOTALL)[1]
FAMILY, USE = re.findall(r"^```python\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """The module of the example."""
    folder = tmp_path_factory.mktemp("family")
    (folder / "waves.py").write_text(FAMILY, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import waves

        yield waves
        del sys.modules["waves"]


@pytest.fixture
def tasks(waves):
    source, target = (waves.Waves.draw(key, 3, 8) for key in jax.random.split(KEY))
    return waves.WaveTasks(source, target, jnp.asarray(0.1))


def test_the_risk_is_the_expected_squared_error(tasks):
    X = jax.random.normal(jax.random.key(1), (100_000, 3))
    errors = (tasks.source.outputs(X) - tasks.target.outputs(X)) ** 2
    standard_error = errors.std() / np.sqrt(len(errors))
    assert abs(tasks.risk(tasks.source) - errors.mean()) < 5 * standard_error
    assert tasks.risk(tasks.target) < 1e-5


def test_linear_transfer_is_least_squares_on_the_features(tasks):
    X, y = tasks.sample(jax.random.key(1), 20)
    result = fatelib.linear_transfer(tasks.source, tasks, X, y)
    Z, labels = (np.asarray(a, float) for a in (tasks.source.features(X), y))
    last = np.linalg.lstsq(Z, labels, rcond=None)[0]
    # Ten times the rounding that the condition of Z makes of the solution.
    condition = np.linalg.cond(Z)
    share = 10 * np.finfo(np.float32).eps * condition * (1 + condition)
    assert np.linalg.norm(result.network.c - last) < share * np.linalg.norm(last)
    assert np.array_equal(result.network.W, tasks.source.W)


@pytest.mark.parametrize("protocol", ["scratch", "fine_tune"])
def test_training_reaches_the_minimum(tasks, protocol):
    X, y = tasks.sample(jax.random.key(1), 40, source=True)
    start = (KEY, tasks) if protocol == "scratch" else (tasks.source, tasks)
    options = {"width": 5} if protocol == "scratch" else {}
    result = getattr(fatelib, protocol)(*start, X, y, steps=50_000, **options)
    assert result.converged
    Z, labels = (np.asarray(a, float) for a in (result.network.features(X), y))
    misses = labels - Z @ np.linalg.lstsq(Z, labels, rcond=None)[0]
    # The tolerance is a share of the loss of the zero network, 1e-6 by default.
    assert abs(result.loss - np.mean(misses**2)) < 2e-6 * np.mean(labels**2)


def test_what_has_no_effect_is_refused(tasks):
    X, y = tasks.sample(jax.random.key(1), 20)
    with pytest.raises(ValueError, match=r"^layers has no effect on waves"):
        fatelib.fine_tune(tasks.source, tasks, X, y, layers="last")
    with pytest.raises(TypeError, match=r"^depth is no option of scratch"):
        fatelib.scratch(KEY, tasks, X, y, depth=3)
    with pytest.raises(ValueError, match=r"^pretrained must be a Waves, as tasks are WaveTasks"):
        fatelib.fine_tune(fatelib.DeepLinear.balanced(jnp.ones(3)), tasks, X, y)
    with pytest.raises(ValueError, match=r"^X must be \(n, 3\)"):
        fatelib.linear_transfer(tasks.source, tasks, X[:, :2], y)


@pytest.mark.slow
def test_its_phase_diagram(waves, capsys):
    names = {}
    exec(compile(USE, "CONTRIBUTING.md", "exec"), names)
    assert "transferability" in capsys.readouterr().out
    data = names["with_transferability"](names["data"])
    assert dict(data.sizes) == {"n": 2, "theta": 3, "instance": 10}
    # The source's waves help where it is the target more than where they have nothing in common,
    # by more than two standard errors of the difference over the same instances.
    gain = data.transferability.isel(theta=0) - data.transferability.isel(theta=2)
    assert (gain.mean("instance") > 2 * fatelib.sweep.standard_error(gain)).all()
