"""Activation functions as layers."""

import math

import autograd_core as ag
from autograd_core import Tensor
from nn.module import Module


class ReLU(Module):
    """max(x, 0); its derivative at 0 is taken as 0.

    >>> import autograd_core as ag, nn
    >>> nn.ReLU()(ag.tensor([-1.0, 2.0]))
    tensor([0., 2.], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return x.relu()


class LeakyReLU(Module):
    """x where it is positive, else slope · x (Maas, Hannun, Ng 2013).

    >>> import autograd_core as ag, nn
    >>> nn.LeakyReLU(0.1)(ag.tensor([-1.0, 2.0]))
    tensor([-0.1,  2. ], dtype=float32)
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """x or slope · x."""
        return ag.where(x > 0, x, x * self.slope)

    def details(self) -> str:
        """The slope."""
        return f"{self.slope}"


class GELU(Module):
    """x · Φ(x) with the normal distribution function Φ, exact (Hendrycks, Gimpel 2016).

    >>> import autograd_core as ag, nn
    >>> round(nn.GELU()(ag.tensor(1.0)).item(), 4)
    0.8413
    """

    def forward(self, x: Tensor) -> Tensor:
        """x · ½(1 + erf(x / √2))."""
        return x * 0.5 * (ag.erf(x * math.sqrt(0.5)) + 1)


class SiLU(Module):
    """x · sigmoid(x) (Elfwing, Uchibe, Doya 2017).

    >>> import autograd_core as ag, nn
    >>> round(nn.SiLU()(ag.tensor(1.0)).item(), 4)
    0.7311
    """

    def forward(self, x: Tensor) -> Tensor:
        """x · sigmoid(x)."""
        return x * x.sigmoid()


class Tanh(Module):
    """The hyperbolic tangent.

    >>> import autograd_core as ag, nn
    >>> nn.Tanh()(ag.tensor([0.0]))
    tensor([0.], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """tanh(x)."""
        return x.tanh()


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ), without overflow.

    >>> import autograd_core as ag, nn
    >>> nn.Sigmoid()(ag.tensor([0.0]))
    tensor([0.5], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """sigmoid(x)."""
        return x.sigmoid()


class Softmax(Module):
    """exp(x) / Σ exp(x) along `axis`, without overflow. For a loss, give cross_entropy the logits instead.

    >>> import autograd_core as ag, nn
    >>> nn.Softmax()(ag.tensor([0.0, 0.0]))
    tensor([0.5, 0.5], dtype=float32)
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """The softmax of x."""
        return x.softmax(axis=self.axis)

    def details(self) -> str:
        """The axis."""
        return f"axis={self.axis}"
