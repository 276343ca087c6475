"""Phase diagrams of fine-tuning at other depths and noises, and of finite sources."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr

from fatelib.agreement import Agreement
from fatelib.figures.diagrams import NAMES, SLICES, agree, grids, near, panels, row, slices
from fatelib.figures.figure import Figure, Numbers, experiment, stack, together

__all__ = ["FIG_2", "FIG_SOURCE"]


def _measure_2(
    *, thetas: Numbers, slices: Numbers, depths: Sequence[int], sigmas: Numbers, **settings: Any
) -> xr.Dataset:
    """All angles at two layers, three of them at other depths."""
    diagrams = {}
    for depth in depths:
        diagrams[depth] = experiment(
            "fine_tuning",
            thetas=thetas if depth == 2 else slices,
            sigma=sigmas,
            depth=depth,
            engine="spectral",
            scale=_SCALES[depth],
            name=f"depth-{depth}",
            **settings,
        )
    return stack("depth", diagrams)


# From 1e-5 a scratch network of three layers would sit on its plateau for ever.
_SCALES = {2: 1e-5, 3: 0.03, 4: 0.1}


def _at_depth(data: xr.Dataset, depth: int) -> xr.Dataset:
    """Pick a depth, with the angles that were computed there."""
    part = data.sel(depth=depth)
    return part.isel(theta=np.flatnonzero(part.risk.notnull().any(("sigma", "gamma", "instance"))))


def _draw_2(data: xr.Dataset) -> matplotlib.figure.Figure:
    sigmas = data.sigma.values
    figure, axes = panels(len(sigmas) + 1)
    for sigma, three in zip(sigmas, axes[:-1], strict=True):
        row(_at_depth(data, 2).sel(sigma=sigma), three, rf"fine-tuning, $\sigma$ = {sigma:g}")
    for depth, ax in zip(data.depth.values, axes[-1], strict=False):
        deep = _at_depth(data, depth).sel(sigma=sigmas[-1])
        deep = deep.sel(theta=near(deep.theta.values, SLICES))
        slices(deep, ax)
        ax.set_title(rf"$L$ = {depth}, $\sigma$ = {sigmas[-1]:g} (dotted: $\kappa = 1$)")
    return figure


def _agree_2(data: xr.Dataset) -> Agreement:
    return together(
        *[
            agree(
                _at_depth(data, depth).sel(sigma=sigma), f"fine-tuning, L = {depth}, σ = {sigma:g}"
            )
            for depth in data.depth.values
            for sigma in data.sigma.values
        ]
    )


FIG_2 = Figure(
    "fig-2",
    "Fine-tuning over the angle and the number of samples, at three noises and depths",
    grids(slices=SLICES, depths=(2, 3, 4), sigmas=(0.0, 0.2, 1.0)),
    _measure_2,
    _draw_2,
    _agree_2,
)


def _measure_source(**settings: Any) -> xr.Dataset:
    finite = partial(experiment, source_sigma=0.2, source_gamma=[0.5, 1.5], sigma=0.2)
    return stack(
        "protocol",
        {
            "linear_transfer": finite("linear_transfer", **settings),
            "fine_tuning": finite("fine_tuning", **settings, steps=8_000),
        },
    )


def _draw_source(data: xr.Dataset) -> matplotlib.figure.Figure:
    figure, axes = panels(4)
    pairs = [(name, value) for name in NAMES for value in data.source_gamma.values]
    for (name, value), three in zip(pairs, axes, strict=True):
        what = rf"{NAMES[name]}, $\gamma_s$ = {value:g}"
        row(data.sel(protocol=name, source_gamma=value), three, what)
    return figure


def _agree_source(data: xr.Dataset) -> Agreement:
    return together(
        *[
            agree(data.sel(protocol=name, source_gamma=value), f"{NAMES[name]}, γ_s = {value:g}")
            for name in NAMES
            for value in data.source_gamma.values
        ]
    )


FIG_SOURCE = Figure(
    "fig-source",
    "Transfer from a source of finitely many noisy samples",
    grids(),
    _measure_source,
    _draw_source,
    _agree_source,
)
