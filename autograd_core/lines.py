"""Lines of the user's program: which one is running, and how it reads."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_OWN = tuple(f"{_ROOT / package}{os.sep}" for package in ("autograd_core", "nn"))


def is_own(filename: str) -> bool:
    """Whether a file is the engine's or nn's."""
    return filename.startswith(_OWN)


def calling_line() -> tuple[str, int]:
    """File and number of the innermost line that is neither the engine's nor nn's."""
    frame = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_OWN):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "", 0


def shown_line(line: tuple[str, int]) -> str:
    """A line of a program, with its text where it can be had: `line 12 of train.py (loss.backward())`."""
    name, number = line
    text = linecache.getline(name, number).strip()
    return f"line {number} of {Path(name).name}" + (f" ({text})" if text else "")
