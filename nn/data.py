"""Data in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from autograd_core import random
from autograd_core.dtypes import Array
from autograd_core.tensor import Tensor


class Batches:
    """What `batches` makes: iterate over it as often as you like, each time is an epoch. See `batches`."""

    def __init__(
        self, arrays: Any, batch_size: int, shuffle: bool, seed: int | None, drop_last: bool
    ) -> None:
        self.arrays = _checked(arrays)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ValueError(f"batches: batch_size = {batch_size!r}: it must be a positive integer")
        if shuffle and seed is None:
            seed = random.integers(0, 2**53).item()
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        """The number of the next epoch. Set it to go on where an earlier run stopped."""

    @property
    def rows(self) -> int:
        """The number of rows of the data."""
        return self.arrays[0].shape[0]

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        full, rest = divmod(self.rows, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    @property
    def examples(self) -> int:
        """The number of rows that an epoch gives: fewer than `rows` when a last batch is left out."""
        return min(self.rows, len(self) * self.batch_size)

    def order(self, epoch: int) -> Array:
        """The row numbers in the order of that epoch."""
        if not self.shuffle:
            return np.arange(self.rows)
        # Sorting raw Philox numbers, not Generator.permutation: NumPy promises that only the former never change.
        key = np.array([int(self.seed or 0) % 2**64, epoch], np.uint64)
        return np.argsort(np.random.Philox(key=key).random_raw(self.rows), kind="stable")

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        epoch, self.epoch = (
            self.epoch,
            self.epoch + 1,
        )  # now, not at the first batch: two loops are two epochs
        return self._batches(self.order(epoch))

    def _batches(self, order: Array) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            rows = order[start : start + self.batch_size]
            yield tuple(_take(a, rows) for a in self.arrays)

    def __repr__(self) -> str:
        return f"<{len(self)} batches of {self.batch_size} from {self.rows} rows>"


def batches(
    arrays: Any, batch_size: int, shuffle: bool = True, seed: int | None = None, drop_last: bool = False
) -> Batches:
    """Batches of rows: tuples with `batch_size` rows of each array, the last one with what is left.

    `arrays` is a tuple or list of ndarrays or tensors with the same number of rows (axis 0), or one of them alone;
    a batch has ndarrays for ndarrays and tensors for tensors, copies that are yours to change. The result can be
    iterated over again and again, each time in another order, which depends only on `seed` and on how many times
    before. Without a seed it takes one from `ag.random`. `drop_last` leaves out an incomplete last batch.
    Raises ValueError for arrays of different length and for a batch size below 1.

    >>> import nn
    >>> import numpy as np
    >>> x, y = np.arange(5), np.arange(5) ** 2
    >>> data = nn.data.batches((x, y), batch_size=2, shuffle=False)
    >>> len(data)
    3
    >>> for a, b in data:
    ...     print(a, b)
    [0 1] [0 1]
    [2 3] [4 9]
    [4] [16]
    """
    return Batches(arrays, batch_size, shuffle, seed, drop_last)


def repeatable(data: Any, name: str, batch_size: int, shuffle: bool) -> Any:
    """Data that can be iterated over in every epoch, for `fit`: a tuple of arrays is put into batches."""
    if isinstance(data, tuple) and len(data) > 1:
        if all(isinstance(a, Tensor) or hasattr(a, "__array__") for a in data):
            arrays = tuple(a if isinstance(a, Tensor) else np.asarray(a) for a in data)
            return Batches(arrays, batch_size, shuffle, None, False)
        if all(isinstance(a, list) and a and not hasattr(a[0], "__array__") for a in data):
            raise TypeError(f"fit: {name} is a tuple of lists: give arrays, (np.asarray(x), np.asarray(y))")
    if not isinstance(data, Iterable) or isinstance(data, Tensor | np.ndarray | str | dict):
        raise TypeError(
            f"fit: {name} is a {type(data).__name__}: give nn.data.batches((x, y), 32) or (x, y) itself"
        )
    if isinstance(data, Iterator):
        raise TypeError(
            f"fit: {name} is a {type(data).__name__}, which can be iterated over only once: give a list of "
            "batches or nn.data.batches((x, y), 32)"
        )
    return data


def _checked(arrays: Any) -> tuple[Any, ...]:
    given = arrays if isinstance(arrays, tuple | list) else (arrays,)
    if not given:
        raise ValueError("batches: there are no arrays")
    found = tuple(a if isinstance(a, Tensor) else np.asarray(a) for a in given)
    for i, a in enumerate(found):
        if not a.ndim:
            raise ValueError(f"batches: arrays[{i}] is a single {a.dtype} value: it needs rows, an axis 0")
    lengths = [a.shape[0] for a in found]
    if len(set(lengths)) > 1:
        raise ValueError(f"batches: the arrays have {lengths} rows: they must have the same number")
    return found


def _take(array: Any, rows: Array) -> Any:
    if not isinstance(array, Tensor):
        return array[rows]
    return array[rows] if array.requires_grad else Tensor(array.array[rows])
