# %% [markdown]
# # Fine-tuning
#
# Freezing the features limits a network to what its source knew. Why not go on training *all* of its weights on the target? It can then fit
# whatever the data say and, where they say nothing, keep what it knew. So when does fine-tuning beat training from scratch? In this chapter you will
#
# - see why the answer seems to be "up to 60 degrees, whatever the number of samples",
# - find out what gradient descent really does, and why label noise and depth change the answer,
# - hold both formulas against trained networks, and learn to tell transfer from early stopping.

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
#| name: fig-fine-tuning-map
#| caption: >-
#|   Transferability of fine-tuning over the angle between the tasks and the samples per dimension, {eq}`fine-tuning-transferability`.
#|   Blue: it beats training from scratch; red: it loses. Left: without label noise, at any depth; dashed: 60°. Middle and right:
#|   label noise $\sigma = 1$, two and four layers.
#| alt: Three maps. On the left, blue and red are separated by a vertical line at a third of pi. In the middle the line bends towards
#|   smaller angles as gamma grows, and on the right it bends much further. All three are white above gamma equal to one.
theta, gamma = np.linspace(0, np.pi / 2, 121), np.linspace(0.01, 1.2, 120)
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.2), sharey=True)
panels = {"no noise": (0, 2), "σ = 1, L = 2": (1, 2), "σ = 1, L = 4": (1, 4)}
for ax, (title, (noise, depth)) in zip(axes, panels.items(), strict=True):
    T = xr.DataArray(
        theory.fine_tuning_transferability(
            gamma, theta[:, None], noise, depth=depth
        ),
        coords={"theta": theta, "gamma": gamma},
    )
    plot.phase_diagram(T, limit=1, colorbar=ax is axes[-1], ax=ax)
    ax.axvline(np.pi / 3, color="black", linestyle="--", linewidth=0.8)
    ax.set(title=title, xlabel=r"angle $\theta$")
    plot.angle_axis(ax.xaxis, np.pi / 4)
for ax in axes[1:]:
    ax.set_ylabel("")

# %% [markdown]
# ## The guess: keep what the data do not touch
#
# With $n < d$ samples the inputs span $n$ of $d$ directions. Let $P = X^+ X$ project on them and $I - P$ on the rest, which no gradient ever sees.
# There, scratch training ends at zero, and a pretrained network should end with what it brought along:
#
# $$
# \beta_{\text{scratch}} = X^+ y , \qquad \beta_{\text{ft}} \overset{?}{=} X^+ y + (I - P)\, \beta_s .
# $$ (null-space-guess)
#
# In the directions seen the two agree, noise included. In the others, a share $1 - \gamma$ of all, scratch guesses 0 and fine-tuning guesses
# $\beta_s$, while the truth is $\beta_t$. The guess $\beta_s$ is better than 0 if it is closer to $\beta_t$. For unit vectors, that is the case
# within 60 degrees:
#
# $$
# \mathcal T_{\text{ft}} \overset{?}{=} (1 - \gamma) \left( \lVert \beta_t \rVert^2 - \lVert \beta_s - \beta_t \rVert^2 \right) = (1 - \gamma) (2 \cos\theta - 1) .
# $$ (sixty-degrees)
#
# This is eq. 15 of {cite:t}`tahir2025`. Linear transfer had to beat scratch training everywhere at once; fine-tuning is only judged where scratch
# knows nothing, so that the number of samples drops out of its boundary.

# %%
#| tags: [hide-input]
#| name: fig-sixty-degrees
#| caption: >-
#|   Why 60 degrees. In the directions that no sample sees, training from scratch guesses 0 and fine-tuning guesses $\kappa \beta_s$
#|   ($\kappa = 1$ in {eq}`null-space-guess`; the next section shows why it can be larger). The second is better inside the disk round $\beta_t$ that passes through 0. With $\kappa = 1$ the guess moves on the solid
#|   circle as the source turns, which leaves the disk at 60°. A larger $\kappa$ (dashed) leaves it earlier.
#| alt: A shaded disk whose rim passes through the origin. Two circles centred at the origin cross its rim, the larger one at a smaller angle.
angle = np.linspace(-np.pi / 2, np.pi / 2, 200)
fig, ax = plt.subplots(figsize=(4.2, 3.6))
ax.add_patch(plt.Circle((1, 0), 1, color="C0", alpha=0.2, linewidth=0))
for kappa, line in {1.0: "-", 1.4: "--"}.items():
    edge = np.arccos(kappa / 2)
    ax.plot(
        kappa * np.cos(angle), kappa * np.sin(angle), color="C1", linestyle=line
    )
    tip = kappa * np.cos(edge), kappa * np.sin(edge)
    ax.plot([0, tip[0]], [0, tip[1]], color="C1", linewidth=0.8, linestyle=line)
    ax.plot(*tip, "o", color="C1")
    ax.annotate(
        f"{np.degrees(edge):.0f}°",
        tip,
        textcoords="offset points",
        xytext=(7, 4),
    )
ax.plot([0, 1], [0, 0], "ko")
ax.annotate("0", (0, 0), textcoords="offset points", xytext=(-12, -4))
ax.annotate(r"$\beta_t$", (1, 0), textcoords="offset points", xytext=(6, -4))
ax.set(aspect="equal", xlim=(-0.2, 2.1), ylim=(-1.5, 1.5), xticks=[], yticks=[])
ax.grid(False)

# %% [markdown]
# ## What gradient descent does
#
# The guess forgets that the network has more than one layer. The first layer indeed keeps its null-space part. But what it keeps is
# passed on by the other layers, and those are *shared* by all directions: if they grow to fit the target, noise and all, whatever the first layer still
# holds of the source is amplified along with it.
#
# :::{prf:theorem} Fine-tuning of a deep linear network
# :label: thm-fine-tuning
#
# Let a network of $L \ge 2$ layers be balanced, as small-scale pretraining leaves it ({prf:ref}`thm-sparsification`), and compute $\beta_s \ne 0$. If gradient flow on
# $(X, y)$ brings the training loss to its minimum, it ends at
#
# $$
# \beta_{\text{ft}} = X^+ y + \kappa\, (I - P)\, \beta_s, \qquad
# \kappa = \left( \frac{\lVert \beta_{\text{ft}} \rVert}{\lVert \beta_s \rVert} \right)^{(L-1)/L} .
# $$ (fine-tuned)
# :::
#
# :::{prf:proof}
# Balanced layers have rank one and one common singular value, $s^{1/L}$ with $s = \lVert \beta \rVert$, at all times. So
# $W_1 = s^{1/L} \hat\beta v^\top$ and $W_2 \cdots W_L = s^{(L-1)/L} v$ with a unit vector $v$. The gradient of $W_1$ has all its columns in the row space of $X$; hence
# $(I - P) W_1 = s^{1/L} (I - P) \hat\beta\, v^\top$ does not move, which fixes $v$ and the vector in front of it. Multiply that vector
# by the rest of the network: $(I - P) \beta = s^{(L-1)/L} \lVert \beta_s \rVert^{1/L} (I - P) \hat\beta_s$, which is the second term of {eq}`fine-tuned`. In the row space the minimum of the loss
# leaves no choice but $P \beta = X^+ y$. (If $(I - P) \beta_s = 0$ there is nothing to show.)
# :::
#
# The theorem is ours, as is the rest of this chapter where no source is named. One unknown is left, the scale $\kappa$, and the squared norm of {eq}`fine-tuned`
# determines it. For large $d$ and a source of unit norm,
#
# $$
# \kappa^{2L/(L-1)} = \gamma \left( 1 + \frac{\sigma^2}{1 - \gamma} \right) + (1 - \gamma)\, \kappa^2 ,
# $$ (kappa)
#
# where the first term on the right is $\lVert X^+ y \rVert^2$, the size of what scratch training learns. The transferability follows from {numref}`fig-sixty-degrees`, with
# $\kappa \beta_s$ in place of $\beta_s$:
#
# $$
# \mathcal T_{\text{ft}} = (1 - \gamma) (2 \kappa \cos\theta - \kappa^2) \quad (\gamma < 1), \qquad \mathcal T_{\text{ft}} = 0 \quad (\gamma \ge 1) .
# $$ (fine-tuning-transferability)
#
# :::{prf:corollary} The corrected 60 degrees
# :label: cor-break-even
#
# Fine-tuning helps exactly when $\cos\theta > \kappa / 2$ and $\gamma < 1$. Without label noise $\kappa = 1$ at every depth and every $\gamma$: 60 degrees. With noise $\kappa > 1$, and
# it grows with noise and depth, up to $\kappa^2 = 1 + \sigma^2 / (1 - \gamma)$ as $L \to \infty$: less than 60 degrees.
# :::
#
# For weak noise, {eq}`kappa` gives $\kappa^2 \approx 1 + \gamma \sigma^2 \big/ \big( (1 - \gamma) (\gamma + \frac{1}{L-1}) \big)$: the deviation starts with $\sigma^2$, which is
# why $\kappa = 1$ is a good approximation at the $\sigma = 0.2$ of the paper. A single layer, $L = 1$, shares nothing and has $\kappa = 1$ for any noise.
# How much less than 60 degrees? {py:func}`fatelib.theory.fine_tuning_break_even` knows:

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
# In {numref}`fig-null-space` the source stands at 55°, where it helps as long as the noise is weak: raise $\sigma$ until $\kappa \beta_s$ leaves the disk
# while $\beta_s$ stays where it is; then turn $\beta_s$ back to where it helps.

# %%
#| name: fig-null-space
#| caption: >-
#|   The directions that no sample sees: drag $\beta_s$, or reach it with the tab key and move it with the arrow keys. Dashed: the guesses closer to
#|   $\beta_t$ than 0. Shaded: the sources for which $\kappa \beta_s$ is one of them, that is the disk corrected by $\kappa$. The line from
#|   $\kappa \beta_s$ to $\beta_t$ is the error of fine-tuning, $\beta_t$ itself that of scratch training. Thin circle: sources of norm 1, those of {eq}`kappa`;
#|   for other lengths $\kappa$ comes from the squared norm of {eq}`fine-tuned`. Even at $\sigma = 0$ shaded and dashed differ off the thin circle,
#|   because $\kappa$ depends on $\lVert \beta_s \rVert$.
#| alt: Interactive plane with the target fixed and a source vector to drag, the disk of better guesses and the region of sources that help,
#|   with sliders for samples per dimension, noise and depth.
from fatelib.widgets import null_space

null_space(at={"theta": np.radians(55)})

# %% [markdown]
# ## One network
#
# The theorem speaks about one data set, not about averages, so a single network tests it. Pretrain networks of two, three and four layers from small
# random weights, every weight trained, fine-tune them on 50 very noisy samples in 100 dimensions, and measure the distance to {eq}`fine-tuned`:

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
# What remains is the price of finite steps and of a finite initial scale, and shrinks with both ({numref}`ex-residual-distance`).
#
# ## Figure 2 of the paper, with noise and depth
#
# Now at the size the paper used: $d = 500$, 20 instances, three angles, three noise levels, two layers. Both contestants run at most $6{,}000$ steps
# of full-batch gradient descent or until the loss is within $10^{-6}$ of its minimum, and only networks that got there are compared. The learning rate is 0.05 for
# scratch training, but 0.005 for fine-tuning, because the theorem is about small steps: larger ones upset the balance of the layers, and $\kappa$ with it
# ({numref}`ex-residual-distance`). The engine `spectral` takes the steps of networks
# that start in the limit of a small scale: fine-tuning from $\beta_s$, balanced; scratch from one faint direction.

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
#| tags: [hide-input]
def formula(sigma, depth=2, gamma=None, paper=False):
    """Both theories over angle and gamma; paper=True is kappa = 1."""
    gamma = np.linspace(0.05, 2.05, 401) if gamma is None else gamma
    return xr.DataArray(
        theory.fine_tuning_transferability(
            gamma, thetas[:, None], sigma, depth=depth, paper=paper
        ),
        coords={"theta": thetas, "gamma": gamma},
    )


def draw(data, ax, sigma, depth=2):
    """Networks over the corrected theory (lines) and over kappa = 1 (dotted)."""
    plot.slices(
        data.transferability,
        formula(sigma, depth),
        converged=data.converged,
        ax=ax,
    )
    for i, curve in enumerate(formula(sigma, paper=True)):
        ax.plot(curve.gamma, curve, ":", color=f"C{i}")
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xlabel(r"$\gamma = n/d$")


# %%
#| name: fig-fine-tuning-slices
#| caption: >-
#|   Transferability of fine-tuning against samples per dimension: networks trained by the engine `spectral` (points: mean of 20 instances, bars: one standard error; hollow:
#|   some network had not converged), the corrected theory {eq}`fine-tuning-transferability` (lines) and $\kappa = 1$ (dotted). $L = 2$, $d = 500$;
#|   learning rates 0.005 (fine-tuning) and 0.05 (scratch), at most 6,000 steps.
#| alt: Three panels for noise 0, 0.2 and 1, three curves each, which meet at zero for gamma equal to one. In the first two panels dotted and solid
#|   lines coincide; in the third the points follow the solid lines, well below the dotted ones.
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.3), sharey=True)
for ax, noise in zip(axes, data.sigma.values, strict=True):
    draw(data.sel(sigma=noise), ax, noise)
    ax.set_title(rf"$\sigma$ = {noise:g}")
axes[0].set_ylabel(r"transferability $\mathcal{T}$")
axes[0].legend()

# %% [markdown]
# Deeper networks at $\sigma = 1$, on the same data:

# %%
#| tags: [remove-output]
# A scratch network of three or four layers would hardly leave a smaller start.
deep = {
    depth: fatelib.phase_diagram(
        "fine_tuning", thetas, gammas, sigma=1.0, depth=depth, **changed
    )
    for depth, changed in {
        3: {**settings, "scale": 0.03},
        4: {**settings, "scale": 0.1},
    }.items()
}

# %%
#| name: fig-fine-tuning-depth
#| caption: >-
#|   As {numref}`fig-fine-tuning-slices` at $\sigma = 1$ for two, three and four layers. The dotted lines, $\kappa = 1$, are the same in
#|   all panels: the depth is not in them. Initial scales of scratch training $10^{-5}$, 0.03 and 0.1.
#| alt: Three panels. From left to right the points and the solid lines on which they lie move down, away from the unchanged dotted lines.
noisy = {2: data.sel(sigma=1.0, drop=True), **deep}
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.3), sharey=True)
for ax, (depth, part) in zip(axes, noisy.items(), strict=True):
    draw(part, ax, 1.0, depth)
    ax.set_title(f"$L$ = {depth}")
axes[0].set_ylabel(r"transferability $\mathcal{T}$")
axes[0].legend()

# %% [markdown]
# The build of this book fails if any cell with $\gamma < 1$ is more than four standard errors away from the corrected theory. Cells where
# some network of any setting had not converged are left out:

# %%
#| tags: [hide-input]
runs = {
    ("σ = 0", 2): data.sel(sigma=0.0, drop=True),
    ("σ = 0.2", 2): data.sel(sigma=0.2, drop=True),
}
runs |= {("σ = 1", depth): part for depth, part in noisy.items()}
runs = {name: part.sel(gamma=slice(0, 1)) for name, part in runs.items()}
done = xr.concat([part.converged for part in runs.values()], "run")
done = done.all(["run", "instance"])
levels = {"σ = 0": 0.0, "σ = 0.2": 0.2, "σ = 1": 1.0}
fatelib.agreement_table(
    {
        f"{name}, L = {depth}": (
            part.transferability,
            formula(levels[name], depth, part.gamma.values),
        )
        for (name, depth), part in runs.items()
    },
    where=done,
)

# %% [markdown]
# How far is $\kappa = 1$ from the networks, by the same measure?

# %%
#| tags: [hide-input]
off = {}
for (name, depth), part in runs.items():
    guess = formula(levels[name], depth, part.gamma.values, paper=True)
    distance = abs(part.transferability.mean("instance") - guess)
    off[name, depth] = float(
        (distance / part.transferability_error).where(done).max()
    )
    print(f"{name}, L = {depth}: up to {off[name, depth]:.1f} standard errors")

# %%
#| tags: [build-only]
from myst_nb import glue

# As the text says:
assert off["σ = 1", 3] > 10
beyond = abs(data.transferability.sel(gamma=2.0).mean("instance"))
glue("beyond", float(beyond.max()), display=False)
glue("paper-off", off["σ = 1", 3], display=False)
weak = runs["σ = 0.2", 2]
apart = abs(
    weak.transferability.mean("instance") - formula(0.2, 2, weak.gamma.values)
)
weak_off = float((apart / weak.transferability_error).where(done).max())
assert max(weak_off, off["σ = 0.2", 2]) < 4
glue("weak-off", weak_off, display=False)
glue("weak-off-guess", off["σ = 0.2", 2], display=False)
glue("compared-to", float(done.gamma[done.any("theta")].max()), display=False)
steep = np.linspace(0.5, 0.999, 5000)
for depth in (2, 4):
    from_here = steep[theory.fine_tuning_scale(steep, 1.0, depth=depth) > 2][0]
    glue(f"hopeless-{depth}", float(from_here), display=False)

# %% [markdown]
# Without noise there is no difference; at $\sigma = 0.2$ these networks cannot tell the two apart ({glue:text}`weak-off:.1f` standard errors for the
# corrected theory, {glue:text}`weak-off-guess:.1f` for $\kappa = 1$); at $\sigma = 1$ the two part company, the deeper the
# farther. Below $\gamma = 1$ networks were compared up to $\gamma =$ {glue:text}`compared-to:.1f`; the steep part of the lines beyond is untested. Beyond $\gamma = 1$, where the data see every direction, both contestants end at the same solution: at $\gamma = 2$ no mean
# transferability exceeds {glue:text}`beyond:.4f` in absolute value.
#
# Do networks with all their weights, pretrained from random ones, do the same on average? Smaller ones, $d = 100$, from weights of scale $10^{-5}$, every
# one of them trained:

# %%
#| tags: [remove-output]
full = fatelib.phase_diagram(
    "fine_tuning",
    thetas,
    [0.2, 0.4],
    sigma=1.0,
    **{**settings, "d": 100, "engine": "gram", "learning_rate": 0.01},
)

# %%
fatelib.agreement_table(
    {
        "full networks, σ = 1, L = 2": (
            full.transferability,
            formula(1.0, 2, full.gamma.values),
        )
    },
    where=full.converged.all("instance"),
)

# %% [markdown]
# ## The line at $\gamma = 1$: transfer, or stopping early?
#
# {eq}`fine-tuning-transferability` ends in zero at $\gamma = 1$. Yet experiments with label noise can show a blue line there. At $n = d$ the smallest
# eigenvalue of $X^\top X / n$ is close to zero, and gradient descent takes very long to fit the noise along that direction, which is what makes the scratch risk explode. Whoever stops
# first looks better. The released code of {cite:t}`tahir2025` trains scratch networks for time (learning rate times steps) 1000 and fine-tunes for time 50 to 80. Let us
# fine-tune at $n = d$ and compare at equal times, too:

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
# Fine-tuned until time 80 and compared with a scratch network of time 1000, all three sources seem to help, by {glue:text}`unequal-low:.2f` to
# {glue:text}`unequal-high:.2f`. Compared at equal time it is {glue:text}`equal-low:.2f` to {glue:text}`equal-high:.2f`, and at time 1000 no more than
# {glue:text}`equal-last:.2f` in absolute value. The blue line is early stopping, not transfer. Compare for equal time, or compare what has converged.
#
# ## Turn it yourself

# %%
#| tags: [hide-input]
#| name: fig-explore-fine-tuning
#| caption: >-
#|   Transferability of fine-tuning, {eq}`fine-tuning-transferability`, for every noise level and depth. Start at $\sigma = 0$ and watch the
#|   boundary leave 60° as the noise grows; then go deeper.
#| alt: Interactive map of the transferability of fine-tuning over angle and samples per dimension, with sliders for noise and depth.
from fatelib.widgets import explore

sigmas, depths = np.linspace(0, 1.5, 16), np.array([1, 2, 3, 4, 6, 10, 100])
angles = xr.DataArray(
    np.linspace(0, np.pi / 2, 49), dims="theta", attrs={"units": "rad"}
)
ratios = np.linspace(0.05, 1.2, 47)
gain = theory.fine_tuning_transferability(
    ratios,
    angles.values[:, None],
    sigmas[:, None, None],
    depth=depths[:, None, None, None],
)
grid = xr.DataArray(
    gain,
    coords={"depth": depths, "sigma": sigmas, "theta": angles, "gamma": ratios},
    name="T_ft",
    attrs={"long_name": "transferability"},
)
start = {"sigma": 1.0, "depth": 2, "theta": np.pi / 4, "gamma": 0.5}
explore(grid, x="theta", y="gamma", sliders=["sigma", "depth"], at=start, limit=1)

# %% [markdown]
# ## Exercises
#
# :::{exercise} What remains of the distance
# :label: ex-residual-distance
#
# A two-layer network from scale $10^{-5}$ ended close to {eq}`fine-tuned`, but not on it. Is the rest due to the steps of gradient descent?
# Halve the learning rate twice and see.
# :::
#
# :::{solution-start} ex-residual-distance
# :label: sol-residual-distance
# :class: dropdown
# :::
#
# The theorem is about gradient flow. Steps of size $\eta$ break the balance of the layers by $O(\eta)$, in pretraining and in fine-tuning, and the distance
# halves with $\eta$.

# %%
kappa = theory.fine_tuning_scale_from_norms(
    jnp.sum(interpolator**2), 1.0, 1 - jnp.sum(unseen**2)
)
tasks = fatelib.LinearTasks.at_angle(jax.random.key(0), 100, jnp.pi / 4, sigma=1.0)
X, y = tasks.sample(jax.random.key(1), n)
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
    off = jnp.linalg.norm(beta - interpolator - kappa * unseen)
    print(f"learning rate {eta}: distance {off:.5f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Too deep to fine-tune
# :label: ex-too-deep
#
# Your target has $\sigma = 1$ and $\gamma = 1/2$; the source is at 45°. Up to which depth does fine-tuning help? And is there an angle that is safe at every depth?
# :::
#
# :::{solution-start} ex-too-deep
# :label: sol-too-deep
# :class: dropdown
# :::
#
# It helps while $\kappa < 2 \cos 45° = \sqrt 2$. As $L \to \infty$, {eq}`kappa` gives $\kappa^2 \to 1 + \sigma^2/(1 - \gamma) = 3$, so that $\cos\theta > \sqrt 3 / 2$
# is safe: within 30°.

# %%
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
# :::{exercise} Shrink the source
# :label: ex-shrink
#
# As a function of $\kappa$, {eq}`fine-tuning-transferability` is largest at $\kappa = \cos\theta$, where it is $(1 - \gamma) \cos^2\theta$ and never negative. Scale
# the pretrained network by a factor $c$ before fine-tuning (all layers alike) so that the amplified source has that length, at $\theta = 75°$,
# $\gamma = 1/2$, $\sigma = 0.2$, and check with a network.
# :::
#
# :::{solution-start} ex-shrink
# :label: sol-shrink
# :class: dropdown
# :::
#
# With $\lVert \beta_s \rVert = c$ the unseen part ends with length $c\,\kappa(c)$ per unit. {py:func}`fatelib.theory.fine_tuning_scale_from_norms` takes the squared norms
# $\lVert X^+ y \rVert^2 = \gamma (1 + \sigma^2/(1 - \gamma))$, $c^2$ and, of the part seen, $\gamma c^2$. Note how small $c$ must be: the growth of the later layers makes up for much of it.

# %%
angle, ratio = jnp.radians(75.0), 0.5
learned = ratio * (1 + 0.2**2 / (1 - ratio))
c = np.geomspace(1e-3, 1, 3001)
length = c * theory.fine_tuning_scale_from_norms(learned, c**2, ratio * c**2)
best = c[np.argmin(abs(length - jnp.cos(angle)))]
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
# ## What to remember
#
# 1. Fine-tuning and scratch training agree in every direction the data see; they differ only in the $1 - \gamma$ others, and so the boundary of fine-tuning is an angle: 60° without noise.
# 2. The layers are shared by all directions: fitting noise amplifies the source by $\kappa > 1$, the more the deeper the network, and the angle shrinks to $\arccos(\kappa / 2)$.
# 3. Compare for equal training time. At $\gamma = 1$, stopping early looks like transfer.
#
# **When it is not 60 degrees.** The rule needs an unlimited source, no label noise and training to the end. Noise lowers the angle, the more the deeper the network ({numref}`fig-break-even`).
# Just below $\gamma = 1$ noise makes $\kappa > 2$, and no angle helps: at $\sigma = 1$ from $\gamma \approx$ {glue:text}`hopeless-2:.2f` on with two layers and
# {glue:text}`hopeless-4:.2f` with four, the red strip in {numref}`fig-fine-tuning-map`. A source of few samples moves it even without noise ({doc}`finite-source`).
# It comes back when both contestants are regularised ({numref}`fig-l2sp`) or stopped ({numref}`fig-sixty-again`) at their best; and pulled to its fitted
# multiple a source has no such boundary at all {eq}`scaled-distance`.
#
# **What depth changes.** Not where scratch training ends ({prf:ref}`thm-minimum-norm`), nor the one feature that small weights leave ({prf:ref}`thm-sparsification`) and so the risk of linear
# transfer, nor fine-tuning without noise from an unlimited source. It changes three things: the wait, $\alpha^{-(L-2)}$ for $L > 2$ ({numref}`fig-waiting`); what remains of the initial
# weights, which is fainter ({numref}`ex-deeper`); and $\kappa$: with noise, deeper networks amplify the source more ({numref}`fig-break-even`, {numref}`fig-fine-tuning-depth`).
