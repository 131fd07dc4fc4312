"""Watch: what collects while a model is trained, sparingly, and keeps the report's file up to date."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autograd_core import memory
from nn.history import History
from nn.report.examples import Examples, images
from nn.report.page import page
from nn.report.record import Budget, Record, Sample
from nn.report.text import text

SHARE = 0.01  # of the time for sampling, and as much for writing
PAUSE = 2.0  # seconds between two versions of the file
SAMPLES = 480  # more of them are thinned: twice what a heat map of 240 columns can show
UPDATES = 20_000  # elements that the histogram is made from


class Watch:
    """Collects what a report shows, and writes it to `path`, a .html or a .txt file.

    `fit` calls `before` and `after` around each step, `evaluated` with predictions, `epoch` after each epoch, and
    `end`. The file is replaced as a whole each time, so that it can be read at any time and outlives a crash. Sampling
    the gradients and writing take 1 % of the time each, or less: the longer they take, the more rarely they are done.

    >>> import nn, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     watch = Watch(Path(folder) / "run.txt", nn.Dense(2, 1), nn.History(), epochs=1)
    ...     watch.before()
    ...     watch.after(0.5, rows=8)
    ...     watch.end("finished")
    ...     print(watch.path.read_text(encoding="utf-8").splitlines()[0])
    Dense · 3 parameters · finished
    """

    def __init__(
        self,
        path: str | Path,
        model: Any,
        history: History,
        epochs: int,
        batches: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.path = checked(path)
        self.render = text if self.path.suffix.lower() == ".txt" else page
        self.clock = clock
        self.reporter: Any = None  # the progress of `fit`: what has a `line` for messages
        named = list(model.named_parameters())
        self.parameters = [p for _, p in named]
        self.record = history.watched = Record(
            type(model).__name__,
            history,
            epochs,
            batches,
            [name for name, _ in named],
            [tuple(p.shape) for p in self.parameters],
        )
        self.stride = max(1, self.record.parameters // UPDATES)
        self.sampling = Budget(SHARE, clock=clock)
        self.writing = Budget(SHARE, clock)
        self.every, self.sampled = 1, -1  # steps between two samples, and the last one
        self.held: list[Any] | None = None
        self.began = self.since = self.epoch_began = clock()
        self.write()  # a file that cannot be written shows itself before anything trains

    def begin(self) -> None:
        """An epoch begins."""
        self.since = self.epoch_began = self.clock()

    def before(self) -> None:
        """A step begins: hold the parameters' arrays if it is sampled. Steps replace arrays and write into none."""
        self.held = None
        if self.record.steps >= self.sampled + self.every and self.sampling.due:
            self.held = [p.array for p in self.parameters]

    def after(self, loss: float, rows: int) -> None:
        """A step is done."""
        now, record = self.clock(), self.record
        record.step(loss, rows, now - self.since)
        if self.held is not None:
            self.sample(self.held)
            self.held = None
        if self.writing.due and now >= self.writing.last + PAUSE:
            self.write()
        self.since = self.clock()  # what collecting took is not the step's

    def sample(self, before: list[Any]) -> None:
        """Norms of gradients and updates, some elements of the updates, and memory."""
        began, record = self.sampling.begin(), self.record
        gradients: list[float | None] = []
        ratios: list[float | None] = []
        updates: list[Any] = []
        with np.errstate(all="ignore"):  # a gradient that overflows is a finding, not an error
            for p, old in zip(self.parameters, before):
                if p.grad is None:
                    gradients.append(None)
                    ratios.append(None)
                    continue
                update = p.array - old
                gradients.append(_norm(p.grad.array))
                # Of the weights after the step: biases that begin at 0 would give ∞.
                weights, change = _norm(p.array), _norm(update)
                ratios.append(change / weights if weights else 0.0 if not change else math.inf)
                updates.append(update.ravel()[:: self.stride])
        now = memory.statistics()
        record.updates = np.concatenate(updates) if updates else None
        record.samples.append(Sample(record.steps, gradients, ratios, now.resident, now.live))
        self.sampled = record.steps - 1
        if len(record.samples) > SAMPLES:
            del record.samples[1::2]
            self.every = max(2 * self.every, record.steps // SAMPLES)
        self.sampling.end(began)

    def evaluated(self, inputs: list[Any], target: Any, prediction: Any, source: str) -> None:
        """Predictions that are at hand anyway: of a batch of the validation, or the last one of the training."""
        if images(inputs):
            self.record.unit = "images"
        self.record.examples = Examples.of(inputs, target, prediction, source)

    def epoch(self) -> None:
        """An epoch is over and in the history."""
        self.record.epoch_steps = 0
        # An epoch's end is worth a page before the pause is over, as long as writing keeps within its share.
        if self.record.history.epochs == 1 or self.writing.due:
            self.write()

    def end(self, state: str, note: str = "") -> None:
        """The run is over: "finished", "stopped", or "failed"."""
        self.record.state, self.record.note = state, note
        self.write()

    def failed(self, error: BaseException) -> None:
        """The run ended with an error."""
        where = f"epoch {self.record.epoch}, step {self.record.steps}"
        message = f"{type(error).__name__}: {error}"
        self.end("failed", f"{message[:2000]}\n(in {where})")

    def write(self) -> None:
        """Replace the file. Where that fails in the middle of a run, a line says so and the training goes on."""
        began, record = self.writing.begin(), self.record
        record.elapsed, record.in_epoch = began - self.began, began - self.epoch_began
        record.written = time.time()
        first = self.writing.last == -math.inf
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            part.write_text(self.render(record.history), encoding="utf-8")
            os.replace(part, self.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            if first:
                raise
            if self.reporter is not None:
                self.reporter.line(f"fit: the report is not up to date: {error}")
        self.writing.end(began)


def checked(path: Any) -> Path:
    """The report's path; errors for another suffix than .html and .txt, and for a folder that is not there."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".txt"):
        raise ValueError(
            f"fit: report = {str(path)!r}: give a name that ends with .html (a page) or .txt (a text)"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"fit: report = {str(path)!r}: there is no folder {str(path.parent)!r}")
    return path.absolute()  # the program may go to another folder


def _norm(values: Any) -> float:
    """In float64 where float32 squares would overflow, or vanish."""
    norm = float(np.linalg.norm(values.ravel()))
    if math.isnan(norm) or 1e-15 < norm < 1e15:
        return norm
    return float(np.linalg.norm(values.ravel().astype(np.float64)))
