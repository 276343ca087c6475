# %% [markdown]
# # Fine-tuning
#
# Take a pretrained network and train *all* of its weights on $n < d$ samples of the target. Is that better than training from scratch? In the directions that the samples cover, both end at the same answer. What decides is their answer in the directions that **no sample sees**. Drag $\beta_s$, the source.

# %%
#| name: fig-null-space
#| caption: >-
#|   The directions that no sample sees. The truth there is $\beta_t$, training from scratch answers 0, and fine-tuning answers $\kappa \beta_s$, the source times a factor that this chapter derives. Drag $\beta_s$, or reach it with the tab key and move it with the arrow keys.
#|   Dashed: the answers closer to $\beta_t$ than 0. Shaded: the sources for which $\kappa \beta_s$ is one of them. The line from
#|   $\kappa \beta_s$ to $\beta_t$ is the error of fine-tuning, $\beta_t$ itself that of scratch training. Thin circle: sources of norm 1, those of {eq}`kappa`;
#|   off it $\kappa$ depends on the length of the source, too, {eq}`fine-tuned`.
#| alt: Interactive plane with the target fixed and a source vector to drag, the disk of better answers and the region of sources that help,
#|   with sliders for samples per dimension, noise and depth.
#| tags: [hide-input]
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import plot, theory
from fatelib.widgets import explore, null_space

plt.style.use("fatelib.style")
null_space(at={"theta": np.radians(55)})

# %% [markdown]
# Two things to see. Turn $\beta_s$ on the thin circle: without noise, fine-tuning wins up to 60°. Then go back to 55° and raise $\sigma$, the label noise: $\beta_s$ stays, but the answer $\kappa \beta_s$ grows until it leaves the disk, and it grows faster with more layers $L$. Why 60°? And why do noise and depth stretch the answer?
#
# ## What one would guess
# The $n$ inputs, rows of $X$, span $n$ of $d$ directions. Let $P = X^+ X$ project on this span, so that $I - P$ projects on what no sample sees.
#
# *In the span* the labels decide. Whoever fits them, $X \beta = y$, has $P \beta = X^+ X \beta = X^+ y$: both contestants end there, with the same noise fitted.
#
# *Outside*, in the null space of $X$, no gradient ever points. Scratch training began near zero and stays there ({prf:ref}`thm-minimum-norm`). A pretrained network should keep what it brought along:
#
# $$
# \begin{aligned} \beta_{\text{scratch}} &= X^+ y , \\ \beta_{\text{ft}} &\overset{?}{=} X^+ y + (I - P)\, \beta_s . \end{aligned}
# $$ (null-space-guess)
#
# So outside the span, scratch training is off by $(I - P) \beta_t$ and fine-tuning by $(I - P)(\beta_s - \beta_t)$. The unseen directions are a random share $1 - \gamma$ of all ($\gamma = n/d$), and keep that share of any squared norm. The transferability is the difference of the two errors,
#
# $$
# \begin{aligned} \mathcal T_{\text{ft}} &\overset{?}{=} (1 - \gamma) \lVert \beta_t \rVert^2 \\ &\quad - (1 - \gamma) \lVert \beta_s - \beta_t \rVert^2 \\ &= (1 - \gamma) (2 \cos\theta - 1) , \end{aligned}
# $$ (sixty-degrees)
#
# the last line for unit vectors, $\lVert \beta_s - \beta_t \rVert^2 = 2 - 2 \cos\theta$. This is eq. 15 of {cite:t}`tahir2025`. At 60° the triangle of 0, $\beta_s$ and $\beta_t$ has three equal sides: the source is as far from the truth as zero is. The number of samples drops out. Linear transfer had to beat scratch training everywhere at once; fine-tuning is only judged where scratch training knows nothing.
#
# ## Why the answer grows
# The guess forgets that the network has more than one layer. In the unseen directions the *first* layer does keep what it has. But the other $L - 1$ layers pass it on, and they are shared by all directions. Say the network has to become $g$ times as long to fit the target, noise and all, $g = \lVert \beta_{\text{ft}} \rVert / \lVert \beta_s \rVert$. Pretraining from small weights leaves all layers equally large, *balanced*, and training keeps them so: each grows by the factor $g^{1/L}$. What no sample sees is stretched by all of them but the first:
#
# $$
# \kappa = g^{(L-1)/L} .
# $$ (stretch)
#
# **The exponent is the share of the growth that happens in the later layers**: none of it with one layer, half with two, nearly all in a deep network. That is how depth enters. Here is the statement, with every step.
#
# :::{prf:theorem} Fine-tuning of a deep linear network
# :label: thm-fine-tuning
#
# Let a network of $L \ge 2$ layers be balanced, as small-scale pretraining leaves it ({prf:ref}`thm-sparsification`), and compute $\beta_s \ne 0$. If gradient flow on $(X, y)$ brings the training loss to its minimum, it ends at
#
# $$
# \begin{gathered} \beta_{\text{ft}} = X^+ y + \kappa\, (I - P)\, \beta_s , \\ \kappa = \left( \frac{\lVert \beta_{\text{ft}} \rVert}{\lVert \beta_s \rVert} \right)^{(L-1)/L} . \end{gathered}
# $$ (fine-tuned)
# :::
#
# :::{prf:proof}
# In five steps.
#
# 1. *What balanced layers look like.* Balance means $W_l^\top W_l = W_{l+1} W_{l+1}^\top$ for neighbours, and gradient flow conserves it ({prf:ref}`thm-balancedness`). The last layer $W_L$ is one column, so $W_L W_L^\top$ has rank one, hence $W_{L-1}$ has, and so on down to $W_1$; all have the same singular value, $\lVert \beta \rVert^{1/L}$, and neighbours share a direction. With a unit vector $v$, at all times,
#
#    $$
#    \begin{aligned}
#    W_1 &= \lVert \beta \rVert^{1/L - 1}\, \beta\, v^\top , \\
#    W_2 \cdots W_L &= \lVert \beta \rVert^{(L-1)/L}\, v .
#    \end{aligned}
#    $$
#
#    (Their product is $\beta$, as it must be, and the norm of the first is $\lVert \beta \rVert^{1/L}$.)
# 2. *What does not move.* The gradient of $W_1$ is $X^\top$ times some matrix, and $(I - P) X^\top = 0$. So $(I - P) W_1$ is the same matrix all the time. It is $q\, v^\top$ with
#
#    $$
#    q = \lVert \beta \rVert^{-(L-1)/L}\, (I - P) \beta .
#    $$
#
# 3. *So $q$ does not move.* A matrix $q\, v^\top \ne 0$ in which $v$ is a unit vector tells $q$ and $v$ up to a common sign, and a sign cannot jump on a continuous path. (Nor does $v$ move.)
# 4. *Outside the span:* $q$ at the end is $q$ at the start,
#
#    $$
#    \frac{(I - P) \beta_{\text{ft}}}{\lVert \beta_{\text{ft}} \rVert^{(L-1)/L}} =
#    \frac{(I - P) \beta_s}{\lVert \beta_s \rVert^{(L-1)/L}} ,
#    $$
#
#    which is $(I - P) \beta_{\text{ft}} = \kappa\, (I - P) \beta_s$.
# 5. *In the span* the minimum of the loss leaves no choice but $P \beta_{\text{ft}} = X^+ y$.
#
# (If $(I - P) \beta_s = 0$, there is nothing to show.)
# :::
#
# The theorem is ours, as is the rest of this chapter where no source is named. How long does the network become? The two terms of {eq}`fine-tuned` are orthogonal, so their squared norms add up. For large $d$ and a unit source the second has $(1 - \gamma) \kappa^2$. The first, what scratch training learns, has $\gamma$ from the target and $\gamma \sigma^2 / (1 - \gamma)$ from the noise that is fitted {eq}`three-pieces`. And the sum is $\lVert \beta_{\text{ft}} \rVert^2 = \kappa^{2L/(L-1)}$:
#
# $$
# \begin{aligned} \kappa^{2L/(L-1)} = \gamma &\Big( 1 + \frac{\sigma^2}{1 - \gamma} \Big) \\ &+ (1 - \gamma)\, \kappa^2 . \end{aligned}
# $$ (kappa)
#
# Without noise $\kappa = 1$ solves it: the target is as long as the source, and nothing has to grow. With noise $\kappa > 1$. Two layers are a quadratic equation in $\kappa^2$; for $\gamma = \frac12$, $\sigma = 1$ it is $\kappa^4 = \frac32 + \frac12 \kappa^2$, so $\kappa^2 = \frac32$.
#
# Put $\kappa \beta_s$ in place of $\beta_s$ in {eq}`sixty-degrees`, with $\lVert \kappa \beta_s - \beta_t \rVert^2 = \kappa^2 - 2 \kappa \cos\theta + 1$:
#
# $$
# \mathcal T_{\text{ft}} = (1 - \gamma) (2 \kappa \cos\theta - \kappa^2)
# $$ (fine-tuning-transferability)
#
# for $\gamma < 1$. For $\gamma \ge 1$ the data see every direction, and $\mathcal T_{\text{ft}} = 0$.
#
# :::{prf:corollary} The corrected 60 degrees
# :label: cor-break-even
#
# Fine-tuning helps exactly when $\cos\theta > \kappa / 2$ and $\gamma < 1$. Without label noise $\kappa = 1$ at every depth and every $\gamma$: 60 degrees. With noise $\kappa > 1$, and it grows with noise and depth, up to $\kappa^2 = 1 + \sigma^2 / (1 - \gamma)$ as $L \to \infty$: less than 60 degrees.
# :::
#
# In words: noise makes the fit longer than the source; all layers grow to reach that length; those after the first stretch what no sample sees; a longer answer leaves the disk at a smaller angle. Deeper networks have a larger share of their growth in later layers.

# %%
#| tags: [hide-input]
#| name: fig-break-even
#| caption: >-
#|   The angle up to which fine-tuning beats scratch training, $\arccos(\kappa/2)$, against the label noise, for $L = 1$ to $\infty$ layers
#|   at $\gamma = 1/2$.
#| alt: Five curves start at 60 degrees without noise. The one for a single layer stays there, the others fall, the deeper the faster; the one for
#|   infinite depth reaches zero.
noise = np.linspace(0, 1.5, 151)
fig, ax = plt.subplots()
for depth in (1, 2, 3, 4, np.inf):
    edge = theory.fine_tuning_break_even(0.5, noise, depth=depth)
    name = r"$\infty$" if depth == np.inf else depth
    ax.plot(noise, np.degrees(edge), label=f"$L$ = {name}")
ax.set(xlabel=r"label noise $\sigma$", ylabel="break-even angle (degrees)")
ax.legend()

# %% [markdown]
# :::{dropdown} Weak noise, and a single layer
# For weak noise {eq}`kappa` gives $\kappa^2 \approx 1 + \gamma \sigma^2 \big/ \big( (1 - \gamma) (\gamma + \frac{1}{L-1}) \big)$. The deviation starts with $\sigma^2$, which is why $\kappa = 1$ is a good approximation at the $\sigma = 0.2$ of the paper. A single layer shares nothing and has $\kappa = 1$ for any noise.
# :::
#
# ## One network
# The theorem speaks of one data set, not of averages, so a single network tests it. Pretrain networks of two, three and four layers from small random weights, every weight trained; fine-tune them on 50 very noisy samples in 100 dimensions; measure the distance to {eq}`fine-tuned`.

# %%
d, n = 100, 50
tasks = fatelib.LinearTasks.at_angle(jax.random.key(0), d, jnp.pi / 4, sigma=1.0)
X, y = tasks.sample(jax.random.key(1), n)
interpolator = jnp.linalg.pinv(X) @ y
unseen = tasks.beta_source - jnp.linalg.pinv(X) @ (X @ tasks.beta_source)

for depth, scale in {2: 1e-5, 3: 0.01, 4: 0.03}.items():
    network = fatelib.DeepLinear.init(jax.random.key(2), d, depth, scale=scale)
    network, history = fatelib.pretrain(
        network, tasks.beta_source, learning_rate=0.02, absolute_tolerance=1e-10
    )
    result = fatelib.fine_tune(
        network, tasks, X, y, learning_rate=0.005, absolute_tolerance=1e-8
    )
    assert history.converged
    assert result.converged
    kappa = theory.fine_tuning_scale_from_norms(
        jnp.sum(interpolator**2), 1.0, 1 - jnp.sum(unseen**2), depth=depth
    )
    beta = result.network.end_to_end()
    off = jnp.linalg.norm(beta - interpolator - kappa * unseen)
    off_guess = jnp.linalg.norm(beta - interpolator - unseen)
    assert off < 0.05 * off_guess
    print(
        f"L = {depth}: kappa {kappa:.3f}, distance {off:.4f}; "
        f"of the guess kappa = 1: {off_guess:.4f}"
    )

# %% [markdown]
# What remains of the distance is the price of finite steps and of a finite initial scale ({numref}`ex-residual-distance`).
#
# ## Figure 2 of the paper, with noise and depth
# Now at the size of the paper: three angles, three noise levels, two to four layers, $d = 500$, 20 data sets for each cell, at most $6{,}000$ steps of full-batch gradient descent. The learning rate is smaller for fine-tuning, because the theorem is about small steps. Networks start (`engine="spectral"`) in the limit of small initial weights: fine-tuning from $\beta_s$, balanced; scratch training from one faint direction.

# %%
#| tags: [remove-output]
thetas = np.pi * np.array([1, 2, 3]) / 8
gammas = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 2.0])
settings = {
    "d": 500,
    "instances": 20,
    "key": jax.random.key(3),
    "engine": "spectral",
    "learning_rate": 0.005,
    "steps": 6_000,
    "scratch_options": {"learning_rate": 0.05},
}
data = fatelib.phase_diagram(
    "fine_tuning", thetas, gammas, sigma=[0.0, 0.2, 1.0], **settings
)

# %%
#| tags: [hide-input, remove-output]
# A scratch network of three or four layers would hardly leave a smaller start.
settings["sigma"] = 1.0
deep = {
    depth: fatelib.phase_diagram(
        "fine_tuning", thetas, gammas, **settings, **changed
    )
    for depth, changed in {
        3: {"depth": 3, "scale": 0.03},
        4: {"depth": 4, "scale": 0.1},
    }.items()
}
# All weights, pretrained from random ones, instead of the limit of a small start.
small = {**settings, "d": 100, "engine": "gram", "learning_rate": 0.01}
full = fatelib.phase_diagram("fine_tuning", thetas, [0.2, 0.4], **small)


# %%
#| tags: [hide-input]
#| name: fig-fine-tuning-slices
#| caption: >-
#|   Transferability of fine-tuning against samples per dimension: networks trained by the engine `spectral` (points: mean of 20 instances, bars: one standard error; hollow:
#|   some network had not converged), the corrected theory {eq}`fine-tuning-transferability` (lines) and $\kappa = 1$ (dotted, the same in all panels: neither noise nor depth is in it). $d = 500$;
#|   learning rates 0.005 (fine-tuning) and 0.05 (scratch), at most 6,000 steps, or to within $10^{-6}$ of the least loss; initial scales of scratch training $10^{-5}$, 0.03 and 0.1 for $L = 2$, 3 and 4.
#| alt: Five panels of three curves each, which meet at zero for gamma equal to one. At noise 0 and 0.2 dotted and solid
#|   lines coincide; at noise 1 the points follow the solid lines, below the dotted ones, and further below with three and four layers.
def formula(sigma, depth=2, gamma=None, paper=False):
    """Both theories over angle and gamma; paper=True is kappa = 1."""
    gamma = np.linspace(0.05, 2.05, 401) if gamma is None else gamma
    options = {"depth": depth, "paper": paper}
    T = theory.fine_tuning_transferability(gamma, thetas[:, None], sigma, **options)
    return xr.DataArray(T, coords={"theta": thetas, "gamma": gamma})


runs = {(s, 2): data.sel(sigma=s, drop=True) for s in (0.0, 0.2, 1.0)}
runs |= {(1.0, depth): part for depth, part in deep.items()}
fig, axes = plt.subplots(3, 2, figsize=(6.4, 7.6), sharex=True, sharey=True)
for ax, ((sigma, depth), part) in zip(axes.flat, runs.items(), strict=False):
    line = formula(sigma, depth)
    plot.slices(part.transferability, line, converged=part.converged, ax=ax)
    for i, curve in enumerate(formula(sigma, paper=True)):
        ax.plot(curve.gamma, curve, ":", color=f"C{i}")
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(title=rf"$\sigma$ = {sigma:g}, $L$ = {depth}", xlabel="", ylabel="")
axes[2, 0].set_xlabel(r"$\gamma = n/d$")
axes[1, 1].set_xlabel(r"$\gamma = n/d$")
axes[1, 1].tick_params(labelbottom=True)
axes[1, 0].set_ylabel(r"transferability $\mathcal{T}$")
axes[2, 1].axis("off")
axes[2, 1].legend(*axes[0, 0].get_legend_handles_labels(), loc="center")

# %%
#| tags: [check]
# Cells with $\gamma < 1$ are compared, since beyond it the theory is zero and both networks end at the same solution.
# A cell counts where every network of all five settings has converged; the steep part of the lines just below $\gamma = 1$ is therefore untested.
# A cell may be off by four standard errors of the mean over 20 instances.
below = {name: part.sel(gamma=slice(0, 1)) for name, part in runs.items()}
done = xr.concat([part.converged for part in below.values()], "run")
done = done.all(["run", "instance"])
pairs = {
    f"σ = {sigma:g}, L = {depth}": (
        part.transferability,
        formula(sigma, depth, part.gamma.values),
    )
    for (sigma, depth), part in below.items()
}
fatelib.agreement_table(pairs, where=done)

# %%
#| tags: [check]
# The networks above start in the limit of small initial weights. These have all their weights, pretrained from random ones of scale $10^{-5}$,
# in $d = 100$ dimensions at a learning rate of 0.01.
expected = formula(1.0, 2, full.gamma.values)
pairs = {"full networks, σ = 1, L = 2": (full.transferability, expected)}
fatelib.agreement_table(pairs, where=full.converged.all("instance"))

# %%
#| tags: [build-only]
from myst_nb import glue


def worst(sigma, depth, paper):
    """Largest deviation in standard errors, of the theory or of kappa = 1."""
    part = below[sigma, depth]
    line = formula(sigma, depth, part.gamma.values, paper=paper)
    apart = abs(part.transferability.mean("instance") - line)
    return float((apart / part.transferability_error).where(done).max())


# As the text says:
assert worst(1.0, 3, paper=True) > 10
assert max(worst(0.2, 2, paper) for paper in (False, True)) < 4
beyond = abs(data.transferability.sel(gamma=2.0).mean("instance"))
numbers = {
    "paper-off": worst(1.0, 3, paper=True),
    "weak-off": worst(0.2, 2, paper=False),
    "weak-off-guess": worst(0.2, 2, paper=True),
    "beyond": beyond.max(),
    "compared-to": done.gamma[done.any("theta")].max(),
}
steep = np.linspace(0.5, 0.999, 5000)
for depth in (2, 4):
    hopeless = theory.fine_tuning_scale(steep, 1.0, depth=depth) > 2
    numbers[f"hopeless-{depth}"] = steep[hopeless][0]
for name, number in numbers.items():
    glue(name, float(number), display=False)

# %% [markdown]
# The points lie on the corrected theory, up to $\gamma =$ {glue:text}`compared-to:.1f` where training was finished. Without noise, $\kappa = 1$ says the same. At the paper's $\sigma = 0.2$ these networks cannot tell the two apart ({glue:text}`weak-off:.1f` standard errors at worst for the corrected theory, {glue:text}`weak-off-guess:.1f` for $\kappa = 1$). At $\sigma = 1$ they can: with three layers $\kappa = 1$ is off by {glue:text}`paper-off:.0f` standard errors. At $\gamma = 2$, where the data see everything, no mean transferability exceeds {glue:text}`beyond:.4f` in absolute value.
#
# ## What if there is more noise, or more layers?
# Guess first: which part of the boundary leaves 60° first as $\sigma$ grows? Start at $\sigma = 0$ and raise it; then go deeper. Just below $\gamma = 1$, where scratch training and fine-tuning fit the most noise, $\kappa$ exceeds 2 and no angle helps: at $\sigma = 1$ from $\gamma \approx$ {glue:text}`hopeless-2:.2f` on with two layers, and from {glue:text}`hopeless-4:.2f` with four.

# %%
#| tags: [hide-input]
#| name: fig-explore-fine-tuning
#| caption: >-
#|   Transferability of fine-tuning, {eq}`fine-tuning-transferability`, over the angle and the samples per dimension, for every noise level and depth. Blue: it beats training from scratch; red: it loses.
#|   It is zero from $\gamma = 1$ on.
#| alt: Interactive map of the transferability of fine-tuning over angle and samples per dimension, with sliders for noise and depth.
coords = {
    "depth": np.array([1, 2, 3, 4, 6, 10, 100]),
    "sigma": np.linspace(0, 1.5, 16),
    "theta": np.linspace(0, np.pi / 2, 49),
    "gamma": np.linspace(0.05, 1.2, 47),
}
depth, sigma, angle, ratio = np.ix_(*coords.values())
gain = theory.fine_tuning_transferability(ratio, angle, sigma, depth=depth)
named = {"name": "T_ft", "attrs": {"long_name": "transferability"}}
grid = xr.DataArray(gain, coords, **named)
grid.theta.attrs["units"] = "rad"
at = {"sigma": 0.0, "depth": 2, "theta": np.pi / 4, "gamma": 0.5}
explore(grid, x="theta", y="gamma", sliders=["sigma", "depth"], at=at, limit=1)

# %% [markdown]
# ## Exercises
#
# :::{exercise} Predict, then run: too deep to fine-tune
# :label: ex-too-deep
#
# Your target has $\sigma = 1$ and $\gamma = 1/2$; the source is at 45°. Read from {numref}`fig-break-even` up to which depth fine-tuning helps. Then fill in the blank and run it: `theory.fine_tuning_break_even(0.5, 1.0, depth=___)`, in radians. Is there an angle that is safe at every depth?
# :::
#
# :::{solution-start} ex-too-deep
# :label: sol-too-deep
# :class: dropdown
# :::
#
# It helps while $\kappa < 2 \cos 45° = \sqrt 2$, that is up to four layers. As $L \to \infty$, {eq}`kappa` gives $\kappa^2 \to 1 + \sigma^2/(1 - \gamma) = 3$, so that $\cos\theta > \sqrt 3 / 2$ is safe: within 30°.

# %%
assert theory.fine_tuning_break_even(0.5, 1.0, depth=4) > np.pi / 4
assert theory.fine_tuning_break_even(0.5, 1.0, depth=5) < np.pi / 4
for depth in (2, 3, 4, 5, 6, np.inf):
    kappa = theory.fine_tuning_scale(0.5, 1.0, depth=depth)
    edge = theory.fine_tuning_break_even(0.5, 1.0, depth=depth)
    print(
        f"L = {depth}: kappa {kappa:.3f}, break-even {jnp.degrees(edge):.1f} degrees"
    )

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} With pencil: shorten the source
# :label: ex-shrink
#
# As a function of the length of the answer, so far $\kappa$, {eq}`fine-tuning-transferability` is largest at the length $\cos\theta$, where it is $(1 - \gamma) \cos^2\theta$ and never negative. So scale the pretrained network before fine-tuning (all layers alike), to $\lVert \beta_s \rVert = c$. For two layers, which $c$ makes the answer as long as $\cos\theta$? And for $\theta = 75°$, $\gamma = 1/2$, $\sigma = 0.2$?
# :::
#
# :::{solution-start} ex-shrink
# :label: sol-shrink
# :class: dropdown
# :::
#
# The answer has the length $\kappa c = \cos\theta$. By {eq}`fine-tuned` with $L = 2$, $\lVert \beta_{\text{ft}} \rVert = \kappa^2 c = \cos^2\theta / c$. Its square is also $b + (1 - \gamma) \cos^2\theta$, with $b = \lVert X^+ y \rVert^2 = \gamma (1 + \sigma^2 / (1 - \gamma))$. Hence
#
# $$
# c = \frac{\cos^2\theta}{\sqrt{b + (1 - \gamma) \cos^2\theta}} .
# $$
#
# The numbers give 0.088: the growth of the later layer makes up for much of it. Networks agree:

# %%
angle, ratio = jnp.radians(75.0), 0.5
learned = ratio * (1 + 0.2**2 / (1 - ratio))
best = jnp.cos(angle) ** 2 / jnp.sqrt(learned + (1 - ratio) * jnp.cos(angle) ** 2)
# The library's scale, from the squared norms of the interpolator, the source and its part seen.
scale = theory.fine_tuning_scale_from_norms(learned, best**2, ratio * best**2)
assert abs(best * scale - jnp.cos(angle)) < 1e-4
tasks, X, y = fatelib.linear.reduced_tasks(
    jax.random.key(5), 5000, 10_000, angle, 0.2
)
scratch = fatelib.scratch(jax.random.key(6), tasks, X, y, engine="limit")
for factor in (1.0, best):
    network = fatelib.DeepLinear.balanced(factor * tasks.beta_source)
    tuned = fatelib.fine_tune(network, tasks, X, y, engine="limit")
    print(f"c = {factor:.3f}: T = {scratch.risk - tuned.risk:+.4f}")
print(f"largest possible: {(1 - ratio) * jnp.cos(angle) ** 2:.4f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Code: what remains of the distance
# :label: ex-residual-distance
#
# The networks of two layers ended close to {eq}`fine-tuned`, but not on it. Is that due to the steps of gradient descent? Fine-tune `fatelib.DeepLinear.balanced(tasks.beta_source)`, which leaves out pretraining, on the data of "One network" with learning rates 0.01, 0.005 and 0.0025.
# :::
#
# :::{solution-start} ex-residual-distance
# :label: sol-residual-distance
# :class: dropdown
# :::
#
# It is: the distance halves with the learning rate. Step 1 of the proof needs balanced layers. One step of size $\eta$ adds $\eta G_1$ to $W_1$ and $\eta G_2$ to $W_2$; in $W_1^\top W_1 - W_2 W_2^\top$ the terms of first order cancel, as they do for flow, and those of second order, $\eta^2 (G_1^\top G_1 - G_2 G_2^\top)$, remain. Training for a given time takes a number of steps proportional to $1/\eta$, so the layers end out of balance by an amount proportional to $\eta$. {doc}`steps-and-batches` has the exact statement ({prf:ref}`thm-one-number`).

# %%
kappa = theory.fine_tuning_scale_from_norms(
    jnp.sum(interpolator**2), 1.0, 1 - jnp.sum(unseen**2)
)
tasks = fatelib.LinearTasks.at_angle(jax.random.key(0), 100, jnp.pi / 4, sigma=1.0)
X, y = tasks.sample(jax.random.key(1), n)
distances = []
for eta in (0.01, 0.005, 0.0025):
    network = fatelib.DeepLinear.balanced(tasks.beta_source)
    result = fatelib.fine_tune(
        network,
        tasks,
        X,
        y,
        learning_rate=eta,
        absolute_tolerance=1e-10,
        engine="spectral",
    )
    beta = result.network.end_to_end()
    distances.append(jnp.linalg.norm(beta - interpolator - kappa * unseen))
    print(f"learning rate {eta}: distance {distances[-1]:.5f}")

# %%
#| tags: [build-only]
halved = np.divide(distances[:-1], distances[1:])
assert (abs(halved - 2) < 0.2).all()

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Your own network
# :label: ex-own-fine-tuning
#
# No formula foresees what fine-tuning makes of a network that is not linear. So let it compete: give {py:func}`fatelib.diagnose <fatelib.probe.diagnose>` the frozen features, an untrained control, the inputs, and two contenders, functions `fit(X, y)` that return `predict(X)`: one that fine-tunes your network, one that trains it from scratch. With no network at hand, take a linear source at 45° in 200 dimensions and 150 samples. Which of the three ways does the report prefer, and does that agree with this chapter?
# :::
#
# :::{solution-start} ex-own-fine-tuning
# :label: sol-own-fine-tuning
# :class: dropdown
# :::
#
# Replace `tune`, `scratch`, the inputs, labels and features by your own.

# %%
#| tags: [remove-stderr]
tasks = fatelib.LinearTasks.at_angle(jax.random.key(7), 200, jnp.pi / 4, sigma=0.2)
inputs, labels = map(np.asarray, tasks.sample(jax.random.key(8), 150))


def tune(X, y):
    """Where training from the source ends, by the theorem."""
    source, inverse = np.asarray(tasks.beta_source), np.linalg.pinv(X)
    fitted, unseen = inverse @ y, source - inverse @ (X @ source)
    kappa = theory.fine_tuning_scale_from_norms(
        fitted @ fitted, 1.0, 1 - unseen @ unseen
    )
    beta = fitted + float(kappa) * unseen
    return lambda X: X @ beta


def scratch(X, y):
    """Where training from small random weights ends."""
    beta = np.linalg.pinv(X) @ y
    return lambda X: X @ beta


random = np.random.default_rng(0).standard_normal(200)
features = {"source": tasks.beta_source, "untrained": random}
report = fatelib.diagnose(
    {name: inputs @ np.asarray(beta)[:, None] for name, beta in features.items()},
    labels,
    control="untrained",
    inputs=inputs,
    contenders={"fine-tuning": tune, "scratch": scratch},
)
print(report)

# %%
#| tags: [build-only]
tuned, anew = (
    float(report.contenders.error.sel(contender=name).isel(point=-1))
    for name in ("fine-tuning", "scratch")
)
probe = report.error("source", 120).value
assert tuned < min(anew, probe)
for name, number in {"tuned": tuned, "anew": anew, "probe": probe}.items():
    glue(f"own-{name}", number, display=False)

# %% [markdown]
# Contenders learn from parts of the samples, at most 120 here: $\gamma = 0.6$. There fine-tuning has the least error, {glue:text}`own-tuned:.2f`, the label noise included; training from scratch has {glue:text}`own-anew:.2f`, the frozen feature {glue:text}`own-probe:.2f`. This agrees with the chapter: 45° is within 60°, and at $\sigma = 0.2$ the boundary is hardly lower. Whether 150 samples are enough to be sure is what the report's intervals are for.
#
# :::{solution-end}
# :::
#
# :::{exercise} Hard: a blue line at $\gamma = 1$
# :label: ex-blue-line
#
# Theory says zero at $\gamma = 1$. Yet experiments with label noise can show a blue line there: at $n = d$ the smallest eigenvalue of $X^\top X / n$ is close to zero, and gradient descent takes very long to fit the noise along that direction, which is what makes the scratch risk explode. The released code of {cite:t}`tahir2025` trains scratch networks for time (learning rate times steps) 1000 and fine-tunes for time 50 to 80. Find out whether the line is transfer: follow both risks in time.
# :::
#
# :::{solution-start} ex-blue-line
# :label: sol-blue-line
# :class: dropdown
# :::
#
# Whoever stops first looks better. So compare at equal times, too:

# %%
d, sigma, rate, every = 500, 0.2, 0.05, 100


def risks(key, theta, pretrained):
    """Risk on the target in time, at n = d."""
    tasks, X, y = fatelib.linear.reduced_tasks(key, d, d, theta, sigma)
    network = fatelib.DeepLinear.balanced(tasks.beta_source)
    if not pretrained:
        network = fatelib.scratch(key, tasks, X, y, steps=0).network
    _, history = fatelib.train(
        network,
        X,
        y,
        engine="spectral",
        learning_rate=rate,
        steps=20_000,
        tolerance=0.0,
        record_every=every,
        observe=lambda network: tasks.risk(network),
    )
    return history.observed


keys = jax.random.split(jax.random.key(4), 20)
over_keys = jax.vmap(risks, (0, None, None))
tuned = jnp.stack([over_keys(keys, angle, True) for angle in thetas])
scratch = over_keys(keys, thetas[0], False)

# %%
#| tags: [hide-input]
#| name: fig-time
#| caption: >-
#|   Transferability of fine-tuning at $\gamma = 1$ against its training time: against scratch training of the same time (solid) and against scratch
#|   training that always ran until time 1000 (dashed). Mean of 20 instances, bands: one standard error; dotted: time 80. $L = 2$, $d = 500$,
#|   $\sigma = 0.2$, learning rate 0.05.
#| alt: Three solid curves fall towards zero with time. Three dashed ones start near or above one and fall slowly to meet the solid curves at the end.
time = rate * every * np.arange(tuned.shape[-1])
equal = scratch - tuned
unequal = scratch[:, -1:] - tuned
fig, ax = plt.subplots()
for i, angle in enumerate(thetas):
    for values, line in {"-": equal, "--": unequal}.items():
        mean = line[i, :, 1:].mean(0)
        error = line[i, :, 1:].std(0, ddof=1) / np.sqrt(len(keys))
        label = rf"$\theta$ = {plot.format_angle(angle)}" if values == "-" else None
        ax.plot(time[1:], mean, values, color=f"C{i}", label=label)
        ax.fill_between(
            time[1:], mean - error, mean + error, color=f"C{i}", alpha=0.2
        )
ax.axhline(0, color="black", linewidth=0.6)
ax.axvline(80, color="black", linestyle=":", linewidth=1)
ax.set(xscale="log", xlabel="time of fine-tuning", ylabel=r"transferability")
ax.legend()

# %%
#| tags: [build-only]
at80 = int(np.argmin(abs(time - 80)))
for name, values in {"equal": equal, "unequal": unequal}.items():
    mean = values[:, :, at80].mean(1)
    glue(f"{name}-low", float(mean.min()), display=False)
    glue(f"{name}-high", float(mean.max()), display=False)
last = float(abs(equal[:, :, -1].mean(1)).max())
glue("equal-last", last, display=False)
# As the text says:
assert last < 0.2 * float(unequal[:, :, at80].mean(1).min())

# %% [markdown]
# Fine-tuned until time 80 and compared with a scratch network of time 1000, all three sources seem to help, by {glue:text}`unequal-low:.2f` to {glue:text}`unequal-high:.2f`. Compared at equal time it is {glue:text}`equal-low:.2f` to {glue:text}`equal-high:.2f`, and at time 1000 no more than {glue:text}`equal-last:.2f` in absolute value. The blue line is early stopping, not transfer. Compare for equal time, or compare what has converged. {doc}`steps-and-batches` goes on from here.
#
# :::{solution-end}
# :::
#
# ## What to remember
# 1. Fine-tuning and scratch training agree in every direction that the data see. They differ in the $1 - \gamma$ others, so the boundary of fine-tuning is an angle: 60° without noise.
# 2. All directions share the later layers. Fitting noise makes them grow, which stretches the source by $\kappa > 1$, the more the deeper the network: the angle shrinks to $\arccos(\kappa / 2)$.
# 3. Compare for equal training time: at $\gamma = 1$ stopping early looks like transfer ({numref}`ex-blue-line`).
#
# :::{dropdown} When it is not 60 degrees, and what else depth changes
# **When it is not 60 degrees.** The rule needs an unlimited source, no label noise and training to the end. Noise lowers the angle ({numref}`fig-break-even`). A source of few samples moves it even without noise ({doc}`finite-source`). It comes back when both contestants are regularised ({numref}`fig-l2sp`) or stopped ({numref}`fig-sixty-again`) at their best; and pulled to its fitted multiple a source has no such boundary at all {eq}`scaled-distance`.
#
# **What depth changes.** Not where scratch training ends ({prf:ref}`thm-minimum-norm`), nor the one feature that small weights leave ({prf:ref}`thm-sparsification`) and so the risk of linear transfer, nor fine-tuning without noise from an unlimited source. It changes three things: the wait, $\alpha^{-(L-2)}$ for $L > 2$ and initial weights of scale $\alpha$ ({numref}`fig-waiting`); what remains of the initial weights, which is fainter ({numref}`ex-deeper`); and $\kappa$.
# :::
