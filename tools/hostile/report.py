"""What the user sees: a progress line, the table at the end, the bad cells."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable

from tools.hostile.driver import Result

PARTS = ("eager", "gradient", "method", "method-gradient", "parameters", "kinks", "accuracy", "compiled")
TITLES = {"method-gradient": "method gradient"}


def clock(seconds: float) -> str:
    """3:07, or 1:02:33."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """One line that says how far it is: on a terminal rewritten in place, elsewhere a line every 20 seconds."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done, self.bad = title, total, 0, 0
        self.began = self.shown = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def step(self, bad: bool = False) -> None:
        """One more is done."""
        self.done += 1
        self.bad += bad
        now = time.monotonic()
        if now - self.shown >= (0.2 if self.terminal else 20) or (self.terminal and self.done == self.total):
            self.shown = now
            print(
                ("\r" if self.terminal else "") + self.line(now),
                end="" if self.terminal else "\n",
                file=sys.stderr,
                flush=True,
            )

    def line(self, now: float) -> str:
        """The line, short enough for the terminal."""
        width = shutil.get_terminal_size((80, 24)).columns - 1
        left = (now - self.began) / max(self.done, 1) * (self.total - self.done)
        text = f"{self.title}: {self.done:,} of {self.total:,} · {self.bad:,} bad · {clock(left)} left"
        return text[:width].ljust(width) if self.terminal else text

    def close(self) -> None:
        """Leave the line."""
        if self.terminal:
            print(file=sys.stderr)


def part_of(name: str) -> str:
    """The part that a cell belongs to."""
    return name.split("/", 1)[0]


def counts(results: Iterable[Result]) -> dict[str, Counter[str]]:
    """Cells by part and status."""
    table: dict[str, Counter[str]] = {}
    for result in results:
        table.setdefault(part_of(result.name), Counter())[result.status] += 1
    return table


def table(results: list[Result]) -> str:
    """Part x {cells, equal, named errors, bad}; 60 columns wide."""
    found = counts(results)
    rows = [f"{'part':<16}{'cells':>10}{'equal':>10}{'errors':>10}{'bad':>8}"]
    total: Counter[str] = Counter()
    for part in [*PARTS, *sorted(set(found) - set(PARTS))]:
        if part in found:
            total += found[part]
            rows.append(row(TITLES.get(part, part), found[part]))
    return "\n".join([*rows, row("together", total)])


def row(title: str, c: Counter[str]) -> str:
    """One line of the table."""
    return f"{title:<16}{sum(c.values()):>10,}{c['equal']:>10,}{c['error']:>10,}{c['bad']:>8,}"


def bad_lines(results: Iterable[Result]) -> list[str]:
    """Each bad cell: what is wrong, and the command that shows it alone."""
    return [
        f"{r.name}: {r.detail}\n    python -m tools.hostile --cell '{r.name}'"
        for r in results
        if r.status == "bad"
    ]
