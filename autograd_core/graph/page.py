"""The interactive page of a computation: one HTML file with its data, program and looks inside.

The page lays out only what is open, in the browser; page_data.py says what it is told. Nothing is fetched: the
content policy in its head forbids it.
"""

import json
from collections.abc import Iterable, Set
from importlib.resources import files

from autograd_core.graph.columns import Column
from autograd_core.graph.model import Arranged
from autograd_core.graph.page_data import page_data

PROGRAM = ("page_data.js", "page_layout.js", "page_boxes.js", "page.js", "page_move.js", "page_keys.js")


def page(
    arranged: Arranged,
    columns: Iterable[Column],
    bad: Set[int] = frozenset(),
    bad_sources: Set[int] = frozenset(),
    without_gradient: Set[int] = frozenset(),
    *,
    overlay: str = "",
    note: str = "",
    says: str = "first bad value",
) -> str:
    """The page as text; the same text for every run of the same program."""
    folder = files("autograd_core.graph")
    program = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in PROGRAM)
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    known = page_data(arranged, columns, bad, bad_sources, without_gradient)
    known["overlay"] = overlay if overlay in known["overlays"] else ""
    known["says"] = says
    known["note"] = " ".join(filter(None, (note, known["note"])))
    data = _json(known)
    text = folder.joinpath("page.html").read_text(encoding="utf-8")
    # The template is cut first, then filled: names from the user may hold the marks themselves.
    head, text = text.split("{{style}}")
    middle, text = text.split("{{data}}")
    end, tail = text.split("{{program}}")
    return "".join((head, style, middle, data, end, program, tail))


def _json(data: object) -> str:
    """JSON in ASCII that cannot end its script element: `<` is written \\u003c."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
