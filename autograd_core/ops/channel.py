"""What normalisation is made of: statistics of each channel (axis 1), and channels moved and scaled, in one pass each.

`scale_shift` and `channel_sums` are each other's derivatives, and that of `moments` is a scale_shift.
"""

# pyright: reportGeneralTypeIssues=false
# A rule may name the operation it belongs to: at run time the name is there, pyright sees a circle.

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd_core.dtypes import Array
from autograd_core.ops.define import operation
from autograd_core.ops.elementwise import as_float, as_kind, rsqrt
from autograd_core.ops.large import is_large
from autograd_core.ops.reduce import corrected, sum


def _axes(x: Any) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _size(x: Any) -> int:
    """The elements of a channel; 1 for none, since one divides by it."""
    return max(1, x.shape[0] * math.prod(x.shape[2:]))


def _along(value: Array, x: Array) -> Array:
    """One number for each channel, in the shape that meets x's channels."""
    return np.reshape(value, (-1,) + (1,) * (x.ndim - 2))


def _arguments(name: str, x: Array, *values: Array) -> list[Array]:
    """x and its channels' numbers in one float dtype, the numbers as arrays (channels,)."""
    x = as_float(x)
    if x.ndim < 2:
        raise ValueError(f"{name}: x has {x.ndim} dimensions: it needs a batch axis and channels on axis 1")
    dtype = np.result_type(x, *values)
    channels = (x.shape[1],)
    made = [np.full(channels, v, dtype) if np.ndim(v) == 0 else as_kind(v, dtype) for v in values]
    for value in made:
        if value.shape != channels:
            raise ValueError(
                f"{name}: x has {channels[0]} channels (axis 1), which take a number or an array of shape "
                f"{list(channels)} each, not {list(value.shape)}"
            )
    return [x.astype(dtype, copy=False), *made]


@operation(lambda g, x, out: scale_shift(x, out[0], g[1] * (2 / _size(x)), g[0] * (1 / _size(x))))
def moments(x: Array) -> Array:
    """Mean and variance of each channel, over the batch and space: x (N, C, ...) → (2, C).

    The variance is that over n = x.size / C elements, not n - 1. Both are NaN where n is 0.

    The variance is corrected for the rounding of the mean, so data far from 0 keep their digits. Where the mean is ∞,
    as NumPy's, the variance is NaN.

    Source: Chan, Golub, LeVeque, "Algorithms for computing the sample variance", 1983.

    >>> import autograd_core as ag
    >>> ag.moments(ag.tensor([[1.0, 5.0], [3.0, 5.0]]))
    tensor([[2., 5.],
            [1., 0.]], dtype=float32)
    """
    (x,) = _arguments("moments", x)
    if is_large(x):
        from autograd_core.kernels import channel as kernels

        return kernels.moments(x)
    if not x.size:
        return np.full((2, x.shape[1]), np.nan, x.dtype)
    axes, n = _axes(x), _size(x)
    mean = np.add.reduce(x, axis=axes) / n
    centred = x - _along(mean, x)
    drift = np.add.reduce(centred, axis=axes)
    squares = np.add.reduce(np.square(centred, out=centred), axis=axes)
    return np.stack([mean, corrected(squares, drift, n) / n])


def _scale_shift_rules(wanted: Sequence[int]) -> Callable[..., Any]:
    """The cotangents together: those of centre, scale and shift come from one pass over g and x."""

    def rule(g: Any, x: Any, centre: Any, scale: Any) -> list[Any]:
        sums = channel_sums(g, x, centre)
        dx = scale_shift(g, 0.0, scale, 0.0) if 0 in wanted else None
        return [dx, scale * -sums[0], sums[1], sums[0]]

    return rule


@operation(
    lambda g, scale: scale_shift(g, 0.0, scale, 0.0),
    lambda g, scale: scale * -sum(g, axis=_axes(g)),
    lambda g, x, centre: channel_sums(g, x, centre)[1],
    lambda g: sum(g, axis=_axes(g)),
    joint=_scale_shift_rules,
)
def scale_shift(x: Array, centre: Array, scale: Array, shift: Array) -> Array:
    """(x - centre) · scale + shift, with numbers or one of each for each channel: x (N, C, ...), the others (C,).

    Subtracting the centre first keeps the digits where x is far from 0.

    >>> import autograd_core as ag
    >>> ag.scale_shift(ag.tensor([[1.0, 2.0], [3.0, 4.0]]), ag.tensor([2.0, 3.0]), 10.0, ag.tensor([0.0, 0.5]))
    tensor([[-10. ,  -9.5],
            [ 10. ,  10.5]], dtype=float32)
    """
    x, centre, scale, shift = _arguments("scale_shift", x, centre, scale, shift)
    if is_large(x):
        from autograd_core.kernels import channel as kernels

        return kernels.scale_shift(x, centre, scale, shift)
    out = x - _along(centre, x)
    out *= _along(scale, x)
    out += _along(shift, x)
    return out


@operation(
    lambda u, x, centre: scale_shift(x, centre, u[1], u[0]),
    lambda u, g: scale_shift(g, 0.0, u[1], 0.0),
    lambda u, out: -u[1] * out[0],
)
def channel_sums(g: Array, x: Array, centre: Array) -> Array:
    """Σ g and Σ g · (x - centre) of each channel: g and x (N, C, ...), centre (C,) → (2, C)."""
    x, centre = _arguments("channel_sums", x, centre)
    g = as_kind(g, x.dtype)
    if is_large(x):
        from autograd_core.kernels import channel as kernels

        return kernels.channel_sums(g, x, centre)
    product = x - _along(centre, x)
    product *= g
    return np.stack([np.add.reduce(g, axis=_axes(x)), np.add.reduce(product, axis=_axes(x))])


@operation(
    lambda u, a: scale_shift(u, 0.0, a, 0.0),
    lambda u, b: scale_shift(u, 0.0, b, 0.0),
    lambda u, b: b * -sum(u, axis=_axes(u)),
    lambda u, g: channel_sums(u, g, 0.0)[1],
    lambda u, x, centre: channel_sums(u, x, centre)[1],
    lambda u: sum(u, axis=_axes(u)),
)
def channel_blend(g: Array, x: Array, centre: Array, a: Array, b: Array, shift: Array) -> Array:
    """g · a + (x - centre) · b + shift: g and x (N, C, ...), the others numbers or (C,)."""
    x, centre, a, b, shift = _arguments("channel_blend", x, centre, a, b, shift)
    g = as_kind(g, x.dtype)
    if is_large(x):
        from autograd_core.kernels import channel as kernels

        return kernels.blend(g, x, centre, a, b, shift)
    out = x - _along(centre, x)
    out *= _along(b, x)
    out += g * _along(a, x)
    out += _along(shift, x)
    return out


class Known:
    """What `moments` said of x, so that `normalise` need not compute it again, nor its first derivative."""

    def __init__(self, moments: Array | None = None) -> None:
        self.moments = moments


_UNKNOWN = Known()


def _statistics(x: Any, epsilon: float, known: Known) -> tuple[Any, Any]:
    """Mean and 1/√(variance + epsilon); from x itself where that is recorded, to be differentiated."""
    found = known.moments
    if found is None or not isinstance(x, np.ndarray):
        found = moments(x)
    return found[0], rsqrt(found[1] + epsilon)


def _normalise_rules(wanted: Sequence[int]) -> Callable[..., Any]:
    def rule(g: Any, x: Any, scale: Any, epsilon: float, known: Known) -> list[Any]:
        mean, rate = _statistics(x, epsilon, known)
        sums = channel_sums(g, x, mean)
        cotangents = [None, sums[1] * rate, sums[0]]
        if 0 in wanted:
            a = rate * scale
            means = sums * (1 / _size(x))
            cotangents[0] = channel_blend(g, x, mean, a, -a * rate * rate * means[1], -a * means[0])
        return cotangents

    return rule


def _normalise_rule(position: int) -> Callable[..., Any]:
    rule = _normalise_rules([position])
    return lambda g, x, scale, epsilon, known: rule(g, x, scale, epsilon, known)[position]


@operation(*map(_normalise_rule, range(3)), joint=_normalise_rules)
def normalise(x: Array, scale: Array, shift: Array, epsilon: float = 1e-5, known: Known = _UNKNOWN) -> Array:
    """Each channel to mean 0 and variance 1, then · scale + shift: x (N, C, ...), the others numbers or (C,).

    (x - mean) / √(variance + epsilon) · scale + shift with x's own `moments`.

    Source: Ioffe, Szegedy, "Batch normalization", 2015, algorithm 1; the derivative is the one there, in two passes.

    >>> import autograd_core as ag
    >>> ag.normalise(ag.tensor([[1.0], [3.0]]), 1.0, 0.5, epsilon=0.0)
    tensor([[-0.5],
            [ 1.5]], dtype=float32)
    """
    x, scale, shift = _arguments("normalise", x, scale, shift)
    mean, rate = _statistics(x, epsilon, known)
    return scale_shift(x, mean, rate * scale, shift)
