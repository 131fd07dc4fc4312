"""Filling the disk cache with compiled kernels before they are needed: `autograd-core warmup`."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path

DTYPES = ("float32", "float64")


def names() -> list[str]:
    """module.name of every kernel."""
    return [f"{kernel.function.__module__}.{kernel.name}" for kernel in _registry()]


def _registry() -> list:
    from autograd_core import kernels
    from autograd_core.kernels.launch import registry

    for module in pkgutil.iter_modules(kernels.__path__):
        importlib.import_module(f"{kernels.__name__}.{module.name}")
    return registry


def _alone() -> None:
    """The processes share the kernels out; none of them starts a worker of its own."""
    os.environ["AUTOGRAD_CORE_AHEAD"] = "0"


def _compile(job: tuple[str, str]) -> str:
    name, dtype = job
    for kernel in _registry():
        if f"{kernel.function.__module__}.{kernel.name}" == name:
            kernel.compile(dtype)
    return name


def _rest(dtypes: Sequence[str]) -> None:
    """What compiles when it is called: the loops over tasks, matrix products, recorded calls, random numbers."""
    import numpy as np

    import autograd_core as ag
    from autograd_core.kernels.conv_tile_weight import add_chunks

    for dtype in dtypes:
        x = ag.ones((1, 4, 2, 2), dtype=dtype)
        ag.conv(x, ag.ones((16, 4, 1, 1), dtype=dtype))
        w = ag.ones((128, 128), dtype=dtype, requires_grad=True)
        ag.cross_entropy(ag.linear(w, w, w[0]), np.zeros(128, np.int64)).sum().backward()
        ag.random.normal((2, 3), dtype=dtype)
        ag.random.uniform((2, 3), dtype=dtype)
        if ag.get_num_threads() > 1:  # the loop that shares tasks out
            sums = np.zeros(64, dtype)
            add_chunks(sums, np.zeros(2, dtype), 1, 1, 1, 1, 8, tasks=2)


def warmup(dtypes: Sequence[str] = DTYPES, processes: int = 2) -> Iterator[tuple[int, int, str]]:
    """Compile every kernel for these dtypes; yields how many are done, of how many, and the last one's name.

    numba compiles on one thread of a process, so several processes share the kernels out.
    """
    jobs = [(name, dtype) for dtype in dtypes for name in names()]
    with get_context("spawn").Pool(processes, _alone) as pool:
        for done, name in enumerate(pool.imap_unordered(_compile, jobs), 1):
            yield done, len(jobs), name
    _rest(dtypes)


def folder() -> Path | None:
    """Where compiled kernels are kept; None where they are not."""
    from autograd_core.kernels.jit import store

    return store().path if store().writable() else None


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    from tqdm import tqdm

    parser = argparse.ArgumentParser(prog="autograd-core", description="Tools of the autograd engine.")
    commands = parser.add_subparsers(dest="command", required=True)
    warm = commands.add_parser("warmup", help="compile all kernels now, instead of at their first use")
    warm.add_argument("--dtype", nargs="+", choices=DTYPES, default=DTYPES)
    warm.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    with tqdm(unit="kernel", desc="compiling") as bar:
        for done, total, name in warmup(options.dtype, options.processes):
            bar.total = total
            bar.set_postfix_str(name.removeprefix("autograd_core.kernels."))
            bar.update(done - bar.n)
    print(f"{bar.total} kernels in {time.perf_counter() - start:.0f} s, kept in {folder()}")
