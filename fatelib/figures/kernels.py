"""What ReLU features can express: the kernel's spectrum, and a teacher that lost neurons."""

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from fatelib import relu, theory
from fatelib.agreement import Agreement, agreement_table
from fatelib.arguments import check
from fatelib.figures.curves import row_of_axes
from fatelib.figures.figure import Figure, formula, together, tolerance
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
    store: Any,
    progress: bool,
) -> xr.Dataset:
    """Eigenvalues of Gram matrices of random unit neurons, degree by degree."""
    del store  # it takes minutes at most
    eigenvalues, multiplicities = relu.mercer_spectrum(d, LAST_DEGREE)
    degrees = np.array([l for l in range(degree + 1) if eigenvalues[l] > 0])
    ends = multiplicities[degrees].cumsum().astype(int)
    check("neurons", neurons, lambda m: m > ends[-1], f"a number > {ends[-1]}, for every degree")
    spectra, means, sums = [], [], []
    for i in tqdm(range(instances), desc="fig-mercer", disable=not progress):
        key = jax.random.fold_in(jax.random.key(seed), i)
        W = relu.ReluNetwork.init(key, d, neurons).W
        gram = np.asarray(relu.arccos_kernel(W, W), float)
        spectra.append(np.linalg.eigvalsh(gram)[::-1] / neurons)
        means.append([part.mean() for part in np.split(spectra[-1], ends)[:-1]])
        sums.append(_power_sums(gram))
    data = xr.Dataset(
        {
            "spectrum": (("instance", "rank"), spectra),
            "eigenvalue": (("instance", "degree"), means),
            "power_sum": (("instance", "power"), sums),
        },
        {"degree": degrees, "power": [2, 3], "instance": range(instances)},
    ).assign_coords(rank=np.arange(1, neurons + 1))
    data["eigenvalue_mercer"] = ("degree", eigenvalues[degrees])
    data["multiplicity"] = ("degree", multiplicities[degrees])
    data["eigenvalue_theory"] = data.eigenvalue_mercer * [
        1 + _repulsion(l, eigenvalues, multiplicities) / neurons for l in degrees
    ]
    exact = [np.sum(multiplicities * eigenvalues**power) for power in (2, 3)]
    data["power_sum_theory"] = ("power", exact)
    return data.assign_attrs(d=d, neurons=neurons, seed=seed)


def _power_sums(gram: np.ndarray) -> list[float]:
    """Estimate the sums of squares and cubes of all eigenvalues, without bias.

    A product of kernel values round a cycle of distinct neurons has them as its mean.
    """
    m = len(gram)
    off = gram - np.diag(np.diag(gram))
    squares = off @ off
    pairs, triples = m * (m - 1), m * (m - 1) * (m - 2)
    return [np.trace(squares) / pairs, np.sum(squares * off) / triples]


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
    mus: Any,
    outputs: Any,
    samples: int,
    instances: int,
    seed: int,
    store: Any,
    progress: bool,
) -> xr.Dataset:
    del store  # it takes a minute
    mus = np.asarray(mus, float)
    left = width - np.round(mus * width).astype(int)
    check("mus", mus, lambda _: ((left > 0) & (left < width)).all(), "fractions that leave some")
    check("samples", samples, lambda n: n > width + 1, "more than the neurons of the teacher")
    coords = {"outputs": list(outputs), "mu": mus, "instance": range(instances)}
    shape = tuple(len(coord) for coord in coords.values())
    outside, share, risk = (np.empty(shape) for _ in range(3))

    @jax.jit
    def fitted(tasks: relu.ReluTasks, key: Any) -> Any:
        X, y = tasks.sample(key, samples)
        return linear_transfer(tasks.source, tasks, X, y).risk

    for at in tqdm(np.ndindex(*shape), desc="fig-3d", total=outside.size, disable=not progress):
        name, mu, i = coords["outputs"][at[0]], mus[at[1]], at[2]
        # The same instances have the same neurons at every fraction and for all output weights.
        task_key, data_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), i))
        tasks = relu.ReluTasks.ablated(task_key, d, width, jnp.float32(mu), outputs=name)
        split = relu.projection(tasks.source.W, tasks.target.W, tasks.target.c / width)
        unit = mean_norm2(d, width, name) / width**2
        outside[at] = split.outside / unit
        share[at] = split.outside / (split.inside + split.outside)
        risk[at] = fitted(tasks, jax.random.fold_in(data_key, at[1])) / unit
    names = tuple(coords)
    data = xr.Dataset(
        {"outside": (names, outside), "share": (names, share), "risk": (names, risk)}, coords
    ).assign_coords(left=("mu", left))
    data["outside_theory"] = formula(
        np.vectorize(lambda name, left: outside_share(d, width, width - left, name)),
        name=data.outputs,
        left=data.left,
    )
    # Each last layer, by what is outside the span of its own features.
    data["risk_theory"] = formula(
        theory.least_squares_risk, n=samples, k=data.left, residual=data.outside
    )
    return data.assign_attrs(d=d, width=width, samples=samples, seed=seed)


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
