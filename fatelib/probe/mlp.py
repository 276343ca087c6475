"""A small network trained from scratch: what a probe has to beat."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_WIDTH, _DEPTH, _BATCH, _LEARNING_RATE, _WEIGHT_DECAY = 256, 2, 32, 1e-3, 1e-3
# Steps between two looks at the samples kept aside, how many looks, and how large a share they are.
_STEPS, _LOOKS, _ASIDE = 50, 40, 0.2


def fit_mlp(X: np.ndarray, y: np.ndarray, classes: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Train a network with two hidden layers; it stops where samples kept aside are learned best.

    Args:
        X: Inputs, numbers; what is beyond the first axis is flattened.
        y: Labels, (n,), or (n, q) of numbers.
        classes: Whether labels are classes.

    Returns:
        A function from inputs to labels.
    """
    n = len(X)
    X = np.asarray(X, np.float32).reshape(n, -1)
    mean, size = X.mean(axis=0), max(float(X.std()), 1e-12)
    if classes:
        names, labels = np.unique(y, return_inverse=True)
        targets = np.eye(len(names), dtype=np.float32)[labels]
    else:
        values = y.reshape(n, -1).astype(np.float32)
        centre, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-12)
        targets = (values - centre) / spread
    order = np.random.default_rng(0).permutation(n)
    aside = order[: max(1, round(_ASIDE * n))]
    inside = order[len(aside) :]
    inputs = (X - mean) / size
    X_in, y_in, X_aside, y_aside = map(
        jnp.asarray, (inputs[inside], targets[inside], inputs[aside], targets[aside])
    )
    model = _train(X_in, y_in, X_aside, y_aside, classes)

    def predict(inputs: np.ndarray) -> np.ndarray:
        inputs = np.asarray(inputs, np.float32).reshape(len(inputs), -1)
        outputs = np.asarray(_outputs(model, jnp.asarray((inputs - mean) / size)))
        if classes:
            return names[outputs.argmax(axis=1)]
        return (outputs * spread + centre).reshape(len(inputs), *y.shape[1:])

    return predict


def _train(
    X: Float[Array, "n d"],
    targets: Float[Array, "n q"],
    X_aside: Float[Array, "m d"],
    targets_aside: Float[Array, "m q"],
    classes: bool,
) -> eqx.nn.MLP:
    """Train, and return the network of the best look."""
    model = eqx.nn.MLP(X.shape[1], targets.shape[1], _WIDTH, _DEPTH, key=jax.random.key(0))
    state = _method().init(eqx.filter(model, eqx.is_array))
    best, least = model, np.inf
    for key in jax.random.split(jax.random.key(1), _LOOKS):
        model, state = _some_steps(model, state, key, X, targets, classes)
        value = float(_loss(model, X_aside, targets_aside, classes))
        if value < least:
            best, least = model, value
    return best


def _method() -> Any:
    import optax  # only here: the rest of fatelib does without it

    return optax.adamw(_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)


@eqx.filter_jit
def _outputs(model: eqx.nn.MLP, X: Float[Array, "n d"]) -> Float[Array, "n q"]:
    outputs: Array = jax.vmap(model)(X)
    return outputs


@eqx.filter_jit
def _loss(model: eqx.nn.MLP, X: Array, targets: Array, classes: bool) -> Float[Array, ""]:
    """Cross-entropy of classes, else the mean squared error."""
    outputs = _outputs(model, X)
    if classes:
        return -(targets * jax.nn.log_softmax(outputs)).sum(axis=1).mean()
    return ((outputs - targets) ** 2).mean()


@eqx.filter_jit
def _some_steps(
    model: eqx.nn.MLP, state: Any, key: Any, X: Array, targets: Array, classes: bool
) -> tuple[eqx.nn.MLP, Any]:
    arrays, rest = eqx.partition(model, eqx.is_array)

    def step(carry: Any, key: Any) -> Any:
        arrays, state = carry
        rows = jax.random.randint(key, (_BATCH,), 0, len(X))
        loss = partial(_loss, X=X[rows], targets=targets[rows], classes=classes)
        slopes = eqx.filter_grad(loss)(eqx.combine(arrays, rest))
        updates, state = _method().update(slopes, state, arrays)
        return (eqx.apply_updates(arrays, updates), state), None

    (arrays, state), _ = jax.lax.scan(step, (arrays, state), jax.random.split(key, _STEPS))
    return eqx.combine(arrays, rest), state
