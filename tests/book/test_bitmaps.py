"""Images inside figures become smaller, and stay what they are."""

import base64
import io

import numpy as np
from _extensions.bitmaps import EMBEDDED, shrink
from PIL import Image


def drawing(pixels):
    stored = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8), "RGBA").save(stored, "png")
    text = base64.encodebytes(stored.getvalue()).decode()  # in lines, as matplotlib writes it
    return f'<svg><image xlink:href="data:image/png;base64,\n{text}"/><path d="M 0 0"/></svg>'


def image_in(figure):
    return Image.open(io.BytesIO(base64.b64decode(EMBEDDED.search(figure)[1])))


def test_few_colours_take_one_byte_each():
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (200, 4))
    pixels = palette[rng.integers(0, 200, (60, 80))]
    figure = drawing(pixels)
    smaller = shrink(figure)
    assert len(smaller) < 0.6 * len(figure)
    np.testing.assert_array_equal(image_in(smaller).convert("RGBA"), pixels)
    assert smaller.startswith("<svg><image xlink:href=")
    assert smaller.endswith('"/><path d="M 0 0"/></svg>')
    assert shrink(smaller) == smaller


def test_many_colours_are_left_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 4))
    smaller = shrink(drawing(pixels))
    assert image_in(smaller).mode == "RGBA"
    np.testing.assert_array_equal(image_in(smaller), pixels)
