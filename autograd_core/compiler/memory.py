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
    gaps: list[tuple[int, int]] = []  # (begin, end), by begin
    ending: list[tuple[int, int, int]] = []  # (last step, begin, end), a heap
    offsets: dict[int, int] = {}
    top = 0
    for life in lives:
        while ending and ending[0][0] < life.first:
            _, begin, end = heappop(ending)
            _give_back(gaps, begin, end)
        size = rounded(life.nbytes)
        fitting = [(end - begin, i) for i, (begin, end) in enumerate(gaps) if end - begin >= size]
        if fitting:
            begin, end = gaps.pop(min(fitting)[1])
            if end - begin > size:
                insort(gaps, (begin + size, end))
        elif gaps and gaps[-1][1] == top:
            begin, _ = gaps.pop()
            top = begin + size
        else:
            begin, top = top, top + size
        offsets[life.key] = begin
        heappush(ending, (life.last, begin, begin + size))
    return offsets, top


def _give_back(gaps: list[tuple[int, int]], begin: int, end: int) -> None:
    """Put a piece back, joined with the gaps beside it."""
    at = bisect_left(gaps, (begin, end))
    if at < len(gaps) and gaps[at][0] == end:
        end = gaps.pop(at)[1]
    if at and gaps[at - 1][1] == begin:
        at -= 1
        begin = gaps.pop(at)[0]
    gaps.insert(at, (begin, end))


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
