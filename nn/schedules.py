"""Learning rates that change with time: `schedule.step()` after each step sets `optimizer.lr`.

A schedule is made from an optimizer, whose learning rate it starts from (and sets at once, when it begins lower). It
is also a function: `schedule(n)` is the rate of step n (from 0), for an array of step numbers the curve. Made from a
number in place of an optimizer it is only that function. `warmup` wraps another schedule.

>>> import nn
>>> schedule = nn.schedules.cosine(0.1, steps=4)
>>> [round(schedule(n), 4) for n in range(6)]
[0.1, 0.0854, 0.05, 0.0146, 0.0, 0.0]

What counts as a step is the caller's choice: once a batch (`nn.fit(..., schedule=schedule)` does that) or once an
epoch. Names and curves follow `torch.optim.lr_scheduler`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autograd_core.ops.elementwise import cos, floor, maximum, minimum, where
from autograd_core.parameter import Buffer
from autograd_core.tape import capturing
from autograd_core.tensor import Tensor

Curve = Callable[
    [Any, Any], Any
]  # from the step number and the base rate to the rate, in the engine's operations


class Schedule:
    """A learning rate as a function of the number of steps done. Made by the functions of this module."""

    def __init__(self, source: Any, curve: Curve) -> None:
        wrapped = isinstance(source, Schedule)
        self.curve = curve
        self.optimizer: Any = (
            source.optimizer if wrapped else None if isinstance(source, int | float) else source
        )
        self.base = source.base if wrapped else Buffer(_base_rate(source), np.float64)
        self.count = Buffer(0, np.int64)
        if self.optimizer is not None:
            self.optimizer.lr = self(0)

    def rate(self, n: Any) -> Any:
        """The rate of step n, by the engine's operations: for a number, an array, or a tensor, which records it."""
        return self.curve(n, self.base if isinstance(n, Tensor) else self.base.array)

    def __call__(self, n: Any) -> Any:
        """The rate of step n (from 0) as a float; an array of rates for an array of step numbers."""
        rates = np.asarray(self.rate(np.asarray(n)), np.float64)
        return rates if rates.ndim else rates.item()

    def step(self) -> None:
        """Count one step and give the optimizer the rate of the next one."""
        if self.optimizer is None:
            raise RuntimeError(
                "schedule.step: it was made from a number: make it from an optimizer, or call it"
            )
        self.count.assign(self.count + 1)
        self.optimizer.lr = self.rate(self.count) if capturing() is not None else self(self.count.array)

    def state_dict(self) -> dict[str, float]:
        """The number of steps done and the base rate: numbers, which `nn.save(..., schedule=...)` can take."""
        return {"step": self.count.array.item(), "base": self.base.array.item()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a saved state, and set the optimizer's rate to it. ValueError if it does not fit."""
        if set(saved) != {"step", "base"}:
            raise ValueError(f"schedule.load_state_dict: keys {sorted(saved)} are not 'base' and 'step'")
        n, base = saved["step"], float(saved["base"])
        if n != int(n) or n < 0 or not 0 <= base < math.inf:
            raise ValueError(f"schedule.load_state_dict: step = {n}, base = {base}: out of range")
        self.count.assign(np.asarray(int(n)))
        self.base.assign(np.asarray(base))
        if self.optimizer is not None:
            self.optimizer.lr = self(n)

    def __repr__(self) -> str:
        n = self.count.array.item()
        return f"<schedule: base {self.base.array.item():g}, step {n}, lr {self(n):g}>"


def step(optimizer: Any, every: int, factor: float = 0.1) -> Schedule:
    """The rate times `factor` after each `every` steps: base · factor^⌊n / every⌋.

    >>> import nn
    >>> [round(nn.schedules.step(1.0, every=2)(n), 3) for n in range(5)]
    [1.0, 1.0, 0.1, 0.1, 0.01]
    """
    _check_steps("step", every=every)
    _check_factor("step", factor)
    return Schedule(optimizer, lambda n, base: base * factor ** floor(n / every))


def exponential(optimizer: Any, factor: float) -> Schedule:
    """The rate times `factor` after every step: base · factorⁿ.

    >>> import nn
    >>> nn.schedules.exponential(1.0, 0.5)(3)
    0.125
    """
    _check_factor("exponential", factor)
    return Schedule(optimizer, lambda n, base: base * factor ** (n * 1.0))


def cosine(optimizer: Any, steps: int, final: float = 0.0) -> Schedule:
    """Half a cosine from the base rate down to `final` after `steps` steps; then it stays there.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, equation 5, one cycle.

    >>> import nn
    >>> nn.schedules.cosine(1.0, steps=10, final=0.5)(5)
    0.75
    """
    _check_steps("cosine", steps=steps)
    _check_rate("cosine", final=final)
    return Schedule(optimizer, lambda n, base: _anneal(base, final, n / steps))


def warmup(schedule: Any, steps: int, start: float = 0.01) -> Schedule:
    """From `start` times the rate up to it in a straight line over `steps` steps, then the given schedule.

    `schedule` may be another schedule, which then begins after these steps, or an optimizer, whose rate then stays.
    Step the warmup, not the schedule inside. Source: Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2.

    >>> import nn
    >>> rise = nn.schedules.warmup(nn.schedules.cosine(1.0, steps=2), steps=2, start=0.5)
    >>> [round(rise(n), 3) for n in range(5)]
    [0.5, 0.75, 1.0, 0.5, 0.0]
    """
    _check_steps("warmup", steps=steps)
    if not 0 <= start <= 1:
        raise ValueError(f"schedules.warmup: start = {start}: it is a part of the rate, from 0 to 1")
    after: Curve = schedule.curve if isinstance(schedule, Schedule) else lambda n, base: base + 0.0 * n

    def curve(n: Any, base: Any) -> Any:
        rising = after(n * 0, base) * (start + (1 - start) * n / steps)
        return where(n < steps, rising, after(maximum(n - steps, 0), base))

    return Schedule(schedule, curve)


def one_cycle(
    optimizer: Any, steps: int, rise: float = 0.3, start: float = 0.04, final: float = 4e-6
) -> Schedule:
    """Up to the base rate over the first `rise` of the steps and down again, both by half a cosine.

    The base rate is the peak; it begins at `start` times it and ends at `final` times it, at step `steps` - 1; then
    it stays. Source: Smith and Topin, "Super-convergence", 2018; defaults as PyTorch's OneCycleLR.

    >>> import nn
    >>> cycle = nn.schedules.one_cycle(1.0, steps=10)
    >>> [round(cycle(n), 3) for n in (0, 1, 2, 9)]
    [0.04, 0.52, 1.0, 0.0]
    """
    _check_steps("one_cycle", steps=steps)
    _check_rate("one_cycle", start=start, final=final)
    top = rise * steps - 1
    if not 0 < top < steps - 1:
        raise ValueError(
            f"schedules.one_cycle: rise = {rise} of {steps} steps: the rise and the fall need a step each"
        )

    def curve(n: Any, base: Any) -> Any:
        rising = _anneal(start * base, base, n / top)
        falling = _anneal(base, final * base, maximum(n - top, 0.0) / (steps - 1 - top))
        return where(n < top, rising, falling)

    return Schedule(optimizer, curve)


def _anneal(begin: Any, end: Any, part: Any) -> Any:
    """From `begin` to `end` along half a cosine, as `part` goes from 0 to 1; then it stays."""
    return end + (begin - end) * (0.5 + 0.5 * cos(math.pi * minimum(part, 1.0)))


def _base_rate(source: Any) -> float:
    rate = source if isinstance(source, int | float) else getattr(source, "lr", None)
    if not isinstance(rate, int | float):
        raise TypeError(f"schedule: needs an optimizer, a schedule or a number, not {type(source).__name__}")
    _check_rate("schedule", base=rate)
    return float(rate)


def _check_steps(schedule: str, **given: int) -> None:
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"schedules.{schedule}: {name} = {value!r}: it must be a positive integer")


def _check_factor(schedule: str, factor: float) -> None:
    if not 0 < factor < math.inf:
        raise ValueError(f"schedules.{schedule}: factor = {factor}: it must be positive")


def _check_rate(schedule: str, **given: float) -> None:
    for name, value in given.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"schedules.{schedule}: {name} = {value}: a rate is finite and not negative")
