"""fatelib diagnose: features and labels in files, a report of what the features are worth."""

import argparse
import re
from typing import Any

from fatelib.cli.output import MARK, check_writable, directory
from fatelib.cli.parsing import add_command, seed
from fatelib.cli.session import without_display

_EXAMPLES = """\
Each array of an .npz is a feature set by its own name, every other FILE (.npy, .csv, .tsv,
.parquet) one by the name of the file: samples in rows, of a table all columns of numbers. NAME is
one of these arrays or a column of a table; or another file with one column.

Prints the report, and writes it to OUT: report.txt, summary.json with its numbers, curve.csv,
curve.png and report.zarr, which fatelib.probe.load reads.

examples:
  fatelib diagnose features.npz --labels y --control untrained --out report
  fatelib diagnose layer3.npy layer4.npy --labels labels.csv --out report
  fatelib diagnose patients.csv --labels outcome --groups patient --out report
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(commands, "diagnose", "Say what features are worth.", _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("files", metavar="FILE", nargs="+", help="features")
    parser.add_argument("--labels", metavar="NAME", required=True, help="labels (required)")
    parser.add_argument("--out", required=True, help="directory of the report (required)")
    parser.add_argument(
        "--control",
        metavar="SET",
        help="the feature set that credit is measured against, or random: a layer that is made of "
        "the inputs",
    )
    parser.add_argument(
        "--features", metavar="SETS", help="take these only, separated by commas (default: all)"
    )
    parser.add_argument("--groups", metavar="NAME", help="what belongs together")
    parser.add_argument(
        "--inputs", metavar="NAME", help="what the network saw, for a random control or contenders"
    )
    parser.add_argument(
        "--contenders", choices=["mlp"], help="train a small network on the inputs beside"
    )
    parser.add_argument(
        "--task",
        default="auto",
        help="regression, classification, or auto: words, booleans and two values are classes, "
        "other numbers are numbers (default: auto)",
    )
    parser.add_argument("--noise", type=float, help="standard deviation of the label noise")
    parser.add_argument(
        "--standardize", action="store_true", help="divide each feature by its own deviation"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the replicates (default: 0)")


@without_display()
def run(options: argparse.Namespace) -> int:
    """Print the report and write it."""
    out = directory(options.out, "report")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"--out must be a new directory, or an empty one; got {out}")
    import json

    import jax
    import matplotlib.pyplot as plt

    from fatelib.probe import diagnose
    from fatelib.probe.files import read_tables

    tables = read_tables(options.files, options.labels, options.groups, options.inputs)
    features = tables.features
    wanted = [name for name in features if name != options.inputs]
    if options.features is not None:
        wanted = [name.strip() for name in options.features.split(",")]
        if unknown := [name for name in wanted if name not in features]:
            raise ValueError(f"--features must be of {', '.join(features)}; got {unknown[0]!r}")
    if options.control in features and options.control not in wanted:
        wanted.append(options.control)
    features = {name: features[name] for name in wanted}
    check_writable(out)
    try:
        report = diagnose(
            features,
            tables.labels,
            control=options.control,
            task=options.task,
            inputs=tables.inputs,
            contenders=options.contenders,
            groups=tables.groups,
            noise=options.noise,
            standardize=options.standardize,
            key=jax.random.key(options.seed),
        )
    except (TypeError, ValueError) as error:
        error.args = (_as_options(str(error)),)
        raise
    text = _as_options(str(report))
    print(text)
    (out / "report.txt").write_text(f"{text}\n", encoding="utf-8")
    (out / "summary.json").write_text(json.dumps(report.summary(), indent=1), encoding="utf-8")
    report.curve.to_dataframe().to_csv(out / "curve.csv")
    with plt.style.context("fatelib.style"):
        ax = report.plot()
        ax.figure.savefig(out / "curve.png", metadata={"Software": MARK})
        plt.close(ax.figure)
    report.save(out / "report.zarr")
    return 0


def _as_options(text: str) -> str:
    """Write arguments of `fatelib.diagnose` as they are given to the command."""
    # As messages have them, not as what users call their features and classes.
    given = "contenders=|groups=|inputs=|noise=|standardize=True|task='classification'"
    given += "|task='regression'|control='random'"
    return re.sub(
        rf"(?<=[ (])({given})(?=[\s,.;:)]|$)|^control='random'",
        lambda found: (
            "--" + found[0].removesuffix("=True").rstrip("=").replace("=", " ").replace("'", "")
        ),
        text,
    )
