"""Freed memory stays with the process, so that large temporary arrays are reused instead of faulted in at every step.

glibc gives a freed array back to the operating system when it had a mapping of its own (above 128 KB at first, always
above 32 MB), and the heap's end when more than 128 KB are free there. The next step's arrays then fault in page after
page. `reuse()` sets three of glibc's parameters (mallopt(3)): arrays come from the heap, where freed neighbours join
and any size can use them again; the heap's end is kept; and all threads have the one heap, since the others' are
pieces of 64 MB that are unmapped when empty. Medians on two shared cores, the first three lines NumPy alone:

    an addition with a fresh 64 MB result           16.2 → 10.3 ms
    50 additions with fresh 200 KB results           8.5 →  0.6 ms (0.8 where chance keeps the heap's end)
    30 operations with fresh 8 MB results             60 →   33 ms
    resnet20's convolutions, a step of batch 512     4.7 →  3.7 s, 44,000 → 400 page faults, peak 968 → 977 MB

Two steps that glibc happens to serve well, examples/mnist.py and resnet20 at batch 128, take the time they took.

The bound: free memory at the heap's end is at most a quarter of the machine's, and at most 2 GB; what is more goes
back at once. Free memory below live arrays is kept, for all of the process to use, until `release()`.

A memory handler of NumPy's own kind (NEP 49: size classes of blocks aligned to 64 bytes, compiled by numba) was built
first and is not faster: there are no page faults left to save, and the alignment changes no time. And classes cannot
use each other's blocks: resnet20's peak was 11 % higher, or else blocks came and went with 14,000 faults a step.

AUTOGRAD_CORE_POOL=0 in the environment leaves glibc as it is, and so does the user's own choice there (MALLOC_MMAP_MAX_
and the like, GLIBC_TUNABLES). Other C libraries have no such parameters: they are left alone too.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any, NamedTuple

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # <malloc.h>
MOST = 2**31 - 1  # mallopt takes a C int
_CHOOSING = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")

_on = False


class Statistics(NamedTuple):
    """The process's memory, in bytes; 0 where the system does not tell."""

    on: bool  # freed memory is kept
    live: int  # what malloc has given out and not got back: arrays above all (needs glibc 2.33)
    kept: int  # what malloc has got back and can give out again (needs glibc 2.33)
    resident: int  # of the process's memory, what is in the machine's
    peak: int  # the most that was resident since the start or reset_peak()
    faults: int  # pages that the system had to find since the start: the count, not bytes


class _Mallinfo2(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    )


def reuse(limit: int | None = None) -> bool:
    """Keep freed memory from now on, in the whole process; whether that is so. The engine calls it when imported.

    limit: the most bytes to keep at the heap's end, up to 2 GB (a quarter of the machine's memory).
    """
    global _on
    if not _chosen() and (mallopt := getattr(_library(), "mallopt", None)):
        if limit is None:
            limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
        done = [mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, min(limit, MOST)), mallopt(M_ARENA_MAX, 1)]
        _on = all(done)
    return _on


def release() -> int:
    """Give all free memory back to the system; by how many bytes less is resident."""
    before = _resident("VmRSS")
    if trim := getattr(_library(), "malloc_trim", None):
        trim(0)
    return max(0, before - _resident("VmRSS"))


def statistics() -> Statistics:
    """What there is now. Takes about 0.1 ms, and longer when free memory is in many pieces."""
    live = kept = faults = 0
    if mallinfo := getattr(_library(), "mallinfo2", None):
        mallinfo.restype = _Mallinfo2
        info: Any = mallinfo()
        live, kept = info.uordblks + info.hblkhd, info.fordblks
    if sys.platform != "win32":
        import resource

        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    return Statistics(_on, live, kept, _resident("VmRSS"), _resident("VmHWM"), faults)


def reset_peak() -> None:
    """Take the peak from now on, where the system can (proc(5), clear_refs); elsewhere nothing happens."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def _chosen() -> bool:
    """Whether the user has decided this already."""
    return (
        os.environ.get("AUTOGRAD_CORE_POOL") == "0"
        or any(name in os.environ for name in _CHOOSING)
        or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    )


@cache
def _library() -> Any:
    """The C library that this process runs on, on Linux; elsewhere something without any of its functions."""
    return ctypes.CDLL(None) if sys.platform == "linux" else object()


def _resident(what: str) -> int:
    """A line of /proc/self/status, in bytes."""
    try:
        with open("/proc/self/status") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith(what)), 0)
    except OSError:
        return 0
