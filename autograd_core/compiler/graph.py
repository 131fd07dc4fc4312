"""What a captured step is made of while it is compiled: values, how they are looked at, and the nodes that make them.

A value is an array in row-major order. Nodes read it through a `View`, an offset and strides, so that reshaping,
transposing, slicing and broadcasting are no work at all: they only change how the next node looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from autograd_core.dtypes import Shape
from autograd_core.kernels.transcript import Launched

DType = np.dtype[Any]


class Value:
    """An array of the program. `node` made it; without one it is a source: an argument, a state or a constant."""

    __slots__ = ("constant", "dtype", "node", "number", "shape", "source")

    def __init__(self, number: int, shape: Shape, dtype: DType, node: Node | None = None) -> None:
        self.number = number
        self.shape = shape
        self.dtype = dtype
        self.node = node
        self.source: Any = None
        self.constant: np.ndarray[Any, Any] | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"%{self.number} {self.dtype}{list(self.shape)}"


class Scalar(NamedTuple):
    """A number that is known while compiling, in the dtype in which it is computed with."""

    number: Any
    dtype: DType


class View(NamedTuple):
    """A value's elements seen with a shape: element i of an axis lies strides[axis] elements further."""

    value: Value
    shape: Shape
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def dtype(self) -> DType:
        return self.value.dtype

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the value, in its order, in whatever shape."""
        return (
            self.offset == 0
            and self.strides == row_major(self.shape)
            and math.prod(self.shape) == self.value.size
        )


Operand = View | Scalar


def row_major(shape: Shape) -> tuple[int, ...]:
    """The strides of an array without gaps; 0 along axes of one element, which are never walked."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step if size != 1 else 0)
        step *= size
    return tuple(reversed(strides))


def whole(value: Value) -> View:
    """All of a value."""
    return View(value, value.shape, row_major(value.shape))


def broadcast(view: View, shape: Shape) -> View:
    """The view with new leading axes and axes of one element repeated."""
    if view.shape == shape:
        return view
    lead = len(shape) - len(view.shape)
    strides = (0,) * lead + tuple(
        0 if own == 1 else stride for own, stride in zip(view.shape, view.strides, strict=True)
    )
    return View(view.value, shape, strides, view.offset)


def reshaped(view: View, shape: Shape) -> View | None:
    """The view's elements in row-major order in another shape; None where no strides say that."""
    if math.prod(shape) == 0:
        return View(view.value, shape, row_major(shape), view.offset)
    old = [(n, s) for n, s in zip(view.shape, view.strides, strict=True) if n != 1]
    strides: list[int] = []
    at = 0
    group: list[int] = []  # new axes that fill one run of old ones
    need = have = 1
    low: list[tuple[int, int]] = []
    for size in shape:
        group.append(size)
        need *= size
        while have < need:
            if at == len(old):
                return None
            low.append(old[at])
            have *= old[at][0]
            at += 1
        if need == have:
            made = _split(low, group)
            if made is None:
                return None
            strides += made
            group, low, need, have = [], [], 1, 1
    return View(view.value, shape, tuple(strides), view.offset) if not group and at == len(old) else None


def _split(old: list[tuple[int, int]], sizes: list[int]) -> list[int] | None:
    """The strides of axes of these sizes over old axes (size, stride), which must run on without a gap."""
    for (_, outer), (count, inner) in pairwise(old):
        if outer != inner * count:
            return None
    step = old[-1][1] if old else 0
    strides: list[int] = []
    for size in reversed(sizes):
        strides.append(step if size != 1 else 0)
        step *= size
    return strides[::-1]


def lying(view: View) -> tuple[int, int] | None:
    """How BLAS takes the matrices of a view: whether transposed, and the step from row to row as they lie; or not."""
    (rows, columns), (step, inner) = view.shape[-2:], view.strides[-2:]
    lead = [(n, s) for n, s in zip(view.shape[:-2], view.strides[:-2], strict=True) if n != 1]
    if any(outer != stride * count for (_, outer), (count, stride) in pairwise(lead)):
        return None
    if (inner == 1 or columns == 1) and (step >= columns or rows == 1):
        return 0, max(step, columns)
    if (step == 1 or rows == 1) and (inner >= rows or columns == 1):
        return 1, max(inner, rows)
    return None


@dataclass(slots=True, eq=False)
class Node:
    """One computation. `origin` is the number of the captured operation that it came from."""

    out: Value
    origin: int

    def reads(self) -> Iterable[View]:
        """The views of all that it reads."""
        raise NotImplementedError


@dataclass(slots=True, eq=False)
class Map(Node):
    """An elementwise function of operands that all have, as views, the shape of the result."""

    function: str
    operands: tuple[Operand, ...]

    def reads(self) -> Iterable[View]:
        return [operand for operand in self.operands if type(operand) is View]


@dataclass(slots=True, eq=False)
class Reduce(Node):
    """A view folded along axes, by "add", "multiply", "maximum" or "minimum"."""

    function: str
    operand: View
    axes: tuple[int, ...]

    def reads(self) -> Iterable[View]:
        return (self.operand,)


@dataclass(slots=True, eq=False)
class Product(Node):
    """Products of matrices: (…, m, k) · (…, k, n), the leading axes the same in both views."""

    x: View
    y: View

    def reads(self) -> Iterable[View]:
        return (self.x, self.y)


@dataclass(slots=True, eq=False)
class Assemble(Node):
    """An array written piece by piece: what lies under no piece is the base, a number or a view of the whole."""

    base: Operand | None
    pieces: list[tuple[Operand, View]]

    def reads(self) -> Iterable[View]:
        sources = [source for source, _ in self.pieces]
        return (operand for operand in [*sources, self.base] if isinstance(operand, View))


@dataclass(slots=True, eq=False)
class Call(Node):
    """A primitive computed by its own forward function: through its kernels where they are known, else by Python."""

    primitive: Any
    arguments: list[Operand | Any]
    params: dict[str, Any]
    inputs: tuple[View, ...] = field(default=())
    module_path: str = ""

    def reads(self) -> Iterable[View]:
        return self.inputs


class Taken(NamedTuple):
    """The launches of an operation, and the memory that they need besides its arguments and its result."""

    launches: list[Launched]
    kept: list[Any]  # tables, that must stay where they are
    scratch: list[Value]  # of its own; another operation may read it (max_pool_put: where the largest stand)
    borrowed: tuple[View, ...] = ()  # scratch memory that another operation has filled


@dataclass(slots=True, eq=False)
class Kernels(Node):
    """An operation by the kernels that its forward function launches; `call` is for when a check fails."""

    launched: Taken
    call: Call
    inputs: tuple[View, ...]
    ending: int = -1  # the operation whose work the last kernel does too

    def reads(self) -> Iterable[View]:
        return (*self.inputs, *self.launched.borrowed)


class Graph:
    """The nodes in an order in which they can run; equal ones are made once."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.nodes: list[Node] = []
        self.origin = -1
        self._known: dict[Any, Value] = {}

    def value(self, shape: Shape, dtype: DType) -> Value:
        made = Value(len(self.values), shape, np.dtype(dtype))
        self.values.append(made)
        return made

    def constant(self, array: Any) -> Value:
        """A value that never changes."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        key = ("constant", array.shape, array.dtype.str, array.tobytes())
        if key not in self._known:
            made = self._known[key] = self.value(array.shape, array.dtype)
            kept = array.copy()
            kept.flags.writeable = False
            made.constant = kept
        return self._known[key]

    def map(self, function: str, operands: Sequence[Operand], shape: Shape, dtype: DType) -> View:
        """An elementwise node, or the one that there is already."""
        seen = tuple(broadcast(o, shape) if isinstance(o, View) else o for o in operands)
        key = (function, tuple(map(_key, seen)), shape, dtype)
        return self._add(key, shape, dtype, lambda out: Map(out, self.origin, function, seen))

    def reduce(self, function: str, operand: View, axes: tuple[int, ...]) -> View:
        """The fold along the axes, which stay as axes of one element."""
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(operand.shape))
        key = ("reduce", function, operand, axes)
        return self._add(
            key, shape, operand.dtype, lambda out: Reduce(out, self.origin, function, operand, axes)
        )

    def product(self, x: View, y: View) -> View:
        """The product of matrices; the leading axes have been broadcast."""
        shape = (*x.shape[:-1], y.shape[-1])
        return self._add(("product", x, y), shape, x.dtype, lambda out: Product(out, self.origin, x, y))

    def assemble(self, shape: Shape, dtype: DType, base: Operand | None, pieces: list[Any]) -> View:
        """An array made of pieces (source, offset, strides, shape)."""
        out = self.value(shape, dtype)
        placed = [(source, View(out, *place)) for source, place in pieces]
        return self._append(Assemble(out, self.origin, base, placed))

    def copy(self, view: View) -> View:
        """The view's elements as a value of their own."""
        return self.map("copy", [view], view.shape, view.dtype)

    def root(self, view: View) -> Value:
        """A value of its own for what leaves the program."""
        out = self.value(view.shape, view.dtype)
        self._append(Map(out, self.origin, "copy", (view,)))
        return out

    def call(
        self, operation: Any, arguments: list[Any], params: dict[str, Any], inputs: Sequence[View], out: Any
    ) -> View:
        """A captured operation as it stands; `out` is what it returned, for shape and dtype."""
        made = self.value(out.shape, out.dtype)
        return self._append(Call(
            made, self.origin, operation.primitive, arguments, params, tuple(inputs), operation.module_path
        ))  # fmt: skip

    def kernels(
        self,
        make: Callable[[Value], Taken],
        call: Call,
        out: Any,
        inputs: Sequence[View],
    ) -> View:
        """An operation by its kernels; `make` gives their launches for the value that they write."""
        made = call.out = self.value(out.shape, out.dtype)
        return self._append(Kernels(made, self.origin, make(made), call, tuple(inputs)))

    def _add(self, key: Any, shape: Shape, dtype: DType, make: Any) -> View:
        known = self._known.get(key)
        if known is not None:
            return whole(known)
        made = self._append(make(self.value(shape, dtype)))
        self._known[key] = made.value
        return made

    def _append(self, node: Node) -> View:
        node.out.node = node
        self.nodes.append(node)
        return whole(node.out)


def _key(operand: Operand) -> Any:
    """What equal operands have in common: NaN is equal to itself, 0.0 is not -0.0, and 1 neither 1.0 nor True."""
    return operand if isinstance(operand, View) else (repr(operand.number), operand.dtype)
