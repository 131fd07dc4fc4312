"""Whose compiled code is run: entries under another name, folders and files of other users, read-only folders."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from autograd_core.kernels.store import Store

ROOT = Path(__file__).parents[2]
NOBODY = 65534
posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no POSIX owners")
root_only = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="only root can run as, and give files to, another user",
)
DRAW = """
    from autograd_core.kernels import random
    print(random.random_bits(0, 0, 4)[0] == 0x6627E8D5)
"""
COMPILED = """
    import numpy as np
    import autograd_core as ag
    from autograd_core.compiler import codegen
    f = ag.compile(lambda x: {formula})
    x = ag.tensor(np.linspace(-1, 1, 100))
    f(x)
    print(round(float(f(x).numpy()[99]), 3), [made.compiled for made in codegen._loaded.values()])
"""


# What a process imports before it becomes another user, who may not be able to read this Python's folder.
BECOME = """
import os
import numba
import autograd_core as ag
from autograd_core.kernels import launch, random
numba.njit(lambda x: x + 1)(1)
os.setgroups([])
os.setgid({user})
os.setuid({user})
"""


def run(code, cache, user=None):
    """Standard output and the warnings of `code` in a process of its own, as another user if wanted."""
    environment = os.environ | {"AUTOGRAD_CORE_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    become = BECOME.format(user=user) if user else ""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", become + textwrap.dedent(code)], env=environment, cwd=ROOT,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "Warning: " in line]


def made(cache, code=DRAW):
    """The folder that a first process has filled, and its entries."""
    cache.mkdir(mode=0o700)
    assert run(code, cache)[1] == []
    (folder,) = cache.iterdir()
    return folder, sorted(folder.glob("*.nbc"))


def opened_to_all(cache):
    """What chmod -R a+rX does."""
    for path in (cache, *cache.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


# Entries ---------------------------------------------------------------------------------------------------


def test_a_kernel_under_another_kernels_name_is_compiled_again_instead_of_run(tmp_path):
    code = DRAW + "    print(random.uniform(0, 0, 4).size)\n"
    _, entries = made(tmp_path / "cache", code)
    contents = [entry.read_bytes() for entry in entries]
    for entry, content in zip(entries, contents[1:] + contents[:1], strict=True):
        entry.write_bytes(content)
    assert run(code, tmp_path / "cache") == ("True\n4\n", [])
    assert all(
        entry.read_bytes() != wrong for entry, wrong in zip(entries, contents[1:] + contents[:1], strict=True)
    )


def test_a_compiled_loop_under_another_loops_name_is_compiled_again_instead_of_run(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o700)
    assert run(COMPILED.format(formula="x * 3 + 1"), cache) == ("4.0 [True]\n", [])
    (first,) = cache.glob("*/fused_*.nbc")
    assert run(COMPILED.format(formula="(x - 7) * 2"), cache) == ("-12.0 [True]\n", [])
    (second,) = {*cache.glob("*/fused_*.nbc")} - {first}
    second.write_bytes(first.read_bytes())
    assert run(COMPILED.format(formula="(x - 7) * 2"), cache) == ("-12.0 [True]\n", [])
    assert run(COMPILED.format(formula="(x - 7) * 2"), cache) == ("-12.0 [False]\n", [])


def test_an_entry_of_another_build_is_not_taken_under_the_same_name(tmp_path):
    one, other = Store(tmp_path / "cache", "one"), Store(tmp_path / "cache", "other")
    for store in (one, other):
        store.write("kernel.nbc", b"code of " + store.key.encode())
    (other.path / "kernel.nbc").write_bytes((one.path / "kernel.nbc").read_bytes())
    assert (one.read("kernel.nbc"), other.read("kernel.nbc")) == (b"code of one", None)
    assert not (other.path / "kernel.nbc").exists()


# Folders and files of others -------------------------------------------------------------------------------

SPOILT = {
    "a root that others can write": lambda root, folder, entry: root.chmod(0o777),
    "a sticky root that others can write": lambda root, folder, entry: root.chmod(0o1777),
    "a root that a group can write": lambda root, folder, entry: root.chmod(0o770),
    "a folder that a group can write": lambda root, folder, entry: folder.chmod(0o770),
    "an entry that others can write": lambda root, folder, entry: entry.chmod(0o666),
    "a root of another user": lambda root, folder, entry: os.chown(root, NOBODY, NOBODY),
    "a folder of another user": lambda root, folder, entry: os.chown(folder, NOBODY, NOBODY),
    "an entry of another user": lambda root, folder, entry: os.chown(entry, NOBODY, NOBODY),
}


@posix
@pytest.mark.parametrize("what", SPOILT)
def test_code_that_another_user_could_have_written_is_not_run(tmp_path, what):
    if what.endswith("another user") and os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    store = Store(tmp_path / "cache", "build")
    store.write("kernel.nbc", b"code")
    assert store.read("kernel.nbc") == b"code"
    SPOILT[what](store.root, store.path, store.path / "kernel.nbc")
    with pytest.warns(
        RuntimeWarning, match=f"{store.root}.*another user.*Set AUTOGRAD_CORE_CACHE to"
    ) as told:
        assert store.read("kernel.nbc") is None
    store.write("another.nbc", b"code")  # neither done nor warned of again
    assert len(told) == 1
    assert ("type: chmod go-w " in str(told[0].message)) == ("write" in what)
    assert [path.name for path in store.path.iterdir()] == ["kernel.nbc"]


@posix
def test_a_process_over_a_cache_that_others_can_write_computes_without_it(tmp_path):
    made(tmp_path / "cache")
    (tmp_path / "cache").chmod(0o777)
    out, (warning,) = run(DRAW, tmp_path / "cache")
    assert out == "True\n"
    assert f"{tmp_path / 'cache'} can be written by another user (mode 0777)" in warning


@posix
@pytest.mark.parametrize("which", ["root", "folder", "entry"])
def test_a_symbolic_link_in_place_of_the_cache_is_not_followed(tmp_path, which):
    store = Store(tmp_path / "cache", "build")
    store.write("kernel.nbc", b"code")
    link = {"root": store.root, "folder": store.path, "entry": store.path / "kernel.nbc"}[which]
    link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(RuntimeWarning, match=f"{link} is a symbolic link"):
        assert store.read("kernel.nbc") is None


@posix
def test_a_pipe_in_place_of_an_entry_is_not_waited_for(tmp_path):
    store = Store(tmp_path / "cache", "build")
    store.write("kernel.nbc", b"code")
    (store.path / "kernel.nbc").unlink()
    os.mkfifo(store.path / "kernel.nbc", 0o600)
    with pytest.warns(RuntimeWarning, match="neither a file nor a folder"):
        assert store.read("kernel.nbc") is None


@posix
def test_a_cache_that_is_replaced_while_a_process_runs_is_looked_at_again(tmp_path):
    """Who owns a folder above the cache can rename it and put another in its place."""
    store = Store(tmp_path / "cache", "build")
    store.write("kernel.nbc", b"code")
    assert store.read("kernel.nbc") == b"code"
    (tmp_path / "cache").rename(tmp_path / "away")
    (tmp_path / "cache" / "build").mkdir(parents=True)
    (tmp_path / "cache").chmod(0o777)
    (tmp_path / "cache" / "build" / "kernel.nbc").write_bytes(
        (tmp_path / "away/build/kernel.nbc").read_bytes()
    )
    with pytest.warns(RuntimeWarning, match="can be written by another user"):
        assert store.read("kernel.nbc") is None


# Folders that can only be read -----------------------------------------------------------------------------


@root_only
def test_a_prefilled_cache_of_root_is_used_by_a_user_who_cannot_write_it(world):
    cache = world / "cache"
    _, entries = made(cache)
    opened_to_all(cache)
    before = [entry.stat().st_mtime_ns for entry in entries]
    code = DRAW + "    print(sum(launch._one_thread.stats.cache_hits.values()))\n"
    code += "    print(sum(launch._one_thread.stats.cache_misses.values()))\n"
    assert run(code, cache, NOBODY) == ("True\n1\n0\n", [])
    assert [entry.stat().st_mtime_ns for entry in entries] == before


@root_only
def test_a_user_of_a_read_only_cache_hears_once_what_could_not_be_kept(world):
    cache = world / "cache"
    made(cache)
    opened_to_all(cache)
    code = DRAW + "    print(random.uniform(0, 0, 4).size, random.normal(0, 0, 4).size)\n"
    out, (warning,) = run(code, cache, NOBODY)
    assert out == "True\n4 4\n"
    assert "cannot be kept on disk" in warning
    assert str(cache) in warning


@root_only
def test_a_cache_that_root_has_closed_says_how_to_open_it(world):
    cache = world / "cache"
    made(cache)
    out, (warning,) = run(DRAW, cache, NOBODY)
    assert out == "True\n"
    assert f"type: chmod -R a+rX {cache}" in warning


@root_only
def test_a_user_s_own_read_only_cache_is_read(world):
    cache = world / "cache"
    folder, entries = made(cache)
    for path in (cache, folder, *entries):
        os.chown(path, NOBODY, NOBODY)
        path.chmod(0o500 if path.is_dir() else 0o400)
    assert run(DRAW, cache, NOBODY) == ("True\n", [])


@root_only
def test_root_does_not_run_a_user_s_cache(world):
    cache = world / "cache"
    folder, entries = made(cache)
    for path in (cache, folder, *entries):
        os.chown(path, NOBODY, NOBODY)
    out, (warning,) = run(DRAW, cache)
    assert out == "True\n"
    assert f"belongs to another user (id {NOBODY})" in warning


@pytest.fixture
def world():
    """A folder that other users can reach, which pytest's are not."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
