# %% [markdown]
# # When does transfer help?
#
# You have a network that somebody trained on a **source** task, a new **target** task, and $n$
# labelled samples of it. Should you keep the features that the network brings along, or throw
# them away and train from scratch? In this chapter you will
#
# - set up the smallest pair of tasks in which the question has a sharp answer,
# - see where transfer wins and where it loses, as a phase diagram with boundaries in closed form,
# - train {glue:text}`networks-trained` networks at the size the paper used (20 sizes × 20 instances × 1 from scratch and 3 transferred, and 20
#   pretrained ones), and lay the formula over them.

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
#| name: fig-phase-diagram
#| caption: >-
#|   Transferability of a single pretrained feature over the angle $\theta$ between the tasks and
#|   the number of samples per dimension $\gamma = n/d$, from {eq}`transferability-limit` at label
#|   noise $\sigma = 0.2$. Blue: transfer beats training from scratch. Red: it loses. The black line is
#|   where they tie.
#| alt: >-
#|   Map over angle and samples per dimension. Mostly blue at small angles and few samples; red
#|   regions at large angles, one below and one above a blue horizontal band at gamma equal to one.
sigma = 0.2
theta = np.linspace(0, np.pi / 2, 181)
gamma = np.linspace(0.01, 2, 399)
T = xr.DataArray(
    theory.linear_transferability(gamma, theta[:, None], sigma),
    coords={"theta": theta, "gamma": gamma},
)
ax = plot.phase_diagram(T, limit=1)

# %% [markdown]
# Three things in {numref}`fig-phase-diagram` deserve an explanation. With few samples transfer wins up to large angles,
# smaller ones as samples are added: up to {glue:text}`wins-0.05:.0f`° at $\gamma = 0.05$, {glue:text}`wins-0.25:.0f`° at 0.25,
# {glue:text}`wins-0.5:.0f`° at 0.5. With many it wins at small angles only, below {glue:text}`wins-2:.0f`° at $\gamma = 2$. And round
# $\gamma = 1$ runs a band where even *orthogonal* source features seem to help. By the end of the
# chapter all three will follow from one formula used twice.
#
# ## Two tasks at an angle
#
# Inputs are Gaussian, $x \sim \mathcal N(0, I_d)$, and both tasks are linear: the source is
# $f_s(x) = \beta_s \cdot x$ and the target $f_t(x) = \beta_t \cdot x$. Both vectors have unit norm, so the
# only thing that relates the tasks is the angle between them, $\cos\theta = \beta_s \cdot \beta_t$. Of the
# target we see $n = \gamma d$ samples with noisy labels,
#
# $$
# y_i = \beta_t \cdot x_i + \sigma \xi_i , \qquad \xi_i \sim \mathcal N(0, 1) .
# $$ (target-samples)
#
# The source we know as well as we like: somebody else paid for that data. (Other models of transfer that can be solved: between regressions {cite:p}`dar2022`,
# in deep linear networks {cite:p}`lampinen2019`, and in classification {cite:p}`gerace2022`.)
#
# :::{prf:definition} Risk and transferability
# :label: def-transferability
#
# The **risk** of a predictor $f$ is its mean squared distance from the noise-free target,
# $R(f) = \mathbb E_x (f(x) - f_t(x))^2$. For a linear predictor $f(x) = \beta \cdot x$ it is
# $\lVert \beta - \beta_t \rVert^2$. The **transferability** of a method is what it gains over training
# from scratch with the same samples,
#
# $$
# \mathcal T = R_{\text{scratch}} - R_{\text{transfer}} .
# $$ (transferability)
#
# Transfer is *positive* when $\mathcal T > 0$ and *negative* when $\mathcal T < 0$.
# :::
#
# :::{dropdown} Notation of Part I
# | symbol | meaning |
# |---|---|
# | $d$, $n$, $\gamma = n/d$ | input dimension, target samples, their ratio ($n_s$, $\gamma_s$: source samples) |
# | $\beta_s$, $\beta_t$, $\theta$ | source and target vector, the angle between them |
# | $\sigma$, $\sigma_s$ | standard deviation of the label noise of target and source |
# | $L$, $\alpha$, $\eta$ | number of layers, scale of the initial weights, learning rate |
# | $R$, $\mathcal T$ | risk, transferability |
# | $k$, $\rho$, $s$ | number of features, squared norm of the target outside and inside their span |
# | $X^+$, $P = X^+ X$ | pseudoinverse of the data, projection on the directions they see |
# | $\kappa$ | factor by which fine-tuning rescales the source ({doc}`fine-tuning`) |
# | $\Delta$, $m$ | what is left to learn, $\lVert \beta_t - m \rVert^2$, for a ridge that pulls to $m$ ({doc}`the-baseline-matters`) |
# :::
#
# In `fatelib` a pair of tasks is one object:

# %%
d = 500
tasks = fatelib.LinearTasks.at_angle(
    jax.random.key(0), d, theta=jnp.pi / 4, sigma=sigma
)
X, y = tasks.sample(jax.random.key(1), n=250)
print(
    f"beta_s . beta_t = {tasks.beta_source @ tasks.beta_target:.4f},  X {X.shape},  y {y.shape}"
)

# %% [markdown]
# ## Two ways to spend the samples
#
# Both contestants are deep linear networks, $f(x) = x W_1 W_2 \cdots W_L$: linear in $x$, but not in
# their weights, and it is the weights that are trained. Despite their looks they learn features, which is what
# we need them for {cite:p}`saxe2014`. A **feature** is what one hidden unit of the last layer computes, a linear function of the input: a column of
# $W_1 \cdots W_{L-1}$. The last layer combines them.
#
# - **Scratch.** Start from small random weights and run gradient descent on the $n$ target
#   samples, all layers at once. It ends at the interpolator of smallest norm when $n < d$, and at
#   ordinary least squares when $n > d$: at $X^+ y$ in both cases.
# - **Linear transfer.** Take a network pretrained on the source, freeze everything but the last
#   layer, and train that one on the target samples. From small initial weights pretraining leaves
#   *one* feature, $x \mapsto \beta_s \cdot x$. {doc}`feature-sparsification` shows why; here you will see
#   that it does.
#
# So scratch training fits $d$ numbers to $n$ samples, and linear transfer fits one. What remains is
# to know what that costs.
#
# ## One formula
#
# :::{prf:theorem} Risk of least squares on $k$ features
# :label: thm-least-squares
#
# Fit $n$ samples by least squares (of minimum norm where it is not unique) on $k$ orthonormal Gaussian
# features of Gaussian inputs. Let the target, linear in the inputs, have squared norm $s$ inside the span of the features and $\rho$
# outside. Then the expected risk is
#
# $$
# R(n, k; \rho, s) =
# \begin{cases}
# \rho + \frac{(\sigma^2 + \rho)\, k}{n - k - 1} & n > k + 1, \\[1.5ex]
# \rho + s \left(1 - \frac nk\right) + \frac{(\sigma^2 + \rho)\, n}{k - n - 1} & n < k - 1,
# \end{cases}
# $$ (least-squares)
#
# and, unless $\sigma = \rho = 0$, infinite when $|n - k| \le 1$.
# :::
#
# :::{prf:proof}
# Write the labels as $y = Za + e$, with $Z$ the $n \times k$ features and $\lVert a \rVert^2 = s$. Whatever
# of the target lies outside the span is Gaussian and uncorrelated with the features, hence
# independent of them: to the fit it *is* noise, and $e$ has variance $\sigma^2 + \rho$ per sample. For
# $n > k$ the estimate is off by $(Z^\top Z)^{-1} Z^\top e$, whose expected squared norm is
# $(\sigma^2 + \rho)\, \mathbb E \operatorname{tr} (Z^\top Z)^{-1}$, the mean of an inverse Wishart matrix. For $n < k$ the
# fit only sees the projection of $a$ on an $n$-dimensional random subspace and loses
# $s\,(1 - n/k)$; the noise enters through $\mathbb E \operatorname{tr} (Z Z^\top)^{-1} = n/(k - n - 1)$.
# :::
#
# Both contestants are instances of {eq}`least-squares`. Scratch training has all $k = d$ features, so nothing
# of the target is outside. Linear transfer has $k = 1$: the part of the target along $\beta_s$ has
# squared norm $\cos^2\theta$, and $\sin^2\theta$ is out of reach however many samples there are. Their
# difference is
#
# $$
# \mathcal T_{\text{lt}} = R(n, d; 0, 1) - R(n, 1; \sin^2\theta, \cos^2\theta) .
# $$ (transferability-exact)
#
# In the limit of large $d$ at fixed $\gamma = n/d$ the cost of fitting one number disappears and
#
# $$
# \mathcal T_{\text{lt}} \to
# \begin{cases}
# \cos^2\theta - \gamma + \dfrac{\gamma \sigma^2}{1 - \gamma} & \gamma < 1, \\[2ex]
# \dfrac{\sigma^2}{\gamma - 1} - \sin^2\theta & \gamma > 1,
# \end{cases}
# $$ (transferability-limit)
#
# which is eq. 11 of {cite:t}`tahir2025` and what {numref}`fig-phase-diagram` shows. Read it as a
# balance: a feature is worth $\cos^2\theta$ before any data arrive, and scratch training catches up at
# the rate of one unit per $d$ samples.
#
# :::{prf:corollary} Where transfer turns negative
# :label: cor-boundaries
#
# For $\gamma > 1$, linear transfer is negative exactly when $\gamma > 1 + \sigma^2/\sin^2\theta$. For $\gamma < 1$ it is negative
# exactly between the roots
#
# $$
# \gamma_\pm = \tfrac12 \left( B \pm \sqrt{B^2 - 4 \cos^2\theta} \right), \qquad B = 1 + \cos^2\theta - \sigma^2 ,
# $$ (boundaries)
#
# which lie between 0 and 1 exactly when $\sigma < 1 - \lvert \cos\theta \rvert$.
# :::
#
# The corollary (ours) turns the question of this chapter into a function call. At $45°$ and $\sigma = 0.2$:

# %%
low, high = theory.negative_transfer_interval(jnp.pi / 4, sigma)
onset = theory.negative_transfer_onset(jnp.pi / 4, sigma)
print(
    f"transfer loses for {low:.3f} < gamma < {high:.3f} and for gamma > {onset:.3f}"
)

# %% [markdown]
# ## Train it
#
# Formulas about networks should be held against networks. Pretrain one on the source task, look at what it
# keeps, then let both contestants loose on the same 250 samples:

# %%
key_init, key_scratch = jax.random.split(jax.random.key(2))
network = fatelib.DeepLinear.init(key_init, d, depth=2)
network, history = fatelib.pretrain(network, tasks.beta_source, learning_rate=0.1)

transfer = fatelib.linear_transfer(
    network, tasks, X, y, engine="descent", learning_rate=0.1
)
scratch = fatelib.scratch(key_scratch, tasks, X, y, depth=2, learning_rate=0.1)

singular_values = jnp.linalg.svd(network.feature_map(), compute_uv=False)
print(
    "three largest singular values of the hidden layer:",
    singular_values[:3].round(5),
)
for name, result in {"scratch": scratch, "linear transfer": transfer}.items():
    print(f"{name:16} risk {result.risk:.3f} after {int(result.steps)} steps")
print(
    f"theory says      scratch {theory.least_squares_risk(250, d, noise=sigma):.3f}, "
    f"linear transfer {theory.linear_transfer_risk(jnp.pi / 4, n=250, sigma=sigma):.3f}"
)

# %% [markdown]
# (One data set of this size scatters visibly round its mean.) One singular value has grown to the norm of the task and the others are at the scale of
# the initial weights: of $d$ possible features, the network kept the one it was trained on.
#
# ## Figure 1 of the paper
#
# Now the same for three angles, twenty sample sizes and twenty repetitions: two layers, $d = 500$, $\sigma = 0.2$, weights
# of initial scale $10^{-5}$, full-batch gradient descent with learning rate 0.1 for at most
# $10^4$ steps or until the training loss is within $10^{-6}$ of its minimum. Every point below is a mean over
# networks that were *trained*, scratch and transfer alike.

# %%
#| tags: [remove-output]
thetas = np.pi * np.array([1, 2, 3]) / 8
gammas = np.arange(1, 21) / 10
data = fatelib.phase_diagram(
    "linear_transfer",
    thetas,
    gammas,
    d=d,
    sigma=sigma,
    instances=20,
    key=jax.random.key(3),
    learning_rate=0.1,
    engine="descent",  # every weight of every network, from random ones
)

# %%
#| name: fig-slices
#| caption: >-
#|   Transferability of linear transfer against samples per dimension at three angles: trained networks
#|   (points: mean of 20 instances, bars: one standard error) over the exact finite-size theory
#|   {eq}`transferability-exact` (lines). Hollow points: some network had not converged in
#|   $10^4$ steps. $L = 2$, $d = 500$, $\sigma = 0.2$, learning rate 0.1, initial scale $10^{-5}$.
#| alt: >-
#|   Three curves that fall with gamma, spike up at gamma equal to one and fall again. The points lie on the curves
#|   except at the spike itself.
n = np.arange(5, 2 * d + 1)
exact = xr.DataArray(
    theory.least_squares_risk(n, d, noise=sigma)
    - theory.linear_transfer_risk(thetas[:, None], n=n, sigma=sigma),
    coords={"theta": thetas, "gamma": n / d},
)
ax = plot.slices(data.transferability, exact, converged=data.converged)
ax.axhline(0, color="black", linewidth=0.6)
ax.set(ylim=(-1, 2), ylabel=r"transferability $\mathcal{T}$")
ax.legend()
# %% [markdown]
# How well do they agree? Not by eye: in every cell, the distance between the mean over instances and
# the theory, in standard errors. (Scratch training does not know the source, so all angles share its networks.) The build of this book fails if any cell with $|n - d| > 25$ is off by more
# than four.

# %%
away = abs(data.n - d) > 25
fatelib.agreement_table(
    {
        "scratch": (
            data.risk_scratch.isel(theta=0, drop=True),
            theory.least_squares_risk(data.n.values, d, noise=sigma),
        ),
        "transferability": (
            data.transferability,
            exact.sel(gamma=data.gamma, method="nearest"),
        ),
    },
    where=away,
)

# %% [markdown]
# :::{dropdown} Linear transfer alone
# Its risk hardly varies: beyond $\sin^2\theta$ there is only the error of one
# fitted number, *squared*. Twenty squares of a Gaussian number are too few for an honest error bar, so in the folded cell all sample
# sizes are pooled, each measured in units of what {eq}`least-squares` expects.
# :::

# %%
#| tags: [hide-cell]
floor = np.sin(thetas[:, None]) ** 2
expected = (
    theory.linear_transfer_risk(thetas[:, None], n=data.n.values, sigma=sigma)
    - floor
)
excess = (data.risk - floor[..., None]) / np.asarray(expected)[..., None]
fatelib.agreement_table(
    {"cost of fitting one number": (excess.stack(draw=["gamma", "instance"]), 1.0)},
    over="draw",
)

# %%
#| tags: [build-only]
from myst_nb import glue

instances = data.sizes["instance"]
trained = instances * (1 + len(gammas) * (1 + len(thetas)))
glue("networks-trained", trained, display=False)

# The angle at which transfer ceases to win. As the text says:
sine2 = {g: 1 - g + g * sigma**2 / (1 - g) for g in (0.05, 0.25, 0.5)}
edges = {
    g: np.degrees(np.arcsin(s**0.5)) for g, s in {**sine2, 2: sigma**2}.items()
}
for g, edge in edges.items():
    around = np.radians([edge / 2, edge - 0.1, edge + 0.1, 90])
    signs = np.sign(theory.linear_transferability(g, around, sigma))
    assert signs.tolist() == [1, 1, -1, -1]
    glue(f"wins-{g}", float(edge), display=False)
assert list(edges.values()) == sorted(edges.values(), reverse=True)

# %% [markdown]
# The cells that had not converged are all at $\gamma = 1$:

# %%
unconverged = data.gamma[~data.converged.all(["theta", "instance"])].values
print("gamma with networks that had not converged:", unconverged)
assert unconverged.tolist() == [1.0]

# %% [markdown]
# As $n \to d$ the smallest eigenvalue of $X^\top X / n$ goes to zero, and gradient descent along that direction would need
# ever more steps. Stopped early, it avoids the very noise that the formula punishes with an infinite
# risk, so the measured spike is finite. Every result of `fatelib` carries whether its training converged, and hollow points carry
# it into the figures.
#
# ## The band at $\gamma = 1$ is not a merit of the features
#
# Where $n \approx d$ even orthogonal source features ($\theta = \pi/2$, hence worthless) come out ahead of
# scratch. Look at the two risks separately and the riddle dissolves:

# %%
#| tags: [hide-input]
#| name: fig-double-descent
#| caption: >-
#|   Risk of scratch training and of linear transfer from an orthogonal source ($\theta = \pi/2$): theory at
#|   $d = 500$, $\sigma = 0.2$, and the trained scratch networks of {numref}`fig-slices` (points: mean of
#|   20 instances, bars: one standard error, hollow: not converged). The dashed line is the best
#|   *regularised* scratch training.
#| alt: >-
#|   The scratch risk falls, spikes at gamma equal to one and falls again. The transfer risk is a flat line, that of
#|   predicting nothing, but for the very fewest samples. The regularised scratch risk is a smooth falling curve without
#|   spike, below the flat line everywhere.
single = data.isel(theta=0)
curve = xr.DataArray(
    theory.least_squares_risk(n, d, noise=sigma), coords={"gamma": n / d}
)
ax = plot.slices(
    single.risk_scratch, curve, by=None, converged=single.converged, label="scratch"
)
ax.plot(
    n / d,
    theory.optimal_scratch_risk(n / d, sigma),
    "k--",
    label="regularised scratch",
)
useless = theory.linear_transfer_risk(np.pi / 2, n=n, sigma=sigma)
ax.plot(n / d, useless, color="C1", label="linear transfer")
ax.set(ylim=(0, 2), ylabel="risk $R$")
ax.legend()
# %% [markdown]
# The transfer risk of a useless feature is that of predicting nothing, 1. Scratch training is *worse than
# nothing* near $\gamma = 1$, because there it interpolates noise with barely enough parameters to do so: this
# is double descent {cite:p}`belkin2019,hastie2022`. The blue band of
# {numref}`fig-phase-diagram` measures the failure of an unregularised baseline. Against the dashed line, an optimally
# regularised scratch network, it disappears. That line is the best any ridge can do
# {cite:p}`dobriban2018`, and so the best that weight decay can do on a deep linear network, which ends on the ridge path
# ({prf:ref}`thm-decay-is-ridge`; the formula is derived in {prf:ref}`thm-price`):
#
# $$
# R_{\text{reg}} = \tfrac12 \left( 1 - \gamma - \sigma^2 + \sqrt{(1 - \gamma - \sigma^2)^2 + 4 \sigma^2} \right) .
# $$ (regularised-scratch)
#
# $R_{\text{reg}}$ is the positive root of $R^2 - (1 - \gamma - \sigma^2) R - \sigma^2 = 0$ and falls with $\gamma$, so linear transfer wins
# exactly until $R = \sin^2\theta$ solves it (ours):
#
# $$
# \gamma < \cos^2\theta \left( 1 + \frac{\sigma^2}{\sin^2\theta} \right) .
# $$ (regularised-boundary)
#
# One boundary and no band: the picture is {numref}`fig-two-baselines`, right.
#
# ## Turn the noise yourself
#
# The wedge of negative transfer at $\gamma < 1$ begins at $\theta = \arccos(1 - \sigma)$: less noise opens it towards
# smaller angles, until at $\sigma = 0$ it is everything above the curve $\gamma = \cos^2\theta$. Drag the slider and watch the
# two regions move.

# %%
#| tags: [hide-input]
#| name: fig-explore-linear
#| caption: >-
#|   Transferability of linear transfer, {eq}`transferability-limit`, for every noise level. Hover, touch or use
#|   the arrow keys to read off values; the slices follow the cursor.
#| alt: >-
#|   Interactive map of transferability over angle and samples per dimension, with a slider for the noise.
from fatelib.widgets import explore

sigmas = np.linspace(0, 1, 21)
angles = xr.DataArray(
    np.linspace(0, np.pi / 2, 61), dims="theta", attrs={"units": "rad"}
)
ratios = np.linspace(0.025, 2, 80)
gain = theory.linear_transferability(
    ratios, angles.values[:, None], sigmas[:, None, None]
)
grid = xr.DataArray(
    gain,
    coords={"sigma": sigmas, "theta": angles, "gamma": ratios},
    name="T_lt",
    attrs={"long_name": "transferability"},
)
start = {"sigma": 0.2, "theta": np.pi / 4, "gamma": 0.7}
explore(grid, x="theta", y="gamma", at=start, limit=1)

# %% [markdown]
# ## Exercises
#
# :::{exercise} Break-even
# :label: ex-break-even
#
# You know nothing about the noise, but you do know $n = 0.3\, d$. Up to which angle is it safe to transfer? Answer
# for $\sigma = 0$, then argue that noise can only help your case.
# :::
#
# :::{solution-start} ex-break-even
# :label: sol-break-even
# :class: dropdown
# :::
#
# At $\sigma = 0$ and $\gamma < 1$, {eq}`transferability-limit` gives $\mathcal T = \cos^2\theta - \gamma$, so the
# break-even angle is $\arccos \sqrt{\gamma}$. The noise term $\gamma \sigma^2 / (1 - \gamma)$ is positive: noise hurts scratch
# training, which fits $d$ numbers, but not transfer, which fits one.

# %%
safe = jnp.arccos(jnp.sqrt(0.3))
print(f"break-even at sigma = 0: {jnp.degrees(safe):.1f} degrees")
for noise in (0.0, 0.2, 0.5):
    print(
        f"sigma = {noise}: T = {theory.linear_transferability(0.3, safe, noise):+.3f}"
    )

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Ten features or one
# :label: ex-k-features
#
# A different source left *ten* orthonormal features behind, and the target lies within 30° of their
# span. For which $n$ does this beat the single feature at 45°? Use {eq}`least-squares` at $d = 500$, $\sigma = 0.2$.
# :::
#
# :::{solution-start} ex-k-features
# :label: sol-k-features
# :class: dropdown
# :::
#
# Ten features leave a residual $\rho = \sin^2 30° = 1/4$ instead of $1/2$, but ten numbers must be fitted instead of
# one. More features lose while samples are scarce, and near $n = 10$ badly: their own double descent.
# (The single feature has its own pole, at $n \leq 2$, where anything beats it and just above which it is still felt.)

# %%
few = np.arange(1, 61)
ten = theory.least_squares_risk(few, 10, residual=0.25, signal=0.75, noise=sigma)
one = theory.least_squares_risk(few, 1, residual=0.5, signal=0.5, noise=sigma)
print("ten features win at n =", few[np.asarray(ten < one)])

# %% [markdown]
# :::{solution-end}
# :::
# ## What to remember
#
# 1. Scratch training fits $d$ numbers, linear transfer one. Both risks are the same function,
#    {eq}`least-squares`, at two arguments.
# 2. Where linear transfer loses is known in closed form: at most two regions, one on each side of $\gamma = 1$.
# 3. Part of the apparent gain, the band at $\gamma = 1$, belongs to a bad baseline and not to the features. Against optimally regularised
#    scratch training linear transfer wins exactly while $\gamma < \cos^2\theta\, (1 + \sigma^2/\sin^2\theta)$: as long as $n$ samples cannot buy
#    the risk $\sin^2\theta$ ({numref}`fig-two-baselines`, right).
