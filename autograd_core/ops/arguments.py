"""Checks of the numbers that operations take beside their arrays: sizes, axes, counts."""

from typing import Any

import numpy as np


def integer(name: str, value: Any) -> int:
    """`value` as a Python int. TypeError for all but integers of Python and NumPy: floats, booleans, text, None.

    >>> integer("groups", np.int64(2))
    2
    """
    if type(value) is int:
        return value
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(
            f"{name} is {value!r} ({type(value).__name__}): give an integer{_suggested(name, value)}"
        )
    return int(value)


def _suggested(name: str, value: Any) -> str:
    """What to type instead of 2.0, where that is what was meant."""
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return f", as {name}={int(value)}" if whole else ""


def axes(axis: Any) -> Any:
    """`axis` as it is: None, an integer or a tuple or list of them. TypeError for anything else.

    >>> axes((0, -1))
    (0, -1)
    """
    if axis is None or type(axis) is int:
        return axis
    for each in axis if isinstance(axis, tuple | list) else (axis,):
        integer("axis", each)
    return axis
