"""What `import autograd_core, nn` brings in, and how threads are set."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import autograd_core as ag

HEAVY = ("numba", "llvmlite", "scipy", "matplotlib", "graphviz", "safetensors", "tqdm", "threadpoolctl")


def test_heavy_packages_are_imported_when_they_are_first_needed():
    code = f"import autograd_core, nn, sys; print([m for m in {HEAVY} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_one_call_sets_the_threads_of_kernels_and_matrix_products():
    from threadpoolctl import ThreadpoolController

    before = ag.get_num_threads()
    try:
        ag.set_num_threads(1)
        blas = ThreadpoolController().select(user_api="blas").info()
        assert ag.get_num_threads() == 1
        assert [library["num_threads"] for library in blas] == [1] * len(blas)
    finally:
        ag.set_num_threads(before)


@pytest.mark.parametrize("n", [0, -1, 10_000])
def test_a_number_of_threads_that_cannot_be_is_refused(n):
    with pytest.raises(ValueError, match="set_num_threads"):
        ag.set_num_threads(n)


def test_sizes_that_overflow_are_an_error_not_a_small_array():
    with pytest.raises((ValueError, MemoryError)):
        ag.zeros((2**40, 2**40))
    with pytest.raises((ValueError, MemoryError)):
        ag.broadcast_to(ag.ones(1), (2**40, 2**40)) + np.ones(1)


@pytest.mark.parametrize("chosen", ["", "ag.set_num_threads(2)"])
def test_the_first_convolution_keeps_blas_at_one_thread(chosen):
    code = f"""
        import autograd_core as ag
        {chosen}
        ag.conv(ag.ones((1, 1, 4, 4)), ag.ones((1, 1, 3, 3)))
        from threadpoolctl import ThreadpoolController
        libraries = ThreadpoolController().select(user_api="blas").info()
        print(*{{one["num_threads"] for one in libraries if "scipy.libs" not in one["filepath"]}})  # NumPy's own
    """
    environment = {n: v for n, v in os.environ.items() if not n.endswith("_NUM_THREADS")} | {
        "NUMBA_NUM_THREADS": "2"
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment
    )
    # On stderr it may say that kernels are being compiled.
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
