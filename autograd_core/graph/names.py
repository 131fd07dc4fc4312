"""What a program calls its tensors and arrays: names for boxes that would have none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autograd_core.dtypes import Array
from autograd_core.tape import Node
from autograd_core.tensor import Tensor


class Names:
    """The names of a program's variables, by the node or the array that they stand for; the first name counts.

    A tensor is known by itself. An ndarray is copied on its way into a computation, so it is known by its numbers:
    where two variables hold the same ones, nothing tells which was meant, and there is no name.
    """

    def __init__(self, variables: Mapping[str, Any] | None = None) -> None:
        self.nodes: dict[Node, str] = {}
        self.tensors: dict[int, str] = {}  # by the array's id
        self.ndarrays: dict[tuple[Any, Any], list[tuple[str, Array]]] = {}  # by shape and dtype
        for name, value in (variables or {}).items():
            if name.startswith("_") or not name.isidentifier():
                continue
            if isinstance(value, Tensor):
                if value.node is None:
                    self.tensors.setdefault(id(value.array), name)
                else:
                    self.nodes.setdefault(value.node, name)
            elif isinstance(value, np.ndarray):
                self.ndarrays.setdefault((value.shape, value.dtype), []).append((name, value))

    def of(self, node: Node) -> str:
        """The name of a node's tensor, or ""."""
        return self.nodes.get(node, "")

    def of_array(self, array: Array) -> str:
        """The name of what an array is, or is a copy of; or ""."""
        if (name := self.tensors.get(id(array))) is not None:
            return name
        nans = array.dtype.kind == "f"
        found = {
            id(value): name
            for name, value in reversed(self.ndarrays.get((array.shape, array.dtype), []))
            if value is array or np.array_equal(value, array, equal_nan=nans)
        }
        return found.popitem()[1] if len(found) == 1 else ""
