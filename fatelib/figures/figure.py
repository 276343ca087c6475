"""What a reproduced figure is, and what all of them share."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from jaxtyping import Array, ArrayLike

from fatelib import theory
from fatelib.agreement import Agreement
from fatelib.arguments import check
from fatelib.linear.diagram import phase_diagram
from fatelib.sweep.store import local_directory

__all__ = ["Figure"]

Scale = Literal["laptop", "paper"]
# The values along one axis of an experiment.
Numbers = Sequence[int | float] | np.ndarray
Setting = int | float | str | Numbers | Sequence[str] | Mapping[str, int | float]

# Closer than this to n = d the risk of scratch training has no mean worth comparing: its
# variance diverges there.
PEAK = 25

# What the authors' released script takes.
TRAINING: dict[str, dict[str, Any]] = {
    "linear_transfer": {"learning_rate": 0.1, "steps": 10_000},
    "fine_tuning": {
        "learning_rate": 0.01,
        "steps": 5_000,
        "scratch_options": {"learning_rate": 0.1, "steps": 10_000},
    },
}
TOLERANCE = 1e-6

# What says how a sweep ran, not what it computed.
_RUN = {"seconds", "instances_per_chunk"}

# The axes of a phase diagram, at each scale.
GRIDS: dict[str, dict[str, Setting]] = {
    "laptop": {
        "d": 200,
        "instances": 10,
        "thetas": np.pi / 16 * np.arange(1, 9),
        "gammas": np.arange(1, 11) / 5,
    },
    "paper": {
        "d": 500,
        "instances": 20,
        "thetas": np.pi / 40 * np.arange(1, 21),
        "gammas": np.arange(1, 21) / 10,
    },
}


@dataclass(frozen=True)
class Figure:
    """One figure: its experiment and its theory, its picture, and whether the two agree.

    Attributes:
        key: Its name, such as ``"fig-1"``.
        title: What it shows, in one line.
        scales: Name of each scale -> the settings that `compute` takes at it: a number, a sequence
            or a dictionary for each name.
        measure: Function of the settings, of ``store`` and of ``progress`` that returns the data.
        draw: Function of the data that returns the picture.
        compare: Function of the data that returns the table of agreement, and raises
            ``AssertionError`` where experiment and theory are further apart than chance explains.

    Example:
        >>> from fatelib.figures import FIGURES
        >>> figure = FIGURES["fig-ridge"]
        >>> data = figure.compute(d=60, instances=4, progress=False)
        >>> table = figure.compare(data)
        >>> table.comparisons[0].quantity
        'risk of linear transfer'
    """

    key: str
    title: str
    scales: Mapping[str, Mapping[str, Setting]]
    measure: Callable[..., xr.Dataset]
    draw: Callable[[xr.Dataset], matplotlib.figure.Figure]
    compare: Callable[[xr.Dataset], Agreement]

    def compute(
        self,
        scale: str = "laptop",
        *,
        store: str | os.PathLike[str] | None = None,
        progress: bool = True,
        **settings: Any,
    ) -> xr.Dataset:
        """Run the experiment and evaluate the theory.

        Args:
            scale: "laptop", or "paper" for the settings of the paper.
            store: Directory for the finished chunks of the experiment; started again with the same
                settings, only what is missing is done. The theory is evaluated anew.
            progress: Show progress bars.
            **settings: Other values for the settings in ``scales[scale]``, such as ``d`` or
                ``instances``.

        Returns:
            The measured quantities, their theory under the same name with ``_theory`` at the end,
            and all settings as attributes.

        Raises:
            ValueError: An unknown scale or setting, or an impossible value.

        Example:
            >>> from fatelib.figures import FIGURES
            >>> FIGURES["fig-mercer"].compute("poster")
            Traceback (most recent call last):
            ValueError: scale must be one of ['laptop', 'paper']; got 'poster'
        """
        if not isinstance(scale, str) or scale not in self.scales:
            raise ValueError(f"scale must be one of {sorted(self.scales)}; got {scale!r}")
        known = self.scales[scale]
        for name in settings:
            if name not in known:
                raise ValueError(f"{name} is no setting of {self.key}, which takes {sorted(known)}")
        settings = {**known, **settings}
        if "instances" in settings:  # a standard error takes two
            check("instances", settings["instances"], lambda i: i >= 2, "an integer >= 2")
        folder = None if store is None else local_directory("store", store)
        data = self.measure(store=folder, progress=progress, **settings)
        return data.assign_attrs(figure=self.key, title=self.title, scale_of_figure=scale)


def place(store: Path | None, name: str) -> Path | None:
    """Return where one of the sweeps of a figure keeps its chunks."""
    return None if store is None else store / f"{name}.zarr"


def in_double_precision() -> AbstractContextManager[None]:
    """Let JAX compute in 64 bits for a while; draws keep the type that they are asked for in."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64  # type: ignore[attr-defined]  # JAX before 0.8

    return enable_x64(True)


def position(values: Numbers, value: Array) -> Array:
    """Return where a traced value stands among those of its dimension."""
    return jnp.argmin(jnp.abs(jnp.asarray(values, value.dtype) - value))


def experiment(
    method: str,
    *,
    d: int,
    instances: int,
    thetas: Numbers,
    gammas: Numbers,
    seed: int,
    store: Path | None,
    progress: bool,
    name: str | None = None,
    **options: Any,
) -> xr.Dataset:
    """Run a phase diagram with the authors' training, and add its theory."""
    data = phase_diagram(
        method,
        thetas,
        gammas,
        d=d,
        instances=instances,
        key=jax.random.key(seed),
        store=place(store, name or method),
        progress=progress,
        **{**TRAINING[method], "absolute_tolerance": TOLERANCE, **options},
    )
    return add_theory(data)


def add_theory(data: xr.Dataset) -> xr.Dataset:
    """Add what the theory says about a phase diagram: exact in n and d, but for fine-tuning.

    The fine-tuned network has the limit of large d at γ = n / d.
    """
    d = data.attrs["d"]
    sigma, depth, ridge, source_gamma = (
        setting(data, name) for name in ("sigma", "depth", "ridge", "source_gamma")
    )
    source = {"source_gamma": source_gamma, "source_sigma": data.attrs["source_sigma"]}
    scratch = formula(theory.least_squares_risk, n=data.n, k=d, noise=sigma)
    if data.attrs["method"] == "linear_transfer":
        angle = formula(typical_angle, theta=data.theta, d=d, **source)
        risk = formula(theory.linear_transfer_risk, theta=angle, n=data.n, sigma=sigma, ridge=ridge)
        advantage = scratch - risk
    else:
        point = {"gamma": data.n / d, "theta": data.theta, "sigma": sigma, "depth": depth, **source}
        advantage = formula(theory.fine_tuning_transferability, **point)
        risk = scratch - advantage
        data["transferability_paper"] = formula(
            lambda **p: theory.fine_tuning_transferability(**p, paper=True), **point
        )
    data["risk_scratch_theory"] = scratch
    data["risk_theory"] = risk
    data["transferability_theory"] = advantage
    return data


def typical_angle(
    theta: np.ndarray, d: np.ndarray, source_gamma: np.ndarray, source_sigma: np.ndarray
) -> np.ndarray:
    """Return the angle between the target and what is learned, from its mean squared cosine.

    What a finite source adds across the source vector points anywhere: a share 1 / (d - 1) of it is
    along the target, which the limit of large d leaves out.
    """
    source = {"source_gamma": source_gamma, "source_sigma": source_sigma}
    kept = np.cos(theory.learned_angle(0.0 * theta, **source)) ** 2
    chance = np.sin(theta) ** 2 * (1 - kept) / (d - 1)
    return np.arccos(np.clip(np.sqrt(np.cos(theta) ** 2 * kept + chance), 0, 1))


def setting(data: xr.Dataset, name: str) -> Any:
    """Return a setting, which is a coordinate of the data where it varies and else an attribute."""
    value = data.coords[name] if name in data.coords else data.attrs[name]
    return float(value) if isinstance(value, str) and value == "inf" else value


def stack(dim: str, parts: Mapping[str, xr.Dataset] | Mapping[int, xr.Dataset]) -> xr.Dataset:
    """Join phase diagrams along a new dimension; cells that some of them lack are NaN.

    Settings in which they differ become coordinates along it.
    """
    names = sorted(set().union(*(part.attrs for part in parts.values())) - _RUN)
    common, varying = {}, {}
    for name in names:
        values = [part.attrs.get(name, np.nan) for part in parts.values()]
        if all(value == values[0] for value in values):
            common[name] = values[0]
        else:
            varying[name] = (dim, values)
    varying.pop(dim, None)
    common["seconds"] = sum(part.attrs.get("seconds", 0.0) for part in parts.values())
    joined = xr.concat(
        [part.drop_attrs(deep=False) for part in parts.values()],
        xr.DataArray(list(parts), dims=dim, name=dim),
        join="outer",
        fill_value={"converged": False, "steps": 0, "steps_scratch": 0},
    )
    return joined.assign_coords(varying).assign_attrs(common)


def formula(
    function: Callable[..., ArrayLike], **arguments: xr.DataArray | np.ndarray | float | int | str
) -> xr.DataArray:
    """Evaluate a function of arrays on labelled arguments."""
    names = list(arguments)
    labelled = [xr.DataArray(value) for value in arguments.values()]
    arrays = xr.broadcast(*[array.reset_coords(drop=True) for array in labelled])
    values = function(**{n: a.values for n, a in zip(names, arrays, strict=True)})
    return arrays[0].copy(data=np.asarray(values, float)).rename(None)


def tolerance(cells: int, instances: int, chance: float = 0.01) -> float:
    """Return the deviation, in standard errors, that chance exceeds in one of 100 such tables.

    That is a quantile of Student's t for the number of instances, shared out among the cells.
    """
    from scipy.stats import t

    return float(t.isf(chance / (2 * max(cells, 1)), instances - 1))


def comparable(data: xr.Dataset) -> xr.DataArray:
    """Return the cells to compare: all networks converged, and not at the peak of scratch."""
    return data.converged.all("instance") & (abs(data.n - data.attrs["d"]) > PEAK)


def stopping_bound(data: xr.Dataset) -> xr.DataArray:
    r"""Bound on what is left of a difference of risks because training stops at a tolerance.

    Beyond n = d both networks head for the same solution. Each stops with
    :math:`\lambda_{\min} \|\delta\|^2` at most that, so that its risk R is off by at most
    :math:`2 \sqrt{R} \|\delta\| + \|\delta\|^2`.
    """
    smallest = (1 - np.sqrt(data.attrs["d"] / data.n)) ** 2
    off = np.sqrt(data.attrs["absolute_tolerance"] / smallest)
    return 2 * (2 * np.sqrt(data.risk_scratch.mean("instance")) * off + off**2)


def together(*tables: Agreement) -> Agreement:
    """Join tables of agreement."""
    return Agreement(tuple(row for table in tables for row in table.comparisons))
