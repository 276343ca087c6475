"""Pixels inside a figure take the room that their colours need.

Matplotlib stores an image as four bytes a pixel; drawn with a map of 256 colours it needs one. The
picture stays the same to the last pixel.
"""

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image
from sphinx.application import Sphinx

EMBEDDED = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")


def smallest(png: bytes) -> bytes:
    """Store an image as numbers of its colours, if it has few and is smaller for it."""
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    pixels = np.array(image).view(np.uint32)[..., 0]
    colours, numbers = np.unique(pixels, return_inverse=True)
    if colours.size > 256:
        return png
    numbered = Image.fromarray(numbers.reshape(pixels.shape).astype(np.uint8), "P")
    numbered.putpalette(colours.tobytes(), "RGBA")
    stored = io.BytesIO()
    numbered.save(stored, "png", optimize=True)
    return min(png, stored.getvalue(), key=len)


def shrink(figure: str) -> str:
    """Store the images in a drawing again."""

    def replace(found: re.Match[str]) -> str:
        png = smallest(base64.b64decode(found[1]))
        return "data:image/png;base64," + base64.b64encode(png).decode()

    return EMBEDDED.sub(replace, figure)


def shrink_all(app: Sphinx, exception: Exception | None) -> None:
    """Do so in every figure of the built book."""
    if exception or app.builder.name != "html":
        return
    for path in (Path(app.outdir) / app.builder.imagedir).glob("*.svg"):
        figure = path.read_text(encoding="utf-8")
        if (smaller := shrink(figure)) != figure:
            path.write_text(smaller, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("build-finished", shrink_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
