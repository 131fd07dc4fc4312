"""What numba does to make a kernel, and that it can go its own way."""

from __future__ import annotations

import numpy as np
import pytest
from numba.core.compiler import Compiler

from autograd_core.kernels import launch, pipeline
from autograd_core.kernels.jit import jit
from autograd_core.kernels.launch import Floats, kernel
from autograd_core.kernels.store import Store


@jit(inner=True)
def _squares(values, first, past):
    total = values[first] * 0
    for i in range(first, past):
        total += values[i] * values[i]
    return total


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Nothing is on disk."""
    monkeypatch.setattr("autograd_core.kernels.jit.store", lambda: Store(tmp_path, "kernels"))


def _made():
    @kernel
    def rows(task: int, x: Floats, out: Floats, size: int) -> None:
        out[task] = _squares(x, task * size, (task + 1) * size)

    return rows


@pytest.mark.parametrize("compiler", [pipeline.KernelCompiler, Compiler])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_kernel_that_calls_an_inner_function(compiler, dtype, monkeypatch):
    monkeypatch.setattr(launch, "KernelCompiler", compiler)
    x, out = np.arange(12, dtype=dtype), np.zeros(3, dtype)
    _made()(x, out, 4, tasks=3)
    np.testing.assert_array_equal(out, (x.reshape(3, 4) ** 2).sum(1))


@pytest.mark.skipif(
    pipeline.KernelCompiler is Compiler,
    reason="this numba lacks what pipeline.py builds on, so jit.py has fallen back to its Compiler",
)
def test_an_inner_function_is_not_for_python():
    x = np.ones(4, np.float32)
    _made()(x, np.zeros(1, np.float32), 4, tasks=1)
    with pytest.raises((TypeError, IndexError)):
        _squares(x, 0, 4)
