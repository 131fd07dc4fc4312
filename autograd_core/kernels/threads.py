"""numba's threading layer: which one, and the lock that the weakest of them needs.

OpenMP (`omp`) starts a parallel region in about 4 µs and takes concurrent calls from Python threads. `workqueue`
takes 90 µs and aborts the process on concurrent calls, so there parallel kernels go one at a time.

A thread that waits spins for 10,000 turns and then sleeps (GOMP_SPINCOUNT=10000, unless the user chose that or
OMP_WAIT_POLICY). Waking a sleeping one costs more than the pause between two kernels: resnet20's convolutions ran
1.05 to 1.31 times as fast on two cores as on one with threads that sleep at once, 1.42 to 1.53 with these, 1.47 to
1.68 with 300,000 turns, GNU OpenMP's own number. But with four other programs on the two cores those took five times
as long as one thread, for a spinning thread keeps the one it waits for off the core; these were within noise of
sleeping ones.

Fork. What was found with numba 0.68 and GNU OpenMP, whose threads numba starts at the first parallel function and
also at set_num_threads and get_num_threads:
- a child calls a parallel function: numba compares process numbers and ends it by SIGTERM, and a pool whose workers
  end so waits for ever;
- a child's child calls one: the check misses it, and it waits for threads that are not there;
- a child forked while another thread compiles, or holds a lock of ours: it waits for that lock for ever;
- workqueue and tbb: a child starts threads of its own.
So a child of a process that had started OpenMP's threads computes on one thread, with one warning, and never comes to
a parallel function; `forks.py` looks after the locks. A child of any other process has threads as usual. To compute on
several threads in several processes use multiprocessing's "spawn" or "forkserver".
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numba
from numba.core import config
from numba.np.ufunc import parallel

from autograd_core.kernels import forks

_lock = forks.lock()
_none: AbstractContextManager = nullcontext()
_region: list[AbstractContextManager] = []  # filled when the layer is known

if "OMP_WAIT_POLICY" not in os.environ:  # read when libgomp is loaded, at the first parallel kernel
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# numba's default order is tbb, omp, workqueue; a layer that the user chose (NUMBA_THREADING_LAYER) stays chosen.
if config.THREADING_LAYER == "default":
    config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


_number: list[int] = []  # what set_number was given last
_asked: list[Callable[[], int]] = []  # what numba asks for its own number once its threads are there


def set_number(n: int) -> None:
    """Run kernels on n threads, whichever Python thread calls them: numba's own number is each Python thread's."""
    if not forks.lost:
        numba.set_num_threads(n)
        _number[:] = [n]
    elif n == 1:
        _number[:] = [1]  # as is wanted: nothing to warn of


def number() -> int:
    """The threads that a kernel is run on at most."""
    if _number:
        return _number[0]
    if not _asked:  # numba's own way goes through two locks each time: 7 µs between two large products
        numba.get_num_threads()
        _asked.append(parallel._get_num_threads)  # pyright: ignore[reportAttributeAccessIssue]
    return _asked[0]()


def region() -> AbstractContextManager:
    """The context in which to call a parallel kernel: a lock on workqueue, nothing elsewhere."""
    if not _region:
        with _lock:
            # Starting the threads fixes the layer; until then numba.threading_layer() raises.
            parallel._launch_threads()
            _region.append(_lock if numba.threading_layer() == "workqueue" else _none)
    return _region[0]


def _in_child() -> None:
    _region.clear()
    _asked.clear()
    if forks.lost and _number != [1]:
        _number.clear()
        _asked.append(forks.one_thread)


forks.in_child(_in_child)
if forks.lost:
    _in_child()
