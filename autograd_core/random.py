"""Random numbers that depend only on the seed, how much was drawn before, and the element's place.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011 (Philox 4×32-10).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from autograd_core.dtypes import Array, DTypeLike, Shape, check_dtype, default_dtype
from autograd_core.kernels import forks
from autograd_core.ops import random as draws
from autograd_core.ops.arguments import integer
from autograd_core.ops.elementwise import floor, minimum
from autograd_core.ops.index import argsort
from autograd_core.ops.shape import as_sizes
from autograd_core.parameter import Buffer
from autograd_core.primitive import Primitive, explaining
from autograd_core.tape import capturing
from autograd_core.tensor import Tensor

stream = Buffer(
    np.array([int.from_bytes(os.urandom(8), "little"), 0], np.uint64)
)  # the seed, and the next counter
_lock = forks.lock()


def seed(n: int) -> None:
    """Start the stream of random numbers anew: the same seed gives the same numbers.

    >>> import autograd_core as ag
    >>> ag.random.seed(7)
    >>> first = ag.random.uniform(3)
    >>> ag.random.seed(7)
    >>> bool((ag.random.uniform(3) == first).all())
    True
    """
    stream.assign(np.array([integer("n", n) % 2**64, 0], np.uint64))


def get_state() -> Array:
    """The seed and the counter, to go on from here later with `set_state`."""
    return stream.array


def set_state(saved: Array) -> None:
    """Go on from a state that `get_state` gave."""
    stream.assign(np.asarray(saved, np.uint64))


@contextmanager
def replay(saved: Array) -> Iterator[None]:
    """Draw again what was drawn from `saved` on, then go on as if nothing had been drawn."""
    with _lock:
        now = stream.array
        stream.array = saved
        try:
            yield
        finally:
            stream.array = now


def _draw(primitive: Primitive, shape: Any, dtype: DTypeLike | None) -> Tensor:
    size: Shape = as_sizes(shape)
    kind = default_dtype() if dtype is None else check_dtype(dtype)
    with _lock:
        drawn = primitive(stream, shape=size, dtype=kind)
        moved = draws.advanced(stream, primitive.name, size, kind)
        if (capture := capturing()) is not None:
            capture.touch(stream)
        stream.array = moved.array
    return drawn


@explaining
def uniform(
    shape: int | Shape = (), low: float = 0.0, high: float = 1.0, dtype: DTypeLike | None = None
) -> Tensor:
    """Numbers evenly distributed in [low, high).

    >>> import autograd_core as ag
    >>> ag.random.uniform((2, 3)).shape
    (2, 3)
    """
    drawn = _draw(draws.uniform, shape, dtype)
    return drawn if (low, high) == (0.0, 1.0) else low + drawn * (high - low)


@explaining
def normal(
    shape: int | Shape = (), mean: float = 0.0, std: float = 1.0, dtype: DTypeLike | None = None
) -> Tensor:
    """Numbers with a normal distribution.

    >>> import autograd_core as ag
    >>> ag.random.normal(5).shape
    (5,)
    """
    drawn = _draw(draws.normal, shape, dtype)
    return drawn if (mean, std) == (0.0, 1.0) else mean + drawn * std


@explaining
def bernoulli(p: float, shape: int | Shape = ()) -> Tensor:
    """True with probability p, else False.

    >>> import autograd_core as ag
    >>> ag.random.bernoulli(0.5, (2, 2)).dtype
    dtype('bool')
    """
    if not 0 <= p <= 1:
        raise ValueError(f"bernoulli: p = {p} is not a probability: use a number from 0 to 1")
    return _draw(draws.uniform, shape, np.float32) < p


@explaining
def integers(low: int, high: int, shape: int | Shape = ()) -> Tensor:
    """Integers from low to high - 1, each equally likely (to within 2⁻⁵³ of the range).

    >>> import autograd_core as ag
    >>> bool((ag.random.integers(0, 3, 100) < 3).all())
    True
    """
    low, high = integer("low", low), integer("high", high)
    if high <= low:
        raise ValueError(f"integers: there is none in [{low}, {high}): high must exceed low")
    drawn = _draw(draws.uniform, shape, np.float64)
    return minimum(low + floor(drawn * (high - low)).astype(np.int64), high - 1)


@explaining
def permutation(n: int) -> Tensor:
    """The integers from 0 to n - 1 in random order.

    >>> import autograd_core as ag
    >>> sorted(ag.random.permutation(3).tolist())
    [0, 1, 2]
    """
    return argsort(_draw(draws.uniform, (n,), np.float64))
