"""Running a program again: where its arrays lie this time, and what it leaves behind.

Arrays of parameters and buffers are written in place when nobody else holds them (reference counts say so), and
replaced by new ones otherwise: tensors are values, and `before = p.detach()` must stay what it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from operator import attrgetter, is_, is_not
from sys import getrefcount
from typing import Any

import numpy as np

from autograd_core.compiler.capture import Argument, Gradient, Held, Source
from autograd_core.compiler.graph import Call, Value, View
from autograd_core.compiler.program import Program
from autograd_core.errors import TracedValueError, describe, explain, raise_from
from autograd_core.kernels import threads
from autograd_core.kernels.launch import address_of, sharing
from autograd_core.kernels.replay import run
from autograd_core.ops.define import registry
from autograd_core.tape import Value as TapeValue
from autograd_core.tape import lifted, replaced
from autograd_core.tensor import Tensor
from autograd_core.threads import get_num_threads, one_blas_thread

_array_of, _grad_of = attrgetter("array"), attrgetter("_grad")
_none = nullcontext()
Tell = Callable[[int, float, float], None]  # row, began, ended


@dataclass(slots=True, eq=False)
class Effect:
    """A tensor's array or gradient that the function leaves changed."""

    owner: Any
    argument: int | None  # the number of the argument that it is, if it is one
    kind: str  # "array" or "grad"
    value: Value | None  # None: the gradient is set to None


class _Slots:
    """Arrays of the program's own that leave it: made anew where somebody still holds the last ones."""

    def __init__(self, program: Program, values: list[Value]) -> None:
        self.program = program
        self.values = values
        self.arrays = [np.empty(value.shape, value.dtype) for value in values]
        for value, array in zip(values, self.arrays, strict=True):
            program.bind(value, address_of(array))

    def renew(self, holders: int) -> None:
        """New arrays in the place of those that more than `holders` others hold."""
        counts = list(map(getrefcount, self.arrays))
        if counts and max(counts) > _ALONE + holders:
            for i, count in enumerate(counts):
                if count > _ALONE + holders:
                    value = self.values[i]
                    self.arrays[i] = made = np.empty(value.shape, value.dtype)
                    self.program.bind(value, address_of(made))


# What getrefcount says of an array in a list that nobody else holds, asked through map.
_ALONE = next(iter(map(getrefcount, [np.empty(1)])))


class Replay:
    """A program bound to the tensors that it reads and writes."""

    def __init__(
        self, program: Program, sources: dict[Value, Source], effects: list[Effect], homes: dict[Value, Value],
        results: list[Value], found: Any,
    ) -> None:  # fmt: skip
        self.found = found  # where checks write
        self.program = program
        self.alone = all(instruction.tasks <= 1 for instruction in program.instructions)
        self.arguments = [(v, s.number) for v, s in sources.items() if isinstance(s, Argument)]
        states = [(v, s.owner) for v, s in sources.items() if isinstance(s, Held)]
        written = set(homes.values())
        states.sort(key=lambda each: each[0] not in written)  # those that are written to come first
        self.states = [value for value, _ in states]
        self.owners = [owner for _, owner in states]
        self.written = sum(value in written for value in self.states)
        self.learned = [owner for owner in self.owners[: self.written] if owner.node is not None]
        others = [(v, s) for v, s in sources.items() if not isinstance(s, Argument | Held)]
        # Most of an optimizer's: gradients of parameters that the function has not been given as arguments.
        read = {v: s.owner for v, s in others if isinstance(s, Gradient) and not isinstance(s.owner, int)}
        self.read, self.read_from = list(read), list(read.values())
        self.others = [(v, s) for v, s in others if v not in read]
        self.bound: list[Any] = [None] * len(states)
        self.last: dict[Value, Any] = {}  # keeps the other sources' arrays alive
        homed = {effect.value for effect in effects if effect.value in homes}
        effects = [effect for effect in effects if effect.value not in homed]
        # Gradients of tensors that are no arguments, most of all effects, are looked at all at once.
        usual = [e for e in effects if e.kind == "grad" and e.value is not None and e.argument is None]
        self.graded = [effect.owner for effect in usual]
        self.effects = [effect for effect in effects if effect not in usual]
        self.left = _Slots(program, [e.value for e in (*usual, *self.effects) if e.value is not None])
        self.tensors = [Tensor(array) for array in self.left.arrays[: len(usual)]]
        # Where Python may raise, the last gradients must not be written over: their owners count as others.
        self.holders = 0 if any(instruction.address == 0 for instruction in program.instructions) else 1
        self.results = _Slots(program, results)

    def __call__(self, given: list[Any], tell: Tell | None = None) -> list[np.ndarray[Any, Any]]:
        """Run on new arguments; the arrays of the results. `tell` is told of each row, and when it ran."""
        self._bind_arguments(given)
        self._bind_states()
        if self.graded:
            self._part_with_gradients(self.graded, self.tensors)
        self.left.renew(self.holders)
        self.results.renew(0)
        if tell is None:
            self._run()
        else:
            self._run_by_rows(tell)
        self._leave(given)
        return self.results.arrays

    # Before ----------------------------------------------------------------------------------------------------

    def _bind_arguments(self, given: list[Any]) -> None:
        for value, number in self.arguments:
            argument = given[number]
            self._bind_other(value, argument.array if isinstance(argument, TapeValue) else argument)
        for value, array in zip(self.read, map(_array_of, map(_grad_of, self.read_from))):
            self._bind_other(value, array)
        for value, source in self.others:
            if isinstance(source, Gradient):
                self._bind_other(value, given[source.owner]._grad.array)
            else:
                self._bind_other(value, source.array)  # pyright: ignore[reportAttributeAccessIssue]

    def _bind_other(self, value: Value, array: Any) -> None:
        if array is self.last.get(value):
            return
        flags = array.flags
        if not (flags.c_contiguous and flags.aligned and array.dtype == value.dtype):
            array = np.ascontiguousarray(array, value.dtype)
        self.last[value] = array
        self.program.bind(value, address_of(array))

    def _bind_states(self) -> None:
        owners, bound = self.owners, self.bound
        now = list(map(_array_of, owners))
        if any(map(is_not, now, bound)):
            for i, array in enumerate(now):
                if array is not bound[i]:
                    self._bind_state(i, array)
            now = list(map(_array_of, owners))
        count = self.written
        if count:
            # Held by the owner and by `now` as well as by `bound`.
            held = list(map(getrefcount, bound[:count]))
            if max(held) > _ALONE + 3:
                for i in range(count):
                    if held[i] > _ALONE + 3:
                        self._replace(i, owners[i].array.copy())

    def _bind_state(self, i: int, array: Any) -> None:
        flags = array.flags
        usable = flags.c_contiguous and flags.aligned and array.dtype.isnative
        if i < self.written and not (usable and flags.writeable and array.base is None):
            return self._replace(i, np.array(array, order="C"))
        if not usable:
            return self._replace(i, np.ascontiguousarray(array))
        self.bound[i] = array
        self.program.bind(self.states[i], address_of(array))
        return None

    def _part_with_gradients(self, owners: list[Any], tensors: list[Any]) -> None:
        """A gradient of the last run that others than its owner hold is theirs now: two tensors hold its array then."""
        owned = list(map(is_, map(_grad_of, owners), tensors))
        counts = list(map(getrefcount, tensors))
        if max(counts) > _ALONE + 1 or not all(owned):
            for i, count in enumerate(counts):
                if count > _ALONE + owned[i]:
                    tensors[i] = Tensor(tensors[i].array)

    def _replace(self, i: int, array: Any) -> None:
        """Give a state an array of its own."""
        self.owners[i].array = self.bound[i] = array
        self.program.bind(self.states[i], address_of(array))

    # During ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        program = self.program
        count, row = len(program.instructions), 0
        number, together = self._threads()
        one_blas_thread()
        with threads.region() if together else _none:
            while (row := run(program.rows, row, count, number, together, self.found)) < count:
                self._python(program.instructions[row].call)
                row += 1

    def _run_by_rows(self, tell: Tell) -> None:
        """As `_run` does, the same kernels in the same order, with a look at the clock between them."""
        program = self.program
        number, together = self._threads()
        one_blas_thread()
        with threads.region() if together else _none:
            for row, instruction in enumerate(program.instructions):
                began = time.perf_counter()
                if run(program.rows, row, row + 1, number, together, self.found) == row:
                    self._python(instruction.call)
                tell(row, began, time.perf_counter())

    def _threads(self) -> tuple[int, int]:
        """How many threads run the rows, and what shares the tasks out among several (0: one thread)."""
        if self.alone or (number := get_num_threads()) == 1:
            return 1, 0
        return number, sharing()

    def _python(self, call: Any) -> None:
        """An operation that has no kernels, computed by its forward function."""
        assert isinstance(call, Call)

        def given(argument: Any) -> Any:
            return (
                self._array(argument.value).reshape(argument.shape)
                if isinstance(argument, View)
                else argument
            )

        params, primitive, out = filled(call.params, given), call.primitive, self._array(call.out)
        arrays = list(map(given, call.arguments))
        if registry.get(primitive.name) is not primitive:  # a user's own may keep what it is given
            arrays = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
        try:
            found = lifted(primitive, arrays, params, np.asarray(primitive.forward(*arrays, **params)))
        except Exception as error:
            names = primitive.names(len(arrays))
            raise_from(explain(error, primitive.name, names, arrays, call.module_path), error)
        if (found.shape, found.dtype) != (out.shape, out.dtype):
            raise TracedValueError(
                f"{primitive.name} returned {describe(found)} now, {describe(out)} when it was captured: results "
                "whose shape or dtype depends on numbers cannot be compiled"
            )
        out[...] = found

    def _array(self, value: Value) -> Any:
        if value.constant is not None:
            return value.constant
        if value in self.program.offsets:
            return self.program.inside(value)
        for values, arrays in ((self.states, self.bound), (self.left.values, self.left.arrays),
                               (self.results.values, self.results.arrays)):  # fmt: skip
            if value in values:
                return arrays[values.index(value)]
        return self.last[value]

    # Afterwards ------------------------------------------------------------------------------------------------

    def _leave(self, given: list[Any]) -> None:
        for value in self.read:  # or the next step's gradients, as long as these are kept, lie elsewhere
            del self.last[value]
        if self.graded:
            self._leave_gradients(self.graded, self.tensors, self.left.arrays)
        replaced(*self.learned)
        if self.effects:
            self._leave_effects(given)

    def _leave_effects(self, given: list[Any]) -> None:
        following = iter(self.left.arrays[len(self.tensors) :])
        for effect in self.effects:
            owner = effect.owner if effect.argument is None else given[effect.argument]
            if effect.value is None:
                owner._grad = None
            elif effect.kind == "array":
                owner.array = next(following)
                replaced(owner)
            else:
                owner._grad = Tensor(next(following))

    def _leave_gradients(self, owners: list[Any], tensors: list[Any], arrays: list[Any]) -> None:
        """Gradients where they belong: the tensors of the last time, unless they have got other arrays."""
        if any(map(is_not, map(_array_of, tensors), arrays)):
            for i, tensor in enumerate(tensors):
                if tensor.array is not arrays[i]:
                    tensors[i] = Tensor(arrays[i])
        if any(map(is_not, map(_grad_of, owners), tensors)):
            for owner, tensor in zip(owners, tensors):
                owner._grad = tensor


def filled(value: Any, given: Any) -> Any:
    """Static parameters with arrays in the place of views."""
    if isinstance(value, View):
        return given(value)
    if isinstance(value, dict):
        return {key: filled(each, given) for key, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(filled(each, given) for each in value)
    return value


def views_within(value: Any) -> Iterable[View]:
    """The views inside static parameters."""
    if isinstance(value, View):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from views_within(each)
    elif type(value) in (tuple, list):
        for each in value:
            yield from views_within(each)
