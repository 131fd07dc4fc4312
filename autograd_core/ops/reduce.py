"""Reductions over axes, and the scans built on them."""

# pyright: reportGeneralTypeIssues=false
# A rule may name the operation it belongs to: at run time the name is there, pyright sees a circle.

import builtins
import math
from typing import Any

import numpy as np

from autograd_core.dtypes import Array, Axis, Shape
from autograd_core.ops import arguments
from autograd_core.ops.define import operation
from autograd_core.ops.elementwise import (
    as_float,
    as_kind,
    astype,
    exp,
    multiply,
    sqrt,
    where,
)  # fmt: skip
from autograd_core.ops.large import is_large_float
from autograd_core.ops.shape import broadcast_to, concat, flip, pad, permute_dims, reshape
from autograd_core.sweep import set_large_sum

_FLOATS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes as sorted non-negative numbers; None means all. Raises AxisError when one is out of range."""
    axis = arguments.axes(axis)
    chosen = range(ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    for a in chosen:
        if not -ndim <= a < ndim:
            raise np.exceptions.AxisError(
                f"axis {a} is out of range for {ndim} dimensions: use {-ndim} to {ndim - 1}"
            )
    found = sorted(a % ndim for a in chosen)
    if len(set(found)) != len(found):
        raise ValueError(f"axis {axis} names an axis twice")
    return tuple(found)


def expand_reduced(g: Any, shape: Shape, axis: Axis, keepdims: bool) -> Any:
    """A reduction's result or cotangent with the reduced axes back, of size 1."""
    if keepdims or g.ndim == len(shape):
        return g
    reduced = axes_of(axis, len(shape))
    return reshape(g, tuple(1 if i in reduced else size for i, size in enumerate(shape)))


def spread(g: Any, shape: Shape, axis: Axis, keepdims: bool) -> Any:
    """A reduction's cotangent, repeated over the axes that were summed away."""
    if axis is None:
        return broadcast_to(g, shape)
    return broadcast_to(expand_reduced(g, shape, axis, keepdims), shape)


def count(shape: Shape, axis: Axis) -> int:
    """How many elements are reduced into one."""
    return math.prod(shape) if axis is None else math.prod(shape[a] for a in axes_of(axis, len(shape)))


def _as_channels(x: Array, axis: Axis) -> Array | None:
    """A large x as (outer, channels, inner), the axes that are kept in the middle; None where NumPy does it."""
    if not is_large_float(x):
        return None
    axes = axes_of(axis, x.ndim)
    kept = [a for a in range(x.ndim) if a not in axes]
    if not axes or (kept and kept[-1] - kept[0] >= len(kept)):
        return None
    first, past = (kept[0], kept[-1] + 1) if kept else (0, 0)
    return x.reshape(math.prod(x.shape[:first]), math.prod(x.shape[first:past]), math.prod(x.shape[past:]))


def _reduced_shape(shape: Shape, axis: Axis, keepdims: bool) -> Shape:
    axes = axes_of(axis, len(shape))
    return tuple(1 if a in axes else n for a, n in enumerate(shape) if keepdims or a not in axes)


def total_of(x: Array, axis: Axis, keepdims: bool = False) -> Array:
    """NumPy's sum; of large arrays a kernel's, twice as fast, and exact where NumPy adds up row by row."""
    channels = _as_channels(x, axis)
    if channels is None:
        return np.add.reduce(x, axis=axis, keepdims=keepdims)
    from autograd_core.kernels import channel as kernels

    return kernels.sums(channels).reshape(_reduced_shape(x.shape, axis, keepdims))


set_large_sum(total_of)


@operation(lambda g, shapes, axis, keepdims: spread(g, shapes[0], axis, keepdims), kind="reduction")
def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over `axis` (all axes: None).

    >>> import autograd_core as ag
    >>> ag.sum(ag.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([4., 6.], dtype=float32)
    """
    return total_of(x, axis, keepdims)


@operation(
    lambda g, shapes, axis, keepdims: spread(g / count(shapes[0], axis), shapes[0], axis, keepdims),
    kind="reduction",
)
def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The arithmetic mean over `axis` (all axes: None).

    >>> import autograd_core as ag
    >>> ag.mean(ag.tensor([1.0, 2.0, 6.0])).item()
    3.0
    """
    if getattr(x, "dtype", None) not in _FLOATS:
        x = as_kind(x, np.float64)  # as np.mean: a sum of integers could wrap around
    total = total_of(x, axis, keepdims)  # a third of np.mean's time on 3,200 elements
    return total / count(x.shape if type(x) is np.ndarray else np.shape(x), axis)


def _var_rule(g: Any, x: Any, axis: Axis, correction: float, keepdims: bool) -> Any:
    divisor = _divisor(x.shape, axis, correction)
    centered = x - mean(x, axis=axis, keepdims=True)
    return expand_reduced(g, x.shape, axis, keepdims) * (2 / divisor if divisor else math.inf) * centered


def _divisor(shape: Shape, axis: Axis, correction: float) -> float:
    """What a variance's sum of squares is divided by; 0, not less, where there are fewer elements than `correction`."""
    if isinstance(correction, bool) or not isinstance(correction, int | float | np.integer | np.floating):
        raise TypeError(
            f"correction is {correction!r} ({type(correction).__name__}): give a number, 0 or 1, say"
        )
    return builtins.max(count(shape, axis) - correction, 0)


@operation(_var_rule, kind="reduction")
def var(x: Array, axis: Axis = None, correction: float = 0, keepdims: bool = False) -> Array:
    """The variance over `axis`: squared deviations from the mean, summed, over (count - correction).

    NaN for no elements, and its derivative with it; likewise where `correction` leaves nothing to divide by. The sum is
    corrected for the rounding of the mean, so data far from 0 keep their digits (Chan, Golub, LeVeque 1983).

    >>> import autograd_core as ag
    >>> ag.var(ag.tensor([1.0, 3.0]), correction=1).item()
    2.0
    """
    n, channels = count(np.shape(x), axis), _as_channels(x, axis)
    if channels is None:
        centered = x - np.mean(x, axis=axis, keepdims=True)
        total = np.add.reduce(np.square(centered), axis=axis, keepdims=keepdims)
        if n:
            total = corrected(total, np.add.reduce(centered, axis=axis, keepdims=keepdims), n)
    else:
        from autograd_core.kernels import channel as kernels

        total = kernels.moments(channels)[1].reshape(_reduced_shape(x.shape, axis, keepdims)) * n
    return total / np.asarray(_divisor(np.shape(x), axis, correction), total.dtype)


def corrected(squares: Array, sums: Array, n: int) -> Array:
    """Σ(x - m)² less n · (mean - m)², for a rounded mean m and sums = Σ(x - m) (Chan, Golub, LeVeque 1983, eq. 1.7)."""
    return np.maximum(squares - np.square(finite_or_zero(sums)) / n, 0)


def std(x: Array, axis: Axis = None, correction: float = 0, keepdims: bool = False) -> Array:
    """The standard deviation over `axis`: the root of `var`.

    >>> import autograd_core as ag
    >>> ag.std(ag.tensor([1.0, 3.0])).item()
    1.0
    """
    return sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def prod(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The product over `axis`, as a tree of pairwise products: right to every order also where factors are 0.

    >>> import autograd_core as ag
    >>> ag.prod(ag.tensor([2.0, 3.0, 4.0])).item()
    24.0
    """
    if x.dtype.kind != "f":
        x = astype(x, dtype=np.prod(np.empty(0, x.dtype)).dtype)  # NumPy multiplies small integers in int64
    axes = axes_of(axis, x.ndim)
    if not isinstance(keepdims, int | np.integer | np.bool_):
        raise TypeError(f"keepdims is a {type(keepdims).__name__}: give True or False")
    kept = [a for a in range(x.ndim) if a not in axes]
    factors = count(x.shape, axes)
    rows = reshape(permute_dims(x, (*axes, *kept)), (factors, *(x.shape[a] for a in kept)))
    if factors == 0:
        return sum(x, axis=axes, keepdims=keepdims) + 1  # the empty product; the graph goes on
    while factors > 1:
        half = factors // 2
        pairs = multiply(rows[:half], rows[half : 2 * half])
        rows = pairs if factors % 2 == 0 else concat([pairs, rows[2 * half :]], axis=0)
        factors = rows.shape[0]
    shape = tuple(1 if a in axes else size for a, size in enumerate(x.shape))
    return reshape(rows, shape if keepdims else tuple(x.shape[a] for a in kept))


def _extremum_rule(g: Any, x: Any, out: Any, axis: Axis, keepdims: bool) -> Any:
    extremum = expand_reduced(out, x.shape, axis, keepdims)
    unknown = extremum != extremum  # there is a NaN, and nobody knows which element is the extremum
    chosen = (x == extremum) | unknown
    ties = sum(chosen, axis=axis, keepdims=True).astype(g.dtype)
    share = where(unknown, math.nan, expand_reduced(g, x.shape, axis, keepdims) / ties)
    return where(chosen, share, 0)


@operation(_extremum_rule, kind="reduction")
def max(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest element over `axis`; NaN wins. Equal largest elements share the derivative.

    Where the result is NaN, so is the derivative for all that was reduced, as in PyTorch (`amax`) and JAX.

    >>> import autograd_core as ag
    >>> ag.max(ag.tensor([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    tensor([5., 7.], dtype=float32)
    """
    return np.max(x, axis=axis, keepdims=keepdims)


@operation(_extremum_rule, kind="reduction")
def min(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest element over `axis`; NaN wins. Equal smallest elements share the derivative.

    Where the result is NaN, so is the derivative for all that was reduced, as in PyTorch (`amin`) and JAX.

    >>> import autograd_core as ag
    >>> ag.min(ag.tensor([[1.0, 5.0], [7.0, 2.0]])).item()
    1.0
    """
    return np.min(x, axis=axis, keepdims=keepdims)


@operation(kind="reduction")
def argmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The position of the largest element (the first of equals), in the flattened array when axis is None.

    >>> import autograd_core as ag
    >>> ag.argmax(ag.tensor([1.0, 5.0, 2.0])).item()
    1
    """
    return np.argmax(x, axis=axis, keepdims=keepdims)


@operation(kind="reduction")
def argmin(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The position of the smallest element (the first of equals), in the flattened array when axis is None.

    >>> import autograd_core as ag
    >>> ag.argmin(ag.tensor([4.0, 5.0, 2.0])).item()
    2
    """
    return np.argmin(x, axis=axis, keepdims=keepdims)


@operation(kind="reduction")
def all(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether every element over `axis` is true (not 0).

    >>> import autograd_core as ag
    >>> bool(ag.all(ag.tensor([1.0, 2.0]) > 0))
    True
    """
    return np.all(x, axis=axis, keepdims=keepdims)


@operation(kind="reduction")
def any(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether some element over `axis` is true (not 0).

    >>> import autograd_core as ag
    >>> bool(ag.any(ag.tensor([1.0, 2.0]) > 3))
    False
    """
    return np.any(x, axis=axis, keepdims=keepdims)


@operation(lambda g, axis: flip(cumulative_sum(flip(g, axis=axis), axis=axis), axis=axis), kind="kernel")
def _cumulative_sum(x: Array, axis: int = 0) -> Array:
    return np.cumsum(x, axis=axis)


def cumulative_sum(x: Array, axis: int | None = None, include_initial: bool = False) -> Array:
    """Sums of the elements up to and including each, along `axis` (needed when x has more than one).

    `include_initial` puts the empty sum, 0, first.

    >>> import autograd_core as ag
    >>> ag.cumulative_sum(ag.tensor([1.0, 2.0, 3.0]))
    tensor([1., 3., 6.], dtype=float32)
    """
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"cumulative_sum: x has {x.ndim} dimensions: say along which axis")
        axis = 0
    sums = _cumulative_sum(x, axis=axis)
    if not include_initial:
        return sums
    (axis,) = axes_of(axis, x.ndim)
    return pad(sums, [(1, 0) if a == axis else (0, 0) for a in range(x.ndim)])


def finite_or_zero(m: Array) -> Array:
    return np.where(np.isfinite(m), m, np.zeros((), m.dtype))


def _logsumexp_rule(g: Any, x: Any, out: Any, axis: Axis, keepdims: bool) -> Any:
    # A term's share. Of infinite terms it is NaN, as in PyTorch and JAX: ∞ - ∞.
    shares = exp(x - expand_reduced(out, x.shape, axis, keepdims))
    return expand_reduced(g, x.shape, axis, keepdims) * shares


@operation(_logsumexp_rule, kind="reduction")
def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """log Σ exp(x) over `axis`, without overflow; -∞ where all terms are -∞, or there are none.

    The derivative is softmax(x): NaN for terms that are -∞ when all are, and for those that are +∞, as in PyTorch and
    JAX.

    >>> import autograd_core as ag
    >>> ag.logsumexp(ag.tensor([1000.0, 1000.0])).item() - 1000.0
    0.69317626953125
    """
    x = as_float(x)
    m = finite_or_zero(np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    total = np.add.reduce(np.exp(x - m), axis=axis, keepdims=True)
    out = np.log(total) + m
    return out if keepdims else np.squeeze(out, axis=axes_of(axis, np.ndim(x)))


def _norm_rule(g: Any, x: Any, out: Any, axis: Axis, keepdims: bool) -> Any:
    length = expand_reduced(out, x.shape, axis, keepdims)
    return expand_reduced(g, x.shape, axis, keepdims) * (x / where(length == 0, math.inf, length))


@operation(_norm_rule, kind="reduction")
def norm(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The Euclidean norm √Σx² over `axis` (all axes: None); its derivative at 0 is taken as 0.

    >>> import autograd_core as ag
    >>> ag.norm(ag.tensor([3.0, 4.0])).item()
    5.0
    """
    return np.sqrt(np.add.reduce(np.square(as_float(x)), axis=axis, keepdims=keepdims))
