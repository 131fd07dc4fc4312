"""The picture of a computation: operations, shapes, parameters, one frame for each module.

`draw` reads the tape as it is, before or after `backward()`: nothing is run again. Stages, one file each:
program (the tape as arrays) → groups (modules) → collapse (repetitions) → model (what is shown) → dot → image.
"""

from collections.abc import Sequence

from autograd_core.errors import describe
from autograd_core.graph import cells
from autograd_core.graph.errors import DrawingError, GraphvizMissing, LayoutTimeout
from autograd_core.graph.image import DIRECTIONS, Graph
from autograd_core.graph.model import picture
from autograd_core.graph.program import Program
from autograd_core.tape import Node
from autograd_core.tensor import Tensor

__all__ = ["DrawingError", "Graph", "GraphvizMissing", "LayoutTimeout", "draw"]


def draw(
    t: Tensor | Sequence[Tensor],
    *,
    collapse: bool = True,
    depth: int | None = None,
    max_nodes: int = 400,
    direction: str = "TB",
    timeout: float = 30.0,
    values: bool = False,
) -> Graph:
    """A picture of how a tensor, or several, were computed.

    `collapse` draws repeated siblings once ("blocks.0 … blocks.8 × 9"). Modules nested deeper than `depth` are
    drawn as one box each (None: as deep as `max_nodes` boxes allow). `direction` is "TB", "LR", "BT" or "RL". The
    layout of an image stops after `timeout` seconds. `values` writes value and gradient into the boxes, as far as they
    are known. Raises ValueError for a tensor without a graph.

    >>> import autograd_core as ag
    >>> x = ag.tensor([1.0, 2.0], requires_grad=True)
    >>> ag.draw((x * x).sum())
    <Graph: 2 operations, drawn as 3 boxes>
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"draw: direction is one of {', '.join(DIRECTIONS)}, not {direction!r}")
    if max_nodes < 20:
        raise ValueError(f"draw: max_nodes is at least 20, not {max_nodes}")
    if depth is not None and depth < 0:
        raise ValueError(f"draw: depth counts levels of modules from 0, it cannot be {depth}")
    tensors = [t] if isinstance(t, Tensor) else t
    roots = [_root(tensor) for tensor in tensors]
    if not roots:
        raise ValueError("draw: there is no tensor to draw in an empty list")
    program = Program(roots)
    made = picture(program, collapse, depth, max_nodes)
    if values:
        cells.write(made, program, cells.values_under(tensors))
    return Graph(made, direction, timeout)


def _root(tensor: Tensor) -> Node:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"draw: takes a Tensor or a list of them, not {type(tensor).__name__}")
    if tensor.node is None:
        raise ValueError(
            f"draw: this {describe(tensor.array)} has no graph: no input required a gradient, or it was computed "
            "under no_grad. Make an input with requires_grad=True (parameters have it)"
        )
    return tensor.node
