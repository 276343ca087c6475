# %% [markdown]
# # Linear transfer
#
# You take somebody's trained network, freeze it, and fit only a new last layer to your $n$ samples. That needs far fewer samples than training everything, but what the frozen features cannot express is lost for good. **What do frozen features cost, what do they bring, and how many of them do you want?**

# %%
#| tags: [hide-input, remove-output]
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import plot, theory

plt.style.use("fatelib.style")

d = 500
thetas, gammas = np.arange(1, 21) * np.pi / 40, np.arange(1, 21) / 10
common = {"d": d, "instances": 20, "key": jax.random.key(0), "engine": "spectral"}
common |= {"sigma": [0.0, 0.2, 0.5], "learning_rate": 0.1}
data = fatelib.phase_diagram("linear_transfer", thetas, gammas, **common)
n, noise_of = data.n.values, data.sigma.values[:, None, None]
risk_at = theory.linear_transfer_risk(thetas[:, None], n=n, sigma=noise_of)
exact = data.risk.isel(instance=0, drop=True).copy(
    data=theory.least_squares_risk(n, d, noise=noise_of) - risk_at
)

# %%
#| name: fig-map
#| caption: >-
#|   Transferability of linear transfer with label noise ($\sigma = 0.2$) and without: the exact theory at $d = 500$ and networks trained by the engine `spectral` (mean of 20 instances, dots: not converged in $10^4$ steps). Blue: transfer wins, red: it loses, full colour at $\pm 1$. Settings of Figures 1 (with noise) and 7 (without) of {cite:t}`tahir2025`: $L = 2$, $d = 500$, learning rate 0.1, a loss within $10^{-6}$ of its minimum. Solid: zero contour of what is shown. Dashed: the boundaries of {prf:ref}`cor-boundaries`, for large $d$. Without noise two of them merge at $\gamma = 1$, where the sign does not change.
#| alt: Four maps over angle and samples per dimension. Theory and experiment agree. With noise, a blue band crosses all angles at gamma equal to one, with red regions over and under it at large angles; without noise, the band is missing and one red region fills everything above a falling curve.
#| tags: [hide-input]
fig, axes = plt.subplots(2, 2, figsize=(9, 5.4), sharex=True, sharey=True)
line = np.linspace(0.01, np.pi / 2, 300)
for row, sigma in zip(axes, (0.2, 0.0), strict=True):
    onset = theory.negative_transfer_onset(line, sigma)
    edges = [*theory.negative_transfer_interval(line, sigma), onset]
    for ax, name in zip(row, ("theory", "experiment"), strict=True):
        shown = exact if name == "theory" else data.transferability
        marks = None if name == "theory" else data.converged.sel(sigma=sigma)
        shown = shown.sel(sigma=sigma)
        plot.phase_diagram(shown, converged=marks, limit=1, colorbar=False, ax=ax)
        ax.plot(line, np.transpose(edges), "--", color="C4", linewidth=1.4)
        ax.set(title=rf"{name}, $\sigma$ = {sigma:g}", ylim=(0.05, 2.05))
        ax.set_xlim(np.pi / 80, 41 * np.pi / 80)  # where the cells end
        ax.label_outer()
bar = {"extend": "both", "label": r"transferability $\mathcal{T}$"}
fig.colorbar(axes[0, 0].collections[0], ax=axes, **bar)

# %%
#| tags: [check]
# Cells with $|n - d| \le 25$ are left out: training has not converged there, and the mean is that of a broad distribution.
# So are cells without noise above $\gamma = 1$, where scratch training is exact and only the squared error of one fitted number remains.
# The settings are those of the paper (we also train the last layer, which their code solves for). The engine spectral starts from the direction that small random weights reach first, and the pretrained network from what pretraining leaves; the first chapter trains every weight.
# Here one instance shares its target among all angles, and at each n its data, so cells in a row are not independent.
away = abs(data.n - d) > 25
scatters = (data.sigma > 0) | (data.gamma < 1)
pairs = {"transferability": (data.transferability, exact)}
fatelib.agreement_table(pairs, where=scatters & away)

# %% [markdown]
# ## What one would guess
# Transfer should win at small angles with few samples, and scratch training at large angles with many: one falling curve between blue and red. Without label noise it is so. But with a little noise a blue band crosses *all* angles at $\gamma = 1$. At its right end, $\theta = 90°$, the frozen feature says nothing about the target. How can a worthless feature win?
#
# ## Bias against variance
# {doc}`one-formula` took the risk of least squares apart into three pieces {eq}`three-pieces`. Here they are for both contestants, with $n = \gamma d$ samples ($(a)_+$ is $a$ where that is positive, else 0; all symbols: {doc}`notation`):
#
# | piece | scratch (large $d$) | linear transfer |
# |---|---|---|
# | features | $d$ | 1 |
# | out of reach | 0 | $\sin^2\theta$ |
# | not seen | $(1 - \gamma)_+$ | 0 |
# | fitted noise | $\dfrac{\sigma^2 \min(\gamma, 1)}{\lvert 1 - \gamma \rvert}$ | $\dfrac{\sigma^2 + \sin^2\theta}{n - 2}$ |
#
# Linear transfer pays a *bias*, $\sin^2\theta$, whatever the data. Its last entry is the price of fitting one number, and vanishes as $n$ grows. Scratch training has nothing out of reach and pays *variance* instead: what the samples at hand do not show, and the noise that $d$ numbers fit. So for large $d$
#
# $$
# \mathcal T_{\text{lt}} = R_{\text{scratch}}(\gamma) - \sin^2\theta :
# $$ (bias-for-variance)
#
# every column of the map is one and the same curve, the scratch risk {eq}`scratch-limit`, lowered by $\sin^2\theta$. Transfer wins where the scratch risk is above $\sin^2\theta$, and $\sin^2\theta$ is at most 1. Where scratch training has a risk *above 1*, anything wins:
#
# :::{prf:corollary} Anomalous positive transfer
# :label: cor-band
#
# (Ours.) For large $d$ linear transfer is positive at *every* angle exactly when
#
# $$
# 1 - \sigma^2 < \gamma < 1 + \sigma^2 ,
# $$ (band)
#
# which is where training from scratch is worse than predicting zero.
# :::
#
# :::{prf:proof}
# Predicting zero has the risk $\lVert \beta_t \rVert^2 = 1$. By {eq}`bias-for-variance` $\mathcal T_{\text{lt}}$ is smallest at $\theta = \pi/2$, where it is $R_{\text{scratch}} - 1$. For $\gamma < 1$ that is
#
# $$
# \begin{aligned} R_{\text{scratch}} - 1 &= - \gamma + \sigma^2 \frac{\gamma}{1 - \gamma} \\ &= \gamma \left( \frac{\sigma^2}{1 - \gamma} - 1 \right) , \end{aligned}
# $$
#
# positive exactly when $\sigma^2 > 1 - \gamma$. For $\gamma > 1$ it is $\sigma^2 / (\gamma - 1) - 1$, positive exactly when $\gamma < 1 + \sigma^2$.
# :::
#
# ## The experiment in ten lines
# A worthless feature, $\theta = 90°$, at $\sigma = 0.5$: the band should reach from $\gamma = 0.75$ to 1.25. One pair of tasks, three numbers of samples, both contestants on the same data. `DeepLinear.balanced` is what pretraining leaves, and the engine `spectral` starts scratch training, as in {numref}`fig-scratch`, from the one direction that small random weights reach first. Printed are $\gamma$ and both risks:

# %%
tasks = fatelib.LinearTasks.at_angle(jax.random.key(1), d, np.pi / 2, sigma=0.5)
pretrained = fatelib.DeepLinear.balanced(tasks.beta_source)
as_above = {"engine": "spectral", "learning_rate": 0.1}
for n in (250, 450, 1000):
    X, y = tasks.sample(jax.random.key(n), n)
    transfer = fatelib.linear_transfer(pretrained, tasks, X, y)
    scratch = fatelib.scratch(jax.random.key(2), tasks, X, y, **as_above)
    print(f"{n / d:.1f}: transfer {transfer.risk:.2f}, scratch {scratch.risk:.2f}")
    assert (transfer.risk < scratch.risk) == (0.75 < n / d < 1.25)

# %% [markdown]
# ## How much of a gain is merit?
# A worthless feature wins only because its rival fails. So put a *sound* rival in between: scratch training with the best weight decay, of risk $R_{\text{reg}}$ {eq}`regularised-scratch`. Then a gain is the sum of two,
#
# $$
# \begin{aligned} \mathcal T_{\text{lt}} = {} & \underbrace{R_{\text{scratch}} - R_{\text{reg}}}_{\text{failure of the baseline}} \\ & + \underbrace{R_{\text{reg}} - R_{\text{lt}}}_{\text{merit of the features}} , \end{aligned}
# $$ (failure-and-merit)
#
# of which the first is never negative and knows nothing of the source.

# %%
#| tags: [hide-input]
#| name: fig-band
#| caption: >-
#|   First panel: transferability of an *orthogonal* source, $\theta = \pi/2$; trained networks (points: mean of 20 instances, bars: one standard error, hollow: not converged) and exact theory, $d = 500$; the bars at zero mark the band {eq}`band`. Second panel: transferability split as in {eq}`failure-and-merit` at $\theta = \pi/4$, $\sigma = 0.5$, for large $d$.
#| alt: In the first panel two curves, negative except for a spike at gamma equal to one that is positive exactly above the marked bars. In the second the merit of the features falls smoothly from positive to negative, while the failure of the baseline makes the whole spike.
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
two = data.sel(theta=np.pi / 2, sigma=[0.2, 0.5])
n_axis, noises = np.arange(10, 2 * d + 1), two.sigma.values
g = n_axis / d
curves = theory.least_squares_risk(n_axis, d, noise=noises[:, None])
curves -= theory.linear_transfer_risk(np.pi / 2, n=n_axis, sigma=noises[:, None])
curves = xr.DataArray(curves, {"sigma": noises, "gamma": g})
marks = {"converged": two.converged, "by": "sigma"}
plot.slices(two.transferability, curves, ax=left, **marks)
for i, s in enumerate(noises):
    left.plot([1 - s**2, 1 + s**2], [0, 0], color=f"C{i}", linewidth=6, alpha=0.4)
left.set(ylim=(-1.2, 1.5), ylabel=r"transferability $\mathcal{T}$")

sound = theory.optimal_scratch_risk(g, 0.5)
failure = theory.scratch_risk(g, 0.5) - sound
merit = sound - theory.linear_transfer_risk(np.pi / 4)
assert float(failure.min()) > -1e-6
assert (np.diff(merit) < 0).all()
right.plot(g, failure + merit, "k", label=r"$\mathcal{T}_{\mathrm{lt}}$")
right.plot(g, failure, "C3--", label="failure of the baseline")
right.plot(g, merit, "C2--", label="merit of the features")
right.set(ylim=(-1.2, 1.5), xlabel=r"samples per dimension $\gamma = n/d$")
for ax in (left, right):
    ax.axhline(0, color="black", linewidth=0.6)
    ax.legend()

# %%
#| tags: [check]
# Beyond $\sin^2\theta$ the risk of linear transfer is the squared error of one fitted number. Twenty squares of a Gaussian number are too few for an honest error bar, so all sample sizes are pooled, each in units of what the formula expects.
floor = np.sin(thetas[:, None]) ** 2
excess = (data.risk - floor[..., None]) / np.asarray(risk_at - floor)[..., None]
pooled = excess.stack(draw=["gamma", "instance"])
fatelib.agreement_table({"cost of fitting one number": (pooled, 1.0)}, over="draw")

# %% [markdown]
# The whole spike is the baseline's failure. The merit falls with every sample and changes sign once: where, {eq}`regularised-boundary` says, and {doc}`the-baseline-matters` proves.
#
# ## More features: one for each source task
# One source task leaves one feature, and its bias of $\sin^2\theta$ may be large. Pretrain on $k$ source tasks at once: $k$ outputs, $f(x) = x W_1 W_2$ with a hidden layer of width $m$ and $W_2$ of shape $(m, k)$, and the source vectors as columns of $B_s = (\beta_1, \ldots, \beta_k)$.
#
# :::{prf:theorem} $k$ tasks leave $k$ features
# :label: thm-many-tasks
#
# (Ours.) Let a two-layer network that starts balanced, $W_1^\top W_1 = W_2 W_2^\top$, reach zero loss on the source tasks, $W_1 W_2 = B_s$. Then
#
# $$
# W_1 W_1^\top = \left( B_s B_s^\top \right)^{1/2} :
# $$ (many-features)
#
# the features span the source tasks and nothing else, and their singular values are the square roots of those of $B_s$.
# :::
#
# :::{prf:proof}
# Training from small weights keeps the layers balanced ({doc}`feature-sparsification`). So, in three steps,
#
# $$
# \begin{aligned} B_s B_s^\top &= W_1 \left( W_2 W_2^\top \right) W_1^\top \\ &= W_1 \left( W_1^\top W_1 \right) W_1^\top \\ &= \left( W_1 W_1^\top \right)^2 , \end{aligned}
# $$
#
# and a positive semidefinite matrix has exactly one positive semidefinite square root.
# :::
#
# One column gives {prf:ref}`thm-sparsification` back. To see it happen, train all weights by gradient descent on 1, 8 and 64 orthonormal tasks. (The effective rank counts the directions in the hidden layer.)


# %%
def pretrain_on(B, key, width=100, scale=1e-5, rate=0.05, steps=600):
    """Train two layers, with one output per column of B; return both."""
    key_1, key_2 = jax.random.split(key)
    W = scale * jax.random.normal(key_1, (d, width)) / np.sqrt(d)
    V = scale * jax.random.normal(key_2, (width, B.shape[1]))

    def step(_, weights):
        W, V = weights
        G = 2 * (W @ V - B)  # gradient of the population loss in the product
        return W - rate * G @ V.T, V - rate * W.T @ G

    return jax.lax.fori_loop(0, steps, step, (W, V))


basis = np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0]
basis = jnp.asarray(basis, jnp.float32)
networks = {}
for k in (1, 8, 64):
    W, V = pretrain_on(basis[:, :k], jax.random.fold_in(jax.random.key(2), k))
    networks[k] = np.asarray(W)
    loss = jnp.sum((W @ V - basis[:, :k]) ** 2)
    rank = fatelib.linear.effective_rank(W)
    print(f"k = {k:2}: loss {loss:.0e}, effective rank {rank:.2f}")
    assert loss < 1e-6
    assert abs(rank - k) < 0.01 * k + 0.02

# %% [markdown]
# Now spend $n$ target samples on their last layers. Let the target have squared coefficients along the directions $i = 1, \ldots, d$ that fall like $i^{-3/2}$: most of it in the first few, something in each. Write $S_k$ for its share inside the span of the first $k$, and $\rho_k = 1 - S_k$ for the rest. The formula of {doc}`one-formula` says $R_k(n) = R(n, k; \rho_k, S_k)$; for $n > k + 1$ that is
#
# $$
# R_k(n) = \rho_k + (\sigma^2 + \rho_k)\, \frac{k}{n - k - 1} .
# $$ (k-features)
#
# More features lower the first term and raise the second. Which $k$ is best must depend on $n$:

# %%
#| tags: [hide-input]
share = np.arange(1, d + 1) ** -1.5
share /= share.sum()
beta = np.asarray(basis) @ np.sqrt(share)
sizes = [4, 6, 12, 16, 24, 40, 90, 120, 200, 300, 700, 900]
rng = np.random.default_rng(1)
leading = {}
for k, W in networks.items():
    U, S, _ = np.linalg.svd(W, full_matrices=False)
    leading[k] = (U * S)[:, 1e-3 * S[0] < S]  # fainter directions count as absent
risks = np.empty((len(leading), len(sizes), 40))
for column, instance in np.ndindex(risks.shape[1:]):
    X = rng.standard_normal((sizes[column], d))
    y = X @ beta + 0.2 * rng.standard_normal(len(X))
    for row, F in enumerate(leading.values()):
        last = np.linalg.lstsq(X @ F, y, rcond=None)[0]
        risks[row, column, instance] = np.sum((F @ last - beta) ** 2)
coords = {"k": list(leading), "n": sizes}
measured = xr.DataArray(risks, coords, ("k", "n", "instance"))


# %%
#| tags: [hide-input]
#| name: fig-many
#| caption: >-
#|   First panel: singular values of the hidden layer after pretraining on $k$ orthonormal source tasks (two layers, $d = 500$, width 100, initial scale $10^{-5}$). Second panel: risk of linear transfer from these networks against the number of target samples, $\sigma = 0.2$. Points: mean of 40 data sets, bars: one standard error. Lines: the exact {eq}`least-squares` with $k$ features. Dashed: scratch training, $k = d$.
#| alt: In the first panel three step functions, which stay at one for as many singular values as there were source tasks and then drop by five orders of magnitude. In the second four curves, each with a spike where samples equal features. The one with the fewest features is lowest at few samples, and one after the other takes over as samples become many. Points lie on the lines.
def k_risk(n, k):
    """The risk on k features."""
    inside = np.minimum(np.cumsum(share), 1)[np.asarray(k) - 1]
    split = {"residual": 1 - inside, "signal": inside}
    return theory.least_squares_risk(n, k, noise=0.2, **split)


n_axis = np.geomspace(3, 1000, 2000)  # between integers the formula interpolates
by_k = np.array(list(leading))[:, None]
lines = xr.DataArray(k_risk(n_axis, by_k), {**coords, "n": n_axis})
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
for i, (k, W) in enumerate(networks.items()):
    values = np.linalg.svd(W, compute_uv=False)
    left.plot(np.arange(1, 101), values, ".", color=f"C{i}", zorder=100 - k)
left.set(yscale="log", ylim=(1e-7, 3), xlabel="index", ylabel="singular value")
plot.slices(measured, lines, x="n", by="k", ax=right)
right.plot(n_axis, k_risk(n_axis, d), "k--", linewidth=1, label="scratch")
right.set(xscale="log", ylim=(0, 2), xlabel="target samples $n$", ylabel="risk $R$")
right.legend(loc="lower left", fontsize="small")

# %%
#| tags: [check]
# Cells with $|n - k| \le 5$ are left out: next to the pole the mean of 40 data sets is no fair measure. Directions below one thousandth of the largest singular value count as absent, as in linear_transfer: fitted at minimum norm they would be blown up until they fit the noise.
away = abs(measured.n - measured.k) > 5
pairs = {"risk on k trained features": (measured, k_risk(np.array(sizes), by_k))}
fatelib.agreement_table(pairs, where=away)

# %% [markdown]
# Read it from left to right: at $n = 6$ one feature is best, then eight, then 64, and at last all of them. A further source task pays *if the target samples suffice to weigh its feature*: if its share of the target exceeds the price of one more number, about $(\sigma^2 + \rho_k)/n$. A broad pretraining that is read out from too few samples is worse than a narrow one. (Why directions that are merely faint count as absent: {numref}`ex-cutoff`.)
#
# ## What if …
# **… there are $k$ features and you may turn everything?** The angle is now that between the target and the *span* of the features. Raise $k$ and watch a second resonance appear at $n = k$: red, since there it is transfer that suffers from double descent. Lower $d$ and see the map of {numref}`fig-map` blur where $n$ is small.

# %%
#| tags: [hide-input]
#| name: fig-explore-span
#| caption: >-
#|   Transferability of linear transfer with $k$ features, exact at finite $d$: {eq}`least-squares` at $k = d$ minus the same at $k$. Hover, touch or use the arrow keys; the slices follow.
#| alt: Interactive map of transferability over the angle to the feature space and samples per dimension, with sliders for noise, features and dimension.
from fatelib.widgets import explore

turned = np.linspace(0, np.pi / 2, 41)
ratios, sin2 = np.arange(1, 61) / 30, np.sin(turned[:, None]) ** 2
noises, spans, dims = [0.0, 0.1, 0.2, 0.5, 1.0], [1, 5, 20, 50], [90, 300, 3000]
size, few = np.reshape(dims, (-1, 1, 1)), np.reshape(spans, (-1, 1, 1, 1))
both = {"n": ratios * size, "noise": np.reshape(noises, (-1, 1, 1, 1, 1))}
gain = theory.least_squares_risk(k=size, **both)
gain -= theory.least_squares_risk(k=few, residual=sin2, signal=1 - sin2, **both)
coords = {"sigma": noises, "k": spans, "d": dims, "theta": turned, "gamma": ratios}
grid = xr.DataArray(gain, coords, name="T_lt")
grid.attrs["long_name"], grid.k.attrs["long_name"] = "transferability", "features"
grid.theta.attrs["units"] = "rad"
start = {"sigma": 0.2, "k": 5, "d": 300, "theta": np.pi / 4, "gamma": 0.7}
explore(grid, x="theta", y="gamma", at=start, limit=1)

# %% [markdown]
# **… the new last layer is penalised?** With one feature $z_i = \beta_s \cdot x_i$ let the number $b$ minimise $\frac1n \sum_i (z_i b - y_i)^2 + \lambda b^2$. With infinitely many samples every $\lambda > 0$ is harmful. With few, some shrinking pays, and how much has an answer that is exact at every $n$:
#
# :::{prf:proposition} The best ridge
# :label: prop-best-ridge
#
# (Ours.) The risk of linear transfer is smallest at
#
# $$
# \lambda_* = \frac{\sigma^2 + \sin^2\theta}{n \cos^2\theta} ,
# $$ (best-ridge)
#
# for every $n \ge 1$, and finite there even for $n = 1$ and 2.
# :::
#
# It is the noise, including all of the target that the feature misses, over $n$ times the signal. Proof and experiment: {numref}`ex-never-worse`.
#
# ## Exercises
#
# :::{exercise} Two columns of the map
# :label: ex-two-columns
#
# Predict, then run. By how much is $\mathcal T_{\text{lt}}$ larger at $\theta = 22.5°$ than at 67.5°? At which $\gamma$ is the difference largest? Fill in the first answer.
# :::

# %%
difference = "nothing yet (fill in the cell above)"  # put a number in its place

# %% [markdown]
# :::{solution-start} ex-two-columns
# :label: sol-two-columns
# :class: dropdown
# :::
#
# By {eq}`bias-for-variance` it is $\sin^2 67.5° - \sin^2 22.5° = \cos 45°$, the same at every $\gamma$ and every noise. (At $d = 500$ the price of one number adds a little where $n$ is small.)

# %%
columns = data.transferability.sel(sigma=0.2).mean("instance")
seen = columns.sel(theta=np.pi / 8) - columns.sel(theta=3 * np.pi / 8)
print(f"you said {difference}; it is {np.cos(np.pi / 4):.3f}")
print(f"networks: from {seen.min():.3f} to {seen.max():.3f}")
assert abs(seen - np.cos(np.pi / 4)).max() < 0.05

# %% [markdown]
# So the map is a curve, moved up and down: as a surface, which is how the paper draws it, a sheet with a ridge along $\gamma = 1$.

# %%
#| tags: [hide-input]
#| name: fig-surface
#| caption: >-
#|   The maps with noise of {numref}`fig-map` as a surface: exact theory (surface, cut at 1) and trained networks (points, converged cells only). $\sigma = 0.2$.
#| alt: A curved sheet that falls towards large angles, with a ridge along gamma equal to one; points lie on it.
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
dots = columns.where(data.converged.sel(sigma=0.2).all("instance"))
dots = dots.isel(theta=slice(None, None, 3))
dots = dots.where(dots < 1).stack(cell=["theta", "gamma"])
ax.scatter(
    dots.theta, dots.gamma, dots, color="black", s=4, depthshade=False, zorder=2
)
plot.angle_axis(ax.xaxis, np.pi / 4)
ax.set(xlabel=r"$\theta$", ylabel=r"$\gamma$", zlabel=r"$\mathcal{T}$")
ax.yaxis.labelpad = 10
ax.view_init(elev=28, azim=-50)

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Two similar source tasks
# :label: ex-similar-tasks
#
# With pencil. Two source vectors of norm one enclose an angle $\varphi = 0.3$. Which singular values has the hidden layer after pretraining on both? For which readout does it matter that they differ?
# :::
#
# :::{solution-start} ex-similar-tasks
# :label: sol-similar-tasks
# :class: dropdown
# :::
#
# $B_s^\top B_s$ has ones on its diagonal and $\cos\varphi$ beside it, so its eigenvalues are $1 \pm \cos\varphi$. $B_s$ has their square roots as singular values and $W_1$, by {eq}`many-features`, the fourth roots. What the tasks have in common is a strong feature, their difference a weak one. For $n > k + 1$ without ridge this is irrelevant: least squares rescales features as it likes. A ridge, an early end of training, or $n < k$ favour the strong one.

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
# With code. For the target of {numref}`fig-many`, which number of source tasks is best for $n = 20$, 100, 500 and 2000 target samples? Use `k_risk`, and compare with the rule of thumb that a feature pays as long as its share of the target exceeds $(\sigma^2 + \rho_k)/n$.
# :::
#
# :::{solution-start} ex-next-task
# :label: sol-next-task
# :class: dropdown
# :::
#
# Adding feature $k + 1$ lowers $\rho$ by its share, and raises the noise fitted, about $(\sigma^2 + \rho)\, k / (n - k)$, by about $(\sigma^2 + \rho)/n$ as long as $k \ll n$. As $k$ approaches $n$ the price per feature is higher, and the rule too optimistic. (For the most samples the best $k$ is the end of our list: take them all.)

# %%
k_axis = np.arange(1, d)
for n in (20, 100, 500, 2000):
    best = k_axis[np.argmin(k_risk(n, k_axis))]
    residual = 1 - np.cumsum(share)[:-1]
    pays = share[:-1] > (0.2**2 + residual) / n
    print(f"n = {n:4}: best k = {best:3}, rule of thumb {pays.sum():3}")
assert best == k_axis[-1]

# As the text reads the figure:
for n, first in {6: 1, 24: 8, 200: 64, 1000: d}.items():
    assert k_risk(n, first) == min(k_risk(n, k) for k in (1, 8, 64, d))

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Features of your own
# :label: ex-own-features
#
# With your own data. Nobody will tell you $\rho_k$ and $\sigma$, but {py:func}`fatelib.diagnose <fatelib.probe.diagnose>` reads curves like those of {numref}`fig-many` off labelled samples. Give it two feature tables of yours, of two networks or two layers, and your labels. Which would you freeze at $n = 20$, and which at 2,000? The solution does it with 150 samples of this chapter's target.
# :::
#
# :::{solution-start} ex-own-features
# :label: sol-own-features
# :class: dropdown
# :::

# %%
inputs = rng.standard_normal((150, d))
labels = inputs @ beta + 0.2 * rng.standard_normal(150)
own = {f"{k} source tasks": inputs @ F for k, F in leading.items() if k > 1}
report = fatelib.diagnose(own, labels)
print(report)
few, most = report.ratio(*own, 20), report.ratio(*own, 2000)
assert few.value < 1 < most.low

# %% [markdown]
# The narrow pretraining at $n = 20$, the broad one at 2,000; `report.ratio` is the first error over the second. The report gives every feature set the ridge that suits it at each $n$, so 64 features lose less at few samples than they do in the figure.

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Would a ridge help?
# :label: ex-never-worse
#
# Hard. Prove {prf:ref}`prop-best-ridge`. Hint: fix the inputs first. With the best ridge, can linear transfer be worse than predicting zero? And without?
# :::
#
# :::{solution-start} ex-never-worse
# :label: sol-never-worse
# :class: dropdown
# :::
#
# Split the labels into what the feature explains and the rest, $y_i = \cos\theta\, z_i + e_i$. The rest, label noise and the part of the target outside, is independent of the feature and has variance $v = \sigma^2 + \sin^2\theta$. With $q = \sum_i z_i^2$ and $p = n \lambda$ the fitted number is
#
# $$
# b = \frac{\sum_i z_i y_i}{q + p} = \frac{q \cos\theta + \sum_i z_i e_i}{q + p} ,
# $$
#
# so that it is off by
#
# $$
# b - \cos\theta = \frac{\sum_i z_i e_i - p \cos\theta}{q + p} .
# $$
#
# For fixed inputs $\sum_i z_i e_i$ has mean 0 and variance $q v$. The mean square of $b - \cos\theta$, which is the risk beyond $\sin^2\theta$, therefore is
#
# $$
# \frac{q v + p^2 \cos^2\theta}{(q + p)^2} .
# $$
#
# Its derivative in $p$ is
#
# $$
# \frac{2 q \left( p \cos^2\theta - v \right)}{(q + p)^3} ,
# $$
#
# negative up to $p = v / \cos^2\theta$ and positive from there on, *whatever* $q$ is. So this $p$ is best for every set of inputs, which is {eq}`best-ridge`. Put it in: with $p \cos^2\theta = v$ the risk beyond $\sin^2\theta$ is
#
# $$
# \frac{q v + p v}{(q + p)^2} = \frac{v}{q + p} \le \frac vp = \cos^2\theta .
# $$
#
# So it is finite at every $n$, and with the best ridge the risk is at most $\sin^2\theta + \cos^2\theta = 1$ on every set of inputs: never worse than predicting zero. Without ridge the mean of $v/q$ is infinite for $n = 1$ and 2, and for small $n$ transfer is worse than predicting zero:

# %%
angle = 1.2
for n in (3, 5, 20, 100):
    best = (0.2**2 + np.sin(angle) ** 2) / (n * np.cos(angle) ** 2)
    with_ridge = theory.linear_transfer_risk(angle, n=n, sigma=0.2, ridge=best)
    without = theory.linear_transfer_risk(angle, n=n, sigma=0.2)
    print(f"n = {n:3}: best ridge {with_ridge:.3f}, none {without:.3f}")
    assert with_ridge < 1

# %% [markdown]
# For $n \to \infty$ the fitted number is $\cos\theta / (1 + \lambda)$ instead of $\cos\theta$, and {cite:t}`tahir2025` find (eq. 13)
#
# $$
# \begin{aligned}
# R_{\text{lt}} &\to 1 - \frac{1 + 2\lambda}{(1 + \lambda)^2} \cos^2\theta \\
# &= \sin^2\theta + \left( \frac{\lambda}{1 + \lambda} \right)^2 \cos^2\theta ,
# \end{aligned}
# $$ (ridge-limit)
#
# worse for every $\lambda > 0$. Networks agree: features pretrained on $\beta_s$, new last layers on many data sets, and every ridge on the same data.

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
#|   Risk of linear transfer against the ridge of the last layer, $d = 500$, $\sigma = 0.2$. First panel: $\theta = \pi/8$, $n = 250$ ($\gamma = 0.5$), 200 data sets. Second panel: $\theta = \pi/4$, $n = 5$, 2,000 data sets. Points: means, bars: one standard error. Solid: exact at finite $n$. Dotted: the limit {eq}`ridge-limit`. Vertical line: {eq}`best-ridge`.
#| alt: In the first panel a curve that rises from the start, both theories coincide, and the vertical line is next to zero. In the second the exact curve falls to a minimum at the vertical line and rises again; the limit lies far below it.
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
#| tags: [check]
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
# :::{solution-end}
# :::
#
# ## What to remember
# 1. Freezing features trades variance for bias: with one feature the map is the scratch risk, lowered by $\sin^2\theta$.
# 2. For large $d$ and $1 - \sigma^2 < \gamma < 1 + \sigma^2$ even a worthless feature wins, because scratch training there is worse than no training at all.
# 3. $k$ source tasks leave $k$ features; how many to wish for depends on the samples that are there to weigh them.
