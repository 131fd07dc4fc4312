"""What is said when a tensor that requires a gradient would leave the engine without a word, and its gradient be lost.

NumPy and SciPy convert whatever they are given (`__array__`, `__float__`), deep inside themselves. A message helps when
it names the call that the user wrote, so that is looked up: in the frames, and in the source where it can be had.
"""

from __future__ import annotations

import ast
import dis
import linecache
import sys
import sysconfig
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

from autograd_core.errors import describe
from autograd_core.lines import is_own, shown_line

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_INSTEAD = {  # for functions that have another name here
    "array": "ag.stack([...]) for a list of tensors, ag.asarray(t) for one",
    "asarray": "ag.stack([...]) for a list of tensors, ag.asarray(t) for one",
    "r_": "ag.concat([...])",
    "c_": "ag.stack([...], axis=-1)",
    "concatenate": "ag.concat([...])",
    "hstack": "ag.concat([...])",
    "vstack": "ag.stack([...])",
    "dot": "ag.matmul",
    "expit": "ag.sigmoid",
    "fabs": "ag.abs",
    "average": "ag.mean",
    "at": "y[index] += value on a tensor y",
}


def refusal(array: Any, name: str = "") -> TypeError:
    """The error for a tensor with these elements. `name` is what asked for it, where the frames do not say more."""
    frame, engine = _users_frame(sys._getframe(2))
    operation, call, line = "", "", ""
    if frame is not None:
        line = f" · {shown_line((frame.f_code.co_filename, frame.f_lineno))}"
        operation, call = _asked(frame.f_code, frame.f_lasti)
    if engine and not name:
        return TypeError(
            f"{call or 'the engine'}: numbers are needed, and a tensor that requires a gradient, {describe(array)}, "
            f"would lose it: join a list of such tensors with ag.stack([...]), or detach() them{line}"
        )
    if operation == "STORE_SUBSCR":
        return TypeError(
            f"{call} = t: an ndarray cannot keep the gradient of t, {describe(array)}: make it a tensor first, "
            f"{call.partition('[')[0]} = ag.asarray({call.partition('[')[0]}); or write the number without it, "
            f"t.numpy(){line}"
        )
    called = call or name or "a function of another library"
    return TypeError(
        f"{called} is not an operation of the engine, and the gradient of {describe(array)} would be lost: "
        f"{_instead(called)}, or, where no gradient is wanted, detach() the tensor: t.detach(){line}"
    )


def _instead(called: str) -> str:
    name = called.rpartition(".")[2]
    if name in _INSTEAD:
        return f"use {_INSTEAD[name]}"
    package = sys.modules["autograd_core"]
    for owner, shown in ((package, "ag"), (package.linalg, "ag.linalg")):
        if callable(getattr(owner, name, None)) and name in vars(owner):
            return f"use {shown}.{name}"
    return "use autograd_core's operations"


def leaves_the_engine() -> bool:
    """Whether the number that is asked for goes into NumPy or SciPy: `array[0] = t`, `np.fromiter`, `array.fill(t)`.

    Seen from the caller of `__float__`. `float(t)`, `math.isfinite(t)`, and "%f" % t do not.
    """
    frame = sys._getframe(2)
    operation, call = _asked(frame.f_code, frame.f_lasti)
    if operation == "STORE_SUBSCR":
        return True
    root, *names = call.split(".")
    scope = frame.f_locals if root in frame.f_locals else frame.f_globals
    found = scope.get(root)
    kind = found if hasattr(found, "__spec__") else type(found)  # a module, or an object of it
    module = getattr(kind, "__name__" if kind is found else "__module__", "") or ""
    return bool(names) and module.partition(".")[0] in ("numpy", "scipy")


def is_formatting() -> bool:
    """Whether the caller of `__float__` is `"%f" % t`: no other operator asks a tensor for its number."""
    frame = sys._getframe(2)
    return _asked(frame.f_code, frame.f_lasti)[0] == "BINARY_OP"


def _users_frame(frame: FrameType | None) -> tuple[FrameType | None, bool]:
    """The innermost frame of the user's own program, and whether the engine asked, not a library."""
    engine, first = False, None
    while frame is not None:
        name = frame.f_code.co_filename
        if is_own(name):
            engine = True
        else:
            first = first or frame
            if not name.startswith((*_LIBRARIES, "<frozen")):
                return frame, engine
        frame = frame.f_back
    return first, engine


@lru_cache(maxsize=512)
def _asked(code: CodeType, at: int) -> tuple[str, str]:
    """The instruction that runs there, and the function that it calls as the source has it: `scipy.stats.zscore`."""
    operation = dis.opname[code.co_code[at]] if 0 <= at < len(code.co_code) else ""
    return operation, _source(code, at, operation)


def _source(code: CodeType, at: int, operation: str) -> str:
    """The function called by an instruction, or what is assigned to; nothing where there is no source."""
    positions = list(code.co_positions())
    first, last, start, end = positions[at // 2] if 0 <= at // 2 < len(positions) else (None,) * 4
    if first is None or last is None or start is None or end is None:
        return ""
    lines = [line.encode() for line in linecache.getlines(code.co_filename)[first - 1 : last]]
    if len(lines) != last - first + 1:
        return ""
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    try:
        found = ast.parse(b"(" + b"".join(lines) + b")", mode="eval").body
    except (SyntaxError, ValueError):
        return ""
    if isinstance(found, ast.Call):
        found = found.func
    elif isinstance(found, ast.Subscript) and operation != "STORE_SUBSCR":
        found = found.value
    return ast.unparse(found)
