"""ReLU students and their teacher: kernels before, during and after pretraining."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import matplotlib.figure
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes

from fatelib.agreement import Agreement, agreement_table
from fatelib.descent.precision import matmul
from fatelib.figures.figure import Figure, Numbers, place, together, tolerance
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
from fatelib.sweep import instance_keys, sweep

__all__ = ["FIG_3AB"]

# A neuron has turned to one of the teacher when the cosine between them exceeds this.
_TURNED = 0.9

_DRAWS = 10_000  # inputs in a batch of the Monte Carlo estimate of a risk

Matrix = TypeVar("Matrix", np.ndarray, Array)


def centred(gram: Matrix) -> Matrix:
    """Remove from a kernel on data the mean of every feature: rows and columns average to zero."""
    return gram - gram.mean(0)[None, :] - gram.mean(1)[:, None] + gram.mean()


def _sampled_cosines(
    W: Float[Array, "m d"], V: Float[Array, "k d"], draws: Float[Array, "batches n d"]
) -> tuple[Float[Array, " batches"], Float[Array, " batches"]]:
    """Alignment of two kernels, centred, and their cosine without, from batches of inputs.

    Each batch compares one half of its inputs with the other: between independent inputs the mean
    of a product of two kernels has no bias, while the diagonal of a square Gram matrix adds one.
    """
    half = draws.shape[1] // 2

    def products(X: Array) -> Array:
        A, B = (feature_gram(U, X)[:half, half:] for U in (W, V))
        pairs = jnp.stack([jnp.stack([centred(A), centred(B)]), jnp.stack([A, B])])
        A, B = pairs[:, 0], pairs[:, 1]
        return jnp.stack([jnp.sum(M, axis=(1, 2)) for M in (A * B, A * A, B * B)], axis=1)

    inner = jax.lax.map(products, draws)
    mean = inner.mean(0)
    # The ratio of means, and how each batch moves it to first order: these values have that
    # ratio as their mean and scatter as it does.
    moves = jnp.sum((inner / mean[None] - 1) * jnp.array([1, -0.5, -0.5])[None, None, :], axis=2)
    values = (mean[:, 0] / jnp.sqrt(mean[:, 1] * mean[:, 2]))[None, :] * (1 + moves)
    return values[:, 0], values[:, 1]


def _sampled_risks(
    network: ReluNetwork, target: ReluNetwork, keys: Key[Array, " batches"]
) -> Float[Array, " batches"]:
    """Mean squared errors on as many batches of fresh inputs as there are keys."""

    def risk(key: Array) -> Array:
        X = jax.random.normal(key, (_DRAWS, network.W.shape[1]), network.W.dtype)
        outputs = [jnp.mean(f.features(X) * f.c[None, :], axis=1) for f in (network, target)]
        return jnp.mean((outputs[0] - outputs[1]) ** 2)

    return jax.lax.map(risk, keys)


@dataclass(frozen=True)
class _Pretraining:
    """One student and its teacher; how long it learns, and on how many inputs they compare."""

    d: int
    width: int
    neurons: int
    fraction: float
    every: int
    records: int
    inputs: int
    batches: int

    def learn(
        self, task_key: Array, student_key: Array, scale: Array
    ) -> tuple[ReluTasks, ReluNetwork, ReluNetwork, dict[str, Array]]:
        """Return the teachers, the student before and after, and what was recorded."""
        tasks = ReluTasks.ablated(task_key, self.d, self.neurons, self.fraction)
        start = ReluNetwork.init(student_key, self.d, self.width, scale=scale)

        def observe(network: ReluNetwork) -> dict[str, Array]:
            return {
                "alignment": feature_alignment(network.W, tasks.source.W),
                "distance": feature_distance(network.W, tasks.source.W),
                "turned": jnp.mean(nearest_cosine(network.W, tasks.source.W) > _TURNED),
            }

        student, history = pretrain(
            start,
            tasks.source,
            learning_rate=1 / (0.5 + scale**2),  # stable at the curvature scale^2 + O(1)
            steps=self.every * self.records,
            tolerance=0.0,
            record_every=self.every,
            observe=observe,
        )
        return tasks, start, student, {"loss": history.loss, **history.observed}

    def compare(
        self, student: ReluNetwork, tasks: ReluTasks, draws: Array, risk_keys: Array
    ) -> dict[str, Array]:
        """Return what batches of inputs say of a student, and what the kernel does."""
        alignments, cosines = _sampled_cosines(student.W, tasks.source.W, draws)
        distance = feature_distance(student.W, tasks.source.W)
        return {
            "sampled_alignment": alignments,
            "sampled_alignment_theory": feature_alignment(student.W, tasks.source.W),
            "sampled_cosine": cosines,
            "sampled_cosine_theory": 1 - distance**2 / 2,
            "sampled_risk": _sampled_risks(student, tasks.target, risk_keys),
            "sampled_risk_theory": distance2(student, tasks.target),
        }

    def measure(self, keys: Key[Array, "3"], scale: Array) -> dict[str, Array]:
        """Return all of one instance; every scale has the same tasks, start and inputs."""
        own = jax.random.clone(keys)
        tasks, start, student, seen = self.learn(own[0], own[1], scale)
        kernel_keys, risk_keys = jax.random.split(own[2], (2, self.batches))
        shape = (2 * self.inputs, self.d)
        draws = jax.vmap(lambda key: jax.random.normal(key, shape))(kernel_keys)
        # In the order of the neurons of the teacher that answer the most.
        X = draws[0, : self.inputs]
        X = X[jnp.argsort(jnp.argmax(matmul(X, tasks.source.W.T), axis=1), stable=True)]
        return {
            **seen,
            **self.compare(student, tasks, draws, risk_keys),
            "gram_initial": feature_gram(start.W, X),
            "gram_student": feature_gram(student.W, X),
            "gram_source": feature_gram(tasks.source.W, X),
        }


def _three_keys(key: Array, instances: int, keys: Key[Array, " some"]) -> Key[Array, "some 3"]:
    """Return three keys for some instances of a sweep: those of one split for all of them."""
    known = jax.random.key_data(instance_keys(key, instances))
    found = jax.random.key_data(keys)
    number = jnp.argmax((found[:, None] == known[None]).all(axis=2), axis=1)
    return jax.random.split(jax.random.clone(key), (instances, 3))[number]


# The results of one instance, and their dimensions.
_RESULTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("alignment", "distance", "loss", "turned"), ("step",)),
    **dict.fromkeys(("sampled_alignment", "sampled_cosine", "sampled_risk"), ("batch",)),
    "sampled_alignment_theory": (),
    "sampled_cosine_theory": (),
    "sampled_risk_theory": (),
    **dict.fromkeys(("gram_initial", "gram_student", "gram_source"), ("i", "j")),
}


def _measure(
    *,
    d: int,
    width: int,
    neurons: int,
    fraction: float,
    scales: Numbers,
    instances: int,
    steps: int,
    records: int,
    inputs: int,
    batches: int,
    seed: int,
    store: Path | None,
    progress: bool,
) -> xr.Dataset:
    every = max(steps // records, 1)
    coords = {
        "step": every * np.arange(records + 1),
        "batch": np.arange(batches),
        "i": np.arange(inputs),
        "j": np.arange(inputs),
    }
    shapes = {name: tuple(len(coords[dim]) for dim in dims) for name, dims in _RESULTS.items()}
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    experiment = _Pretraining(d, width, neurons, fraction, every, records, inputs, batches)
    key = jax.random.key(seed)

    def measure(key: Array, keys: Key[Array, "3"], *, scale: Array) -> dict[str, Array]:
        # Results of different dimensions, one after the other: a sweep has one set of these.
        results = experiment.measure(keys, scale)
        return {"entries": jnp.concatenate([jnp.ravel(results[name]) for name in _RESULTS])}

    found = sweep(
        measure,
        {"scale": np.asarray(scales, float)},
        {"entry": range(ends[-1])},
        instances=instances,
        key=key,
        prepare=partial(_three_keys, key, instances),
        store=place(store, "students"),
        attrs=asdict(experiment),
        progress=progress,
    )
    data = found.drop_vars(["entries", "entry"]).assign_coords(coords)
    entries = found.entries.transpose("scale", "instance", "entry").values
    parts = np.split(entries, ends[:-1], axis=2)
    for (name, dims), part in zip(_RESULTS.items(), parts, strict=True):
        values = part.reshape(*part.shape[:2], *shapes[name])
        if name.startswith("gram"):  # those of the first instance
            data[name] = ("scale", *dims), values[:, 0]
        else:
            values = values.astype(float) if name.startswith("sampled") else values
            data[name] = ("scale", "instance", *dims), values
    return data.assign_attrs(seed=seed, engine="descent")


def show_gram(gram: xr.DataArray, ax: Axes) -> None:
    """Draw a Gram matrix, centred, in units of its own size."""
    values = centred(np.asarray(gram, float))
    limit = float(np.quantile(abs(values), 0.98))
    ax.imshow(values, vmin=-limit, vmax=limit, cmap="RdBu", interpolation="none")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)


def _draw(data: xr.Dataset) -> matplotlib.figure.Figure:
    students = len(data.scale)
    columns = students + 2
    figure = plt.figure(figsize=(2.6 * columns, 5.8), layout="constrained")
    rows = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 1.1])[:, 0]
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
