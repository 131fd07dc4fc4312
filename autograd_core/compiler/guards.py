"""What a captured program assumes about the world besides its arguments, checked before each replay."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from operator import is_not
from typing import Any

from autograd_core import tape

_PLAIN = (bool, int, float, str, type(None))


class Guards:
    """The modules that were called are made of the same parts in the same mode; gradients that were looked at, and
    Python numbers in the function's scope, are as they were.
    """

    def __init__(
        self, function: Any, modules: Iterable[Any], grads: list[tuple[Any, bool]], kept: list[Any]
    ) -> None:
        self.modules = list(modules)
        self.parts = [_parts(module) for module in self.modules]
        self.lists = [_live(part) for parts in self.parts for part in parts if isinstance(part, list | dict)]
        self.contents = list(chain.from_iterable(self.lists))
        self.version = tape.structure[0]
        self.grads = grads
        self.kept = kept  # (tensor, array): tensors whose numbers Python looked at
        self.scopes = list(_scopes(function))
        self.numbers = [_numbers(scope, names) for scope, names in self.scopes]

    def broken(self) -> str:
        """What is different now; empty when nothing is."""
        for (scope, names), before in zip(self.scopes, self.numbers, strict=True):
            now = _numbers(scope, names)
            if now != before:
                return f"{_differing(names, before, now)} is another number now"
        for owner, empty in self.grads:
            if (getattr(owner, "_grad", None) is None) is not empty:
                return f"the gradient of {_name(owner)} was {'None' if empty else 'there'} when captured"
        for tensor, array in self.kept:
            if tensor.array is not array:
                return "a tensor has changed whose numbers the function looked at"
        if _differs(list(chain.from_iterable(self.lists)), self.contents):
            return "a module's list of parts has changed"
        if self.version != tape.structure[0]:
            for module, before in zip(self.modules, self.parts, strict=True):
                if _differs(_parts(module), before):
                    return f"{type(module).__name__} has another attribute or mode now"
            self.version = tape.structure[0]
        return ""


def _parts(module: Any) -> list[Any]:
    """What a module is made of. Its path is its own business."""
    return [module.training, *(value for key, value in vars(module).items() if key != "_path")]


def _live(container: Any) -> Any:
    """What a list or dict holds, whenever it is looked at."""
    return container.values() if isinstance(container, dict) else container


def _differs(now: list[Any], before: list[Any]) -> bool:
    """Whether any of the objects is another one; equal numbers are the same."""
    if len(now) != len(before):
        return True
    return any(map(is_not, now, before)) and any(
        a is not b and not (type(a) is type(b) and isinstance(a, _PLAIN) and a == b)
        for a, b in zip(now, before)
    )


def _scopes(function: Any) -> Iterable[tuple[Any, tuple[str, ...]]]:
    """The variables of enclosing scopes that a function's own code names: closure cells and module globals."""
    code = getattr(function, "__code__", None) or getattr(
        getattr(function, "__func__", None), "__code__", None
    )
    plain = getattr(function, "__func__", function)
    if code is None:
        return
    if plain.__closure__:
        yield dict(zip(code.co_freevars, plain.__closure__, strict=True)), code.co_freevars
    yield plain.__globals__, tuple(name for name in code.co_names if name in plain.__globals__)


def _numbers(scope: Any, names: tuple[str, ...]) -> list[Any]:
    found = []
    for name in names:
        value = scope.get(name)
        if type(value).__name__ == "cell":
            try:
                value = value.cell_contents
            except ValueError:  # not yet filled
                value = None
        found.append(value if isinstance(value, _PLAIN) else None)
    return found


def _differing(names: tuple[str, ...], before: list[Any], now: list[Any]) -> str:
    return next((name for name, a, b in zip(names, before, now, strict=True) if a != b), "a number")


def _name(owner: Any) -> str:
    return getattr(owner, "name", "") or "a tensor"
