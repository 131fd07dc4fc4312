"""Optimizers: from gradients to new parameters.

Each optimizer states its update of one parameter once, with plain operators. `step` runs it on ndarrays, at NumPy's
speed; `recorded_step` runs the same lines on tensors and `assign`s the results, so that a step can be captured. All
that changes from step to step (learning rate and other settings, step counts, moments) is a Buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_core.ops.elementwise import minimum, sqrt
from autograd_core.tape import recording
from autograd_core.tensor import Tensor
from nn.optimizer import Moments, Optimizer, Params, Setting, named


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964), Nesterov's form of it, and weight decay (L2).

    g ← g + weight_decay·x;  m ← momentum·m + g;  x ← x − lr·m, or with Nesterov x ← x − lr·(g + momentum·m).
    As in Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, with the rate
    outside the momentum, as PyTorch has it. ValueError for settings out of range.

    >>> import nn
    >>> w = nn.Parameter([1.0, 2.0])
    >>> optimizer = nn.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.8, 1.6], dtype=float32)
    """

    momentum = Setting()
    weight_decay = Setting()
    optional = ("momentum", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        kinds = ("momentum",) if momentum else ()
        super().__init__(params, kinds, lr=lr, momentum=momentum, weight_decay=weight_decay)
        self.nesterov = nesterov

    @property
    def nesterov(self) -> bool:
        """Whether steps go along Nesterov's form of the momentum. It may be set later."""
        return self._nesterov

    @nesterov.setter
    def nesterov(self, on: bool) -> None:
        if on and not self.moment_names:
            raise ValueError(
                "SGD: nesterov=True needs a momentum: nn.SGD(params, lr, momentum=0.9, nesterov=True)"
            )
        self._nesterov = bool(on)

    def rates(self, t: Any, *settings: Any) -> tuple[Any, ...]:
        return settings

    def update(self, x: Any, g: Any, moments: Moments, rates: Sequence[Any]) -> tuple[Any, Moments]:
        lr, momentum, weight_decay = rates
        if self.decays:
            g = g + weight_decay * x
        if not moments:
            return x - lr * g, ()
        m = momentum * moments[0]
        m += g  # on arrays without another temporary
        return x - lr * (g + momentum * m if self.nesterov else m), (m,)


class Adam(Optimizer):
    """Adam: steps scaled by running averages of the gradient and its square, corrected for their start at zero.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1. `weight_decay` adds
    weight_decay·x to the gradient (L2). A parameter's t counts the steps in which it had a gradient.

    >>> import nn
    >>> w = nn.Parameter([1.0, 2.0])
    >>> optimizer = nn.Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.5, 1.5], dtype=float32)
    """

    beta1 = Setting(below=1.0)
    beta2 = Setting(below=1.0)
    epsilon = Setting()
    weight_decay = Setting()
    optional = ("weight_decay",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        beta1, beta2 = betas
        settings = {
            "lr": lr,
            "beta1": beta1,
            "beta2": beta2,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
        }
        super().__init__(params, ("mean", "square"), **settings)

    def rates(self, t: Any, *settings: Any) -> tuple[Any, ...]:
        lr, beta1, beta2, epsilon, weight_decay = settings
        # Corrections in float64: 1 - 0.999 in float32 would be wrong in the fifth digit.
        size = lr / (1 - beta1**t)
        scale = (1 - beta2**t) ** -0.5
        return size, scale, beta1, 1 - beta1, beta2, 1 - beta2, epsilon, self.decay(lr, weight_decay)

    def decay(self, lr: Any, weight_decay: Any) -> Any:
        """What multiplies the parameter in the weight decay's term."""
        return weight_decay

    def update(self, x: Any, g: Any, moments: Moments, rates: Sequence[Any]) -> tuple[Any, Moments]:
        size, scale, beta1, rest1, beta2, rest2, epsilon, decay = rates
        if self.decays:
            x, g = self.decayed(x, g, decay)
        mean = beta1 * moments[0] + rest1 * g
        square = beta2 * moments[1] + rest2 * (g * g)
        return x - size * mean / (sqrt(square) * scale + epsilon), (mean, square)

    def decayed(self, x: Any, g: Any, decay: Any) -> tuple[Any, Any]:
        """The parameter and the gradient with the weight decay in one of them."""
        return x, g + decay * x


class AdamW(Adam):
    """Adam with decoupled weight decay: x ← (1 − lr·weight_decay)·x before the step, outside the averages.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2 (with PyTorch's lr as
    its α·η).

    >>> import nn
    >>> w = nn.Parameter([1.0])
    >>> nn.AdamW([w], lr=0.01)
    AdamW(1 parameters, lr=0.01, beta1=0.9, beta2=0.999, epsilon=1e-08, weight_decay=0.01)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, epsilon, weight_decay)

    def decay(self, lr: Any, weight_decay: Any) -> Any:
        return 1 - lr * weight_decay

    def decayed(self, x: Any, g: Any, decay: Any) -> tuple[Any, Any]:
        return decay * x, g


class RMSprop(Optimizer):
    """Steps divided by the root of a running average of the squared gradient, with momentum when asked.

    square ← decay·square + (1 − decay)·g²;  d ← g / (√square + epsilon);  x ← x − lr·d, or with momentum
    m ← momentum·m + d;  x ← x − lr·m. Source: Hinton, "Neural networks for machine learning", lecture 6e, 2012.

    >>> import nn
    >>> w = nn.Parameter([1.0])
    >>> optimizer = nn.RMSprop([w], lr=0.1)
    >>> optimizer.lr = 0.05
    >>> optimizer.lr
    0.05
    """

    decay = Setting(below=1.0)
    epsilon = Setting()
    momentum = Setting()
    optional = ("momentum",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        decay: float = 0.99,
        epsilon: float = 1e-8,
        momentum: float = 0.0,
    ) -> None:
        kinds = ("square", "momentum") if momentum else ("square",)
        super().__init__(params, kinds, lr=lr, decay=decay, epsilon=epsilon, momentum=momentum)

    def rates(self, t: Any, *settings: Any) -> tuple[Any, ...]:
        lr, decay, epsilon, momentum = settings
        return lr, decay, 1 - decay, epsilon, momentum

    def update(self, x: Any, g: Any, moments: Moments, rates: Sequence[Any]) -> tuple[Any, Moments]:
        lr, decay, rest, epsilon, momentum = rates
        square = decay * moments[0] + rest * (g * g)
        direction = g / (sqrt(square) + epsilon)
        if len(moments) == 1:
            return x - lr * direction, (square,)
        m = momentum * moments[1] + direction
        return x - lr * m, (square, m)


def clip_grad_norm(params: Params, max_norm: float) -> Tensor:
    """Scale all gradients by one factor so that their common 2-norm is at most `max_norm`; return the norm before.

    The norm is a 0-d float64 tensor. Parameters without a gradient do not count. Gradients are replaced, never
    written into: another tensor may share their elements. Source: Pascanu, Mikolov, Bengio, "On the difficulty of
    training recurrent neural networks", 2013, algorithm 1.

    >>> import nn
    >>> w = nn.Parameter([3.0, 4.0])
    >>> (0.5 * w * w).sum().backward()
    >>> nn.clip_grad_norm([w], 1.0).item()
    5.0
    >>> round(w.grad.norm().item(), 4)
    1.0
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm = {max_norm}: it must be positive")
    _, found = named(params, "clip_grad_norm")
    graded = [(p, p.grad) for p in found if p.grad is not None]
    with recording(False):
        total = Tensor(np.zeros((), np.float64))
        for _, g in graded:
            wide = g.astype(np.float64)  # squares of large float32 gradients would overflow
            total = total + (wide * wide).sum()
        norm = sqrt(total)
        factor = minimum(max_norm / (norm + 1e-6), 1.0)
        for p, g in graded:
            p.grad = g * factor.astype(g.dtype)
    return norm
