# %% [markdown]
# # ReLU students find their teacher
#
# A ReLU network with hundreds of neurons learns a task that ten neurons generate. Does it find the ten? And if it does, is that good news for
# the next task? In this chapter you will
#
# - watch neurons turn to their teacher's, and see that they do so *after* the task is all but learned,
# - derive why small initial neurons turn and large ones stay where they are,
# - count the features that a pretrained student really holds, and compare them with the control: neurons that were never trained.

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
from fatelib.relu import ReluNetwork, ReluTasks, pretrain

plt.style.use("fatelib.style")

# %%
#| tags: [hide-input]
d, m, teacher_neurons = 30, 200, 20
steps, every = 1500, 30
scales = np.array([0.1, 0.5, 1.0, 2.0, 5.0])
fractions = np.array([0.1, 0.5])


@jax.jit
def learn(key, fraction, scale):
    """Pretrain one student; return tasks, network before and after, and records."""
    task_key, student_key = jax.random.split(key)
    tasks = ReluTasks.ablated(task_key, d, teacher_neurons, fraction)
    start = ReluNetwork.init(student_key, d, m, scale=scale)

    def observe(network):
        return {
            "alignment": relu.feature_alignment(network.W, tasks.source.W),
            "distance": relu.feature_distance(network.W, tasks.source.W),
            "turned": jnp.mean(
                relu.nearest_cosine(network.W, tasks.source.W) > 0.9
            ),
        }

    student, history = pretrain(
        start,
        tasks.source,
        learning_rate=1 / (0.5 + scale**2),
        steps=steps,
        tolerance=0.0,
        record_every=every,
        observe=observe,
    )
    return tasks, start, student, {"loss": history.loss, **history.observed}


keys = jax.random.split(jax.random.key(0), 4)
runs = {
    (fraction, scale, i): learn(key, fraction, scale)
    for fraction in fractions
    for scale in scales
    for i, key in enumerate(keys)
}

# %%
#| name: fig-turning
#| caption: >-
#|   Cosines between the 200 neurons of a student (rows, sorted by the nearest teacher neuron) and the 10 neurons of its source teacher (columns):
#|   before pretraining, after it from initial neurons of length 0.1, and of length 5. $d = 30$; 1500 steps of gradient descent on the population.
#| alt: >-
#|   Three heat maps. Before training all cosines are small. After training from short neurons, blocks of deep blue show that most rows agree with one column exactly;
#|   a few rows are deep red. After training from long neurons the map looks as before training.
#| tags: [hide-input]
rich, lazy = scales[0], scales[-1]
tasks, start, student, _ = runs[0.5, rich, 0]
stiff = runs[0.5, lazy, 0][2]
source = tasks.source.W[: teacher_neurons // 2]


def cosines(network):
    W = network.W / jnp.linalg.norm(network.W, axis=1, keepdims=True)
    cosine = np.asarray(W @ source.T)
    return cosine[np.lexsort((-cosine.max(1), cosine.argmax(1)))]


fig, axes = plt.subplots(1, 3, figsize=(6.4, 4), sharey=True)
shown = {"before": start, f"s = {rich:g}": student, f"s = {lazy:g}": stiff}
for ax, (title, network) in zip(axes, shown.items(), strict=True):
    image = ax.imshow(cosines(network), vmin=-1, vmax=1, cmap="RdBu", aspect="auto")
    ax.set(title=title, xlabel="teacher neuron", xticks=[])
    ax.grid(False)
axes[0].set(ylabel="student neuron", yticks=[])
bar = fig.colorbar(image, ax=axes, label="cosine")

# %%
#| tags: [build-only]
from myst_nb import glue

cosine = cosines(student)
turned = (cosine.max(1) > 0.9).mean()
opposite = (cosine.min(1) < -0.9).mean()
assert turned > 0.5
assert opposite > 0.05
glue("turned", 100 * float(turned), display=False)
glue("on-top", 100 * float((cosine.max(1) > 0.99).mean()), display=False)
glue("opposite", 100 * float(opposite), display=False)

# %% [markdown]
# Nothing told the student how many neurons its teacher has, or where they are. Yet from short initial neurons {glue:text}`turned:.0f`% of its own end up within
# 26° (a cosine of 0.9) of one of the teacher's, {glue:text}`on-top:.0f`% within 8° (0.99). Some others are deep red, *opposite* to a teacher neuron; we come back to them in {ref}`ex-opposite`. From long
# initial neurons nothing of the kind happens, though that network learns its task, too.
#
# ## What moves a neuron
#
# Student and teacher are {prf:ref}`networks in mean-field scaling <def-mean-field>`. We pretrain on infinitely many samples. No sampling is needed for that: all expectations are sums of the arc-cosine kernel of
# {doc}`from-lines-to-kernels`, and {py:func}`fatelib.relu.pretrain` descends on the exact loss.
#
# :::{prf:definition} Mean-field network
# :label: def-mean-field
#
# A student of width $m$ computes $f(x) = \frac1m \sum_i c_i \operatorname{relu}(w_i \cdot x)$ and follows the gradient, times $m$, of $E (f(x) - f_s(x))^2$ on standard
# normal inputs. It starts from $\lvert w_i \rvert = s$ in random directions and $c_i \approx 0$ {cite:p}`rotskoff2018,tahir2025`.
# :::
#
# The ReLU is homogeneous, so all that the data do to neuron $i$ is one vector, the *force* $-M_i$:
#
# $$
# \begin{aligned}
# \dot w_i &= - c_i M_i, \qquad \dot c_i = - w_i \cdot M_i , \\
# M_i &= 2\, E\big[ (f(x) - f_s(x))\, 1(w_i \cdot x > 0)\, x \big] .
# \end{aligned}
# $$ (neuron-forces)
#
# :::{prf:theorem} Balance of a neuron
# :label: thm-neuron-balance
#
# Gradient flow conserves $\lvert w_i \rvert^2 - c_i^2$ for every neuron, so that from $c_i = 0$ on
#
# $$
# \lvert w_i \rvert^2 = s^2 + c_i^2 .
# $$ (neuron-balance)
#
# The direction $\hat w_i$ turns with the part of $M_i$ that is orthogonal to it, at the speed
#
# $$
# \frac{d \hat w_i}{dt} = - \frac{c_i}{\lvert w_i \rvert}\, M_i^\perp, \qquad \frac{\lvert c_i \rvert}{\lvert w_i \rvert} = \frac{\lvert c_i \rvert}{\sqrt{s^2 + c_i^2}} .
# $$ (turning)
# :::
#
# :::{prf:proof}
# By {eq}`neuron-forces` both $\frac{d}{dt} \lvert w_i \rvert^2$ and $\frac{d}{dt} c_i^2$ are $-2 c_i\, w_i \cdot M_i$. Divide the first equation by $\lvert w_i \rvert$ and keep what is orthogonal to $w_i$.
# :::
#
# It is the conservation law of {doc}`deep-linear-dynamics`, neuron by neuron {cite:p}`du2018`. The student must build an $f$ of a given size, which takes $c_i \lvert w_i \rvert$ of order
# one. If $s \ll 1$, then $\lvert c_i \rvert \approx \lvert w_i \rvert$: the neuron turns as fast as it is pushed. If $s \gg 1$, then $c_i$ of order $1/s$ is enough, a neuron turns with $1/s^2$ of
# the push, and not for long, because $c_i$ learns at a rate of $s^2$. One number leads from **rich** to **lazy** {cite:p}`chizat2019`. The paper has $s = 1$, in between.
#
# Steps of size $\eta$ break {eq}`neuron-balance`, by $\eta^2 (c_i^2 \lvert M_i \rvert^2 - (w_i \cdot M_i)^2)$ each. That is at most $\eta^2$ times the squared gradient, and steps of up to half the largest stable size lower the loss by at
# least $\eta/2$ times the mean of it over neurons. So on average over neurons the balance is off by no more than $2 \eta$ times the initial loss. In units of this bound:

# %%
imbalance = xr.DataArray(np.zeros((2, len(scales), 4)), dims=("mu", "s", "i"))
imbalance = imbalance.assign_coords(mu=fractions, s=scales)
for (fraction, scale, i), (_, _, network, seen) in runs.items():
    broken = (network.W**2).sum(1) - network.c**2 - scale**2
    bound = 2 / (0.5 + scale**2) * seen["loss"][0]
    imbalance.loc[fraction, scale, i] = jnp.mean(jnp.abs(broken)) / bound
fatelib.agreement_table(
    {"balance of the neurons, in units of its bound": (imbalance, 0.0)},
    over=None,
    tolerance=1.0,
)

# %% [markdown]
# ## Kernels before and after
#
# Which functions a last layer can learn easily depends on the neurons through one kernel, $\Theta(x, x') = \frac1m \sum_i \operatorname{relu}(w_i \cdot x) \operatorname{relu}(w_i \cdot x')$. The
# paper compares students and teachers by this kernel on a set of inputs, its Gram matrix. We sort the inputs by the teacher neuron that they excite most.

# %%
#| name: fig-3ab
#| caption: >-
#|   Gram matrices on the same 200 random inputs, sorted by the source neuron they excite most, with the mean of every feature removed: student before pretraining; after it, from
#|   initial scale $s = 5$, 2, 1 and 0.1; and source teacher (10 neurons). $d = 30$, $m = 200$, one instance. Colours are scaled panel by panel.
#| alt: >-
#|   Six square matrices. The student before training and after training from large scale shows a diagonal and noise. From scale two to one, ten blue blocks emerge along the
#|   diagonal from the noise. From scale 0.1 the matrix cannot be told from that of the teacher.
X = jax.random.normal(jax.random.key(1), (200, d))
X = X[jnp.argsort(jnp.argmax(X @ source.T, axis=1))]


def centred(gram):
    rows, columns = gram.mean(1, keepdims=True), gram.mean(0, keepdims=True)
    return gram - rows - columns + gram.mean()


panels = {"before": start.W}
panels |= {f"s = {s:g}": runs[0.5, s, 0][2].W for s in (5.0, 2.0, 1.0, 0.1)}
panels["teacher"] = source
fig, axes = plt.subplots(2, 3, figsize=(6.4, 4.6))
for ax, (title, W) in zip(axes.flat, panels.items(), strict=True):
    gram = centred(np.asarray(relu.feature_gram(W, X)))
    limit = np.quantile(abs(gram), 0.98)
    ax.imshow(gram, vmin=-limit, vmax=limit, cmap="RdBu").set_rasterized(True)
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(False)

# %% [markdown]
# How alike are two kernels? The cosine between them, with the mean of every feature removed, is the **centred alignment** {cite:p}`cortes2012,kornblith2019`:
#
# $$
# \begin{aligned}
# A(W, V) &= \frac{\langle \Theta_W, \Theta_V \rangle}{\lVert \Theta_W \rVert\, \lVert \Theta_V \rVert}, \\
# \langle \Theta_W, \Theta_V \rangle &= \frac{1}{mk} \sum_{ij} \Big( K(w_i, v_j) - \tfrac{1}{2\pi} \lvert w_i \rvert \lvert v_j \rvert \Big)^2 .
# \end{aligned}
# $$ (alignment)
#
# The right-hand side is exact for the whole input distribution, no inputs needed: {py:func}`fatelib.relu.feature_alignment`. (The *distance* {py:func}`fatelib.relu.feature_distance` is that between the two kernels at unit norm, means included.) To
# check it we estimate the alignment from Gram matrices between two independent sets of 500 inputs, ten times. A square Gram matrix would be biased by its diagonal, which is
# why small samples make any two networks look alike. The risk gets the same treatment: the closed form against $10^6$ fresh inputs, in a hundred batches.

# %%
networks = {"before": start, **{f"s = {s:g}": runs[0.5, s, 0][2] for s in (0.1, 1)}}


def sampled_alignment(W, V, key):
    inputs = jax.random.normal(key, (1000, d))
    A, B = (centred(relu.feature_gram(U, inputs)[:500, 500:]) for U in (W, V))
    return jnp.vdot(A, B) / jnp.linalg.norm(A) / jnp.linalg.norm(B)


@jax.jit
def sampled_risk(network, key):
    inputs = jax.random.normal(key, (10_000, d))
    outputs, labels = (jax.vmap(f)(inputs) for f in (network, tasks.target))
    return jnp.mean((outputs - labels) ** 2)


def table(estimate, name, draws):
    batches = jax.random.split(jax.random.key(2), draws)
    values = [[estimate(f, key) for key in batches] for f in networks.values()]
    coords = {"network": list(networks)}
    return xr.DataArray(np.array(values), coords, ("network", "batch"), name)


aligned = table(lambda f, key: sampled_alignment(f.W, source, key), "alignment", 10)
risks = table(sampled_risk, "risk", 100)
exact_alignment = [relu.feature_alignment(f.W, source) for f in networks.values()]
exact_risk = [tasks.risk(f) for f in networks.values()]
fatelib.agreement_table(
    {
        "alignment, closed form": (aligned, np.array(exact_alignment)),
        "risk by the kernel": (risks, np.array(exact_risk)),
    },
    over="batch",
)

# %% [markdown]
# ## Features come last

# %%
#| name: fig-features-last
#| caption: >-
#|   Alignment of the kernels (left) and distance between them (middle) during pretraining, and the share of neurons that have turned to within a cosine of 0.9 of a teacher neuron, against
#|   the share of the source task not yet learned (right; time runs to the right). Four instances each; $d = 30$, $m = 200$, half of the target's 20 neurons in the source.
#| alt: >-
#|   Left, the alignment rises with time, to one for the smallest initial scale and hardly at all for the largest. Middle, the distance falls correspondingly. Right, the share
#|   of turned neurons stays at zero until less than one per cent of the task is left, then rises to about two thirds for small initial scales.
#| tags: [hide-input]
time = every * np.arange(1, steps // every + 1)
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for k, scale in enumerate(scales):
    for i in range(len(keys)):
        seen = jax.tree.map(lambda series: series[1:], runs[0.5, scale, i][3])
        left = seen["loss"] / runs[0.5, scale, i][3]["loss"][0]
        label = None if i else f"s = {scale:g}"
        axes[0].plot(time, seen["alignment"], color=f"C{k}", label=label)
        axes[1].plot(time, seen["distance"], color=f"C{k}")
        axes[2].plot(left, seen["turned"], color=f"C{k}")
axes[0].set(xscale="log", xlabel="steps", ylabel="alignment $A$")
axes[1].set(xscale="log", xlabel="steps", ylabel="distance")
axes[2].set(xscale="log", xlabel="share of the task left", ylabel="share turned")
axes[2].invert_xaxis()
axes[2].legend(*axes[0].get_legend_handles_labels(), fontsize="small")


# %%
#| tags: [build-only]
def common(network):
    W = network.W / jnp.linalg.norm(network.W, axis=1, keepdims=True)
    total = source.sum(0)
    return jnp.median(W @ total / jnp.linalg.norm(total))


_, first = pretrain(
    start,
    tasks.source,
    learning_rate=1 / (0.5 + rich**2),
    steps=60,
    record_every=2,
    observe=common,
)
peak = int(first.observed.argmax())
assert first.observed[peak] > 1.5 * first.observed[-1]
glue("common-peak", float(first.observed[peak]), display=False)
glue("common-step", 2 * peak, display=False)
seen = runs[0.5, rich, 0][3]
left = np.asarray(seen["loss"] / seen["loss"][0])
early = int(np.argmax(left < 0.01))
glue("early-step", int(every * early), display=False)
glue("early-left", 100 * float(left[early]), display=False)
glue("early-turned", 100 * float(seen["turned"][early]), display=False)
glue("early-alignment", float(seen["alignment"][early]), display=False)
glue("final-alignment", float(seen["alignment"][-1]), display=False)
glue("final-loss", float(seen["loss"][-1]), display=False)
glue("final-left", 100 * float(left[-1]), display=False)
glue(
    "lazy-left",
    100 * float(runs[0.5, lazy, 0][3]["loss"][-1] / seen["loss"][0]),
    display=False,
)
assert seen["turned"][early] < 0.1 < 0.5 < seen["turned"][-1]

# %% [markdown]
# The right panel is the surprise. After {glue:text}`early-step` steps from $s = 0.1$ only {glue:text}`early-left:.1f`% of the task is left to learn, yet {glue:text}`early-turned:.0f`% of the neurons have
# turned; the alignment is {glue:text}`early-alignment:.2f`. What little is left brings it to {glue:text}`final-alignment:.3f`. The reason is {doc}`from-lines-to-kernels`: most of a teacher with positive
# output weights lies in the constant and linear parts of its kernel, which *any* collection of neurons can make. At first all neurons turn to one common direction, the sum of the teacher's neurons {cite:p}`maennel2018`: their
# median cosine with it rises to {glue:text}`common-peak:.2f` in {glue:text}`common-step` steps. Then they spread again, to fit the linear part. The kinks of single teacher neurons, the steep rest, are all that is left in the end, and only they tell one teacher neuron from another.
#
# So a tolerance on the loss decides what features a pretrained network has. The paper stops at a loss of $10^{-6}$. Ours have a loss of {glue:text}`final-loss:.0e` in the end from $s = 0.1$, which is
# {glue:text}`final-left:.2f`% of that at the start; the lazy ones from $s = 5$ still have {glue:text}`lazy-left:.0f`%, and have not converged.
#
# Is exact population training what many samples do? Take the same student through 60 steps on $n$ samples of the source, and on the population, and look at the squared distance $D_n$ of the
# two functions. It should vanish like $1/n$, so that $\frac13 (D_n - 6 D_{2n} + 8 D_{4n})$, free of the first two powers of $1/n$, should be zero:

# %%
sizes = (1000, 2000, 4000)


@jax.jit
def apart(key):
    task_key, student_key, data_key = jax.random.split(key, 3)
    tasks = ReluTasks.ablated(task_key, d, teacher_neurons, 0.5)
    start = ReluNetwork.init(student_key, d, m)
    options = {"learning_rate": 0.5, "steps": 60, "tolerance": 0.0}
    population, _ = pretrain(start, tasks.source, **options)
    X, y = tasks.sample(data_key, max(sizes), source=True)
    trained = [relu.train(start, X[:n], y[:n], **options)[0] for n in sizes]
    return jnp.stack([relu.distance2(network, population) for network in trained])


D = np.array([apart(key) for key in jax.random.split(jax.random.key(3), 6)])
for n, mean in zip(sizes, D.mean(0), strict=True):
    print(f"n = {n:5}: n D_n = {n * mean:.3f}")
limit = xr.DataArray(D @ [1, -6, 8] / 3, dims="instance")
fatelib.agreement_table({"many samples against the population": (limit, 0.0)})

# %% [markdown]
# ## How many features does a student hold?
#
# A student of 200 neurons has 200 features unless some coincide exactly, which no training in finite time achieves. So the question is how *strong* they are: what the eigenvalues $\ell_i$ of their covariance
# $K(W, W)$ look like. Three numbers sum them up: how many exceed a thousandth of the largest, the **participation ratio** $(\sum_i \ell_i)^2 / \sum_i \ell_i^2$, and the share of the target outside the
# span of the features, $\lVert P_\perp f_t \rVert^2 / \lVert f_t \rVert^2$. A fourth asks for the use: the smallest risk that any ridge reaches on $n = 100$ samples with noise $\sigma = 0.1$, by the learning curve of
# {doc}`from-lines-to-kernels`. And all that for three sets of neurons: the pretrained ones, the source teacher's own (the ideal), and the **control**, the student's *initial* neurons.

# %%
ridges = np.geomspace(1e-8, 1, 17)  # in units of the sum of the eigenvalues


def spectrum_of(W, tasks):
    c_target = tasks.target.c / teacher_neurons
    return relu.feature_spectrum(W, tasks.target.W, c_target)


def learning_curve(spectrum, n, sigma):
    """Risk of the last layer with its best ridge, per unit of the target."""
    risk = theory.ridge_risk(
        n,
        spectrum.eigenvalues,
        spectrum.coefficients2,
        residual=spectrum.residual,
        noise=sigma,
        ridge=ridges[:, None, None] * spectrum.eigenvalues.sum(),
    )
    return risk.min(0) / (spectrum.coefficients2.sum() + spectrum.residual)


def held(W, tasks):
    spectrum = spectrum_of(W, tasks)
    l = spectrum.eigenvalues
    split = relu.projection(W, tasks.target.W, tasks.target.c / teacher_neurons)
    return {
        "turned": jnp.mean(relu.nearest_cosine(W, tasks.source.W) > 0.9),
        "rank": jnp.sum(l > 1e-3 * l[-1]),
        "participation": l.sum() ** 2 / (l**2).sum(),
        "outside": split.outside / (split.inside + split.outside),
        "risk": learning_curve(spectrum, 100, np.array([[0.1]]))[0, 0],
    }


def feature_sets(tasks, start, student):
    kept = (tasks.source.W != 0).any(axis=1)  # zeros stand for what a teacher lacks
    return {
        "pretrained": student.W,
        "random": start.W,
        "ideal": tasks.source.W[kept],
    }


# %%
#| tags: [hide-input]
records = []
for (mu, s, i), (task, before, after, _) in runs.items():
    for name, W in feature_sets(task, before, after).items():
        # control and ideal do not depend on the scale
        if name == "pretrained" or s == rich:
            values = {k: float(v) for k, v in held(W, task).items()}
            records.append({"features": name, "mu": mu, "s": s, "i": i, **values})
index = ["features", "mu", "s", "i"]
holds = pd.DataFrame(records).set_index(index).to_xarray()
holds = holds.fillna(holds.sel(s=rich, drop=True))

# %%
#| name: fig-held
#| caption: >-
#|   What the features hold after pretraining, against the initial scale $s$, for sources that lack a tenth (blue) and half (orange) of the target's 20 neurons. Points: pretrained
#|   students, four instances, with their mean; dashed: the same neurons before pretraining (control); dotted: the source teacher's own. Outside and risk are shares of $\lVert f_t \rVert^2$;
#|   risk with $n = 100$, $\sigma = 0.1$ and the best ridge. $d = 30$, $m = 200$.
#| alt: >-
#|   Four panels against the initial scale. The share of turned neurons falls to zero, the number of strong features rises from about the teacher's to that of random neurons. The share
#|   of the target outside is smallest at intermediate scales. The risk lies below the control for the source that lacks a tenth, and above it at small scales for the one that lacks half.
#| tags: [hide-input]
titles = {
    "turned": "share of neurons turned",
    "rank": "features above 1/1000",
    "outside": "target outside the span",
    "risk": "risk at $n = 100$",
}
styles = {"pretrained": "-", "random": "--", "ideal": ":"}
fig, axes = plt.subplots(2, 2, figsize=(7.5, 5.6), sharex=True)
for ax, (measure, title) in zip(axes.flat, titles.items(), strict=True):
    for k, fraction in enumerate(fractions):
        part = holds[measure].sel(mu=fraction)
        ax.plot(scales, part.sel(features="pretrained"), "o", color=f"C{k}")
        for name, style in styles.items():
            mean = part.sel(features=name).mean("i")
            ax.plot(scales, mean, style, color=f"C{k}")
    ax.set(xscale="log", yscale="log", title=title)
axes[0, 0].set(yscale="linear", ylim=(-0.05, 1.05))
for k, fraction in enumerate(fractions):
    axes[0, 0].plot([], [], "o-", color=f"C{k}", label=rf"$\mu$ = {fraction:g}")
for name, style in styles.items():
    axes[0, 1].plot([], [], style, color="black", label=name)
for ax in axes[0]:
    ax.legend(fontsize="small")
for ax in axes[1]:
    ax.set_xlabel("initial scale $s$")

# %%
summary = holds.sel(mu=0.5).mean("i").to_dataframe().drop(columns="mu")
alone = summary.loc["pretrained"].rename(index=lambda s: f"pretrained, s = {s:g}")
others = summary.xs(rich, level="s").loc[["random", "ideal"]]
pd.concat([alone, others]).round(3)

# %%
#| tags: [build-only]
outside, risk, strong = (
    holds[name].mean("i") for name in ("outside", "risk", "rank")
)
gain = holds.risk.sel(features="random") / holds.risk.sel(features="pretrained")
near, far = gain.sel(mu=0.1, s=rich), gain.sel(mu=0.5, s=rich)
best = float(risk.sel(mu=0.5, features="pretrained").idxmin("s"))
glue("near-gain", float(near.mean()), display=False)
glue("far-loss", float((1 / far).mean()), display=False)
glue("far-best-scale", best, display=False)
glue("far-best-gain", float(gain.sel(mu=0.5, s=best).mean()), display=False)
glue("lazy-gain", float(gain.sel(mu=0.5, s=lazy).mean()), display=False)
glue("worse", int((far < 1).sum()), display=False)
for name in ("pretrained", "random", "ideal"):
    share = outside.sel(mu=0.5, s=rich, features=name)
    glue(f"outside-{name}", 100 * float(share), display=False)
    glue(
        f"rank-{name}",
        float(strong.sel(mu=0.5, s=rich, features=name)),
        display=False,
    )
# As the text says:
ranked = outside.sel(mu=0.5, s=rich, features=["random", "pretrained", "ideal"])
assert (ranked.diff("features") > 0).all()
assert near.min() > 2
assert (far < 1).sum() >= 3
assert 0.5 < best < 5
assert gain.sel(mu=0.5, s=best).min() > 1
assert abs(gain.sel(mu=0.5, s=lazy).mean() - 1) < 0.2

# %% [markdown]
# Read it from left to right, and with an eye on the dashed lines.
#
# - **Rich** students ($s = 0.1$) hold what their teacher holds, and little else: {glue:text}`rank-pretrained:.0f` features above a thousandth, against {glue:text}`rank-random:.0f` of the control. If the source has nine tenths of
#   the target's neurons, that is excellent: the risk on 100 samples is {glue:text}`near-gain:.1f` times smaller than the control's. If it has half of them, the same richness is a *loss*: in
#   {glue:text}`worse` of 4 instances the risk is larger than with neurons that were never trained, {glue:text}`far-loss:.2f` times on average, and {glue:text}`outside-pretrained:.1f`% of the target are out of reach instead of
#   {glue:text}`outside-random:.1f`%.
# - **Lazy** students ($s = 5$) are the control with a new last layer. At $\mu = 0.5$ pretraining makes the risk smaller by a factor of {glue:text}`lazy-gain:.2f`.
# - **In between**, where neurons lean towards the source without arriving, the student has the source *and* a random memory of everything else. For the distant source the best of our five scales is
#   $s =$ {glue:text}`far-best-scale:.1f`, {glue:text}`far-best-gain:.1f` times better than the control. It is the faint remainder of {doc}`feature-sparsification` over again.
#
# A pretrained student is not its teacher: even the rich one has less of the target outside ({glue:text}`outside-pretrained:.1f`%) than the ideal span ({glue:text}`outside-ideal:.1f`%), thanks to the neurons that did
# not arrive. That figure comes with a caveat: two features that nearly coincide span their difference, too, however faint it is, and how faint is still a feature depends on the precision of the machine (a share of
# about $10^{-5}$ of the strongest, here) or on the number of samples. The risk at finite $n$ has no such ambiguity. And the participation ratio in the table says little, because one
# feature, the common mean of all neurons, outweighs all others in every network.
#
# Pretraining must be credited with what it adds to the control and with nothing else. Without the dashed lines the upper panels would look like a triumph at both $\mu$.
#
# ## Turn it yourself
#
# Start where the rich student loses to the control. Then raise the initial scale until it wins at every $n$, or go to the near source, where it wins at once.

# %%
#| name: fig-explore-students
#| caption: >-
#|   Predicted risk of linear transfer, as a share of $\lVert f_t \rVert^2$ on a decimal logarithmic scale (0: no better than predicting zero), against the number of target samples: pretrained student, control of
#|   random neurons, ideal neurons of the source. Each with its best ridge. Sliders: initial scale $s$, fraction $\mu$ of the target's neurons that the source lacks, and label noise. One instance, $d = 30$, $m = 200$.
#| alt: >-
#|   Interactive curves of three risks against the number of samples, with sliders for the initial scale, the fraction removed and the noise.
#| tags: [hide-input]
from fatelib.widgets import explore

ns = np.unique(np.geomspace(10, 3000, 24).round().astype(int))
sigmas = np.array([0.0, 0.1, 0.3])
curves = np.zeros((len(fractions), len(sigmas), len(scales), 3, len(ns)))
for j, mu in enumerate(fractions):
    for k, s in enumerate(scales):
        task, before, after, _ = runs[mu, s, 0]
        for l, W in enumerate(feature_sets(task, before, after).values()):
            if k == 0 or l == 0:
                curves[j, :, k, l] = learning_curve(
                    spectrum_of(W, task), ns, sigmas[:, None]
                )
            else:
                curves[j, :, k, l] = curves[j, :, 0, l]
grid = xr.DataArray(
    np.log10(curves),
    coords={
        "mu": fractions,
        "sigma": sigmas,
        "s": scales,
        "features": list(styles),
        "n": ns,
    },
    name="log10 R",
    attrs={"long_name": "risk"},
)
grid.n.attrs["long_name"] = "samples"
grid.s.attrs["long_name"] = "initial scale"
grid.mu.attrs["long_name"] = "fraction removed"
grid.sigma.attrs["long_name"] = "noise"
where = {"n": 100, "s": 0.1, "mu": 0.5, "sigma": 0.1}
explore(grid, x="n", lines="features", sliders=["s", "mu", "sigma"], at=where)

# %%
#| tags: [build-only]
wins = grid.sel(features="pretrained") < grid.sel(features="random")
assert wins.sel(mu=0.5, s=best).all()
assert wins.sel(mu=0.1, s=rich).all()

# %% [markdown]
# ## Exercises
#
# :::{exercise} The opposite ones
# :label: ex-opposite
#
# In {numref}`fig-turning` {glue:text}`opposite:.0f`% of the rich student's neurons point *away* from a teacher neuron, with positive output weights. How can they help, and what must the network do so that they do no harm?
# :::
#
# :::{solution-start} ex-opposite
# :label: sol-opposite
# :class: dropdown
# :::
#
# $\operatorname{relu}(z) = \frac12 (z + \lvert z \rvert)$: a neuron and its opposite have the same kink, $\lvert z \rvert$, and linear parts of opposite sign. So an opposite neuron serves for the even part of the teacher's function as well as one
# that has turned. What must match is the sum over *both* kinds for each teacher neuron, and the linear part of the whole network, $\frac{1}{2m} \sum_i c_i w_i$. Here are
# the weights $c_i \lvert w_i \rvert / m$ of each kind, for every teacher neuron in units of its own weight:

# %%
lengths = jnp.linalg.norm(student.W, axis=1)
weight = student.c * lengths / m * teacher_neurons
cosine = np.asarray(student.W @ source.T / lengths[:, None])
with_it = [float(weight[column > 0.9].sum()) for column in cosine.T]
against = [float(weight[column < -0.9].sum()) for column in cosine.T]
print("with it  ", np.round(with_it, 2))
print("opposite ", np.round(against, 2))
print("together ", np.round(np.add(with_it, against), 2))
linear = student.c @ student.W / m, source.sum(0) / teacher_neurons
off = float(jnp.linalg.norm(linear[0] - linear[1]) / jnp.linalg.norm(linear[1]))
print(f"linear part: off by {100 * off:.2f} %")
assert off < 0.01

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} How many features, again
# :label: ex-cutoff-relu
#
# Count the features of the rich student and of the control that are stronger than a share $\epsilon$ of the strongest, for $\epsilon = 10^{-2}, 10^{-3}, \ldots$ For which of the two is "the number of features" well defined?
# :::
#
# :::{solution-start} ex-cutoff-relu
# :label: sol-cutoff-relu
# :class: dropdown
# :::
#
# The control has a thousandth from nearly all of its neurons and then no more to give. The rich student has its teacher's ten and then a tail without a gap: neurons on the way to a teacher neuron, each a little different from the others.
# A rank of such a network is a statement about the cutoff.

# %%
for name, W in {"control": start.W, "rich": student.W}.items():
    l = jnp.linalg.eigvalsh(relu.arccos_kernel(W, W))
    counts = [f"1e-{k}: {int((l > 10.0**-k * l[-1]).sum()):3}" for k in range(2, 7)]
    print(f"{name:8}", ", ".join(counts))

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} A teacher with signs
# :label: ex-signs
#
# Give the teacher's neurons random output weights $\pm 1$ ({py:meth}`fatelib.relu.ReluTasks.ablated` with `outputs="sign"`). Do the rich student's neurons still turn? Is the task still all but learned before?
# :::
#
# :::{solution-start} ex-signs
# :label: sol-signs
# :class: dropdown
# :::
#
# They turn. But the common mean of the teacher's neurons is gone, which was the easy part: at the same number of steps more of the task is left.

# %%
signed = ReluTasks.ablated(
    jax.random.key(4), d, teacher_neurons, 0.5, outputs="sign"
)
small = ReluNetwork.init(jax.random.key(5), d, m, scale=0.1)
options = {"learning_rate": 1.0, "tolerance": 0.0, "record_every": 60}
after, history = pretrain(small, signed.source, steps=steps, **options)
cosine = relu.nearest_cosine(after.W, signed.source.W)
left = history.loss / history.loss[0]
print(f"left after 60 steps: {left[1]:.1%}, in the end: {left[-1]:.2%}")
print(f"share of neurons turned: {jnp.mean(cosine > 0.9):.0%}")
assert left[1] > 0.1
assert jnp.mean(cosine > 0.9) > 0.3

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
#
# 1. Short neurons turn to their teacher's, long ones stay: $\lvert w \rvert^2 - c^2 = s^2$ is conserved, and a neuron turns with $c / \lvert w \rvert$ of the force on it.
# 2. Features come last. A source task can be learned to within a per cent before more than a few neurons have turned.
# 3. What pretraining adds must be measured against untrained neurons. From a near source it adds much; from a distant one the richest features can be worse than random, and the best lie between rich and lazy.
