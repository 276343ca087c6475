"""Experiments with ReLU networks: what one instance does; not the grid."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, ArrayLike, Float

from fatelib import theory
from fatelib.relu.features import feature_spectrum
from fatelib.relu.network import ReluNetwork, distance2
from fatelib.relu.tasks import ReluTasks
from fatelib.relu.training import pretrain
from fatelib.sweep.instance import stream
from fatelib.transfer import Result, fine_tune, linear_transfer, scratch


class Ablation(eqx.Module):
    """One teacher, one start of the student and one data set of each size, at each stage.

    Attributes:
        d: Input dimension.
        width: Neurons of the students.
        teacher_width: Neurons of the target teacher.
        outputs: Output weights of the teacher.
        protocols: Ways to learn the target, in the order of the results.
        sigma: Standard deviation of the label noise.
        scale: Norm of the students' initial neurons.
        ridge: Ridge of the last layer in linear transfer.
        training: Options of training on the target.
        pretraining: Options of training on the source.
    """

    d: int
    width: int
    teacher_width: int
    outputs: str
    protocols: tuple[str, ...]
    sigma: Float[Array, ""]
    scale: Float[Array, ""]
    ridge: Float[Array, ""]
    training: dict[str, Any]
    pretraining: dict[str, Any]

    def bytes(self, n: int) -> float:
        """Memory of one instance, roughly."""
        neurons = max(self.width, self.teacher_width)
        itemsize = jnp.dtype(jnp.result_type(float)).itemsize
        return float(itemsize * (6 * n + 8 * neurons) * (self.d + 3 * neurons))

    def tasks(self, key: Array, fraction: ArrayLike) -> ReluTasks:
        """Draw the teachers."""
        teacher_key = stream(key, "tasks")
        shape = (self.d, self.teacher_width)
        return ReluTasks.ablated(teacher_key, *shape, fraction, self.sigma, self.outputs)

    def sample(self, key: Array, n: int, fraction: ArrayLike) -> tuple[ReluTasks, Array, Array]:
        """Draw the data, the same for all fractions."""
        tasks = self.tasks(key, fraction)
        return tasks, *tasks.sample(stream(key, "data", n), n)

    def student(self, key: Array) -> ReluNetwork:
        """Draw the start of pretraining."""
        return ReluNetwork.init(stream(key, "start"), self.d, self.width, self.scale)

    def pretrain(self, key: Array, prepared: None, *, fraction: Array) -> dict[str, Array]:
        """Learn the source; the output weight of a neuron is its last column."""
        start, source = self.student(key), self.tasks(key, fraction).source
        network, history = pretrain(start, source, **self.pretraining)
        return {
            "weights": jnp.concatenate([network.W, network.c[:, None]], axis=1),
            "source_loss": distance2(network, source),
            "source_converged": history.converged,
            "source_steps": history.steps_taken,
        }

    def scratch(self, key: Array, prepared: None, *, n: int) -> dict[str, Array]:
        """Learn the target anew."""
        options = {"width": self.width, "scale": self.scale, **self.training}
        result = scratch(stream(key, "scratch"), *self.sample(key, n, 0.0), **options)
        return {
            "risk_scratch": result.risk,
            "converged_scratch": result.converged,
            "steps_scratch": result.steps,
        }

    def transfer(
        self, key: Array, prepared: dict[str, Array], *, fraction: Array, n: int
    ) -> dict[str, Array]:
        """Learn the target in all other ways."""
        weights, sample = prepared["weights"], self.sample(key, n, fraction)
        pretrained = ReluNetwork(weights[:, :-1], weights[:, -1])

        def run(protocol: str) -> Result:
            if protocol == "fine_tuning":
                return fine_tune(pretrained, *sample, **self.training)
            features = self.features(protocol, key, fraction, pretrained)
            return linear_transfer(features, *sample, ridge=self.ridge)

        results = [run(protocol) for protocol in self.protocols]
        return {
            name: jnp.stack([getattr(result, name) for result in results])
            for name in ("risk", "converged", "steps")
        }

    def features(
        self, protocol: str, key: Array, fraction: ArrayLike, pretrained: ReluNetwork
    ) -> ReluNetwork:
        """Return a network with the features that a protocol of linear transfer uses."""
        if protocol == "source_features":
            return self.tasks(key, fraction).source
        return self.student(key) if protocol == "random_features" else pretrained

    def spectrum(
        self, key: Array, prepared: dict[str, Array], *, fraction: Array
    ) -> dict[str, Array]:
        """Hold the target against the features of each protocol of linear transfer."""
        weights, target = prepared["weights"], self.tasks(key, fraction).target
        pretrained = ReluNetwork(weights[:, :-1], weights[:, -1])
        size = self.features_at_most

        def found(protocol: str) -> tuple[Array, Array, Array]:
            neurons = self.features(protocol, key, fraction, pretrained).W
            spectrum = feature_spectrum(neurons, target.W, target.c / len(target.c))
            missing = size - len(neurons)
            eigenvalues = jnp.pad(spectrum.eigenvalues, (missing, 0))
            coefficients2 = jnp.pad(spectrum.coefficients2, (missing, 0))
            return eigenvalues, coefficients2, jnp.full(size, spectrum.residual)

        columns = zip(*map(found, self.fitted), strict=True)
        eigenvalues, coefficients2, outside = map(jnp.stack, columns)
        nothing = jax.tree.map(jnp.zeros_like, target)
        return {
            "eigenvalues": eigenvalues,
            "coefficients2": coefficients2,
            "outside": outside,
            "norm2": distance2(target, nothing),
        }

    @property
    def fitted(self) -> tuple[str, ...]:
        """The protocols that fit a last layer, whose risk is predicted; at least one."""
        fitted = tuple(protocol for protocol in self.protocols if protocol != "fine_tuning")
        return fitted or ("random_features",)  # the norm of the target comes along

    @property
    def features_at_most(self) -> int:
        """The largest number of features of any of them."""
        return max(self.width, self.teacher_width)


def predictions(
    spectra: xr.Dataset, ns: xr.DataArray, noise: ArrayLike, ridge: ArrayLike
) -> xr.Dataset:
    """Return what the neurons and the target say about linear transfer, at every n.

    Args:
        spectra: The results of `Ablation.spectrum`.
        ns: Numbers of samples.
        noise: Standard deviation of the label noise.
        ridge: Ridge of the last layer.
    """

    def curve(eigenvalues: np.ndarray, coefficients2: np.ndarray, outside: np.floating) -> Array:
        return theory.ridge_risk(
            ns.values, eigenvalues, coefficients2, residual=outside, noise=noise, ridge=ridge
        )

    outside = spectra.outside.isel(feature=0)
    risks = xr.apply_ufunc(
        curve,
        spectra.eigenvalues,
        spectra.coefficients2,
        outside,
        input_core_dims=[["feature"], ["feature"], []],
        output_core_dims=[["n"]],
        vectorize=True,
    )
    return xr.Dataset(
        {
            "outside": outside,
            "rank": (spectra.eigenvalues > 0).sum("feature").astype(float),
            "norm2": spectra.norm2.isel(fraction=0),
            "risk_theory": risks.assign_coords(n=ns),
        }
    ).drop_vars("feature", errors="ignore")
