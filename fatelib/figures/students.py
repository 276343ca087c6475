"""ReLU students and their teacher: kernels before, during and after pretraining."""

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.figure
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from fatelib.agreement import Agreement, agreement_table
from fatelib.figures.figure import Figure, together, tolerance
from fatelib.relu import (
    ReluNetwork,
    ReluTasks,
    distance2,
    feature_alignment,
    feature_distance,
    feature_gram,
    nearest_cosine,
    pretrain,
)

__all__ = ["FIG_3AB"]

# A neuron has turned to one of the teacher when the cosine between them exceeds this.
_TURNED = 0.9

_DRAWS = 10_000  # inputs in a batch of the Monte Carlo estimate of a risk


def centred(gram: np.ndarray) -> np.ndarray:
    """Remove from a kernel on data the mean of every feature: rows and columns average to zero."""
    return gram - gram.mean(0)[None, :] - gram.mean(1)[:, None] + gram.mean()


def _sampled_cosines(W: Any, V: Any, draws: Any) -> list[np.ndarray]:
    """Alignment of two kernels, centred, and their cosine without, from batches of inputs.

    Each batch compares one half of its inputs with the other: between independent inputs the mean
    of a product of two kernels has no bias, while the diagonal of a square Gram matrix adds one.
    """
    half = draws.shape[1] // 2
    grams = [[np.asarray(feature_gram(U, X), float)[:half, half:] for U in (W, V)] for X in draws]

    def cosine(pairs: Any) -> np.ndarray:
        inner = [[(A * B).sum(), (A * A).sum(), (B * B).sum()] for A, B in pairs]
        mean = np.mean(inner, axis=0)
        # The ratio of means, and how each batch moves it to first order: these values have that
        # ratio as their mean and scatter as it does.
        moves = (inner / mean - 1) @ [1, -0.5, -0.5]
        return mean[0] / np.sqrt(mean[1] * mean[2]) * (1 + moves)

    return [cosine([[centred(A), centred(B)] for A, B in grams]), cosine(grams)]


@jax.jit
def _sampled_risks(network: ReluNetwork, target: ReluNetwork, keys: Any) -> Any:
    """Mean squared errors on as many batches of fresh inputs as there are keys."""

    def risk(key: Any) -> Any:
        X = jax.random.normal(key, (_DRAWS, network.W.shape[1]), network.W.dtype)
        outputs = [jnp.mean(f.features(X) * f.c[None, :], axis=1) for f in (network, target)]
        return jnp.mean((outputs[0] - outputs[1]) ** 2)

    return jax.lax.map(risk, keys)


def _observer(source: ReluNetwork) -> Any:
    """Return what is recorded while a student learns from this teacher."""

    def observe(network: ReluNetwork) -> dict[str, Any]:
        return {
            "alignment": feature_alignment(network.W, source.W),
            "distance": feature_distance(network.W, source.W),
            "turned": jnp.mean(nearest_cosine(network.W, source.W) > _TURNED),
        }

    return observe


def _measure(
    *,
    d: int,
    width: int,
    neurons: int,
    fraction: float,
    scales: Any,
    instances: int,
    steps: int,
    records: int,
    inputs: int,
    batches: int,
    seed: int,
    store: Any,
    progress: bool,
) -> xr.Dataset:
    del store
    scales = np.asarray(scales, float)
    every = max(steps // records, 1)

    @jax.jit
    def learn(keys: Any, scale: Any) -> Any:
        task_key, student_key = keys
        tasks = ReluTasks.ablated(task_key, d, neurons, fraction)
        start = ReluNetwork.init(student_key, d, width, scale=scale)
        student, history = pretrain(
            start,
            tasks.source,
            learning_rate=1 / (0.5 + scale**2),  # stable at the curvature scale^2 + O(1)
            steps=every * records,
            tolerance=0.0,
            record_every=every,
            observe=_observer(tasks.source),
        )
        return tasks, start, student, {"loss": history.loss, **history.observed}

    keys = jax.random.split(jax.random.key(seed), (instances, 3))
    data = xr.Dataset(
        coords={
            "scale": scales,
            "instance": range(instances),
            "step": every * np.arange(records + 1),
            "batch": range(batches),
            "i": range(inputs),
            "j": range(inputs),
        }
    )
    cells = [(s, r) for s in range(len(scales)) for r in range(instances)]
    parts: dict[str, Any] = {}
    for s, r in tqdm(cells, desc="fig-3ab", disable=not progress):
        tasks, start, student, seen = learn(keys[r, :2], jnp.float32(scales[s]))
        for name, series in seen.items():
            whole = parts.setdefault(
                name, np.zeros((len(scales), instances, records + 1), np.float32)
            )
            whole[s, r] = series
        test_keys = jax.random.split(keys[r, 2], batches)  # every scale sees the same inputs
        draws = jax.vmap(lambda key: jax.random.normal(key, (2 * inputs, d)))(test_keys)
        alignments, cosines = _sampled_cosines(student.W, tasks.source.W, draws)
        estimates = {
            "sampled_alignment": alignments,
            "sampled_cosine": cosines,
            "sampled_risk": _sampled_risks(student, tasks.target, test_keys),
        }
        expected = {
            "sampled_alignment": feature_alignment(student.W, tasks.source.W),
            "sampled_cosine": 1 - feature_distance(student.W, tasks.source.W) ** 2 / 2,
            "sampled_risk": distance2(student, tasks.target),
        }
        for name, values in estimates.items():
            shape = (len(scales), instances)
            parts.setdefault(name, np.zeros((*shape, batches)))[s, r] = values
            parts.setdefault(f"{name}_theory", np.zeros(shape))[s, r] = expected[name]
        if r == 0:
            X, source = draws[0, :inputs], tasks.source
            X = X[np.argsort(np.argmax(X @ source.W.T, axis=1), kind="stable")]
            grams = {"initial": start.W, "student": student.W, "source": source.W}
            for name, W in grams.items():
                gram = parts.setdefault(
                    f"gram_{name}", np.zeros((len(scales), inputs, inputs), np.float32)
                )
                gram[s] = feature_gram(W, X)
    dims = {"sampled": ("scale", "instance", "batch"), "gram": ("scale", "i", "j")}
    for name, values in parts.items():
        dim = dims.get(name.split("_")[0], ("scale", "instance", "step"))
        data[name] = (dim[: values.ndim], values)
    return data.assign_attrs(
        d=d, width=width, neurons=neurons, fraction=fraction, seed=seed, engine="descent"
    )


def show_gram(gram: Any, ax: Any) -> None:
    """Draw a Gram matrix, centred, in units of its own size."""
    values = centred(np.asarray(gram, float))
    limit = np.quantile(abs(values), 0.98)
    ax.imshow(values, vmin=-limit, vmax=limit, cmap="RdBu", interpolation="none")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)


def _draw(data: xr.Dataset) -> matplotlib.figure.Figure:
    students = len(data.scale)
    columns = students + 2
    figure = plt.figure(figsize=(2.6 * columns, 5.8), layout="constrained")
    rows: Any = figure.subfigures(2, 1, height_ratios=[1, 1.1])
    axes = rows[0].subplots(1, columns)
    small = data.isel(scale=0)
    panels = {"before": small.gram_initial}
    panels |= {f"trained, s = {s:g}": data.gram_student.sel(scale=s) for s in data.scale.values}
    panels["source teacher"] = small.gram_source
    for ax, (title, gram) in zip(axes, panels.items(), strict=True):
        show_gram(gram, ax)
        ax.set_title(title)
    names = {"loss": "loss", "alignment": "alignment", "distance": "distance"}
    for ax, (name, label) in zip(rows[1].subplots(1, 3), names.items(), strict=True):
        for k, scale in enumerate(data.scale.values):
            curve = data[name].sel(scale=scale)[:, 1:]
            ax.plot(curve.step, curve.T, color=f"C{k}", linewidth=1)
            ax.plot([], [], color=f"C{k}", label=f"s = {scale:g}")
        ax.set(xscale="log", xlabel="steps", ylabel=label)
        if name == "loss":
            ax.set_yscale("log")
            ax.legend()
    return figure


def _compare(data: xr.Dataset) -> Agreement:
    cells, batches = data.scale.size * data.instance.size, data.batch.size
    names = {
        "sampled_alignment": "alignment of Gram matrices",
        "sampled_cosine": "cosine of Gram matrices",
        "sampled_risk": "risk on samples",
    }
    return together(
        *[
            agreement_table(
                {label: (data[name], data[f"{name}_theory"])},
                over="batch",
                tolerance=tolerance(cells, batches),
            )
            for name, label in names.items()
        ]
    )


FIG_3AB = Figure(
    "fig-3ab",
    "Kernels of ReLU students before, during and after pretraining, and their teacher's",
    {
        scale: {
            "d": d,
            "width": width,
            "neurons": neurons,
            "fraction": 0.5,
            "scales": (0.1, 1.0, 5.0),
            "instances": instances,
            "steps": steps,
            "records": 50,
            "inputs": 200,
            "batches": 100,  # of 10^4 draws: risks are held against 10^6
            "seed": 0,
        }
        for scale, (d, width, neurons, instances, steps) in {
            "laptop": (30, 200, 20, 2, 1500),
            "paper": (100, 1000, 100, 3, 20_000),
        }.items()
    },
    _measure,
    _draw,
    _compare,
)
