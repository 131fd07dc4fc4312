"""The command line of the hostile matrix: `python -m tools.hostile --help`."""

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from tools.hostile import driver, report  # noqa: E402 - the tests' tables must be importable first

NOT_COUNTED = {"compiled"}  # until compiled functions keep the same promises


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tools.hostile", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one sample and a third of the kinds: 3 minutes")
    parser.add_argument("--parts", default=",".join(report.PARTS), help="some of: %(default)s")
    parser.add_argument("--only", default="", help="cells whose name contains this")
    parser.add_argument("--cell", help="run one cell alone, in a process that shows everything")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--limit", type=float, default=30.0, help="seconds that a cell may take")
    parser.add_argument(
        "--compiled", action="store_true", help="bad compiled cells count for the exit status too"
    )
    parser.add_argument("--docs", action="store_true", help="write the counts into docs/reliability.md")
    parser.add_argument("--show", type=int, default=200, help="how many bad cells are listed")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def one_cell(name: str) -> int:
    """Run one cell and say what came of it."""
    from tools.hostile import worker

    worker.limits()
    status, detail = worker.run_cell(name)
    print(f"{name}: {status}{': ' if detail else ''}{detail}")
    return int(status == "bad")


def everything(asked: argparse.Namespace) -> int:
    """Run the parts, show the table; exit status 1 where a cell that counts is bad."""
    parts = asked.parts.split(",")
    began = time.monotonic()
    names = [name for name in driver.list_cells(asked.quick, parts) if asked.only in name]
    progress = report.Progress("hostile", len(names))
    results: list[driver.Result] = []

    def tell(result: driver.Result) -> None:
        results.append(result)
        progress.step(result.status == "bad")

    try:
        driver.run(names, asked.workers, asked.limit, tell)
    except KeyboardInterrupt:
        print("\nhostile: stopped; what was done so far:", file=sys.stderr)
    progress.close()
    order = {name: i for i, name in enumerate(names)}
    results.sort(key=lambda r: order.get(r.name, 0))
    lines = report.bad_lines(results)
    print("\n".join(lines[: asked.show]))
    if len(lines) > asked.show:
        print(f"… and {len(lines) - asked.show} more bad cells (--show {len(lines)})")
    print(report.table(results))
    print(f"{report.clock(time.monotonic() - began)} on {asked.workers} workers")
    if asked.docs:
        from tools.hostile import docs

        docs.write(results)
    counted = [
        r
        for r in results
        if r.status == "bad" and (asked.compiled or report.part_of(r.name) not in NOT_COUNTED)
    ]
    return int(bool(counted) or len(results) < len(names))


def main() -> int:
    """Entry point."""
    asked = arguments()
    if asked.worker or asked.list:
        from tools.hostile import worker

        worker.main("list" if asked.list else "worker", asked.quick, asked.parts.split(","))
        return 0
    if asked.cell:
        return one_cell(asked.cell)
    return everything(asked)


if __name__ == "__main__":
    sys.exit(main())
