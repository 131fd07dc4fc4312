"""What cannot be compiled, said with the line of the user's program where it stands."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from typing import Any

from autograd_core.errors import EXPLAINED, TracedValueError, describe


def reading(tensor: Any, how: str) -> TracedValueError:
    """The error for looking at a tensor's numbers."""
    found = TracedValueError(
        f"{how} of {describe(tensor.array)} inside a compiled function, {shown_line(calling_line())}: the function "
        "runs once and is then replayed, so what Python reads here would stay what it was. Choose with "
        "ag.where(condition, a, b), return the tensor and read it outside, or move this line out of the function"
    )
    setattr(found, EXPLAINED, True)  # operations pass it on as it is
    return found


_ROOT = Path(__file__).resolve().parents[2]
_OWN = (str(_ROOT / "autograd_core"), str(_ROOT / "nn"))


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
