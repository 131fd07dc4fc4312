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

    return kernels.draw(stream, math.prod(shape), dtype, "uniform").reshape(shape)


@operation()
def normal(stream: Array, shape: Shape = (), dtype: Any = np.float32) -> Array:
    """Numbers with mean 0 and variance 1 for the state (seed, counter)."""
    from autograd_core.kernels import random as kernels

    return kernels.draw(stream, math.prod(shape), dtype, "normal").reshape(shape)


@operation()
def _advance(stream: Array, blocks: int = 0) -> Array:
    return stream + np.array([0, blocks], np.uint64)


def advanced(stream: Array, kind: str, shape: Shape, dtype: Any) -> Array:
    """The state after a draw: the counter moved on by what the draw used."""
    from autograd_core.kernels import random as kernels

    return _advance(stream, blocks=kernels.blocks_used(math.prod(shape), dtype, kind))
