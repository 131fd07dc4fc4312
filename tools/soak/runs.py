"""Programs on several Python threads at once, with several kernel threads: each result as when it runs alone."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd_core as ag
import nn
from tools.soak.check import Check, Runs

Program = Callable[[], list[np.ndarray]]


def _numbers(*shape: int, key: int = 0) -> np.ndarray:
    return np.random.default_rng(key).standard_normal(shape).astype(np.float32)


def products() -> list[np.ndarray]:
    """Matrix products and their gradients."""
    x, w = (
        ag.tensor(_numbers(96, 160), requires_grad=True),
        ag.tensor(_numbers(160, 120, key=1), requires_grad=True),
    )
    ag.tanh(x @ w).sum().backward()
    return [x.grad.numpy(), w.grad.numpy()]


def convolutions() -> list[np.ndarray]:
    """A convolution, a pooling and their gradients."""
    x, w = (
        ag.tensor(_numbers(4, 8, 24, 24), requires_grad=True),
        ag.tensor(_numbers(16, 8, 3, 3), requires_grad=True),
    )
    ag.max_pool(ag.conv(x, w, padding=1), 2).sum().backward()
    return [x.grad.numpy(), w.grad.numpy()]


def reductions() -> list[np.ndarray]:
    """Sums, norms and softmax of large arrays."""
    x = ag.tensor(_numbers(300, 400), requires_grad=True)
    (ag.softmax(x) * x).sum().backward()
    return [x.grad.numpy(), ag.logsumexp(x.detach(), axis=0).numpy(), ag.var(x.detach(), axis=1).numpy()]


def training() -> list[np.ndarray]:
    """Some steps of a small network."""
    model = nn.Sequential(nn.Dense(20, 64), nn.ReLU(), nn.Dense(64, 3))
    for i, p in enumerate(model.parameters()):
        p.assign(0.2 * _numbers(*p.shape, key=i))
    optimizer = nn.Adam(model.parameters(), lr=0.01)
    x, labels = ag.tensor(_numbers(32, 20)), np.arange(32) % 3
    for _ in range(4):
        optimizer.zero_grad()
        nn.cross_entropy(model(x), labels).backward()
        optimizer.step()
    return [p.numpy() for p in model.parameters()]


def compiled() -> list[np.ndarray]:
    """A compiled function, made and replayed in this thread."""
    step = ag.compile(lambda x: (ag.exp(-x * x) + x).sum(axis=0))
    x = ag.tensor(_numbers(64, 50))
    return [step(x).numpy().copy() for _ in range(3)]


def higher_order() -> list[np.ndarray]:
    """A Hessian."""
    return [ag.hessian(lambda x: (ag.sin(x) * x).sum())(_numbers(12)).numpy()]


def linear_algebra() -> list[np.ndarray]:
    """A solution and a determinant, with gradients."""
    a = ag.tensor(_numbers(20, 20) + 5 * np.eye(20, dtype=np.float32), requires_grad=True)
    (ag.linalg.solve(a, ag.ones((20, 1))).sum() + ag.linalg.slogdet(a)[1]).backward()
    return [a.grad.numpy()]


def views() -> list[np.ndarray]:
    """Indexing, joining, assignments."""
    x = ag.tensor(_numbers(40, 30), requires_grad=True)
    y = ag.concat([x[::2], x[1::2] * 2]) * 1
    y[3] = 7.0
    (y * y).sum().backward()
    return [x.grad.numpy(), ag.sort(x.detach(), axis=1).numpy()]


PROGRAMS: list[Program] = [
    products,
    convolutions,
    reductions,
    training,
    compiled,
    higher_order,
    linear_algebra,
    views,
]
SHAPES = [(python, kernel) for python in (1, 2, 4) for kernel in (1, 2, 4)]


def _together(program: Program, count: int, repeats: int) -> list[Any]:
    """What `count` threads get that each run the program some times."""
    found: list[Any] = [None] * count
    start = threading.Barrier(count)

    def work(i: int) -> None:
        try:
            start.wait()
            found[i] = [program() for _ in range(repeats)]
        except BaseException as error:
            found[i] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def thread_runs(quick: bool) -> Runs:
    """Every program on 1, 2 and 4 Python threads with 1, 2 and 4 kernel threads."""
    before = ag.get_num_threads()
    try:
        for program in PROGRAMS:
            ag.set_num_threads(1)
            alone = program()
            for python, kernel in SHAPES[:: 4 if quick else 1]:
                ag.set_num_threads(kernel)
                yield _judge(
                    f"{program.__name__} on {python} x {kernel} threads",
                    alone,
                    _together(program, python, 2 if quick else 10),
                )
    finally:
        ag.set_num_threads(before)


def _judge(name: str, alone: list[np.ndarray], found: list[Any]) -> str | None:
    for result in found:
        if isinstance(result, BaseException):
            return f"{name}: {type(result).__name__}: {result}"
        if any(not np.array_equal(a, b) for each in result for a, b in zip(each, alone, strict=True)):
            return f"{name}: another result than alone"
    return None


CHECKS = [
    Check(
        "threads",
        "runs on several threads",
        thread_runs,
        lambda quick: len(PROGRAMS) * len(SHAPES[:: 4 if quick else 1]),
    )
]
