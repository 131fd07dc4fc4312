"""PyTorch."""

from typing import Any

import numpy as np
import torch
from torch import nn

from .. import layers as d
from ..measure import Call
from ..workloads import MOMENTUM, Workload
from . import Role, Step, pytorch_operations

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class PyTorch:
    """Eager or compiled, contiguous or channels_last."""

    def __init__(self, channels_last: bool = False, compiled: bool = False) -> None:
        self.channels_last, self.compiled = channels_last, compiled
        if compiled:
            # As many programs live side by side as a case has settings; and a pullback is called more than once.
            torch._dynamo.config.recompile_limit = 64
            torch._functorch.config.donated_buffer = False  # pyright: ignore[reportAttributeAccessIssue]

    def place(self, array: np.ndarray, role: Role) -> torch.Tensor:
        tensor = torch.from_numpy(array.copy())
        if self.channels_last and role != "plain" and tensor.ndim in _CHANNELS_LAST:
            tensor = tensor.contiguous(memory_format=_CHANNELS_LAST[tensor.ndim])
        return tensor

    def fetch(self, result: Any, role: Role) -> list[np.ndarray]:
        return [part.detach().numpy() for part in (result if isinstance(result, tuple) else (result,))]

    def forward(self, operation: str, inputs: list[Any], settings: dict[str, Any]) -> Call:
        function = self._compiled(getattr(pytorch_operations, operation))

        @torch.no_grad()
        def call() -> Any:
            return function(*inputs, **settings)

        return call

    def pullback(self, operation: str, inputs: list[Any], cotangent: Any, settings: dict[str, Any]) -> Call:
        function = self._compiled(getattr(pytorch_operations, operation))
        first = inputs[0].requires_grad_()
        y = function(*inputs, **settings)
        return lambda: torch.autograd.grad(y, first, cotangent, retain_graph=True)

    def step(self, workload: Workload) -> Step:
        model = build(workload.model, workload.weights)
        if self.channels_last:
            model = model.to(memory_format=torch.channels_last)
        # Of SGD's three implementations the fused one is the fastest: 9 ms for deep1000's 2,000 arrays, not 41.
        optimizer = torch.optim.SGD(model.parameters(), lr=workload.lr, momentum=MOMENTUM, fused=True)
        criterion = nn.CrossEntropyLoss() if workload.classifies else nn.MSELoss()
        forward = self._compiled(lambda x, y: criterion(model(x), y))
        x, y = self.place(workload.inputs, "image"), torch.from_numpy(workload.targets)

        def step() -> float:
            loss = forward(x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    def forget(self) -> None:
        if self.compiled:
            torch._dynamo.reset()

    def _compiled(self, function: Any) -> Any:
        return torch.compile(function, dynamic=False) if self.compiled else function


def build(layer: d.Layer, weights: d.Weights) -> nn.Module:
    """The described model with these weights."""
    match layer:
        case d.Chain():
            return nn.Sequential(*[build(one, w) for one, w in zip(layer.layers, weights)])
        case d.Repeat(body):
            return nn.Sequential(*[build(body, w) for w in weights])
        case d.Residual(body, shortcut, scale):
            return Residual(build(body, weights[0]), build(shortcut, weights[1]), scale)
        case d.Concat(body):
            return Concat(build(body, weights[0]))
        case d.Dense() | d.Attention():
            weights = [array.T if array.ndim == 2 else array for array in weights]  # (out, in) here
    module = _leaf(layer)
    with torch.no_grad():
        for parameter, array in zip(module.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(array))
    return module


def _leaf(layer: d.Layer) -> nn.Module:
    match layer:
        case d.Dense(inputs, outputs):
            return nn.Linear(inputs, outputs)
        case d.Conv(inputs, outputs, kernel, stride, groups, bias):
            return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)
        case d.ConvTranspose(inputs, outputs):
            return nn.ConvTranspose2d(inputs, outputs, 2, 2)
        case d.BatchNorm(channels):
            return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)
        case d.LayerNorm(size):
            return nn.LayerNorm(size, eps=1e-5)
        case d.Attention(size, heads):
            return Attention(size, heads)
        case d.MaxPool():
            return nn.MaxPool2d(2)
        case d.Dropout():
            return nn.Dropout(0.5)
        case d.Relu():
            return nn.ReLU(inplace=True)
        case d.GlobalAvgPool():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return {d.Gelu: nn.GELU, d.Flatten: nn.Flatten}[type(layer)]()


class Residual(nn.Module):
    """shortcut(x) + scale · body(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, scale: float) -> None:
        super().__init__()
        self.body, self.shortcut, self.scale = body, shortcut, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.add(self.shortcut(x), self.body(x), alpha=self.scale)


class Concat(nn.Module):
    """x and body(x) along the channels."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.body(x)], 1)


class Attention(nn.Module):
    """Self-attention with several heads, by the library's own fused product."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(size, 3 * size)
        self.merge = nn.Linear(size, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, size = x.shape
        qkv = self.project(x).reshape(n, tokens, 3, self.heads, size // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.merge(y.permute(0, 2, 1, 3).reshape(n, tokens, size))
