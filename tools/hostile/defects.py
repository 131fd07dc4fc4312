"""Stand-in operations with known defects, to see that each is found: the tests run them, `make hostile` does not."""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from samples import Sample, real

import autograd_core as ag
from tools.hostile import cells
from tools.hostile.judge import Verdict
from tools.hostile.subjects import Subject

Call = Callable[..., Any]


def _right(x: Any) -> Any:
    return ag.exp(x)


def _wrong_value(x: Any) -> Any:
    return ag.exp(x) * (1 + 1e-6)


def _wrong_for_nan(x: Any) -> Any:
    return ag.exp(ag.where(ag.isnan(x), 0.0, x))


def _lost_gradient(x: Any) -> Any:
    return ag.exp(x) + ag.exp(x).detach()


def _layout(x: Any) -> Any:
    values = x.detach().numpy()
    return ag.exp(x) + (0 if values.flags.c_contiguous else 1)


def _writes(x: Any) -> Any:
    x.array.flags.writeable = True
    x.array[...] = 0
    return ag.exp(x)


def _unnamed(x: Any) -> Any:
    raise KeyError("x")


def _nameless(x: Any) -> Any:
    raise ValueError("something is wrong")


def _named(x: Any) -> Any:
    raise ValueError("exp: give a number")


def _crash(x: Any) -> Any:
    os.abort()


def _hang(x: Any) -> Any:
    time.sleep(3600)


# name -> the operation, part, kind, what must be reported
DEFECTS: dict[str, tuple[Call, str, str, str]] = {
    "right": (_right, "eager", "nan", "equal"),
    "named": (_named, "eager", "C", "error"),
    "wrong value": (_wrong_value, "eager", "C", "bad"),
    "NaN is lost": (_wrong_for_nan, "eager", "nan", "bad"),
    "gradient is lost": (_lost_gradient, "gradient", "C", "bad"),
    "layout": (_layout, "eager", "fortran", "bad"),
    "input is changed": (_writes, "eager", "C", "bad"),
    "KeyError": (_unnamed, "eager", "C", "bad"),
    "no name": (_nameless, "eager", "C", "bad"),
    "crash": (_crash, "eager", "C", "bad"),
    "after the crash": (_right, "eager", "C", "equal"),
    "hang": (_hang, "eager", "C", "bad"),
    "after the hang": (_right, "gradient", "fortran", "equal"),
}


def names() -> list[str]:
    """The cells of the stand-ins."""
    return [f"defects/{name}" for name in DEFECTS]


def judge(name: str) -> Verdict:
    """The verdict that the matrix gives for this stand-in."""
    call, part, kind, _ = DEFECTS[name.split("/")[1]]
    stand_in = Subject("exp", "function", call, [Sample("exp", (real(3, 4),))], ("exp",), np.exp)
    cells.by_name()["exp"] = stand_in
    return cells.judge(cells.Cell(part, "exp", 0, kind, "all"))
