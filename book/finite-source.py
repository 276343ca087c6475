# %% [markdown]
# # Finite source data
#
# So far the source was known as well as we liked. Real sources are data sets: finite, and labelled with noise. What a network learns from one is an
# estimate of $\beta_s$, not $\beta_s$ itself. In this chapter you will
#
# - see that *more* source data can make a source worse,
# - fold everything that a source data set teaches into two numbers, and find the exchange rate between source samples and target samples,
# - hold linear transfer and fine-tuning from such sources against trained networks.

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
d, instances = 500, 20
ratios = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.5, 2.0])


def learned(key, n, sigma):
    """Overlap with the source and squared norm of what n source samples teach."""
    source, X, y = fatelib.linear.reduced_tasks(
        key, n, d, 0.0, sigma, largest=2 * d
    )
    beta = X.solve(y[:-1])
    return beta @ source.beta_target, beta @ beta


keys = jax.random.split(jax.random.key(0), instances)
over_keys = jax.vmap(learned, (0, None, None))
over_all = jax.vmap(jax.vmap(over_keys, (None, 0, None)), (None, None, 0))
noises = np.array([0.0, 0.2, 0.5])
overlap, norm2 = over_all(keys, jnp.asarray(np.round(ratios * d), int), noises)
coords = {"sigma_s": noises, "gamma_s": ratios, "instance": range(instances)}
source = xr.Dataset(
    {
        "overlap": (tuple(coords), np.asarray(overlap)),
        "norm2": (tuple(coords), np.asarray(norm2)),
    },
    coords=coords,
)

# %%
#| tags: [hide-input]
#| name: fig-learned-angle
#| caption: >-
#|   The angle between the source vector and what a network learns from $n_s = \gamma_s d$ samples of it, for three levels of source label noise:
#|   {eq}`learned-angle` at $\theta = 0$ (lines) and least-squares solutions (of minimum norm below $\gamma_s = 1$; points: mean of 20 instances, bars: one standard error, smaller than the points).
#|   $d = 500$.
#| alt: Three curves that start near 90 degrees. Without noise the angle falls to zero at one sample per dimension. With noise it rises back towards 90
#|   degrees there before it falls again.
fig, ax = plt.subplots()
fine = np.linspace(0.02, 2.1, 417)
for i, noise in enumerate(noises):
    part = source.sel(sigma_s=noise)
    angle = np.degrees(np.arccos((part.overlap / np.sqrt(part.norm2)).clip(-1, 1)))
    mean, error = angle.mean("instance"), angle.std("instance", ddof=1)
    ax.errorbar(ratios, mean, error / np.sqrt(instances), fmt="o", color=f"C{i}")
    line = np.degrees(theory.learned_angle(0.0, fine, noise))
    ax.plot(fine, line, color=f"C{i}", label=rf"$\sigma_s$ = {noise:g}")
ax.set(
    xlabel=r"source samples per dimension $\gamma_s$",
    ylabel="angle learned (degrees)",
)
ax.legend()

# %%
#| tags: [check]
# The angle comes from two numbers, the overlap with the source and the squared norm.
# Their limits for many dimensions are compared with the means at $d = 500$. Left out
# is what is not random: beyond one sample per dimension and without noise the source
# vector is found exactly.
gamma_s, noise = source.gamma_s, source.sigma_s
seen = np.minimum(1, gamma_s)
limit_norm2 = (seen * (1 + noise**2 / abs(1 - gamma_s))).transpose(
    "sigma_s", "gamma_s"
)
limit_overlap = (seen * (1 + 0 * noise)).transpose("sigma_s", "gamma_s")
random = (gamma_s < 1) | (noise > 0)
fatelib.agreement_table(
    {
        "overlap": (source.overlap, limit_overlap),
        "squared norm": (source.norm2, limit_norm2),
    },
    where=random,
)

# %% [markdown]
# ## Two numbers
#
# Pretraining from small weights on $n_s$ source samples $(X_s, y_s)$ ends at their least-squares solution, that of minimum norm if $n_s < d$ ({prf:ref}`thm-minimum-norm`), and
# the argument of {prf:ref}`thm-sparsification`, which needs balance only, leaves the network that one direction,
#
# $$
# \hat\beta_s = X_s^+ y_s .
# $$ (learned-source)
#
# It is scratch training, on the source. All we need to know are its overlap with the target and its squared norm, which for large $d$ become
#
# $$
# \begin{aligned}
# M &= \hat\beta_s \cdot \beta_t \to \min(1, \gamma_s) \cos\theta , \\
# Q &= \lVert \hat\beta_s \rVert^2 \to \min(1, \gamma_s) \left( 1 + \frac{\sigma_s^2}{\lvert 1 - \gamma_s \rvert} \right)
# \end{aligned}
# $$ (source-moments)
#
# (Appendix C of {cite:t}`tahir2025`): too few samples shorten the vector, noise lengthens it. The angle between them is all that linear transfer can notice:
#
# $$
# \cos^2 \hat\theta = \frac{M^2}{Q} = \cos^2\theta \; \frac{\min(1, \gamma_s)}{1 + \sigma_s^2 / \lvert 1 - \gamma_s \rvert} .
# $$ (learned-angle)
#
# At $\gamma_s = 1$ noise destroys the direction: the double descent of the *source* (between regressions without networks: {cite:t}`dar2022`). Adding source data just below one sample per
# dimension makes the source worse.
# ## Linear transfer: an exchange rate
#
# Linear transfer fits the length of its one feature anew, so that only the direction counts. All of {doc}`when-does-transfer-help` holds with $\hat\theta$
# in place of $\theta$:
#
# :::{prf:proposition} Linear transfer from a finite source
# :label: prop-finite-linear
#
# For large $d$, $R_{\text{lt}} \to 1 - M^2/Q = \sin^2\hat\theta$ and $\mathcal T_{\text{lt}} = R_{\text{scratch}} - \sin^2\hat\theta$.
# :::
#
# :::{prf:proof}
# The best multiple of $\hat\beta_s$ is $c = M / Q$, with $\lVert c \hat\beta_s - \beta_t \rVert^2 = 1 - M^2 / Q$. Fitting the one number $c$ to $n$
# samples costs $O(1/n)$, by {eq}`least-squares` at $k = 1$.
# :::
#
# Source and target data can now be weighed against each other. Without noise and with both $\gamma_s$ and $\gamma$ below 1, scratch training has risk $1 - \gamma$
# and linear transfer $1 - \gamma_s \cos^2\theta$: transfer wins exactly while $\gamma < \gamma_s \cos^2\theta$. One target sample is worth $1/\cos^2\theta$ source samples. At $\theta = 0$
# it is one for one, as it must be. This proposition and what follows are ours.
#
# ## Fine-tuning: the length counts
#
# Fine-tuning keeps $\kappa \hat\beta_s$ where the target data see nothing ({doc}`fine-tuning`), length included. {prf:ref}`thm-fine-tuning` did not assume a unit vector, so that
#
# $$
# \begin{aligned}
# Q \kappa^{2L/(L-1)} &= \gamma \left( 1 + \frac{\sigma^2}{1 - \gamma} \right) + Q (1 - \gamma)\, \kappa^2 , \\
# \mathcal T_{\text{ft}} &= (1 - \gamma) (2 \kappa M - \kappa^2 Q)
# \end{aligned}
# $$ (finite-fine-tuning)
#
# for $\gamma < 1$, and $\mathcal T_{\text{ft}} = 0$ beyond. With $\kappa = 1$ it is eq. 22 of {cite:t}`tahir2025`. Break-even is at $\cos\theta = \frac{\kappa}{2} \big( 1 + \sigma_s^2 / \lvert 1 - \gamma_s \rvert \big)$: the number
# of clean source samples drops out but for $\kappa$. And now $\kappa \ne 1$ even without any noise, because the target asks for a
# vector of norm 1 and the source has brought one of squared norm $\gamma_s$: the later layers start too small and grow.

# %%
for gamma_s, noise in ((np.inf, 0.0), (0.5, 0.0), (0.5, 0.2), (1.5, 0.2)):
    kappa = theory.fine_tuning_scale(
        0.5, 0.0, source_gamma=gamma_s, source_sigma=noise
    )
    print(f"gamma_s = {gamma_s}, sigma_s = {noise}: kappa = {kappa:.4f}")

# %% [markdown]
# A noisy source with many samples is too long instead, and $\kappa < 1$: fine-tuning shortens it.
#
# ## The paper's figures with finite sources
#
# Linear transfer and fine-tuning from sources of $\gamma_s = 0.5$ and 1.5, with noise $\sigma_s = \sigma = 0.2$: first the theory,

# %%
#| tags: [hide-input]
#| name: fig-source-maps
#| caption: >-
#|   Transferability of linear transfer ({prf:ref}`prop-finite-linear`) and of fine-tuning ({eq}`finite-fine-tuning`) from finite sources with
#|   $\gamma_s = 0.5$ and 1.5. $\sigma = \sigma_s = 0.2$, $L = 2$. Blue: transfer wins. Full colour at $\pm 0.5$.
#| alt: Four maps. For linear transfer the small source leaves a blue region that is cut off at about half a sample per dimension, the large one nearly
#|   the shape of an unlimited source. For fine-tuning both have a nearly vertical boundary, at a smaller angle for the small source.
angles, gamma = np.linspace(0, np.pi / 2, 121), np.linspace(0.02, 2, 199)
formulas = {
    "linear transfer": theory.linear_transferability,
    "fine-tuning": theory.fine_tuning_transferability,
}
fig, axes = plt.subplots(2, 2, figsize=(7.6, 6.2), sharex=True, sharey=True)
for row, gamma_s in zip(axes, (0.5, 1.5), strict=True):
    for ax, (name, formula) in zip(row, formulas.items(), strict=True):
        T = formula(
            gamma, angles[:, None], 0.2, source_gamma=gamma_s, source_sigma=0.2
        )
        T = xr.DataArray(T, coords={"theta": angles, "gamma": gamma})
        plot.phase_diagram(T, limit=0.5, colorbar=False, ax=ax)
        ax.set_title(rf"{name}, $\gamma_s$ = {gamma_s}")
        ax.set(xlabel="", ylabel="")
for ax in axes[:, 0]:
    ax.set_ylabel(r"$\gamma = n/d$")
for ax in axes[1]:
    ax.set_xlabel(r"angle between the tasks $\theta$")
bar = {"extend": "both", "label": r"transferability $\mathcal{T}$"}
fig.colorbar(axes[0, 0].collections[0], ax=axes, **bar)

# %% [markdown]
# then networks: $d = 500$, 20 instances, each with its own source data. The engine `spectral` starts at what pretraining ends with from small weights, a
# balanced network that computes {eq}`learned-source`, and takes steps of gradient descent from there, small ones
# as in {doc}`fine-tuning` and as many as it needs.

# %%
#| tags: [remove-output]
thetas = np.pi * np.array([1, 2, 3]) / 8
gammas = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.5, 2.0])
data = {
    name: fatelib.phase_diagram(
        method,
        thetas,
        gammas,
        d=d,
        sigma=0.2,
        instances=instances,
        key=jax.random.key(1),
        engine="spectral",
        source_gamma=[0.5, 1.5],
        source_sigma=0.2,
        learning_rate=0.005,
        steps=12_000,
        scratch_options={"learning_rate": 0.05},
    )
    for name, method in {
        "linear transfer": "linear_transfer",
        "fine-tuning": "fine_tuning",
    }.items()
}
assert all(result.converged.all() for result in data.values())


# %%
def predicted(name, gamma_s, gamma, **options):
    """Theory of one protocol over angle and samples."""
    values = formulas[name](
        gamma,
        thetas[:, None],
        0.2,
        source_gamma=gamma_s,
        source_sigma=0.2,
        **options,
    )
    return xr.DataArray(values, coords={"theta": thetas, "gamma": gamma})


# %%
#| tags: [hide-input]
#| name: fig-source
#| caption: >-
#|   Transferability from finite sources: networks trained by the engine `spectral` (points: mean of 20 instances, bars: one standard error) and
#|   theory (lines). Dotted: fine-tuning with $\kappa = 1$. $d = 500$, $L = 2$, $\sigma = \sigma_s = 0.2$; learning rates 0.005
#|   (transferred) and 0.05 (scratch).
#| alt: Four panels of three curves each. The points lie on the lines in all of them; in the panel of fine-tuning from the small source the dotted lines are
#|   visibly off the points.
fine = np.linspace(0.1, 2.05, 391)
fig, axes = plt.subplots(2, 2, figsize=(8.6, 6.2), sharex=True)
for row, gamma_s in zip(axes, (0.5, 1.5), strict=True):
    for ax, (name, result) in zip(row, data.items(), strict=True):
        part = result.sel(source_gamma=gamma_s)
        plot.slices(
            part.transferability,
            predicted(name, gamma_s, fine),
            ax=ax,
        )
        if name == "fine-tuning":
            for i, line in enumerate(predicted(name, gamma_s, fine, paper=True)):
                ax.plot(fine, line, ":", color=f"C{i}")
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set(
            title=rf"{name}, $\gamma_s$ = {gamma_s}", xlabel="", ylim=(-0.75, 0.75)
        )
for ax in axes[:, 0]:
    ax.set_ylabel(r"transferability $\mathcal{T}$")
for ax in axes[1]:
    ax.set_xlabel(r"samples per dimension $\gamma$")
axes[1, 0].legend()

# %%
#| tags: [check]
# For fine-tuning the transferability is compared in the cells with $\gamma < 1$, beyond
# which both networks end at the same solution. For linear transfer the risk is
# compared, at all $n$: the risk of scratch training has its check in the chapter "When
# does transfer help?". As all samples share the sources of their instances, they make
# one comparison for each angle.
pairs = {}
for gamma_s in (0.5, 1.5):
    part = data["fine-tuning"].sel(source_gamma=gamma_s, gamma=slice(0, 1))
    theirs = predicted("fine-tuning", gamma_s, part.gamma.values)
    pairs[f"fine-tuning, γ_s = {gamma_s}"] = (part.transferability, theirs)
for gamma_s in (0.5, 1.5):
    part = data["linear transfer"].sel(source_gamma=gamma_s)
    floor = theory.linear_transfer_risk(
        theory.learned_angle(thetas[:, None], gamma_s, 0.2),
        n=part.n.values,
        sigma=0.2,
    )
    excess = (part.risk - np.asarray(floor)[..., None]).mean("gamma")
    pairs[f"linear transfer, γ_s = {gamma_s}"] = (excess, 0.0)
fatelib.agreement_table(pairs)

# %%
#| tags: [build-only]
from myst_nb import glue

off = {}
for gamma_s in (0.5, 1.5):
    part = data["fine-tuning"].sel(source_gamma=gamma_s, gamma=slice(0, 1))
    guess = predicted("fine-tuning", gamma_s, part.gamma.values, paper=True)
    distance = abs(part.transferability.mean("instance") - guess)
    error = part.transferability_error
    off[gamma_s] = float((distance / error).max())
# As the text says:
assert off[0.5] > 4
glue("off-small", off[0.5], display=False)
glue("off-large", off[1.5], display=False)

# %% [markdown]
# With $\kappa = 1$ fine-tuning would be off by up to {glue:text}`off-small:.1f` standard errors for the small source and {glue:text}`off-large:.1f` for the large one, where $\kappa$ is too close to 1 to tell the two apart.
# The reason at $\gamma_s = 0.5$ is not the noise but the short source.
#
# ## Turn it yourself

# %%
#| tags: [hide-input]
#| name: fig-explore-source
#| caption: >-
#|   Transferability from a finite source, with the same label noise on source and target, $\sigma_s = \sigma$ ($L = 2$). Move $\gamma_s$ through 1 at
#|   different noises and watch both protocols lose their blue region and win it back. Values beyond ±3 are shown as ±3.
#| alt: Interactive map of transferability over angle and samples per dimension, with sliders for source samples and noise and a menu for the protocol.
from fatelib.widgets import explore

sources = np.array([0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.1, 1.2, 1.5, 2.0, 4.0])
levels = np.array([0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0])
turned = xr.DataArray(
    np.linspace(0, np.pi / 2, 41), dims="theta", attrs={"units": "rad"}
)
steps = np.linspace(0.05, 2, 40)
noise = levels[:, None, None]
gain = [
    formula(
        steps,
        turned.values[:, None],
        noise,
        source_gamma=sources[:, None, None, None],
        source_sigma=noise,
    )
    for formula in formulas.values()
]
grid = xr.DataArray(
    np.stack(gain),
    coords={
        "protocol": list(formulas),
        "gamma_s": sources,
        "sigma": levels,
        "theta": turned,
        "gamma": steps,
    },
    name="T",
    attrs={"long_name": "transferability"},
)
start = {"gamma_s": 0.5, "sigma": 0.2, "theta": np.pi / 8, "gamma": 0.3}
explore(
    grid.clip(-3, 3),
    x="theta",
    y="gamma",
    sliders=["protocol", "gamma_s", "sigma"],
    at=start,
    limit=1,
)

# %% [markdown]
# ## Exercises
#
# :::{exercise} Predict, then run: buy labels
# :label: ex-buy-labels
#
# You own $0.8\, d$ source samples with $\sigma_s = 0.5$ at $\theta = 30°$ and plan linear transfer. Somebody offers $0.15\, d$ more for free. Do you take them? And how
# many do you need before more data help again?
# :::
#
# :::{solution-start} ex-buy-labels
# :label: sol-buy-labels
# :class: dropdown
# :::
#
# Up to a point more data only bring you closer to $\gamma_s = 1$. Without regularisation you had better throw samples away.

# %%
owned = theory.learned_angle(jnp.pi / 6, 0.8, 0.5)
offered = theory.learned_angle(jnp.pi / 6, 0.95, 0.5)
print(f"owned {jnp.degrees(owned):.1f}, with the offer {jnp.degrees(offered):.1f}")
more = np.linspace(0.05, 3, 2951)
reached = np.asarray(theory.learned_angle(jnp.pi / 6, more, 0.5))
below = more[more < 1][reached[more < 1].argmin()]
again = more[(more > 1) & (reached < owned)][0]
print(
    f"best below one: gamma_s = {below:.2f}; better than owned from {again:.2f} on"
)

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} With pencil: when to throw source samples away
# :label: ex-throw-away
#
# Below one sample per dimension, at which $\gamma_s$ does {eq}`learned-angle` give the smallest angle, and which? From which $\gamma_s > 1$ on is it as small again? Write both with $q = \sqrt{1 + \sigma_s^2} - \sigma_s$.
# :::
#
# :::{solution} ex-throw-away
# :label: sol-throw-away
# :class: dropdown
#
# With $v = 1 - \gamma_s$ the fraction in {eq}`learned-angle` is $v (1 - v) / (v + \sigma_s^2)$. Its derivative vanishes where $v^2 + 2 \sigma_s^2 v = \sigma_s^2$, at $v = \sigma_s q$. There the fraction equals the ratio of the derivatives of numerator and denominator, $1 - 2 v = 1 - 2 \sigma_s q$, and this is $q^2$, because $q^2 + 2 \sigma_s q = 1$. So the best is
#
# $$
# \begin{aligned}
# \gamma_s &= 1 - \sigma_s q , \\
# \cos\hat\theta &= q \cos\theta .
# \end{aligned}
# $$
#
# Beyond 1 the fraction is $(\gamma_s - 1) / (\gamma_s - 1 + \sigma_s^2)$, which reaches $q^2$ at $\gamma_s - 1 = \sigma_s^2 q^2 / (1 - q^2) = \tfrac12 \sigma_s q$. With $1 - \sigma_s q < \gamma_s < 1 + \tfrac12 \sigma_s q$ throw samples away.
# :::
#
# :::{exercise} Code: regularise the source
# :label: ex-regularise-source
#
# Pretrain with the optimal ridge (or weight decay) instead of none. The estimate is then the mean of the posterior for an isotropic prior, whose overlap with $\beta_s$ equals its squared norm,
# on average. Show that $\cos^2\hat\theta = \cos^2\theta\,(1 - R_{\text{reg}})$ with the risk {eq}`regularised-scratch` of the source, and test it near $\gamma_s = 1$.
# :::
#
# :::{solution-start} ex-regularise-source
# :label: sol-regularise-source
# :class: dropdown
# :::
#
# With $\hat\beta_s \cdot \beta_s = Q$, the risk on the source is $1 - 2Q + Q = 1 - Q$, so that $Q = 1 - R_{\text{reg}}$; the overlap with the target is $Q \cos\theta$, and the
# ratio of its square to $Q$ is $Q \cos^2\theta$. The peak at $\gamma_s = 1$ is gone. The optimal ridge is $\lambda = \sigma_s^2 / \gamma_s$ on the mean loss (the noise variance over $n_s$ times the prior variance $1/d$).

# %%
sigma_s = 0.5
for gamma_s in (0.7, 1.0, 1.3):
    tasks = fatelib.LinearTasks.at_angle(
        jax.random.key(2), 1000, 0.0, source_sigma=sigma_s
    )
    n_s = round(gamma_s * 1000)
    X, y = tasks.sample(jax.random.key(3), n_s, source=True)
    ridge = sigma_s**2 / gamma_s
    beta = jnp.linalg.solve(X.T @ X / n_s + ridge * jnp.eye(1000), X.T @ y / n_s)
    measured = (beta @ tasks.beta_source) ** 2 / (beta @ beta)
    formula = 1 - theory.optimal_scratch_risk(gamma_s, sigma_s)
    plain = jnp.cos(theory.learned_angle(0.0, gamma_s, sigma_s)) ** 2
    print(
        f"gamma_s = {gamma_s}: squared cosine {measured:.3f}, "
        f"formula {formula:.3f}, without ridge {plain:.3f}"
    )

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Your own source: was it large enough?
# :label: ex-own-source
#
# You do not know $\beta_s$, so how far is what your network learned from it? Split the source data in two, pretrain one network on each half, and correlate their answers on new inputs. Show that in this chapter's setting the correlation tends to the *squared* cosine of the angle {eq}`learned-angle` between either of them and the source ($\theta = 0$).
# :::
#
# :::{solution} ex-own-source
# :label: sol-own-source
# :class: dropdown
#
# On isotropic inputs the correlation of two linear answers is the cosine between their vectors. Each is $\hat\beta_s = X_s^+ y_s$ of its own half, of $\gamma_s d$ samples. Its mean is $\min(1, \gamma_s)\, \beta_s$, the $M$ of {eq}`source-moments` at $\theta = 0$ times $\beta_s$; the halves are independent, so the mean of the scalar product of the two is $M^2$, and for large $d$ it does not scatter. Both squared lengths tend to $Q$. So the correlation tends to $M^2/Q = \cos^2\hat\theta$: its square root is the cosine to the truth, which nobody has seen.
#
# ```python
# keys, sigma_s = jax.random.split(jax.random.key(10), 3), 0.5
# tasks = fatelib.LinearTasks.at_angle(
#     keys[0], d, 0.0, source_sigma=sigma_s
# )
# new = jax.random.normal(jax.random.key(11), (5000, d))
# for half in (300, 450, 1000):
#     answers = []
#     for key in keys[1:]:  # your two networks here
#         X, y = tasks.sample(key, half, source=True)
#         answers.append(new @ (jnp.linalg.pinv(X) @ y))
#     found = np.corrcoef(answers)[0, 1]
#     angle = theory.learned_angle(0.0, half / d, sigma_s)
#     print(f"{half}: {found:.2f}, formula {jnp.cos(angle) ** 2:.2f}")
# ```
#
# Networks of your own may also err in the same way, for instance because both lack layers or inputs that the task needs. Such errors raise the correlation, and then it promises too much.
# :::
#
# :::{exercise} Hard: a perfect source that hurts
# :label: ex-perfect-hurts
#
# No noise anywhere, and the source task *is* the target task, $\theta = 0$. Yet with few source samples, and $\gamma < 1$, fine-tuning loses against training from scratch. Below which $\gamma_s$, for two layers, and for $L$? Does linear transfer lose, too? What is the remedy?
# :::
#
# :::{solution} ex-perfect-hurts
# :label: sol-perfect-hurts
# :class: dropdown
#
# With $M = Q = \gamma_s$ the second line of {eq}`finite-fine-tuning` is $(1 - \gamma)\, \gamma_s\, \kappa (2 - \kappa)$: fine-tuning loses where $\kappa > 2$. As $\kappa$ falls with growing $\gamma_s$, the boundary is where $\kappa = 2$ solves the first line, $4 \cdot 2^{2/(L-1)} \gamma_s = \gamma + 4 \gamma_s (1 - \gamma)$, that is at
#
# $$
# \gamma_s = \frac{\gamma}{4 \left( 2^{2/(L-1)} - 1 + \gamma \right)} ,
# $$
#
# $\gamma / (4 (3 + \gamma))$ for two layers, rising to $\tfrac14$ for many. A source that is too short makes the later layers grow, and what they enlarge in the directions that the target data do not see is mostly not the target.
#
# Linear transfer has the risk $1 - \gamma_s$ against $1 - \gamma$ and loses for every $\gamma_s < \gamma$. Up to seven layers this boundary lies above that of fine-tuning, and in between it is better to fine-tune; with many layers the order turns round for $\gamma < \tfrac14$. The remedy is the length: {eq}`finite-fine-tuning` with the best $\kappa = M/Q$, which is 1 here, gives $(1 - \gamma)\, \gamma_s > 0$ for every source, and {numref}`ex-shrink` shows, for two layers and with $\hat\theta$ for $\theta$, how to start so that one ends there: from a source that is shorter still, $\gamma_s / \sqrt{\gamma + (1 - \gamma) \gamma_s}$ instead of $\sqrt{\gamma_s}$.
#
# ```python
# gamma = 0.5
# for depth in (2, 3, 10):
#     edge = gamma / (4 * (2 ** (2 / (depth - 1)) - 1 + gamma))
#     for gamma_s in (0.9 * edge, edge, 1.1 * edge):
#         gain = theory.fine_tuning_transferability(
#             gamma, 0.0, 0.0, depth=depth, source_gamma=gamma_s
#         )
#         print(f"L = {depth}, gamma_s = {gamma_s:.4f}: {gain:+.1e}")
# ```
# :::
#
# ## What to remember
#
# 1. A source data set enters through two numbers, the overlap and the norm of what it teaches. Linear transfer only sees their ratio, the angle $\hat\theta$; fine-tuning sees both.
# 2. Without noise one target sample is worth $1/\cos^2\theta$ source samples in linear transfer. With noise more source data can hurt, near one sample per dimension.
# 3. A short or long source rescales itself during fine-tuning: $\kappa \ne 1$ even without noise.
