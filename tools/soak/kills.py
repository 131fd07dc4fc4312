"""A process that saves again and again, killed at any moment: the file is a whole old one or a whole new one."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import nn
from tools.soak.check import Check, Runs

ROOT = Path(__file__).resolve().parents[2]
SIZE = 200_000  # numbers: large enough that a kill often meets a write
SAVER = """
import sys
import numpy as np
import nn
model = nn.Module()
model.numbers = nn.Buffer(np.zeros({size}, np.float32))
version = int(sys.argv[2])
print("ready", flush=True)
while True:
    version += 1
    model.numbers.assign(np.full({size}, version % 1000, np.float32))
    nn.save(sys.argv[1], model, version=version)
"""


def kills_while_saving(quick: bool) -> Runs:
    """SIGKILL after a random time; then the file must load, with all numbers of one version."""
    draw = np.random.default_rng(2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        script = Path(folder) / "saver.py"
        script.write_text(SAVER.format(size=SIZE))
        model, numbers = nn.Module(), nn.Buffer(np.zeros(SIZE, np.float32))
        model.numbers = numbers  # pyright: ignore[reportAttributeAccessIssue]
        nn.save(path, model, version=0)
        version = 0
        for _ in range(KILLS[quick]):
            process = subprocess.Popen(
                [sys.executable, str(script), str(path), str(version)], cwd=ROOT, stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(float(draw.uniform(0.0, 0.05)))
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            try:
                version = nn.load(path, model)["version"]
            except Exception as error:
                yield f"after a kill: {type(error).__name__}: {error}"
                continue
            held = np.unique(numbers.numpy())
            yield None if held.tolist() == [version % 1000] else f"version {version} holds {held[:4]}"


KILLS = {False: 100, True: 8}
CHECKS = (
    [Check("kills", "kills during nn.save", kills_while_saving, KILLS.__getitem__)]
    if hasattr(signal, "SIGKILL")
    else []
)
