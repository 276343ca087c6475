"""How all benchmarks measure: compiled and run once before, waited for, the fastest of several."""

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from fatelib.descent.precision import matmul
from fatelib.descent.quadratic import Loss
from fatelib.linear import DeepLinear
from fatelib.linear.descent import Descent
from fatelib.linear.gram import Gram
from fatelib.linear.iteration import LinearIteration
from fatelib.linear.spectral import RankOne, Spectral

# Steps that `fatelib.train` takes at once with its default of a record every 100 steps.
BLOCK = {"descent": 10, "gram": 10, "spectral": 100}
RATE = 0.01


def once(run: Callable[[], Any]) -> float:
    """Time one call, waited for."""
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start


def seconds(run: Callable[[], Any], repeats: int = 3) -> float:
    """Time a function after a first call, which compiles."""
    once(run)
    return min(once(run) for _ in range(repeats))


def per_turn(loop: Callable[[int], Any], at_least: float = 0.1, repeats: int = 4) -> float:
    """Seconds per turn of a loop on the device, run for so many turns that the start is nothing."""
    turns, taken = 1, seconds(partial(loop, 1), 1)
    while taken < at_least / 2:
        turns *= 2 + int(min(at_least / taken, 100))
        taken = once(partial(loop, turns))
    return min(taken, *(once(partial(loop, turns)) for _ in range(repeats))) / turns


def matrix_rate(size: int) -> float:
    """Floating-point operations per second of a large matrix product."""
    a = jnp.ones((size, size))
    return 2 * size**3 / seconds(partial(jax.jit(matmul), a, a))


def iteration(engine: str, loss: Loss, network: DeepLinear) -> LinearIteration:
    """Return gradient descent as the engine does it."""
    if engine == "spectral":
        return Spectral(loss, RankOne.of(network))
    return {"descent": Descent, "gram": Gram}[engine](loss, network)


def per_step(engine: str, losses: Loss, networks: DeepLinear, shared: bool = True) -> float:
    """Seconds per step of a batch: of all its networks together.

    The batch is that of the losses; `shared` says that one network is the start of all.
    """
    axes = (0, None if shared else 0)
    rate, decay = jnp.float32(RATE), jnp.float32(0)

    def start(loss: Loss, network: DeepLinear) -> Any:
        return iteration(engine, loss, network).start()

    @jax.jit
    def loop(turns: Any, losses: Loss, networks: DeepLinear, states: Any) -> Any:
        def one(loss: Loss, network: DeepLinear, state: Any) -> Any:
            advance = iteration(engine, loss, network).advance
            block = BLOCK[engine]
            rates = lambda j: jnp.where(j < block, rate, 0)  # noqa: E731
            return jax.lax.fori_loop(
                0, turns, lambda _, state: advance(state, block, rates, decay), state
            )

        return jax.vmap(one, (*axes, 0))(losses, networks, states)

    states = jax.jit(jax.vmap(start, axes))(losses, networks)
    return per_turn(lambda turns: loop(turns, losses, networks, states)) / BLOCK[engine]


def pretrained(d: int, depth: int = 2, noise: float = 1e-6) -> DeepLinear:
    """Return a full network as pretraining leaves it: one direction and small remains."""
    network = DeepLinear.init(jax.random.key(0), d, depth, scale=noise)
    first, *hidden, last = network.weights
    beta = jax.random.normal(jax.random.key(1), (d,))
    one = [weight.at[0, 0].add(1.0) for weight in (*hidden, last)]
    return DeepLinear((first.at[:, 0].add(beta / jnp.linalg.norm(beta)), *one))


def unit(value: float) -> str:
    """Write seconds with three digits and a fitting unit, and many in full."""
    if value >= 1000:
        return f"{value:,.0f} s"
    for size, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value / 1e-9:.3g} ns"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table in Markdown."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


def processor() -> str:
    """Name the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
