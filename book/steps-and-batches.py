# %% [markdown]
# # Steps, batches and time
#
# The theorems of this book speak about gradient flow, run for ever. Real training takes steps of finite size, on a few samples at a time, and stops some day. Which conclusions
# survive? For transfer, steps and batches turn out to be small corrections; stopping is not. In this chapter you will
#
# - find out what stopping early does: it tames the spike, and brings the 60 degrees of {doc}`fine-tuning` back, in every case we tried,
# - see that with fewer samples than dimensions all steps and batches together can change *one number*, and by how little,
# - learn why the noise floor of stochastic gradient descent (SGD) with more samples than dimensions is no matter for transfer.

# %%
#| tags: [hide-input]
import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import theory

plt.style.use("fatelib.style")


# %%
#| tags: [hide-input]
def risk_path(gamma, sigma, theta, rate, steps, every, scratch=None, nodes=64):
    """Risk in time for large d: fine-tuning, or training from the scale `scratch`."""
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
    start = jnp.stack([one, zero, zero]), 1.0
    if scratch is not None:
        start = scratch * pull / jnp.sqrt(inner(pull, pull)), scratch

    def step(state, _):
        u, c = state
        G = 2 * (x * c * u - pull)
        return (u - rate * c * G, c - rate * inner(u, G)), None

    def record(state, _):
        error = state[1] * state[0] - target
        return jax.lax.scan(step, state, None, length=every)[0], inner(error, error)

    return jax.lax.scan(record, start, None, length=steps // every)[1]


# %%
#| tags: [hide-input, remove-output]
sigma, common = 0.5, {"rate": 0.025, "steps": 800, "every": 4}
angles, ratios = jnp.radians(jnp.array([30.0, 60.0, 90.0])), [0.5, 1.0, 1.5]


@jax.jit
def theory_paths(gamma):
    """Theory for the three angles and, last, for scratch training."""
    tuned = [risk_path(gamma, sigma, angle, **common) for angle in angles]
    return jnp.stack([*tuned, risk_path(gamma, sigma, 0.0, scratch=1e-5, **common)])


@functools.partial(jax.jit, static_argnums=0)
def network_paths(n, key):
    """The same for networks trained by the library, all four on one data set."""
    task_key, data_key = jax.random.split(key)
    pair = fatelib.LinearTasks.at_angle(task_key, 300, jnp.pi / 2, sigma)
    X, y = pair.sample(data_key, n)
    turn = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    sources = turn @ jnp.stack([pair.beta_target, pair.beta_source])
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
            observe=lambda network: pair.risk(network),
        )
        return history.observed[:-1]

    return jax.vmap(path)(jnp.append(sources, faint[None], axis=0))


instance_keys = jax.random.split(jax.random.key(5), 20)
networks = xr.DataArray(
    [[network_paths(int(300 * g), key) for key in instance_keys] for g in ratios],
    dims=("gamma", "instance", "start", "time"),
    coords={
        "gamma": ratios,
        "start": ["30°", "60°", "90°", "scratch"],
        "time": common["rate"] * common["every"] * np.arange(200),
    },
)
lines = networks.isel(instance=0).copy(data=[theory_paths(g) for g in ratios])

# %%
#| name: fig-stopping
#| tags: [hide-input]
#| caption: >-
#|   Risk in time: fine-tuning from three angles and scratch training. Thin: mean of 20 networks, bands: one standard error; dashed: theory for large $d$; circles: its
#|   minima. Dotted: the best ridge regression. $d = 300$, $\sigma = 0.5$, $L = 2$, learning rate 0.025.
#| alt: Three panels for gamma 0.5, 1 and 1.5. Fine-tuning curves fall to a minimum early and rise, scratch curves stay at one for a while, fall and rise. The minimum from
#|   sixty degrees is as deep as that of scratch training, which touches the dotted line of ridge regression.
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.4), sharey=True)
for ax, gamma in zip(axes, ratios, strict=True):
    for i, start in enumerate(networks.start.values):
        runs = networks.sel(gamma=gamma, start=start)[:, 1:]
        mean, error = runs.mean("instance"), runs.std("instance", ddof=1) / 20**0.5
        ax.plot(runs.time, mean, color=f"C{i}", linewidth=1, label=start)
        ax.fill_between(
            runs.time, mean - error, mean + error, color=f"C{i}", alpha=0.3
        )
        line = lines.sel(gamma=gamma, start=start)[1:]
        ax.plot(line.time, line, "--", color=f"C{i}", linewidth=1)
        ax.plot(line.idxmin(), line.min(), "o", color=f"C{i}", fillstyle="none")
    ridge = theory.optimal_scratch_risk(gamma, sigma)
    ax.axhline(ridge, color="black", linestyle=":", linewidth=0.9)
    ax.set(xscale="log", xlabel="time", title=rf"$\gamma$ = {gamma}", ylim=(0, 2))
axes[0].set_ylabel("risk")
axes[0].legend(fontsize="small")

# %%
#| tags: [check]
# Compared is every tenth time. Before it leaves its plateau, scratch training has risk
# 1 and no scatter: cells where the theory is within 0.001 of 1 are left out.
compared, expected = (
    risk.isel(time=slice(10, None, 10)) for risk in (networks, lines)
)
fatelib.agreement_table(
    {"risk in time": (compared, expected)}, where=abs(expected - 1) > 1e-3
)

# %% [markdown]
# ## Stopping early changes the verdict
#
# What is the risk after time $t$? A pretrained two-layer network is a pair: with a unit vector $v$, its first layer is $u v^\top$, its last one $c v$, and it computes $\beta = c u$.
# Fine-tuning starts at $u = \beta_s$, $c = 1$, and gradient steps keep that form. For large $d$ the answer needs no data. Write $u$ in the eigenvectors of $\frac1n X^\top X$. At eigenvalue $\hat\ell$ it has the component
# $p(\hat\ell)\, \beta_s + q(\hat\ell)\, \beta_t + r(\hat\ell)\, \xi$, where $\xi$ is the label noise as the data pass it on, $\frac1n X^\top (\text{noise}) = \sigma \sqrt{\hat\ell}\, \xi$, independent of the tasks and of mean square $1 / \gamma$ in all. Every
# mean is an integral over the Marchenko-Pastur law of the eigenvalues. A step changes the numbers $p, q, r$ and $c$; the folded code above does just that. The networks of {numref}`fig-stopping` take the same steps, from three angles and from scratch
# (`engine="spectral"`, initial scale $10^{-5}$).
# ## Stop both at their best
#
# Three things to see in {numref}`fig-stopping`. The spike at $\gamma = 1$ takes long to build: stopped in time, scratch training has nearly the risk of the best ridge regression, as linear regression does
# {cite:p}`ali2019,advani2020`. Fine-tuning is there much earlier, since it skips the plateau. And the minima of scratch training and of fine-tuning from 60° are equally deep to within {glue:text}`at-sixty`, in all three panels. So compare contestants
# that *both* stop at their best, in theory at every angle, and for the networks at the times that theory names. (Best by the true risk, which in practice a validation set must stand in for.)

# %%
#| tags: [hide-input]
best, at_best = lines.min("time"), networks.isel(time=lines.argmin("time"))
gains, expected = (
    risk.sel(start="scratch", drop=True) - risk.isel(start=slice(3))
    for risk in (at_best.drop_vars("time"), best)
)
turned = np.radians(np.arange(0, 91, 3))
least_tuned = jax.jit(lambda g, a: risk_path(g, sigma, a, **common).min())
tuned = jax.vmap(jax.vmap(least_tuned, (None, 0)), (0, None))(
    jnp.array(ratios), turned
)
stopped = best.sel(start="scratch", drop=True) - xr.DataArray(
    np.asarray(tuned),
    coords={"gamma": ratios, "theta": turned},
)

# %%
#| name: fig-sixty-again
#| tags: [hide-input]
#| caption: >-
#|   Transferability of fine-tuning when both contestants stop at their best: theory (lines), networks (points: mean of 20, bars: one standard error), and, dotted, what regularising both at best would give
#|   (L2-SP, {eq}`l2sp-distance`). Dashed: both trained to the end. Settings of {numref}`fig-stopping`.
#| alt: Three falling curves that cross zero together at sixty degrees; of the dashed curves to the end one lies below, the other two are zero throughout.
fig, ax = plt.subplots()
for i, gamma in enumerate(ratios):
    color = f"C{i}"
    degrees, points = np.degrees(turned), gains.sel(gamma=gamma)
    label = rf"$\gamma$ = {gamma}"
    ax.plot(degrees, stopped.sel(gamma=gamma), color=color, label=label)
    mean, error = points.mean("instance"), points.std("instance", ddof=1) / 20**0.5
    ax.errorbar(np.degrees(angles), mean, error, fmt="o", color=color)
    fair = theory.optimal_scratch_risk(gamma, sigma)
    fair = fair - theory.regularised_risk(gamma, sigma, 2 - 2 * np.cos(turned))
    ax.plot(degrees, fair, ":", color=color)
    end = theory.fine_tuning_transferability(gamma, turned, sigma)
    ax.plot(degrees, end, "--", color=color, linewidth=0.8)
ax.axhline(0, color="black", linewidth=0.6)
ax.axvline(60, color="black", linestyle=":", linewidth=0.8)
ax.set(xlabel=r"angle $\theta$ (degrees)", ylabel=r"transferability $\mathcal{T}$")
ax.legend()

# %%
#| tags: [check]
# The networks stop at the times that theory names, not each at its own least risk,
# which would be lower by chance alone.
fatelib.agreement_table(
    {"transferability, both stopped at their best": (gains, expected)}
)

# %%
#| tags: [build-only]
from myst_nb import glue

at60 = float(abs(stopped.sel(theta=np.pi / 3, method="nearest")).max())
assert at60 < 0.01
ridge = theory.optimal_scratch_risk(np.array(ratios), sigma)
price = float((best.sel(start="scratch") / np.asarray(ridge)).max()) - 1
assert 0 < price < 0.22
waits = lines.argmin("time").sel(start="scratch") / lines.argmin("time").sel(
    start="60°"
)
glue("at-sixty", f"{at60:.4f}", display=False)
glue("price", f"{100 * price:.0f}", display=False)
glue(
    "waits", f"{float(waits.min()):.0f} to {float(waits.max()):.0f}", display=False
)

# %% [markdown]
# At 60° the transferability is at most {glue:text}`at-sixty` in absolute value at all three $\gamma$. Early stopping pulls towards where training started: towards zero from scratch, towards $\beta_s$ in fine-tuning. It is the L2-SP of
# {doc}`the-baseline-matters` without a penalty, and close to it. The boundary is near 60°, not exactly there: over all $\gamma$ and $\sigma$ of
# {numref}`fig-explore-time` theory puts it between {glue:text}`edge-low:.1f`° and {glue:text}`edge-high:.1f`°; we know of no proof that it must stay near. For scratch training the price against the best ridge is up to {glue:text}`price` per cent here, and at most 22 per cent for linear regression
# {cite:p}`ali2019`. The best moment of fine-tuning from 60° comes {glue:text}`waits` times earlier than that of scratch training from our initial scale of $10^{-5}$; the plateau grows with its logarithm ({numref}`ex-faint`).
#
# ## Turn it yourself
#
# What if only one of them stops? In {numref}`fig-explore-time` fine-tuning stops at the time of the slider. Its rival stops with it, stops at its own best, or goes on for ever. Against the latter, a blue band stands at $\gamma = 1$ from the
# beginning and narrows as fine-tuning goes on: the line of {numref}`fig-time`. Or let both stop at their best, whatever the slider says.

# %%
#| name: fig-explore-time
#| tags: [hide-input]
#| caption: >-
#|   Transferability of fine-tuning stopped at a given time, for large $d$, $L = 2$, learning rate 0.02 and initial scale $10^{-5}$ of scratch training.
#| alt: >-
#|   Interactive map of transferability over angle and samples per dimension, with sliders for training time and noise and a menu for the rival.
from fatelib.widgets import explore

path = {"rate": 0.02, "steps": 2001, "every": 5, "nodes": 40}
records = np.array([1, 2, 4, 7, 12, 20, 35, 60, 110, 200, 399])
turned = np.linspace(0, np.pi / 2, 19)
gammas, sigmas = np.linspace(0.2, 1.8, 25), np.array([0.2, 0.5, 1.0])


@jax.jit
def both_paths(gamma, sigma):
    """Risks in time of fine-tuning at every angle, and of scratch training."""
    tuned = jax.vmap(lambda angle: risk_path(gamma, sigma, angle, **path))(turned)
    return tuned, risk_path(gamma, sigma, 0.0, scratch=1e-5, **path)


over_gamma = jax.vmap(both_paths, (0, None))
tuned, scratch = map(np.asarray, jax.vmap(over_gamma, (None, 0))(gammas, sigmas))
rivals = {
    "stopped with it": scratch[..., records],
    "stopped at its best": scratch.min(-1, keepdims=True),
    "never stopped": theory.scratch_risk(gammas, sigmas[:, None])[..., None],
}
gains = [
    risk[:, :, None] - tuned[..., records]
    for risk in map(np.asarray, rivals.values())
]
both = scratch.min(-1)[:, :, None] - tuned.min(-1)
gains.append(both[..., None] + 0 * gains[0])
grid = xr.DataArray(
    gains,
    coords={
        "scratch": [*rivals, "both at their best"],
        "sigma": sigmas,
        "gamma": gammas,
        "theta": ("theta", turned, {"units": "rad"}),
        "time": np.round(0.1 * records, 1),
    },
    dims=("scratch", "sigma", "gamma", "theta", "time"),
    name="T_ft",
    attrs={"long_name": "transferability"},
)
start = {"scratch": "never stopped", "sigma": 0.5, "time": 1.2, "gamma": 0.93}
sliders = ["time", "sigma", "scratch"]
explore(grid, x="theta", y="gamma", sliders=sliders, at=start, limit=1)

# %%
#| tags: [build-only]
near = both[..., 11:14].reshape(-1, 3)  # at 55, 60 and 65 degrees
edges = [np.interp(0, row[::-1], [65, 60, 55]) for row in near]
assert 59 < min(edges) < max(edges) < 61
glue("edge-low", float(min(edges)), display=False)
glue("edge-high", float(max(edges)), display=False)

# %% [markdown]
# ## Fewer samples than dimensions: one number
#
# Now to the steps themselves. On any batch they keep the form $u v^\top$, $c v$, so mini-batch training of all the weights is a short loop:


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
#| tags: [hide-input]
#| name: fig-same-fate
#| caption: >-
#|   Risk of one pretrained network while it is fine-tuned on one data set per panel, with three kinds of batches. First panel: $n = 0.4\, d$, second:
#|   $n = 2 d$. $d = 100$, $\theta = 45°$, $\sigma = 0.5$, learning rate 0.01.
#| alt: In the first panel three curves that fall and rise a little and end at almost the same risk. In the second a smooth curve comes to rest, and
#|   two noisy ones go on fluctuating about it, the wider the smaller the batch.
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
# With $n < d$ the loss can reach zero, where every batch agrees that nothing is left to do: the noise of mini-batches dies out. But did it lead somewhere else? For
# gradient flow {prf:ref}`thm-fine-tuning` has the end, $X^+ y + \kappa (I - P) \beta_s$, with the pseudoinverse $X^+$ of the data and $P$ the projection onto the directions they see, the
# span of the rows of $X$. Hardly anything in its proof needs a flow.
#
# :::{prf:theorem} Steps and batches change one number
# :label: thm-one-number
#
# Fine-tune a balanced two-layer network that computes a unit vector $\beta_s$ by plain gradient steps of any sizes $\eta$ on any batches. If the training loss goes to zero, the network ends at
#
# $$
# \begin{aligned}
# \beta &= X^+ y + \kappa\, (I - P)\, \beta_s , \\
# \kappa^2 (\kappa^2 + D) &= \lVert X^+ y \rVert^2 \\
# &\quad {} + \kappa^2 \lVert (I - P) \beta_s \rVert^2 ,
# \end{aligned}
# $$ (end-of-steps)
#
# with $\kappa = c$ at the end, positive unless a step flips the sign of $c$. All that the steps leave behind is the imbalance of the layers,
#
# $$
# \begin{aligned}
# D &= \lVert u \rVert^2 - c^2 \\
# &= \sum_{\text{steps}} \eta^2 \left( c^2 \lVert G \rVert^2 - (u \cdot G)^2 \right) ,
# \end{aligned}
# $$ (imbalance)
#
# with the gradient $G$ of each batch in $\beta$. If $\eta \lVert G \rVert \le 1$ at every step, $D \ge 0$, and $\kappa$ is at most its value for gradient flow.
# :::
#
# :::{prf:proof}
# A step is $u' = u - \eta c\, G$, $c' = c - \eta\, u \cdot G$. Whatever the batch, $G$ is a combination of rows of $X$, so $(I - P) u$ stays $(I - P) \beta_s$, and at the end
# $(I - P) \beta = c\, (I - P) \beta_s$: $\kappa = c$. Loss zero means $P \beta = X^+ y$. Now write $\lVert \beta \rVert^2 = c^2 \lVert u \rVert^2 = c^2 (c^2 + D)$ both ways. The cross terms of
# $\lVert u' \rVert^2 - c'^2$ cancel, which leaves {eq}`imbalance`; and by Cauchy-Schwarz a step takes $D \ge 0$ to at least $(1 - \eta^2 \lVert G \rVert^2) D$.
#
# Solved for $\kappa^2$, {eq}`end-of-steps` reads $2 \kappa^2 = (a - D) + \sqrt{(a - D)^2 + 4 \lVert X^+ y \rVert^2}$ with $a = \lVert (I - P) \beta_s \rVert^2$, which falls as $D$ grows. Gradient flow has $D = 0$.
# :::
#
# $D$ is the quantity that flow conserves ({prf:ref}`thm-balancedness`). Two layers and plain steps are essential; Adam, for one, leaves the row space. This theorem and what follows are ours where no source is named.
#
# How much does it change? {numref}`fig-kappa-shift` has 20 data sets with $n = 0.4\,d$, $\sigma = 1$, batches of five and of all samples, two learning rates each, until time 25.
#
# :::{dropdown} The shift of $\kappa$ to first order
# The sum {eq}`imbalance` has $t / \eta$ terms of order $\eta^2$: the imbalance, and with it the shift of $\kappa$, is of first order in the learning rate. For batches of size $B$ drawn with
# replacement, the mean of $\lVert G \rVert^2$ has a part $J$ that all samples share and a part $J_1$ of single samples, with residuals $r_i$:
#
# $$
# \begin{gathered}
# D \approx \eta \left( \left( 1 - \tfrac1B \right) J + \tfrac1B J_1 \right) , \\
# \kappa \approx \kappa_{\text{flow}} - \frac{\kappa_{\text{flow}}\, D}{4 \kappa_{\text{flow}}^2 - 2 \lVert (I - P) \beta_s \rVert^2} , \\
# J = \int \! \left( c^2 \lVert G \rVert^2 - (u \cdot G)^2 \right) dt , \\
# J_1 = \int \! \tfrac1n \sum_i 4 r_i^2 \left( c^2 \lVert x_i \rVert^2 - (u \cdot x_i)^2 \right) dt ,
# \end{gathered}
# $$ (first-order)
#
# along the flow. The gradients of single samples, of squared length $4 r_i^2 \lVert x_i \rVert^2 \approx 4 r_i^2 d$, are nearly orthogonal and largely cancel in the mean: $J_1$ grows with $d$ at fixed $\gamma$, $J$ does not. So what
# counts for small batches is $\eta d / B$.
#
# Does a network that is *not* of rank one, all its weights pretrained from random ones and trained by automatic differentiation, follow our loop on the same batches? It does, to what its random start left over
# (folded below).
# :::

# %%
#| tags: [hide-cell]
n, rate = 40, 0.01
tasks = fatelib.LinearTasks.at_angle(jax.random.key(0), d, jnp.pi / 4, sigma=1.0)
X, y = tasks.sample(jax.random.key(1), n)
rows = batches(jax.random.key(2), n, 1500, 10)
network, _ = fatelib.pretrain(
    fatelib.DeepLinear.init(jax.random.key(3), d),
    tasks.beta_source,
    absolute_tolerance=1e-12,
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
    f"full network and loop end {apart:.0e} apart, "
    f"{jnp.linalg.norm(c * u):.3f} from zero"
)
assert apart < 1e-4

# %%
#| tags: [hide-input, remove-output]
n = 40
sizes = {5: 0.005, None: 0.01}  # batch size: largest learning rate
keys = jax.random.split(jax.random.key(4), 20)


def data_set(key, n):
    """Source, data, X^+ y, the squared size of the unseen part, kappa of the flow."""
    task_key = jax.random.fold_in(key, 0)
    tasks = fatelib.LinearTasks.at_angle(task_key, d, jnp.pi / 4, sigma=1.0)
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
    (*_, shared, single), _ = jax.lax.scan(
        step, start, None, length=round(25 / rate)
    )
    B = jnp.array([size or jnp.inf for size in sizes])
    imbalance = (1 - 1 / B) * shared + single / B
    return -flow * imbalance / (4 * flow**2 - 2 * unseen)


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
ax.minorticks_off()
ax.set_xticks([0.002, 0.005, 0.01, 0.02], ["0.002", "0.005", "0.01", "0.02"])
ax.legend()

# %%
#| tags: [check]
# The points are extrapolated to $\eta \to 0$: twice the slope at $\eta/2$ minus the slope
# at $\eta$ is free of the second order. For SGD it must, once the theory is taken off,
# be zero data set by data set within its scatter. Full-batch descent has no scatter;
# there we ask for two per cent, since float32 stops moving the weights near the end.
slopes = {
    size: [np.asarray(shifts[size, rate]) / rate for rate in (largest, largest / 2)]
    for size, largest in sizes.items()
}
left = {size: 2 * half - full for size, (full, half) in slopes.items()}
gap = xr.DataArray(np.asarray(left[5] - predicted[:, 0]), dims="instance")
display(fatelib.agreement_table({"slope of SGD, minus theory": (gap, 0.0)}))
ratio = xr.DataArray(left[None].mean() / predicted[:, 1].mean())
pairs = {"slope of full-batch descent / theory": (ratio, 1.0)}
fatelib.agreement_table(pairs, over=None, tolerance=0.02)

# %%
#| tags: [build-only]
glue("kappa-flow", f"{float(data[5].mean()):.2f}", display=False)
glue("kappa-shift", f"{float(-shifts[5, 0.005].mean()):.3f}", display=False)
single = predicted[:, 0].mean() / predicted[:, 1].mean()
glue("single", f"{float(single):.0f}", display=False)

# %% [markdown]
# A batch of five multiplies the shift by {glue:text}`single`, at equal rate. Yet even the largest of these shifts takes only
# {glue:text}`kappa-shift` from a $\kappa$ of {glue:text}`kappa-flow`. For large $d$, $\kappa_{\text{flow}} \ge 1$ is more than the best scale, $\cos\theta$; so the noise of the batches, which lowers $\kappa$ a little, is on the side of
# fine-tuning {eq}`fine-tuning-transferability`.
#
# ## More samples than dimensions: a floor
#
# With $n > d$ and label noise the samples never agree, and SGD never comes to rest ({numref}`fig-same-fate`, second panel). For transfer it is a draw: scratch training and fine-tuning arrive at the same least-squares solution $b$ and stay, to leading order, at the same height, which is that of
# $c^2 d + \lVert u \rVert^2$, the same for both while the layers are balanced.
#
# :::::{dropdown} How high is the floor?
# :::{prf:theorem} The noise floor
# :label: thm-noise-floor
#
# Let $\mathcal L_{\min}$ be the smallest training loss, and the layers balanced, $c^2 = \lVert u \rVert^2 = \lVert b \rVert$. For small $\eta d / B$ and large $d$, once its start is forgotten and at times well before $B / (\eta d)$, SGD with batches of $B$
# fluctuates about the least-squares solution $b$ by
#
# $$
# \begin{aligned}
# \mathbb E &\lVert \beta - b \rVert^2 \\
# &\sim \frac \eta B \, \mathcal L_{\min} \left( c^2 d + \lVert u \rVert^2 \right) \\
# &= \frac \eta B \, \mathcal L_{\min} \lVert b \rVert\, (d + 1) .
# \end{aligned}
# $$ (floor)
# :::
#
# :::{prf:proof} Idea
# Near $b$ a step moves $\beta$ by $- \eta A G$ with $A = c^2 I + u u^\top$. The mean of $G$ is $H (\beta - b)$ with $H = \frac2n X^\top X$; its covariance is $\frac{1}{Bn} \sum_i 4 r_i^2 x_i x_i^\top \approx \frac2B \mathcal L_{\min} H$, because
# residuals hardly depend on the inputs. The covariance $\Sigma$ of $\beta$ comes to rest when what a step takes away balances what it adds {cite:p}`mandt2017`, a Lyapunov equation:
# $A H \Sigma + \Sigma H A = \frac{2 \eta}{B} \mathcal L_{\min} A H A$. Its solution is $\Sigma = \frac \eta B \mathcal L_{\min} A$, and {eq}`floor` is its trace.
# :::
#
# Over longer times the noise itself unbalances the layers, as noise does with symmetric parameters {cite:p}`ziyin2023`, and the floor sinks. At times 10 to 20 the measured floor is {glue:text}`floor` ± {glue:text}`floor-error` times the predicted one. (Linear transfer, one unknown and more samples than
# that, is always in this case, with a floor of order $\eta / B$ and without the factor $d$.)
# :::::


# %%
#| tags: [check]
# Over long times the noise unbalances the layers, and the floor sinks. So the test
# looks at a window, times 10 to 20, at two small rates that are extrapolated to none:
# 20 data sets with $n = 2 d$ and $\sigma = 1$, batches of 40, starting at $b$ with
# balanced layers.
def fluctuation(key, data, rate):
    """Mean squared distance from b at times 10 to 20, over rate / batch."""
    _, X, y, b, *_ = data
    rows = batches(jax.random.fold_in(key, 3), len(y), round(20 / rate), 40)
    c = jnp.sqrt(jnp.linalg.norm(b))
    _, (u, c) = descend(X, y, b / c, c, rate, rows, round(0.1 / rate))
    return 40 / rate * jnp.mean(jnp.sum((c * u.T - b[:, None]) ** 2, axis=0)[100:])


many = jax.jit(jax.vmap(data_set, (0, None)), static_argnums=1)(keys, 2 * d)
fluctuate = jax.jit(jax.vmap(fluctuation, (0, 0, None)), static_argnums=2)
_, X, y, b, *_ = many
least = jnp.mean((jnp.einsum("knd,kd->kn", X, b) - y) ** 2, axis=1)
height = least * jnp.linalg.norm(b, axis=1) * (d + 1)
floor = 2 * fluctuate(keys, many, 0.0025) - fluctuate(keys, many, 0.005)
relative = xr.DataArray(np.asarray(floor / height), dims="instance")
fatelib.agreement_table({"floor of SGD / theory": (relative, 1.0)})

# %%
#| tags: [build-only]
floor_error = float(relative.std(ddof=1)) / np.sqrt(len(keys))
glue("floor", f"{float(relative.mean()):.2f}", display=False)
glue("floor-error", f"{floor_error:.2f}", display=False)

# %% [markdown]
# ## Exercises
#
# :::{exercise} With pencil: how high is the floor?
# :label: ex-floor-share
#
# For $\gamma > 1$ compare the floor {eq}`floor` with the risk $\sigma^2 / (\gamma - 1)$ of the least-squares solution itself, for large $d$. How small must $\eta d / B$ be if the floor is to add at most a tenth? Do more samples make it easier?
# :::
#
# :::{solution} ex-floor-share
# :label: sol-floor-share
# :class: dropdown
#
# For large $d$ the residuals of least squares have $\mathcal L_{\min} = \sigma^2 (1 - 1/\gamma)$, and $\lVert b \rVert^2 = 1 + \sigma^2 / (\gamma - 1)$. The fluctuations have mean zero, so the two risks add, and the share is
#
# $$
# \begin{aligned}
# \frac{\text{floor}}{\text{risk}} &= \frac{\eta d}{B}\, \lVert b \rVert\, \Big( 1 - \frac1\gamma \Big) (\gamma - 1) \\
# &= \frac{\eta d}{B}\, \lVert b \rVert\, \frac{(\gamma - 1)^2}{\gamma} .
# \end{aligned}
# $$
#
# For a tenth, $\eta d / B \le \gamma / (10\, (\gamma - 1)^2\, \lVert b \rVert)$; at $\gamma = 2$ and $\sigma = 1$, where $\lVert b \rVert = \sqrt 2$, at most $\sqrt 2 / 10$. More samples make it *harder*, since the risk falls like $1 / \gamma$ and the floor stays: the rate has to fall with the number of samples, or the batch to grow with it.
# :::
#
# :::{exercise} Code: linear scaling
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
# {eq}`first-order` is $D \approx \frac\eta B J_1 + \eta (1 - \frac1B) J$. At constant $\eta / B$ the first term stays, and it rules as long as $B \ll J_1 / J$. From the slopes for $B = 5$ and for all samples:

# %%
slope_5, slope_all = predicted[:, 0].mean(), predicted[:, 1].mean()
critical = 5 * (slope_5 / slope_all - 1) + 1
print(f"S_1 / S = {critical:.0f}")
for B in (1, 4, 16, 64):
    shift = 1e-3 * slope_all * (B - 1 + critical)
    print(f"batch {B:2}, learning rate {1e-3 * B:.3f}: kappa shifts by {shift:.3f}")
largest = jax.vmap(lambda X: jnp.linalg.norm(X, 2) ** 2)(data[1]) * 2 / n
limit = float((2 / (data[5] ** 2 * largest)).mean())
print(f"full-batch descent is stable only below {limit:.2f}")

# %% [markdown]
# So yes, up to $B$ of about $J_1 / J$. Larger batches gain nothing at constant $\eta / B$. Soon the learning rate itself is the limit: with the largest eigenvalue $\lVert H \rVert$ of $H = \frac2n X^\top X$, full-batch descent is stable only for
# $\eta < 2 / (\kappa^2 \lVert H \rVert)$.
#
# :::{solution-end}
# :::
#
# :::{exercise} Predict, then run: a fainter start
# :label: ex-faint
#
# How much later is the best moment of scratch training when both layers start ten times smaller? Is its risk then another one? Predict both from the plateau of {doc}`deep-linear-dynamics`.
# :::
#
# :::{solution-start} ex-faint
# :label: sol-faint
# :class: dropdown
# :::
#
# Near zero $\dot u = 2 c\, g$ and $\dot c = 2\, u \cdot g$ with $g = \frac1n X^\top y$. So both layers grow like $e^{2 \lVert g \rVert t}$ along $g$, and a factor of ten takes $\ln 10 / (2 \lVert g \rVert)$; after that everything is the same, only later. For
# large $d$, $\lVert g \rVert^2 = 1 + (1 + \sigma^2) / \gamma$.

# %%
growth = 2 * np.sqrt(1 + (1 + sigma**2) / 0.5)
print(f"theory: {np.log(10) / growth:.2f} later for each factor of ten")
for scale in (1e-3, 1e-4, 1e-5):
    risk = risk_path(0.5, sigma, 0.0, 0.01, 1000, 1, scratch=scale)
    print(
        f"scale {scale:.0e}: risk {risk.min():.3f} at time {0.01 * risk.argmin():.2f}"
    )

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Your own training: who stopped when?
# :label: ex-own-stopping
#
# Record the validation error of every sample, at every epoch, for your network and for one trained from scratch: two arrays of shape (epochs, samples). Compare the two at the end, at equal epochs, and each at its best. Why should one half of the validation samples choose the epoch and the other half judge it? Without arrays of your own, take least squares by gradient descent from a source at 45° and from zero, $d = 100$, $n = 90$, $\sigma = 1$.
# :::
#
# :::{solution} ex-own-stopping
# :label: sol-own-stopping
# :class: dropdown
#
# The least of many noisy numbers is too low, the more so the more the curve scatters; samples that have not chosen have no such bias.
#
# ```python
# rng = np.random.default_rng(0)
# beta, other = np.eye(100)[:2]
# X, new = rng.standard_normal((90, 100)), rng.standard_normal((2000, 100))
# y = X @ beta + rng.standard_normal(90)
# y_new = new @ beta + rng.standard_normal(2000)
#
#
# def validation_errors(start, epochs=3000, rate=0.02):
#     b, found = start, []
#     for _ in range(epochs):
#         found.append((new @ b - y_new) ** 2)
#         b = b - rate * 2 * X.T @ (X @ b - y) / len(y)
#     return np.array(found)
#
#
# tuned = validation_errors((beta + other) / 2**0.5)
# scratch = validation_errors(np.zeros(100))
# choose, judge = slice(0, None, 2), slice(1, None, 2)
#
#
# def at_best(errors):
#     epoch = errors[:, choose].mean(axis=1).argmin()
#     return errors[epoch, judge]
#
#
# for name, gain in {
#     "at the end": scratch[-1] - tuned[-1],
#     "only fine-tuning stopped": scratch[-1, judge] - at_best(tuned),
#     "each at its best": at_best(scratch) - at_best(tuned),
# }.items():
#     error = gain.std(ddof=1) / len(gain) ** 0.5
#     print(f"{name}: gain {gain.mean():.2f} ± {error:.2f}")
# ```
#
# The three answer different questions. Only the last says what the source is worth to somebody who stops with care; the second mostly measures the stopping. The standard errors are of the validation samples alone, and pairing the two networks sample by sample has made them smaller; another training set would give other networks.
# :::
#
# :::{exercise} Hard: why sixty degrees?
# :label: ex-why-sixty
#
# Let the networks have a single layer: gradient descent on $\beta$ itself, from $\beta_s$ or from zero. Show that for every $\gamma$, $\sigma$ and learning rate, and at *every* time, fine-tuning has the smaller mean risk exactly if $\theta < 60°$, as long as there is anything left to learn. Why does it follow for both at their best, and why is it not exact for two layers?
# :::
#
# :::{solution} ex-why-sixty
# :label: sol-why-sixty
# :class: dropdown
#
# Let $H = \frac2n X^\top X$. A step takes $\beta - \beta_t$ to $(I - \eta H) (\beta - \beta_t)$ plus a multiple of $X^\top$ times the label noise. After $q$ steps from $\beta_0$
#
# $$
# \beta - \beta_t = (I - \eta H)^q (\beta_0 - \beta_t) + z ,
# $$
#
# where $z$ is linear in the noise and does not depend on $\beta_0$. In the mean over the noise the cross term vanishes. The mean over the inputs, which have no preferred direction, makes the first term a multiple of the squared length $\Delta = \lVert \beta_0 - \beta_t \rVert^2$. So the mean risk is
#
# $$
# \begin{aligned}
# R_q &= a\, \Delta + \mathbb E\, \lVert z \rVert^2 , \\
# a &= \tfrac1d\, \mathbb E \operatorname{tr} (I - \eta H)^{2q} ,
# \end{aligned}
# $$
#
# with the same $a \ge 0$ and $z$ for both contestants: only $\Delta$ tells them apart. It is 1 from zero and $2 - 2 \cos\theta$ from the source, and at equal times $\mathcal T = a\, (2 \cos\theta - 1)$. A larger $\Delta$ raises the curve $R_q$ at every $q$, hence also its minimum.
# So 60° is exact, stopped or not.
#
# In two layers the speed of learning is $c^2 I + u u^\top$ instead of $I$. It depends on the start and changes in time, so that the two contestants no longer have the same $a$ and $z$: from scratch there is a plateau first, then a rise along $X^\top y$ before all else. That at their best they still come so close to 60° is computed above, not proved.
# :::
#
# ## What to remember
#
# 1. Stopping changes the verdict: stopped early, networks are pulled towards their start, the spike goes, and 60 degrees decides again, to within a degree, below and above $\gamma = 1$: networks at three $\gamma$ ($\sigma = 0.5$, two layers), theory at all $\gamma$ and $\sigma$ of {numref}`fig-explore-time`. Stop only one, and you compare stopping, not transfer.
# 2. Steps and batches are corrections of first order in $\eta$ and in $\eta d / B$: with fewer samples than dimensions they move the end of fine-tuning through one number, with more they add a floor that is the same for both contestants while the layers are balanced.
