"""From captured operations to the graph: each operation's forward function runs on symbols and says what it is made of.

A few operations are written with what is not NumPy, or in a way that suits arrays only: for those stands a rule here.
What neither way reaches stays a call of its forward function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autograd_core.compiler.capture import (
    Argument,
    Capture,
    Constant,
    Operation,
    Weak,
)
from autograd_core.compiler.graph import Call, Graph, Scalar, Value, View, broadcast, lying, whole
from autograd_core.compiler.launches import Launches
from autograd_core.compiler.symbol import Symbol, Unlowerable, cast, operand, written
from autograd_core.kernels.products import blas
from autograd_core.ops.softmax import log_softmax, shares

Rule = Callable[..., Any]
rules: dict[
    str, Rule
] = {}  # by the primitive's name; called with symbols (or arrays, numbers) and static parameters


class Lowered:
    """The graph of a capture, and where each captured array is found in it."""

    def __init__(self, capture: Capture) -> None:
        self.graph = Graph()
        self.launches = Launches(self.graph)
        self.capture = capture
        self.symbols: dict[int, Symbol] = {}  # by number of the captured array
        self.stand_ins: dict[int, Any] = {}  # by number too
        self.sources: dict[Value, Any] = {}
        self.labels: list[tuple[int, int, int]] = []  # (argument, lowest, classes): looked up by comparison
        self.reasons: dict[int, str] = {}  # operations that are called as they stand, and why
        with np.errstate(all="ignore"):  # numbers that are known already are computed with
            for number, operation in enumerate(capture.operations):
                self.graph.origin = number
                self._lower(number, operation)

    def symbol(self, number: int) -> Symbol:
        """The array of this number; a source is put in when it is first asked for."""
        known = self.symbols.get(number)
        if known is None:
            array, source = self.capture.arrays[number], self.capture.sources[number]
            if isinstance(source, Constant):
                value = self.graph.constant(array)
            else:
                value = self.graph.value(array.shape, array.dtype)
                value.source = source
                self.sources[value] = source
            known = self.symbols[number] = Symbol(self.graph, whole(value))
        return known

    def _argument(self, given: Any) -> Any:
        if isinstance(given, Weak):
            return given.number
        source = self.capture.sources.get(given)
        return self.capture.arrays[given] if isinstance(source, Constant) else self.symbol(given)

    def _lower(self, number: int, operation: Operation) -> None:
        arguments = [self._argument(given) for given in operation.inputs]
        out = self.capture.arrays[operation.out]
        try:
            if operation.within:
                raise Unlowerable("it takes numbers that are computed as a setting")
            found = self._traced(operation, arguments)
            self._note_labels(operation)
            if found.shape != out.shape or found.dtype != out.dtype:
                raise Unlowerable(f"it was seen as {found.dtype}{found.shape}, it is {out.dtype}{out.shape}")
        except Exception as reason:  # whatever a forward function says of symbols
            self.reasons[number] = (
                f"{type(reason).__name__}: {reason}" if not isinstance(reason, Unlowerable) else str(reason)
            )
            found = self._called(operation, arguments, out)
        self.symbols[operation.out] = found

    def _note_labels(self, operation: Operation) -> None:
        """A label that is compared with every class would go unseen where it is none."""
        if operation.primitive.name not in _LABELLED:
            return
        names = operation.primitive.input_names
        number = operation.inputs[names.index("labels")]
        source = self.capture.sources.get(number)
        if isinstance(source, Argument):
            x = names.index("x") if "x" in names else 0
            classes = operation.params.get("classes") or self.capture.arrays[operation.inputs[x]].shape[1]
            lowest = int(min(0, self.capture.arrays[number].min(initial=0)))
            self.labels.append((source.number, -classes if lowest else 0, classes))
        elif not isinstance(source, Constant):
            raise Unlowerable("its labels are computed, and may be none")

    def _stand_in(self, number: int) -> Any:
        """Memory like that of a captured array: a place for kernels to be told of, never written."""
        if number not in self.stand_ins:
            like = self.capture.arrays[number]
            self.stand_ins[number] = np.empty(like.shape, like.dtype)
        return self.stand_ins[number]

    def _traced(self, operation: Operation, arguments: list[Any]) -> Symbol:
        primitive = operation.primitive
        rule: Any = rules.get(primitive.name, primitive.forward)
        if primitive.name in _OWN_KERNELS:
            raise Unlowerable("it has kernels of its own")
        found = rule(*arguments, **operation.params)
        if isinstance(found, Symbol):
            return found
        found = np.asarray(found)  # of constants alone
        value = self.graph.constant(found)
        return Symbol(self.graph, whole(value))

    def _called(self, operation: Operation, arguments: list[Any], out: Any) -> Symbol:
        """The operation as it stands, on arrays in row-major order."""
        graph = self.graph
        views: list[View] = []

        def ready(symbol: Symbol) -> View:
            view = symbol.view if symbol.view.is_whole else graph.copy(symbol.view)
            views.append(view)
            return view

        given = [ready(a) if isinstance(a, Symbol) else a for a in arguments]
        if operation.primitive.name in _OWN_KERNELS:
            arrays = [n.number if isinstance(n, Weak) else self._stand_in(n) for n in operation.inputs]
            if all(isinstance(a, Symbol) for a in arguments):
                call = Call(
                    views[0].value, graph.origin, operation.primitive, given, operation.params, tuple(views)
                )
                try:
                    found = Symbol(graph, self.launches.lowered(call, arrays))
                    del self.reasons[graph.origin]
                    return found
                except Unlowerable as reason:
                    self.reasons[graph.origin] = str(reason)
        params = replaced(
            operation.params, {key: ready(self.symbol(n)) for key, n in operation.within.items()}
        )
        return Symbol(graph, graph.call(operation, given, params, views, out))


def replaced(value: Any, arrays: dict[int, Any]) -> Any:
    """Static parameters with some arrays in them, known by id, replaced."""
    if isinstance(value, np.ndarray):
        return arrays.get(id(value), value)
    if isinstance(value, dict):
        return {key: replaced(each, arrays) for key, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(replaced(each, arrays) for each in value)
    return value


def rule(name: str) -> Callable[[Rule], Rule]:
    def note(function: Rule) -> Rule:
        rules[name] = function
        return function

    return note


# Operations that take labels, which here are compared with every class.
_LABELLED = frozenset(("pick", "place", "cross_entropy", "cross_entropy_grad"))

# Operations that are computed by their own kernels.
_OWN_KERNELS = frozenset(
    "conv conv_bias conv_input_grad conv_weight_grad max_pool max_pool_put max_pool_take avg_pool avg_pool_grad "
    "uniform normal".split()
)


def _symbol(value: Any, like: Any) -> Symbol:
    """A symbol for an operand that may be an array."""
    if isinstance(value, Symbol):
        return value
    array = np.asarray(value)
    return Symbol(like.graph, whole(like.graph.constant(array)))


@rule("alias")
def _alias(x: Any) -> Any:
    return x


@rule("matmul")
def _matmul(x: Any, y: Any) -> Symbol:
    like = x if isinstance(x, Symbol) else y
    x, y = _symbol(x, like), _symbol(y, like)
    dtype = np.result_type(x.dtype, y.dtype)
    if dtype.kind != "f" or x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-2]:
        raise Unlowerable("a product of integers")
    x, y = cast(x, dtype), cast(y, dtype)
    if blas() is None:
        raise Unlowerable("NumPy's BLAS does not say where its functions are")
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    views = [broadcast(v.view, (*lead, *v.shape[-2:])) for v in (x, y)]
    if not math.prod(lead) * x.shape[-2] * y.shape[-1] * x.shape[-1]:
        raise Unlowerable("a product of nothing")
    graph = like.graph
    return Symbol(graph, graph.product(*(v if lying(v) else graph.copy(v) for v in views)))


@rule("linear")
def _linear(x: Any, w: Any, b: Any) -> Any:
    return _matmul(x, w) + b


@rule("scatter")
def _scatter(g: Any, shape: Any, index: Any) -> Symbol:
    return written(g.graph, Scalar(0, g.dtype), g, index, shape, g.dtype)


@rule("setitem")
def _setitem(x: Any, value: Any, index: Any) -> Symbol:
    graph = (x if isinstance(x, Symbol) else value).graph
    base = operand(graph, x, x.dtype)
    return written(graph, base, value, index, x.shape, x.dtype)


@rule("pad")
def _pad(x: Any, widths: Any, value: Any) -> Symbol:
    inside = tuple(slice(a, a + n) for (a, _), n in zip(widths, x.shape, strict=True))
    shape = tuple(a + n + b for (a, b), n in zip(widths, x.shape, strict=True))
    return written(x.graph, Scalar(value, x.dtype), x, inside, shape, x.dtype)


@rule("pick")
def _pick(x: Any, labels: Any) -> Any:
    """The element of x along axis 1 that the label names: Σ over the classes of x where the class is the label.

    A sum with zeros keeps every bit but the sign of −0, and needs no address that depends on data.
    """
    like = x if isinstance(x, Symbol) else labels
    x, labels = _symbol(x, like), _symbol(labels, like)
    return np.max(np.where(_at_label(labels, x.shape), x, -np.inf), axis=1)


@rule("place")
def _place(y: Any, labels: Any, classes: int) -> Any:
    like = y if isinstance(y, Symbol) else labels
    y, labels = _symbol(y, like), _symbol(labels, like)
    shape = (y.shape[0], classes, *y.shape[1:])
    return np.where(_at_label(labels, shape), np.expand_dims(y, 1), np.zeros((), y.dtype))


@rule("cross_entropy")
def _cross_entropy(x: Any, labels: Any) -> Any:
    like = x if isinstance(x, Symbol) else labels
    return np.negative(_pick(log_softmax.forward(_symbol(x, like), axis=1), labels))


@rule("cross_entropy_grad")
def _cross_entropy_grad(g: Any, x: Any, labels: Any) -> Any:
    like = next(each for each in (g, x, labels) if isinstance(each, Symbol))
    g, x, labels = (_symbol(each, like) for each in (g, x, labels))
    p = shares(x, 1)
    return np.where(_at_label(labels, x.shape), p - 1, p) * np.expand_dims(g, 1)


def _at_label(labels: Symbol, shape: tuple[int, ...]) -> Any:
    """Whether a class, along axis 1, is its sample's label; labels count from the end when negative."""
    classes = np.arange(shape[1]).reshape(1, -1, *(1,) * (len(shape) - 2))
    wanted = np.expand_dims(labels, 1)
    return np.equal(classes, np.where(wanted < 0, wanted + shape[1], wanted))


@rule("broadcast_to")
def _broadcast_to(x: Any, shape: Any) -> Any:
    return np.broadcast_to(x, shape)
