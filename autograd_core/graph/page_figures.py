"""Figures of the interactive page: statistics of values, bytes, columns added up over repetitions."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np


class Statistics:
    """Least, mean and greatest of the finite values, how many were NaN and how many infinite, for each of `n`."""

    def __init__(self, n: int) -> None:
        self.found: list[list[float] | None] = [None] * n

    def add(self, k: int, value: Any) -> None:
        """Count an array or a number in; anything else is passed over."""
        if not isinstance(value, np.ndarray | np.generic | float | int):
            return
        array = np.asarray(value)
        if array.size == 0 or array.dtype.kind not in "fiub":
            return
        finite = np.isfinite(array)
        good = array if finite.all() else array[finite]
        nan = int(np.isnan(array).sum()) if array.dtype.kind == "f" else 0
        row = self.found[k]
        if row is None:
            row = self.found[k] = [math.inf, 0.0, -math.inf, 0, 0, 0]
        if good.size:
            row[0] = min(row[0], float(good.min()))
            row[1] += float(good.sum(dtype=np.float64))
            row[2] = max(row[2], float(good.max()))
        row[3] += good.size
        row[4] += nan
        row[5] += array.size - good.size - nan

    def row(self, k: int) -> list[Any] | None:
        """[least, mean, greatest, NaN, infinite], or None where nothing was counted."""
        found = self.found[k]
        if found is None:
            return None
        least, total, most, good, nan, infinite = found
        if not good:
            return [None, None, None, nan, infinite]
        return [plain(least), plain(total / good), plain(most), nan, infinite]

    def rows(self) -> list[Any]:
        """All of them; empty where nothing was counted anywhere."""
        return [self.row(k) for k in range(len(self.found))] if any(self.found) else []


def plain(value: float) -> Any:
    """A number for JSON, which knows no NaN and no infinity: those are text."""
    value = float(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    short = float(f"{value:.6g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def gather(values: Iterable[tuple[int, float]], n: int, summed: bool) -> list[Any]:
    """(row, value) → one value a row for JSON: the sum or the greatest; None where there is none."""
    found: list[float | None] = [None] * n
    for k, value in values:
        before, value = found[k], float(value)
        if before is None:
            found[k] = value
        elif summed:
            found[k] = before + value
        else:
            found[k] = max(before, value) if value == value else value  # a NaN is what should be seen
    return [None if value is None else plain(value) for value in found]
