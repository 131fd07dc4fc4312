"""Models as data: what every engine builds from, so that all of them train the same one from the same weights."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Weights = list[Any]  # arrays for a layer with weights, one such list for each layer of a composite


@dataclass(frozen=True)
class Layer:
    """The base of all descriptions."""


@dataclass(frozen=True)
class Dense(Layer):
    """x @ w + b; weights (inputs, outputs) and (outputs); `gain` scales the initial ones."""

    inputs: int
    outputs: int
    gain: float = 1.0


@dataclass(frozen=True)
class Conv(Layer):
    """2-D, padded by kernel // 2; weights (outputs, inputs / groups, kernel, kernel) and, with bias, (outputs)."""

    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    groups: int = 1
    bias: bool = False


@dataclass(frozen=True)
class ConvTranspose(Layer):
    """2-D, kernel 2 and stride 2, which doubles height and width; weights (inputs, outputs, 2, 2) and (outputs)."""

    inputs: int
    outputs: int


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Momentum 0.9 for what was, 0.1 for the batch; epsilon 1e-5; weights γ and β."""

    channels: int


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Over the last axis, epsilon 1e-5; weights γ and β."""

    size: int


@dataclass(frozen=True)
class Attention(Layer):
    """Self-attention on (N, tokens, size): the weights of a Dense to q, k, v and of one behind the heads."""

    size: int
    heads: int


@dataclass(frozen=True)
class Relu(Layer):
    """max(x, 0)."""


@dataclass(frozen=True)
class Gelu(Layer):
    """x·Φ(x), exact."""


@dataclass(frozen=True)
class MaxPool(Layer):
    """2×2."""


@dataclass(frozen=True)
class GlobalAvgPool(Layer):
    """The mean over height and width."""


@dataclass(frozen=True)
class Flatten(Layer):
    """(N, C, H, W) → (N, C·H·W)."""


@dataclass(frozen=True)
class Dropout(Layer):
    """Rate 0.5."""


@dataclass(frozen=True)
class Chain(Layer):
    """One after another; an empty one is the identity."""

    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Residual(Layer):
    """shortcut(x) + scale · body(x)."""

    body: Layer
    shortcut: Layer = field(default_factory=Chain)
    scale: float = 1.0


@dataclass(frozen=True)
class Concat(Layer):
    """x and body(x) side by side along the channels."""

    body: Layer


@dataclass(frozen=True)
class Repeat(Layer):
    """The body so many times one after another, each with weights of its own."""

    body: Layer
    times: int


def chain(*layers: Layer) -> Chain:
    """Layers one after another."""
    return Chain(layers)


def draw(layer: Layer, rng: np.random.Generator) -> Weights:
    """Initial weights: He's normal distribution, biases 0 and scales 1."""
    match layer:
        case Dense(inputs, outputs, gain):
            return [_normal(rng, (inputs, outputs), inputs / gain**2), _zeros(outputs)]
        case Conv(inputs, outputs, kernel, _, groups, bias):
            shape = (outputs, inputs // groups, kernel, kernel)
            weight = _normal(rng, shape, shape[1] * kernel**2)
            return [weight, _zeros(outputs)] if bias else [weight]
        case ConvTranspose(inputs, outputs):
            return [_normal(rng, (inputs, outputs, 2, 2), inputs), _zeros(outputs)]
        case BatchNorm(size) | LayerNorm(size):
            return [np.ones(size, np.float32), _zeros(size)]
        case Attention(size, _):
            return [*draw(Dense(size, 3 * size), rng), *draw(Dense(size, size), rng)]
        case Repeat(body, times):
            return [draw(body, rng) for _ in range(times)]
    return [draw(child, rng) for child in children(layer)]


def children(layer: Layer) -> tuple[Layer, ...]:
    """The layers directly inside a composite, in the order of their weights."""
    match layer:
        case Chain(layers):
            return layers
        case Residual(body, shortcut, _):
            return body, shortcut
        case Concat(body):
            return (body,)
        case Repeat(body, times):
            return (body,) * times
    return ()


def leaves(layer: Layer) -> Iterator[Layer]:
    """All layers that are not composites, in the order in which they run."""
    inside = children(layer)
    if not inside:
        yield layer
    for child in inside:
        yield from leaves(child)


def _normal(rng: np.random.Generator, shape: tuple[int, ...], fan_in: float) -> np.ndarray:
    return (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)


def _zeros(size: int) -> np.ndarray:
    return np.zeros(size, np.float32)
