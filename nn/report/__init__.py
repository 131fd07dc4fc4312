"""Watching a run: the page or the text that `nn.fit(..., report=)` keeps up to date while a model is trained.

`Watch` collects and writes, `page` is the HTML page and `text` the report for a terminal; `curves`, `maps`, `svg` and
`png` draw. Nothing of this is imported before the first report is asked for.

>>> import nn, numpy as np, tempfile, pathlib
>>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(64, 1)
>>> model = nn.Dense(1, 1)
>>> optimizer = nn.SGD(model.parameters(), 0.1)
>>> with tempfile.TemporaryDirectory() as folder:
...     file = pathlib.Path(folder) / "run.html"
...     history = nn.fit(model, (x, 2 * x), nn.mse_loss, optimizer, 3, progress=False, report=file)
...     "finished" in file.read_text(encoding="utf-8")
True
"""

from nn.report.page import page
from nn.report.record import Record, Sample
from nn.report.text import text
from nn.report.watch import Watch

__all__ = ["Record", "Sample", "Watch", "page", "text"]
