"""The folder on disk that keeps compiled code: how it is opened, checked, read and written.

Entries are pickles, and a pickle runs code. So code is only taken from a folder and a file that nobody but this user
and root can have written. The root of the cache, the folder of this build in it and the entry are each opened
without following a symbolic link, and owner and mode are checked of what was opened; the next one is looked up in the
open folder, never by its path again. Whoever owns a folder above can rename the root and put another in its place:
that one is checked as well. A folder that only root or the user could write, but that this process cannot, is read.

Where Python cannot open a folder (Windows), entries are opened by their paths and no owner is checked: the user's
own profile is closed to others there.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from autograd_core.kernels import forks

BY_HANDLE = {os.open, os.mkdir, os.unlink, os.rename, os.access} <= os.supports_dir_fd and hasattr(
    os, "O_NOFOLLOW"
)
_FOLLOW_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a pipe in an entry's place would be waited for


class Refused(OSError):
    """A folder or file that another user could have written, or that is not what it must be."""


class Store:
    """Entries by name, in the folder `key` of `root`. A root of None keeps nothing."""

    def __init__(self, root: Path | None, key: str) -> None:
        self.root, self.key = root, key
        self.path = root / key if root else None
        self.reads = self.writes = root is not None
        self._told, self._lock = False, forks.lock()

    def read(self, name: str) -> bytes | None:
        """An entry's content; None when there is none. One that is truncated, damaged or another's is removed."""
        if not self.reads:
            return None
        try:
            with self._folder() as folder, folder.open(name, os.O_RDONLY) as file:
                _check(os.fstat(file.fileno()), folder.path / name, stat.S_ISREG)
                content = file.read()
        except Refused as error:
            self._refuse(error)
            return None
        except FileNotFoundError:
            return None
        except PermissionError as error:
            self._refuse(error, f"to let this user read it, type: chmod -R a+rX {self.root}")
            return None
        except OSError:
            return None
        if content[:32] != self._checksum(name, content[32:]):
            self.remove(name)
            return None
        return content[32:]

    def write(self, name: str, content: bytes) -> None:
        """Write an entry beside and move it into place, so that a reader never sees half of it."""
        if not self.writes:
            return
        beside = f"{name}.{os.urandom(8).hex()}.tmp"
        try:
            with self._folder(make=True) as folder:
                try:
                    with folder.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                        file.write(self._checksum(name, content) + content)
                    folder.rename(beside, name)
                except OSError:
                    with suppress(OSError):
                        folder.remove(beside)
                    raise
        except Refused as error:
            self._refuse(error)
        except OSError as error:  # a full disk, or a folder that can only be read
            self._write_no_more(error)

    def remove(self, name: str) -> None:
        """Remove an entry, if it is there and can be."""
        with suppress(OSError), self._folder() as folder:
            folder.remove(name)

    def lock_file(self, name: str) -> IO[bytes] | None:
        """A file of this name, made if need be; None where nothing can be written."""
        if self.writes:
            with suppress(OSError), self._folder(make=True) as folder:
                return folder.open(name, os.O_WRONLY | os.O_CREAT)
        return None

    def writable(self) -> bool:
        """Whether new entries can be kept, as far as can be seen without writing one."""
        if self.writes:
            with suppress(OSError), self._folder(make=True) as folder:
                return folder.writable()
        return False

    def give_up(self, reason: object) -> None:
        """Neither read nor write from now on, and say so once."""
        self.reads = False
        self._write_no_more(reason)

    def _checksum(self, name: str, content: bytes) -> bytes:
        """It covers what the entry is for: the build, and the name, which holds the hash of function and signature."""
        return hashlib.sha256(f"{self.key}/{name}\0".encode() + content).digest()

    def _refuse(self, error: OSError, fix: str = "") -> None:
        what = (
            str(error)
            if isinstance(error, Refused)
            else f"{error.filename} cannot be opened: {error.strerror}"
        )
        self.give_up(f"{what}; {fix}" if fix else what)

    def _write_no_more(self, reason: object) -> None:
        """Go on with what the folder holds, and say so once."""
        with self._lock:
            told, self._told, self.writes = self._told, True, False
        if not told:
            warnings.warn(
                f"compiled kernels cannot be kept on disk, so each process compiles them again: {reason}. "
                "Set AUTOGRAD_CORE_CACHE to a folder that you can write to.",
                RuntimeWarning,
                stacklevel=2,
            )

    @contextmanager
    def _folder(self, make: bool = False) -> Iterator[_Folder]:
        """This build's folder, open; FileNotFoundError when there is none and it is not to be made."""
        assert self.root is not None
        if make:
            os.makedirs(self.root.parent, exist_ok=True)
            with suppress(FileExistsError):
                os.mkdir(self.root, 0o700)
        with _opened(self.root, None) as root:
            if make:
                root.make(self.key)
            with _opened(root.path / self.key, root) as folder:
                yield folder


class _Folder:
    """An open folder; `handle` is None where there are only paths."""

    def __init__(self, path: Path, handle: int | None) -> None:
        self.path, self.handle = path, handle

    def _at(self, name: str) -> Any:
        return self.path / name if self.handle is None else name

    def open(self, name: str, flags: int) -> IO[bytes]:
        flags |= _FOLLOW_NO_LINK | _BINARY | _NO_WAIT
        try:
            file = os.open(self._at(name), flags, 0o600, dir_fd=self.handle)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Refused(f"{self.path / name} is a symbolic link, which is not followed") from None
            error.filename = str(self.path / name)
            raise
        return os.fdopen(file, "rb" if flags & os.O_WRONLY == 0 else "wb")

    def make(self, name: str) -> None:
        with suppress(FileExistsError):
            os.mkdir(self._at(name), 0o700, dir_fd=self.handle)

    def rename(self, name: str, to: str) -> None:
        os.replace(self._at(name), self._at(to), src_dir_fd=self.handle, dst_dir_fd=self.handle)

    def remove(self, name: str) -> None:
        os.unlink(self._at(name), dir_fd=self.handle)

    def writable(self) -> bool:
        if self.handle is None:
            return os.access(self.path, os.W_OK)
        return os.access(
            ".", os.W_OK, dir_fd=self.handle, effective_ids=os.access in os.supports_effective_ids
        )


@contextmanager
def _opened(path: Path, inside: _Folder | None) -> Iterator[_Folder]:
    """The folder at `path`, open and checked; looked up by its name in the folder `inside`."""
    if not BY_HANDLE:
        if not path.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        yield _Folder(path, None)
        return
    name, at = (path, None) if inside is None else (path.name, inside.handle)
    try:
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and os.path.lexists(path):
            if path.is_symlink():
                raise Refused(f"{path} is a symbolic link, which is not followed") from None
            raise Refused(f"{path} is not a folder") from None
        error.filename = str(path)
        raise
    try:
        _check(os.fstat(handle), path, stat.S_ISDIR)
        yield _Folder(path, handle)
    finally:
        os.close(handle)


def _check(found: os.stat_result, path: Path, kind: Any) -> None:
    """Refuse what another user owns or can write, and what is of another kind."""
    if not kind(found.st_mode):
        raise Refused(f"{path} is neither a file nor a folder")
    if not hasattr(os, "geteuid"):
        return
    if found.st_uid not in (0, os.geteuid()):
        raise Refused(f"{path} belongs to another user (id {found.st_uid}), who could put code into it")
    if found.st_mode & 0o022:
        mode = stat.S_IMODE(found.st_mode)
        raise Refused(
            f"{path} can be written by another user (mode {mode:04o}), who could put code into it; "
            f"if nobody has, type: chmod go-w {path}"
        )
