"""How an operation is defined: one decorator holds its derivative rules, the function below it is its forward.

Every primitive of the engine stands in `registry`; the tests, the picture and the compiler read it from there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd_core.primitive import Primitive

registry: dict[str, Primitive] = {}

Rule = Callable[..., Any] | None


def operation(
    *rules: Rule,
    kind: str = "kernel",
    joint: Callable[[Sequence[int]], Callable[..., Any]] | None = None,
    title: str | None = None,
) -> Callable[[Callable[..., Any]], Primitive]:
    """Register a forward function on ndarrays as a primitive, with one derivative rule for each array input.

    `kind` says how the operation lowers: "elementwise" (a scalar expression, with broadcasting), "view" (an index
    map), "reduction", or "kernel". `joint`, where several cotangents come from one computation: given the positions
    of the inputs that need one, it returns a rule for all, which returns a list of cotangents, by position. It serves
    when more than one is needed. `title` is the name in messages and pictures, where users know it by another.
    """

    def define(forward: Callable[..., Any]) -> Primitive:
        primitive = Primitive(forward, kind=kind)
        known = registry.get(primitive.name)
        if known is not None and known.__module__ != primitive.__module__:
            raise ValueError(f"operation {primitive.name} is defined twice")
        registry[primitive.name] = primitive
        primitive.joint = joint
        primitive.title = title or primitive.name
        return primitive.defvjp(*rules) if rules else primitive

    return define


def elementwise(*rules: Rule) -> Callable[[Callable[..., Any]], Primitive]:
    """A primitive that works on each element, after broadcasting. The sweep undoes the broadcasting."""
    return operation(*rules, kind="elementwise")


def constant_pieces(arity: int) -> Callable[[Callable[..., Any]], Primitive]:
    """An elementwise primitive whose graph is made of flat steps: its derivative is zero wherever it exists."""

    def define(forward: Callable[..., Any]) -> Primitive:
        primitive = operation(*[zero_rule] * arity, kind="elementwise")(forward)
        primitive.piecewise_constant = True
        return primitive

    return define


def zero_rule(g: Any) -> Any:
    """The derivative of a piecewise constant function."""
    return np.zeros(g.shape, g.dtype)
