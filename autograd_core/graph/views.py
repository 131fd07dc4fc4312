"""The backward pass as a picture: every operation mirrored, edges turned round, beside the forward pass or alone."""

from __future__ import annotations

from autograd_core.graph.columns import saved_arrays
from autograd_core.graph.model import Box, Cluster, Edge, Picture
from autograd_core.graph.program import Program
from autograd_core.wording import clean, in_bytes

VIEWS = ("forward", "backward", "paired")


def backward(picture: Picture) -> Picture:
    """What gradients flow through, from the result to parameters and inputs."""
    root, boxes, clusters = _mirrored(picture, 0, 0)
    edges = [
        Edge(boxes[edge.target].id, boxes[edge.source].id, edge.handed_on, edge.spine)
        for edge in picture.edges
        if edge.source in boxes and edge.target in boxes
    ]
    for box in boxes.values():
        box.output = False
    return Picture(root, list(boxes.values()), clusters, edges, f"backward pass of {picture.caption}")


def paired(picture: Picture, program: Program) -> Picture:
    """Both passes side by side, row by row; boxes of the forward pass say how much is kept for the backward pass."""
    n, m = len(picture.boxes), len(picture.clusters)
    root, mirrored, clusters = _mirrored(picture, n, m + 2)
    top = Cluster(0, "", "", 1, 0, None, picture.root.group)
    halves = []
    for number, title, half in ((m, "forward pass", picture.root), (m + 1, "backward pass", root)):
        frame = Cluster(number, title, "", 1, 1, top, half.group, half.members)
        halves.append(frame)
        top.members.append(frame)
    edges = list(picture.edges)
    edges += [
        Edge(mirrored[e.source].id, mirrored[e.target].id, e.handed_on, e.spine, gradient=True)
        for e in picture.edges
        if e.source in mirrored and e.target in mirrored
    ]
    total, saved = 0, saved_arrays(program)
    for box in picture.boxes:
        twin = mirrored.get(box.id)
        if twin is None or not box.operations:
            continue
        kept: dict[str, int] = {}
        for i in box.operations:
            for name, size in saved.get(i, {}).items():
                kept[name] = kept.get(name, 0) + size
        total += sum(kept.values())
        if sum(kept.values()):
            box.lines.append(_kept(box, kept))
        if box.output:
            edges.append(Edge(box.id, twin.id, turn=True))
    for box in mirrored.values():
        box.output = False
    said = (
        f"{in_bytes(total)} kept for the backward pass" if saved else "what was kept for backward() is freed"
    )
    caption = f"{picture.caption} · {said}"
    return Picture(
        top, [*picture.boxes, *mirrored.values()], [*halves, *picture.clusters, *clusters], edges, caption
    )


def _kept(box: Box, kept: dict[str, int]) -> str:
    """What a box keeps for the backward pass: arrays by name where it is one operation, repeated or not."""
    together = f", {box.repeats:,} together:" if box.repeats > 1 else ""
    if box.kind != "operation":
        return f"keeps{together} {in_bytes(sum(kept.values()))}"
    return f"keeps{together} {', '.join(f'{clean(n)} {in_bytes(b)}' for n, b in kept.items() if b)}"


def _mirrored(
    picture: Picture, first_box: int, first_cluster: int
) -> tuple[Cluster, dict[int, Box], list[Cluster]]:
    """The frames with a twin for each box but data and buffers; twins by the id of their box."""
    twins: dict[int, Box] = {}
    clusters: list[Cluster] = []
    root = Cluster(0, "", "", 1, 0, None, picture.root.group)
    todo = [(picture.root, root)]
    while todo:
        cluster, made = todo.pop()
        for member in cluster.members:
            if isinstance(member, Cluster):
                inner = Cluster(
                    first_cluster + member.id,
                    member.title,
                    member.subtitle,
                    member.count,
                    member.depth,
                    made,
                    member.group,
                )
                clusters.append(inner)
                made.members.append(inner)
                todo.append((member, inner))
            elif member.kind not in ("data", "buffer"):
                twins[member.id] = twin = _twin(member, first_box + member.id)
                made.members.append(twin)
    return root, dict(sorted(twins.items())), clusters


def _twin(box: Box, number: int) -> Box:
    leaf = box.kind in ("parameter", "input")
    title = f"gradient of {box.title}" if leaf else f"∂ {box.title}"
    kept = box.lines if leaf else box.lines[-1:]
    return Box(
        number, box.kind, title, list(kept), f"backward: {box.tooltip}", box.output, box.operations, box.sources,
        box.fill, box.mark, True, box.repeats,
    )  # fmt: skip
