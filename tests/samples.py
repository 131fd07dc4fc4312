"""The table of samples: for every primitive of the registry, calls with float64 arrays that keep clear of kinks.

`SAMPLES[name]` is a list of `Sample`s. `references` names the NumPy or SciPy function, or the slow twin, that the
forward result must equal. A primitive without samples fails `test_ops.test_every_primitive_has_samples`.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.special
from kernels import naive


@dataclass(eq=False)
class Sample:
    """One call of a primitive: array arguments (or Python numbers) by position, static parameters by name."""

    name: str
    args: tuple
    params: dict = field(default_factory=dict)
    differentiable: bool = True

    @property
    def float_positions(self) -> list[int]:
        """Which arguments are float arrays."""
        return [i for i, a in enumerate(self.args) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]

    def cast(self, dtype: str) -> tuple:
        """The arguments with float arrays in another float dtype."""
        return tuple(
            a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in self.args
        )

    def __str__(self) -> str:
        shapes = "x".join(
            str(list(a.shape)).replace(" ", "") if isinstance(a, np.ndarray) else repr(a) for a in self.args
        )
        statics = ",".join(f"{k}={v}" for k, v in self.params.items() if k not in ("index", "dtype"))
        return f"{self.name}({shapes}{',' if statics else ''}{statics})".replace(" ", "")


SAMPLES: dict[str, list[Sample]] = {}


def add(name: str, *args: Any, differentiable: bool = True, **params: Any) -> None:
    """Put one sample into the table."""
    arrays = tuple(np.asarray(a) if isinstance(a, np.generic) else a for a in args)
    SAMPLES.setdefault(name, []).append(Sample(name, arrays, params, differentiable))


def generator(*key: Any) -> np.random.Generator:
    """The same numbers in every run, other ones for every key."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


# Domains ----------------------------------------------------------------------------------------------------


def real(*shape: int, key: Any = "") -> np.ndarray:
    return np.asarray(generator("real", shape, key).uniform(-2, 2, shape))


def positive(*shape: int, key: Any = "") -> np.ndarray:
    return np.asarray(generator("positive", shape, key).uniform(0.3, 3, shape))


def inside(*shape: int, key: Any = "") -> np.ndarray:
    """Inside (-0.8, 0.8)."""
    return generator("inside", shape, key).uniform(-0.8, 0.8, shape)


def nonzero(*shape: int, key: Any = "") -> np.ndarray:
    draw = generator("nonzero", shape, key)
    return draw.uniform(0.3, 2, shape) * draw.choice([-1.0, 1.0], shape)


def between_integers(*shape: int, key: Any = "") -> np.ndarray:
    draw = generator("between", shape, key)
    return draw.integers(-4, 4, shape) + draw.uniform(0.2, 0.4, shape)


def distinct(*shape: int, key: Any = "") -> np.ndarray:
    """No two elements closer than 0.25."""
    return np.asarray(
        0.25 * generator("distinct", shape, key).permutation(math.prod(shape)).reshape(shape) - 0.9
    )


def matrix(*shape: int, key: Any = "") -> np.ndarray:
    """Square matrices far from singular."""
    return generator("matrix", shape, key).uniform(-1, 1, shape) + 3 * np.eye(*shape[-2:])


def definite(*shape: int, key: Any = "") -> np.ndarray:
    """Symmetric positive definite matrices with well separated eigenvalues."""
    a = generator("definite", shape, key).uniform(-1, 1, shape)
    spread = np.eye(shape[-1]) * np.arange(1, shape[-1] + 1) * 2.0
    return a @ a.swapaxes(-1, -2) + spread


def spread_rows(*shape: int, key: Any = "") -> np.ndarray:
    """Matrices of full rank with well separated singular values."""
    a = generator("spread", shape, key).uniform(-1, 1, shape)
    return a + np.eye(*shape[-2:]) * np.arange(2, shape[-1] + 2) * 1.5


# Elementwise ------------------------------------------------------------------------------------------------

SHAPES = [(), (0,), (3,), (2, 3), (2, 1, 4)]
PAIRS = [
    ((), ()), ((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 4)), ((2, 3), ()), ((), (2,)), ((0, 3), (1, 3)),
    ((1,), (2, 0)), ((2, 3, 4), (3, 1)),
]  # fmt: skip

UNARY: dict[str, Callable[..., np.ndarray]] = {
    "negative": real, "square": real, "abs": nonzero, "sign": nonzero, "exp": real, "expm1": real,
    "log": positive, "log1p": inside, "sqrt": positive, "rsqrt": positive, "sin": real, "cos": real,
    "tan": inside, "asin": inside, "acos": inside, "atan": real, "sinh": real, "cosh": real, "tanh": real,
    "erf": real, "sigmoid": real, "softplus": real, "relu": nonzero, "floor": between_integers,
    "ceil": between_integers, "round": between_integers, "alias": real,
}  # fmt: skip
for _name, _domain in UNARY.items():
    for _shape in SHAPES:
        add(_name, _domain(*_shape, key=_name))
for _name in ("isnan", "isinf", "isfinite"):
    for _shape in SHAPES:
        add(_name, real(*_shape, key=_name), differentiable=False)


def apart(x_shape: tuple, y_shape: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Dividend and divisor whose quotients keep clear of the integers."""
    for attempt in range(1000):
        x, y = real(*x_shape, key=attempt) * 2, nonzero(*y_shape, key=attempt)
        quotient = x / y
        if np.all(np.abs(quotient - np.round(quotient)) > 0.01):
            return x, y
    raise AssertionError("no such numbers found")


for _left, _right in PAIRS:
    for _name in ("add", "subtract", "multiply", "logaddexp"):
        add(_name, real(*_left, key=_name), real(*_right, key=(_name, 2)))
    add("divide", real(*_left), nonzero(*_right))
    add("atan2", nonzero(*_left), nonzero(*_right, key=2))
    add("power", positive(*_left), real(*_right))
    add("gate", real(*_left), nonzero(*_right))
    add("tanh_grad", real(*_left), real(*_right))
    add("sigmoid_grad", real(*_left), real(*_right))
    add("remainder", *apart(_left, _right))
    add("floor_divide", *apart(_left, _right))
    for _name in ("maximum", "minimum", "at_least", "at_most"):
        add(_name, 0.5 * np.round(real(*_left) * 3), 0.5 * np.round(real(*_right, key=2) * 3) + 0.25)
    for _name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
        add(_name, np.round(real(*_left)), np.round(real(*_right, key=2)), differentiable=False)
    for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        add(_name, np.round(real(*_left) * 9).astype(int), np.round(real(*_right) * 9).astype(int))
        add(_name, real(*_left) > 0, real(*_right, key=2) > 0)
    add("where", real(*_left) > 0, real(*_right, key=2), real(*_left, key=3))
    add("where", real(*_left) > 0, real(*_left, key=2), real(*_right, key=3))
for _name in ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "at_least", "at_most"):
    add(_name, positive(3), 2)
    add(_name, positive(2, 3), 1.75)
    add(_name, 1.75, positive(2, 3))
for _exponent in (0, 1, 2, 3, -1, -2):
    add("power", nonzero(4), _exponent)
add("power", nonzero(2, 3), np.array([2, 3, 0], np.int8))
add("where", np.array([True, False]), real(2), 0.5)
add("where", np.array([True, False]), 0.5, real(2))
for _shape in SHAPES:
    add("bitwise_invert", np.round(real(*_shape) * 9).astype(int))
    add("bitwise_invert", real(*_shape) > 0)
    add("astype", real(*_shape), dtype="float64")
    add("astype", real(*_shape), dtype="int32", differentiable=False)

# Shapes -----------------------------------------------------------------------------------------------------

add("reshape", real(2, 6), shape=(3, 4))
add("reshape", real(2, 6), shape=(-1,))
add("reshape", real(1), shape=())
add("reshape", real(0, 3), shape=(3, 0, 2))
add("permute_dims", real(2, 3, 4), axes=(2, 0, 1))
add("permute_dims", real(2, 3, 4), axes=(-1, 0, -2))
add("permute_dims", real(2, 0), axes=(1, 0))
add("permute_dims", real(), axes=())
add("squeeze", real(2, 1, 3, 1))
add("squeeze", real(2, 1, 3, 1), axis=1)
add("squeeze", real(2, 1, 3, 1), axis=(-1, 1))
add("squeeze", real(1, 0), axis=0)
add("expand_dims", real(2, 3), axis=1)
add("expand_dims", real(2, 3), axis=(0, -1))
add("expand_dims", real(), axis=0)
add("expand_dims", real(0), axis=-1)
add("broadcast_to", real(3), shape=(2, 3))
add("broadcast_to", real(2, 1, 3), shape=(4, 2, 5, 3))
add("broadcast_to", real(), shape=(2, 2))
add("broadcast_to", real(1, 1), shape=(80, 70))  # large: a view of stride 0
add("broadcast_to", real(1, 3), shape=(0, 3))
add("concat", real(2, 3), real(1, 3, key=2), axis=0)
add("concat", real(2, 3), real(2, 1, key=2), real(2, 0), axis=1)
add("concat", real(4), axis=0)
add("flip", real(2, 3))
add("flip", real(2, 3), axis=1)
add("flip", real(2, 3, 2), axis=(0, -1))
add("flip", real(0, 2), axis=0)
add("roll", real(5), shift=2)
add("roll", real(2, 3), shift=-4, axis=1)
add("roll", real(2, 3), shift=(1, 2), axis=(0, 1))
add("roll", real(2, 3), shift=1)
add("roll", real(0), shift=1)
add("pad", real(3), widths=((1, 2),), value=0)
add("pad", real(2, 3), widths=((0, 0), (2, 1)), value=1.5)
add("pad", real(0, 2), widths=((1, 1), (0, 1)), value=0)
add("pad", real(), widths=(), value=0)

# Indexing ---------------------------------------------------------------------------------------------------

INDICES: list[tuple[tuple[int, ...], Any]] = [
    ((5,), 2), ((5,), -1), ((5,), slice(1, 4)), ((5,), slice(None, None, -2)), ((3, 4), (1, slice(None))),
    ((3, 4), (..., 0)), ((3, 4), (None, slice(None), 1)), ((3, 4), ()), ((), ()), ((), ...), ((), None),
    ((5,), np.array([0, 4, 4, -5])), ((3, 4), (np.array([0, 2, 2]), np.array([1, 1, 1]))),
    ((3, 4), (slice(None), np.array([[0, 1], [1, 3]]))), ((3, 4, 2), (np.array([0, 1]), slice(None), np.array([1, 0]))),
    ((3, 4), np.array([True, False, True])), ((2, 2), np.array([[True, False], [True, True]])),
    ((3, 2), np.zeros((3, 2), bool)), ((0, 3), slice(None)), ((4,), np.zeros(0, np.int64)), ((3,), True), ((3,), False),
]  # fmt: skip
for _shape, _index in INDICES:
    _x = real(*_shape)
    _picked = np.shape(_x[_index])
    add("getitem", _x, index=_index)
    add("scatter", real(*_picked), shape=_shape, index=_index)
    add("setitem", _x, real(*_picked, key=2), index=_index)
    add("setitem", _x, real(key=2), index=_index)
add("setitem", real(3, 4), real(1, 1, 4, key=2), index=slice(0, 2))
add("setitem", real(3, 4), real(2, 1, key=2), index=(slice(0, 2), slice(1, 4)))
add("setitem", real(3, 4), 2.5, index=(slice(0, 2), slice(1, 4)))
for _axis in (0, -1):
    add("argsort", distinct(3, 4), axis=_axis, differentiable=False)
    add("argsort", np.round(real(3, 4)), axis=_axis, descending=True, differentiable=False)
add("argsort", real(0), differentiable=False)

# Reductions -------------------------------------------------------------------------------------------------

AXES: list[tuple[tuple[int, ...], dict]] = [
    ((), {}), ((4,), {}), ((2, 3), {}), ((2, 3), {"axis": 0}), ((2, 3), {"axis": -1, "keepdims": True}),
    ((2, 3, 4), {"axis": (0, 2)}), ((2, 3, 4), {"axis": (-1, 0), "keepdims": True}), ((2, 3), {"keepdims": True}),
    ((2, 3), {"axis": ()}), ((1, 1), {"axis": 0}), ((3, 0), {"axis": 0}),
]  # fmt: skip
EMPTY: list[tuple[tuple[int, ...], dict]] = [((0,), {}), ((3, 0), {"axis": 1}), ((0, 2), {"keepdims": True})]
for _shape, _params in AXES:
    for _name in ("sum", "mean", "norm", "logsumexp"):
        add(_name, nonzero(*_shape, key=_name), **_params)
    for _name in ("max", "min"):
        add(_name, distinct(*_shape, key=_name), **_params)
    for _name in ("all", "any"):
        add(_name, np.maximum(real(*_shape, key=_name), 0), differentiable=False, **_params)
    if np.size(np.zeros(_shape)) > 0:
        add("var", real(*_shape), **_params)
for _shape, _params in EMPTY:
    for _name in ("sum", "norm"):
        add(_name, real(*_shape), **_params)
    for _name in ("all", "any"):
        add(_name, real(*_shape), differentiable=False, **_params)
add("var", real(2, 3), correction=1)
add("var", real(2, 3), axis=1, correction=0.5, keepdims=True)
for _name in ("argmax", "argmin"):
    for _shape, _params in [
        ((4,), {}),
        ((2, 3), {}),
        ((2, 3), {"axis": 0}),
        ((2, 3), {"axis": -1, "keepdims": True}),
    ]:
        add(_name, distinct(*_shape, key=_name), differentiable=False, **_params)
        add(_name, np.round(real(*_shape, key=_name)), differentiable=False, **_params)
for _shape, _axis in [((4,), 0), ((2, 3), 0), ((2, 3), -1), ((0, 2), 0)]:
    add("cumulative_sum", real(*_shape), axis=_axis)
for _shape, _axis in [((4,), -1), ((2, 3), 0), ((2, 3, 2), 1), ((0, 2), -1), ((1,), -1)]:
    add("softmax", real(*_shape), axis=_axis)
    add("softmax_grad", real(*_shape, key=2), real(*_shape), axis=_axis)
    add("log_softmax", real(*_shape), axis=_axis)

for _shape, _labels in [
    ((3, 4), [1, 3, 0]),
    ((2, 3, 2), [[0, 2], [1, 1]]),
    ((0, 3), []),
    ((2, 3, 1, 2), [[[2, 0]], [[1, 2]]]),
]:
    _labels = np.array(_labels, np.int64)
    add("pick", real(*_shape), _labels)
    add("place", real(*_labels.shape), _labels, classes=_shape[1])
    add("cross_entropy", real(*_shape), _labels)
    add("cross_entropy_grad", real(*_labels.shape), real(*_shape, key=2), _labels)

# Linear algebra: tests/test_linalg.py goes further ----------------------------------------------------------

for _left, _right in [
    ((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((2, 1, 2, 3), (5, 3, 4)), ((0, 3), (3, 2)), ((2, 0), (0, 3)),
]:  # fmt: skip
    add("matmul", real(*_left), real(*_right, key=2))
add("linear", real(2, 3), real(3, 4, key=2), real(4, key=3))
add("linear", real(0, 3), real(3, 1, key=2), real(1, key=3))
for _left, _right in [((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3)), ((0,), (0,)), ((0, 3), (3,))]:
    add("vecdot", real(*_left), real(*_right, key=2))
add("einsum", real(2, 3), real(3, 4), subscripts="ij,jk->ik")
add("einsum", real(2, 3), subscripts="ij->ji")
add("einsum", real(2, 3), subscripts="ij->")
add("einsum", real(3), real(4), real(3, 4), subscripts="i,j,ij->j")
add("einsum", real(1, 3), real(2, 3), subscripts="bi,bi->b")
add("solve", matrix(3, 3), real(3, 2))
add("solve", matrix(2, 3, 3), real(3, 1))
add("inv", matrix(3, 3))
add("inv", matrix(2, 2, 2))
add("cholesky", definite(3, 3))
add("cholesky", definite(2, 2, 2))
add("qr", spread_rows(3, 3))
add("qr", spread_rows(4, 2))
add("svd", spread_rows(3, 3))
add("svd", spread_rows(4, 2))
add("svd", spread_rows(2, 3))
add("svd_full", spread_rows(4, 2), differentiable=False)
add("eigh", definite(3, 3))
add("eigh", definite(2, 2, 2))
for _name in ("det", "cofactors", "slogdet"):
    add(_name, matrix(3, 3))
    add(_name, matrix(2, 2, 2))
add("ratio", matrix(2, 2), real(2, 2), differentiable=False)

# Convolution and pooling ------------------------------------------------------------------------------------

CONVS: list[tuple[tuple, tuple, dict]] = [
    ((2, 3, 6), (4, 3, 3), {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}),
    ((1, 2, 5, 4), (2, 2, 3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 1), "groups": 1}),
    ((1, 4, 6, 6), (2, 2, 2, 2), {"stride": (1, 2), "padding": (0, 1), "dilation": (2, 1), "groups": 2}),
    ((1, 1, 4, 4), (1, 1, 3, 3), {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}),
    ((1, 1, 3, 3, 3), (2, 1, 2, 2, 2), {"stride": (1,) * 3, "padding": (0,) * 3, "dilation": (1,) * 3, "groups": 1}),
    ((0, 1, 3), (2, 1, 2), {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}),
]  # fmt: skip
for _xs, _ws, _params in CONVS:
    _x, _w = real(*_xs), real(*_ws, key=2)
    _y = real(*naive.conv_forward(_x, _w, **_params).shape, key=3)
    add("conv", _x, _w, **_params)
    add("conv_bias", _x, _w, real(_ws[0], key=4), **_params)
    add("conv_input_grad", _y, _w, spatial=_xs[2:], **_params)
    add("conv_weight_grad", _y, _x, kernel=_ws[2:], **_params)
POOLS: list[tuple[tuple, dict]] = [
    ((2, 3, 6), {"kernel_size": (2,), "stride": (2,), "padding": (0,)}),
    ((1, 2, 5, 4), {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}),
    ((1, 1, 3, 4, 3), {"kernel_size": (2, 2, 2), "stride": (1, 2, 1), "padding": (0, 1, 0)}),
    ((0, 1, 4), {"kernel_size": (2,), "stride": (2,), "padding": (0,)}),
    ((1, 2, 5, 8), {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}),
]  # fmt: skip
for _xs, _params in POOLS:
    _x = distinct(*_xs)
    _y = real(*naive.avg_pool(_x, **_params).shape)
    add("avg_pool", _x, **_params)
    add("avg_pool_grad", _y, spatial=_xs[2:], **_params)
    _params = _params | {"dilation": (1,) * (len(_xs) - 2)}
    add("max_pool", _x, **_params)
    add("max_pool_put", _y, _x, **_params)
    add("max_pool_take", real(*_xs), _x, **_params)
_params = {"kernel_size": (2,), "stride": (1,), "padding": (1,), "dilation": (2,)}
add("max_pool", np.round(real(1, 2, 7)), **_params, differentiable=False)
add("max_pool_put", real(1, 2, 7), np.round(real(1, 2, 7)), **_params, differentiable=False)
add("max_pool_take", real(1, 2, 7), np.round(real(1, 2, 7)), **_params, differentiable=False)

# Channels -------------------------------------------------------------------------------------------------

for _shape in [(4, 3), (2, 3, 5), (3, 2, 2, 4), (1, 4, 6), (0, 3), (0, 2, 3)]:
    _c = _shape[1]
    _x, _numbers = real(*_shape), [real(_c, key=i) for i in range(4)]
    _full = bool(_x.size)  # no statistics of nothing
    add("moments", _x, differentiable=_full)
    add("channel_sums", real(*_shape, key=2), _x, _numbers[0])
    add("scale_shift", _x, *_numbers[:3])
    add("channel_blend", real(*_shape, key=2), _x, *_numbers)
    if _full:
        add("normalise", _x, *_numbers[:2], epsilon=0.1)
add("normalise", real(4, 3), 1.0, 0.5)
add("scale_shift", real(4, 3), 0.0, real(3), 1)

# Random draws: tests/test_random.py goes further ------------------------------------------------------------

add("advance", np.array([7, 3], np.uint64), blocks=5)
for _shape in [(), (5,), (2, 3), (0,)]:
    for _dtype in ("float32", "float64"):
        add("uniform", np.array([7, 3], np.uint64), shape=_shape, dtype=np.dtype(_dtype))
        add("normal", np.array([7, 3], np.uint64), shape=_shape, dtype=np.dtype(_dtype))

# Made by a transform, never called: its forward only says so.
NOT_CALLABLE = {"checkpoint"}


# References -------------------------------------------------------------------------------------------------


def _written(x, value, index):
    out = np.array(x, copy=True)
    out[index] = value
    return out


def _scattered(g, shape, index):
    out = np.zeros(shape, g.dtype)
    np.add.at(out, index, g)
    return out


def _argsort(x, axis=-1, descending=False, stable=True):
    """Row by row, with Python's own stable sort."""
    moved = np.moveaxis(x, axis, -1)
    order = np.zeros(moved.shape, np.int64)
    for row in np.ndindex(moved.shape[:-1]):
        values = moved[row].tolist()
        order[row] = sorted(range(len(values)), key=values.__getitem__, reverse=False)
        if descending:
            order[row] = sorted(range(len(values)), key=lambda i, v=values: -v[i])
    return np.moveaxis(order, -1, axis)


def _packed_qr(a):
    q, r = np.linalg.qr(a)
    return np.concatenate([q.swapaxes(-1, -2), r], axis=-1)


def _packed_svd(x):
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return np.concatenate([u.swapaxes(-1, -2), s[..., None], vh], axis=-1)


def _packed_full_svd(x):
    u, s, vh = np.linalg.svd(x)
    batch = x.shape[:-2]
    return np.concatenate([u.reshape(*batch, -1), s, vh.reshape(*batch, -1)], axis=-1)


def _packed_eigh(a):
    w, v = np.linalg.eigh(a)
    return np.concatenate([w[..., None, :], v], axis=-2)


def _lengths(a, g):
    norm = lambda v: np.linalg.norm(v, axis=(-2, -1), keepdims=True)
    return norm(a) / norm(g)


def _softmax(x, axis=-1):
    return scipy.special.softmax(x, axis=axis) if x.size else x


def _log_softmax(x, axis=-1):
    return scipy.special.log_softmax(x, axis=axis) if x.size else x


def _var(x, axis=None, correction=0, keepdims=False):
    return np.var(x, axis=axis, ddof=correction, keepdims=keepdims)


def _placed(y, labels, classes):
    """One-hot labels times y."""
    return np.moveaxis(np.eye(classes, dtype=y.dtype)[labels], -1, 1) * y[:, None]


def _norm(x, axis=None, keepdims=False):
    return np.sqrt(np.sum(np.abs(x) ** 2, axis=axis, keepdims=keepdims))


def _logsumexp(x, axis=None, keepdims=False):
    return np.asarray(scipy.special.logsumexp(x, axis=axis, keepdims=keepdims), x.dtype)


REFERENCES: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        "add subtract multiply divide floor_divide remainder negative square abs sign exp expm1 log log1p "
        "logaddexp sqrt sin cos tan sinh cosh tanh maximum minimum where floor ceil round equal not_equal less "
        "less_equal greater greater_equal bitwise_and bitwise_or bitwise_xor bitwise_invert isnan isinf isfinite "
        "reshape squeeze expand_dims broadcast_to flip roll sum mean max min argmax argmin all any matmul vecdot"
    ).split()
} | {
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "erf": scipy.special.erf,
    # Integers become what NumPy's functions make of them.
    "sigmoid": lambda x: scipy.special.expit(x.astype(np.result_type(np.exp(x), np.float32))),
    "softplus": lambda x: np.logaddexp(x, np.zeros_like(x)),
    "relu": lambda x: np.maximum(x, 0),
    "at_least": np.maximum,
    "at_most": np.minimum,
    "gate": lambda y, x: np.where(x > 0, y, 0),
    "tanh_grad": lambda g, y: g * (1 - y * y),
    "sigmoid_grad": lambda g, y: g * y * (1 - y),
    "power": lambda x, y: x**y,
    "astype": lambda x, dtype: x.astype(dtype),
    "alias": lambda x: x,
    "permute_dims": lambda x, axes: np.transpose(x, axes),
    "concat": lambda *arrays, axis: np.concatenate(arrays, axis=axis),
    "pad": lambda x, widths, value: np.pad(x, widths, constant_values=value) if x.ndim else x,
    "getitem": lambda x, index: x[index],
    "scatter": _scattered,
    "setitem": _written,
    "pick": lambda x, labels: np.take_along_axis(x, labels[:, None], axis=1)[:, 0],
    "place": _placed,
    "cross_entropy": lambda x, labels: -np.take_along_axis(_log_softmax(x, 1), labels[:, None], axis=1)[:, 0],
    "cross_entropy_grad": lambda g, x, labels: _softmax(x, 1) * g[:, None] - _placed(g, labels, x.shape[1]),
    "linear": lambda x, w, b: x @ w + b,
    "argsort": _argsort,
    "var": _var,
    "cumulative_sum": lambda x, axis: np.cumsum(x, axis=axis),
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "softmax_grad": lambda g, p, axis: p * (g - (g * p).sum(axis, keepdims=True)),
    "log_softmax": _log_softmax,
    "norm": _norm,
    "solve": np.linalg.solve,
    "inv": np.linalg.inv,
    "cholesky": np.linalg.cholesky,
    "qr": _packed_qr,
    "svd": _packed_svd,
    "svd_full": _packed_full_svd,
    "eigh": _packed_eigh,
    "einsum": lambda *operands, subscripts: np.einsum(subscripts, *operands),
    "det": np.linalg.det,
    "cofactors": lambda a: np.linalg.det(a)[..., None, None] * np.linalg.inv(a).swapaxes(-1, -2),
    "ratio": _lengths,
    "slogdet": lambda a: np.stack(np.linalg.slogdet(a), axis=-1),
    "conv": naive.conv_forward,
    "conv_bias": lambda x, w, b, **how: naive.conv_forward(x, w, **how) + b.reshape(-1, *(1,) * (x.ndim - 2)),
    "conv_input_grad": naive.conv_input_grad,
    "conv_weight_grad": naive.conv_weight_grad,
    "moments": naive.moments,
    "channel_sums": naive.channel_sums,
    "scale_shift": naive.scale_shift,
    "channel_blend": naive.channel_blend,
    "normalise": naive.normalise,
    "max_pool": naive.max_pool,
    "max_pool_put": naive.max_pool_put,
    "max_pool_take": naive.max_pool_take,
    "avg_pool": naive.avg_pool,
    "avg_pool_grad": naive.avg_pool_grad,
    "advance": lambda stream, blocks: np.array([stream[0], stream[1] + blocks], np.uint64),
    "uniform": lambda stream, shape, dtype: naive.uniform(7, 3, math.prod(shape), dtype).reshape(shape),
    "normal": lambda stream, shape, dtype: naive.normal(7, 3, math.prod(shape), dtype).reshape(shape),
}

ALL = [sample for samples in SAMPLES.values() for sample in samples]
