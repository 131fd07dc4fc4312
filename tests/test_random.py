"""Random numbers: the stream, its state, the distributions, threads."""

import threading

import numpy as np
import pytest
from scipy import stats

import autograd_core as ag

DRAWS = {
    "uniform": lambda: ag.random.uniform((3, 4)),
    "uniform64": lambda: ag.random.uniform((3, 4), dtype="float64"),
    "normal": lambda: ag.random.normal((3, 4)),
    "normal64": lambda: ag.random.normal((3, 4), mean=2.0, std=3.0, dtype="float64"),
    "bernoulli": lambda: ag.random.bernoulli(0.5, (8, 8)),
    "integers": lambda: ag.random.integers(0, 1000, (3, 4)),
    "permutation": lambda: ag.random.permutation(50),
}
each_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())


@each_draw
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(draw):
    ag.random.seed(1)
    first = draw().tolist()
    ag.random.seed(1)
    assert draw().tolist() == first
    ag.random.seed(2)
    assert draw().tolist() != first


@each_draw
def test_the_stream_goes_on(draw):
    assert draw().tolist() != draw().tolist()


@each_draw
def test_state_can_be_saved_and_set(draw):
    draw()
    saved = ag.random.get_state()
    first = [draw().tolist(), draw().tolist()]
    ag.random.set_state(saved)
    assert [draw().tolist(), draw().tolist()] == first


def test_a_saved_state_does_not_change_with_later_draws_and_is_plain_numbers():
    saved = ag.random.get_state()
    numbers = np.array(saved).tolist()
    ag.random.uniform(1000)
    assert np.array(saved).tolist() == numbers
    ag.random.set_state(numbers)
    again = ag.random.uniform(3).tolist()
    ag.random.set_state(saved)
    assert ag.random.uniform(3).tolist() == again


def test_elements_depend_on_their_place_not_on_the_shape():
    """The counter-based stream: a draw of (6, 7) has the elements of a draw of 42, and a longer draw begins alike."""
    for draw in (ag.random.uniform, ag.random.normal):
        for dtype in ("float32", "float64"):
            ag.random.seed(3)
            flat = draw(42, dtype=dtype).tolist()
            ag.random.seed(3)
            assert draw((6, 7), dtype=dtype).flatten().tolist() == flat
            ag.random.seed(3)
            assert draw(100, dtype=dtype).tolist()[:42] == flat


def test_numbers_do_not_depend_on_the_number_of_threads():
    import numba

    before, results = numba.get_num_threads(), []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        ag.random.seed(4)
        results.append(ag.random.normal(100_000).numpy())
    numba.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_large_and_negative_seeds_are_taken():
    for n in (0, -1, 2**63, 2**64 - 1, np.int64(7)):
        ag.random.seed(n)
        assert np.isfinite(ag.random.uniform(3).numpy()).all()


def test_shapes_and_dtypes():
    assert ag.random.uniform().shape == ()
    assert ag.random.uniform(()).dtype == np.float32
    assert ag.random.normal(0).shape == (0,)
    assert ag.random.normal((2, 0, 3)).shape == (2, 0, 3)
    assert ag.random.uniform((2, 3), dtype="float64").dtype == np.float64
    assert ag.random.integers(0, 5, (2, 2)).dtype == np.int64
    assert ag.random.bernoulli(0.5, 3).dtype == np.bool_
    assert ag.random.permutation(4).dtype == np.int64


def test_draws_are_not_on_the_tape():
    for draw in DRAWS.values():
        assert not draw().requires_grad


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_is_uniform(dtype):
    x = ag.random.uniform(200_000, dtype=dtype).numpy()
    assert x.min() >= 0
    assert x.max() < 1
    assert abs(x.mean() - 0.5) < 5 / np.sqrt(12 * x.size)
    assert stats.kstest(x.astype("float64"), "uniform").pvalue > 1e-3
    y = ag.random.uniform(100_000, low=-3.0, high=5.0, dtype=dtype)
    assert y.dtype == dtype
    assert stats.kstest(y.numpy().astype("float64"), "uniform", args=(-3, 8)).pvalue > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_is_normal(dtype):
    x = ag.random.normal(200_001, dtype=dtype).numpy().astype("float64")
    assert np.isfinite(x).all()
    n = x.size
    assert abs(x.mean()) < 5 / np.sqrt(n)
    assert abs(x.var() - 1) < 5 * np.sqrt(2 / n)
    assert abs((x**3).mean()) < 5 * np.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < 5 * np.sqrt(96 / n)
    assert stats.kstest(x, "norm").pvalue > 1e-3
    y = ag.random.normal(50_000, mean=2.0, std=0.5, dtype=dtype)
    assert y.dtype == dtype
    assert stats.kstest(y.numpy().astype("float64"), "norm", args=(2, 0.5)).pvalue > 1e-3


def test_neighbours_and_successive_draws_are_uncorrelated():
    x = ag.random.normal(100_000, dtype="float64").numpy()
    y = ag.random.normal(100_000, dtype="float64").numpy()
    bound = 5 / np.sqrt(x.size)
    for lag in (1, 2, 3, 4, 8):
        assert abs(np.corrcoef(x[:-lag], x[lag:])[0, 1]) < bound
    assert abs(np.corrcoef(x, y)[0, 1]) < bound
    ag.random.seed(1)
    a = ag.random.normal(100_000, dtype="float64").numpy()
    ag.random.seed(2)
    assert abs(np.corrcoef(a, ag.random.normal(100_000, dtype="float64").numpy())[0, 1]) < bound


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_bernoulli_has_its_rate(p):
    n = 100_000
    rate = ag.random.bernoulli(p, n).numpy().mean()
    assert abs(rate - p) <= 5 * np.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("p", [-0.1, 1.5, np.nan])
def test_bernoulli_of_what_is_no_probability_is_an_error(p):
    with pytest.raises(ValueError, match="probability"):
        ag.random.bernoulli(p)


@pytest.mark.parametrize(("low", "high"), [(0, 2), (-5, 5), (0, 7), (10, 11), (-(2**40), 2**40)])
def test_integers_fill_their_range_evenly(low, high):
    x = ag.random.integers(low, high, 50_000).numpy()
    assert x.min() >= low
    assert x.max() < high
    if high - low <= 10:
        counts = np.bincount(x - low, minlength=high - low)
        assert stats.chisquare(counts).pvalue > 1e-3 or high - low == 1
    else:
        assert abs(x.mean()) < 5 * (high - low) / np.sqrt(12 * x.size)


@pytest.mark.parametrize(("low", "high"), [(0, 0), (5, 3)])
def test_integers_of_an_empty_range_is_an_error(low, high):
    with pytest.raises(ValueError, match="integers"):
        ag.random.integers(low, high)


def test_permutation_is_one_and_all_are_equally_likely():
    assert sorted(ag.random.permutation(100).tolist()) == list(range(100))
    assert ag.random.permutation(0).shape == (0,)
    seen = {}
    for _ in range(3000):
        order = tuple(ag.random.permutation(3).tolist())
        seen[order] = seen.get(order, 0) + 1
    assert len(seen) == 6
    assert stats.chisquare(list(seen.values())).pvalue > 1e-3


def test_wrong_dtypes_and_shapes_are_errors():
    for dtype in ("int64", "float16", "bool"):
        with pytest.raises(TypeError, match="float32"):
            ag.random.uniform(3, dtype=dtype)
    for shape in (-1, (2, -3)):
        with pytest.raises(ValueError, match=r"normal: size holds -\d+"):
            ag.random.normal(shape)
    with pytest.raises(ValueError, match=r"uniform: size holds \d{20}"):
        ag.random.uniform((2**40, 2**40))


def test_threads_that_draw_at_once_never_repeat_a_number():
    drawn, barrier = [], threading.Barrier(4)

    def work():
        barrier.wait()
        mine = [ag.random.uniform(64, dtype="float64").numpy() for _ in range(100)]
        drawn.extend(mine)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = np.concatenate(drawn)
    assert values.size == 4 * 100 * 64
    assert (
        np.unique(values).size == values.size
    )  # of 25,600 numbers of 53 bits two are equal once in 10⁷ runs
