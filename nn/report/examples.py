"""Sample predictions: some rows of a batch with truth and prediction, as pictures, as a curve, or as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nn.report.curves import Line, curves
from nn.report.png import address
from nn.report.svg import attribute, short

MOST = 12
POINTS = 400  # of a curve
PIXELS = 96  # of a picture's side: larger ones are shown with every n-th pixel


@dataclass
class Examples:
    """Rows of inputs, targets and predictions. `kind`: "images", "classes", "curve" or "table"."""

    kind: str
    inputs: Any
    target: Any
    prediction: Any
    source: str

    @classmethod
    def of(cls, inputs: list[Any], target: Any, prediction: Any, source: str) -> Examples | None:
        """A few rows, copied; None for what has no rows or is no array."""
        x, t, p = (_array(part) for part in (inputs[0], target, prediction))
        if x is None or t is None or p is None or not x.ndim or not p.ndim or not t.ndim:
            return None
        if not len(x) == len(t) == len(p) or not len(p):
            return None
        if p.ndim == 2 and t.ndim == 1 and t.dtype.kind in "iu":
            kind = "images" if images(inputs) else "classes"
        elif (
            len(inputs) == 1
            and x[0].size == 1
            and p[0].size == 1
            and t[0].size == 1
            and x.dtype.kind in "fiu"
        ):
            kind = "curve"
        else:
            kind = "table"
        most = POINTS if kind == "curve" else MOST
        rows = (
            np.unique(np.linspace(0, len(p) - 1, min(most, len(p))).astype(int)) if kind == "curve" else ...
        )
        cut = (lambda a: a[rows].copy()) if kind == "curve" else (lambda a: a[:most].copy())
        return cls(kind, cut(x), cut(t), cut(p), source)

    def html(self) -> str:
        """The card."""
        if self.kind == "curve":
            return self._curve()
        title = f"Predictions ({self.source})"
        body = self._pictures() if self.kind == "images" else self._table()
        wide = " wide" if self.kind == "images" else ""
        return f'<section class="card{wide}"><h2>{attribute(title)}</h2>{body}</section>'

    def _curve(self) -> str:
        x, t, p = (
            np.asarray(a, np.float64).reshape(len(a)) for a in (self.inputs, self.target, self.prediction)
        )
        order = np.argsort(x, kind="stable")
        places = x[order].tolist()
        lines = [
            Line("prediction", places, p[order].tolist()),
            Line("truth", places, t[order].tolist(), dots=True),
        ]
        return curves(f"Truth and prediction ({self.source})", lines, "input", log=False, whole=False)

    def _answers(self) -> list[tuple[str, str, str]]:
        """Truth, prediction, and the probability the model gives it, as text; "none" where scores are NaN."""
        scores = self.prediction.astype(np.float64)
        with np.errstate(all="ignore"):
            if not ((scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3)):
                scores = np.exp(scores - scores.max(axis=1, keepdims=True))
                scores /= scores.sum(axis=1, keepdims=True)
        best = scores.argmax(axis=1)
        return [
            (str(int(t)), "none", "scores not finite")
            if np.isnan(s).any()
            else (str(int(t)), str(b), f"{s[b]:.0%}")
            for t, b, s in zip(self.target, best.tolist(), scores)
        ]

    def _pictures(self) -> str:
        found = []
        x = self.inputs.astype(np.float64)
        finite = x[np.isfinite(x)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        for image, (truth, best, share) in zip(x, self._answers()):
            pixels = np.nan_to_num((image - low) / ((high - low) or 1.0) * 255).clip(0, 255).astype(np.uint8)
            if pixels.ndim == 3:
                pixels = pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0)
            pixels = pixels[:: -(-pixels.shape[0] // PIXELS), :: -(-pixels.shape[1] // PIXELS)]
            right = "✓" if truth == best else "✗"
            words = f"{right} {best}, {share}" + (f"<br>truth {truth}" if truth != best else "")
            alt = f"input of class {truth}, predicted {best} with {share}"
            mood = "right" if truth == best else "wrong"
            found.append(
                f'<li class="{mood}"><img src="{address(pixels)}" alt="{alt}" title="{alt}"><span>{words}</span></li>'
            )
        return f'<ul class="pictures">{"".join(found)}</ul>'

    def _table(self) -> str:
        if self.kind == "classes":
            heads = ("input", "truth", "prediction", "probability")
            answers = self._answers()
            rows = [
                (_row(x), t, f"{'✓' if t == b else '✗'} {b}", s) for x, (t, b, s) in zip(self.inputs, answers)
            ]
        else:
            heads = ("input", "truth", "prediction")
            rows = [tuple(map(_row, parts)) for parts in zip(self.inputs, self.target, self.prediction)]
        return table(heads, rows)


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table that scrolls inside its card."""
    head = "".join(f'<th scope="col">{attribute(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{attribute(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def images(inputs: list[Any]) -> bool:
    """Whether the rows of the first input look like pictures: (C, H, W) with 1 or 3 channels, or (H, W)."""
    x = _array(inputs[0])
    if x is None or x.dtype.kind not in "fiu" or min(x.shape[-2:], default=0) < 4:
        return False
    return x.ndim == 3 or (x.ndim == 4 and x.shape[1] in (1, 3))


def _array(part: Any) -> Any:
    array = getattr(part, "array", part)
    return array if isinstance(array, np.ndarray) else None


def _row(values: Any) -> str:
    flat = np.asarray(values).ravel()
    shown = ", ".join(short(float(v)) for v in flat[:4])
    return shown + (f", … ({flat.size} numbers)" if flat.size > 4 else "")
