"""The reverse sweep as one page: the picture, numbers in its boxes, and a text for each step."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograd_core.graph.cells import cell, held
from autograd_core.graph.errors import DrawingError
from autograd_core.graph.image import Graph
from autograd_core.graph.model import Box, arrange, picture
from autograd_core.graph.program import Program
from autograd_core.tape import Node
from autograd_core.teaching.steps import BackwardStep, shown

if TYPE_CHECKING:
    from autograd_core.teaching.steps import BackwardSteps

MAX_BOXES = 2000
Changes = list[tuple[int, list[str]]]  # from which step on a box shows which lines


def page(steps: BackwardSteps, record: list[BackwardStep]) -> str:
    """The page as text: the same for every run of the same program."""
    program = Program([steps.start], names=steps.names)
    drawn = picture(arrange(program, False), None, MAX_BOXES)
    nodes: dict[Node, int] = {}
    changes: dict[int, Changes] = {box.id: [] for box in drawn.boxes}
    for box in drawn.boxes:
        node, value = held(box, program, steps.known)
        nodes |= {program.operations[i]: box.id for i in box.operations}
        if node is not None:
            nodes[node] = box.id
        if value is not None:
            box.lines += cell("value", value)
        if node is not None:
            changes[box.id] = _gradients(node, steps, record)
    filled = [len(box.lines) for box in drawn.boxes]
    for box in drawn.boxes:  # dot leaves room for the widest gradient of each line
        box.lines += _widest(changes[box.id])
    try:
        graph, note = _svg(Graph(drawn, timeout=60.0).svg(), drawn.boxes, filled), ""
    except DrawingError as error:
        graph, note = _table(drawn.boxes, filled), f"A table, since there is no picture: {error}"
    data = {
        "changes": {f"b{id_}": change for id_, change in changes.items() if change},
        "steps": [_told(step, nodes, drawn.boxes) for step in record],
        "start": f"The forward pass is done. {steps.start.primitive.name if steps.start.primitive else 'leaf'} begins "
        f"the reverse sweep with g = {', '.join(cell('', steps.cotangent)).strip()}.",
        "end": "Every leaf has its gradient.",
    }
    parts = {
        "NOTE": escape(note),
        "GRAPH": graph,
        "LAST": str(len(record)),
        # nothing in a name can end the script
        "DATA": json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    }
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda found: parts[found[1]], template)


def _gradients(node: Node, steps: BackwardSteps, record: list[BackwardStep]) -> Changes:
    found: Changes = [(0, cell("grad", steps.cotangent))] if node is steps.start else []
    for step in record:
        arrived = [total for (_, total), parent in zip(step.totals, step.parents) if parent is node]
        if arrived:  # x · x sends two shares in one step
            found.append((step.number, cell("grad", arrived[-1])))
    return found


def _widest(changes: Changes) -> list[str]:
    rows = max((len(lines) for _, lines in changes), default=0)
    return [
        max((lines[row] for _, lines in changes if row < len(lines)), key=len, default="")
        for row in range(rows)
    ]


def _told(step: BackwardStep, nodes: dict[Node, int], boxes: list[Box]) -> dict[str, Any]:
    origins = [boxes[nodes[parent]].title if parent in nodes else "" for parent in step.parents]
    value = [f"value = {shown(step.value)}"] if step.value is not None else []
    here = f"b{nodes[step.node]}" if step.node in nodes else ""
    return {
        "box": here,
        "arrows": [f"b{nodes[parent]}->{here}" for parent in dict.fromkeys(step.parents) if parent in nodes],
        "head": f"Step {step.number} of {step.of}: {step.operation}",
        "place": step.place,
        "arrives": [*value, f"g = {shown(step.cotangent)}"],
        "said": step.sentences(origins) or ["nobody gets a share"],
    }


def _svg(text: str, boxes: list[Box], filled: list[int]) -> str:
    """The picture as elements of a page, its boxes marked with what the script looks for."""
    root = ET.fromstring(text.encode())
    for element in root.iter():
        element.tag = element.tag.partition("}")[2] or element.tag
        for key in [key for key in element.attrib if key.startswith("{")]:
            del element.attrib[key]  # tooltips repeat the titles
    root.attrib |= {"role": "group", "aria-label": "The graph of the computation"}
    for group in root.iter("g"):
        title = group.find("title")
        if title is None:
            continue
        name = title.text or ""
        group.remove(title)  # browsers would show it as a tooltip
        kind = group.get("class")
        if kind in ("node", "box"):  # Graphviz's, or of the simple layout
            box = boxes[int((name if kind == "node" else group.get("id", ""))[1:])]
            _mark(group, box, filled[box.id])
        elif kind == "edge":
            group.set("data-edge", name)
    return ET.tostring(root, encoding="unicode")


def _mark(group: ET.Element, box: Box, filled: int) -> None:
    group.set("data-box", f"b{box.id}")
    group.set("role", "group")
    group.set("aria-label", box.title)
    outlines = [e for e in group.iter() if e.tag in ("path", "polygon", "ellipse", "rect")]
    if outlines:
        outlines[0].set("class", "outline")
    for text in list(group.iter("text"))[1 + filled :]:
        text.set("class", "grad")
        text.text = ""


def _table(boxes: list[Box], filled: list[int]) -> str:
    """Where no picture can be laid out: a row for each box, operations as the sweep takes them, then leaves."""
    rows = []
    for box in sorted(boxes, key=lambda box: (not box.operations, -box.id)):
        about = "<br>".join(map(escape, box.lines[: filled[box.id]]))
        rows.append(
            f'<tr data-box="b{box.id}"><td class="mark"></td><th scope="row">{escape(box.title)}</th>'
            f'<td>{about}</td><td class="grad"></td></tr>'
        )
    return (
        '<table><thead><tr><td></td><th scope="col">operation or leaf</th><th scope="col">value</th>'
        f'<th scope="col">gradient</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )
