"""Universal approximation, seen: a wider hidden layer fits any of three functions more closely.

Networks with one hidden layer, x → ReLU(x·w + b)·a + c, of 2 to 512 units learn a smooth function, one with kinks and
a fast oscillation on [-1, 1]. That some network is as close as one likes was proved by Cybenko (1989) for sigmoids,
Hornik (1991) in mean square, and Leshno et al. (1993) for ReLU; Barron (1993) bounds the error of n sigmoids by C/√n.
These theorems say what a network *can* represent, so training must not be what limits it: the output layer, which is
linear, is solved by least squares at every step, and Adam moves the hidden layer only (variable projection, Golub and
Pereyra 1973). The error is measured between the points learnt from.
Writes out/approximation.png: the fits of some widths, and the error against the width, with the spread over seeds.

    python examples/approximation.py
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import autograd_core as ag
import nn

GOAL = 0.01
WIDTHS = (2, 4, 8, 16, 32, 64, 128, 256, 512)
FUNCTIONS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "smooth": ("e⁻ˣ sin 3x", lambda x: np.exp(-x) * np.sin(3 * x)),
    "kinks": ("|sin 2πx|", lambda x: np.abs(np.sin(2 * np.pi * x))),
    "oscillation": ("sin 6πx", lambda x: np.sin(6 * np.pi * x)),
}
SHOWN = {"smooth": (2, 4, 8), "kinks": (4, 8, 16), "oscillation": (8, 16, 32)}
COLOURS = dict(zip(FUNCTIONS, ("#0072b2", "#d55e00", "#009e73")))


class Networks(nn.Module):
    """Several networks of one hidden layer side by side, one for each seed: (points, 1) → (seeds, points, 1)."""

    def __init__(self, seeds: int, width: int) -> None:
        # Each unit has its kink somewhere in its own n-th part of [-1, 1] and opens to the left or to the right.
        rng = np.random.default_rng(width)
        kinks = np.linspace(-1, 1, width, endpoint=False) + rng.uniform(0, 2 / width, (seeds, 1, width))
        side = rng.choice([-1.0, 1.0], (seeds, 1, width))
        self.weight, self.bias = nn.Parameter(side), nn.Parameter(-side * kinks)
        self.out_weight = nn.Buffer(np.zeros((seeds, width, 1)))
        self.out_bias = nn.Buffer(np.zeros((seeds, 1, 1)))

    def hidden(self, x: ag.Tensor) -> ag.Tensor:
        """The units' outputs, (seeds, points, width)."""
        return (x * self.weight + self.bias).relu()

    def output(self, h: ag.Tensor) -> ag.Tensor:
        """The networks' outputs, (seeds, points, 1), from those of the units."""
        return h @ self.out_weight + self.out_bias

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        """The networks' outputs, (seeds, points, 1)."""
        return self.output(self.hidden(x))

    @ag.no_grad()
    def solve(self, h: ag.Tensor, y: ag.Tensor) -> None:
        """Set the output layer to the least-squares solution, with a ridge at the edge of float64 for stability."""
        mean, target = h.mean(axis=1, keepdims=True), y.mean()
        h = h - mean
        gram = h.mT @ h
        ridge = 1e-14 * ag.einsum("sii->s", gram).reshape(-1, 1, 1) * ag.eye(gram.shape[-1], dtype="float64")
        self.out_weight.assign(ag.linalg.solve(gram + ridge, h.mT @ (y - target)))
        self.out_bias.assign(target - mean @ self.out_weight)


@dataclass
class Fit:
    """What training the networks of one width on one function gave; errors (seeds,) on points between the data."""

    before: np.ndarray  # error with the hidden layer as drawn
    error: np.ndarray  # error at the end
    best: np.ndarray  # the best seed's output on the points between


def errors(networks: Networks, x: ag.Tensor, y: ag.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Root mean square error for each seed, and the outputs."""
    with ag.no_grad():
        outputs = networks(x)
        return ((outputs - y) ** 2).mean(axis=(1, 2)).sqrt().numpy(), outputs.numpy()[..., 0]


def fit(function: Callable[[np.ndarray], np.ndarray], width: int, seeds: int, steps: int, points: int) -> Fit:
    """Train; the functions are scaled to standard deviation 1, so an error of 1 is that of a constant."""
    grid = np.linspace(-1, 1, 2 * points - 1)[:, None]
    values = function(grid)
    values = (values - values.mean()) / values.std()
    x, y, between, truth = (ag.tensor(part) for part in (grid[::2], values[::2], grid[1::2], values[1::2]))
    networks = Networks(seeds, width)
    networks.solve(networks.hidden(x), y)
    before, _ = errors(networks, between, truth)
    optimizer = nn.Adam(networks.parameters(), lr=0.2 / width)
    schedule = nn.schedules.one_cycle(optimizer, steps=steps)
    for _ in range(steps):
        hidden = networks.hidden(x)
        networks.solve(hidden.detach(), y)
        # At the output layer's minimum its own change does not count, so the gradient for the hidden layer is this
        # one. The logarithm gives every seed the same weight however small its error is.
        loss = ag.log(((networks.output(hidden) - y) ** 2).mean(axis=(1, 2)) + 1e-14).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    networks.solve(networks.hidden(x), y)
    error, outputs = errors(networks, between, truth)
    return Fit(before, error, outputs[error.argmin()])


def slope(widths: list[int], best: list[float]) -> float:
    """The power of the width that the error follows, by least squares on the logarithms of the upper half."""
    upper = slice(len(widths) // 2, None)
    return float(np.polyfit(np.log(widths[upper]), np.log(best[upper]), 1)[0]) if len(widths) > 3 else np.nan


def draw_fits(axes: Any, name: str, fits: dict[int, Fit], points: int) -> None:
    """A function and the best fits of three widths."""
    formula, function = FUNCTIONS[name]
    grid = np.linspace(-1, 1, 2 * points - 1)
    values = function(grid)
    axes.plot(grid, values, color="#bbbbbb", linewidth=5, label="function")
    shown = [n for n in SHOWN[name] if n in fits]
    for width, colour, dash in zip(shown, ("#cc79a7", "#d55e00", "#0072b2"), (":", "--", "-")):
        fitted = fits[width].best * values.std() + values.mean()
        axes.plot(grid[1::2], fitted, color=colour, linestyle=dash, linewidth=1.6, label=f"{width} units")
    axes.set(title=f"{name}: {formula}", xlabel="x", ylim=(values.min() - 0.3, values.max() + 0.75))
    axes.legend(frameon=False, ncols=2, fontsize=9, loc="upper center")
    axes.spines[["top", "right"]].set_visible(False)


def draw_errors(axes: Any, results: dict[str, dict[int, Fit]]) -> None:
    """Error against width, log-log: the best seed, all seeds as a band, before training dashed; two guide lines."""
    widths = list(next(iter(results.values())))
    for name, fits in results.items():
        colour = COLOURS[name]
        best = [fits[n].error.min() for n in widths]
        axes.plot(widths, best, "o-", color=colour, label=name)
        axes.fill_between(widths, best, [fits[n].error.max() for n in widths], color=colour, alpha=0.25)
        drawn = [fits[n].before.min() for n in widths]
        axes.plot(widths, drawn, "--", color=colour, linewidth=1)
    axes.plot([], [], "o-", color="black", label="hidden layer trained: best seed (band: all seeds)")
    axes.plot(
        [],
        [],
        "--",
        color="black",
        linewidth=1,
        label="hidden layer as drawn, output layer solved: best seed",
    )
    n = np.array(widths, float)
    axes.plot(n, (n / n[0]) ** -0.5, color="#999999", linewidth=1)
    axes.annotate(
        "∝ 1/√n (Barron)", (n[-1], (n[-1] / n[0]) ** -0.5), (0, 14), textcoords="offset points", ha="right"
    )
    axes.plot(n, 0.15 * (n / n[0]) ** -2, color="#999999", linewidth=1)
    axes.annotate(
        "∝ 1/n²", (n[-2], 0.15 * (n[-2] / n[0]) ** -2), (-4, -14), textcoords="offset points", ha="right"
    )
    axes.set(xscale="log", yscale="log", title="Error against width", xlabel="hidden units n")
    axes.set_ylabel("root mean square error between the data\n(standard deviations of the function)")
    axes.set_xticks(widths, [str(w) for w in widths])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9, loc="lower left")


def picture(path: Path, results: dict[str, dict[int, Fit]], points: int) -> None:
    """The fits of some widths above, the errors below."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 9), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1, 1.5))
    top, bottom = halves
    for axes, (name, fits) in zip(top.subplots(1, len(results)), results.items()):
        draw_fits(axes, name, fits, points)
    draw_errors(bottom.subplots(), results)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv: list[str] | None = None) -> float:
    """Fit all widths to all functions, print, draw; the largest of the functions' errors at the greatest width."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--widths", type=int, nargs="+", default=WIDTHS, help="numbers of hidden units (2 … 512)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="networks of each width (3)")
    parser.add_argument("--steps", type=int, default=150, help="steps of Adam (150)")
    parser.add_argument("--points", type=int, default=1025, help="evenly spaced points to learn from (1025)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the picture")
    options = parser.parse_args(argv)

    widths = sorted(options.widths)
    if options.points < 2 * widths[-1]:
        parser.error(f"--points must be at least {2 * widths[-1]}, twice the greatest width")
    start = time.perf_counter()
    print("Root mean square error in standard deviations of the function, best of seeds (worst)")
    print(f"{'units':>7}" + "".join(f"{name:>24}" for name in FUNCTIONS))
    results: dict[str, dict[int, Fit]] = {name: {} for name in FUNCTIONS}
    for width in widths:
        line = f"{width:>7}"
        for name, (_, function) in FUNCTIONS.items():
            result = results[name][width] = fit(function, width, options.seeds, options.steps, options.points)
            line += f"{result.error.min():>12.2e} ({result.error.max():.2e})".rjust(24)
        print(f"{line}   {time.perf_counter() - start:4.0f} s", flush=True)
    worst = 0.0
    for name, fits in results.items():
        best = [fits[n].error.min() for n in widths]
        worst = max(worst, best[-1])
        gain, at = max((fits[n].before.min() / fits[n].error.min(), n) for n in widths)
        print(
            f"{name}: the error falls {best[0] / best[-1]:.0f}-fold, over the upper half of the widths "
            f"as n^{slope(widths, best):.2f}; training the hidden layer makes it up to {gain:.1f} times "
            f"smaller (at {at} units)"
        )
    path = options.out / "approximation.png"
    picture(path, results, options.points)
    reached = "reached" if worst < GOAL else "not reached"
    print(
        f"Largest error with {widths[-1]} units: {worst:.2e}, the goal {GOAL} is {reached}. Picture: {path}"
    )
    return worst


if __name__ == "__main__":
    sys.exit(0 if main() < GOAL else 1)
