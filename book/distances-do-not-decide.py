# %% [markdown]
# # Distances between data sets do not decide
#
# Before you transfer, should you measure how far apart the two data sets are, and transfer if they are close? It sounds like common sense. In this
# chapter you will
#
# - see one pair of tasks for which transfer wins, loses, wins and loses again, while every distance between them stays put,
# - compute three such distances, and see what they all measure and what must be known beside it,
# - learn why the Wasserstein distance between two samples in 500 dimensions says nothing about the tasks at all.

# %%
#| tags: [hide-input]
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import distances, plot, theory

plt.style.use("fatelib.style")

# %%
#| tags: [remove-output, hide-input]
d, sigma = 500, 0.2
thetas = np.arange(1, 13) * np.pi / 12
gammas = [0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.85, 0.94, 1.06, 1.2, 1.5, 2.0]
data = fatelib.phase_diagram(
    "linear_transfer",
    thetas,
    gammas,
    d=d,
    sigma=sigma,
    instances=20,
    key=jax.random.key(0),
    engine="limit",
)
n = np.arange(25, 2 * d + 1)
n = n[abs(n - d) > 1]


def exact(theta, n):
    """Exact transferability of linear transfer at finite n and d."""
    scratch = theory.least_squares_risk(n, d, noise=sigma)
    return scratch - theory.linear_transfer_risk(theta, n=n, sigma=sigma)


# %%
#| name: fig-one-pair
#| caption: >-
#|   One pair of tasks, at 45° and label noise $\sigma = 0.2$, and linear transfer between them for many numbers of samples. Points: mean of 20 instances at $d = 500$ (exact solutions), bars: one standard
#|   error; line: exact theory. Shaded: transfer loses.
#| alt: >-
#|   A curve of transferability against samples per dimension that starts positive, crosses zero downwards, comes back up in a spike at gamma equal to one and falls below zero again.
pair = np.pi / 4
line = xr.DataArray(exact(pair, n), coords={"gamma": n / d})
points = data.transferability.sel(theta=pair, method="nearest")
ax = plot.slices(points, line, by=None)
ax.fill_between(line.gamma, -1, 1, where=line < 0, color="C1", alpha=0.15, lw=0)
ax.axhline(0, color="black", linewidth=0.6)
ax.set(ylim=(-0.6, 0.8), ylabel=r"transferability $\mathcal{T}$")

# %% [markdown]
# Nothing changes along {numref}`fig-one-pair` but the number of target samples. The two *distributions* are the same from left to right, so any function of the pair, whatever
# distance or divergence you like, is one number for the whole figure. The sign of transferability is not:

# %%
low, high = theory.negative_transfer_interval(pair, sigma)
onset = theory.negative_transfer_onset(pair, sigma)
print(f"large d:  sign changes at gamma = {low:.3f}, {high:.3f}, {onset:.3f}")
changes = n[1:][np.diff(np.sign(line.values)) != 0]
print(f"d = {d}:  first n of each new sign", changes.tolist())

# %% [markdown]
# :::{prf:proposition} No distance alone decides
# :label: prop-no-distance
#
# Let $\operatorname{dist}(p_s, p_t)$ be any function of the source and the target distribution. No rule "transfer if and only if $\operatorname{dist} \leq c$" is right for all numbers of samples, for any $c$: at the pair of
# {numref}`fig-one-pair` it gives one answer, and the right one changes three times.
# :::
#
# Two of the three changes are the double descent of the baseline. Against optimally regularised scratch training there is one, at $\gamma =$ {glue:text}`fair-change:.3f`
# ({prf:ref}`cor-fair-boundary`), and one is enough. What is excluded is a verdict from the distance *alone*. What, then, *do* distances measure, and what must one know beside them?
#
# ## Three distances, one ingredient
#
# Both tasks draw $x \sim \mathcal N(0, I_d)$ and $y = \beta \cdot x + \sigma \xi$. We compare the joint distributions $p_s$, $p_t$ of $(x, y)$.
#
# **Kullback and Leibler** {cite:p}`kullback1951`. At given $x$, two normal distributions of variance $\sigma^2$ whose means differ by $x \cdot (\beta_s - \beta_t)$; averaged over $x$,
#
# $$
# \mathrm{KL}(p_s \Vert p_t) = \frac{\lVert \beta_s - \beta_t \rVert^2}{2 \sigma^2} = \frac{1 - \cos\theta}{\sigma^2} .
# $$ (kl)
#
# **Wasserstein** {cite:p}`villani2009`. $\mathcal W_1$ is the least mean distance over which $p_s$ must be moved to become $p_t$. Moving only the label of each point, from $\beta_s \cdot x$ to $\beta_t \cdot x$, is one way, so
#
# $$
# \begin{aligned}
# \mathcal W_1(p_s, p_t) &\le \mathbb E\, \lvert x \cdot (\beta_s - \beta_t) \rvert \\
# &= \sqrt{\tfrac 2\pi}\, \lVert \beta_s - \beta_t \rVert .
# \end{aligned}
# $$ (w1-coupling)
#
# **Dudley** {cite:p}`dudley2002`. The largest difference $\lvert \mathbb E_s h - \mathbb E_t h \rvert$ over functions $h$ whose bound and Lipschitz constant sum to at most 1; it never exceeds 2. There is no closed form, but a bracket. From above, the
# same coupling; from below, any admissible $h$. For the latter `fatelib` takes the best *ramp* in the residual $u$ of a linear map $b$ and in its width $K$,
#
# $$
# \begin{aligned}
# h &= \frac{K}{K + 2} \Big( 1 - 2 \min \big( \tfrac{|u|}{K}, 1 \big) \Big) , \\
# u &= \frac{y - b \cdot x}{\sqrt{1 + \lVert b \rVert^2}} .
# \end{aligned}
# $$ (ramp)
#
# Under the coupling the labels differ by $r\, \xi$ with $r = \lVert \beta_s - \beta_t \rVert$ and $\xi \sim \mathcal N(0, 1)$, and an $h$ bounded by $\frac{K}{K + 2}$ changes by at most $\frac{2}{K + 2} \min(r \lvert \xi \rvert, K)$. So, with the worst $K$,
#
# $$
# \begin{aligned}
# \operatorname{dist}_{\text{Dudley}}&(p_s, p_t) \\
# &\le \max_K \frac{2}{K + 2}\, \mathbb E \min \big( r \lvert \xi \rvert, K \big) .
# \end{aligned}
# $$ (dudley-coupling)

# %%
#| tags: [hide-input]
#| name: fig-three-distances
#| caption: >-
#|   Distances between two tasks of unit norm over the angle, at $\sigma = 0.2$, each divided by the largest value of its curve: Kullback-Leibler {eq}`kl`, the coupling bound on $\mathcal W_1$ {eq}`w1-coupling`, and the
#|   bracket of the Dudley distance (band). The hump: the risk $\sin^2\theta$ of linear transfer.
#| alt: >-
#|   Three rising curves over angles from zero to pi, and a hump that rises to its maximum at ninety degrees and falls back to zero.
fine = np.linspace(0, np.pi, 121)
target = jnp.array([1.0, 0.0])
sources = jnp.stack([jnp.cos(fine), jnp.sin(fine)], axis=1)
kl = jax.vmap(lambda s: distances.kl_divergence(s, target, sigma))(sources)
w1 = jax.vmap(lambda s: distances.wasserstein_coupling_bound(s, target))(sources)
above = jax.vmap(lambda s: distances.dudley_coupling_bound(s, target))(sources)
below = jax.vmap(lambda s: distances.dudley_lower_bound(s, target, sigma))(sources)
fig, ax = plt.subplots()
ax.plot(fine, kl / kl.max(), label="Kullback-Leibler")
ax.plot(fine, w1 / w1.max(), label="Wasserstein, coupling bound")
band = {"color": "C2", "alpha": 0.3, "lw": 0, "label": "Dudley, between its bounds"}
ax.fill_between(fine, below / above.max(), above / above.max(), **band)
ax.plot(
    fine, np.sin(fine) ** 2, "k", label=r"risk of linear transfer, $\sin^2\theta$"
)
plot.angle_axis(ax.xaxis, np.pi / 4)
ax.set(
    xlabel=r"angle between the tasks $\theta$", ylabel="share of the largest value"
)
ax.legend()

# %% [markdown]
# For unit vectors and a given noise all three see one thing, the *chord* $\lVert \beta_s - \beta_t \rVert$: how different the outputs are. Linear transfer sees the *line* through $\beta_s$. Its last layer is free to rescale and to change sign, so
# $\beta_s$ and $-\beta_s$ are the same feature, although as tasks they are as far apart as two unit vectors can be. A distance between data sets compares functions; what is transferred is a feature space.
#
# Who knows that both norms are 1 gets from one to the other: a chord $r$ means $\cos\theta = 1 - r^2/2$. With $n$, $d$ and $\sigma$ beside it the chord then does decide, by {eq}`transferability-exact`: of all our
# cells (twelve angles, twelve $n$), it names the right sign in the {glue:text}`decided` where transferability differs from zero by more than four standard errors. Without the norms it does not decide even then ({numref}`ex-close-useless`).

# %%
#| tags: [build-only]
from myst_nb import glue

chord = np.asarray(w1)[10::10] / (2 / np.pi) ** 0.5
decided = exact(np.arccos((1 - chord**2 / 2).clip(-1, 1))[:, None], data.n.values)
mean = data.transferability.mean("instance")
error = data.transferability.std("instance", ddof=1) / data.sizes["instance"] ** 0.5
clear = abs(mean) > 4 * error
assert (np.sign(mean) == np.sign(decided)).where(clear, True).all()
assert clear.mean() > 0.8
glue("decided", int(clear.sum()), display=False)

# %% [markdown]
# ## Figure 4a of the paper
#
# The paper draws transferability against the Kullback-Leibler divergence. We let $\theta$ run over $[0, \pi]$: the fan of curves falls and *comes back* while the divergence keeps rising. Each number of samples has a curve of its own,
# so the same divergence goes with either sign.

# %%
#| tags: [hide-input]
#| name: fig-4a
#| caption: >-
#|   Transferability of linear transfer against the divergence {eq}`kl` of the tasks, for four numbers of samples, $\theta$ from $\pi/12$ to $\pi$. Points: mean of 20 instances at $d = 500$, $\sigma = 0.2$, exact solutions (`engine="limit"`),
#|   bars: one standard error; lines: exact theory. Dotted: 90°.
#| alt: >-
#|   Four curves shaped like valleys with their lowest points at the same divergence, shifted against one another vertically. Each crosses zero twice, at divergences of its own.
shown = [0.1, 0.5, 0.85, 1.5]
by_kl = data.assign_coords(kl=("theta", (1 - np.cos(thetas)) / sigma**2))
by_kl = by_kl.swap_dims(theta="kl").sel(gamma=shown)
valleys = xr.DataArray(
    exact(fine[:, None], np.round(np.array(shown) * d)),
    coords={"kl": np.asarray(kl), "gamma": shown},
)
ax = plot.slices(by_kl.transferability, valleys, x="kl", by="gamma")
ax.axhline(0, color="black", linewidth=0.6)
ax.axvline(1 / sigma**2, color="black", linestyle=":", linewidth=0.8)
ax.set(
    xlabel=r"$\mathrm{KL}(p_s \Vert p_t)$", ylabel=r"transferability $\mathcal{T}$"
)
ax.set_ylim(top=1.25)
ax.legend(ncols=4, loc="upper center")

# %%
#| tags: [check]
# All twelve angles and twelve numbers of samples are compared with the exact theory,
# also those that the figure does not show.
fatelib.agreement_table(
    {
        "transferability": (
            data.transferability,
            exact(thetas[:, None], data.n.values),
        )
    }
)

# %% [markdown]
# In fairness: *within* $[0, \pi/2]$ and at a fixed number of samples the divergence does order the tasks, as anything that grows with the angle would. Where zero is, it cannot say without $n$.
#
# Far apart, and perfect for transfer? Take $\beta_t = c\, \beta_s$. All three distances grow with $c$; for the Dudley distance the ramp {eq}`ramp` proves that it tends to 2, the most there is:

# %%
for c in (1, 10, 1e3, 1e5):
    source = jnp.array([0.6, 0.8])
    apart = distances.dudley_lower_bound(source, c * source, sigma)
    divergence = distances.kl_divergence(source, c * source, sigma)
    print(f"c = {c:8g}   Dudley >= {apart:.3f}   KL = {divergence:.3g}")

# %% [markdown]
# The angle is zero, though, and linear transfer fits its one number $c$ and is done, at every $n$. This is the message of Theorem A.2 of {cite:t}`tahir2025`: data sets as dissimilar as a metric allows can be ideal for transfer.
# It takes growing norms; for *unit* vectors $r \le 2$, and {eq}`dudley-coupling` keeps the Dudley distance below {glue:text}`dudley-unit`.
#
# ## Figure 4b: measuring noise
#
# In practice nobody knows $\beta_s$ and $\beta_t$; one has two samples, and the distance between *them* is an assignment problem {cite:p}`peyre2019`: pair the points of one with the points of the other so that the mean distance is least.
# {py:func}`fatelib.distances.empirical_wasserstein` solves it exactly. Two samples of 250 points, in 2 and in 500 dimensions, with the sum of absolute differences as the distance of two points, as in the paper:

# %%
turns = np.arange(5) * np.pi / 4
draws = 10


def empirical(dimension, theta, draw):
    """W1 between two samples; a draw has the same inputs at every angle."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(1), draw), 3)
    tasks = fatelib.LinearTasks.at_angle(keys[0], dimension, theta, sigma, sigma)
    first, second = (
        np.column_stack(tasks.sample(key, 250, source=source))
        for key, source in ((keys[1], True), (keys[2], False))
    )
    return distances.empirical_wasserstein(first, second, ground="l1")


wasserstein = xr.DataArray(
    [
        [[empirical(dim, t, i) for i in range(draws)] for t in turns]
        for dim in (2, d)
    ],
    dims=("dimension", "theta", "instance"),
    coords={"dimension": [2, d], "theta": turns},
)

# %%
#| tags: [hide-input]
#| name: fig-4b
#| caption: >-
#|   Wasserstein distance between two samples of 250 points against the angle between their tasks, in 2 dimensions (first) and in 500 (second). Thin lines: ten draws, each with the same inputs at all angles;
#|   points: their means. Dashed, in 2: the coupling bound {eq}`w1-coupling` between the distributions. Note the axis in 500: it spans a few units far from zero. $\sigma = 0.2$.
#| alt: >-
#|   In the first panel all lines rise together with the angle, along the dashed curve. In the second ten horizontal lines at different heights.
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8))
for ax, dim in zip(axes, (2, d), strict=True):
    part = wasserstein.sel(dimension=dim)
    ax.plot(turns, part, color="C0", alpha=0.35, linewidth=0.8)
    ax.plot(turns, part.mean("instance"), "o", color="C0")
    plot.angle_axis(ax.xaxis, np.pi / 4)
    ax.set(title=f"$d$ = {dim}", xlabel=r"angle between the tasks $\theta$")
axes[0].plot(fine, w1, "k--", label="coupling bound")
axes[0].set(ylabel=r"empirical $\mathcal{W}_1$", ylim=(0, None))
axes[0].legend()

# %%
for dim in (2, d):
    part = wasserstein.sel(dimension=dim)
    over_angles = float(np.ptp(part.mean("instance").values))
    over_draws = float(part.std("instance", ddof=1).mean())
    print(
        f"d = {dim:3}: mean {float(part.mean()):7.2f}, "
        f"range over angles {over_angles:.2f}, "
        f"standard deviation over draws {over_draws:.2f}"
    )
    # In two dimensions the tasks speak, in 500 the draw does.
    assert (over_angles > 5 * over_draws) == (dim == 2)
    assert (over_angles < over_draws) == (dim == d)

# %% [markdown]
# In two dimensions the estimate follows the tasks, above a floor of its own: two samples of one task are not at distance zero either. In 500 it makes next to no difference whether the two samples come from the *same* task ($\theta = 0$) or from opposite ones; the slight slope of the lines shows only because each keeps its inputs, which two data sets in the wild do not. What the estimate reports is how far apart 250 Gaussian points and 250 others lie:

# %%
same = wasserstein.sel(dimension=d, theta=0)
x, z = jax.random.normal(jax.random.key(2), (2, 250, d))
apart = np.abs(x[:50, None] - z[None, :50]).sum(axis=-1).mean()
bound = distances.wasserstein_coupling_bound(target, -target)
print(f"two points at random:  {apart:.0f} apart")
print(f"2 d / sqrt(pi):        {2 * d / np.pi**0.5:.0f}")
print(f"best pairing:          {same.mean():.0f}, for samples of one task")
print(f"true distance:         at most {bound:.2f}, for any two unit tasks")

# %%
#| tags: [build-only]
glue("dudley-unit", f"{float(above.max()):.3f}", display=False)
fair = float(theory.scratch_boundary(np.sin(pair) ** 2, sigma))
glue("fair-change", fair, display=False)
glue("w1-same", f"{float(same.mean()):.0f}", display=False)
glue("w1-bound", f"{float(bound):.1f}", display=False)
lowest, highest = (
    float(wasserstein.sel(dimension=d).min()),
    float(wasserstein.sel(dimension=d).max()),
)
glue("w1-range", f"{lowest:.1f} to {highest:.1f}", display=False)

# %% [markdown]
# The pairing gains a little on random pairs, because there are 250 partners to choose from. But the label is one coordinate of 501. An empirical measure of $n$ points converges only like $n^{-1/d}$ {cite:p}`fournier2015`: no number of samples that anyone
# will ever have brings {glue:text}`w1-same` down to the truth, which is below {glue:text}`w1-bound`.
#
# :::{admonition} Notes on the paper
# :class: note
#
# Two details of Appendix A of {cite:t}`tahir2025` deserve a correction. Neither touches its conclusion, which this chapter only makes stronger.
#
# - *Theorem A.2* promises positive transfer at a Dudley distance above $\delta$ "for every $\delta > 0$". The distance is at most 2, so this can hold for $\delta < 2$ only. The printed proof tests with a cosine, which
#   cannot get that far: the mean of the cosine of a centred normal variable lies between 0 and 1, so two such means differ by less than 1. The ramp {eq}`ramp` gives the lower bound that the theorem needs; the
#   numbers above show it tending to 2.
# - *Figure 4b* plots transferability against empirical Wasserstein distances, on an axis from 526 to 529. Our ten draws span {glue:text}`w1-range` at all angles alike: that axis shows the scatter of the draws, not a distance between the tasks.
# :::
#
# ## Turn it yourself
#
# All of $[0, \pi]$, every number of samples. The map is symmetric about 90°; no distance is. Follow a vertical line with the arrow keys: one pair, many $n$.

# %%
#| tags: [hide-input]
#| name: fig-explore-distances
#| caption: >-
#|   Transferability of linear transfer over all angles, for large $d$; the slider sets the noise. Hover, touch or use the arrow keys.
#| alt: >-
#|   Interactive map of transferability over angles from zero to pi and samples per dimension, symmetric about ninety degrees, with a slider for the noise.
from fatelib.widgets import explore

sigmas = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0])
angles = xr.DataArray(
    np.linspace(0, np.pi, 73), dims="theta", attrs={"units": "rad"}
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
# :::{exercise} Predict, then run: close, and useless
# :label: ex-close-useless
#
# Is there a pair of tasks with a smaller Kullback-Leibler divergence than the unit vectors at 45° of this chapter, for which transfer *loses* at a number of samples where it wins at 45°? With unit norms, and without?
# :::
#
# :::{solution-start} ex-close-useless
# :label: sol-close-useless
# :class: dropdown
# :::
#
# With unit norms there is none: at fixed $n$ and $\sigma$ transferability falls with $\sin^2\theta$, and so up to 90° with the divergence. With free norms there is. Tasks of norm $c$ have chords $c$ times as long, at any angle; relative to
# its signal such a task only looks noisier, $\sigma / c$ instead of $\sigma$. Two orthogonal tasks of norm 0.3:

# %%
few = 0.3
for name, norm, angle in (
    ("norm 0.3, 90 degrees", 0.3, np.pi / 2),
    ("norm 1.0, 45 degrees", 1.0, pair),
):
    target_ = norm * target
    source_ = norm * jnp.array([jnp.cos(angle), jnp.sin(angle)])
    divergence = distances.kl_divergence(source_, target_, sigma)
    T = norm**2 * theory.linear_transferability(few, angle, sigma / norm)
    print(f"{name}   KL = {divergence:.2f}, T at gamma = {few}: {T:+.3f}")
    assert (T > 0) == (norm == 1)

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} With pencil: close enough below one
# :label: ex-close-enough
#
# Unit norms, large $d$. For which divergences {eq}`kl` does linear transfer never lose for $\gamma < 1$? By {eq}`transferability-limit`, at given $\theta$ and $\sigma$ it loses somewhere below 1 exactly if $\sigma < 1 - \lvert \cos\theta \rvert$ (if you like, show this first). On which side of your bound is the pair of {numref}`fig-one-pair`? And why does that not contradict {prf:ref}`prop-no-distance`?
# :::
#
# :::{solution} ex-close-enough
# :label: sol-close-enough
# :class: dropdown
#
# Below one sample per dimension the risk of scratch training is $v + \sigma^2 (1 - v) / v$ with $v = 1 - \gamma$. This is $v + \sigma^2 / v - \sigma^2$, least at $v = \sigma$ (for $\sigma < 1$), where it is $2 \sigma - \sigma^2 = 1 - (1 - \sigma)^2$. Linear transfer has $\sin^2\theta = 1 - \cos^2\theta$ and loses there if $\lvert \cos\theta \rvert < 1 - \sigma$.
#
# By {eq}`kl`, $\cos\theta = 1 - \sigma^2\, \mathrm{KL}$. So transfer never loses below 1 where $\lvert 1 - \sigma^2\, \mathrm{KL} \rvert \ge 1 - \sigma$ (at equality there is a draw at $\gamma = 1 - \sigma$), that is
#
# $$
# \mathrm{KL} \le \frac1\sigma \quad \text{or} \quad \mathrm{KL} \ge \frac{2 - \sigma}{\sigma^2} :
# $$
#
# the closest pairs, and those nearly opposite. The pair of {numref}`fig-one-pair` has $\mathrm{KL} = (1 - \sqrt{1/2}) / \sigma^2$ with $\sigma = 1/5$, which lies between $1/\sigma = 5$ and $(2 - \sigma)/\sigma^2 = 45$: it loses somewhere, as the figure shows. There is no contradiction, because the bound needs $\sigma$, the unit norms and $\gamma < 1$ beside the distance. Beyond $\gamma = 1 + \sigma^2 / \sin^2\theta$ even the closest pair loses, unless it is one task.
# :::
#
# :::{exercise} Code: when does the estimate go blind?
# :label: ex-blind
#
# Between 2 and 500 dimensions, where does the empirical Wasserstein distance of 250 points stop telling opposite tasks from equal ones? Compare the difference with the standard deviation over draws.
# :::
#
# :::{solution-start} ex-blind
# :label: sol-blind
# :class: dropdown
# :::
#
# It fades long before 500 dimensions. In each draw the inputs are the same for both angles; somebody with real data has no such luxury, hence the comparison with the scatter of the draws.

# %%
for dim in (2, 5, 20, 80):
    equal, opposite = (
        np.array([empirical(dim, t, i) for i in range(6)]) for t in (0.0, np.pi)
    )
    difference = (opposite - equal).mean()
    print(
        f"d = {dim:2}: equal {equal.mean():6.2f}, opposite {opposite.mean():6.2f}, "
        f"difference {difference / equal.std(ddof=1):5.1f} standard deviations"
    )

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Your own pair: distance or line?
# :label: ex-own-pair
#
# You have a source model and labelled target samples. Apply the model to the target inputs. The mean square of its output minus the label is a distance, free of the curse of dimension. The squared correlation of the two is what linear transfer sees. Compute both, together with the leave-one-out error of a line fitted to the model's output. Then multiply the model's output by $-3$. What changes? Without a model of your own, take the tasks of this chapter at 45°.
# :::
#
# :::{solution} ex-own-pair
# :label: sol-own-pair
# :class: dropdown
#
# ```python
# rng = np.random.default_rng(0)
# inputs = rng.standard_normal((200, 500))
# beta, other = np.eye(500)[:2]
# labels = inputs @ beta + sigma * rng.standard_normal(200)
# output = inputs @ (beta + other) / 2**0.5  # your model here
#
#
# def left_out(z, y):
#     """Mean squared leave-one-out error of a line."""
#     Z = np.column_stack([np.ones_like(z), z])
#     hat = Z @ np.linalg.pinv(Z)
#     return np.mean(((y - hat @ y) / (1 - np.diag(hat))) ** 2)
#
#
# for z in (output, -3 * output):
#     apart = np.mean((z - labels) ** 2)
#     share = np.corrcoef(z, labels)[0, 1] ** 2
#     print(f"distance {apart:.2f}, squared correlation {share:.2f}, ", end="")
#     print(f"error of the line {left_out(z, labels):.2f}")
# ```
#
# The distance grows manyfold, the other two stay exactly what they were. For unit tasks the distance estimates $\lVert \beta_s - \beta_t \rVert^2 + \sigma^2$ and the squared correlation $\cos^2\theta / (1 + \sigma^2)$; the error of the line is near $\sin^2\theta + \sigma^2$. To decide, hold this error against that of training on the inputs alone, on the same samples: {py:func}`fatelib.diagnose <fatelib.probe.diagnose>` does it for every $n$ up to yours ({doc}`which-layer`).
# :::
#
# :::{exercise} Hard: how many samples would it take?
# :label: ex-how-many
#
# Show that for the $\ell_1$ distance of points the empirical $\mathcal W_1$ of two samples of $n$ points in $d$ dimensions is at least $d / \sqrt\pi$, whatever the tasks, unless $n$ is exponentially large in $d$. (For independent $v_j \ge 0$ bound the chance that $\sum_j v_j$ is small by $e^{-q v} \le 1 - q v + q^2 v^2 / 2$.) How many samples does it take at $d = 500$ for the bound to say nothing?
# :::
#
# :::{solution} ex-how-many
# :label: sol-how-many
# :class: dropdown
#
# The coordinates of $x - z$, from two independent inputs, are normal of variance 2. So $v_j = \lvert x_j - z_j \rvert$ has the mean $2/\sqrt\pi$ and the mean square 2. By the hint $\mathbb E\, e^{-q v_j} \le 1 - 2q/\sqrt\pi + q^2$, which is at most $e^{-2q/\sqrt\pi + q^2}$. By Markov's inequality for $e^{-q \sum_j v_j}$, the chance that the sum is below half of its mean, $d / \sqrt\pi$, is at most
#
# $$
# \begin{aligned}
# & e^{q d/\sqrt\pi} \big( e^{-2q/\sqrt\pi + q^2} \big)^d \\
# &= e^{-d\, (q/\sqrt\pi - q^2)} = e^{-d/(4\pi)}
# \end{aligned}
# $$
#
# at the best $q = 1/(2\sqrt\pi)$. There are $n^2$ pairs of points. So with a probability of at least $1 - n^2 e^{-d/(4\pi)}$ *no* pair is closer than $d/\sqrt\pi$, and then neither is the mean over the best pairing; the label only adds to the distances. The bound says nothing only from
#
# $$
# n = e^{d/(8\pi)}
# $$
#
# on: at $d = 500$, where $500/(8\pi) > 19$, more than $e^{19}$ samples, over a hundred million. Up to not far below that the estimate is at least $d/\sqrt\pi$, while the true distance of two unit tasks is at most $\sqrt{8/\pi}$ by {eq}`w1-coupling`.
#
# ```python
# print(f"bound {d / np.pi**0.5:.0f}, until n = {np.exp(d / (8 * np.pi)):.0e}")
# print(f"smallest estimate above: {float(wasserstein.sel(dimension=d).min()):.0f}")
# ```
# :::
#
# ## What to remember
#
# 1. One pair of tasks, every distance fixed, and the sign of transferability changes three times with the number of samples, once against optimally regularised scratch training: no
#    distance decides alone. With $n$, $d$, $\sigma$ and unit norms given, the chord does; with free norms not even then.
# 2. Distances see $\lVert \beta_s - \beta_t \rVert$, the difference of two functions. Transfer sees the angle between a target and a *feature space*.
# 3. In high dimension the empirical Wasserstein distance between two samples measures the draw, not the tasks.
