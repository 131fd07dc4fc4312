"""Points where a derivative does not exist, is one-sided or infinite: the rule that holds there, stated and checked."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import autograd_core as ag
from tools.hostile.judge import Verdict

INF, NAN = math.inf, math.nan


class Kink(NamedTuple):
    """f at x: the value, the gradient of the sum, and the rule in words."""

    f: Callable[..., Any]
    x: Any
    value: Any
    gradient: Any
    rule: str


KINKS: dict[str, Kink] = {
    "abs at 0": Kink(ag.abs, [0.0, -0.0], [0, 0], [0, 0], "0, the middle of -1 and 1"),
    "relu at 0": Kink(ag.relu, [0.0, -0.0], [0, 0], [0, 0], "0"),
    "sqrt at 0": Kink(ag.sqrt, [0.0], [0], [INF], "∞, the limit"),
    "sqrt below 0": Kink(ag.sqrt, [-1.0], [NAN], [NAN], "NaN, as the value"),
    "rsqrt at 0": Kink(ag.rsqrt, [0.0], [INF], [-INF], "-∞, the limit"),
    "square root of a square at 0": Kink(lambda x: ag.sqrt(x * x), [0.0], [0], [NAN], "∞·0 is NaN: write abs"),
    "log at 0": Kink(ag.log, [0.0], [-INF], [INF], "∞, the limit"),
    "log1p at -1": Kink(ag.log1p, [-1.0], [-INF], [INF], "∞, the limit"),
    "division by 0": Kink(lambda x: 1 / x, [0.0], [INF], [-INF], "-∞, the limit"),
    "0 / 0": Kink(lambda x: x / x, [0.0], [NAN], [NAN], "NaN, as the value"),
    "power 0 at 0": Kink(lambda x: x**0, [0.0], [1], [0], "0: x⁰ is 1 everywhere"),
    "power 1 at 0": Kink(lambda x: x**1, [0.0], [0], [1], "1"),
    "power 2 at 0": Kink(lambda x: x**2, [0.0], [0], [0], "0"),
    "power 1/2 at 0": Kink(lambda x: x**0.5, [0.0], [0], [INF], "∞, the limit"),
    "exponent at base 0": Kink(lambda y: ag.power(ag.zeros_like(y), y), [2.0, 0.0], [0, 1], [0, 0], "0"),
    "tensor exponent 0 at 0": Kink(lambda x: x ** ag.zeros_like(x), [0.0], [1], [0], "0"),
    "maximum at a tie": Kink(lambda x: ag.maximum(x, 1.0), [1.0], [1], [0.5], "half for each input"),
    "minimum at a tie": Kink(lambda x: ag.minimum(x, 1.0), [1.0], [1], [0.5], "half for each input"),
    "max at a tie": Kink(ag.max, [1.0, 1.0, 0.0], 1, [0.5, 0.5, 0], "equal parts for all that are largest"),
    "min at a tie": Kink(ag.min, [1.0, 1.0, 2.0], 1, [0.5, 0.5, 0], "equal parts for all that are smallest"),
    "clip at its limits": Kink(lambda x: ag.clip(x, 0, 1), [0.0, 1.0, -1.0], [0, 1, 0], [1, 1, 0], "1 on the limits"),
    "norm at 0": Kink(ag.norm, [0.0, 0.0], 0, [0, 0], "0, a subgradient"),
    "linalg.norm 1 at 0": Kink(lambda x: ag.linalg.norm(x, 1), [0.0, 2.0], 2, [0, 1], "0, as abs"),
    "linalg.norm max at a tie": Kink(lambda x: ag.linalg.norm(x, np.inf), [2.0, -2.0], 2, [0.5, -0.5], "equal parts"),
    "std of equal numbers": Kink(ag.std, [3.0, 3.0], 0, [NAN, NAN], "NaN: the root's ∞ times 0; add an epsilon to the variance"),
    "var of equal numbers": Kink(ag.var, [3.0, 3.0], 0, [0, 0], "0"),
    "sign at 0": Kink(ag.sign, [0.0], [0], [0], "0 everywhere"),
    "floor at an integer": Kink(ag.floor, [1.0], [1], [0], "0 everywhere"),
    "ceil at an integer": Kink(ag.ceil, [1.0], [1], [0], "0 everywhere"),
    "round at a half": Kink(ag.round, [0.5, 1.5], [0, 2], [0, 0], "0 everywhere"),
    "remainder at a multiple": Kink(lambda x: x % 2.0, [4.0], [0], [1], "1 everywhere"),
    "where keeps the other branch out": Kink(
        lambda x: ag.where(x > 0, x, 0 * x), [0.0, 2.0], [0, 2], [0, 1], "the chosen branch's derivative"
    ),
    "atan2 at the origin": Kink(lambda x: ag.atan2(x, ag.zeros_like(x)), [0.0], [0], [NAN], "NaN: it has no limit"),
    "asin at 1": Kink(ag.asin, [1.0], [math.pi / 2], [INF], "∞, the limit"),
    "acos at 1": Kink(ag.acos, [1.0], [0], [-INF], "-∞, the limit"),
    "sort with equal numbers": Kink(
        lambda x: ag.sort(x) * np.arange(3.0, dtype=np.float32), [2.0, 1.0, 1.0], [0, 1, 4], [2, 0, 1], "the stable order's"
    ),
    "max_pool at a tie": Kink(
        lambda x: ag.max_pool(ag.reshape(x, (1, 1, 4)), 2), [1.0, 1.0, 2.0, 1.0], [[[1, 2]]], [1, 0, 1, 0], "the first of the largest"
    ),
    "prod with a zero": Kink(ag.prod, [0.0, 2.0, 3.0], 0, [6, 0, 0], "the product of the others"),
    "prod with two zeros": Kink(ag.prod, [0.0, 0.0, 3.0], 0, [0, 0, 0], "the product of the others"),
    "logaddexp of minus infinities": Kink(
        lambda x: ag.logaddexp(x, ag.full_like(x, -INF)), [0.0], [0], [1], "the softmax weights"
    ),
    "logsumexp of minus infinity and more": Kink(ag.logsumexp, [-INF, 0.0], 0, [0, 1], "the softmax weights"),
    "softplus far out": Kink(ag.softplus, [1000.0, -1000.0], [1000, 0], [1, 0], "its limits"),
    "sigmoid far out": Kink(ag.sigmoid, [1000.0, -1000.0], [1, 0], [0, 0], "its limits"),
    "a mask after infinity": Kink(
        lambda x: ag.where(x > 0, ag.log(ag.where(x > 0, x, 1.0)), 0.0), [0.0, 1.0], [0, 0], [0, 1], "mask the argument too"
    ),
}  # fmt: skip


def names() -> list[str]:
    """The cells: kinks/name/dtype/way."""
    return [
        f"kinks/{k}/{d}/{way}".replace(" / ", " ÷ ")
        for k in KINKS
        for d in ("float32", "float64")
        for way in ("backward", "grad")
    ]


def judge(name: str) -> Verdict:
    """Value and derivative at one kink."""
    _, rest = name.split("/", 1)
    key, dtype, way = rest.replace(" ÷ ", " / ").rsplit("/", 2)
    kink = KINKS[key]
    x = np.array(kink.x, dtype)

    def summed(t: Any) -> Any:
        out = kink.f(t)
        return out.sum() if out.ndim else out

    with np.errstate(all="ignore"):
        if way == "grad":
            gradient = ag.grad(summed)(x)
            value = kink.f(ag.tensor(x))
        else:
            t = ag.tensor(x, requires_grad=True)
            value = kink.f(t)
            (value.sum() if value.ndim else value).backward()
            gradient = t.grad
    for what, got, want in (("value", value, kink.value), ("derivative", gradient, kink.gradient)):
        if got is None or str(got.dtype) != dtype:
            return Verdict("bad", f"the {what} is {got}")
        found = got.detach().numpy()
        if not np.allclose(found, np.array(want, dtype), rtol=1e-6, atol=1e-7, equal_nan=True):
            return Verdict("bad", f"the {what} is {found.tolist()}; the rule says {want}: {kink.rule}")
    return Verdict("equal")
