"""Operations that move elements without changing them: shapes, axes, joining, repeating."""

# pyright: reportGeneralTypeIssues=false
# A rule may name the operation it belongs to: at run time the name is there, pyright sees a circle.

import builtins
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autograd_core.dtypes import Array, Shape
from autograd_core.ops import arguments
from autograd_core.ops.arguments import integer
from autograd_core.ops.define import elementwise, operation
from autograd_core.ops.elementwise import where
from autograd_core.tape import Value


def as_sizes(sizes: Any) -> Shape:
    """One integer, or several, of Python or NumPy, as a tuple."""
    if type(sizes) is tuple:
        return tuple(map(_size, sizes))
    return (_size(sizes),) if np.ndim(sizes) == 0 else tuple(map(_size, sizes))


def _size(value: Any) -> int:
    """One integer; whatever has `__index__` is one, but no boolean."""
    return (
        value
        if type(value) is int
        else operator.index(integer("a size", value) if isinstance(value, bool) else value)
    )


_SMALL = 4096  # elements below which filling an array (1.7 µs for 3,200) beats NumPy's broadcast view (8 µs)


@operation(lambda g, shapes: reshape(g, shapes[0]), kind="view")
def _reshape(x: Array, shape: Shape = ()) -> Array:
    return np.reshape(x, shape)


def reshape(x: Array, shape: int | Sequence[int]) -> Array:
    """The elements of x in row-major order, in another shape; one size may be -1.

    >>> import autograd_core as ag
    >>> ag.reshape(ag.arange(6), (2, -1)).shape
    (2, 3)
    """
    return _reshape(x, shape=as_sizes(shape))


@operation(lambda g, axes: permute_dims(g, _inverse(axes)), kind="view")
def _permute_dims(x: Array, axes: tuple[int, ...] = ()) -> Array:
    return np.transpose(x, axes)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(a) for a in np.argsort([a % len(axes) for a in axes]))


def permute_dims(x: Array, axes: Sequence[int]) -> Array:
    """x with its axes in the given order.

    >>> import autograd_core as ag
    >>> ag.permute_dims(ag.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return _permute_dims(x, axes=as_sizes(axes))


def transpose(x: Array) -> Array:
    """x with its axes reversed."""
    return _permute_dims(x, axes=tuple(range(x.ndim))[::-1])


def matrix_transpose(x: Array) -> Array:
    """x with its last two axes swapped."""
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose: x has {x.ndim} dimensions, a matrix needs 2")
    return _permute_dims(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def moveaxis(x: Array, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """x with some axes moved to new places, the others keeping their order.

    >>> import autograd_core as ag
    >>> ag.moveaxis(ag.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    sources = normalize_axis_tuple(arguments.axes(source), x.ndim, "source")
    targets = normalize_axis_tuple(arguments.axes(destination), x.ndim, "destination")
    if len(sources) != len(targets):
        raise ValueError(f"{len(sources)} source axes but {len(targets)} destinations: give one for each")
    axes = [a for a in range(x.ndim) if a not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        axes.insert(target, origin)
    return permute_dims(x, axes)


@operation(lambda g, shapes: reshape(g, shapes[0]), kind="view")
def squeeze(x: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """x without the given axes, each of size 1 (None: all of them).

    >>> import autograd_core as ag
    >>> ag.squeeze(ag.zeros((2, 1, 3)), axis=1).shape
    (2, 3)
    """
    return np.squeeze(x, axis=arguments.axes(axis))


@operation(lambda g, shapes: reshape(g, shapes[0]), kind="view")
def expand_dims(x: Array, axis: int | tuple[int, ...] = 0) -> Array:
    """x with a new axis of size 1 at each given place.

    >>> import autograd_core as ag
    >>> ag.expand_dims(ag.zeros(3), axis=0).shape
    (1, 3)
    """
    return np.expand_dims(x, arguments.axes(axis))


@elementwise(lambda g: g)
def _broadcast_to(x: Array, shape: Shape = ()) -> Array:
    if math.prod(shape) > _SMALL:
        return np.broadcast_to(x, shape)
    out = np.empty(shape, x.dtype)
    out[...] = x
    return out


def broadcast_to(x: Array, shape: int | Sequence[int]) -> Array:
    """x repeated along axes of size 1, and along new leading axes, to fill `shape`.

    >>> import autograd_core as ag
    >>> ag.broadcast_to(ag.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]], dtype=float32)
    """
    return _broadcast_to(x, shape=as_sizes(shape))


def _concat_rule(g: Any, shapes: Sequence[Shape], position: int, axis: int) -> Any:
    start = builtins.sum(shape[axis] for shape in shapes[:position])
    where_from = [slice(None)] * g.ndim
    where_from[axis] = slice(start, start + shapes[position][axis])
    return g[tuple(where_from)]


@operation(_concat_rule)
def _concat(*arrays: Array, axis: int = 0) -> Array:
    return np.concatenate(arrays, axis=axis)


def concat(arrays: Sequence[Any], axis: int | None = 0) -> Array:
    """Arrays joined along an existing axis (None: flattened first).

    >>> import autograd_core as ag
    >>> ag.concat([ag.tensor([1.0]), ag.tensor([2.0, 3.0])])
    tensor([1., 2., 3.], dtype=float32)
    """
    if isinstance(arrays, Value):
        arrays = list(arrays)  # a tensor is a sequence of its rows
    if axis is None:
        return _concat(*(reshape(a, -1) for a in arrays), axis=0)
    ndim = arrays[0].ndim if len(arrays) else 0
    return _concat(*arrays, axis=axis + ndim if -ndim <= axis < 0 else axis)


def stack(arrays: Sequence[Any], axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis.

    >>> import autograd_core as ag
    >>> ag.stack([ag.zeros(3), ag.ones(3)], axis=1).shape
    (3, 2)
    """
    return concat([expand_dims(a, axis=axis) for a in arrays], axis=axis)


def split(x: Array, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """x cut along `axis`, into equal parts (a number) or before the given indices. A list.

    >>> import autograd_core as ag
    >>> [part.shape for part in ag.split(ag.zeros((2, 8)), 4, axis=1)]
    [(2, 2), (2, 2), (2, 2), (2, 2)]
    """
    axis = normalize_axis_index(integer("axis", axis), x.ndim)
    size = x.shape[axis]
    if np.ndim(indices_or_sections) == 0:
        parts = integer("indices_or_sections", indices_or_sections)
        if parts < 1 or size % parts:
            raise ValueError(f"split: {parts} equal parts do not fit axis {axis} of size {size}")
        cuts = [size // parts * i for i in range(1, parts)]
    else:
        cuts = [integer("an index to split at", cut) for cut in indices_or_sections]
    before = (slice(None),) * axis
    return [x[(*before, slice(a, b))] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]


@operation(lambda g, axis: flip(g, axis=axis), kind="view")
def flip(x: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """x in reverse order along `axis` (None: along all).

    >>> import autograd_core as ag
    >>> ag.flip(ag.tensor([1.0, 2.0, 3.0]))
    tensor([3., 2., 1.], dtype=float32)
    """
    return np.flip(x, axis=arguments.axes(axis))


def _negated(shift: int | tuple[int, ...]) -> int | tuple[int, ...]:
    return tuple(-s for s in shift) if isinstance(shift, tuple | list) else -shift


@operation(lambda g, shift, axis: _roll(g, shift=_negated(shift), axis=axis))
def _roll(x: Array, shift: int | tuple[int, ...] = 0, axis: int | tuple[int, ...] | None = None) -> Array:
    return np.roll(x, shift, axis=axis)


def roll(x: Array, shift: int | Sequence[int] = 0, axis: int | Sequence[int] | None = None) -> Array:
    """x with its elements moved along `axis` (None: of the flattened array), those pushed out coming in again.

    >>> import autograd_core as ag
    >>> ag.roll(ag.tensor([1.0, 2.0, 3.0]), 1)
    tensor([3., 1., 2.], dtype=float32)
    """
    shift, axis = _unchanging(shift), arguments.axes(_unchanging(axis))
    for each in shift if isinstance(shift, tuple) else (shift,):
        integer("shift", each)
    return _roll(x, shift=shift, axis=axis)


def _unchanging(sizes: Any) -> Any:
    """A list or array of sizes as a tuple, which its owner cannot change before the backward pass."""
    found = sizes.tolist() if isinstance(sizes, np.ndarray) else sizes
    return tuple(found) if isinstance(found, list) else found


def _pad_rule(g: Any, shapes: Sequence[Shape], widths: Sequence[tuple[int, int]]) -> Any:
    return g[tuple(slice(a, a + size) for (a, _), size in zip(widths, shapes[0], strict=True))]


@operation(_pad_rule)
def _pad(x: Array, widths: tuple[tuple[int, int], ...] = (), value: float = 0) -> Array:
    return np.pad(x, widths, constant_values=value) if widths else np.array(x)  # NumPy refuses a 0-d array


def pad(x: Array, pad_width: Any, mode: str = "constant", constant_values: float = 0) -> Array:
    """x with elements added before and after along each axis, as `numpy.pad`.

    `pad_width` is a number, (before, after), or one such pair for each axis. Modes: constant, edge, reflect,
    symmetric, wrap.

    >>> import autograd_core as ag
    >>> ag.pad(ag.tensor([1.0, 2.0]), (1, 2))
    tensor([0., 1., 2., 0., 0.], dtype=float32)
    """
    if np.asarray(pad_width).dtype.kind not in "iu":
        raise TypeError(f"pad_width is {pad_width!r}: give integers")
    widths = tuple((int(a), int(b)) for a, b in np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)))
    if mode == "constant":
        return _pad(x, widths=widths, value=constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f"pad: mode {mode!r} is not one of constant, edge, reflect, symmetric, wrap")
    for axis, width in enumerate(widths):
        if width != (0, 0):
            positions = np.pad(np.arange(x.shape[axis]), width, mode=mode)  # pyright: ignore[reportCallIssue, reportArgumentType]
            x = x[(*(slice(None),) * axis, positions)]
    return x


def tile(x: Array, repetitions: int | Sequence[int]) -> Array:
    """x laid side by side, so many times along each axis, as `numpy.tile`.

    >>> import autograd_core as ag
    >>> ag.tile(ag.tensor([1.0, 2.0]), 2)
    tensor([1., 2., 1., 2.], dtype=float32)
    """
    times = as_sizes(repetitions)
    ndim = builtins.max(len(times), x.ndim)
    times = (1,) * (ndim - len(times)) + times
    shape = (1,) * (ndim - x.ndim) + tuple(x.shape)
    paired = [size for i in range(ndim) for size in (1, shape[i])]
    filled = [size for i in range(ndim) for size in (times[i], shape[i])]
    return reshape(
        broadcast_to(reshape(x, paired), filled), [t * s for t, s in zip(times, shape, strict=True)]
    )


def repeat(x: Array, repeats: int | Sequence[int], axis: int | None = None) -> Array:
    """Each element, or slice along `axis`, so many times in a row, as `numpy.repeat`.

    >>> import autograd_core as ag
    >>> ag.repeat(ag.tensor([1.0, 2.0]), 2)
    tensor([1., 1., 2., 2.], dtype=float32)
    """
    counts = np.asarray(repeats)
    if counts.dtype.kind not in "iu" and counts.size:
        raise TypeError(f"repeats is {repeats!r}: give an integer, or one for each element")
    if axis is None:
        x, axis = reshape(x, -1), 0
    axis = normalize_axis_index(integer("axis", axis), x.ndim)
    positions = np.repeat(np.arange(x.shape[axis]), repeats)
    return x[(*(slice(None),) * axis, positions)]


def _triangle(x: Array, keep: Any) -> Array:
    if x.ndim < 2:
        raise ValueError(f"x has {x.ndim} dimensions, a triangle needs at least 2 dimensions: reshape it")
    return where(keep, x, False if x.dtype.kind == "b" else 0)


def tril(x: Array, k: int = 0) -> Array:
    """The lower triangle of each matrix, up to diagonal k; zeros elsewhere.

    >>> import autograd_core as ag
    >>> ag.tril(ag.ones((2, 2)))
    tensor([[1., 0.],
            [1., 1.]], dtype=float32)
    """
    return _triangle(x, np.tri(*x.shape[-2:], k=integer("k", k), dtype=bool))


def triu(x: Array, k: int = 0) -> Array:
    """The upper triangle of each matrix, from diagonal k; zeros elsewhere.

    >>> import autograd_core as ag
    >>> ag.triu(ag.ones((2, 2)))
    tensor([[1., 1.],
            [0., 1.]], dtype=float32)
    """
    return _triangle(x, ~np.tri(*x.shape[-2:], k=integer("k", k) - 1, dtype=bool))
