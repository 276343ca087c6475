"""Grids of transfer experiments with ReLU networks: the public interface."""

import os
from collections.abc import Sequence
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
    check_number,
    real,
)
from fatelib.descent.options import Options
from fatelib.relu.instance import Ablation, predictions
from fatelib.sweep.grid import sweep, within
from fatelib.sweep.instance import with_transferability
from fatelib.sweep.store import local_directory

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
    steps: int | None = None,
    tolerance: float | None = None,
    absolute_tolerance: float | None = None,
    source_options: dict[str, Any] | None = None,
    precision: str | None = None,
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
    neurons and the target.

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
        steps: The most steps of every training run; by default 100,000.
        tolerance: Training stops when the loss is this share of that of the zero network; by
            default 1e-6.
        absolute_tolerance: Training stops at this loss; in place of `tolerance`.
        source_options: Other values of `learning_rate`, `steps` and either tolerance for
            pretraining, whose loss on the population falls slowly when it is small.
        precision: Of the matrix products in training on samples, as in `fatelib.relu.train`.
        memory: Gigabytes that the networks trained at one time may take, roughly, in this process;
            enough for one instance. On a GPU as many instances and cells of one n train at once.
        store: Directory to which finished chunks are written (zarr); an interrupted sweep goes on
            where it was, with bit-identical results, and more `instances` are added to it.
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
        ValueError: An argument is impossible or has no effect; nothing has been computed then.
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
    protocols, fractions, ns = _read_lists(protocols, fractions, ns)
    d, width = check_count("d", d), check_count("width", width)
    teacher_width = check_count("teacher_width", teacher_width)
    instances = check_count("instances", instances)
    outputs = check_choice("outputs", outputs, ("ones", "sign", "gaussian"))
    sigma = float(check_number("sigma", sigma, *AT_LEAST_0))
    ridge = float(check_number("ridge", ridge, *AT_LEAST_0))
    scale = float(check_number("scale", scale, *ABOVE_0))
    memory = float(check_number("memory", memory, *ABOVE_0))
    progress = check_flag("progress", progress)
    folder = None if store is None else local_directory("store", store)
    stopping: dict[str, Any] = {
        "learning_rate": learning_rate,
        "steps": 100_000 if steps is None else steps,
        "tolerance": tolerance,
        "absolute_tolerance": absolute_tolerance,
    }
    training = Options.read(**stopping, precision=precision)
    pretraining = Options.read(**stopping).changed("source_options", source_options)
    if ridge > 0 and protocols == ["fine_tuning"]:
        raise ValueError(f"ridge has no effect on fine_tuning; got {ridge}")
    experiment = Ablation(
        d=d,
        width=width,
        teacher_width=teacher_width,
        outputs=outputs,
        protocols=tuple(protocols),
        sigma=jnp.asarray(sigma, float),
        scale=jnp.asarray(scale, float),
        ridge=jnp.asarray(ridge, float),
        training=training.traced(),
        pretraining=pretraining.traced(),
    )

    def stage(name: str, n: int, **attrs: str | float | int) -> dict[str, Any]:
        """Options of one of the sweeps, whose store compares only what it depends on."""
        network = {"d": d, "width": width, "teacher_width": teacher_width}
        return {
            "instances": instances,
            "key": key,
            "progress": progress,
            **within(memory, experiment.bytes(n), instances),
            "store": None if folder is None else folder / f"{name}.zarr",
            "attrs": {**network, "outputs": outputs, "scale": scale, **attrs},
        }

    source = {f"source_{name}": value for name, value in pretraining.recorded().items()}
    target = {"sigma": sigma, "precision": training.precision, **training.recorded()}
    largest = max(ns)
    within(memory, experiment.bytes(largest), instances)  # before any stage runs
    outer = {"fraction": fractions}
    cells = {"neuron": range(width), "weight": range(d + 1)}
    sources = sweep(experiment.pretrain, outer, cells, **stage("source", 0, **source))
    new = sweep(
        experiment.scratch, {"n": ns}, {}, static=("n",), **stage("scratch", largest, **target)
    )
    data = sweep(
        experiment.transfer,
        {**outer, "n": ns},
        {"protocol": protocols},
        static=("n",),
        given=sources[["weights"]],
        **stage("transfer", largest, **source, **target, ridge=ridge),
    )
    spectra = sweep(
        experiment.spectrum,
        outer,
        {"protocol": experiment.fitted, "feature": range(experiment.features_at_most)},
        given=sources[["weights"]],
        **stage("spectrum", 0, **source),
    )
    stages = (new, sources, spectra, data)
    attrs = {name: value for part in stages for name, value in part.attrs.items()}
    attrs["seconds"] = sum(part.attrs["seconds"] for part in stages)
    predicted = predictions(spectra, data.n, sigma, ridge).reindex(protocol=protocols)
    learned = sources.drop_vars(["weights", "neuron", "weight"])
    data = xr.merge([data, new, learned, predicted], combine_attrs="override")
    return _label(data.assign_attrs(attrs))


def _read_lists(
    protocols: str | Sequence[str],
    fractions: Float[ArrayLike, " fractions"] | Sequence[float],
    ns: Sequence[int] | np.ndarray,
) -> tuple[list[str], list[float], list[int]]:
    """Read the values along the dimensions of the result, as Python's own."""
    protocols = [protocols] if isinstance(protocols, str) else protocols
    protocols = protocols.tolist() if hasattr(protocols, "tolist") else protocols
    if not isinstance(protocols, Sequence):
        raise TypeError(f"protocols must be a list; got {brief(protocols)}")
    for protocol in protocols:
        check_choice("protocols", protocol, get_args(Protocol))
    check("fractions", fractions, lambda f: (f >= 0) & (f <= 1), "a number in [0, 1]")
    integers = (lambda n: (n >= 1) & (n < 2**31) & (n == np.floor(n)), "integers >= 1")
    check("ns", ns, *integers)
    words = [str(protocol) for protocol in protocols]
    shares = np.atleast_1d(real("fractions", fractions)).astype(float).tolist()
    counts = np.atleast_1d(real("ns", ns)).astype(int).tolist()
    for name, values in {"fractions": shares, "ns": counts, "protocols": words}.items():
        if np.ndim(values) > 1:
            raise ValueError(f"{name} must be a list; got shape {np.shape(values)}")
        if not len(values) or len(set(values)) < len(values):
            raise ValueError(f"{name} must not be empty or hold one value twice; got {values}")
    return words, shares, counts


def _label(data: xr.Dataset) -> xr.Dataset:
    """Add what follows from the risks, and say what things are."""
    data = with_transferability(data)
    data.fraction.attrs.update(long_name="fraction of the teacher's neurons that the source lacks")
    data.n.attrs.update(long_name="number of samples")
    return data.transpose("protocol", "fraction", "n", "instance", missing_dims="ignore")
