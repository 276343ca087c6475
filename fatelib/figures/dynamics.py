"""Learning in time: pretraining at three depths, and fine-tuning that stops early."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from fatelib import plot, theory
from fatelib.agreement import Agreement, agreement_table
from fatelib.descent.precision import matmul
from fatelib.figures.curves import row_of_axes
from fatelib.figures.figure import Figure, Numbers, place, together
from fatelib.linear import DeepLinear, pretrain, reduced_tasks, train
from fatelib.linear.bidiagonal import BidiagonalLoss
from fatelib.linear.tasks import LinearTasks
from fatelib.sweep import sweep

__all__ = ["FIG_DYNAMICS", "FIG_TIME"]

# Scale of the initial weights, learning rate and duration at d = 100, for each depth: the deeper a
# network the longer a small start keeps it on its plateau.
_RUNS = {2: (1e-5, 0.005, 8.0), 3: (0.01, 0.01, 25.0), 4: (0.03, 0.01, 85.0)}
_SINGULAR_VALUES = 3
Value = TypeVar("Value", float, np.ndarray)
_STARTED = 0.05  # the strength at which the clock of the theory is set


def _record_every(d: int, depth: int, records: int) -> int:
    """Return the number of steps from one record to the next."""
    _, rate, duration = _RUNS[depth]
    if depth > 2:
        # On the plateau all gradients but its own pass through the last layer, of norm scale d^1/2.
        duration *= (100 / d) ** 0.5
    return max(round(duration / rate / records), 1)


def _pretrain(
    key: Array,
    beta: Float[Array, " d"],
    depth: int,
    records: int,
    observe: Callable[[DeepLinear], Mapping[str, Array]],
) -> tuple[DeepLinear, dict[str, Array]]:
    """Train one network; return its start, and the loss and what was observed at each record."""
    scale, rate, _ = _RUNS[depth]
    every = _record_every(len(beta), depth, records)
    start = DeepLinear.init(key, len(beta), depth, scale=scale)
    _, history = pretrain(
        start,
        beta,
        learning_rate=rate,
        steps=every * records,
        tolerance=0.0,
        record_every=every,
        observe=observe,
    )
    return start, {**history.observed, "loss": history.loss}


def _conserved(start: DeepLinear, beta: Float[Array, " d"]) -> Float[Array, ""]:
    """Return what the theory asks for: the strength of two layers, else what the last has more.

    The last layer starts with norm scale d^1/2, the others with 2 scale: the difference of the
    squares, which D_{L-1} holds, is conserved.
    """
    before, last = start.weights[-2:]
    if len(start.weights) == 2:
        return jnp.sum((matmul(beta, before) + last[:, 0]) ** 2) / 4
    weight = jnp.sum(last**2)
    return weight - jnp.sum(matmul(before, last) ** 2) / weight


def _strengths(
    beta: Float[Array, " d"],
    depth: int,
    records: int,
    instances: int,
    store: Path | None,
    **options: Any,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Train networks of one depth; the first of them again, with a decomposition at each record."""

    def strength(network: DeepLinear) -> dict[str, Array]:
        return {"strength": jnp.sum(network.end_to_end() * beta)}

    def spectrum(network: DeepLinear) -> dict[str, Array]:
        values = jnp.linalg.svd(network.weights[0], compute_uv=False)
        drifts = [jnp.linalg.norm(part) for part in network.balancedness()]
        named = {f"value_{i}": values[i] for i in range(_SINGULAR_VALUES)}
        return {**named, "imbalance": jnp.max(jnp.stack(drifts))}

    def measure(key: Array, prepared: None) -> dict[str, Array]:
        start, seen = _pretrain(key, beta, depth, records, strength)
        return {**seen, "conserved": _conserved(start, beta)}

    def decompose(key: Array, prepared: None) -> dict[str, Array]:
        return _pretrain(key, beta, depth, records, spectrum)[1]

    def run(name: str, measure: Callable[..., dict[str, Array]], instances: int) -> xr.Dataset:
        return sweep(
            measure,
            {},
            {"record": range(records + 1)},
            instances=instances,
            store=place(store, f"{name}-{depth}"),
            attrs={"d": len(beta), "depth": depth},
            **options,
        )

    return run("depth", measure, instances), run("spectrum", decompose, 1)


def _measure_dynamics(
    *,
    d: int,
    instances: int,
    depths: Sequence[int],
    records: int,
    seed: int,
    store: Path | None,
    progress: bool,
) -> xr.Dataset:
    key = jax.random.key(seed)
    beta = LinearTasks.at_angle(jax.random.fold_in(key, 0), d, 0.0).beta_target
    runs, seconds = [], 0.0
    for depth in depths:
        # The keys of a depth are its own.
        many, one = _strengths(
            beta,
            depth,
            records,
            instances,
            store,
            key=jax.random.fold_in(key, depth),
            progress=progress,
        )
        first = one.isel(instance=0, drop=True)
        values = [first[f"value_{i}"] for i in range(_SINGULAR_VALUES)]
        run = many[["loss", "strength"]].drop_attrs().transpose("instance", "record")
        run["singular_value"] = xr.concat(values, "index").transpose("record", "index")
        run["imbalance"] = first.imbalance
        steps = _record_every(d, depth, records) * np.arange(records + 1)
        run["time"] = ("record", _RUNS[depth][1] * steps)
        run["strength_theory"] = _predict(run, many.conserved.values.astype(float), depth)
        run["loss_theory"] = (1 - run.strength_theory) ** 2
        run["scale"], run["learning_rate"] = _RUNS[depth][:2]
        runs.append(run)
        seconds += many.attrs["seconds"] + one.attrs["seconds"]
    data = xr.concat(runs, xr.DataArray(list(depths), dims="depth", name="depth"))
    data = data.set_coords(["time", "scale", "learning_rate"])
    return data.assign_attrs(d=d, seed=seed, engine="descent", seconds=seconds)


def _predict(
    run: xr.Dataset, conserved: Float[np.ndarray, " instances"], depth: int
) -> xr.DataArray:
    """Strength in time: from the initial weights for two layers, else from when it has begun."""
    time = run.time.values
    if depth == 2:
        whole = theory.aligned_strength(time, conserved[:, None], depth=2)
        return run.strength.copy(data=np.asarray(whole))
    strength = run.strength.values
    started = strength > _STARTED
    if not started.any(axis=1).all():
        raise ValueError(f"d must be larger: at depth {depth} some network has not started")
    first = started.argmax(axis=1)
    values = np.full_like(strength, np.nan)
    for row, begun, start, delta in zip(values, first, strength, conserved, strict=True):
        row[begun:] = _unbalanced_strength(time[begun:], start[begun], delta, depth)
    return run.strength.copy(data=np.where(started, values, np.nan))


def _unbalanced_strength(
    time: Float[np.ndarray, " times"], initial: float, excess: float, depth: int
) -> Float[np.ndarray, " times"]:
    r"""Return the strength of an aligned network whose last layer is not in balance.

    Every squared singular value grows by 4 s (1 - s). Let q be that of all layers but the last,
    which has q + excess for ever:

    .. math:: \frac{dq}{dt} = 4 s (1 - s), \qquad s = q^{(L-1)/2} \sqrt{q + \delta} .
    """
    from scipy.integrate import solve_ivp
    from scipy.optimize import brentq

    def strength(q: Value) -> Value:
        return q ** ((depth - 1) / 2) * (q + excess) ** 0.5

    least = max(-excess, 0.0)
    start = brentq(lambda q: strength(q) - initial, least, least + 1)
    path = solve_ivp(
        lambda _, q: 4 * strength(q) * (1 - strength(q)),
        (time[0], time[-1]),
        [start],
        t_eval=time,
        rtol=1e-8,
        atol=1e-8,
    )
    return strength(path.y[0])


def _draw_dynamics(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, axes = row_of_axes(3)
    for i, depth in enumerate(data.depth.values):
        part = data.sel(depth=depth)
        # Each depth has its own plateau: time in units of when half is learned.
        half = float(part.time[int((part.strength.mean("instance") > 0.5).argmax("record"))])
        time = part.time / half
        axes[0].plot(time, part.strength.T, color=f"C{i}", alpha=0.3, linewidth=1)
        axes[0].plot(time, part.strength_theory[0], "k--", linewidth=1)
        axes[0].plot([], [], color=f"C{i}", label=rf"$L$ = {depth}")
        axes[1].plot(time, part.singular_value, color=f"C{i}", linewidth=1)
        axes[2].plot(time, part.imbalance, color=f"C{i}", linewidth=1)
    axes[0].legend()
    names = ["strength $s$", "largest singular values of $W_1$", r"largest $\|D_l\|_F$"]
    for ax, name in zip(axes, names, strict=True):
        ax.set(xlabel=r"time / time to $s = 1/2$", ylabel=name, xlim=(0, 1.5))
    for ax in axes[1:]:
        ax.set_yscale("log")
    return figure


def _agree_dynamics(data: xr.Dataset) -> Agreement:
    tables = []
    for depth in data.depth.values:
        part = data.sel(depth=depth)
        started = part.strength_theory.notnull()
        rate, scale = float(part.learning_rate), float(part.scale)
        if depth == 2:
            # On the plateau a step grows the weights by 1 + 2 rate instead of exp(2 rate): descent
            # lags by a share `rate` of the plateau, and the curve is nowhere steeper than 1.
            limit = rate * float(theory.escape_time(float(part.strength_theory.min())))
        else:
            # What the theory leaves out. Steps: descent lags by rate / 2 times the logarithm of how
            # much faster the weights become, about 1, times the slope of s, which is below 1.5. The
            # imbalance of the other layers, random ones of singular values up to 2 scale, beside
            # the square s^(2/L) of the learned singular value.
            limit = rate + (2 * scale) ** 2 / _STARTED ** (2 / depth)
        tables.append(
            agreement_table(
                {f"strength, L = {depth}": (part.strength, part.strength_theory)},
                over=None,
                tolerance=limit,
                where=started,
            )
        )
    return together(*tables)


FIG_DYNAMICS = Figure(
    "fig-dynamics",
    "Pretraining at depth 2, 3 and 4: strength, singular values and what is conserved",
    {
        "laptop": {"d": 100, "instances": 5, "depths": (2, 3, 4), "records": 100, "seed": 0},
        "paper": {"d": 500, "instances": 20, "depths": (2, 3, 4), "records": 100, "seed": 0},
    },
    _measure_dynamics,
    _draw_dynamics,
    _agree_dynamics,
)


# Fine-tuning at n = d -----------------------------------------------------------------------------


# The authors' learning rates.
_RATE, _RATE_SCRATCH = 0.01, 0.1


def _risks(
    key: Array,
    theta: Array | float,
    *,
    d: int,
    sigma: float,
    duration: float,
    records: int,
    engine: str,
    fine_tuning: bool,
    rate: float,
) -> Float[Array, " times"]:
    """Train on n = d samples; return the risk at each record."""
    same = jax.random.clone(key)  # every angle has the same samples
    tasks, X, y = reduced_tasks(same, d, d, theta, sigma, largest=d)
    loss = BidiagonalLoss.of(X, y)
    pull = -loss.gradient(loss.zero)
    small = 1e-10 * pull / jnp.linalg.norm(pull)
    network = DeepLinear.balanced(tasks.beta_source if fine_tuning else small)
    every = max(round(duration / records / rate), 1)
    _, history = train(
        network,
        X,
        y,
        engine=engine,
        learning_rate=rate,
        steps=every * records,
        tolerance=0.0,
        record_every=every,
        observe=DeepLinear.end_to_end,
    )
    return jnp.sum((history.observed - tasks.beta_target[None, :]) ** 2, axis=1)


def _measure_time(
    *,
    d: int,
    instances: int,
    thetas: Numbers,
    sigma: float,
    duration: float,
    records: int,
    seed: int,
    store: Path | None,
    progress: bool,
) -> xr.Dataset:
    """Risks at n = d in time, by gradient descent and by the gradient flow it stands for."""
    thetas = np.asarray(thetas, float)
    setting: dict[str, Any] = {"d": d, "sigma": sigma, "duration": duration, "records": records}

    def fine_tuned(key: Array, prepared: None, *, engine: str, theta: Array) -> dict[str, Array]:
        risks = _risks(key, theta, engine=engine, fine_tuning=True, rate=_RATE, **setting)
        return {"risk": risks}

    def new(key: Array, prepared: None, *, engine: str, rate: float) -> dict[str, Array]:
        theta = float(thetas[0])
        risks = _risks(key, theta, engine=engine, fine_tuning=False, rate=rate, **setting)
        return {"risk": risks}

    def run(
        name: str, measure: Callable[..., dict[str, Array]], **outer: Sequence[str] | Numbers
    ) -> xr.Dataset:
        return sweep(
            measure,
            outer,
            {"time": duration / records * np.arange(records + 1)},
            instances=instances,
            key=jax.random.key(seed),
            static=[axis for axis in outer if axis != "theta"],
            store=place(store, name),
            attrs=setting,
            progress=progress,
        )

    engines = {"spectral": "", "flow": "_theory"}
    tuned = run("fine-tuning", fine_tuned, engine=list(engines), theta=thetas)
    scratch = run("scratch", new, engine=list(engines), rate=[_RATE_SCRATCH])
    half = run("half-rate", new, engine=["spectral"], rate=[_RATE_SCRATCH / 2])
    data = xr.Dataset(coords=tuned.drop_vars("engine").coords)
    for engine, end in engines.items():
        risk = tuned.risk.sel(engine=engine, drop=True)
        data[f"risk{end}"] = risk.transpose("theta", "instance", "time")
        risk = scratch.risk.sel(engine=engine, drop=True).isel(rate=0, drop=True)
        data[f"risk_scratch{end}"] = risk.transpose("instance", "time")
        data[f"equal_time{end}"] = data[f"risk_scratch{end}"] - data[f"risk{end}"]
        # The paper's panels: scratch at the end, fine-tuning at any time before.
        final = data[f"risk_scratch{end}"].isel(time=-1, drop=True)
        data[f"unequal_time{end}"] = final - data[f"risk{end}"]
    risk = half.risk.isel(engine=0, rate=0, drop=True)
    data["risk_scratch_half_rate"] = risk.transpose("instance", "time")
    seconds = sum(part.attrs["seconds"] for part in (tuned, scratch, half))
    return data.assign_attrs(d=d, sigma=sigma, seed=seed, engine="spectral", seconds=seconds)


def _draw_time(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, axes = row_of_axes(2)
    late = data.isel(time=slice(1, None))
    shown = np.unique(np.geomspace(1, late.sizes["time"], 12).round().astype(int)) - 1
    titles = {
        "equal_time": "both at the same time",
        "unequal_time": rf"scratch at time {float(data.time[-1]):g}",
    }
    for (name, title), ax in zip(titles.items(), axes, strict=True):
        for i, theta in enumerate(data.theta.values):
            part = late[name].sel(theta=theta).isel(time=shown)
            mean, error = part.mean("instance"), part.std("instance", ddof=1)
            error = error / np.sqrt(part.sizes["instance"])
            label = rf"$\theta$ = {plot.format_angle(theta)}"
            ax.errorbar(part.time, mean, error, fmt=".", color=f"C{i}", label=label)
            line = late[f"{name}_theory"].sel(theta=theta).mean("instance")
            ax.plot(late.time, line, color=f"C{i}")
        ax.axhline(0, color="black", linewidth=0.6)
        ax.axvline(80, color="black", linestyle=":", linewidth=1)
        ax.set(xscale="log", title=title, xlabel="time of fine-tuning")
        ax.set_ylabel(r"transferability at $\gamma = 1$")
    axes[0].legend()
    return figure


def _agree_time(data: xr.Dataset) -> Agreement:
    # Steps of size r follow the flow to first order in r. From a small start they also leave the
    # plateau late, by a share of the order of r of a long time: there a run of half the step
    # cancels that order and leaves the square.
    late = data.isel(time=slice(1, None))
    extrapolated = 2 * late.risk_scratch_half_rate - late.risk_scratch
    ratios = {
        "risk of fine-tuning over that of the flow": (late.risk / late.risk_theory, _RATE),
        "risk of scratch, steps to zero, over that of the flow": (
            extrapolated / late.risk_scratch_theory,
            _RATE_SCRATCH**2,
        ),
    }
    return together(
        *[
            agreement_table({name: (ratio, 1.0)}, over=None, tolerance=bound)
            for name, (ratio, bound) in ratios.items()
        ]
    )


FIG_TIME = Figure(
    "fig-time",
    "Fine-tuning at n = d against training time: what is early stopping, not transfer",
    {
        scale: {
            "d": d,
            "instances": instances,
            "thetas": np.pi / 8 * np.array([1, 2, 3]),
            "sigma": 0.2,
            "duration": 1000.0,
            "records": 100,
            "seed": 0,
        }
        for scale, (d, instances) in {"laptop": (200, 10), "paper": (500, 20)}.items()
    },
    _measure_time,
    _draw_time,
    _agree_time,
)
