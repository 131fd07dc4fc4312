"""The page: one HTML file without anything outside it, whose figures need no script."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from autograd_core.wording import in_time
from nn.report.curves import Line, by_epoch, curves, thinned
from nn.report.examples import table
from nn.report.maps import dot_plot, heat_map, histogram
from nn.report.record import Record
from nn.report.svg import attribute, short

if TYPE_CHECKING:
    from nn.history import History

SECONDS = 3  # between two looks at a run that goes on
# A reload keeps the place on the page, which a meta refresh does not always: that one is for browsers without scripts.
# A run that was killed cannot say so: a page that nobody has written for a minute does.
REFRESH = f"""<noscript><meta http-equiv="refresh" content="{SECONDS}"></noscript>
<script>
addEventListener("load", function () {{
  var age = Date.now() / 1000 - document.documentElement.dataset.written;
  document.getElementById("stale").hidden = age < 60;
  setTimeout(function () {{ location.reload(); }}, {SECONDS}000);
}});
</script>
"""
STATES = {"running": "▶ running", "finished": "✓ finished", "stopped": "■ stopped", "failed": "✗ failed"}


@cache
def _style() -> str:
    return Path(__file__).with_name("report.css").read_text(encoding="utf-8")


def page(history: History) -> str:
    """The run of a history as an HTML page. ValueError when `fit` kept no report of it."""
    record = history.watched
    if record is None:
        raise ValueError("page: this history was made without fit(..., report=...)")
    name, running = attribute(record.model), record.state == "running"
    return f"""<!DOCTYPE html>
<html lang="en" data-written="{record.written:.0f}" data-state="{record.state}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{name}: {record.state}</title>
<link rel="icon" href="data:,">
{REFRESH if running else ""}<style>
{_style()}</style>
</head>
<body>
<header>
<h1>{name} <span class="state {record.state}">{STATES[record.state]}</span></h1>
{_progress(record)}
{_note(record)}<dl>{_facts(record)}</dl>
</header>
<main>
{chr(10).join(_cards(record))}
</main>
<footer>Written {time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(record.written))} by nn.fit.</footer>
</body>
</html>
"""


def _progress(record: Record) -> str:
    done = f"{100 * record.progress:.0f}%"
    return f'<div class="bar" role="img" aria-label="{done} done"><div style="width:{done}"></div></div>'


def _note(record: Record) -> str:
    if record.state == "running":
        return '<p id="stale" class="note" hidden>Nothing has been written for a minute: is the run still alive?</p>\n'
    if not record.note:
        return ""
    lines = "<br>".join(attribute(line) for line in record.note.splitlines())
    return f'<p class="note {record.state}" role="alert">{lines}</p>\n'


def facts(record: Record) -> list[tuple[str, str]]:
    """What the head of the report says, by name."""
    found = [
        ("Epoch", f"{record.epoch} of {record.epochs}"),
        ("Steps", f"{record.steps:,}"),
        ("Time spent", in_time(record.elapsed)),
    ]
    if record.state == "running":
        found.append(
            ("Time left", "not yet known" if record.left is None else f"about {in_time(record.left)}")
        )
    if record.steps:
        found.append((f"{record.unit.capitalize()} per second", f"{record.rate:,.0f}"))
        found.append(("Time per step", f"{short(1000 * record.step_seconds)} ms"))
    found.append(("Parameters", f"{record.parameters:,}"))
    if record.samples and record.samples[-1].resident:
        found.append(("Memory", f"{record.samples[-1].resident / 1e6:,.0f} MB"))
    return found


def _facts(record: Record) -> str:
    return "".join(f"<div><dt>{attribute(name)}</dt><dd>{value}</dd></div>" for name, value in facts(record))


def _cards(record: Record) -> list[str]:
    """All figures that there is something for."""
    cards = by_epoch(record)
    if record.steps:
        cards.append(thinned("Loss by step", "loss", record.losses))
    if record.examples is not None:
        cards.append(record.examples.html())
    if record.samples and record.names:
        last = record.samples[-1]
        cards.append(heat_map("Gradient norms", record.names, record.samples))
        cards.append(dot_plot("Update to weight ratio", record.names, last.ratios, last.step))
        if record.updates is not None and len(record.updates):
            cards.append(histogram("Sizes of the last updates", record.updates, last.step))
    if record.steps:
        cards.append(thinned("Time per step, ms", "ms", [1000 * s for s in record.seconds]))
    if any(sample.resident for sample in record.samples):
        steps = [sample.step for sample in record.samples]
        lines = [Line("resident", steps, [sample.resident / 1e6 for sample in record.samples])]
        if any(sample.live for sample in record.samples):
            lines.append(Line("live arrays", steps, [sample.live / 1e6 for sample in record.samples]))
        cards.append(curves("Memory, MB", lines, "step", log=False))
    if record.samples and record.names:
        cards.append(_numbers(record))
    return cards


def _numbers(record: Record) -> str:
    """The last sampled step as a table: what the coloured figures say, in words."""
    last = record.samples[-1]
    rows = [
        (name, " × ".join(map(str, shape)) or "number", *("none" if v is None else short(v) for v in values))
        for name, shape, *values in zip(record.names, record.shapes, last.gradients, last.ratios)
    ]
    heads = ("parameter", "shape", "‖gradient‖", "‖update‖ / ‖weights‖")
    return f'<section class="card wide"><h2>Parameters at step {last.step}</h2>{table(heads, rows)}</section>'
