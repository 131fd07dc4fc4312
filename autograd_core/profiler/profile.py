"""The observer that takes times."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np

from autograd_core.lines import calling_line
from autograd_core.observer import Observer
from autograd_core.profiler import costs
from autograd_core.profiler.costs import Cost, Line, Module, Operation, Place
from autograd_core.profiler.rows import Row, described
from autograd_core.tape import Node, Value, state

MOST_EVENTS = 200_000  # that a trace shows; tables and picture count all of them
_MOST_LINES = 500_000  # nodes whose line is remembered until their derivative comes
_NOWHERE = ("", 0)
_ARRAYS = (np.ndarray, np.generic)


@dataclass(slots=True)
class Event:
    """Something that ran, for the trace. Times are seconds without what observers took, contexts end to end."""

    name: str
    kind: str  # "operation", "derivative", "row", "program" or "compiling"
    backward: bool
    path: Any
    line: tuple[str, int]
    start: float
    end: float
    level: int  # inside how many others it ran
    read: int = 0
    written: int = 0
    shapes: tuple[Any, ...] = ()  # (dtype, shape) of the result, then of the inputs


class Profile(Observer):
    """Times, calls and bytes of everything that its thread computes in the context. Made by `autograd_core.profile`.

    It may be entered again, and be a decorator: what is measured adds up. An exception ends the context, and what was
    measured until then stays. It sees the thread that entered it; another one may enter it when that one has left.
    """

    by_rows = True

    def __init__(self) -> None:
        self.contexts = 0
        self.captures = 0
        self.replays: Counter[str] = Counter()  # by the compiled function's name
        self.events: list[Event] = []
        self.missed = 0  # events that the trace has no room for
        self.own_seconds = 0.0  # what this and other observers took; counted nowhere else
        self.compiling_seconds = 0.0
        self._costs: dict[Place, Cost] = {}
        self._paths: dict[str, Any] = {}
        self._lines: dict[int, tuple[str, int]] = {}  # by a node's index
        self._rows: WeakKeyDictionary[Any, list[Row]] = WeakKeyDictionary()
        self._inside: list[tuple[float, float, float, float]] = []  # began, looked, start, end of what ended
        self._depth = 0
        self._thread = 0
        self._seconds = 0.0  # of the contexts that have ended
        self._entered = self._looked = 0.0

    # The context ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        thread = threading.get_ident()
        if self._depth and thread != self._thread:
            raise RuntimeError("profile: it looks on in another thread: make one profile for each thread")
        self._depth += 1
        if self._depth == 1:
            self._thread = thread
            self.contexts += 1
            super().__enter__()
            self._inside.clear()
            self._looked, self._entered = state.looked, time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._depth == 1:
            self._seconds, ended = self.seconds, state.looked - self._looked
            self.own_seconds += ended
            super().__exit__(kind, error, trace)
            self._lines.clear()
        self._depth -= 1

    @property
    def seconds(self) -> float:
        """Of all contexts together, without the profiler's own."""
        return self._seconds + (self._at(time.perf_counter(), state.looked) if self._depth else 0.0)

    def _at(self, moment: float, looked: float) -> float:
        """Seconds since the context began that observers did not take."""
        return moment - self._entered - (looked - self._looked)

    # What it is told --------------------------------------------------------------------------------------------

    def note(self, primitive: Any, args: Sequence[Any], result: Value, began: float, ended: float) -> None:
        out, node, line = result.array, result.node, calling_line()
        arrays = [a.array if isinstance(a, Value) else a for a in args if isinstance(a, Value | np.ndarray)]
        if node is not None and node.primitive is primitive:
            self._remember(node.index, line)
        read, written = 0, 0
        if not _is_view(out, arrays):
            read, written = sum(a.nbytes for a in arrays), out.nbytes
        shapes = tuple((a.dtype, a.shape) for a in (out, *arrays))
        event = Event(
            primitive.name, "operation", state.deriving, state.module_path, line, 0.0, 0.0, state.within,
            read, written, shapes,
        )  # fmt: skip
        self._count(event, self._ended(event, began, ended))

    def note_derivative(
        self, node: Node, g: Any, shares: list[tuple[Node, Any]], began: float, ended: float
    ) -> None:
        line = self._lines.get(node.index) or calling_line()
        given = g.array if isinstance(g, Value) else g
        made = [share.array if isinstance(share, Value) else share for _, share in shares]
        own = [array for array in made if not _is_view(array, [given])]
        read = given.nbytes + sum(a.nbytes for a in node.saved or () if isinstance(a, _ARRAYS)) if own else 0
        name = node.primitive.name if node.primitive else "leaf"
        event = Event(
            name, "derivative", True, node.module_path, line, 0.0, 0.0, state.within,
            read, sum(a.nbytes for a in own), tuple((a.dtype, a.shape) for a in (*made, given)),
        )  # fmt: skip
        self._count(event, self._ended(event, began, ended))

    def note_instruction(self, variant: Any, row: int, began: float, ended: float) -> None:
        rows = self._rows.get(variant)
        if rows is None:
            rows = self._rows[variant] = described(variant)
        known = rows[row]
        main = known.parts[0]
        event = Event(
            known.name, "row", main.backward, main.path, main.line, 0.0, 0.0, state.within,
            known.read, known.written, known.shapes,
        )  # fmt: skip
        seconds = self._ended(event, began, ended)
        read, written = known.read, known.written
        for part in known.parts[:0:-1]:
            r, w = int(known.read * part.share), int(known.written * part.share)
            read, written = read - r, written - w
            place = self._place(known.name, True, part.path, part.backward, part.line)
            self._cost(place).add(seconds * part.share, 0, r, w)
        # The call counts, and what rounding leaves, for the largest part.
        place = self._place(known.name, True, main.path, main.backward, main.line)
        self._cost(place).add(seconds * main.share, 1, read, written)

    def note_program(self, variant: Any, began: float, ended: float) -> None:
        self.replays[variant.name] += 1
        path = state.module_path
        event = Event(
            f"compiled {variant.name}", "program", False, path, calling_line(), 0.0, 0.0, state.within
        )
        self._ended(event, began, ended)  # what its rows do not explain is Python

    def note_compiled(self, variant: Any, began: float, ended: float) -> None:
        self.captures += 1
        line = calling_line()
        event = Event(f"compiling {variant.name}", "compiling", False, "", line, 0.0, 0.0, state.within)
        self.compiling_seconds += self._ended(event, began, ended)

    def _ended(self, event: Event, began: float, ended: float) -> float:
        """Date the event; its seconds without what ran inside it and was an event of its own."""
        looked, inner = state.looked, 0.0
        end = self._seconds + self._at(ended, looked)
        inside = self._inside
        while inside and inside[-1][0] >= began:
            _, looked, start, stop = inside.pop()
            inner += stop - start
        # As it began, observers had taken what they had taken when the first one inside it began.
        start = self._seconds + self._at(began, looked)
        if event.level:
            inside.append((began, looked, start, end))
        else:
            inside.clear()
        event.start, event.end = start, end
        if len(self.events) < MOST_EVENTS:
            self.events.append(event)
        else:
            self.missed += 1
        return max(end - start - inner, 0.0)

    def _count(self, event: Event, seconds: float) -> None:
        place = self._place(event.name, False, event.path, event.backward, event.line)
        self._cost(place).add(seconds, 1, event.read, event.written)

    def _place(self, name: str, compiled: bool, path: Any, backward: bool, line: tuple[str, int]) -> Place:
        if path not in self._paths:
            self._paths[str(path)] = path
        return Place(name, compiled, path, backward, line)

    def _cost(self, place: Place) -> Cost:
        cost = self._costs.get(place)
        if cost is None:
            cost = self._costs[place] = Cost()
        return cost

    def _remember(self, index: int, line: tuple[str, int]) -> None:
        lines = self._lines
        lines[index] = line
        if len(lines) > _MOST_LINES:
            del lines[next(iter(lines))]

    # What it found ----------------------------------------------------------------------------------------------

    @property
    def operations(self) -> list[Operation]:
        """One for each operation, the slowest first."""
        return costs.by_operation(self._costs.items())

    @property
    def modules(self) -> list[Module]:
        """All modules, parents before their children."""
        return self.tree()[1]

    @property
    def lines(self) -> list[Line]:
        """The program's lines, the slowest first."""
        return costs.by_line(self._costs.items())

    def tree(self) -> tuple[Module, list[Module]]:
        """The root, which holds what belongs to no module, and all modules, parents before their children."""
        return costs.by_module(self._costs, self._paths)

    @property
    def explained(self) -> float:
        """Seconds that operations took."""
        return sum(cost.seconds for cost in self._costs.values())

    @property
    def unexplained(self) -> float:
        """Seconds between operations: Python, leaves' gradients, the optimizer's update, data."""
        return max(self.seconds - self.explained - self.compiling_seconds, 0.0)

    def __str__(self) -> str:
        from autograd_core.profiler.text import report

        return report(self)

    def _repr_html_(self) -> str:
        from autograd_core.profiler.text import html

        return html(self)

    def save(self, path: str | Path) -> None:
        """Write a file: `.svg`, a picture; `.json`, a trace for Perfetto (ui.perfetto.dev); `.txt`, the tables.

        ValueError for other endings.
        """
        from autograd_core.profiler import picture, trace

        kinds = {".svg": picture.svg, ".json": trace.trace, ".txt": lambda profile: f"{profile}\n"}
        write = kinds.get(Path(path).suffix.lower())
        if write is None:
            raise ValueError(
                f"profile: {str(path)!r} ends in none of .svg (a picture), .json (a trace), .txt (tables)"
            )
        Path(path).write_text(write(self), encoding="utf-8")


def _is_view(out: Any, of: Sequence[Any]) -> bool:
    """Whether an array shows another's memory, so that nothing was moved."""
    if any(out is a for a in of):
        return True
    base = getattr(out, "base", None)
    return base is not None and any(base is a or base is a.base for a in of)
