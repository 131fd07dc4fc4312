"""Pooling and flattening."""

import math
from collections.abc import Sequence

import autograd_core as ag
from autograd_core import Tensor
from nn.module import Module, misuse

Size = int | Sequence[int]


class MaxPool(Module):
    """The largest element of each window: (N, C, *spatial) → (N, C, *out), in 1, 2 or 3 dimensions.

    `stride` is the kernel size unless given; padding never wins.

    >>> import autograd_core as ag, nn
    >>> nn.MaxPool(2)(ag.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride

    def forward(self, x: Tensor) -> Tensor:
        """The largest element of each window of x."""
        return ag.max_pool(x, self.kernel_size, self.stride, self.padding)

    def details(self) -> str:
        """The sizes that are not the usual ones."""
        stride = f", stride={self.stride}" if self.stride != self.kernel_size else ""
        return f"{self.kernel_size}{stride}" + (f", padding={self.padding}" if self.padding else "")


class AvgPool(MaxPool):
    """The mean of each window, zeros of the padding counted: (N, C, *spatial) → (N, C, *out).

    >>> import autograd_core as ag, nn
    >>> nn.AvgPool(2)(ag.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """

    def forward(self, x: Tensor) -> Tensor:
        """The mean of each window of x."""
        return ag.avg_pool(x, self.kernel_size, self.stride, self.padding)


class GlobalAvgPool(Module):
    """The mean over all spatial axes: (N, C, *spatial) → (N, C).

    >>> import autograd_core as ag, nn
    >>> nn.GlobalAvgPool()(ag.ones((2, 3, 4, 4))).shape
    (2, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        """The mean of each channel of x."""
        if x.ndim < 3:
            raise misuse("GlobalAvgPool", "x needs batch, channels and spatial axes: (N, C, *spatial)", x=x)
        return x.mean(axis=tuple(range(2, x.ndim)))


class Flatten(Module):
    """All axes but the first in one: (N, ...) → (N, size).

    >>> import autograd_core as ag, nn
    >>> nn.Flatten()(ag.ones((2, 3, 4, 4))).shape
    (2, 48)
    """

    def forward(self, x: Tensor) -> Tensor:
        """x with two axes."""
        shape = x.shape
        if not shape:
            raise misuse("Flatten", "x is 0-d: it needs a batch axis", x=x)
        return x.reshape((shape[0], math.prod(shape[1:])))
