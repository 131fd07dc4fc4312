"""What cannot be compiled, said with the line of the user's program where it stands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from autograd_core.errors import describe


class TracedValueError(TypeError):
    """Inside a compiled function Python looked at a number that is computed anew at every call."""


def reading(tensor: Any, how: str) -> TracedValueError:
    """The error for looking at a tensor's numbers."""
    return TracedValueError(
        f"{how} of {describe(tensor.array)} inside a compiled function, {user_line()}: the function runs once and is "
        "then replayed, so what Python reads here would stay what it was. Choose with ag.where(condition, a, b), "
        "return the tensor and read it outside, or move this line out of the function"
    )


def user_line() -> str:
    """Where the innermost line stands that is neither the engine's nor nn's: `file.py:12`, with its text."""
    import linecache

    frame = sys._getframe(1)
    own = Path(__file__).resolve().parents[1]
    inside = (str(own), str(own.parent / "nn"))
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(inside):
            text = linecache.getline(name, frame.f_lineno).strip()
            return f"line {frame.f_lineno} of {Path(name).name}" + (f" ({text})" if text else "")
        frame = frame.f_back
    return "at an unknown line"
