"""Kernels compiled in two processes: who compiles what, and that neither hinders the other."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from autograd_core.kernels import ahead
from autograd_core.kernels.store import Store

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(ahead.fcntl is None, reason="this system cannot lock files")
STEP = """
import numpy as np
import autograd_core as ag
from autograd_core.kernels import ahead
from autograd_core.kernels.store import Store
x = ag.tensor(np.ones((2, 8, 9, 9), np.float32), requires_grad=True)
w = ag.tensor(np.ones((8, 8, 3, 3), np.float32), requires_grad=True)
ag.conv(x, w, padding=1, stride=2).sum().backward()
print(float(x.grad.numpy().max()), len(ahead._worker))
"""


def test_a_claim_waits_until_the_other_is_released(tmp_path):
    store = Store(tmp_path, "kernels")
    first = ahead.Claim(store, "kernel.nbc")
    later = []
    thread = threading.Thread(target=lambda: later.append(ahead.Claim(store, "kernel.nbc")))
    thread.start()
    time.sleep(0.05)
    assert not later
    first.release()
    thread.join()
    assert later[0].waited
    assert not first.waited
    later[0].release()
    assert not list(store.path.iterdir())


def test_the_worker_leaves_claimed_kernels_to_the_other(tmp_path, monkeypatch):
    store = Store(tmp_path, "kernels")
    first = ahead.Claim(store, "kernel.nbc")
    monkeypatch.setattr(ahead, "_patience", [0.0])
    with pytest.raises(ahead.Claimed):
        ahead.Claim(store, "kernel.nbc")
    first.release()
    ahead.Claim(store, "kernel.nbc").release()


def test_a_claim_of_a_process_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    store = Store(tmp_path, "kernels")
    first = ahead.Claim(store, "kernel.nbc")
    monkeypatch.setattr(ahead, "_patience", [0.02])
    assert ahead.Claim(store, "kernel.nbc").waited
    first.release()


def test_where_nothing_can_be_locked_kernels_are_compiled_all_the_same(tmp_path):
    (tmp_path / "file").touch()
    claim = ahead.Claim(Store(tmp_path / "file" / "cache", "kernels"), "kernel.nbc")
    assert not claim.waited
    claim.release()
    ahead.Claim(Store(None, ""), "kernel.nbc").release()


@pytest.mark.slow
@pytest.mark.parametrize("ahead_of_time", ["1", "0"])
def test_a_first_step_with_a_worker_and_without(tmp_path, ahead_of_time):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", STEP], cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={**os.environ, "AUTOGRAD_CORE_CACHE": str(tmp_path), "AUTOGRAD_CORE_AHEAD": ahead_of_time},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    started = int(ahead_of_time) and ahead.cores() > 1
    assert done.stdout == f"32.0 {int(started)}\n"
    names = [path.name for path in tmp_path.glob("*/*")]
    assert names
    assert not [name for name in names if name.endswith(".lock") and ahead_of_time == "0"]


def test_a_worker_ends_with_its_process_and_compiles_what_it_is_told(tmp_path):
    code = "from autograd_core.kernels.ahead import work; work('float32', ['conv_tile_weight.add_chunks'])"
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, timeout=600,
        env={**os.environ, "AUTOGRAD_CORE_CACHE": str(tmp_path), "AUTOGRAD_CORE_AHEAD": "0"},
    )  # fmt: skip
    assert [path.name.split(".")[0] for path in tmp_path.glob("*/*")]
