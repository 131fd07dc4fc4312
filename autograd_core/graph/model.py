"""A picture as data: clusters inside clusters, boxes, edges, and the choice of how much of a graph is shown.

A picture never has more than `max_nodes` boxes. When collapsing repetitions does not suffice, long sequences lose
their middle and deep modules are drawn as one box each, as little as possible of both.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from autograd_core.dtypes import Array
from autograd_core.graph import labels
from autograd_core.graph.collapse import collapse, representatives
from autograd_core.graph.groups import MAX_DEPTH, Group, Item, build, start_of
from autograd_core.graph.program import STATE, Program, Source
from autograd_core.wording import clean

EDGES_PER_BOX = 2  # Graphviz takes minutes on denser graphs of a few hundred boxes, and nobody can read them
# An edge costs the layout a node in every row that it passes. 200 boxes in a chain with edges at random between them
# (a sum of 15,000) took 20 s, or 1 s with the limit on iterations that dot.py sets.
SUM_OF_LENGTHS = 10_000
SOURCES_OF_ONE_BOX = 8  # more parameters or inputs than this at one operation are drawn as one box


@dataclass(slots=True)
class Box:
    """One box. `kind`: operation, parameter, buffer, input, data, module (its inside not drawn) or omitted.

    `operations` and `sources` are what it stands for, as places in the program: of merged repetitions all.
    """

    id: int
    kind: str
    title: str
    lines: list[str] = field(default_factory=list)
    tooltip: str = ""
    output: bool = False
    operations: list[int] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    fill: str = ""  # a colour that stands for a number, from overlay.py
    mark: str = ""  # "bad" or "no gradient"
    backward: bool = False  # of the backward pass, in views that have it
    repeats: int = 1  # merged repetitions, or arrays, that it stands for


@dataclass(slots=True)
class Cluster:
    """A frame around what one module, or one repetition of a pattern, did."""

    id: int
    title: str
    subtitle: str
    count: int
    depth: int
    parent: "Cluster | None"
    group: Group
    members: "list[Box | Cluster]" = field(default_factory=list)


@dataclass(slots=True)
class Edge:
    """A value on its way from box to box.

    `handed_on`: from one repetition to the next. `spine`: an operation's first input, along which the eye should
    go straight on. `gradient`: drawn against its direction, beside the forward pass. `turn`: where
    the backward pass begins.
    """

    source: int
    target: int
    handed_on: bool = False
    spine: bool = False
    gradient: bool = False
    turn: bool = False


@dataclass(slots=True)
class Picture:
    """Everything that is drawn; boxes and clusters are numbered from 0 in the order of the program."""

    root: Cluster
    boxes: list[Box]
    clusters: list[Cluster]
    edges: list[Edge]
    caption: str


class Merged:
    """A source, or the twin sources of a repetition (each repetition's own weight) drawn as one."""

    __slots__ = ("first", "last", "sources", "uses")

    def __init__(self, sources: list[Source], uses: list[tuple[int, int]]) -> None:
        self.sources = sources
        self.uses = uses
        # A source shared by several repetitions belongs outside of them: where its uses really are.
        places = [i for i, _ in (sources[0].uses if len(sources) == 1 else uses)]
        self.first = min(places, default=-1)
        self.last = max(places, default=-1)

    @property
    def given(self) -> bool:
        """Whether this is what the program was called with, which comes from outside of its modules."""
        source = self.sources[0]
        return len(self.sources) == 1 and (
            source.kind == "input" or (source.kind == "data" and self.first == 0)
        )


@dataclass(slots=True)
class Arranged:
    """A program with its modules and repetitions found: what both the picture and the page are made from."""

    program: Program
    groups: list[Group]  # modules, the root first
    repeats: list[Group]
    shown: Array  # for every operation the one shown in its place
    merged: list[Merged]
    place_of: dict[int, int]  # id(source) → its index in program.sources

    @property
    def root(self) -> Group:
        return self.groups[0]

    def caption(self) -> str:
        """How much there is, in words."""
        parameters = [s for s in self.program.sources if s.kind == "parameter"]
        caption = labels.count_of(len(self.program.operations), "operation")
        if parameters:
            values = sum(math.prod(s.shape) for s in parameters)
            caption += (
                f" · {labels.count_of(len(parameters), 'parameter')} ({labels.count_of(values, 'value')})"
            )
        return f"{caption} · {self.program.remark}" if self.program.remark else caption


def arrange(program: Program, collapse_repeats: bool) -> Arranged:
    """Find modules, repetitions and the sources that these share."""
    groups = build(program)
    repeats = collapse(program, groups) if collapse_repeats else []
    shown = representatives(program, repeats)
    places = {id(source): k for k, source in enumerate(program.sources)}
    return Arranged(program, groups, repeats, shown, _merge(program, shown), places)


def picture(arranged: Arranged, depth: int | None, max_nodes: int) -> Picture:
    """Choose what to draw: everything if it fits, else the most detailed plan that does."""
    deepest = MAX_DEPTH * 2 if depth is None else depth
    plan = _Plan(arranged, deepest, max_nodes, max_nodes, True)
    if plan.fits:
        return plan.picture()
    if depth is None:
        deepest = min(deepest, _depth([*arranged.groups, *arranged.repeats]))
    limit = max(max_nodes // 4, 4)
    while limit > 4:
        for levels in range(deepest, min(deepest, 1) - 1, -1):
            plan = _Plan(arranged, levels, limit, max_nodes, False)
            if plan.fits:
                return plan.picture()
        limit //= 2
    return _Plan(arranged, min(deepest, 1), 4, math.inf, False).picture()


def _merge(program: Program, shown: Array) -> list[Merged]:
    found: dict[object, Merged] = {}
    for source in program.sources:
        uses = sorted({(int(shown[i]), place) for i, place in source.uses})
        key = (source.kind, source.shape, source.dtype, *uses) if uses else id(source)
        if key in found:
            found[key].sources.append(source)
        else:
            found[key] = Merged([source], uses)
    return [Merged(m.sources, m.uses) for m in found.values()]


def _depth(groups: list[Group]) -> int:
    deepest = 0
    level: dict[int, int] = {}
    for group in groups:
        chain: list[Group] = []
        above: Group | None = group
        while above is not None and id(above) not in level:
            chain.append(above)
            above = above.parent
        base = level[id(above)] if above is not None else -1
        for below in reversed(chain):
            base += 1
            level[id(below)] = base
        deepest = max(deepest, base)
    return deepest


class _Plan:
    """One way to draw a program: modules deeper than `depth` as one box, sequences of at most `limit` items."""

    def __init__(
        self,
        arranged: Arranged,
        depth: int,
        limit: int,
        max_nodes: float,
        data_boxes: bool,
    ) -> None:
        self.arranged = arranged
        self.program = arranged.program
        self.shown = arranged.shown
        self.depth = depth
        self.limit = limit
        self.data_boxes = data_boxes
        self.max_nodes = max_nodes
        self.boxes: list[Box] = []
        self.clusters: list[Cluster] = []
        self.home: list[Cluster] = []  # the cluster of each box
        self.box_of = np.full(len(self.program.operations), -1)
        self.spans: dict[int, tuple[int, int, Group | None]] = {}  # boxes that stand for several operations
        self.operation_of: dict[int, tuple[int, Group]] = {}
        self.with_parameters = {
            i for source in self.program.sources if source.kind in STATE for i, _ in source.uses
        }
        self.root = Cluster(0, "", "", 1, 0, None, arranged.root)
        self.fits = self._walk() and self._sources(arranged.merged) and self._edges()

    # Operations and modules ------------------------------------------------------------------------------------------

    def _walk(self) -> bool:
        todo: list[tuple[Cluster, Iterator[Item | tuple[int, int]]]] = [
            (self.root, self._items(self.root.group))
        ]
        while todo:
            cluster, items = todo[-1]
            item = next(items, None)
            if item is None:
                todo.pop()
            elif isinstance(item, int):
                box = self._box("operation", cluster)
                self.box_of[item] = box.id
                self.operation_of[box.id] = (item, cluster.group)
            elif isinstance(item, tuple):
                self._span("omitted", cluster, *item, None)
            elif cluster.depth >= self.depth:
                self._span("module", cluster, item.start, item.stop, item)
            elif self._is_plain(item):
                box = self._box("operation", cluster)
                self.box_of[item.start] = box.id
                self.operation_of[box.id] = (item.start, item)
            else:
                inner = self._cluster(item, cluster)
                todo.append((inner, self._items(inner.group)))
            if len(self.boxes) > self.max_nodes:
                return False
        return True

    def _is_plain(self, group: Group) -> bool:
        """Whether a module is one operation without parameters, such as ReLU: its box needs no frame around it."""
        alone = group.parent is not None and group.count == 1 and group.items == [group.start]
        return alone and group.start not in self.with_parameters

    def _items(self, group: Group) -> Iterator[Item | tuple[int, int]]:
        """The items; of a long sequence the two ends, and between them (start, stop) of what is left out."""
        items = group.items
        if len(items) <= self.limit:
            yield from items
            return
        end = self.limit // 2
        yield from items[:end]
        yield start_of(items[end]), start_of(items[-end])
        yield from items[-end:]

    def _cluster(self, group: Group, parent: Cluster) -> Cluster:
        title, subtitle = labels.group_title(group, self.program)
        count = group.count
        if count > 1 and len(group.items) == 1 and isinstance(group.items[0], Group):
            group = group.items[0]  # "blocks.0 … blocks.8 × 9" is one frame, not a frame in a frame
        cluster = Cluster(len(self.clusters), title, subtitle, count, parent.depth + 1, parent, group)
        self.clusters.append(cluster)
        parent.members.append(cluster)
        return cluster

    def _box(self, kind: str, cluster: Cluster) -> Box:
        box = Box(len(self.boxes), kind, "")
        self.boxes.append(box)
        self.home.append(cluster)
        cluster.members.append(box)
        return box

    def _span(self, kind: str, cluster: Cluster, start: int, stop: int, group: Group | None) -> None:
        box = self._box(kind, cluster)
        self.box_of[start:stop] = box.id
        self.spans[box.id] = (start, stop, group)

    # Parameters, inputs, data ----------------------------------------------------------------------------------------

    def _sources(self, merged: list[Merged]) -> bool:
        """Group the sources by the boxes that read them; what only one undrawn module reads is not drawn."""
        self.arrows: list[tuple[int, int]] = []
        self.inside: dict[int, list[Merged]] = {}
        together: dict[tuple[str, tuple[int, ...]], list[Merged]] = {}
        for m in merged:
            kind = m.sources[0].kind
            if kind == "data" and not self.data_boxes:
                continue
            readers = tuple(dict.fromkeys(int(self.box_of[i]) for i, _ in m.uses))
            if len(readers) == 1 and readers[0] in self.spans and not m.given:
                self.inside.setdefault(readers[0], []).append(m)
            else:
                together.setdefault((kind, readers), []).append(m)
        self.source_boxes: dict[int, list[Merged]] = {}
        for (_, readers), several in together.items():
            for some in [several] if len(several) > SOURCES_OF_ONE_BOX else [[m] for m in several]:
                self._source_box(some, readers)
            if len(self.boxes) > self.max_nodes:
                return False
        return True

    def _source_box(self, some: list[Merged], readers: tuple[int, ...]) -> None:
        cluster = self.home[readers[0]] if readers else self.root
        if some[0].given:
            cluster = self.root
        first, last = min(m.first for m in some), max(m.last for m in some)
        while cluster.parent is not None and not holds(cluster.group, first, last):
            cluster = cluster.parent
        box = self._box(some[0].sources[0].kind, cluster)
        self.source_boxes[box.id] = some
        self.arrows += [(box.id, reader) for reader in readers]

    # Edges -----------------------------------------------------------------------------------------------------------

    def _edges(self) -> bool:
        """Every value between two boxes once."""
        program, n = self.program, len(self.boxes)
        recorded = program.slot_source >= 0
        source = self.shown[program.slot_source[recorded]]
        target = self.shown[program.slot_target[recorded]]
        back = source >= target  # time runs forward: this one goes from a repetition to a later one
        a, b = self.box_of[source], self.box_of[target]
        spans = np.zeros(n + 1, bool)
        spans[list(self.spans)] = True
        keep = (a != b) | (back & ~spans[a])
        codes = np.unique(((b[keep] * n) + a[keep]) * 2 + back[keep])
        self.edges = [Edge(a, b) for a, b in self.arrows]
        lengths = 0
        spines = self._spines()
        for code in codes.tolist():
            pair, handed_on = divmod(code, 2)
            b, a = divmod(pair, n)
            spine = not handed_on and spines.get(b, a) == a
            self.edges.append(Edge(a, b, bool(handed_on), spine))
            lengths += abs(b - a)
        return len(self.edges) <= EDGES_PER_BOX * n + 60 and lengths <= SUM_OF_LENGTHS

    def _spines(self) -> dict[int, int]:
        """For a drawn operation the box that its first recorded input comes from: bias and scale come second."""
        program, found = self.program, {}
        for box, (i, _) in self.operation_of.items():
            sources = program.slot_source[program.first_slot[i] : program.first_slot[i + 1]]
            first = sources[sources >= 0][:1]
            if len(first):
                found[box] = int(self.box_of[self.shown[first[0]]])
        return found

    # Text ------------------------------------------------------------------------------------------------------------

    def picture(self) -> Picture:
        """The plan with everything written into its boxes."""
        program = self.program
        for i in program.outputs:
            self.boxes[int(self.box_of[self.shown[i]])].output = True
        drawn = self.box_of[self.shown]
        for i in np.flatnonzero(drawn >= 0).tolist():
            self.boxes[int(drawn[i])].operations.append(i)
        place = {id(source): i for i, source in enumerate(program.sources)}
        for id_, some in [*self.source_boxes.items(), *self.inside.items()]:
            self.boxes[id_].sources += [place[id(source)] for m in some for source in m.sources]
        for box in self.boxes:
            start, stop, _ = self.spans.get(box.id, (0, 1, None))
            made = len(box.sources) if box.id in self.source_boxes else len(box.operations) // (stop - start)
            box.repeats = max(made, 1)
        for id_, (i, group) in self.operation_of.items():
            self._write_operation(self.boxes[id_], i, group)
        for id_, (start, stop, group) in self.spans.items():
            self._write_span(self.boxes[id_], start, stop, group)
        for id_, some in self.source_boxes.items():
            self._write_source(self.boxes[id_], some)
        return Picture(self.root, self.boxes, self.clusters, self.edges, self.arranged.caption())

    def _write_operation(self, box: Box, i: int, group: Group) -> None:
        node = self.program.operations[i]
        last = node
        # The twin in the last repetition of the innermost pattern around this operation.
        for outer in _upwards(group):
            if outer.count > 1:
                last = self.program.operations[i + outer.unit * (outer.count - 1)]
                break
        box.title = labels.operation_name(node)
        box.lines = [
            *(
                [" · ".join(filter(None, labels.group_title(group, self.program)))]
                if self._is_plain(group)
                else []
            ),
            *labels.operation_details(node, last, self.data_boxes),
            labels.array_type(node.dtype, node.shape),
        ]
        if i in self.program.going_on:
            box.lines.append("… goes on")
        if name := self.program.names.of(node):
            box.lines.insert(0, f"= {clean(name)}")
        box.tooltip = f"{node.module_path}: {box.title}" if node.module_path else box.title

    def _write_span(self, box: Box, start: int, stop: int, group: Group | None) -> None:
        many = labels.count_of(stop - start, "operation")
        if group is None:
            box.title = f"{many} left out"
            box.tooltip = "left out to keep the picture readable: draw(..., max_nodes=...) shows more"
        else:
            box.title, subtitle = labels.group_title(group, self.program)
            box.lines = [line for line in (subtitle, many) if line]
            box.tooltip = f"{box.title}: not opened to keep the picture readable"
        sources = [
            source
            for m in self.inside.get(box.id, ())
            for source in m.sources[: -(-len(m.sources) // box.repeats)]  # of one repetition
            if source.kind == "parameter"
        ]
        if sources:
            values = sum(math.prod(s.shape) for s in sources)
            box.lines.append(
                f"{labels.count_of(len(sources), 'parameter')} ({labels.count_of(values, 'value')})"
            )
        node = self.program.operations[stop - 1]
        if group is not None:
            box.lines.append(labels.array_type(node.dtype, node.shape))

    def _write_source(self, box: Box, some: list[Merged]) -> None:
        sources = [s for m in some for s in m.sources]
        shapes = list(dict.fromkeys(labels.array_type(s.dtype, s.shape) for s in sources))
        types = " … ".join(dict.fromkeys((shapes[0], shapes[-1])))
        if len(some) > 1:
            box.title = (
                labels.count_of(len(sources), box.kind) if box.kind != "data" else f"{len(sources):,} arrays"
            )
            box.lines = [types]
            box.tooltip = ", ".join(s.name for s in sources[:20] if s.name)
        else:
            box.title = labels.source_title(sources)
            box.lines = [types + (f" × {len(sources):,}" if len(sources) > 1 else "")]
            box.tooltip = sources[0].name or box.title
        box.output = not some[0].uses


def holds(group: Group, first: int, last: int) -> bool:
    """Whether operations first to last lie within one repetition of a group."""
    return group.start <= first and last < group.start + group.unit


def _upwards(group: Group | None) -> Iterable[Group]:
    while group is not None:
        yield group
        group = group.parent
