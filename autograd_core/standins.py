"""Pictures of what left no tape: the operation that raised last, and what a compiled function does.

Nodes that stand for those operations are made after the fact, and drawn like any others.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from autograd_core.graph import Graph, draw, labels
from autograd_core.graph.names import Names
from autograd_core.graph.program import Program
from autograd_core.tape import Leaf, Node, like, state
from autograd_core.tensor import Tensor
from autograd_core.wording import wrapped


def _stand_in(
    primitive: Any, inputs: Any, params: Any, known: Mapping[int, Any], path: str, out: Any
) -> Node:
    """A node for an operation that was not recorded; `known` is what it was called with, by place."""
    plan: Any = SimpleNamespace(saved_positions=list(known))
    node = Node(primitive, inputs, params, plan, tuple(known.values()), out)
    node.module_path = path
    return node


def draw_failed(**options: Any) -> Graph:
    """The picture up to the operation that raised last in this thread."""
    failed = state.failed
    if failed is None:
        raise RuntimeError("draw_last_error: no operation has raised in this thread")
    nothing = like(np.empty(0, np.float32))
    known = dict(enumerate(failed.arrays))
    node = _stand_in(failed.primitive, failed.inputs, failed.params, known, failed.module_path, nothing)
    graph = draw(node, bad=node, says=f"raised: {failed.message}", **options)
    graph.note = f"✗ {graph.says}"
    other = _another_error(failed.message)
    if other:
        graph.note += f" · {other}"
        graph.picture.caption += f" · {other}"
    for box in graph.picture.boxes:
        if box.mark == "bad":
            box.lines, box.output = wrapped(graph.note), False  # it made nothing that could be described
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
    names, inputs = Names(), _arguments(variant)  # nodes by the captured array's number
    names.nodes |= {node: f"argument {variant.sources[number].number}" for number, node in inputs.items()}
    of_operation: list[Node] = []
    for operation in variant.operations:
        for given in operation.inputs:
            owner = getattr(variant.sources.get(given), "owner", None) if isinstance(given, int) else None
            if isinstance(owner, Tensor) and given not in inputs:
                inputs[given] = Leaf(owner)
        read = [inputs.get(given) if isinstance(given, int) else None for given in operation.inputs]
        path = _Backward(operation.module_path) if operation.backward else operation.module_path
        numbers = {i: given.number for i, given in enumerate(operation.inputs) if not isinstance(given, int)}
        node = _stand_in(operation.primitive, read, operation.params, numbers, path, operation.result)
        inputs[operation.out] = node
        of_operation.append(node)
    instructions = _instructions(variant, of_operation)
    known = {parent for node in of_operation for parent in node.inputs}
    program = Program(
        [node for node in of_operation if node not in known and node in instructions], names=names
    )
    program.remark = f"compiled to {labels.count_of(len(variant.program.instructions), 'instruction')}"
    program.instructions = {i: instructions.get(node, []) for i, node in enumerate(program.operations)}
    graph = draw(program, **options)
    for box in graph.picture.boxes:
        if box.operations:
            box.lines.append(labels.instructions(program, box.operations))
    return graph


class _Backward(str):
    """The path of what derivative rules compute: a frame of their own around the module of the operation."""

    kinds: tuple[str, ...]

    def __new__(cls, path: str) -> _Backward:
        made = super().__new__(cls, f"backward pass.{path}" if path else "backward pass")
        made.kinds = ("", *getattr(path, "kinds", ()))
        return made


def _arguments(variant: Any) -> dict[int, Node]:
    """A node for each array that the function was called with and its program reads, by the captured array's number."""
    read = {number: value for value, number in variant.replay.arguments}
    found: dict[int, Node] = {}
    for number, source in variant.sources.items():
        if (value := read.get(getattr(source, "number", None))) is not None:
            found[number] = Node(None, (), {}, None, None, like(np.empty(value.shape, value.dtype)))
    return found


def _instructions(variant: Any, nodes: list[Node]) -> dict[Node, list[int]]:
    """The instructions that compute each operation, which may be none."""
    found: dict[Node, list[int]] = {}
    for number, instruction in enumerate(variant.program.instructions):
        for origin in dict.fromkeys(instruction.origins):
            if origin >= 0:
                found.setdefault(nodes[origin], []).append(number)
    return found
