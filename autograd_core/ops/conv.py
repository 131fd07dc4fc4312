"""Convolution and its two companions: the forward product, the input's cotangent, the weight's cotangent.

Each is linear in both of its arguments, and the derivatives of each are the other two: the family is closed, so
convolution can be differentiated to every order. Transposed convolution is the input's cotangent, used forward.
"""

# pyright: reportGeneralTypeIssues=false
# A rule may name the operation it belongs to: at run time the name is there, pyright sees a circle.

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from autograd_core.dtypes import Array, Shape
from autograd_core.ops.arguments import integer
from autograd_core.ops.define import operation
from autograd_core.ops.shape import pad
from autograd_core.primitive import Primitive
from autograd_core.threads import one_blas_thread

Size = int | Sequence[int]


@cache
def _kernels() -> Any:
    """The kernels, imported when they are first called: numba takes 0.3 s."""
    from autograd_core.kernels import conv

    one_blas_thread()
    return conv


def tuple_of(name: str, value: Size, ndim: int) -> Shape:
    """One integer for each spatial dimension."""
    if type(value) is int:
        return (value,) * ndim
    sizes: tuple[Any, ...] = tuple(value) if isinstance(value, tuple | list) else (value,) * ndim
    if len(sizes) != ndim or any(isinstance(s, bool) or not isinstance(s, int | np.integer) for s in sizes):
        raise ValueError(
            f"{name} is {value!r}: give one integer, or one for each of the {ndim} spatial dimensions"
        )
    return tuple(int(s) for s in sizes)


_RULES = (
    lambda g, w, shapes, stride, padding, dilation, groups: conv_input_grad(
        g, w, spatial=shapes[0][2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    lambda g, x, shapes, stride, padding, dilation, groups: conv_weight_grad(
        g, x, kernel=shapes[1][2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
)


@operation(*_RULES)
def _conv(
    x: Array, w: Array, stride: Shape = (), padding: Shape = (), dilation: Shape = (), groups: int = 1
) -> Array:
    x, w = _same_dtype(x, w)
    return _kernels().conv_forward(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)


@operation(*_RULES, lambda g: g.sum(axis=(0, *range(2, g.ndim))), title="conv")
def conv_bias(
    x: Array,
    w: Array,
    b: Array,
    stride: Shape = (),
    padding: Shape = (),
    dilation: Shape = (),
    groups: int = 1,
) -> Array:
    """A convolution plus a bias (O), added while the sums are at hand."""
    x, w, b = _same_dtype(x, w, b)
    return _kernels().conv_forward(x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _rectified_conv(
    x: Array, w: Array, *bias: Array, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    return _kernels().conv_forward(
        *_same_dtype(x, w, *bias),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        rectified=True,
    )


# max(y, 0) of these operations' y, for compiled programs: there a ReLU behind a convolution needs no pass of its own.
RECTIFIED = {
    "conv": Primitive(_rectified_conv, name="conv · relu"),
    "conv_bias": Primitive(_rectified_conv, name="conv_bias · relu"),
}


@operation(
    lambda g, w, stride, padding, dilation, groups: _conv(
        g, w, stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    lambda g, y, shapes, stride, padding, dilation, groups: conv_weight_grad(
        y, g, kernel=shapes[1][2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
)
def conv_input_grad(
    y: Array,
    w: Array,
    spatial: Shape = (),
    stride: Shape = (),
    padding: Shape = (),
    dilation: Shape = (),
    groups: int = 1,
) -> Array:
    """The cotangent of convolution's input, of spatial shape `spatial`, for the output's cotangent y."""
    y, w = _same_dtype(y, w)
    return _kernels().conv_input_grad(
        y, w, spatial=spatial, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


@operation(
    lambda g, x, stride, padding, dilation, groups: _conv(
        x, g, stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    lambda g, y, shapes, stride, padding, dilation, groups: conv_input_grad(
        y, g, spatial=shapes[1][2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
)
def conv_weight_grad(
    y: Array,
    x: Array,
    kernel: Shape = (),
    stride: Shape = (),
    padding: Shape = (),
    dilation: Shape = (),
    groups: int = 1,
) -> Array:
    """The cotangent of convolution's weight, of spatial shape `kernel`, for the output's cotangent y."""
    y, x = _same_dtype(y, x)
    return _kernels().conv_weight_grad(
        y, x, kernel=kernel, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def _same_dtype(*values: Any) -> list[Array]:
    """The arrays in the dtype NumPy promotes them to; integers become floats."""
    arrays = [np.asarray(value) for value in values]
    dtype = np.result_type(*arrays)
    if dtype.kind != "f":
        dtype = np.result_type(dtype, np.float32)
    return [array.astype(dtype, copy=False) for array in arrays]


def _spatial(name: str, x: Any, w: Any) -> int:
    if x.ndim != w.ndim or not 3 <= x.ndim <= 5:
        raise ValueError(
            f"{name}: x has {x.ndim} dimensions and w {w.ndim}: both need batch or output channels, channels, and "
            "1 to 3 spatial dimensions"
        )
    return x.ndim - 2


def conv(
    x: Array,
    w: Array,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    bias: Array | None = None,
) -> Array:
    """Convolution (without flipping the kernel, as all of deep learning has it).

    x (N, C, *spatial), w (O, C/groups, *kernel), bias (O) → (N, O, *out), with 1 to 3 spatial dimensions and
    out = ⌊(spatial + 2·padding - dilation·(kernel - 1) - 1) / stride⌋ + 1. Sizes are one integer or one for each
    spatial dimension. Raises ValueError where shapes do not fit, TypeError for settings that are no integers.

    The padding is made of zeros that are multiplied like other elements: where one meets a weight that is infinite or
    NaN, the result is NaN, as in PyTorch.

    >>> import autograd_core as ag
    >>> ag.conv(ag.ones((1, 1, 3, 3)), ag.ones((1, 1, 2, 2)))
    tensor([[[[4., 4.],
              [4., 4.]]]], dtype=float32)
    """
    n = _spatial("conv", x, w)
    settings: dict[str, Any] = {
        "stride": tuple_of("stride", stride, n),
        "padding": tuple_of("padding", padding, n),
        "dilation": tuple_of("dilation", dilation, n),
        "groups": integer("groups", groups),
    }
    return _conv(x, w, **settings) if bias is None else conv_bias(x, w, bias, **settings)


def conv_transpose(
    x: Array,
    w: Array,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Array:
    """Transposed convolution: the derivative of `conv` with respect to its input, as an operation of its own.

    x (N, C, *spatial), w (C, O/groups, *kernel) → (N, O, *out), with
    out = (spatial - 1)·stride - 2·padding + dilation·(kernel - 1) + output_padding + 1. `output_padding` is less than
    the stride or the dilation.

    >>> import autograd_core as ag
    >>> ag.conv_transpose(ag.ones((1, 1, 2, 2)), ag.ones((1, 1, 2, 2)), stride=2).shape
    (1, 1, 4, 4)
    """
    n = _spatial("conv_transpose", x, w)
    strides, paddings = tuple_of("stride", stride, n), tuple_of("padding", padding, n)
    dilations, extra = tuple_of("dilation", dilation, n), tuple_of("output_padding", output_padding, n)
    for e, s, d in zip(extra, strides, dilations, strict=True):
        if not 0 <= e < max(s, d):
            raise ValueError(
                f"conv_transpose: output_padding {e} must be at least 0 and less than stride {s} or dilation {d}"
            )
    spatial = tuple(
        (size - 1) * s - 2 * p + d * (k - 1) + e + 1
        for size, s, p, d, k, e in zip(
            x.shape[2:], strides, paddings, dilations, w.shape[2:], extra, strict=True
        )
    )
    if min(spatial, default=1) < 1:
        raise ValueError(
            f"the output would have the spatial shape {list(spatial)}: use less padding or a larger x"
        )
    settings: dict[str, Any] = {"stride": strides, "dilation": dilations, "groups": integer("groups", groups)}
    if all(e < s for e, s in zip(extra, strides, strict=True)):
        return conv_input_grad(x, w, spatial=spatial, padding=paddings, **settings)
    # A convolution would map this shape to a larger x. So: everything that x reaches, and then the part that is asked.
    reached = tuple(
        (size - 1) * s + d * (k - 1) + 1
        for size, s, d, k in zip(x.shape[2:], strides, dilations, w.shape[2:], strict=True)
    )
    whole = conv_input_grad(x, w, spatial=reached, padding=(0,) * n, **settings)
    beyond = [max(0, p + size - end) for p, size, end in zip(paddings, spatial, reached, strict=True)]
    inside = (slice(p, p + size) for p, size in zip(paddings, spatial, strict=True))
    return pad(whole, [(0, 0), (0, 0), *((0, b) for b in beyond)])[(slice(None), slice(None), *inside)]
