# %% [markdown]
# # When does transfer help?
#
# You have a network that somebody trained on a **source** task, a new **target** task, and $n$ labelled samples of it. Keep its features, or train from scratch? In the map every point is such a case: blue says keep, red says start over. Move the cross.

# %%
#| tags: [hide-input]
#| name: fig-explore-linear
#| caption: >-
#|   What is gained by keeping the one feature of a pretrained network, against training from scratch: transferability {eq}`transferability-limit` over the angle $\theta$ between the tasks and the number of samples per dimension $\gamma = n/d$, for every label noise $\sigma$. Hover, touch or use the arrow keys; the slices follow the cross.
#| alt: >-
#|   Interactive map of transferability over angle and samples per dimension, with a slider for the noise. At first: mostly blue at small angles and few samples; red regions at large angles, one below and one above a blue horizontal band at gamma equal to one.
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import plot, theory
from fatelib.widgets import explore

plt.style.use("fatelib.style")

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
at = {"sigma": 0.2, "theta": np.pi / 4, "gamma": 0.7}
explore(grid, x="theta", y="gamma", at=at, limit=1)

# %% [markdown]
# At $\sigma = 0.2$, where the slider starts, three things want an explanation:
#
# - **Few samples.** Transfer wins up to a large angle, which shrinks as samples are added: {glue:text}`wins-0.05:.0f`° at $\gamma = 0.05$, {glue:text}`wins-0.25:.0f`° at 0.25, {glue:text}`wins-0.5:.0f`° at 0.5.
# - **Many samples.** It wins at small angles only, below {glue:text}`wins-2:.0f`° at $\gamma = 2$.
# - **A band at $\gamma = 1$**, where even a source *orthogonal* to the target (90°) seems to help.
#
# ## What one would guess
# Related tasks help, unrelated ones do not, so there should be a largest angle. Or: own data replace borrowed knowledge, so there should be a largest number of samples. Each is half of the answer, and neither has room for the band. What is missing is the price of training from scratch.
#
# ## Two tasks at an angle
# Inputs are Gaussian, $x \sim \mathcal N(0, I_d)$, and both tasks are linear: the source is $f_s(x) = \beta_s \cdot x$, the target $f_t(x) = \beta_t \cdot x$. Both vectors have unit norm, so all that relates the tasks is the angle between them, $\cos\theta = \beta_s \cdot \beta_t$. The source we know as well as we like: somebody else paid for that data. Of the target we see $n = \gamma d$ samples with noisy labels,
#
# $$
# y_i = \beta_t \cdot x_i + \sigma \xi_i , \;\; \xi_i \sim \mathcal N(0, 1) .
# $$ (target-samples)
#
# :::{prf:definition} Risk and transferability
# :label: def-transferability
#
# The **risk** of a predictor $f$ is its mean squared distance from the noise-free target, $R(f) = \mathbb E_x (f(x) - f_t(x))^2$. For a linear predictor $f(x) = \beta \cdot x$ it is $\lVert \beta - \beta_t \rVert^2$, because $\mathbb E_x (v \cdot x)^2 = \lVert v \rVert^2$ for every vector $v$. The **transferability** of a method is what it gains over training from scratch with the same samples,
#
# $$
# \mathcal T = R_{\text{scratch}} - R_{\text{transfer}} .
# $$ (transferability)
#
# Transfer is *positive* when $\mathcal T > 0$ and *negative* when $\mathcal T < 0$.
# :::
#
# :::{dropdown} Notation
# | symbol | meaning |
# |---|---|
# | $d$, $n$, $\gamma = n/d$ | input dimension, target samples, their ratio |
# | $\beta_s$, $\beta_t$, $\theta$ | source and target vector, of unit norm unless said; the angle between them |
# | $R$, $\mathcal T$ | risk, transferability |
# | $k$ | number of features |
# | $S$, $\rho$ | squared norm of the target inside and outside the span of the features |
# | $X^+$, $P = X^+ X$ | pseudoinverse of the data, projection on the directions they see |
#
# All symbols of the book: {doc}`notation`.
# :::
#
# Both contestants are deep linear networks, $f(x) = x W_1 W_2 \cdots W_L$: linear in $x$, but not in their weights, and it is the weights that are trained. That is enough to learn features {cite:p}`saxe2014`. A **feature** is what one unit of the last *hidden* layer computes, a column of $W_1 \cdots W_{L-1}$. (What is called the last layer below is the output layer, $W_L$.)
#
# - **Scratch.** Small random weights, gradient descent on the $n$ samples, all layers at once. It ends at least squares, of smallest norm where $n < d$ leaves a choice: at $X^+ y$ ({prf:ref}`thm-minimum-norm`).
# - **Linear transfer.** Take the pretrained network, freeze everything but the last layer, train that one on the samples. From small initial weights pretraining leaves *one* feature, $\beta_s \cdot x$ ({doc}`feature-sparsification` shows why; below you see it happen).
#
# So linear transfer fits one number, and scratch training fits $d$. What does that cost?
#
# ## What each of them pays
# **Linear transfer** predicts $b\, \beta_s \cdot x$ and fits the number $b$. Split the target into what points along the source and a unit vector $u$ orthogonal to it, $\beta_t = \cos\theta\, \beta_s + \sin\theta\, u$. With the feature's values $z_i = \beta_s \cdot x_i$ a label is
#
# $$
# y_i = \cos\theta\; z_i + \underbrace{\sin\theta\; u \cdot x_i + \sigma \xi_i}_{e_i} .
# $$ (one-feature-label)
#
# No $b$ can express $u$: of the target, $S = \cos^2\theta$ is inside the span of the feature and $\rho = \sin^2\theta$ outside, *out of reach* of any number of samples. Worse, what is out of reach looks like noise: $u \cdot x_i$ is Gaussian, uncorrelated with $z_i$ and hence independent of it, so the error $e_i$ has variance $\sigma^2 + \rho$. Least squares gives
#
# $$
# b = \frac{\sum_i z_i y_i}{\sum_i z_i^2} = \cos\theta + \frac{\sum_i z_i e_i}{\sum_i z_i^2} ,
# $$ (one-number)
#
# whose last term has, for given $z$, the variance $(\sigma^2 + \rho) / \sum_i z_i^2$. The mean of $1/\sum_i z_i^2$ is $1/(n - 2)$ ({doc}`one-formula` computes it by hand). The risk $\lVert b\, \beta_s - \beta_t \rVert^2$ is $(b - \cos\theta)^2 + \sin^2\theta$, on average
#
# $$
# R_{\text{lt}} = \sin^2\theta + \frac{\sigma^2 + \sin^2\theta}{n - 2} .
# $$ (lt-risk)
#
# **Scratch training** has every direction in reach. With $n < d$ samples it sees $n$ of $d$ directions, chosen at random, and answers zero in the others: a share $1 - n/d$ of the target is *not seen*. In the directions it sees it fits every label, noise included. The noise that this puts into $\beta$ is, by the same argument for many numbers instead of one (again {doc}`one-formula`), the last term of
#
# $$
# \begin{aligned} & n < d - 1: \\ & R_{\text{scratch}} = 1 - \frac nd + \frac{\sigma^2 n}{d - n - 1} , \\[1ex] & n > d + 1: \\ & R_{\text{scratch}} = \frac{\sigma^2 d}{n - d - 1} . \end{aligned}
# $$ (scratch-exact)
#
# Both risks are exact, for $n > 2$ and $\lvert n - d \rvert > 1$ (with noise the risk of scratch training is infinite for $\lvert n - d \rvert \le 1$), and so is their difference
#
# $$
# \mathcal T_{\text{lt}} = R_{\text{scratch}} - R_{\text{lt}} .
# $$ (transferability-exact)
#
# For large $d$ at fixed $\gamma = n/d$ the cost of one number disappears, and with $1 - \sin^2\theta = \cos^2\theta$
#
# $$
# \begin{aligned} \gamma < 1: \; & \mathcal T_{\text{lt}} \to \cos^2\theta - \gamma + \frac{\gamma \sigma^2}{1 - \gamma} \\[1ex] \gamma > 1: \; & \mathcal T_{\text{lt}} \to \frac{\sigma^2}{\gamma - 1} - \sin^2\theta , \end{aligned}
# $$ (transferability-limit)
#
# which is eq. 11 of {cite:t}`tahir2025` and the map of {numref}`fig-explore-linear`. It is a balance: the feature is worth $\cos^2\theta$ before any data arrive, scratch training catches up by one unit per $d$ samples, and its own noise sets it back.
#
# :::{prf:corollary} Where transfer turns negative
# :label: cor-boundaries
#
# (Ours.) For $\gamma > 1$, linear transfer is negative exactly when $\gamma > 1 + \sigma^2/\sin^2\theta$. For $\gamma < 1$ it is negative exactly between the roots $\gamma_- < \gamma_+$ of
#
# $$
# \begin{aligned} \gamma^2 & - (1 + \cos^2\theta - \sigma^2)\, \gamma \\ & + \cos^2\theta , \end{aligned}
# $$ (boundaries)
#
# which lie between 0 and 1 exactly when $\sigma < 1 - \lvert \cos\theta \rvert$, and are not there otherwise.
# :::
#
# :::{prf:proof}
# For $\gamma > 1$ solve $\sigma^2/(\gamma - 1) < \sin^2\theta$ for $\gamma$. For $\gamma < 1$ multiply {eq}`transferability-limit` by $1 - \gamma > 0$: the product, $(\cos^2\theta - \gamma)(1 - \gamma) + \gamma \sigma^2$, is {eq}`boundaries`. It has two roots, none of them negative, exactly when $1 + \cos^2\theta - \sigma^2 > 2 \lvert \cos\theta \rvert$, which says $(1 - \lvert \cos\theta \rvert)^2 > \sigma^2$. Their product is $\cos^2\theta \le 1$ and at $\gamma = 1$ the polynomial is $\sigma^2 \ge 0$, so none lies beyond 1.
# :::
#
# ## The experiment in ten lines
# Formulas about networks should be held against networks: pretrain one on the source, then let both contestants loose on the same 250 samples.

# %%
d, n, sigma = 500, 250, 0.2
tasks = fatelib.LinearTasks.at_angle(jax.random.key(0), d, jnp.pi / 4, sigma)
X, y = tasks.sample(jax.random.key(1), n)
keys, options = jax.random.split(jax.random.key(2)), {"learning_rate": 0.1}

network = fatelib.DeepLinear.init(keys[0], d, depth=2)
network, history = fatelib.pretrain(network, tasks.beta_source, **options)
kept = fatelib.linear_transfer(network, tasks, X, y, engine="descent", **options)
fresh = fatelib.scratch(keys[1], tasks, X, y, depth=2, **options)
print(f"risk: linear transfer {kept.risk:.3f}, scratch {fresh.risk:.3f}")

# %%
transfer_theory = theory.linear_transfer_risk(jnp.pi / 4, n=n, sigma=sigma)
scratch_theory = theory.least_squares_risk(n, d, noise=sigma)
print(
    f"theory: linear transfer {transfer_theory:.3f}, scratch {scratch_theory:.3f}"
)

hidden = jnp.linalg.svd(network.feature_map(), compute_uv=False)
print("largest singular values of the hidden layer:", hidden[:3].round(5))

low, high = theory.negative_transfer_interval(jnp.pi / 4, sigma)
onset = theory.negative_transfer_onset(jnp.pi / 4, sigma)
print(f"transfer loses for {low:.3f} < γ < {high:.3f} and for γ > {onset:.3f}")

# %% [markdown]
# (One data set of this size scatters visibly round its mean.) One singular value has grown to the norm of the task, the others are at the scale of the initial weights: of $d$ possible features the network kept the one it was trained on.
#
# ## Theory on experiment
# Now at the size of the paper's Figure 1: two layers, three angles, twenty numbers of samples, twenty repetitions. {glue:text}`networks-trained` networks are trained from random weights: one pretrained and twenty from scratch in each repetition, and a new last layer for each angle and number of samples. (`engine="descent"` asks for just that; some later chapters take shortcuts to the same end, and say so.) The line beneath a figure, so many *cells agree*, sums up the comparison of theory and experiment: a cell is one setting, here one angle at one number of samples; the distance of its mean over the repetitions from the theory is measured in standard errors of that mean, and the line says how large the largest is and how much would be tolerated. The table is on the page {doc}`checks`.

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
#| tags: [hide-input]
#| name: fig-slices
#| caption: >-
#|   Transferability of linear transfer against samples per dimension at three angles: trained networks (points: mean of 20 instances, bars: one standard error) over the exact theory {eq}`transferability-exact` (lines). Hollow points: some network had not converged in $10^4$ steps. $L = 2$, $d = 500$, $\sigma = 0.2$; full-batch gradient descent with learning rate 0.1 from weights of scale $10^{-5}$, until the training loss is within $10^{-6}$ of its minimum.
#| alt: >-
#|   Three curves that fall with gamma, spike up at gamma equal to one and fall again. The points lie on the curves except at the spike itself.
counts = np.arange(5, 2 * d + 1)
exact = xr.DataArray(
    theory.least_squares_risk(counts, d, noise=sigma)
    - theory.linear_transfer_risk(thetas[:, None], n=counts, sigma=sigma),
    coords={"theta": thetas, "gamma": counts / d},
)
ax = plot.slices(data.transferability, exact, converged=data.converged)
ax.axhline(0, color="black", linewidth=0.6)
ax.set(ylim=(-1, 2), ylabel=r"transferability $\mathcal{T}$")
ax.legend()

# %%
#| tags: [check]
# In every cell, the distance between the mean over instances and the exact theory, in standard errors. Cells with $|n - d| \le 25$ are left out: near
# the spike the mean is that of a broad distribution, and at $n = d$, in the only cells where some network had not converged, training stops early.
# Scratch training does not know the source, so all angles share its networks.
unconverged = data.gamma[~data.converged.all(["theta", "instance"])].values
assert unconverged.tolist() == [1.0]
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
    where=abs(data.n - d) > 25,
)

# %%
#| tags: [check]
# The risk of linear transfer alone hardly varies: beyond $\sin^2\theta$ there is only the squared error of one fitted number. Twenty squares of a
# Gaussian number are too few for an honest error bar, so all numbers of samples are pooled, each measured in units of its expectation.
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

# One pretrained network in each instance; for each n one from scratch and one for each angle.
trained = data.sizes["instance"] * (1 + len(gammas) * (1 + len(thetas)))
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
# The hollow points are all at $\gamma = 1$. There the data hardly determine one direction, and gradient descent would need ever more steps to follow it. Stopped early, it avoids the very noise that {eq}`scratch-exact` punishes with an infinite risk, so the measured spike is finite.
#
# ## Why the band at $\gamma = 1$ is an artefact
# Feature and target at 90° have nothing in common, and yet the feature wins there. Look at the two risks one by one:

# %%
#| tags: [hide-input]
#| name: fig-double-descent
#| caption: >-
#|   Risk of scratch training and of linear transfer from an orthogonal source ($\theta = \pi/2$): theory at $d = 500$, $\sigma = 0.2$, and the trained scratch networks of {numref}`fig-slices` (points: mean of 20 instances, bars: one standard error, hollow: not converged). The dashed line is the best *regularised* scratch training.
#| alt: >-
#|   The scratch risk falls, spikes at gamma equal to one and falls again. The transfer risk is a flat line, that of predicting nothing, but for the very fewest samples. The regularised scratch risk is a smooth falling curve without spike, below the flat line everywhere.
single = data.isel(theta=0)
curve = xr.DataArray(
    theory.least_squares_risk(counts, d, noise=sigma), coords={"gamma": counts / d}
)
ax = plot.slices(
    single.risk_scratch, curve, by=None, converged=single.converged, label="scratch"
)
regularised = theory.optimal_scratch_risk(counts / d, sigma)
ax.plot(counts / d, regularised, "k--", label="regularised scratch")
useless = theory.linear_transfer_risk(np.pi / 2, n=counts, sigma=sigma)
ax.plot(counts / d, useless, color="C1", label="linear transfer")
ax.set(ylim=(0, 2), ylabel="risk $R$")
ax.legend()

# %% [markdown]
# The useless feature has the risk of predicting nothing, 1, at every $\gamma$ (but for the very fewest samples): nothing happens to it at $\gamma = 1$. The *rival* does. With about as many samples as numbers to fit, scratch training goes through noisy labels with hardly any freedom left, and is worse than nothing: this is double descent {cite:p}`belkin2019,hastie2022`. The band measures the failure of an unregularised baseline. A network that always answers zero has it, too. ({doc}`linear-transfer` says how wide it is.)
#
# Anybody would regularise such a network. On a deep linear network the best weight decay is the best ridge ({prf:ref}`thm-decay-is-ridge`). For large $d$ its risk, dashed above, is {cite:p}`dobriban2018`
#
# $$
# \begin{aligned} R_{\text{reg}} &= \tfrac12 \left( c + \sqrt{c^2 + 4 \sigma^2} \right) , \\ c &= 1 - \gamma - \sigma^2 . \end{aligned}
# $$ (regularised-scratch)
#
# ({prf:ref}`thm-price` derives it.) It has no spike, and never exceeds 1: against it, the band is gone. When does transfer still win? Let the kept network have $k$ features, any number small against $n$, and let them miss a share $\rho$ of the target. As above its risk is $\rho$, once there are samples enough to fit $k$ numbers. Does scratch training get below $\rho$? Since $R_{\text{reg}}$ falls with $\gamma$ and is the positive root of
#
# $$
# R^2 - (1 - \gamma - \sigma^2)\, R - \sigma^2 = 0 ,
# $$ (regularised-root)
#
# put $R = \rho$: then $\gamma \rho = \rho - \rho^2 + \sigma^2 - \sigma^2 \rho = (1 - \rho)(\rho + \sigma^2)$. So transfer wins (ours) exactly while
#
# $$
# \gamma < (1 - \rho) \left( 1 + \frac{\sigma^2}{\rho} \right) .
# $$ (regularised-boundary)
#
# The right side is the *number of samples, in units of $d$, with which scratch training done well buys the risk $\rho$*. The factor $1 - \rho$: scratch training must learn that share of the $d$ directions. The factor $1 + \sigma^2/\rho$: it needs more samples where the noise is large against $\rho$. Have fewer: keep the features. Have more: start over.

# %%
for missed in (0.02, 0.1, 0.5):
    bought_at = theory.scratch_boundary(missed, sigma)
    print(
        f"features that miss {missed:4.0%}: keep them up to n = {bought_at:.2f} d"
    )
    assert abs(theory.optimal_scratch_risk(bought_at, sigma) - missed) < 1e-4
    by_hand = (1 - missed) * (1 + sigma**2 / missed)
    assert abs(bought_at / by_hand - 1) < 1e-4

# %% [markdown]
# For the one feature of our source $\rho = \sin^2\theta$: one boundary and no band ({numref}`fig-two-baselines`, second map).
#
# ## What if
# - **... labels had no noise?** Set $\sigma = 0$ in {numref}`fig-explore-linear`: the band is gone, because there is no noise to amplify, and transfer loses everywhere above the curve $\gamma = \cos^2\theta$.
# - **... they had more?** The red wedge below $\gamma = 1$ begins at $\theta = \arccos(1 - \sigma)$. Drag $\sigma$ up and watch it retreat to large angles; at $\sigma = 1$ it is gone.
# - **... tasks were not lines?** Other models that can be solved: regressions {cite:p}`dar2022`, deep linear networks {cite:p}`lampinen2019`, classification {cite:p}`gerace2022`; ReLU networks from {doc}`from-lines-to-kernels` on.
#
# ## Exercises
#
# :::{exercise} Predict, then run
# :label: ex-predict-sign
#
# Thirty data sets each, $d = 200$, $\sigma = 0.2$. For these (degrees, $\gamma$) write down who wins and by how much (to within 0.1), *then* look:
#
# ```python
# guess = {(30, 0.2): ..., (60, 0.8): ..., (60, 1.05): ..., (30, 2.0): ...}
# ```
# :::
#
# :::{solution-start} ex-predict-sign
# :label: sol-predict-sign
# :class: dropdown
# :::
#
# From {eq}`transferability-limit`: $0.75 - 0.2 + 0.01$; $0.25 - 0.8 + 0.16$; in the band, $0.04/0.05 - 0.75$, positive by the rival's failure; and $0.04 - 0.25$. Next to $\gamma = 1$, at $n - d = 10$, the exact {eq}`transferability-exact` is larger than its limit.

# %%
guess = {(30, 0.2): 0.56, (60, 0.8): -0.39, (60, 1.05): 0.05, (30, 2.0): -0.21}
rng, target = np.random.default_rng(4), np.eye(200)[0]


def measure(theta, n):
    """What is gained on one data set, both fits solved for."""
    source = np.cos(theta) * target + np.sin(theta) * np.eye(200)[1]
    X = rng.standard_normal((n, 200))
    y = X @ target + sigma * rng.standard_normal(n)
    z, fresh = X @ source, np.linalg.lstsq(X, y, rcond=None)[0]
    kept = (z @ y) / (z @ z) * source
    return np.sum((fresh - target) ** 2) - np.sum((kept - target) ** 2)


for (degrees, ratio), value in guess.items():
    n_here = round(200 * ratio)
    found = [measure(np.radians(degrees), n_here) for _ in range(30)]
    mean, error = np.mean(found), np.std(found, ddof=1) / 30**0.5
    print(f"{degrees}°, γ = {ratio}: guess {value:+.2f}, {mean:+.2f} ± {error:.2f}")
    assert abs(mean - value) < 0.1 + 4 * error
    assert ratio == 1.05 or mean * value > 0

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Break-even (pencil)
# :label: ex-break-even
#
# You know nothing about the noise, but you do know $n = 0.3\, d$. Up to which angle is it safe to transfer? Answer for $\sigma = 0$, then argue that noise can only help your case.
# :::
#
# :::{solution-start} ex-break-even
# :label: sol-break-even
# :class: dropdown
# :::
#
# At $\sigma = 0$ and $\gamma < 1$, {eq}`transferability-limit` gives $\mathcal T = \cos^2\theta - \gamma$, so the break-even angle is $\arccos \sqrt{\gamma}$. The noise term $\gamma \sigma^2 / (1 - \gamma)$ is positive: noise hurts scratch training, which fits $d$ numbers, but not transfer, which fits one.

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
# :::{exercise} Change the rival (code)
# :label: ex-change-rival
#
# `data` holds the risks of all networks of {numref}`fig-slices`. In how many of its 60 cells does transfer beat the scratch networks? In how many would it beat *regularised* scratch training, {py:func}`~fatelib.theory.optimal_scratch_risk`? Where are the cells that change sides?
# :::
#
# :::{solution-start} ex-change-rival
# :label: sol-change-rival
# :class: dropdown
# :::

# %%
fair = xr.DataArray(
    theory.optimal_scratch_risk(gammas, sigma), coords={"gamma": data.gamma}
)
wins = data.transferability.mean("instance") > 0
wins_fairly = data.risk.mean("instance") < fair
print(f"{int(wins.sum())} cells, against the fair rival {int(wins_fairly.sum())}")
for angle, won, still in zip(thetas, wins, wins_fairly, strict=True):
    lost = gammas[(won & ~still).values]
    print(f"{np.degrees(angle):.1f}°: no longer at γ =", *lost)
assert not (wins_fairly & ~wins).any()

# %% [markdown]
# No cell changes the other way: the best ridge is never worse than none. Those that change are at $\gamma = 1$ and a little above.
#
# :::{solution-end}
# :::
#
# :::{exercise} Your own arrays
# :label: ex-own-arrays
#
# With a network of your own nobody tells you $\theta$ or $\rho$. Features and labels are enough: give {py:func}`fatelib.diagnose <fatelib.probe.diagnose>` two feature sets of the same samples, here the kept feature and the raw inputs (ridge regression on these *is* regularised scratch training). From which $n$ on are the raw inputs better? Compare with {eq}`regularised-boundary`, then put arrays of yours in their place.
# :::
#
# :::{solution-start} ex-own-arrays
# :label: sol-own-arrays
# :class: dropdown
# :::
#
# Errors of predicted *labels* include their noise, $\sigma^2 = 0.04$, which is the same for both and does not move the place where they cross. Where it says "at most", 250 labels tell only a bound for the raw inputs: their error may well be smaller. So the labels show that the kept feature is better with few samples, and do not tell where the raw inputs overtake it; the formula, which knows $\rho$ and $\sigma$, does.

# %%
sets = {"kept feature": X @ network.end_to_end()[:, None], "raw inputs": X}
report = fatelib.diagnose(sets, y, ns=[50, 125, 250, 500, 1000])
for m in (50, 125, 250, 500, 1000):
    one, raw = (report.error(name, m) for name in sets)
    known = f"{raw.value:.2f}" if raw.identified else f"at most {raw.high:.2f}"
    print(f"n = {m:4}: kept {one.value:.2f}, raw inputs {known}")
print(f"formula: keep it up to n = {d * (1 - 0.5) * (1 + sigma**2 / 0.5):.0f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} How many features may you keep? (hard)
# :label: ex-keep-features
#
# Fitting $k$ numbers instead of one costs $(\sigma^2 + \rho)\, k / (n - k - 1)$ instead of $(\sigma^2 + \rho) / (n - 2)$, as the next chapter shows. A source left $k$ features that miss $\rho = 0.1$ of the target; $n = 250$, $d = 500$, $\sigma = 0.2$. Up to which $k$ do they beat regularised scratch training? Find a formula.
# :::
#
# :::{solution-start} ex-keep-features
# :label: sol-keep-features
# :class: dropdown
# :::
#
# Write $R$ for $R_{\text{reg}}$. The condition is $\rho + (\sigma^2 + \rho)\, k/(n - k - 1) < R$. Multiply by $n - k - 1 > 0$: $(\sigma^2 + \rho)\, k < (R - \rho)(n - 1) - (R - \rho)\, k$. Collect $k$:
#
# $$
# k < \frac{R - \rho}{R + \sigma^2}\, (n - 1) .
# $$
#
# It needs $R > \rho$, which is {eq}`regularised-boundary`, and then allows a share of the samples.

# %%
R, rho = float(theory.optimal_scratch_risk(n / d, sigma)), 0.1
most = (R - rho) / (R + sigma**2) * (n - 1)
ks = np.arange(1, n - 1)
risks = theory.least_squares_risk(n, ks, residual=rho, signal=1 - rho, noise=sigma)
print(f"formula {most:.1f}; by search", ks[np.asarray(risks) < R].max())
assert ks[np.asarray(risks) < R].max() == int(most)

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
# 1. A kept feature costs a bias, what it misses of the target, and hardly any data. Scratch training costs data and noise. So it is angle *and* number of samples that decide.
# 2. The band at $\gamma = 1$ is the failure of an unregularised rival, and no merit of the features.
# 3. Against scratch training done well, features that miss $\rho$ win exactly while $\gamma < (1 - \rho)(1 + \sigma^2/\rho)$: as long as $n$ samples cannot buy the risk $\rho$.
