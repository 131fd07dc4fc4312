"""What every door function checks before an array reaches compiled code, which checks nothing.

Messages hold the fault and its mend; the engine adds the operation, shapes, dtypes and module path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
MAX_BYTES = 1 << 46  # 64 TiB: no machine has more, and int64 offsets stay far from wrapping


def ready(array: npt.NDArray) -> npt.NDArray:
    """`array` as kernels take it: native byte order, C-contiguous, aligned.

    Kernels never write to an input, and take it by its address: so it may be read-only, as tensors' arrays are.
    """
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned and array.dtype.isnative) or type(array) is not np.ndarray:
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True, subok=False)
    return array


def floats(**arrays: npt.NDArray) -> None:
    """Each is an ndarray of float32 or of float64, all of the same."""
    first = ""
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name} is {type(array).__name__}, expected an ndarray")
        if array.dtype not in FLOATS and array.dtype.newbyteorder("=") not in FLOATS:
            raise TypeError(f"{name} is {array.dtype.name}: give it as float32 or float64 with astype")
        if not first:
            first = name
            continue
        kind, other = array.dtype, arrays[first].dtype
        if kind != other and kind.newbyteorder("=") != other.newbyteorder("="):
            raise TypeError(f"{first} is {other.name} but {name} is {kind.name}: give both the same dtype")


def rank(name: str, array: npt.NDArray, wanted: int, axes: str) -> None:
    if array.ndim != wanted:
        raise ValueError(f"{name} has {array.ndim} axes, expected {wanted}: give it the shape {axes}")


def integers(name: str, values: Sequence[int], length: int, least: int) -> tuple[int, ...]:
    """`values` as a tuple of `length` Python ints, none under `least`."""
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"{name} is {type(values).__name__}, expected a tuple of {length} ints")
    if len(values) != length:
        raise ValueError(
            f"{name} {tuple(values)} has {len(values)} entries, expected {length}, one per spatial axis"
        )
    return tuple(integer(name, value, least) for value in values)


def integer(name: str, value: Any, least: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} holds {value!r} ({type(value).__name__}), expected an int")
    if not least <= value < 1 << 31:
        raise ValueError(f"{name} holds {value}, expected an int from {least} to {(1 << 31) - 1}")
    return int(value)


def allocation(shape: Sequence[int], dtype: npt.DTypeLike) -> tuple[int, ...]:
    """`shape`, once its bytes are known to be possible: products of int64 would wrap, Python's do not."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > MAX_BYTES:
        raise ValueError(f"a result of shape {tuple(shape)} takes {size:,} bytes: make the sizes smaller")
    return tuple(shape)
