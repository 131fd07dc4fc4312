"""Pooling plane by plane: the kernels behind the doors of `pool`.

What a plane of x becomes on the way stands in a scratch block between its padding. There the taps of neighbouring
windows are at the same distances, and a register holds one tap of as many windows as it has lanes. The last register
of a row ends where the row ends, over windows that are done already: so no row leaves a rest.

The usual windows, two apart, need no tables: their kernels are in `pool_pairs`.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.lanes import (
    divide,
    interleave,
    lanes_of,
    larger,
    load,
    load_every,
    move,
    piece,
    plus,
    splat,
    store,
    winner,
)  # fmt: skip
from autograd_core.kernels.launch import Floats, Ints, kernel

# What stands where in `sizes`. A task has SHARE planes and PART numbers of the scratch block: for `fold` folded rows, a
# PITCH apart, behind PAD numbers of padding; for the others CELLS for a padded plane, which is used when COPIES, then
# a row of windows between MARGINs.
PLANES, SHARE, X_PLANE, X_ROW, Y_ROW, STEP, PITCH, PAD, COPIES, CELLS, MARGIN, PART = range(12)


@piece
def _mine(task, sizes):
    """The planes of a task."""
    return range(task * sizes[SHARE], min((task + 1) * sizes[SHARE], sizes[PLANES]))


@piece
def fill(array, at, count, value):
    for i in range(np.uint64(at), np.uint64(at + count)):
        array[i] = value


@piece
def _padded(x, plane, scratch, base, sizes, rows):
    """The plane of x with its padding, and where it begins: in x itself when there is none."""
    at = plane * sizes[X_PLANE]
    if not sizes[COPIES]:
        return x, at
    for row in range(rows.size):
        move(x, at + row * sizes[X_ROW], scratch, base + rows[row], sizes[X_ROW])
    return scratch, base


@piece
def _folded(held, value, count):
    return plus(held, value) if count else larger(held, value)


@kernel
def fold(
    task: int, x: Floats, y: Floats, scratch: Floats, sizes: Ints, ends: Ints, lines: Ints, columns: Ints, count: int
) -> None:  # fmt: skip
    """y = the largest element of each window of x; with a count: the sum over it, the padding counted as zeros.

    First down the columns, of all rows that a row of windows has inside x: lines[ends[row] : ends[row + 1]] say where
    in x they begin. Then along these folded rows, which stand in the scratch block between their padding.
    """
    lanes, wide, width, step = lanes_of(x), sizes[X_ROW], sizes[Y_ROW], sizes[STEP]
    base, pitch, pad = task * sizes[PART], sizes[PITCH], sizes[PAD]
    fill(scratch, base, sizes[PART], 0 if count else -np.inf)
    for plane in _mine(task, sizes):
        at = plane * sizes[X_PLANE]
        for row in range(ends.size - 1):
            first, past, to = np.uint64(ends[row]), np.uint64(ends[row + 1]), base + row * pitch + pad
            i = 0
            while i < wide:
                j, k = min(i, wide - lanes), min(i + lanes, wide - lanes)
                one, two = load(x, at + lines[first] + j), load(x, at + lines[first] + k)
                for t in range(first + np.uint64(1), past):
                    here = at + lines[t]
                    one, two = _folded(one, load(x, here + j), count), _folded(two, load(x, here + k), count)
                store(scratch, to + j, one)
                store(scratch, to + k, two)
                i += 2 * lanes
        for row in range(ends.size - 1):
            to = (plane * (ends.size - 1) + row) * width
            i = 0
            while i < width:
                j, k = max(0, min(i, width - lanes)), max(0, min(i + lanes, width - lanes))
                here = base + row * pitch
                one, two = (
                    load_every(scratch, here + j * step, step),
                    load_every(scratch, here + k * step, step),
                )
                for t in range(np.uint64(1), np.uint64(columns.size)):
                    near = here + columns[t]
                    one = _folded(one, load_every(scratch, near + j * step, step), count)
                    two = _folded(two, load_every(scratch, near + k * step, step), count)
                if count:
                    one, two = divide(one, splat(x, count)), divide(two, splat(x, count))
                if width >= lanes:
                    store(y, to + j, one)
                    store(y, to + k, two)
                else:
                    store(scratch, base + sizes[PART] - lanes, one)
                    move(scratch, base + sizes[PART] - lanes, y, to, width)
                i += 2 * lanes


@kernel
def route(
    task: int, x: Floats, source: Floats, to: Floats, scratch: Floats, sizes: Ints, rows: Ints, starts: Ints,
    taps: Ints, first_row: Floats, first_column: Floats, corners: Ints, offsets: Ints, back: int,
) -> None:  # fmt: skip
    """Of each window of x, the place of the largest element: y (`to`) = h (`source`) there; back: dx += g there.

    A window's choice is the number of a tap, kept as a float beside the values. It starts as the first tap inside
    x, first_row + first_column, and stays so where all elements are −∞, as the padding is. corners and offsets are
    starts and taps in x itself.
    """
    lanes, width, step, base = lanes_of(x), sizes[Y_ROW], sizes[STEP], task * sizes[PART]
    line = base + sizes[CELLS]
    if sizes[COPIES]:
        fill(scratch, base, sizes[CELLS], -np.inf)
    for plane in _mine(task, sizes):
        cells, at = _padded(x, plane, scratch, base, sizes, rows)
        if back:
            fill(to, plane * sizes[X_PLANE], sizes[X_PLANE], 0)
        for row in range(starts.size):
            i = 0
            while i < width:
                j, k = max(0, min(i, width - lanes)), max(0, min(i + lanes, width - lanes))
                one_at, two_at = at + starts[row] + j * step, at + starts[row] + k * step
                one_held = two_held = splat(x, -np.inf)
                number, first = splat(x, 0), splat(x, first_row[row])
                one, two = plus(first, load(first_column, j)), plus(first, load(first_column, k))
                for t in range(np.uint64(taps.size)):
                    one_held, one = winner(one_held, load_every(cells, one_at + taps[t], step), one, number)
                    two_held, two = winner(two_held, load_every(cells, two_at + taps[t], step), two, number)
                    number = plus(number, splat(x, 1))
                store(scratch, line + j, one)
                store(scratch, line + k, two)
                i += 2 * lanes
            corner, window = plane * sizes[X_PLANE] + corners[row], (plane * starts.size + row) * width
            for w in range(width):
                tap = np.int64(scratch[np.uint64(line + w)])
                place = np.uint64(corner + w * step + offsets[np.uint64(tap)])
                if back:
                    to[place] += source[np.uint64(window + w)]
                else:
                    to[np.uint64(window + w)] = source[place]


@piece
def _shifted(line, at, shifts):
    """The sum of line[at − shift] over the shifts."""
    total = splat(line, 0)
    for k in range(np.uint64(shifts.size)):
        total = plus(total, load(line, at - shifts[k]))
    return total


@piece
def _add(cells, at, value):
    store(cells, at, plus(load(cells, at), value))


@kernel
def spread(
    task: int, g: Floats, dx: Floats, scratch: Floats, sizes: Ints, rows: Ints, starts: Ints, lines: Ints,
    columns: Ints, evens: Ints, odds: Ints, count: int,
) -> None:  # fmt: skip
    """The mean's transpose: dx gets each window's g / count at all its elements.

    A row of g is spread over the columns once, and added to each of the rows, `lines`, that its windows lie on. With
    stride 1 and 2 that takes whole registers: at an even column 2i the sum of g[i − shift] over the shifts of `evens`,
    at an odd one of `odds`; stride 1 knows even columns only. `columns` are a window's, for longer strides.
    """
    lanes, width, step = lanes_of(g), sizes[Y_ROW], sizes[STEP]
    base, margin = task * sizes[PART], sizes[MARGIN]
    line = base + sizes[CELLS] + margin
    fill(scratch, line - margin, width + 2 * margin, 0)
    for plane in _mine(task, sizes):
        fill(scratch, base, sizes[CELLS], 0)
        for row in range(starts.size):
            for w in range(np.uint64(width)):
                scratch[np.uint64(line) + w] = g[
                    np.uint64((plane * starts.size + row) * width) + w
                ] / g.dtype.type(count)
            here = base + starts[row]
            if step > 2:
                for t in range(lines.size):
                    for k in range(columns.size):
                        for w in range(width):
                            scratch[np.uint64(here + lines[t] + columns[k] + w * step)] += scratch[
                                np.uint64(line + w)
                            ]
            else:
                for i in range(0, width + margin - lanes, lanes):
                    one = two = _shifted(scratch, line + i, evens)
                    if step == 2:
                        one, two = interleave(one, _shifted(scratch, line + i, odds))
                    for t in range(lines.size):
                        _add(scratch, here + lines[t] + i * step, one)
                        if step == 2:
                            _add(scratch, here + lines[t] + i * step + lanes, two)
        for row in range(rows.size):
            move(scratch, base + rows[row], dx, plane * sizes[X_PLANE] + row * sizes[X_ROW], sizes[X_ROW])
