"""The command line of the soak tests: `python -m tools.soak --help`."""

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

os.environ.setdefault("NUMBA_NUM_THREADS", "4")  # more threads than cores, where there are fewer cores

from tools.hostile.report import Progress, clock  # noqa: E402 - importable from anywhere first
from tools.soak import files, graphs, kills, runs, same_bits  # noqa: E402

CHECKS = [*files.CHECKS, *kills.CHECKS, *runs.CHECKS, *same_bits.CHECKS, *graphs.CHECKS]


def main() -> int:
    """Run the checks; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs of each: about 2 minutes")
    parser.add_argument(
        "--only", default="", help="checks whose name contains this: " + ", ".join(c.name for c in CHECKS)
    )
    asked = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    began, failed = time.monotonic(), 0
    for check in (c for c in CHECKS if asked.only in c.name):
        started = time.monotonic()
        progress = Progress(check.name, check.count(asked.quick))
        wrong: list[str] = []
        for outcome in check.runs(asked.quick):
            progress.step(outcome is not None)
            if outcome is not None:
                wrong.append(outcome)
        progress.close()
        failed += bool(wrong) or progress.done == 0
        result = f"{len(wrong)} wrong" if wrong else "all right"
        print(
            f"{check.name:<14}{progress.done:>8,} {check.what}: {result} ({clock(time.monotonic() - started)})",
            flush=True,
        )
        for line in wrong[:10]:
            print(f"    {line}")
    print(f"soak: {failed} checks failed, {clock(time.monotonic() - began)}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
