"""`autograd-core warmup`: kernels compiled before they are needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autograd_core import warmup

ROOT = Path(__file__).parents[1]
WARM = """
if __name__ == "__main__":
    from autograd_core.warmup import main
    main(["warmup", "--dtype", "float32", "--processes", "1"])
"""
CONVOLUTION = """
import numpy as np
import autograd_core as ag
x = ag.tensor(np.ones((2, 8, 9, 9), np.float32), requires_grad=True)
w = ag.tensor(np.ones((8, 8, 3, 3), np.float32), requires_grad=True)
y = ag.conv(x, w, padding=1)
y.sum().backward()
print(*(round(float(t.numpy().max())) for t in (y, x.grad, w.grad)))
"""


def run(code, cache):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={**os.environ, "AUTOGRAD_CORE_CACHE": str(cache), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def entries(cache):
    return {path.name: path.stat().st_mtime_ns for path in cache.glob("*/*")}


@pytest.mark.slow
def test_after_warming_up_a_convolution_and_its_gradients_compile_nothing(tmp_path):
    out, err = run(WARM, tmp_path)
    (folder,) = tmp_path.iterdir()
    assert f"kept in {folder}" in out
    assert "compiling" in err  # the bar's name
    before = entries(tmp_path)
    assert before
    assert all(name.endswith(".nbc") for name in before)
    assert run(CONVOLUTION, tmp_path) == ("72 72 162\n", "")
    assert entries(tmp_path) == before
    run(WARM, tmp_path)
    assert entries(tmp_path) == before


@pytest.mark.slow
def test_every_kernel_compiles_for_both_dtypes(tmp_path):
    out, _ = run(WARM.replace('"--dtype", "float32", "--processes", "1"', '"--processes", "2"'), tmp_path)
    assert "kept in" in out


@pytest.mark.slow
def test_warming_up_for_one_dtype_compiles_no_other(tmp_path):
    code = WARM.replace("import main", "import main\n    import autograd_core.kernels.launch as launch")
    code += "    floats = [kernel for kernel in launch.registry if kernel.first_float is not None]\n"
    code += "    print({str(dtype) for kernel in floats for dtype in kernel.compiled})\n"
    assert run(code, tmp_path)[0].splitlines()[-1] == "{'float32'}"


def test_kernels_are_known_by_names_of_their_own():
    found = [name for name in warmup.names() if name.startswith("autograd_core.")]
    assert len(set(found)) == len(found)
    assert {
        f"autograd_core.kernels.{name}.convolve" for name in ("conv_tile", "conv_stencil", "winograd")
    } <= {*found}


def test_a_dtype_that_there_is_not_is_refused(capsys):
    with pytest.raises(SystemExit):
        warmup.main(["warmup", "--dtype", "float16"])
    assert "invalid choice: 'float16'" in capsys.readouterr().err
