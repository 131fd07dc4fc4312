"""Single operations in autograd-core."""

from typing import Any

import autograd_core as ag
from autograd_core import Tensor as Array
from autograd_core.ops import conv as products


def conv(x: Array, w: Array, stride: int, padding: int, groups: int) -> Any:
    return ag.conv(x, w, stride=stride, padding=padding, groups=groups)


def conv_input_grad(x: Array, w: Array, g: Array, stride: int, padding: int, groups: int) -> Any:
    settings = _each_dimension(x.ndim - 2, stride, padding)
    return products.conv_input_grad(g, w, spatial=x.shape[2:], groups=groups, **settings)


def conv_weight_grad(x: Array, w: Array, g: Array, stride: int, padding: int, groups: int) -> Any:
    settings = _each_dimension(x.ndim - 2, stride, padding)
    return products.conv_weight_grad(g, x, kernel=w.shape[2:], groups=groups, **settings)


def _each_dimension(n: int, stride: int, padding: int) -> dict[str, Any]:
    return {"stride": (stride,) * n, "padding": (padding,) * n, "dilation": (1,) * n}


def max_pool(x: Any, size: int, stride: int, padding: int) -> Any:
    return ag.max_pool(x, size, stride, padding)


def avg_pool(x: Any, size: int, stride: int, padding: int) -> Any:
    return ag.avg_pool(x, size, stride, padding)


def matmul(a: Array, b: Array) -> Any:
    return ag.matmul(a, b)


def matmul_transposed(a: Array, b: Array) -> Any:
    return ag.matmul(a.T, b)


def softmax(x: Any) -> Any:
    return ag.softmax(x, axis=-1)


def statistics(x: Any) -> Any:
    both = ag.moments(x)
    return both[0], both[1]


def affine_relu(x: Any, scale: Array, shift: Array) -> Any:
    return ag.relu(x * scale + shift)


def gelu_tanh(x: Any) -> Any:
    return 0.5 * x * (1 + ag.tanh(0.7978846 * (x + 0.044715 * x * x * x)))


def gated(x: Any, y: Array) -> Any:
    return x * ag.sigmoid(x) * y
