"""Pictures in four variants: colours of the dark theme, and figures laid out for a phone."""

import base64
import io
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from _extensions.pictures import (
    CURVES,
    CYCLE,
    SIZE,
    dark_bitmap,
    dark_colour,
    darken,
    invert,
    join,
    part,
    to_oklab,
)
from _extensions.reader import reads
from bs4 import BeautifulSoup
from matplotlib.colors import to_hex, to_rgb
from nbclient import NotebookClient
from PIL import Image

import fatelib.widgets

PAGE = "#121212"  # the theme's, in the dark
WIDE = '<svg width="72pt" height="36pt"><path style="fill: #ffffff; stroke: #000000"/></svg>'
NARROW = '<?xml version="1.0"?>\n<svg width="36pt" height="36pt"><g style="fill: #0072b2"/></svg>'

CHAPTER = """
# %%
import matplotlib.pyplot as plt

plt.style.use("fatelib.style")
fig, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
axes[0].set_ylabel("risk")
for ax in axes:
    ax.plot([0, 1], [0, 1], label="from corner to corner")
    ax.set(xlabel="samples", title="a title as long as a panel is wide, and longer than that")
axes[2].legend(loc="center")
heights = axes[0].pcolormesh([[0, 1], [1, 0]])
fig.colorbar(heights, ax=axes[0], label="height")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)

# %%
fig, ax = plt.subplots()
ax.plot([0, 1], [0, 1])

# %%
fig, axes = plt.subplots(2, 3, figsize=(6, 4))
for i, ax in enumerate(axes.flat):
    ax.set_title(f"number {i}")

# %%
fig, axes = plt.subplots(2, 2, figsize=(6, 4), sharex=True, sharey=True)
for ax in axes.flat[:3]:
    ax.plot([0, 1], [0, 1], label="the only curve")
axes[0, 0].set_ylabel("for both rows")
axes[1, 1].axis("off")
axes[1, 1].legend(*axes[0, 0].get_legend_handles_labels())

# %%
fig, axes = plt.subplots(1, 3, figsize=(6, 3))
for ax in axes:
    image = ax.imshow([[0, 1], [1, 0]], aspect="auto")
    ax.set(xticks=[], yticks=[])
fig.colorbar(image, ax=axes, label="depth")  # the bar itself is not shown

# %%
import pandas as pd

pd.DataFrame({"height": [1, 2]}, pd.Index(["low", "high"], name="place"))

# %%
pd.DataFrame({"height": [1, 2]}, pd.MultiIndex.from_product([["low"], [1, 2]], names=["a", "b"]))
""".lstrip()


def luminance(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [
        0.2126,
        0.7152,
        0.0722,
    ]


def contrast(one, other):
    low, high = sorted(luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_in_the_dark_all_text_and_curves_are_seen_and_told_apart():
    assert dark_colour("#ffffff") == PAGE
    assert contrast(dark_colour("#000000"), PAGE) > 12
    for grey in ["#4c4c4c", "#666666"]:
        assert contrast(dark_colour(grey), PAGE) > 0.6 * contrast(grey, "#ffffff") > 3
    for colour in CURVES:
        assert contrast(dark_colour(colour), PAGE) > 4.5, colour
    for pair in combinations(sorted(CYCLE), 2):
        before, after = (
            np.linalg.norm(np.subtract(*to_oklab(np.array([*map(to_rgb, colours)]))))
            for colours in (pair, map(dark_colour, pair))
        )
        assert after > (0.12 if "#000000" in pair else 0.9 * before), pair


def test_the_colours_of_curves_are_those_of_the_style():
    assert "#000000" not in CURVES
    assert {"#0072b2", "#d55e00", "#1f77b4"} <= CURVES


def test_a_map_gets_a_dark_middle_and_keeps_its_hues():
    pixels = np.array([[to_rgb(colour) for colour in ("#67001f", "#f7f7f7", "#053061")]])
    Image.fromarray(np.rint(255 * pixels).astype("uint8")).save(file := io.BytesIO(), "png")
    png = dark_bitmap(base64.b64encode(file.getvalue()).decode())
    left, middle, right = np.array(Image.open(io.BytesIO(base64.b64decode(png))))[0, :, :3] / 255
    assert contrast(to_hex(middle), PAGE) < 1.2
    assert left.argmax() == 0
    assert right.argmax() == 2
    assert min(contrast(to_hex(colour), PAGE) for colour in (left, right)) > 4.5


def test_maps_of_widgets_are_as_dark_as_pictures():
    elements = (Path(fatelib.widgets.__file__).parent / "elements.js").read_text(encoding="utf-8")
    stops = [
        np.array(re.findall(r"\[(\d+), (\d+), (\d+)\]", found), dtype=float)
        for found in re.findall(r"STOPS = \[(.*?)\];", elements, re.DOTALL)
    ]
    assert [len(each) for each in stops] == [11, 11]
    np.testing.assert_array_equal(np.rint(255 * invert(stops[0] / 255)), stops[1])


def test_colours_are_replaced_and_black_ones_that_are_not_written_get_one():
    black = dark_colour("#000000")
    assert darken(WIDE) == WIDE.replace("#ffffff", PAGE).replace("#000000", black).replace(
        "<svg ", f'<svg fill="{black}" '
    )


def test_a_picture_and_its_narrow_twin_are_parted():
    variants = part(join(WIDE, NARROW))
    assert variants.keys() == {"", "-dark", "-narrow", "-narrow-dark"}
    assert variants[""] == WIDE
    assert variants["-narrow"] == NARROW[NARROW.index("<svg") :]
    assert part(WIDE).keys() == {"", "-dark"}


@pytest.fixture(scope="module")
def shown():
    """What a chapter hands over."""
    notebook = reads(CHAPTER)
    NotebookClient(notebook).execute()
    return [output["data"] for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.fixture(scope="module")
def figures(shown):
    """Its figures, each parted."""
    return [part(data["image/svg+xml"]) for data in shown if "image/svg+xml" in data]


def panels(svg):
    """Left and top edge, width and height of the axes of a picture, in its order."""
    number = r"([\d.]+) ([\d.]+)"
    path = rf'id="axes_\d+">\s*<g id="patch_\d+">\s*<path d="M {number} \s*L {number} \s*L {number}'
    corners = np.array(re.findall(path, svg), dtype=float)
    left, bottom, right, _, _, top = corners.T
    return np.stack([left, top, right - left, bottom - top], axis=1)


def texts(svg):
    """What is written in a picture: matplotlib draws letters, and notes the text."""
    return [text.strip() for text in re.findall(r"<!-- (.*?) -->", svg, re.DOTALL)]


@pytest.mark.slow
def test_narrow_figures_are_as_wide_as_a_phone(figures, shown):
    assert len(figures) == 5
    assert len(shown) == 5 + 2  # and two tables
    for figure in figures:
        width, height = (float(size) / 72 for size in SIZE.search(figure["-narrow"]).groups())
        assert width < 3.95
        assert height < 12
        assert float(SIZE.search(figure[""])[1]) / 72 > 5.5


@pytest.mark.slow
def test_panels_one_under_the_other_have_the_labels_that_they_shared(figures):
    wide, narrow = (texts(figures[0][name]) for name in ("", "-narrow"))
    assert (wide.count("risk"), narrow.count("risk")) == (1, 3)
    assert narrow.count("samples") == 3
    assert narrow.count("height") == 1
    title = "a title as long as a panel is wide, and longer than that"
    assert (wide.count(title), narrow.count(title)) == (3, 0)


@pytest.mark.slow
def test_a_legend_that_has_a_panel_to_itself_stands_above_the_panels(figures):
    wide, narrow = figures[3][""], figures[3]["-narrow"]
    assert (texts(wide).count("the only curve"), texts(narrow).count("the only curve")) == (1, 1)
    assert (texts(wide).count("for both rows"), texts(narrow).count("for both rows")) == (1, 3)
    legend = r"<!-- the only curve -->.*?translate\([\d.]+ ([\d.]+)\)"
    assert float(re.search(legend, wide, re.DOTALL)[1]) > panels(wide)[:, 1].min()
    assert float(re.search(legend, narrow, re.DOTALL)[1]) < panels(narrow)[:, 1].min()


@pytest.mark.slow
def test_scales_of_colours_lie_below_narrow_panels_without_numbers_side_by_side(figures):
    for figure, count in [(figures[0], 3), (figures[4], 3)]:
        *_, bar = panels(figure["-narrow"])
        shown = panels(figure["-narrow"])[:count]
        assert bar[2] > 5 * bar[3]
        assert bar[1] > shown[0, 1] + shown[0, 3]
    assert len(set(np.round(shown[:, 1]))) == 1
    assert len(set(np.round(panels(figures[0]["-narrow"])[:3, 1]))) == 3


@pytest.mark.slow
def test_tables_have_one_row_of_heads(shown):
    tables = [BeautifulSoup(data["text/html"], "html.parser") for data in shown[-2:]]
    heads = [[head.text for head in table.select("thead tr th")] for table in tables]
    assert [len(table.select("thead tr")) for table in tables] == [1, 1]
    assert heads == [["place", "height"], ["a", "b", "height"]]


@pytest.mark.slow
def test_small_panels_stay_side_by_side_in_their_order(figures):
    narrow = figures[2]["-narrow"]
    assert [text for text in texts(narrow) if "number" in text] == [f"number {i}" for i in range(6)]
    corners = re.findall(r'id="axes_\d">\s*<g id="patch_\d+">\s*<path d="M ([\d.]+)', narrow)
    assert len(corners) == 6
    assert len({round(float(x) / 30) for x in corners}) == 2
