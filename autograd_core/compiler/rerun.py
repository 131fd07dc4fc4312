"""A replayed call run again as it stands, from the inputs that it had: for autopsies, since a program keeps no tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_core import tree
from autograd_core.compiler.variant import Variant
from autograd_core.dtypes import as_array
from autograd_core.observer import observe
from autograd_core.tape import Value, state
from autograd_core.tensor import Tensor


class Rerun:
    """The arguments of a call, and the arrays of all that it reads: held, so the replay writes to others."""

    def __init__(
        self, function: Callable[..., Any], variant: Variant, args: tuple[Any, ...], params: dict[str, Any]
    ) -> None:
        self.function = function
        replay = variant.replay
        owners = [*replay.owners, *replay.graded, *(e.owner for e in replay.effects if e.owner is not None)]
        self.before = _held(owners)
        self.args, self.params = tree.tree_map(_as_given, (args, params))

    def tensors(self) -> list[Tensor]:
        """The call's results, computed anew with everything kept for the tape; all is afterwards as it is now."""
        now = _held([owner for owner, *_ in self.before])
        recording, state.recording = state.recording, True
        try:
            _put(self.before)
            with observe():
                result = self.function(*self.args, **self.params)
        finally:
            state.recording = recording
            _put(now)
        return [leaf for leaf in tree.leaves(result) if isinstance(leaf, Tensor)]


def _as_given(value: Any) -> Any:
    """An argument as it is now: an ndarray may be written to before somebody asks."""
    return (
        as_array(value, copy=True)
        if hasattr(value, "__array_interface__") and not isinstance(value, Value)
        else value
    )


def _held(owners: list[Any]) -> list[tuple[Any, Any, Any]]:
    unique = {id(owner): owner for owner in owners}
    return [(owner, owner.array, getattr(owner, "_grad", None)) for owner in unique.values()]


def _put(held: list[tuple[Any, Any, Any]]) -> None:
    for owner, array, grad in held:
        owner.array = array
        if hasattr(owner, "_grad"):
            owner._grad = grad
