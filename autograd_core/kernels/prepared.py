"""A kernel's call that is known but for where its arrays lie, and these may lie as they like: a matrix product's.

Between large products Python runs with caches that they have emptied, at half of its speed or less. A kernel's own call
looks at each argument, and makes the argument block in Python. Here the block is made before, and compiled code looks
up where the arrays lie: 9 µs less for each product in mlp784's step. Calls of contiguous arrays are `recorded`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from autograd_core.kernels import threads
from autograd_core.kernels.jit import jit
from autograd_core.kernels.launch import Kernel, call, share, sharing, table


class Prepared:
    """A call of the kernel `of` with these arguments: of an array the size, None for an array whose address it takes.

    `launch.traced` does not see it: it is for operations that the compiler lowers in other ways.
    """

    def __init__(self, of: Kernel, dtype: Any, *arguments: int | None, tasks: int) -> None:
        words: list[int] = []
        places: list[int] = []  # of addresses among the words
        for kind, argument in zip(of.kinds, arguments, strict=True):
            if kind != "int" or argument is None:
                places.append(len(words))
                words.append(0)
            if argument is not None:
                words.append(argument)
        self.entry, self.tasks = of.compile(dtype).address, tasks
        self.words, self.places = (table(np.array(numbers, np.int64)) for numbers in (words, places))

    def __call__(self, *arrays: Any) -> bool:
        """Run it on these arrays, contiguous ones; False, and nothing is done, where numbers are not aligned."""
        at = tuple(map(id, arrays))
        if self.tasks == 1 or (count := min(self.tasks, threads.number())) == 1:
            return _run(self.entry, self.words, self.places, at, self.tasks, 1, 0)
        together = sharing()
        with threads.region():
            return _run(self.entry, self.words, self.places, at, self.tasks, count, together)


@intrinsic
def _numbers_of(typing, array):
    """Where the numbers of a NumPy array lie that is at this address (CPython's id): `launch.address_of`, compiled."""

    def emit(context, builder, signature, args):
        word = ir.IntType(64)
        field = builder.add(args[0], ir.Constant(word, object.__basicsize__))
        return builder.load(builder.inttoptr(field, word.as_pointer()))

    return types.int64(types.int64), emit


@jit
def _run(entry, words, places, arrays, tasks, count, sharing):
    block = words.copy()
    together = 0
    for i in range(len(arrays)):
        at = _numbers_of(arrays[i])
        block[places[i]] = at
        together |= at
    if together % 4:
        return False
    if count == 1:
        for task in range(tasks):
            call(entry, block.ctypes.data, task)
    else:
        share(sharing, entry, block.ctypes.data, tasks, count)
    return True
