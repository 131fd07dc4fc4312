"""Where values lie: one block of memory, in which places are used again as soon as nothing reads what lies there."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

ALIGNMENT = 64  # bytes: a cache line, and the widest register


class Life(NamedTuple):
    """A value's bytes, and the first and last step at which they are needed."""

    key: int
    nbytes: int
    first: int
    last: int


class Arena(NamedTuple):
    """Offsets by key, the bytes of all, and the most that is alive at any one step."""

    offsets: dict[int, int]
    nbytes: int
    peak: int


def rounded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT


def plan(lives: Iterable[Life]) -> Arena:
    """Offsets such that no two values that are alive at one step overlap.

    First the way of an allocator, step by step, each value in the smallest gap: that takes n log n. Where it wastes
    more than a quarter of the peak, the largest values are placed first, which takes n².
    """
    lives = sorted(lives, key=lambda life: (life.first, -life.nbytes, life.key))
    peak = _peak(lives)
    offsets, nbytes = _in_time(lives)
    if nbytes > 1.25 * peak and len(lives) < 4000:
        others, smaller = _by_size(lives)
        if smaller < nbytes:
            offsets, nbytes = others, smaller
    return Arena(offsets, nbytes, peak)


def _in_time(lives: list[Life]) -> tuple[dict[int, int], int]:
    gaps = _Gaps()
    ending: list[tuple[int, int, int]] = []  # (last step, begin, end), a heap
    offsets: dict[int, int] = {}
    top = 0
    for life in lives:
        while ending and ending[0][0] < life.first:
            _, begin, end = heappop(ending)
            gaps.give_back(begin, end)
        size = rounded(life.nbytes)
        begin = gaps.take(size)
        if begin is None and gaps.by_place and gaps.by_place[-1][1] == top:
            begin, _ = gaps.remove(len(gaps.by_place) - 1)
            top = begin + size
        elif begin is None:
            begin, top = top, top + size
        offsets[life.key] = begin
        heappush(ending, (life.last, begin, begin + size))
    return offsets, top


class _Gaps:
    """Free pieces of the block, by place and by size."""

    def __init__(self) -> None:
        self.by_place: list[tuple[int, int]] = []  # (begin, end)
        self.by_size: list[tuple[int, int]] = []  # (size, begin)

    def take(self, size: int) -> int | None:
        """The beginning of the smallest gap that holds so many bytes, now taken."""
        at = bisect_left(self.by_size, (size, -1))
        if at == len(self.by_size):
            return None
        found, begin = self.by_size[at]
        self.remove(bisect_left(self.by_place, (begin, 0)))
        if found > size:
            self._add(begin + size, begin + found)
        return begin

    def give_back(self, begin: int, end: int) -> None:
        """Put a piece back, joined with the gaps beside it."""
        at = bisect_left(self.by_place, (begin, end))
        if at < len(self.by_place) and self.by_place[at][0] == end:
            _, end = self.remove(at)
        if at and self.by_place[at - 1][1] == begin:
            begin, _ = self.remove(at - 1)
        self._add(begin, end)

    def remove(self, at: int) -> tuple[int, int]:
        """The gap at this place, out of both lists."""
        begin, end = self.by_place.pop(at)
        del self.by_size[bisect_left(self.by_size, (end - begin, begin))]
        return begin, end

    def _add(self, begin: int, end: int) -> None:
        insort(self.by_place, (begin, end))
        insort(self.by_size, (end - begin, begin))


def _by_size(lives: list[Life]) -> tuple[dict[int, int], int]:
    """Source: Pisarchyk, Lee, "Efficient memory management for deep neural net inference", 2020, "greedy by size"."""
    placed: list[tuple[int, int, Life]] = []  # (begin, end, life), by begin
    offsets: dict[int, int] = {}
    top = 0
    for life in sorted(lives, key=lambda each: (-each.nbytes, each.first, each.key)):
        size, at, best, gap = rounded(life.nbytes), 0, -1, 0
        for begin, end, other in placed:
            if other.last < life.first or life.last < other.first:
                continue
            if begin - at >= size and (best < 0 or begin - at < gap):
                best, gap = at, begin - at
            at = max(at, end)
        offset = best if best >= 0 else at
        offsets[life.key] = offset
        insort(placed, (offset, offset + size, life))
        top = max(top, offset + size)
    return offsets, top


def _peak(lives: list[Life]) -> int:
    if not lives:
        return 0
    steps = max(life.last for life in lives) + 2
    change = np.zeros(steps, np.int64)
    for life in lives:
        change[life.first] += rounded(life.nbytes)
        change[life.last + 1] -= rounded(life.nbytes)
    return int(np.cumsum(change).max())


def aligned(nbytes: int) -> np.ndarray:
    """So many bytes that begin at a cache line."""
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]
