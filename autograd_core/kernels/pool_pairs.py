"""Pooling with stride 2, as most models have it: windows of 2 × 2, and windows of 3 × 3 with padding 1.

A window lies on a pair of columns, one of 3 × 3 also on the odd column of the pair before it. So two registers of a row
are unzipped into the even and the odd columns of as many windows as a register has lanes. The transposes, here and in
`pool_winners`, gather what each element of dx gets from all windows that it is in: so every element is written once,
and none is read. The last register of a row ends where the row ends, over windows that are done already.
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
from autograd_core.kernels.launch import Floats, kernel
from autograd_core.kernels.pool_planes import fill

# Of each task's part of the scratch block: so many rows of windows, each with a register behind it.
LINES = 2


@piece
def mine(task, share, planes):
    return range(task * share, min((task + 1) * share, planes))


@piece
def store_pairs(dx, at, even, odd):
    one, two = interleave(even, odd)
    store(dx, at, one)
    store(dx, at + lanes_of(dx), two)


# 2 × 2 ----------------------------------------------------------------------------------------------------------


@kernel
def fold_twos(
    task: int, x: Floats, y: Floats, planes: int, share: int, high: int, wide: int, average: int
) -> None:
    """y = the largest element, or the mean, of each window; x has planes of high × wide."""
    lanes, width = lanes_of(x), wide // 2
    for plane in mine(task, share, planes):
        for row in range(high // 2):
            for i in range(0, width, lanes):
                j = min(i, width - lanes)
                at, to = (plane * high + 2 * row) * wide + 2 * j, (plane * (high // 2) + row) * width + j
                a, b, c, d = load(x, at), load(x, at + lanes), load(x, at + wide), load(x, at + wide + lanes)
                if average:
                    a, b = unzip(plus(a, c), plus(b, d))
                    store(y, to, times(plus(a, b), splat(x, 0.25)))
                else:
                    a, b = unzip(larger(a, c), larger(b, d))
                    store(y, to, larger(a, b))


@kernel
def spread_twos(
    task: int, g: Floats, dx: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """The mean's transpose: dx = g/4 at each window's four elements, 0 outside all windows."""
    lanes, width = lanes_of(g), wide // 2
    for plane in mine(task, share, planes):
        if (high | wide) % 2:
            fill(dx, plane * high * wide, high * wide, 0)
        for row in range(high // 2):
            for i in range(0, width, lanes):
                j = min(i, width - lanes)
                at, to = (plane * high + 2 * row) * wide + 2 * j, (plane * (high // 2) + row) * width + j
                value = times(load(g, to), splat(g, 0.25))
                store_pairs(dx, at, value, value)
                store_pairs(dx, at + wide, value, value)


# 3 × 3: window `row` lies on the rows 2·row − 1 to 2·row + 1 ----------------------------------------------------


@piece
def _three_rows(plane, row, high, wide):
    """Where a window's rows begin; in the place of one outside x, the middle one again."""
    middle = (plane * high + 2 * row) * wide
    return middle - wide if row else middle, middle, middle + wide if 2 * row + 1 < high else middle


@piece
def _taken(x, at, one):
    return splat(x, x[np.uint64(at)]) if one else load(x, at)


@piece
def _down(x, rows, at, one, average):
    """The columns from `at` on, or `one` of them in all lanes, folded over a window's rows."""
    above, middle, below = rows
    held = _taken(x, middle + at, one)
    if not average:
        return larger(larger(_taken(x, above + at, one), held), _taken(x, below + at, one))
    if above != middle:
        held = plus(_taken(x, above + at, one), held)
    if below != middle:
        held = plus(held, _taken(x, below + at, one))
    return held


@kernel
def fold_threes(
    task: int, x: Floats, y: Floats, planes: int, share: int, high: int, wide: int, average: int
) -> None:
    """y = the largest element, or the mean, of each window, the padding counted as zeros; `wide` is even."""
    lanes, width, windows = lanes_of(x), wide // 2, (high + 1) // 2
    for plane in mine(task, share, planes):
        for row in range(windows):
            rows, to = _three_rows(plane, row, high, wide), (plane * windows + row) * width
            for i in range(0, width, lanes):
                j = min(i, width - lanes)
                even, odd = unzip(
                    _down(x, rows, 2 * j, False, average), _down(x, rows, 2 * j + lanes, False, average)
                )
                before = _down(x, rows, max(2 * j - 1, 0), True, average)
                if average:
                    if j == 0:
                        before = splat(x, 0)
                    total = plus(plus(shifted(odd, before), even), odd)
                    store(y, to + j, divide(total, splat(x, 9)))
                else:
                    store(y, to + j, larger(larger(shifted(odd, before), even), odd))


@kernel
def spread_threes(
    task: int, g: Floats, dx: Floats, scratch: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """dx = the sum of g/9 over the windows that an element is in; `wide` is even.

    Two rows of windows are held in the scratch block: an odd row of dx lies in both, the even row after it in the
    second one only.
    """
    lanes, width = lanes_of(g), wide // 2
    line = width + lanes
    base = task * LINES * line
    fill(scratch, base, LINES * line, 0)
    for plane in mine(task, share, planes):
        for row in range(high // 2 + 1):
            old, new = base + (row + 1) % 2 * line, base + row % 2 * line
            inside = 2 * row < high
            if inside:
                for i in range(0, width, lanes):
                    j = min(i, width - lanes)
                    value = load(g, (plane * ((high + 1) // 2) + row) * width + j)
                    store(scratch, new + j, divide(value, splat(g, 9)))
            else:
                fill(scratch, new, width, 0)
            for i in range(0, width, lanes):
                j = min(i, width - lanes)
                at = (plane * high + 2 * row) * wide + 2 * j
                even = load(scratch, new + j)
                odd = plus(even, load(scratch, new + j + 1))
                if inside:
                    store_pairs(dx, at, even, odd)
                if row:
                    value = load(scratch, old + j)
                    odd = plus(plus(value, load(scratch, old + j + 1)), odd)
                    store_pairs(dx, at - wide, plus(value, even), odd)
