"""What stands in a picture's boxes, as plain text. Nothing here depends on addresses or counters of the process."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from autograd_core.graph.groups import Group, Item
from autograd_core.graph.program import Program, Source, known_constants
from autograd_core.tape import Node
from autograd_core.wording import LONGEST_NAME, clean

LONGEST_VALUE = 32


def array_type(dtype: Any, shape: Sequence[int]) -> str:
    """`float32[32,16]`; `float32 scalar` for a single number."""
    return f"{dtype}[{','.join(map(str, shape))}]" if len(shape) else f"{dtype} scalar"


def operation_name(node: Node) -> str:
    """The primitive's name as the user knows it."""
    name = clean(node.primitive.title) if node.primitive else "leaf"
    return name or "operation"


def operation_details(first: Node, last: Node, constants_have_boxes: bool) -> list[str]:
    """Static parameters that say something, and constant inputs.

    `last` is the twin in the last repetition: where the two differ, both are shown.
    """
    ours, theirs = dict(_params(first)), dict(_params(last))
    lines = [
        f"{clean(key)} = {ours[key]}"
        + (f" … {theirs[key]}" if theirs.get(key, ours[key]) != ours[key] else "")
        for key in ours
    ]
    known = dict(known_constants(first))
    primitive = first.primitive
    assert primitive is not None
    names = primitive.names(len(first.inputs))
    for place, parent in enumerate(first.inputs):
        if parent is not None or last.inputs[place] is not None or place >= len(names):
            continue
        value = known.get(place)
        if isinstance(value, np.ndarray) and value.size > 1 and constants_have_boxes:
            continue
        name = clean(names[place])
        lines.append(f"{name}: constant" if value is None else f"{name} = {_value(value)}")
    return lines[:4] if len(lines) <= 4 else [*lines[:3], f"and {len(lines) - 3} more"]


# What these are where nobody asks for anything else, in one dimension or in several.
_USUAL = {"stride": "1", "padding": "0", "dilation": "1", "groups": "1", "output_padding": "0"}


def _params(node: Node) -> Iterable[tuple[str, str]]:
    defaults = node.primitive.defaults if node.primitive else {}
    for key, value in node.params.items():
        if key in ("shape", "dtype"):  # the output says it
            continue
        shown = _value(value)
        # stride (1, 1) is the default 1
        plain = _value(value[0]) if isinstance(value, tuple) and len(set(map(_value, value))) == 1 else shown
        if key in defaults and {_value(defaults[key]), _USUAL.get(key)} & {shown, plain}:
            continue
        yield key, shown


def _value(value: Any) -> str:
    return clean(_text(value), LONGEST_VALUE)


def _text(value: Any, depth: int = 0) -> str:
    """A value as written in Python, as far as that is short; never an address, never an array's elements."""
    if isinstance(value, np.ndarray):
        if value.size == 1:
            return _text(value.reshape(-1)[0].item())
        return array_type(value.dtype, value.shape)
    if isinstance(value, np.generic):
        return _text(value.item())
    if isinstance(value, bool | complex) or value is None or value is Ellipsis:
        return "..." if value is Ellipsis else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return str(value) if value.bit_length() < 128 else "a large integer"
    if isinstance(value, str):
        return repr(value[:LONGEST_VALUE])
    if isinstance(value, slice):
        ends = [_text(x, depth + 1) if x is not None else "" for x in (value.start, value.stop)]
        return ":".join(ends) + (f":{_text(value.step, depth + 1)}" if value.step is not None else "")
    if isinstance(value, tuple | list) and depth < 3:
        inner = ", ".join(_text(x, depth + 1) for x in value[:8]) + (", …" if len(value) > 8 else "")
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    if isinstance(value, np.dtype):
        return str(value)
    return getattr(value, "__name__", type(value).__name__)


def group_title(group: Group, program: Program) -> tuple[str, str]:
    """Title and subtitle of a module or a repetition."""
    if group.count == 1:
        title, kind = clean(group.name) or "(no name)", clean(group.kind)
        return title, "" if kind == title else kind
    first, last = _modules(group.items), _modules(group.last)
    times = f" × {group.count:,}"
    span = ""
    if first:
        names = clean(first[0].name), clean(last[-1].name)
        span = " … ".join(dict.fromkeys(names)) if any(names) else ""
    if len(group.items) == 1 and first:
        kind = clean(first[0].kind)
        return (kind + times, span) if kind else ((span or "(no name)") + times, "")
    parts = list(dict.fromkeys(_short(item, program) for item in group.items))
    return ", ".join([*parts[:4], "…"] if len(parts) > 4 else parts) + times, "" if span in parts else span


def _modules(items: Sequence[Item]) -> list[Group]:
    return [item for item in items if isinstance(item, Group) and item.count == 1]


def _short(item: Item, program: Program) -> str:
    if isinstance(item, int):
        return operation_name(program.operations[item])
    return clean(item.kind or item.name) or "…"


def source_title(sources: Sequence[Source]) -> str:
    """A parameter's name; for the twins of a repetition the common part: "blocks.*.conv.weight"."""
    kind = sources[0].kind
    names = list(dict.fromkeys(s.name for s in sources if s.name))
    if not names:
        return kind
    if len(names) == 1:
        return clean(names[0]) or kind
    split = [name.split(".") for name in names]
    if len({len(parts) for parts in split}) > 1:
        return clean(names[0], LONGEST_NAME // 2) + " … " + clean(names[-1], LONGEST_NAME // 2)
    return clean(".".join(column[0] if len(set(column)) == 1 else "*" for column in zip(*split))) or kind


def instructions(program: Program, positions: Iterable[int]) -> str:
    """Which instructions of a compiled program compute some of its operations."""
    found = sorted({number for i in positions for number in program.instructions.get(i, ())})
    if not found:
        return "simplified away"
    return (
        f"instruction {found[0]}"
        if len(found) == 1
        else f"{len(found)} instructions, {found[0]} … {found[-1]}"
    )


def count_of(number: int, what: str) -> str:
    """`1 operation`, `1,234 operations`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")
