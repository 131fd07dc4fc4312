"""What may enter the engine as an array, and with which dtype.

NumPy's promotion (NEP 50) rules everywhere: Python scalars are weak, ndarrays keep their dtype, Python lists of
floats take the default float dtype, float32 until `set_default_dtype` says otherwise.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

# The annotation that marks an operation's array inputs. An operation built from others takes tensors in its place.
if TYPE_CHECKING:
    Array = Any
else:
    Array = npt.NDArray[Any]
Shape = tuple[int, ...]
Axis = int | tuple[int, ...] | None
DTypeLike = npt.DTypeLike

SUPPORTED = frozenset(
    np.dtype(name)
    for name in "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split()
)

_default_float = np.dtype("float32")


def default_dtype() -> np.dtype[Any]:
    """The dtype that Python floats and lists of them become, and that creation functions use."""
    return _default_float


def set_default_dtype(dtype: DTypeLike) -> None:
    """Choose the dtype of tensors made from Python floats.

    Raises TypeError for anything but float32 and float64.

    >>> import autograd_core as ag
    >>> ag.set_default_dtype("float64")
    >>> ag.tensor([0.5]).dtype
    dtype('float64')
    >>> ag.set_default_dtype("float32")
    """
    global _default_float
    chosen = np.dtype(dtype)
    if chosen not in (np.float32, np.float64):
        raise TypeError(
            f"set_default_dtype: {chosen} is not a float dtype of the engine: use float32 or float64"
        )
    _default_float = chosen


def check_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """The dtype in native byte order; TypeError when the engine does not compute in it."""
    chosen = np.dtype(dtype).newbyteorder("=")
    if chosen not in SUPPORTED:
        raise TypeError(
            f"dtype {chosen} is not supported: convert first, for example with np.asarray(data, 'float32') "
            "(float32, float64, bool and the 8- to 64-bit integers are)"
        )
    return chosen


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether tensors of this dtype can require a gradient."""
    return dtype.kind == "f"


_MADE_ANEW = frozenset((list, tuple, bool, int, float))  # of these np.asarray makes an array of its own


def as_array(data: Any, dtype: DTypeLike | None = None, copy: bool = False) -> Array:
    """`data` (nested sequences, scalars, ndarrays, anything with `__array__`) as a native, supported ndarray.

    Raises TypeError for dtypes the engine does not compute in (float16, complex, object, text).
    """
    array = np.asarray(data)
    fresh = type(data) in _MADE_ANEW
    if dtype is not None:
        target = check_dtype(dtype)
        check_dtype(array.dtype)
    elif array.dtype == np.float64 and not has_dtype(data):
        target = _default_float
    else:
        target = check_dtype(array.dtype)
    return array.astype(target, copy=copy and not fresh)


def has_dtype(data: Any) -> bool:
    """Whether `data`, or the first scalar inside nested lists, brings a NumPy dtype of its own."""
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return hasattr(data, "dtype")


def kept(array: Array) -> Array:
    """The array's elements where nobody else can change them: a copy, unless its memory is that of `bytes`.

    A read-only array is copied too: its memory may be another array's, and its owner can make it writable again.
    The copy of a broadcast array repeats its elements as that one does.
    """
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, bytes):
        return array
    if array.size > _SMALL and 0 in array.strides:
        once = tuple(slice(None, 1) if stride == 0 else slice(None) for stride in array.strides)
        return np.broadcast_to(array[once].copy(), array.shape)
    return array.copy()


def unwritable(array: Array) -> Array:
    """A view of the array that nobody can write to: `flags.writeable = True` raises, which of a plain view it does not.

    Its base is a read-only memoryview, not the array, whose own flag NumPy would ask.
    """
    return np.asarray(memoryview(array).toreadonly())


_SMALL = 4096  # elements below which a full copy is cheaper than a broadcast view
