# %% [markdown]
# # What pretraining adds
#
# A network learned a task, and we fit a new last layer on its neurons. It works: but was it the pretraining? Random neurons are features, too. What is a student that has
# found its teacher, like the short ones of {doc}`relu-students`, worth for the next task, next to one whose neurons were never trained? In this chapter you will
#
# - weigh the features that pretrained students hold, from rich to lazy, next to their teacher's and to the **control**: the neurons before any training,
# - measure what a last layer makes of each, and predict it from the neurons and the target,
# - meet students that trained so long for a distant source that they are worse than random, and mend them.

# %%
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

plt.style.use("fatelib.style")

# %%
#| tags: [hide-input]
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


def source_neurons(tasks):
    return tasks.source.W[tasks.source.W.any(axis=1)]  # removed ones are zero


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

# %%
#| name: fig-strengths
#| caption: >-
#|   Strengths of the features of five sets of neurons, relative to the strongest, in descending order: eigenvalues of the arc-cosine kernel {eq}`arc-cosine`, $K(W, W)$. Students of 200 neurons after 1500 steps of pretraining from three initial scales $s$, the neurons that they started
#|   from, and the 10 neurons of the source teacher, which lacks half of the target's 20. $d = 30$, one instance.
#| alt: >-
#|   Falling curves on logarithmic axes. The teacher's points end after ten features. The curve of the student from scale 0.1 goes through them, then drops and falls ever faster;
#|   that from scale one falls steadily. That from scale five cannot be told from that of the random neurons, which falls least and has one step, after 31 features.
#| tags: [hide-input]
task, before, *_ = runs[0.5, lazy, 0]
sets = {f"pretrained, s = {s:g}": runs[0.5, s, 0][2].W for s in (0.1, 1.0, 5.0)}
sets |= {"random (control)": before.W}
sets |= {"source teacher": source_neurons(task)}
fig, ax = plt.subplots(figsize=(6.4, 3.4))
strengths = {}
for (name, W), style in zip(
    sets.items(), ["-", "-", "-", "k--", "ko"], strict=True
):
    eigenvalues = np.asarray(jnp.linalg.eigvalsh(relu.arccos_kernel(W, W)))[::-1]
    strengths[name] = eigenvalues / eigenvalues[0]
    place = np.arange(1, len(W) + 1)
    ax.plot(place, strengths[name], style, label=name, markersize=4)
ax.set(xscale="log", yscale="log", ylim=(1e-6, 2))
ax.set(xlabel="feature", ylabel="strength / strongest")
ax.legend(fontsize="small")

# %%
#| tags: [build-only]
from myst_nb import glue


def note(**values):
    """Keep numbers for the text."""
    for name, value in values.items():
        number = value if isinstance(value, int | str) else float(value)
        glue(name.replace("_", "-"), number, display=False)


found, own, kept, initial, teacher = strengths.values()
assert abs(kept / initial - 1).max() < 0.05
assert abs(found[:10] / teacher - 1).max() < 0.2
assert found[10] < 0.3 * teacher[-1]

# %% [markdown]
# First how strong features are; what they are worth, {numref}`fig-adds`, follows from it. The student from short neurons ends with its teacher's ten and a faint rest, that from long ones with strengths that cannot be told from those it started with. Which is better depends on what comes next: this source lacks half of the target.
#
# ## What features a student holds
#
# Students and tasks are those of {doc}`relu-students`: {prf:ref}`mean-field networks <def-mean-field>` of 200 neurons of initial length $s$, short and rich or long and lazy, and 1500 steps of $\eta = 1/(s^2 + \frac12)$ on infinitely many samples of the source. The source is the target without a fraction
# $\mu$ of its 20 neurons: **near** with $\mu = 0.1$, **distant** with $\mu = 0.5$. (So in all chapters.)
#
# A student of 200 neurons generally has 200 features: training brings neurons close to one another, not exactly together. What differs is how *strong* they are, that is, the eigenvalues $\ell_i$ of
# $K(W, W)$ in {numref}`fig-strengths`. (The control has a step after 31: the constant and the 30 directions, before degree 2 begins, {prf:ref}`thm-mercer`.) Four numbers sum them up: the share of **neurons turned** to within a cosine of 0.9 of a neuron of the source teacher; the **numerical rank**, the number of $\ell_i$ above a thousandth of the largest; the **participation ratio**
# $(\operatorname{tr} C)^2 / \operatorname{tr} C^2$ of the features' covariance $C$, that is $K(W, W)$ less the products of their means, which would outweigh all else; and the share of the target **outside** the
# span, $\rho / \lVert f_t \rVert^2$ ({prf:ref}`def-feature-space`). The table has all four for the distant source: for the pretrained neurons, for the source teacher's own (the ideal), and for the control.


# %%
def spectrum_of(W, tasks):
    target = tasks.target
    return relu.feature_spectrum(W, target.W, target.c / teacher_neurons)


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


# %%
#| tags: [hide-input]
rows = []
for (mu, s, _), (task, before, after, stopped) in runs.items():
    if mu != 0.5:
        continue
    sets = {f"pretrained, s = {s:g}": after.W}
    if s == rich:
        sets[f"s = {s:g}, stopped early"] = stopped.W
        sets |= {"random": before.W, "ideal": source_neurons(task)}
    for name, W in sets.items():
        values = {k: float(v) for k, v in held(W, task).items()}
        rows.append({"features": name, **values})
order = [f"pretrained, s = {s:g}" for s in scales]
order += [f"s = {rich:g}, stopped early", "random", "ideal"]
holds = pd.DataFrame(rows).groupby("features").mean().loc[order]
holds.round({"turned": 2, "rank": 1, "participation": 1, "outside": 3})

# %%
#| tags: [build-only]
from fatelib.relu.features import faintest

names = {"rich": rich, "paper": 1.0, "between": 2.0, "lazy": lazy}
kinds = {name: holds.loc[f"pretrained, s = {s:g}"] for name, s in names.items()}
kinds |= {"random": holds.loc["random"], "ideal": holds.loc["ideal"]}
kinds |= {"early": holds.loc[f"s = {rich:g}, stopped early"]}
for name, row in kinds.items():
    for column, unit in zip(row.index, (100, 1, 1, 100), strict=True):
        note(**{f"{column}-{name}": unit * row[column]})
# As the text says:
same = kinds["lazy"] / kinds["random"] - 1
assert abs(same[["rank", "participation"]]).max() < 0.02
assert kinds["random"].outside < kinds["rich"].outside < kinds["ideal"].outside
each = pd.DataFrame(rows)
each = {name: part.outside.to_numpy() for name, part in each.groupby("features")}
assert (each["pretrained, s = 5"] < each["random"]).all()
assert (each["pretrained, s = 1"] < each["random"]).all()
assert kinds["early"].turned == kinds["between"].turned == 0
assert faintest(m, jnp.float32) < 1e-5

# %% [markdown]
# (Means over the instances. "Stopped early": at the loss that $s = 5$ reaches in the end, see below.)
#
# - **Rich** students ($s = 0.1$) come close to their teacher: {glue:text}`turned-rich:.0f`% of their neurons have turned, the numerical rank is {glue:text}`rank-rich:.0f`, against {glue:text}`rank-random:.0f` of the control and {glue:text}`rank-ideal:.0f` of the teacher, the participation ratio
#   {glue:text}`participation-rich:.1f`, against {glue:text}`participation-random:.1f` and {glue:text}`participation-ideal:.1f`.
# - **Lazy** students ($s = 5$) have the control's rank and participation ratio, within 2%, and slightly less of the target outside ({glue:text}`outside-lazy:.1f`% against {glue:text}`outside-random:.1f`%).
# - The **paper's** scale, $s = 1$, lies in between: rank {glue:text}`rank-paper:.0f`, participation ratio {glue:text}`participation-paper:.0f`, {glue:text}`turned-paper:.0f`% of the neurons turned. But less of the target is outside ({glue:text}`outside-paper:.1f`%) than for the control.
#
# A pretrained student is not its teacher: even the rich one has less of the target outside ({glue:text}`outside-rich:.1f`%) than the ideal span ({glue:text}`outside-ideal:.1f`%), as some neurons did
# not arrive, though more than the control ({glue:text}`outside-random:.1f`%). That number needs care: two features that nearly coincide span their difference, too, and how faint a difference still counts depends on the precision of the machine (a share of
# less than $10^{-5}$ of the strongest, here) or on the number of samples. The risk at finite $n$ has no such ambiguity.
#
# ## Against the control
#
# The use of features is the risk of a last layer fitted on them. We fit ridge regressions to $n = 100$ samples of the target with label noise $\sigma = 0.1$, each set of features with the ridge that {eq}`general-risk` says is best for it, on twelve
# data sets for each of six instances, and predict the risks by the same formula, for which one must know the target. (It assumes Gaussian features; fewer samples than features, as for students here, are the case for which {doc}`from-lines-to-kernels` calls it a guide, so the fits decide.) The students are compared after
# equally many steps and, second, at equal training loss: each stopped at the loss that the laziest one, $s = 5$, reaches in the end.
#
# :::{prf:definition} Credit
# :label: def-credit
#
# The **credit** of pretraining is the risk of a last layer on the control over that on the pretrained features, at the same $n$: above 1 pretraining helped, below 1 it harmed.
# :::

# %%
ridges = np.geomspace(1e-5, 1, 21)  # in units of the sum of the eigenvalues


def best_ridge(spectrum, n, sigma):
    """Smallest predicted risk of ridge regression, and the ridge that gives it."""
    candidates = ridges * float(spectrum.eigenvalues.sum())
    l, t, residual = jax.tree.leaves(spectrum)
    options = {"residual": residual, "noise": sigma, "ridge": candidates[:, None]}
    risks = np.asarray(theory.ridge_risk(np.atleast_1d(n), l, t, **options))
    return risks.min(0), candidates[risks.argmin(0)]


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


coords = {
    "features": ["equal steps", "equal loss", "ideal", "control"],
    "kind": ["fitted", "predicted"],
    "mu": fractions,
    "s": scales,
    "i": range(len(keys)),
}
use = xr.DataArray(np.full([len(v) for v in coords.values()], np.nan), coords)
data_keys = [jax.random.split(jax.random.key(10 + i), 12) for i in range(len(keys))]
fits = {}
for (mu, s, i), (task, before, after, stopped) in runs.items():
    sets = {"equal steps": after.W, "equal loss": stopped.W}
    if s == rich:
        sets |= {"control": before.W, "ideal": task.source.W}
    for name, W in sets.items():
        risk, ridge = best_ridge(spectrum_of(W, task), 100, 0.1)
        layers, risks = fitted(W, task, ridge[0], data_keys[i])
        both = np.array([risks.mean(), risk[0]])
        use.loc[{"features": name, "mu": mu, "s": s, "i": i}] = both
        fits[name, mu, s, i] = ReluNetwork(W, layers[0]), risks[0]
use = use.fillna(use.sel(s=rich, drop=True))

# %%
#| name: fig-adds
#| caption: >-
#|   Credit of pretraining, the risk of a last layer on the control over that on pretrained features (above 1 pretraining helps), against the initial scale: students after 1500 steps (filled), and stopped at the training loss of the student with $s = 5$ (open). Points: fitted
#|   last layers, mean over six instances with one standard error; lines: predicted, {eq}`general-risk`. Dotted: the source teacher's own features. Left, a tenth of the target's neurons is missing in the source; right, half.
#|   $n = 100$, $\sigma = 0.1$, best ridge, $d = 30$, $m = 200$.
#| alt: >-
#|   Two panels against the initial scale. On the left all points lie above one. On the right the filled points start below one at small scales, have a maximum at scale two and end just above one;
#|   the open points start near one and have a lower maximum. Points lie on the lines.
#| tags: [hide-input]
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
    ideal = credit.sel(mu=fraction, features="ideal", kind="fitted", s=rich).mean()
    ax.axhline(ideal, color="0.4", linestyle=":", label="source's own")
    ax.axhline(1, color="k", linestyle="--", linewidth=1, label="control")
    ax.set(xscale="log", yscale="log", xlabel="initial scale $s$")
    ax.set_title(rf"$\mu$ = {fraction:g}")
    ax.set_yticks([0.7, 1.0, 2.0, 3.0], ["0.7", "1", "2", "3"])
    ax.minorticks_off()
axes[0].set_ylabel("credit: risk of the control / risk")
axes[1].legend(fontsize="small")

# %%
pair = use.sel(kind="fitted") / use.sel(kind="predicted")
off = beyond_chance(pair.rename(i="instance"), 1.0)
pairs = {
    "students": (off.sel(features=["equal steps", "equal loss"]), 0.0),
    "control and source's own": (
        off.sel(features=["control", "ideal"], s=rich),
        0.0,
    ),
}
pairs = {f"{name}: relative, beyond 4 s.e.": pair for name, pair in pairs.items()}
fatelib.agreement_table(pairs, over=None, tolerance=0.05)


# %%
names = use.features.values
networks, risks = zip(*(fits[name, 0.5, rich, 0] for name in names), strict=True)


@jax.jit
def sampled(networks, target, key):
    """Risks on 50,000 fresh inputs."""

    def error2(x):
        return (jnp.stack([f(x) for f in networks]) - target(x)) ** 2

    inputs = jax.random.normal(key, (50_000, d))
    return jax.lax.map(error2, inputs, batch_size=2500).mean(0)


target = runs[0.5, rich, 0][0].target
batches = jax.random.split(jax.random.key(2), 20)
found = np.array([sampled(networks, target, key) for key in batches])
found = xr.DataArray(found, {"features": names}, ("batch", "features"))
pairs = {"risk by the kernel": (found, np.array(risks))}
limit = tolerance(len(names), len(batches))
fatelib.agreement_table(pairs, over="batch", tolerance=limit)

# %%
#| tags: [build-only]
fit = credit.sel(kind="fitted")
mean, error = fit.mean("i"), fit.std("i", ddof=1) / len(keys) ** 0.5
best = 2.0
named = {
    "near": ("equal steps", 0.1, rich),
    "near-ideal": ("ideal", 0.1, rich),
    "near-early": ("equal loss", 0.1, rich),
    "far": ("equal steps", 0.5, rich),
    "far-best": ("equal steps", 0.5, best),
    "far-lazy": ("equal steps", 0.5, lazy),
    "far-early": ("equal loss", 0.5, rich),
}
for name, cell in named.items():
    value, spread = mean.loc[cell], error.loc[cell]
    note(**{f"adds-{name}": value, f"adds-{name}-error": spread})
note(level=100 * np.mean([left[0.5, i] for i in range(6)]))
note(level_step=int(max(taken[0.5, rich, i] for i in range(6))))
steady = fit.sel(features="equal steps")
note(worse=int((steady.sel(mu=0.5, s=rich) < 1).sum()))
turned = [held(runs[0.1, rich, i][2].W, runs[0.1, rich, i][0]) for i in range(6)]
note(turned_near=100 * np.mean([values["turned"] for values in turned]))
# As the text says:
near, far = mean.sel(features="equal steps")
spreads = error.sel(features="equal steps")
assert 1 - far.sel(s=rich) > 2 * spreads.sel(mu=0.5, s=rich)
assert far.idxmax("s") == best
assert far.sel(s=lazy) - 1 > 2 * spreads.sel(mu=0.5, s=lazy)
assert (near > 1 + 4 * spreads.sel(mu=0.1)).all()
assert mean.sel(mu=0.5, features="equal loss").min() > 0.95

# %% [markdown]
# (The first table accepts a cell within four standard errors, or within 5% of the prediction. The second checks the risk of four of the fits, which is computed by the kernel, against $10^6$ fresh inputs in twenty batches.) The fits confirm the predictions, and what pretraining adds depends on three things.
#
# - **The source.** From the near one every student gains: from $s = 0.1$ the credit is {glue:text}`adds-near:.1f` ± {glue:text}`adds-near-error:.1f`, next to {glue:text}`adds-near-ideal:.1f` ± {glue:text}`adds-near-ideal-error:.1f` of the teacher's own features. From
#   the distant one the same student *loses*: its credit is {glue:text}`adds-far:.2f` ± {glue:text}`adds-far-error:.2f`, and below 1 in {glue:text}`worse` of 6 instances.
# - **The scale.** For the distant source the best of our five scales lies between rich and lazy, $s = 2$: {glue:text}`adds-far-best:.2f` ± {glue:text}`adds-far-best-error:.2f`. Our reading: there neurons lean towards the source without arriving (none has turned), so that the student has the source *and* a
#   random memory of everything else, like the faint remainder of {doc}`feature-sparsification`; {ref}`ex-both` supports it, with both in one last layer and no further training. Lazy students, $s = 5$, still gain a little: {glue:text}`adds-far-lazy:.2f` ± {glue:text}`adds-far-lazy-error:.2f`.
# - **The stop.** At equal training loss ({glue:text}`level:.1f`% of the initial one at $\mu = 0.5$, which $s = 0.1$ reaches in at most {glue:text}`level-step` steps) the rich student of the distant source does about as well as the control: {glue:text}`adds-far-early:.2f` ± {glue:text}`adds-far-early-error:.2f`. By then none of its neurons has turned. It becomes worse in
#   the training beyond, while they do ({numref}`fig-features-last`). For the near source the same training makes it better, from {glue:text}`adds-near-early:.1f` ± {glue:text}`adds-near-early-error:.1f` to {glue:text}`adds-near:.1f`.
#
# Pretraining deserves its credit and nothing else. That most neurons have turned to the teacher's is no merit in itself: {glue:text}`turned-near:.0f`% do at $\mu = 0.1$, where it helps, and {glue:text}`turned-rich:.0f`% at $\mu = 0.5$, where it harms.
#
# ## Turn it yourself
#
# Start where the rich student loses to the control. Then raise the initial scale until it wins at every $n$, or go to the near source, where it wins at once.

# %%
#| name: fig-explore-students
#| caption: >-
#|   Predicted risk of linear transfer, as a share of $\lVert f_t \rVert^2$ (1: no better than predicting zero), against the number of target samples: pretrained student, control of
#|   random neurons, ideal neurons of the source. Each with its best ridge. Sliders: initial scale $s$, fraction $\mu$ of the target's neurons that the source lacks, and label noise. One instance, $d = 30$, $m = 200$.
#| alt: >-
#|   Interactive curves of three risks against the number of samples, with sliders for the initial scale, the fraction removed and the noise.
#| tags: [hide-input]
from fatelib.widgets import explore

ns = np.unique(np.geomspace(10, 3000, 24).round().astype(int))
sigmas = np.array([0.0, 0.1, 0.3])
coords = {"mu": fractions, "sigma": sigmas, "s": scales}
coords |= {"features": ["pretrained", "random", "ideal"], "n": ns}
grid = xr.DataArray(np.full([len(v) for v in coords.values()], np.nan), coords)
for mu in fractions:
    for s in scales:
        task, before, after, *_ = runs[mu, s, 0]
        sets = {"pretrained": after.W}
        if s == lazy:
            sets |= {"random": before.W, "ideal": source_neurons(task)}
        for name, W in sets.items():
            spectrum = spectrum_of(W, task)
            total = float(spectrum.coefficients2.sum() + spectrum.residual)
            risks = [best_ridge(spectrum, ns, sigma)[0] / total for sigma in sigmas]
            grid.loc[{"mu": mu, "s": s, "features": name}] = np.array(risks)
grid = grid.fillna(grid.sel(s=lazy, drop=True)).rename("R")
names = {"n": "samples", "s": "initial scale", "mu": "fraction removed"}
for name, long_name in {**names, "sigma": "noise"}.items():
    grid[name].attrs["long_name"] = long_name
grid.attrs["long_name"] = "risk"
where = {"n": 100, "s": 0.1, "mu": 0.5, "sigma": 0.1}
sliders = ["s", "mu", "sigma"]
explore(grid, x="n", lines="features", sliders=sliders, at=where, log=True)

# %%
#| tags: [build-only]
credit = grid.sel(features="random") / grid.sel(features="pretrained")
assert credit.sel(where, method="nearest") < 1
assert (credit.sel(mu=0.5, s=slice(1.0, None)) > 1).all()
assert (credit.sel(mu=0.1) > 1).all()

# %% [markdown]
# ## Exercises
#
# :::{exercise} How many features, again
# :label: ex-cutoff-relu
#
# Count the features of the rich student and of the control that are stronger than a share $\epsilon$ of the strongest, for $\epsilon = 10^{-2}, 10^{-3}$ and $10^{-4}$. For which of the two is "the number of features" well defined?
# :::
#
# :::{solution-start} ex-cutoff-relu
# :label: sol-cutoff-relu
# :class: dropdown
# :::
#
# Strictly for neither. But the control's strengths have a gap: {glue:text}`count-gap` features, the constant and the directions, stand above a hundredth, and at $10^{-4}$ all 200 are counted, so no smaller cutoff adds any. The rich student has about its
# teacher's ten and then a tail without such a gap, neurons on the way to a teacher neuron, of which every smaller cutoff counts more. A rank of such a network is a statement about the cutoff.

# %%
cutoffs = [1e-2, 1e-3, 1e-4]
names = {"control": "random (control)", "rich": "pretrained, s = 0.1"}
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

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Have both
# :label: ex-both
#
# Rich students of the distant source lose to the control: they have given up what random neurons know of everything else. Give it back: put beside the 200 neurons of the student its 200 initial ones, stretched to length $a$. What is the risk of a last layer on all 400, for $a$ from 0.01 to 10?
# :::
#
# :::{solution-start} ex-both
# :label: sol-both
# :class: dropdown
# :::
#
# The length sets how strong the random features are beside the learned ones, as the initial scale does within one network. Too short they do not count, too long they are almost all that counts (credit {glue:text}`both-long:.2f` at $a = 10$). In between both together are better than either,
# and better on average than the best of our five scales. It costs no training. Is it the pretraining, or only more neurons? 400 random ones have the credit {glue:text}`random-400:.2f`.


# %%
def credit_of(i, *sets):
    """Predicted and measured credit of sets together."""
    task, W = runs[0.5, rich, i][0], jnp.concatenate(sets)
    risk, ridge = best_ridge(spectrum_of(W, task), 100, 0.1)
    measured = fitted(W, task, ridge[0], data_keys[i])[1].mean()
    alone = use.sel(features="control", mu=0.5, s=rich, i=i)
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
#
# ## What to remember
#
# 1. A student's features are to be weighed, not counted: a rich one has its teacher's and a faint rest, a lazy one almost what it started with.
# 2. What pretraining adds must be measured against untrained neurons. From a near source it adds much; from a distant one, at $n = 100$ and $\sigma = 0.1$, the longest trained rich students are worse than random, and the best lie between rich and lazy.
# 3. Having found the teacher is no merit in itself. It helped where the next task needed the same neurons. For a more distant one an earlier stop avoids the harm; longer initial neurons, or random ones kept beside, turn it into a gain.
