"""Time one eager training step of the 1-64-32-1 network here, in PyTorch and in MyGrad, side by side.

The step: forward on 100 points, mean squared error, zero gradients, backward, plain gradient descent. All engines
start from the same weights, run in one process on one core and take turns; the losses of the first steps are compared,
so that equal work is proven. Printed are medians over the turns, and ratios.

    make step-time            makes an environment of its own, with the peers, and runs this
"""

import os

os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1")
)

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

Step = Callable[[], float]

SIZES = (1, 64, 32, 1)
RATE = 0.01


def problem() -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """100 points of the sine on [0, 2π], and He-initialised weights."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 2 * np.pi, 100, dtype=np.float32)[:, None]
    layers = [
        ((rng.standard_normal((i, o)) * np.sqrt(2 / i)).astype(np.float32), np.zeros(o, np.float32))
        for i, o in pairwise(SIZES)
    ]
    return x, np.sin(x), layers


def here() -> Step:
    """The step in autograd-core, as a user writes it."""
    import autograd_core as ag
    import nn

    x, y, layers = problem()
    model = nn.Sequential(nn.Dense(1, 64), nn.ReLU(), nn.Dense(64, 32), nn.ReLU(), nn.Dense(32, 1))
    for dense, (w, b) in zip([layer for layer in model if isinstance(layer, nn.Dense)], layers):
        dense.weight.assign(w)
        assert dense.bias is not None
        dense.bias.assign(b)
    optimizer = nn.SGD(model.parameters(), lr=RATE)
    points, targets = ag.tensor(x), ag.tensor(y)

    def step() -> float:
        loss = nn.mse_loss(model(points), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def pytorch() -> Step:
    """The same step in PyTorch, eager."""
    import torch

    torch.set_num_threads(1)
    x, y, layers = problem()
    model = torch.nn.Sequential(
        torch.nn.Linear(1, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 32),
        torch.nn.ReLU(),
        torch.nn.Linear(32, 1),
    )
    with torch.no_grad():
        for linear, (w, b) in zip([m for m in model if isinstance(m, torch.nn.Linear)], layers):
            linear.weight.copy_(torch.from_numpy(w.T.copy()))
            linear.bias.copy_(torch.from_numpy(b))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    points, targets = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> float:
        loss = torch.nn.functional.mse_loss(model(points), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def mygrad() -> Step:
    """The same step in MyGrad."""
    import mygrad as mg

    x, y, layers = problem()
    weights = [mg.tensor(array.copy()) for layer in layers for array in layer]

    def step() -> float:
        h = x
        for i in range(0, len(weights), 2):
            h = mg.matmul(h, weights[i]) + weights[i + 1]
            if i < len(weights) - 2:
                h = mg.maximum(h, 0)
        loss = mg.mean((h - y) ** 2)
        loss.backward()
        for w in weights:
            w.data -= RATE * w.grad
        return loss.item()

    return step


ENGINES = {"autograd-core": ("nn", here), "PyTorch": ("torch", pytorch), "MyGrad": ("mygrad", mygrad)}


def main() -> None:
    """Prove equal work, take turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=60, help="how often each engine gets its turn")
    parser.add_argument("--steps", type=int, default=50, help="steps in one turn")
    options = parser.parse_args()

    steps: dict[str, Step] = {}
    for name, (module, make) in ENGINES.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name} is not installed here and is left out")
        else:
            steps[name] = make()
    losses = {name: [step() for _ in range(5)] for name, step in steps.items()}
    for name, values in losses.items():
        np.testing.assert_allclose(values, losses["autograd-core"], rtol=1e-4)
        print(f"{name:14} first losses {'  '.join(f'{v:.6f}' for v in values)}")

    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.turns):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(options.steps):
                step()
            times[name].append((time.perf_counter() - start) / options.steps * 1e6)
    ours = statistics.median(times["autograd-core"])
    print(f"\n{'engine':14} {'median µs':>10} {'quartiles':>14} {'ratio':>7}")
    for name, turns in times.items():
        low, middle, high = statistics.quantiles(turns, n=4)
        print(f"{name:14} {middle:10.0f} {low:6.0f} – {high:5.0f} {middle / ours:6.2f}×")


if __name__ == "__main__":
    main()
