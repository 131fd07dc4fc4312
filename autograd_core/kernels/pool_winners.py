"""Max pooling over the windows of `pool_pairs` that remembers which element won, and its transpose.

A backward pass that looks for the winners again, in x, takes twice as long with 2 × 2 windows, almost three times with
3 × 3. Remembered they take little room: 2 × 2 windows two bits each, in two bytes for a register; 3 × 3 windows a byte
each, the number of the tap, 0 to 8.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.lanes import lanes_of, load, piece, plus, shifted, splat, store, winner
from autograd_core.kernels.lanes_winners import (
    dealt,
    dropped,
    in_order,
    interleave_halves,
    largest,
    shifted_halves,
    store_bytes,
    unzip_halves,
    where_byte,
)
from autograd_core.kernels.launch import Bytes, Floats, kernel
from autograd_core.kernels.pool_pairs import LINES, mine, store_pairs
from autograd_core.kernels.pool_planes import fill

# 2 × 2 ----------------------------------------------------------------------------------------------------------


@piece
def _bits_at(windows, row, lanes):
    """Where the bits of a row of windows begin: two bytes for each register."""
    return np.uint64(2 * row * ((windows + lanes - 1) // lanes))


@kernel
def choose_twos(
    task: int, x: Floats, y: Floats, winners: Bytes, planes: int, share: int, high: int, wide: int
) -> None:
    """y = the largest element of each window, winners = the bits that say which; x has planes of high × wide."""
    lanes, width = lanes_of(x), wide // 2
    for plane in mine(task, share, planes):
        for row in range(high // 2):
            line = plane * (high // 2) + row
            bits = _bits_at(width, line, lanes)
            for i in range(0, width, lanes):
                j = min(i, width - lanes)
                at = (plane * high + 2 * row) * wide + 2 * j
                a, b = unzip_halves(load(x, at), load(x, at + lanes))
                c, d = unzip_halves(load(x, at + wide), load(x, at + wide + lanes))
                most, winners[bits], winners[bits + np.uint64(1)] = largest(a, b, c, d)
                store(y, line * width + j, in_order(most))
                bits += np.uint64(2)


@kernel
def put_twos(
    task: int, g: Floats, winners: Bytes, dx: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """dx = g at each window's winner, else 0."""
    lanes, width = lanes_of(g), wide // 2
    for plane in mine(task, share, planes):
        if (high | wide) % 2:
            fill(dx, plane * high * wide, high * wide, 0)
        for row in range(high // 2):
            line = plane * (high // 2) + row
            bits = _bits_at(width, line, lanes)
            for i in range(0, width, lanes):
                j = min(i, width - lanes)
                at, value = (plane * high + 2 * row) * wide + 2 * j, in_order(load(g, line * width + j))
                a, b, c, d = dealt(value, np.int64(winners[bits]), np.int64(winners[bits + np.uint64(1)]))
                _store_halves(dx, at, a, b)
                _store_halves(dx, at + wide, c, d)
                bits += np.uint64(2)


@piece
def _store_halves(dx, at, even, odd):
    one, two = interleave_halves(even, odd)
    store(dx, at, one)
    store(dx, at + lanes_of(dx), two)


# 3 × 3: window `row` lies on the rows 2·row − 1 to 2·row + 1 ----------------------------------------------------


@piece
def _row_winner(x, row, j, number):
    """The largest of the three elements that each window has in a row of x, and its tap; `number` is the first one's.

    Before the first column stands that column again, with its own tap: the padding never wins.
    """
    at, lanes = row + 2 * j, lanes_of(x)
    even, odd = unzip_halves(load(x, at), load(x, at + lanes))
    first, second = splat(x, number), splat(x, number + 1)
    if j:
        before, _ = unzip_halves(load(x, at - 1), load(x, at - 1 + lanes))
    else:
        before, first = shifted_halves(odd, splat(x, x[np.uint64(row)])), shifted(first, second)
    held, tap = winner(before, even, first, second)
    return winner(held, odd, tap, splat(x, number + 2))


@kernel
def choose_threes(
    task: int, x: Floats, y: Floats, winners: Bytes, scratch: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """y = the largest element of each window, winners = its tap; `wide` is even.

    An odd row of x is the last one of a row of windows and the first one of the next: what has won in it waits in the
    scratch block, the elements in one line, their taps in another.
    """
    lanes, width, windows = lanes_of(x), wide // 2, (high + 1) // 2
    values = task * LINES * (width + lanes)
    taps = values + width + lanes
    for plane in mine(task, share, planes):
        for row in range(windows):
            middle, to = (plane * high + 2 * row) * wide, (plane * windows + row) * width
            for i in range(0, width, lanes):
                j = min(i, width - lanes)
                held, tap = _row_winner(x, middle, j, 3)
                if row:
                    held, tap = winner(load(scratch, values + i), held, load(scratch, taps + i), tap)
                if 2 * row + 1 < high:
                    below, number = _row_winner(x, middle + wide, j, 6)
                    store(scratch, values + i, below)
                    store(scratch, taps + i, plus(number, splat(x, -6)))
                    held, tap = winner(held, below, tap, number)
                store(y, to + j, in_order(held))
                store_bytes(winners, to + j, in_order(tap))


@piece
def _next(g, winners, at, last, tap):
    """What the windows behind those at `at` give to their tap; behind the row's last window there is none."""
    if last:
        return dropped(where_byte(winners, at, tap, load(g, at)))
    return where_byte(winners, at + 1, tap, load(g, at + 1))


@kernel
def put_threes(
    task: int, g: Floats, winners: Bytes, dx: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """dx = the sum of g over the windows whose winner stands there; `wide` is even.

    An even row of dx lies in one row of windows, the odd row after it in the next one too.
    """
    lanes, width, windows = lanes_of(g), wide // 2, (high + 1) // 2
    for plane in mine(task, share, planes):
        for row in range(windows):
            for i in range(0, width, lanes):
                j, last = min(i, width - lanes), i >= width - lanes
                to, at = (plane * high + 2 * row) * wide + 2 * j, (plane * windows + row) * width + j
                value = load(g, at)
                odd = plus(where_byte(winners, at, 5, value), _next(g, winners, at, last, 3))
                store_pairs(dx, to, where_byte(winners, at, 4, value), odd)
                if 2 * row + 1 < high:
                    even = where_byte(winners, at, 7, value)
                    odd = plus(where_byte(winners, at, 8, value), _next(g, winners, at, last, 6))
                    if row + 1 < windows:
                        at += width
                        value = load(g, at)
                        even = plus(even, where_byte(winners, at, 1, value))
                        odd = plus(odd, where_byte(winners, at, 2, value))
                        odd = plus(odd, _next(g, winners, at, last, 0))
                    store_pairs(dx, to + wide, even, odd)
