"""Very long graphs and very long training: a chain of a million operations, 10⁵ parameters, 10⁵ steps."""

import gc
import resource
import sys
from pathlib import Path

import numpy as np

import autograd_core as ag
import nn
from tools.soak.check import Check, Runs


def chains(quick: bool) -> Runs:
    """A chain: its value, its gradient, and that its teardown neither recurses nor leaks."""
    for length in (100_000,) if quick else (100_000, 1_000_000):
        x = ag.tensor(1.0, dtype="float64", requires_grad=True)
        y = x
        for _ in range(length):
            y = y + 1.0
        y.backward()
        right = y.item() == 1.0 + length and x.grad is not None and x.grad.item() == 1.0
        del y
        yield None if right else f"a chain of {length} operations gives a wrong value or gradient"
        z = x * 1.0
        for _ in range(length):
            z = z * 1.0
        del z  # never differentiated: only torn down
        yield None
    depth = 2_000 if quick else 20_000
    d = ag.tensor(1.0, dtype="float64", requires_grad=True)
    e = d
    for _ in range(depth):
        e = (e + e) * 0.5
    e.backward()
    yield None if d.grad is not None and d.grad.item() == 1.0 else f"{depth} diamonds give a wrong gradient"


def parameters(quick: bool) -> Runs:
    """A model of very many parameters takes optimizer steps, is saved by name and cleared."""
    count = 10_000 if quick else 100_000
    weights = [nn.Parameter(np.array([float(i % 7)], np.float32)) for i in range(count)]
    for make in (lambda p: nn.SGD(p, lr=0.1, momentum=0.9), lambda p: nn.Adam(p, lr=0.1)):
        optimizer = make(weights)
        total = weights[0] * weights[0]
        for weight in weights[1:]:
            total = total + weight * weight
        total.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        finite = all(np.isfinite(w.numpy()).all() for w in weights)
        yield None if finite else f"{type(optimizer).__name__} of {count} parameters"


def resident() -> float:
    """Megabytes of memory that this process has now (its peak, where the system does not tell)."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


GROWTH = 8.0  # megabytes that 100,000 steps may add


def steps(quick: bool) -> Runs:
    """Training steps, eager and compiled, with the garbage collector off: memory stays flat."""
    count = 5_000 if quick else 50_000
    x, labels = (
        ag.tensor(np.random.default_rng(0).standard_normal((8, 6)).astype(np.float32)),
        np.arange(8) % 3,
    )
    for way in ("eager", "compiled"):
        model = nn.Sequential(nn.Dense(6, 8), nn.Tanh(), nn.Dense(8, 3))
        optimizer = nn.SGD(model.parameters(), lr=0.01, momentum=0.9)

        def step(model: nn.Module = model, optimizer: nn.SGD = optimizer) -> ag.Tensor:
            loss = nn.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = ag.compile(step) if way == "compiled" else step
        gc.collect()
        gc.disable()
        try:
            before = 0.0
            for i in range(count):
                run()
                if i == count // 10:
                    before = resident()
                if i % 100 == 99 and i + 1 < count:
                    for _ in range(100):
                        yield None
            grown = resident() - before
        finally:
            gc.enable()
        for _ in range(99):
            yield None
        yield None if grown < GROWTH else f"{way}: {grown:.1f} MB more after {count} steps"


CHECKS = [
    Check("chains", "chains of up to 10⁶ operations", chains, lambda quick: 3 if quick else 5),
    Check("parameters", "optimizers of 10⁵ parameters", parameters, lambda quick: 2),
    Check("steps", "training steps with flat memory", steps, lambda quick: 10_000 if quick else 100_000),
]
