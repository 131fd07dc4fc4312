"""Names and amounts as people read them."""

import unicodedata

LONGEST_NAME = 48


def clean(text: str, longest: int = LONGEST_NAME) -> str:
    """One line that can be shown: no control, formatting or private characters, shortened in the middle."""
    if len(text) > 8 * longest:  # the two ends are shown
        text = text[: 4 * longest] + text[-4 * longest :]
    shown = "".join(_visible(c) for c in text).strip()
    if len(shown) > longest:
        head = longest * 2 // 3
        shown = f"{shown[:head]}…{shown[head + 1 - longest :]}"
    return shown


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character)[0] == "C" else character


def wrapped(text: str, width: int = 56, most: int = 6) -> list[str]:
    """Text in lines of about `width` characters, at most so many of them."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines if len(lines) <= most else [*lines[: most - 1], "…"]


def in_bytes(n: float) -> str:
    """Bytes with three digits.

    >>> in_bytes(12), in_bytes(4_200_000), in_bytes(123_456_789_012)
    ('12 B', '4.2 MB', '123 GB')
    """
    for scale, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n >= scale:
            return f"{n / scale:,.0f} {name}" if n >= 1000 * scale else f"{n / scale:.3g} {name}"
    return f"{n:.0f} B"


def in_time(seconds: float) -> str:
    """Seconds with three digits; from a minute on in minutes, then in hours.

    >>> in_time(4.21e-6), in_time(0.0123), in_time(4.2), in_time(75), in_time(7384)
    ('4.21 µs', '12.3 ms', '4.2 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds < 59.95:
        for scale, name in ((1, "s"), (1e-3, "ms")):
            if seconds >= scale:
                return f"{seconds / scale:.3g} {name}"
        return f"{seconds * 1e6:.3g} µs"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"
