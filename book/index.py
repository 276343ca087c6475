# %% [markdown]
# # Features are fate, executed
#
# **When does a pretrained network beat training from scratch?** In high-dimensional regression the answer is exact, and
# often surprising: how alike two data sets are does not decide alone. What does is how well the new target is represented in the
# *features* that the old task left behind, and how many samples there are.

# %%
#| tags: [remove-input]
#| name: fig-landing
#| caption: >-
#|   The phenomenon in one picture. Left: where keeping the features of a source task beats training from scratch without weight decay (blue) and
#|   where it loses (red), over the angle $\theta$ between the tasks and the number of samples per dimension $\gamma$, in closed form for large $d$.
#|   Right: three vertical cuts at $d = 100$, where fitting even one number costs $(\sigma^2 + \sin^2\theta)/(n - 2)$, visible at small $\gamma$; trained
#|   two-layer networks (points: means of 20, bars: one standard error) on the exact theory (lines). Label noise $\sigma = 0.2$. Computed when this page was built.
#| alt: >-
#|   Left, a map in blue and red with a black line where transfer and scratch training tie. Right, three curves that fall,
#|   spike where the number of samples equals the dimension, and fall again; measured points lie on the curves.
import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fatelib
from fatelib import plot, theory

plt.style.use("fatelib.style")
d, sigma = 100, 0.2
cuts = np.pi * np.array([1, 2, 3]) / 8
theta, gamma = np.linspace(0, np.pi / 2, 121), np.linspace(0.01, 2, 200)
n = np.arange(5, 2 * d + 1)
T = xr.DataArray(
    theory.linear_transferability(gamma, theta[:, None], sigma),
    coords={"theta": theta, "gamma": gamma},
)
exact = xr.DataArray(
    theory.least_squares_risk(n, d, noise=sigma)
    - theory.linear_transfer_risk(cuts[:, None], n=n, sigma=sigma),
    coords={"theta": cuts, "gamma": n / d},
)
data = fatelib.phase_diagram(
    "linear_transfer",
    cuts,
    [0.2, 0.4, 0.6, 0.8, 1.2, 1.4, 1.6, 1.8],
    d=d,
    sigma=sigma,
    instances=20,
    key=jax.random.key(0),
    progress=False,
)
fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), width_ratios=[1.1, 1])
plot.phase_diagram(T, limit=1, ax=left)
for i, cut in enumerate(cuts):
    left.axvline(cut, color=f"C{i}", linewidth=1, linestyle="--")
plot.slices(data.transferability, exact, converged=data.converged, ax=right)
right.axhline(0, color="black", linewidth=0.6)
right.set(ylim=(-1, 2), ylabel=r"transferability $\mathcal{T}$")
right.legend()
# %%
#| tags: [remove-input]
fatelib.agreement_table(
    {
        "transferability": (
            data.transferability,
            exact.sel(gamma=data.gamma, method="nearest"),
        )
    }
)

# %% [markdown]
# This book is an executable companion to *Features are fate: a theory of transfer learning in high-dimensional regression*
# {cite:p}`tahir2025`. Its figures are computed when the book is built: networks are trained (or, where the caption says so, solved for exactly), the theory is laid over them, and a table such
# as the one above says how far apart they are and what is tolerated. Two of ReLU networks, at the size of the paper, are not: their data are stored with the book, as their captions say. A cell beyond its tolerance stops the build.
#
# ## Three results to start with
#
# - **One pair of tasks, both verdicts.** At 45° the features win with few samples and lose with many: no distance between two tasks or two data sets can tell which without the number of samples ({doc}`distances-do-not-decide`).
# - **Sixty degrees.** Without label noise and with fewer samples than dimensions, fine-tuning beats scratch training up to an angle of 60° between the tasks and not beyond ({doc}`fine-tuning`).
# - **Untrained features can win too.** In the paper's experiment with ReLU networks, a last layer on *random* neurons beats scratch training while samples are few. Pretraining deserves credit for what it adds to that ({doc}`relu-transfer`).
#
# And for a network of your own nobody knows the truth. Its features and a few hundred labels are enough for the learning curve of a layer on top, with intervals: {doc}`which-layer`.
#
# The shortest way in is to move the sliders of {numref}`fig-explore-linear` in the first chapter.
#
# ## Who it is for
#
# You know linear algebra and some probability, have trained a network or two, and read Python; a little JAX helps.
#
# ::::{grid} 1 1 3 3
# :gutter: 3
#
# :::{grid-item-card} Read
# Start with {doc}`when-does-transfer-help`. Twenty to forty minutes a chapter, exercises apart: one question, one idea, exercises with folded
# solutions, figures you can turn.
# :::
#
# :::{grid-item-card} Run
# Every chapter is a notebook. Use the buttons at the top of its page to download it or, on the published site, to open it in Colab; a laptop is enough.
# :::
#
# :::{grid-item-card} Reuse
# Everything is computed by `fatelib`, a small JAX library: closed forms, exact training, phase diagrams of your own. See the
# {doc}`api/index`.
# :::
#
# ::::
#
# ## What you will find
#
# | chapter | the question | the answer in one line |
# |---|---|---|
# | {doc}`when-does-transfer-help` | Keep the features or start over? | With few samples and a small angle, keep them; against well-regularised scratch training exactly while $\gamma < \cos^2\theta\,(1 + \sigma^2/\sin^2\theta)$. |
# | {doc}`deep-linear-dynamics` | Why does nothing happen, and then everything? | A saddle: a plateau, then a sudden rise. Deeper networks wait longer. |
# | {doc}`feature-sparsification` | What does a network keep of what it saw? | From small initial weights one feature, from large ones all. |
# | {doc}`one-formula` | What do n samples teach k features? | Three terms, exact for every n; one of them makes the spike. |
# | {doc}`linear-transfer` | When do frozen features win, and by how much? | The formula at one feature against all of them; part of the gain is not theirs. |
# | {doc}`fine-tuning` | And if all layers go on learning? | Up to 60° without label noise, where the source is nearer the truth than zero; noise, and depth with it, shrink that to $\arccos(\kappa/2)$. |
# | {doc}`finite-source` | What if the source was small and noisy too? | Its features turn away from the truth by a known angle. |
# | {doc}`the-baseline-matters` | Does transfer beat scratch training done well? | While $\gamma$ stays below one closed-form boundary; pulled to its fitted multiple with the best penalty it never loses, for large $d$, and with a penalty chosen by leave-one-out it loses a few per cent at 90°. |
# | {doc}`steps-and-batches` | Do steps, batches and stopping early change all this? | Steps and batches hardly, stopping very much; with both stopped at their best it is 60° again, to within a degree, wherever we looked. |
# | {doc}`distances-do-not-decide` | Is a distance between data sets enough to know? | Not alone: one pair of tasks changes its sign with the number of samples. With that number, the noise and unit norms, yes. |
# | {doc}`from-lines-to-kernels` | And if features are not lines but ReLU neurons? | What their span misses of the target takes the place of $\sin^2\theta$; a kernel measures it. |
# | {doc}`relu-students` | Does a ReLU network find its teacher's features? | Short neurons turn to the teacher's, but only once the task is all but learned; long ones stay. |
# | {doc}`what-pretraining-adds` | And is it good to have found them? | Measured against neurons never trained: from a near source very; from a distant one the richest features can be worse than random. |
# | {doc}`relu-transfer` | Keep, tune or start over, for ReLU networks? | The neurons and the target predict what keeping them is worth; part of that untrained neurons have as well. |
# | {doc}`relu-depends` | Which of this depends on choices nobody argued for? | A near source helps unless neurons are too long to move; a distant one hurts short neurons trained long; exponents belong to the teacher, and whether random features beat scratch training to teacher, width and initial length. |
# | {doc}`which-layer` | Which layer of a network should I keep, and is it worth training one? | Labels alone give the learning curve of every layer; a last layer may be too special, and the untrained copy says what pretraining added. |
# | {doc}`sentence-features` | Collect labels, ask more raters or change the features? | Noise, what features miss and what few labels cost add up, and each can be read off a few hundred labels. |
#
# How fast all this is trained, and how to run grids of your own, is on the pages {doc}`performance` and {doc}`sweeps`; our version of every figure of the paper, with the command behind it, is in the {doc}`gallery`, what needed a correction in the {doc}`errata`. Results that are not in the paper are listed at its end. If you use the book or the library, please
# {doc}`cite <cite>` them together with the paper.
