# %% [markdown]
# # Feature sparsification
#
# {cite:t}`tahir2025` ask when features transfer {cite:p}`saxe2014,hastie2022`. Inline
# mathematics: $\gamma = n/d$. An equation with a number:
#
# $$
# R(\gamma) = (1 - \gamma) + \frac{\gamma \sigma^2}{1 - \gamma}, \qquad \gamma < 1.
# $$ (eq-sparsification)
#
# Equation {eq}`eq-sparsification` is shown in {numref}`fig-sparsification` and proved in {prf:ref}`thm-sparsification`.
# See also {doc}`index` and {ref}`what-to-remember-sparsification`, and {prf:ref}`def-sparsification`.
#
# :::{prf:definition} Risk
# :label: def-sparsification
# The risk is the expected squared error, $R = \mathbb E (f(x) - f^*(x))^2$.
# :::
#
# :::{prf:theorem} The risk of scratch training
# :label: thm-sparsification
# In the limit $n, d \to \infty$ with $n/d = \gamma$ the risk is {eq}`eq-sparsification`.
# :::
#
# :::{prf:proof}
# A projector on a random subspace keeps a fraction $\gamma$ of the norm.
# :::
#
# :::{note}
# An admonition, for what a reader may skip.
# :::

# %%
#| name: fig-sparsification
#| caption: Scratch risk against $\gamma$ for $\sigma = 0.2$; see {eq}`eq-sparsification`.
#|   A second line of the caption.
#| alt: A curve that falls, peaks near one, and falls again.
import matplotlib.pyplot as plt
import numpy as np

gamma = np.linspace(0.05, 0.95, 50)
risk = 1 - gamma + 0.04 * gamma / (1 - gamma)
fig, ax = plt.subplots()
ax.plot(gamma, risk)
ax.set(xlabel=r"$\gamma$", ylabel="risk")
plt.show()

# %%
#| tags: [build-only]
from myst_nb import glue

glue("smallest-risk-sparsification", float(risk.min()), display=False)

# %% [markdown]
# The smallest risk on this grid is {glue:text}`smallest-risk-sparsification:.3f`.
#
# :::{exercise} The peak
# :label: ex-sparsification
# Where is the risk in {eq}`eq-sparsification` smallest?
# :::
#
# :::{solution} ex-sparsification
# :label: sol-sparsification
# :class: dropdown
# Set the derivative to zero: $\gamma = 1 - \sigma$.
#
# ```python
# 1 - 0.2
# ```
# :::
#
# {numref}`ex-sparsification` has a folded solution.
#
# (what-to-remember-sparsification)=
# ## What to remember
#
# - One.
# - Two.
