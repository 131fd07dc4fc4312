"""A profile as tables, for a terminal and for a notebook."""

from __future__ import annotations

import html as markup
import linecache
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autograd_core.profiler.costs import Cost, Line, Module, Operation
from autograd_core.wording import clean

if TYPE_CHECKING:
    from autograd_core.profiler.profile import Profile

WIDTH = 100
_ROWS = {"operation": 20, "module": 40, "line": 8}  # that a table shows
_COLUMNS = ("forward", "backward", "total ms", "%", "calls", "MB in", "MB out")
_WIDTHS = (8, 8, 8, 5, 7, 7, 7)
_BETWEEN = "Python between operations"


def report(profile: Profile) -> str:
    """The tables, at most 100 characters wide.

    >>> import autograd_core as ag
    >>> with ag.profile() as p:
    ...     pass
    >>> print(p)
    profile: no operation ran in it
    """
    lines = summary(profile)
    for title, rows, left in tables(profile):
        lines += ["", *_table(title, rows), *([f"  {left}"] if left else [])]
    return "\n".join(lines)


def summary(profile: Profile) -> list[str]:
    """What was measured, in a few sentences."""
    operations = profile.operations
    seconds = profile.seconds
    if not operations and not profile.captures:
        return ["profile: no operation ran in it"]
    forward = sum(row.forward.seconds for row in operations)
    backward = sum(row.backward.seconds for row in operations)
    calls = sum(row.total.calls for row in operations)
    contexts = f" in {profile.contexts} contexts" if profile.contexts > 1 else ""
    unexplained = profile.unexplained
    between = f"{_BETWEEN} {milliseconds(unexplained)} ms ({percent(unexplained, seconds)} %)"
    lines = [
        f"profile: {milliseconds(seconds)} ms{contexts}, {calls:,} calls of operations",
        f"  forward {milliseconds(forward)} ms · backward {milliseconds(backward)} ms · {between}",
    ]
    if profile.captures:
        count = "1 function was" if profile.captures == 1 else f"{profile.captures} functions were"
        lines.append(f"  {count} captured and compiled: {milliseconds(profile.compiling_seconds)} ms")
    for name, count in profile.replays.items():
        calls_of = "1 call" if count == 1 else f"{count:,} calls"
        lines.append(
            f"  {clean(name, 30)} was compiled: in {calls_of} its rows ran one at a time, to be timed"
        )
    if any(row.compiled and row.name.startswith("loop:") for row in operations):
        lines.append("  a loop's time is divided among its modules by the elements they compute")
    lines.append(f"  {milliseconds(profile.own_seconds)} ms more, which looking on took, are counted nowhere")
    if profile.missed:
        lines.append(f"  the trace has the first {len(profile.events):,} of {_events(profile):,} events")
    return lines


def _events(profile: Profile) -> int:
    return len(profile.events) + profile.missed


Row = tuple[str, Sequence[str], str]  # the first cell, the numbers, the last cell


def tables(profile: Profile) -> Iterable[tuple[str, list[Row], str]]:
    """(title, rows, what is left out) of each table that has rows."""
    operations = profile.operations
    if not operations:
        return
    seconds = profile.seconds
    most = _ROWS["operation"]
    rows: list[Row] = [(row.name, _numbers(row, seconds), where(row.line)) for row in operations[:most]]
    rest = sum(row.seconds for row in operations[most:])
    left = f"and {len(operations) - most} more: {milliseconds(rest)} ms" if operations[most:] else ""
    rows.append((_BETWEEN, _only(profile.unexplained, seconds), ""))
    if profile.captures:
        rows.append(("compiling", _only(profile.compiling_seconds, seconds), ""))
    yield "operation", rows, left
    root, modules = profile.tree()
    if modules:
        shown, left = _largest(modules)
        rows = [(_title(module), _totals(module, seconds), milliseconds(module.seconds)) for module in shown]
        if root.seconds or root.total.calls:
            rows.append(("(in no module)", _numbers(root, seconds), ""))
        yield "module", rows, left
    lines = profile.lines
    most = _ROWS["line"]
    if lines:
        rows = [
            (_line(line), _numbers(line, seconds), where((line.file, line.number))) for line in lines[:most]
        ]
        yield "line", rows, f"and {len(lines) - most} more" if lines[most:] else ""


def _title(module: Module) -> str:
    kind = f" ({module.kind})" if module.kind and module.kind != module.name else ""
    return "  " * min(module.depth, 10) + clean(module.name + kind)


def _largest(modules: list[Module]) -> tuple[list[Module], str]:
    """The modules with most of the time (parents have at least their children's), and how many are left out."""
    most = _ROWS["module"]
    if len(modules) <= most:
        return modules, ""
    order = sorted(modules, key=lambda m: (-m.total.seconds, m.depth))
    kept = set(map(id, order[:most]))
    return [m for m in modules if id(m) in kept], (
        f"and {len(modules) - most} more of less than {milliseconds(order[most - 1].total.seconds)} ms"
    )


def _numbers(row: Operation | Line | Module, seconds: float) -> list[str]:
    return _cells(row.forward, row.backward, seconds)


def _totals(module: Module, seconds: float) -> list[str]:
    return _cells(module.forward_total, module.backward_total, seconds)


def _cells(forward: Cost, backward: Cost, seconds: float) -> list[str]:
    both = forward + backward
    return [
        milliseconds(forward.seconds) if forward.calls or forward.seconds else "",
        milliseconds(backward.seconds) if backward.calls or backward.seconds else "",
        milliseconds(both.seconds),
        percent(both.seconds, seconds),
        f"{both.calls:,}",
        _mb(both.read),
        _mb(both.written),
    ]


def _only(seconds: float, whole: float) -> list[str]:
    return ["", "", milliseconds(seconds), percent(seconds, whole), "", "", ""]


def milliseconds(seconds: float) -> str:
    """Three decimals below 100 ms."""
    ms = 1e3 * seconds
    return f"{ms:.3f}" if ms < 100 else f"{ms:.1f}" if ms < 1e4 else f"{ms:,.0f}" if ms < 1e6 else f"{ms:.0f}"


def _mb(nbytes: int) -> str:
    mb = nbytes / 1e6
    return f"{mb:.3f}" if mb < 100 else f"{mb:.1f}" if mb < 1e4 else f"{mb:,.0f}" if mb < 1e6 else f"{mb:.3g}"


def percent(part: float, whole: float) -> str:
    """Of the whole, with one decimal."""
    return f"{100 * part / whole:.1f}" if whole else "0.0"


def where(line: tuple[str, int]) -> str:
    """File and line as a table has room for."""
    return f"{Path(line[0]).name}:{line[1]}" if line[0] else ""


def _line(line: Line) -> str:
    text = linecache.getline(line.file, line.number).strip()
    return text or where((line.file, line.number))


def _table(title: str, rows: list[Row]) -> list[str]:
    last = {"operation": "slowest line", "module": "self ms", "line": "line"}[title]
    numbers = sum(_WIDTHS) + len(_WIDTHS)
    right = min(max(len(last), *(len(row[2]) for row in rows)), 16)
    first = min(max(len(title), *(len(row[0]) for row in rows)), WIDTH - numbers - right - 1)
    head = " ".join(name.rjust(width) for name, width in zip(_COLUMNS, _WIDTHS))
    align = str.rjust if title == "module" else str.ljust
    lines = [f"{title:<{first}} {head} {align(last, right)}".rstrip()]
    lines.append("─" * len(lines[0]))
    for name, cells, end in rows:
        indent = name[: len(name) - len(name.lstrip())] if title == "module" else ""
        shown = indent + clean(name, max(first - len(indent), 4))
        values = " ".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS))
        lines.append(f"{shown:<{first}} {values} {align(_end(end, right), right)}".rstrip())
    return lines


def _end(text: str, longest: int) -> str:
    """The last column: a file's name may lose its beginning, but never the line's number."""
    text = clean(text, 300)
    return text if len(text) <= longest else f"…{text[1 - longest :]}"


def html(profile: Profile) -> str:
    """The same tables for Jupyter."""
    parts = [f"<p>{'<br>'.join(map(markup.escape, summary(profile)))}</p>"]
    for title, rows, left in tables(profile):
        last = {"operation": "slowest line", "module": "self ms", "line": "line"}[title]
        head = "".join(f"<th>{name}</th>" for name in (title, *_COLUMNS, last))
        body = "".join(_html_row(*row) for row in rows)
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        parts += [f"<p>{markup.escape(left)}</p>"] if left else []
    return "\n".join(parts)


def _html_row(name: str, cells: Sequence[str], end: str) -> str:
    indent = len(name) - len(name.lstrip())
    first = (
        f'<td style="text-align:left;padding-left:{0.6 + indent / 2}em">{markup.escape(clean(name, 80))}</td>'
    )
    return f"<tr>{first}{''.join(f'<td>{cell}</td>' for cell in cells)}<td>{markup.escape(clean(end, 80))}</td></tr>"
