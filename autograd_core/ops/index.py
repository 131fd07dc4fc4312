"""Reading and writing by index, sorting, searching. `scatter` and `getitem` are each other's derivatives."""

# pyright: reportGeneralTypeIssues=false
# A rule may name the operation it belongs to: at run time the name is there, pyright sees a circle.

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autograd_core.dtypes import Array, Shape
from autograd_core.ops.arguments import integer
from autograd_core.ops.define import operation
from autograd_core.ops.elementwise import where
from autograd_core.ops.shape import reshape
from autograd_core.sweep import unbroadcast
from autograd_core.tape import Value, capturing

_BASIC = (int, np.integer, slice, type(None), type(Ellipsis), bool, np.bool)
Index = Any  # whatever NumPy's indexing takes


def static_index(index: Index) -> Index:
    """An index with tensors turned into arrays, floats refused, arrays copied so that nobody can change them."""
    if isinstance(index, tuple):
        return tuple(static_index(i) for i in index)
    own = isinstance(index, Value)
    if own:  # nobody writes into a tensor's array
        index = _shaping(index, "a mask as an index") if index.array.dtype.kind == "b" else index.array
    if isinstance(index, list):
        index = np.asarray(index) if index else np.empty(0, np.int64)
    if isinstance(index, np.ndarray):
        if index.dtype.kind not in "biu":
            raise IndexError(f"an index array has dtype {index.dtype}: use integers or booleans")
        # The compiler knows an array by its identity: what stands in it then is an input of each call. A read-only
        # array is copied too: it may be a view of one that is not.
        return index if own or capturing() is not None else index.copy()
    if isinstance(index, _BASIC):
        return index
    found = np.array(index)  # of a range, an array.array, a Series
    return static_index(found) if found.ndim and found.dtype.kind in "biu" else index


def _shaping(x: Any, how: str) -> Array:
    """The numbers of x, on which the shape of a result depends."""
    if isinstance(x, Value):
        if (capture := capturing()) is not None:
            capture.read(x, how)
        return x.array
    return x


def is_basic(index: Index) -> bool:
    """Whether the index is made of integers, slices, None and Ellipsis only: no element is picked twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(not isinstance(part, np.ndarray | bool | np.bool) for part in parts)


@operation(lambda g, shapes, index: _scatter(g, shape=shapes[0], index=index), kind="view")
def getitem(x: Array, index: Index = ()) -> Array:
    """x[index]."""
    return x[index]


@operation(lambda g, index: getitem(g, index=index))
def _scatter(g: Array, shape: Shape = (), index: Index = ()) -> Array:
    """Zeros of `shape` with g added at `index`; elements picked several times add up."""
    out = np.zeros(shape, g.dtype)
    if is_basic(index):
        out[index] = g
    else:
        np.add.at(out, index, g)
    return out


def _overwritten(shape: Shape, index: Index) -> Array | None:
    """Which written elements did not last because the index names their place again later; None when all did."""
    if is_basic(index):
        return None
    places = np.arange(math.prod(shape)).reshape(shape)[index]
    order = np.arange(places.size).reshape(places.shape)
    last = np.full(math.prod(shape), -1)
    last[places] = order
    lost = last[places] != order
    return lost if lost.any() else None


def _written_rule(g: Any, shapes: tuple[Shape, Shape], index: Index) -> Any:
    written = getitem(g, index=index)
    lost = _overwritten(shapes[0], index)
    if lost is not None:
        written = where(lost, 0, written)
    if written.ndim < len(shapes[1]):  # NumPy lets a value have extra leading axes of size 1
        written = reshape(written, (1,) * (len(shapes[1]) - written.ndim) + written.shape)
    return unbroadcast(written, shapes[1])


@operation(lambda g, index: setitem(g, 0, index=index), _written_rule)
def setitem(x: Array, value: Array, index: Index = ()) -> Array:
    """A copy of x in which x[index] is replaced by value."""
    out = np.array(x)
    out[index] = value
    return out


def _integers(indices: Index) -> Any:
    """Indices that are integers: no mask, no slice, no None."""
    chosen = static_index(list(indices) if isinstance(indices, tuple) else indices)
    kind = np.asarray(chosen).dtype
    if kind.kind not in "iu":
        what = "a mask: use x[mask]" if kind.kind == "b" else f"{type(indices).__name__}: give integers"
        raise TypeError(f"indices are {what}")
    return chosen


def take(x: Array, indices: Index, axis: int | None = None) -> Array:
    """The slices of x at integer `indices` along `axis` (None: of the flattened x). Raises IndexError out of range.

    >>> import autograd_core as ag
    >>> ag.take(ag.tensor([10.0, 20.0, 30.0]), ag.tensor([2, 0]))
    tensor([30., 10.], dtype=float32)
    """
    if isinstance(indices, bool | np.bool_) or indices is None:
        raise TypeError(f"take: indices are {indices!r}: give integers")
    if axis is None:
        x, axis = reshape(x, -1), 0
    chosen = _integers(indices)
    axis = normalize_axis_index(integer("axis", axis), x.ndim)
    return getitem(x, index=(*(slice(None),) * axis, chosen))


def _along(indices: Array, axis: int, shape: Shape) -> Index:
    """The open mesh that turns `indices` along one axis into a full index."""
    ndim = indices.ndim
    mesh: list[Array] = []
    for a in range(ndim):
        if a == axis:
            mesh.append(indices)
        else:
            mesh.append(np.arange(shape[a]).reshape((1,) * a + (-1,) + (1,) * (ndim - a - 1)))
    return tuple(mesh)


def take_along_axis(x: Array, indices: Index, axis: int = -1) -> Array:
    """For each position the element of x that `indices` names along `axis`, as `numpy.take_along_axis`.

    >>> import autograd_core as ag
    >>> ag.take_along_axis(ag.tensor([[1.0, 2.0], [3.0, 4.0]]), ag.tensor([[1], [0]]), axis=1)
    tensor([[2.],
            [3.]], dtype=float32)
    """
    chosen = np.asarray(_integers(indices))
    if chosen.ndim != x.ndim:
        raise ValueError(
            f"take_along_axis: indices have {chosen.ndim} dimensions but x has {x.ndim}: give them the same"
        )
    axis = normalize_axis_index(integer("axis", axis), x.ndim)
    return getitem(x, index=_along(chosen, axis, x.shape))


@operation(lambda g, labels, shapes: place(g, labels, classes=shapes[0][1]), None)
def pick(x: Array, labels: Array) -> Array:
    """For each sample the element of x along axis 1 that its label names: x (N, C, …), labels (N, …) → (N, …).

    Negative labels count from the end. Raises TypeError, ValueError or IndexError for labels that are no integers, of
    another shape, or out of range.

    >>> import autograd_core as ag
    >>> ag.pick(ag.tensor([[1.0, 2.0], [3.0, 4.0]]), ag.tensor([1, 0]))
    tensor([2., 3.], dtype=float32)
    """
    labels = labels_of(x, labels)
    return x[at_labels(labels, x.ndim)]


@operation(lambda g, labels: pick(g, labels), None)
def place(y: Array, labels: Array, classes: int = 0) -> Array:
    """The cotangent of `pick`: zeros (N, classes, …) with each sample's element of y (N, …) at its label."""
    out = np.zeros((y.shape[0], classes, *y.shape[1:]), y.dtype)
    out[at_labels(labels, out.ndim)] = y
    return out


def labels_of(x: Array, labels: Any) -> Array:
    """The labels, which are integers, one for each sample of x."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels are {labels.dtype.name}: give integers, the numbers of classes")
    if x.ndim < 2 or labels.shape != (x.shape[0], *x.shape[2:]):
        raise ValueError(
            f"labels have the shape {list(labels.shape)} for x of {list(x.shape)}: give x (N, C, …) and labels (N, …)"
        )
    return labels


def at_labels(labels: Array, ndim: int) -> tuple[Array, ...]:
    """The index of a label's element: itself along axis 1, and its own position along the others."""
    if ndim == 2:
        return np.arange(labels.shape[0]), labels
    first, *others = np.indices(labels.shape, sparse=True)
    return (first, labels, *others)


@operation()
def argsort(x: Array, axis: int | None = -1, descending: bool = False, stable: bool = True) -> Array:
    """The indices that sort x along `axis`.

    >>> import autograd_core as ag
    >>> ag.argsort(ag.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0], dtype=int64)
    """
    if axis is None:
        x, axis = np.ravel(x), -1
    if not descending:
        return np.argsort(x, axis=axis, stable=stable)
    reverse = np.argsort(np.flip(x, axis=axis), axis=axis, stable=stable)  # equal elements keep their order
    return np.flip(np.shape(x)[axis] - 1 - reverse, axis=axis)


def sort(x: Array, axis: int | None = -1, descending: bool = False, stable: bool = True) -> Array:
    """x sorted along `axis` (None: flattened first); the derivative follows each element to its new place.

    >>> import autograd_core as ag
    >>> ag.sort(ag.tensor([3.0, 1.0, 2.0]))
    tensor([1., 2., 3.], dtype=float32)
    """
    if axis is None:
        x, axis = reshape(x, -1), -1
    return take_along_axis(x, argsort(x, axis=axis, descending=descending, stable=stable), axis=axis)


def unique_values(x: Array) -> Array:
    """The different values of x in ascending order; the derivative goes to the first place of each.

    >>> import autograd_core as ag
    >>> ag.unique_values(ag.tensor([2.0, 1.0, 2.0]))
    tensor([1., 2.], dtype=float32)
    """
    _, first = np.unique(_shaping(x, "unique_values"), return_index=True, equal_nan=False)
    return take(x, first)


def nonzero(x: Array) -> tuple[Array, ...]:
    """For each axis, the indices of the elements that are not 0.

    >>> import autograd_core as ag
    >>> ag.nonzero(ag.tensor([0.0, 5.0, 6.0]))
    (tensor([1, 2], dtype=int64),)
    """
    return np.nonzero(_shaping(x, "nonzero"))
