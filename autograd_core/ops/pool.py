"""Pooling. Two closed families: max pooling with putting at and taking from the places of the largest elements, and
average pooling with its transpose.

A forward pass that is recorded keeps the places for the first derivative; otherwise they are found again from x.
"""

# pyright: reportGeneralTypeIssues=false
# A rule may name the operation it belongs to: at run time the name is there, pyright sees a circle.

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_core.dtypes import Array, Shape
from autograd_core.ops.conv import Size, tuple_of
from autograd_core.ops.define import operation
from autograd_core.ops.elementwise import zeros_like
from autograd_core.tape import Value, state


class Winners:
    """Where max_pool found the largest elements of an array, for as long as that array lives.

    Each forward pass fills it anew. So nobody takes the places of one array for those of another, not even where a
    recorded operation is run again, and a graph whose saved arrays are freed keeps none.
    """

    def __init__(self) -> None:
        self.found: list[Array | None] = [None]
        self.array: Any = lambda: None

    def keep(self, x: Array, places: Array | None) -> None:
        """These are the places in x."""
        self.found = found = [places]
        self.array = weakref.ref(x, lambda _: found.clear())

    def of(self, x: Array) -> Array | None:
        """The places in x, where they are known."""
        return self.found[0] if self.array() is x else None


_NOT_KEPT = Winners()


@operation(
    lambda g, x, kernel_size, stride, padding, dilation, winners: max_pool_put(
        g, x, kernel_size, stride, padding, dilation, winners
    )
)
def _max_pool(
    x: Array,
    kernel_size: Shape = (),
    stride: Shape = (),
    padding: Shape = (),
    dilation: Shape = (),
    winners: Winners = _NOT_KEPT,
) -> Array:
    from autograd_core.kernels import pool as kernels

    how = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    if winners is _NOT_KEPT:
        return kernels.max_pool(x, **how)
    y, places = kernels.max_pool_winners(x, **how)
    winners.keep(x, places)
    return y


# Which element is the largest is a choice among pieces: as a function of x, its derivative is zero.
@operation(
    lambda u, x, kernel_size, stride, padding, dilation: max_pool_take(
        u, x, kernel_size, stride, padding, dilation
    ),
    lambda u, x: zeros_like(x),
)
def max_pool_put(
    g: Array,
    x: Array,
    kernel_size: Shape = (),
    stride: Shape = (),
    padding: Shape = (),
    dilation: Shape = (),
    winners: Winners = _NOT_KEPT,
) -> Array:
    """Zeros like x with g added where each window's largest element stands: max_pool's derivative."""
    from autograd_core.kernels import pool as kernels

    how = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    return kernels.max_pool_put(g, x, winners.of(x), **how)


@operation(
    lambda u, x, kernel_size, stride, padding, dilation: max_pool_put(
        u, x, kernel_size, stride, padding, dilation
    ),
    lambda u, x: zeros_like(x),
)
def max_pool_take(
    h: Array,
    x: Array,
    kernel_size: Shape = (),
    stride: Shape = (),
    padding: Shape = (),
    dilation: Shape = (),
) -> Array:
    """The elements of h that stand where each window of x has its largest one: max_pool_put's transpose."""
    from autograd_core.kernels import pool as kernels

    return kernels.max_pool_take(
        h, x, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
    )


def max_pool(
    x: Array, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1
) -> Array:
    """The largest element of each window: x (N, C, *spatial) → (N, C, *out), with 1 to 3 spatial dimensions.

    out = ⌊(spatial + 2·padding - dilation·(kernel_size - 1) - 1) / stride⌋ + 1; `stride` is the kernel size unless
    given. Padding never wins; NaN does. The first of equal elements gets the derivative.

    >>> import autograd_core as ag
    >>> ag.max_pool(ag.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]], dtype=float32)
    """
    n = _spatial_ndim("max_pool", x)
    kernel = tuple_of("kernel_size", kernel_size, n)
    recorded = isinstance(x, Value) and x.node is not None and state.recording
    return _max_pool(
        x,
        kernel_size=kernel,
        stride=kernel if stride is None else tuple_of("stride", stride, n),
        padding=tuple_of("padding", padding, n),
        dilation=tuple_of("dilation", dilation, n),
        winners=Winners() if recorded else _NOT_KEPT,
    )


def _spatial_ndim(name: str, x: Any) -> int:
    if not 3 <= x.ndim <= 5:
        raise ValueError(
            f"{name}: x has {x.ndim} dimensions: it needs batch, channels and 1 to 3 spatial ones"
        )
    return x.ndim - 2


def _avg_pool_rule(g: Any, shapes: Sequence[Shape], kernel_size: Shape, stride: Shape, padding: Shape) -> Any:
    return avg_pool_grad(g, spatial=shapes[0][2:], kernel_size=kernel_size, stride=stride, padding=padding)


@operation(_avg_pool_rule)
def _avg_pool(x: Array, kernel_size: Shape = (), stride: Shape = (), padding: Shape = ()) -> Array:
    from autograd_core.kernels import pool as kernels

    x = np.asarray(x)
    x = x if x.dtype.kind == "f" else x.astype(np.result_type(x.dtype, np.float32))
    return kernels.avg_pool(x, kernel_size=kernel_size, stride=stride, padding=padding)


@operation(
    lambda g, kernel_size, stride, padding: _avg_pool(
        g, kernel_size=kernel_size, stride=stride, padding=padding
    )
)
def avg_pool_grad(
    y: Array, spatial: Shape = (), kernel_size: Shape = (), stride: Shape = (), padding: Shape = ()
) -> Array:
    """The cotangent of average pooling's input, of spatial shape `spatial`, for the output's cotangent y."""
    from autograd_core.kernels import pool as kernels

    return kernels.avg_pool_grad(y, spatial=spatial, kernel_size=kernel_size, stride=stride, padding=padding)


def avg_pool(x: Array, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Array:
    """The mean of each window: x (N, C, *spatial) → (N, C, *out), with 1 to 3 spatial dimensions.

    Padding counts as zeros, and in the divisor. `stride` is the kernel size unless given.

    >>> import autograd_core as ag
    >>> ag.avg_pool(ag.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 2.5,  4.5],
              [10.5, 12.5]]]], dtype=float32)
    """
    n = _spatial_ndim("avg_pool", x)
    kernel = tuple_of("kernel_size", kernel_size, n)
    return _avg_pool(
        x,
        kernel_size=kernel,
        stride=kernel if stride is None else tuple_of("stride", stride, n),
        padding=tuple_of("padding", padding, n),
    )
