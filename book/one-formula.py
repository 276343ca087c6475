# %% [markdown]
# # One formula
#
# Somebody hands you $k$ features and $n$ labelled samples. You fit a linear model by least squares. How large will its risk be, and do more features help? One formula with three pieces answers both.

# %%
#| tags: [hide-input]
#| name: fig-pieces
#| caption: >-
#|   Expected risk of least squares on the first $k$ of $d = 500$ features, for $n = 100$ samples, in the three pieces of {eq}`three-pieces` (cut at 2). The squared coefficients of the target fall like $1/i^2$; label noise $\sigma = 0.2$.
#| alt: >-
#|   Three stacked areas against the number of features. The part out of reach falls towards zero, the part not seen exists only beyond a hundred features, and the fitted noise makes a spike at one hundred.
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import plot, theory

plt.style.use("fatelib.style")

n, d, sigma = 100, 500, 0.2
k = np.arange(1, d + 1)
shares = 1 / k**2.0
shares /= shares.sum()  # of the target's squared norm, feature by feature
inside = np.minimum(np.cumsum(shares), 1)
outside = 1 - inside
formula = theory.least_squares_risk(
    n, k, residual=outside, noise=sigma, signal=inside
)
missed = np.where(k > n, inside * (1 - n / k), 0)
with np.errstate(invalid="ignore"):  # infinite risk minus finite pieces
    fitted_noise = np.clip(np.asarray(formula) - outside - missed, 0, 40)
fig, ax = plt.subplots()
labels = ["out of reach", "not seen", "noise that was fitted"]
ax.stackplot(k, outside, missed, fitted_noise, labels=labels, alpha=0.75)
ax.set(ylim=(0, 2), xlim=(0, d), xlabel="number of features $k$", ylabel="risk $R$")
ax.legend()

# %% [markdown]
# With few features the model cannot express the target. With more it can, and the risk falls. Then it climbs, has a pole where there are as many features as samples, and on the far side comes down again: **double descent** {cite:p}`belkin2019,belkin2020`. Still further out it grows again, since few samples see little of many features: that is the second piece below.
#
# ## What one would guess
# More features express more, so the risk falls, until there are more features than samples. From then on a model can go through every label, noise and all, and should be worthless. But beyond $k = n$ the risk *falls*, and before $k = n$ it has been rising for long.
#
# ## The experiment in ten lines


# %%
def least_squares(rng, n, k, beta, sigma):
    """Risk of least squares on the first k coordinates, for one data set."""
    X = rng.standard_normal((n, len(beta)))
    y = X @ beta + sigma * rng.standard_normal(n)
    fitted = np.zeros_like(beta)
    fitted[:k] = np.linalg.lstsq(X[:, :k], y, rcond=None)[0]
    return np.sum((fitted - beta) ** 2)


rng, beta = np.random.default_rng(0), np.sqrt(shares)
counts = [1, 2, 4, 8, 12, 20, 30, 45, 60, 75, 90, 100, 110, 125, 150, 200, 300, 500]
risks = [[least_squares(rng, n, c, beta, sigma) for _ in range(40)] for c in counts]
measured = xr.DataArray(risks, dims=("k", "instance"), coords={"k": counts})

# %%
#| tags: [hide-input]
#| name: fig-features
#| caption: >-
#|   Risk against the number of features $k$, for the target of {numref}`fig-pieces`. Points: least squares on the first $k$ coordinates, mean of 40 data sets, bars: one standard error. Line: {eq}`three-pieces`. $n = 100$, $d = 500$, $\sigma = 0.2$.
#| alt: >-
#|   On a logarithmic scale the risk falls, rises to a pole where there are as many features as samples, and falls again to a second, higher minimum. The points lie on the line.
curve = xr.DataArray(formula, coords={"k": k})
ax = plot.slices(measured, curve, x="k", by=None, label="least squares")
ax.set(xscale="log", yscale="log", ylim=(0.02, 40))
ax.set(xlabel="number of features $k$", ylabel="risk $R$")
ax.legend()

# %%
#| tags: [check]
# Next to the pole the risks of single data sets have no finite variance, and the mean of 40 is no fair measure of their expectation: numbers of
# features with $|n - k| \le 5$ are left out.
at = curve.sel(k=counts)
fatelib.agreement_table({"risk": (measured, at)}, where=abs(measured.k - n) > 5)

# %% [markdown]
# ## Three pieces
#
# :::{prf:theorem} Risk of least squares on $k$ features
# :label: thm-least-squares
# Fit $n$ samples by least squares (of minimum norm where it is not unique) on $k$ orthonormal Gaussian features of Gaussian inputs. Let the target, linear in the inputs, have squared norm $S$ inside the span of the features and $\rho$ outside. Then the expected risk $R(n, k; \rho, S)$ is
#
# $$
# \begin{aligned} & n > k + 1: \\ & R = \rho + \frac{(\sigma^2 + \rho)\, k}{n - k - 1} , \\[1ex] & n < k - 1: \\ & R = \rho + S \left(1 - \frac nk\right) \\ & \qquad + \frac{(\sigma^2 + \rho)\, n}{k - n - 1} , \end{aligned}
# $$ (least-squares)
#
# and, unless $\sigma = \rho = 0$, infinite when $|n - k| \le 1$.
# :::
#
# Both lines are one sum,
#
# $$
# \begin{aligned} R = {} & \underbrace{\rho \vphantom{\frac nk}}_{\text{out of reach}} + \underbrace{S \left( 1 - \frac nk \right)_{\!+}}_{\text{not seen}} \\ & + \underbrace{(\sigma^2 + \rho)\, \frac{\min(n, k)}{\lvert n - k \rvert - 1}}_{\text{noise that was fitted}} . \end{aligned}
# $$ (three-pieces)
#
# - **Out of reach**: what no combination of the features expresses. No amount of data helps.
# - **Not seen**: $n < k$ samples fix only $n$ directions of the $k$, chosen at random. In the others the minimum-norm solution answers 0.
# - **Noise that was fitted**: every label carries an error of variance $\sigma^2$, *plus* $\rho$.
#
# Nothing was taken to a limit: this is exact for every $n$ and $k$.
#
# :::{prf:proof}
# **What is out of reach acts as noise.** Write the labels as $y = Z u + e$, with $Z$ the $n \times k$ values of the features and $\lVert u \rVert^2 = S$. The part of the target outside the span is Gaussian and uncorrelated with the features, hence independent of them: to the fit it *is* noise. So $e$ has independent entries of variance $v = \sigma^2 + \rho$.
#
# **One feature.** Its fitted coefficient $\hat u$ is off by $\hat u - u = \sum_i z_i e_i / q$ with $q = \sum_i z_i^2$. For given $z$ that has mean square $v/q$, so we need the mean of $1/q$. A sum of $n$ squares of standard normal numbers has a density proportional to $\varphi(q) = q^{n/2 - 1} e^{-q/2}$. Integrate by parts:
#
# $$
# \begin{aligned} & \int_0^\infty \varphi(q)\, dq \\ & \quad = (n - 2) \int_0^\infty \frac{\varphi(q)}{q}\, dq . \end{aligned}
# $$ (by-parts)
#
# Divided by the left side this says $1 = (n - 2)\, \mathbb E \frac 1q$. The mean of $1/q$ is $1/(n - 2)$, for $n > 2$.
#
# **Each further feature takes one sample away.** Let $h_j$ be the part of column $j$ of $Z$ that is orthogonal to the $k - 1$ other columns. The residual of the fit, $y - Z \hat u = Z(u - \hat u) + e$, is orthogonal to all columns and so to $h_j$. In that product only column $j$ survives: $0 = (u_j - \hat u_j) \lVert h_j \rVert^2 + h_j \cdot e$. Hence
#
# $$
# \hat u_j - u_j = \frac{h_j \cdot e}{\lVert h_j \rVert^2} ,
# $$ (one-of-many)
#
# one feature again, $h_j$ instead of $z$. For given $Z$ its mean square is $v / \lVert h_j \rVert^2$. A column is a vector of $n$ independent normal numbers, which looks the same from all directions. Orthogonal to $k - 1$ others there are $n - k + 1$ directions left, so $\lVert h_j \rVert^2$ is a sum of that many squares, and by the previous step the mean of its inverse is $1/(n - k - 1)$. There are $k$ coefficients: the mean of $\lVert \hat u - u \rVert^2$ is $v\, k/(n - k - 1)$.
#
# **More features than samples.** Now the fit sees the projection of $u$ on $n$ random directions of $k$ and loses $S\,(1 - n/k)$. The noise enters as $Z^+ e$, for given $Z$ of mean square $v \operatorname{tr} (Z Z^\top)^{-1}$. With $n > k$ it was $v \operatorname{tr} (Z^\top Z)^{-1}$, which we found to be $k\, v/(n - k - 1)$ on average. Exchange rows and columns, that is $n$ and $k$: it is $n\, v/(k - n - 1)$.
# :::
#
# **Why there is a pole.** At $n = k$ each column has *one* direction left, and $\lVert h_j \rVert^2$ is the square of a single normal number: often close to zero, and we divide by it. With 20 samples to spare it is a sum of 21 squares, and hardly ever small.
#
# (Features need not be orthonormal as long as $n > k + 1$: least squares rescales them as it likes. With fewer samples, or with a ridge, large features are learned first: {numref}`ex-unequal-features`.)
#
# ## Scratch training is the case $k = d$
# A deep linear network, $f(x) = x W_1 \cdots W_L$, has many weights, but as a function it is one vector $\beta$ of $d$ numbers. With $n < d$ samples infinitely many $\beta$ fit the labels. Which one does gradient descent find?
#
# :::{prf:theorem} Small initial weights lead to minimum norm
# :label: thm-minimum-norm
# Let a deep linear network be trained by gradient descent on $X$ and $y$, from weights of scale $\alpha$, to a minimum of the loss at which $W_2 \cdots W_L$ is finite and not zero. Then for $\alpha \to 0$ it computes the solution of minimum norm, $\beta \to X^+ y$.
# :::
#
# :::{prf:proof}
# Let $w = W_2 \cdots W_L$ be the network behind its first layer, so $\beta = W_1 w$. The gradient of the loss in $\beta$ is $G = \frac2n X^\top (X \beta - y)$, and in $W_1$ it is $G w^\top$: its columns lie in the row space of $X$. So with the projector $P = X^+ X$ on that space, $(I - P) W_1$ never moves. At the minimum $G w^\top = 0$ with $w \ne 0$, so $G = 0$, which says $P \beta = X^+ y$. Therefore $\beta = P \beta + (I - P)\, \beta$ is
#
# $$
# \begin{aligned} \beta = {} & X^+ y \\ & + (I - P)\, W_1(0)\, w , \end{aligned}
# $$ (remainder)
#
# in which the second term is of the order of $\alpha$. (For $n \ge d$ it is zero.)
# :::
#
# These are Theorems 3.5 and 3.6 of {cite:t}`tahir2025`, for which {eq}`remainder` is a short road. Hold the equation against a network:

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
    found = fatelib.scratch(key, tasks, X, y, scale=scale, absolute_tolerance=1e-10)
    distance = jnp.linalg.norm(found.network.end_to_end() - minimum_norm)
    remainder = unseen @ start.weights[0] @ found.network.weights[1][:, 0]
    print(f"{scale:.0e}    {distance:10.2e}   {jnp.linalg.norm(remainder):16.2e}")
    assert abs(distance - jnp.linalg.norm(remainder)) < 1e-4

# %% [markdown]
# The distance is the remainder of the initial weights, and falls in proportion to their scale. So a network trained from scratch is least squares on all $d$ coordinates: nothing is out of reach, $\rho = 0$ and $S = 1$. For large $d$, {eq}`three-pieces` becomes with $\gamma = n/d$
#
# $$
# \begin{aligned} \gamma < 1: \; & R_{\text{scratch}} \to 1 - \gamma + \frac{\sigma^2 \gamma}{1 - \gamma} \\[1ex] \gamma > 1: \; & R_{\text{scratch}} \to \frac{\sigma^2}{\gamma - 1} , \end{aligned}
# $$ (scratch-limit)
#
# which is eq. 8 of {cite:t}`tahir2025`. Their experiment is next. To save time its networks do not start from random weights, but (`engine="spectral"`) from the state that small ones reach first, one direction; from there on the steps are those of gradient descent.

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
#|   Risk of scratch training without and with label noise. Points: two-layer networks trained by the engine `spectral`, $d = 500$, mean of 20 instances, bars: one standard error, hollow: not converged in $10^4$ steps. Full-batch gradient descent with learning rate 0.1, until the training loss is within $10^{-6}$ of its minimum. Lines: {eq}`three-pieces` with $k = d$. Dashed: the best that any weight decay can do at $\sigma = 0.2$.
#| alt: >-
#|   Without noise the risk falls in a straight line to zero at gamma equal to one and stays there. With noise it has a spike there. The points lie on the lines. The dashed curve falls smoothly below the spike.
samples = np.arange(5, 2 * d + 1)
coords = {"sigma": data.sigma.values, "gamma": samples / d}
exact = theory.least_squares_risk(samples, d, noise=coords["sigma"][:, None])
exact = xr.DataArray(exact, coords=coords)
ax = plot.slices(data.risk_scratch, exact, by="sigma", converged=data.converged)
best = theory.optimal_scratch_risk(samples / d, 0.2)
ax.plot(samples / d, best, "k--", label="regularised")
ax.set(ylim=(-0.02, 1.6), ylabel="risk $R$")
ax.legend()

# %%
#| tags: [check]
# With noise, and below $\gamma = 1$, means over instances are compared with the exact theory in standard errors. Cells with $|n - d| \le 25$ are left
# out, because near the spike the mean is that of a broad distribution.
theory_at = exact.sel(gamma=data.gamma, method="nearest")
scatters = (data.sigma > 0) | (data.gamma < 1)
fatelib.agreement_table(
    {"scratch": (data.risk_scratch, theory_at)},
    where=scatters & (abs(data.n - d) > 25),
)

# %%
#| tags: [check]
# Above $\gamma = 1$ and without noise the theory says zero, and the networks are stopped when the loss is within $\varepsilon = 10^{-6}$ of its
# minimum: their risk may be as large as $\varepsilon$ divided by the smallest eigenvalue of $X^\top X / n$, which is $(1 - 1/\sqrt\gamma)^2$ for
# large $d$. The risk is given in units of that bound, and twice the bound is accepted because at finite $d$ the eigenvalue scatters.
bound = 1e-6 / (1 - 1 / np.sqrt(data.gamma)) ** 2
largest = (data.risk_scratch.sel(sigma=0) / bound).max("instance")
fatelib.agreement_table(
    {"scratch, without noise, in units of the bound": (largest, 0.0)},
    over=None,
    tolerance=2.0,
    where=data.gamma > 1,
)

# %% [markdown]
# Without noise there is nothing to amplify and the spike is gone. A *regularised* network (dashed) has no spike either, however noisy the labels {cite:p}`dobriban2018`; {doc}`the-baseline-matters` draws the consequences.
#
# ## The spike: an infinite mean of finite risks
# Any single square matrix of Gaussian numbers can be inverted, so every single risk at $n = k$ is finite. Why is the mean infinite?
#
# :::{prf:theorem} Tail of the risk
# :label: thm-tail
# For noisy labels and $g = \lvert n - k \rvert$, the risk of one data set exceeds a large level $r$ (a letter of this section only) with probability proportional to
#
# $$
# \mathbb P(R > r) \propto r^{-(g + 1)/2} .
# $$ (tail)
#
# Hence its mean is finite exactly when $g > 1$, and its variance exactly when $g > 3$.
# :::
#
# :::{prf:proof}
# Take $n \ge k$ (otherwise exchange them). By {eq}`one-of-many` the noise that was fitted is a sum over $j$ of $v\, \xi_j^2 / q_j$ with normal $\xi_j$ and $q_j = \lVert h_j \rVert^2$, a sum of $g + 1$ squares. Near zero the density of $q_j$ is proportional to $q^{(g - 1)/2}$. Integrated from 0 to $1/r$ this gives $\mathbb P(1/q_j > r) \propto r^{-(g + 1)/2}$. The factor $\xi_j^2$ has all moments and leaves the power as it is, and so does adding $k$ terms: the sum lies between its largest term and $k$ times that. A power law $r^{-p}$ has a mean for $p > 1$ and a variance for $p > 2$. (In other words: the smallest singular value $z_{\min}$ of $Z$ is broadly distributed near $n = k$ {cite:p}`edelman1988`, and the risk contains $v/z_{\min}^2$.)
# :::
#
# The first statement is the pole of {eq}`three-pieces`. The second is practical advice: for $\lvert n - k \rvert \le 3$ *a standard error means nothing*, no matter how many repetitions it is computed from, and a little beyond it is not to be trusted.

# %%
#| tags: [hide-input]
#| name: fig-tail
#| caption: >-
#|   How often the fitted noise exceeds $r$, for $k = 4$ features and $n = k + g$ samples, $\sigma = 1$, over 40,000 data sets each (solid). Dashed: the power laws {eq}`tail`, through the hundredth largest value.
#| alt: >-
#|   Four curves on logarithmic axes that fall along straight lines, the flattest for g equal to zero, steeper for larger g.
tail_k, gaps, repeats = 4, [0, 1, 2, 4], 40_000
excess = {}
for gap in gaps:
    Z = rng.standard_normal((repeats, tail_k + gap, tail_k))
    noise = rng.standard_normal((repeats, tail_k + gap, 1))
    solution = np.linalg.pinv(Z) @ noise
    excess[gap] = np.sort(np.sum(solution**2, axis=(1, 2)))[::-1]
fig, ax = plt.subplots()
frequency = np.arange(1, repeats + 1) / repeats
for i, gap in enumerate(gaps):
    ax.plot(excess[gap], frequency, color=f"C{i}", label=f"g = {gap}")
    r = excess[gap][99] * np.array([0.1, 30.0])
    law = frequency[99] * (r / excess[gap][99]) ** (-(gap + 1) / 2)
    ax.plot(r, law, "--", color=f"C{i}", linewidth=0.9)
ax.set(xscale="log", yscale="log", xlabel="$r$", ylabel=r"$\mathbb{P}(R > r)$")
ax.set(xlim=(1e-2, 1e8), ylim=(2e-5, 1.2))
ax.legend()

# %%
#| tags: [check]
# The exponent $p$ of a tail is measured on its $q$ largest values: the mean of $\log(R / R_q)$ over them is $1/p$, with a relative error of $1/\sqrt
# q$.
q = 200
largest = [np.log(excess[gap][:q] / excess[gap][q]) for gap in gaps]
logs = xr.DataArray(largest, dims=("g", "draw"), coords={"g": gaps})
fatelib.agreement_table(
    {"1 / exponent of the tail": (logs, 2 / (np.array(gaps) + 1))}, over="draw"
)

# %% [markdown]
# What does a network do at the spike? To follow the direction of $z_{\min}$ gradient descent needs a time of order $n / z_{\min}^2$, and the hollow points of {numref}`fig-scratch` were stopped before. An early end acts like a little regularisation, and the spike that one measures is a matter of patience.
#
# ## What if
# Seven numbers of features, any residual, any noise. Set both sliders to zero and watch the spikes vanish; then raise *either* one. A residual alone is enough: a target that the features cannot express makes their double descent.

# %%
#| tags: [hide-input]
#| name: fig-explore-features
#| caption: >-
#|   Expected risk {eq}`three-pieces` against the number of samples $n$, one curve for each number of features $k$; the target has squared norm $\rho$ outside their span and $1 - \rho$ inside. The values are exact; next to the poles, where they exceed 50, they are left out.
#| alt: >-
#|   Interactive curves of risk against the number of samples for seven numbers of features, with sliders for the residual and the noise.
from fatelib.widgets import explore

features = np.array([1, 10, 30, 60, 100, 200, 400])
residuals = np.linspace(0, 0.9, 10)
noises = np.array([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0])
n_axis = np.arange(2, 601, 2)
rho, noise = residuals[:, None, None, None], noises[:, None, None]
risks = theory.least_squares_risk(
    n_axis, features[:, None], residual=rho, noise=noise, signal=1 - rho
)
# Next to a pole the values are left out, so that all others keep their digits.
risks = np.where((risks > 50) & np.isfinite(risks), np.nan, risks)
family = xr.DataArray(
    risks,
    coords={"rho": residuals, "sigma": noises, "k": features, "n": n_axis},
    name="R",
    attrs={"long_name": "risk"},
)
for name, words in {"rho": "residual", "sigma": "noise", "n": "samples"}.items():
    family[name].attrs["long_name"] = words
where = {"n": 150, "k": 30, "rho": 0.2, "sigma": 0.2}
explore(family, x="n", lines="k", at=where, limit=2, missing="more than 50")

# %% [markdown]
# ## Exercises
#
# :::{exercise} Ten features or one: predict, then run
# :label: ex-k-features
# One source left a single feature, and the target lies at 45° to it. Another left *ten* orthonormal features, and the target lies within 30° of their span. $\sigma = 0.2$. Write down which of the two has the smaller risk, *then* compute it with {py:func}`~fatelib.theory.least_squares_risk`:
#
# ```python
# guess = {2: ..., 5: ..., 10: ..., 16: ..., 30: ..., 60: ...}  # n: "one" or "ten"
# ```
# :::
#
# :::{solution-start} ex-k-features
# :label: sol-k-features
# :class: dropdown
# :::
#
# Ten features leave a residual $\rho = \sin^2 30° = 1/4$ instead of $1/2$, but ten numbers must be fitted instead of one. More features lose while samples are scarce, and near $n = 10$ badly: their own double descent. (The single feature has its own pole, at $n \leq 2$, where anything beats it and just above which it is still felt.)

# %%
guess = {2: "ten", 5: "one", 10: "one", 16: "one", 30: "ten", 60: "ten"}
few = np.arange(1, 61)
ten = theory.least_squares_risk(few, 10, residual=0.25, signal=0.75, noise=sigma)
one = theory.least_squares_risk(few, 1, residual=0.5, signal=0.5, noise=sigma)
print("ten features win at n =", few[np.asarray(ten < one)])
assert all((ten < one)[m - 1] == (name == "ten") for m, name in guess.items())

# %% [markdown]
# :::{solution-end}
# :::
# :::{exercise} When more data hurt (pencil)
# :label: ex-more-data-hurt
# Below $\gamma = 1$, from which $\gamma_*$ on does the scratch risk {eq}`scratch-limit` *rise* with every further sample? You are given $n = d$ samples with $\sigma = 0.2$. What risk can you have by throwing some of them away, and up to which $\gamma > 1$ is it worth it?
# :::
#
# :::{solution-start} ex-more-data-hurt
# :label: sol-more-data-hurt
# :class: dropdown
# :::
#
# The derivative $-1 + \sigma^2 / (1 - \gamma)^2$ vanishes at $\gamma_* = 1 - \sigma$, for $\sigma < 1$, where the risk is $2\sigma - \sigma^2$. The branch above 1 is better again from $\sigma^2 / (\gamma - 1) < 2 \sigma - \sigma^2$ on, that is for $\gamma > 1 + \sigma / (2 - \sigma)$. In between, throw samples away. (Better: regularise.)

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
# :::{exercise} How large is large? (code)
# :label: ex-how-large
#
# {eq}`scratch-limit` is a limit, {eq}`three-pieces` is not. At $d = 500$ nobody sees the difference. Use `least_squares` to see it at $d = 20$ and $\sigma = 1$: how many standard errors is the mean of 2,000 data sets away from each of the two?
# :::
#
# :::{solution-start} ex-how-large
# :label: sol-how-large
# :class: dropdown
# :::

# %%
few, loud, beta = 20, 1.0, np.full(20, 20**-0.5)
sizes = np.array([4, 8, 10, 12, 14, 26, 28, 30, 34, 40])
draws = xr.DataArray(
    [[least_squares(rng, m, few, beta, loud) for _ in range(2000)] for m in sizes],
    dims=("gamma", "instance"),
    coords={"gamma": sizes / few},
)
error = draws.std("instance", ddof=1) / np.sqrt(draws.sizes["instance"])
for name, said in {
    "exact": theory.least_squares_risk(sizes, few, noise=loud),
    "limit": theory.scratch_risk(sizes / few, loud),
}.items():
    off = abs(draws.mean("instance") - said) / error
    print(f"{name}: off by up to {float(off.max()):.1f} standard errors")
assert off.max() > 4

# %%
#| tags: [check]
# The means of 2,000 data sets in $d = 20$ dimensions against the theory at that $d$. At the same points its limit for large $d$ is off by more than
# four standard errors, which is asserted, too.
fatelib.agreement_table(
    {"d = 20": (draws, theory.least_squares_risk(sizes, few, noise=loud))}
)

# %% [markdown]
# The two denominators differ by one in $\lvert n - d \rvert$: the limit may be used once $\lvert n - d \rvert \gg 1$, which is a matter of the distance from the pole and not of $d$ alone.
#
# :::{solution-end}
# :::
# :::{exercise} Your own features
# :label: ex-own-few
# For $n > k + 1$ and given features, nothing in {eq}`least-squares` but $v = \sigma^2 + \rho$ is unknown, and the error on new *labels* is $v\,(1 + k/(n - k - 1))$. Estimate $v$ from $N$ samples of features $Z$ and labels $y$, predict the error of fits to fewer samples, and measure it. Compare with {py:func}`fatelib.diagnose <fatelib.probe.diagnose>`. Take arrays of your own; below they are features that are not Gaussian and a target that is not linear.
# :::
#
# :::{solution-start} ex-own-few
# :label: sol-own-few
# :class: dropdown
# :::
#
# The mean square of the residuals is too small: the fit to $N$ samples has used up $k$ of them. So divide the sum by $N - k$.

# %%
N, columns = 400, 20
Z = rng.uniform(-1, 1, (N, columns))  # your features ...
y = np.sin(3 * Z[:, 0]) + Z[:, 1] * Z[:, 2] + 0.3 * rng.standard_normal(N)
v = np.linalg.lstsq(Z, y, rcond=None)[1][0] / (N - columns)
report = fatelib.diagnose(Z, y)
for m in (30, 60, 200):
    errors = []
    for _ in range(200):
        order = rng.permutation(N)
        b = np.linalg.lstsq(Z[order[:m]], y[order[:m]], rcond=None)[0]
        errors.append(np.mean((Z[order[m:]] @ b - y[order[m:]]) ** 2))
    said = v * (1 + columns / (m - columns - 1))
    print(f"n = {m:3}: formula {said:.3f}, measured {np.mean(errors):.3f},", end="")
    print(f" diagnose, best ridge {report.error('features', m).value:.3f}")
    assert abs(said / np.mean(errors) - 1) < 0.2

# %% [markdown]
# Few samples want a ridge, which the formula does not have and `diagnose` chooses.
#
# :::{solution-end}
# :::
# :::{exercise} How many features? (hard)
# :label: ex-how-many-features
# For the target of {numref}`fig-features`, which number $k$ of features has the smallest risk at $n = 25$, 100, 400 and 1600 samples? Explain how it grows with $n$ when $n \gg k$.
# :::
#
# :::{solution-start} ex-how-many-features
# :label: sol-how-many-features
# :class: dropdown
# :::
#
# For $1/i^2$ the residual is about $c/k$ with a constant $c$ of order one. For $n \gg k$ the risk is about $c/k + \sigma^2 k/n$, with its minimum at $k \approx \sqrt{c\, n}/\sigma$: four times the samples, twice the features. Few samples ask for fewer features than that, because the residual, too, is noise to be fitted.

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
# :::{exercise} Features of unequal size (hard)
# :label: ex-unequal-features
# With $n < k$, or with a ridge $\lambda$ (a penalty $\lambda \lVert b \rVert^2$ on the mean squared error), large features are learned first: of the coefficient of a feature with mean square $\ell_i$ the share $a_i = \ell_i / (\ell_i + \tilde\lambda)$, with one *effective ridge* $\tilde\lambda$ for all (for many features and samples).
#
# 1. Unlimited data and a ridge $\lambda$: why is the share $\ell / (\ell + \lambda)$? So few samples act like a larger ridge.
# 2. No ridge, $n < k$: why must the shares add up to $n$?
# 3. Let $t_i$ be the target's squared coefficients on these features, each divided by its standard deviation $\sqrt{\ell_i}$, so that $\sum_i t_i = S$. Argue for the risk {eq}`unequal-risk` below.
# 4. With pencil: 100 features each of $\ell = 4$, 1 and $\frac14$, no ridge or noise, $n = 150$. What are $\tilde\lambda$ and the risk of a target of norm 1 among the largest, the middle, the smallest features? Then fit.
#
# $$
# \begin{aligned} R &= \frac{n\, E_\infty}{n - \sum_i a_i^2} - \sigma^2 , \\ E_\infty &= \sum_i (1 - a_i)^2\, t_i \\ & \qquad + \rho + \sigma^2 . \end{aligned}
# $$ (unequal-risk)
# :::
#
# :::{solution-start} ex-unequal-features
# :label: sol-unequal-features
# :class: dropdown
# :::
#
# **1.** For a coefficient $c$ one minimises $\ell\,(b - c)^2 + \lambda b^2$. The derivative vanishes at $b = c\, \ell / (\ell + \lambda)$.
#
# **2.** The fit of minimum norm is the target projected on $n$ directions. The diagonal of a projection adds up to the number of its directions, and on average its entries are the shares:
#
# $$
# \sum_i \frac{\ell_i}{\ell_i + \tilde\lambda} = n .
# $$ (effective-ridge)
#
# (With a ridge, $n \lambda / \tilde\lambda$ is added on the left.)
#
# **3.** Let $E = R + \sigma^2$ be the error on a new label. What is missed of the coefficients, the residual and the noise make $E_\infty$. But the $n$ labels, too, are off by $E$ each, noise and whatever the fit misses, and that error enters direction $i$ with the weight $a_i^2/n$. So $E = E_\infty + E \sum_i a_i^2 / n$; solve for $E$. It is {eq}`general-risk`, which has the references.
#
# **4.** Try $\tilde\lambda = 1$: the shares are 0.8, 0.5 and 0.2, their sum $100 \cdot 1.5 = 150$, as it must be. Their squares add up to $100\,(0.64 + 0.25 + 0.04) = 93$, and the factor is $150/57 = 2.63$. The risks are $2.63 \cdot 0.2^2 = 0.11$, $2.63 \cdot 0.5^2 = 0.66$ and $2.63 \cdot 0.8^2 = 1.68$: the last is worse than an answer of zero. (With all $\ell$ equal, $a = n/k = \frac12$ and $2 \cdot 0.5^2 = 0.5$: the $1 - n/k$ of {eq}`three-pieces`.)

# %%
sizes = np.repeat([4.0, 1.0, 0.25], 100)
squares = np.repeat(np.eye(3) / 100, 100, axis=1)  # t of three targets of norm 1
said = theory.ridge_risk(150, sizes, squares)
print(f"effective ridge {theory.effective_ridge(150, sizes):.3f}, risks", said)
targets, fits = np.sqrt(squares.T), []
for _ in range(40):
    Z = rng.standard_normal((150, 300))
    b = np.linalg.pinv(Z * np.sqrt(sizes)) @ (Z @ targets)
    fits.append(np.sum((np.sqrt(sizes)[:, None] * b - targets) ** 2, axis=0))
mean, error = np.mean(fits, axis=0), np.std(fits, axis=0, ddof=1) / 40**0.5
print("fits", mean.round(3), "±", error.round(3))
# The formula is for many features: one in 150 is left for what is of the next order.
assert np.all(abs(mean - said) < 4 * error + said / 150)

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
# 1. Risk is what is out of reach, plus what is not seen, plus noise that was fitted; what is out of reach counts as noise a second time.
# 2. Scratch training from small weights is minimum-norm least squares on all $d$ coordinates.
# 3. At the spike one divides by the square of a single normal number. Near it distrust means, standard errors, and unregularised baselines.
