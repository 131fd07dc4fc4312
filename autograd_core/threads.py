"""How many threads the engine computes on: numba's and the BLAS library's together."""

from typing import Any

_blas: Any = None
_limits: Any = None


def _controller() -> Any:
    """threadpoolctl's handle on the BLAS library, looked up once (30 ms)."""
    global _blas
    if _blas is None:
        from threadpoolctl import ThreadpoolController

        _blas = ThreadpoolController()
    return _blas


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
    global _limits
    _limits = _controller().limit(limits=n, user_api="blas")


def get_num_threads() -> int:
    """The number of threads that kernels compute on."""
    import numba

    return numba.get_num_threads()
