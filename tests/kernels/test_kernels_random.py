"""Philox against its authors' known answers and a twin in Python's integers; the distributions; the doors."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import naive

from autograd_core.kernels import random

# Random123 (Salmon et al. 2011), tests/kat_vectors, philox4x32 10: counter, key, answer.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def joined(words):
    return sum(word << 32 * i for i, word in enumerate(words))


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter, key, answer):
    np.testing.assert_array_equal(random.random_bits(joined(key), joined(counter), 4), answer)
    np.testing.assert_array_equal(naive.random_bits(joined(key), joined(counter), 4), answer)


keys = st.integers(0, 2**64 - 1)
counters = st.integers(0, 2**128 - 1) | st.sampled_from([0, 2**64 - 1, 2**128 - 2])
dtypes = st.sampled_from([np.float32, np.float64])


@settings(max_examples=60, deadline=None)
@given(keys, counters, st.integers(0, 30), dtypes)
def test_against_naive(key, counter, size, dtype):
    bits = random.random_bits(key, counter, size)
    assert bits.dtype == np.uint32
    np.testing.assert_array_equal(bits, naive.random_bits(key, counter, size))
    drawn = random.uniform(key, counter, size, dtype)
    assert drawn.dtype == dtype
    np.testing.assert_array_equal(drawn, naive.uniform(key, counter, size, dtype))
    drawn = random.normal(key, counter, size, dtype)
    assert drawn.dtype == dtype
    np.testing.assert_allclose(drawn, naive.normal(key, counter, size, dtype), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("draw", [random.uniform, random.normal])
def test_a_value_depends_on_its_position_only(draw, dtype):
    """Not on the size drawn, not on the threads; and a draw continues where blocks_used says."""
    before, size = numba.get_num_threads(), 50_001
    try:
        numba.set_num_threads(1)
        whole = draw(5, 9, size, dtype)
    finally:
        numba.set_num_threads(before)
    assert draw(5, 9, size, dtype).tobytes() == whole.tobytes()
    np.testing.assert_array_equal(draw(5, 9, 7, dtype), whole[:7])
    kind, first = draw.__name__, 1000
    used = random.blocks_used(first, dtype, kind)
    np.testing.assert_array_equal(draw(5, 9 + used, 100, dtype), whole[first : first + 100])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distributions(dtype):
    size = 400_000
    u, z = random.uniform(1, 0, size, dtype), random.normal(1, 0, size, dtype)
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean(dtype=float) - 0.5) < 4 / np.sqrt(12 * size)
    assert np.isfinite(z).all()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z.astype(float) ** power).mean() - moment) < 4 * np.sqrt(variance / size)
    counts = np.bincount((u * 16).astype(int), minlength=16)
    assert ((counts - size / 16) ** 2 / (size / 16)).sum() < 37.7  # χ² of 15 degrees, 0.1 %


def test_blocks_used():
    assert random.blocks_used(0, np.float32, "uniform") == 0
    assert random.blocks_used(1, np.float32, "uniform") == 1
    assert random.blocks_used(9, np.float32, "normal") == 3
    assert random.blocks_used(9, np.float64, "normal") == 5
    assert random.blocks_used(9, np.uint32, "bits") == 3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: random.uniform(-1, 0, 1), ValueError, "key is -1"),
        (lambda: random.uniform(2**64, 0, 1), ValueError, "key is 18446744073709551616"),
        (lambda: random.uniform(0, 2**128, 1), ValueError, "counter is"),
        (lambda: random.uniform(0.0, 0, 1), TypeError, "key is float"),
        (lambda: random.uniform(0, 0, -1), ValueError, "size holds -1"),
        (lambda: random.uniform(0, 0, 1.0), TypeError, "size holds 1.0"),
        (lambda: random.normal(0, 0, 1, np.float16), TypeError, "dtype is float16"),
        (lambda: random.blocks_used(1, np.float32, "gamma"), ValueError, "kind is 'gamma'"),
    ],
)
def test_door(call, error, message):
    with pytest.raises(error, match=message):
        call()
