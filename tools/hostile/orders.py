"""Orders in which processes fill one kernel cache: make orders [ARGS="--random 200 --seed 0 --jobs 1"].

Two to four processes run one after the other over a cache that was empty, each beginning with one of ten operations
on one or two threads, and checks its result against NumPy. The last operation runs once more at the end, in a process
that only loads. All pairs of operations are tried, then random orders. Orders that begin alike share their first
processes: the cache is copied after each. Prints the orders that crash or compute wrongly; ends non-zero if any do.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BEGIN = """
import numpy as np
import autograd_core as ag
import nn
rng = np.random.default_rng(0)
def near(found, wanted):
    np.testing.assert_allclose(found.numpy() if hasattr(found, "numpy") else found, wanted, rtol=1e-4, atol=1e-4)
def draw(*shape):
    return rng.standard_normal(shape).astype(np.float32)
"""
OPERATIONS = {
    "matmul": """
x, y = draw(160, 32), draw(32, 256)
near(ag.tensor(x) @ ag.tensor(y), x @ y)
""",
    "dense": """
layer, x = nn.Dense(32, 256), draw(160, 32)
w, b = (p.numpy() for p in layer.parameters())
near(layer(ag.tensor(x)), x @ (w if w.shape == (32, 256) else w.T) + b)
""",
    "conv": """
near(ag.conv(ag.ones((1, 1, 3, 3)), ag.ones((1, 1, 2, 2))), np.full((1, 1, 2, 2), 4))
""",
    "row": """
x, row = draw(512, 1024), draw(1024)
near(ag.tensor(x) + ag.tensor(row), x + row)
""",
    "pool": """
x = draw(8, 16, 32, 32)
near(ag.max_pool(ag.tensor(x), 2), x.reshape(8, 16, 16, 2, 16, 2).max((3, 5)))
""",
    "sum": """
near(ag.sum(ag.ones((300, 300))), 90000)
""",
    "compiled": """
x = ag.tensor(draw(256, 300), requires_grad=True)
@ag.compile
def step(x):
    x.grad = None
    loss = (x * 3 + 1).tanh().sum()
    loss.backward()
    return loss
for _ in range(3):
    near(step(x), np.tanh(x.numpy() * 3 + 1).sum(dtype=np.float64))
    near(x.grad, 3 - 3 * np.tanh(x.numpy() * 3 + 1) ** 2)
""",
    "softmax": """
x = draw(400, 300)
e = np.exp(x - x.max(1, keepdims=True))
near(ag.softmax(ag.tensor(x), 1), e / e.sum(1, keepdims=True))
""",
    "random": """
ag.random.seed(3)
found = ag.random.normal((300, 300)).numpy()
assert abs(found.mean()) < 0.02 and abs(found.std() - 1) < 0.02, (found.mean(), found.std())
""",
    "warmup": """
from autograd_core.kernels.conv_tile_weight import add_chunks
from autograd_core.warmup import _compile
for name in ("conv_tile_weight.add_chunks", "replay.not_finite"):
    _compile((f"autograd_core.kernels.{name}", "float32"))
sums = np.zeros(64, np.float32)
add_chunks(sums, np.ones(128, np.float32), 1, 2, 1, 1, 32, tasks=2)
assert np.isfinite(sums).all()
""",
}

Process = tuple[str, int]  # an operation, and on how many threads it runs
Order = tuple[Process, ...]


def pairs() -> list[Order]:
    """All pairs of operations, on two threads; random orders have one thread as well."""
    return [((a, 2), (b, 2)) for a in OPERATIONS for b in OPERATIONS]


def drawn(count: int, seed: int) -> list[Order]:
    """Random orders of two to four processes, each on one thread or two."""
    rng = random.Random(seed)
    names = [*OPERATIONS]
    return [
        tuple((rng.choice(names), rng.choice((1, 2))) for _ in range(rng.choice((2, 3, 4))))
        for _ in range(count)
    ]


def words(order: Order) -> str:
    """An order as it is typed: matmul:2,dense:1."""
    return ",".join(f"{name}:{threads}" for name, threads in order)


def parsed(text: str) -> Order:
    """What `words` gives, as an order."""
    return tuple(
        (name, int(threads or 2)) for name, _, threads in (one.partition(":") for one in text.split(","))
    )


class Tried:
    """Runs orders over caches in `folder`; `failed` holds what went wrong, by the order's beginning."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failed: dict[Order, str] = {}
        self.processes = 0

    def run(self, orders: Sequence[Order]) -> Iterator[Order]:
        """Try orders that begin with the same process; yields each when it is done."""
        cache = self.folder / words(orders[0][:1])
        cache.mkdir(mode=0o700)
        yield from self._below((), cache, [(order, (*order, order[-1])) for order in sorted(orders)])
        shutil.rmtree(cache)

    def _below(self, done: Order, cache: Path, orders: list[tuple[Order, Order]]) -> Iterator[Order]:
        """Try orders that begin with `done`, after which `cache` is as it is now."""
        while orders:
            order, whole = orders[0]
            if len(whole) == len(done):
                orders.pop(0)
                yield order
                continue
            following = whole[: len(done) + 1]
            alike = [each for each in orders if each[1][: len(following)] == following]
            orders = [each for each in orders if each not in alike]
            copy = cache
            if orders:  # others go on from here
                copy = Path(tempfile.mkdtemp(dir=self.folder))
                shutil.copytree(cache, copy, dirs_exist_ok=True)
            self._process(following, copy)
            if following in self.failed:  # what comes after it would fail as well
                yield from (order for order, _ in alike)
            else:
                yield from self._below(following, copy, alike)
            if copy is not cache:
                shutil.rmtree(copy)

    def _process(self, order: Order, cache: Path) -> None:
        name, threads = order[-1]
        self.processes += 1
        environment = os.environ | {
            "AUTOGRAD_CORE_CACHE": str(cache), "AUTOGRAD_CORE_AHEAD": "0", "NUMBA_NUM_THREADS": str(threads),
        }  # fmt: skip
        try:
            done = subprocess.run(
                [sys.executable, "-c", BEGIN + OPERATIONS[name]], env=environment, capture_output=True, text=True,
                timeout=600,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            self.failed[order] = "takes more than 600 s"
            return
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [""])[-1]
            self.failed[order] = f"ends with {done.returncode} {last}"


def tried(orders: Sequence[Order], jobs: int = 1, tell: bool = False) -> Tried:
    """Try these orders, in `jobs` processes at a time."""
    begins: dict[Process, list[Order]] = {}
    for order in dict.fromkeys(orders):
        begins.setdefault(order[0], []).append(order)
    total, count, began, told = sum(map(len, begins.values())), 0, time.monotonic(), 0.0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        all_tried = Tried(Path(folder))

        def follow(alike: list[Order]) -> None:
            nonlocal count, told
            for _ in all_tried.run(alike):
                count += 1
                now = time.monotonic()
                if tell and (now - told > 15 or count == total):
                    told = now
                    left = (now - began) / count * (total - count)
                    print(
                        f"{count} of {total} orders, {all_tried.processes} processes, {len(all_tried.failed)} "
                        f"failures, {left / 60:.0f} min left", flush=True,
                    )  # fmt: skip

        for _ in pool.map(follow, begins.values()):
            pass
    return all_tried


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--random", type=int, default=200, help="random orders beside the pairs (200)")
    parser.add_argument("--no-pairs", action="store_true", help="random orders only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (1)")
    parser.add_argument("--order", help="this one only, such as matmul:2,dense:2")
    options = parser.parse_args(arguments)
    if options.order:
        orders = [parsed(options.order)]
    else:
        orders = ([] if options.no_pairs else pairs()) + drawn(options.random, options.seed)
    began = time.monotonic()
    found = tried(orders, options.jobs, tell=True)
    for order, what in sorted(found.failed.items()):
        print(f"FAILS  --order {words(order)}  its last process {what}")
    print(
        f"{len(set(orders))} orders, {found.processes} processes, {len(found.failed)} failures, "
        f"{(time.monotonic() - began) / 60:.1f} min"
    )
    return bool(found.failed)


if __name__ == "__main__":
    sys.exit(main())
