"""The settings of optimizers: numbers behind attributes, kept in Buffers, which compiled steps read anew each time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autograd_core.tape import capturing
from autograd_core.tensor import Tensor


class Setting:
    """A number that steers an optimizer: a float in and out, a float64 Buffer inside, so that no step freezes it.

    Declare one in the class to have its range checked. A number that is given to `Optimizer.__init__` under any other
    name gets a setting of its own, without a range (`OwnSetting`).
    """

    def __init__(self, below: float = math.inf) -> None:
        self.below = below

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        if optimizer is None:
            return self
        buffer = optimizer.settings.get(self.name)
        return self.outside(optimizer) if buffer is None else optimizer.value_of(self.name, buffer)

    def __set__(self, optimizer: Any, value: float | Tensor) -> None:
        buffer = optimizer.settings.get(self.name)
        if buffer is None:  # set before Optimizer.__init__ has run, or no number in this optimizer
            vars(optimizer)[self.name] = value
            return
        if capturing() is None or not isinstance(
            value, Tensor
        ):  # a rate that is being captured has no number yet
            value = self.checked(optimizer, value)
        buffer.assign(value)

    def outside(self, optimizer: Any) -> Any:
        """The value in an optimizer that keeps it as a plain attribute."""
        if self.name not in vars(optimizer):
            raise AttributeError(f"{type(optimizer).__name__} has no {self.name} yet")
        return vars(optimizer)[self.name]

    def checked(self, optimizer: Any, value: Any) -> Tensor:
        """The value as a float64 tensor; ValueError when it is out of range."""
        number, kind = self.number(optimizer, value), type(optimizer).__name__
        if not 0 <= number < self.below:  # a NaN fails too
            limit = f"in [0, {self.below:g})" if self.below < math.inf else "finite and not negative"
            raise ValueError(f"{kind}: {self.name} = {number:g}: it must be {limit}")
        if number and self.name in optimizer.absent:
            raise ValueError(
                f"{kind}: {self.name} was 0 when the optimizer was made, so its term is left out: make another "
                f"one with {self.name}={number:g}"
            )
        return Tensor(np.asarray(number, np.float64))

    def number(self, optimizer: Any, value: Any) -> float:
        """The value as a float; TypeError for what is no single number."""
        try:
            if isinstance(value, str | bytes):
                raise TypeError("it is text")
            return float(value)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{type(optimizer).__name__}: {self.name} = {value!r}: it must be a number ({error})"
            ) from None


class OwnSetting(Setting):
    """The setting of a subclass that gave a number to `Optimizer.__init__` without declaring it: any number will do."""

    def __init__(self, name: str, *default: Any) -> None:
        super().__init__()
        self.name, self.default = name, default  # of the class attribute that stood there before

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        return self.default[0] if optimizer is None and self.default else super().__get__(optimizer, owner)

    def outside(self, optimizer: Any) -> Any:
        if self.name not in vars(optimizer) and self.default:
            return self.default[0]
        return super().outside(optimizer)

    def checked(self, optimizer: Any, value: Any) -> Tensor:
        return Tensor(np.asarray(self.number(optimizer, value), np.float64))


def descriptor(optimizer: Any, name: str) -> Any:
    """What stands under a name in an optimizer's class or its bases, as it is; None for nothing."""
    return next((vars(kind)[name] for kind in type(optimizer).__mro__ if name in vars(kind)), None)


def is_number(value: Any) -> bool:
    if isinstance(value, np.ndarray | Tensor):
        return value.ndim == 0 and value.dtype.kind in "iuf"
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
