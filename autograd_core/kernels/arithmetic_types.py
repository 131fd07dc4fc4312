"""The types of arithmetic on numbers, found once in a process.

For every `a + b` numba tries all that it knows of + (of strings, lists, sets, arrays …), which takes 2 to 3 ms: a sixth
of the time in which a convolution's kernels compile. Of numbers the answer depends on their types alone.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.types.functions import BaseFunction

_OPERATORS = frozenset(
    getattr(operator, name)
    for name in "add sub mul floordiv truediv mod lt le gt ge eq ne neg and_ or_ xor lshift rshift iadd isub imul "
    "ifloordiv imod invert not_".split()
)
_find = BaseFunction.get_call_type
_found: dict[
    tuple[Any, ...], tuple[Any, Any]
] = {}  # (operator, types): their signature, and its implementation's key


def _remembered(self: Any, context: Any, args: Any, kws: Any) -> Any:
    """BaseFunction.get_call_type."""
    if (
        kws
        or self.key[0] not in _OPERATORS
        or not all(isinstance(arg, types.Number | types.Boolean) for arg in args)
    ):
        return _find(self, context, args, kws)
    key = (self.key[0], *map(types.unliteral, args))
    if key not in _found:
        signature: Any = _find(self, context, args, kws)
        _found[key] = signature, self._impl_keys[signature.args]
    signature, self._impl_keys[signature.args] = _found[key]
    return signature


@contextmanager
def remembered() -> Iterator[None]:
    """What is compiled here asks once for each operator and types. numba compiles one function at a time meanwhile."""
    with global_compiler_lock:
        before, BaseFunction.get_call_type = BaseFunction.get_call_type, _remembered
        try:
            yield
        finally:
            BaseFunction.get_call_type = before
