# %% [markdown]
# # ReLU students find their teacher
#
# A ReLU network with hundreds of neurons learns a task that ten neurons generate. Does it find these ten? That depends on how long its initial neurons are, and on when
# training stops.

# %%
#| tags: [hide-input]
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import relu
from fatelib.figures.figure import tolerance
from fatelib.relu import ReluNetwork, ReluTasks, pretrain

plt.style.use("fatelib.style")

# %%
#| tags: [hide-input]
d, m, teacher_neurons = 30, 200, 20
scales = np.array([0.1, 1.0, 2.0, 5.0])
rich, lazy = scales[0], scales[-1]
early, steps = 60, 1500


def rate(scale):
    """Half the largest stable step or less: the curvature is of order scale^2 + 1."""
    return 1 / (0.5 + scale**2)


@jax.jit
def learn(key, scale):
    """Pretrain one student; return tasks, network before and after, records."""
    task_key, student_key = jax.random.split(key)
    tasks = ReluTasks.ablated(task_key, d, teacher_neurons, 0.5)
    start = ReluNetwork.init(student_key, d, m, scale=scale)
    source = tasks.source
    total = source.W.sum(0) / jnp.linalg.norm(source.W.sum(0))

    def observe(network):
        W = network.W
        nearest, opposite = (relu.nearest_cosine(U, source.W) for U in (W, -W))
        return {
            "alignment": relu.feature_alignment(W, source.W),
            "mean direction": jnp.median(W @ total / jnp.linalg.norm(W, axis=1)),
            "turned": jnp.mean(nearest > 0.9),
            "cosines": jnp.sort(jnp.stack([nearest, opposite]), descending=True),
        }

    options = {"learning_rate": rate(scale), "tolerance": 0.0, "observe": observe}
    network, first = pretrain(start, source, steps=early, record_every=2, **options)
    options |= {"steps": steps - early, "record_every": 30}
    student, rest = pretrain(network, source, **options)
    records = [{"loss": part.loss, **part.observed} for part in (first, rest)]
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b[1:]]), *records)
    return tasks, start, student, joined


time = np.concatenate([np.arange(0, early, 2), np.arange(early, steps + 1, 30)])
keys = jax.random.split(jax.random.key(0), 4)
runs = {(s, i): learn(key, s) for s in scales for i, key in enumerate(keys)}

# %%
#| name: fig-turning
#| caption: >-
#|   Cosines between the 200 neurons of a student (rows, sorted by the nearest teacher neuron) and the 10 neurons of its source teacher (columns):
#|   before pretraining, after it from initial neurons of length 0.1, and of length 5. $d = 30$; 1500 steps of gradient descent on the population.
#| alt: >-
#|   Three heat maps. Before training all cosines are small. After training from short neurons, blocks of deep blue show that most rows agree with one column exactly;
#|   a few rows are deep red. After training from long neurons the map looks as before training.
#| tags: [hide-input]
tasks, start, student, _ = runs[rich, 0]
stiff = runs[lazy, 0][2]
source = tasks.source.W[: teacher_neurons // 2]


def cosines(network):
    W = network.W / jnp.linalg.norm(network.W, axis=1, keepdims=True)
    cosine = np.asarray(W @ source.T)
    return cosine[np.lexsort((-cosine.max(1), cosine.argmax(1)))]


fig, axes = plt.subplots(1, 3, figsize=(6.4, 4), sharey=True)
titles = ["before", *(rf"after, $\alpha$ = {s:g}" for s in (rich, lazy))]
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
# initial neurons nothing of the kind happens, though such a network, too, learns all but {glue:text}`lazy-left:.1f`% of its task.
#
# In this chapter you will
#
# - derive why short initial neurons turn to the teacher's and long ones stay where they are,
# - compare the kernels of student and teacher before training and after,
# - watch the features of a student change *after* its task is all but learned.
#
# The **source teacher**, $f_s$, is the target's teacher of $m^* = 20$ unit neurons with output weight 1, as in {doc}`from-lines-to-kernels`, without half of them. Students have $m = 200$ neurons, inputs $d = 30$ dimensions.
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
# normal inputs. It starts from $\lvert w_i \rvert = \alpha$ in random directions and $c_i \approx 0$ {cite:p}`rotskoff2018,tahir2025`.
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
# \lvert w_i \rvert^2 = \alpha^2 + c_i^2 .
# $$ (neuron-balance)
#
# The direction $\hat w_i$ turns with the part of $M_i$ that is orthogonal to it, at the speed
#
# $$
# \begin{aligned}
# \frac{d \hat w_i}{dt} &= - \frac{c_i}{\lvert w_i \rvert}\, M_i^\perp, \\
# \frac{\lvert c_i \rvert}{\lvert w_i \rvert} &= \frac{\lvert c_i \rvert}{\sqrt{\alpha^2 + c_i^2}} .
# \end{aligned}
# $$ (turning)
# :::
#
# :::{prf:proof}
# By {eq}`neuron-forces` both $\frac{d}{dt} \lvert w_i \rvert^2$ and $\frac{d}{dt} c_i^2$ are $-2 c_i\, w_i \cdot M_i$. Divide the first equation by $\lvert w_i \rvert$ and keep what is orthogonal to $w_i$.
# :::
#
# It is the conservation law of {doc}`deep-linear-dynamics`, neuron by neuron {cite:p}`du2018`. The student must build an $f$ of a given size, which takes $c_i \lvert w_i \rvert$ of order
# one. If $\alpha \ll 1$, then $\lvert c_i \rvert \approx \lvert w_i \rvert$: the neuron turns as fast as it is pushed. If $\alpha \gg 1$, then $c_i$ of order $1/\alpha$ is enough, a neuron turns with $1/\alpha^2$ of
# the push, and not for long, because $c_i$ learns at a rate of $\alpha^2$. One number leads from **rich**, where neurons turn, to **lazy**, where nearly only the output weights learn, as in {doc}`feature-sparsification` {cite:p}`chizat2019`. The paper has $\alpha = 1$, in between.
#
# We take steps of $\eta = 1/(\alpha^2 + \frac12)$, meant to be half the largest stable size or less. So equal numbers of *steps* are not equal *times* $\eta\, \times$ steps: our {glue:text}`steps` steps are a time
# of {glue:text}`time-rich:.0f` for $\alpha = 0.1$ and of {glue:text}`time-lazy:.0f` for $\alpha = 5$, and to give the second as much time as the first would take {glue:text}`time-steps` steps. Where that matters ({doc}`what-pretraining-adds`) we compare at equal training loss, too.
#
# Steps of finite size keep {eq}`neuron-balance` up to first order in $\eta$: on average over neurons it is off by no more than $2 \eta$ times the initial loss.

# %%
#| tags: [check]
# A step breaks the balance of a neuron by
# $\eta^2 (c_i^2 \lvert M_i \rvert^2 - (w_i \cdot M_i)^2)$. That is at most $\eta^2$ times
# the squared gradient, and steps of up to half the largest stable size lower the loss
# by at least $\eta/2$ times the mean of it over neurons. So on average over neurons the
# balance is off by no more than $2 \eta$ times the initial loss.
coords = {"s": scales, "i": range(len(keys))}
imbalance = xr.DataArray(np.zeros((len(scales), len(keys))), coords)
for (scale, i), (*_, network, seen) in runs.items():
    broken = (network.W**2).sum(1) - network.c**2 - scale**2
    bound = 2 * rate(scale) * seen["loss"][0]
    imbalance.loc[scale, i] = jnp.mean(jnp.abs(broken)) / bound
fatelib.agreement_table(
    {"balance of the neurons, in units of its bound": (imbalance, 0.0)},
    over=None,
    tolerance=1.0,
)

# %% [markdown]
# Is the population a fair stand-in for many samples? It is: on a smaller network ($d = 10$, $m = 60$, $\alpha = 1$, 6 teacher neurons, 3 of them in the source) the squared distance between the function that $n$ samples teach and
# that of the population vanishes like $1/n$, at all stages of training.

# %%
#| tags: [check]
# The squared distance $E_n$ of the two functions at several steps should vanish like
# $1/n$. So $\frac13 (E_n - 6 E_{2n} + 8 E_{4n})$, free of the first two powers of $1/n$,
# should be zero.
sizes, checked = np.array([500, 1000, 2000]), np.array([60, 240, 480])


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

    def distances(n):
        # Rows of zeros say nothing: so all n share one program.
        root = jnp.where(jnp.arange(len(y)) < n, (len(y) / n) ** 0.5, 0.0)
        history = relu.train(start, X * root[:, None], y * root, **options)[1]
        return jax.vmap(relu.distance2)(history.observed, population.observed)

    return jax.lax.map(distances, jnp.asarray(sizes))[:, checked // 60]


D = np.stack([apart(key) for key in jax.random.split(jax.random.key(3), 6)])
limit = xr.DataArray(
    np.einsum("ins,n->is", D, [1, -6, 8]) / 3,
    {"instance": range(6), "step": checked},
)
fatelib.agreement_table({"many samples against the population": (limit, 0.0)})

# %% [markdown]
# ## Kernels before and after
#
# Which functions a last layer can learn easily depends on the neurons through their kernel $\Theta(x, x') = \frac1m \sum_i \operatorname{relu}(w_i \cdot x) \operatorname{relu}(w_i \cdot x')$. The
# paper compares students and teachers by this kernel on a set of inputs, its Gram matrix. We sort the inputs by the teacher neuron that they excite most.

# %%
#| name: fig-3ab
#| caption: >-
#|   Gram matrices on the same 200 random inputs, sorted by the source neuron they excite most, with the mean of every feature removed: student before pretraining; after it, from
#|   initial scale $\alpha = 5$, 2, 1 and 0.1; and source teacher (10 neurons). $d = 30$, $m = 200$, one instance. Colours are scaled panel by panel.
#| alt: >-
#|   Six square matrices. The student before training and after training from large scale shows a diagonal and noise. From scale two to one, ten blue blocks emerge along the
#|   diagonal from the noise. From scale 0.1 the matrix cannot be told from that of the teacher.
X = jax.random.normal(jax.random.key(1), (200, d))
X = X[jnp.argsort(jnp.argmax(X @ source.T, axis=1))]


def centred(gram):
    rows, columns = gram.mean(1, keepdims=True), gram.mean(0, keepdims=True)
    return gram - rows - columns + gram.mean()


panels = {"before": start.W}
panels |= {rf"$\alpha$ = {s:g}": runs[s, 0][2].W for s in (5.0, 2.0, 1.0, 0.1)}
panels["teacher"] = source
fig, axes = plt.subplots(2, 3, figsize=(6.4, 4.6))
grams = {t: centred(np.asarray(relu.feature_gram(W, X))) for t, W in panels.items()}
for ax, (title, gram) in zip(axes.flat, grams.items(), strict=True):
    limit = np.quantile(abs(gram), 0.98)
    ax.imshow(gram, vmin=-limit, vmax=limit, cmap="RdBu", interpolation="none")
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(False)

# %%
#| tags: [build-only]
alike = np.corrcoef([gram.ravel() for gram in grams.values()])
assert alike[0, 1] > 0.95  # before, the longest
assert alike[-1, -2] > 0.95  # teacher, the shortest
assert (np.diff(alike[-1]) > 0).all()
most = np.argmax(X @ source.T, axis=1)
for k in range(len(source)):
    rows = grams[r"$\alpha$ = 0.1"][most == k]
    assert rows[:, most == k].mean() > 5 * abs(rows[:, most != k].mean())

# %% [markdown]
# From $\alpha = 5$ the matrix looks as before training. From $\alpha = 0.1$ it looks like the teacher's, with a block for each of its ten neurons; $\alpha = 2$ and 1 are in between.
#
# A measure of how alike two kernels are is the cosine between them, with the mean of every feature removed, the **centred alignment** {cite:p}`cortes2012,kornblith2019`. For neurons $w_1, \dots, w_m$ and $v_1, \dots, v_{m'}$
#
# $$
# \begin{aligned}
# A(W, V) = {} & \frac{\langle \Theta_W, \Theta_V \rangle}{\lVert \Theta_W \rVert\, \lVert \Theta_V \rVert}, \\
# \langle \Theta_W, \Theta_V \rangle = {} & \frac{1}{m m'} \sum_{ij} \Big( K(w_i, v_j) \\[-1ex]
# &\quad {} - \tfrac{1}{2\pi} \lvert w_i \rvert \lvert v_j \rvert \Big)^2 .
# \end{aligned}
# $$ (alignment)
#
# The right-hand side is exact for the whole input distribution, no inputs needed: {py:func}`fatelib.relu.feature_alignment`. (The square
# Gram matrix of a sample is biased by its diagonal, which is why small samples make any two networks look alike.)

# %%
#| tags: [check]
# The closed form is compared with Gram matrices between two independent sets of 500
# inputs, twenty times; a square Gram matrix would be biased by its diagonal. The
# tolerance is what chance alone exceeds in one of a hundred such tables.
networks = [start, *(runs[s, 0][2] for s in (0.1, 1))]
coords = {"network": ["before", "α = 0.1", "α = 1"]}


@jax.jit
def sampled(network, key):
    """Alignment on 1,000 inputs."""
    inputs = jax.random.normal(key, (1000, d))
    grams = [relu.feature_gram(W, inputs)[:500, 500:] for W in (network.W, source)]
    A, B = (centred(gram) for gram in grams)
    return jnp.vdot(A, B) / jnp.linalg.norm(A) / jnp.linalg.norm(B)


batches = jax.random.split(jax.random.key(2), 20)
found = np.array([[sampled(f, key) for key in batches] for f in networks])
aligned = xr.DataArray(found, coords, ("network", "batch"))
exact = np.array([relu.feature_alignment(f.W, source) for f in networks])
fatelib.agreement_table(
    {"alignment, closed form": (aligned, exact)},
    over="batch",
    tolerance=tolerance(len(networks), len(batches)),
)

# %% [markdown]
# ## Turned neurons come last
#
# When do neurons turn: while the task is learned, or after?

# %%
#| name: fig-features-last
#| caption: >-
#|   Pretraining from step 0 on: loss as a share of the initial one; median cosine of the student's neurons with the sum of the teacher's; alignment of the kernels; share of neurons with a cosine above 0.9 with some teacher
#|   neuron. Linear axis up to step 2, logarithmic beyond. Four instances each; $d = 30$, $m = 200$, half of the target's 20 neurons in the source.
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
            series = runs[scale, i][-1][name]
            unit = series[0] if name == "loss" else 1
            label = None if i else rf"$\alpha$ = {scale:g}"
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
    """A record of all instances, (instance, time)."""
    return np.array([runs[scale, i][-1][name] for i in range(len(keys))])


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
initial = [runs[rich, i][1].W for i in at[0]]
teachers = [runs[rich, i][0].source for i in at[0]]
splits = [
    relu.projection(W, f.W, f.c / teacher_neurons)
    for W, f in zip(initial, teachers, strict=True)
]
spanned = np.mean([s.inside / (s.inside + s.outside) for s in splits])
assert spanned > 0.9
note(spanned=100 * spanned)

# %% [markdown]
# From short neurons, $\alpha = 0.1$, the panels show an order. First, within {glue:text}`common-step` steps, the neurons turn towards one common direction, the sum of the teacher's neurons {cite:p}`maennel2018`: their median cosine with it
# rises from 0 to {glue:text}`common-peak:.2f`, and later settles at {glue:text}`common-end:.2f`. Next the loss falls: after {glue:text}`early-step` steps less than 1% of the task is left in every instance. Much of the alignment comes in this time, from {glue:text}`start-alignment:.2f` to
# {glue:text}`early-alignment:.2f`. But only {glue:text}`early-turned:.2f`% of the neurons have turned to a neuron of the teacher. That happens in the
# remaining steps, which bring the share of turned neurons to {glue:text}`final-turned:.0f`% and the alignment to {glue:text}`final-alignment:.3f`. {doc}`from-lines-to-kernels` suggests why: most of a teacher with positive output weights is of degree 0 and 1, which many neurons
# can nearly make wherever they point. ({glue:text}`spanned:.0f`% of the source is in the span of the student's 200 initial neurons.) Only degree 2 and higher tell one teacher neuron from another, and they are what is left when the loss is small.
#
# So when training stops decides what features a pretrained network has. The paper stops at a loss of $10^{-6}$ or at a time of 1,000, whichever comes first; at its size it is the time ({doc}`relu-transfer`). Ours from $\alpha = 0.1$, after a time of {glue:text}`time-rich:.0f`, have a loss of {glue:text}`final-loss:.1f` $\cdot\, 10^{-6}$ on average, which is
# {glue:text}`final-left:.3f`% of that at the start; from $\alpha = 5$ they still have {glue:text}`lazy-left:.1f`% of it, and have not converged. Whether turned neurons are *better* ones is the question of {doc}`what-pretraining-adds`.

# %% [markdown]
# ## Turn it yourself
#
# Move the steps and see the neurons of one student turn. Find the step at which the first of them arrive (a cosine of 0.9); then raise the initial scale until none ever does.

# %%
#| name: fig-explore-turning
#| caption: >-
#|   Cosine of each neuron of a student with the nearest neuron of its source teacher, and with the nearest *opposite* of one, both in descending order. Sliders: steps of pretraining, and initial scale $\alpha$. One instance, $d = 30$, $m = 200$.
#| alt: >-
#|   Interactive curves of two cosines, sorted over the neurons, with sliders for the step of training and the initial scale.
#| tags: [hide-input]
from fatelib.widgets import explore

shown = [0, 4, 8, 16, 30, 60, 120, 240, 480, 990, 1500]
every = slice(2, None, 5)
family = np.array([runs[s, 0][-1]["cosines"] for s in scales])
family = xr.DataArray(
    family[:, np.isin(time, shown), :, every],
    coords={
        "alpha": scales,
        "step": shown,
        "nearest": ["teacher neuron", "opposite of one"],
        "share": (np.arange(m)[every] + 0.5) / m,
    },
    name="cosine",
)
names = {"alpha": "initial scale", "step": "steps", "share": "share of neurons"}
for name, long_name in names.items():
    family[name].attrs["long_name"] = long_name
where = {"alpha": rich, "step": 60, "share": 0.25}
explore(
    family, x="share", lines="nearest", sliders=["step", "alpha"], at=where, limit=1
)

# %%
#| tags: [build-only]
arrived = family.sel(nearest="teacher neuron").max(["step", "share"]) > 0.9
assert arrived.sel(alpha=rich)
assert not arrived.sel(alpha=lazy)

# %% [markdown]
# ## Exercises
#
# :::{exercise} First a common direction
# :label: ex-common
#
# Short neurons first turn to the *sum* of the teacher's. Use
#
# $$
# \nabla_w K(w, v) = \tfrac{\lvert v \rvert}{2\pi} \big( \hat w \sin \theta + (\pi - \theta)\, \hat v \big)
# $$
#
# to find the direction of $-M_i^\perp$ at the start, when $f = 0$, in high dimension. Which part of it tells the teacher's neurons apart, and how large is it?
# :::
#
# :::{solution-start} ex-common
# :label: sol-common
# :class: dropdown
# :::
#
# At $f = 0$, $-M_i = \frac{2}{m^*} \sum_j \nabla_w K(w_i, w_j^*)$ (the sum is over the neurons of the source). What is orthogonal to $w_i$ is the part of $\sum_j (\pi - \theta_{ij})\, w_j^*$. A random neuron is nearly orthogonal to all of them, $\pi - \theta_{ij} \approx \frac{\pi}{2} + \cos\theta_{ij}$
# with $\cos \theta_{ij}$ of order $1/\sqrt d$: every teacher neuron pulls with nearly the same force, on every neuron alike, so all go to the sum. The nearest one pulls harder by a factor of only $1 + \frac{2}{\pi} \cos\theta_{ij}$.
# With small and equal output weights the gradient of the exact loss is $M_i$ but for a factor:

# %%
unit = np.asarray(start.W / jnp.linalg.norm(start.W, axis=1, keepdims=True))


def across(v):
    """Directions of the parts of vectors that are orthogonal to the neurons."""
    v = v - np.sum(v * unit, axis=1, keepdims=True) * unit
    return v / np.linalg.norm(v, axis=1, keepdims=True)


small = ReluNetwork(start.W, jnp.full(m, 1e-3))
push = -np.asarray(jax.grad(relu.distance2)(small, tasks.source).W)
teacher = np.asarray(source)
nearest = teacher[np.argmax(unit @ teacher.T, axis=1)]
for name, v in {"sum": teacher.sum(0), "nearest": nearest}.items():
    agree = np.median(np.sum(across(push) * across(v), axis=1))
    print(f"{name:7} of the teacher's neurons: cosine {agree:.3f} with the push")
    assert (agree > 0.97) == (name == "sum")

# %% [markdown]
# :::{solution-end}
# :::
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
weight = np.asarray(student.c * lengths / m * teacher_neurons)
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
assert (weight[(cosine < -0.9).any(axis=1)] > 0).all()

# %%
#| tags: [build-only]
together = 100 * np.add(with_it, against)
note(together_low=together.min(), together_high=together.max())

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Predict: a louder teacher
# :label: ex-louder-teacher
#
# Multiply all output weights of the teacher by $h > 1$ and train a student of the same initial length $\alpha$. Guess: does it become richer or lazier? Then find a change of variables that answers exactly, for gradient flow from $c_i = 0$.
# :::
#
# :::{solution} ex-louder-teacher
# :label: sol-louder-teacher
# :class: dropdown
#
# Richer. Write $w_i = \sqrt h\, w_i'$ and $c_i = \sqrt h\, c_i'$, so that $f = h f'$ and $M_i = h M_i'$: the network enters $M_i$ only by $f$ and by the signs of $w_i \cdot x$. Then {eq}`neuron-forces` becomes
#
# $$
# \dot w_i' = - h\, c_i' M_i', \qquad \dot c_i' = - h\, w_i' \cdot M_i' ,
# $$
#
# training on the old teacher, $h$ times as fast, from the length $\alpha / \sqrt h$. So $\alpha$ alone says nothing: what decides is $\alpha^2$ next to the size of the function to be learned. A teacher four times as loud is as good as half the initial length.
# :::
#
# :::{exercise} With pencil: when are two neurons alike?
# :label: ex-alike-neurons
#
# Student and teacher have one neuron each, at an angle $\theta$. Find $A$ by {eq}`alignment`, its values at 90° and 180°, and compare 90° with the share out of reach of {numref}`fig-one-neuron`. Why does centring matter?
# :::
#
# :::{solution} ex-alike-neurons
# :label: sol-alike-neurons
# :class: dropdown
#
# The numerator has one term and $K_1(1) = \frac12$, so
#
# $$
# \begin{aligned}
# A &= \left( \frac{K_1(\cos\theta) - \frac{1}{2\pi}}{\frac12 - \frac{1}{2\pi}} \right)^2 \\
# &= \left( \frac{2\pi K_1(\cos\theta) - 1}{\pi - 1} \right)^2 .
# \end{aligned}
# $$
#
# At 90° $K_1(0) = 1/(2\pi)$ and $A = 0$: the inputs $w \cdot x$ and $v \cdot x$ are independent. Still a share of only $1 - 1/\pi^2$ is out of reach, not all of it, as both neurons have a positive mean, which $A$ leaves aside. At 180° $K_1(-1) = 0$ and $A = 1/(\pi - 1)^2$: where one neuron is large the other is zero, which is a correlation, too. Without centring every two networks would look alike because their neurons are all positive on average.
#
# ```python
# w, v = np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0]])
# print(relu.feature_alignment(w, v), 1 / (np.pi - 1) ** 2)
# ```
# :::
#
# :::{exercise} Hard: one neuron under a fixed force
# :label: ex-fixed-force
#
# Early in training $f \approx 0$. Take the force $-M_i = F u$ as fixed, with a unit vector $u$ and $F > 0$ (in truth it changes as the neuron turns). Solve {eq}`neuron-forces` from $c = 0$ and $\lvert w \rvert = \alpha$, at an angle $\psi_0 < 90°$ to $u$. When has the neuron turned to within $\psi$ of $u$, and how large is $c \lvert w \rvert$ then? Why is a short neuron rich all the same, though the first answer does not contain $\alpha$?
# :::
#
# :::{solution} ex-fixed-force
# :label: sol-fixed-force
# :class: dropdown
#
# With $\dot w = c F u$ the part of $w$ across $u$ stays, $\alpha \sin \psi_0$. For the part along $u$, $w_u$, we have $\dot w_u = F c$ and $\dot c = F w_u$, so that
#
# $$
# \begin{aligned}
# w_u &= \alpha \cos\psi_0 \cosh(F t) , \\
# c &= \alpha \cos\psi_0 \sinh(F t) , \\
# \tan \psi &= \frac{\tan\psi_0}{\cosh(F t)} .
# \end{aligned}
# $$
#
# {eq}`neuron-balance` holds: $\lvert w \rvert^2 - c^2 = \alpha^2 \sin^2\psi_0 + \alpha^2 \cos^2\psi_0$. The neuron is within $\psi$ of $u$ when $\cosh(Ft) = \tan\psi_0 / \tan\psi$, whatever $\alpha$. But then
#
# $$
# c \lvert w \rvert = \frac{\alpha^2 \cos^2\psi_0 \sinh(Ft) \cosh(Ft)}{\cos\psi} ,
# $$
#
# which is proportional to $\alpha^2$. The force is there until the function is learned, $c \lvert w \rvert$ of order one. A short neuron gets there when $\exp(2Ft)$ is of order $1/\alpha^2$, and has turned to $\tan\psi$ of order $\alpha$ by then. A long one gets there at $Ft$ of order $1/\alpha^2$, when $\cosh(Ft) - 1$ is of order $1/\alpha^4$: it has not turned.
#
# ```python
# F, alpha, w, c = 1.0, 0.1, np.array([0.06, 0.08]), 0.0
# for _ in range(30_000):
#     w, c = w + 1e-4 * F * c * np.array([1, 0]), c + 1e-4 * F * w[0]
# print(w[1] / w[0], (0.08 / 0.06) / np.cosh(3))
# ```
# :::
#
# ## What to remember
#
# 1. Short neurons turn to their teacher's, long ones stay: $\lvert w \rvert^2 - c^2 = \alpha^2$ is conserved, and a neuron turns with $c / \lvert w \rvert$ of the force on it.
# 2. Turned neurons come last. A source task can be learned to within a per cent, and the kernels aligned to a good part, before more than a few neurons have turned.
# 3. Report two numbers: the initial length, and when training stopped. They decide what features a pretrained network has.
