"""The loop that runs a compiled program: kernels called by address, one after the other, without Python."""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.jit import jit
from autograd_core.kernels.launch import Bytes, Floats, Ints, call, kernel, share

# A row of a program: the kernel's address (0: Python is asked for), its argument block's, and its number of tasks;
# the last is negative where one thread is to run them all, and 0 where the kernel is a check.
FIELDS = 3


@kernel
def not_finite(task: int, values: Floats, found: Ints) -> None:
    """found[0] = 1 if a value is NaN or infinite."""
    wrong = values.dtype.type(0)
    for i in range(np.uint64(values.size)):
        wrong += values[i] * values.dtype.type(0)
    if wrong != 0:
        found[0] = 1


@kernel
def is_set(task: int, flags: Bytes, found: Ints) -> None:
    """found[0] = 1 if a flag is set."""
    for i in range(flags.size):
        if flags[i]:
            found[0] = 1


@jit
def run(rows, first, count, threads, sharing, found):
    """Run rows first … count − 1. Returns the row that needs Python: one without a kernel, or a check that fails.

    `sharing` is launch.sharing() where there are several threads; `found` is where checks write; count is returned
    when all is done.
    """
    for row in range(first, count):
        address, arguments, tasks = rows[FIELDS * row], rows[FIELDS * row + 1], rows[FIELDS * row + 2]
        if address == 0:
            return row
        if tasks == 0:
            call(address, arguments, 0)
            if found[0]:
                found[0] = 0
                return row
        elif tasks <= 1 or threads == 1:
            for task in range(abs(tasks)):
                call(address, arguments, task)
        else:
            share(sharing, address, arguments, tasks, min(tasks, threads))
    return count
