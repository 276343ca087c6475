# %% [markdown]
# # Deep linear dynamics
#
# {cite:t}`tahir2025` ask when features transfer {cite:p}`saxe2014,hastie2022`. Inline
# mathematics: $\gamma = n/d$. An equation with a number:
#
# $$
# R(\gamma) = (1 - \gamma) + \frac{\gamma \sigma^2}{1 - \gamma}, \qquad \gamma < 1.
# $$ (eq-dynamics)
#
# Equation {eq}`eq-dynamics` is shown in {numref}`fig-dynamics` and proved in {prf:ref}`thm-dynamics`.
# See also {doc}`index` and {ref}`what-to-remember-dynamics`, and {prf:ref}`def-dynamics`.
#
# :::{prf:definition} Risk
# :label: def-dynamics
# The risk is the expected squared error, $R = \mathbb E (f(x) - f^*(x))^2$.
# :::
#
# :::{prf:theorem} The risk of scratch training
# :label: thm-dynamics
# In the limit $n, d \to \infty$ with $n/d = \gamma$ the risk is {eq}`eq-dynamics`.
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
#| name: fig-dynamics
#| caption: Scratch risk against $\gamma$ for $\sigma = 0.2$; see {eq}`eq-dynamics`.
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

glue("smallest-risk-dynamics", float(risk.min()), display=False)

# %% [markdown]
# The smallest risk on this grid is {glue:text}`smallest-risk-dynamics:.3f`.
#
# :::{exercise} The peak
# :label: ex-dynamics
# Where is the risk in {eq}`eq-dynamics` smallest?
# :::
#
# :::{solution} ex-dynamics
# :label: sol-dynamics
# :class: dropdown
# Set the derivative to zero: $\gamma = 1 - \sigma$.
#
# ```python
# 1 - 0.2
# ```
# :::
#
# {numref}`ex-dynamics` has a folded solution.
#
# (what-to-remember-dynamics)=
# ## What to remember
#
# - One.
# - Two.
