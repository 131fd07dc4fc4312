"""What a function's code names besides its arguments: variables of enclosing scopes, attributes and entries there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from autograd_core.tape import Value

# Functions of these packages, and of the standard library, look at nothing that changes.
_SETTLED = (frozenset(sys.stdlib_module_names) - {"__main__"}) | {
    "autograd_core",
    "nn",
    "numpy",
    "scipy",
    "numba",
}


class Surroundings:
    """The objects that a function finds under names, now; those of Python functions that it names too."""

    def __init__(self, functions: list[Any]) -> None:
        self.cells: list[Any] = []
        self.named: list[tuple[Any, str]] = []  # (how a scope is asked, name)
        self.containers: list[Any] = []
        self._seen: dict[tuple[int, frozenset[str]], Any] = {}
        for function in functions:
            self._enter(function, frozenset())

    def objects(self) -> list[Any]:
        """What stands under the names now."""
        found = [cell.cell_contents for cell in self.cells]
        found += [ask(name) for ask, name in self.named]
        if self.containers:
            found += chain.from_iterable(self.containers)
        return found

    def _enter(self, value: Any, names: frozenset[str]) -> None:
        value = getattr(value, "__wrapped__", value)
        if (id(value), names) in self._seen or isinstance(value, Value | type):
            return
        self._seen[id(value), names] = value
        if isinstance(value, MethodType):
            self._enter(value.__func__, names)
            self._enter(value.__self__, frozenset(_names(value.__func__.__code__)))
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, dict):
            self.containers.append(value.values())
            self._all(value.values(), names)
        elif isinstance(value, list):
            self.containers.append(value)
            self._all(value, names)
        elif hasattr(value, "__dict__") and not (isinstance(value, ModuleType) and _settled(value.__name__)):
            self._scope(vars(value), names)

    def _function(self, function: FunctionType) -> None:
        if _settled(function.__module__):
            return
        names = frozenset(_names(function.__code__))
        for cell in function.__closure__ or ():
            try:
                self._enter(cell.cell_contents, names)
            except ValueError:  # not yet filled
                continue
            self.cells.append(cell)
        self._scope(function.__globals__, names)

    def _scope(self, scope: Any, names: frozenset[str]) -> None:
        found = sorted(name for name in names if name in scope)
        self.named += [(scope.get, name) for name in found]
        self._all(map(scope.get, found), names)

    def _all(self, values: Any, names: frozenset[str]) -> None:
        for value in values:
            self._enter(value, names)


def _settled(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _SETTLED


def _names(code: CodeType) -> Iterator[str]:
    """Global variables and attributes that code names, that of functions inside it too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
