"""What ReLU features can express: the kernel's spectrum, and a teacher that lost neurons."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from fatelib import relu, theory
from fatelib.agreement import Agreement, agreement_table
from fatelib.arguments import check
from fatelib.descent.batch import each
from fatelib.figures.curves import row_of_axes
from fatelib.figures.figure import (
    Figure,
    Numbers,
    formula,
    in_double_precision,
    place,
    position,
    together,
    tolerance,
)
from fatelib.sweep import sweep
from fatelib.transfer import linear_transfer

__all__ = ["FIG_3D", "FIG_MERCER", "outside_share"]


# Eigenvalues of the arc-cosine kernel -------------------------------------------------------------

# From here on the sums over degrees have converged to far below their standard errors.
LAST_DEGREE = 20


def _measure_mercer(
    *,
    d: int,
    neurons: int,
    degree: int,
    instances: int,
    seed: int,
    store: Path | None,
    progress: bool,
) -> xr.Dataset:
    """Eigenvalues of Gram matrices of random unit neurons, degree by degree."""
    eigenvalues, multiplicities = relu.mercer_spectrum(d, LAST_DEGREE)
    degrees = np.array([l for l in range(degree + 1) if eigenvalues[l] > 0])
    ends = multiplicities[degrees].cumsum().astype(int)
    check("neurons", neurons, lambda m: m > ends[-1], f"a number > {ends[-1]}, for every degree")
    one = jnp.ones(())

    def measure(key: Array, prepared: None) -> dict[str, Array]:
        # Drawn in the default precision; the many small eigenvalues take a double one.
        W = relu.ReluNetwork.init(key, d, neurons, scale=one).W
        gram = relu.arccos_kernel(W, W).astype(float)
        pairs, triples = _power_sums(gram)
        spectrum = jnp.linalg.eigvalsh(gram)[::-1] / neurons
        return {"spectrum": spectrum, "pairs": pairs, "triples": triples}

    with in_double_precision():
        found = sweep(
            measure,
            {},
            {"rank": range(1, neurons + 1)},
            instances=instances,
            key=jax.random.key(seed),
            store=place(store, "spectrum"),
            attrs={"d": d, "neurons": neurons},
            progress=progress,
        )
    data = found[["spectrum"]].transpose("instance", "rank")
    parts = np.split(data.spectrum.values, ends, axis=1)[:-1]
    means = np.stack([part.mean(axis=1) for part in parts], axis=1)
    data["eigenvalue"] = ("instance", "degree"), means
    data = data.assign_coords(degree=degrees, power=[2, 3])
    sums = np.stack([found.pairs, found.triples], axis=1)
    data["power_sum"] = ("instance", "power"), sums
    data["eigenvalue_mercer"] = ("degree", eigenvalues[degrees])
    data["multiplicity"] = ("degree", multiplicities[degrees])
    data["eigenvalue_theory"] = data.eigenvalue_mercer * [
        1 + _repulsion(l, eigenvalues, multiplicities) / neurons for l in degrees
    ]
    exact = [np.sum(multiplicities * eigenvalues**power) for power in (2, 3)]
    data["power_sum_theory"] = ("power", exact)
    return data.assign_attrs(seed=seed)


def _power_sums(
    gram: Float[Array, "m m"] | Float[np.ndarray, "m m"],
) -> tuple[Array | np.floating, Array | np.floating]:
    """Estimate the sums of squares and cubes of all eigenvalues, without bias.

    A product of kernel values round a cycle of distinct neurons has them as its mean.
    """
    m = len(gram)
    off = gram * (1 - np.eye(m))
    squares = off @ off
    pairs, triples = m * (m - 1), m * (m - 1) * (m - 2)
    return squares.trace() / pairs, (squares * off).sum() / triples


def _repulsion(degree: int, eigenvalues: np.ndarray, multiplicities: np.ndarray) -> float:
    """Return how much a random Gram matrix of m neurons shifts an eigenvalue, times m.

    Second-order perturbation theory, averaged over the eigenfunctions of one degree, whose squares
    add up to a constant: what one degree gains another one loses.
    """
    other = np.arange(len(eigenvalues)) != degree
    gaps = eigenvalues[degree] - eigenvalues[other]
    return float(np.sum(multiplicities[other] * eigenvalues[other] / gaps))


def _draw_mercer(data: xr.Dataset) -> matplotlib.figure.Figure:
    d, neurons = data.attrs["d"], data.attrs["neurons"]
    eigenvalues, multiplicities = relu.mercer_spectrum(d, LAST_DEGREE)
    figure, (ax,) = row_of_axes(1)
    ax.plot(data["rank"], data.spectrum.isel(instance=0), ".", label=f"{neurons} neurons")
    start = 1.0
    for l in np.flatnonzero(eigenvalues):
        end = start + multiplicities[l]
        if start > neurons:
            break
        span = np.array([start, min(max(end - 1, 1.15 * start), neurons)])
        ax.plot(span, [eigenvalues[l]] * 2, color="C1", label="Mercer" if l == 0 else None)
        ax.annotate(f"degree {l}", (span[0], eigenvalues[l]), (0, 5), textcoords="offset points")
        start = end
    ax.set(xscale="log", yscale="log", xlabel="rank", ylabel="eigenvalue")
    ax.legend(loc="lower left")
    return figure


def _agree_mercer(data: xr.Dataset) -> Agreement:
    cells = data.sizes["degree"] + data.sizes["power"]
    limit = tolerance(cells, data.sizes["instance"])
    return agreement_table(
        {
            "eigenvalue of each degree": (data.eigenvalue, data.eigenvalue_theory),
            "sums of powers of all": (data.power_sum, data.power_sum_theory),
        },
        tolerance=limit,
    )


FIG_MERCER = Figure(
    "fig-mercer",
    "Eigenvalues of the arc-cosine kernel by degree",
    {
        "laptop": {"d": 10, "neurons": 1000, "degree": 2, "instances": 10, "seed": 0},
        "paper": {"d": 20, "neurons": 2000, "degree": 2, "instances": 20, "seed": 0},
    },
    _measure_mercer,
    _draw_mercer,
    _agree_mercer,
)


# A teacher without some of its neurons ------------------------------------------------------------


def outside_share(d: int, width: int, removed: int, outputs: str) -> float:
    r"""Share of a random teacher outside the span of the neurons that are left, for large d.

    The q neurons left are samples of a kernel regression on the sphere of neurons: what they do
    not know about another neuron is :math:`q \kappa`, and of what all neurons share, the constant
    in their direction, it is s,

    .. math::
        \sum_{l \ge 1} \frac{N_l \lambda_l}{\lambda_l + \kappa} = q, \qquad
        s = \frac{\kappa \lambda_0}{\kappa + \lambda_0} .

    For r neurons removed with equal weights this adds up to :math:`r q \kappa + r^2 s`, with
    independent ones to :math:`r (q \kappa + s)`; the squared norm is that of a random teacher.
    """
    eigenvalues, multiplicities = relu.mercer_spectrum(d, 2)
    left, constant = width - removed, eigenvalues[0]
    # Degrees from 4 on have far more functions than there are neurons, and act as a ridge.
    tail = 0.5 - np.sum(eigenvalues * multiplicities)
    spectrum = np.repeat(eigenvalues[1:], multiplicities[1:].astype(int))
    kappa = float(theory.effective_ridge(left, spectrum, ridge=tail / left))
    shared = kappa * constant / (kappa + constant)
    if outputs == "ones":
        outside = removed * left * kappa + removed**2 * shared
    else:
        outside = removed * (left * kappa + shared)
    return outside / mean_norm2(d, width, outputs)


def mean_norm2(d: int, width: int, outputs: str) -> float:
    """Mean squared norm of a random teacher whose outputs are not divided by its width; exact."""
    alike = relu.mercer_spectrum(d, 0)[0][0] if outputs == "ones" else 0.0
    return width * 0.5 + width * (width - 1) * float(alike)


def _measure_3d(
    *,
    d: int,
    width: int,
    mus: Numbers,
    outputs: Sequence[str],
    samples: int,
    instances: int,
    seed: int,
    store: Path | None,
    progress: bool,
) -> xr.Dataset:
    mus = np.asarray(mus, float)
    left = width - np.round(mus * width).astype(int)
    check("mus", mus, lambda _: ((left > 0) & (left < width)).all(), "fractions that leave some")
    check("samples", samples, lambda n: n > width + 1, "more than the neurons of the teacher")

    def split(cell: tuple[relu.ReluTasks, Array, Array, Array]) -> dict[str, Array]:
        tasks, X, y, unit = cell
        part = relu.projection(tasks.source.W, tasks.target.W, tasks.target.c / width)
        return {
            "outside": part.outside / unit,
            "share": part.outside / (part.inside + part.outside),
            "risk": linear_transfer(tasks.source, tasks, X, y).risk / unit,
        }

    def measure(key: Array, prepared: None, *, mu: Array) -> dict[str, Array]:
        # The same instances have the same neurons at every fraction and for all output weights.
        task_key, data_key = jax.random.split(jax.random.clone(key))
        own = jax.random.fold_in(data_key, position(mus, mu))
        cells = []
        for name in outputs:
            again = jax.random.clone(task_key)
            tasks = relu.ReluTasks.ablated(again, d, width, mu, outputs=name)
            X, y = tasks.sample(jax.random.clone(own), samples)
            cells.append((tasks, X, y, jnp.asarray(mean_norm2(d, width, name) / width**2)))
        return each(split, jax.tree.map(lambda *parts: jnp.stack(parts), *cells))

    data = sweep(
        measure,
        {"mu": mus},
        {"outputs": list(outputs)},
        instances=instances,
        key=jax.random.key(seed),
        store=place(store, "ablation"),
        attrs={"d": d, "width": width, "samples": samples},
        progress=progress,
    ).transpose("outputs", ...)
    data = data.astype(float).assign_coords(left=("mu", left))
    data["outside_theory"] = formula(
        np.vectorize(lambda name, left: outside_share(d, width, width - left, name)),
        name=data.outputs,
        left=data.left,
    )
    # Each last layer, by what is outside the span of its own features.
    data["risk_theory"] = formula(
        theory.least_squares_risk, n=samples, k=data.left, residual=data.outside
    )
    return data.assign_attrs(seed=seed)


def _draw_3d(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, axes = row_of_axes(2)
    d, width = data.attrs["d"], data.attrs["width"]
    left = np.arange(1, width)
    for i, name in enumerate(data.outputs.values):
        ax = axes[0 if name == "ones" else 1]
        part = data.outside.sel(outputs=name)
        error = part.std("instance", ddof=1) / np.sqrt(part.sizes["instance"])
        curve = [outside_share(d, width, width - q, name) for q in left]
        ax.plot(1 - left / width, curve, color=f"C{i}")
        ax.errorbar(data.mu, part.mean("instance"), error, fmt="o", color=f"C{i}", label=name)
        ax.plot(data.mu, data.risk.sel(outputs=name).mean("instance"), "kx")
    for ax in axes:
        ax.plot([], [], "kx", label="fitted last layers")
        ax.set(xlabel=r"fraction $\mu$ of neurons removed", ylabel="share outside the span")
        ax.set_ylim(0, None)
        ax.legend()
    return figure


def _agree_3d(data: xr.Dataset) -> Agreement:
    limit = tolerance(data.outputs.size * data.mu.size, data.sizes["instance"])
    outside = agreement_table(
        {"share outside the span": (data.outside, data.outside_theory)}, tolerance=limit
    )
    pair = {"risk of fitted last layers, minus theory": (data.risk - data.risk_theory, 0.0)}
    return together(outside, agreement_table(pair, tolerance=limit))


FIG_3D = Figure(
    "fig-3d",
    "Part of a ReLU teacher that neurons of its source cannot express",
    {
        scale: {
            **size,
            "mus": np.arange(1, 10) / 10,
            "outputs": ("ones", "sign", "gaussian"),
            "instances": 20,
            "seed": 0,
        }
        for scale, size in {
            "laptop": {"d": 30, "width": 20, "samples": 1000},
            "paper": {"d": 100, "width": 100, "samples": 3000},
        }.items()
    },
    _measure_3d,
    _draw_3d,
    _agree_3d,
)
