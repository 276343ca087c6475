# %% [markdown]
# # Feature sparsification
#
# A network has hundreds of hidden units. After pretraining on one task, how many different features do they hold? In
# this chapter you will
#
# - see a network of width 500 reduce itself to a single feature, and prove that it must,
# - turn one knob, the initial scale, to go from this *rich* regime to the *lazy* one that keeps everything,
# - predict from features and target what transfer will cost, and see what a faint memory of the start is worth.

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
from fatelib.linear import alignment, effective_rank

plt.style.use("fatelib.style")

# %%
#| tags: [hide-input]
d = 500
tasks = fatelib.LinearTasks.at_angle(
    jax.random.key(0), d, theta=jnp.pi / 4, sigma=0.2
)


def spectrum(network):
    """Singular values of the map to the last hidden layer."""
    return jnp.linalg.svd(network.feature_map(), compute_uv=False)


start = fatelib.DeepLinear.init(jax.random.key(1), d, depth=2, scale=1e-5)
network, history = fatelib.pretrain(
    start,
    tasks.beta_source,
    learning_rate=0.02,
    steps=400,
    tolerance=0.0,
    record_every=10,
    observe=spectrum,
)
time = 0.02 * history.steps

# %%
#| tags: [hide-input]
#| name: fig-singular-values
#| caption: >-
#|   Singular values of the hidden layer while a two-layer network learns the source task: the largest and every seventh of the other 499. One grows
#|   until it carries the task; the others stay where the initial weights put them. $d = 500$, initial scale $10^{-5}$, learning
#|   rate 0.02, one network.
#| alt: A single curve rises in a straight line on the logarithmic axis and saturates. A dense band of flat lines remains far below
#|   it, at the scale of the initial weights.
fig, ax = plt.subplots()
ax.plot(time, history.observed[:, 1::7], color="C0", alpha=0.3, linewidth=0.7)
ax.plot(time, history.observed[:, 0], color="C1", label="largest")
ax.plot([], [], color="C0", label="every seventh of the others")
ax.set(
    yscale="log",
    ylim=(1e-7, 3),
    xlabel="time $t$",
    ylabel="singular value of $W_1$",
)
ax.legend(loc="center right")
# %% [markdown]
# Before training the layer used most of its directions, afterwards one, and that one is the task:

# %%
for name, net in {"before": start, "after": network}.items():
    print(
        f"{name:7} effective rank {effective_rank(net.feature_map()):6.2f}   "
        f"share along beta_s {alignment(net, tasks.beta_source):.6f}"
    )

# %% [markdown]
# The **effective rank** counts the singular directions a matrix really uses: the exponential of the entropy of its
# normalised singular values {cite:p}`roy2007`.
#
# ## Why one feature is all that remains
#
# {doc}`deep-linear-dynamics` showed that $D_l = W_l^\top W_l - W_{l+1} W_{l+1}^\top$ is conserved. That is all we need.
#
# :::{prf:theorem} Feature sparsification
# :label: thm-sparsification
#
# Let a deep linear network that starts with all $D_l = 0$ reach zero loss on the source task, $W_1 \cdots W_L = \beta_s$. Then its hidden
# features are
#
# $$
# \begin{gathered}
# W_1 \cdots W_{L-1} = \lVert \beta_s \rVert^{-1/L} \; \beta_s v^\top, \\
# \lVert v \rVert = 1 :
# \end{gathered}
# $$ (sparsified)
#
# every hidden unit is a multiple of the one feature $x \mapsto \beta_s \cdot x$.
# :::
#
# :::{prf:proof}
# $W_L$ is a column, so $W_{L-1}^\top W_{L-1} = W_L W_L^\top$ has rank one, and so has $W_{L-1}$. Since
# $W_{L-2}^\top W_{L-2} = W_{L-1} W_{L-1}^\top$, so has $W_{L-2}$, and so on down to $W_1$; and all of them have the same
# singular value, $\lVert \beta_s \rVert^{1/L}$. The left direction of the product is that of $W_1 \cdots W_L = \beta_s$.
# :::
#
# This is Theorem 3.4 of {cite:t}`tahir2025`. Weights of scale $\alpha$ make the entries of $D_l$ of order $\alpha^2$ rather than zero, and all
# singular values but the first of order $\alpha$, as in {numref}`fig-singular-values`.
# It is also why {doc}`when-does-transfer-help` could count $k = 1$ feature: linear transfer has nothing else to work with.
#
# ## From rich to lazy
#
# The rest of this chapter goes beyond the paper; its results are ours. The theorem lives in the limit $\alpha \to 0$. What if the network
# starts large? Two layers can be solved. At the end $W_1 w = \beta_s$, with $w = W_2$, and $D_1 = W_1^\top W_1 - w w^\top$ is what it was at the
# start. Sandwich it between $w$ on both sides: $1 - \lVert w \rVert^4 = w^\top D_1 w$. The last layer starts larger than the hidden one (its
# entries have variance $\alpha^2$ instead of $\alpha^2/d$) and nearly keeps its direction, so that $w^\top D_1 w \approx -\delta \lVert w \rVert^2$
# with $\delta = \alpha^2 (d - 1)$. Along $\hat w$ the features are $W_1 \hat w = \beta_s / \lVert w \rVert$, a learned feature of squared strength
#
# $$
# c^2 = \frac{1}{\lVert w \rVert^2} = \tfrac12 \left( \sqrt{\delta^2 + 4} - \delta \right) .
# $$ (learned-feature)
#
# In all directions orthogonal to $\hat w$ nothing is learned and the initial weights remain, so that
#
# $$
# W_1 \approx c\, \beta_s \hat w^\top + W_1(0) \left( I - \hat w \hat w^\top \right) .
# $$ (ideal-features)
#
# As $\alpha$ grows the learned feature *shrinks* towards $1/(\alpha \sqrt d)$ while the remainder rises: a lazy network solves the task with
# its last layer and leaves the features alone {cite:p}`chizat2019,woodworth2020`.

# %%
d, n, ridge = 200, 100, 1e-3
tasks = fatelib.LinearTasks.at_angle(
    jax.random.key(2), d, theta=jnp.pi / 4, sigma=0.2
)
scales = np.geomspace(1e-4, 3, 12)


relative = jnp.geomspace(1e-3, 1e2, 26)  # ridges in units of the squared scale


def predicted_risk(features, ridges):
    """Risk of linear transfer on given features, for each ridge."""
    U, S, _ = jnp.linalg.svd(features)
    shares = (tasks.beta_target @ U) ** 2
    return theory.ridge_risk(n, S**2, shares, noise=tasks.sigma, ridge=ridges)


def ridge_path(features, X, y, ridges):
    """Risk and leave-one-out error of linear transfer, for each ridge."""
    U, S, V = jnp.linalg.svd(X @ features, full_matrices=False)
    kept = S**2 / (S**2 + n * ridges[:, None])
    fitted = kept * (U.T @ y)
    beta = (fitted / S) @ V @ features.T
    left_out = (y - fitted @ U.T) / (1 - kept @ U.T**2)
    risk = jnp.sum((beta - tasks.beta_target) ** 2, axis=1)
    return risk, jnp.mean(left_out**2, axis=1)


def learned_strength2(alpha):
    """Squared strength of the learned feature."""
    delta = alpha**2 * (d - 1)
    # The same as in the equation, without the difference of two large numbers.
    return 2 / (np.sqrt(delta**2 + 4) + delta)


def ideal_features(unit, alpha):
    """Learned feature plus remainder, from a fresh network of scale 1."""
    W, w = unit.weights[0], unit.weights[1][:, 0]
    w /= jnp.linalg.norm(w)
    learned = jnp.sqrt(learned_strength2(alpha)) * jnp.outer(tasks.beta_source, w)
    return learned + alpha * (W - jnp.outer(W @ w, w))


def isotropic_risk(alpha, width):
    """Predicted risks if the remainder had the strength alpha in all directions."""
    l = np.full(width, alpha**2)
    l[0] += learned_strength2(alpha)
    t = np.full(width, 0.5 / (width - 1))
    t[0] = 0.5
    ridges = alpha**2 * relative
    return theory.ridge_risk(n / d * width, l, t, noise=0.2, ridge=ridges)


def experiment(scale, key):
    """Pretrain from one scale; return what was measured and what theory predicts."""
    init_key, data_key = jax.random.split(key)
    unit = fatelib.DeepLinear.init(init_key, d, depth=2, scale=1.0)
    network = fatelib.DeepLinear.init(init_key, d, depth=2, scale=scale)
    # Balance survives small steps only: stay well below the largest stable rate.
    rate = 0.02 / (1 + scale**2 * d)
    network, history = fatelib.pretrain(
        network, tasks.beta_source, learning_rate=rate, steps=20_000
    )
    X, y = tasks.sample(data_key, n)
    transfer = fatelib.linear_transfer(
        network, tasks, X, y, ridge=ridge, cutoff=0.0
    )
    ridges = scale**2 * relative
    predicted = predicted_risk(network.feature_map(), jnp.append(ridges, ridge))
    best = predicted[:-1].argmin()
    risks, left_out = ridge_path(network.feature_map(), X, y, ridges)
    return {
        "strength2": 1 / jnp.sum(network.weights[1] ** 2),
        "rank": effective_rank(network.feature_map()),
        "ideal_rank": effective_rank(ideal_features(unit, scale)),
        "one": transfer.risk,
        "one_predicted": predicted[-1],
        "best": risks[best],
        "best_predicted": predicted[best],
        "best_ridge": relative[best],
        "chosen": risks[left_out.argmin()],
        "converged": history.converged,
    }


keys = jax.random.split(jax.random.key(3), 20)
results = [
    jax.vmap(lambda key, a=scale: experiment(a, key))(keys) for scale in scales
]
sweep = xr.concat(
    [
        xr.Dataset({k: ("instance", np.asarray(v)) for k, v in r.items()})
        for r in results
    ],
    dim=xr.DataArray(scales, dims="scale", name="scale"),
)
print("all converged:", bool(sweep.converged.all()))


# %%
#| tags: [hide-input]
#| name: fig-effective-rank
#| caption: >-
#|   Effective rank of the hidden layer after pretraining, against the initial scale: networks (points: means of 20 instances, bars:
#|   one standard error) and the ideal features {eq}`ideal-features` (line). Two layers, $d = 200$.
#| alt: An S-shaped curve on a logarithmic horizontal axis that rises from a single feature at small scales to a plateau at large ones; points
#|   lie on the line.
fresh = fatelib.DeepLinear.init(jax.random.key(7), d, depth=2, scale=1.0)
fine = np.geomspace(scales[0], scales[-1], 60)
rank = sweep["rank"].mean("instance")
error = sweep["rank"].std("instance", ddof=1) / np.sqrt(20)
fig, ax = plt.subplots()
ax.plot(fine, [effective_rank(ideal_features(fresh, a)) for a in fine])
ax.errorbar(scales, rank, error, fmt="o", color="C0")
ax.set(xscale="log", xlabel=r"initial scale $\alpha$", ylabel="effective rank")

# %%
#| tags: [check]
# Every network is compared with the ideal features made of its own initial weights.
# During training $\hat w$ turns, by an angle of at most $1/\sqrt d$, and trades a part
# of one direction for another, one of $d$. So the effective rank may be off by a
# share $1/d$.
#
# How far may the learned feature be off? Under gradient flow its closed form is exact
# for each network with its own $\delta = -\hat w^\top D_1 \hat w$. With
# $\delta = \alpha^2 (d - 1)$ instead, the mean of $c^2$ over networks is larger for
# three reasons. $\delta$ scatters by a share $\sqrt{2/d}$ and $c^2$ is convex in it,
# which at large $\delta$ makes a share $2/d$. The turn of $\hat w$ takes a share of at
# most $1/d$ from $\delta$; and steps of finite $\eta$ take a share
# $4 \eta \int (1 - s)^2 \, dt$. These two fade at large $\delta$, where training is
# short, and at small $\delta$, where $c^2$ hardly depends on it. At our $\eta$ all
# three together stay below a share $3/d$ of $c^2$ at every scale; what exceeds it is
# counted in standard errors.
mean = sweep.mean("instance")
ranks = {"effective rank, ratio": (mean["rank"] / mean["ideal_rank"], 1.0)}
display(fatelib.agreement_table(ranks, over=None, tolerance=1 / d))
strength2 = xr.DataArray(learned_strength2(scales), coords={"scale": scales})
ratio = sweep["strength2"] / strength2
allowed = ratio.mean("instance").clip(1 - 3 / d, 1 + 3 / d)
fatelib.agreement_table({"learned feature, ratio": (ratio, allowed)})

# %% [markdown]
# The line knows nothing of the training: it is {eq}`ideal-features` with one random matrix.
#
# ## What laziness costs, and what a faint memory buys
#
# Is one feature the best that pretraining can leave? Take the features of each of these networks, freeze them, and fit a new
# last layer to $n = d/2$ samples of a target at 45°, with a small ridge $\lambda$ (a penalty $\lambda \lVert b \rVert^2$ on the mean squared loss, $b$ the last layer). The general form of the one formula, for
# features of any second moment and ridge regression {cite:p}`canatar2021,hastie2022,simon2023`, predicts the
# outcome from the weights and the target: from the squared singular values $\ell_i$ of the features and the squared
# coefficients $t_i$ of the target on their left singular vectors ($\rho$, the part outside their span, is zero here),
#
# $$
# \begin{aligned}
# R = {} & \frac{n}{n - \sum_i a_i^2} \Big( \sum_i (1 - a_i)^2\, t_i \\[-1ex]
# & \qquad {} + \rho + \sigma^2 \Big) - \sigma^2 , \\
# a_i = {} & \frac{\ell_i}{\ell_i + \tilde\lambda} ,
# \end{aligned}
# $$ (general-risk)
#
# where the effective ridge $\tilde\lambda$ solves $\sum_i a_i + n \lambda / \tilde\lambda = n$. Read $a_i$ as the share of the $i$th coefficient that $n$ samples
# reveal: features with $\ell_i$ above $\tilde\lambda$ are learned, fainter ones are not. The function is {py:func}`fatelib.theory.ridge_risk`.
#
# We fit with one ridge for all networks, $\lambda = 10^{-3}$, and with a ridge for each: of 26 values from $10^{-3} \alpha^2$ to $10^2 \alpha^2$ the one with the least true risk by {eq}`general-risk`,
# or, without knowing the target, the one with the least leave-one-out error on the $n$ samples (`ridge_path` in the folded cell above).

# %%
#| tags: [hide-input]
#| name: fig-laziness
#| caption: >-
#|   Risk of linear transfer against the initial scale of the pretrained network. One ridge for all networks, $\lambda = 10^{-3}$, and the best of 26 for each: measured (points: mean of 20 instances, bars: one standard
#|   error) and predicted from weights and target by {eq}`general-risk` (lines); open: the ridge chosen by leave-one-out. Green: {eq}`general-risk` at the best ridge if the remainder were isotropic. Dashed: a single ideal feature. Dotted: scratch
#|   training with optimal regularisation. $\theta = 45°$, $d = 200$, $n = 100$, $\sigma = 0.2$.
#| alt: >-
#|   With one ridge the risk starts on the dashed line of a single feature, dips at intermediate scales, then climbs far above both
#|   reference lines. With the best ridge it is flat, at the depth of the dip, over all small scales, and rises at large ones; so it does a little higher with leave-one-out. The green line is flat far below and ends on that of regularised scratch training.
fig, ax = plt.subplots(figsize=(6.8, 4.2))
labels = {
    "one": r"one ridge, $10^{-3}$",
    "best": "best ridge",
    "chosen": "leave-one-out",
}
for i, (name, label) in enumerate(labels.items()):
    risk = sweep[name].mean("instance")
    error = sweep[name].std("instance", ddof=1) / np.sqrt(20)
    options = {"color": f"C{min(i, 1)}", "label": label}
    if name == "chosen":
        options["markerfacecolor"] = "w"
    else:
        ax.plot(scales, sweep[f"{name}_predicted"].mean("instance"), f"C{i}")
    ax.errorbar(scales, risk, error, fmt="o", **options)
isotropic = [isotropic_risk(a, d).min() for a in scales]
ax.plot(scales, isotropic, "C2", label="best ridge, isotropic")
one_feature = theory.linear_transfer_risk(jnp.pi / 4, n=n, sigma=0.2, ridge=ridge)
scratch = theory.optimal_scratch_risk(n / d, 0.2)
for value, style, label in (
    (one_feature, "k--", "one feature"),
    (scratch, "k:", "regularised scratch"),
):
    ax.plot(scales[[0, -1]], [value, value], style, linewidth=1, label=label)
ax.set(
    xscale="log", xlabel=r"initial scale $\alpha$", ylabel="risk of linear transfer"
)
ax.legend(fontsize="small")


# %%
#| tags: [check]
# A prediction from the weights of a network is compared with the risk of that network.
# The mean over networks is compared with a prediction that has seen no network at
# all, from the ideal features of one random matrix. The line for an isotropic
# remainder is compared with fits on such features.
def isotropic_fit(key):
    """Risk on one feature and an isotropic remainder, at the best ridge."""
    start = jax.random.normal(key, (d, d)).at[:, 0].set(tasks.beta_source)
    features = jnp.linalg.qr(start)[0] * jnp.full(d, 0.01).at[0].set(1.0)
    X, y = tasks.sample(jax.random.fold_in(key, 0), n)
    best = isotropic_risk(0.01, d).argmin()
    return ridge_path(features, X, y, 0.01**2 * relative)[0][best]


ideal_risk = [predicted_risk(ideal_features(fresh, a), ridge) for a in scales]
fatelib.agreement_table(
    {
        "measured minus predicted, one ridge": (
            sweep.one - sweep.one_predicted,
            0.0,
        ),
        "the same, best ridge": (sweep.best - sweep.best_predicted, 0.0),
        "one ridge, ideal features": (sweep.one, np.array(ideal_risk)),
        "best ridge, isotropic": (
            xr.DataArray(jax.vmap(isotropic_fit)(keys), dims="instance"),
            isotropic_risk(0.01, d).min(),
        ),
    }
)

# %%
#| tags: [build-only]
from myst_nb import glue

mean = sweep.mean("instance")
at_dip = int(mean.one.values.argmin())
small = sweep.scale < 0.1
flat = mean.best.where(small, drop=True)
# As the text says: one ridge has a dip, the best ridge for each network has none,
assert mean.one[at_dip] < 0.9 * min(mean.one[0], mean.one[-1])
assert mean.one[-1] > 1
apart = float(flat.max() - flat.min())
error = float(sweep.best[0].std("instance", ddof=1)) / 20**0.5
close = 1e-3
assert apart < close
chosen = mean.chosen.where(small, drop=True)
assert float(chosen.max() - chosen.min()) < error
# it is proportional to the square of the scale, and only the lazy end is worse.
unit = sweep.best_ridge.where(small, drop=True)
assert abs(unit.mean("instance") / unit.mean() - 1).max() < 0.05
assert abs(mean.one[at_dip] - flat.mean()) < 2 * error
assert mean.best[-1] > flat.mean() + 10 * error
assert float(chosen.max()) < one_feature < scratch < mean.best[-1]
# An isotropic remainder is the prior of the chapter on baselines, or scratch training.
assert abs(isotropic[-1] / scratch - 1) < 0.01
closed = float(theory.regularised_risk(n / d, 0.2, 0.5))
assert abs(isotropic_risk(1e-3, 100 * d).min() / closed - 1) < 1e-3
for name, value in {
    "dip-scale": scales[at_dip],
    "dip-risk": mean.one[at_dip],
    "rich-risk": mean.one[0],
    "lazy-risk": mean.one[-1],
    "best-risk": flat.mean(),
    "best-error": error,
    "best-apart": close,
    "best-up-to": small.scale[small][-1],
    "best-lazy": mean.best[-1],
    "chosen-risk": chosen.mean(),
    "unit-ridge": unit.mean(),
    "isotropic": isotropic_risk(1e-3, d).min(),
    "isotropic-limit": closed,
}.items():
    glue(name, float(value), display=False)

# %% [markdown]
# With **one ridge** for all, a little laziness seems to pay. The rich end has the risk {glue:text}`rich-risk:.2f` of its one feature, $\sin^2\theta$; the lazy end fits $d$
# numbers with $d/2$ samples, {glue:text}`lazy-risk:.2f`, worse than predicting nothing; and at $\alpha \approx$ {glue:text}`dip-scale:.2f` it is {glue:text}`dip-risk:.2f`.
#
# But a ridge is large or small only next to the squared strengths of the features, here $\alpha^2$ for all but one. With the **best ridge** for each network, on average {glue:text}`unit-ridge:.2f` $\alpha^2$, *every* small scale has the risk of the dip,
# {glue:text}`best-risk:.3f` ± {glue:text}`best-error:.3f`, from $\alpha = 10^{-4}$ to {glue:text}`best-up-to:.2f`; the networks and samples are the same at all scales, and the means differ by less than {glue:text}`best-apart:.3f`. Leave-one-out finds {glue:text}`chosen-risk:.2f`, at all of these scales, too. However faint, the remainder is worth the same:
# it is a prior that leaves the direction of the source free and shrinks the rest. Only the lazy end, where the learned feature is no longer stronger than the others, is worse at its best ridge: {glue:text}`best-lazy:.2f`.
#
# If the remainder were isotropic, this prior would be that of {doc}`the-baseline-matters`, $\Delta = \sin^2\theta$ in {eq}`best-risk`: for large $d$ a risk of {glue:text}`isotropic-limit:.2f`, and {glue:text}`isotropic:.2f` at $d = 200$. The rest of the {glue:text}`best-risk:.2f`
# is the price of the unequal singular values of a square Gaussian matrix. And its lazy end would be regularised scratch training.

# %% [markdown]
# ## Turn it yourself

# %%
#| tags: [hide-input]
#| name: fig-explore-laziness
#| caption: What the faint remainder is worth, namely the risk of linear transfer with one ideal feature minus that with the
#|   ideal features {eq}`ideal-features`, over initial scale and samples per dimension
#|   ($d = 200$, $\sigma = 0.2$). Blue, the remainder helps. The sliders set the angle between the tasks and the ridge. One ridge acts at
#|   all scales; divided by ten, it moves the blue valley to scales smaller by $\sqrt{10}$.
from fatelib.widgets import explore

alphas, ratios = np.geomspace(1e-4, 3, 28), np.linspace(0.1, 2, 39)
angles, ridges = np.arange(5) * np.pi / 8, np.array([-4.0, -3.0, -2.0, -1.0])
ideal = jnp.stack([ideal_features(fresh, a) for a in alphas])
U, S, _ = jnp.linalg.svd(ideal)
# Each feature's share along the source; the rest of the target is spread evenly.
along = np.asarray(jnp.einsum("d,adk->ak", tasks.beta_source, U) ** 2).clip(max=1)
cos2 = np.cos(angles[:, None, None, None, None]) ** 2
along = along[:, None]
shares = cos2 * along + (1 - cos2) * (1 - along) / (d - 1)
penalty = 10 ** ridges[:, None, None]
network_risk = theory.ridge_risk(
    ratios * d, np.asarray(S)[:, None] ** 2, shares, noise=0.2, ridge=penalty
)
ideal_risk = theory.linear_transfer_risk(
    angles[:, None, None, None], n=ratios * d, sigma=0.2, ridge=penalty
)
theta = xr.DataArray(angles, dims="theta", attrs={"units": "rad"})
gain = xr.DataArray(
    ideal_risk - network_risk,
    coords={
        "theta": theta,
        "log10_ridge": ridges,
        "log10_scale": np.log10(alphas),
        "gamma": ratios,
    },
    name="gain",
)
start = {"theta": np.pi / 4, "log10_ridge": -3.0, "log10_scale": -1.5, "gamma": 0.5}
explore(gain, x="log10_scale", y="gamma", at=start, limit=0.5)

# %%
#| tags: [build-only]
valley = np.asarray(gain.sel(theta=np.pi / 4, gamma=0.5, method="nearest"))
moved = np.diff(np.log10(alphas)[valley.argmax(axis=1)])
assert (abs(moved[:2] - 0.5) < np.log10(alphas[1] / alphas[0])).all()

# %% [markdown]
# ## Exercises
#
# :::{exercise} Predict, then run: deeper is sparser
# :label: ex-deeper
#
# At the same initial scale, $\alpha = 0.02$, does a three-layer network keep more features or fewer than a two-layer one? Guess from
# the size of the remainder, then measure.
# :::
#
# :::{solution-start} ex-deeper
# :label: sol-deeper
# :class: dropdown
# :::
#
# The hidden features of three layers are a product of two matrices, so what remains of the initial weights is of order $\alpha^2$ instead of
# $\alpha$: far fewer.

# %%
for depth in (2, 3):
    net = fatelib.DeepLinear.init(jax.random.key(4), d, depth=depth, scale=0.02)
    net, _ = fatelib.pretrain(net, tasks.beta_source, learning_rate=0.02)
    print(f"depth {depth}: effective rank {effective_rank(net.feature_map()):.2f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} With pencil: where rich turns lazy
# :label: ex-rich-to-lazy
#
# At which $\delta$ has the learned feature {eq}`learned-feature` lost half of its squared strength, and at which $\alpha$ is that? The singular values of the square matrix $W_1(0)$ reach up to $2\alpha$. At which $\alpha$ is the learned feature no longer the strongest?
# :::
#
# :::{solution} ex-rich-to-lazy
# :label: sol-rich-to-lazy
# :class: dropdown
#
# {eq}`learned-feature` solves $c^4 + \delta c^2 = 1$, that is $\delta = 1/c^2 - c^2$. At $c^2 = \tfrac12$ this is $\delta = \tfrac32$, hence
#
# $$
# \alpha = \sqrt{\frac{3}{2 (d - 1)}} .
# $$
#
# At $c = 2 \alpha$ it says $\alpha^2 (d - 1) = 1/(4 \alpha^2) - 4 \alpha^2$, so that
#
# $$
# \alpha = \big( 4 (d + 3) \big)^{-1/4} .
# $$
#
# The first is of order $d^{-1/2}$, the second of order $d^{-1/4}$. In between the last layer does most of the work already, but the learned feature still stands out. And the larger $d$, the smaller a start must be to be rich.
# :::
#
# :::{exercise} Code: why `linear_transfer` has a cutoff
# :label: ex-cutoff
#
# {py:func}`fatelib.transfer.linear_transfer` counts features below a thousandth of the largest as absent. Vary it, without
# ridge, for a network pretrained from $\alpha = 10^{-3}$, whose remainder reaches twice that. Why does the risk change so much, although the features hardly differ from a single one?
# :::
#
# :::{solution-start} ex-cutoff
# :label: sol-cutoff
# :class: dropdown
# :::
#
# Minimum-norm interpolation uses *any* direction, however faint, to fit the labels: the remainder of the initial weights is blown up by
# a factor of $1/\alpha$ until it absorbs the noise and the part of the target that the feature misses. Gradient descent for a finite time
# would never see it: a feature of strength $\alpha$ learns at a rate proportional to $\alpha^2$. Worst is a cutoff *inside* the remainder, which may keep
# about $n$ features, the peak of double descent. (What is left of the training loss at cutoff 0 is rounding: in 32-bit numbers the very faintest features drown in it, in 64-bit ones the fit is exact.)

# %%
net = fatelib.DeepLinear.init(jax.random.key(5), d, depth=2, scale=1e-3)
net, _ = fatelib.pretrain(net, tasks.beta_source, learning_rate=0.02)
X, y = tasks.sample(jax.random.key(6), n)
for cutoff in (1e-2, 1e-3, 0.0):
    result = fatelib.linear_transfer(net, tasks, X, y, cutoff=cutoff)
    print(
        f"cutoff {cutoff}: risk {result.risk:.3f}, training loss {result.loss:.1e}"
    )

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Your own network: how many features?
# :label: ex-own-rank
#
# Is your network rich or lazy? Compute its hidden units on your inputs, before and after training, take off the mean of each, and compare the effective ranks. (Take several times as many inputs as units.) Without a network of your own, let a ReLU network of 100 hidden units learn one ReLU neuron, once from small weights and once from large ones.
# :::
#
# :::{solution} ex-own-rank
# :label: sol-own-rank
# :class: dropdown
#
# ```python
# inputs = jax.random.normal(jax.random.key(10), (400, 10))
# labels = jax.nn.relu(inputs @ jnp.full(10, 0.4))
#
#
# def hidden(weights):
#     return jax.nn.relu(inputs @ weights[0])
#
#
# def loss(weights):
#     return jnp.mean((hidden(weights) @ weights[1] - labels) ** 2)
#
#
# def used(weights):
#     Z = hidden(weights)
#     return effective_rank(Z - Z.mean(axis=0))
#
#
# @jax.jit
# def step(weights):
#     slopes = jax.grad(loss)(weights)
#     return jax.tree.map(lambda w, g: w - 0.02 * g, weights, slopes)
#
#
# for scale in (0.01, 1.0):
#     keys = jax.random.split(jax.random.key(11))
#     W = scale * jax.random.normal(keys[0], (10, 100)) / 10**0.5
#     weights = start = W, scale * jax.random.normal(keys[1], (100,)) / 10
#     for _ in range(4000):
#         weights = step(weights)
#     print(f"scale {scale}: {used(start):.1f} before, {used(weights):.1f} after")
# ```
#
# From small weights the rank falls to a fraction of what it was, from large ones it stays: rich and lazy are not peculiar to linear networks. A rank that has fallen says that the network has made features for its task, not that they are good for yours; for that, see {doc}`which-layer`.
# :::
#
# :::{exercise} Hard: many tasks and many layers
# :label: ex-many-deep
#
# A balanced network with several outputs reaches zero loss on several source tasks, $W_1 \cdots W_L = B_s$. Which singular values have its features $W_1 \cdots W_{L-1}$? Two tasks of norm one enclose an angle $\varphi$: how much stronger is what they share than their difference, for two layers and for many?
# :::
#
# :::{solution} ex-many-deep
# :label: sol-many-deep
# :class: dropdown
#
# Begin with the innermost pair of $W_1 \cdots W_l W_l^\top \cdots W_1^\top$. Balance turns it into one of the layer before, $W_l W_l^\top = W_{l-1}^\top W_{l-1}$, and with its neighbours this makes $W_{l-1} W_{l-1}^\top W_{l-1} W_{l-1}^\top$, a square. By balance again this is $(W_{l-2}^\top W_{l-2})^2$, with its neighbours a cube, and so on down to
#
# $$
# W_1 \cdots W_l W_l^\top \cdots W_1^\top = \big( W_1 W_1^\top \big)^l .
# $$
#
# For $l = L$ the left-hand side is $B_s B_s^\top$. So with $l = L - 1$ the features have the second moments
#
# $$
# \big( B_s B_s^\top \big)^{1 - 1/L} :
# $$
#
# their singular values are those of $B_s$ to the power $1 - 1/L$, the square roots for two layers ({eq}`many-features`). For two tasks $B_s$ has the squared singular values $1 \pm \cos\varphi$, with the ratio $\cot^2 (\varphi/2)$. In squared strength the shared feature is therefore stronger by the factor
#
# $$
# \cot^{2 - 2/L} (\varphi/2) ,
# $$
#
# $\cot (\varphi/2)$ for two layers and nearly its square for many. Depth does not lose the second feature, but makes it fainter, so that fewer samples or a larger ridge hide it, by {eq}`general-risk`. Three layers trained from random weights:
#
# ```python
# angle = jnp.pi / 6
# turned = jnp.array([jnp.cos(angle), jnp.sin(angle)])
# B_s = jnp.zeros((30, 2)).at[0, 0].set(1.0).at[:2, 1].set(turned)
# shapes = [(30, 30), (30, 30), (30, 2)]
# keys = jax.random.split(jax.random.key(0), 3)
# weights = [
#     0.02 * jax.random.normal(key, shape) / 30**0.5
#     for key, shape in zip(keys, shapes, strict=True)
# ]
#
#
# def loss(weights):
#     return jnp.sum((jnp.linalg.multi_dot(weights) - B_s) ** 2)
#
#
# @jax.jit
# def step(weights):
#     slopes = jax.grad(loss)(weights)
#     return jax.tree.map(lambda w, g: w - 0.01 * g, weights, slopes)
#
#
# for _ in range(20_000):
#     weights = step(weights)
# strengths = jnp.linalg.svd(weights[0] @ weights[1], compute_uv=False)
# print(strengths[:2] ** 2)
# print((1 + jnp.array([1, -1]) * jnp.cos(angle)) ** (2 / 3))
# ```
# :::
#
# ## What to remember
#
# 1. A balanced start, which small weights are, plus zero loss leave one feature, the task itself, whatever the width and depth.
# 2. The initial scale decides: from rich (one feature) to lazy (all of the initial ones), along a curve in closed form.
# 3. The spectrum of the features and the target's share in each predict transfer. What is left of the start is worth the same at every small scale, if the ridge goes with its square; one ridge for all makes one scale look best.
