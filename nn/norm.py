"""Normalisation: over the batch, over features, over groups of channels."""

import math
from collections.abc import Sequence

import numpy as np

import autograd_core as ag
from autograd_core import Buffer, Parameter, Tensor
from autograd_core.ops.channel import Known
from nn import init
from nn.module import Module, misuse, sizes


class BatchNorm(Module):
    """Each channel (axis 1) to mean 0 and variance 1 over batch and space, then · weight + bias.

    (N, C) and (N, C, *spatial). In training the batch's mean and variance (divided by n) are used, and move the
    running ones: running = momentum·running + (1 - momentum)·batch, with that same biased variance. In evaluation the
    running ones are used. `weight` γ starts at 1, `bias` β at 0,
    `running_mean` at 0 and `running_var` at 1. ValueError for another number of channels, and in training when a
    channel has a single value.

    Source: Ioffe, Szegedy, "Batch normalization", 2015, algorithm 1.

    >>> import autograd_core as ag, nn
    >>> norm = nn.BatchNorm(1)
    >>> norm(ag.tensor([[1.0], [3.0]])).numpy().round(3).tolist()
    [[-1.0], [1.0]]
    >>> norm.running_mean
    tensor([0.2], dtype=float32)
    """

    def __init__(self, num_features: int, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        sizes("BatchNorm", num_features=num_features)
        if not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm: momentum is {momentum}: it must be from 0 to 1")
        self.num_features, self.momentum, self.epsilon = num_features, momentum, epsilon
        self.weight = Parameter(init.ones(num_features))
        self.bias = Parameter(init.zeros(num_features))
        self.running_mean = Buffer(init.zeros(num_features))
        self.running_var = Buffer(init.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """x normalised, by the batch's statistics in training and by the running ones in evaluation."""
        if x.ndim < 2 or x.shape[1] != self.num_features:
            raise self._misfit(x)
        if not self.training:
            scale = self.weight * ag.rsqrt(self.running_var + self.epsilon)
            return ag.scale_shift(x, self.running_mean, scale, self.bias)
        if x.size < 2 * self.num_features:
            raise misuse(
                "BatchNorm",
                "in training each channel needs at least 2 values to have a variance: use a larger batch, or eval()",
                x=x,
            )
        moments = ag.moments(x.detach())
        self._remember(moments)
        return ag.normalise(x, self.weight, self.bias, self.epsilon, Known(moments.array))

    def _remember(self, moments: Tensor) -> None:
        old, new = self.momentum, 1 - self.momentum
        weighted = moments * new
        self.running_mean.assign(self.running_mean * old + weighted[0])
        self.running_var.assign(self.running_var * old + weighted[1])

    def _misfit(self, x: Tensor) -> Exception:
        if x.ndim < 2:
            problem = f"x has {x.ndim} dimensions: it needs (N, C) or (N, C, *spatial)"
        else:
            problem = (
                f"x has {x.shape[1]} channels (axis 1) but num_features is {self.num_features}: "
                "make them equal"
            )
        return misuse("BatchNorm", problem, x=x, weight=self.weight)

    def details(self) -> str:
        """The number of channels."""
        return f"{self.num_features}"


class LayerNorm(Module):
    """The last axes, of sizes `shape`, to mean 0 and variance 1 for each sample, then · weight + bias.

    (..., *shape) → the same; an integer is the size of the last axis. `weight` and `bias` have that shape, and start
    at 1 and 0. ValueError when x does not end in `shape`.

    Source: Ba, Kiros, Hinton, "Layer normalization", 2016.

    >>> import autograd_core as ag, nn
    >>> nn.LayerNorm(2)(ag.tensor([[1.0, 3.0]])).numpy().round(3).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, shape: int | Sequence[int], epsilon: float = 1e-5) -> None:
        self.shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        if not self.shape:
            raise ValueError("LayerNorm: shape is empty: give the sizes of the axes to normalise")
        for size in self.shape:
            sizes("LayerNorm", shape=size)
        self.epsilon = epsilon
        self.weight = Parameter(init.ones(self.shape))
        self.bias = Parameter(init.zeros(self.shape))

    def forward(self, x: Tensor) -> Tensor:
        """x normalised over its last axes."""
        ndim = len(self.shape)
        if x.shape[-ndim:] != self.shape:
            raise misuse(
                "LayerNorm",
                f"x must end in axes of sizes {list(self.shape)}: reshape x or change shape",
                x=x,
                weight=self.weight,
            )
        rows, size = math.prod(x.shape[:-ndim]), math.prod(self.shape)
        normalised = _shaped(_normalised(x.reshape((1, rows, size)), self.epsilon), (rows, size))
        weight, bias = _shaped(self.weight, (size,)), _shaped(self.bias, (size,))
        return _shaped(ag.scale_shift(normalised, 0.0, weight, bias), x.shape)

    def details(self) -> str:
        """The normalised shape."""
        return f"{self.shape}"


class GroupNorm(Module):
    """Groups of channels (axis 1) to mean 0 and variance 1 for each sample, then · weight + bias for each channel.

    (N, channels) and (N, channels, *spatial) → the same. ValueError when `groups` does not divide `channels`, or x has
    another number of channels.

    Source: Wu, He, "Group normalization", 2018.

    >>> import autograd_core as ag, nn
    >>> nn.GroupNorm(2, 4)(ag.ones((1, 4, 3, 3))).shape
    (1, 4, 3, 3)
    """

    def __init__(self, groups: int, channels: int, epsilon: float = 1e-5) -> None:
        sizes("GroupNorm", groups=groups, channels=channels)
        if channels % groups:
            raise ValueError(f"GroupNorm: groups {groups} must divide channels {channels}")
        self.groups, self.channels, self.epsilon = groups, channels, epsilon
        self.weight = Parameter(init.ones(channels))
        self.bias = Parameter(init.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x normalised over each group's channels and space."""
        shape = x.shape
        if len(shape) < 2 or shape[1] != self.channels:
            raise misuse(
                "GroupNorm",
                f"x needs {self.channels} channels along axis 1, as (N, C) or (N, C, *spatial)",
                x=x,
                weight=self.weight,
            )
        grouped = x.reshape((1, shape[0] * self.groups, math.prod(shape[1:]) // self.groups))
        normalised = _normalised(grouped, self.epsilon).reshape(shape)
        return ag.scale_shift(normalised, 0.0, self.weight, self.bias)

    def details(self) -> str:
        """Groups and channels."""
        return f"{self.groups}, {self.channels}"


def _normalised(x: Tensor, epsilon: float) -> Tensor:
    """x with mean 0 and variance 1 in each channel (axis 1)."""
    return ag.normalise(x, 1.0, 0.0, epsilon, Known(ag.moments(x.detach()).array))


def _shaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """x in that shape; x itself where it has it."""
    return x if x.shape == shape else x.reshape(shape)
