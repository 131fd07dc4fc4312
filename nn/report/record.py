"""What is known about a run: the numbers of its steps, the samples of its gradients, where it stands."""

from __future__ import annotations

import math
import statistics
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nn.history import History
    from nn.report.examples import Examples

RECENT = 100  # steps that the speed is taken from: long ones at the beginning, when code is compiled, pass out of it


@dataclass
class Sample:
    """One sampled step: by parameter the norm of the gradient and of the update in relation to the weights.

    None where there was no gradient. `resident` and `live` are bytes of memory.
    """

    step: int
    gradients: list[float | None]
    ratios: list[float | None]
    resident: int
    live: int


@dataclass
class Record:
    """A run as far as it has come. What a report is made from.

    >>> import nn
    >>> record = Record("Dense", nn.History(), epochs=10)
    >>> record.step(0.5, rows=32, seconds=0.1)
    >>> record.steps, record.rate
    (1, 320.0)
    """

    model: str
    history: History
    epochs: int
    batches: int | None = None  # in an epoch, where the data say
    names: list[str] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    state: str = "running"  # "finished", "stopped", "failed"
    note: str = ""  # why it stopped, or the error
    unit: str = "examples"
    losses: array[float] = field(default_factory=lambda: array("d"))
    seconds: array[float] = field(default_factory=lambda: array("d"))
    rows: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    samples: list[Sample] = field(default_factory=list)
    updates: Any = None  # of the last sampled step, some thousand elements
    examples: Examples | None = None
    elapsed: float = 0.0
    in_epoch: float = 0.0  # seconds since this epoch began
    epoch_steps: int = 0  # steps done in this epoch
    written: float = field(default_factory=time.time)

    def step(self, loss: float, rows: int, seconds: float) -> None:
        """Add a step."""
        self.losses.append(loss)
        self.seconds.append(seconds)
        self.rows.append(rows)
        self.epoch_steps += 1

    @property
    def steps(self) -> int:
        """Steps done."""
        return len(self.losses)

    @property
    def parameters(self) -> int:
        """The number of elements of all parameters."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def epoch(self) -> int:
        """The epoch that runs, from 1; the last one when the run has ended."""
        return min(self.history.epochs + (self.state == "running" or self.epoch_steps > 0), self.epochs)

    @property
    def rate(self) -> float:
        """Examples per second over the last steps."""
        seconds = sum(self.seconds[-len(self.rows) :]) if self.rows else 0.0
        return sum(self.rows) / seconds if seconds else 0.0

    @property
    def step_seconds(self) -> float:
        """What one of the last steps takes, the median."""
        return statistics.median(self.seconds[-RECENT:]) if self.seconds else 0.0

    @property
    def progress(self) -> float:
        """The part of the run that is done, from 0 to 1."""
        if self.state == "finished" or not self.epochs:
            return 1.0
        part = min(self.epoch_steps / self.batches, 1.0) if self.batches else 0.0
        return min((self.history.epochs + part) / self.epochs, 1.0)

    @property
    def left(self) -> float | None:
        """Seconds left, by the last epoch or by the last steps; None when the run is over or nothing is known yet."""
        if self.state != "running":
            return None
        if self.history.epochs:
            rest = (self.epochs - self.history.epochs) * self.history["seconds"][-1]
            return max(rest - self.in_epoch, 0.0)
        if self.batches and self.steps:
            return max(self.batches * self.epochs - self.steps, 0) * self.step_seconds
        return None


class Budget:
    """Says when work may be done so that it takes no more than a share of the time.

    >>> now = 0.0
    >>> budget = Budget(0.01, clock=lambda: now)
    >>> began = budget.begin()
    >>> now = 2.0  # the work took two seconds
    >>> budget.end(began)
    >>> budget.due, round(budget.next)
    (False, 200)
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self.share = share
        self.clock = clock
        self.last = self.next = -math.inf

    @property
    def due(self) -> bool:
        """Whether the work may be done now."""
        return self.clock() >= self.next

    def begin(self) -> float:
        """The time."""
        return self.clock()

    def end(self, began: float) -> None:
        """The work is done: say when it may be done again."""
        self.last = self.clock()
        self.next = began + (self.last - began) / self.share


def thin(values: Sequence[float], most: int = 1000) -> tuple[list[int], list[float]]:
    """At most `most` of the values with their places: the least and the greatest of each of `most` / 2 buckets.

    What is not finite stands for its whole bucket: a curve must not hide it.

    >>> thin([3.0, 1.0, 2.0, 5.0, 4.0, 4.0, 0.0, 9.0], most=4)
    ([1, 3, 6, 7], [1.0, 5.0, 0.0, 9.0])
    """
    numbers = np.asarray(values, np.float64)
    if len(numbers) <= most:
        return list(range(len(numbers))), numbers.tolist()
    edges = np.linspace(0, len(numbers), most // 2 + 1).astype(int)
    places: list[int] = []
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist()):
        part = numbers[start:stop]
        finite = np.isfinite(part)
        if not finite.all():
            places.append(start + int(np.argmin(finite)))
        else:
            places += sorted({start + int(part.argmin()), start + int(part.argmax())})
    return places, numbers[places].tolist()
