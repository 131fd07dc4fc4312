"""The bar chart of one part: how our time compares with the best peer's, case by case."""

import math
from pathlib import Path
from typing import Any

from .measure import OURS, Record, cores, library

FASTER, SLOWER = "#0072b2", "#d55e00"
ROW = 0.21  # inches


def draw(records: list[Record], path: Path) -> bool:
    """Write the chart; False when there is nothing to compare."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    compared = [record for record in records if record.ratio(record.best_peer())]
    if not compared:
        return False
    rows = _rows(compared)
    threads = sorted({record.threads for record in compared})
    height = ROW * len(rows) + 1.5
    figure, axes = plt.subplots(
        1, len(threads), figsize=(5.5 + 3.5 * len(threads), height), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for panel, count in zip(axes[0], threads):
        found = {(r.group, r.name): r for r in compared if r.threads == count}
        _bars(panel, rows, found)
        panel.set_title(cores(count), fontsize=10)
        panel.grid(axis="x", color="#dddddd", linewidth=0.7)
        panel.set_axisbelow(True)
        panel.tick_params(length=0, labelsize=8, labeltop=len(rows) > 30)
        panel.spines[["left", "right", "top"]].set_visible(False)
    _axis(axes[0][0], rows, compared)
    figure.suptitle(f"{compared[0].part.capitalize()}: best peer ÷ {OURS}", fontsize=11)
    figure.supxlabel(f"← the peer needs less  ·  log scale  ·  {OURS} needs less →", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


Row = tuple[str, str | None]  # group and case; no case: the group's heading


def _rows(records: list[Record]) -> list[Row]:
    """Headings and cases from top to bottom."""
    names: dict[str, list[str]] = {}
    for record in records:
        group = names.setdefault(record.group, [])
        if record.name not in group:
            group.append(record.name)
    return [row for group, inside in names.items() for row in ((group, None), *((group, n) for n in inside))]


def _bars(panel: Any, rows: list[Row], found: dict[tuple[str, str], Record]) -> None:
    """A bar from the line at 1 to the ratio, its quartiles, and in the margin the figure and who the peer is."""
    panel.axvline(1, color="black", linewidth=1)
    for y, (group, name) in enumerate(rows):
        record = found.get((group, name)) if name else None
        peer = record.best_peer() if record else None
        ratio = record.ratio(peer) if record else None
        if peer is None or ratio is None:
            continue
        color = FASTER if ratio.median >= 1 else SLOWER
        panel.barh(y, ratio.median - 1, left=1, height=0.7, color=color)
        panel.hlines(y, ratio.low, ratio.high, color="black", linewidth=0.8)
        margin = {"xy": (1.015, y), "xycoords": panel.get_yaxis_transform(), "annotation_clip": False}
        panel.annotate(
            f"{ratio.median:.2f}× {library(peer)}", **margin, va="center", fontsize=7.5, color=color
        )


def _axis(panel: Any, rows: list[Row], records: list[Record]) -> None:
    """What all panels share: the log scale, as far to the left as to the right, and the labels of the rows."""
    spreads = [spread for record in records if (spread := record.ratio(record.best_peer()))]
    furthest = max(2.0, *(max(spread.high, 1 / spread.low) for spread in spreads))
    octaves = math.ceil(math.log2(furthest * 1.05))
    stride = math.ceil(octaves / 4)
    ticks = range(-(octaves // stride) * stride, octaves + 1, stride)
    panel.set_xscale("log")
    panel.set_xlim(2.0**-octaves, 2.0**octaves)
    panel.set_xticks([2.0**n for n in ticks], [f"{2**n}" if n >= 0 else f"1/{2**-n}" for n in ticks])
    panel.set_xticks([], minor=True)
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.set_yticks(range(len(rows)), [name or group for group, name in rows], fontsize=8)
    for label, (_, name) in zip(panel.get_yticklabels(), rows):
        if name is None:
            label.set_fontweight("bold")
