"""Which arrays are so large that an operation takes a compiled kernel, which reads and writes once, on all cores.

None while a function is captured: its program will have loops of its own, and the kernels, in a process that has
not compiled them yet, would be compiled for one call (1.4 s of a first compiled step of resnet20).
"""

from typing import Any

import numpy as np

from autograd_core.tape import capturing

LARGE = 1 << 16  # elements from which kernels are worth loading


def is_large(x: Any, weight: int = 1) -> bool:
    """Whether x is a large array; `weight`: as so many elements one counts, where NumPy takes longer for each."""
    return isinstance(x, np.ndarray) and x.size * weight >= LARGE and capturing() is None


def is_large_float(x: Any, weight: int = 1) -> bool:
    """The same of floats that lie in memory as kernels take them."""
    return is_large(x, weight) and x.dtype.kind == "f" and x.flags.c_contiguous and x.dtype.isnative


def is_large32(x: Any) -> bool:
    """The same in float32, for which alone there are kernels of the elementary functions."""
    return is_large_float(x) and x.dtype == np.float32
