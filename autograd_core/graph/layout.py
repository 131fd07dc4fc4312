"""A picture as SVG without Graphviz: each frame's members in rows, frames inside frames.

Rows are longest paths from what has no input; within a row members stand by the mean place of what they read. Arrows
are curves from box to box. Graphviz does better, and is used where it is installed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from autograd_core.graph.model import Box, Cluster, Edge, Picture

GAP, ROW_GAP, MARGIN, TITLE = 24, 34, 14, 34
LINE, CHARACTER = 14, 7.2  # height of a line, width of a character, in pixels
INK, QUIET = "#1f2933", "#52606d"


@dataclass(slots=True)
class _Part:
    """A box or a frame with its place, relative to the frame around it and later absolute."""

    member: Box | Cluster
    width: float = 0.0
    height: float = 0.0
    x: float = 0.0
    y: float = 0.0
    parts: list[_Part] = field(default_factory=list)


def svg(picture: Picture, looks: dict[str, dict[str, str]]) -> str:
    """The picture; `looks` are fill and border colours by a box's kind."""
    inside: dict[int, list[int]] = {}  # of each box the frames around it, outermost first, by identity
    top = _arranged(picture, inside)
    places: dict[int, _Part] = {}
    frames: list[_Part] = []
    _place(top, places, frames)
    tracks: list[float] = []
    arrows = [_arrow(edge, places, tracks) for edge in picture.edges]
    width, height = max([top.width, *(right + MARGIN for right in tracks)]), top.height + LINE * 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="Helvetica,Arial,sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{QUIET}"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
        *map(_frame, frames),
        *arrows,
        *(_box(places[box.id], box, looks) for box in picture.boxes),
        _text(MARGIN, height - LINE, picture.caption, 11, QUIET, "start"),
    ]
    return "\n".join((*parts, "</svg>\n"))


def _arranged(picture: Picture, inside: dict[int, list[int]]) -> _Part:
    """All parts with sizes and places: frames from the innermost outwards."""
    order: list[tuple[Cluster, list[int]]] = []
    todo: list[tuple[Cluster, list[int]]] = [(picture.root, [])]
    while todo:
        cluster, around = todo.pop()
        order.append((cluster, around))
        for member in cluster.members:
            path = [*around, id(member)]
            if isinstance(member, Box):
                inside[member.id] = path
            else:
                todo.append((member, path))
    parts: dict[int, _Part] = {}
    for cluster, around in reversed(order):
        part = parts[id(cluster)] = _Part(cluster)
        for member in cluster.members:
            part.parts.append(_sized(member) if isinstance(member, Box) else parts[id(member)])
        _rows(part, _edges_at(part, picture.edges, inside, len(around)), cluster is picture.root)
    return parts[id(picture.root)]


def _sized(box: Box) -> _Part:
    longest = max(map(len, (box.title, *box.lines)))
    return _Part(box, max(longest * CHARACTER, 50) + 20, (1 + len(box.lines)) * LINE + 14)


def _edges_at(
    part: _Part, edges: list[Edge], inside: dict[int, list[int]], level: int
) -> list[tuple[int, int]]:
    """Edges between two members of a frame, whatever is inside of those."""
    number = {id(each.member): i for i, each in enumerate(part.parts)}
    found: dict[tuple[int, int], None] = {}
    for edge in edges:
        if edge.handed_on or edge.turn:
            continue
        source, target = (inside[box][level : level + 1] for box in (edge.source, edge.target))
        a, b = (number.get(ends[0]) if ends else None for ends in (source, target))
        if a is not None and b is not None and a != b:
            found[a, b] = None
    return list(found)


def _rows(part: _Part, edges: list[tuple[int, int]], outermost: bool) -> None:
    """Places of a frame's members, and its own size."""
    count = len(part.parts)
    row = [0] * count
    for _ in range(count):  # a few passes suffice: members are almost in the order in which they ran
        changed = False
        for a, b in edges:
            if row[b] <= row[a] < count:
                row[b], changed = row[a] + 1, True
        if not changed:
            break
    for i in range(count):  # what nothing reads from above stands beside its reader
        below = [row[b] for a, b in edges if a == i]
        if below and not any(b == i for _, b in edges):
            row[i] = min(below) - 1
    rows: dict[int, list[int]] = {}
    for i in range(count):
        rows.setdefault(row[i], []).append(i)
    head = MARGIN if outermost else TITLE
    y, widest = float(head), 0.0
    for number in sorted(rows):
        members = rows[number]
        above = {i: [part.parts[a].x + part.parts[a].width / 2 for a, b in edges if b == i] for i in members}
        members.sort(key=lambda i: (sum(above[i]) / len(above[i]) if above[i] else 0.0, i))
        x = 0.0
        for i in members:
            part.parts[i].x, part.parts[i].y = x, y
            x += part.parts[i].width + GAP
        widest = max(widest, x - GAP)
        y += max(part.parts[i].height for i in members) + ROW_GAP
    title = 0 if outermost else max(len(part.member.title), 8) * CHARACTER
    part.width = max(widest, title) + 2 * MARGIN
    part.height = y - ROW_GAP + MARGIN
    for members in rows.values():  # rows in the middle
        last = part.parts[members[-1]]
        shift = (part.width - (last.x + last.width)) / 2
        for i in members:
            part.parts[i].x += shift


def _place(top: _Part, places: dict[int, _Part], frames: list[_Part]) -> None:
    """Absolute places."""
    todo = [top]
    while todo:
        part = todo.pop()
        for each in part.parts:
            each.x, each.y = each.x + part.x, each.y + part.y
            if isinstance(each.member, Box):
                places[each.member.id] = each
            else:
                frames.append(each)
                todo.append(each)
    frames.sort(key=lambda each: each.member.depth if isinstance(each.member, Cluster) else 0)


def _frame(part: _Part) -> str:
    cluster = part.member
    assert isinstance(cluster, Cluster)
    border = "#cc79a7" if cluster.count > 1 else "#b8c2cc"
    fill = ("#f7f9fb", "#eef2f6")[cluster.depth % 2]
    rectangle = (
        f'<rect class="frame" x="{part.x:.1f}" y="{part.y:.1f}" width="{part.width:.1f}" height="{part.height:.1f}" '
        f'rx="8" fill="{fill}" stroke="{border}"/>'
    )
    subtitle = (
        _text(part.x + 8, part.y + 27, cluster.subtitle, 10, QUIET, "start") if cluster.subtitle else ""
    )
    return rectangle + _text(part.x + 8, part.y + 15, cluster.title, 12, INK, "start", True) + subtitle


def _box(part: _Part, box: Box, looks: dict[str, dict[str, str]]) -> str:
    look = looks[box.kind]
    marked = {"bad": "#c00000", "no gradient": "#9aa5b1"}.get(box.mark, look.get("color", QUIET))
    fill = box.fill or ("#fdf0d0" if box.output else look.get("fillcolor", "#ffffff"))
    middle = part.x + part.width / 2
    lines = [_text(middle, part.y + 19, box.title, 12, INK, "middle", True)]
    colour = INK if box.fill else QUIET
    lines += [
        _text(middle, part.y + 19 + LINE * (i + 1), t, 10, colour, "middle") for i, t in enumerate(box.lines)
    ]
    dashed = ' stroke-dasharray="4 3"' if box.mark == "no gradient" or box.kind == "omitted" else ""
    return (
        f'<g class="box" id="b{box.id}"><title>{escape(box.tooltip or box.title)}</title>'
        f'<rect x="{part.x:.1f}" y="{part.y:.1f}" width="{part.width:.1f}" height="{part.height:.1f}" rx="7" '
        f'fill="{fill}" stroke="{marked}" stroke-width="{4 if box.mark == "bad" else 1}"{dashed}/>{"".join(lines)}</g>'
    )


def _arrow(edge: Edge, places: dict[int, _Part], tracks: list[float]) -> str:
    """A curve from below one box to above the other, or a track around what stands between them."""
    start, end = places[edge.source], places[edge.target]
    x1, y1 = start.x + start.width / 2, start.y + start.height
    x2, y2 = end.x + end.width / 2, end.y
    bend = max(abs(y2 - y1) / 2, 20)
    path = f"M{x1:.1f},{y1:.1f} C{x1:.1f},{y1 + bend:.1f} {x2:.1f},{y2 - bend:.1f} {x2:.1f},{y2:.1f}"
    upper, lower = min(y1, end.y), max(start.y, y2)  # an arrow to the next repetition goes up
    between = [p for p in places.values() if upper <= p.y and p.y + p.height <= lower]
    if edge.turn:
        path = f"M{start.x + start.width:.1f},{y1 - 15:.1f} L{end.x:.1f},{y2 + 15:.1f}"
    elif edge.handed_on or any(_crossed(p, x1, y1, x2, y2) for p in between):
        path = _track(start, end, between, places, tracks)
    colour = "#cc79a7" if edge.handed_on else "#d55e00" if edge.gradient or edge.turn else QUIET
    style = f'fill="none" stroke="{colour}"' + (' stroke-dasharray="5 3"' if edge.handed_on else "")
    ends = 'marker-start="url(#tip)"' if edge.gradient else 'marker-end="url(#tip)"'
    name = f'data-edge="b{edge.source}-&gt;b{edge.target}"'
    return f'<g class="edge" {name}><path d="{path}" {style} {ends}/></g>'


def _track(
    start: _Part, end: _Part, between: list[_Part], places: dict[int, _Part], tracks: list[float]
) -> str:
    """Down into the gap between rows, out to the right of all that is on the way, along, and back: each on its own."""
    x1, y1 = start.x + start.width / 2, start.y + start.height
    x2, y2 = end.x + end.width / 2, end.y
    turn = 8 + 3 * (len(tracks) % 5)
    low = max((p.y + p.height for p in places.values() if p.y == start.y), default=y1) + turn
    high = y2 - turn
    right = max(p.x + p.width for p in (*between, start, end))
    right += 14 + 7 * sum(right <= taken < right + 200 for taken in tracks)
    tracks.append(right)
    r = 6 if right > max(x1, x2) + 12 else 0
    down = 1 if high >= low else -1
    return (
        f"M{x1:.1f},{y1:.1f} L{x1:.1f},{low - r:.1f} Q{x1:.1f},{low:.1f} {x1 + r:.1f},{low:.1f} "
        f"L{right - r:.1f},{low:.1f} Q{right:.1f},{low:.1f} {right:.1f},{low + down * r:.1f} "
        f"L{right:.1f},{high - down * r:.1f} Q{right:.1f},{high:.1f} {right - r:.1f},{high:.1f} "
        f"L{x2 + r:.1f},{high:.1f} Q{x2:.1f},{high:.1f} {x2:.1f},{high + r:.1f} L{x2:.1f},{y2:.1f}"
    )


def _crossed(part: _Part, x1: float, y1: float, x2: float, y2: float) -> bool:
    """Whether the straight line from one place to the other meets a box."""
    x = x1 + (x2 - x1) * (part.y + part.height / 2 - y1) / max(y2 - y1, 1.0)
    return part.x < x < part.x + part.width


def _text(x: float, y: float, text: str, size: int, colour: str, anchor: str, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    look = f'font-size="{size}" fill="{colour}" text-anchor="{anchor}"{weight}'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(text)}</text>'
