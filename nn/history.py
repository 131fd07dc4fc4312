"""What happened while a model was fitted, epoch by epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nn.report import Record


class History:
    """One list per quantity with one number per epoch: "loss", "lr", "seconds", "accuracy", "validation_loss", ...

    >>> import nn
    >>> history = nn.History()
    >>> history.record(loss=0.5, lr=0.1)
    >>> history.record(loss=0.25, lr=0.1)
    >>> history["loss"]
    [0.5, 0.25]
    >>> history
    History(2 epochs)
      loss  0.25
      lr    0.1
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[float]] = {}
        self.watched: Record | None = None
        """What `fit` collected for its report, if there was one."""

    def record(self, **values: float) -> None:
        """Add an epoch. ValueError unless it has the same quantities as those before."""
        if self._columns and self._columns.keys() != values.keys():
            raise ValueError(
                f"History: an epoch with {sorted(values)} among epochs with {sorted(self._columns)}"
            )
        for name, value in values.items():
            self._columns.setdefault(name, []).append(float(value))

    def __getitem__(self, name: str) -> list[float]:
        if name not in self._columns:
            raise KeyError(f"the history has no {name!r}, only {', '.join(self._columns) or 'nothing yet'}")
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def keys(self) -> list[str]:
        """The names of the quantities."""
        return list(self._columns)

    @property
    def epochs(self) -> int:
        """The number of epochs."""
        return len(next(iter(self._columns.values()), ()))

    @property
    def monitored(self) -> str:
        """The quantity that says which epoch is best: "validation_loss" where there is one, else "loss"."""
        return "validation_loss" if "validation_loss" in self else "loss"

    @property
    def best_epoch(self) -> int:
        """The epoch (from 0) with the lowest `monitored` value, the first of equals."""
        values = self[self.monitored]
        return min(range(len(values)), key=lambda i: values[i] if values[i] == values[i] else math.inf)

    def save(self, path: str | Path) -> None:
        """Write all lists to a JSON file; what is not finite becomes null."""
        columns = {n: [v if math.isfinite(v) else None for v in vs] for n, vs in self._columns.items()}
        Path(path).write_text(json.dumps(columns, indent=1) + "\n", encoding="utf-8")

    def text(self) -> str:
        """A report for a terminal: curves as lines of blocks, a table of the epochs (thinned to twelve).

        After `fit(..., report=...)` also the speed, the memory, and the gradients' norms at the last sampled step.

        >>> import nn
        >>> history = nn.History()
        >>> for loss in (1.0, 0.5, 0.25):
        ...     history.record(loss=loss)
        >>> print(history.text())
        loss  █▃▁  1 → 0.25
        <BLANKLINE>
        epoch  loss
        1         1
        2       0.5
        3      0.25
        <BLANKLINE>
        """
        from nn.report.text import text

        return text(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """A matplotlib Figure with two panels: the losses, and the metrics (without any, the learning rate).

        Written to `path` when given (the suffix decides: .png, .svg, .pdf). Needs matplotlib.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install matplotlib") from error
        # A Figure of its own, not pyplot's: no window, no state left behind.
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        metrics = [n for n in self if n not in ("loss", "lr", "seconds") and not n.startswith("validation_")]
        self._panel(left, ["loss"], "loss")
        values = [v for name in ("loss", "validation_loss") if name in self for v in self[name]]
        if values and min(values) > 0 and max(values) > 30 * min(values):
            left.set_yscale("log")
        self._panel(right, metrics or ["lr"], ", ".join(metrics) or "learning rate")
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure

    def _panel(self, axes: Any, names: list[str], title: str) -> None:
        from matplotlib.ticker import MaxNLocator

        epochs = range(1, self.epochs + 1)
        marker = "o" if self.epochs < 2 else None
        for name in names:
            if name not in self:
                continue
            label = "training" if len(names) == 1 else name
            (line,) = axes.plot(epochs, self[name], marker=marker, label=label)
            if f"validation_{name}" in self:
                label = label.replace("training", "validation") if len(names) == 1 else f"validation {name}"
                axes.plot(
                    epochs,
                    self[f"validation_{name}"],
                    "--",
                    marker=marker,
                    color=line.get_color(),
                    label=label,
                )
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if len(axes.lines) > 1:
            axes.legend(frameon=False)

    def _repr_png_(self) -> bytes | None:
        try:
            figure = self.plot()
        except ImportError:
            return None
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        from base64 import b64encode
        from html import escape

        png = self._repr_png_()
        picture = f'<img src="data:image/png;base64,{b64encode(png).decode()}">' if png else ""
        names = "".join(f"<th>{escape(name)}</th>" for name in self)
        last = "".join(f"<td>{values[-1]:.4g}</td>" for values in self._columns.values())
        return f"{picture}<table><tr><th>epoch</th>{names}</tr><tr><td>{self.epochs}</td>{last}</tr></table>"

    def __repr__(self) -> str:
        width = max(map(len, self._columns), default=0)
        rows = [f"  {name:<{width}}  {values[-1]:.4g}" for name, values in self._columns.items()]
        return "\n".join([f"History({self.epochs} epoch{'s' * (self.epochs != 1)})", *rows])
