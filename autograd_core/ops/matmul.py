"""Products of matrices, and the other sums of products that lower to them."""

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from string import ascii_letters
from typing import Any

import numpy as np

from autograd_core.dtypes import Array, Shape, as_array
from autograd_core.ops.arguments import integer
from autograd_core.ops.define import operation
from autograd_core.ops.reduce import total_of
from autograd_core.ops.shape import broadcast_to, expand_dims, moveaxis, permute_dims, reshape
from autograd_core.threads import one_blas_thread, run_blocks

# Matrix product -------------------------------------------------------------------------------------------


def _product(x: Any, y: Any) -> Any:
    """x @ y, for small arrays without the way through the primitive."""
    if x.size * y.shape[-1] <= _SMALL_PRODUCT:
        return x @ y
    return _matmul.forward(x, y) if type(x) is type(y) is np.ndarray else _matmul(x, y)


@operation(lambda g, y: _product(g, y.mT), lambda g, x: _product(x.mT, g))
def _matmul(x: Array, y: Array) -> Array:
    try:
        if (own := _own(x, y)) is not None and (out := own(x, y)) is not None:
            return out
        if x.ndim == y.ndim == 3 and _shared_out(x, y):
            one_blas_thread()
            if (out := _kernels().batched(x, y)) is not None:
                return out
        if _is_large(x, y):
            return _in_blocks(x, y)
        return np.matmul(x, y)
    except ValueError as error:
        inner, rows = np.shape(x)[-1:], np.shape(y)[-2:-1]
        if inner == rows or not rows:
            raise
        raise ValueError(
            f"x's last axis has size {inner[0]} but y's last but one has size {rows[0]}: the inner sizes must be "
            "equal; transpose (.mT) or reshape one of them"
        ) from error


_matmul.broadcasts = True

# Up to here BLAS computes on one thread whatever it may use (OpenBLAS: interface/gemm.c, gemv.c).
_SMALL_PRODUCT, _SMALL_MATRIX = 1 << 18, 9216
# Of a block at least: multiply-adds, or numbers read and written where these take the time; rows or columns.
# 1024 × 1024 · 1024 × 1024 in 4 blocks takes 3 % longer than in one piece, 128 × 784 · 784 × 256 in 4 15 % longer.
_BLOCK, _BLOCK_NUMBERS, _BLOCK_ROWS, _MOST_BLOCKS = 1 << 24, 1 << 22, 128, 16
_BATCH = 1 << 22  # multiply-adds of a batch from which it is shared out
_OWN = 1 << 20  # multiply-adds from which this project's own product is worth loading
_FLOAT32 = np.dtype(np.float32)
_FLOATS = _FLOAT32, np.dtype(np.float64)


@cache
def _kernels() -> Any:
    """This project's own products; loading them loads numba."""
    from autograd_core.kernels import products

    return products


def _shared_out(x: Array, y: Array) -> bool:
    """Whether these are matrices of one float type, batch by batch, and so many that threads gain by it."""
    (batch, m, k), n = x.shape, y.shape[2]
    return (
        y.shape[:2] == (batch, k)
        and x.dtype == y.dtype
        and x.dtype in _FLOATS
        and batch * m * k * n >= _BATCH
    )


def _is_large(x: Any, y: Any) -> bool:
    """A product that a BLAS library would cut by the number of threads, which changes its last bits."""
    x_shape, y_shape = x.shape, y.shape
    if len(x_shape) < 2 or len(y_shape) < 2:
        return False
    (m, k), n = x_shape[-2:], y_shape[-1]
    return m * k * n > (_SMALL_PRODUCT if m > 1 and n > 1 else _SMALL_MATRIX)


@lru_cache(maxsize=1024)
def blocks_of(lead: Shape, m: int, k: int, n: int) -> tuple[int, bool]:
    """Into how many blocks (…, m, k) · (…, k, n) is cut: along the first leading axis, else by rows or columns."""
    work, numbers = math.prod(lead) * m * k * n, m * k + k * n + m * n
    most = lead[0] if lead else max(m, n) // _BLOCK_ROWS
    wanted = work // _BLOCK if lead else max(work // _BLOCK, numbers // _BLOCK_NUMBERS)
    return max(1, min(_MOST_BLOCKS, wanted, most)), m >= n


def _own(x: Array, y: Array) -> Any:
    """This project's own product where it is the faster one for such matrices, else None."""
    if x.dtype == y.dtype == _FLOAT32:
        return _own_for(x.shape, x.strides, y.shape, y.strides)
    return None


@lru_cache(maxsize=1024)
def _own_for(x_shape: Shape, x_strides: Shape, y_shape: Shape, y_strides: Shape) -> Any:
    if len(x_shape) != 2 or len(y_shape) != 2 or x_shape[1] != y_shape[0]:
        return None
    (m, k), n = x_shape, y_shape[1]
    if m * k * n < _OWN:
        return None
    return _kernels().own(x_shape, x_strides, y_shape, y_strides, *blocks_of((), m, k, n))


def _in_blocks(x: Array, y: Array) -> Array:
    """The product in blocks that the shapes alone decide, each on one thread of BLAS: the bits depend on no number."""
    one_blas_thread()
    (m, k), n = x.shape[-2:], y.shape[-1]
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2]) if x.ndim > 2 or y.ndim > 2 else ()
    count, by_rows = blocks_of(lead, m, k, n)
    if count < 2 or x.shape[-1] != y.shape[-2]:
        return np.matmul(x, y)
    out = np.empty((*lead, m, n), np.result_type(x, y))
    if lead:
        x, y = (np.broadcast_to(a, (*lead, *a.shape[-2:])) for a in (x, y))

    def block(i: int) -> None:
        if lead:
            part = slice(i * lead[0] // count, (i + 1) * lead[0] // count)
            np.matmul(x[part], y[part], out=out[part])
        elif by_rows:
            part = slice(i * m // count, (i + 1) * m // count)
            np.matmul(x[part], y, out=out[part])
        else:
            part = slice(i * n // count, (i + 1) * n // count)
            np.matmul(x, y[:, part], out=out[:, part])

    run_blocks(block, count)
    return out


def matmul(x: Array, y: Array) -> Array:
    """The matrix product; leading axes broadcast, a 1-D argument is a row on the left and a column on the right.

    (…, m, k) and (…, k, n) give (…, m, n); the axis that a 1-D argument was given is dropped again. Raises ValueError
    when the inner sizes differ, when leading axes do not broadcast, and for 0-d arguments.

    The rules x̄ = ḡ yᵀ, ȳ = xᵀ ḡ: Giles, Collected matrix derivative results (2008), 2.2.2.

    >>> import autograd_core as ag
    >>> ag.matmul(ag.ones((2, 3)), ag.ones((3, 4))).shape
    (2, 4)
    """
    try:
        ranks = x.ndim, y.ndim
    except AttributeError:  # nested lists
        x, y = _ranked(x), _ranked(y)
        ranks = x.ndim, y.ndim
    if ranks == (2, 2):
        return _matmul(x, y)
    rank, other = ranks
    if not rank or not other:
        raise ValueError("matmul: an argument is 0-d: multiply by a scalar with *")
    if rank == 1:
        out = matmul(reshape(x, (1, -1)), reshape(y, (-1, 1)) if other == 1 else y)
        return reshape(out, out.shape[:-2] + (() if other == 1 else out.shape[-1:]))
    if other == 1:
        out = matmul(x, reshape(y, (-1, 1)))
        return reshape(out, out.shape[:-1])
    if other == 2:  # one large product instead of many small ones, and no sum over the batch for ȳ
        rows = x.shape[:-1]
        return reshape(_matmul(reshape(x, (math.prod(rows), x.shape[-1])), y), (*rows, y.shape[-1]))
    return _matmul(x, y)


def _column_sums(g: Any) -> Any:
    return total_of(g, 0) if type(g) is np.ndarray else g.sum(axis=0)


@operation(lambda g, w: _product(g, w.mT), lambda g, x: _product(x.mT, g), _column_sums)
def _linear(x: Array, w: Array, b: Array) -> Array:
    if (own := _own(x, w)) is not None:
        fits = b.shape == own.shape[1:] and b.dtype == _FLOAT32 and b.flags.c_contiguous
        if fits and (out := own(x, w, b)) is not None:
            return out
    out = _matmul.forward(x, w)
    if b.dtype != out.dtype and np.result_type(out, b) != out.dtype:
        return out + b
    out += b
    return out


def linear(x: Array, w: Array, b: Array) -> Array:
    """x @ w + b: x (…, m), w (m, n), b (n) → (…, n). Raises ValueError where shapes do not fit.

    >>> import autograd_core as ag
    >>> ag.linear(ag.ones((2, 3)), ag.ones((3, 1)), ag.ones(1))
    tensor([[4.],
            [4.]], dtype=float32)
    """
    if x.ndim == 2:
        return _linear(x, w, b)
    if x.ndim == 1:
        return reshape(_linear(reshape(x, (1, -1)), w, b), (-1,))
    lead = x.shape[:-1]
    return reshape(_linear(reshape(x, (math.prod(lead), x.shape[-1])), w, b), (*lead, w.shape[-1]))


def _ranked(value: Any) -> Any:
    return value if hasattr(value, "ndim") else as_array(value)


# Products over chosen axes --------------------------------------------------------------------------------


def dot(x: Array, y: Array) -> Array:
    """`np.dot`: the product with a 0-d array, else the sum over the last axis of x and the last but one of y."""
    if x.ndim == 0 or y.ndim == 0:
        return x * y
    return tensordot(x, y, axes=((-1,), (-min(y.ndim, 2),)))


def tensordot(x: Array, y: Array, axes: Any = 2) -> Array:
    """The sum of products over several axes: the last `axes` of x with the first of y, or the two lists given.

    The result has the remaining axes of x, then those of y. Raises ValueError when paired axes differ in size.

    >>> import autograd_core as ag
    >>> ag.tensordot(ag.ones((2, 3, 4)), ag.ones((4, 3, 5)), axes=([1, 2], [1, 0])).shape
    (2, 5)
    """
    if np.ndim(axes) == 0:
        axes = integer("axes", axes)
        if not 0 <= axes <= min(x.ndim, y.ndim):
            raise ValueError(f"tensordot: axes={axes}, but x has {x.ndim} axes and y has {y.ndim}")
        over_x, over_y = list(range(x.ndim - axes, x.ndim)), list(range(axes))
    else:
        over_x, over_y = (
            [integer("an axis", a) % value.ndim for a in ([given] if np.ndim(given) == 0 else given)]
            for given, value in zip(axes, (x, y), strict=True)
        )
    sizes_x, sizes_y = [x.shape[a] for a in over_x], [y.shape[a] for a in over_y]
    if sizes_x != sizes_y:
        raise ValueError(
            f"tensordot: axes {over_x} of x have sizes {sizes_x} but axes {over_y} of y have {sizes_y}: "
            "pair axes of equal size"
        )
    kept_x = [a for a in range(x.ndim) if a not in over_x]
    kept_y = [a for a in range(y.ndim) if a not in over_y]
    shape_x, shape_y = tuple(x.shape[a] for a in kept_x), tuple(y.shape[a] for a in kept_y)
    inner = math.prod(sizes_x)
    rows = reshape(permute_dims(x, (*kept_x, *over_x)), (math.prod(shape_x), inner))
    columns = reshape(permute_dims(y, (*over_y, *kept_y)), (inner, math.prod(shape_y)))
    return reshape(_matmul(rows, columns), shape_x + shape_y)


@operation(lambda g, y: expand_dims(g, axis=-1) * y, lambda g, x: expand_dims(g, axis=-1) * x)
def _vecdot(x: Array, y: Array) -> Array:
    return np.vecdot(x, y)


_vecdot.broadcasts = True


def vecdot(x: Array, y: Array, axis: int = -1) -> Array:
    """The dot product of vectors along `axis`; the other axes broadcast. Raises ValueError for unequal lengths.

    >>> import autograd_core as ag
    >>> ag.vecdot(ag.tensor([[1.0, 2.0], [3.0, 4.0]]), ag.tensor([1.0, 10.0]))
    tensor([21., 43.], dtype=float32)
    """
    if integer("axis", axis) != -1:
        x, y = moveaxis(x, axis, -1), moveaxis(y, axis, -1)
    return _vecdot(x, y)


def outer(x: Array, y: Array) -> Array:
    """All products of an element of x with one of y, as a matrix; arguments that are not 1-D are flattened.

    >>> import autograd_core as ag
    >>> ag.outer(ag.tensor([1.0, 2.0]), ag.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]], dtype=float32)
    """
    return reshape(x, (-1, 1)) * reshape(y, (1, -1))


# Einstein summation ---------------------------------------------------------------------------------------

_BLAS_PAYS = (
    1 << 15
)  # multiply-adds from which arranging a product of two operands for BLAS is worth its 20 µs


def _einsum_rule(g: Any, inputs: Sequence[Any], position: int, subscripts: str) -> Any:
    """Swap the output and the operand: the cotangent takes the operand's place in the sum."""
    left, output = subscripts.split("->")
    terms = left.split(",")
    own = terms.pop(position)
    others = [*inputs[:position], *inputs[position + 1 :]]
    shape = inputs[position].shape
    sizes: dict[str, int] = {}
    for term, value in zip([output, *terms], [g, *others], strict=True):
        for letter, size in zip(term, value.shape, strict=True):
            sizes[letter] = size if sizes.get(letter, 1) == 1 else sizes[letter]
    # A letter of this operand alone was summed over, an axis of size 1 may have been stretched: neither is in the sum.
    kept = [letter for letter, size in zip(own, shape, strict=True) if sizes.get(letter) == size]
    found = _einsum(g, *others, subscripts=f"{','.join([output, *terms])}->{''.join(kept)}")
    found = reshape(found, tuple(sizes[letter] if letter in kept else 1 for letter in own))
    return broadcast_to(found, shape) if found.shape != shape else found


@operation(_einsum_rule)
def _einsum(*operands: Array, subscripts: str = "") -> Array:
    sizes: dict[str, int] = {}
    for i, (term, operand) in enumerate(zip(subscripts.split("->")[0].split(","), operands, strict=True)):
        for letter, size in zip(term, np.shape(operand), strict=True):
            known = sizes.setdefault(letter, size)
            if known == 1:
                sizes[letter] = size
            elif size not in (1, known):
                raise ValueError(
                    f"letter {letter} of {subscripts!r} has size {known} but {size} in operand {i}: give it one size"
                )
    one_blas_thread()
    return np.einsum(subscripts, *operands, optimize=len(operands) > 2 or _suits_blas(subscripts, sizes))


def _suits_blas(subscripts: str, sizes: dict[str, int]) -> bool:
    """Whether a sum over two operands is a large product of matrices: each has axes that the other lacks."""
    x, comma, y = subscripts.split("->")[0].partition(",")
    both_free = bool(comma and set(x) - set(y) and set(y) - set(x))
    return both_free and math.prod(sizes.values()) >= _BLAS_PAYS


@lru_cache(maxsize=1024)
def _explicit(subscripts: str, ranks: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """The operands' terms and the output with a letter for every axis: no ellipsis, no implicit output."""
    text = subscripts.replace(" ", "")
    left, arrow, output = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands but {len(ranks)} are given")
    depth = 0  # the number of axes that the longest ellipsis stands for
    extras: list[int] = []
    for i, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        named = len(term.replace("...", "", 1))
        if named > rank or (named < rank and "..." not in term):
            raise ValueError(
                f"einsum: {term!r} in {subscripts!r} names {named} axes but operand {i} has {rank}"
            )
        extras.append(rank - named)
        depth = max(depth, rank - named)
    dots = "".join([letter for letter in ascii_letters if letter not in text][:depth])
    terms = [term.replace("...", dots[depth - extra :], 1) for term, extra in zip(terms, extras, strict=True)]
    letters = "".join(terms)
    if not arrow:
        output = dots + "".join(
            letter for letter in sorted(set(letters) - set(dots)) if letters.count(letter) == 1
        )
    elif "..." in output:
        output = output.replace("...", dots, 1)
    elif depth:
        raise ValueError(
            f"einsum: the output of {subscripts!r} lacks the ellipsis of its operands: write '...' there too"
        )
    strange = sorted(c for c in {*letters, *output} if c not in ascii_letters)
    if strange or len(dots) < depth:
        problem = f"has {strange}" if strange else "needs more letters than there are"
        raise ValueError(f"einsum: {subscripts!r} {problem}: a term is made of a-z, A-Z and one '...'")
    for letter in output:
        if output.count(letter) > 1 or letter not in letters:
            raise ValueError(
                f"einsum: output letter {letter} of {subscripts!r} must be unique and stand in an operand"
            )
    return tuple(terms), output


def einsum(subscripts: str, *operands: Array) -> Array:
    """The sum of products that `subscripts` spells, as `numpy.einsum`: "ij,jk->ik" is the matrix product.

    Each operand has a term with a letter for every axis; letters that the output lacks are summed over. Without "->"
    the output has the letters that occur once, in alphabetical order. "..." stands for leading axes that broadcast; a
    letter twice in one term takes the diagonal. Raises ValueError when terms and shapes do not fit.

    >>> import autograd_core as ag
    >>> ag.einsum("bij,bjk->bik", ag.ones((5, 2, 3)), ag.ones((5, 3, 4))).shape
    (5, 2, 4)
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: the subscripts come first, as a string, not {type(subscripts).__name__}")
    values = [_ranked(value) for value in operands]
    terms, output = _explicit(subscripts, tuple(value.ndim for value in values))
    if any(len(set(term)) < len(term) for term in terms):
        terms, values = _without_diagonals(subscripts, terms, values)
    return _einsum(*values, subscripts=f"{','.join(terms)}->{output}")


def _without_diagonals(
    subscripts: str, terms: Sequence[str], values: list[Any]
) -> tuple[Sequence[str], list[Any]]:
    """Each operand's diagonals taken: no term repeats a letter. What stands beside a diagonal is never read."""
    found = [_diagonals(subscripts, term, value) for term, value in zip(terms, values, strict=True)]
    return [term for term, _ in found], [value for _, value in found]


def _diagonals(subscripts: str, term: str, value: Any) -> tuple[str, Any]:
    """A term without repeated letters, and the operand's diagonal that it names: every (size + 1)-th element."""
    for letter in sorted(set(term)):
        while term.count(letter) > 1:
            first, second = term.index(letter), term.rindex(letter)
            size, other = value.shape[first], value.shape[second]
            if size != other:
                raise ValueError(
                    f"einsum: {subscripts!r} takes the diagonal over {letter}, whose axes have sizes "
                    f"{size} and {other}: they must be equal"
                )
            rows = moveaxis(value, (first, second), (-2, -1))
            rows = reshape(rows, (*rows.shape[:-2], size * size))
            value = rows[..., :: size + 1]
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + letter
    return term, value
