"""Functions of kernels alone, recorded: a call like an earlier one runs its kernels without its Python.

    @recorded
    def conv_forward(x, w, bias=None, *, stride, padding, dilation, groups): ...

What a convolution launches depends on shapes, dtypes and settings alone. So the first call of a kind is taken down as
the compiler does it (`transcript.py`), and those that follow put in the addresses of their arrays: 7–22 µs with the
work of a small convolution, instead of 18–59; more in a training step, where Python finds the caches emptied.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import forks, threads
from autograd_core.kernels.checks import ready
from autograd_core.kernels.launch import LINE, Trace, address_of, sharing, traced, tracing
from autograd_core.kernels.replay import FIELDS, run
from autograd_core.kernels.transcript import Memory, OutsideKernels, taken_down

MOST = 512  # kinds of call that are kept for each function
_known: dict[str, dict[Any, Any]] = {}  # recordings by function, by kind of call; None: it cannot be recorded
_changing = forks.lock()  # held while what is known changes
_UNKNOWN = object()

Function = TypeVar("Function", bound=Callable[..., Any])


def recorded(function: Function) -> Function:
    """The function, given ndarrays (or None) by position and settings by keyword, with its calls recorded.

    It does all its work in kernels, as `launch.Trace` says, and gives new ndarrays (or None): one, or a tuple of them.
    """
    known = _known[f"{function.__module__}.{function.__qualname__}"] = {}

    @wraps(function)
    def call(*arrays: Any, **settings: Any) -> Any:
        if tracing():  # what is launched is to be taken down for another program
            return function(*arrays, **settings)
        kind = (*[(a.dtype, a.shape) if type(a) is np.ndarray else a for a in arrays], *settings.items())
        try:
            recording = known.get(kind, _UNKNOWN)
        except TypeError:  # something without a hash, such as a list
            recording = None
        if recording is _UNKNOWN:
            recording = _first(function, known, kind, arrays, settings)
        if recording is None or (given := recording(arrays)) is None:
            return function(*arrays, **settings)
        return given

    return cast(Function, call)


def forget() -> None:
    """Record all calls anew, as when another method is to be taken for the same arrays."""
    with _changing:
        for known in _known.values():
            known.clear()


def _first(
    function: Callable[..., Any], known: dict[Any, Any], kind: Any, arrays: Any, settings: Any
) -> Recording | None:
    """The recording of a kind of call that is seen for the first time; None where it must go on as it is."""
    if not all(a is None or (type(a) is np.ndarray and a.dtype.isnative) for a in arrays):
        return None
    # Other arrays stand in for the given ones, of which one may be part of another.
    apart = [None if a is None else np.empty(a.shape, a.dtype) for a in arrays]
    with traced() as trace:
        results = function(*apart, **settings)
    try:
        recording = Recording(apart, results, trace)
    except OutsideKernels:
        recording = None
    with _changing:
        if len(known) >= MOST:
            known.pop(next(iter(known)))
        known[kind] = recording
    return recording


class Recording:
    """What a call launched, as words: rows for `replay.run`, and argument blocks.

    Row 0 is no kernel's: its first word is where checks write. `places` are the words that hold addresses, `owners`
    says of what (arguments, results, scratch memory, or the words), and `further` how many bytes from its begin.
    """

    def __init__(self, arrays: list[npt.NDArray | None], results: Any, trace: Trace) -> None:
        self.several = type(results) is tuple
        gives: tuple[npt.NDArray | None, ...] = results if self.several else (results,)
        self.results = [None if each is None else (each.shape, each.dtype) for each in gives]
        ends = [*arrays, *gives]
        launches, self.kept, self.room = _launches(ends, trace)
        if not launches or not all(each is None or each.flags.c_contiguous for each in gives):
            raise OutsideKernels
        self.rows = 1 + len(launches)
        rows, blocks, places = [0] * FIELDS, [], []
        for launch in launches:
            block = FIELDS * self.rows + len(blocks)
            places.append((len(rows) + 1, len(ends) + 1, 8 * block))
            places += [(block + word, owner, start + more) for word, (owner, start), more in launch.stretches]
            rows += (launch.address, 0, launch.tasks)
            blocks += launch.block
        self.words = np.array(rows + blocks, np.int64)
        self.places, self.owners, self.further = np.array(places, np.int64).T.copy()
        self.alone = max(launch.tasks for launch in launches) <= 1

    def __call__(self, arrays: tuple[npt.NDArray | None, ...]) -> Any:
        """The results for other arrays of the same shapes and dtypes; None where a check fails."""
        results = [None if each is None else np.empty(*each) for each in self.results]
        room, words = np.empty(self.room, np.uint8), self.words.copy()
        given = [None if each is None else ready(each) for each in arrays]  # what is copied must stay
        addresses = [0 if each is None else address_of(each) for each in (*given, *results, room, words)]
        addresses[-2] += -addresses[-2] % LINE
        words[self.places] = np.array(addresses, np.int64)[self.owners] + self.further
        if self.alone or (count := threads.number()) == 1:
            done = run(words, 1, self.rows, 1, 0, words)
        else:
            together = sharing()
            with threads.region():
                done = run(words, 1, self.rows, count, together, words)
        if done < self.rows:
            return None
        return tuple(results) if self.several else results[0]


def _launches(ends: list[npt.NDArray | None], trace: Trace) -> tuple[Any, list[Any], int]:
    """What was launched, what must be kept, and the bytes of scratch memory; `ends` are arguments and results.

    An owner is a number and where its memory begins there: the ends', then that of all scratch, then the words'.
    """
    memory, size = Memory(), 0
    for number, each in enumerate(ends):
        if each is not None:
            memory.know(each, (number, 0))
    for each in trace.scratch:
        if memory.find(each) is None:  # it is no result
            memory.know(each, (len(ends), size))
            size += -(-each.nbytes // LINE) * LINE
    found = np.zeros(1, np.int64)
    memory.know(found, (len(ends) + 1, 0))
    launches, kept = taken_down(trace.steps, memory, found)
    return launches, kept, size + LINE if size else 0
