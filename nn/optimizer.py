"""What all optimizers share: their settings, their state, and how a step goes through the parameters."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from autograd_core.dtypes import Array
from autograd_core.errors import TracedValueError, describe
from autograd_core.ops.elementwise import maximum, where
from autograd_core.parameter import Buffer, Parameter
from autograd_core.tape import capturing, observer, recording, replaced, state, structure
from autograd_core.tensor import Tensor
from nn.effects import Effects
from nn.settings import OwnSetting, Setting, descriptor, is_number

Params = Iterable[Parameter] | Iterable[tuple[str, Parameter]]
Moments = Sequence[Any]

LARGE = 1 << 13  # elements of a parameter, in the mean, from which a step is worth compiling
MOST_VARIANTS = 8  # programs, for other sets of gradients, until it is not
SETTLING = 32  # steps from one settling of the moments to the next: NumPy takes two passes for it


class Optimizer:
    """What all optimizers share: the parameters, their moments and step counts, `step`, `zero_grad`, state.

    A subclass gives the names of its moments and its settings to `__init__`, and two methods: `rates`, the scalars of
    step t, and `update`, the new value of one parameter and of its moments.

    - A setting that is a number can be read and set as an attribute (`optimizer.beta = 0.5`) and is saved. Anything
      else (a bool, text, None, a tuple) is a plain attribute, and not saved. `rates` gets all of them, in their order.
    - Buffers that the subclass keeps as attributes are saved too.
    - `update` gets copies: it may change them in place. Outside `nn.fit` it gets arrays. In `nn.fit` it runs once, on
      tensors, and is replayed; if it changes attributes or looks at numbers, `nn.fit` says so and runs uncompiled.

    >>> import nn
    >>> class Momentum(nn.optimizer.Optimizer):
    ...     def __init__(self, params, lr, beta):
    ...         super().__init__(params, ("m",), lr=lr, beta=beta)
    ...
    ...     def rates(self, t, lr, beta):
    ...         return lr, beta
    ...
    ...     def update(self, x, g, moments, rates):
    ...         lr, beta = rates
    ...         m = beta * moments[0] + g
    ...         return x - lr * m, (m,)
    >>> w = nn.Parameter([1.0])
    >>> optimizer = Momentum([w], lr=0.1, beta=0.5)
    >>> for _ in range(2):
    ...     w.grad = [1.0]
    ...     optimizer.step()
    >>> w.detach()
    tensor([0.75], dtype=float32)
    """

    lr = Setting()
    settings: dict[str, Buffer] = {}  # noqa: RUF012 (each optimizer has its own from __init__ on)
    optional: ClassVar[tuple[str, ...]] = ()  # settings whose term is left out when they are 0 at the start
    # What the compiler guards: all attributes but these, and what the code of these methods names.
    unguarded: ClassVar[frozenset[str]] = frozenset(
        ("names", "params", "settings", "counts", "slots", "compiled")
    )
    guarded_code: ClassVar[tuple[str, ...]] = ("rates", "update")

    def __init__(self, params: Params, moments: Sequence[str] = (), **settings: Any) -> None:
        self.names, self.params = named(params, type(self).__name__)
        self.absent: frozenset[str] = frozenset()
        self.given = tuple(settings)  # the order in which `rates` gets them
        self.whole: frozenset[str] = frozenset()  # settings of the subclass's own that were given as integers
        self.settings = {}
        if "lr" not in settings:  # then it was set before, or in the class
            settings = {"lr": self._own_rate(), **settings}
        for name, value in settings.items():
            self._add_setting(name, value)
        self.absent = frozenset(name for name in self.optional if name in settings and not settings[name])
        self.decays = "weight_decay" in settings and "weight_decay" not in self.absent
        self.counts = Buffer(np.zeros(len(self.params), np.int64))
        self.moment_names = (moments,) if isinstance(moments, str) else tuple(moments)
        self.slots = [
            (p, tuple(Buffer(np.zeros_like(p.array)) for _ in self.moment_names)) for p in self.params
        ]
        self.mean_size = sum(p.size for p in self.params) / len(self.params)
        self.foreign = not type(self).__module__.startswith("nn.")
        self.compiled: Any = None  # recorded_step, from the first step on, where that pays
        self._name_state()

    def _own_rate(self) -> Any:
        rate = getattr(self, "lr", None)
        if not is_number(rate):
            kind = type(self).__name__
            raise TypeError(f"{kind}: no learning rate: call super().__init__(params, moments, lr=lr, ...)")
        return rate

    def _add_setting(self, name: str, value: Any) -> None:
        """A number becomes a Buffer behind an attribute, anything else a plain attribute."""
        declared = descriptor(self, name)
        if name in _TAKEN or (callable(declared) and not isinstance(declared, Setting)):
            raise ValueError(
                f"{type(self).__name__}: a setting cannot be named {name}: another attribute has that name"
            )
        own = not isinstance(declared, Setting) or isinstance(declared, OwnSetting)
        if own and (not is_number(value) or isinstance(declared, property)):
            setattr(self, name, value)  # a property's getter is asked at each step
            return
        if own and isinstance(value, int | np.integer):
            self.whole |= {name}
        vars(self).pop(name, None)  # set before
        self.settings[name] = Buffer(0.0, np.float64)
        self._declare(name)
        setattr(self, name, value)

    def _declare(self, name: str) -> None:
        """Let the class know the setting, unless it does."""
        declared = descriptor(self, name)
        if not isinstance(declared, Setting):
            setattr(type(self), name, OwnSetting(name, *([] if declared is None else [declared])))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.settings:
            structure[0] += 1  # what was compiled looks whether it still holds
        object.__setattr__(self, name, value)

    def value_of(self, name: str, buffer: Buffer) -> float:
        """The number of a setting; one that was given as an int stays one while it is whole."""
        value = buffer.item()
        return int(value) if name in self.whole and value.is_integer() else value

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
        raise NotImplementedError(f"{type(self).__name__} has no rates: define rates(self, t, *settings)")

    def update(self, x: Any, g: Any, moments: Moments, rates: Sequence[Any]) -> tuple[Any, Moments]:
        """A parameter's new value and its new moments, from the gradient g."""
        raise NotImplementedError(
            f"{type(self).__name__} has no update: define update(self, x, g, moments, rates)"
        )

    def step(self) -> None:
        """Change every parameter that has a gradient. One without is left alone, its moments and count too."""
        if not state.assigning:
            return  # a checkpointed function runs again: its effects have happened
        if capturing() is not None:
            return self.recorded_step()
        if self._compiles():
            return self.compiled()
        return self._careful_step() if self.foreign else self._plain_step(self.update)

    def _compiles(self) -> bool:
        """Whether the step is to run as a compiled program, which reads and writes each array once, in place.

        NumPy takes four passes or more, and new arrays: 0.35 ms instead of 0.14 for mlp784. Not for an optimizer of
        one's own, whose update may be one for arrays alone, nor where every few steps other parameters have gradients.
        """
        if self.compiled is None:
            if self.mean_size < LARGE or self.foreign:
                return False
            self.compiled = _compiled_step(self)
        return observer() is None and len(self.compiled.reasons) < MOST_VARIANTS

    def _careful_step(self) -> None:
        """A plain step with an update of a user's own, which may raise halfway: then nothing has changed."""
        before = [(owner, owner.array) for owner in (*self.params, *self.buffers().values())]
        try:
            self._plain_step(self._checked_update)
        except BaseException:
            for owner, array in before:
                owner.array = array
            raise

    def _plain_step(self, update: Any) -> None:
        settings = self._values()
        counts = self.counts.array.tolist()
        # All at once: a gradient may be a parameter, which changes.
        grads = [None if (g := p.grad) is None else g.array for p in self.params]
        due = max([t + (g is not None) for t, g in zip(counts, grads)]) % SETTLING == 0
        known: dict[Any, list[Any]] = {}  # parameters mostly share count and dtype, so their rates too
        count, dtype, rates = -1, None, []
        for i, (p, moments) in enumerate(self.slots):
            grad = grads[i]
            if grad is None:
                continue
            counts[i] = t = counts[i] + 1
            x = p.array
            if t != count or x.dtype is not dtype:
                count, dtype = t, x.dtype
                rates = known.get((t, dtype))
                if rates is None:
                    rates = known[t, dtype] = self._scalars(t, settings, dtype)
            if grad.dtype is not dtype and grad.dtype != dtype:
                grad = grad.astype(dtype)
            # The arrays are ours: set as they are, where `assign` would first make tensors of them.
            if moments:
                new, changed = update(x, grad, [m.array for m in moments], rates)
                for moment, value in zip(moments, changed):
                    found = _array(value, dtype)
                    moment.array = settled(found, _coarse(dtype)) if due else found
            else:
                new, _ = update(x, grad, (), rates)
            p.array = _array(new, dtype)
            replaced(p)
        self.counts.array = np.array(counts, np.int64)

    def _scalars(self, t: int, settings: list[Any], dtype: Any) -> list[Any]:
        """The rates as 0-d arrays: NumPy takes a third of the time less with them than with Python floats."""
        if not self.foreign:
            return [np.asarray(rate, dtype) for rate in self.rates(t, *settings)]
        found = self._rates(t, settings)
        return [np.asarray(rate, dtype) if is_number(rate) else rate for rate in found]

    def _values(self, buffers: bool = False) -> list[Any]:
        """The settings in their order: their numbers, or their buffers, which a captured step reads."""
        if not self.foreign:
            return (
                list(self.settings.values()) if buffers else [s.array.item() for s in self.settings.values()]
            )
        found: list[Any] = []
        for name in self.given:
            buffer = self.settings.get(name)
            if buffer is None:
                found.append(getattr(self, name))
            else:
                found.append(
                    buffer if buffers else self.value_of(name, buffer) if self.whole else buffer.array.item()
                )
        return found

    def _rates(self, t: Any, settings: list[Any]) -> Sequence[Any]:
        found = self.rates(t, *settings)
        if not isinstance(found, tuple | list):
            raise TypeError(
                f"{type(self).__name__}.rates returned a {type(found).__name__}: return a tuple, such as (lr,)"
            )
        return found

    def _checked_update(self, x: Any, g: Any, moments: Moments, rates: Sequence[Any]) -> tuple[Any, Moments]:
        """`update` on copies, and what it returns looked at."""
        given = (
            (x.copy(), g.copy(), [m.copy() for m in moments]) if type(x) is np.ndarray else (x, g, moments)
        )
        found = self.update(*given, rates)
        kind = type(self).__name__
        if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], tuple | list):
            raise TypeError(
                f"{kind}.update returned {_shown(found)}: return x, (moment, ...), or x, () without any"
            )
        new, changed = found
        if len(changed) != len(moments):
            raise ValueError(
                f"{kind}.update returned {len(changed)} moments, but {len(moments)} are named: "
                f"return x, ({', '.join(self.moment_names)}{',' * (len(moments) == 1)})"
            )
        for value in (new, *changed):
            if np.shape(getattr(value, "array", value)) != x.shape:
                raise ValueError(
                    f"{kind}.update returned {_shown(value)} for a parameter {describe(getattr(x, 'array', x))}: "
                    "the parameter and its moments keep their shape"
                )
        return new, changed

    def recorded_step(self) -> None:
        """The same step by operations on tensors: slower, but the tape sees all of it, learning rate included."""
        outer, state.module_path = state.module_path, type(self).__name__
        capture = capturing()
        if capture is not None:
            capture.met(self)
        effects = Effects(self) if capture is not None and self.foreign else None
        try:
            with recording(False):
                self._recorded_step()
        finally:
            state.module_path = outer
            changed = effects.undone() if effects is not None else ""
        if changed:
            raise TracedValueError(
                f"{type(self).__name__} changes its attribute {changed} in a step, and a compiled step would not: keep "
                "it as a moment or a Buffer, or call nn.fit(..., compile=False)"
            )

    def _recorded_step(self) -> None:
        # All at once: a gradient may be a parameter, which changes.
        grads = [g.detach() if isinstance(g := p.grad, Parameter | Buffer) else g for p in self.params]
        self.counts.assign(self.counts + np.array([g is not None for g in grads], np.int64))
        due = self.counts.max() % SETTLING == 0
        update = self._checked_update if self.foreign else self.update
        steps = maximum(
            self.counts, 1
        )  # a parameter that had no gradient yet has count 0: rates would divide by 0
        # One of each for each parameter, or for all; Python numbers and what is no number are taken as they are.
        rates = [
            Tensor(np.asarray(rate)) if isinstance(rate, np.ndarray | np.generic) else rate
            for rate in self._rates(steps, self._values(buffers=True))
        ]
        # A Python float is weak, a tensor is not: cast, or float32 parameters would be computed in float64.
        dtypes = {p.dtype for p in self.params}
        shared = {
            dtype: [
                rate if not isinstance(rate, Tensor) else None if rate.ndim else rate.astype(dtype)
                for rate in rates
            ]
            for dtype in dtypes
        }
        each = [isinstance(rate, Tensor) and rate.ndim > 0 for rate in rates]
        coarse = {dtype: where(due, _coarse(dtype), 0) for dtype in dtypes}
        for i, (p, moments) in enumerate(self.slots):
            g = grads[i]
            if g is None:
                continue
            if g.dtype != p.dtype:
                g = g.astype(p.dtype)
            found = zip(rates, shared[p.dtype], each, strict=True)
            weak = [rate[i].astype(p.dtype) if own else known for rate, known, own in found]
            x, changed = update(p, g, moments, weak)
            p.assign(x)
            for moment, value in zip(moments, changed):
                moment.assign(settled(value, coarse[p.dtype]))

    def zero_grad(self) -> None:
        """Set every parameter's `.grad` to None."""
        for p in self.params:
            p.grad = None

    def buffers(self) -> dict[str, Buffer]:
        """All state by its name in `state_dict`: settings, "step", and each moment as "momentum.weight".

        And the Buffers that a subclass keeps as attributes, under the attribute's name.
        """
        found = {**self.settings, "step": self.counts}
        if self.foreign:
            found |= {
                name: value
                for name, value in vars(self).items()
                if isinstance(value, Buffer) and name != "counts"
            }
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
            descriptor(self, name).checked(self, arrays[name])
        if (arrays["step"] < 0).any():
            raise ValueError(f"{kind}.load_state_dict: a step count is negative")
        for name, buffer in buffers.items():
            buffer.assign(Tensor(arrays[name].copy()))

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"compiled": None}  # a copy compiles its own

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        for name in self.settings:
            self._declare(name)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name):g}" for name in self.settings)
        return f"{type(self).__name__}({len(self.params)} parameters, {settings})"


_TAKEN = frozenset(
    ("names", "params", "absent", "given", "whole", "settings", "counts", "step", "decays", "moment_names", "slots",
     "mean_size", "foreign", "compiled")
)  # fmt: skip


def _shown(value: Any) -> str:
    array = getattr(value, "array", value)
    return describe(array) if isinstance(array, np.ndarray | np.generic) else f"a {type(value).__name__}"


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
