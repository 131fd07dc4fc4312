"""What a fresh process finds out about itself: python -m tools.bench.probe first-step|peak-memory WORKLOAD ENGINE.

The last line it prints is the figure, in seconds or bytes.
"""

import gc
import json
import sys
import time
from pathlib import Path

from .engines import Engine, load
from .workloads import WORKLOADS


def first_step(engine: Engine, workload: str) -> float:
    """Seconds of the first training step, the model having been made."""
    step = engine.step(WORKLOADS[workload]())
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def peak_memory(engine: Engine, workload: str) -> int:
    """Bytes that a step needs at its peak, above what model and data take.

    Code is loaded by steps on two images before, and by a first full step, whose own peak does not count.
    """
    small = engine.step(WORKLOADS[workload](batch=2))
    small()
    small()
    step = engine.step(WORKLOADS[workload]())
    del small
    gc.collect()
    before = _status("VmRSS")
    step()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from what is resident now
    step()
    step()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def main() -> None:
    """Run one probe."""
    kind, workload, name = sys.argv[1:]
    engine = load([name])[0][name]
    print(json.dumps({"first-step": first_step, "peak-memory": peak_memory}[kind](engine, workload)))


if __name__ == "__main__":
    main()
