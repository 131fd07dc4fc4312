"""Looking on: what the tape does not keep, kept for pictures, autopsies and profiles.

An observer sees every operation and every derivative rule of its thread while its context lasts. `observe` keeps
values, source lines and cotangents on the nodes; `profile` (profiler.py) takes times. Without one nothing is paid
but a look at a counter.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ContextDecorator
from types import TracebackType
from typing import Any, Self

import numpy as np

from autograd_core.lines import calling_line
from autograd_core.sweep import pull_back
from autograd_core.tape import Node, Static, Value, apply, array_of, count_observers, state


class Observer(ContextDecorator):
    """A context whose `note` and `note_derivative` are called for everything that runs in it. Contexts nest."""

    outer: Observer | None = None

    def __enter__(self) -> Self:
        self.outer, state.observer = state.observer, self
        count_observers(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        count_observers(-1)
        state.observer = self.outer

    def operation(self, primitive: Any, args: Sequence[Any], params: Static) -> Any:
        """Run an operation and tell all observers of it."""
        state.observer = None
        try:
            began = time.perf_counter()
            result = apply(primitive, args, params)
            ended = time.perf_counter()
        finally:
            state.observer = self
        looking: Observer | None = self
        while looking is not None:
            looking.note(primitive, args, result, began, ended)
            looking = looking.outer
        return result

    def derivative(self, node: Node, g: Any, oldest: int, as_tensors: bool) -> list[tuple[Node, Any]]:
        """Run a node's derivative rules and tell all observers of them."""
        began = time.perf_counter()
        shares = pull_back(node, g, oldest, as_tensors)
        ended = time.perf_counter()
        looking: Observer | None = self
        while looking is not None:
            looking.note_derivative(node, g, shares, began, ended)
            looking = looking.outer
        return shares

    def note(self, primitive: Any, args: Sequence[Any], result: Value, began: float, ended: float) -> None:
        """An operation has run; times are time.perf_counter()'s, in seconds."""

    def note_derivative(
        self, node: Node, g: Any, shares: list[tuple[Node, Any]], began: float, ended: float
    ) -> None:
        """A node's derivative rules have run: `g` is its cotangent, `shares` what its inputs get of it."""


class Seen:
    """What an observer kept of one operation, on `Node.seen`."""

    __slots__ = ("cotangent", "inputs", "line", "seconds", "seconds_back", "shares", "value")

    def __init__(self, value: Any, inputs: tuple[Any, ...], line: tuple[str, int], seconds: float) -> None:
        self.value = value  # the result, an array
        self.inputs = inputs  # arrays and numbers; of a leaf none
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
        inputs = tuple(array_of(a) if isinstance(a, Value | np.ndarray | list) else a for a in args)
        node.seen = Seen(result.array, inputs, line, ended - began)
        for parent, array in zip(node.inputs, inputs):
            if parent is not None and parent.primitive is None:
                parent.seen = Seen(array, (), line, 0.0)

    def note_derivative(
        self, node: Node, g: Any, shares: list[tuple[Node, Any]], began: float, ended: float
    ) -> None:
        seen = getattr(node, "seen", None)
        if seen is None:
            seen = node.seen = Seen(None, (), ("", 0), 0.0)
        seen.cotangent = array_of(g)
        seen.shares = [(parent, array_of(share)) for parent, share in shares]
        seen.seconds_back += ended - began
        for parent, share in seen.shares:
            if parent.primitive is None:
                kept = getattr(parent, "seen", None)
                if kept is None:
                    kept = parent.seen = Seen(None, (), ("", 0), 0.0)
                kept.cotangent = share if kept.cotangent is None else kept.cotangent + share


def seen_of(node: Node) -> Seen | None:
    """What an observer kept of a node."""
    return getattr(node, "seen", None)
