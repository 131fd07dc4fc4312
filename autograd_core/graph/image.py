"""The drawn graph: its DOT text, images made by Graphviz's `dot`, and the interactive page."""

import os
import shutil
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

from autograd_core.graph.errors import DrawingError, GraphvizMissing, LayoutTimeout
from autograd_core.graph.model import Arranged, Picture
from autograd_core.tape import Node

IMAGES = (".svg", ".png", ".pdf")
DIRECTIONS = ("TB", "LR", "BT", "RL")
PNG_DPI = 144


class Graph:
    """A picture of a computation; shows itself in Jupyter.

    `timeout` bounds the layout, in seconds. The page is made from `arranged`, which holds the tape that was drawn.
    """

    def __init__(
        self,
        picture: Picture,
        direction: str = "TB",
        timeout: float = 30.0,
        arranged: Arranged | None = None,
        bad: Node | None = None,
        overlay: str | None = None,
        says: str = "",
    ) -> None:
        self.picture = picture
        self.direction = direction
        self.timeout = timeout
        self.arranged = arranged
        self.bad = bad
        self.overlay = overlay
        self.says = says  # of what is bad
        self.note = ""  # a line that the page shows besides

    @cached_property
    def dot(self) -> str:
        """The picture in Graphviz's language: the same text for every run of the same program."""
        from autograd_core.graph.dot import digraph

        return digraph(self.picture, self.direction).source

    def svg(self) -> str:
        """The picture as SVG text: by Graphviz's `dot`, or laid out more simply where that is missing.

        Raises LayoutTimeout after `timeout`.
        """
        return self._svg

    def html(self) -> str:
        """An interactive page in one file: modules open and close, nothing is loaded from anywhere.

        It shows the forward pass from top to bottom, whatever `view`, `values` and `direction` are, and begins with the
        colours of `overlay`.
        """
        from autograd_core.graph.columns import columns
        from autograd_core.graph.overlay import positions
        from autograd_core.graph.page import page

        if self.arranged is None:
            raise ValueError(
                "draw: this graph was made from a picture alone, a page needs the graph: ag.draw(...)"
            )
        program = self.arranged.program
        marks = positions(program, self.bad)
        return page(
            self.arranged, columns(program).values(), *marks,
            overlay=self.overlay or "", note=self.note, says=self.says,
        )  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write `.html` (interactive), `.dot` (text), `.svg`, `.png` or `.pdf`, as the suffix says; returns the path.

        Raises ValueError for another suffix; GraphvizMissing for .png and .pdf without the `dot` program; LayoutTimeout
        when the layout takes too long. Then no file was touched.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix in (".dot", ".gv"):
            content = self.dot.encode()
        elif suffix == ".html":
            content = self.html().encode()
        elif suffix in IMAGES:
            content = self._svg.encode() if suffix == ".svg" else self.render(suffix[1:])
        else:
            raise ValueError(
                f"draw: cannot save {path.name!r}: the suffix says what is written, one of .html, .dot, "
                f"{', '.join(IMAGES)}"
            )
        path.write_bytes(content)
        return path

    @cached_property
    def _svg(self) -> str:
        if shutil.which("dot") is None:
            from autograd_core.graph.dot import LOOKS
            from autograd_core.graph.layout import svg

            return svg(self.picture, LOOKS)
        return self.render("svg").decode()

    def render(self, kind: str) -> bytes:
        """The image as Graphviz makes it: "svg", "png" or "pdf"."""
        program = shutil.which("dot")
        if program is None:
            raise GraphvizMissing
        command = [program, f"-T{kind}", *([f"-Gdpi={PNG_DPI}"] if kind == "png" else [])]
        done = self._run(command, self.dot)
        if done.returncode:
            # Graphviz's global ranking is the more beautiful one, and fails on some graphs with frames.
            done = self._run(command, self.dot.replace("newrank=true", "newrank=false", 1))
        if done.returncode or not done.stdout:
            said = done.stderr.decode(errors="replace").strip()[:500]
            raise DrawingError(f"draw: `dot` failed with status {done.returncode}: {said}")
        return done.stdout

    def _run(self, command: list[str], text: str) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(
                command, input=text.encode(), capture_output=True, timeout=self.timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise LayoutTimeout(
                f"draw: Graphviz did not lay out {len(self.picture.boxes)} boxes within {self.timeout:g} s: draw less "
                "(collapse=True, a smaller depth or max_nodes), or give it longer (timeout=...)"
            ) from None

    def __repr__(self) -> str:
        picture = self.picture
        return f"<Graph: {picture.caption}, drawn as {len(picture.boxes)} boxes>"

    def _repr_svg_(self) -> str | None:
        try:
            return self.svg()
        except DrawingError:
            return None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """SVG for Jupyter; without Graphviz the reason and the DOT text."""
        try:
            return {"image/svg+xml": self.svg(), "text/plain": repr(self)}
        except DrawingError as error:
            return {"text/plain": f"{error}\n\n{self.dot}"}
