"""Values and derivatives where NaN, infinities, zeros, small integers and nothing at all meet an operation."""

import numpy as np
import pytest

import autograd_core as ag
import nn

# NumPy warns of ∞ - ∞ and 0 / 0, in its own results too.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

NAN, INF = float("nan"), float("inf")


def gradient(f, *values, compiled=False):
    """The gradients of Σ f, eager or compiled (called twice, so that the second one is a replay)."""

    def slopes(*arrays):
        return ag.grad(lambda *a: f(*a).sum(), argnums=tuple(range(len(arrays))))(*arrays)

    if compiled:
        slopes = ag.compile(slopes)
    arrays = [np.asarray(v, np.float64) for v in values]
    slopes(*arrays)
    return [g.tolist() for g in slopes(*arrays)]


def same(found, wanted):
    np.testing.assert_array_equal(np.asarray(found, np.float64), np.asarray(wanted, np.float64))


either = pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])


# dtypes that must not change, numbers that must not wrap around ------------------------------------------------


@pytest.mark.parametrize("f", [ag.tril, ag.triu])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "uint64", "float32"])
def test_triangles_keep_the_dtype(f, dtype):
    x = np.ones((3, 3), dtype)
    assert f(x).dtype == dtype
    assert ag.compile(f)(ag.tensor(x)).dtype == dtype
    same(f(x).numpy(), getattr(np, f.__name__)(x))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64"])
def test_eigh_and_cholesky_of_small_integers_do_not_wrap_around(dtype):
    a = np.array([[100, 90], [90, 100]], dtype)
    np.testing.assert_allclose(ag.linalg.eigh(a).eigenvalues.numpy(), [10, 190])
    np.testing.assert_allclose(ag.linalg.cholesky(a).numpy(), np.linalg.cholesky(a))


def test_eigh_and_cholesky_of_booleans_are_those_of_zeros_and_ones():
    a = np.eye(2, dtype=bool)
    assert ag.linalg.eigh(a).eigenvalues.tolist() == [1.0, 1.0]
    assert ag.linalg.cholesky(a).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@either
def test_the_mean_of_large_integers_does_not_wrap_around(compiled):
    f = ag.compile(lambda x: x.mean()) if compiled else lambda x: x.mean()
    for x in (
        np.full(4, 2**62),
        np.full(4, 2**63, np.uint64),
        np.array([200, 100], np.uint8),
        np.array([True, False]),
    ):
        assert f(ag.tensor(x)).item() == np.mean(x)
    assert ag.var(np.array([2**62, -(2**62)])).item() == float(2**62) ** 2


INTEGERS = [
    (np.array([3, 200], np.uint8), np.array([200, 3], np.uint8)),
    (np.array([100, -100], np.int8), np.array([-100, 100], np.int8)),
    (np.array([True, False]), np.array([False, False])),
    (np.array([3, 200], np.uint8), np.array([0.5, 1.0], np.float32)),
    (np.array([3, 0], np.uint64), np.array([0, 1], np.uint8)),
]


@pytest.mark.parametrize(("x", "t"), INTEGERS)
@pytest.mark.parametrize(
    "loss", [nn.mse_loss, nn.l1_loss, nn.huber_loss, nn.binary_cross_entropy_with_logits]
)
def test_losses_of_integers_are_those_of_the_same_floats(loss, x, t):
    for reduction in ("none", "sum"):
        wanted = loss(ag.tensor(x.astype(float)), ag.tensor(t.astype(float)), reduction=reduction)
        np.testing.assert_allclose(
            loss(x, t, reduction=reduction).numpy(), wanted.numpy(), rtol=1e-6, atol=1e-6
        )


def test_nll_loss_of_unsigned_integers_does_not_wrap_around():
    assert nn.nll_loss(np.array([[1, 2]], np.uint8), [1], reduction="none").tolist() == [-2.0]


# Diagonals, triangles -------------------------------------------------------------------------------------------


@either
@pytest.mark.parametrize(
    ("subscripts", "shape"),
    [("ii->i", (3, 3)), ("ii", (3, 3)), ("ii->", (3, 3)), ("iij->ij", (3, 3, 2)), ("iji->j", (3, 2, 3)),
     ("iii->i", (3, 3, 3)), ("ijij->ji", (2, 3, 2, 3)), ("...ii->...i", (2, 3, 3)), ("jiij->i", (2, 3, 3, 2))],
)  # fmt: skip
def test_a_diagonal_does_not_read_what_stands_beside_it(subscripts, shape, compiled):
    clean = np.random.default_rng(0).normal(size=shape)
    on = ag.grad(lambda x: ag.einsum(subscripts, x).sum())(np.ones(shape)).numpy() != 0
    dirty = np.where(on, clean, np.nan)
    f = ag.compile(lambda x: ag.einsum(subscripts, x)) if compiled else lambda x: ag.einsum(subscripts, x)
    np.testing.assert_allclose(f(ag.tensor(dirty)).numpy(), np.einsum(subscripts, clean))
    (slope,) = gradient(lambda x: ag.einsum(subscripts, x) ** 2, dirty, compiled=compiled)
    assert np.isfinite(slope).all()


def test_a_diagonal_next_to_another_operand_reads_the_diagonal_alone():
    a = np.array([[1.0, NAN], [INF, 2.0]])
    b = np.array([3.0, 4.0])
    assert ag.einsum("ii,i->", a, b).item() == 11.0
    same(gradient(lambda x, y: ag.einsum("ii,i->", x, y), a, b)[0], [[3, 0], [0, 4]])
    with pytest.raises(ValueError, match="takes the diagonal over i"):
        ag.einsum("ii->i", np.ones((2, 3)))


# Norms ----------------------------------------------------------------------------------------------------------


@either
@pytest.mark.parametrize("p", [0.5, 0.9, 0.1, -1, -2, -0.5])
def test_norms_with_p_below_1_have_derivative_0_at_zeros_not_nan(p, compiled):
    x = np.array([0.0, 1.0, 2.0])
    (slope,) = gradient(lambda v: ag.linalg.norm(v, p), x, compiled=compiled)
    assert slope[0] == 0
    assert np.isfinite(slope).all()
    assert ag.linalg.norm(x, p).item() == np.linalg.norm(x, p)
    same(gradient(lambda v: ag.linalg.norm(v, p), [0.0, 0.0])[0], [0, 0])
    (inner,) = gradient(lambda v: ag.linalg.norm(v, p), [1.0, 2.0])
    wanted = np.array([1.0, 2.0]) ** (p - 1) * np.linalg.norm([1.0, 2.0], p) ** (1 - p)
    np.testing.assert_allclose(inner, wanted)


def test_norm_with_ord_0_counts_and_has_the_derivative_0():
    same(gradient(lambda v: ag.linalg.norm(v, 0), [0.0, 1.0, 2.0])[0], [0, 0, 0])
    for x in ([0.0, -0.0, 3.0], [NAN, 0.0], [INF, 1.0]):
        assert ag.linalg.norm(np.array(x), 0).item() == np.linalg.norm(x, 0)


# NaN and infinity in choices --------------------------------------------------------------------------------------


@either
@pytest.mark.parametrize(
    ("low", "high", "slopes"),
    [
        (0.0, 1.0, [0, 1, 1, 0, 0]),
        (NAN, 1.0, [0, 0, 0, 0, 0]),
        (0.0, NAN, [0, 0, 0, 0, 0]),
        (3.0, 0.0, [0, 0, 0, 0, 0]),
        (-INF, INF, [0, 1, 1, 1, 1]),
    ],
)
def test_clip_of_nan_is_nan_with_the_derivative_0(low, high, slopes, compiled):
    x = np.array([NAN, 1.0, 0.0, -1.0, 2.0])
    same(ag.clip(x, low, high).numpy(), np.clip(x, low, high))
    same(gradient(lambda v: ag.clip(v, low, high), x, compiled=compiled)[0], slopes)


@either
def test_a_limit_of_clip_that_is_nan_has_the_derivative_0(compiled):
    x, low, high = [1.0, 2.0, -1.0], [NAN, 0.0, 0.0], [3.0, NAN, 3.0]
    found = gradient(lambda *a: ag.clip(*a), x, low, high, compiled=compiled)
    same(found, [[0, 0, 0], [0, 0, 1], [0, 0, 0]])


@either
@pytest.mark.parametrize("f", [ag.max, ag.min])
@pytest.mark.parametrize("x", [[1.0, NAN, 2.0], [NAN, NAN, 1.0], [NAN, INF]])
def test_the_derivative_of_an_extremum_that_is_nan_is_nan(f, x, compiled):
    assert np.isnan(gradient(lambda v: f(v, axis=0), x, compiled=compiled)[0]).all()


@either
@pytest.mark.parametrize("x", [[INF, INF, 1.0], [-INF, -INF, -INF]])
def test_infinite_extrema_share_the_derivative(x, compiled):
    (slope,) = gradient(lambda v: ag.max(v), x, compiled=compiled)
    same(slope, (np.array(x) == max(x)) / x.count(max(x)))


@either
@pytest.mark.parametrize(
    ("x", "value", "slopes"),
    [
        ([-INF, -INF], -INF, [NAN, NAN]),
        ([INF, 1.0], INF, [NAN, 0]),
        ([INF, INF], INF, [NAN, NAN]),
        ([INF, -INF], INF, [NAN, 0]),
        ([-INF, 1.0], 1.0, [0, 1]),
        ([NAN, 1.0], NAN, [NAN, NAN]),
    ],
)
def test_logsumexp_of_infinite_terms_is_that_of_pytorch_and_jax(x, value, slopes, compiled):
    same(ag.logsumexp(np.array(x)).numpy(), value)
    same(gradient(lambda v: ag.logsumexp(v), x, compiled=compiled)[0], slopes)


@either
def test_the_derivative_of_a_power_of_0_is_0_also_at_infinity(compiled):
    base, _ = gradient(ag.power, [INF, -INF, NAN, 0.0, 2.0], [0.0] * 5, compiled=compiled)
    same(base, [0] * 5)


# Nothing, and one ---------------------------------------------------------------------------------------------------


@either
@pytest.mark.parametrize("f", [ag.var, ag.std, ag.mean, ag.sum, ag.norm, ag.prod, ag.logsumexp])
def test_reductions_of_nothing_have_a_backward_pass(f, compiled):
    (slope,) = gradient(lambda v: f(v, axis=0), np.zeros((0, 3)), compiled=compiled)
    assert slope == []


@pytest.mark.parametrize("f", [ag.var, ag.std])
def test_a_variance_with_nothing_to_divide_by_is_nan_and_so_is_its_derivative(f):
    same(f(np.array([3.0]), correction=1).numpy(), NAN)
    same(gradient(lambda v: f(v, correction=1), [3.0])[0], [NAN])
    assert f(np.array([1.0, 2.0]), correction=5).item() == INF  # as NumPy: never a negative divisor


@either
@pytest.mark.parametrize("axis", [-1, 0])
def test_softmax_of_a_0d_tensor_is_1(axis, compiled):
    for f, value in ((ag.softmax, 1.0), (ag.log_softmax, 0.0)):
        run = ag.compile(lambda v, f=f: f(v, axis=axis)) if compiled else lambda v, f=f: f(v, axis=axis)
        assert run(ag.tensor(3.0)).item() == value
        assert gradient(lambda v, f=f: f(v, axis=axis), 3.0, compiled=compiled) == [0.0]
    assert np.isnan(ag.softmax(NAN).item())
    with pytest.raises(ValueError, match="axis"):
        ag.softmax(3.0, axis=1)


@pytest.mark.parametrize(("low", "high"), [(-5, 3), (0, 300), (-1, None), (None, 256)])
def test_integer_limits_beyond_the_dtype_are_no_limits(low, high):
    x = np.array([1, 200], np.uint8)
    found = ag.clip(x, low, high)
    assert found.dtype == np.uint8
    same(found.numpy(), np.clip(x, low, high))


def test_the_mixed_derivative_of_a_power_at_exponent_0():
    both = ag.grad(lambda y: ag.grad(lambda x, y: x**y)(ag.tensor(2.0, dtype="float64"), y))
    other = ag.grad(lambda x: ag.grad(lambda y, x: x**y)(ag.tensor(0.0, dtype="float64"), x))
    assert both(np.float64(0.0)).item() == pytest.approx(0.5)
    assert other(np.float64(2.0)).item() == pytest.approx(0.5)
    y = np.array([0.0, 0.0, 0.0, 0.0, 2.0])
    x = ag.tensor(np.array([0.0, np.inf, np.nan, 3.0, 0.0]), requires_grad=True)
    (x**y).sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 0, 0]
