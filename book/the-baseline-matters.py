# %% [markdown]
# # The baseline matters
#
# Transfer beat training from scratch. Was it the merit of the features, or the weakness of the rival? In this
# chapter you will
#
# - give the scratch network the weight decay that any practitioner would give it, and see the phase diagram simplify,
# - find one equation that prices every method in samples, and from it a single closed-form boundary,
# - regularise the transferred network as well, *towards* what it knows: then 60° decides, for any number of samples,
#   and with one number more to learn transfer never loses, at the best strength and for large $d$,
# - choose every strength from the samples themselves, and see which of this is still true.

# %%
#| tags: [hide-input]
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import plot, theory

plt.style.use("fatelib.style")

# %%
#| tags: [hide-input]
#| name: fig-two-baselines
#| caption: >-
#|   Linear transfer, the same network in both panels, against two baselines: scratch training without weight decay (left) and with the best
#|   weight decay for its number of samples (right). Theory for large $d$ at label noise $\sigma = 0.2$. Dashed: the boundary
#|   {eq}`fair-boundary`.
#| alt: >-
#|   Two maps over angle and samples per dimension. Left: blue at few samples, two red regions, and between them a blue band across all angles
#|   at gamma equal to one. Right: one blue region below a falling curve, one red region above it, and no band.
sigma = 0.2
theta = np.linspace(0.01, np.pi / 2, 181)
gamma = np.linspace(0.01, 2, 399)
baselines = {
    "no weight decay": theory.scratch_risk(gamma, sigma),
    "best weight decay": theory.optimal_scratch_risk(gamma, sigma),
}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
for ax, (name, baseline) in zip(axes, baselines.items(), strict=True):
    gain = baseline - theory.linear_transfer_risk(theta[:, None])
    T = xr.DataArray(gain, coords={"theta": theta, "gamma": gamma})
    plot.phase_diagram(T, limit=1, colorbar=ax is axes[1], ax=ax)
    ax.set(title=f"scratch with {name}", ylim=(0, 2))
boundary = theory.regularised_transfer_boundary(theta, sigma)
axes[1].plot(theta, boundary, "--", color="C5")
axes[1].set_ylabel("")

# %% [markdown]
# The band of {doc}`when-does-transfer-help`, where even orthogonal features seemed to help, is gone, and so is the separate region of negative transfer
# below it: one curve separates winning from losing. Where does the curve come from, and does weight decay on a deep network really do this?
# (The answers are ours where no source is named.)
#
# ## Weight decay on a deep linear network is ridge regression
#
# Weight decay adds `decay` times each weight to its gradient: the loss gains $\tfrac12\, \text{decay} \sum_l \lVert W_l \rVert^2$. What does that
# mean for the map $\beta = W_1 \cdots W_L$, which is all that matters for the risk?
#
# :::{prf:theorem} Weight decay ends on the ridge path
# :label: thm-decay-is-ridge
#
# Let gradient descent on a deep linear network with weight decay stop at $\beta \neq 0$, and let $G(\beta)$ be the gradient of the loss in
# $\beta$. Then
#
# $$
# \begin{gathered}
# G(\beta) + 2 \lambda\, \beta = 0 , \\
# \lambda = \tfrac12\, \text{decay} \; \lVert \beta \rVert^{2/L - 2} :
# \end{gathered}
# $$ (decay-is-ridge)
#
# $\beta$ is the ridge solution, the minimiser of $\text{loss} + \lambda \lVert \beta \rVert^2$, for this $\lambda$.
# :::
#
# :::{prf:proof}
# Write $\nabla_l$ for the gradient of the loss in $W_l$. Where training stops, $\nabla_l = -\text{decay}\, W_l$ for every $l$. The chain rule gives
# $W_l^\top \nabla_l = \nabla_{l+1} W_{l+1}^\top$, so $W_l^\top W_l = W_{l+1} W_{l+1}^\top$: decay balances the layers. As in {doc}`feature-sparsification` all of them then have rank
# one and the same norm, $\lVert \beta \rVert^{1/L}$. For the first layer $\nabla_1 = G\,(W_2 \cdots W_L)^\top$ with
# $\lVert W_2 \cdots W_L \rVert = \lVert \beta \rVert^{1 - 1/L}$ and $W_1 W_2 \cdots W_L = \beta$. Multiply $G\,(W_2 \cdots W_L)^\top = -\text{decay}\, W_1$ by
# $W_2 \cdots W_L$ from the right: $G \lVert \beta \rVert^{2 - 2/L} = -\text{decay}\, \beta$.
# :::
#
# Which $\lambda$ it is depends on the data, through $\lVert \beta \rVert$. But with two layers, where decay amounts to the convex penalty
# $\text{decay} \, \lVert \beta \rVert$, every point of the ridge path has its decay: the *best* decay is the best ridge, no less and no more. (Deeper
# networks reach the same path, except for its end near zero, where decay takes all weights to zero at once.) Hold one full network, every
# weight of it trained from random ones, against {eq}`decay-is-ridge`:

# %%
d, decay = 500, 0.1
tasks = fatelib.LinearTasks.at_angle(
    jax.random.key(0), d, theta=jnp.pi / 4, sigma=sigma
)
X, y = tasks.sample(jax.random.key(1), n=400)
result = fatelib.scratch(
    jax.random.key(2),
    tasks,
    X,
    y,
    engine="gram",
    learning_rate=0.1,
    weight_decay=decay,
    absolute_tolerance=1e-9,
)
beta = result.network.end_to_end()
ridge = decay / (2 * jnp.linalg.norm(beta))
solution = np.linalg.solve(X.T @ X / len(y) + ridge * np.eye(d), X.T @ y / len(y))
distance = np.linalg.norm(beta - solution) / np.linalg.norm(solution)
print(f"ridge {ridge:.4f}, relative distance to its solution {distance:.1e}")
assert result.converged
assert distance < 1e-3

# %% [markdown]
# ## One price list
#
# So the fair baseline is optimally tuned ridge regression, and for Gaussian inputs its risk has a closed form. It costs nothing to ask for more:
# let the ridge pull towards any vector $m$ instead of zero,
#
# $$
# \min_\beta \; \tfrac1n \lVert X \beta - y \rVert^2 + \lambda \lVert \beta - m \rVert^2 ,
# \qquad \Delta = \lVert \beta_t - m \rVert^2 ,
# $$ (pull)
#
# where $\Delta$ says how much there is left to learn.
#
# :::{prf:theorem} The price of a risk
# :label: thm-price
#
# For $n, d \to \infty$ the best $\lambda$ in {eq}`pull` is $\lambda^* = \sigma^2 / (\gamma \Delta)$, and the number of samples per dimension that it takes
# to come down to the risk $R < \Delta$ is
#
# $$
# \gamma = \left( 1 - \frac R \Delta \right) \left( 1 + \frac{\sigma^2}{R} \right) .
# $$ (price)
# :::
#
# :::{prf:proof} Idea
# To the fit, only $\beta_t - m$ matters, and Gaussian inputs look the same from all directions: it may as well be drawn from
# $\mathcal N(0, \tfrac{\Delta}{d} I)$. For that prior the best estimate is the posterior mean, which is the ridge solution with
# $n \lambda = \sigma^2 d / \Delta$. Every direction keeps on average the share $1 - R/\Delta$ of the signal. For large $d$ the fit is, direction by direction, the
# estimate of one number with an effective noise {cite:p}`canatar2021,simon2023`, the error $R$ in all other directions included:
# $n$ samples with noise variance $\sigma^2 + R$. A Gaussian prior of variance $\Delta/d$ and $n$ such samples leave the variance
# $1/(d/\Delta + n / (\sigma^2 + R))$ per direction. Times $d$ this must be $R$ itself:
# $\frac1R = \frac1\Delta + \frac{\gamma}{\sigma^2 + R}$, which is {eq}`price`.
# :::
#
# For scratch training, $m = 0$ and $\Delta = 1$. Solved for $R$, the quadratic {eq}`price` is the curve without double descent of
# {doc}`when-does-transfer-help` {cite:p}`dobriban2018`:
#
# $$
# R = \tfrac12 \left( -b + \sqrt{b^2 + 4 \Delta \sigma^2} \right), \qquad b = \sigma^2 + (\gamma - 1) \Delta .
# $$ (best-risk)
#
# Linear transfer reaches $\sin^2\theta$, in the limit for free. So it wins exactly as long as scratch training cannot afford that risk: put $R = \sin^2\theta$,
# $\Delta = 1$ in {eq}`price`.
#
# :::{prf:corollary} The fair boundary
# :label: cor-fair-boundary
#
# Against optimally regularised scratch training, for large $d$, linear transfer is positive if and only if
#
# $$
# \gamma < \cos^2\theta \left( 1 + \frac{\sigma^2}{\sin^2\theta} \right) .
# $$ (fair-boundary)
# :::
#
# As functions, {eq}`best-risk` is {py:func}`~fatelib.theory.regularised_risk` and {eq}`fair-boundary` is
# {py:func}`~fatelib.theory.regularised_transfer_boundary`:

# %%
edge = theory.regularised_transfer_boundary(np.pi / 4, sigma)
print(f"at 45 degrees transfer pays up to n = {edge:.3f} d; there, risks are")
print(f"  regularised scratch {theory.optimal_scratch_risk(edge, sigma):.6f}")
print(f"  linear transfer     {theory.linear_transfer_risk(np.pi / 4):.6f}")

# %% [markdown]
# ## Figure 5 of the paper
#
# {cite:t}`tahir2025` gave the scratch network a few values of weight decay to choose from, $0, 10^{-4}, 10^{-3}, 10^{-2}$ and $10^{-1}$. We train
# the same: $L = 2$, $d = 500$, $\sigma = 0.2$, 20 sample sizes, 20 instances, learning rate 0.1 for at most $10^4$ steps, from one direction of scale
# $10^{-5}$ (`engine="spectral"`). For the transferred networks, at 20 angles, the last layer is solved for on the same samples (`engine="limit"`).

# %%
#| tags: [remove-output]
gammas = np.arange(1, 21) / 10
decays = [0.0, 1e-4, 1e-3, 1e-2, 1e-1]
common = {"d": d, "sigma": sigma, "instances": 20, "key": jax.random.key(3)}
scratch = fatelib.phase_diagram(
    "linear_transfer",
    [np.pi / 4],  # scratch training does not know the angle
    gammas,
    weight_decay=decays,
    learning_rate=0.1,
    absolute_tolerance=1e-8,
    engine="spectral",
    **common,
)
scratch = scratch.isel(theta=0, drop=True).rename(weight_decay="decay")
thetas = np.linspace(0.05, 1, 20) * np.pi / 2
transfer = fatelib.phase_diagram(
    "linear_transfer", thetas, gammas, engine="limit", **common
)

# %% [markdown]
# The same key draws the same samples for both calls. For each number of samples keep the decay with the smallest mean risk:

# %%
best = scratch.risk_scratch.mean("instance").idxmin("decay")
chosen = scratch.risk_scratch.sel(decay=best).drop_vars("decay")
T = chosen - transfer.risk


# %%
#| tags: [hide-input]
#| name: fig-5
#| caption: >-
#|   Figure 5 of the paper. Left: transferability of linear transfer against the best of five weight decays, means of 20 instances; dashed, the closed form
#|   {eq}`fair-boundary`. Right: risk of scratch training at each decay (points: means, bars: one standard error, hollow: not converged), the ridge theory of each
#|   (lines), and the best possible {eq}`best-risk` (black). $L = 2$, $d = 500$, $\sigma = 0.2$, learning rate 0.1, at most $10^4$ steps.
#| alt: >-
#|   Left: a map, blue below a falling curve and red above it; the dashed line follows its zero contour. Right: five risk curves over samples per dimension. The one
#|   without decay peaks at gamma equal to one, larger decays flatten the peak, and the largest lies close to the black curve.
def decayed_risk(n, decay):
    """Risk with a given decay: ridge and norm, found together."""
    spectrum, shares = jnp.ones(d), jnp.full(d, 1 / d)
    ridge = decay / 2
    for _ in range(12):
        risk = theory.ridge_risk(n, spectrum, shares, noise=sigma, ridge=ridge)
        kept = 1 / (1 + theory.effective_ridge(n, spectrum, ridge=ridge))
        ridge = decay / (2 * np.sqrt(risk - (1 - kept) ** 2 + kept**2))
    return risk


n = scratch.n.values
unregularised = theory.least_squares_risk(n, d, noise=sigma)
with_decay = decayed_risk(n[:, None], np.array(decays[1:]))
at_decay = scratch.risk_scratch.mean("instance").copy(
    data=np.column_stack([unregularised, with_decay]).T
)
fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8))
plot.phase_diagram(T, limit=1, ax=left)
left.plot(theta, boundary, "--", color="C5")
left.set(ylim=(0.05, 2.05), xlim=(0.05, np.pi / 2 + 0.03))
plot.slices(
    scratch.risk_scratch,
    at_decay,
    by="decay",
    converged=scratch.converged,
    ax=right,
)
right.plot(gamma, baselines["best weight decay"], "k", label="best possible")
right.set(ylabel="risk of scratch", ylim=(0, 1))
right.legend(fontsize="small")

# %% [markdown]
# The lines are no fit. By {prf:ref}`thm-decay-is-ridge` a decay is a ridge that depends on $\lVert \beta \rVert$; ridge theory
# ({py:func}`fatelib.theory.ridge_risk`) tells $\lVert \beta \rVert$ from the ridge; `decayed_risk` in the folded code finds the ridge that fits both. In every cell but those whose training had not converged and
# the peak of the undecayed network, $|n - d| \le 25$, where means of 20 instances mean little:

# %%
away = (abs(scratch.n - d) > 25) | (scratch.decay > 0)
converged = scratch.converged.all("instance")
transfer_theory = theory.linear_transfer_risk(thetas[:, None], n=n, sigma=sigma)
gain_theory = at_decay.sel(decay=best).values - np.asarray(transfer_theory)
fatelib.agreement_table(
    {"risk of scratch at every decay": (scratch.risk_scratch, at_decay)},
    where=away & converged,
)

# %%
fatelib.agreement_table(
    {"transferability at the best decay": (T.transpose("theta", ...), gain_theory)},
    where=converged.sel(decay=best, drop=True).broadcast_like(T.isel(instance=0)),
)

# %%
#| tags: [build-only]
from myst_nb import glue

optimal = np.asarray(theory.optimal_scratch_risk(gammas, sigma))
price = at_decay.sel(decay=best) / optimal - 1
glue("coarse-worst", f"{100 * float(price.max()):.0f}", display=False)
glue("coarse-where", f"{float(price.idxmax()):.1f}", display=False)
glue("trained", scratch.risk_scratch.size, display=False)

# %% [markdown]
# Two remarks on the {glue:text}`trained` scratch networks of {numref}`fig-5`. A factor of ten from one decay to the next is coarse: by the ridge theory, the best of the five is up to
# {glue:text}`coarse-worst` per cent (at $\gamma =$ {glue:text}`coarse-where`) above the best possible, which makes the map a little generous to transfer. And hollow points are networks that $10^4$ steps did not bring to the end.
# Nobody would pick them: they have too little decay.
#
# ## Pull towards what you know
#
# If scratch training may use weight decay, so may fine-tuning. But decay towards *zero* asks the network to forget. Decay towards the pretrained
# weights, known as L2-SP {cite:p}`li2018` and solved for regressions without networks by {cite:t}`dar2021`, asks it to remember. For the map itself that is {eq}`pull` with $m = \beta_s$, and {prf:ref}`thm-price` has the answer: all of transfer
# is in one number,
#
# $$
# \Delta = \lVert \beta_t - \beta_s \rVert^2 = 2 - 2 \cos\theta
# $$ (l2sp-distance)
#
# instead of the 1 of scratch training.
# At equal $\gamma$ the risk {eq}`best-risk` grows with $\Delta$. So L2-SP beats regularised scratch training if and only if $\Delta < 1$:
# **below 60°, at every number of samples and every noise**, also for $\gamma > 1$, where the plain {doc}`fine-tuning` has nothing left to gain.
#
# Why $\beta_s$ and not a multiple of it? The best multiple is $m = \cos\theta\, \beta_s$ with
#
# $$
# \Delta = \sin^2\theta \le 1 :
# $$ (scaled-distance)
#
# **with the best $\lambda$ and for large $d$ never negative**, and since $R < \Delta = \sin^2\theta$ better than linear transfer, too. The multiple need not be known: linear transfer
# estimates it (at an error of order $1/n$, which at 90° is all there is). So train the last layer first and pull towards
# the result, which is the advice of {cite:t}`kumar2022`, linear probing before fine-tuning, for reasons of their own. The strength $\lambda^*$ does depend on $\Delta$; at first we compute it from
# the true $\Delta$.
#
# The experiment is short: exact solutions of {eq}`pull` on the same samples for three choices of $m$, each with its own $\lambda^*$.

# %%
angles = np.arange(1, 13) * np.pi / 24
priors = ["zero (scratch)", "the source", "the source, scaled"]


def pulled_risks(key, n):
    """Risks of the best ridge towards each of the priors."""
    task_key, data_key = jax.random.split(key)
    pair = fatelib.LinearTasks.at_angle(task_key, d, jnp.pi / 2, sigma)
    target, across = pair.beta_target, pair.beta_source
    X, y = pair.sample(data_key, n)
    curvature, V = jnp.linalg.eigh(X.T @ X / n)

    def risk(m):
        left = target - m
        ridge = sigma**2 * d / (n * jnp.sum(left**2))
        step = V.T @ (X.T @ (y - X @ m)) / n / (curvature + ridge)
        return jnp.sum((step - V.T @ left) ** 2)

    def at(theta):
        source = jnp.cos(theta) * target + jnp.sin(theta) * across
        z = X @ source
        scale = z @ y / (z @ z)  # linear transfer
        return jnp.stack([risk(0 * source), risk(source), risk(scale * source)])

    return jax.lax.map(at, jnp.asarray(angles))


sizes = np.array([250, 500, 750])
keys = jax.random.split(jax.random.key(4), (len(sizes), 20))
measured = xr.DataArray(
    [
        jax.jit(lambda keys, n=n: jax.lax.map(lambda k: pulled_risks(k, n), keys))(
            row
        )
        for n, row in zip(sizes.tolist(), keys, strict=True)
    ],
    dims=("gamma", "instance", "theta", "pull"),
    coords={"gamma": sizes / d, "theta": angles, "pull": priors},
)


def distance2(theta):
    """Squared distance from the three priors to the target."""
    return np.stack([1 + 0 * theta, 2 - 2 * np.cos(theta), np.sin(theta) ** 2], -1)


predicted = theory.regularised_risk(
    measured.gamma.values[:, None, None], sigma, distance2(angles)
)
fatelib.agreement_table(
    {
        f"risk, pulled to {name}": (measured.sel(pull=name), predicted[..., i])
        for i, name in enumerate(priors)
    }
)

# %%
#| tags: [hide-input]
#| name: fig-l2sp
#| caption: >-
#|   Risk of the best ridge towards zero, towards the source vector and towards its fitted multiple, for $\gamma = 0.5$ and $1.5$ (points: mean of 20 instances, bars: one
#|   standard error; $d = 500$, $\sigma = 0.2$, exact solutions) over {eq}`best-risk` (lines). Grey: linear transfer, $\sin^2\theta$. The first two cross at 60°, the dotted line, whatever $\gamma$.
#| alt: >-
#|   Two panels of risk against angle. A flat line for the pull towards zero; a rising curve for the source that crosses it at sixty degrees; and a rising curve for the scaled source
#|   that only touches the flat line at ninety degrees and stays below the grey curve of linear transfer.
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8))
fine = np.linspace(0.01, np.pi / 2, 200)
for ax, ratio in zip(axes, [0.5, 1.5], strict=True):
    lines = xr.DataArray(
        theory.regularised_risk(ratio, sigma, distance2(fine)),
        coords={"theta": fine, "pull": priors},
    )
    points = measured.sel(gamma=ratio)
    plot.slices(points, lines, x="theta", by="pull", ax=ax)
    ax.plot(fine, np.sin(fine) ** 2, color="grey", lw=1, label="linear transfer")
    ax.axvline(np.pi / 3, color="black", linestyle=":", linewidth=0.8)
    top = 1.7 * float(points.sel(pull=priors[0]).mean())
    ax.set(title=rf"$\gamma$ = {ratio}", ylabel="risk", ylim=(0, top))
axes[0].legend(fontsize="small")

# %% [markdown]
# ## Without knowing the answer
#
# Nobody who fits knows $\Delta$, neither for the pull nor for the weight decay of the rival. Let *both* choose their penalty by leave-one-out: each sample is predicted from all others, and the penalty with the least mean squared error is taken. For the fit {eq}`pull` no refitting
# is needed. With $H = X (X^\top X + n\lambda I)^{-1} X^\top$ and $r = y - Xm$, the error on sample $i$, left out, is $((I - H)\, r)_i / (1 - H_{ii})$. If $m$ is a fitted multiple, it is the multiple fitted without sample $i$.

# %%
dim, sigmas, draws = 200, [0.2, 1.0], 60
degrees, few = [30, 45, 60, 75, 90], [50, 100, 200, 300]
penalties = np.geomspace(1e-2, 1e5, 29)  # n times the ridge


def tuned_risks(X, noise, across):
    """Risks of three pulls: least in hindsight, and at the penalty left-out errors choose."""
    target = np.eye(dim)[0]
    U, S, V = np.linalg.svd(X, full_matrices=False)
    kept = S**2 / (S**2 + penalties[:, None])
    # All that is fitted is made of these three, and fits are linear.
    parts = np.stack([X @ target, X @ across, noise])
    fitted = kept * (parts @ U)[:, None]
    left_out = (parts[:, None] - fitted @ U.T) / (1 - kept @ U.T**2)
    fits = fitted / S @ V
    risks = np.zeros((len(degrees), len(sigmas), len(priors) + 1, 2))
    for i, theta in enumerate(np.radians(degrees)):
        of_z = np.array([np.cos(theta), np.sin(theta), 0.0])
        source, z = of_z[0] * target + of_z[1] * across, of_z @ parts
        for j, sigma in enumerate(sigmas):
            of_y = np.array([1.0, 0.0, sigma])
            y = of_y @ parts
            scale = z @ y / (z @ z)
            without = (z @ y - z * y) / (z @ z - z**2)  # the sample itself
            for k, (c, c_out) in enumerate([(0, 0), (1, 1), (scale, without)]):
                error = np.tensordot(of_y, left_out, 1)
                error = error - c_out * np.tensordot(of_z, left_out, 1)
                beta = c * source + np.tensordot(of_y - c * of_z, fits, 1)
                risk = np.sum((beta - target) ** 2, axis=1)
                chosen = risk[np.mean(error**2, axis=1).argmin()]
                risks[i, j, k] = risk.min(), chosen
            risks[i, j, -1] = np.sum((scale * source - target) ** 2)
    return risks


tuned = []
for n in few:
    inputs = np.array(jax.random.normal(jax.random.key(n), (draws, n, dim + 1)))
    across = np.array(jax.random.normal(jax.random.key(n + 1), (draws, dim)))
    across[:, 0] = 0
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    tuned.append(
        [
            tuned_risks(x[:, 1:], x[:, 0], a)
            for x, a in zip(inputs, across, strict=True)
        ]
    )
tuned = xr.DataArray(
    np.array(tuned),
    dims=("n", "instance", "degrees", "sigma", "pull", "choice"),
    coords={
        "n": few,
        "degrees": degrees,
        "sigma": sigmas,
        "pull": [*priors, "linear transfer"],
        "choice": ["hindsight", "left out"],
    },
)
ours, rival = tuned.sel(pull=priors[2]), tuned.sel(pull=priors[0])


def error_of(values):
    """Standard error over data sets."""
    return values.std("instance", ddof=1) / draws**0.5


# %%
#| tags: [hide-input]
#| name: fig-left-out
#| caption: >-
#|   How many times more risk scratch training with ridge has than the pull towards the fitted multiple of the source, for four numbers of samples. Points: both penalties chosen by leave-one-out on the same samples; lines: both chosen in hindsight, by the true risk of each data set.
#|   Ratio of means over 60 data sets, bars: one standard error. $d = 200$, left $\sigma = 0.2$, right $\sigma = 1$.
#| alt: >-
#|   Two panels of four falling curves, above one up to seventy-five degrees and at or a little below one at ninety. The points lie on the lines or a little below.
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
for ax, noise in zip(axes, sigmas, strict=True):
    for i, n in enumerate(few):
        cell = {"sigma": noise, "n": n}
        one, two = ours.sel(cell), rival.sel(cell)
        ratio = two.mean("instance") / one.mean("instance")
        bars = error_of(two - one) / one.mean("instance")
        ax.plot(degrees, ratio.sel(choice="hindsight"), f"C{i}")
        ax.errorbar(
            np.array(degrees) + i - 1.5,
            ratio.sel(choice="left out"),
            bars.sel(choice="left out"),
            fmt=f"C{i}o",
            label=f"$n$ = {n}",
        )
    ax.axhline(1, color="black", linewidth=0.6)
    ax.set(title=rf"$\sigma$ = {noise:g}", xlabel=r"angle $\theta$ in degrees")
    ax.set(yscale="log", xticks=degrees)
axes[0].set_yticks([1, 2, 3, 4], ["1", "2", "3", "4"])
axes[0].set_ylabel("risk of scratch / risk of the pull")
axes[0].minorticks_off()
axes[1].legend(fontsize="small")

# %%
#| tags: [build-only]
# As the text says:
left = {"choice": "left out"}
gain, pulled_gain, kept_gain = (
    tuned.sel(pull=other) - tuned.sel(pull=one)
    for other, one in (
        (priors[0], priors[2]),
        (priors[0], priors[1]),
        ("linear transfer", priors[2]),
    )
)
mean, error = gain.mean("instance"), error_of(gain)
assert (mean > 4 * error).sel(degrees=[30, 45, 60], **left).all()
assert (mean > -2 * error).sel(degrees=75, **left).all()
assert (mean < -2 * error).sel(degrees=90, n=[50, 100]).all()
glue(
    "left-75", 100 * float((gain < 0).sel(degrees=75, **left).mean()), display=False
)
glue(
    "left-90", 100 * float((gain < 0).sel(degrees=90, **left).mean()), display=False
)
loss = -mean / rival.mean("instance")
for n in (50, 300):
    percent = 100 * float(loss.sel(degrees=90, n=n, **left).max())
    glue(f"left-loss-{n}", percent, display=False)
assert (loss.sel(degrees=90, n=50) > 2 * abs(loss.sel(degrees=90, n=300))).all()
mean, error = pulled_gain.mean("instance"), error_of(pulled_gain)
assert (mean > 3 * error).sel(degrees=[30, 45], **left).all()
assert (abs(mean) < 3 * error).sel(degrees=60, **left).all()
assert (mean < -3 * error).sel(degrees=[75, 90], **left).all()
mean, error = kept_gain.mean("instance"), error_of(kept_gain)
assert (mean > 0).sel(choice="hindsight").all()
noisy = {"degrees": 30, "n": 50, "sigma": 1, **left}
assert mean.sel(noisy) < -2 * error.sel(noisy)
glue("kept-loss", -float(mean.sel(noisy)), display=False)
glue("kept-error", float(error.sel(noisy)), display=False)
uneven = rival.sel(choice="hindsight") - ours.sel(left)
uneven = uneven.sel(degrees=75, n=50, sigma=1, drop=True)
assert uneven.mean() < -4 * error_of(uneven)
glue("uneven", -float(uneven.mean()), display=False)
prices = rival.isel(degrees=0).mean("instance")
prices = 100 * (prices.sel(left) / prices.sel(choice="hindsight") - 1)
glue("left-price-low", float(prices.min()), display=False)
glue("left-price-high", float(prices.max()), display=False)

# %% [markdown]
# Both sides pay for the choice (scratch training {glue:text}`left-price-low:.0f` to {glue:text}`left-price-high:.0f`% of risk over the best penalty in hindsight), so the comparison hardly changes:
#
# - Up to **60°** the pull towards the fitted multiple wins in every panel and at every $n$, beyond four standard errors. At 75° it is ahead or even on average, and behind in {glue:text}`left-75:.0f`% of the data sets.
# - At **90°** it does lose, however the penalty is chosen: {glue:text}`left-loss-50:.1f`% at $n = 50$, {glue:text}`left-loss-300:.1f`% at $n = 300$ at most, in {glue:text}`left-90:.0f`% of the data sets. That is the price of order $1/n$ of fitting a multiple whose best value is zero; "never" is a statement for $d \to \infty$.
# - Towards the source itself, the two are even at 60°, as with the best penalty.
# - **Linear transfer** is not always beaten: at 30°, $n = 50$ and $\sigma = 1$ it has {glue:text}`kept-loss:.3f` ± {glue:text}`kept-error:.3f` less risk, as leave-one-out at times picks too small a penalty. In hindsight the pull is never behind.
#
# Tune both sides in the same way: at 75°, $n = 50$, $\sigma = 1$, the pull chosen by leave-one-out has {glue:text}`uneven:.2f` *more* risk than a rival chosen in hindsight. (The decays of {numref}`fig-5` were picked by their true risk, too.)

# %% [markdown]
# ## Choose your baseline
#
# Method, baseline and noise are yours. Start with linear transfer against scratch training without decay, then give the rival its decay, then give
# the transferred network its pull.

# %%
#| tags: [hide-input]
#| name: fig-explore-baselines
#| caption: >-
#|   Transferability of three methods against two baselines, for large $d$, from {eq}`best-risk` and the risks of {doc}`when-does-transfer-help`. Hover, touch or use the arrow keys.
#| alt: >-
#|   Interactive map of transferability over angle and samples per dimension, with menus for method and baseline and a slider for the noise.
from fatelib.widgets import explore

sigmas = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0])
turned = np.linspace(0, np.pi / 2, 49)
ratios = np.linspace(0.04, 2, 50)
s = sigmas[:, None, None]
pulled = theory.regularised_risk(
    ratios[:, None], s[..., None], distance2(turned)[:, None, :]
)
frozen = theory.linear_transfer_risk(turned)[None, :, None] + 0 * pulled[..., 0]
risks = np.stack([frozen, pulled[..., 1], pulled[..., 2]])
rivals = np.stack(
    [theory.scratch_risk(ratios, s), theory.optimal_scratch_risk(ratios, s)]
)
grid = xr.DataArray(
    rivals - risks[:, None],
    coords={
        "method": ["linear transfer", "pull to source", "pull to multiple"],
        "baseline": ["no decay", "best decay"],
        "sigma": sigmas,
        "theta": ("theta", turned, {"units": "rad"}),
        "gamma": ratios,
    },
    name="T",
    attrs={"long_name": "transferability"},
)
start = {"sigma": 0.2, "theta": np.pi / 4, "gamma": 0.7}
explore(grid, x="theta", y="gamma", at=start, limit=1)

# %% [markdown]
# ## Exercises
#
# :::{exercise} Samples saved
# :label: ex-samples-saved
#
# You want a risk of 0.05 at $\sigma = 0.2$. How many samples per dimension does regularised scratch training need? How many does a source at 30° save, if you pull towards it, and if you pull
# towards its best multiple?
# :::
#
# :::{solution-start} ex-samples-saved
# :label: sol-samples-saved
# :class: dropdown
# :::
#
# {eq}`price` is the answer: the second factor is the same for all three, the first one is smaller for smaller $\Delta$.

# %%
R = 0.05
for name, delta in zip(priors, distance2(np.pi / 6), strict=True):
    samples = (1 - R / delta) * (1 + sigma**2 / R)
    check = theory.regularised_risk(samples, sigma, delta)
    print(f"{name:20} gamma = {samples:.3f}   (risk there: {check:.4f})")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Pull on the weights
# :label: ex-pull-weights
#
# In practice one pulls on the *weights*. Take the pretrained two-layer network $W_1 = u v^\top$, $W_2 = c\, v$ with $\lVert v \rVert = 1$, which starts at $u = \beta_s$, $c = 1$, and train it with the
# penalty $\tfrac12\, \text{decay}\, (\lVert u - \beta_s \rVert^2 + (c - 1)^2)$. Which vector does the map $\beta = c\, u$ get pulled to?
# :::
#
# :::{solution-start} ex-pull-weights
# :label: sol-pull-weights
# :class: dropdown
# :::
#
# Where training stops, the derivative in $u$ vanishes: $c\, G + \text{decay}\,(u - \beta_s) = 0$. With $u = \beta / c$,
#
# $$
# G + \frac{\text{decay}}{c^2} \left( \beta - c\, \beta_s \right) = 0 :
# $$
#
# {eq}`pull` with $m = c\, \beta_s$. The network pulls towards a *multiple* of the source, and finds $c$ on its own. It isn't quite the best multiple, $\cos\theta$; as break-even is where
# $\Delta = 1 + c^2 - 2 c \cos\theta = 1$, that is $\cos\theta = c/2$, the 60° of $c = 1$ move: with the $c$ found below to {glue:text}`moved-edge:.0f`°. Trained on one data set:

# %%
decay, rate = 0.05, 0.05


def loss(weights):
    """Mean squared loss with decay towards the pretrained weights."""
    u, c = weights
    pull = jnp.sum((u - tasks.beta_source) ** 2) + (c - 1) ** 2
    return jnp.mean((X @ (c * u) - y) ** 2) + decay / 2 * pull


def descend(weights, _):
    """One step of gradient descent."""
    return jax.tree.map(
        lambda w, g: w - rate * g, weights, jax.grad(loss)(weights)
    ), None


(u, c), _ = jax.lax.scan(descend, (tasks.beta_source, jnp.ones(())), length=5000)
m = c * tasks.beta_source
A = X.T @ X / len(y) + decay / (2 * c**2) * np.eye(d)
ridge_solution = m + np.linalg.solve(A, X.T @ (y - X @ m) / len(y))
distance = np.linalg.norm(c * u - ridge_solution)
print(
    f"c = {c:.3f}, distance to the ridge solution towards c beta_s: {distance:.1e}"
)
assert distance < 1e-3

# %%
#| tags: [build-only]
glue("moved-edge", float(np.degrees(np.arccos(c / 2))), display=False)

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
#
# 1. Weight decay on a deep linear network is ridge regression. Against the best of it, linear transfer wins exactly while $\gamma < \cos^2\theta\, (1 + \sigma^2/\sin^2\theta)$: one boundary, no band at $\gamma = 1$.
# 2. One equation, {eq}`price`, prices every regularised method; transfer enters through the distance $\Delta$ that is left to learn.
# 3. Pull the map towards the source, each side with its best $\lambda$: helps below 60°, for any number of samples (a pull on the weights moves the angle, {numref}`ex-pull-weights`). Pull
#    towards its fitted multiple: with the best $\lambda$ and for large $d$ never worse than scratch or than linear transfer.
# 4. With both penalties chosen by leave-one-out from 50 to 300 samples the same holds against scratch training, but at 90°, where a few per cent are lost; few and noisy samples can choose so badly that linear transfer is better.
