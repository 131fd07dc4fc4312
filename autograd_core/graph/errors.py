"""What can go wrong between DOT text and an image."""


class DrawingError(RuntimeError):
    """Graphviz could not make an image. The DOT text can still be had."""


class GraphvizMissing(DrawingError):
    """The `dot` program is not on this machine's PATH."""

    def __init__(self) -> None:
        super().__init__(
            "draw: PNG and PDF need Graphviz's program `dot`, which is not on the PATH. Install it: "
            "`apt install graphviz` (Debian, Ubuntu), `brew install graphviz` (macOS), "
            "`conda install -c conda-forge graphviz`, or "
            'https://graphviz.org/download/. Without it, .svg(), .save("graph.svg"), ".html" and ".dot" work'
        )


class LayoutTimeout(DrawingError):
    """Graphviz did not finish in time."""
