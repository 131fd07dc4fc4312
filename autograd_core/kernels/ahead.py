"""Compiling in two processes, for numba compiles on one thread of each.

When a first convolution has to be compiled, a worker process is started. It compiles the kernels that a training step
asks for after that one, puts them into the cache on disk, and ends. A kernel that one process is compiling is claimed:
the other waits for it, or takes the next. AUTOGRAD_CORE_AHEAD=0 says that there shall be no worker; on one core, or
where no files can be locked or kept, there is none.
"""

from __future__ import annotations

import atexit
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from autograd_core.kernels.store import Store

fcntl: Any = None
with suppress(ImportError):  # Windows has none
    import fcntl

# The modules whose kernels a first convolution begins with, and what a training step asks for after them, in the order
# in which the worker shall take them: what comes first is compiled while the worker still imports numba.
FIRST = ("conv_pack", "conv_inplace", "winograd", "winograd_tiles", "conv_tile_weight", "conv_columns")
FOLLOWING = (
    "winograd_tiles.convolve", "winograd_tiles.sum_chunks", "conv_tile_weight.sum_chunks", "winograd.filter_points",
    "conv_tile_weight.add_chunks", "conv_inplace.convolve", "winograd.sum_chunks",
)  # fmt: skip
PATIENCE = 60.0  # seconds; a process that holds a claim for longer hangs

_worker: list[subprocess.Popen] = []
_patience = [PATIENCE]


class Claimed(Exception):
    """Another process is compiling this kernel."""


class Claim:
    """The right to compile one entry of the cache, held by one process of this machine and let go when that ends."""

    def __init__(self, store: Store, entry: str) -> None:
        self.waited = False
        self.store, self.name = store, entry.removesuffix(".nbc") + ".lock"
        self.file: IO[bytes] | None = None
        if fcntl is None:
            return
        with suppress(OSError):  # a file system without locks: then two processes may compile the same
            self.file = store.lock_file(self.name)
            if self.file is not None:
                self._wait(self.file)

    def _wait(self, file: IO[bytes]) -> None:
        until = time.monotonic() + _patience[0]
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    break
                self.waited = True
                time.sleep(0.005)
        file.close()
        self.file = None
        if not _patience[0]:
            raise Claimed

    def release(self) -> None:
        """Let others have it; the entry is in its place by now."""
        if self.file is not None:
            self.store.remove(self.name)
            self.file.close()
            self.file = None


def begin(module: str, dtype: str, store: Store) -> None:
    """Start the worker, once in a process, if that module's kernels are convolution's."""
    if _worker or not _wanted() or module.rpartition(".")[2] not in FIRST or not store.writable():
        return
    command = f"from autograd_core.kernels.ahead import work; work({dtype!r}, {FOLLOWING!r})"
    environment = {"AUTOGRAD_CORE_AHEAD": "0", "AUTOGRAD_CORE_CACHE": str(store.root)}
    with suppress(OSError):
        _worker.append(subprocess.Popen(
            [sys.executable, "-c", command], cwd=Path(__file__).parents[2], env=os.environ | environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ))  # fmt: skip
        atexit.register(_stop, os.getpid())


def _wanted() -> bool:
    python = bool(sys.executable) and not hasattr(sys, "frozen")
    return fcntl is not None and python and cores() > 1 and os.environ.get("AUTOGRAD_CORE_AHEAD") != "0"


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _stop(process: int) -> None:
    """A worker does not outlive its process; a forked child that ends does not end its parent's."""
    if os.getpid() == process:
        _worker[0].kill()
        _worker[0].wait()


def work(dtype: str, names: Sequence[str]) -> None:
    """The worker: compile these kernels, as long as its parent lives."""
    parent = os.getppid()
    _patience[0] = 0.0
    for name in names:
        module, kernel = name.split(".")
        if os.getppid() != parent:
            return
        with suppress(Claimed):
            getattr(importlib.import_module(f"autograd_core.kernels.{module}"), kernel).compile(dtype)
