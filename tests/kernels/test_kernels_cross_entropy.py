"""Cross-entropy's kernels against SciPy in float64, and their doors."""

import numba
import numpy as np
import pytest
import scipy.special

from autograd_core.kernels import cross_entropy


def case(rows, classes):
    rng = np.random.default_rng((rows, classes))
    x = 3 * rng.standard_normal((rows, classes)).astype(np.float32)
    return x, rng.integers(-classes, classes, rows), rng.standard_normal(rows).astype(np.float32)


@pytest.mark.parametrize("shape", [(128, 10), (7, 300), (2000, 17), (1, 2000), (1100, 1), (0, 3)])
def test_both_against_scipy(shape):
    x, labels, g = case(*shape)
    each = np.arange(shape[0]), labels
    logs = scipy.special.log_softmax(x.astype(float), axis=1) if x.size else x.astype(float)
    np.testing.assert_allclose(cross_entropy.losses(x, labels), -logs[each], rtol=2e-6, atol=2e-6)
    slopes = np.exp(logs)
    slopes[each] -= 1
    np.testing.assert_allclose(cross_entropy.slopes(g, x, labels), slopes * g[:, None], rtol=2e-5, atol=2e-6)


def test_numbers_that_overflow_and_classes_that_are_masked():
    x = np.float32([[1e4, 0, -1e4], [-np.inf, 0, 0], [-np.inf, 0, 0], [np.nan, 0, 0], [0, 0, np.inf]])
    labels = np.array([2, 1, 0, 1, 0])
    np.testing.assert_allclose(
        cross_entropy.losses(x, labels), [2e4, np.log(np.float32(2)), np.inf, np.nan, np.inf], rtol=1e-6
    )
    wanted = [[1, 0, -1], [0, -0.5, 0.5], [-1, 0.5, 0.5], [np.nan] * 3, [-1, 0, np.nan]]
    np.testing.assert_allclose(cross_entropy.slopes(np.ones(5, np.float32), x, labels), wanted)


def test_any_layout_and_integer():
    x, labels, g = case(40, 30)
    losses, slopes = cross_entropy.losses(x, labels), cross_entropy.slopes(g, x, labels)
    for other in (np.asfortranarray(x), x[::-1].copy()[::-1], x.astype(">f4").astype("f4")):
        for number in (labels % 30).astype("uint8"), labels.astype(">i2"), np.repeat(labels, 2)[::2]:
            np.testing.assert_array_equal(cross_entropy.losses(other, number), losses)
            np.testing.assert_array_equal(cross_entropy.slopes(np.repeat(g, 2)[::2], other, number), slopes)


def test_same_bits_for_any_number_of_threads():
    x, labels, g = case(3000, 37)
    before, results = numba.get_num_threads(), set()
    try:
        for threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1):
            numba.set_num_threads(threads)
            made = cross_entropy.losses(x, labels), cross_entropy.slopes(g, x, labels)
            results.add(b"".join(array.tobytes() for array in made))
    finally:
        numba.set_num_threads(before)
    assert len(results) == 1


X, L, G = case(2, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cross_entropy.losses(X, L + 6), IndexError, "labels go from 0 to 2"),
        (lambda: cross_entropy.slopes(G, X, L - 6), IndexError, "labels go from 0 to 2"),
        (lambda: cross_entropy.losses(X.astype(float), L), ValueError, "x is float64"),
        (lambda: cross_entropy.losses(X, L[:1]), ValueError, "a label for each row"),
        (lambda: cross_entropy.losses(X[:, :0], L), ValueError, "a label for each row"),
        (lambda: cross_entropy.slopes(G[:1], X, L), ValueError, "a float32 for each"),
    ],
)
def test_the_doors(call, error, message):
    with pytest.raises(error, match=message):
        call()
