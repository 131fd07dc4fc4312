"""autograd-core."""

from functools import partial
from typing import Any

import numpy as np

import autograd_core as ag
import nn

from .. import layers as d
from ..measure import Call
from ..workloads import MOMENTUM, Workload
from . import Role, Step, own_operations


class Own:
    """autograd-core, eager or compiled."""

    def __init__(self, compiled: bool = False) -> None:
        self.compiled = compiled

    def place(self, array: np.ndarray, role: Role) -> ag.Tensor:
        return ag.tensor(array)

    def fetch(self, result: Any, role: Role) -> list[np.ndarray]:
        return [np.asarray(part) for part in (result if isinstance(result, tuple) else (result,))]

    def forward(self, operation: str, inputs: list[Any], settings: dict[str, Any]) -> Call:
        function = getattr(own_operations, operation)
        run = partial(function, **settings)
        if self.compiled:
            run = ag.compile(run)
        return ag.no_grad()(lambda: run(*inputs))

    def pullback(self, operation: str, inputs: list[Any], cotangent: Any, settings: dict[str, Any]) -> Call:
        function = getattr(own_operations, operation)
        first, *rest = inputs
        _, pull = ag.vjp(lambda x: function(x, *rest, **settings), first)
        if self.compiled:
            # What does not depend on the cotangent is computed when it is captured, as JAX does it in the forward pass.
            pull = ag.compile(pull)
        return lambda: pull(cotangent)

    def step(self, workload: Workload) -> Step:
        model = build(workload.model, workload.weights)
        optimizer = nn.SGD(model.parameters(), lr=workload.lr, momentum=MOMENTUM)
        criterion = nn.cross_entropy if workload.classifies else nn.mse_loss
        x, y = ag.tensor(workload.inputs), ag.tensor(workload.targets)

        def step(x: ag.Tensor, y: ag.Tensor) -> ag.Tensor:
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = ag.compile(step) if self.compiled else step
        return lambda: run(x, y).item()

    def forget(self) -> None:
        pass


def build(layer: d.Layer, weights: d.Weights) -> nn.Module:
    """The described model with these weights."""
    match layer:
        case d.Chain():
            return nn.Sequential([build(one, w) for one, w in zip(layer.layers, weights)])
        case d.Repeat(body):
            return nn.Sequential([build(body, w) for w in weights])
        case d.Residual(body, shortcut, scale):
            main = build(body, weights[0])
            scaled = main if scale == 1 else nn.Sequential(main, lambda x: x * scale)
            return nn.Residual(scaled, build(shortcut, weights[1]) if weights[1] else None)
        case d.Concat(body):
            return Concat(build(body, weights[0]))
        case d.Attention(size, heads):
            module = Attention(size, heads)
        case _:
            module = _leaf(layer)
    for parameter, array in zip(module.parameters(), weights, strict=True):
        parameter.assign(array)
    return module


def _leaf(layer: d.Layer) -> nn.Module:
    match layer:
        case d.Dense(inputs, outputs):
            return nn.Dense(inputs, outputs)
        case d.Conv(inputs, outputs, kernel, stride, groups, bias):
            return nn.Conv(
                inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=bias
            )
        case d.ConvTranspose(inputs, outputs):
            return nn.ConvTranspose(inputs, outputs, 2, stride=2)
        case d.BatchNorm(channels):
            return nn.BatchNorm(channels, momentum=0.9, epsilon=1e-5)
        case d.LayerNorm(size):
            return nn.LayerNorm(size, epsilon=1e-5)
        case d.MaxPool():
            return nn.MaxPool(2)
        case d.Dropout():
            return nn.Dropout(0.5)
    plain = {d.Relu: nn.ReLU, d.Gelu: nn.GELU, d.GlobalAvgPool: nn.GlobalAvgPool, d.Flatten: nn.Flatten}
    return plain[type(layer)]()


class Concat(nn.Module):
    """x and body(x) along the channels."""

    def __init__(self, body: nn.Module) -> None:
        self.body = body

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return ag.concat([x, self.body(x)], axis=1)


class Attention(nn.Module):
    """Self-attention with several heads: (N, tokens, size) → the same."""

    def __init__(self, size: int, heads: int) -> None:
        self.heads = heads
        self.project = nn.Dense(size, 3 * size)
        self.merge = nn.Dense(size, size)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        n, tokens, size = x.shape
        qkv = self.project(x).reshape((n, tokens, 3, self.heads, size // self.heads))
        q, k, v = (part.squeeze(axis=0) for part in ag.split(qkv.permute_dims((2, 0, 3, 1, 4)), 3))
        weights = ag.softmax(q @ k.mT * (size // self.heads) ** -0.5, axis=-1)
        return self.merge((weights @ v).permute_dims((0, 2, 1, 3)).reshape((n, tokens, size)))
