"""Solving and decomposing: systems of equations, inverses, Cholesky, QR, singular values, eigenvalues.

A decomposition is one primitive whose factors are packed side by side into one array: it is computed once, and
whatever factors are used, their cotangents meet in one rule. Sources: Giles 2008, "Collected matrix derivative
results for forward and reverse mode algorithmic differentiation"; Murray 2016, "Differentiation of the Cholesky
decomposition"; Walter & Lehmann 2012 and Roberts & Roberts 2020 (QR); Townsend 2016 (singular values).
"""

from typing import Any, NamedTuple

import numpy as np

from autograd_core.dtypes import Array, Shape
from autograd_core.ops import elementwise as e
from autograd_core.ops import reduce
from autograd_core.ops.define import operation
from autograd_core.ops.shape import concat, reshape
from autograd_core.threads import on_one_blas_thread


class QR(NamedTuple):
    """What `qr` returns."""

    Q: Array
    R: Array


class SVD(NamedTuple):
    """What `svd` returns."""

    U: Array
    S: Array
    Vh: Array


class Eigh(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Array
    eigenvectors: Array


# Helpers of the rules -------------------------------------------------------------------------------------


def _symmetric(a: Any) -> Any:
    return 0.5 * (a + a.mT)


def _symmetrized(a: Array) -> Array:
    """The symmetric part of a square matrix, in floats; anything else is left to NumPy's error."""
    if a.dtype.kind != "f":
        a = a.astype(np.float64)  # as NumPy does; a sum of small integers would wrap around
    return _symmetric(a) if a.ndim > 1 and a.shape[-1] == a.shape[-2] else a


def _sides(a: Any, name: str) -> tuple[int, int]:
    if a.ndim < 2:
        raise np.linalg.LinAlgError(f"{name}: a {a.ndim}-d array is no matrix: give at least 2 dimensions")
    return a.shape[-2:]


def _half_lower(like: Any) -> Array:
    """Φ as a factor: 1 below the diagonal, ½ on it, 0 above."""
    n = like.shape[-1]
    return (np.tri(n) - 0.5 * np.eye(n)).astype(like.dtype)


def _diagonal(values: Any) -> Any:
    """Vectors as diagonal matrices."""
    return values[..., None, :] * np.eye(values.shape[-1], dtype=values.dtype)


def _inverse_gaps(values: Any) -> Any:
    """1 / (vⱼ - vᵢ) in row i and column j; 0 where two values are equal up to rounding."""
    gaps = values[..., None, :] - values[..., :, None]
    rounding = float(np.finfo(values.dtype).eps) * reduce.sum(e.abs(values), axis=-1)[..., None, None]
    equal = e.abs(gaps) <= rounding
    return e.where(equal, 0, 1 / e.where(equal, 1, gaps))


# Systems of equations -------------------------------------------------------------------------------------


def _solve_rule_a(g: Any, a: Any, out: Any) -> Any:
    return -(solve(a.mT, g) @ out.mT)


def _solve_rule_b(g: Any, a: Any) -> Any:
    return solve(a.mT, g)


@operation(_solve_rule_a, _solve_rule_b)
@on_one_blas_thread
def _solve(a: Array, b: Array) -> Array:
    return np.linalg.solve(a, b)


_solve.broadcasts = True


def solve(a: Array, b: Array) -> Array:
    """x with a @ x = b, for a (…, n, n) and b (…, n, k) or (n,): b is a vector only when it is 1-D, as in NumPy 2.

    Raises LinAlgError for a singular a. Giles 2008, 2.3.1: b̄ = a⁻ᵀ ḡ, ā = -b̄ xᵀ.

    >>> import autograd_core as ag
    >>> ag.linalg.solve(ag.tensor([[2.0, 0.0], [0.0, 4.0]]), ag.tensor([2.0, 2.0]))
    tensor([1. , 0.5], dtype=float32)
    """
    if b.ndim == 1:
        x = _solve(a, reshape(b, (-1, 1)))
        return reshape(x, x.shape[:-1])
    return _solve(a, b)


@operation(lambda g, out: -(out.mT @ g @ out.mT))
@on_one_blas_thread
def inv(a: Array) -> Array:
    """The inverse of a (…, n, n). Raises LinAlgError for a singular a. Giles 2008, 2.2.3: ā = -a⁻ᵀ ḡ a⁻ᵀ.

    >>> import autograd_core as ag
    >>> ag.linalg.inv(ag.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]], dtype=float32)
    """
    return np.linalg.inv(a)


# Cholesky and QR ------------------------------------------------------------------------------------------


def _cholesky_rule(g: Any, out: Any) -> Any:
    inverse = inv(out)
    return _symmetric(inverse.mT @ (_half_lower(out) * (out.mT @ g)) @ inverse)


@operation(_cholesky_rule)
@on_one_blas_thread
def cholesky(a: Array) -> Array:
    """The lower triangular l with l @ l.mT = a, for a symmetric positive definite a (…, n, n).

    Of another a the symmetric part is decomposed (NumPy: its lower triangle), so that the gradient is symmetric.
    Raises LinAlgError when a is not positive definite. Murray 2016, eq. 10: ā = sym(l⁻ᵀ Φ(lᵀ ḡ) l⁻¹), where Φ takes
    the lower triangle and halves its diagonal.

    >>> import autograd_core as ag
    >>> ag.linalg.cholesky(ag.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]], dtype=float32)
    """
    return np.linalg.cholesky(_symmetrized(a))


def _qr_rule(g: Any, out: Any, shapes: tuple[Shape]) -> Any:
    (q, r), (gq, gr) = _unpack_qr(out, shapes[0][-2]), _unpack_qr(g, shapes[0][-2])
    m = r @ gr.mT - gq.mT @ q
    lower = _half_lower(m) * m
    return solve(r, (gq + q @ (lower + lower.mT)).mT).mT


@operation(_qr_rule)
@on_one_blas_thread
def _qr(a: Array) -> Array:
    q, r = np.linalg.qr(a)
    return np.concatenate([q.mT, r], axis=-1)


def _unpack_qr(both: Any, rows: int) -> QR:
    return QR(both[..., :rows].mT, both[..., rows:])


def qr(a: Array, mode: str = "reduced") -> QR:
    """q (…, m, k) with orthonormal columns and upper triangular r (…, k, n), k = min(m, n), with q @ r = a (…, m, n).

    Raises ValueError for a mode other than "reduced". The derivative raises LinAlgError where the first k columns of
    a are dependent. Walter & Lehmann, Algorithmic differentiation of linear algebra functions (2012); for m < n, r
    continues with qᵀ a (Roberts & Roberts, QR and LQ decomposition matrix backpropagation algorithms, 2020).

    >>> import autograd_core as ag
    >>> q, r = ag.linalg.qr(ag.ones((4, 2)))
    >>> q.shape, r.shape
    ((4, 2), (2, 2))
    """
    if mode != "reduced":
        raise ValueError(f"qr: mode {mode!r} is missing: only 'reduced' is there")
    m, n = _sides(a, "qr")
    if m >= n:
        return _unpack_qr(_qr(a), m)
    q, r = _unpack_qr(_qr(a[..., :m]), m)
    return QR(q, concat([r, q.mT @ a[..., m:]], axis=-1))


def _svd_rule(g: Any, out: Any, shapes: tuple[Shape]) -> Any:
    m, n = shapes[0][-2:]
    (u, s, vh), (gu, gs, gvh) = _unpack_svd(out, m), _unpack_svd(g, m)
    k = s.shape[-1]
    row, column = s[..., None, :], s[..., :, None]
    turn_u, turn_v = u.mT @ gu, vh @ gvh.mT
    gaps = _inverse_gaps(s) / e.where(row + column == 0, 1, row + column)
    inner = gaps * (turn_u - turn_u.mT) * row + column * gaps * (turn_v - turn_v.mT) + _diagonal(gs)
    inverse = 1 / e.where(row == 0, np.inf, row)
    left = u @ inner
    if m > k:
        left = left + (gu - u @ turn_u) * inverse
    result = left @ vh
    if n > k:
        result = result + (u * inverse) @ (gvh - turn_v.mT @ vh)
    return result


def _finite(x: Array) -> Array:
    """x; LinAlgError where it has an infinity, with which LAPACK's iteration never ends."""
    if np.isinf(x).any():
        raise np.linalg.LinAlgError(
            "SVD did not converge: an element is infinite; look for it with ag.isinf(x)"
        )
    return x


@operation(_svd_rule)
@on_one_blas_thread
def _svd(x: Array) -> Array:
    u, s, vh = np.linalg.svd(_finite(x), full_matrices=False)
    return np.concatenate([u.mT, s[..., None], vh], axis=-1)


def _unpack_svd(packed: Any, rows: int) -> SVD:
    return SVD(packed[..., :rows].mT, packed[..., rows], packed[..., rows + 1 :])


def _no_full_rule(g: Any) -> Any:
    raise TypeError(
        "the columns of u and v beyond the first min(m, n) are not unique and have no derivative: "
        "use full_matrices=False"
    )


@operation(_no_full_rule)
@on_one_blas_thread
def _svd_full(x: Array) -> Array:
    """Everything in one row, as the three differ in shape."""
    batch, m, n = x.shape[:-2], *x.shape[-2:]
    u, s, vh = np.linalg.svd(_finite(x))
    return np.concatenate([u.reshape(*batch, m * m), s, vh.reshape(*batch, n * n)], axis=-1)


def svd(x: Array, full_matrices: bool = False) -> SVD:
    """u, s, vh with (u * s) @ vh = x (…, m, n), singular values s (…, k) descending, k = min(m, n).

    u (…, m, k) and vh (…, k, n), or square with `full_matrices`, which has no derivative when m differs from n.

    Townsend, Differentiating the singular value decomposition (2016). u and v are not unique where singular values
    are equal: pairs that differ by rounding only are left out of the derivative, as are divisions by s = 0. So
    functions of s alone, or of the subspaces, have finite and right first derivatives; what depends on more than
    that, and second derivatives there, lack those parts.

    >>> import autograd_core as ag
    >>> ag.linalg.svd(ag.tensor([[3.0, 0.0], [0.0, 4.0]])).S
    tensor([4., 3.], dtype=float32)
    """
    m, n = _sides(x, "svd")
    if not full_matrices or m == n:
        return _unpack_svd(_svd(x), m)
    row, k = _svd_full(x), min(m, n)
    u, s, vh = row[..., : m * m], row[..., m * m : m * m + k], row[..., m * m + k :]
    return SVD(reshape(u, (*x.shape[:-2], m, m)), s, reshape(vh, (*x.shape[:-2], n, n)))


def _eigh_rule(g: Any, out: Any) -> Any:
    (w, v), (gw, gv) = _unpack_eigh(out), _unpack_eigh(g)
    turn = v.mT @ gv
    return v @ (_diagonal(gw) + 0.5 * _inverse_gaps(w) * (turn - turn.mT)) @ v.mT


@operation(_eigh_rule)
@on_one_blas_thread
def _eigh(a: Array) -> Array:
    w, v = np.linalg.eigh(_symmetrized(a))
    return np.concatenate([w[..., None, :], v], axis=-2)


def _unpack_eigh(packed: Any) -> Eigh:
    return Eigh(packed[..., 0, :], packed[..., 1:, :])


def eigh(a: Array) -> Eigh:
    """Eigenvalues (…, n) ascending and eigenvectors (…, n, n), in columns, of a symmetric a (…, n, n).

    Of another a the symmetric part is decomposed (NumPy: its lower triangle), so that the gradient is symmetric.
    Giles 2008, 3.1. Eigenvectors of equal eigenvalues are not unique: pairs that differ by rounding only are left out
    of the derivative, as in `svd`: functions of the eigenvalues have finite and right first derivatives there.

    >>> import autograd_core as ag
    >>> ag.linalg.eigh(ag.tensor([[2.0, 1.0], [1.0, 2.0]])).eigenvalues.round()
    tensor([1., 3.], dtype=float32)
    """
    return _unpack_eigh(_eigh(a))
