# %% [markdown]
# # Linear transfer
#
# {doc}`when-does-transfer-help` weighed one frozen feature against training from scratch along three slices. Here is the whole map, and what
# lies behind it. In this chapter you will
#
# - lay the closed-form boundaries over 400 cells of trained networks, with and without label noise,
# - learn how wide the band round $\gamma = 1$ is in which even worthless features win,
# - ask whether a ridge on the last layer helps, with a closed-form answer,
# - pretrain on *many* source tasks, find that $k$ of them leave $k$ features, and learn how many to wish for.

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
#| tags: [hide-input, remove-output]
d = 500
thetas = np.arange(1, 21) * np.pi / 40
gammas = np.arange(1, 21) / 10
data = fatelib.phase_diagram(
    "linear_transfer",
    thetas,
    gammas,
    d=d,
    sigma=[0.0, 0.2, 0.5],
    instances=20,
    key=jax.random.key(0),
    learning_rate=0.1,
    engine="spectral",
)
n = data.n.values
exact = data.risk.isel(instance=0, drop=True).copy(
    data=theory.least_squares_risk(n, d, noise=data.sigma.values[:, None, None])
    - theory.linear_transfer_risk(
        thetas[:, None], n=n, sigma=data.sigma.values[:, None, None]
    )
)

# %%
#| name: fig-map
#| caption: >-
#|   Transferability of linear transfer with label noise ($\sigma = 0.2$, above) and without (below): the exact theory at $d = 500$
#|   (left) and networks trained by the engine `spectral` (right; mean of 20 instances, dots: not converged in $10^4$ steps). Blue: transfer wins, red: it loses,
#|   full colour at $\pm 1$. Solid black: zero contour of what is shown.
#|   Dashed: the boundaries of {prf:ref}`cor-boundaries`, for large $d$. Without noise two of them merge at $\gamma = 1$, where the sign does not change.
#| alt: >-
#|   Four maps over angle and samples per dimension. Left and right agree. Above, a blue band crosses all angles at gamma equal to one, with red
#|   regions over and under it at large angles; below, without noise, the band is missing and one red region fills everything
#|   above a falling curve.
#| tags: [hide-input]
fig, axes = plt.subplots(2, 2, figsize=(9, 7.2), sharex=True, sharey=True)
line = np.linspace(0.01, np.pi / 2, 300)
for row, sigma in zip(axes, (0.2, 0.0), strict=True):
    low, high = theory.negative_transfer_interval(line, sigma)
    onset = theory.negative_transfer_onset(line, sigma)
    for ax, name in zip(row, ("theory", "experiment"), strict=True):
        shown = exact if name == "theory" else data.transferability
        marks = None if name == "theory" else data.converged.sel(sigma=sigma)
        plot.phase_diagram(
            shown.sel(sigma=sigma), converged=marks, limit=1, colorbar=False, ax=ax
        )
        for boundary in (low, high, onset):
            ax.plot(line, boundary, "--", color="C5", linewidth=1.4)
        ax.set(title=rf"{name}, $\sigma$ = {sigma:g}", ylim=(0.05, 2.05))
        ax.label_outer()

# %% [markdown]
# The upper row is Figure 1 of {cite:t}`tahir2025`, the lower row their Figure 7. The settings are theirs: $L = 2$, $d = 500$, learning
# rate 0.1, at most $10^4$ steps or a loss within $10^{-6}$ of its minimum (we also train the last layer, which their code solves for). The engine `spectral` starts from the direction that small random
# weights reach first, and the pretrained network from what pretraining leaves, $\beta_s$. {doc}`when-does-transfer-help` trains every weight.
#
# ## One formula at two arguments
#
# {doc}`one-formula` took the risk of least squares apart into what is out of reach, what is not seen, and the noise that was fitted. Compare the two
# contestants piece by piece, for $n = \gamma d$ samples:
#
# | | features | out of reach | not seen | noise that was fitted |
# |---|---|---|---|---|
# | scratch | $d$ | 0 | $(1 - \gamma)_+$ | $\sigma^2 \min(\gamma, 1) / \lvert 1 - \gamma \rvert$ |
# | linear transfer | 1 | $\sin^2\theta$ | 0 | $(\sigma^2 + \sin^2\theta) / (n - 2)$ |
#
# Transfer trades *variance for bias*: its only sizeable piece is out of reach, $\sin^2\theta$, and does not depend on the data. So every column of the map has the same shape,
# that of the scratch risk, lowered by $\sin^2\theta$. The folded cell draws it as the surface that the paper shows.

# %%
#| tags: [hide-cell]
#| name: fig-surface
#| caption: >-
#|   The upper row of {numref}`fig-map` as a surface: exact theory (surface, cut at 1) and trained networks (points, converged cells only). $\sigma = 0.2$.
#| alt: >-
#|   A curved sheet that falls towards large angles, with a ridge along gamma equal to one; black points lie on it.
noisy = {"sigma": 0.2}
fine = np.arange(20, 2 * d + 1, 20)
fine = fine[abs(fine - d) > 5]
sheet = np.clip(
    theory.least_squares_risk(fine, d, noise=0.2)
    - theory.linear_transfer_risk(thetas[:, None], n=fine, sigma=0.2),
    None,
    1,
)
fig = plt.figure(figsize=(7, 5))
ax = fig.add_subplot(projection="3d", computed_zorder=False)  # points in front
across, along = np.meshgrid(thetas, fine / d, indexing="ij")
colours = plt.get_cmap("RdBu")((sheet + 1) / 2)
ax.plot_surface(
    across, along, sheet, facecolors=colours, rstride=1, cstride=1, alpha=0.6
)
mean = data.transferability.sel(noisy).mean("instance")
dots = mean.where(data.converged.sel(noisy).all("instance")).isel(
    theta=slice(None, None, 3)
)
dots = dots.where(dots < 1).stack(cell=["theta", "gamma"])
ax.scatter(
    dots.theta, dots.gamma, dots, color="black", s=4, depthshade=False, zorder=2
)
plot.angle_axis(ax.xaxis, np.pi / 4)
ax.set(xlabel=r"$\theta$", ylabel=r"$\gamma$", zlabel=r"$\mathcal{T}$")
ax.yaxis.labelpad = 10
ax.view_init(elev=28, azim=-50)

# %% [markdown]
# For the table, cells with $\lvert n - d \rvert \le 25$ are left out (training has not converged there, and the mean is that of a broad
# distribution: {prf:ref}`thm-tail`). Without noise and above $\gamma = 1$ only the squared error of one fitted number remains; it is
# pooled over all sample sizes as in {doc}`when-does-transfer-help`. (Here one instance shares its target among all angles, and at each $n$ its data; so
# cells in a row are not independent.)

# %%
away = abs(data.n - d) > 25
scatters = (data.sigma > 0) | (data.gamma < 1)
expected = theory.linear_transfer_risk(
    thetas[:, None], n=n, sigma=data.sigma.values[:, None, None]
)
floor = np.sin(thetas[:, None]) ** 2
excess = (data.risk - floor[..., None]) / np.asarray(expected - floor)[..., None]
pooled = excess.stack(draw=["gamma", "instance"])
fatelib.agreement_table(
    {"transferability": (data.transferability, exact)}, where=scatters & away
)

# %%
fatelib.agreement_table({"cost of fitting one number": (pooled, 1.0)}, over="draw")

# %% [markdown]
# ## The band that is no merit of the features
#
# At $\theta = \pi/2$ the feature says nothing about the target, and the best one can do with it is to give it the weight zero. Yet (ours):
#
# :::{prf:corollary} Anomalous positive transfer
# :label: cor-band
#
# For large $d$ linear transfer is positive at *every* angle exactly when
#
# $$
# 1 - \sigma^2 < \gamma < 1 + \sigma^2 ,
# $$ (band)
#
# which is where training from scratch is worse than predicting zero.
# :::
#
# :::{prf:proof}
# $R_{\text{scratch}} - \sin^2\theta$ is smallest at $\theta = \pi/2$, where it is $R_{\text{scratch}} - 1$. For $\gamma < 1$ this equals
# $\gamma \left( \sigma^2/(1 - \gamma) - 1 \right)$, for $\gamma > 1$ it equals $\sigma^2 / (\gamma - 1) - 1$.
# :::
#
# A constant answer of zero has the band, too. With a *sound* baseline in between, scratch training with the best weight decay, of risk
# $R_{\text{reg}}$ {eq}`regularised-scratch`, a gain falls into two parts, of which the first is never negative and knows nothing of the source:
#
# $$
# \mathcal T_{\text{lt}} =
# \underbrace{R_{\text{scratch}} - R_{\text{reg}}}_{\text{failure of the baseline}} +
# \underbrace{R_{\text{reg}} - R_{\text{lt}}}_{\text{merit of the features}} .
# $$ (failure-and-merit)

# %%
#| tags: [hide-input]
#| name: fig-band
#| caption: >-
#|   Left: transferability of an *orthogonal* source, $\theta = \pi/2$; trained networks (points: mean of 20 instances, bars: one standard error,
#|   hollow: not converged) and exact theory, $d = 500$; the bars at zero mark the band {eq}`band`. Right: transferability split as in {eq}`failure-and-merit` at
#|   $\theta = \pi/4$, $\sigma = 0.5$.
#| alt: >-
#|   Left, two curves, negative except for a spike at gamma equal to one that is positive exactly above the marked bars. Right, the merit
#|   of the features falls smoothly from positive to negative, while the failure of the baseline makes the whole spike.
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
two = data.sel(theta=np.pi / 2, sigma=[0.2, 0.5])
curve_n = np.arange(10, 2 * d + 1)
curves = theory.least_squares_risk(curve_n, d, noise=two.sigma.values[:, None])
curves -= theory.linear_transfer_risk(
    np.pi / 2, n=curve_n, sigma=two.sigma.values[:, None]
)
coords = {"sigma": two.sigma.values, "gamma": curve_n / d}
curves = xr.DataArray(curves, coords=coords)
plot.slices(
    two.transferability, curves, by="sigma", converged=two.converged, ax=left
)
for i, s in enumerate((0.2, 0.5)):
    left.plot([1 - s**2, 1 + s**2], [0, 0], color=f"C{i}", linewidth=6, alpha=0.4)
left.axhline(0, color="black", linewidth=0.6)
left.set(ylim=(-1.2, 1.5), ylabel=r"transferability $\mathcal{T}$")
left.legend()

g = curve_n / d
sound = theory.optimal_scratch_risk(g, 0.5)
failure = theory.scratch_risk(g, 0.5) - sound
merit = sound - theory.linear_transfer_risk(np.pi / 4)
assert float(failure.min()) > -1e-6
right.plot(g, failure + merit, color="black", label=r"$\mathcal{T}_{\mathrm{lt}}$")
right.plot(g, failure, "--", color="C3", label="failure of the baseline")
right.plot(g, merit, "--", color="C2", label="merit of the features")
right.axhline(0, color="black", linewidth=0.6)
right.set(ylim=(-1.2, 1.5), xlabel=r"samples per dimension $\gamma = n/d$")
right.legend()

# %% [markdown]
# The merit falls monotonically with $\gamma$ and changes sign once; {doc}`the-baseline-matters` draws its map.
#
# ## Would a ridge help?
#
# Let the new last layer be penalised, $\frac1n \lVert Z b - y \rVert^2 + \lambda b^2$ with the feature $Z = X \beta_s$. For $n \to \infty$ the fitted number is $\cos\theta / (1 + \lambda)$
# instead of $\cos\theta$, and {cite:t}`tahir2025` find (eq. 13)
#
# $$
# R_{\text{lt}} \to 1 - \frac{1 + 2\lambda}{(1 + \lambda)^2} \cos^2\theta = \sin^2\theta + \left( \frac{\lambda}{1 + \lambda} \right)^2 \cos^2\theta ,
# $$ (ridge-limit)
#
# worse for every $\lambda > 0$. At finite $n$ a little shrinking always pays, noticeably only with few samples. How much is best has an answer that is exact at every $n$ (ours):
#
# :::{prf:proposition} The best ridge
# :label: prop-best-ridge
#
# The risk of linear transfer is smallest at
#
# $$
# \lambda_* = \frac{\sigma^2 + \sin^2\theta}{n \cos^2\theta} ,
# $$ (best-ridge)
#
# for every $n \ge 1$, and finite there even for $n = 1$ and 2.
# :::
#
# :::{prf:proof}
# Given the squared norm $q$ of the feature on the samples, the excess risk is $\left( \mu^2 s + q v \right) / (q + \mu)^2$ with $\mu = n \lambda$, $s = \cos^2\theta$ and
# $v = \sigma^2 + \sin^2\theta$. Its derivative in $\mu$ is $2 q\, (\mu s - v) / (q + \mu)^3$, which vanishes at $\mu = v/s$ *whatever* $q$ is. There the excess
# is $v / (q + \mu) \le s$.
# :::
#
# It is the noise, including all of the target that the feature misses, over the signal. Networks agree: features pretrained on
# $\beta_s$, new last layers on many data sets, and every ridge on the same data.

# %%
#| tags: [hide-input]
ridges = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])


def ridge_experiment(theta, n, ridges, repeats, key):
    """Risk of linear transfer on the same data for every ridge: (instance, ridge)."""

    def one(key):
        task_key, data_key = jax.random.split(key)
        tasks = fatelib.LinearTasks.at_angle(task_key, d, theta, sigma=0.2)
        X, y = tasks.sample(data_key, n)
        net = fatelib.DeepLinear.balanced(tasks.beta_source)

        def risk(ridge):
            return fatelib.linear_transfer(net, tasks, X, y, ridge=ridge).risk

        return jax.vmap(risk)(ridges)

    risks = jax.lax.map(jax.jit(one), jax.random.split(key, repeats))
    return xr.DataArray(
        risks, dims=("instance", "ridge"), coords={"ridge": np.asarray(ridges)}
    )


keys = jax.random.split(jax.random.key(1), 2)
many = ridge_experiment(np.pi / 8, 250, ridges, 200, keys[0])
few = ridge_experiment(np.pi / 4, 5, 2 * ridges, 2000, keys[1])

# %%
#| tags: [hide-input]
#| name: fig-ridge
#| caption: >-
#|   Risk of linear transfer against the ridge of the last layer, $d = 500$, $\sigma = 0.2$. Left: $\theta = \pi/8$, $n = 250$ ($\gamma = 0.5$), 200 data sets. Right: $\theta = \pi/4$, $n = 5$,
#|   2,000 data sets. Points: means, bars: one standard error. Solid: exact at finite $n$. Dotted: the limit {eq}`ridge-limit`. Vertical line: {eq}`best-ridge`.
#| alt: >-
#|   Left, a curve that rises from the start, both theories coincide, and the vertical line is next to zero. Right, the exact curve falls to a minimum at the
#|   vertical line and rises again; the limit lies far below it.
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6))
settings = ((np.pi / 8, 250, many), (np.pi / 4, 5, few))
for ax, (angle, count, points) in zip(axes, settings, strict=True):
    lam = np.linspace(0, float(points.ridge.max()), 200)
    at_n = theory.linear_transfer_risk(angle, n=count, sigma=0.2, ridge=lam)
    curve = xr.DataArray(at_n, coords={"ridge": lam})
    plot.slices(points, curve, x="ridge", by=None, label="trained", ax=ax)
    limit = theory.linear_transfer_risk(angle, ridge=lam)
    ax.plot(lam, limit, "k:", label="many samples")
    best = (0.2**2 + np.sin(angle) ** 2) / (count * np.cos(angle) ** 2)
    ax.axvline(best, color="C2", linewidth=1)
    ax.set(xlabel=r"ridge $\lambda$", ylabel="risk $R$", title=f"n = {count}")
    ax.legend()
    assert abs(lam[np.argmin(at_n)] - best) <= 1.5 * lam[1]

# %%
fatelib.agreement_table(
    {
        name: (
            points,
            theory.linear_transfer_risk(
                angle, n=count, sigma=0.2, ridge=points.ridge.values
            ),
        )
        for name, (angle, count, points) in zip(
            ("n = 250", "n = 5"), settings, strict=True
        )
    }
)

# %% [markdown]
# ## Many source tasks, many features
#
# One source task leaves one feature. What if the source network learns $k$ tasks at once? Give it $k$ outputs, $f(x) = x W_1 W_2$ with $W_2$ of shape $(h, k)$, and
# source vectors as the columns of $B = (\beta_1, \ldots, \beta_k)$.
#
# :::{prf:theorem} $k$ tasks leave $k$ features
# :label: thm-many-tasks
#
# (Ours.) Let a two-layer network that starts balanced, $W_1^\top W_1 = W_2 W_2^\top$, reach zero loss on the source tasks, $W_1 W_2 = B$. Then
#
# $$
# W_1 W_1^\top = \left( B B^\top \right)^{1/2} :
# $$ (many-features)
#
# the features span the source tasks and nothing else, and their singular values are the square roots of those of $B$.
# :::
#
# :::{prf:proof}
# $B B^\top = W_1 W_2 W_2^\top W_1^\top = W_1 W_1^\top W_1 W_1^\top = (W_1 W_1^\top)^2$, and the positive square root is unique.
# :::
#
# One column gives {prf:ref}`thm-sparsification` back. To see it happen, train all weights by gradient descent:

# %%
width, scale = 100, 1e-5
basis = np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0]
basis = jnp.asarray(basis, jnp.float32)


def pretrain_on(B, key, learning_rate=0.05, steps=600):
    """Train two layers, with one output per column of B; return both."""
    key_1, key_2 = jax.random.split(key)
    W = scale * jax.random.normal(key_1, (d, width)) / np.sqrt(d)
    V = scale * jax.random.normal(key_2, (width, B.shape[1]))

    def step(_, weights):
        W, V = weights
        G = 2 * (W @ V - B)  # gradient of the population loss in the product
        return W - learning_rate * G @ V.T, V - learning_rate * W.T @ G

    return jax.lax.fori_loop(0, steps, step, (W, V))


task_counts = [1, 8, 64]
networks = {}
for count in task_counts:
    own = jax.random.fold_in(jax.random.key(2), count)
    W, V = pretrain_on(basis[:, :count], own)
    networks[count] = np.asarray(W)
    loss = jnp.sum((W @ V - basis[:, :count]) ** 2)
    rank = fatelib.linear.effective_rank(W)
    noun = "task" if count == 1 else "tasks"
    print(f"{count:2} {noun}: loss {loss:.0e}, effective rank {rank:.2f}")
    assert loss < 1e-6
    assert abs(rank - count) < 0.01 * count + 0.02

# %%
#| tags: [hide-input]
#| name: fig-rank
#| caption: Singular values of the hidden layer after pretraining on 1, 8 and 64 orthonormal source tasks. Two layers, $d = 500$, width 100, initial scale $10^{-5}$.
#| alt: Three step functions. Each stays at one for as many singular values as there were source tasks and then drops by five orders of magnitude.
fig, ax = plt.subplots()
for i, (count, W) in enumerate(networks.items()):
    values = np.linalg.svd(W, compute_uv=False)
    ax.plot(
        np.arange(1, width + 1),
        values,
        ".",
        color=f"C{i}",
        label="1 task" if count == 1 else f"{count} tasks",
        zorder=100 - count,
    )
ax.set(
    yscale="log", xlabel="index", ylabel="singular value of $W_1$", ylim=(1e-7, 3)
)
ax.legend()

# %% [markdown]
# So pretraining chooses $k$, and the formula does the rest. Let the target have squared coefficients on the source tasks that fall like $i^{-3/2}$, most of it in
# the first few and something in each of the $d$ directions: after $k$ tasks it has a share $s_k$ inside the span and $\rho_k = 1 - s_k$ outside, and
#
# $$
# R_k(n) = R(n, k; \rho_k, s_k)
# $$ (k-features)
#
# from {eq}`least-squares`. The last layer is the minimum-norm solution on the trained features. (Directions below $10^{-3}$ of the largest singular value count as
# absent, as in {py:func}`fatelib.transfer.linear_transfer`: {numref}`ex-cutoff` says why.)

# %%
share = np.arange(1, d + 1) ** -1.5
share /= share.sum()
beta = np.asarray(basis) @ np.sqrt(share)
sizes = [4, 6, 12, 16, 24, 40, 90, 120, 200, 300, 700, 900]
rng = np.random.default_rng(1)
risks = np.empty((len(task_counts), len(sizes), 40))
leading = []
for count in task_counts:
    U, S, _ = np.linalg.svd(networks[count], full_matrices=False)
    leading.append((U * S)[:, 1e-3 * S[0] < S])
for column, m in enumerate(sizes):
    for instance in range(40):
        X = rng.standard_normal((m, d))
        y = X @ beta + 0.2 * rng.standard_normal(m)
        for row, features in enumerate(leading):
            last = np.linalg.lstsq(X @ features, y, rcond=None)[0]
            risks[row, column, instance] = np.sum((features @ last - beta) ** 2)
measured = xr.DataArray(
    risks, dims=("k", "n", "instance"), coords={"k": task_counts, "n": sizes}
)


# %%
def k_risk(n, k):
    """The formula for the features that k source tasks leave."""
    inside = np.minimum(np.cumsum(share), 1)[np.asarray(k) - 1]
    return theory.least_squares_risk(
        n, k, residual=1 - inside, signal=inside, noise=0.2
    )


# %%
#| tags: [hide-input]
#| name: fig-many
#| caption: >-
#|   Risk of linear transfer from a network pretrained on $k$ source tasks against the number of target samples. Points: trained features of {numref}`fig-rank`, mean
#|   of 40 data sets, bars: one standard error. Lines: {eq}`k-features`. Dashed: scratch training, $k = d = 500$. $\sigma = 0.2$.
#| alt: >-
#|   Four curves, each with a spike where samples equal features. The curve with the fewest features is lowest at few samples, and one after the other takes
#|   over as samples become many. Points lie on the lines.
n_axis = np.unique(np.geomspace(3, 1000, 600).round().astype(int))
lines = xr.DataArray(
    k_risk(n_axis, np.array(task_counts)[:, None]),
    coords={"k": task_counts, "n": n_axis},
)
fig, ax = plt.subplots()
plot.slices(measured, lines, x="n", by="k", ax=ax)
ax.plot(n_axis, k_risk(n_axis, d), "k--", linewidth=1, label="scratch")
ax.set(xscale="log", ylim=(0, 2), xlabel="target samples $n$", ylabel="risk $R$")
ax.legend()

# %%
at = xr.DataArray(
    k_risk(np.array(sizes), np.array(task_counts)[:, None]),
    coords={"k": task_counts, "n": sizes},
)
fatelib.agreement_table(
    {"risk on k trained features": (measured, at)},
    where=abs(measured.n - measured.k) > 5,
)

# %% [markdown]
# Which $k$ is best depends on $n$. More source tasks are better *if the target samples suffice to weigh their features*; a broad pretraining
# that is read out from too few samples is worse than a narrow one. The gain per feature is its share of the target, the price about $(\sigma^2 + \rho)/n$.
#
# ## Turn it yourself
#
# The angle is now that between the target and the *span* of the features. Raise $k$ and watch a second resonance appear at $n = k$: red, since there it is
# transfer that suffers from double descent. Lower $d$ and see the map of {numref}`fig-map` blur where $n$ is small.

# %%
#| tags: [hide-input]
#| name: fig-explore-span
#| caption: >-
#|   Transferability of linear transfer with $k$ features, exact at finite $d$: {eq}`least-squares` at $k = d$ minus the same at $k$. Hover, touch
#|   or use the arrow keys; the slices follow.
#| alt: >-
#|   Interactive map of transferability over the angle to the feature space and samples per dimension, with sliders for noise, features and dimension.
from fatelib.widgets import explore

angles = xr.DataArray(
    np.linspace(0, np.pi / 2, 41), dims="theta", attrs={"units": "rad"}
)
ratios = np.arange(1, 61) / 30
noises, spans, dims = [0.0, 0.1, 0.2, 0.5, 1.0], [1, 5, 20, 50], [90, 300, 3000]
size = np.array(dims)[:, None, None]
s_grid = np.array(noises)[:, None, None, None, None]
k_grid = np.array(spans)[:, None, None, None]
sin2 = np.sin(angles.values[:, None]) ** 2
gain = theory.least_squares_risk(
    ratios * size, size, noise=s_grid
) - theory.least_squares_risk(
    ratios * size, k_grid, residual=sin2, signal=1 - sin2, noise=s_grid
)
grid = xr.DataArray(
    gain,
    coords={
        "sigma": noises,
        "k": spans,
        "d": dims,
        "theta": angles,
        "gamma": ratios,
    },
    name="T_lt",
    attrs={"long_name": "transferability"},
)
grid.k.attrs["long_name"] = "features"
start = {"sigma": 0.2, "k": 5, "d": 300, "theta": np.pi / 4, "gamma": 0.7}
explore(grid, x="theta", y="gamma", at=start, limit=1)

# %% [markdown]
# ## Exercises
#
# :::{exercise} Two similar source tasks
# :label: ex-similar-tasks
#
# Two source vectors of norm one enclose an angle $\varphi = 0.3$. Which singular values has the hidden layer after pretraining on both? For which
# readout does it matter that they differ?
# :::
#
# :::{solution-start} ex-similar-tasks
# :label: sol-similar-tasks
# :class: dropdown
# :::
#
# $B^\top B$ has the eigenvalues $1 \pm \cos\varphi$, so $B$ has their square roots as singular values and $W_1$, by {eq}`many-features`, the fourth roots. What the
# tasks have in common is a strong feature, their difference a weak one. For $n > k + 1$ without ridge this is irrelevant: least squares rescales
# features as it likes. A ridge, an early end of training, or $n < k$ favour the strong one.

# %%
phi = 0.3
pair = jnp.stack(
    [basis[:, 0], np.cos(phi) * basis[:, 0] + np.sin(phi) * basis[:, 1]], axis=1
)
W, _ = pretrain_on(pair, jax.random.key(3), steps=3000)
seen = jnp.linalg.svd(W, compute_uv=False)[:3]
predicted = (1 + np.cos(phi) * np.array([1, -1])) ** 0.25
print("measured ", seen.round(4), " predicted", predicted.round(4))
assert np.allclose(seen[:2], predicted, atol=5e-3)

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} The next source task
# :label: ex-next-task
#
# In {numref}`fig-many`, which number of source tasks is best for $n = 20$, 100, 500 and 2000 target samples? Compare with the rule of thumb that a feature pays as long as its
# share of the target exceeds $(\sigma^2 + \rho_k)/n$.
# :::
#
# :::{solution-start} ex-next-task
# :label: sol-next-task
# :class: dropdown
# :::
#
# Adding feature $k + 1$ lowers $\rho$ by its share, and raises the noise fitted, about $(\sigma^2 + \rho)\, k / (n - k)$, by about $(\sigma^2 + \rho)/n$ as long as $k \ll n$. As $k$ approaches $n$
# the price per feature is higher, and the rule too optimistic. (For the most samples the best $k$ is the end of our list: take them all.)

# %%
k_axis = np.arange(1, d)
for m in (20, 100, 500, 2000):
    best = k_axis[np.argmin(k_risk(m, k_axis))]
    residual = 1 - np.cumsum(share)[:-1]
    pays = share[:-1] > (0.2**2 + residual) / m
    print(f"n = {m:4}: best k = {best:3}, rule of thumb {pays.sum():3}")
assert best == k_axis[-1]

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Never so bad
# :label: ex-never-worse
#
# With the best ridge {eq}`best-ridge`, can linear transfer be worse than predicting zero? And without?
# :::
#
# :::{solution-start} ex-never-worse
# :label: sol-never-worse
# :class: dropdown
# :::
#
# With it, never: the excess is at most $\cos^2\theta$ on every set of inputs, so the risk is at most $\sin^2\theta + \cos^2\theta = 1$. Without, it is for small $n$.

# %%
angle = 1.2
for m in (3, 5, 20, 100):
    best = (0.2**2 + np.sin(angle) ** 2) / (m * np.cos(angle) ** 2)
    with_ridge = theory.linear_transfer_risk(angle, n=m, sigma=0.2, ridge=best)
    without = theory.linear_transfer_risk(angle, n=m, sigma=0.2)
    print(f"n = {m:3}: best ridge {with_ridge:.3f}, none {without:.3f}")
    assert with_ridge < 1

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
#
# 1. Linear transfer trades variance for a bias of $\sin^2\theta$; its map is the scratch risk, lowered by that.
# 2. In $1 - \sigma^2 < \gamma < 1 + \sigma^2$ any features win, because scratch training there is worse than no training at all.
# 3. $k$ source tasks leave $k$ features; how many to wish for depends on the samples that are there to weigh them.
