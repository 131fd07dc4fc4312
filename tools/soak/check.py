"""What a check is: a number of runs, each right or with a line that says what went wrong."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

# A check yields once for each run: None when it was right, else what was wrong.
Runs = Iterator[str | None]


class Check(NamedTuple):
    """A named check. `runs(quick)` yields the outcome of each run; `count(quick)` says how many there will be."""

    name: str
    what: str
    runs: Callable[[bool], Runs]
    count: Callable[[bool], int]
