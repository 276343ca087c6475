"""Every function of the theory on its whole domain: inside it and one step outside."""

import inspect

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from fatelib import theory
from fatelib.theory.domain import check_domain

CASES = 8


def numbers(low, high, *special):
    """Draw eight float32 numbers, spread over the decades, special ones often."""
    low, high = np.log10(np.float32(low)), np.log10(np.float32(high))
    decades = st.floats(float(low), float(high)).map(lambda x: np.float32(10.0**x))
    some = st.one_of(decades, st.sampled_from(special)) if special else decades
    return hnp.arrays(np.float32, CASES, elements=st.builds(np.float32, some))


GAMMA = numbers(1e-3, 1e3, 1.0, 0.5, 2.0)
SOURCE_GAMMA = numbers(1e-3, 1e3, 1.0, np.inf)
SIGMA = numbers(1e-3, 1e2, 0.0)
THETA = numbers(1e-3, 3.1, 0.0, np.pi / 2, np.pi)
DEPTH = numbers(1, 1e3, 1.0, 2.0, np.inf)
SIZE = numbers(1, 1e5, 1.0, 2.0, 19.0, 20.0, 21.0)
NORM2 = numbers(1e-3, 1e3, 0.0)
SPECTRUM = hnp.arrays(
    np.float32, (CASES, 5), elements=st.sampled_from(np.float32([0, 1e-9, 1e-3, 1, 50]))
)
SOURCE = {"source_gamma": SOURCE_GAMMA, "source_sigma": SIGMA}
FINITE_DEPTH = numbers(1, 100, 1.0, 2.0)
INITIAL = numbers(1e-10, 0.99)
FLIP = numbers(1e-6, 0.499, 0.0, 0.25, 0.49999997)

DOMAINS = {
    "least_squares_risk": {"n": SIZE, "k": SIZE, "residual": NORM2, "noise": SIGMA},
    "effective_ridge": {"n": SIZE, "eigenvalues": SPECTRUM, "ridge": NORM2},
    "ridge_risk": {
        "n": SIZE,
        "eigenvalues": SPECTRUM,
        "coefficients2": SPECTRUM,
        "residual": NORM2,
        "noise": SIGMA,
        "ridge": NORM2,
    },
    "scratch_risk": {"gamma": GAMMA, "sigma": SIGMA},
    "interpolator_norm2": {"gamma": GAMMA, "sigma": SIGMA},
    "regularised_risk": {"gamma": GAMMA, "sigma": SIGMA, "distance2": NORM2},
    "optimal_scratch_risk": {"gamma": GAMMA, "sigma": SIGMA},
    "learned_angle": {"theta": THETA, **SOURCE},
    "linear_transfer_risk": {"theta": THETA, "n": SIZE, "sigma": SIGMA, "ridge": NORM2},
    "linear_transferability": {"gamma": GAMMA, "theta": THETA, "sigma": SIGMA, **SOURCE},
    "negative_transfer_interval": {"theta": THETA, "sigma": SIGMA},
    "negative_transfer_onset": {"theta": THETA, "sigma": SIGMA},
    "scratch_boundary": {"residual": numbers(1e-3, 1.0, 0.0), "sigma": SIGMA},
    "fine_tuning_scale": {"gamma": GAMMA, "sigma": SIGMA, "depth": DEPTH, **SOURCE},
    "fine_tuning_scale_from_norms": {
        "interpolator_norm2": NORM2,
        "source_norm2": numbers(1e-3, 1e3),
        "seen_norm2": numbers(1e-3, 1e3),
        "depth": DEPTH,
    },
    "fine_tuning_transferability": {
        "gamma": GAMMA,
        "theta": THETA,
        "sigma": SIGMA,
        "depth": DEPTH,
        **SOURCE,
    },
    "fine_tuning_break_even": {"gamma": GAMMA, "sigma": SIGMA, "depth": DEPTH, **SOURCE},
    "scratch_error_rate": {"gamma": GAMMA, "flip": FLIP},
    "linear_transfer_error_rate": {"theta": THETA, "n": SIZE, "flip": FLIP},
    "fine_tuning_error_rate": {"gamma": GAMMA, "theta": THETA, "depth": DEPTH, "flip": FLIP},
    "fine_tuning_error_break_even": {"gamma": GAMMA, "depth": DEPTH, "flip": FLIP},
    # Depth and dropout, which exclude a time, are tried in test_filter.py.
    "pretraining_filter": {
        "singular_values": SPECTRUM,
        "weight_decay": NORM2,
        "time": NORM2,
        "scale": INITIAL,
    },
    "strength_growth_rate": {"strength": INITIAL, "depth": FINITE_DEPTH},
    "aligned_strength": {"time": NORM2, "initial": INITIAL, "depth": FINITE_DEPTH},
    "escape_time": {"initial": INITIAL, "level": INITIAL, "depth": FINITE_DEPTH},
}

# What the values must be, beyond being numbers.
RANGES = {
    "linear_transfer_risk": (0, np.inf),
    "linear_transferability": (-1, np.inf),
    "learned_angle": (0, np.float32(np.pi)),
    "negative_transfer_interval": (0, 1),
    "negative_transfer_onset": (1, np.inf),
    "fine_tuning_transferability": (-np.inf, np.inf),
    "fine_tuning_break_even": (0, np.pi / 3),
    "scratch_error_rate": (0, 0.5),
    "linear_transfer_error_rate": (0, 1),
    "fine_tuning_error_rate": (0, 1),
    "fine_tuning_error_break_even": (np.radians(73), np.pi / 2),
    "aligned_strength": (0, 1),
    "escape_time": (-np.inf, np.inf),
}
MAY_BE_NAN = {
    *("negative_transfer_interval", "fine_tuning_break_even", "fine_tuning_error_break_even"),
}


def call(name, arguments):
    function = getattr(theory, name)
    positional, keyword = [], {}
    for key, parameter in inspect.signature(function).parameters.items():
        if key in arguments and parameter.kind is parameter.KEYWORD_ONLY:
            keyword[key] = arguments[key]
        elif key in arguments:
            positional.append(arguments[key])
    if name == "fine_tuning_scale_from_norms":  # what is seen is part of the source
        positional[2] = jnp.minimum(positional[2], positional[1])
    result = function(*positional, **keyword)
    if name == "pretraining_filter":  # the axis of a spectrum is its last
        return jnp.moveaxis(result, -1, 0)
    return jnp.stack(result) if isinstance(result, tuple) else result


def test_every_public_function_is_covered():
    assert set(DOMAINS) == set(theory.__all__)


@pytest.mark.parametrize("name", DOMAINS)
def test_over_the_whole_domain(name):

    @jax.jit
    def compiled(arguments):
        together = call(name, arguments)
        return together, jax.vmap(lambda one: call(name, one), out_axes=-1)(arguments)

    low, high = RANGES.get(name, (0, np.inf))
    small = 1e-5

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(st.fixed_dictionaries(DOMAINS[name]))
    def check(arguments):
        value = call(name, arguments)
        assert value.dtype == np.float32
        assert value.shape[-1] == CASES
        if name not in MAY_BE_NAN:
            assert not np.isnan(value).any()
        value = np.asarray(value)
        known = value[~np.isnan(value)]
        assert (known >= low - small).all()
        assert (known <= high * (1 + small)).all()
        # Compiled and batched, the rounding may differ; nothing else may.
        for again in compiled(arguments):
            np.testing.assert_allclose(again, value, rtol=1e-3, atol=1e-5)

    check()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(GAMMA, THETA, SIGMA, SIGMA, NORM2)
def test_inequalities_that_must_hold(gamma, theta, sigma, more, ridge):
    slack = 1 + 1e-5
    best = theory.optimal_scratch_risk(gamma, sigma)
    assert (best <= theory.scratch_risk(gamma, sigma) * slack).all()
    assert (best <= slack).all()
    # More noise, a farther task, never help.
    assert (best <= theory.optimal_scratch_risk(gamma, sigma + more) * slack).all()
    assert (theory.scratch_risk(gamma, sigma) <= theory.scratch_risk(gamma, sigma + more)).all()
    # Decay towards the best multiple of the pretrained weights is never worse than towards 0.
    tuned = theory.regularised_risk(gamma, sigma, np.sin(theta) ** 2)
    assert (tuned <= best * slack).all()
    penalised = theory.linear_transfer_risk(theta, ridge=ridge)
    assert (theory.linear_transfer_risk(theta) <= penalised * slack).all()
    # Noise only ever lengthens what fine-tuning keeps of the source.
    assert (theory.fine_tuning_scale(gamma, sigma) >= 1 / slack).all()


SOUND = {"sigma": 0.1, "flip": 0.1} | {
    name: 0.5 for name in ("gamma", "theta", "ridge", "initial", "level", "time")
}
SOUND |= {"n": 10.0, "k": 3.0, "depth": 2.0, "source_gamma": 2.0, "source_sigma": 0.1}
SOUND |= {"eigenvalues": np.ones(3), "coefficients2": np.ones(3)}
SOUND |= {name: 0.5 for name in ("residual", "noise", "signal", "distance2", "strength")}
SOUND |= {"singular_values": np.ones(3), "weight_decay": 0.1, "scale": 0.1}
SOUND |= {"interpolator_norm2": 1.0, "source_norm2": 1.0, "seen_norm2": 0.5}

IMPOSSIBLE = [
    ("least_squares_risk", "n", 0.5),
    ("least_squares_risk", "k", 0),
    ("least_squares_risk", "residual", -0.1),
    ("least_squares_risk", "noise", -0.1),
    ("least_squares_risk", "signal", -1.0),
    ("ridge_risk", "n", 0),
    ("ridge_risk", "eigenvalues", np.array([1.0, -2.0, 1.0])),
    ("ridge_risk", "coefficients2", np.array([1.0, np.nan, 1.0])),
    ("ridge_risk", "residual", -0.1),
    ("ridge_risk", "noise", -0.1),
    ("ridge_risk", "ridge", -0.1),
    ("effective_ridge", "n", 0),
    ("effective_ridge", "eigenvalues", np.array([np.inf, 2.0])),
    ("effective_ridge", "ridge", -1.0),
    ("scratch_risk", "gamma", 0.0),
    ("scratch_risk", "sigma", -0.2),
    ("scratch_risk", "sigma", np.array([0.1, np.nan])),
    ("interpolator_norm2", "gamma", -1.0),
    ("interpolator_norm2", "sigma", -1.0),
    ("regularised_risk", "gamma", np.inf),
    ("regularised_risk", "distance2", -0.5),
    ("optimal_scratch_risk", "sigma", -0.5),
    ("learned_angle", "theta", 3.2),
    ("learned_angle", "source_gamma", 0.0),
    ("learned_angle", "source_sigma", -0.1),
    ("linear_transfer_risk", "theta", -0.1),
    ("linear_transfer_risk", "n", 0),
    ("linear_transfer_risk", "sigma", -0.1),
    ("linear_transfer_risk", "ridge", -0.1),
    ("linear_transferability", "theta", np.array([0.5, 4.0])),
    ("linear_transferability", "gamma", -0.5),
    ("negative_transfer_interval", "theta", 9.0),
    ("negative_transfer_interval", "sigma", -9.0),
    ("negative_transfer_onset", "theta", 9.0),
    ("scratch_boundary", "sigma", -1.0),
    ("scratch_boundary", "residual", -0.1),
    ("scratch_boundary", "residual", 1.001),
    ("fine_tuning_scale", "depth", 0.5),
    ("fine_tuning_scale", "gamma", 0.0),
    ("fine_tuning_scale_from_norms", "source_norm2", 0.0),
    ("fine_tuning_scale_from_norms", "depth", 0),
    ("fine_tuning_transferability", "theta", -1.0),
    ("fine_tuning_transferability", "depth", np.nan),
    ("fine_tuning_transferability", "source_sigma", -1.0),
    ("fine_tuning_transferability", "source_gamma", 1e-45),
    ("fine_tuning_break_even", "sigma", -1.0),
    ("scratch_error_rate", "gamma", 0.0),
    ("scratch_error_rate", "gamma", np.inf),
    ("scratch_error_rate", "flip", 0.5),
    ("scratch_error_rate", "flip", np.array([0.1, np.nan])),
    ("linear_transfer_error_rate", "theta", 3.2),
    ("linear_transfer_error_rate", "n", 0),
    ("linear_transfer_error_rate", "flip", -0.1),
    ("fine_tuning_error_rate", "depth", 0.5),
    ("fine_tuning_error_rate", "flip", 0.6),
    ("fine_tuning_error_break_even", "flip", 1.0),
    ("pretraining_filter", "singular_values", np.array([1.0, -0.2, 0.5])),
    ("pretraining_filter", "depth", 1.0),
    ("pretraining_filter", "depth", np.inf),
    ("pretraining_filter", "weight_decay", -0.1),
    ("pretraining_filter", "dropout", 1.0),
    ("pretraining_filter", "width", 0),
    ("pretraining_filter", "time", -1.0),
    ("pretraining_filter", "time", np.nan),
    ("pretraining_filter", "scale", 0.0),
    ("strength_growth_rate", "strength", -0.1),
    ("aligned_strength", "time", -1.0),
    ("aligned_strength", "initial", 0.0),
    ("aligned_strength", "depth", np.inf),
    ("escape_time", "level", 1.0),
    ("escape_time", "initial", 1.5),
    ("escape_time", "depth", 0.9),
]


@pytest.mark.parametrize(("name", "argument", "value"), IMPOSSIBLE)
def test_impossible_values_are_named(name, argument, value):
    arguments = {key: SOUND[key] for key in DOMAINS[name]}
    assert np.isfinite(call(name, arguments)).all()
    # The message shows the first impossible entry: here always the one that is not ordinary.
    entries = np.atleast_1d(value)
    shown = entries[~np.isin(entries, [0.1, 0.5, 1.0, 2.0])][0] if entries.size > 1 else value
    with pytest.raises(ValueError, match=rf"^{argument} must be .*; got {shown}$"):
        call(name, arguments | {argument: value})


# What users compute by a decomposition or a difference, with a value that is 0 but for rounding.
ROUNDED = [
    ("ridge_risk", "eigenvalues", [2.0, 1.0, -1e-15]),
    ("ridge_risk", "coefficients2", [2.0, 1.0, -1e-15]),
    ("ridge_risk", "residual", -1e-15),
    ("effective_ridge", "eigenvalues", [2.0, 1.0, -1e-15]),
    ("least_squares_risk", "residual", -1e-16),
    ("least_squares_risk", "signal", -1e-16),
    ("regularised_risk", "distance2", -1e-16),
    ("fine_tuning_scale_from_norms", "interpolator_norm2", -1e-16),
]


@pytest.mark.parametrize(("name", "argument", "value"), ROUNDED)
def test_rounding_below_zero_counts_as_zero(name, argument, value, dtype):
    known = {key: SOUND[key] for key in DOMAINS[name]}
    unit = np.finfo(dtype).eps / np.finfo(float).eps
    # As many rounding errors of the type: 4.5 of float64.
    rounded = np.asarray(value, float)
    rounded = np.where(rounded < 0, rounded * unit, rounded).astype(dtype)
    at_zero = call(name, known | {argument: np.maximum(rounded, 0)})
    assert not np.isnan(at_zero).any()
    np.testing.assert_array_equal(call(name, known | {argument: rounded}), at_zero)
    if np.ndim(value) == 0:  # a Python number, without a type
        np.testing.assert_allclose(call(name, known | {argument: value}), at_zero, rtol=1e-5)
    # Compiled, where nothing is checked.
    compiled = jax.jit(lambda rounded: call(name, known | {argument: rounded}))
    np.testing.assert_allclose(compiled(rounded), at_zero, rtol=1e-5)


@pytest.mark.parametrize(("name", "argument", "value"), ROUNDED)
@pytest.mark.parametrize("negative", [-0.5, -1e-3, -1e-4])
def test_what_is_truly_negative_is_refused(name, argument, value, negative, dtype):
    known = {key: SOUND[key] for key in DOMAINS[name]}
    value = np.where(np.asarray(value) < 0, negative, value).astype(dtype)
    with pytest.raises(ValueError, match=rf"^{argument} must be .*; got {value.min()}$"):
        call(name, known | {argument: value})


def test_eigenvalues_as_numpy_computes_them(dtype):
    """Of twelve samples of thirty features eighteen eigenvalues are 0, about half of them below."""
    X = np.random.default_rng(0).standard_normal((12, 30)).astype(dtype)
    eigenvalues = np.linalg.eigvalsh(X.T @ X / len(X))
    # In float32 LAPACK may round all to one side: a decomposition of float32 in float64 does not.
    if dtype == np.float32:
        eigenvalues[:9] = -np.abs(eigenvalues[:9]) - eigenvalues[-1] * np.finfo(dtype).eps
    assert eigenvalues.min() < 0
    clipped = np.maximum(eigenvalues, 0)
    coefficients2 = np.ones(30, dtype)
    for ridge in (0.0, 0.1):
        at = {"residual": 0.1, "noise": 0.2, "ridge": ridge}
        np.testing.assert_array_equal(
            theory.ridge_risk(20, eigenvalues, coefficients2, **at),
            theory.ridge_risk(20, clipped, coefficients2, **at),
        )
        np.testing.assert_array_equal(
            theory.effective_ridge(8, eigenvalues, ridge=ridge),
            theory.effective_ridge(8, clipped, ridge=ridge),
        )


def test_each_spectrum_is_rounded_beside_its_own():
    """A small spectrum in a batch with a large one has less rounding."""
    spectra = np.array([[1.0, 0.5, -1e-16], [1e-12, 1e-13, -1e-16]])
    with pytest.raises(ValueError, match=r"eigenvalues must be a finite number >= 0; got -1e-16"):
        theory.effective_ridge(2, spectra)


def test_the_slope_at_an_eigenvalue_of_zero_is_whole():
    """It is that from above: clipping at 0 would halve it."""

    def risk(eigenvalue):
        return theory.ridge_risk(2, jnp.stack([jnp.float32(1), eigenvalue]), jnp.ones(2), ridge=0.1)

    at_zero, above = (float(jax.grad(risk)(jnp.float32(x))) for x in (0.0, 1e-4))
    np.testing.assert_allclose(at_zero, above, rtol=0.01)


def test_the_smallest_source_has_a_finite_worth():
    for noise in (0.0, 100.0, 1e9):
        source = {"source_gamma": 1e-15, "source_sigma": noise}
        assert np.isfinite(theory.fine_tuning_transferability(0.5, 0.3, 1e9, **source))


def test_the_last_axes_of_a_spectrum_must_match():
    ridge_risk = inspect.unwrap(theory.ridge_risk)  # past the shape check of the tests
    with pytest.raises(ValueError, match=r"coefficients2 must have .*got \(2,\) for \(3,\)"):
        ridge_risk(10, np.ones(3), np.ones(2))
    with pytest.raises(
        ValueError, match=r"coefficients2 .*one entry per eigenvalue.*got shape \(\)"
    ):
        ridge_risk(10, np.ones(3), 1.0)


def test_pi_is_an_angle_in_either_precision():
    check_domain(theta=np.float32(np.pi))
    check_domain(theta=np.pi)
    with pytest.raises(ValueError, match="theta"):
        check_domain(theta=np.nextafter(np.float32(np.pi), np.float32(4)))


@pytest.mark.parametrize("name", DOMAINS)
def test_arguments_broadcast(name):
    arguments = {key: SOUND[key] for key in DOMAINS[name]}
    scalars = [key for key in arguments if np.ndim(arguments[key]) == 0]
    one, other = scalars[0], scalars[-1]
    arguments[one] = np.full((3, 1), arguments[one], np.float32)
    if other != one:
        arguments[other] = np.full((1, 4), arguments[other], np.float32)
    value = call(name, arguments)
    assert value.shape[-2:] == ((3, 4) if other != one else (3, 1))
    alone = call(name, {key: SOUND[key] for key in DOMAINS[name]})
    np.testing.assert_allclose(value[..., 1, 0], alone, rtol=1e-5)


@pytest.mark.parametrize("name", DOMAINS)
def test_the_dtype_follows_the_input(name, x64):
    for dtype in (np.float32, np.float64):
        value = call(name, {key: np.asarray(SOUND[key], dtype) for key in DOMAINS[name]})
        assert value.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_left_of_many_coefficients_rounds_like_their_sum(dtype):
    """A residual is a difference: the squared norm less the sum of a thousand coefficients."""
    coefficients = np.random.default_rng(0).random(1000).astype(dtype)
    coefficients /= coefficients.sum()
    left = dtype(1) - np.cumsum(coefficients)[-1]
    below = -abs(left) - np.finfo(dtype).eps
    risk = theory.ridge_risk(20, np.ones(1000, dtype), coefficients, residual=below)
    same = theory.ridge_risk(20, np.ones(1000, dtype), coefficients, residual=0.0)
    assert risk == same
    with pytest.raises(ValueError, match="residual must be a finite number >= 0"):
        theory.ridge_risk(20, np.ones(1000), coefficients, residual=-1e-3)
    assert np.isfinite(theory.least_squares_risk(20, 5, residual=-1e-17, signal=0.0))


def test_the_seen_part_is_no_longer_than_the_whole():
    rounded = theory.fine_tuning_scale_from_norms(1.0, 1.0, 1 + 1e-6)
    np.testing.assert_allclose(rounded, theory.fine_tuning_scale_from_norms(1.0, 1.0, 1.0))
    for seen in (1.5, 4.0):
        with pytest.raises(ValueError, match="seen_norm2 must be at most source_norm2; got"):
            theory.fine_tuning_scale_from_norms(1.0, 1.0, seen)
