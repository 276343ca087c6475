# %% [markdown]
# # What pretraining adds
#
# A network learned one task; you freeze its neurons and fit a new last layer for the next task. It works. But neurons that nobody ever trained are features, too: **was it the pretraining?** Here the pretrained neurons lose to those they started from. Move the sliders until they win.

# %%
#| name: fig-explore-students
#| caption: >-
#|   Predicted risk of a last layer on three sets of neurons, as a share of $\lVert f_t \rVert^2$ (1: no better than predicting zero), against the number of target samples: pretrained neurons; random ones, the same before any training; and
#|   the source teacher's own. Each with its best ridge. Sliders: initial scale $\alpha$ of the pretrained neurons, fraction $\mu$ of the target's neurons that the source lacks, and label noise. One instance, $d = 30$, $m = 200$.
#| alt: >-
#|   Interactive curves of three risks against the number of samples, with sliders for the initial scale, the fraction removed and the noise.
#| tags: [hide-input]
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import fatelib
from fatelib import relu, theory
from fatelib.figures.figure import tolerance
from fatelib.figures.relu_transfer import beyond_chance
from fatelib.relu import ReluNetwork, ReluTasks, pretrain
from fatelib.widgets import explore

plt.style.use("fatelib.style")

d, m, teacher_neurons, steps = 30, 200, 20, 1500
scales = np.array([0.1, 0.5, 1.0, 2.0, 5.0])
rich, lazy = scales[0], scales[-1]
fractions = np.array([0.1, 0.5])


@jax.jit
def learn(key, fraction, scale, level):
    """Pretrain a student to a loss; return tasks, network before and after, history."""
    task_key, student_key = jax.random.split(key)
    tasks = ReluTasks.ablated(task_key, d, teacher_neurons, fraction)
    start = ReluNetwork.init(student_key, d, m, scale=scale)
    options = {"learning_rate": 1 / (0.5 + scale**2), "steps": steps}
    options |= {"absolute_tolerance": level, "record_every": 2}
    return tasks, start, *pretrain(start, tasks.source, **options)


keys = jax.random.split(jax.random.key(0), 6)
runs, left, taken = {}, {}, {}
for mu in fractions:
    for i, key in enumerate(keys):
        # The slowest comes first and sets the loss to compare at.
        for s in scales[::-1]:
            task, before, after, history = learn(key, mu, s, 0.0)
            stopped = after
            if s == lazy:
                level = history.loss[-1]
                left[mu, i] = level / history.loss[0]
            else:
                *_, stopped, short = learn(key, mu, s, level)
                taken[mu, s, i] = jnp.nanmax(short.steps)
            runs[mu, s, i] = task, before, after, stopped


def spectrum_of(W, tasks):
    """What the risk depends on: strengths of features, and the target on them."""
    target = tasks.target
    return relu.feature_spectrum(W, target.W, target.c / teacher_neurons)


ridges = np.geomspace(1e-5, 1, 21)  # in units of the sum of the strengths


def best_ridge(spectrum, n, sigma):
    """Smallest predicted risk of ridge regression, and the ridge that gives it."""
    candidates = ridges * float(spectrum.eigenvalues.sum())
    l, t, residual = jax.tree.leaves(spectrum)
    options = {"residual": residual, "noise": sigma, "ridge": candidates[:, None]}
    risks = np.asarray(theory.ridge_risk(np.atleast_1d(n), l, t, **options))
    return risks.min(0), candidates[risks.argmin(0)]


def blank(**coords):
    """A table with room for a number in every cell."""
    return xr.DataArray(np.full([len(v) for v in coords.values()], np.nan), coords)


ns = np.unique(np.geomspace(10, 3000, 24).round().astype(int))
names, sigmas = ["pretrained", "random", "source's own"], np.array([0.0, 0.1, 0.3])
grid = blank(mu=fractions, sigma=sigmas, alpha=scales, features=names, n=ns)
for mu, s in [(mu, s) for mu in fractions for s in scales]:
    task, before, after, _ = runs[mu, s, 0]
    for name, W in zip(names, [after.W, before.W, task.source.W], strict=True):
        spectrum = spectrum_of(W, task)
        total = float(spectrum.coefficients2.sum() + spectrum.residual)
        risks = [best_ridge(spectrum, ns, sigma)[0] / total for sigma in sigmas]
        grid.loc[{"mu": mu, "alpha": s, "features": name}] = np.array(risks)
grid = grid.rename("R").assign_attrs(long_name="risk")
said = {"n": "samples", "alpha": "initial scale", "mu": "fraction removed"}
for name, long_name in {**said, "sigma": "noise"}.items():
    grid[name].attrs["long_name"] = long_name
where = {"n": 100, "alpha": rich, "mu": 0.5, "sigma": 0.1}
order = ["alpha", "mu", "sigma"]
explore(grid, x="n", lines="features", sliders=order, at=where, log=True)

# %%
#| tags: [build-only]
from myst_nb import glue


def note(**values):
    """Keep numbers for the text."""
    for name, value in values.items():
        number = value if isinstance(value, int) else float(value)
        glue(name.replace("_", "-"), number, display=False)


credit = grid.sel(features="random") / grid.sel(features="pretrained")
assert credit.sel(where, method="nearest") < 1
assert (credit.sel(mu=0.5, alpha=slice(1.0, None)) > 1).all()
assert (credit.sel(mu=0.1) > 1).all()

# %% [markdown]
# ## Who competes
# A **ReLU network** of $m$ neurons $w_i$ with output weights $c_i$ computes $f(x) = \frac1m \sum_i c_i \operatorname{relu}(w_i \cdot x)$. Its **features** are the functions $\operatorname{relu}(w_i \cdot x)$, and its last layer weighs them. Inputs are standard normal, in $d = 30$ dimensions.
# - The **target** $f_t$ is such a network itself, a *teacher*: 20 random neurons of length one, all with output weight 1.
# - The **source** is the same teacher without a fraction $\mu$ of its neurons: *near* means $\mu = 0.1$ and *distant* $\mu = 0.5$, here and in other chapters.
# - A **student** has $m = 200$ neurons and learns the source, both layers, from infinitely many samples: 1500 steps at the learning rate $1/(\alpha^2 + \frac12)$. Its neurons start in random directions with length $\alpha$, the initial scale. Short ones ($\alpha = 0.1$) turn to their teacher's, which is called *rich*; long ones ($\alpha = 5$) hardly move, which is called *lazy*. ({doc}`relu-students` derives this; it is not needed here.)
# - The **control** is the student's neurons *before* any training. Their length makes no difference: it changes all features alike, which the ridge makes up for.
#
# Then neurons are frozen, and a last layer is fitted to $n$ noisy samples of the target, by ridge regression. What no combination of the features can express, what their *span* misses, stays out of reach.
# :::{prf:definition} Credit
# :label: def-credit
# The **credit** of pretraining is the risk of a last layer on the control over that on the pretrained features, at the same $n$: above 1 pretraining helped, below 1 it harmed.
# :::
# ## What one would guess
# Trained neurons beat untrained ones. And the better a student has found its teacher's neurons, the higher its credit. In {numref}`fig-explore-students` the student with $\alpha = 0.1$ has found them: {glue:text}`turned-rich:.0f`% of its neurons point within 26° of one of the source teacher's. At $n = 100$ its credit is below 1.
# ## Strong features and faint ones
# How can that be? 200 neurons are in general 200 features, however training has moved them: it brings neurons close to one another, not exactly together. What differs is how *strong* features are. Take the matrix of second moments, $\mathbb E\, [\operatorname{relu}(w_i \cdot x) \operatorname{relu}(w_j \cdot x)]$, which is known in closed form ({eq}`arc-cosine`; nothing is sampled). Each of its eigenvectors combines the neurons to one feature, orthogonal to the others, and the eigenvalue $\ell_i$ is that feature's mean square: its strength.

# %%
#| name: fig-strengths
#| caption: >-
#|   Strengths of the features of five sets of neurons, relative to the strongest, in descending order. Students of 200 neurons after 1500 steps of pretraining from three initial scales $\alpha$, the neurons that they started
#|   from, and the 10 neurons of the source teacher, which lacks half of the target's 20. $d = 30$, one instance.
#| alt: >-
#|   Falling curves on logarithmic axes. The teacher's points end after ten features. The curve of the student from scale 0.1 goes through them, then drops and falls ever faster;
#|   that from scale one falls steadily. That from scale five cannot be told from that of the random neurons, which falls least and has one step, after 31 features.
#| tags: [hide-input]
task, before, *_ = runs[0.5, lazy, 0]
sets = {f"pretrained, α = {s:g}": runs[0.5, s, 0][2].W for s in (0.1, 1.0, 5.0)}
sets |= {"random (control)": before.W}
sets |= {"source teacher": task.source.W[: teacher_neurons // 2]}
fig, ax = plt.subplots(figsize=(6.4, 3.4))
strengths, styles = {}, {"random (control)": "k--", "source teacher": "ko"}
for name, W in sets.items():
    eigenvalues = np.asarray(jnp.linalg.eigvalsh(relu.arccos_kernel(W, W)))[::-1]
    strengths[name] = eigenvalues / eigenvalues[0]
    line = np.arange(1, len(W) + 1), strengths[name], styles.get(name, "-")
    ax.plot(*line, label=name, markersize=4)
ax.set(xscale="log", yscale="log", ylim=(1e-6, 2))
ax.set(xlabel="feature", ylabel="strength / strongest")
ax.legend(fontsize="small")

# %% [markdown]
# The rich student ends with its teacher's ten features and a faint rest, the lazy one with strengths that cannot be told from those it started with. (The control has a step after 31: the constant and the 30 directions of the input.) Strength decides what few samples reveal. Let $t_i$ be the squared coefficient of the target on feature $i$ scaled to mean square 1 (so that the $t_i$ and $\rho$ add up to $\lVert f_t \rVert^2$), $\rho$ what is outside the span, and $\lambda$ the ridge. A last layer fitted to $n$ samples finds on average the share
#
# $$
# a_i = \frac{\ell_i}{\ell_i + \tilde\lambda}
# $$ (share-found)
# of coefficient $i$. The *effective ridge* $\tilde\lambda$ is one number, the same for all features, and solves $\sum_i a_i + n \lambda / \tilde\lambda = n$: the shares add up to at most $n$. Features much stronger than $\tilde\lambda$ are learned, fainter ones are not. With infinitely many samples at this $\tilde\lambda$ the error would be
#
# $$
# E_\infty = \sum_i (1 - a_i)^2\, t_i + \rho + \sigma^2 ,
# $$ (missed)
# what is missed on each feature, what is out of reach, and the noise of a label. Having only $n$ samples multiplies it; the risk leaves the label's noise out:
#
# $$
# R = \frac{n}{n - \sum_i a_i^2}\, E_\infty - \sigma^2 .
# $$ (risk-from-strengths)
# You know a special case. Let $k < n$ features be equally strong, and the ridge go to zero. So does $\tilde\lambda$, all $a_i = 1$, and $R = \rho + (\sigma^2 + \rho)\, k / (n - k)$: {eq}`three-pieces` for large $n$ and $k$. (The general formula is {eq}`unequal-risk`, argued for in {numref}`ex-unequal-features`; it assumes Gaussian features, of which ReLU features are not an example. So fits decide.) Now the rich student makes sense. With 100 samples it learns its ten strong features very well. For the near source that is most of the target. For the distant one, half of the target is in other neurons, which this student can only express with features that are now too faint. The control has all its features at moderate strength: ten of them less well, everything else better.
# ## The experiment
# Pretrain one student of the distant source, keep its start, and fit last layers on both, to the same twelve data sets:

# %%
task_key, student_key = jax.random.split(keys[0])  # one of those above
tasks = ReluTasks.ablated(task_key, d, teacher_neurons, 0.5, sigma=0.1)
start = ReluNetwork.init(student_key, d, m, scale=0.1)
student, _ = pretrain(start, tasks.source, learning_rate=1 / 0.51, steps=1500)


def least_risk(network, key):
    """Risk of a last layer on 100 samples, at the best ridge."""
    total = jnp.sum(network.W**2) / 2  # of the strengths
    data = tasks, *tasks.sample(key, 100)
    fits = [
        fatelib.linear_transfer(network, *data, ridge=r * total) for r in ridges
    ]
    return min(float(fit.risk) for fit in fits)


data_keys = jax.random.split(jax.random.key(1), 12)
risk = {}
for name, network in {"pretrained": student, "control": start}.items():
    risk[name] = np.mean([least_risk(network, key) for key in data_keys])
    print(f"{name}: risk {risk[name]:.5f}")
print(f"credit {risk['control'] / risk['pretrained']:.2f}")

# %% [markdown]
# One student is not enough. {numref}`fig-adds` has six instances (teacher, student and twelve data sets), for both sources and five initial scales. The ridge is the one that {eq}`risk-from-strengths` calls best; to predict so, one must know the target. Students are compared after equally many steps and, second, at equal training *loss*: each stopped at the loss that the laziest one reaches in the end.


# %%
#| name: fig-adds
#| caption: >-
#|   Credit of pretraining (above 1 it helps) against the initial scale: students after 1500 steps (filled), and stopped at the training loss of the student with $\alpha = 5$ (open). Points: fitted
#|   last layers, mean over six instances with one standard error; lines: predicted, {eq}`risk-from-strengths`. Dotted: the source teacher's own features. First panel: a tenth of the target's neurons is missing in the source; second: half.
#|   $n = 100$, $\sigma = 0.1$, best ridge, $d = 30$, $m = 200$.
#| alt: >-
#|   Two panels against the initial scale. In the first all points lie above one. In the second the filled points start below one at small scales, have a maximum at scale two and end just above one;
#|   the open points start near one and have a lower maximum. Points lie on the lines.
#| tags: [hide-input]
@jax.jit
def fitted(W, tasks, ridge, keys):
    """Last layers, each fitted to 100 samples, and their risks."""
    noisy = ReluTasks(tasks.source, tasks.target, jnp.float32(0.1))

    def one(key):
        data = noisy, *noisy.sample(key, 100)
        network = ReluNetwork(W, jnp.zeros(len(W)))
        fit = fatelib.linear_transfer(network, *data, ridge=ridge)
        return fit.network.c, fit.risk

    return jax.lax.map(one, keys)


names = ["equal steps", "equal loss", "source's own", "control"]
kinds = ["fitted", "predicted"]
use = blank(features=names, kind=kinds, mu=fractions, alpha=scales, i=range(6))
data_keys = [jax.random.split(jax.random.key(10 + i), 12) for i in range(len(keys))]
fits = {}
for (mu, s, i), (task, before, after, stopped) in runs.items():
    sets = {"equal steps": after.W, "equal loss": stopped.W}
    if s == rich:
        sets |= {"control": before.W, "source's own": task.source.W}
    for name, W in sets.items():
        best, ridge = best_ridge(spectrum_of(W, task), 100, 0.1)
        layers, risks = fitted(W, task, ridge[0], data_keys[i])
        both = np.array([risks.mean(), best[0]])
        use.loc[{"features": name, "mu": mu, "alpha": s, "i": i}] = both
        fits[name, mu, s, i] = ReluNetwork(W, layers[0]), risks[0]
use = use.fillna(use.sel(alpha=rich, drop=True))

credit = (use.sel(features="control") / use).transpose(*use.dims)
fig, axes = plt.subplots(1, 2, figsize=(7.5, 3.2), sharey=True)
for ax, fraction in zip(axes, fractions, strict=True):
    for k, (name, face) in enumerate([("equal steps", "C0"), ("equal loss", "w")]):
        part = credit.sel(mu=fraction, features=name)
        points = part.sel(kind="fitted")
        error = points.std("i", ddof=1) / len(keys) ** 0.5
        options = {"color": f"C{k}", "markerfacecolor": face, "label": name}
        ax.errorbar(scales, points.mean("i"), error, fmt="o", **options)
        ax.plot(scales, part.sel(kind="predicted").mean("i"), color=f"C{k}")
    own = credit.sel(
        mu=fraction, features="source's own", kind="fitted", alpha=rich
    )
    ax.axhline(own.mean(), color="0.4", linestyle=":", label="source's own")
    ax.axhline(1, color="k", linestyle="--", linewidth=1, label="control")
    ax.set(xscale="log", yscale="log", xlabel=r"initial scale $\alpha$")
    ax.set_title(rf"$\mu$ = {fraction:g}")
    ax.set_yticks([0.7, 1.0, 2.0, 3.0], ["0.7", "1", "2", "3"])
    ax.minorticks_off()
axes[0].set_ylabel("credit: risk of the control / risk")
axes[1].legend(fontsize="small")

# %%
#| tags: [check]
# The prediction assumes Gaussian features. With fewer samples than features, as here, it is a guide more than a theorem.
# So a cell agrees if it is within four standard errors over the six instances, or else within 5% of the prediction; the table has what remains after four standard errors, relative to the prediction.
pair = use.sel(kind="fitted") / use.sel(kind="predicted")
off = beyond_chance(pair.rename(i="instance"), 1.0)
others = off.sel(features=["control", "source's own"], alpha=rich)
pairs = {
    "students": off.sel(features=["equal steps", "equal loss"]),
    "control and source's own": others,
}
pairs = {f"{k}: relative, beyond 4 s.e.": (off, 0.0) for k, off in pairs.items()}
fatelib.agreement_table(pairs, over=None, tolerance=0.05)

# %%
#| tags: [check]
# All risks are computed by the kernel. Those of four of the fits are compared with their squared errors on a million fresh inputs, in twenty batches.
networks, risks = zip(*(fits[name, 0.5, rich, 0] for name in names), strict=True)


target = runs[0.5, rich, 0][0].target


@jax.jit
def sampled(key):
    """Risks on 50,000 fresh inputs."""

    def error2(x):
        return (jnp.stack([f(x) for f in networks]) - target(x)) ** 2

    inputs = jax.random.normal(key, (50_000, d))
    return jax.lax.map(error2, inputs, batch_size=2500).mean(0)


batches = jax.random.split(jax.random.key(2), 20)
found = [sampled(key) for key in batches]
found = xr.DataArray(found, {"features": names}, ("batch", "features"))
pairs = {"risk by the kernel": (found, np.array(risks))}
limit = tolerance(len(names), len(batches))
fatelib.agreement_table(pairs, over="batch", tolerance=limit)

# %%
#| tags: [build-only]
fit = credit.sel(kind="fitted")
mean, error = fit.mean("i"), fit.std("i", ddof=1) / len(keys) ** 0.5
named = {
    "near": mean.sel(mu=0.1, alpha=rich),
    "far": mean.sel(mu=0.5, alpha=rich),
    "far-best": mean.sel(mu=0.5, alpha=2.0),
    "far-lazy": mean.sel(mu=0.5, alpha=lazy),
}
said = {"equal steps": "", "equal loss": "-early", "source's own": "-ideal"}
for name, cell in named.items():
    for features, kind in said.items():
        value = cell.sel(features=features)
        spread = error.sel(features=features, mu=value.mu, alpha=value.alpha)
        note(**{f"adds-{name}{kind}": value, f"adds-{name}{kind}-error": spread})
note(level=100 * np.mean([left[0.5, i] for i in range(6)]))
note(level_step=int(max(taken[0.5, rich, i] for i in range(6))))
note(worse=int((fit.sel(features="equal steps", mu=0.5, alpha=rich) < 1).sum()))
# As the text says:
found, _, kept, initial, teacher = strengths.values()
assert abs(kept / initial - 1).max() < 0.05
assert abs(found[:10] / teacher - 1).max() < 0.2
assert found[10] < 0.3 * teacher[-1]
assert risk["control"] < risk["pretrained"]
near, far = mean.sel(features="equal steps")
spreads = error.sel(features="equal steps")
assert 1 - far.sel(alpha=rich) > 2 * spreads.sel(mu=0.5, alpha=rich)
assert far.idxmax("alpha") == 2.0
assert far.sel(alpha=lazy) - 1 > 2 * spreads.sel(mu=0.5, alpha=lazy)
assert (near > 1 + 4 * spreads.sel(mu=0.1)).all()
assert mean.sel(mu=0.5, features="equal loss").min() > 0.95

# %% [markdown]
# What pretraining adds depends on three things.
# - **The source.** From the near one every student gains: from $\alpha = 0.1$ the credit is {glue:text}`adds-near:.1f` ± {glue:text}`adds-near-error:.1f`, next to {glue:text}`adds-near-ideal:.1f` ± {glue:text}`adds-near-ideal-error:.1f` of the source teacher's own features. From the distant one the same student *loses*: its credit is {glue:text}`adds-far:.2f` ± {glue:text}`adds-far-error:.2f`, and below 1 in {glue:text}`worse` of 6 instances.
# - **The scale.** For the distant source the best of our five scales lies between rich and lazy, $\alpha = 2$: {glue:text}`adds-far-best:.2f` ± {glue:text}`adds-far-best-error:.2f`. Our reading: there neurons lean towards the source without arriving (none has turned to within 26°), so that the student has the source *and* a random memory of everything else. {ref}`ex-both` supports it. Lazy students still gain a little: {glue:text}`adds-far-lazy:.2f` ± {glue:text}`adds-far-lazy-error:.2f`.
# - **The stop.** At equal training loss ({glue:text}`level:.1f`% of the initial one at $\mu = 0.5$, which $\alpha = 0.1$ reaches in at most {glue:text}`level-step` steps) the rich student of the distant source does about as well as the control: {glue:text}`adds-far-early:.2f` ± {glue:text}`adds-far-early-error:.2f`. By then none of its neurons has turned. It becomes worse in the training beyond, while they do ({numref}`fig-features-last`). For the near source the same training makes it better, from {glue:text}`adds-near-early:.1f` ± {glue:text}`adds-near-early-error:.1f` to {glue:text}`adds-near:.1f`.
#
# Pretraining deserves its credit and nothing else. That most neurons have turned to the teacher's is no merit in itself: {glue:text}`turned-near:.0f`% do at $\mu = 0.1$, where it helps, and {glue:text}`turned-rich:.0f`% at $\mu = 0.5$, where it harms.
# ## What if?
# Go back to {numref}`fig-explore-students` and guess before you move: what happens to the three curves with a higher initial scale? With the near source? Which of them does label noise hurt most, at few samples and at many?
# ## And your own network?
# You do not know its teacher, or the target. But the three ingredients are at hand: a copy of the network with its weights *before* training, the same layer of both, and some labelled samples of the new task. {py:func}`fatelib.diagnose <fatelib.probe.diagnose>`, with the copy's features as `control`, estimates both errors and the credit, with intervals, at any number of samples ({numref}`ex-own-credit`). Its errors contain the label noise, which brings the ratio nearer to 1. If the credit is
# - *clearly above 1*: keep the features;
# - *about 1*: you pay for the network, not for its pretraining. Look at its other layers: the last ones are the most specialised ({doc}`which-layer`);
# - *below 1*: put the untrained features beside the pretrained ones ({numref}`ex-both`). If the pretraining is yours, stop it earlier, start from longer weights, or choose a nearer source.
#
# And credit compares with an untrained copy only. Whether to train all weights instead is another contest, for which `diagnose` takes contenders ({numref}`ex-own-fine-tuning`).
# ## Exercises
# :::{exercise} Predict, then run: many samples
# :label: ex-many-samples
# The rich student of the distant source loses at $n = 100$. Does it lose more or less at $n = 1000$, or does it win? Guess, with {numref}`fig-strengths` and the way $\tilde\lambda$ goes as $n$ grows. Then fill in the blank: `risks = grid.sel(mu=0.5, alpha=0.1, sigma=0.1).interp(n=___)`, and divide the entry of "random" by that of "pretrained".
# :::
#
# :::{solution-start} ex-many-samples
# :label: sol-many-samples
# :class: dropdown
# :::

# %%
many = {}
for n in (20, 100, 300, 1000, 3000):
    risks = grid.sel(mu=0.5, alpha=rich, sigma=0.1).interp(n=n)
    many[n] = float(risks.sel(features="random") / risks.sel(features="pretrained"))
    print(f"n = {n:4}: credit {many[n]:.2f}, predicted")

# %%
#| tags: [build-only]
assert many[20] > 1 > many[100] > many[300] > many[1000] > many[3000]

# %% [markdown]
# It loses the more, the more samples there are; with very few it wins, barely. More samples lower $\tilde\lambda$. At first only the strongest features are above it, and the student's are the better ones. Then the control's many features of moderate strength come to count one after the other, while the student's rest is fainter and is reached much later.
#
# :::{solution-end}
# :::
# :::{exercise} With pencil: all the samples in the world
# :label: ex-all-samples
# Without label noise and ridge, what is the credit for $n \to \infty$, by {eq}`risk-from-strengths`? What if $\rho = 0$ for one of the two? And why is this limit a poor guide at $n = 100$?
# :::
#
# :::{solution-start} ex-all-samples
# :label: sol-all-samples
# :class: dropdown
# :::
#
# For $n$ beyond the number of features and no ridge, $\tilde\lambda = 0$ and all $a_i = 1$, which leaves $R = \rho + \rho k / (n - k) \to \rho$. So the credit goes to $\rho_{\text{control}} / \rho_{\text{pretrained}}$: what counts is what each span misses, however faint its features are. With $\rho = 0$ for the pretrained features the credit grows without limit, with $\rho = 0$ for the control it goes to zero. At $n = 100$ there are fewer samples than features: $\sum_i a_i \le 100$ of 200, and most of the error is in the first term of {eq}`missed`, which this limit does not have.
#
# :::{solution-end}
# :::
# :::{exercise} Code: how many features?
# :label: ex-cutoff-relu
# Count the features of the rich student and of the control that are stronger than a share $\epsilon$ of the strongest, for $\epsilon = 10^{-2}, 10^{-3}$ and $10^{-4}$. For which of the two is "the number of features" well defined? Then sum up every set of neurons, for the distant source, by four numbers: the share of **neurons turned** to within a cosine of 0.9 of a neuron of the source teacher; the **numerical rank**, the number of $\ell_i$ above a thousandth of the largest; the **participation ratio** $(\operatorname{tr} C)^2 / \operatorname{tr} C^2$ of the features' covariance $C$ (the second moments less the products of the means, $\lvert w_i \rvert / \sqrt{2 \pi}$ each); and the share of the target **outside** the span, $\rho / \lVert f_t \rVert^2$.
# :::
#
# :::{solution-start} ex-cutoff-relu
# :label: sol-cutoff-relu
# :class: dropdown
# :::
#
# Strictly for neither. But the control's strengths have a gap: {glue:text}`count-gap` features, the constant and the directions, stand above a hundredth, and at $10^{-4}$ all 200 are counted, so no smaller cutoff adds any. The rich student has about its teacher's ten and then a tail without such a gap, neurons on the way to a teacher neuron, of which every smaller cutoff counts more. A rank of such a network is a statement about the cutoff.

# %%
cutoffs = [1e-2, 1e-3, 1e-4]
names = {"control": "random (control)", "rich": "pretrained, α = 0.1"}
counts = {
    short: [int((strengths[name] > cutoff).sum()) for cutoff in cutoffs]
    for short, name in names.items()
}
pd.DataFrame(counts, index=cutoffs)

# %%
#| tags: [build-only]
note(count_gap=counts["control"][0])
assert counts["control"][0] == d + 1
assert counts["control"][-1] == m
assert 10 <= counts["rich"][0] < 15
assert (np.diff(counts["rich"]) > 10).all()
found, initial = (strengths[name] for name in reversed(names.values()))
assert (found[11:100] / found[12:101]).max() < 2.5 < initial[30] / initial[31]


# %%
@jax.jit
def held(W, tasks):
    l, t, residual = jax.tree.leaves(spectrum_of(W, tasks))
    lengths = jnp.linalg.norm(W, axis=1)
    means = jnp.outer(lengths, lengths) / (2 * jnp.pi)
    covariance = relu.arccos_kernel(W, W) - means
    return {
        "turned": jnp.mean(relu.nearest_cosine(W, tasks.source.W) > 0.9),
        "rank": jnp.sum(l > 1e-3 * l[-1]),
        "participation": jnp.trace(covariance) ** 2 / jnp.sum(covariance**2),
        "outside": residual / (t.sum() + residual),
    }


rows = []
for (mu, s, _), (task, before, after, stopped) in runs.items():
    if mu != 0.5:
        continue
    sets = {f"pretrained, α = {s:g}": after.W}
    if s == rich:
        sets[f"α = {s:g}, stopped early"] = stopped.W
        own_neurons = task.source.W[: teacher_neurons // 2]  # the others are zero
        sets |= {"random": before.W, "source's own": own_neurons}
    for name, W in sets.items():
        values = {k: float(v) for k, v in held(W, task).items()}
        rows.append({"features": name, **values})
order = [f"pretrained, α = {s:g}" for s in scales]
order += [f"α = {rich:g}, stopped early", "random", "source's own"]
holds = pd.DataFrame(rows).groupby("features").mean().loc[order]
holds.round({"turned": 2, "rank": 0, "participation": 1, "outside": 3}).astype(
    {"rank": int}
)

# %%
#| tags: [build-only]
from fatelib.relu.features import faintest

names = {"rich": rich, "paper": 1.0, "between": 2.0, "lazy": lazy}
kinds = {name: holds.loc[f"pretrained, α = {s:g}"] for name, s in names.items()}
kinds |= {"random": holds.loc["random"], "ideal": holds.loc["source's own"]}
kinds |= {"early": holds.loc[f"α = {rich:g}, stopped early"]}
for name, row in kinds.items():
    for column, unit in zip(row.index, (100, 1, 1, 100), strict=True):
        note(**{f"{column}-{name}": unit * row[column]})
turned = [held(runs[0.1, rich, i][2].W, runs[0.1, rich, i][0]) for i in range(6)]
note(turned_near=100 * np.mean([values["turned"] for values in turned]))
# As the text says:
same = kinds["lazy"] / kinds["random"] - 1
assert abs(same[["rank", "participation"]]).max() < 0.02
assert kinds["random"].outside < kinds["rich"].outside < kinds["ideal"].outside
each = pd.DataFrame(rows)
each = {name: part.outside.to_numpy() for name, part in each.groupby("features")}
assert (each["pretrained, α = 5"] < each["random"]).all()
assert (each["pretrained, α = 1"] < each["random"]).all()
assert kinds["early"].turned == kinds["between"].turned == 0
assert faintest(m, jnp.float32) < 1e-5

# %% [markdown]
# (Means over the instances. "Stopped early": at the loss that $\alpha = 5$ reaches in the end.)
#
# - **Rich** students ($\alpha = 0.1$) come close to their teacher: {glue:text}`turned-rich:.0f`% of their neurons have turned, the numerical rank is {glue:text}`rank-rich:.0f`, against {glue:text}`rank-random:.0f` of the control and {glue:text}`rank-ideal:.0f` of the teacher, the participation ratio {glue:text}`participation-rich:.1f`, against {glue:text}`participation-random:.1f` and {glue:text}`participation-ideal:.1f`.
# - **Lazy** students ($\alpha = 5$) have the control's rank and participation ratio, within 2%, and slightly less of the target outside ({glue:text}`outside-lazy:.1f`% against {glue:text}`outside-random:.1f`%).
# - The **paper's** scale, $\alpha = 1$, lies in between: rank {glue:text}`rank-paper:.0f`, participation ratio {glue:text}`participation-paper:.0f`, {glue:text}`turned-paper:.0f`% of the neurons turned. But less of the target is outside ({glue:text}`outside-paper:.1f`%) than for the control.
#
# A pretrained student is not its teacher: even the rich one has less of the target outside ({glue:text}`outside-rich:.1f`%) than the source teacher's own span ({glue:text}`outside-ideal:.1f`%), as some neurons did not arrive, though more than the control ({glue:text}`outside-random:.1f`%). That number needs care: two features that nearly coincide span their difference, too, and how faint a difference still counts depends on the precision of the machine (a share of less than $10^{-5}$ of the strongest, here) or on the number of samples. The risk at finite $n$ has no such ambiguity.
#
# :::{solution-end}
# :::
# :::{exercise} Your own arrays
# :label: ex-own-credit
# Measure a credit as one would with a network of unknown origin: features of network and untrained copy on 300 labelled samples, and `diagnose`. With no network at hand, take the rich students of both sources. What does the report find out at $n = 100$, next to {numref}`fig-adds`? What would you need to find out more?
# :::
#
# :::{solution-start} ex-own-credit
# :label: sol-own-credit
# :class: dropdown
# :::
#
# Replace `sets` and `labels` by your own; {doc}`get-features` has recipes for many libraries.

# %%
#| tags: [remove-stderr]
own = {}
for mu in fractions:
    task, before, after, _ = runs[mu, rich, 0]
    noisy = ReluTasks(task.source, task.target, jnp.float32(0.1))
    inputs, labels = map(np.asarray, noisy.sample(jax.random.key(30), 300))
    networks = {"pretrained": after, "untrained": before}
    sets = {
        name: np.maximum(inputs @ np.asarray(network.W).T, 0)
        for name, network in networks.items()
    }
    report = fatelib.diagnose(sets, labels, control="untrained")
    own[mu] = report.credit(100).sel(features="pretrained")
    low, high = float(own[mu].credit_low), float(own[mu].credit_high)
    print(f"mu = {mu}: credit {float(own[mu].credit):.2f} [{low:.2f}, {high:.2f}]")
print(report)

# %%
#| tags: [build-only]
# With the noise of the labels, which is in both errors:
diluted = (risk["control"] + 0.1**2) / (risk["pretrained"] + 0.1**2)
note(alone=risk["control"] / risk["pretrained"], diluted=diluted)
assert own[0.1].credit_low > 1
assert own[0.5].credit_low < min(diluted, 1)
assert own[0.5].credit_high > 1

# %% [markdown]
# That the near source helped it finds. Of the distant one it says that 300 labels do not tell, and rightly: the noise of the labels is in both errors, so that a credit of {glue:text}`alone:.2f` (the experiment above) becomes {glue:text}`diluted:.2f`, and the interval holds both that and 1. More labels would tell, or less noise in them ({doc}`sentence-features` says which of the two to buy). The decision at hand hardly depends on it.
#
# :::{solution-end}
# :::
# :::{exercise} Hard: have both
# :label: ex-both
# Rich students of the distant source lose to the control: they have given up what random neurons know of everything else. Give it back: put beside the 200 neurons of the student its 200 initial ones, stretched to length $a$. What is the risk of a last layer on all 400, for $a$ from 0.01 to 10? And is it the pretraining, or only more neurons?
# :::
#
# :::{solution-start} ex-both
# :label: sol-both
# :class: dropdown
# :::
#
# The length sets how strong the random features are beside the learned ones, as the initial scale does within one network. Too short they do not count, too long they are almost all that counts (credit {glue:text}`both-long:.2f` at $a = 10$). In between both together are better than either, and better on average than the best of our five scales. It costs no training. And it is the pretraining: 400 random neurons have the credit {glue:text}`random-400:.2f`.


# %%
def credit_of(i, *sets):
    """Predicted and measured credit of sets together."""
    task, W = runs[0.5, rich, i][0], jnp.concatenate(sets)
    risk, ridge = best_ridge(spectrum_of(W, task), 100, 0.1)
    measured = fitted(W, task, ridge[0], data_keys[i])[1].mean()
    alone = use.sel(features="control", mu=0.5, alpha=rich, i=i)
    pair = alone.sel(kind=["predicted", "fitted"]).values
    return pair / np.array([risk[0], measured])


lengths = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
initial, found = ([runs[0.5, rich, i][k].W for i in range(6)] for k in (1, 2))
both = np.array(
    [
        [credit_of(i, found[i], initial[i] * (a / rich)) for i in range(6)]
        for a in lengths
    ]
)
for a, (predicted, measured) in zip(lengths, both.mean(1), strict=True):
    print(f"a = {a:5g}: credit {measured:.2f}, {predicted:.2f} predicted")
more = [
    ReluNetwork.init(jax.random.key(50 + i), d, m, scale=rich).W for i in range(6)
]
doubled = np.array([credit_of(i, initial[i], more[i]) for i in range(6)])
predicted, measured = doubled.mean(0)
print(f"400 random neurons: credit {measured:.2f}, {predicted:.2f} predicted")

# %%
#| tags: [build-only]
assert both[0].mean() < 0.95
assert abs(both[-1, :, 1].mean() - 1) < 0.05
assert both[3, :, 1].mean() > mean.sel(features="equal steps", mu=0.5).max()
assert (both[3, :, 1] > doubled[:, 1]).all()
note(both_long=both[-1, :, 1].mean(), random_400=measured)

# %% [markdown]
# :::{solution-end}
# :::
# ## What to remember
# 1. Weigh features, do not count them: strong ones are learned from few samples, faint ones are not. A rich student has its teacher's and a faint rest, a lazy one almost what it started with.
# 2. What pretraining adds is measured against untrained neurons. From a near source it is much; from a distant one, at $n = 100$ and $\sigma = 0.1$, the longest trained rich students are worse than random, and the best lie between rich and lazy.
# 3. Having found the teacher is no merit in itself; it helped where the next task needed the same neurons. For a more distant one an earlier stop avoids the harm; longer initial neurons, or random ones kept beside, turn it into a gain.
