"""From operations to public functions: whatever comes in as an array, a tensor comes out."""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from autograd_core.dtypes import Array, unwritable
from autograd_core.errors import check_callable, explain, raise_from
from autograd_core.primitive import Primitive, explaining
from autograd_core.tape import Value, apply, capturing, state
from autograd_core.tensor import Tensor, as_tensor

_NUMBERS = (bool, int, float)


def public(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """The operation with its array arguments made tensors, and its results.

    Which arguments are arrays is read from the annotations, as for primitives; numbers beside a tensor stay weak.
    """
    plain = inspect.unwrap(function)
    composed = not isinstance(function, Primitive)
    function = explaining(function)
    parameters = list(inspect.signature(plain).parameters.values())
    names = [p.name for p in parameters if p.annotation in (Array, "Array")]
    if parameters[0].name == "arrays":  # concat, stack: one sequence of arrays
        return wraps(plain)(
            lambda arrays, *args, **params: function(
                _made(_sequence, arrays, plain.__name__, ["arrays"], [arrays]), *args, **params
            )
        )
    variadic = any(p.kind is p.VAR_POSITIONAL and p.name in names for p in parameters)
    leading = len(names)
    start = next(
        (i for i, p in enumerate(parameters) if p.name in names), 0
    )  # einsum has its subscripts first

    simple = not start and not variadic and leading > 0  # tensors may be handed on as they come

    convert = _composed_operands if composed else _operands

    @wraps(plain)
    def call(*args: Any, **params: Any) -> Any:
        if simple and _are_tensors(args[:leading], leading):
            result = function(*args, **params)
            return result if isinstance(result, Tensor) else _tensors(result)
        end = len(args) if variadic else start + leading
        inputs = [*args[start:end], *(params.pop(n) for n in names[len(args) - start :] if n in params)]
        operands = _made(convert, inputs, call.__name__, names, inputs)
        return _tensors(function(*args[:start], *operands, *args[end:], **params))

    call.__name__ = plain.__name__.strip("_")
    call.__signature__ = _public_signature(plain)  # pyright: ignore[reportAttributeAccessIssue]
    return call


def _are_tensors(values: tuple[Any, ...], count: int) -> bool:
    """Whether these are so many tensors; every call of an operation goes through here."""
    if len(values) != count:
        return False
    for value in values:  # noqa: SIM110 - all() would make a generator
        if not isinstance(value, Value):
            return False
    return True


def _public_signature(plain: Callable[..., Any]) -> inspect.Signature:
    """What help() shows: the operation's signature, with tensors in the arrays' places."""
    signature = inspect.signature(plain)
    shown = [
        p.replace(annotation="TensorLike") if p.annotation in (Array, "Array") else p
        for p in signature.parameters.values()
    ]
    returned = "Tensor" if signature.return_annotation in (Array, "Array") else signature.return_annotation
    return signature.replace(parameters=shown, return_annotation=returned)


def _made(
    convert: Callable[[Any], Any], given: Any, operation: str, names: list[str], values: list[Any]
) -> Any:
    """Arguments made tensors; an error on the way (a dtype, a list that is no array) names the operation."""
    try:
        return convert(given)
    except Exception as error:
        raise_from(explain(error, operation, names, values, state.module_path), error)


def _composed_operands(values: list[Any]) -> list[Any]:
    return [as_tensor(v) for v in values]


def _operands(values: list[Any]) -> list[Any]:
    """Arrays and lists as tensors; numbers as they are, for primitives, unless nothing else gives a dtype."""
    made = [v if isinstance(v, Value) or type(v) in _NUMBERS else as_tensor(v) for v in values]
    if any(isinstance(v, Value) for v in made):
        return made
    return [as_tensor(v) for v in made]


def _sequence(arrays: Any) -> Any:
    if isinstance(arrays, str | bytes | set | dict):
        raise TypeError(f"a {type(arrays).__name__} is no list of arrays: give [x, y]")
    return arrays if isinstance(arrays, Value) else [as_tensor(a) for a in arrays]


def _tensors(result: Any) -> Any:
    if isinstance(result, Value):
        return result
    if isinstance(result, np.ndarray | np.generic):
        return Tensor(np.asarray(result))
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*map(_tensors, result))
    return type(result)(map(_tensors, result)) if isinstance(result, tuple | list) else result


class UserPrimitive(Primitive):
    """A user's operation: arrays or tensors in, a tensor out.

    Neither the forward function nor a rule can change what it is given, nor change later what it has returned.
    """

    def __init__(self, forward: Callable[..., Any], name: str | None = None) -> None:
        check_callable(forward, "primitive")
        super().__init__(forward, name)
        given = _given_to(forward)
        self.forward = lambda *arrays, **params: _kept(forward(*map(given, arrays), **params))

    def defvjp(self, *rules: Callable[..., Any] | None) -> "UserPrimitive":
        """As `Primitive.defvjp`; a rule gets read-only arrays, and its result is its caller's."""
        super().defvjp(*[None if rule is None else _apart(rule) for rule in rules])
        return self

    def __call__(self, *args: Any, **params: Any) -> Any:
        arrays, statics = self.bind(args, params)
        if statics:
            statics = {name: _own(value) for name, value in statics.items()}
        return apply(
            self,
            _made(_operands, list(arrays), self.name, list(self.names(len(arrays))), list(arrays)),
            statics,
        )


def _given_to(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """How an argument is handed to a user's function: arrays read-only, tensors as other objects in the same place of
    the graph. A numba function would compile anew for read-only arrays, and would not keep to it: it gets copies.
    """
    compiled = hasattr(function, "py_func")

    def given(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.copy() if compiled else unwritable(value)
        if isinstance(value, Value):
            return Tensor(value.array, value.node)
        return tuple(map(given, value)) if type(value) is tuple else value

    return given


def _apart(rule: Callable[..., Any]) -> Callable[..., Any]:
    """A user's derivative rule that shares no array with anybody."""
    given = _given_to(rule)

    @wraps(rule)
    def call(*values: Any) -> Any:
        return _kept(rule(*map(given, values)))

    return call


def _own(static: Any) -> Any:
    """A static parameter that the caller cannot change before a derivative rule reads it."""
    if isinstance(static, np.ndarray):
        return static.copy() if capturing() is None else static  # the compiler knows an array by its identity
    if type(static) is dict:
        return {key: _own(each) for key, each in static.items()}
    return type(static)(map(_own, static)) if type(static) in (list, tuple, set) else static


def _kept(out: Any) -> Any:
    """What a user's forward function returned; a copy of an array that the function keeps, or has from elsewhere."""
    if isinstance(out, np.ndarray) and (out.base is not None or sys.getrefcount(out) > _REFERENCES):
        return out.copy()
    return out


def _references(out: Any) -> int:
    return sys.getrefcount(out)


_REFERENCES = _references(np.empty(0))  # to an array that only a function's argument names
