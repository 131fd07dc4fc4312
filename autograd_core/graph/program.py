"""The operations under some tensors, in the order they ran, as flat arrays that collapsing and drawing work on.

A position is an operation's place in this graph. It is the only identity used here: `Node.index` counts everything
the process has ever recorded, so two runs of one program would not give the same picture.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from autograd_core.dtypes import Array
from autograd_core.graph.names import Names
from autograd_core.observer import seen_of
from autograd_core.parameter import Buffer
from autograd_core.tape import Leaf, Node, Static
from autograd_core.tensor import Tensor

# Parameters whose value may differ between repetitions of one pattern: x[0], x[1], ... are the same operation.
VARYING = frozenset({"index", "seed", "counter", "key", "offset", "stream", "step"})


STATE = ("parameter", "buffer")  # what a model or an optimizer keeps


class Source:
    """Where a value comes from that no drawn operation made: a parameter, an input, or data without a gradient."""

    __slots__ = ("dtype", "kind", "leaf", "name", "shape", "uses")

    def __init__(
        self, kind: str, name: str, shape: tuple[int, ...], dtype: Any, leaf: Leaf | None = None
    ) -> None:
        self.kind = kind  # "parameter", "buffer", "input" or "data"
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.leaf = leaf
        self.uses: list[tuple[int, int]] = []  # (operation's position, which of its inputs)


class Program:
    """Operations in the order they ran, and their inputs in compressed rows.

    Operation i reads the slots `first_slot[i]:first_slot[i + 1]`; `slot_source` has the position of the operation
    that made the value, −1 where it is a `Source` or a constant. `only` leaves out all operations but these; what they
    read of the others becomes sources. `names` are those of the caller's variables.
    """

    def __init__(
        self,
        roots: Sequence[Node],
        only: Collection[Node] | None = None,
        names: Names | None = None,
    ) -> None:
        self.names = names or Names()
        self.instructions: dict[int, list[int]] = {}  # of a compiled program, by position; {} of a tape
        self.remark = ""  # what the caption says besides
        self.operations, leaves = _reach(roots)
        results = set(roots)
        if only is not None:
            self.operations = [node for node in self.operations if node in only]
            roots = _ends(roots, self.operations)
        self.position = {node: i for i, node in enumerate(self.operations)}
        self.leaf_roots = [node for node in dict.fromkeys(roots) if node.primitive is None]
        # What nothing here reads; of a part of a graph some of it is no result, but goes on outside.
        self.ends = [self.position[node] for node in dict.fromkeys(roots) if node.primitive is not None]
        self.outputs = [i for i in self.ends if self.operations[i] in results]
        self.going_on = frozenset(self.ends) - frozenset(self.outputs)
        self.sources: list[Source] = []
        leaf_source = {leaf: _leaf_source(leaf, self.names) for leaf in leaves}
        first_slot = [0]
        slots: list[int] = []
        signatures: list[int] = []
        known: dict[Any, int] = {}
        data: dict[int, Source] = {}
        position = self.position
        for i, node in enumerate(self.operations):
            # What each input is: the first step of a loop may read data where the later ones read the step before.
            kinds: list[Any] = []
            off_tape = False
            for place, parent in enumerate(node.inputs):
                if parent is None:
                    off_tape = True
                    kinds.append(0)
                    slots.append(-1)
                elif parent.primitive is None:
                    source = leaf_source[parent]
                    if source.kind in STATE and not source.name:
                        source.name = _role(node, place)
                    self._use(source, i, place)
                    kinds.append(source.shape if source.kind in STATE else 0)
                    slots.append(-1)
                elif parent not in position:
                    if parent not in leaf_source:
                        leaf_source[parent] = Source(
                            "data", f"from {parent.primitive.name}", parent.shape, parent.dtype
                        )
                    self._use(leaf_source[parent], i, place)
                    kinds.append(0)
                    slots.append(-1)
                else:
                    kinds.append(0)
                    slots.append(position[parent])
            if off_tape:
                for place, array in known_arrays(node):
                    source = data.get(id(array))
                    if source is None:
                        name = self.names.of_array(array)
                        source = data[id(array)] = Source("data", name, array.shape, array.dtype)
                    self._use(source, i, place)
            first_slot.append(len(slots))
            key = (node.primitive, node.shape, node.dtype, structure(node.params), *kinds)
            signatures.append(known.setdefault(key, len(known)))
        for leaf in self.leaf_roots:
            self._note(leaf_source[leaf])
        self.first_slot = np.array(first_slot, np.int64)
        self.slot_source = np.array(slots, np.int64)
        self.slot_target = np.repeat(np.arange(len(self.operations)), np.diff(self.first_slot))
        self.signatures = signatures

    def _use(self, source: Source, i: int, place: int) -> None:
        self._note(source)
        source.uses.append((i, place))

    def _note(self, source: Source) -> None:
        if not source.uses:
            self.sources.append(source)

    def wiring(self, starts: Array, length: int) -> Array:
        """One row for each stretch of `length` operations at `starts`: how far back each input lies, 0 if outside."""
        first = self.first_slot[starts]
        width = int(self.first_slot[starts[0] + length] - first[0])
        slots = first[:, None] + np.arange(width)
        source = self.slot_source[slots]
        return np.where(source >= starts[:, None], self.slot_target[slots] - source, 0)


def _reach(roots: Iterable[Node]) -> tuple[list[Node], list[Node]]:
    """Operations and leaves under `roots`, each in the order of their making. No recursion: chains are long."""
    seen = set(roots)
    todo = list(seen)
    while todo:
        for parent in todo.pop().inputs:
            if parent is not None and parent not in seen:
                seen.add(parent)
                todo.append(parent)
    order = sorted(seen, key=lambda node: node.index)
    return [n for n in order if n.primitive is not None], [n for n in order if n.primitive is None]


def _ends(roots: Sequence[Node], operations: list[Node]) -> list[Node]:
    """The roots among some operations; without one, what no other of them reads."""
    read = {parent for node in operations for parent in node.inputs}
    kept = set(operations)
    return [node for node in roots if node in kept] or [node for node in operations if node not in read]


def _leaf_source(leaf: Node, names: Names) -> Source:
    owner = getattr(leaf, "owner", lambda: None)()
    # Parameter and everything else that carries a name; a plain tensor has none
    name = getattr(owner, "name", None)
    known = leaf if isinstance(leaf, Leaf) else None
    of = known.kind if known is not None else Tensor
    kind = "input" if of is Tensor else "buffer" if issubclass(of, Buffer) else "parameter"
    name = name or names.of(leaf)
    return Source(kind, name if isinstance(name, str) else "", leaf.shape, leaf.dtype, known)


def _role(reader: Node, place: int) -> str:
    """What to call a parameter that no module has named, or whose model is gone: `w of layers.0`."""
    assert reader.primitive is not None
    where = str(reader.module_path).partition(".")[2] or str(reader.module_path)
    return f"{reader.primitive.names(len(reader.inputs))[place]} of {where}" if where else ""


def known_constants(node: Node) -> Iterable[tuple[int, Any]]:
    """(place, value) of inputs that are not on the tape: held for a derivative rule, or kept by an observer."""
    plan, saved, seen = node.plan, node.saved, seen_of(node)
    held = dict(enumerate(seen.inputs)) if seen is not None else {}
    if plan is not None and saved is not None:
        held |= zip(plan.saved_positions, saved)
    for place, value in sorted(held.items()):
        if place < len(node.inputs) and node.inputs[place] is None:
            yield place, value


def known_arrays(node: Node) -> Iterable[tuple[int, Array]]:
    """Those constants that deserve a box of their own: arrays of more than one element."""
    return ((place, v) for place, v in known_constants(node) if isinstance(v, np.ndarray) and v.size > 1)


def structure(params: Static) -> tuple[Any, ...]:
    """What of an operation's static parameters makes it another operation: axes and strides, not indices or rates."""
    if not params:
        return ()
    return tuple((key, _plain(value)) for key, value in params.items() if key not in VARYING)


def _plain(value: Any) -> Any:
    if value is None or type(value) in (int, bool, str):
        return value
    if isinstance(value, tuple | list):
        return tuple(item if type(item) is int else type(item) for item in value)
    return type(value)
