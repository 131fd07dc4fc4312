"""How many threads the engine computes on: numba's and the BLAS library's together."""

import os

_chosen = False
_CHOOSING = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def _limit_blas(n: int) -> None:
    """Set the threads of every BLAS library that is loaded by now (NumPy's, and SciPy's own); takes 10 ms."""
    from threadpoolctl import ThreadpoolController

    ThreadpoolController().limit(limits=n, user_api="blas")


def set_num_threads(n: int) -> None:
    """Compute on n threads from now on. Raises ValueError below 1 or above what numba started with.

    >>> import autograd_core as ag
    >>> before = ag.get_num_threads()
    >>> ag.set_num_threads(1)
    >>> ag.get_num_threads()
    1
    >>> ag.set_num_threads(before)
    """
    import numba
    from numba.core import config

    most: int = config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue]
    if not 1 <= n <= most:
        raise ValueError(
            f"set_num_threads: {n} is not between 1 and {most}, the number of cores (NUMBA_NUM_THREADS)"
        )
    numba.set_num_threads(n)
    _limit_blas(n)
    global _chosen
    _chosen = True


def leave_cores_to_kernels() -> None:
    """From the first convolution on, matrix products run on one thread, unless somebody has chosen otherwise.

    BLAS threads go on spinning for a while after each product, on the cores that the convolution's threads need:
    examples/mnist.py trains on 960 images a second with them and on 1,290 without (two cores). `set_num_threads` and
    the environment's OPENBLAS_NUM_THREADS and the like are such a choice.
    """
    if not _chosen and not any(name in os.environ for name in _CHOOSING):
        _limit_blas(1)


def get_num_threads() -> int:
    """The number of threads that kernels compute on."""
    import numba

    return numba.get_num_threads()
