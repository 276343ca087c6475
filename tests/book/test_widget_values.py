"""All that the widgets of the book can show is what the library says."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from fatelib import theory

BOOK = Path(__file__).parents[2] / "book"
CHAPTER_OF = {
    re.search(r"name: (\S+)", cell)[1]: path.stem
    for path in sorted(BOOK.glob("*.py"))
    for cell in path.read_text("utf-8").split("# %%")
    if re.search(r"^(?:explore|null_space)\(", cell, re.MULTILINE)
}


def linear_transfer(theta, gamma, sigma):
    return theory.linear_transferability(gamma, theta, sigma)


def fine_tuning(theta, gamma, sigma, depth):
    return theory.fine_tuning_transferability(gamma, theta, sigma, depth=depth)


def finite_source(protocol, theta, gamma, sigma, gamma_s):
    gain = {
        "linear transfer": theory.linear_transferability,
        "fine-tuning": theory.fine_tuning_transferability,
    }[protocol]
    return np.clip(gain(gamma, theta, sigma, source_gamma=gamma_s, source_sigma=sigma), -3, 3)


def few_features(theta, gamma, sigma, k, d):
    seen, unseen = np.cos(theta) ** 2, np.sin(theta) ** 2
    features = theory.least_squares_risk(gamma * d, k, residual=unseen, signal=seen, noise=sigma)
    return theory.least_squares_risk(gamma * d, d, noise=sigma) - features


def least_squares(n, k, rho, sigma):
    risk = np.array(theory.least_squares_risk(n, k, residual=rho, noise=sigma, signal=1 - rho))
    risk[(risk > 50) & np.isfinite(risk)] = np.nan  # they are left out, as the page says
    return risk


def baselines(method, baseline, theta, gamma, sigma):
    scratch = {"no decay": theory.scratch_risk, "best decay": theory.optimal_scratch_risk}
    risk = {
        "linear transfer": lambda: theory.linear_transfer_risk(theta),
        "pull to source": lambda: theory.regularised_risk(gamma, sigma, 2 - 2 * np.cos(theta)),
        "pull to multiple": lambda: theory.regularised_risk(gamma, sigma, np.sin(theta) ** 2),
    }
    return scratch[baseline](gamma, sigma) - risk[method]()


def length_of_the_guess(depth, sigma, gamma, length):
    norm2 = theory.interpolator_norm2(gamma, sigma)
    scale = theory.fine_tuning_scale_from_norms(norm2, length**2, gamma * length**2, depth=depth)
    return scale * length


LIBRARY = {
    "fig-explore-growth": lambda log10_start, depth, time: theory.aligned_strength(
        time, 10**log10_start, depth=depth
    ),
    "fig-landing": lambda theta, gamma, sigma: linear_transfer(np.radians(theta), gamma, sigma),
    "fig-explore-linear": linear_transfer,
    "fig-explore-distances": linear_transfer,
    "fig-explore-fine-tuning": fine_tuning,
    "fig-explore-source": finite_source,
    "fig-explore-span": few_features,
    "fig-explore-features": least_squares,
    "fig-explore-baselines": baselines,
    "fig-null-space": length_of_the_guess,
}
# What their chapters compute from runs and from formulas of their own, which they test themselves.
OF_THE_CHAPTER = {
    *("fig-explore-laziness", "fig-explore-time", "fig-explore-ablated"),
    *("fig-explore-turning", "fig-explore-students"),
    *("fig-relu-explore", "fig-explore-choices"),
}


def axis(dim):
    """The entries of a dimension that is numbers; of a slider the page has only their labels."""
    labels = [label.replace("−", "-").replace("∞", "inf") for label in dim["labels"]]
    return np.array(dim.get("values", labels), dtype=float)


def test_every_widget_is_compared_or_known_to_be_the_outcome_of_runs():
    assert set(CHAPTER_OF) == {*LIBRARY, *OF_THE_CHAPTER}


@pytest.mark.parametrize("name", LIBRARY)
def test_every_number_of_a_widget(held, name):
    figure, values = held(CHAPTER_OF[name])[name]
    dims = figure["dims"]
    words = [dim for dim in dims if dims[dim]["text"]]
    numbers = [dim for dim in dims if not dims[dim]["text"]]
    grid = dict(zip(numbers, np.ix_(*(axis(dims[dim]) for dim in numbers)), strict=True))

    expected = np.empty_like(values)
    for entries in itertools.product(*(enumerate(dims[dim]["labels"]) for dim in words)):
        index = {dim: i for dim, (i, _) in zip(words, entries, strict=True)}
        chosen = {dim: label for dim, (_, label) in zip(words, entries, strict=True)}
        where = tuple(index.get(dim, slice(None)) for dim in dims)
        expected[where] = LIBRARY[name](**chosen, **grid)
    # float32: next to the poles rounding grows, fortyfold where gamma is within 0.025 of 1
    room = {"rtol": 2e-5, "atol": figure.get("step", 0) / 2 + 2e-6}
    np.testing.assert_allclose(values, expected, **room)
    if "scratch" in figure:
        risk = theory.scratch_risk(axis(dims["gamma"])[None], axis(dims["sigma"])[:, None])
        np.testing.assert_allclose(figure["scratch"], risk, rtol=1e-5)
