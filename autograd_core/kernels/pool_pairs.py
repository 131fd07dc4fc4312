"""Pooling with stride 2, as most models have it: windows of 2 × 2, and windows of 3 × 3 with padding 1.

A window lies on a pair of columns, one of 3 × 3 also on the odd column of the pair before it. So two registers of a row
are unzipped into the even and the odd columns of as many windows as a register has lanes. The transposes gather what
each element of dx gets from all windows that it is in: so every element is written once, and none is read. The last
register of a row ends where the row ends, over windows that are done already.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.lanes import (
    divide,
    interleave,
    lanes_of,
    larger,
    load,
    move,
    piece,
    plus,
    shifted,
    splat,
    store,
    times,
    unzip,
    where_equal,
    winner,
)  # fmt: skip
from autograd_core.kernels.lanes_route import routed
from autograd_core.kernels.launch import Floats, kernel
from autograd_core.kernels.pool_planes import fill

# Of each task's part of the scratch block: so many rows of windows, each with a register behind it.
LINES = 4


@piece
def _mine(task, share, planes):
    return range(task * share, min((task + 1) * share, planes))


@piece
def _store_pairs(dx, at, even, odd):
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
    for plane in _mine(task, share, planes):
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
    task: int, x: Floats, g: Floats, dx: Floats, planes: int, share: int, high: int, wide: int, average: int
) -> None:  # fmt: skip
    """fold_twos' transpose at x: dx = g at each window's largest element, else 0; average: g/4 at all four."""
    lanes, width = lanes_of(g), wide // 2
    for plane in _mine(task, share, planes):
        if (high | wide) % 2:
            fill(dx, plane * high * wide, high * wide, 0)
        for row in range(high // 2):
            for i in range(0, width, lanes):
                j = min(i, width - lanes)
                at, to = (plane * high + 2 * row) * wide + 2 * j, (plane * (high // 2) + row) * width + j
                a = b = c = d = times(load(g, to), splat(g, 0.25))
                if not average:
                    a, b = unzip(load(x, at), load(x, at + lanes))
                    c, d = unzip(load(x, at + wide), load(x, at + wide + lanes))
                    a, b, c, d = routed(a, b, c, d, load(g, to))
                _store_pairs(dx, at, a, b)
                _store_pairs(dx, at + wide, c, d)


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
    for plane in _mine(task, share, planes):
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


@piece
def _row_winner(x, row, j, number):
    """The largest of the three elements that each window has in a row of x, and its tap; `number` is the first one's.

    Before the first column stands that column again, with its own tap.
    """
    even, odd = unzip(load(x, row + 2 * j), load(x, row + 2 * j + lanes_of(x)))
    before = shifted(odd, splat(x, x[np.uint64(row + max(2 * j - 1, 0))]))
    one = splat(x, number + 1)
    tap = shifted(splat(x, number), splat(x, number + 1 if j == 0 else number))
    held, tap = winner(before, even, tap, one)
    return winner(held, odd, tap, splat(x, number + 2))


@piece
def _choices(x, rows, scratch, to, width):
    """The taps, 0 to 8, of the largest elements of a row of windows."""
    above, middle, below = rows
    lanes = lanes_of(x)
    for i in range(0, width, lanes):
        j = min(i, width - lanes)
        # A row outside x is the middle one again: above it, it has that one's taps; below, it never wins.
        held, tap = _row_winner(x, above, j, 0 if above != middle else 3)
        other, other_tap = _row_winner(x, middle, j, 3)
        held, tap = winner(held, other, tap, other_tap)
        other, other_tap = _row_winner(x, below, j, 6)
        held, tap = winner(held, other, tap, other_tap)
        store(scratch, to + j, tap)


@piece
def _given(scratch, at, line, tap):
    """What the windows at `at` give to one of their taps: their values stand two lines behind their choices."""
    return where_equal(load(scratch, at), splat(scratch, tap), load(scratch, at + 2 * line))


@kernel
def put_threes(
    task: int, x: Floats, g: Floats, dx: Floats, scratch: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """dx = the sum of g over the windows whose largest element of x stands there; `wide` is even.

    The choices and values of two rows of windows are held in the scratch block: an odd row of dx lies in both, the
    even row after it in the second one only.
    """
    lanes, width = lanes_of(x), wide // 2
    line = width + lanes
    base = task * LINES * line
    fill(scratch, base, LINES * line, -1)  # the choice −1, of no tap, stays behind the rows
    for plane in _mine(task, share, planes):
        for row in range(high // 2 + 1):
            old, new = base + (row + 1) % 2 * line, base + row % 2 * line
            inside = 2 * row < high
            if inside:
                _choices(x, _three_rows(plane, row, high, wide), scratch, new, width)
                move(g, (plane * ((high + 1) // 2) + row) * width, scratch, new + 2 * line, width)
            else:
                fill(scratch, new, width, -1)
            for i in range(0, width, lanes):
                j = min(i, width - lanes)
                at, was, now = (plane * high + 2 * row) * wide + 2 * j, old + j, new + j
                if row:
                    even = plus(_given(scratch, was, line, 7), _given(scratch, now, line, 1))
                    odd = plus(_given(scratch, was, line, 8), _given(scratch, was + 1, line, 6))
                    odd = plus(odd, _given(scratch, now, line, 2))
                    _store_pairs(dx, at - wide, even, plus(odd, _given(scratch, now + 1, line, 0)))
                if inside:
                    odd = plus(_given(scratch, now, line, 5), _given(scratch, now + 1, line, 3))
                    _store_pairs(dx, at, _given(scratch, now, line, 4), odd)


@kernel
def spread_threes(
    task: int, g: Floats, dx: Floats, scratch: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """dx = the sum of g/9 over the windows that an element is in; `wide` is even. Rows are held as in put_threes."""
    lanes, width = lanes_of(g), wide // 2
    line = width + lanes
    base = task * LINES * line
    fill(scratch, base, LINES * line, 0)
    for plane in _mine(task, share, planes):
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
                    _store_pairs(dx, at, even, odd)
                if row:
                    value = load(scratch, old + j)
                    odd = plus(plus(value, load(scratch, old + j + 1)), odd)
                    _store_pairs(dx, at - wide, plus(value, even), odd)
