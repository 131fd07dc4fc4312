"""Why residuals: the gradient through 20, 100 and 1,000 layers, and 1,000 layers that learn.

Both networks are a learned projection of the digit to a few numbers, many equal layers and a head. A plain layer is
h → W·ReLU(h) + b. With Glorot's initialisation each halves the gradient's mean square; He's keeps it, but only on
average: in one network of finite width it still drifts, exponentially in the depth. A residual layer is
h → h + (W·ReLU(h) + b)/√depth: the gradient always has the way past it (He et al. 2016), and the factor keeps the sum
of all branches of the size of one.

The norm is not all: 100 plain layers keep it, and still stay at chance at the rate that suits the residual network.
1,000 plain layers stay there with any of the rates 0.003, 0.0001 and 0.00001 (an epoch or two of each was tried).
Writes out/depth.png: the gradient's norm by layer at initialisation, and the training of 1,000 layers of both kinds.

    python examples/depth.py
"""

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from mnist import digits

import autograd_core as ag
import nn

GOAL = 0.95
KINDS = ("plain", "residual")
CURVES = (*KINDS, "plain, Glorot")
COLOURS = dict[str, str](zip(CURVES, ("#d55e00", "#0072b2", "#cc79a7")))
Data = tuple[np.ndarray, np.ndarray]


class Layer(nn.Dense):
    """scale · (W·ReLU(h) + b): a plain layer, or the branch beside a shortcut."""

    def __init__(self, width: int, scale: float = 1.0) -> None:
        super().__init__(width, width)
        self.scale = scale

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        """The layer's output, of the input's shape."""
        output = super().forward(x.relu())
        return output if self.scale == 1 else output * self.scale


def tower(kind: str, depth: int, width: int, seed: int) -> nn.Sequential:
    """Projection, `depth` layers of one kind, head."""
    ag.random.seed(seed)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layer = Layer(width, 1 / math.sqrt(depth) if kind == "residual" else 1.0)
        if kind == "plain, Glorot":
            layer.weight.assign(nn.init.xavier_normal((width, width)))
        layers.append(nn.Residual(layer) if kind == "residual" else layer)
    return nn.Sequential(nn.Dropout(0.2), nn.Dense(784, width), *layers, nn.ReLU(), nn.Dense(width, 10))


def gradient_norms(kind: str, depth: int, width: int, seed: int, data: Data) -> np.ndarray:
    """The norm of ∂ loss / ∂ h at every layer's output h, from the first to the last; one backward pass.

    In float64: in float32 the smallest would be 0.
    """
    ag.set_default_dtype("float64")
    try:
        model = tower(kind, depth, width, seed).eval()
    finally:
        ag.set_default_dtype("float32")
    _, projection, *layers, last, head = model
    images, labels = ag.tensor(data[0].astype(np.float64)), data[1]

    def loss(nudges: list[ag.Tensor]) -> ag.Tensor:
        # A zero added to each layer's output: the gradient with respect to it is that of the output.
        h = projection(images)
        for layer, nudge in zip(layers, nudges):
            h = layer(h) + nudge
        return nn.cross_entropy(head(last(h)), labels)

    gradients = ag.grad(loss)([np.zeros((len(images), width)) for _ in layers])
    # Divided by the largest element first: the square of 10⁻¹⁶⁰ would be 0.
    largest = [np.abs(g.numpy()).max() for g in gradients]
    return np.array([m * np.linalg.norm(g.numpy() / m) if m else 0.0 for g, m in zip(gradients, largest)])


def train(
    kind: str, depth: int, options: argparse.Namespace, epochs: int, data: Data, test: Data
) -> tuple[nn.History, list[float]]:
    """Train a tower; its history, and the loss at every step."""
    model = tower(kind, depth, options.width, options.seed)
    batches = nn.data.batches(data, 128, seed=options.seed, drop_last=True)
    # Both kinds have the same rates; those of the full number of epochs, so that fewer are a part of the same run.
    optimizer = nn.AdamW(model.parameters(), lr=options.lr, weight_decay=0.01)
    steps = len(batches) * options.epochs
    losses: list[float] = []

    def loss(logits: ag.Tensor, labels: ag.Tensor) -> ag.Tensor:
        value = nn.cross_entropy(logits, labels)
        if value.requires_grad:  # not in validation
            losses.append(value.item())
        return value

    history = nn.fit(
        model,
        batches,
        loss,
        optimizer,
        epochs,
        validation=nn.data.batches(test, 500, shuffle=False),
        progress=depth > 0,
        schedule=nn.schedules.one_cycle(optimizer, steps=steps),
    )
    return history, losses


def part(norms: dict[tuple[str, int], np.ndarray], kind: str, depth: int) -> str:
    """What is left of the gradient at the first layer."""
    return f"{norms[kind, depth][0] / norms[kind, depth][-1]:.1e}"


def draw_norms(figure: Any, norms: dict[tuple[str, int], np.ndarray], depths: list[int]) -> None:
    """A panel for each depth, with both kinds, the norm divided by that at the last layer."""
    for axes, depth in zip(figure.subplots(1, len(depths), sharey=True), depths):
        for kind in CURVES:
            values = norms[kind, depth] / norms[kind, depth][-1]
            axes.semilogy(
                range(1, depth + 1), values, color=COLOURS[kind], label=f"{kind}: {part(norms, kind, depth)}"
            )
        axes.set(title=f"{depth:,} layers", xlabel="layer, from the input", ylim=(1e-18, 1e2))
        axes.legend(frameon=False, title="left at the first layer", loc="best")
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("gradient norm, relative\nto the last layer's")
    figure.suptitle("What is left of the gradient at each layer, at initialisation")


def draw_training(figure: Any, runs: dict[str, tuple[nn.History, list[float]]], depth: int) -> None:
    """Training loss by step, test accuracy by epoch."""
    left, right = figure.subplots(1, 2)
    for kind, (history, losses) in runs.items():
        per_epoch = len(losses) / history.epochs
        left.semilogy(np.arange(1, len(losses) + 1), losses, color=COLOURS[kind], alpha=0.3, linewidth=0.8)
        smooth = [np.mean(losses[max(0, n - 20) : n]) for n in range(1, len(losses) + 1)]
        left.semilogy(np.arange(1, len(losses) + 1), smooth, color=COLOURS[kind], linewidth=2, label=kind)
        accuracy = [100 * a for a in history["validation_accuracy"]]
        steps = per_epoch * np.arange(1, history.epochs + 1)
        right.plot(steps, accuracy, "o-", color=COLOURS[kind], label=f"{kind}: {accuracy[-1]:.1f} %")
    left.axhline(math.log(10), color="#999999", linestyle=":", linewidth=1)
    left.annotate(
        "chance",
        (1, math.log(10)),
        (0, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
    )
    left.set(title="Training loss, and its mean over 20 steps", xlabel="step", ylabel="cross-entropy (nats)")
    left.legend(frameon=False, loc="lower left")
    right.axhline(100 * GOAL, color="#999999", linestyle=":", linewidth=1)
    right.axhline(10, color="#999999", linestyle=":", linewidth=1)
    right.annotate(
        "chance", (1, 10), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right"
    )
    right.set(
        title="Accuracy on the test digits", xlabel="step", ylabel="%", xlim=left.get_xlim(), ylim=(0, 102)
    )
    right.legend(frameon=False, loc="center right")
    figure.suptitle(f"{depth:,} layers in training")


def picture(
    path: Path,
    norms: dict[tuple[str, int], np.ndarray],
    runs: dict[str, tuple[nn.History, list[float]]],
    depths: list[int],
) -> None:
    """Gradient norms above, training below."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 8), layout="constrained")
    halves: Any = figure.subfigures(2, 1)
    top, bottom = halves
    draw_norms(top, norms, depths)
    draw_training(bottom, runs, depths[-1])
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv: list[str] | None = None) -> float:
    """Measure gradients, train, print, draw; the residual network's accuracy on the test digits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="+", default=(20, 100, 1000), help="layers (20 100 1000)")
    parser.add_argument("--width", type=int, default=64, help="numbers in each layer (64)")
    parser.add_argument("--epochs", type=int, default=8, help="of the deepest residual network (8)")
    parser.add_argument("--plain-epochs", type=int, default=2, help="of the deepest plain network (2)")
    parser.add_argument("--train", type=int, default=8000, help="how many of the 8,000 training digits (all)")
    parser.add_argument("--lr", type=float, default=3e-3, help="largest learning rate (0.003)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and dropout (0)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the picture")
    options = parser.parse_args(argv)
    options.depths = sorted(options.depths)

    images, labels, test_images, test_labels = digits()
    data = images.reshape(-1, 784)[: options.train], labels[: options.train]
    test = test_images.reshape(-1, 784), test_labels
    print(
        "Norm of the gradient at the first layer's output, as a part of that at the last, at initialisation"
    )
    norms: dict[tuple[str, int], np.ndarray] = {}
    for depth in options.depths:
        for kind in CURVES:
            first = (data[0][:128], data[1][:128])
            norms[kind, depth] = gradient_norms(kind, depth, options.width, options.seed, first)
        parts = (f"{kind} {part(norms, kind, depth)}" for kind in CURVES)
        print(f"  {depth:5,} layers: {'; '.join(parts)}", flush=True)
    depth = options.depths[-1]
    runs: dict[str, tuple[nn.History, list[float]]] = {}
    for kind, epochs in zip(KINDS, (options.plain_epochs, options.epochs)):
        print(f"Training {depth:,} {kind} layers of width {options.width}, {epochs} epochs", flush=True)
        start = time.perf_counter()
        runs[kind] = train(kind, depth, options, epochs, data, test)
        history, losses = runs[kind]
        seconds = time.perf_counter() - start
        print(
            f"  {len(losses)} steps in {seconds:.0f} s: loss {np.mean(losses[-20:]):.3f} (mean of the last 20; "
            f"chance is {math.log(10):.3f}), accuracy on {len(test_labels)} test digits "
            f"{history['validation_accuracy'][-1]:.2%}"
        )
    shallow, _ = train("residual", 0, options, options.epochs, data, test)
    print(
        f"Projection and head with no layer between reach {shallow['validation_accuracy'][-1]:.2%} in as many epochs:"
    )
    print(
        "that a thousand layers learn at all is what the shortcuts give, not that so many are needed for digits."
    )
    accuracy = runs["residual"][0]["validation_accuracy"][-1]
    path = options.out / "depth.png"
    picture(path, norms, runs, options.depths)
    reached = "reached" if accuracy >= GOAL else "not reached"
    print(
        f"Accuracy of {depth:,} residual layers: {accuracy:.2%}, the goal {GOAL:.0%} is {reached}. Picture: {path}"
    )
    return accuracy


if __name__ == "__main__":
    sys.exit(0 if main() >= GOAL else 1)
