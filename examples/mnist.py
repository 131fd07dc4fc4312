"""Learn real handwritten digits with a residual convolutional network.

8,000 digits to learn from, 2,000 to test on (see data/README.md). The images move by up to two pixels while training.
Writes out/mnist.png: the curves, the mistakes with their predictions, and the first layer's filters.

    python examples/mnist.py
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import autograd_core as ag
import nn

GOAL = 0.985
DATA = Path(__file__).parent / "data" / "mnist.npz"


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 1, 28, 28) of mean 0 and variance 1, and labels, to train and to test."""
    with np.load(DATA, allow_pickle=False) as data:
        train, train_labels, test, test_labels = (
            data[name] for name in ("train_images", "train_labels", "test_images", "test_labels")
        )
    scale = train.std(), train.mean()
    images = [((part - scale[1]) / scale[0]).astype(np.float32)[:, None] for part in (train, test)]
    return images[0], train_labels.astype(np.int64), images[1], test_labels.astype(np.int64)


def network() -> nn.Sequential:
    """Conv, two residual stages with pooling between them, and a dense head: 10 logits."""
    return nn.Sequential(
        nn.Conv(1, 24, 3, padding=1, bias=False),
        nn.MaxPool(2),  # before the normalisation, which then has a quarter of the work
        nn.BatchNorm(24),
        nn.ReLU(),
        nn.ResidualBlock(24, 24),
        nn.MaxPool(2),
        nn.ResidualBlock(24, 48),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Dense(48 * 7 * 7, 10),
    )


class Shifted:
    """Batches whose images are moved by up to two pixels, differently at every epoch."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, batch_size: int, seed: int) -> None:
        self.batches = nn.data.batches((images, labels), batch_size, shuffle=True, seed=seed)
        self.rng = np.random.default_rng(seed)
        self.blank = images.min()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for images, labels in self.batches:
            padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=self.blank)
            moved = np.empty_like(images)
            for i, (dy, dx) in enumerate(self.rng.integers(0, 5, (len(images), 2))):
                moved[i] = padded[i, :, dy : dy + 28, dx : dx + 28]
            yield moved, labels


def predict(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """The logits of all images, in evaluation."""
    model.eval()
    with ag.no_grad():
        return np.concatenate(
            [model(ag.tensor(part)).numpy() for part in np.array_split(images, len(images) // 250 + 1)]
        )


def picture(
    path: Path,
    history: nn.History,
    model: nn.Sequential,
    images: np.ndarray,
    labels: np.ndarray,
    logits: np.ndarray,
) -> None:
    """Curves, mistakes, filters."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 7), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.25))
    curves, right = halves
    loss, accuracy = curves.subplots(2, 1, sharex=True)
    epochs = range(1, len(history["loss"]) + 1)
    loss.plot(epochs, history["loss"], color="#0072b2", label="training (with shifts and dropout)")
    loss.plot(epochs, history["validation_loss"], color="#d55e00", label="test")
    loss.set(title="Loss", yscale="log")
    loss.legend(frameon=False)
    accuracy.plot(epochs, [100 * a for a in history["accuracy"]], color="#0072b2")
    accuracy.plot(epochs, [100 * a for a in history["validation_accuracy"]], color="#d55e00")
    accuracy.axhline(100 * GOAL, color="#999999", linestyle=":", linewidth=1)
    accuracy.set(title="Accuracy", xlabel="epoch", ylabel="%", ylim=(94, 100))

    top, bottom = right.subfigures(2, 1, height_ratios=(2, 1))
    wrong = np.flatnonzero(logits.argmax(1) != labels)
    top.suptitle(f"{len(wrong)} mistakes in {len(labels)}: what it is, and what the network saw")
    rows = min(4, max(1, -(-len(wrong) // 8)))
    for axes, i in zip(top.subplots(rows, 8).flat, wrong):
        axes.imshow(images[i, 0], cmap="gray_r")
        axes.set_title(f"{labels[i]} → {logits[i].argmax()}", fontsize=9)
    for axes in top.axes:
        axes.axis("off")
    bottom.suptitle("The 24 filters of the first layer")
    filters = next(iter(model.parameters())).numpy()
    limit = np.abs(filters).max()
    for axes, kernel in zip(bottom.subplots(2, 12).flat, filters):
        axes.imshow(kernel[0], cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.axis("off")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv: list[str] | None = None) -> float:
    """Train, test, print, draw; the accuracy on the test part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8, help="passes over the training digits (8)")
    parser.add_argument("--train", type=int, default=8000, help="how many of the 8,000 training digits (all)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order, shifts and dropout (0)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the picture")
    options = parser.parse_args(argv)

    ag.random.seed(options.seed)
    images, labels, test_images, test_labels = digits()
    images, labels = images[: options.train], labels[: options.train]
    model = network()
    model.summary(test_images[:1])
    data = Shifted(images, labels, batch_size=64, seed=options.seed)
    optimizer = nn.Adam(model.parameters(), lr=3e-3)
    schedule = nn.schedules.one_cycle(optimizer, steps=len(data) * options.epochs)
    start = time.perf_counter()
    history = nn.fit(
        model,
        data,
        nn.cross_entropy,
        optimizer,
        options.epochs,
        validation=nn.data.batches((test_images, test_labels), 250, shuffle=False),
        schedule=schedule,
    )
    seconds = time.perf_counter() - start
    logits = predict(model, test_images)
    accuracy = float((logits.argmax(1) == test_labels).mean())
    path = options.out / "mnist.png"
    picture(path, history, model, test_images, test_labels, logits)
    reached = "reached" if accuracy >= GOAL else "not reached"
    print(
        f"Accuracy on {len(test_labels)} test digits: {accuracy:.2%} after {options.epochs} epochs, {seconds:.0f} s"
    )
    print(f"The goal {GOAL:.1%} is {reached}. Picture: {path}")
    return accuracy


if __name__ == "__main__":
    sys.exit(0 if main() >= GOAL else 1)
