"""Calls of public functions and methods that the table of samples does not hold: composed ones, and other signatures.

A function that is named neither here nor in `tests/samples.py` gets arguments by trial (`subjects.py`); one for which
no trial succeeds is a bad cell, which asks for a line here.
"""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import samples as s
from kernels import naive
from samples import Sample

real, positive, distinct, matrix = s.real, s.positive, s.distinct, s.matrix


def _calls(name: str, *calls: tuple[Any, ...], **more: Any) -> list[Sample]:
    """Samples from (args…, params)."""
    differentiable = more.pop("differentiable", True)
    return [
        Sample(name, c[:-1], c[-1], differentiable)
        if isinstance(c[-1], dict)
        else Sample(name, c, {}, differentiable)
        for c in calls
    ]


_X = real(3, 4)
_V = real(5)

FUNCTIONS: dict[str, list[Sample]] = {
    name: _calls(name, *calls)
    for name, calls in {
        "clip": [(_X, {"min": -0.55, "max": 0.7}), (_V, {"min": 0.1}), (_V, {"max": 0.1}), (_X, real(4), 2.5)],
        "std": [(_X,), (_X, {"axis": 0}), (_X, {"axis": 1, "correction": 1, "keepdims": True})],
        "prod": [(positive(3, 4),), (positive(3, 4), {"axis": 0}), (s.nonzero(5), {"axis": -1, "keepdims": True})],
        "cumulative_sum": [(_V,), (_X, {"axis": 1}), (_X, {"axis": 0, "include_initial": True})],
        "matrix_transpose": [(_X,), (real(2, 3, 4),)],
        "moveaxis": [(real(2, 3, 4), 0, -1), (real(2, 3, 4), {"source": (0, 1), "destination": (1, 2)})],
        "stack": [([_X, real(3, 4, key=2)],), ([_V, real(5, key=2)], {"axis": 1})],
        "concat": [([_X, real(2, 4)],), ([_X, real(3, 1)], {"axis": -1})],
        "pad": [(_X, ((1, 2), (0, 1))), (_V, 2, {"constant_values": 1.5})],
        "tile": [(_X, (2, 1)), (_V, 3)],
        "repeat": [(_X, 2, {"axis": 0}), (_V, 3), (real(3), [1, 0, 2])],
        "tril": [(_X,), (real(2, 3, 3), {"k": -1})],
        "triu": [(_X,), (real(2, 3, 3), {"k": 1})],
        "split": [(real(4, 3), 2), (_X, [1, 3], {"axis": 1})],
        "take": [(_X, np.array([0, 2, 2]), {"axis": 0}), (_V, np.array([4, -1])), (_V, 2)],
        "take_along_axis": [(_X, np.array([[0], [3], [1]]), {"axis": 1})],
        "sort": [(distinct(3, 4),), (distinct(5), {"descending": True}), (distinct(3, 4), {"axis": 0})],
        "argsort": [(distinct(3, 4),), (distinct(5), {"descending": True})],
        "unique_values": [(np.round(_X),), (_V,)],
        "nonzero": [(np.round(_X),), (_V,)],
        "einsum": [("ij,jk->ik", _X, real(4, 2)), ("ii->i", real(3, 3)), ("ij->", _X), ("bi,bi->b", _X, _X)],
        "tensordot": [(_X, real(4, 2), {"axes": 1}), (_X, _X), (real(2, 3, 4), real(3, 4, 2), {"axes": ([1, 2], [0, 1])})],
        "outer": [(_V, real(3)),],
        "conv_transpose": [
            (real(1, 2, 4), real(2, 3, 3)), (real(2, 4, 3, 3), real(4, 2, 2, 2), {"stride": 2, "padding": 1, "groups": 2}),
            (real(1, 2, 3, 3), real(2, 1, 3, 3), {"stride": 2, "output_padding": 1, "dilation": 2}),
        ],
        "conv": [
            (real(1, 3, 8, 8), real(4, 3, 3, 3), {"padding": 1}), (real(2, 2, 7), real(4, 1, 3), {"stride": 2, "groups": 2}),
            (real(1, 1, 4, 4, 4), real(2, 1, 2, 2, 2)), (real(1, 3, 8, 8), real(3, 1, 3, 3), {"groups": 3, "padding": 1}),
        ],
        "max_pool": [(distinct(1, 2, 6, 6), 2), (distinct(1, 1, 7), 3, {"stride": 2, "padding": 1})],
        "avg_pool": [(real(1, 2, 6, 6), 2), (real(1, 1, 7), 3, {"stride": 2, "padding": 1})],
        "linalg.norm": [
            (_X,), (_X, {"ord": "fro"}), (_V, {"ord": 1}), (_V, {"ord": 3.0}), (_V, {"ord": np.inf}),
            (_X, {"ord": 2, "axis": 1}), (s.spread_rows(3, 3), {"ord": "nuc"}), (s.spread_rows(3, 3), {"ord": 2}),
        ],
        "linalg.qr": [(s.spread_rows(4, 2),), (s.spread_rows(3, 3), {"mode": "reduced"})],
        "linalg.svd": [(s.spread_rows(4, 2),), (s.spread_rows(2, 3),)],
        "linalg.eigh": [(s.definite(3, 3),), (s.definite(2, 2, 2),)],
        "linalg.slogdet": [(matrix(3, 3),)],
        "linalg.cholesky": [(s.definite(3, 3),)],
        "tensor": [(_X,)], "asarray": [(_X,)], "zeros_like": [(_X,)], "ones_like": [(_X,)],
        "full_like": [(_X, 2)], "full": [((2, 3), 2.5), (3, real())], "from_dlpack": [(_X,)],
        "meshgrid": [(_V, real(3)), (_V, real(3), {"indexing": "ij"})],
        "zeros": [((2, 3),)], "ones": [((2, 3),)], "eye": [(3,), (3, 4, {"k": 1})],
        "arange": [(5,), (1.5, 4.0, 0.5)], "linspace": [(0.0, 1.0, 5)],
    }.items()
}  # fmt: skip
for _name in "tensor asarray zeros_like ones_like full_like full from_dlpack meshgrid zeros ones eye arange linspace nonzero".split():
    for _sample in FUNCTIONS[_name]:
        _sample.differentiable = False

for _sample in FUNCTIONS["argsort"]:
    _sample.differentiable = False
FUNCTIONS["unique_values"][0].differentiable = False  # equal numbers: a change of one takes them apart

# What a new name with none of this stands for is found by trial.
RANDOM: dict[str, list[Sample]] = {
    "random.uniform": _calls("random.uniform", ((2, 3),)),
    "random.normal": _calls("random.normal", ((2, 3),)),
    "random.bernoulli": _calls("random.bernoulli", (0.5, (2, 3))),
    "random.integers": _calls("random.integers", (0, 9, (2, 3))),
    "random.permutation": _calls("random.permutation", (7,)),
    "empty": _calls("empty", ((2, 3),)),
    "empty_like": _calls("empty_like", (_X,), differentiable=False),
}

# Methods that are no functions. The reference gets the plain array.
Method = tuple[Callable[..., Any], Callable[..., Any] | None]
METHODS: dict[str, Method] = {
    "reshape": (lambda t: t.reshape(-1), lambda a: a.reshape(-1)),
    "transpose": (lambda t: t.transpose(), lambda a: a.transpose()),
    "flatten": (lambda t: t.flatten(), lambda a: a.flatten()),
    "detach": (lambda t: t.detach(), lambda a: a),
    "numpy": (lambda t: t.detach().numpy(), lambda a: a),
    "tolist": (lambda t: t.tolist(), lambda a: a.tolist()),
    "item": (lambda t: t[(0,) * t.ndim].item(), lambda a: a[(0,) * a.ndim].item()),
    "T": (lambda t: t.T, lambda a: a.T),
    "mT": (lambda t: t.mT, lambda a: a.mT),
    "shape": (lambda t: (t.shape, t.ndim, t.size), lambda a: (a.shape, a.ndim, a.size)),
    "repr": (lambda t: len(repr(t)) > 0, lambda a: True),
    "format": (lambda t: len(f"{t}") > 0, lambda a: True),
    "len": (len, len),
    "iter": (lambda t: list(t), lambda a: list(a)),
    "contains": (lambda t: 0.5 in t, lambda a: 0.5 in a),
    "round": (lambda t: round(t), lambda a: np.round(a)),
    "round1": (lambda t: round(t, 1), lambda a: np.round(a, 1)),
    "copy": (copy.copy, np.array),
    "deepcopy": (copy.deepcopy, np.array),
    "pickle": (lambda t: pickle.loads(pickle.dumps(t)), lambda a: a),
    "dlpack": (lambda t: np.from_dlpack(t.detach()), lambda a: a),
    "array": (lambda t: np.asarray(t.detach()), lambda a: a),
    "sorted rows": (lambda t: t[::-1], lambda a: a[::-1]),
    "ellipsis": (lambda t: t[..., 0], lambda a: a[..., 0]),
    "none": (lambda t: t[None], lambda a: a[None]),
    "mask": (lambda t: t[t > 0], lambda a: a[a > 0]),
    "bool": (lambda t: bool(t[(0,) * t.ndim]), lambda a: bool(a[(0,) * a.ndim])),
    "float": (lambda t: float(t[(0,) * t.ndim].detach()), lambda a: float(a[(0,) * a.ndim])),
    "int": (lambda t: int(t[(0,) * t.ndim].detach()), lambda a: int(a[(0,) * a.ndim])),
}  # fmt: skip


def _setitem(t: Any) -> Any:
    made = t * 1
    made[..., 0] = 2
    return made


# Methods of this table that record: the others leave the tape on purpose.
RECORDED = set("reshape transpose flatten T mT iter none mask setitem ellipsis".split()) | {"sorted rows"}

METHODS["setitem"] = (_setitem, _setitem)


def _backward(t: Any) -> Any:
    leaf = t.detach() * 1
    leaf.requires_grad = True
    (leaf * 3).sum().backward()
    return leaf.grad


METHODS["backward"] = (_backward, lambda a: np.full_like(a, 3))

# Methods that the table above covers under another name, or that are no computation.
COVERED = set("astype backward_steps item tolist numpy detach".split())


# Slow twins of functions whose signature differs from the primitive's ---------------------------------------


def _each(value: Any, n: int) -> tuple[int, ...]:
    return (value,) * n if isinstance(value, int) else tuple(value)


def _conv(x: Any, w: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    n = x.ndim - 2
    how = {
        "stride": _each(stride, n),
        "padding": _each(padding, n),
        "dilation": _each(dilation, n),
        "groups": groups,
    }
    dtype = (
        np.result_type(x, w, np.float32)
        if x.dtype.kind != "f" and w.dtype.kind != "f"
        else np.result_type(x, w)
    )
    return _padded_conv(x.astype(dtype), w.astype(dtype), **how)


def _padded_conv(x: Any, w: Any, *, padding: Any, **how: Any) -> Any:
    """Padding stands for zeros, with which weights are multiplied: NaN and infinities among them give NaN."""
    wide = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    return naive.conv_forward(wide, w, padding=(0,) * len(padding), **how)


def _padded_bias(x: Any, w: Any, b: Any, **how: Any) -> Any:
    return _padded_conv(x, w, **how) + b.reshape(-1, *(1,) * (x.ndim - 2))


def _conv_transpose(
    x: Any,
    w: Any,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    n = x.ndim - 2
    stride, padding, dilation, more = (_each(v, n) for v in (stride, padding, dilation, output_padding))
    spatial = tuple(
        (x.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (w.shape[2 + i] - 1) + more[i] + 1
        for i in range(n)
    )
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    dtype = np.result_type(x, w)
    return naive.conv_input_grad(x.astype(dtype), w.astype(dtype), spatial=spatial, **how)


def _pool(twin: Any, **more: Any) -> Any:
    def call(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Any:
        n = x.ndim - 2
        size = _each(kernel_size, n)
        how = {
            "kernel_size": size,
            "stride": size if stride is None else _each(stride, n),
            "padding": _each(padding, n),
        }
        return twin(x, **how, **{name: (value,) * n for name, value in more.items()})

    return call


def _std(x: Any, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Any:
    return np.std(x, axis=axis, ddof=correction, keepdims=keepdims)


def _sort(x: Any, axis: Any = -1, descending: bool = False) -> Any:
    return np.flip(np.sort(x, axis=axis), axis=axis) if descending else np.sort(x, axis=axis)


TWINS: dict[str, Callable[..., Any]] = {
    "conv": _conv, "conv_transpose": _conv_transpose, "max_pool": _pool(naive.max_pool, dilation=1),
    "avg_pool": _pool(naive.avg_pool), "std": _std, "sort": _sort, "tensor": np.asarray,
    "linalg.svd": lambda x, full_matrices=False: np.linalg.svd(x, full_matrices), "einsum": np.einsum,
}  # fmt: skip


def _argsort(x: Any, axis: int = -1, descending: bool = False) -> Any:
    """NaN last, or first of all where the order descends as in the array API's flipped sort."""
    if not descending:
        return np.argsort(x, axis=axis, stable=True)
    back = np.flip(np.argsort(np.flip(x, axis=axis), axis=axis, stable=True), axis=axis)
    return x.shape[axis] - 1 - back


def _place(y: Any, labels: Any, classes: int) -> Any:
    chosen = np.moveaxis(np.eye(classes, dtype=bool)[labels], -1, 1)
    return np.where(chosen, y[:, None], np.zeros((), y.dtype))


def _cross_entropy_grad(g: Any, x: Any, labels: Any) -> Any:
    return s._softmax(x, 1) * g[:, None] - _place(g, labels, x.shape[1])


def _symmetric(a: Any) -> Any:
    """The symmetric part, which is what the engine decomposes; integers in float64 as NumPy."""
    a = a if a.dtype.kind == "f" else a.astype(np.float64)
    return (a + np.swapaxes(a, -1, -2)) / 2


def _einsum(*operands: Any, subscripts: str) -> Any:
    """Several operands pairwise, as the engine does: what infinities make of a sum depends on the order."""
    return np.einsum(subscripts, *operands, optimize=len(operands) > 2)


def _eigh(a: Any) -> Any:
    """Of the symmetric part, as the engine takes it."""
    return np.linalg.eigh(_symmetric(a))


def _cholesky(a: Any) -> Any:
    return np.linalg.cholesky(_symmetric(a))


TWINS |= {
    "argsort": _argsort,
    "unique_values": lambda x: np.unique(x, equal_nan=False),
    "linalg.eigh": _eigh,
    "linalg.cholesky": _cholesky,
    "linalg.slogdet": np.linalg.slogdet,
    "linalg.qr": np.linalg.qr,
}
# Where the table of samples multiplies by zeros, which is not the same for NaN and infinity.
OPERATION_TWINS: dict[str, Callable[..., Any]] = {
    "argsort": _argsort,
    "place": _place,
    "cross_entropy_grad": _cross_entropy_grad,
    "cholesky": _cholesky,
    "conv": _padded_conv,
    "conv_bias": _padded_bias,
    "einsum": _einsum,
    "eigh": lambda a: s._packed_eigh(_symmetric(a)),
}
# Twins that are NumPy's own functions with other arguments: their dtypes count.
for _name in ("pad", "setitem", "getitem", "scatter", "concat", "permute_dims", "einsum", "linear", "power"):
    if _name in s.REFERENCES:
        s.REFERENCES[_name].__module__ = "numpy"
for _twin in (_argsort, _sort, _std, _eigh, _cholesky, _einsum):
    _twin.__module__ = "numpy"
