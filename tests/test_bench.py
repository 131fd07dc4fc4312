"""The benchmark's own arithmetic, and one run of it with this project alone."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.bench import kernels, limits, report
from tools.bench.engines.own import Own
from tools.bench.measure import Plan, Record, alternate, environment
from tools.bench.proof import agreeing, built

ROOT = Path(__file__).parents[1]


def record(**values):
    return Record("kernels", "convolution", "a case", 1, values=values)


def test_a_ratio_is_taken_turn_by_turn():
    """A machine that is twice as slow for a turn is so for both."""
    found = record(**{"autograd-core": [1.0, 2.0, 4.0], "PyTorch": [3.0, 6.0, 12.0]})
    ratio = found.ratio("PyTorch")
    assert ratio is not None
    assert (ratio.low, ratio.median, ratio.high) == (3.0, 3.0, 3.0)


def test_a_peer_stands_in_the_table_with_its_best_setting(tmp_path):
    found = record(
        **{"autograd-core": [2e-3] * 3, "PyTorch": [9e-3] * 3, "PyTorch channels_last": [3e-3] * 3}
    )
    assert found.best_peer() == "PyTorch channels_last"
    report.write([found], tmp_path)
    (row,) = [
        line for line in (tmp_path / "kernels.md").read_text().splitlines() if line.startswith("| a case")
    ]
    assert "2.00 ms ±0% | 3.00 ms ±0% channels_last |" in row
    assert "1.50× (1.50–1.50)" in row


def test_our_other_setting_stands_beside_the_best_with_its_own_ratio(tmp_path):
    found = record(
        **{"autograd-core": [4e-3] * 3, "autograd-core compiled": [2e-3] * 3, "JAX": [3e-3] * 3},
    )
    found.traffic, found.limits = 1e6, {"copy": 1e9}
    report.write([found], tmp_path)
    (row,) = [
        line for line in (tmp_path / "kernels.md").read_text().splitlines() if line.startswith("| a case")
    ]
    assert "2.00 ms ±0% compiled |" in row
    assert "| autograd-core eager 4.00 ms ±0% = 0.75× (0.75–0.75) |" in row


@pytest.mark.parametrize("operation", ["softmax", "affine_relu", "gelu_tanh", "gated", "statistics"])
def test_what_fuses_is_the_same_compiled(operation):
    kernel = next(
        each.measure.args[0] for each in kernels.cases() if each.measure.args[0].operation == operation
    )
    assert kernel.fuses
    rng = np.random.default_rng(0)
    made = []
    for engine in (Own(), Own(compiled=True)):
        rng = np.random.default_rng(0)
        shapes = [(8, *shape[1:]) if len(shape) > 1 else shape for _, shape in kernel.inputs]
        inputs = [engine.place(rng.standard_normal(shape).astype(np.float32), "plain") for shape in shapes]
        calls = [engine.forward(operation, inputs, {})]
        if operation != "statistics":
            g = engine.place(rng.standard_normal(shapes[0]).astype(np.float32), "plain")
            calls.append(engine.pullback(operation, inputs, g, {}))
        made.append([part for call in calls for _ in range(2) for part in engine.fetch(call(), "plain")])
    for eager, compiled in zip(*made, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-5)


def test_the_limit_is_the_one_that_takes_longer():
    found = record(**{"autograd-core": [2.0]})
    found.flops, found.traffic = 10.0, 4.0
    found.limits = {"sgemm": 10.0, "copy": 8.0}
    assert found.limit() == ("sgemm", 1.0)
    assert "= 50% of sgemm" in report.text(found)
    found.limits = {"sgemm": 10.0, "copy": 2.0}
    assert found.limit() == ("copy", 2.0)


def test_the_copy_is_as_large_as_the_case_and_its_rate_counts_both_ways():
    assert limits.copied(1e6) == 500_000
    rates = limits.rates({"sgemm NumPy": [1.0], "copy NumPy": [0.5], "copy PyTorch": [0.25]}, 1e6)
    assert rates == {"sgemm": limits.FLOPS, "copy": 4e6}


def test_turns_alternate_and_no_engine_always_follows_the_same():
    order: list[str] = []
    times = alternate({name: lambda name=name: order.append(name) for name in "abc"}, 3)
    assert {name: len(each) for name, each in times.items()} == {"a": 3, "b": 3, "c": 3}
    changes = [one + two for one, two in itertools.pairwise(order) if one != two]
    assert changes[-8:] == ["ab", "bc", "cb", "bc", "ca", "ac", "ca", "ab"]


def test_an_engine_with_another_result_is_not_measured_and_fails_the_run():
    found = record()
    right, wrong = [np.ones(3)], [np.array([1.0, 1.0, 1.1])]
    nan = [np.array([1.0, np.nan, 1.0])]
    assert agreeing({"autograd-core": right, "JAX": wrong, "PyTorch": nan}, 1e-3, found) == ["autograd-core"]
    assert found.failed
    assert "JAX differs from autograd-core by 1.0e-01" in found.notes[0]
    assert "PyTorch differs" in found.notes[1]


def test_a_peer_that_cannot_build_is_left_out_with_its_reason():
    def build(engine):
        if engine == "broken":
            raise RuntimeError("no compiler\nmore")
        return engine

    found = record()
    engines: dict[str, Any] = {"autograd-core": "whole", "PyTorch compiled": "broken"}
    assert built(engines, build, found, Plan(1, 1)) == {"autograd-core": "whole"}
    assert found.notes == ["PyTorch compiled failed: RuntimeError: no compiler"]
    assert not found.failed


@pytest.mark.parametrize("chosen", [{}, {"OMP_WAIT_POLICY": "active"}])
def test_every_engine_is_bound_to_the_threads_and_the_users_choice_stays(chosen, monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):  # kernels that are loaded by now have set the latter
        monkeypatch.delenv(name, raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    found = environment(1)
    assert {found[name] for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")} == {"1"}
    assert ("GOMP_SPINCOUNT" in found) == (not chosen)


def test_one_run_with_what_is_installed(tmp_path):
    """Results compared and written; nothing is timed, so the figures are no test."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.bench", "--check", "--part", "kernels", "--only", "softmax 128",
         "--threads", "1", "--out", str(tmp_path)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kernels · softmax 128×1000, forward · one core" in done.stdout
    written = json.loads((tmp_path / "results.json").read_text())
    assert [one["name"] for one in written["records"]] == [
        "softmax 128×1000, forward",
        "softmax 128×1000, backward",
    ]
    assert all(one["equal"] and not one["failed"] for one in written["records"])
