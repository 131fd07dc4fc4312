"""Errors that say which operation, on what, where in the model, and how to mend it."""

import re
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

EXPLAINED = "__autograd_core_explained__"

# What an operation may raise, the more special kinds first.
_KINDS = (
    np.exceptions.AxisError,
    IndexError,
    OverflowError,
    ZeroDivisionError,
    TypeError,
    np.linalg.LinAlgError,
    ValueError,
)


def describe(value: Any) -> str:
    """`float32[2,3]` for an array, the value itself for a scalar."""
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    return repr(value) if isinstance(value, int | float) else type(value).__name__


def explain(
    error: Exception, operation: str, names: Sequence[str], values: Sequence[Any], module_path: str
) -> Exception:
    """The same kind of error with its context: operation, arguments' dtypes and shapes, module path.

    The context is added once, here: kernels and operations only say what is wrong and how to mend it.
    """
    if hasattr(error, EXPLAINED):
        named = re.search(rf"\b{re.escape(operation)}\b", str(error))
        return error if named else _also_named(error, operation)
    text = str(error).removeprefix(f"{operation}: ")
    if "could not be broadcast" in text:
        text += ": counted from the last axis, sizes must be equal or 1; reshape or expand_dims one of them"
    arrays = (getattr(value, "array", value) for value in values)
    arguments = ", ".join(f"{name} {describe(array)}" for name, array in zip(names, arrays, strict=False))
    where = f" · in {module_path}" if module_path else ""
    message = f"{operation}: {text} · {arguments}{where}"
    kind = next((k for k in _KINDS if isinstance(error, k)), None)
    if isinstance(error, AttributeError) and any(isinstance(value, int | float) for value in values):
        kind = TypeError  # a plain number where the operation needs an array
    if kind is None:
        error.add_note(message)
        explained = error
    else:
        explained = kind(message)
    setattr(explained, EXPLAINED, True)
    return explained


def raise_from(explained: Exception, error: Exception) -> NoReturn:
    """Raise `explained` because of `error`, or `error` again when they are one.

    No frame of the traceback may hold the error that it belongs to: such a cycle keeps all arrays of all those frames
    alive until the garbage collector runs. So the error is handed over in the call and stands in no variable.
    """
    try:
        if explained is error:
            raise error
        raise explained from error
    finally:
        del explained, error


def check_callable(function: Any, name: str) -> None:
    """TypeError unless something that stands in a function's place is one."""
    if not callable(function):
        raise TypeError(
            f"{name}: {describe(function)} is not a function: give one that takes and returns arrays, "
            f"for example ag.{name}(lambda x: x * x)"
        )


def _also_named(error: Exception, operation: str) -> Exception:
    """The error of an operation inside another one, with the name of the one that the user called in front."""
    kind = next((k for k in _KINDS if isinstance(error, k)), None)
    if kind is None:
        error.add_note(f"{operation}: raised inside it")
        return error
    named = kind(f"{operation}: {error}")
    setattr(named, EXPLAINED, True)
    return named


class TracedValueError(TypeError):
    """Inside a compiled function Python looked at a number that is computed anew at every call."""
