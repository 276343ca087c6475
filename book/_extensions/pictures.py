"""Every picture in four variants: for the light and the dark theme, for a wide and a narrow window.

What draws a figure, `prepare` or `results`, hands over one SVG that holds its narrow twin too. Here
the two are parted, and the dark variants made from what matplotlib wrote: data and layout stay, each
colour is replaced. So a change of a colour executes nothing anew, and a figure need not know the
theme. Of the four files a browser loads the one that it shows.
"""

import base64
import io
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from matplotlib import rcParams, style
from matplotlib.colors import TABLEAU_COLORS, to_hex, to_rgb
from PIL import Image
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

NARROW = "(max-width: 600px)"  # as in custom.css
TWIN = re.compile(r'<defs class="narrow">(.*)</defs>\s*</svg>\s*$', re.DOTALL)
COLUMN = 680  # pixels: the text on a laptop; what is wider may use the margins, see custom.css
SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"')

# Lightness of the dark page and of what is black on a light one, from 0 to 1.
PAGE, TEXT = 0.1822, 0.9
COLOUR = re.compile(r"\b(fill|stroke): (#[0-9a-f]{6})")
BITMAP = re.compile(r'(xlink:href="data:image/png;base64,)\s*([^"]+)"')

# From linear red, green and blue to the Oklab space, where lightness is as it is perceived
# (https://bottosson.github.io/posts/oklab).
CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)

with style.context("fatelib.style"):
    CYCLE = {to_hex(each) for each in rcParams["axes.prop_cycle"].by_key()["color"]}
# What the style and matplotlib give to curves and bars, but for black.
CURVES = CYCLE - {"#000000"} | {*map(to_hex, TABLEAU_COLORS.values())}


def to_oklab(rgb: np.ndarray) -> np.ndarray:
    """Take colours, of which the last axis has red, green and blue from 0 to 1, to Oklab."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ CONES.T) @ OKLAB.T


def to_srgb(lab: np.ndarray) -> np.ndarray:
    """Take colours back from Oklab; what no screen can show becomes the next that it can."""
    linear = ((lab @ np.linalg.inv(OKLAB).T) ** 3) @ np.linalg.inv(CONES).T
    linear = np.clip(linear, 0, 1)
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )


def invert(rgb: np.ndarray) -> np.ndarray:
    """Make light what is dark, and the reverse, in the same hue: white is the page, black its text.

    Maps whose middle is white so get a dark middle. The exponent keeps greys as readable as on white.
    """
    lab = to_oklab(rgb)
    lab[..., 0] = PAGE + (TEXT - PAGE) * np.clip(1 - lab[..., 0], 0, 1) ** 0.8
    return to_srgb(lab)


def lighten(rgb: np.ndarray) -> np.ndarray:
    """Lighten a colour that stands for a curve: it must be seen.

    All become lighter by the same, so that what is told apart on white is so in the dark.
    """
    lab = to_oklab(rgb)
    lab[..., 0] += 0.1
    return to_srgb(lab)


def dark_colour(colour: str) -> str:
    """Give the dark theme's counterpart of a colour, both as #rrggbb."""
    change = lighten if colour in CURVES else invert
    return to_hex(change(np.array(to_rgb(colour))))


def dark_bitmap(png: str) -> str:
    """Invert a map that matplotlib drew as a bitmap; takes and returns base64."""
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"))
    pixels[..., :3] = np.rint(255 * invert(pixels[..., :3] / 255))
    Image.fromarray(pixels).save(file := io.BytesIO(), "png")
    return base64.b64encode(file.getvalue()).decode()


def darken(svg: str) -> str:
    """Replace the colours of a picture for the dark theme."""
    svg = COLOUR.sub(lambda found: f"{found[1]}: {dark_colour(found[2])}", svg)
    svg = BITMAP.sub(lambda found: f'{found[1]}{dark_bitmap(found[2])}"', svg)
    # Matplotlib does not write the colour of what is black.
    return svg.replace("<svg ", f'<svg fill="{dark_colour("#000000")}" ', 1)


def join(wide: str, narrow: str) -> str:
    """Put the narrow twin of a picture into it, unseen; `prepare` does so, too."""
    narrow = narrow[narrow.index("<svg") :]
    return (
        f'{wide[: wide.rindex("</svg>")]}<defs class="narrow">{narrow}</defs></svg>'
    )


def part(svg: str) -> dict[str, str]:
    """Part a picture from its narrow twin, if it has one; make both dark, too."""
    found = TWIN.search(svg)
    light = {"": svg[: found.start()] + "</svg>" if found else svg}
    if found:
        light["-narrow"] = found[1]
    return light | {f"{name}-dark": darken(text) for name, text in light.items()}


def make_variants(app: Sphinx, doctree: nodes.document) -> None:
    """Write the variants of each picture of a page, before Sphinx notes what to copy."""
    for image in doctree.findall(nodes.image):
        source = Path(app.env.relfn2path(image["uri"], app.env.docname)[1])
        if source.suffix != ".svg" or not source.is_file():
            continue
        folder = Path(app.doctreedir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        image["variants"] = {}
        for name, text in part(source.read_text(encoding="utf-8")).items():
            path = folder / f"{source.stem}{name}.svg"
            path.write_text(text, encoding="utf-8")
            width, height = SIZE.search(text).groups()
            # A point is 4/3 pixels; the browser keeps as much room before it has the picture.
            size = [round(float(length) * 4 / 3) for length in (width, height)]
            image["variants"][name] = str(path), *size
        wide, *_ = image["variants"][""]
        image["uri"] = f"/{Path(os.path.relpath(wide, app.srcdir)).as_posix()}"


def visit_image(self: HTML5Translator, node: nodes.image) -> None:
    """Write one element per theme; custom.css shows that of the reader's."""
    node["loading"] = "lazy"  # else a browser would load what it does not show, too
    HTML5Translator.visit_image(self, node)
    if "variants" not in node:
        return
    tag = self.body.pop().strip()
    builder: Any = self.builder
    files = {}
    for name, (path, width, height) in node["variants"].items():
        target = Path(builder.outdir) / builder.imagedir / Path(path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        files[name] = f"{builder.imgpath}/{target.name}", width, height
    wide = files[""][1] > COLUMN
    self.body.append(f'<span class="variants{" wide" * wide}">')
    for theme, dark in [("light", ""), ("dark", "-dark")]:
        self.body.append("<picture>")
        if f"-narrow{dark}" in files:
            file, width, height = files[f"-narrow{dark}"]
            self.body.append(
                f'<source media="{NARROW}" srcset="{file}" width="{width}" height="{height}"/>'
            )
        file, width, height = files[dark]
        size = f'width="{width}" height="{height}" '
        own = f'class="only-{theme}" {size}src="{file}"'
        self.body.append(
            re.sub(r' src="[^"]*"', lambda _, new=own: f" {new}", tag)
            + "</picture>"
        )
    self.body.append("</span>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-read", make_variants, priority=400)
    app.add_node(
        nodes.image,
        override=True,
        html=(visit_image, HTML5Translator.depart_image),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
