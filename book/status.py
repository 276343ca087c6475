# %% [markdown]
# # Status
#
# Every figure of this book and every number of its chapters, but for the stored runs of ReLU networks at the size of the paper (and for times and benchmarks, measured before), was computed when it was built, by the versions below. A change of the library,
# of its stored data or of a pinned version runs every chapter anew; an error in any cell, or an experiment that
# disagrees with the theory by more than its stated tolerance, fails the build.
#
# ## Environment

# %%
#| tags: [remove-input]
import os
import platform
from importlib.metadata import version

import jax
from IPython.display import Markdown

device = jax.devices()[0]
rows = {
    "fatelib": version("fatelib"),
    "Python": platform.python_version(),
    **{
        name: version(name)
        for name in ["jax", "jaxlib", "equinox", "numpy", "xarray"]
    },
    "system": f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores",
    "device": f"{device.platform}: {device.device_kind}",
}
Markdown(
    "| | |\n|---|---|\n"
    + "\n".join(f"| {name} | {value} |" for name, value in rows.items())
)

# %% [markdown]
# ## Time per chapter
#
# ```{run-times}
# ```
