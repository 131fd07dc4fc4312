"""Checkpoints: a flipped bit is found, a full disk or a killed save leaves the old file, nothing else is replaced."""

import errno
import json
import os
import resource
import socket
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import autograd_core as ag
import nn
from nn import files


def made(seed=0):
    model = nn.Sequential(nn.Dense(3, 2), nn.BatchNorm(2))
    model.flags = nn.Buffer(np.array([True, False, True]))
    for i, p in enumerate(model.parameters()):
        p.assign(np.full(p.shape, seed + i / 7))
    optimizer = nn.Adam(model.named_parameters(), 0.1)
    for p in model.parameters():
        p.grad = ag.ones_like(p)
    optimizer.step()
    return model, optimizer


def everything(model, optimizer):
    return {**model.state_dict(), **{f"o.{k}": v.copy() for k, v in optimizer.state_dict().items()}}


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], strict=True)


def flips(path, positions):
    """Load the file with each of these bits flipped: an error that names the file, or the very same content."""
    model, optimizer = made()
    content = bytearray(path.read_bytes())
    right = nn.load(path, model, optimizer)
    saved = everything(model, optimizer)
    other, adam = made(5)
    before = everything(other, adam)
    damaged = path.with_name("damaged")
    found = named = 0
    for at in positions:
        content[at // 8] ^= 1 << at % 8
        damaged.write_bytes(content)
        content[at // 8] ^= 1 << at % 8
        try:
            more = nn.load(damaged, other, adam)
        except ValueError as error:
            named += str(damaged) in str(error)
            same(everything(other, adam), before)
            found += 1
        else:  # a flip that changes nothing: a space of the header
            assert {k: str(v) for k, v in more.items()} == {k: str(v) for k, v in right.items()}
            same(everything(other, adam), saved)
            other, adam = made(5)
    assert named == found
    return found


def test_a_flipped_bit_of_data_is_found(tmp_path):
    path = tmp_path / "m"
    nn.save(path, *made(), epoch=3, extra=np.arange(5), text="ä")
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    positions = range(8 * start, 8 * len(content), 3)  # all bytes, each with some of its bits
    assert len(positions) > 700
    assert flips(path, positions) == len(positions)


def test_a_flipped_bit_of_header_or_metadata_never_gives_wrong_values(tmp_path):
    path = tmp_path / "m"
    nn.save(path, *made(), epoch=3, best=0.25, name="run", mask=np.arange(3))
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    metadata = content.index(b"__metadata__"), content.index(b"}", content.index(b"__metadata__"))
    inside = range(8 * metadata[0], 8 * metadata[1], 5)
    spread = np.random.default_rng(0).choice(8 * start, 400, replace=False).tolist()
    found = flips(path, [*inside, *spread])
    assert found > 0.9 * (len(inside) + len(spread))


def test_the_optimizers_part_is_tested_when_only_the_model_is_loaded(tmp_path):
    path = tmp_path / "m"
    model, optimizer = made()
    nn.save(path, model, optimizer)
    content = bytearray(path.read_bytes())
    with safe_open(path, "numpy") as file:
        assert file.metadata()["checksum"].startswith("sha256:")
    offsets = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])[
        "optimizer.mean.layers.0.weight"
    ]
    content[8 + int.from_bytes(content[:8], "little") + offsets["data_offsets"][0]] ^= 1
    path.write_bytes(content)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"damaged: its checksum .*earlier checkpoint"):
        nn.load(path, model)
    same(model.state_dict(), before)


def test_files_without_a_checksum_still_load(tmp_path):
    model, _ = made()
    nn.save(tmp_path / "m", model)
    arrays = load_file(tmp_path / "m")
    save_file(arrays, tmp_path / "foreign", {"format": "pt"})
    save_file(arrays, tmp_path / "bare")
    save_file(arrays, tmp_path / "old", {"more": '{"epoch": 3}'})
    for name, more in (("foreign", {}), ("bare", {}), ("old", {"epoch": 3})):
        other, _ = made(4)
        assert nn.load(tmp_path / name, other) == more
        same(other.state_dict(), model.state_dict())
    save_file(arrays, tmp_path / "newer", {"more": "{}", "checksum": "sha3:00"})
    with pytest.raises(ValueError, match="not of the kind sha256"):
        nn.load(tmp_path / "newer", model)


# What stands in the file's place ------------------------------------------------------------------------------------


def identity(path):
    found = os.lstat(path)
    return found.st_ino, found.st_mode, found.st_mtime_ns


def a_device(folder):
    """A device that nobody misses where the test fails: root could replace /dev/null itself."""
    if os.geteuid() != 0:
        return "/dev/null"
    os.mknod(folder / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return folder / "device"


def test_pipes_sockets_and_devices_are_not_replaced(tmp_path):
    model, _ = made()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(a_device(tmp_path))
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "s"))
    for name, kind in (("pipe", "a pipe"), ("link", "a pipe"), ("null", "a device"), ("s", "a socket")):
        before = identity(tmp_path / name)
        with pytest.raises(
            OSError, match=f"it is {kind}, which would be replaced: give the name of a file"
        ) as e:
            nn.save(tmp_path / name, model)
        assert str(tmp_path / name) in str(e.value)
        assert identity(tmp_path / name) == before
    server.close()
    with pytest.raises(OSError, match="it is a device"):
        nn.save(tmp_path / "null", model)
    assert stat.S_ISCHR(os.stat(tmp_path / "null").st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o666, 0o755])
def test_saving_keeps_the_old_files_permissions(tmp_path, mode):
    model, _ = made()
    path = tmp_path / "m"
    old = os.umask(0o022)
    try:
        nn.save(path, model)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644  # a new file: as any
        path.chmod(mode)
        (tmp_path / "link").symlink_to("m")
        for name in ("m", "link"):
            nn.save(tmp_path / name, model)
            assert stat.S_IMODE(path.stat().st_mode) == mode
        assert (tmp_path / "link").is_symlink()
    finally:
        os.umask(old)


def test_links(tmp_path):
    """A link stays a link, also one to nothing yet; another hard link keeps the old file."""
    model, _ = made()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/new")
    nn.save(tmp_path / "link", model)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "new").is_file()
    os.link(tmp_path / "folder" / "new", tmp_path / "hard")
    before = (tmp_path / "hard").read_bytes()
    nn.save(tmp_path / "link", model, epoch=2)
    assert (tmp_path / "hard").read_bytes() == before
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        nn.save(tmp_path / "loop", model)
    assert sorted(os.listdir(tmp_path)) == ["folder", "hard", "link", "loop"]


def test_long_names_and_bytes(tmp_path):
    model, _ = made()
    for name in ("x" * 255, "ä" * 127, "." + "y" * 250):
        nn.save(tmp_path / name, model)
        nn.load(tmp_path / name, model)
    nn.save(os.fsencode(tmp_path / "b"), model)
    assert len(os.listdir(tmp_path)) == 4
    with pytest.raises(OSError, match="save: ") as e:
        nn.save(tmp_path / ("x" * 256), model)
    assert e.value.errno == errno.ENAMETOOLONG


# Errors -------------------------------------------------------------------------------------------------------------


def test_missing_folders_are_named_with_the_fix(tmp_path):
    model, _ = made()
    path = tmp_path / "a" / "b" / "m"
    with pytest.raises(FileNotFoundError, match=r"the folder .*/a/b is not there: make it with Path\(") as e:
        nn.save(path, model)
    assert (e.value.filename, ".tmp" in str(e.value)) == (str(path), False)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"file is a file, not a folder"):
        nn.save(tmp_path / "file" / "m", model)
    for empty in ("", "."):
        with pytest.raises(IsADirectoryError, match="give the name of a file"):
            nn.save(empty, model)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_files_and_folders_are_named(tmp_path):
    model, _ = made()
    nn.save(tmp_path / "m", model)
    (tmp_path / "m").chmod(0o444)
    with pytest.raises(PermissionError, match="read-only: chmod u\\+w"):
        nn.save(tmp_path / "m", model)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match="cannot be written to"):
            nn.save(tmp_path / "new", model)
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("where", ["open", "fsync", "replace", "chmod"])
def test_whatever_fails_names_the_target_and_leaves_the_old_file(tmp_path, monkeypatch, code, where):
    model, _ = made()
    path = tmp_path / "m"
    nn.save(path, model)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code), "something.tmp")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, where, fail)
        with pytest.raises(OSError, match="save: ") as e:
            nn.save(path, model, epoch=1)
    assert e.value.errno == code
    assert e.value.filename == str(path)
    assert ".tmp" not in str(e.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


FULL = """
import resource, sys, numpy as np, nn
path = sys.argv[1]
model = nn.Dense(100, 100)
nn.save(path, model)
before = open(path, "rb").read()
numbers = model.state_dict()
resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, resource.RLIM_INFINITY))
try:
    nn.save(path, model, epoch=2)
except OSError as error:
    print(error)
assert open(path, "rb").read() == before
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
nn.save(path, model, epoch=3)
print(nn.load(path, model))
"""


def run(code, *args):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=300
    )


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit of a file's size")
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.safetensors"
    done = run(FULL, path)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert (
        f"save: there is no space left for it: free some, or give a path on another disk: '{path}'" in first
    )
    assert second == "{'epoch': 3}"
    assert os.listdir(tmp_path) == [path.name]


KILLED = """
import os, signal, sys, nn
model = nn.Dense(10, 10)
kill = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
setattr(nn.files.os, sys.argv[2], kill)
nn.save(sys.argv[1], model)
"""


def test_what_killed_saves_have_left_is_removed_by_the_next_save(tmp_path):
    path = tmp_path / "m"
    for where in ("fsync", "replace"):
        assert run(KILLED, path, where).returncode == -9
    others = [".m.00.tmp", ".m.0123456z.tmp", ".mm.01234567.tmp", "m.01234567.tmp", "m"]
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".m.aaaaaaaa.tmp").symlink_to(tmp_path / "m")
    assert len(os.listdir(tmp_path)) == len(others) + 2  # the second removed what the first had left
    nn.save(path, nn.Dense(10, 10))
    assert sorted(os.listdir(tmp_path)) == sorted([*others, ".m.aaaaaaaa.tmp"])


def test_a_save_that_runs_is_not_taken_for_a_killed_one(tmp_path):
    """Many threads save to one path at once: all succeed, and the file is one of theirs, whole."""
    path = tmp_path / "m"
    failed = []

    def work(number):
        try:
            model = nn.Dense(20, 20)
            for _ in range(10):
                nn.save(path, model, number=number)
                nn.load(path, model)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert os.listdir(tmp_path) == ["m"]
