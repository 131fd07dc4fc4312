"""What running a function changes in an object: a compiled function would change it once, and never again."""

from __future__ import annotations

from typing import Any

import numpy as np


class Effects:
    """An object's attributes before a function runs, to see which of them it changed."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.before = {name: (value, _content(value)) for name, value in vars(owner).items()}

    def undone(self) -> str:
        """The attribute that was changed, or nothing; all are afterwards as they were."""
        now, changed = vars(self.owner), ""
        for name in [name for name in now if name not in self.before]:
            del now[name]
            changed = changed or name
        for name, (value, content) in self.before.items():
            if now.get(name) is not value:
                now[name] = value
                changed = changed or name
            if content is not None and not _same(_content(value), content):
                _refill(value, content)
                changed = changed or name
        return changed


def _content(value: Any) -> Any:
    """A copy of what a container or an array holds; None for other things."""
    return value.copy() if isinstance(value, list | dict | set | bytearray | np.ndarray) else None


def _same(now: Any, before: Any) -> bool:
    if isinstance(now, np.ndarray):
        return now.shape == before.shape and now.tobytes() == before.tobytes()
    if isinstance(now, dict):
        return list(now) == list(before) and all(now[key] is before[key] for key in now)
    if isinstance(now, list):
        return len(now) == len(before) and all(one is other for one, other in zip(now, before))
    return now == before


def _refill(value: Any, content: Any) -> None:
    if isinstance(value, np.ndarray):
        value[...] = content
    elif isinstance(value, list | bytearray):
        value[:] = content
    else:
        value.clear()
        value.update(content)
