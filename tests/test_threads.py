"""Threads: how many there are, how blocks are shared out among them, and that their number changes no bit."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_core as ag
import nn
from autograd_core import threads
from autograd_core.kernels import launch
from autograd_core.kernels.launch import Ints, kernel

MOST = numba.config.NUMBA_NUM_THREADS
several = pytest.mark.skipif(MOST < 2, reason="this machine has one core")


@pytest.fixture(autouse=True)
def numbers_of_threads():
    """Every test leaves the number of threads as it found it."""
    chosen, numba_s = threads._chosen, numba.get_num_threads()
    yield
    threads._chosen = chosen
    numba.set_num_threads(numba_s)


def run(code):
    """Standard output of `code` in a fresh interpreter, where NumPy's BLAS may use two threads."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def on_threads(count, work):
    """Call work(0) … work(count − 1) at once, each on a thread of its own; their results in order."""
    found, gate = {}, threading.Barrier(count)

    def start(i):
        gate.wait()
        found[i] = work(i)

    workers = [threading.Thread(target=start, args=(i,), daemon=True) for i in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(found) == count
    return [found[i] for i in range(count)]


# The number ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, -1, MOST + 1])
def test_a_number_out_of_range_is_refused_and_changes_nothing(n):
    before = ag.get_num_threads()
    with pytest.raises(ValueError, match=rf"{n} is not between 1 and {MOST}, the number of cores"):
        ag.set_num_threads(n)
    assert ag.get_num_threads() == before


@pytest.mark.parametrize("n", [1.5, "1", None])
def test_what_is_no_whole_number_is_refused_and_changes_nothing(n):
    before = ag.get_num_threads()
    with pytest.raises(TypeError):
        ag.set_num_threads(n)
    assert ag.get_num_threads() == before


@several
def test_the_number_holds_for_kernels_and_blocks():
    for n in (1, 2):
        ag.set_num_threads(n)
        assert ag.get_num_threads() == numba.get_num_threads() == n


def test_asking_for_the_number_does_not_import_numba():
    code = "import os, sys, autograd_core as ag; print(ag.get_num_threads(), 'numba' in sys.modules)"
    assert run(f"import os; os.environ['NUMBA_NUM_THREADS'] = '7'; {code}") == "7 False\n"
    assert run(f"import os; os.environ.pop('NUMBA_NUM_THREADS', 0); {code}").endswith("False\n")


@kernel
def touch(task: int, out: Ints) -> None:
    out[task] = task


@several
def test_the_number_holds_in_every_python_thread(monkeypatch):
    """numba's own number is each Python thread's; the engine's is one for the process."""
    parallel = []
    monkeypatch.setattr(launch, "all_threads", lambda *given: parallel.append(given))
    ag.set_num_threads(1)
    on_threads(1, lambda i: touch(np.zeros(8, np.int64), tasks=8))
    assert not parallel


def test_blas_is_kept_at_one_thread():
    code = """
        from threadpoolctl import ThreadpoolController, threadpool_limits
        import numpy
        from autograd_core.threads import one_blas_thread
        threadpool_limits(2, user_api="blas")
        one_blas_thread()
        print({found["num_threads"] for found in ThreadpoolController().info() if found["user_api"] == "blas"})
    """
    assert run(code) in ("{1}\n", "set()\n")


# Blocks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 50])
@pytest.mark.parametrize("n", [1, 2])
def test_every_block_runs_once(n, count):
    threads._chosen = n
    done = []
    threads.run_blocks(done.append, count)
    assert sorted(done) == list(range(count))


def test_blocks_run_on_several_threads():
    threads._chosen = 3
    gate, names = threading.Barrier(3), set()

    def block(i):
        gate.wait(60)
        names.add(threading.current_thread().name)

    threads.run_blocks(block, 3)
    assert len(names) == 3


@pytest.mark.parametrize("place", ["here", "elsewhere", "everywhere"])
def test_an_error_in_a_block_is_raised_and_the_next_call_works(place):
    threads._chosen = 2
    gate, caller = threading.Barrier(2), threading.current_thread()

    def block(i):
        gate.wait(60)  # so that both threads have a block
        if place == "everywhere" or (threading.current_thread() is caller) == (place == "here"):
            raise ZeroDivisionError(place)

    with pytest.raises(ZeroDivisionError, match=place):
        threads.run_blocks(block, 2)
    done = []
    threads.run_blocks(done.append, 9)
    assert sorted(done) == list(range(9))


def test_several_python_threads_share_out_blocks_at_once():
    threads._chosen = 2

    def work(i):
        done = []
        for _ in range(100):
            threads.run_blocks(done.append, 5)
        return sorted(done)

    assert on_threads(4, work) == [sorted([*range(5)] * 100)] * 4


@pytest.mark.skipif(not hasattr(threads.os, "fork"), reason="os.fork is POSIX's only")
def test_a_forked_child_shares_out_blocks():
    code = """
        import os
        import numpy as np
        import autograd_core as ag
        from autograd_core import threads
        threads._chosen = 2
        x = np.random.default_rng(0).standard_normal((512, 512))
        x = ag.tensor(x)
        wanted = (x @ x).numpy().tobytes()
        read, write = os.pipe()
        if not os.fork():
            done = []
            threads.run_blocks(done.append, 40)
            same = sorted(done) == list(range(40)) and (x @ x).numpy().tobytes() == wanted
            os.write(write, b"same" if same else b"other")
            os._exit(0)
        os.close(write)
        print(os.read(read, 9).decode(), os.wait()[1])
    """
    assert run(code) == "same 0\n"


def test_products_go_on_when_the_main_thread_has_ended():
    """Python takes no new work for its thread pools then, while other threads still run."""
    code = """
        import threading
        import autograd_core as ag
        from autograd_core import threads
        threads._chosen = 2
        x = ag.ones((512, 512))
        def late():
            threading.main_thread().join()
            print((x @ x)[0, 0].item())
        threading.Thread(target=late).start()
    """
    assert run(code) == "512.0\n"


# The bits --------------------------------------------------------------------------------------------------


def bits(compute):
    """What `compute` gives on one thread and on two, as bytes."""
    results = []
    for n in (1, 2):
        ag.set_num_threads(n)
        results.append([np.asarray(part).tobytes() for part in compute()])
    return results


@st.composite
def operands(draw):
    """x and y to multiply: vectors, matrices, batches that broadcast, transposed or not."""
    size = st.sampled_from([1, 2, 3, 17, 130, 260, 515])
    m, k, n = draw(size), draw(size), draw(size)
    lead = draw(st.sampled_from([(), (1,), (2,), (5,), (2, 3)])) if m * k * n < 1 << 24 else ()
    rng = np.random.default_rng(m + 7 * k + 49 * n)

    def matrix(rows, columns, lead):
        if draw(st.booleans()):
            return rng.standard_normal((*lead, columns, rows)).astype(np.float32).swapaxes(-1, -2)
        return rng.standard_normal((*lead, rows, columns)).astype(np.float32)

    x, y = matrix(m, k, lead), matrix(k, n, lead if draw(st.booleans()) else ())
    if draw(st.integers(0, 5)) == 0:
        x = x[..., 0, :].reshape(-1, k)[0]
    elif draw(st.integers(0, 5)) == 0:
        y = y[..., 0].reshape(-1, k)[0]
    return x, y


@several
@settings(max_examples=80, deadline=None)
@given(operands())
def test_a_product_has_the_same_bits_on_any_number_of_threads(drawn):
    one, two = bits(lambda: [ag.matmul(*map(ag.tensor, drawn))])
    assert one == two
    found, wanted = ag.matmul(*map(ag.tensor, drawn)).numpy(), np.matmul(*drawn)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-4)


@pytest.mark.parametrize(
    ("x_shape", "y_shape"),
    [
        ((512, 600), (600, 515)),
        ((64, 600), (600, 2048)),
        ((1, 600, 512), (1, 512, 300)),
        ((600, 512), (1, 512, 300)),
        ((1, 600, 512), (512, 300)),
        ((1, 1, 600, 512), (1, 512, 300)),
        ((5, 300, 300), (300, 301)),
        ((5, 300, 300), (1, 300, 301)),
        ((2, 3, 300, 300), (3, 300, 301)),
        ((0, 300, 300), (0, 300, 301)),
    ],
)
def test_large_products_have_numpy_s_shape_and_value(x_shape, y_shape, rng):
    x, y = (rng.standard_normal(shape).astype(np.float32) for shape in (x_shape, y_shape))
    found, wanted = ag.matmul(ag.tensor(x), ag.tensor(y)).numpy(), np.matmul(x, y)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-4)


@pytest.mark.parametrize("name", ["einsum", "solve", "inv"])
def test_other_products_of_matrices_have_the_same_bits_on_any_number_of_blas_threads(name, rng):
    """What NumPy hands to BLAS in one piece: cut by the number of threads, unless that is one."""
    from threadpoolctl import threadpool_limits

    x = rng.standard_normal((400, 400)).astype(np.float32)
    y = rng.standard_normal((400, 407)).astype(np.float32)
    call = {
        "einsum": lambda: ag.einsum("ij,jk->ik", x, y),
        "solve": lambda: ag.linalg.solve(x, y),
        "inv": lambda: ag.linalg.inv(x),
    }[name]
    results = []
    try:
        for n in (1, 2):
            threads.one_blas_thread.cache_clear()
            threadpool_limits(n, user_api="blas")
            results.append(np.asarray(call()).tobytes())
    finally:
        threads.one_blas_thread.cache_clear()
        threads.one_blas_thread()
    assert results[0] == results[1]


def train(steps=3):
    """The losses and the parameters of a small network that uses every kind of kernel."""
    ag.random.seed(5)
    rng = np.random.default_rng(5)
    model = nn.Sequential(
        nn.Conv(3, 16, 3, padding=1), nn.BatchNorm(16), nn.ReLU(),
        nn.Conv(16, 16, 3, padding=1), nn.BatchNorm(16), nn.ReLU(), nn.MaxPool(2),
        nn.Conv(16, 16, 3, padding=1, groups=16), nn.Conv(16, 24, 3, stride=2, padding=1), nn.ReLU(),
        nn.Dropout(0.3), nn.AvgPool(2), nn.Flatten(), nn.Dense(24 * 3 * 3, 300), nn.ReLU(), nn.Dense(300, 10),
    )  # fmt: skip
    optimizer = nn.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(steps):
        x, y = rng.standard_normal((24, 3, 24, 24)).astype(np.float32), rng.integers(0, 10, 24)
        loss = nn.cross_entropy(model(ag.tensor(x)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.numpy())
    return losses + [parameter.numpy() for parameter in model.parameters()]


@several
def test_training_has_the_same_bits_on_any_number_of_threads():
    one, two = bits(train)
    assert one == two
