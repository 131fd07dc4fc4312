"""Equal work, proven: every engine builds, runs, and is measured only when its results are everybody's."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from .engines import Engine
from .measure import OURS, Plan, Record

Built = TypeVar("Built")


def built(
    engines: Mapping[str, Engine], build: Callable[[Engine], Built], record: Record, plan: Plan
) -> dict[str, Built]:
    """What `build` makes of each engine; one that fails is left out, with its reason noted on the record."""
    made = {}
    for name, engine in engines.items():
        plan.say(f"{record.name}: {name} builds")
        try:
            made[name] = build(engine)
        except Exception as error:  # a peer may lack a compiler, or an operation
            reason = next(iter(str(error).strip().splitlines()), "")
            record.notes.append(f"{name} failed: {type(error).__name__}: {reason[:200]}")
            record.failed |= name == OURS
    return made


def agreeing(results: Mapping[str, list[np.ndarray]], tolerance: float, record: Record) -> list[str]:
    """The names whose results are the first one's, to within `tolerance` of its largest element; a note on others."""
    for name, found in results.items():
        first = next(iter(results))
        error = max(_error(a, b) for a, b in zip(found, results[first], strict=True))
        if error <= tolerance:  # a NaN is not
            record.equal[name] = error
        else:
            record.notes.append(f"{name} differs from {first} by {error:.1e} of the largest element")
            record.failed = True
    return list(record.equal)


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference over the largest element; infinite for another shape, NaN where there is one."""
    if found.shape != expected.shape:
        return float("inf")
    expected = expected.astype(np.float64)
    return float(np.abs(found - expected).max(initial=0.0) / np.abs(expected).max(initial=1e-30))
