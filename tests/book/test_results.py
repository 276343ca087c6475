"""The pictures of the performance page show its tables, and the build fails where they cannot."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from _extensions.results import TOGETHER, choose, draw, readable, table, value

ROOT = Path(__file__).parents[2]
NAMES = ["authors' code", "spectral", "PyTorch, autograd"]
RESULTS = """# Results

## One

Some words | about it.

| n |  | authors' code | spectral | PyTorch, autograd |
|---|---|---|---|---|
| 50 | a | 17.3 ms | 873 ns (19,854x) | 206,372 s (57.3 h) |
| 250 | b | 45.2 ms |  | n/a |
| 500 |  | 1,361 s (41%) | 3.7 µs (5%) | 2 s (100%) |

## Empty

## Two

| n | spectral |
|---|---|
| 1 | 2 s |
"""
PAGE = "performance.md"
CONF = """
extensions = ["myst_parser", "_extensions.figures", "_extensions.results"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
root_doc = "book/performance"
exclude_patterns = ["benchmarks"]
"""


def test_a_table_is_found_by_its_heading():
    assert table(RESULTS, "Two") == [{"n": "1", "spectral": "2 s"}]
    assert [row["authors' code"] for row in table(RESULTS, "One")][1] == "45.2 ms"
    for title in ["Tw", "Three", "Empty", "Results"]:
        with pytest.raises(ValueError, match=f"no table '{title}' in benchmarks/RESULTS.md"):
            table(RESULTS, title)


@pytest.mark.parametrize(
    ("cell", "unit", "expected"),
    [
        ("873 ns (19,854x)", "s", 873e-9),
        ("3.7 µs (5%)", "s", 3.7e-6),
        ("3.7 µs (5%)", "%", 5),
        ("206,372 s (57.3 h)", "s", 206_372),
        ("17.3 ms", "%", None),
        ("91.5 GB/s", "s", None),
        ("2 samples", "s", None),
        ("n/a", "s", None),
        ("", "%", None),
    ],
)
def test_the_number_with_a_unit(cell, unit, expected):
    assert value(cell, unit) == (expected and pytest.approx(expected))


def test_rows_without_all_numbers_are_left_out():
    rows = table(RESULTS, "One")
    names, columns, cells = choose(rows, NAMES, "n = {n}", "s")
    assert (names, columns) == (["n = 50", "n = 500"], NAMES)
    assert cells[0] == ["17.3 ms", "873 ns (19,854x)", "206,372 s (57.3 h)"]
    names, columns, cells = choose(rows[1:2], NAMES, "{n}{}", "s")  # without PyTorch, say
    assert (names, columns, cells) == (["250b"], NAMES[:1], [["45.2 ms"]])
    with pytest.raises(ValueError, match="no row has a number with the unit % in each column"):
        choose(rows[:2], NAMES, "{n}", "%")
    for columns, name in [(["spectrum"], "{n}"), (NAMES, "{spectrum}")]:
        with pytest.raises(ValueError, match="no column 'spectrum', only n, "):
            choose(rows, columns, name, "s")


@pytest.mark.parametrize(("unit", "scale"), [("s", "log"), ("%", "linear")])
def test_bars_are_as_long_as_the_table_says(unit, scale):
    names, _, cells = choose(table(RESULTS, "One"), NAMES[1:], "n = {n}", unit)
    figure = draw(names, cells, NAMES[1:], unit, "time")
    (ax,) = figure.axes
    lengths = [bar.get_width() for bars in ax.containers for bar in bars]
    assert lengths == [value(row[i], unit) for i in range(2) for row in cells]
    assert [text.get_text() for text in ax.texts] == [row[i] for i in range(2) for row in cells]
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    assert (ax.get_xlabel(), ax.get_xscale() if unit == "s" else "linear") == ("time", scale)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == NAMES[1:]
    low, high = ax.get_xlim()
    assert low < min(lengths)
    assert max(lengths) < high


def test_ticks_name_their_unit():
    numbers = [1e-9, 1e-6, 1e-5, 0.1, 1.5, 1e6]
    ticks = ["1 ns", "1 µs", "10 µs", "100 ms", "1.5 s", "1,000,000 s"]
    assert [readable(number, "s") for number in numbers] == ticks
    assert readable(40.0, "%") == "40%"


def test_what_stays_on_one_line():
    cells = ["10000: 22.5 µs, 5: 735 ns", "1e-06, 2e-06", "n, d = 1024", "91.5 GB/s", "7 (5%) of 3"]
    assert [TOGETHER.findall(cell) for cell in cells] == [
        ["10000: 22.5 µs,", "5: 735 ns"],
        ["1e-06,", "2e-06"],
        ["d = 1024"],
        ["91.5 GB/s"],
        [],
    ]


@pytest.fixture
def build(tmp_path):
    """Build the performance page alone; returns the status, what was printed, and the page."""
    for name in [f"book/{PAGE}", "benchmarks/RESULTS.md"]:
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "conf.py").write_text(CONF, encoding="utf-8")

    def start(change=lambda text: text):
        path = tmp_path / "benchmarks" / "RESULTS.md"
        path.write_text(change((ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8")), "utf-8")
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", ".", "html"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "book")}
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        page = tmp_path / "html" / "book" / "performance.html"
        return run, page.read_text("utf-8") if page.exists() else ""

    return start


@pytest.mark.slow
def test_the_page_draws_its_tables_and_follows_them(build, tmp_path):
    run, page = build()
    assert run.returncode == 0, run.stderr
    asked = re.findall(r"^:::\{bars\} (.*)$", (ROOT / "book" / PAGE).read_text("utf-8"), re.M)
    captions = re.findall(r'class="caption-text"><em>(.*?)</em>:', page)
    assert [text.replace("’", "'") for text in captions] == asked
    images = re.findall(r'<img alt="([^"]+)" src="\.\./(_images/[^"]+\.svg)"', page)
    assert len(images) == len(asked) >= 4
    files = [tmp_path / "html" / name for _, name in images]
    drawn = [path.read_bytes() for path in files]
    assert page.count('<span class="together">') > 50

    run, _ = build(lambda text: text.replace("| 17.3 ms |", "| 18.3 ms |"))
    assert run.returncode == 0, run.stderr
    changed = [path.read_bytes() != before for path, before in zip(files, drawn, strict=True)]
    assert changed == [True] + [False] * (len(drawn) - 1)


@pytest.mark.slow
def test_a_table_or_column_that_was_renamed_fails_the_build(build):
    renamed = {
        "## ReLU networks\n": ("## Others\n", "no table 'ReLU networks' in benchmarks/RESULTS.md"),
        "| floor / measured |": ("| share |", "no column 'floor / measured', only engine, "),
        "| plain autograd": ("| autograd", "no column 'plain autograd in JAX', only n, "),
    }

    def rename(text):
        for old, (new, _) in renamed.items():
            assert old in text
            text = text.replace(old, new)
        return text

    run, _ = build(rename)
    assert run.returncode != 0
    for _, message in renamed.values():
        assert re.search(rf"performance\.md:\d+: .*{re.escape(message)}", run.stderr), run.stderr
