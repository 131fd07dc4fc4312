"""Tensor: an array on the tape, with NumPy's operators and methods.

Tensors are values: an operation never writes into an array that somebody else may hold. `x[i] = v` and `x += y` make
a new array and let this one Python object stand for it, which is recorded and can be differentiated like all else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from autograd_core import leaving, sweep
from autograd_core.dtypes import Array, DTypeLike, Shape, as_array, is_float, unwritable
from autograd_core.errors import describe
from autograd_core.kernels import forks
from autograd_core.ops import elementwise as e
from autograd_core.ops import index as i
from autograd_core.ops import linalg, reduce
from autograd_core.ops import shape as shaping
from autograd_core.ops import softmax as soft
from autograd_core.ops.define import registry
from autograd_core.primitive import Primitive, explaining
from autograd_core.tape import (
    Leaf,
    Node,
    Value,
    apply,
    capturing,
    operand_array,
    replaced,
    set_result_type,
    state,
    structure,
)
from autograd_core.tree import leaves, tree_map

if TYPE_CHECKING:
    from autograd_core.teaching import BackwardSteps

_PLAIN = frozenset((int, float, bool, np.ndarray, list, tuple))
_OPERANDS = (int, float, np.ndarray, np.generic, list, tuple)

Operand = Any  # a Tensor, an ndarray, a Python number, or nested lists of them


def _answers_itself(other: Any) -> bool:
    """Whether an operand is not the engine's to convert, so that Python asks the operand's own reflected operator.

    That is so for what NumPy too leaves to itself: arrays with labels, units, masks or gradients of their own, which
    say so by a higher `__array_priority__` or an `__array_ufunc__` that is not ndarray's.
    """
    kind = type(other)
    if issubclass(kind, Value) or kind in _PLAIN:
        return False
    if issubclass(kind, np.generic):
        return False
    if not isinstance(other, _OPERANDS) and not hasattr(other, "__array__"):
        return True
    ufunc = getattr(kind, "__array_ufunc__", np.ndarray.__array_ufunc__)
    return ufunc is not np.ndarray.__array_ufunc__ or getattr(other, "__array_priority__", 0) > 0


def _binary(primitive: Primitive, swapped: bool = False) -> Callable[[Tensor, Operand], Tensor]:
    """An operator's method; for operands the engine does not know, Python tries the other side."""

    def operator(self: Tensor, other: Operand) -> Tensor:
        if not isinstance(other, Value) and type(other) not in _PLAIN and _answers_itself(other):
            return NotImplemented
        return apply(primitive, (other, self) if swapped else (self, other))

    return operator


def _inplace(primitive: Primitive) -> Callable[[Tensor, Operand], Tensor]:
    def operator(self: Tensor, other: Operand) -> Tensor:
        return self._rebind(apply(primitive, (self, other)), primitive.name)

    return operator


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    """The module function as a method: its first argument is self."""
    name, doc = function.__name__, function.__doc__
    function = explaining(function)

    def method(self: Tensor, *args: Any, **params: Any) -> Any:
        return function(self, *args, **params)

    method.__doc__, method.__name__ = doc, name
    return method


_explained_matmul = explaining(linalg.matmul)


def _matmul(x: Any, y: Any) -> Tensor:
    return _explained_matmul(as_tensor(x), as_tensor(y))


class Tensor(Value):
    """An n-dimensional array that remembers how it was computed. Make one with `autograd_core.tensor`.

    >>> import autograd_core as ag
    >>> x = ag.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.], dtype=float32)
    """

    __slots__ = ("_grad",)
    __hash__ = object.__hash__

    # What it is -------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """The sizes of the axes."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.array.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The elements' NumPy dtype."""
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.array.nbytes

    @property
    def T(self) -> Tensor:
        """The tensor with its axes reversed."""
        return shaping.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The tensor with its last two axes swapped."""
        return shaping.matrix_transpose(self)

    def _look(self, how: str) -> None:
        """Python is going to look at the numbers: inside a compiled function they must be constant."""
        if (capture := capturing()) is not None:
            capture.read(self, how)

    def numpy(self) -> Array:
        """The elements as an ndarray, without a copy and without the gradient. Nobody can make it writable."""
        self._look("numpy()")
        return unwritable(self.array)

    def item(self) -> Any:
        """The one element, as a Python number."""
        self._look("the value")
        if self.size != 1:
            raise ValueError(
                f"item: {describe(self.array)} has {self.size} elements, not 1: index it or reduce it first"
            )
        return self.array.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        self._look("tolist()")
        return self.array.tolist()

    def __float__(self) -> float:
        number = float(self.item())
        tracked = self.node is not None and state.recording
        if tracked and (state.transforming or leaving.leaves_the_engine()) and not leaving.is_formatting():
            raise leaving.refusal(self.array, "float(t)")
        return number

    def __complex__(self) -> complex:
        number = complex(self.item())
        if self.node is not None and state.recording:
            raise leaving.refusal(self.array, "complex(t)")
        return number

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"only an integer tensor can be an index, not {describe(self.array)}")
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a 0-d tensor has no length")
        return self.array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("a 0-d tensor cannot be iterated over: use .item()")
        self._look("iteration")
        return (self[row] for row in range(self.array.shape[0]))

    def __contains__(self, value: Operand) -> bool:
        return bool((self == value).any())

    def __repr__(self) -> str:
        self._look("print")
        text = np.array2string(self.array, separator=", ", prefix="tensor(", threshold=100)
        made_by = self.node.primitive if self.node else None
        graph = f", from={made_by.name}" if made_by else ", requires_grad=True" if self.node else ""
        return f"tensor({text}, dtype={self.dtype}{graph})"

    def __format__(self, spec: str) -> str:
        return format(self.item() if spec and self.size == 1 else str(self), spec)

    # The tape ---------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded and its gradient computed."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        if not on:
            if not self.is_leaf:
                raise RuntimeError(
                    "requires_grad: this tensor was computed from others: use detach() to cut it off"
                )
            self.node = None
            structure[0] += 1
        elif self.node is None:
            if not is_float(self.dtype):
                raise TypeError(
                    f"requires_grad: {describe(self.array)} cannot require a gradient, only float tensors can: "
                    "convert it first with astype('float32')"
                )
            self.node = Leaf(self)
            structure[0] += 1

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor stands at the beginning of the tape: it was given, not computed."""
        return self.node is None or self.node.primitive is None

    @property
    def grad(self) -> Tensor | None:
        """What `backward` has added up for this leaf; None before the first one that reached it."""
        grad = getattr(self, "_grad", None)
        if (capture := capturing()) is not None:
            capture.grad_read(self, grad)
        return grad

    @grad.setter
    def grad(self, value: Operand) -> None:
        if value is not None and not isinstance(value, Tensor):
            value = Tensor(as_array(value, self.dtype, copy=True))
        if value is not None and value.shape != self.shape:
            raise ValueError(f"grad: {describe(value.array)} is not of the tensor's shape {list(self.shape)}")
        if (capture := capturing()) is not None:
            capture.grad_set(self)
        self._grad = value

    def backward(
        self, cotangent: Operand = None, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add to `.grad` of every leaf under this tensor the derivative of this tensor with respect to it.

        `cotangent` (this tensor's shape) weighs the elements; a tensor of one element does not need it. The saved
        arrays are freed unless `retain_graph`; `create_graph` records the computation of the gradients, so that
        they can be differentiated themselves. Raises RuntimeError without a graph, for a tensor of several elements
        without a cotangent, and for a graph already freed; then no `.grad` has changed.
        """
        if cotangent is not None and not isinstance(cotangent, Value):
            cotangent = as_array(cotangent, copy=True)
        add_gradients(sweep.backward(self, cotangent, retain_graph, create_graph))

    backward_steps: Callable[..., BackwardSteps]  # teaching.py's, which comes later; the package puts it here

    def detach(self) -> Tensor:
        """The same elements, cut off from the tape."""
        if (capture := capturing()) is not None:
            capture.number_of(self)  # or the array would be known as the new tensor's, which soon is gone
        return Tensor(self.array)

    def _rebind(self, new: Tensor, operation: str) -> Self:
        """Let this object stand for `new`, of the same shape and dtype kind. Under no_grad a leaf stays a leaf."""
        if new.shape != self.shape:
            raise ValueError(
                f"{operation}: the result {describe(new.array)} does not fit in place into {describe(self.array)}"
            )
        if new.dtype != self.dtype:
            if not np.can_cast(new.dtype, self.dtype, "same_kind"):
                raise TypeError(
                    f"{operation}: the result {describe(new.array)} cannot be cast in place to {self.dtype}: "
                    "write x = x ... instead"
                )
            new = e.astype(new, dtype=self.dtype)
        if (capture := capturing()) is not None:
            capture.touch(self)
        if state.recording or self.node is None:
            self.node = new.node
        self.array = new.array
        replaced(self)
        return self

    # Operators --------------------------------------------------------------------------------------------

    __add__, __radd__, __iadd__ = _binary(e.add), _binary(e.add, True), _inplace(e.add)
    __sub__, __rsub__, __isub__ = _binary(e.subtract), _binary(e.subtract, True), _inplace(e.subtract)
    __mul__, __rmul__, __imul__ = _binary(e.multiply), _binary(e.multiply, True), _inplace(e.multiply)
    __truediv__, __rtruediv__ = _binary(e.divide), _binary(e.divide, True)
    __itruediv__ = _inplace(e.divide)
    __floordiv__, __rfloordiv__ = _binary(e.floor_divide), _binary(e.floor_divide, True)
    __ifloordiv__ = _inplace(e.floor_divide)
    __mod__, __rmod__, __imod__ = _binary(e.remainder), _binary(e.remainder, True), _inplace(e.remainder)
    __pow__, __rpow__, __ipow__ = _binary(e.power), _binary(e.power, True), _inplace(e.power)
    __and__, __rand__, __iand__ = (
        _binary(e.bitwise_and),
        _binary(e.bitwise_and, True),
        _inplace(e.bitwise_and),
    )
    __or__, __ror__, __ior__ = _binary(e.bitwise_or), _binary(e.bitwise_or, True), _inplace(e.bitwise_or)
    __xor__, __rxor__, __ixor__ = (
        _binary(e.bitwise_xor),
        _binary(e.bitwise_xor, True),
        _inplace(e.bitwise_xor),
    )
    __lt__, __le__ = _binary(e.less), _binary(e.less_equal)
    __gt__, __ge__ = _binary(e.greater), _binary(e.greater_equal)
    __eq__, __ne__ = _binary(e.equal), _binary(e.not_equal)  # pyright: ignore[reportAssignmentType]

    def __matmul__(self, other: Operand) -> Tensor:
        return NotImplemented if _answers_itself(other) else _matmul(self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return NotImplemented if _answers_itself(other) else _matmul(other, self)

    def __neg__(self) -> Tensor:
        return e.negative(self)

    def __pos__(self) -> Tensor:
        return e.alias(self)

    def __abs__(self) -> Tensor:
        return e.abs(self)

    def __round__(self, decimals: int = 0) -> Tensor:
        return e.round(self, decimals=decimals)

    def __divmod__(self, other: Operand) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __invert__(self) -> Tensor:
        return e.bitwise_invert(self)

    def __getitem__(self, index: Any) -> Tensor:
        return i.getitem(self, index=i.static_index(index))

    def __setitem__(self, index: Any, value: Operand) -> None:
        self._rebind(i.setitem(self, value, index=i.static_index(index)), "setitem")

    # Functions as methods ---------------------------------------------------------------------------------

    exp, expm1, log, log1p = map(_method, (e.exp, e.expm1, e.log, e.log1p))
    sqrt, rsqrt, square, abs = map(_method, (e.sqrt, e.rsqrt, e.square, e.abs))
    sin, cos, tan, sinh, cosh, tanh = map(_method, (e.sin, e.cos, e.tan, e.sinh, e.cosh, e.tanh))
    relu, sigmoid, softplus, erf = map(_method, (e.relu, e.sigmoid, e.softplus, e.erf))
    clip, sign, floor, ceil, round = map(_method, (e.clip, e.sign, e.floor, e.ceil, e.round))
    isnan, isinf, isfinite = map(_method, (e.isnan, e.isinf, e.isfinite))
    sum, mean, prod = map(_method, (reduce.sum, reduce.mean, reduce.prod))
    var, std, norm = map(_method, (reduce.var, reduce.std, reduce.norm))
    argmax, argmin, all, any = map(_method, (reduce.argmax, reduce.argmin, reduce.all, reduce.any))
    cumulative_sum, logsumexp = map(_method, (reduce.cumulative_sum, reduce.logsumexp))
    softmax, log_softmax = map(_method, (soft.softmax, soft.log_softmax))
    permute_dims, moveaxis = map(_method, (shaping.permute_dims, shaping.moveaxis))
    squeeze, expand_dims, flip = map(_method, (shaping.squeeze, shaping.expand_dims, shaping.flip))
    repeat, roll, tril, triu = map(_method, (shaping.repeat, shaping.roll, shaping.tril, shaping.triu))
    take, sort, argsort = map(_method, (i.take, i.sort, i.argsort))
    max, min = map(_method, (reduce.max, reduce.min))

    def reshape(self, *shape_: Any) -> Tensor:
        """The elements in row-major order in another shape: `reshape(2, -1)` or `reshape((2, -1))`."""
        target = shape_[0] if len(shape_) == 1 else shape_
        return shaping.reshape(self, target)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in the given order, all reversed without one."""
        order = axes[0] if len(axes) == 1 else axes
        return shaping.permute_dims(self, order) if axes else self.T

    def nonzero(self) -> tuple[Tensor, ...]:
        """For each axis, the indices of the elements that are not 0."""
        return tuple(map(Tensor, explaining(i.nonzero)(self)))

    def flatten(self) -> Tensor:
        """All elements along one axis."""
        return self.reshape(-1)

    def astype(self, dtype: DTypeLike) -> Tensor:
        """The elements converted to `dtype` (a NumPy dtype or its name)."""
        return e.astype(self, dtype=dtype)

    # NumPy's protocols, copying ---------------------------------------------------------------------------

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        self._look("numpy()")
        if self.node is not None and state.recording:
            raise leaving.refusal(self.array)
        wanted = np.dtype(dtype) if dtype is not None else self.dtype
        if copy or wanted != self.dtype:
            if copy is False:
                raise ValueError(f"__array__: {self.dtype} to {wanted} needs a copy")
            return self.array.astype(wanted)
        return self.numpy()

    def __dlpack__(self, **params: Any) -> Any:
        """The elements for another library, as a copy: it may write to them."""
        if self.node is not None and state.recording:
            raise leaving.refusal(self.array, "dlpack")
        return self.array.copy().__dlpack__(**params)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **params: Any) -> Any:
        """`np.exp(t)` and `ndarray * t` are the engine's own operations."""
        primitive = _UFUNCS.get(ufunc)
        if primitive is not None and method == "__call__" and not params:
            return primitive(*inputs)
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        writes = method == "at" or any(out is not None for out in params.get("out", ()))
        return _outside(f"np.{name}", getattr(ufunc, method), inputs, params, writes)

    def __array_function__(self, function: Any, types: Any, args: Any, params: Any) -> Any:
        """`np.mean(t)`, `np.concatenate([t, u])` are the engine's own; all others see, and return, ndarrays."""
        own = numpy_functions.get(function)
        if own is not None:
            return own(*args, **params)
        writes = function in _WRITERS or params.get("out") is not None
        return _outside(f"np.{function.__name__}", function, args, params, writes)

    def __copy__(self) -> Tensor:
        """Another tensor of the same elements: a leaf again, or in the graph as this one is."""
        return _restore(*self.__reduce__()[1]) if self.is_leaf else e.alias(self)

    def __deepcopy__(self, known: dict[int, Any]) -> Tensor:
        if not self.is_leaf and state.recording:
            raise TypeError(
                f"deepcopy of {describe(self.array)}, which was computed from tensors that require a gradient: the "
                "copy would lose the graph. Copy t.detach(), or make t + 0"
            )
        made = known[id(self)] = _restore(*self.__reduce__()[1])
        return made

    def __reduce__(self) -> Any:
        return _restore, (type(self), self.array.copy(), self.is_leaf and self.requires_grad)


def _restore(kind: type[Tensor], array: Array, requires_grad: bool) -> Tensor:
    """A copied or unpickled tensor: the elements without the graph."""
    restored = kind.__new__(kind)
    Value.__init__(restored, array)
    restored.requires_grad = requires_grad
    return restored


def _plain(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


# NumPy's functions that write into their first argument and return nothing.
_WRITERS = frozenset((np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask))
_SHAPE_ONLY = frozenset((np.zeros_like, np.ones_like, np.empty_like))  # these look at no elements


def _outside(name: str, function: Callable[..., Any], args: Any, params: Any, writes: bool) -> Any:
    """NumPy's own function on the tensors' arrays. TypeError where that would lose a gradient without a word."""
    given = [a for a in leaves([list(args), params]) if isinstance(a, Tensor)]
    tracked = next((t for t in given if t.node is not None), None) if state.recording else None
    if writes:
        targets = [*leaves(params.get("out", ())), *([] if "out" in params else args[:1])]
        if any(isinstance(target, Tensor) for target in targets):
            raise TypeError(
                f"{name} writes into its argument, and a tensor's elements may be saved for a gradient: use "
                "t[index] = value, which is recorded, or the result of an operation in the place of out="
            )
        if tracked is not None:
            raise leaving.refusal(tracked.array, name)
    result = function(*tree_map(_plain, list(args)), **tree_map(_plain, params))
    if tracked is not None and function not in _SHAPE_ONLY and not all(map(_has_no_gradient, leaves(result))):
        raise leaving.refusal(tracked.array, name)
    return result


def _has_no_gradient(result: Any) -> bool:
    """Whether these are integers, truth values, text, or nothing: what a derivative is 0 or not defined for."""
    if isinstance(result, np.ndarray | np.generic):
        return result.dtype.kind in "biuUSmM"
    return result is None or isinstance(result, int | str | bytes | type | np.dtype)


set_result_type(Tensor)

# What stands for NumPy's functions when they are called with tensors; functions.py, which comes later, fills it.
numpy_functions: dict[Any, Callable[..., Any]] = {}

_UFUNCS: dict[Any, Callable[..., Any]] = {
    getattr(np, name): primitive
    for name, primitive in registry.items()
    if isinstance(getattr(np, name, None), np.ufunc)
} | {np.matmul: linalg.matmul, np.positive: e.alias}


_adding = forks.lock()  # several threads may have one parameter


def add_gradients(found: dict[Leaf, Any]) -> None:
    """Add to `.grad` of every leaf what a backward pass has found for it."""
    eager = capturing() is None
    with _adding:
        for leaf, g in found.items():
            owner = leaf.owner()
            if not isinstance(owner, Tensor):
                continue
            if not isinstance(g, Tensor):
                g = Tensor(g if type(g) is np.ndarray else np.asarray(g))
            if eager:
                before = getattr(owner, "_grad", None)
                owner._grad = g if before is None else before + g
            else:
                before = owner.grad
                owner.grad = g if before is None else before + g


def as_tensor(value: Any) -> Tensor:
    """A tensor as it is; anything else copied into one."""
    return value if isinstance(value, Tensor) else Tensor(operand_array(value))


def node_of(value: Any) -> Node | None:
    """The node of a tensor on the tape; None for anything else."""
    return value.node if isinstance(value, Value) else None
