"""The report of a run: a page and a text that are complete at any time, whatever happens to the run."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import PHONE

import autograd_core as ag
import nn
from nn.report import Watch, maps, page, watch
from nn.report.examples import Examples
from nn.report.record import Budget, Sample, thin
from nn.report.svg import BOTTOM, HEIGHT, TOP

SVG = "{http://www.w3.org/2000/svg}"
EMPTY = {"meta", "link", "img", "br"}


class Tags(HTMLParser):
    """Checks that what is opened is closed, and keeps names and text."""

    def __init__(self, source):
        super().__init__()
        self.open, self.names, self.words = [], [], ""
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def figures(source):
    """The SVGs of a page by their titles, parsed as XML."""
    found = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", source, re.DOTALL)]
    return {svg.find(f"{SVG}title").text.split(":")[0]: svg for svg in found}


def points(svg, kind="s0"):
    lines = [e.get("points").split() for e in svg.iter(f"{SVG}polyline") if e.get("class") == kind]
    return sum(map(len, lines)) + len([e for e in svg.iter(f"{SVG}circle") if e.get("class") == kind])


def classify(path, epochs=3, **options):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(96, 1, 8, 8)).astype("f"), rng.integers(0, 3, 96)
    model = nn.Sequential(nn.Flatten(), nn.Dense(64, 3))
    optimizer = nn.SGD(model.parameters(), 0.01)
    options = {"validation": (x[:20], y[:20])} | options
    return nn.fit(model, (x, y), nn.cross_entropy, optimizer, epochs, progress=False, report=path, **options)


def regress(path, epochs=2, model=None, **options):
    x = np.linspace(-1, 1, 64, dtype="f")[:, None]
    model = model or nn.Dense(1, 1)
    return nn.fit(
        model,
        (x, 2 * x),
        nn.mse_loss,
        nn.SGD(model.parameters(), 0.1),
        epochs,
        progress=False,
        report=path,
        **options,
    )


def test_a_page_has_all_figures_and_curves_all_points(tmp_path):
    path = tmp_path / "run.html"
    history = classify(path)
    source = path.read_text(encoding="utf-8")
    tags, found = Tags(source), figures(source)
    assert points(found["Loss by step"]) == history.watched.steps == 9
    assert points(found["Loss"]) == points(found["Loss"], "s1") == points(found["Accuracy"]) == 3
    assert {
        "Gradient norms",
        "Update to weight ratio",
        "Sizes of the last updates",
        "Time per step, ms",
        "Memory, MB",
    } <= set(found)
    bars = [float(bar.get("height")) for bar in found["Sizes of the last updates"].iter(f"{SVG}rect")]
    assert max(bars) == pytest.approx(HEIGHT - BOTTOM - TOP, abs=1), "the highest bar fills its figure"
    assert all(svg.get("aria-label") and svg.get("role") == "img" for svg in found.values())
    assert tags.names.count("img") == 12
    assert "finished" in tags.words
    assert "195" in tags.words  # parameters
    assert "script" not in tags.names  # nothing to wait for
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(|@import""", source)
    assert [p.name for p in tmp_path.iterdir()] == ["run.html"]


def test_a_histogram_has_all_updates_and_a_heat_map_its_order():
    counted = ElementTree.fromstring(
        re.search("<svg.*</svg>", maps.histogram("h", [1e-3, -1e-3, 2e-3, 0.0], 1), re.S)[0]
    )
    heights = [float(bar.get("height")) for bar in counted.iter(f"{SVG}rect")]
    whole = (HEIGHT - BOTTOM - TOP) / 50  # pixels of one percent: two of four weights moved alike
    assert sum(heights) / whole == pytest.approx(75, abs=1), "three of the four moved"
    (tick,) = (text for text in counted.iter(f"{SVG}text") if text.text == "40")
    assert float(tick.get("y")) - 5 == pytest.approx(HEIGHT - BOTTOM - 40 * whole, abs=1)
    shown = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(maps, "address", lambda pixels: shown.append(pixels) or "")
        maps.heat_map("g", ["a", "b"], [Sample(1, [1e-3, 1.0], [None, None], 0, 0)])
    (small,), (large,) = shown[0]
    assert tuple(small[:3]) == tuple(maps.viridis(0.0))
    assert tuple(large[:3]) == tuple(maps.viridis(1.0))


def test_a_regression_is_drawn_as_truth_and_prediction(tmp_path):
    regress(tmp_path / "run.html")
    svg = figures((tmp_path / "run.html").read_text(encoding="utf-8"))[
        "Truth and prediction (last training batch)"
    ]
    assert points(svg, "s0") == points(svg, "s1") == 32


def test_while_the_run_goes_on_the_page_looks_again(tmp_path):
    seen = []
    path = tmp_path / "run.html"
    classify(path, callbacks=lambda history, model: seen.append(path.read_text(encoding="utf-8")))
    assert "location.reload" in seen[0]
    assert 'http-equiv="refresh"' in seen[0]
    assert "running" in Tags(seen[0]).words


def test_an_error_is_named_in_the_page_that_stays(tmp_path):
    def fails(history, model):
        raise RuntimeError("<b>the disk & the dog</b>")

    with pytest.raises(RuntimeError, match="the dog"):
        classify(tmp_path / "run.html", callbacks=fails)
    words = Tags((tmp_path / "run.html").read_text(encoding="utf-8")).words
    assert "RuntimeError: <b>the disk & the dog</b>" in words
    assert "step 3" in words
    assert "failed" in words


def test_the_keyboard_and_callbacks_stop_a_run(tmp_path):
    def press(history, model):
        raise KeyboardInterrupt

    for stop, why in ((press, "by the keyboard"), (lambda history, model: True, "by a callback")):
        classify(tmp_path / "run.html", callbacks=stop)
        words = Tags((tmp_path / "run.html").read_text(encoding="utf-8")).words
        assert "stopped" in words
        assert why in words


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is POSIX's")
def test_a_killed_run_leaves_a_complete_page(tmp_path):
    path = tmp_path / "run.html"
    code = f"""
        import numpy as np, nn
        x = np.linspace(-1, 1, 64, dtype="f")[:, None]
        model = nn.Dense(1, 1)
        optimizer = nn.SGD(model.parameters(), 0.1)
        nn.fit(model, (x, x), nn.mse_loss, optimizer, 10**6, progress=False, compile=False, report={str(path)!r})
    """
    run = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and not (
            path.exists() and "Loss by step" in path.read_text(encoding="utf-8")
        ):
            time.sleep(0.05)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    source = path.read_text(encoding="utf-8")
    Tags(source)
    assert source.endswith("</html>\n")
    assert points(figures(source)["Loss by step"])


def test_hostile_names_are_text(tmp_path):
    name = "<script>alert(1)</script>\x1b[2J"
    metrics = {name: lambda prediction, target: 1.0}
    Hostile = type('"><script>', (nn.Dense,), {})
    for suffix in ("html", "txt"):
        x = np.ones((8, 1), "f")
        model = Hostile(1, 1)
        optimizer, path = nn.SGD(model.parameters(), 0.1), tmp_path / f"run.{suffix}"
        nn.fit(model, (x, x), nn.mse_loss, optimizer, 2, progress=False, metrics=metrics, report=path)
        source = path.read_text(encoding="utf-8")
        assert "\x1b" not in source
        if suffix == "html":
            assert "script" not in Tags(source).names
            figures(source)


def test_text_for_a_terminal(tmp_path):
    history = classify(tmp_path / "run.txt")
    kept = (tmp_path / "run.txt").read_text(encoding="utf-8")
    assert kept == history.text()
    for part in ("finished", "validation accuracy", "1.weight", "Images per second", "▁"):
        assert part in kept
    assert max(map(len, kept.splitlines())) <= 100


def test_numbers_that_are_not_finite_are_marked(tmp_path):
    values = iter([np.nan, 1.0, np.inf, 2.0, 3.0, 3.0])
    history = regress(tmp_path / "run.html", 3, metrics={"odd": lambda p, t: next(values)})
    svg = figures(page(history))["Odd"]
    assert len(svg.findall(f"{SVG}path")) == 2
    assert points(svg) == 1
    x = np.full((4, 1), np.inf, "f")
    model = nn.Dense(1, 1)
    with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
        nn.fit(
            model,
            (x, x),
            nn.mse_loss,
            nn.SGD(model.parameters(), 1),
            1,
            progress=False,
            report=tmp_path / "bad.html",
        )
    source = (tmp_path / "bad.html").read_text(encoding="utf-8")
    assert "FloatingPointError" in source
    assert figures(source)["Loss by step"].findall(f"{SVG}path")


def test_bad_paths_are_errors_before_anything_trains(tmp_path):
    with pytest.raises(ValueError, match=r"\.html .*\.txt"):
        regress(tmp_path / "run.pdf")
    with pytest.raises(FileNotFoundError, match="no folder"):
        regress(tmp_path / "absent" / "run.html")


def test_without_a_report_nothing_is_written_or_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert regress(None).watched is None
    assert not list(tmp_path.iterdir())
    code = "import nn, sys; print('nn.report' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_a_report_changes_no_bit_of_the_training(tmp_path):
    losses = []
    for path in (None, tmp_path / "run.html"):
        ag.random.seed(1)
        losses.append(classify(path)["validation_loss"])
    assert losses[0] == losses[1]


def test_collecting_is_spaced_out_by_what_it_takes(tmp_path):
    class Slow(Watch):
        def sample(self, before):
            self.calls = getattr(self, "calls", 0) + 1
            began = self.sampling.begin()
            now[0] += 1.0
            self.sampling.end(began)

    now = [0.0]
    model = nn.Dense(1, 1)
    watch = Slow(tmp_path / "run.txt", model, nn.History(), 1, clock=lambda: now[0])
    for _ in range(1000):
        watch.before()
        now[0] += 1.0
        watch.after(0.5, 8)
    assert 9 <= watch.calls <= 11  # a second each in 1,000: 1 %
    assert sum(watch.record.seconds) == 1000  # what collecting took is not the steps'


def test_long_runs_are_thinned(tmp_path):
    values = np.sin(np.arange(12345.0))
    values[5000] = np.nan
    places, kept = thin(values)
    assert len(places) <= 1000
    assert np.nanmax(values) in kept
    assert 5000 in places
    now = [0.0]
    watch = Watch(tmp_path / "run.txt", nn.Dense(1, 1), nn.History(), 1, clock=lambda: now[0])
    watch.sampling = Budget(1.0, clock=lambda: now[0])
    for _ in range(5000):
        watch.before()
        watch.after(0.5, 8)
    assert 200 < len(watch.record.samples) <= 481
    steps = [sample.step for sample in watch.record.samples]
    assert max(np.diff(steps)) <= 32


def test_on_a_phone_nothing_scrolls_sideways_and_all_is_seen(tmp_path, browser):
    classify(tmp_path / "run.html")
    regress(tmp_path / "sine.html")
    body = nn.Sequential(nn.ReLU(), nn.Sequential(*[nn.LayerNorm(4) for _ in range(9)]), nn.Dense(4, 4))
    deep = nn.Sequential(nn.Dense(1, 4), nn.Sequential(nn.Residual(body)), nn.Dense(4, 1))  # long names
    regress(tmp_path / "deep.html", model=deep)
    for name in ("run.html", "sine.html", "deep.html"):
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
        browser.get((tmp_path / name).as_uri())
        width, inner = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert inner == 390
        assert width <= inner
        boxes = browser.execute_script(
            "return [...document.querySelectorAll('svg, img')].map(e => e.getBoundingClientRect().toJSON())"
        )
        assert len(boxes) >= 7
        assert all(box["width"] > 60 and box["height"] > 40 for box in boxes)
        assert all(box["left"] >= 0 and box["right"] <= 390 for box in boxes)
        sizes = browser.execute_script(
            "return [...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().height)"
        )
        assert min(sizes) >= 14
        outside = browser.execute_script(
            "return [...document.querySelectorAll('svg text')].filter(e => { const a = e.getBoundingClientRect(),"
            " b = e.ownerSVGElement.getBoundingClientRect(); return a.left < b.left - 1 || a.right > b.right + 1 })"
            ".map(e => e.textContent)"
        )
        assert outside == []
        assert browser.get_log("browser") == []
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_metrics_keep_their_capital_letters(tmp_path):
    path = tmp_path / "run.html"
    classify(path, metrics={"mAP": lambda p, t: 0.5, "top_five": lambda p, t: 0.9})
    assert {"mAP", "Top five"} <= set(figures(path.read_text(encoding="utf-8")))


def test_the_report_stays_where_it_was_when_the_program_goes_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    classify("run.html", callbacks=lambda history, model: os.chdir(tmp_path / "other"))
    assert "finished" in (tmp_path / "run.html").read_text(encoding="utf-8")
    assert not list((tmp_path / "other").iterdir())


def test_norms_neither_overflow_nor_vanish():
    for size in (1e25, 1e-30):
        with np.errstate(all="ignore"):  # as where it is called
            assert watch._norm(np.full(4, size, np.float32)) == pytest.approx(2 * size, rel=1e-6)


def test_a_prediction_that_is_no_number_is_no_class():
    images = [np.zeros((2, 1, 8, 8), np.float32)]
    scores = np.array([[np.nan, 0.0], [0.0, 9.0]], np.float32)
    page = Examples.of(images, np.array([0, 1]), scores, "test").html()
    assert "✗ none, scores not finite" in page
    assert "nan%" not in page
