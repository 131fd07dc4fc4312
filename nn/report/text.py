"""The report as text for a terminal: `watch cat run.txt` over SSH."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nn.report.record import Record
from nn.report.svg import short

if TYPE_CHECKING:
    from nn.history import History

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 48  # of a sparkline
ROWS = 12  # of the table of epochs


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """A curve in one line: each character is the mean of a bucket, × one with a value that is not finite.

    >>> sparkline([0, 1, 2, 3, 4, 5, 6, 7])
    '▁▂▃▄▅▆▇█'
    >>> sparkline([2, math.nan, 1])
    '█×▁'
    """
    count = min(width, len(values))
    buckets = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    means = [sum(bucket) / len(bucket) for bucket in buckets]
    known = [mean for mean in means if math.isfinite(mean)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    unit = (high - low) / (len(BLOCKS) - 1)
    return "".join(
        "×" if not math.isfinite(mean) else BLOCKS[round((mean - low) / unit) if unit > 0 else 3]
        for mean in means
    )


def text(history: History) -> str:
    """A history as text: curves, a table of the epochs, and what was recorded of the run if `fit` had a `report`."""
    record = history.watched
    parts = [] if record is None else [_head(record)]
    curves = [(name.replace("_", " "), history[name]) for name in history if name not in ("lr", "seconds")]
    if record is not None and record.steps:
        curves.append(("loss by step", list(record.losses)))
    if curves and (history.epochs or record):
        parts.append(_curves([curve for curve in curves if curve[1]]))
    if history.epochs:
        parts.append(_epochs(history))
    if record is not None and record.samples:
        parts.append(_parameters(record))
    return "\n\n".join(parts or ["nothing yet"]) + "\n"


def _head(record: Record) -> str:
    from nn.report.page import facts

    known = [(_plain(name), value) for name, value in facts(record)]
    lines = [f"{_plain(record.model)} · {record.parameters:,} parameters · {record.state}"]
    lines += [_plain(line) for line in record.note.splitlines()]
    lines += [f"{name}: {value}" for name, value in known if name != "Parameters"]
    return "\n".join([*lines, time.strftime("written %Y-%m-%d %H:%M:%S", time.localtime(record.written))])


def _curves(curves: list[tuple[str, Sequence[float]]]) -> str:
    width = max(len(_plain(name)) for name, _ in curves)
    return "\n".join(
        f"{_plain(name):<{width}}  {sparkline(values)}  {short(values[0])} → {short(values[-1])}"
        for name, values in curves
    )


def _epochs(history: History) -> str:
    """The first and the last epochs, and some between them, equally far apart."""
    count = min(ROWS, history.epochs)
    shown = sorted({round(i * (history.epochs - 1) / max(count - 1, 1)) for i in range(count)})
    names = list(history)
    heads = ["epoch", *(_plain(name).replace("_", " ") for name in names)]
    rows = [[str(i + 1), *(short(history[name][i]) for name in names)] for i in shown]
    return _table(heads, rows)


def _parameters(record: Record) -> str:
    last = record.samples[-1]
    rows = [
        [_plain(name), *("none" if v is None else short(v) for v in values)]
        for name, *values in zip(record.names, last.gradients, last.ratios)
    ]
    return f"at step {last.step}\n" + _table(["parameter", "‖gradient‖", "‖update‖/‖weights‖"], rows)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *rows)]
    lines = [[cell.rjust(width) for cell, width in zip(row, widths)] for row in [heads, *rows]]
    for line, row in zip(lines, [heads, *rows]):
        line[0] = row[0].ljust(widths[0])
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _plain(name: str) -> str:
    """A name without what would steer a terminal."""
    return "".join(c if c.isprintable() else "�" for c in name)
