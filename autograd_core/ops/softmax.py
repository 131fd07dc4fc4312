"""Softmax, its logarithm, and the cross-entropy of logits with class numbers."""

# pyright: reportGeneralTypeIssues=false
# A rule may name the operation it belongs to: at run time the name is there, pyright sees a circle.

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from autograd_core.dtypes import Array
from autograd_core.ops.arguments import axes
from autograd_core.ops.define import operation
from autograd_core.ops.elementwise import as_float, exp, smooth_kernels
from autograd_core.ops.index import at_labels, labels_of, pick
from autograd_core.ops.large import is_large32
from autograd_core.ops.reduce import finite_or_zero, sum
from autograd_core.ops.shape import expand_dims
from autograd_core.tape import capturing

# Elements of a row up to which it is computed as a column: NumPy reduces rows one by one, columns all at once.
# 128×10 takes 9 µs instead of 19, 128×32 13.5 instead of 18; 64×256 would take 54 instead of 30.
_SHORT = 32
_WORTH = 1 << 10  # logits from which cross-entropy's kernels are worth loading
_FLOAT32 = np.dtype(np.float32)


def _axis(x: Array, axis: Any) -> Any:
    """`axis`, which must be an integer (or several, or None: all). A 0-d array has one element along axis 0 or -1."""
    axes(axis)
    return () if x.ndim == 0 and axis in (-1, 0) else axis


def _by_rows(x: Array, axis: int) -> bool:
    """Whether x is a large float32 array along whose rows `axis` goes."""
    return is_large32(x) and x.shape[-1] > 0 and axis in (-1, x.ndim - 1)


def _along(compute: Callable[[Array, int], Array], x: Array, axis: int) -> Array:
    """compute(x, axis), with short rows as columns."""
    if type(x) is not np.ndarray or x.ndim < 2 or axis not in (-1, x.ndim - 1) or x.shape[-1] > _SHORT:
        return compute(x, axis)
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return np.array(compute(np.array(rows.T, order="C"), 0).T, order="C").reshape(x.shape)


@operation(
    lambda u, p, axis: softmax_grad(u, p, axis),
    lambda u, g, p, axis: (
        u * (g - sum(g * p, axis=_axis(p, axis), keepdims=True))
        - g * sum(u * p, axis=_axis(p, axis), keepdims=True)
    ),
)
def softmax_grad(g: Array, p: Array, axis: int = -1) -> Array:
    """p · (g - Σ g · p) along `axis`: the derivative of softmax, of which p is the result."""
    if _by_rows(p, axis) and is_large32(g):
        return smooth_kernels().softmax_grad(g, p)
    return p * (g - np.add.reduce(g * p, axis=_axis(p, axis), keepdims=True))


def _softmax(x: Array, axis: int) -> Array:
    e = np.subtract(x, np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    if isinstance(e, np.generic):  # of a 0-d x
        e = np.asarray(e)
    e = np.exp(e, out=e)
    e /= np.add.reduce(e, axis=axis, keepdims=True)
    return e


@operation(lambda g, out, axis: softmax_grad(g, out, axis))
def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / Σ exp(x) along `axis`, without overflow; 1 for a 0-d x.

    >>> import autograd_core as ag
    >>> ag.softmax(ag.tensor([0.0, 0.0]))
    tensor([0.5, 0.5], dtype=float32)
    """
    x = as_float(x)
    axis = _axis(x, axis)
    return smooth_kernels().softmax(x) if _by_rows(x, axis) else _along(_softmax, x, axis)


def _log_softmax(x: Array, axis: int) -> Array:
    shifted = np.subtract(x, finite_or_zero(np.max(x, axis=axis, keepdims=True, initial=-np.inf)))
    shifted -= np.log(np.add.reduce(np.exp(shifted), axis=axis, keepdims=True))
    return shifted


@operation(lambda g, out, axis: g - exp(out) * sum(g, axis=_axis(g, axis), keepdims=True))
def log_softmax(x: Array, axis: int = -1) -> Array:
    """x - log Σ exp(x) along `axis`, without overflow.

    >>> import autograd_core as ag
    >>> ag.log_softmax(ag.tensor([0.0, 0.0]))
    tensor([-0.6931472, -0.6931472], dtype=float32)
    """
    x = as_float(x)
    axis = _axis(x, axis)
    return smooth_kernels().log_softmax(x) if _by_rows(x, axis) else _along(_log_softmax, x, axis)


# Cross-entropy: one operation and so one node. As log_softmax, pick and a negation it takes three each way, and of
# the time that 128×10 logits take, more than half went to them.


@cache
def _kernels() -> Any:
    """Their own kernels; loading them loads numba."""
    from autograd_core.kernels import cross_entropy

    return cross_entropy


def _in_rows(x: Any, ndim: int = 2) -> bool:
    """Whether x is float32 of so many axes, and not so little that NumPy shall do."""
    kind = type(x) is np.ndarray and x.ndim == ndim and x.dtype == _FLOAT32
    return kind and x.size >= (_WORTH if ndim == 2 else 1) and capturing() is None


def shares(x: Array, axis: int) -> Array:
    """softmax; of a row with +∞ the others are 0 and that is NaN, as log_softmax and its derivative have it."""
    e = np.subtract(x, finite_or_zero(np.max(x, axis=axis, keepdims=True, initial=-np.inf)))
    e = np.exp(e)
    return e / np.add.reduce(e, axis=axis, keepdims=True)


def _excess(x: Any, labels: Any) -> Any:
    """By how much each class's probability is above what its label says: softmax(x), at the label less 1."""
    return cross_entropy_grad(np.ones(labels.shape, x.dtype), x, labels)


@operation(
    lambda u, x, labels: sum(u * _excess(x, labels), axis=1),
    lambda u, g, x: softmax_grad(u * expand_dims(g, axis=1), softmax(x, axis=1), axis=1),
    None,
)
def cross_entropy_grad(g: Array, x: Array, labels: Array) -> Array:
    """The derivative of `cross_entropy`: g · (softmax(x) - 1 at the label), along axis 1."""
    labels = labels_of(x, labels)
    if _in_rows(x) and _in_rows(g, 1):
        return _kernels().slopes(g, x, labels)
    excess = _along(shares, x, 1)
    excess[at_labels(labels, x.ndim)] -= 1
    excess *= np.expand_dims(g, 1)
    return excess


@operation(lambda g, x, labels: cross_entropy_grad(g, x, labels), None)
def cross_entropy(x: Array, labels: Array) -> Array:
    """For each sample -log of the probability that softmax(x) along axis 1 gives to its label, without overflow.

    x (N, C, …), integer labels (N, …) → (N, …). Negative labels count from the end, as in `pick`; `nn.cross_entropy`
    refuses them, and takes the mean. Raises TypeError, ValueError or IndexError for labels that are no integers, of
    another shape, or out of range.

    >>> import autograd_core as ag
    >>> ag.cross_entropy(ag.tensor([[0.0, 0.0], [0.0, 1000.0]]), ag.tensor([1, 0]))
    tensor([6.931472e-01, 1.000000e+03], dtype=float32)
    """
    labels = labels_of(x, labels)
    if _in_rows(x):
        return _kernels().losses(x, labels)
    return np.negative(pick(log_softmax(x, axis=1), labels))
