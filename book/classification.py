# %% [markdown]
# # Only the sign counts
#
# So far labels were numbers. Now they are classes: yes or no, one sign for each sample. The same networks learn them with the same squared loss, but they are judged by how often their *sign* is wrong. **Is a source that is too far away to help with numbers still good for signs?**

# %%
#| tags: [hide-input]
#| name: fig-two-verdicts
#| caption: >-
#|   One set of networks, two verdicts. All learn signs, $\pm 1$, with the squared loss, the source too; two layers, large $d$. First panel: how much squared error fine-tuning saves over scratch training. Second panel: how many percentage points of wrong signs it saves. Blue: it helps, red: it hurts. Dashed: 60°.
#| alt: Two maps over angle and samples per dimension below one. In the first blue up to an angle of less than 60 degrees and red beyond. In the second blue up to more than 75 degrees at every number of samples.
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from scipy.optimize import nnls

import fatelib
from fatelib import plot, theory

plt.style.use("fatelib.style")

theta, gamma = np.linspace(0.01, np.pi / 2, 91), np.linspace(0.02, 0.98, 97)
c0 = np.sqrt(2 / np.pi)
norm2 = gamma * (1 - c0**2 * gamma) / (1 - gamma)
kappa = theory.fine_tuning_scale_from_norms(norm2, c0**2, gamma * c0**2)
squared = c0**2 * (1 - gamma) * (2 * kappa * np.cos(theta[:, None]) - kappa**2)
rates = theory.fine_tuning_error_rate(gamma, theta[:, None])
signs = 100 * (theory.scratch_error_rate(gamma) - rates)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
for ax, values, title in (
    (axes[0], squared, "squared error saved"),
    (axes[1], signs, "wrong signs saved (points)"),
):
    grid = xr.DataArray(values, {"theta": theta, "gamma": gamma}, name=title)
    plot.phase_diagram(grid, limit=float(abs(grid).max()), ax=ax)
    ax.axvline(np.pi / 3, ls="--", color="C5")
    fig.axes[-1].set_ylabel(title)  # of the colour bar
axes[1].set_ylabel("")

# %% [markdown]
# ## What one would guess
#
# Fine-tuning keeps the source where no sample sees, and pays for its noise by growing: 60° without noise, less with it ({doc}`fine-tuning`). Signs are noisy versions of the numbers they stand for. So one would guess less than 60°. The first panel agrees. The second says something else: by wrong signs fine-tuning helps up to {glue:text}`lowest:.0f`° at every number of samples below $d$. To see why, two facts about signs are enough. (Results are ours where no source is named; symbols: {doc}`notation`.)
#
# ## Two facts about signs
#
# Let $z = \beta_t \cdot x$ with $\lVert \beta_t \rVert = 1$, so that $z$ is standard normal. The label is $y = \operatorname{sign} z$, reversed with probability $p < \frac12$ (in code `flip`; not the $p_n$ of linear transfer).
#
# :::{prf:lemma} A sign is a line and noise
# :label: lem-sign
#
# $y = c z + e$ with $c = (1 - 2p) \sqrt{2/\pi}$, where $e$ is uncorrelated with every input and has variance $1 - c^2$.
# :::
#
# :::{prf:proof}
# *The slope.* $y z$ is $|z|$ with probability $1 - p$ and $-|z|$ with probability $p$, and $\mathbb E |z| = \sqrt{2/\pi}$. So $\mathbb E\, y z = (1 - 2p) \sqrt{2/\pi}$. Call it $c$. Then $e = y - c z$ has $\mathbb E\, e z = c - c = 0$.
#
# *All other directions.* An input along a direction orthogonal to $\beta_t$ is independent of $z$ and of the flip, hence of $e$.
#
# *The variance.* $\mathbb E\, e^2 = \mathbb E\, y^2 - 2 c\, \mathbb E\, y z + c^2 = 1 - c^2$.
# :::
#
# The remainder $e$ depends on $z$, as noise would not. But $z$ is one direction among $d$: among many features $e$ acts as independent noise of the same variance does. So learning signs is regression on a target of norm $c$ with noise $1 - c^2$; measured against the target,
#
# $$
# \sigma_c^2 = \frac{1 - c^2}{c^2} ,
# $$ (sign-noise)
#
# which is {glue:text}`sign-noise:.2f` without flips.
#
# :::{dropdown} Why the remainder counts as noise
# For $n < d$ let $z$ and $y$ be the vectors of all $n$ values, and $K = X_\perp X_\perp^\top$ with $X_\perp$ the inputs in the $d - 1$ directions across $\beta_t$. Then $X X^\top = z z^\top + K$, and $K$ is independent of $z$ and $y$. For large $d$ the quadratic forms of $K^{-1}$ only know its mean eigenvalue, $1/(d - n)$: $z^\top K^{-1} z \to \frac{\gamma}{1 - \gamma}$, $y^\top K^{-1} y \to \frac{\gamma}{1 - \gamma}$, and $z^\top K^{-1} y \to \frac{c \gamma}{1 - \gamma}$ since $z^\top y / n \to c$. Of $y$ nothing enters but its size and its $c$, as for a line plus noise. With $(K + z z^\top)^{-1} = K^{-1} - \frac{K^{-1} z z^\top K^{-1}}{1 + z^\top K^{-1} z}$ and $1 + z^\top K^{-1} z = \frac1{1 - \gamma}$, the overlap with $\beta_t$ is
#
# $$
# z^\top (X X^\top)^{-1} y = (1 - \gamma)\, \frac{c \gamma}{1 - \gamma} = c \gamma ,
# $$
#
# and the squared norm is
#
# $$
# \begin{gathered}
# y^\top (X X^\top)^{-1} y = \frac{\gamma}{1 - \gamma} - \frac{c^2 \gamma^2}{1 - \gamma} \\
# = \gamma\, \frac{1 - c^2 \gamma}{1 - \gamma} .
# \end{gathered}
# $$
#
# For $n > d$ take $z$ out first: what is left of $y$ has squared norm $n (1 - c^2)$ and is independent of $X_\perp$, which fits it as it fits noise of that variance. The coefficient along $\beta_t$ is that of $y$ on $z$ after $X_\perp$ is projected out, $c$. So overlap and squared norm are $c$ and $c^2 + (1 - c^2)/(\gamma - 1)$.
#
# With a single feature this fails: there $e$ depends on what one regresses on.
# :::
#
# :::{prf:lemma} An error rate is an angle
# :label: lem-angle
#
# A linear map $\beta \ne 0$ has the wrong sign on a share $\varepsilon = \angle(\beta, \beta_t) / \pi$ of all inputs.
# :::
#
# :::{prf:proof}
# Only the part of $x$ in the plane of $\beta$ and $\beta_t$ matters, and its direction is uniform on the circle. The signs of $x \cdot \beta$ and $x \cdot \beta_t$ differ between the two lines on which one of them is zero. These cross at the angle $\angle(\beta, \beta_t)$ and cut out two opposite wedges of it: $2 \angle(\beta, \beta_t)$ of $2\pi$.
# :::
#
# ## Scratch training
#
# It ends at $X^+ y$. By {prf:ref}`lem-sign` its overlap with $\beta_t$ is $c \min(1, \gamma)$ and its squared norm that of {doc}`finite-source`, times $c^2$ and with $\sigma_c$. The cosine of the angle is the overlap over the norm, so $c$ cancels:
#
# $$
# \begin{gathered}
# \cos(\pi \varepsilon_{\text{scratch}}) = A , \\
# A^2 = \frac{\min(1, \gamma)}{1 + \sigma_c^2 / \lvert 1 - \gamma \rvert} .
# \end{gathered}
# $$ (scratch-error-rate)
#
# At $\gamma = 1$ this is chance, $\varepsilon = \frac12$, however clean the labels: double descent, in the worst form it can take. ({py:func}`~fatelib.theory.scratch_error_rate`.)
#
# ## Fine-tuning
#
# The source learned signs too, so it is $c_0 \beta_s$ with $c_0 = \sqrt{2/\pi}$. Fine-tuning ends at ({prf:ref}`thm-fine-tuning`)
#
# $$
# \beta_{\text{ft}} = X^+ y + \kappa\, c_0\, (I - P)\, \beta_s .
# $$ (tuned-on-signs)
#
# For $\gamma < 1$ write $b$ for $\lVert X^+ y \rVert^2 = \gamma\, (1 - c^2 \gamma) / (1 - \gamma)$ and $w^2 = \kappa^2 c_0^2 (1 - \gamma)$ for the squared norm of the second term. They are orthogonal, so the overlap $o$ with $\beta_t$ and the squared norm are
#
# $$
# \begin{gathered}
# o = c \gamma + \kappa c_0 (1 - \gamma) \cos\theta , \\
# \lVert \beta_{\text{ft}} \rVert^2 = b + w^2 ,
# \end{gathered}
# $$ (overlap-and-norm)
#
# and $\cos(\pi \varepsilon_{\text{ft}}) = o / \sqrt{b + w^2}$. The norm gives $\kappa$ as in {doc}`fine-tuning`: $c_0^2\, \kappa^{2L/(L-1)} = b + w^2$. ({py:func}`~fatelib.theory.fine_tuning_error_rate`.)
#
# **Where does it win?** If $o / \sqrt{b + w^2} > c \gamma / \sqrt b$. Solve for $\cos\theta$:
#
# $$
# \cos\theta > \frac{c \gamma}{\kappa c_0 (1 - \gamma)} \left( \sqrt{1 + \frac{w^2}{b}} - 1 \right) .
# $$ (sign-break-even)
#
# In regression the unseen part of the source is an error unless it points the right way: its *length* counts, and break-even is $\cos\theta = \kappa/2$. Here a part that points nowhere only dilutes the answer, and dilution costs to second order: for small $w$ the bracket is $w^2 / 2b$. That is why the boundary lies so far out. Even without any noise ($c = c_0 = \kappa = 1$, labels that are numbers, judged by sign) {eq}`sign-break-even` is $\cos\theta > \sqrt\gamma / (1 + \sqrt\gamma)$: 60° is what is left of it at $\gamma = 1$, and 90° at $\gamma = 0$. ({py:func}`~fatelib.theory.fine_tuning_error_break_even`.)
#
# ## Linear transfer
#
# One feature has one coefficient, and only its sign matters. If it is right, $\varepsilon = \theta/\pi$; if wrong, $1 - \theta/\pi$. The coefficient has the sign of a sum of $n$ terms $y\, \beta_s \cdot x$ with mean $c \cos\theta$ and mean square 1, so with probability about
#
# $$
# p_n \approx \Phi \left( \frac{-\sqrt n\, c \cos\theta}{\sqrt{1 - c^2 \cos^2\theta}} \right)
# $$ (wrong-sign)
#
# it is wrong ($\Phi$: the normal distribution function), and
#
# $$
# \varepsilon_{\text{lt}} = \frac\theta\pi + \left( 1 - \frac{2 \theta}{\pi} \right) p_n .
# $$ (linear-transfer-error-rate)
#
# At small angles a dozen samples nearly settle the sign; towards 90° it takes many. {py:func}`~fatelib.theory.linear_transfer_error_rate` computes $p_n$ exactly.
#
# ## The experiment
#
# Two-layer networks, trained on signs with the squared loss, from a balanced source and from a faint direction (engine `spectral`); the same call as in {doc}`fine-tuning`, with one more argument.

# %%
#| tags: [remove-output]
d, flip = 300, 0.1
thetas, gammas = np.radians([30, 60, 75]), np.array([0.1, 0.2, 0.35, 0.5, 2, 4])
common = {"d": d, "sigma": 0.0, "labels": "signs", "flip": flip}
common |= {"instances": 20, "key": jax.random.key(0), "engine": "spectral"}
rate = {"learning_rate": 0.01, "steps": 6000}
rate |= {"scratch_options": {"learning_rate": 0.05}}
tuned = fatelib.phase_diagram("fine_tuning", thetas, gammas, **common, **rate)
frozen = fatelib.phase_diagram("linear_transfer", thetas, gammas, **common)


# %%
#| tags: [hide-input]
#| name: fig-error-rates
#| caption: >-
#|   Share of wrong signs against samples per dimension. Points: trained networks, mean of 20 instances, bars of one standard error. Lines: {eq}`scratch-error-rate` (solid), {eq}`overlap-and-norm` (dashed) and {eq}`linear-transfer-error-rate` with the exact $p_n$ (dotted). A tenth of the training labels is reversed; $d = 300$, $L = 2$.
#| alt: Three panels, for sources at 30, 60 and 75 degrees. Scratch training starts near one half, falls, returns to one half at gamma equal to one, and falls again. Fine-tuning starts near the angle over 180 degrees and lies below scratch training up to gamma one, where both are one half. Linear transfer falls to the angle over 180 degrees, at 75 degrees slowly.
fine = np.r_[np.geomspace(0.03, 0.999, 150), np.geomspace(1.001, 5, 100)]
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.4), sharey=True)
for ax, angle in zip(axes, thetas, strict=True):
    curves = {
        "scratch": theory.scratch_error_rate(fine, flip=flip),
        "fine-tuning": theory.fine_tuning_error_rate(fine, angle, flip=flip),
        "linear transfer": theory.linear_transfer_error_rate(
            angle, n=fine * d, flip=flip
        ),
    }
    for i, (name, curve) in enumerate(curves.items()):
        data = frozen if name == "linear transfer" else tuned
        which = "error_rate_scratch" if name == "scratch" else "error_rate"
        part = data.sel(theta=angle)
        mean, bar = part[which].mean("instance"), part[f"{which}_error"]
        ax.plot(fine, curve, ("-", "--", ":")[i], color=f"C{i}", label=name)
        ax.errorbar(gammas, mean, bar, fmt="o", color=f"C{i}", ms=4)
    degrees = round(np.degrees(angle))
    ax.set(
        xscale="log", xlabel=r"$\gamma = n/d$", title=rf"{degrees}°", ylim=(0, 0.52)
    )
axes[0].set_ylabel(r"error rate $\varepsilon$")
axes[0].legend()

# %%
#| tags: [check]
# The closed forms are limits of large $d$; at $d = 300$ what is left is below the four standard errors of the mean over 20 instances.
# Every network has converged; scratch networks do not depend on the angle. Linear transfer is left out: among 20 instances none or few have the wrong sign, too few for a standard error.
assert tuned.converged.all()
angles = thetas[:, None]
expected = theory.fine_tuning_error_rate(gammas, angles, flip=flip)
anew = theory.scratch_error_rate(gammas, flip=flip)
fatelib.agreement_table(
    {
        "fine-tuning": (tuned.error_rate, expected),
        "scratch": (tuned.error_rate_scratch, anew),
    }
)

# %% [markdown]
# The networks lie on the theory. At 75° fine-tuning still beats scratch training at every $\gamma < 1$: it saves {glue:text}`saved:.1f` points of wrong signs at $\gamma = 0.35$, while its squared error against clean signs is *larger* by {glue:text}`lost:.2f`. Which verdict counts depends on what the network is for.
#
# ## What if labels are flipped, or the network is deeper?

# %%
#| tags: [hide-input]
#| name: fig-sign-boundary
#| caption: >-
#|   The angle below which fine-tuning has fewer wrong signs than scratch training, {eq}`sign-break-even`, for one to infinitely many layers; without flips (solid) and with 20% of the labels reversed (dashed). Large $d$.
#| alt: Curves of the break-even angle over samples per dimension. All start near 90 degrees, fall to a minimum and return; the solid ones have minima between 73 and 78 degrees, the deeper the lower, the dashed ones lie above 80 degrees.
fig, ax = plt.subplots()
for i, depth in enumerate((1, 2, 4, np.inf)):
    for share, line in ((0.0, "-"), (0.2, "--")):
        edge = theory.fine_tuning_error_break_even(gamma, depth=depth, flip=share)
        name = r"$\infty$" if depth == np.inf else depth
        label = f"$L$ = {name}" if share == 0 else None
        ax.plot(gamma, np.degrees(edge), line, color=f"C{i}", label=label)
ax.set(xlabel=r"$\gamma = n/d$", ylabel="break-even angle (degrees)")
ax.legend()

# %% [markdown]
# Depth lowers the angle, as it did for numbers, but by a few degrees. Flips *raise* it. They weaken both contestants, but scratch training knows only what the labels say, and the source was learned from clean ones. With numbers it was the reverse: noise made the answer long, and length was the enemy.
#
# ## What if the loss is logistic?
#
# Classifiers are mostly trained with the logistic loss $\log(1 + e^{-y f(x)})$. Clean signs can be separated ($\beta_t$ does it), so this loss has no minimum: weights grow for ever, and the direction creeps, logarithmically in time, to that of the largest margin, the shortest $\beta$ with $y_i\, \beta \cdot x_i \ge 1$ for all samples {cite:p}`soudry2018`. For deep linear networks the direction is the same from every start that is better than zero {cite:p}`ji2018`. (Zero is a saddle of the loss: a start that is worse than zero is drawn into it only by exception.) So fine-tuning and scratch training share their limit, and in the end nothing of the source is left, at any $\gamma$.
#
# We know no closed form of its error rate as simple as those above, and measure it: train the rank-one network $\beta = u v$, with a number $v$, on logistic loss for a long time, and solve for the largest margin directly. It is a combination of the $y_i x_i$ with weights of at least zero, so nonnegative least squares finds it.

# %%
d, n, turns = 100, 50, 20


def error_rates(key, pretrained):
    """Error rates of a two-layer network in time, trained with the logistic loss."""
    tasks = fatelib.LinearTasks.at_angle(key, d, jnp.pi / 3)
    X, z = tasks.sample(jax.random.fold_in(key, 1), n)
    Z = X * jnp.sign(z)[:, None]
    start = tasks.beta_source if pretrained else Z.mean(axis=0)

    def loss(weights):
        return jnp.mean(jnp.logaddexp(0.0, -Z @ weights[0] * weights[1]))

    def step(_, weights):
        slopes = jax.grad(loss)(weights)
        return jax.tree.map(lambda w, g: w - 0.1 * g, weights, slopes)

    def stage(weights, steps):
        weights = jax.lax.fori_loop(0, steps, step, weights)
        beta = fatelib.DeepLinear.balanced(weights[0] * weights[1])
        return weights, tasks.error_rate(beta)

    size = 1.0 if pretrained else 1e-3
    weights = (size * start / jnp.linalg.norm(start), jnp.asarray(size))
    return jax.lax.scan(stage, weights, counts)[1], Z, tasks.beta_target


checkpoints = np.unique(np.geomspace(1, 60_000, 26).astype(int))
counts = jnp.asarray(np.diff(checkpoints, prepend=0))
keys = jax.random.split(jax.random.key(1), turns)
run = jax.jit(jax.vmap(error_rates, (0, None)), static_argnums=1)
(source, Zs, targets), (scratch, _, _) = run(keys, True), run(keys, False)
margin, squares = np.empty(turns), np.empty(turns)
for i, (Z, target) in enumerate(
    zip(np.asarray(Zs), np.asarray(targets), strict=True)
):
    weight, _ = nnls(np.vstack([Z.T, np.ones(n)]), np.eye(d + 1)[-1])
    widest, fitted = Z.T @ weight, np.linalg.pinv(Z) @ np.ones(n)
    assert (Z @ widest > 0).all()
    for row, beta in ((margin, widest), (squares, fitted)):
        row[i] = np.arccos(beta @ target / np.linalg.norm(beta)) / np.pi

# %%
#| tags: [hide-input]
#| name: fig-logistic
#| caption: >-
#|   Logistic loss: error rates of two-layer networks in time, fine-tuned from a source at 60° and from scratch (bands: one standard error of 20 instances), and of the largest margin (dashed), where both end. Dotted: the minimum-norm fit of the signs, where the squared loss ends from scratch. $d = 100$, $n = 50$, learning rate 0.1, no flips.
#| alt: Two curves against time on a logarithmic axis. Fine-tuning starts at one third, falls to a minimum, and rises slowly towards the dashed line; scratch starts above and levels off at it.
time = 0.1 * checkpoints
fig, ax = plt.subplots()
for i, (name, values) in enumerate(
    {"fine-tuning": source, "scratch": scratch}.items()
):
    mean, bar = values.mean(0), values.std(0, ddof=1) / np.sqrt(turns)
    ax.plot(time, mean, color=f"C{i}", label=name)
    ax.fill_between(time, mean - bar, mean + bar, color=f"C{i}", alpha=0.2)
ax.axhline(margin.mean(), ls="--", color="black", label="largest margin")
ax.axhline(squares.mean(), ls=":", color="black", label="squared loss, scratch")
ax.set(xscale="log", xlabel="time", ylabel=r"error rate $\varepsilon$")
ax.legend()

# %%
#| tags: [build-only]
from myst_nb import glue

middle = np.asarray(gammas == 0.35).argmax()
edges = np.degrees(theory.fine_tuning_error_break_even(gamma))
at75 = tuned.sel(theta=thetas[2]).isel(gamma=middle).mean("instance")
source, scratch = np.asarray(source), np.asarray(scratch)
best = int(source.mean(0).argmin())
numbers = {
    "lowest": np.floor(edges.min()),
    "sign-noise": np.pi / 2 - 1,
    "saved": 100 * (at75.error_rate_scratch - at75.error_rate),
    "lost": -at75.transferability,
    "best": 100 * source.mean(0)[best],
    "best-time": time[best],
    "end": 100 * source.mean(0)[-1],
    "scratch-end": 100 * scratch.mean(0)[-1],
    "margin": 100 * margin.mean(),
    "squares": 100 * squares.mean(),
    "last-time": time[-1],
}
gap = 100 * (scratch - source)[:, [best, -1]]
numbers |= {"gap-best": gap[:, 0].mean(), "gap-end": gap[:, 1].mean()}
for name, number in numbers.items():
    glue(name, float(number), display=False)
# As the text says:
assert numbers["lost"] > 0
assert numbers["saved"] > 0
spread = gap.std(0, ddof=1).sum() / turns**0.5
assert numbers["gap-best"] > numbers["gap-end"] + 4 * spread

# %% [markdown]
# At its best, at time {glue:text}`best-time:.0f`, fine-tuning has {glue:text}`best:.1f`% wrong signs; at time {glue:text}`last-time:.0f` it has {glue:text}`end:.1f`%, scratch training {glue:text}`scratch-end:.1f`%, and the largest margin {glue:text}`margin:.1f`%. The gap between the two has shrunk from {glue:text}`gap-best:.1f` to {glue:text}`gap-end:.1f` points by then; logarithms are slow. With the logistic loss all that transfer gains is gained by stopping, and lost, slowly, by going on. (With flips and enough samples the labels cannot be separated; then the loss has a minimum, and both end there.)
#
# ## Exercises
#
# :::{exercise} Predict, then run: is half the data better?
# :label: ex-half-data
#
# Without flips, at which $\gamma < 1$ does scratch training err least, and how many samples beyond $\gamma = 1$ does it take to be as good again? Guess from {numref}`fig-error-rates`, then compute.
# :::
#
# :::{solution-start} ex-half-data
# :label: sol-half-data
# :class: dropdown
# :::
#
# {eq}`scratch-error-rate` is least where $\gamma (1 - \gamma) / (1 - c^2 \gamma)$ is largest, at $\gamma = (1 - \sqrt{1 - c^2}) / c^2$.

# %%
least = (1 - np.sqrt(1 - c0**2)) / c0**2
rate = theory.scratch_error_rate(least)
beyond = np.linspace(1.001, 3, 2000)
as_good = beyond[theory.scratch_error_rate(beyond) < rate][0]
print(f"gamma {least:.2f}: error rate {rate:.3f}; again at gamma {as_good:.2f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} With pencil: one labelled sample
# :label: ex-one-label
#
# What is $p_1$, exactly, for linear transfer without flips? And with?
# :::
#
# :::{solution} ex-one-label
# :label: sol-one-label
# :class: dropdown
#
# The coefficient is wrong if source and target disagree on the sign of that one input: $p_1 = \theta / \pi$ by {prf:ref}`lem-angle`. With flips it is wrong if either happens, but not both: $p_1 = (1 - p)\, \theta/\pi + p\, (1 - \theta/\pi)$. Then $\varepsilon_{\text{lt}} = 2 \frac\theta\pi (1 - \frac\theta\pi)$ without flips.
# :::
#
# :::{exercise} Code: all weights
# :label: ex-all-weights
#
# Pretrain a full network on $\sqrt{2/\pi}\, \beta_s$, fine-tune it on the signs of 35 noise-free labels in 100 dimensions at 60°, and compare `tasks.error_rate` with training from scratch.
# :::
#
# :::{solution-start} ex-all-weights
# :label: sol-all-weights
# :class: dropdown
# :::

# %%
tasks = fatelib.LinearTasks.at_angle(jax.random.key(2), 100, np.pi / 3)
X, y = tasks.sample(jax.random.key(3), 35)
network = fatelib.DeepLinear.init(jax.random.key(4), 100)
network, _ = fatelib.pretrain(network, c0 * tasks.beta_source)
for name, result in {
    "fine-tuned": fatelib.fine_tune(network, tasks, X, jnp.sign(y)),
    "scratch": fatelib.scratch(jax.random.key(5), tasks, X, jnp.sign(y)),
}.items():
    print(f"{name}: error rate {tasks.error_rate(result.network):.3f}")
print(f"theory: {theory.fine_tuning_error_rate(0.35, np.pi / 3):.3f}, ", end="")
print(f"{theory.scratch_error_rate(0.35):.3f}")

# %% [markdown]
# One data set scatters by a few points about the means.
#
# :::{solution-end}
# :::
#
# :::{exercise} Your own classes
# :label: ex-own-classes
#
# {py:func}`fatelib.diagnose <fatelib.probe.diagnose>` reports error rates when labels are two classes. Give it the linear feature of a source at 45° and all inputs, $d = 50$, 300 signs. Which crosses which, by error rate, and where does {eq}`scratch-error-rate` put it?
# :::
#
# :::{solution-start} ex-own-classes
# :label: sol-own-classes
# :class: dropdown
# :::
#
# Scratch training without a ridge comes below $\theta / \pi$ beyond $\gamma = 1 + \sigma_c^2 / \tan^2\theta$; `diagnose` gives each side its best ridge, so that it may cross earlier. All inputs start above the source and come below it.

# %%
tasks = fatelib.LinearTasks.at_angle(jax.random.key(6), 50, np.pi / 4)
inputs, y = map(np.asarray, tasks.sample(jax.random.key(7), 300))
features = {
    "source": inputs @ np.asarray(tasks.beta_source)[:, None],
    "all": inputs,
}
report = fatelib.diagnose(features, np.where(y > 0, "yes", "no"))
for size in (40, 80, 160, 290):
    found = [report.error_rate(name, size).value for name in features]
    print(
        size,
        *(f"{name} {rate:.3f}" for name, rate in zip(features, found, strict=True)),
    )
print("without ridge, the theory:", round(50 * (1 + (np.pi / 2 - 1))))

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Hard: shrink the source
# :label: ex-any-length
#
# By wrong signs, which length of the unseen part is best? Write {eq}`overlap-and-norm` with $h$ in place of $\kappa c_0$, find the best $h$, and show that with it fine-tuning never loses below 90°.
# :::
#
# :::{solution-start} ex-any-length
# :label: sol-any-length
# :class: dropdown
# :::
#
# The cosine to be made large is
#
# $$
# \frac{c \gamma + h (1 - \gamma) \cos\theta}{\sqrt{b + h^2 (1 - \gamma)}} .
# $$
#
# Its derivative in $h$ vanishes where
#
# $$
# \begin{aligned}
# & (1 - \gamma) \cos\theta\, \big( b + h^2 (1 - \gamma) \big) \\
# &= h (1 - \gamma) \big( c \gamma + h (1 - \gamma) \cos\theta \big) ,
# \end{aligned}
# $$
#
# that is at $h = b \cos\theta / (c \gamma)$, positive below 90°; $h = 0$ is scratch training, so the best $h$ is better. By Cauchy's inequality the largest cosine squared is $c^2 \gamma^2 / b + (1 - \gamma) \cos^2\theta$: the cosine squared of scratch training, and the source's on the unseen share.

# %%
c, g, angle = c0, 0.5, np.radians(75)
b = g * (1 - c**2 * g) / (1 - g)
h = np.linspace(0, 3, 3001)
cosine = (c * g + h * (1 - g) * np.cos(angle)) / np.sqrt(b + h**2 * (1 - g))
assert abs(h[cosine.argmax()] - b * np.cos(angle) / (c * g)) < 1e-3
assert (
    abs(cosine.max() ** 2 - (c * g) ** 2 / b - (1 - g) * np.cos(angle) ** 2) < 1e-6
)

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
#
# 1. A sign is a line plus noise, and an error rate is an angle: with these two facts every formula for numbers becomes one for classes.
# 2. Only directions count, so a long or useless answer in unseen directions costs little: fine-tuning on signs helps far beyond 60°, and flipped labels widen the range of angles at which it does.
# 3. With the logistic loss on separable data fine-tuning and scratch training share their limit; what transfer gains is gained by stopping early.
