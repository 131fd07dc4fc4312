"""What a profile counts, and how it is added up: by operation, by module, by line of the program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from autograd_core.graph.groups import segments


@dataclass(slots=True)
class Cost:
    """Time, calls and memory traffic of something.

    >>> Cost(0.5, 1) + Cost(0.25, 2, read=8)
    Cost(seconds=0.75, calls=3, read=8, written=0)
    """

    seconds: float = 0.0
    calls: int = 0
    read: int = 0  # bytes
    written: int = 0  # bytes

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.seconds + other.seconds,
            self.calls + other.calls,
            self.read + other.read,
            self.written + other.written,
        )

    def add(self, seconds: float, calls: int, read: int, written: int) -> None:
        """The same in place."""
        self.seconds += seconds
        self.calls += calls
        self.read += read
        self.written += written


class Place(NamedTuple):
    """What costs are kept by: an operation in a module, in one of the two passes, from a line of the program."""

    name: str
    compiled: bool
    path: str
    backward: bool
    line: tuple[str, int]


@dataclass(slots=True)
class _Both:
    """The two passes, and what they have in common."""

    forward: Cost = field(default_factory=Cost)
    backward: Cost = field(default_factory=Cost)

    @property
    def total(self) -> Cost:
        return self.forward + self.backward

    @property
    def seconds(self) -> float:
        return self.forward.seconds + self.backward.seconds

    def count(self, place: Place, cost: Cost) -> None:
        """Add the cost to the pass in which it arose."""
        mine = self.backward if place.backward else self.forward
        mine.add(cost.seconds, cost.calls, cost.read, cost.written)


@dataclass(slots=True)
class Operation(_Both):
    """All calls of an operation, or of a loop of a compiled program: in the forward pass and in the backward pass."""

    name: str = ""
    compiled: bool = False
    path: str = ""  # the module and the line where most of the time went
    line: tuple[str, int] = ("", 0)


@dataclass(slots=True)
class Module(_Both):
    """What a module's own operations cost. `children` are inside it; `forward_total`, `backward_total` include them."""

    name: str = ""  # as its parent calls it: "blocks.0"
    kind: str = ""  # its class, where that is known
    names: tuple[str, ...] = ()  # from the outermost module to this one
    children: list[Module] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)  # its own, by time
    forward_total: Cost = field(default_factory=Cost)
    backward_total: Cost = field(default_factory=Cost)

    @property
    def path(self) -> str:
        return ".".join(self.names)

    @property
    def depth(self) -> int:
        return len(self.names) - 1

    @property
    def total(self) -> Cost:
        """With all modules inside."""
        return self.forward_total + self.backward_total


@dataclass(slots=True)
class Line(_Both):
    """What a line of the program cost, by its operations and by their derivatives."""

    file: str = ""
    number: int = 0


Costs = Mapping[Place, Cost]


def by_operation(costs: Iterable[tuple[Place, Cost]]) -> list[Operation]:
    """One row for each operation, the slowest first."""
    found: dict[tuple[str, bool], Operation] = {}
    slowest: dict[tuple[str, bool], dict[tuple[str, tuple[str, int]], float]] = {}
    for place, cost in costs:
        key = (place.name, place.compiled)
        row = found.get(key)
        if row is None:
            row = found[key] = Operation(name=place.name, compiled=place.compiled)
            slowest[key] = {}
        row.count(place, cost)
        where = slowest[key]
        where[place.path, place.line] = where.get((place.path, place.line), 0.0) + cost.seconds
    for key, row in found.items():
        row.path, row.line = max(slowest[key].items(), key=lambda each: each[1])[0]
    return sorted(found.values(), key=lambda row: -row.seconds)


def by_line(costs: Iterable[tuple[Place, Cost]]) -> list[Line]:
    """One row for each line of the program, the slowest first; lines that are not known are left out."""
    found: dict[tuple[str, int], Line] = {}
    for place, cost in costs:
        file, number = place.line
        if file:
            found.setdefault(place.line, Line(file=file, number=number)).count(place, cost)
    return sorted(found.values(), key=lambda row: -row.seconds)


def by_module(costs: Costs, paths: Mapping[str, str]) -> tuple[Module, list[Module]]:
    """The root, which has no name and holds what belongs to no module, and all modules, parents before children.

    `paths` gives each path as the modules gave it, with their classes; siblings stand in the order of their first call.
    """
    root = Module()
    known: dict[tuple[str, ...], Module] = {(): root}
    own: dict[int, list[tuple[Place, Cost]]] = {}
    for place, cost in costs.items():
        names, kinds = segments(paths.get(place.path, place.path))
        for depth in range(1, len(names) + 1):
            key = tuple(names[:depth])
            if key not in known:
                known[key] = made = Module(name=key[-1], kind=kinds[depth - 1], names=key)
                known[key[:-1]].children.append(made)
        module = known[tuple(names)]
        module.count(place, cost)
        own.setdefault(id(module), []).append((place, cost))
    order: list[Module] = []
    left = [root]
    while left:  # a path may be deeper than Python's stack is high
        module = left.pop()
        order.append(module)
        left += reversed(module.children)
    for module in reversed(order):
        module.operations = by_operation(own.get(id(module), ()))
        module.forward_total = sum((c.forward_total for c in module.children), Cost()) + module.forward
        module.backward_total = sum((c.backward_total for c in module.children), Cost()) + module.backward
    return root, order[1:]
