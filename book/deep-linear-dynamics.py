# %% [markdown]
# # Deep linear dynamics
#
# A deep linear network can represent nothing that a single layer could not. Yet it *learns* in a different
# way: for a long time nothing happens, then almost everything happens at once. In this chapter you will
#
# - watch the plateau and the sudden drop that ends it, at depth 2, 3 and 4,
# - meet the quantity that gradient flow conserves, and see how much of it discrete steps destroy,
# - derive the learning curve in closed form and predict it from the initial weights, nothing fitted.

# %%
#| tags: [hide-input]
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from IPython.display import display

import fatelib
from fatelib import theory

plt.style.use("fatelib.style")

# %%
#| tags: [hide-input]
d, scale, rate = 500, 1e-5, 0.002
tasks = fatelib.LinearTasks.at_angle(jax.random.key(0), d, theta=0.0)
beta_s = tasks.beta_source


def strength_along(beta):
    """Observe how much of a task a network's linear map holds."""
    return lambda network: network.end_to_end() @ beta


keys = jax.random.split(jax.random.key(1), 20)
networks = jax.vmap(
    lambda key: fatelib.DeepLinear.init(key, d, depth=2, scale=scale)
)(keys)
_, history = jax.vmap(
    lambda network: fatelib.pretrain(
        network,
        beta_s,
        learning_rate=rate,
        steps=4_000,
        tolerance=0.0,
        record_every=20,
        observe=strength_along(beta_s),
    )
)(networks)
time = rate * history.steps[0]

# %%
#| tags: [hide-input]
#| name: fig-plateau
#| caption: >-
#|   Pretraining on the source task: population loss (first) and the strength $s = \beta \cdot \beta_s$ of the
#|   task in the network (second), for 20 random initialisations of a two-layer network. Dashed, the closed form
#|   {eq}`logistic`, computed from the initial weights of the first network. $d = 500$, initial scale
#|   $10^{-5}$, learning rate 0.002; time is learning rate times steps.
#| alt: The loss stays at its initial value for a long time and then drops to zero almost at once. The
#|   strength rises in the shape of an S, with the dashed curve on top.
fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2))
left.plot(time, history.loss.T, color="C0", alpha=0.3, linewidth=1)
right.plot(time, history.observed.T, color="C0", alpha=0.3, linewidth=1)
W, w = (weight[0] for weight in networks.weights)
start = jnp.sum((beta_s @ W + w[:, 0]) ** 2) / 4
right.plot(time, theory.aligned_strength(time, start), "k--", label="closed form")
left.set(xlabel="time $t$", ylabel="population loss")
right.set(xlabel="time $t$", ylabel="strength $s$")
right.legend()

# %%
#| tags: [check]
# Each of the 20 networks is compared with the closed form from its own initial
# weights, at every recorded time. On the plateau a step multiplies $p + w$ by
# $1 + 2\eta$ instead of $e^{2\eta}$, so that descent lags the flow by $\eta t$ in
# time, and the steepest slope of the curve is 1. So the strengths differ by no more
# than $\eta$ times the longest plateau.
W, w = networks.weights
starts = (
    jnp.sum(
        (jnp.einsum("d,idh->ih", tasks.beta_source, W) + w[..., 0]) ** 2, axis=1
    )
    / 4
)
coords = {"instance": range(20), "time": np.asarray(time)}
measured = xr.DataArray(history.observed, coords=coords)
predicted = xr.DataArray(
    theory.aligned_strength(time, starts[:, None]), coords=coords
)
fatelib.agreement_table(
    {"strength": (measured, predicted)},
    over=None,
    tolerance=rate * float(theory.escape_time(starts).max()),
)

# %% [markdown]
# Nothing in {numref}`fig-plateau` was fitted. The next sections derive the dashed curve.
#
# ## Gradient flow of a product
#
# All networks here start from random weights of one **scale** $\alpha$: the hidden layers from $\alpha\, \mathcal N(0, 1/\text{fan-in})$, the last layer
# from $\alpha\, \mathcal N(0, 1)$.
#
# Train $f(x) = x W_1 \cdots W_L$ on unlimited source data. The loss depends on the weights through the
# **end-to-end vector** $\beta = W_1 \cdots W_L$ only, $\mathcal L = \lVert \beta - \beta_s \rVert^2$, with gradient
# $G = 2(\beta - \beta_s)$ in $\beta$. The chain rule hands every layer its share of $G$: with
# $A_l = W_1 \cdots W_{l-1}$ to the left and $b_l = W_{l+1} \cdots W_L$ to the right,
#
# $$
# \dot W_l = - A_l^\top G\, b_l^\top .
# $$ (layer-flow)
#
# Two things can be read off at once. The origin is a **saddle**: each layer moves in proportion to the
# product of the others, and when all are small hardly anything moves. That is the plateau. And every update has rank one,
# which is why `fatelib` trains such a network in $O(L d^2)$ operations per step instead of multiplying matrices.
#
# ## What is conserved
#
# :::{prf:theorem} Balancedness is conserved
# :label: thm-balancedness
#
# Under gradient flow {eq}`layer-flow`, and for every loss that depends on the product only, the matrices
#
# $$
# \begin{gathered}
# D_l = W_l^\top W_l - W_{l+1} W_{l+1}^\top , \\
# l = 1, \dots, L - 1,
# \end{gathered}
# $$ (balancedness)
#
# do not change in time {cite:p}`du2018,arora2018`.
# :::
#
# :::{prf:proof}
# Since $A_{l+1} = A_l W_l$ and $b_l = W_{l+1} b_{l+1}$, both
# $W_l^\top \dot W_l$ and $\dot W_{l+1} W_{l+1}^\top$ equal $- A_{l+1}^\top G\, b_l^\top$. So the two terms of $\dot D_l$ cancel.
# :::
#
# Start from weights of scale $\alpha$ and the entries of $D_l$ are of order $\alpha^2$, hence as good as zero, *for ever*: neighbouring layers
# stay **balanced**, each as strong as the next. Gradient *descent* takes steps of finite size $\eta$ and keeps $D_l$ only
# up to first order in $\eta$: each step changes it by $\eta^2$ times the difference of two squared
# gradients, and there are $t/\eta$ steps. Halve the step and half of the damage remains:

# %%
d = 100
beta_s = fatelib.LinearTasks.at_angle(jax.random.key(2), d, theta=0.0).beta_source


def train_many(depth, scale, rate, duration, observe, records=250, instances=10):
    """Pretrain random networks for a given time; return times and what was observed."""
    keys = jax.random.split(jax.random.key(3), instances)
    every = max(round(duration / rate / records), 1)

    def one(key):
        network = fatelib.DeepLinear.init(key, d, depth=depth, scale=scale)
        return fatelib.pretrain(
            network,
            beta_s,
            learning_rate=rate,
            steps=records * every,
            tolerance=0.0,
            record_every=every,
            observe=observe,
        )[1].observed

    times = np.linspace(0, records * every * rate, records + 1).round(6)
    return times, jax.vmap(one)(keys)


def drift(rate):
    """Largest change of a D_l since the start, in Frobenius norm."""
    times, balance = train_many(
        3,
        0.01,
        rate,
        25.0,
        fatelib.DeepLinear.balancedness,
        records=50,
        instances=5,
    )
    change = jnp.stack(
        [jnp.linalg.norm(D - D[:, :1], axis=(2, 3)) for D in balance]
    ).max(axis=0)
    change = np.asarray(change)
    return xr.DataArray(change, coords={"instance": range(5), "time": times})


rates = [0.02, 0.01, 0.005]
# In 32 bits rounding is part of the drift.
jax.config.update("jax_enable_x64", True)
drifts = xr.concat(
    [drift(rate) for rate in rates], dim=xr.DataArray(rates, dims="rate")
)
jax.config.update("jax_enable_x64", False)
drifts = drifts.assign_coords(rate=rates)

# %%
#| tags: [hide-input]
#| name: fig-balancedness
#| caption: >-
#|   Change of the balancedness, $\max_l \lVert D_l(t) - D_l(0) \rVert_F$, while a three-layer network learns the source
#|   task, at three learning rates (means of 5 instances). Second panel: divided by the learning rate, the three curves fall nearly on
#|   each other. $d = 100$, initial scale 0.01, 64-bit arithmetic.
#| alt: In the first panel three curves that rise at the end of the plateau and stay constant after it, the higher the learning
#|   rate the higher. In the second the same three curves on top of each other.
fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2))
mean = drifts.mean("instance")
for value in rates:
    left.plot(mean.time, mean.sel(rate=value), label=rf"$\eta$ = {value}")
    right.plot(mean.time, mean.sel(rate=value) / value)
left.set(xlabel="time $t$", ylabel="change of balancedness")
right.set(xlabel="time $t$", ylabel=r"change / $\eta$")
left.legend()

# %%
#| tags: [check]
# The change at the end, divided by the learning rate, is compared with its value at
# the smallest rate. They differ by what is of the next order in the step: a share of
# order $\eta$, which may be as large as the largest $\eta$ here.
per_rate = (drifts / drifts.rate).isel(time=-1).mean("instance")
fatelib.agreement_table(
    {
        f"change / rate at {value}": (
            per_rate.sel(rate=value) / per_rate.sel(rate=0.005),
            1.0,
        )
        for value in (0.02, 0.01)
    },
    over=None,
    tolerance=max(rates),
)

# %%
#| tags: [build-only]
from myst_nb import glue

behind = 1 - per_rate / per_rate.sel(rate=0.005)
fraction = float(behind.sel(rate=0.02) / behind.sel(rate=0.01))
assert abs(fraction - 3) < 0.3
glue("order-ratio", fraction, display=False)

# %% [markdown]
# First order in the step means that the curves of the second panel coincide as the step shrinks. What still separates them is of the next
# order, a share of order $\eta$: the two larger steps exceed the smallest one by 0.015 and 0.005, three to one, and the ends of their curves
# lie below that of the smallest by {glue:text}`order-ratio:.2f` to one.
#
# ## The learning curve
#
# With all $D_l = 0$, neighbouring layers share their singular values and directions, and a network that has
# picked up one direction is a chain of $L$ equal scalars: $W_1 = u\, \beta_s v_1^\top$, $W_l = u\, v_{l-1} v_l^\top$,
# hence $\beta = u^L \beta_s$. What is left of the flow is one number.
#
# :::{prf:theorem} Growth of the learned direction
# :label: thm-growth
#
# The strength $s = u^L$ of a balanced network aligned with the task obeys
#
# $$
# \dot s = 2 L\, s^{2 - 2/L} (1 - s) .
# $$ (growth)
#
# For two layers the solution is logistic,
#
# $$
# s(t) = \frac{1}{1 + \left( 1/s_0 - 1 \right) e^{-4t}} .
# $$ (logistic)
# :::
#
# :::{prf:proof}
# By {eq}`layer-flow`, $\dot u = 2 (1 - s)\, u^{L-1}$; multiply by $L u^{L-1}$. For $L = 2$ the right-hand side of {eq}`growth`
# is $4 s (1 - s)$.
# :::
#
# Random weights are not aligned at first, but for two layers that can be accounted for. While $\beta$ is small the flow is
# linear in the pair $p = W_1^\top \beta_s$ and $w = W_2$: $\dot p = 2w$, $\dot w = 2p$. The sum $p + w$ grows
# like $e^{2t}$, the difference dies out, and so the network behaves as if it had started from
#
# $$
# s_0 = \tfrac14 \lVert W_1^\top \beta_s + W_2 \rVert^2 ,
# $$ (effective-start)
#
# about $\alpha^2 d / 4$. That is the dashed line of {numref}`fig-plateau`, and each of the 20 networks follows the curve of its own initial weights.
# ## Depth: a longer wait
#
# {eq}`growth` is flatter at the origin for larger $L$: the plateau gets longer and the rise
# steeper. A deep network is on a saddle of higher order.

# %%
#| tags: [hide-input]
settings = {2: (1e-5, 0.005, 8.0), 3: (0.01, 0.01, 25.0), 4: (0.03, 0.01, 100.0)}
strength = strength_along(beta_s)


def strengths(depth, scale, rate, duration):
    """Strength against time for ten random networks."""
    times, values = train_many(depth, scale, rate, duration, strength)
    return xr.DataArray(values, coords={"instance": range(10), "time": times})


curves = {L: strengths(L, *setting) for L, setting in settings.items()}

# %% [markdown]
# For three and more layers no closed form leads from random weights to the balanced state, so the theory's clock
# is set where the measured strength first exceeds 0.05; from there on nothing is free.

# %%
#| tags: [hide-input]
#| name: fig-dynamics
#| caption: >-
#|   Strength of the source task while networks of depth 2, 3 and 4 learn it: 10 random initialisations each (thin lines) and
#|   the solution of {eq}`growth` (dashed) for one of the ten, from the moment when it passes 0.05; the others differ in when they rise.
#|   $d = 100$; initial scales $10^{-5}$, 0.01 and 0.03; note the different times.
#| alt: Three panels. In each the strength stays near zero and then rises to one, the more abruptly the deeper the network. The dashed
#|   curve lies on one of the measured ones.
fig, axes = plt.subplots(1, 3, figsize=(8, 3), sharey=True)
comparisons = {}
for ax, (L, curve) in zip(axes, curves.items(), strict=True):
    ax.plot(curve.time, curve.T, color=f"C{L - 2}", alpha=0.4, linewidth=1)
    learned = curve.values > 0.05
    first = learned.argmax(axis=1)
    clock = curve.time.values - curve.time.values[first][:, None]
    initial = curve.values[range(len(first)), first][:, None]
    solution = theory.aligned_strength(np.maximum(clock, 0), initial, depth=L)
    solution = curve.copy(data=np.asarray(solution)).where(learned)
    ax.plot(curve.time, solution[0], "k--", linewidth=1)
    ax.set(title=f"$L$ = {L}", xlabel="time $t$")
    comparisons[f"strength, L = {L}"] = (curve, solution, learned)
axes[0].set_ylabel("strength $s$")

# %%
#| tags: [check]
# Each of the ten networks is compared with the solution from its own strength when it
# passes 0.05; the times before are left out. The theory is for $\alpha \to 0$ and
# $\eta \to 0$, the networks have a finite scale and finite steps: they may be off
# by 0.02. By the end every network has learned the task.
for name, (curve, solution, learned) in comparisons.items():
    assert (curve.isel(time=-1) > 0.99).all()
    started = curve.copy(data=learned)
    display(
        fatelib.agreement_table(
            {name: (curve, solution)}, over=None, tolerance=0.02, where=started
        )
    )

# %% [markdown]
# What remains is the distance of a theory for $\alpha \to 0$ and $\eta \to 0$ from networks of finite scale and finite steps. The heaviest layer
# decides whether the scale is small: the last one has norm $\alpha \sqrt d$, hence $D_{L-1}$ the norm $\delta \approx \alpha^2 d$, and {eq}`growth` needs $\delta$ small
# beside the square $s^{2/L}$ of the learned singular value. With $\delta$ kept, and $q$ for the square in all other layers, the same proof gives
#
# $$
# \dot q = 4 s (1 - s), \qquad s = q^{(L-1)/2} \sqrt{q + \delta} ,
# $$ (unbalanced-growth)
#
# which is {eq}`growth` for $\delta = 0$. Here, at $d = 100$, nothing shows. At $d = 500$ the same scales are too large for four layers, and
# `fatelib reproduce fig-dynamics` compares with {eq}`unbalanced-growth`, $\delta$ read off the initial weights.
# How long is the plateau? Integrate {eq}`growth` from $s_0$ to one half:
#
# $$
# t_{1/2} \approx
# \begin{cases}
# \tfrac14 \log (1 / s_0) & L = 2, \\
# \dfrac{s_0^{-(1 - 2/L)}}{2 (L - 2)} & L > 2 .
# \end{cases}
# $$ (plateau)
#
# Since $s_0 \sim \alpha^L$, the wait grows like $\log (1/\alpha)$ at depth two but like $\alpha^{-(L-2)}$ beyond: halving the initial weights
# costs a two-layer network nothing to speak of, and doubles the wait of a three-layer one. Measured:

# %%
scales = {
    2: np.geomspace(1e-4, 1e-2, 4),
    3: np.geomspace(0.005, 0.04, 4),
    4: np.geomspace(0.03, 0.08, 4),
}


def half_times(depth, scale):
    """Time at which each instance has learned half of the task."""
    duration = {2: 8.0, 3: 0.25 / scale, 4: 0.08 / scale**2}[depth]
    curve = strengths(depth, float(scale), 0.01, duration)
    assert (curve.isel(time=-1) > 0.5).all()
    return xr.DataArray(
        [np.interp(0.5, s, curve.time) for s in curve.values], dims="instance"
    )


waits = {
    L: xr.concat([half_times(L, alpha) for alpha in values], dim="scale")
    for L, values in scales.items()
}

# %%
#| tags: [hide-input]
#| name: fig-waiting
#| caption: >-
#|   Time until half of the task is learned, against the initial scale $\alpha$, for depth 2, 3 and 4 (points: means of 10
#|   instances, bars: one standard error). Dashed: {py:func}`fatelib.theory.escape_time` from $s_0 = \alpha^2 d / 4$
#|   for $L = 2$, and the power laws $\alpha^{-1}$ and $\alpha^{-2}$ through the leftmost point for $L = 3$ and 4. $d = 100$, learning rate 0.01.
#| alt: Three sets of points on logarithmic axes, each along its dashed line, which is almost flat for depth 2, falls with slope minus
#|   one for depth 3 and with slope minus two for depth 4.
fig, ax = plt.subplots()
exponents = {}
for i, (L, wait) in enumerate(waits.items()):
    mean, error = wait.mean("instance"), wait.std("instance", ddof=1) / np.sqrt(10)
    alpha = scales[L]
    ax.errorbar(alpha, mean, error, fmt="o", color=f"C{i}", label=f"$L$ = {L}")
    line = (
        theory.escape_time(alpha**2 * d / 4)
        if L == 2
        else mean.values[0] * (alpha / alpha[0]) ** -(L - 2)
    )
    ax.plot(alpha, line, "--", color=f"C{i}", linewidth=1)
    exponents[L] = np.polyfit(np.log(alpha), np.log(mean), 1)[0]
ax.set(
    xscale="log",
    yscale="log",
    xlabel=r"initial scale $\alpha$",
    ylabel="time to one half",
)
ax.legend()

# %%
#| tags: [check]
# The power laws are those of vanishing scales. At our scales the plateau is not yet
# all of the wait, so that a fitted exponent may be off by 0.1.
measured = xr.DataArray([exponents[3], exponents[4]], coords={"depth": [3, 4]})
fatelib.agreement_table(
    {"exponent of the waiting time": (measured, [-1.0, -2.0])},
    over=None,
    tolerance=0.1,
)

# %% [markdown]
# ## What regularisation would change
#
# A source with several outputs, $B_s = \sum_i \varsigma_i u_i v_i^\top$, is learned one direction after the other. Let $a$ be the singular value that both of two layers have along direction $i$, and $f = a^2$ that of their product.
# The gradient of $\lVert W_1 W_2 - B_s \rVert^2$ gives each layer $\dot a = 2 a (\varsigma_i - a^2)$, and weight decay, which adds $\lambda W$ to each layer's gradient, takes off $\lambda a$. With $\dot f = 2 a \dot a$,
#
# $$
# \dot f = 4 f \left( \varsigma_i - \lambda/2 - f \right) .
# $$
#
# It is the logistic growth of this chapter towards a smaller end, $(\varsigma_i - \lambda/2)_+$: every direction loses as much, and those with $\varsigma_i \le \lambda/2$ are lost. Stopping after a time $t$ leaves out those that are still on their plateau, with $4 \varsigma_i t$ well below $\log(\varsigma_i / s_0)$ for a start at strength $s_0$, takes next to nothing from those well beyond it, and a part from those between.
# Dropout of a share $q$ of $h$ hidden units adds, averaged over what is left out and with equally strong units, $\frac{q}{(1 - q) h} \big( \sum_j f_j \big)^2$ to the loss. The derivative in $f_i$ then vanishes at $f_i = (\varsigma_i - \tau)_+$ with $\tau = \frac{q}{(1 - q) h} \sum_j f_j$: one threshold for all, the larger the more there is to keep.
#
# So all three prune what is weak in the source. For two layers {py:func}`~fatelib.theory.pretraining_filter` has each of them in closed form, and weight decay for any depth; with two layers its result is the spectrum of the features, which {py:func}`~fatelib.theory.ridge_risk` turns into a risk of transfer.
#
# ## Turn it yourself
#
# {numref}`fig-explore-growth` is {eq}`growth` for every depth. Raise the initial strength and the plateau melts; lower it and see
# which depth suffers most.

# %%
#| tags: [hide-input]
#| name: fig-explore-growth
#| caption: Strength of the learned direction in time, from {eq}`growth`, for depth 1 to 6; the slider sets the initial strength.
from fatelib.widgets import explore

times, depths, starts = (
    np.linspace(0, 10, 201),
    np.arange(1, 7),
    np.arange(-8.0, 0.0, 0.5),
)
growth = xr.DataArray(
    theory.aligned_strength(
        times, 10 ** starts[:, None, None], depth=depths[:, None]
    ),
    coords={"log10_start": starts, "depth": depths, "time": times},
    name="strength",
)
growth.log10_start.attrs["long_name"] = "log10 of the initial strength"
explore(growth, x="time", lines="depth", at={"log10_start": -3.0, "time": 2.0})

# %% [markdown]
# ## Exercises
#
# :::{exercise} Predict, then run: a smaller start
# :label: ex-smaller-start
#
# You lower the initial scale from $10^{-3}$ to $10^{-6}$ at $d = 500$. By how much does the plateau grow for two layers?
# And for a balanced three-layer network whose layers have singular values $10^{-3}$ and $10^{-6}$?
# :::
#
# :::{solution-start} ex-smaller-start
# :label: sol-smaller-start
# :class: dropdown
# :::
#
# For two layers $s_0$ falls by a factor of $10^6$ and the wait grows by $\tfrac14 \log 10^6$. For three layers $s_0 = \alpha^3$, and the
# wait grows a thousandfold.

# %%
for alpha in (1e-3, 1e-6):
    two, three = (
        theory.escape_time(alpha**2 * 500 / 4),
        theory.escape_time(alpha**3, depth=3),
    )
    print(f"alpha = {alpha:g}:  two layers {two:6.2f}   three layers {three:12.0f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} With pencil: how steep is the rise?
# :label: ex-steepest
#
# At which strength does {eq}`growth` rise fastest, and how fast, for two layers and for many? And how long does it take two layers to get from one quarter to three quarters of the task?
# :::
#
# :::{solution} ex-steepest
# :label: sol-steepest
# :class: dropdown
#
# The derivative of $s^{2 - 2/L} (1 - s)$ vanishes at
#
# $$
# s = \frac{2 - 2/L}{3 - 2/L} = \frac{2L - 2}{3L - 2} ,
# $$
#
# one half for two layers, where $\dot s = 4 \cdot \tfrac14 = 1$, and nearly $2/3$ for many, where $\dot s \approx 2L \left( \tfrac23 \right)^2 \tfrac13 = \tfrac{8}{27} L$. (A single layer is fastest at the start.)
# So the rise takes a time of order $1/L$: from the same initial scale, the deeper the network, the longer the wait and the shorter what one waits for.
#
# By {eq}`logistic` $\log \frac{s}{1 - s}$ grows at the rate 4. From one quarter to three quarters it grows from $-\log 3$ to $\log 3$, which takes the time $\tfrac12 \log 3$, whatever the start.
# :::
#
# :::{exercise} Code: an unbalanced start
# :label: ex-unbalanced
#
# Take the two-layer chain of scalars, $s = uc$, and start it at $u = 0$, $c = 10$. What is conserved, is there a plateau, and
# which layer learns? Check with a network of width 1.
# :::
#
# :::{solution-start} ex-unbalanced
# :label: sol-unbalanced
# :class: dropdown
# :::
#
# $u^2 - c^2 = -100$ is conserved, so $\dot s = 2 (u^2 + c^2)(1 - s) \geq 200\, (1 - s)$: no plateau at all. A small feature, $u \approx 1/10$, is
# enough, and the large last layer hardly moves: learning is linear, as in a one-layer network. That is the *lazy* regime
# {cite:p}`chizat2019`, and the next chapter shows what it costs.

# %%
lazy = fatelib.DeepLinear((jnp.zeros((d, 1)), jnp.full((1, 1), 10.0)))
lazy, lazy_history = fatelib.pretrain(lazy, beta_s, record_every=1)
half = lazy_history.steps[jnp.argmax(lazy_history.loss < 0.25)]
u, c = jnp.linalg.norm(lazy.weights[0]), lazy.weights[1][0, 0]
print(f"half learned by time {half * lazy_history.learning_rate:.4f}")
print(f"u = {u:.4f}, c = {c:.4f}, u^2 - c^2 = {u**2 - c**2:.2f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Your own network: what does its training conserve?
# :label: ex-own-balance
#
# {prf:ref}`thm-balancedness` is about linear layers. Show that in a ReLU network gradient flow conserves, for each hidden unit, the squared norm of its incoming weights and bias minus that of its outgoing weights. Then take a network of yours with plain gradient descent, without momentum or weight decay, and compare this number before and after training at two learning rates. What should happen when the rate is halved at equal time? What does weight decay do to it?
# :::
#
# :::{solution} ex-own-balance
# :label: sol-own-balance
# :class: dropdown
#
# Let a unit have incoming weights $w$, its bias among them (its input is then a one), and outgoing weights $v$. It sends on $h v$ with $h = \max(w \cdot x, 0)$. With $g$ the gradient of the loss of one sample in what the unit sends on, the loss changes
# $w$ by $- (g \cdot v)\, h'\, x$ and $v$ by $- h\, g$, averaged over the samples. Hence
#
# $$
# \begin{aligned}
# \tfrac{d}{dt} \lVert w \rVert^2 &= - 2\, \mathbb E\, (g \cdot v)\, h'\, (w \cdot x) , \\
# \tfrac{d}{dt} \lVert v \rVert^2 &= - 2\, \mathbb E\, (g \cdot v)\, h ,
# \end{aligned}
# $$
#
# and these are equal, because $h' \cdot (w \cdot x) = h$ for a ReLU as for a linear unit {cite:p}`du2018`. Steps break it to first order in $\eta$: half the rate, half the change. A decay that pulls every weight with $- q w$ shrinks both squared norms by $2q$, and so
# their difference, by $e^{-2 q t}$: it balances the layers.
#
# Put your own network, loss and data in the place of these:
#
# ```python
# inputs = jax.random.normal(jax.random.key(10), (200, 10))
# labels = jnp.tanh(inputs[:, 0]) + inputs[:, 1] ** 2
#
#
# def loss(weights):
#     W, b, V = weights  # incoming weights, biases, outgoing weights
#     outputs = jax.nn.relu(inputs @ W + b) @ V
#     return jnp.mean((outputs[:, 0] - labels) ** 2)
#
#
# def weight_balance(weights):
#     W, b, V = weights
#     return (W**2).sum(0) + b**2 - (V**2).sum(1)
#
#
# def largest_change(rate, time=10.0):
#     keys = jax.random.split(jax.random.key(11))
#     W = 0.3 * jax.random.normal(keys[0], (10, 30))
#     V = 0.3 * jax.random.normal(keys[1], (30, 1))
#     weights = start = W, jnp.zeros(30), V
#
#     @jax.jit
#     def step(weights):
#         slopes = jax.grad(loss)(weights)
#         return jax.tree.map(lambda w, g: w - rate * g, weights, slopes)
#
#     for _ in range(round(time / rate)):
#         weights = step(weights)
#     return abs(weight_balance(weights) - weight_balance(start)).max()
#
#
# for rate in (0.02, 0.01, 0.005):
#     print(rate, largest_change(rate))
# ```
#
# Each halving of the rate halves the change.
# :::
#
# :::{exercise} Hard: the wrong sign
# :label: ex-wrong-sign
#
# A chain of two scalars, $s = uc$, starts at $s = -h$: it computes the opposite of the task. What becomes of it if it is balanced? Now let $\delta = c^2 - u^2 > 0$. For $\delta \ll h$, how long does it take until half of the task is learned? Compare with a chain that starts with the right sign.
# :::
#
# :::{solution} ex-wrong-sign
# :label: sol-wrong-sign
# :class: dropdown
#
# As in {numref}`ex-unbalanced`, $\dot s = 2 (u^2 + c^2) (1 - s)$. The square of $u^2 + c^2$ is $(c^2 - u^2)^2 + 4 u^2 c^2$, and $\delta$ is conserved, so that
#
# $$
# \dot s = 2 \sqrt{\delta^2 + 4 s^2}\; (1 - s) .
# $$
#
# Balanced, this is $4 \lvert s \rvert (1 - s)$: the strength rises to zero and *stays* there, at the saddle, since $\dot s = 0$ at $s = 0$. Such a start is exceptional: any $\delta$ leads past. The time is $\int ds / \dot s$. Split it at zero. Beyond,
#
# $$
# \frac{1}{1 - s} = 1 + \frac{s}{1 - s} ,
# $$
#
# and the first part gives $\int_0^{1/2} ds / (2 \sqrt{\delta^2 + 4 s^2}) = \tfrac14 \operatorname{arsinh}(1/\delta) \approx \tfrac14 \log (2/\delta)$; in the second, which is harmless at zero, $\delta$ may be dropped: $\int_0^{1/2} ds / (4 (1 - s)) = \tfrac14 \log 2$.
# In the same way the time from $-h$ to zero is $\tfrac14 \log (4 h / \delta) - \tfrac14 \log (1 + h)$. Together
#
# $$
# t_{1/2} \approx \tfrac14 \log \frac{16\, h}{(1 + h)\, \delta^2} .
# $$
#
# The chain waits twice: $\tfrac14 \log (1/\delta)$ to unlearn, and the same again to learn. With the right sign and $s_0 = h$ it takes $\tfrac14 \log (1/h - 1)$, by {eq}`logistic`, however small $\delta$. Integrated step by step:
#
# ```python
# for start, delta in ((0.1, 1e-2), (0.1, 1e-4), (0.5, 1e-4)):
#     c = np.sqrt((delta + np.sqrt(delta**2 + 4 * start**2)) / 2)
#     u, time, rate = -start / c, 0.0, 1e-4
#     while u * c < 0.5:
#         slope = 2 * (1 - u * c)
#         u, c, time = u + rate * slope * c, c + rate * slope * u, time + rate
#     formula = np.log(16 * start / ((1 + start) * delta**2)) / 4
#     print(f"from {-start}, delta {delta}: {time:.2f}, formula {formula:.2f}")
# ```
# :::
#
# ## What to remember
#
# 1. Small weights sit near a saddle: a plateau, then a sudden rise. For two layers the curve is logistic, predicted from the
#    initial weights.
# 2. Gradient flow keeps neighbouring layers balanced; gradient descent does so to first order in its step.
# 3. The wait grows like $\log (1/\alpha)$ at depth two and like $\alpha^{-(L-2)}$ beyond.
