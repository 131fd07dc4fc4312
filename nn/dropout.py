"""Dropout."""

import autograd_core as ag
from autograd_core import Tensor
from nn.module import Module


class Dropout(Module):
    """In training each element becomes 0 with probability `rate` and is divided by 1 - rate otherwise; else nothing.

    So the expected value is the input's. The mask comes from `ag.random`: it depends on the seed, on how much was
    drawn before, and on the element's place only. ValueError for a rate outside [0, 1).

    Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout", 2014.

    >>> import autograd_core as ag, nn
    >>> ag.random.seed(1)
    >>> sorted(set(nn.Dropout(0.5)(ag.ones(100)).tolist()))
    [0.0, 2.0]
    >>> nn.Dropout(0.5).eval()(ag.ones(2))
    tensor([1., 1.], dtype=float32)
    """

    def __init__(self, rate: float = 0.5) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"Dropout: rate is {rate}: it must be at least 0 and less than 1")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """x with a random part set to 0 in training, the same numbers as x in evaluation."""
        if not self.training or self.rate == 0:
            return +x  # another tensor: y[0] = 9 must not change x
        kept = 1 - self.rate
        # A float mask to multiply by: choosing with `where` costs ten times as much (branches on random bits).
        mask = ag.random.bernoulli(kept, x.shape).astype(x.dtype) * (1 / kept)
        return x * mask

    def details(self) -> str:
        """The rate."""
        return f"{self.rate}"
