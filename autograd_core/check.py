"""check_grads: derivative rules against finite differences, to any order."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd_core import tree
from autograd_core.dtypes import Array, is_float
from autograd_core.errors import describe
from autograd_core.primitive import Primitive
from autograd_core.tape import Node, recording
from autograd_core.tensor import Tensor, as_tensor
from autograd_core.transforms import jvp, vjp

Function = Callable[..., Any]

# Central differences lose half of the digits to rounding and the step: what is left, with a margin.
_STEP = {8: 1e-5, 4: 1e-2}
_TOLERANCE = {8: 1e-5, 4: 2e-2}


def check_grads(
    f: Function,
    args: Sequence[Any] | Any,
    order: int = 2,
    atol: float | None = None,
    rtol: float | None = None,
    seed: int = 0,
) -> None:
    """Compare f's derivatives, reverse and forward, up to `order`, with central differences at `args`.

    `args` is the tuple of f's arguments (float64 for sharp checks; integer arguments are held fixed). The comparison
    is along random directions; order 2 checks the derivative of the pullback itself, and so on. Raises
    AssertionError naming the operation, the order and both numbers; ValueError when there is nothing to check.

    >>> import autograd_core as ag
    >>> ag.check_grads(lambda x: (x.sin() * x).sum(), (ag.tensor([0.5, 2.0], dtype="float64"),))
    """
    arguments = list(args) if isinstance(args, tuple | list) else [args]
    tensors = [as_tensor(a).detach() if not isinstance(a, dict | list | tuple) else a for a in arguments]
    floats = [t for t in tree.leaves(tensors) if is_float(as_tensor(t).dtype)]
    if not floats or order < 1:
        raise ValueError(
            "check_grads: nothing to check: give at least one float argument, and an order of at least 1"
        )
    itemsize = min(as_tensor(t).dtype.itemsize for t in floats)
    checker = _Checker(
        _STEP[itemsize],
        _TOLERANCE[itemsize] if atol is None else atol,
        _TOLERANCE[itemsize] if rtol is None else rtol,
        np.random.default_rng(seed),
    )
    with recording(True):
        flat = [as_tensor(t).detach() for t in tree.leaves(tensors)]

        def flat_f(*leaves: Any) -> Any:
            return f(*tree.tree_fill(tensors, iter(leaves)))

        moving = [i for i, t in enumerate(flat) if is_float(t.dtype)]
        try:
            checker.check(_of_positions(flat_f, flat, moving), [flat[i] for i in moving], 1, order)
        except AssertionError as mismatch:
            name = getattr(f, "name", getattr(f, "__name__", "f"))
            culprit = _culprit(flat_f, flat, checker, order)
            raise AssertionError(f"check_grads: {culprit or name}: {mismatch}") from None


def _of_positions(f: Function, args: Sequence[Any], positions: Sequence[int]) -> Function:
    """f as a function of some of its arguments; the others keep their values."""

    def of_chosen(*chosen: Any) -> Any:
        placed = list(args)
        for position, value in zip(positions, chosen, strict=True):
            placed[position] = value
        return f(*placed)

    return of_chosen


class _Checker:
    """The step, the tolerances and the source of random directions of one check."""

    def __init__(self, step: float, atol: float, rtol: float, rng: np.random.Generator) -> None:
        self.step, self.atol, self.rtol, self.rng = step, atol, rtol, rng

    def check(self, f: Function, args: Sequence[Any], order: int, last: int) -> None:
        """Compare derivatives of this order, then those of the pullback as a function of its own."""
        directions = [Tensor(self.random(a)) for a in args]
        value, pull_back = vjp(f, *args)
        float_outputs = [v for v in tree.leaves(value) if isinstance(v, Tensor) and is_float(v.dtype)]
        if len(float_outputs) != len(list(tree.leaves(value))):
            raise ValueError("check_grads: the function must return float tensors")
        expected = self.numeric(f, args, directions)
        weights = tree.tree_map(lambda v: Tensor(self.random(v)), value)
        reverse = sum(_dot(c, d) for c, d in zip(pull_back(weights), directions, strict=True))
        self.compare(
            "reverse",
            order,
            sum(_dot(w, e) for w, e in zip(tree.leaves(weights), expected, strict=True)),
            reverse,
        )
        forward = tree.leaves(jvp(f, args, directions)[1])
        for want, got in zip(expected, forward, strict=True):
            self.compare("forward", order, want, got.array)
        if order < last:
            ws = list(tree.leaves(weights))

            def pullback(*values: Any) -> Any:
                _, pull = vjp(f, *values[: len(args)])
                return pull(tree.tree_fill(weights, iter(values[len(args) :])))

            self.check(pullback, [*args, *ws], order + 1, last)

    def random(self, like: Any) -> Array:
        """A random direction of the shape and dtype of `like`."""
        return np.asarray(self.rng.uniform(-1, 1, np.shape(like)), like.dtype)

    def numeric(self, f: Function, args: Sequence[Any], directions: Sequence[Any]) -> list[Array]:
        """The central difference of f at args along the directions, an array for each output."""
        with recording(False):
            ahead, behind = (
                [
                    np.asarray(v)
                    for v in tree.leaves(
                        f(*(Tensor(a.array + s * d.array) for a, d in zip(args, directions, strict=True)))
                    )
                ]
                for s in (self.step, -self.step)
            )
        return [(a - b) / (2 * self.step) for a, b in zip(ahead, behind, strict=True)]

    def compare(self, mode: str, order: int, expected: Any, got: Any) -> None:
        """AssertionError with both numbers where they differ by more than the tolerances."""
        if not np.allclose(got, expected, atol=self.atol, rtol=self.rtol, equal_nan=True):
            difference = np.abs(np.asarray(got) - np.asarray(expected))
            worst = np.unravel_index(int(np.argmax(difference)), difference.shape)
            raise AssertionError(
                f"order {order}, {mode} mode: the rule gives {np.asarray(got)[worst]:.8g}, finite differences "
                f"{np.asarray(expected)[worst]:.8g} (atol {self.atol:g}, rtol {self.rtol:g})"
            )


def _dot(a: Any, b: Any) -> float:
    return float(np.sum(np.asarray(a) * np.asarray(b)))


def _culprit(f: Function, args: Sequence[Any], checker: _Checker, order: int) -> str | None:
    """The first primitive on f's tape whose own rules fail at the arrays it met, with those arrays' description."""
    for primitive, inputs, params in _calls(f, args):
        moving = [i for i, a in enumerate(inputs) if isinstance(a, np.ndarray) and is_float(a.dtype)]
        if not moving or not primitive.rules:
            continue
        call = _of_positions(lambda *xs, p=primitive, k=params: p(*xs, **k), inputs, moving)
        try:
            checker.check(call, [Tensor(inputs[i]) for i in moving], 1, order)
        except AssertionError:
            shown = ", ".join(describe(a) for a in inputs)
            return f"{primitive.name}({shown})"
    return None


def _calls(f: Function, args: Sequence[Any]) -> list[tuple[Primitive, tuple[Any, ...], dict[str, Any]]]:
    """Each primitive on the tape of f(*args), with the arrays of its first call."""
    traced = [t.detach() for t in map(as_tensor, args)]
    for t in traced:
        if is_float(t.dtype):
            t.requires_grad = True
    pending: list[Node | None] = [v.node for v in tree.leaves(f(*traced)) if isinstance(v, Tensor)]
    seen: set[Node] = set()
    while pending:
        node = pending.pop()
        if node is not None and node not in seen:
            seen.add(node)
            pending.extend(node.inputs)
    primitives = {n.primitive: n for n in sorted(seen, key=lambda n: -n.index) if n.primitive is not None}
    calls: dict[Primitive, tuple[Primitive, tuple[Any, ...], dict[str, Any]]] = {}
    originals = {p: p.forward for p in primitives}

    def spy(primitive: Primitive) -> Function:
        def forward(*arrays: Any, **params: Any) -> Any:
            calls.setdefault(primitive, (primitive, arrays, params))
            return originals[primitive](*arrays, **params)

        return forward

    try:
        for primitive in primitives:
            primitive.forward = spy(primitive)
        f(*traced)
    finally:
        for primitive, original in originals.items():
            primitive.forward = original
    return list(calls.values())
