# %% [markdown]
# # Transfer in ReLU networks
#
# Keep the features, tune all weights, or start anew: the question of {doc}`when-does-transfer-help`, for networks that are not linear. In this chapter you will
#
# - train ReLU networks in all three ways, over the share of the teacher that the source lacks and the number of samples,
# - predict the whole learning curve of linear transfer from the neurons alone, and with it the boundary of positive transfer,
# - see how much of what looks like transfer is there *without* any pretraining.

# %%
#| tags: [hide-input]
import jax
import matplotlib.pyplot as plt
import numpy as np

import fatelib
from fatelib import relu, theory
from fatelib.figures import FIGURES
from fatelib.figures.relu_transfer import LABELS, exponent

plt.style.use("fatelib.style")

# %%
#| tags: [remove-output]
grid = fatelib.relu_phase_diagram(
    [0.1, 0.35, 0.6, 0.9],
    [30, 60, 120, 360],
    d=30,
    width=200,
    teacher_width=20,
    instances=6,
    key=jax.random.key(0),
    tolerance=3e-5,
    source_options={"steps": 1500, "tolerance": 1e-6},
)

# %%
#| name: fig-relu-diagram
#| caption: >-
#|   Transferability of ReLU networks, in units of the risk of scratch training, over the fraction $\mu$ of the teacher's neurons that the source lacks and the number of samples: linear transfer and fine-tuning.
#|   Black: where the *predicted* risk of linear transfer equals that of scratch training. $d = 30$, students of 200 neurons, teachers of 20; mean of 6 instances, each trained to a loss of $3 \cdot 10^{-5}$ after 1500 steps of pretraining on the population.
#| alt: >-
#|   Two maps. Linear transfer is blue (positive) at few samples and small fractions and turns red towards many samples and large fractions. Fine-tuning is blue, paler towards large fractions.
#| tags: [hide-input]
figure = FIGURES["fig-3e"].draw(grid)

# %% [markdown]
# ## Three ways to learn one target, and two controls
#
# The target is a teacher of $m^* = 20$ unit neurons, all with output weight 1; the source is the same teacher without a fraction $\mu$ of its neurons ({doc}`relu-students`). On $n$ samples of the target we train
#
# - a **new** network, both layers, from unit neurons: {py:func}`fatelib.transfer.scratch`,
# - the last layer alone on the **pretrained** student's features: {py:func}`fatelib.transfer.linear_transfer`,
# - the pretrained student, both layers: {py:func}`fatelib.transfer.fine_tune`,
#
# and two more last layers that tell us what the second one is worth: one on the features of the **source teacher** itself, as if the student held its source and nothing else, and one on **random** neurons, the student's before
# any training. That is the control. All risks are exact, by the kernel.

# %%
#| name: fig-relu-protocols
#| caption: >-
#|   Risk of all five, against the number of samples, at a near and at a distant source (same data as {numref}`fig-relu-diagram`; points with standard errors over 6 instances). Lines: the prediction of
#|   {prf:ref}`prop-relu-curve` for the three last layers; dashed, scratch and fine-tuning, for which there is none.
#| alt: >-
#|   Two panels. At the near source the source teacher's features and fine-tuning have risks far below scratch. At the distant source the source teacher's own features have the largest risk by far, fine-tuning coincides with
#|   scratch, and pretrained features are close to random ones.
#| tags: [hide-input]
labels = {name: LABELS[name] for name in LABELS}
labels["random_features"] += " (control)"


def points(ax, risk, color, label, style=""):
    error = risk.std("instance", ddof=1) / np.sqrt(risk.sizes["instance"])
    options = {"fmt": "o" + style, "color": color, "label": label}
    ax.errorbar(risk.n, risk.mean("instance"), error, **options)


figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.8), sharey=True)
for ax, mu in zip(axes, [0.1, 0.9], strict=True):
    cell = grid.sel(fraction=mu)
    for i, (protocol, label) in enumerate(labels.items()):
        style = "--" if protocol == "fine_tuning" else ""
        points(ax, cell.risk.sel(protocol=protocol), f"C{i}", label, style)
        ax.plot(
            cell.n,
            cell.risk_theory.sel(protocol=protocol).mean("instance"),
            color=f"C{i}",
        )
    points(ax, grid.risk_scratch, "0.3", "scratch", "--")
    ax.set(xscale="log", yscale="log", xlabel="samples n")
    ax.set_xticks(grid.n.values, grid.n.values)
    ax.minorticks_off()
    ax.set_title(rf"$\mu$ = {mu:g}")
axes[0].set_ylabel("risk")
axes[1].legend(fontsize="small", loc="lower left")

# %%
#| tags: [build-only]
from myst_nb import glue

from fatelib.figures.figure import tolerance

assert grid.converged.all()
assert grid.converged_scratch.all()
assert (grid.source_steps == 1500).all()
few = grid.sel(n=30)


def factor(name, upper, lower):
    """Glue the mean ratio of two risks over the instances, with its standard error."""
    ratio = (upper / lower).mean("instance")
    error = (upper / lower).std("instance", ddof=1) / grid.sizes["instance"] ** 0.5
    glue(name, float(ratio), display=False)
    glue(f"{name}-error", float(error), display=False)
    return float(ratio), float(error)


control = few.risk.sel(protocol="random_features", fraction=0.9)
wins, error = factor("control", few.risk_scratch, control)
assert wins - 1 > 4 * error
for mu in (0.1, 0.9):
    kept = few.risk.sel(protocol="linear_transfer", fraction=mu)
    factor(f"credit-{mu:g}", control, kept)
far = grid.sel(fraction=0.9, n=360)
teacher, student = (
    far.risk.sel(protocol=name) for name in ("source_features", "linear_transfer")
)
ratio, error = factor("kept", teacher, student)
assert ratio - 1 > 4 * error
glue(
    "rank-teacher",
    int(far["rank"].sel(protocol="source_features").max()),
    display=False,
)
glue(
    "rank-student",
    int(far["rank"].sel(protocol="linear_transfer").min()),
    display=False,
)

excess = grid.risk.sel(protocol="fine_tuning") / grid.risk_scratch - 1
excess = excess.mean("fraction")
spread = excess.std("instance", ddof=1) / grid.sizes["instance"] ** 0.5
ranked = excess.mean("instance") / spread
allowed = tolerance(grid.sizes["n"], grid.sizes["instance"])
assert (ranked < allowed).all()
far_excess = (
    grid.risk.sel(protocol="fine_tuning", fraction=0.9) / grid.risk_scratch - 1
)
worst = far_excess.mean("instance").max()
at = int(np.argmax(far_excess.mean("instance").values))
spread = far_excess.std("instance", ddof=1) / grid.sizes["instance"] ** 0.5
glue("tuned-worst", 100 * float(worst), display=False)
glue("tuned-worst-error", 100 * float(spread[at]), display=False)
glue("tuned-best", -100 * float(excess.mean("instance").min()), display=False)

# %% [markdown]
# Three observations, before any theory. (Factors are means over the instances, with standard errors.)
#
# 1. **The control wins too.** At $n = 30$ a last layer on *random* neurons has {glue:text}`control:.2f` ± {glue:text}`control-error:.2f` times less risk than training both layers anew. Nothing was transferred: with few samples, training all weights
#    is just the worse way to use them. What pretraining adds to the control is a factor of {glue:text}`credit-0.1:.1f` ± {glue:text}`credit-0.1-error:.1f` from the near source ($\mu = 0.1$) and of {glue:text}`credit-0.9:.2f` ± {glue:text}`credit-0.9-error:.2f`
#    from the distant one ($\mu = 0.9$). Only that is the merit of the features.
# 2. **A pretrained student can be better than its teacher**, by the number of its features. At $\mu = 0.9$ the source teacher has at most {glue:text}`rank-teacher` neurons left; the student still spans {glue:text}`rank-student` dimensions, and at $n = 360$ its features have
#    {glue:text}`kept:.1f` ± {glue:text}`kept-error:.1f` times less risk.
# 3. **Fine-tuning does not hurt here.** On average over the fractions it lowers the risk by up to {glue:text}`tuned-best:.0f` %; even at $\mu = 0.9$ the largest mean excess over scratch training at any $n$ is {glue:text}`tuned-worst:.1f` ± {glue:text}`tuned-worst-error:.1f` %. (At the size of the paper it does, see below.)
#
# ## The learning curve, from the neurons alone
#
# For given features the last layer is a linear regression, and {doc}`one-formula` knows its risk. The paper's eq. 18 writes it as $R(n) = C(n) + \lVert P_\perp f_t \rVert^2$ and leaves $C$ open. For ReLU neurons all that it takes is the kernel.
#
# :::{prf:proposition} Learning curve of linear transfer (ours)
# :label: prop-relu-curve
#
# Let $G = K(W, W) = V \operatorname{diag}(l) V^\top$ be the covariance of the features of neurons $W$, and $v = K(W, W^*)\, c^*/m^*$ their overlaps with the target. With
#
# $$
# t_i = \frac{(V^\top v)_i^2}{l_i}, \qquad \rho = \lVert f_t \rVert^2 - \sum_i t_i = \lVert P_\perp f_t \rVert^2 ,
# $$
#
# the risk of a last layer fitted to $n$ samples of *Gaussian* features with this covariance tends to the general formula of {doc}`one-formula`, `theory.ridge_risk(n, l, t, residual=ρ)`, as $n$ and the number of features grow together. That ReLU
# features behave like Gaussian ones of the same covariance when $d$ grows too (Gaussian equivalence) is not proved here; it is what the tables of this chapter check.
# :::
#
# It is a prediction without training, without a test set and without a free parameter: for *any* two-layer network, {py:func}`fatelib.relu.feature_spectrum` gives $l$, $t$ and $\rho$.

# %%
tasks = relu.ReluTasks.ablated(jax.random.key(1), 30, 20, 0.5)
neurons = relu.ReluNetwork.init(jax.random.key(2), 30, 200)
spectrum = relu.feature_spectrum(neurons.W, tasks.target.W, tasks.target.c / 20)
predicted = theory.ridge_risk(
    np.array([30, 100, 1000]),
    spectrum.eigenvalues,
    spectrum.coefficients2,
    residual=spectrum.residual,
)
X, y = tasks.sample(jax.random.key(3), 1000)
fitted = [
    fatelib.linear_transfer(neurons, tasks, X[:n], y[:n]).risk
    for n in (30, 100, 1000)
]
print("predicted", np.round(predicted, 5))
print("one fit  ", np.round(fitted, 5))

# %% [markdown]
# Now systematically: three sets of features, with and without label noise and ridge, 8 data sets each.

# %%
#| tags: [remove-output]
curve = FIGURES["fig-curve"].compute(
    ns=(30, 60, 100, 150, 320, 1500), instances=8, progress=False
)

# %%
#| name: fig-curve
#| caption: >-
#|   Learning curves of linear transfer at noise $\sigma = 0.1$: a last layer on the source teacher's own features, on those of a student pretrained on it, and on random ones. Points: 8 data sets, with standard errors. Lines:
#|   {prf:ref}`prop-relu-curve`, from the neurons alone. Left without ridge, right with ridge $10^{-3}$. $d = 30$, 200 neurons, teacher of 20, $\mu = 0.5$.
#| alt: >-
#|   Two panels of three curves each with points on the lines. The curves of pretrained and random features have a hump near 150 samples.
#| tags: [hide-input]
figure = FIGURES["fig-curve"].draw(curve)

# %%
FIGURES["fig-curve"].compare(curve)

# %%
#| tags: [build-only]
ratio = curve.risk / curve.risk_theory - 1
peak = ratio.sel(ridge=0.0, features="random_features", n=150, sigma=0.1)
glue("peak", 100 * float(peak.mean()), display=False)
glue("peak-error", 100 * float(peak.std(ddof=1)) / len(peak) ** 0.5, display=False)
assert np.isfinite(curve.risk_theory).all()
part = grid.sel(fraction=0.35, n=120)
inside = {
    name: part.sel(protocol=name) for name in ("linear_transfer", "source_features")
}
student, teacher = inside.values()
assert (student.outside < teacher.outside).all()
factor("variance", student.risk, teacher.risk)

# %% [markdown]
# The table accepts a cell if it lies within four standard errors, or within 5 % of the line; a largest deviation of 0 means that chance explains all cells. Left out are cells without ridge where $n$ is within a factor of 1.5 of the number of
# features: there the risk of a single data set scatters over orders of magnitude (at $n$ equal to it the prediction is infinite). At $n = 150$, with random features, the mean is {glue:text}`peak:.0f` ± {glue:text}`peak-error:.0f` % off the line.
#
# :::{admonition} What replaces $\sin^2\theta$
# :class: note
#
# In the linear theory one number decided, the part of the target outside the one feature that the source left. Here it is $\rho$, the part outside the span of all features, *and* the spectrum: how large the features are that carry the target. With $n$
# far below the number of neurons it is the spectrum that matters. So a smaller $\rho$ is not yet a smaller risk: at $\mu = 0.35$ and $n = 120$ the student, whose $\rho$ is below its source teacher's in every instance, has {glue:text}`variance:.2f` ± {glue:text}`variance-error:.2f` times the teacher's risk.
# :::
#
# ## Scratch training: a power law?
#
# The paper summarises scratch training by $R \approx A\, n^{-\nu}$ with $\nu \approx 1.18$ and draws its boundary with it.

# %%
#| tags: [remove-output]
new = FIGURES["fig-3c"].compute(widths=(200,), instances=6, progress=False)

# %%
#| name: fig-relu-scratch
#| caption: >-
#|   Risk of networks trained from scratch, against the number of samples (6 instances, standard errors) and the power law fitted to them; $\nu$ with its 95 % confidence interval. $d = 30$, 200 neurons.
#| alt: >-
#|   Four points in double-logarithmic axes near a straight line.
#| tags: [hide-input]
figure = FIGURES["fig-3c"].draw(new)

# %%
FIGURES["fig-3c"].compare(new)

# %%
#| tags: [build-only]
risk = new.risk.sel(width=200)
nu, low, high = exponent(risk)
glue("nu", nu, display=False)
glue("nu-low", low, display=False)
glue("nu-high", high, display=False)
ends = {"few": slice(None, 2), "many": slice(-2, None)}
for name, two in ends.items():
    slope, lower, upper = exponent(risk.isel(n=two))
    glue(f"slope-{name}", slope, display=False)
    glue(f"slope-{name}-error", (upper - lower) / 2, display=False)
glue("paper-inside", "inside" if low <= 1.18 <= high else "outside", display=False)
assert new.converged.all()

# %% [markdown]
# From $n = 30$ to 240 we find $\nu$ = {glue:text}`nu:.2f`, with a 95 % interval from {glue:text}`nu-low:.2f` to {glue:text}`nu-high:.2f` over the instances; 1.18 is {glue:text}`paper-inside` it. Our networks are smaller than the paper's, and the exponent
# belongs to a range: between the first two sizes it is {glue:text}`slope-few:.2f` ± {glue:text}`slope-few-error:.2f`, between the last two {glue:text}`slope-many:.2f` ± {glue:text}`slope-many-error:.2f` (95 %). No theory says that it should be a power law. The table checks
# something else: that the risk by the kernel is the mean squared error on fresh samples.
#
# ## The boundary
#
# Linear transfer is positive where its predicted risk is below that of scratch training: the black line of {numref}`fig-relu-diagram`. One side of the comparison is theory, without any fit; the other is measured, as there is no theory of scratch training
# of both layers yet. Below, the prediction against the trained last layers, on average over the map (without the cells within a factor of 1.5 of $n$ = rank, as above).

# %%
FIGURES["fig-3e"].compare(grid)

# %% [markdown]
# ## At the size of the paper
#
# The map above is small: it is trained while this page is built. The paper has $d = 100$, students of 1,000 and teachers of 100 neurons. At that size we computed {glue:text}`paper-mus` fractions and {glue:text}`paper-ns` sample sizes up to {glue:text}`paper-n`, for
# {glue:text}`paper-instances` instances, to a loss of $10^{-6}$ on the target (all of them reached it). Pretraining stopped after {glue:text}`paper-source-steps` steps, at mean losses on the population from {glue:text}`paper-source-low:.0e` to {glue:text}`paper-source-high:.0e`. It took {glue:text}`paper-hours:.1f` hours on two cores of a CPU that had other work; the result is stored with the book. `python book/data/relu_transfer.py --store DIR` computes it again,
# goes on where it was stopped, and with `--instances 5 --samples 3000` fills the paper's whole range on a GPU.

# %%
#| name: fig-relu-paper
#| caption: >-
#|   {numref}`fig-relu-diagram` at the size of the paper: $d = 100$, students of 1,000 neurons, teachers of 100, two instances. Stored data, not trained while this page was built.
#| alt: >-
#|   Two maps over the fraction removed and the number of samples. Linear transfer is blue below a line that falls with the fraction and red above it; fine-tuning is blue and fades towards large fractions.
#| tags: [build-only, hide-input]
import xarray as xr

paper = xr.load_dataset("data/relu_transfer.nc", engine="scipy")
paper["protocol"] = paper.protocol.astype(str)
paper["transferability"] = paper.risk_scratch - paper.risk
paper = paper.assign_attrs(instances=paper.sizes["instance"])
figure = FIGURES["fig-3e"].draw(paper)

# %%
#| tags: [build-only]
glue("paper-mus", paper.sizes["fraction"], display=False)
glue("paper-ns", paper.sizes["n"], display=False)
glue("paper-n", int(paper.n.max()), display=False)
glue("paper-instances", paper.sizes["instance"], display=False)
source = paper.source_loss.mean("instance")
glue("paper-source-steps", int(paper.attrs["source_steps"]), display=False)
glue("paper-source-low", float(source.min()), display=False)
glue("paper-source-high", float(source.max()), display=False)
glue("paper-hours", float(paper.attrs["seconds"]) / 3600, display=False)
assert (paper.converged == 1).all()
assert (paper.converged_scratch == 1).all()
slopes = {
    "whole": paper.risk_scratch,
    "middle": paper.risk_scratch.sel(n=slice(50, 650)),
    "last": paper.risk_scratch.sel(n=slice(1000, None)),
}
for name, part in slopes.items():
    fits = [-np.polyfit(np.log(part.n), np.log(one), 1)[0] for one in part.T]
    glue(
        f"paper-nu-{name}",
        " and ".join(f"{fit:.2f}" for fit in fits),
        display=False,
    )
few = paper.isel(n=0).mean("instance")
glue("paper-few", int(paper.n.min()), display=False)
control = few.risk.sel(protocol="random_features").mean()
glue("paper-control", float(few.risk_scratch / control), display=False)
beaten = (
    paper.risk.sel(protocol="random_features", fraction=0.9) < paper.risk_scratch
)
glue("paper-beaten", int(paper.n[beaten.all("instance")].max()), display=False)
excess = (
    paper.risk.sel(protocol="fine_tuning", fraction=0.9) / paper.risk_scratch - 1
)
each = 100 * excess.mean("n").values
glue("paper-tuned", " and ".join(f"{value:.0f} %" for value in each), display=False)
assert (each > 0).all()
ratio = (paper.risk / paper.risk_theory).mean("instance")
away = abs(np.log(paper.n / paper["rank"].mean("instance"))) > np.log(1.5)
ratio = ratio.where(away).sel(protocol=["linear_transfer", "random_features"])
glue("paper-off", 100 * float(abs(ratio - 1).max()), display=False)
glue("paper-off-mean", 100 * float((ratio - 1).mean()), display=False)

# %% [markdown]
# - The **prediction** holds: linear transfer on pretrained and on random features is off by {glue:text}`paper-off-mean:.1f` % on average and by {glue:text}`paper-off:.0f` % at most, without the cells next to $n$ = rank. Two instances are too few for an error bar.
# - The **control** is stronger: at $n$ = {glue:text}`paper-few` random features have {glue:text}`paper-control:.0f` times less risk than scratch training, and they beat it up to $n$ = {glue:text}`paper-beaten`. Most of the blue in the left map is theirs.
# - The **exponents** of the two instances are {glue:text}`paper-nu-whole` over the whole range, but {glue:text}`paper-nu-middle` from $n = 50$ to 650, next to the paper's 1.18, and {glue:text}`paper-nu-last` beyond 1,000. The power law belongs to the middle.
# - **Fine-tuning** from the most distant source, $\mu = 0.9$, is *worse* than scratch training here: by {glue:text}`paper-tuned` on average over $n$, for the two instances.

# %%
#| name: fig-relu-explore
#| caption: >-
#|   Transferability over $\mu$ and $n$; choose the way of learning in the menu. "random features" is the control: it does not depend on $\mu$, and what is blue in its map is not transfer.
from fatelib.widgets import explore

gain = grid.transferability.mean("instance").rename("T")
gain = gain.assign_coords(protocol=[labels[p] for p in gain.protocol.values])
gain.attrs["long_name"] = "transferability"
gain = gain.rename(fraction="mu")
gain.mu.attrs["long_name"] = "fraction removed"
where = {"protocol": "pretrained features", "mu": 0.35, "n": 60}
explore(gain, x="mu", y="n", at=where)

# %% [markdown]
# ## Exercises
#
# :::{exercise} What a ridge is worth
# :label: ex-relu-ridge
#
# For the random neurons above and noise $\sigma = 0.1$, find the best ridge at $n = 100$, 200 and 400 from the neurons alone. By how much does it lower the risk at the interpolation peak?
# :::
#
# :::{solution-start} ex-relu-ridge
# :label: sol-relu-ridge
# :class: dropdown
# :::
#
# One call per $n$: the formula takes arrays of ridges.

# %%
ridges = np.geomspace(1e-6, 1.0, 61)
for n in (100, 200, 400):
    risks = theory.ridge_risk(
        n,
        spectrum.eigenvalues,
        spectrum.coefficients2,
        residual=spectrum.residual,
        noise=0.1,
        ridge=ridges,
    )
    best = int(np.argmin(risks))
    print(f"n = {n}: ridge {ridges[best]:.1e}, risk {risks[best]:.4f}", end=", ")
    print(f"against {risks[0]:.4f} almost without")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} A boundary for the control
# :label: ex-relu-control
#
# Up to which $n$ do *random* features beat scratch training in {numref}`fig-relu-diagram`? Which part of the blue region of linear transfer is then not the merit of pretraining?
# :::
#
# :::{solution-start} ex-relu-control
# :label: sol-relu-control
# :class: dropdown
# :::
#
# The control beats scratch training at the sizes printed below, and there pretrained features win for every $\mu$, whatever the source:

# %%
random = grid.risk.sel(protocol="random_features", fraction=0.1).mean("instance")
wins = random < grid.risk_scratch.mean("instance")
print("random features beat scratch at n =", grid.n.values[wins.values])
print("random features lose at n =", grid.n.values[~wins.values])
kept = grid.transferability.sel(protocol="linear_transfer", n=grid.n[wins.values])
print("gain of pretrained features there, for each fraction:")
print(np.round(kept.mean("instance").values, 4))
assert wins.sel(n=30)
assert (kept.mean("instance") > 0).all()

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
#
# 1. With many features and samples, away from $n$ = rank, the kernel of the neurons predicts the learning curve of linear transfer: $\rho$ is where it ends, the spectrum is how fast.
# 2. Compare with random features first. With few samples they beat scratch training without any source; pretraining deserves credit for the rest only.
# 3. Fine-tuning gains from near sources. From the most distant one it gains nothing, and at the paper's size it loses a little; linear transfer loses once $n$ is large enough for scratch training to learn what the features miss.
