"""Looking on: what the tape does not keep, kept for pictures, autopsies and profiles.

An observer sees every operation and every derivative rule of its thread while its context lasts. `observe` keeps
values, source lines and cotangents on the nodes; `profile` (profiler/) takes times. Without one nothing is paid
but a look at a counter.

An observer is its thread's own: what other threads compute meanwhile it does not see.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from autograd_core.contexts import Stepwise
from autograd_core.lines import calling_line
from autograd_core.sweep import pull_back
from autograd_core.tape import Node, Static, Value, apply, array_of, count_observers, operand, state


class Observer(Stepwise):
    """A context whose `note` and `note_derivative` are called for everything that runs in it. Contexts nest.

    One object may be entered again while it looks on, and left in any order: it is told of everything once.
    """

    as_it_stands = False  # compiled functions run uncompiled, so that all their operations are seen
    by_rows = False  # compiled programs run row by row, and `note_instruction` is called for each

    def __enter__(self) -> Self:
        present = state.observer.entered if state.observer is not None else ()
        state.observer = Watch((*present, self))
        count_observers(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        count_observers(-1)
        present = list(state.observer.entered) if state.observer is not None else []
        if self in present:
            present.reverse()
            present.remove(self)  # the innermost
            present.reverse()
        state.observer = Watch(tuple(present)) if present else None

    def note(self, primitive: Any, args: Sequence[Any], result: Value, began: float, ended: float) -> None:
        """An operation has run; times are time.perf_counter()'s, in seconds."""

    def note_derivative(
        self, node: Node, g: Any, shares: list[tuple[Node, Any]], began: float, ended: float
    ) -> None:
        """A node's derivative rules have run: `g` is its cotangent, `shares` what its inputs get of it."""

    def note_instruction(self, variant: Any, row: int, began: float, ended: float) -> None:
        """A row of a compiled function's program has run (with `by_rows`)."""

    def note_program(self, variant: Any, began: float, ended: float) -> None:
        """All of its rows have run (with `by_rows`)."""

    def note_compiled(self, variant: Any, began: float, ended: float) -> None:
        """A function was captured, and its program is made: fused, compiled, given memory."""


class Watch:
    """The observers of a thread: runs what they look at, and tells all of them.

    What they take for themselves adds up in `tape.state.looked`: who takes times subtracts it.
    """

    def __init__(self, entered: tuple[Observer, ...]) -> None:
        self.entered = entered  # in this order, some perhaps more than once
        self.observers = tuple(dict.fromkeys(reversed(entered)))  # the innermost is told first
        self.as_it_stands = any(each.as_it_stands for each in entered)
        self.params: Static = {}  # the static parameters of the operation that is being told of

    def operation(self, primitive: Any, args: Sequence[Any], params: Static) -> Any:
        """Run an operation."""
        state.observer = None
        try:
            began = time.perf_counter()
            result = apply(primitive, args, params)
            ended = time.perf_counter()
        finally:
            state.observer = self
        self.params = params
        for each in self.observers:
            each.note(primitive, args, result, began, ended)
        state.looked += time.perf_counter() - ended
        return result

    def derivative(self, node: Node, g: Any, oldest: int, as_tensors: int) -> list[tuple[Node, Any]]:
        """Run a node's derivative rules."""
        deriving, state.deriving = state.deriving, True
        state.within += 1
        try:
            began = time.perf_counter()
            shares = pull_back(node, g, oldest, as_tensors)
            ended = time.perf_counter()
        finally:
            state.within -= 1
            state.deriving = deriving
        for each in self.observers:
            each.note_derivative(node, g, shares, began, ended)
        state.looked += time.perf_counter() - ended
        return shares

    def program(self, variant: Any, given: list[Any]) -> Any:
        """Replay a compiled function; row by row, if an observer asks for that."""
        if not any(each.by_rows for each in self.observers):
            return variant.replay(given)

        def tell(row: int, began: float, ended: float) -> None:
            for each in self.observers:
                each.note_instruction(variant, row, began, ended)
            state.looked += time.perf_counter() - ended

        state.within += 1
        try:
            began = time.perf_counter()
            arrays = variant.replay(given, tell)
            ended = time.perf_counter()
        finally:
            state.within -= 1
        for each in self.observers:
            each.note_program(variant, began, ended)
        state.looked += time.perf_counter() - ended
        return arrays

    def compiled(self, variant: Any, began: float, ended: float) -> None:
        """A function has been made a program."""
        for each in self.observers:
            each.note_compiled(variant, began, ended)
        state.looked += time.perf_counter() - ended


@contextmanager
def unseen() -> Iterator[None]:
    """Nobody looks on: for sweeps and runs that are not the program's own."""
    before, state.observer = state.observer, None
    try:
        yield
    finally:
        state.observer = before


class Seen:
    """What an observer kept of one operation, on `Node.seen`. Leaves, which outlive their graphs, have none."""

    __slots__ = ("cotangent", "inputs", "line", "seconds", "seconds_back", "shares", "value")

    def __init__(self, value: Any, inputs: tuple[Any, ...], line: tuple[str, int], seconds: float) -> None:
        self.value = value  # the result, an array
        self.inputs = inputs  # arrays and numbers
        self.line = line  # file and number
        self.seconds = seconds
        self.cotangent: Any = None  # once a backward pass came by
        self.shares: list[tuple[Node, Any]] = []
        self.seconds_back = 0.0


class observe(Observer):
    """Keep every value, source line and cotangent of what runs inside: for pictures and autopsies that show them.

    The tape itself keeps only what derivative rules need, and `backward()` frees that. Inside this context all
    results stay in memory for as long as their graph does, and an operation takes some microseconds longer.

    >>> import autograd_core as ag
    >>> x = ag.tensor([1.0, 2.0], requires_grad=True)
    >>> with ag.observe():
    ...     loss = ag.square(x).sum()
    ...     loss.backward()
    >>> square = loss.node.inputs[0]
    >>> square.seen.value
    array([1., 4.], dtype=float32)
    >>> square.seen.cotangent
    array([1., 1.], dtype=float32)
    """

    def note(self, primitive: Any, args: Sequence[Any], result: Value, began: float, ended: float) -> None:
        node = getattr(result, "node", None)
        if node is None or node.primitive is not primitive:
            return
        line = calling_line()
        inputs = tuple(a.array if isinstance(a, Value) else operand(a) for a in args)
        node.seen = Seen(result.array, inputs, line, ended - began)

    def note_derivative(
        self, node: Node, g: Any, shares: list[tuple[Node, Any]], began: float, ended: float
    ) -> None:
        seen = getattr(node, "seen", None)
        if seen is None:
            seen = node.seen = Seen(None, (), ("", 0), 0.0)
        seen.cotangent = array_of(g)
        seen.shares = [(parent, array_of(share)) for parent, share in shares]
        seen.seconds_back += ended - began


def seen_of(node: Node) -> Seen | None:
    """What an observer kept of a node."""
    return getattr(node, "seen", None)
