"""A profile as a picture: modules inside modules from top to bottom, operations at the tips, width is time."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from autograd_core.profiler.costs import Cost, Module, Operation
from autograd_core.profiler.text import milliseconds, percent, summary, where
from autograd_core.wording import clean

if TYPE_CHECKING:
    from autograd_core.profiler.profile import Profile

# Okabe & Ito, "Color universal design" (2008): blue and orange differ in lightness too, so they do in grey.
_FORWARD, _BACKWARD, _COMPILING = ("#0072B2", "#FFFFFF"), ("#E69F00", "#000000"), ("#CC79A7", "#000000")
_MODULE, _OTHER = ("#E4E4E4", "#000000"), ("#FFFFFF", "#555555")
_LEGEND = (
    ("forward", _FORWARD),
    ("backward", _BACKWARD),
    ("module", _MODULE),
    ("compiling", _COMPILING),
    ("Python between operations", _OTHER),
)
_WIDTH, _MARGIN = 1200, 10
_ROW = 20  # height of a rectangle
_LETTER = 6.7  # width of a letter: DejaVu Sans Mono, the widest usual one, has 0.602 of the size
_SIZE = 11
_NARROWEST = 1.5  # narrower siblings become one rectangle
_SINGLE = frozenset("·×…–—→←")  # beyond ASCII and Latin-1, one letter wide in monospaced fonts


@dataclass(slots=True)
class _Box:
    """A rectangle: seconds wide."""

    name: str
    seconds: float
    colours: tuple[str, str]
    title: str
    module: Module | None = None
    kind: str = ""  # shown where there is room


def svg(profile: Profile) -> str:
    """The picture. Every rectangle has a tooltip; times are those of the tables."""
    seconds = max(profile.seconds, 1e-9)
    head = [f"{line.strip()}" for line in summary(profile)]
    legend = (len(head) + 1.2) * 16 + _MARGIN
    top = legend + _ROW + 8
    scale = (_WIDTH - 2 * _MARGIN) / seconds
    rectangles: list[str] = []
    deepest = 0
    for depth, x, box in _placed(profile, scale):
        deepest = max(deepest, depth)
        rectangles.append(_rectangle(x, top + depth * (_ROW + 1), box.seconds * scale, box, seconds))
    height = top + (deepest + 1) * (_ROW + 1) + _MARGIN
    font = "font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        f'width="{_WIDTH}" height="{height:.0f}" {font} font-size="{_SIZE}" role="img">',
        "<title>Profile: time by module and operation</title>",
        f'<rect width="{_WIDTH}" height="{height:.0f}" fill="#FFFFFF"><title>Profile</title></rect>',
    ]
    letters = int((_WIDTH - 2 * _MARGIN) / _LETTER)
    for number, line in enumerate(head):
        weight = ' font-weight="bold"' if number == 0 else ""
        lines.append(
            f'<text x="{_MARGIN}" y="{_MARGIN + 12 + 16 * number}"{weight}>{_xml(fitted(line, letters))}</text>'
        )
    lines += _legend(legend)
    return "\n".join([*lines, *rectangles, "</svg>", ""])


def _legend(y: float) -> Iterator[str]:
    x = float(_MARGIN)
    for name, (fill, _) in _LEGEND:
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="14" height="14" fill="{fill}" stroke="#888888" '
            f'stroke-width="0.5"><title>{name}</title></rect>'
            f'<text x="{x + 20:.1f}" y="{y + 11:.1f}">{name}</text>'
        )
        x += 20 + len(name) * _LETTER + 24


def _placed(profile: Profile, scale: float) -> Iterator[tuple[int, float, _Box]]:
    """(depth, x, rectangle) of all that are shown, parents first."""
    root, _ = profile.tree()
    left = [(0, float(_MARGIN), box) for box in (_Box("total", profile.seconds, _MODULE, "everything"),)]
    yield from left
    todo = [(1, float(_MARGIN), _inside(root, _outside(profile)))]
    while todo:
        depth, x, boxes = todo.pop()
        for box in _gathered(boxes, scale):
            yield depth, x, box
            if box.module is not None:
                todo.append((depth + 1, x, _inside(box.module, [])))
            x += box.seconds * scale


def _outside(profile: Profile) -> list[_Box]:
    """What no operation explains."""
    return [
        _Box("compiling", profile.compiling_seconds, _COMPILING, "compiling: functions made programs"),
        _Box(
            "Python between operations", profile.unexplained, _OTHER,
            "Python between operations: modules' own code, leaves' gradients, the optimizer, data",
        ),
    ]  # fmt: skip


def _inside(module: Module, more: list[_Box]) -> list[_Box]:
    """What stands below a module: the modules in it, then its operations' two passes, the slowest first."""
    boxes = []
    for child in module.children:
        title = (
            f"{child.path}{f' ({child.kind})' if child.kind else ''}\n"
            f"forward {_cost(child.forward_total)}\nbackward {_cost(child.backward_total)}"
        )
        kind = child.kind if child.kind != child.name else ""
        boxes.append(_Box(child.name, child.total.seconds, _MODULE, title, child, kind))
    for backward, colours in ((False, _FORWARD), (True, _BACKWARD)):
        rows = sorted(module.operations, key=lambda row: -_pass(row, backward).seconds)
        for row in rows:
            cost = _pass(row, backward)
            name = "backward" if backward else "forward"
            place = f"\nslowest: {where(row.line)}" if row.line[0] else ""
            boxes.append(_Box(row.name, cost.seconds, colours, f"{row.name}, {name}\n{_cost(cost)}{place}"))
    return boxes + more


def _pass(row: Operation, backward: bool) -> Cost:
    return row.backward if backward else row.forward


def _cost(cost: Cost) -> str:
    moved = f"{cost.read / 1e6:.3f} MB in, {cost.written / 1e6:.3f} MB out"
    return f"{milliseconds(cost.seconds)} ms, {cost.calls:,} calls, {moved}"


def _gathered(boxes: list[_Box], scale: float) -> list[_Box]:
    """Rectangles that can be seen; those that are too narrow are put together, at the end."""
    shown = [box for box in boxes if box.seconds * scale >= _NARROWEST]
    small = [box for box in boxes if 0 < box.seconds * scale < _NARROWEST]
    if small:
        seconds = sum(box.seconds for box in small)
        names = ", ".join(dict.fromkeys(clean(box.name, 30) for box in small[:12]))
        title = f"{len(small)} more: {names}{', …' if len(small) > 12 else ''}"
        shown.append(_Box("…", seconds, _OTHER, title))
    return shown


def _rectangle(x: float, y: float, width: float, box: _Box, whole: float) -> str:
    fill, ink = box.colours
    title = f"{box.title}\n{milliseconds(box.seconds)} ms, {percent(box.seconds, whole)} % of all"
    lines = "\n".join(clean(line, 120) for line in title.split("\n"))
    letters = int((width - 5) / _LETTER)
    text = clean(f"{box.name} {box.kind}", 120)
    text = text if sum(map(_wide, text)) <= letters else fitted(clean(box.name, 120), letters)
    label = f'<text x="{x + 3:.2f}" y="{y + 14:.1f}" fill="{ink}">{_xml(text)}</text>' if text else ""
    edge = ' stroke="#BBBBBB" stroke-width="0.5"' if box.colours in (_MODULE, _OTHER) else ""
    gap = 0.5 if width > 2 else 0.0  # a hair of white between neighbours
    return (
        f'<g><rect x="{x:.2f}" y="{y:.1f}" width="{max(width - gap, 0.1):.2f}" height="{_ROW}" fill="{fill}"{edge}>'
        f"<title>{_xml(lines)}</title></rect>{label}</g>"
    )


def fitted(text: str, letters: int) -> str:
    """The text in so many letters, shortened in the middle or, if few are left, at the end; nothing below three.

    >>> fitted("convolution", 7)
    'con…ion'
    >>> fitted("convolution", 2)
    ''
    """
    if sum(map(_wide, text)) <= letters:
        return text
    if letters < 3:
        return ""
    head, tail = "", ""
    room = letters - 1
    for character in text:
        if sum(map(_wide, head + character)) > (room if letters < 7 else (room + 1) // 2):
            break
        head += character
    for character in reversed(text):
        if sum(map(_wide, tail + character)) > room - sum(map(_wide, head)):
            break
        tail = character + tail
    return f"{head}…{tail}"


def _wide(character: str) -> int:
    """Letters that a character is wide; what a fallback font shows may be wide."""
    if character < "\u0100" or character in _SINGLE:
        return 1
    return 0 if unicodedata.combining(character) else 2


def _xml(text: str) -> str:
    return escape(text, quote=False)
