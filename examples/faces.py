"""Tell faces from what is not a face, with 200 pictures only: what augmentation by flips is worth.

The 100 faces and 100 other patches of 25 × 25 pixels are scikit-image's `lfw_subset`, a part of Labeled Faces in the
Wild (Huang et al. 2007). A small convolutional network is cross-validated: five parts with as many of both kinds in
each, and every picture is judged by a network that has not seen it. It learns from pictures as they are, flipped left
to right at random, and also moved by up to two pixels. The same with only five training pictures of each kind, where
augmentation should add most; there chance is large, so it is repeated with other pictures. Do not expect much of it: 80
pictures of each kind are enough for 99 %, and faces are nearly symmetric, so flipping them says little that is new.
Writes out/faces.png: the accuracies, the mistakes, and where the network looks: the gradient of its score with respect
to the pixels.

    python examples/faces.py
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import autograd_core as ag
import nn

GOAL = 0.95
WAYS = ("as they are", "flips", "flips and shifts")
COLOURS = dict(zip(WAYS, ("#555555", "#0072b2", "#d55e00")))


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Pictures (200, 1, 25, 25), each of mean 0 and variance 1, and labels (200,): 1 for a face."""
    from skimage.data import lfw_subset

    images = lfw_subset().astype(np.float32)[:, None]
    images -= images.mean((2, 3), keepdims=True)
    images /= images.std((2, 3), keepdims=True) + 1e-3
    return images, np.repeat(np.array([1, 0], np.float32), 100)


def folds(labels: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Row numbers of `count` parts, each with the same share of both kinds."""
    rng = np.random.default_rng(seed)
    kinds = [rng.permutation(np.flatnonzero(labels == kind)) for kind in (0, 1)]
    return [np.concatenate([kind[part::count] for kind in kinds]) for part in range(count)]


def network() -> nn.Sequential:
    """Three convolutions with batch normalisation, dropout, and one number: the score, positive for a face."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 8), (8, 16), (16, 16)):
        layers += [nn.Conv(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm(outputs), nn.ReLU()]
        layers += [nn.MaxPool(2)]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Dropout(0.5), nn.Dense(16 * 3 * 3, 1), lambda x: x.reshape(-1)
    )


class Augmented:
    """Batches whose pictures are flipped, and moved, at random, differently in every epoch."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, way: str, seed: int) -> None:
        self.batches = nn.data.batches((images, labels), 32, seed=seed)
        self.way, self.rng = way, np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for images, labels in self.batches:
            if "flips" in self.way:
                flipped = self.rng.random(len(images)) < 0.5
                images = np.where(flipped[:, None, None, None], images[..., ::-1], images)
            if "shifts" in self.way:
                padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
                moves = self.rng.integers(0, 5, (len(images), 2))
                images = np.stack([p[:, y : y + 25, x : x + 25] for p, (y, x) in zip(padded, moves)])
            yield images, labels


def train(images: np.ndarray, labels: np.ndarray, way: str, steps: int, seed: int) -> nn.Module:
    """A network that has learnt these pictures, in evaluation mode."""
    ag.random.seed(seed)
    model, data = network(), Augmented(images, labels, way, seed)
    epochs = -(-steps // len(data))
    optimizer = nn.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    nn.fit(
        model,
        data,
        nn.binary_cross_entropy_with_logits,
        optimizer,
        epochs,
        progress=False,
        metrics={},
        schedule=nn.schedules.one_cycle(optimizer, steps=len(data) * epochs),
    )
    return model.eval()


def saliency(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """How much each pixel moves the score: |∂ score / ∂ pixel|, of the images' shape."""
    return np.abs(ag.grad(lambda x: model(x).sum())(ag.tensor(images)).numpy())


@dataclass
class Judged:
    """What networks say of pictures they have not seen; scores and saliency of the first cross-validation."""

    scores: np.ndarray  # (N,), positive for a face
    looks: np.ndarray  # (N, 1, 25, 25), the saliency
    accuracies: np.ndarray  # of each part, of all cross-validations

    def __str__(self) -> str:
        each = " ".join(f"{100 * a:.1f}" for a in self.accuracies)
        return f"{100 * self.accuracies.mean():5.1f} ± {100 * self.accuracies.std(ddof=1):4.1f} %  ({each})"


def cross_validate(
    images: np.ndarray, labels: np.ndarray, way: str, per_kind: int, count: int, steps: int, seed: int
) -> Judged:
    """Judge each part by a network that has learnt from at most `per_kind` pictures of each kind of the others."""
    scores, looks, accuracies = np.empty(len(images)), np.empty_like(images), []
    for part, held in enumerate(folds(labels, count, seed)):
        rest = np.setdiff1d(np.arange(len(images)), held)
        rng = np.random.default_rng((seed, part))
        kinds = [rng.permutation(rest[labels[rest] == kind])[:per_kind] for kind in (0, 1)]
        learnt = np.concatenate(kinds)
        model = train(images[learnt], labels[learnt], way, steps, seed)
        with ag.no_grad():
            scores[held] = model(images[held]).numpy()
        looks[held] = saliency(model, images[held])
        accuracies.append(((scores[held] > 0) == labels[held]).mean())
    return Judged(scores, looks, np.array(accuracies))


def repeated(runs: list[Judged]) -> Judged:
    """Several cross-validations as one."""
    return Judged(runs[0].scores, runs[0].looks, np.concatenate([run.accuracies for run in runs]))


def draw_accuracies(axes: Any, results: dict[tuple[int, str], Judged], sizes: list[int]) -> None:
    """Every part's accuracy as a dot, mean and standard deviation beside, for each size and way."""
    for i, way in enumerate(WAYS):
        colour = COLOURS[way]
        for j, size in enumerate(sizes):
            values = 100 * results[size, way].accuracies
            x = j + 0.26 * (i - 1)
            levels, counts = np.unique(values, return_counts=True)
            axes.scatter(
                np.full(len(levels), x - 0.04), levels, 30 * counts, color=colour, alpha=0.35, linewidths=0
            )
            axes.errorbar(
                x + 0.05,
                values.mean(),
                values.std(ddof=1),
                fmt="D",
                color=colour,
                capsize=3,
                label=None if j else way,
            )
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.axhline(100 * GOAL, color="#999999", linestyle=":", linewidth=1, zorder=0)
    axes.set(
        title="Accuracy on pictures not seen: each part (larger dots: several),\nmean ± standard deviation",
        xlabel="training pictures of each kind",
        ylabel="%",
        xlim=(-0.5, len(sizes) - 0.5),
    )
    axes.legend(title="training pictures", frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)


def draw_hardest(figure: Any, images: np.ndarray, labels: np.ndarray, judged: Judged) -> None:
    """The pictures with the worst scores for what they are; the mistakes come first, in red."""
    margin = np.where(labels > 0, judged.scores, -judged.scores)
    wrong = int((margin <= 0).sum())
    figure.suptitle(
        f"All training pictures, flips: {wrong} mistake{'s' * (wrong != 1)} in {len(labels)} (red), "
        "and the next hardest, with scores"
    )
    for axes, i in zip(figure.subplots(2, 6).flat, np.argsort(margin)):
        axes.imshow(images[i, 0], cmap="gray")
        kind = "face" if labels[i] else "no face"
        colour = "#d55e00" if margin[i] <= 0 else "black"
        axes.set_title(f"{kind} {judged.scores[i]:+.1f}", fontsize=9, color=colour)
        axes.axis("off")


def draw_looks(figure: Any, images: np.ndarray, labels: np.ndarray, judged: Judged) -> None:
    """The average face and its average saliency, and some faces with theirs."""
    figure.suptitle("Where it looks: |∂ score / ∂ pixel| of held-out faces (bright: much)")
    faces = np.flatnonzero(labels)
    chosen = faces[np.argsort(-judged.scores[faces])[:: len(faces) // 6]][:6]
    columns = [(images[faces].mean(0), judged.looks[faces].mean(0), "mean of all")]
    columns += [(images[i], judged.looks[i], f"score {judged.scores[i]:+.1f}") for i in chosen]
    for (above, below), (image, look, title) in zip(figure.subplots(2, len(columns)).T, columns):
        above.imshow(image[0], cmap="gray")
        above.set_title(title, fontsize=9)
        below.imshow(look[0], cmap="inferno")
        above.axis("off")
        below.axis("off")


def picture(
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    results: dict[tuple[int, str], Judged],
    sizes: list[int],
) -> None:
    """Accuracies, the hardest pictures, saliency."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(14, 7), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    left, right = halves
    draw_accuracies(left.subplots(), results, sizes)
    top, bottom = right.subfigures(2, 1, hspace=0.06)
    best = results[sizes[-1], "flips"]
    draw_hardest(top, images, labels, best)
    draw_looks(bottom, images, labels, best)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def compare(results: dict[tuple[int, str], Judged], size: int, way: str) -> str:
    """What a way adds, in pairs of parts, and whether that may be chance.

    The parts share training pictures, so that the interval is a little too narrow.
    """
    from scipy.special import stdtrit

    gain = 100 * (results[size, way].accuracies - results[size, WAYS[0]].accuracies)
    half = stdtrit(len(gain) - 1, 0.975) * gain.std(ddof=1) / len(gain) ** 0.5
    says = (
        "not to be told from chance" if abs(gain.mean()) <= half else "better" if gain.mean() > 0 else "worse"
    )
    return f"  {size:3} of each kind, {way}: {gain.mean():+.1f} ± {half:.1f} points: {says}"


def main(argv: list[str] | None = None) -> float:
    """Cross-validate, print, draw; the mean accuracy with all training pictures and flips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100, help="steps of training (100)")
    parser.add_argument("--folds", type=int, default=5, help="parts of the cross-validation, at least 2 (5)")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=(5, 80), help="training pictures of each kind (5 80)"
    )
    parser.add_argument(
        "--repeats", type=int, default=2, help="cross-validations for all sizes but the last (2)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of parts, weights, order and augmentation (0)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the picture")
    options = parser.parse_args(argv)
    sizes = sorted(options.sizes)

    images, labels = pictures()
    start = time.perf_counter()
    results: dict[tuple[int, str], Judged] = {}
    print(f"Accuracy in {options.folds}-fold cross-validation, mean ± standard deviation (each part)")
    for size in sizes:
        print(f"learning from {size} of each kind")
        seeds = range(options.seed, options.seed + (options.repeats if size < sizes[-1] else 1))
        for way in WAYS:
            runs = [cross_validate(images, labels, way, size, options.folds, options.steps, n) for n in seeds]
            results[size, way] = repeated(runs)
            print(f"  {way:16} {results[size, way]}   {time.perf_counter() - start:3.0f} s", flush=True)
    print("What augmentation adds, in pairs of parts, with 95 % intervals")
    for size in sizes:
        for way in WAYS[1:]:
            print(compare(results, size, way))
    path = options.out / "faces.png"
    picture(path, images, labels, results, sizes)
    accuracy = float(results[sizes[-1], "flips"].accuracies.mean())
    reached = "reached" if accuracy >= GOAL else "not reached"
    print(f"Accuracy with flips: {accuracy:.1%}, the goal {GOAL:.0%} is {reached}. Picture: {path}")
    return accuracy


if __name__ == "__main__":
    sys.exit(0 if main() >= GOAL else 1)
