# %% [markdown]
# # Formula sheet
#
# Every closed form of the book. Unless a line says otherwise, inputs are standard normal in $d$ dimensions, the target has unit norm, and $d$ is large at a fixed $\gamma = n/d$; *exact* means every $n$
# and $d$. Symbols: {doc}`notation`. Each printed value is computed by the function named beside it, or where none is named by
# brute force, and compared, when this page is built, with the equation above it, written anew in NumPy.
# The page prints on four pages of paper.

# %%
#| tags: [build-only]
import jax.numpy as jnp
import numpy as np
from IPython.display import HTML, display
from myst_nb import glue
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import f

import fatelib
from fatelib import distances, relu, theory


def same(name, library, written, rtol=2e-5):
    """Keep the library's value for the text; stop the build if the equation has another."""
    library = np.asarray(library, float)
    np.testing.assert_allclose(library, written, rtol=rtol, atol=1e-6, err_msg=name)
    glue(name, float(library), display=False)


def sketch(alt, x, *curves, xlabel, marks=(), ylim=None, log=""):
    """Draw curves small, in the colours of the page: shape, zero line, places that matter."""
    # Logarithms of what is not positive leave the picture, as poles do.
    with np.errstate(divide="ignore", invalid="ignore"):
        x, curves = np.asarray(x, float), np.asarray(curves, float)
        places = np.asarray(marks, float)
        if "x" in log:
            x, places = np.log(x), np.log(places)
        if "y" in log:
            curves = np.log(curves)
    finite = curves[np.isfinite(curves)]
    low, high = ylim or (finite.min(), finite.max())
    reach = high - low
    across = 4 + 132 * (x - x[0]) / (x[-1] - x[0])
    at = 4 + 132 * (places - x[0]) / (x[-1] - x[0])
    down = (
        62 - 56 * (np.clip(curves, low - 9 * reach, high + 9 * reach) - low) / reach
    )
    frame = ['<path d="M4 4V62H138"/>']
    if ylim and low < 0 < high:
        frame.append(f'<path d="M4 {62 + 56 * low / reach:.1f}H138"/>')
    for place, mark in zip(at, marks, strict=True):
        end = "start" if place < 12 else "end" if place > 126 else "middle"
        frame.append(f'<path class="mark" d="M{place:.1f} 4V65"/>')
        frame.append(
            f'<text x="{place:.1f}" y="75" text-anchor="{end}">{mark:.3g}</text>'
        )
    frame.append(f'<text x="70" y="87" text-anchor="middle">{xlabel}</text>')
    lines = []
    for i, curve in enumerate(down):
        shown = np.isfinite(curve)
        points = [
            f"{u:.1f},{v:.1f}"
            for u, v in zip(across[shown], curve[shown], strict=True)
        ]
        lines.append(f'<polyline class="curve-{i}" points="{" ".join(points)}"/>')
    inner = f'<svg width="142" height="63">{"".join(lines)}</svg>'  # cuts what is higher
    outer = (
        f'<svg class="sketch" role="img" aria-label="{alt}" viewBox="0 0 142 90">'
    )
    display(HTML(f"{outer}{''.join(frame)}{inner}</svg>"))


# The point at which values are printed.
g, s2, angle, sigma = 0.5, 0.04, np.pi / 4, 0.2
sin2, cos2 = np.sin(angle) ** 2, np.cos(angle) ** 2
gammas = np.r_[np.linspace(0.02, 0.985, 120), np.linspace(1.015, 2, 120)]
low, degrees = np.linspace(0.02, 0.98, 120), np.linspace(0, 90, 91)
radians = np.radians(degrees)

# %% [markdown]
# ## Least squares
#
# (sheet-k-features)=
# ### k features
#
# $$
# \begin{aligned}
# R = \rho &+ S \left( 1 - \frac nk \right)_{\!+} \\
#   &+ (\sigma^2 + \rho)\, \frac{\min(n, k)}{\lvert n - k \rvert - 1}
# \end{aligned}
# $$
#
# Exact; infinite for $\lvert n - k \rvert \le 1$, unless $\sigma = \rho = 0$. At $n = 50$, $k = 20$, $\rho = S = \frac12$, $\sigma = 0.2$: {glue:text}`k-features-n:.4f`.
# {py:func}`~fatelib.theory.least_squares_risk`, {doc}`when-does-transfer-help`.

# %%
#| tags: [remove-input]
half = {"residual": 0.5, "signal": 0.5, "noise": sigma}
risk = theory.least_squares_risk(50, 20, **half)
same("k-features-n", risk, 0.5 + (s2 + 0.5) * 20 / (50 - 20 - 1))
few = 0.5 + 0.5 * (1 - 10 / 20) + (s2 + 0.5) * 10 / (20 - 10 - 1)
np.testing.assert_allclose(
    theory.least_squares_risk(10, 20, **half), few, rtol=1e-5
)
counts = np.arange(1, 61)
curve = theory.least_squares_risk(counts, 20, **half)
sketch(
    "Risk against the number of samples, with a pole where samples equal features",
    counts,
    curve,
    xlabel="n",
    marks=(20,),
    ylim=(0, 3),
)

# %% [markdown]
# (sheet-scratch-training)=
# ### Scratch training
#
# $$
# R_{\text{scratch}} = \begin{cases}
# 1 - \gamma + \sigma^2\, \dfrac{\gamma}{1 - \gamma} & \gamma < 1 \\[2ex]
# \dfrac{\sigma^2}{\gamma - 1} & \gamma > 1
# \end{cases}
# $$
#
# From small weights, trained to the end, at any depth. At $\gamma = 0.5$, $\sigma = 0.2$: {glue:text}`scratch:.4f`.
# {py:func}`~fatelib.theory.scratch_risk`, {doc}`one-formula`.

# %%
#| tags: [remove-input]
same("scratch", theory.scratch_risk(g, sigma), 1 - g + s2 * g / (1 - g))
np.testing.assert_allclose(theory.scratch_risk(1.5, sigma), s2 / 0.5, rtol=1e-5)
curve = theory.scratch_risk(gammas, sigma)
sketch(
    "Risk against samples per dimension, with a pole at one",
    gammas,
    curve,
    xlabel="γ",
    marks=(1,),
    ylim=(0, 2),
)

# %% [markdown]
# (sheet-length-of-the-interpolator)=
# ### Length of the interpolator
#
# $$
# \lVert X^+ y \rVert^2 = \min(1, \gamma) \left( 1 + \frac{\sigma^2}{\lvert 1 - \gamma \rvert} \right)
# $$
#
# At $\gamma = 0.5$, $\sigma = 0.2$: {glue:text}`norm:.4f`. {py:func}`~fatelib.theory.interpolator_norm2`, {doc}`finite-source`.

# %%
#| tags: [remove-input]
same("norm", theory.interpolator_norm2(g, sigma), g * (1 + s2 / (1 - g)))
curve = theory.interpolator_norm2(gammas, sigma)
sketch(
    "Squared norm against samples per dimension, with a pole at one",
    gammas,
    curve,
    xlabel="γ",
    marks=(1,),
    ylim=(0, 3),
)

# %% [markdown]
# (sheet-tail-of-the-risk)=
# ### Tail of the risk
#
# $$
# \mathbb P(R > r) \propto r^{-(g + 1)/2} , \quad g = \lvert n - k \rvert
# $$
#
# For large $r$: the mean is finite for $g > 1$, the variance for $g > 3$. Local slope of the exact law at $k = 1$, $g = 3$: {glue:text}`tail:.3f`. {doc}`one-formula`.

# %%
#| tags: [remove-input]
at = np.array(
    [1e5, 2e5]
)  # for one feature the fitted noise is a multiple of F(1, n)
slope = np.diff(np.log(f.sf(at, 1, 4)))[0] / np.log(2)
same("tail", slope, -(3 + 1) / 2, rtol=1e-3)
r = np.geomspace(0.05, 1e3, 100)
sketch(
    "A straight line that falls, on logarithmic axes",
    r,
    f.sf(r * 4, 1, 4),
    xlabel="r",
    log="xy",
)

# %% [markdown]
# ## Any features, any ridge
#
# (sheet-effective-ridge)=
# ### Effective ridge
#
# $$
# \sum_i \frac{\ell_i}{\ell_i + \tilde\lambda} + \frac{n \lambda}{\tilde\lambda} = n
# $$
#
# Zero without ridge once $n$ is at least the number of features. For $\ell_i = 1/i^2$, $i \le 200$, at $n = 20$, $\lambda = 0.01$: {glue:text}`effective:.5f`. {py:func}`~fatelib.theory.effective_ridge`, {doc}`feature-sparsification`.

# %%
#| tags: [remove-input]
ell = 1 / np.arange(1, 201) ** 2


def root(n, ridge):
    """The effective ridge, by bisection."""
    return brentq(lambda z: (ell / (ell + z)).sum() + n * ridge / z - n, 1e-9, 10)


same("effective", theory.effective_ridge(20, ell, ridge=0.01), root(20, 0.01))
counts = np.geomspace(2, 200, 60)
curve = theory.effective_ridge(counts, ell, ridge=0.01)
sketch(
    "Effective ridge against samples, falling towards the ridge itself",
    counts,
    curve,
    xlabel="n",
    log="xy",
)

# %% [markdown]
# (sheet-risk)=
# ### Risk
#
# $$
# \begin{gathered}
# R = \frac{n \left( \sum_i (1 - a_i)^2\, t_i + \rho + \sigma^2 \right)}{n - \sum_i a_i^2} - \sigma^2 , \\
# a_i = \frac{\ell_i}{\ell_i + \tilde\lambda}
# \end{gathered}
# $$
#
# For many features and samples; $t_i$ are squared coefficients on features scaled to mean square 1. With $t_i = \ell_i$, $\rho = 0$, $\sigma = 0.1$ and the above: {glue:text}`general:.4f`. {py:func}`~fatelib.theory.ridge_risk`, {doc}`feature-sparsification`.

# %%
#| tags: [remove-input]


def risk_by_hand(n, ridge):
    """The equation above, with its own effective ridge."""
    a = ell / (ell + root(n, ridge))
    left = (1 - a) ** 2 @ ell + 0.01
    return n * left / (n - (a**2).sum()) - 0.01


by_library = theory.ridge_risk(20, ell, ell, noise=0.1, ridge=0.01)
same("general", by_library, risk_by_hand(20, 0.01))
curves = [
    theory.ridge_risk(counts, ell, ell, noise=0.1, ridge=z) for z in (1e-2, 1e-4)
]
sketch(
    "Risk against samples without ridge and with one",
    counts,
    *curves,
    xlabel="n",
    log="xy",
)

# %% [markdown]
# ## Linear transfer
#
# (sheet-one-feature-n-samples)=
# ### One feature, n samples
#
# $$
# R_{\text{lt}} = \sin^2\theta + \frac{\sigma^2 + \sin^2\theta}{n - 2}
# $$
#
# Exact; infinite for $n \le 2$; $\sin^2\theta$ for many samples. At 45°, $n = 20$, $\sigma = 0.2$: {glue:text}`one-feature:.4f`. {py:func}`~fatelib.theory.linear_transfer_risk`, {doc}`when-does-transfer-help`.

# %%
#| tags: [remove-input]
by_library = theory.linear_transfer_risk(angle, n=20, sigma=sigma)
same("one-feature", by_library, sin2 + (s2 + sin2) / 18)
counts = np.arange(3, 41)
curve = theory.linear_transfer_risk(angle, n=counts, sigma=sigma)
sketch(
    "Risk against samples, falling to a floor",
    counts,
    curve,
    0 * counts + sin2,
    xlabel="n",
    ylim=(0, 1.2),
)

# %% [markdown]
# (sheet-with-a-ridge)=
# ### With a ridge
#
# $$
# \begin{gathered}
# R_{\text{lt}} \to \sin^2\theta + \left( \frac{\lambda}{1 + \lambda} \right)^2 \cos^2\theta , \\
# \lambda_* = \frac{\sigma^2 + \sin^2\theta}{n \cos^2\theta}
# \end{gathered}
# $$
#
# The first for many samples, at $\lambda = 0.1$, 45°: {glue:text}`ridge-limit-value:.4f`. The second is best, exact at every $n$: at $n = 5$, $\sigma = 0.2$ it is {glue:text}`best-ridge-value:.3f`.
# {py:func}`~fatelib.theory.linear_transfer_risk`, {doc}`linear-transfer`.

# %%
#| tags: [remove-input]
by_library = theory.linear_transfer_risk(angle, ridge=0.1)
same("ridge-limit-value", by_library, sin2 + (0.1 / 1.1) ** 2 * cos2)
ridges = np.linspace(0, 1, 2001)
curve = np.asarray(
    theory.linear_transfer_risk(angle, n=5, sigma=sigma, ridge=ridges)
)
best = (s2 + sin2) / (5 * cos2)
around = slice(400, 480)  # the minimum is flat: that of a parabola through these
parabola = np.polyfit(ridges[around], curve[around], 2)
vertex = -parabola[1] / (2 * parabola[0])
same("best-ridge-value", vertex, best, rtol=5e-3)
sketch(
    "Risk against the ridge, with a minimum at the best ridge",
    ridges[10:],
    curve[10:],
    xlabel="λ",
    marks=(round(best, 3),),
)

# %% [markdown]
# (sheet-transferability)=
# ### Transferability
#
# $$
# \begin{aligned}
# \mathcal T_{\text{lt}} &= R_{\text{scratch}} - \sin^2\theta \\
# &= \cos^2\theta - \gamma + \frac{\gamma\, \sigma^2}{1 - \gamma} \quad (\gamma < 1)
# \end{aligned}
# $$
#
# Positive: transfer wins. At 45°, $\gamma = 0.5$, $\sigma = 0.2$: {glue:text}`transferability-value:.4f`. {py:func}`~fatelib.theory.linear_transferability`, {doc}`when-does-transfer-help`.

# %%
#| tags: [remove-input]
by_library = theory.linear_transferability(g, angle, sigma)
same("transferability-value", by_library, cos2 - g + g * s2 / (1 - g))
curve = theory.linear_transferability(gammas, angle, sigma)
sketch(
    "Transferability against samples per dimension, positive, negative, a pole at one, negative again",
    gammas,
    curve,
    xlabel="γ",
    marks=(1,),
    ylim=(-0.6, 0.8),
)

# %% [markdown]
# (sheet-features-of-k-source-tasks)=
# ### Features of k source tasks
#
# $$
# W_1 W_1^\top = \left( B_s B_s^\top \right)^{1/2}
# $$
#
# Two layers, balanced start, zero loss: $k$ tasks leave $k$ features, of strengths the square roots of the singular values of $B_s$. Two unit sources that enclose 0.3: the stronger has {glue:text}`stronger:.4f`. {doc}`linear-transfer`.

# %%
#| tags: [remove-input]
sources = np.array([[1, np.cos(0.3)], [0, np.sin(0.3)]])
U, S, Vt = np.linalg.svd(sources)
W1, W2 = U * np.sqrt(S), np.sqrt(S)[:, None] * Vt  # balanced, and fits
np.testing.assert_allclose(W1 @ W2, sources, atol=1e-12)
np.testing.assert_allclose(
    (W1 @ W1.T) @ (W1 @ W1.T), sources @ sources.T, atol=1e-12
)
strongest = np.linalg.svd(W1, compute_uv=False)[0]
same("stronger", strongest, (1 + np.cos(0.3)) ** 0.25)
curves = [(1 + sign * np.cos(radians)) ** 0.25 for sign in (1, -1)]
sketch(
    "Two strengths against the angle between two sources, equal at a right angle",
    degrees,
    *curves,
    xlabel="angle of the sources",
    marks=(0, 90),
)

# %% [markdown]
# ## Boundaries
#
# (sheet-below-one-sample-per-dimension)=
# ### Below one sample per dimension
#
# $$
# \gamma^2 - (1 + \cos^2\theta - \sigma^2)\, \gamma + \cos^2\theta < 0
# $$
#
# There linear transfer loses to scratch training without weight decay: between two roots, if $\sigma < 1 - \lvert \cos\theta \rvert$. At 45°, $\sigma = 0.2$ from {glue:text}`loses-from:.4f` to {glue:text}`loses-to:.4f`.
# {py:func}`~fatelib.theory.negative_transfer_interval`, {doc}`when-does-transfer-help`.

# %%
#| tags: [remove-input]
roots = np.sort(np.roots([1, -(1 + cos2 - s2), cos2]))
both = theory.negative_transfer_interval(angle, sigma)
same("loses-from", both[0], roots[0])
same("loses-to", both[1], roots[1])
curves = theory.negative_transfer_interval(radians, sigma)
first = np.degrees(np.arccos(1 - sigma))
sketch(
    "The two roots against the angle, a tongue that opens towards large angles",
    degrees,
    *curves,
    xlabel="θ",
    marks=(first, 90),
    ylim=(0, 1.05),
)

# %% [markdown]
# (sheet-above-one-sample-per-dimension)=
# ### Above one sample per dimension
#
# $$
# \gamma > 1 + \frac{\sigma^2}{\sin^2\theta}
# $$
#
# There linear transfer loses to it again. At 45°, $\sigma = 0.2$ from {glue:text}`onset:.4f` on. {py:func}`~fatelib.theory.negative_transfer_onset`, {doc}`when-does-transfer-help`.

# %%
#| tags: [remove-input]
onset = theory.negative_transfer_onset(angle, sigma)
same("onset", onset, 1 + s2 / sin2)
curve = theory.negative_transfer_onset(radians[5:], sigma)
sketch(
    "The boundary against the angle, falling to little above one",
    degrees[5:],
    curve,
    xlabel="θ",
    marks=(45, 90),
    ylim=(1, 2.5),
)

# %% [markdown]
# (sheet-the-band-where-any-features-win)=
# ### The band where any features win
#
# $$
# 1 - \sigma^2 < \gamma < 1 + \sigma^2
# $$
#
# There scratch training without weight decay is worse than predicting zero. At $\sigma = 0.2$ from {glue:text}`band-from:.3f` to {glue:text}`band-to:.3f`. {doc}`linear-transfer`.

# %%
#| tags: [remove-input]
over = lambda x: float(theory.scratch_risk(x, sigma)) - 1  # noqa: E731
same("band-from", brentq(over, 0.5, 0.999), 1 - s2)
same("band-to", brentq(over, 1.001, 1.5), 1 + s2)
near = np.r_[np.linspace(0.9, 0.999, 80), np.linspace(1.001, 1.1, 80)]
curve = theory.scratch_risk(near, sigma) - 1
sketch(
    "Scratch risk minus one against samples per dimension, positive in a band round one",
    near,
    curve,
    xlabel="γ",
    marks=(1 - s2, 1 + s2),
    ylim=(-1, 2),
)

# %% [markdown]
# (sheet-against-the-best-weight-decay)=
# ### Against the best weight decay
#
# $$
# \gamma < \cos^2\theta \left( 1 + \frac{\sigma^2}{\sin^2\theta} \right)
# $$
#
# There linear transfer beats optimally regularised scratch training: one boundary. At 45°, $\sigma = 0.2$: {glue:text}`fair:.4f`. {py:func}`~fatelib.theory.scratch_boundary`, {doc}`the-baseline-matters`.

# %%
#| tags: [remove-input]
fair = theory.scratch_boundary(1 - cos2, sigma)
same("fair", fair, cos2 * (1 + s2 / sin2))
curve = theory.scratch_boundary(np.sin(radians[5:]) ** 2, sigma)
sketch(
    "The boundary against the angle, falling to zero at a right angle",
    degrees[5:],
    curve,
    xlabel="θ",
    marks=(45, 90),
    ylim=(0, 2),
)

# %% [markdown]
# (sheet-with-k-features)=
# ### With k features
#
# $$
# \gamma < (1 - \rho) \left( 1 + \frac{\sigma^2}{\rho} \right)
# $$
#
# The same for $k$ features that miss $\rho$ of the target, for $n \gg k$. At $\rho = 0.1$, $\sigma = 0.2$: {glue:text}`general-boundary:.4f`. The formula above is this one at $\rho = \sin^2\theta$.
# {py:func}`~fatelib.theory.scratch_boundary`, {doc}`the-baseline-matters`.

# %%
#| tags: [remove-input]
missed = np.linspace(0.02, 1, 100)
boundary = theory.scratch_boundary(0.1, sigma)
same("general-boundary", boundary, 0.9 * (1 + s2 / 0.1))
# It is where optimally regularised scratch training has the risk that the features leave.
tie = brentq(lambda x: float(theory.optimal_scratch_risk(x, sigma)) - 0.1, 0.1, 3)
np.testing.assert_allclose(boundary, tie, rtol=1e-4)
curve = theory.scratch_boundary(missed, sigma)
sketch(
    "The boundary against the share that features miss, falling to zero at one",
    missed,
    curve,
    xlabel="ρ",
    marks=(0.1, 1),
    ylim=(0, 2),
)

# %% [markdown]
# (sheet-distances-between-the-data-sets)=
# ### Distances between the data sets
#
# $$
# \begin{gathered}
# \mathrm{KL} = \frac{\lVert \beta_s - \beta_t \rVert^2}{2 \sigma^2} , \\
# \mathcal W_1 \le \sqrt{\tfrac 2\pi}\, \lVert \beta_s - \beta_t \rVert
# \end{gathered}
# $$
#
# They do not decide alone. At 45°, $\sigma = 0.2$: {glue:text}`kl-value:.3f` and {glue:text}`w1-value:.4f`. {py:func}`~fatelib.distances.kl_divergence`, {py:func}`~fatelib.distances.wasserstein_coupling_bound`,
# {doc}`distances-do-not-decide`.

# %%
#| tags: [remove-input]
pair = jnp.array([1.0, 0.0]), jnp.array([np.cos(angle), np.sin(angle)])
chord = np.hypot(1 - np.cos(angle), np.sin(angle))
same("kl-value", distances.kl_divergence(*pair, sigma), chord**2 / (2 * s2))
bound = distances.wasserstein_coupling_bound(*pair)
same("w1-value", bound, (2 / np.pi) ** 0.5 * chord)
both = (1 - np.cos(2 * radians)) / 2, np.sin(2 * radians) ** 2
sketch(
    "The distance rises from 0 to 180 degrees, the risk of linear transfer rises and comes back",
    2 * degrees,
    *both,
    xlabel="θ",
    marks=(0, 180),
)

# %% [markdown]
# ## Fine-tuning
#
# (sheet-where-it-ends-on-one-data-set)=
# ### Where it ends, on one data set
#
# $$
# \begin{gathered}
# \beta = X^+ y + \kappa\, (I - P)\, \beta_s , \\
# \lVert \beta_s \rVert^2\, \kappa^{\frac{2L}{L-1}} = \lVert X^+ y \rVert^2 + \kappa^2 \lVert (I - P) \beta_s \rVert^2
# \end{gathered}
# $$
#
# Exact for gradient flow from a balanced network; $\kappa = 1$ for $L = 1$. For the squared norms 1.5, 1 and, of what the data see of the source, 0.5, two layers: {glue:text}`scale-one:.4f`.
# {py:func}`~fatelib.theory.fine_tuning_scale_from_norms`, {doc}`fine-tuning`.

# %%
#| tags: [remove-input]
lengths2 = np.linspace(0.1, 3, 60)
by_library = theory.fine_tuning_scale_from_norms(1.5, 1.0, 0.5)
same("scale-one", by_library, ((0.5 + (0.5**2 + 4 * 1.5) ** 0.5) / 2) ** 0.5)
curve = theory.fine_tuning_scale_from_norms(lengths2, 1.0, 0.5)
sketch(
    "The scale against the length of what scratch training learns, rising through one",
    lengths2,
    curve,
    xlabel="‖X⁺y‖²",
    marks=(0.5,),
)

# %% [markdown]
# (sheet-the-scale-for-large-d)=
# ### The scale, for large d
#
# $$
# \begin{aligned}
# \kappa^{2L/(L-1)} = \gamma &\left( 1 + \frac{\sigma^2}{1 - \gamma} \right) \\
# &+ (1 - \gamma)\, \kappa^2
# \end{aligned}
# $$
#
# For $\gamma < 1$, unlimited source of unit norm. $\kappa = 1$ without noise; $\kappa^2 = 1 + \sigma^2/(1 - \gamma)$ for $L \to \infty$. At $\gamma = 0.5$, $\sigma = 1$, $L = 2$: {glue:text}`scale-large:.4f`.
# {py:func}`~fatelib.theory.fine_tuning_scale`, {doc}`fine-tuning`.

# %%
#| tags: [remove-input]
by_library = theory.fine_tuning_scale(g, 1.0)
learned = g * (1 + 1 / (1 - g))
same(
    "scale-large",
    by_library,
    ((1 - g + ((1 - g) ** 2 + 4 * learned) ** 0.5) / 2) ** 0.5,
)
by_hand = brentq(lambda z: z ** (8 / 3) - learned - (1 - g) * z**2, 1, 3)
four = theory.fine_tuning_scale(g, 1.0, depth=4)
np.testing.assert_allclose(four, by_hand, rtol=1e-5)
noises = np.linspace(0, 2, 60)
curves = [theory.fine_tuning_scale(g, noises, depth=depth) for depth in (2, 4)]
sketch(
    "The scale against the noise for two and four layers, rising from one",
    noises,
    *curves,
    xlabel="σ",
    marks=(1,),
)

# %% [markdown]
# (sheet-transferability-of-fine-tuning)=
# ### Transferability of fine-tuning
#
# $$
# \mathcal T_{\text{ft}} = (1 - \gamma) (2 \kappa \cos\theta - \kappa^2)
# $$
#
# For $\gamma < 1$; zero beyond. At 45°, $\gamma = 0.5$, $\sigma = 1$, $L = 2$: {glue:text}`tuned:.4f`. {py:func}`~fatelib.theory.fine_tuning_transferability`, {doc}`fine-tuning`.

# %%
#| tags: [remove-input]
kappa = float(by_library)
by_library = theory.fine_tuning_transferability(g, angle, 1.0)
same("tuned", by_library, (1 - g) * (2 * kappa * np.cos(angle) - kappa**2))
curves = [theory.fine_tuning_transferability(g, radians, z) for z in (0.0, 1.0)]
sketch(
    "Transferability against the angle without noise and with much of it; with noise it crosses zero earlier",
    degrees,
    *curves,
    xlabel="θ",
    marks=(60,),
    ylim=(-0.8, 0.6),
)

# %% [markdown]
# (sheet-break-even-angle)=
# ### Break-even angle
#
# $$
# \cos\theta = \kappa / 2
# $$
#
# Fine-tuning beats scratch training below it: 60° without noise. At $\gamma = 0.5$, $\sigma = 1$, $L = 2$: {glue:text}`even:.2f`°. {py:func}`~fatelib.theory.fine_tuning_break_even`, {doc}`fine-tuning`.

# %%
#| tags: [remove-input]
even = np.degrees(theory.fine_tuning_break_even(g, 1.0))
same("even", even, np.degrees(np.arccos(kappa / 2)))
curves = [
    np.degrees(theory.fine_tuning_break_even(g, noises, depth=depth))
    for depth in (2, 4)
]
sketch(
    "Break-even angle against the noise for two and four layers, falling from 60 degrees",
    noises,
    *curves,
    xlabel="σ",
    marks=(1,),
    ylim=(0, 65),
)

# %% [markdown]
# (sheet-steps-and-batches)=
# ### Steps and batches
#
# $$
# \begin{aligned}
# \kappa^2 (\kappa^2 + D) &= \lVert X^+ y \rVert^2 \\
#   &\quad + \kappa^2 \lVert (I - P) \beta_s \rVert^2 , \\
# D &= \textstyle\sum \eta^2 \left( c^2 \lVert G \rVert^2 - (u \cdot G)^2 \right)
# \end{aligned}
# $$
#
# Exact for two layers, $\beta = c\,u$, and gradient steps of any size on any batches that reach zero loss; the sum is over the steps. A run of 4,000 steps at $d = 20$, $n = 8$, $\eta = 0.05$ ends at $\kappa$ = {glue:text}`stepped:.4f`; flow would at {glue:text}`flowed:.4f`. {doc}`steps-and-batches`.

# %%
#| tags: [remove-input]
rng = np.random.default_rng(0)
X = rng.standard_normal((8, 20))
u, y, c, D = np.eye(20)[0], X[:, 1] + rng.standard_normal(8), 1.0, 0.0
unseen = 1 - np.sum((np.linalg.pinv(X) @ X @ u) ** 2)
seen = np.sum((np.linalg.pinv(X) @ y) ** 2)
for _ in range(4000):
    G = 2 / 8 * X.T @ (X @ u * c - y)
    D += 0.05**2 * (c**2 * G @ G - (u @ G) ** 2)
    u, c = u - 0.05 * c * G, c - 0.05 * u @ G


def end(D):
    """The positive root."""
    return ((unseen - D + ((unseen - D) ** 2 + 4 * seen) ** 0.5) / 2) ** 0.5


same("stepped", c, end(D), rtol=1e-4)
flow = theory.fine_tuning_scale_from_norms(seen, 1.0, 1 - unseen)
same("flowed", flow, end(0))
imbalances = np.linspace(0, 1, 50)
sketch(
    "The scale at which fine-tuning ends against the imbalance, falling",
    imbalances,
    end(imbalances),
    xlabel="D",
    marks=(0, 1),
)

# %% [markdown]
# (sheet-the-floor-of-sgd)=
# ### The floor of SGD
#
# $$
# \mathbb E \lVert \beta - b \rVert^2 \sim \frac \eta B\, \mathcal L_{\min} \lVert b \rVert\, (d + 1)
# $$
#
# For $n > d$, two balanced layers, small $\eta d / B$: how far batches of $B$ keep training from the least-squares solution $b$, whose loss is $\mathcal L_{\min}$. The same for scratch training and fine-tuning. {doc}`steps-and-batches`.

# %% [markdown]
# ## Signs as labels
#
# $y = \operatorname{sign}(\beta_t \cdot x)$, reversed with probability $p$; squared loss; $c_0 = \sqrt{2/\pi}$, $c = (1 - 2p)\, c_0$.
#
# (sheet-error-rate-of-scratch-training)=
# ### Error rate of scratch training
#
# $$
# \begin{gathered}
# \cos^2(\pi \varepsilon) = \frac{\min(1, \gamma)}{1 + \sigma_c^2 / \lvert 1 - \gamma \rvert} , \\
# \sigma_c^2 = (1 - c^2) / c^2
# \end{gathered}
# $$
#
# At $\gamma = 0.5$, $p = 0.1$: {glue:text}`scratch-rate:.4f`. {py:func}`~fatelib.theory.scratch_error_rate`, {doc}`classification`.

# %%
#| tags: [remove-input]
c0, c = np.sqrt(2 / np.pi), 0.8 * np.sqrt(2 / np.pi)
cosine2 = g / (1 + (1 / c**2 - 1) / (1 - g))
by_library = theory.scratch_error_rate(g, flip=0.1)
same("scratch-rate", by_library, np.arccos(np.sqrt(cosine2)) / np.pi)
curve = theory.scratch_error_rate(gammas, flip=0.1)
sketch(
    "Error rate against samples per dimension, one half at one",
    gammas,
    curve,
    xlabel="γ",
    marks=(1,),
    ylim=(0, 0.5),
)

# %% [markdown]
# (sheet-error-rate-of-linear-transfer)=
# ### Error rate of linear transfer
#
# $$
# \begin{gathered}
# \varepsilon = \frac\theta\pi + \left( 1 - \frac{2\theta}\pi \right) p_n , \\
# p_n \approx \Phi \left( \frac{-\sqrt n\, c \cos\theta}{\sqrt{1 - c^2 \cos^2\theta}} \right)
# \end{gathered}
# $$
#
# $p_n$: the coefficient has the wrong sign. The function has it exactly; $p_1 = (1 - p) \frac\theta\pi + p (1 - \frac\theta\pi)$. At 45°, $n = 1$, $p = 0.1$: {glue:text}`one-label:.4f`. {py:func}`~fatelib.theory.linear_transfer_error_rate`, {doc}`classification`.

# %%
#| tags: [remove-input]
by_library = theory.linear_transfer_error_rate(angle, n=1, flip=0.1)
same("one-label", by_library, 0.25 + 0.5 * (0.9 * 0.25 + 0.1 * 0.75))
counts = np.arange(1, 31)
curve = theory.linear_transfer_error_rate(angle, n=counts, flip=0.1)
sketch(
    "Error rate against samples, falling to the angle over pi",
    counts,
    curve,
    0 * counts + 0.25,
    xlabel="n",
    ylim=(0, 0.5),
)

# %% [markdown]
# (sheet-error-rate-of-fine-tuning)=
# ### Error rate of fine-tuning
#
# $$
# \begin{gathered}
# \cos(\pi \varepsilon) = \frac{c \gamma + \kappa c_0 (1 - \gamma) \cos\theta}{\sqrt{b + \kappa^2 c_0^2 (1 - \gamma)}} , \\
# b = \gamma\, \frac{1 - c^2 \gamma}{1 - \gamma} , \\
# c_0^2\, \kappa^{2L/(L-1)} = b + \kappa^2 c_0^2 (1 - \gamma)
# \end{gathered}
# $$
#
# For $\gamma < 1$, from a source of clean signs. At 45°, $\gamma = 0.5$, $p = 0.1$, $L = 2$: {glue:text}`tuned-rate:.4f`. {py:func}`~fatelib.theory.fine_tuning_error_rate`, {doc}`classification`.

# %%
#| tags: [remove-input]
b = g * (1 - c**2 * g) / (1 - g)
kappa2 = brentq(lambda k: c0**2 * k**2 - b - k * c0**2 * (1 - g), 0.1, 10)
overlap = c * g + np.sqrt(kappa2) * c0 * (1 - g) * np.cos(angle)
cosine = overlap / np.sqrt(b + kappa2 * c0**2 * (1 - g))
by_library = theory.fine_tuning_error_rate(g, angle, flip=0.1)
same("tuned-rate", by_library, np.arccos(cosine) / np.pi)
curve = theory.fine_tuning_error_rate(gammas, angle, flip=0.1)
sketch(
    "Error rate against samples per dimension, rising to one half at one, then falling",
    gammas,
    curve,
    xlabel="γ",
    marks=(1,),
    ylim=(0, 0.5),
)

# %% [markdown]
# (sheet-break-even-angle-for-signs)=
# ### Break-even angle for signs
#
# $$
# \begin{gathered}
# \cos\theta = \frac{c \gamma}{\kappa c_0 (1 - \gamma)} \left( \sqrt{1 + \frac{w^2}b} - 1 \right) , \\
# w^2 = \kappa^2 c_0^2 (1 - \gamma)
# \end{gathered}
# $$
#
# Fine-tuning errs less often below it. At $\gamma = 0.5$, $p = 0.1$, $L = 2$: {glue:text}`sign-even:.2f`°. {py:func}`~fatelib.theory.fine_tuning_error_break_even`, {doc}`classification`.

# %%
#| tags: [remove-input]
sign_even = np.degrees(theory.fine_tuning_error_break_even(g, flip=0.1))
w2 = kappa2 * c0**2 * (1 - g)
cosine = c * g / (np.sqrt(kappa2) * c0 * (1 - g)) * (np.sqrt(1 + w2 / b) - 1)
same("sign-even", sign_even, np.degrees(np.arccos(cosine)))
curve = np.degrees(theory.fine_tuning_error_break_even(low, flip=0.1))
sketch(
    "Break-even angle against samples per dimension, 90 degrees at both ends",
    low,
    curve,
    xlabel="γ",
    marks=(0.5,),
    ylim=(60, 90),
)

# %% [markdown]
# ## Regularised
#
# (sheet-weight-decay-is-ridge)=
# ### Weight decay is ridge
#
# $$
# \lambda = \tfrac12\, \text{decay}\; \lVert \beta \rVert^{2/L - 2}
# $$
#
# Exact where training with weight decay stops at $\beta \ne 0$: it is the ridge solution for this $\lambda$. One input, two layers, the target 1 and decay 0.1: $\lambda$ = {glue:text}`decay-ridge:.4f`. {doc}`the-baseline-matters`.

# %%
#| tags: [remove-input]
shrunk = brentq(lambda b: 2 * (b - 1) * np.sqrt(b) + 0.1 * np.sqrt(b), 0.5, 1)
same("decay-ridge", 1 / shrunk - 1, 0.1 / 2 / shrunk)  # ridge: b = 1 / (1 + lambda)
lengths = np.linspace(0.2, 2, 50)
sketch(
    "The ridge against the length of the solution, falling",
    lengths,
    0.05 / lengths,
    xlabel="‖β‖",
    marks=(1,),
)

# %% [markdown]
# (sheet-the-price-of-a-risk)=
# ### The price of a risk
#
# $$
# \begin{gathered}
# \gamma = \left( 1 - \frac R \Delta \right) \left( 1 + \frac{\sigma^2}{R} \right) , \quad \lambda_* = \frac{\sigma^2}{\gamma\, \Delta} , \\
# R = \tfrac12 \left( \sqrt{b^2 + 4 \Delta \sigma^2} - b \right) , \\
# b = \sigma^2 + (\gamma - 1)\, \Delta
# \end{gathered}
# $$
#
# Best ridge towards any $\beta_0$, with $\Delta = \lVert \beta_t - \beta_0 \rVert^2$. At $\gamma = 0.5$, $\sigma = 0.2$, $\Delta = 0.5$: {glue:text}`price-value:.4f`. {py:func}`~fatelib.theory.regularised_risk`, {doc}`the-baseline-matters`.

# %%
#| tags: [remove-input]
by_library = float(theory.regularised_risk(g, sigma, 0.5))
b = s2 + (g - 1) * 0.5
same("price-value", by_library, ((b**2 + 4 * 0.5 * s2) ** 0.5 - b) / 2)
paid = (1 - by_library / 0.5) * (1 + s2 / by_library)
np.testing.assert_allclose(paid, g, rtol=1e-4)
whole = np.linspace(0.02, 2, 100)
curves = [theory.regularised_risk(whole, sigma, z) for z in (0.5, 1.0)]
sketch(
    "Risk against samples per dimension for two distances, falling without a pole",
    whole,
    *curves,
    xlabel="γ",
    marks=(1,),
    ylim=(0, 1),
)

# %% [markdown]
# (sheet-what-is-left-to-learn)=
# ### What is left to learn
#
# $$
# \Delta = \begin{cases}
# 1 & \text{scratch, } \beta_0 = 0 \\
# 2 - 2 \cos\theta & \text{L2-SP, } \beta_0 = \beta_s \\
# \sin^2\theta & \text{fitted, } \beta_0 = \cos\theta\, \beta_s
# \end{cases}
# $$
#
# Smaller is better at every $\gamma$: the second beats the first below 60°, the third is never worse. Scratch with the best decay at $\gamma = 1$, $\sigma = 0.2$: {glue:text}`optimal:.4f`.
# {py:func}`~fatelib.theory.optimal_scratch_risk`, {doc}`the-baseline-matters`.

# %%
#| tags: [remove-input]
optimal = theory.optimal_scratch_risk(1.0, sigma)
same("optimal", optimal, (-s2 + (s2**2 + 4 * s2) ** 0.5) / 2)
left = 1 + 0 * radians, 2 - 2 * np.cos(radians), np.sin(radians) ** 2
sketch(
    "Three curves against the angle; the constant one and that of the source cross at 60 degrees, the third is below both",
    degrees,
    *left,
    xlabel="θ",
    marks=(60,),
    ylim=(0, 2),
)

# %% [markdown]
# ## Finite source
#
# (sheet-the-angle-that-is-learned)=
# ### The angle that is learned
#
# $$
# \cos^2\hat\theta = \cos^2\theta\; \frac{\min(1, \gamma_s)}{1 + \sigma_s^2 / \lvert 1 - \gamma_s \rvert}
# $$
#
# For linear transfer put $\hat\theta$ in the place of $\theta$ everywhere. At $\theta = 30°$, $\gamma_s = 0.5$, $\sigma_s = 0.2$: {glue:text}`learned:.2f`°. {py:func}`~fatelib.theory.learned_angle`, {doc}`finite-source`.

# %%
#| tags: [remove-input]
learned = np.degrees(theory.learned_angle(np.pi / 6, g, sigma))
same(
    "learned",
    learned,
    np.degrees(np.arccos((0.75 * g / (1 + s2 / (1 - g))) ** 0.5)),
)
curve = np.degrees(theory.learned_angle(0.0, gammas, sigma))
sketch(
    "Learned angle against source samples per dimension, falling, with a spike at one",
    gammas,
    curve,
    xlabel="γₛ",
    marks=(1,),
    ylim=(0, 95),
)

# %% [markdown]
# (sheet-fine-tuning-from-a-finite-source)=
# ### Fine-tuning from a finite source
#
# $$
# \begin{aligned}
# M &= \min(1, \gamma_s) \cos\theta , \\
# Q &= \min(1, \gamma_s) \left( 1 + \frac{\sigma_s^2}{\lvert 1 - \gamma_s \rvert} \right) , \\
# Q \kappa^{2L/(L-1)} &= \gamma \left( 1 + \frac{\sigma^2}{1 - \gamma} \right) \\
#   &\quad + Q (1 - \gamma)\, \kappa^2 , \\
# \mathcal T_{\text{ft}} &= (1 - \gamma) (2 \kappa M - \kappa^2 Q)
# \end{aligned}
# $$
#
# For $\gamma < 1$. At $\theta = 30°$, $\gamma = \gamma_s = 0.5$, $\sigma = \sigma_s = 0.2$, $L = 2$: {glue:text}`tuned-finite:.4f`. {py:func}`~fatelib.theory.fine_tuning_transferability`, {doc}`finite-source`.

# %%
#| tags: [remove-input]
finite = {"source_gamma": g, "source_sigma": sigma}
M, Q = g * np.cos(np.pi / 6), g * (1 + s2 / (1 - g))
at = ((Q * (1 - g) + ((Q * (1 - g)) ** 2 + 4 * Q * Q) ** 0.5) / (2 * Q)) ** 0.5
by_library = theory.fine_tuning_transferability(g, np.pi / 6, sigma, **finite)
same("tuned-finite", by_library, (1 - g) * (2 * at * M - at**2 * Q))
scale = theory.fine_tuning_scale(g, sigma, **finite)
np.testing.assert_allclose(scale, at, rtol=1e-5)
curve = theory.fine_tuning_transferability(
    g, np.pi / 6, sigma, source_gamma=gammas, source_sigma=sigma
)
sketch(
    "Transferability of fine-tuning against source samples per dimension",
    gammas,
    curve,
    xlabel="γₛ",
    marks=(1,),
    ylim=(-0.4, 0.5),
)

# %% [markdown]
# ## Dynamics
#
# (sheet-growth-of-the-learned-direction)=
# ### Growth of the learned direction
#
# $$
# \dot s = 2 L\, s^{2 - 2/L} (1 - s)
# $$
#
# Balanced and aligned, gradient flow. At $s = 0.3$, $L = 3$: {glue:text}`growth-value:.4f`. {py:func}`~fatelib.theory.strength_growth_rate`, {doc}`deep-linear-dynamics`.

# %%
#| tags: [remove-input]
rate = theory.strength_growth_rate(0.3, depth=3)
same("growth-value", rate, 6 * 0.3 ** (4 / 3) * 0.7)
strengths = np.linspace(0, 1, 80)
curves = [theory.strength_growth_rate(strengths, depth=depth) for depth in (2, 4)]
sketch(
    "Growth rate against strength for two and four layers, zero at both ends",
    strengths,
    *curves,
    xlabel="s",
    marks=(0, 1),
)

# %% [markdown]
# (sheet-the-learning-curve)=
# ### The learning curve
#
# $$
# s(t) = \frac{1}{1 + (1/s_0 - 1)\, e^{-4t}}
# $$
#
# Two layers, with $s_0 = \frac14 \lVert W_1^\top \beta_s + W_2 \rVert^2 \approx \alpha^2 d / 4$ from random weights. At $t = 2$, $s_0 = 10^{-4}$: {glue:text}`strength:.4f`. {py:func}`~fatelib.theory.aligned_strength` has every depth. {doc}`deep-linear-dynamics`.

# %%
#| tags: [remove-input]
strength = theory.aligned_strength(2.0, 1e-4)
same("strength", strength, 1 / (1 + (1e4 - 1) * np.exp(-8)))
times = np.linspace(0, 5, 100)
curves = [
    theory.aligned_strength(times, start, depth=depth)
    for start, depth in ((1e-4, 2), (1e-3, 3))
]
sketch(
    "Strength against time for two and three layers, a plateau and a sudden rise",
    times,
    *curves,
    xlabel="t",
    marks=(0,),
)

# %% [markdown]
# (sheet-length-of-the-plateau)=
# ### Length of the plateau
#
# $$
# \begin{aligned}
# t_{1/2} &= \frac{1}{2L} \int_{s_0}^{1/2} \frac{\mathrm d s}{s^{2 - 2/L} (1 - s)} \\
# &\approx \begin{cases}
# \frac14 \log (1/s_0) & L = 2 \\[0.5ex]
# s_0^{-(1 - 2/L)} / (2L - 4) & L > 2
# \end{cases}
# \end{aligned}
# $$
#
# At $s_0 = 10^{-4}$, $L = 2$: {glue:text}`plateau-2:.4f`; $L = 3$: {glue:text}`plateau-3:.2f`. {py:func}`~fatelib.theory.escape_time`, {doc}`deep-linear-dynamics`.

# %%
#| tags: [remove-input]
for depth in (2, 3):
    integral = quad(
        lambda z, L=depth: np.exp(z * (2 / L - 1)) / (1 - np.exp(z)),
        np.log(1e-4),
        np.log(0.5),
    )
    escape = theory.escape_time(1e-4, depth=depth)
    same(f"plateau-{depth}", escape, integral[0] / (2 * depth))
starts = np.geomspace(1e-6, 0.1, 60)
curves = [theory.escape_time(starts, depth=depth) for depth in (2, 3)]
sketch(
    "Plateau against the initial strength for two and three layers, on logarithmic axes",
    starts,
    *curves,
    xlabel="s₀",
    marks=(1e-4,),
    log="xy",
)

# %% [markdown]
# (sheet-from-rich-to-lazy)=
# ### From rich to lazy
#
# $$
# c^2 = \tfrac12 \left( \sqrt{\delta^2 + 4} - \delta \right) , \quad \delta = \alpha^2 (d - 1)
# $$
#
# Squared strength of the learned feature of two layers, for large $d$; the others stay at the initial scale $\alpha$. At $\delta = 1$: {glue:text}`lazy-feature:.4f`. {doc}`feature-sparsification`.

# %%
#| tags: [remove-input]
last2 = brentq(lambda w2: 1 - w2**2 + w2, 0.5, 3)  # 1 - |w|^4 = -delta |w|^2
same("lazy-feature", 1 / last2, (5**0.5 - 1) / 2)
deltas = np.geomspace(1e-2, 1e2, 60)
curve = ((deltas**2 + 4) ** 0.5 - deltas) / 2
sketch(
    "Squared strength against delta, falling from one",
    deltas,
    curve,
    xlabel="δ",
    marks=(1,),
    log="x",
)

# %% [markdown]
# (sheet-filter-of-pretraining)=
# ### What regularised pretraining keeps
#
# $$
# \begin{gathered}
# f(\varsigma) = \frac{\varsigma'}{1 + (\varsigma' / \alpha^2 - 1)\, e^{-4 \varsigma' t}} , \\
# \varsigma' = \varsigma - \lambda / 2
# \end{gathered}
# $$
#
# Eigenvalues of the features of two layers that learned a source with singular values $\varsigma_i$ for a time $t$ with weight decay $\lambda$, exact from aligned layers of scale $\alpha$; in the end $(\varsigma')_+$.
# At $\varsigma = 1$, $\lambda = 0.5$, $t = 2$, $\alpha = 0.1$: {glue:text}`kept:.4f`. {py:func}`~fatelib.theory.pretraining_filter`, also with dropout and more layers. {doc}`deep-linear-dynamics`.

# %%
#| tags: [remove-input]
kept = theory.pretraining_filter(jnp.ones(1), weight_decay=0.5, time=2.0, scale=0.1)
same("kept", kept[0], 0.75 / (1 + (0.75 / 0.01 - 1) * np.exp(-6)))
values = np.linspace(0, 2, 100)
curves = [
    theory.pretraining_filter(values, weight_decay=0.8),
    theory.pretraining_filter(values, time=1.5, scale=0.1),
]
sketch(
    "What is kept against singular values: nothing below a threshold with decay, an S early",
    values,
    *curves,
    xlabel="ς",
    marks=(0.4,),
)

# %% [markdown]
# ## ReLU networks and kernels
#
# (sheet-overlap-of-two-neurons)=
# ### Overlap of two neurons
#
# $$
# \begin{gathered}
# K(w, v) = \lvert w \rvert \lvert v \rvert\, K_1(\cos\varphi) , \\
# K_1(\cos\varphi) = \frac{\sin\varphi + (\pi - \varphi) \cos\varphi}{2\pi}
# \end{gathered}
# $$
#
# Exact. Two unit neurons at 60°: {glue:text}`overlap:.4f`. {py:func}`~fatelib.relu.arccos_kernel`, {doc}`from-lines-to-kernels`.

# %%
#| tags: [remove-input]


def overlap(phi):
    """Of two unit neurons."""
    return (np.sin(phi) + (np.pi - phi) * np.cos(phi)) / (2 * np.pi)


e1 = jnp.array([[1.0, 0.0]])
by_library = relu.arccos_kernel(e1, jnp.array([[0.5, 0.75**0.5]]))[0, 0]
same("overlap", by_library, overlap(np.pi / 3))
sketch(
    "Overlap against the angle between two neurons, falling from one half to zero at 180 degrees",
    2 * degrees,
    overlap(2 * radians),
    xlabel="φ",
    marks=(60, 180),
)

# %% [markdown]
# (sheet-out-of-reach)=
# ### Out of reach
#
# $$
# \begin{gathered}
# \rho = \lVert f_t \rVert^2 - v^\top K(W, W)^{-1} v , \\
# v = K(W, W^*)\, b^*
# \end{gathered}
# $$
#
# Exact for any neurons $W$; one neuron each at 60°: $\rho / \lVert f_t \rVert^2$ = {glue:text}`outside:.4f`. {py:func}`~fatelib.relu.projection`, {doc}`from-lines-to-kernels`.

# %%
#| tags: [remove-input]
split = relu.projection(e1, jnp.array([[0.5, 0.75**0.5]]), jnp.ones(1))
share = split.outside / (split.inside + split.outside)
same("outside", share, 1 - (overlap(np.pi / 3) / overlap(0)) ** 2)
curve = 1 - (overlap(2 * radians) / overlap(0)) ** 2
sketch(
    "Share out of reach of one neuron against the angle, and the squared sine for a linear one",
    2 * degrees,
    curve,
    np.sin(2 * radians) ** 2,
    xlabel="θ",
    marks=(60, 180),
)

# %% [markdown]
# (sheet-spectrum-of-random-neurons)=
# ### Spectrum of random neurons
#
# $$
# \begin{gathered}
# \Lambda_l = d \left( \mathbb E_z \left[ \operatorname{relu}(z)\, P_l(z) \right] \right)^2 , \\
# \textstyle\sum_l N_l \Lambda_l = \frac12
# \end{gathered}
# $$
#
# $z$ one coordinate of a random unit vector. $\Lambda_1 = 1/(4d)$, other odd ones vanish. $\Lambda_0$ in 10 dimensions: {glue:text}`constant:.5f`. {py:func}`~fatelib.relu.mercer_spectrum`, {doc}`from-lines-to-kernels`.

# %%
#| tags: [remove-input]
values, numbers = relu.mercer_spectrum(10, 8)
density = lambda z: (1 - z**2) ** 3.5  # noqa: E731  # of one coordinate in 10 dimensions
whole = quad(density, -1, 1)[0]
means = [quad(lambda z, p=p: z**p * density(z), 0, 1)[0] / whole for p in (1, 2)]
same("constant", values[0], 10 * means[0] ** 2)
np.testing.assert_allclose(values[1], 10 * means[1] ** 2, rtol=1e-8)
np.testing.assert_allclose(values[1], 1 / 40, rtol=1e-12)
shown = np.array([0, 1, 2, 4])
sketch(
    "Eigenvalues of degree 0, 1, 2 and 4, falling on a logarithmic axis",
    shown,
    values[shown],
    xlabel="degree l",
    marks=(0, 1, 2, 4),
    log="y",
)

# %% [markdown]
# (sheet-a-source-that-lacks-neurons)=
# ### A source that lacks neurons
#
# $$
# \begin{gathered}
# \rho = \frac{1}{m^{*2}} \begin{cases}
# r q \tilde\lambda + r^2 \tilde\lambda_0 & \text{weights } 1 \\
# r\, (q \tilde\lambda + \tilde\lambda_0) & \text{mean } 0
# \end{cases} \\
# \sum_{l \ge 1} \frac{N_l \Lambda_l}{\Lambda_l + \tilde\lambda} = q , \quad \frac1{\tilde\lambda_0} = \frac1{\tilde\lambda} + \frac1{\Lambda_0}
# \end{gathered}
# $$
#
# $q$ neurons left and $r$ removed, $d$ and $m^*$ large. With $d = m^* = 100$, half removed, weights 1, as a share of $\lVert f_t \rVert^2$: {glue:text}`ablated-share:.4f`. {doc}`from-lines-to-kernels`.

# %%
#| tags: [remove-input]
values, numbers = relu.mercer_spectrum(100, 2)
rest = 0.5 - values @ numbers  # degrees from 4 on act as a ridge
spectrum = np.repeat(values[1:], numbers[1:].astype(int))


def shares(q):
    """Out of reach, with all weights 1 and with independent ones, when q of 100 are left."""
    effective = np.asarray(theory.effective_ridge(q, spectrum, ridge=rest / q))
    constant, r = 1 / (1 / effective + 1 / values[0]), 100 - q
    ones = (r * q * effective + r**2 * constant) / (50 + 100 * 99 * values[0])
    return ones, r * (q * effective + constant) / 50


def left_over(z):
    """The equation for the effective ridge."""
    return (numbers[1:] * values[1:] / (values[1:] + z)).sum() + rest / z - 50


z = brentq(left_over, 1e-8, 1)
written = (2500 * z + 2500 / (1 / z + 1 / values[0])) / (50 + 9900 * values[0])
same("ablated-share", shares(50)[0], written)
fractions = np.linspace(0.01, 0.95, 60)
sketch(
    "Share out of reach against the fraction removed, for random weights far above that for weights one",
    fractions,
    *shares(100 * (1 - fractions)),
    xlabel="μ",
    marks=(0.5,),
)

# %% [markdown]
# (sheet-a-last-layer-on-given-features)=
# ### A last layer on given features
#
# $$
# R = \rho + \chi\, (\sigma^2 + \rho)\, \frac{k}{n - k - 1}
# $$
#
# $\chi = 1$ for Gaussian features, exact; nearly so for many ReLU features at many angles, $n \gg k$, $\sigma = 0$: $\chi = \mathbb E [ h^\top K^{-1} h\, e^2 ] / (k \rho)$, leverage times squared misfit. For any neurons and any $n$ use {py:func}`~fatelib.relu.feature_spectrum`
# in the general risk above. At $n = 2k + 1$, $\sigma = 0$, $\chi = 1$ it is {glue:text}`twice:.1f` $\rho$. {doc}`from-lines-to-kernels`, {doc}`relu-transfer`.

# %%
#| tags: [remove-input]
twice = theory.least_squares_risk(41, 20, residual=0.1, signal=0.9) / 0.1
same("twice", twice, 1 + 20 / (41 - 20 - 1))
counts = np.arange(23, 101)
curve = theory.least_squares_risk(counts, 20, residual=0.1, signal=0.9)
sketch(
    "Risk against samples, falling from a pole to a floor",
    counts,
    curve,
    0 * counts + 0.1,
    xlabel="n",
    marks=(41,),
    ylim=(0, 0.6),
)

# %% [markdown]
# (sheet-lengths-of-inputs)=
# ### Lengths of inputs
#
# $$
# \begin{gathered}
# R = \rho \left( 1 + \frac{\langle a^2 \rangle}{\langle a \rangle - \langle a^2 \rangle} \right) , \\
# a = \frac{r^2}{r^2 + \tilde\lambda} , \quad \langle a \rangle = \frac kn
# \end{gathered}
# $$
#
# Inputs $x = r u$, $u$ on a sphere, $\langle r^2 \rangle = 1$; $n > k$, no noise. A covariance $\Sigma$ turns the neuron $w$ into $\Sigma^{1/2} w$. For exponential $r^2$ at $n = 2k$: {glue:text}`bursts-value:.3f` $\rho$. {doc}`relu-depends`.

# %%
#| tags: [remove-input]
squares = -np.log1p(-(np.arange(2000) + 0.5) / 2000)  # quantiles of r^2


def factor(ratio):
    """Risk over rho at n = ratio * k samples."""
    effective = np.asarray(theory.effective_ridge(2000 / ratio, squares))
    a = squares / (squares + effective[..., None])
    return 1 + (a**2).mean(-1) / (a - a**2).mean(-1)


def mean(z, power):
    """Of a power of the share, over exponential lengths."""
    return quad(lambda t: (t / (t + z)) ** power * np.exp(-t), 0, np.inf)[0]


z = brentq(lambda z: mean(z, 1) - 0.5, 1e-4, 50)
written = 1 + mean(z, 2) / (0.5 - mean(z, 2))
same("bursts-value", factor(2.0), written, rtol=2e-3)
ratios = np.linspace(1.15, 6, 40)
equal = ratios / (ratios - 1)
sketch(
    "Risk over its limit against samples per feature, for equal and for exponential lengths",
    ratios,
    equal,
    factor(ratios),
    xlabel="n/k",
    marks=(2,),
    ylim=(0, 6),
)

# %% [markdown]
# (sheet-neurons-that-turn)=
# ### Neurons that turn
#
# $$
# \begin{gathered}
# \lvert w_i \rvert^2 = \alpha^2 + c_i^2 , \\
# \frac{d \hat w_i}{dt} = - \frac{c_i}{\lvert w_i \rvert}\, M_i^\perp
# \end{gathered}
# $$
#
# Gradient flow from $c_i = 0$; $-M_i$ is the force on neuron $i$, $\hat w_i$ its direction. Short ones ($\alpha \ll 1$) turn, long ones learn with $c_i$ alone. {doc}`relu-students`.

# %%
#| tags: [remove-input]
weights = np.linspace(0, 2, 60)
curves = [weights / (z**2 + weights**2) ** 0.5 for z in (0.1, 5.0)]
sketch(
    "How fast a neuron turns against its output weight, for a short and a long initial neuron",
    weights,
    *curves,
    xlabel="cᵢ",
    marks=(0, 1),
)

# %% [markdown]
# (sheet-alignment-of-two-kernels)=
# ### Alignment of two kernels
#
# $$
# \begin{gathered}
# A(W, V) = \frac{\langle \Theta_W, \Theta_V \rangle}{\lVert \Theta_W \rVert\, \lVert \Theta_V \rVert} , \quad \langle \Theta_W, \Theta_V \rangle \\
# = \operatorname*{mean}_{ij} \Big( K(w_i, v_j) - \frac{\lvert w_i \rvert \lvert v_j \rvert}{2 \pi} \Big)^2
# \end{gathered}
# $$
#
# Exact, centred. Three orthogonal neurons against one of them: {glue:text}`alignment-value:.4f`. {py:func}`~fatelib.relu.feature_alignment`, {doc}`relu-students`.

# %%
#| tags: [remove-input]
by_library = relu.feature_alignment(jnp.eye(3), jnp.eye(3)[:1])
centre = 1 / (2 * np.pi)
cross = np.array([0.5, centre, centre]) - centre  # one parallel, two orthogonal
own = (np.where(np.eye(3) == 1, 0.5, centre) - centre) ** 2
alone = (0.5 - centre) ** 2
written = (cross**2).mean() / (own.mean() * alone) ** 0.5
same("alignment-value", by_library, written)
curve = (overlap(2 * radians) - centre) ** 2 / alone
sketch(
    "Alignment of two single neurons against their angle, falling from one and rising again",
    2 * degrees,
    curve,
    xlabel="φ",
    marks=(90, 180),
)

# %% [markdown]
# ## Your own features
#
# (sheet-effective-ridge-from-features)=
# ### Effective ridge from features
#
# $$
# \begin{aligned}
# \tilde\lambda &= \frac{N \lambda}{N - 1 - d_1} , \\
# d_1 &= \sum_i \frac{\hat\ell_i}{\hat\ell_i + \lambda N/(N-1)}
# \end{aligned}
# $$
#
# $N$ samples with an intercept, ridge $\lambda$; no labels needed. {py:func}`~fatelib.probe.diagnose`, {doc}`which-layer`.

# %% [markdown]
# (sheet-learning-curve-from-labels)=
# ### Learning curve from labels
#
# $$
# \begin{gathered}
# \text{error}(n) = E_\infty\, \frac{n}{n - 1 - d_2} , \\
# E_\infty = \frac{N - 1 - d_2}{N} \cdot \operatorname*{mean}_j \left( \frac{y_j - \hat y_j}{1 - h_{jj}} \right)^2
# \end{gathered}
# $$
#
# At a fixed $\tilde\lambda$, on which $E_\infty$ and $d_2 = d_1 + \mathrm d\, d_1 / \mathrm d \ln \tilde\lambda$ depend; $h_{jj}$ is the leverage. For many samples and features. 120 synthetic samples of 30 features, ridge 0.05: at $n = 60$ and the same $\tilde\lambda$ {glue:text}`from-labels:.3f`. {py:func}`~fatelib.probe.diagnose`, {doc}`which-layer`.

# %%
#| tags: [remove-input]
N, ridge = 120, 0.05
Z = rng.standard_normal((N, 30)) / np.sqrt(np.arange(1, 31))
y = Z[:, :10].sum(axis=1) + rng.standard_normal(N)
U, sizes, _ = np.linalg.svd(Z - Z.mean(axis=0), full_matrices=False)
kept = sizes**2 / (sizes**2 + N * ridge)
left_out = (y - y.mean() - U * kept @ U.T @ y) / (1 - 1 / N - U**2 @ kept)
d1, slope = kept.sum(), (kept * (1 - kept)).sum()
d2 = d1 - slope / (1 - slope / (N - 1 - d1))
effective = N * ridge / (N - 1 - d1)
endless = (left_out**2).mean() * (N - 1 - d2) / N
report = fatelib.diagnose(Z, y, task="regression")
here = effective * (60 - 1 - d1) / 60  # the ridge that keeps the effective one
error = report.error(report.names[0], 60, here).value
same("from-labels", error, endless * 60 / (60 - 1 - d2), rtol=5e-3)
counts = np.arange(35, 300)
curve = endless * counts / (counts - 1 - d2)
sketch(
    "Error against the number of samples at one effective ridge, falling towards a floor",
    counts,
    curve,
    0 * counts + endless,
    xlabel="n",
    marks=(60,),
    ylim=(0, 2),
)

# %% [markdown]
# (sheet-parts-of-an-error-and-credit)=
# ### Parts of an error, and credit
#
# $$
# \begin{gathered}
# \text{error}(n) = \sigma^2 + \rho + v(n) , \quad \sigma^2 = \frac{\tau^2}{r} , \\
# \text{credit} = \frac{\text{risk on the control}}{\text{risk on the features}}
# \end{gathered}
# $$
#
# More raters lower the first part, other features the second, more labels the third. Credit above 1: pretraining helped. The first two, $\sigma^2 + \rho$, are the *ceiling*, an error below which no number of labels goes with these features. `report.noise`, `report.ceiling`, `report.credit`: {py:class}`~fatelib.probe.Report`, {doc}`sentence-features`, {doc}`what-pretraining-adds`.
