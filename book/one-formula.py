# %% [markdown]
# # One formula
#
# Somebody hands you $k$ features and $n$ labelled samples. You fit a linear model by least squares. How large will its risk be? In this
# chapter you will
#
# - see a risk that falls, explodes and falls again as features are added, and take it apart into three pieces,
# - find that scratch training of a deep linear network is the case $k = d$, and check it on trained networks,
# - understand the spike: why the mean is infinite there although no single risk is.

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
n, d, sigma = 100, 500, 0.2
shares = 1 / np.arange(1, d + 1) ** 2.0
shares /= shares.sum()  # of the target's squared norm, feature by feature


def least_squares(rng, n, k, beta, sigma, repeats):
    """Risks of least squares on the first k coordinates, one for each data set."""
    risks = []
    for _ in range(repeats):
        X = rng.standard_normal((n, len(beta)))
        y = X @ beta + sigma * rng.standard_normal(n)
        fitted = np.zeros_like(beta)
        fitted[:k] = np.linalg.lstsq(X[:, :k], y, rcond=None)[0]
        risks.append(np.sum((fitted - beta) ** 2))
    return risks


rng = np.random.default_rng(0)
counts = [1, 2, 4, 8, 12, 20, 30, 45, 60, 75, 90, 100, 110, 125, 150, 200, 300, 500]
measured = xr.DataArray(
    [least_squares(rng, n, k, np.sqrt(shares), sigma, repeats=40) for k in counts],
    dims=("k", "instance"),
    coords={"k": counts},
)

# %%
#| name: fig-features
#| caption: >-
#|   Risk against the number of features $k$, for $n = 100$ samples of a target in $d = 500$ dimensions whose squared coefficients fall like
#|   $1/i^2$; $\sigma = 0.2$. Points: least squares on the first $k$ coordinates, mean of 40 data sets, bars: one standard error. Line:
#|   the formula of this chapter.
#| alt: >-
#|   On a logarithmic scale the risk falls, rises to a pole where there are as many features as samples, and falls again to
#|   a second, higher minimum. The points lie on the line.
#| tags: [hide-input]
k = np.arange(1, d + 1)
inside = np.minimum(np.cumsum(shares), 1)
outside = 1 - inside
formula = theory.least_squares_risk(
    n, k, residual=outside, noise=sigma, signal=inside
)
curve = xr.DataArray(formula, coords={"k": k})
ax = plot.slices(measured, curve, x="k", by=None, label="least squares")
ax.set(xscale="log", yscale="log", ylim=(0.02, 40))
ax.set(xlabel="number of features $k$", ylabel="risk $R$")
ax.legend()

# %% [markdown]
# With few features the model cannot express the target. With more it can, and the risk falls. Then it climbs, has a pole where there are as
# many features as samples, and on the far side comes down again: **double descent** {cite:p}`belkin2019,belkin2020`. Still further out
# something else makes it grow. One line passes through all of it.
#
# ## Three pieces
#
# {prf:ref}`thm-least-squares` gives the expected risk for $k$ orthonormal Gaussian features and a target with squared norm $s$ in their
# span and $\rho$ outside. Its two branches are one sum of three pieces:
#
# $$
# R = \underbrace{\rho \vphantom{\frac{k}{k}}}_{\text{out of reach}}
#   + \underbrace{s \left( 1 - \frac nk \right)_{\!+}}_{\text{not seen}}
#   + \underbrace{(\sigma^2 + \rho)\, \frac{\min(n, k)}{\lvert n - k \rvert - 1}}_{\text{noise that was fitted}} .
# $$ (three-pieces)
#
# - **Out of reach**: what no combination of the features expresses. No amount of data helps.
# - **Not seen**: $n < k$ samples fix only $n$ directions of the $k$, chosen at random. In the others the minimum-norm solution answers 0.
# - **Noise that was fitted**: every label carries an error of variance $\sigma^2$, *plus* $\rho$.
#
# The last item is the heart of the formula. Gaussian inputs that are uncorrelated are independent, so the features say nothing about the
# part of the target outside their span: to the fit it is label noise.

# %%
#| tags: [hide-input]
#| name: fig-pieces
#| caption: The line of {numref}`fig-features`, taken apart as in {eq}`three-pieces`. The spike belongs to one piece only.
#| alt: >-
#|   Three stacked areas against the number of features. The part out of reach falls towards zero, the part not seen exists only
#|   beyond a hundred features, and the fitted noise makes the spike.
missed = np.where(k > n, inside * (1 - n / k), 0)
with np.errstate(invalid="ignore"):  # infinite risk minus finite pieces
    fitted_noise = np.clip(np.asarray(formula) - outside - missed, 0, 40)
fig, ax = plt.subplots()
labels = ["out of reach", "not seen", "noise that was fitted"]
ax.stackplot(k, outside, missed, fitted_noise, labels=labels, alpha=0.75)
ax.set(ylim=(0, 2), xlim=(0, d), xlabel="number of features $k$", ylabel="risk $R$")
ax.legend()

# %% [markdown]
# Nothing was taken to a limit: {eq}`three-pieces` is exact for every $n$ and $k$. The mean over data sets of $\operatorname{tr}(Z^\top Z)^{-1}$ is known
# for Gaussian $Z$, that is all. Points where the mean of 40 draws is no fair measure yet, $\lvert n - k \rvert \le 5$, are left out; we
# come to them below.

# %%
at = curve.sel(k=counts)
fatelib.agreement_table({"risk": (measured, at)}, where=abs(measured.k - n) > 5)

# %% [markdown]
# ## Scratch training is the case $k = d$
#
# A deep linear network, $f(x) = x W_1 \cdots W_L$, has many weights, but as a function it is one vector $\beta$ of $d$ numbers. With $n < d$
# samples infinitely many $\beta$ fit the labels. Which one does gradient descent find?
#
# :::{prf:theorem} Small initial weights lead to minimum norm
# :label: thm-minimum-norm
#
# Let a deep linear network be trained by gradient descent on $X$ and $y$, from weights of scale $\alpha$, to a minimum of the loss at which
# $W_2 \cdots W_L$ is finite and not zero. Then for $\alpha \to 0$ it computes the solution of minimum norm, $\beta \to X^+ y$.
# :::
#
# :::{prf:proof}
# The gradient of $W_1$ is $X^\top(\cdots)$: its columns lie in the row space of $X$. So with the projector $P = X^+ X$ on that space,
# $(I - P) W_1$ never moves. Write $w = W_2 \cdots W_L$ for the rest of the network. Where the loss is minimal, $P \beta = X^+ y$, and therefore
#
# $$
# \beta = X^+ y + (I - P)\, W_1(0)\, w ,
# $$ (remainder)
#
# in which the second term is of the order of $\alpha$. (For $n \ge d$ it is zero.)
# :::
#
# These are Theorems 3.5 and 3.6 of {cite:t}`tahir2025`, for which {eq}`remainder` is a short road. The equation can be held against a
# network:

# %%
small = 60
tasks = fatelib.LinearTasks.at_angle(jax.random.key(0), small, 0.0, sigma=sigma)
X, y = tasks.sample(jax.random.key(1), n=30)
minimum_norm = jnp.linalg.pinv(X) @ y
unseen = jnp.eye(small) - jnp.linalg.pinv(X) @ X
key = jax.random.key(2)
print("scale    |beta - X^+ y|   |(I - P) W_1(0) w|")
for scale in (1e-1, 1e-2, 1e-3, 1e-4):
    start = fatelib.DeepLinear.init(key, small, depth=2, scale=scale)
    result = fatelib.scratch(
        key, tasks, X, y, scale=scale, absolute_tolerance=1e-10
    )
    distance = jnp.linalg.norm(result.network.end_to_end() - minimum_norm)
    remainder = unseen @ start.weights[0] @ result.network.weights[1][:, 0]
    print(f"{scale:.0e}    {distance:10.2e}   {jnp.linalg.norm(remainder):16.2e}")
    assert abs(distance - jnp.linalg.norm(remainder)) < 1e-4

# %% [markdown]
# The distance is the remainder of the initial weights, and falls in proportion to their scale. So a network trained from scratch is least squares
# on all $d$ coordinates: nothing is out of reach, $\rho = 0$ and $s = 1$, and {eq}`three-pieces` becomes with $\gamma = n/d$
#
# $$
# R_{\text{scratch}} \to
# \begin{cases}
# 1 - \gamma + \sigma^2\, \dfrac{\gamma}{1 - \gamma} & \gamma < 1, \\[2ex]
# \dfrac{\sigma^2}{\gamma - 1} & \gamma > 1 ,
# \end{cases}
# $$ (scratch-limit)
#
# which is eq. 8 of {cite:t}`tahir2025`. Their experiment is next: two layers, $d = 500$, full-batch gradient descent with learning rate 0.1
# for at most $10^4$ steps or to a training loss within $10^{-6}$ of its minimum. The engine `spectral` starts from the state that small random
# weights reach first, one direction, and from there takes the very steps of gradient descent.

# %%
#| tags: [remove-output]
gammas = np.arange(1, 21) / 10
data = fatelib.phase_diagram(
    "linear_transfer",
    [np.pi / 2],
    gammas,
    d=d,
    sigma=[0.0, 0.2],
    instances=20,
    key=jax.random.key(3),
    learning_rate=0.1,
    engine="spectral",
).isel(theta=0)

# %%
#| tags: [hide-input]
#| name: fig-scratch
#| caption: >-
#|   Risk of scratch training without and with label noise. Points: two-layer networks trained by the engine `spectral`, $d = 500$, mean of 20 instances, bars:
#|   one standard error, hollow: not converged in $10^4$ steps. Lines: {eq}`three-pieces` with $k = d$. Dashed: the best that
#|   any weight decay can do at $\sigma = 0.2$.
#| alt: >-
#|   Without noise the risk falls in a straight line to zero at gamma equal to one and stays there. With noise it has a spike there.
#|   The points lie on the lines. The dashed curve falls smoothly below the spike.
samples = np.arange(5, 2 * d + 1)
exact = xr.DataArray(
    theory.least_squares_risk(samples, d, noise=data.sigma.values[:, None]),
    coords={"sigma": data.sigma.values, "gamma": samples / d},
)
ax = plot.slices(data.risk_scratch, exact, by="sigma", converged=data.converged)
best = theory.optimal_scratch_risk(samples / d, 0.2)
ax.plot(samples / d, best, "k--", label="regularised")
ax.set(ylim=(-0.02, 1.6), ylabel="risk $R$")
ax.legend()

# %% [markdown]
# Without noise there is nothing to amplify and the spike is gone. The dashed line is a preview: a *regularised* network has no
# spike either, however noisy the labels {cite:p}`dobriban2018`. {doc}`the-baseline-matters` draws the
# consequences.
#
# How well do points and lines agree? With noise, and below $\gamma = 1$, in standard errors. Above $\gamma = 1$ and without noise the theory says
# *zero*, and the networks are stopped when the loss is within $\varepsilon = 10^{-6}$ of its minimum: their risk may be as large as $\varepsilon$ divided by the
# smallest eigenvalue of $X^\top X / n$, which is $(1 - 1/\sqrt\gamma)^2$ for large $d$. We give the risk in units of that bound, and accept twice the bound because at finite
# $d$ the eigenvalue scatters.

# %%
theory_at = xr.DataArray(
    theory.least_squares_risk(data.n.values, d, noise=data.sigma.values[:, None]),
    coords={"sigma": data.sigma.values, "gamma": gammas},
)
fits = (data.sigma > 0) | (data.gamma < 1)
away = abs(data.n - d) > 25
fatelib.agreement_table(
    {"scratch": (data.risk_scratch, theory_at)}, where=fits & away
)

# %%
bound = 1e-6 / (1 - 1 / np.sqrt(data.gamma)) ** 2
noiseless = data.risk_scratch.sel(sigma=0) / bound
fatelib.agreement_table(
    {
        "scratch, without noise, in units of the bound": (
            noiseless.max("instance"),
            0.0,
        )
    },
    over=None,
    tolerance=2.0,
    where=data.gamma > 1,
)

# %% [markdown]
# ## How large is large?
#
# {eq}`scratch-limit` is a limit, {eq}`three-pieces` is not. At $d = 500$ nobody sees the difference. At $d = 20$ everybody does:

# %%
few, loud = 20, 1.0
beta = np.full(few, few**-0.5)
sizes = [4, 8, 10, 12, 14, 26, 28, 30, 34, 40]
draws = xr.DataArray(
    [least_squares(rng, m, few, beta, loud, repeats=2000) for m in sizes],
    dims=("gamma", "instance"),
    coords={"gamma": np.array(sizes) / few},
)

# %%
#| tags: [hide-input]
#| name: fig-finite
#| caption: >-
#|   Scratch risk in $d = 20$ dimensions at $\sigma = 1$. Points: mean of 2,000 data sets, bars (smaller than the points): one standard error. Solid: the exact
#|   {eq}`three-pieces`. Dashed: its limit {eq}`scratch-limit`.
#| alt: >-
#|   Two curves with a pole at gamma equal to one. The dashed one runs visibly below the solid one near the pole; the points lie on the solid one.
grid = np.concatenate([np.linspace(0.15, 0.89, 100), np.linspace(1.11, 2.0, 100)])
grid = np.insert(grid, 100, np.nan)  # a gap in the line at the pole
left = np.where(np.isnan(grid), 1, grid)
solid = np.where(
    np.isnan(grid), np.nan, theory.least_squares_risk(left * few, few, noise=loud)
)
ax = plot.slices(
    draws, xr.DataArray(solid, coords={"gamma": grid}), by=None, label="exact"
)
dashed = np.where(np.isnan(grid), np.nan, theory.scratch_risk(left, loud))
ax.plot(grid, dashed, "k--", label="limit")
ax.set(ylim=(0, 8), ylabel="risk $R$")
ax.legend()

# %%
fatelib.agreement_table(
    {"d = 20": (draws, theory.least_squares_risk(np.array(sizes), few, noise=loud))}
)

# %%
#| tags: [build-only]
from myst_nb import glue

error = draws.std("instance", ddof=1) / np.sqrt(draws.sizes["instance"])
off = abs(draws.mean("instance") - theory.scratch_risk(np.array(sizes) / few, loud))
off = (off / error).max()
assert off > 4
glue("limit-off", float(off), display=False)

# %% [markdown]
# Against the limit, the same points are off by up to {glue:text}`limit-off:.0f` standard errors. The two denominators differ by one in $\lvert n - d \rvert$: the limit may be used
# once $\lvert n - d \rvert \gg 1$, which is a matter of the distance from the pole and not of $d$ alone.
#
# ## The spike: an infinite mean of finite risks
#
# Any single square matrix of Gaussian numbers can be inverted, so every single risk at $n = k$ is finite. Why is the mean infinite? Noise enters
# the solution divided by the singular values of $Z$, and what counts is the smallest, $s_{\min}$: the risk contains $\sigma^2 / s_{\min}^2$.
# Far from $n = k$ this value hardly varies. Near it, it is broadly distributed and comes arbitrarily close to zero.
#
# :::{prf:theorem} Tail of the risk
# :label: thm-tail
#
# For noisy labels and $g = \lvert n - k \rvert$, the risk of one data set exceeds a large $t$ with probability proportional to
#
# $$
# \mathbb P(R > t) \propto t^{-(g + 1)/2} .
# $$ (tail)
#
# Hence its mean is finite exactly when $g > 1$, and its variance exactly when $g > 3$.
# :::
#
# :::{prf:proof}
# The smallest eigenvalue $\lambda$ of a Wishart matrix has density proportional to $\lambda^{(g - 1)/2}$ near zero {cite:p}`edelman1988`. So
# $\mathbb P(1/\lambda > t) \propto t^{-(g+1)/2}$, and the Gaussian factor that multiplies it has all moments and leaves the power as it is. A power law
# $t^{-a}$ has a mean for $a > 1$ and a variance for $a > 2$.
# :::
#
# The first statement is the pole of {eq}`three-pieces`. The second is practical advice: for $\lvert n - k \rvert \le 3$ *a standard error means nothing*, no matter
# how many repetitions it is computed from, and a little beyond it is not to be trusted. This is why our tables leave a neighbourhood of $n = k$ out.

# %%
tail_k, gaps, repeats = 4, [0, 1, 2, 4], 40_000
excess = {}
for gap in gaps:
    Z = rng.standard_normal((repeats, tail_k + gap, tail_k))
    noise = rng.standard_normal((repeats, tail_k + gap, 1))
    solution = np.linalg.solve(
        np.swapaxes(Z, 1, 2) @ Z, np.swapaxes(Z, 1, 2) @ noise
    )
    excess[gap] = np.sort(np.sum(solution**2, axis=(1, 2)))[::-1]

# %%
#| tags: [hide-input]
#| name: fig-tail
#| caption: >-
#|   How often the fitted noise exceeds $t$, for $k = 4$ features and $n = k + g$ samples, $\sigma = 1$, over 40,000 data sets each
#|   (solid). Dashed: the power laws {eq}`tail`, through the hundredth largest value.
#| alt: >-
#|   Four curves on logarithmic axes that fall along straight lines, the flattest for g equal to zero, steeper for larger g.
fig, ax = plt.subplots()
frequency = np.arange(1, repeats + 1) / repeats
for i, gap in enumerate(gaps):
    ax.plot(excess[gap], frequency, color=f"C{i}", label=f"g = {gap}")
    t = excess[gap][99] * np.array([0.1, 30.0])
    law = frequency[99] * (t / excess[gap][99]) ** (-(gap + 1) / 2)
    ax.plot(t, law, "--", color=f"C{i}", linewidth=0.9)
ax.set(xscale="log", yscale="log", xlabel="$t$", ylabel=r"$\mathbb{P}(R > t)$")
ax.set(xlim=(1e-2, 1e8), ylim=(2e-5, 1.2))
ax.legend()

# %% [markdown]
# The exponent can be measured: over the $q$ largest of all values, the mean of $\log(R / R_q)$ is $1/a$, with a relative error of $1/\sqrt q$. The folded cell does it.

# %%
#| tags: [hide-cell]
q = 200
logs = xr.DataArray(
    [np.log(excess[gap][:q] / excess[gap][q]) for gap in gaps],
    dims=("g", "draw"),
    coords={"g": gaps},
)
fatelib.agreement_table(
    {"1 / exponent of the tail": (logs, 2 / (np.array(gaps) + 1))}, over="draw"
)

# %% [markdown]
# What does a network do at the spike? To follow the direction of $s_{\min}$ gradient descent needs a time of order $n / s_{\min}^2$, and the hollow points of
# {numref}`fig-scratch` were stopped before. An early end acts like a little regularisation, and the spike that one measures is a matter of patience.
#
# ## Turn it yourself
#
# Seven numbers of features, any residual, any noise. Set both sliders to zero and watch the spikes vanish; then raise *either* one. A residual alone
# is enough: a target that the features cannot express makes their double descent.

# %%
#| tags: [hide-input]
#| name: fig-explore-features
#| caption: >-
#|   Expected risk {eq}`three-pieces` against the number of samples $n$, one curve for each number of features $k$; the target has squared norm $\rho$
#|   outside their span and $1 - \rho$ inside. The values are exact; next to the poles, where they exceed 50, they are left out.
#| alt: >-
#|   Interactive curves of risk against the number of samples for seven numbers of features, with sliders for the residual and the noise.
from fatelib.widgets import explore

features = np.array([1, 10, 30, 60, 100, 200, 400])
residuals = np.linspace(0, 0.9, 10)
noises = np.array([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0])
n_axis = np.arange(2, 601, 2)
rho = residuals[:, None, None, None]
risks = theory.least_squares_risk(
    n_axis,
    features[:, None],
    residual=rho,
    noise=noises[:, None, None],
    signal=1 - rho,
)
# Next to a pole the values are left out, so that all others keep their digits.
risks = np.where((risks > 50) & np.isfinite(risks), np.nan, risks)
family = xr.DataArray(
    risks,
    coords={"rho": residuals, "sigma": noises, "k": features, "n": n_axis},
    name="R",
    attrs={"long_name": "risk"},
)
family.rho.attrs["long_name"] = "residual"
family.sigma.attrs["long_name"] = "noise"
family.n.attrs["long_name"] = "samples"
where = {"n": 150, "k": 30, "rho": 0.2, "sigma": 0.2}
explore(family, x="n", lines="k", at=where, limit=2, missing="more than 50")

# %% [markdown]
# ## Exercises
#
# :::{exercise} When more data hurt
# :label: ex-more-data-hurt
#
# Below $\gamma = 1$, from which $\gamma_*$ on does the scratch risk {eq}`scratch-limit` *rise* with every further sample? You are given $n = d$ samples with $\sigma = 0.2$. What risk
# can you have by throwing some of them away, and up to which $\gamma > 1$ is it worth it?
# :::
#
# :::{solution-start} ex-more-data-hurt
# :label: sol-more-data-hurt
# :class: dropdown
# :::
#
# The derivative $-1 + \sigma^2 / (1 - \gamma)^2$ vanishes at $\gamma_* = 1 - \sigma$, for $\sigma < 1$, where the risk is $2\sigma - \sigma^2$. The branch above 1
# is better again from $\sigma^2 / (\gamma - 1) < 2 \sigma - \sigma^2$ on, that is for $\gamma > 1 + \sigma / (2 - \sigma)$. In between, throw samples away. (Better: regularise.)

# %%
star, back = 1 - 0.2, 1 + 0.2 / (2 - 0.2)
slope = jax.grad(theory.scratch_risk)(star, 0.2)
print(f"slope at gamma = {star:.2f}: {slope:.1e}")
print(f"risk there {theory.scratch_risk(star, 0.2):.3f}, ", end="")
print(f"and again at gamma = {back:.3f}: {theory.scratch_risk(back, 0.2):.3f}")
assert abs(theory.scratch_risk(star, 0.2) - theory.scratch_risk(back, 0.2)) < 1e-5

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} How many features?
# :label: ex-how-many-features
#
# For the target of {numref}`fig-features`, which number $k$ of features has the smallest risk at $n = 25$, 100, 400 and 1600 samples? Explain how it
# grows with $n$ when $n \gg k$.
# :::
#
# :::{solution-start} ex-how-many-features
# :label: sol-how-many-features
# :class: dropdown
# :::
#
# For $1/i^2$ the residual is about $c/k$ with a constant $c$ of order one. For $n \gg k$ the risk is about $c/k + \sigma^2 k/n$, with its minimum at $k \approx \sqrt{c\, n}/\sigma$: four times the
# samples, twice the features. Few samples ask for fewer features than that, because the residual, too, is noise to be fitted.

# %%
constant = outside[99] * 100
for m in (25, 100, 400, 1600):
    risk = theory.least_squares_risk(
        m, k, residual=outside, noise=sigma, signal=inside
    )
    print(
        f"n = {m:4}: best k = {k[np.argmin(risk)]:3}, "
        f"sqrt(c n) / sigma = {np.sqrt(constant * m) / sigma:.0f}"
    )

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
#
# 1. Risk is what is out of reach, plus what is not seen, plus noise that was fitted; what is out of reach counts as noise a second time.
# 2. Scratch training from small weights is minimum-norm least squares on all $d$ coordinates.
# 3. The spike is a broad distribution of the smallest singular value. Near it distrust means, standard errors, and unregularised baselines.
#
# Linear transfer is the same formula with few features: {doc}`linear-transfer`.
