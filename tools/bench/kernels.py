"""Single operations, each as a share of what the machine can do: the cases, and how one is measured."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from . import limits
from .engines import Engine, Role, load, selected
from .measure import Call, Case, Plan, Record, alternate
from .proof import agreeing, built

Shape = tuple[int, ...]
Inputs = tuple[tuple[Role, Shape], ...]

# float32 sums of up to 100,000 terms, in another order
TOLERANCE = 2e-4


@dataclass(frozen=True)
class Kernel:
    """An operation of engines/*_operations.py on arrays of these shapes; with a cotangent, its pullback."""

    group: str
    name: str
    operation: str
    inputs: Inputs
    result: Role = "plain"
    settings: dict[str, Any] = field(default_factory=dict)
    cotangent: Shape | None = None
    flops: float = 0.0
    traffic: float = 0.0  # bytes that must be read or written at least
    fuses: bool = False  # several passes that a compiler makes one of


def cases() -> Iterator[Case]:
    """All kernels as cases."""
    for kernel in _kernels():
        yield Case("kernels", kernel.group, kernel.name, partial(_measured, kernel))


def _measured(kernel: Kernel, plan: Plan) -> list[Record]:
    record = Record("kernels", kernel.group, kernel.name, plan.threads)
    record.flops, record.traffic = kernel.flops, kernel.traffic
    engines, record.notes = load(_settings(kernel, plan))
    rng = np.random.default_rng(0)
    arrays: list[tuple[Role, np.ndarray]] = [
        (role, rng.standard_normal(shape).astype(np.float32)) for role, shape in kernel.inputs
    ]
    seed = None if kernel.cotangent is None else rng.standard_normal(kernel.cotangent).astype(np.float32)

    def build(engine: Engine) -> tuple[Call, list[np.ndarray]]:
        inputs = [engine.place(array, role) for role, array in arrays]
        if seed is None:
            call = engine.forward(kernel.operation, inputs, kernel.settings)
        else:
            cotangent = engine.place(seed, kernel.result)
            call = engine.pullback(kernel.operation, inputs, cotangent, kernel.settings)
        return call, engine.fetch(call(), kernel.result)

    made = built(engines, build, record, plan)
    names = agreeing({name: result for name, (_, result) in made.items()}, TOLERANCE, record)
    if plan.timed:
        plan.say(f"{kernel.name}: turns")
        bounds = limits.calls(kernel.traffic)
        times = alternate({name: made[name][0] for name in names} | bounds, plan.turns)
        record.values = {name: times[name] for name in names}
        record.limits = limits.rates({name: times[name] for name in bounds}, kernel.traffic)
    for engine in engines.values():
        engine.forget()
    return [record]


def _settings(kernel: Kernel, plan: Plan) -> list[str]:
    """The engines whose setting makes a difference here; PyTorch has no channels_last in one dimension."""
    role, shape = kernel.inputs[0]
    names = selected(role == "image", plan.torch_compile and kernel.fuses, own_compiled=kernel.fuses)
    return [name for name in names if len(shape) > 3 or not name.endswith("channels_last")]


# ---- the cases


def _kernels() -> Iterator[Kernel]:
    for shape in [
        (32, 16, 32, 16, 3, 1),
        (32, 32, 16, 32, 3, 1),
        (32, 64, 8, 64, 3, 1),
        (32, 16, 32, 32, 3, 2),
        (8, 64, 56, 64, 3, 1),
        (8, 256, 14, 256, 3, 1),
        (64, 1, 28, 32, 3, 1),
        (64, 32, 14, 64, 3, 1),
        (8, 3, 224, 64, 7, 2),
        (8, 64, 56, 256, 1, 1),
    ]:
        yield from _convolution(*shape)
    for stride in (1, 2):
        yield from _convolution(8, 128, 28, 128, 3, stride, groups=128)
    yield from _convolution(16, 64, 1024, 64, 3, ndim=1)
    yield from _convolution(4, 16, 16, 32, 3, ndim=3)
    for operation in ("max_pool", "avg_pool"):
        for shape, size, stride in [
            ((64, 32, 28, 28), 2, 2),
            ((32, 64, 32, 32), 2, 2),
            ((32, 64, 32, 32), 3, 2),
            ((8, 64, 112, 112), 3, 2),
        ]:
            yield from _pooling(operation, shape, size, stride)
    yield from _products()
    yield from _passes()


def _convolution(
    n: int, c: int, size: int, o: int, k: int, stride: int = 1, groups: int = 1, ndim: int = 2
) -> Iterator[Kernel]:
    """The three products of a convolution: each reads two of input, weight and output, and writes the third."""
    out = (size + 2 * (k // 2) - k) // stride + 1
    x, w, y = (n, c, *(size,) * ndim), (o, c // groups, *(k,) * ndim), (n, o, *(out,) * ndim)
    kind = "depthwise" if groups > 1 else "conv" if ndim == 2 else f"conv{ndim}d"
    name = f"{kind} {n}·{c}·{_power(size, ndim)} → {o}, {_times((k,) * ndim)}{f' /{stride}' if stride > 1 else ''}"
    make = partial(
        Kernel,
        settings={"stride": stride, "padding": k // 2, "groups": groups},
        flops=2.0 * math.prod(y) * math.prod(w[1:]),
        traffic=_bytes(x, w, y),
    )
    inputs: Inputs = (("image", x), ("weight", w))
    both: Inputs = (*inputs, ("image", y))
    yield make("convolution", f"{name}, forward", "conv", inputs, "image")
    yield make("convolution", f"{name}, input gradient", "conv_input_grad", both, "image")
    yield make("convolution", f"{name}, weight gradient", "conv_weight_grad", both, "weight")


def _pooling(operation: str, x: Shape, size: int, stride: int) -> Iterator[Kernel]:
    padding = size // 2 if size % 2 else 0
    y = (*x[:2], *((extent + 2 * padding - size) // stride + 1 for extent in x[2:]))
    name = f"{operation} {'·'.join(map(str, x))}, {size}×{size} /{stride}"
    make = partial(
        Kernel,
        "pooling",
        operation=operation,
        inputs=(("image", x),),
        result="image",
        settings={"size": size, "stride": stride, "padding": padding},
        traffic=_bytes(x, y),
    )
    yield make(name=f"{name}, forward")
    yield make(name=f"{name}, backward", cotangent=y)


def _products() -> Iterator[Kernel]:
    """Matrix products that are small, narrow, odd, or transposed."""
    for a, b in [
        ((100, 64), (64, 32)),
        ((128, 784), (784, 256)),
        ((64, 3136), (3136, 128)),
        ((100_000, 3), (3, 64)),
        ((1, 4096), (4096, 4096)),
        ((517, 1031), (1031, 257)),
        ((64, 64, 32), (64, 32, 64)),
    ]:
        yield _product("matmul", a, b, (*a[:-1], b[-1]), a[-1])
    yield _product("matmul_transposed", (128, 784), (128, 256), (784, 256), 128)


def _product(operation: str, a: Shape, b: Shape, y: Shape, terms: int) -> Kernel:
    left, right = ("×".join(map(str, shape)) for shape in (a, b))
    name = f"matmul {left}{'ᵀ' if operation.endswith('transposed') else ''} · {right}"
    flops = 2.0 * math.prod(y) * terms
    return Kernel(
        "matrix product", name, operation, (("plain", a), ("plain", b)), flops=flops, traffic=_bytes(a, b, y)
    )


def _passes() -> Iterator[Kernel]:
    """What is bound by memory: softmax, batch statistics, elementwise chains."""
    for x in [(128, 1000), (4096, 128)]:
        yield from _pass("softmax", "softmax", f"softmax {_times(x)}", (("plain", x),))
    for x in [(32, 16, 32, 32), (8, 64, 56, 56)]:
        name = f"mean and variance {'·'.join(map(str, x))}"
        yield Kernel("batch statistics", name, "statistics", (("image", x),), traffic=_bytes(x), fuses=True)
    x = (512, 1024)
    chains: list[tuple[str, str, tuple[Shape, ...]]] = [
        ("affine_relu", "relu(a·x + b)", (x, x[1:], x[1:])),
        ("gelu_tanh", "gelu by tanh", (x,)),
        ("gated", "x·sigmoid(x)·y", (x, x)),
    ]
    for operation, name, shapes in chains:
        inputs: Inputs = tuple(("plain", shape) for shape in shapes)
        yield from _pass("elementwise", operation, f"{name} {_times(x)}", inputs)


def _pass(group: str, operation: str, name: str, inputs: tuple[tuple[Role, Shape], ...]) -> Iterator[Kernel]:
    """Forward, which reads the inputs and writes the output; backward, which reads the cotangent as well."""
    x, moved = inputs[0][1], _bytes(*(shape for _, shape in inputs), inputs[0][1])
    make: Callable[..., Kernel] = partial(Kernel, group, operation=operation, inputs=inputs, fuses=True)
    yield make(name=f"{name}, forward", traffic=moved)
    yield make(name=f"{name}, backward", traffic=moved + _bytes(x), cotangent=x)


def _bytes(*shapes: Shape) -> float:
    return 4.0 * sum(map(math.prod, shapes))


def _power(size: int, ndim: int) -> str:
    return f"{size}{'' if ndim == 1 else '²³'[ndim - 2]}"


def _times(shape: Shape) -> str:
    return "×".join(map(str, shape))
