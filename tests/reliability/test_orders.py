"""Processes that fill one kernel cache one after the other, in orders that crashed and in others like them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

MATMUL = "import autograd_core as ag; print((ag.ones((160, 32)) @ ag.ones((32, 256))).numpy().sum())"
DENSE = "import autograd_core as ag, nn; print(nn.Dense(32, 256)(ag.ones((160, 32))).shape)"
ROW = """
import numpy as np, autograd_core as ag
print((ag.tensor(np.ones((512, 1024), "f4")) + ag.tensor(np.ones(1024, "f4"))).numpy().sum())
"""
CONV = (
    "import autograd_core as ag; print(ag.conv(ag.ones((1, 1, 3, 3)), ag.ones((1, 1, 2, 2))).numpy().sum())"
)


def run(code, cache):
    """The exit status and the standard output of `code` in a process over this cache."""
    environment = os.environ | {
        "AUTOGRAD_CORE_CACHE": str(cache), "AUTOGRAD_CORE_AHEAD": "0", "NUMBA_NUM_THREADS": "2",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=600
    )
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [(MATMUL, DENSE, "(160, 256)\n"), (ROW, CONV, "16.0\n")],
    ids=["dense", "conv"],
)
def test_two_processes_that_fill_the_cache_do_not_crash_the_third(tmp_path, first, second, wanted):
    assert run(first, tmp_path)[0] == 0
    assert [run(second, tmp_path) for _ in range(3)] == [(0, wanted)] * 3


def test_no_compiled_function_is_linked_with_a_parallel_one():
    """What is linked with a parallel function, and loaded from disk, needs the threading layer before it runs."""
    from autograd_core.kernels import launch, prepared, replay

    for function in (replay.run, prepared._run):
        names = {*function.py_func.__code__.co_names}
        assert "share" in names
        assert not any(
            getattr(function.py_func.__globals__.get(name), "targetoptions", {}).get("parallel")
            for name in names
        )
    assert launch.sharing() == launch.sharing() != 0


def test_an_old_cache_is_not_read(tmp_path):
    """Entries lie in a folder that is named by the sources and by the entries' format."""
    from autograd_core.kernels import jit

    before = jit.cache_key.__wrapped__()
    jit.FORMAT += 1
    try:
        assert jit.cache_key.__wrapped__() != before
    finally:
        jit.FORMAT -= 1
    old = tmp_path / "3f1b07e24d6c58a9b0e2c714"
    old.mkdir(mode=0o700)
    assert run(MATMUL, tmp_path)[0] == 0
    (new,) = (folder for folder in tmp_path.iterdir() if folder != old)
    for entry in new.iterdir():
        (old / entry.name).write_bytes(b"poison")
    assert run(MATMUL, tmp_path) == (0, "1.31072e+06\n")
    assert {entry.read_bytes() for entry in old.iterdir()} == {b"poison"}


@pytest.mark.slow
def test_a_dozen_orders_of_processes_compute_right_over_one_cache():
    from tools.hostile.orders import parsed, tried

    orders = (
        "matmul:2,dense:2", "row:2,conv:2", "sum:2,compiled:2", "compiled:1,sum:2", "warmup:2,random:2",
        "random:1,pool:2",
        "sum:2,softmax:1", "sum:2,matmul:2,dense:1", "compiled:1,compiled:2,sum:2", "row:2,dense:2,conv:1",
        "warmup:2,row:1,matmul:2", "random:1,random:2,softmax:2",
    )  # fmt: skip
    assert tried([parsed(order) for order in orders]).failed == {}
