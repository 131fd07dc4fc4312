"""What is tested: primitives of the registry, public functions, methods and operators of Tensor, NumPy's protocols.

Each subject brings calls (samples) and, where NumPy or a slow twin computes the same, a reference. New operations
come in by themselves: their samples are those of the primitive, or arguments found by trial.
"""

import inspect
import operator
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import samples as s
import scipy.special
from samples import REFERENCES, SAMPLES, Sample

import autograd_core as ag
from autograd_core import creation, functions, linalg, random
from autograd_core.ops.define import registry
from autograd_core.tensor import numpy_functions
from tools.hostile import examples
from tools.hostile.judge import attempt, compare

Call = Callable[..., Any]


@dataclass(eq=False)
class Subject:
    """One operation as the user calls it."""

    name: str
    family: str  # operation, function, method
    call: Call
    samples: list[Sample]
    titles: tuple[str, ...]
    reference: Call | None = None
    forms: tuple[str, ...] = ("tensor",)
    references: dict[int, Call | None] = field(default_factory=dict)
    deterministic: bool = True
    reads_all: bool | None = None

    def reference_of(self, number: int) -> Call | None:
        """The reference for this sample: the stated one, or NumPy's or SciPy's function of the same name."""
        if number not in self.references:
            self.references[number] = next(self._fitting(self.samples[number]), None)
        return self.references[number]

    def _fitting(self, sample: Sample) -> Iterator[Call]:
        """Those that take the sample's arguments. A namesake must also give the same shapes: it may mean another thing."""
        if not self.deterministic:
            return
        short = self.name.rsplit(".", 1)[-1].removesuffix("()")
        if self.reference is not None and attempt(self.reference, sample.args, sample.params).error is None:
            yield self.reference
        got = attempt(self.call, as_tensors(sample.args), sample.params)
        for namesake in (getattr(m, short, None) for m in (np, np.linalg, scipy.special)):
            if callable(namesake) and got.error is None:
                want = attempt(namesake, sample.args, sample.params)
                if want.error is None and compare(got.value, want.value, 0.1, dtypes=False) is None:
                    yield namesake

    @property
    def differentiable(self) -> list[int]:
        """The numbers of the samples that have a gradient."""
        return [
            i
            for i, sample in enumerate(self.samples)
            if sample.differentiable and places_of(sample.args, "f")
        ]


Place = tuple[int, ...]
EVERY = "fiubcOVMmUS"  # the kinds of dtypes that there are


def places_of(args: tuple[Any, ...], kinds: str = "fiub") -> list[Place]:
    """Where arrays of these dtype kinds stand among the arguments, and inside lists of them."""
    found: list[Place] = []
    for i, arg in enumerate(args):
        if isinstance(arg, np.ndarray) and arg.dtype.kind in kinds:
            found.append((i,))
        elif isinstance(arg, list):
            found += [
                (i, j) for j, a in enumerate(arg) if isinstance(a, np.ndarray) and a.dtype.kind in kinds
            ]
    return found


def at(args: Any, place: Place) -> Any:
    """The argument that stands there."""
    for i in place:
        args = args[i]
    return args


def replaced(args: tuple[Any, ...], values: dict[Place, Any]) -> tuple[Any, ...]:
    """The arguments with these in the place of others."""
    made = [list(a) if isinstance(a, list) else a for a in args]
    for place, value in values.items():
        if len(place) == 1:
            made[place[0]] = value
        else:
            made[place[0]][place[1]] = value
    return tuple(made)


def as_tensors(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with every array a tensor that shares its memory where it can."""
    return replaced(
        args, {p: ag.asarray(a, copy=share(a)) for p in places_of(args, EVERY) for a in [at(args, p)]}
    )


def share(a: np.ndarray) -> bool | None:
    """copy=False, where sharing is possible."""
    return False if a.dtype.isnative and a.dtype.name in _SUPPORTED else None


_SUPPORTED = set("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split())


# Arguments by trial -----------------------------------------------------------------------------------------

_TRIALS: list[tuple[Any, ...]] = [
    (s.real(2, 3),), (s.positive(2, 3),), (s.inside(2, 3),), (s.matrix(3, 3),), (s.definite(3, 3),), (s.real(5),),
    (s.real(2, 3), s.real(2, 3, key=2)), (s.positive(2, 3), s.positive(2, 3, key=2)), (s.real(2, 3), s.real(3, 2)),
    (s.matrix(3, 3), s.real(3, 2)), ([s.real(2, 3), s.real(2, 3, key=2)],), (s.real(4, 3), np.array([0, 1, 1, 2])),
    (s.real(2, 3), 2), (s.real(2, 3), (1, 0)), (s.real(2, 3), s.real(2, 3), s.real(2, 3)), ((2, 3),), (3,), (0, 5), (),
    (s.real(4, 3), np.array([0, 1, 1, 2]), 3), (np.array([0, 1, 1, 2]), 3), (s.real(2, 3), "ij"), (0.5, (2, 3)),
]  # fmt: skip


def by_trial(name: str, call: Call) -> list[Sample]:
    """The first arguments that a function takes; none when it takes none of the trials."""
    for args in _TRIALS:
        done = attempt(call, as_tensors(args), {})
        if done.error is None and done.value is not None:
            return [Sample(name, args, {})]
    return []


def _usable(call: Call, samples: list[Sample]) -> list[Sample]:
    return [each for each in samples if attempt(call, as_tensors(each.args), each.params).error is None]


# The families -----------------------------------------------------------------------------------------------


def _functions_of(module: Any, prefix: str) -> dict[str, Call]:
    """The public functions that a module offers: those that `ag` or the module's own name shows."""
    found = {}
    for name, value in vars(module).items():
        shown = getattr(ag, name, None) if prefix == "ag." else value
        plain = inspect.isfunction(value) and not name.startswith("_")
        own = value is shown and (
            module is functions or module is linalg or getattr(value, "__module__", "") == module.__name__
        )
        if plain and own and value.__module__ not in ("autograd_core.public", "autograd_core.primitive"):
            found[f"{prefix}{name}"] = value
    return found


def public_functions() -> dict[str, Call]:
    """Every public function by the name that a user types."""
    return {
        **_functions_of(functions, "ag."),
        **_functions_of(linalg, "ag.linalg."),
        **_functions_of(creation, "ag."),
        **_functions_of(random, "ag.random."),
        **_further_modules(),
    }


def _further_modules() -> dict[str, Call]:
    """`ag.fft`, `ag.special` and what else comes later as a module of functions."""
    found = {}
    for name in ("fft", "special", "scatter", "segment", "control"):
        module = getattr(ag, name, None)
        if inspect.ismodule(module):
            found |= _functions_of(module, f"ag.{name}.")
    return found


NO_CALLS = {"ag.random.seed", "ag.random.get_state", "ag.random.set_state", "ag.random.replay"}
ANY_VALUES = {"ag.empty", "ag.empty_like"} | {
    f"ag.random.{n}" for n in "uniform normal bernoulli integers permutation".split()
}


def _function_subject(name: str, call: Call) -> Subject:
    short = name.removeprefix("ag.")
    last = short.rsplit(".", 1)[-1]
    samples = examples.FUNCTIONS.get(short) or examples.RANDOM.get(short)
    samples = samples or _usable(call, [] if last in s.NOT_CALLABLE else SAMPLES.get(last, []))
    samples = samples or by_trial(name, call)
    return Subject(
        name, "function", call, samples, (last, call.__name__), examples.TWINS.get(short, REFERENCES.get(last)), ("array", "tensor"),
        deterministic=name not in ANY_VALUES,
    )  # fmt: skip


def _method(name: str) -> Call:
    def call(x: Any, *args: Any, **params: Any) -> Any:
        return getattr(x, name)(*args, **params)

    return call


_OPERATORS = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "floor_divide": operator.floordiv, "remainder": operator.mod, "power": operator.pow, "matmul": operator.matmul,
    "bitwise_and": operator.and_, "bitwise_or": operator.or_, "bitwise_xor": operator.xor, "less": operator.lt,
    "less_equal": operator.le, "greater": operator.gt, "greater_equal": operator.ge, "equal": operator.eq,
    "not_equal": operator.ne, "negative": operator.neg, "abs": operator.abs, "bitwise_invert": operator.invert,
    "getitem": lambda x, index: x[index],
}  # fmt: skip
_IN_PLACE = {
    "add": operator.iadd, "subtract": operator.isub, "multiply": operator.imul, "divide": operator.itruediv,
    "floor_divide": operator.ifloordiv, "remainder": operator.imod, "power": operator.ipow,
    "bitwise_and": operator.iand, "bitwise_or": operator.ior, "bitwise_xor": operator.ixor,
}  # fmt: skip


def _in_place(change: Call) -> Call:
    """`y op= z` for a copy of y that a user would have: the input stays."""

    def call(x: Any, y: Any) -> Any:
        made = x[...] if isinstance(x, ag.Tensor) else x.copy()
        made = change(made, y)
        return made

    return call


# What a method that is no operation may name: the operation, or Python's conversion, inside it.
_INSIDE = (
    "getitem", "setitem", "permute_dims", "item", "tensor", "reshape", "greater", "round", "matrix_transpose", "iter",
    "integer", "requires_grad", "DLPack", "dtype",
)  # fmt: skip


def _methods() -> Iterator[Subject]:
    known = public_functions()
    for name in sorted(vars(ag.Tensor)):
        if name.startswith("_") or not callable(getattr(ag.Tensor, name)) or name in examples.COVERED:
            continue
        if f"ag.{name}" in known and name not in examples.METHODS:
            like = _function_subject(f"ag.{name}", known[f"ag.{name}"])
            call = _method(name)
            samples = _usable(call, like.samples)
            yield Subject(f"t.{name}()", "method", call, samples, like.titles, like.reference)
        elif name not in examples.METHODS:
            call = _method(name)
            yield Subject(f"t.{name}()", "method", call, by_trial(name, call), (name,))
    for name, (call, reference) in examples.METHODS.items():
        recorded = name in examples.RECORDED
        samples = [Sample(name, (s.real(*shape),), {}, recorded) for shape in ((3, 4), (2, 3, 2))]
        titles = (name, *_INSIDE)
        yield Subject(f"t.{name}", "method", call, samples, titles, reference)
    for name, call in _OPERATORS.items():
        samples = _usable(call, [each for each in SAMPLES[name] if not callable(each.args[0])])
        yield Subject(f"operator {name}", "method", call, samples, (name, "getitem"), REFERENCES[name])
    for name, change in _IN_PLACE.items():
        call = _in_place(change)
        same = [
            x for x in SAMPLES[name] if np.shape(x.args[0]) == np.broadcast_shapes(*map(np.shape, x.args))
        ]
        same = [x for x in same if isinstance(x.args[0], np.ndarray)]
        call.__module__ = "numpy"  # of ndarrays it is NumPy's own
        yield Subject(f"operator {name} in place", "method", call, _usable(call, same), (name,), call)
    for function, own in numpy_functions.items():
        title = getattr(own, "__name__", "")
        if function is np.astype:  # takes ndarrays only, as NumPy says
            continue
        like = next((f for f in known if known[f] is own), f"ag.{title}")
        subject = _function_subject(like, own)
        name = f"np.{function.__name__}"
        yield Subject(
            name,
            "method",
            function,
            _usable(function, subject.samples),
            (title, function.__name__, f"{title}_full"),
            examples.TWINS.get(title, examples.TWINS.get(f"linalg.{title}") if title != "svd" else None)
            or function,
        )


def subjects() -> Iterator[Subject]:
    """All of them, each made when its turn comes."""
    for name, primitive in sorted(registry.items()):
        if name not in s.NOT_CALLABLE:
            titles = (name, primitive.title, name.strip("_"))
            samples = SAMPLES.get(name, [])
            reference = examples.OPERATION_TWINS.get(name, REFERENCES.get(name))
            drawn = name in ("uniform", "normal", "advance")
            yield Subject(
                f"op.{name}", "operation", primitive, samples, titles, reference, deterministic=not drawn
            )
    for name, call in public_functions().items():
        if name not in NO_CALLS:
            yield _function_subject(name, call)
    yield from _methods()


def chosen_samples(subject: Subject, count: int) -> list[int]:
    """The numbers of the samples that are tried: the largest first, then such as differ most in shape."""
    order: list[int] = []
    by_size = sorted(range(len(subject.samples)), key=lambda i: -_size(subject.samples[i]))
    seen = set()
    for i in by_size:
        sample = subject.samples[i]
        form = (
            tuple(np.ndim(a) if isinstance(a, np.ndarray) else type(a) for a in sample.args),
            *sorted(sample.params),
        )
        if form not in seen:
            seen.add(form)
            order.append(i)
    return (order + [i for i in by_size if i not in order])[:count]


def _size(sample: Sample) -> int:
    return sum(a.size for a in sample.args if isinstance(a, np.ndarray))


warnings.simplefilter("ignore")  # overflow, NaN and the like are the point here
