"""Running a plan: what `measure` and `prepare` return, and points at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_grid import KEY, QUIET

from fatelib.descent.batch import spread
from fatelib.sweep import sweep


def test_what_functions_return_is_checked():
    def number(key, prepared, *, x):
        return {"r": jnp.ones(())}

    def run(measure=number, outer=(1.0, 2.0), inner=None, **options):
        return sweep(
            measure, {"x": list(outer)}, inner or {}, instances=3, key=KEY, **options, **QUIET
        )

    with pytest.raises(ValueError, match=r"prepare must return .* 3 instances; got shape \(2,\)"):
        run(prepare=lambda keys: jnp.ones(2))
    with pytest.raises(ValueError, match=r"prepare must return .*; got shape \(\)"):
        run(prepare=lambda keys: 1.0)
    with pytest.raises(ValueError, match=r"r as a number or with the shape \(2,\) .*; got \(1,\)"):
        run(lambda key, prepared, *, x: {"r": jnp.ones(1)}, inner={"c": [0, 1]})
    with pytest.raises(TypeError, match="measure must return a dictionary; got ArrayImpl"):
        run(lambda key, prepared, *, x: jnp.ones(()))
    with pytest.raises(ValueError, match="static must name outer dimensions"):
        run(static=("y",))
    for values in ((), (1.0, 1.0)):
        with pytest.raises(ValueError, match="x must have values, each once"):
            run(outer=values)
    for name in ("x", "seconds", "a/b"):
        with pytest.raises(ValueError, match=f"results with names of their own; got '{name}'"):
            run(lambda key, prepared, *, x, name=name: {name: jnp.ones(())})


def test_what_is_no_number_stops_the_sweep():
    def broken(key, prepared, *, x):
        return {"risk": jnp.where(x > 1, jnp.nan, x)}

    with pytest.raises(FloatingPointError, match=r"risk is not a number at x = 2\.0"):
        sweep(broken, {"x": [1.0, 2.0]}, {}, instances=2, key=KEY, **QUIET)


@pytest.mark.parametrize("store", [None, "a.zarr"])
def test_results_have_one_type_at_all_points(tmp_path, store):
    """Otherwise those of later points would be rounded to the type of the first."""

    def measure(key, prepared, *, n):
        return {"value": jnp.asarray(0) if n == 1 else jnp.asarray(0.5)}

    where = None if store is None else tmp_path / store
    with pytest.raises(ValueError, match=r"the same names and types at all points; got .*float32"):
        sweep(measure, {"n": [1, 2]}, {}, static=["n"], instances=2, key=KEY, store=where, **QUIET)


@pytest.mark.parametrize(("at_once", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (9, [2, 2, 1])])
def test_points_at_once_give_what_one_after_the_other_does(at_once, sizes, monkeypatch, tmp_path):
    """The form for accelerators, on the CPU: here two, an eighth of the chunks, at most."""
    groups = []

    def measure(key, prepared, n, sides):
        draws = jax.random.normal(key, (4,)) * jnp.arange(1, 5)
        return {"mean": jnp.sum(draws ** (2 * n)) / sides + prepared}

    def counted(function, batch, shared):
        groups.append([float(point["sides"]) for point in shared["points"]])
        return spread(function, batch, shared)

    def run(**options):
        # A function of its own each time: programs are kept by function.
        return sweep(
            lambda *args, **point: measure(*args, **point),
            {"n": [1, 2], "sides": [2.0, 6.0, 8.0, 12.0, 20.0]},
            {},
            instances=3,
            chunk=2,
            key=jax.random.key(0),
            prepare=lambda keys, n: n * jnp.arange(len(keys)),
            static=("n",),
            progress=False,
            **options,
        )

    monkeypatch.setattr("fatelib.descent.batch._ONE_BY_ONE", ("cpu", "gpu"))
    one_by_one = run(at_once=at_once)
    monkeypatch.setattr("fatelib.descent.batch._ONE_BY_ONE", ())
    monkeypatch.setattr("fatelib.sweep.run.spread", counted)
    options = {"at_once": at_once, "store": tmp_path / "results.zarr"}
    data = run(**options)
    np.testing.assert_allclose(data["mean"], one_by_one["mean"], rtol=1e-6)
    # For both n and both blocks of instances. A group that is short repeats its end.
    assert [len(set(group)) for group in groups] == 4 * sizes
    assert {len(group) for group in groups} == {max(sizes)}
    # Interrupted between two chunks of one group: it is done again, but only the second is written.
    marks = options["store"] / "chunk_seconds"
    first = (marks / "0").stat().st_mtime_ns
    (marks / "1").unlink()
    again = run(**options)
    assert len(groups) == 4 * len(sizes) + 1
    assert groups[-1] == next(group for group in groups if 6.0 in group)
    assert (marks / "0").stat().st_mtime_ns == first
    np.testing.assert_array_equal(again["mean"], data["mean"])


def test_given_points_at_once_find_their_own(monkeypatch):
    """The form for accelerators, on the CPU, two points at a time."""

    def first(key, prepared, *, x):
        return {"draw": jax.random.uniform(key) + x}

    def second(key, prepared, *, x, y):
        return {"off": prepared["draw"] - jax.random.uniform(key) - x, "twice": 2 * y}

    options = {"instances": 3, "key": KEY, "progress": False}
    xs, ys = [float(x) for x in range(8)], [1.0, 2.0]
    given = sweep(first, {"x": xs}, {}, **options)
    monkeypatch.setattr("fatelib.descent.batch._ONE_BY_ONE", ())
    data = sweep(second, {"y": ys, "x": xs}, {}, given=given, at_once=2, **options)
    np.testing.assert_allclose(data.off, 0, atol=1e-6)  # the rounding of 8
    assert (data.twice == 2 * data["y"]).all()
