"""Figures with curves: by epoch, by step, and truth beside prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nn.report.record import thin
from nn.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, attribute, axes, figure, short

if TYPE_CHECKING:
    from nn.report.record import Record

MARKS = 50  # of values that are not finite: more lie upon each other


@dataclass
class Line:
    """One curve: its name and its points; `dots` draws points alone."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False


def curves(
    title: str, lines: Sequence[Line], xlabel: str, log: bool | None = None, whole: bool = True
) -> str:
    """A figure with curves over one axis. Values that are not finite break a curve, and a cross marks them.

    `log`: whether the vertical axis is logarithmic; by default when the values span more than a factor of 30.
    """
    finite = [v for line in lines for v in line.y if math.isfinite(v)]
    if log is None:
        log = bool(finite) and min(finite) > 0 and max(finite) > 30 * min(finite)
    values = finite
    if finite and not log:  # room above and below, so that no curve lies on the axis
        room = (max(finite) - min(finite)) / 25
        values = [min(finite) - room * (min(finite) != 0), max(finite) + room]
    x = Scale([v for line in lines for v in line.x], LEFT, WIDTH - RIGHT, whole=whole)
    y = Scale(values, HEIGHT - BOTTOM, TOP, log=log)
    if not finite:
        y.ticks = []
    body = axes(x, y, xlabel)
    for number, line in enumerate(lines):
        body += _marks(line, number, x, y) if line.dots else _curve(line, number, x, y)
    keys = [f'<span class="key s{i}">{attribute(line.name)}</span>' for i, line in enumerate(lines)]
    note = ""
    for line in lines:
        if strange := sum(not math.isfinite(v) for v in line.y):
            whose = f"{line.name} " if len(lines) > 1 else ""
            note += f'<span class="key bad">{attribute(whose)}not finite: {strange}</span>'
    caption = (" ".join(keys) if len(lines) > 1 else "") + note
    return figure(title, "; ".join(map(_described, lines)) + f", by {xlabel}", body, caption)


def _described(line: Line) -> str:
    known = [v for v in line.y if math.isfinite(v)]
    if not known:
        return f"{line.name} has no finite value"
    last = f"{short(line.y[0])} at first, {short(line.y[-1])} at last"
    return f"{line.name} {last}, from {short(min(known))} to {short(max(known))}"


def _curve(line: Line, number: int, x: Scale, y: Scale) -> list[str]:
    parts: list[str] = []
    run: list[str] = []
    marks = 0

    def close() -> None:
        if len(run) == 1:  # a line of one point would not be seen
            cx, cy = run[0].split(",")
            parts.append(f'<circle class="s{number}" cx="{cx}" cy="{cy}" r="3"/>')
        elif run:
            parts.append(f'<polyline class="s{number}" points="{" ".join(run)}"/>')
        run.clear()

    for at, value in zip(line.x, line.y):
        if math.isfinite(value):
            run.append(f"{x(at):.1f},{y(value):.1f}")
            continue
        close()
        marks += 1
        if marks <= MARKS:
            title = f"{line.name} is {short(value)} at {short(at)}"
            parts.append(_cross(x(at), TOP + 6 + 12 * number, title))
    close()
    return parts


def _marks(line: Line, number: int, x: Scale, y: Scale) -> list[str]:
    points = [(x(at), y(v)) for at, v in zip(line.x, line.y) if math.isfinite(v)]
    return [f'<circle class="s{number}" cx="{px:.1f}" cy="{py:.1f}" r="2.2"/>' for px, py in points]


def _cross(x: float, y: float, title: str) -> str:
    return f'<path class="bad" d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10"><title>{attribute(title)}</title></path>'


def thinned(title: str, name: str, values: Sequence[float], log: bool | None = None) -> str:
    """A curve by step of at most 1,000 points."""
    places, shown = thin(values)
    return curves(title, [Line(name, [place + 1 for place in places], shown)], "step", log)


def _heading(name: str) -> str:
    """A metric's own capital letters stay."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:] if words.islower() else words


def by_epoch(record: Record) -> list[str]:
    """A figure for each quantity of the history, validation beside training; the learning rate where it changes."""
    history = record.history
    epochs = range(1, history.epochs + 1)
    found = []
    for name in history:
        known = name.removeprefix("validation_")
        if name == "seconds" or (name != known and known in history):
            continue
        if name == "lr" and len(set(history[name])) < 2:
            continue
        lines = [Line("training" if name == known else "validation", epochs, history[name])]
        if f"validation_{name}" in history:
            lines.append(Line("validation", epochs, history[f"validation_{name}"]))
        title = {"lr": "Learning rate"}.get(name, _heading(known))
        found.append(curves(title, lines, "epoch"))
    return found
