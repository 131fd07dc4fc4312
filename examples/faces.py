"""Tell faces from what is not a face, with 200 pictures only: what augmentation by flips is worth.

The 100 faces and 100 other patches of 25 × 25 pixels are scikit-image's `lfw_subset`, a part of Labeled Faces in the Wild
(Huang et al. 2007). A small convolutional network is cross-validated: five parts with as many of both kinds in each, and
every picture is judged by a network that has not seen it. With so few pictures chance is large, so this is repeated
with other parts, and done three times: with the pictures as they are, flipped left to right at random in training, and also
moved by up to two pixels. Writes out/faces.png: the accuracy of every part, the mistakes, and where the network
looks: the gradient of its score with respect to the pixels.

    python examples/faces.py
"""

from collections.abc import Iterator

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
    for inputs, outputs in ((1, 12), (12, 24), (24, 32)):
        layers += [nn.Conv(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm(outputs), nn.ReLU()]
        layers += [nn.MaxPool(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Dense(32 * 3 * 3, 1), lambda x: x.reshape(-1))


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


def train(images: np.ndarray, labels: np.ndarray, way: str, epochs: int, seed: int) -> nn.Module:
    """A network that has learnt these pictures, in evaluation mode."""
    ag.random.seed(seed)
    model, data = network(), Augmented(images, labels, way, seed)
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


def cross_validate(
    images: np.ndarray, labels: np.ndarray, way: str, count: int, epochs: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of each picture, by the network that has not seen it: the score (N,) and the saliency (N, 1, 25, 25)."""
    scores, looks = np.empty(len(images)), np.empty_like(images)
    for held in folds(labels, count, seed):
        rest = np.setdiff1d(np.arange(len(images)), held)
        model = train(images[rest], labels[rest], way, epochs, seed)
        with ag.no_grad():
            scores[held] = model(images[held]).numpy()
        looks[held] = saliency(model, images[held])
    return scores, looks


def fold_accuracies(scores: np.ndarray, labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The accuracy in each of the parts."""
    return np.array([((scores[held] > 0) == labels[held]).mean() for held in folds(labels, count, seed)])


