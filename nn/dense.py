"""The dense (fully connected) layer."""

import math

import autograd_core as ag
from autograd_core import Parameter, Tensor
from nn import init
from nn.module import Module, misuse, sizes


class Dense(Module):
    """x @ weight + bias: (..., in_features) → (..., out_features).

    `weight` is (in_features, out_features), drawn from He's normal distribution; `bias` (out_features) evenly from
    ±1/√in_features, None for `bias=False`: were it 0, all kinks of a ReLU layer on one input would stand at x = 0, and
    the sine on [0, 2π] would stay at an error of 0.14 where it now falls below 0.001.
    ValueError when the last axis of x is not in_features.

    >>> import autograd_core as ag, nn
    >>> nn.Dense(3, 2)(ag.ones((5, 3))).shape
    (5, 2)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        sizes("Dense", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.he_normal((in_features, out_features)))
        bound = 1 / math.sqrt(max(in_features, 1))
        self.bias = Parameter(ag.random.uniform(out_features, -bound, bound)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """x @ weight + bias."""
        try:
            return x @ self.weight if self.bias is None else ag.linear(x, self.weight, self.bias)
        except ValueError:
            if x.shape[-1:] == (self.in_features,):
                raise
            raise self._misfit(x) from None

    def _misfit(self, x: Tensor) -> Exception:
        size = f"has size {x.shape[-1]}" if x.ndim else "is missing"
        return misuse(
            "Dense",
            f"the last axis of x {size} but in_features is {self.in_features}: reshape x (nn.Flatten() before this "
            "layer keeps axis 0 only) or change in_features",
            x=x,
            weight=self.weight,
        )

    def details(self) -> str:
        """The sizes."""
        return f"{self.in_features}, {self.out_features}" + (", bias=False" if self.bias is None else "")
