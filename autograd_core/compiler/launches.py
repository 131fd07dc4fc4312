"""Operations with kernels of their own: what their forward function launches, taken down to be launched without it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from autograd_core.compiler.graph import Call, Graph, Kernels, Launched, Node, Stretch, Value, View
from autograd_core.compiler.symbol import Unlowerable
from autograd_core.kernels.launch import Check, Constants, Launch, address_of, traced, words_of
from autograd_core.kernels.replay import is_set, not_finite


class Launches:
    """Takes down the launches of operations; knows the memory of all of them, since one may read another's."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.starts: list[int] = []  # of the known stretches of memory, ascending
        self.ends: list[int] = []
        self.values: list[Value] = []
        self.kept: list[Any] = []
        self.arguments: dict[Value, list[Any]] = {}  # of the operations, by result
        self.found = np.zeros(1, np.int64)  # where checks write

    def lowered(self, call: Call, arrays: list[Any]) -> View:
        """The operation as kernels. `arrays` are its arguments, of which `call` knows what they are in the graph."""
        out, make = self._taken_down(call, arrays)
        view = self.graph.kernels(make, call, out, call.inputs)
        self.arguments[view.value] = arrays
        return view

    def ended(self, node: Kernels, primitive: Any, ending: Node) -> Kernels:
        """The node by a primitive that does what `ending` does too before it stores its result."""
        call = replace(node.call, primitive=primitive, out=ending.out)
        _, make = self._taken_down(call, self.arguments[node.out])
        launches, kept = make(ending.out)
        return Kernels(ending.out, node.origin, launches, kept, call, node.inputs, ending.origin)

    def _taken_down(self, call: Call, arrays: list[Any]) -> tuple[Any, Callable[[Value], Any]]:
        """What the operation gives, and a function of that in the graph: what it launches, and what must be kept."""
        with traced() as trace:
            out = np.asarray(call.primitive.forward(*arrays, **call.params))
        if not trace.steps or not out.flags.c_contiguous:
            raise Unlowerable("it launches no kernels")

        def make(value: Value) -> tuple[list[Launched], list[Any]]:
            self._know(out, value)
            given = iter(call.inputs)
            for array in arrays:
                if isinstance(array, np.ndarray):
                    self._know(array, next(given).value)
            for each in trace.scratch:
                memory = self.graph.value((each.nbytes,), np.dtype(np.uint8))
                memory.node = call
                self._know(each, memory)
            kept: list[Any] = []
            return [self._step(step, kept) for step in trace.steps], kept

        self.kept += [out, *arrays, *trace.scratch]
        return out, make

    def _know(self, array: Any, value: Value) -> None:
        if not array.nbytes:
            return
        start = address_of(array)
        at = bisect_right(self.starts, start)
        if at and self.starts[at - 1] == start:
            self.values[at - 1], self.ends[at - 1] = value, start + array.nbytes
            return
        self.starts.insert(at, start)
        self.ends.insert(at, start + array.nbytes)
        self.values.insert(at, value)

    def _stretch(self, word: int, array: Any, kept: list[Any]) -> Stretch | None:
        """Where a kernel's array is to be found in the program; None for a table."""
        start = address_of(array)
        at = bisect_right(self.starts, start) - 1
        if at >= 0 and start + array.nbytes <= self.ends[at]:
            return Stretch(word, self.values[at], start - self.starts[at])
        if array.flags.writeable:
            raise Unlowerable("it computes something outside its kernels")
        kept.append(array)
        return None

    def _step(self, step: Launch | Check, kept: list[Any]) -> Launched:
        if isinstance(step, Check):
            kernel = is_set if step.array.dtype == np.uint8 else not_finite
            dtype = np.dtype(np.float64) if kernel is is_set else step.array.dtype
            flat = step.array.reshape(-1)
            block, stretches = self._block(kernel.kinds, (flat, self.found), kept, [self.found])
            return Launched(kernel.name, kernel.compile(dtype).address, block, stretches, 0)
        arguments, rest = step.arguments, []
        if isinstance(arguments[-1], Constants):
            *arguments, last = arguments
            rest = last.words
            kept.append(last)
        block, stretches = self._block(step.kinds, arguments, kept, [])
        return Launched(
            step.name, step.entry, block + rest, stretches, -step.tasks if step.serial else step.tasks
        )

    def _block(
        self, kinds: Any, arguments: Any, kept: list[Any], own: list[Any]
    ) -> tuple[list[int], list[Stretch]]:
        stretches: list[Stretch] = []
        at = 0
        for kind, value in zip(kinds, arguments):
            if kind in ("int", "float"):
                at += 1
                continue
            if not any(value is each for each in own):
                stretch = self._stretch(at, value, kept)
                if stretch is not None:
                    stretches.append(stretch)
            at += 2
        kept += own
        return words_of(kinds, tuple(arguments)), stretches
