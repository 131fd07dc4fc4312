"""Choosing between numbers, element by element: without a branch, in one pass over large arrays.

NumPy's where branches at every element, which for random signs takes ten times as long as reading and writing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import checks
from autograd_core.kernels.launch import Bytes, Floats, kernel
from autograd_core.kernels.recorded import recorded

_TASK = 1 << 15  # elements of a task


@recorded
def relu(x: npt.NDArray) -> npt.NDArray:
    """max(x, 0); NaN stays."""
    out, (x,) = _like("x", x=x)
    _relu(x, out, tasks=-(-x.size // _TASK))
    return out


@recorded
def gate(y: npt.NDArray, x: npt.NDArray) -> npt.NDArray:
    """y where x > 0, else 0; both of one shape."""
    out, (y, x) = _like("y", y=y, x=x)
    _gate(y, x, out, tasks=-(-x.size // _TASK))
    return out


def select(condition: npt.NDArray[np.bool_], x: npt.NDArray | float, y: npt.NDArray | float) -> npt.NDArray:
    """x where the condition holds, else y: arrays of one shape, or one of x and y a number."""
    arrays = {name: a for name, a in (("x", x), ("y", y)) if isinstance(a, np.ndarray)}
    if not arrays or not isinstance(condition, np.ndarray) or condition.dtype != np.bool_:
        raise TypeError("select takes an array of bool, and an array as x, y or both")
    name = next(iter(arrays))
    out, given = _like(name, **arrays)
    if condition.shape != out.shape:
        raise ValueError(
            f"condition has the shape {condition.shape} but {name} has {out.shape}: give both the same"
        )
    mask, tasks = checks.ready(condition).view(np.uint8), -(-out.size // _TASK)
    if len(given) == 2:
        _select(mask, *given, out, tasks=tasks)
    else:
        number = y if name == "x" else x
        _select_number(mask, *given, out, float(number), name == "y", tasks=tasks)
    return out


def _like(name: str, **arrays: npt.NDArray) -> tuple[npt.NDArray, list[npt.NDArray]]:
    """An array for the result, and the arrays as kernels take them; all of one shape and dtype."""
    checks.floats(**arrays)
    first = arrays[name]
    for other, array in arrays.items():
        if array.shape != first.shape:
            raise ValueError(
                f"{name} has the shape {first.shape} but {other} has {array.shape}: give both the same"
            )
    out = np.empty(first.shape, first.dtype.newbyteorder("="))
    return out, [checks.ready(array) for array in arrays.values()]


@kernel
def _relu(task: int, x: Floats, out: Floats) -> None:
    """max(x, 0)."""
    for i in range(np.uint64(task * _TASK), np.uint64(min((task + 1) * _TASK, x.size))):
        out[i] = x.dtype.type(0) if x[i] <= 0 else x[i]


@kernel
def _gate(task: int, y: Floats, x: Floats, out: Floats) -> None:
    """y where x > 0, else 0."""
    for i in range(np.uint64(task * _TASK), np.uint64(min((task + 1) * _TASK, x.size))):
        value = y[i]
        out[i] = value if x[i] > 0 else y.dtype.type(0)


@kernel
def _select(task: int, mask: Bytes, x: Floats, y: Floats, out: Floats) -> None:
    """x where the mask is not 0, else y."""
    for i in range(np.uint64(task * _TASK), np.uint64(min((task + 1) * _TASK, x.size))):
        one, two = x[i], y[i]
        out[i] = one if mask[i] else two


@kernel
def _select_number(task: int, mask: Bytes, x: Floats, out: Floats, number: float, flip: int) -> None:
    """x where mask ≠ flip, else the number."""
    other = x.dtype.type(number)
    for i in range(np.uint64(task * _TASK), np.uint64(min((task + 1) * _TASK, x.size))):
        value = x[i]
        out[i] = value if mask[i] != flip else other
