"""The compiled kernels' disk cache, and what threads and processes may do. Each case is a process of its own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def process(code, **env):
    """Run `code` in a fresh interpreter; its standard output and error."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(code)],
        env={**inherited, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", **env},
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def run(code, **env):
    """The same without the line that says "compiling": whether there is one depends on the machine."""
    out, err = process(code, **env)
    lines = err.splitlines(keepends=True)
    return out, "".join(line for line in lines if not line.startswith("autograd-core: compiling"))


DRAW = """
    from autograd_core.kernels import random
    print(random.random_bits(0, 0, 4)[0] == 0x6627E8D5, len(random._fill_bits.compiled))
"""


def test_cache_is_private_reused_and_mended(tmp_path):
    cache = tmp_path / "cache"
    out, err = run(DRAW, AUTOGRAD_CORE_CACHE=str(cache))
    assert (out, err) == ("True 1\n", "")
    (folder,) = cache.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    entries = sorted(folder.iterdir())
    assert entries
    assert {path.suffix for path in entries} == {".nbc"}
    before = [path.stat().st_mtime_ns for path in entries]
    run(DRAW, AUTOGRAD_CORE_CACHE=str(cache))
    assert [path.stat().st_mtime_ns for path in entries] == before  # read, not written again

    size = entries[0].stat().st_size
    for path, damage in zip(entries * 4, ("cut", "empty", "flip", "cut"), strict=False):
        content = path.read_bytes()
        flipped = bytes([content[-9] ^ 1]) if content else b""
        wrong = {
            "cut": content[: len(content) // 2],
            "empty": b"",
            "flip": content[:-9] + flipped + content[-8:],
        }
        path.write_bytes(wrong[damage])
    out, err = run(DRAW, AUTOGRAD_CORE_CACHE=str(cache))
    assert (out, err) == ("True 1\n", "")
    assert sorted(folder.iterdir()) == entries
    assert entries[0].stat().st_size == pytest.approx(size, rel=0.05)


def test_no_folder_no_cache_one_warning(tmp_path):
    """Under a regular file nobody can make a folder, root included."""
    (tmp_path / "file").write_text("")
    code = DRAW + "    print(random.uniform(0, 0, 1).size)\n"
    out, err = run(code, AUTOGRAD_CORE_CACHE=str(tmp_path / "file" / "cache"))
    assert out == "True 1\n1\n"
    assert err.count("RuntimeWarning") == 1
    assert "Set AUTOGRAD_CORE_CACHE to a folder that you can write to" in err


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_a_folder_that_others_can_write_is_not_read(tmp_path):
    run(DRAW, AUTOGRAD_CORE_CACHE=str(tmp_path))
    (folder,) = tmp_path.iterdir()
    folder.chmod(0o777)
    out, err = run(DRAW, AUTOGRAD_CORE_CACHE=str(tmp_path))
    assert out == "True 1\n"
    assert "can be written by another user" in err


SLOW = """
    import time
    from numba import types
    from numba.extending import intrinsic
    from autograd_core.kernels.jit import jit

    @intrinsic
    def slow(typing, x):
        time.sleep(1.5)
        return types.int64(types.int64), lambda context, builder, signature, args: args[0]

    @jit
    def first(x):
        return slow(x)

    @jit
    def second(x):
        return slow(x)
"""
CALL = "import slow; print(slow.first(1) + slow.second(1), sum(slow.first.stats.cache_hits.values()))"


def test_compiling_says_so_once_when_it_takes_more_than_a_second(tmp_path):
    (tmp_path / "slow.py").write_text(textwrap.dedent(SLOW))
    path, cache = f"{tmp_path}{os.pathsep}{ROOT}", tmp_path / "cache"
    out, err = process(CALL, AUTOGRAD_CORE_CACHE=str(cache), PYTHONPATH=path)
    (folder,) = cache.iterdir()
    assert out == "2 0\n"
    assert err.count("\n") == err.count("autograd-core: compiling kernels for this processor") == 1
    assert f"kept in {folder}, so this happens once" in err
    assert process(CALL, AUTOGRAD_CORE_CACHE=str(cache), PYTHONPATH=path) == ("2 1\n", "")


def test_compiling_that_is_not_kept_says_that(tmp_path):
    (tmp_path / "slow.py").write_text(textwrap.dedent(SLOW))
    file = tmp_path / "slow.py" / "cache"  # under a regular file
    _, err = process(CALL, AUTOGRAD_CORE_CACHE=str(file), PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert err.count("autograd-core: compiling kernels") == 1
    assert "not kept: there is no folder to write to" in err


def test_the_key_covers_every_source_and_the_flags(tmp_path, monkeypatch):
    from numba.core import config

    from autograd_core.kernels import jit

    key = jit.cache_key.__wrapped__
    plain = key()
    monkeypatch.setattr(config, "BOUNDSCHECK", "another value")
    assert key() != plain
    monkeypatch.undo()
    assert key() == plain
    for path in jit._KERNELS.glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(jit, "_KERNELS", tmp_path)
    assert key() == plain
    with (tmp_path / "vector.py").open("a") as helper:
        helper.write("# a change\n")
    assert key() != plain


def test_cache_root(monkeypatch, tmp_path):
    from numba.core import config

    from autograd_core.kernels import jit

    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setenv("AUTOGRAD_CORE_CACHE", str(tmp_path))
    assert jit.cache_root() == tmp_path
    monkeypatch.delenv("AUTOGRAD_CORE_CACHE")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert jit.cache_root() == tmp_path / "autograd-core"
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "numba"))
    assert jit.cache_root() == tmp_path / "numba" / "autograd-core"


def test_two_threads_compile_at_once(tmp_path):
    code = """
        import threading
        from autograd_core.kernels import random
        gate, found = threading.Barrier(4), []
        def work():
            gate.wait()
            found.append(random.random_bits(0, 0, 100_000).tobytes())
        workers = [threading.Thread(target=work) for _ in range(4)]
        [w.start() for w in workers]
        [w.join() for w in workers]
        print(len(found), len(set(found)), len(random._fill_bits.compiled))
    """
    out, err = run(code, AUTOGRAD_CORE_CACHE=str(tmp_path))
    assert (out, err) == ("4 1 1\n", "")


THREADS = """
    import threading
    from autograd_core.kernels import random
    import numba
    found = []
    def work():
        for _ in range(30):
            found.append(random.random_bits(0, 0, 100_000).tobytes())
    workers = [threading.Thread(target=work) for _ in range(3)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    print(numba.threading_layer(), len(found), len(set(found)))
"""


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_python_threads_run_parallel_kernels_at_once(layer):
    """workqueue aborts the process on concurrent calls: the lock in threads.region keeps them apart."""
    out, _ = run(THREADS, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert out == f"{layer} 90 1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP")
def test_omp_is_chosen_and_spawned_processes_work():
    """fork after a parallel kernel kills the child under GNU OpenMP; spawn is the way."""
    code = """
        import multiprocessing, numba
        from autograd_core.kernels import random
        first = random.random_bits(0, 0, 100_000)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            again = pool.apply(random.random_bits, (0, 0, 100_000))
        print(numba.threading_layer(), (first == again).all())
    """
    assert run(code)[0] == "omp True\n"


def test_importing_the_folder_does_not_import_numba():
    out, _ = run("import sys, autograd_core.kernels; print('numba' in sys.modules)")
    assert out == "False\n"


@pytest.mark.slow
@pytest.mark.parametrize("bits", ["128", "256", "512"])
def test_another_vector_width(tmp_path, bits):
    """LLVM splits vectors that this CPU does not have, so other widths' tiles can be tested anywhere."""
    code = """
        from kernels import test_kernels_conv as cases
        for x, w, stride, padding, dilation, groups in cases.SHAPES:
            for dtype in (cases.np.float32, cases.np.float64):
                cases.check_methods(x, w, dtype, stride=stride, padding=padding, dilation=dilation, groups=groups)
        print("checked")
    """
    out, _ = run(code, AUTOGRAD_CORE_CACHE=str(tmp_path), AUTOGRAD_CORE_VECTOR_BITS=bits)
    assert out == "checked\n"
