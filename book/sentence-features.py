# %% [markdown]
# # Somebody else's features
#
# You have a few hundred labelled sentences, and a public network that turns any sentence into 256 numbers. Is that embedding good for *your* labels? With more time or money: collect more labels, ask more people about the same sentences, or look for other
# features? In this chapter you will
#
# - read from 500 labels the learning curves of four feature sets, and hold them against probes that were trained on up to 2,000,
# - split the error into what raters disagree about, what the features cannot say, and what few labels cost, and make a decision of the three,
# - see the estimate fail on near copies, and what `groups=` does about it.

# %%
#| tags: [hide-input]
import io
import json
import urllib.request
from importlib import metadata
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import fatelib
from fatelib import theory

plt.style.use("fatelib.style")


def stored(name):
    """Read arrays beside this notebook, else from where fatelib was installed."""
    for path in (Path("data", name), Path(name)):
        if path.exists():
            return np.load(path)
    text = metadata.distribution("fatelib").read_text("direct_url.json")
    source = json.loads(text or "{}")
    if "vcs_info" not in source:
        raise FileNotFoundError(
            f"put {name}, of the book's data, beside this notebook"
        )
    commit = source["vcs_info"]["commit_id"]
    address = f"{source['url'].removesuffix('.git')}/raw/{commit}/book/data/{name}"
    with urllib.request.urlopen(address) as answer:
        return np.load(io.BytesIO(answer.read()))


def equal_weight(Z):
    """Bring a feature set to total variance one."""
    return (Z - Z.mean(axis=0)) / np.sqrt(Z.var(axis=0).sum())


arrays = stored("ratings.npz")
ratings = arrays["ratings"].astype(float)  # (3200 tweets, 20 raters)
y = ratings.mean(axis=1)
embedding, untrained = (arrays[k].astype(float) for k in ("embedding", "untrained"))
words = np.unpackbits(arrays["words"], axis=1).astype(float)
both = np.hstack([equal_weight(embedding), equal_weight(words)])
sets = {"embedding": embedding, "words": words, "both": both}
sets |= {"untrained": untrained}


N, draws, held_out = 500, 8, 700
sizes = np.array([20, 50, 100, 200, 500, 1000, 2000])
ridges = np.geomspace(1e-5, 1, 31)  # in units of the largest eigenvalue


def outputs(Z, labels, train, test):
    """Ridge regressions with an intercept: outputs on test samples, for each ridge."""
    mean, centre = Z[train].mean(axis=0), labels[train].mean()
    X, c = Z[train] - mean, labels[train] - centre
    wide = len(X) < X.shape[1]  # then the smaller matrix is that of the samples
    s, U = np.linalg.eigh(X @ X.T if wide else X.T @ X)
    right = U.T @ (c if wide else X.T @ c)
    weights = U @ (right[:, None] / (s[:, None] + s[-1] * ridges))
    return centre + (Z[test] - mean) @ (X.T @ weights if wide else weights)


def squared(outputs, test):
    return (outputs - y[test, None]) ** 2


def measure(Z, labels, n, wrong=squared):
    """Error of probes on n sentences that the diagnosis has not seen, with its error."""
    rows = []
    for i in range(draws):
        order = N + np.random.default_rng(i).permutation(len(y) - N)
        test = order[-held_out:]
        off = wrong(outputs(Z, labels, order[:n], test), test)
        rows.append([off.mean(axis=0), off.var(axis=0)])
    means, variances = np.moveaxis(rows, 1, 0)
    best = means.mean(axis=0).argmin()
    # Draws overlap: add the error of as many sentences as there are.
    among = means[:, best].var(ddof=1) / draws
    return means[:, best].mean(), np.sqrt(among + variances.mean(0)[best] / 2700)


def compare(read, names, labels, wrong=squared):
    """Predicted and measured, with standard errors; where it is no bound."""
    found = [[read(name, n) for n in sizes] for name in names]
    said = [[(e.value, (e.high - e.low) / 3.92) for e in row] for row in found]
    done = [
        [measure(sets[name], labels, n, wrong) for n in sizes] for name in names
    ]
    coords = {"features": names, "n": sizes, "what": ["value", "error"]}
    both = (xr.DataArray(np.array(rows), coords) for rows in (said, done))
    known = [[e.identified for e in row] for row in found]
    return *both, xr.DataArray(known, {k: coords[k] for k in ("features", "n")})


def apart(predicted, measured):
    """How far apart, in standard errors."""
    off, spread = predicted - measured, np.hypot(predicted, measured)
    return abs(
        off.sel(what="value", drop=True) / spread.sel(what="error", drop=True)
    )


mine = slice(0, N)
report = fatelib.diagnose(
    {name: Z[mine] for name, Z in sets.items()},
    y[mine],
    control="untrained",
    noise=ratings[mine],
)
predicted, measured, known = compare(report.error, [*sets], y)
one_rating = ratings[mine].var(axis=1, ddof=1).mean()

# %%
#| name: fig-sentences
#| caption: >-
#|   Error of predicting how 3,200 tweets are rated, against the number $n$ of labelled ones. Lines and bands: what `fatelib.diagnose` reads from 500 of them, with 95 % intervals; dashed: the upper end alone, where 500 labels only bound the error. Points: ridge probes trained on $n$
#|   of the other 2,700 and tested on 700 of the rest, mean of 8 draws with one standard error. Dotted: the error of one more human rater. Grey: the variance of the mean of 20 ratings.
#| alt: >-
#|   Four falling curves, with bands that widen beyond 500 labels. The embedding and both sets together fall fastest, words fall late, the untrained copy stays high.
#|   All points lie in the bands, those of the embedding on its line; beyond 500 labels those of words lie above theirs. No point reaches the dotted line of a human rater.
#| tags: [hide-input]
ax = report.plot(plt.subplots(figsize=(6.4, 4))[1])
for i, name in enumerate(sets):
    points = measured.sel(features=name)
    bars = points.sel(what="error")
    ax.errorbar(sizes, points.sel(what="value"), bars, fmt="o", color=f"C{i}", ms=4)
human = one_rating + report.noise
ax.axhline(human, color="k", linestyle=":", linewidth=1)
ax.annotate("one human rater", (17, human + 0.02))
ax.axhspan(0, report.noise, color="0.6")
ax.annotate("raters' noise", (17, report.noise + 0.02))
ax.set(xlim=(15, 2500), ylim=(0, 2.3), yscale="linear", yticks=[0, 0.5, 1, 1.5, 2])
ax.yaxis.set_major_formatter("{x:g}")
ax.legend(loc="lower right", bbox_to_anchor=(0.7, 0.02))

# %%
#| tags: [check]
# How far apart are points and lines? In standard errors: those of the 500 labels, a
# quarter of the 95 % interval, and those of the points together. Up to three are
# accepted. Left out are points where there is a bound only (dashed).
gap = apart(predicted, measured)
line = {"error, in standard errors": (gap, 0.0)}
fatelib.agreement_table(line, over=None, tolerance=3, where=known)

# %%
#| tags: [build-only]
from myst_nb import glue


def note(**values):
    """Keep numbers for the text."""
    for name, value in values.items():
        number = value if isinstance(value, int | str) else float(value)
        glue(name.replace("_", "-"), number, display=False)


end = report.ceiling.sel(features="embedding")
now = report.error("embedding", N)
late = measured.sel(n=2000, what="value")
note(noise=report.noise, tau=one_rating, human=human, spread=report.spread)
note(now=now.value, now_low=now.low, now_high=now.high)
note(residual_low=end.error_low - report.noise)
note(residual_high=end.error_high - report.noise)
note(residual=end.residual, few=now.value - end.error, ceiling=end.error)
for name in sets:
    note(**{f"late_{name}": late.sel(features=name)})
credit = report.credit().credit.sel(features="embedding")
note(credit=credit, negative=100 * (y < 0).mean())
whole = fatelib.diagnose(embedding, y, noise=ratings).ceiling.isel(features=0)
note(whole=whole.error, whole_low=whole.error_low, whole_high=whole.error_high)
note(total=f"{len(y):,}")
# As the text says:
assert (late.sel(features="both") < late).sum() == 3
assert whole.error_low > human
assert whole.error_low < end.error < whole.error_high
assert end.residual > now.value - end.error > report.noise
assert report.credit().credit_low.sel(features="embedding") > 1

# %% [markdown]
# The labels are those of Hutto and Gilbert ([2014](https://doi.org/10.1609/icwsm.v8i1.14550)), who had tweets rated by 20 people each, from −4 (extremely negative) to 4 (extremely positive); the label $y$ is the mean. They come with the package [vaderSentiment](https://pypi.org/project/vaderSentiment/).
# (We kept the tweets with exactly 20 ratings, and store features, no texts.) The four feature sets are
#
# - **embedding**: 256 numbers of [wordllama](https://pypi.org/project/wordllama/), which has a vector for every piece of a word, averages them over the sentence and divides by the length,
# - **untrained**: the same network with random vectors, as before any training, the control of {prf:ref}`def-credit`,
# - **words**: which of the 400 most frequent words of the corpus occur, and **both**: embedding and words side by side, with equal total variance.
#
# Both packages are under the MIT licence.
#
# ## What one would guess
#
# That somebody else's embedding, made for other purposes, is a gamble; that a plain list of words can be forgotten beside it; and that careful labels, 20 opinions each, are worth their price. We shall see that the embedding is good here, that words are worth adding to it, and that 20 opinions are far too many.
#
# ## Three parts of an error
#
# A probe is ridge regression with an intercept, and its error is the mean squared distance from $y$ on new sentences. Of probes with their best ridge it is a sum of three numbers:
#
# $$
# \text{error}(n) = \underbrace{\sigma^2 \vphantom{v(n)}}_{\text{raters}} + \underbrace{\rho \vphantom{v(n)}}_{\text{features}} + \underbrace{v(n)}_{\text{labels}}
# $$ (three-parts)
#
# - The **noise** $\sigma^2$: other raters would have given another mean. If one rating scatters with variance $\tau^2$ about what all people would say on average, the mean of $r$ has $\sigma^2 = \tau^2 / r$. Only *more raters* lower it.
# - The **residual** $\rho$: what no linear combination of these features says of that average, with any number of labels. Only *other features* lower it.
# - The **rest** $v(n)$: bias and variance of a fit to $n$ labels. *More labels* bring it to zero.
#
# (The rest is also smaller where noise and residual are: to a fit both are scatter.) So the sizes of the parts say what can be gained where, if we can tell them apart. Repeated labels give $\tau^2$: it is the variance among the ratings of one sentence, averaged over sentences, here {glue:text}`tau:.2f`. `fatelib.diagnose` estimates the curve error$(n)$ and its end, $\sigma^2 + \rho$, which is called the **ceiling** (of how good a probe can be): the error, noise and residual, below which no number of labels brings a linear layer on these features. How it can: the leave-one-out errors of 500 labels at
# one ridge are the error at another $n$ with another ridge ({doc}`which-layer` derives it).

# %%
# Arrays with a row for each of the 3,200 tweets; a folded cell above reads them.
mine = slice(0, 500)  # those whose labels we have
report = fatelib.diagnose(
    {
        "embedding": embedding[mine],
        "words": words[mine],
        "both": both[mine],
        "untrained": untrained[mine],
    },
    y[mine],
    control="untrained",
    noise=ratings[mine],  # 20 labels of each, whose mean is y
)
print(report)

# %% [markdown]
# Read it from above. **Credit**: the report compares the control with its best set, `both` (the best of several flatters itself a little, {doc}`which-layer`). For the embedding alone `report.credit()` says {glue:text}`credit:.2f`: pretraining earned it, as the untrained copy also knows which words there are. **Parts**: at $n = 500$ the error of the embedding is {glue:text}`now:.2f`
# (between {glue:text}`now-low:.2f` and {glue:text}`now-high:.2f`), of which {glue:text}`noise:.3f` is noise (`report.noise`), {glue:text}`residual:.2f` residual (`report.ceiling`, between {glue:text}`residual-low:.2f` and {glue:text}`residual-high:.2f`), and {glue:text}`few:.2f` the price of few labels. The residual is the largest part:
#
# - *ask more raters* would take off about {glue:text}`noise:.2f`, the noise and its small share in the rest,
# - *collect labels*, however many, about {glue:text}`few:.2f`,
# - *change features* could gain most, if one had better ones: the residual does not say where to find them. Adding the words costs nothing; with 2,000 labels probes on both measure {glue:text}`late-both:.2f` instead of {glue:text}`late-embedding:.2f`. That is less than the step from 500 labels to 2,000 gains.
#
# The report's own decision is about the best set, `both`, which has not seen its end: there more labels pay, and with 500 nobody can say how far. (The remark that `words` has near copies is harmless here: two tweets with the same few frequent words have equal features and are different tweets.)
#
# Is that good? One more human rater, as a predictor of the mean of the other 20, has the error $\tau^2 + \sigma^2$ = {glue:text}`human:.2f`. The ceiling of the embedding is {glue:text}`ceiling:.2f`, by 500 labels, and {glue:text}`whole:.2f` ({glue:text}`whole-low:.2f` to {glue:text}`whole-high:.2f`) by all {glue:text}`total`: an average of word vectors, which knows nothing of their order, is no match for a human rater here with a linear probe, whatever the number of labels.
#
# ## Probes that were trained
#
# The points in {numref}`fig-sentences` are ridge regressions on the other 2,700 sentences, which the diagnosis has not seen. The ridge is the best on held-out sentences, on average over draws.
#
# One sample of 500 allows no sharp test, and all points share it. So the folded cell takes six samples that do not overlap, each with its own diagnosis, and averages predicted over measured. (The points are the same, and five of the six are among the sentences that made them.)

# %%
#| tags: [hide-input]
ratios = {"embedding": [], "words": []}
three = [100, 500, 2000]
for start in range(0, 3000, N):
    part = slice(start, start + N)
    other = fatelib.diagnose({k: sets[k][part] for k in ratios}, y[part])
    for name, rows in ratios.items():
        rows.append([other.error(name, n).value for n in three])
table, below = {}, {}
for name, rows in ratios.items():
    each = rows / measured.sel(features=name, n=three, what="value").values
    mean, error = each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(len(each))
    table[name] = [f"{a:.2f} ± {b:.2f}" for a, b in zip(mean, error, strict=True)]
    below[name] = 100 * (1 - mean)
    assert (abs(mean - 1) < 4 * error).all()
pd.DataFrame(table, [f"n = {n}" for n in three]).T

# %%
#| tags: [build-only]
bag = measured.sel(features="both", n=2000, what="value").item()
bound = report.error("both", 2000)
note(bound=bound.value, bound_high=bound.high, bag=bag)
note(low_words=below["words"][-1])
assert bound.value < bag < bound.high
assert 0 < below["words"][-1] < 10 > abs(below["embedding"]).max()

# %% [markdown]
# The embedding is predicted without a bias that one could see. Words come out {glue:text}`low-words:.0f`% too low at 2,000, about one standard error. Of `both`, 500 labels tell no more than a bound. The best ridge for 2,000 labels is smaller than any that 500 can judge. The smallest that they can judge would give about {glue:text}`bound:.2f`, and
# {glue:text}`bound-high:.2f` at most; the best ridge can only be better than that one. So the report promises at most {glue:text}`bound-high:.2f` (the dashed line), and measured was {glue:text}`bag:.2f`.
#
# ## Fewer raters, more sentences
#
# The noise is {glue:text}`noise:.3f` of {glue:text}`now:.2f`. So did we ask too many? A budget of $M$ ratings buys $n = M / r$ sentences with $r$ raters each, and noise $\tau^2 / r$. `report.spectrum` hands over what {eq}`unequal-risk` needs to foresee any such plan: eigenvalues, coefficients and the residual, from which we take the
# noise of 20 raters off.

# %%
held = report.spectrum("embedding")
l, t = held["eigenvalues"], held["coefficients2"]
penalties = np.geomspace(1e-6, 1, 60)[:, None] * l.sum()
tau2 = ratings[mine].var(axis=1, ddof=1).mean()


def plan(n, r):
    """Risk of a probe on n sentences with r ratings each."""
    rest = {"residual": held["residual"] - tau2 / 20, "noise": np.sqrt(tau2 / r)}
    n = np.atleast_1d(n) - 1  # one for the intercept
    risks = theory.ridge_risk(n, l, t, ridge=penalties, **rest)
    return np.asarray(risks).min(axis=0)


# %%
#| name: fig-raters
#| caption: >-
#|   Risk of a probe on the embedding (error without the noise of the test labels) against the number of ratings that were paid for, with 1, 3 or 20 raters for each sentence. Lines: foreseen from 500 sentences. Points: probes that were trained on the first 1, 3 or 20 ratings of other sentences, mean of 8 draws with one standard error (all are tested on the same sentences, so points err together).
#| alt: >-
#|   Three falling curves; that of one rater lies lowest and that of twenty highest everywhere. The points lie on or slightly above the lines.
#| tags: [hide-input]
fig, ax = plt.subplots(figsize=(6.4, 3.4))
paid, off = {}, []
for i, r in enumerate((1, 3, 20)):
    labels = ratings[:, :r].mean(axis=1)
    tried = sizes[1:]
    rows = np.array([measure(embedding, labels, n) for n in tried])
    rows[:, 0] -= report.noise
    paid |= {(int(n), r): row for n, row in zip(tried, rows, strict=True)}
    grid = np.geomspace(40, 2500, 40)
    ax.plot(
        r * grid,
        plan(grid, r),
        color=f"C{i}",
        label=f"{r} rating{'s'[: r > 1]} each",
    )
    ax.errorbar(r * tried, *rows.T, fmt="o", color=f"C{i}", ms=4)
    share = predicted.sel(features="embedding").sel(n=tried)
    spread = share.sel(what="error") / share.sel(what="value") * plan(tried, r)
    off += [abs(rows[:, 0] - plan(tried, r)) / np.hypot(rows[:, 1], spread)]
ax.set(
    xscale="log", xlabel="number of ratings $M = nr$", ylabel="risk", xlim=(30, 6e4)
)
ax.legend()

# %%
#| tags: [build-only]
assert np.max(off) < 3
budgets = np.geomspace(800, 2500, 20)
assert (plan(budgets, 1) < plan(budgets / 3, 3)).all()
assert (plan(budgets / 3, 3) < plan(budgets / 20, 20)).all()
note(raters_off=np.max(off), cheap=paid[1000, 1][0], dear=paid[500, 20][0])
assert paid[1000, 1][0] < paid[500, 20][0]

# %% [markdown]
# One rating each wins at every budget shown: a thousand tweets with *one* opinion each (measured risk {glue:text}`cheap:.2f`) teach as much as 500 with twenty each ({glue:text}`dear:.2f`), for a tenth of the ratings. (Lines and points are at most {glue:text}`raters-off:.1f` standard errors apart, with the relative intervals of the curve
# above.) The reason: in {eq}`unequal-risk` the residual stands beside the noise, under one factor. To a fit both are scatter that more sentences average out, and a sentence brings $\rho$ along whatever the number of raters. Here $\rho$ is larger than the variance of one rating, so that lowering the latter gains little. Keep a few repeated labels, though: without them nobody knows $\tau^2$.
#
# ## Positive or negative
#
# Often only the sign is asked for. Give classes instead of numbers, and the report speaks of error rates.

# %%
sign = np.where(y > 0, "positive", "negative")
some = {"embedding": embedding[mine], "words": words[mine]}
classes = fatelib.diagnose(some, sign[mine])
print(classes)

# %%
#| tags: [check]
# Error rates as foreseen by 500 labels against those of probes trained and tested on
# other sentences, apart by up to three standard errors of both together. Rates of
# which there is a bound only are left out.
direction = np.sign(y)
foreseen, rates, sure = compare(
    classes.error_rate,
    [*some],
    direction,
    lambda out, test: np.sign(out) != direction[test, None],
)
line = {"error rate, in standard errors": (apart(foreseen, rates), 0.0)}
fatelib.agreement_table(line, over=None, tolerance=3, where=sure)

# %%
#| tags: [build-only]
for name in some:
    for what, values in {"said": foreseen, "rate": rates}.items():
        value = values.sel(features=name, n=500, what="value")
        note(**{f"{what}_{name}": 100 * value})

# %% [markdown]
# {glue:text}`negative:.0f`% of the tweets are negative: so often errs who always says *positive*. With 500 labels words measure {glue:text}`rate-words:.1f`% (foreseen {glue:text}`said-words:.1f`%) and the embedding {glue:text}`rate-embedding:.1f`% ({glue:text}`said-embedding:.1f`%). (Measured is the ridge of fewest errors, foreseen that of least squared error.)
#
# ## Where it fails: copies
#
# Data are often *augmented*: each sentence comes several times, slightly changed, with the same label. Let us take 125 tweets four times each, with features that are off by a tenth of their standard deviation, and ask as if they were 500.

# %%
rng = np.random.default_rng(0)
origin = np.repeat(np.arange(125), 4)
jitter = 0.1 * embedding.std(axis=0) * rng.normal(size=(500, 256))
copies = embedding[origin] + jitter
naive = fatelib.diagnose(copies, y[origin])
grouped = fatelib.diagnose(copies, y[origin], groups=origin)
print(*naive.sets["features"].warnings, sep="\n")

# %%
#| tags: [hide-input]
stacked = np.vstack([copies, embedding[125:]])
aims = np.concatenate([y[origin], y[125:]])
tried = outputs(stacked, aims, np.arange(500), np.arange(500, len(aims)))
actual = ((tried - aims[500:, None]) ** 2).mean(axis=0).min()
errors = {"as 500 samples": naive, "with groups=": grouped}
errors = {name: one.error("features", 500) for name, one in errors.items()}
rows = {name: [e.value, e.low, e.high] for name, e in errors.items()}
rows["measured on other tweets"] = [actual, np.nan, np.nan]
pd.DataFrame(rows, ["error", "low", "high"]).T.map("{:.2f}".format).replace(
    "nan", ""
)

# %%
#| tags: [build-only]
note(naive=errors["as 500 samples"].value, actual=actual)
assert errors["as 500 samples"].value < 0.05 * actual
assert errors["with groups="].low < actual < errors["with groups="].high
assert "belong together" in str(naive)
assert "belong" not in str(grouped)

# %% [markdown]
# A copy of every sample that is left out stays in, and the error comes out as {glue:text}`naive:.2f` where {glue:text}`actual:.2f` is true. The audit fits probes to half of the data, finds on the rest an error other than predicted, and says so. (It need not: in {doc}`which-layer` it does not.) With `groups=`, which of the samples belong together, copies are left out together: the estimate agrees with what was measured, and its
# interval is as wide as 125 sentences deserve. Sentences of one document, pictures of one patient, answers of one person are groups, too.
#
# ## Use your own
#
# Put your own features (one row per sample, one array for each feature set) and labels `y` (numbers, or text for classes) into an `.npz` file, set `upload = True`, and choose the file when Colab asks. Elsewhere, load it into `own`. From your own texts, `WordLlama.load().embed(texts, norm=True)` of the package wordllama makes the embedding; {doc}`get-features` has recipes for other networks.

# %%
upload = False
if upload:
    from google.colab import files

    (content,) = files.upload().values()
    own = dict(np.load(io.BytesIO(content)))
else:
    own = {
        "embedding": embedding[-250:],
        "untrained": untrained[-250:],
        "y": y[-250:],
    }
labels, groups = own.pop("y"), own.pop("groups", None)
control = "untrained" if "untrained" in own else None
print(fatelib.diagnose(own, labels, control=control, groups=groups))

# %% [markdown]
# ## Exercises
#
# :::{exercise} Fewer labels
# :label: ex-fewer-labels
#
# Predict, then run. With 100 labels instead of 500: will the report still tell the embedding from its untrained copy? Will it know the ceiling? Fill in your guesses, then diagnose the first 100 tweets.
# :::

# %%
told_apart = "nothing yet (fill in the cell above)"  # put True or False
ceiling_known = "nothing yet"  # put True or False

# %% [markdown]
# :::{solution-start} ex-fewer-labels
# :label: sol-fewer-labels
# :class: dropdown
# :::

# %%
few = slice(0, 100)
short = fatelib.diagnose(embedding[few], y[few], control=untrained[few])
ratio, end = short.ratio("control", "features", 100), short.ceiling.isel(features=0)
print(
    f"you said {told_apart}, {ceiling_known}; "
    f"it is {ratio.low > 1}, {end.identified.item()}"
)
print(f"credit {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]")
print(f"ceiling {end.error:.2f} [{end.error_low:.2f}, {end.error_high:.2f}]")

# %% [markdown]
# The interval of the credit is wide. A hundred labels in 256 dimensions tell of strong directions of the features only; where the curve ends they cannot know, and the report says so.
#
# :::{solution-end}
# :::
#
# :::{exercise} The best number of raters
# :label: ex-best-raters
#
# With pencil. For $n$ well above the number $k$ of features, and little ridge, the risk is about $\rho + (\rho + \tau^2/r)\, k/n$. A rating costs 1, and a new sentence costs $c$ before anybody has rated it. Which $r$ is best for a budget $M = n (r + c)$? What is it for $c = 0$?
# :::
#
# :::{solution-start} ex-best-raters
# :label: sol-best-raters
# :class: dropdown
# :::
#
# Put $n = M / (r + c)$ in: to be minimised is $(\rho + \tau^2 / r)(r + c) = \rho\, r + \tau^2 c / r + \text{const}$, so $r = \tau \sqrt{c / \rho}$. For $c = 0$ it only grows with $r$: one rater each. Twenty raters would be right if finding a sentence cost this many ratings:

# %%
rho = held["residual"] - tau2 / 20
print(f"c = {400 * rho / tau2:.0f}")

# %% [markdown]
# :::{solution-end}
# :::
#
# :::{exercise} How many numbers?
# :label: ex-how-many-numbers
#
# With code. wordllama was trained so that its first 64 numbers are an embedding by themselves. From which $n$ on are 256 better? Diagnose both, look at `report.crossings` and `report.ratio`, and check with `measure`.
# :::
#
# :::{solution-start} ex-how-many-numbers
# :label: sol-how-many-numbers
# :class: dropdown
# :::

# %%
pair = {"first 64": embedding[:, :64], "256": embedding}
short = fatelib.diagnose({name: Z[mine] for name, Z in pair.items()}, y[mine])
for n in (50, 500, 2000):
    ratio = short.ratio("first 64", "256", n)
    tried = [measure(Z, y, n)[0] for Z in pair.values()]
    print(
        f"n = {n:4}: {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}], ",
        end="",
    )
    print(f"measured {tried[0] / tried[1]:.2f}")
print(short.crossings)

# %% [markdown]
# From the beginning: no crossing is found, and probes measure the same. With a ridge the further numbers cost nothing where labels are few, and what they gain grows with $n$.
#
# :::{solution-end}
# :::
#
# :::{exercise} Groups of your own
# :label: ex-own-groups
#
# On your own data: which samples belong together (same author, day, machine)? Diagnose with and without `groups=`. If the two differ by more than their intervals, which is the one to publish?
# :::
#
# :::{solution-start} ex-own-groups
# :label: sol-own-groups
# :class: dropdown
# :::
#
# The one whose left-out samples resemble those to come. If new samples will be of *new* authors, leave out authors together; if of the same ones, each sample by itself is right. No data can decide it for you. Do not skip the control either: the same architecture, untrained.
#
# :::{solution-end}
# :::
#
# :::{exercise} How blind is leave-one-out?
# :label: ex-how-blind
#
# Hard. Every sentence is there $q$ times, exactly. In a ridge regression without intercept let $h$ be the sum of the leverages of its $q$ copies, and $e$ the residual of each. Show that leaving one copy out gives the error $e / (1 - h/q)$, and leaving all of them out $e / (1 - h)$. What does this do to an estimate where $h$ is near 1?
# :::
#
# :::{solution-start} ex-how-blind
# :label: sol-how-blind
# :class: dropdown
# :::
#
# Outputs are $\hat y = H y$. Left out together, the samples of a set $C$ err by $(I - H_{CC})^{-1} (y - \hat y)_C$ (for one sample, this is $e/(1 - h)$). For $q$ equal rows $H_{CC}$ is $h/q$ times the matrix of ones, of which $(1, \dots, 1)$ is an eigenvector with eigenvalue $h$; the residuals are $e\,(1, \dots, 1)$, which gives $e / (1 - h)$. One copy alone has the leverage $h/q$.
# The squares differ by $(1 - h)^2 / (1 - h/q)^2$: for $h \to 1$ leave-one-out sees nothing, however large the true error. Checked below, at one ridge:

# %%
Z = np.repeat(embedding[:60] - embedding[:60].mean(axis=0), 4, axis=0)
aim = np.repeat(y[:60], 4)
K = Z @ Z.T
penalty = 0.05 * np.linalg.eigvalsh(K)[-1]
H = K @ np.linalg.inv(K + penalty * np.eye(240))
e, h = (aim - H @ aim)[0], 4 * H[0, 0]
for out, formula in ((1, e / (1 - h / 4)), (4, e / (1 - h))):
    kept = slice(out, None)
    dual = np.linalg.solve(K[kept, kept] + penalty * np.eye(240 - out), aim[kept])
    error = aim[0] - K[0, kept] @ dual
    print(f"{out} left out: {error:.4f}, by the formula {formula:.4f}")
    assert np.isclose(error, formula)

# %% [markdown]
# :::{solution-end}
# :::
#
# ## What to remember
#
# 1. Error is noise of the raters, plus what the features cannot say, plus the price of few labels. More raters, other features, more labels: each lowers one of the three, and a few hundred labels tell which is large.
# 2. Where the residual is larger than the noise, buy new sentences, not second opinions.
# 3. An embedding has to beat its untrained copy, and the estimate has to know which samples belong together.
#
# The features of a network's own layers, and why leave-one-out tells a whole curve, are in {doc}`which-layer`; where credit was defined, with students whose teachers are known, in {doc}`what-pretraining-adds`.
