"""A process that runs cells one after another, as told on standard input, and says what came of each.

Lines out: `> name` before a cell starts, `= name<tab>status<tab>detail` after it. What is not followed by its answer
crashed or hung: the driver names that cell and starts another worker.
"""

import json
import os
import resource
import sys
import warnings
from collections.abc import Iterable
from typing import Any, TextIO

MEMORY = 10 << 30  # more than this is a MemoryError: no cell may take the machine with it


def limits() -> None:
    """Bound this process's memory, and give kernels one thread."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")


def run_cell(name: str) -> Any:
    """The verdict of the cell of this name, of whatever part."""
    part = name.split("/", 1)[0]
    if part == "parameters":
        from tools.hostile import parameters

        return parameters.judge(name)
    if part == "kinks":
        from tools.hostile import kinks

        return kinks.judge(name)
    if part == "accuracy":
        from tools.hostile import accuracy

        return accuracy.judge(name)
    if part == "defects":
        from tools.hostile import defects

        return defects.judge(name)
    from tools.hostile import cells

    return cells.judge(cells.Cell.parse(name))


def all_names(quick: bool, parts: Iterable[str]) -> list[str]:
    """The names of all cells of these parts."""
    names: list[str] = []
    wanted = set(parts)
    if wanted & {"eager", "gradient", "method", "method-gradient", "compiled"}:
        from tools.hostile import cells

        names += [cell.name for cell in cells.cells(quick) if cell.part in wanted]
    if "parameters" in wanted:
        from tools.hostile import parameters

        names += parameters.names(quick)
    if "kinks" in wanted:
        from tools.hostile import kinks

        names += kinks.names()
    if "accuracy" in wanted:
        from tools.hostile import accuracy

        names += accuracy.names()
    if "defects" in wanted:
        from tools.hostile import defects

        names += defects.names()
    return names


def serve(out: TextIO) -> None:
    """Answer requests, a JSON list of names a line, until the input ends."""
    limits()
    for line in sys.stdin:
        for name in json.loads(line):
            print(f"> {name}", file=out, flush=True)
            try:
                status, detail = run_cell(name)
            except Exception as error:
                status, detail = "bad", f"the cell itself failed: {type(error).__name__}: {error}"
            detail = " ".join(detail.split())[:300]
            print(f"= {name}\t{status}\t{detail}", file=out, flush=True)
        print("done", file=out, flush=True)


def main(command: str, quick: bool, parts: list[str]) -> None:
    """`--worker` or `--list`; the protocol has standard output for itself."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if command == "list":
        limits()
        for name in all_names(quick, parts):
            print(name, file=out)
        out.flush()
    else:
        serve(out)
