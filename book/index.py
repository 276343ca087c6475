# %% [markdown]
# # Features are fate
#
# When does a pretrained network beat training from scratch?
# This placeholder is the landing page; {cite:t}`tahir2025` is the paper.

# %%
#| name: fig-landing
#| caption: A placeholder, $y = x^2$.
#| alt: A parabola.
#| tags: [hide-input]
import matplotlib.pyplot as plt
import numpy as np

x = np.linspace(-1, 1, 50)
fig, ax = plt.subplots()
ax.plot(x, x**2)
ax.set(xlabel="$x$", ylabel="$y$")
plt.show()
