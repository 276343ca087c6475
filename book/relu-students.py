# %% [markdown]
# # ReLU students find their teacher
#
# A ReLU network with hundreds of neurons learns a task that ten neurons generate. Whether it finds these ten depends on how long its initial neurons are and on when
# training stops, and finding them is not always good for the next task. In this chapter you will
#
# - derive why short initial neurons turn to the teacher's and long ones stay where they are,
# - watch the features of a student change *after* its task is all but learned,
# - count the features that a pretrained student really holds, and measure what they add over the control: neurons that were never trained.

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
d, m, teacher_neurons = 30, 200, 20
scales = np.array([0.1, 0.5, 1.0, 2.0, 5.0])
rich, lazy = scales[0], scales[-1]
fractions = np.array([0.1, 0.5])
early, steps = 60, 1500


def rate(scale):
    """About half the largest stable step: the curvature is of order scale^2 + 1."""
    return 1 / (0.5 + scale**2)


@jax.jit
def learn(key, fraction, scale, level):
    """Pretrain one student; return tasks, network before, after and at a loss, records."""
    task_key, student_key = jax.random.split(key)
    tasks = ReluTasks.ablated(task_key, d, teacher_neurons, fraction)
    start = ReluNetwork.init(student_key, d, m, scale=scale)

    total = tasks.source.W.sum(0) / jnp.linalg.norm(tasks.source.W.sum(0))

    def observe(network):
        W = network.W
        turned = relu.nearest_cosine(W, tasks.source.W) > 0.9
        seen = {
            "alignment": relu.feature_alignment(W, tasks.source.W),
            "mean direction": jnp.median(W @ total / jnp.linalg.norm(W, axis=1)),
            "turned": jnp.mean(turned),
        }
        return seen, network

    options = {"learning_rate": rate(scale), "tolerance": 0.0, "observe": observe}
    source = tasks.source
    network, first = pretrain(start, source, steps=early, record_every=2, **options)
    options |= {"steps": steps - early, "record_every": 30}
    student, rest = pretrain(network, source, **options)
    records = [(part.loss, *part.observed) for part in (first, rest)]
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b[1:]]), *records)
    loss, seen, networks = joined
    at = jnp.where((loss <= level).any(), jnp.argmax(loss <= level), -1)
    stopped = jax.tree.map(lambda series: series[at], networks)
    return tasks, start, student, stopped, {"loss": loss, **seen}


time = np.concatenate([np.arange(0, early, 2), np.arange(early, steps + 1, 30)])
keys = jax.random.split(jax.random.key(0), 6)
runs = {}
for mu in fractions:
    for i, key in enumerate(keys):
        level = 0.0
        # The slowest comes first and sets the loss to compare at.
        for s in scales[::-1]:
            runs[mu, s, i] = learn(key, mu, s, level)
            level = runs[mu, lazy, i][-1]["loss"][-1]

# %%
#| name: fig-turning
#| caption: >-
#|   Cosines between the 200 neurons of a student (rows, sorted by the nearest teacher neuron) and the 10 neurons of its source teacher (columns):
#|   before pretraining, after it from initial neurons of length 0.1, and of length 5. $d = 30$; 1500 steps of gradient descent on the population.
#| alt: >-
#|   Three heat maps. Before training all cosines are small. After training from short neurons, blocks of deep blue show that most rows agree with one column exactly;
#|   a few rows are deep red. After training from long neurons the map looks as before training.
#| tags: [hide-input]
tasks, start, student, *_ = runs[0.5, rich, 0]
stiff = runs[0.5, lazy, 0][2]
source = tasks.source.W[: teacher_neurons // 2]


def cosines(network):
    W = network.W / jnp.linalg.norm(network.W, axis=1, keepdims=True)
    cosine = np.asarray(W @ source.T)
    return cosine[np.lexsort((-cosine.max(1), cosine.argmax(1)))]


fig, axes = plt.subplots(1, 3, figsize=(6.4, 4), sharey=True)
titles = ["before", f"after, s = {rich:g}", f"after, s = {lazy:g}"]
for ax, title, network in zip(axes, titles, [start, student, stiff], strict=True):
    image = ax.imshow(cosines(network), vmin=-1, vmax=1, cmap="RdBu", aspect="auto")
    ax.set(title=title, xlabel="teacher neuron", xticks=[])
    ax.grid(False)
axes[0].set(ylabel="student neuron", yticks=[])
bar = fig.colorbar(image, ax=axes, label="cosine")

# %%
#| tags: [build-only]
from myst_nb import glue


def note(**values):
    """Keep numbers for the text."""
    for name, value in values.items():
        number = value if isinstance(value, int | str) else float(value)
        glue(name.replace("_", "-"), number, display=False)


cosine = cosines(student)
turned, opposite = cosine.max(1) > 0.9, cosine.min(1) < -0.9
assert turned.mean() > 0.5
assert opposite.mean() > 0.05
note(turned=100 * turned.mean(), opposite=100 * opposite.mean())
note(on_top=100 * (cosine.max(1) > 0.99).mean())

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
# A student of width $m$ computes $f(x) = \frac1m \sum_i c_i \operatorname{relu}(w_i \cdot x)$ and moves against $m$ times the gradient of $\mathbb E (f(x) - f_s(x))^2$ on standard
# normal inputs. It starts from $\lvert w_i \rvert = s$ in random directions and $c_i \approx 0$ {cite:p}`rotskoff2018,tahir2025`.
# :::
#
# The ReLU is homogeneous, so all that the data do to neuron $i$ is one vector, the *force* $-M_i$:
#
# $$
# \begin{aligned}
# \dot w_i &= - c_i M_i, \qquad \dot c_i = - w_i \cdot M_i , \\
# M_i &= 2\, \mathbb E \big[ (f(x) - f_s(x))\, 1(w_i \cdot x > 0)\, x \big] .
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
# We take steps of $\eta = 1/(s^2 + \frac12)$, about half the largest stable size (the curvature is of order $s^2 + 1$). So equal numbers of *steps* are not equal *times* $\eta\, \times$ steps: our {glue:text}`steps` steps are a time
# of {glue:text}`time-rich:.0f` for $s = 0.1$ and of {glue:text}`time-lazy:.0f` for $s = 5$, and to give the second as much time as the first would take {glue:text}`time-steps` steps. What the features are worth ({numref}`fig-adds`) is compared at equal training loss, too.
#
# Steps break {eq}`neuron-balance`, by $\eta^2 (c_i^2 \lvert M_i \rvert^2 - (w_i \cdot M_i)^2)$ each. That is at most $\eta^2$ times the squared gradient, and steps of up to half the largest stable size lower the loss by at
# least $\eta/2$ times the mean of it over neurons. So on average over neurons the balance is off by no more than $2 \eta$ times the initial loss. In units of this bound:

# %%
coords = {"mu": fractions, "s": scales, "i": range(len(keys))}
imbalance = xr.DataArray(np.zeros((2, len(scales), len(keys))), coords)
for (fraction, scale, i), (_, _, network, _, seen) in runs.items():
    broken = (network.W**2).sum(1) - network.c**2 - scale**2
    bound = 2 * rate(scale) * seen["loss"][0]
    imbalance.loc[fraction, scale, i] = jnp.mean(jnp.abs(broken)) / bound
fatelib.agreement_table(
    {"balance of the neurons, in units of its bound": (imbalance, 0.0)},
    over=None,
    tolerance=1.0,
)

# %% [markdown]
# ## Kernels before and after
#
# Which functions a last layer can learn easily depends on the neurons through their kernel $\Theta(x, x') = \frac1m \sum_i \operatorname{relu}(w_i \cdot x) \operatorname{relu}(w_i \cdot x')$. The
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
    ax.imshow(gram, vmin=-limit, vmax=limit, cmap="RdBu", interpolation="none")
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(False)

# %% [markdown]
# A measure of how alike two kernels are is the cosine between them, with the mean of every feature removed, the **centred alignment** {cite:p}`cortes2012,kornblith2019`. For neurons $w_1, \dots, w_m$ and $v_1, \dots, v_k$
#
# $$
# \begin{aligned}
# A(W, V) &= \frac{\langle \Theta_W, \Theta_V \rangle}{\lVert \Theta_W \rVert\, \lVert \Theta_V \rVert}, \\
# \langle \Theta_W, \Theta_V \rangle &= \frac{1}{mk} \sum_{ij} \Big( K(w_i, v_j) - \tfrac{1}{2\pi} \lvert w_i \rvert \lvert v_j \rvert \Big)^2 .
# \end{aligned}
# $$ (alignment)
#
# The right-hand side is exact for the whole input distribution, no inputs needed: {py:func}`fatelib.relu.feature_alignment`. We check it against Gram matrices between two independent sets of 500 inputs, twenty times. (A square
# Gram matrix would be biased by its diagonal, which is why small samples make any two networks look alike.) The closed form of the risk is checked against $10^6$ fresh inputs, in twenty batches. (Tolerance: what chance alone exceeds in one of a hundred such tables.)

# %%
networks = [start, *(runs[0.5, s, 0][2] for s in (0.1, 1))]
coords = {"network": ["before", "s = 0.1", "s = 1"]}


@jax.jit
def sampled(network, key):
    """Alignment on 1,000 inputs, and risk on 50,000."""
    keys = jax.random.split(key)
    inputs = jax.random.normal(keys[0], (1000, d))
    grams = [relu.feature_gram(W, inputs)[:500, 500:] for W in (network.W, source)]
    A, B = (centred(gram) for gram in grams)
    alignment = jnp.vdot(A, B) / jnp.linalg.norm(A) / jnp.linalg.norm(B)
    inputs = jax.random.normal(keys[1], (50_000, d))
    outputs, labels = (jax.vmap(f)(inputs) for f in (network, tasks.target))
    return alignment, jnp.mean((outputs - labels) ** 2)


batches = jax.random.split(jax.random.key(2), 20)
found = np.array([[sampled(f, key) for key in batches] for f in networks])
aligned, risks = (
    xr.DataArray(values, coords, ("network", "batch"))
    for values in found.T.swapaxes(1, 2)
)
exact = [(relu.feature_alignment(f.W, source), tasks.risk(f)) for f in networks]
alignments, exact_risks = np.array(exact).T
pairs = {"alignment, closed form": (aligned, alignments)}
pairs |= {"risk by the kernel": (risks, exact_risks)}
fatelib.agreement_table(pairs, over="batch", tolerance=tolerance(6, len(batches)))

# %% [markdown]
# ## Turned neurons come last

# %%
#| name: fig-features-last
#| caption: >-
#|   Pretraining from step 0 on: loss as a share of the initial one; median cosine of the student's neurons with the sum of the teacher's; alignment of the kernels; share of neurons with a cosine above 0.9 with some teacher
#|   neuron. Linear axis up to step 2, logarithmic beyond. Six instances each; $d = 30$, $m = 200$, half of the target's 20 neurons in the source.
#| alt: >-
#|   Four panels against the step. For short initial neurons the cosine with the common direction has a peak at about eight steps, the loss falls below one per cent within fifty, the alignment rises from 0.35
#|   from the first steps on, and the share of turned neurons leaves zero only after a hundred. For the longest neurons only the loss changes.
#| tags: [hide-input]
titles = {
    "loss": "share of the task left",
    "mean direction": "cosine with the common direction",
    "alignment": "alignment $A$",
    "turned": "share of neurons turned",
}
fig, axes = plt.subplots(2, 2, figsize=(7.5, 5), sharex=True)
for ax, (name, title) in zip(axes.flat, titles.items(), strict=True):
    for k, scale in enumerate(scales):
        for i in range(len(keys)):
            series = runs[0.5, scale, i][-1][name]
            unit = series[0] if name == "loss" else 1
            label = None if i else f"s = {scale:g}"
            ax.plot(time, series / unit, f"C{k}", linewidth=0.8, label=label)
    ax.set(title=title)
axes[0, 0].set(yscale="log")
axes[1, 1].legend(fontsize="small")
for ax in axes[1]:
    ax.set_xscale("symlog", linthresh=2)
    ax.set(xlabel="steps", xlim=(0, steps), xticks=[0, 10, 100, 1000])

# %%
#| tags: [build-only]
thousands = round(steps * rate(rich) / rate(lazy) / 1000)
note(steps=steps, time_steps=f"{thousands},000")
note(time_rich=steps * rate(rich), time_lazy=steps * rate(lazy))


def seen(name, scale):
    """A record of all instances at half the neurons, (instance, time)."""
    return np.array([runs[0.5, scale, i][-1][name] for i in range(len(keys))])


def shares(scale):
    loss = seen("loss", scale)
    return loss / loss[:, :1]


learned = (shares(rich) > 0.01).sum(1)  # the first record below one per cent
at = range(len(keys)), learned
aligned, turned = seen("alignment", rich), 100 * seen("turned", rich)
direction = seen("mean direction", rich).mean(0)
peak = int(direction.argmax())
assert direction[peak] > 1.5 * direction[time == early]
assert (turned[at] < 10).all()
assert (turned[:, -1] > 50).all()
note(early_step=int(time[learned].max()), common_step=int(time[peak]))
note(common_peak=direction[peak], common_end=direction[-1])
note(start_alignment=aligned[:, 0].mean(), early_alignment=aligned[at].mean())
note(final_alignment=aligned[:, -1].mean(), early_turned=turned[at].mean())
note(final_turned=turned[:, -1].mean(), lazy_left=100 * shares(lazy)[:, -1].mean())
note(final_loss=1e6 * seen("loss", rich)[:, -1].mean())
note(final_left=100 * shares(rich)[:, -1].mean())

# %% [markdown]
# From short neurons, $s = 0.1$, the panels show an order. First, within {glue:text}`common-step` steps, the neurons turn towards one common direction, the sum of the teacher's neurons {cite:p}`maennel2018`: their median cosine with it
# rises from 0 to {glue:text}`common-peak:.2f`, and later settles at {glue:text}`common-end:.2f`. Next the loss falls: after {glue:text}`early-step` steps less than 1% of the task is left in every instance. Much of the alignment comes in this time, from {glue:text}`start-alignment:.2f` to
# {glue:text}`early-alignment:.2f`. But only {glue:text}`early-turned:.2f`% of the neurons have turned to a neuron of the teacher. That happens in the
# remaining steps, which bring the share of turned neurons to {glue:text}`final-turned:.0f`% and the alignment to {glue:text}`final-alignment:.3f`. The reason is in {doc}`from-lines-to-kernels`: most of a teacher with positive output weights is of degree 0 and 1, which *any* collection
# of neurons can make. Only degree 2 and higher tell one teacher neuron from another, and they are what is left when the loss is small.
#
# So a tolerance on the loss decides what features a pretrained network has. The paper stops at a loss of $10^{-6}$. Ours have {glue:text}`final-loss:.1f` $\cdot\, 10^{-6}$ in the end from $s = 0.1$, on average, which is
# {glue:text}`final-left:.3f`% of that at the start; from $s = 5$ they still have {glue:text}`lazy-left:.1f`% of it, and have not converged.
#
# Exact population training is what training on many samples tends to. On a smaller network ($d = 10$, $m = 60$, $s = 1$, 6 teacher neurons, 3 of them in the source) we train on $n$ samples of the source and on the population, and look at the
# squared distance $D_n$ of the two functions at several steps. It should vanish like $1/n$, so that $\frac13 (D_n - 6 D_{2n} + 8 D_{4n})$, free of the first two powers of $1/n$, should be zero:

# %%
sizes, checked = np.array([1000, 2000, 4000]), np.array([60, 240, 480])


@jax.jit
def apart(key):
    """Squared distances from population training, for each size at each step."""
    task_key, student_key, data_key = jax.random.split(key, 3)
    tasks = ReluTasks.ablated(task_key, 10, 6, 0.5)
    start = ReluNetwork.init(student_key, 10, 60)
    options = {"learning_rate": 0.5, "steps": 480, "tolerance": 0.0}
    options |= {"record_every": 60, "observe": lambda network: network}
    population = pretrain(start, tasks.source, **options)[1]
    X, y = tasks.sample(data_key, sizes[-1], source=True)
    histories = [relu.train(start, X[:n], y[:n], **options)[1] for n in sizes]
    compare = jax.vmap(relu.distance2)
    D = [compare(history.observed, population.observed) for history in histories]
    at = checked // 60
    return jnp.stack(D)[:, at], population.loss[at] / population.loss[0]


small = [apart(key) for key in jax.random.split(jax.random.key(3), 6)]
D = np.stack([distances for distances, _ in small])
for step, left, means in zip(checked, small[0][1], D.mean(0).T, strict=True):
    products = np.round(means * sizes, 4)
    print(f"step {step:3}: {100 * left:.2f} % left to learn, n D_n = {products}")
limit = xr.DataArray(
    np.einsum("ins,n->is", D, [1, -6, 8]) / 3,
    {"instance": range(6), "step": checked},
)
fatelib.agreement_table({"many samples against the population": (limit, 0.0)})

# %% [markdown]
# ## How many features a student holds
#
# A student of 200 neurons has 200 features unless some coincide exactly, which no training in finite time achieves. What differs is how *strong* they are, that is, the eigenvalues $\ell_i$ of
# $K(W, W)$. Four numbers sum them up: the share of **neurons turned** to within a cosine of 0.9 of a neuron of the source teacher; the **numerical rank**, the number of $\ell_i$ above a thousandth of the largest; the **participation ratio**
# $(\sum_i \ell_i)^2 / \sum_i \ell_i^2$ of the features' covariance, that is, without their means, which would outweigh all else; and the share of the target **outside** the
# span, $\rho / \lVert f_t \rVert^2$. All that for a source that lacks half of the target's neurons, for the pretrained neurons, for the source teacher's own (the ideal), and for the **control**, the student's *initial* neurons.


# %%
def spectrum_of(W, tasks):
    target = tasks.target
    return relu.feature_spectrum(W, target.W, target.c / teacher_neurons)


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


def source_neurons(tasks):
    return tasks.source.W[tasks.source.W.any(axis=1)]  # removed ones are zero


# %%
#| tags: [hide-input]
rows = []
for (mu, s, _), (task, before, after, stopped, _) in runs.items():
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
names = {"rich": rich, "paper": 1.0, "lazy": lazy}
kinds = {name: holds.loc[f"pretrained, s = {s:g}"] for name, s in names.items()}
kinds |= {"random": holds.loc["random"], "ideal": holds.loc["ideal"]}
for name, row in kinds.items():
    for column, unit in zip(row.index, (100, 1, 1, 100), strict=True):
        note(**{f"{column}-{name}": unit * row[column]})
# As the text says:
same = kinds["lazy"] / kinds["random"] - 1
assert abs(same[["rank", "participation"]]).max() < 0.02
assert kinds["random"].outside < kinds["rich"].outside < kinds["ideal"].outside

# %% [markdown]
# (Means over the instances. "Stopped early": at the loss that $s = 5$ reaches in the end, see below.)
#
# - **Rich** students ($s = 0.1$) hold their teacher's features and a faint rest: {glue:text}`turned-rich:.0f`% of their neurons have turned, the numerical rank is {glue:text}`rank-rich:.0f`, against {glue:text}`rank-random:.0f` of the control and {glue:text}`rank-ideal:.0f` of the teacher, the participation ratio
#   {glue:text}`participation-rich:.1f`, against {glue:text}`participation-random:.1f` and {glue:text}`participation-ideal:.1f`.
# - **Lazy** students ($s = 5$) hold what the control holds, within 2% in rank and participation ratio.
# - The **paper's** scale, $s = 1$, lies in between: rank {glue:text}`rank-paper:.0f`, participation ratio {glue:text}`participation-paper:.0f`, {glue:text}`turned-paper:.0f`% of the neurons turned.
#
# A pretrained student is not its teacher: even the rich one has less of the target outside ({glue:text}`outside-rich:.1f`%) than the ideal span ({glue:text}`outside-ideal:.1f`%), thanks to the neurons that did
# not arrive, though more than the control ({glue:text}`outside-random:.1f`%). That number needs care: two features that nearly coincide span their difference, too, and how faint a difference still counts depends on the precision of the machine (a share of
# about $10^{-5}$ of the strongest, here) or on the number of samples. The risk at finite $n$ has no such ambiguity.
#
# ## What pretraining adds
#
# The use of features is the risk of a last layer fitted on them. We fit ridge regressions to $n = 100$ samples of the target with label noise $\sigma = 0.1$, each set of features with the ridge that {eq}`general-risk` says is best for it, on twelve
# data sets for each of six instances, and predict the risks by the same formula. (It assumes Gaussian features; fewer samples than features, as here, are the case for which {doc}`from-lines-to-kernels` calls it a guide, so the fits decide.) The students are compared after
# equally many steps and, second, at equal training loss: each stopped at the loss that the laziest one, $s = 5$, reaches in the end.

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
    """Risks of last layers, each fitted to 100 samples."""
    noisy = ReluTasks(tasks.source, tasks.target, jnp.float32(0.1))

    def one(key):
        data = noisy, *noisy.sample(key, 100)
        network = ReluNetwork(W, jnp.zeros(len(W)))
        return fatelib.linear_transfer(network, *data, ridge=ridge).risk

    return jax.lax.map(one, keys)


coords = {
    "features": ["equal steps", "equal loss", "ideal", "control"],
    "kind": ["fitted", "predicted"],
    "mu": fractions,
    "s": scales,
    "i": range(len(keys)),
}
use = xr.DataArray(np.full([len(v) for v in coords.values()], np.nan), coords)
for (mu, s, i), (task, before, after, stopped, _) in runs.items():
    sets = {"equal steps": after.W, "equal loss": stopped.W}
    if s == rich:
        sets |= {"control": before.W, "ideal": task.source.W}
    data_keys = jax.random.split(jax.random.key(10 + i), 12)
    for name, W in sets.items():
        risk, ridge = best_ridge(spectrum_of(W, task), 100, 0.1)
        both = np.array([fitted(W, task, ridge[0], data_keys).mean(), risk[0]])
        use.loc[{"features": name, "mu": mu, "s": s, "i": i}] = both
use = use.fillna(use.sel(s=rich, drop=True))

# %%
#| name: fig-adds
#| caption: >-
#|   Risk of a last layer on pretrained features, in units of that on the control (below 1 pretraining helps), against the initial scale: students after 1500 steps (filled), and stopped at the training loss of the student with $s = 5$ (open). Points: fitted
#|   last layers, mean over six instances with one standard error; lines: predicted, {eq}`general-risk`. Dotted: the source teacher's own features. Left, a tenth of the target's neurons is missing in the source; right, half.
#|   $n = 100$, $\sigma = 0.1$, best ridge, $d = 30$, $m = 200$.
#| alt: >-
#|   Two panels against the initial scale. On the left all points lie below one. On the right the filled points start above one at small scales, have a minimum at scale two and end just below one;
#|   the open points start near one and have a shallower minimum. Points lie on the lines.
#| tags: [hide-input]
ratio = use / use.sel(features="control")
fig, axes = plt.subplots(1, 2, figsize=(7.5, 3.2), sharey=True)
for ax, fraction in zip(axes, fractions, strict=True):
    for k, (name, face) in enumerate([("equal steps", "C0"), ("equal loss", "w")]):
        part = ratio.sel(mu=fraction, features=name)
        points = part.sel(kind="fitted")
        error = points.std("i", ddof=1) / len(keys) ** 0.5
        options = {"color": f"C{k}", "markerfacecolor": face, "label": name}
        ax.errorbar(scales, points.mean("i"), error, fmt="o", **options)
        ax.plot(scales, part.sel(kind="predicted").mean("i"), color=f"C{k}")
    ideal = ratio.sel(mu=fraction, features="ideal", kind="fitted", s=rich).mean()
    ax.axhline(ideal, color="0.4", linestyle=":", label="source's own")
    ax.axhline(1, color="k", linestyle="--", linewidth=1, label="control")
    ax.set(xscale="log", yscale="log", xlabel="initial scale $s$")
    ax.set_title(rf"$\mu$ = {fraction:g}")
    ax.set_yticks([0.3, 0.5, 1.0, 1.5], ["0.3", "0.5", "1", "1.5"])
    ax.minorticks_off()
axes[0].set_ylabel("risk / risk of the control")
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
#| tags: [build-only]
fit = ratio.sel(kind="fitted")
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
reached = seen("loss", lazy)[:, -1:]
note(level=100 * shares(lazy)[:, -1].mean())
note(level_step=int(time[(seen("loss", rich) > reached).sum(1)].max()))
steady = fit.sel(features="equal steps")
note(worse=int((steady.sel(mu=0.5, s=rich) > 1).sum()))
near = [float(runs[0.1, rich, i][-1]["turned"][-1]) for i in range(len(keys))]
note(turned_near=100 * np.mean(near))
# As the text says:
near, far = mean.sel(features="equal steps")
spreads = error.sel(features="equal steps")
assert far.sel(s=rich) - 1 > 2 * spreads.sel(mu=0.5, s=rich)
assert far.idxmin("s") == best
assert 1 - far.sel(s=lazy) > 2 * spreads.sel(mu=0.5, s=lazy)
assert (near < 1 - 4 * spreads.sel(mu=0.1)).all()
assert mean.sel(mu=0.5, features="equal loss").max() < 1.05

# %% [markdown]
# (The table accepts a cell within four standard errors, or within 5% of the prediction.) The fits confirm the predictions, and what pretraining adds depends on three things.
#
# - **The source.** From the near one every student gains: from $s = 0.1$ the risk is {glue:text}`adds-near:.2f` ± {glue:text}`adds-near-error:.2f` times the control's, next to {glue:text}`adds-near-ideal:.2f` ± {glue:text}`adds-near-ideal-error:.2f` for the teacher's own features. From
#   the distant one the same student *loses*: {glue:text}`adds-far:.2f` ± {glue:text}`adds-far-error:.2f` times the control's risk, and a larger one than with neurons that were never trained in {glue:text}`worse` of 6 instances.
# - **The scale.** For the distant source the best of our five scales lies between rich and lazy, $s = 2$: {glue:text}`adds-far-best:.2f` ± {glue:text}`adds-far-best-error:.2f`. There neurons lean towards the source without arriving, and the student has the source *and* a
#   random memory of everything else, like the faint remainder of {doc}`feature-sparsification`. Lazy students, $s = 5$, look like the control in rank and participation ratio, and still gain a little: {glue:text}`adds-far-lazy:.2f` ± {glue:text}`adds-far-lazy-error:.2f`.
# - **The stop.** At equal training loss ({glue:text}`level:.1f`% of the initial one at $\mu = 0.5$, which $s = 0.1$ reaches in at most {glue:text}`level-step` steps) the rich student of the distant source does about as well as the control: {glue:text}`adds-far-early:.2f` ± {glue:text}`adds-far-early-error:.2f`. It becomes worse in
#   the training beyond, while its neurons turn. For the near source the same training makes it better, from {glue:text}`adds-near-early:.2f` ± {glue:text}`adds-near-early-error:.2f` to {glue:text}`adds-near:.2f`.
#
# Pretraining must be credited with what it adds to the control and with nothing else. That most neurons have turned to the teacher's is no merit in itself: {glue:text}`turned-near:.0f`% do at $\mu = 0.1$, where it helps, and {glue:text}`turned-rich:.0f`% at $\mu = 0.5$, where it harms.
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
grid = np.log10(grid.fillna(grid.sel(s=lazy, drop=True))).rename("log10 R")
names = {"n": "samples", "s": "initial scale", "mu": "fraction removed"}
for name, long_name in {**names, "sigma": "noise"}.items():
    grid[name].attrs["long_name"] = long_name
grid.attrs["long_name"] = "risk"
where = {"n": 100, "s": 0.1, "mu": 0.5, "sigma": 0.1}
explore(grid, x="n", lines="features", sliders=["s", "mu", "sigma"], at=where)

# %% [markdown]
# ## Exercises
#
# :::{exercise} The opposite ones
# :label: ex-opposite
#
# In {numref}`fig-turning` {glue:text}`opposite:.0f`% of the rich student's neurons point *away* from a teacher neuron, with positive output weights. Explain how they help, and what the network must do so that they do no harm.
# :::
#
# :::{solution-start} ex-opposite
# :label: sol-opposite
# :class: dropdown
# :::
#
# $\operatorname{relu}(z) = \frac12 (z + \lvert z \rvert)$: a neuron and its opposite have the same kink, $\lvert z \rvert$, and linear parts of opposite sign. So an opposite neuron serves for the even part of the teacher's function as well as one
# that has turned. What must match is the sum over *both* kinds for each teacher neuron, and the linear part of the whole network, $\frac{1}{2m} \sum_i c_i w_i$. Here are
# the weights $c_i \lvert w_i \rvert / m$ of each kind, for every teacher neuron in units of its own weight. They add up to {glue:text}`together-low:.0f` to {glue:text}`together-high:.0f`%, not to 100%. The missing part is made by the neurons
# in between, within 26° of no teacher neuron and of no opposite one; their weight is in the last line, per teacher neuron:

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
between = (abs(cosine) < 0.9).all(axis=1)
rest = weight[between].sum() / len(source)
print(f"{between.sum()} neurons in between: {rest:.2f}")
assert off < 0.01

# %%
#| tags: [build-only]
together = 100 * np.add(with_it, against)
note(together_low=together.min(), together_high=together.max())

# %% [markdown]
# :::{solution-end}
# :::
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
# The control's features nearly all exceed a thousandth. The rich student has about its teacher's ten and then a tail without a gap: neurons on the way to a teacher neuron, each a little different from the others.
# A rank of such a network is a statement about the cutoff.

# %%
for name, W in {"control": start.W, "rich": student.W}.items():
    l = jnp.linalg.eigvalsh(relu.arccos_kernel(W, W))
    counts = [
        f"{0.1**k:g}: {int((l > 0.1**k * l[-1]).sum()):3}" for k in range(2, 5)
    ]
    print(f"{name:8}", ", ".join(counts))

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
#
# 1. Short neurons turn to their teacher's, long ones stay: $\lvert w \rvert^2 - c^2 = s^2$ is conserved, and a neuron turns with $c / \lvert w \rvert$ of the force on it.
# 2. Turned neurons come last. A source task can be learned to within a per cent, and the kernels aligned to a good part, before more than a few neurons have turned.
# 3. What pretraining adds must be measured against untrained neurons. From a near source it adds much; from a distant one, at $n = 100$, the longest trained rich students are worse than random, and the best lie between rich and lazy.
