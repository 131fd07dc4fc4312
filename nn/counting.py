"""How many multiplications with addition an operation makes: products that are added up, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autograd_core.observer import Observer
from autograd_core.tape import Static, array_of, state


def multiply_adds(name: str, args: list[Any], out: Any, params: Static) -> int:
    """Of the primitive `name` on the arrays `args`, by the definition of the operation, however it is computed."""
    if name in ("matmul", "linear"):
        return out.size * args[0].shape[-1]
    if name in ("conv", "conv_bias"):
        return out.size * math.prod(args[1].shape[1:])
    if name == "conv_input_grad":  # a transposed convolution
        return args[0].size * math.prod(args[1].shape[1:])
    if name == "conv_weight_grad":
        return args[1].size * math.prod(out.shape[1:])
    if name == "vecdot":
        return math.prod(np.broadcast_shapes(args[0].shape, args[1].shape))
    if name == "einsum":
        return _of_einsum(params["subscripts"], args)
    return 0


def _of_einsum(subscripts: str, args: list[Any]) -> int:
    """Pair after pair, in NumPy's order: all indices of a pair, where one of them is summed over."""
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    sizes = {letter: n for term, a in zip(terms, args) for letter, n in zip(term, a.shape) if n != 1}
    path: Any = (
        np.einsum_path(subscripts, *args, optimize=True)[0][1:] if len(terms) > 2 else [range(len(terms))]
    )
    total = 0
    for places in path:
        chosen = [terms[i] for i in places]
        terms = [term for i, term in enumerate(terms) if i not in places]
        letters, needed = set("".join(chosen)), set("".join([*terms, output]))
        if len(chosen) > 1 and letters - needed:
            total += math.prod(sizes.get(letter, 1) for letter in letters)
        terms.append("".join(sorted(letters & needed)))
    return total


class Counter(Observer):
    """Adds up the multiply-adds of all operations, in rows that a caller pushes and pops."""

    as_it_stands = True

    def __init__(self) -> None:
        self.running: list[Any] = []  # rows, the innermost last

    def note(self, primitive: Any, args: Any, result: Any, began: float, ended: float) -> None:
        if self.running:
            arrays = [array_of(arg) for arg in args]
            self.running[-1].multiply_adds += multiply_adds(
                primitive.name, arrays, result.array, state.observer.params
            )
