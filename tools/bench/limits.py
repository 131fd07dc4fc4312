"""What the machine can do at best, measured in the same turns: one large matrix product, and one copy."""

import importlib.util
import statistics

import numpy as np

from .measure import Call

SIZE = 768
FLOPS = 2 * SIZE**3
LARGEST = 64 * 2**20  # bytes of an array to copy


def calls(traffic: float) -> dict[str, Call]:
    """The product, and a copy that reads and writes `traffic` bytes together: in the cache when the case is."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(2))
    product = np.empty_like(a)
    source = np.ones(copied(traffic) // 4, np.float32)
    target = np.empty_like(source)
    found: dict[str, Call] = {
        "sgemm NumPy": lambda: np.matmul(a, b, out=product),
        "copy NumPy": lambda: np.copyto(target, source),
    }
    if importlib.util.find_spec("torch"):
        import torch

        # On two cores a single thread's copy would be no limit: PyTorch's uses both.
        ta, tb, tproduct, tsource, ttarget = map(torch.from_numpy, (a, b, product, source, target))
        found["sgemm PyTorch"] = lambda: torch.mm(ta, tb, out=tproduct)
        found["copy PyTorch"] = lambda: ttarget.copy_(tsource)
    return found


def copied(traffic: float) -> int:
    """Bytes of the array that is copied: half of the traffic, for each is read once and written once."""
    return int(min(max(traffic / 2, 4096), LARGEST)) // 4 * 4


def rates(times: dict[str, list[float]], traffic: float) -> dict[str, float]:
    """The best rates of both: flop/s, and bytes read and written a second."""
    work = {"sgemm": FLOPS, "copy": 2 * copied(traffic)}
    return {
        kind: max(amount / statistics.median(times[name]) for name in times if name.startswith(kind))
        for kind, amount in work.items()
    }
