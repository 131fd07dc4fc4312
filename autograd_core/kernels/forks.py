"""What a process that `os.fork` made (multiprocessing's start method "fork") takes over from its parent.

Locks. A child has only the thread that called fork. A lock that another thread held stays locked in it for ever, and
LLVM's data may be half written. So a fork waits until no thread imports numba or compiles, and every lock made by
`lock()` is free in the child. Python's logging, which numba uses, holds its lock during a fork as well: it is imported
here first, so that it takes that lock after our wait.

OpenMP. GNU OpenMP cannot be used in a child whose parent has started its threads: numba ends the child by SIGTERM at
its first parallel loop, and a child's child hangs. Such a child computes on one thread (`lost` is True there), and
says so once, when it would first have used several. numba's other layers, workqueue and tbb, start new threads.

This module imports no numba, so that it can be registered when `autograd_core` is imported.
"""

from __future__ import annotations

import logging  # noqa: F401 (registered before the hooks below, for the one registered last runs first)
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any
from weakref import WeakSet

PATIENCE = 60.0  # seconds that a fork waits at most for other threads' compilation
PACKAGES = ("autograd_core", "nn", "numba", "llvmlite", "numpy", "scipy", "threadpoolctl")

lost = False  # this process was forked, and its parent had started OpenMP's threads
compiling = threading.RLock()  # held while a kernel is compiled: always taken before numba's own locks
_locks: WeakSet[Any] = WeakSet()
_held: list[Any] = []  # during a fork: the locks that were taken before it
_missed: list[Any] = []  # during a fork: the locks that could not be taken
_told = False


def lock() -> Any:
    """A re-entrant lock that is free in a forked child, unless the thread that forks holds it itself."""
    made = threading.RLock()
    _locks.add(made)
    return made


def one_thread() -> int:
    """1: the number of threads in a child that has lost OpenMP's. Warns at the first call."""
    global _told
    if not _told:
        _told = True
        warnings.warn(
            "autograd-core computes on one thread in this process: it was forked from one that had started OpenMP's "
            "threads, which cannot be used after a fork. To compute on several threads, start processes with "
            'multiprocessing.get_context("spawn")',
            RuntimeWarning,
            stacklevel=3,
        )
    return 1


def _numba_locks() -> list[Any]:
    """The locks under which numba and LLVM compile and start threads, in the order in which numba takes them."""
    found = []
    for module, path in (
        ("numba.core.compiler_lock", "global_compiler_lock._lock"),
        ("numba.np.ufunc.parallel", "_backend_init_thread_lock"),
        ("llvmlite.binding.ffi", "lib._lock._lock"),
    ):
        each: Any = sys.modules.get(module)
        for name in path.split("."):
            each = getattr(each, name, None)
        if each is not None:
            found.append(each)
    return found


def _unfinished() -> set[str]:
    """The modules of PACKAGES that some thread is in the middle of importing: a child could not import them."""
    return {
        name
        for name, module in [*sys.modules.items()]
        if name.partition(".")[0] in PACKAGES
        and getattr(getattr(module, "__spec__", None), "_initializing", False)
    }


def _before() -> None:
    until = time.monotonic() + PATIENCE
    waited: set[str] = set()
    while True:
        while unfinished := _unfinished() - waited:
            waited |= unfinished  # once each: this thread may be importing it itself
            for name in unfinished:
                with suppress(Exception):
                    import_module(name)  # Python waits here for the thread that imports it
        for each in (compiling, *_numba_locks()):
            taken = each.acquire(timeout=max(0.0, until - time.monotonic()))
            (_held if taken else _missed).append(each)
        if not _unfinished() - waited or time.monotonic() > until:
            return
        _after()  # an import that began meanwhile may want to compile


def _after() -> None:
    while _held:
        _held.pop().release()
    _missed.clear()


def _in_child() -> None:
    global lost, _told
    missed = [*_missed]
    _after()
    for each in (*missed, *_locks):
        if not each._is_owned():
            each._at_fork_reinit()
    parallel: Any = sys.modules.get("numba.np.ufunc.parallel")
    layer = getattr(parallel, "_threading_layer", None)
    if layer == "omp" or (layer is None and getattr(parallel, "_backend_init_thread_lock", None) in missed):
        lost = True
    _told = False


def in_child(call: Callable[[], None]) -> None:
    """Call this in every forked child, after locks and `lost` have been set."""
    if hasattr(os, "fork"):
        os.register_at_fork(after_in_child=call)


if hasattr(os, "fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
