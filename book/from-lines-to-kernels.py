# %% [markdown]
# # From lines to kernels
#
# In Part I pretraining left a single direction, and one angle said what transfer is worth. The features of a ReLU network are not directions
# but functions, and in place of the line there is a space that they span. In this chapter you will
#
# - measure by one linear solve what a given set of neurons cannot express, the successor of $\sin^2 \theta$,
# - take the space of all ReLU features apart into constants, directions and functions of higher degree,
# - predict what a teacher loses with a fraction of its neurons, and then the whole learning curve of a last layer on given features.

# %%
#| tags: [hide-input]
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import plot, relu, theory

plt.style.use("fatelib.style")

# %%
#| name: fig-circle
#| caption: >-
#|   A target of six neurons in the plane, along the unit circle; on other inputs it only grows with the radius. Two of its neurons are removed. Dotted: the features
#|   of the four that are left, each times its weight. Blue: the best that any weights of these four can do, for Gaussian inputs. Grey: what stays out of reach.
#| alt: >-
#|   A wavy curve with kinks over the angle of the input, a smoother one that follows it roughly, the gap between them shaded, and four half-cosine bumps below.
#| tags: [hide-input]
angles = np.radians([0, 50, 130, 215, 90, 280])
W = np.stack([np.cos(angles), np.sin(angles)], axis=1)
c = np.array([1.0, -0.8, 0.9, 0.7, 1.0, 0.9])
kept = W[:4]
gram = relu.arccos_kernel(kept, kept)
weights = np.linalg.solve(gram, relu.arccos_kernel(kept, W) @ c)

phi = np.linspace(0, 2 * np.pi, 721)
circle = np.stack([np.cos(phi), np.sin(phi)], axis=1)
target = np.maximum(circle @ W.T, 0) @ c
bumps = np.maximum(circle @ kept.T, 0) * weights
best = bumps.sum(axis=1)
fig, ax = plt.subplots()
ax.plot(phi, bumps, "C0:", linewidth=1)
ax.fill_between(phi, best, target, color="0.5", alpha=0.35, label="out of reach")
ax.plot(phi, target, "k", label="target")
ax.plot(phi, best, "C0", label="best of the four neurons")
plot.angle_axis(ax.xaxis, np.pi / 2)
ax.set(xlabel="direction of the input", ylabel="output")
ax.legend(loc="upper right", fontsize="small")

# %% [markdown]
# A neuron is a bump: half a cosine, with a kink on either side where it switches on and off. Weighted bumps add up to the target, and every kink of the target belongs to
# one neuron. Without that neuron, or its exact opposite, its kinks cannot be made. The other neurons imitate the bump as well as they can; the grey area is what they miss.
#
# ## The space in place of the line
#
# A two-layer network is $f(x) = \frac1m \sum_{i=1}^m c_i \operatorname{relu}(w_i \cdot x)$, and linear transfer keeps the $w_i$ and fits new $c_i$. So all it can ever produce lies in one space:
#
# :::{prf:definition} Feature space of a network
# :label: def-feature-space
#
# The **feature space** of neurons $w_1, \dots, w_m$ is the span of the functions $\operatorname{relu}(w_i \cdot x)$, with the inner product
# $\langle f, g \rangle = \mathbb E_x f(x)\, g(x)$ over $x \sim \mathcal N(0, I_d)$. The part of a target out of reach is $\rho = \lVert P_\perp f_t \rVert^2$, with the projector $P_\perp$ onto
# what is orthogonal to all of it.
# :::
#
# For linear neurons $w_i \cdot x$ that have sparsified to one line, $\rho$ is $\sin^2 \theta$. In general $\rho / \lVert f_t \rVert^2$ is what takes its place. The space is also the reproducing kernel Hilbert space
# of the kernel $\Theta(x, x') = \frac1m \sum_i \operatorname{relu}(w_i \cdot x) \operatorname{relu}(w_i \cdot x')$, in which the squared norm of a function is the least $m \sum_i b_i^2$ that makes it as
# $\sum_i b_i \operatorname{relu}(w_i \cdot x)$. A function thus has a size, $\mathbb E f^2$, and a price, which is what a ridge charges for.
#
# :::{dropdown} Notation
# | symbol | meaning |
# |---|---|
# | $w_i$, $c_i$, $b_i = c_i / m$ | neurons and output weights of a student of width $m$ |
# | $w^*_j$, $c^*_j$, $b^*_j$, $m^*$ | the same of the target's teacher; the source is this teacher without some of its neurons |
# | $\mu$ | fraction of the teacher's neurons that the source lacks: 0.1 for a near source, 0.5 for a distant one |
# | $\lvert w \rvert$, $\lVert f \rVert^2 = \mathbb E f^2$ | length of a vector, squared norm of a function over the inputs |
# | $K(w, v)$, $K_1(u)$ | overlap of two neurons, and of two unit neurons whose cosine is $u$ |
# | $\Theta(x, x')$ | kernel of a set of neurons, between two *inputs* |
# | $\Lambda_l$, $N_l$, $P_l$ | eigenvalue of $K_1(w \cdot v)$ on the functions of degree $l$, number of these functions, Gegenbauer polynomial |
# | $\ell_i$, $\hat\ell_i$ | eigenvalues of the features' second moments; the same in a sample |
# | $t_i$ | squared coefficients of the target on the features of these eigenvalues, each scaled to mean square 1 |
# | $k$ | number of features |
# | $\tilde\lambda$ | effective ridge: what $n$ samples make of the ridge, and of having no more samples |
# | $\tilde\lambda_0$ | effective ridge of the constant alone |
# | $\chi$ | leverage of the errors |
#
# All symbols of the book: {doc}`notation`.
# :::
#
# To find $\rho$ we need overlaps of neurons, and these have a closed form, the **arc-cosine kernel** {cite:p}`cho2009`: with the angle $\varphi$ between $w$ and $v$,
#
# $$
# \begin{aligned}
# K(w, v) &= \mathbb E_x \operatorname{relu}(w \cdot x) \operatorname{relu}(v \cdot x) \\
# &= \lvert w \rvert \lvert v \rvert \, K_1(\cos\varphi), \\
# K_1(\cos \varphi) &= \frac{\sin\varphi + (\pi - \varphi) \cos\varphi}{2\pi} .
# \end{aligned}
# $$ (arc-cosine)
#
# Projecting onto a span is a linear solve. For a target $f_t = \sum_j b^*_j \operatorname{relu}(w^*_j \cdot x)$, $b^*_j = c^*_j / m^*$,
#
# $$
# \begin{aligned}
# \rho &= \lVert f_t \rVert^2 - v^\top K(W, W)^{-1} v , \\
# v &= K(W, W^*)\, b^* ,
# \end{aligned}
# $$ (gram-solve)
#
# with the pseudo-inverse where neurons coincide. {py:func}`fatelib.relu.projection` does it. For the picture above, beside an ordinary fit to many samples:

# %%
split = relu.projection(kept, W, c)
X = jax.random.normal(jax.random.key(0), (100_000, 2))
features, labels = jnp.maximum(X @ kept.T, 0), jnp.maximum(X @ W.T, 0) @ c
fit = np.linalg.lstsq(features, labels)[0]
print("weights by the kernel", np.round(weights, 3))
print("weights of the fit   ", np.round(fit, 3))
print(f"share out of reach: {split.outside / (split.inside + split.outside):.3f}")
assert np.allclose(weights, fit, atol=0.05)

# %% [markdown]
# No sample enters {eq}`gram-solve`: like the angle between two vectors, $\rho$ is geometry. The simplest case has one neuron in each network, at an angle $\theta$. Then
# {eq}`gram-solve` is $\rho / \lVert f_t \rVert^2 = 1 - \left( K_1(\cos\theta) / K_1(1) \right)^2$.

# %%
#| name: fig-one-neuron
#| caption: >-
#|   Share of a target neuron that a single source neuron cannot express, against the angle between them. Dashed: linear neurons.
#| alt: >-
#|   The dashed curve rises from zero to one at ninety degrees and falls back to zero. The solid one rises more slowly, and stays near one from ninety degrees on.
#| tags: [hide-input]
theta = np.linspace(0, np.pi, 181)
turned = np.stack([np.cos(theta), np.sin(theta)], axis=1)
missed = 1 - (2 * relu.arccos_kernel(turned[:1], turned)[0]) ** 2
fig, ax = plt.subplots()
ax.plot(theta, missed, label="ReLU")
ax.plot(theta, np.sin(theta) ** 2, "k--", label=r"linear, $\sin^2\theta$")
plot.angle_axis(ax.xaxis)
ax.set(xlabel=r"angle $\theta$", ylabel=r"share out of reach, $\rho / \|f_t\|^2$")
ax.legend()

# %% [markdown]
# At 90° a linear neuron is useless, and a ReLU neuron is not quite: both are never negative, so they overlap. At 180° the linear neuron only has the wrong sign, while two opposite ReLU neurons are never
# active together. One number per pair, as before. But a network has many neurons, and together they can do far more than each alone.
#
# ## Constants, directions, and higher degrees
#
# What the features of random unit neurons express easily, and what hardly at all, is in the eigenvalues of $K(W, W)$. For
# many neurons there is nothing random about them:
#
# :::{prf:theorem} Mercer decomposition of the arc-cosine kernel
# :label: thm-mercer
#
# On the unit sphere in $d$ dimensions $K_1(w \cdot v) = \sum_l \Lambda_l \sum_{j=1}^{N_l} Y_{lj}(w)\, Y_{lj}(v)$ with the spherical harmonics $Y_{lj}$ of degree $l$, orthonormal over a uniformly random unit vector, of which there are $N_l$:
#
# $$
# \begin{gathered}
# \Lambda_l = d\, \Big( \mathbb E_z \big[ \operatorname{relu}(z)\, P_l(z) \big] \Big)^2 , \\
# \sum_l N_l \Lambda_l = K_1(1) = \tfrac12 ,
# \end{gathered}
# $$ (mercer)
#
# where $z$ is one coordinate of a random unit vector and $P_l$ the Gegenbauer polynomial with $P_l(1) = 1$. All odd $\Lambda_l$ vanish but $\Lambda_1$.
# For $m \to \infty$ random unit neurons the eigenvalues of $K(W, W) / m$ are these.
# :::
#
# :::{prf:proof}
# The map from a function $h$ on the sphere of inputs to the function $w \mapsto \mathbb E_x \operatorname{relu}(w \cdot x)\, h(x)$ commutes with rotations, so on the harmonics of one degree, which
# rotations mix among themselves, it is multiplication by a number. (This is the theorem of Funk and Hecke: average a function of degree $l$ over the sphere, weighted with a function of the angle to $w$ alone,
# and what comes out is the same function of $w$, times one number for each degree: the mean of the weight times $P_l$, as in {eq}`mercer`.) The kernel is this map twice, times
# $\mathbb E \lvert x \rvert^2 = d$ {cite:p}`bach2017`. Its value at $w = v$ is the sum of all $N_l \Lambda_l$. And $\operatorname{relu}(z) = (\lvert z \rvert + z)/2$ is even but for $z$, of degree 1.
# :::
#
# {py:func}`fatelib.relu.mercer_spectrum` evaluates {eq}`mercer`. Against it we hold Gram matrices of random neurons:

# %%
d, m = 10, 1000
eigenvalues, multiplicities = relu.mercer_spectrum(d, 20)


def gram_spectrum(key):
    """Eigenvalues of the overlaps of random neurons, largest first."""
    W = relu.ReluNetwork.init(key, d, m).W
    return jnp.linalg.eigvalsh(relu.arccos_kernel(W, W))[::-1] / m


spectra = jax.lax.map(gram_spectrum, jax.random.split(jax.random.key(2), 10))

# %%
#| name: fig-mercer
#| caption: >-
#|   Eigenvalues of the arc-cosine kernel in $d = 10$ dimensions. Lines: {eq}`mercer`, each as long as its degree has functions. Points: eigenvalues of $K(W, W)/m$
#|   for one draw of $m = 1000$ random neurons.
#| alt: >-
#|   A staircase that falls steeply on logarithmic axes, with steps for the degrees zero, one, two and four. The points of the Gram matrix lie along the first three steps and fan out round the fourth.
#| tags: [hide-input]
fig, ax = plt.subplots()
ax.plot(np.arange(1, m + 1), spectra[0], ".", label="1000 random neurons")
last = (multiplicities * (eigenvalues > 0)).cumsum()
for l in (0, 1, 2, 4):
    first = last[l] - multiplicities[l] + 1
    step = [first, max(last[l], 1.2 * first)]
    ax.plot(step, [eigenvalues[l]] * 2, "C1", label=None if l else "Mercer")
    ax.annotate(
        f"degree {l}", (step[1], eigenvalues[l]), (4, 4), textcoords="offset points"
    )
ax.set(
    xscale="log", yscale="log", xlim=(0.8, 4000), xlabel="rank", ylabel="eigenvalue"
)
ax.legend(loc="lower left")

# %%
#| tags: [check]
# Compared are the means over the points of a degree. They come with a small shift: the
# random mixing of degrees at finite $m$ pushes eigenvalues apart, to first order by the
# factor
# $1 + \frac1m \sum_{l' \ne l} N_{l'} \Lambda_{l'} / (\Lambda_l - \Lambda_{l'})$.
# The degrees from 4 on have more functions than there are neurons.
degrees = [0, 1, 2]
groups = [
    spectra[:, int(e - n) : int(e)]
    for e, n in zip(last, multiplicities, strict=True)
]
means = xr.DataArray(
    jnp.stack([groups[l].mean(axis=1) for l in degrees], axis=1),
    coords={"instance": range(10), "degree": degrees},
)
shifts = []
for l in degrees:
    other = np.arange(21) != l
    trace = (multiplicities * eigenvalues)[other]
    shifts.append(np.sum(trace / (eigenvalues[l] - eigenvalues[other])) / m)
shifted = eigenvalues[degrees] * (1 + np.array(shifts))
fatelib.agreement_table({"eigenvalue of each degree": (means, shifted)})

# %% [markdown]
# The points of a degree fan out when it has not many fewer functions than there are neurons, just as singular values of a random matrix do; their means lie on the steps.
#
# Each degree's share of the squared norm of a neuron is $N_l \Lambda_l / K_1(1)$:

# %%
print("dimension   constant   directions   quadratic   degree >= 4")
for dimension in (3, 10, 100, 1000):
    values, counts = relu.mercer_spectrum(dimension, 2)
    parts = values * counts / 0.5
    print(f"{dimension:9}", *(f"{p:11.3f}" for p in [*parts, 1 - parts.sum()]))

# %% [markdown]
# In high dimensions the shares of degrees 0, 1 and 2 are $1/\pi$, $1/2$ and $1/(2\pi)$, which leaves $1/2 - 3/(2\pi) \approx 2\%$ for degrees from 4 on: a neuron is mostly a constant (times $\lvert x \rvert$) and its own direction. The
# *eigenvalues* fall much faster than the shares. The constant is one function, shared by all neurons. Directions divide their half among $d$ functions, and degree 2 divides its part among about $d^2/2$. So the constant
# part of a target is nearly free to any set of neurons, the linear part takes about $d$ of them, and what is of higher degree only the right neurons express well.
#
# ## A source that lacks neurons
#
# Now the experiment of Section 4 of {cite:t}`tahir2025`. The target is a teacher of $m^*$ random unit neurons; the source is the same teacher with a fraction $\mu$ of them removed.
# Suppose that pretraining found the source's neurons exactly: an *ideal* student. (What a trained one holds is measured in {doc}`what-pretraining-adds`.) How much of the target is out of its reach depends on the
# teacher's output weights. There are three conventions: all equal to 1, random signs, or Gaussian.

# %%
d, width, instances = 100, 100, 20
conventions = ["ones", "sign", "gaussian"]
mus = np.arange(1, 10) / 10


@jax.jit
def outside(source, target):
    """Squared norm out of reach."""
    return relu.projection(source.W, target.W, target.c / width).outside


@jax.jit
def lost(tasks, key):
    """Squared norm out of reach, and risk of a last layer fitted to 2,000 samples."""
    X, y = tasks.sample(key, 2000)
    risk = fatelib.linear_transfer(tasks.source, tasks, X, y).risk
    return outside(tasks.source, tasks.target), risk


keys, data_keys = jax.random.split(jax.random.key(3), (2, instances))
draw = relu.ReluTasks.ablated
found = [
    lost(draw(key, d, width, mu, outputs=name), jax.random.fold_in(data_key, j))
    for name in conventions
    for j, mu in enumerate(mus)
    for key, data_key in zip(keys, data_keys, strict=True)
]
coords = {"outputs": conventions, "mu": mus, "instance": range(instances)}
shape = [len(values) for values in coords.values()]
rho, risk = (
    xr.DataArray(np.reshape(part, shape), coords)
    for part in zip(*found, strict=True)
)

# %% [markdown]
# There is a formula. What must be expressed by the $q$ neurons left is another point on the sphere, the removed neuron, by means of the kernel $K_1$. That is a regression: the neurons left are its *samples*,
# the removed one is its test point, and {prf:ref}`thm-mercer` is its spectrum.
#
# :::{prf:proposition} What is lost with the neurons
# :label: prop-ablated
#
# Let $q = (1 - \mu) m^*$ random unit neurons be left and $r = \mu m^*$ removed, and let $\tilde\lambda$ solve
#
# $$
# \sum_{l \ge 1} \frac{N_l \Lambda_l}{\Lambda_l + \tilde\lambda} = q ; \qquad \tilde\lambda_0 = \frac{\tilde\lambda \Lambda_0}{\tilde\lambda + \Lambda_0} .
# $$ (neurons-left)
#
# Then, for $d$ and $m^*$ large, the mean over teachers is
#
# $$
# m^{*2} \rho \to
# \begin{cases}
# r q \tilde\lambda + r^2 \tilde\lambda_0 & \text{all 1,} \\
# r \, (q \tilde\lambda + \tilde\lambda_0) & \text{independent}
# \end{cases}
# $$ (ablated)
#
# for output weights that are all 1, or independent with mean 0 and variance 1. The squared norm of the target has the mean $\frac{1}{m^{*2}} \big( \frac{m^*}{2} + m^* (m^* - 1) \Lambda_0 \big)$ and $\frac{1}{2 m^*}$.
# :::
#
# :::{prf:proof}
# (Idea; the checks of {numref}`fig-3d` say how good it is at our size.) {eq}`general-risk`, the general form of the one formula, holds for this regression too, with $\ell_i = t_i = \Lambda_l$, each $N_l$ times, $q$ samples and no noise. As then
# $\sum_i (1 - a_i)^2 \ell_i = \tilde\lambda \sum_i a_i (1 - a_i)$ and $\sum_i a_i = q$, it says that one removed neuron leaves $q \tilde\lambda$ unexplained. The constant is set apart since it is a single function,
# not a crowd: $q$ observations of it, each with an error of $q \tilde\lambda$, and its own size leave $1/\tilde\lambda_0 = 1/\tilde\lambda + 1/\Lambda_0$. What is left of *two* neurons overlaps, on average, in the constant alone. So the
# squares add up to $r (q \tilde\lambda + \tilde\lambda_0)$ and the $r (r - 1)$ cross terms to $\tilde\lambda_0$ each, unless independent weights average them away.
# :::


# %%
def expected_rho(left, width, d):
    """The proposition times width^2, for equal and for independent weights."""
    values, counts = relu.mercer_spectrum(d, 2)
    # Degrees from 4 on have far more functions than there are neurons: a ridge.
    ridge = (0.5 - np.sum(values * counts)) / left
    spectrum = np.repeat(values[1:], counts[1:].astype(int))
    kappa = np.asarray(theory.effective_ridge(left, spectrum, ridge=ridge))
    shared = kappa * values[0] / (kappa + values[0])
    removed, alone = width - left, left * kappa
    return removed * alone + removed**2 * shared, removed * (alone + shared)


def expected_norm2(width, d):
    """Mean squared norms of such teachers, times width^2."""
    constant = relu.mercer_spectrum(d, 0)[0][0]
    return width / 2 + width * (width - 1) * constant, width / 2


# %%
#| name: fig-3d
#| caption: >-
#|   Share of a teacher that the neurons of its source cannot express, against the fraction $\mu$ of neurons removed; $d = m^* = 100$. Lines: {eq}`ablated`. Points: {eq}`gram-solve`, mean of 20 teachers,
#|   bars: one standard error. Crosses: risk of last layers fitted to 2,000 samples. All in units of the mean squared norm of such teachers. First panel: all output weights 1; the dotted line is where the
#|   printed axis of the paper's Figure 3d ends. Second panel: random signs (circles) and Gaussian output weights (squares).
#| alt: >-
#|   In the first panel a curve that stays near zero and turns up steeply at the end. In the second a curve that rises almost in a straight line to more than a half. Points and crosses lie on the lines.
#| tags: [hide-input]
left = np.round((1 - mus) * width)
line = np.arange(2, width)
norms = expected_norm2(width, d)
unit = xr.DataArray([norms[0], norms[1], norms[1]], {"outputs": conventions})
unit = unit / width**2
fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.2), layout="constrained")
for i, name in enumerate(conventions):
    ax = axes[min(i, 1)]
    points = (rho / unit).sel(outputs=name)
    error = points.std("instance", ddof=1) / instances**0.5
    color, marker = f"C{i}", "oos"[i]
    ax.errorbar(mus, points.mean("instance"), error, fmt=marker, color=color)
    ax.plot(mus, (risk / unit).sel(outputs=name).mean("instance"), "kx", zorder=3)
expected = expected_rho(line, width, d)
for ax, curve, size in zip(axes, expected, norms, strict=True):
    ax.plot(1 - line / width, curve / size, "k", linewidth=1)
    ax.set(xlabel=r"fraction removed $\mu$", ylim=(0, None))
axes[0].axhline(0.045, color="0.5", linestyle=":")
axes[0].set(ylabel="share out of reach", title="all output weights 1")
axes[1].set(title="signs and Gaussian")

# %%
#| tags: [check]
# What the neurons of 20 teachers cannot express is compared with the formula, which
# knows none of them. The risk of every fitted last layer is compared with what its
# own features cannot express, times the factor of least squares on 2,000 samples.
formula = np.stack(expected_rho(left, width, d))[[0, 1, 1]] / width**2
formula = xr.DataArray(formula, {"outputs": conventions, "mu": mus})
noise = theory.least_squares_risk(2000, left, residual=1.0)
more = risk - rho * xr.DataArray(np.asarray(noise), {"mu": mus})
fatelib.agreement_table(
    {
        "ρ of 20 teachers": (rho, formula),
        "risk of fitted last layers, minus theory": (more, 0.0),
    }
)

# %%
#| tags: [build-only]
from myst_nb import glue

shares = (rho / unit).mean("instance")
for mu in (0.5, 0.7, 0.9):
    value = float(shares.sel(outputs="ones", mu=mu))
    glue(f"ones-{10 * mu:.0f}", value, display=False)
for mu in (0.1, 0.5, 0.9):
    value = float(shares.sel(outputs="sign", mu=mu))
    glue(f"sign-{10 * mu:.0f}", value, display=False)
# As the text says:
axis = 0.045
assert (
    shares.sel(outputs="ones", mu=0.7) < axis < shares.sel(outputs="ones", mu=0.8)
)
assert shares.sel(outputs=["sign", "gaussian"], mu=0.2).min() > axis

# %% [markdown]
# ### One span, two pictures
#
# Both panels of {numref}`fig-3d` are about the same neurons and the same spans, yet at $\mu = 1/2$ they show {glue:text}`ones-5:.3f` on the left and {glue:text}`sign-5:.2f` on the right. What differs is the target. With all
# output weights 1 its neurons agree about the constant, and the squared norm is nearly all constant, which any few neurons express; what only the removed neurons could contribute is diluted in it. With
# random signs the constants cancel. For $q \gg 1$, where $\tilde\lambda_0 \approx \tilde\lambda$, the shares are
#
# $$
# \mu \, \frac{\tilde\lambda}{\Lambda_0} \quad \text{(all 1)}, \qquad 2 \mu \, q \tilde\lambda \quad \text{(independent)} ,
# $$ (two-shares)
#
# where $q \tilde\lambda$ depends on the ratio of neurons to dimensions only. So at a fixed ratio the left share falls like $1/m^*$, and the right one does not: the number on this axis tells about the output weights
# and the size of the teacher as much as about the features.
#
# The printed axis of the paper's Figure 3d ends near 0.045. With output weights 1 we find {glue:text}`ones-5:.3f`, {glue:text}`ones-7:.3f` and {glue:text}`ones-9:.3f` at $\mu = 0.5$, 0.7 and 0.9;
# with signs {glue:text}`sign-1:.3f` at $\mu = 0.1$ already, and {glue:text}`sign-9:.2f` at 0.9. So of these conventions the axis fits output weights 1, at fractions up to 0.7, and beyond $\mu = 0.1$ no other.
#
# ## The learning curve of a last layer
#
# $\rho$ is what infinitely many samples leave. With $n$ of them the risk of linear transfer is $R = C(n) + \rho$, eq. 18 of {cite:t}`tahir2025`, who leave $C(n)$ open. For Gaussian features it
# would be {eq}`three-pieces`: with $k$ features and $n > k + 1$,
#
# $$
# R = \rho + (\sigma^2 + \rho) \, \frac{k}{n - k - 1} .
# $$ (last-layer)
#
# ReLU features are not Gaussian, and what they cannot express is uncorrelated with them but not independent; {prf:ref}`prop-leverage` says what that does. For $n < k$ it also matters how strong each feature is. The eigenvalues $\ell_i$
# of $K(W, W)$ and the target's squared coefficients $t_i$ on them, each scaled to mean square 1, go into {eq}`general-risk`, and {py:func}`fatelib.relu.feature_spectrum` reads all of them off the weights of *any* neurons and of the target:

# %%
fractions, ns = [0.3, 0.6, 0.9], [5, 20, 60, 120, 250, 500, 1000, 2000]
tasks_at = [relu.ReluTasks.ablated(keys[0], d, width, mu) for mu in fractions]


def predicted(tasks, n):
    """Number of features, what they miss, and risks of a last layer on them."""
    a = tasks.target.c / width
    spectrum = relu.feature_spectrum(tasks.source.W, tasks.target.W, a)
    l, t, floor = jax.tree.leaves(spectrum)
    k = int((l > 0).sum())
    few = theory.ridge_risk(n, l, t, residual=floor)
    many = theory.least_squares_risk(n, k, residual=floor)
    return k, float(floor), np.where(n > k, many, few)


@jax.jit
def measured(tasks, n):
    """Risks of last layers fitted to n samples, of several data sets."""

    def one(key):
        X, y = tasks.sample(key, max(ns))
        # Rows of zeros say nothing: so all n share one program.
        keep = jnp.arange(max(ns)) < n
        X, y = X * keep[:, None], y * keep
        return fatelib.linear_transfer(tasks.source, tasks, X, y).risk

    return jax.lax.map(one, jax.random.split(jax.random.key(4), instances))


curves = xr.DataArray(
    [[measured(tasks, n) for n in ns] for tasks in tasks_at],
    coords={"mu": fractions, "n": ns, "instance": range(instances)},
)

# %%
#| name: fig-given-features
#| caption: >-
#|   Risk of a last layer on the ideal source neurons against the number of samples, for one teacher with $d = m^* = 100$, output weights 1, no label noise. Points: fitted to 20 data sets, bars: one
#|   standard error. Lines: predicted from the weights, {eq}`last-layer` for $n > k$ and {eq}`general-risk` below. Dotted: $\rho$.
#| alt: >-
#|   Three curves that fall, rise to a pole where there are as many samples as features, and fall to a level of their own, the higher the more neurons were removed. The points lie on them.
#| tags: [hide-input]
dense = np.unique(np.geomspace(4, 3000, 200).round())
fig, ax = plt.subplots()
for i, tasks in enumerate(tasks_at):
    k, floor, line = predicted(tasks, dense)
    ax.plot(dense, np.where(abs(dense - k) > 1, line, np.nan), color=f"C{i}")
    ax.axhline(floor, color=f"C{i}", linestyle=":", linewidth=1)
    points = curves.isel(mu=i)
    error = points.std("instance", ddof=1) / instances**0.5
    label = rf"$\mu$ = {fractions[i]:g}, {k} features"
    mean = points.mean("instance")
    ax.errorbar(ns, mean, error, fmt="o", color=f"C{i}", label=label)
ax.set(xscale="log", yscale="log", ylim=(6e-4, 1))
ax.set(xlabel="samples $n$", ylabel="risk $R$")
ax.legend()

# %% [markdown]
# The picture is that of {doc}`one-formula`: no label noise anywhere, and yet a pole at $n = k$. What the features cannot express acts as noise, nearly:
#
# :::{prf:proposition} What acts as noise
# :label: prop-leverage
#
# Let $h(x)$ be the features, with second moments $K$, and $e(x) = P_\perp f_t(x)$. The excess risk $R - \rho$ of least squares without label noise is, for $n \gg k$, that of {eq}`last-layer` times
#
# $$
# \chi = \frac{\mathbb E \big[ h^\top K^{-1} h \; e^2 \big]}{k \, \rho} .
# $$ (leverage)
# :::
#
# :::{prf:proof}
# The error of the weights is $(Z^\top Z)^{-1} Z^\top e \approx \frac1n K^{-1} \sum_j h(x_j)\, e(x_j)$, a mean of independent terms of mean zero. The risk it causes is its square in the norm of $K$, which is
# $\frac1n \mathbb E [h^\top K^{-1} h\, e^2]$.
# :::
#
# So an error counts by the **leverage** $h^\top K^{-1} h$ of the input where it is made. For independent features and errors $\chi = 1$. For ours:


# %%
@jax.jit
def leverage_ratio(tasks, key):
    """Estimate chi; neurons removed are zero, overlap with none, and drop out."""
    K = relu.arccos_kernel(tasks.source.W, tasks.source.W)
    v = relu.arccos_kernel(tasks.source.W, tasks.target.W) @ tasks.target.c / width
    inverse = jnp.linalg.pinv(K, hermitian=True)
    X = jax.random.normal(key, (20_000, d))
    h = tasks.source.features(X)
    errors2 = (jax.vmap(tasks.target)(X) - h @ (inverse @ v)) ** 2
    leverages = jnp.sum((h @ inverse) * h, axis=1)
    return (leverages * errors2).mean() / leverages.mean() / errors2.mean()


chi = np.array([leverage_ratio(t, jax.random.key(5)) for t in tasks_at])
predictions = [predicted(tasks, np.array(ns)) for tasks in tasks_at]
counts, floors, gaussian = (np.stack(p) for p in zip(*predictions, strict=True))
for mu, k, value in zip(fractions, counts, chi, strict=True):
    print(f"mu = {mu}: {k} features, chi = {value:.2f}")

# %%
#| tags: [check]
# The prediction, with the factor $\chi$, is for $n \gg k$; cells below $n = 1.4\, k$ are
# left out.
at = floors[:, None] + chi[:, None] * (gaussian - floors[:, None])
enough = xr.DataArray(
    np.array(ns) > 1.4 * counts[:, None], {"mu": fractions, "n": ns}
)
fatelib.agreement_table({"risk of last layers": (curves, at)}, where=enough)

# %%
#| tags: [build-only]
mean = curves.mean("instance")
relative = abs(mean / gaussian - 1).where(enough & (curves.n >= 60)).max()
few = (mean / gaussian).sel(n=5)
assert relative < 0.1
assert few.sel(mu=0.3) < 0.9
assert few.sel(mu=0.9) > 2
glue("gaussian-relative", 100 * float(relative), display=False)
glue("few-low", 100 * float(1 - few.sel(mu=0.3)), display=False)
glue("few-high", float(few.sel(mu=0.9)), display=False)

# %% [markdown]
# The proposition is for $n \gg k$; it serves from $n = 1.4\, k$ on. With many features at many angles, leverage and error have little to do with one another, and $\chi$ is close to 1: {eq}`last-layer` as it stands is within {glue:text}`gaussian-relative:.0f`%
# of all these points with $n \ge 60$. For most purposes that is enough, and $C(n)$ is found: on given features
# a last layer needs, without label noise, $n = 2k + 1$ samples to come within a factor of two of all it can ever reach. Left of the poles
# the lines of {numref}`fig-given-features` are a guide only: {eq}`general-risk` is for crowds of samples and features. At $n = 5$ the risk is {glue:text}`few-low:.0f`% below them at $\mu = 0.3$, where all depends on
# one strong feature, the constant, and {glue:text}`few-high:.1f` times as large at $\mu = 0.9$, where 5 samples meet 10 features.
#
# ## Turn it yourself
#
# What a source that lacks neurons misses, for teachers of another size:

# %%
#| name: fig-explore-ablated
#| caption: >-
#|   Share of a teacher out of reach against the fraction of its neurons removed, {eq}`ablated`: with all output weights 1, and with independent ones of mean zero. Sliders: the dimension $d$, and the
#|   neurons of the teacher per dimension. With more of them the second curve hardly moves; watch the first.
#| alt: >-
#|   Interactive curves of the share out of reach over the fraction removed, for two conventions, with sliders for dimension and width of the teacher.
from fatelib.widgets import explore

dimensions, ratios = [30, 60, 120, 240], np.array([0.5, 1.0, 2.0])
removed = np.arange(1, 20) / 20


def lost_share(d):
    """Share out of reach by neurons per dimension, convention, fraction removed."""
    sizes = d * ratios[:, None]
    left = np.maximum(np.round(sizes * (1 - removed)), 1)
    both = zip(expected_rho(left, sizes, d), expected_norm2(sizes, d), strict=True)
    return np.stack([rho / norm2 for rho, norm2 in both], axis=1)


dims = {"d": dimensions, "neurons": ratios, "weights": ["all 1", "independent"]}
shares = np.array([lost_share(d) for d in dimensions])
family = xr.DataArray(shares, {**dims, "mu": removed}, name="share")
family.attrs["long_name"] = "share out of reach"
names = {"mu": "fraction removed", "d": "dimension"}
for name, long_name in {**names, "neurons": "neurons per dimension"}.items():
    family[name].attrs["long_name"] = long_name
where = {"d": 120, "neurons": 1.0, "mu": 0.5}
explore(family, x="mu", lines="weights", at=where, limit=1)

# %% [markdown]
# ## Exercises
#
# :::{exercise} What no network without biases can learn
# :label: ex-odd
#
# The odd $\Lambda_l$ with $l \ge 3$ are zero. Show that *every* two-layer ReLU network without biases, trained in any way, misses all of the target $x_1 x_2 x_3$. What risk has a last layer on $k = 200$ random neurons
# and $n = 2000$ samples of it? And of the target $x_1 x_2$, in $d = 5$ dimensions?
# :::
#
# :::{solution-start} ex-odd
# :label: sol-odd
# :class: dropdown
# :::
#
# $\operatorname{relu}(z) - \operatorname{relu}(-z) = z$, so $f(x) - f(-x)$ is linear for every such network: its odd part is linear and orthogonal to $x_1 x_2 x_3$. So $\rho = 1$, and the risk is *above* that of answering
# zero. For random features the leverage grows like $\lvert x \rvert^2$, the squared error here like $\lvert x \rvert^6$; both are large together, $\chi \approx \mathbb E \lvert x \rvert^8 / \left( \mathbb E \lvert x \rvert^2\, \mathbb E \lvert x \rvert^6 \right)
# = (d + 6)/d$. The target $x_1 x_2$ is of degree 2, one of only 14 such functions,
# but it grows like $\lvert x \rvert^2$ and a network like $\lvert x \rvert$: even all neurons leave $1 - (\mathbb E \lvert x \rvert^3)^2 / (\mathbb E \lvert x \rvert^2\, \mathbb E \lvert x \rvert^4) \approx 7\%$ of it.

# %%
neurons = relu.ReluNetwork.init(jax.random.key(6), 5, 200)
x = jax.random.normal(jax.random.key(7), (22_000, 5))
h = neurons.features(x)
for degree in (2, 3):
    y = x[:, :degree].prod(axis=1)
    fit = np.linalg.lstsq(h[:2000], y[:2000])[0]
    risk = np.mean((h[2000:] @ fit - y[2000:]) ** 2)
    print(f"product of {degree} inputs: risk {risk:.2f}")
chi = (5 + 6) / 5
print(f"expected for the last: {1 + chi * 200 / (2000 - 200 - 1):.2f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} A larger teacher
# :label: ex-larger-teacher
#
# Let the teacher grow together with its inputs, $d = m^*$, with half of its neurons removed. By {eq}`two-shares`, what happens to the share out of reach in each convention? Check with {py:func}`fatelib.relu.projection`.
# :::
#
# :::{solution-start} ex-larger-teacher
# :label: sol-larger-teacher
# :class: dropdown
# :::
#
# $q \tilde\lambda$ tends to a constant, so that the share for output weights 1 falls like $1/m^*$, and the other one stays.

# %%
for size in (50, 100, 200):
    missed, units = expected_rho(size / 2, size, size), expected_norm2(size, size)
    for i, name in enumerate(["ones", "sign"]):
        tasks = [draw(key, size, size, 0.5, outputs=name) for key in keys]
        found = np.mean([outside(t.source, t.target) for t in tasks]) * width**2
        share, expected = found / units[i], missed[i] / units[i]
        print(f"m* = {size:3}, {name:4}: {share:.4f}, expected {expected:.4f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} Predict: stretched neurons
# :label: ex-stretched-neurons
#
# Stretch each neuron of a source by a factor of its own, $w_i \to h_i w_i$ with $h_i > 0$. Guess first: what happens to $\rho$, to the risk of a last layer without ridge for $n > k$ and for $n < k$, and to the price of a function?
# :::
#
# :::{solution} ex-stretched-neurons
# :label: sol-stretched-neurons
# :class: dropdown
#
# $\operatorname{relu}(h_i w_i \cdot x) = h_i \operatorname{relu}(w_i \cdot x)$: the span is the same, so $\rho$ is the same. In {eq}`gram-solve`, with $H = \operatorname{diag}(h)$, $K \to H K H$ and $v \to H v$, and $v^\top H (H K H)^{-1} H v = v^\top K^{-1} v$.
# For $n > k$ the least-squares fit is unique as a function, so its risk does not change either. The same function now has the weights $b_i / h_i$ and the price $m \sum_i b_i^2 / h_i^2$: long neurons are cheap. For $n < k$ the fit is the cheapest one that meets all samples, and it changes unless all $h_i$ are equal: it relies more on the long neurons.
# :::
#
# :::{exercise} With pencil: a neuron and its opposite
# :label: ex-opposite-pair
#
# A source has two neurons, $w$ and $-w$, and the target one, at an angle $\theta$ to $w$. What share of it is out of reach? Check $\theta = 0$ and 180°, and compare 90° with the single source neuron of {numref}`fig-one-neuron`.
# :::
#
# :::{solution} ex-opposite-pair
# :label: sol-opposite-pair
# :class: dropdown
#
# Opposite neurons do not overlap, $K_1(-1) = 0$, and $K_1(1) = \frac12$, so $K(W, W)$ is half the identity. With $u = \cos\theta$, {eq}`gram-solve` is
#
# $$
# \frac{\rho}{\lVert f_t \rVert^2} = 1 - 4 \left( K_1(u)^2 + K_1(-u)^2 \right) ,
# $$
#
# which is zero at both ends. At 90°, where $K_1(0) = 1/(2\pi)$, it is $1 - 2/\pi^2$; a single neuron leaves $1 - 1/\pi^2$. The opposite neuron helps as much as the first. In code:
#
# ```python
# pair, u = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.cos(1.0)
# split = relu.projection(pair, np.array([[u, np.sin(1.0)]]), np.ones(1))
# share = split.outside / (split.inside + split.outside)
# overlaps = relu.arccos_kernel(pair, np.array([[u, np.sin(1.0)]]))
# print(share, 1 - 4 * np.sum(overlaps**2))
# ```
# :::
#
# :::{exercise} Hard: the share that stays
# :label: ex-limit-share
#
# In {eq}`two-shares` $q \tilde\lambda$ depends on the ratio $g = q/d$ only. Find it for $d \to \infty$. Start from the Taylor series of $K_1(u)$ at $u = 0$: for a fixed degree $P_l(u) \to u^l$, so that $N_l \Lambda_l$ tends to the coefficient of $u^l$.
# What is left of a removed neuron for $g \to 0$ and for $g \to \infty$?
# :::
#
# :::{solution} ex-limit-share
# :label: sol-limit-share
# :class: dropdown
#
# By {eq}`arc-cosine` $K_1'(\cos\varphi) = (\pi - \varphi)/(2\pi)$, so $K_1(u) = \frac{1}{2\pi} + \frac u4 + \dots$, and with $N_1 = d$
#
# $$
# \Lambda_0 \to \frac{1}{2\pi}, \qquad d \Lambda_1 \to \frac14 .
# $$
#
# Degrees from 2 on have of the order of $d^2$ functions or more, far more than $q$: their $\Lambda_l \ll \tilde\lambda$, and they enter {eq}`neurons-left` as $h / \tilde\lambda$ with what is left of $K_1(1) = \frac12$,
#
# $$
# h = \frac12 - \frac{1}{2\pi} - \frac14 = \frac14 - \frac{1}{2\pi} .
# $$
#
# With $y = q \tilde\lambda$ the directions have $\Lambda_1 / (\Lambda_1 + \tilde\lambda) = g / (g + 4y)$. Divide {eq}`neurons-left` by $q$:
#
# $$
# \begin{gathered}
# \frac{1}{g + 4y} + \frac hy = 1 , \\
# 4 y^2 + (g - 1 - 4h)\, y - g h = 0 .
# \end{gathered}
# $$
#
# The positive root is the answer. For $g \to 0$ it is $\frac14 + h$: all is left but the constant, which a few neurons suffice for. For $g \to \infty$ it is $h$: the constant and the directions are known, and nothing else, as long as $q \ll d^2$. The share lost with independent weights, $2 \mu y$, thus never falls below $2 \mu h$.
#
# ```python
# g, h = 0.5, 1 / 4 - 1 / (2 * np.pi)
# y = max(np.roots([4, g - 1 - 4 * h, -g * h]))
# print(2 * 0.5 * y, expected_rho(200, 400, 400)[1] / 200)
# ```
#
# The second number is {eq}`ablated` at $d = m^* = 400$ and $\mu = \frac12$, as a share.
# :::
#
# ## What to remember
#
# 1. A ReLU network's features span a space of functions; $\rho = \lVert P_\perp f_t \rVert^2$, one linear solve with the arc-cosine kernel, takes the place of $\sin^2 \theta$; for $n < k$ the spectrum decides with it ({doc}`relu-transfer`).
# 2. A neuron is a constant, a direction and a faint part of higher degree. What removed neurons take along follows from the spectrum; what share of the target that is depends on its output weights.
# 3. A last layer on $k$ given features has, nearly, the risk $\rho + (\sigma^2 + \rho)\, k / (n - k - 1)$: what features cannot express is noise to them.
