"""Convolution and transposed convolution as layers."""

import math
from collections.abc import Sequence

import numpy as np

import autograd_core as ag
from autograd_core import Parameter, Tensor
from autograd_core.ops.conv import tuple_of
from nn import init
from nn.module import Module, sizes

Size = int | Sequence[int]


class _Convolution(Module):
    """What both kinds share: sizes, checks, the bias."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size,
        dilation: Size,
        groups: int,
    ) -> None:
        name = type(self).__name__
        sizes(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        ndim = 2 if isinstance(kernel_size, int | np.integer) else len(kernel_size)
        if not 1 <= ndim <= 3:
            raise ValueError(f"{name}: kernel_size {kernel_size!r} has {ndim} dimensions: give 1, 2 or 3")
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: groups {groups} must divide in_channels {in_channels} and out_channels {out_channels}"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = self._size("kernel_size", kernel_size, ndim, 1)
        self.stride = self._size("stride", stride, ndim, 1)
        self.padding = self._size("padding", padding, ndim, 0)
        self.dilation = self._size("dilation", dilation, ndim, 1)
        self.weight: Parameter
        self.bias: Parameter | None

    def _size(self, name: str, value: Size, ndim: int, least: int) -> tuple[int, ...]:
        try:
            found = tuple_of(name, value, ndim)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None
        if min(found) < least:
            raise ValueError(f"{type(self).__name__}: {name} is {value!r}: it must be at least {least}")
        return found

    def details(self) -> str:
        """The sizes that are not the usual ones."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        usual = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}
        for name, value in usual.items():
            sizes = getattr(self, name, ())
            if any(size != value for size in sizes):
                parts.append(f"{name}={sizes}")
        parts += [f"groups={self.groups}"] if self.groups > 1 else []
        parts += ["bias=False"] if self.bias is None else []
        return ", ".join(parts)


class Conv(_Convolution):
    """Convolution (no kernel flip): (N, in_channels, *spatial) → (N, out_channels, *out), in 1, 2 or 3 dimensions.

    An integer kernel_size is 2-D; the length of a tuple sets the number of spatial dimensions. All sizes are one
    integer or one for each dimension; out = ⌊(spatial + 2·padding - dilation·(kernel - 1) - 1) / stride⌋ + 1.
    `weight` (out_channels, in_channels / groups, *kernel_size) is drawn with variance 2 / fan_in (He et al. 2015),
    `bias` (out_channels) is 0 at first. ValueError for sizes that do not fit.

    >>> import autograd_core as ag, nn
    >>> nn.Conv(3, 8, 3, padding=1)(ag.ones((2, 3, 6, 6))).shape
    (2, 8, 6, 6)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.weight = Parameter(init.he_normal((out_channels, in_channels // groups, *self.kernel_size)))
        self.bias = Parameter(init.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of x with the weight, plus the bias of each channel."""
        return ag.conv(x, self.weight, self.stride, self.padding, self.dilation, self.groups, self.bias)


class ConvTranspose(_Convolution):
    """Transposed convolution, which undoes Conv's change of shape.

    (N, in_channels, *spatial) → (N, out_channels, *out), with
    out = (spatial - 1)·stride - 2·padding + dilation·(kernel - 1) + output_padding + 1. An integer kernel_size is 2-D.
    `weight` is (in_channels, out_channels / groups, *kernel_size); an output element sums about
    in_channels / groups · ∏ (kernel / stride) terms, which is the fan-in of its initial variance (He et al. 2015).

    >>> import autograd_core as ag, nn
    >>> nn.ConvTranspose(8, 3, 2, stride=2)(ag.ones((1, 8, 5, 5))).shape
    (1, 3, 10, 10)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.output_padding = self._size("output_padding", output_padding, len(self.kernel_size), 0)
        fan_in = in_channels / groups * math.prod(self.kernel_size) / math.prod(self.stride)
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        self.weight = Parameter(init.he_normal(shape, fan_in))
        self.bias = Parameter(init.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """The transposed convolution of x with the weight, plus the bias of each channel."""
        y = ag.conv_transpose(
            x, self.weight, self.stride, self.padding, self.output_padding, self.dilation, self.groups
        )
        return y if self.bias is None else y + self.bias.reshape((-1,) + (1,) * len(self.kernel_size))
