"""Derivatives as functions of functions. All of them are one reverse sweep, or two.

Arguments may be tensors, ndarrays, numbers, or nested dicts, lists and tuples of them; results are tensors in the same
containers. Every transform can be applied to the result of another.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from autograd_core import tree
from autograd_core.dtypes import is_float
from autograd_core.errors import check_callable, describe
from autograd_core.linearise import Function, Linearised, Pushforward, tangent_of
from autograd_core.ops import reduce
from autograd_core.ops.shape import as_sizes, reshape, stack
from autograd_core.tape import array_of
from autograd_core.tensor import Tensor

Argnums = int | Sequence[int]


def _positions(argnums: Argnums, count: int, name: str) -> list[int]:
    wanted = list(as_sizes(argnums))
    for i in wanted:
        if not -count <= i < count:
            raise ValueError(
                f"{name}: argnums {i} but the function was called with {count} positional arguments"
            )
    return [i % count for i in wanted]


def _check_floats(args: Sequence[Any], positions: Sequence[int]) -> None:
    """TypeError when an argument chosen by argnums holds an array without derivatives."""
    for i in positions:
        for leaf in tree.leaves(args[i]):
            if leaf is not None and not isinstance(leaf, str) and not is_float(array_of(leaf).dtype):
                raise TypeError(
                    f"a derivative was asked for with respect to argument {i}, {describe(array_of(leaf))}: only float "
                    "arrays have one; convert it with astype('float32') or leave it out of argnums"
                )


def _bound(f: Function, params: dict[str, Any]) -> Function:
    return (lambda *args: f(*args, **params)) if params else f


def value_and_grad(f: Function, argnums: Argnums = 0) -> Callable[..., tuple[Tensor, Any]]:
    """A function that returns f's value and its gradient with respect to the arguments in `argnums`.

    f must return one float element; where that does not depend on an argument, the gradient is 0. The gradient has the
    arguments' structure; for several argnums it is a tuple.

    >>> import autograd_core as ag
    >>> value, slope = ag.value_and_grad(lambda x: x**2)(3.0)
    >>> value.item(), slope.item()
    (9.0, 6.0)
    """

    check_callable(f, "grad")

    @wraps(f)
    def both(*args: Any, **params: Any) -> tuple[Tensor, Any]:
        positions = _positions(argnums, len(args), "grad")
        _check_floats(args, positions)
        line = Linearised(_bound(f, params), args, positions)
        value = line.value
        if not isinstance(value, Tensor) or value.size != 1 or not is_float(value.dtype):
            got = describe(value.array) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"grad: the function returned {got}, not one float element: reduce it (.sum(), .mean()), "
                "or use jacobian or vjp"
            )
        gradients = line.pull_back(Tensor(np.ones(value.shape, value.dtype)))
        return line.plain_value(), gradients[0] if np.ndim(argnums) == 0 else tuple(gradients)

    return both


def grad(f: Function, argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the gradient of f with respect to the arguments in `argnums`.

    f must return one float element. Derivatives of higher order come from applying grad again.

    >>> import autograd_core as ag
    >>> cube = lambda x: x**3
    >>> ag.grad(cube)(2.0).item(), ag.grad(ag.grad(cube))(2.0).item()
    (12.0, 12.0)
    """
    both = value_and_grad(f, argnums)

    @wraps(f)
    def gradient(*args: Any, **params: Any) -> Any:
        return both(*args, **params)[1]

    return gradient


def vjp(f: Function, *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """f's value, and the function that takes a cotangent of it to the tuple of the arguments' cotangents.

    Integer arguments have no derivative: None stands in their place.

    >>> import autograd_core as ag
    >>> value, pull_back = ag.vjp(lambda x, y: x * y, ag.tensor([1.0, 2.0]), ag.tensor([3.0, 4.0]))
    >>> pull_back(ag.tensor([1.0, 1.0]))[0]
    tensor([3., 4.], dtype=float32)
    """
    line = Linearised(f, args, range(len(args)))
    return line.plain_value(), lambda cotangent: tuple(line.pull_back(cotangent))


def jvp(f: Function, args: Any, tangents: Any) -> tuple[Any, Any]:
    """f's value, and its derivative at `args` in the direction `tangents` (one for each argument).

    >>> import autograd_core as ag
    >>> value, change = ag.jvp(lambda x: x**2, (3.0,), (1.0,))
    >>> value.item(), change.item()
    (9.0, 6.0)
    """
    if not isinstance(args, tuple | list):
        args, tangents = (args,), (tangents,)
    push = Pushforward(Linearised(f, args, range(len(args))))
    return push.value, push(tangents)


def jacobian(f: Function, argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the derivatives of every element of f's value by every element of the arguments.

    For a value of shape S and an argument of shape A the result has the shape S + A; nested values and arguments
    give nested results, the value's containers outside. Columns or rows are computed, whichever are fewer.

    >>> import autograd_core as ag
    >>> ag.jacobian(lambda x: x**2)(ag.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]], dtype=float32)
    """

    check_callable(f, "jacobian")

    @wraps(f)
    def matrix(*args: Any, **params: Any) -> Any:
        positions = _positions(argnums, len(args), "jacobian")
        _check_floats(args, positions)
        line = Linearised(_bound(f, params), args, positions)
        outputs, inputs = line.outputs, line.input_leaves
        if sum_sizes(inputs) < sum_sizes(outputs):
            blocks = _columns(line)
        else:
            blocks = _rows(line)
        nested = iter(
            tree.tree_fill(line.inputs if np.ndim(argnums) != 0 else line.inputs[0], iter(row))
            for row in blocks
        )
        result = tree.tree_map(lambda _: next(nested), line.value)
        return result if np.ndim(argnums) == 0 else _tuples(result, line.value)

    return matrix


def _tuples(result: Any, value: Any) -> Any:
    return (
        tree.tree_map(lambda _, row: tuple(row), value, result)
        if not isinstance(value, Tensor)
        else tuple(result)
    )


def sum_sizes(tensors: Sequence[Any]) -> int:
    """The number of elements of all."""
    return sum(t.size for t in tensors)


def _unit(tensors: Sequence[Any], which: int, element: int) -> list[Tensor]:
    """Zeros like the tensors, with one element of one of them set to 1."""
    units = [np.zeros(t.shape, t.dtype) for t in tensors]
    units[which].reshape(-1)[element] = 1
    return [Tensor(u) for u in units]


def _rows(line: Linearised) -> list[list[Tensor]]:
    """One pullback for each output element: blocks[output][input]."""
    blocks = []
    for k, out in enumerate(line.outputs):
        rows = [
            list(tree.leaves(line.pull_back(_unit(line.outputs, k, element)))) for element in range(out.size)
        ]
        blocks.append(
            [
                _assemble([r[j] for r in rows], (*out.shape, *x.shape), x)
                for j, x in enumerate(line.input_leaves)
            ]
        )
    return blocks


def _columns(line: Linearised) -> list[list[Tensor]]:
    """One pushforward for each input element: blocks[output][input]."""
    push = Pushforward(line)
    inputs, outputs = line.input_leaves, line.outputs
    by_input = []
    for j, x in enumerate(inputs):
        columns = []
        for element in range(x.size):
            tangents = tree.tree_fill(push.inputs, iter(_unit(inputs, j, element)))
            columns.append(list(tree.leaves(push(tangents))))
        by_input.append(columns)
    return [
        [
            _assemble([c[k] for c in columns], (*out.shape, *x.shape), out, axis=-1)
            for columns, x in zip(by_input, inputs, strict=True)
        ]
        for k, out in enumerate(outputs)
    ]


def _assemble(parts: list[Any], shape: tuple[int, ...], like: Any, axis: int = 0) -> Any:
    return reshape(stack(parts, axis=axis), shape) if parts else Tensor(np.zeros(shape, like.dtype))


def hessian(f: Function, argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of a scalar f: shape A + A for an argument of shape A.

    >>> import autograd_core as ag
    >>> ag.hessian(lambda x: (x**3).sum())(ag.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]], dtype=float32)
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Function, args: Any, vectors: Any) -> Any:
    """The Hessian of a scalar f at `args` times `vectors`, without forming it; containers as in `args`.

    Integer arguments have no derivative: whatever stands in their place among the vectors, the result has None there.

    >>> import autograd_core as ag
    >>> ag.hvp(lambda x: (x**3).sum(), (ag.tensor([1.0, 2.0]),), (ag.tensor([1.0, 1.0]),))[0]
    tensor([ 6., 12.], dtype=float32)
    """
    if not isinstance(args, tuple | list):
        return hvp(f, (args,), (vectors,))[0]
    if len(args) != len(vectors):
        raise ValueError(f"hvp: {len(args)} arguments but {len(vectors)} vectors: give one for each")
    floats = tuple(i for i, arg in enumerate(args) if _moves(arg))
    gradient = grad(f, floats)

    def slope(*xs: Any) -> Any:
        chosen = tuple(vectors[i] for i in floats)
        products = tree.tree_map(lambda g, v: reduce.sum(g * tangent_of(g, v)), gradient(*xs), chosen)
        return sum(tree.leaves(products))

    products = dict(zip(floats, grad(slope, floats)(*args), strict=True))
    return type(args)(products.get(i) for i in range(len(args)))


def _moves(arg: Any) -> bool:
    """Whether an argument holds a float array."""
    return any(
        leaf is not None and not isinstance(leaf, str) and is_float(array_of(leaf).dtype)
        for leaf in tree.leaves(arg)
    )
