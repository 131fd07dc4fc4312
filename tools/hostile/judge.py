"""What counts as right: a value equal to the reference, or an error that names the operation."""

import math
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import autograd_core as ag

# What an operation may raise. Subclasses count (AxisError, LinAlgError); those that Python's own machinery raises
# when something went wrong inside do not.
NAMED = (TypeError, ValueError, IndexError, OverflowError, MemoryError, ZeroDivisionError)
UNNAMED = (
    KeyError,
    AttributeError,
    SystemError,
    RecursionError,
    AssertionError,
    UnicodeError,
    NotImplementedError,
)
DOORS = ("asarray", "tensor", "dtype", "from_dlpack")  # what an error of making the operand itself names


class Done(NamedTuple):
    """What a call gave: a value, or the error that it raised."""

    value: Any
    error: BaseException | None


class Verdict(NamedTuple):
    """How a cell ended: status is equal, error or bad."""

    status: str
    detail: str = ""


def attempt(function: Callable[..., Any], args: Sequence[Any], params: dict[str, Any]) -> Done:
    """The call's value, or its error."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Done(function(*args, **params), None)
    except Exception as error:
        return Done(None, error)


def error_verdict(error: BaseException, titles: Sequence[str]) -> Verdict:
    """An error is right when its kind is one that users expect and its message names the operation."""
    kind = type(error)
    shown = f"{kind.__name__}: {str(error).splitlines()[0] if str(error) else '(no message)'}"
    module = kind.__module__.split(".")[0]
    if module in ("numba", "llvmlite") or not isinstance(error, NAMED) or isinstance(error, UNNAMED):
        return Verdict("bad", f"unnamed error: {shown}")
    text = "\n".join([str(error), *getattr(error, "__notes__", ())])
    if not any(title and re.search(rf"\b{re.escape(title)}\b", text) for title in titles):
        return Verdict("bad", f"the error does not name {titles[0]}: {shown}")
    return Verdict("error", shown)


def arrays_of(value: Any) -> list[Any]:
    """The arrays of a result: a tensor, an array, a number, or a sequence of them."""
    if isinstance(value, ag.Tensor):
        return [value.detach().numpy()]
    if isinstance(value, list | tuple):
        return [a for v in value for a in arrays_of(v)]
    return [value]


def compare(got: Any, want: Any, rtol: float, dtypes: bool = True) -> str | None:
    """What differs between two results, None when nothing does. `rtol` is relative to the largest finite element."""
    mine, theirs = arrays_of(got), arrays_of(want)
    if len(mine) != len(theirs):
        return f"{len(mine)} results instead of {len(theirs)}"
    for a, b in zip(mine, theirs, strict=True):
        if (found := _difference(np.asarray(a), np.asarray(b), rtol, dtypes)) is not None:
            return found
    return None


def _difference(a: np.ndarray, b: np.ndarray, rtol: float, dtypes: bool) -> str | None:
    if a.shape != b.shape:
        return f"shape {a.shape} instead of {b.shape}"
    if dtypes and a.dtype != b.dtype and not (b.dtype == np.float16 and a.dtype == np.float32):
        return f"dtype {a.dtype} instead of {b.dtype}"
    if a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        return None if bool(np.all(a == b)) else f"{a} instead of {b}"
    if a.dtype.kind in "iub" and b.dtype.kind in "iub":
        return None if np.array_equal(a, b) else _worst(a, b, a != b)
    wide, other = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        finite = np.isfinite(wide) & np.isfinite(other)
        odd = ~finite & ~((np.isnan(wide) & np.isnan(other)) | (wide == other))
        if odd.any():
            return _worst(wide, other, odd)
        scale = max(1.0, float(np.abs(other[finite]).max(initial=0.0)))
        apart = finite & (np.abs(wide - other) > rtol * scale if math.isfinite(scale) else wide != other)
    return _worst(wide, other, apart) if apart.any() else None


def _worst(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> str:
    place = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(where)))
    return f"{np.atleast_1d(a)[place]} instead of {np.atleast_1d(b)[place]} at {list(place)}"


LOOSE = set(
    "solve inv cholesky qr svd svd_full eigh det cofactors slogdet ratio norm pinv lstsq expm".split()
)


def tolerance(name: str, single: bool, gradient: bool = False) -> float:
    """What rounding may make of a result, relative to its largest element."""
    loose = name.rsplit(".", 1)[-1].removesuffix("()") in LOOSE
    if single:
        return (4e-3 if loose else 2e-4) if gradient else (4e-4 if loose else 2e-5)
    return (1e-7 if loose else 1e-9) if gradient else (1e-9 if loose else 1e-12)
