"""What cannot be compiled, said with the line of the user's program where it stands."""

from __future__ import annotations

from typing import Any

from autograd_core.errors import EXPLAINED, TracedValueError, describe
from autograd_core.lines import calling_line, shown_line


def reading(tensor: Any, how: str) -> TracedValueError:
    """The error for looking at a tensor's numbers."""
    found = TracedValueError(
        f"{how} of {describe(tensor.array)} inside a compiled function, {shown_line(calling_line())}: the function "
        "runs once and is then replayed, so what Python reads here would stay what it was. Choose with "
        "ag.where(condition, a, b), return the tensor and read it outside, or move this line out of the function"
    )
    setattr(found, EXPLAINED, True)  # operations pass it on as it is
    return found
