"""Numbers laid over a picture as colours: time, bytes, parameters, gradients, updates, dead units.

A column has a number for operations and sources by their place in the program. A box shows the sum of what it stands
for, or the largest, and gets a tint between white and orange, which colour-blind people tell from the borders' blue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd_core.graph.model import Box, Picture
from autograd_core.graph.program import Program, Source
from autograd_core.known import Known
from autograd_core.observer import seen_of
from autograd_core.tape import Node

FULL = (240, 150, 60)  # the tint of the largest number
DECADES = 6  # of a logarithmic column, from the largest number down to white
SATURATED = 0.99  # of the way to the end of tanh's and sigmoid's range


@dataclass(slots=True)
class Column:
    """Numbers for one overlay. `adds`: a box has the sum of its parts, not the largest."""

    name: str
    unit: str
    adds: bool = True
    logarithmic: bool = False
    operations: dict[int, float] = field(default_factory=dict)
    sources: dict[int, float] = field(default_factory=dict)
    needs: str = ""  # what to do when there are no numbers

    def of(self, box: Box) -> float | None:
        """A box's number."""
        found = [self.operations[i] for i in box.operations if i in self.operations]
        found += [self.sources[i] for i in box.sources if i in self.sources]
        return (sum(found) if self.adds else max(found)) if found else None


def columns(program: Program) -> dict[str, Column]:
    """All overlays; those without numbers say in `needs` what they need."""
    made = (_time, _bytes, _saved, _parameters, _gradients, _updates, _activations)
    return {column.name: column for column in (make(program) for make in made)}


def lay(picture: Picture, program: Program, name: str) -> None:
    """Colour a picture's boxes, and write the numbers into them."""
    column = columns(program)[name]
    numbers = {box.id: number for box in picture.boxes if (number := column.of(box)) is not None}
    if not numbers:
        picture.caption += f" · no {column.name} to show: {column.needs}"
        return
    largest = max((n for n in numbers.values() if math.isfinite(n)), default=0.0)
    for box in picture.boxes:
        number = numbers.get(box.id)
        if number is None:
            continue
        box.fill = tint(_share(number, largest, column.logarithmic))
        box.lines.append(f"{column.name} {shown(number, column.unit)}")
    least = "a millionth" if column.logarithmic else "0"
    picture.caption += f" · {column.name}: white is {least}, orange {shown(largest, column.unit)}"


def mark(picture: Picture, program: Program, bad: Node | None) -> None:
    """Mark the box of a bad value, and parameters that got no gradient where others did."""
    position = program.position.get(bad) if bad is not None else None
    for box in picture.boxes:
        if position is not None and position in box.operations:
            box.mark = "bad"
            box.lines.append("✗ first bad value")
    graded = [_gradient(source) is not None for source in program.sources]
    if not any(graded):
        return
    for box in picture.boxes:
        wanted = [i for i in box.sources if _wants_gradient(program.sources[i])]
        if box.kind == "parameter" and wanted and not any(graded[i] for i in wanted):
            box.mark = "no gradient"
            box.lines.append("no gradient")


def for_page(program: Program, bad: Node | None) -> tuple[dict[str, Any], set[int], set[int]]:
    """For the interactive page: columns that it does not make itself, the bad operation, sources without gradient."""
    made = [column for column in columns(program).values() if not column.adds]
    found = {c.name: (c.unit, c.operations, c.sources) for c in made if c.operations or c.sources}
    wanted = {i for i, source in enumerate(program.sources) if _wants_gradient(source)}
    without = {i for i in wanted if _gradient(program.sources[i]) is None}
    marked = {program.position[bad]} if bad in program.position else set()
    return found, marked, without if without != wanted else set()


def _share(number: float, largest: float, logarithmic: bool) -> float:
    if not math.isfinite(number):
        return 1.0
    if largest <= 0 or number <= 0:
        return 0.0
    return max(0.0, 1 + math.log10(number / largest) / DECADES) if logarithmic else number / largest


def tint(share: float) -> str:
    """A colour between white and orange."""
    return "#" + "".join(f"{round(255 + (full - 255) * share):02x}" for full in FULL)


def shown(number: float, unit: str) -> str:
    """A number as people read it: 12.3 ms, 4.5 MB, 1,234."""
    if unit == "s":
        for scale, name in ((1, "s"), (1e-3, "ms")):
            if number >= scale:
                return f"{number / scale:.3g} {name}"
        return f"{number * 1e6:.3g} µs"
    if unit == "B":
        for scale, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if number >= scale:
                return f"{number / scale:.3g} {name}"
        return f"{number:,.0f} B"
    if unit == "%":
        return f"{100 * number:.3g} %"
    return f"{number:,.0f}" if unit == "count" else f"{number:.3g}"


def _time(program: Program) -> Column:
    column = Column("time", "s", needs="compute inside ag.observe()")
    for i, node in enumerate(program.operations):
        if (seen := seen_of(node)) is not None:
            column.operations[i] = seen.seconds + seen.seconds_back
    return column


def _bytes(program: Program) -> Column:
    column = Column("bytes", "B")
    for i, node in enumerate(program.operations):
        column.operations[i] = math.prod(node.shape) * node.dtype.itemsize
    for i, source in enumerate(program.sources):
        column.sources[i] = math.prod(source.shape) * np.dtype(source.dtype).itemsize
    return column


def saved_bytes(node: Node) -> int:
    """Bytes of the arrays that a node keeps for its derivative rules."""
    return sum(a.nbytes for a in node.saved or () if isinstance(a, np.ndarray))


def _saved(program: Program) -> Column:
    column = Column(
        "saved", "B", needs="backward() has freed them: draw before it, or with retain_graph=True"
    )
    for i, node in enumerate(program.operations):
        if node.saved is not None:
            column.operations[i] = saved_bytes(node)
    return column


def _parameters(program: Program) -> Column:
    column = Column("parameters", "count", needs="there are none")
    for i, source in enumerate(program.sources):
        if source.kind == "parameter":
            column.sources[i] = math.prod(source.shape)
    return column


def _gradient(source: Source) -> Any:
    owner = source.leaf.owner() if source.leaf is not None else None
    return getattr(owner, "_grad", None)


def _wants_gradient(source: Source) -> bool:
    owner = source.leaf.owner() if source.leaf is not None else None
    return owner is not None and owner.node is not None


def _gradients(program: Program) -> Column:
    column = Column("gradient", "", False, True)
    column.needs = "call backward() first; inside ag.observe() operations have it too"
    for i, node in enumerate(program.operations):
        seen = seen_of(node)
        if seen is not None and seen.cotangent is not None:
            column.operations[i] = _norm(seen.cotangent)
    for i, source in enumerate(program.sources):
        if (grad := _gradient(source)) is not None:
            column.sources[i] = _norm(grad.array)
    return column


def _updates(program: Program) -> Column:
    """‖change‖ ÷ ‖value‖ of parameters, from the forward pass that is drawn to now."""
    column = Column(
        "update", "", False, True, needs="compute inside ag.observe(), and take the optimizer's step"
    )
    for i, source in enumerate(program.sources):
        if source.leaf is None or source.kind != "parameter":
            continue
        owner, seen = source.leaf.owner(), seen_of(source.leaf)
        if (
            owner is not None
            and seen is not None
            and seen.value is not None
            and owner.array is not seen.value
        ):
            column.sources[i] = _norm(owner.array - seen.value) / max(_norm(seen.value), 1e-30)
    return column


def _activations(program: Program) -> Column:
    """The share of units that are 0, or saturated, for every sample."""
    column = Column("dead", "%", False, needs="compute inside ag.observe(), or draw before backward()")
    values = Known({program.operations[i]: None for i in program.outputs}).values
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
