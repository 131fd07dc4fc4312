"""The public functions: each operation, taking tensors, ndarrays, numbers or nested lists and returning tensors.

Inside the engine the operations themselves are called: given ndarrays they compute with ndarrays, which keeps the
first reverse sweep at NumPy's speed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from autograd_core.ops import channel as _c
from autograd_core.ops import conv as _conv
from autograd_core.ops import elementwise as _e
from autograd_core.ops import index as _i
from autograd_core.ops import linalg as _l
from autograd_core.ops import pool as _p
from autograd_core.ops import reduce as _r
from autograd_core.ops import shape as _s
from autograd_core.ops import softmax as _soft
from autograd_core.public import public
from autograd_core.tensor import Tensor, numpy_functions

exp = public(_e.exp)
log = public(_e.log)
log1p = public(_e.log1p)
expm1 = public(_e.expm1)
sqrt = public(_e.sqrt)
rsqrt = public(_e.rsqrt)
square = public(_e.square)
sin = public(_e.sin)
cos = public(_e.cos)
tan = public(_e.tan)
asin = public(_e.asin)
acos = public(_e.acos)
atan = public(_e.atan)
atan2 = public(_e.atan2)
sinh = public(_e.sinh)
cosh = public(_e.cosh)
tanh = public(_e.tanh)
erf = public(_e.erf)
abs = public(_e.abs)
sign = public(_e.sign)
maximum = public(_e.maximum)
minimum = public(_e.minimum)
clip = public(_e.clip)
where = public(_e.where)
floor = public(_e.floor)
ceil = public(_e.ceil)
round = public(_e.round)
sigmoid = public(_e.sigmoid)
softplus = public(_e.softplus)
relu = public(_e.relu)
logaddexp = public(_e.logaddexp)
isnan = public(_e.isnan)
isinf = public(_e.isinf)
isfinite = public(_e.isfinite)
add = public(_e.add)
subtract = public(_e.subtract)
multiply = public(_e.multiply)
divide = public(_e.divide)
floor_divide = public(_e.floor_divide)
remainder = public(_e.remainder)
power = public(_e.power)
negative = public(_e.negative)
equal = public(_e.equal)
not_equal = public(_e.not_equal)
less = public(_e.less)
less_equal = public(_e.less_equal)
greater = public(_e.greater)
greater_equal = public(_e.greater_equal)
astype = public(_e.astype)

sum = public(_r.sum)
mean = public(_r.mean)
prod = public(_r.prod)
max = public(_r.max)
min = public(_r.min)
var = public(_r.var)
std = public(_r.std)
argmax = public(_r.argmax)
argmin = public(_r.argmin)
all = public(_r.all)
any = public(_r.any)
cumulative_sum = public(_r.cumulative_sum)
logsumexp = public(_r.logsumexp)
softmax = public(_soft.softmax)
log_softmax = public(_soft.log_softmax)
norm = public(_r.norm)

reshape = public(_s.reshape)
permute_dims = public(_s.permute_dims)
matrix_transpose = public(_s.matrix_transpose)
moveaxis = public(_s.moveaxis)
squeeze = public(_s.squeeze)
expand_dims = public(_s.expand_dims)
broadcast_to = public(_s.broadcast_to)
concat = public(_s.concat)
stack = public(_s.stack)
flip = public(_s.flip)
roll = public(_s.roll)
pad = public(_s.pad)
tile = public(_s.tile)
repeat = public(_s.repeat)
tril = public(_s.tril)
triu = public(_s.triu)
split: Callable[..., list[Tensor]] = public(_s.split)  # pyright: ignore[reportAssignmentType]

take = public(_i.take)
take_along_axis = public(_i.take_along_axis)
pick = public(_i.pick)
cross_entropy = public(_soft.cross_entropy)
sort = public(_i.sort)
argsort = public(_i.argsort)
unique_values = public(_i.unique_values)
nonzero: Callable[..., tuple[Tensor, ...]] = public(_i.nonzero)  # pyright: ignore[reportAssignmentType]

matmul = public(_l.matmul)
linear = public(_l.linear)
einsum = public(_l.einsum)
tensordot = public(_l.tensordot)
vecdot = public(_l.vecdot)
outer = public(_l.outer)

conv = public(_conv.conv)
conv_transpose = public(_conv.conv_transpose)

moments = public(_c.moments)
normalise = public(_c.normalise)
scale_shift = public(_c.scale_shift)

max_pool = public(_p.max_pool)
avg_pool = public(_p.avg_pool)


def _np_transpose(a: Tensor, axes: Any = None) -> Tensor:
    return _reversed(a) if axes is None else permute_dims(a, axes)


_reversed = public(_s.transpose)

# np.mean(t), np.concatenate([t, u]) and the like are these functions too (NumPy's __array_function__ protocol).
_OTHER_NAMES = {
    "concatenate": concat,
    "transpose": _np_transpose,
    "cumsum": cumulative_sum,
    "dot": public(_l.dot),
    "amax": max,
    "amin": min,
}
numpy_functions.update(
    {
        getattr(np, name): function
        for name, function in {**globals(), **_OTHER_NAMES}.items()
        if not name.startswith("_") and callable(function) and hasattr(np, name)
    }
)
