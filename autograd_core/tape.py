"""The tape: tensors, the nodes that operations leave behind, and `apply`, which writes them.

A tensor that requires a gradient points at the node that made it; a node points at the nodes of its inputs. That is
the whole tape: there is no list to clear, and what nobody can reach any more is freed by reference counting. Nodes
hold arrays and never tensors, so there is no reference cycle.
"""

import itertools
import threading
import weakref
from collections.abc import Sequence
from contextlib import ContextDecorator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autograd_core.contexts import entered, reset
from autograd_core.contexts import recording as recording
from autograd_core.dtypes import Array, as_array, kept
from autograd_core.errors import explain, raise_from
from autograd_core.kernels import forks

if TYPE_CHECKING:
    from autograd_core.primitive import Plan, Primitive

Static = dict[str, Any]

_next_index = itertools.count(1).__next__
_SCALARS = frozenset((int, float, bool))
_NO_PARAMS: Static = {}
_COMPUTED = frozenset("?bhilqBHILQfd")  # the characters of the dtypes that the engine computes in


class _ThreadState(threading.local):
    """What this thread is doing: whether `assign` acts, which module is running, who looks on."""

    assigning = True
    module_path = ""
    capture: Any = None  # the compiler's record of what is computed
    observer: Any = None  # those that look on (observer.Watch)
    looked = 0.0  # seconds that they have taken for themselves
    within = 0  # how many derivative rules and compiled programs are running, one inside the other, under their eyes
    deriving = False  # a sweep runs whose rules are recorded or looked at
    transforming = 0  # how many functions run, one inside the other, whose derivatives a transform takes
    failed: Any = None  # the operation that raised last, a Failed

    @property
    def recording(self) -> bool:
        """Whether operations are recorded; `recording` is the context that changes it."""
        return entered()[-1].on

    @recording.setter
    def recording(self, on: bool) -> None:
        reset(on)


state = _ThreadState()


def capturing() -> Any:
    """The compiler's record, when this thread is running a function for it."""
    return state.capture if captures else None


structure = [0]  # counts changes of modules' attributes: what was compiled looks whether it still holds
# How many threads are captured, how many observers there are: looking at a thread's own state takes four times as long.
captures = 0
observers = 0
_counting = forks.lock()


class captured(ContextDecorator):
    """Let the compiler's record of this thread see all operations."""

    def __init__(self, record: Any) -> None:
        self.record = record

    def __enter__(self) -> Any:
        self._count(1)
        state.capture = self.record
        return self.record

    def __exit__(self, *_: object) -> None:
        state.capture = None
        self._count(-1)

    def _count(self, change: int) -> None:
        global captures
        with _counting:
            captures += change


def count_observers(change: int) -> None:
    """One more or one less of them, in any thread."""
    global observers
    with _counting:
        observers += change


def observer() -> Any:
    """Who looks on in this thread, or None."""
    return state.observer if observers else None


class Node:
    """One recorded operation: what made an array, from which nodes, and what its derivative rules will need."""

    __slots__ = (
        "dtype",
        "index",
        "inputs",
        "module_path",
        "params",
        "plan",
        "primitive",
        "saved",
        "seen",
        "shape",
    )

    primitive: "Primitive | None"
    inputs: "Sequence[Node | None]"
    seen: Any  # what an observer kept; without one there is no such attribute

    def __init__(
        self,
        primitive: "Primitive | None",
        inputs: "Sequence[Node | None]",
        params: Static,
        plan: "Plan | None",
        saved: tuple[Any, ...] | None,
        out: Array,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.params = params
        self.plan = plan
        self.saved = saved
        self.shape = out.shape
        self.dtype = out.dtype
        self.module_path = state.module_path
        self.index = _next_index()

    def __repr__(self) -> str:
        name = self.primitive.name if self.primitive else "leaf"
        return f"{name} #{self.index} {self.dtype}[{','.join(map(str, self.shape))}]"


class Leaf(Node):
    """Where the tape begins: a tensor that requires a gradient and was not computed.

    The gradient is handed to the tensor itself, through a weak reference: a gradient may have a graph of its own
    (create_graph) that leads back to this node, and a strong one would close a cycle. What was recorded before `since`
    has read another array than the tensor has now.
    """

    __slots__ = ("kind", "owner", "since")

    def __init__(self, owner: "Value") -> None:
        super().__init__(None, (), _NO_PARAMS, None, None, owner.array)
        self.owner = weakref.ref(owner)
        self.kind = type(owner)
        self.since = self.index


def replaced(*owners: Any) -> None:
    """These tensors have got other arrays."""
    now = _next_index()
    for owner in owners:
        if (leaf := owner.node) is not None and leaf.primitive is None:
            leaf.since = now


class Value:
    """An array and the node that made it (None when nothing was recorded). `Tensor` adds everything else."""

    __slots__ = ("__weakref__", "array", "node")

    def __init__(self, array: Array, node: Node | None = None) -> None:
        self.array = array
        self.node = node


_result_type: type[Value] = Value


def set_result_type(kind: type[Value]) -> None:
    """What operations return. Called once, by tensor.py, which this module cannot import."""
    global _result_type
    _result_type = kind


def wrap(array: Array, node: Node | None = None) -> Any:
    """A tensor around an array."""
    return _result_type(array, node)


def array_of(value: Any) -> Array:
    """The array of a tensor, or of anything that can be one."""
    return value.array if isinstance(value, Value) else as_array(value)


def operand(value: Any) -> Any:
    """What stands for a non-tensor argument: Python scalars stay weak, everything else becomes an array."""
    return value if type(value) in _SCALARS else operand_array(value)


def operand_array(value: Any) -> Array:
    """An array for a value that is no tensor, and that nobody can change: a copy."""
    if isinstance(value, np.ndarray) and not value.flags.writeable:
        return kept(as_array(value))
    return as_array(value, copy=True)


def _at_least_float32(value: Any) -> Any:
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype.kind != "f" else value


def lifted(primitive: "Primitive", arrays: list[Any], params: Static, out: Array) -> Array:
    """The result in float32 where NumPy answers small integers with float16; TypeError for other foreign dtypes."""
    if out.dtype.char in _COMPUTED:
        return out
    if any(isinstance(a, np.ndarray) and a.dtype.kind != "f" for a in arrays):
        out = np.asarray(primitive.forward(*map(_at_least_float32, arrays), **params))
    if out.dtype.char not in _COMPUTED:
        raise TypeError(f"the forward function returned {out.dtype}, in which the engine does not compute")
    return out


def _as_array(out: Any) -> Array:
    if isinstance(out, tuple | list):
        raise TypeError(
            f"the forward function returned a {type(out).__name__}: a primitive has one output, an array"
        )
    return np.asarray(out)


class Failed(NamedTuple):
    """An operation that raised, without any numbers: arrays have their shape and dtype only."""

    primitive: "Primitive"
    inputs: "list[Node | None]"
    arrays: list[Any]
    params: Static
    module_path: str
    message: str

    @classmethod
    def of(
        cls, primitive: "Primitive", inputs: "Sequence[Node | None]", arrays: Sequence[Any], params: Static,
        module_path: str, error: Exception,
    ) -> "Failed":  # fmt: skip
        """What there is to remember of it."""
        outlines = _outlines(inputs)
        kept = [outlines.get(node) for node in inputs]
        shapes = [_outline(a) for a in arrays]
        return cls(primitive, kept, shapes, _outline(params), module_path, str(error))


def _outline(value: Any) -> Any:
    """The value with arrays replaced by such as take no memory: in tuples, lists and dicts too."""
    if isinstance(value, np.ndarray):
        return like(value)
    if isinstance(value, dict):
        return {key: _outline(each) for key, each in value.items()}
    return type(value)(map(_outline, value)) if type(value) in (tuple, list) else value


def _outlines(nodes: "Sequence[Node | None]") -> "dict[Node | None, Node]":
    """The graph above some nodes, with nothing that takes memory: a picture of it can be asked for much later."""
    found: dict[Node, None] = {}
    todo = [node for node in nodes if node is not None]
    while todo:
        node = todo.pop()
        if node not in found:
            found[node] = None
            todo += [parent for parent in node.inputs if parent is not None]
    made: dict[Node | None, Node] = {}
    for node in sorted(found, key=lambda each: each.index):
        if node.primitive is None:
            made[node] = node
            continue
        made[node] = copy = Node.__new__(Node)
        for name in ("dtype", "index", "module_path", "plan", "primitive", "shape"):
            setattr(copy, name, getattr(node, name))
        copy.params = _outline(node.params)
        copy.inputs = [made.get(parent) for parent in node.inputs]
        copy.saved = None if node.saved is None else tuple(map(_outline, node.saved))
    return made


def like(array: Array) -> Array:
    """An array of this shape and dtype that takes no memory; always the same one."""
    return _nothing_like(array.shape, array.dtype)


@lru_cache(maxsize=1024)
def _nothing_like(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    return np.broadcast_to(np.empty((), dtype), shape)


def _explained(
    error: Exception, primitive: "Primitive", inputs: "list[Node | None]", arrays: list[Any], params: Static
) -> Exception:
    explained = explain(error, primitive.title, primitive.names(len(arrays)), arrays, state.module_path)
    if not isinstance(error, MemoryError):
        state.failed = Failed.of(primitive, inputs, arrays, params, state.module_path, explained)
    return explained


def apply(primitive: "Primitive", args: Sequence[Any], params: Static = _NO_PARAMS) -> Any:
    """Compute `primitive` on tensors and, when an input requires a gradient, record a node."""
    if observers and state.observer is not None:
        return state.observer.operation(primitive, args, params)
    arrays: list[Any] = []
    inputs: list[Node | None] = []
    needs = 0  # bit i: input i requires a gradient
    bit = 1
    for arg in args:
        if isinstance(arg, Value):
            arrays.append(arg.array)
            node = arg.node
            inputs.append(node)
            if node is not None:
                needs |= bit
        else:
            arrays.append(operand(arg))
            inputs.append(None)
        bit <<= 1
    try:
        out = primitive.forward(*arrays, **params)
        if type(out) is not np.ndarray:
            out = _as_array(out)
        if out.dtype.char not in _COMPUTED:
            out = lifted(primitive, arrays, params, out)
    except Exception as error:
        raise_from(_explained(error, primitive, inputs, arrays, params), error)
    if captures and state.capture is not None:
        state.capture.record(primitive, args, arrays, params, out)
    if needs and entered()[-1].on and out.dtype.kind == "f":
        plan = primitive.plans.get(needs | bit) or primitive.plan(needs, len(arrays))
        arrays.append(out)
        return _result_type(out, Node(primitive, inputs, params, plan, plan.save(arrays), out))
    return _result_type(out, None)
