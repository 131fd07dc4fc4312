"""Bad parameters of every public function: each is a named error, or means what NumPy makes of it."""

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from samples import Sample

import autograd_core as ag
from tools.hostile.cells import by_name, is_numpys
from tools.hostile.judge import Verdict, attempt, compare, error_verdict
from tools.hostile.subjects import Subject, as_tensors, places_of


class Opaque:
    """An object that is nothing."""


VALUES: dict[str, Any] = {
    "99": 99, "-99": -99, "-1": -1, "0": 0, "2**34": 2**34, "2**62": 2**62, "2**63": 2**63, "-2**63": -(2**63), "2**70": 2**70,
    "1.0": 1.0, "1.5": 1.5, "nan": math.nan, "inf": math.inf, "float64": np.float64(1.0), "1j": 1j,
    "str": "0", "empty str": "", "bytes": b"x", "None": None, "True": True, "False": False, "int8": np.int8(0),
    "()": (), "[]": [], "(0,0)": (0, 0), "[0]": [0], "(99,)": (99,), "(-1,-1)": (-1, -1), "(1.0,)": (1.0,), "('0',)": ("0",),
    "(None,)": (None,), "(2**40,)": (2**40,), "((0,),)": ((0,),), "{}": {}, "set": {0}, "object": Opaque(), "class": int,
    "lambda": lambda x: x, "array": np.array([0, 1]), "0-d array": np.array(0), "float array": np.array([0.5]),
    "tensor": ag.tensor([0, 1]), "0-d tensor": ag.tensor(0), "slice": slice(None), "...": ..., "datetime": np.datetime64("2024-01-01"),
}  # fmt: skip

# Array operands that are none.
OPERANDS: dict[str, Any] = {
    "None": None, "str": "abc", "bytes": b"x", "object": Opaque(), "class": int, "dict": {"a": 1}, "set": {1.0},
    "lambda": lambda x: x, "ragged": [[1.0], [1.0, 2.0]], "list of str": ["a"], "list of None": [None], "1j": 1j,
    "2**70": 2**70, "empty list": [], "module": np, "generator": (i for i in ()), "slice": slice(None), "...": ...,
}  # fmt: skip
QUICK = {
    "99",
    "-1",
    "0",
    "2**70",
    "1.0",
    "1.5",
    "nan",
    "str",
    "None",
    "True",
    "(0,0)",
    "(99,)",
    "object",
    "tensor",
}


@cache
def _parameters(subject_name: str) -> dict[str, inspect.Parameter]:
    """The parameters that are no arrays, of functions whose signature is known."""
    subject = by_name()[subject_name]
    try:
        signature = inspect.signature(subject.call)
    except (TypeError, ValueError):
        return {}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    own = {n: p for n, p in signature.parameters.items() if p.kind in kinds}
    return {
        n: p
        for n, p in own.items()
        if p.annotation != "TensorLike" and n not in ("arrays", "known", "x", "data")
    }


def _subjects() -> Iterator[Subject]:
    for subject in by_name().values():
        if subject.family == "function" and subject.samples:
            yield subject


def names(quick: bool) -> list[str]:
    """The cells: parameters/function/parameter/value, and calls of the wrong form."""
    made = []
    for subject in _subjects():
        for parameter in _parameters(subject.name):
            made += [f"parameters/{subject.name}/{parameter}/{v}" for v in VALUES if not quick or v in QUICK]
        forms = ["unknown keyword", "no arguments", "too many arguments", "twice"]
        made += [f"parameters/{subject.name}/call/{form}" for form in forms]
        if places_of(subject.samples[0].args):
            made += [f"parameters/{subject.name}/operand/{v}" for v in OPERANDS if not quick or v in QUICK]
    return made


def judge(name: str) -> Verdict:
    """One call with one bad parameter."""
    _, subject_name, parameter, value = name.split("/", 3)
    subject = by_name()[subject_name]
    sample = subject.samples[0]
    if parameter == "call":
        return _call(subject, sample, value)
    if parameter == "operand":
        return _operand(subject, sample, OPERANDS[value])
    return _value(subject, sample, parameter, VALUES[value])


def _call(subject: Subject, sample: Sample, form: str) -> Verdict:
    args, params = as_tensors(sample.args), dict(sample.params)
    if form == "unknown keyword":
        params["no_such_parameter"] = 1
    elif form == "no arguments":
        args, params = (), {}
    elif form == "too many arguments":
        args = (*args, *[Opaque()] * 12)
    else:
        first = next(iter(inspect.signature(subject.call).parameters))
        params[first] = args[0] if args else 0
    done = attempt(subject.call, args, params)
    if done.error is None:
        return Verdict("equal") if form == "no arguments" else Verdict("bad", "it takes this call")
    return error_verdict(done.error, subject.titles)


def _operand(subject: Subject, sample: Sample, value: Any) -> Verdict:
    place = places_of(sample.args)[0]
    args = list(as_tensors(sample.args))
    args[place[0]] = value
    done = attempt(subject.call, args, sample.params)
    if done.error is not None:
        return error_verdict(done.error, subject.titles)
    if not isinstance(value, list | int | type(None)):
        return Verdict("bad", f"it takes a {type(value).__name__} for an array")
    return Verdict("equal")


def _value(subject: Subject, sample: Sample, parameter: str, value: Any) -> Verdict:
    given = _parameters(subject.name)[parameter]
    args, params = _bound(subject, sample, parameter, value)
    done = attempt(subject.call, as_tensors(args), params)
    if done.error is not None:
        return error_verdict(done.error, (*subject.titles, "dtype", "data type"))
    if not subject.deterministic or parameter in ("requires_grad", "copy", "stable", "dtype"):
        return Verdict("equal")
    text = str(given.annotation)
    reference = subject.reference_of(0)
    if type(value) is int and "int" in text and reference is not None and is_numpys(reference):
        want = attempt(reference, args, params)
        wrong = None if want.error else compare(done.value, want.value, 1e-6, dtypes=False)
        if isinstance(want.error, ValueError | IndexError | OverflowError):
            wrong = f"NumPy raises {want.error}"
        return Verdict("bad", f"{parameter}={value} is taken: {wrong}") if wrong else Verdict("equal")
    for meant in _meanings(value, text, given.default):
        other, others = _bound(subject, sample, parameter, meant)
        plain = attempt(subject.call, as_tensors(other), others)
        if plain.error is None and compare(done.value, plain.value, 1e-12) is None:
            return Verdict("equal")
    if reference is not None:
        want = attempt(reference, args, params)
        if want.error is None and compare(done.value, want.value, 1e-6, dtypes=False) is None:
            return Verdict("equal")
    if _is_a_number(value) and ("float" in text or text in ("Any", "typing.Any")):
        return Verdict("equal")
    return Verdict("bad", f"{parameter}={value!r} is taken, and means {_short(done.value)}")


def _bound(
    subject: Subject, sample: Sample, parameter: str, value: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The sample's call with this parameter, by name where the sample does not give it by place."""
    signature = inspect.signature(subject.call)
    try:
        bound = signature.bind(*sample.args, **sample.params)
    except TypeError:
        return sample.args, {**sample.params, parameter: value}
    names = list(signature.parameters)
    at = names.index(parameter)
    if at < len(bound.args) and at < len(sample.args):
        args = (*sample.args[:at], value, *sample.args[at + 1 :])
        return args, sample.params
    return sample.args, {**sample.params, parameter: value}


def _is_a_number(value: Any) -> bool:
    return isinstance(value, int | float | np.generic | np.ndarray | ag.Tensor)


def _meanings(value: Any, annotation: str, default: Any) -> Iterator[Any]:
    """Plain values that this one may stand for: what the same call with them gives is right."""
    index: Callable[[Any], int] | None = getattr(type(value), "__index__", None)
    if "bool" in annotation:
        with contextlib.suppress(Exception):
            yield bool(value)  # a truth value is Python's
    if value is None and default is None:
        yield None
    elif type(value) is int:
        yield value  # an integer means itself: its range is checked by the eager part's shapes
    elif index is not None and not getattr(value, "ndim", 0):
        done = attempt(index, [value], {})
        if done.error is None:
            yield int(done.value)
    elif isinstance(value, list | tuple | np.ndarray | ag.Tensor) and np.ndim(value) == 1:
        plain = tuple(value.tolist()) if not isinstance(value, list | tuple) else tuple(value)
        if all(type(v) is int for v in plain):
            yield plain
            yield list(plain)
    elif isinstance(value, list | tuple) and np.ndim(value) > 1 and np.asarray(value).dtype.kind == "i":
        yield np.asarray(value)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) < 100 else text[:97] + "..."
