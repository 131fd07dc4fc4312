"""Models on disk, as safetensors: names, shapes and plain bytes. No pickle, so a file cannot run code.

Layout: an unsigned 64-bit length, that many bytes of JSON {name: {dtype, shape, data_offsets}}, then the bytes of the
arrays. Source: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from autograd_core.dtypes import Array, check_dtype
from autograd_core.errors import describe
from autograd_core.tape import Value
from nn.files import write

DTYPES = {
    "F32": "<f4", "F64": "<f8", "BOOL": "|b1",
    "I8": "<i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
    "U8": "<u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
}  # fmt: skip
MAX_HEADER = 100_000_000  # bytes, the limit of the safetensors library
MAX_MORE = 2**30  # bytes of arrays beside the model and the optimizer
MAX_DIMENSIONS = 64  # NumPy's


def save(path: str | os.PathLike[str], model: Any, optimizer: Any = None, **more: Any) -> None:
    """Write a model's parameters and buffers, an optimizer's state, and whatever else is given by name.

    `more` takes arrays and tensors, and what JSON can hold (numbers, text, None, lists, dicts with text as keys).
    The file is complete or not there: it is written beside, flushed to the disk and then takes the name; after a
    crash the old file is still whole, and the next save removes what was written beside. The old file's permissions
    stay. A link stays a link: the file behind it is replaced (another hard link keeps the old file). The file has a
    checksum (SHA-256 of names, dtypes, shapes, bytes and `more`; 0.06 s for 100 MB), which `load` compares.

    Raises TypeError for what cannot be stored, and OSError that names the path and the fix: a missing folder, a full
    disk, a read-only file, a pipe or device in the file's place. Then nothing has changed.

    >>> import nn, tempfile
    >>> from pathlib import Path
    >>> model = nn.Dense(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nn.save(Path(folder) / "model.safetensors", model, epoch=3)
    ...     nn.load(Path(folder) / "model.safetensors", model)
    {'epoch': 3}
    """
    from safetensors.numpy import save as encode

    arrays = {f"model.{name}": a for name, a in model.state_dict().items()}
    if optimizer is not None:
        arrays |= {f"optimizer.{name}": a for name, a in optimizer.state_dict().items()}
    plain: dict[str, Any] = {}
    for name, value in more.items():
        if isinstance(value, Value | np.ndarray | np.generic) and not isinstance(value, float):
            arrays[f"more.{name}"] = value.array if isinstance(value, Value) else value
        else:
            _check_json(name, value)
            plain[name] = value
    stored = {name: _storable(name, a) for name, a in sorted(arrays.items())}
    text = json.dumps(plain)
    checksum = _checksum(text, ((name, a.dtype, a.shape) for name, a in stored.items()))
    for a in stored.values():
        checksum.update(_little(a))
    metadata = {"more": text, "checksum": f"sha256:{checksum.hexdigest()}"}
    write(path, [encode(stored, metadata)], "save")


def load(path: str | os.PathLike[str], model: Any, optimizer: Any = None) -> dict[str, Any]:
    """Read what `save` wrote into a model and an optimizer; returns what else was saved, by name.

    Names, shapes and dtypes are compared before anything is assigned. Raises ValueError naming the file and all that
    differs, or how the file is damaged; FileNotFoundError without a file. Then model and optimizer are as before.
    A saved optimizer is skipped when none is given. A damaged file is found by its checksum; a file without one, of
    another program or an earlier version, is loaded without that test.
    """
    owners = {"model": model} if optimizer is None else {"model": model, "optimizer": optimizer}
    before = {kind: owner.state_dict() for kind, owner in owners.items()}
    wanted = {f"{kind}.{name}": a for kind, state in before.items() for name, a in state.items()}
    with _open(path) as file:
        entries, more, checksum, start = _header(file, path)
        _compare(path, entries, wanted, tuple(owners))
        chosen = {n for n in entries if n in wanted or n.startswith("more.")}
        arrays: dict[str, Array] = {}
        for name, entry in sorted(entries.items()):
            if checksum is not None or name in chosen:
                content = _read(file, start, entry, path)
                if checksum is not None:
                    checksum.add(content)
                if name in chosen:
                    arrays[name] = _array(content, entry)
        if checksum is not None:
            checksum.compare(path)
    try:
        for kind, owner in owners.items():
            owner.load_state_dict({name: arrays[f"{kind}.{name}"] for name in before[kind]})
    except BaseException:
        for kind, owner in owners.items():
            owner.load_state_dict(before[kind])
        raise
    return more | {name[len("more.") :]: a for name, a in arrays.items() if name.startswith("more.")}


class Checksum:
    """What a file's bytes must add up to."""

    def __init__(self, found: Any, wanted: str) -> None:
        self.found, self.wanted = found, wanted

    def add(self, content: bytes) -> None:
        """The bytes of the next array, in the order of names."""
        self.found.update(content)

    def compare(self, path: Any) -> None:
        """ValueError when it is another one."""
        if f"sha256:{self.found.hexdigest()}" != self.wanted:
            raise ValueError(
                f"load: {path} is damaged: its checksum does not fit its content, nothing was changed. Take a copy or "
                "an earlier checkpoint"
            )


class Entry(NamedTuple):
    """An array in a file: its dtype, its shape, and where its bytes begin and end after the header."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


# Writing -----------------------------------------------------------------------------------------------------------


def _storable(name: str, value: Any) -> Array:
    """The array in native byte order and C order: safetensors (issue 825) writes others wrongly, without a word.

    Not `ascontiguousarray`, which makes a 0-d array 1-d.
    """
    array = np.asarray(value)
    try:
        dtype = check_dtype(array.dtype)
    except TypeError as error:
        raise TypeError(f"save: {name} is {describe(array)}: {error}") from None
    return np.array(array, dtype, order="C", copy=True)


def _little(array: Array) -> Any:
    """The bytes of an array as a file has them."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8).data


def _check_json(name: str, value: Any) -> None:
    try:
        text = json.dumps(value)
        same = json.dumps(json.loads(text)) == text
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"save: {name} is a {type(value).__name__} that JSON cannot hold ({error}): give numbers, text, lists, "
            "dicts, arrays or tensors"
        ) from None
    if not same:
        raise TypeError(f"save: {name} has dict keys that become equal text in JSON: rename one")


def _checksum(more: str, tables: Iterable[tuple[str, np.dtype[Any], tuple[int, ...]]]) -> Any:
    """The hash that a file's checksum begins with: of its other metadata, and of all arrays' names, dtypes and shapes.

    `tables` are in the order of names; the bytes of the arrays follow in it.
    """
    table = [[name, dtype.newbyteorder("<").str, list(shape)] for name, dtype, shape in tables]
    return hashlib.sha256(json.dumps([more, table]).encode())


# Reading -----------------------------------------------------------------------------------------------------------


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, open for reading: a pipe or a device could go on for ever."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"load: {path} is not a regular file")
    return open(path, "rb")


def _header(file: BinaryIO, path: Any) -> tuple[dict[str, Entry], dict[str, Any], Checksum | None, int]:
    """The arrays' entries, what was saved as JSON, the checksum, and where the arrays begin.

    ValueError for a damaged file.
    """
    size = os.fstat(file.fileno()).st_size
    try:
        if size < 8:
            raise ValueError(f"{size} bytes are too few")
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, MAX_HEADER):
            raise ValueError(f"a header of {length} bytes does not fit the file's {size}")
        header = json.loads(file.read(length).decode(), object_pairs_hook=_unique)
        if not isinstance(header, dict):
            raise ValueError("the header is not a table")
        metadata = header.pop("__metadata__", {})
        entries = {name: _entry(name, fields) for name, fields in header.items()}
        _check_layout(entries, size - 8 - length)
        text = _text(metadata, "more", "{}")
        more = json.loads(text, object_pairs_hook=_unique)
        if not isinstance(more, dict):
            raise ValueError("the metadata 'more' is not a table")
        if "more" in metadata and (strange := metadata.keys() - {"more", "checksum"}):
            raise ValueError(f"the metadata has {', '.join(map(repr, sorted(strange)))} besides 'more'")
        wanted = _text(metadata, "checksum", "")
        if wanted and not wanted.startswith("sha256:"):
            raise ValueError(f"the checksum {wanted[:20]!r} is not of the kind sha256")
    except (ValueError, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors
        raise ValueError(
            f"load: {path} is damaged, or not a safetensors file: {error or 'nested too deep'}"
        ) from None
    tables = ((name, entry.dtype, entry.shape) for name, entry in sorted(entries.items()))
    return entries, more, Checksum(_checksum(text, tables), wanted) if wanted else None, 8 + length


def _text(metadata: Any, key: str, default: str) -> str:
    text = metadata.get(key, default) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ValueError("the metadata is not a table of texts")
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name!r} stands there twice")
        found[name] = value
    return found


def _entry(name: str, fields: Any) -> Entry:
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of {name!r} is not dtype, shape and data_offsets")
    shape, offsets = fields["shape"], fields["data_offsets"]
    if not isinstance(fields["dtype"], str) or fields["dtype"] not in DTYPES:
        raise ValueError(f"{name!r} has the dtype {fields['dtype']!r}, not one of {', '.join(DTYPES)}")
    if not _counts(shape) or not _counts(offsets) or len(shape) > MAX_DIMENSIONS or len(offsets) != 2:
        raise ValueError(f"{name!r} has a shape or data_offsets that are not lists of sizes")
    dtype = np.dtype(DTYPES[fields["dtype"]])
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name!r}: {end - begin} bytes do not make a {dtype} of shape {shape}")
    if math.prod(n for n in shape if n) >= 2**60:  # an empty array may claim any size
        raise ValueError(f"{name!r}: no array can have the shape {shape}")
    return Entry(dtype, tuple(shape), begin, end)


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _check_layout(entries: dict[str, Entry], size: int) -> None:
    """The arrays lie one after another and fill the file: no overlap, no gap, nothing beyond the end."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != at:
            raise ValueError(
                f"{name!r} begins at byte {entry.begin}, not at {at}: arrays overlap or leave a gap"
            )
        at = entry.end
    if at != size:
        raise ValueError(f"its arrays have {at} bytes but {size} bytes are there: it was cut off or added to")


def _compare(path: Any, entries: dict[str, Entry], wanted: dict[str, Array], kinds: tuple[str, ...]) -> None:
    """ValueError with all that differs between the file and what is to be loaded."""
    wrong = [f"{name} {describe(a)} is not in the file" for name, a in wanted.items() if name not in entries]
    for name, entry in entries.items():
        here, kind = wanted.get(name), name.partition(".")[0]
        there = f"{entry.dtype}[{','.join(map(str, entry.shape))}]"
        if here is None and (kind in kinds or kind not in ("optimizer", "more")):
            wrong.append(f"{name} {there} is only in the file")
        elif here is not None and (here.shape, here.dtype) != (entry.shape, entry.dtype):
            wrong.append(f"{name} is {there} in the file, not {describe(here)}")
    if wrong:
        shown = wrong[:20] + [f"and {len(wrong) - 20} more"] * (len(wrong) > 20)
        raise ValueError(f"load: {path} does not fit, nothing was changed:\n  " + "\n  ".join(shown))
    beside = sum(e.end - e.begin for name, e in entries.items() if name.startswith("more."))
    if beside > MAX_MORE:
        raise ValueError(f"load: {path} has {beside} bytes of other arrays, more than {MAX_MORE}")


def _read(file: BinaryIO, start: int, entry: Entry, path: Any) -> bytes:
    file.seek(start + entry.begin)
    content = file.read(entry.end - entry.begin)
    if len(content) != entry.end - entry.begin:
        raise ValueError(f"load: {path} was cut off while it was read")
    return content


def _array(content: bytes, entry: Entry) -> Array:
    if entry.dtype == np.bool_:  # any byte but 0 and 1 would be an invalid bool
        return (np.frombuffer(content, np.uint8) != 0).reshape(entry.shape)
    return np.frombuffer(content, entry.dtype).reshape(entry.shape).astype(entry.dtype.newbyteorder("="))
