"""The options of training: read and checked once, carried as one object."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fatelib.arguments import (
    ABOVE_0,
    AT_LEAST_0,
    check_choice,
    check_count,
    check_number,
    check_type,
)

Number = float | Float[Array, ""]

# What decides how far a training goes, and with the last how often that is looked at.
STOPPING = ("learning_rate", "steps", "tolerance", "absolute_tolerance")
LOOP = (*STOPPING, "record_every")
# What the protocols take for all layers.
TRAINING = (*LOOP, "weight_decay", "layers", "precision")

_STEPS = 10_000
_TOLERANCE = 1e-6
_RECORD_EVERY = 100
PRECISIONS = ("highest", "high", "default")


class Options(eqx.Module):
    """How to train, whatever is trained.

    Public functions take these as keywords; `read` makes one object of them.

    Attributes:
        learning_rate: Step size; None for the automatic one.
        steps: The most steps to take.
        tolerance: Training stops when the loss is this share of the zero network's above its
            minimum.
        absolute_tolerance: Training stops when the loss is this far above its minimum; it is added
            to the other.
        weight_decay: Coefficient of the decay, in the gradient.
        layers: "all", or "last" for the last layer alone.
        precision: Of the matrix products of ReLU networks.
        record_every: Steps between two records.
        observe: A function of the network to record, or None.
        given: The names of the options that were given.
    """

    learning_rate: Number | None
    steps: int = eqx.field(static=True)
    tolerance: Number
    absolute_tolerance: Number
    weight_decay: Number
    layers: str = eqx.field(static=True)
    precision: str = eqx.field(static=True)
    record_every: int = eqx.field(static=True)
    observe: Callable[[Any], Any] | None
    given: frozenset[str] = eqx.field(static=True)

    @classmethod
    def read(
        cls,
        *,
        learning_rate: Any = None,
        steps: Any = None,
        tolerance: Any = None,
        absolute_tolerance: Any = None,
        weight_decay: Any = None,
        layers: Any = None,
        precision: Any = None,
        record_every: Any = None,
        observe: Any = None,
        place: str = "",
    ) -> "Options":
        """Check the options that a public function was given, and fill in the others.

        Args:
            learning_rate: A number > 0.
            steps: An integer >= 0; by default 10,000.
            tolerance: A number >= 0; by default 1e-6, or 0 where an absolute one is given.
            absolute_tolerance: A number >= 0, in place of `tolerance`; by default 0.
            weight_decay: A number >= 0; by default 0.
            layers: "all" (the default) or "last".
            precision: "highest" (the default), "high" or "default".
            record_every: An integer >= 1; by default 100.
            observe: A function.
            place: What goes before the names in messages.

        Returns:
            The options, with numbers as Python's own.

        Raises:
            TypeError: One of them is of another type.
            ValueError: One of them is impossible, or both tolerances are given.

        Example:
            >>> options = Options.read(steps=np.int64(50), absolute_tolerance=1e-6)
            >>> options.steps, options.tolerance, options.absolute_tolerance
            (50, 0.0, 1e-06)
        """
        asked = {
            "learning_rate": learning_rate,
            "steps": steps,
            "tolerance": tolerance,
            "absolute_tolerance": absolute_tolerance,
            "weight_decay": weight_decay,
            "layers": layers,
            "precision": precision,
            "record_every": record_every,
            "observe": observe,
        }
        if tolerance is not None and absolute_tolerance is not None:
            raise ValueError(
                f"{place}absolute_tolerance takes the place of tolerance: give one of them; got "
                f"{absolute_tolerance} and {tolerance}"
            )
        if tolerance is None:
            tolerance = _TOLERANCE if absolute_tolerance is None else 0.0
        if learning_rate is not None:
            learning_rate = check_number(f"{place}learning_rate", learning_rate, *ABOVE_0)
        absolute_tolerance = 0.0 if absolute_tolerance is None else absolute_tolerance
        weight_decay = 0.0 if weight_decay is None else weight_decay
        layers = "all" if layers is None else layers
        precision = PRECISIONS[0] if precision is None else precision
        layers = check_choice("layers", layers, ("all", "last"))
        precision = check_choice("precision", precision, PRECISIONS)
        check_type("observe", observe, (Callable, type(None)), "a function of the network")
        steps = check_count(f"{place}steps", _STEPS if steps is None else steps, least=0)
        record_every = _RECORD_EVERY if record_every is None else record_every
        record_every = check_count(f"{place}record_every", record_every)
        return cls(
            learning_rate=learning_rate,
            steps=steps,
            tolerance=check_number(f"{place}tolerance", tolerance, *AT_LEAST_0),
            absolute_tolerance=check_number(
                f"{place}absolute_tolerance", absolute_tolerance, *AT_LEAST_0
            ),
            weight_decay=check_number(f"{place}weight_decay", weight_decay, *AT_LEAST_0),
            layers=str(layers),
            precision=str(precision),
            record_every=record_every,
            observe=observe,
            given=frozenset(name for name, value in asked.items() if value is not None),
        )

    @classmethod
    def of(cls, function: str, names: tuple[str, ...], options: Mapping[str, Any]) -> "Options":
        """Read the options that a protocol takes besides its own.

        Args:
            function: The name of the protocol.
            names: What it takes.
            options: What it was given.

        Raises:
            TypeError: It was given something else, or see `read`.
            ValueError: See `read`.
        """
        for name in options:
            if name not in names:
                raise TypeError(
                    f"{name} is no option of {function}, which takes {', '.join(names)}"
                )
        return cls.read(**options)

    def refuse(self, names: Sequence[str], why: str) -> None:
        """Raise ``ValueError`` if one of these options was given: it would have no effect."""
        for name in names:
            if name in self.given:
                raise ValueError(f"{name} has no effect {why}; got {getattr(self, name)}")

    def keywords(self) -> dict[str, Any]:
        """Return what was given, as keywords of a function that trains."""
        return {name: getattr(self, name) for name in sorted(self.given)}

    def traced(self) -> dict[str, Any]:
        """Return `keywords` with numbers as arrays, of which other values compile nothing anew."""
        return {
            name: jnp.asarray(value, float) if isinstance(value, float) else value
            for name, value in self.keywords().items()
        }

    def changed(self, place: str, changes: Mapping[str, Any] | None) -> "Options":
        """Return these options with other values of some of them.

        Args:
            place: The name of the argument that holds the other values.
            changes: Learning rate, steps and either tolerance, by name; or None.

        Returns:
            New options.

        Raises:
            TypeError: `changes` is no dictionary, or a value is of another type.
            ValueError: It holds anything else, or a value is impossible.

        Example:
            >>> Options.read(steps=100).changed("scratch_options", {"steps": 200}).steps
            200
        """
        names = STOPPING
        check_type(place, changes, (Mapping, type(None)), f"a dictionary of {', '.join(names)}")
        changes = {} if changes is None else changes
        unknown = [name for name in changes if name not in names]
        if unknown:
            raise ValueError(f"{place} must be of {', '.join(names)}; got {unknown}")
        kept = self.keywords()
        if not {"tolerance", "absolute_tolerance"}.isdisjoint(changes):
            kept = {name: v for name, v in kept.items() if not name.endswith("tolerance")}
        return Options.read(**{**kept, **changes}, place=f"{place}: ")

    def recorded(self) -> dict[str, Any]:
        """Return the options that decide on a result, as attributes of a data set."""
        return {
            "learning_rate": "auto" if self.learning_rate is None else self.learning_rate,
            "max_steps": self.steps,
            "tolerance": self.tolerance,
            "absolute_tolerance": self.absolute_tolerance,
        }

    @property
    def decays(self) -> bool:
        """Whether there may be a weight decay."""
        return not isinstance(self.weight_decay, float) or self.weight_decay > 0

    def as_arrays(self, dtype: np.dtype) -> "Options":
        """Return the options with numbers as arrays, of which other values compile nothing anew.

        What was given is forgotten: it would. A decay of 0 stays a number: programs without decay
        are compiled in less time.
        """
        rate = self.learning_rate
        return dataclasses.replace(
            self,
            learning_rate=None if rate is None else jnp.asarray(rate, dtype),
            tolerance=jnp.asarray(self.tolerance, dtype),
            absolute_tolerance=jnp.asarray(self.absolute_tolerance, dtype),
            weight_decay=jnp.asarray(self.weight_decay, dtype) if self.decays else 0.0,
            given=frozenset(),
        )
