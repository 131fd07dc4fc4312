"""Linear algebra: values against NumPy, derivatives to second order against finite differences."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import autograd_core as ag
from autograd_core.ops import linalg as la

DTYPES = ["float32", "float64"]
BATCHES = [(), (3,), (2, 1), (0,)]


def normal(*shape, dtype="float64", seed=0):
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(dtype)


def regular(*shape, dtype="float64", seed=0):
    """Square matrices far from singular."""
    return normal(*shape, dtype=dtype, seed=seed) + 3 * np.eye(shape[-1], dtype=dtype)


def positive(a):
    """A symmetric positive definite matrix from any."""
    return a @ a.mT + np.eye(a.shape[-1], dtype=a.dtype)


def close(got, want):
    got = np.asarray(got)
    want = np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    tolerance = 2e-4 if want.dtype == np.float32 else 1e-9
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def gradient(f, *arrays):
    """The gradients of a scalar function, as ndarrays."""
    tensors = [ag.tensor(a, requires_grad=True) for a in arrays]
    f(*tensors).backward()
    found = [t.grad.numpy() for t in tensors]
    return found[0] if len(found) == 1 else found


# Products -----------------------------------------------------------------------------------------------------------

PRODUCTS = [
    ((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)), ((2, 1, 2, 3), (5, 3, 4)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)), ((1, 2, 3), (5, 3, 1)),
    ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((0, 2, 3), (3, 4)), ((0,), (0,)), ((2, 0, 3), (3, 2)), ((0, 2, 3), (0, 3, 4)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("left", "right"), PRODUCTS)
def test_matmul_as_numpy(left, right, dtype):
    x, y = normal(*left, dtype=dtype), normal(*right, dtype=dtype)
    close(la.matmul(ag.tensor(x), ag.tensor(y)), np.matmul(x, y))


@pytest.mark.parametrize(("left", "right"), PRODUCTS)
def test_matmul_derivatives(left, right):
    ag.check_grads(la.matmul, (normal(*left), normal(*right)))


def test_matmul_of_lists_integers_and_transposes():
    t = ag.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert ([[1.0, 0.0], [0.0, 1.0]] @ t).tolist() == t.tolist()
    assert ([1.0, 1.0] @ t).tolist() == [4.0, 6.0]
    assert (ag.tensor([[1, 2]]) @ ag.tensor([[3], [4]])).item() == 11
    x = normal(4, 3)
    close(la.matmul(ag.tensor(x).T, ag.tensor(x)), x.T @ x)


@pytest.mark.parametrize(
    ("left", "right"), [((2, 3), (4, 2)), ((3,), (4, 2)), ((2, 3), (4,)), ((5, 2, 3), (5, 2, 3))]
)
def test_matmul_names_the_sizes_that_differ(left, right):
    with pytest.raises(
        ValueError, match=r"^matmul: x's last axis has size 3 but .* inner sizes must be equal"
    ):
        la.matmul(ag.zeros(left), ag.zeros(right))


def test_matmul_other_errors():
    with pytest.raises(ValueError, match="0-d: multiply by a scalar with"):
        la.matmul(ag.tensor(2.0), ag.zeros((2, 2)))
    with pytest.raises(ValueError, match="sizes must be equal or 1"):
        la.matmul(ag.zeros((2, 3, 3)), ag.zeros((5, 3, 3)))


TENSORDOTS = [
    ((2, 3, 4), (3, 4, 5), 2), ((2, 3), (3, 4), 1), ((2,), (3,), 0), ((2, 3, 4), (4, 3, 5), ([1, 2], [1, 0])),
    ((2, 3), (3, 2), ([0], [1])), ((2, 3), (4, 3), (1, 1)), ((2, 3), (2, 3), ((0, -1), (0, 1))), ((0, 3), (3, 2), 1),
    ((2, 0), (0, 2), 1),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right", "axes"), TENSORDOTS)
def test_tensordot(left, right, axes):
    x, y = normal(*left), normal(*right)
    close(la.tensordot(ag.tensor(x), ag.tensor(y), axes=axes), np.tensordot(x, y, axes=axes))
    ag.check_grads(lambda x, y: la.tensordot(x, y, axes=axes), (x, y))


def test_tensordot_errors():
    with pytest.raises(ValueError, match=r"sizes \[3\] but axes \[0\] of y have \[2\]"):
        la.tensordot(ag.zeros((2, 3)), ag.zeros((2, 3)), axes=1)
    with pytest.raises(ValueError, match="axes=3, but x has 2 axes"):
        la.tensordot(ag.zeros((2, 3)), ag.zeros((2, 3)), axes=3)


@pytest.mark.parametrize(
    ("left", "right", "axis"),
    [
        ((3,), (3,), -1),
        ((4, 3), (3,), -1),
        ((4, 3), (4, 3), 0),
        ((4, 1, 3), (2, 3), -1),
        ((0, 3), (3,), -1),
        ((2, 0), (0,), -1),
    ],
)
def test_vecdot(left, right, axis):
    x, y = normal(*left), normal(*right)
    close(la.vecdot(ag.tensor(x), ag.tensor(y), axis=axis), np.vecdot(x, y, axis=axis))
    ag.check_grads(lambda x, y: la.vecdot(x, y, axis=axis), (x, y))


@pytest.mark.parametrize(("left", "right"), [((3,), (4,)), ((2, 2), (3,)), ((0,), (3,))])
def test_outer(left, right):
    x, y = normal(*left), normal(*right)
    close(la.outer(ag.tensor(x), ag.tensor(y)), np.outer(x, y))
    ag.check_grads(la.outer, (x, y))


# Einstein summation -------------------------------------------------------------------------------------------------

EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ba", (2, 3)), ("ij->", (2, 3)), ("ij->ji", (2, 3)),
    ("ii", (3, 3)), ("ii->i", (3, 3)), ("iij->ji", (2, 2, 3)), ("iii->i", (2, 2, 2)), ("ii,ij->j", (3, 3), (3, 2)),
    ("i,i->i", (1,), (3,)), ("i,i", (1,), (3,)), ("i,j->", (2,), (3,)), ("i,i,i->", (3,), (3,), (3,)),
    ("bij,bjk->bik", (4, 2, 3), (4, 3, 2)), ("bhqd,bhkd->bhqk", (1, 2, 3, 4), (5, 2, 3, 4)), ("...", (2, 3)),
    ("...ij,...jk->...ik", (4, 2, 3), (5, 1, 3, 2)), ("...i,...i", (2, 3), (3,)), ("i...->...", (2, 3)),
    ("...,i->i...", (2, 2), (3,)), ("...ii->...i", (2, 3, 3)), (",i->i", (), (3,)), ("->", ()),
    (" i j , j -> i ", (2, 3), (3,)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("ij,jk,ki", (2, 3), (3, 4), (4, 2)),
    ("a,ab,abc->abc", (2,), (2, 3), (2, 3, 4)),
    ("ij,j->i", (0, 3), (3,)), ("ij,j->i", (2, 0), (0,)), ("i,j->i", (2,), (0,)), ("i,i->", (1,), (0,)),
    ("i...->", (3,)),
    ("ij,jk->ik", (40, 50), (50, 30)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("subscripts", "shapes"), [(s, shapes) for s, *shapes in EINSUMS])
def test_einsum_as_numpy(subscripts, shapes, dtype):
    arrays = [normal(*shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes)]
    close(la.einsum(subscripts, *map(ag.tensor, arrays)), np.asarray(np.einsum(subscripts, *arrays)))


@pytest.mark.parametrize(("subscripts", "shapes"), [(s, shapes) for s, *shapes in EINSUMS])
def test_einsum_derivatives(subscripts, shapes):
    arrays = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    ag.check_grads(lambda *xs: la.einsum(subscripts, *xs), arrays, atol=1e-4)


@st.composite
def einsums(draw):
    """Subscripts with shapes that fit: repeated letters, size-1 axes, an ellipsis, an implicit output."""
    letters = "abcd"
    sizes = {letter: draw(st.integers(0 if letter == "d" else 1, 3)) for letter in letters}
    dots = draw(st.lists(st.integers(1, 3), max_size=2))
    terms, shapes = [], []
    for _ in range(draw(st.integers(1, 3))):
        term = draw(st.text(letters, max_size=3))
        stretch = draw(st.booleans())  # give size 1 to the letters that stand once in the term
        shape = [1 if stretch and term.count(letter) == 1 else sizes[letter] for letter in term]
        if dots:
            place, depth = draw(st.integers(0, len(term))), draw(st.integers(0, len(dots)))
            shape[place:place] = [draw(st.sampled_from([1, n])) for n in dots[len(dots) - depth :]]
            term = f"{term[:place]}...{term[place:]}"
        terms.append(term)
        shapes.append(tuple(shape))
    subscripts = ",".join(terms)
    if draw(st.booleans()):
        used = sorted(set(subscripts) & set(letters))
        output = "".join(draw(st.permutations(used)) if used else [])[: draw(st.integers(0, len(used)))]
        subscripts += f"->{'...' if dots else ''}{output}"
    return subscripts, shapes


@settings(max_examples=200, deadline=None)
@given(einsums())
def test_einsum_property(case):
    subscripts, shapes = case
    arrays = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    want = np.einsum(subscripts, *arrays)
    close(la.einsum(subscripts, *map(ag.tensor, arrays)), np.asarray(want))
    # It is linear in each operand: the pullback of g, paired with the operand itself, is g paired with the result.
    tensors = [ag.tensor(a, requires_grad=True) for a in arrays]
    g = normal(*np.shape(want), seed=9)
    la.einsum(subscripts, *tensors).backward(g)
    for tensor, array in zip(tensors, arrays, strict=True):
        np.testing.assert_allclose(np.sum(tensor.grad.numpy() * array), np.sum(g * want), atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(einsums())
def test_einsum_property_derivatives(case):
    subscripts, shapes = case
    arrays = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    ag.check_grads(lambda *xs: la.einsum(subscripts, *xs), arrays, atol=1e-4)


@pytest.mark.parametrize(
    ("subscripts", "shapes", "message"),
    [
        ("ij,jk", [(2, 3)], "names 2 operands but 1"),
        ("ijk", [(2, 3)], "names 3 axes but operand 0 has 2"),
        ("ij,jk", [(2, 3), (4, 5)], "letter j of .* has size 3 but 4 in operand 1"),
        ("ij->ik", [(2, 3)], "output letter k"),
        ("ij->ii", [(2, 3)], "output letter i"),
        ("ii->i", [(2, 3)], "diagonal over i, whose axes have sizes 2 and 3"),
        ("...i->i", [(2, 3)], "lacks the ellipsis"),
        ("i1", [(2, 3)], "made of a-z"),
        ("i.", [(2, 3)], "made of a-z"),
    ],
)
def test_einsum_errors(subscripts, shapes, message):
    with pytest.raises(ValueError, match=rf"^einsum: .*{message}"):
        la.einsum(subscripts, *map(ag.zeros, shapes))


# Systems and determinants ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 4])
@pytest.mark.parametrize("batch", BATCHES)
def test_square_matrix_functions_as_numpy(batch, n, dtype):
    a = regular(*batch, n, n, dtype=dtype)
    b = normal(*batch, n, 2, dtype=dtype)
    t = ag.tensor(a)
    close(la.solve(t, ag.tensor(b)), np.linalg.solve(a, b))
    vector = normal(n, dtype=dtype)
    close(la.solve(t, ag.tensor(vector)), np.linalg.solve(a, vector))
    close(la.inv(t), np.linalg.inv(a))
    close(la.det(t), np.asarray(np.linalg.det(a)))
    sign, logabsdet = la.slogdet(t)
    want_sign, want_logabsdet = np.linalg.slogdet(a)
    close(sign, want_sign)
    close(logabsdet, want_logabsdet)
    spd = positive(a)
    close(la.cholesky(ag.tensor(spd)), np.linalg.cholesky(spd))
    values, vectors = la.eigh(ag.tensor(spd))
    close(values, np.linalg.eigvalsh(spd))
    close((vectors * values[..., None, :]) @ vectors.mT, spd)


SYSTEMS = [
    ((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 3, 1)), ((0, 3, 3), (3, 2)),
    ((0, 0), (0, 2)), ((3, 3), (3, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), SYSTEMS)
def test_solve_derivatives(left, right):
    ag.check_grads(la.solve, (regular(*left), normal(*right)))


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3), (1, 1), (0, 0), (0, 3, 3)])
def test_inv_and_slogdet_derivatives(shape):
    a = regular(*shape)
    ag.check_grads(la.inv, (a,))
    ag.check_grads(lambda a: la.slogdet(a).logabsdet, (a,))
    ag.check_grads(lambda a: la.slogdet(a).logabsdet, (-a,))


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (2, 4, 4), (0, 0), (0, 3, 3)])
def test_det_derivatives(shape):
    ag.check_grads(la.det, (normal(*shape),))


def test_det_of_larger_matrices():
    ag.check_grads(la.det, (normal(10, 10) / 3,))


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_det_of_singular_matrices_has_right_derivatives(rank):
    a = normal(4, rank) @ normal(rank, 4)
    ag.check_grads(la.det, (a,), order=2, atol=1e-6)


def test_det_to_third_order_at_zero():
    """det of a 3 × 3 matrix is a cubic form: at 0 only its third derivative is there."""
    f = lambda t: la.det(t * ag.tensor(np.eye(3)))
    third = ag.grad(ag.grad(ag.grad(f)))
    assert third(np.float64(0.0)).item() == pytest.approx(6)


def test_gradient_of_det_at_rank_n_minus_1_is_the_cofactor_matrix():
    a = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    cofactors = [[-3.0, 6.0, -3.0], [6.0, -12.0, 6.0], [-3.0, 6.0, -3.0]]
    np.testing.assert_allclose(gradient(la.det, a), cofactors, atol=1e-12)


def test_gradient_of_det_in_float32():
    a = regular(4, 4, dtype="float32")
    close(gradient(la.det, a), np.linalg.det(a) * np.linalg.inv(a).T)


@pytest.mark.parametrize("f", [la.inv, lambda a: la.solve(a, ag.ones(2)), lambda a: la.cholesky(a - 1)])
def test_singular_matrices_are_numpys_error_with_context(f):
    with pytest.raises(
        np.linalg.LinAlgError, match=r"(Singular matrix|not positive definite) · a float32\[2,2\]"
    ):
        f(ag.ones((2, 2)))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_gradient_of_det_with_nan_is_nan_for_that_matrix_only():
    a = np.stack([np.eye(2), np.full((2, 2), np.nan)])
    g = gradient(lambda a: la.det(a).sum(), a)
    assert g[0].tolist() == [[1, 0], [0, 1]]
    assert np.isnan(g[1]).all()


@pytest.mark.parametrize("f", [la.det, la.inv, la.slogdet, la.cholesky, la.eigh])
def test_matrices_must_be_square(f):
    with pytest.raises(np.linalg.LinAlgError, match=r"must be square · a float32\[2,3\]"):
        f(ag.ones((2, 3)))


@pytest.mark.parametrize("f", [la.det, la.inv, la.cholesky, la.eigh, la.qr, la.svd])
def test_vectors_are_no_matrices(f):
    with pytest.raises(np.linalg.LinAlgError, match="dimension"):
        f(ag.ones(3))


def test_slogdet_of_a_singular_matrix():
    sign, logabsdet = la.slogdet(ag.zeros((2, 2)))
    assert sign.item() == 0
    assert logabsdet.item() == -math.inf


# Decompositions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3), (1, 1), (0, 0), (0, 2, 2)])
def test_cholesky_derivatives(shape):
    ag.check_grads(lambda a: la.cholesky(positive(a)), (normal(*shape),))


def test_cholesky_and_eigh_gradients_are_symmetric():
    a = positive(normal(4, 4))
    for f in (la.cholesky, lambda a: la.eigh(a).eigenvectors):
        g = gradient(lambda a, f=f: (f(a) * normal(4, 4)).sum(), a)
        np.testing.assert_allclose(g, g.T, atol=1e-12)
        ag.check_grads(f, (a,))


SHAPES = [(3, 3), (5, 3), (3, 5), (2, 4, 3), (2, 3, 4), (1, 4), (4, 1), (0, 3), (3, 0), (0, 3, 2)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_qr_and_svd_as_numpy(shape, dtype):
    a = normal(*shape, dtype=dtype)
    t = ag.tensor(a)
    q, r = la.qr(t)
    want = np.linalg.qr(a)
    close(q, want.Q)
    close(r, want.R)
    u, s, vh = la.svd(t)
    want = np.linalg.svd(a, full_matrices=False)
    for got, part in zip((u, s, vh), want, strict=True):
        close(got, part)
    for got, part in zip(la.svd(t, full_matrices=True), np.linalg.svd(a), strict=True):
        close(got, part)


@pytest.mark.parametrize("shape", SHAPES)
def test_qr_derivatives(shape):
    ag.check_grads(lambda a: tuple(la.qr(a)), (normal(*shape),), atol=1e-4, rtol=1e-4)
    ag.check_grads(lambda a: la.qr(a).R, (normal(*shape),), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_svd_derivatives(shape):
    ag.check_grads(lambda a: tuple(la.svd(a)), (normal(*shape, seed=3),), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (3, 3)])
def test_svd_puts_the_matrix_together_again(shape):
    def f(x):
        u, s, vh = la.svd(x)
        return ((u * s) @ vh * normal(*shape, seed=1)).sum()

    np.testing.assert_allclose(gradient(f, normal(*shape)), normal(*shape, seed=1), atol=1e-10)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4), (1, 1), (0, 0), (0, 2, 2)])
def test_eigh_derivatives(shape):
    ag.check_grads(lambda a: tuple(la.eigh(a + a.mT)), (normal(*shape),), atol=1e-4, rtol=1e-4)


def test_errors_of_decompositions():
    with pytest.raises(ValueError, match="mode 'complete' is missing"):
        la.qr(ag.ones((3, 2)), mode="complete")
    full = la.svd(ag.tensor(normal(3, 2), requires_grad=True), full_matrices=True)
    with pytest.raises(TypeError, match=r"svd_full, derivative for x: .*use full_matrices=False"):
        full.S.sum().backward()


def test_repeated_eigenvalues_and_singular_values():
    """Functions of the values alone have right gradients; those of a subspace too."""
    q = np.linalg.qr(normal(4, 4)).Q
    a = (q * [1.0, 1.0, 1.0, 3.0]) @ q.T
    for matrix in (np.eye(4), a):
        inverse = np.linalg.inv(matrix)
        np.testing.assert_allclose(
            gradient(lambda a: la.eigh(a).eigenvalues.log().sum(), matrix), inverse, atol=1e-10
        )
        np.testing.assert_allclose(gradient(lambda a: la.svd(a).S.log().sum(), matrix), inverse.T, atol=1e-10)

    weights = normal(4, 4)

    def projector(a):
        v = la.eigh(a).eigenvectors[:, :3]
        return (v @ v.mT * weights).sum()

    step = normal(4, 4) + normal(4, 4).T
    ahead, behind = (projector(ag.tensor(a + s * step)).item() for s in (1e-6, -1e-6))
    assert np.sum(gradient(projector, a) * step) == pytest.approx((ahead - behind) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_svd_of_zeros_has_finite_gradients(shape):
    g = gradient(lambda x: sum(part.sum() for part in la.svd(x)), np.zeros(shape))
    assert np.isfinite(g).all()


# Norms --------------------------------------------------------------------------------------------------------------

VECTOR_ORDERS = [None, 1, 2, 3, 2.5, 0.5, -1, math.inf, -math.inf]
MATRIX_ORDERS = [None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [*VECTOR_ORDERS, 0])
def test_vector_norms(order, dtype, keepdims):
    x = normal(4, 3, dtype=dtype)
    x[0, 0] = 0 if order not in (-1,) else 1
    for axis in (0, 1, -1):
        close(la.norm(ag.tensor(x), order, axis, keepdims), np.linalg.norm(x, order, axis, keepdims))
    close(
        la.norm(ag.tensor(x[0]), order, keepdims=keepdims),
        np.asarray(np.linalg.norm(x[0], order, keepdims=keepdims)),
    )


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", MATRIX_ORDERS)
def test_matrix_norms(order, dtype, keepdims):
    x = normal(2, 4, 3, dtype=dtype)
    for axis in ((1, 2), (2, 1), (0, 1), (-1, 0)):
        close(la.norm(ag.tensor(x), order, axis, keepdims), np.linalg.norm(x, order, axis, keepdims))
    close(
        la.norm(ag.tensor(x[0]), order, keepdims=keepdims),
        np.asarray(np.linalg.norm(x[0], order, keepdims=keepdims)),
    )


@pytest.mark.parametrize("order", VECTOR_ORDERS)
def test_vector_norm_derivatives(order):
    ag.check_grads(lambda x: la.norm(x, order, axis=1), (normal(3, 4),), atol=1e-4)


@pytest.mark.parametrize("order", MATRIX_ORDERS)
def test_matrix_norm_derivatives(order):
    ag.check_grads(lambda x: la.norm(x, order, axis=(1, 2)), (normal(2, 4, 3),), atol=1e-4)


@pytest.mark.parametrize("order", [None, 1, 2, 3, 1.5, math.inf])
def test_gradient_of_a_norm_at_zero_is_zero(order):
    assert gradient(lambda x: la.norm(x, order), np.zeros(3)).tolist() == [0, 0, 0]


def test_norm_defaults_and_errors():
    x = normal(2, 3, 4)
    close(la.norm(ag.tensor(x)), np.asarray(np.linalg.norm(x)))
    close(la.norm(ag.tensor(x), keepdims=True), np.linalg.norm(x, keepdims=True))
    assert la.norm(ag.tensor([3, 4])).item() == 5
    with pytest.raises(ValueError, match="3 axes, but a vector has 1 and a matrix 2"):
        la.norm(ag.tensor(x), 2)
    with pytest.raises(ValueError, match="'fro' is no norm of vectors"):
        la.norm(ag.tensor(x), "fro", axis=0)
    with pytest.raises(ValueError, match="3 is no norm of matrices"):
        la.norm(ag.tensor(x), 3, axis=(0, 1))
    with pytest.raises(ValueError, match="out of range"):
        la.norm(ag.tensor(x), 2, axis=3)
