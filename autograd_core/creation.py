"""Tensors made from data or from nothing, after the Python array API standard."""

from functools import wraps
from typing import Any, cast

import numpy as np

from autograd_core.dtypes import DTypeLike, as_array, check_dtype, default_dtype
from autograd_core.primitive import Function, explaining
from autograd_core.tape import Value, capturing, refuse_tracked
from autograd_core.tensor import Tensor

Size = int | tuple[int, ...] | list[int]


@explaining
def tensor(data: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`: nested lists, numbers, ndarrays, tensors.

    Lists of floats take the default dtype (float32), ndarrays keep theirs. Raises TypeError for dtypes the engine
    does not compute in, and for integers or booleans that should require a gradient.

    >>> import autograd_core as ag
    >>> ag.tensor([1.0, 2.0])
    tensor([1., 2.], dtype=float32)
    """
    return _finish(as_array(_numbers(data), dtype, copy=True), requires_grad)


def _numbers(data: Any) -> Any:
    """`data`, of a tensor its array: inside a compiled function these numbers must always be the same."""
    if isinstance(data, Value):
        if (capture := capturing()) is not None:
            capture.read(data, "a copy")
        return data.array
    return data


def _finish(array: Any, requires_grad: bool) -> Tensor:
    made = Tensor(array)
    if requires_grad:
        made.requires_grad = True
    return made


@explaining
def asarray(
    data: Any, dtype: DTypeLike | None = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """`data` as a tensor. A tensor of the right dtype comes back as it is.

    An ndarray that somebody could still write to is copied, since tensors are values; `copy=False` shares its memory
    all the same (ValueError when that is not possible), `copy=True` always copies.

    >>> import autograd_core as ag
    >>> ag.asarray(np.array([1, 2])).dtype
    dtype('int64')
    """
    if isinstance(data, Tensor) and not copy:
        found = data
        if dtype is not None and (wanted := check_dtype(dtype)) != data.dtype:
            if copy is False:
                raise ValueError(f"asarray: {data.dtype} to {dtype} needs a copy, but copy=False")
            found = data.astype(wanted)
        if requires_grad:
            found.requires_grad = True
        return found
    source = _numbers(data)
    refuse_tracked(source)
    array = as_array(source, dtype)
    shared = isinstance(source, np.ndarray) and (array is source or np.may_share_memory(array, source))
    if copy is False and not shared:
        raise ValueError(f"asarray: {type(data).__name__} cannot be shared without a copy, but copy=False")
    if copy or (copy is None and shared and array.flags.writeable):
        array = array.copy()
    return _finish(array, requires_grad)


def _dtype(dtype: DTypeLike | None) -> np.dtype[Any]:
    return default_dtype() if dtype is None else check_dtype(dtype)


@explaining
def zeros(shape: Size, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the default float dtype, or of `dtype`.

    >>> import autograd_core as ag
    >>> ag.zeros(2)
    tensor([0., 0.], dtype=float32)
    """
    return _finish(np.zeros(shape, _dtype(dtype)), requires_grad)


@explaining
def ones(shape: Size, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Ones of the default float dtype, or of `dtype`.

    >>> import autograd_core as ag
    >>> ag.ones((1, 2))
    tensor([[1., 1.]], dtype=float32)
    """
    return _finish(np.ones(shape, _dtype(dtype)), requires_grad)


@explaining
def empty(shape: Size, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor whose elements may be anything: they are there to be replaced.

    >>> import autograd_core as ag
    >>> ag.empty((2, 3)).shape
    (2, 3)
    """
    return _finish(np.empty(shape, _dtype(dtype)), requires_grad)


@explaining
def full(shape: Size, fill_value: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """`fill_value` everywhere; without a dtype, that of `ag.tensor(fill_value)`.

    >>> import autograd_core as ag
    >>> ag.full(2, 7)
    tensor([7, 7], dtype=int64)
    """
    value = as_array(_numbers(fill_value), dtype)
    return _finish(np.full(shape, value), requires_grad)


@explaining
def zeros_like(x: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape and dtype of x.

    >>> import autograd_core as ag
    >>> ag.zeros_like(ag.ones(2)).tolist()
    [0.0, 0.0]
    """
    return full_like(x, 0, dtype, requires_grad)


@explaining
def ones_like(x: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape and dtype of x.

    >>> import autograd_core as ag
    >>> ag.ones_like(ag.zeros(2)).tolist()
    [1.0, 1.0]
    """
    return full_like(x, 1, dtype, requires_grad)


@explaining
def empty_like(x: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the shape and dtype of x, whose elements may be anything.

    >>> import autograd_core as ag
    >>> ag.empty_like(ag.zeros(2)).shape
    (2,)
    """
    like = asarray(x)
    return empty(like.shape, like.dtype if dtype is None else dtype, requires_grad)


@explaining
def full_like(x: Any, fill_value: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """`fill_value` everywhere, in the shape and dtype of x.

    >>> import autograd_core as ag
    >>> ag.full_like(ag.zeros(2), 5).tolist()
    [5.0, 5.0]
    """
    like = asarray(x)
    return full(like.shape, fill_value, like.dtype if dtype is None else dtype, requires_grad)


def _of_reals(function: Function) -> Function:
    """TypeError for bounds that are complex numbers, or None for the first."""

    @wraps(function)
    def call(start: Any, *args: Any, **params: Any) -> Any:
        for bound in (start, *args[:2], *params.values()):
            if isinstance(bound, complex | np.complexfloating) or start is None:
                raise TypeError("the bounds must be real numbers: give start and stop as integers or floats")
        return function(start, *args, **params)

    return cast("Function", call)


@explaining
@_of_reals
def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from `start` (0 when only one number is given) by `step`, `stop` excluded.

    Integers stay integers; with a float among the numbers the dtype is the default float dtype.

    >>> import autograd_core as ag
    >>> ag.arange(3)
    tensor([0, 1, 2], dtype=int64)
    """
    if stop is None:
        start, stop = 0, start
    numbers = np.arange(start, stop, step)
    return _finish(
        numbers.astype(_dtype(dtype) if dtype or numbers.dtype.kind == "f" else numbers.dtype), requires_grad
    )


@explaining
@_of_reals
def linspace(
    start: float,
    stop: float,
    num: int,
    dtype: DTypeLike | None = None,
    endpoint: bool = True,
    requires_grad: bool = False,
) -> Tensor:
    """`num` evenly spaced numbers from `start` to `stop`.

    >>> import autograd_core as ag
    >>> ag.linspace(0, 1, 3)
    tensor([0. , 0.5, 1. ], dtype=float32)
    """
    return _finish(np.linspace(start, stop, num, endpoint=endpoint).astype(_dtype(dtype)), requires_grad)


@explaining
def eye(
    n_rows: int,
    n_cols: int | None = None,
    k: int = 0,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on diagonal k, zeros elsewhere.

    >>> import autograd_core as ag
    >>> ag.eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return _finish(np.eye(n_rows, n_cols, k, _dtype(dtype)), requires_grad)


@explaining
def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Tensor]:
    """Coordinate matrices of a grid from its coordinate vectors.

    >>> import autograd_core as ag
    >>> [m.shape for m in ag.meshgrid(ag.arange(3), ag.arange(2))]
    [(2, 3), (2, 3)]
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing is 'xy' or 'ij', not {indexing!r}")
    grids = np.meshgrid(*(asarray(a).array for a in arrays), indexing=indexing)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return [Tensor(np.ascontiguousarray(grid)) for grid in grids]


@explaining
def from_dlpack(x: Any) -> Tensor:
    """A tensor with a copy of the elements of another library's array (PyTorch, JAX, CuPy on the CPU, ...).

    >>> import autograd_core as ag
    >>> ag.from_dlpack(np.array([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    try:
        given = np.from_dlpack(x)
    except (AttributeError, BufferError) as error:
        raise TypeError(
            f"a {type(x).__name__} cannot be handed over by DLPack ({error}): use ag.tensor(x)"
        ) from None
    return tensor(given)
