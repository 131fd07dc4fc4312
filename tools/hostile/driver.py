"""Shares cells out to worker processes and survives whatever they do."""

import json
import os
import queue
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BATCH = 200
FIRST = 120.0  # seconds for the first cell of a worker: kernels may have to be compiled


class Result(NamedTuple):
    """What came of one cell."""

    name: str
    status: str  # equal, error, bad
    detail: str
    seconds: float


def environment() -> dict[str, str]:
    """The workers' environment: one thread each, the project and its tests' tables importable."""
    paths = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    ones = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "MKL", "OMP", "NUMBA")}
    return (
        os.environ
        | ones
        | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONFAULTHANDLER": "1", "OMP_WAIT_POLICY": "passive"}
    )


def command(*arguments: str) -> list[str]:
    """This program in another process."""
    return [sys.executable, "-m", "tools.hostile", *arguments]


def list_cells(quick: bool, parts: Iterable[str]) -> list[str]:
    """The names of all cells, found in a process of its own: looking for them already calls operations."""
    done = subprocess.run(
        command("--list", "--parts", ",".join(parts), *(["--quick"] if quick else [])),
        env=environment(), cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"hostile: the cells could not be listed:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()


class Worker:
    """One process that runs cells, replaced when it dies or hangs."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """The running process, started if need be."""
        if self.process is None:
            self.process = subprocess.Popen(
                command("--worker"), env=environment(), cwd=ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self.fresh = True
        return self.process

    def stop(self) -> int:
        """End the process; its exit status."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        return process.wait()

    def run(self, names: list[str], tell: Callable[[Result], None]) -> None:
        """Run these cells, whatever happens to the process."""
        left = list(names)
        while left:
            process = self.start()
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps(left).encode() + b"\n")
                process.stdin.flush()
            except BrokenPipeError:
                self.stop()
                continue
            left = self._read(process, left, tell)

    def _read(
        self, process: subprocess.Popen[bytes], left: list[str], tell: Callable[[Result], None]
    ) -> list[str]:
        """Read answers; what is left to run when the process has gone."""
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        waiting = selectors.DefaultSelector()
        waiting.register(descriptor, selectors.EVENT_READ)
        text, current, began = b"", left[0], time.monotonic()
        while True:
            limit = max(self.limit, FIRST) if self.fresh else self.limit
            if not waiting.select(max(0.0, began + limit - time.monotonic())):
                self.stop()
                tell(Result(current, "bad", f"hang: more than {limit:.0f} s", limit))
                return left[1:]
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                status = process.wait()
                self.stop()
                how = f"signal {-status}" if status < 0 else f"exit status {status}"
                tell(Result(current, "bad", f"crash: the process ended with {how}", time.monotonic() - began))
                return left[1:]
            *lines, text = (text + piece).split(b"\n")
            for line in lines:
                said = line.decode(errors="replace")
                if said == "done":
                    return []
                if said.startswith("> "):
                    current, began = said[2:], time.monotonic()
                elif said.startswith("= "):
                    name, status, detail = said[2:].split("\t", 2)
                    tell(Result(name, status, detail, time.monotonic() - began))
                    left, began = left[1:], time.monotonic()
                    self.fresh = False


def run(names: list[str], workers: int, limit: float, tell: Callable[[Result], None]) -> None:
    """Run all cells on several workers. `tell` is called from one thread at a time."""
    batches: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
    for i in range(0, len(names), BATCH):
        batches.put(names[i : i + BATCH])
    lock = threading.Lock()

    def told(result: Result) -> None:
        with lock:
            tell(result)

    def work() -> None:
        worker = Worker(limit)
        try:
            while True:
                worker.run(batches.get_nowait(), told)
        except queue.Empty:
            pass
        finally:
            worker.stop()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
