"""Pooling. Max pooling is an index and a gather; average pooling is linear, with its transpose beside it."""

# pyright: reportGeneralTypeIssues=false
# A rule may name the operation it belongs to: at run time the name is there, pyright sees a circle.

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_core.dtypes import Array, Shape
from autograd_core.ops.conv import Size, tuple_of
from autograd_core.ops.define import operation
from autograd_core.ops.shape import reshape
from autograd_core.tape import array_of


@operation()
def _max_pool_index(
    x: Array, kernel_size: Shape = (), stride: Shape = (), padding: Shape = (), dilation: Shape = ()
) -> Array:
    from autograd_core.kernels import pool as kernels

    return kernels.max_pool_index(
        x, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
    )


@operation(lambda g, index, shapes: scatter_add(g, index, size=shapes[0][1]), None)
def gather(x: Array, index: Array) -> Array:
    """x[r, index[r, m]] for each row r: x (R, S), index (R, M) → (R, M)."""
    from autograd_core.kernels import gather as kernels

    return kernels.gather(x, index)


@operation(lambda g, index: gather(g, index), None)
def scatter_add(g: Array, index: Array, size: int = 0) -> Array:
    """Rows of zeros with g[r, m] added at index[r, m]: g (R, M), index (R, M) → (R, size)."""
    from autograd_core.kernels import gather as kernels

    return kernels.scatter_add(g, index, size)


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
    index = _max_pool_index(
        x,
        kernel_size=kernel,
        stride=kernel if stride is None else tuple_of("stride", stride, n),
        padding=tuple_of("padding", padding, n),
        dilation=tuple_of("dilation", dilation, n),
    )
    out_shape = index.shape
    planes = x.shape[0] * x.shape[1]
    values = gather(
        reshape(x, (planes, math.prod(x.shape[2:]))),
        reshape(array_of(index), (planes, math.prod(out_shape[2:]))),
    )
    return reshape(values, out_shape)


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
