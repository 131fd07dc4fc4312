"""Modules made of modules: one after another, and beside a shortcut."""

from collections.abc import Iterator
from typing import Any

from autograd_core import Tensor
from nn.activations import ReLU
from nn.conv import Conv
from nn.module import Layer, Module, misuse
from nn.norm import BatchNorm


class Sequential(Module):
    """Layers one after another; functions of a tensor may stand among them. One list of layers will do as well.

    >>> import autograd_core as ag, nn
    >>> model = nn.Sequential(nn.Dense(1, 8), nn.ReLU(), nn.Dense(8, 2))
    >>> model(ag.ones((5, 1))).shape
    (5, 2)
    >>> model
    Sequential(
      layers.0: Dense(1, 8)
      layers.1: ReLU()
      layers.2: Dense(8, 2)
    )
    """

    def __init__(self, *layers: Any) -> None:
        given = layers[0] if len(layers) == 1 and isinstance(layers[0], list | tuple) else layers
        self.layers: list[Layer] = list(given)
        for i, layer in enumerate(self.layers):
            if not callable(layer) or isinstance(layer, type):
                hint = (
                    f"an instance, {layer.__name__}(…)"
                    if isinstance(layer, type)
                    else "a layer or a function"
                )
                raise TypeError(f"Sequential: layer {i} is {layer!r}: give {hint}")

    def forward(self, x: Any) -> Any:
        """The last layer's output."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, index: int | slice) -> Any:
        """One layer; for a slice a Sequential of the same layers."""
        return Sequential(self.layers[index]) if isinstance(index, slice) else self.layers[index]


class Residual(Module):
    """activation(body(x) + shortcut(x)), where the shortcut is x itself and there is no activation unless given.

    ValueError when body and shortcut give different shapes.

    Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2016, equations 1 and 2.

    >>> import autograd_core as ag, nn
    >>> nn.Residual(lambda x: 2 * x)(ag.ones(2))
    tensor([3., 3.], dtype=float32)
    """

    def __init__(self, body: Layer, shortcut: Layer | None = None, activation: Layer | None = None) -> None:
        self.body, self.shortcut, self.activation = body, shortcut, activation

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways."""
        main = self.body(x)
        skip = x if self.shortcut is None else self.shortcut(x)
        if main.shape != skip.shape:
            mend = (
                "give a shortcut that projects x to the body's shape (nn.Conv(…, 1, stride) or nn.Dense)"
                if self.shortcut is None
                else "let shortcut and body give the same shape"
            )
            raise misuse(
                type(self).__name__, f"the two ways cannot be added: {mend}", body=main, shortcut=skip
            )
        out = main + skip
        return out if self.activation is None else self.activation(out)


class ResidualBlock(Residual):
    """Two normalised 3×3 convolutions beside a shortcut, added, ReLU: (N, C, H, W) → (N, O, ⌈H/s⌉, ⌈W/s⌉).

    The first convolution has the stride. Where the shape changes, the shortcut is a 1×1 convolution with the stride and
    batch normalisation (option B), elsewhere x itself. Convolutions have no bias: the normalisation has one.

    Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2016, figure 5 left.

    >>> import autograd_core as ag, nn
    >>> nn.ResidualBlock(3, 8, stride=2)(ag.ones((2, 3, 6, 6))).shape
    (2, 8, 3, 3)
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        body = Sequential(
            Conv(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            BatchNorm(out_channels),
            ReLU(),
            Conv(out_channels, out_channels, 3, padding=1, bias=False),
            BatchNorm(out_channels),
        )
        changes = stride != 1 or in_channels != out_channels
        projection = (
            Sequential(Conv(in_channels, out_channels, 1, stride=stride, bias=False), BatchNorm(out_channels))
            if changes
            else None
        )
        super().__init__(body, projection, ReLU())
