"""A picture as DOT text, through the graphviz package.

Labels are HTML-like, so everything from the user is escaped as in XML; nodes and clusters have synthetic ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autograd_core.graph.model import Box, Cluster, Picture
from autograd_core.wording import clean

if TYPE_CHECKING:
    from graphviz import Digraph

FONT = "Helvetica,Arial,sans-serif"
INK = "#1f2933"
QUIET = "#52606d"
WIDE_SPACE = "\N{NO-BREAK SPACE}"

MANY_EDGES = 150  # from here on positions need not be the very best, and take a twentieth of the time

# Okabe and Ito's palette, which colour-blind people can tell apart, as border over a pale tint of it; shapes differ
# as well, so that the picture survives a black-and-white printer.
LOOKS: dict[str, dict[str, str]] = {
    "operation": {"shape": "box", "style": "rounded,filled", "fillcolor": "#ffffff", "color": "#7b8794"},
    "parameter": {"shape": "box", "style": "filled", "fillcolor": "#d9ecf7", "color": "#0072b2"},
    "input": {"shape": "ellipse", "style": "filled", "fillcolor": "#d9f2ea", "color": "#009e73"},
    "buffer": {"shape": "cylinder", "style": "filled", "fillcolor": "#eef4f8", "color": "#0072b2"},
    "data": {"shape": "note", "style": "filled", "fillcolor": "#f4f4f4", "color": "#7b8794"},
    "module": {
        "shape": "box3d",
        "style": "filled",
        "fillcolor": "#ffffff",
        "color": "#52606d",
        "margin": "0.2,0.14",
    },
    "omitted": {"shape": "box", "style": "rounded,filled,dashed", "fillcolor": "#ffffff", "color": "#7b8794"},
}
BESIDE = ("parameter", "buffer", "data")  # what stands beside the operation that reads it
GRADIENT = "#d55e00"
MARKS = {
    "": {},
    "bad": {"color": "#c00000", "penwidth": "4", "fillcolor": "#ffd9d9"},
    "no gradient": {"color": "#9aa5b1", "fillcolor": "#e4e7eb", "style": "filled,dashed"},
}
OUTPUT = {"fillcolor": "#fdf0d0", "color": "#b87a00", "peripheries": "2"}
FRAMES = ("#f7f9fb", "#eef2f6")
FRAME = {"style": "rounded,filled", "color": "#b8c2cc", "penwidth": "1"}
REPEATED = {"style": "rounded,filled", "color": "#cc79a7", "penwidth": "2"}


def digraph(picture: Picture, direction: str) -> Digraph:
    """The picture as a `graphviz.Digraph`, whose `source` is the DOT text."""
    from graphviz import Digraph

    graph = Digraph("autograd")
    graph.attr(
        "graph",
        rankdir=direction,
        newrank="true",
        fontname=FONT,
        fontsize="10",
        fontcolor=QUIET,
        label=_html([(picture.caption, 10, False)], "left"),
        labelloc="b",
        labeljust="l",
        bgcolor="white",
        nodesep="0.25",
        ranksep="0.35",
        pad="0.2",
    )
    if len(picture.edges) > MANY_EDGES:
        graph.attr("graph", nslimit="1", nslimit1="1")
    graph.attr("node", fontname=FONT, fontsize="12", fontcolor=INK, margin="0.14,0.07", height="0.3")
    graph.attr("edge", color=QUIET, arrowsize="0.6", penwidth="1")
    _members(graph, picture.root, _beside(picture))
    for edge in picture.edges:
        attributes = {"weight": "20"} if edge.spine else {}
        if edge.handed_on:
            attributes = {
                "style": "dashed", "color": "#cc79a7", "constraint": "false",
                "tooltip": "to the next repetition",
            }  # fmt: skip
        if edge.gradient:
            attributes |= {"dir": "back", "color": GRADIENT}
        if edge.turn:
            attributes = {"color": GRADIENT, "minlen": "0", "tooltip": "the backward pass begins"}
        graph.edge(f"b{edge.source}", f"b{edge.target}", **attributes)
    return graph


def _beside(picture: Picture) -> dict[int, int]:
    """Parameters and data that stand beside the one operation that reads them, so that modules stack up straight."""
    readers: dict[int, list[int]] = {}
    for edge in picture.edges:
        readers.setdefault(edge.source, []).append(edge.target)
    homes: dict[int, int] = {}
    for cluster in (picture.root, *picture.clusters):
        homes |= {member.id: id(cluster) for member in cluster.members if isinstance(member, Box)}
    beside: dict[int, int] = {}
    taken: set[int] = set()
    for box in picture.boxes:
        targets = readers.get(box.id, ())
        if box.kind not in BESIDE or len(targets) != 1 or targets[0] in taken:
            continue
        if homes[box.id] == homes[targets[0]]:  # a row across frames is more than Graphviz can lay out
            beside[box.id] = targets[0]
            taken.add(targets[0])
    return beside


def _members(graph: Digraph, root: Cluster, beside: dict[int, int]) -> None:
    """Frames and boxes, depth first with an explicit stack."""
    todo = [(root, graph, iter(root.members))]
    while todo:
        _, drawn, members = todo[-1]
        member = next(members, None)
        if member is None:
            todo.pop()
            if todo:
                todo[-1][1].subgraph(drawn)
        elif isinstance(member, Box):
            _box(drawn, member)
            reader = beside.get(member.id)
            if reader is not None:
                row = type(graph)()
                row.attr(rank="same")
                row.node(f"b{member.id}")
                row.node(f"b{reader}")
                drawn.subgraph(row)
        else:
            todo.append((member, _frame(member, type(graph)), iter(member.members)))


def _frame(cluster: Cluster, kind: type[Digraph]) -> Digraph:
    frame = kind(f"cluster_{cluster.id}")
    # Arrows come in around the middle: a narrow frame is made wider, so that they pass beside its title.
    narrow = not any(isinstance(m, Box) and m.kind in BESIDE for m in cluster.members)
    longest = max(len(cluster.title), len(cluster.subtitle))
    spaces = 2 * (longest - len(cluster.title)) + min(2 * longest + 8, 36) if narrow else 0
    text = [(cluster.title + WIDE_SPACE * spaces, 12, True)]
    if cluster.subtitle:
        text.append((cluster.subtitle, 10, False))
    look = REPEATED if cluster.count > 1 else FRAME
    frame.attr(
        "graph",
        **look,
        fillcolor=FRAMES[cluster.depth % 2],
        label=_html(text, "left"),
        labelloc="t",
        labeljust="l",
        tooltip=_quoted(cluster.title),
        margin="10",
    )
    return frame


def _box(graph: Digraph, box: Box) -> None:
    text = [(box.title, 12, True), *((line, 10, False) for line in box.lines)]
    look = LOOKS[box.kind] | (OUTPUT if box.output else {})
    look |= ({"fillcolor": box.fill} if box.fill else {}) | MARKS[box.mark]
    graph.node(
        f"b{box.id}",
        label=_html(text, "center", INK if box.fill else QUIET),
        tooltip=_quoted(box.tooltip or box.title),
        **look,
    )


def _html(lines: list[tuple[str, int, bool]], align: str, colour: str = QUIET) -> str:
    """An HTML-like label: (text, size, whether it is a title) for each line."""
    ends = '<BR ALIGN="LEFT"/>' if align == "left" else ""
    joint = ends or "<BR/>"
    shown = [
        f'<FONT COLOR="{INK}"><B>{_escaped(text)}</B></FONT>'
        if title
        else f'<FONT POINT-SIZE="{size}" COLOR="{colour}">{_escaped(text)}</FONT>'
        for text, size, title in lines
    ]
    return f"<{joint.join(shown)}{ends}>"


MARKUP = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "[": "&#91;", "]": "&#93;"}
)


def _escaped(text: str) -> str:
    """Text for an HTML-like label. Graphviz replaces \\N, \\G and the like there too, so a backslash is two."""
    return text.translate(MARKUP).replace("\\", "&#92;&#92;")


def _quoted(text: str) -> str:
    """A tooltip: one clean line. Graphviz substitutes in it more than once, so no backslash can be kept."""
    return clean(text, 200).translate(MARKUP).replace("\\", "\N{REVERSE SOLIDUS OPERATOR}")
