"""A replayed call run again as it stands, from the inputs that it had: for autopsies, since a program keeps no tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autograd_core import tree
from autograd_core.compiler.variant import Variant
from autograd_core.dtypes import as_array
from autograd_core.observer import observe
from autograd_core.tape import Leaf, Value, recording
from autograd_core.tensor import Tensor


class Rerun:
    """The arguments of a call, and the arrays of all that it reads: held, so the replay writes to others."""

    def __init__(
        self, function: Callable[..., Any], variant: Variant, args: tuple[Any, ...], params: dict[str, Any]
    ) -> None:
        self.function = function
        replay = variant.replay
        owners = [*replay.owners, *replay.graded, *(e.owner for e in replay.effects if e.owner is not None)]
        given = [leaf for leaf in tree.leaves((args, params)) if isinstance(leaf, Tensor)]
        self.before = _held([*owners, *given])
        self.args, self.params = tree.tree_map(_as_given, (args, params))
        self.results: list[Any] = []  # the arrays that the replay gave

    def gave(self, result: Any) -> Any:
        """The replay's result, noted and handed on."""
        self.results = [leaf.array for leaf in tree.leaves(result) if isinstance(leaf, Tensor)]
        return result

    def tensors(self) -> tuple[list[Tensor], list[Tensor]]:
        """The call's results, computed anew with everything kept for the tape; all is afterwards as it is now.

        And, for a function that returns nothing with a graph, the results of its operations that nothing reads.
        """
        now = _held([owner for owner, *_ in self.before])
        looking = _Ends()
        try:
            _put(self.before)
            with looking, recording(True):
                result = self.function(*self.args, **self.params)
        finally:
            _put(now)
        return [leaf for leaf in tree.leaves(result) if isinstance(leaf, Tensor)], looking.ends()

    def differs(self, tensors: list[Tensor]) -> str:
        """A word of warning where these results are not those of the replay; else nothing."""
        pairs = list(zip(self.results, tensors))
        if len(self.results) == len(tensors) and all(_alike(was, now.array) for was, now in pairs):
            return ""
        return (
            "its results are not those of the last call, so it read something that has changed since: a module's "
            "attribute, a variable"
        )


class _Ends(observe):
    """Knows what was computed with a gradient and read by nothing."""

    def __init__(self) -> None:
        self.made: dict[Any, Tensor] = {}

    def note(self, primitive: Any, args: Any, result: Any, began: float, ended: float) -> None:
        super().note(primitive, args, result, began, ended)
        for arg in args:
            if isinstance(arg, Value):
                self.made.pop(arg.node, None)
        if result.node is not None and isinstance(result, Tensor):
            self.made[result.node] = result

    def ends(self) -> list[Tensor]:
        """In the order in which they were made."""
        return list(self.made.values())


def _alike(was: Any, now: Any) -> bool:
    """Equal but for what another order of the sums makes."""
    if was.shape != now.shape or was.dtype.kind != "f":
        return was.shape == now.shape and bool(np.array_equal(was, now))
    with np.errstate(all="ignore"):
        return bool(np.allclose(was, now, rtol=1e-2, atol=1e-5, equal_nan=True))


def _as_given(value: Any) -> Any:
    """An argument as it is now: an ndarray may be written to before somebody asks."""
    return (
        as_array(value, copy=True)
        if hasattr(value, "__array_interface__") and not isinstance(value, Value)
        else value
    )


def _held(owners: list[Any]) -> list[tuple[Any, Any, Any, int]]:
    unique = {id(owner): owner for owner in owners}
    return [
        (owner, owner.array, getattr(owner, "_grad", None), getattr(owner.node, "since", 0))
        for owner in unique.values()
    ]


def _put(held: list[tuple[Any, Any, Any, int]]) -> None:
    for owner, array, grad, since in held:
        owner.array = array
        if isinstance(owner.node, Leaf):
            owner.node.since = since
        if hasattr(owner, "_grad"):
            owner._grad = grad
