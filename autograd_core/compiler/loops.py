"""How a group is walked: its axes joined to as few as possible, what is loaded and stored, in how many passes.

The outer axes are shared out among tasks. Inside, one pass after the other goes over the inner axes: a pass ends where
a sum must be complete before anything more can be computed. What depends on sizes only (extents, strides, addresses) is
given to the kernel when it runs, so that groups of equal structure are one kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from autograd_core.compiler.arithmetic import EXPENSIVE
from autograd_core.compiler.fuse import Group, Item
from autograd_core.compiler.graph import Reduce, Scalar, Value, View, row_major

_TASK = 1 << 14  # elements of a task, about
_CHEAP = 6  # nodes that are computed again rather than kept


class Reference(NamedTuple):
    """Where a kernel reads or writes: a value, and its strides along the joined axes."""

    value: Value
    offset: int
    strides: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(slots=True, eq=False)
class Loop:
    """A group, ready to become a kernel and its arguments."""

    group: Group
    sizes: tuple[int, ...]  # of the joined axes, the inner ones last
    outer: int  # how many of them are outer
    across: bool  # lanes run along the last outer axis, not along the last inner one
    references: list[Reference]
    scalars: list[Scalar]
    loads: dict[tuple[int, int], int]  # (item, operand) → reference
    numbers: dict[tuple[int, int], int]  # (item, operand) → scalar
    stores: dict[int, int]  # item → reference
    phases: list[int]  # the pass in which each item is computed; of a reduction, the one that it folds in
    origins: list[Any]  # of each reference: an (item, operand) that reads it, or the item that writes it
    tasks: int = 1
    share: int = 1
    kernel: Any = None  # its machine code, when that is there
    pattern: Loop | None = None  # what `_like` keeps of it


# A loop for each kind of group: equal layers are worked out once. Without its group and values, which hold a whole
# program, its constants and the model's arrays.
_like: dict[Any, Loop] = {}


def loop_of(group: Group, needed: Callable[[Value], bool], place: View | None = None) -> Loop:
    """The loop of a group; `needed` says whether a value is read elsewhere, `place` where a copy is written to."""
    if place is not None:
        return _worked_out(group, needed, {group.items[0].node.out: place})
    kind = _kind_of(group, needed)
    known = _like.get(kind)
    if known is None:
        if len(_like) > 4096:
            _like.clear()
        loop = _worked_out(group, needed, {})
        loop.pattern = _like[kind] = _emptied(loop)
        return loop
    references = [
        Reference(*_accessed(group, origin), like.strides, like.dtype)
        for origin, like in zip(known.origins, known.references, strict=True)
    ]
    scalars = [o for item in group.items for o in item.operands if isinstance(o, Scalar)]
    return replace(known, group=group, references=references, scalars=scalars, pattern=known)


def _emptied(loop: Loop) -> Loop:
    """What equal groups have in common, and no value."""
    nothing: Any = None
    references = [reference._replace(value=nothing) for reference in loop.references]
    return replace(loop, group=nothing, references=references, scalars=[])


def _accessed(group: Group, origin: Any) -> tuple[Value, int]:
    """The value that a reference is for, and its offset."""
    if isinstance(origin, int):
        return group.items[origin].node.out, 0
    item, position = origin
    view = group.items[item].operands[position]
    assert isinstance(view, View)
    return view.value, view.offset


def _kind_of(group: Group, needed: Callable[[Value], bool]) -> Any:
    """What equal groups have in common: all but the values themselves and the numbers."""
    inside = {value: number for number, value in enumerate(group.made)}
    outside: dict[Any, int] = {}
    kinds: list[Any] = [group.space, group.reduced]
    for item in group.items:
        node = item.node
        kinds.append((node.function, isinstance(node, Reduce), item.outer, node.out.dtype, needed(node.out)))
        for operand in item.operands:
            if isinstance(operand, Scalar):
                kinds.append(operand.dtype)
            elif operand.value in inside:
                kinds.append(inside[operand.value])
            else:
                key = operand.value, operand.strides, operand.offset
                kinds.append((outside.setdefault(key, len(outside)), operand.strides, operand.dtype))
    return tuple(kinds)


def _worked_out(group: Group, needed: Callable[[Value], bool], places: dict[Value, View]) -> Loop:
    phases, keep = _passes(group, needed)
    stored = [
        number for number, item in enumerate(group.items) if needed(item.node.out) or item.node.out in keep
    ]
    accesses: list[tuple[Any, View]] = []
    for number, item in enumerate(group.items):
        for position, operand in enumerate(item.operands):
            if isinstance(operand, View) and operand.value not in group.made:
                accesses.append(((number, position), operand))
    for number in stored:
        item = group.items[number]
        shape = group.kept if item.outer else group.space
        own = View(item.node.out, shape, row_major(shape))
        accesses.append((number, places.get(item.node.out, own)))
    return _joined(group, phases, accesses)


def _passes(group: Group, needed: Callable[[Value], bool]) -> tuple[list[int], set[Value]]:
    """The pass of each item, and the values of an earlier pass that a later one loads instead of computing again."""
    phases: list[int] = []
    ready: dict[Value, int] = {}  # the first pass that can use an outer value; a full one's own pass
    for item in group.items:
        phase = max((ready.get(o.value, 0) for o in item.operands if isinstance(o, View)), default=0)
        phases.append(phase)
        ready[item.node.out] = phase + 1 if isinstance(item.node, Reduce) else phase
    keep: set[Value] = set()
    for item, phase in zip(group.items, phases, strict=True):
        if item.outer and not isinstance(item.node, Reduce):
            continue
        for operand in item.operands:
            if not isinstance(operand, View) or operand.value not in group.made:
                continue
            made = group.made[operand.value]
            again = not made.outer and ready[operand.value] < phase and not needed(operand.value)
            if again and _cost(group, made) > _CHEAP:
                keep.add(operand.value)
    return phases, keep


def _cost(group: Group, item: Item) -> int:
    """Nodes to compute an item from what is loaded; many for an elementary function."""
    seen: set[Value] = set()
    pending, total = [item], 0
    while pending:
        current = pending.pop()
        if current.node.out in seen or current.outer:
            continue
        seen.add(current.node.out)
        total += 100 if current.node.function in EXPENSIVE else 1
        views = (operand for operand in current.operands if isinstance(operand, View))
        pending += [group.made[view.value] for view in views if view.value in group.made]
    return total


def _joined(group: Group, phases: list[int], accesses: list[tuple[Any, View]]) -> Loop:
    axes = [a for a, n in enumerate(group.space) if n != 1]
    outer = [a for a in axes if a not in group.reduced]
    inner = [a for a in axes if a in group.reduced]
    across = bool(outer and inner and outer[-1] > inner[-1])
    table = [[view.strides[a] for a in range(len(group.space))] for _, view in accesses]
    if not group.reduced:
        merged = _merge(outer, group.space, table)
        outer, inner = merged[:-1], merged[-1:] or [[]]  # a single number is walked over too
    else:
        outer, inner = _merge(outer, group.space, table), _merge(inner, group.space, table)
    runs = [*outer, *inner]
    sizes = tuple(math.prod(group.space[a] for a in run) for run in runs)
    references: list[Reference] = []
    origins: list[Any] = []
    known: dict[Reference, int] = {}
    loads: dict[tuple[int, int], int] = {}
    stores: dict[int, int] = {}
    for (place, view), strides in zip(accesses, table, strict=True):
        along = tuple(strides[run[-1]] if run else 0 for run in runs)
        made = Reference(view.value, view.offset, along, view.value.dtype)
        if place.__class__ is tuple and made in known:
            loads[place] = known[made]
            continue
        number = len(references)
        references.append(made)
        origins.append(place)
        if place.__class__ is tuple:
            loads[place] = known[made] = number
        else:
            stores[place] = number
    scalars: list[Scalar] = []
    numbers: dict[tuple[int, int], int] = {}
    for number, item in enumerate(group.items):
        for position, operand in enumerate(item.operands):
            if isinstance(operand, Scalar):
                numbers[number, position] = len(scalars)
                scalars.append(operand)
    loop = Loop(
        group, sizes, len(outer), across, references, scalars, loads, numbers, stores, phases, origins
    )
    _share(loop)
    return loop


def _merge(axes: list[int], space: tuple[int, ...], table: list[list[int]]) -> list[list[int]]:
    """Neighbouring axes that all accesses walk over without a gap, as runs."""
    runs: list[list[int]] = []
    for axis in axes:
        if runs:
            before = runs[-1][-1]
            if all(row[before] == row[axis] * space[axis] for row in table):
                runs[-1].append(axis)
                continue
        runs.append([axis])
    return runs


def _share(loop: Loop) -> None:
    """How the outer indices are shared out: by sizes alone, so that the bits depend on no number of threads."""
    total = max(1, math.prod(loop.sizes))
    if loop.outer == 0 and not loop.group.reduced:
        units, each = total, 1  # one long axis is cut itself
    elif loop.across:
        units = math.prod(loop.sizes[: loop.outer - 1]) * -(-loop.sizes[loop.outer - 1] // COLUMNS)
        each = total // max(1, units)
    else:
        units = math.prod(loop.sizes[: loop.outer])
        each = total // max(1, units)
    loop.share = max(1, _TASK // max(1, each))
    loop.tasks = -(-units // loop.share)


COLUMNS = 64  # of the last outer axis, which one unit of work takes when lanes run along it
