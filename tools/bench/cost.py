"""What the engine costs beside its arithmetic: imports, first steps, memory, recording, and how all that grows."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from . import steps
from .engines import installed
from .measure import OURS, Call, Case, Plan, Record, alternate, library
from .workloads import Workload, cnn28, deep

OPERATIONS = 1000  # in the chain that shows what recording one costs
FIRST_STEPS = ("resnet20", "deep1000")
DEPTHS = (10, 100, 1000, 10_000)
BATCHES = (1, 4, 16, 64, 256)
QUICK_DEPTHS, QUICK_BATCHES = (10, 1000), (1, 64)

IMPORTS = {OURS: "import autograd_core, nn", "PyTorch": "import torch", "JAX": "import jax, jax.numpy"}
REFERENCES = {"NumPy": "import numpy", "the interpreter alone": "pass"}
PATIENCE = 900.0  # seconds for one first step: torch.compile takes each of a thousand layers by itself

# The variables that move each engine's cache of compiled code; JAX keeps everything only when told so.
CACHES = ("AUTOGRAD_CORE_CACHE", "TORCHINDUCTOR_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR")
KEEP_ALL = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def cases(quick: bool) -> Iterator[Case]:
    """All costs as cases; what grows, grows less far when it must be quick."""
    yield Case("cost", "import", "import", _imports)
    for workload in FIRST_STEPS:
        yield Case("cost", "first step", f"first step of {workload}", partial(_first_steps, workload))
    yield Case("cost", "memory", "peak memory of a resnet20 step", _memory)
    yield Case("cost", "recording", "one operation", _recording)
    for depth in QUICK_DEPTHS if quick else DEPTHS:
        measure = partial(_grown, lambda depth=depth: deep(depth), depth, f"{depth} layers, per layer")
        yield Case("cost", "growth with depth", f"{depth} layers", measure)
    for batch in QUICK_BATCHES if quick else BATCHES:
        measure = partial(
            _grown, lambda batch=batch: cnn28(batch), batch, f"cnn28, batch {batch}, per sample"
        )
        yield Case("cost", "growth with batch", f"batch {batch}", measure)


def _imports(plan: Plan) -> list[Record]:
    """Fresh interpreters, start included."""
    record = Record("cost", "import", "import", plan.threads)
    present = installed(IMPORTS)
    statements = {name: IMPORTS[name] for name in present} | REFERENCES
    times = alternate({name: _interpreter(code) for name, code in statements.items()}, plan.turns)
    record.values = {name: times[name] for name in present}
    record.references = {name: times[name] for name in REFERENCES}
    return [record]


def _interpreter(statement: str) -> Call:
    return lambda: subprocess.run([sys.executable, "-c", statement], check=True)


def _first_steps(workload: str, plan: Plan) -> list[Record]:
    """With an empty folder for compiled code, and again with what the first process left there."""
    cold, warm = (
        Record("cost", "first step", f"first step of {workload}, {cache} cache", plan.threads)
        for cache in ("cold", "warm")
    )
    names = [
        OURS,
        f"{OURS} compiled",
        "PyTorch",
        "JAX",
        *(["PyTorch compiled"] if plan.torch_compile else []),
    ]
    tried: set[str] = set()
    for name in _in_turns(installed(names), min(plan.turns, 3)):
        if name == "PyTorch compiled" and name in tried:
            continue  # one turn of this takes minutes, and is long enough to be sure of
        tried.add(name)
        with tempfile.TemporaryDirectory() as folder:
            caches = {variable: os.path.join(folder, variable.lower()) for variable in CACHES} | KEEP_ALL
            if _probe(cold, plan, ("first-step", workload, name), caches):
                _probe(warm, plan, ("first-step", workload, name), caches)
    return [cold, warm]


def _memory(plan: Plan) -> list[Record]:
    record = Record("cost", "memory", "peak memory of a resnet20 step", plan.threads, unit="B")
    for name in _in_turns(
        installed([OURS, f"{OURS} compiled", "PyTorch", "PyTorch channels_last"]), min(plan.turns, 3)
    ):
        _probe(record, plan, ("peak-memory", "resnet20", name), {})
    return [record]


def _in_turns(names: Sequence[str], turns: int) -> Iterable[str]:
    return [name for _ in range(turns) for name in names]


def _probe(record: Record, plan: Plan, probe: tuple[str, str, str], environment: dict[str, str]) -> bool:
    """What a fresh process finds out about itself (see probe.py), added to the record; whether it did."""
    *_, engine = probe
    plan.say(f"{record.name}: {engine}")
    command = [sys.executable, "-m", "tools.bench.probe", *probe]
    try:
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        note = f"{engine} was stopped after {PATIENCE:.0f} s"
    else:
        if done.returncode == 0:
            record.values.setdefault(engine, []).append(json.loads(done.stdout.splitlines()[-1]))
            return True
        reason = next(reversed(done.stderr.strip().splitlines()), "no message")
        note = f"{engine} failed: {reason[:200]}"
    if note not in record.notes:
        record.notes.append(note)
    record.failed |= library(engine) == OURS
    return False


def _recording(plan: Plan) -> list[Record]:
    """A chain of small operations: what one takes that is recorded, and with its derivative."""
    forward = Record("cost", "recording", "one recorded operation on 4 numbers", plan.threads)
    both = Record("cost", "recording", "one recorded operation and its derivative", plan.threads)
    chains = {name: _CHAINS[name]() for name in installed(_CHAINS)}
    x = np.ones(4, np.float32)
    for record, calls in (
        (forward, {name: record_only for name, (record_only, _) in chains.items()}),
        (both, {name: differentiate for name, (_, differentiate) in chains.items()}),
    ):
        times = alternate({**calls, "NumPy": lambda: _chain(x)}, plan.turns)
        each = {name: [seconds / OPERATIONS for seconds in values] for name, values in times.items()}
        record.references = {"NumPy, which records nothing": each.pop("NumPy")}
        record.values = each
    return [forward, both]


def _chain(x: Any) -> Any:
    """OPERATIONS multiplications and additions, of whatever kind x is."""
    for _ in range(OPERATIONS // 2):
        x = x * 0.999 + 0.001
    return x


def _own_chain() -> tuple[Call, Call]:
    import autograd_core as ag

    x = ag.tensor(np.ones(4, np.float32), requires_grad=True)

    def differentiate() -> None:
        x.grad = None
        _chain(x).sum().backward()

    return lambda: _chain(x), differentiate


def _torch_chain() -> tuple[Call, Call]:
    import torch

    x = torch.ones(4, requires_grad=True)

    def differentiate() -> None:
        x.grad = None
        _chain(x).sum().backward()

    return lambda: _chain(x), differentiate


_CHAINS: dict[str, Callable[[], tuple[Call, Call]]] = {OURS: _own_chain, "PyTorch": _torch_chain}


def _grown(make: Callable[[], Workload], size: int, name: str, plan: Plan) -> list[Record]:
    """A step's time for each layer, or for each sample: where that is flat, growth is linear."""
    record = steps.measured(make(), replace(plan, torch_compile=False))
    record.part, record.name = "cost", name
    record.group = "growth with depth" if "layers" in name else "growth with batch"
    record.values = {engine: [s / size for s in values] for engine, values in record.values.items()}
    return [record]
