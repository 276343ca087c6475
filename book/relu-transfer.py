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
from fatelib.figures.relu_transfer import exponent
from fatelib.relu_sweep import relu_phase_diagram

plt.style.use("fatelib.style")

# %%
#| tags: [remove-output]
grid = relu_phase_diagram(
    [0.1, 0.3, 0.5, 0.7, 0.9],
    [30, 60, 120, 240],
    d=30,
    width=200,
    teacher_width=20,
    instances=4,
    key=jax.random.key(0),
    tolerance=3e-5,
    source_options={"steps": 1500},
)

# %%
#| name: fig-relu-diagram
#| caption: >-
#|   Transferability of ReLU networks, in units of the risk of scratch training, over the fraction $\mu$ of the teacher's neurons that the source lacks and the number of samples: linear transfer and fine-tuning.
#|   Black: where the *predicted* risk of linear transfer equals that of scratch training. $d = 30$, students of 200 neurons, teachers of 20; mean of 4 instances, each trained to a loss of $3 \cdot 10^{-5}$ after 1500 steps of pretraining.
#| alt: >-
#|   Two maps. Linear transfer is blue (positive) at few samples and small fractions and turns red towards many samples and large fractions. Fine-tuning is blue, paler towards large fractions, and nowhere
#|   clearly red.
#| tags: [hide-input]
figure = FIGURES["fig-3e"].draw(grid)

# %% [markdown]
# ## Four ways to learn one target
#
# The target is a teacher of $m^* = 20$ unit neurons, all with output weight 1; the source is the same teacher without a fraction $\mu$ of its neurons ({doc}`relu-students`). On $n$ samples of the target we train
#
# - a **new** network, both layers, from unit neurons: {py:func}`fatelib.scratch`,
# - the last layer alone on the **pretrained** student's features: {py:func}`fatelib.linear_transfer`,
# - the pretrained student, both layers: {py:func}`fatelib.fine_tune`,
#
# and two more last layers that tell us what the second one is worth: one on the features of the **source teacher** itself, the most that pretraining could leave behind if it left nothing else, and one on **random** neurons, the student's before
# any training. That is the control. All risks are exact, by the kernel.

# %%
#| name: fig-relu-protocols
#| caption: >-
#|   Risk of all five, against the number of samples, at a near and at a distant source (same data as {numref}`fig-relu-diagram`; points with standard errors over 4 instances). Lines: the prediction of
#|   {prf:ref}`prop-relu-curve` for the three last layers; dashed, scratch and fine-tuning, for which there is none.
#| alt: >-
#|   Two panels. At the near source the source teacher's features and fine-tuning have risks far below scratch. At the distant source the source teacher's own features have the largest risk by far, fine-tuning coincides with
#|   scratch, and pretrained features are hardly better than random ones.
#| tags: [hide-input]
labels = {
    "source_features": "source teacher's features",
    "linear_transfer": "pretrained features",
    "random_features": "random features (control)",
    "fine_tuning": "fine-tuning",
}


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
    ax.set_title(rf"$\mu$ = {mu:g}")
axes[0].set_ylabel("risk")
axes[0].legend(fontsize="small", loc="lower left")

# %%
#| tags: [build-only]
from myst_nb import glue

mean = grid.mean("instance")
few = mean.sel(n=30)
control = few.risk.sel(protocol="random_features", fraction=0.9)
pretrained = few.risk.sel(protocol="linear_transfer", fraction=0.9)
glue("control", float(few.risk_scratch / control), display=False)
glue("credited", float(control / pretrained), display=False)
near = few.risk.sel(fraction=0.1)
glue(
    "near-credited",
    float(
        near.sel(protocol="random_features") / near.sel(protocol="linear_transfer")
    ),
    display=False,
)
tuned = grid.risk.sel(protocol="fine_tuning") / grid.risk_scratch - 1
tuned_mean = tuned.mean("instance")
tuned_error = tuned.std("instance", ddof=1) / np.sqrt(tuned.sizes["instance"])
worst = tuned_mean.isel(tuned_mean.argmax(...))
glue("tuned-worst", 100 * float(worst), display=False)
glue("tuned-worst-error", 100 * float(tuned_error.sel(worst.coords)), display=False)
assert few.risk_scratch > 1.3 * control
# With three degrees of freedom chance reaches 5.8 standard errors once in a hundred times.
assert (tuned_mean < 5.8 * tuned_error).all()

# %% [markdown]
# Three observations, before any theory.
#
# 1. **The control wins too.** At $n = 30$ a last layer on *random* neurons has {glue:text}`control:.1f` times less risk than training both layers anew. Nothing was transferred: with few samples, training all weights is just the worse
#    way to use them. Pretraining from the distant source ($\mu = 0.9$) lowers the risk of the control by a factor of {glue:text}`credited:.2f`, from the near one ($\mu = 0.1$) by {glue:text}`near-credited:.1f`. Only that is the merit of the features.
# 2. **A pretrained student is better than its teacher** at a distant source, by far: the source teacher has two neurons left at $\mu = 0.9$, the student kept two hundred directions.
# 3. **Fine-tuning never hurts here.** Over all cells the largest mean excess over scratch is {glue:text}`tuned-worst:.1f` ± {glue:text}`tuned-worst-error:.1f` %.
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
# the risk of the last layer fitted to $n$ samples is that of the general formula of {doc}`one-formula`, `theory.ridge_risk(n, l, t, residual=ρ)`, up to corrections that vanish when $n$ and the number of features grow together.
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
    ns=(30, 60, 100, 200, 400, 1500), instances=8, progress=False
)

# %%
#| name: fig-curve
#| caption: >-
#|   Learning curves of linear transfer at noise $\sigma = 0.1$: a last layer on the source teacher's own features, on those of a student pretrained on it, and on random ones. Points: 8 data sets, with standard errors. Lines:
#|   {prf:ref}`prop-relu-curve`, from the neurons alone. Left without ridge, right with ridge $10^{-3}$. $d = 30$, 200 neurons, teacher of 20, $\mu = 0.5$.
#| alt: >-
#|   Two panels of three curves each with points on the lines. Without ridge pretrained and random features peak at 200 samples; with ridge all curves fall.
#| tags: [hide-input]
figure = FIGURES["fig-curve"].draw(curve)

# %%
FIGURES["fig-curve"].compare(curve)

# %%
#| tags: [build-only]
off = (curve.risk.mean("instance") / curve.risk_theory - 1).sel(ridge=0.0)
peak = off.sel(features="random_features", n=200)
glue("peak", 100 * float(abs(peak).max()), display=False)
part = grid.sel(fraction=0.3, n=240).mean("instance")
kinds = {"protocol": ["linear_transfer", "source_features"]}
assert part.outside.sel(kinds).diff("protocol") > 0
assert part.risk.sel(kinds).diff("protocol") < 0

# %% [markdown]
# The table accepts a cell if it lies within four standard errors, or within 5 % of the line: the formula is exact in the limit only, and for Gaussian features. Cells within a factor of 1.5 of $n = 200$ are left out where there is no ridge: there the
# risk of a single data set scatters by orders of magnitude. At $n = 200$ the mean of the random features is off by up to {glue:text}`peak:.0f` %.
#
# :::{admonition} What replaces $\sin^2\theta$
# :class: note
#
# In the linear theory one number decided, the part of the target outside the one feature that the source left. Here it is $\rho$, the part outside the span of all features, *and* the spectrum: how large the features are that carry the target. With $n$
# far below the number of neurons it is the spectrum that matters. That is how a student can have the smaller $\rho$ and yet the larger risk than its own source teacher,
# as at $\mu = 0.3$ and $n = 240$.
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
assert new.converged.all()

# %% [markdown]
# From $n = 30$ to 240 we find $\nu$ = {glue:text}`nu:.2f`, with a 95 % interval from {glue:text}`nu-low:.2f` to {glue:text}`nu-high:.2f`. No theory says that it should be a power law, and the exponent belongs to its range: with $n$ of the order of $d$ a network
# learns the mean and the linear part of the target, of which there are $d + 1$ coefficients; the quadratic part has of the order of $d^2/2$ ({doc}`from-lines-to-kernels`). A straight line through both is a summary, not a law. The table checks
# something else: that the risk by the kernel is the mean squared error on fresh samples.
#
# ## The boundary
#
# Linear transfer is positive where its predicted risk is below that of scratch training: the black line of {numref}`fig-relu-diagram`. One side of the comparison is theory, without any fit; the other is measured, as there is no theory of scratch training
# of both layers yet. Below, the prediction against the trained last layers in all cells of the map.

# %%
FIGURES["fig-3e"].compare(grid)

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
where = {"protocol": "pretrained features", "mu": 0.5, "n": 60}
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
# The rows where the control has the lower risk are blue for every $\mu$, whatever the source:

# %%
random = grid.risk.sel(protocol="random_features", fraction=0.5).mean("instance")
wins = random < grid.risk_scratch.mean("instance")
print("random features beat scratch at n =", grid.n.values[wins.values])
print("random features lose at n =", grid.n.values[~wins.values])
assert wins.sel(n=30)
assert not wins.sel(n=240)

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
#
# 1. The kernel of the neurons predicts the whole learning curve of linear transfer, for any two-layer ReLU network: $\rho$ is where it ends, the spectrum is how fast.
# 2. Compare with random features first. With few samples they beat scratch training without any source; pretraining deserves credit for the rest only.
# 3. Fine-tuning was never worse than scratch training in these experiments; linear transfer is, as soon as scratch training can afford what the features miss.
