"""Single operations in PyTorch."""

import torch
from torch import Tensor
from torch.nn import functional as F


def conv(x: Tensor, w: Tensor, stride: int, padding: int, groups: int) -> Tensor:
    function = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
    return function(x, w, None, stride, padding, 1, groups)


def conv_input_grad(x: Tensor, w: Tensor, g: Tensor, stride: int, padding: int, groups: int) -> Tensor:
    return _conv_backward(x, w, g, stride, padding, groups, [True, False, False])[0]


def conv_weight_grad(x: Tensor, w: Tensor, g: Tensor, stride: int, padding: int, groups: int) -> Tensor:
    return _conv_backward(x, w, g, stride, padding, groups, [False, True, False])[1]


def _conv_backward(
    x: Tensor, w: Tensor, g: Tensor, stride: int, padding: int, groups: int, wanted: list[bool]
) -> tuple[Tensor, ...]:
    n = x.ndim - 2
    return torch.ops.aten.convolution_backward(
        g, x, w, None, [stride] * n, [padding] * n, [1] * n, False, [0] * n, groups, wanted
    )


def max_pool(x: Tensor, size: int, stride: int, padding: int) -> Tensor:
    return F.max_pool2d(x, size, stride, padding)


def avg_pool(x: Tensor, size: int, stride: int, padding: int) -> Tensor:
    return F.avg_pool2d(x, size, stride, padding)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


def matmul_transposed(a: Tensor, b: Tensor) -> Tensor:
    return a.T @ b


def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, -1)


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    var, mean = torch.var_mean(x, (0, *range(2, x.ndim)), correction=0)
    return mean, var


def affine_relu(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.relu(x * scale + shift)


def gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(0.7978846 * (x + 0.044715 * x * x * x)))


def gated(x: Tensor, y: Tensor) -> Tensor:
    return x * torch.sigmoid(x) * y
