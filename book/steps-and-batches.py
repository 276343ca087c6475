# %% [markdown]
# # Steps, batches and time
#
# The theorems of this book speak about gradient flow, run for ever. Real training takes steps of finite size, on a few samples at a time, and stops some day. Which conclusions
# survive? In this chapter you will
#
# - see that below interpolation all steps and batches together can change *one number*, and predict by how much,
# - predict the noise floor of stochastic gradient descent above interpolation, and watch it sink,
# - find out what stopping early does: it tames the spike, and brings the 60 degrees of {doc}`fine-tuning` back for any number of samples.

# %%
#| tags: [hide-input]
import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import plot, theory

plt.style.use("fatelib.style")

# %% [markdown]
# A pretrained two-layer network is a pair: its first layer is $u v^\top$, its last one $c v$, and it computes $\beta = c u$. A gradient step on any batch keeps that form, so
# mini-batch training of all its weights is a short loop:


# %%
def descend(X, y, u, c, rate, rows, every):
    """Train (u, c); `rows` (steps, batch) are the samples that each step sees."""

    def step(state, seen):
        u, c = state
        x = X[seen]
        G = 2 / len(seen) * (c * (x @ u) - y[seen]) @ x
        return (u - rate * c * G, c - rate * u @ G), None

    def record(state, rows):
        return jax.lax.scan(step, state, rows)[0], state

    rows = rows.reshape(-1, every, rows.shape[1])
    return jax.lax.scan(record, (u, c), rows)


run = jax.jit(descend, static_argnames="every")


def batches(key, n, steps, size):
    """Draw each batch at random, with replacement; size None is the full batch."""
    if size is None:
        return jnp.broadcast_to(jnp.arange(n), (steps, n))
    return jax.random.randint(key, (steps, size), 0, n)


# %%
#| name: fig-same-fate
#| caption: >-
#|   Risk of one pretrained network while it is fine-tuned on one data set, with three kinds of batches. Left: $n = 0.4\, d$, right:
#|   $n = 2 d$. $d = 100$, $\theta = 45°$, $\sigma = 0.5$, learning rate 0.01.
#| alt: Left, three curves that fall and rise a little and end at almost the same risk. Right, a smooth curve comes to rest at
#|   one value, and two noisy ones above it, the higher the smaller the batch.
d = 100
choices = [(0.01, None), (0.01, 10), (0.01, 4)]
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
for ax, n in zip(axes, (40, 200), strict=True):
    tasks = fatelib.LinearTasks.at_angle(jax.random.key(0), d, jnp.pi / 4, 0.5)
    X, y = tasks.sample(jax.random.key(1), n)
    for rate, size in choices:
        rows = batches(jax.random.key(2), n, round(20 / rate), size)
        every = round(0.1 / rate)
        _, (u, c) = run(X, y, tasks.beta_source, 1.0, rate, rows, every)
        time = rate * every * np.arange(len(c))
        risk = jnp.sum((c[:, None] * u - tasks.beta_target) ** 2, axis=1)
        label = f"batches of {size}" if size else "all samples"
        ax.plot(time[1:], risk[1:], label=label, linewidth=1)
    ax.set(
        xscale="log",
        xlabel=r"time $\eta \times$ steps",
        title=f"$n$ = {n / d:g} $d$",
    )
axes[0].set_ylabel("risk")
axes[1].legend()

# %% [markdown]
# ## Below interpolation: one number
#
# With $n < d$ the loss can reach zero, where every batch agrees that nothing is left to do: the noise of mini-batches dies out. But did it lead somewhere else? For
# gradient flow {prf:ref}`thm-fine-tuning` has the end, $X^+ y + \kappa (I - P) \beta_s$. Hardly anything in its proof needs a flow.
#
# :::{prf:theorem} Steps and batches change one number
# :label: thm-one-number
#
# Fine-tune a balanced two-layer network that computes a unit vector $\beta_s$ by gradient steps of any sizes $\eta$ on any batches. If the training loss goes to zero, the network ends at
#
# $$
# \begin{gathered}
# \beta = X^+ y + \kappa\, (I - P)\, \beta_s , \\
# \kappa^2 (\kappa^2 + D) = \lVert X^+ y \rVert^2 + \kappa^2 \lVert (I - P) \beta_s \rVert^2 .
# \end{gathered}
# $$ (one-number)
#
# All that the steps leave behind is the imbalance of the layers,
#
# $$
# D = \lVert u \rVert^2 - c^2 = \sum_{\text{steps}} \eta^2 \left( c^2 \lVert G \rVert^2 - (u \cdot G)^2 \right) ,
# $$ (imbalance)
#
# with the gradient $G$ of each batch in $\beta$. As long as $\eta \lVert G \rVert \le 1$, $D \ge 0$: **steps and noise can only lower $\kappa$**.
# :::
#
# :::{prf:proof}
# A step is $u' = u - \eta c\, G$, $c' = c - \eta\, u \cdot G$. Whatever the batch, $G$ is a combination of rows of $X$, so $(I - P) u$ stays $(I - P) \beta_s$, and at the end
# $(I - P) \beta = c\, (I - P) \beta_s$: $\kappa = c$. Loss zero means $P \beta = X^+ y$. Now write $\lVert \beta \rVert^2 = c^2 \lVert u \rVert^2 = c^2 (c^2 + D)$ both ways. The cross terms of
# $\lVert u' \rVert^2 - c'^2$ cancel, which leaves {eq}`imbalance`; and by Cauchy-Schwarz a step takes $D$ to at least $(1 - \eta^2 \lVert G \rVert^2) D$.
# :::
#
# The sum {eq}`imbalance` has $t / \eta$ terms of order $\eta^2$: the imbalance, and with it the shift of $\kappa$, is of first order in the learning rate. For batches of size $B$ drawn with
# replacement, the mean of $\lVert G \rVert^2$ has a part that all samples share and one of single samples, with residuals $r_i$:
#
# $$
# \begin{gathered}
# D \approx \eta \left( \left( 1 - \tfrac1B \right) I + \tfrac1B J \right) , \\
# \kappa \approx \kappa_{\text{flow}} - \frac{\kappa_{\text{flow}}\, D}{4 \kappa_{\text{flow}}^2 - 2 \lVert (I - P) \beta_s \rVert^2} , \\
# I = \int \! \left( c^2 \lVert G \rVert^2 - (u \cdot G)^2 \right) dt , \\
# J = \int \! \tfrac1n \sum_i 4 r_i^2 \left( c^2 \lVert x_i \rVert^2 - (u \cdot x_i)^2 \right) dt ,
# \end{gathered}
# $$ (first-order)
#
# along the flow. Since $\lVert x_i \rVert^2 \approx d$, $J$ is the larger one by far: what counts for small batches is $\eta d / B$. First of all a network that is *not* of rank one: all weights, pretrained from
# random ones, and automatic differentiation. Does it follow our loop, on the same batches?

# %%
n, rate = 40, 0.01
tasks = fatelib.LinearTasks.at_angle(jax.random.key(0), d, jnp.pi / 4, sigma=1.0)
X, y = tasks.sample(jax.random.key(1), n)
rows = batches(jax.random.key(2), n, 1500, 10)
network, _ = fatelib.pretrain(
    fatelib.DeepLinear.init(jax.random.key(3), d),
    tasks.beta_source,
    tolerance=1e-12,
)


@jax.jit
def train_all(weights):
    """SGD on all weights; jax.grad knows nothing of ranks."""

    def loss(weights, seen):
        W, w = weights
        return jnp.mean((X[seen] @ W @ w[:, 0] - y[seen]) ** 2)

    def step(weights, seen):
        slopes = jax.grad(loss)(weights, seen)
        return jax.tree.map(lambda w, g: w - rate * g, weights, slopes), None

    return jax.lax.scan(step, weights, rows)[0]


W, w = train_all(network.weights)
(u, c), _ = run(X, y, tasks.beta_source, 1.0, rate, rows, every=len(rows))
apart = float(jnp.linalg.norm(W @ w[:, 0] - c * u))
print(
    f"full network and loop end {apart:.0e} apart, {jnp.linalg.norm(c * u):.3f} from zero"
)
assert apart < 0.01

# %% [markdown]
# It does, to rounding. So the loop it is: 20 data sets with $n = 0.4\,d$, $\sigma = 1$, batches of five and of all samples, two learning rates each, until time 25.

# %%
#| tags: [remove-output]
sizes = {5: 0.005, None: 0.01}  # batch size: largest learning rate
keys = jax.random.split(jax.random.key(4), 20)


def data_set(key, n):
    """Source, data, X^+ y, the squared size of the unseen part, kappa of the flow."""
    tasks = fatelib.LinearTasks.at_angle(key, d, jnp.pi / 4, sigma=1.0)
    X, y = tasks.sample(jax.random.fold_in(key, 1), n)
    inverse = jnp.linalg.pinv(X)
    b, source = inverse @ y, tasks.beta_source
    unseen = jnp.sum((source - inverse @ (X @ source)) ** 2)
    flow = theory.fine_tuning_scale_from_norms(b @ b, 1.0, 1 - unseen)
    return source, X, y, b, unseen, flow


def trained(key, data, rate, size):
    """Shift of the scale, relative error of the theorem, final loss."""
    source, X, y, b, unseen, flow = data
    rows = batches(jax.random.fold_in(key, 2), n, round(25 / rate), size)
    (u, c), _ = descend(X, y, source, 1.0, rate, rows, len(rows))
    D = u @ u - c**2
    off = c**2 * (c**2 + D) / (b @ b + c**2 * unseen) - 1
    return c - flow, off, jnp.mean((c * (X @ u) - y) ** 2)


def shift_per_rate(data, rate):
    """First-order theory: shift / rate for every batch size."""
    source, X, y, _, unseen, flow = data

    def step(state, _):
        u, c, shared, single = state
        r = 2 * (c * (X @ u) - y)
        G = r @ X / n
        shared += rate * (c**2 * G @ G - (u @ G) ** 2)
        lengths = c**2 * jnp.sum(X**2, axis=1) - (X @ u) ** 2
        single += rate * jnp.mean(r**2 * lengths)
        return (u - rate * c * G, c - rate * u @ G, shared, single), None

    start = (source, 1.0, 0.0, 0.0)
    (*_, I, J), _ = jax.lax.scan(step, start, None, length=round(25 / rate))
    B = jnp.array([size or jnp.inf for size in sizes])
    return -flow * ((1 - 1 / B) * I + J / B) / (4 * flow**2 - 2 * unseen)


data = jax.jit(jax.vmap(data_set, (0, None)), static_argnums=1)(keys, n)
run_all = jax.jit(jax.vmap(trained, (0, 0, None, None)), static_argnums=(2, 3))
shifts = {}
for size, largest in sizes.items():
    for rate in (largest, largest / 2):
        shifts[size, rate], off, loss = run_all(keys, data, rate, size)
        assert float(loss.max()) < 1e-9
        # The theorem, exact for these very steps:
        assert float(abs(off).max()) < 1e-4
along = jax.jit(jax.vmap(shift_per_rate, (0, None)), static_argnums=1)
predicted = 2 * along(data, 0.005) - along(data, 0.01)

# %%
#| name: fig-kappa-shift
#| tags: [hide-input]
#| caption: >-
#|   How far below $\kappa_{\text{flow}}$ fine-tuning ends, against the learning rate: SGD and full-batch descent (points: mean of 20 data sets, bars: one standard error)
#|   and the first-order theory {eq}`first-order` (lines). $d = 100$, $n = 40$, $\sigma = 1$, $L = 2$.
#| alt: Two parallel lines of slope one on logarithmic axes, that of small batches the higher one, with two points on or slightly above each.
fig, ax = plt.subplots()
for i, (size, largest) in enumerate(sizes.items()):
    for rate in (largest, largest / 2):
        values = -shifts[size, rate]
        error = values.std(ddof=1) / np.sqrt(len(keys))
        ax.errorbar(rate, values.mean(), error, fmt="o", color=f"C{i}")
    rates = largest * np.array([0.25, 2])
    label = f"batch {size}" if size else "all samples"
    ax.plot(rates, -rates * predicted[:, i].mean(), color=f"C{i}", label=label)
ax.set(xscale="log", yscale="log", xlabel=r"learning rate $\eta$")
ax.set_ylabel(r"$\kappa_{\mathrm{flow}} - \kappa$")
ax.legend()

# %% [markdown]
# The points must approach the lines as $\eta \to 0$. Two rates allow to go there: twice the slope at $\eta/2$ minus the slope at $\eta$ is free of the second order. Data set by data set, extrapolated
# slope minus theory is zero for SGD within its scatter. Full-batch descent has no scatter; there two errors are left, of about half a per cent each: the second
# order of the extrapolation, and the steps that float32 rounds away near the end, which keep $\kappa$ off by $10^{-5}$ while it is compared over a difference in $\eta$ of 0.005. Tolerance: twice their sum.

# %%
slopes = {
    size: [np.asarray(shifts[size, rate]) / rate for rate in (largest, largest / 2)]
    for size, largest in sizes.items()
}
left = {size: 2 * half - full for size, (full, half) in slopes.items()}
gap = xr.DataArray(
    [left[5] - predicted[:, 0]],
    coords={"batch": [5]},
    dims=("batch", "instance"),
)
display(fatelib.agreement_table({"slope of SGD, minus theory": (gap, 0.0)}))
ratio = xr.DataArray(left[None].mean() / predicted[:, 1].mean())
fatelib.agreement_table(
    {"slope of full-batch descent / theory": (ratio, 1.0)},
    over=None,
    tolerance=0.02,
)

# %%
#| tags: [build-only]
from myst_nb import glue

order = np.log2(shifts[None, 0.01].mean() / shifts[None, 0.005].mean())
glue("order", f"{float(order):.2f}", display=False)
glue("kappa-flow", f"{float(data[5].mean()):.2f}", display=False)
glue("kappa-shift", f"{float(-shifts[5, 0.005].mean()):.3f}", display=False)
glue(
    "single",
    f"{float(predicted[:, 0].mean() / predicted[:, 1].mean()):.0f}",
    display=False,
)

# %% [markdown]
# The observed order of full-batch descent is {glue:text}`order`. A batch of five multiplies the shift by {glue:text}`single`, at equal rate. Yet even the largest of these shifts takes only
# {glue:text}`kappa-shift` from a $\kappa$ of {glue:text}`kappa-flow`. And by {eq}`fine-tuning-transferability` it is in favour of fine-tuning: $\kappa_{\text{flow}} \ge 1$ is longer than the best guess $\cos\theta$, and noise brings it down.
# Linear transfer has no such number to change: it is least squares in one unknown, with no unseen direction to remember.
#
# ## Above interpolation: a floor that sinks
#
# With $n > d$ and label noise the samples never agree, and SGD never comes to rest. How far from the least-squares solution does it stay?
#
# :::{prf:theorem} The noise floor
# :label: thm-noise-floor
#
# Let $\mathcal L_{\min}$ be the smallest training loss. For small $\eta d / B$ and large $d$, SGD with batches of $B$ fluctuates about the least-squares solution $b$ by
#
# $$
# \mathbb E \lVert \beta - b \rVert^2 = \frac \eta B \, \mathcal L_{\min} \left( c^2 d + \lVert u \rVert^2 \right) ,
# $$ (floor)
#
# which is $\frac{\eta}{B} \mathcal L_{\min} \lVert b \rVert (d + 1)$ while the layers are balanced. But the noise unbalances them: with $\lVert u \rVert^2 = \lVert b \rVert e^z$, $c^2 = \lVert b \rVert e^{-z}$,
#
# $$
# \frac{dz}{d\tau} = \frac{2 \left( d e^{-z} - e^z \right)}{\cosh z} , \qquad \tau = \frac \eta B\, \mathcal L_{\min} t ,
# $$ (sinking)
#
# so that the floor sinks until $\lVert u \rVert^2 = d\, c^2$, where it is $\frac{\eta}{B} \mathcal L_{\min} \lVert b \rVert\, 2 \sqrt d$.
# :::
#
# :::{prf:proof} Idea
# Near $b$ a step moves $\beta$ by $- \eta A G$ with $A = c^2 I + u u^\top$. The mean of $G$ is $H (\beta - b)$ with $H = \frac2n X^\top X$; its covariance is $\frac{1}{Bn} \sum_i 4 r_i^2 x_i x_i^\top \approx \frac2B \mathcal L_{\min} H$, because
# residuals hardly depend on the inputs. The covariance $\Sigma$ of $\beta$ comes to rest when what a step takes away balances what it adds {cite:p}`mandt2017`, a Lyapunov equation:
# $A H \Sigma + \Sigma H A = \frac{2 \eta}{B} \mathcal L_{\min} A H A$. Its solution is $\Sigma = \frac \eta B \mathcal L_{\min} A$, and {eq}`floor` is its trace. The same noise in {eq}`imbalance`, with $H \approx 2 I$ on average, gives
# $\dot D = \frac{4 \eta}{B} \mathcal L_{\min} (c^2 d - \lVert u \rVert^2)$, and $D = 2 \lVert b \rVert \sinh z$.
# :::
#
# At fixed time all of this is of first order in $\eta / B$. But the time of {eq}`sinking` is of order $B / (\eta d)$: wait that long and the layers change for good, towards the *flattest* network that computes $b$. That noise drives
# symmetric parameters towards such a balance of its own was found by {cite:t}`ziyin2023`. We start at $b$, balanced, with $d = 50$, $n = 100$ and $\sigma = 1$:

# %%
#| tags: [remove-output]
d, n, B, records = 50, 100, 20, 100
rates = [0.02, 0.01]


def fluctuation(key, data, rate):
    """Squared distance from b, times B / rate, until time / B * rate is 0.1."""
    _, X, y, b, *_ = data
    every = round(0.1 * B / rate**2) // records
    rows = batches(jax.random.fold_in(key, 3), n, records * every, B)
    c = jnp.sqrt(jnp.linalg.norm(b))
    _, (u, c) = descend(X, y, b / c, c, rate, rows, every)
    return B / rate * jnp.sum((c[:, None] * u - b) ** 2, axis=1)


def sinking_floor(data):
    """The theorem for the same, to first order, with the noise of this data set."""
    _, X, y, b, *_ = data
    norm, r2 = jnp.linalg.norm(b), (X @ b - y) ** 2
    spread = jnp.mean(r2 * jnp.sum(X**2, axis=1)) / d  # L_min for large d ...
    leverage = jnp.sum(X * jnp.linalg.pinv(X).T, axis=1)
    height = leverage @ r2 / d  # ... and so is this

    def step(z, _):
        change = 2 * (d * jnp.exp(-z) - jnp.exp(z)) / jnp.cosh(z)
        return z + 1e-4 * spread * change, d * jnp.exp(-z) + jnp.exp(z)

    return height * norm * jax.lax.scan(step, 0.0, None, length=1000)[1][::10]


data = jax.jit(jax.vmap(data_set, (0, None)), static_argnums=1)(keys, n)
fluctuate = jax.jit(jax.vmap(fluctuation, (0, 0, None)), static_argnums=2)
floors = {rate: np.asarray(fluctuate(keys, data, rate)) for rate in rates}
sinking = np.asarray(jax.vmap(sinking_floor)(data))

# %%
#| name: fig-noise-floor
#| tags: [hide-input]
#| caption: >-
#|   Squared distance of SGD from the least-squares solution, divided by $\eta / B$, for two learning rates (means of 20 data sets), against time and, right, against time times
#|   $\eta / B$. Black: {eq}`floor` and {eq}`sinking`, the mean over the same data sets; dotted: where the floor ends up. $d = 50$, $n = 100$, $\sigma = 1$, batches of 20, starting at the minimum with balanced layers.
#| alt: Left, two noisy curves that jump up and then fall, the larger the learning rate the faster. Right, the two lie almost on one falling black curve, the smaller the learning rate the closer.
slow = 0.1 * np.arange(records) / records
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
for i, (rate, distance) in enumerate(floors.items()):
    for ax, axis in zip(axes, (slow * B / rate, slow), strict=True):
        ax.plot(axis, distance.mean(0), f"C{i}", lw=0.8, label=rf"$\eta$ = {rate}")
axes[1].plot(slow, sinking.mean(0), "k")
axes[1].axhline(
    sinking[:, 0].mean() * 2 * d**0.5 / (d + 1), color="black", linestyle=":"
)
axes[0].set(xlabel="time", ylabel=r"(distance)$^2 \cdot B / \eta$")
axes[1].set(xlabel=r"time $\cdot\, \eta / B$")
axes[0].legend()

# %% [markdown]
# The black line has no free parameter; for $\mathcal L_{\min}$ it takes the residuals of each data set, weighted by $\lVert x_i \rVert^2$ where they drive $z$ and by their leverage where they raise the floor, which is the same for large $d$. The two rates, extrapolated as before, against it, in four windows of slow time after the first tenth, during which SGD spreads:

# %%
gap = (2 * floors[0.01] - floors[0.02] - sinking)[:, 10:90]
gap = xr.DataArray(
    gap.reshape(20, 4, 20).mean(2),
    dims=("instance", "slow_time"),
    coords={"slow_time": slow[[20, 40, 60, 80]]},
)
fatelib.agreement_table({"distance minus theory": (gap, 0.0)})

# %%
#| tags: [build-only]
sunk = floors[0.01][:, 90:].mean() / sinking[:, 0].mean()
glue("sunk", f"{100 * sunk:.0f}", display=False)
glue("sunk-end", f"{100 * 2 * d**0.5 / (d + 1):.0f}", display=False)

# %% [markdown]
# The floor of the smallest rate sinks to {glue:text}`sunk` per cent of its balanced value within this time, and {glue:text}`sunk-end` per cent is where it will end. For transfer the floor is a draw: scratch training and fine-tuning arrive at the same $b$ and stay
# equally far from it.
#
# ## Time does
#
# Steps and batches are corrections. Stopping is not. What is the risk after time $t$? For large $d$ the answer needs no data: in the basis of the eigenvectors of $\frac1n X^\top X$, with eigenvalues $\lambda$, the network is
# $u = p(\lambda)\, \beta_s + q(\lambda)\, \beta_t + r(\lambda)\, e$ with the label noise $e$, and every mean is an integral over the Marchenko-Pastur law of the eigenvalues. A step acts on $p, q, r$ and $c$, exactly, with the size it has:


# %%
def risk_path(gamma, sigma, theta, rate, steps, every, scratch=False, nodes=64):
    """Risk of descent in time, for d to infinity: fine-tuning, or scratch training."""
    angle = jnp.pi * jnp.arange(1, nodes + 1) / (nodes + 1)
    x = 1 + 1 / gamma + 2 / jnp.sqrt(gamma) * jnp.cos(angle)
    weight = 2 / (nodes + 1) * jnp.sin(angle) ** 2 / x  # Marchenko-Pastur
    x, weight = jnp.append(x, 0.0), jnp.append(weight, 1 - jnp.sum(weight))

    def inner(a, b):
        mixed = jnp.cos(theta) * (a[0] * b[1] + a[1] * b[0])
        return weight @ (a[0] * b[0] + a[1] * b[1] + mixed + a[2] * b[2] / gamma)

    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    target = jnp.stack([zero, one, zero])
    pull = jnp.stack([zero, x, sigma * jnp.sqrt(x)])  # X^T y / n
    faint = 1e-5 * pull / jnp.sqrt(inner(pull, pull))
    start = (faint, 1e-5) if scratch else (jnp.stack([one, zero, zero]), 1.0)

    def step(state, _):
        u, c = state
        G = 2 * (x * c * u - pull)
        return (u - rate * c * G, c - rate * inner(u, G)), None

    def record(state, _):
        error = state[1] * state[0] - target
        return jax.lax.scan(step, state, None, length=every)[0], inner(error, error)

    return jax.lax.scan(record, start, None, length=steps // every)[1]


# %% [markdown]
# Twenty networks with $d = 300$, $\sigma = 0.5$, from three angles and from scratch (`engine="spectral"`, initial scale $10^{-5}$), with the same steps:

# %%
#| tags: [remove-output]
sigma, common = 0.5, {"rate": 0.025, "steps": 800, "every": 4}
angles = jnp.pi * jnp.array([1, 2, 3]) / 6
ratios = [0.5, 1.0, 1.5]


@jax.jit
def theory_paths(gamma):
    """Theory for the three angles and, last, for scratch training."""
    tuned = jax.vmap(lambda angle: risk_path(gamma, sigma, angle, **common))(angles)
    anew = risk_path(gamma, sigma, 0.0, scratch=True, **common)
    return jnp.append(tuned, anew[None], axis=0)


@functools.partial(jax.jit, static_argnums=0)
def network_paths(n, key):
    """The same for networks trained by the library, all four on one data set."""
    pair = fatelib.LinearTasks.at_angle(key, 300, jnp.pi / 2, sigma)
    target, across = pair.beta_target, pair.beta_source
    X, y = pair.sample(jax.random.fold_in(key, 1), n)
    sources = jnp.outer(jnp.cos(angles), target) + jnp.outer(
        jnp.sin(angles), across
    )
    faint = 1e-10 * (y @ X) / jnp.linalg.norm(y @ X)  # both layers have norm 1e-5

    def path(start):
        _, history = fatelib.train(
            fatelib.DeepLinear.balanced(start),
            X,
            y,
            engine="spectral",
            learning_rate=common["rate"],
            steps=common["steps"],
            tolerance=0.0,
            record_every=common["every"],
            observe=lambda network: pair.risk(network.end_to_end()),
        )
        return history.observed[:-1]

    return jax.vmap(path)(jnp.append(sources, faint[None], axis=0))


time = common["rate"] * common["every"] * np.arange(200)
instance_keys = jax.random.split(jax.random.key(5), 20)
risks = {
    gamma: (
        np.swapaxes(
            [network_paths(int(300 * gamma), key) for key in instance_keys], 0, 1
        ),
        np.asarray(theory_paths(gamma)),
    )
    for gamma in ratios
}

# %%
#| name: fig-stopping
#| tags: [hide-input]
#| caption: >-
#|   Risk in time: fine-tuning from three angles and scratch training. Thin: mean of 20 networks, bands: one standard error; dashed: theory for large $d$; circles: its
#|   minima. Dotted: the best ridge regression. $d = 300$, $\sigma = 0.5$, $L = 2$, learning rate 0.025.
#| alt: Three panels for gamma 0.5, 1 and 1.5. Fine-tuning curves fall to a minimum early and rise, scratch curves stay at one for a while, fall and rise. The minimum from
#|   sixty degrees is as deep as that of scratch training, which touches the dotted line of ridge regression.
names = [rf"$\theta$ = {plot.format_angle(float(angle))}" for angle in angles] + [
    "scratch"
]
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.4), sharey=True)
for ax, (gamma, (networks, lines)) in zip(axes, risks.items(), strict=True):
    for i, name in enumerate(names):
        mean = networks[i].mean(0)
        error = networks[i].std(0, ddof=1) / np.sqrt(20)
        ax.plot(time[1:], mean[1:], color=f"C{i}", linewidth=1, label=name)
        ax.fill_between(time, mean - error, mean + error, color=f"C{i}", alpha=0.3)
        ax.plot(time[1:], lines[i, 1:], "--", color=f"C{i}", linewidth=1)
        best = lines[i].argmin()
        ax.plot(time[best], lines[i, best], "o", color=f"C{i}", fillstyle="none")
    ridge = theory.optimal_scratch_risk(gamma, sigma)
    ax.axhline(ridge, color="black", linestyle=":", linewidth=0.9)
    ax.set(xscale="log", xlabel="time", title=rf"$\gamma$ = {gamma}", ylim=(0, 2))
axes[0].set_ylabel("risk")
axes[0].legend(fontsize="small")

# %%
compared = xr.DataArray(
    [risks[gamma][0][..., 10::10] for gamma in ratios],
    dims=("gamma", "network", "instance", "time"),
    coords={
        "gamma": ratios,
        "network": ["30°", "60°", "90°", "scratch"],
        "time": time[10::10],
    },
)
expected = np.stack([risks[gamma][1][:, 10::10] for gamma in ratios])
# Before it leaves its plateau, scratch training has risk 1 and no scatter.
left = compared.isel(instance=0, drop=True).copy(data=abs(expected - 1) > 1e-3)
fatelib.agreement_table({"risk in time": (compared, expected)}, where=left)

# %% [markdown]
# ## Stop both at their best
#
# Three things to see in {numref}`fig-stopping`. The spike at $\gamma = 1$ takes long to build: stopped in time, scratch training has nearly the risk of the best ridge regression, as linear regression does
# {cite:p}`ali2019,advani2020`. Fine-tuning is there much earlier, since it skips the plateau. And the minima of scratch training and of fine-tuning from 60° are equally deep, in all three panels. So compare contestants
# that *both* stop at their best, in theory at every angle, and for the networks at the times that theory names:

# %%
turned = np.radians(np.arange(0, 91, 3))
quick = {"rate": 0.01, "steps": 2000, "every": 5}
scratch_best = {g: risks[g][1][3].min() for g in ratios}
tuned = jax.jit(
    jax.vmap(
        lambda g: jax.vmap(lambda a: risk_path(g, sigma, a, **quick).min())(turned)
    )
)(jnp.array(ratios))
stopped = xr.DataArray(
    np.array(list(scratch_best.values()))[:, None] - np.asarray(tuned),
    coords={"gamma": ratios, "theta": turned},
)
measured_gain = xr.DataArray(
    [
        [
            networks[3, :, lines[3].argmin()] - networks[i, :, lines[i].argmin()]
            for i in range(3)
        ]
        for networks, lines in (risks[g] for g in ratios)
    ],
    dims=("gamma", "theta", "instance"),
    coords={"gamma": ratios, "theta": np.asarray(angles)},
)
expected = [
    [lines[3].min() - lines[i].min() for i in range(3)]
    for _, lines in (risks[g] for g in ratios)
]
fatelib.agreement_table(
    {"transferability, both stopped at their best": (measured_gain, expected)}
)

# %%
#| name: fig-sixty-again
#| tags: [hide-input]
#| caption: >-
#|   Transferability of fine-tuning when both contestants stop at their best: theory (lines), networks (points: mean of 20, bars: one standard error), and, dotted, what regularising both at best would give
#|   (L2-SP, {eq}`l2sp-distance`). Dashed: both trained to the end. Settings of {numref}`fig-stopping`.
#| alt: Three falling curves that cross zero together at sixty degrees; the dashed curves to the end are far from them, two of them zero throughout.
fig, ax = plt.subplots()
for i, gamma in enumerate(ratios):
    color = f"C{i}"
    curve, points = stopped.sel(gamma=gamma), measured_gain.sel(gamma=gamma)
    ax.plot(np.degrees(turned), curve, color=color, label=rf"$\gamma$ = {gamma}")
    error = points.std("instance", ddof=1) / np.sqrt(20)
    ax.errorbar(
        np.degrees(angles), points.mean("instance"), error, fmt="o", color=color
    )
    fair = theory.optimal_scratch_risk(gamma, sigma)
    fair = fair - theory.regularised_risk(gamma, sigma, 2 - 2 * np.cos(turned))
    ax.plot(np.degrees(turned), fair, ":", color=color)
    end = theory.fine_tuning_transferability(gamma, turned, sigma)
    ax.plot(np.degrees(turned), end, "--", color=color, linewidth=0.8)
ax.axhline(0, color="black", linewidth=0.6)
ax.axvline(60, color="black", linestyle=":", linewidth=0.8)
ax.set(xlabel=r"angle $\theta$ (degrees)", ylabel=r"transferability $\mathcal{T}$")
ax.legend()

# %%
#| tags: [build-only]
at60 = float(abs(stopped.sel(theta=np.pi / 3, method="nearest")).max())
assert at60 < 0.01
price = max(
    scratch_best[g] / float(theory.optimal_scratch_risk(g, sigma)) - 1
    for g in ratios
)
assert 0 < price < 0.22
waits = [risks[g][1][3].argmin() / risks[g][1][1].argmin() for g in ratios]
glue("at-sixty", f"{at60:.4f}", display=False)
glue("price", f"{100 * price:.0f}", display=False)
glue("waits", f"{min(waits):.0f} to {max(waits):.0f}", display=False)

# %% [markdown]
# At 60° the transferability is at most {glue:text}`at-sixty` in absolute value, for few samples and for many. Early stopping pulls towards where training started: towards zero from scratch, towards $\beta_s$ in fine-tuning. It is the L2-SP of
# {doc}`the-baseline-matters` without a penalty, and close to it. We know of no proof that the boundary is exactly 60°; for scratch training the price against the best ridge is up to {glue:text}`price` per cent here, and at most 22 per cent for linear regression
# {cite:p}`ali2019`. The best moment of fine-tuning from 60° comes {glue:text}`waits` times earlier than that of scratch training.
#
# What if only one of them stops? In {numref}`fig-explore-time` fine-tuning stops at the time of the slider. Its rival stops with it, stops at its own best, or goes on for ever. Against the last, a blue band at $\gamma = 1$ comes
# and goes: the one of {numref}`fig-time`.

# %%
#| name: fig-explore-time
#| caption: >-
#|   Transferability of fine-tuning stopped at a given time, for large $d$, $L = 2$, learning rate 0.02 and initial scale $10^{-5}$ of scratch training.
#| alt: >-
#|   Interactive map of transferability over angle and samples per dimension, with sliders for training time and noise and a menu for the rival.
from fatelib.widgets import explore

path = {"rate": 0.02, "steps": 2001, "every": 5, "nodes": 40}
records = np.array([1, 2, 4, 7, 12, 20, 35, 60, 110, 200, 399])
thetas = xr.DataArray(
    np.linspace(0, np.pi / 2, 19), dims="theta", attrs={"units": "rad"}
)
gammas, sigmas = np.linspace(0.2, 1.8, 25), np.array([0.2, 0.5, 1.0])


@jax.jit
def both_paths(gamma, sigma):
    """Risks in time of fine-tuning at every angle, and of scratch training."""
    tuned = jax.vmap(lambda a: risk_path(gamma, sigma, a, **path))(thetas.values)
    return tuned, risk_path(gamma, sigma, 0.0, scratch=True, **path)


over_gamma = jax.vmap(both_paths, (0, None))
fine_tuned, scratch = jax.vmap(over_gamma, (None, 0))(gammas, sigmas)
fine_tuned = np.asarray(fine_tuned)[..., records]
scratch = np.asarray(scratch)
rivals = {
    "stopped with it": scratch[..., records],
    "stopped at its best": scratch.min(-1, keepdims=True),
    "never stopped": theory.scratch_risk(gammas, sigmas[:, None])[..., None],
}
gain = np.stack([np.asarray(r)[:, :, None] - fine_tuned for r in rivals.values()])
grid = xr.DataArray(
    gain,
    dims=("scratch", "sigma", "gamma", "theta", "time"),
    coords={
        "scratch": list(rivals),
        "sigma": sigmas,
        "gamma": gammas,
        "theta": thetas,
        "time": np.round(0.1 * records, 1),
    },
    name="T_ft",
    attrs={"long_name": "transferability"},
)
start = {"scratch": "never stopped", "sigma": 0.5, "time": 1.2, "gamma": 0.93}
explore(
    grid,
    x="theta",
    y="gamma",
    sliders=["time", "sigma", "scratch"],
    at=start,
    limit=1,
)

# %% [markdown]
# ## Exercises
#
# :::{exercise} Linear scaling
# :label: ex-linear-scaling
#
# "When the batch grows by a factor, multiply the learning rate by it" is a rule of practice. Does it keep $\kappa$? Up to which batch size, in the setting of {numref}`fig-kappa-shift`?
# :::
#
# :::{solution-start} ex-linear-scaling
# :label: sol-linear-scaling
# :class: dropdown
# :::
#
# {eq}`first-order` is $D \approx \frac\eta B J + \eta (1 - \frac1B) I$. At constant $\eta / B$ the first term stays, and it rules as long as $B \ll J / I$. From the slopes for $B = 5$ and for all samples:

# %%
slope_5, slope_all = predicted[:, 0].mean(), predicted[:, 1].mean()
critical = 5 * (slope_5 / slope_all - 1) + 1  # J / I
print(f"J / I = {critical:.0f}")
for B in (1, 4, 16, 64, 256):
    shift = 1e-3 * slope_all * (B - 1 + critical)
    print(f"batch {B:3}, learning rate {1e-3 * B:.3f}: kappa shifts by {shift:.3f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} The flattest network
# :label: ex-flattest
#
# {eq}`sinking` comes to rest at $\lVert u \rVert^2 = d\, c^2$. By what factor is its floor lower than that of balanced layers at $d = 50$ and $d = 500$? Start a network there and see whether its floor still sinks.
# :::
#
# :::{solution-start} ex-flattest
# :label: sol-flattest
# :class: dropdown
# :::
#
# By $(d + 1) / (2 \sqrt d)$. Since $c\, u = b$, the start has $c^2 = \lVert b \rVert / \sqrt d$:

# %%
for width in (50, 500):
    print(f"d = {width}: lower by a factor of {(width + 1) / (2 * width**0.5):.1f}")
_, X, y, b, *_ = jax.tree.map(lambda values: values[0], data)
norm, least = jnp.linalg.norm(b), jnp.mean((X @ b - y) ** 2)
c = (norm / d**0.5) ** 0.5
rows = batches(jax.random.key(6), n, 4000, 10)
_, (u, c) = run(X, y, b / c, c, 0.01, rows, every=50)
floor = jnp.sum((c[:, None] * u - b) ** 2, axis=1)
print(f"theory {0.001 * least * norm * 2 * d**0.5:.4f}")
print(f"first half {floor[10:40].mean():.4f}, second half {floor[40:].mean():.4f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
#
# 1. Below interpolation, steps and batches move the end of fine-tuning through one number, the imbalance of its layers: first order in $\eta$ and in $\eta d / B$, and it only lowers $\kappa$.
# 2. Above, SGD floats at a height proportional to $\eta / B$, which sinks as its own noise unbalances the layers; the floor is the same for both contestants.
# 3. Time is another matter: stopped early, networks are pulled towards their start, the spike goes, and 60° decides for any number of samples. Stop only one, and you compare stopping, not transfer.
