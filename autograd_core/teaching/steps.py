"""The reverse sweep, one node at a time, each step with its numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import numpy as np

from autograd_core import sweep
from autograd_core.dtypes import Array, as_array
from autograd_core.graph.cells import number, spread, values_under
from autograd_core.graph.labels import array_type
from autograd_core.graph.names import Names
from autograd_core.lines import shown_line
from autograd_core.observer import seen_of
from autograd_core.tape import Leaf, Node, Value, array_of, capturing, observer, recording
from autograd_core.teaching.rules import rule_text
from autograd_core.tensor import Tensor, add_gradients
from autograd_core.wording import clean

FEW = 16  # elements that a step's text shows as numbers
WIDTH = 100


@dataclass(eq=False, slots=True)
class BackwardStep:
    """One node of the reverse sweep: the cotangent that arrives there, and what its inputs get of it.

    `shares` and `totals` are pairs of an input's name and an array: what this step sends on, and what has come together
    at that input so far. `rules` are the derivative rules' own expressions, "" where a rule is more than one.
    """

    number: int
    of: int
    operation: str
    module_path: str
    line: str
    value: Array | None
    cotangent: Array
    shares: list[tuple[str, Array]]
    totals: list[tuple[str, Array]]
    rules: list[str]
    node: Node = field(repr=False)
    parents: list[Node] = field(repr=False)

    @property
    def rule(self) -> str:
        """The derivative rules as one text: `x: g · y, y: g · x`."""
        return ", ".join(f"{name}: {rule}" for (name, _), rule in zip(self.shares, self.rules) if rule)

    @property
    def place(self) -> str:
        """Module and source line, as far as they are known."""
        return ", ".join(text for text in (self.module_path, self.line) if text)

    def sentences(self, origins: Sequence[str] = ()) -> list[str]:
        """What each input gets, and by which rule; `origins` say where the inputs come from."""
        said = []
        for i, (name, share) in enumerate(self.shares):
            total, rule = self.totals[i][1], self.rules[i]
            if i < len(origins) and origins[i]:
                name = f"{name} ({origins[i]})"
            text = f"{name} gets {rule} = {shown(share)}" if rule else f"{name} gets {shown(share)}"
            if total.tobytes() != share.tobytes():
                text += f" ({shown(total)} together with what came before)"
            said.append(text)
        return said

    def __str__(self) -> str:
        head = f"step {self.number} of {self.of}: {self.operation}"
        if self.place:
            head += f" ({self.place})"
        arriving, said = f"g = {shown(self.cotangent)}", self.sentences() or ["nobody gets a share"]
        line = f"{head}   {arriving} → {', '.join(said)}"
        return (
            line if len(line) <= WIDTH else "\n    ".join([head, arriving, *(f"→ {text}" for text in said)])
        )


def shown(array: Array) -> str:
    """Numbers of up to sixteen elements, else type, shape and range.

    >>> shown(np.float32([[1, 0.1], [0, 2]]))
    '[[1, 0.1], [0, 2]]'
    >>> shown(np.arange(20.0))
    'float64[20] from 0 to 19'
    """
    if array.size > FEW or not array.size:
        return f"{array_type(array.dtype, array.shape)} {spread(array)}"
    return _nested(array.tolist())


def _nested(values: Any) -> str:
    return f"[{', '.join(map(_nested, values))}]" if isinstance(values, list) else number(values)


class BackwardSteps(Iterator[BackwardStep]):
    """The reverse sweep as an iterator of `BackwardStep`s; `loss.backward_steps()` makes one.

    Leaves get their gradients, and the graph is freed, with the last step: who stops before it has changed nothing.
    Every array of every step is kept for as long as this object lives.
    """

    def __init__(
        self,
        root: Tensor,
        cotangent: Any = None,
        retain_graph: bool = False,
        names: Names | None = None,
    ) -> None:
        if capturing() is not None:
            raise RuntimeError(
                "backward_steps: a compiled function has no numbers to show while it is captured: call it uncompiled"
            )
        self.root = root
        if cotangent is not None and not isinstance(cotangent, Value):
            cotangent = as_array(cotangent, copy=True)
        self.start, self.cotangent = sweep.start(root, cotangent)
        if self.start.primitive is not None and self.start.saved is None:
            raise RuntimeError(sweep.FREED)
        self.retain_graph = retain_graph
        self.names = names  # of the caller's variables, for the page
        self.known = values_under([root])
        self.of = sum(node.primitive is not None for node in self.known.nodes)
        self.record: list[BackwardStep] = []
        self.finished = False
        self._performing = self._perform()

    def __len__(self) -> int:
        return self.of

    def __iter__(self) -> BackwardSteps:
        return self

    def __next__(self) -> BackwardStep:
        return next(self._performing)

    def __repr__(self) -> str:
        return f"<BackwardSteps: {len(self.record)} of {self.of} done>"

    def save(self, path: str | os.PathLike[str], max_operations: int = 60) -> Path:
        """Write the whole sweep as a page to step through, which needs no network; returns the path.

        May be called before, while and after iterating: no gradient changes. Without Graphviz's program `dot` the
        picture is a simpler one. Raises ValueError for another suffix than .html, and for more
        than `max_operations` operations.

        >>> import autograd_core as ag, tempfile
        >>> x = ag.tensor(3.0, requires_grad=True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (x * x).backward_steps().save(f"{folder}/backward.html").name
        'backward.html'
        """
        from autograd_core.teaching.page import page

        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"backward_steps: save writes a page, so {path.name!r} should end in .html")
        if self.of > max_operations:
            raise ValueError(
                f"backward_steps: {self.of} operations are too many to step through on a page, {max_operations} is the "
                "limit: take a smaller model or fewer layers, save(..., max_operations=...), or ag.draw for a picture"
            )
        path.write_bytes(page(self, self.steps()).encode())
        return path

    def steps(self) -> list[BackwardStep]:
        """All steps: the record of those performed, else computed without changing anything."""
        return self.record if self.finished else [s for s, _ in self._walk({}, sweep.pull_back)]

    def _perform(self) -> Iterator[BackwardStep]:
        found: dict[Node, Any] = {}
        looking = observer()
        for step, last in self._walk(found, sweep.pull_back if looking is None else looking.derivative):
            self.record.append(step)
            if last:
                self._finish(found)
            yield step
        if not self.finished:  # the tensor is a leaf itself
            self._finish({self.start: self.cotangent})

    def _finish(self, found: dict[Node, Any]) -> None:
        self.finished = True
        leaves = sorted((node for node in found if isinstance(node, Leaf)), key=lambda leaf: -leaf.index)
        if not self.retain_graph:
            for step in self.record:
                step.node.saved = None
        add_gradients({leaf: found[leaf] for leaf in leaves})

    def _walk(
        self, gathered: dict[Node, Any], shares_of: Callable[..., Any]
    ) -> Iterator[tuple[BackwardStep, bool]]:
        """The loop of `sweep.sweep`, cut after each node: the same sums in the same order, so the same bits.

        `gathered` is what has come together at each node that waits; in the end only leaves are left there. Yields
        each step, and whether it was the last.
        """
        gathered[self.start] = self.cotangent
        own: set[Node] = set()
        heap = [-self.start.index] if self.start.primitive is not None else []
        nodes = {-self.start.index: self.start}
        done = 0
        while heap:
            node = nodes.pop(heappop(heap))
            g = gathered.pop(node)
            with recording(False):
                shares = shares_of(node, g, 0, False)
            totals: list[Array] = []
            for parent, share in shares:
                if parent not in gathered:
                    gathered[parent] = share
                    if parent.primitive is not None:
                        heappush(heap, -parent.index)
                        nodes[-parent.index] = parent
                elif parent in own:
                    gathered[parent] += share
                else:
                    gathered[parent] = total = gathered[parent] + share
                    if type(total) is np.ndarray:
                        own.add(parent)
                totals.append(np.array(gathered[parent]))  # a copy: later shares are added in place
            done += 1
            yield self._step(done, node, g, shares, totals), not heap

    def _step(
        self, done: int, node: Node, g: Any, shares: list[tuple[Node, Any]], totals: list[Array]
    ) -> BackwardStep:
        primitive, plan, seen = node.primitive, node.plan, seen_of(node)
        assert primitive is not None
        assert plan is not None
        positions = _positions(node, [parent for parent, _ in shares])
        names = [clean(primitive.names(len(node.inputs))[position]) for position in positions]
        joint = plan.joint is not None
        return BackwardStep(
            number=done,
            of=self.of,
            operation=clean(primitive.name),
            module_path=clean(node.module_path),
            line=clean(shown_line(seen.line), 160) if seen is not None and seen.line[1] else "",
            value=self.known.values.get(node),
            cotangent=np.array(g),
            shares=[(name, np.array(array_of(share))) for name, (_, share) in zip(names, shares)],
            totals=list(zip(names, totals)),
            rules=[
                "" if joint else _summed(rule_text(primitive.rule(p).function), node, parent)
                for p, (parent, _) in zip(positions, shares)
            ],
            node=node,
            parents=[parent for parent, _ in shares],
        )


def _summed(rule: str, node: Node, parent: Node) -> str:
    """The rule with the sum over the axes along which an input was broadcast."""
    if not rule or node.primitive is None or not node.primitive.broadcasts or node.shape == parent.shape:
        return rule
    extra = len(node.shape) - len(parent.shape)
    stretched = (extra + i for i, n in enumerate(parent.shape) if n != node.shape[extra + i])
    axes = [*range(extra), *stretched]
    over = (
        ""
        if len(axes) == len(node.shape)
        else f" over {'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"
    )
    return f"Σ {rule}{over}" if re.fullmatch(r"[\w·² ]+", rule) else f"Σ ({rule}){over}"


def _positions(node: Node, parents: list[Node]) -> list[int]:
    """Which inputs the shares are for: a rule may have answered None, and then there is none for its input."""
    assert node.plan is not None
    found: list[int] = []
    for position, _ in node.plan.steps:
        if len(found) < len(parents) and node.inputs[position] is parents[len(found)]:
            found.append(position)
    return found
