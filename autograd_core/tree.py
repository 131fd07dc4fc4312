"""Nested dicts, lists and tuples of arrays, as arguments and results of transforms."""

from collections.abc import Callable, Iterator
from typing import Any


def leaves(tree: Any) -> Iterator[Any]:
    """What stands in the containers, depth first, dict entries in their own order."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from leaves(value)
    else:
        yield tree


def tree_map(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The same containers with f applied to each leaf (and to the leaves at its place in other, equal trees).

    Raises ValueError where the containers differ.
    """
    if isinstance(tree, dict):
        for other in others:
            if not isinstance(other, dict) or other.keys() != tree.keys():
                raise ValueError(
                    f"nested structures differ: {{{', '.join(map(repr, tree))}}} against {_outline(other)}"
                )
        return type(tree)((key, tree_map(f, value, *(o[key] for o in others))) for key, value in tree.items())
    if isinstance(tree, list | tuple):
        for other in others:
            if not isinstance(other, list | tuple) or len(other) != len(tree):
                raise ValueError(f"nested structures differ: {len(tree)} entries against {_outline(other)}")
        mapped = [tree_map(f, *values) for values in zip(tree, *others, strict=True)]
        return type(tree)(*mapped) if hasattr(tree, "_fields") else type(tree)(mapped)
    return f(tree, *others)


def tree_fill(tree: Any, values: Iterator[Any]) -> Any:
    """The same containers with the leaves taken from `values`, in order."""
    return tree_map(lambda _: next(values), tree)


def _outline(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"{{{', '.join(map(repr, tree))}}}"
    return f"{len(tree)} entries" if isinstance(tree, list | tuple) else type(tree).__name__
