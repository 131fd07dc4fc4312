"""The training steps that are measured: a model, one batch, a loss, and a learning rate for SGD with momentum."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .layers import (
    Attention,
    BatchNorm,
    Chain,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    Gelu,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    MaxPool,
    Relu,
    Repeat,
    Residual,
    Weights,
    chain,
    draw,
    leaves,
)

MOMENTUM = 0.9


@dataclass(frozen=True)
class Workload:
    """`targets` are floats (squared error) or class numbers (cross-entropy)."""

    name: str
    model: Layer
    inputs: np.ndarray
    targets: np.ndarray
    lr: float = 0.01
    steady: "Workload | None" = None  # the same without dropout, which every engine draws in its own way
    unrolls: bool = (
        False  # so many layers that tracing each of them takes a compiler the better part of an hour
    )

    @cached_property
    def weights(self) -> Weights:
        """The initial weights: nobody may write to them."""
        return draw(self.model, np.random.default_rng(1))

    @property
    def classifies(self) -> bool:
        """Whether the loss is cross-entropy."""
        return self.targets.dtype.kind == "i"

    @property
    def has_images(self) -> bool:
        """Whether the order of channels and pixels in memory matters."""
        return any(isinstance(layer, Conv) for layer in leaves(self.model))


def sin_mlp(batch: int = 100) -> Workload:
    """1-64-32-1 on the sine."""
    x = np.linspace(0, 2 * np.pi, batch, dtype=np.float32)[:, None]
    model = chain(Dense(1, 64), Relu(), Dense(64, 32), Relu(), Dense(32, 1))
    return Workload("sin_mlp", model, x, np.sin(x), lr=1e-3)


def mlp784(batch: int = 128) -> Workload:
    """784-256-128-10."""
    model = chain(Dense(784, 256), Relu(), Dense(256, 128), Relu(), Dense(128, 10))
    return Workload("mlp784", model, *_batch(batch, 784))


def cnn28(batch: int = 64, dropout: bool = True) -> Workload:
    """Two convolutions with pooling, two dense layers with dropout, on 28×28."""
    model = chain(
        Conv(1, 32, bias=True), Relu(), MaxPool(),
        Conv(32, 64, bias=True), Relu(), MaxPool(),
        Flatten(), Dense(3136, 128), Relu(), *([Dropout()] if dropout else []), Dense(128, 10),
    )  # fmt: skip
    steady = cnn28(batch, dropout=False) if dropout else None
    return Workload("cnn28", model, *_batch(batch, 1, 28, 28), lr=1e-3, steady=steady)


def resnet20(batch: int = 32) -> Workload:
    """ResNet-20 for CIFAR (He et al. 2016, section 4.2) with projections (option B) where shapes change."""
    blocks = [_basic(16, 16, 1)] * 3
    for inputs, outputs in ((16, 32), (32, 64)):
        blocks += [_basic(inputs, outputs, 2), *[_basic(outputs, outputs, 1)] * 2]
    model = chain(*_conv(3, 16), *blocks, GlobalAvgPool(), Dense(64, 10))
    return Workload("resnet20", model, *_batch(batch, 3, 32, 32))


def deep(depth: int = 1000, batch: int = 32) -> Workload:
    """x ← x + 0.03·relu(Dense16(x)); beyond 1,000 layers the factor falls, or the numbers would leave float32."""
    scale = 0.03 * min(1.0, 1000 / depth)
    # With He's weights in full, a thousand such layers would multiply their input by ten million.
    model = Repeat(Residual(chain(Dense(16, 16, gain=0.1), Relu()), scale=scale), depth)
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((batch, 16)).astype(np.float32) for _ in range(2))
    return Workload(f"deep{depth}", model, x, y, lr=1e-3, unrolls=depth > 100)


def unet(batch: int = 8) -> Workload:
    """A U-Net of three levels (Ronneberger et al. 2015) with transposed convolutions, 64×64, four classes."""
    bottom = chain(MaxPool(), *_conv(32, 64), *_conv(64, 64), ConvTranspose(64, 32))
    middle = chain(
        MaxPool(), *_conv(16, 32), *_conv(32, 32), Concat(bottom), *_conv(64, 32), ConvTranspose(32, 16)
    )
    model = chain(*_conv(3, 16), *_conv(16, 16), Concat(middle), *_conv(32, 16), Conv(16, 4, 1, bias=True))
    x, _ = _batch(batch, 3, 64, 64)
    return Workload("unet", model, x, np.random.default_rng(2).integers(0, 4, (batch, 64, 64)))


def mobilenet(batch: int = 32) -> Workload:
    """Depthwise separable convolutions (Howard et al. 2017) on 32×32."""
    sizes = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
    blocks = [
        layer
        for inputs, outputs, stride in sizes
        for layer in (*_conv(inputs, inputs, 3, stride, groups=inputs), *_conv(inputs, outputs, 1))
    ]
    model = chain(*_conv(3, 32), *blocks, GlobalAvgPool(), Dense(256, 10))
    return Workload("mobilenet", model, *_batch(batch, 3, 32, 32))


def transformer(batch: int = 16) -> Workload:
    """One block with the normalisation before each half (Xiong et al. 2020): 64 tokens of size 128, four heads."""
    model = chain(
        Residual(chain(LayerNorm(128), Attention(128, 4))),
        Residual(chain(LayerNorm(128), Dense(128, 512), Gelu(), Dense(512, 128))),
    )
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((batch, 64, 128)).astype(np.float32) for _ in range(2))
    return Workload("transformer", model, x, y)


def _conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> tuple[Layer, Layer, Layer]:
    return Conv(inputs, outputs, kernel, stride, groups), BatchNorm(outputs), Relu()


def _basic(inputs: int, outputs: int, stride: int) -> Layer:
    body = chain(*_conv(inputs, outputs, 3, stride), Conv(outputs, outputs), BatchNorm(outputs))
    same = stride == 1 and inputs == outputs
    shortcut = Chain() if same else chain(Conv(inputs, outputs, 1, stride), BatchNorm(outputs))
    return chain(Residual(body, shortcut), Relu())


def _batch(batch: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs of a shape, and labels from ten classes."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, *shape)).astype(np.float32), rng.integers(0, 10, batch)


WORKLOADS: dict[str, Callable[..., Workload]] = {
    "sin_mlp": sin_mlp,
    "mlp784": mlp784,
    "cnn28": cnn28,
    "resnet20": resnet20,
    "deep1000": deep,
    "unet": unet,
    "mobilenet": mobilenet,
    "transformer": transformer,
}
