"""Numbers laid over a picture as colours, and marks for what went wrong.

A box gets a tint between white and orange, which colour-blind people tell from the borders' blue.
"""

from __future__ import annotations

import math

from autograd_core.graph.columns import columns, gradient_of, wants_gradient
from autograd_core.graph.model import Picture
from autograd_core.graph.program import Program
from autograd_core.observer import seen_of
from autograd_core.tape import Node
from autograd_core.wording import in_bytes, in_time, wrapped

FULL = (240, 150, 60)  # the tint of the largest number
DECADES = 6  # of a logarithmic column, from the largest number down to white


# What a column means in a picture with both passes: which one the forward half shows, and the backward half.
HALVES = {
    "time": ("forward time", "backward time"), "forward time": ("forward time", ""),
    "backward time": ("", "backward time"), "bytes": ("bytes", "bytes"), "gradient": ("", "gradient"),
}  # fmt: skip


def lay(picture: Picture, program: Program, name: str) -> None:
    """Colour a picture's boxes by a column, and write the numbers into them; ValueError for an unknown one."""
    known = columns(program)
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"draw: overlay is one of {', '.join(known)}, not {name!r}")
    column = known[name]
    forward, backward = _halves(picture, name)
    numbers: dict[int, float] = {}
    labels: dict[int, str] = {}
    for box in picture.boxes:
        here = backward if box.backward else forward
        number = known[here].together(box.operations, box.sources) if here else None
        if number is not None:
            numbers[box.id], labels[box.id] = number, here
    if not numbers:
        picture.caption += f" · no {column.name} to show: {known[backward or forward].needs}"
        return
    largest = max((n for n in numbers.values() if math.isfinite(n)), default=0.0)
    for box in picture.boxes:
        number = numbers.get(box.id)
        if number is None:
            continue
        if math.isfinite(number):
            box.fill = tint(_share(number, largest, column.logarithmic))
        else:
            box.mark = "bad"
        several = f"{box.repeats:,} together" if column.adds else f"largest of {box.repeats:,}"
        of = f", {several}:" if box.repeats > 1 else ""
        box.lines.append(f"{labels[box.id]}{of} {shown(number, column.unit)}")
    least = "a millionth" if column.logarithmic else "0"
    picture.caption += f" · {column.name}: white is {least}, orange {shown(largest, column.unit)}"


def _halves(picture: Picture, name: str) -> tuple[str, str]:
    """The columns for boxes of the forward and of the backward pass."""
    if not any(box.backward for box in picture.boxes):
        return name, ""
    forward, backward = HALVES.get(name, (name, ""))
    alone = all(box.backward for box in picture.boxes)
    return forward, backward or (name if alone else "")


def mark(picture: Picture, program: Program, bad: Node | None, says: str) -> None:
    """Mark the box of a bad value, with what there is to say, and parameters that got no gradient where others did."""
    failing, faulty, without = positions(program, bad)
    for box in picture.boxes:
        if not (failing.isdisjoint(box.operations) and faulty.isdisjoint(box.sources)):
            box.mark = "bad"
            box.lines += wrapped(f"✗ {says}")
        lacking = without.intersection(box.sources)
        if box.kind == "parameter" and lacking:
            box.mark = "no gradient"
            count = len(box.sources)
            box.lines.append(
                "no gradient" if count == len(lacking) else f"no gradient: {len(lacking)} of {count}"
            )


def positions(program: Program, bad: Node | None) -> tuple[set[int], set[int], set[int]]:
    """The position of the bad operation, the place of the bad source, and places of those without a gradient."""
    failing = {program.position[bad]} if bad in program.position else set()
    sources = list(enumerate(program.sources))
    faulty = {i for i, source in sources if bad is not None and source.leaf is bad}
    graded = {i for i, source in sources if gradient_of(source) is not None}
    without = {i for i, source in sources if wants_gradient(source)} - graded
    return failing, faulty, without if graded and _differentiated(program) else set()


def _differentiated(program: Program) -> bool:
    """Whether a backward pass came by: it freed what was kept for it, or an observer saw it."""
    return any(
        node.saved is None or ((seen := seen_of(node)) is not None and seen.cotangent is not None)
        for node in program.operations
    )


def _share(number: float, largest: float, logarithmic: bool) -> float:
    if largest <= 0 or number <= 0:
        return 0.0
    return max(0.0, 1 + math.log10(number / largest) / DECADES) if logarithmic else number / largest


def tint(share: float) -> str:
    """A colour between white and orange."""
    return "#" + "".join(f"{round(255 + (full - 255) * share):02x}" for full in FULL)


def shown(number: float, unit: str) -> str:
    """A number as people read it: 12.3 ms, 4.5 MB, 1,234."""
    if unit == "s":
        return in_time(number)
    if unit == "B":
        return in_bytes(number)
    if unit == "%":
        return f"{100 * number:.3g} %"
    return f"{number:,.0f}" if unit else f"{number:.3g}"
