"""Arrays that are not computed: NumPy's functions, given one, leave a node in the graph.

An operation's forward function is its only definition. Run on symbols it says by itself what it computes: through
NumPy's protocols (NEP 13 and NEP 18) every ufunc, reduction and reshaping inside arrives here. What is not known here
raises `Unlowerable`, and the operation is then called as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from numpy.lib.mixins import NDArrayOperatorsMixin

from autograd_core.compiler.arithmetic import computes
from autograd_core.compiler.graph import (
    Assemble,
    Graph,
    Operand,
    Scalar,
    View,
    broadcast,
    reshaped,
    row_major,
)
from autograd_core.dtypes import Shape


class Unlowerable(Exception):
    """What a forward function did is not known to the compiler."""


# Ufuncs by the name of the function that computes them; `fabs`, say, is not used by the engine.
KNOWN = frozenset(
    "add subtract multiply divide floor_divide remainder power negative square absolute sign exp expm1 log log1p "
    "logaddexp sqrt sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh maximum minimum floor ceil rint equal "
    "not_equal less less_equal greater greater_equal bitwise_and bitwise_or bitwise_xor invert isnan isinf isfinite "
    "logical_and logical_or logical_not erf reciprocal".split()
)
_FOLDS = frozenset(("add", "multiply", "maximum", "minimum"))
_WEAK = (bool, int, float)


class Symbol(NDArrayOperatorsMixin):
    """A view in the graph that NumPy takes for an array."""

    __slots__ = ("graph", "view")

    def __init__(self, graph: Graph, view: View) -> None:
        self.graph = graph
        self.view = view

    shape = property(lambda self: self.view.shape)
    dtype = property(lambda self: self.view.dtype)
    ndim = property(lambda self: len(self.view.shape))
    size = property(lambda self: math.prod(self.view.shape))
    T = property(lambda self: transpose(self))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise Unlowerable("its numbers are looked at")

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        raise Unlowerable("its truth is asked for")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        name = _NAMES.get(ufunc.__name__, ufunc.__name__)
        out = options.pop("out", None)
        if method == "__call__" and name in KNOWN and set(options) <= {"dtype"}:
            found = call(self.graph, ufunc, name, inputs, options.get("dtype"))
        elif (
            method == "reduce" and name in _FOLDS and set(options) <= {"axis", "keepdims", "dtype", "initial"}
        ):
            found = fold(self.graph, name, inputs[0], **options)
        else:
            raise Unlowerable(f"{ufunc.__name__}.{method} with {sorted(options)}")
        if out is None:
            return found
        (target,) = out
        if not isinstance(target, Symbol):
            raise Unlowerable("it writes into an array")
        target.view = cast(found, target.dtype).view
        return target

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        handler = _FUNCTIONS.get(function.__name__)
        if handler is None:
            raise Unlowerable(f"np.{function.__name__}")
        return handler(*args, **kwargs)

    def __getitem__(self, index: Any) -> Symbol:
        return getitem(self, index)

    def reshape(self, *shape: Any) -> Symbol:
        return reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Symbol:
        return transpose(self, axes[0] if len(axes) == 1 else axes or None)

    def astype(self, dtype: Any, **_: Any) -> Symbol:
        return cast(self, np.dtype(dtype))

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        return np.add.reduce(self, axis=axis, keepdims=keepdims)


_NAMES = {"true_divide": "divide", "abs": "absolute", "bitwise_invert": "invert"}


# Elementwise ------------------------------------------------------------------------------------------------------


def call(graph: Graph, ufunc: Any, name: str, inputs: Sequence[Any], dtype: Any = None) -> Symbol:
    """A ufunc of symbols, arrays and numbers, computed in the dtype that NumPy would choose."""
    given = tuple([type(i) if type(i) in _WEAK else i.dtype for i in map(_known, inputs)])
    loop = _loop(ufunc, given, None if dtype is None else np.dtype(dtype))
    if np.float16 in loop or not computes(name, loop[0].kind):
        raise Unlowerable(f"{name} of {loop[0]}")
    if {each.kind for each in loop[:-1]} == {"i", "u"}:  # NumPy compares the numbers, not their bits
        raise Unlowerable(f"{name} of {loop[0]} and {loop[1]}")
    shape = _common([() if type(i) in _WEAK else i.shape for i in inputs])
    operands = [operand(graph, i, want) for i, want in zip(inputs, loop[:-1], strict=True)]
    return Symbol(graph, simplified(graph, name, operands, shape, loop[-1]))


@lru_cache(maxsize=4096)
def _loop(ufunc: Any, given: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
    """The dtypes that a ufunc computes in."""
    return ufunc.resolve_dtypes((*given, dtype))


def _common(shapes: list[Shape]) -> Shape:
    """The shape that all are broadcast to."""
    filled = [shape for shape in shapes if shape]
    if not filled:
        return ()
    first = filled[0]
    return first if all(shape == first for shape in filled) else np.broadcast_shapes(*filled)


def _known(value: Any) -> Any:
    if isinstance(value, Symbol | np.ndarray | np.generic | bool | int | float):
        return value
    raise Unlowerable(f"a {type(value).__name__} among the operands")


def operand(graph: Graph, value: Any, dtype: Any) -> Operand:
    """A symbol, an array or a number in the dtype in which it is computed with."""
    if isinstance(value, Symbol):
        return cast(value, dtype).view
    if np.ndim(value) == 0:
        return Scalar(np.asarray(value).astype(dtype).item(), np.dtype(dtype))
    array = np.asarray(value, dtype)
    first = array.flat[0] if array.size else 0
    if array.size and (array.view(f"u{array.itemsize}") == array.view(f"u{array.itemsize}").flat[0]).all():
        return broadcast_scalar(graph, first, array)
    constant = graph.constant(array)
    return View(constant, array.shape, row_major(array.shape))


def broadcast_scalar(graph: Graph, number: Any, array: Any) -> Operand:
    """An array that is one number everywhere."""
    return Scalar(number.item(), array.dtype)


def simplified(graph: Graph, name: str, operands: list[Operand], shape: Shape, dtype: Any) -> View:
    """The node, without what changes no bit: · 1, / 1, − 0, squares and roots written as powers."""
    x = operands[0]
    y = operands[1] if len(operands) == 2 else None
    if name == "multiply" and isinstance(x, Scalar) and x.number == 1 and isinstance(y, View):
        return broadcast(y, shape)
    if isinstance(x, View) and isinstance(y, Scalar):
        if (name in ("multiply", "divide") and y.number == 1 and dtype.kind == "f") or (
            name == "subtract" and y.number == 0 and not np.signbit(np.asarray(y.number, np.float64))
        ):
            return broadcast(x, shape)
        if name == "power" and dtype.kind == "f":
            if y.number == 2:
                return graph.map("square", [x], shape, dtype)
            if y.number == 0.5:  # of −∞ and −0 they differ, and NumPy takes the root too
                return graph.map("sqrt", [x], shape, dtype)
            if y.number == 1:
                return broadcast(x, shape)
    known = [np.asarray(o.number, o.dtype) for o in operands if isinstance(o, Scalar)]
    if len(known) == len(operands):
        found = getattr(np, name)(*known)
        return graph.map("copy", [Scalar(np.asarray(found).item(), np.dtype(dtype))], shape, dtype)
    return graph.map(name, operands, shape, dtype)


def cast(x: Symbol, dtype: Any) -> Symbol:
    """x in another dtype."""
    dtype = np.dtype(dtype)
    if (
        x.dtype.kind == "f" and dtype.kind == "u"
    ):  # out of range NumPy's own result depends on the element's place
        raise Unlowerable(f"{x.dtype} to {dtype}")
    if dtype == x.dtype:
        return x
    return Symbol(x.graph, x.graph.map("cast", [x.view], x.shape, dtype))


def where(condition: Any, x: Any, y: Any) -> Symbol:
    """np.where."""
    graph = next(value.graph for value in (condition, x, y) if isinstance(value, Symbol))
    dtype = np.result_type(*(_weak_or_dtype(v) for v in (x, y)))
    if type(x) in _WEAK and type(y) in _WEAK:
        dtype = np.result_type(np.asarray(x), np.asarray(y))
    shape = np.broadcast_shapes(np.shape(condition), np.shape(x), np.shape(y))
    chosen = condition if condition.dtype == np.bool_ else condition != 0
    operands = [operand(graph, chosen, np.bool_), operand(graph, x, dtype), operand(graph, y, dtype)]
    return Symbol(graph, graph.map("where", operands, shape, dtype))


def _weak_or_dtype(value: Any) -> Any:
    return value if type(value) in _WEAK else value.dtype


# Folding ----------------------------------------------------------------------------------------------------------


def fold(
    graph: Graph,
    name: str,
    x: Any,
    axis: Any = 0,
    keepdims: bool = False,
    dtype: Any = None,
    initial: Any = None,
) -> Symbol:
    """ufunc.reduce."""
    axes = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
    if dtype is None and name in ("add", "multiply") and x.dtype.kind in "biu":
        dtype = getattr(np, name).reduce(np.empty(0, x.dtype)).dtype
    if dtype is not None:
        x = cast(x, dtype)
    kept = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    if x.size == 0 and name in ("maximum", "minimum") and initial is None:
        raise Unlowerable("the extremum of nothing")
    if x.size == 0 and name in ("add", "multiply"):
        empty = Scalar(0 if name == "add" else 1, x.dtype)
        found = Symbol(graph, graph.map("copy", [empty], kept, x.dtype))
    elif math.prod(x.shape[a] for a in axes) == 1:
        found = reshape(x, kept)
    else:
        found = Symbol(graph, graph.reduce(name, x.view, tuple(sorted(axes))))
    return found if keepdims else reshape(found, tuple(n for a, n in enumerate(x.shape) if a not in axes))


def _reducer(name: str, **fixed: Any) -> Callable[..., Symbol]:
    def reduce(
        x: Symbol, axis: Any = None, keepdims: Any = False, initial: Any = None, **rest: Any
    ) -> Symbol:
        if any(value is not None and value is not np._NoValue for value in rest.values()):
            raise Unlowerable(f"np.{name} with {sorted(rest)}")
        initial = None if initial is np._NoValue else initial
        return fold(x.graph, name, x, axis, keepdims is True, None, initial)

    return reduce


def mean(x: Symbol, axis: Any = None, keepdims: Any = False) -> Symbol:
    """np.mean of floats."""
    if x.dtype.kind != "f":
        raise Unlowerable("the mean of integers")
    total = fold(x.graph, "add", x, axis, keepdims is True)
    return total / (x.size // max(1, total.size))


# Looking otherwise ------------------------------------------------------------------------------------------------


def reshape(x: Symbol, shape: Any, **_: Any) -> Symbol:
    """np.reshape."""
    sizes: Shape = (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)
    if -1 in sizes:
        rest = -math.prod(sizes)
        sizes = tuple(x.size // rest if n == -1 and rest else n for n in sizes)
    if math.prod(sizes) != x.size:
        raise Unlowerable(f"{x.shape} cannot be reshaped to {sizes}")
    seen = reshaped(x.view, sizes)
    if seen is None:
        seen = reshaped(x.graph.copy(x.view), sizes)
    assert seen is not None
    return Symbol(x.graph, seen)


def transpose(x: Symbol, axes: Any = None) -> Symbol:
    """np.transpose."""
    order = range(x.ndim)[::-1] if axes is None else [normalize_axis_index(a, x.ndim) for a in axes]
    v = x.view
    moved = tuple(v.shape[a] for a in order), tuple(v.strides[a] for a in order)
    return Symbol(x.graph, View(v.value, *moved, v.offset))


def getitem(x: Symbol, index: Any) -> Symbol:
    """x[index] for integers, slices, None and Ellipsis; of an assembled array the piece itself, where it is one."""
    view = sliced(x.view, index)
    node = view.value.node
    if isinstance(node, Assemble):
        for source, place in node.pieces:
            if isinstance(source, View) and _walk(place) == _walk(view) and source.dtype == view.dtype:
                seen = reshaped(source, view.shape)
                if seen is not None:
                    return Symbol(x.graph, seen)
    return Symbol(x.graph, view)


def _walk(view: View) -> Any:
    """What a view sees, whatever axes of one element it has."""
    return view.offset, [(n, s) for n, s in zip(view.shape, view.strides, strict=True) if n != 1]


def sliced(view: View, index: Any) -> View:
    """What a basic index sees of a view. Raises Unlowerable for any other index."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if not all(p is None or p is Ellipsis or isinstance(p, int | np.integer | slice) for p in parts):
        raise Unlowerable("an index with arrays")
    if any(isinstance(p, bool) for p in parts):
        raise Unlowerable("an index with truths")
    taken = sum(p is not None and p is not Ellipsis for p in parts)
    fill = [slice(None)] * (len(view.shape) - taken)
    at = parts.index(Ellipsis) if Ellipsis in parts else len(parts)
    parts[at : at + 1] = fill
    offset, shape, strides, axis = view.offset, [], [], 0
    for part in parts:
        if part is None:
            shape.append(1)
            strides.append(0)
            continue
        size, stride = view.shape[axis], view.strides[axis]
        axis += 1
        if isinstance(part, slice):
            start, stop, step = part.indices(size)
            count = len(range(start, stop, step))
            offset += start * stride if count else 0
            shape.append(count)
            strides.append(step * stride if count != 1 else 0)
        else:
            if not -size <= part < size:
                raise IndexError(f"index {part} is out of range for an axis of size {size}")
            offset += int(part) % size * stride
    return View(view.value, tuple(shape), tuple(strides), offset)


def expand_dims(x: Symbol, axis: Any) -> Symbol:
    """np.expand_dims."""
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    places = normalize_axis_tuple(axes, x.ndim + len(axes))
    sizes = iter(x.shape)
    return reshape(x, [1 if a in places else next(sizes) for a in range(x.ndim + len(places))])


def squeeze(x: Symbol, axis: Any = None) -> Symbol:
    """np.squeeze."""
    axes = (
        [a for a, n in enumerate(x.shape) if n == 1] if axis is None else normalize_axis_tuple(axis, x.ndim)
    )
    return reshape(x, [n for a, n in enumerate(x.shape) if a not in axes])


def flip(x: Symbol, axis: Any = None) -> Symbol:
    """np.flip."""
    axes = range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim)
    return x[tuple(slice(None, None, -1) if a in axes else slice(None) for a in range(x.ndim))]


def broadcast_to(x: Symbol, shape: Any) -> Symbol:
    """np.broadcast_to."""
    return Symbol(x.graph, broadcast(x.view, tuple(shape)))


def concatenate(arrays: Sequence[Any], axis: int = 0) -> Symbol:
    """np.concatenate."""
    graph = next(a.graph for a in arrays if isinstance(a, Symbol))
    axis = normalize_axis_index(axis, arrays[0].ndim)
    dtype = np.result_type(*(a.dtype for a in arrays))
    shape = list(arrays[0].shape)
    shape[axis] = sum(a.shape[axis] for a in arrays)
    strides, pieces, at = row_major(tuple(shape)), [], 0
    for a in arrays:
        if a.shape[axis]:
            pieces.append(
                (operand(graph, a, dtype), (a.shape, _walked(strides, a.shape), at * strides[axis]))
            )
        at += a.shape[axis]
    return Symbol(graph, graph.assemble(tuple(shape), dtype, None, pieces))


def _walked(strides: tuple[int, ...], shape: Shape) -> tuple[int, ...]:
    return tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))


def stack(arrays: Sequence[Any], axis: int = 0) -> Symbol:
    """np.stack."""
    return concatenate([expand_dims(a, axis) for a in arrays], axis)


def written(graph: Graph, base: Operand | None, source: Any, index: Any, shape: Shape, dtype: Any) -> Symbol:
    """An array of this shape, `base` but for what a basic index sees, where it is `source`."""
    from autograd_core.compiler.graph import Value

    place = sliced(View(Value(-1, shape, np.dtype(dtype)), shape, row_major(shape)), index)
    piece = operand(graph, source, dtype)
    if isinstance(piece, View):
        extra = max(
            0, len(piece.shape) - len(place.shape)
        )  # NumPy lets a value have more leading axes, of size 1
        piece = View(piece.value, piece.shape[extra:], piece.strides[extra:], piece.offset)
        piece = broadcast(piece, place.shape)
    pieces = [(piece, (place.shape, place.strides, place.offset))] if math.prod(place.shape) else []
    return Symbol(graph, graph.assemble(shape, np.dtype(dtype), base, pieces))


def result_type(*values: Any) -> Any:
    """np.result_type."""
    return np.result_type(*(v.dtype if isinstance(v, Symbol) else v for v in values))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "where": where,
    "sum": _reducer("add"),
    "max": _reducer("maximum"),
    "amax": _reducer("maximum"),
    "min": _reducer("minimum"),
    "amin": _reducer("minimum"),
    "mean": mean,
    "reshape": reshape,
    "transpose": transpose,
    "squeeze": squeeze,
    "expand_dims": expand_dims,
    "flip": flip,
    "broadcast_to": broadcast_to,
    "concatenate": concatenate,
    "stack": stack,
    "result_type": result_type,
    "shape": lambda x: x.shape,
    "size": lambda x: x.size,
    "ndim": lambda x: x.ndim,
    "all": lambda x, axis=None, keepdims=False, **_: _reduced_truth("minimum", x, axis, keepdims),
    "any": lambda x, axis=None, keepdims=False, **_: _reduced_truth("maximum", x, axis, keepdims),
    "roll": lambda x, shift, axis=None: roll(x, shift, axis),
    "round": lambda x, decimals=0: np.rint(x) if decimals == 0 else _no("rounding to decimals"),
}


def _reduced_truth(name: str, x: Symbol, axis: Any, keepdims: Any) -> Symbol:
    if x.size == 0:
        raise Unlowerable("the truth of nothing")
    return fold(x.graph, name, x != 0 if x.dtype != np.bool_ else x, axis, keepdims is True)


def roll(x: Symbol, shift: Any, axis: Any = None) -> Symbol:
    """np.roll."""
    if axis is None:
        return reshape(roll(reshape(x, (x.size,)), shift, 0), x.shape)
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    shifts = shift if isinstance(shift, tuple | list) else (shift,) * len(axes)
    for by, along in zip(shifts, axes, strict=True):
        at = normalize_axis_index(along, x.ndim)
        size = x.shape[at]
        if size and by % size:
            before = (slice(None),) * at
            cut = size - by % size
            x = concatenate([x[(*before, slice(cut, None))], x[(*before, slice(None, cut))]], at)
    return x


def _no(what: str) -> Any:
    raise Unlowerable(what)
