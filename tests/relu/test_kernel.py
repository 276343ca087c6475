import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special

from fatelib.relu import arccos_kernel, hermite_coefficients, mercer_spectrum, step_kernel
from fatelib.relu.kernel import _acute_angle


def k(u):
    return (np.sqrt(1 - u**2) + u * (np.pi - np.arccos(u))) / (2 * np.pi)


def test_kernels_are_expectations():
    rng = np.random.default_rng(0)
    W, V = rng.normal(size=(4, 3)), rng.normal(size=(2, 3))
    X = rng.normal(size=(200_000, 3))
    before, after = X @ W.T, X @ V.T
    for kernel, unit in ((arccos_kernel, lambda z: np.maximum(z, 0)), (step_kernel, np.sign)):
        a, b = np.maximum(unit(before), 0), np.maximum(unit(after), 0)
        for i in range(4):
            for j in range(2):
                draws = a[:, i] * b[:, j]
                error = np.std(draws) / np.sqrt(len(draws))
                assert abs(kernel(W, V)[i, j] - np.mean(draws)) < 5 * error


def test_kernels_are_integrals_over_the_plane(dtype):
    angles = np.linspace(0, np.pi, 50)
    V = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    t = np.linspace(-np.pi, np.pi, 20_001)[:-1]
    a, b = np.maximum(np.cos(t), 0), np.maximum(np.cos(t[None, :] - angles[:, None]), 0)
    W, V = np.array([[3.0, 0.0]], dtype), (2 * V).astype(dtype)
    # The mean of r^2 is 2. The trapezoidal rule errs by the square of its step at the kinks.
    eps = np.finfo(dtype).eps
    assert arccos_kernel(W, V).dtype == step_kernel(W, V).dtype == dtype
    np.testing.assert_allclose(arccos_kernel(W, V)[0], 12 * np.mean(a * b, axis=1), atol=1e-6)
    # The angle between nearly parallel neurons is known to the root of the rounding error.
    atol = 1e-4 + np.sqrt(eps)
    np.testing.assert_allclose(step_kernel(W, V)[0], np.mean(a * b > 0, axis=1), atol=atol)


@pytest.mark.usefixtures("x64")
@pytest.mark.filterwarnings("default")  # its own, while it is imported
def test_kernels_are_those_of_gpjax():
    # An independent implementation; the weekly workflow installs it.
    gpjax = pytest.importorskip("gpjax")
    rng = np.random.default_rng(1)
    W, V = rng.normal(size=(7, 4)), rng.normal(size=(5, 4))
    for order, kernel in ((0, step_kernel), (1, arccos_kernel)):
        theirs = gpjax.kernels.ArcCosine(order=order, bias_variance=0.0)
        # Cho and Saul integrate over twice the density.
        np.testing.assert_allclose(kernel(W, V), theirs.cross_covariance(W, V) / 2, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_derivative_is_that_of_the_kernel_and_finite_everywhere():
    v = jnp.array([[1.0, 2.0, -1.0]])
    turned = jnp.array([[1.0, 1.0, 0.0]])
    # Generic, parallel, opposite: there the kernel has one continuous derivative.
    W = jnp.concatenate([turned, 0.5 * v, -3 * v])
    gradient = jax.vmap(jax.grad(lambda w, v: arccos_kernel(w[None], v)[0, 0]), (0, None))
    for i in range(3):
        step = 1e-6 * jnp.eye(3)[i : i + 1]
        slope = (arccos_kernel(W + step, v) - arccos_kernel(W - step, v))[:, 0] / 2e-6
        # Beside a parallel neuron the second derivative is infinite: an error of order step^1/2.
        np.testing.assert_allclose(gradient(W, v)[:, i], slope, atol=2e-3)
    np.testing.assert_allclose(gradient(0 * W, v), jnp.broadcast_to(v / 4, (3, 3)))
    np.testing.assert_allclose(gradient(W, 0 * v), 0)
    # The norm of a neuron itself: K(w, w) = |w|^2 / 2.
    own = jax.grad(lambda W: jnp.trace(arccos_kernel(W, W)))
    np.testing.assert_allclose(own(W), W, atol=1e-12)


def test_gradient_of_coinciding_neurons_in_float32():
    W = jax.random.normal(jax.random.key(0), (6, 5))
    W = jnp.concatenate([W, W, -2 * W, jnp.zeros((1, 5))])
    value, gradient = jax.value_and_grad(lambda W: arccos_kernel(W, W).sum())(W)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()


def test_hermite_series_is_the_kernel():
    u = np.linspace(-0.9, 0.9, 7)
    series = np.polynomial.polynomial.polyval(u, hermite_coefficients(200) ** 2)
    np.testing.assert_allclose(series, k(u), atol=1e-11)  # 0.9^200 is 7e-10, its coefficient 1e-6
    expected = [1 / (2 * np.pi), 1 / 4, 1 / (4 * np.pi), 0, 1 / (48 * np.pi)]
    np.testing.assert_allclose(hermite_coefficients(4) ** 2, expected, atol=1e-15)
    assert [len(hermite_coefficients(l)) for l in range(3)] == [1, 2, 3]
    # The coefficients themselves, with their signs: E[relu(z) He_l(z)] / sqrt(l!).
    for l in range(7):
        he = np.polynomial.hermite_e.HermiteE.basis(l)
        value = integrate.quad(lambda z, he=he: z * he(z) * np.exp(-(z**2) / 2), 0, 30)[0]
        expected = value / np.sqrt(2 * np.pi * special.factorial(l))
        np.testing.assert_allclose(hermite_coefficients(6)[l], expected, atol=1e-8)


@pytest.mark.parametrize("d", [3, 4, 10, 40])
def test_mercer_eigenvalues_are_the_integrals_of_funk_and_hecke(d):
    eigenvalues, _ = mercer_spectrum(d, 7)
    # Gauss-Jacobi quadrature, for the density of one coordinate of a uniform unit vector.
    t, weights = special.roots_gegenbauer(400, (d - 2) / 2)
    weights /= weights.sum()
    for l, eigenvalue in enumerate(eigenvalues):
        polynomial = special.eval_gegenbauer(l, (d - 2) / 2, t)
        polynomial /= special.eval_gegenbauer(l, (d - 2) / 2, 1.0)
        terms = weights * k(t) * polynomial
        # The rule errs by the singularities of k at both ends, 400^-(d + 2), and by rounding.
        atol = 1e-10 * np.sum(np.abs(terms))
        np.testing.assert_allclose(np.sum(terms), eigenvalue, rtol=0, atol=atol)
        assert eigenvalue == 0 or eigenvalue > 1e3 * atol


def test_mercer_multiplicities():
    assert mercer_spectrum(2, 4)[1].tolist() == [1, 2, 2, 2, 2]
    assert mercer_spectrum(3, 5)[1].tolist() == [1, 3, 5, 7, 9, 11]
    assert mercer_spectrum(4, 3)[1].tolist() == [1, 4, 9, 16]
    # On ordinary spheres the number of harmonics is a difference of binomials; by its other form:
    l, d = np.arange(1, 51), 1000
    logs = np.log(2 * l + d - 2) + special.gammaln(l + d - 2) - special.gammaln(l + 1)
    logs -= special.gammaln(d - 1)
    np.testing.assert_allclose(np.log(mercer_spectrum(d, 50)[1][1:]), logs, rtol=1e-12)


@pytest.mark.parametrize("d", [2, 3, 100])
def test_mercer_trace(d):
    eigenvalues, multiplicities = mercer_spectrum(d, 2000)
    assert (eigenvalues[3::2] == 0).all()
    assert (eigenvalues[:3] > 0).all()
    assert (eigenvalues[::2] > 0).all()
    missing = 0.5 - np.cumsum(eigenvalues * multiplicities)
    # What the terms beyond a large degree hold decays with its third power.
    assert 0 < missing[2000] < 1e-8
    assert missing[1000] / missing[2000] == pytest.approx(8, rel=0.1)


def test_mercer_eigenvalues_are_accurate_to_degree_50_in_1000_dimensions():
    d, l = 1000, np.arange(2, 51, 2)
    eigenvalues, _ = mercer_spectrum(d, 50)
    # Rodrigues' formula leaves a beta integral; (l - 3)!! is a ratio of gamma functions.
    constant = 0.5 * np.log(d / np.pi) + special.gammaln(d / 2) - np.log(2)
    logs = constant - special.gammaln((d + 1 + l) / 2) - l / 2 * np.log(2)
    logs += (l / 2 - 1) * np.log(2) + special.gammaln((l - 1) / 2) - special.gammaln(0.5)
    assert eigenvalues[50] < 1e-90
    np.testing.assert_allclose(np.log(eigenvalues[l]), 2 * logs, rtol=1e-12)


def test_mercer_spectrum_at_large_d_is_the_hermite_series():
    d, l = 1000, np.array([0, 1, 2, 4, 6, 8, 10])
    eigenvalues, multiplicities = mercer_spectrum(d, 10)
    ratio = (eigenvalues * multiplicities)[l] / hermite_coefficients(10)[l] ** 2
    # The first correction is of order 1 / d, the next of order (l / d)^2.
    first = np.where(l == 1, 0, (1 - l) / (2 * d))
    assert (np.abs(ratio - 1 - first) < (1 + l**2) / d**2).all()


def test_mercer_series_is_the_kernel():
    u = np.linspace(-1, 1, 9)
    eigenvalues, multiplicities = mercer_spectrum(3, 200)
    series = np.polynomial.legendre.legval(u, eigenvalues * multiplicities)
    np.testing.assert_allclose(series, k(u), atol=1e-7)


def test_impossible_arguments():
    W = jnp.ones((2, 3))
    for kernel in (arccos_kernel, step_kernel):
        with pytest.raises(ValueError, match=r"W and V must be matrices .* \(2, 3\), \(2, 2\)"):
            kernel(W, W[:, :2])
        with pytest.raises(ValueError, match="V must be finite; got nan"):
            kernel(W, jnp.nan * W)
    with pytest.raises(ValueError, match="degree must be an integer >= 0; got -1"):
        hermite_coefficients(-1)
    with pytest.raises(ValueError, match="d must be an integer >= 2; got 1"):
        mercer_spectrum(1, 3)
    with pytest.raises(ValueError, match="degree must have multiplicities that float64 holds, at"):
        mercer_spectrum(1000, 1000)


def test_angles_are_right_to_rounding():
    """The polynomial in use below 64 bits, from 0 to where it is most delicate."""
    near_one = 1 - np.finfo(np.float32).eps * np.arange(1, 50)
    cosines = np.concatenate([np.linspace(0, 1, 10_001), near_one]).astype(np.float32)
    angles = np.arccos(cosines.astype(float))
    # Each operation of a sum of about pi / 2 rounds by half a unit, and there are about ten.
    atol = 5 * np.finfo(np.float32).eps * np.pi / 2
    np.testing.assert_allclose(_acute_angle(jnp.asarray(cosines)), angles, atol=atol)
