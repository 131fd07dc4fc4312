"""What a row of a compiled program is made of: operations of several modules, lines and passes, in one loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from autograd_core.compiler.graph import Reduce
from autograd_core.compiler.program import Instruction
from autograd_core.compiler.variant import Variant


@dataclass(slots=True)
class Part:
    """A row's share that belongs to one module, pass and line."""

    path: Any
    backward: bool
    line: tuple[str, int]
    share: float  # of 1


@dataclass(slots=True)
class Row:
    """A row by name, with its parts, the largest first."""

    name: str
    parts: list[Part]
    read: int
    written: int
    shapes: tuple[Any, ...]


def described(variant: Variant) -> list[Row]:
    """All rows of a compiled function's program."""
    made: set[Any] = set()
    return [_row(variant, instruction, made) for instruction in variant.program.instructions]


def _row(variant: Variant, instruction: Instruction, made: set[Any]) -> Row:
    """A row; `made` are the values that earlier ones have written."""
    weights = _weights(instruction)
    whole = sum(weights.values()) or 1.0
    shares: dict[tuple[Any, bool, tuple[str, int]], float] = {}
    for origin, weight in weights.items():
        known = variant.operations[origin] if origin >= 0 else None
        key = (known.module_path, known.backward, known.line) if known else ("", False, ("", 0))
        shares[key] = shares.get(key, 0.0) + weight / whole
    parts = sorted((Part(*key, share) for key, share in shares.items()), key=lambda part: -part.share)
    reads, writes = set(instruction.reads), set(instruction.writes)
    if instruction.address and instruction.call is not None:  # a check: Python has what else it needs
        reads, writes = {value for _, value, _ in instruction.places}, set()
    elif instruction.loop is None:
        # Kernels say only what they touch: what nobody has written before, they write.
        both = reads & writes
        fresh = {value for value in both if value.node is not None and value not in made}
        reads, writes = reads - fresh, (writes - both) | fresh
    made |= writes
    return Row(
        _name(variant, instruction, weights),
        parts,
        sum(value.nbytes for value in reads),
        sum(value.nbytes for value in writes),
        tuple((value.dtype, value.shape) for value in (*writes, *reads)),
    )


def _weights(instruction: Instruction) -> dict[int, float]:
    """How much of a row each captured operation is, by number: elements that are computed."""
    if instruction.loop is None:
        return {instruction.origin: 1.0}
    group = instruction.loop.group
    weights: dict[int, float] = {}
    for item in group.items:
        over = group.space if isinstance(item.node, Reduce) or not item.outer else item.node.out.shape
        weights[item.node.origin] = weights.get(item.node.origin, 0.0) + max(math.prod(over), 1)
    return weights


def _name(variant: Variant, instruction: Instruction, weights: dict[int, float]) -> str:
    """What the program's author would call it: the operations that he wrote."""
    if instruction.loop is None:
        return instruction.name
    names = dict.fromkeys(variant.operations[o].primitive.name for o in weights if o >= 0)
    return "loop: " + (" · ".join(names) or instruction.name)
