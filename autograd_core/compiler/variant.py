"""One captured run of a function, as a program: what goes in, what comes out, what is left changed."""

from __future__ import annotations

from typing import Any

from autograd_core import tree
from autograd_core.compiler.capture import Capture, Held
from autograd_core.compiler.graph import Value
from autograd_core.compiler.guards import Guards, Place
from autograd_core.compiler.lower import Lowered
from autograd_core.compiler.program import build
from autograd_core.compiler.replay import Effect, Replay, views_within
from autograd_core.primitive import Plan, Primitive
from autograd_core.tape import Leaf, Node, observer
from autograd_core.tape import Value as TapeValue
from autograd_core.tensor import Tensor


class Variant:
    """A program for one setting of the function."""

    seconds = 0.0  # that capturing and compiling it took
    used = 0  # the number of the call that ran it last

    def __init__(self, function: Any, record: Capture, tensors: list[Any], result: Any) -> None:
        self.name = getattr(function, "__name__", type(function).__name__)
        arguments = {id(tensor): number for number, tensor in enumerate(tensors)}
        changes = list(record.changes())
        outputs = [
            (leaf, record.number_of(leaf)) for leaf in tree.leaves(result) if isinstance(leaf, TapeValue)
        ]
        looked_at = [(t, array) for reference, array in record.looked_at if (t := reference()) is not None]
        grads = [
            (owner, None if before.grad is None else before.grad.array.dtype)
            for owner, before in record.changed()
            if before.grad_read and id(owner) not in arguments
        ]
        self.guards = Guards(function, record.modules.values(), grads, looked_at)
        record.settle(arguments)
        self.guards.tracked = [
            (source.owner, source.owner.node is not None)
            for source in record.sources.values()
            if isinstance(source, Held)
        ]
        pairs: dict[Any, Any] = {}
        for (one, of_one), (other, of_other) in record.shared:
            a, b = Place(one(), of_one), Place(other(), of_other)
            if a.owner is not None and b.owner is not None:
                pairs[id(a.owner), of_one, id(b.owner), of_other] = a, b
        self.guards.shared = list(pairs.values())
        self.operations, self.sources = record.operations, record.sources
        lowered = Lowered(record)
        self.reasons = lowered.reasons
        self.guards.labels = sorted(set(lowered.labels))
        held = {
            id(source.owner): value for value, source in lowered.sources.items() if isinstance(source, Held)
        }
        effects: list[Effect] = []
        homes: dict[Value, Value] = {}
        roots: list[Value] = []

        def root(number: int) -> Value:
            symbol = lowered.symbol(number)
            roots.append(symbol.graph.root(symbol.view))
            return roots[-1]

        for owner, kind, number in changes:
            value = None if number is None else root(number)
            argument = arguments.get(id(owner))
            if value is not None and kind == "array" and argument is None and id(owner) in held:
                homes[value] = held[id(owner)]
            effects.append(Effect(owner if argument is None else None, argument, kind, value))
        results = [root(number) for _, number in outputs]
        self.graphs = [leaf.node is not None for leaf, _ in outputs]
        self.pattern = tree.tree_map(lambda leaf: isinstance(leaf, TapeValue), result)
        self.plain = tree.tree_map(lambda leaf: None if isinstance(leaf, TapeValue) else leaf, result)
        self.program = build(lowered, roots, homes)
        called = {
            view.value
            for instruction in self.program.instructions
            if instruction.call is not None
            for view in (*instruction.call.inputs, *views_within(instruction.call.params))
        }
        used = {v: s for v, s in lowered.sources.items() if v in self.program.positions or v in called}
        used |= {home: lowered.sources[home] for home in homes.values()}
        self.replay = Replay(self.program, used, effects, homes, results, lowered.launches.found)
        record.forget()

    def run(self, given: list[Any]) -> Any:
        """Replay on new arguments; the function's result."""
        looking = observer()
        arrays = self.replay(given) if looking is None else looking.program(self, given)
        if self.pattern is False:
            return self.plain
        tensors = iter([_result(array, graph) for array, graph in zip(arrays, self.graphs)])
        if self.pattern is True:
            return next(tensors)
        return tree.tree_map(
            lambda is_tensor, kept: next(tensors) if is_tensor else kept, self.pattern, self.plain
        )


def _no_graph(g: Any, x: Any) -> Any:
    raise RuntimeError(
        "this tensor was computed by a compiled function, which keeps no graph: call backward() or ag.grad inside it"
    )


def _computed(x: Any) -> Any:
    return x


_compiled = Primitive(_computed, name="compiled").defvjp(_no_graph)
_plan = Plan(_compiled, 1, 1)


def _result(array: Any, requires_grad: bool) -> Tensor:
    tensor: Any = Tensor(array)
    if requires_grad:
        tensor.node = Node(_compiled, (Leaf(tensor),), {}, _plan, (array,), array)
    return tensor
