"""Max pooling over the windows of `pool_pairs` that remembers which element won, and its transpose.

A backward pass that looks for the winners again, in x, takes twice as long with 2 × 2 windows, almost three times with
3 × 3. Remembered they take little room: 2 × 2 windows two bits each, in two bytes for a register; 3 × 3 windows a byte
each, the number of the tap, 0 to 8, and in rows that are shorter than a register as many as it has lanes.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.lanes import lanes_of, load, piece, plus, shifted, splat, store, winner
from autograd_core.kernels.lanes_ends import load_row, load_two, store_two, store_until
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
from autograd_core.kernels.pool_pairs import LINES, limit, mine, start, store_pairs
from autograd_core.kernels.pool_planes import fill

# 2 × 2 ----------------------------------------------------------------------------------------------------------


@piece
def _halves_at(x, at, narrow):
    one, two = load_two(x, at, narrow)
    return unzip_halves(one, two)


@piece
def _bits_at(windows, row, lanes):
    """Where the bits of a row of windows begin: two bytes for each register."""
    return np.uint64(2 * row * ((windows + lanes - 1) // lanes))


@piece
def _choose_twos(task, x, y, winners, planes, share, high, wide, narrow):
    lanes, width = lanes_of(x), wide // 2
    end = limit(task, share, planes, (high // 2) * width, narrow)
    for plane in mine(task, share, planes):
        for row in range(high // 2):
            line = plane * (high // 2) + row
            bits = _bits_at(width, line, lanes)
            for i in range(0, width, lanes):
                j = start(i, width, lanes)
                at = (plane * high + 2 * row) * wide + 2 * j
                (a, b), (c, d) = _halves_at(x, at, narrow), _halves_at(x, at + wide, narrow)
                most, winners[bits], winners[bits + np.uint64(1)] = largest(a, b, c, d)
                store_until(y, line * width + j, in_order(most), end)
                bits += np.uint64(2)


@kernel
def choose_twos(
    task: int, x: Floats, y: Floats, winners: Bytes, planes: int, share: int, high: int, wide: int
) -> None:
    """y = the largest element of each window, winners = the bits that say which; x has planes of high × wide."""
    if wide // 2 < lanes_of(x):
        _choose_twos(task, x, y, winners, planes, share, high, wide, True)
    else:
        _choose_twos(task, x, y, winners, planes, share, high, wide, False)


@piece
def _put_twos(task, g, winners, dx, planes, share, high, wide, narrow):
    lanes, width = lanes_of(g), wide // 2
    end = limit(task, share, planes, high * wide, narrow)
    for plane in mine(task, share, planes):
        if (high | wide) % 2:
            fill(dx, plane * high * wide, high * wide, 0)
        for row in range(high // 2):
            line = plane * (high // 2) + row
            bits = _bits_at(width, line, lanes)
            for i in range(0, width, lanes):
                j = start(i, width, lanes)
                at = (plane * high + 2 * row) * wide + 2 * j
                value = in_order(load_row(g, line * width + j, width))
                a, b, c, d = dealt(value, np.int64(winners[bits]), np.int64(winners[bits + np.uint64(1)]))
                _store_halves(dx, at, a, b, end)
                _store_halves(dx, at + wide, c, d, end)
                bits += np.uint64(2)


@kernel
def put_twos(
    task: int, g: Floats, winners: Bytes, dx: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """dx = g at each window's winner, else 0."""
    if wide // 2 < lanes_of(g):
        _put_twos(task, g, winners, dx, planes, share, high, wide, True)
    else:
        _put_twos(task, g, winners, dx, planes, share, high, wide, False)


@piece
def _store_halves(dx, at, even, odd, end):
    one, two = interleave_halves(even, odd)
    store_two(dx, at, one, two, end)


# 3 × 3: window `row` lies on the rows 2·row − 1 to 2·row + 1 ----------------------------------------------------


@piece
def _row_winner(x, row, j, number, narrow):
    """The largest of the three elements that each window has in a row of x, and its tap; `number` is the first one's.

    Before the first column stands that column again, with its own tap: the padding never wins.
    """
    at = row + 2 * j
    even, odd = _halves_at(x, at, narrow)
    first, second = splat(x, number), splat(x, number + 1)
    if j:
        before, _ = _halves_at(x, at - 1, narrow)
    else:
        before, first = shifted_halves(odd, splat(x, x[np.uint64(row)])), shifted(first, second)
    held, tap = winner(before, even, first, second)
    return winner(held, odd, tap, splat(x, number + 2))


@piece
def _choose_threes(task, x, y, winners, scratch, planes, share, high, wide, narrow):
    lanes, width, windows = lanes_of(x), wide // 2, (high + 1) // 2
    pitch, end = max(width, lanes), limit(task, share, planes, windows * width, narrow)
    values = task * LINES * (width + lanes)
    taps = values + width + lanes
    for plane in mine(task, share, planes):
        for row in range(windows):
            middle, line = (plane * high + 2 * row) * wide, plane * windows + row
            for i in range(0, width, lanes):
                j = start(i, width, lanes)
                held, tap = _row_winner(x, middle, j, 3, narrow)
                if row:
                    held, tap = winner(load(scratch, values + i), held, load(scratch, taps + i), tap)
                if 2 * row + 1 < high:
                    below, number = _row_winner(x, middle + wide, j, 6, narrow)
                    store(scratch, values + i, below)
                    store(scratch, taps + i, plus(number, splat(x, -6)))
                    held, tap = winner(held, below, tap, number)
                store_until(y, line * width + j, in_order(held), end)
                store_bytes(winners, line * pitch + j, in_order(tap))


@kernel
def choose_threes(
    task: int, x: Floats, y: Floats, winners: Bytes, scratch: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """y = the largest element of each window, winners = its tap; `wide` is even.

    An odd row of x is the last one of a row of windows and the first one of the next: what has won in it waits in the
    scratch block, the elements in one line, their taps in another.
    """
    if wide // 2 < lanes_of(x):
        _choose_threes(task, x, y, winners, scratch, planes, share, high, wide, True)
    else:
        _choose_threes(task, x, y, winners, scratch, planes, share, high, wide, False)


@piece
def _next(g, winners, value, at, byte, last, tap):
    """What the windows behind those of `value` give to their tap; behind the row's last window there is none."""
    if last:
        return dropped(where_byte(winners, byte, tap, value))
    return where_byte(winners, byte + 1, tap, load(g, at + 1))


@piece
def _put_threes(task, g, winners, dx, planes, share, high, wide, narrow):
    lanes, width, windows = lanes_of(g), wide // 2, (high + 1) // 2
    pitch, end = max(width, lanes), limit(task, share, planes, high * wide, narrow)
    for plane in mine(task, share, planes):
        for row in range(windows):
            for i in range(0, width, lanes):
                j, last = start(i, width, lanes), i >= width - lanes
                to, line = (plane * high + 2 * row) * wide + 2 * j, plane * windows + row
                at, byte = line * width + j, line * pitch + j
                value = load_row(g, at, width)
                odd = plus(where_byte(winners, byte, 5, value), _next(g, winners, value, at, byte, last, 3))
                store_pairs(dx, to, where_byte(winners, byte, 4, value), odd, end)
                if 2 * row + 1 < high:
                    even = where_byte(winners, byte, 7, value)
                    odd = plus(
                        where_byte(winners, byte, 8, value), _next(g, winners, value, at, byte, last, 6)
                    )
                    if row + 1 < windows:
                        at, byte = at + width, byte + pitch
                        value = load_row(g, at, width)
                        even = plus(even, where_byte(winners, byte, 1, value))
                        odd = plus(odd, where_byte(winners, byte, 2, value))
                        odd = plus(odd, _next(g, winners, value, at, byte, last, 0))
                    store_pairs(dx, to + wide, even, odd, end)


@kernel
def put_threes(
    task: int, g: Floats, winners: Bytes, dx: Floats, planes: int, share: int, high: int, wide: int
) -> None:  # fmt: skip
    """dx = the sum of g over the windows whose winner stands there; `wide` is even.

    An even row of dx lies in one row of windows, the odd row after it in the next one too.
    """
    if wide // 2 < lanes_of(g):
        _put_threes(task, g, winners, dx, planes, share, high, wide, True)
    else:
        _put_threes(task, g, winners, dx, planes, share, high, wide, False)
