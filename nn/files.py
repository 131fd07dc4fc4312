"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DAY = 86_400  # seconds after which a part is nobody's, where files cannot be locked


def write(path: Any, content: Iterable[Any], caller: str) -> None:
    """Write the parts of `content` to a file: beside it at first, flushed to the disk, then under its name.

    A link stays a link; the file behind it is replaced. The old file's permissions stay. OSError names `path` and what
    to do; then the old file is as it was. Parts that killed processes have left beside it are removed.
    """
    path = os.fsdecode(path)
    target = Path(os.path.realpath(path))
    mode = _mode_of(target, path, caller)
    try:
        _remove_left(target)
        beside, handle = _part(target)
    except OSError as error:
        raise _named(error, path, target, caller) from None
    try:
        with open(handle, "wb") as file:
            for part in content:
                file.write(part)
            file.flush()
            if mode is not None:
                os.chmod(beside, mode)
            os.fsync(file.fileno())
            if fcntl is not None:
                os.replace(beside, target)  # while it is locked, or another save would remove it
        if fcntl is None:
            os.replace(beside, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _named(error, path, target, caller) from None
        raise
    _sync_folder(target.parent)


def _mode_of(target: Path, path: str, caller: str) -> int | None:
    """The permissions of the file that is replaced, None where there is none yet; OSError for what is no file."""
    try:
        found = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _named(error, path, target, caller) from None
    if stat.S_ISDIR(found):
        raise IsADirectoryError(f"{caller}: {path} is a folder: give the name of a file in it")
    if not stat.S_ISREG(found):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(found), "a device")
        raise OSError(
            errno.EINVAL, f"{caller}: it is {kind}, which would be replaced: give the name of a file", path
        )
    if not os.access(target, os.W_OK):
        raise PermissionError(
            errno.EACCES, f"{caller}: the file is read-only: chmod u+w it, or give another name", path
        )
    return stat.S_IMODE(found)


def _named(error: OSError, path: str, target: Path, caller: str) -> OSError:
    """The same kind of error, about the file that was asked for and not the one beside it."""
    folder = target.parent
    if error.errno in _FULL:
        text = "there is no space left for it: free some, or give a path on another disk"
    elif isinstance(error, FileNotFoundError):
        text = f"the folder {folder} is not there: make it with Path({str(folder)!r}).mkdir(parents=True)"
    elif isinstance(error, NotADirectoryError):
        text = f"{folder} is a file, not a folder: give another path"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        text = f"the folder {folder} cannot be written to: give a path in another one"
    else:
        text = error.strerror or str(error)
    return OSError(error.errno or errno.EIO, f"{caller}: {text}", path)


# Parts: files beside the target until they are complete -------------------------------------------------------------


def _stem(target: Path) -> str:
    """What the names of a target's parts begin with; short where the target's own name is long."""
    name = target.name
    if len(os.fsencode(name)) > 200:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}."


def _part(target: Path) -> tuple[Path, int]:
    """A new file beside the target, open and locked as long as it is."""
    while True:
        beside = target.with_name(f"{_stem(target)}{os.urandom(4).hex()}.tmp")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        if _locked(handle) is not False and beside.exists():
            return beside, handle
        os.close(handle)  # another save took it for one that was left, in the moment before it was locked


def _locked(handle: int) -> bool | None:
    """Whether this process holds the lock of an open file now; None where files cannot be locked."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return None


def _remove_left(target: Path) -> None:
    """Remove the target's parts that no process writes to any more."""
    pattern = re.compile(re.escape(_stem(target)) + r"[0-9a-f]{8}\.tmp")
    for entry in os.scandir(target.parent):
        if pattern.fullmatch(entry.name):
            with contextlib.suppress(OSError):
                _remove_if_left(entry)


def _remove_if_left(entry: os.DirEntry[str]) -> None:
    found = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        return
    handle = os.open(entry.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        locked = _locked(handle)
        old = time.time() - found.st_mtime > _DAY
        if locked or (locked is None and old):
            os.unlink(
                entry.path
            )  # while it is locked: its save, just begun, would lock it next and find it there
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where folders can be flushed (not on Windows)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
