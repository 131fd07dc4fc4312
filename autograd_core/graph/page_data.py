"""What the interactive page knows of a computation, as lists and numbers that become JSON.

Operations stand in the order of the program, so that every group is a stretch of them. Of repetitions only the first
is there; figures of the others are added to it. Texts are numbered: most occur often. Nothing depends on addresses,
counters or the clock, so that two runs of one program give the same bytes.
"""

import math
from collections.abc import Iterable, Set
from typing import Any

import numpy as np

from autograd_core.dtypes import Array
from autograd_core.graph import labels
from autograd_core.graph.columns import Column, bytes_of, cotangent_of, read_by, saved_bytes
from autograd_core.graph.groups import Group, Item, start_of
from autograd_core.graph.model import Arranged, Merged, holds
from autograd_core.graph.page_figures import Statistics, gather
from autograd_core.lines import shown_line
from autograd_core.observer import seen_of
from autograd_core.wording import clean

MOST_OPERATIONS = (
    20_000  # from here on the middle of the program is left out: some megabytes, a second to open
)
MOST_SOURCES = 20_000
NAMES_OF_ONE_SOURCE = 64  # twins of a repetition whose own names can be found


def page_data(
    arranged: Arranged,
    columns: Iterable[Column],
    bad: Set[int],
    bad_sources: Set[int],
    without_gradient: Set[int],
) -> dict[str, Any]:
    """The page's data; `bad` holds positions of operations, the sets after it indices into program.sources."""
    return _Writer(arranged).data(columns, bad, bad_sources, without_gradient)


class _Writer:
    def __init__(self, arranged: Arranged) -> None:
        self.arranged = arranged
        self.program = arranged.program
        self.strings: dict[str, int] = {}
        self.groups: list[list[Any]] = []
        self.written: list[Group] = []
        self.index_of: dict[int, int] = {}  # id(group) → its place among those written
        self.operations: list[tuple[int, int, Group]] = []  # start, stop (more than one: left out), where
        self.number = np.full(len(self.program.operations), -1, np.int64)
        shown = np.unique(arranged.shown)
        half = MOST_OPERATIONS // 2
        few = len(shown) <= MOST_OPERATIONS
        self.omitted = (0, 0) if few else (int(shown[half]), int(shown[-half]))
        self._walk()
        self.twins = self.number[arranged.shown]  # for every operation of the program the one written for it
        self.counts = np.bincount(self.twins, minlength=len(self.operations))
        self.merged, self.dropped = self._sources()

    def text(self, text: str) -> int:
        return self.strings.setdefault(text, len(self.strings))

    def data(
        self, columns: Iterable[Column], bad: Set[int], bad_sources: Set[int], without_gradient: Set[int]
    ) -> dict[str, Any]:
        forward, handed_on = self._edges()
        operations = self._operations()
        sources = [self._source(m, bad_sources, without_gradient) for m in self.merged]
        return {
            "caption": self.arranged.caption(),
            "note": self._note(),
            "groups": self.groups,
            "operations": operations,
            "sources": sources,
            "edges": forward,
            "handedOn": handed_on,
            "overlays": {c.name: self._overlay(c) for c in columns if c.operations or c.sources},
            "bad": sorted({(int(self.twins[i]), self._repetition(i)) for i in bad}),
            "strings": list(self.strings),
        }

    def _note(self) -> str:
        left_out = sum(stop - start for start, stop, _ in self.operations if stop - start > 1)
        parts = []
        if left_out:
            parts.append(f"{labels.count_of(left_out, 'operation')} from the middle")
        if self.dropped:
            parts.append(f"{self.dropped:,} parameters, inputs or arrays")
        return f"Left out of this page to keep it small: {' and '.join(parts)}." if parts else ""

    # Groups ----------------------------------------------------------------------------------------------------------

    def _walk(self) -> None:
        """Number groups and operations, depth first with an explicit stack."""
        todo = [(self._open(self.arranged.root, -1), iter(self._kept(self.arranged.root)))]
        while todo:
            index, items = todo[-1]
            item = next(items, None)
            record = self.groups[index]
            if item is None:
                record[5] = len(self.operations)
                todo.pop()
            elif isinstance(item, Group):
                inner = self._open(item, index)
                record[6].append(-inner)
                todo.append((inner, iter(self._kept(item))))
            else:
                record[6].append(len(self.operations))
                start, stop = item
                self.number[start:stop] = len(self.operations)
                self.operations.append((start, stop, self.written[index]))

    def _open(self, group: Group, parent: int) -> int:
        title, subtitle = labels.group_title(group, self.program) if parent >= 0 else ("", "")
        index = len(self.groups)
        self.index_of[id(group)] = index
        self.written.append(group)
        last = self.program.operations[group.stop - 1] if group.stop else None
        made = labels.array_type(last.dtype, last.shape) if last else ""
        record = [self.text(title), self.text(subtitle), parent, group.count, len(self.operations), 0, []]
        self.groups.append([*record, group.stop - group.start, self.text(made)])
        return index

    def _kept(self, group: Group) -> Iterable[Group | tuple[int, int]]:
        """The items; instead of those left out (start, stop) of each stretch."""
        low, high = self.omitted
        begun = -1
        for item in group.items:
            start = start_of(item)
            if low <= start and start + _unit(item) <= high:
                begun = start if begun < 0 else begun
                continue
            if begun >= 0:
                yield begun, start
                begun = -1
            yield item if isinstance(item, Group) else (item, item + 1)
        if begun >= 0:
            yield begun, group.start + group.unit

    # Operations ------------------------------------------------------------------------------------------------------

    def _operations(self) -> dict[str, list[Any]]:
        program, text = self.program, self.text
        rows: list[tuple[Any, ...]] = []
        values, gradients = Statistics(len(self.operations)), Statistics(len(self.operations))
        for node, k in zip(program.operations, self.twins.tolist()):
            seen = seen_of(node)
            if seen is not None:
                values.add(k, seen.value)
                gradients.add(k, seen.cotangent)
        for k, (start, stop, group) in enumerate(self.operations):
            node = program.operations[start]
            path = text(clean(str(node.module_path), 160))
            if stop - start > 1:
                title = f"{labels.count_of(stop - start, 'operation')} left out"
                rows.append((text(title), text(""), text(""), path, text(""), text(""), text(""), 1))
                continue
            details = labels.operation_details(node, program.operations[self._last_twin(start, group)], True)
            details += ["… goes on"] if start in program.going_on else []
            seen = seen_of(node)
            line = clean(shown_line(seen.line), 160) if seen is not None and seen.line[1] else ""
            type_ = labels.array_type(node.dtype, node.shape)
            rows.append((
                text(labels.operation_name(node)), text(type_), text("\n".join(details)), path, text(line),
                text(clean(program.names.of(node))), text(self._instructions(k)), 0,
            ))  # fmt: skip
        names = ("name", "type", "details", "path", "line", "called", "instructions", "omitted")
        columns: dict[str, list[Any]] = {key: [row[j] for row in rows] for j, key in enumerate(names)}
        columns["count"] = self.counts.tolist()
        columns["bytes"] = self._sums(enumerate(map(bytes_of, program.operations))).tolist()
        columns["saved"] = self._sums(saved_bytes(program).items()).tolist()
        columns["values"] = values.rows()
        columns["gradients"] = gradients.rows()
        columns["outputs"] = sorted({int(self.twins[i]) for i in program.outputs})
        return columns

    def _instructions(self, k: int) -> str:
        """Which instructions of a compiled program compute an operation, and its twins."""
        if not self.program.instructions:
            return ""
        return labels.instructions(self.program, np.flatnonzero(self.twins == k).tolist())

    def _last_twin(self, start: int, group: Group | None) -> int:
        while group is not None:
            if group.count > 1:
                return start + group.unit * (group.count - 1)
            group = group.parent
        return start

    def _repetition(self, i: int) -> str:
        """Where an operation is when only its twin in the first repetition is shown."""
        start, stop, group = self.operations[int(self.twins[i])]
        if i == start or stop - start > 1:
            return ""
        outer: Group | None = group
        while outer is not None and not (outer.count > 1 and outer.start <= i < outer.stop):
            outer = outer.parent
        return f"repetition {(i - outer.start) // outer.unit + 1:,} of {outer.count:,}" if outer else ""

    def _edges(self) -> tuple[list[int], list[int]]:
        """Pairs (from, to), one after the other; apart those from one repetition to the next."""
        program, shown = self.program, self.arranged.shown
        recorded = program.slot_source >= 0
        source, target = shown[program.slot_source[recorded]], shown[program.slot_target[recorded]]
        back = source >= target  # time runs forward: this one goes from a repetition to a later one
        pairs = np.stack([self.number[source], self.number[target]], axis=1)
        apart = pairs[:, 0] != pairs[:, 1]
        single = np.array([stop - start == 1 for start, stop, _ in self.operations], bool)
        again = back & single[pairs[:, 0]] & single[pairs[:, 1]]
        forward = pairs[apart & ~back & (pairs[:, 0] < pairs[:, 1])]
        return _unique(forward), _unique(pairs[again])

    # Sources ---------------------------------------------------------------------------------------------------------

    def _sources(self) -> tuple[list[Merged], int]:
        single = {k for k, (start, stop, _) in enumerate(self.operations) if stop - start == 1}
        kept = [
            m
            for m in self.arranged.merged
            if not m.uses or any(int(self.number[i]) in single for i, _ in m.uses)
        ]
        kept = kept[:MOST_SOURCES]
        return kept, len(self.arranged.merged) - len(kept)

    def _source(self, m: Merged, bad: Set[int], without_gradient: Set[int]) -> dict[str, Any]:
        sources = m.sources
        readers = sorted({int(self.number[i]) for i, _ in m.uses})
        home: Group = self.arranged.root
        if readers and not m.given:
            home = self.operations[readers[0]][2]
            while home.parent is not None and not holds(home, m.first, m.last):
                home = home.parent
        types = dict.fromkeys(labels.array_type(s.dtype, s.shape) for s in sources)
        names = list(dict.fromkeys(clean(s.name, 160) for s in sources if s.name))
        values, gradients = Statistics(1), Statistics(1)
        for s in sources:
            values.add(0, read_by(self.program, s))
            gradients.add(0, cotangent_of(self.program, s))
        places = self.arranged.place_of
        record: dict[str, Any] = {
            "kind": sources[0].kind,
            "title": labels.source_title(sources),
            "type": " … ".join(types),
            "names": names[:NAMES_OF_ONE_SOURCE],
            "count": len(sources),
            "size": sum(math.prod(s.shape) for s in sources),
            "bytes": sum(bytes_of(s) for s in sources),
            "home": self.index_of[id(home)],
            "readers": readers,
        }
        record |= {k: v for k, v in (("values", values.row(0)), ("gradients", gradients.row(0))) if v}
        if lacking := sum(places[id(s)] in without_gradient for s in sources):
            record["withoutGradient"] = lacking
        if any(places[id(s)] in bad for s in sources):
            record["bad"] = 1
        return record

    # Figures ---------------------------------------------------------------------------------------------------------

    def _overlay(self, column: Column) -> dict[str, Any]:
        places = self.arranged.place_of
        own: list[tuple[int, float]] = []
        for k, m in enumerate(self.merged):
            own += [(k, column.sources[at]) for s in m.sources if (at := places[id(s)]) in column.sources]
        made = ((int(self.twins[i]), v) for i, v in column.operations.items())
        return {
            "unit": column.unit,
            "sum": column.adds,
            "operations": gather(made, len(self.operations), column.adds),
            "sources": gather(own, len(self.merged), column.adds),
        }

    def _sums(self, values: Iterable[tuple[int, int]]) -> Array:
        sums = np.zeros(len(self.operations), np.int64)
        for i, value in values:
            sums[self.twins[i]] += value
        return sums


def _unique(pairs: Array) -> list[int]:
    return np.unique(pairs, axis=0).reshape(-1).tolist() if len(pairs) else []


def _unit(item: Item) -> int:
    return item.unit if isinstance(item, Group) else 1
