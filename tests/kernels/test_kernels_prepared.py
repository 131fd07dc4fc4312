"""A prepared call does what the kernel's own call does, wherever its arrays lie."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from autograd_core.kernels.launch import Floats, kernel
from autograd_core.kernels.prepared import Prepared

SIZE, TASKS = 70, 7


@kernel
def scaled(task: int, x: Floats, times: int, out: Floats) -> None:
    """Ten elements in each task."""
    for i in range(task * 10, min((task + 1) * 10, x.size)):
        out[i] = times * x[i]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, min(2, numba.config.NUMBA_NUM_THREADS)])
def test_it_runs_on_the_arrays_of_each_call(dtype, threads):
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        call = Prepared(scaled, dtype, SIZE, 3, SIZE, tasks=TASKS)
        for seed in range(3):
            x = np.random.default_rng(seed).standard_normal(SIZE).astype(dtype)
            x.flags.writeable = False
            out, wanted = np.empty_like(x), np.empty_like(x)
            scaled(x, 3, wanted, tasks=TASKS)
            assert call(x, out)
            np.testing.assert_array_equal(out, wanted)
    finally:
        numba.set_num_threads(before)


def test_part_of_an_array_is_found_where_it_lies():
    x, out = np.arange(200, dtype=np.float32), np.zeros(200, np.float32)
    assert Prepared(scaled, np.float32, SIZE, 2, SIZE, tasks=TASKS)(x[30:100], out[100:170])
    np.testing.assert_array_equal(out[100:170], 2 * x[30:100])
    assert not out[:100].any()
    assert not out[170:].any()


def test_nothing_is_done_where_numbers_are_not_aligned():
    out = np.zeros(SIZE, np.float32)
    strange = np.ones(SIZE * 4 + 1, np.uint8)[1:].view(np.float32)
    call = Prepared(scaled, np.float32, SIZE, 2, SIZE, tasks=TASKS)
    assert not call(strange, out)
    assert not out.any()


def test_an_argument_too_few_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        Prepared(scaled, np.float32, SIZE, 2, tasks=TASKS)
