"""Turns in alternation, what is made of their times, and the threads they run on."""

import gc
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Call = Callable[[], Any]

# A turn lasts at least this long, so that the clock and the change of engine do not count.
TURN_SECONDS = 0.02

OURS = "autograd-core"
THREAD_COUNTS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS",
    "NPROC",  # XLA's name for it
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How the cases are measured. `say` shows what is being done, beside the progress bar."""

    threads: int
    turns: int
    torch_compile: bool = True  # takes minutes to compile a step
    timed: bool = True  # False: compare results only
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class Case:
    """Something to measure; nothing is built before `measure` is called."""

    part: str
    group: str
    name: str
    measure: Callable[[Plan], "list[Record]"]

    def __str__(self) -> str:
        return f"{self.part}/{self.group}/{self.name}"


@dataclass
class Record:
    """One measurement of every engine that takes part. `values` has one number a turn, in `unit`: "s" or "B"."""

    part: str
    group: str
    name: str
    threads: int
    unit: str = "s"
    values: dict[str, list[float]] = field(default_factory=dict)
    references: dict[str, list[float]] = field(default_factory=dict)  # no peers: NumPy, the bare interpreter
    flops: float = 0.0
    traffic: float = 0.0  # bytes that must be read and written
    limits: dict[str, float] = field(default_factory=dict)  # "sgemm": flop/s and "copy": B/s, same run
    equal: dict[str, float] = field(default_factory=dict)  # each engine's distance from the first's results
    notes: list[str] = field(default_factory=list)
    failed: bool = False  # an engine gave another result than the others, or ours gave none

    def peers(self) -> list[str]:
        """The engines that are not ours."""
        return [name for name in self.values if library(name) != OURS]

    def best(self, of: str) -> str | None:
        """The fastest variant of a library, by its median; None when none was measured."""
        return self._least([name for name in self.values if library(name) == of])

    def best_peer(self) -> str | None:
        """The fastest of all peers' variants."""
        return self._least(self.peers())

    def _least(self, names: list[str]) -> str | None:
        return min(names, key=lambda name: statistics.median(self.values[name]), default=None)

    def ratio(self, peer: str | None, ours: str | None = None) -> "Spread | None":
        """The peer's value over ours, turn by turn: neighbours in time, so that a busy machine weighs on both."""
        ours = ours or self.best(OURS)
        if ours is None or peer is None:
            return None
        return Spread.of([theirs / own for theirs, own in zip(self.values[peer], self.values[ours])])

    def limit(self) -> tuple[str, float] | None:
        """What bounds this work, "sgemm" or "copy", and the seconds it takes at that limit."""
        if not self.limits:
            return None
        work = {"sgemm": self.flops, "copy": self.traffic}
        bounds = {name: work[name] / rate for name, rate in self.limits.items()}
        name = max(bounds, key=lambda n: bounds[n])
        return name, bounds[name]


@dataclass(frozen=True)
class Spread:
    """The median and the quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def library(engine: str) -> str:
    """The library of an engine: "PyTorch channels_last" → "PyTorch"."""
    return engine.partition(" ")[0]


def cores(threads: int) -> str:
    """How a report names a number of threads."""
    return {1: "one core", 2: "two cores"}.get(threads, f"{threads} cores")


def environment(threads: int) -> dict[str, str]:
    """The variables that bind every engine to so many threads. All are read when a library is first loaded."""
    many = "true" if threads > 1 else "false"
    return {
        # OpenMP's threads soon sleep while they wait, unless the user chose: where others use the cores too, PyTorch's
        # ResNet-20 step on two cores took 0.24 s so, and 3.5 s with threads that spin.
        **({} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": "10000"}),
        **os.environ,
        **dict.fromkeys(THREAD_COUNTS, str(threads)),
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={many} intra_op_parallelism_threads={threads}",
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of processes that would go on beside the next turn
    }


def bind(threads: int) -> None:
    """Keep this process on the last `threads` cores it may use (the first one serves most interrupts)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def alternate(calls: Mapping[str, Call], turns: int) -> dict[str, list[float]]:
    """Seconds a call takes, one figure for each turn: A B C, B C A, …, so that no engine always follows the same."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    gc.collect()
    gc.freeze()  # or each collection would walk through all that the other engines have loaded
    try:
        repeats = {name: _repeats(call) for name, call in calls.items()}
        for turn in range(turns):
            first = turn % max(len(names), 1)
            for name in names[first:] + names[:first]:
                calls[
                    name
                ]()  # not timed: wakes the threads, and brings back what the others put out of the cache
                times[name].append(_timed(calls[name], repeats[name]) / repeats[name])
    finally:
        gc.unfreeze()
    return times


def _timed(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return time.perf_counter() - start


def _repeats(call: Call) -> int:
    """How many calls fill a turn."""
    repeats = 1
    while True:
        seconds = _timed(call, repeats)
        if seconds > TURN_SECONDS / 4:
            return math.ceil(repeats * TURN_SECONDS / seconds)
        repeats *= 2
