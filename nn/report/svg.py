"""The parts of a figure: axes with round numbers, marks, and the frame around them, as SVG text.

Figures are 340 units wide and shown at that width or wider, so that their text is 15 px or more on a phone too.
Colours are classes, which the page's style sheet gives: they follow the reader's light or dark scheme.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 44


def attribute(text: str) -> str:
    """Text as it may stand in an attribute or between tags; characters that XML forbids are left out."""
    return escape("".join(c if c.isprintable() else " " for c in text))


def figure(title: str, description: str, body: Iterable[str], caption: str = "", height: int = HEIGHT) -> str:
    """A card with a heading, an SVG that describes itself, and a caption (HTML)."""
    label = attribute(f"{title}: {description}")
    return (
        f'<figure class="card"><h2>{attribute(title)}</h2>'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">'
        f"<title>{label}</title>{''.join(body)}</svg>"
        f"{f'<figcaption>{caption}</figcaption>' if caption else ''}</figure>"
    )


def text(x: float, y: float, words: str, anchor: str = "middle", title: str = "") -> str:
    """Words at a place."""
    full = f"<title>{attribute(title)}</title>" if title else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{full}{attribute(words)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    """A straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def short(value: float) -> str:
    """A number in at most seven characters.

    >>> [short(v) for v in (0.0, 0.00012, 0.25, 1234.0, 12345678.0)]
    ['0', '1.2e-4', '0.25', '1234', '1.2e7']
    """
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "NaN")
    if value and not 1e-3 <= abs(value) < 1e5:
        digits, _, power = f"{value:.1e}".partition("e")
        return f"{digits.removesuffix('.0')}e{int(power)}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Scale:
    """From numbers to places between `start` and `stop`, linear or logarithmic, with ticks at round numbers.

    >>> Scale([0.0, 9.7], 0, 100).ticks
    [0.0, 5.0]
    >>> Scale([1e-3, 10.0], 0, 100, log=True).ticks
    [0.001, 0.1, 10.0]
    """

    def __init__(
        self,
        values: Iterable[float],
        start: float,
        stop: float,
        log: bool = False,
        most: int = 4,
        whole: bool = False,
    ) -> None:
        known = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
        low, high = (min(known), max(known)) if known else (1.0, 1.0)
        self.log = log
        low, high = (math.log10(low), math.log10(high)) if log else (low, high)
        if high - low <= 1e-9 * max(abs(low), abs(high)):
            room = 0.5 if log or whole else max(abs(low) / 2, 1e-3)
            low, high = low - room, high + room
        self.low, self.high, self.start, self.stop = low, high, start, stop
        self.ticks = self._decades(most) if log else self._round(most, whole)

    def _round(self, most: int, whole: bool) -> list[float]:
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
        if whole:
            step = max(1.0, round(step))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]

    def _decades(self, most: int) -> list[float]:
        first, last = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
        if last - first >= 1:
            step = -(-(last - first + 1) // most)
            return [10.0**i for i in range(first, last + 1, step)]
        # Less than a decade or little more: ticks within it.
        base = 10.0 ** math.floor(self.low)
        found = [m * base for m in (1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100)]
        inside = [v for v in found if self.low <= math.log10(v) <= self.high]
        return inside[:: max(1, -(-len(inside) // most))] or [10 ** ((self.low + self.high) / 2)]

    def __call__(self, value: float) -> float:
        """The place of a number; one that the logarithm cannot show is put at the lower end."""
        if self.log:
            value = math.log10(value) if value > 0 else self.low
        part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.stop - self.start)


def axes(x: Scale, y: Scale, xlabel: str, height: int = HEIGHT) -> list[str]:
    """Grid lines with numbers, and the horizontal axis's name."""
    bottom = height - BOTTOM
    parts = []
    for value in y.ticks:
        parts += [
            rule(LEFT, y(value), WIDTH - RIGHT, y(value)),
            text(LEFT - 6, y(value) + 5, short(value), "end"),
        ]
    for value in x.ticks:
        parts += tick(x, value, bottom)
    parts += [
        rule(LEFT, bottom, WIDTH - RIGHT, bottom, "axis"),
        text((LEFT + WIDTH - RIGHT) / 2, height - 5, xlabel),
    ]
    return parts


def tick(x: Scale, value: float, y: float) -> list[str]:
    """A mark with its number below; a long number at the right edge is moved to the left rather than cut off."""
    words = short(value)
    place = min(x(value), WIDTH - 1 - 4.6 * len(words))
    return [rule(x(value), y, x(value), y + 4, "axis"), text(place, y + 19, words)]


def told_apart(names: Sequence[str], most: int = 15) -> list[str]:
    """Names of little more than so many characters, shortened so that they differ.

    What all begin with goes first, then the names of lists, where the numbers in them suffice.

    >>> told_apart(["net.layers.0.body.layers.0.weight", "net.layers.0.body.layers.1.bias", "net.layers.11.bias"])
    ['0.body.0.weight', '0.body.1.bias', '11.bias']
    """
    parts = [name.split(".") for name in names]
    shared = 0
    while len(parts) > 1 and all(len(p) > shared + 1 and p[shared] == parts[0][shared] for p in parts):
        shared += 1
    whole = [".".join(each[shared:]) for each in parts]
    plain = [re.sub(r"[^.]+\.(?=\d+\.)", "", name) for name in whole]
    return [clipped(name, most) for name in (plain if len(set(plain)) == len(plain) else whole)]


def clipped(name: str, most: int = 15) -> str:
    """A long name by its two ends, which tell parameters apart."""
    half = most // 2
    return name if len(name) <= most else f"{name[:half]}…{name[half - most :]}"
