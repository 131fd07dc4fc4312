"""The picture of a computation: operations, shapes, parameters, one frame for each module.

`draw` reads the tape as it is, before or after `backward()`: nothing is run again. Stages, one file each:
program (the tape as arrays) → groups (modules) → collapse (repetitions) → model (what is shown) → dot → image. The
interactive page takes the repetitions and chooses what is shown in the browser: collapse → page_data → page.
"""

from collections.abc import Sequence
from typing import Any

from autograd_core.errors import describe
from autograd_core.graph import cells, focus, views
from autograd_core.graph import overlay as overlays
from autograd_core.graph.errors import DrawingError, GraphvizMissing, LayoutTimeout
from autograd_core.graph.image import DIRECTIONS, Graph
from autograd_core.graph.model import arrange, picture
from autograd_core.graph.names import Names
from autograd_core.graph.program import Program
from autograd_core.graph.views import VIEWS
from autograd_core.tape import Node
from autograd_core.tensor import Tensor

__all__ = ["DrawingError", "Graph", "GraphvizMissing", "LayoutTimeout", "draw"]


def draw(
    t: Tensor | Node | Sequence[Tensor] | Program,
    *,
    collapse: bool = True,
    depth: int | None = None,
    max_nodes: int = 400,
    direction: str = "TB",
    timeout: float = 30.0,
    view: str = "forward",
    overlay: str | None = None,
    between: tuple[Tensor, Tensor] | None = None,
    around: tuple[Tensor | Node, int] | None = None,
    bad: Node | None = None,
    says: str = "first bad value",
    values: bool = False,
    names: Names | None = None,
) -> Graph:
    """A picture of how a tensor, or several, were computed.

    `collapse` draws repeated siblings once ("blocks.0 … blocks.8 × 9"). Modules nested deeper than `depth` are
    drawn as one box each (None: as deep as `max_nodes` boxes allow). `direction` is "TB", "LR", "BT" or "RL". The
    layout of an image stops after `timeout` seconds. `.save("graph.html")` writes a page whose modules open and close;
    it always has everything, whatever `depth` and `max_nodes` are. Raises ValueError for a tensor without a graph.

    - `view`: "forward", "backward" (what gradients flow through), or "paired": both, with the arrays kept in between.
    - `overlay` colours by "time" (both passes), "backward time", "bytes", "saved", "parameters", "gradient", "update"
      (relative change of parameters since the forward pass) or "dead" (units that are 0, or saturated, for all
      samples); `ag.observe()` gives it what the tape alone does not keep. Parameters that got no gradient where others
      did are grey.
    - `between=(x, loss)` draws what lies between two tensors, `around=(t, hops)` what is near one.
    - `values` writes value and gradient into the boxes, as far as they are known.
    - `bad`: an operation to mark red, such as an autopsy finds; `says`: what is written there.
    - `names` of nodes and arrays: `ag.draw` gives those of the caller's variables.

    >>> import autograd_core as ag
    >>> x = ag.tensor([1.0, 2.0], requires_grad=True)
    >>> ag.draw((x * x).sum())
    <Graph: 2 operations, drawn as 3 boxes>
    """
    _check(direction, max_nodes, depth, view, between, around)
    tensors = [] if isinstance(t, Program) else [t] if isinstance(t, Tensor | Node) else t
    program = t if isinstance(t, Program) else _program(tensors, between, around, names)
    arranged = arrange(program, collapse)
    drawn = picture(arranged, depth, max_nodes)
    if view != "forward":
        drawn = views.backward(drawn) if view == "backward" else views.paired(drawn, program)
    if overlay is not None:
        overlays.lay(drawn, program, overlay)
    overlays.mark(drawn, program, bad, says)
    if values:
        roots = [each for each in tensors if isinstance(each, Tensor)]
        cells.write(drawn, program, cells.values_under(roots), roots)
    return Graph(drawn, direction, timeout, arranged, bad, overlay, says)


def _program(tensors: Any, between: Any, around: Any, names: Names | None) -> Program:
    """What is to be drawn of the tape."""
    if not isinstance(tensors, Sequence):
        raise TypeError(
            f"draw: takes a Tensor, a list of them, or a compiled function, not {type(tensors).__name__}"
        )
    roots = [_root(tensor) for tensor in tensors]
    if not roots:
        raise ValueError("draw: there is no tensor to draw in an empty list")
    only = None
    if between is not None:
        only = focus.between(_root(between[0]), _root(between[1]))
        roots = [_root(between[1])]
    if around is not None:
        near = focus.around(_root(around[0]), around[1], roots)
        only = near if only is None else only & near
    return Program(roots, only, names)


def _check(direction: Any, max_nodes: Any, depth: Any, view: Any, between: Any, around: Any) -> None:
    if direction not in DIRECTIONS:
        raise ValueError(f"draw: direction is one of {', '.join(DIRECTIONS)}, not {direction!r}")
    if view not in VIEWS:
        raise ValueError(f"draw: view is one of {', '.join(VIEWS)}, not {view!r}")
    if not isinstance(max_nodes, int) or max_nodes < 20:
        raise ValueError(f"draw: max_nodes is a whole number of at least 20, not {max_nodes!r}")
    if depth is not None and (not isinstance(depth, int) or depth < 0):
        raise ValueError(f"draw: depth counts levels of modules from 0, it cannot be {depth!r}")
    if between is not None and not (isinstance(between, tuple | list) and len(between) == 2):
        raise TypeError(f"draw: between is a pair of tensors, (x, loss), not {between!r}")
    if around is not None and not (
        isinstance(around, tuple | list)
        and len(around) == 2
        and isinstance(around[1], int)
        and around[1] >= 1
    ):
        raise TypeError(f"draw: around is a tensor and a number of edges from 1, (t, 3), not {around!r}")


def _root(tensor: Tensor | Node) -> Node:
    if isinstance(tensor, Node):
        return tensor
    if not isinstance(tensor, Tensor):
        raise TypeError(f"draw: takes a Tensor or a list of them, not {type(tensor).__name__}")
    if tensor.node is None:
        raise ValueError(
            f"draw: this {describe(tensor.array)} has no graph: no input required a gradient, or it was computed "
            "under no_grad. Make an input with requires_grad=True (parameters have it)"
        )
    return tensor.node
