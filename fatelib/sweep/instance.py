"""What the experiments of all families share: an instance's random streams, and its risks."""

from typing import Any, SupportsInt

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array

from fatelib.arguments import check_choice, check_count, check_key, check_type

__all__ = ["standard_error", "stream", "with_transferability"]

# In the order of their numbers.
_STREAMS = ("tasks", "data", "start", "scratch", "source data", "side", "rest", "signs")


def stream(key: Any, name: str, n: SupportsInt | Array | None = None) -> Array:
    """Return one of the named streams of random numbers of an instance.

    All cells of an instance draw from the same ones, so that they share tasks, data and weights.

    Args:
        key: The key of the instance, one of `instance_keys`.
        name: "tasks" (the target, and what its sources are made of), "data" (target samples),
            "start" (initial weights of pretraining), "scratch" (those of a new network), "source
            data" (finitely many source samples), "side" and "rest" (where those lead pretraining
            to, in the plane of source and target and out of it), "signs" (labels that are signs).
        n: The number of samples, for a stream of its own for each.

    Returns:
        A random key, of shape ().

    Raises:
        ValueError: There is no such stream, or `n` is no integer, or below 0.
        TypeError: `key` is not a random key, or `n` not numeric.

    Example:
        >>> key = jax.random.key(0)
        >>> bool(stream(key, "data", 50) == jax.random.fold_in(jax.random.fold_in(key, 1), 50))
        True
    """
    check_key("key", key)
    number = _STREAMS.index(check_choice("name", name, _STREAMS))
    own = jax.random.fold_in(key, number)
    if n is None:
        return own
    if not isinstance(n, jax.core.Tracer):
        n = check_count("n", n, least=0)
    return jax.random.fold_in(own, n)


def standard_error(values: xr.DataArray) -> xr.DataArray:
    """Return the standard error of the mean over the instances.

    Args:
        values: One value of each instance, labelled with a dimension ``instance``, (..., i, ...).

    Returns:
        The standard errors, (...), over the other dimensions; NaN where there is one instance.

    Raises:
        TypeError: `values` is not labelled data.
        ValueError: `values` has no dimension ``instance``.

    Example:
        >>> round(float(standard_error(xr.DataArray([1.0, 2.0, 3.0], dims="instance"))), 3)
        0.577
    """
    check_type("values", values, xr.DataArray, "labelled data, an xarray.DataArray")
    if not values.sizes.get("instance"):
        raise ValueError(f"values must have a dimension 'instance'; got {values.dims}")
    count = values.sizes["instance"]
    if count == 1:
        return xr.full_like(values.isel(instance=0, drop=True), np.nan)
    return values.std("instance", ddof=1) / np.sqrt(count)


def with_transferability(data: xr.Dataset) -> xr.Dataset:
    """Add the transferability, and standard errors of the means over the instances.

    Args:
        data: A data set with ``risk_scratch`` and ``risk``.

    Returns:
        The same with ``transferability``, their difference, and ``risk_scratch_error``,
        ``risk_error`` and ``transferability_error``, which are NaN where there is one instance.

    Raises:
        TypeError: `data` is no data set.
        ValueError: A variable or the dimension ``instance`` is missing.

    Example:
        >>> risks = {"risk_scratch": ("instance", [1.0, 2.0]), "risk": ("instance", [0.5, 0.5])}
        >>> data = with_transferability(xr.Dataset(risks))
        >>> data.transferability.values.tolist(), float(data.transferability_error)
        ([0.5, 1.5], 0.5)
    """
    check_type("data", data, xr.Dataset, "a data set, an xarray.Dataset")
    for name in ("risk_scratch", "risk"):
        if name not in data or not data[name].sizes.get("instance"):
            raise ValueError(
                "data must have the variables risk_scratch and risk over a dimension 'instance'; "
                f"got {[*data.data_vars]} over {[*data.dims]}"
            )
    data = data.assign(transferability=data.risk_scratch - data.risk)
    names = ("risk_scratch", "risk", "transferability")
    return data.assign({f"{name}_error": standard_error(data[name]) for name in names})
