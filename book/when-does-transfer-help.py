# %% [markdown]
# # When does transfer help?
#
# {cite:t}`tahir2025` ask when features transfer {cite:p}`saxe2014,hastie2022`. Inline
# mathematics: $\gamma = n/d$. An equation with a number:
#
# $$
# R(\gamma) = (1 - \gamma) + \frac{\gamma \sigma^2}{1 - \gamma}, \qquad \gamma < 1.
# $$ (eq-help)
#
# Equation {eq}`eq-help` is shown in {numref}`fig-help` and proved in {prf:ref}`thm-help`.
# See also {doc}`index` and {ref}`what-to-remember-help`, and {prf:ref}`def-help`.
#
# :::{prf:definition} Risk
# :label: def-help
# The risk is the expected squared error, $R = \mathbb E (f(x) - f^*(x))^2$.
# :::
#
# :::{prf:theorem} The risk of scratch training
# :label: thm-help
# In the limit $n, d \to \infty$ with $n/d = \gamma$ the risk is {eq}`eq-help`.
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
#| name: fig-help
#| caption: Scratch risk against $\gamma$ for $\sigma = 0.2$; see {eq}`eq-help`.
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

glue("smallest-risk-help", float(risk.min()), display=False)

# %% [markdown]
# The smallest risk on this grid is {glue:text}`smallest-risk-help:.3f`.
#
# :::{exercise} The peak
# :label: ex-help
# Where is the risk in {eq}`eq-help` smallest?
# :::
#
# :::{solution} ex-help
# :label: sol-help
# :class: dropdown
# Set the derivative to zero: $\gamma = 1 - \sigma$.
#
# ```python
# 1 - 0.2
# ```
# :::
#
# {numref}`ex-help` has a folded solution.
#
# (what-to-remember-help)=
# ## What to remember
#
# - One.
# - Two.
