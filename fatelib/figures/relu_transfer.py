"""Transfer of ReLU networks: scratch risk, learning curves of the last layer, phase diagram."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm
from tqdm.auto import tqdm

from fatelib import relu, theory
from fatelib.agreement import Agreement, agreement_table
from fatelib.arguments import check
from fatelib.figures.curves import row_of_axes
from fatelib.figures.figure import Figure, place, together, tolerance
from fatelib.grid import sweep
from fatelib.relu_sweep import relu_phase_diagram
from fatelib.transfer import linear_transfer, scratch

__all__ = ["FIG_3C", "FIG_3E", "FIG_CURVE", "beyond_chance", "exponent"]

CELLS = ("fraction", "n")
LABELS = {
    "source_features": "source's own features",
    "linear_transfer": "pretrained features",
    "random_features": "random features",
    "fine_tuning": "fine-tuning",
}


def beyond_chance(measured: xr.DataArray, expected: Any, errors: float = 4.0) -> xr.DataArray:
    """Return the relative deviation of each cell, zero where so many standard errors explain it."""
    relative = measured / expected - 1
    chance = errors * relative.std("instance", ddof=1) / np.sqrt(relative.sizes["instance"])
    off = abs(relative.mean("instance"))
    return off.where(off > chance, 0.0)


# Scratch training ---------------------------------------------------------------------------------


def exponent(risk: xr.DataArray, level: float = 0.95) -> tuple[float, float, float]:
    r"""Fit :math:`R = A n^{-\nu}`, one exponent per instance.

    Returns:
        The mean of the exponents and the ends of the confidence interval of their mean.
    """
    from scipy.stats import t  # type: ignore[import-untyped]

    slopes = [
        -np.polyfit(np.log(risk.n), np.log(one), 1)[0] for one in risk.transpose("instance", "n")
    ]
    mean, count = float(np.mean(slopes)), len(slopes)
    half = t.ppf((1 + level) / 2, count - 1) * np.std(slopes, ddof=1) / np.sqrt(count)
    return mean, mean - float(half), mean + float(half)


def _measure_scratch(
    *,
    d: int,
    teacher_width: int,
    widths: Sequence[int],
    ns: Sequence[int],
    instances: int,
    tolerance: float,
    steps: int,
    samples: int,
    seed: int,
    store: Any,
    progress: bool,
) -> xr.Dataset:
    def measure(key: Any, prepared: None, *, width: int, n: int) -> dict[str, Any]:
        keys = [jax.random.fold_in(key, i) for i in range(4)]
        tasks = relu.ReluTasks.ablated(keys[0], d, teacher_width, 0.0)
        X, y = tasks.sample(jax.random.fold_in(keys[1], n), n)
        result = scratch(keys[2], tasks, X, y, width=width, steps=steps, tolerance=tolerance)
        fresh, labels = tasks.sample(keys[3], samples)
        misses = (jax.vmap(result.network)(fresh) - labels) ** 2
        return {
            "risk": result.risk,
            "risk_sampled": jnp.mean(misses),
            "steps": result.steps,
            "converged": result.converged,
        }

    data = sweep(
        measure,
        {"width": list(widths), "n": list(ns)},
        {},
        instances=instances,
        key=jax.random.key(seed),
        static=("width", "n"),
        store=place(store, "scratch"),
        attrs={"d": d, "teacher_width": teacher_width, "tolerance": tolerance, "steps": steps},
        progress=progress,
    )
    data["risk_sampled_theory"] = data.risk
    return data


def _draw_scratch(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, (ax,) = row_of_axes(1)
    for i, width in enumerate(data.width.values):
        risk = data.risk.sel(width=width)
        mean, low, high = exponent(risk)
        error = risk.std("instance", ddof=1) / np.sqrt(risk.sizes["instance"])
        label = rf"{width} neurons: $\nu$ = {mean:.2f} ({low:.2f} to {high:.2f})"
        middle = np.exp(np.log(risk).mean("instance"))
        ax.errorbar(data.n, middle, error, fmt="o", color=f"C{i}", label=label)
        fit = np.polyfit(np.log(data.n), np.log(risk).mean("instance"), 1)  # geometric means
        ax.plot(data.n, np.exp(np.polyval(fit, np.log(data.n))), color=f"C{i}", linewidth=1)
    ax.set(xscale="log", yscale="log", xlabel="samples n", ylabel="risk of scratch training")
    ax.set_xticks(data.n.values, data.n.values)
    ax.minorticks_off()
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def _agree_scratch(data: xr.Dataset) -> Agreement:
    """Compare the exact risk with that on fresh samples."""
    difference = data.risk_sampled - data.risk_sampled_theory
    limit = tolerance(difference.isel(instance=0).size, data.sizes["instance"])
    name = "risk on fresh samples - risk by the kernel"
    return agreement_table({name: (difference, 0.0)}, tolerance=limit)


_SMALL: dict[str, Any] = {"d": 30, "teacher_width": 20}
_LARGE: dict[str, Any] = {"d": 100, "teacher_width": 100}

FIG_3C = Figure(
    "fig-3c",
    "Risk of ReLU networks trained from scratch, against the number of samples",
    {
        "laptop": {
            **_SMALL,
            "widths": (100, 200),
            "ns": (30, 60, 120, 240),
            "instances": 8,
            "tolerance": 1e-5,
            "steps": 100_000,
            "samples": 20_000,
            "seed": 0,
        },
        "paper": {
            **_LARGE,
            "widths": (300, 1000),
            "ns": (30, 65, 139, 300, 646, 1392, 3000),
            "instances": 5,
            "tolerance": 1e-6,
            "steps": 100_000,
            "samples": 20_000,
            "seed": 0,
        },
    },
    _measure_scratch,
    _draw_scratch,
    _agree_scratch,
)


# Learning curves of the last layer ----------------------------------------------------------------


def _measure_curve(
    *,
    d: int,
    teacher_width: int,
    width: int,
    fraction: float,
    ns: Sequence[int],
    sigmas: Sequence[float],
    ridges: Sequence[float],
    instances: int,
    tolerance: float,
    steps: int,
    seed: int,
    store: Any,
    progress: bool,
) -> xr.Dataset:
    """One teacher and one student; an instance is a data set."""
    del store
    keys = jax.random.split(jax.random.key(seed), 3)
    check("width", width, lambda w: w >= teacher_width, f"at least {teacher_width}, the teacher's")
    tasks = relu.ReluTasks.ablated(keys[0], d, teacher_width, fraction)
    start = relu.ReluNetwork.init(keys[1], d, width)
    student, history = relu.pretrain(start, tasks.source, steps=steps, tolerance=tolerance)
    absent = jnp.zeros((width - teacher_width, d))
    features = {
        "source_features": jnp.concatenate([tasks.source.W, absent]),
        "linear_transfer": student.W,
        "random_features": start.W,
    }
    largest = max(ns)

    # Rows of zeros count in n alone, and all n then share one compiled program.
    @jax.jit
    def risks(W: Any, n: Any, sigma: Any, ridge: Any) -> Any:
        def one(key: Any) -> Any:
            X, y = relu.ReluTasks(tasks.source, tasks.target, sigma).sample(key, largest)
            weight = jnp.where(jnp.arange(largest) < n, jnp.sqrt(largest / n), 0.0)
            network = relu.ReluNetwork(W, jnp.zeros(width))
            data = weight[:, None] * X, weight * y
            return linear_transfer(network, tasks, *data, ridge=ridge).risk

        return jax.lax.map(one, jax.random.split(keys[2], instances))

    dims: dict[str, list[Any]] = {"features": list(features), "sigma": list(sigmas)}
    dims |= {"ridge": list(ridges), "n": list(ns)}
    shape = tuple(len(values) for values in dims.values())
    measured, expected = np.zeros((*shape, instances)), np.zeros(shape)
    spectra = {
        name: relu.feature_spectrum(W, tasks.target.W, tasks.target.c / teacher_width)
        for name, W in features.items()
    }
    for at in tqdm(list(np.ndindex(shape)), desc="fig-curve", disable=not progress):
        name, sigma, ridge, n = (v[i] for v, i in zip(dims.values(), at, strict=True))
        spectrum = spectra[name]
        measured[at] = risks(features[name], n, sigma, ridge)
        expected[at] = theory.ridge_risk(
            n,
            spectrum.eigenvalues,
            spectrum.coefficients2,
            residual=spectrum.residual,
            noise=sigma,
            ridge=ridge,
        )
    data = xr.Dataset(coords=dims)
    data["risk"] = (*dims, "instance"), measured
    # Between and beyond the points: the poles, and what the best ridge at each n would give.
    dense = np.unique(np.geomspace(min(ns), largest, 150).round())
    curves, best = np.zeros((*shape[:3], len(dense))), np.zeros((*shape[:2], len(dense)))
    for i, spectrum in enumerate(spectra.values()):
        for j, sigma in enumerate(sigmas):
            strengths = np.append(np.geomspace(1e-3, 10, 25) * spectrum.eigenvalues.mean(), ridges)
            predicted = theory.ridge_risk(
                dense,
                spectrum.eigenvalues,
                spectrum.coefficients2,
                residual=spectrum.residual,
                noise=sigma,
                ridge=strengths[:, None],
            )
            curves[i, j], best[i, j] = predicted[-len(ridges) :], predicted.min(0)
    data["risk_curve"] = ("features", "sigma", "ridge", "size"), curves
    data["risk_best"] = ("features", "sigma", "size"), best
    data = data.assign_coords(size=dense)
    data["risk_theory"] = tuple(dims), expected
    kept = {name: int((spectrum.eigenvalues > 0).sum()) for name, spectrum in spectra.items()}
    data["rank"] = "features", [kept[name] for name in features]
    data["outside"] = "features", [float(s.residual) for s in spectra.values()]
    return data.assign_attrs(
        d=d,
        width=width,
        teacher_width=teacher_width,
        fraction=fraction,
        source_loss=float(history.loss[-1]),
        source_converged=int(history.converged),
        instances=instances,
        tolerance=tolerance,
        seed=seed,
    )


def _away_from_peak(data: xr.Dataset) -> xr.DataArray:
    """Return the cells that are not within a factor of 1.5 of n = rank."""
    return abs(np.log(data.n / data["rank"])) > np.log(1.5)


def _draw_curve(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, axes = row_of_axes(data.sizes["ridge"])
    part = data.isel(sigma=-1)
    mean = part.risk.mean("instance")
    error = part.risk.std("instance", ddof=1) / np.sqrt(part.sizes["instance"])
    for ax, ridge in zip(axes, data.ridge.values, strict=True):
        for i, name in enumerate(data.features.values):
            at = {"features": name, "ridge": ridge}
            style: Any = {"color": f"C{i}"}
            ax.errorbar(data.n, mean.sel(at), error.sel(at), fmt="o", **style)
            ax.plot(data["size"], part.risk_curve.sel(at), label=LABELS[str(name)], **style)
            if ridge > 0:
                ax.plot(data["size"], part.risk_best.sel(features=name), ":", **style)
        title = f"ridge {ridge:g} (dotted: the best at each n)" if ridge > 0 else "no ridge"
        ax.set(xscale="log", yscale="log", xlabel="samples n", title=title)
        ax.set_ylim(0.7 * float(part.risk_best.min()), 3 * float(mean.max()))
    axes[0].set_ylabel("risk of linear transfer")
    axes[-1].legend()
    return figure


def _agree_curve(data: xr.Dataset) -> Agreement:
    off = beyond_chance(data.risk, data.risk_theory)
    away = (_away_from_peak(data) | (data.ridge > 0)).broadcast_like(off)
    tables = []
    for name in data.features.values:
        row = f"{LABELS[str(name)]}: relative, beyond 4 s.e."
        cells = {row: (off.sel(features=name), 0.0)}
        where = away.sel(features=name)
        tables.append(agreement_table(cells, over=None, tolerance=0.05, where=where))
    return together(*tables)


_CURVE: dict[str, Any] = {
    "fraction": 0.5,
    "sigmas": (0.0, 0.1),
    "ridges": (0.0, 0.3),
    "steps": 3_600,
    "seed": 0,
}

FIG_CURVE = Figure(
    "fig-curve",
    "Learning curves of linear transfer on three sets of ReLU features, predicted from the neurons",
    {
        "laptop": {
            **_SMALL,
            **_CURVE,
            "width": 200,
            "ns": (30, 60, 100, 150, 320, 600, 1500),
            "instances": 16,
            "tolerance": 1e-5,
        },
        "paper": {
            **_LARGE,
            **_CURVE,
            "width": 1000,
            "ns": (30, 50, 100, 200, 400, 650, 1600, 3000),
            "instances": 6,
            "tolerance": 1e-6,
        },
    },
    _measure_curve,
    _draw_curve,
    _agree_curve,
)


# The phase diagram --------------------------------------------------------------------------------


def _measure_diagram(
    *, store: Any, seed: int, fractions: Any, ns: Any, **settings: Any
) -> xr.Dataset:
    return relu_phase_diagram(
        fractions,
        ns,
        key=jax.random.key(seed),
        store=place(store, "diagram"),
        **settings,
    )


def _draw_diagram(data: xr.Dataset) -> matplotlib.figure.Figure:
    """Draw how many times less risk transfer has, over (mu, n), and where that is once."""
    protocols = [m for m in ("linear_transfer", "fine_tuning") if m in data.protocol.values]
    figure, axes = row_of_axes(len(protocols))
    new = data.risk_scratch.mean("instance")
    gain = new / data.risk.sel(protocol=protocols).mean("instance")
    bound = float(np.exp(abs(np.log(gain)).max()))
    for ax, protocol in zip(axes, protocols, strict=True):
        image = ax.pcolormesh(
            data.fraction,
            data.n,
            gain.sel(protocol=protocol).transpose("n", "fraction"),
            cmap="RdBu",
            norm=LogNorm(1 / bound, bound),
            shading="nearest",
        )
        ax.set(yscale="log", xlabel=r"fraction removed $\mu$", title=LABELS[protocol])
        ax.set_yticks(data.n.values, data.n.values)
        ax.minorticks_off()
        if protocol == "linear_transfer":
            predicted = new / data.risk_theory.sel(protocol=protocol).mean("instance")
            ax.contour(
                data.fraction, data.n, predicted.transpose("n", "fraction"), [1.0], colors="k"
            )
    axes[0].set_ylabel("samples n")
    ticks = [t for t in (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8) if 1 / bound < t < bound]
    bar = figure.colorbar(image, ax=list(axes), label="risk of scratch / risk of transfer")
    bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    bar.minorticks_off()
    return figure


def _agree_diagram(data: xr.Dataset) -> Agreement:
    """Compare linear transfer with its prediction, on average over the diagram."""
    tables = []
    limit = tolerance(3, data.sizes["instance"])
    for protocol in data.protocol.values:
        if protocol == "fine_tuning":
            continue
        part = data.sel(protocol=protocol)
        off = (part.risk / part.risk_theory - 1).where(_away_from_peak(part))
        cells = {f"{LABELS[str(protocol)]}: risk / prediction - 1": (off.mean(CELLS), 0.0)}
        tables.append(agreement_table(cells, tolerance=limit))
    return together(*tables)


FIG_3E = Figure(
    "fig-3e",
    "Transferability of ReLU networks over the fraction removed and the number of samples",
    {
        "laptop": {
            **_SMALL,
            "width": 200,
            "fractions": (0.1, 0.35, 0.6, 0.9),
            "ns": (30, 60, 120, 360),
            "instances": 6,
            "tolerance": 3e-5,
            "steps": 100_000,
            "source_options": {"steps": 1_500, "tolerance": 1e-6},
            "memory": 2.0,
            "seed": 0,
        },
        "paper": {
            **_LARGE,
            "width": 1000,
            "fractions": tuple(np.round(np.arange(1, 10) / 10, 1).tolist()),
            "ns": tuple(np.round(np.geomspace(30, 3000, 10)).astype(int).tolist()),
            "instances": 5,
            "tolerance": 1e-6,
            "steps": 100_000,
            # The time of the paper's 100,000 steps of 0.01.
            "source_options": {"learning_rate": 0.1, "steps": 10_000, "tolerance": 1e-6},
            "memory": 8.0,  # gigabytes: on a GPU ten of the largest networks at once
            "seed": 0,
        },
    },
    _measure_diagram,
    _draw_diagram,
    _agree_diagram,
)
