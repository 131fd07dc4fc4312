"""What an operation launches, taken down: argument blocks, and which of their words hold an address of whose memory.

With other addresses in these words the kernels do the same to other arrays, without Python.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autograd_core.kernels.launch import Check, Constants, Launch, address_of, words_of
from autograd_core.kernels.replay import is_set, not_finite


class OutsideKernels(Exception):
    """A kernel reads what the operation has computed without kernels."""


class Stretch(NamedTuple):
    """A word of an argument block that holds an address in somebody's memory, so many bytes from its begin."""

    word: int
    owner: Any
    offset: int


@dataclass(slots=True, eq=False)
class Launched:
    """A kernel as an operation launched it."""

    name: str
    address: int
    block: list[int]
    stretches: list[Stretch]
    tasks: int  # negative: on one thread; 0: a check


class Memory:
    """Which stretch of memory is whose."""

    def __init__(self) -> None:
        self.starts: list[int] = []  # ascending
        self.ends: list[int] = []
        self.owners: list[Any] = []

    def know(self, array: npt.NDArray, owner: Any) -> None:
        """From now on the array's memory is the owner's."""
        if not array.nbytes:
            return
        start = address_of(array)
        at = bisect_right(self.starts, start)
        if at and self.starts[at - 1] == start:
            self.owners[at - 1], self.ends[at - 1] = owner, start + array.nbytes
            return
        self.starts.insert(at, start)
        self.ends.insert(at, start + array.nbytes)
        self.owners.insert(at, owner)

    def find(self, array: npt.NDArray) -> tuple[Any, int] | None:
        """In whose memory the array lies, and how many bytes from its begin."""
        start = address_of(array)
        at = bisect_right(self.starts, start) - 1
        if at >= 0 and start + array.nbytes <= self.ends[at]:
            return self.owners[at], start - self.starts[at]
        return None


def taken_down(
    steps: Iterable[Launch | Check], memory: Memory, found: npt.NDArray[np.int64]
) -> tuple[list[Launched], list[Any]]:
    """The steps of a trace, and the tables that must stay where they are. Checks write to `found`.

    Raises OutsideKernels where an array is nobody's and no table.
    """
    kept: list[Any] = [found]
    return [
        _check(step, memory, found, kept) if isinstance(step, Check) else _launch(step, memory, kept)
        # Checks come last: where one fails in a program, all is computed again, and no launch may write after that.
        for step in sorted(steps, key=lambda step: isinstance(step, Check))
    ], kept


def _check(step: Check, memory: Memory, found: npt.NDArray[np.int64], kept: list[Any]) -> Launched:
    kernel = is_set if step.array.dtype == np.uint8 else not_finite
    dtype = np.dtype(np.float64) if kernel is is_set else step.array.dtype
    arguments = step.array.reshape(-1), found
    stretches = _stretches(kernel.kinds, arguments, memory, kept)
    return Launched(
        kernel.name, kernel.compile(dtype).address, words_of(kernel.kinds, arguments), stretches, 0
    )


def _launch(step: Launch, memory: Memory, kept: list[Any]) -> Launched:
    arguments, rest = step.arguments, []
    if isinstance(arguments[-1], Constants):
        *arguments, last = arguments
        rest = last.words
        kept.append(last)
    block = words_of(step.kinds, tuple(arguments)) + rest
    stretches = _stretches(step.kinds, arguments, memory, kept)
    return Launched(step.name, step.entry, block, stretches, -step.tasks if step.serial else step.tasks)


def _stretches(
    kinds: Iterable[str], arguments: Iterable[Any], memory: Memory, kept: list[Any]
) -> list[Stretch]:
    stretches: list[Stretch] = []
    at = 0
    for kind, value in zip(kinds, arguments):
        if kind in ("int", "float"):
            at += 1
            continue
        if (place := memory.find(value)) is not None:
            stretches.append(Stretch(at, *place))
        elif value.flags.writeable and value is not kept[0]:
            raise OutsideKernels
        else:
            kept.append(value)
        at += 2
    return stretches
