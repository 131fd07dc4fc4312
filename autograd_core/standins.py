"""Pictures of what left no tape: the operation that raised last, and what a compiled function does.

Nodes that stand for those operations are made after the fact, and drawn like any others.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np

from autograd_core.graph import Graph, draw
from autograd_core.graph.model import Picture
from autograd_core.graph.program import Program
from autograd_core.tape import Leaf, Node, like, state
from autograd_core.tensor import Tensor

_WIDTH = 56  # of an error's lines in its box


def _stand_in(primitive: Any, inputs: Any, params: Any, arrays: Any, path: str, out: Any) -> Node:
    """A node for an operation that was not recorded; `arrays` are what it was called with."""
    plan: Any = SimpleNamespace(saved_positions=range(len(arrays)))
    node = Node(primitive, inputs, params, plan, tuple(arrays), out)
    node.module_path = path
    return node


def draw_failed(**options: Any) -> Graph:
    """The picture up to the operation that raised last in this thread."""
    failed = state.failed
    if failed is None:
        raise RuntimeError("draw_last_error: no operation has raised in this thread")
    nothing = like(np.empty(0, np.float32))
    node = _stand_in(
        failed.primitive, failed.inputs, failed.params, failed.arrays, failed.module_path, nothing
    )
    graph = draw(node, bad=node, **options)
    graph.note = f"✗ raised: {failed.message}"
    other = _another_error(failed.message)
    if other:
        graph.note += f" · {other}"
        graph.picture.caption += f" · {other}"
    assert graph.arranged is not None
    position = graph.arranged.program.position[node]
    for box in graph.picture.boxes:
        if position in box.operations:
            box.lines = ["✗ raised:", *_wrapped(failed.message)]
            box.output = False
    return graph


def _another_error(message: str) -> str:
    """A word of warning where the error that is being handled, or went uncaught last, is not the operation's."""
    error = sys.exc_info()[1] or getattr(sys, "last_value", None)
    if error is None:
        return ""
    latest, chain = error, []
    while error is not None and len(chain) < 100:
        chain.append(str(error))
        error = error.__cause__ or error.__context__
    if any(message in text or message in getattr(latest, "__notes__", ()) for text in chain):
        return ""
    return f"an earlier error: {type(latest).__name__} was not raised by an operation"


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= _WIDTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines if len(lines) <= 6 else [*lines[:5], "…"]


def draw_compiled(compiled: Any, **options: Any) -> Graph:
    """What the last captured program computes: operations as captured, each with the instruction that it is part of.

    TypeError for options that want a tape: a program keeps none.
    """
    wrong = options.keys() & {"values", "between", "around", "bad", "names"}
    if wrong:
        raise TypeError(
            f"draw: a compiled function has no tape for {', '.join(sorted(wrong))}: draw what the same function gives "
            "uncompiled"
        )
    variants = [variant for kept in compiled.variants.values() for variant in kept]
    if not variants:
        raise ValueError("draw: this compiled function was not called yet, so nothing is captured")
    variant = variants[-1]
    nodes: dict[int, Node] = {}  # by the captured array's number
    of_operation: list[Node] = []
    for operation in variant.operations:
        inputs: list[Node | None] = []
        for given in operation.inputs:
            source = variant.sources.get(given) if isinstance(given, int) else None
            owner = getattr(source, "owner", None)
            if owner is not None and given not in nodes and isinstance(owner, Tensor):
                nodes[given] = Leaf(owner)
            inputs.append(nodes.get(given) if isinstance(given, int) else None)
        path = operation.module_path
        node = _stand_in(operation.primitive, inputs, operation.params, (), path, operation.result)
        nodes[operation.out] = node
        of_operation.append(node)
    instructions = _instructions(variant, of_operation)
    read = {parent for node in of_operation for parent in node.inputs}
    program = Program([node for node in of_operation if node not in read and node in instructions])
    graph = draw(program, **options)
    _name_instructions(graph.picture, program, variant, instructions)
    return graph


def _instructions(variant: Any, nodes: list[Node]) -> dict[Node, list[int]]:
    """The instructions that compute each operation, which may be none."""
    found: dict[Node, list[int]] = {}
    for number, instruction in enumerate(variant.program.instructions):
        for origin in dict.fromkeys(instruction.origins):
            if origin >= 0:
                found.setdefault(nodes[origin], []).append(number)
    return found


def _name_instructions(
    picture: Picture, program: Program, variant: Any, instructions: dict[Node, list[int]]
) -> None:
    """Say in each box which instructions of the program compute it."""
    for box in picture.boxes:
        nodes = [program.operations[i] for i in box.operations]
        found = sorted({number for node in nodes for number in instructions.get(node, ())})
        if found:
            several = f"{len(found)} instructions, {found[0]} … {found[-1]}"
            box.lines.append(f"instruction {found[0]}" if len(found) == 1 else several)
        elif box.operations:
            box.lines.append("simplified away")
    count = len(variant.program.instructions)
    picture.caption += f" · compiled to {count:,} instructions"
