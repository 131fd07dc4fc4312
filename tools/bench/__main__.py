"""Measure this project beside PyTorch and JAX, in turns, on one core and on two.

    make bench                                   everything: about an hour, most of it torch.compile
    make bench ARGS="--part steps --only resnet20"
    python -m tools.bench --quick                a first look: fewer turns, no torch.compile
    python -m tools.bench --check                compares results and losses, and times nothing

Results go to out/bench: results.json, and for each part a Markdown table and a bar chart.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from .measure import Case, Plan, Record, bind, environment

PARTS = ("kernels", "steps", "cost")
DOCS = Path("docs/performance")


def main() -> None:
    """One fresh process for each number of threads, then the report."""
    options = _options()
    if options.worker:
        sys.exit(_work(options))
    if options.list:
        print(*_cases(options), sep="\n")
        return
    options.out.mkdir(parents=True, exist_ok=True)
    records: list[Record] = []
    broken = False
    for threads in options.threads:
        print(f"== threads: {threads}", flush=True)
        path = options.out / f"threads-{threads}.json"
        path.unlink(missing_ok=True)
        worker = ["--worker", str(path), "--threads", str(threads)]
        command = [sys.executable, "-m", "tools.bench", *sys.argv[1:], *worker]
        done = subprocess.run(command, env=environment(threads))
        if done.returncode:
            print(f"this run ended with status {done.returncode}; what it had measured is kept")
            broken = True
        if path.exists():
            records += [Record(**record) for record in json.loads(path.read_text())]
            path.unlink()

    from .report import write, write_json

    write_json(records, options.out / "results.json")
    written = write(records, options.out) + (write(records, DOCS) if options.docs else [])
    print("written:", options.out / "results.json", *written)
    failed = [record for record in records if record.failed]
    for record in failed:
        print(f"FAILED: {record.name}, {record.threads} threads: {'; '.join(record.notes)}")
    sys.exit(broken or bool(failed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cores = os.cpu_count() or 1
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="which parts (all)")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="cases whose name contains one of these"
    )
    parser.add_argument(
        "--threads", nargs="+", type=int, default=[n for n in (1, 2) if n <= cores], help="cores (1 2)"
    )
    parser.add_argument("--turns", type=int, default=11, help="how often each engine gets its turn (11)")
    parser.add_argument("--quick", action="store_true", help="three turns, no torch.compile, small costs")
    parser.add_argument("--check", action="store_true", help="compare results and losses, time nothing")
    parser.add_argument("--list", action="store_true", help="print the cases' names and stop")
    parser.add_argument(
        "--out", type=Path, default=Path("out/bench"), help="folder of the results (out/bench)"
    )
    parser.add_argument("--docs", action="store_true", help=f"write tables and charts to {DOCS} too")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _work(options: argparse.Namespace) -> int:
    """Measure the chosen cases on one number of threads, with all engines in this process."""
    (threads,) = options.threads
    bind(threads)  # before the libraries are loaded: some count the cores just once

    from tqdm import tqdm

    from .report import text

    chosen = [case for case in _cases(options) if _wanted(case, options.only)]
    plan = Plan(
        threads,
        turns=3 if options.quick else options.turns,
        torch_compile=not options.quick,
        timed=not options.check,
    )
    records: list[Record] = []
    with tqdm(chosen, unit="case", dynamic_ncols=True) as bar:
        for case in bar:
            bar.set_description(case.name)
            found = _measured(case, replace(plan, say=bar.set_description))
            for record in found:
                bar.write(text(record))
            records += found
            # After each case: a crash in a later one takes nothing away.
            options.worker.write_text(json.dumps([asdict(record) for record in records]))
    return 0


def _measured(case: Case, plan: Plan) -> list[Record]:
    """The case's records; one that says why when it broke off, so that the others are still measured."""
    try:
        return case.measure(plan)
    except Exception as error:
        note = f"broke off: {type(error).__name__}: {error}"
        return [Record(case.part, case.group, case.name, plan.threads, notes=[note], failed=True)]


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    from . import cost, kernels, steps

    if "kernels" in options.part:
        yield from kernels.cases()
    if "steps" in options.part:
        yield from steps.cases()
    if "cost" in options.part and not options.check:
        yield from cost.cases(options.quick)


def _wanted(case: Case, only: list[str]) -> bool:
    return not only or any(name.lower() in str(case).lower() for name in only)


if __name__ == "__main__":
    main()
