"""What a compiled function became: in words, `f.explain()`, and instruction by instruction, `f.program()`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from autograd_core.compiler.graph import Reduce, Scalar, View
from autograd_core.compiler.loops import Loop
from autograd_core.compiler.program import Instruction
from autograd_core.compiler.variant import Variant
from autograd_core.wording import in_bytes

_INFIX = {
    "add": "+", "subtract": "-", "multiply": "·", "divide": "/", "power": "**", "remainder": "%", "floor_divide": "//",
    "equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=",
    "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
}  # fmt: skip
_FOLDS = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}
_LONGEST = 160  # characters of an expression that are shown


class Text(str):
    """Text that a notebook and the interpreter show as it is."""

    def __repr__(self) -> str:
        return str(self)


def explanation(name: str, variants: list[Variant], reasons: list[str]) -> Text:
    """What was captured, fused and left to Python, and why there is more than one program."""
    if not variants:
        return Text(f"{name}: not called yet, so nothing is captured")
    programs = "1 program" if len(variants) == 1 else f"{len(variants)} programs"
    lines = [f"{name}: {programs}"]
    lines += [f"  captured again: {reason}" for reason in reasons]
    for number, variant in enumerate(variants, 1):
        lines += [f"program {number}", *(f"  {line}" for line in _summary(variant))]
    return Text("\n".join(lines))


def _summary(variant: Variant) -> list[str]:
    program = variant.program
    loops = [i.loop for i in program.instructions if i.loop is not None]
    kernels = {id(loop.kernel): loop.kernel for loop in loops}
    compiled = [kernel for kernel in kernels.values() if kernel.compiled]
    nodes = sum(len(loop.group.items) for loop in loops)
    lines = [
        f"{len(variant.operations):,} operations captured, {len(program.instructions):,} instructions",
        f"{nodes:,} elementwise operations and reductions in {len(loops):,} loops, of {len(kernels)} kernels: "
        f"{len(compiled)} compiled, {len(kernels) - len(compiled)} loaded, in {_seconds(kernels.values())}",
        f"captured and compiled in {variant.seconds:.2f} s",
        f"memory: {in_bytes(program.arena.nbytes)} for all intermediate values, of which "
        f"{in_bytes(program.arena.peak)} are in use at once",
    ]
    left = Counter(
        (variant.operations[number].primitive.name, why) for number, why in sorted(variant.reasons.items())
    )
    if left:
        lines.append("left to Python:")
        lines += [
            f"  {name}{f' × {count}' if count > 1 else ''}: {why}" for (name, why), count in left.items()
        ]
    else:
        lines.append("left to Python: nothing")
    return lines


def _seconds(kernels: Any) -> str:
    return f"{sum(kernel.seconds for kernel in kernels):.2f} s"


def listing(variant: Variant) -> Text:
    """Each instruction with what it computes, for which module, and from which line."""
    lines = []
    for number, instruction in enumerate(variant.program.instructions):
        places = _places(variant, instruction)
        lines.append(f"{number:>5}  {_computed(instruction)}" + (f"    # {places}" if places else ""))
    return Text("\n".join(lines))


def _places(variant: Variant, instruction: Instruction) -> str:
    """Modules and lines that an instruction's operations come from."""
    numbers = dict.fromkeys(instruction.origins)
    operations = [variant.operations[number] for number in numbers if number >= 0]
    modules = dict.fromkeys(str(each.module_path) for each in operations if each.module_path)
    lines = dict.fromkeys(f"{Path(each.line[0]).name}:{each.line[1]}" for each in operations if each.line[0])
    return ", ".join([*modules, *lines])


def _computed(instruction: Instruction) -> str:
    if instruction.loop is not None:
        return "; ".join(_stored(instruction.loop))
    out = ", ".join(f"%{value.number}" for value in dict.fromkeys(instruction.writes) if value.number >= 0)
    reads = ", ".join(f"%{v.number}" for v in dict.fromkeys(instruction.reads) if v not in instruction.writes)
    return f"{out} = {instruction.name}({reads})" if reads else f"{instruction.name}({out})"


def _stored(loop: Loop) -> list[str]:
    """What a loop stores, as expressions of what it loads."""
    names: dict[int, str] = {}
    lines = []
    for number in range(len(loop.group.items)):
        text = _expression(loop, number, names)
        if number in loop.stores:
            value = loop.references[loop.stores[number]].value
            lines.append(f"{value!r} = {text}")
            text = f"%{value.number}"
        names[number] = text
    return lines


def _expression(loop: Loop, number: int, names: dict[int, str]) -> str:
    item = loop.group.items[number]
    inside = list(loop.group.made)
    operands = []
    for operand in item.operands:
        if isinstance(operand, Scalar):
            operands.append(f"{operand.number:g}")
        elif isinstance(operand, View) and operand.value in loop.group.made:
            operands.append(names[inside.index(operand.value)])
        else:
            operands.append(f"%{operand.value.number}")
    function = item.node.function
    if isinstance(item.node, Reduce):
        text = f"{_FOLDS[function]}({operands[0]})"
    elif function == "copy":
        text = operands[0]
    elif function in _INFIX:
        text = f"({f' {_INFIX[function]} '.join(operands)})"
    elif function == "cast":
        text = f"{item.node.out.dtype}({operands[0]})"
    else:
        text = f"{function}({', '.join(operands)})"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 4 :]}"
