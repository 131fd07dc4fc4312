"""Repeated siblings become one: nine equal residual blocks, a thousand equal steps, a long chain of equal operations.

Two things are equal when the same operations, on the same shapes, read each other in the same way; names do not
count. Every group's items are a word over such signatures, and a repetition is a stretch of that word that is equal to
itself moved by one period. Inner groups go first, short periods before long ones, so that repetitions nest.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from autograd_core.dtypes import Array
from autograd_core.graph.groups import Group, Item, start_of
from autograd_core.graph.program import Program

COMPARISONS = 200_000_000  # a bound on (items × periods): about a second
CHECKS = 20_000_000  # a bound on operations whose wiring is compared: about two seconds
LONGEST_PERIOD = 1024
PASSES = 6


def collapse(program: Program, groups: list[Group]) -> list[Group]:
    """Replace repetitions among the items of every group; returns the repetitions, inner ones first."""
    search = _Search(program)
    for group in reversed(groups):
        search.collapse(group)
    return search.repeats


def representatives(program: Program, repeats: list[Group]) -> Array:
    """For every operation the one that is shown in its place: itself, or its twin in the first repetition."""
    shown = np.arange(len(program.operations))
    for repeat in repeats:
        first = shown[repeat.start : repeat.start + repeat.unit]
        shown[repeat.start : repeat.stop] = np.tile(first, repeat.count)
    return shown


class _Search:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.repeats: list[Group] = []
        self.checks_left = CHECKS
        self.interned: dict[Any, int] = {s: s for s in range(max(program.signatures, default=0) + 1)}

    def collapse(self, group: Group) -> None:
        signatures = self.program.signatures
        items = group.items
        word = np.array([signatures[x] if isinstance(x, int) else x.signature for x in items], np.int64)
        group.signature = self._signature(group, word)
        for _ in range(PASSES):
            before = len(items)
            items, word = self._every_period(group, items, word)
            if len(items) == before:
                break
        group.items = items

    def _signature(self, group: Group, word: Array) -> int:
        wiring = self.program.wiring(np.array([group.start]), group.unit)
        key = (group.count, word.tobytes(), wiring.tobytes())
        return self.interned.setdefault(key, len(self.interned))

    def _every_period(self, group: Group, items: list[Item], word: Array) -> tuple[list[Item], Array]:
        period = 1
        while period <= min(len(items) // 2, LONGEST_PERIOD, max(32, COMPARISONS // max(len(items), 1))):
            differs = np.flatnonzero(word[:-period] != word[period:])
            edges = np.concatenate(([-1], differs, [len(word) - period]))
            found: list[tuple[int, int]] = []
            for k in np.flatnonzero(
                np.diff(edges) > period
            ):  # at least one whole period is equal to the next
                found += self._repetitions(items, int(edges[k]) + 1, int(edges[k + 1]) + period, period)
            if found:
                items, word = self._replace(group, items, word, period, found)
            period += 1
        return items, word

    def _repetitions(self, items: list[Item], begin: int, end: int, period: int) -> list[tuple[int, int]]:
        """(first item, count) of what repeats among items begin:end, whose signatures have this period.

        Where the length is not a multiple of the period there is a choice of where to begin: the one that hands the
        fewest values from one repetition to the next shows the pattern as it was written.
        """
        modules = any(isinstance(item, Group) for item in items[begin : begin + period])
        length = start_of(items[begin + period]) - start_of(items[begin])
        if not _worth((end - begin) // period, length, modules):
            return []
        best: tuple[int, int, list[tuple[int, int]]] | None = None
        for phase in range(min((end - begin) % period, 16) + 1):
            first = begin + phase
            starts = np.array([start_of(items[j]) for j in range(first, end - period + 1, period)])
            self.checks_left -= len(starts) * length
            if self.checks_left < 0:
                break
            rows = self.program.wiring(starts, length)
            differs = np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1))
            edges = [-1, *differs.tolist(), len(starts) - 1]
            runs = [(first + (a + 1) * period, b - a) for a, b in pairwise(edges)]
            runs = [(item, count) for item, count in runs if _worth(count, length, modules)]
            covered = sum(count for _, count in runs)
            handed = self._handed_on(int(starts[1]), length)
            if runs and (best is None or (covered, -handed) > best[:2]):
                best = (covered, -handed, runs)
        return best[2] if best else []

    def _handed_on(self, start: int, length: int) -> int:
        """How many values of the stretch before are read by this one."""
        program = self.program
        slots = program.slot_source[program.first_slot[start] : program.first_slot[start + length]]
        return len(np.unique(slots[(slots >= start - length) & (slots < start)]))

    def _replace(
        self, group: Group, items: list[Item], word: Array, period: int, found: list[tuple[int, int]]
    ) -> tuple[list[Item], Array]:
        kept: list[Item] = []
        letters: list[Array] = []
        done = 0
        for first, count in found:
            kept += items[done:first]
            letters.append(word[done:first])
            done = first + count * period
            repeat = Group("", "", start_of(items[first]), group)
            repeat.count = count
            repeat.items = items[first : first + period]
            repeat.last = items[done - period : done]
            repeat.stop = start_of(items[done]) if done < len(items) else group.stop
            for item in repeat.items:
                if isinstance(item, Group):
                    item.parent = repeat
            repeat.signature = self._signature(repeat, word[first : first + period])
            letters.append(np.array([repeat.signature]))
            kept.append(repeat)
            self.repeats.append(repeat)
        return [*kept, *items[done:]], np.concatenate([*letters, word[done:]])


def _worth(count: int, length: int, modules: bool) -> bool:
    """Whether showing one of `count` equal stretches of `length` operations is easier to read than showing all."""
    if modules:
        return count >= 3 or (count == 2 and length >= 6)
    return count >= 3 and count * length >= 12
