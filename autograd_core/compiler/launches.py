"""Operations with kernels of their own: what their forward function launches, taken down to be launched without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from autograd_core.compiler.graph import Call, Graph, Kernels, Node, Taken, Value, View, whole
from autograd_core.compiler.symbol import Unlowerable
from autograd_core.kernels.launch import traced
from autograd_core.kernels.transcript import Memory, OutsideKernels, taken_down


class Launches:
    """Takes down the launches of operations; knows the memory of all of them, since one may read another's."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.memory = Memory()
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
        return Kernels(ending.out, node.origin, make(ending.out), call, node.inputs, ending.origin)

    def _taken_down(self, call: Call, arrays: list[Any]) -> tuple[Any, Callable[[Value], Any]]:
        """What the operation gives, and a function of its value in the graph that tells what it launches."""
        with traced() as trace:
            out = np.asarray(call.primitive.forward(*arrays, **call.params))
        if not trace.steps or not out.flags.c_contiguous:
            raise Unlowerable("it launches no kernels")

        def make(value: Value) -> Taken:
            self.memory.know(out, value)
            given = iter(call.inputs)
            for array in arrays:
                if isinstance(array, np.ndarray):
                    self.memory.know(array, next(given).value)
            scratch: list[Value] = []
            for each in trace.scratch:
                memory = self.graph.value((each.nbytes,), np.dtype(np.uint8))
                memory.node = call
                scratch.append(memory)
                self.memory.know(each, memory)
            try:
                launches, kept = taken_down(trace.steps, self.memory, self.found)
            except OutsideKernels:
                raise Unlowerable("it computes something outside its kernels") from None
            own = {value, *scratch, *(view.value for view in call.inputs)}
            others = dict.fromkeys(s.owner for each in launches for s in each.stretches if s.owner not in own)
            return Taken(launches, kept, scratch, tuple(map(whole, others)))

        self.kept += [out, *arrays, *trace.scratch]
        return out, make
