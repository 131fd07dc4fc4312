"""The same bits on one, two and four threads: values and gradients of operations on arrays that are large enough."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import autograd_core as ag
from autograd_core.ops.define import registry
from tools.soak.check import Check, Runs

Case = tuple[str, Callable[..., Any], tuple[tuple[int, ...], ...], str]


def _cases() -> Iterator[Case]:
    for dtype in ("float32", "float64"):
        for name, primitive in sorted(registry.items()):
            public = getattr(ag, name, None)
            if (
                primitive.kind == "elementwise"
                and callable(public)
                and name not in ("astype", "broadcast_to")
                and primitive.arity < 3
            ):
                yield name, public, ((150, 401),) * primitive.arity, dtype
                if primitive.arity == 2:
                    yield f"{name} of a row", public, ((150, 401), (401,)), dtype
        for name in "sum mean max min var std prod norm logsumexp softmax log_softmax cumulative_sum argmax sort".split():
            function = getattr(ag, name)
            for shape, axis in [((150, 401), 0), ((150, 401), 1), ((7, 50, 180), 1), ((90_001,), 0)]:
                yield f"{name} along {axis}", lambda x, f=function, a=axis: f(x, axis=a), (shape,), dtype
        for x, y in [
            ((300, 600), (600, 402)), ((1, 2000), (2000, 300)), ((515, 333), (333, 517)), ((9, 130, 70), (9, 70, 150)),
            ((128, 784), (784, 256)), ((64, 64, 32), (64, 32, 64)), ((1000, 3), (3, 1000)), ((16, 16), (16, 16)),
        ]:  # fmt: skip
            yield "matmul", ag.matmul, (x, y), dtype
        for x, w, how in [
            ((8, 16, 24, 24), (16, 16, 3, 3), {"padding": 1}), ((8, 16, 24, 24), (16, 16, 3, 3), {"padding": 1, "stride": 2}),
            ((8, 16, 24, 24), (16, 1, 3, 3), {"padding": 1, "groups": 16}), ((2, 32, 40, 40), (48, 32, 1, 1), {}),
            ((3, 3, 40, 48), (16, 3, 5, 5), {"padding": 2, "stride": 2}), ((4, 8, 200), (8, 8, 3), {"padding": 1}),
            ((1, 4, 12, 12, 12), (4, 4, 3, 3, 3), {"padding": 1}), ((5, 7, 19, 23), (11, 7, 3, 3), {}),
            ((2, 12, 30, 30), (12, 4, 3, 3), {"groups": 3, "dilation": 2}), ((16, 1, 28, 28), (8, 1, 3, 3), {"padding": 1}),
        ]:  # fmt: skip
            yield f"conv {how}", lambda x, w, how=how: ag.conv(x, w, **how), (x, w), dtype
            if "dilation" not in how and how.get("groups", 1) == 1:
                yield (
                    f"conv_transpose {how}",
                    lambda x, w, how=how: ag.conv_transpose(x, w, **how),
                    (x, (x[1], 3, *w[2:])),
                    dtype,
                )
        for shape in [(8, 16, 24, 24), (3, 5, 31, 29), (4, 8, 500), (2, 3, 12, 14, 16), (16, 3, 40, 36)]:
            for pool in (ag.max_pool, ag.avg_pool):
                for how in ({}, {"stride": 1}, {"padding": 1}):
                    yield f"{pool.__name__} {how}", lambda x, p=pool, how=how: p(x, 3, **how), (shape,), dtype
        for shape in [(64, 32, 12, 12), (500, 40), (16, 8, 900), (33, 17, 29, 5), (7, 64, 50), (1000, 129)]:
            yield "moments", ag.moments, (shape,), dtype
            yield "normalise", ag.normalise, (shape, (shape[1],), (shape[1],)), dtype


def _computed(function: Callable[..., Any], arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The value and the gradients for all inputs."""
    tensors = [ag.tensor(a, requires_grad=True) for a in arrays]
    out = function(*tensors)
    if not out.requires_grad:
        return [out.numpy()]
    weights = np.cos(np.arange(out.size)).reshape(out.shape).astype(out.dtype)
    out.backward(weights)
    return [out.detach().numpy(), *(t.grad.numpy() for t in tensors if t.grad is not None)]


def same_bits(quick: bool) -> Runs:
    """Each case on one thread, then on two and on four."""
    before = ag.get_num_threads()
    try:
        for name, function, shapes, dtype in list(_cases())[:: 8 if quick else 1]:
            draw = np.random.default_rng(len(name))
            arrays = [np.asarray(draw.uniform(0.2, 0.9, shape).astype(dtype)) for shape in shapes]
            results = []
            for threads in (1, 2, 4):
                ag.set_num_threads(threads)
                with np.errstate(all="ignore"):
                    results.append(_computed(function, arrays))
            same = all(
                a.tobytes() == b.tobytes()
                for other in results[1:]
                for a, b in zip(results[0], other, strict=True)
            )
            yield None if same else f"{name} {dtype} {shapes}: other bits on more threads"
    finally:
        ag.set_num_threads(before)


CHECKS = [
    Check(
        "same bits",
        "cases on 1, 2 and 4 threads",
        same_bits,
        lambda quick: len(list(_cases())[:: 8 if quick else 1]),
    )
]
