"""How long `import autograd_core, nn` takes, against `import numpy`, in one run.

python tools/import_time.py [--runs 15] [--limit 3]

Fresh interpreters take turns (bare, numpy, ours), so that a busy machine is busy for all; the figures are medians.
The ratio that counts is without the interpreter's own start. Exit status 1 when it is above the limit.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = "import autograd_core, nn"
REFERENCE = "import numpy"
LINE = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \|(\s*)(\S+)")


def run(statement: str, *flags: str) -> tuple[float, str]:
    """Wall time in seconds of a fresh interpreter that runs `statement`, and what it wrote on stderr."""
    start = time.perf_counter()
    command = [sys.executable, *flags, "-c", statement]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"`{statement}` failed:\n{done.stderr}")
    return seconds, done.stderr


def medians(statements: list[str], runs: int) -> list[float]:
    """Median wall time of each statement; they take turns, after one unmeasured round that fills the caches."""
    rounds = [[run(statement)[0] for statement in statements] for _ in range(runs + 1)][1:]
    return [statistics.median(times) for times in zip(*rounds)]


def slowest(statement: str, count: int) -> list[tuple[int, int, str]]:
    """(self µs, cumulative µs, module) of the slowest modules that `statement` imports, by their own time."""
    _, report = run(statement, "-X", "importtime")
    rows = [(int(own), int(total), name) for own, total, _, name in LINE.findall(report)]
    return sorted(rows, reverse=True)[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description="Import time of autograd_core and nn against numpy.")
    parser.add_argument("--runs", type=int, default=15, help="measured interpreters for each statement")
    parser.add_argument("--limit", type=float, default=3.0, help="largest ratio allowed")
    parser.add_argument("--statement", default=OURS, help="what to measure instead")
    options = parser.parse_args()

    bare, numpy, ours = medians(["pass", REFERENCE, options.statement], options.runs)
    width = max(len(REFERENCE), len(options.statement))
    print(f"median of {options.runs} fresh interpreters, ms · Python {sys.version.split()[0]}")
    print(f"{'':{width}}  {'raw':>7}  {'net of the interpreter':>7}")
    print(f"{'(bare interpreter)':{width}}  {1e3 * bare:7.1f}")
    print(f"{REFERENCE:{width}}  {1e3 * numpy:7.1f}  {1e3 * (numpy - bare):7.1f}")
    print(f"{options.statement:{width}}  {1e3 * ours:7.1f}  {1e3 * (ours - bare):7.1f}")
    ratio = (ours - bare) / (numpy - bare)
    verdict = "within" if ratio <= options.limit else "ABOVE"
    print(f"{'ratio':{width}}  {ours / numpy:7.2f}  {ratio:7.2f}  {verdict} the limit of {options.limit:g}")

    print("\nslowest modules, ms: their own time, and with what they import")
    for own, total, name in slowest(options.statement, 10):
        print(f"  {own / 1e3:7.1f}  {total / 1e3:7.1f}  {name}")
    sys.exit(ratio > options.limit)


if __name__ == "__main__":
    main()
