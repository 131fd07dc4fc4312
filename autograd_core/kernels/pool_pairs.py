"""Pooling with stride 2, as most models have it: windows of 2 × 2, and windows of 3 × 3 with padding 1.

A window lies on a pair of columns, one of 3 × 3 also on the odd column of the pair before it. So two registers of a row
are unzipped into the even and the odd columns of as many windows as a register has lanes. The transposes, here and in
`pool_winners`, gather what each element of dx gets from all windows that it is in: so every element is written once,
and none is read.

The last register of a row ends where the row ends, over windows that are done already. In a row that is shorter than
a register it reaches over the rows behind it, which are written afterwards, but never over another task's.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.lanes import (
    divide,
    interleave,
    lanes_of,
    larger,
    load,
    piece,
    plus,
    shifted,
    splat,
    store,
    times,
    unzip,
)  # fmt: skip
from autograd_core.kernels.lanes_ends import load_row, load_two, store_two, store_until
from autograd_core.kernels.launch import Floats, kernel
from autograd_core.kernels.pool_planes import fill

# Of each task's part of the scratch block: so many rows of windows, each with a register behind it.
LINES = 2


@piece
def mine(task, share, planes):
    return range(task * share, min((task + 1) * share, planes))


@piece
def limit(task, share, planes, size, narrow):
    """Where a task's planes of `size` elements end, if rows are narrow; in wide ones registers stay inside: 0."""
    return min((task + 1) * share, planes) * size if narrow else 0


@piece
def start(i, width, lanes):
    """The first window of the register that is to begin at window i."""
    return max(min(i, width - lanes), 0)


@piece
def store_pairs(dx, at, even, odd, end):
    one, two = interleave(even, odd)
    store_two(dx, at, one, two, end)


# 2 × 2 ----------------------------------------------------------------------------------------------------------


@piece
def _fold_twos(task, x, y, planes, share, high, wide, average, narrow):
    lanes, width = lanes_of(x), wide // 2
    end = limit(task, share, planes, (high // 2) * width, narrow)
    for plane in mine(task, share, planes):
        for row in range(high // 2):
            for i in range(0, width, lanes):
                j = start(i, width, lanes)
                at, to = (plane * high + 2 * row) * wide + 2 * j, (plane * (high // 2) + row) * width + j
                (a, b), (c, d) = load_two(x, at, narrow), load_two(x, at + wide, narrow)
                if average:
                    a, b = unzip(plus(a, c), plus(b, d))
                    store_until(y, to, times(plus(a, b), splat(x, 0.25)), end)
                else:
                    a, b = unzip(larger(a, c), larger(b, d))
                    store_until(y, to, larger(a, b), end)


@kernel
def fold_twos(
    task: int, x: Floats, y: Floats, planes: int, share: int, high: int, wide: int, average: int
) -> None:
    """y = the largest element, or the mean, of each window; x has planes of high × wide."""
    if wide // 2 < lanes_of(x):
        _fold_twos(task, x, y, planes, share, high, wide, average, True)
    else:
        _fold_twos(task, x, y, planes, share, high, wide, average, False)


@piece
def _spread_twos(task, g, dx, planes, share, high, wide, narrow):
    lanes, width = lanes_of(g), wide // 2
    end = limit(task, share, planes, high * wide, narrow)
    for plane in mine(task, share, planes):
        if (high | wide) % 2:
            fill(dx, plane * high * wide, high * wide, 0)
        for row in range(high // 2):
            for i in range(0, width, lanes):
                j = start(i, width, lanes)
                at, to = (plane * high + 2 * row) * wide + 2 * j, (plane * (high // 2) + row) * width + j
                value = times(load_row(g, to, width), splat(g, 0.25))
                store_pairs(dx, at, value, value, end)
                store_pairs(dx, at + wide, value, value, end)


@kernel
def spread_twos(
    task: int, g: Floats, dx: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """The mean's transpose: dx = g/4 at each window's four elements, 0 outside all windows."""
    if wide // 2 < lanes_of(g):
        _spread_twos(task, g, dx, planes, share, high, wide, True)
    else:
        _spread_twos(task, g, dx, planes, share, high, wide, False)


# 3 × 3: window `row` lies on the rows 2·row − 1 to 2·row + 1 ----------------------------------------------------


@piece
def _three_rows(plane, row, high, wide):
    """Where a window's rows begin; in the place of one outside x, the middle one again."""
    middle = (plane * high + 2 * row) * wide
    return middle - wide if row else middle, middle, middle + wide if 2 * row + 1 < high else middle


@piece
def _one(x, at, _):
    """An element in all lanes, twice."""
    value = splat(x, x[np.uint64(at)])
    return value, value


@piece
def _both(take, one, two):
    return take(one[0], two[0]), take(one[1], two[1])


@piece
def _down(x, rows, at, take, narrow, average):
    """What `take` finds at column `at`, folded over a window's rows."""
    above, middle, below = rows
    held = take(x, middle + at, narrow)
    if not average:
        return _both(larger, _both(larger, take(x, above + at, narrow), held), take(x, below + at, narrow))
    if above != middle:
        held = _both(plus, take(x, above + at, narrow), held)
    if below != middle:
        held = _both(plus, held, take(x, below + at, narrow))
    return held


@piece
def _fold_threes(task, x, y, planes, share, high, wide, average, narrow):
    lanes, width, windows = lanes_of(x), wide // 2, (high + 1) // 2
    end = limit(task, share, planes, windows * width, narrow)
    for plane in mine(task, share, planes):
        for row in range(windows):
            rows, to = _three_rows(plane, row, high, wide), (plane * windows + row) * width
            for i in range(0, width, lanes):
                j = start(i, width, lanes)
                one, two = _down(x, rows, 2 * j, load_two, narrow, average)
                even, odd = unzip(one, two)
                before, _ = _down(x, rows, max(2 * j - 1, 0), _one, narrow, average)
                if average:
                    if j == 0:
                        before = splat(x, 0)
                    total = plus(plus(shifted(odd, before), even), odd)
                    store_until(y, to + j, divide(total, splat(x, 9)), end)
                else:
                    store_until(y, to + j, larger(larger(shifted(odd, before), even), odd), end)


@kernel
def fold_threes(
    task: int, x: Floats, y: Floats, planes: int, share: int, high: int, wide: int, average: int
) -> None:
    """y = the largest element, or the mean, of each window, the padding counted as zeros; `wide` is even."""
    if wide // 2 < lanes_of(x):
        _fold_threes(task, x, y, planes, share, high, wide, average, True)
    else:
        _fold_threes(task, x, y, planes, share, high, wide, average, False)


@piece
def _spread_threes(task, g, dx, scratch, planes, share, high, wide, narrow):
    lanes, width = lanes_of(g), wide // 2
    line = width + lanes
    base, end = task * LINES * line, limit(task, share, planes, high * wide, narrow)
    fill(scratch, base, LINES * line, 0)
    for plane in mine(task, share, planes):
        for row in range(high // 2 + 1):
            old, new = base + (row + 1) % 2 * line, base + row % 2 * line
            inside = 2 * row < high
            if inside:
                for i in range(0, width, lanes):
                    j = start(i, width, lanes)
                    value = load_row(g, (plane * ((high + 1) // 2) + row) * width + j, width)
                    store(scratch, new + j, divide(value, splat(g, 9)))
            else:
                fill(scratch, new, width, 0)
            for i in range(0, width, lanes):
                j = start(i, width, lanes)
                at = (plane * high + 2 * row) * wide + 2 * j
                even = load(scratch, new + j)
                odd = plus(even, load(scratch, new + j + 1))
                if row:
                    value = load(scratch, old + j)
                    total = plus(plus(value, load(scratch, old + j + 1)), odd)
                    store_pairs(dx, at - wide, plus(value, even), total, end)
                if inside:
                    store_pairs(dx, at, even, odd, end)


@kernel
def spread_threes(
    task: int, g: Floats, dx: Floats, scratch: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """dx = the sum of g/9 over the windows that an element is in; `wide` is even.

    Two rows of windows are held in the scratch block: an odd row of dx lies in both, the even row after it in the
    second one only.
    """
    if wide // 2 < lanes_of(g):
        _spread_threes(task, g, dx, scratch, planes, share, high, wide, True)
    else:
        _spread_threes(task, g, dx, scratch, planes, share, high, wide, False)
