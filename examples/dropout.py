"""When dropout helps: early in training against underfitting, late against overfitting – measured, not assumed.

Liu, Xu, Jin, Shen and Darrell ("Dropout reduces underfitting", 2023) find in large image models that dropout in the
first part of training only (early) lowers the *training* loss of models that underfit, and that dropout in the last
part only (late) lowers the *test* loss of models that overfit. Here both are tried on handwritten digits with a small
network that sees much data for a short time, and with a large one that sees little data for a long time. Every seed
gives all four ways the same initial weights and the same order of the data, so their losses are compared in pairs.

Expect the second finding and not the first: these networks are small and their gradients not noisy. With
one to four hidden layers of 8 to 128, rates from 0.05 to 0.3 and two to nine epochs, early dropout always left a higher
training loss.
Writes out/dropout.png: training and test loss of every run.

    python examples/dropout.py
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mnist import digits

import autograd_core as ag
import nn

WAYS = {"no dropout": (0.0, 0.0), "early": (0.0, 1 / 3), "standard": (0.0, 1.0), "late": (1 / 3, 1.0)}
COLOURS = dict(zip(WAYS, ("#555555", "#0072b2", "#d55e00", "#009e73")))
LOSSES = ("training", "test")
Losses = dict[str, np.ndarray]  # for each way an array (seeds, 2): training and test loss at the end


@dataclass
class Regime:
    """How much data a network of what size sees, how often, and how much is dropped of its hidden layers."""

    name: str
    digits: int
    hidden: tuple[int, ...]
    epochs: int
    rate: float

    def __str__(self) -> str:
        sizes = "-".join(map(str, (784, *self.hidden, 10)))
        return f"{self.name}: {sizes} on {self.digits} digits, {self.epochs} epochs, dropout {self.rate}"


def network(hidden: tuple[int, ...]) -> nn.Sequential:
    """Dense layers with ReLU and Dropout between them; nothing is dropped at first."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip((784, *hidden), hidden):
        layers += [nn.Dense(inputs, outputs), nn.ReLU(), nn.Dropout(0.0)]
    return nn.Sequential(*layers, nn.Dense(hidden[-1], 10))


def set_rate(model: nn.Module, rate: float) -> None:
    """Drop this part of the elements from now on."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.rate = rate


def loss_of(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    """Cross-entropy with nothing dropped."""
    model.eval()
    with ag.no_grad():
        return nn.cross_entropy(model(ag.tensor(images)), labels).item()


def run(regime: Regime, way: str, seed: int, data: tuple[np.ndarray, ...]) -> tuple[float, float]:
    """Train once; the training loss and the test loss at the end, both with nothing dropped."""
    images, labels, test_images, test_labels = data
    rows = np.random.default_rng(seed).permutation(len(images))[: regime.digits]
    images, labels = images[rows], labels[rows]
    ag.random.seed(seed)
    model = network(regime.hidden)
    first, last = (round(part * regime.epochs) for part in WAYS[way])

    def switch(history: nn.History, model: nn.Module) -> None:
        set_rate(model, regime.rate if first <= history.epochs < last else 0.0)

    batches = nn.data.batches((images, labels), 64, seed=seed)
    optimizer = nn.Adam(model.parameters(), lr=2e-3)
    schedule = nn.schedules.cosine(optimizer, steps=len(batches) * regime.epochs)
    switch(nn.History(), model)
    nn.fit(
        model,
        batches,
        nn.cross_entropy,
        optimizer,
        regime.epochs,
        callbacks=[switch],
        progress=False,
        metrics={},
        schedule=schedule,
    )
    return loss_of(model, images, labels), loss_of(model, test_images, test_labels)


def measure(regime: Regime, seeds: int, data: tuple[np.ndarray, ...]) -> Losses:
    """All ways with all seeds, with a line for each way."""
    print(f"\n{regime}")
    losses: Losses = {}
    for way in WAYS:
        start = time.perf_counter()
        losses[way] = np.array([run(regime, way, seed, data) for seed in range(seeds)])
        mean, error = losses[way].mean(0), standard_error(losses[way])
        print(
            f"  {way:10}  training loss {mean[0]:.4f} ± {error[0]:.4f}   test loss {mean[1]:.4f} ± {error[1]:.4f}"
            f"   ({seeds} seeds, {time.perf_counter() - start:.0f} s)",
            flush=True,
        )
    return losses


def standard_error(values: np.ndarray) -> np.ndarray:
    """Of the mean over seeds (axis 0)."""
    return values.std(0, ddof=1) / np.sqrt(len(values))


def differences(losses: Losses) -> dict[str, np.ndarray]:
    """For each way, (2, 2): training and test loss less those without dropout; mean and half 95 % interval.

    Student's t over the paired seeds.
    """
    from scipy.special import stdtrit

    seeds = len(losses["no dropout"])
    factor = stdtrit(seeds - 1, 0.975)
    pairs = {way: losses[way] - losses["no dropout"] for way in WAYS if way != "no dropout"}
    return {way: np.stack([d.mean(0), factor * standard_error(d)], 1) for way, d in pairs.items()}


def verdict(way: str, kind: str, mean: float, half: float, baseline: float) -> str:
    """One sentence on a difference of losses, which says so when it may be chance."""
    size = f"{mean:+.4f} ± {half:.4f} ({mean / baseline:+.1%})"
    if abs(mean) <= half:
        return f"  {way:8}  {kind:8} loss {size}: not to be told from chance"
    return f"  {way:8}  {kind:8} loss {size}: {'lower' if mean < 0 else 'higher'} than without dropout"


def conclude(regime: Regime, losses: Losses) -> None:
    """What the figures of a regime show."""
    print(f"\n{regime.name}: paired differences to no dropout, with 95 % intervals")
    baseline = losses["no dropout"].mean(0)
    for way, pair in differences(losses).items():
        for i, kind in enumerate(LOSSES):
            print(verdict(way, kind, pair[i, 0], pair[i, 1], baseline[i]))


def claims(results: list[tuple[Regime, Losses]]) -> None:
    """Whether each of the paper's two findings shows in these figures."""
    print("\nThe paper's two findings, here:")
    for (regime, losses), way, i in zip(results, ("early", "late"), (0, 1)):
        mean, half = differences(losses)[way][i]
        seen = (
            "not to be told from chance"
            if abs(mean) <= half
            else "seen"
            if mean < 0
            else "not seen, the opposite is"
        )
        part = f"{mean / losses['no dropout'][:, i].mean():+.1%}"
        print(f"  {way} dropout lowers the {LOSSES[i]} loss when {regime.name.lower()}: {seen} ({part})")
    late, standard = (results[1][1][way][:, 1] for way in ("late", "standard"))
    print(
        f"  late dropout's test loss when overfitting less standard dropout's: {(late - standard).mean():+.4f} "
        f"± {standard_error(late - standard):.4f} (standard error)"
    )


def picture(path: Path, results: list[tuple[Regime, Losses]]) -> None:
    """A row for each regime, a column for each loss: every run, mean and 95 % interval of the mean."""
    import matplotlib.pyplot as plt

    figure, rows = plt.subplots(len(results), 2, figsize=(11, 6.5), layout="constrained", squeeze=False)
    for (regime, losses), row in zip(results, rows):
        change = differences(losses)
        for i, (kind, axes) in enumerate(zip(LOSSES, row)):
            base = losses["no dropout"][:, i].mean()
            axes.axvline(base, color=COLOURS["no dropout"], linewidth=1, linestyle=":")
            for y, way in enumerate(WAYS):
                values, colour = losses[way][:, i], COLOURS[way]
                axes.plot(values, np.full(len(values), y), "|", color=colour, markersize=12, alpha=0.6)
                half = change[way][i, 1] if way in change else 0
                axes.errorbar(values.mean(), y - 0.3, xerr=half, fmt="o", color=colour, capsize=4)
                if way in change:
                    sure = abs(change[way][i, 0]) > half
                    text = f"{change[way][i, 0] / base:+.1%}" + ("" if sure else " (chance?)")
                    axes.annotate(
                        text,
                        (values.mean(), y - 0.3),
                        (0, 7),
                        textcoords="offset points",
                        ha="center",
                        color=colour,
                        fontsize=9,
                    )
            axes.set(yticks=range(len(WAYS)), yticklabels=list(WAYS), ylim=(len(WAYS) - 0.5, -0.9))
            axes.margins(x=0.12)
            axes.set(
                title=f"{regime.name}: {kind} loss", xlabel="cross-entropy at the end, nothing dropped (nats)"
            )
            axes.spines[["top", "right"]].set_visible(False)
    seeds = len(results[0][1]["no dropout"])
    figure.suptitle(
        f"Early and late dropout on digits: {seeds} seeds (bars), their mean (dots) "
        "with the 95 % interval of its difference to no dropout"
    )
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv: list[str] | None = None) -> dict[str, Losses]:
    """Measure both regimes, print what they show, draw; the losses by regime and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8, help="runs of each kind, at least 2 (8)")
    parser.add_argument(
        "--digits", type=int, nargs=2, default=(8000, 500), help="under-, overfitting (8000 500)"
    )
    parser.add_argument("--epochs", type=int, nargs=2, default=(3, 45), help="under-, overfitting (3 45)")
    parser.add_argument(
        "--width", type=int, nargs=2, default=(32, 256), help="of both hidden layers (32 256)"
    )
    parser.add_argument("--rate", type=float, nargs=2, default=(0.1, 0.5), help="of dropout (0.1 0.5)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the picture")
    options = parser.parse_args(argv)
    if options.seeds < 2:
        parser.error("--seeds must be at least 2: one run has no spread")
    if min(options.epochs) < 2:
        parser.error("--epochs must be at least 2: early and late need one each")

    images, labels, test_images, test_labels = digits()
    data = images.reshape(-1, 784), labels, test_images.reshape(-1, 784), test_labels
    regimes = [
        Regime(name, options.digits[i], (options.width[i],) * 2, options.epochs[i], options.rate[i])
        for i, name in enumerate(("Underfitting", "Overfitting"))
    ]
    results = [(regime, measure(regime, options.seeds, data)) for regime in regimes]
    for regime, losses in results:
        conclude(regime, losses)
    claims(results)
    path = options.out / "dropout.png"
    picture(path, results)
    print(f"Picture: {path}")
    return {regime.name: losses for regime, losses in results}


if __name__ == "__main__":
    main()
