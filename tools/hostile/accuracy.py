"""Elementary functions against mpmath at 60 digits: the largest error, in units in the last place."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import mpmath
import numpy as np

import autograd_core as ag
from autograd_core.ops.define import registry
from tools.hostile.judge import Verdict

mpmath.mp.dps = 60
POINTS = 400
LARGE = 1 << 16  # elements: large arrays go through kernels of our own

Real = Callable[[Any], Any]

# The function at mpmath's precision, where mpmath has it under another name or not at all.
TWINS: dict[str, Real] = {
    "abs": abs,
    "square": lambda x: x * x,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)) if x < 50 else x + mpmath.log1p(mpmath.exp(-x)),
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "negative": lambda x: -x,
}
# Where each is tried; the widest range where nothing is said.
DOMAINS: dict[str, tuple[float, float]] = {
    "exp": (-80, 80), "expm1": (-80, 80), "sinh": (-80, 80), "cosh": (-80, 80), "log": (1e-30, 1e30), "log1p": (-0.999, 1e9),
    "sqrt": (1e-30, 1e30), "rsqrt": (1e-30, 1e30), "asin": (-1, 1), "acos": (-1, 1), "sigmoid": (-80, 80),
    "softplus": (-80, 80), "erf": (-6, 6), "tanh": (-20, 20), "sin": (-1e4, 1e4), "cos": (-1e4, 1e4), "tan": (-1e4, 1e4),
}  # fmt: skip
# Units in the last place: float32, float64. What is not named must keep to 1.
LIMITS: dict[str, tuple[float, float]] = {
    "exp": (2, 1), "expm1": (2, 2), "log": (1, 1), "log1p": (2, 2), "sqrt": (0.5, 0.5), "rsqrt": (1.5, 1.5), "sin": (2, 1),
    "cos": (2, 1), "tan": (4, 2), "asin": (4, 2), "acos": (4, 2), "atan": (4, 2), "sinh": (4, 2), "cosh": (4, 2),
    "tanh": (3, 2), "erf": (3, 2), "sigmoid": (4, 3), "softplus": (4, 4),
}  # fmt: skip
WITHOUT = {
    "alias",
    "broadcast_to",
    "floor",
    "ceil",
    "round",
    "sign",
    "astype",
    "isnan",
    "isinf",
    "isfinite",
    "bitwise_invert",
}  # exact


def functions() -> Iterator[str]:
    """Every elementwise primitive of one float argument that rounds."""
    for name, primitive in registry.items():
        if primitive.kind == "elementwise" and primitive.arity == 1 and name not in WITHOUT:
            yield name


def names() -> list[str]:
    """The cells: accuracy/function/dtype/size."""
    return [
        f"accuracy/{f}/{d}/{s}"
        for f in functions()
        for d in ("float32", "float64")
        for s in ("small", "large")
    ]


def twin_of(name: str) -> Real | None:
    """The function in mpmath."""
    return TWINS.get(name) or getattr(mpmath, name, None)


@cache
def _points(name: str, dtype: str) -> tuple[np.ndarray, list[Any]]:
    """Arguments in the domain, even and logarithmic, and the exact values."""
    low, high = DOMAINS.get(name, (-1e3, 1e3))
    draw = np.random.default_rng(len(name))
    even = draw.uniform(low, high, POINTS // 2)
    scales = 10.0 ** draw.uniform(-8, np.log10(max(abs(low), abs(high))), POINTS // 2)
    signs = draw.choice([-1.0, 1.0], POINTS // 2) if low < 0 else 1.0
    x = np.concatenate([even, np.clip(scales * signs, low, high)]).astype(dtype)
    twin = twin_of(name)
    assert twin is not None
    return x, [twin(mpmath.mpf(float(v))) for v in x]


def error(name: str, dtype: str, size: str) -> float:
    """The largest error, in units in the last place of the exact value's neighbour in this dtype."""
    x, exact = _points(name, dtype)
    given = np.resize(x, LARGE) if size == "large" else x
    with np.errstate(all="ignore"):
        got = np.asarray(getattr(ag, name)(ag.tensor(given)).numpy())[: x.size]
    worst = 0.0
    tiny = float(np.finfo(dtype).tiny)
    for mine, true in zip(got, exact, strict=True):
        nearest = np.dtype(dtype).type(float(true))
        if not np.isfinite(nearest) or abs(float(nearest)) < tiny:
            continue  # overflow and denormals: the eager part's
        unit = float(np.spacing(np.abs(nearest)))
        worst = max(worst, float(abs(mpmath.mpf(float(mine)) - true) / unit)) if np.isfinite(mine) else np.inf
    return worst


def judge(name: str) -> Verdict:
    """Whether one function keeps its limit."""
    _, function, dtype, size = name.split("/")
    if twin_of(function) is None:
        return Verdict("bad", "mpmath has no function of this name: add one to tools/hostile/accuracy.py")
    found = error(function, dtype, size)
    limit = LIMITS.get(function, (1, 1))[dtype == "float64"]
    shown = f"{found:.2f} ulp, limit {limit:g}"
    return Verdict("equal" if found <= limit + 0.01 else "bad", shown)
