"""Figures with a row for each parameter, and the histogram of the updates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nn.report.png import address, viridis
from nn.report.record import Sample
from nn.report.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    axes,
    figure,
    rule,
    short,
    text,
    tick,
    told_apart,
)

SIDE = 150  # room for the parameters' names, in the widest of the usual fonts
COLUMNS = 240  # of a heat map: about one for each pixel
NOTHING = (0, 0, 0, 255)  # exactly 0: viridis begins with a dark violet
STRANGE = (213, 94, 0, 255)  # Okabe and Ito's vermilion: no colour of viridis is near it


def _rows(count: int) -> tuple[int, int]:
    """The height of a row, and after how many rows there is room for a name."""
    height = max(4, min(22, 460 // max(count, 1)))
    return height, -(-18 // height)


def _names(names: Sequence[str], height: int, every: int) -> list[str]:
    rows = range(0, len(names), every)
    labels = told_apart(names)
    return [text(SIDE - 6, TOP + (i + 0.5) * height + 5, labels[i], "end", names[i]) for i in rows]


def heat_map(title: str, names: Sequence[str], samples: Sequence[Sample]) -> str:
    """The norms of the gradients: a row for each parameter, time from left to right, colour by the logarithm."""
    values = np.array([[math.nan if g is None else g for g in s.gradients] for s in samples], float).T
    absent = np.array([[g is None for g in s.gradients] for s in samples]).T
    steps = [s.step for s in samples]
    # Columns are equally long times, each shows the latest sample until then: samples are not equally far apart.
    width = min(COLUMNS, steps[-1] - steps[0] + 1)
    at = np.searchsorted(steps, np.linspace(steps[0], steps[-1], width), side="right") - 1
    values, absent = values[:, at], absent[:, at]
    positive = values[np.isfinite(values) & (values > 0)]
    low, high = (math.log10(positive.min()), math.log10(positive.max())) if positive.size else (-1.0, 0.0)
    with np.errstate(all="ignore"):
        parts = (np.log10(values) - low) / max(high - low, 1e-9)
    pixels = np.concatenate(
        [viridis(np.nan_to_num(parts)), np.full((*values.shape, 1), 255, np.uint8)], axis=-1
    )
    pixels[~np.isfinite(values)] = STRANGE
    pixels[values == 0] = NOTHING
    pixels[absent] = 0
    row, every = _rows(len(names))
    bottom = TOP + row * len(names)
    right = WIDTH - RIGHT
    x = Scale(steps, SIDE, right, whole=True)
    body = [
        f'<image x="{SIDE}" y="{TOP}" width="{right - SIDE}" height="{bottom - TOP}" preserveAspectRatio="none" '
        f'href="{address(pixels)}"/>',
        *_names(names, row, every),
        *_below(x, bottom, "step"),
        f'<image x="{SIDE}" y="{bottom + 50}" width="{right - SIDE}" height="10" preserveAspectRatio="none" '
        f'href="{address(viridis(np.linspace(0, 1, 64))[None])}"/>',
        text(SIDE, bottom + 76, short(10**low), "start"),
        text(right, bottom + 76, short(10**high), "end"),
    ]
    strange = int((~np.isfinite(values) & ~absent).any(axis=1).sum())
    caption = "Dark is small, yellow large, on a logarithmic scale."
    if strange:
        caption += f' <span class="key bad">not finite in {strange} of {len(names)} parameters</span>'
    if dead := int((values == 0).any(axis=1).sum()):
        caption += f" Black: exactly 0, in {dead} of {len(names)} parameters."
    described = "; ".join(
        f"{name} {'none' if last is None else short(last)}"
        for name, last in zip(names[:40], samples[-1].gradients)
    )
    return figure(title, f"at step {steps[-1]}: {described}", body, caption, bottom + 82)


def _below(x: Scale, bottom: float, label: str) -> list[str]:
    parts = [part for value in x.ticks for part in tick(x, value, bottom)]
    return [*parts, text((SIDE + WIDTH - RIGHT) / 2, bottom + 38, label)]


def dot_plot(title: str, names: Sequence[str], values: Sequence[float | None], step: int) -> str:
    """One number for each parameter on a logarithmic axis: updates in relation to weights, 10⁻³ marked."""
    row, every = _rows(len(names))
    bottom = TOP + row * len(names)
    known = [v for v in values if v is not None and math.isfinite(v) and v > 0]
    powers = [math.log10(v) for v in [*known, 1e-3]]
    ends = [10.0 ** math.floor(min(powers)), 10.0 ** math.ceil(max(powers) + 1e-9)]
    x = Scale(ends, SIDE, WIDTH - RIGHT, log=True, most=3)
    body = [rule(x(1e-3), TOP, x(1e-3), bottom, "mark"), *_names(names, row, every)]
    for i, value in enumerate(values):
        y = TOP + (i + 0.5) * row
        body.append(rule(SIDE, y, WIDTH - RIGHT, y))
        if value is None:
            continue
        if not math.isfinite(value):
            body.append(text(SIDE + 4, y + 5, short(value), "start"))
        elif not value:
            body.append(text(SIDE + 4, y + 5, "0", "start"))
        else:
            body.append(f'<circle class="s0" cx="{x(value):.1f}" cy="{y:.1f}" r="{min(4.5, row / 2):.1f}"/>')
    body += _below(x, bottom, "‖update‖ / ‖weights‖")
    described = "; ".join(f"{n} {'none' if v is None else short(v)}" for n, v in zip(names[:40], values))
    caption = f"At step {step}. About 10⁻³ (the dashed line) is common; far more is often too fast."
    return figure(title, described, body, caption, bottom + 44)


def histogram(title: str, updates: Any, step: int) -> str:
    """How large the updates of single weights were, by powers of ten; how many were exactly 0."""
    sizes = np.abs(np.asarray(updates, np.float64))
    moved = np.log10(sizes[np.isfinite(sizes) & (sizes > 0)])
    caption = f"At step {step}. Exactly 0: {(sizes == 0).mean():.1%} of the weights."
    if strange := int((~np.isfinite(sizes)).sum()):
        caption += f' <span class="key bad">not finite: {strange}</span>'
    if not moved.size:
        return figure(title, "nothing moved", [text(WIDTH / 2, 40, "nothing moved")], caption, 80)
    low, high = math.floor(np.quantile(moved, 0.001)), math.ceil(moved.max() + 1e-9)
    counts, edges = np.histogram(np.maximum(moved, low), bins=30, range=(low, max(high, low + 1)))
    shares = 100 * counts / max(sizes.size, 1)
    x = Scale([10.0 ** edges[0], 10.0 ** edges[-1]], LEFT, WIDTH - RIGHT, log=True)
    y = Scale([0.0, float(shares.max())], HEIGHT - BOTTOM, TOP)
    bars = axes(x, y, "|update| of a weight; height in %")
    for share, left, right in zip(shares.tolist(), edges[:-1].tolist(), edges[1:].tolist()):
        start, stop = x(10.0**left), x(10.0**right)
        bars.append(
            f'<rect class="s0" x="{start:.1f}" y="{y(share):.1f}" width="{max(stop - start - 1, 1):.1f}" '
            f'height="{y(0) - y(share):.1f}"/>'
        )
    middle = 10 ** float(np.median(moved))
    return figure(title, f"half of the weights that moved did so by less than {short(middle)}", bars, caption)
