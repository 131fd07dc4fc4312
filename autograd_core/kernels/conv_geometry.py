"""The shapes of a convolution: checked once, then seen by every kernel as three spatial axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from autograd_core.kernels import checks

AXES = ("", "W", "H, W", "D, H, W")
KERNEL_AXES = ("", "KW", "KH, KW", "KD, KH, KW")
Three = tuple[int, int, int]


class Geometry(NamedTuple):
    """One convolution y = conv(x, w), with 1- and 2-D ones filled up to three spatial axes of size 1 in front."""

    batch: int
    groups: int
    inputs: int  # channels of x in one group
    outputs: int  # channels of y in one group
    size: Three  # x's spatial shape
    kernel: Three
    out: Three  # y's spatial shape
    stride: Three
    padding: Three
    dilation: Three
    ndim: int  # spatial axes as the caller counts them

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.batch, self.groups * self.inputs, *self.size[3 - self.ndim :])

    @property
    def w_shape(self) -> tuple[int, ...]:
        return (self.groups * self.outputs, self.inputs, *self.kernel[3 - self.ndim :])

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.batch, self.groups * self.outputs, *self.out[3 - self.ndim :])

    @property
    def taps(self) -> int:
        return math.prod(self.kernel)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.y_shape) * self.inputs * self.taps


def out_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """floor((S + 2p − d(k−1) − 1) / s) + 1, which is under 1 when the kernel does not fit."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def three(values: Iterable[int]) -> Three:
    depth, height, width = values
    return depth, height, width


def fill(values: Sequence[int], ndim: int, filler: int) -> Three:
    return three((*(filler,) * (3 - ndim), *values))


@lru_cache(maxsize=1024)
def geometry(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Geometry:
    """Check that x (N, C, *S) and w (O, C/groups, *K) convolve, and return the sizes.

    Raises ValueError or TypeError naming the axis that is wrong and what it should be.
    """
    ndim = len(x_shape) - 2
    if ndim not in (1, 2, 3):
        raise ValueError(f"x has {len(x_shape)} axes, expected 3, 4 or 5: give it the shape (N, C, *spatial)")
    if len(w_shape) != ndim + 2:
        raise ValueError(
            f"w has {len(w_shape)} axes but x has {ndim + 2}: give w the shape (O, C/groups, {KERNEL_AXES[ndim]})"
        )
    stride = checks.integers("stride", stride, ndim, 1)
    padding = checks.integers("padding", padding, ndim, 0)
    dilation = checks.integers("dilation", dilation, ndim, 1)
    groups = checks.integer("groups", groups, 1)
    channels, inputs, outputs = x_shape[1], w_shape[1], w_shape[0]
    if inputs * groups != channels:
        per = f" per group × {groups} groups = {inputs * groups}" if groups > 1 else ""
        raise ValueError(
            f"x has {channels} channels (axis 1) but w expects {inputs}{per}: "
            "give w the shape (O, C/groups, *kernel)"
        )
    if outputs % groups:
        raise ValueError(
            f"w has {outputs} output channels (axis 0), which {groups} groups do not divide: "
            "give w a multiple of groups"
        )
    out = []
    for axis, (s, k, t, p, d) in enumerate(
        zip(x_shape[2:], w_shape[2:], stride, padding, dilation, strict=True)
    ):
        if k < 1:
            raise ValueError(f"w has size 0 on axis {axis + 2}: a kernel needs at least one tap on each axis")
        out.append(out_size(s, k, t, p, d))
        if out[-1] < 1:
            raise ValueError(
                f"x has size {s} on axis {axis + 2}, with padding {s + 2 * p}, but the kernel spans "
                f"{d * (k - 1) + 1}: give a larger x, more padding, or a smaller kernel or dilation"
            )
    return Geometry(
        x_shape[0], groups, inputs, outputs // groups,
        fill(x_shape[2:], ndim, 1), fill(w_shape[2:], ndim, 1), fill(out, ndim, 1),
        fill(stride, ndim, 1), fill(padding, ndim, 0), fill(dilation, ndim, 1), ndim,
    )  # fmt: skip
