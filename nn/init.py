"""Initial weights, drawn from `ag.random`: one seed fixes a whole model.

Shapes are read as layers keep them: (in, out) for a dense weight, (out, in, *kernel) for a convolution's. `fan_in`
is the number of terms that one output sums, `fan_out` that of outputs that one input reaches. Both can be given
where a weight is kept otherwise.

Sources: He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015, equation 10 (he_*: variance 2 / fan_in, for
ReLU). Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010, equations
12 and 16 (xavier_*: variance 2 / (fan_in + fan_out)).
"""

import math
from collections.abc import Sequence

import numpy as np

import autograd_core as ag
from autograd_core import Tensor
from autograd_core.dtypes import DTypeLike

Size = int | Sequence[int]


def _shape(shape: Size) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, int | np.integer) else tuple(shape)


def fans(shape: Size) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight: (in, out), (out, in, *kernel), or one axis that is both.

    >>> from nn import init
    >>> init.fans((784, 10)), init.fans((16, 3, 5, 5))
    ((784, 10), (75, 400))
    """
    sizes = _shape(shape)
    if not sizes:
        raise ValueError(
            "init: a 0-d weight has no fan_in: give its shape at least one axis, or use constant"
        )
    if len(sizes) == 1:
        return sizes[0], sizes[0]
    if len(sizes) == 2:
        return sizes[0], sizes[1]
    kernel = math.prod(sizes[2:])
    return sizes[1] * kernel, sizes[0] * kernel


def he_normal(shape: Size, fan_in: float | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Normal numbers with standard deviation √(2 / fan_in) (He et al. 2015).

    >>> from nn import init
    >>> init.he_normal((64, 32)).shape
    (64, 32)
    """
    return ag.random.normal(_shape(shape), std=math.sqrt(2 / _fan_in(shape, fan_in)), dtype=dtype)


def he_uniform(shape: Size, fan_in: float | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Numbers evenly distributed within ±√(6 / fan_in) (He et al. 2015).

    >>> from nn import init
    >>> bool((abs(init.he_uniform((6, 3))) <= 1).all())
    True
    """
    limit = math.sqrt(6 / _fan_in(shape, fan_in))
    return ag.random.uniform(_shape(shape), -limit, limit, dtype=dtype)


def xavier_normal(shape: Size, dtype: DTypeLike | None = None) -> Tensor:
    """Normal numbers with standard deviation √(2 / (fan_in + fan_out)) (Glorot and Bengio 2010).

    >>> from nn import init
    >>> init.xavier_normal((4, 4)).shape
    (4, 4)
    """
    return ag.random.normal(_shape(shape), std=math.sqrt(2 / max(1, sum(fans(shape)))), dtype=dtype)


def xavier_uniform(shape: Size, dtype: DTypeLike | None = None) -> Tensor:
    """Numbers evenly distributed within ±√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).

    >>> from nn import init
    >>> bool((abs(init.xavier_uniform((3, 3))) <= 1).all())
    True
    """
    limit = math.sqrt(6 / max(1, sum(fans(shape))))
    return ag.random.uniform(_shape(shape), -limit, limit, dtype=dtype)


def zeros(shape: Size, dtype: DTypeLike | None = None) -> Tensor:
    """Zeros, as for biases.

    >>> from nn import init
    >>> init.zeros(2)
    tensor([0., 0.], dtype=float32)
    """
    return ag.zeros(_shape(shape), dtype)


def ones(shape: Size, dtype: DTypeLike | None = None) -> Tensor:
    """Ones, as for the scale of a normalisation.

    >>> from nn import init
    >>> init.ones(2)
    tensor([1., 1.], dtype=float32)
    """
    return ag.ones(_shape(shape), dtype)


def constant(shape: Size, value: float, dtype: DTypeLike | None = None) -> Tensor:
    """`value` everywhere, in the default float dtype.

    >>> from nn import init
    >>> init.constant(2, 0.1)
    tensor([0.1, 0.1], dtype=float32)
    """
    return ag.full(_shape(shape), value, ag.default_dtype() if dtype is None else dtype)


def _fan_in(shape: Size, given: float | None) -> float:
    fan_in = fans(shape)[0] if given is None else given
    return max(fan_in, 1)
