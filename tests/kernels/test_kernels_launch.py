"""What a kernel is given, and how its tasks run: every kind of argument, any number of tasks and threads."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading

import numba
import numpy as np
import pytest
from kernels.test_kernels_jit import ROOT, run

from autograd_core.kernels import launch
from autograd_core.kernels.launch import Bytes, Constants, Floats, Ints, kernel


@kernel
def blend(
    task: int, x: Floats, places: Ints, signs: Bytes, out: Floats, block: int, factor: float, shifts: Ints, last: float
) -> None:  # fmt: skip
    """out[i] = ±(factor · x[places[i]] + shifts[0] + last), with a minus where signs[i]."""
    for i in range(task * block, min((task + 1) * block, out.size)):
        value = factor * x[places[i]] + shifts[0] + last
        out[i] = -value if signs[i] else value


@kernel
def count(task: int, times: Ints) -> None:
    times[task] += 1


def case(size, dtype):
    """Arguments of `blend` whose results are exact in either dtype, and the result."""
    rng = np.random.default_rng(size)
    x, places = rng.integers(-99, 99, size).astype(dtype), rng.permutation(size)
    signs, shifts = rng.integers(0, 2, size).astype(np.uint8), np.array([7])
    wanted = np.where(signs, -1, 1) * (0.25 * x[places] + 7 - 2.5)
    return (x, places, signs), (0.25, shifts, -2.5), wanted.astype(dtype)


@pytest.fixture
def two_threads():
    """Kernels run on two threads, where the machine has them."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    yield
    numba.set_num_threads(before)


def at_once(*jobs):
    """Call all jobs at the same time, each on a thread of its own."""
    gate, errors = threading.Barrier(len(jobs)), []

    def start(job):
        gate.wait()
        try:
            job()
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=start, args=(job,)) for job in jobs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors


@pytest.mark.parametrize("serial", [True, False])
@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arguments_of_every_kind_arrive(dtype, block, serial, two_threads):
    arrays, rest, wanted = case(1000, dtype)
    out = np.full(1000, np.nan, dtype)
    blend(*arrays, out, block, *rest, tasks=-(-1000 // block), serial=serial)
    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("serial", [True, False])
def test_no_task_is_no_work(serial, two_threads):
    arrays, rest, _ = case(10, np.float32)
    out = np.full(10, 3, np.float32)
    blend(*arrays, out, 5, *rest, tasks=0, serial=serial)
    np.testing.assert_array_equal(out, 3)


@pytest.mark.parametrize("serial", [True, False])
def test_every_task_runs_once(serial, two_threads):
    times = np.zeros(5000, np.int64)
    for _ in range(20):
        count(times, tasks=times.size, serial=serial)
    np.testing.assert_array_equal(times, 20)


def test_constants_are_the_same_as_arguments_and_stay_alive():
    arrays, rest, wanted = case(100, np.float32)
    constants = Constants(
        blend, *(value.copy() if isinstance(value, np.ndarray) else value for value in rest)
    )
    gc.collect()
    other = [np.full(1, 99) for _ in range(1000)]  # would take the place of an array that is gone
    for _ in range(2):
        out = np.empty_like(wanted)
        blend(*arrays, out, 30, constants, tasks=4)
        np.testing.assert_array_equal(out, wanted)
    assert len(other) == 1000


def test_read_only_arrays_are_read():
    arrays, rest, wanted = case(50, np.float64)
    for array in arrays:
        array.flags.writeable = False
    out = np.empty_like(wanted)
    blend(*arrays, out, 50, *rest, tasks=1)
    np.testing.assert_array_equal(out, wanted)


def test_empty_arrays_are_read(two_threads):
    arrays, rest, wanted = case(0, np.float32)
    for tasks in (1, 3):
        blend(*arrays, wanted, 8, *rest, tasks=tasks)


def test_a_whole_number_that_does_not_fit_is_refused():
    arrays, rest, wanted = case(5, np.float32)
    with pytest.raises(OverflowError):
        blend(*arrays, wanted, 1 << 63, *rest, tasks=1)


def test_python_threads_call_the_same_and_other_kernels_at_once(two_threads):
    cases = [case(size, dtype) for size in (1000, 4096) for dtype in (np.float32, np.float64)]
    outs = [np.full_like(wanted, np.nan) for _, _, wanted in cases]
    times = [np.zeros(300, np.int64) for _ in range(2)]

    def blending(i):
        (arrays, rest, _), out = cases[i], outs[i]
        for _ in range(50):
            blend(*arrays, out, 64, *rest, tasks=-(-out.size // 64))

    def counting(i):
        for _ in range(50):
            count(times[i], tasks=300)

    at_once(*(lambda i=i: blending(i) for i in range(4)), *(lambda i=i: counting(i) for i in range(2)))
    for (_, _, wanted), out in zip(cases, outs, strict=True):
        np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(times, 50)


def test_threads_that_call_a_kernel_first_compile_it_once(monkeypatch):
    monkeypatch.setattr(launch, "registry", [])
    compiled, compile_one = [], launch._compile
    monkeypatch.setattr(launch, "_compile", lambda *given: compiled.append(given) or compile_one(*given))
    made, outs = kernel(blend.function), []
    arrays, rest, wanted = case(64, np.float32)

    def work():
        out = np.empty_like(wanted)
        made(*arrays, out, 16, *rest, tasks=4, serial=True)
        outs.append(out)

    at_once(*[work] * 4)
    assert len(compiled) == 1
    np.testing.assert_array_equal(outs, [wanted] * 4)


MODULE = """
    from __future__ import annotations
    from autograd_core.kernels.launch import Floats, kernel

    @kernel
    def fill(task: int, out: Floats) -> None:
        out[task] = 1
"""
CALL = """
    import numpy as np, made
    out = np.zeros(2)
    made.fill(out, tasks=2)
    print(out.tolist(), [entry.cache_hits for entry in made.fill.compiled.values()])
"""


def test_a_kernel_outside_the_package_is_kept_until_its_file_changes(tmp_path):
    env = {
        "AUTOGRAD_CORE_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    (tmp_path / "made.py").write_text(textwrap.dedent(MODULE))
    assert run(CALL, **env) == ("[1.0, 1.0] [0]\n", "")
    assert run(CALL, **env) == ("[1.0, 1.0] [1]\n", "")
    (tmp_path / "made.py").write_text(textwrap.dedent(MODULE).replace("= 1", "= 2"))
    assert run(CALL, **env) == ("[2.0, 2.0] [0]\n", "")


CHECKED = """
    from __future__ import annotations
    import numpy as np
    import pytest
    from autograd_core.kernels.launch import Floats, kernel

    @kernel
    def next_one(task: int, x: Floats, out: Floats) -> None:
        out[task] = x[task + 1]

    @pytest.mark.parametrize("serial", [True, False])
    def test_behind_the_end(serial):
        next_one(np.ones(9)[:8], np.zeros(8), tasks=8, serial=serial)
"""


@pytest.mark.parametrize(("check", "outcome"), [("0", "2 passed"), ("1", "2 failed")])
def test_an_index_out_of_bounds_fails_the_test_when_bounds_are_checked(tmp_path, check, outcome):
    """A kernel cannot raise; numba reports the error as unraisable, which pytest turns into a failure."""
    (tmp_path / "test_checked.py").write_text(textwrap.dedent(CHECKED))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "-p", "no:cacheprovider", "test_checked.py"],
        env={**os.environ, "NUMBA_BOUNDSCHECK": check, "NUMBA_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert outcome in done.stdout, done.stdout + done.stderr
    assert ("IndexError" in done.stdout) == (check == "1")
