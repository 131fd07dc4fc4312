"""Calls that are recorded: what runs again does what the function does, for other arrays of the same kind."""

import sys
import threading

import numba
import numpy as np
import pytest

from autograd_core.kernels import channel, conv, launch, pool, recorded
from autograd_core.kernels.transcript import Memory

rng = np.random.default_rng(0)
SAME = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
TWICE = {**SAME, "stride": (2, 2)}
ONE = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
HALVES = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}


def normal(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def arrays(function, *shapes, **settings):
    """A case: the function, the shapes of its arrays, its settings."""
    return pytest.param(function, shapes, settings, id=f"{function.__name__}-{'-'.join(map(str, shapes))}")


CASES = [
    arrays(conv.conv_forward, (3, 16, 9, 9), (16, 16, 3, 3), **SAME),
    arrays(conv.conv_forward, (3, 16, 9, 9), (40, 16, 3, 3), (40,), **TWICE),
    arrays(conv.conv_forward, (3, 3, 17, 17), (16, 3, 3, 3), **SAME),
    arrays(conv.conv_forward, (3, 40, 9, 9), (24, 40, 1, 1), **ONE),
    arrays(conv.conv_forward, (3, 8, 9, 9), (8, 1, 3, 3), **{**SAME, "groups": 8}),
    arrays(conv.conv_forward, (3, 96, 9, 9), (96, 96, 3, 3), (96,), **SAME, rectified=True),
    arrays(conv.conv_input_grad, (3, 16, 9, 9), (16, 16, 3, 3), spatial=(9, 9), **SAME),
    arrays(conv.conv_input_grad, (3, 40, 5, 5), (40, 16, 3, 3), spatial=(9, 9), **TWICE),
    arrays(conv.conv_input_grad, (3, 24, 9, 9), (24, 40, 1, 1), spatial=(9, 9), **ONE),
    arrays(conv.conv_weight_grad, (3, 16, 9, 9), (3, 16, 9, 9), kernel=(3, 3), **SAME),
    arrays(conv.conv_weight_grad, (3, 40, 5, 5), (3, 16, 9, 9), kernel=(3, 3), **TWICE),
    arrays(conv.conv_weight_grad, (3, 24, 9, 9), (3, 40, 9, 9), kernel=(1, 1), **ONE),
    arrays(pool.max_pool, (3, 4, 8, 8), **HALVES, dilation=(1, 1)),
    arrays(pool.max_pool_winners, (3, 4, 8, 8), **HALVES, dilation=(1, 1)),
    arrays(pool.max_pool_winners, (3, 4, 8, 9), **{**HALVES, "dilation": (2, 1)}),
    arrays(pool.max_pool_put, (3, 4, 4, 4), (3, 4, 8, 8), **HALVES, dilation=(1, 1)),
    arrays(pool.max_pool_take, (3, 4, 8, 8), (3, 4, 8, 8), **HALVES, dilation=(1, 1)),
    arrays(pool.avg_pool, (3, 4, 8, 8), **HALVES),
    arrays(pool.avg_pool_grad, (3, 4, 4, 4), **HALVES, spatial=(8, 8)),
    arrays(channel.sums, (5, 7, 100)),
    arrays(channel.moments, (5, 7, 100)),
    arrays(channel.moments, (300, 7)),
    arrays(channel.channel_sums, (5, 7, 100), (5, 7, 100), (7,)),
    arrays(channel.channel_sums, (300, 7), (300, 7), (7,)),
    arrays(channel.scale_shift, (5, 7, 100), (7,), (7,), (7,)),
    arrays(channel.scale_shift, (300, 7, 1), (7,), (7,), (7,)),
    arrays(channel.blend, (5, 7, 100), (5, 7, 100), (7,), (7,), (7,), (7,)),
]


def listed(results):
    return results if isinstance(results, tuple) else (results,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("function", "shapes", "settings"), CASES)
def test_the_same_bits_as_without_a_recording(function, shapes, settings, dtype):
    for _ in range(3):  # the first is recorded, and runs as the others do
        given = [normal(*shape, dtype=dtype) for shape in shapes]
        kept = [each.copy() for each in given]
        found, wanted = listed(function(*given, **settings)), listed(function.__wrapped__(*given, **settings))
        for one, two in zip(found, wanted, strict=True):
            assert (one is None) == (two is None)
            if one is not None:
                assert (one.shape, one.dtype) == (two.shape, two.dtype)
                np.testing.assert_array_equal(one, two)
        for one, two in zip(given, kept, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "function", [conv.conv_forward, conv.conv_weight_grad, pool.max_pool_winners, channel.moments]
)
def test_a_call_like_an_earlier_one_runs_no_python(function, monkeypatch):
    given, settings = {
        "conv_forward": ((normal(2, 16, 9, 9), normal(16, 16, 3, 3)), SAME),
        "conv_weight_grad": ((normal(2, 16, 9, 9), normal(2, 16, 9, 9)), {**SAME, "kernel": (3, 3)}),
        "max_pool_winners": ((normal(2, 4, 8, 8),), {**HALVES, "dilation": (1, 1)}),
        "moments": ((normal(4, 3, 100),), {}),
    }[function.__name__]
    first = function(*given, **settings)
    monkeypatch.setattr(launch.Kernel, "__call__", None)
    for one, two in zip(listed(first), listed(function(*given, **settings)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_results_are_new_arrays():
    x, w = normal(2, 16, 9, 9), normal(16, 16, 3, 3)
    first = conv.conv_forward(x, w, **SAME)
    kept = first.copy()
    second = conv.conv_forward(-x, w, **SAME)
    np.testing.assert_array_equal(first, kept)
    assert not np.shares_memory(first, second)


def test_one_array_given_twice_is_not_taken_for_both_later():
    x, g = normal(2, 16, 9, 9), normal(2, 16, 9, 9)
    how = {**SAME, "kernel": (3, 3)}
    conv.conv_weight_grad(x, x, **how)
    np.testing.assert_array_equal(
        conv.conv_weight_grad(g, x, **how), conv.conv_weight_grad.__wrapped__(g, x, **how)
    )


def test_arrays_that_lie_otherwise_are_copied():
    x, w = normal(2, 9, 9, 16).transpose(0, 3, 1, 2), normal(16, 16, 3, 3)
    odd = np.frombuffer(b"\0" + w.tobytes(), np.uint8)[1:].view(np.float32).reshape(w.shape)
    assert not odd.flags.aligned
    wanted = conv.conv_forward(np.ascontiguousarray(x), w, **SAME)
    np.testing.assert_array_equal(conv.conv_forward(x, odd, **SAME), wanted)
    np.testing.assert_array_equal(conv.conv_forward(x, w.astype(">f4"), **SAME), wanted)


def test_lists_as_settings_are_no_kind_of_call():
    x, w = normal(2, 16, 9, 9), normal(16, 16, 3, 3)
    how = {**SAME, "stride": [1, 1], "padding": [1, 1]}
    np.testing.assert_array_equal(conv.conv_forward(x, w, **how), conv.conv_forward(x, w, **SAME))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_take_another_way_take_it_each_time(bad):
    x, w = normal(1, 16, 12, 12), normal(16, 16, 3, 3)
    clean = conv.conv_forward(x, w, **SAME)
    x[0, 3, 5, 6] = bad
    for _ in range(2):
        y = conv.conv_forward(x, w, **SAME)
        assert np.count_nonzero(~np.isfinite(y)) == 16 * 9
    x[0, 3, 5, 6] = 0
    x = normal(1, 16, 12, 12)
    assert np.isfinite(conv.conv_forward(x, w, **SAME)).all()
    assert np.isfinite(clean).all()


def test_faults_are_told_each_time():
    x, w = normal(1, 16, 12, 12), normal(16, 8, 3, 3)
    for _ in range(2):
        with pytest.raises(ValueError, match="16 channels"):
            conv.conv_forward(x, w, **SAME)
        with pytest.raises(TypeError, match="int64"):
            conv.conv_forward(x.astype(np.int64), w, **SAME)


def test_a_fault_is_told_without_a_word_of_recordings():
    with pytest.raises(ValueError, match="16 channels") as told:
        conv.conv_forward(normal(1, 16, 12, 12), normal(16, 8, 3, 3), **SAME)
    assert told.value.__context__ is None


def test_bits_do_not_depend_on_the_number_of_threads():
    x, w = normal(8, 64, 28, 28), normal(64, 64, 3, 3)
    before, found = numba.get_num_threads(), []
    try:
        for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)) * 2:
            numba.set_num_threads(count)
            found.append(conv.conv_forward(x, w, **SAME))
    finally:
        numba.set_num_threads(before)
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])


def test_a_recorded_call_is_taken_down_as_any_other():
    x, w = normal(2, 16, 9, 9), normal(16, 16, 3, 3)
    conv.conv_forward(x, w, **SAME)
    with launch.traced() as trace:
        conv.conv_forward(x, w, **SAME)
    assert trace.steps


def test_threads_call_at_the_same_time():
    given = [(normal(2, 16, 9, 9), normal(16, 16, 3, 3)) for _ in range(4)]
    wanted = [conv.conv_forward.__wrapped__(x, w, **SAME) for x, w in given]
    wrong = []

    def work(number):
        results = (conv.conv_forward(*given[number], **SAME) for _ in range(200))
        wrong.extend(number for each in results if not np.array_equal(each, wanted[number]))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_threads_see_new_kinds_while_old_ones_go(monkeypatch):
    monkeypatch.setattr(recorded, "MOST", 3)
    before, wrong = sys.getswitchinterval(), []

    def work(seed):
        sizes = np.random.default_rng(seed).integers(64, 80, 300)
        try:
            wrong.extend(
                size for size in sizes if channel.sums(np.ones((2, 1, size), np.float32))[0] != 2 * size
            )
        except Exception as error:
            wrong.append(error)

    sys.setswitchinterval(1e-6)
    try:
        workers = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong


def test_so_many_kinds_are_kept_and_no_more(monkeypatch):
    monkeypatch.setattr(recorded, "MOST", 3)
    known = recorded._known["autograd_core.kernels.channel.sums"]
    for size in range(64, 74):
        x = normal(2, 3, size)
        np.testing.assert_allclose(channel.sums(x), x.sum((0, 2)), rtol=1e-4, atol=1e-4)
        assert len(known) <= 3


def test_a_table_right_behind_an_array_is_no_part_of_it():
    """Small arrays lie close together: once a table 48 bytes behind one was taken for its end."""
    memory = np.zeros(64, np.uint8)
    array, behind = memory[:12].view(np.float32), memory[48:]
    known = Memory()
    known.know(array, "array")
    assert known.find(behind) is None
    assert known.find(array[1:]) == ("array", 4)
