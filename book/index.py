# %% [markdown]
# # When does a pretrained network beat training from scratch?
#
# :::{container} lead-in
# Blue: keep its features. Red: start over. On the line between them they tie.
# :::

# %%
#| tags: [remove-input]
#| name: fig-landing
#| caption: >-
#|   What a linear network gains by keeping the one feature that it learned from a source task, over training from scratch without weight decay, for large dimension $d$:
#|   for every angle $\theta$ between the two tasks, number of samples per dimension $\gamma = n/d$ and label noise $\sigma$. Nothing in it is fitted:
#|   {doc}`when-does-transfer-help` derives the formula and trains the networks. The blue band at $\gamma = 1$, where even a feature at 90° wins, is the fault of the other side:
#|   {doc}`the-baseline-matters`.
#| alt: >-
#|   Interactive map of what the features gain over angle and samples per dimension, with a slider for the noise. Blue at small angles and few samples and in a band where there are as many samples
#|   as dimensions, red elsewhere.
import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import plot, theory
from fatelib.widgets import explore

plt.style.use("fatelib.style")
sigma = 0.2
# At a noise above zero and below 0.1 the band would be narrower than the cells, and none of them is
# at gamma = 1, where the gain is infinite.
noises = np.array([0, *np.arange(5, 36) / 50])
degrees = xr.DataArray(
    np.linspace(0, 90, 61),
    dims="theta",
    attrs={"long_name": "angle between the tasks", "units": "°"},
)
ratios = xr.DataArray(
    np.arange(1, 200, 2) / 100,
    dims="gamma",
    attrs={"long_name": "samples per dimension"},
)
gain = theory.linear_transferability(
    ratios.values, np.radians(degrees.values)[:, None], noises[:, None, None]
)
grid = xr.DataArray(
    gain,
    coords={
        "sigma": ("sigma", noises, {"long_name": "label noise"}),
        "theta": degrees,
        "gamma": ratios,
    },
    name="T",
    attrs={"long_name": "what the features gain"},
)
start = {"sigma": sigma, "theta": 45, "gamma": 0.3}
explore(grid, x="theta", y="gamma", at=start, limit=1)

# %%
#| tags: [build-only]
from IPython.display import HTML
from myst_nb import glue

WIDTH, HEIGHT = 240, 130


def thumbnail(name, alt, curves, texts, zero=None):
    """Glue a small drawing: curves in the unit square by the names of their colours, and texts."""

    def place(x, y):
        return f"{WIDTH * x:.1f} {HEIGHT * (1 - y):.1f}"

    def line(x, y):
        return "M" + "L".join(map(place, x, y))

    parts = []
    if zero is not None:
        parts.append(f'<path class="axis" d="{line([0, 1], [zero, zero])}"/>')
    for colour, x, y in curves:
        if colour.startswith("area"):
            ends = line([x[0], *x, x[-1]], [zero, *y, zero])
            parts.append(f'<path class="{colour}" d="{ends}Z"/>')
        parts.append(f'<path class="curve {colour}" d="{line(x, y)}"/>')
    for colour, x, y, text in texts:
        x, y = place(x, y).split()
        parts.append(f'<text class="{colour}" x="{x}" y="{y}">{text}</text>')
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    drawing = f'<svg class="thumbnail" role="img" aria-label="{alt}" {box}>'
    glue(name, HTML(drawing + "".join(parts) + "</svg>"), display=False)


# One pair of tasks at 45 degrees, against scratch training at its best weight decay.
g = np.linspace(0.005, 1.995, 200)
gains = np.asarray(theory.optimal_scratch_risk(g, sigma)) - 0.5
tie = 0.5 * (1 + sigma**2 / 0.5)
assert ((gains > 0) == (g < tie)).all()
glue("tie", tie, display=False)
x, y, zero = g / 2, 0.5 + 0.9 * gains, 0.5
wins = g < tie
thumbnail(
    "thumbnail-verdicts",
    "What the features gain at 45 degrees, falling with the number of samples from above to below zero.",
    [("area plus", x[wins], y[wins]), ("area minus", x[~wins], y[~wins])],
    [
        ("plus", 0.16, 0.8, "win"),
        ("minus", 0.6, 0.36, "lose"),
        ("", 0.02, 0.03, "samples →"),
    ],
    zero,
)

# Fine-tuning at three numbers of samples, without label noise.
angle = np.linspace(0, 90, 181)
tuned = [
    np.asarray(theory.fine_tuning_transferability(ratio, np.radians(angle), 0.0))
    for ratio in (0.2, 0.5, 0.8)
]
for curve in tuned:
    assert ((curve > 1e-6) == (angle < 60)).all()
    assert ((curve < -1e-6) == (angle > 60)).all()
zero = 0.5
thumbnail(
    "thumbnail-sixty",
    "What fine-tuning gains over the angle, at three numbers of samples: three curves that cross zero together at 60 degrees.",
    [(f"c{i}", angle / 90, zero + 0.55 * curve) for i, curve in enumerate(tuned)],
    [("", 0.61, 0.6, "60°"), ("", 0.02, 0.03, "angle →")],
    zero,
)

# ReLU networks of the size of the paper, whose results are stored with the book.
stored = xr.load_dataset("data/relu_transfer.nc", engine="scipy").mean("instance")
stored["protocol"] = stored.protocol.astype(str)
risks = {
    "c0": stored.risk.sel(protocol="random_features", fraction=0.9),
    "c1": stored.risk_scratch,
}
lead = np.sign(risks["c1"] - risks["c0"]).values
assert lead[0] == 1
assert lead[-1] == -1
assert (np.diff(lead) != 0).sum() == 1
logs = {name: np.log(risk.values) for name, risk in risks.items()}
low = min(map(np.min, logs.values()))
high = max(map(np.max, logs.values()))
steps = np.linspace(0.02, 0.98, stored.sizes["n"])
thumbnail(
    "thumbnail-untrained",
    "Error over the number of samples: random neurons start far below training from scratch, which overtakes them later.",
    [
        (name, steps, 0.14 + 0.8 * (log - low) / (high - low))
        for name, log in logs.items()
    ],
    [
        ("c1", 0.2, 0.86, "from scratch"),
        ("c0", 0.02, 0.24, "random neurons"),
        ("", 0.02, 0.03, "samples →"),
    ],
)

# %% [markdown]
# ## Three results
#
# ::::{grid} 1 3 3 3
# :gutter: 3
#
# :::{grid-item-card} One pair of tasks, both verdicts
# {glue:}`thumbnail-verdicts`
#
# At 45° and a noise of 0.2 the features win up to {glue:text}`tie:.2f` samples per dimension and lose beyond, against the best scratch training. So no distance between data sets can tell, without
# the number of samples: {doc}`distances-do-not-decide`.
# :::
#
# :::{grid-item-card} Sixty degrees
# {glue:}`thumbnail-sixty`
#
# Without label noise and with fewer samples than dimensions, fine-tuning beats scratch training up to an angle of 60° between the tasks and not beyond: {doc}`fine-tuning`.
# :::
#
# :::{grid-item-card} Untrained features can win too
# {glue:}`thumbnail-untrained`
#
# With few samples a last layer on *random* neurons beats training a ReLU network from scratch, as the chapter on transfer in ReLU networks shows. Pretraining deserves credit for what it adds to that: {doc}`what-pretraining-adds`.
# :::
#
# ::::
#
# ## The path
#
# Six chapters, in this order; a dot marks them in the contents, whose numbers they keep.
#
# ```{reading-path} The path
# ```
#
# And for a network of your own, whose truth nobody knows, its features and a few hundred labels will do:
#
# ```{reading-path} Your own network
# ```
#
# ## Beside the path
#
# - {doc}`deep-linear-dynamics`: why nothing happens for a long time, and then everything.
# - {doc}`feature-sparsification`: what a network keeps of what it saw.
# - {doc}`finite-source`: what if the source was small and noisy, too?
# - {doc}`steps-and-batches`: do steps, batches and stopping early change all this?
# - {doc}`distances-do-not-decide`: is a distance between data sets enough to know?
# - {doc}`from-lines-to-kernels`: and if features are not lines but ReLU neurons?
# - {doc}`relu-students`: does a ReLU network find its teacher's features?
# - {doc}`relu-transfer`: keep, tune or start over, for ReLU networks?
# - {doc}`relu-depends`: which of this depends on choices nobody argued for?
#
# The {doc}`gallery` has every figure of the paper and the command behind it, the {doc}`errata` what needed a correction and what is not in the paper.
#
# ## Read, run, reuse
#
# You know linear algebra and some probability, have trained a network or two, and read Python; a little JAX helps.
#
# ::::{grid} 1 3 3 3
# :gutter: 3
#
# :::{grid-item-card} Read
# A chapter is one question and one idea, with figures you can turn and exercises with folded solutions. How long it takes stands under its title.
# :::
#
# :::{grid-item-card} Run
# Every chapter is a notebook. Use the buttons at the top of its page to download it or, on the published site, to open it in Colab; a laptop is enough.
# :::
#
# :::{grid-item-card} Reuse
# Everything is computed by `fatelib`, a small JAX library: closed forms, exact training, {doc}`grids of your own <sweeps>`. See the {doc}`api/index`.
# :::
#
# ::::
#
# ## Computed, not drawn
#
# This book is an executable companion to *Features are fate: a theory of transfer learning in high-dimensional regression* {cite:p}`tahir2025`. Its figures are computed when it is built: networks are
# trained (or, where the caption says so, solved for exactly) and the theory is laid over them. Where the two disagree by more than is tolerated, the build stops. Two figures of ReLU networks at the size of the paper
# are drawn from data that are stored with the book, as their captions say.

# %%
#| tags: [remove-input]
#| name: fig-computed
#| caption: >-
#|   First, the map above at $\sigma = 0.2$; second, three vertical cuts at $d = 100$, where fitting even one number costs $(\sigma^2 + \sin^2\theta)/(n - 2)$, visible at small $\gamma$; trained
#|   two-layer networks (points: means of 20, bars: one standard error) on the exact theory (lines).
#| alt: >-
#|   A map in blue and red with a line where transfer and scratch training tie. Beside or below it three curves that fall,
#|   spike where the number of samples equals the dimension, and fall again; measured points lie on the curves.
d = 100
cuts = np.pi * np.array([1, 2, 3]) / 8
theta, gamma = np.linspace(0, np.pi / 2, 121), np.linspace(0.01, 2, 200)
n = np.arange(5, 2 * d + 1)
T = xr.DataArray(
    theory.linear_transferability(gamma, theta[:, None], sigma),
    coords={"theta": theta, "gamma": gamma},
)
exact = xr.DataArray(
    theory.least_squares_risk(n, d, noise=sigma)
    - theory.linear_transfer_risk(cuts[:, None], n=n, sigma=sigma),
    coords={"theta": cuts, "gamma": n / d},
)
data = fatelib.phase_diagram(
    "linear_transfer",
    cuts,
    [0.2, 0.4, 0.6, 0.8, 1.2, 1.4, 1.6, 1.8],
    d=d,
    sigma=sigma,
    instances=20,
    key=jax.random.key(0),
    progress=False,
)
fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), width_ratios=[1.1, 1])
plot.phase_diagram(T, limit=1, ax=left)
left.collections[0].colorbar.set_label("")
left.set_title(r"transferability $\mathcal{T}$")
for i, cut in enumerate(cuts):
    left.axvline(cut, color=f"C{i}", linewidth=1, linestyle="--")
plot.slices(data.transferability, exact, converged=data.converged, ax=right)
right.axhline(0, color="black", linewidth=0.6)
right.set(ylim=(-1, 2), ylabel=r"transferability $\mathcal{T}$")
right.legend()
# %%
#| tags: [check, remove-input]
fatelib.agreement_table(
    {
        "transferability": (
            data.transferability,
            exact.sel(gamma=data.gamma, method="nearest"),
        )
    }
)

# %% [markdown]
# How fast all this is trained is on the page {doc}`performance`. If you use the book or the library, please {doc}`cite <cite>` them together with the paper.
