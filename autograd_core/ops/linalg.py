"""Linear algebra: determinants and norms, and by name all that matmul.py and decompose.py hold.

Matrices stand in the last two axes; leading axes are batches. Derivative rules after Giles 2008, "Collected matrix
derivative results for forward and reverse mode algorithmic differentiation".
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from autograd_core.dtypes import Array, Axis
from autograd_core.ops import elementwise as e
from autograd_core.ops import reduce
from autograd_core.ops.decompose import cholesky as cholesky
from autograd_core.ops.decompose import eigh as eigh
from autograd_core.ops.decompose import inv as inv
from autograd_core.ops.decompose import qr as qr
from autograd_core.ops.decompose import solve as solve
from autograd_core.ops.decompose import svd as svd
from autograd_core.ops.define import operation
from autograd_core.ops.matmul import dot as dot
from autograd_core.ops.matmul import einsum as einsum
from autograd_core.ops.matmul import linear as linear
from autograd_core.ops.matmul import matmul as matmul
from autograd_core.ops.matmul import outer as outer
from autograd_core.ops.matmul import tensordot as tensordot
from autograd_core.ops.matmul import vecdot as vecdot
from autograd_core.ops.reduce import axes_of
from autograd_core.ops.shape import expand_dims, moveaxis
from autograd_core.threads import on_one_blas_thread


class Slogdet(NamedTuple):
    """What `slogdet` returns."""

    sign: Array
    logabsdet: Array


# Determinants ---------------------------------------------------------------------------------------------

_SMALL = 8  # up to this size the determinant's derivatives are right to every order at singular matrices too


def _as_matrix(values: Any) -> Any:
    """One number for each matrix, with two axes more."""
    return values[..., None, None]


@operation(lambda g, a: _as_matrix(g) * _cofactors(a))
@on_one_blas_thread
def det(a: Array) -> Array:
    """The determinant of a (…, n, n).

    The derivative is the matrix of cofactors, found from the singular values: right for singular matrices as well.
    Higher derivatives are so too up to n = 8, where they interpolate a polynomial; beyond that they divide by the
    determinant, and give NaN where it is 0.

    >>> import autograd_core as ag
    >>> a = ag.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    >>> ag.linalg.det(a).backward()
    >>> a.grad.round()
    tensor([[ 4., -2.],
            [-2.,  1.]], dtype=float32)
    """
    return np.linalg.det(a)


def _cofactors_rule(g: Any, a: Any) -> Any:
    """The second derivative of det, a symmetric map.

    The cofactors of a + t g are polynomials in t of degree n - 1, so their slope at t = 0 is a weighted sum of their
    values at n points: no division by what may be 0, and the rule is made of cofactors again. For large n, from
    cof = det · a⁻ᵀ: (⟨cof, g⟩ cof - cof gᵀ cof) / det.
    """
    n = a.shape[-1]
    if n < 2:
        return e.zeros_like(a)
    if n > _SMALL:
        c = _cofactors(a)
        return (reduce.sum(c * g, axis=(-2, -1), keepdims=True) * c - c @ g.mT @ c) / _as_matrix(det(a))
    points, weights = (v.reshape(-1, *(1,) * a.ndim).astype(a.dtype) for v in _slope_at_zero(n))
    scale = _ratio(a, g)
    return reduce.sum(_cofactors(a + (points * scale) * g) * weights, axis=0) / scale


@operation(_cofactors_rule)
@on_one_blas_thread
def _cofactors(a: Array) -> Array:
    bad = ~np.isfinite(a).all(axis=(-2, -1), keepdims=True)
    u, s, vh = np.linalg.svd(np.where(bad, 0, a))  # of what is not finite it would raise an error
    sign = np.round(np.linalg.det(u) * np.linalg.det(vh))
    others = np.where(np.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]).prod(axis=-1)
    cofactors = (u * (sign[..., None] * others)[..., None, :]) @ vh
    return np.where(bad, np.nan, cofactors)


@lru_cache
def _slope_at_zero(n: int) -> tuple[Array, Array]:
    """Points and weights with Σ weight · p(point) = p'(0) for all polynomials p of degree below n."""
    points = np.cos(np.pi * (np.arange(n) + 0.5) / n)  # Chebyshev's
    return points, np.linalg.solve(np.vander(points, increasing=True).T, np.eye(n)[1])


@operation(lambda g: None, lambda g: None)
def _ratio(a: Array, g: Array) -> Array:
    """|a| / |g| of each matrix, 1 where that makes no sense. What it scales does not depend on it: no derivative."""
    length, other = (np.sqrt(np.sum(np.square(v), axis=(-2, -1), keepdims=True)) for v in (a, g))
    ratio = length / np.where(other == 0, 1, other)
    return np.where(np.isfinite(ratio) & (ratio > 0), ratio, np.ones((), ratio.dtype))


@operation(lambda g, a: _as_matrix(g[..., 1]) * inv(a).mT)
@on_one_blas_thread
def _slogdet(a: Array) -> Array:
    return np.stack(np.linalg.slogdet(a), axis=-1)


def slogdet(a: Array) -> Slogdet:
    """The sign of the determinant and the logarithm of its absolute value, (0, -inf) for a singular a (…, n, n).

    The derivative of the logarithm is a⁻ᵀ (Giles 2008, 2.2.4); it raises LinAlgError for a singular a.

    >>> import autograd_core as ag
    >>> ag.linalg.slogdet(ag.tensor([[0.0, 1.0], [1.0, 0.0]])).sign.item()
    -1.0
    """
    both = _slogdet(a)
    return Slogdet(both[..., 0], both[..., 1])


# Norms ----------------------------------------------------------------------------------------------------

Order = float | str | None


def norm(x: Array, ord: Order = None, axis: Axis = None, keepdims: bool = False) -> Array:
    """A norm of vectors (one `axis`) or matrices (two), as `numpy.linalg.norm`; by default √Σx² over everything.

    Of vectors: None or 2, inf (largest), -inf (smallest), 0 (how many are not 0), any other p: (Σ|x|ᵖ)^(1/p). Of
    matrices: None or "fro", "nuc" (Σ of singular values), 1 and -1 (largest and smallest sum of a column), inf and
    -inf (of a row), 2 and -2 (largest and smallest singular value). Where a norm has a kink (at 0, or between equals)
    a subgradient is taken; elements equal to 0 have the derivative 0, also for p < 1, where the slope is infinite, and
    the norm with ord=0 has the derivative 0 everywhere. Raises ValueError for other orders, and for an order without
    `axis` beyond 2 dimensions.

    >>> import autograd_core as ag
    >>> ag.linalg.norm(ag.tensor([[3.0, 4.0], [0.0, 0.0]]), ord=1, axis=1)
    tensor([7., 0.], dtype=float32)
    """
    if ord is not None and (
        isinstance(ord, bool) or not isinstance(ord, int | float | np.integer | np.floating | str)
    ):
        raise TypeError(f"norm: ord is {ord!r} ({type(ord).__name__}): give a number, 'fro', 'nuc' or None")
    if x.dtype.kind != "f":
        x = x.astype("float64")
    if axis is None and ord is None:
        return reduce.norm(x, axis=None, keepdims=keepdims)
    axes_of(axis, x.ndim)
    given = range(x.ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    axes = tuple(int(a) % x.ndim for a in given)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError(f"norm: {len(axes)} axes, but a vector has 1 and a matrix 2: give them with axis=")


def _vector_norm(x: Any, ord: Order, axis: int, keepdims: bool) -> Any:
    if ord is None or ord == 2:
        return reduce.norm(x, axis=axis, keepdims=keepdims)
    if isinstance(ord, str):
        raise ValueError(f"norm: {ord!r} is no norm of vectors: use None, 0, inf, -inf or a number p")
    if ord == 0:
        # |sign(0)| in the place of 0, for the graph: a step function has the derivative 0.
        return reduce.sum(e.where(x == 0, e.abs(e.sign(x)), 1), axis=axis, keepdims=keepdims)
    size = e.abs(x)
    if ord == np.inf:
        return reduce.max(size, axis=axis, keepdims=keepdims)
    if ord == -np.inf:
        return reduce.min(size, axis=axis, keepdims=keepdims)
    if ord == 1:
        return reduce.sum(size, axis=axis, keepdims=keepdims)
    p = float(ord)
    if p < 1:  # at 0 the slope of |x|ᵖ is infinite: the element's derivative is taken as 0
        zero = x == 0
        powers = e.where(zero, 0.0 if p > 0 else math.inf, e.where(zero, 1, size) ** p)
    else:
        powers = size**p
    total = reduce.sum(powers, axis=axis, keepdims=keepdims)
    kink = total == 0  # there the root's slope is infinite, and the norm's is taken as 0
    return e.where(kink, 0, e.where(kink, 1, total) ** (1 / p))


def _matrix_norm(x: Any, ord: Order, axes: tuple[int, ...], keepdims: bool) -> Any:
    if ord is None or ord == "fro":
        return reduce.norm(x, axis=axes, keepdims=keepdims)
    x = moveaxis(x, axes, (-2, -1))
    if ord in (1, -1, np.inf, -np.inf):
        sums = reduce.sum(e.abs(x), axis=-2 if ord in (1, -1) else -1)
        out = (reduce.max if float(ord) > 0 else reduce.min)(sums, axis=-1)
    elif ord in ("nuc", 2, -2):
        s = svd(x).S
        out = reduce.sum(s, axis=-1) if ord == "nuc" else s[..., 0 if ord == 2 else -1]
    else:
        raise ValueError(
            f"norm: {ord!r} is no norm of matrices: use None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf"
        )
    return expand_dims(out, axis=axes) if keepdims else out
