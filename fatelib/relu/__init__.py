"""Two-layer ReLU networks: tasks, training, what their features hold, and their diagrams."""

from fatelib.relu.diagram import relu_phase_diagram
from fatelib.relu.features import (
    FeatureSpectrum,
    Projection,
    feature_alignment,
    feature_distance,
    feature_gram,
    feature_spectrum,
    nearest_cosine,
    projection,
)
from fatelib.relu.kernel import (
    arccos_kernel,
    hermite_coefficients,
    mercer_spectrum,
    step_kernel,
)
from fatelib.relu.network import ReluNetwork, distance2
from fatelib.relu.tasks import ReluTasks
from fatelib.relu.training import pretrain, train

__all__ = [
    "FeatureSpectrum",
    "Projection",
    "ReluNetwork",
    "ReluTasks",
    "arccos_kernel",
    "distance2",
    "feature_alignment",
    "feature_distance",
    "feature_gram",
    "feature_spectrum",
    "hermite_coefficients",
    "mercer_spectrum",
    "nearest_cosine",
    "pretrain",
    "projection",
    "relu_phase_diagram",
    "step_kernel",
    "train",
]
