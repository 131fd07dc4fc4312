"""Draws from the counter-based stream. The state, (seed, counter), goes in as an array, like any other input."""

import math
from typing import Any

import numpy as np

from autograd_core.dtypes import Array, Shape
from autograd_core.ops.define import operation


@operation()
def uniform(stream: Array, shape: Shape = (), dtype: Any = np.float32) -> Array:
    """Numbers in [0, 1) for the state (seed, counter)."""
    from autograd_core.kernels import random as kernels

    seed, counter = stream.tolist()
    return kernels.uniform(seed, counter, math.prod(shape), dtype).reshape(shape)


@operation()
def normal(stream: Array, shape: Shape = (), dtype: Any = np.float32) -> Array:
    """Numbers with mean 0 and variance 1 for the state (seed, counter)."""
    from autograd_core.kernels import random as kernels

    seed, counter = stream.tolist()
    return kernels.normal(seed, counter, math.prod(shape), dtype).reshape(shape)


def advanced(stream: Array, kind: str, shape: Shape, dtype: Any) -> Array:
    """The state after a draw: the counter moved on by what the draw used."""
    from autograd_core.kernels import random as kernels

    seed, counter = stream.tolist()
    return np.array([seed, (counter + kernels.blocks_used(math.prod(shape), dtype, kind)) % 2**64], np.uint64)
