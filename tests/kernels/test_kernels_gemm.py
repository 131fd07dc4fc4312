"""The product on the register tile against NumPy's in float64: every edge of a panel, every order, nothing outside."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_core as ag
from autograd_core.kernels import gemm, products
from autograd_core.ops import matmul

EDGES = [1, 2, 5, 8, 15, 16, 17, 31, 33, 64, 70]
WIDE = [130, 270, 300]  # more columns than one block has of deep panels
DEPTHS = [1, 7, 16, 33, 512, 513, 700]


def matrix(rng, rows, columns, turned):
    made = rng.standard_normal((columns, rows) if turned else (rows, columns)).astype(np.float32)
    return made.T if turned else made


def run(x, y, out, parts=1, by_rows=1, bias=None):
    """Through the kernel of compiled programs."""
    (m, k), n = x.shape, y.shape[1]
    x_turned, y_turned = (not a.flags.c_contiguous for a in (x, y))
    steps = (m if x_turned else k), (k if y_turned else n)
    addresses = [0 if a is None else a.ctypes.data for a in (x, y, out, bias)]
    products.products(
        *addresses, gemm.sgemm_address(), 4, 1, m, n, k, x_turned, y_turned, *steps, 0, 0, parts, by_rows,
        tasks=parts,
    )  # fmt: skip


@pytest.mark.parametrize("x_turned", [False, True])
@pytest.mark.parametrize("y_turned", [False, True])
def test_products_of_all_sizes(x_turned, y_turned):
    rng = np.random.default_rng(0)
    for _ in range(60):
        m, n, k = rng.choice(EDGES), rng.choice(EDGES + WIDE), rng.choice(DEPTHS)
        x, y = matrix(rng, m, k, x_turned), matrix(rng, k, n, y_turned)
        around = np.full(m * n + 128, 7, np.float32)
        out = around[64:-64].reshape(m, n)
        out[:] = np.nan  # what is there is not added
        run(x, y, out)
        np.testing.assert_allclose(out, x.astype(np.float64) @ y, rtol=0, atol=2e-5 * np.sqrt(k))
        assert (np.concatenate([around[:64], around[-64:]]) == 7).all()


def test_what_is_no_number_stays_in_its_rows_and_columns():
    x, y = np.ones((40, 600), np.float32), np.ones((600, 50), np.float32)
    x[3, 599], x[39, 0], y[5, 49] = np.nan, np.inf, -np.inf
    out = np.empty((40, 50), np.float32)
    run(x, y, out)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(out, x @ y)


def test_blocks_have_the_bits_of_the_whole():
    rng = np.random.default_rng(0)
    x, y = matrix(rng, 150, 600, False), matrix(rng, 600, 90, True)
    found = [np.empty((150, 90), np.float32) for _ in range(3)]
    for out, parts, by_rows in zip(found, (1, 4, 3), (1, 1, 0), strict=True):
        run(x, y, out, parts, by_rows)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


@pytest.mark.parametrize(("parts", "by_rows"), [(1, 1), (3, 1), (3, 0)])
def test_a_bias_is_added_to_each_row_and_to_nothing_around(parts, by_rows):
    rng = np.random.default_rng(0)
    for m, n, k in ((5, 3, 7), (33, 70, 16), (64, 130, 513)):
        x, y, bias = matrix(rng, m, k, False), matrix(rng, k, n, False), matrix(rng, 1, n, False)[0]
        around = np.full(m * n + 128, 7, np.float32)
        out, plain = around[64:-64].reshape(m, n), np.empty((m, n), np.float32)
        run(x, y, plain)
        run(x, y, out, parts, by_rows, bias)
        np.testing.assert_array_equal(out, plain + bias)
        assert (np.concatenate([around[:64], around[-64:]]) == 7).all()


@pytest.fixture
def taken(monkeypatch):
    """Which of the products that had an Own were computed by it, on any machine."""
    monkeypatch.setattr(products, "BITS", 512)  # as if OpenBLAS were slower here
    matmul._own_for.cache_clear()
    taken, made = [], products.Own.__call__

    def call(*arguments):
        out = made(*arguments)
        taken.append(out is not None)
        return out

    monkeypatch.setattr(products.Own, "__call__", call)
    yield taken
    matmul._own_for.cache_clear()


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
def test_the_door_of_matmul(turned, taken):
    rng = np.random.default_rng(0)
    x, y = matrix(rng, 130, 200, turned[0]), matrix(rng, 200, 140, turned[1])
    got = ag.matmul(ag.tensor(x), ag.tensor(y)).numpy()
    np.testing.assert_allclose(got, x.astype(np.float64) @ y, rtol=0, atol=1e-3)
    assert taken == ([] if turned[0] else [True])
    for strange in (x[:, ::-1], np.broadcast_to(x[:1], x.shape), x.astype(">f4")):
        got = ag.matmul(ag.tensor(strange), ag.tensor(y)).numpy()
        np.testing.assert_allclose(got, strange.astype(np.float64) @ y, rtol=0, atol=1e-3)


def misaligned(array):
    raw = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


def test_the_door_of_linear(taken):
    rng = np.random.default_rng(0)
    x, w, bias = matrix(rng, 130, 200, False), matrix(rng, 200, 140, False), matrix(rng, 1, 140, False)[0]
    forward = matmul._linear.forward
    wanted = x.astype(np.float64) @ w + bias
    everywhere = np.broadcast_to(bias, (130, 140))  # such a bias is no row
    for given, by_own in (
        (bias, [True]), (np.repeat(bias, 2)[::2], [True]), (everywhere, [True]),
        (misaligned(bias), [False, True]), (bias.astype(np.float64), [True]),
    ):  # fmt: skip
        got = forward(x, w, given)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-3)
        assert got.dtype == given.dtype
        assert taken == by_own
        taken.clear()
    np.testing.assert_allclose(forward(misaligned(x), w, bias), wanted, rtol=0, atol=1e-3)
    assert taken == [False, False]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_batch_of_any_layout(dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 70, 30)).astype(dtype), rng.standard_normal((40, 30, 60)).astype(dtype)
    wanted = x.astype(np.float64) @ y
    slack = 1e-4 if dtype == np.float32 else 1e-12
    wide = np.repeat(x, 2, axis=1)[:, ::2]  # rows that lie apart
    for one in (x, x.swapaxes(1, 2).copy().swapaxes(1, 2), wide):
        for other in (y, y.swapaxes(1, 2).copy().swapaxes(1, 2)):
            np.testing.assert_allclose(products.batched(one, other), wanted, rtol=0, atol=slack)
    back = products.batched(x[::-1], y[::-1])
    np.testing.assert_allclose(back, wanted[::-1], rtol=0, atol=slack)
    shared = products.batched(np.broadcast_to(x[:1], x.shape), y)
    np.testing.assert_allclose(shared, x[0].astype(np.float64) @ y, rtol=0, atol=slack)
    for strange in (x[:, :, ::-1], np.repeat(x, 2, axis=2)[:, :, ::2]):
        assert products.batched(strange, y) is None
        got = ag.matmul(ag.tensor(strange), ag.tensor(y)).numpy()
        np.testing.assert_allclose(got, strange.astype(np.float64) @ y, rtol=0, atol=slack)
    swapped = x.astype(x.dtype.newbyteorder())
    np.testing.assert_allclose(ag.matmul(ag.tensor(swapped), y).numpy(), wanted, rtol=0, atol=slack)


def test_tasks_are_only_where_no_cut_changes_an_element():
    assert products.tasks_of(1, 128, 784, 256, 1, False, own=True) == 4
    assert products.tasks_of(1, 128, 784, 256, 1, False, own=False) == 1
    assert products.tasks_of(1, 100, 64, 32, 1, True, own=True) == 1
    assert products.tasks_of(64, 64, 32, 64, 1, False, own=False) == 2
    assert products.tasks_of(1, 1024, 1024, 1024, 16, True, own=True) == 16
