"""What all optimizers share: their settings, their state, and how a step goes through the parameters."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from autograd_core.dtypes import Array
from autograd_core.errors import describe
from autograd_core.ops.elementwise import where
from autograd_core.parameter import Buffer, Parameter
from autograd_core.tape import capturing, observer, recording, replaced, state
from autograd_core.tensor import Tensor

Params = Iterable[Parameter] | Iterable[tuple[str, Parameter]]
Moments = Sequence[Any]

LARGE = 1 << 13  # elements of a parameter, in the mean, from which a step is worth compiling
MOST_VARIANTS = 8  # programs, for other sets of gradients, until it is not
SETTLING = 32  # steps from one settling of the moments to the next: NumPy takes two passes for it


class Setting:
    """A number that steers an optimizer: a float in and out, a float64 Buffer inside, so that no step freezes it."""

    def __init__(self, below: float = math.inf) -> None:
        self.below = below

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        return self if optimizer is None else optimizer.settings[self.name].item()

    def __set__(self, optimizer: Optimizer, value: float | Tensor) -> None:
        if not isinstance(value, Tensor):
            value = self.checked(optimizer, value)
        optimizer.settings[self.name].assign(value)

    def checked(self, optimizer: Optimizer, value: Any) -> Tensor:
        """The value as a float64 tensor; ValueError when it is out of range."""
        number, kind = float(value), type(optimizer).__name__
        if not 0 <= number < self.below:  # a NaN fails too
            limit = f"in [0, {self.below:g})" if self.below < math.inf else "finite and not negative"
            raise ValueError(f"{kind}: {self.name} = {number:g}: it must be {limit}")
        if number and self.name in optimizer.absent:
            raise ValueError(
                f"{kind}: {self.name} was 0 when the optimizer was made, so its term is left out: make another "
                f"one with {self.name}={number:g}"
            )
        return Tensor(np.asarray(number, np.float64))


class Optimizer:
    """What all optimizers share: the parameters, their moments and step counts, `step`, `zero_grad`, state.

    A subclass names its settings and moments and gives two methods: `rates`, the scalars of step t, and `update`,
    the new value of one parameter and of its moments.
    """

    lr = Setting()
    settings: dict[str, Buffer]
    optional: ClassVar[tuple[str, ...]] = ()  # settings whose term is left out when they are 0 at the start

    def __init__(self, params: Params, moments: Sequence[str] = (), **settings: float) -> None:
        self.names, self.params = named(params, type(self).__name__)
        self.absent: frozenset[str] = frozenset()
        self.settings = {name: Buffer(0.0, np.float64) for name in settings}
        for name, value in settings.items():
            setattr(self, name, value)
        if not self.lr > 0:
            raise ValueError(f"{type(self).__name__}: lr = {self.lr:g}: a learning rate must be positive")
        self.absent = frozenset(name for name in self.optional if not settings[name])
        self.decays = "weight_decay" in settings and "weight_decay" not in self.absent
        self.counts = Buffer(np.zeros(len(self.params), np.int64))
        self.moment_names = tuple(moments)
        self.slots = [(p, tuple(Buffer(np.zeros_like(p.array)) for _ in moments)) for p in self.params]
        self.mean_size = sum(p.size for p in self.params) / len(self.params)
        self.compiled: Any = None  # recorded_step, from the first step on, where that pays
        self._name_state()

    def _name_state(self) -> None:
        """Tell the state how pictures and errors call it: `lr`, `step`, `mean of layers.0.weight`."""
        for name, setting in self.settings.items():
            setting.name = name
        self.counts.name = "step"
        for number, (p, moments) in zip(self.names, self.slots):
            for kind, moment in zip(self.moment_names, moments):
                moment.name = f"{kind} of {getattr(p, 'name', number)}"

    def rates(self, t: Any, *settings: Any) -> tuple[Any, ...]:
        """The scalars of a parameter's t-th step (from 1), from the settings in their order."""
        raise NotImplementedError

    def update(self, x: Any, g: Any, moments: Moments, rates: Sequence[Any]) -> tuple[Any, Moments]:
        """A parameter's new value and its new moments, from the gradient g."""
        raise NotImplementedError

    def step(self) -> None:
        """Change every parameter that has a gradient. One without is left alone, its moments and count too."""
        if not state.assigning:
            return  # a checkpointed function runs again: its effects have happened
        if capturing() is not None:
            return self.recorded_step()
        if self._compiles():
            return self.compiled()
        return self._plain_step()

    def _compiles(self) -> bool:
        """Whether the step is to run as a compiled program, which reads and writes each array once, in place.

        NumPy takes four passes or more, and new arrays: 0.35 ms instead of 0.14 for mlp784. Not for an optimizer of
        one's own, whose update may be one for arrays alone, nor where every few steps other parameters have gradients.
        """
        if self.compiled is None:
            if self.mean_size < LARGE or not type(self).__module__.startswith("nn."):
                return False
            self.compiled = _compiled_step(self)
        return observer() is None and len(self.compiled.reasons) < MOST_VARIANTS

    def _plain_step(self) -> None:
        settings = [setting.array.item() for setting in self.settings.values()]
        counts = self.counts.array.tolist()
        due = max(t + (p.grad is not None) for t, p in zip(counts, self.params)) % SETTLING == 0
        known: dict[Any, list[Array]] = {}  # parameters mostly share count and dtype, so their rates too
        count, dtype, rates = -1, None, []
        update = self.update
        for i, (p, moments) in enumerate(self.slots):
            grad = p.grad
            if grad is None:
                continue
            counts[i] = t = counts[i] + 1
            x = p.array
            if t != count or x.dtype is not dtype:
                count, dtype = t, x.dtype
                rates = known.get((t, dtype))
                if rates is None:
                    # 0-d arrays: NumPy takes a third of the time less with them than with Python floats.
                    rates = [np.asarray(rate, dtype) for rate in self.rates(t, *settings)]
                    known[t, dtype] = rates
            # The arrays are ours: set as they are, where `assign` would first make tensors of them.
            if moments:
                new, changed = update(x, grad.array, [m.array for m in moments], rates)
                for moment, value in zip(moments, changed):
                    found = _array(value, dtype)
                    moment.array = settled(found, _coarse(dtype)) if due else found
            else:
                new, _ = update(x, grad.array, (), rates)
            p.array = _array(new, dtype)
            replaced(p)
        self.counts.array = np.array(counts, np.int64)

    def recorded_step(self) -> None:
        """The same step by operations on tensors: slower, but the tape sees all of it, learning rate included."""
        outer, state.module_path = state.module_path, type(self).__name__
        try:
            with recording(False):
                self._recorded_step()
        finally:
            state.module_path = outer

    def _recorded_step(self) -> None:
        has_grad = [p.grad is not None for p in self.params]
        self.counts.assign(self.counts + np.array(has_grad, np.int64))
        due = self.counts.max() % SETTLING == 0
        rates = self.rates(self.counts, *self.settings.values())  # one of each for each parameter, or for all
        # A Python float is weak, a tensor is not: cast, or float32 parameters would be computed in float64.
        dtypes = {p.dtype for p in self.params}
        shared = {dtype: [None if rate.ndim else rate.astype(dtype) for rate in rates] for dtype in dtypes}
        coarse = {dtype: where(due, _coarse(dtype), 0) for dtype in dtypes}
        for i, (p, moments) in enumerate(self.slots):
            if p.grad is None:
                continue
            pairs = zip(rates, shared[p.dtype], strict=True)
            weak = [rate[i].astype(p.dtype) if known is None else known for rate, known in pairs]
            x, changed = self.update(p, p.grad, moments, weak)
            p.assign(x)
            for moment, value in zip(moments, changed):
                moment.assign(settled(value, coarse[p.dtype]))

    def zero_grad(self) -> None:
        """Set every parameter's `.grad` to None."""
        for p in self.params:
            p.grad = None

    def buffers(self) -> dict[str, Buffer]:
        """All state by its name in `state_dict`: settings, "step", and each moment as "momentum.weight"."""
        found = {**self.settings, "step": self.counts}
        for name, (_, moments) in zip(self.names, self.slots):
            found |= {f"{kind}.{name}": moment for kind, moment in zip(self.moment_names, moments)}
        return found

    def state_dict(self) -> dict[str, Array]:
        """All state as read-only arrays: settings, step counts (one per parameter), moments.

        Parameters are named when the optimizer was given `model.named_parameters()`, numbered otherwise.
        """
        return {name: buffer.numpy() for name, buffer in self.buffers().items()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a saved state. ValueError says all that does not fit; then nothing has changed."""
        kind, buffers = type(self).__name__, self.buffers()
        arrays = {name: np.asarray(value) for name, value in saved.items()}
        wrong = [f"{name} is missing" for name in buffers if name not in arrays]
        wrong += [f"{name} is not known" for name in arrays if name not in buffers]
        for name, buffer in buffers.items():
            given = arrays.get(name)
            if given is not None and (given.shape, given.dtype) != (buffer.shape, buffer.dtype):
                wrong.append(f"{name} is {describe(given)}, not {describe(buffer.array)}")
        if wrong:
            raise ValueError(f"{kind}.load_state_dict: {'; '.join(wrong)}")
        for name in self.settings:
            getattr(type(self), name).checked(self, arrays[name])
        if (arrays["step"] < 0).any():
            raise ValueError(f"{kind}.load_state_dict: a step count is negative")
        for name, buffer in buffers.items():
            buffer.assign(Tensor(arrays[name].copy()))

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"compiled": None}  # a copy compiles its own

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name):g}" for name in self.settings)
        return f"{type(self).__name__}({len(self.params)} parameters, {settings})"


def _compiled_step(optimizer: Optimizer) -> Any:
    """`recorded_step`, compiled. It does not keep the optimizer alive that keeps it."""
    from autograd_core.compiler import Compiled

    itself: Any = weakref.ref(optimizer)
    return Compiled(lambda: itself().recorded_step())


def settled(moment: Any, coarse: Any) -> Any:
    """A moment rounded to multiples of the smallest normal float, by way of numbers that lie so far apart (or of 0).

    Where a gradient is 0 from some step on (a dead ReLU), its momentum shrinks to a denormal number and, rounded up
    again and again, stays one. Arithmetic on those takes some hundred times as long: a compiled step of sin_mlp took
    38 µs after a thousand steps, and 31 at first.
    """
    return (moment + coarse) - coarse


def _coarse(dtype: Any) -> Any:
    """The number from which on floats lie two of the smallest normal ones apart."""
    limits = np.finfo(dtype)
    return limits.smallest_normal * limits.dtype.type(2) ** (limits.nmant + 1)


def _array(value: Any, dtype: Any) -> Array:
    """A result as an array of its parameter's dtype: NumPy makes scalars of 0-d ones."""
    return value if type(value) is np.ndarray and value.dtype is dtype else np.asarray(value, dtype)


def named(params: Any, caller: str) -> tuple[list[str], list[Parameter]]:
    """The names (or numbers) and the parameters; errors for anything else, for none, for one given twice."""
    if isinstance(params, Tensor):
        raise TypeError(f"{caller}: params is one tensor: give a list, [w], or model.parameters()")
    if not isinstance(params, Iterable):
        raise TypeError(f"{caller}: params is a {type(params).__name__}: give model.parameters()")
    known: dict[str, Parameter] = {}
    seen: set[int] = set()
    for i, entry in enumerate(params):
        name, p = entry if isinstance(entry, tuple) and len(entry) == 2 else (str(i), entry)
        if not isinstance(p, Parameter):
            what = describe(p.array) if isinstance(p, Tensor) else ""
            raise TypeError(
                f"{caller}: params[{i}] is a {type(p).__name__} {what}".rstrip() + ", not a Parameter: give "
                "model.parameters(), or make it one with nn.Parameter"
            )
        if id(p) in seen:
            raise ValueError(f"{caller}: parameter {name} is given twice: it would be changed twice a step")
        if name in known:
            raise ValueError(f"{caller}: two parameters are named {name}")
        seen.add(id(p))
        known[name] = p
    if not known:
        raise ValueError(f"{caller}: there are no parameters: a generator can be used only once")
    return list(known), list(known.values())
