"""A report in ten lines: the decision, the numbers behind it, what to mistrust."""

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

import numpy as np

from fatelib.probe.estimate import Interval

# Numbers of samples of the table, in units of N.
SHARES = (0.25, 1, 4)
_EXCESS = 0.1
# A sentence begins at the margin and goes on two columns to the right.
_WIDTH: dict[str, Any] = {
    "width": 88,
    "subsequent_indent": "  ",
    "break_on_hyphens": False,
    "break_long_words": False,
}


def shown(samples: int) -> list[int]:
    """Return the numbers of samples of the table.

    Args:
        samples: The number N of labelled samples.
    """
    return [max(2, round(share * samples)) for share in SHARES]


def words(report: Any) -> str:
    """Say what a `fatelib.probe.Report` holds.

    Args:
        report: The report.

    Returns:
        Lines of text.
    """
    decision, doubts = _decision(report), (f"- {doubt}" for doubt in _doubts(report))
    return "\n".join(
        [
            _first(report),
            "",
            "DECISION",
            *(line for sentence in decision for line in wrap(sentence, **_WIDTH)),
            "",
            *_table(report),
            "",
            "MISTRUST",
            *(line for sentence in doubts for line in wrap(sentence, **_WIDTH)),
        ]
    )


def _first(report: Any) -> str:
    kind = "numbers as labels"
    if report.classes:
        shown = ", ".join(report.classes[:5]) + (", ..." if len(report.classes) > 5 else "")
        kind = f"{len(report.classes)} classes ({shown})"
    control = f"; control: {report.control}" if report.control else ""
    return f"{report.samples} samples, {kind}{control}"


def _decision(report: Any) -> Iterator[str]:
    N = report.samples
    errors = {name: report.error(name, N) for name in report.names}
    best, *others = sorted(errors, key=lambda name: errors[name].value)
    nothing = [name for name in errors if report.sets[name].nothing]
    if nothing == list(errors):
        yield f"No feature set tells anything of the labels: error {report.spread:.3g} without any."
    doubt = "; see MISTRUST" if report.sets[best].warnings else ""
    verdicts = [_contender(report, best, str(name)) for name in report.contenders.contender.values]
    yield from (f"Do not stop at a probe: {words}" for beats, words in verdicts if beats)
    if report.control:
        rest = (name for name in errors if name != report.control)
        yield _against_control(report, min(rest, key=lambda name: errors[name].value)) + doubt + "."
    told = ""
    if others and not report.ratio(others[0], best, N).low > 1:
        told = f"; '{others[0]}' is not told apart from it"
    yield f"Best probe with {N} labels: '{best}', {_error(report, best, N)}{told}{doubt}."
    yield from (words for beats, words in verdicts if not beats)
    for line in report.crossings.itertuples(index=False):
        told = line.n_low > 0 and np.isfinite(line.n_high)
        if told and best in (line.before, line.after):
            guess = " (a guess, by a power law)" if line.guess else ""
            if report.classes and {line.before, line.after} <= {*report.names}:
                guess = " by squared error"
            yield (
                f"From about n = {_count(line.n)} [{_count(line.n_low)}, {_count(line.n_high)}] on "
                f"'{line.after}' is better than '{line.before}'{guess}."
            )
    if nothing != list(errors):
        yield _labels_or_features(report, best)


def _against_control(report: Any, best: str) -> str:
    N, control = report.samples, report.control
    ratio = report.ratio(control, best, N)
    size = f"{ratio.value:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]"
    if not ratio.identified:
        size = {
            (True, False): f"at least {ratio.low:.3g}",
            (False, True): f"at most {ratio.high:.3g}",
        }.get((ratio.low > 0, bool(np.isfinite(ratio.high))), f"about {ratio.value:.3g}")
    credit = f"the squared error of '{control}' is {size} times that of '{best}' at n = {N}"
    if ratio.low > 1:
        return f"Keep the features: {credit}"
    if ratio.high < 1:
        return f"Do not keep the features: {credit}"
    return f"{N} labels do not tell whether the features help: {credit}"


def _contender(report: Any, best: str, name: str) -> tuple[bool, str]:
    """Whether a contender beats the best probe, with the most samples that it had, and how far."""
    points = report.contenders.sel(contender=name)
    numbers = points.n.values
    if report.classes:  # rates are known as far as the curve goes
        near = numbers <= float(report.curve.n[-1])
        numbers = np.where(near, numbers, np.nan) if near.any() else numbers
    last = points.isel(point=int(np.nanargmax(numbers)))
    n, error = float(last.n), float(last.error)
    low, high = (
        float(end) if np.isfinite(end) else error for end in (last.error_low, last.error_high)
    )
    probe = report.error_rate(best, n) if report.classes else report.error(best, n)
    what = "error rate" if report.classes else "error"
    beats = high < probe.low
    how = "beats" if beats else "does not beat" if low > probe.high else "is not told apart from"
    number = "{:.1%}" if report.classes else "{:.3g}"
    own = number.format(probe.value if probe.identified else probe.high)
    own = "is not known" if np.isnan(probe.value) else own if probe.identified else f"at most {own}"
    return beats, (
        f"'{name}' {how} the probe on '{best}': {what} {number.format(error)} at n = {n:.0f}, that "
        f"of the probe {own}."
    )


def _labels_or_features(report: Any, best: str) -> str:
    N = report.samples
    enough = report.samples_to(best, _EXCESS)
    late = report.error(best, 4 * N)
    error = "squared error" if report.classes else "error"
    now = report.error(best, N)
    if late.identified and late.value > (1 - _EXCESS) * now.value:
        return (
            f"Change the features rather than collect labels: four times as many take "
            f"{1 - late.value / now.value:.0%} off the {error} of '{best}'."
        )
    if not np.isfinite(enough.value):
        then = _interval(late)
        if not late.identified:
            then = f"about {late.value:.3g} or less, {then}"
        return (
            f"More labels: with {4 * N} the {error} is {then}; where it ends, {N} labels do not "
            "tell."
        )
    return (
        f"Collect labels: '{best}' comes within 10 % of its ceiling, "
        f"{report.ceiling.error.sel(features=best).item():.3g}, at about n = "
        f"{_count(enough.value)} [{_count(enough.low)}, {_count(enough.high)}]."
    )


def _table(report: Any) -> list[str]:
    """The numbers, in columns: of classes error rates."""
    ns = shown(report.samples)
    kind = "error rate" if report.classes else "error"
    header = ["NUMBERS", "features", "used", *(f"{kind} at {n}" for n in ns)]
    rows = [header if report.classes else [*header, "ceiling"]]
    dimension, ceiling = report.effective_dimension, report.ceiling
    for name in report.names:
        used = f"{float(dimension.sel(features=name)):.0f}"
        row = [name, str(report.sets[name].width), used]
        if report.classes:
            row += [_rate(report.error_rate(name, n)) for n in ns]
        else:
            end = ceiling.sel(features=name)
            row += [_interval(report.error(name, n)) for n in ns]
            known = bool(end.identified)
            row.append(f"{end.error:.3g}" if known else f"at most {end.error_high:.3g}")
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if report.classes:
        note = "used: effective dimension of the best ridge, which has the least squared error"
    else:
        note = (
            f"mean squared errors, {report.spread:.3g} without features; used: degrees of freedom"
        )
    return [*lines, f"({note})"]


def _doubts(report: Any) -> Iterator[str]:
    yield from report.warnings
    for name, features in report.sets.items():
        yield from (f"'{name}': {words}" for words in features.warnings)
    if not report.contenders.contender.size:
        yield (
            "whether a network trained anew beats these probes cannot be known without contenders="
        )
    yield "a probe is no bound for fine-tuning, which changes the features"


def _error(report: Any, name: str, n: int) -> str:
    if report.classes:
        error = _interval(report.error(name, n))
        return f"error rate {_rate(report.error_rate(name, n))}, squared error {error}"
    return f"error {_interval(report.error(name, n))}"


def _rate(found: Interval) -> str:
    if not found.identified:
        return f"at most {found.high:.1%}"
    return f"{found.value:.1%} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _interval(found: Interval) -> str:
    if not found.identified:
        return f"at most {found.high:.3g}"
    return f"{found.value:.3g} [{found.low:.3g}, {found.high:.3g}]"


def _count(n: float | int) -> str:
    return f"{float(f'{n:.2g}'):.0f}" if np.isfinite(n) else "?"


def plain(value: Any) -> Any:
    """Return what JSON can hold: None for numbers that are not finite."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value
