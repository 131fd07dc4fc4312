"""What a captured program assumes about the world besides its arguments, checked before each replay."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import is_not
from typing import Any, NamedTuple

import numpy as np

from autograd_core import tape
from autograd_core.compiler.surroundings import Surroundings

_PLAIN = (bool, int, float, str, type(None))


class Guards:
    """The modules that were called are made of the same parts in the same mode; gradients that were looked at, and
    what the function's code names around it, are as they were.
    """

    def __init__(
        self, function: Any, modules: Iterable[Any], grads: list[tuple[Any, Any]], kept: list[Any]
    ) -> None:
        met = list(modules)
        self.modules = list(map(weakref.ref, met))  # an optimizer keeps its own compiled step
        self.parts = [_parts(module) for module in met]
        self.lists = [_live(part) for parts in self.parts for part in parts if isinstance(part, list | dict)]
        self.contents = list(chain.from_iterable(self.lists))
        self.version = tape.structure[0]
        self.grads = grads  # (tensor, dtype of its gradient, or None where there was none)
        self.kept = kept  # (tensor, array): tensors whose numbers Python looked at
        code = {getattr(type(module), name) for module in met for name in module.guarded_code}
        self.tracked: list[tuple[Any, bool]] = []  # states, and whether they required a gradient
        self.labels: list[tuple[int, int, int]] = []  # (argument, lowest, classes)
        self.shared: list[tuple[Place, Place]] = []  # states and gradients that had one array between them
        self.surroundings = Surroundings([function, *code])
        self.objects = self.surroundings.objects()

    def broken(self, given: Sequence[Any]) -> str:
        """What is different now; empty when nothing is."""
        if self.objects and _differs(self.surroundings.objects(), self.objects):
            return "a variable that the function names is another number or object now"
        for owner, dtype in self.grads:
            grad = getattr(owner, "_grad", None)
            if grad is None:
                if dtype is not None:
                    return f"the gradient of {_name(owner)} was there when captured"
            elif dtype is None or grad.array.dtype != dtype:
                return f"the gradient of {_name(owner)} was {dtype} when captured"
        for tensor, array in self.kept:
            if tensor.array is not array:
                return "a tensor has changed whose numbers the function looked at"
        for number, lowest, classes in self.labels:
            labels = np.asarray(getattr(given[number], "array", given[number]))
            if labels.size and (labels.min() < lowest or labels.max() >= classes):
                return "a label is out of range: the function itself says which"
        for one, other in self.shared:
            if one.array() is not other.array():
                return f"{one} and {other} no longer share their elements"
        if self.lists and _differs(list(chain.from_iterable(self.lists)), self.contents):
            return "a module's list of parts has changed"
        if self.version != tape.structure[0]:
            for reference, before in zip(self.modules, self.parts, strict=True):
                module = reference()
                if module is None or _differs(_parts(module), before):
                    return f"{type(module).__name__} has another attribute or mode now"
            for owner, required in self.tracked:
                if (owner.node is not None) is not required:
                    return f"{_name(owner)} {'no longer requires' if required else 'requires'} a gradient now"
            self.version = tape.structure[0]
        return ""


class Place(NamedTuple):
    """Where an array lies: in a tensor, or in its gradient."""

    owner: Any
    gradient: bool

    def array(self) -> Any:
        """The array that lies there now, or None."""
        holder = getattr(self.owner, "_grad", None) if self.gradient else self.owner
        return None if holder is None else holder.array

    def __str__(self) -> str:
        return f"the gradient of {_name(self.owner)}" if self.gradient else _name(self.owner)


def _parts(module: Any) -> list[Any]:
    """What a module or an optimizer is made of."""
    skipped = module.unguarded
    found = [value for key, value in vars(module).items() if key not in skipped]
    return [getattr(module, "training", None), *found]


def _live(container: Any) -> Any:
    """What a list or dict holds, whenever it is looked at."""
    return container.values() if isinstance(container, dict) else container


def _differs(now: list[Any], before: list[Any]) -> bool:
    """Whether any of the objects is another one. Equal numbers are the same, NaN too, but 0.0 is not -0.0."""
    if len(now) != len(before):
        return True
    return any(map(is_not, now, before)) and any(
        a is not b and not (type(a) is type(b) and isinstance(a, _PLAIN) and repr(a) == repr(b))
        for a, b in zip(now, before)
    )


def _name(owner: Any) -> str:
    return getattr(owner, "name", "") or "a tensor"
