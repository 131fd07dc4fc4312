"""Children made by fork: they compute right on one thread where OpenMP ran before, and wait for no lost lock."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import warnings

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

OPERATIONS = """
import os, signal, sys, threading, time
import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor
import numpy as np
import autograd_core as ag
import nn

def sums():
    assert float(ag.sum(ag.ones((300, 300)))) == 90000
def threads():
    ag.set_num_threads(2)
def conv():
    y = ag.conv(ag.ones((8, 16, 32, 32)), ag.ones((16, 16, 3, 3)), padding=1)
    assert float(y[0, 0, 5, 5]) == 144
def step():
    f = ag.compile(lambda x: (x * 3 + 1).sum())
    assert [float(f(ag.ones((600, 600)))) for _ in range(3)] == [1440000] * 3
def train():
    model = nn.Sequential(nn.Dense(300, 300), nn.ReLU(), nn.Dense(300, 10))
    optimizer, losses = nn.SGD(model.parameters(), lr=0.001), []
    for _ in range(3):
        loss = nn.cross_entropy(model(ag.ones((256, 300))), np.zeros(256, np.int64))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[0] > losses[1] > losses[2] > 0
def nothing():
    pass
def everything():
    for work in (sums, threads, conv, step, train):
        work()
def task(i):
    everything()
    return i
def fork(work):
    "Whether a child that does this work ends well within a minute."
    child = os.fork()
    if not child:
        signal.alarm(60)
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
"""


def run(code, **environment):
    """Standard output of `code`, and how often it warned of one thread; it takes two minutes at most."""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", OPERATIONS + textwrap.dedent(code)], timeout=120, capture_output=True,
        text=True, env=os.environ | {"NUMBA_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": "omp"} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr.count("computes on one thread in this process")


BEFORE = ["sums", "threads", "conv", "step", "train"]


@pytest.mark.parametrize("before", BEFORE)
def test_a_child_works_after_os_fork_and_warns_once(before):
    out, warned = run(f"{before}(); fork(everything); {before}(); print('well')")
    assert (out, warned) == ("well\n", 1)


@pytest.mark.parametrize("before", BEFORE)
def test_pool_map_with_fork_ends(before):
    code = f"""
        {before}()
        with mp.get_context("fork").Pool(2) as pool:
            print(pool.map_async(task, range(4)).get(90))
    """
    assert run(code)[0] == "[0, 1, 2, 3]\n"


def test_a_process_pool_executor_with_fork_ends():
    code = """
        train()
        with ProcessPoolExecutor(2, mp_context=mp.get_context("fork")) as pool:
            print([*pool.map(task, range(4), timeout=90)])
    """
    assert run(code)[0] == "[0, 1, 2, 3]\n"


def test_a_child_of_a_child_works():
    assert run("sums(); fork(lambda: fork(everything)); print('well')") == ("well\n", 1)


def test_a_child_of_a_process_that_ran_no_threads_keeps_its_own():
    code = "fork(lambda: (everything(), print(ag.get_num_threads(), flush=True)))"
    assert run(code) == ("2\n", 0)


def test_a_child_of_a_process_on_one_thread_is_not_warned():
    code = "ag.set_num_threads(1); sums(); fork(lambda: (sums(), conv(), step())); print('well')"
    assert run(code) == ("well\n", 0)


def test_setting_threads_in_such_a_child_changes_nothing():
    code = """
        sums()
        def work():
            ag.set_num_threads(2)
            everything()
            print(ag.get_num_threads(), flush=True)
        fork(work)
    """
    assert run(code) == ("1\n", 1)


def test_another_threading_layer_starts_threads_of_its_own_in_a_child():
    code = "sums(); fork(lambda: (everything(), print(ag.get_num_threads(), flush=True)))"
    assert run(code, NUMBA_THREADING_LAYER="workqueue") == ("2\n", 0)


def test_a_child_works_where_the_user_s_own_parallel_function_ran():
    code = """
        import numba
        @numba.njit(parallel=True)
        def total(x):
            found = 0.0
            for i in numba.prange(x.size):
                found += x[i]
            return found
        total(np.ones(1000))
        fork(everything)
    """
    assert run(code) == ("", 1)


def test_a_fork_while_another_thread_compiles_waits_for_no_lock(tmp_path):
    """Over an empty cache: the other thread imports numba, then compiles, while the children compile too."""
    code = """
        def compiles():
            for k in range(4):
                f = ag.compile(lambda x: ((x * k + 1).tanh() * k).sum())
                f(ag.ones((100 + k, 50))), f(ag.ones((100 + k, 50)))
            sums()
        workers = [threading.Thread(target=compiles) for _ in range(2)]
        for worker in workers:
            worker.start()
        for _ in range(6):
            time.sleep(0.1)
            fork(lambda: (step(), sums()))
        for worker in workers:
            worker.join()
        print("well")
    """
    assert run(code, AUTOGRAD_CORE_CACHE=str(tmp_path), AUTOGRAD_CORE_AHEAD="0")[0] == "well\n"


def test_a_fork_while_other_threads_compute_waits_for_no_lock():
    code = """
        stop, rounds = [], []
        def busy():
            x, f = ag.ones((300, 300)), ag.compile(lambda x: (x * 2).sum())
            while not stop:
                ag.sum(x), f(x), ag.random.normal((30, 30)), x @ x
                rounds.append(True)
        workers = [threading.Thread(target=busy, daemon=True) for _ in range(2)]
        for worker in workers:
            worker.start()
        while len(rounds) < 10:  # all is imported and compiled
            time.sleep(0.05)
        for _ in range(8):
            fork(lambda: (sums(), step(), ag.random.normal((3, 3)), ag.ones((300, 300)) @ ag.ones((300, 300))))
        stop.append(True)
        for worker in workers:
            worker.join()
        print("well")
    """
    assert run(code)[0] == "well\n"


def test_a_child_adds_gradients_while_another_thread_of_the_parent_did():
    code = """
        from autograd_core.tensor import _adding
        w = ag.tensor([1.0], requires_grad=True)
        held, done = threading.Event(), threading.Event()
        def hold():
            with _adding:
                held.set()
                done.wait(100)
        worker = threading.Thread(target=hold)
        worker.start()
        assert held.wait(60)
        fork(lambda: (w * 3).sum().backward())
        done.set()
        worker.join()
        print("well")
    """
    assert run(code)[0] == "well\n"


def test_a_lock_that_another_thread_holds_is_free_in_the_child():
    import threading

    from autograd_core.kernels import forks

    lock, held, done = forks.lock(), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            done.wait(60)

    worker = threading.Thread(target=hold)
    worker.start()
    held.wait(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on: threads and fork
        child = os.fork()
    if not child:
        os._exit(0 if lock.acquire(timeout=10) else 1)
    done.set()
    worker.join()
    assert os.waitpid(child, 0)[1] == 0
