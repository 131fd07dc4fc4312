"""Tensors made from data or from nothing, after the Python array API standard."""

from functools import wraps
from typing import Any, cast

import numpy as np

from autograd_core.dtypes import DTypeLike, as_array, check_dtype, default_dtype, kept
from autograd_core.ops import elementwise as e
from autograd_core.ops import shape as shaping
from autograd_core.primitive import Function, explaining
from autograd_core.tape import Value, capturing, state
from autograd_core.tensor import Tensor

Size = int | tuple[int, ...] | list[int]


@explaining
def tensor(data: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`: nested lists, numbers, ndarrays, tensors.

    Lists of floats take the default dtype (float32), ndarrays keep theirs. A copy of a tensor has no graph; only in a
    function that is being differentiated (`ag.grad` and kin) it is recorded, unless it is to be a leaf
    (`requires_grad=True`). `ag.asarray(t, copy=True)` always records it.

    Raises TypeError for dtypes the engine does not compute in, for integers or booleans that should require a gradient,
    and for lists of tensors that require one: join those with `ag.stack`.

    >>> import autograd_core as ag
    >>> ag.tensor([1.0, 2.0])
    tensor([1., 2.], dtype=float32)
    """
    if state.transforming and _tracked(data) and not requires_grad:
        return _recorded_copy(data, dtype)
    return _finish(as_array(_numbers(data), dtype, copy=True), requires_grad)


def _tracked(data: Any) -> bool:
    """Whether data is a tensor whose gradient a copy must not lose."""
    return isinstance(data, Value) and data.node is not None and state.recording


def _recorded_copy(data: Any, dtype: DTypeLike | None) -> Tensor:
    """The same elements as another tensor: tensors are values, so that they need no memory of their own."""
    return e.alias(data) if dtype is None else e.astype(data, dtype=check_dtype(dtype))


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

    An ndarray is copied, since tensors are values and somebody could still write to it, to a read-only one too; only
    the memory of `bytes` is shared. `copy=False` shares the ndarray's memory all the same (ValueError when that is not
    possible): do not write to it then. `copy=True` gives another tensor also for a tensor, and records it.

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
    if _tracked(data) and not requires_grad:
        return _recorded_copy(data, dtype)
    source = _numbers(data)
    array = as_array(source, dtype)
    lists = isinstance(source, list | tuple)
    shared = array is source or (not lists and np.may_share_memory(array, np.asarray(source)))
    if copy is False and not shared:
        raise ValueError(f"asarray: {type(data).__name__} cannot be shared without a copy, but copy=False")
    if copy:
        array = array.copy()
    elif copy is None and shared:
        array = kept(array)
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
    if _tracked(fill_value) and not requires_grad:
        return shaping.broadcast_to(_recorded_copy(fill_value, dtype), shaping.as_sizes(shape))
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
    _refuse_tracked("arange", "start + step * ag.arange(n)", start, stop, step)
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
    _refuse_tracked("linspace", "start + (stop - start) * ag.linspace(0, 1, num)", start, stop)
    return _finish(np.linspace(start, stop, num, endpoint=endpoint).astype(_dtype(dtype)), requires_grad)


def _refuse_tracked(name: str, instead: str, *bounds: Any) -> None:
    if any(map(_tracked, bounds)):
        raise TypeError(
            f"{name}: a bound is a tensor that requires a gradient, which would be lost: write {instead}, "
            "or give its number, t.item()"
        )


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
    given = [shaping.reshape(asarray(a), -1) for a in arrays]
    order = list(range(len(given)))
    if indexing == "xy" and len(given) > 1:
        order[:2] = 1, 0  # the axis along which each one varies
    sizes = [1] * len(given)
    for axis, a in zip(order, given, strict=True):
        sizes[axis] = a.size
    return [
        shaping.broadcast_to(
            shaping.reshape(a, [a.size if i == axis else 1 for i in range(len(given))]), tuple(sizes)
        )
        for axis, a in zip(order, given, strict=True)
    ]


@explaining
def from_dlpack(x: Any) -> Tensor:
    """A tensor with a copy of the elements of another library's array (PyTorch, JAX, CuPy on the CPU, ...).

    >>> import autograd_core as ag
    >>> ag.from_dlpack(np.array([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    if isinstance(x, Tensor):
        return e.alias(x)
    try:
        given = np.from_dlpack(x)
    except (AttributeError, BufferError) as error:
        raise TypeError(
            f"a {type(x).__name__} cannot be handed over by DLPack ({error}): use ag.tensor(x)"
        ) from None
    return tensor(given)
