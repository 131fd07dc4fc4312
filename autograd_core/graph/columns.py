"""What pictures can be coloured by: a number for each operation and each array of a computation.

Time, bytes, parameters, gradients, updates and dead units, by the position of an operation in the program and by the
place of a source in `program.sources`. Static pictures (overlay.py) and the interactive page read the same columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd_core.graph.program import Program, Source
from autograd_core.known import Known
from autograd_core.observer import seen_of
from autograd_core.tape import Node

SATURATED = 0.99  # of the way to the end of tanh's and sigmoid's range


@dataclass(slots=True)
class Column:
    """Numbers in a unit: "s", "B", "%" (a share of 1), anything else as a word, or none.

    `adds`: what stands for several has the sum of its parts, not the largest. `needs`: what to do when there are none.
    """

    name: str
    unit: str = ""
    adds: bool = False
    logarithmic: bool = False
    needs: str = ""
    operations: dict[int, float] = field(default_factory=dict)
    sources: dict[int, float] = field(default_factory=dict)

    def together(self, operations: Iterable[int], sources: Iterable[int]) -> float | None:
        """The number of these, as one; a NaN among them is what should be seen."""
        found = [self.operations[i] for i in operations if i in self.operations]
        found += [self.sources[i] for i in sources if i in self.sources]
        if not found:
            return None
        return sum(found) if self.adds else max(found, key=lambda n: (n != n, n))


def columns(program: Program) -> dict[str, Column]:
    """All columns by name; those without numbers say in `needs` what they need."""
    made = (
        _time, _time_forward, _time_back, _bytes, _saved, _parameters, _gradients, _updates, _activations,
    )  # fmt: skip
    return {column.name: column for column in (make(program) for make in made)}


def _time(program: Program) -> Column:
    column = Column("time", "s", adds=True, needs="compute inside ag.observe()")
    for i, node in enumerate(program.operations):
        if (seen := seen_of(node)) is not None:
            column.operations[i] = seen.seconds + seen.seconds_back
    return column


def _time_forward(program: Program) -> Column:
    column = Column("forward time", "s", adds=True, needs="compute inside ag.observe()")
    for i, node in enumerate(program.operations):
        if (seen := seen_of(node)) is not None:
            column.operations[i] = seen.seconds
    return column


def _time_back(program: Program) -> Column:
    column = Column("backward time", "s", adds=True, needs="compute and call backward() inside ag.observe()")
    for i, node in enumerate(program.operations):
        if (seen := seen_of(node)) is not None and seen.seconds_back:
            column.operations[i] = seen.seconds_back
    return column


def bytes_of(made: Node | Source) -> int:
    """Bytes of a node's or a source's array."""
    return math.prod(made.shape) * np.dtype(made.dtype).itemsize


def _bytes(program: Program) -> Column:
    column = Column("bytes", "B", adds=True)
    column.operations = {i: bytes_of(node) for i, node in enumerate(program.operations)}
    column.sources = {i: bytes_of(source) for i, source in enumerate(program.sources)}
    return column


def saved_arrays(program: Program) -> dict[int, dict[str, int]]:
    """Bytes of the arrays that operations keep for their derivative rules, by the input's name, or "result".

    Each array counts where it is kept first.
    """
    known: set[int] = set()
    found: dict[int, dict[str, int]] = {}
    for i, node in enumerate(program.operations):
        if node.saved is None or node.primitive is None or node.plan is None:
            continue
        here = found[i] = {}
        arity = len(node.inputs)
        for place, value in zip(node.plan.saved_positions, node.saved):
            if isinstance(value, np.ndarray):
                while isinstance(value.base, np.ndarray):
                    value = value.base
                if id(value) not in known:
                    known.add(id(value))
                    name = "result" if place == arity else node.primitive.names(arity)[place]
                    here[name] = here.get(name, 0) + value.nbytes
    return found


def saved_bytes(program: Program) -> dict[int, int]:
    """The same in all."""
    return {i: sum(arrays.values()) for i, arrays in saved_arrays(program).items()}


def _saved(program: Program) -> Column:
    needs = "backward() has freed them: draw before it, or with retain_graph=True"
    column = Column("saved", "B", adds=True, needs=needs)
    column.operations |= saved_bytes(program)
    return column


def _parameters(program: Program) -> Column:
    column = Column("parameters", "values", adds=True, needs="there are none")
    for i, source in enumerate(program.sources):
        if source.kind == "parameter":
            column.sources[i] = math.prod(source.shape)
    return column


def gradient_of(source: Source) -> Any:
    """The gradient that a source's owner has, a Tensor, or None."""
    owner = source.leaf.owner() if source.leaf is not None else None
    return getattr(owner, "_grad", None)


def wants_gradient(source: Source) -> bool:
    """Whether a source is a leaf that collects a gradient and still lives."""
    owner = source.leaf.owner() if source.leaf is not None else None
    return owner is not None and owner.node is not None


def _gradients(program: Program) -> Column:
    needs = "call backward() first; inside ag.observe() operations have it too"
    column = Column("gradient", logarithmic=True, needs=needs)
    for i, node in enumerate(program.operations):
        seen = seen_of(node)
        if seen is not None and seen.cotangent is not None:
            column.operations[i] = _norm(seen.cotangent)
    for i, source in enumerate(program.sources):
        if (grad := gradient_of(source)) is not None:
            column.sources[i] = _norm(grad.array)
    return column


def read_by(program: Program, source: Source) -> Any:
    """The array that a source was when it was read, if an observer saw that; else None."""
    for i, place in source.uses:
        seen = seen_of(program.operations[i])
        if seen is not None and place < len(seen.inputs):
            return seen.inputs[place]
    return None


def cotangent_of(program: Program, source: Source) -> Any:
    """The sum of what a leaf got from all that read it, if an observer saw that; else None."""
    total = None
    for i in dict.fromkeys(i for i, _ in source.uses):
        seen = seen_of(program.operations[i])
        for parent, share in seen.shares if seen is not None else ():
            if parent is source.leaf:
                total = share if total is None else total + share
    return total


def _updates(program: Program) -> Column:
    """‖change‖ ÷ ‖new value‖ of parameters, from the forward pass that is drawn to now; 1 for one that was zero."""
    needs = "compute inside ag.observe(), and take the optimizer's step"
    column = Column("update", logarithmic=True, needs=needs)
    for i, source in enumerate(program.sources):
        if source.leaf is None or source.kind != "parameter":
            continue
        owner, before = source.leaf.owner(), read_by(program, source)
        if owner is None or before is None or owner.array is before:
            continue
        size = _norm(owner.array)
        column.sources[i] = _norm(owner.array - before) / size if size else 0.0
    return column


def _activations(program: Program) -> Column:
    """The share of units that are 0, or saturated, for every sample."""
    column = Column("dead", "%", needs="compute inside ag.observe(), or draw before backward()")
    values = Known({program.operations[i]: None for i in program.ends}).values
    for i, node in enumerate(program.operations):
        value = values.get(node)
        rule = _DEAD.get(node.primitive.name if node.primitive else "")
        if rule is not None and value is not None and value.size:
            with np.errstate(all="ignore"):
                samples = len(value) if value.ndim else 1
                column.operations[i] = float(rule(value).reshape(samples, -1).all(axis=0).mean())
    return column


_DEAD = {
    "relu": lambda y: y == 0,
    "tanh": lambda y: np.abs(y) > SATURATED,
    "sigmoid": lambda y: np.abs(2 * y - 1) > SATURATED,
}


def _norm(array: Any) -> float:
    return float(np.sqrt(np.square(np.asarray(array, np.float64)).sum()))
