"""Learn the sine: the network [1, 64, 32, 1] with ReLU on 100 points of [0, 2π], mean squared error.

First 100 epochs of plain gradient descent at rate 0.01, as the article this project grew out of does it; then the same
network with Adam until the error is below 10⁻³. Writes out/sine.png: the data with the prediction, and the loss.

    python examples/sine.py
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import autograd_core as ag
import nn

GOAL = 1e-3


def network(seed: int) -> nn.Sequential:
    """[1, 64, 32, 1] with ReLU on the hidden layers: weights N(0, 2/fan_in), biases 0."""
    ag.random.seed(seed)
    return nn.Sequential(nn.Dense(1, 64), nn.ReLU(), nn.Dense(64, 32), nn.ReLU(), nn.Dense(32, 1))


def epoch(model: nn.Module, optimizer: nn.SGD | nn.Adam, x: ag.Tensor, y: ag.Tensor) -> float:
    """One step on all points; the loss before it."""
    loss = nn.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def gradient_descent(x: ag.Tensor, y: ag.Tensor, epochs: int) -> list[float]:
    """Plain gradient descent at rate 0.01, with a line every 20 epochs."""
    model = network(seed=0)
    optimizer = nn.SGD(model.parameters(), lr=0.01)
    losses: list[float] = []
    for n in range(epochs):
        losses.append(epoch(model, optimizer, x, y))
        if n % 20 == 0 or n == epochs - 1:
            print(f"  epoch {n:4}  loss {losses[-1]:.6f}")
    return losses


def adam(x: ag.Tensor, y: ag.Tensor, most_epochs: int) -> tuple[nn.Module, list[float]]:
    """Adam until the error is below the goal."""
    model = network(seed=0)
    optimizer = nn.Adam(model.parameters(), lr=0.01)
    losses: list[float] = []
    while len(losses) < most_epochs and (not losses or losses[-1] >= GOAL):
        losses.append(epoch(model, optimizer, x, y))
        if len(losses) % 50 == 1:
            print(f"  epoch {len(losses) - 1:4}  loss {losses[-1]:.6f}")
    print(f"  epoch {len(losses) - 1:4}  loss {losses[-1]:.6f}")
    return model, losses


def picture(path: Path, x: ag.Tensor, y: ag.Tensor, model: nn.Module, losses: dict[str, list[float]]) -> None:
    """Two panels: data with the prediction on 200 points, and the losses."""
    import matplotlib.pyplot as plt

    points = ag.linspace(0, 2 * np.pi, 200).reshape(-1, 1)
    with ag.no_grad():
        prediction = model(points)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(x.numpy(), y.numpy(), "o", markersize=3, color="#999999", label="training data, 100 points")
    left.plot(
        points.numpy(), prediction.numpy(), color="#0072b2", linewidth=2, label="prediction, 200 points"
    )
    left.set(title="The sine, learnt by [1, 64, 32, 1]", xlabel="x", ylabel="sin x")
    left.legend(loc="upper right", frameon=False)
    for (name, values), colour in zip(losses.items(), ("#d55e00", "#0072b2")):
        right.semilogy(values, color=colour, label=f"{name}: {values[-1]:.3g} after {len(values)} epochs")
    right.axhline(GOAL, color="#999999", linewidth=1, linestyle=":")
    right.set(title="Training loss", xlabel="epoch", ylabel="mean squared error")
    right.legend(frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv: list[str] | None = None) -> float:
    """Run both, print the losses, write the picture; the last loss of Adam."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100, help="epochs of gradient descent (100)")
    parser.add_argument("--adam-epochs", type=int, default=5000, help="the most epochs of Adam (5000)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the picture")
    options = parser.parse_args(argv)

    x = ag.linspace(0, 2 * np.pi, 100).reshape(-1, 1)
    y = ag.sin(x)
    print(f"Gradient descent, rate 0.01, {options.epochs} epochs")
    descent = gradient_descent(x, y, options.epochs)
    print(f"Adam, rate 0.01, until the loss is below {GOAL}")
    model, adam_losses = adam(x, y, options.adam_epochs)
    path = options.out / "sine.png"
    picture(path, x, y, model, {"gradient descent": descent, "Adam": adam_losses})
    reached = "reached" if adam_losses[-1] < GOAL else "not reached"
    print(f"MSE {adam_losses[-1]:.6f} after {len(adam_losses)} epochs of Adam: the goal {GOAL} is {reached}")
    print(f"Picture: {path}")
    return adam_losses[-1]


if __name__ == "__main__":
    sys.exit(0 if main() < GOAL else 1)
