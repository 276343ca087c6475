"""Transfer of ReLU networks: scratch risk, learning curves of the last layer, phase diagram."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from jaxtyping import Array
from matplotlib.colors import LogNorm

from fatelib import relu, theory
from fatelib.agreement import Agreement, agreement_table
from fatelib.arguments import check
from fatelib.figures.curves import row_of_axes
from fatelib.figures.figure import Figure, Numbers, Setting, place, together, tolerance
from fatelib.relu.diagram import relu_phase_diagram
from fatelib.sweep import sweep
from fatelib.transfer import linear_transfer, scratch

__all__ = ["FIG_3C", "FIG_3E", "FIG_CURVE", "beyond_chance", "exponent"]

CELLS = ("fraction", "n")
LABELS = {
    "source_features": "source's own features",
    "linear_transfer": "pretrained features",
    "random_features": "random features",
    "fine_tuning": "fine-tuning",
}


def beyond_chance(
    measured: xr.DataArray, expected: xr.DataArray | float, errors: float = 4.0
) -> xr.DataArray:
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
    from scipy.stats import t

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
    absolute_tolerance: float,
    steps: int,
    samples: int,
    seed: int,
    store: Path | None,
    progress: bool,
) -> xr.Dataset:
    def measure(key: Array, prepared: None, *, width: int, n: int) -> dict[str, Array]:
        keys = [jax.random.fold_in(key, i) for i in range(4)]
        tasks = relu.ReluTasks.ablated(keys[0], d, teacher_width, 0.0)
        X, y = tasks.sample(jax.random.fold_in(keys[1], n), n)
        result = scratch(
            keys[2], tasks, X, y, width=width, steps=steps, absolute_tolerance=absolute_tolerance
        )
        fresh, labels = tasks.sample(keys[3], samples)
        misses = (result.network.outputs(fresh) - labels) ** 2
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
        attrs={
            "d": d,
            "teacher_width": teacher_width,
            "absolute_tolerance": absolute_tolerance,
            "steps": steps,
        },
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


_SMALL: dict[str, Setting] = {"d": 30, "teacher_width": 20}
_LARGE: dict[str, Setting] = {"d": 100, "teacher_width": 100}

FIG_3C = Figure(
    "fig-3c",
    "Risk of ReLU networks trained from scratch, against the number of samples",
    {
        "laptop": {
            **_SMALL,
            "widths": (100, 200),
            "ns": (30, 60, 120, 240),
            "instances": 8,
            "absolute_tolerance": 1e-5,
            "steps": 100_000,
            "samples": 20_000,
            "seed": 0,
        },
        "paper": {
            **_LARGE,
            "widths": (300, 1000),
            "ns": (30, 65, 139, 300, 646, 1392, 3000),
            "instances": 5,
            "absolute_tolerance": 1e-6,
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


def _pretrained(
    tasks: relu.ReluTasks,
    start: relu.ReluNetwork,
    *,
    steps: int,
    absolute_tolerance: float,
    **run: Any,
) -> xr.Dataset:
    """Train the one student on the source teacher."""
    width, d = start.W.shape

    def measure(key: Array, prepared: None) -> dict[str, Array]:
        student, history = relu.pretrain(
            start, tasks.source, steps=steps, absolute_tolerance=absolute_tolerance
        )
        return {
            "weights": student.W,
            "loss": history.loss[-1],
            "converged": history.converged,
        }

    inner = {"neuron": range(width), "input": range(d)}
    return sweep(measure, {}, inner, instances=1, **run).isel(instance=0)


def _risks(
    tasks: relu.ReluTasks,
    neurons: Mapping[str, Array],
    *,
    sigmas: Sequence[float],
    ridges: Sequence[float],
    ns: Sequence[int],
    **run: Any,
) -> xr.Dataset:
    """Fit last layers to many data sets, the same ones for all features."""
    largest = max(ns)

    def measure(
        key: Array, prepared: None, *, features: str, sigma: Array, ridge: Array, n: Array
    ) -> dict[str, Array]:
        # Rows of zeros count in n alone, and all n then share one compiled program.
        noisy = relu.ReluTasks(tasks.source, tasks.target, sigma)
        X, y = noisy.sample(jax.random.clone(key), largest)
        weight = jnp.where(jnp.arange(largest) < n, jnp.sqrt(largest / n), 0.0)
        W = neurons[features]
        network = relu.ReluNetwork(W, jnp.zeros(len(W)))
        data = weight[:, None] * X, weight * y
        return {"risk": linear_transfer(network, tasks, *data, ridge=ridge).risk}

    outer = {"features": list(neurons), "sigma": sigmas, "ridge": ridges, "n": ns}
    return sweep(measure, outer, {}, static=("features",), **run)


def _add_prediction(data: xr.Dataset, spectra: Sequence[relu.FeatureSpectrum]) -> xr.Dataset:
    """Add the risks that theory predicts: at the points, between them, at the best ridge."""
    ns, ridges = data.n.values, data.ridge.values
    # Between and beyond the points: the poles, and what the best ridge at each n would give.
    dense = np.unique(np.geomspace(ns.min(), ns.max(), 150).round())
    shape = data.sizes["features"], data.sizes["sigma"]
    expected = np.zeros((*shape, len(ridges), len(ns)))
    curves, best = np.zeros((*shape, len(ridges), len(dense))), np.zeros((*shape, len(dense)))
    for i, spectrum in enumerate(spectra):
        for j, sigma in enumerate(data.sigma.values):

            def risk(
                n: np.ndarray,
                ridge: np.ndarray,
                spectrum: relu.FeatureSpectrum = spectrum,
                sigma: float = sigma,
            ) -> Array:
                return theory.ridge_risk(
                    n,
                    spectrum.eigenvalues,
                    spectrum.coefficients2,
                    residual=spectrum.residual,
                    noise=sigma,
                    ridge=ridge[:, None],
                )

            expected[i, j] = risk(ns, ridges)
            strengths = np.append(np.geomspace(1e-3, 10, 25) * spectrum.eigenvalues.mean(), ridges)
            predicted = risk(dense, strengths)
            curves[i, j], best[i, j] = predicted[-len(ridges) :], predicted.min(0)
    data = data.assign_coords(size=dense)
    data["risk_curve"] = ("features", "sigma", "ridge", "size"), curves
    data["risk_best"] = ("features", "sigma", "size"), best
    data["risk_theory"] = ("features", "sigma", "ridge", "n"), expected
    return data


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
    absolute_tolerance: float,
    steps: int,
    seed: int,
    store: Path | None,
    progress: bool,
) -> xr.Dataset:
    """One teacher and one student; an instance is a data set."""
    key = jax.random.key(seed)
    keys = jax.random.split(key, 3)
    check("width", width, lambda w: w >= teacher_width, f"at least {teacher_width}, the teacher's")
    tasks = relu.ReluTasks.ablated(keys[0], d, teacher_width, fraction)
    start = relu.ReluNetwork.init(keys[1], d, width)
    setting = {"d": d, "width": width, "teacher_width": teacher_width, "fraction": fraction}
    attrs = {**setting, "steps": steps, "absolute_tolerance": absolute_tolerance}
    run: dict[str, Any] = {"attrs": attrs, "progress": progress}
    student = _pretrained(
        tasks,
        start,
        steps=steps,
        absolute_tolerance=absolute_tolerance,
        key=jax.random.clone(key),
        store=place(store, "student"),
        **run,
    )
    absent = jnp.zeros((width - teacher_width, d))
    features = {
        "source_features": jnp.concatenate([tasks.source.W, absent]),
        "linear_transfer": jnp.asarray(student.weights.values),
        "random_features": start.W,
    }
    data = _risks(
        tasks,
        features,
        sigmas=sigmas,
        ridges=ridges,
        ns=ns,
        instances=instances,
        key=keys[2],
        store=place(store, "risks"),
        **run,
    ).astype(float)
    spectra = [
        relu.feature_spectrum(W, tasks.target.W, tasks.target.c / teacher_width)
        for W in features.values()
    ]
    data = _add_prediction(data, spectra)
    data["rank"] = "features", [int((s.eigenvalues > 0).sum()) for s in spectra]
    data["outside"] = "features", [float(s.residual) for s in spectra]
    return data.assign_attrs(
        source_loss=float(student.loss),
        source_converged=int(student.converged),
        instances=instances,
        seed=seed,
        seconds=student.attrs["seconds"] + data.attrs["seconds"],
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
            color = f"C{i}"
            ax.errorbar(data.n, mean.sel(at), error.sel(at), fmt="o", color=color)
            ax.plot(data["size"], part.risk_curve.sel(at), label=LABELS[str(name)], color=color)
            if ridge > 0:
                ax.plot(data["size"], part.risk_best.sel(features=name), ":", color=color)
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


_CURVE: dict[str, Setting] = {
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
            "absolute_tolerance": 1e-5,
        },
        "paper": {
            **_LARGE,
            **_CURVE,
            "width": 1000,
            "ns": (30, 50, 100, 200, 400, 650, 1600, 3000),
            "instances": 6,
            "absolute_tolerance": 1e-6,
        },
    },
    _measure_curve,
    _draw_curve,
    _agree_curve,
)


# The phase diagram --------------------------------------------------------------------------------


def _measure_diagram(
    *, store: Path | None, seed: int, fractions: Numbers, ns: Sequence[int], **settings: Any
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
    step = 2 if bound < 16 else 4
    ticks = {f"1/{step**k}": step**-k for k in (3, 2, 1)} | {
        f"{step**k}": step**k for k in range(4)
    }
    ticks = {text: t for text, t in ticks.items() if 1 / bound < t < bound}
    bar = figure.colorbar(image, ax=list(axes), label="risk of scratch / risk of transfer")
    bar.set_ticks([*ticks.values()], labels=[*ticks])
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
            "absolute_tolerance": 3e-5,
            "steps": 100_000,
            "source_options": {"steps": 1_500, "absolute_tolerance": 1e-6},
            "memory": 2.0,
            "seed": 0,
        },
        "paper": {
            **_LARGE,
            "width": 1000,
            "fractions": tuple(np.round(np.arange(1, 10) / 10, 1).tolist()),
            "ns": tuple(np.round(np.geomspace(30, 3000, 10)).astype(int).tolist()),
            "instances": 5,
            "absolute_tolerance": 1e-6,
            "steps": 100_000,
            # The time of the paper's 100,000 steps of 0.01.
            "source_options": {"learning_rate": 0.1, "steps": 10_000, "absolute_tolerance": 1e-6},
            "memory": 8.0,  # gigabytes: on a GPU ten of the largest networks at once
            "seed": 0,
        },
    },
    _measure_diagram,
    _draw_diagram,
    _agree_diagram,
)
