"""The loops behind the doors of `channel`: over rows that belong to one channel each, or along columns of a matrix.

Rows are cut into blocks, and columns: see `channel.Blocks`. Each block leaves its sums in `parts`, one kind after the
other. Indices are unsigned, since numba tests signed ones for counting from the end.
"""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.lanes import lanes_of, load, minus, piece, plus, splat, store, times
from autograd_core.kernels.launch import Floats, kernel

WIDE = 1 << 10  # columns of a task
SAMPLE, SAMPLE_ROWS = 32, 8  # elements of a row's and of a column's block whose mean is its s


@piece
def _block_of(block, inner, length, pieces):
    """Where the block of a row begins, and how many elements it has."""
    piece = block % pieces
    return np.uint64(block // pieces * inner + piece * length), np.uint64(min(length, inner - piece * length))


@piece
def _strip_of(task, rows, columns, block):
    """A task along columns: first element, place of its first part, width, first and past-last row."""
    strips = (columns + WIDE - 1) // WIDE
    stack, left = task // strips, task % strips * WIDE
    begin, width = stack * block, min(WIDE, columns - left)
    at, part = begin * columns + left, stack * columns + left
    return np.uint64(at), np.uint64(part), np.uint64(left), np.uint64(width), begin, min(begin + block, rows)


@kernel
def row_totals(task: int, x: Floats, parts: Floats, share: int, inner: int, length: int, pieces: int) -> None:
    """For each block Σ x."""
    for block in range(task * share, min((task + 1) * share, parts.size)):
        at, count = _block_of(block, inner, length, pieces)
        total = x.dtype.type(0)
        for i in range(count):
            total += x[at + i]
        parts[block] = total


@kernel
def column_totals(task: int, x: Floats, parts: Floats, rows: int, columns: int, block: int) -> None:
    """For each block of a column Σ x."""
    at, part, _, width, begin, end = _strip_of(task, rows, columns, block)
    step = np.uint64(columns)
    for c in range(width):
        parts[part + c] = 0
    while begin + 4 <= end:  # four rows at once: the sums are read and written a quarter as often
        for c in range(width):
            below = at + step + step + c
            parts[part + c] += (x[at + c] + x[at + step + c]) + (x[below] + x[below + step])
        begin += 4
        at += step + step + step + step
    while begin < end:
        for c in range(width):
            parts[part + c] += x[at + c]
        begin += 1
        at += step


@kernel
def row_moments(
    task: int, x: Floats, parts: Floats, share: int, inner: int, length: int, pieces: int
) -> None:
    """For each block s, the mean of its first elements, Σ(x − s) and Σ(x − s)²."""
    total = parts.size // 3
    for block in range(task * share, min((task + 1) * share, total)):
        at, count = _block_of(block, inner, length, pieces)
        s = first = second = x.dtype.type(0)
        sample = min(count, np.uint64(SAMPLE))  # not a constant: LLVM would add one by one, without vectors
        for i in range(sample):
            s += x[at + i]
        s /= x.dtype.type(sample)
        for i in range(count):
            away = x[at + i] - s
            first += away
            second += away * away
        parts[block], parts[total + block], parts[2 * total + block] = s, first, second


@kernel
def column_moments(task: int, x: Floats, parts: Floats, rows: int, columns: int, block: int) -> None:
    """For each block of a column s, the mean of its first elements, Σ(x − s) and Σ(x − s)²."""
    at, s, _, width, begin, end = _strip_of(task, rows, columns, block)
    third, step, sample = np.uint64(parts.size // 3), np.uint64(columns), min(end - begin, SAMPLE_ROWS)
    first, second = s + third, s + third + third
    for c in range(width):
        parts[s + c] = parts[first + c] = parts[second + c] = 0
    for row in range(sample):
        for c in range(width):
            parts[s + c] += x[at + np.uint64(row) * step + c] / x.dtype.type(sample)
    while begin + 4 <= end:
        for c in range(width):
            k, below = parts[s + c], at + step + step + c
            p, q, r, t = x[at + c] - k, x[at + step + c] - k, x[below] - k, x[below + step] - k
            parts[first + c] += (p + q) + (r + t)
            parts[second + c] += (p * p + q * q) + (r * r + t * t)
        begin += 4
        at += step + step + step + step
    while begin < end:
        for c in range(width):
            away = x[at + c] - parts[s + c]
            parts[first + c] += away
            parts[second + c] += away * away
        begin += 1
        at += step


@kernel
def merge_totals(task: int, parts: Floats, out: Floats, channels: int, a: int, j: int, share: int) -> None:
    """For each channel, of each kind of sum that the parts hold, the sum over its blocks (a, channels, j)."""
    for c in range(task * share, min((task + 1) * share, out.size)):
        total = 0.0
        for outer in range(a):
            at = ((c // channels * a + outer) * channels + c % channels) * j
            for i in range(at, at + j):
                total += np.float64(parts[np.uint64(i)])
        out[c] = total


@kernel
def merge_moments(
    task: int, parts: Floats, out: Floats, channels: int, a: int, j: int, share: int, folds: int, count_a: int,
    last_a: int, count_j: int, last_j: int,
) -> None:  # fmt: skip
    """For each channel mean m and variance: Σ(x − m)² = Σ(x − s)² + (2 Σ(x − s) + n (s − m)) (s − m) of its blocks."""
    third = a * channels * j
    size = ((a - folds) * count_a + folds * last_a) * ((j - 1) * count_j + last_j)
    for c in range(task * share, min((task + 1) * share, channels)):
        mean = total = 0.0
        for outer in range(a):
            rows, at = last_a if outer >= a - folds else count_a, (outer * channels + c) * j
            for i in range(j):
                n = np.float64(rows * (last_j if i == j - 1 else count_j))
                k = np.uint64(at + i)
                mean += n * np.float64(parts[k]) + np.float64(parts[k + np.uint64(third)])
        mean /= size
        for outer in range(a):
            rows, at = last_a if outer >= a - folds else count_a, (outer * channels + c) * j
            for i in range(j):
                n = np.float64(rows * (last_j if i == j - 1 else count_j))
                k = np.uint64(at + i)
                first, second = parts[k + np.uint64(third)], parts[k + np.uint64(2 * third)]
                away = np.float64(parts[k]) - mean
                total += np.float64(second) + (2 * np.float64(first) + n * away) * away
        out[c], out[channels + c] = mean, total / size


@kernel
def row_sums(
    task: int, g: Floats, x: Floats, centre: Floats, parts: Floats, share: int, inner: int, length: int, pieces: int
) -> None:  # fmt: skip
    """For each block Σ g and Σ g · (x − centre)."""
    total = parts.size // 2
    for block in range(task * share, min((task + 1) * share, total)):
        at, count = _block_of(block, inner, length, pieces)
        c = centre[block // pieces % centre.size]
        plain = product = g.dtype.type(0)
        for i in range(count):
            value = g[at + i]
            plain += value
            product += value * (x[at + i] - c)
        parts[block], parts[total + block] = plain, product


@kernel
def column_sums(
    task: int, g: Floats, x: Floats, centre: Floats, parts: Floats, rows: int, columns: int, block: int
) -> None:
    """The same for each block of a column; centre holds one for each column."""
    at, plain, left, width, begin, end = _strip_of(task, rows, columns, block)
    product, step = plain + np.uint64(parts.size // 2), np.uint64(columns)
    for c in range(width):
        parts[plain + c], parts[product + c] = 0, 0
    while begin + 2 <= end:
        for c in range(width):
            k, p, q = centre[left + c], g[at + c], g[at + step + c]
            parts[plain + c] += p + q
            parts[product + c] += p * (x[at + c] - k) + q * (x[at + step + c] - k)
        begin += 2
        at += step + step
    while begin < end:
        for c in range(width):
            parts[plain + c] += g[at + c]
            parts[product + c] += g[at + c] * (x[at + c] - centre[left + c])
        begin += 1
        at += step


@kernel
def row_move(
    task: int, g: Floats, x: Floats, out: Floats, centre: Floats, scale: Floats, shift: Floats, a: Floats, both: int,
    rows: int, share: int, inner: int,
) -> None:  # fmt: skip
    """(x − centre) · scale + shift, both: + g · a; a row's last register ends with it, over elements that are done."""
    lanes = lanes_of(x)
    c = task * share % centre.size
    for row in range(task * share, min((task + 1) * share, rows)):
        middle, factor, offset, weight = (
            splat(x, centre[c]),
            splat(x, scale[c]),
            splat(x, shift[c]),
            splat(x, a[c]),
        )
        i = 0
        while i < inner:
            at = row * inner + min(i, inner - lanes)
            value = plus(times(minus(load(x, at), middle), factor), offset)
            if both:
                value = plus(value, times(load(g, at), weight))
            store(out, at, value)
            i += lanes
        c = c + 1 if c + 1 < centre.size else 0


@kernel
def column_move(
    task: int, g: Floats, x: Floats, out: Floats, centre: Floats, scale: Floats, shift: Floats, a: Floats, both: int,
    rows: int, share: int,
) -> None:  # fmt: skip
    """The same along a matrix's rows, with a number for each column."""
    lanes, columns = lanes_of(x), centre.size
    for row in range(task * share, min((task + 1) * share, rows)):
        i = 0
        while i < columns:
            j = min(i, columns - lanes)
            at = row * columns + j
            if j >= 0:
                value = plus(times(minus(load(x, at), load(centre, j)), load(scale, j)), load(shift, j))
                if both:
                    value = plus(value, times(load(g, at), load(a, j)))
                store(out, at, value)
            else:
                for c in range(columns):
                    k = row * columns + c
                    out[k] = (x[k] - centre[c]) * scale[c] + shift[c]
                    if both:
                        out[k] += g[k] * a[c]
            i += lanes
