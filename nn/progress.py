"""How far the training is: a bar on a terminal, elsewhere lines, or silence."""

from __future__ import annotations

import sys
import time
from typing import Any

from nn.data import Batches
from nn.history import History


class Silent:
    """No progress at all; what the other two reporters have in common."""

    def batch(self, epoch: int, rows: int, means: Any) -> None: ...

    def epoch(self, epoch: int, history: History) -> None: ...

    def line(self, text: str) -> None:
        print(text)

    def close(self) -> None: ...


class Lines(Silent):
    """A line every so many epochs: what suits a file, a log, a notebook."""

    def __init__(self, epochs: int, every: int) -> None:
        self.epochs = epochs
        self.every = every
        self.rows = 0
        self.began = time.perf_counter()

    def batch(self, epoch: int, rows: int, means: Any) -> None:
        self.rows += rows

    def epoch(self, epoch: int, history: History) -> None:
        done = epoch + 1
        if done % self.every and done != self.epochs:
            return
        seconds = time.perf_counter() - self.began
        shown = [f"{n.replace('_', ' ')} {history[n][-1]:.4g}" for n in history if n not in ("lr", "seconds")]
        rate = f"{self.rows / max(seconds, 1e-9):,.0f} examples/s"
        left = f"{seconds / done * (self.epochs - done):.0f} s left"
        print(
            " · ".join([f"epoch {done:>{len(str(self.epochs))}}/{self.epochs}", *shown, rate, left]),
            flush=True,
        )


class Bar(Silent):
    """One tqdm bar over all epochs, counting examples: the rate is examples per second."""

    def __init__(self, epochs: int, data: Any) -> None:
        from tqdm import tqdm

        self.epochs = epochs
        self.batches = len(data) if hasattr(data, "__len__") else 0
        self.validated = ""
        total = data.examples * epochs if isinstance(data, Batches) else None
        self.bar: Any = tqdm(total=total, unit=" examples", unit_scale=True, dynamic_ncols=True)

    def batch(self, epoch: int, rows: int, means: Any) -> None:
        if self.bar.total is None and self.batches:
            self.bar.total = rows * self.batches * self.epochs  # near enough to say how long it will take
        # update draws at most ten times a second: the text is made only then.
        if self.bar.update(rows):
            self.bar.set_description_str(f"epoch {epoch + 1}/{self.epochs}", refresh=False)
            shown = [f"{name} {total / means.rows:.4g}" for name, total in means.sums.items()]
            self.bar.set_postfix_str(", ".join(shown) + self.validated, refresh=False)

    def epoch(self, epoch: int, history: History) -> None:
        self.bar.total = (
            self.bar.n // (epoch + 1) * self.epochs
        )  # now it is known how many examples an epoch has
        names = [name for name in history if name.startswith("validation_")]
        self.validated = "".join(f", {name.replace('_', ' ')} {history[name][-1]:.4g}" for name in names)
        self.bar.set_description_str(f"epoch {epoch + 1}/{self.epochs}", refresh=False)
        shown = [f"{n} {history[n][-1]:.4g}" for n in history if n not in (*names, "lr", "seconds")]
        self.bar.set_postfix_str(", ".join(shown) + self.validated)

    def line(self, text: str) -> None:
        self.bar.write(text)

    def close(self) -> None:
        self.bar.close()


def reporter(progress: bool | int, epochs: int, data: Any) -> Silent:
    """What `fit` was asked for."""
    if progress is False or not epochs:
        return Silent()
    if progress is not True:
        if progress < 1:
            raise ValueError(f"fit: progress = {progress}: give True, False, or the epochs between two lines")
        return Lines(epochs, progress)
    return Bar(epochs, data) if sys.stderr.isatty() else Lines(epochs, 1)
