"""How many threads the engine computes on: one number for its kernels and for its matrix products.

Work is cut by shapes alone and every piece runs on one thread, so results have the same bits on any number of threads.
For matrix products that means: BLAS itself, which would cut a product by the number of threads and round differently
for each cut, is kept at one thread, and large products are given to it block by block (ops/matmul.py).
"""

import itertools
import operator
import os
from collections.abc import Callable
from functools import cache, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from autograd_core.kernels import forks

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_P = ParamSpec("_P")
_T = TypeVar("_T")

_chosen: int | None = None
_counted: list[
    Callable[[], int]
] = []  # what counts the threads where none were chosen: `_cores`, unless forked


@cache
def _cores() -> int:
    """What numba starts with: NUMBA_NUM_THREADS, or the cores that this process may use.

    Asked once: the system's answer takes a microsecond, and every compiled program and product wants to know.
    """
    if given := os.environ.get("NUMBA_NUM_THREADS", ""):
        return max(1, int(given))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Compute on n threads from now on. Raises ValueError below 1 or above what numba started with.

    In a forked child whose parent had started OpenMP's threads the number stays 1 (kernels/threads.py says why).

    NumPy's own products, outside the engine, are on one thread from the engine's first convolution or large product on.

    >>> import autograd_core as ag
    >>> before = ag.get_num_threads()
    >>> ag.set_num_threads(1)
    >>> ag.get_num_threads()
    1
    >>> ag.set_num_threads(before)
    """
    from numba.core import config

    most: int = config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue]
    n = operator.index(n)
    if not 1 <= n <= most:
        raise ValueError(
            f"set_num_threads: {n} is not between 1 and {most}, the number of cores (NUMBA_NUM_THREADS)"
        )
    from autograd_core.kernels import threads as kernel_threads

    kernel_threads.set_number(n)
    one_blas_thread()
    global _chosen
    if not forks.lost or n == 1:
        _chosen = n


def get_num_threads() -> int:
    """The number of threads that the engine computes on."""
    return _chosen or _counted[0]()


@cache
def one_blas_thread() -> None:
    """Keep every BLAS library that is loaded by now (NumPy's, SciPy's own) at one thread; takes 10 ms, once.

    Besides the bits this is for speed: BLAS threads go on spinning for a while after each product, on the cores that
    the kernels need. examples/mnist.py trained on 960 images a second with them and on 1,290 without (two cores).
    """
    from threadpoolctl import ThreadpoolController

    ThreadpoolController().limit(limits=1, user_api="blas")


def on_one_blas_thread(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """The function, computed as `one_blas_thread` says: for what NumPy hands to BLAS and LAPACK in one piece."""

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        one_blas_thread()
        return function(*args, **kwargs)

    return run


def run_blocks(block: Callable[[int], None], count: int) -> None:
    """block(0) … block(count − 1), each on whichever thread is free; NumPy lets the others run while it computes."""
    threads = min(count, get_num_threads())
    numbers = iter(range(count)) if threads == 1 else itertools.count()

    def work() -> None:
        while (i := next(numbers, count)) < count:
            block(i)

    from concurrent.futures import wait

    try:
        others = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    except RuntimeError:  # Python is ending, and starts no more threads
        others = []
    try:
        work()
    finally:
        wait(others)
    for other in others:
        other.result()


@cache
def _pool(size: int) -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(size, thread_name_prefix="autograd-core")


def _in_child() -> None:
    """A forked child has none of its parent's threads; one that has lost OpenMP's computes on one thread (`forks`)."""
    global _chosen
    _pool.cache_clear()
    if forks.lost and get_num_threads() > 1:
        _chosen, _counted[:] = None, [forks.one_thread]


_counted.append(_cores)
forks.in_child(_in_child)
