"""`compile`: a function that is captured at its first call and replayed from then on."""

from __future__ import annotations

import gc
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from operator import itemgetter
from typing import Any

import numpy as np

from autograd_core.compiler.capture import Capture, recorded
from autograd_core.compiler.explain import Text, explanation, listing
from autograd_core.compiler.rerun import Rerun
from autograd_core.compiler.variant import Variant
from autograd_core.compiler.verify import verified
from autograd_core.dtypes import default_dtype
from autograd_core.kernels import forks
from autograd_core.memory import release
from autograd_core.tape import Value, observer, state
from autograd_core.tensor import Tensor
from autograd_core.tree import leaves

MAX_PROGRAMS = 64  # of one compiled function
_RETURNED = (Value, bool, int, float, str, bytes, np.generic, np.dtype, type(None))


class Compiled:
    """A function that runs once and is replayed afterwards. Made by `compile`."""

    def __init__(
        self,
        function: Callable[..., Any],
        verify_every: int = 0,
        keep_inputs: bool = False,
        max_programs: int = MAX_PROGRAMS,
    ) -> None:
        if isinstance(max_programs, bool) or not isinstance(max_programs, int) or max_programs < 1:
            raise ValueError(f"compile: max_programs = {max_programs!r}: give a positive integer")
        self.function = function
        self.verify_every = verify_every
        self.keep_inputs = keep_inputs
        self.max_programs = max_programs
        self.rerun: Rerun | None = None  # the last call, where inputs are kept
        self.variants: dict[Any, list[Variant]] = {}
        self.reasons: list[str] = []  # why it was captured again
        self.calls = 0  # replays
        self.captures = 0
        self.lock = forks.lock()
        self.bind = Binding(function)
        update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **params: Any) -> Any:
        if state.capture is not None or ((looking := observer()) is not None and looking.as_it_stands):
            return self.function(*args, **params)  # a part of what is captured, or looked at
        if params:
            args, params = self.bind(args, params)
        given: list[Any] = []  # in the order in which `recorded` numbers them: by position, then by name
        arguments = tuple([_signature(argument, given) for argument in args])
        settings = _signature(params, given) if params else None
        key = (arguments, settings, _shared(given), state.recording, default_dtype())
        with self.lock:
            reason = "arguments of other shapes, dtypes, kinds or static values" if self.variants else ""
            for variant in self.variants.get(key, ()):
                reason = variant.guards.broken(given)
                if not reason:
                    self.calls += 1
                    variant.used = self.calls + self.captures
                    if self.keep_inputs:
                        self.rerun = Rerun(self.function, variant, args, params)
                    if self.verify_every and self.calls % self.verify_every == 0:
                        result = verified(self.function, variant, args, params, given)
                    else:
                        result = variant.run(given)
                    return result if self.rerun is None else self.rerun.gave(result)
            began = time.perf_counter()
            self.rerun = None
            result, variant = capture(self.function, args, params)
            release()  # what the first run took: from now on everything is in the program's own block
            variant.seconds = time.perf_counter() - began
            self._add(key, variant)
            self.reasons += [reason] if reason else []
            del self.reasons[: -self.max_programs]
            return result

    def _add(self, key: Any, variant: Variant) -> None:
        """Keep a new program; the one whose last use is longest ago goes, where there are too many."""
        self.captures += 1
        variant.used = self.calls + self.captures
        self.variants.setdefault(key, []).append(variant)
        kept = [(each.used, k) for k, variants in self.variants.items() for each in variants]
        if len(kept) > self.max_programs:
            oldest, where = min(kept, key=itemgetter(0))
            left = [each for each in self.variants[where] if each.used != oldest]
            if left:
                self.variants[where] = left
            else:
                del self.variants[where]

    def explain(self) -> Text:
        """What was captured and fused, what is left to Python, and why there is more than one program.

        >>> import autograd_core as ag
        >>> f = ag.compile(lambda x: (x + 1).exp())
        >>> f.explain()
        <lambda>: not called yet, so nothing is captured
        """
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return explanation(name, [v for kept in self.variants.values() for v in kept], self.reasons)

    def program(self) -> Text:
        """The program of the last capture: each instruction with its modules and lines.

        >>> import autograd_core as ag
        >>> f = ag.compile(lambda x: ((x + 1) * 2).sum())
        >>> f(ag.tensor([1.0, 2.0])).item()
        10.0
        >>> f.program()
            0  %4 float32[] = sum(((%0 + 1) · 2))    # <doctest ...>:1
        """
        variants = [variant for kept in self.variants.values() for variant in kept]
        return listing(variants[-1]) if variants else self.explain()


class Binding:
    """Brings the arguments of a call into one form: `f(a, y=b)`, `f(x=a, y=b)` and `f(y=b, x=a)` are one call.

    What can be given by position is, what else is named follows in the signature's order; defaults stay away.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            self.signature = inspect.signature(
                function, follow_wrapped=False
            )  # what is called is the wrapper
        except (TypeError, ValueError):  # a built-in function without one
            self.signature = None
        # How many arguments came by position, and the names of the others → where each argument is taken from.
        self.orders: dict[tuple[int, tuple[str, ...]], tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def __call__(
        self, args: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments by position, and those by name."""
        order = self.orders.get((len(args), tuple(params)))
        if order is None:
            order = self._order(args, params)
        positions, names = order
        found = [params[key] if type(key) is str else args[key] for key in positions]
        return tuple(found), {name: params[key] for name, key in names.items()}

    def _order(self, args: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        keys = tuple(range(len(args))), {name: name for name in params}
        try:
            bound = self.signature.bind(*keys[0], **keys[1]) if self.signature else None
        except TypeError:  # the function itself says what does not fit
            bound = None
        order = self.orders[len(args), tuple(params)] = (bound.args, bound.kwargs) if bound else keys
        return order


def _signature(value: Any, arrays: list[Any]) -> Any:
    """What a call must have in common with a captured one: containers, shapes, dtypes, and all that is no array."""
    if isinstance(value, Value):
        arrays.append(value)
        kind, array, had = type(value), value.array, getattr(value, "_grad", None) is not None
        state_of = None if kind is Tensor else id(value)  # a parameter may be met in the closure too
        return kind, array.shape, array.dtype, value.node is not None, had, state_of
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return np.ndarray, value.shape, value.dtype
    if isinstance(value, dict):
        return dict, tuple([(k, _signature(v, arrays)) for k, v in value.items()])
    if isinstance(value, tuple | list):
        return type(value), tuple([_signature(v, arrays) for v in value])
    if isinstance(value, float):
        return type(value), repr(value)  # NaN is equal to itself then, and -0.0 not to 0.0
    try:
        hash(value)
    except TypeError:
        return _Identity(value)
    return type(value), value


class _Identity:
    """A static argument without a hash: equal to itself alone, and kept, or another could get its address."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def _shared(given: list[Any]) -> tuple[int, ...]:
    """Which of the arguments is the first with each one's elements: empty where all have their own."""
    if len(given) < 2:
        return ()
    arrays = [id(each.array) if isinstance(each, Value) else id(each) for each in given]
    return () if len(set(arrays)) == len(arrays) else tuple(map(arrays.index, arrays))


def capture(
    function: Callable[..., Any], args: tuple[Any, ...], params: dict[str, Any]
) -> tuple[Any, Variant]:
    """Run the function and keep what it did. If it raises, everything is as it was before."""
    record = Capture(Tensor)
    with _collector_paused():
        result, tensors = recorded(record, function, args, params)
        try:
            _check_result(result)
            began = time.perf_counter()
            variant = Variant(function, record, tensors, result)
            if (looking := observer()) is not None:
                looking.compiled(variant, began, time.perf_counter())
            return result, variant
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


def _check_result(result: Any) -> None:
    """Objects that may hold tensors would be those of the first call for ever."""
    for leaf in leaves(result):
        if not isinstance(leaf, _RETURNED):
            raise TypeError(
                f"a compiled function returned a {type(leaf).__name__}: return tensors, numbers and text, in dicts, "
                "lists and tuples as you like"
            )
