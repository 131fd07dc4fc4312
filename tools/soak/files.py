"""Damaged files: every truncation of a checkpoint and of a kernel cache entry, and thousands of flipped bits."""

import tempfile
from pathlib import Path

import numpy as np

import autograd_core as ag
import nn
from autograd_core.kernels import jit
from autograd_core.kernels.store import Store
from tools.soak.check import Check, Runs


def small_model(seed: int) -> nn.Module:
    """A model whose checkpoint has about a thousand bytes."""
    ag.random.seed(seed)
    return nn.Sequential(nn.Dense(6, 16), nn.ReLU(), nn.Dense(16, 4))


def _loads(path: Path, saved: dict[str, np.ndarray]) -> str | None:
    """Loading gives the saved numbers, or raises ValueError and leaves the model alone."""
    model = small_model(99)
    before = {name: np.array(a) for name, a in model.state_dict().items()}
    try:
        nn.load(path, model)
    except ValueError:
        after, want = model.state_dict(), before
    except Exception as error:
        return f"load raised {type(error).__name__}: {error}"
    else:
        after, want = model.state_dict(), saved
    same = all(np.array_equal(np.asarray(after[n]), want[n], equal_nan=True) for n in want)
    return None if same else "the model holds neither the saved numbers nor its own"


def _checkpoint(folder: Path) -> tuple[Path, dict[str, np.ndarray], bytes]:
    model = small_model(1)
    path = folder / "model.safetensors"
    nn.save(path, model, epoch=3, losses=[1.0, 0.5])
    return path, {n: np.array(a) for n, a in model.state_dict().items()}, path.read_bytes()


def checkpoint_truncations(quick: bool) -> Runs:
    """A checkpoint cut off at every byte."""
    with tempfile.TemporaryDirectory() as folder:
        path, saved, content = _checkpoint(Path(folder))
        for length in range(0, len(content), 8 if quick else 1):
            path.write_bytes(content[:length])
            wrong = _loads(path, saved)
            yield wrong and f"cut off at {length} of {len(content)}: {wrong}"


def checkpoint_flips(quick: bool) -> Runs:
    """One flipped bit anywhere in a checkpoint: found, or without effect."""
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path, saved, content = _checkpoint(Path(folder))
        for _ in range(FLIPS[quick]):
            bit = int(draw.integers(8 * len(content)))
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            wrong = _loads(path, saved)
            yield wrong and f"bit {bit} flipped: {wrong}"


def _entries() -> list[Path]:
    """Entries of the kernel cache that this machine has, after some kernels were used."""
    x = ag.ones((64, 1024), requires_grad=True)
    (ag.exp(x) * ag.tanh(x)).sum().backward()
    ag.conv(ag.ones((2, 8, 16, 16)), ag.ones((8, 8, 3, 3)), padding=1)
    folder = jit.store().path
    return sorted(folder.glob("*.nbc"), key=lambda p: (p.stat().st_size, p.name))[:40] if folder else []


def cache_damage(quick: bool) -> Runs:
    """Cut off and flipped copies of cache entries: none is ever read as an entry."""
    draw = np.random.default_rng(1)
    entries = _entries()
    with tempfile.TemporaryDirectory() as root:
        store = Store(Path(root), jit.cache_key())
        store.write("first", b"")  # makes the folder
        assert store.path is not None
        assert store.read("first") == b""
        for turn in range(CACHE[quick]):
            if not entries:
                yield "there is no kernel cache on this machine to damage"
                return
            original = entries[turn % len(entries)].read_bytes()
            damaged = bytearray(original)
            if turn % 2:
                bit = int(draw.integers(8 * len(damaged)))
                damaged[bit // 8] ^= 1 << bit % 8
            else:
                del damaged[int(draw.integers(len(damaged))) :]
            path = store.path / entries[turn % len(entries)].name
            path.write_bytes(damaged)
            path.chmod(0o600)
            yield None if store.read(path.name) is None else f"a damaged copy of {path.name} was read"


FLIPS = {False: 3000, True: 300}
CACHE = {False: 1000, True: 100}


def _length(quick: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return len(range(0, len(_checkpoint(Path(folder))[2]), 8 if quick else 1))


CHECKS = [
    Check("truncations", "truncated checkpoints", checkpoint_truncations, _length),
    Check("flips", "checkpoints with a flipped bit", checkpoint_flips, FLIPS.__getitem__),
    Check("cache", "damaged cache entries", cache_damage, CACHE.__getitem__),
]
