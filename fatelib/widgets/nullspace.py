"""The geometry of fine-tuning: a plane in which the reader moves the source vector."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
import xarray as xr
from jax.typing import ArrayLike

from fatelib import theory
from fatelib.arguments import check, check_type
from fatelib.theory.domain import check_domain
from fatelib.widgets.dimensions import describe, start

__all__ = ["NullSpace", "null_space"]

HERE = Path(__file__).parent
# Entries of a slider: the whole figure travels inside the page.
_MOST = 50
# The picture ends at 2.75; a region of sources that help may reach beyond.
LENGTHS = np.arange(2, 57) / 20


class NullSpace(anywidget.AnyWidget):
    """The widget that `null_space` returns.

    Attributes:
        guess: Length of what fine-tuning guesses, float32 in base64.
        figure: Dimensions, their labels and values, and the scratch risk, as JSON.
        position: Angle theta in whole degrees from -180 to 180, and the index of the chosen entry
            of length, gamma, sigma and depth. Assign a new dictionary to move the source; observe
            it to follow the reader.

    Example:
        >>> widget = null_space(depth=2)
        >>> widget.position["theta"]
        45
    """

    _esm = "".join(
        (HERE / name).read_text(encoding="utf-8") for name in ("elements.js", "nullspace.js")
    )
    _css = (HERE / "widgets.css").read_text(encoding="utf-8")
    guess = traitlets.Unicode().tag(sync=True)
    figure = traitlets.Dict().tag(sync=True)
    position = traitlets.Dict().tag(sync=True)


def null_space(
    *,
    gamma: ArrayLike | Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    sigma: ArrayLike | Sequence[float] = (0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6),
    depth: ArrayLike | Sequence[float] = (1, 2, 3, 4, np.inf),
    at: Mapping[str, Any] | None = None,
    title: str = "",
) -> NullSpace:
    r"""Draw the plane of source and target: drag the source, see whether fine-tuning helps.

    In the directions that no sample sees, a share :math:`1 - \gamma` of all, scratch training
    guesses 0 and fine-tuning guesses :math:`\kappa \beta_s`, while the truth is :math:`\beta_t`, a
    unit vector:

    .. math::

        T_{ft} &= R_{sc} - R_{ft} \\
        &= (1 - \gamma) \big( 1 - \|\kappa \beta_s - \beta_t\|^2 \big) .

    Fine-tuning helps while :math:`\kappa \beta_s` lies in the disk round the target that passes
    through 0 (its circle is dashed); the sources for which it does are shaded. One layer has κ = 1
    for every source, so that the two are the same disk. Without label noise deeper networks have
    κ = 1 at norm 1: there the rims cross, at 60 degrees. Angles are shown in whole degrees, lengths
    in steps of 0.05, the risks of large d to three decimals.

    Args:
        gamma: Target samples per dimension γ = n / d, between 0 and 1. A sequence, ``(g,)``, gets
            a slider, a number stays fixed; likewise below.
        sigma: Standard deviation of the target label noise, ``(s,)`` or a number.
        depth: Number of layers L, from 1 to ``inf``, ``(l,)`` or a number.
        at: Where the reader starts: ``theta`` in radians, the ``length`` of the source, ``gamma``,
            ``sigma``, ``depth`` (nearest entry). By default 45 degrees, norm 1, γ = 1/2, no noise,
            two layers.
        title: A line above the figure.

    Returns:
        The widget; the last expression of a notebook cell shows it.

    Raises:
        TypeError: An argument is of another type, such as text for a number.
        ValueError: An argument is out of its range, or `at` names something else.

    Source:
        Ours; Theorem 3.9 of Tahir et al. (2025) is κ = 1. See
        :func:`fatelib.theory.fine_tuning_scale_from_norms`.

    Example:
        >>> widget = null_space(sigma=1.0, at={"theta": np.pi / 3, "gamma": 0.4})
        >>> widget.position["theta"], widget.figure["dims"]["sigma"]["labels"]
        (60, ['1'])
    """
    check("gamma", gamma, lambda g: (g > 0) & (g < 1), "numbers between 0 and 1")
    check_domain(sigma=sigma)
    check_domain(depth=depth)
    for name, value in {"depth": depth, "sigma": sigma, "gamma": gamma}.items():
        if not 0 < np.size(value) <= _MOST or np.ndim(value) > 1:
            raise ValueError(
                f"{name} must be a number or a list of at most {_MOST}; got shape {np.shape(value)}"
            )
    check_type("at", at, (Mapping, type(None)), "a dictionary of names and values")
    check_type("title", title, str, "text")
    entries = {
        name: np.unique(np.asarray(value, dtype=float))
        for name, value in {"depth": depth, "sigma": sigma, "gamma": gamma}.items()
    }
    at = {"theta": np.pi / 4, "length": 1.0, "gamma": 0.5, "sigma": 0.0, "depth": 2} | dict(
        at or {}
    )
    theta = at.pop("theta")
    check("at['theta']", theta, lambda t: abs(t) <= np.pi + 1e-6, "an angle in [-pi, pi]")

    layers, noise, ratio, length = np.meshgrid(
        *entries.values(), LENGTHS, indexing="ij", sparse=True
    )
    scale = theory.fine_tuning_scale_from_norms(
        theory.interpolator_norm2(ratio, noise), length**2, ratio * length**2, depth=layers
    )
    guess = xr.DataArray(np.asarray(scale * length), coords={**entries, "length": LENGTHS})
    risk = theory.scratch_risk(entries["gamma"], entries["sigma"][:, None])
    return NullSpace(
        guess=base64.b64encode(guess.values.astype("<f4").tobytes()).decode("ascii"),
        figure={
            "title": title,
            "dims": {str(dim): describe(guess[dim], drawn=False) for dim in guess.dims},
            "gamma": entries["gamma"].tolist(),
            "length": LENGTHS.tolist(),
            "scratch": np.asarray(risk, dtype=float).tolist(),
        },
        position={"theta": round(np.degrees(float(theta))), **start(guess, at, [])},
    )
