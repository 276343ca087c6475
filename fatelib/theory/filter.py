r"""Regularised pretraining as a filter on the singular values of the source.

A deep linear network :math:`W_1 \cdots W_L` with several outputs learns a source
:math:`B = \sum_i s_i u_i v_i^T` from unlimited standard normal inputs: gradient flow on
:math:`\lVert W_1 \cdots W_L - B \rVert^2`, without a factor 1/2, from a small balanced start along
the directions of B. Each direction is then learned by itself, and regularisation decides how much
of it is: the network ends as :math:`\sum_i f(s_i) u_i v_i^T`, and the second moment of its features
:math:`W_1 \cdots W_{L-1}` has the eigenvalues :math:`f(s_i)^{2 (L - 1) / L}`, with two layers
:math:`f(s_i)` itself.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from fatelib.arguments import as_floats, check
from fatelib.theory.domain import check_domain

__all__ = ["pretraining_filter"]


def pretraining_filter(
    singular_values: Real[ArrayLike, "... k"],
    *,
    depth: ArrayLike = 2,
    weight_decay: ArrayLike = 0.0,
    dropout: ArrayLike = 0.0,
    width: ArrayLike | None = None,
    time: ArrayLike = float("inf"),
    scale: ArrayLike = 1e-5,
) -> Float[Array, "... k"]:
    r"""Singular values that pretraining gives the network, of those of its source.

    Without regularisation and time limit :math:`f = s`. With two layers and weight decay λ (the
    gradient of each layer W plus λW), dropout of a share q of the h hidden units (the others
    divided by 1 - q), or training for a time t,

    .. math::

        f = (s - \lambda / 2 - \tau)_+ , \qquad
        \tau = \frac{q}{(1 - q) h} \sum_i (s_i - \lambda / 2 - \tau)_+ , \qquad
        f = \frac{s'}{1 + (s' / a_0 - 1) \, e^{-4 s' t}} , \quad s' = s - \lambda / 2 ,

    where :math:`a_0` is the square of `scale`. With fewer units than directions dropout keeps the
    strongest h. With L > 2 layers and weight decay f is the larger solution of

    .. math:: 2 (s - f) = \lambda f^{2/L - 1} ,

    where there is one and the start lies above the smaller one: a layer that starts below about
    :math:`(\lambda / 2 s)^{1/(L-2)}` decays to 0, and so does the direction. From the default scale
    that is what any usual weight decay does to three layers: give the scale of the network's start.

    Args:
        singular_values: Singular values :math:`s_i` of the source, ``(..., k)``, in any order, at
            most 1e9.
        depth: Number of layers L, ``(...)``, finite and at least 2.
        weight_decay: Weight decay λ, ``(...)``, at most 1e9.
        dropout: Share q of the hidden units left out at each step, ``(...)``, in [0, 1): the
            minimum of the loss averaged over what is left out, of two layers.
        width: Number h of hidden units, ``(...)``, at least 1, which dropout needs.
        time: Learning rate times steps, ``(...)``; ``inf`` trains to the end.
        scale: Singular value of each layer at the start, ``(...)``, above 0, at most 1e9.

    Returns:
        The :math:`f(s_i)`, in the order given, with the broadcast shape of the arguments: the last
        axis is that of ``singular_values``. Where they are traced, and so cannot be checked, NaN
        where there is no closed form.

    Raises:
        ValueError: An argument is outside its domain; dropout without width or width without
            dropout; or there is no closed form: dropout or finite time with more than two layers,
            dropout with finite time.

    Source:
        Ours; the limits of dropout and of early stopping: Mianjy, Arora and Vidal (2018); Saxe,
        McClelland and Ganguli (2014).

    Example:
        >>> import jax.numpy as jnp
        >>> s = jnp.array([2.0, 1.0, 0.25])
        >>> pretraining_filter(s, weight_decay=1.0)
        Array([1.5, 0.5, 0. ], dtype=float32)
        >>> pretraining_filter(s, dropout=0.5, width=2)
        Array([1.25, 0.25, 0.  ], dtype=float32)
    """
    numbers = {"weight_decay": weight_decay, "dropout": dropout, "scale": scale}
    if width is not None:
        numbers["width"] = width
    # Time and depth have domains of their own here.
    check("time", time, lambda t: t >= 0, "a number >= 0 (inf: trained to the end)")
    check("depth", depth, lambda x: (x >= 2) & np.isfinite(x), "a finite number >= 2")
    check_domain(singular_values=singular_values, **numbers)
    _refuse_open_forms(depth, dropout, width, time)
    units = jnp.inf if width is None else width
    arguments = as_floats(singular_values, depth, weight_decay, dropout, units, time, scale)
    leading = max(array.ndim - (place == 0) for place, array in enumerate(arguments))
    filtered: Array = _filter(
        *(
            array.reshape((1,) * (leading + (place == 0) - array.ndim) + array.shape)
            for place, array in enumerate(arguments)
        )
    )
    return filtered


def _refuse_open_forms(
    depth: ArrayLike, dropout: ArrayLike, width: ArrayLike | None, time: ArrayLike
) -> None:
    """Raise where the arguments, if they are known, have no closed form together."""
    if any(isinstance(value, jax.core.Tracer) for value in (depth, dropout, width, time)):
        return
    # Whole numbers may be larger than those of NumPy.
    layers, share, end = (np.asarray(value).astype(float) for value in (depth, dropout, time))
    dropped, timed, deep = share > 0, np.isfinite(end), layers > 2
    if dropped.any() and width is None:
        raise ValueError("width must be given with dropout: more units average more of it away")
    if width is not None and not dropped.any():
        raise ValueError("width has no effect without dropout: leave it out")
    for rule, one, other in (
        ("dropout must be 0 where depth is above 2", dropped, deep),
        ("time must be inf where depth is above 2", timed, deep),
        ("time must be inf where dropout is above 0", dropped, timed),
    ):
        if (one & other).any():
            raise ValueError(f"{rule}: there is no closed form; train the network")


@jax.jit
@functools.partial(jnp.vectorize, signature="(k),(),(),(),(),(),()->(k)")
def _filter(
    s: Array, depth: Array, decay: Array, dropout: Array, units: Array, time: Array, scale: Array
) -> Array:
    timed = jnp.isfinite(time)
    early = _early(s - decay / 2, jnp.where(timed, time, 0.0), scale)
    cost = dropout / ((1 - dropout) * units)
    shallow = jnp.where(timed, early, _thresholded(jnp.maximum(s - decay / 2, 0.0), cost, units))
    filtered = jnp.where(depth > 2, _deep(s, depth, decay, scale), shallow)
    is_open = jnp.where(depth > 2, timed | (dropout > 0), timed & (dropout > 0))
    is_open |= (dropout > 0) & jnp.isinf(units)
    return jnp.where(is_open, jnp.nan, filtered)


def _early(left: Array, time: Array, scale: Array) -> Array:
    """Return the solution of df/dt = 4 f (left - f) that starts at scale^2.

    Its inverse solves a linear equation, also where nothing is left or decay is stronger.
    """
    growth = 4 * left * time
    largest = math.log(jnp.finfo(left.dtype).max) / 2
    growth = jnp.maximum(growth, -largest)  # beyond, f is 0 but for e^-44
    small = jnp.abs(growth) < 1e-5
    series = 4 * time * (1 - growth / 2 + growth**2 / 6)
    exact = -jnp.expm1(-jnp.where(small, 1.0, growth)) / jnp.where(small, 1.0, left)
    exponent = jnp.minimum(-growth - 2 * jnp.log(scale), 2 * largest - 1)
    return 1 / (jnp.exp(exponent) + jnp.where(small, series, exact))


def _thresholded(kept: Array, cost: Array, units: Array) -> Array:
    """Return (s - tau)_+ of the strongest `units`, with tau = cost sum (s - tau)_+.

    The sum is the largest, over m, of that of the m strongest s - tau; so tau is the largest
    solution of such a linear equation. What is left is written without taking off nearly all.
    """
    order = jnp.argsort(-kept, stable=True)
    rank = jnp.argsort(order, stable=True) + 1
    count = jnp.arange(1, len(kept) + 1)
    sums = jnp.cumsum(kept[order])
    tau = jnp.where(count <= units, cost * sums / (1 + cost * count), 0.0)
    m = count[jnp.argmax(tau)]
    left = (kept + cost * (m * kept - sums[m - 1])) / (1 + cost * m)
    return jnp.where(rank <= units, jnp.maximum(left, 0.0), 0.0)


def _deep(s: Array, depth: Array, decay: Array, scale: Array) -> Array:
    """Return what more than two layers with weight decay reach from their start.

    With x = f / s and p = 1 - 2 / L the end of training solves (1 - x) x^p = decay / (2 s^(1 + p)).
    """
    deep, positive = depth > 2, s > 0
    depth, known = jnp.where(deep, depth, 3.0), jnp.where(positive, s, 1.0)
    power = 1 - 2 / depth
    peak = power / (1 + power)
    excess = decay / (2 * known ** (1 + power))
    exists = positive & (excess <= (1 - peak) * peak**power)
    start = scale**depth
    grows = 2 * (s - start) * scale ** (depth - 2) >= decay
    reached = exists & (grows | (start >= peak * s))
    return jnp.where(reached, s * _root(jnp.where(exists, excess, 0.0), power), 0.0)


def _root(excess: Array, power: Array) -> Array:
    """Return the larger solution x of (1 - x) x^power = excess, for 0 < power < 1.

    From its maximum to 1 the left side is concave and falls: Newton's method from 1 never passes
    the solution.
    """
    peak = power / (1 + power)

    def step(x: Array, excess: Array, power: Array) -> Array:
        slope = power * x ** (power - 1) - (1 + power) * x**power
        return x - ((1 - x) * x**power - excess) / jnp.where(slope < 0, slope, -1.0)

    def closer(_: Array, x: Array) -> Array:
        return jnp.clip(step(x, *map(jax.lax.stop_gradient, (excess, power))), peak, 1.0)

    x = jax.lax.fori_loop(0, 60, closer, jnp.ones_like(excess))
    # One more step carries the derivative of the solution.
    return step(jax.lax.stop_gradient(x), excess, power)
