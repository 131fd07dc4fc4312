"""Derivative rules as text: what stands in their source, in a learner's signs."""

from __future__ import annotations

import ast
import inspect
import linecache
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

LONGEST = 60

# What the engine writes with functions of its own, because it is faster or can be differentiated again.
MEANING = {
    "_product": "{0} * {1}",
    "square": "{0}**2",
    "gate": "{0} where {1} > 0, else 0",
    "tanh_grad": "{0} * (1 - {1}**2)",
    "sigmoid_grad": "{0} * {1} * (1 - {1})",
    "zero_rule": "0",
    "spread": "{0}, repeated",
    "count": "n",
    "_power_base_rule": "g * y * x**(y - 1)",
    "_larger_share": "{0} where {1} is larger than {2}, half of it where equal",
}
PRIVATE = re.compile(r"\b_[a-z]")  # a helper that says nothing to those who do not know it
SIGNS = (("**2", "²"), ("**3", "³"), (" * ", " · "), ("shapes[0]", "shape of x"))


def rule_text(function: Callable[..., Any]) -> str:
    """What a rule of one expression computes, its cotangent called as in its source; "" where that cannot be had.

    >>> from autograd_core.ops.elementwise import divide, sin, tanh
    >>> [rule_text(rule.function) for rule in (sin.rule(0), divide.rule(0), tanh.rule(0))]
    ['g · cos(x)', 'g / y', 'g · (1 - out²)']
    """
    try:
        found = _expression(function)
    except (
        AttributeError,
        OSError,
        TypeError,
        SyntaxError,
        ValueError,
    ):  # a console, a frozen program: there is no source
        return ""
    name = getattr(function, "__name__", "")
    text = (
        MEANING.get(name, "").format("g", "x", "y") if found is None else ast.unparse(_Plain().visit(found))
    )
    for python, sign in SIGNS:
        text = text.replace(python, sign)
    return "" if len(text) > LONGEST or PRIVATE.search(text) else text


def _expression(function: Callable[..., Any]) -> ast.expr | None:
    """The body of a lambda, from the file that it stands in."""
    code = function.__code__
    if code.co_name != "<lambda>" or code.co_freevars:  # what it calls is not to be seen here
        return None
    tree = _parsed(inspect.getsourcefile(function) or "")
    names = [*code.co_varnames[: code.co_argcount]]
    # several lambdas stand in one line: columns tell them apart
    places = {(line, column) for line, _, column, _ in code.co_positions() if line and column}
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno:
            body = node.body
            here = (body.lineno, body.col_offset) in places
            if here and [argument.arg for argument in node.args.args] == names:
                return ast.parse(ast.unparse(body), mode="eval").body  # a copy: it is going to be changed
    return None


@lru_cache(maxsize=64)
def _parsed(name: str) -> ast.Module:
    return ast.parse("".join(linecache.getlines(name)))


class _Plain(ast.NodeTransformer):
    """Calls of the engine's helpers, written out."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        meaning = MEANING.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if meaning is None or node.keywords:
            return node
        parts = [ast.unparse(argument) for argument in node.args]
        parts = [p if isinstance(a, ast.Name | ast.Call) else f"({p})" for p, a in zip(parts, node.args)]
        return ast.Name(meaning.format(*parts))  # text in the place of a name: it is only unparsed
