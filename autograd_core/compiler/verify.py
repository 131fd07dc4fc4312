"""`verify_every`: the function itself run beside its replay, and what differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autograd_core import tree
from autograd_core.compiler.capture import Argument, Capture, recorded
from autograd_core.compiler.lower import Lowered
from autograd_core.compiler.program import build
from autograd_core.compiler.replay import Replay
from autograd_core.compiler.variant import Variant
from autograd_core.errors import describe
from autograd_core.lines import shown_line
from autograd_core.tape import Value
from autograd_core.tensor import Tensor

_TOLERANCE = {"float32": 1e-3, "float64": 1e-9}  # of the largest element: sums are taken in another order


def verified(
    function: Callable[..., Any],
    variant: Variant,
    args: tuple[Any, ...],
    params: dict[str, Any],
    given: list[Any],
) -> Any:
    """The replay's result, compared with the function's own; AssertionError says what differs first.

    The function runs first, all that it changed is put back, and the program runs from the same state.
    """
    record = Capture(Tensor, keep=True)
    result, tensors = recorded(record, function, args, params)
    wanted = [leaf.array for leaf in tree.leaves(result) if isinstance(leaf, Value)]
    changes = [(owner, kind, None if n is None else record.arrays[n]) for owner, kind, n in record.changes()]
    record.undo()
    found = variant.run(given)
    arrays = [leaf.array for leaf in tree.leaves(found) if isinstance(leaf, Value)]
    alike = len(arrays) == len(wanted) and all(map(_alike, arrays, wanted))
    if alike and all(_is_left(*change) for change in changes):
        return found
    raise AssertionError(
        f"verify: the compiled {getattr(function, '__name__', 'function')} differs from the function itself: "
        + _first_difference(variant, record, tensors)
    )


def _is_left(owner: Any, kind: str, array: Any) -> bool:
    """Whether the replay has left a tensor as the function does."""
    if kind == "array":
        return _alike(owner.array, array)
    grad = getattr(owner, "_grad", None)
    return grad is None if array is None else grad is not None and _alike(grad.array, array)


def _alike(found: Any, wanted: Any) -> bool:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if found.dtype.kind != "f":
        return bool((found == wanted).all())
    finite = wanted[np.isfinite(wanted)]
    scale = float(np.abs(finite).max()) if finite.size else 0.0
    rate = _TOLERANCE[found.dtype.name]
    return np.allclose(found, wanted, rtol=rate, atol=rate * scale, equal_nan=True)


def _first_difference(variant: Variant, record: Capture, tensors: list[Any]) -> str:
    """The first operation that was another one when captured, or that the program computes differently."""
    for before, now in zip(variant.operations, record.operations, strict=False):
        if before.primitive is not now.primitive or before.inputs != now.inputs:
            return f"it now does {_called(now)} where it did {_called(before)} when it was captured"
        if repr(before.params) != repr(now.params):
            return f"{_called(now)} now has the settings {now.params}, when it was captured {before.params}"
    if len(variant.operations) != len(record.operations):
        return f"it now does {len(record.operations)} operations; {len(variant.operations)} were captured"
    for operation, found, wanted in _computed(record, tensors):
        if not _alike(found, wanted):
            return f"{_called(operation)} gives {_sample(found)} where the function has {_sample(wanted)}"
    return (
        "a number that Python makes anew at every call, with NumPy's random numbers, say, was kept as it was"
    )


def _computed(record: Capture, tensors: list[Any]) -> Any:
    """(operation, what a program computes, what the function computed) for each operation that was recorded."""
    record.settle({id(tensor): number for number, tensor in enumerate(tensors)})
    arrays = list(record.arrays)
    lowered = Lowered(record)
    roots = [lowered.graph.root(lowered.symbol(operation.out).view) for operation in record.operations]
    program = build(lowered, roots, {})
    given: list[Any] = list(tensors)
    sources: dict[Any, Any] = {}
    for number, symbol in lowered.symbols.items():
        value = symbol.view.value
        if value in lowered.sources:  # as it was when the function ran
            sources[value] = Argument(len(given))
            given.append(arrays[number])
    replay = Replay(program, sources, [], {}, roots, lowered.launches.found)
    return zip(record.operations, replay(given), [arrays[o.out] for o in record.operations], strict=True)


def _called(operation: Any) -> str:
    place = f" in {operation.module_path}" if operation.module_path else ""
    return f"{operation.primitive.name}{place}, {shown_line(operation.line)}"


def _sample(array: Any) -> str:
    return f"{describe(array)} {np.array2string(array.ravel()[:4], precision=6)}"
