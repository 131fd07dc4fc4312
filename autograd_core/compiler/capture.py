"""Capture: what a function did, as a list of operations on numbered arrays, and what it changed.

While a function is captured it runs as always, and every operation that passes `tape.apply` is noted down: those of
the forward pass, and those of derivative rules, which the sweep then gives tensors instead of arrays. Arrays are known
by identity, as long as they live. Those that operations compute are not kept: capturing takes the memory that the
function takes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd_core.compiler.errors import reading
from autograd_core.dtypes import as_array
from autograd_core.errors import TracedValueError
from autograd_core.lines import calling_line
from autograd_core.tape import Value, captured, like, state
from autograd_core.tree import tree_map


@dataclass(frozen=True, slots=True)
class Argument:
    """An array among the function's arguments: leaf `number` of all."""

    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """The array of a tensor that outlives the function: a parameter, a buffer, a tensor of an enclosing scope."""

    owner: Any  # weak while the function runs


@dataclass(frozen=True, slots=True, eq=False)
class Gradient:
    """The array of a tensor's gradient as it was when the function began."""

    owner: Any  # weak while the function runs; of an argument its number


@dataclass(frozen=True, slots=True, eq=False)
class Outside:
    """A NumPy array of an enclosing scope, which can be written to between two calls."""

    array: Any  # weak while the function runs


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """Numbers that the function makes anew at every call, always the same."""

    array: Any


Source = Argument | Held | Gradient | Outside | Constant


@dataclass(slots=True)
class Operation:
    """A primitive as it was called. Inputs are numbers of arrays, or Python numbers boxed as `Weak`."""

    primitive: Any
    inputs: tuple[Any, ...]
    params: dict[str, Any]
    within: dict[int, int]  # arrays inside the static parameters: id → number
    out: int
    module_path: str
    line: tuple[str, int]  # file and line of the user's program
    backward: bool  # a derivative rule did it
    result: Any  # shape and dtype of what it gave, as an array


@dataclass(frozen=True, slots=True)
class Weak:
    """A Python number, which does not take part in the choice of a dtype."""

    number: Any


@dataclass(slots=True)
class Touched:
    """A tensor that the function changed, and what it was before."""

    owner: weakref.ref[Any]
    array: Any
    grad: Any
    node: Any
    had_grad: bool  # whether there was a `_grad` at all
    grad_read: bool = False  # the gradient was looked at before it was set
    grad_set: bool = False


class Capture:
    """The record of one run; `state.capture` while that lasts.

    plain: the class of tensors that are no state. keep: what operations compute is kept, to be compared.
    """

    def __init__(self, plain: type[Value], keep: bool = False) -> None:
        self.operations: list[Operation] = []
        self.arrays: list[Any] = []  # by number; of what operations made only shape and dtype
        self.sources: dict[int, Source] = {}  # by number, of those that no operation made
        self.numbers: dict[int, int] = {}  # by id, of arrays that live
        self.watched: list[weakref.ref[Any]] = []
        self.touched: dict[int, Touched] = {}
        self.modules: dict[int, Any] = {}
        self.plain, self.keep = plain, keep
        # Places with one array between them: a tensor, and whether its gradient is meant.
        self.shared: list[tuple[tuple[weakref.ref[Any], bool], tuple[weakref.ref[Any], bool]]] = []
        self.looked_at: list[tuple[weakref.ref[Any], Any]] = []  # tensors, and their arrays, that Python read

    # What the engine tells -------------------------------------------------------------------------------------

    def record(self, primitive: Any, args: Any, arrays: Any, params: dict[str, Any], out: Any) -> None:
        """An operation was computed: `arrays` are its arguments' arrays, or Python numbers."""
        inputs = tuple(map(self._number, args, arrays))
        if id(out) in self.numbers:
            return  # the forward function gave back an argument
        within = {id(array): self._number(array, array) for array in arrays_within(params)}
        number, path, line = self._made(out), state.module_path, calling_line()
        made = Operation(primitive, inputs, params, within, number, path, line, state.deriving, like(out))
        self.operations.append(made)

    def touch(self, tensor: Value) -> Touched:
        """A tensor is going to be changed."""
        known = self.touched.get(id(tensor))
        if known is None or known.owner() is not tensor:
            had = hasattr(tensor, "_grad")
            grad = getattr(tensor, "_grad", None)
            known = Touched(weakref.ref(tensor), tensor.array, grad, tensor.node, had)
            self.touched[id(tensor)] = known
        return known

    def grad_set(self, tensor: Value) -> None:
        """A gradient is going to be set."""
        self.touch(tensor).grad_set = True

    def grad_read(self, tensor: Value, grad: Value | None) -> None:
        """A gradient is looked at, that may be from before."""
        known = self.touch(tensor)
        if known.grad_set:
            return
        known.grad_read = True
        if grad is None:
            return
        number = self.numbers.get(id(grad.array))
        if number is None:
            self.sources[self._add(grad.array)] = Gradient(weakref.ref(tensor))
        else:
            self._note_shared(tensor, number, True)

    def met(self, module: Any) -> None:
        """A module is called."""
        self.modules[id(module)] = module

    def read(self, tensor: Value, how: str) -> None:
        """Python looks at the numbers of a tensor: TracedValueError unless they are always the same."""
        number = self.numbers.get(id(tensor.array))
        source = self.sources.get(number) if number is not None else None
        if type(tensor) is not self.plain or (number is not None and not isinstance(source, Constant | Held)):
            raise reading(tensor, how)
        self.looked_at.append((weakref.ref(tensor), tensor.array))

    def refuse(self, what: str, mend: str) -> None:
        """An operation whose result's shape depends on numbers."""
        raise TracedValueError(f"{what} cannot be compiled: {mend}")

    # How arrays get numbers ------------------------------------------------------------------------------------

    def argument(self, array: Any, number: int) -> None:
        """An array is an argument of the function."""
        if id(array) not in self.numbers:
            self.sources[self._add(array)] = Argument(number)

    def number_of(self, tensor: Value) -> int:
        """The number of a tensor's array."""
        return self._number(tensor, tensor.array)

    def _number(self, arg: Any, array: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return Weak(array)
        number = self.numbers.get(id(array))
        if number is not None:
            if type(arg) is not np.ndarray:
                self._note_shared(arg, number)
            return number
        number = self._add(array)
        if self._is_made_here(arg):
            self.sources[number] = Constant(array)
        elif isinstance(arg, Value):
            self.sources[number] = Held(weakref.ref(arg))
        elif isinstance(arg, np.ndarray) and arg.flags.writeable:
            self.sources[number] = Outside(weakref.ref(arg))
        else:
            self.sources[number] = Constant(array)
        return number

    def _note_shared(self, arg: Any, number: int, gradient: bool = False) -> None:
        """The array of a tensor, or of its gradient, may be that of another one, as long as neither is assigned."""
        source = self.sources.get(number)
        if isinstance(source, Held | Gradient) and isinstance(arg, Value):
            owner, of_source = source.owner(), isinstance(source, Gradient)
            if owner is None or (owner is arg and of_source is gradient):
                return
            if of_source and type(arg) is self.plain and arg is getattr(owner, "_grad", None):
                return  # the gradient itself
            before = self.touched.get(id(arg))
            if gradient or before is None or before.owner() is not arg or before.array is arg.array:
                self.shared.append(((weakref.ref(arg), gradient), (source.owner, of_source)))

    def _is_made_here(self, arg: Any) -> bool:
        """Whether a state has been assigned numbers that no operation computed."""
        before = self.touched.get(id(arg))
        return before is not None and before.owner() is arg and before.array is not arg.array

    def _add(self, array: Any) -> int:
        number = self.numbers[id(array)] = len(self.arrays)
        self.arrays.append(array)
        return number

    def _made(self, array: Any) -> int:
        """A number for what an operation computed, until that is freed and its id can be another array's."""
        if self.keep:
            return self._add(array)
        numbers, known = self.numbers, id(array)
        number = numbers[known] = len(self.arrays)
        self.arrays.append(like(array))
        self.watched.append(weakref.ref(array, lambda _: numbers.pop(known, None)))
        return number

    # Afterwards ------------------------------------------------------------------------------------------------

    def settle(self, arguments: dict[int, int]) -> None:
        """Which tensors and arrays outlived the function is known now: only those can be different next time."""
        for number, source in self.sources.items():
            if isinstance(source, Held | Gradient):
                owner = source.owner()
                if owner is None:
                    self.sources[number] = Constant(self.arrays[number])
                elif isinstance(source, Gradient):
                    self.sources[number] = Gradient(arguments.get(id(owner), owner))
                else:
                    self.sources[number] = Held(owner)
            elif isinstance(source, Outside):
                array = source.array()
                self.sources[number] = Constant(self.arrays[number]) if array is None else Outside(array)

    def changed(self) -> Iterator[tuple[Any, Touched]]:
        """The tensors that were changed and still exist, with what they were."""
        for before in self.touched.values():
            owner = before.owner()
            if owner is not None:
                yield owner, before

    def changes(self) -> Iterator[tuple[Any, str, int | None]]:
        """(tensor, "array" or "grad", number of what it became) for all that is not as it was before."""
        for owner, before in self.changed():
            if owner.array is not before.array:
                yield owner, "array", self.number_of(owner)
            grad = getattr(owner, "_grad", None)
            if grad is not before.grad or before.grad_set:
                yield owner, "grad", None if grad is None else self.number_of(grad)

    def undo(self) -> None:
        """Everything that was changed as it was before."""
        for owner, before in self.changed():
            owner.array, owner.node = before.array, before.node
            if before.had_grad or hasattr(owner, "_grad"):
                owner._grad = before.grad

    def forget(self) -> None:
        """Let go of all arrays."""
        self.arrays, self.watched, self.numbers, self.touched, self.sources = [], [], {}, {}, {}


def arrays_within(value: Any) -> Iterator[Any]:
    """The ndarrays inside static parameters: in tuples, lists and dicts."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from arrays_within(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from arrays_within(each)


def recorded(
    record: Capture, function: Callable[..., Any], args: tuple[Any, ...], params: dict[str, Any]
) -> tuple[Any, list[Any]]:
    """Run the function and record it: its result, and the tensors among its arguments (ndarrays become tensors).

    If it raises, everything is as it was before.
    """
    tensors: list[Any] = []

    def entering(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = record.plain(as_array(value, copy=True))
        if isinstance(value, Value):
            record.argument(value.array, len(tensors))
            tensors.append(value)
        return value

    args, params = tree_map(entering, (args, params))
    try:
        with captured(record):
            return function(*args, **params), tensors
    except BaseException:
        record.undo()
        raise
