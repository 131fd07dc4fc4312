"""`compile`: a function that is captured at its first call and replayed from then on."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any

import numpy as np

from autograd_core import tree
from autograd_core.compiler.capture import Capture
from autograd_core.compiler.variant import Variant
from autograd_core.dtypes import as_array, default_dtype
from autograd_core.tape import Value, captured, state
from autograd_core.tensor import Tensor


class Compiled:
    """A function that runs once and is replayed afterwards. Made by `compile`."""

    def __init__(self, function: Callable[..., Any], verify_every: int = 0) -> None:
        self.function = function
        self.verify_every = verify_every
        self.variants: dict[Any, list[Variant]] = {}
        self.lock = threading.RLock()
        update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **params: Any) -> Any:
        if state.capture is not None:
            return self.function(*args, **params)  # a part of the function that is being captured
        given: list[Any] = []
        key = (_signature((args, params), given), state.recording, default_dtype())
        with self.lock:
            for variant in self.variants.get(key, ()):
                if not variant.guards.broken():
                    return variant.run(given)
            result, variant = capture(self.function, args, params)
            self.variants.setdefault(key, []).append(variant)
            return result


def _signature(value: Any, arrays: list[Any]) -> Any:
    """What a call must have in common with a captured one: containers, shapes, dtypes, and all that is no array."""
    if isinstance(value, Value):
        arrays.append(value)
        return type(value), value.array.shape, value.array.dtype, value.node is not None
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return np.ndarray, value.shape, value.dtype
    if isinstance(value, dict):
        return dict, tuple([(k, _signature(v, arrays)) for k, v in value.items()])
    if isinstance(value, tuple | list):
        return type(value), tuple([_signature(v, arrays) for v in value])
    try:
        hash(value)
    except TypeError:
        return type(value), id(value)
    return type(value), value


def capture(
    function: Callable[..., Any], args: tuple[Any, ...], params: dict[str, Any]
) -> tuple[Any, Variant]:
    """Run the function and keep what it did. If it raises, everything is as it was before."""
    record = Capture(Tensor)
    tensors: list[Any] = []

    def entering(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = Tensor(as_array(value, copy=True))
        if isinstance(value, Value):
            record.argument(value.array, len(tensors))
            tensors.append(value)
        return value

    args, params = tree.tree_map(entering, (args, params))
    try:
        with _collector_paused():
            with captured(record):
                result = function(*args, **params)
            outputs = [
                (leaf, record.number_of(leaf)) for leaf in tree.leaves(result) if isinstance(leaf, Value)
            ]
            return result, Variant(function, record, tensors, result, outputs)
    except BaseException:
        record.undo()
        raise


@contextmanager
def _collector_paused() -> Iterator[None]:
    """All that is made while capturing lives on: walking it again and again took a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
