"""Experiments with ReLU networks: what one instance does; not the grid."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, ArrayLike, Float

from fatelib import relu, theory
from fatelib.relu.features import feature_spectrum
from fatelib.relu.network import ReluNetwork
from fatelib.relu.tasks import ReluTasks
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

    def tasks(self, key: Array, fraction: ArrayLike) -> ReluTasks:
        """Draw the teachers."""
        teacher_key = jax.random.fold_in(key, 0)
        shape = (self.d, self.teacher_width)
        return ReluTasks.ablated(teacher_key, *shape, fraction, self.sigma, self.outputs)

    def sample(self, key: Array, n: int, fraction: ArrayLike) -> tuple[ReluTasks, Array, Array]:
        """Draw the data, the same for all fractions."""
        tasks = self.tasks(key, fraction)
        return tasks, *tasks.sample(jax.random.fold_in(jax.random.fold_in(key, 1), n), n)

    def student(self, key: Array) -> ReluNetwork:
        """Draw the start of pretraining."""
        return ReluNetwork.init(jax.random.fold_in(key, 2), self.d, self.width, self.scale)

    def pretrain(self, key: Array, prepared: None, *, fraction: Array) -> dict[str, Array]:
        """Learn the source; the output weight of a neuron is its last column."""
        start, source = self.student(key), self.tasks(key, fraction).source
        network, history = relu.pretrain(start, source, **self.pretraining)
        return {
            "weights": jnp.concatenate([network.W, network.c[:, None]], axis=1),
            "source_loss": relu.distance2(network, source),
            "source_converged": history.converged,
            "source_steps": history.steps_taken,
        }

    def scratch(self, key: Array, prepared: None, *, n: int) -> dict[str, Array]:
        """Learn the target anew."""
        options = {"width": self.width, "scale": self.scale, **self.training}
        result = scratch(jax.random.fold_in(key, 3), *self.sample(key, n, 0.0), **options)
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

    def predict(self, data: xr.Dataset, weights: xr.DataArray, key: Any) -> xr.Dataset:
        """Add what the neurons alone say about linear transfer, at every n."""
        shape = (len(self.protocols), data.sizes["fraction"], data.sizes["instance"])
        outside, ranks = np.full(shape, np.nan), np.full(shape, np.nan)
        risks = np.full((*shape, data.sizes["n"]), np.nan)
        norm2 = np.zeros(shape[-1])
        for i in range(shape[-1]):
            own = jax.random.fold_in(key, i)
            target = self.tasks(own, 0.0).target
            norm2[i] = relu.distance2(target, _nothing(target))
            for at in np.ndindex(shape[:-1]):
                protocol, fraction = self.protocols[at[0]], float(data.fraction[at[1]])
                if protocol == "fine_tuning":
                    continue
                if protocol == "random_features" and at[1] > 0:  # the same for all fractions
                    for array in (outside, ranks, risks):
                        array[at[0], at[1], i] = array[at[0], 0, i]
                    continue
                found = jnp.asarray(weights.isel(fraction=at[1], instance=i).values)
                pretrained = ReluNetwork(found[:, :-1], found[:, -1])
                neurons = self.features(protocol, own, fraction, pretrained).W
                spectrum = feature_spectrum(neurons, target.W, target.c / len(target.c))
                outside[*at, i] = spectrum.residual
                ranks[*at, i] = (spectrum.eigenvalues > 0).sum()
                risks[*at, i] = theory.ridge_risk(
                    data.n.values,
                    spectrum.eigenvalues,
                    spectrum.coefficients2,
                    residual=spectrum.residual,
                    noise=self.sigma,
                    ridge=self.ridge,
                )
        dims = ("protocol", "fraction", "instance")
        data["outside"], data["rank"] = (dims, outside), (dims, ranks)
        data["norm2"] = "instance", norm2
        data["risk_theory"] = (*dims, "n"), risks
        return data


def _nothing(network: ReluNetwork) -> ReluNetwork:
    return jax.tree.map(jnp.zeros_like, network)
