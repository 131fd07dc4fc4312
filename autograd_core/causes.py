"""Why an operation gave NaN or ∞: what its inputs say, and what to do about it.

A table by operation. Each entry looks at arrays that are in memory and answers with a cause and a mend, or None when it
sees nothing; what no entry explains is told from the inputs alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Explanation = tuple[str, str] | None


def cause_of(operation: str, inputs: dict[str, Any], out: Any) -> tuple[str, str]:
    """(cause, mend) of a bad result `out`; `inputs` by name, in their order: arrays, numbers, None where not known."""
    arrays = _arrays(inputs)
    with np.errstate(all="ignore"):
        if np.isfinite(out).all():
            largest = _largest(arrays)
            of = f": the largest input is {largest:.4g}" if largest else ""
            return f"the results are too large for {out.dtype}{of}", _SMALLER
        found = _FORWARD.get(operation, _nothing)(arrays) or _infinite_inputs(operation, arrays)
        return found or _overflow(operation, arrays, out)


def cause_back(operation: str, inputs: dict[str, Any], out: Any, g: Any, share: Any) -> tuple[str, str]:
    """(cause, mend) of a bad derivative `share`, the cotangent `g` being fine; `out` is None if it is not known."""
    arrays = _arrays(inputs)
    if operation in _ZERO_AT_ZERO and inputs and next(iter(inputs.values())) is None and out is not None:
        arrays[next(iter(arrays))] = np.asarray(out)  # where the result is 0, its argument was
    with np.errstate(all="ignore"):
        if np.isfinite(share).all():
            largest = _largest({"share": np.asarray(share)})
            return (
                f"the derivative of {operation}, times the cotangent, is as large as {largest:.4g}",
                _SMALLER,
            )
        infinite = _BACKWARD.get(operation, _nothing)(arrays)
        if infinite is None:
            return (
                f"the derivative of {operation} overflowed, or is not finite at these inputs",
                "look at the inputs' range: keep them where the derivative is finite, or clip them",
            )
        cause, mend = infinite
        if np.isnan(share).any() and (np.asarray(g) == 0).any():
            cause += ", times a cotangent of 0: 0·∞ is NaN, and a mask further on does not help"
        return cause, mend


_UNKNOWN = np.asarray(np.nan)
_SMALLER = "smaller steps (learning rate, nn.clip_grad_norm), a normalisation before, or float64"
_ZERO_AT_ZERO = ("sqrt", "norm")


def _arrays(inputs: dict[str, Any]) -> dict[str, Any]:
    """Arrays; what is not known is a NaN, which compares with nothing."""
    return {name: _UNKNOWN if value is None else np.asarray(value) for name, value in inputs.items()}


def _largest(arrays: dict[str, Any]) -> float:
    sizes = [a for a in arrays.values() if a.size and a.dtype.kind in "fiu"]
    return max((float(m) for a in sizes if (m := np.abs(a).max()) == m), default=0.0)


def _nothing(arrays: dict[str, Any]) -> Explanation:
    return None


def _count(found: Any) -> str:
    n = int(np.count_nonzero(found))
    return f"{n:,} of {found.size:,} elements"


def _first(arrays: dict[str, Any]) -> Any:
    return next(iter(arrays.values()), _UNKNOWN)


def _second(arrays: dict[str, Any]) -> Any:
    return list(arrays.values())[1] if len(arrays) > 1 else _UNKNOWN


def _logarithm(lowest: float, what: str) -> Callable[[dict[str, Any]], Explanation]:
    def explain(arrays: dict[str, Any]) -> Explanation:
        x = _first(arrays)
        below, at = x < lowest, x == lowest
        if below.any():
            return (
                f"{what} of a number below {lowest:g} ({_count(below)})",
                "clip or square the argument before",
            )
        if at.any():
            name = "log of 0" if lowest == 0 else f"{what} of {lowest:g}"
            return (
                f"{name} ({_count(at)}), which is −∞",
                "use ag.log_softmax, ag.logsumexp or nn.cross_entropy where it is a probability, or add a small number",
            )
        return None

    return explain


def _exponential(size: Callable[[Any], Any]) -> Callable[[dict[str, Any]], Explanation]:
    def explain(arrays: dict[str, Any]) -> Explanation:
        x = _first(arrays)
        limit = float(np.log(np.finfo(x.dtype).max)) if x.dtype.kind == "f" else 88.7
        large = size(x) > limit
        if not large.any():
            return None
        return (
            f"overflow of exp: {_count(large)} beyond {limit:.4g}, the largest {float(size(x).max()):.4g}",
            "subtract the maximum first (ag.softmax, ag.logsumexp do), or keep the argument bounded",
        )

    return explain


def _division(arrays: dict[str, Any]) -> Explanation:
    x, y = _first(arrays), _second(arrays)
    zero = y == 0
    if not zero.any():
        return None
    kind = ": 0/0, which is NaN" if (zero & (x == 0)).any() else ": ∞" if not np.isnan(x).any() else ""
    return f"division by zero ({_count(zero)} of the divisor){kind}", _SAFE.format("the divisor")


_SAFE = "replace it inside the operation: ag.where(ok, {0}, 1), or add a small number to {0}"


def _reciprocal_root(arrays: dict[str, Any]) -> Explanation:
    return _root(arrays) or (
        ("1/√0, which is ∞", _SAFE.format("the argument")) if (_first(arrays) == 0).any() else None
    )


def _root(arrays: dict[str, Any]) -> Explanation:
    negative = _first(arrays) < 0
    if not negative.any():
        return None
    return (
        f"√ of a negative number ({_count(negative)})",
        "clip the argument at 0, or take abs or square before",
    )


def _power(arrays: dict[str, Any]) -> Explanation:
    x, y = _first(arrays), _second(arrays)
    if ((x == 0) & (y < 0)).any():
        return "0 to a negative power: a division by zero", _SAFE.format("the base")
    if ((x < 0) & (y != np.floor(y))).any():
        return "a negative number to a power that is no integer", "take abs of the base, or an integer power"
    return None


def _product(arrays: dict[str, Any]) -> Explanation:
    x, y = _first(arrays), _second(arrays)
    for a, b in ((x, y), (y, x)):
        if ((a == 0) & np.isinf(b)).any():
            return (
                "0·∞: a mask of zeros times a value that is already ∞",
                "choose with ag.where(mask, x, 0) and make x finite before, instead of multiplying with the mask",
            )
    return None


def _outside(arrays: dict[str, Any]) -> Explanation:
    outside = np.abs(_first(arrays)) > 1
    if not outside.any():
        return None
    return f"an argument outside of [−1, 1] ({_count(outside)})", "clip it: ag.clip(x, -1, 1)"


def _squares_overflow(arrays: dict[str, Any], out: Any) -> bool:
    return _largest(arrays) > float(np.finfo(out.dtype).max) ** 0.5


def _without_variance(arrays: dict[str, Any]) -> Explanation:
    x = _first(arrays)
    if x is _UNKNOWN or not np.isfinite(x).all() or _squares_overflow(arrays, x):
        return None
    return (
        "0/0: what is normalised does not vary, and epsilon is 0",
        "an epsilon above 0, such as the layer's default; or look for what made all of these the same",
    )


def _difference(arrays: dict[str, Any]) -> Explanation:
    if np.isinf(_first(arrays)).any() and np.isinf(_second(arrays)).any():
        return "∞ − ∞, which is NaN", "find where both of them became ∞ (below), and bound that"
    return None


def _masked_rows(arrays: dict[str, Any]) -> Explanation:
    if not np.isneginf(_first(arrays)).any():
        return None
    return (
        "rows that are −∞ throughout (a mask that lets nothing pass): ∞ − ∞, which is NaN",
        "let each row see at least one element, or choose afterwards: ag.where(any_visible, result, 0)",
    )


def _infinite_inputs(operation: str, arrays: dict[str, Any]) -> Explanation:
    floats = {name: a for name, a in arrays.items() if a is not _UNKNOWN and a.dtype.kind == "f"}
    bad = [name for name, a in floats.items() if not np.isfinite(a).all()]
    if not bad:
        return None
    return (
        f"{', '.join(bad)} is not finite already, and was not computed on the tape",
        "look at where these numbers come from: data with missing values, or a computation under no_grad",
    )


def _overflow(operation: str, arrays: dict[str, Any], out: Any) -> tuple[str, str]:
    largest = _largest(arrays)
    if np.isinf(out).any() and largest:
        top = np.finfo(out.dtype).max
        return (
            f"overflow: the result is larger than {out.dtype}'s {float(top):.3g}; the largest input is {largest:.4g}",
            _SMALLER,
        )
    known = all(a is not _UNKNOWN for a in arrays.values())
    if known and _squares_overflow(arrays, out):
        return f"numbers overflowed inside of it: ∞ − ∞ or 0·∞; the largest input is {largest:.4g}", _SMALLER
    if any(a.size == 0 for a in arrays.values()):
        return f"{operation} of no elements: 0/0", "leave out what is empty, before it comes here"
    if known:
        return f"{operation} has no finite result for these inputs", "look at their range, below"
    return (
        f"{operation} gives this for these inputs, or for one that was not kept",
        "ag.observe() around the computation keeps all values: with it the autopsy sees them all",
    )


_FORWARD: dict[str, Callable[[dict[str, Any]], Explanation]] = {
    "log": _logarithm(0, "log"), "log1p": _logarithm(-1, "log1p"), "exp": _exponential(np.asarray),
    "expm1": _exponential(np.asarray), "sinh": _exponential(np.abs), "cosh": _exponential(np.abs),
    "divide": _division, "floor_divide": _division, "remainder": _division,
    "rsqrt": _reciprocal_root, "sqrt": _root, "power": _power, "multiply": _product,
    "softmax": _masked_rows, "log_softmax": _masked_rows, "cross_entropy": _masked_rows,
    "asin": _outside, "acos": _outside,
    "subtract": _difference, "add": _difference, "normalise": _without_variance,
}  # fmt: skip


def _at_zero(what: str, mend: str) -> Callable[[dict[str, Any]], Explanation]:
    def explain(arrays: dict[str, Any]) -> Explanation:
        zero = _first(arrays) == 0
        return (f"{what} ({_count(zero)})", mend) if zero.any() else None

    return explain


_MASKED = (
    "make the argument safe inside the operation: {0}(ag.where(x > 0, x, 1)), then ag.where again outside"
)


def _power_back(arrays: dict[str, Any]) -> Explanation:
    x, y = _first(arrays), _second(arrays)
    if ((x == 0) & (y < 1)).any():
        return "a power below 1 at 0: its derivative is ∞ there", _MASKED.format("power")
    if (x < 0).any():
        return (
            "the derivative for an exponent takes the log of the base, which is negative",
            "a constant exponent",
        )
    return None


def _edges(arrays: dict[str, Any]) -> Explanation:
    at = np.abs(_first(arrays)) == 1
    return (
        (f"±1, where the derivative is ∞ ({_count(at)})", "clip inside: ag.clip(x, -1 + 1e-6, 1 - 1e-6)")
        if at.any()
        else None
    )


def _at_origin(arrays: dict[str, Any]) -> Explanation:
    at = (_first(arrays) == 0) & (_second(arrays) == 0)
    return (
        (f"atan2 at (0, 0), where its derivative is 0/0 ({_count(at)})", _SAFE.format("one of the two"))
        if at.any()
        else None
    )


def _divided_back(arrays: dict[str, Any]) -> Explanation:
    y = _second(arrays)
    if (y == 0).any():
        return f"division by zero ({_count(y == 0)} of the divisor)", _SAFE.format("the divisor")
    small = np.abs(y).min() if y.size else np.nan
    return (
        (f"1/y² overflowed: the smallest divisor is {float(small):.3g}", _SAFE.format("the divisor"))
        if small < 1e-18
        else None
    )


_BACKWARD: dict[str, Callable[[dict[str, Any]], Explanation]] = {
    "sqrt": _at_zero("√ at 0: its derivative 1/(2√x) is ∞ there", _MASKED.format("ag.sqrt")),
    "rsqrt": _at_zero("1/√x at 0", _MASKED.format("ag.rsqrt")),
    "log": _at_zero("log at 0: its derivative 1/x is ∞ there", _MASKED.format("ag.log")),
    "norm": _at_zero("a norm at 0: x/‖x‖ is 0/0 there", "add a number under the root: ag.sqrt((x * x).sum() + 1e-12)"),
    "power": _power_back, "divide": _divided_back, "asin": _edges, "acos": _edges,
    "atan2": _at_origin,
}  # fmt: skip
