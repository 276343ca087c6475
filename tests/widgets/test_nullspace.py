"""The plane of `null_space`: what it tells the page. `tests/book/test_nullspace.py` drives it."""

import base64
import json

import numpy as np
import pytest

from fatelib import theory
from fatelib.widgets import null_space
from fatelib.widgets.nullspace import LENGTHS


def guess(widget):
    """Lengths of what fine-tuning guesses, (depth, sigma, gamma, length), as the page has them."""
    lengths = np.frombuffer(base64.b64decode(widget.guess), "<f4").astype(float)
    dims = widget.figure["dims"]
    assert list(dims) == ["depth", "sigma", "gamma", "length"]
    return lengths.reshape([len(dim["labels"]) for dim in dims.values()])


def gain(length, cosine, gamma):
    """What the page draws: distances from the target in the directions unseen."""
    return (1 - gamma) * (1 - ((length * cosine - 1) ** 2 + length**2 * (1 - cosine**2)))


# float32: the scale is good to a few times eps, and the gain has terms up to 40 at high noise.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def test_a_source_of_norm_one_gains_what_theory_says():
    gamma, sigma, depth = np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.2, 1.6]), [1, 2, 3, np.inf]
    widget = null_space(gamma=gamma, sigma=sigma, depth=depth)
    one = int(np.flatnonzero(LENGTHS == 1)[0])
    for theta in (0.0, np.pi / 3, 2.0, np.pi):
        expected = theory.fine_tuning_transferability(
            gamma, theta, sigma[:, None], depth=np.array(depth)[:, None, None]
        )
        drawn = gain(guess(widget)[..., one], np.cos(theta), gamma)
        np.testing.assert_allclose(drawn, expected, **TOLERANCE)
    risk = theory.scratch_risk(gamma, sigma[:, None])
    np.testing.assert_allclose(widget.figure["scratch"], risk)


def test_a_source_of_another_norm_is_one_that_was_learned_from_few_data():
    # its norm, here 1.2, and its angle to the target are theory's own
    source_gamma, source_sigma = 0.5, np.sqrt((1.2**2 / 0.5 - 1) * 0.5)
    norm = np.sqrt(float(theory.interpolator_norm2(source_gamma, source_sigma)))
    assert norm == pytest.approx(1.2)
    widget = null_space(gamma=0.3, sigma=0.8, depth=3)
    length = guess(widget)[0, 0, 0, np.argmin(abs(LENGTHS - norm))]
    theta = 0.4
    cosine = source_gamma * np.cos(theta) / norm
    expected = theory.fine_tuning_transferability(
        0.3, theta, 0.8, depth=3, source_gamma=source_gamma, source_sigma=source_sigma
    )
    np.testing.assert_allclose(gain(length, cosine, 0.3), expected, **TOLERANCE)


def test_one_layer_keeps_the_source():
    lengths = guess(null_space(depth=1))
    np.testing.assert_allclose(lengths, np.broadcast_to(LENGTHS, lengths.shape), rtol=1e-6)


def test_state_is_json_and_small():
    widget = null_space()
    state = {name: getattr(widget, name) for name in ("guess", "figure", "position")}
    assert json.loads(json.dumps(state, allow_nan=False)) == state
    assert len(json.dumps(state)) < 150_000
    assert {"guess", "figure", "position", "_esm", "_css"} <= set(widget.keys)
    assert "import" not in widget._esm.split()
    assert "://" not in widget._esm.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in widget._css


def test_where_the_reader_starts():
    at = {"theta": -np.pi / 2, "length": 0.52, "gamma": 0.21, "sigma": 0.29, "depth": np.inf}
    widget = null_space(gamma=np.arange(9, 0, -1) / 10, at=at)
    labels = {dim: described["labels"] for dim, described in widget.figure["dims"].items()}
    position = widget.position
    assert position.pop("theta") == -90
    chosen = {dim: labels[dim][i] for dim, i in position.items()}
    assert chosen == {"length": "0.5", "gamma": "0.2", "sigma": "0.2", "depth": "∞"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": [0.5, 1.0]}, "gamma must be numbers between 0 and 1; got 1.0"),
        ({"sigma": -1.0}, "sigma must be a number in"),
        ({"depth": 0.5}, "depth must be a number >= 1"),
        ({"at": {"theta": 4.0}}, r"at\['theta'\] must be an angle in \[-pi, pi\]; got 4.0"),
        ({"at": {"angle": 1.0}}, "at must name dimensions of data"),
    ],
)
def test_a_plane_that_cannot_be_drawn(arguments, message):
    with pytest.raises(ValueError, match=message):
        null_space(**arguments)
