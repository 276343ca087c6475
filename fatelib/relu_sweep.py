"""Grids of transfer experiments with ReLU networks: the public interface."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import ArrayLike, Float

from fatelib.arguments import (
    ABOVE_0,
    AT_LEAST_0,
    brief,
    check,
    check_choice,
    check_count,
    check_flag,
    check_key,
    check_type,
)
from fatelib.grid import sweep, within
from fatelib.iteration import changed, check_options
from fatelib.relu.training import PRECISIONS
from fatelib.relu_experiments import Ablation

__all__ = ["relu_phase_diagram"]

Protocol = Literal["linear_transfer", "source_features", "random_features", "fine_tuning"]


def relu_phase_diagram(
    fractions: Float[ArrayLike, " fractions"] | Sequence[float],
    ns: Sequence[int] | np.ndarray,
    *,
    d: int,
    width: int,
    teacher_width: int,
    instances: int,
    key: Any,
    protocols: Sequence[str] = get_args(Protocol),
    sigma: float = 0.0,
    outputs: str = "ones",
    scale: float = 1.0,
    ridge: float = 0.0,
    learning_rate: float | None = None,
    steps: int = 100_000,
    tolerance: float = 1e-6,
    source_options: dict[str, Any] | None = None,
    precision: str = "highest",
    memory: float = 2.0,
    store: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> xr.Dataset:
    r"""Train scratch and transfer ReLU networks over a grid of ablations and sample sizes.

    In every cell and instance a student pretrained on the source teacher, which lacks a fraction
    :math:`\mu` of the target teacher's neurons, and a new student learn the same n samples of the
    target. Pretraining is on the exact population loss; all risks are exact, by the kernel.

    The features of linear transfer are those of the pretrained student, or instead those of the
    source teacher itself (of a student that holds its source and nothing else), or of untrained
    random neurons (what a network has without a source: the control). For all three,
    `fatelib.relu.feature_spectrum` and `fatelib.theory.ridge_risk` predict the risk from the
    neurons alone.

    An instance is one teacher, one start of the student and, for each n, one data set; all
    fractions share them, and the scratch network. Draws depend on the key, the instance and n
    alone.

    Args:
        fractions: Fractions :math:`\mu` of the teacher's neurons that the source lacks, in
            [0, 1], ``(f,)``.
        ns: Numbers of target samples, ``(s,)``.
        d: Input dimension.
        width: Neurons m of the students.
        teacher_width: Neurons m* of the target teacher.
        instances: Number of independent repetitions.
        key: A JAX random key.
        protocols: Which to run: "linear_transfer" (a new last layer on the pretrained features),
            "source_features", "random_features" (the same on other features), "fine_tuning" (both
            layers).
        sigma: Standard deviation of the target's label noise.
        outputs: Output weights of the teacher: "ones", "sign" or "gaussian".
        scale: Norm of the students' initial neurons.
        ridge: Ridge of the last layer in linear transfer.
        learning_rate: Step size of every training run; by default each takes the automatic one of
            `fatelib.relu.train`.
        steps: The most steps of every training run.
        tolerance: Training stops at this loss.
        source_options: Other values of `learning_rate`, `steps` and `tolerance` for pretraining,
            whose loss on the population falls slowly when it is small.
        precision: Of the matrix products in training on samples, as in `fatelib.relu.train`.
        memory: Gigabytes that the networks trained at one time may take, roughly, in this process;
            enough for one instance. On a GPU as many instances and cells of one n train at once.
        store: Directory to which finished chunks are written (zarr); an interrupted sweep goes on
            where it was, with bit-identical results.
        progress: Show a progress bar.

    Returns:
        A data set with

        - ``risk`` (protocol, fraction, n, instance), ``risk_scratch`` (n, instance) and
          ``transferability``, the second minus the first, with the standard errors of their means
          over the instances (``risk_error`` and so on),
        - ``converged``, ``steps``, ``converged_scratch``, ``steps_scratch``, and of pretraining
          ``source_loss``, ``source_converged``, ``source_steps``,
        - ``outside`` (protocol, fraction, instance), the squared norm of the target outside the
          span of the features, ``rank``, its dimension, and ``risk_theory``, the predicted
          risk: NaN for fine-tuning; ``norm2`` of the whole target.

    Raises:
        ValueError: An argument is impossible; nothing has been computed then.
        TypeError: An argument is of another type, such as text for a number.
        FloatingPointError: Some network diverged; a smaller learning rate helps.

    Source:
        Figures 3d and 3e of Tahir et al. (2025).

    Example:
        >>> import jax
        >>> grid = relu_phase_diagram([0.5], [20, 80], d=8, width=20, teacher_width=6, instances=2,
        ...                           key=jax.random.key(0), tolerance=1e-4, progress=False)
        >>> grid.transferability.dims
        ('protocol', 'fraction', 'n', 'instance')
        >>> bool(grid.risk.sel(protocol="source_features", n=80).mean() > grid.outside.min())
        True
    """
    check_key("key", key)
    check("fractions", fractions, lambda f: (f >= 0) & (f <= 1), "a number in [0, 1]")
    integers = (lambda n: (n >= 1) & (n < 2**31) & (n == np.floor(n)), "integers >= 1")
    check("ns", ns, *integers)
    for name, value in {"fractions": fractions, "ns": ns}.items():
        if np.ndim(value) > 1:
            raise ValueError(f"{name} must be a list; got shape {np.shape(value)}")
    mus, sizes = np.atleast_1d(np.asarray(fractions, float)), np.atleast_1d(np.asarray(ns))
    protocols = [protocols] if isinstance(protocols, str) else protocols
    if not isinstance(protocols, Sequence):
        raise TypeError(f"protocols must be a list; got {brief(protocols)}")
    for protocol in protocols:
        check_choice("protocols", protocol, get_args(Protocol))
    lists = {"fractions": mus.tolist(), "ns": sizes.astype(int).tolist(), "protocols": protocols}
    for name, values in lists.items():
        if not len(values) or len(set(values)) < len(values):
            raise ValueError(f"{name} must not be empty or hold one value twice; got {values}")
    counts = {"d": d, "width": width, "teacher_width": teacher_width, "instances": instances}
    for name, value in counts.items():
        check_count(name, value)
    check_choice("outputs", outputs, ("ones", "sign", "gaussian"))
    check_choice("precision", precision, PRECISIONS)
    for name, value in {"sigma": sigma, "ridge": ridge}.items():
        check(name, value, *AT_LEAST_0, shape=())
    for name, value in {"scale": scale, "memory": memory}.items():
        check(name, value, *ABOVE_0, shape=())
    check_flag("progress", progress)
    check_type("store", store, (str, os.PathLike, type(None)), "the path of a directory or None")
    training: dict[str, Any] = {
        "learning_rate": learning_rate,
        "steps": steps,
        "tolerance": tolerance,
    }
    check_options(**training)
    pretraining = changed(training, "source_options", source_options)
    d, width, teacher_width = int(d), int(width), int(teacher_width)
    experiment = Ablation(
        d=d,
        width=width,
        teacher_width=teacher_width,
        outputs=outputs,
        protocols=tuple(protocols),
        sigma=jnp.asarray(sigma, float),
        scale=jnp.asarray(scale, float),
        ridge=jnp.asarray(ridge, float),
        training={**training, "precision": precision},
        pretraining=pretraining,
    )

    def size(n: int) -> float:
        """Bytes of one instance, roughly."""
        neurons = max(width, teacher_width)
        itemsize = jnp.dtype(jnp.result_type(float)).itemsize
        return float(itemsize * (6 * n + 8 * neurons) * (d + 3 * neurons))

    def stage(name: str, n: int, **attrs: Any) -> dict[str, Any]:
        """Options of one of the sweeps, whose store compares only what it depends on."""
        network = {"d": d, "width": width, "teacher_width": teacher_width}
        return {
            "instances": instances,
            "key": key,
            "progress": progress,
            **within(memory, size(n), instances),
            "store": None if store is None else Path(store) / f"{name}.zarr",
            "attrs": {**network, "outputs": outputs, "scale": float(scale), **attrs},
        }

    source = {f"source_{name}": value for name, value in _recorded(pretraining).items()}
    target = {"sigma": float(sigma), "precision": precision, **_recorded(training)}
    largest = int(sizes.max())
    within(memory, size(largest), instances)  # before any stage runs
    sources = sweep(
        experiment.pretrain,
        {"fraction": lists["fractions"]},
        {"neuron": range(width), "weight": range(d + 1)},
        **stage("source", 0, **source),
    )
    new = sweep(
        experiment.scratch,
        {"n": lists["ns"]},
        {},
        static=("n",),
        **stage("scratch", largest, **target),
    )
    data = sweep(
        experiment.transfer,
        {"fraction": lists["fractions"], "n": lists["ns"]},
        {"protocol": list(protocols)},
        static=("n",),
        given=sources[["weights"]],
        **stage("transfer", largest, **source, **target, ridge=float(ridge)),
    )
    seconds = sum(part.attrs["seconds"] for part in (sources, new, data))
    data = xr.merge(
        [data, new, sources[["source_loss", "source_converged", "source_steps"]]],
        combine_attrs="override",
    )
    data = data.drop_vars(["neuron", "weight"], errors="ignore")
    data = data.assign_attrs({**new.attrs, **sources.attrs, **data.attrs, "seconds": seconds})
    return _label(experiment.predict(data, sources.weights, key))


def _recorded(options: dict[str, Any]) -> dict[str, Any]:
    rate = options["learning_rate"]
    return {
        "learning_rate": "auto" if rate is None else float(rate),
        "max_steps": int(options["steps"]),
        "tolerance": float(options["tolerance"]),
    }


def _label(data: xr.Dataset) -> xr.Dataset:
    """Add what follows from the risks, and say what things are."""
    data["transferability"] = data.risk_scratch - data.risk
    for name in ("risk_scratch", "risk", "transferability"):
        error = data[name].std("instance", ddof=1) / np.sqrt(data.sizes["instance"])
        data[f"{name}_error"] = error
    data.fraction.attrs.update(long_name="fraction of the teacher's neurons that the source lacks")
    data.n.attrs.update(long_name="number of samples")
    return data.transpose("protocol", "fraction", "n", "instance", missing_dims="ignore")
