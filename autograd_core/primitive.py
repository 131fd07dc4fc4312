"""Primitives: an operation's forward function, its derivative rules, and the plans by which the tape uses them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from operator import itemgetter
from typing import Any, TypeVar, cast

import numpy as np

from autograd_core.dtypes import Array
from autograd_core.errors import explain, raise_from
from autograd_core.tape import Failed, Node, Static, Value, apply, state

Function = TypeVar("Function", bound=Callable[..., Any])
Joint = Callable[[Any, Sequence[Any], Node], Sequence[Any]]


class Rule:
    """A derivative rule and the names of what it reads, taken from its own signature.

    The first parameter is the output's cotangent. Each other one is the name of an input, `out` (or `ans`) for the
    result, a static parameter, `shapes` (of all inputs), or `position` (which input of a variadic primitive). So the
    tape keeps an array alive only when some rule that will run has named it.
    """

    def __init__(self, function: Callable[..., Any], primitive: Primitive) -> None:
        self.function = function
        names = [p.name for p in inspect.signature(function).parameters.values()][1:]
        inputs = primitive.input_names
        known = {*inputs, *primitive.defaults, "out", "ans", "shapes", "position", "inputs"}
        positional = [n for n in names if n not in primitive.defaults]
        if not set(names) <= known and not primitive.variadic:
            # A user's rule with names of its own: (g, *inputs) or (g, out, *inputs).
            order = (*inputs,) if len(positional) == len(inputs) else ("out", *inputs)
            if len(positional) != len(order):
                raise TypeError(
                    f"{primitive.name}: a rule takes the cotangent, then any of {sorted(known)} by name, "
                    f"but this one takes {names}"
                )
            rename = dict(zip(positional, order, strict=True))
            names = [rename.get(n, n) for n in names]
        self.reads = ["out" if n == "ans" else n for n in names]


class Plan:
    """What to save, and how to call the rules, for one choice of inputs that require a gradient."""

    __slots__ = ("joint", "save", "saved_positions", "steps")

    joint: (
        Joint | None
    )  # computes all cotangents at once, where they cannot be had one by one or that is faster

    def __init__(self, primitive: Primitive, needs: int, arity: int) -> None:
        wanted = [i for i in range(arity) if needs >> i & 1]
        rules = [(i, primitive.rule(i)) for i in wanted]
        joint = Rule(primitive.joint(wanted), primitive) if primitive.joint and len(wanted) > 1 else None
        reads = {name for rule in ([joint] if joint else [r for _, r in rules]) for name in rule.reads}
        names = primitive.names(arity)
        keep = [i for i, name in enumerate(names) if name in reads or "inputs" in reads]
        if "out" in reads:
            keep.append(arity)
        shapes_wanted = "shapes" in reads
        self.saved_positions = keep
        self.save = _saver(keep, arity if shapes_wanted else None)
        slot = {names[p] if p < arity else "out": k for k, p in enumerate(keep)}
        if shapes_wanted:
            slot["shapes"] = len(keep)
        self.steps = [(i, _caller(rule, slot, i, arity)) for i, rule in rules]
        self.joint = None
        if joint:
            together = _caller(joint, slot, 0, arity)
            self.joint = lambda g, saved, node: together(g, saved, node.params)


def _caller(
    rule: Rule, slot: dict[str, int], position: int, arity: int
) -> Callable[[Any, Sequence[Any], Static], Any]:
    """The rule as a function of (cotangent, saved, params), written out for few: every cotangent goes through here."""
    function, reads = rule.function, rule.reads
    picks = [slot[name] for name in reads if name in slot]
    if len(picks) == len(reads) <= 2:
        if not picks:
            return lambda g, saved, params: function(g)
        if len(picks) == 1:
            only = picks[0]
            return lambda g, saved, params: function(g, saved[only])
        first, second = picks
        return lambda g, saved, params: function(g, saved[first], saved[second])

    def call(g: Any, saved: Sequence[Any], params: Static) -> Any:
        values: list[Any] = []
        for name in reads:
            if name in slot:
                values.append(saved[slot[name]])
            elif name == "position":
                values.append(position)
            elif name == "inputs":
                values.append(tuple(saved[:arity]))
            else:
                values.append(params[name])
        return function(g, *values)

    return call


def _saver(keep: Sequence[int], shapes_of: int | None) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """A function that picks what is saved out of [*inputs, out]."""
    if shapes_of is not None:  # Python numbers among the values have the shape ()
        return lambda values: (
            *[values[k] for k in keep], tuple([getattr(v, "shape", ()) for v in values[:shapes_of]]),
        )  # fmt: skip
    if not keep:
        return lambda values: ()
    if len(keep) == 1:
        only = keep[0]
        return lambda values: (values[only],)
    return itemgetter(*keep)


class Primitive:
    """One operation: its forward function on ndarrays and one derivative rule for each array input.

    Which parameters of `forward` are arrays: those annotated `Array`; without any such annotation, those that have
    no default. All others are static and may be given by position or keyword, as in the forward's signature.

    Called with ndarrays it simply computes; called with a tensor among its arguments it is recorded.
    """

    def __init__(self, forward: Callable[..., Any], name: str | None = None, kind: str = "kernel") -> None:
        plain = getattr(forward, "py_func", forward)  # a numba function knows its Python self
        self.forward = forward
        self.name = name or plain.__name__.strip("_")
        self.title = self.name  # as messages and pictures call it: what the user called, where that differs
        self.kind = kind
        self.broadcasts = kind == "elementwise"
        self.piecewise_constant = False
        self.__doc__ = plain.__doc__
        self.__name__ = self.name
        self.__wrapped__ = plain
        self.__module__ = plain.__module__
        parameters = list(inspect.signature(plain).parameters.values())
        arrays = [p for p in parameters if _is_array(p)] or [p for p in parameters if p.default is p.empty]
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in arrays)
        self.input_names = tuple(p.name for p in arrays)
        self.arity = -1 if self.variadic else len(arrays)
        statics = [p for p in parameters if p not in arrays]
        self.defaults: Static = {p.name: p.default for p in statics}
        self.rules: list[Rule | None] = []
        self.joint: Callable[[Sequence[int]], Callable[..., Any]] | None = None  # see ops.define.operation
        self.plans: dict[int, Plan] = {}

    def __call__(self, *args: Any, **params: Any) -> Any:
        if len(args) != self.arity or len(params) != len(self.defaults):
            args, params = self.bind(args, params)
        for arg in args:
            if isinstance(arg, Value):
                return apply(self, args, params)
        return self.forward(*args, **params)

    def bind(self, args: tuple[Any, ...], params: Static) -> tuple[tuple[Any, ...], Static]:
        """Sort a call's arguments into arrays and static parameters, with defaults filled in."""
        given = len(args)
        if given == self.arity and not params:
            return args, self.defaults
        if (given == self.arity or self.variadic) and params.keys() <= self.defaults.keys():
            return args, self.defaults | params
        if self.variadic:
            raise TypeError(
                f"{self.name}: unexpected arguments {sorted(params.keys() - self.defaults.keys())}"
            )
        by_name = dict(params)
        missing = [name for name in self.input_names[given:] if name not in by_name]
        if missing:
            raise TypeError(f"{self.name}: missing argument {', '.join(missing)}")
        arrays = args[: self.arity] + tuple(by_name.pop(name) for name in self.input_names[given:])
        by_position = dict(zip(self.defaults, args[self.arity :], strict=False))
        unknown = [name for name in by_name if name not in self.defaults or name in by_position]
        if unknown or given - self.arity > len(self.defaults):
            raise TypeError(f"{self.name}: unexpected arguments {unknown or args[self.arity :]}")
        return arrays, self.defaults | by_position | by_name

    def defvjp(self, *rules: Callable[..., Any] | None) -> Primitive:
        """Give the derivative rules, one for each array input (None: this input cannot be differentiated).

        A rule gets the output's cotangent, then by name what it needs of the inputs, `out`, and the static
        parameters, and returns the input's cotangent. It is written with the engine's operations, so that it can be
        differentiated in turn.
        """
        if not self.variadic and len(rules) != self.arity:
            raise TypeError(
                f"{self.name}: {self.arity} inputs {self.input_names} need {self.arity} rules, got {len(rules)}"
            )
        self.rules = [None if rule is None else Rule(rule, self) for rule in rules]
        self.plans.clear()
        return self

    def names(self, arity: int) -> tuple[str, ...]:
        """The inputs' names; a variadic primitive numbers them."""
        if not self.variadic:
            return self.input_names
        return tuple(f"{self.input_names[0]}{i}" for i in range(arity))

    def rule(self, position: int) -> Rule:
        """The derivative rule for one input; without one, a rule that says so when the reverse sweep gets there."""
        rule = (self.rules[0 if self.variadic else position]) if self.rules else None
        if rule is not None:
            return rule
        what = self.names(position + 1)[position]

        def missing(g: Any) -> None:
            raise TypeError(f"no derivative rule for {what}: give one with defvjp, or detach() the input")

        return Rule(missing, self)

    def plan(self, needs: int, arity: int) -> Plan:
        """The plan for this choice of inputs, made once."""
        plan = self.plans[needs | 1 << arity] = Plan(self, needs, arity)
        return plan

    def __repr__(self) -> str:
        return f"<primitive {self.name}({', '.join((*self.input_names, *self.defaults))})>"


def note_failure(operation: str, names: Sequence[str], values: Sequence[Any], error: Exception) -> None:
    """Remember what raised though it is no primitive, a check of arguments say: the last error can be drawn."""
    if isinstance(error, MemoryError):
        return
    known = [(name, v) for name, v in zip(names, values) if isinstance(v, Value | np.ndarray)]
    nodes, arrays = [getattr(v, "node", None) for _, v in known], [getattr(v, "array", v) for _, v in known]
    stand_in = Primitive(lambda *arrays: None, name=operation)
    stand_in.variadic, stand_in.arity, stand_in.input_names = (
        False,
        len(known),
        tuple(name for name, _ in known),
    )
    state.failed = Failed.of(stand_in, nodes, arrays, {}, state.module_path, error)


def _is_array(parameter: inspect.Parameter) -> bool:
    return parameter.annotation is Array or parameter.annotation in ("Array", "ag.Array")


def _explained(error: Exception, operation: str, names: Sequence[str], args: Sequence[Any]) -> Exception:
    explained = explain(error, operation, names, args, state.module_path)
    if explained is not error:
        note_failure(operation, names, args, explained)
    return explained


def explaining(function: Function) -> Function:
    """An operation composed of others, whose own errors say on what and where, as those of primitives do."""
    if isinstance(function, Primitive):
        return cast("Function", function)
    plain = inspect.unwrap(function)
    parameters = inspect.signature(plain).parameters.values()
    names = [p.name for p in parameters if _is_array(p)] or [p.name for p in parameters][:1]

    @wraps(function)
    def call(*args: Any, **params: Any) -> Any:
        try:
            return function(*args, **params)
        except Exception as error:
            raise_from(_explained(error, plain.__name__, names, args), error)

    return cast("Function", call)
